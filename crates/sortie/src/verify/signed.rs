//! Whether what happened is what somebody signed for, in every fact that the statement names.

use domain::{
    event::{Departure, Event},
    state::State,
};
use trust::{
    Digest, PersonName,
    freeze::Freeze,
    key::KeyId,
    names::printable,
    rollout::Rollout,
    statement::{Act, AdministrationAct, Statement},
};

/// A statement whose signatures are genuine.
pub(super) struct Signed<'a> {
    pub(super) statement: &'a Statement,
    pub(super) payload: Digest,
    pub(super) actor: &'a str,
    pub(super) signers: Vec<KeyId>,
    /// What was so before it.
    pub(super) state: &'a State,
}

impl Signed<'_> {
    /// Whether the event is what the statement asks for, in every fact that the statement names.
    pub(super) fn asks_for(&self, event: &Event) -> bool {
        let subject = &self.statement.subject;
        let by_actor = |person: &PersonName| person.as_str() == self.actor;
        match (&self.statement.act, event) {
            (Act::Push(a), Event::BuildPushed { app, build, pusher, commit, recipe, .. }) => {
                a.app == *app && subject == build && by_actor(pusher) && a.commit == *commit && a.recipe == *recipe
            }
            (Act::Number(a), Event::BuildNumbered { app, build, version }) => {
                a.app == *app && subject == build && a.version == *version
            }
            (Act::Evidence(a), Event::EvidenceAttached { app, build, kind, passed, document, issuer, key, .. }) => {
                let same = a.app == *app && subject == build && a.kind == *kind && a.passed == *passed;
                let Event::EvidenceAttached { predicate, facts, issued, payload, .. } = event else { return false };
                let predicate_same = a.predicate.as_deref().map(printable) == *predicate;
                let said = payload.is_none_or(|payload| payload == self.payload);
                same && predicate_same
                    && said
                    && a.facts == *facts
                    && a.issued == *issued
                    && a.document == *document
                    && by_actor(issuer)
                    && self.signers.contains(key)
            }
            (Act::Review(a), Event::EmergencyReviewed { request, app, version, audience, reviewer, finding, .. }) => {
                let same = a.app == *app && a.version == *version && a.audience == *audience && subject == request;
                same && a.finding == *finding && by_actor(reviewer)
            }
            (Act::Request(_), Event::ReleaseRequested { .. }) => self.requests(event),
            (Act::Approval(_), Event::RequestApproved { request, approver, key }) => {
                subject == request && by_actor(approver) && self.signers.contains(key)
            }
            (
                Act::Withdrawal(a),
                Event::PermissionWithdrawn { app, version, build, audience, through_serial, reason, payload, .. },
            ) => {
                let same = a.app == *app && a.version == *version && subject == build && a.audience == *audience;
                let said = payload.is_none_or(|payload| payload == self.payload);
                same && a.through_serial == *through_serial && a.reason == *reason && said
            }
            (
                Act::Order(a),
                Event::DeploymentRequested { app, environment, act, build, targets, deployer, schedule, .. },
            ) => {
                let same = a.app == *app && a.environment == *environment && a.act == *act && subject == build;
                let Event::DeploymentRequested { rollout, keep_data, .. } = event else { return false };
                // A rollback and what brings nothing new leave out some of what a rollout says.
                let said = |rollout: &Rollout| !act.deploys() || rollout.with(&a.rollout) == *rollout;
                let same = same
                    && a.keep_data == *keep_data
                    && a.retries.is_none()
                    && a.reason.is_none()
                    && rollout.as_deref().map_or(a.rollout.is_empty(), said);
                let meant = a.only.is_empty() || targets.iter().all(|target| a.only.contains(target));
                let Event::DeploymentRequested { package: None, only, .. } = event else { return false };
                // An order for a package names targets for its members.
                let meant = meant && if targets.is_empty() { a.only == *only } else { only.is_empty() };
                same && meant && by_actor(deployer) && a.schedule == *schedule
            }
            (Act::Order(a), Event::RetryOrdered { deployment, targets, by, reason }) => {
                a.retries == Some(*deployment) && targets.iter().eq(&a.only) && a.reason == *reason && by_actor(by)
            }
            (Act::Config(a), Event::ConfigSet { app, environment, serial, document, keys, recipients }) => {
                let same = a.app == *app && a.environment == *environment && a.serial == *serial;
                same && subject == document && a.keys == *keys && a.recipients == *recipients
            }
            (Act::Freeze(Freeze::Declare(a)), Event::FreezeDeclared { freeze, terms, by, .. }) => {
                a == terms && *freeze == self.payload && by_actor(by)
            }
            (Act::Freeze(Freeze::Lift(a)), Event::FreezeLifted { freeze, reason, by, .. }) => {
                freeze == subject && a.reason == *reason && by_actor(by)
            }
            (Act::Freeze(Freeze::Except(a)), Event::FreezeExcepted { freeze, app, version, build, reason, by, .. }) => {
                let same = a.freeze == *freeze && a.app == *app && a.version == *version && subject == build;
                same && a.reason == *reason && by_actor(by)
            }
            (
                Act::Enrolment(a),
                Event::TargetEnrolled { target, environment, invitation, key, recipient, facts, .. },
            ) => {
                let same = a.target == *target && a.environment == *environment && a.facts == *facts;
                same && a.invitation == *invitation && a.key == *key && printable(&a.recipient) == *recipient
            }
            (
                Act::Report(a),
                Event::TargetFinished {
                    deployment, target, outcome, running, config_serial, way, doubt, change, ..
                },
            ) => {
                // As with reasons; and what goes back leaves nothing to look at.
                let doubted = a.doubt.is_some() == doubt.is_some() || change.is_none() && doubt.is_none();
                let same = a.deployment == *deployment && a.target == *target && a.running == *running;
                // Reasons are shortened when they are recorded; what kind of end it was is not.
                let kind = std::mem::discriminant(&a.outcome) == std::mem::discriminant(outcome);
                same && kind && doubted && a.config_serial == *config_serial && a.way == *way
            }
            (Act::Part(a), Event::PartAdded { app, draft, part, manifest, pusher, commit, .. }) => {
                let what = a.app == *app && a.draft == *draft && a.part == *part && a.commit == *commit;
                what && self.statement.subject == *manifest && by_actor(pusher)
            }
            (Act::Inventory(a), Event::EscapesChanged { target, findings }) => {
                a.target == *target && a.findings.is_empty() == findings.is_empty()
            }
            (Act::Inventory(a), Event::TargetRunsOtherwise { target, app, build }) => {
                a.target == *target && a.active.get(app) == build.as_ref()
            }
            (Act::Enrolment(a), Event::TargetRunsOtherwise { target, app, build }) => {
                a.target == *target && build.is_some() && a.active.get(app) == build.as_ref()
            }
            (Act::Inventory(a), Event::TargetRetired { target, why: Some(Departure::Lapsed) }) => {
                a.target == *target && a.lapsed.is_some() && a.active.is_empty() && a.findings.is_empty()
            }
            (Act::Inventory(a), Event::FactsChanged { target, facts }) => {
                // Long texts are shortened when they are recorded; numbers stand as they were told.
                let told = a.facts.as_ref().is_some_and(|told| told.memory_bytes == facts.memory_bytes);
                a.target == *target && told
            }
            (Act::Health(a), Event::HealthChanged { target, app, unwell, unclear, .. }) => {
                let said = a.unwell.get(app).map(|unwell| unwell.unclear);
                a.target == *target && said == unwell.as_ref().map(|_| *unclear)
            }
            (Act::Administration(a), Event::TokenCreated { holder, .. }) => {
                by_actor(holder) && administers(&a.act, event)
            }
            (Act::Administration(a), event) => self.guides(&a.act, event) || administers(&a.act, event),
            _ => false,
        }
    }

    fn requests(&self, event: &Event) -> bool {
        let (Act::Request(a), Event::ReleaseRequested { request, app, version, build, audience, serial, .. }) =
            (&self.statement.act, event)
        else {
            return false;
        };
        let Event::ReleaseRequested { requires, not_before, not_after, floor, requester, way, reason, .. } = event
        else {
            return false;
        };
        let what =
            a.app == *app && a.version == *version && self.statement.subject == *build && *request == self.payload;
        let how = a.audience == *audience && a.serial == *serial && a.requires == *requires && a.floor == *floor;
        let how = how && a.way == *way && a.reason == *reason;
        what && how && a.not_before == *not_before && a.not_after == *not_after && requester.as_str() == self.actor
    }

    /// Whether it is what somebody said of a deployment under way, or of the package whose member that is.
    fn guides(&self, act: &AdministrationAct, event: &Event) -> bool {
        use AdministrationAct as A;
        let concerns = |said: &u64, number: &u64| {
            let package = self.state.deployments.get(number).and_then(|record| record.package.as_ref());
            said == number || package.is_some_and(|package| package.deployment == *said)
        };
        match (act, event) {
            (
                A::PauseDeployment { deployment, reason },
                Event::DeploymentPaused { deployment: d, by: Some(_), reason: Some(r), .. },
            ) => concerns(deployment, d) && reason == r,
            (A::ResumeDeployment { deployment, reason }, Event::DeploymentResumed { deployment: d, reason: r, .. }) => {
                concerns(deployment, d) && reason == r
            }
            (
                A::ExcludeTarget { deployment, target, reason },
                Event::TargetExcluded { deployment: d, target: t, by: Some(_), reason: Some(r), away: false },
            ) => concerns(deployment, d) && (target, reason) == (t, r),
            _ => false,
        }
    }
}

