//! What agents ask and tell: their assignments, the statements behind each, progress, and answers to errands.

use super::{
    Shared,
    extract::{Asked, InPath, Strict},
    failure::Failure,
    progress::Told,
    sessions::KnownTarget,
};
use crate::{answers, intake, keys::random_hex, views};
use api::{
    agent::{AssignmentDossier, Errand, Memory, Orders, ProgressReport, Want},
    problem::Problem,
    routes,
};
use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use domain::rules::presence::Away;
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};
use trust::{AppName, TargetName, dsse::Envelope, key::Signer};
use utoipa::IntoParams;

/// The longest a poll waits, in seconds.
const LONGEST_WAIT_SECONDS: u64 = 60;
/// After how long a silence a target is quiet.
const QUIET_AFTER: Duration = Duration::from_secs(10);
/// The most errands for one target at a time.
const ERRANDS: usize = 16;
/// An errand handed out without an answer is handed out again after this time: the answer to the poll may be lost.
const HANDED_AGAIN: Duration = Duration::from_secs(10);
/// Pieces of an answer on their way at a time.
const PIECES: usize = 32;
/// The most withdrawals that are taken again from one message.
const WITHDRAWALS_AT_ONCE: usize = 1024;
/// The same for freezes.
const FREEZES_AT_ONCE: usize = 1024;
/// The longest name of a process that is remembered, in characters.
const PROCESS_CHARACTERS: usize = 64;
/// So many processes of one target are remembered, from the newest on.
const FORMER_PROCESSES: usize = 4;
/// For how long it is told that two machines came by turns.
const TWO_FOR: Duration = Duration::from_secs(600);

/// What is known of targets besides history. Heartbeats are not history: it is forgotten when the server stops.
pub(crate) struct Targets {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
    /// Counts the targets that came back after they were away.
    returned: watch::Sender<u64>,
    /// For how long nothing is heard of a target before it counts as away.
    away_after: Duration,
    /// Since when targets can be heard of.
    pub started: Instant,
}

#[derive(Default)]
struct Inner {
    seen: HashMap<TargetName, (Timestamp, Instant)>,
    /// How many polls of a target wait for an answer: as long as one does, it is there.
    polling: HashMap<TargetName, u32>,
    scanned: HashMap<TargetName, Scanned>,
    refreshed: HashMap<TargetName, Timestamp>,
    versions: HashMap<TargetName, String>,
    processes: HashMap<TargetName, Processes>,
    progress: Told,
    errands: HashMap<String, Waiting>,
    statements: HashMap<u64, Envelope>,
}

impl Inner {
    fn is_here(&self, target: &TargetName, away_after: Duration) -> bool {
        let polls = self.polling.get(target).is_some_and(|polls| *polls > 0);
        polls || self.seen.get(target).is_some_and(|(_, at)| at.elapsed() < away_after)
    }
}

/// The processes that came as one target: as an agent that starts anew does, one after the other.
#[derive(Default)]
struct Processes {
    newest: String,
    /// Those before it.
    former: VecDeque<String>,
    /// When one came again that another had followed.
    returned: Option<Instant>,
}

impl Processes {
    /// One comes; whether that is news of a second machine.
    fn comes(&mut self, process: &str) -> bool {
        if self.newest == process {
            return false;
        }
        let is_back = self.former.iter().any(|former| former == process);
        self.former.retain(|former| former != process);
        self.former.push_back(std::mem::replace(&mut self.newest, process.to_owned()));
        while self.former.len() > FORMER_PROCESSES {
            self.former.pop_front();
        }
        let is_known = self.are_two();
        if is_back {
            self.returned = Some(Instant::now());
        }
        is_back && !is_known
    }

    fn are_two(&self) -> bool {
        self.returned.is_some_and(|at| at.elapsed() < TWO_FOR)
    }
}

/// What a target said when it last took stock.
struct Scanned {
    /// When it looked, by its own clock.
    at: Timestamp,
    /// When it was heard of.
    heard: Instant,
    inventory: Envelope,
}

struct Waiting {
    target: TargetName,
    want: Want,
    handed: Option<Instant>,
    answered: bool,
    pieces: mpsc::Sender<Bytes>,
}

/// A target waits for the answer to its poll.
pub(crate) struct Polling<'a> {
    targets: &'a Targets,
    target: &'a TargetName,
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.targets.saw(self.target, -1);
    }
}

