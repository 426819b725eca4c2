//! What the long-lived verbs share: where data lies, how they log, and when they are to end.

use crate::failure::Failure;
use anyhow::Context as _;
use server::backup::is_of_a_server;
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};
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

/// The data folder of the server on this machine: the one that was given, else the usual one, or that of `serve --dev` where there
/// is no other.
pub fn server_data(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    match given {
        Some(data) => Ok(data),
        None => Ok(server_below(&data_home()?)),
    }
}

fn server_below(home: &Path) -> PathBuf {
    let (usual, dev) = (home.join("server"), home.join("dev").join("server"));
    match !is_of_a_server(&usual) && is_of_a_server(&dev) {
        true => dev,
        false => usual,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_dev_is_found_where_there_is_no_other() {
        let home = tempfile::tempdir().unwrap();
        let (usual, dev) = (home.path().join("server"), home.path().join("dev/server"));
        let make = |data: &Path| {
            std::fs::create_dir_all(data.join("ledger")).unwrap();
            std::fs::create_dir(data.join("keys")).unwrap();
            std::fs::write(data.join("ledger/ledger.sqlite"), "").unwrap();
        };
        assert_eq!(server_below(home.path()), usual, "this is what is said not to be one");
        make(&dev);
        assert_eq!(server_below(home.path()), dev);
        make(&usual);
        assert_eq!(server_below(home.path()), usual);
    }
}
