//! An agent's process: the real engine on a stack of its own, which stops wherever it asks the world for something: the
//! server's answer, the machine's doing, the passing of time. The world goes on with it when it likes, or never.

use crate::{
    cast::{self, DB, WEB, place_of},
    disk::SimDisk,
    fault::{self, Fault},
};
use agent::{
    clock::Clock,
    documents::Documents,
    drivers::{Bringing, Machine, MachineError},
    files::{Disk, Place},
    home::Home,
    journal::Journal,
    repository::FetchError,
    run::Engine,
    runtime::{CopyId, Exit, TaskState, Verified},
    supply::{Origin, Supply, SupplyError},
    watch::{Again, Look, Round, Watch, Watched},
};
use api::{
    agent::{Memory, Orders, ProgressReport},
    client::SUBMIT_WITHIN,
    read::Estate,
};
use corosensei::{Coroutine, Yielder};
use depot::pack::{MAGIC, PackLimits};
use domain::plan::Migration;
use jiff::Timestamp;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use trust::{
    AppName, Digest,
    authority::Dossier,
    dsse::Envelope,
    manifest::Manifest,
    statement::{Act, Header, Health, RequestId, Statement, Unwell},
};

/// How long the server may hold a poll, in milliseconds.
pub const POLL_WAIT: u64 = 30_000;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
const LOOK_AFTER: Duration = Duration::from_secs(15);
const AGAIN_AFTER: Duration = Duration::from_secs(5);
const REFRESH_AFTER: Duration = Duration::from_secs(240);
const LOOK_AT_TASK: Duration = Duration::from_secs(2);
const WATCH_EVERY: Duration = Duration::from_secs(10);
/// How many looks in a row are made up for: more do not change a verdict.
const LOOKS_CAUGHT_UP: u64 = 3;
const SAY_AGAIN: Duration = Duration::from_secs(3600);

/// What a process asks of the world.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Of the server.
    Server(Request),
    /// That time passes.
    Sleep(Duration),
    /// Of the machine, with an application, by its place.
    Machine(usize, Effect),
}

/// What is asked of the server.
#[derive(Clone, Debug)]
pub enum Request {
    /// News.
    Poll { generation: u64, charter: u64 },
    /// The documents of trust.
    Estate,
    /// The statements behind an assignment.
    Dossier { generation: u64, app: AppName },
    /// A file of the repository.
    File(String),
    /// An object.
    Object(Digest),
    /// Objects for staging.
    Gather(Vec<Digest>),
    /// To take a statement.
    Submit(Box<Envelope>),
    /// The proof that the ledger only grew.
    Consistency { from: u64, to: u64 },
}

/// What is done on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Files are laid out.
    Stage(Digest),
    /// Folders are made.
    Prepare(Digest),
    /// `current` points to a build, or to nothing.
    Switch(Option<Digest>),
    /// A build's processes start, to serve or to stand by.
    Start(Digest, bool),
    /// Processes stop.
    Stop,
    /// What runs stands by.
    StandBy,
    /// Processes stop and start, to serve or to stand by.
    Restart(bool),
    /// Whether the build is well.
    Verify(Digest),
    /// Files are removed.
    Remove,
    /// Everything is, data too.
    Erase,
    /// Processes that should run and do not are started.
    Revive,
    /// Whether what runs is well.
    Look,
    /// A build begins to change the data, or to take that back.
    Migrate(Digest, Migration),
    /// It is forgotten how an earlier change of the data ended.
    ForgetMigration,
}

/// The world's answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is done, or time has passed.
    Done,
    /// It is done, and this decided nothing.
    Doubtful(String),
    /// Why it cannot be done on the machine.
    Failed(String),
    /// News.
    Orders(Box<Orders>),
    /// The documents of trust.
    Estate(Box<Estate>),
    /// The statements behind an assignment.
    Dossier(Box<Dossier>),
    /// A file of the repository, where it has one of that name.
    File(Option<Vec<u8>>),
    /// An object.
    Object(Vec<u8>),
    /// Objects, under their names.
    Objects(Vec<(Digest, Vec<u8>)>),
    /// A proof.
    Proof(Vec<Digest>),
    /// The server's no.
    Refused { code: String, message: String },
    /// No answer.
    Away,
}

