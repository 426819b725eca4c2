//! The one write door: a signed statement is verified, becomes a command, and goes to the ledger.

use super::{
    Shared,
    extract::Strict,
    failure::{Failure, away},
};
use crate::{intake, ledger::SubmitError, views};
use api::{
    problem::{Problem, SIGNER_UNKNOWN},
    routes,
    write::{Accepted, Submission},
};
use axum::{Json, extract::State};
use domain::{
    command::{Actor, Command},
    event::Event,
};
use jiff::Timestamp;
use std::time::Instant;

/// Submits a signed statement. The same request id with the same bytes is answered once.
#[utoipa::path(
    post, path = routes::COMMANDS, request_body = Submission,
    responses((status = 200, body = Accepted), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(crate) async fn submit(
    State(serving): State<Shared>,
    Strict(submission): Strict<Submission>,
) -> Result<Json<Accepted>, Failure> {
    let began = Instant::now();
    let now = Timestamp::now();
    let _relied_on = serving.pruning.read().await;
    let was_put_back = serving.memories.was_put_back();
    let envelope = was_put_back.then(|| submission.envelope.clone());
    let prepared = if intake::needs_depot(&submission) {
        let serving = serving.clone();
        away(move || intake::prepare(&serving.served(), submission, now)).await
    } else {
        intake::prepare(&serving.served(), submission, now)
    };
    if let Some(envelope) =
        envelope.filter(|_| prepared.as_ref().is_err_and(|refused| refused.code() == SIGNER_UNKNOWN))
    {
        serving.memories.hear_stranger(&serving.ledger.state(), &envelope);
    }
    let prepared = prepared?;
    let founds = prepared.actor == Actor::Founder;
    let scanned = match &prepared.command {
        Command::ReportInventory(inventory) => {
            prepared.envelope.clone().map(|envelope| (inventory.target.clone(), inventory.scanned, envelope))
        }
        _ => None,
    };
    let answer = serving.ledger.submit(prepared).await.map_err(|error| {
        let texts = |digest: &trust::Digest| serving.ledger.text(digest).ok().flatten();
        match error {
            SubmitError::Refused(refusal) => views::freezes::with_reason(refusal, &texts).into(),
            error => Failure::from(error),
        }
    });
    let unchanged = answer.as_ref().is_err_and(|failure| failure.code() == "ALREADY_DONE");
    if let Some((target, scanned, envelope)) = scanned.filter(|_| answer.is_ok() || unchanged) {
        serving.targets.scanned(&target, scanned, envelope);
    }
    let accepted = answer?;
    if founds && let Err(error) = serving.keys.spend_claim() {
        tracing::error!(%error, "the claim could not be removed; it is of no use any more");
    }
    serving.metrics.submitted(began.elapsed());
    serving.metrics.happened(&accepted.events);
    if accepted.events.iter().any(|event| matches!(event, Event::BuildPruned { .. })) {
        serving.pruned.notify_one();
    }
    Ok(Json(accepted))
}
