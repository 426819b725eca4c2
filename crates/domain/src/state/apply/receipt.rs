//! What targets behind an air gap did, as somebody brings it back.

use super::{
    data,
    deployment::forget_old_deployments,
    ending::runs_everywhere,
    report::{has_run, runs_now},
};
use crate::{
    event::{Change, Ending, Event, Migration},
    state::{Deployment, DeploymentPhase, Others, Part, Progress, Running, State},
};
use imbl::{OrdMap, Vector};
use std::collections::BTreeSet;
use trust::{
    PersonName,
    schedule::Schedule,
    statement::{OrderAct, Outcome, Phase},
};

/// A deployment that was over before anybody here heard of it. It never stands in the way of one that is open.
pub(super) fn take_receipt(state: &mut State, event: &Event) {
    let Event::ReceiptTaken {
        report,
        deployment,
        target,
        app,
        environment,
        build,
        version,
        deployer,
        outcome,
        change,
        running,
        config_serial,
        phases,
        endpoints,
        at,
        ..
    } = event
    else {
        return;
    };
    let stamp = state.head;
    state.carried_reports.insert(*report);
    state.last_deployment = *deployment;
    let on_target = state.targets.get(target).and_then(|target| target.apps.get(app));
    let known = on_target.and_then(|on_target| on_target.running.clone());
    let ending = match outcome {
        Outcome::Verified => Ending::Succeeded,
        Outcome::Undone { .. } => Ending::Undone,
        Outcome::Failed { .. } | Outcome::Refused { .. } => Ending::Failed,
    };
    let reason = match outcome {
        Outcome::Verified => None,
        Outcome::Undone { reason, .. } | Outcome::Failed { reason, .. } | Outcome::Refused { reason, .. } => {
            Some(reason.clone())
        }
    };
    let part = Part {
        before: known.as_ref().map(|running| running.build),
        progress: Progress::Finished(outcome.clone()),
        phases: phases.clone(),
        ..Part::default()
    };
    let nobody = || PersonName::new("unknown").unwrap_or_else(|_| unreachable!("a plain name"));
    let record = Deployment {
        app: app.clone(),
        environment: environment.clone(),
        act: OrderAct::Deploy,
        build: *build,
        version: version.clone(),
        deployer: deployer.clone().unwrap_or_else(nobody),
        stamp,
        warnings: Vec::new(),
        planned_there: Vec::new(),
        parts: vec![(target.clone(), part)].into(),
        rollout: None,
        rings: [].into(),
        ring: 0,
        let_begin: None,
        others: Others::default(),
        narrowed: true,
        schedule: Schedule::default(),
        waves: 1,
        keep_data: false,
        elected: phases.iter().any(|timing| timing.phase == Phase::Migrate).then(|| (target.clone(), Migration::Run)),
        paused: None,
        well_since: None,
        guided: Vector::new(),
        phase: DeploymentPhase::Ended { ending, stamp, settled: None, reason },
        members: OrdMap::new(),
        package: None,
        only: BTreeSet::new(),
    };
    let migrates = record.elected.is_some();
    state.deployments.insert(*deployment, record);
    if migrates {
        data::may_change(state, *deployment);
        data::heard(state, *deployment, target, false, outcome, &[]);
    }
    if ending == Ending::Succeeded {
        data::ran_well(state, app, environment, *build);
    }
    forget_old_deployments(state);
    if change.is_some() {
        has_run(state, target, app, Some(*build));
    }
    // What is known already may be newer than what a receipt tells that was long on its way, but for what brought it.
    let is_explained = |known: &Running| known.deployment == Running::BROUGHT_BY_NONE && *running == Some(known.build);
    if known.as_ref().is_some_and(|known| known.since > *at && !is_explained(known)) {
        return;
    }
    let is_new = |known: &Running| *change == Some(Change::Repeated) || is_explained(known);
    let running = running.map(|build| match known {
        Some(known) if known.build == build && !is_new(&known) => known,
        _ => Running {
            build,
            since: *at,
            deployment: *deployment,
            config_serial: *config_serial,
            endpoints: endpoints.clone(),
            stopped: false,
            unwell: None,
            standby: false,
        },
    });
    runs_now(state, target, app, running);
    if *outcome == Outcome::Verified && runs_everywhere(state, *deployment) {
        let builds = &mut state.apps.entry(app.clone()).or_default().builds;
        if let Some(build) = builds.get_mut(build) {
            build.verified_in.entry(environment.clone()).or_insert(*at);
        }
    }
}