/// A process that can be gone on with.
pub type Process = Coroutine<Answer, Ask, ()>;

/// What is on a machine of an application: it outlives processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// The builds laid out.
    pub staged: BTreeSet<Digest>,
    /// What `current` points to.
    pub current: Option<Digest>,
    /// What runs.
    pub running: Option<Digest>,
    /// Whether it is in the list of what serves.
    pub serves: bool,
    /// Whether it was told to stop, and not to start since.
    pub is_halted: bool,
    /// When it was started last, in milliseconds from the beginning.
    pub started: u64,
    /// What changes the data, or has.
    pub task: Option<Task>,
}

impl Installed {
    /// Whether nothing is there.
    pub fn is_clean(&self) -> bool {
        self.staged.is_empty() && self.current.is_none() && self.running.is_none()
    }
}

/// What changes the data: it goes on whatever becomes of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// When it ends, in milliseconds from the beginning.
    pub ends: u64,
    /// Whether it ends well.
    pub is_good: bool,
    /// Whether the machine went down meanwhile, so that nobody knows.
    pub is_lost: bool,
}

impl Task {
    /// How it is with it at a moment.
    fn state(&self, now: Duration) -> TaskState {
        match (self.is_lost, now.as_millis() < u128::from(self.ends), self.is_good) {
            (true, ..) => TaskState::Lost,
            (_, true, _) => TaskState::Running,
            (_, _, true) => TaskState::Ended(Exit::Code(0)),
            (_, _, false) => TaskState::Ended(Exit::Code(1)),
        }
    }
}

/// A machine: what is on it, its disk and its clock.
#[derive(Clone)]
pub struct Hardware {
    /// Which target it is.
    pub index: usize,
    /// What is installed of each application, by its place.
    pub installed: [Rc<RefCell<Installed>>; 2],
    /// The objects gathered, and what their bytes digest to.
    pub gathered: Rc<RefCell<BTreeMap<Digest, Digest>>>,
    /// The disk of small files.
    pub disk: Arc<SimDisk>,
    /// What its clock shows.
    pub now: Rc<Cell<Timestamp>>,
    /// How long it has been on.
    pub elapsed: Rc<Cell<Duration>>,
    /// Whether anything on it ever becomes unwell: nobody looks where it does not.
    pub is_watched: bool,
    /// What is wrong with it, on purpose.
    pub fault: Option<Fault>,
}

impl Hardware {
    /// The folder of the agent's data.
    pub fn root(&self) -> PathBuf {
        PathBuf::from("/nowhere").join(cast::target(self.index).to_string())
    }

    /// Whether its target has found that the ledger it was shown is not the one that it knew.
    pub fn has_found_a_fork(&self) -> bool {
        let kept = self.disk.read(&self.root().join("trust").join("checkpoint.json")).unwrap_or_default();
        serde_json::from_slice::<serde_json::Value>(&kept).is_ok_and(|kept| kept["fork"].is_string())
    }

    /// The agent's data folder.
    pub fn place(&self) -> Place {
        Place::on(self.disk.clone(), self.root())
    }
}

/// The agent's side of the network, and its clock.
#[derive(Clone)]
struct Wire<'a> {
    yielder: &'a Yielder<Answer, Ask>,
    hardware: Hardware,
}

impl Wire<'_> {
    fn ask(&self, request: Request) -> Result<Answer, SupplyError> {
        match self.yielder.suspend(Ask::Server(request)) {
            Answer::Away => Err(SupplyError::Away("the server is away".into())),
            Answer::Refused { code, message } => Err(SupplyError::Refused { code, message }),
            answer => Ok(answer),
        }
    }

    fn poll(&self, generation: u64, charter: u64) -> Option<Orders> {
        match self.ask(Request::Poll { generation, charter }) {
            Ok(Answer::Orders(orders)) => Some(*orders),
            _ => None,
        }
    }
}

