//! What a keeper says about its copy, in its state file and over its socket.

use super::proc::ProcessMark;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use trust::Digest;

/// What the keeper is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// The process runs.
    Running,
    /// The process has exited and waits to be started again.
    Backoff,
    /// The agent has asked for the end. If the keeper dies in it, the agent completes it.
    Stopping,
    /// A task has ended: `last_exit` says how.
    Ended,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(number) => write!(f, "signal {number}"),
        }
    }
}

/// All that a keeper knows of its copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CopyState {
    pub build: Digest,
    /// The boot in which the marks below mean something.
    pub boot_id: String,
    pub keeper: Option<ProcessMark>,
    pub process: Option<ProcessMark>,
    pub phase: Phase,
    /// How often it was started again after exiting by itself.
    pub restarts: u32,
    pub last_exit: Option<Exit>,
    pub started_at: Option<Timestamp>,
    pub port: Option<u16>,
    /// Lines lost because the log could not be written.
    pub dropped_log_lines: u64,
}
