//! An estate with its people, a server that says whatever a test wants, and a machine that can die.

use crate::{
    documents::Documents,
    drivers::{Bringing, Machine, MachineError},
    home::{Enrolled, Home},
    repository::FetchError,
    run::Engine,
    runtime::{Exit, TaskState},
    supply::{Origin, Supply, SupplyError},
};
use api::{
    agent::{Memory, ProgressReport},
    read::Estate,
    write::Attachment,
};
use domain::plan::{Assignment, Migration};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    rc::Rc,
};
use trust::{
    AppName, AudienceName, Digest, PersonName, TargetName, Version,
    authority::{Dossier, PackageDossier, Pinned},
    charter::{CHARTER_TARGET, Charter, Class},
    config::{ConfigDocument, ConfigValue},
    dsse::Envelope,
    freeze::{Freeze, Lift, Terms},
    key::{SecretKey, Signer},
    manifest::{ConfigKey, Entry, FORMAT, Manifest, Member, Migrate, Process, Run, StopSignal},
    statement::{
        Act, Approval, Config, Header, Inventory, Number, Order, OrderAct, Outcome, Push, Report, Request, RequestId,
        Statement, Withdrawal,
    },
    tuf::{
        self, Root, RootBuilder, TargetFile, Targets,
        repository::{self, ListedFile, PermitFile},
    },
    way::Way,
};

pub fn app() -> AppName {
    AppName::new("web").unwrap()
}

pub fn prod() -> AudienceName {
    AudienceName::new("prod").unwrap()
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub fn owner() -> SecretKey {
    key(1)
}

pub fn coder() -> SecretKey {
    key(2)
}

pub fn tester() -> SecretKey {
    key(3)
}

pub fn oncall() -> SecretKey {
    key(4)
}

fn far() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(24 * 300)
}

fn root() -> Vec<u8> {
    let name = PersonName::new("boss").unwrap();
    let built = RootBuilder::first(far()).owner(&name, owner().public()).online(key(9).public()).build().unwrap();
    tuf::sign_metadata(&built, &[&owner()]).unwrap()
}

/// The charter, with prod of this class, from before there was a repository.
pub fn estate(version: u64, class: &str) -> Estate {
    estate_with(version, class, "", &owner())
}

/// The charter with a first line more, signed by `signer`.
pub fn estate_with(version: u64, class: &str, first: &str, signer: &SecretKey) -> Estate {
    estate_delegating(version, class, None, first, signer)
}

/// The charter with which the owners delegate a repository to the server's key.
pub fn estate_with_repository(version: u64) -> Estate {
    let plain = estate(version, "live");
    let root = Root::bootstrap(&plain.roots[0].0).unwrap();
    let charter = Charter::from_bytes(plain.charter.as_bytes()).unwrap();
    estate_delegating(version, "live", Some(&repository::delegations(&charter, &root)), "", &owner())
}

/// A repository of `estate` as the server's key signs it: version, date, and what is withdrawn. By path.
pub fn published(estate: &Estate, version: u64, dated: Timestamp, withdrawn: &[Envelope]) -> BTreeMap<String, Vec<u8>> {
    published_of(estate, version, dated, &[(app(), withdrawn)])
}

