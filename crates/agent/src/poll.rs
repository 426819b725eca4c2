//! The loop that hears of assignments and errands. It never works itself: a thread of its own follows assignments, so
//! that a long health check delays neither the next poll nor a look at the logs.

use crate::{
    bundle::Sources,
    drivers::Machine,
    escapes, inbox, join,
    journal::{Active, Journal},
    run::{Engine, EngineError},
    runtime::{CopyId, LogLine, Runtime},
    supply::{Server, Supply, SupplyError},
    watch::{self, Round, Watched},
};
use api::{
    agent::{Errand, Orders, Want},
    client::{Client, ClientError, SUBMIT_WITHIN, fresh_request_id},
    link::{Link, Stranger, within},
    problem::SIGNER_UNKNOWN,
    routes,
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};
use trust::{
    AppName, Digest,
    authority::Pinned,
    dsse::Envelope,
    key::SignError,
    statement::{Act, Facts, Header, Health, Inventory, RequestId, Statement, StatementSignError, Unwell},
};

/// For how long the server may hold a poll, in seconds.
const WAIT_SECONDS: u64 = 30;
/// How much later than that it may answer.
const MARGIN: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// How often copies whose keepers died are looked for, and unacknowledged outcomes sent again.
const LOOK_AFTER: Duration = Duration::from_secs(15);
/// How often the repository is refreshed from, besides before anything is activated.
const REFRESH_AFTER: Duration = Duration::from_secs(240);
/// How long to wait before what stopped in the middle, on a full disk say, is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// An inventory that says nothing new is sent again after this long.
const SAY_AGAIN: Duration = Duration::from_secs(3600);
/// A server that does not know this machine is shown again after this long that it is there.
const SHOW_AGAIN: Duration = Duration::from_secs(240);
/// The most lines of one copy's log that are sent for a tail.
const TAIL_LINES: usize = 2000;
/// How often a followed log is looked at.
const FOLLOW_PAUSE: Duration = Duration::from_millis(300);
/// The most errands remembered, so that one that is offered again is not run again.
const ERRANDS: usize = 256;

/// The agent as it works on a real target.
pub type Worker = Engine<Sources<Server>, Arc<Runtime>>;

/// What the working thread is told.
pub enum Work {
    /// The newest answer to a poll.
    Orders(Box<Orders>),
    /// Look for escapes now.
    Scan,
    /// Say what was found last: the server was away, and if it has started anew it holds no signed look at this target.
    SayAgain,
    /// Follow the bundles that wait.
    Inbox,
    /// Whoever answers as the server does, or in its place, does not know this machine.
    Unknown,
    /// Look at whoever answers in the server's place.
    Meet(Box<Stranger>),
    /// Tell how what runs here is: this is unwell, and nothing else.
    Health(BTreeMap<AppName, Unwell>),
    /// End, once the step at hand is done.
    Stop,
}

