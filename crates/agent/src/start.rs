//! From options to a running agent.

use crate::{
    bundle::{Nowhere, Sources},
    documents::{Documents, TrustError},
    files::Place,
    home::{Home, HomeError},
    inbox,
    join::{self, Anew, Invitation, InvitationError, JoinError},
    lifetime::Lifetime,
    local::Local,
    poll::{self, Work, Worker},
    run::{Engine, EngineError},
    runtime::{DEFAULT_PORTS, Layout, Runtime, RuntimeError, Site},
    supply::{Mirror, Server},
    watch,
};
use api::link::Link;
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};
use trust::{AppName, Digest, TargetName};

/// How often a target is looked over for escapes, unless said otherwise, in seconds.
pub const SCAN_SECONDS: u64 = 300;
/// How often what runs is asked whether it is well, unless said otherwise, in seconds.
pub const WATCH_SECONDS: u64 = 10;
/// How long a step may take to end when the agent is told to: what it leaves unfinished, the next start finishes.
const END_WITHIN: Duration = Duration::from_secs(5);

/// How often it is looked whether a bundle was put into the inbox.
const LOOK_INTO_INBOX: Duration = Duration::from_secs(2);

/// How an agent is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its data folder.
    pub data: PathBuf,
    /// The name it joins under, where the invitation leaves that open.
    pub name: Option<TargetName>,
    /// The invitation; needed the first time, and once it has joined where the server has forgotten it.
    pub join: Option<String>,
    /// The ports it gives to copies. Several agents on one machine need ranges of their own.
    pub port_range: RangeInclusive<u16>,
    /// How often it looks for escapes, in seconds.
    pub scan_seconds: u64,
    /// How often what runs is asked whether it is well.
    pub watch_seconds: u64,
    /// Copies of the repository on web servers, from which it also refreshes.
    pub mirrors: Vec<String>,
    /// The program that keeps copies running; this very binary where absent.
    pub keeper_program: Option<PathBuf>,
}

impl Options {
    /// The usual options for a data folder.
    pub fn new(data: PathBuf) -> Self {
        let (name, join, keeper_program, mirrors) = (None, None, None, Vec::new());
        Self {
            data,
            name,
            join,
            port_range: DEFAULT_PORTS,
            scan_seconds: SCAN_SECONDS,
            watch_seconds: WATCH_SECONDS,
            mirrors,
            keeper_program,
        }
    }
}

/// Why an agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// It was never invited.
    #[error("this machine has not joined yet: get an invitation (`sortie target invite --in …`) and give it by --join")]
    NotJoined,
    /// It has joined another estate than the one it is invited to.
    #[error("{0} belongs to another estate already: give this agent a data folder of its own (--data)")]
    OtherEstate(PathBuf),
    /// The data folder is unusable.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Joining failed.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The token is damaged.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// The documents of trust are unusable.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The journal is unusable.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The runtime cannot be opened.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The connection cannot be set up.
    #[error(transparent)]
    Client(#[from] api::client::ClientError),
    /// The system refused.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// Joins where that is still to be done, then works until `shutdown` is ready. A runtime of one thread is enough, and
/// what this agent needs least memory with.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    let Some(Opened { engine, link, runtime, invitation }) = open(&options).await? else {
        return idle(shutdown).await;
    };
    let data = options.data.clone();
    let anew = invitation.map(|invitation| (invitation, Known::of(&engine)));
    let (sender, receiver) = mpsc::channel();
    let (ended, has_ended) = tokio::sync::oneshot::channel();
    let scan_every = Duration::from_secs(options.scan_seconds.max(1));
    let (rounds, newest_round) = mpsc::channel();
    let (watched, watch_every) = (runtime.clone(), Duration::from_secs(options.watch_seconds.max(1)));
    let of_health = sender.clone();
    std::thread::Builder::new().name("watch".into()).spawn(move || {
        watch::watch(&watched, &newest_round, watch_every, |unwell| of_health.send(Work::Health(unwell)).is_ok());
    })?;
    std::thread::Builder::new().name("worker".into()).spawn(move || {
        let is_over = poll::work(engine, &receiver, scan_every, rounds);
        let _nobody_waits = ended.send(is_over);
    })?;
    let polling = async {
        if let Some((invitation, known)) = anew {
            // Whatever comes of it, what runs here is looked after.
            if let Err(error) = known.join_anew(&link, &invitation).await {
                tracing::error!(%error, "this machine has joined before, and the invitation changes nothing");
            }
        }
        poll::poll(link, runtime, sender.clone()).await;
    };
    tokio::pin!(shutdown);
    tokio::pin!(has_ended);
    tokio::select! {
        () = polling => {}
        () = watch_inbox(&data, sender.clone()) => {}
        () = &mut shutdown => {}
        ended = &mut has_ended => {
            if ended.is_ok_and(|is_over| is_over) {
                return idle(shutdown).await;
            }
            return Err(AgentError::System(std::io::Error::other("the working thread ended")));
        }
    }
    let _worker_has_ended = sender.send(Work::Stop);
    let _killed_in_the_middle = tokio::time::timeout(END_WITHIN, has_ended).await;
    Ok(())
}

