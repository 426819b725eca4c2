//! From a command to events, or to a refusal: who may, what is known, and then the rules, in that order.

mod application;
mod charter;
mod config;
mod delivery;
mod deployment;
mod draft;
mod exposure;
mod freeze;
mod guide;
mod order;
mod package;
mod people;
mod receipt;
mod release;
mod report;
mod review;
mod soak;
mod target;
mod token;
mod vendor;

use crate::{
    command::{Command, Context, Signed},
    event::Event,
    planned::Preview,
    refusal::Refusal,
    rules::rollout,
    state::{Draft, Policy, State},
};
use std::sync::Arc;
use trust::statement::{AdministrationAct, Order};

/// Decides what happens. Pure, and never panics; a refusal changes nothing.
pub fn decide(state: &State, context: &Context, command: Command) -> Result<Vec<Event>, Refusal> {
    drafted(state, context, command).map(|draft| draft.events)
}

fn drafted(state: &State, context: &Context, command: Command) -> Result<Draft, Refusal> {
    let mut draft = Draft::new(state, context.now);
    let policy = match (&command, &state.policy) {
        (Command::ApplyCharter(new), _) => {
            charter::apply(&mut draft, context, new)?;
            return Ok(draft);
        }
        (_, Some(policy)) => policy.clone(),
        (_, None) => return Err(Refusal::NoEstate),
    };
    let asked = Asked { context, policy };
    match command {
        Command::ApplyCharter(_) => {}
        Command::SuspendPerson(person) => charter::suspend(&mut draft, &asked, &person)?,
        Command::PushBuild(signed, facts) => release::push(&mut draft, &asked, signed, &facts)?,
        Command::SealDraft { app, draft: name, build, parts } => {
            draft::seal(&mut draft, &asked, &app, &name, build, &parts)?;
        }
        Command::AddPart(signed, facts) => draft::add(&mut draft, &asked, signed, &facts)?,
        Command::NumberBuild(signed) => release::number(&mut draft, &asked, signed)?,
        Command::AttachEvidence(signed) => release::attach_evidence(&mut draft, &asked, signed)?,
        Command::ImportRelease(signed, brought) => vendor::import(&mut draft, &asked, &signed, &brought)?,
        Command::RequestRelease(signed) => release::request(&mut draft, &asked, signed)?,
        Command::ApproveRequest(signed) => release::approve(&mut draft, &asked, signed)?,
        Command::ReviewEmergency(signed) => review::review(&mut draft, &asked, signed)?,
        Command::WithdrawPermission(signed) => release::withdraw(&mut draft, &asked, signed, false)?,
        Command::RememberWithdrawal(signed) => release::withdraw(&mut draft, &asked, signed, true)?,
        Command::RequestDeployment(signed) => order::request(&mut draft, &asked, signed)?,
        Command::SetConfig(signed) => config::set(&mut draft, &asked, signed)?,
        Command::Freeze(signed) => freeze::act(&mut draft, &asked, signed)?,
        Command::Administer(act) => administer(&mut draft, &asked, act)?,
        Command::EnrolTarget(enrolment) => target::enrol(&mut draft, &asked, enrolment)?,
        Command::ReportOutcome(report) => report::outcome(&mut draft, &asked, report)?,
        Command::ReportInventory(inventory) => report::inventory(&mut draft, &asked, inventory)?,
        Command::ReportHealth(health) => report::health(&mut draft, &asked, health)?,
        Command::TakeReceipt(signed, receipt) => receipt::take(&mut draft, &asked, &signed, &receipt)?,
        Command::RecordDelivery { app, version, channel, to } => {
            delivery::record(&mut draft, &asked, app, version, channel, to)?;
        }
        Command::StartDeployment(number) => report::start(&mut draft, &asked, number)?,
        Command::AdvanceDeployment(number) => report::advance(&mut draft, &asked, number)?,
        Command::SettleDeployment(number) => report::settle(&mut draft, &asked, number)?,
        Command::CatchUp(name, app) => report::catch_up(&mut draft, &asked, name, &app)?,
        Command::GiveUpOnTarget(number, name, said) => report::give_up(&mut draft, &asked, number, &name, said)?,
        Command::LapseTarget(name) => target::lapse(&mut draft, &asked, &name)?,
        Command::LoseTarget(name, silent) => target::lose(&mut draft, &asked, &name, silent)?,
    }
    soak::judge_what_soaks(&mut draft, &asked);
    package::follow(&mut draft, &asked);
    Ok(draft)
}

