//! What is decided otherwise than by the rules of packages, and what a target takes for listed by one.

use super::{Fault, decided::Decided};
use crate::cast::{SHOP, Who, app};
use domain::{
    command::{Command, Context},
    decide::decide,
    event::{Ending, Event},
    state::{DeploymentPhase, State},
};
use std::sync::Arc;
use trust::{
    AppName, Digest,
    authority::{Dossier, PackageDossier},
    dsse::Envelope,
    key::Signer,
    statement::{Act, Statement},
};

/// The statements behind an assignment as a target with a fault takes them: where nobody looks whether the package lists the
/// build that is wanted, it is as if it did, and as if people had said of that what they said of the package.
pub fn shown(fault: Option<Fault>, app: &AppName, dossier: Dossier) -> Dossier {
    let listing = |package| with_the_build_listed(app, &dossier, package);
    let otherwise = dossier.package.as_ref().filter(|_| fault == Some(Fault::MemberUnlisted)).and_then(listing);
    otherwise.unwrap_or(dossier)
}

fn with_the_build_listed(app: &AppName, dossier: &Dossier, package: &PackageDossier) -> Option<Dossier> {
    let said_of = Statement::read(package.push.as_ref()?).ok()?.subject;
    let number = Statement::read(dossier.number.as_ref()?).ok()?;
    let Act::Number(numbered) = number.act else { return None };
    let mut manifest = package.open().ok()?;
    let member = manifest.run.package.get_mut(app)?;
    if member.build == number.subject && said_of == Digest::of(package.manifest.as_bytes()) {
        return None;
    }
    (member.build, member.version) = (number.subject, numbered.version);
    let bytes = manifest.to_bytes().ok()?;
    let build = Digest::of(&bytes);
    let of_build = |envelope: &Option<Envelope>| said_again(envelope.as_ref()?, build);
    let request = of_build(&package.request);
    let asked = request.as_ref().map_or(build, |request| Digest::of(&request.payload));
    let package = PackageDossier {
        manifest: String::from_utf8(bytes).ok()?,
        push: of_build(&package.push),
        number: of_build(&package.number),
        request,
        approvals: package.approvals.iter().filter_map(|approval| said_again(approval, asked)).collect(),
    };
    let is_of_package = |order: &Envelope| Statement::read(order).is_ok_and(|order| order.subject == said_of);
    let order = match &dossier.order {
        Some(order) if is_of_package(order) => said_again(order, build),
        order => order.clone(),
    };
    Some(Dossier { order, package: Some(package), ..dossier.clone() })
}

/// The same, said of something else by whoever said it.
fn said_again(envelope: &Envelope, subject: Digest) -> Option<Envelope> {
    let statement = Statement::read(envelope).ok()?;
    let mut keys = [Who::Coder, Who::Tester, Who::Oncall, Who::Second].into_iter().map(Who::key);
    let key = keys.find(|key| envelope.signatures.iter().any(|signature| signature.keyid == key.public().id()))?;
    Statement { subject, ..statement }.sign(&[&key]).ok()
}

/// Members begin whatever they come after.
pub(super) fn all_members_at_once(state: &State, context: &Context, command: Command) -> Decided {
    if !state.apps.contains_key(&app(SHOP)) {
        return decide(state, context, command);
    }
    let mut without = state.clone();
    if let Some(shop) = without.apps.get_mut(&app(SHOP)) {
        for digest in shop.builds.keys().copied().collect::<Vec<_>>() {
            if let Some(build) = shop.builds.get_mut(&digest) {
                let members = &mut Arc::make_mut(&mut build.facts).package;
                members.values_mut().for_each(|member| member.after.clear());
            }
        }
    }
    decide(&without, context, command)
}

/// A package is taken back once the member that failed is: those that had succeeded stay.
pub(super) fn leaving_members(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let package_of = |number: &u64| {
        let member = state.deployments.get(number)?;
        let has_succeeded = matches!(member.phase, DeploymentPhase::Ended { ending: Ending::Succeeded, .. });
        let package = member.package.as_ref().filter(|_| has_succeeded)?.deployment;
        state.open_deployments.contains(&package).then_some(package)
    };
    for event in &mut events {
        let package = match event {
            Event::UndoStarted { deployment, .. } => package_of(deployment),
            _ => None,
        };
        if let Some(deployment) = package {
            let (ending, reason, superseded_by, aborted) = (Ending::Undone, None, None, None);
            *event = Event::DeploymentEnded { deployment, ending, reason, superseded_by, aborted };
        }
    }
    Ok(events)
}

/// A package has succeeded once one of its members has.
pub(super) fn succeeding_with_one(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    let package_of = |number: &u64| state.deployments.get(number)?.package.as_ref().map(|package| package.deployment);
    let ended = |event: &Event| match event {
        Event::DeploymentEnded { deployment, ending: Ending::Succeeded, .. } => package_of(deployment),
        _ => None,
    };
    let Some((at, deployment)) = events.iter().enumerate().find_map(|(at, event)| Some((at, ended(event)?))) else {
        return Ok(events);
    };
    events.truncate(at + 1);
    let (ending, reason, superseded_by, aborted) = (Ending::Succeeded, None, None, None);
    events.push(Event::DeploymentEnded { deployment, ending, reason, superseded_by, aborted });
    Ok(events)
}

/// A package that was taken back or left is not held out.
pub(super) fn without_holds_of_packages(state: &State, context: &Context, command: Command) -> Decided {
    let mut events = decide(state, context, command)?;
    events.retain(|event| !matches!(event, Event::HoldPlaced { app: name, .. } if *name == app(SHOP)));
    Ok(events)
}

/// What is ordered for a member begins, whatever package is at it.
pub(super) fn others_meanwhile(state: &State, context: &Context, command: Command) -> Decided {
    let is_for_a_member = matches!(&command, Command::RequestDeployment(signed) if signed.act.app != app(SHOP));
    if !is_for_a_member {
        return decide(state, context, command);
    }
    let mut without = state.clone();
    let open: Vec<u64> = state.open_deployments.iter().copied().collect();
    for number in open {
        if let Some(deployment) = without.deployments.get_mut(&number) {
            deployment.members.clear();
        }
    }
    decide(&without, context, command)
}