/// The same, with what was withdrawn of several applications.
pub fn published_of(
    estate: &Estate,
    version: u64,
    dated: Timestamp,
    withdrawn: &[(AppName, &[Envelope])],
) -> BTreeMap<String, Vec<u8>> {
    let good_until = dated + SignedDuration::from_hours(24 * 7);
    let sign = |signed: Result<Value, tuf::TufError>| repository::sign_online(&signed.unwrap(), &key(9)).unwrap();
    let mut files = BTreeMap::new();
    let charter = Digest::of(estate.charter.as_bytes());
    files.insert(format!("targets/{}.charter.toml", charter.hex()), estate.charter.as_bytes().to_vec());
    let targets_version =
        serde_json::from_slice::<Value>(&estate.targets).unwrap()["signed"]["version"].as_u64().unwrap();
    files.insert(format!("metadata/{targets_version}.targets.json"), estate.targets.clone());
    let mut listing = BTreeMap::new();
    for (app, withdrawn) in withdrawn {
        let mut permits = PermitFile::new(estate_digest(), app.clone(), prod());
        permits.withdrawals = withdrawn.to_vec();
        let bytes = permits.to_bytes().unwrap();
        let digest = Digest::of(&bytes);
        let listed = TargetFile { length_bytes: bytes.len() as u64, digest };
        files.insert(format!("targets/{}.permits.prod.{app}.json", digest.hex()), bytes);
        listing.insert(repository::permits_target(&prod(), app), (listed, Value::Null));
    }
    let mut meta = BTreeMap::from([("targets.json".to_string(), ListedFile::of(targets_version, &estate.targets))]);
    for audience in ["dev", "prod"] {
        let files_of =
            if audience == "prod" { repository::listing(&listing) } else { Value::Object(Default::default()) };
        let bytes = sign(repository::permits_role(version, good_until, &files_of));
        meta.insert(format!("permits-{audience}.json"), ListedFile::of(version, &bytes));
        files.insert(format!("metadata/{version}.permits-{audience}.json"), bytes);
    }
    let snapshot = sign(repository::snapshot(version, good_until, &meta));
    let timestamp = repository::timestamp(version, good_until, dated, &ListedFile::of(version, &snapshot));
    files.insert(format!("metadata/{version}.snapshot.json"), snapshot);
    files.insert("metadata/timestamp.json".into(), sign(timestamp));
    files
}

fn estate_delegating(
    version: u64,
    class: &str,
    delegations: Option<&Value>,
    first: &str,
    signer: &SecretKey,
) -> Estate {
    thread_local! {
        // Its expiry is taken from the clock, and root 1 is what the estate's digest is of.
        static ROOT: Vec<u8> = root();
    }
    let root = ROOT.with(Clone::clone);
    let line = |key: SecretKey| key.public().to_openssh();
    let charter = format!(
        r#"{first}
charter = "acme"
[people]
coder  = {{ roles = ["developer"], keys = ["{}"] }}
tester = {{ roles = ["qa"], keys = ["{}"] }}
oncall = {{ roles = ["ops"], keys = ["{}"] }}
[environments]
dev  = {{ class = "dev", deploy = "developer" }}
prod = {{ class = "{class}", approve = "qa and ops", deploy = "ops" }}
"#,
        line(coder()),
        line(tester()),
        line(oncall())
    );
    let file = TargetFile { length_bytes: charter.len() as u64, digest: Digest::of(charter.as_bytes()) };
    let targets = [(CHARTER_TARGET.to_owned(), file)].into();
    let mut unsigned = Targets::unsigned(version, far(), &targets, delegations).unwrap();
    if delegations.is_some() {
        repository::date_targets(&mut unsigned, Timestamp::now()).unwrap();
    }
    let targets = tuf::sign_metadata(&unsigned, &[signer]).unwrap();
    Estate { roots: vec![Attachment(root)], targets, charter, suspensions: Vec::new() }
}

fn estate_digest() -> Digest {
    Digest::of(&estate(1, "live").roots[0].0)
}

pub fn sign(subject: Digest, act: Act, signer: &SecretKey) -> Envelope {
    sign_until(far(), subject, act, signer)
}

/// The same, to be submitted until then.
fn sign_until(submit_before: Timestamp, subject: Digest, act: Act, signer: &SecretKey) -> Envelope {
    thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
    let count = COUNT.with(|count| count.replace(count.get() + 1));
    let header = Header {
        estate: estate_digest(),
        request_id: RequestId::new(format!("test:{count}")).unwrap(),
        submit_before,
        on_behalf_of: None,
    };
    Statement { subject_name: "test".into(), subject, header, act }.sign(&[signer]).unwrap()
}

