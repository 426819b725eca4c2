//! A retired application takes nothing new: no build, no number, no request, no deployment. Its name is never given again.

use super::packages;
use crate::{
    refusal::{Instead, Refusal},
    state::{App, Deployment, State},
};
use std::collections::BTreeSet;
use trust::{AppName, Digest, TargetName, Version};

/// Fails for an application that was retired. One that nobody knows yet is not.
pub fn takes_something_new(app: &AppName, record: Option<&App>) -> Result<(), Refusal> {
    match record.and_then(|record| record.retired) {
        None => Ok(()),
        Some(stamp) => Err(Refusal::AppRetired { app: app.clone(), since: stamp.time, listed_by: None }),
    }
}

/// Fails for a package that lists an application that was retired: it could never be deployed.
pub fn may_be_listed(app: &AppName, record: Option<&App>, package: &AppName) -> Result<(), Refusal> {
    takes_something_new(app, record).map_err(|refusal| match refusal {
        Refusal::AppRetired { app, since, .. } => Refusal::AppRetired { app, since, listed_by: Some(package.clone()) },
        other => other,
    })
}

/// The packages that list a build of the application and are released somewhere: without it they can be deployed no more.
pub fn released_with(state: &State, app: &AppName) -> BTreeSet<(AppName, Digest)> {
    let record = state.apps.get(app);
    let builds = record.into_iter().flat_map(|record| record.builds.keys());
    let listing = builds.flat_map(|build| state.packages_of(app, build));
    let is_released = |(package, _, version): &(&AppName, Digest, &Version)| {
        let audiences = state.apps.get(*package).into_iter().flat_map(|record| record.audiences.keys());
        audiences.into_iter().any(|audience| state.granted(package, version, audience).is_some())
    };
    listing.filter(is_released).map(|(package, build, _)| (package.clone(), build)).collect()
}

/// Fails while the application runs somewhere, or a deployment of it, or of a package that lists it, is under way.
pub fn may_retire(state: &State, app: &AppName) -> Result<(), Refusal> {
    let brings = |deployment: &&Deployment| {
        let listed = packages::listed(state, &deployment.app, &deployment.build);
        deployment.app == *app || listed.is_some_and(|facts| facts.package.contains_key(app))
    };
    for number in &state.open_deployments {
        let deployment = state.deployments.get(number).filter(brings);
        if let Some(deployment) = deployment {
            let (app, environment) = (deployment.app.clone(), deployment.environment.clone());
            let instead = (deployment.waves == 0).then_some(Instead::TakeOff { at: deployment.schedule.at });
            let deployment = *number;
            return Err(Refusal::DeploymentUnderWay { app, environment, deployment, instead });
        }
    }
    let runs = |(name, target): (&TargetName, &crate::state::Target)| {
        let here = !target.retired && target.apps.get(app).is_some_and(|on_target| on_target.running.is_some());
        here.then(|| name.clone())
    };
    let targets: Vec<TargetName> = state.targets.iter().filter_map(runs).collect();
    match targets.is_empty() {
        true => Ok(()),
        false => Err(Refusal::AppRuns { app: app.clone(), targets }),
    }
}
