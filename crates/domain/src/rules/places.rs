//! An application has one place in an environment: one deployment is under way there at a time, and what may not begin meanwhile
//! is told what may be done instead (R1).

use super::{names, packages};
use crate::{
    refusal::Instead,
    state::{Deployment, DeploymentPhase, State},
};
use trust::{
    Digest,
    statement::{Order, OrderAct},
};

/// What may be done instead of an order that is refused because of what is under way.
pub fn instead(state: &State, order: &Order, build: Digest, under_way: u64) -> Option<Instead> {
    let record = state.deployments.get(&under_way)?;
    let goes_back = goes_back(record);
    // What is typed instead says no more than what.
    let is_plain = order.only.is_empty() && !order.keep_data && order.rollout == Default::default();
    match order.act {
        OrderAct::Rollback if goes_back => Some(Instead::GoesBack),
        OrderAct::Rollback if record.act.deploys() => Some(Instead::Abort),
        // What is on its way already is not ordered once more.
        OrderAct::Deploy if is_plain && (record.build != build || goes_back) => {
            Some(Instead::After { what: names::of_build(&order.app, order.version.as_ref(), &build) })
        }
        _ => None,
    }
}

/// Whether a deployment is at taking back what it brought.
pub fn goes_back(record: &Deployment) -> bool {
    matches!(record.phase, DeploymentPhase::Undoing { .. })
}

/// The deployment that is under way where an order would begin another.
pub fn under_way(state: &State, order: &Order, own: Option<u64>) -> Option<u64> {
    let here = state.in_audience(&order.app, &order.environment);
    let package = packages::under_way(state, &order.app, &order.environment, own);
    package.or_else(|| here.and_then(|here| here.open_deployment))
}
