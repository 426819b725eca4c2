//! Log lines of a target, asked of its agent and passed on as they come.

use super::{
    Shared,
    extract::Asked,
    failure::{Failure, away},
    sessions::KnownPerson,
};
use api::{agent::Want, problem::Problem, routes};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    rules::names,
    state::{Build, State as Facts},
};
use futures_util::stream;
use serde::Deserialize;
use std::{cmp::Reverse, collections::BTreeSet, convert::Infallible, time::Duration};
use tokio::sync::mpsc;
use trust::{
    AppName, Digest, TargetName,
    manifest::{MAX_MANIFEST_BYTES, Manifest},
};
use utoipa::IntoParams;

/// How long a target may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many lines of each log are sent unless asked otherwise, and at most.
const LINES: u32 = 100;
const MOST_LINES: u32 = 100_000;

/// Which logs.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogsQuery {
    /// The application.
    #[param(value_type = String)]
    app: AppName,
    /// The target.
    #[param(value_type = String)]
    target: TargetName,
    /// One process; all when absent.
    process: Option<String>,
    /// How many lines of each.
    lines: Option<u32>,
    /// Whether to go on with new ones.
    #[serde(default)]
    follow: bool,
}

/// The last lines of an application's logs on a target, and with `follow` those that come after.
#[utoipa::path(
    get, path = routes::LOGS, params(LogsQuery),
    responses((status = 200, body = String, content_type = "text/plain"), (status = "4XX", body = Problem)),
)]
pub(crate) async fn logs(
    State(serving): State<Shared>,
    _: KnownPerson,
    Asked(query): Asked<LogsQuery>,
) -> Result<Response, Failure> {
    let LogsQuery { app, target, process, lines, follow } = query;
    let state = serving.ledger.state();
    names::app(&state, &app)?;
    names::target(&state, &target)?;
    // What the state knows is asked first: manifests are read where a name is none of a process, or none at all.
    if let Some(process) = process.as_ref().filter(|process| !is_process(&state, &app, process)) {
        let (asked, of, wanted) = (serving.clone(), app.clone(), process.clone());
        let known = away(move || Ok(names_of(&asked, &of, &wanted))).await?;
        check_process(&app, &target, process, &known)?;
    }
    if !serving.targets.is_connected(&target) {
        let seen = serving.targets.seen(&target).map_or("not since the server started".into(), |t| format!("{t:.0}"));
        let message = format!("{target} is away (last seen: {seen}); its logs are on it, below the agent's folder");
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "TARGET_AWAY", message).next("sortie target list"));
    }
    let lines = lines.unwrap_or(LINES).min(MOST_LINES);
    let (errand, mut pieces) = serving.targets.send(&target, Want::Logs { app, process, lines, follow })?;
    let guard = Forget { serving: serving.clone(), errand };
    let first = match tokio::time::timeout(PATIENCE, pieces.recv()).await {
        Ok(first) => first,
        Err(_) => {
            let message = format!("{target} did not answer within {} s", PATIENCE.as_secs());
            return Err(Failure::new(StatusCode::GATEWAY_TIMEOUT, "TARGET_SILENT", message)
                .exit(domain::refusal::exit::TIMED_OUT));
        }
    };
    let rest = Rest { first, pieces, guard };
    let body = Body::from_stream(stream::unfold(rest, Rest::next));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

/// Whether some build of the application has a process of this name.
fn is_process(state: &Facts, app: &AppName, process: &str) -> bool {
    let mut builds = state.apps.get(app).into_iter().flat_map(|record| record.builds.values());
    builds.any(|build| build.facts.processes.iter().any(|name| name == process))
}

/// The names under which builds of an application write logs: of processes, and of what is run before and after them; the newest
/// build first, and no further than to the one that has what is `wanted`. Nothing where one of the builds cannot be asked.
fn names_of(serving: &Shared, app: &AppName, wanted: &str) -> Option<BTreeSet<String>> {
    let state = serving.ledger.state();
    let mut builds: Vec<(&Digest, &Build)> = state.apps.get(app)?.builds.iter().collect();
    builds.sort_by_key(|(_, build)| Reverse(build.stamp.entry));
    let mut names = BTreeSet::new();
    for (build, _) in builds {
        let bytes = serving.depot.read_bytes(build, MAX_MANIFEST_BYTES as u64).ok()?;
        let run = Manifest::from_bytes(&bytes).ok()?.run;
        names.extend(run.writers().map(String::from));
        if names.contains(wanted) {
            break;
        }
    }
    Some(names)
}

/// Fails for a process that no build of the application has: nothing can ever have been written under that name.
fn check_process(
    app: &AppName,
    target: &TargetName,
    process: &str,
    known: &Option<BTreeSet<String>>,
) -> Result<(), Failure> {
    let Some(known) = known.as_ref().filter(|known| !known.contains(process)) else { return Ok(()) };
    let shown: String = trust::names::printable(process).chars().take(64).collect();
    let has = match known.is_empty() {
        true => "it is files only".to_string(),
        false => format!("it has {}", known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
    };
    let failure = Failure::new(
        StatusCode::NOT_FOUND,
        "UNKNOWN_PROCESS",
        format!("{app} on {target} has no process {shown}; {has}"),
    )
    .exit(domain::refusal::exit::MISUSED);
    let nearest = names::nearest(process, known.iter().map(String::as_str));
    Err(match nearest.or(known.first().map(String::as_str)) {
        Some(nearest) => failure.next(format!("sortie logs {app} --on {target} --process {nearest}")),
        None => failure.next(format!("sortie status {app}")),
    })
}

/// Takes the errand back when the reader goes.
struct Forget {
    serving: Shared,
    errand: String,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.serving.targets.forget(&self.errand);
    }
}

struct Rest {
    first: Option<Bytes>,
    pieces: mpsc::Receiver<Bytes>,
    guard: Forget,
}

impl Rest {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let piece = match self.first.take() {
            Some(first) => Some(first),
            None => tokio::select! {
                piece = self.pieces.recv() => piece,
                () = self.guard.serving.stopped() => None,
            },
        };
        piece.map(|piece| (Ok(piece), self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_no_build_has_is_refused_with_those_that_there_are() {
        let (app, target) = ("web".parse().unwrap(), "prod-1".parse().unwrap());
        let check = |process: &str, known: &[&str]| {
            let known = known.iter().map(ToString::to_string).collect();
            check_process(&app, &target, process, &Some(known)).map_err(Box::<Problem>::from)
        };
        check("worker", &["web", "worker"]).unwrap();
        let refused = check("wroker", &["web", "worker"]).unwrap_err();
        assert_eq!((refused.code.as_str(), refused.exit), ("UNKNOWN_PROCESS", 2));
        assert_eq!(refused.message, "web on prod-1 has no process wroker; it has web, worker");
        assert_eq!(refused.next.as_deref(), Some("sortie logs web --on prod-1 --process worker"));
        let refused = check("web", &[]).unwrap_err();
        assert_eq!(refused.message, "web on prod-1 has no process web; it is files only");
        // Who cannot know lets the target say.
        check_process(&app, &target, "nope", &None).unwrap();
    }
}
