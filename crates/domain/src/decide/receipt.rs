//! What a target behind an air gap did: recorded as what it is, a fact, whatever anybody may do here by now.

use super::{Asked, report, target};
use crate::{
    command::Signed,
    event::Event,
    refusal::{Refusal, Right},
    rules::{names, rights},
    state::Draft,
};
use trust::{receipt::VerifiedReceipt, statement::Receipt};

/// Takes what is new in a receipt. Anyone of the charter may carry one: what it says is signed by the target.
pub(super) fn take(
    draft: &mut Draft,
    asked: &Asked<'_>,
    signed: &Signed<Receipt>,
    receipt: &VerifiedReceipt,
) -> Result<(), Refusal> {
    let name = &receipt.target;
    rights::require_member(&asked.context.actor, Right::Deploy, name)?;
    if signed.act.target != *name {
        return Err(Refusal::Invalid { why: format!("the receipt is of {name}") });
    }
    if !draft.state.targets.contains_key(name) {
        let unknown = || Refusal::Invalid { why: format!("nobody knows {name}, and it brings no enrolment") };
        let enrolment = receipt.enrolment.clone().ok_or_else(unknown)?;
        // It joined when it signed its enrolment, not when that was brought here.
        let joined = receipt.enrolled_before.unwrap_or(asked.context.now).min(asked.context.now);
        target::admit(draft, asked, enrolment, joined)?;
    }
    let environment = names::target(&draft.state, name)?.environment.clone();
    for outcome in &receipt.outcomes {
        if draft.state.carried_reports.contains(&outcome.payload) {
            continue;
        }
        if outcome.order.environment != environment {
            let why =
                format!("an order in the receipt is for {}, and {name} is in {environment}", outcome.order.environment);
            return Err(Refusal::Invalid { why });
        }
        let app = &outcome.order.app;
        let version = names::build(&draft.state, app, &outcome.build)?.version.clone();
        let before = draft.state.running(app, name).map(|running| running.build);
        let said = &outcome.report;
        let is_verified = said.outcome == trust::statement::Outcome::Verified;
        if is_verified && said.running != Some(outcome.build) {
            let why = format!("{name} reports {app}#{} as verified, and runs another", outcome.build.short());
            return Err(Refusal::Invalid { why });
        }
        draft.record(Event::ReceiptTaken {
            receipt: signed.subject,
            report: outcome.payload,
            bundle: outcome.bundle,
            deployment: draft.state.last_deployment + 1,
            target: name.clone(),
            app: app.clone(),
            environment: environment.clone(),
            build: outcome.build,
            version,
            deployer: outcome.deployer.clone(),
            outcome: report::printable(said.outcome.clone()),
            change: is_verified.then(|| report::change(outcome.order.act, before, outcome.build)),
            running: said.running,
            config_serial: said.config_serial,
            phases: said.phases.clone(),
            endpoints: said.endpoints.iter().map(|endpoint| trust::names::printable(endpoint)).collect(),
            at: outcome.at.min(asked.context.now),
            way: said.way,
        });
    }
    if let Some(event) = receipt.inventory.clone().and_then(|inventory| report::found(draft, inventory)) {
        draft.record(event);
    }
    match draft.events.is_empty() {
        true => Err(Refusal::AlreadyDone { what: format!("{name}'s receipt was taken"), since: None }),
        false => Ok(()),
    }
}
