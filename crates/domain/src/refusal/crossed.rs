//! That something would come back to data which was changed since.

use serde::{Deserialize, Serialize};
use std::fmt;
use trust::{AppName, AudienceName, TargetName, statement::OrderAct};

/// What an order brings back is from before a migration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossed {
    /// The application.
    pub app: AppName,
    /// Where.
    pub environment: AudienceName,
    /// What was ordered.
    pub act: OrderAct,
    /// The build that would come back, by its name.
    pub to: String,
    /// The builds that changed the data since it ran, oldest first.
    pub by: Vec<String>,
    /// Whether a rollback could take that back.
    pub can_undo: bool,
    /// Whether what was ordered has settled there, so that a rollback goes to it; not said by servers of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<bool>,
    /// Whether the one build that did says how to take it back, though it runs nowhere; not said by servers of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_undo: Option<bool>,
    /// Whether it ran there before that; one that never did is an older version. Servers of before know only the former.
    #[serde(default = "ran_before")]
    pub ran: bool,
    /// What was ordered, by its name, where that is a package with this member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Who would go on with what changed the data, so that it cannot be taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_on: Vec<TargetName>,
}

fn ran_before() -> bool {
    true
}

impl Crossed {
    /// What may be ordered instead. A package goes back as one: its member alone would leave the others where they are.
    pub(super) fn next(&self) -> String {
        let Self { environment, act, to, can_undo, package, settled, .. } = self;
        let whole = package.as_ref().unwrap_or(to);
        let app = whole.split(['@', '#']).next().unwrap_or(whole);
        match (act, *can_undo && *settled != Some(false)) {
            (OrderAct::Rollback, _) => {
                let version = whole.split_once('@').map(|(_, version)| format!(" --version {version}"));
                format!("sortie rollback {app} --in {environment}{} --keep-data", version.unwrap_or_default())
            }
            (_, true) => format!("sortie rollback {app} --in {environment}"),
            (_, false) => format!("sortie deploy {whole} --to {environment} --keep-data"),
        }
    }
}

impl fmt::Display for Crossed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { environment, to, by, can_undo, has_undo, ran, kept_on, settled, .. } = self;
        let changed_by = by.join(", ");
        if !ran {
            return write!(
                f,
                "{to} never ran in {environment}, and is older than what changed the data there: {changed_by}"
            );
        }
        write!(f, "{to} last ran in {environment} before the data was changed by {changed_by}")?;
        if !kept_on.is_empty() {
            let on = kept_on.iter().map(TargetName::as_str).collect::<Vec<_>>().join(", ");
            return write!(f, ", which goes on running on {on}: the data cannot be taken back from under it");
        }
        f.write_str(match (can_undo, by.len(), has_undo) {
            (true, ..) if *settled == Some(false) => {
                "; a rollback would take that back, and goes to what has settled only, which this has not"
            }
            (true, ..) => "; a rollback takes that back, this does not",
            (false, 1, Some(true)) => ", which has an undo, and runs on no target that could take it back",
            (false, 1, Some(false)) => ", which has no undo",
            (false, 1, None) => ", which has no undo, or runs on no target any more that could take it back",
            (false, ..) => ", and no rollback takes back more than one",
        })
    }
}
