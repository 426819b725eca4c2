//! Who did not get what others did, and how they still do: who failed, did not answer, was left out, or is cordoned.

use api::read::{Cell, DeploymentView, PartView, Status, TargetStatus};
use std::collections::BTreeSet;
use trust::TargetName;

/// Whether a target verified it and is not well since.
pub fn is_unwell(part: &PartView) -> bool {
    part.unwell.is_some()
}

/// Whether a target did not get it by its own fault or by nobody's; what somebody left out is no such.
pub fn has_failed(part: &PartView) -> bool {
    match part.state.as_str() {
        "failed" | "refused" | "absent" => true,
        "undone" => part.failed_in.is_some(),
        // Others are staged and get their turn.
        "staged" => part.failed_in.is_some() || part.refused.is_some(),
        _ => false,
    }
}

/// How a part stands that came to no good end where the others did.
const FAILED: [&str; 4] = ["undone", "failed", "refused", "staged"];

/// `2 of 100 did not answer and will catch up: web-07, web-31`, and those that failed within the budget.
pub(super) fn left_out(view: &DeploymentView) -> Vec<String> {
    let all = view.targets.len();
    let named = |states: &[&str]| -> Vec<&str> {
        let parts = view.targets.iter().filter(|part| states.contains(&part.state.as_str()));
        parts.map(|part| part.target.as_str()).collect()
    };
    let mut lines = Vec::new();
    let absent = named(&["absent"]);
    if !absent.is_empty() {
        lines.push(format!("{} of {all} did not answer and will catch up: {}", absent.len(), absent.join(", ")));
    }
    let failed = named(&FAILED);
    if !failed.is_empty() {
        lines.push(format!("{} of {all} failed and were left out: {}", failed.len(), failed.join(", ")));
    }
    let left_out = named(&["left out"]);
    if !left_out.is_empty() {
        lines.push(format!("{} of {all} were left out: {}", left_out.len(), left_out.join(", ")));
    }
    lines
}

/// How those that failed or were left out get it: they try again where they may. A cordoned machine takes nothing new; who was
/// not there any more, never will.
pub fn to_try_again(view: &DeploymentView, status: &Status) -> Vec<String> {
    let is_cordoned = |name: &TargetName| status.targets.iter().find(|target| target.name == *name).map(|t| t.cordoned);
    let failed = |part: &&PartView| has_failed(part) && part.state != "absent";
    let left_out = |part: &&PartView| part.state == "left out";
    let names = |cordoned: bool, of: &dyn Fn(&&PartView) -> bool| -> Vec<&str> {
        let parts = view.targets.iter().filter(of).filter(|part| is_cordoned(&part.target) == Some(cordoned));
        parts.map(|part| part.target.as_str()).collect()
    };
    let cordoned = [names(true, &failed), names(true, &left_out)].concat();
    let all_may = names(true, &failed).is_empty();
    let (failed, left_out) = (names(false, &failed), names(false, &left_out));
    let mut lines = Vec::new();
    if !failed.is_empty() || !left_out.is_empty() {
        // Those that somebody left out try again only where they are named, and so does everybody beside one who may not.
        let only = match all_may && left_out.is_empty() {
            true => String::new(),
            false => format!(" --only {}", [failed, left_out].concat().join(",")),
        };
        lines.push(format!("to let them try again: sortie retry {}{only}", view.deployment));
    }
    if let Some(first) = cordoned.first() {
        let (names, takes) =
            (cordoned.join(", "), if cordoned.len() == 1 { "is cordoned and takes" } else { "are cordoned and take" });
        lines.push(format!("{names} {takes} nothing new: sortie target uncordon {first}"));
    }
    lines
}

/// Who has no part in what was brought and does not run it, because somebody cordoned it: whoever reads `3/4` should know why.
pub(super) fn cordoned(status: &Status, view: &DeploymentView, cell: Option<&Cell>) -> Option<String> {
    let cell = cell.filter(|_| view.act.installs() && view.members.is_empty())?;
    let on: BTreeSet<&TargetName> =
        cell.runs.iter().filter(|runs| runs.build == view.build).flat_map(|runs| &runs.on).collect();
    let missing = (cell.targets as usize).saturating_sub(on.len());
    let parts: BTreeSet<&TargetName> = view.targets.iter().map(|part| &part.target).collect();
    let is_meant = |target: &&TargetStatus| {
        let is_cordoned_here = target.cordoned && target.environment == view.environment;
        is_cordoned_here && !parts.contains(&target.name) && !on.contains(&target.name)
    };
    let all: Vec<&TargetStatus> = status.targets.iter().filter(is_meant).collect();
    // Where more are cordoned than are missing, some are for other applications: those that ran this one are meant.
    let are_all_meant = all.len() <= missing;
    let names = all.iter().filter(|target| are_all_meant || target.runs.contains_key(&view.app));
    let names: Vec<&str> = names.map(|target| target.name.as_str()).collect();
    (!names.is_empty()).then(|| format!("{} cordoned and left alone: {}", names.len(), names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::{deployment, status};
    use domain::event::Ending;

    #[test]
    fn whoever_was_left_out_is_named_to_try_again() {
        let mut status = status();
        let mut view = deployment(&[("prod-1", "verified"), ("prod-2", "failed")]);
        view.ending = Some(Ending::Succeeded);
        assert_eq!(to_try_again(&view, &status), ["to let them try again: sortie retry 41"]);
        view.targets[0].state = "left out".into();
        assert_eq!(to_try_again(&view, &status), ["to let them try again: sortie retry 41 --only prod-2,prod-1"]);
        // A cordoned machine would be refused, and one that has left is not there to ask.
        status.targets.iter_mut().find(|target| target.name.as_str() == "prod-1").unwrap().cordoned = true;
        assert_eq!(
            to_try_again(&view, &status),
            [
                "to let them try again: sortie retry 41",
                "prod-1 is cordoned and takes nothing new: sortie target uncordon prod-1"
            ]
        );
        status.targets.clear();
        assert!(to_try_again(&view, &status).is_empty());
    }
}
