//! Every reason for standing still, as data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use trust::{AppName, AudienceName, PersonName, TargetName, Version, quorum::Lack};

/// What something that stands still waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "snake_case")]
pub enum WaitingOn {
    /// A request waits for people.
    Approvals {
        /// The version.
        version: Version,
        /// The audience.
        audience: AudienceName,
        /// Who is missing.
        lacks: Vec<Lack>,
    },
    /// A deployment waits for its permit.
    Permit {
        /// Its number.
        deployment: u64,
        /// The version.
        version: Option<Version>,
        /// The audience.
        audience: AudienceName,
    },
    /// A deployment waits for its permit, which is granted, to begin.
    Beginning {
        /// Its number.
        deployment: u64,
        /// From when the permit holds.
        begins: Timestamp,
    },
    /// A deployment waits for the time it was planned for.
    Time {
        /// Its number.
        deployment: u64,
        /// When that is.
        at: Timestamp,
    },
    /// A deployment waits for a window to open.
    Window {
        /// Its number.
        deployment: u64,
        /// When it may go on, as far as is known; nothing where none ever opens.
        opens_at: Option<Timestamp>,
    },
    /// A deployment that was planned waits for another one of the application to end.
    Deployment {
        /// Its number.
        deployment: u64,
        /// The other's.
        other: u64,
    },
    /// A deployment waits until a freeze is over, or lifted, or lets it pass.
    Freeze {
        /// Its number.
        deployment: u64,
        /// The freeze's number.
        freeze: u64,
        /// Until when it is on.
        until: Timestamp,
    },
    /// A deployment waits for targets that are at it.
    Targets {
        /// Its number.
        deployment: u64,
        /// Which targets.
        targets: Vec<TargetName>,
        /// When it gives up on the first of them.
        until: Timestamp,
    },
    /// The deployment of a package waits for members that are at it, or that soak.
    Members {
        /// Its number.
        deployment: u64,
        /// Which members, each with the number of its own deployment.
        members: Vec<(AppName, u64)>,
        /// What the first of them waits for.
        why: Option<Box<WaitingOn>>,
    },
    /// A ring of a deployment bakes; the next begins by itself.
    Bake {
        /// Its number.
        deployment: u64,
        /// The ring.
        ring: String,
        /// When the next begins.
        until: Timestamp,
    },
    /// A ring of a deployment is well, or nobody of it is left; the next begins when somebody says so.
    Word {
        /// Its number.
        deployment: u64,
        /// The ring.
        ring: String,
        /// From when it may be said.
        from: Timestamp,
        /// What the next ring waits for besides: the word is refused before that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        besides: Option<Box<WaitingOn>>,
    },
    /// A deployment is paused until somebody says what is to be done.
    Person {
        /// Its number.
        deployment: u64,
        /// Who paused it; nobody where the charter did.
        by: Option<PersonName>,
        /// What went wrong, where the charter paused it.
        failure: Option<String>,
        /// When it is dropped if nobody has let it begin by then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<Timestamp>,
        /// What it waits for besides: nothing begins before that, whoever lets it go on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        besides: Option<Box<WaitingOn>>,
    },
    /// A deployment succeeded, and is not well everywhere, or was stopped: it soaks from when it is well and started again.
    Health {
        /// Its number.
        deployment: u64,
        /// Where it is unwell, and what is wrong.
        unwell: Vec<(TargetName, String)>,
        /// Where it is stopped, by an order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stopped: Vec<TargetName>,
    },
    /// A deployment succeeded and soaks.
    Soak {
        /// Its number.
        deployment: u64,
        /// When it settles.
        until: Timestamp,
    },
}

impl WaitingOn {
    /// The deployment that waits; nothing for a release.
    pub fn deployment(&self) -> Option<u64> {
        match self {
            WaitingOn::Approvals { .. } => None,
            WaitingOn::Permit { deployment, .. }
            | WaitingOn::Beginning { deployment, .. }
            | WaitingOn::Time { deployment, .. }
            | WaitingOn::Window { deployment, .. }
            | WaitingOn::Deployment { deployment, .. }
            | WaitingOn::Freeze { deployment, .. }
            | WaitingOn::Targets { deployment, .. }
            | WaitingOn::Members { deployment, .. }
            | WaitingOn::Bake { deployment, .. }
            | WaitingOn::Word { deployment, .. }
            | WaitingOn::Person { deployment, .. }
            | WaitingOn::Health { deployment, .. }
            | WaitingOn::Soak { deployment, .. } => Some(*deployment),
        }
    }

    /// Whether it is nothing that is being done: a time, a permit, a window, or the end of a freeze.
    pub fn stands(&self) -> bool {
        match self {
            WaitingOn::Approvals { .. }
            | WaitingOn::Permit { .. }
            | WaitingOn::Beginning { .. }
            | WaitingOn::Time { .. }
            | WaitingOn::Window { .. }
            | WaitingOn::Freeze { .. } => true,
            WaitingOn::Members { why, .. } => why.as_deref().is_some_and(WaitingOn::stands),
            WaitingOn::Deployment { .. }
            | WaitingOn::Targets { .. }
            | WaitingOn::Bake { .. }
            | WaitingOn::Word { .. }
            | WaitingOn::Person { .. }
            | WaitingOn::Health { .. }
            | WaitingOn::Soak { .. } => false,
        }
    }
}