/// A pack as whoever likes to puts it together, whatever the names in it say.
fn packed(objects: &[(Digest, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend((objects.len() as u32).to_be_bytes());
    for (name, content) in objects {
        bytes.extend(name.as_bytes());
        bytes.extend((content.len() as u64).to_be_bytes());
        bytes.extend(content);
    }
    zstd::encode_all(&bytes[..], 1)
}

fn nonsense<T>() -> Result<T, SupplyError> {
    Err(SupplyError::Broken("that is no answer to this".into()))
}

impl Supply for Wire<'_> {
    fn estate(&self) -> Result<Estate, SupplyError> {
        match self.ask(Request::Estate)? {
            Answer::Estate(estate) => Ok(*estate),
            _ => nonsense(),
        }
    }

    fn dossier(&self, generation: u64, app: &AppName) -> Result<Dossier, SupplyError> {
        match self.ask(Request::Dossier { generation, app: app.clone() })? {
            Answer::Dossier(dossier) => Ok(fault::shown(self.hardware.fault, app, *dossier)),
            _ => nonsense(),
        }
    }

    fn object(&self, digest: &Digest, _max_bytes: u64) -> Result<Vec<u8>, SupplyError> {
        match self.ask(Request::Object(*digest))? {
            Answer::Object(bytes) => Ok(bytes),
            _ => nonsense(),
        }
    }

    fn gather(
        &self,
        objects: &BTreeMap<Digest, u64>,
        _folder: &Path,
        _heard: &mut dyn FnMut(u64),
    ) -> Result<(), SupplyError> {
        let Answer::Objects(given) = self.ask(Request::Gather(objects.keys().copied().collect()))? else {
            return nonsense();
        };
        let gathered = &mut self.hardware.gathered.borrow_mut();
        let mut takes = |name: Digest, bytes: &[u8]| {
            if objects.contains_key(&name) {
                gathered.insert(name, Digest::of(bytes));
            }
        };
        if self.hardware.fault == Some(Fault::BytesUnchecked) {
            given.iter().for_each(|(name, bytes)| takes(*name, bytes));
            return Ok(());
        }
        let broken = |error: String| SupplyError::Broken(error);
        let pack = packed(&given).map_err(|error| broken(error.to_string()))?;
        let taken = depot::read_pack(&pack[..], &PackLimits::default(), |name, bytes| {
            takes(name, bytes);
            Ok(())
        });
        taken.map_err(|error| broken(error.to_string()))?;
        match objects.keys().find(|name| !gathered.contains_key(*name)) {
            Some(name) => Err(broken(format!("{name} is not among what was sent"))),
            None => Ok(()),
        }
    }

    fn repository(&self, _origin: Origin, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        let away = |error: SupplyError| FetchError::Away(error.to_string());
        match self.ask(Request::File(path.to_owned())).map_err(away)? {
            Answer::File(Some(bytes)) if bytes.len() as u64 > max_bytes => Err(FetchError::TooLong(max_bytes)),
            Answer::File(Some(bytes)) => Ok(Some(fault::taken_from(self.hardware.fault, path, bytes))),
            Answer::File(None) => Ok(None),
            _ => Err(FetchError::Away("that is no answer to this".into())),
        }
    }

    fn mirrors(&self) -> usize {
        0
    }

    fn refreshed(&self, _signed: Option<Timestamp>) {}

    fn submit(&self, envelope: &Envelope) -> Result<(), SupplyError> {
        self.ask(Request::Submit(Box::new(envelope.clone()))).map(|_| ())
    }

    fn tell(&self, _progress: ProgressReport) {}

    fn consistency(&self, from: u64, to: u64) -> Result<Vec<Digest>, SupplyError> {
        match self.ask(Request::Consistency { from, to })? {
            Answer::Proof(proof) => Ok(proof),
            _ => nonsense(),
        }
    }

    fn learn(&self, _keys: &[Digest]) {}

    fn learn_places(&self, _urls: &[String]) {}

    fn remember(&self, _memory: &Memory) -> Result<(), SupplyError> {
        Ok(())
    }
}

impl Clock for Wire<'_> {
    fn now(&self) -> Timestamp {
        self.hardware.now.get()
    }

    fn elapsed(&self) -> Duration {
        self.hardware.elapsed.get()
    }

    fn sleep(&self, pause: Duration) {
        self.yielder.suspend(Ask::Sleep(pause));
    }
}

