//! The people, the targets, the builds and the documents of trust: the same in every world, but for what the script sets.

use crate::{
    fault::Fault,
    script::{Besides, Change, InOrder, Setting},
};
use agent::home::Enrolled;
use api::{
    read::Estate,
    write::{Attachment, Submission},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};
use trust::{
    AppName, AudienceName, Digest, PersonName, TargetName, Version,
    authority::Pinned,
    charter::{CHARTER_TARGET, Charter, Class},
    dsse::Envelope,
    freeze::{Freeze, Lift, brings_something_new},
    key::{SecretKey, Signer},
    manifest::{Entry, FORMAT, Manifest, Member, Migrate, Process, Run, StopSignal, Traffic, Upstream},
    rollout::{Advance, OnFailure, Ring, Share},
    schedule::Schedule,
    statement::{
        Act, Administration, AdministrationAct, Approval, Enrolment, Facts, Header, Number, Order, OrderAct, Push,
        Request, RequestId, Statement, Withdrawal,
    },
    tuf::{self, Root, RootBuilder, TargetFile, Targets},
    window::{Opening, Window},
};

/// The claim of the server without an estate.
pub const CLAIM: &str = "the claim";
/// How many versions there are of each application. They are counted through: those of the first, of the second, and of the
/// package of both.
pub const VERSIONS: usize = 4;
/// The applications that targets run, and the package that lists them, by their places.
pub const WEB: usize = 0;
pub const DB: usize = 1;
pub const SHOP: usize = 2;
/// The name under which the ledger's checkpoints are signed.
pub const ORIGIN: &str = "sortie-ledger/sim";
/// How old what is known of the repository may be, in hours, where there is one.
pub const STALE_HOURS: u32 = 1;
/// What is said of a measurement that decides nothing.
pub const DOUBT: &str = "errors: measured nothing";
/// The label that every other target carries.
pub const EARLY: (&str, &str) = ("ring", "early");
/// The label that says of which side a target is, where there are sides.
pub const SIDE: &str = "side";
/// The two sides.
pub const SIDES: [&str; 2] = ["blue", "green"];
/// The first minute that has a world in it, by the clock, in minutes of the day.
const FIRST_MINUTE: u64 = 20 * 60 + 26;
/// The other environment, where somebody has what was signed for it.
const TEST: &str = r#"test = { class = "test", approve = "qa", deploy = "ops" }
"#;
/// An age identity for every target: no secret is ever encrypted to it.
pub const IDENTITY: &str = "AGE-SECRET-KEY-1QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSKMP32K";

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Writes the code, pushes builds, asks for releases.
    Coder,
    /// Approves for QA.
    Tester,
    /// Approves for ops, and deploys.
    Oncall,
    /// Deploys and approves too.
    Second,
    /// A machine that joins.
    Newcomer,
    /// The owner.
    Boss,
}

impl Who {
    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Who::Coder => "coder",
            Who::Tester => "tester",
            Who::Oncall => "oncall",
            Who::Second => "second",
            Who::Newcomer => "the machine",
            Who::Boss => "boss",
        }
    }

    /// The key.
    pub fn key(self) -> SecretKey {
        match self {
            Who::Boss => owner(),
            other => key(2 + other as u8),
        }
    }

    /// The role that counts for prod's approvals by a charter, if any. The second charter takes it from one person.
    pub fn approves_as(self, charter: u64) -> Option<&'static str> {
        match self {
            Who::Second if charter > 1 => None,
            Who::Coder | Who::Newcomer | Who::Boss => None,
            Who::Tester => Some("qa"),
            Who::Oncall | Who::Second => Some("ops"),
        }
    }
}

/// A key from a seed.
pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn owner() -> SecretKey {
    key(1)
}

/// The other owner, where there are two, and that person's key by a root.
const CHAIR: &str = "chair";

fn chair(root: u8) -> SecretKey {
    key(80 + root)
}