/// A build whose one file says `content`.
pub fn manifest(content: &str) -> Manifest {
    let process = Process {
        run: vec!["./web".into()],
        copies: 1,
        port: None,
        health: None,
        stop_signal: StopSignal::Term,
        stop_seconds: 5,
        socket: None,
    };
    let mut run = Run { processes: [("web".to_owned(), process)].into(), ..Run::default() };
    run.config.insert("LEVEL".into(), ConfigKey { secret: false, default: Some("info".into()) });
    let file = Entry::File {
        path: "web".into(),
        executable: true,
        size: content.len() as u64,
        digest: Digest::of(content.as_bytes()),
    };
    // The builds that change data: one that can take that back, and one that cannot.
    let command = |word: &str| vec!["./migrate".to_owned(), word.to_owned()];
    let undo = (content == "both ways").then(|| command("down"));
    if ["both ways", "one way"].contains(&content) {
        run.migrate = Some(Migrate { run: command("up"), undo, process: None, within_seconds: 60 });
    }
    // The builds that this machine is not fit for.
    match content {
        "for another processor" => run.needs.arch = Some("pdp11".into()),
        "for another system" => run.needs.os = Some("plan9".into()),
        "too much memory" => run.needs.memory_bytes = Some(1 << 60),
        "too much room" => run.needs.disk_bytes = Some(1 << 60),
        "a kernel to come" => run.needs.kernel = Some("99.1".into()),
        "a service that nobody has" => run.needs.services = ["nobody-has-this".to_owned()].into(),
        "a program that nobody has" => run.needs.programs = ["nobody-has-this".to_owned()].into(),
        _ => {}
    }
    Manifest { format: trust::manifest::FORMAT, app: app(), files: vec![file], run }
}

/// The builds that this machine is not fit for.
pub const UNFIT: [&str; 7] = [
    "for another processor",
    "for another system",
    "too much memory",
    "too much room",
    "a kernel to come",
    "a service that nobody has",
    "a program that nobody has",
];

pub fn build(content: &str) -> Digest {
    Digest::of(&manifest(content).to_bytes().unwrap())
}

pub fn order(content: &str, act: OrderAct) -> Envelope {
    order_in(content, act, prod())
}

pub fn order_in(content: &str, act: OrderAct, environment: AudienceName) -> Envelope {
    order_of(build(content), act, environment)
}

pub fn order_of(build: Digest, act: OrderAct, environment: AudienceName) -> Envelope {
    sign(build, Act::Order(Order::new(app(), environment, act)), &oncall())
}

/// An order in prod that says that the data stays.
pub fn order_keeping_data(build: Digest, act: OrderAct) -> Envelope {
    let order = Order { keep_data: true, ..Order::new(app(), prod(), act) };
    sign(build, Act::Order(order), &oncall())
}

/// An order in prod that could be submitted until so many hours from now.
pub fn order_until(hours: i64, content: &str, act: OrderAct) -> Envelope {
    let order = Order::new(app(), prod(), act);
    sign_until(Timestamp::now() + SignedDuration::from_hours(hours), build(content), Act::Order(order), &oncall())
}

pub fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// Everything that lets a build into prod, with the order.
pub fn released(content: &str, number: &str, act: OrderAct) -> Dossier {
    let order = order(content, act);
    Dossier { order: Some(order), ..permitted(build(content), number) }
}

/// Everything that lets a build into prod, without an order.
pub fn permitted(build: Digest, number: &str) -> Dossier {
    let version = version(number);
    let push = Push { app: app(), commit: None, recipe: None, makers: vec![] };
    let request = Request {
        app: app(),
        version: version.clone(),
        audience: prod(),
        way: Way::Normal,
        reason: None,
        charter_version: 1,
        requires: "qa and ops".parse().unwrap(),
        serial: 1,
        not_before: Timestamp::now() - SignedDuration::from_hours(1),
        not_after: far(),
        floor: None,
    };
    let request = sign(build, Act::Request(request), &coder());
    let approve = |signer: SecretKey| {
        let approval = Approval { app: app(), version: version.clone(), audience: prod() };
        sign(Digest::of(&request.payload), Act::Approval(approval), &signer)
    };
    Dossier {
        push: Some(sign(build, Act::Push(push), &coder())),
        number: Some(sign(build, Act::Number(Number { app: app(), version: version.clone() }), &coder())),
        approvals: vec![approve(tester()), approve(oncall())],
        request: Some(request),
        ..Dossier::default()
    }
}

