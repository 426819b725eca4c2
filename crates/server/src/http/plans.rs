//! What an order would do, by the rules that decide when it is given.

use super::{Shared, extract::Strict, failure::Failure, sessions};
use crate::views;
use api::{
    plan::{PlanAsked, PlanView},
    problem::Problem,
    routes,
};
use axum::{Json, extract::State, http::request::Parts};
use domain::{
    command::{Context, Signed},
    decide,
    planned::Preview,
};
use jiff::Timestamp;
use trust::{
    Digest,
    statement::{Order, RequestId},
};

/// What an order of whoever asks would do now; nothing is written. Where it would be refused, the answer is the refusal.
#[utoipa::path(
    post, path = routes::PLANS, request_body = PlanAsked,
    responses((status = 200, body = PlanView), (status = "4XX", body = Problem)),
)]
pub(crate) async fn plan(
    State(serving): State<Shared>,
    parts: Parts,
    Strict(PlanAsked { subject, order }): Strict<PlanAsked>,
) -> Result<Json<PlanView>, Failure> {
    let actor = sessions::identified(&parts, &serving)?;
    let state = serving.ledger.state();
    let request_id = RequestId::new("plan").map_err(|error| Failure::invalid(error.to_string()))?;
    let context = Context {
        now: Timestamp::now().max(state.head.time),
        actor,
        request_id,
        payload: None,
        away: serving.ledger.away(),
        lost: serving.ledger.lost(),
    };
    let signed = Signed { subject, act: Order { plan: None, ..order } };
    let texts = |digest: &Digest| serving.ledger.text(digest).ok().flatten();
    let preview = decide::preview(&state, &context, signed);
    let Preview { planned, warnings, away, waves } =
        preview.map_err(|refusal| views::freezes::with_reason(refusal, &texts))?;
    Ok(Json(PlanView { id: planned.id(), planned, warnings, away, waves: Some(waves) }))
}