/// The owners' keys by a root.
fn owners(setting: &Setting, root: u8) -> Vec<SecretKey> {
    let chair = setting.rotates.then(|| chair(root));
    std::iter::once(owner()).chain(chair).collect()
}

fn sign(signed: &serde_json::Value, keys: &[SecretKey]) -> Made<Vec<u8>> {
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    Ok(tuf::sign_metadata(signed, &signers)?)
}

/// The root in which one of the owners has another key, signed by the keys of before and by those from then on.
fn next_root(root: &[u8], before: &[SecretKey], after: &[SecretKey]) -> Made<Vec<u8>> {
    let name = PersonName::new(CHAIR)?;
    let next = RootBuilder::after(&Root::bootstrap(root)?, far()).without(&name).owner(&name, chair(2).public());
    let keys: BTreeMap<_, &dyn Signer> =
        (before.iter().chain(after)).map(|key| (key.public().id(), key as &dyn Signer)).collect();
    Ok(tuf::sign_metadata(&next.build()?, &keys.into_values().collect::<Vec<_>>())?)
}

/// The key of whoever is this person in the estate that is the thief's own.
fn thiefs_key(who: Who) -> SecretKey {
    key(60 + who as u8)
}

/// The key that signs checkpoints.
pub fn ledger_key() -> SecretKey {
    key(20)
}

/// The key with which a thief signs a repository in the place of the server's.
pub fn thiefs_online_key() -> SecretKey {
    key(70)
}

/// The key of the invitation for targets with the label, or of that for those without; and of those for targets that come
/// and go.
fn invitation_key(early: bool, passing: bool) -> SecretKey {
    key(30 + u8::from(early) + 2 * u8::from(passing))
}

/// Whether a target carries the label.
pub fn is_early(index: usize) -> bool {
    index % 2 == 1
}

/// A target's own key.
pub fn target_key(index: usize) -> SecretKey {
    key(40 + index as u8)
}

/// An application's name, by its place.
#[expect(clippy::unwrap_used, reason = "a constant that fits")]
pub fn app(place: usize) -> AppName {
    AppName::new(["web", "db", "shop"][place]).unwrap()
}

/// The place of an application among those that targets run; the first where it is none of them.
pub fn place_of(name: &AppName) -> usize {
    usize::from(*name == app(DB))
}

/// The application of a version.
pub fn app_of(version: usize) -> AppName {
    app(version / VERSIONS)
}

/// The versions that a package's version lists: not each has another of both.
pub fn listed(version: usize) -> [usize; 2] {
    let number = version % VERSIONS;
    [WEB * VERSIONS + number, DB * VERSIONS + number / 2]
}

/// The environment.
#[expect(clippy::unwrap_used, reason = "a constant that fits")]
pub fn prod() -> AudienceName {
    AudienceName::new("prod").unwrap()
}

/// The other environment.
#[expect(clippy::unwrap_used, reason = "a constant that fits")]
fn test() -> AudienceName {
    AudienceName::new("test").unwrap()
}

/// A target's name.
#[expect(clippy::unwrap_used, reason = "a constant that fits")]
pub fn target(index: usize) -> TargetName {
    TargetName::new(&format!("prod-{}", index + 1)).unwrap()
}

/// A version's number.
#[expect(clippy::unwrap_used, reason = "a constant that fits")]
pub fn version(index: usize) -> Version {
    format!("1.{}.0", index % VERSIONS).parse().unwrap()
}

/// When every world begins.
#[expect(clippy::unwrap_used, reason = "a constant that fits")]
pub fn beginning() -> Timestamp {
    Timestamp::from_second(1_780_000_000).unwrap()
}

/// The time so many milliseconds after the beginning.
pub fn after_beginning(milliseconds: u64) -> Timestamp {
    beginning().checked_add(SignedDuration::from_millis(milliseconds as i64)).unwrap_or(Timestamp::MAX)
}

/// What prod is: nothing that serves people lives for a while only.
fn class(setting: &Setting) -> Class {
    if setting.lives.is_some() { Class::Test } else { Class::Live }
}