pub fn withdrawal(content: &str, number: &str) -> Envelope {
    let version = version(number);
    let act = Withdrawal { app: app(), version, audience: prod(), through_serial: 1, reason: None };
    sign(build(content), Act::Withdrawal(act), &tester())
}

/// A package that lists a build as `web` of this number, released to prod by the same people.
pub fn package(content: &str, number: &str) -> (Digest, PackageDossier) {
    let (shop, version): (AppName, Version) = ("shop".parse().unwrap(), version(number));
    let member = Member { version: version.clone(), build: build(content), after: BTreeSet::new() };
    let run = Run { package: BTreeMap::from([(app(), member)]), ..Run::default() };
    let manifest = Manifest { format: FORMAT, app: shop.clone(), files: vec![], run }.to_bytes().unwrap();
    let digest = Digest::of(&manifest);
    let Dossier { request, .. } = permitted(digest, number);
    let Act::Request(request) = Statement::read(&request.unwrap()).unwrap().act else { panic!("a request") };
    let request = sign(digest, Act::Request(Request { app: shop.clone(), ..request }), &coder());
    let approve = |signer: SecretKey| {
        let approval = Approval { app: shop.clone(), version: version.clone(), audience: prod() };
        sign(Digest::of(&request.payload), Act::Approval(approval), &signer)
    };
    let push = Push { app: shop.clone(), commit: None, recipe: None, makers: vec![] };
    let package = PackageDossier {
        manifest: String::from_utf8(manifest).unwrap(),
        push: Some(sign(digest, Act::Push(push), &coder())),
        number: Some(sign(digest, Act::Number(Number { app: shop.clone(), version: version.clone() }), &coder())),
        approvals: vec![approve(tester()), approve(oncall())],
        request: Some(request),
    };
    (digest, package)
}

/// What a target gets for the member of a package, by the package's order.
pub fn brought(content: &str, number: &str) -> Dossier {
    let (digest, package) = package(content, number);
    let order = Order::new("shop".parse().unwrap(), prod(), OrderAct::Deploy);
    let order = Some(sign(digest, Act::Order(order), &oncall()));
    Dossier { request: None, approvals: vec![], order, package: Some(package), ..permitted(build(content), number) }
}

/// The withdrawal of a package.
pub fn withdrawal_of_package(content: &str, number: &str) -> Envelope {
    let (digest, _) = package(content, number);
    let (app, version) = ("shop".parse().unwrap(), version(number));
    let act = Withdrawal { app, version, audience: prod(), through_serial: 1, reason: None };
    sign(digest, Act::Withdrawal(act), &tester())
}

/// A freeze of prod.
pub fn freeze(from: Timestamp, until: Timestamp, signer: &SecretKey) -> Envelope {
    let reason = Digest::of(b"holidays");
    let terms = Terms { environments: [prod()].into(), apps: BTreeSet::new(), from, until, reason };
    sign(estate_digest(), Act::Freeze(Freeze::Declare(terms)), signer)
}

/// The end of it, before its time.
pub fn lift(freeze: &Envelope, signer: &SecretKey) -> Envelope {
    sign(Digest::of(&freeze.payload), Act::Freeze(Freeze::Lift(Lift { reason: None })), signer)
}

