//! Exposure, the third act: end users reach what is deployed and verified. Neither a release nor a deployment implies it.

use super::Asked;
use crate::{
    event::Event,
    refusal::{Refusal, Right},
    rules::{Candidate, deployers, names, permits, rights, unreleased},
    state::Draft,
};
use trust::{AppName, AudienceName, Version, statement::OrderAct};

/// Lets a share of end users reach a version, or conceals it at 0 percent (R26, R49).
pub(super) fn expose(
    draft: &mut Draft,
    asked: &Asked<'_>,
    app: &AppName,
    environment: &AudienceName,
    version: &Version,
    percent: u8,
) -> Result<(), Refusal> {
    let charter_environment = names::environment(&asked.policy, environment)?;
    rights::require(&asked.context.actor, Right::Deploy, environment, &charter_environment.deploy)?;
    if percent > 100 {
        return Err(Refusal::Invalid { why: format!("{percent} percent of end users are more than there are") });
    }
    let (build, record) = names::version(&draft.state, app, version)?;
    if !record.facts.package.is_empty() {
        let members = record.facts.package.iter().map(|(name, member)| format!("{name}@{}", member.version));
        let members = members.collect::<Vec<_>>().join(", ");
        return Err(Refusal::Invalid {
            why: format!("end users see the members of {app}: expose {members} by themselves"),
        });
    }
    let runs = |name: &trust::TargetName| draft.state.running(app, name).is_some_and(|running| running.build == build);
    let deployed = draft.state.targets_in(environment).any(|(name, _)| runs(name));
    let under_way = draft.state.in_audience(app, environment).and_then(|record| record.open_deployment);
    if percent > 0 && !deployed {
        let candidate = Candidate { app, build, record, audience: environment, act: OrderAct::Deploy, package: None };
        deployers::deployed_by_us(&asked.policy, &candidate)?;
    }
    if percent > 0 && (!deployed || under_way.is_some() || !record.verified_in.contains_key(environment)) {
        return Err(Refusal::NotDeployed {
            app: app.clone(),
            version: version.clone(),
            environment: environment.clone(),
        });
    }
    if percent > 0 && !unreleased::accepted(&asked.policy, environment) {
        // Like going back, exposing activates nothing: expiry and floor do not stop it, a withdrawal does.
        let candidate = Candidate { app, build, record, audience: environment, act: OrderAct::Rollback, package: None };
        permits::live(&draft.state, &asked.policy, &candidate, asked.context.now)?;
    }
    let current = draft.state.in_audience(app, environment).and_then(|record| record.exposure.clone());
    match current {
        Some((exposed, share, since)) if exposed == *version && share == percent => {
            let what = format!("{percent} % of end users see {app}@{version} in {environment}");
            return Err(Refusal::AlreadyDone { what, since: Some(since.time) });
        }
        // What nobody sees is not concealed in the place of what they do.
        current if percent == 0 && current.as_ref().is_none_or(|(exposed, ..)| exposed != version) => {
            let what = format!("nobody sees {app}@{version} in {environment}");
            return Err(Refusal::AlreadyDone { what, since: None });
        }
        _ => {}
    }
    draft.record(Event::ExposureChanged {
        app: app.clone(),
        environment: environment.clone(),
        version: version.clone(),
        percent,
    });
    Ok(())
}
