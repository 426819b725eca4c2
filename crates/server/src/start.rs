//! Opens a data folder and serves it.

use crate::{
    clock, durable,
    http::{self, Serving, Shared, agents::Targets},
    keys::{Keys, KeysError, make_private_folder},
    ledger::{Ledger, LedgerError},
    lost::Memories,
    notify, prune,
    repository::{self, Repository},
};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, Response},
};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use depot::{DiskStore, StoreError};
use hyper::service::Service as _;
use hyper_util::{rt::TokioTimer, service::TowerToHyperService};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use std::{
    fs::{File, OpenOptions},
    io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{broadcast, watch},
    task::JoinHandle,
};
use trust::Digest;

/// How long requests under way may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(5);
/// How long a client may take to send a request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest headers of a request, in bytes.
const HEADER_BYTES: usize = 64 << 10;
/// How many requests one connection may have under way.
const STREAMS: u32 = 256;
/// How much of an answer that a test asks for is read, in bytes.
const ANSWER_BYTES: usize = 64 << 20;
/// Progress reports that slow watchers may lag behind.
const PROGRESS_KEPT: usize = 1024;

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder: ledger, depot and keys. It is made where absent.
    pub data: PathBuf,
    /// Where to listen for people and agents, by TLS; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where to show the board and metrics in the clear, to whoever sits at this machine: a loopback address.
    pub board: Option<SocketAddr>,
    /// What is done with the server's keys first.
    pub keys: KeyChange,
    /// For how long nothing is heard of a target before it counts as away.
    pub away_after: Duration,
}

/// For how long nothing is heard of a target before it counts as away, in seconds, unless the operator says otherwise.
pub const AWAY_AFTER_SECONDS: u64 = 90;

