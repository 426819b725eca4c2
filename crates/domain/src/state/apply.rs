//! Folding events into the state. Exhaustive and infallible: what an event says has happened.

use super::*;
use crate::{
    event::{Aborted, Change},
    policy,
    rules::{late, lifetime},
};
use trust::statement::Phase;

/// Folds one event of the entry `state.head` points at into the state. The caller moves the head first.
pub fn apply(state: &mut State, event: &Event) {
    let stamp = state.head;
    match event {
        Event::CharterApplied { estate, root_version, owners, version, charter, roots, targets, facts } => {
            let mut all_roots = state.policy.as_ref().map(|policy| policy.record.roots.clone()).unwrap_or_default();
            all_roots.extend(roots.iter().copied());
            let record = PolicyRecord {
                estate: *estate,
                root_version: *root_version,
                owners: owners.clone(),
                version: *version,
                charter: charter.clone(),
                roots: all_roots,
                targets: *targets,
                suspended: Default::default(),
                facts: facts.clone(),
            };
            // A stored charter was parsed before it was stored; one that cannot be read leaves the old one in force.
            if let Ok(policy) = Policy::try_from(record) {
                if state.policy.as_ref().is_some_and(|old| old.charter.epoch < policy.charter.epoch) {
                    let step = crate::policy::DEPLOYMENTS_OF_EPOCH;
                    state.last_deployment = (state.last_deployment / step + 1) * step;
                }
                let before = state.policy.replace(Arc::new(policy));
                state.suspended = OrdSet::new();
                state.suspension_entries = Vec::new();
                let annulled = |policy: &Option<Arc<Policy>>| {
                    policy.as_ref().map(|policy| policy.charter.annulled.clone()).unwrap_or_default()
                };
                if annulled(&before) != annulled(&state.policy) {
                    weigh_all_withdrawals(state);
                }
                let ends =
                    |(_, target): &(&TargetName, &Target)| !target.retired && lifetime::ends(state, target).is_some();
                state.disposable = state.targets.iter().filter(ends).map(|(name, _)| name.clone()).collect();
            }
        }
        Event::RecoveryKeyPutAway { key, .. } => {
            state.recovery_put_away.insert(*key);
        }
        Event::PersonSuspended { person } => {
            state.suspended.insert(person.clone());
            state.suspension_entries.push(stamp.entry);
            if let Some(policy) = &state.policy {
                let mut record = policy.record.clone();
                record.suspended.insert(person.clone());
                if let Ok(policy) = Policy::try_from(record) {
                    state.policy = Some(Arc::new(policy));
                }
            }
        }
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
            let makers: std::collections::BTreeSet<PersonName> =
                draft.parts.values().map(|part| part.pusher.clone()).collect();
            if let Some(build) = record.builds.get_mut(build) {
                build.makers = makers.into_iter().collect();
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
        Event::PermissionWithdrawn { app, version, audience, through_serial, payload, .. } => {
            let withdrawal =
                Withdrawal { stamp, version: version.clone(), through_serial: *through_serial, payload: *payload };
            in_audience(state, app, audience).withdrawals.push(withdrawal);
            weigh_withdrawals(state, app, audience, version);
        }
        Event::ConfigSet { app, environment, serial, document, keys, recipients } => {
            in_audience(state, app, environment).config = Some(ConfigInForce {
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
        Event::TargetEnrolled { target, environment, invitation, key, recipient, labels, facts } => {
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
        Event::TargetLabelled { target, labels } => {
            if let Some(target) = state.targets.get_mut(target) {
                target.labels = labels.clone();
            }
            comes_late(state, target);
        }
        Event::TargetCordoned { target, cordoned } => {
            if let Some(target) = state.targets.get_mut(target) {
                target.cordoned = *cordoned;
            }
            for number in state.open_deployments.clone().into_iter().filter(|_| !*cordoned) {
                if let Some(record) = state.deployments.get_mut(&number) {
                    let is_cordoned = |part: &Part| part.aside == Some(Aside::Cordoned);
                    let comes_again = record.parts.get(target).is_some_and(is_cordoned);
                    record.parts.change(target, |part| part.aside = part.aside.filter(|_| !comes_again));
                }
            }
            comes_late(state, target);
        }
        Event::TargetRetired { target, why } => retire(state, target, *why),
        Event::DeploymentRequested {
            deployment,
            app,
            environment,
            act,
            build,
            version,
            targets,
            awaits_permit,
            warnings,
            deployer,
            rollout,
            rings,
            narrowed,
            schedule,
            keep_data,
            package,
            only,
        } => {
            let known = state.apps.get(app).and_then(|record| record.builds.get(build));
            let members = known.into_iter().flat_map(|build| build.facts.package.keys());
            let members = members.map(|name| (name.clone(), MemberPart::Waiting)).collect();
            let package = package.and_then(|number| {
                let Deployment { app, build, stamp, .. } = state.deployments.get(&number)?;
                Some(InPackage { deployment: number, app: app.clone(), build: *build, order: stamp.entry })
            });
            state.last_deployment = *deployment;
            state.open_deployments.insert(*deployment);
            // What is planned for later leaves the place to others until it begins.
            if !crate::rules::schedule::is_planned(schedule, stamp.time) {
                in_audience(state, app, environment).open_deployment = Some(*deployment);
            }
            let record = Deployment {
                app: app.clone(),
                environment: environment.clone(),
                act: *act,
                build: *build,
                version: version.clone(),
                deployer: deployer.clone(),
                stamp,
                warnings: warnings.clone(),
                parts: serving::parts(state, app, targets),
                rollout: rollout.as_ref().map(|rollout| Arc::new(Rollout::clone(rollout))),
                rings: rings.as_slice().into(),
                ring: 0,
                others: serving::others(state, app, environment, build, targets),
                narrowed: *narrowed,
                schedule: schedule.clone(),
                waves: 0,
                keep_data: *keep_data,
                elected: None,
                paused: None,
                well_since: None,
                guided: Vector::new(),
                phase: if *awaits_permit { DeploymentPhase::AwaitingPermit } else { DeploymentPhase::Running },
                members,
                package,
                only: only.clone(),
            };
            state.deployments.insert(*deployment, record);
            forget_old_deployments(state);
        }
        Event::StepStarted { deployment, step, members, in_place } => {
            if let Some(record) = state.deployments.get_mut(deployment) {
                let begun = members.iter().map(|(name, number)| (name.clone(), MemberPart::Begun(*number)));
                let in_place = in_place.iter().map(|name| (name.clone(), MemberPart::InPlace));
                record.members.extend(begun.chain(in_place));
                record.waves = *step;
                record.phase = DeploymentPhase::Running;
                let (app, environment) = (record.app.clone(), record.environment.clone());
                in_audience(state, &app, &environment).open_deployment = Some(*deployment);
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
                in_audience(state, &app, &environment).open_deployment = Some(*deployment);
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
            if let Some(record) = state.deployments.get_mut(deployment) {
                let failed = record.paused.take().is_some_and(|pause| pause.failure.is_some());
                let bad = record.parts.bad().map(|(name, _)| name).chain(record.parts.unwell().map(|(name, _)| name));
                let bad: Vec<TargetName> = bad.filter(|_| failed).cloned().collect();
                bad.iter().for_each(|name| record.parts.change(name, |part| part.aside = Some(Aside::Accepted)));
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
            ..
        } => {
            let (change, running, config_serial) = (*change, *running, *config_serial);
            let (given_up, stands) = (*given_up, *stands);
            let finished = Finished { outcome, change, running, config_serial, endpoints, given_up, stands };
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
        Event::TargetExcluded { deployment, target, by, reason } => {
            exclude(state, *deployment, target, by.is_some());
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
        Event::RetryOrdered { deployment, targets, by } => {
            retry(state, *deployment, targets);
            guide(state, *deployment, by, GuidanceWord::Retried, targets, None);
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
        Event::HealthChanged { target, app, build, unwell } => health(state, target, app, build, unwell.as_ref()),
        Event::EscapesChanged { target, findings } => {
            let entry = state.head.entry;
            if let Some(target) = state.targets.get_mut(target) {
                target.findings = findings.to_vec();
                target.inventory = Some(entry);
            }
        }
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

/// A target leaves for good.
fn retire(state: &mut State, name: &TargetName, why: Option<Departure>) {
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
        record.parts.change(name, left);
        // What nobody runs any more settles nowhere.
        if record.parts.present() == 0 {
            state.soaking.remove(&number);
        }
    }
    if why.is_some() && lifetime::is_gone(state, &environment) {
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

/// A vendor's build with its number. What is known of it already stays.
fn import(state: &mut State, event: &Event) {
    let Event::ReleaseImported { app, build, version, importer, commit, recipe, facts, word, permit } = event else {
        return;
    };
    let stamp = state.head;
    let of_vendor = heard(state, app, word);
    of_vendor.floor = of_vendor.floor.take().max(permit.floor.clone());
    let record = state.apps.entry(app.clone()).or_default();
    record.versions.entry(version.clone()).or_insert(Numbered { build: *build, stamp });
    let known = record.builds.entry(*build).or_insert_with(|| Build::new(importer, commit, recipe, facts, stamp));
    known.brought_again = known.pruned.take().map(|_| stamp).or(known.brought_again);
    known.version = Some(version.clone());
    known.vendor = Some(Imported { word: word.clone(), permit: permit.clone(), stamp });
}

/// What is known of a vendor, with a word that may be newer.
fn heard<'a>(state: &'a mut State, app: &AppName, word: &VendorWord) -> &'a mut OfVendor {
    let vendors = &mut state.apps.entry(app.clone()).or_default().vendors;
    let first = || OfVendor { word: word.clone(), withdrawals: Vec::new(), floor: None };
    let known = vendors.entry(word.of().id()).or_insert_with(first);
    if word.charter >= known.word.charter {
        known.word = word.clone();
    }
    known
}

/// A deployment that was over before anybody here heard of it. It never stands in the way of one that is open.
fn take_receipt(state: &mut State, event: &Event) {
    let Event::ReceiptTaken {
        report,
        deployment,
        target,
        app,
        environment,
        build,
        version,
        deployer,
        outcome,
        change,
        running,
        config_serial,
        phases,
        endpoints,
        at,
        ..
    } = event
    else {
        return;
    };
    let stamp = state.head;
    state.carried_reports.insert(*report);
    state.last_deployment = *deployment;
    let on_target = state.targets.get(target).and_then(|target| target.apps.get(app));
    let known = on_target.and_then(|on_target| on_target.running.clone());
    let ending = match outcome {
        Outcome::Verified => Ending::Succeeded,
        Outcome::Undone { .. } => Ending::Undone,
        Outcome::Failed { .. } | Outcome::Refused { .. } => Ending::Failed,
    };
    let reason = match outcome {
        Outcome::Verified => None,
        Outcome::Undone { reason, .. } | Outcome::Failed { reason, .. } | Outcome::Refused { reason, .. } => {
            Some(reason.clone())
        }
    };
    let part = Part {
        before: known.as_ref().map(|running| running.build),
        progress: Progress::Finished(outcome.clone()),
        phases: phases.clone(),
        ..Part::default()
    };
    let nobody = || trust::PersonName::new("unknown").unwrap_or_else(|_| unreachable!("a plain name"));
    let record = Deployment {
        app: app.clone(),
        environment: environment.clone(),
        act: OrderAct::Deploy,
        build: *build,
        version: version.clone(),
        deployer: deployer.clone().unwrap_or_else(nobody),
        stamp,
        warnings: Vec::new(),
        parts: vec![(target.clone(), part)].into(),
        rollout: None,
        rings: [].into(),
        ring: 0,
        others: Others::default(),
        narrowed: true,
        schedule: Schedule::default(),
        waves: 1,
        keep_data: false,
        elected: phases.iter().any(|timing| timing.phase == Phase::Migrate).then(|| (target.clone(), Migration::Run)),
        paused: None,
        well_since: None,
        guided: Vector::new(),
        phase: DeploymentPhase::Ended { ending, stamp, settled: None, reason },
        members: OrdMap::new(),
        package: None,
        only: std::collections::BTreeSet::new(),
    };
    state.deployments.insert(*deployment, record);
    forget_old_deployments(state);
    // What is known already may be newer than what a receipt tells that was long on its way.
    if known.as_ref().is_some_and(|known| known.since > *at) {
        return;
    }
    let running = running.map(|build| match known {
        Some(known) if known.build == build && *change != Some(Change::Repeated) => known,
        _ => Running {
            build,
            since: *at,
            deployment: *deployment,
            config_serial: *config_serial,
            endpoints: endpoints.clone(),
            stopped: false,
            unwell: None,
        },
    });
    runs_now(state, target, app, running);
    if *outcome == Outcome::Verified && runs_everywhere(state, *deployment) {
        let builds = &mut state.apps.entry(app.clone()).or_default().builds;
        if let Some(build) = builds.get_mut(build) {
            build.verified_in.entry(environment.clone()).or_insert(*at);
        }
    }
}

/// What a target's report says, less its phases.
struct Finished<'a> {
    outcome: &'a Outcome,
    change: Option<Change>,
    running: Option<Digest>,
    config_serial: u64,
    endpoints: &'a [String],
    given_up: bool,
    stands: bool,
}

fn in_audience<'a>(state: &'a mut State, app: &AppName, audience: &AudienceName) -> &'a mut InAudience {
    state.apps.entry(app.clone()).or_default().audiences.entry(audience.clone()).or_default()
}

/// Derives from the withdrawals that the charter in force does not annul which requests of a version are dead. The others
/// stand as they stood before anything was withdrawn.
fn weigh_withdrawals(state: &mut State, app: &AppName, audience: &AudienceName, version: &Version) {
    let policy = state.policy.clone();
    let record = in_audience(state, app, audience);
    let annulled = |digest: &Digest| policy.as_ref().is_some_and(|policy| policy.charter.annulled.contains(digest));
    let counts =
        |withdrawal: &&Withdrawal| withdrawal.version == *version && !withdrawal.payload.as_ref().is_some_and(annulled);
    let counting: Vec<Withdrawal> = record.withdrawals.iter().filter(counts).cloned().collect();
    match counting.iter().map(|withdrawal| withdrawal.through_serial).max() {
        Some(dead) => record.dead_through.insert(version.clone(), dead),
        None => record.dead_through.remove(version),
    };
    for digest in record.requests.get(version).cloned().unwrap_or_default() {
        let Some(request) = state.requests.get_mut(&digest) else { continue };
        let killer = counting.iter().find(|withdrawal| withdrawal.through_serial >= request.serial);
        request.standing = match (killer, request.granted) {
            (Some(killer), _) => Standing::Withdrawn(killer.stamp),
            (None, Some(granted)) => Standing::Granted(granted),
            (None, None) => Standing::Waiting,
        };
    }
}

fn weigh_all_withdrawals(state: &mut State) {
    let mut withdrawn = std::collections::BTreeSet::new();
    for (app, record) in &state.apps {
        for (audience, record) in &record.audiences {
            let versions = record.withdrawals.iter().map(|withdrawal| &withdrawal.version);
            withdrawn.extend(versions.map(|version| (app.clone(), audience.clone(), version.clone())));
        }
    }
    for (app, audience, version) in withdrawn {
        weigh_withdrawals(state, &app, &audience, &version);
    }
}

fn assign(state: &mut State, deployment: u64, targets: &[TargetName], undo: bool) {
    let stamp = state.head;
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    for name in targets {
        let order = record.parts.get(name).and_then(|part| part.order);
        let generation = stamp.entry;
        let assigned = Assigned { generation, deployment, undo, finished: false, given_up: false, order };
        let (mut before, mut was_stopped) = (None, false);
        if let Some(target) = state.targets.get_mut(name) {
            let on_target = target.apps.entry(record.app.clone()).or_default();
            on_target.assigned = Some(assigned);
            before = on_target.running.as_ref().map(|running| running.build);
            was_stopped = on_target.running.as_ref().is_some_and(|running| running.stopped);
        }
        record.parts.change(name, |part| {
            part.serves = false;
            match undo {
                true => part.progress = Progress::Undoing(stamp),
                false => {
                    (part.before, part.was_stopped) = (before, was_stopped);
                    part.progress = Progress::Assigned(stamp);
                }
            }
        });
    }
}

/// Targets that were given up on are to go back when they return; their parts stay as they ended.
fn leave_word(state: &mut State, deployment: u64, targets: &[TargetName]) {
    let generation = state.head.entry;
    let Some(app) = state.deployments.get(&deployment).map(|record| record.app.clone()) else { return };
    for name in targets {
        if let Some(target) = state.targets.get_mut(name) {
            let on_target = target.apps.entry(app.clone()).or_default();
            let order = None;
            let assigned = Assigned { generation, deployment, undo: true, finished: true, given_up: true, order };
            on_target.assigned = Some(assigned);
        }
    }
}

fn finish_target(
    state: &mut State,
    deployment: u64,
    name: &TargetName,
    finished: &Finished<'_>,
    phases: &[PhaseTiming],
) {
    let stamp = state.head;
    let Some(record) = state.deployments.get(&deployment) else { return };
    let (app, act) = (record.app.clone(), record.act);
    let on_target = state.targets.get_mut(name).map(|target| target.apps.entry(app.clone()).or_default());
    let assigned = on_target.and_then(|on_target| on_target.assigned.as_mut());
    let assigned = assigned.filter(|assigned| assigned.deployment == deployment);
    let goes_back = assigned.as_ref().is_some_and(|assigned| assigned.undo);
    if let Some(assigned) = assigned {
        assigned.finished = true;
        assigned.given_up = finished.given_up;
    }
    let before = state.running(&app, name).cloned();
    let was_stopped = before.as_ref().is_some_and(|running| running.stopped && finished.running == Some(running.build));
    let is_back = |part: &Part| {
        let goes_back = goes_back || matches!(part.progress, Progress::Undoing(_));
        (goes_back && *finished.outcome == Outcome::Verified)
            .then_some(part.was_stopped && finished.running == part.before)
    };
    let back = state.deployments.get(&deployment).and_then(|record| record.parts.get(name)).and_then(is_back);
    let stopped = match (act, finished.outcome) {
        // It is as it was before the deployment.
        _ if back.is_some() => back == Some(true),
        (OrderAct::Stop, Outcome::Verified) => true,
        (OrderAct::Configure, _) => was_stopped,
        (_, outcome) => was_stopped && *outcome != Outcome::Verified,
    };
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    record.parts.change(name, |part| {
        let goes_back = goes_back || matches!(part.progress, Progress::Undoing(_));
        part.progress = match finished.outcome {
            Outcome::Verified if goes_back => Progress::Undone,
            Outcome::Refused { .. } if finished.stands && !goes_back => Progress::Waiting,
            outcome => Progress::Finished(outcome.clone()),
        };
        part.absent = finished.given_up;
        // What nobody has heard of is not taken to serve, nor is what could not go back.
        let is_well = !finished.given_up && !matches!(finished.outcome, Outcome::Failed { .. });
        part.serves = is_well && finished.running.is_some() && !stopped;
        if *finished.outcome == Outcome::Verified && part.aside != Some(Aside::Left) {
            part.aside = None;
        }
        if !goes_back {
            part.unwell = None;
        }
        part.phases.extend(phases.iter().cloned());
    });
    let running = finished.running.map(|build| match before {
        // A target that goes on running the same build has run it since then.
        Some(before) if before.build == build && finished.change != Some(Change::Repeated) => {
            let (config_serial, endpoints) = (finished.config_serial, finished.endpoints.to_vec());
            Running { config_serial, endpoints, stopped, unwell: None, ..before }
        }
        _ => Running {
            build,
            since: stamp.time,
            deployment,
            config_serial: finished.config_serial,
            endpoints: finished.endpoints.to_vec(),
            stopped,
            unwell: None,
        },
    });
    runs_now(state, name, &app, running);
}

/// A target runs this from now on. What was replaced before it settled does not settle any more.
fn runs_now(state: &mut State, name: &TargetName, app: &AppName, running: Option<Running>) {
    let Some(target) = state.targets.get_mut(name) else { return };
    let on_target = target.apps.entry(app.clone()).or_default();
    let before = std::mem::replace(&mut on_target.running, running);
    let by = |running: &Option<Running>| running.as_ref().map(|running| running.deployment);
    if let Some(replaced) = by(&before).filter(|_| by(&before) != by(&on_target.running)) {
        state.soaking.remove(&replaced);
    }
}

/// What people say of a deployment under way stays with it.
fn guide(
    state: &mut State,
    deployment: u64,
    by: &PersonName,
    word: GuidanceWord,
    targets: &[TargetName],
    reason: Option<Digest>,
) {
    let stamp = state.head;
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    record.guided.push_back(Guidance { stamp, by: by.clone(), word, targets: targets.to_vec(), reason });
    if record.guided.len() > policy::GUIDANCE_KEPT {
        record.guided.pop_front();
    }
}

/// A target says how what it runs is. What is unwell does not serve, whatever the deployment that brought it is at.
fn health(state: &mut State, name: &TargetName, app: &AppName, build: &Digest, unwell: Option<&String>) {
    let now = state.head.time;
    let on_target = state.targets.get_mut(name).and_then(|target| target.apps.get_mut(app));
    let running = on_target.and_then(|on_target| on_target.running.as_mut());
    let Some(running) = running.filter(|running| running.build == *build) else { return };
    let since = running.unwell.as_ref().map_or(now, |unwell| unwell.since);
    running.unwell = unwell.map(|reason| Unwell { since, reason: reason.clone() });
    let (serves, brought_by) = (running.serves(), running.deployment);
    let Some(environment) = state.targets.get(name).map(|target| target.environment.clone()) else { return };
    if let Some(record) = state.deployments.get_mut(&brought_by) {
        record.parts.change(name, |part| {
            if part.progress == Progress::Finished(Outcome::Verified) {
                (part.unwell, part.serves) = (unwell.cloned(), serves);
            }
        });
        if record.parts.unwell().next().is_none() {
            record.well_since = Some(now);
        }
    }
    // What is to be replaced counts for as much as it serves.
    let open = in_audience(state, app, &environment).open_deployment.filter(|open| *open != brought_by);
    if let Some(record) = open.and_then(|open| state.deployments.get_mut(&open)) {
        record.parts.change(name, |part| {
            let is_known = match &part.progress {
                Progress::Assigned(_) | Progress::Undoing(_) => false,
                Progress::Finished(outcome) => !part.absent && !matches!(outcome, Outcome::Failed { .. }),
                Progress::Waiting | Progress::Undone => true,
            };
            part.serves = if is_known { serves } else { part.serves };
        });
    }
}

/// What had succeeded and soaks is open again when it goes back.
fn reopen(state: &mut State, deployment: u64) {
    let Some(record) = state.deployments.get(&deployment) else { return };
    let DeploymentPhase::Ended { stamp, .. } = record.phase else { return };
    let Deployment { app, environment, build, .. } = record.clone();
    state.soaking.remove(&deployment);
    state.open_deployments.insert(deployment);
    state.standing.remove(&deployment);
    let installs = |act| matches!(act, OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback);
    let stood_from = |(number, other): (&u64, &Deployment)| {
        let same = *number != deployment && other.app == app && other.environment == environment && !other.narrowed;
        let says_what_stands = installs(other.act) || other.act == OrderAct::Undeploy;
        match other.phase {
            DeploymentPhase::Ended { ending: Ending::Succeeded, stamp, .. } if same && says_what_stands => {
                Some((stamp.entry, *number, other.act))
            }
            _ => None,
        }
    };
    // What stood before it stands again, unless that was to run nothing. What was planned may end after what has a higher
    // number.
    let before = state.deployments.iter().filter_map(stood_from).max_by_key(|(entry, number, _)| (*entry, *number));
    let before = before.filter(|(_, _, act)| installs(*act)).map(|(_, number, _)| number);
    state.standing.extend(before);
    let here = in_audience(state, &app, &environment);
    (here.open_deployment, here.standing) = (Some(deployment), before);
    if let Some(build) = state.apps.get_mut(&app).and_then(|record| record.builds.get_mut(&build))
        && build.verified_in.get(&environment) == Some(&stamp.time)
    {
        build.verified_in.remove(&environment);
    }
}

fn note_abort(state: &mut State, deployment: u64, aborted: Option<&Aborted>) {
    if let Some(Aborted { by, reason }) = aborted {
        guide(state, deployment, by, GuidanceWord::Aborted, &[], *reason);
    }
}

/// A target is left out. If it is at it already, it may have switched all the same: what it says later is heard.
fn exclude(state: &mut State, deployment: u64, name: &TargetName, by_somebody: bool) {
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    let is_busy = |part: &Part| matches!(part.progress, Progress::Assigned(_));
    let was_busy = record.parts.get(name).is_some_and(is_busy);
    record.parts.change(name, |part| {
        part.aside = Some(if by_somebody { Aside::Excluded } else { Aside::Cordoned });
        part.absent |= was_busy;
    });
    let on_target = state.targets.get_mut(name).and_then(|target| target.apps.get_mut(&record.app));
    let assigned = on_target.and_then(|on_target| on_target.assigned.as_mut());
    if let Some(assigned) = assigned.filter(|assigned| assigned.deployment == deployment && was_busy) {
        (assigned.finished, assigned.given_up) = (true, true);
    }
}

/// Targets wait for their turn again, by the order of this entry. Where the deployment is over, it is their turn at once.
fn retry(state: &mut State, deployment: u64, targets: &[TargetName]) {
    let order = Some(state.head.entry);
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    for name in targets {
        record.parts.change(name, |part| {
            (part.order, part.aside, part.absent) = (order, None, false);
            part.progress = Progress::Waiting;
        });
    }
    // Who asks for another try has looked at what went wrong.
    if record.paused.as_ref().is_some_and(|pause| pause.failure.is_some()) {
        record.paused = None;
    }
    match record.phase {
        DeploymentPhase::Baking(_) => record.phase = DeploymentPhase::Running,
        DeploymentPhase::Ended { .. } => assign(state, deployment, targets, false),
        _ => {}
    }
}

fn end_deployment(state: &mut State, deployment: u64, ending: Ending, why: &Option<String>, by: Option<u64>) {
    let stamp = state.head;
    state.open_deployments.remove(&deployment);
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    let reason = match (&record.phase, by) {
        (_, Some(by)) => Some(format!("deployment {by} took its place before it began")),
        (DeploymentPhase::Undoing { reason }, None) => Some(reason.clone()),
        _ => why.clone(),
    };
    let has_failed = record.parts.bad().any(|(_, outcome)| !matches!(outcome, Outcome::Refused { .. }))
        || record.parts.iter().any(|(_, part)| part.unwell.is_some());
    record.phase = DeploymentPhase::Ended { ending, stamp, settled: None, reason };
    record.paused = None;
    let Deployment { app, environment, act, build, narrowed, .. } = record.clone();
    let whole = runs_everywhere(state, deployment);
    let is_of_package = record_is_of_package(state, deployment);
    let installs = matches!(act, OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback);
    if ending == Ending::Succeeded && installs && !is_of_package && brought_all(state, deployment) {
        state.soaking.insert(deployment);
    }
    let app_record = state.apps.entry(app.clone()).or_default();
    let here = app_record.audiences.entry(environment.clone()).or_default();
    here.open_deployment = here.open_deployment.filter(|open| *open != deployment);
    let is_for_all = ending == Ending::Succeeded && !narrowed;
    if is_for_all && (installs || act == OrderAct::Undeploy) {
        let stands = installs.then_some(deployment);
        if let Some(stood) = std::mem::replace(&mut here.standing, stands) {
            state.standing.remove(&stood);
        }
        state.standing.extend(stands);
    }
    match ending {
        Ending::Succeeded if installs => drop(here.failed.remove(&build)),
        Ending::Undone | Ending::Failed if installs && has_failed => drop(here.failed.insert(build, deployment)),
        _ => {}
    }
    if ending == Ending::Succeeded
        && whole
        && installs
        && let Some(build) = app_record.builds.get_mut(&build)
    {
        build.verified_in.entry(environment.clone()).or_insert(stamp.time);
    }
    if is_for_all && installs && !is_of_package {
        let names: Vec<TargetName> = state.targets_in(&environment).map(|(name, _)| name.clone()).collect();
        for name in names {
            let has_missed = late::missed(state, &name, &app).is_some();
            let late = (name, app.clone());
            if has_missed {
                state.late.insert(late);
            } else {
                state.late.remove(&late);
            }
        }
    }
}

/// A target that came, or may take part again, may have missed what stands in its environment.
fn comes_late(state: &mut State, name: &TargetName) {
    let missed = state.apps.keys().filter(|app| late::missed(state, name, app).is_some());
    let missed: Vec<_> = missed.map(|app| (name.clone(), app.clone())).collect();
    state.late.extend(missed);
}

fn record_is_of_package(state: &State, deployment: u64) -> bool {
    state.deployments.get(&deployment).is_some_and(Deployment::is_of_package)
}

/// Whether all that is running on the targets that verified a deployment was brought by it.
fn brought_all(state: &State, deployment: u64) -> bool {
    let Some(record) = state.deployments.get(&deployment) else { return false };
    let brought = |name: &TargetName| state.running(&record.app, name).map(|running| running.deployment);
    record.parts.verified().all(|name| brought(name) == Some(deployment))
}

/// Whether every target that the build is for in the environment runs it: what a deployment of a part does not reach. What
/// a deployment left out within its budget does not matter: the charter says that so many may be missing.
fn runs_everywhere(state: &State, deployment: u64) -> bool {
    let Some(Deployment { app, environment, build, parts, members, .. }) = state.deployments.get(&deployment) else {
        return false;
    };
    let Some(record) = state.apps.get(app).and_then(|record| record.builds.get(build)) else { return false };
    let member_runs = |(name, part): (&AppName, &MemberPart)| match (part, record.facts.package.get(name)) {
        (MemberPart::Begun(number), _) => runs_everywhere(state, *number),
        (_, Some(member)) => build_runs_everywhere(state, name, &member.build, environment, None),
        (_, None) => false,
    };
    match members.is_empty() {
        true => build_runs_everywhere(state, app, build, environment, Some(parts)),
        false => members.iter().all(member_runs),
    }
}

/// Whether every target that a build is for runs it, but for those that `parts` say may be missing.
fn build_runs_everywhere(
    state: &State,
    app: &AppName,
    build: &Digest,
    environment: &AudienceName,
    parts: Option<&Parts>,
) -> bool {
    let Some(record) = state.apps.get(app).and_then(|record| record.builds.get(build)) else { return false };
    let fitting = |(name, target): &(&TargetName, &Target)| {
        let may_be_missing = parts.and_then(|parts| parts.get(name)).is_some_and(|part| match &part.progress {
            Progress::Finished(outcome) => *outcome != Outcome::Verified,
            _ => part.aside.is_some(),
        });
        let counts = !may_be_missing && !target.cordoned && !target.ephemeral;
        counts && crate::rules::placement::fits(&record.facts, target)
    };
    let runs = |(_, target): (&TargetName, &Target)| {
        let running = target.apps.get(app).and_then(|on_target| on_target.running.as_ref());
        running.is_some_and(|running| running.build == *build)
    };
    state.targets_in(environment).filter(fitting).all(runs)
}

fn settle(state: &mut State, deployment: u64) {
    let stamp = state.head;
    state.soaking.remove(&deployment);
    let Some(record) = state.deployments.get_mut(&deployment) else { return };
    if let DeploymentPhase::Ended { settled, .. } = &mut record.phase {
        *settled = Some(stamp);
    }
    let Deployment { app, environment, build, .. } = record.clone();
    let record = in_audience(state, &app, &environment);
    record.settled.retain(|settled| *settled != build);
    record.settled.push(build);
    while record.settled.len() > policy::SETTLED_KEPT {
        record.settled.remove(0);
    }
}

/// Freezes that have long been over make room; what they were stands in the ledger.
fn forget_old_freezes(state: &mut State) {
    let kept = jiff::SignedDuration::from_hours(24 * policy::FREEZES_KEPT_DAYS);
    let long_ago = state.head.time.saturating_sub(kept).unwrap_or(Timestamp::MIN);
    let over = state.freezes.iter().filter(|(_, freeze)| freeze.known.terms.until < long_ago);
    let over: Vec<Digest> = over.map(|(freeze, _)| *freeze).collect();
    over.iter().for_each(|freeze| drop(state.freezes.remove(freeze)));
}

/// Closed deployments leave the state after a while; the ledger keeps them all.
fn forget_old_deployments(state: &mut State) {
    while state.deployments.len() > policy::DEPLOYMENTS_KEPT + state.open_deployments.len() + state.standing.len() {
        let is_needed = |number: &u64| {
            let package = state.deployments.get(number).and_then(|record| record.package.as_ref());
            let is_open = |number: &u64| state.open_deployments.contains(number);
            is_open(number)
                || state.standing.contains(number)
                || package.is_some_and(|package| is_open(&package.deployment))
        };
        let oldest_closed = state.deployments.keys().find(|number| !is_needed(number)).copied();
        match oldest_closed {
            Some(number) => {
                state.soaking.remove(&number);
                state.deployments.remove(&number)
            }
            None => return,
        };
    }
}
