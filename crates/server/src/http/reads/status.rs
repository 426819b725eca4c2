//! The board as data: now, or as it was.

use crate::{
    http::{
        Serving, Shared,
        extract::Asked,
        failure::{Failure, away},
        sessions::KnownPerson,
    },
    lost::strangers,
    views::{self, status::Filter},
};
use api::{
    problem::Problem,
    progress::CANNOT_GO_ON,
    read::{Status, TargetStatus},
    routes,
};
use axum::{Json, extract::State};
use domain::{
    refusal::Refusal,
    rules::{owners, presence},
    state::State as Facts,
    waiting::WaitingOn,
};
use jiff::Timestamp;
use serde::Deserialize;
use trust::{AppName, AudienceName, Digest, TargetName};
use utoipa::IntoParams;

/// What the status is limited to.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusQuery {
    /// One application.
    #[param(value_type = Option<String>)]
    app: Option<AppName>,
    /// One environment or channel.
    #[param(value_type = Option<String>)]
    environment: Option<AudienceName>,
    /// One target.
    #[param(value_type = Option<String>)]
    target: Option<TargetName>,
    /// The moment in question; now when absent.
    #[param(value_type = Option<String>)]
    at: Option<Timestamp>,
}

/// What may be deployed, what runs, who sees it: now, or as it was at a moment (R46).
#[utoipa::path(
    get, path = routes::STATUS, params(StatusQuery),
    responses((status = 200, body = Status), (status = "4XX", body = Problem)),
)]
pub(crate) async fn status(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<StatusQuery>,
) -> Result<Json<Status>, Failure> {
    let StatusQuery { app, environment, target, at } = query;
    let filter = Filter { app, audience: environment, target };
    let status = away(move || match at {
        Some(at) => {
            let texts = |digest: &Digest| serving.ledger.text(digest).ok().flatten();
            Ok(views::status::status(&serving.ledger.state_at(at)?, &filter, |_| None, &texts, at)?)
        }
        None => Ok(status_now(&serving, &serving.ledger.state(), &filter)?),
    });
    Ok(Json(status.await?))
}

/// The status now, with what the running server alone knows: how fresh its repository and its targets are.
pub(crate) fn status_now(serving: &Serving, state: &Facts, filter: &Filter) -> Result<Status, Refusal> {
    let now = Timestamp::now();
    let texts = |digest: &Digest| serving.ledger.text(digest).ok().flatten();
    let seen = |target: &TargetName| serving.targets.seen(target);
    let mut status = views::status::status(state, filter, seen, &texts, now)?;
    tell_what_they_said(serving, state, &mut status.targets, now);
    tell_of_silence(serving, state, &mut status);
    views::lags::tell(state, &serving.ledger.away(), now, &mut status);
    status.notes.splice(0..0, serving.memories.warning(state));
    status.notes.extend(strangers::in_words(&serving.memories.unknown(state)));
    let twins: Vec<&TargetName> = status.targets.iter().filter(|it| it.two).map(|it| &it.name).collect();
    if !twins.is_empty() {
        let of = views::words::names(&twins);
        status.notes.push(format!(
            "two machines use the key of {of}: one is a copy of the other, and each reports for both. Stop the copy, and let it join anew with an empty data folder"
        ));
    }
    status.notes.extend(serving.notifier.warnings(state));
    if state.policy.is_some() {
        status.notes.extend(views::repository::note(state, &serving.repository.status(), now));
    }
    Ok(status)
}

/// Adds what targets said of themselves since the server started: how fresh their knowledge is, and their agent's version.
fn tell_what_they_said(serving: &Serving, state: &Facts, targets: &mut [TargetStatus], now: Timestamp) {
    let away = serving.ledger.away();
    for target in targets {
        target.refreshed = serving.targets.freshness(&target.name);
        target.agent_version = serving.targets.agent_version(&target.name);
        target.away = away.contains(&target.name);
        target.two = serving.targets.are_two(&target.name);
        target.stuck = views::targets::at_something(state, &target.name)
            .find_map(|deployment| Some((deployment, serving.targets.stuck(&target.name, deployment)?)))
            .map(|(deployment, why)| format!("with deployment {deployment}: {why}"));
        target.as_of = serving.memories.as_of(state, &target.name);
        target.stale = views::repository::is_stale(state, &target.environment, target.refreshed, now);
    }
}