/// A setting's windows as times.
pub fn openings(windows: &[(u64, u64)]) -> Vec<Opening> {
    // The first minute has begun when a world begins.
    let began = beginning().as_second().rem_euclid(60);
    let moment = |minute: u64| Timestamp::from_second(beginning().as_second() - began + minute as i64 * 60);
    let moment = |minute: u64| moment(minute).unwrap_or(Timestamp::MAX);
    windows.iter().map(|(from, until)| Opening { from: moment(*from), until: moment(*until) }).collect()
}

fn far() -> Timestamp {
    beginning().checked_add(SignedDuration::from_hours(24 * 365)).unwrap_or(Timestamp::MAX)
}

fn content(index: usize) -> Vec<u8> {
    format!("{} {}", app_of(index), version(index)).into_bytes()
}

/// A version's manifest: one file, one process, and what changes the data where it does that.
fn manifest(index: usize, change: Option<Change>, can_stand_by: bool) -> Manifest {
    let process = Process {
        run: if can_stand_by { vec!["./web".into(), "$PORT".into()] } else { vec!["./web".into()] },
        copies: 1,
        port: None,
        health: None,
        stop_signal: StopSignal::Term,
        stop_seconds: 5,
        socket: None,
    };
    let migrate = change.map(|change| Migrate {
        run: vec!["./web".into(), "migrate".into()],
        undo: change.has_undo.then(|| vec!["./web".into(), "back".into()]),
        process: None,
        within_seconds: 60,
    });
    let upstream = Some(Upstream::Nginx);
    let traffic = Traffic { upstream, drain: None, back: None, drain_seconds: 0, switch: None };
    let traffic = can_stand_by.then_some(traffic);
    let run = Run { processes: [("web".to_owned(), process)].into(), migrate, traffic, ..Run::default() };
    let bytes = content(index);
    let size = bytes.len() as u64;
    let file = Entry::File { path: "web".into(), executable: true, size, digest: Digest::of(&bytes) };
    Manifest { format: FORMAT, app: app_of(index), files: vec![file], run }
}

/// The manifest of a package's version: what it lists, one member after the other where that is so.
fn package(index: usize, builds: &[Digest], in_order: bool) -> Manifest {
    let member = |listed: usize| {
        let is_last = listed / VERSIONS == WEB;
        let after = if in_order && is_last { [app(DB)].into() } else { BTreeSet::new() };
        (app_of(listed), Member { version: version(listed), build: builds[listed], after })
    };
    let run = Run { package: listed(index).into_iter().map(member).collect(), ..Run::default() };
    Manifest { format: FORMAT, app: app_of(index), files: Vec::new(), run }
}

/// What prod asks for, fixed in a world's script.
#[derive(Clone)]
pub struct Cast {
    /// The estate.
    pub estate: Digest,
    /// The documents of trust.
    pub documents: Estate,
    /// Those that come later, where any do; those of the thief's own estate, where he has one; and those that he lets follow
    /// the estate's first root, where he has a former owner's key.
    pub later: Option<Estate>,
    pub thiefs: Option<Estate>,
    pub usurping: Option<Estate>,
    /// The builds, by version.
    pub builds: Vec<Digest>,
    /// What they are.
    pub manifests: Vec<Manifest>,
    /// The objects that the depot gets by the pushes.
    pub objects: Vec<Vec<u8>>,
    windows: Vec<Window>,
    setting: Setting,
}

type Made<T> = Result<T, Box<dyn std::error::Error>>;