/// The machine as the engine sees it: every deed is the world's.
struct Hands<'a>(Wire<'a>);

impl Hands<'_> {
    fn perform(&self, app: &AppName, effect: Effect) -> Result<(), MachineError> {
        match self.0.yielder.suspend(Ask::Machine(place_of(app), effect)) {
            Answer::Failed(why) => Err(MachineError(why)),
            _ => Ok(()),
        }
    }

    fn installed(&self, app: &AppName) -> std::cell::Ref<'_, Installed> {
        self.0.hardware.installed[place_of(app)].borrow()
    }
}

impl Machine for Hands<'_> {
    fn stage(&self, manifest: &Manifest, _sources: &BTreeMap<Digest, PathBuf>) -> Result<(), MachineError> {
        let bytes = manifest.to_bytes().map_err(|error| MachineError(error.to_string()))?;
        self.perform(&manifest.app, Effect::Stage(Digest::of(&bytes)))
    }

    fn is_staged(&self, app: &AppName, build: &Digest) -> bool {
        self.installed(app).staged.contains(build)
    }

    fn prepare(&self, bringing: &Bringing) -> Result<(), MachineError> {
        self.perform(&bringing.manifest.app, Effect::Prepare(bringing.build))
    }

    fn switch(&self, app: &AppName, build: Option<&Digest>) -> Result<(), MachineError> {
        self.perform(app, Effect::Switch(build.copied()))
    }

    fn start(&self, bringing: &Bringing) -> Result<(), MachineError> {
        self.perform(&bringing.manifest.app, Effect::Start(bringing.build, bringing.standby))
    }

    fn stop(&self, app: &AppName) -> Result<Option<String>, MachineError> {
        self.perform(app, Effect::Stop).map(|()| None)
    }

    fn stand_by(&self, app: &AppName) -> Result<(), MachineError> {
        self.perform(app, Effect::StandBy)
    }

    fn restart(&self, bringing: &Bringing) -> Result<(), MachineError> {
        self.perform(&bringing.manifest.app, Effect::Restart(bringing.standby))
    }

    fn verify(&self, bringing: &Bringing, _heard: &mut dyn FnMut(&str)) -> Result<Verified, MachineError> {
        let doubt = match self
            .0
            .yielder
            .suspend(Ask::Machine(place_of(&bringing.manifest.app), Effect::Verify(bringing.build)))
        {
            Answer::Failed(why) => return Err(MachineError(why)),
            Answer::Doubtful(what) => Some(what),
            _ => None,
        };
        Ok(Verified { endpoints: vec!["http://127.0.0.1:20001".into()], doubt })
    }

    fn begin_migration(&self, bringing: &Bringing, migration: Migration) -> Result<(), MachineError> {
        self.perform(&bringing.manifest.app, Effect::Migrate(bringing.build, migration))
    }

    fn migration(&self, app: &AppName) -> Result<TaskState, MachineError> {
        let task = self.installed(app).task;
        Ok(task.map_or(TaskState::Absent, |task| task.state(self.0.elapsed())))
    }

    fn await_migration(&self, bringing: &Bringing, _migration: Migration) -> Result<(), MachineError> {
        loop {
            match self.migration(&bringing.manifest.app)? {
                TaskState::Running => self.0.sleep(LOOK_AT_TASK),
                TaskState::Ended(Exit::Code(0)) => return Ok(()),
                TaskState::Ended(exit) => return Err(MachineError(exit.to_string())),
                TaskState::Lost => return Err(MachineError("nobody saw its end".into())),
                TaskState::Absent => return Err(MachineError("it never began".into())),
            }
        }
    }

    fn forget_migration(&self, app: &AppName) -> Result<(), MachineError> {
        self.perform(app, Effect::ForgetMigration)
    }

    fn remove(&self, app: &AppName) -> Result<(), MachineError> {
        self.perform(app, Effect::Remove)
    }

    fn erase(&self, app: &AppName) -> Result<(), MachineError> {
        self.perform(app, Effect::Erase)
    }

    fn apps(&self) -> Result<Vec<AppName>, MachineError> {
        Ok([WEB, DB].map(cast::app).into_iter().filter(|app| !self.installed(app).is_clean()).collect())
    }

    fn discard(&self, app: &AppName, keep: &[Digest]) -> Result<Vec<Digest>, MachineError> {
        let mut installed = self.0.hardware.installed[place_of(app)].borrow_mut();
        let active = installed.current;
        let kept = |build: &Digest| keep.contains(build) || active == Some(*build);
        let (staged, gone): (BTreeSet<Digest>, _) = installed.staged.iter().copied().partition(kept);
        installed.staged = staged;
        Ok(gone.into_iter().collect())
    }

    fn revive(&self, app: &AppName) -> Result<(), MachineError> {
        self.perform(app, Effect::Revive)
    }

    fn current(&self, app: &AppName) -> Option<Digest> {
        self.installed(app).current
    }

    fn releases(&self, app: &AppName) -> Result<Vec<Digest>, MachineError> {
        Ok(self.installed(app).staged.iter().copied().collect())
    }

    fn release_folder(&self, app: &AppName, build: &Digest) -> PathBuf {
        self.0.hardware.root().join("apps").join(app.as_str()).join(build.hex())
    }

    fn clock(&self) -> &dyn Clock {
        &self.0
    }
}

