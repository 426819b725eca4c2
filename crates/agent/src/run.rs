//! Performs the steps that [`crate::step`] picks. Each begins in the journal before it touches anything, and whatever
//! a step needs after a restart stands on disk before the journal says so.

use crate::{
    documents::{self, Documents, TrustError},
    drivers::{Drivers, Machine, MachineError},
    files::{self, FileError},
    follow::{Follower, Look},
    freshness::{self, Copy, RefreshError, Refresher},
    home::{Home, HomeError},
    journal::{Failure, Journal, Journals, Migrating, MigrationStage, UnderWay},
    lifetime::Lifetime,
    runtime::{Runtime, ServiceSpec},
    step::{self, Last, Step},
    supply::{Origin, Supply, SupplyError},
    watch, withdraw,
};
use api::{
    agent::{Memory, Orders},
    link::Stranger,
};
use domain::plan::Assignment;
use jiff::Timestamp;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use trust::{
    AppName, Digest,
    authority::{Dossier, Road, VerifiedAuthority},
    dsse::Envelope,
    key::SecretKey,
    manifest::Manifest,
    statement::{Phase, PhaseTiming, StatementSignError},
};

mod bring;
mod check;
mod lapse;
mod migrate;
mod outcome;

use bring::lost_place;
use outcome::ReportError;

/// The code of the refusal where nothing fresh is known.
const STALE: &str = "STALE";
/// The code with which a server refuses a body that it cannot read, as one with fields it does not know.
const MALFORMED: &str = "MALFORMED";

/// The agent's hands: one application after the other, one step after the other.
pub struct Engine<S, M> {
    home: Home,
    key: Arc<SecretKey>,
    identity: age::x25519::Identity,
    /// The documents of trust.
    pub documents: Documents,
    /// The ledger's checkpoints.
    pub follower: Follower,
    journals: Journals,
    refresher: Refresher,
    lifetime: Lifetime,
    supply: S,
    drivers: Drivers<M>,
    /// What the server was told last of what it has lost.
    told: Option<Memory>,
}

