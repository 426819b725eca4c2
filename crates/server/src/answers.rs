//! What agents and submitters are answered, without HTTP: for the handlers, and for whoever brings messages in another way.

use crate::{
    http::{failure::Failure, reads},
    intake,
    ledger::{Ledger, Prepared, SubmitError},
    views,
};
use api::{
    agent::Orders,
    problem::Problem,
    read::Estate,
    write::{Attachment, Submission},
};
use axum::http::StatusCode;
use depot::DiskStore;
use domain::{plan, refusal::Refusal, state::State};
use jiff::Timestamp;
use trust::{
    AppName, Digest, TargetName,
    authority::Dossier,
    dsse::Envelope,
    tuf::{MAX_ROOT_BYTES, MAX_TARGETS_BYTES},
};

/// What answers are made from.
#[derive(Clone, Copy)]
pub struct Served<'a> {
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The depot.
    pub depot: &'a DiskStore,
    /// The digest of the one-time claim, while there is one.
    pub claim: Option<Digest>,
}

impl Served<'_> {
    /// Whether `given` is the claim. Digests are compared, so that the time it takes says nothing about the claim.
    pub(crate) fn is_claim(&self, given: &str) -> bool {
        self.claim.is_some_and(|claim| claim == Digest::of(given.trim().as_bytes()))
    }

    /// Verifies a submission and makes the command of it, for [`Ledger::submit`].
    pub fn prepare(&self, submission: Submission, now: Timestamp) -> Result<Prepared, Box<Problem>> {
        intake::prepare(self, submission, now).map_err(Box::<Problem>::from)
    }

    /// The documents of trust in force.
    pub fn estate(&self) -> Result<Estate, Box<Problem>> {
        estate_of(self).map_err(Box::<Problem>::from)
    }

    /// What a target is told when it asks: its assignments, the withdrawals and freezes that concern it, the newest
    /// checkpoint.
    pub fn orders(&self, target: &TargetName) -> Result<Orders, Box<Problem>> {
        let state = self.ledger.state();
        let mut orders = orders_of(self.ledger, &state, target);
        let entries = views::targets::withdrawals(&state, target);
        let envelopes: Result<Vec<_>, Failure> = entries.iter().map(|entry| envelope(self.ledger, *entry)).collect();
        orders.withdrawals = envelopes?.into_iter().flatten().collect();
        let freezes = views::freezes::of_target(&state, target).into_iter().map(|entry| envelope(self.ledger, entry));
        orders.freezes = freezes.collect::<Result<Vec<_>, Failure>>()?.into_iter().flatten().collect();
        Ok(orders)
    }

    /// The signed statements behind one assignment of `target`.
    pub fn dossier(
        &self,
        target: &TargetName,
        generation: u64,
        app: &AppName,
        now: Timestamp,
    ) -> Result<Dossier, Box<Problem>> {
        dossier_of(self, target, generation, app, now).map_err(Box::<Problem>::from)
    }
}

/// What a submission is answered that the ledger did not take.
pub fn refused(error: SubmitError) -> Box<Problem> {
    Failure::from(error).into()
}

/// Whether `orders` say something to a target that it was not told by `before`, or in answer to an earlier poll.
/// Withdrawals and freezes are compared by whoever knows their entries.
pub fn is_news(before: &Orders, orders: &Orders, generation: u64, charter: Option<u64>) -> bool {
    orders.assignments.iter().any(|assignment| assignment.generation > generation)
        || !orders.errands.is_empty()
        || orders.charter_version > charter.unwrap_or(before.charter_version)
        || orders.suspensions != before.suspensions
        || orders.assignments != before.assignments
        || orders.settled != before.settled
}

/// A target's orders, without errands, and without withdrawals and freezes, which take reading.
pub(crate) fn orders_of(ledger: &Ledger, state: &State, target: &TargetName) -> Orders {
    let record = state.targets.get(target);
    let generations =
        record.into_iter().flat_map(|record| record.apps.values()).filter_map(|on_target| on_target.assigned);
    Orders {
        generation: generations.map(|assigned| assigned.generation).max().unwrap_or(0),
        charter_version: state.policy.as_ref().map_or(0, |policy| policy.record.version),
        suspensions: state.suspension_entries.len() as u64,
        assignments: plan::assignments(state, target),
        errands: Vec::new(),
        withdrawals: Vec::new(),
        freezes: Vec::new(),
        checkpoint: ledger.checkpoint().to_string(),
        settled: views::targets::settled(state, target),
    }
}

/// The statements behind one assignment.
pub(crate) fn dossier_of(
    served: &Served<'_>,
    target: &TargetName,
    generation: u64,
    app: &AppName,
    now: Timestamp,
) -> Result<Dossier, Failure> {
    let state = served.ledger.state();
    let Some(entries) = views::dossier::for_assignment(&state, target, generation, app, now) else {
        let message = format!("{target} has no assignment {generation} for {app}; a newer one may have replaced it");
        return Err(Failure::new(StatusCode::NOT_FOUND, "ASSIGNMENT_UNKNOWN", message));
    };
    reads::dossier_of(served, &entries)
}

/// The documents of trust in force.
pub(crate) fn estate_of(served: &Served<'_>) -> Result<Estate, Failure> {
    let state = served.ledger.state();
    let record = &state.policy.as_ref().ok_or(Refusal::NoEstate)?.record;
    let root = |digest: &Digest| Ok(Attachment(served.depot.read_bytes(digest, MAX_ROOT_BYTES as u64)?));
    let suspensions = state.suspension_entries.iter().map(|entry| envelope(served.ledger, *entry));
    Ok(Estate {
        roots: record.roots.iter().map(root).collect::<Result<_, Failure>>()?,
        targets: served.depot.read_bytes(&record.targets, MAX_TARGETS_BYTES as u64)?,
        charter: record.charter.clone(),
        suspensions: suspensions.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect(),
    })
}

fn envelope(ledger: &Ledger, entry: u64) -> Result<Option<Envelope>, Failure> {
    Ok(ledger.envelope(entry)?)
}