/// Somebody waits for the answer to an errand; when they go, the errand goes.
pub(crate) struct Errands<'a> {
    targets: &'a Targets,
    id: String,
}

impl Drop for Errands<'_> {
    fn drop(&mut self) {
        self.targets.forget(&self.id);
    }
}

impl Targets {
    /// Targets of which nobody has heard yet.
    pub fn new(away_after: Duration) -> Self {
        let (changed, returned) = (watch::channel(0).0, watch::channel(0).0);
        Self { inner: Mutex::default(), changed, returned, away_after, started: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn poke(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Tells when an errand was added or a target took stock.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A target polls, until the answer is dropped.
    fn polls<'a>(&'a self, target: &'a TargetName) -> Polling<'a> {
        let was_away = !self.is_connected(target);
        self.saw(target, 1);
        if was_away {
            self.returned.send_modify(|count| *count += 1);
        }
        Polling { targets: self, target }
    }

    fn saw(&self, target: &TargetName, polls: i32) {
        let mut inner = self.lock();
        inner.seen.insert(target.clone(), (Timestamp::now(), Instant::now()));
        let polling = inner.polling.entry(target.clone()).or_default();
        *polling = polling.saturating_add_signed(polls);
    }

    /// Remembers how fresh a target says its knowledge is.
    fn refreshed(&self, target: &TargetName, signed: Option<Timestamp>) {
        if let Some(signed) = signed {
            self.lock().refreshed.insert(target.clone(), signed);
        }
    }

    /// Remembers of which version a target's agent is, by how its program introduces itself.
    fn introduced(&self, target: &TargetName, headers: &HeaderMap) {
        let said = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        if let Some(version) = said.and_then(|said| said.strip_prefix(api::client::USER_AGENT_PREFIX)) {
            self.lock().versions.insert(target.clone(), trust::names::printable(version));
        }
    }

    /// Notices where two machines come by turns as one target: one is a copy of the other.
    fn told_apart(&self, target: &TargetName, headers: &HeaderMap) {
        let process = headers.get(api::client::PROCESS).and_then(|value| value.to_str().ok());
        let Some(process) = process.filter(|process| process.len() <= PROCESS_CHARACTERS) else { return };
        if self.lock().processes.entry(target.clone()).or_default().comes(process) {
            tracing::warn!(%target, "two machines use one key: one is a copy of the other");
        }
    }

    /// Whether two machines came by turns as this target a short while ago.
    pub fn are_two(&self, target: &TargetName) -> bool {
        self.lock().processes.get(target).is_some_and(Processes::are_two)
    }

    /// Of which version the target's agent is, as it said since the server started.
    pub fn agent_version(&self, target: &TargetName) -> Option<String> {
        self.lock().versions.get(target).cloned()
    }

    /// How far the target is in a deployment, as it said from then on, and since the server started.
    pub fn how_far(&self, target: &TargetName, deployment: u64, since: Timestamp) -> Option<String> {
        self.lock().progress.in_words(target, deployment, since)
    }

    /// Why the target cannot go on with a deployment, as it said last, and since the server started.
    pub fn stuck(&self, target: &TargetName, deployment: u64) -> Option<String> {
        self.lock().progress.stuck(target, deployment)
    }

    /// When the newest word of the repository was signed that the target has seen, as it said since the server started.
    pub fn freshness(&self, target: &TargetName) -> Option<Timestamp> {
        self.lock().refreshed.get(target).copied()
    }

    /// When the target last polled, since the server started.
    pub fn seen(&self, target: &TargetName) -> Option<Timestamp> {
        self.lock().seen.get(target).map(|(time, _)| *time)
    }

    /// Whether the target polls, or did a short while ago.
    pub fn is_connected(&self, target: &TargetName) -> bool {
        self.lock().is_here(target, self.away_after)
    }

    /// Tells when a target came back that was away.
    pub fn returns(&self) -> watch::Receiver<u64> {
        self.returned.subscribe()
    }

    /// The targets that nobody has heard of for a while, as far as this server knows: since it started, where they have not had the
    /// time yet to come back. What is behind an air gap speaks by receipts, and is missed by nobody.
    pub fn unheard(&self, state: &domain::state::State) -> Away {
        self.silent_for(state, self.away_after)
    }

    /// The targets that have said nothing for a moment: one that works is at the next question within a second. Most are back soon, and
    /// nobody calls them away; but what they were to show until now they have not shown.
    pub fn quiet(&self, state: &domain::state::State) -> Away {
        self.silent_for(state, QUIET_AFTER.min(self.away_after))
    }

    fn silent_for(&self, state: &domain::state::State, silence: Duration) -> Away {
        let inner = self.lock();
        let speaks = |target: &domain::state::Target| !target.retired && views::targets::carried(target).is_none();
        let there = state.targets.iter().filter(|(_, target)| speaks(target)).map(|(name, _)| name);
        there.filter(|name| !inner.is_here(name, silence)).cloned().collect()
    }

    /// Whether targets have had the time to come back since the server started, so that those it has not heard of are away.
    pub fn knows_who_is_away(&self) -> bool {
        self.started.elapsed() >= self.away_after
    }

    /// How many targets polled a short while ago, of those that have not left.
    pub fn connected(&self, state: &domain::state::State) -> usize {
        let is_here = |name: &TargetName| state.targets.get(name).is_some_and(|target| !target.retired);
        let inner = self.lock();
        inner.seen.keys().filter(|name| inner.is_here(name, self.away_after) && is_here(name)).count()
    }

    /// Since when nothing was heard of the target at `now`, as far as this server can know: it may have polled before it
    /// started. It goes by the time that passes, for a clock that is set makes nobody silent.
    pub fn silent_since(&self, target: &TargetName, now: Timestamp) -> Timestamp {
        let inner = self.lock();
        if inner.polling.get(target).is_some_and(|polls| *polls > 0) {
            return now;
        }
        let heard = inner.seen.get(target).map(|(_, at)| at.elapsed());
        let ago = SignedDuration::try_from(heard.unwrap_or_else(|| self.started.elapsed()));
        now.saturating_sub(ago.unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MIN)
    }

    /// Remembers a target's inventory, and when it took stock, by its own clock.
    pub fn scanned(&self, target: &TargetName, at: Timestamp, inventory: Envelope) {
        self.lock().scanned.insert(target.clone(), Scanned { at, heard: Instant::now(), inventory });
        self.poke();
    }

    /// When the target last took stock, by its own clock, since the server started.
    pub fn scan_time(&self, target: &TargetName) -> Option<Timestamp> {
        self.lock().scanned.get(target).map(|scanned| scanned.at)
    }

    /// The target's newest inventory since the server started.
    pub fn inventory(&self, target: &TargetName) -> Option<Envelope> {
        self.lock().scanned.get(target).map(|scanned| scanned.inventory.clone())
    }

    /// Whether the target has taken stock since `began`.
    pub fn scanned_since(&self, target: &TargetName, began: Instant) -> bool {
        self.lock().scanned.get(target).is_some_and(|scanned| scanned.heard >= began)
    }

    /// Sends a target on an errand. The answer comes in pieces; it ends when the target says so.
    pub fn send(&self, target: &TargetName, want: Want) -> Result<(String, mpsc::Receiver<Bytes>), Failure> {
        let id = random_hex::<16>()
            .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "NO_RANDOMNESS", error.to_string()))?;
        let (pieces, answer) = mpsc::channel(PIECES);
        let mut inner = self.lock();
        if inner.errands.values().filter(|errand| errand.target == *target).count() >= ERRANDS {
            let message = format!("{target} has {ERRANDS} questions to answer already; try again in a moment");
            return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, "TARGET_BUSY", message));
        }
        let errand = Waiting { target: target.clone(), want, handed: None, answered: false, pieces };
        inner.errands.insert(id.clone(), errand);
        drop(inner);
        self.poke();
        Ok((id, answer))
    }

    /// Takes the errand back when the answer is dropped.
    pub fn guard(&self, id: String) -> Errands<'_> {
        Errands { targets: self, id }
    }

    /// Takes an errand back.
    pub fn forget(&self, id: &str) {
        self.lock().errands.remove(id);
    }

    /// The errands a target should hear of now.
    fn errands(&self, target: &TargetName) -> Vec<Errand> {
        let mut errands = Vec::new();
        for (id, errand) in self.lock().errands.iter_mut().filter(|(_, errand)| errand.target == *target) {
            if !errand.answered && errand.handed.is_none_or(|handed| handed.elapsed() >= HANDED_AGAIN) {
                errand.handed = Some(Instant::now());
                errands.push(Errand { id: id.clone(), want: errand.want.clone() });
            }
        }
        errands
    }

    /// Where the pieces of an errand's answer go, while somebody waits for them.
    fn answer(&self, target: &TargetName, id: &str) -> Option<mpsc::Sender<Bytes>> {
        let mut inner = self.lock();
        let errand = inner.errands.get_mut(id).filter(|errand| errand.target == *target)?;
        errand.answered = true;
        Some(errand.pieces.clone())
    }
}

