//! What the long-lived verbs share: where data lies, how they log, and when they are to end.

use crate::failure::Failure;
use anyhow::Context as _;
use std::{io::IsTerminal, path::PathBuf};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// `$XDG_DATA_HOME/sortie`, or `~/.local/share/sortie`.
pub fn data_home() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|folder| folder.join("sortie"))
        .ok_or_else(|| Failure::failed("neither XDG_DATA_HOME nor HOME is set").next("give a data folder: --data DIR"))
}

/// Logs to standard error; `SORTIE_LOG` says how much, `usual` where it is not set.
pub fn log_to_standard_error(usual: &str) {
    let filter = EnvFilter::try_from_env("SORTIE_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let terminal = std::io::stderr().is_terminal();
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    // A second call finds the first one's subscriber in place.
    let _already_set = logging.try_init();
}

/// Ready once the process is interrupted or told to terminate.
pub fn told_to_end() -> Result<impl Future<Output = ()>, Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
