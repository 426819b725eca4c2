//! Folding events into the state. Exhaustive and infallible: what an event says has happened.

use super::{
    Approved, Aside, Build, ConfigInForce, Cordon, DeploymentPhase, DraftBuild, DraftPart, EvidenceRecord, Excepted,
    Freeze, GuidanceWord, Handle, Hold, InAudience, Invitation, MemberPart, Numbered, Part, Pause, Request, Standing,
    State, Token, Unwell, Withdrawal, serving,
};
use crate::{
    event::{Event, Migration},
    policy,
    rules::rollout,
};
use imbl::OrdMap;
use jiff::Timestamp;
use std::collections::BTreeSet;
use trust::{
    AppName, AudienceName, Digest, DraftName, PersonName, TargetName, authority::KeptWithdrawal, freeze::Known,
};

mod charter;
mod data;
mod deployment;
mod ending;
mod receipt;
mod report;
mod target;
mod vendor;
mod withdrawals;
use charter::{apply_charter, suspend};
use deployment::{assign, begins, exclude, guide, leave_word, note_abort, reopen, retry};
use ending::{end_deployment, settle};
use receipt::take_receipt;
use report::{Finished, finish_target, health, runs_otherwise};
use target::{comes_late, enrol, retire};
use vendor::{heard, import};
use withdrawals::weigh_withdrawals;

