//! What failed: the builds that did when they were last brought, and the targets on which what stands has, though others
//! run it.

use super::{build_name, words};
use api::read::FailedView;
use domain::{
    rules::{late, packages},
    state::{Deployment, InAudience, Progress, State},
};
use trust::{AppName, AudienceName, Digest, TargetName, statement::Outcome};

/// All that failed of an application in an environment.
pub(crate) fn failed(state: &State, app: &AppName, environment: &AudienceName, record: &InAudience) -> Vec<FailedView> {
    let view = |(build, deployment): (&Digest, &u64)| FailedView {
        build: build_name(state, app, build),
        deployment: *deployment,
        on: Vec::new(),
    };
    let stands = on_some(state, app, environment);
    let stands =
        stands.map(|(build, deployment, on)| FailedView { build: build_name(state, app, &build), deployment, on });
    record.failed.iter().map(view).chain(stands).collect()
}

/// The build that stands in an environment, with the deployment that brought it and the targets on which it failed: within the
/// budget, accepted by somebody, or when it was brought there afterwards. Nothing where it runs on all.
pub(crate) fn on_some(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
) -> Option<(Digest, u64, Vec<TargetName>)> {
    let (number, standing) = late::standing(state, app, environment)?;
    let on = state.targets_in(environment).map(|(name, _)| name);
    let on: Vec<TargetName> = on.filter(|name| has_failed_on(state, standing, name)).cloned().collect();
    (!on.is_empty()).then_some((standing.build, number, on))
}

/// What is held out of an environment and runs there all the same: `1.3.0 is held out of prod and still runs on prod-1`. What
/// stands by serves nobody, and while something is under way it may be on its way out.
pub(crate) fn held_and_running(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
    record: &InAudience,
) -> Vec<String> {
    if record.open_deployment.is_some() || packages::under_way(state, app, environment, None).is_some() {
        return Vec::new();
    }
    let still = |build: &Digest| {
        let here = state.targets_in(environment).map(|(name, _)| name);
        let runs = |name: &&TargetName| {
            let running = state.running(app, name);
            running.is_some_and(|running| running.build == *build && !running.standby)
        };
        let on: Vec<&TargetName> = here.filter(runs).collect();
        let what = build_name(state, app, build).short();
        let on = (!on.is_empty()).then(|| words::names(&on))?;
        Some(format!("{what} is held out of {environment} and still runs on {on}"))
    };
    record.held.keys().filter_map(still).collect()
}

fn has_failed_on(state: &State, standing: &Deployment, name: &TargetName) -> bool {
    let Some(part) = standing.parts.get(name) else { return false };
    // Who did not answer gets it once it is back, and a retry that goes well is no failure any more.
    let has_failed =
        !part.absent && matches!(&part.progress, Progress::Finished(outcome) if *outcome != Outcome::Verified);
    has_failed && state.running(&standing.app, name).is_none_or(|running| running.build != standing.build)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::{
        fixture::{World, app, audience, target, verified},
        status::{Filter, status},
        why::why,
    };
    use domain::event::{Change, Ending, Event};
    use trust::statement::{OrderAct, Phase};

    /// R40, R46: what succeeded within its budget failed somewhere, and is marked there as long as it stands and does not run.
    #[test]
    fn r40_a_target_that_failed_within_the_budget_is_marked_wherever_its_version_is_told() {
        let mut world = World::new();
        world.enrolled("prod-2", "prod", 30);
        let old = world.released("web", "1.3.0", "prod");
        world.runs("prod-1", "web", old);
        let new = world.released("web", "1.4.0", "prod");
        let deployment = world.state.last_deployment + 1;
        let schedule = Default::default();
        assert_eq!(world.stands("prod-1", "web", new, OrderAct::Deploy, schedule), deployment);
        let targets = vec![target("prod-1"), target("prod-2")];
        world.happen(Event::TargetAdded { deployment, target: target("prod-2") });
        world.happen(Event::WaveStarted { deployment, wave: 1, targets, ring: None, migrate: None });
        world.happen(verified(deployment, "prod-1", Some(Change::Upgraded), Some(new)));
        let mut bad = verified(deployment, "prod-2", None, None);
        if let Event::TargetFinished { outcome, .. } = &mut bad {
            *outcome = Outcome::Undone { phase: Phase::Verify, reason: "503".into() };
        }
        world.happen(bad);
        let ending = Ending::Succeeded;
        world.happen(Event::DeploymentEnded { deployment, ending, reason: None, superseded_by: None, aborted: None });

        let said = |world: &World| {
            let status = status(&world.state, &Filter::default(), |_| None, &|_| None, world.now()).unwrap();
            let cells = status.apps[0].cells.iter().find(|cell| cell.audience == audience("prod")).unwrap();
            let failed: Vec<String> = cells.failed.iter().map(FailedView::in_words).collect();
            let why =
                why(&world.state, &app("web"), new, &audience("prod"), &|_| None, &Default::default(), world.now());
            (failed, why.unwrap().runs)
        };
        let (failed, runs) = said(&world);
        assert_eq!(failed, ["1.4.0 failed on prod-2 (deployment 2)"]);
        assert!(runs.ends_with("; it failed on prod-2 (deployment 2)"), "{runs}");
        // Once it runs there, whoever brought it, nothing is marked.
        let (by, reason) = ("oncall".parse().unwrap(), None);
        world.happen(Event::RetryOrdered { deployment, targets: vec![target("prod-2")], by, reason });
        world.happen(verified(deployment, "prod-2", Some(Change::Deployed), Some(new)));
        let (failed, runs) = said(&world);
        assert!(failed.is_empty() && !runs.contains("failed"), "{failed:?} {runs}");
    }

    /// R3, R54: what is held out and runs all the same is named, and what is unwell is wherever somebody asks of it.
    #[test]
    fn r3_what_is_held_out_and_runs_is_named_and_so_is_what_is_unwell() {
        let mut world = World::new();
        let build = world.released("web", "1.3.0", "prod");
        world.runs("prod-1", "web", build);
        let notes = |world: &World| {
            let status = status(&world.state, &Filter::default(), |_| None, &|_| None, world.now()).unwrap();
            let mut cells = status.apps.into_iter().flat_map(|app| app.cells);
            cells.find(|cell| cell.audience == audience("prod")).unwrap().notes
        };
        let said = "1.3.0 is held out of prod and still runs on prod-1".to_owned();
        let (web, environment, deployment) = (app("web"), audience("prod"), Some(1));
        world.happen(Event::HoldPlaced { app: web.clone(), environment, build, deployment });
        assert!(notes(&world).contains(&said), "{:?}", notes(&world));
        let unwell = Some("503".to_owned());
        world.happen(Event::HealthChanged { target: target("prod-1"), app: web, build, unwell, unclear: false });
        let why = why(&world.state, &app("web"), build, &audience("prod"), &|_| None, &Default::default(), world.now());
        let runs = why.unwrap().runs;
        assert!(runs.ends_with("; unwell on prod-1: 503"), "{runs}");
        // While something else comes in its place it is on its way out.
        let next = world.released("web", "1.4.0", "prod");
        world.ordered("prod-1", "web", next, OrderAct::Deploy);
        assert!(!notes(&world).contains(&said), "{:?}", notes(&world));
    }
}