/// Writes `qa and 2 ops` for a list of lacks.
pub fn lacks_in_words(lacks: &[Lack]) -> String {
    let word = |lack: &Lack| match lack.count {
        1 => lack.role.to_string(),
        n => format!("{n} {}", lack.role),
    };
    lacks.iter().map(word).collect::<Vec<_>>().join(" and ")
}

impl fmt::Display for WaitingOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitingOn::Approvals { version, audience, lacks } => {
                write!(f, "{version} → {audience} waits for {}", lacks_in_words(lacks))
            }
            WaitingOn::Permit { deployment, audience, version } => {
                let version = version.as_ref().map(Version::to_string).unwrap_or_default();
                write!(f, "deployment {deployment} waits until {version} is released to {audience}")
            }
            WaitingOn::Beginning { deployment, begins } => {
                write!(f, "deployment {deployment} waits for its permit, which begins at {begins:.0}")
            }
            WaitingOn::Time { deployment, at } => write!(f, "deployment {deployment} waits for its time, {at:.0}"),
            WaitingOn::Window { deployment, opens_at: Some(opens) } => {
                write!(f, "deployment {deployment} waits for a window, which opens at {opens:.0}")
            }
            WaitingOn::Window { deployment, opens_at: None } => {
                write!(f, "deployment {deployment} waits for a window, and the charter has none that opens again")
            }
            WaitingOn::Deployment { deployment, other } => {
                write!(f, "deployment {deployment} waits for deployment {other} to end")
            }
            WaitingOn::Freeze { deployment, freeze, until } => {
                write!(f, "deployment {deployment} waits for freeze {freeze}, which ends at {until:.0}")
            }
            // The clock goes on within a second; nobody is at it before that.
            WaitingOn::Targets { deployment, targets, .. } if targets.is_empty() => {
                write!(f, "deployment {deployment} goes on in a moment")
            }
            WaitingOn::Members { deployment, members, .. } if members.is_empty() => {
                write!(f, "deployment {deployment} goes on in a moment")
            }
            WaitingOn::Targets { deployment, targets, .. } => {
                let names: Vec<_> = targets.iter().map(TargetName::to_string).collect();
                write!(f, "deployment {deployment} waits for {}", names.join(", "))
            }
            WaitingOn::Members { deployment, members, why } => {
                let names: Vec<_> =
                    members.iter().map(|(app, number)| format!("{app} (deployment {number})")).collect();
                write!(f, "deployment {deployment} waits for {}", names.join(", "))?;
                match why {
                    Some(why) => write!(f, ": {why}"),
                    None => Ok(()),
                }
            }
            WaitingOn::Bake { deployment, ring, until } => {
                write!(f, "deployment {deployment} bakes on {ring} until {until:.0}")
            }
            WaitingOn::Word { deployment, ring, from, besides } => {
                write!(
                    f,
                    "deployment {deployment} is past {ring} and waits for somebody's word, from {from:.0}: sortie \
                     resume {deployment}"
                )?;
                match besides.as_deref() {
                    Some(besides) => write!(f, "; before that {besides}"),
                    None => Ok(()),
                }
            }
            WaitingOn::Person { deployment, by, failure, expires, besides } => {
                let why = match (by, failure) {
                    (Some(by), _) => format!("paused by {by}"),
                    (None, Some(failure)) => format!("paused: {failure}"),
                    (None, None) => "paused".into(),
                };
                write!(f, "deployment {deployment} is {why}; somebody says `sortie resume {deployment}` or `abort`")?;
                if let Some(expires) = expires {
                    write!(f, ", and it is dropped if it has not begun by {expires:.0}")?;
                }
                match besides {
                    Some(besides) => write!(f, "; besides, {besides}"),
                    None => Ok(()),
                }
            }
            WaitingOn::Health { deployment, unwell, stopped } => {
                let unwell: Vec<String> = unwell.iter().map(|(name, reason)| format!("{name} ({reason})")).collect();
                let stopped: Vec<String> = stopped.iter().map(TargetName::to_string).collect();
                let unwell = (!unwell.is_empty()).then(|| format!("is well again on {}", unwell.join(", ")));
                let stopped =
                    (!stopped.is_empty()).then(|| format!("is started again on {} (sortie start)", stopped.join(", ")));
                let before = [unwell, stopped].into_iter().flatten().collect::<Vec<_>>().join(", and ");
                write!(f, "deployment {deployment} neither goes on nor settles before it {before}")
            }
            WaitingOn::Soak { deployment, until } => write!(f, "deployment {deployment} soaks until {until:.0}"),
        }
    }
}
