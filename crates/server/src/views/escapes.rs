//! What runs without permission, and what is not as it should be (R37).

use super::{build_name, permits, words};
use api::read::{Emergency, Escape, Escapes};
use domain::{
    rules,
    state::{Standing, State, Target},
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use trust::{AppName, AudienceName, Digest, TargetName};

/// Everything that is wrong, target by target; `scanned` says when a target last took stock, since the server started.
pub(crate) fn escapes(state: &State, scanned: impl Fn(&TargetName) -> Option<Timestamp>) -> Escapes {
    let present = || state.targets.iter().filter(|(_, target)| !target.retired);
    let unreviewed = super::emergencies::unreviewed(state, &|_| None);
    Escapes {
        escapes: present().flat_map(|(name, target)| on_target(state, name, target, &unreviewed)).collect(),
        scanned: present().map(|(name, _)| (name.clone(), scanned(name))).collect(),
        signed: BTreeMap::new(),
        active: Vec::new(),
    }
}

/// What is wrong on one target: first what runs there without permission, then unreviewed emergencies, then files and
/// processes.
fn on_target(state: &State, name: &TargetName, target: &Target, unreviewed: &[Emergency]) -> Vec<Escape> {
    let escape = |what, finding| {
        let environment = target.environment.clone();
        Escape { target: name.clone(), environment, what, finding, build: None }
    };
    let runs = target.apps.iter().filter_map(|(app, on_target)| Some((app, on_target.running.as_ref()?)));
    // What was stopped by an order does not run, whatever its permit.
    let unpermitted = runs.filter(|(_, running)| !running.stopped).filter_map(|(app, running)| {
        let what = unpermitted(state, app, &running.build, &target.environment, name)?;
        Some(Escape { build: Some(running.build), ..escape(what, None) })
    });
    let alarms = unreviewed.iter().filter(|emergency| emergency.runs_on.contains(name));
    let alarms = alarms.map(|emergency| {
        let what = format!("runs {}, and nobody who had no part in it has reviewed it", emergency.headline());
        escape(what, None)
    });
    let found = target.findings.iter().map(|finding| escape(finding.in_words(), Some(finding.clone())));
    unpermitted.chain(alarms).chain(found).collect()
}

/// Why a build that runs on a target has no permission for it, if it has none. A permit whose time is over still covers what
/// runs: expiry stops new activations only. One that is for other targets covers nothing.
pub(crate) fn unpermitted(
    state: &State,
    app: &AppName,
    build: &Digest,
    environment: &AudienceName,
    target: &TargetName,
) -> Option<String> {
    let is_known = state.apps.get(app).is_some_and(|record| record.builds.contains_key(build));
    if !is_known {
        return Some(format!("{app}#{} runs, and nobody pushed such a build", build.short()));
    }
    if permits::may_run(state, app, build, environment, target) {
        return None;
    }
    let name = build_name(state, app, build);
    let beyond = name.version.as_ref().and_then(|version| state.granted(app, version, environment));
    if let Some((_, request)) = beyond.filter(|_| rules::vendors::withdrawn_by(state, app, build).is_none()) {
        let way = request.way;
        return Some(format!("{} runs, and its {way} permit to {environment} is not for {target}", name.of(app)));
    }
    let requests = name.version.as_ref().and_then(|version| state.in_audience(app, environment)?.requests.get(version));
    let withdrawn =
        requests.into_iter().flatten().rev().find_map(|digest| match state.requests.get(digest)?.standing {
            Standing::Withdrawn(stamp) => Some(stamp.time),
            _ => None,
        });
    Some(match withdrawn {
        Some(since) => {
            format!("{} runs, and was withdrawn from {environment} at {}", name.of(app), words::moment(since))
        }
        None => format!("{} runs, and was never released to {environment}", name.of(app)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::fixture::{self, World};
    use trust::statement::{Finding, FindingKind};

    #[test]
    fn what_is_permitted_is_no_escape_and_what_was_withdrawn_is_one_r37() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        world.runs("prod-1", "web", build);
        assert_eq!(escapes(&world.state, |_| None).escapes, []);
        world.withdraw("web", "1.4.0", "prod");
        let found = escapes(&world.state, |_| None);
        assert_eq!(found.escapes.len(), 1);
        assert!(found.escapes[0].what.starts_with("web@1.4.0 runs, and was withdrawn from prod at"), "{found:?}");
        assert_eq!(found.scanned[&fixture::target("prod-1")], None);
    }

    #[test]
    fn an_emergency_covers_the_targets_it_names_r37() {
        let mut world = World::new();
        world.amended("hours = 24", "hours = 24, targets = [\"prod-1\"]");
        world.enrolled("prod-2", "prod", 30);
        let build = world.released("web", "1.4.0", "prod");
        world.runs("prod-1", "web", build);
        world.runs("prod-2", "web", build);
        world.withdraw("web", "1.4.0", "prod");
        world.released_by(trust::way::Way::BreakGlass, "web", "1.4.0", "prod");
        let beyond = |world: &World| {
            let found = escapes(&world.state, |_| None).escapes;
            found.into_iter().filter(|escape| escape.build.is_some()).collect::<Vec<_>>()
        };
        let found = beyond(&world);
        let said = "web@1.4.0 runs, and its break-glass permit to prod is not for prod-2";
        assert!(found.len() == 1 && found[0].what == said && found[0].target == fixture::target("prod-2"), "{found:?}");
        let fetches = |world: &World, on: &str| {
            let granted = permits::live_on(
                &world.state,
                &fixture::app("web"),
                &"1.4.0".parse().unwrap(),
                &fixture::audience("prod"),
                &fixture::target(on),
                world.now(),
            );
            granted.is_some()
        };
        assert!(fetches(&world, "prod-1") && !fetches(&world, "prod-2"));
        // A normal permit beside it is for everybody, in whatever order they came.
        world.released("web", "1.4.0", "prod");
        world.released_by(trust::way::Way::BreakGlass, "web", "1.4.0", "prod");
        assert_eq!(beyond(&world), []);
        assert!(fetches(&world, "prod-2"));
    }

    #[test]
    fn unreleased_builds_belong_in_dev_only_r2() {
        let mut world = World::new();
        let build = world.pushed("web", 7);
        world.runs("dev-1", "web", build);
        assert_eq!(escapes(&world.state, |_| None).escapes, []);
        world.runs("test-1", "web", build);
        let found = escapes(&world.state, |_| None).escapes;
        assert!(found.len() == 1 && found[0].what.contains("never released"), "{found:?}");
    }

    #[test]
    fn unknown_builds_and_findings_are_named_even_in_dev() {
        let mut world = World::new();
        world.runs("dev-1", "web", Digest::of(b"who knows"));
        let extra = Finding { app: "web".into(), path: "current/hand\u{1b}.sh".into(), kind: FindingKind::Extra };
        world.found("dev-1", vec![extra.clone()]);
        let found = escapes(&world.state, |_| None).escapes;
        assert!(found[0].what.contains("nobody pushed such a build"), "{found:?}");
        assert_eq!(found[1].finding, Some(extra));
        assert!(!found[1].what.contains('\u{1b}'), "{found:?}");
    }
}
