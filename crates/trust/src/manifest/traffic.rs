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
    /// How one build takes the place of another; absent means copy by copy, each on the port it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Switch>,
}

/// How one build takes the place of another, where that is not copy by copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Switch {
    /// All copies of the new build start beside those of the old one, on ports of their own, and are verified there while
    /// the old ones serve. Then the list is written once, with the new ones alone, and the old ones end.
    #[serde(rename = "blue-green")]
    BlueGreen,
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

impl Traffic {
    /// Whether copies can run and serve nobody: it can be said of them that they serve, and that they do not.
    pub fn can_stand_by(&self) -> bool {
        self.upstream.is_some() || self.drain.is_some() && self.back.is_some()
    }
}

impl Run {
    /// Whether its copies can run and serve nobody, as on the side of an environment that does not serve.
    pub fn can_stand_by(&self) -> bool {
        self.traffic.as_ref().is_some_and(Traffic::can_stand_by)
    }

    /// Whether its copies are brought beside those they take the place of, and all change at once.
    pub fn is_blue_green(&self) -> bool {
        self.traffic.as_ref().is_some_and(|traffic| traffic.switch == Some(Switch::BlueGreen))
    }

    /// Blue and green need two ports for each copy, and one place where it stands which of them serve.
    fn validate_blue_green(&self, traffic: &Traffic) -> Result<(), ManifestError> {
        let wrong = |text: String| Err(ManifestError::Run(format!("blue-green {text}")));
        if traffic.upstream.is_none() || traffic.drain.is_some() || traffic.back.is_some() {
            return wrong(
                "switches by one write of a list, so it needs upstream = \"nginx\" or \"haproxy\"; drain and back are for \
                 one copy after the other"
                    .into(),
            );
        }
        for (name, process) in &self.processes {
            if process.socket.is_some() {
                return wrong(format!(
                    "runs two builds on two ports, and process {name} hands its socket on at one: take away socket or switch"
                ));
            }
            if process.port.is_some() {
                return wrong(format!(
                    "runs two builds side by side, and process {name} fixes its port: take port away and use $PORT in run"
                ));
            }
        }
        Ok(())
    }

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
        if traffic.switch == Some(Switch::BlueGreen) {
            self.validate_blue_green(traffic)?;
        }
        match self.processes.values().any(|process| process.wants_port(&self.environment)) {
            true => Ok(()),
            false => wrong("traffic is of copies with a port, and no process has one"),
        }
    }
}
