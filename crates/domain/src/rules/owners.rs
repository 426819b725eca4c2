//! Where owners must sign first, nothing new is ordered or begins, since no target would activate it: a new epoch, where the
//! server was put back ([`restored`]), and what has expired of charter and root of trust ([`expiry`]). Going back, stopping
//! and removing go on.

use super::{expiry, restored, restored::Lost};
use crate::{
    command::Command,
    refusal::Refusal,
    state::{Deployment, State},
    waiting::WaitingOn,
};
use jiff::Timestamp;
use trust::{AppName, AudienceName, Digest, freeze::brings_something_new, statement::OrderAct};

/// What owners must sign before anything new is activated, each as what is refused for it.
pub fn must_sign(state: &State, lost: &Lost, now: Timestamp) -> impl Iterator<Item = Refusal> {
    restored::put_back(state, &lost.seen).into_iter().chain(expiry::expired(state, now))
}

/// Fails where an order brings something new. Going back is none.
pub fn may_bring(
    state: &State,
    (lost, now): (&Lost, Timestamp),
    act: OrderAct,
    app: &AppName,
    environment: &AudienceName,
    build: &Digest,
) -> Result<(), Refusal> {
    let has_settled = || state.in_audience(app, environment).is_some_and(|here| here.settled.contains(build));
    if !brings_something_new(act) || act == OrderAct::Switch && has_settled() {
        return Ok(());
    }
    // Targets take new config for what runs whatever has expired.
    let concerns = |refusal: &Refusal| {
        act != OrderAct::Configure || !matches!(refusal, Refusal::CharterExpired { .. } | Refusal::RootExpired { .. })
    };
    must_sign(state, lost, now).find(concerns).map_or(Ok(()), Err)
}

/// Fails where a deployment that stands may not go on by itself.
pub fn may_begin_now(state: &State, (lost, now): (&Lost, Timestamp), deployment: &Deployment) -> Result<(), Refusal> {
    let Deployment { act, app, environment, build, .. } = deployment;
    may_bring(state, (lost, now), *act, app, environment, build)
}

/// Whether a deployment may go on by itself.
pub fn may_go_on(state: &State, (lost, now): (&Lost, Timestamp), deployment: &Deployment) -> bool {
    may_begin_now(state, (lost, now), deployment).is_ok()
}

/// Whether what is due by the time alone may happen: nothing new begins, nobody catches up, and on nobody it is given up who may
/// have done in what is lost what was asked.
pub fn may_come(state: &State, command: &Command, (lost, now): (&Lost, Timestamp)) -> bool {
    match command {
        Command::StartDeployment(number) | Command::AdvanceDeployment(number) => {
            state.deployments.get(number).is_none_or(|deployment| may_go_on(state, (lost, now), deployment))
        }
        // Whoever did it already in what is lost has no way to say so before the epoch.
        Command::GiveUpOnTarget(..) => restored::put_back(state, &lost.seen).is_none(),
        Command::CatchUp(..) => must_sign(state, lost, now).next().is_none(),
        _ => true,
    }
}

/// What owners must sign before a deployment that stands goes on by itself; nothing where it does not wait for that.
pub fn until(state: &State, (lost, now): (&Lost, Timestamp), waits: &WaitingOn) -> Option<&'static str> {
    let by_itself = match waits {
        WaitingOn::Targets { targets, .. } => targets.is_empty(),
        WaitingOn::Members { members, .. } => members.is_empty(),
        WaitingOn::Approvals { .. } | WaitingOn::Person { .. } | WaitingOn::Health { .. } | WaitingOn::Soak { .. } => {
            false
        }
        _ => true,
    };
    let deployment = state.deployments.get(&waits.deployment()?).filter(|_| by_itself)?;
    Some(match may_begin_now(state, (lost, now), deployment).err()? {
        Refusal::CharterExpired { .. } => "an owner renews the charter, which has expired: sortie charter renew",
        Refusal::RootExpired { .. } => "owners renew the root of trust, which has expired: sortie charter renew --root",
        _ => "owners sign a new epoch, since the server was put back: sortie charter epoch --reason restore",
    })
}

/// What a deployment that stands waits for, which is said in `words`, with what owners must sign besides.
pub fn waits(state: &State, at: (&Lost, Timestamp), waits: &WaitingOn, words: String) -> String {
    let Some(until) = until(state, at, waits) else { return words };
    match waits {
        // Nothing but that keeps it from going on.
        WaitingOn::Targets { deployment, .. } | WaitingOn::Members { deployment, .. } => {
            format!("deployment {deployment} waits until {until}")
        }
        _ => format!("{words}, and until {until}"),
    }
}
