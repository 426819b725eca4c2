//! Performs the steps that [`crate::step`] picks. Each begins in the journal before it touches anything, and whatever
//! a step needs after a restart stands on disk before the journal says so.

use crate::{
    authorise::{self, Refusal},
    documents::{Documents, TrustError},
    drivers::{Bringing, Drivers, Machine, MachineError},
    files::{self, FileError},
    follow::{Follower, Look},
    freshness::{self, Copy, RefreshError, Refresher},
    home::{Home, HomeError, memory_bytes},
    journal::{Active, Failure, Journal, Journals, LastDeployment, LastState, UnderWay, Unreported},
    runtime::{Runtime, ServiceSpec},
    secrets,
    step::{self, Last, Step},
    supply::{Origin, Supply, SupplyError, found_in_release},
    withdraw,
};
use api::agent::{Memory, Orders, ProgressReport};
use domain::{plan::Assignment, policy::CARRIED_FROM};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use trust::{
    AppName, Digest,
    authority::{Dossier, Road, VerifiedAuthority},
    config::{ConfigDocument, MAX_CONFIG_BYTES},
    dsse::Envelope,
    key::SecretKey,
    manifest::{Entry, MAX_MANIFEST_BYTES, Manifest},
    names::printable,
    statement::{
        Act, Carried, Header, OrderAct, Outcome, Phase, PhaseTiming, Report, RequestId, Statement, StatementSignError,
    },
};

