//! Targets come, go, and may have missed something.

use super::{ending, in_audience};
use crate::{
    event::{Departure, Event},
    rules::{late, lifetime},
    state::{App, Aside, Part, State, Target},
};
use imbl::OrdMap;
use trust::{AppName, AudienceName, TargetName};

/// A machine joined.
pub(super) fn enrol(state: &mut State, event: &Event) {
    let Event::TargetEnrolled { target, environment, invitation, key, recipient, labels, facts } = event else {
        return;
    };
    let stamp = state.head;
    let mut ephemeral = false;
    if let Some(invitation) = state.invitations.get_mut(&invitation.id()) {
        invitation.uses_left = invitation.uses_left.saturating_sub(1);
        ephemeral = invitation.ephemeral;
    }
    state.target_keys.insert(key.id(), target.clone());
    let record = Target {
        environment: environment.clone(),
        key: *key,
        recipient: recipient.clone(),
        labels: labels.clone(),
        facts: facts.clone(),
        cordoned: false,
        cordon: None,
        retired: false,
        stamp,
        apps: OrdMap::new(),
        findings: Vec::new(),
        inventory: None,
        ephemeral,
        departed: None,
    };
    if ephemeral {
        state.ephemeral.insert(target.clone());
    }
    if lifetime::ends(state, &record).is_some() {
        state.disposable.insert(target.clone());
    }
    state.targets.insert(target.clone(), record);
    comes_late(state, target);
}

/// A target that came, or may take part again, may have missed what stands in its environment.
pub(super) fn comes_late(state: &mut State, name: &TargetName) {
    // What stands nowhere can nowhere be missed.
    let standing = state.standing.iter().filter_map(|number| state.deployments.get(number));
    let missed = standing.map(|deployment| &deployment.app).filter(|app| late::missed(state, name, app).is_some());
    let missed: Vec<_> = missed.map(|app| (name.clone(), app.clone())).collect();
    state.late.extend(missed);
}

/// Something else stands in an environment than before: whoever has missed that comes late to it, and to nothing else.
pub(super) fn stands_anew(state: &mut State, app: &AppName, environment: &AudienceName) {
    let names: Vec<TargetName> = state.targets_in(environment).map(|(name, _)| name.clone()).collect();
    for name in names {
        let has_missed = late::missed(state, &name, app).is_some();
        let late = (name, app.clone());
        if has_missed {
            state.late.insert(late);
        } else {
            state.late.remove(&late);
        }
    }
}

/// A target leaves for good.
pub(super) fn retire(state: &mut State, name: &TargetName, why: Option<Departure>) {
    let stamp = state.head;
    state.disposable.remove(name);
    state.ephemeral.remove(name);
    let Some(target) = state.targets.get_mut(name) else { return };
    target.retired = true;
    target.departed = why.map(|why| (why, stamp));
    state.target_keys.remove(&target.key.id());
    if why == Some(Departure::Lapsed) {
        let apps: Vec<AppName> = target.apps.keys().cloned().collect();
        apps.iter().filter_map(|app| target.apps.get_mut(app).map(|on| on.running.take())).for_each(drop);
    }
    let environment = target.environment.clone();
    let left = |part: &mut Part| part.aside = Some(Aside::Left);
    for number in state.open_deployments.clone() {
        if let Some(record) = state.deployments.get_mut(&number) {
            record.parts.change(name, left);
        }
    }
    for number in state.soaking.clone() {
        let Some(record) = state.deployments.get_mut(&number) else { continue };
        let was_well = record.parts.are_well();
        record.parts.change(name, left);
        if !was_well && record.parts.are_well() {
            record.well_since = Some(stamp.time);
        }
        // What nobody runs any more settles nowhere.
        if record.parts.verified().next().is_none() {
            state.soaking.remove(&number);
        }
    }
    ending::goes_without(state, name);
    if lifetime::is_gone(state, &environment) {
        throw_away(state, &environment);
    }
}

/// A throw-away environment is gone. Whoever joins it later begins anew, and does not get what stood there before.
fn throw_away(state: &mut State, environment: &AudienceName) {
    let stood = |record: &App| record.audiences.get(environment).and_then(|here| here.standing);
    let standing: Vec<(AppName, Option<u64>)> = state
        .apps
        .iter()
        .filter(|(_, app)| app.audiences.contains_key(environment))
        .map(|(name, app)| (name.clone(), stood(app)))
        .collect();
    for (app, stood) in standing {
        let here = in_audience(state, &app, environment);
        (here.standing, here.exposure) = (None, None);
        if let Some(stood) = stood {
            state.standing.remove(&stood);
        }
    }
    let gone = |(name, _): &&(TargetName, AppName)| {
        state.targets.get(name).is_some_and(|target| target.environment == *environment)
    };
    let gone: Vec<(TargetName, AppName)> = state.late.iter().filter(gone).cloned().collect();
    gone.iter().for_each(|missed| drop(state.late.remove(missed)));
}