/// Joins where that is still to be done, or where the server has forgotten this machine, and ends.
pub async fn join(options: &Options) -> Result<(), AgentError> {
    match open(options).await? {
        Some(Opened { engine, link, invitation: Some(invitation), .. }) => {
            Known::of(&engine).join_anew(&link, &invitation).await
        }
        _ => Ok(()),
    }
}

/// An agent that is about to work.
struct Opened {
    engine: Worker,
    link: Arc<Link>,
    runtime: Arc<Runtime>,
    /// The invitation that was given, where this machine had joined before.
    invitation: Option<Invitation>,
}

/// Opens the data folder, and joins where that was never done; nothing where this target's time is over.
async fn open(options: &Options) -> Result<Option<Opened>, AgentError> {
    let home = Home::take(&options.data)?;
    let invitation = options.join.as_deref().map(Invitation::decode).transpose()?;
    let (enrolled, invitation) = match (home.enrolled()?, invitation) {
        (Some(enrolled), Some(invitation)) if invitation.estate != enrolled.pinned.estate => {
            return Err(AgentError::OtherEstate(options.data.clone()));
        }
        (Some(enrolled), invitation) => (enrolled, invitation),
        (None, Some(invitation)) => (join::join(&home, &invitation, options.name.as_ref()).await?, None),
        (None, None) => return Err(AgentError::NotJoined),
    };
    if Lifetime::open(home.place(), Timestamp::MIN).map_err(HomeError::from)?.is_done() {
        return Ok(None);
    }
    let documents = Documents::open(home.trust(), enrolled.pinned.clone())?;
    // Once a charter names keys, the invitation's is as good as any other: it may have been stolen meanwhile.
    let named = &documents.verified().charter.server.keys;
    let pins = if named.is_empty() { vec![enrolled.pin] } else { named.clone() };
    let key = Arc::new(home.key()?);
    let link = Arc::new(Link::new(&enrolled.url, pins, enrolled.pinned.estate, key)?);
    link.learn_places(&documents.verified().charter.server.urls);
    let runtime = Arc::new(open_runtime(&home, options, &enrolled.pinned)?);
    let mirrors = options.mirrors.iter().map(|url| Mirror::new(url)).collect::<Result<_, _>>()?;
    let server = Sources::new(Server::new(link.clone(), tokio::runtime::Handle::current(), mirrors));
    let engine: Worker = Engine::new(home, documents, server, runtime.clone())?;
    let pinned = &enrolled.pinned;
    tracing::info!(target = %pinned.target, environment = %pinned.environment, server = %enrolled.url, "the agent works");
    Ok(Some(Opened { engine, link, runtime, invitation }))
}

