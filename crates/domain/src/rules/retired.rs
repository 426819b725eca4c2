//! A retired application takes nothing new: no build, no number, no request, no deployment. Its name is never given again.

use super::packages;
use crate::{
    refusal::{Instead, Refusal},
    state::{App, State},
};
use trust::{AppName, AudienceName, Digest, TargetName, Version};

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

/// Fails while the application runs somewhere, or a deployment of it, or of a package that lists it, is under way.
pub fn may_retire(state: &State, app: &AppName) -> Result<(), Refusal> {
    for number in &state.open_deployments {
        let Some(deployment) = state.deployments.get(number) else { continue };
        let is_of_it = deployment.app == *app;
        if is_of_it || lists(state, &deployment.app, &deployment.build, app) {
            let instead = (deployment.waves == 0).then_some(Instead::TakeOff { at: deployment.schedule.at });
            return Err(Refusal::DeploymentUnderWay {
                app: deployment.app.clone(),
                environment: deployment.environment.clone(),
                deployment: *number,
                instead,
                retires: (!is_of_it).then(|| app.clone()),
            });
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

/// The versions of packages that list the application and may still go somewhere: once it is retired, they never are deployed again.
pub fn released_with<'a>(state: &'a State, app: &AppName) -> Vec<(&'a AppName, &'a Version)> {
    let audiences: Vec<&AudienceName> = match &state.policy {
        Some(policy) => policy.charter.audience_names().collect(),
        None => return Vec::new(),
    };
    let versions = state.apps.iter().filter(|(_, record)| record.retired.is_none()).flat_map(|(name, record)| {
        let numbered = record.builds.iter().filter_map(|(build, known)| Some((build, known.version.as_ref()?)));
        numbered.map(move |(build, version)| (name, build, version))
    });
    let is_released =
        |name: &AppName, version: &Version| audiences.iter().any(|to| state.granted(name, version, to).is_some());
    versions
        .filter(|(name, build, version)| lists(state, name, build, app) && is_released(name, version))
        .map(|(name, _, version)| (name, version))
        .collect()
}

/// Whether neither the application is retired nor, where the build is a package, any that it lists.
pub fn may_be_deployed(state: &State, app: &AppName, build: &Digest) -> bool {
    let members = packages::listed(state, app, build).into_iter().flat_map(|facts| facts.package.keys());
    members.chain([app]).all(|app| takes_something_new(app, state.apps.get(app)).is_ok())
}

fn lists(state: &State, package: &AppName, build: &Digest, app: &AppName) -> bool {
    packages::listed(state, package, build).is_some_and(|facts| facts.package.contains_key(app))
}
