//! The config in force, and what vouches for the targets that it is encrypted for.

use crate::{
    http::{
        Shared,
        extract::{Asked, InPath},
        failure::{Failure, away},
        sessions::KnownPerson,
    },
    ledger::Ledger,
    views,
};
use api::{
    problem::Problem,
    read::{ConfigView, Vouched},
    routes,
};
use axum::{Json, extract::State};
use domain::state::{State as Facts, Target};
use serde::Deserialize;
use std::collections::BTreeMap;
use trust::{
    AppName, AudienceName, TargetName,
    config::{ConfigDocument, MAX_CONFIG_BYTES},
    statement::{Act, Statement},
};
use utoipa::IntoParams;

/// Which config is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigQuery {
    /// The set with this serial; the one in force where left out.
    serial: Option<u64>,
}

/// The config in force, or an earlier set; secrets as they are encrypted.
#[utoipa::path(
    get, path = routes::CONFIG, params(("app" = String, Path), ("environment" = String, Path), ConfigQuery),
    responses((status = 200, body = ConfigView), (status = "4XX", body = Problem)),
)]
pub(crate) async fn config(
    State(serving): State<Shared>,
    _: KnownPerson,
    InPath((app, environment)): InPath<(AppName, AudienceName)>,
    Asked(query): Asked<ConfigQuery>,
) -> Result<Json<ConfigView>, Failure> {
    let state = serving.ledger.state();
    let set = views::config::set(&state, &app, &environment, query.serial);
    let document = match set {
        None => None,
        Some((_, digest)) => {
            let depot = serving.depot.clone();
            let bytes = away(move || Ok(depot.read_bytes(&digest, MAX_CONFIG_BYTES as u64)?)).await?;
            Some(ConfigDocument::from_bytes(&bytes).map_err(|error| Failure::invalid(error.to_string()))?)
        }
    };
    let serial = set.map_or(0, |(serial, _)| serial);
    let view = views::config::config(&state, &app, &environment, serial, document)?;
    let ledger = serving.ledger.clone();
    let vouched = away(move || vouched(&ledger, &state, &environment)).await?;
    Ok(Json(ConfigView { vouched, ..view }))
}

/// The statements by which each target of the environment joined.
fn vouched(
    ledger: &Ledger,
    state: &Facts,
    environment: &AudienceName,
) -> Result<BTreeMap<TargetName, Vouched>, Failure> {
    let mut vouched = BTreeMap::new();
    for (name, target) in state.targets_in(environment) {
        if let Some(joined) = joined(ledger, state, target)? {
            vouched.insert(name.clone(), joined);
        }
    }
    Ok(vouched)
}

/// The statements by which a target joined, where both are to be had.
pub(super) fn joined(ledger: &Ledger, state: &Facts, target: &Target) -> Result<Option<Vouched>, Failure> {
    let Some(enrolment) = ledger.envelope(target.stamp.entry)? else { return Ok(None) };
    let Some(Act::Enrolment(joined)) = Statement::read(&enrolment).ok().map(|statement| statement.act) else {
        return Ok(None);
    };
    let Some(invited) = state.invitations.get(&joined.invitation.id()) else { return Ok(None) };
    Ok(ledger.envelope(invited.stamp.entry)?.map(|invitation| Vouched { invitation, enrolment }))
}
