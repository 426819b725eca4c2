//! How an assignment ended: one write decides it, one report tells it.

use super::{Engine, EngineError, Session};
use crate::{
    drivers::Machine,
    journal::{Failure, Journal, LastDeployment, LastState, MigrationStage, UnderWay, Unreported},
    step::Last,
    supply::{Supply, SupplyError},
};
use api::agent::ProgressReport;
use domain::{
    plan::{Assignment, Migration},
    policy::CARRIED_FROM,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use trust::{
    AppName, Digest,
    dsse::Envelope,
    key::SecretKey,
    names::printable,
    statement::{
        Act, Carried, Header, OrderAct, Outcome, Phase, PhaseTiming, Report, RequestId, Statement, StatementSignError,
    },
};

/// For how long a report may be submitted: less than the day the server allows, for clocks differ.
const REPORT_WITHIN: SignedDuration = SignedDuration::from_hours(12);
/// The longest reason in a report, in characters.
const REASON_CHARACTERS: usize = 500;
/// How many digits of a digest tell the reports of one target apart.
const REPORT_ID_DIGITS: usize = 32;

impl<S: Supply, M: Machine> Engine<S, M> {
    /// Decides the outcome: one write says what is active from now on and what has to be reported.
    pub(super) fn close(
        &mut self,
        mut journal: Journal,
        offered: Option<&Assignment>,
        outcome: Outcome,
        session: &mut Session,
    ) -> Result<(), EngineError> {
        let under_way = journal.under_way.take();
        let assignment = under_way.as_ref().map(|under_way| &under_way.assignment).or(offered).cloned();
        let Some(assignment) = assignment else {
            return Err(EngineError::Journal(journal.app, "an outcome of nothing"));
        };
        let app = journal.app.clone();
        let outcome = shortened(outcome);
        let order = under_way.as_ref().and_then(|under_way| under_way.dossier.order.as_ref());
        let order = order.map(|envelope| Digest::of(&envelope.payload));
        let (mut phases, mut doubt) = (Vec::new(), None);
        if let Some(under_way) = under_way {
            doubt = self.leave_behind(&mut journal, under_way, &outcome, session);
            phases = std::mem::take(&mut session.timings);
        } else if assignment.undo && has_migrated(&journal, assignment.deployment) {
            // It went back by itself and nobody may have heard why: that the data is as the migration left it is said again.
            phases.push(PhaseTiming { phase: Phase::Migrate, started: self.now(), milliseconds: 0 });
        }
        // What was refused may be made up, and with it its generation: that must not outrank a genuine one. Nor may one
        // that came by a bundle outrank the server's, which are numbered apart.
        if !matches!(outcome, Outcome::Refused { .. }) && assignment.generation < CARRIED_FROM {
            (journal.epoch, journal.generation) = (assignment.epoch, assignment.generation);
        }
        // Where going back failed, what is there is said, and not what should be.
        let active = journal.active.as_ref();
        let running = match outcome {
            Outcome::Failed { .. } => self.machine().current(&app),
            _ => self.running(&journal),
        };
        let report = Report {
            target: self.documents.pinned().target.clone(),
            app: app.clone(),
            epoch: assignment.epoch,
            generation: assignment.generation,
            deployment: assignment.deployment,
            outcome,
            running,
            config_serial: active.and_then(|active| active.config).map_or(0, |(serial, _)| serial),
            phases,
            endpoints: journal.endpoints.clone(),
            carried: self.supply.bundle().zip(order).map(|(bundle, order)| Carried { bundle, order }),
            way: active.and_then(|active| active.authority.parse().ok()).unwrap_or_default(),
            standby: active.is_some_and(|active| active.standby),
            doubt,
        };
        tracing::info!(%app, deployment = assignment.deployment, outcome = ?report.outcome, "decided");
        let (build, epoch) = (assignment.build, assignment.epoch);
        journal.unreported = Some(Unreported { report, build, epoch, signings: 0, signed: None });
        self.journals.save(journal)?;
        self.discard(&app);
        Ok(())
    }

    /// What the journal says is there once an assignment that was begun is over; and what could not be told of it, if anything.
    fn leave_behind(
        &mut self,
        journal: &mut Journal,
        under_way: UnderWay,
        outcome: &Outcome,
        session: &mut Session,
    ) -> Option<String> {
        let assignment = &under_way.assignment;
        let touched = under_way.phase.touches() || under_way.undoing.is_some();
        let went_back = under_way.undoing.is_some();
        let mut doubt = None;
        // What was laid out and not activated stays, so that the next try has it already (R27).
        if assignment.act.installs() {
            let is_staged = !touched && self.machine().is_staged(&journal.app, &assignment.build);
            journal.staged = is_staged.then_some(assignment.build);
        }
        if *outcome == Outcome::Verified && !went_back && touched {
            if let Some(next) = under_way.next.as_ref().filter(|next| !next.stopped) {
                journal.verify(next.build);
            }
            journal.active = under_way.next.clone();
            doubt = session.doubt.take().map(short);
            if let Some(active) = &mut journal.active {
                active.doubted = doubt.is_some() && !active.stopped;
            }
            journal.endpoints = std::mem::take(&mut session.endpoints);
        } else if went_back {
            let could_not_leave = matches!(outcome, Outcome::Failed { .. }) && assignment.act == OrderAct::Switch;
            // What was told to leave service again and could not may go on serving: nothing new comes to it.
            let serves_on = under_way.next.as_ref().filter(|next| could_not_leave && !next.standby);
            journal.active = serves_on.or(under_way.before.as_ref()).cloned();
            journal.endpoints = std::mem::take(&mut session.endpoints);
        }
        if touched && !assignment.act.controls() {
            let state = if went_back { LastState::Undone } else { LastState::Open };
            let deployment = assignment.deployment;
            let done = under_way.migrating.filter(|migrating| migrating.stage == MigrationStage::Done);
            let migrated = done.map(|migrating| migrating.migration);
            let stuck = match outcome.clone() {
                Outcome::Failed { phase, reason } if went_back => Some(Failure { phase, reason }),
                _ => None,
            };
            journal.last = Some(LastDeployment { deployment, before: under_way.before, state, migrated, stuck });
        }
        doubt
    }

    /// Removes releases that nothing goes back to. What cannot be removed now is removed after the next deployment.
    pub(super) fn discard(&mut self, app: &AppName) {
        let journal = self.journals.get(app);
        let needed = journal.needed();
        let keep: Vec<Digest> = journal.kept().into_iter().collect();
        let configs: Vec<(u64, Digest)> = needed.iter().filter_map(|active| active.config).collect();
        let discarded = match self.machine().discard(app, &keep) {
            Ok(discarded) => discarded,
            Err(error) => return tracing::warn!(%app, %error, "cannot remove old releases"),
        };
        if let Err(error) = self.home.forget(app, &discarded, &configs) {
            tracing::warn!(%app, %error, "cannot remove what old releases ran with");
        }
    }

    /// Sends the outcome, signed once for as long as that signature is good, until the server has answered.
    pub(super) fn report(&mut self, mut journal: Journal) -> Result<(), ReportError> {
        let app = journal.app.clone();
        let Some(unreported) = &mut journal.unreported else { return Ok(()) };
        let now = self.now();
        let good = |(until, _): &(Timestamp, Envelope)| now < *until;
        let envelope = match unreported.signed.as_ref().filter(|signed| good(signed)) {
            Some((_, envelope)) => envelope.clone(),
            None => {
                unreported.signings += 1;
                let until = now.checked_add(REPORT_WITHIN).unwrap_or(Timestamp::MAX);
                let envelope = sign_report(unreported, self.documents.pinned().estate, until, &self.key)?;
                unreported.signed = Some((until, envelope.clone()));
                self.journals.save(journal.clone()).map_err(EngineError::from)?;
                envelope
            }
        };
        match self.supply.submit(&envelope) {
            Ok(()) => {}
            // It was heard before, or a newer assignment has made it pointless: either way it is answered.
            Err(SupplyError::Refused { code, .. }) if is_answered(&code) => {}
            // This machine's clock or the server's is wrong, or the id was spent on another report, so that this one was
            // never heard: the next signing may fare better, and has an id of its own.
            Err(SupplyError::Refused { code, message })
                if ["STATEMENT_EXPIRED", "REQUEST_ID_REUSED"].contains(&code.as_str()) =>
            {
                if let Some(unreported) = &mut journal.unreported {
                    unreported.signed = None;
                }
                self.journals.save(journal).map_err(EngineError::from)?;
                return Err(ReportError::Unsent(SupplyError::Refused { code, message }));
            }
            Err(error) => return Err(ReportError::Unsent(error)),
        }
        journal.unreported = None;
        self.journals.save(journal).map_err(EngineError::from)?;
        tracing::debug!(%app, "the outcome is acknowledged");
        Ok(())
    }

    pub(super) fn tell(&self, under_way: &UnderWay, last: &Last) {
        if let Last::Done(phase) = last {
            self.note(under_way, *phase, true, String::new());
        }
    }

    pub(super) fn note(&self, under_way: &UnderWay, phase: Phase, done: bool, note: String) {
        self.supply.tell(ProgressReport {
            deployment: under_way.assignment.deployment,
            target: self.documents.pinned().target.clone(),
            phase,
            done,
            note,
            time: self.now(),
            stuck: false,
        });
    }

    /// Tells why what was assigned cannot be carried on with: the server hears of this target all the time, and would else
    /// not know what keeps it.
    pub(super) fn tell_stuck(&self, app: &AppName, offered: Option<&Assignment>, error: &dyn std::error::Error) {
        let journal = self.journals.get(app);
        let under_way = journal.under_way.as_ref();
        let phase = under_way.map_or(Phase::Check, |under_way| under_way.phase);
        let begun = under_way.map(|under_way| under_way.assignment.deployment);
        let unreported = journal.unreported.as_ref().map(|unreported| unreported.report.deployment);
        let offered = offered.map(|offered| offered.deployment);
        let deployments: BTreeSet<u64> = [begun, unreported, offered].into_iter().flatten().collect();
        for deployment in deployments {
            self.supply.tell(ProgressReport {
                deployment,
                target: self.documents.pinned().target.clone(),
                phase,
                done: false,
                note: short(error.to_string()),
                time: self.now(),
                stuck: true,
            });
        }
    }
}

/// Refusals of a report that no repetition would change.
pub(super) fn is_answered(code: &str) -> bool {
    matches!(code, "REPORT_STALE" | "ALREADY_DONE" | "UNKNOWN_DEPLOYMENT" | "DEPLOYMENT_OVER" | "INVALID")
}

pub(super) enum ReportError {
    Unsent(SupplyError),
    Engine(EngineError),
}

impl From<EngineError> for ReportError {
    fn from(error: EngineError) -> Self {
        ReportError::Engine(error)
    }
}

pub(super) fn sign_report(
    unreported: &Unreported,
    estate: Digest,
    until: Timestamp,
    key: &SecretKey,
) -> Result<Envelope, EngineError> {
    let report = &unreported.report;
    let id = request_id(&report.app, unreported.epoch, report.generation, unreported.signings);
    let request_id = RequestId::new(id).map_err(StatementSignError::from)?;
    let statement = Statement {
        subject_name: format!("{}#{}", report.app, unreported.build.short()),
        subject: unreported.build,
        header: Header { estate, request_id, submit_before: until, on_behalf_of: None },
        act: Act::Report(report.clone()),
    };
    Ok(statement.sign(&[key])?)
}

/// Derived, so that a repetition is one; counted, because other bytes under one id would be a conflict. One generation may
/// bring several members of a package, so the application is in it; digested, for an id is short and names need not be.
fn request_id(app: &AppName, epoch: u64, generation: u64, signings: u32) -> String {
    let about = Digest::of(format!("{app}:{epoch}:{generation}").as_bytes()).hex();
    format!("report:{}:{signings}", &about[..REPORT_ID_DIGITS])
}

/// Whether what the target did last was this deployment, and it migrated the data.
fn has_migrated(journal: &Journal, deployment: u64) -> bool {
    let last = journal.last.as_ref().filter(|last| last.deployment == deployment);
    last.is_some_and(|last| last.migrated == Some(Migration::Run))
}

pub(super) fn shortened(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Verified => Outcome::Verified,
        Outcome::Undone { phase, reason } => Outcome::Undone { phase, reason: short(reason) },
        Outcome::Failed { phase, reason } => Outcome::Failed { phase, reason: short(reason) },
        Outcome::Refused { code, reason } => Outcome::Refused { code, reason: short(reason) },
    }
}

fn short(reason: String) -> String {
    printable(&reason.chars().take(REASON_CHARACTERS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members of a package that go side by side are begun by one entry, and have its number as their generation.
    #[test]
    fn two_applications_that_one_entry_brings_are_reported_under_two_ids() {
        let id = |app: &str, signings| request_id(&AppName::new(app).unwrap(), 1, 7, signings);
        assert_ne!(id("web", 1), id("db", 1));
        assert_ne!(id("web", 1), id("web", 2));
        assert_eq!(id("web", 1), id("web", 1), "a repetition is one");
        RequestId::new(id("web", u32::MAX)).unwrap();
    }
}