/// Says where it is not known what runs, and of what soaks, whose silence keeps it from settling: the state knows nothing of it.
fn tell_of_silence(serving: &Serving, state: &Facts, status: &mut Status) {
    let away = serving.ledger.away();
    let as_of = |name: &TargetName| serving.memories.as_of(state, name);
    for cell in status.apps.iter_mut().flat_map(|app| &mut app.cells) {
        let on = || cell.runs.iter().flat_map(|runs| &runs.on);
        let (unheard, silent): (Vec<TargetName>, Vec<TargetName>) = (
            on().filter(|name| as_of(name).is_some()).cloned().collect(),
            on().filter(|name| away.contains(*name) && as_of(name).is_none()).cloned().collect(),
        );
        if let Some(taken) = unheard.first().and_then(as_of) {
            let (of, taken) = (views::words::names(&unheard), views::words::moment(taken));
            cell.notes.push(format!("what {of} runs is as of the backup of {taken}: not heard since"));
        }
        if !silent.is_empty() {
            let of = views::words::names(&silent);
            cell.notes.push(format!("nobody has heard of {of} for a while: what runs there is what was said last"));
        }
    }
    for run in serving.memories.runs_otherwise(state) {
        let environment = state.targets.get(&run.target).map(|target| &target.environment);
        let apps = status.apps.iter_mut().filter(|app| app.app == run.app).flat_map(|app| &mut app.cells);
        for cell in apps.filter(|cell| Some(&cell.audience) == environment) {
            let what = views::build_name(state, &run.app, &run.active).of(&run.app);
            cell.notes.push(format!("{} itself says that it runs {what}: that is lost here", run.target));
        }
    }
    let cells = status.apps.iter_mut().flat_map(|app| &mut app.cells);
    for (waiting, words) in cells.flat_map(|cell| cell.waiting.iter_mut().zip(&mut cell.waits)) {
        if let WaitingOn::Soak { deployment, .. } | WaitingOn::Bake { deployment, .. } = waiting {
            *waiting = presence::waits(state, *deployment, &away, waiting.clone());
            *words = waiting.to_string();
        }
        *words = in_full(serving, state, waiting, std::mem::take(words));
    }
}

/// What something waits for, which is said in `words`, with what owners must sign first, and who is away of those that are waited for.
pub(super) fn in_full(serving: &Serving, state: &Facts, waiting: &WaitingOn, words: String) -> String {
    let now = Timestamp::now();
    let words = owners::waits(state, (&serving.ledger.lost(), now), waiting, words);
    let quiet = match waiting {
        WaitingOn::Bake { deployment, until, .. } | WaitingOn::Soak { deployment, until } if *until <= now => {
            let quiet = |deployment| presence::silent(state, deployment, &serving.targets.quiet(state));
            state.deployments.get(deployment).map(quiet).filter(|quiet| !quiet.is_empty())
        }
        _ => None,
    };
    let quiet = quiet.map(|quiet| format!("it waits to hear of {}", views::words::names(&quiet)));
    let silent = presence::silent_in_words(waiting, &serving.ledger.away()).or(quiet);
    let also =
        silent.into_iter().chain(stuck_in_words(waiting, &|target, number| serving.targets.stuck(target, number)));
    also.fold(words, |words, also| format!("{words}; {also}"))
}

/// Who cannot go on of those that a deployment waits for, and why.
fn stuck_in_words(waits: &WaitingOn, stuck: &impl Fn(&TargetName, u64) -> Option<String>) -> Option<String> {
    match waits {
        WaitingOn::Targets { deployment, targets, .. } => {
            let why = |target| Some(format!("{target} {CANNOT_GO_ON}: {}", stuck(target, *deployment)?));
            let all: Vec<String> = targets.iter().filter_map(why).collect();
            (!all.is_empty()).then(|| all.join("; "))
        }
        WaitingOn::Members { why: Some(why), .. } => stuck_in_words(why, stuck),
        _ => None,
    }
}

/// The targets, retired ones too.
#[utoipa::path(
    get, path = routes::TARGETS,
    responses((status = 200, body = Vec<TargetStatus>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn targets(State(serving): State<Shared>, _: KnownPerson) -> Json<Vec<TargetStatus>> {
    let state = serving.ledger.state();
    let texts = |digest: &Digest| serving.ledger.text(digest).ok().flatten();
    let mut targets = views::targets::targets(&state, |target| serving.targets.seen(target), &texts);
    tell_what_they_said(&serving, &state, &mut targets, Timestamp::now());
    Json(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_go_on_of_those_that_are_waited_for_says_why() {
        let [one, two] = ["dev-1", "dev-2"].map(|name| name.parse::<TargetName>().unwrap());
        let until = "2026-11-22T10:10:00Z".parse().unwrap();
        let waits = WaitingOn::Targets { deployment: 7, targets: vec![one, two.clone()], until };
        let stuck = |name: &TargetName, number: u64| {
            (*name == two && number == 7).then(|| "cannot write /a: No space left on device".to_owned())
        };
        let said = "dev-2 cannot go on, and tries again: cannot write /a: No space left on device";
        assert_eq!(stuck_in_words(&waits, &stuck).as_deref(), Some(said));
        assert_eq!(stuck_in_words(&waits, &|_, _| None), None);
        let members = vec![("api".parse().unwrap(), 7)];
        let package = WaitingOn::Members { deployment: 6, members, why: Some(Box::new(waits)) };
        assert_eq!(stuck_in_words(&package, &stuck).as_deref(), Some(said));
    }
}