/// Polls for ever, and hands on what it hears.
pub async fn poll(link: Arc<Link>, runtime: Arc<Runtime>, work: mpsc::Sender<Work>) {
    let (mut generation, mut charter) = (0, 0);
    let mut pause = FIRST_PAUSE;
    let mut errands = VecDeque::new();
    // Why no orders come, as it was said last.
    let mut away = None;
    let mut looked = false;
    loop {
        // Whoever has just started or come back wants to know at once how things stand.
        let wait = if looked { WAIT_SECONDS } else { 0 };
        let answer = ask(&link, generation, charter, wait).await;
        let orders = match answer {
            Ok(orders) => orders,
            Err(error) => {
                let why = unanswered(&error);
                if away != Some(why) && !is_unknown(&error) {
                    tracing::warn!(%error, "{why}; what runs goes on running");
                }
                (away, looked, generation) = (Some(why), false, 0);
                let news = match meet(&link, error).await {
                    Ok(stranger) => stranger.map(|stranger| Work::Meet(Box::new(stranger))),
                    Err(error) => is_unknown(&error).then_some(Work::Unknown),
                };
                if news.is_some_and(|news| work.send(news).is_err()) {
                    return;
                }
                tokio::time::sleep(with_jitter(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        };
        let is_back = away.take().is_some();
        if is_back {
            tracing::info!("the server answers again");
        }
        (looked, pause) = (true, FIRST_PAUSE);
        let news = orders.generation != generation;
        (generation, charter) = (orders.generation, orders.charter_version);
        let mut fresh = false;
        for errand in &orders.errands {
            if !errands.contains(&errand.id) {
                fresh = true;
                errands.push_back(errand.id.clone());
                run_errand(errand.clone(), &link, &runtime, &work);
            }
        }
        while errands.len() > ERRANDS {
            errands.pop_front();
        }
        let is_quiet = orders.errands.is_empty() && orders.assignments.is_empty();
        let repeats = !(news || fresh || is_quiet);
        if work.send(Work::Orders(Box::new(orders))).is_err() || (is_back && work.send(Work::SayAgain).is_err()) {
            return;
        }
        if repeats {
            // A server that answers at once with what is known must not make a busy loop.
            tokio::time::sleep(with_jitter(FIRST_PAUSE)).await;
        }
    }
}

/// Why no orders came, as the log says it: a server that says no is not away.
fn unanswered(error: &ClientError) -> &'static str {
    match error {
        ClientError::Refused(problem) if problem.code == "STATEMENT_EXPIRED" => {
            "the server refuses this machine's login, by whose clock it is too old or not yet good: look at the clock of this \
             machine (timedatectl), and at the server's"
        }
        ClientError::Refused(problem) if problem.code == SIGNER_UNKNOWN => "the server does not know this machine",
        ClientError::Refused(_) => "the server answers, and refuses what this machine asks",
        _ => "the server is away",
    }
}

fn is_unknown(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(problem) if problem.code == SIGNER_UNKNOWN)
}

/// Whoever answered with a key that is not known here. It is looked at once a try, and tries grow rare. Fails where whoever answers
/// does not know this machine.
async fn meet(link: &Link, error: ClientError) -> Result<Option<Stranger>, ClientError> {
    let ClientError::OtherKey { url, key } = &error else {
        return if is_unknown(&error) { Err(error) } else { Ok(None) };
    };
    let stranger = link.look_at_stranger(url, *key).await;
    stranger.inspect_err(|error| tracing::info!(%error, "whoever answers in the server's place shows no charter"))
}

async fn ask(link: &Link, generation: u64, charter: u64, wait: u64) -> Result<Orders, ClientError> {
    let (generation, charter, wait) = (generation.to_string(), charter.to_string(), wait.to_string());
    let limit = Duration::from_secs(WAIT_SECONDS) + MARGIN;
    link.ask(async |client| {
        let refreshed = link.freshness().map(|signed| signed.to_string());
        let mut query =
            vec![("generation", generation.as_str()), ("wait", wait.as_str()), ("charter", charter.as_str())];
        query.extend(refreshed.as_deref().map(|signed| ("refreshed", signed)));
        within(client, limit, client.get(routes::AGENT_POLL, &query)).await
    })
    .await
}

/// Between half and the whole of `pause`, so that a fleet does not come back all at once.
fn with_jitter(pause: Duration) -> Duration {
    let mut random = [0; 1];
    // Without randomness there is no jitter, which harms nobody but the server.
    let _none = getrandom::fill(&mut random);
    pause / 2 + pause * u32::from(random[0]) / 512
}

fn run_errand(errand: Errand, link: &Arc<Link>, runtime: &Arc<Runtime>, work: &mpsc::Sender<Work>) {
    match errand.want {
        Want::Scan => {
            let _worker_is_ending = work.send(Work::Scan);
        }
        Want::Logs { app, process, lines, follow } => {
            let (link, runtime) = (link.clone(), runtime.clone());
            let _task = tokio::spawn(async move {
                let wanted = Wanted { app, process, lines, follow };
                if let Err(error) = send_logs(&errand.id, &wanted, &link, &runtime).await {
                    tracing::debug!(%error, "nobody reads the log any more");
                }
            });
        }
    }
}

struct Wanted {
    app: AppName,
    process: Option<String>,
    lines: u32,
    follow: bool,
}

async fn send_logs(errand: &str, wanted: &Wanted, link: &Link, runtime: &Runtime) -> Result<(), ClientError> {
    let lines = usize::try_from(wanted.lines).unwrap_or(TAIL_LINES).min(TAIL_LINES);
    let mut followers = Vec::new();
    let mut text = String::new();
    for id in logged_copies(runtime, &wanted.app) {
        if wanted.process.as_ref().is_some_and(|process| *process != id.process) {
            continue;
        }
        if wanted.follow
            && let Ok(follower) = runtime.follow(&wanted.app, &id)
        {
            followers.push((id.clone(), follower));
        }
        match runtime.tail(&wanted.app, &id, lines) {
            Ok(tail) => tail.iter().for_each(|line| write_line(&mut text, &id, line)),
            Err(error) => text.push_str(&format!("{id} cannot be read: {error}\n")),
        }
    }
    loop {
        let done = followers.is_empty();
        // Sent even when empty: a reader who left is noticed by the answer only.
        answer_errand(errand, link, std::mem::take(&mut text), done).await?;
        if done {
            return Ok(());
        }
        let began = Instant::now();
        while text.is_empty() && began.elapsed() < Duration::from_secs(WAIT_SECONDS / 2) {
            tokio::time::sleep(FOLLOW_PAUSE).await;
            for (id, follower) in &mut followers {
                for line in follower.next_lines().unwrap_or_default() {
                    write_line(&mut text, id, &line);
                }
            }
        }
    }
}

async fn answer_errand(errand: &str, link: &Link, text: String, done: bool) -> Result<(), ClientError> {
    let path = routes::path(routes::AGENT_ERRAND, &[errand]);
    let request = |client: &Client| {
        let request = client.request(reqwest::Method::POST, &path).query(&[("done", done)]);
        request.header("content-type", "text/plain; charset=utf-8").body(text.clone())
    };
    link.stream(request, MARGIN).await.map(|_| ())
}

/// The copies that have a log, whether they run or not.
fn logged_copies(runtime: &Runtime, app: &AppName) -> Vec<CopyId> {
    let names = crate::files::names_in(&runtime.layout().logs(app).into()).unwrap_or_default();
    let copy = |name: &String| {
        let (process, copy) = name.strip_suffix(".log")?.rsplit_once('-')?;
        Some(CopyId { process: process.to_owned(), copy: copy.parse().ok()? })
    };
    names.iter().filter_map(copy).collect()
}

fn write_line(text: &mut String, id: &CopyId, line: &LogLine) {
    text.push_str(&format!("{} {id} {} {}\n", line.at, line.stream.as_str(), line.text));
}

/// What the working thread keeps between two pieces of work.
struct Desk {
    engine: Worker,
    /// What was found last.
    found: Option<Inventory>,
    /// What the server took last of that, and when.
    said: Option<(Inventory, Instant)>,
    watch: mpsc::Sender<Round<watch::Copy, watch::Question>>,
    /// What the watch has told last, and when the server is to be told of it next.
    health: Option<(BTreeMap<AppName, Unwell>, Instant)>,
    /// What is looked after: with which config, whether something is done with it, and whether it has still to settle.
    round: BTreeMap<AppName, (Active, bool, bool)>,
    /// When it was said last that the server does not know this machine, and when the server was told last that it is there.
    unknown: (Option<Instant>, Option<Instant>),
}

/// The working thread: everything that changes the machine happens here, one thing after the other. `watch` is told what is
/// to be looked after meanwhile. Ends when it is told to, and once the target's time is over and nothing is left to be done:
/// answers whether that is so.
pub fn work(
    engine: Worker,
    work: &mpsc::Receiver<Work>,
    scan_every: Duration,
    watch: mpsc::Sender<Round<watch::Copy, watch::Question>>,
) -> bool {
    let mut desk =
        Desk { engine, found: None, said: None, watch, health: None, round: BTreeMap::new(), unknown: (None, None) };
    // What a process before this one was killed in may have come by a bundle, and is carried on with from there.
    if !desk.engine.lapse().is_ok_and(|is_over| is_over) {
        desk.open_inbox();
    }
    desk.engine.recover();
    desk.look_after();
    // A machine that is not what it said when it joined says so at once: what may be deployed to it depends on that.
    if desk.facts_to_tell().is_some() {
        desk.scan(true);
    }
    let mut next_scan = Instant::now() + scan_every;
    let mut next_look = Instant::now() + LOOK_AFTER;
    desk.engine.refresh_repository();
    let mut next_refresh = Instant::now() + REFRESH_AFTER;
    let mut again: Option<Box<Orders>> = None;
    loop {
        let now = Instant::now();
        let mut until = next_scan.min(next_look).min(next_refresh).saturating_duration_since(now);
        if again.is_some() {
            until = until.min(AGAIN_AFTER);
        }
        if desk.engine.is_done() {
            return true;
        }
        match work.recv_timeout(until) {
            Ok(Work::Orders(mut orders)) => {
                let (mut scan, mut say_again) = (false, false);
                // Only the newest answer counts; older ones say less.
                while let Ok(more) = work.try_recv() {
                    match more {
                        Work::Orders(newer) => orders = newer,
                        Work::Scan => scan = true,
                        Work::SayAgain => say_again = true,
                        // It is told of again as long as there is something in it.
                        Work::Inbox => {}
                        Work::Unknown => desk.is_unknown(),
                        Work::Meet(stranger) => desk.engine.meet(*stranger),
                        Work::Health(unwell) => desk.health = Some((unwell, Instant::now())),
                        Work::Stop => return desk.engine.is_done(),
                    }
                }
                again = (!desk.obey(&orders)).then_some(orders);
                match (scan, say_again) {
                    (true, _) => desk.scan(true),
                    (false, true) => desk.say_again(),
                    (false, false) => {}
                }
            }
            Ok(Work::Scan) => desk.scan(true),
            Ok(Work::SayAgain) => desk.say_again(),
            Ok(Work::Inbox) => desk.open_inbox(),
            Ok(Work::Unknown) => desk.is_unknown(),
            Ok(Work::Meet(stranger)) => desk.engine.meet(*stranger),
            Ok(Work::Health(unwell)) => desk.health = Some((unwell, Instant::now())),
            Ok(Work::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return desk.engine.is_done(),
            Err(mpsc::RecvTimeoutError::Timeout) => again = again.filter(|orders| !desk.obey(orders)),
        }
        if Instant::now() >= next_look {
            desk.engine.recover();
            next_look = Instant::now() + LOOK_AFTER;
        }
        if Instant::now() >= next_refresh {
            desk.engine.refresh_repository();
            next_refresh = Instant::now() + REFRESH_AFTER;
        }
        if Instant::now() >= next_scan {
            desk.scan(false);
            next_scan = Instant::now() + scan_every;
        }
        desk.look_after();
        desk.say_health();
    }
}

impl Desk {
    /// Does what an answer says. What it is about is not judged meanwhile.
    fn obey(&mut self, orders: &Orders) -> bool {
        let mut changes = false;
        for assignment in &orders.assignments {
            changes |= self.round.get_mut(&assignment.app).is_some_and(|(_, busy, _)| !std::mem::replace(busy, true));
        }
        if changes {
            self.say_round();
        }
        self.engine.obey(orders)
    }

    /// Says anew what is to be looked after, where that changed.
    fn look_after(&mut self) {
        let runs = |journal: &Journal| {
            let active = journal.active.clone().filter(|active| !active.stopped)?;
            // As long as the server does not know what runs, nothing can be said of how that is.
            let busy = journal.under_way.is_some() || journal.unreported.is_some();
            Some((journal.app.clone(), (active, busy, journal.is_unsettled())))
        };
        let round: BTreeMap<_, _> = self.engine.journals().iter().filter_map(runs).collect();
        if round != self.round {
            self.round = round;
            self.say_round();
        }
    }

    fn say_round(&self) {
        let watched = |(app, (active, busy, _)): (&AppName, &(Active, bool, bool))| {
            let journal = self.engine.journals().get(app);
            let to_watch = if *busy { None } else { self.engine.to_watch(&journal) };
            let (copies, again) = to_watch.map_or((None, Vec::new()), |(copies, again)| (Some(copies), again));
            (app.clone(), Watched { build: active.build, copies, again })
        };
        let _watch_is_ending = self.watch.send(self.round.iter().map(watched).collect());
    }

    /// Tells the server how what runs here is, until it took it, and once in a while.
    fn say_health(&mut self) {
        let Some((unwell, due)) = &mut self.health else { return };
        if Instant::now() < *due {
            return;
        }
        for (app, unwell) in unwell.iter() {
            tracing::warn!(%app, build = %unwell.build.short(), reason = %unwell.reason, "unwell");
        }
        let target = self.engine.documents.pinned().target.clone();
        let health = Health { target, looked: self.engine.now(), unwell: unwell.clone() };
        let told = sign_own(&self.engine, Act::Health(health)).map(|envelope| self.engine.supply().submit(&envelope));
        let again = match told {
            Ok(Ok(())) => SAY_AGAIN,
            Ok(Err(error)) if error.is_done_already() => SAY_AGAIN,
            Ok(Err(error)) => {
                tracing::info!(%error, "the server was not told yet how what runs here is");
                LOOK_AFTER
            }
            Err(error) => {
                tracing::error!(%error, "cannot sign how what runs here is");
                LOOK_AFTER
            }
        };
        *due = Instant::now() + again;
    }

    /// Follows the bundles that wait.
    fn open_inbox(&mut self) {
        if self.engine.is_over() {
            return;
        }
        self.round.values_mut().for_each(|(_, busy, _)| *busy = true);
        self.say_round();
        if let Err(error) = inbox::follow_all(&mut self.engine) {
            tracing::error!(%error, "stopped in the middle of a bundle; it is carried on with");
        }
    }

    /// Looks for escapes, and reports what was found: always when asked, else when there is something new to say.
    fn scan(&mut self, asked: bool) {
        let engine = &self.engine;
        if engine.is_over() {
            return;
        }
        let pinned = engine.documents.pinned();
        let copies = |journal: &Journal| engine.expected_copies(journal);
        let inventory = match escapes::scan(&pinned.target, engine.home(), engine.journals(), engine.machine(), copies)
        {
            Ok(inventory) => inventory,
            Err(error) => return tracing::error!(%error, "cannot look for escapes"),
        };
        for finding in &inventory.findings {
            tracing::warn!(app = %finding.app, path = %finding.path, kind = ?finding.kind, "escape");
        }
        self.found = Some(inventory.clone());
        let same = self.said.as_ref().is_some_and(|(said, when)| {
            said.active == inventory.active && said.findings == inventory.findings && when.elapsed() < SAY_AGAIN
        });
        if asked || !same {
            self.say(inventory);
        }
    }

    /// The server does not know this machine: people are told what to do, here now and then, and by the server, which shows them who
    /// speaks to it.
    fn is_unknown(&mut self) {
        let is_due = |said: Option<Instant>, after| said.is_none_or(|said| said.elapsed() >= after);
        if is_due(self.unknown.0, SAY_AGAIN) {
            self.unknown.0 = Some(Instant::now());
            let Pinned { target, environment, .. } = self.engine.documents.pinned();
            tracing::error!(
                "the server does not know {target}: it was put back from a backup of before this machine joined, or somebody retired \
                 it. What runs here goes on, and nothing reaches it any more, not even a withdrawal. To join anew: `sortie target \
                 invite --name {target} --in {environment}`, then start this agent again with --join and the same --data. \
                 The name of who was retired is never used again: that takes another one, and an empty --data"
            );
        }
        if is_due(self.unknown.1, SHOW_AGAIN) {
            self.unknown.1 = Some(Instant::now());
            match self.found.clone() {
                Some(found) => drop(self.submit(&found)),
                None => self.scan(true),
            }
        }
    }

    /// Says again what was found last, and when that was: a look takes its time, and a bad network loses the server often.
    /// What was never looked at, or runs only since, is looked at now.
    fn say_again(&mut self) {
        let runs = |journal: &Journal| Some((journal.app.clone(), journal.active.as_ref()?.build));
        let active: BTreeMap<AppName, Digest> = self.engine.journals().iter().filter_map(runs).collect();
        match self.found.clone().filter(|found| found.active == active) {
            Some(found) => self.say(found),
            None => self.scan(true),
        }
    }

    /// What this machine is, where the server was told something else last.
    fn facts_to_tell(&self) -> Option<Facts> {
        let facts = join::facts();
        let told = self.engine.home().facts().unwrap_or_default();
        (told.as_ref() != Some(&facts)).then_some(facts)
    }

    fn say(&mut self, inventory: Inventory) {
        let facts = self.facts_to_tell();
        let told = match &facts {
            Some(_) => self.submit(&Inventory { facts: facts.clone(), ..inventory.clone() }),
            None => self.submit(&inventory),
        };
        let told = match (told, facts) {
            (Some(Ok(())), Some(facts)) => {
                if let Err(error) = self.engine.home().keep_facts(&facts) {
                    tracing::warn!(%error, "cannot remember what the server was told of this machine");
                }
                Some(Ok(()))
            }
            // A server of before does not know that a machine may say what it is now.
            (Some(Err(SupplyError::Refused { .. })), Some(_)) => self.submit(&inventory),
            (told, _) => told,
        };
        match told {
            None => {}
            Some(Ok(())) => self.said = Some((inventory, Instant::now())),
            Some(Err(error)) => tracing::warn!(%error, at = %Timestamp::now(), "the inventory was not taken"),
        }
    }

    /// Signs and sends; nothing where it cannot be signed. What tells nothing new the server keeps as the newest all the
    /// same.
    fn submit(&self, inventory: &Inventory) -> Option<Result<(), SupplyError>> {
        match sign_own(&self.engine, Act::Inventory(inventory.clone())) {
            Ok(envelope) => match self.engine.supply().submit(&envelope) {
                Err(error) if error.is_done_already() => Some(Ok(())),
                told => Some(told),
            },
            Err(error) => {
                tracing::error!(%error, "cannot sign the inventory");
                None
            }
        }
    }
}

/// What the target says of itself, signed by it.
pub fn sign_own<S: Supply, M: Machine>(engine: &Engine<S, M>, act: Act) -> Result<Envelope, EngineError> {
    let request_id = fresh_request_id().map_err(|error| SignError(error.to_string()));
    sign_own_as(engine, request_id.map_err(StatementSignError::from)?, act)
}

/// The same, under an id of its own. The time is the machine's clock's, as in all else that the engine signs.
pub fn sign_own_as<S: Supply, M: Machine>(
    engine: &Engine<S, M>,
    request_id: RequestId,
    act: Act,
) -> Result<Envelope, EngineError> {
    let estate = engine.documents.pinned().estate;
    let submit_before = engine.now().saturating_add(SUBMIT_WITHIN).unwrap_or(Timestamp::MAX);
    let header = Header { estate, request_id, submit_before, on_behalf_of: None };
    let statement = Statement { subject_name: "estate".into(), subject: estate, header, act };
    Ok(statement.sign(&[engine.key().as_ref()])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::problem::Problem;

    #[test]
    fn a_server_that_refuses_is_not_away_and_a_wrong_clock_is_named() {
        let refused = |code: &str| {
            let (code, message) = (code.into(), "no".into());
            ClientError::Refused(Box::new(Problem { code, message, next: None, exit: 3, refusal: None }))
        };
        assert!(unanswered(&refused("STATEMENT_EXPIRED")).contains("look at the clock of this machine"));
        assert!(unanswered(&refused("LOGIN_NEEDED")).contains("refuses"));
        assert!(is_unknown(&refused("SIGNER_UNKNOWN")) && !is_unknown(&refused("LOGIN_NEEDED")));
        let away = ClientError::Away { url: "https://server".into(), why: "no route".into() };
        assert_eq!(unanswered(&away), "the server is away");
    }
}