/// What is done with the server's keys when it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyChange {
    /// Nothing.
    #[default]
    Keep,
    /// The next ones, which the charter announces, take their place.
    Rotate,
    /// All are made anew: somebody else has held them.
    Replace,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the folder.
    #[error("{0} is in use by another server; stop that one first, or give another data folder")]
    InUse(PathBuf),
    /// The folder cannot be used.
    #[error("{path}: {source}")]
    Folder {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; is another server running there?")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The charter does not announce the next keys, so that nobody would believe them.
    #[error("the charter in force does not announce this server's next keys: an owner does, by `sortie server rotate`")]
    NotAnnounced,
    /// The board is shown without a login, so only on this machine.
    #[error("the board is shown without a login, so only on a loopback address, and {0} is none")]
    BoardNotLoopback(SocketAddr),
    /// The keys cannot be read or made.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The ledger cannot be opened.
    #[error("the ledger cannot be opened: {0}")]
    Ledger(#[from] LedgerError),
    /// The depot cannot be opened.
    #[error("the depot cannot be opened: {0}")]
    Depot(#[from] StoreError),
    /// The repository's folder cannot be used.
    #[error("the repository cannot be opened: {0}")]
    Repository(String),
    /// A task of the server's own broke off.
    #[error("the server broke off while starting: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

/// A server that serves. Dropped without [`Running::shutdown`], it goes on until the process ends.
pub struct Running {
    /// `https://host:port`, as people and agents reach it.
    pub url: String,
    /// The pin of its TLS key.
    pub pin: Digest,
    /// The one-time claim, while there is no estate.
    pub claim: Option<String>,
    /// Where the board is shown in the clear, if anywhere.
    pub board_url: Option<String>,
    /// The address it listens on.
    pub address: SocketAddr,
    /// The ledger's size when it started.
    pub entries: u64,
    stop: watch::Sender<bool>,
    handles: Vec<Handle<SocketAddr>>,
    tasks: Vec<JoinHandle<io::Result<()>>>,
    /// What works beside the answers: the clock, the publisher, the notifier.
    workers: Vec<JoinHandle<()>>,
    serving: Shared,
    router: Router,
    _lock: File,
}

/// Opens `options.data` and serves it. Needs a Tokio runtime.
pub async fn start(options: Options) -> Result<Running, StartError> {
    allow_many_connections();
    if let Some(board) = options.board
        && !board.ip().is_loopback()
    {
        return Err(StartError::BoardNotLoopback(board));
    }
    let (stop, stopping) = watch::channel(false);
    let given = options.clone();
    let (lock, serving) = tokio::task::spawn_blocking(move || open(&given, stopping)).await??;
    let claim = if serving.ledger.state().policy.is_none() {
        Some(serving.keys.claim()?)
    } else {
        serving.keys.spend_claim()?;
        None
    };
    let listener = listen(options.listen)?;
    let address = local_address(&listener, options.listen)?;
    let board_listener = options.board.map(|board| listen(board).map(|listener| (board, listener))).transpose()?;

    let mut handles = vec![Handle::new()];
    let tls = (serving.keys.certificate.clone(), serving.keys.tls.clone_key());
    let router = http::router(serving.clone());
    let served = serve_tls(listener, tls, router.clone(), handles[0].clone());
    let mut tasks = vec![served.map_err(|error| failed(error, address))?];
    let mut board_url = None;
    if let Some((board, listener)) = board_listener {
        let address = local_address(&listener, board)?;
        let handle = Handle::new();
        let server = axum_server::from_tcp(listener).map_err(|source| StartError::Listen { address, source })?;
        let mut server = server.handle(handle.clone());
        server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        let pages = http::board_router(serving.clone());
        tasks.push(tokio::spawn(server.serve(pages.into_make_service())));
        handles.push(handle);
        board_url = Some(format!("http://{address}"));
    }
    let workers = vec![
        tokio::spawn(clock::run(serving.clone())),
        tokio::spawn(repository::run(serving.clone())),
        tokio::spawn(prune::run(serving.clone())),
        tokio::spawn(notify::run(serving.clone(), options.data.clone())),
    ];
    Ok(Running {
        url: format!("https://{}", reachable(address)),
        pin: serving.keys.pin,
        claim,
        board_url,
        address,
        entries: serving.ledger.state().head.entry,
        stop,
        handles,
        tasks,
        workers,
        serving,
        router,
        _lock: lock,
    })
}

impl Running {
    /// Answers a request as it is answered over TLS, but bounded by no address: for tests that bring requests of their own
    /// making.
    pub async fn answer(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let Ok(response) = TowerToHyperService::new(self.router.clone()).call(request.map(Body::from)).await;
        let (parts, body) = response.into_parts();
        Response::from_parts(parts, to_bytes(body, ANSWER_BYTES).await.unwrap_or_default().into())
    }

    /// Stops taking requests, lets those under way end for a few seconds, and closes the data folder.
    pub async fn shutdown(self) {
        // Long polls, event streams and the clock look at this.
        let _ = self.stop.send(true);
        for handle in &self.handles {
            handle.graceful_shutdown(Some(GRACE));
        }
        for task in self.tasks {
            if let Ok(Err(error)) = task.await {
                tracing::error!(%error, "a listener failed");
            }
        }
        for worker in self.workers {
            if let Err(error) = worker.await {
                tracing::error!(%error, "the clock, the publisher or the notifier broke off");
            }
        }
        let ledger = self.serving.ledger.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || ledger.close()).await {
            tracing::error!(%error, "the ledger was not closed well; it is whole all the same");
        }
    }
}

pub(crate) fn failed(error: TlsError, address: SocketAddr) -> StartError {
    match error {
        TlsError::Tls(error) => StartError::Tls(error),
        TlsError::Listen(source) => StartError::Listen { address, source },
    }
}

/// Changes the keys that lie in the folder. The next ones are taken only where targets and people can know them.
fn change_keys(data: &Path, change: KeyChange) -> Result<(), StartError> {
    let folder = data.join("keys");
    match change {
        KeyChange::Keep => Ok(()),
        KeyChange::Replace => Ok(Keys::replace(&folder)?),
        KeyChange::Rotate => {
            let keys = Keys::open(&folder)?;
            let ledger = Ledger::open(&private(data, "ledger")?, keys.ledger.clone(), &keys.origin)?;
            let policy = ledger.state().policy.clone();
            ledger.close();
            let server = policy.as_ref().map(|policy| &policy.charter.server);
            let is_announced = |server: &trust::charter::Server| {
                server.keys.contains(&keys.next_pin) && server.ledger.contains(&keys.next_ledger)
            };
            match server.is_some_and(is_announced) {
                true => Ok(Keys::rotate(&folder)?),
                false => Err(StartError::NotAnnounced),
            }
        }
    }
}

/// Every agent keeps a connection, and each is an open file: the limit that shells and systemd set at first is lower than
/// what they allow, and would keep out a thousandth machine.
fn allow_many_connections() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, limit = ?current, "the number of open files stays limited");
    }
}