/// A new process on a machine. It does nothing before it is gone on with.
pub fn process(hardware: Hardware) -> Process {
    Coroutine::new(move |yielder: &Yielder<Answer, Ask>, _begin: Answer| {
        let wire = Wire { yielder, hardware: hardware.clone() };
        match open(&wire) {
            Ok(engine) => work(&wire, engine),
            // As on a machine where the agent is started again and again.
            Err(_unusable) => wire.sleep(Duration::from_secs(5)),
        }
    })
}

fn open<'a>(wire: &Wire<'a>) -> Result<Engine<Wire<'a>, Hands<'a>>, agent::start::AgentError> {
    let home = Home::alone(wire.hardware.place())?;
    let enrolled = home.enrolled()?.ok_or(agent::start::AgentError::NotJoined)?;
    let documents = Documents::open(home.trust(), enrolled.pinned)?;
    Ok(Engine::new(home, documents, wire.clone(), Hands(wire.clone()))?)
}

/// The real watch over what runs, and what the server is told of it. Nothing is seen while the process waits for an answer:
/// it is looked as often then as has been missed, as far as that makes a difference.
struct Watching {
    watch: Watch,
    looked: Duration,
    told: Option<BTreeMap<AppName, Unwell>>,
    due: Duration,
}

impl Watching {
    fn new(now: Duration) -> Self {
        Self { watch: Watch::default(), looked: now, told: None, due: Duration::MAX }
    }