/// Why the engine stopped in the middle. The journal says where it goes on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file cannot be read or written: the disk is full or broken.
    #[error(transparent)]
    File(#[from] FileError),
    /// The data folder is unusable.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A report could not be signed.
    #[error(transparent)]
    Sign(#[from] StatementSignError),
    /// What was seen of the repository cannot be taken up.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    /// The documents of trust contradict themselves.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Something could not be removed from the machine.
    #[error("{0}; it is tried again")]
    Machine(MachineError),
    /// The journal contradicts itself.
    #[error("the journal of {0} makes no sense: {1}")]
    Journal(AppName, &'static str),
}

/// What this process has proved and read about the assignment under way.
#[derive(Default)]
struct Session {
    authority: Option<VerifiedAuthority>,
    manifest: Option<Manifest>,
    config: Option<CheckedConfig>,
    endpoints: Vec<String>,
    /// What people should look at though it is done.
    doubt: Option<String>,
    timings: Vec<PhaseTiming>,
}

/// A config set that was found to fit: its serial, and the document's bytes.
#[derive(Clone, Default)]
struct CheckedConfig {
    serial: u64,
    bytes: Option<Vec<u8>>,
}

impl<S: Supply, M: Machine> Engine<S, M> {
    /// An engine over a data folder whose target has joined.
    pub fn new(home: Home, documents: Documents, supply: S, machine: M) -> Result<Self, EngineError> {
        let key = Arc::new(home.key()?);
        let identity = home.identity()?;
        let journals = Journals::open(home.journal(), machine.clock().now())?;
        let follower = Follower::open(home.trust().join("checkpoint.json"))?;
        let now = machine.clock().now();
        let refresher = Refresher::open(&home.trust(), &documents, now)?;
        let lifetime = Lifetime::open(home.place(), home.joined(now)?)?;
        supply.refreshed(refresher.signed());
        Ok(Self {
            home,
            key,
            identity,
            documents,
            follower,
            journals,
            refresher,
            lifetime,
            supply,
            drivers: Drivers::new(machine),
            told: None,
        })
    }

    /// The target's own key.
    pub fn key(&self) -> Arc<SecretKey> {
        self.key.clone()
    }

    /// What is remembered.
    pub fn journals(&self) -> &Journals {
        &self.journals
    }

    /// The machine, for looking.
    pub fn machine(&self) -> &M {
        self.drivers.machine()
    }

    /// What time it is on the machine.
    pub fn now(&self) -> Timestamp {
        self.machine().clock().now()
    }

    /// The data folder.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Where things come from and go to.
    pub fn supply(&self) -> &S {
        &self.supply
    }

    /// Finishes or takes back what a process before this one was killed in, and starts again what should run and does
    /// not. Needs no server. To be called at the start and every now and then.
    pub fn recover(&mut self) {
        if let Some(reserve) = self.home.reserve() {
            reserve.refill();
        }
        if let Err(error) = self.take_carried() {
            tracing::error!(%error, "cannot keep a withdrawal that was carried here");
        }
        if let Err(error) = self.lapse() {
            tracing::error!(%error, "this target's time is over, and not everything is removed yet");
        }
        if self.is_over() {
            return;
        }
        let apps: Vec<AppName> = self.journals.iter().map(|journal| journal.app.clone()).collect();
        for app in apps {
            if let Err(error) = self.follow(&app, None) {
                tracing::error!(%app, %error, "cannot carry on");
            }
            let journal = self.journals.get(&app);
            let runs = journal.active.as_ref().is_some_and(|active| !active.stopped);
            if runs
                && journal.under_way.is_none()
                && let Err(error) = self.machine().revive(&app)
            {
                tracing::error!(%app, %error, "cannot start again what should run");
            }
        }
    }

    /// Does what the newest answer to a poll says, and answers whether everything could be followed as far as it goes.
    pub fn obey(&mut self, orders: &Orders) -> bool {
        if orders.charter_version > self.documents.version() || orders.suspensions != self.documents.suspensions() {
            self.refresh();
        }
        let kept = self.keep_withdrawals(&orders.withdrawals).and_then(|()| self.keep_freezes(&orders.freezes));
        if let Err(error) = kept {
            // Nothing is followed that a withdrawal or freeze heard of may forbid, until it is kept.
            tracing::error!(%error, "cannot keep a withdrawal or freeze; nothing new is followed until it is kept");
            for assignment in &orders.assignments {
                self.tell_stuck(&assignment.app, Some(assignment), &error);
            }
            return false;
        }
        self.know_server();
        if let Err(error) = self.follow_ledger(&orders.checkpoint) {
            tracing::error!(%error, "cannot follow the ledger");
        }
        self.remember(orders);
        // What is assigned, or was not told yet, the server judges by what ran before.
        let is_known = |app: &AppName| {
            let journal = self.journals.get(app);
            let is_quiet = journal.under_way.is_none() && journal.unreported.is_none();
            is_quiet && !orders.assignments.iter().any(|assignment| assignment.app == *app)
        };
        let settled: Vec<_> = orders.settled.iter().filter(|(app, _)| is_known(app)).cloned().collect();
        if let Err(error) = self.settle(&settled) {
            tracing::error!(%error, "cannot remember what settled");
        }
        let mut is_whole = true;
        for assignment in &orders.assignments {
            if let Err(error) = self.follow(&assignment.app, Some(assignment)) {
                tracing::error!(app = %assignment.app, %error, "stopped in the middle; it is carried on with");
                is_whole = false;
            }
        }
        is_whole
    }

    /// What runs here, by the build.
    pub fn active(&self) -> BTreeMap<AppName, Digest> {
        let active = |journal: &Journal| Some((journal.app.clone(), self.running(journal)?));
        self.journals.iter().filter_map(active).collect()
    }

    /// Looks whether the server's ledger only grew since it was last seen.
    fn follow_ledger(&mut self, note: &str) -> Result<(), FileError> {
        let charter = &self.documents.verified().charter;
        let (keys, epoch) = (charter.server.ledger.clone(), charter.epoch);
        match self.follower.look(note, &keys, epoch)? {
            Look::Known => Ok(()),
            Look::Invalid(why) => {
                tracing::warn!(%why, "the checkpoint does not count");
                Ok(())
            }
            Look::Prove { from, to, shown } => match self.supply.consistency(from, to) {
                Ok(proof) => self.follower.judge(&shown, note, &proof),
                Err(error) => {
                    tracing::warn!(%error, "the server gives no proof that its ledger only grew");
                    if matches!(error, SupplyError::Refused { .. }) {
                        self.follower.unproved(&shown);
                    }
                    Ok(())
                }
            },
        }
    }

    /// Tells the server what is remembered here and may be lost there: once for each thing that is missing.
    fn remember(&mut self, orders: &Orders) {
        let withdrawals = self.documents.withdrawals_missing_in(&orders.withdrawals);
        let freezes = self.documents.freezes_missing_in(&orders.freezes, self.now());
        let lacks = self.follower.behind().is_some() || self.follower.fork().is_some();
        let note = self.follower.untold().cloned().or_else(|| self.follower.newest().filter(|_| lacks));
        if note.is_none() && withdrawals.is_empty() && freezes.is_empty() {
            return;
        }
        let (epoch, checkpoint) = match note {
            Some(note) => (note.epoch, note.text),
            None => (self.documents.verified().charter.epoch, String::new()),
        };
        let active = self.active();
        let number = |journal: &Journal| Some(*journal.active.as_ref()?.number.clone()?);
        let numbers = self.journals.iter().filter_map(number).collect();
        let memory = Memory { epoch, checkpoint, withdrawals, active, numbers, freezes };
        if self.told.as_ref() == Some(&memory) {
            return;
        }
        let told = match self.supply.remember(&memory) {
            // A server of before cannot read what is said of freezes. Any other no is about what it has read, and stands.
            Err(SupplyError::Refused { code, .. }) if code == MALFORMED && !memory.freezes.is_empty() => {
                self.supply.remember(&Memory { freezes: Vec::new(), ..memory.clone() })
            }
            told => told,
        };
        match told {
            Ok(()) => {
                tracing::warn!("told the server what its ledger has lost");
                self.told = Some(memory);
                if let Err(error) = self.follower.told() {
                    tracing::error!(%error, "cannot remember that the server was told");
                }
            }
            Err(error) => tracing::info!(%error, "the server was not told yet what its ledger has lost"),
        }
    }

    /// Takes a newer charter, roots or suspensions from the server, where they count.
    pub fn refresh(&mut self) {
        match self.supply.estate() {
            Ok(estate) => match self.documents.adopt(estate) {
                Ok(true) => tracing::info!(charter = self.documents.version(), "took newer estate documents"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "kept the estate documents already here"),
            },
            Err(error) => tracing::debug!(%error, "cannot fetch the estate documents"),
        }
        self.know_server();
    }

    /// Looks for the server where the charter in force says, by the keys that it names and no others.
    fn know_server(&self) {
        let server = &self.documents.verified().charter.server;
        self.supply.learn(&server.keys);
        self.supply.learn_places(&server.urls);
    }

    /// Follows a server with other keys than those known here, as after an eviction, where a newer charter names them.
    /// Nothing else of what it says is believed.
    pub fn meet(&mut self, stranger: Stranger) {
        let Stranger { key, estate } = stranger;
        let verified = documents::verify(&self.documents.pinned().estate, &estate, self.documents.version());
        match verified {
            Ok(verified) if verified.charter.server.keys.contains(&key) => match self.documents.adopt(estate) {
                Ok(_) => tracing::warn!(%key, "owners gave the server other keys; it is followed"),
                Err(error) => {
                    tracing::error!(%key, %error, "a server with a key that is not known here is not followed")
                }
            },
            Ok(_) => tracing::error!(%key, "whoever answers in the server's place has a key that owners did not name"),
            Err(error) => tracing::error!(%key, %error, "a server with a key that is not known here is not followed"),
        }
        self.know_server();
    }

    /// Keeps every genuine withdrawal for this environment, whether or not anything it is about was assigned.
    pub fn keep_withdrawals(&mut self, withdrawals: &[Envelope]) -> Result<(), TrustError> {
        if withdrawals.is_empty() {
            return Ok(());
        }
        let policy = self.documents.policy();
        self.documents.keep_withdrawals(&policy, withdrawals)
    }

    /// Keeps what is genuine of what was said of freezes in this environment.
    pub fn keep_freezes(&mut self, freezes: &[Envelope]) -> Result<(), TrustError> {
        if freezes.is_empty() {
            return Ok(());
        }
        let policy = self.documents.policy();
        let now = self.now();
        self.documents.keep_freezes(&policy, freezes, now)
    }

    /// How what is followed now came here.
    fn road(&self) -> Road {
        if self.supply.bundle().is_some() { Road::Carried } else { Road::Network }
    }

    /// Keeps the withdrawals that somebody carried here.
    fn take_carried(&mut self) -> Result<(), TrustError> {
        for (place, envelope) in withdraw::waiting(&self.home.trust())? {
            self.keep_withdrawals(&[envelope])?;
            files::remove(&place)?;
        }
        Ok(())
    }

    /// The date of the newest word of the repository that this target has seen whole.
    pub fn refreshed(&self) -> Option<Timestamp> {
        self.refresher.signed()
    }

    /// Refreshes from the server's repository, and from every mirror: what a server holds back, a mirror may tell.
    pub fn refresh_repository(&mut self) {
        let apps: BTreeSet<AppName> = self.journals.iter().map(|journal| journal.app.clone()).collect();
        for origin in std::iter::once(Origin::Server).chain((0..self.supply.mirrors()).map(Origin::Mirror)) {
            if let Err(error) = self.refresh_from(origin, &apps) {
                tracing::warn!(%error, ?origin, "the repository was not refreshed");
            }
        }
    }

    /// Refreshes what concerns these applications: from the server, and from every mirror where `all` of them are to be
    /// heard, else from the first that has all of it.
    fn refresh_for(&mut self, apps: &BTreeSet<AppName>, all: bool) -> Result<(), RefreshError> {
        let mut outcome = self.refresh_from(Origin::Server, apps);
        for mirror in 0..self.supply.mirrors() {
            if outcome.is_err() || all {
                let from_mirror = self.refresh_from(Origin::Mirror(mirror), apps);
                outcome = outcome.or(from_mirror);
            }
        }
        outcome
    }

    /// Withdrawals are taken even from what is too old to count.
    fn refresh_from(&mut self, origin: Origin, apps: &BTreeSet<AppName>) -> Result<(), RefreshError> {
        if self.documents.verified().targets.delegations().is_none() {
            // An estate from before there was a repository.
            return Ok(());
        }
        let source = Copy { supply: &self.supply, origin };
        let now = match self.road() {
            Road::Network => self.drivers.machine().clock().now(),
            // How old what is carried may be, the owners say; the online keys' own terms are for the network.
            Road::Carried => Timestamp::MIN,
        };
        let refreshed = self.refresher.refresh(&mut self.documents, apps, &source, now);
        self.supply.refreshed(self.refresher.signed());
        self.know_server();
        if let Origin::Mirror(mirror) = origin
            && refreshed.as_ref().err().is_none_or(|error| error.away().is_none())
        {
            let mut found = match &refreshed {
                Ok(()) => Vec::new(),
                Err(_) => freshness::old_withdrawals(&self.documents, apps, &source),
            };
            let environment = &self.documents.pinned().environment;
            found.extend(freshness::brought_to_witness(&self.supply, mirror, environment));
            self.keep_withdrawals(&found)?;
        }
        refreshed
    }

    /// Takes the server's word on what settled, for builds that were verified here.
    pub fn settle(&mut self, settled: &[(AppName, Digest)]) -> Result<(), EngineError> {
        for (app, build) in settled {
            let mut journal = self.journals.get(app);
            if journal.settle(*build) {
                self.journals.save(journal)?;
            }
        }
        Ok(())
    }

    /// Follows an assignment, or without one carries on with what was begun, until nothing more can be done now. Once the
    /// target's time is over, nothing is followed.
    pub fn follow(&mut self, app: &AppName, offered: Option<&Assignment>) -> Result<(), EngineError> {
        if self.is_over() {
            return Ok(());
        }
        self.follow_as_far_as_it_goes(app, offered).inspect_err(|error| self.tell_stuck(app, offered, error))
    }

    fn follow_as_far_as_it_goes(&mut self, app: &AppName, offered: Option<&Assignment>) -> Result<(), EngineError> {
        let mut last = Last::Nothing;
        let timings = self.journals.get(app).under_way.map(|under_way| under_way.timings).unwrap_or_default();
        let mut session = Session { timings, ..Session::default() };
        let mut is_decided = false;
        loop {
            let epoch = self.documents.verified().charter.epoch;
            let journal = self.journals.get(app);
            let step = step::next(&self.as_seen(&journal), offered, epoch, &last);
            tracing::debug!(%app, ?step, "next");
            if let Some(under_way) = &journal.under_way {
                self.tell(under_way, &last);
            }
            last = match step {
                Step::Nothing | Step::Ignore => return Ok(()),
                Step::Forget => return self.forget(journal),
                Step::Close(outcome) => {
                    let under_way = journal.under_way.as_ref().map(|under_way| &under_way.assignment);
                    is_decided = under_way.is_none() || under_way == offered;
                    self.close(journal, offered, outcome, &mut session)?;
                    Last::Nothing
                }
                Step::Report => match self.report(journal) {
                    Ok(()) if offered.is_none() || is_decided => return Ok(()),
                    Ok(()) => Last::Nothing,
                    Err(ReportError::Unsent(error)) => {
                        tracing::info!(%app, %error, "the outcome is not acknowledged yet; it is sent again");
                        Last::Away(error.to_string())
                    }
                    Err(ReportError::Engine(error)) => return Err(error),
                },
                step => self.perform(app, step, offered, &mut session)?,
            };
        }
    }

    /// The journal as far as the machine makes up for what was lost with an earlier one: where nothing runs, nothing that
    /// ran is forgotten.
    fn as_seen<'a>(&self, journal: &'a Journal) -> Cow<'a, Journal> {
        match journal.has_forgotten() && self.machine().current(&journal.app).is_none() {
            true => Cow::Owned(Journal { replaced: false, ..journal.clone() }),
            false => Cow::Borrowed(journal),
        }
    }

    /// The build that runs by the journal, or by the machine where the journal has forgotten, or going back failed.
    fn running(&self, journal: &Journal) -> Option<Digest> {
        let is_stuck = journal.last.as_ref().is_some_and(|last| last.stuck.is_some());
        match &journal.active {
            _ if is_stuck || journal.has_forgotten() => self.machine().current(&journal.app),
            active => active.as_ref().map(|active| active.build),
        }
    }

    fn perform(
        &mut self,
        app: &AppName,
        step: Step,
        offered: Option<&Assignment>,
        session: &mut Session,
    ) -> Result<Last, EngineError> {
        let started = (self.now(), self.machine().clock().elapsed());
        let (phase, last) = match step {
            Step::Authorise => {
                self.begin(app, offered, None)?;
                (Phase::Check, self.check(app, session)?)
            }
            Step::Fetch => {
                self.enter(app, Phase::Fetch, session)?;
                let under_way = self.under_way(app)?;
                let Some(manifest) = &session.manifest else { return Ok(lost_place()) };
                (Phase::Fetch, self.fetch(&under_way, under_way.assignment.build, manifest)?)
            }
            Step::Stage => {
                self.enter(app, Phase::Stage, session)?;
                let Some(manifest) = &session.manifest else { return Ok(lost_place()) };
                (Phase::Stage, self.stage(self.under_way(app)?.assignment.build, manifest)?)
            }
            Step::Configure => {
                self.enter(app, Phase::Configure, session)?;
                (Phase::Configure, self.configure(app, session)?)
            }
            Step::Migrate => {
                self.enter(app, Phase::Migrate, session)?;
                (Phase::Migrate, self.migrate(app, session)?)
            }
            Step::Activate => (Phase::Activate, self.activate(app, session)?),
            Step::Remove => (Phase::Remove, self.remove(app, session)?),
            Step::Verify => {
                self.enter(app, Phase::Verify, session)?;
                (Phase::Verify, self.verify(app, session)?)
            }
            Step::Undo(failure) => {
                self.begin(app, offered, Some(failure.clone()))?;
                let last = self.undo(app, failure, session)?;
                (Phase::Activate, last)
            }
            Step::Nothing | Step::Ignore | Step::Forget | Step::Close(_) | Step::Report => {
                return Err(EngineError::Journal(app.clone(), "a step that is no phase"));
            }
        };
        let took = self.machine().clock().elapsed().saturating_sub(started.1);
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        session.timings.push(PhaseTiming { phase, started: started.0, milliseconds });
        Ok(last)
    }

    /// Writes into the journal that an assignment has begun, unless one has.
    fn begin(
        &mut self,
        app: &AppName,
        offered: Option<&Assignment>,
        undoing: Option<Failure>,
    ) -> Result<(), EngineError> {
        let mut journal = self.journals.get(app);
        if journal.under_way.is_some() {
            return Ok(());
        }
        let Some(assignment) = offered else {
            return Err(EngineError::Journal(app.clone(), "nothing is under way and nothing was assigned"));
        };
        let last = journal.last.as_ref().filter(|last| last.deployment == assignment.deployment);
        // Only what is taken back goes to what ran before the deployment. Whatever brings something goes back to what runs
        // now: the deployment's number is the server's word, and no order names it.
        let taken_back = last.filter(|_| undoing.is_some());
        let before = match taken_back {
            Some(last) => last.before.clone(),
            None => journal.active.clone(),
        };
        // What the deployment did to data is taken back by the build that did it, or brings it.
        let migration = taken_back.and_then(|last| last.migrated);
        let migrating = migration.map(|migration| Migrating { migration, stage: MigrationStage::Done });
        let next = migration.and(journal.active.clone());
        journal.under_way = Some(UnderWay {
            assignment: assignment.clone(),
            dossier: Dossier::default(),
            before,
            next,
            phase: Phase::Check,
            undoing,
            timings: Vec::new(),
            migrating,
        });
        Ok(self.journals.save(journal)?)
    }

    fn under_way(&self, app: &AppName) -> Result<UnderWay, EngineError> {
        let under_way = self.journals.get(app).under_way;
        under_way.ok_or_else(|| EngineError::Journal(app.clone(), "nothing is under way"))
    }

    fn change(&mut self, app: &AppName, change: impl FnOnce(&mut UnderWay)) -> Result<(), EngineError> {
        let mut journal = self.journals.get(app);
        let Some(under_way) = &mut journal.under_way else {
            return Err(EngineError::Journal(app.clone(), "nothing is under way"));
        };
        change(under_way);
        Ok(self.journals.save(journal)?)
    }

    /// As [`Self::change`], in one write with the order's being carried out.
    fn touch(&mut self, app: &AppName, change: impl FnOnce(&mut UnderWay)) -> Result<(), EngineError> {
        let mut journal = self.journals.get(app);
        let Some(under_way) = &mut journal.under_way else {
            return Err(EngineError::Journal(app.clone(), "nothing is under way"));
        };
        change(under_way);
        journal.perform(self.now());
        Ok(self.journals.save(journal)?)
    }

    /// Writes into the journal that a phase begins, with the times of those before it.
    fn enter(&mut self, app: &AppName, phase: Phase, session: &Session) -> Result<(), EngineError> {
        if self.under_way(app)?.phase == phase {
            return Ok(());
        }
        self.change(app, |under_way| {
            under_way.phase = phase;
            under_way.timings = session.timings.clone();
        })
    }

    /// Lets go of what has touched nothing. Files that arrived stay, and are of use when it is offered again.
    fn forget(&mut self, mut journal: Journal) -> Result<(), EngineError> {
        tracing::info!(app = %journal.app, "let go of what touched nothing yet; it is offered again");
        journal.under_way = None;
        Ok(self.journals.save(journal)?)
    }
}