/// Folds one event of the entry `state.head` points at into the state. The caller moves the head first.
pub fn apply(state: &mut State, event: &Event) {
    let stamp = state.head;
    match event {
        Event::CharterApplied { .. } => apply_charter(state, event),
        Event::RecoveryKeyPutAway { key, .. } => {
            state.recovery_put_away.insert(*key);
        }
        Event::PersonSuspended { person } => suspend(state, person),
        Event::PersonNamed { person, name } => {
            state.people.entry(person.clone()).or_default().name = *name;
        }
        Event::PersonErased { person } => {
            state.people.insert(person.clone(), Handle { name: None, erased: Some(stamp) });
        }
        Event::BuildPushed { app, build, .. }
            if state.apps.get(app).is_some_and(|record| record.builds.contains_key(build)) =>
        {
            // Pruned bytes that are brought again are the build that they were, by whom it was.
            if let Some(build) = state.apps.get_mut(app).and_then(|record| record.builds.get_mut(build)) {
                build.pruned = None;
                build.brought_again = Some(stamp);
            }
        }
        Event::PartAdded { app, draft, part, manifest, pusher, commit, .. } => {
            let record = state.apps.entry(app.clone()).or_default();
            let old = |(_, draft): &(&DraftName, &DraftBuild)| {
                stamp.time.duration_since(draft.stamp.time).as_hours() >= 24 * policy::DRAFT_DAYS
            };
            let forgotten: Vec<DraftName> = record.drafts.iter().filter(old).map(|(name, _)| name.clone()).collect();
            for name in forgotten {
                record.drafts.remove(&name);
            }
            let draft = record.drafts.entry(draft.clone()).or_default();
            draft.stamp = stamp;
            let added = DraftPart { manifest: *manifest, pusher: pusher.clone(), commit: commit.clone(), stamp };
            draft.parts.insert(part.clone(), added);
        }
        Event::DraftSealed { app, draft, build } => {
            let Some(record) = state.apps.get_mut(app) else { return };
            let Some(draft) = record.drafts.get_mut(draft) else { return };
            draft.sealed = Some(*build);
            draft.stamp = stamp;
            let makers: BTreeSet<PersonName> = draft.parts.values().map(|part| part.pusher.clone()).collect();
            if let Some(build) = record.builds.get_mut(build) {
                build.makers = makers.into_iter().collect();
            }
        }
        Event::DraftDiscarded { app, draft } => {
            if let Some(record) = state.apps.get_mut(app) {
                record.drafts.remove(draft);
            }
        }
        Event::AppRetired { app } => {
            if let Some(record) = state.apps.get_mut(app) {
                record.retired = Some(stamp);
            }
        }
        Event::BuildPruned { app, builds } => {
            for build in builds {
                if let Some(build) = state.apps.get_mut(app).and_then(|record| record.builds.get_mut(build)) {
                    build.pruned = Some(stamp);
                }
            }
        }
        Event::BuildPushed { app, build, pusher, commit, recipe, facts } => {
            let record = Build::new(pusher, commit, recipe, facts, stamp);
            state.apps.entry(app.clone()).or_default().builds.insert(*build, record);
            for (name, member) in &facts.package {
                if let Some(record) = state.apps.get_mut(name) {
                    record.packages.entry(member.build).or_default().insert((app.clone(), *build));
                }
            }
        }
        Event::BuildNumbered { app, build, version } => {
            let record = state.apps.entry(app.clone()).or_default();
            record.versions.insert(version.clone(), Numbered { build: *build, stamp });
            if let Some(build) = record.builds.get_mut(build) {
                build.version = Some(version.clone());
            }
        }
        Event::ReleaseImported { .. } => import(state, event),
        Event::BuildDelivered { app, version, channel, to, .. } => {
            let delivered = in_audience(state, app, channel).delivered.entry(version.clone()).or_default();
            delivered.entry(to.clone()).or_insert(stamp);
        }
        Event::VendorWithdrew { app, build, through_serial, payload, word } => {
            let of_vendor = heard(state, app, word);
            let (app, build, through_serial, payload) = (app.clone(), *build, *through_serial, *payload);
            of_vendor.withdrawals.push((KeptWithdrawal { app, build, through_serial, payload }, word.document));
        }
        Event::EvidenceAttached {
            app,
            build,
            kind,
            passed,
            summary,
            document,
            issuer,
            key,
            predicate,
            facts,
            issued,
            payload,
        } => {
            let record = EvidenceRecord {
                kind: kind.clone(),
                passed: *passed,
                summary: summary.clone(),
                document: *document,
                issuer: issuer.clone(),
                key: *key,
                stamp,
                predicate: predicate.clone(),
                facts: facts.clone(),
                issued: *issued,
                payload: *payload,
            };
            if let Some(build) = state.apps.entry(app.clone()).or_default().builds.get_mut(build) {
                build.evidence.push(record);
            }
        }
        Event::ReleaseRequested {
            request,
            app,
            version,
            build,
            audience,
            serial,
            requires,
            not_before,
            not_after,
            floor,
            requester,
            way,
            reason,
        } => {
            let record = Request {
                digest: *request,
                app: app.clone(),
                version: version.clone(),
                build: *build,
                audience: audience.clone(),
                serial: *serial,
                requires: requires.clone(),
                not_before: *not_before,
                not_after: *not_after,
                floor: floor.clone(),
                requester: requester.clone(),
                stamp,
                approvals: Vec::new(),
                standing: Standing::Waiting,
                granted: None,
                way: *way,
                reason: *reason,
                reviewed: None,
            };
            state.requests.insert(*request, record);
            in_audience(state, app, audience).requests.entry(version.clone()).or_default().push(*request);
        }
        Event::RequestApproved { request, approver, key } => {
            if let Some(request) = state.requests.get_mut(request) {
                request.approvals.push(Approved { approver: approver.clone(), key: *key, stamp });
            }
        }
        Event::PermitGranted { request: digest, app, audience, .. } => {
            let mut floor = None;
            if let Some(request) = state.requests.get_mut(digest) {
                request.standing = Standing::Granted(stamp);
                request.granted = Some(stamp);
                floor = request.floor.clone();
                if !request.way.is_normal() {
                    state.unreviewed.insert(*digest);
                }
            }
            let record = in_audience(state, app, audience);
            record.floor = record.floor.take().max(floor);
        }
        Event::EmergencyReviewed { request: digest, reviewer, .. } => {
            state.unreviewed.remove(digest);
            if let Some(request) = state.requests.get_mut(digest) {
                request.reviewed = Some((reviewer.clone(), stamp));
            }
        }
        Event::PermissionWithdrawn { app, version, audience, through_serial, payload, reason, .. } => {
            let (through_serial, payload, reason) = (*through_serial, *payload, *reason);
            let withdrawal = Withdrawal { stamp, version: version.clone(), through_serial, payload, reason };
            in_audience(state, app, audience).withdrawals.push(withdrawal);
            weigh_withdrawals(state, app, audience, version);
        }
        Event::ConfigSet { app, environment, serial, document, keys, recipients } => {
            let here = in_audience(state, app, environment);
            here.config_sets.insert(*serial, *document);
            here.config = Some(ConfigInForce {
                serial: *serial,
                document: *document,
                keys: keys.clone(),
                recipients: recipients.clone(),
                stamp,
            });
        }
        Event::FreezeDeclared { freeze, number, terms, by } => {
            forget_old_freezes(state);
            let record = Freeze {
                number: *number,
                known: Known::declared(*freeze, terms.clone()),
                by: by.clone(),
                stamp,
                exceptions: Vec::new(),
                lifted: None,
            };
            state.last_freeze = *number;
            state.freezes.insert(*freeze, record);
        }
        Event::FreezeExcepted { freeze, app, version, build, reason, by, .. } => {
            if let Some(record) = state.freezes.get_mut(freeze) {
                record.known.excepted.insert(*build);
                let (app, version, by) = (app.clone(), version.clone(), by.clone());
                record.exceptions.push(Excepted { app, version, build: *build, reason: *reason, by, stamp });
            }
        }
        Event::FreezeLifted { freeze, by, .. } => {
            if let Some(record) = state.freezes.get_mut(freeze) {
                record.known.lifted = true;
                record.lifted = Some((by.clone(), stamp));
            }
        }
        Event::TargetInvited { invitation, environment, labels, name, uses, expires, ephemeral } => {
            let record = Invitation {
                environment: environment.clone(),
                labels: labels.clone(),
                name: name.clone(),
                uses_left: *uses,
                expires: *expires,
                stamp,
                ephemeral: *ephemeral,
            };
            state.invitations.insert(invitation.id(), record);
        }
        Event::TokenCreated { token, holder, name, expires } => {
            // Those that are long over make room; what they were stands in the ledger.
            let over: Vec<Digest> =
                state.tokens.iter().filter(|(_, token)| token.expires < stamp.time).map(|(id, _)| *id).collect();
            over.iter().for_each(|id| drop(state.tokens.remove(id)));
            state.tokens.insert(*token, Token { holder: holder.clone(), name: name.clone(), expires: *expires });
        }
        Event::TokenRevoked { token, .. } => {
            state.tokens.remove(token);
        }
        Event::TargetEnrolled { .. } => enrol(state, event),
        Event::TargetLabelled { target, labels } => {
            if let Some(target) = state.targets.get_mut(target) {
                target.labels = labels.clone();
            }
            comes_late(state, target);
        }
        Event::TargetCordoned { target, cordoned, reason } => {
            if let Some(target) = state.targets.get_mut(target) {
                target.cordoned = *cordoned;
                target.cordon = cordoned.then_some(Cordon { stamp, reason: *reason });
            }
            for number in state.open_deployments.clone().into_iter().filter(|_| !*cordoned) {
                if let Some(record) = state.deployments.get_mut(&number) {
                    let is_cordoned = |part: &Part| part.aside == Some(Aside::Cordoned);
                    let comes_again = record.parts.get(target).is_some_and(is_cordoned);
                    record.parts.change(target, |part| part.aside = part.aside.filter(|_| !comes_again));
                }
            }
            comes_late(state, target);
            if *cordoned {
                ending::goes_without(state, target);
            }
        }
        Event::TargetRetired { target, why } => retire(state, target, *why),
        Event::DeploymentRequested { .. } => deployment::request(state, event),
        Event::StepStarted { deployment, step, members, in_place } => {
            if let Some(record) = state.deployments.get_mut(deployment) {
                let begun = members.iter().map(|(name, number)| (name.clone(), MemberPart::Begun(*number)));
                let in_place = in_place.iter().map(|name| (name.clone(), MemberPart::InPlace));
                record.members.extend(begun.chain(in_place));
                record.waves = *step;
                record.phase = DeploymentPhase::Running;
                let (app, environment) = (record.app.clone(), record.environment.clone());
                begins(state, &app, &environment, *deployment);
            }
        }
        Event::WaveStarted { deployment, wave, targets, ring, migrate } => {
            let anew = state.deployments.get(deployment).and_then(|record| serving::counted_anew(state, record));
            anew.and_then(|record| state.deployments.insert(*deployment, record));
            assign(state, *deployment, targets, false);
            if let Some(record) = state.deployments.get_mut(deployment) {
                targets.iter().for_each(|target| record.parts.change(target, |part| part.wave = *wave));
                record.waves = *wave;
                record.phase = DeploymentPhase::Running;
                record.elected =
                    migrate.and_then(|migrate| Some((targets.first()?.clone(), migrate))).or(record.elected.take());
                let at = ring.as_ref().and_then(|name| record.rings.iter().position(|ring| ring.name == *name));
                record.ring = at.unwrap_or(0);
                let (app, environment) = (record.app.clone(), record.environment.clone());
                begins(state, &app, &environment, *deployment);
            }
            if *migrate == Some(Migration::Run) {
                data::may_change(state, *deployment);
            }
        }
        Event::RingVerified { deployment, .. } => {
            if let Some(record) = state.deployments.get_mut(deployment) {
                record.phase = DeploymentPhase::Baking(stamp);
            }
        }
        Event::DeploymentPaused { deployment, by, reason, failure } => {
            let pause = Pause { stamp, by: by.clone(), reason: *reason, failure: failure.clone() };
            if let Some(record) = state.deployments.get_mut(deployment) {
                record.paused = Some(pause);
            }
            if let Some(by) = by {
                guide(state, *deployment, by, GuidanceWord::Paused, &[], *reason);
            }
        }
        Event::DeploymentResumed { deployment, by, reason } => {
            guide(state, *deployment, by, GuidanceWord::Resumed, &[], *reason);
            let record = state.deployments.get(deployment);
            let rollout = record.map(|record| rollout::of(state, record).into_owned());
            if let Some(record) = state.deployments.get_mut(deployment) {
                let failed = record.paused.take().is_some_and(|pause| pause.failure.is_some());
                // Where people were asked about a doubt alone, nothing else is forgiven.
                let asked_of_doubts = rollout.is_some_and(|rollout| {
                    rollout::in_doubt(record).is_some() && rollout::beyond_budget(&rollout, record).is_none()
                });
                let bad = record.parts.bad().map(|(name, _)| name).chain(record.parts.unwell().map(|(name, _)| name));
                let bad: Vec<TargetName> = bad.filter(|_| failed && !asked_of_doubts).cloned().collect();
                bad.iter().for_each(|name| record.parts.change(name, |part| part.aside = Some(Aside::Accepted)));
                let doubted: Vec<TargetName> =
                    record.parts.doubted().filter(|_| failed).map(|(name, _)| name.clone()).collect();
                let accept = |part: &mut Part| part.doubt.iter_mut().for_each(|doubt| doubt.accepted = true);
                doubted.iter().for_each(|name| record.parts.change(name, accept));
                record.let_begin = rollout::lets_begin(record).or(record.let_begin);
            }
        }
        Event::TargetFinished {
            deployment,
            target,
            outcome,
            change,
            running,
            config_serial,
            phases,
            endpoints,
            given_up,
            stands,
            standby,
            doubt,
            ..
        } => {
            let (change, running, config_serial) = (*change, *running, *config_serial);
            let (given_up, stands, standby) = (*given_up, *stands, *standby);
            let doubt = doubt.as_deref();
            let finished =
                Finished { outcome, change, running, config_serial, endpoints, given_up, stands, standby, doubt };
            finish_target(state, *deployment, target, &finished, phases);
        }
        Event::UndoStarted { deployment, reason, targets, absent, aborted } => {
            reopen(state, *deployment);
            assign(state, *deployment, targets, true);
            leave_word(state, *deployment, absent);
            if let Some(record) = state.deployments.get_mut(deployment) {
                record.phase = DeploymentPhase::Undoing { reason: reason.clone() };
                record.paused = None;
            }
            note_abort(state, *deployment, aborted.as_ref());
        }
        Event::TargetExcluded { deployment, target, by, reason, away } => {
            let aside = match by {
                Some(_) => Aside::Excluded,
                None if *away => Aside::Away,
                None => Aside::Cordoned,
            };
            exclude(state, *deployment, target, aside);
            if let Some(by) = by {
                guide(state, *deployment, by, GuidanceWord::Excluded, std::slice::from_ref(target), *reason);
            }
        }
        Event::TargetAdded { deployment, target } => {
            if let Some(record) = state.deployments.get_mut(deployment) {
                state.late.remove(&(target.clone(), record.app.clone()));
                let wave = record.waves;
                let ephemeral = state.targets.get(target).is_some_and(|target| target.ephemeral);
                record.parts.add(target.clone(), Part { ephemeral, ..Part::default() });
                record.parts.change(target, |part| (part.aside, part.wave) = (None, wave));
            }
            assign(state, *deployment, std::slice::from_ref(target), false);
        }
        Event::RetryOrdered { deployment, targets, by, reason } => {
            retry(state, *deployment, targets);
            guide(state, *deployment, by, GuidanceWord::Retried, targets, *reason);
        }
        Event::DeploymentEnded { deployment, ending, reason, superseded_by, aborted } => {
            note_abort(state, *deployment, aborted.as_ref());
            end_deployment(state, *deployment, *ending, reason, *superseded_by);
        }
        Event::DeploymentSettled { deployment } => settle(state, *deployment),
        Event::HoldPlaced { app, environment, build, deployment } => {
            let hold = Hold { stamp, deployment: *deployment };
            in_audience(state, app, environment).held.insert(*build, hold);
        }
        Event::HoldLifted { app, environment, build, .. } => {
            let held = &mut in_audience(state, app, environment).held;
            match build {
                Some(build) => drop(held.remove(build)),
                None => *held = OrdMap::new(),
            }
        }
        Event::HealthChanged { target, app, build, unwell, unclear } => {
            let since = stamp.time;
            let unwell = unwell.as_ref().map(|reason| Unwell { since, reason: reason.clone(), unclear: *unclear });
            health(state, target, app, build, unwell);
        }
        Event::EscapesChanged { target, findings } => {
            let entry = state.head.entry;
            if let Some(target) = state.targets.get_mut(target) {
                target.findings = findings.to_vec();
                target.inventory = Some(entry);
            }
        }
        Event::TargetRunsOtherwise { target, app, build } => runs_otherwise(state, target, app, *build),
        Event::FactsChanged { target, facts } => {
            if let Some(target) = state.targets.get_mut(target) {
                target.facts = facts.clone();
            }
        }
        Event::ReceiptTaken { .. } => take_receipt(state, event),
        Event::ExposureChanged { app, environment, version, percent } => {
            in_audience(state, app, environment).exposure = Some((version.clone(), *percent, stamp));
        }
    }
}

/// What holds for an application in an audience, to be changed.
fn in_audience<'a>(state: &'a mut State, app: &AppName, audience: &AudienceName) -> &'a mut InAudience {
    state.apps.entry(app.clone()).or_default().audiences.entry(audience.clone()).or_default()
}

/// Freezes that have long been over make room; what they were stands in the ledger.
fn forget_old_freezes(state: &mut State) {
    let kept = jiff::SignedDuration::from_hours(24 * policy::FREEZES_KEPT_DAYS);
    let long_ago = state.head.time.saturating_sub(kept).unwrap_or(Timestamp::MIN);
    let over = state.freezes.iter().filter(|(_, freeze)| freeze.known.terms.until < long_ago);
    let over: Vec<Digest> = over.map(|(freeze, _)| *freeze).collect();
    over.iter().for_each(|freeze| drop(state.freezes.remove(freeze)));
}