impl Cast {
    /// The documents for a setting.
    pub fn new(setting: &Setting, fault: Option<Fault>) -> Made<Self> {
        let name = PersonName::new("boss")?;
        let online = if setting.repository { ledger_key() } else { key(9) };
        let root = RootBuilder::first(far()).owner(&name, owner().public()).online(online.public());
        let root = match setting.rotates {
            true => root.owner(&PersonName::new(CHAIR)?, chair(1).public()).thresholds(2, 2).build()?,
            false => root.build()?,
        };
        let (first, second) = (owners(setting, 1), owners(setting, 2));
        let root = sign(&root, &first)?;
        let line = |who: Who| who.key().public().to_openssh();
        let charter = format!(
            r#"charter = "acme"
[server]
ledger = ["{}"]
[people]
coder  = {{ roles = ["developer"], keys = ["{}"] }}
tester = {{ roles = ["qa"], keys = ["{}"] }}
oncall = {{ roles = ["ops"], keys = ["{}"] }}
second = {{ roles = ["ops"], keys = ["{}"] }}
[environments]
prod = {{ class = "{}", approve = "qa and ops", deploy = "ops", soak_minutes = {}{}{} }}
{}"#,
            ledger_key().public().to_openssh(),
            line(Who::Coder),
            line(Who::Tester),
            line(Who::Oncall),
            line(Who::Second),
            class(setting).word(),
            setting.soak_minutes,
            terms(setting),
            staleness(setting, fault),
            if setting.tricks.members { TEST } else { "" },
        );
        let estate = Digest::of(&root);
        let without_second = charter.replace(r#"second = { roles = ["ops"]"#, r#"second = { roles = ["developer"]"#);
        let his_own =
            [Who::Coder, Who::Tester, Who::Oncall, Who::Second].iter().fold(charter.clone(), |charter, who| {
                charter.replace(&line(*who), &thiefs_key(*who).public().to_openssh())
            });
        let thiefs = setting.tricks.foreign.then(|| thiefs_documents(&root, his_own.clone(), fault)).transpose()?;
        let delegates = setting.repository;
        let next = setting.rotates.then(|| next_root(&root, &first, &second)).transpose()?;
        let usurps = setting.rotates && setting.taken.is_some();
        let usurping = usurps.then(|| usurping_documents(&root, his_own, fault)).transpose()?;
        let later = if setting.tricks.charters { without_second } else { charter.clone() };
        let later = || documents(&root, next, 2, later, &second, delegates);
        let later = (setting.tricks.charters || setting.rotates).then(later).transpose()?;
        let first = documents(&root, None, 1, charter, &first, delegates)?;
        let (mut builds, mut objects, mut manifests) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..VERSIONS {
            let manifest = manifest(index, setting.changes_data.get(&index).copied(), setting.sides);
            let bytes = manifest.to_bytes()?;
            builds.push(Digest::of(&bytes));
            objects.extend([bytes, content(index)]);
            manifests.push(manifest);
        }
        let further = if setting.package.is_some() { VERSIONS..3 * VERSIONS } else { 0..0 };
        for index in further {
            let is_package = index / VERSIONS == SHOP;
            let manifest = match is_package {
                true => package(index, &builds, setting.package == Some(InOrder(true))),
                false => manifest(index, None, false),
            };
            let bytes = manifest.to_bytes()?;
            builds.push(Digest::of(&bytes));
            objects.push(bytes);
            objects.extend((!is_package).then(|| content(index)));
            manifests.push(manifest);
        }
        let windows = setting.windows.iter().map(window).map(|text| text.parse()).collect::<Result<_, _>>()?;
        Ok(Self {
            estate,
            documents: first,
            later,
            thiefs,
            usurping,
            builds,
            manifests,
            objects,
            windows,
            setting: setting.clone(),
        })
    }

    /// Whether the owners delegate a repository to the server.
    pub fn publishes(&self) -> bool {
        self.setting.repository
    }

    /// The version of a build.
    pub fn version_of(&self, build: &Digest) -> Option<usize> {
        self.builds.iter().position(|other| other == build)
    }

    /// The packages that list a build.
    pub fn packages_of(&self, build: &Digest) -> Vec<Digest> {
        let lists = |package: &usize| listed(*package).iter().any(|listed| self.builds[*listed] == *build);
        let packages = (SHOP * VERSIONS)..self.builds.len();
        packages.filter(lists).map(|package| self.builds[package]).collect()
    }

    /// A build in words.
    pub fn name(&self, build: &Digest) -> String {
        match self.version_of(build) {
            Some(index) => format!("{}@{}", app_of(index), version(index)),
            None => format!("web#{}", build.short()),
        }
    }

    /// A signed statement.
    pub fn sign(&self, subject: Digest, act: Act, id: &str, now: Timestamp, signers: &[&SecretKey]) -> Made<Envelope> {
        self.sign_for(self.estate, subject, act, id, now, signers)
    }

    /// A signed statement of any estate.
    fn sign_for(
        &self,
        estate: Digest,
        subject: Digest,
        act: Act,
        id: &str,
        now: Timestamp,
        signers: &[&SecretKey],
    ) -> Made<Envelope> {
        let header = Header {
            estate,
            request_id: RequestId::new(id)?,
            submit_before: now.checked_add(SignedDuration::from_hours(1))?,
            on_behalf_of: None,
        };
        let signers: Vec<&dyn Signer> = signers.iter().map(|key| *key as &dyn Signer).collect();
        Ok(Statement { subject_name: "web".into(), subject, header, act }.sign(&signers)?)
    }

    /// What founds the estate, lets the targets join, and brings the builds: what every world begins with.
    pub fn opening(&self, targets: usize) -> Made<Vec<Submission>> {
        let now = beginning();
        let mut submissions = Vec::new();
        let bare =
            |envelope| Submission { envelope, attachments: BTreeMap::new(), texts: BTreeMap::new(), claim: None };
        let administration = |act| Act::Administration(Administration { act });
        submissions.push(Submission { claim: Some(CLAIM.into()), ..self.apply(&self.documents, "found", now)? });
        let stay = [(false, false), (true, false)];
        let come_and_go = [(false, true), (true, true)];
        let come_and_go = come_and_go.into_iter().filter(|_| self.setting.passing > 0);
        for (early, ephemeral) in stay.into_iter().chain(come_and_go) {
            let ring = early.then(|| (EARLY.0.to_owned(), EARLY.1.to_owned()));
            let side = self.setting.sides.then(|| (SIDE.to_owned(), SIDES[usize::from(early)].to_owned()));
            let labels = ring.into_iter().chain(side).collect();
            let invite = AdministrationAct::InviteTarget {
                invitation: invitation_key(early, ephemeral).public(),
                environment: prod(),
                labels,
                name: None,
                uses: 100,
                expires: now.checked_add(SignedDuration::from_hours(24))?,
                ephemeral,
            };
            let id = format!("invite:{early}:{ephemeral}");
            submissions.push(bare(self.sign(self.estate, administration(invite), &id, now, &[&owner()])?));
        }
        for index in 0..targets {
            submissions.push(bare(self.join(index, &format!("join:{index}"), now)?));
        }
        let coder = Who::Coder.key();
        for (index, build) in self.builds.iter().enumerate() {
            let push = Act::Push(Push { app: app_of(index), commit: None, recipe: None, makers: vec![] });
            submissions.push(bare(self.sign(*build, push, &format!("push:{index}"), now, &[&coder])?));
            let number = Act::Number(Number { app: app_of(index), version: version(index) });
            submissions.push(bare(self.sign(*build, number, &format!("number:{index}"), now, &[&coder])?));
        }
        Ok(submissions)
    }

    /// The owner's word that these documents be in force.
    pub fn apply(&self, documents: &Estate, id: &str, now: Timestamp) -> Made<Submission> {
        let charter = documents.charter.clone().into_bytes();
        let act = AdministrationAct::ApplyCharter {
            roots: documents.roots.iter().map(|root| Digest::of(&root.0)).collect(),
            targets: Digest::of(&documents.targets),
            charter: Digest::of(&charter),
        };
        let act = Act::Administration(Administration { act });
        let envelope = self.sign(self.estate, act, id, now, &[&owner()])?;
        let files = documents.roots.iter().map(|root| root.0.clone()).chain([documents.targets.clone(), charter]);
        let attachments = files.map(|bytes| (Digest::of(&bytes), Attachment(bytes))).collect();
        Ok(Submission { envelope, attachments, texts: BTreeMap::new(), claim: None })
    }

    /// What the same people signed for another estate, whose environment has the same name: that every build may run there,
    /// and that it shall.
    pub fn of_another_estate(&self, fault: Option<Fault>) -> Made<Vec<Envelope>> {
        let another = match fault {
            // Where nobody looks at the estate, it is as if it were this one.
            Some(Fault::EstateUnchecked) => self.estate,
            _ => Digest::of(b"another estate"),
        };
        self.all_for(another, Who::key, 0..self.builds.len(), [&prod(); 2])
    }

    /// What the same people signed for another environment: that every package may run there, and that it shall.
    pub fn of_another_environment(&self, fault: Option<Fault>) -> Made<Vec<Envelope>> {
        let (permitted, ordered) = match fault {
            // Where nobody looks for which environment something was ordered, it is as if it were this one.
            Some(Fault::OrderFromBeside) => (test(), prod()),
            _ => (test(), test()),
        };
        self.all_for(self.estate, Who::key, SHOP * VERSIONS..self.builds.len(), [&permitted, &ordered])
    }

    /// What the thief's own people signed for this one: the same.
    pub fn of_the_thiefs(&self) -> Made<Vec<Envelope>> {
        self.all_for(self.estate, thiefs_key, 0..self.builds.len(), [&prod(); 2])
    }

    /// All that is needed to have some versions run: permitted in one environment, and ordered for one.
    fn all_for(
        &self,
        estate: Digest,
        key: fn(Who) -> SecretKey,
        versions: Range<usize>,
        [permitted, ordered]: [&AudienceName; 2],
    ) -> Made<Vec<Envelope>> {
        let now = beginning();
        let mut signed = Vec::new();
        let mut sign = |subject: Digest, act: Act, who: Who| -> Made<Digest> {
            let id = format!("another:{}", signed.len());
            let envelope = self.sign_for(estate, subject, act, &id, now, &[&key(who)])?;
            let payload = Digest::of(&envelope.payload);
            signed.push(envelope);
            Ok(payload)
        };
        for index in versions {
            let build = &self.builds[index];
            sign(
                *build,
                Act::Push(Push { app: app_of(index), commit: None, recipe: None, makers: vec![] }),
                Who::Coder,
            )?;
            sign(*build, Act::Number(Number { app: app_of(index), version: version(index) }), Who::Coder)?;
            let mut request = self.request(index, 99, now, SignedDuration::from_hours(24))?;
            if let Act::Request(request) = &mut request {
                request.audience.clone_from(permitted);
            }
            let request = sign(*build, request, Who::Coder)?;
            for who in [Who::Tester, Who::Oncall] {
                let mut approval = self.approval(index);
                if let Act::Approval(approval) = &mut approval {
                    approval.audience.clone_from(permitted);
                }
                sign(request, approval, who)?;
            }
            let mut order = self.order(app_of(index), OrderAct::Deploy, &Besides::default(), now);
            if let Act::Order(order) = &mut order {
                order.environment.clone_from(ordered);
            }
            sign(*build, order, Who::Oncall)?;
        }
        Ok(signed)
    }

    /// That a freeze is lifted, by nobody but the server.
    pub fn lift_by_the_server(&self, freeze: Digest) -> Made<Envelope> {
        let lift = Act::Freeze(Freeze::Lift(Lift { reason: None }));
        self.sign(freeze, lift, &format!("lift:{}", freeze.short()), beginning(), &[&ledger_key()])
    }

    /// A target's word that it joins: by its invitation, and with its own key.
    pub fn join(&self, index: usize, id: &str, now: Timestamp) -> Made<Envelope> {
        let keys = [&invitation_key(is_early(index), self.setting.is_passing(index)), &target_key(index)];
        self.sign(self.estate, self.enrolment(index), id, now, &keys)
    }

    fn enrolment(&self, index: usize) -> Act {
        let facts = Facts {
            os: "linux".into(),
            arch: "x86_64".into(),
            memory_bytes: 1 << 30,
            agent_version: "0.1.0".into(),
            ..Facts::default()
        };
        Act::Enrolment(Enrolment {
            environment: prod(),
            target: target(index),
            invitation: invitation_key(is_early(index), self.setting.is_passing(index)).public(),
            key: target_key(index).public(),
            recipient: "age1sim".into(),
            facts,
            active: BTreeMap::new(),
        })
    }

    /// What a target has pinned.
    pub fn enrolled(&self, index: usize) -> Enrolled {
        let pinned = Pinned {
            estate: self.estate,
            environment: prod(),
            class: class(&self.setting),
            target: target(index),
            apps: BTreeSet::new(),
        };
        let joined = Some(after_beginning(self.setting.joins(index)));
        Enrolled { pinned, url: "https://server".into(), pin: Digest::of(b""), joined }
    }

    /// A wish that a version be released to prod.
    pub fn request(&self, index: usize, serial: u64, now: Timestamp, holds: SignedDuration) -> Made<Act> {
        Ok(Act::Request(Request {
            app: app_of(index),
            version: version(index),
            audience: prod(),
            way: Default::default(),
            reason: None,
            charter_version: 1,
            requires: "qa and ops".parse()?,
            serial,
            not_before: now.checked_sub(SignedDuration::from_mins(1))?,
            not_after: now.checked_add(holds)?,
            floor: None,
        }))
    }

    /// One person's yes to a version's request.
    pub fn approval(&self, index: usize) -> Act {
        Act::Approval(Approval { app: app_of(index), version: version(index), audience: prod() })
    }

    /// Permission taken back.
    pub fn withdrawal(&self, index: usize, through_serial: u64) -> Act {
        Act::Withdrawal(Withdrawal {
            app: app_of(index),
            version: version(index),
            audience: prod(),
            through_serial,
            reason: None,
        })
    }

    /// An order for prod, to be signed now.
    pub fn order(&self, app: AppName, act: OrderAct, besides: &Besides, now: Timestamp) -> Act {
        let whole = |minutes: u64| Timestamp::from_second(now.as_second() + minutes as i64 * 60).ok();
        let (at, expires) = (besides.at.and_then(whole), besides.expires.and_then(whole));
        let order = Order {
            only: besides.only.map(target).into_iter().collect(),
            when_released: besides.when_released,
            after_current: besides.after_current,
            rollout: besides.care.clone(),
            schedule: Schedule { at, expires, windows: Vec::new() },
            ..Order::new(app, prod(), act)
        };
        self.written_out(order, now)
    }

    /// The order with prod's windows in it, as its signer reads them in the charter.
    pub fn written_out(&self, mut order: Order, now: Timestamp) -> Act {
        if brings_something_new(order.act) {
            order.schedule.windows = Schedule::write_out(&self.windows, order.schedule.at.unwrap_or(now));
        }
        Act::Order(order)
    }
}

/// The documents of a charter, in one of its versions, in which the owners delegate a repository to the server or do not;
/// with the next root, where they come by that.
fn documents(
    root: &[u8],
    next: Option<Vec<u8>>,
    version: u64,
    charter: String,
    owners: &[SecretKey],
    delegates: bool,
) -> Made<Estate> {
    let file = TargetFile { length_bytes: charter.len() as u64, digest: Digest::of(charter.as_bytes()) };
    let delegated = || -> Made<serde_json::Value> {
        let charter = Charter::from_bytes(charter.as_bytes())?;
        Ok(tuf::repository::delegations(&charter, &Root::bootstrap(root)?))
    };
    let delegated = delegates.then(delegated).transpose()?;
    let files = [(CHARTER_TARGET.to_owned(), file)].into();
    let mut targets = Targets::unsigned(version, far(), &files, delegated.as_ref())?;
    if delegates {
        tuf::repository::date_targets(&mut targets, beginning())?;
    }
    let targets = sign(&targets, owners)?;
    let roots = std::iter::once(root.to_vec()).chain(next).map(Attachment).collect();
    Ok(Estate { roots, targets, charter, suspensions: Vec::new() })
}

/// The documents of an estate that is the thief's own, in which his people hold all the roles. Where nobody looks whose
/// root it is, it is as if it were this estate's, and its owner his.
fn thiefs_documents(root: &[u8], charter: String, fault: Option<Fault>) -> Made<Estate> {
    if fault == Some(Fault::RootUnpinned) {
        return documents(root, None, 3, charter, &[owner()], false);
    }
    let owner = thiefs_key(Who::Boss);
    let root = RootBuilder::first(far()).owner(&PersonName::new("boss")?, owner.public()).online(key(9).public());
    let root = tuf::sign_metadata(&root.build()?, &[&owner])?;
    documents(&root, None, 3, charter, &[owner], false)
}

/// The documents of the thief's own people by a root that he lets follow the first. He signs it with his own key, and with a
/// former owner's that he has. Where nobody asks for the owners of before, it is as if they had signed it.
fn usurping_documents(root: &[u8], charter: String, fault: Option<Fault>) -> Made<Estate> {
    let (boss, chairs) = (PersonName::new("boss")?, PersonName::new(CHAIR)?);
    let his = thiefs_key(Who::Boss);
    let next = RootBuilder::after(&Root::bootstrap(root)?, far()).without(&boss).without(&chairs);
    let next = next.owner(&boss, his.public()).thresholds(1, 1).build()?;
    let mut keys = vec![thiefs_key(Who::Boss), chair(1)];
    keys.extend((fault == Some(Fault::NewKeysAlone)).then(owner));
    documents(root, Some(sign(&next, &keys)?), 3, charter, &[his], false)
}

/// What a setting says of prod, for the charter.
fn terms(setting: &Setting) -> String {
    let share = |share: Share| match share {
        Share::Count(count) => count.to_string(),
        words => format!("\"{words}\""),
    };
    let quoted = |words: Vec<String>| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let rollout = &setting.rollout;
    let mut terms = format!(
        ", rollout = {{ at_once = {}, canary = {}, rings = [{}], bake_minutes = {}, advance = \"{}\", min_healthy = {}, \
         failure_budget = {}, progress_minutes = {}, on_failure = \"{}\" }}",
        share(rollout.at_once),
        rollout.canary,
        quoted(rollout.rings.iter().map(Ring::to_string).collect()),
        rollout.bake_minutes,
        if rollout.advance == Advance::Hand { "hand" } else { "health" },
        share(rollout.min_healthy),
        share(rollout.failure_budget),
        rollout.progress_minutes,
        match rollout.on_failure {
            OnFailure::Undo => "undo",
            OnFailure::Pause => "pause",
            OnFailure::Stop => "stop",
        },
    );
    if setting.sides {
        terms.push_str(&format!(", sides = \"{SIDE}\""));
    }
    if let Some(lives) = setting.lives {
        terms.push_str(&format!(", lives = \"{lives}m\""));
    }
    if setting.passing > 0 {
        terms.push_str(&format!(", ephemeral_minutes = {}", setting.silent_minutes));
    }
    if setting.hastens {
        terms.push_str(", hasten = \"ops\"");
    }
    if !setting.windows.is_empty() {
        terms.push_str(&format!(", windows = [{}]", quoted(setting.windows.iter().map(window).collect())));
    }
    terms
}

/// How old the word of a repository may be, where there is one, for the charter; or so much older that nobody minds.
fn staleness(setting: &Setting, fault: Option<Fault>) -> String {
    let hours = if fault == Some(Fault::StalenessIgnored) { 24 * STALE_HOURS } else { STALE_HOURS };
    if setting.repository { format!(", stale_hours = {hours}") } else { String::new() }
}

/// A window in the words of a charter.
fn window((from, until): &(u64, u64)) -> String {
    let clock = |minute: u64| format!("{:02}:{:02}", (FIRST_MINUTE + minute) / 60, (FIRST_MINUTE + minute) % 60);
    format!("daily {}-{} UTC", clock(*from), clock(*until))
}