/// What an agent knows already.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct PollQuery {
    /// The newest generation the agent has heard of; 0 at its start.
    #[serde(default)]
    generation: u64,
    /// How long to wait for news, in seconds; at most 60.
    #[serde(default)]
    wait: u64,
    /// The charter's version the agent has, to be told at once of a newer one.
    charter: Option<u64>,
    /// When the newest timestamp of the repository was signed that the agent has seen whole.
    #[param(value_type = Option<String>)]
    refreshed: Option<Timestamp>,
}

/// Answers with the target's assignments as soon as one is newer than `generation`, the charter changes, or there is an
/// errand; and after `wait` seconds in any case.
#[utoipa::path(
    get, path = routes::AGENT_POLL, params(PollQuery),
    responses((status = 200, body = Orders), (status = "4XX", body = Problem)),
)]
pub(crate) async fn poll(
    State(serving): State<Shared>,
    KnownTarget(target): KnownTarget,
    headers: HeaderMap,
    Asked(query): Asked<PollQuery>,
) -> Result<Json<Orders>, Failure> {
    let wait = Duration::from_secs(query.wait.min(LONGEST_WAIT_SECONDS));
    let until = tokio::time::Instant::now() + wait;
    let mut heads = serving.ledger.heads();
    let mut changes = serving.targets.changes();
    let state = serving.ledger.state();
    let before = answers::orders_of(&serving.ledger, &state, &target);
    let kept = |state: &domain::state::State| {
        (views::targets::withdrawals(state, &target), views::freezes::of_target(state, &target))
    };
    let kept_before = kept(&state);
    drop(state);
    let _polling = serving.targets.polls(&target);
    if serving.memories.as_of(&serving.ledger.state(), &target).is_some() {
        let (serving, target) = (serving.clone(), target.clone());
        super::failure::away(move || Ok(serving.memories.hear(&target)))
            .await?
            .unwrap_or_else(|error| tracing::warn!(%error, "it is not kept that a target was heard of"));
    }
    serving.targets.refreshed(&target, query.refreshed);
    serving.targets.introduced(&target, &headers);
    serving.targets.told_apart(&target, &headers);
    loop {
        heads.mark_unchanged();
        changes.mark_unchanged();
        let state = serving.ledger.state();
        if state.targets.get(&target).is_none_or(|record| record.retired) {
            return Err(Failure::new(StatusCode::UNAUTHORIZED, "LOGIN_NEEDED", format!("{target} is retired"))
                .exit(domain::refusal::exit::REFUSED));
        }
        let mut orders = answers::orders_of(&serving.ledger, &state, &target);
        orders.errands = serving.targets.errands(&target);
        let kept = kept(&state);
        let has_news = answers::is_news(&before, &orders, query.generation, query.charter) || kept != kept_before;
        if has_news || tokio::time::Instant::now() >= until || *serving.stopping.borrow() {
            let (withdrawals, freezes) = kept;
            orders.withdrawals = statements(&serving, withdrawals).await?;
            orders.freezes = statements(&serving, freezes).await?;
            return Ok(Json(orders));
        }
        tokio::select! {
            _ = heads.changed() => {}
            _ = changes.changed() => {}
            () = tokio::time::sleep_until(until) => {}
            () = serving.stopped() => {}
        }
    }
}

