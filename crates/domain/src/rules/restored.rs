//! A server that was put back from an older copy knows less than the world, and targets show it what. Until owners sign a new
//! epoch nothing new is ordered, since no target would activate it; and no number is given again that a target knows (R34, R39).

use crate::{
    command::Command,
    refusal::Refusal,
    state::{Deployment, State},
    waiting::WaitingOn,
};
use std::collections::BTreeMap;
use trust::{AppName, AudienceName, Digest, Version, freeze::brings_something_new, statement::OrderAct};

/// What targets have shown that the ledger has lost. It is no history: what is refused for it is not recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The newest entry that a target has seen in an epoch, where the ledger does not hold it: the epoch, and the entry's number.
    pub seen: Vec<(u64, u64)>,
    /// Numbers that were given, and the builds that have them.
    pub numbers: BTreeMap<(AppName, Version), Digest>,
}

/// Why nothing new is activated now where targets have `seen` what the ledger does not hold; nothing where none has, or owners have
/// signed a new epoch since.
pub fn put_back(state: &State, seen: &[(u64, u64)]) -> Option<Refusal> {
    let now = seen.iter().filter(|(epoch, _)| *epoch >= state.epoch()).map(|(_, entry)| *entry);
    let (targets, seen) = (now.clone().count(), now.max()?);
    Some(Refusal::LedgerPutBack { targets, seen, entries: state.head.entry })
}

/// Fails where an order brings something new. Going back is none.
pub fn may_bring(
    state: &State,
    lost: &Lost,
    act: OrderAct,
    app: &AppName,
    environment: &AudienceName,
    build: &Digest,
) -> Result<(), Refusal> {
    let has_settled = || state.in_audience(app, environment).is_some_and(|here| here.settled.contains(build));
    let brings = brings_something_new(act) && !(act == OrderAct::Switch && has_settled());
    put_back(state, &lost.seen).filter(|_| brings).map_or(Ok(()), Err)
}

/// Fails where a deployment that stands may not go on by itself.
pub fn may_begin_now(state: &State, lost: &Lost, deployment: &Deployment) -> Result<(), Refusal> {
    let Deployment { act, app, environment, build, .. } = deployment;
    may_bring(state, lost, *act, app, environment, build)
}

/// Whether a deployment may go on by itself.
pub fn may_go_on(state: &State, lost: &Lost, deployment: &Deployment) -> bool {
    may_begin_now(state, lost, deployment).is_ok()
}

/// Whether what is due by the time alone may happen: nothing new begins, nobody catches up, and on nobody it is given up.
pub fn may_come(state: &State, command: &Command, lost: &Lost) -> bool {
    match command {
        Command::StartDeployment(number) | Command::AdvanceDeployment(number) => {
            state.deployments.get(number).is_none_or(|deployment| may_go_on(state, lost, deployment))
        }
        // Whoever did it already in what is lost has no way to say so before the epoch.
        Command::GiveUpOnTarget(..) | Command::CatchUp(..) => put_back(state, &lost.seen).is_none(),
        _ => true,
    }
}

/// What a deployment that stands waits for besides; nothing where it does not.
pub fn waits(state: &State, lost: &Lost, waits: &WaitingOn) -> Option<String> {
    let by_itself = match waits {
        WaitingOn::Targets { targets, .. } => targets.is_empty(),
        WaitingOn::Members { members, .. } => members.is_empty(),
        WaitingOn::Approvals { .. } | WaitingOn::Person { .. } | WaitingOn::Health { .. } | WaitingOn::Soak { .. } => {
            false
        }
        _ => true,
    };
    let deployment = state.deployments.get(&waits.deployment()?).filter(|_| by_itself)?;
    (!may_go_on(state, lost, deployment)).then(|| {
        "and until owners sign a new epoch, since the server was put back: sortie charter epoch --reason restore".into()
    })
}

/// Fails where a number was given to another build, though the ledger has lost that.
pub fn not_given(lost: &Lost, app: &AppName, version: &Version, build: &Digest) -> Result<(), Refusal> {
    match lost.numbers.get(&(app.clone(), version.clone())) {
        Some(given) if given != build => {
            Err(Refusal::NumberTaken { app: app.clone(), version: version.clone(), build: *given })
        }
        _ => Ok(()),
    }
}
