//! What is proposed after a deployment that came to nothing: the same order once more, to whom it was not done.

use api::read::{BuildName, Cell, DeploymentView, Runs};
use trust::{TargetName, statement::OrderAct};

/// What may be typed after a deployment that came to nothing: to give the same order again, unless what it brings is kept out, or has
/// no permit where somebody is asked for one.
pub fn again(view: &DeploymentView, cell: Option<&Cell>, asks: bool) -> String {
    let (app, what, environment) = (&view.app, view.build.of(&view.app), &view.environment);
    // One member alone would not be what its package says.
    if let Some(package) = view.package {
        return format!("sortie status {package}");
    }
    let is_held = cell.is_some_and(|cell| cell.held.contains(&view.build));
    let is_released = cell.is_some_and(|cell| cell.released.iter().any(|one| one.build == view.build.build));
    match view.act {
        // What is kept out and is there all the same goes.
        act if is_held && (act.installs() || act == OrderAct::Switch) => {
            let still = still_there(view, cell);
            match serves_beside(view, cell) {
                Some(other) => format!("sortie switch {} --in {environment}", other.of(app)),
                None if act.deploys() && !still.is_empty() => {
                    format!("sortie rollback {app} --in {environment}{}", only(&still, cell))
                }
                None => format!("sortie hold lift {what} --in {environment} --reason …"),
            }
        }
        act if act.installs() && asks && !is_released => format!("sortie why {what} --in {environment}"),
        OrderAct::Rollback if let Some(version) = &view.build.version => {
            let left: Vec<TargetName> = not_done(view).cloned().collect();
            format!("sortie rollback {app} --in {environment} --version {version}{}", only(&left, cell))
        }
        OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback => format!("sortie redeploy {}", view.deployment),
        OrderAct::Configure => format!("sortie deploy {app} --to {environment} --config-only"),
        OrderAct::Switch => format!("sortie switch {what} --in {environment}"),
        OrderAct::Stop | OrderAct::Start | OrderAct::Restart | OrderAct::Undeploy => {
            let left = still_there(view, cell);
            match left.is_empty() {
                true => format!("sortie status {app} --in {environment}"),
                false => format!("sortie {} {app} --in {environment}{}", view.act.word(), only(&left, cell)),
            }
        }
    }
}

/// The targets that have not done what was ordered.
fn not_done(view: &DeploymentView) -> impl Iterator<Item = &TargetName> {
    view.targets.iter().filter(|part| part.state != "verified").map(|part| &part.target)
}

/// Where what was brought still runs, or runs again; and of what was to end, where it has not. Members run where a package does.
fn still_there(view: &DeploymentView, cell: Option<&Cell>) -> Vec<TargetName> {
    let installs = view.act.installs();
    let runs = |target: &TargetName| {
        let here = |runs: &Runs| runs.on.contains(target) && (!installs || runs.build == view.build);
        cell.is_some_and(|cell| cell.runs.iter().chain(&cell.partly).any(here))
    };
    let left = view.targets.iter().filter(|part| installs || part.state != "verified").map(|part| &part.target);
    left.filter(|target| runs(target)).cloned().collect()
}

/// What serves on the other side, where what a switch let serve does so too.
fn serves_beside<'a>(view: &DeploymentView, cell: Option<&'a Cell>) -> Option<&'a BuildName> {
    let cell = cell.filter(|_| view.act == OrderAct::Switch)?;
    let mut serving = cell.runs.iter().filter(|runs| !runs.all_stand_by()).map(|runs| &runs.build);
    serving.clone().find(|build| **build == view.build)?;
    serving.find(|build| **build != view.build && !cell.held.contains(build))
}

/// `--only prod-1,prod-2`, unless these are all.
fn only(targets: &[TargetName], cell: Option<&Cell>) -> String {
    if targets.is_empty() || cell.is_some_and(|cell| cell.targets as usize == targets.len()) {
        return String::new();
    }
    let names: Vec<&str> = targets.iter().map(TargetName::as_str).collect();
    format!(" --only {}", names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;
    use domain::event::Ending;

    #[test]
    fn r31_what_is_kept_out_or_has_no_permit_is_not_proposed_to_be_brought_again() {
        let mut view = samples::deployment(&[("prod-1", "undone")]);
        view.ending = Some(Ending::Undone);
        let mut cell = samples::status().apps[0].cells[2].clone();
        assert_eq!(again(&view, Some(&cell), true), "sortie hold lift web@1.5.0 --in prod --reason …");
        view.ending = Some(Ending::Failed);
        assert_eq!(again(&view, Some(&cell), true), "sortie hold lift web@1.5.0 --in prod --reason …");
        let mut still = cell.clone();
        still.runs[0].build = view.build.clone();
        let back = "sortie rollback web --in prod --only prod-1";
        assert_eq!(again(&view, Some(&still), true), back, "who could not go back is not left with it");
        view.act = OrderAct::Switch;
        still.runs.push(cell.runs[0].clone());
        assert_eq!(again(&view, Some(&still), true), "sortie switch web@1.4.0 --in prod", "one side is to serve");
        assert_eq!(again(&view, Some(&cell), true), "sortie hold lift web@1.5.0 --in prod --reason …");
        view.act = OrderAct::Deploy;
        cell.held.clear();
        assert_eq!(again(&view, Some(&cell), true), "sortie why web@1.5.0 --in prod");
        assert_eq!(again(&view, Some(&cell), false), "sortie redeploy 41");
        cell.released = samples::status().apps[0].cells[1].released.clone();
        assert_eq!(again(&view, Some(&cell), true), "sortie redeploy 41");
        view.package = Some(40);
        assert_eq!(again(&view, Some(&cell), true), "sortie status 40", "a member alone would split it");
    }

    #[test]
    fn what_was_to_end_is_not_brought() {
        let mut view = samples::deployment(&[("prod-1", "verified"), ("prod-2", "absent"), ("prod-3", "not begun")]);
        view.ending = Some(Ending::Failed);
        let cell = samples::status().apps[0].cells[2].clone();
        let mut next = |act| {
            view.act = act;
            again(&view, Some(&cell), true)
        };
        assert_eq!(next(OrderAct::Undeploy), "sortie undeploy web --in prod --only prod-2,prod-3");
        assert_eq!(next(OrderAct::Stop), "sortie stop web --in prod --only prod-2,prod-3");
        assert_eq!(next(OrderAct::Switch), "sortie hold lift web@1.5.0 --in prod --reason …");
        assert_eq!(next(OrderAct::Configure), "sortie deploy web --to prod --config-only");
        let mut gone = cell.clone();
        gone.runs.clear();
        assert_eq!(again(&view, Some(&gone), true), "sortie deploy web --to prod --config-only");
        view.act = OrderAct::Undeploy;
        assert_eq!(again(&view, Some(&gone), true), "sortie status web --in prod", "nothing is left of it");
        view.targets[0].state = "not begun".into();
        assert_eq!(again(&view, Some(&cell), true), "sortie undeploy web --in prod");
        view.act = OrderAct::Rollback;
        let mut free = cell.clone();
        free.held.clear();
        assert_eq!(again(&view, Some(&free), false), "sortie rollback web --in prod --version 1.5.0");
        view.act = OrderAct::Switch;
        assert_eq!(again(&view, Some(&free), false), "sortie switch web@1.5.0 --in prod");
    }
}
