//! A rollback goes back to what settled, from where the application is, and sticks: what it leaves is held out (R3).

use super::{Candidate, holds, migrations};
use crate::{command::Signed, refusal::Refusal, state::State};
use std::collections::BTreeSet;
use trust::{
    Digest, TargetName,
    statement::{Order, OrderAct},
};

/// Fails where what an order goes back to never settled there, is held out itself, or was made for data that is not there.
pub fn may_return(state: &State, signed: &Signed<Order>) -> Result<(), Refusal> {
    let Order { app, environment, act, .. } = &signed.act;
    if *act != OrderAct::Rollback {
        return Ok(());
    }
    let here = state.in_audience(app, environment);
    if !here.is_some_and(|here| here.settled.contains(&signed.subject)) {
        return Err(Refusal::NothingToRollBackTo { app: app.clone(), environment: environment.clone() });
    }
    holds::may_return(state, &Candidate::ordered(state, signed)?)?;
    migrations::is_made_for_the_data(state, &signed.act, signed.subject)
}

/// Those of the targets that an order reaches: from where the application was removed nothing goes back, unless it is to return
/// everywhere, or there by name.
pub fn reached(state: &State, order: &Order, targets: Vec<TargetName>) -> Vec<TargetName> {
    if order.act != OrderAct::Rollback || !order.only.is_empty() {
        return targets;
    }
    let runs = |name: &TargetName| state.running(&order.app, name).is_some();
    let is_somewhere = targets.iter().any(runs);
    targets.into_iter().filter(|name| runs(name) || !is_somewhere).collect()
}

/// The builds that an order's targets leave for `to`. What has a lower number is no way forward that has to be kept shut.
pub fn left_behind(state: &State, order: &Order, to: Digest, targets: &[TargetName]) -> BTreeSet<Digest> {
    if order.act != OrderAct::Rollback {
        return BTreeSet::new();
    }
    let number_of = |build: &Digest| state.apps.get(&order.app)?.builds.get(build)?.version.as_ref();
    let is_lower = |build: &Digest| number_of(build).zip(number_of(&to)).is_some_and(|(left, to)| left < to);
    let running = targets.iter().filter_map(|name| state.running(&order.app, name)).map(|running| running.build);
    running.filter(|build| *build != to && !is_lower(build)).collect()
}