/// What of a machine that has joined before is needed to join anew, beside the thread that works on it.
struct Known {
    place: Place,
    active: BTreeMap<AppName, Digest>,
    /// Whether owners have named the server's keys.
    has_named: bool,
}

impl Known {
    fn of(engine: &Worker) -> Self {
        let has_named = !engine.documents.verified().charter.server.keys.is_empty();
        Self { place: engine.home().place().clone(), active: engine.active(), has_named }
    }

    /// Asks the server that the invitation names whether it knows this machine, and joins anew where it does not.
    async fn join_anew(&self, link: &Link, invitation: &Invitation) -> Result<(), AgentError> {
        let home = Home::alone(self.place.clone())?;
        let enrolled = home.enrolled()?.ok_or(AgentError::NotJoined)?;
        let target = &enrolled.pinned.target;
        match join::join_anew(&home, &enrolled, invitation, &self.active).await? {
            Anew::Known => tracing::info!(%target, "this machine has joined already: the invitation was not needed"),
            Anew::Joined => {
                tracing::warn!(%target, "the server did not know this machine any more: it has joined anew");
                link.learn_places(std::slice::from_ref(&invitation.url));
                if !self.has_named {
                    link.learn(&[invitation.pin])?;
                }
            }
        }
        Ok(())
    }
}

/// A target whose time is over does nothing more, and asks nobody. It does not end either: whatever keeps it running would
/// only start it again.
async fn idle(shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    tracing::warn!(
        "this target's time is over: nothing is left here, and this agent does nothing more. Throw the machine away, or let \
         it join anew with a data folder of its own (--data)"
    );
    shutdown.await;
    Ok(())
}

/// Tells the working thread as long as a bundle waits.
async fn watch_inbox(data: &Path, work: mpsc::Sender<Work>) {
    loop {
        if inbox::waiting(data).is_ok_and(|waiting| !waiting.is_empty()) && work.send(Work::Inbox).is_err() {
            return;
        }
        tokio::time::sleep(LOOK_INTO_INBOX).await;
    }
}

/// Follows the bundles that wait in a data folder that no agent uses, and ends. Joins first where that is still to be
/// done: by the invitation, and the documents in the bundle that waits.
pub fn follow_bundles(options: &Options) -> Result<(), AgentError> {
    let home = Home::take(&options.data)?;
    let invitation = options.join.as_deref().map(Invitation::decode).transpose()?;
    let enrolled = match (home.enrolled()?, invitation) {
        (Some(enrolled), Some(invitation)) if invitation.estate != enrolled.pinned.estate => {
            return Err(AgentError::OtherEstate(options.data.clone()));
        }
        (Some(enrolled), _) => enrolled,
        (None, Some(invitation)) => {
            let bundle = inbox::first(home.root()).map_err(HomeError::from)?.ok_or(AgentError::NotJoined)?;
            join::join_by_bundle(&home, &invitation, options.name.as_ref(), &bundle)?
        }
        (None, None) => return Err(AgentError::NotJoined),
    };
    let documents = Documents::open(home.trust(), enrolled.pinned.clone())?;
    let runtime = Arc::new(open_runtime(&home, options, &enrolled.pinned)?);
    let mut engine = Engine::new(home, documents, Sources::new(Nowhere), runtime)?;
    Ok(inbox::follow_all(&mut engine)?)
}

fn open_runtime(home: &Home, options: &Options, pinned: &trust::authority::Pinned) -> Result<Runtime, AgentError> {
    let site = Site { environment: pinned.environment.clone(), target: pinned.target.clone() };
    let runtime = Runtime::open(Layout::new(home.root())?, site, options.port_range.clone())?;
    for error in Local::mistakes(home.root()) {
        tracing::error!(%error, "what this machine's owner says cannot be followed");
    }
    Ok(match &options.keeper_program {
        Some(program) => runtime.with_keeper_program(program.clone()),
        None => runtime,
    })
}