/// A config set: its document's bytes and the statement over them.
pub fn config(serial: u64, level: &str) -> (Vec<u8>, Envelope) {
    let document = ConfigDocument {
        app: app(),
        environment: prod(),
        values: [("LEVEL".to_owned(), ConfigValue::Plain(level.into()))].into(),
        salt: "00".into(),
    };
    let bytes = document.to_bytes().unwrap();
    let act = Config {
        app: app(),
        environment: prod(),
        serial,
        keys: [("LEVEL".to_owned(), false)].into(),
        recipients: BTreeSet::new(),
    };
    let envelope = sign(Digest::of(&bytes), Act::Config(act), &oncall());
    (bytes, envelope)
}

pub fn assignment(generation: u64, content: &str, act: OrderAct) -> Assignment {
    Assignment {
        epoch: 1,
        generation,
        deployment: generation,
        app: app(),
        environment: prod(),
        act,
        undo: false,
        build: build(content),
        version: None,
        config: None,
        migrate: None,
    }
}

/// What is left of a process that died: unwinding stands for the end, and nothing after it runs.
pub struct Died;

/// Counts down to a death.
#[derive(Clone, Default)]
pub struct Fuse(Rc<Cell<Option<u32>>>);

impl Fuse {
    /// Dies at the `points`th point from now.
    pub fn light(&self, points: u32) {
        self.0.set(Some(points));
    }

    pub fn put_out(&self) {
        self.0.set(None);
    }

    fn point(&self) {
        match self.0.get() {
            Some(0) => {
                self.0.set(None);
                std::panic::resume_unwind(Box::new(Died));
            }
            Some(left) => self.0.set(Some(left - 1)),
            None => {}
        }
    }

    /// Something that may be the last thing done, or just not be done any more.
    fn around<T>(&self, deed: impl FnOnce() -> T) -> T {
        self.point();
        let result = deed();
        self.point();
        result
    }
}

/// What a server knows and says.
#[derive(Default)]
pub struct Sayings {
    pub estate: Option<Estate>,
    pub dossiers: BTreeMap<u64, Dossier>,
    /// From the second time a dossier is asked for.
    pub later: Option<Dossier>,
    pub asked: u32,
    pub objects: BTreeMap<Digest, Vec<u8>>,
    pub gathered: Vec<Digest>,
    pub reports: Vec<Report>,
    pub inventories: Vec<Inventory>,
    pub report_ids: Vec<String>,
    pub away: bool,
    /// The repository's files, by path.
    pub repository: BTreeMap<String, Vec<u8>>,
    /// Its mirrors.
    pub mirrors: Vec<BTreeMap<String, Vec<u8>>>,
}

#[derive(Clone, Default)]
pub struct FakeServer {
    pub says: Rc<RefCell<Sayings>>,
    pub fuse: Fuse,
}

impl FakeServer {
    fn here(&self) -> Result<(), SupplyError> {
        if self.says.borrow().away { Err(SupplyError::Away("away".into())) } else { Ok(()) }
    }
}

impl Supply for FakeServer {
    fn estate(&self) -> Result<Estate, SupplyError> {
        self.here()?;
        Ok(self.says.borrow().estate.clone().unwrap())
    }

    fn dossier(&self, generation: u64, _app: &AppName) -> Result<Dossier, SupplyError> {
        self.here()?;
        let mut says = self.says.borrow_mut();
        says.asked += 1;
        if says.asked > 1
            && let Some(later) = &says.later
        {
            return Ok(later.clone());
        }
        says.dossiers.get(&generation).cloned().ok_or(SupplyError::Broken("no such assignment".into()))
    }

    fn object(&self, digest: &Digest, _max_bytes: u64) -> Result<Vec<u8>, SupplyError> {
        self.here()?;
        let object = self.says.borrow().objects.get(digest).cloned();
        object.ok_or(SupplyError::Broken(format!("{digest} is not in the depot")))
    }

    fn gather(
        &self,
        objects: &BTreeMap<Digest, u64>,
        folder: &Path,
        _heard: &mut dyn FnMut(u64),
    ) -> Result<(), SupplyError> {
        self.here()?;
        std::fs::create_dir_all(folder).unwrap();
        for digest in objects.keys() {
            let bytes = self.says.borrow().objects.get(digest).cloned().unwrap_or_default();
            self.fuse.around(|| std::fs::write(folder.join(digest.hex()), bytes)).unwrap();
            self.says.borrow_mut().gathered.push(*digest);
        }
        Ok(())
    }