fn administers(act: &AdministrationAct, event: &Event) -> bool {
    use AdministrationAct as A;
    match (act, event) {
        (A::ApplyCharter { targets, charter, .. }, Event::CharterApplied { targets: t, charter: text, .. }) => {
            targets == t && *charter == Digest::of(text.as_bytes())
        }
        (
            A::InviteTarget { invitation, environment, labels, name, uses, expires, ephemeral },
            Event::TargetInvited {
                invitation: i,
                environment: e,
                labels: l,
                name: n,
                uses: u,
                expires: x,
                ephemeral: g,
            },
        ) => (invitation, environment, labels, name, uses, expires, ephemeral) == (i, e, l, n, u, x, g),
        (A::CreateToken { token, name, expires }, Event::TokenCreated { token: t, name: n, expires: e, .. }) => {
            (token, name, expires) == (t, n, e)
        }
        (A::RevokeToken { token }, Event::TokenRevoked { token: t, .. }) => token == t,
        (A::LabelTarget { target, .. }, Event::TargetLabelled { target: t, .. })
        | (A::RetireTarget { target }, Event::TargetRetired { target: t, why: None }) => target == t,
        (A::CordonTarget { target, cordoned, reason }, Event::TargetCordoned { target: t, cordoned: c, reason: r }) => {
            (target, cordoned, reason) == (t, c, r)
        }
        (A::SuspendPerson { person }, Event::PersonSuspended { person: p })
        | (A::ErasePerson { person }, Event::PersonErased { person: p }) => person == p,
        (A::NamePerson { person, name }, Event::PersonNamed { person: p, name: n }) => (person, name) == (p, n),
        (A::PutRecoveryKeyAway { key }, Event::RecoveryKeyPutAway { key: k, .. }) => key == k,
        (A::SealDraft { app, draft, build }, Event::DraftSealed { app: a, draft: d, build: b }) => {
            (app, draft, build) == (a, d, b)
        }
        (A::DiscardDraft { app, draft }, Event::DraftDiscarded { app: a, draft: d }) => (app, draft) == (a, d),
        (A::RetireApp { app }, Event::AppRetired { app: a }) => app == a,
        (A::PruneBuilds { app, builds }, Event::BuildPruned { app: a, builds: gone }) => {
            app == a && gone.iter().all(|build| builds.contains(build))
        }
        (
            A::LiftHold { app, environment, build, reason },
            Event::HoldLifted { app: a, environment: e, build: b, reason: r },
        ) => (app, environment, build, reason) == (a, e, b, r),
        (
            A::Expose { app, environment, version, percent },
            Event::ExposureChanged { app: a, environment: e, version: v, percent: p },
        ) => (app, environment, version, percent) == (a, e, v, p),
        _ => false,
    }
}
