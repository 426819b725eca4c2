//! What people do: each reads what is so, builds one statement and signs it.

use crate::{
    cast::{Cast, Who, app, prod, version},
    script::Deed,
};
use domain::state::State;
use jiff::{SignedDuration, Timestamp};
use trust::{
    Digest,
    dsse::Envelope,
    statement::{Act, Administration, AdministrationAct, OrderAct},
};

/// What a submission was answered.
#[derive(Clone, Debug)]
pub enum Told {
    /// It is this entry.
    Accepted { number: u64, payload: Digest },
    /// It is none.
    Refused { code: String },
}

/// Who does a deed of the script, and what they sign for it; nothing where there is nothing to do it to.
pub fn sign(cast: &Cast, state: &State, deed: Deed, id: usize, now: Timestamp) -> Option<(Who, Envelope)> {
    let in_prod = state.in_audience(&app(), &prod());
    let requests =
        |index: usize| in_prod.and_then(|record| record.requests.get(&version(index))).cloned().unwrap_or_default();
    let administration = |act| Act::Administration(Administration { act });
    let (who, subject, act) = match deed {
        Deed::Request { version, minutes } => {
            let serial = requests(version).len() as u64 + 1;
            let holds = SignedDuration::from_mins(minutes as i64);
            (Who::Coder, cast.builds[version], cast.request(version, serial, now, holds).ok()?)
        }
        Deed::Approve { who, version } => (who, *requests(version).last()?, cast.approval(version)),
        Deed::Order { who, version, act, when_released } => (who, cast.builds[version], cast.order(act, when_released)),
        Deed::RollBack { who } => {
            let running: Vec<Digest> = (state.targets.keys())
                .filter_map(|name| state.running(&app(), name))
                .map(|running| running.build)
                .collect();
            let settled = &in_prod?.settled;
            let before = settled.iter().rev().find(|build| !running.contains(build)).or(settled.last())?;
            (who, *before, cast.order(OrderAct::Rollback, false))
        }
        Deed::Withdraw { who, version } => {
            let through = requests(version).len() as u64;
            (through > 0).then(|| (who, cast.builds[version], cast.withdrawal(version, through)))?
        }
        Deed::LiftHold { who } => {
            let act = AdministrationAct::LiftHold { app: app(), environment: prod(), build: None, reason: None };
            (who, cast.estate, administration(act))
        }
        Deed::Abort { who } => {
            let deployment = in_prod?.open_deployment?;
            (who, cast.estate, administration(AdministrationAct::AbortDeployment { deployment, reason: None }))
        }
        Deed::KillServer { .. }
        | Deed::KillAgent { .. }
        | Deed::CutOff { .. }
        | Deed::FillDisk { .. }
        | Deed::FillLedger { .. }
        | Deed::SetClock { .. } => return None,
    };
    let envelope = cast.sign(subject, act, &format!("sim:{id}"), now, &[&who.key()]).ok()?;
    Some((who, envelope))
}