/// The signed statements in these entries. An entry never changes, so each is read once.
async fn statements(serving: &Shared, entries: Vec<u64>) -> Result<Vec<Envelope>, Failure> {
    let missing: Vec<u64> = {
        let known = &serving.targets.lock().statements;
        entries.iter().filter(|entry| !known.contains_key(*entry)).copied().collect()
    };
    if !missing.is_empty() {
        let ledger = serving.ledger.clone();
        let read = move |entry: u64| Ok((entry, ledger.envelope(entry)?));
        let found =
            super::failure::away(move || missing.into_iter().map(read).collect::<Result<Vec<_>, Failure>>()).await?;
        let found = found.into_iter().filter_map(|(entry, envelope)| Some((entry, envelope?)));
        serving.targets.lock().statements.extend(found);
    }
    let known = &serving.targets.lock().statements;
    Ok(entries.iter().filter_map(|entry| known.get(entry).cloned()).collect())
}

/// The signed statements behind one assignment of the target that asks.
#[utoipa::path(
    get, path = routes::AGENT_DOSSIER, params(("generation" = u64, Path), ("app" = String, Path)),
    responses((status = 200, body = AssignmentDossier), (status = "4XX", body = Problem)),
)]
pub(crate) async fn dossier(
    State(serving): State<Shared>,
    KnownTarget(target): KnownTarget,
    InPath((generation, app)): InPath<(u64, AppName)>,
) -> Result<Json<AssignmentDossier>, Failure> {
    let dossier = move || answers::dossier_of(&serving.served(), &target, generation, &app, Timestamp::now());
    let dossier = super::failure::away(dossier).await?;
    Ok(Json(AssignmentDossier { dossier }))
}

