//! How a copy is taken out of service before it stops, and put back once it is healthy.

use super::{ManifestError, Run};
use serde::{Deserialize, Serialize};

/// The longest that is waited for a copy that serves nobody any more, in seconds: an hour.
const MOST_SECONDS: u32 = 3600;

/// How the copies that have a port go out of service and come back. Where a file is written, and what is run once it has
/// changed, the machine's owner decides, and never a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// The form in which the target lists the copies that serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    /// The program that takes a copy out of service, run as that copy is (`$PORT` included).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Vec<String>>,
    /// The program that puts it back, once it is healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<Vec<String>>,
    /// How long a copy that is out of service may finish its work before it is told to stop.
    pub drain_seconds: u32,
}

/// The forms in which the copies that serve can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upstream {
    /// One `upstream` block a process, for nginx.
    Nginx,
    /// One `backend` section a process, for HAProxy.
    Haproxy,
}

impl Run {
    /// Checks what the types of this module do not carry.
    pub(super) fn validate_traffic(&self) -> Result<(), ManifestError> {
        let wrong = |text: &str| Err(ManifestError::Run(text.into()));
        let Some(traffic) = &self.traffic else { return Ok(()) };
        let is_empty = |run: &Vec<String>| run.first().is_none_or(String::is_empty);
        if [&traffic.drain, &traffic.back].into_iter().flatten().any(is_empty) {
            return wrong("traffic has nothing to run");
        }
        if traffic.upstream.is_none() && traffic.drain.is_none() {
            return wrong("traffic says neither upstream nor drain: how is a copy taken out of service?");
        }
        if traffic.drain_seconds > MOST_SECONDS {
            return wrong("traffic waits for more than an hour");
        }
        match self.processes.values().any(|process| process.wants_port(&self.environment)) {
            true => Ok(()),
            false => wrong("traffic is of copies with a port, and no process has one"),
        }
    }
}
