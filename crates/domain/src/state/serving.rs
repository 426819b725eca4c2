//! On which targets of a deployment the application serves when it begins.

use super::{Deployment, Others, Part, Parts, Running, State, Target};
use crate::plan;
use trust::{
    AppName, AudienceName, Digest, TargetName,
    rollout::{Rollout, Share},
};

/// Whether an application can be counted on to serve on a target. What the target is still told to do may take it out of service,
/// though the deployment that says so was ended: what that did is known once the target has said so.
pub fn is_counted_on(state: &State, app: &AppName, name: &TargetName) -> bool {
    state.running(app, name).is_some_and(Running::serves) && !plan::is_at_something(state, name, app)
}

/// The parts that a deployment begins with.
pub(super) fn parts(state: &State, app: &AppName, targets: &[TargetName]) -> Parts {
    let ephemeral = |name: &TargetName| state.targets.get(name).is_some_and(|target| target.ephemeral);
    let part = |name: &TargetName| {
        (name.clone(), Part { serves: is_counted_on(state, app, name), ephemeral: ephemeral(name), ..Part::default() })
    };
    targets.iter().map(part).collect::<Vec<_>>().into()
}

/// The targets that a build is for and that have no part in its deployment. They are counted only where they matter: where
/// `rollout` says how many must go on serving.
pub(super) fn others(
    state: &State,
    app: &AppName,
    environment: &AudienceName,
    build: &Digest,
    targets: &[TargetName],
    rollout: Option<&Rollout>,
) -> Others {
    if rollout.is_some_and(|rollout| rollout.min_healthy == Share::Count(0)) {
        return Others::default();
    }
    let taken: std::collections::BTreeSet<&TargetName> = targets.iter().collect();
    let mut others = Others::default();
    for (_, serves) in lasting(state, app, environment, build).filter(|(name, _)| !taken.contains(name)) {
        others.targets += 1;
        others.serving += u32::from(serves);
    }
    others
}

/// The targets that are counted where a build is for, and whether its application can be counted on to serve there.
pub fn lasting<'a>(
    state: &'a State,
    app: &'a AppName,
    environment: &'a AudienceName,
    build: &Digest,
) -> impl Iterator<Item = (&'a TargetName, bool)> {
    let facts = state.apps.get(app).and_then(|record| record.builds.get(build)).map(|build| build.facts.clone());
    let counts = move |target: &Target| {
        let running = target.apps.get(app).and_then(|on_target| on_target.running.as_ref());
        // What stands by serves nobody, and is not counted on.
        let counts = !target.ephemeral && !running.is_some_and(|running| running.standby);
        counts && facts.as_ref().is_some_and(|facts| crate::rules::placement::fits(facts, target))
    };
    let lasting = state.targets_in(environment).filter(move |(_, target)| counts(target));
    lasting.map(|(name, _)| (name, is_counted_on(state, app, name)))
}

/// A deployment that stood before it begins, as what serves is now: other things may have run there since it was ordered.
/// Nothing where it has begun, or was ordered just now.
pub fn counted_anew(state: &State, deployment: &Deployment) -> Option<Deployment> {
    if deployment.waves > 0 || deployment.stamp.entry == state.head.entry {
        return None;
    }
    let mut anew = deployment.clone();
    let Deployment { app, environment, build, parts, rollout, .. } = deployment;
    let targets: Vec<TargetName> = parts.iter().map(|(name, _)| name.clone()).collect();
    for name in &targets {
        let now = is_counted_on(state, app, name);
        if parts.get(name).is_some_and(|part| part.serves != now) {
            anew.parts.change(name, |part| part.serves = now);
        }
    }
    anew.others = others(state, app, environment, build, &targets, rollout.as_deref());
    Some(anew)
}
