//! What runs without permission, with what targets signed.

use super::{config::joined, dossier_of};
use crate::{
    http::{
        Serving, Shared,
        extract::Asked,
        failure::{Failure, away},
        sessions::KnownPerson,
    },
    views,
};
use api::{
    agent::Want,
    problem::Problem,
    read::{ActiveBuild, Escapes, SignedInventory},
    routes,
};
use axum::{Json, extract::State};
use domain::state::State as Facts;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use trust::{
    AppName, AudienceName, Digest, TargetName,
    dsse::Envelope,
    statement::{Act, Statement},
};
use utoipa::IntoParams;

/// How long after its start the server counts on targets it has not heard of yet: they come back within this time.
const COMING_BACK: Duration = Duration::from_secs(15);

/// How long a scan may take.
const SCAN_PATIENCE: Duration = Duration::from_secs(30);

/// How escapes are looked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct EscapesQuery {
    /// Whether the targets take stock first, which takes up to 30 seconds.
    #[serde(default)]
    scan: bool,
}

/// What runs without permission, and what is not as it should be (R37).
#[utoipa::path(
    get, path = routes::ESCAPES, params(EscapesQuery),
    responses((status = 200, body = Escapes), (status = "4XX", body = Problem)),
)]
pub(crate) async fn escapes(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<EscapesQuery>,
) -> Result<Json<Escapes>, Failure> {
    if query.scan {
        scan(&serving).await?;
    }
    let scanned = |target: &TargetName| serving.targets.scan_time(target);
    let state = serving.ledger.state();
    let view = views::escapes::escapes(&state, scanned);
    let (signed, active) = away(move || proofs(&serving, &state)).await?;
    Ok(Json(Escapes { signed, active, ..view }))
}

/// What each target signed, what vouches for it, and the statements behind whatever it says is active.
fn proofs(
    serving: &Serving,
    state: &Facts,
) -> Result<(BTreeMap<TargetName, SignedInventory>, Vec<ActiveBuild>), Failure> {
    let mut signed = BTreeMap::new();
    let mut active = BTreeSet::new();
    for (name, target) in state.targets.iter().filter(|(_, target)| !target.retired) {
        let recorded = || match target.inventory {
            Some(entry) => Ok::<_, Failure>(serving.ledger.envelope(entry)?),
            None => Ok(None),
        };
        // What another machine said that had this name before is nothing that this one says.
        let is_its_own = |envelope: &Envelope| envelope.signatures.iter().any(|made| made.keyid == target.key.id());
        let kept = serving.targets.inventory(name).filter(is_its_own);
        let newest = kept.map_or_else(recorded, |envelope| Ok(Some(envelope)))?.filter(is_its_own);
        let read = |envelope: &Envelope| match Statement::read(envelope).ok()?.act {
            Act::Inventory(inventory) => Some(inventory),
            _ => None,
        };
        let inventory = newest.as_ref().and_then(read);
        for (app, build) in inventory.iter().flat_map(|inventory| &inventory.active) {
            let request = views::dossier::behind_active(state, app, build, &target.environment, name);
            active.insert((app.clone(), *build, target.environment.clone(), request));
        }
        let envelope = newest.filter(|_| inventory.is_some());
        let vouched = joined(&serving.ledger, state, target)?;
        signed.insert(name.clone(), SignedInventory { vouched, inventory: envelope });
    }
    let behind = |(app, build, environment, request): (AppName, Digest, AudienceName, Option<Digest>)| {
        let entries = views::dossier::for_active(state, &app, &build, &environment, request);
        let name = views::build_name(state, &app, &build);
        Ok(ActiveBuild { dossier: dossier_of(&serving.served(), &entries)?, app, name, environment })
    };
    Ok((signed, active.into_iter().map(behind).collect::<Result<_, Failure>>()?))
}

/// Has all targets take stock, and waits until those that are there have, or patience ends.
async fn scan(serving: &Shared) -> Result<(), Failure> {
    let began = Instant::now();
    let mut changes = serving.targets.changes();
    let state = serving.ledger.state();
    let targets: Vec<TargetName> =
        state.targets.iter().filter(|(_, target)| !target.retired).map(|(name, _)| name.clone()).collect();
    let mut errands = Vec::new();
    let mut answers = Vec::new();
    for target in &targets {
        let (id, pieces) = serving.targets.send(target, Want::Scan)?;
        errands.push(serving.targets.guard(id));
        answers.push(pieces);
    }
    let all_scanned = async {
        let is_awaited = |target: &TargetName| {
            serving.targets.is_connected(target) || serving.targets.started.elapsed() < COMING_BACK
        };
        let is_open = |target: &&TargetName| is_awaited(target) && !serving.targets.scanned_since(target, began);
        while targets.iter().any(|target| is_open(&target)) {
            // Whether a target is awaited changes with time, too.
            let _looks_again = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
        }
    };
    tokio::select! {
        () = all_scanned => {}
        () = tokio::time::sleep(SCAN_PATIENCE) => {}
        () = serving.stopped() => {}
    }
    Ok(())
}