/// What an order would do now; or why it would be refused.
pub fn preview(state: &State, context: &Context, signed: Signed<Order>) -> Result<Preview, Refusal> {
    let draft = drafted(state, context, Command::RequestDeployment(signed))?;
    let requested = draft.events.iter().find_map(|event| match event {
        Event::DeploymentRequested { deployment, warnings, .. } => Some((*deployment, warnings.clone())),
        _ => None,
    });
    let Some((planned, (number, warnings))) = draft.planned.zip(requested) else {
        return Err(Refusal::Invalid { why: "only an order of a deployment of its own can be planned".into() });
    };
    let left_out = |event: &Event| match event {
        Event::TargetExcluded { target, away: true, .. } => Some(target.clone()),
        _ => None,
    };
    let record = draft.state.deployments.get(&number).filter(|record| !record.is_of_package());
    let waves = record.map_or(0, |record| rollout::waves_of(&draft.state, record));
    Ok(Preview { planned, warnings, away: draft.events.iter().filter_map(left_out).collect(), waves })
}

/// A command's context together with the charter it is judged by.
struct Asked<'a> {
    context: &'a Context,
    policy: Arc<Policy>,
}

fn administer(draft: &mut Draft, asked: &Asked<'_>, act: AdministrationAct) -> Result<(), Refusal> {
    match act {
        // The server turns these two into commands of their own, once it has read what they bring.
        AdministrationAct::ApplyCharter { .. } => {
            Err(Refusal::Invalid { why: "a charter comes with its documents".into() })
        }
        AdministrationAct::SuspendPerson { person } => charter::suspend(draft, asked, &person),
        AdministrationAct::PutRecoveryKeyAway { key } => charter::put_recovery_away(draft, asked, &key),
        AdministrationAct::NamePerson { person, name } => people::name(draft, asked, person, name),
        AdministrationAct::ErasePerson { person } => people::erase(draft, asked, person),
        AdministrationAct::InviteTarget { .. } => target::invite(draft, asked, act),
        AdministrationAct::LabelTarget { target, labels } => target::label(draft, asked, &target, &labels),
        AdministrationAct::CordonTarget { target, cordoned, reason } => {
            target::cordon(draft, asked, &target, cordoned, reason)
        }
        AdministrationAct::RetireTarget { target } => target::retire(draft, asked, &target),
        AdministrationAct::CreateToken { token, name, expires } => token::create(draft, asked, token, name, expires),
        AdministrationAct::RevokeToken { token } => token::revoke(draft, asked, token),
        AdministrationAct::LiftHold { app, environment, build, reason } => {
            deployment::lift_hold(draft, asked, &app, &environment, build, reason)
        }
        AdministrationAct::DiscardDraft { app, draft: name } => draft::discard(draft, asked, &app, &name),
        AdministrationAct::SealDraft { .. } => Err(Refusal::Invalid { why: "a draft is sealed with its parts".into() }),
        AdministrationAct::RetireApp { app } => application::retire(draft, asked, &app),
        AdministrationAct::PruneBuilds { app, builds } => release::prune(draft, asked, &app, &builds),
        AdministrationAct::AbortDeployment { deployment, reason } => {
            deployment::abort(draft, asked, deployment, reason)
        }
        AdministrationAct::ExcludeTarget { deployment, target, reason } => {
            guide::exclude(draft, asked, deployment, &target, reason)
        }
        AdministrationAct::PauseDeployment { deployment, reason } => guide::pause(draft, asked, deployment, reason),
        AdministrationAct::ResumeDeployment { deployment, reason } => guide::resume(draft, asked, deployment, reason),
        AdministrationAct::Expose { app, environment, version, percent } => {
            exposure::expose(draft, asked, &app, &environment, &version, percent)
        }
    }
}