impl<S: Supply> Engine<S, Arc<Runtime>> {
    /// What the copies of an active build are to be; nothing where that cannot be worked out now.
    pub fn expected_copies(&self, journal: &Journal) -> Option<Vec<ServiceSpec>> {
        let bringing = self.bringing(&journal.app, journal.active.as_ref()?).ok()?.ok()?;
        self.machine().specs(&journal.app, &bringing.build, &bringing.manifest.run, &bringing.values).ok()
    }

    /// What is to be looked after of an active build: its copies, and until it has settled what it wants asked again.
    /// Nothing where that cannot be worked out now.
    pub fn to_watch(&self, journal: &Journal) -> Option<(Vec<watch::Copy>, Vec<watch::Again<watch::Question>>)> {
        let bringing = self.bringing(&journal.app, journal.active.as_ref()?).ok()?.ok()?;
        let build = bringing.running();
        let specs = self.machine().specs(build.app, build.build, build.run, build.values).ok()?;
        let again = match journal.is_unsettled() {
            true => self.machine().to_ask_again(build, &specs).unwrap_or_default(),
            false => Vec::new(),
        };
        let is_doubted = journal.active.as_ref().is_some_and(|active| active.doubted);
        let again =
            again.into_iter().map(|again| if is_doubted { again.once_people_looked() } else { again }).collect();
        let health = |spec: &ServiceSpec| build.run.processes.get(&spec.id.process).and_then(|it| it.health.clone());
        Some((specs.into_iter().map(|spec| (spec.clone(), health(&spec))).collect(), again))
    }
}

fn no_supply(error: SupplyError) -> Last {
    match error {
        SupplyError::Away(why) => Last::Away(why),
        SupplyError::Refused { .. } | SupplyError::Broken(_) => Last::Failed(error.to_string()),
    }
}