    fn repository(&self, origin: Origin, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        let says = self.says.borrow();
        let files = match origin {
            Origin::Server => {
                self.here().map_err(|error| FetchError::Away(error.to_string()))?;
                &says.repository
            }
            Origin::Mirror(place) => &says.mirrors[place],
        };
        match files.get(path) {
            Some(bytes) if bytes.len() as u64 > max_bytes => Err(FetchError::TooLong(max_bytes)),
            file => Ok(file.cloned()),
        }
    }

    fn mirrors(&self) -> usize {
        self.says.borrow().mirrors.len()
    }

    fn refreshed(&self, _signed: Option<Timestamp>) {}

    fn submit(&self, envelope: &Envelope) -> Result<(), SupplyError> {
        self.here()?;
        let statement = Statement::read(envelope).unwrap();
        let id = statement.header.request_id.as_str().to_owned();
        let report = match statement.act {
            Act::Report(report) => report,
            Act::Inventory(inventory) => {
                self.fuse.around(|| self.says.borrow_mut().inventories.push(inventory));
                return Ok(());
            }
            _ => panic!("not a report"),
        };
        self.fuse.around(|| {
            let mut says = self.says.borrow_mut();
            // As a server does: the same id again is answered, and changes nothing.
            if !says.report_ids.contains(&id) {
                says.report_ids.push(id.clone());
                says.reports.push(report.clone());
            }
        });
        Ok(())
    }

    fn tell(&self, _progress: ProgressReport) {}

    fn consistency(&self, _from: u64, _to: u64) -> Result<Vec<Digest>, SupplyError> {
        Err(SupplyError::Away("this server proves nothing".into()))
    }

    fn learn(&self, _keys: &[Digest]) {}

    fn learn_places(&self, _urls: &[String]) {}

    fn remember(&self, _memory: &Memory) -> Result<(), SupplyError> {
        Ok(())
    }
}

/// What a machine is like: it outlives agents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disk {
    pub staged: BTreeSet<Digest>,
    pub current: Option<Digest>,
    /// What runs, with its LEVEL.
    pub running: Option<(Digest, Option<String>)>,
    pub sick: BTreeSet<Digest>,
    pub touched: u32,
    /// What was done to the data, in order, and how it is with the last of it.
    pub migrated: Vec<(Digest, Migration)>,
    pub task: Option<TaskState>,
    /// Whether migrations fail.
    pub migrations_fail: bool,
    /// Whether the application has left data.
    pub data: bool,
}

#[derive(Clone, Default)]
pub struct FakeMachine {
    pub disk: Rc<RefCell<Disk>>,
    pub fuse: Fuse,
}

impl FakeMachine {
    fn touch(&self, deed: impl FnOnce(&mut Disk)) -> Result<(), MachineError> {
        self.fuse.around(|| {
            let mut disk = self.disk.borrow_mut();
            disk.touched += 1;
            deed(&mut disk);
        });
        Ok(())
    }
}

impl Machine for FakeMachine {
    fn stage(&self, manifest: &Manifest, _sources: &BTreeMap<Digest, PathBuf>) -> Result<(), MachineError> {
        let build = Digest::of(&manifest.to_bytes().unwrap());
        self.fuse.around(|| self.disk.borrow_mut().staged.insert(build));
        Ok(())
    }

    fn is_staged(&self, _app: &AppName, build: &Digest) -> bool {
        self.disk.borrow().staged.contains(build)
    }

    fn prepare(&self, bringing: &Bringing) -> Result<(), MachineError> {
        if !self.is_staged(&app(), &bringing.build) {
            return Err(MachineError("not staged".into()));
        }
        self.touch(|_| ())
    }