/// For how long a report may be submitted: less than the day the server allows, for clocks differ.
const REPORT_WITHIN: SignedDuration = SignedDuration::from_hours(12);
/// The longest reason in a report, in characters.
const REASON_CHARACTERS: usize = 500;
/// The code of the refusal where nothing fresh is known.
const STALE: &str = "STALE";
/// How often something is tried that fails because the server is away.
const TRIES: u32 = 3;
/// How long to wait before the next try.
const PAUSE: Duration = Duration::from_millis(500);

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
        let journals = Journals::open(home.journal())?;
        let follower = Follower::open(home.trust().join("checkpoint.json"))?;
        let refresher = Refresher::open(&home.trust(), &documents, machine.clock().now())?;
        supply.refreshed(refresher.signed());
        Ok(Self {
            home,
            key,
            identity,
            documents,
            follower,
            journals,
            refresher,
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
        if let Err(error) = self.take_carried() {
            tracing::error!(%error, "cannot keep a withdrawal that was carried here");
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
        if let Err(error) = self.keep_withdrawals(&orders.withdrawals) {
            // Nothing is followed that a withdrawal heard of may forbid, until that withdrawal is kept.
            tracing::error!(%error, "cannot keep a withdrawal; nothing new is followed until it is kept");
            return false;
        }
        let server = &self.documents.verified().charter.server;
        self.supply.learn(&server.keys);
        self.supply.learn_places(&server.urls);
        if let Err(error) = self.follow_ledger(&orders.checkpoint) {
            tracing::error!(%error, "cannot follow the ledger");
        }
        self.remember(&orders.withdrawals);
        if let Err(error) = self.settle(&orders.settled) {
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
    fn remember(&mut self, shown: &[Envelope]) {
        let withdrawals = self.documents.withdrawals_missing_in(shown);
        let lacks = self.follower.behind().is_some() || self.follower.fork().is_some();
        let note = self.follower.untold().cloned().or_else(|| self.follower.newest().filter(|_| lacks));
        if note.is_none() && withdrawals.is_empty() {
            return;
        }
        let active = |journal: &Journal| Some((journal.app.clone(), journal.active.as_ref()?.build));
        let (epoch, checkpoint) = match note {
            Some(note) => (note.epoch, note.text),
            None => (self.documents.verified().charter.epoch, String::new()),
        };
        let active = self.journals.iter().filter_map(active).collect();
        let memory = Memory { epoch, checkpoint, withdrawals, active };
        if self.told.as_ref() == Some(&memory) {
            return;
        }
        match self.supply.remember(&memory) {
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
    }

    /// Keeps every genuine withdrawal for this environment, whether or not anything it is about was assigned.
    pub fn keep_withdrawals(&mut self, withdrawals: &[Envelope]) -> Result<(), TrustError> {
        if withdrawals.is_empty() {
            return Ok(());
        }
        let policy = self.documents.policy()?;
        self.documents.keep_withdrawals(&policy, withdrawals)
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

    /// Refreshes what concerns one application: from the server, and from every mirror where `all` of them are to be
    /// heard, else from the first that has all of it.
    fn refresh_for(&mut self, app: &AppName, all: bool) -> Result<(), RefreshError> {
        let apps = BTreeSet::from([app.clone()]);
        let mut outcome = self.refresh_from(Origin::Server, &apps);
        for mirror in 0..self.supply.mirrors() {
            if outcome.is_err() || all {
                let from_mirror = self.refresh_from(Origin::Mirror(mirror), &apps);
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
        if let (Err(error), Origin::Mirror(_)) = (&refreshed, origin)
            && error.away().is_none()
        {
            let found = freshness::old_withdrawals(&self.documents, apps, &source);
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

    /// Follows an assignment, or without one carries on with what was begun, until nothing more can be done now.
    pub fn follow(&mut self, app: &AppName, offered: Option<&Assignment>) -> Result<(), EngineError> {
        let mut last = Last::Nothing;
        let timings = self.journals.get(app).under_way.map(|under_way| under_way.timings).unwrap_or_default();
        let mut session = Session { timings, ..Session::default() };
        let mut is_decided = false;
        loop {
            let epoch = self.documents.verified().charter.epoch;
            let journal = self.journals.get(app);
            let step = step::next(&journal, offered, epoch, &last);
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
        let same = journal.last.as_ref().filter(|last| last.deployment == assignment.deployment);
        // A deployment that comes in several assignments goes back to what ran before the first of them.
        let before = match same {
            Some(last) => last.before.clone(),
            None => journal.active.clone(),
        };
        journal.under_way = Some(UnderWay {
            assignment: assignment.clone(),
            dossier: Dossier::default(),
            before,
            next: None,
            phase: Phase::Check,
            undoing,
            timings: Vec::new(),
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
        journal.perform();
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

    /// The Check phase: every proof, and every need. Nothing is copied yet.
    fn check(&mut self, app: &AppName, session: &mut Session) -> Result<Last, EngineError> {
        let under_way = self.under_way(app)?;
        let assignment = &under_way.assignment;
        // What was begun before a restart goes on by the statements in the journal; they are judged anew all the same.
        let dossier = if step::touches(under_way.phase) {
            under_way.dossier.clone()
        } else {
            match self.supply.dossier(assignment.generation, app) {
                Ok(dossier) => dossier,
                Err(error) => return Ok(no_supply(error)),
            }
        };
        if !step::touches(under_way.phase) {
            self.refresh();
            self.change(app, |under_way| under_way.dossier = dossier.clone())?;
        }
        let refreshed = self.refresh_for(app, true);
        let authority = match (self.authorise(app, assignment, &dossier), refreshed) {
            (Ok(authority), _) => authority,
            // A ledger that was put back may ask again for what it has forgotten was done.
            (Err(refusal), _)
                if refusal.code == "ORDER_REPEATED" && self.journals.get(app).did(assignment, &dossier) =>
            {
                return Ok(Last::Done(Phase::Verify));
            }
            // Who cannot be reached now may be reached in a moment; who shows something wrong is told of.
            (Err(refusal), Err(error)) if refusal.code == STALE => {
                if let Some(why) = error.away() {
                    return Ok(Last::Away(why.to_owned()));
                }
                return Ok(denied(Refusal { reason: format!("{}; {error}", refusal.reason), ..refusal }));
            }
            (Err(refusal), _) => return Ok(denied(refusal)),
        };
        session.authority = Some(authority.clone());
        if step::touches(under_way.phase) {
            return Ok(Last::Done(Phase::Check));
        }
        match self.check_build(app, assignment, &dossier, &authority, session)? {
            Some(last) => Ok(last),
            None => Ok(Last::Done(Phase::Check)),
        }
    }

    fn authorise(
        &mut self,
        app: &AppName,
        assignment: &Assignment,
        dossier: &Dossier,
    ) -> Result<VerifiedAuthority, Refusal> {
        self.take_carried()?;
        let journal = self.journals.get(app);
        let freshness = self.refresher.freshness(&self.documents, app, self.road());
        let now = self.now();
        let authority = authorise::authorise(&mut self.documents, assignment, dossier, &journal, freshness, now)?;
        if authority.activates() && !authority.way().is_normal() {
            tracing::warn!(%app, way = %authority.way(), "an emergency permit: somebody must review it");
        }
        let activates = authority.activates();
        match (self.follower.fork(), self.follower.behind()) {
            (Some(fork), _) if activates => {
                let then = "if the server was put back from an older copy, owners must sign a new epoch";
                Err(Refusal::new("LEDGER_FORKED", format!("{fork}; {then}")))
            }
            (None, Some(behind)) if activates => Err(Refusal::new("LEDGER_BEHIND", behind)),
            _ => Ok(authority),
        }
    }

    /// Manifest, config and needs, for acts that bring or configure a build.
    fn check_build(
        &mut self,
        app: &AppName,
        assignment: &Assignment,
        dossier: &Dossier,
        authority: &VerifiedAuthority,
        session: &mut Session,
    ) -> Result<Option<Last>, EngineError> {
        let brings = match assignment.act {
            OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback => true,
            OrderAct::Configure => false,
            OrderAct::Undeploy | OrderAct::Stop | OrderAct::Start | OrderAct::Restart => return Ok(None),
        };
        let bytes = match self.home.manifest_bytes(&assignment.build)? {
            Some(bytes) => Ok(bytes),
            None => self.supply.object(&assignment.build, MAX_MANIFEST_BYTES as u64),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Some(no_supply(error))),
        };
        let manifest = match authorise::check_manifest(authority, &bytes) {
            Ok(manifest) => manifest,
            Err(refusal) => return Ok(Some(denied(refusal))),
        };
        let document = match assignment.config {
            None => None,
            Some((serial, digest)) => match self.config_bytes(app, serial, &digest)? {
                Ok(bytes) => Some(bytes),
                Err(error) => return Ok(Some(no_supply(error))),
            },
        };
        let last_serial = self.journals.get(app).config_serial;
        let fits = authorise::check_config(&self.documents, &manifest, dossier, document.as_deref(), last_serial);
        let serial = match fits {
            Ok((serial, _)) => serial,
            Err(refusal) => return Ok(Some(denied(refusal))),
        };
        if brings {
            let lacking =
                if self.machine().is_staged(app, &assignment.build) { 0 } else { manifest.total_size_bytes() };
            let has = authorise::Machine {
                memory_bytes: memory_bytes("MemAvailable").unwrap_or(u64::MAX),
                disk_bytes: free_bytes(self.home.root()),
            };
            if let Err(refusal) = authorise::check_needs(app, &manifest.run.needs, &has, lacking) {
                return Ok(Some(denied(refusal)));
            }
        }
        self.home.keep_manifest(&assignment.build, &bytes)?;
        session.manifest = Some(manifest);
        session.config = Some(CheckedConfig { serial, bytes: document });
        Ok(None)
    }

    fn config_bytes(
        &self,
        app: &AppName,
        serial: u64,
        digest: &Digest,
    ) -> Result<Result<Vec<u8>, SupplyError>, EngineError> {
        if let Some(bytes) = self.home.config(app, serial, digest)? {
            return Ok(Ok(bytes));
        }
        Ok(self.supply.object(digest, MAX_CONFIG_BYTES as u64))
    }

    /// Gets the objects that no release on disk has already.
    fn fetch(&self, under_way: &UnderWay, build: Digest, manifest: &Manifest) -> Result<Last, EngineError> {
        let app = &manifest.app;
        if self.machine().is_staged(app, &build) {
            return Ok(Last::Done(Phase::Fetch));
        }
        let mut lacking = objects(manifest);
        for digest in self.local_sources(app, &lacking)?.keys() {
            lacking.remove(digest);
        }
        let total: u64 = lacking.values().sum();
        let folder = self.home.incoming(&build);
        let mut tries = 0;
        loop {
            tries += 1;
            let mut heard = |bytes: u64| {
                self.note(under_way, Phase::Fetch, false, format!("{bytes} of {total} bytes"));
            };
            match self.supply.gather(&lacking, &folder, &mut heard) {
                Ok(()) => return Ok(Last::Done(Phase::Fetch)),
                Err(SupplyError::Away(_)) if tries < TRIES => self.machine().clock().sleep(PAUSE * tries),
                Err(error) => return Ok(Last::Failed(error.to_string())),
            }
        }
    }

    /// Files of earlier releases whose content the build has too.
    fn local_sources(
        &self,
        app: &AppName,
        wanted: &BTreeMap<Digest, u64>,
    ) -> Result<BTreeMap<Digest, std::path::PathBuf>, EngineError> {
        let mut found = BTreeMap::new();
        let releases = self.machine().releases(app).unwrap_or_default();
        for release in releases {
            if let Some(manifest) = self.home.manifest(&release)? {
                let folder = self.machine().release_folder(app, &release);
                found_in_release(&manifest, &folder, wanted, &mut found);
            }
        }
        Ok(found)
    }

    /// Lays the files out; a release that stands already is digested in full.
    fn stage(&self, build: Digest, manifest: &Manifest) -> Result<Last, EngineError> {
        let app = &manifest.app;
        let incoming = self.home.incoming(&build);
        let mut sources = BTreeMap::new();
        if !self.machine().is_staged(app, &build) {
            let wanted = objects(manifest);
            sources = self.local_sources(app, &wanted)?;
            for digest in wanted.keys() {
                let path = incoming.join(digest.hex());
                if path.is_file() {
                    sources.insert(*digest, path);
                }
            }
        }
        let staged = self.machine().stage(manifest, &sources);
        // Whether it went well or not, nothing of it is of use any more.
        files::remove(&incoming.into())?;
        Ok(match staged {
            Ok(()) => Last::Done(Phase::Stage),
            Err(error) => Last::Failed(error.0),
        })
    }

    /// Keeps the config set, tries its secrets, and writes down what shall be active.
    fn configure(&mut self, app: &AppName, session: &Session) -> Result<Last, EngineError> {
        let under_way = self.under_way(app)?;
        let (Some(manifest), Some(config)) = (&session.manifest, &session.config) else { return Ok(lost_place()) };
        let document = config.bytes.as_deref().map(ConfigDocument::from_bytes).transpose();
        let document = match document {
            Ok(document) => document,
            Err(error) => return Ok(Last::Failed(error.to_string())),
        };
        if let Err(error) = secrets::values(&manifest.run, document.as_ref(), &self.identity) {
            return Ok(Last::Failed(error.to_string()));
        }
        let mut kept = None;
        if let Some(bytes) = &config.bytes {
            self.home.keep_config(app, config.serial, bytes)?;
            kept = Some((config.serial, Digest::of(bytes)));
        }
        let configured = under_way.before.as_ref().filter(|_| under_way.assignment.act == OrderAct::Configure);
        let authority = session.authority.as_ref().map_or("", VerifiedAuthority::word);
        // New config does not change what allowed the build to run.
        let authority = configured.map_or(authority, |before| before.authority.as_str());
        let stopped = configured.is_some_and(|before| before.stopped);
        let next = Active {
            build: under_way.assignment.build,
            config: kept,
            since: self.now(),
            authority: authority.into(),
            deployment: under_way.assignment.deployment,
            stopped,
        };
        let serial = config.serial;
        let mut journal = self.journals.get(app);
        journal.config_serial = journal.config_serial.max(serial);
        if let Some(under_way) = &mut journal.under_way {
            under_way.next = Some(next);
        }
        self.journals.save(journal)?;
        Ok(Last::Done(Phase::Configure))
    }

    /// Checks the authority once more, with the newest news that can be had, just before anything is touched.
    fn check_again(&mut self, app: &AppName) -> Result<Result<VerifiedAuthority, Refusal>, EngineError> {
        let under_way = self.under_way(app)?;
        self.refresh();
        if let Err(error) = self.refresh_for(app, false) {
            tracing::debug!(%app, %error, "no fresher word just before activation");
        }
        let fresh = self.supply.dossier(under_way.assignment.generation, app);
        let dossier = match fresh {
            Ok(dossier) => {
                self.change(app, |under_way| under_way.dossier = dossier.clone())?;
                dossier
            }
            // A server that is away keeps nobody from what was allowed a moment ago; kept withdrawals still count.
            Err(_) => under_way.dossier,
        };
        Ok(self.authorise(app, &under_way.assignment, &dossier))
    }

    fn activate(&mut self, app: &AppName, session: &mut Session) -> Result<Last, EngineError> {
        let authority = match self.check_again(app)? {
            Ok(authority) => authority,
            Err(refusal) => return Ok(denied(refusal)),
        };
        let under_way = self.under_way(app)?;
        let act = under_way.assignment.act;
        let next = match (act, &under_way.before, under_way.next.clone()) {
            (_, _, Some(next)) => next,
            (OrderAct::Stop, Some(before), None) => Active { stopped: true, ..before.clone() },
            (OrderAct::Start | OrderAct::Restart, Some(before), None) => Active { stopped: false, ..before.clone() },
            _ => return Ok(lost_place()),
        };
        // From here on the journal says that what runs may have been touched, and that the order is used up.
        self.touch(app, |under_way| {
            under_way.phase = Phase::Activate;
            under_way.next = Some(next.clone());
        })?;
        let was_stopped = under_way.before.as_ref().is_some_and(|before| before.stopped);
        let done = match act {
            OrderAct::Stop => self.drivers.stop(&authority, app, next.build),
            OrderAct::Restart if !was_stopped => self.drivers.restart(&authority, app, next.build),
            _ => self.bringing(app, &next)?.and_then(|bringing| match next.stopped {
                true => self.drivers.activate_stopped(&authority, &bringing),
                false => self.drivers.activate(&authority, &bringing),
            }),
        };
        session.authority = Some(authority);
        Ok(match done {
            Ok(()) => Last::Done(Phase::Activate),
            Err(error) => Last::Failed(error.0),
        })
    }

    fn remove(&mut self, app: &AppName, session: &mut Session) -> Result<Last, EngineError> {
        let authority = match self.check_again(app)? {
            Ok(authority) => authority,
            Err(refusal) => return Ok(denied(refusal)),
        };
        self.touch(app, |under_way| {
            under_way.phase = Phase::Remove;
            under_way.timings = session.timings.clone();
        })?;
        let removed = self.drivers.remove(&authority, app);
        session.authority = Some(authority);
        Ok(match removed {
            Ok(()) => Last::Done(Phase::Remove),
            Err(error) => Last::Failed(error.0),
        })
    }

    fn verify(&mut self, app: &AppName, session: &mut Session) -> Result<Last, EngineError> {
        let under_way = self.under_way(app)?;
        let Some(next) = &under_way.next else { return Ok(lost_place()) };
        if next.stopped {
            return Ok(Last::Done(Phase::Verify));
        }
        let bringing = match self.bringing(app, next)? {
            Ok(bringing) => bringing,
            Err(error) => return Ok(Last::Failed(error.0)),
        };
        let mut heard = |said: &str| self.note(&under_way, Phase::Verify, false, said.to_owned());
        Ok(match self.machine().verify(&bringing, &mut heard) {
            Ok(endpoints) => {
                session.endpoints = endpoints;
                Last::Done(Phase::Verify)
            }
            Err(error) => Last::Failed(error.0),
        })
    }

    /// Back to what the journal says ran when the deployment began.
    fn undo(&mut self, app: &AppName, failure: Failure, session: &mut Session) -> Result<Last, EngineError> {
        self.change(app, |under_way| under_way.undoing = Some(failure))?;
        let under_way = self.under_way(app)?;
        self.note(&under_way, Phase::Activate, false, "going back".into());
        let authority = VerifiedAuthority::undo(app, under_way.before.as_ref().map(|before| before.build));
        let Some(before) = &under_way.before else {
            return Ok(match self.drivers.deactivate(&authority, app) {
                Ok(()) => Last::Undone,
                Err(error) => Last::Failed(error.0),
            });
        };
        let bringing = match self.bringing(app, before)? {
            Ok(bringing) => bringing,
            Err(error) => return Ok(Last::Failed(error.0)),
        };
        // A removal took the files away.
        if !self.machine().is_staged(app, &before.build) {
            for last in [
                self.fetch(&under_way, before.build, &bringing.manifest)?,
                self.stage(before.build, &bringing.manifest)?,
            ] {
                if let Last::Failed(why) = last {
                    return Ok(Last::Failed(why));
                }
            }
        }
        let back = if before.stopped {
            self.drivers.activate_stopped(&authority, &bringing).map(|()| Vec::new())
        } else {
            let activated = self.drivers.activate(&authority, &bringing);
            activated.and_then(|()| self.machine().verify(&bringing, &mut |_| ()))
        };
        Ok(match back {
            Ok(endpoints) => {
                session.endpoints = endpoints;
                Last::Undone
            }
            Err(error) => Last::Failed(error.0),
        })
    }

    /// What is on disk of a build that is, was or shall be active.
    fn bringing(&self, app: &AppName, active: &Active) -> Result<Result<Bringing, MachineError>, EngineError> {
        let lost = |what: &str| {
            Ok(Err(MachineError(format!("{what} of {app}#{} is gone from the data folder", active.build.short()))))
        };
        let Some(manifest) = self.home.manifest(&active.build)? else { return lost("the manifest") };
        let document = match active.config {
            None => None,
            Some((serial, digest)) => match self.home.config(app, serial, &digest)? {
                None => return lost("the config"),
                Some(bytes) => match ConfigDocument::from_bytes(&bytes) {
                    Ok(document) => Some(document),
                    Err(error) => return Ok(Err(MachineError(error.to_string()))),
                },
            },
        };
        let values = secrets::values(&manifest.run, document.as_ref(), &self.identity);
        Ok(match values {
            Ok(values) => Ok(Bringing { build: active.build, manifest, values }),
            Err(error) => Err(MachineError(error.to_string())),
        })
    }

    /// Lets go of what has touched nothing. Files that arrived stay, and are of use when it is offered again.
    fn forget(&mut self, mut journal: Journal) -> Result<(), EngineError> {
        tracing::info!(app = %journal.app, "let go of what touched nothing yet; it is offered again");
        journal.under_way = None;
        Ok(self.journals.save(journal)?)
    }

    /// Decides the outcome: one write says what is active from now on and what has to be reported.
    fn close(
        &mut self,
        mut journal: Journal,
        offered: Option<&Assignment>,
        outcome: Outcome,
        session: &mut Session,
    ) -> Result<(), EngineError> {
        let under_way = journal.under_way.take();
        let assignment = under_way.as_ref().map(|under_way| &under_way.assignment).or(offered).cloned();
        let Some(assignment) = assignment else {
            return Err(EngineError::Journal(journal.app, "an outcome of nothing"));
        };
        let app = journal.app.clone();
        let outcome = shortened(outcome);
        let mut timings = Vec::new();
        let order = under_way.as_ref().and_then(|under_way| under_way.dossier.order.as_ref());
        let order = order.map(|envelope| Digest::of(&envelope.payload));
        if let Some(under_way) = under_way {
            let touched = step::touches(under_way.phase) || under_way.undoing.is_some();
            let went_back = under_way.undoing.is_some();
            if outcome == Outcome::Verified && !went_back && touched {
                if let Some(next) = under_way.next.as_ref().filter(|next| !next.stopped) {
                    journal.verify(next.build);
                }
                journal.active = under_way.next.clone();
                journal.endpoints = std::mem::take(&mut session.endpoints);
            } else if went_back {
                journal.active = under_way.before.clone();
                journal.endpoints = std::mem::take(&mut session.endpoints);
            }
            if touched {
                let state = if went_back { LastState::Undone } else { LastState::Open };
                let deployment = assignment.deployment;
                journal.last = Some(LastDeployment { deployment, before: under_way.before, state });
            }
            timings = std::mem::take(&mut session.timings);
        }
        // What was refused may be made up, and with it its generation: that must not outrank a genuine one. Nor may one
        // that came by a bundle outrank the server's, which are numbered apart.
        if !matches!(outcome, Outcome::Refused { .. }) && assignment.generation < CARRIED_FROM {
            (journal.epoch, journal.generation) = (assignment.epoch, assignment.generation);
        }
        // Where going back failed, what is there is said, and not what should be.
        let running = match outcome {
            Outcome::Failed { .. } => self.machine().current(&app),
            _ => journal.active.as_ref().map(|active| active.build),
        };
        let report = Report {
            target: self.documents.pinned().target.clone(),
            app: app.clone(),
            epoch: assignment.epoch,
            generation: assignment.generation,
            deployment: assignment.deployment,
            outcome,
            running,
            config_serial: journal.active.as_ref().and_then(|active| active.config).map_or(0, |(serial, _)| serial),
            phases: timings,
            endpoints: journal.endpoints.clone(),
            carried: self.supply.bundle().zip(order).map(|(bundle, order)| Carried { bundle, order }),
            way: journal.active.as_ref().and_then(|active| active.authority.parse().ok()).unwrap_or_default(),
        };
        tracing::info!(%app, deployment = assignment.deployment, outcome = ?report.outcome, "decided");
        let (build, epoch) = (assignment.build, assignment.epoch);
        journal.unreported = Some(Unreported { report, build, epoch, signings: 0, signed: None });
        self.journals.save(journal)?;
        self.discard(&app);
        Ok(())
    }

    /// Removes releases that nothing goes back to. What cannot be removed now is removed after the next deployment.
    fn discard(&mut self, app: &AppName) {
        let journal = self.journals.get(app);
        let needed = journal.needed();
        let keep: Vec<Digest> = needed.iter().map(|active| active.build).collect();
        let configs: Vec<(u64, Digest)> = needed.iter().filter_map(|active| active.config).collect();
        let discarded = match self.machine().discard(app, &keep) {
            Ok(discarded) => discarded,
            Err(error) => return tracing::warn!(%app, %error, "cannot remove old releases"),
        };
        if let Err(error) = self.home.forget(app, &discarded, &configs) {
            tracing::warn!(%app, %error, "cannot remove what old releases ran with");
        }
    }

    /// Sends the outcome, signed once for as long as that signature is good, until the server has answered.
    fn report(&mut self, mut journal: Journal) -> Result<(), ReportError> {
        let app = journal.app.clone();
        let Some(unreported) = &mut journal.unreported else { return Ok(()) };
        let now = self.now();
        let good = |(until, _): &(Timestamp, Envelope)| now < *until;
        let envelope = match unreported.signed.as_ref().filter(|signed| good(signed)) {
            Some((_, envelope)) => envelope.clone(),
            None => {
                unreported.signings += 1;
                let until = now.checked_add(REPORT_WITHIN).unwrap_or(Timestamp::MAX);
                let envelope = sign_report(unreported, self.documents.pinned().estate, until, &self.key)?;
                unreported.signed = Some((until, envelope.clone()));
                self.journals.save(journal.clone()).map_err(EngineError::from)?;
                envelope
            }
        };
        match self.supply.submit(&envelope) {
            Ok(()) => {}
            // It was heard before, or a newer assignment has made it pointless: either way it is answered.
            Err(SupplyError::Refused { code, .. }) if is_answered(&code) => {}
            Err(SupplyError::Refused { code, message }) if code == "STATEMENT_EXPIRED" => {
                // This machine's clock or the server's is wrong; the next signing may fare better.
                if let Some(unreported) = &mut journal.unreported {
                    unreported.signed = None;
                }
                self.journals.save(journal).map_err(EngineError::from)?;
                return Err(ReportError::Unsent(SupplyError::Refused { code, message }));
            }
            Err(error) => return Err(ReportError::Unsent(error)),
        }
        journal.unreported = None;
        self.journals.save(journal).map_err(EngineError::from)?;
        tracing::debug!(%app, "the outcome is acknowledged");
        Ok(())
    }

    fn tell(&self, under_way: &UnderWay, last: &Last) {
        if let Last::Done(phase) = last {
            self.note(under_way, *phase, true, String::new());
        }
    }

    fn note(&self, under_way: &UnderWay, phase: Phase, done: bool, note: String) {
        self.supply.tell(ProgressReport {
            deployment: under_way.assignment.deployment,
            target: self.documents.pinned().target.clone(),
            phase,
            done,
            note,
            time: self.now(),
        });
    }
}

/// Refusals of a report that no repetition would change.
fn is_answered(code: &str) -> bool {
    matches!(code, "REPORT_STALE" | "ALREADY_DONE" | "UNKNOWN_DEPLOYMENT" | "DEPLOYMENT_OVER" | "REQUEST_ID_REUSED")
}

impl<S: Supply> Engine<S, Arc<Runtime>> {
    /// What the copies of an active build are to be; nothing where that cannot be worked out now.
    pub fn expected_copies(&self, journal: &Journal) -> Option<Vec<ServiceSpec>> {
        let bringing = self.bringing(&journal.app, journal.active.as_ref()?).ok()?.ok()?;
        self.machine().specs(&journal.app, &bringing.build, &bringing.manifest.run, &bringing.values).ok()
    }
}

enum ReportError {
    Unsent(SupplyError),
    Engine(EngineError),
}

impl From<EngineError> for ReportError {
    fn from(error: EngineError) -> Self {
        ReportError::Engine(error)
    }
}

fn sign_report(
    unreported: &Unreported,
    estate: Digest,
    until: Timestamp,
    key: &SecretKey,
) -> Result<Envelope, EngineError> {
    let report = &unreported.report;
    // Derived, so that a repetition is one; counted, because other bytes under one id would be a conflict.
    let id = format!("report:{}:{}:{}", unreported.epoch, report.generation, unreported.signings);
    let request_id = RequestId::new(id).map_err(StatementSignError::from)?;
    let statement = Statement {
        subject_name: format!("{}#{}", report.app, unreported.build.short()),
        subject: unreported.build,
        header: Header { estate, request_id, submit_before: until, on_behalf_of: None },
        act: Act::Report(report.clone()),
    };
    Ok(statement.sign(&[key])?)
}

fn no_supply(error: SupplyError) -> Last {
    match error {
        SupplyError::Away(why) => Last::Away(why),
        SupplyError::Refused { .. } | SupplyError::Broken(_) => Last::Failed(error.to_string()),
    }
}

fn denied(refusal: Refusal) -> Last {
    Last::Denied { code: refusal.code, reason: refusal.reason }
}

/// A step that needs what an earlier one of the same process left, and is without it: never by the table of steps.
fn lost_place() -> Last {
    Last::Failed("the agent lost its place; deploy again".into())
}

fn shortened(outcome: Outcome) -> Outcome {
    let short = |reason: String| printable(&reason.chars().take(REASON_CHARACTERS).collect::<String>());
    match outcome {
        Outcome::Verified => Outcome::Verified,
        Outcome::Undone { phase, reason } => Outcome::Undone { phase, reason: short(reason) },
        Outcome::Failed { phase, reason } => Outcome::Failed { phase, reason: short(reason) },
        Outcome::Refused { code, reason } => Outcome::Refused { code, reason: short(reason) },
    }
}

fn objects(manifest: &Manifest) -> BTreeMap<Digest, u64> {
    let files = manifest.files.iter().filter_map(|entry| match entry {
        Entry::File { digest, size, .. } => Some((*digest, *size)),
        Entry::Link { .. } => None,
    });
    files.collect()
}

fn free_bytes(folder: &std::path::Path) -> u64 {
    depot::disk::free_bytes(folder).unwrap_or(u64::MAX)
}
