//! A retired application takes nothing new: no build, no number, no request, no deployment. Its name is never given again.

use crate::{
    refusal::{Instead, Refusal},
    state::{App, State},
};
use trust::{AppName, TargetName};

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

/// Fails while the application runs somewhere, or a deployment of it is under way.
pub fn may_retire(state: &State, app: &AppName) -> Result<(), Refusal> {
    for number in &state.open_deployments {
        let deployment = state.deployments.get(number).filter(|deployment| deployment.app == *app);
        if let Some(deployment) = deployment {
            let (app, environment) = (app.clone(), deployment.environment.clone());
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