    fn switch(&self, _app: &AppName, build: Option<&Digest>) -> Result<(), MachineError> {
        self.touch(|disk| disk.current = build.copied())
    }

    fn start(&self, bringing: &Bringing) -> Result<(), MachineError> {
        // The old copy stops before the new one starts.
        self.touch(|disk| disk.running = None)?;
        let level = bringing.values.get("LEVEL").cloned();
        self.touch(|disk| disk.running = Some((bringing.build, level)))
    }

    fn stop(&self, _app: &AppName) -> Result<(), MachineError> {
        self.touch(|disk| disk.running = None)
    }

    fn restart(&self, _bringing: &Bringing) -> Result<(), MachineError> {
        self.touch(|_| ())
    }

    fn verify(&self, bringing: &Bringing, _heard: &mut dyn FnMut(&str)) -> Result<Vec<String>, MachineError> {
        self.fuse.point();
        let disk = self.disk.borrow();
        let runs = disk.running.as_ref().is_some_and(|(build, _)| *build == bringing.build);
        if !runs || disk.sick.contains(&bringing.build) {
            return Err(MachineError("web-1 /healthz 503 × 5 (last log: \"no such column\")".into()));
        }
        Ok(vec!["http://127.0.0.1:20001".into()])
    }

    fn begin_migration(&self, bringing: &Bringing, migration: Migration) -> Result<(), MachineError> {
        // What is to run is on disk before it runs, and whoever dies in between does not know whether it did.
        self.fuse.around(|| self.disk.borrow_mut().task = Some(TaskState::Lost));
        self.fuse.around(|| {
            let mut disk = self.disk.borrow_mut();
            disk.migrated.push((bringing.build, migration));
            disk.task = Some(TaskState::Ended(Exit::Code(i32::from(disk.migrations_fail))));
        });
        Ok(())
    }

    fn migration(&self, _app: &AppName) -> Result<TaskState, MachineError> {
        Ok(self.disk.borrow().task.unwrap_or(TaskState::Absent))
    }

    fn await_migration(&self, _bringing: &Bringing, _migration: Migration) -> Result<(), MachineError> {
        self.fuse.point();
        match self.disk.borrow().task {
            Some(TaskState::Ended(Exit::Code(0))) => Ok(()),
            Some(TaskState::Ended(exit)) => Err(MachineError(exit.to_string())),
            _ => Err(MachineError("it is not known how far it came".into())),
        }
    }

    fn forget_migration(&self, _app: &AppName) -> Result<(), MachineError> {
        self.fuse.around(|| self.disk.borrow_mut().task = None);
        Ok(())
    }

    fn remove(&self, _app: &AppName) -> Result<(), MachineError> {
        self.touch(|disk| disk.staged.clear())
    }

    fn erase(&self, _app: &AppName) -> Result<(), MachineError> {
        self.touch(|disk| disk.staged.clear())?;
        self.touch(|disk| disk.data = false)
    }

    fn apps(&self) -> Result<Vec<AppName>, MachineError> {
        let disk = self.disk.borrow();
        Ok(if disk.data || !disk.staged.is_empty() { vec![app()] } else { Vec::new() })
    }

    fn discard(&self, _app: &AppName, keep: &[Digest]) -> Result<Vec<Digest>, MachineError> {
        let mut gone = Vec::new();
        self.fuse.around(|| {
            let mut disk = self.disk.borrow_mut();
            gone = disk.staged.iter().filter(|build| !keep.contains(build)).copied().collect();
            disk.staged.retain(|build| keep.contains(build));
        });
        Ok(gone)
    }

    fn revive(&self, _app: &AppName) -> Result<(), MachineError> {
        Ok(())
    }

    fn current(&self, _app: &AppName) -> Option<Digest> {
        self.disk.borrow().current
    }

    fn releases(&self, _app: &AppName) -> Result<Vec<Digest>, MachineError> {
        Ok(Vec::new())
    }

