//! What the long-lived verbs have in common: where data lies, what is logged, and when it is time to stop.

use crate::failure::Failure;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Sends what is traced to standard error; RUST_LOG says how much (`info` by default).
pub fn log_to_stderr(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    // A second subscriber is refused, and the first goes on.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Where data lies by default: below `/var/lib` for root, else below the user's own data folder.
pub fn data_folder(name: &str) -> Result<PathBuf, Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/sortie").join(name));
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|folder| folder.join("sortie").join(name))
        .ok_or_else(|| Failure::misused("HOME is not set: say where data is to lie (--data DIR)"))
}

/// Ends when somebody asks the process to: Ctrl-C, or SIGTERM.
pub async fn asked_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
