//! What a channel may have (R6): the versions with a live permit to it, and nothing else.
//!
//! A public channel's feed and the objects it lists are open to anyone; another channel's to people who are logged in.

use super::{Shared, extract::InPath, failure::Failure, sessions::known};
use crate::views;
use api::{problem::Problem, read::Feed, routes};
use axum::{
    Json,
    extract::{FromRequestParts, Request, State},
    http::StatusCode,
};
use domain::{
    command::Actor,
    refusal::{Refusal, exit},
    state::State as Facts,
};
use jiff::Timestamp;
use trust::{AppName, AudienceName};

/// Fails unless the channel exists and is open to whoever asks.
pub(crate) fn check_open(state: &Facts, channel: &AudienceName, login: Option<&Actor>) -> Result<(), Failure> {
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    // Whoever has no login learns of no names.
    let unknown = || Refusal::UnknownAudience { name: channel.clone(), nearest: None };
    let charter_channel = policy.charter.channels.get(channel).ok_or_else(unknown)?;
    match login {
        _ if charter_channel.public => Ok(()),
        Some(Actor::Person { .. }) => Ok(()),
        _ => Err(Failure::new(StatusCode::UNAUTHORIZED, "LOGIN_NEEDED", format!("channel {channel} is not public"))
            .exit(exit::REFUSED)
            .next("sortie login")),
    }
}

/// The versions of an application that a channel may have, newest first.
#[utoipa::path(
    get, path = routes::FEED, params(("channel" = String, Path), ("app" = String, Path)),
    responses((status = 200, body = Feed), (status = "4XX", body = Problem)),
)]
pub(crate) async fn feed(State(serving): State<Shared>, request: Request) -> Result<Json<Feed>, Failure> {
    let (mut parts, _) = request.into_parts();
    let InPath((channel, app)) = InPath::<(AudienceName, AppName)>::from_request_parts(&mut parts, &serving).await?;
    let state = serving.ledger.state();
    check_open(&state, &channel, known(&parts, &serving).as_ref())?;
    Ok(Json(views::feed::feed(&state, &channel, &app, Timestamp::now())?))
}