    /// Something is about to be done.
    fn hears<'a>(&mut self, engine: &Engine<Wire<'a>, Hands<'a>>, orders: &Orders) {
        let busy = |app: &AppName| orders.assignments.iter().any(|assignment| assignment.app == *app);
        self.watch.hears(&round(engine, busy));
    }

    fn look<'a>(&mut self, wire: &Wire<'a>, engine: &Engine<Wire<'a>, Hands<'a>>) {
        let missed = wire.elapsed().saturating_sub(self.looked).as_secs() / WATCH_EVERY.as_secs();
        if missed == 0 {
            return;
        }
        self.looked = wire.elapsed();
        let round = round(engine, |_| false);
        let mut wrong = [None, None];
        for place in round.values().flat_map(|watched| watched.copies.iter().flatten()) {
            if let Answer::Failed(why) = wire.yielder.suspend(Ask::Machine(*place, Effect::Look)) {
                wrong[*place] = Some(why);
            }
        }
        for _ in 0..missed.min(LOOKS_CAUGHT_UP) {
            let copy = CopyId { process: "web".into(), copy: 1 };
            let look = |place: &usize| Look { copy: copy.clone(), restarts: 0, wrong: wrong[*place].clone() };
            self.watch.look(&round, wire.elapsed(), look, |(): &()| None);
            // What is judged anew is said anew, though it come to the same.
            let verdict = self.watch.verdict();
            if verdict != self.told {
                (self.told, self.due) = (verdict, wire.elapsed());
            }
        }
    }

    fn tell<'a>(&mut self, wire: &Wire<'a>, engine: &Engine<Wire<'a>, Hands<'a>>) {
        let Some(unwell) = self.told.clone().filter(|_| self.due <= wire.elapsed()) else { return };
        let health = Health { target: cast::target(wire.hardware.index), looked: engine.now(), unwell };
        let id = format!("health:{}:{}", wire.hardware.index, wire.elapsed().as_millis());
        let key = cast::target_key(wire.hardware.index);
        let said = RequestId::new(id).map_err(|error| error.to_string()).and_then(|request_id| {
            let estate = engine.documents.pinned().estate;
            let submit_before = engine.now().checked_add(SUBMIT_WITHIN).map_err(|error| error.to_string())?;
            let header = Header { estate, request_id, submit_before, on_behalf_of: None };
            let statement =
                Statement { subject_name: "estate".into(), subject: estate, header, act: Act::Health(health) };
            statement.sign(&[&key]).map_err(|error| error.to_string())
        });
        let Ok(envelope) = said else { return };
        let again = match wire.submit(&envelope) {
            Err(error) if !error.is_done_already() => LOOK_AFTER,
            _ => SAY_AGAIN,
        };
        self.due = wire.elapsed() + again;
    }
}

/// What is to be looked after, where `busy` says with what something is about to be done.
fn round<'a>(engine: &Engine<Wire<'a>, Hands<'a>>, busy: impl Fn(&AppName) -> bool) -> Round<usize, ()> {
    let watched = |journal: &Journal| {
        let active = journal.active.as_ref().filter(|active| !active.stopped)?;
        let is_idle = journal.under_way.is_none() && journal.unreported.is_none() && !busy(&journal.app);
        let copies = is_idle.then(|| vec![place_of(&journal.app)]);
        Some((journal.app.clone(), Watched { build: active.build, copies, again: Vec::<Again<()>>::new() }))
    };
    engine.journals().iter().filter_map(watched).collect()
}

/// Polls and works by turns, with the pauses of the real loop.
fn work<'a>(wire: &Wire<'a>, mut engine: Engine<Wire<'a>, Hands<'a>>) {
    engine.recover();
    engine.refresh_repository();
    let (mut looked, mut refreshed) = (wire.elapsed(), wire.elapsed());
    let (mut generation, mut charter) = (0, 0);
    let mut pause = FIRST_PAUSE;
    let mut again: Option<(Duration, Orders)> = None;
    let mut watching = wire.hardware.is_watched.then(|| Watching::new(wire.elapsed()));
    loop {
        if engine.is_done() {
            // It does not end, since whatever keeps it running would only start it again.
            wire.sleep(SAY_AGAIN);
            continue;
        }
        match wire.poll(generation, charter) {
            Some(orders) => {
                (generation, charter, pause) = (orders.generation, orders.charter_version, FIRST_PAUSE);
                if let Some(watching) = &mut watching {
                    watching.hears(&engine, &orders);
                }
                again = (!engine.obey(&orders)).then(|| (wire.elapsed(), orders));
                wire.sleep(FIRST_PAUSE);
            }
            None => {
                generation = 0;
                wire.sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        if let Some((since, orders)) = again.take() {
            if wire.elapsed() < since + AGAIN_AFTER {
                again = Some((since, orders));
            } else {
                again = (!engine.obey(&orders)).then(|| (wire.elapsed(), orders));
            }
        }
        if wire.elapsed() >= looked + LOOK_AFTER {
            engine.recover();
            looked = wire.elapsed();
        }
        if wire.elapsed() >= refreshed + REFRESH_AFTER {
            engine.refresh_repository();
            refreshed = wire.elapsed();
        }
        if let Some(watching) = &mut watching {
            watching.look(wire, &engine);
            watching.tell(wire, &engine);
        }
    }
}