/// Takes what a target remembers and this ledger may have lost. Withdrawals and freezes among it are taken into the ledger
/// again: they prove themselves.
#[utoipa::path(
    post, path = routes::AGENT_MEMORY, request_body = Memory,
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn remember(
    State(serving): State<Shared>,
    KnownTarget(target): KnownTarget,
    Strict(memory): Strict<Memory>,
) -> Result<StatusCode, Failure> {
    let mut refused = Vec::new();
    for envelope in memory.withdrawals.iter().take(WITHDRAWALS_AT_ONCE) {
        if !take_again(&serving, &target, envelope, "a withdrawal").await {
            refused.push(envelope.clone());
        }
    }
    for envelope in memory.freezes.iter().take(FREEZES_AT_ONCE) {
        take_again(&serving, &target, envelope, "a freeze").await;
    }
    let state = serving.ledger.state();
    let mut keys = state.policy.as_ref().map(|policy| policy.charter.server.ledger.clone()).unwrap_or_default();
    // What targets saw before this server got other keys was signed by its former ones.
    keys.push(serving.keys.ledger_public());
    keys.extend(serving.keys.others.iter().map(Signer::public));
    let kept = super::failure::away(move || {
        let is_ours = serving.memories.keep(&serving.ledger, &keys, &target, &memory, refused)?;
        serving.ledger.tell_lost(serving.memories.told(&serving.ledger.state()));
        Ok(is_ours)
    });
    match kept.await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Failure::invalid("the checkpoint was not signed by this server")),
    }
}

/// Takes a statement again that a target keeps; answers whether the ledger holds it now.
async fn take_again(serving: &Shared, target: &TargetName, envelope: &Envelope, what: &str) -> bool {
    let prepared = match intake::remembered(&serving.served(), envelope) {
        Ok(prepared) => prepared,
        Err(failure) => {
            tracing::warn!(%target, code = failure.code(), what, "what it keeps does not count here");
            return false;
        }
    };
    match serving.ledger.submit(prepared).await.map_err(Failure::from) {
        Ok(_) => {
            tracing::warn!(%target, what, "took again what this ledger had lost");
            true
        }
        Err(failure) if matches!(failure.code(), "ALREADY_DONE" | "REQUEST_ID_REUSED") => true,
        Err(failure) => {
            tracing::warn!(%target, code = failure.code(), what, "what it keeps cannot be taken again yet");
            false
        }
    }
}