    fn release_folder(&self, _app: &AppName, build: &Digest) -> PathBuf {
        PathBuf::from("/nowhere").join(build.hex())
    }
}

/// A target in prod, its server and its machine. Agents come and go.
pub struct World {
    pub folder: tempfile::TempDir,
    pub server: FakeServer,
    pub machine: FakeMachine,
}

pub type TestEngine = Engine<FakeServer, FakeMachine>;

impl World {
    pub fn new() -> Self {
        Self::of(estate(1, "live"))
    }

    /// A target of this estate.
    pub fn of(estate: Estate) -> Self {
        Self::of_class(estate, Class::Live)
    }

    /// The same, that joined when prod was of this class.
    pub fn of_class(estate: Estate, class: Class) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fuse = Fuse::default();
        let server = FakeServer { says: Rc::default(), fuse: fuse.clone() };
        let machine = FakeMachine { disk: Rc::default(), fuse };
        server.says.borrow_mut().estate = Some(estate.clone());
        for content in ["one", "two", "three", "both ways", "one way"].iter().chain(&UNFIT) {
            let bytes = manifest(content).to_bytes().unwrap();
            server.says.borrow_mut().objects.insert(Digest::of(&bytes), bytes);
        }
        let world = Self { folder, server, machine };
        let home = Home::take(world.folder.path()).unwrap();
        let pinned = Pinned {
            estate: estate_digest(),
            environment: prod(),
            class,
            target: TargetName::new("prod-1").unwrap(),
            apps: BTreeSet::new(),
        };
        Documents::found(home.trust(), pinned.clone(), estate).unwrap();
        let joined = Some(Timestamp::now());
        home.enrol(&Enrolled { pinned, url: "https://127.0.0.1:1".into(), pin: Digest::of(b""), joined }).unwrap();
        world
    }

    /// Lets the target have joined then.
    pub fn joined(&self, joined: Timestamp) {
        let home = Home::take(self.folder.path()).unwrap();
        let enrolled = home.enrolled().unwrap().unwrap();
        home.enrol(&Enrolled { joined: Some(joined), ..enrolled }).unwrap();
    }

    /// A new agent process on the same data folder.
    pub fn agent(&self) -> TestEngine {
        self.agent_on(self.machine.clone())
    }

    /// The same on another machine.
    pub fn agent_on<M: Machine>(&self, machine: M) -> Engine<FakeServer, M> {
        let home = Home::take(self.folder.path()).unwrap();
        let pinned = home.enrolled().unwrap().unwrap().pinned;
        let documents = Documents::open(home.trust(), pinned).unwrap();
        Engine::new(home, documents, self.server.clone(), machine).unwrap()
    }

    /// The documents as they are on disk.
    pub fn documents(&self) -> Documents {
        let home = Home::take(self.folder.path()).unwrap();
        Documents::open(home.trust(), home.enrolled().unwrap().unwrap().pinned).unwrap()
    }

    pub fn say(&self, generation: u64, dossier: Dossier) {
        self.server.says.borrow_mut().dossiers.insert(generation, dossier);
    }

    /// Follows the assignment and answers with the outcome that was reported for it, if one was.
    pub fn follow(&self, engine: &mut TestEngine, assignment: &Assignment) -> Option<Outcome> {
        let before = self.server.says.borrow().reports.len();
        engine.follow(&assignment.app, Some(assignment)).unwrap();
        let says = self.server.says.borrow();
        assert!(says.reports.len() <= before + 1, "one assignment, one outcome");
        says.reports.get(before).map(|report| report.outcome.clone())
    }

    /// Deploys a released build, which must go well.
    pub fn deploy(&self, engine: &mut TestEngine, generation: u64, content: &str, number: &str) {
        self.say(generation, released(content, number, OrderAct::Deploy));
        let outcome = self.follow(engine, &assignment(generation, content, OrderAct::Deploy));
        assert_eq!(outcome, Some(Outcome::Verified));
    }

    pub fn touched(&self) -> u32 {
        self.machine.disk.borrow().touched
    }
}