fn open(options: &Options, stopping: watch::Receiver<bool>) -> Result<(File, Shared), StartError> {
    let data = options.data.as_path();
    make_private_folder(data)?;
    let lock = lock(data)?;
    sweep_backups(data);
    settle(data)?;
    change_keys(data, options.keys)?;
    let keys = Keys::open(&data.join("keys"))?;
    let depot = Arc::new(DiskStore::open(&private(data, "depot")?)?);
    let ledger = Ledger::open(&private(data, "ledger")?, keys.ledger.clone(), &keys.origin)?;
    let memories = Memories::open(data).map_err(|source| StartError::Folder { path: data.to_path_buf(), source })?;
    memories.review(&ledger)?;
    ledger.tell_lost(memories.told(&ledger.state()));
    let is_new = ledger.state().policy.is_none();
    let repository = Repository::open(&private(data, "repository")?, is_new, Timestamp::now())
        .map_err(|error| StartError::Repository(error.to_string()))?;
    let serving = Serving {
        ledger,
        depot,
        keys,
        memories,
        repository,
        sessions: Default::default(),
        targets: Targets::new(options.away_after),
        progress: broadcast::channel(PROGRESS_KEPT).0,
        builds: Default::default(),
        pruning: Default::default(),
        looking: Default::default(),
        pruned: Default::default(),
        notifier: Default::default(),
        metrics: Default::default(),
        stopping,
    };
    Ok((lock, Arc::new(serving)))
}

/// Removes copies of the ledger that a backup left when it was interrupted; one that is under way is younger.
fn sweep_backups(data: &Path) {
    let is_old = |entry: &std::fs::DirEntry| {
        let named = entry.file_name().to_string_lossy().starts_with(crate::backup::BESIDE);
        let age = entry.metadata().and_then(|known| known.modified()).ok().and_then(|then| then.elapsed().ok());
        named && age.is_some_and(|age| age > Duration::from_secs(86_400))
    };
    let entries = std::fs::read_dir(data).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(is_old) {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "a backup's remains cannot be removed");
        }
    }
}

pub(crate) fn private(data: &Path, name: &str) -> Result<PathBuf, StartError> {
    let folder = data.join(name);
    make_private_folder(&folder)?;
    Ok(folder)
}

/// Makes the names in a data folder durable, as [`durable::settle`] says. The depot sees to its own.
pub(crate) fn settle(data: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::Folder { path: data.to_path_buf(), source };
    durable::settle(data, &data.join("depot")).map_err(failed)
}

/// Takes the folder for this process; the kernel gives it back when the process ends, however it ends.
pub(crate) fn lock(data: &Path) -> Result<File, StartError> {
    let path = data.join("lock");
    let folder = |source| StartError::Folder { path: path.clone(), source };
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(folder)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::InUse(data.to_path_buf())),
        Err(error) => Err(folder(error.into())),
    }
}

pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| StartError::Listen { address, source })
}

pub(crate) fn local_address(listener: &TcpListener, asked: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen { address: asked, source })
}

/// An address that a client on this machine can use: one that listens everywhere is reached by loopback.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    reachable
}

/// Why nothing can be served over TLS.
pub(crate) enum TlsError {
    /// The key or the certificate.
    Tls(rustls::Error),
    /// The listener.
    Listen(io::Error),
}

/// Serves `router` over TLS with a key that clients pin.
pub(crate) fn serve_tls(
    listener: TcpListener,
    (certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
    router: Router,
    handle: Handle<SocketAddr>,
) -> Result<JoinHandle<io::Result<()>>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Tls)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(TlsError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = RustlsConfig::from_config(Arc::new(config));
    let server = axum_server::from_tcp_rustls(listener, config).map_err(TlsError::Listen)?.handle(handle);
    // Before a request is whole nobody is known, so nobody may take long: neither for the handshake, which has its own
    // limit of ten seconds, nor for what follows it.
    let mut server = server.first_request_timeout(HEADER_TIMEOUT);
    let builder = server.http_builder();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_BYTES);
    builder.http2().max_header_list_size(HEADER_BYTES as u32).max_concurrent_streams(STREAMS);
    builder.http2().timer(TokioTimer::new()).adaptive_window(true).keep_alive_interval(Duration::from_secs(30));
    Ok(tokio::spawn(server.serve(router.into_make_service_with_connect_info::<SocketAddr>())))
}
