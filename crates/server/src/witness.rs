//! A witness: a process on another machine, without whose signature the repository's timestamp counts for nobody.
//!
//! It asks the server for what waits for it, looks at all of it by [`trust::tuf::witness`], and signs what hides none of
//! the withdrawals that it ever heard of. It takes withdrawals from whoever brings one, keeps them before it answers, and
//! passes them on. What it signed last it serves as files, so that it is a mirror too.
//!
//! - `keeping`: what lies in its data folder, and never leaves it again.
//! - `looking`: the loop that looks and signs; `carrying`: the one that passes withdrawals on.
//! - `http`: what it answers.

mod carrying;
mod http;
mod keeping;
mod looking;

use crate::{
    http::sessions::Sessions,
    keys::{self, KeysError, make_private_folder},
    repository::files::FileError,
    start::{self, StartError},
};
use api::{
    client::{Client, ClientError},
    link::Link,
    witness::WitnessView,
};
use axum_server::Handle;
use keeping::{Keeping, Pinned};
use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use trust::{
    Digest,
    key::{SecretKey, Signer},
};

/// How long requests under way may take to end when the witness stops.
const GRACE: Duration = Duration::from_secs(5);
/// The witness's key.
const KEY: &str = "witness.key";

/// How a witness is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its data folder, which is made where absent.
    pub data: PathBuf,
    /// Where to listen for withdrawals and for those who use it as a mirror; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The server and its pin; needed the first time.
    pub server: Option<(String, Digest)>,
}

/// Why a witness does not start.
#[derive(Debug, thiserror::Error)]
pub enum WitnessStartError {
    /// As with a server.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its keys cannot be read or made.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A file in its folder cannot be read or written.
    #[error("{0}")]
    File(String),
    /// It does not know its server yet.
    #[error("this witness knows no server yet: give it one by --server URL#PIN")]
    NoServer,
    /// The server cannot be asked.
    #[error(transparent)]
    Server(#[from] ClientError),
    /// The server has no estate.
    #[error("{0} has no estate yet: found it first, by `sortie charter init` and `charter apply`")]
    NoEstate(String),
    /// The server has another estate than the one that this witness is for.
    #[error("{0} has another estate than the one that this witness is for: give this one a data folder of its own")]
    OtherEstate(String),
}

impl From<FileError> for WitnessStartError {
    fn from(error: FileError) -> Self {
        WitnessStartError::File(error.to_string())
    }
}

/// What the parts of a witness share.
struct Witness {
    key: Arc<SecretKey>,
    estate: Digest,
    link: Link,
    keeping: Keeping,
    view: Mutex<WitnessView>,
    /// Told of a withdrawal that the server has not heard of.
    brought: Notify,
    askers: Sessions,
    stopping: watch::Receiver<bool>,
}

impl Witness {
    fn view(&self) -> MutexGuard<'_, WitnessView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that the sender is gone, which is an end too.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}

/// A witness that works. Dropped without [`Running::shutdown`], it goes on until the process ends.
pub struct Running {
    /// `https://host:port`, as people and agents reach it.
    pub url: String,
    /// The pin of its TLS key.
    pub pin: Digest,
    /// Its public key, as an OpenSSH line.
    pub key: String,
    /// The estate it is a witness of.
    pub estate: Digest,
    /// Whether the newest root that it has seen names it.
    pub is_named: bool,
    stop: watch::Sender<bool>,
    handle: Handle<SocketAddr>,
    working: JoinHandle<()>,
    served: JoinHandle<std::io::Result<()>>,
    _lock: File,
}

/// Opens a witness's data folder and lets it work. Needs a Tokio runtime of several threads.
pub async fn run(options: Options) -> Result<Running, WitnessStartError> {
    make_private_folder(&options.data)?;
    let lock = start::lock(&options.data)?;
    start::settle(&options.data)?;
    let key = Arc::new(keys::open_signing(&options.data, KEY, "sortie witness")?);
    let (certificate, tls, pin) = keys::open_tls(&options.data, "")?;
    let pinned = pin_server(&options.data, options.server).await?;
    let keeping = Keeping::open(&options.data, pinned.estate)?;
    let is_named = keeping.root()?.is_some_and(|root| root.witness() == Some(key.public()));
    let (stop, stopping) = watch::channel(false);
    let link = Link::new(&pinned.url, vec![pinned.pin], pinned.estate, key.clone())?;
    let view = WitnessView { key: key.public().to_openssh(), estate: Some(pinned.estate), ..WitnessView::default() };
    let witness = Arc::new(Witness {
        key: key.clone(),
        estate: pinned.estate,
        link,
        keeping,
        view: Mutex::new(view),
        brought: Notify::new(),
        askers: Sessions::default(),
        stopping,
    });
    let listener = start::listen(options.listen)?;
    let address = start::local_address(&listener, options.listen)?;
    let handle = Handle::new();
    let served = start::serve_tls(listener, (certificate, tls), http::router(witness.clone()), handle.clone());
    let served = served.map_err(|error| start::failed(error, address))?;
    let runtime = tokio::runtime::Handle::current();
    // It writes to the disk between its questions, so it has a thread of its own.
    let working = tokio::task::spawn_blocking(move || {
        runtime.block_on(async { tokio::join!(looking::run(&witness), carrying::run(&witness)) });
    });
    Ok(Running {
        url: format!("https://{}", start::reachable(address)),
        pin,
        key: key.public().to_openssh(),
        estate: pinned.estate,
        is_named,
        stop,
        handle,
        working,
        served,
        _lock: lock,
    })
}

/// Which server and which estate: as was given now, or as it was the first time. The estate is taken once on the word of
/// whoever has the pinned key, and never again.
async fn pin_server(data: &Path, given: Option<(String, Digest)>) -> Result<Pinned, WitnessStartError> {
    let known = keeping::pinned(data)?;
    let (url, pin) = match (given, &known) {
        (Some(given), _) => given,
        (None, Some(known)) => return Ok(known.clone()),
        (None, None) => return Err(WitnessStartError::NoServer),
    };
    let hello = match (Client::new(&url, Some(pin))?.hello().await, &known) {
        // A witness works on while its server is away.
        (Err(ClientError::Away { .. }), Some(known)) => return Ok(Pinned { url, pin, ..known.clone() }),
        (hello, _) => hello?,
    };
    let estate = hello.estate.ok_or_else(|| WitnessStartError::NoEstate(url.clone()))?;
    if known.is_some_and(|known| known.estate != estate) {
        return Err(WitnessStartError::OtherEstate(url));
    }
    let pinned = Pinned { url, pin, estate };
    keeping::pin(data, &pinned)?;
    Ok(pinned)
}

impl Running {
    /// Stops answering and looking. What it keeps is on the disk.
    pub async fn shutdown(self) {
        let _ = self.stop.send(true);
        self.handle.graceful_shutdown(Some(GRACE));
        if let Ok(Err(error)) = self.served.await {
            tracing::error!(%error, "the listener failed");
        }
        if let Err(error) = self.working.await {
            tracing::error!(%error, "the witness broke off");
        }
    }
}