/// Takes progress and tells it to whoever watches. It is no history, and forgotten once the target does something else.
#[utoipa::path(
    post, path = routes::AGENT_PROGRESS, request_body = ProgressReport,
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn progress(
    State(serving): State<Shared>,
    KnownTarget(target): KnownTarget,
    Strict(mut report): Strict<ProgressReport>,
) -> Result<StatusCode, Failure> {
    if report.target != target {
        return Err(Failure::invalid(format!("{target} cannot tell the progress of {}", report.target)));
    }
    if report.note.len() > domain::policy::TEXT_BYTES {
        return Err(Failure::invalid("the note is too long"));
    }
    report.note = trust::names::printable(&report.note);
    serving.targets.lock().progress.hear(&report, Timestamp::now());
    // An error means that nobody watches.
    let _ = serving.progress.send(report);
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the answer ends with this piece.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrandQuery {
    /// Whether the end of this body is the end of the answer, as it is when absent; otherwise another request brings more.
    done: Option<bool>,
}

/// Takes (a piece of) the answer to an errand and passes it on as it comes. 410 says that nobody waits for it any more.
#[utoipa::path(
    post, path = routes::AGENT_ERRAND, params(("errand" = String, Path), ErrandQuery),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 204), (status = 410, body = Problem), (status = "4XX", body = Problem)),
)]
pub(crate) async fn answer_errand(
    State(serving): State<Shared>,
    KnownTarget(target): KnownTarget,
    InPath(errand): InPath<String>,
    Asked(query): Asked<ErrandQuery>,
    body: Body,
) -> Result<StatusCode, Failure> {
    let gone = || Failure::new(StatusCode::GONE, "ERRAND_OVER", "nobody waits for the answer to this errand any more");
    let pieces = serving.targets.answer(&target, &errand).ok_or_else(gone)?;
    let mut body = body.into_data_stream();
    loop {
        let piece = tokio::select! {
            piece = body.next() => piece,
            () = pieces.closed() => return Err(gone()),
            () = serving.stopped() => None,
        };
        match piece {
            Some(Ok(piece)) => pieces.send(piece).await.map_err(|_| gone())?,
            Some(Err(error)) => {
                serving.targets.forget(&errand);
                return Err(Failure::malformed(error));
            }
            None => break,
        }
    }
    if query.done.unwrap_or(true) {
        serving.targets.forget(&errand);
    }
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{start::AWAY_AFTER_SECONDS, views::fixture::World};

    /// Who polls is there however long it waits; who does not is missed, and away once everybody has had the time to come back.
    #[test]
    fn r40_who_polls_is_there_and_who_does_not_is_missed() {
        let (world, targets) = (World::new(), Targets::new(Duration::ZERO));
        let [dev, test, prod] = ["dev-1", "test-1", "prod-1"].map(|name| TargetName::new(name).unwrap());
        let mut returns = targets.returns();
        let polling = targets.polls(&dev);
        assert!(returns.has_changed().unwrap(), "it is news that it came back");
        returns.mark_unchanged();
        drop(targets.polls(&dev));
        assert!(!returns.has_changed().unwrap(), "it was there");
        drop(targets.polls(&test));
        assert_eq!(targets.unheard(&world.state), Away::from([prod.clone(), test.clone()]));
        drop(polling);
        assert_eq!(targets.unheard(&world.state), Away::from([dev, prod, test]));
        assert!(targets.knows_who_is_away());
        assert!(!Targets::new(Duration::from_secs(AWAY_AFTER_SECONDS)).knows_who_is_away(), "it has only just begun");
    }

    /// An agent that starts anew is another process; a copy of the machine comes by turns with it.
    #[test]
    fn two_machines_with_one_key_are_noticed() {
        let (targets, name) = (Targets::new(Duration::ZERO), TargetName::new("prod-1").unwrap());
        let comes = |process: &str| {
            let header = axum::http::HeaderValue::from_str(process).unwrap();
            let headers = HeaderMap::from_iter([(axum::http::HeaderName::from_static(api::client::PROCESS), header)]);
            targets.told_apart(&name, &headers);
            targets.are_two(&name)
        };
        for process in ["one", "one", "two", "two", "three", "four", "five", "six"] {
            assert!(!comes(process), "{process}");
        }
        assert!(comes("five"));
        assert!(comes("six"));
        targets.told_apart(&name, &HeaderMap::new());
        assert!(!targets.are_two(&TargetName::new("prod-2").unwrap()));
    }

    /// The server's clock is set back by hours, or forward: who was heard of just now was heard of just now.
    #[test]
    fn r30_a_clock_that_is_set_makes_nobody_silent() {
        let targets = Targets::new(Duration::from_secs(AWAY_AFTER_SECONDS));
        let name = TargetName::new("pool-1").unwrap();
        drop(targets.polls(&name));
        for hours in [-5, 0, 5] {
            let now = Timestamp::now() + SignedDuration::from_hours(hours);
            let silent = now.duration_since(targets.silent_since(&name, now));
            assert!(silent < SignedDuration::from_mins(15), "{silent:#}");
        }
    }
}
