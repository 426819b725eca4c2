//! The server: the real intake, ledger and answers, with a clock that is set from outside and a writer that is turned by
//! hand. It is opened and closed; what stays is its disk.
//!
//! - `publishing`: the repository that it publishes.

mod publishing;

pub use publishing::TIMESTAMP;

use crate::{
    cast::{self, CLAIM, Cast, ORIGIN},
    fault::{self, Fault},
    people::Told,
    process::{Answer, Request},
    store::SimStore,
};
use api::{
    agent::Orders,
    problem::Problem,
    write::{Accepted, Submission},
};
use depot::{DiskStore, pack::SMALL_OBJECT_BYTES};
use domain::{
    command::{Actor, Command},
    entry::Entry,
    plan,
    rules::{presence::Away, restored::Lost},
    state::State,
};
use jiff::{SignedDuration, Timestamp};
use server::{
    answers::{self, Served},
    ledger::{HandWriter, Ledger, Prepared, SubmitError, Writing},
    repository::Repository,
};
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll, Waker},
};
use tempfile::TempDir;
use trust::{Digest, TargetName, key::SecretKey, manifest::MAX_MANIFEST_BYTES};

/// How long the clock sleeps when nothing is due, at most, and after a failure.
const LONGEST_SLEEP: u64 = 60_000;
const AFTER_FAILURE: u64 = 5_000;
/// The same where it matters who falls silent meanwhile.
const LONGEST_SLEEP_WATCHING: u64 = 5_000;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A target.
    Target { target: usize, call: u64 },
    /// A person.
    Person { call: u64 },
    /// The server's own clock.
    Clock,
}

type Submitting = Pin<Box<dyn Future<Output = Result<Accepted, SubmitError>>>>;

struct Pending {
    asker: Asker,
    payload: Option<Digest>,
    answer: Submitting,
}

struct Waiter {
    asker: Asker,
    generation: u64,
    charter: u64,
    before: Orders,
}

struct Open {
    ledger: Ledger,
    /// What is published, where owners delegated that.
    repository: Option<Repository>,
    writer: HandWriter,
    pending: Vec<Pending>,
    waiters: Vec<Waiter>,
    /// The newest entry that was looked at.
    looked: u64,
    /// When each target polled last, and when this began, by the time that passes.
    seen: BTreeMap<TargetName, SignedDuration>,
    began: SignedDuration,
    /// When each began or ended a poll last.
    heard: BTreeMap<TargetName, SignedDuration>,
}

/// The server.
pub struct Server {
    open: Option<Open>,
    store: SimStore,
    folder: TempDir,
    depot: DiskStore,
    key: Arc<SecretKey>,
    /// What its clock shows, in milliseconds.
    clock: Arc<AtomicI64>,
    /// How much time has passed.
    elapsed: SignedDuration,
    /// Whether the writer will take what waits.
    pub turn_is_due: bool,
    /// For how long it is down when it dies while it stores.
    pub dies_for: u64,
    /// For how long nothing is heard of a target before it counts as away, where any does.
    pub away_after: Option<SignedDuration>,
    /// Who was said to be away last, and what was decided since takes that into account.
    away: Away,
    /// Which entry each accepted payload of a target is.
    pub accepted: BTreeMap<Digest, u64>,
    /// Whether owners delegated a repository; and every timestamp of it that was ever published.
    publishes: bool,
    published: Vec<Vec<u8>>,
    published_at: Option<Timestamp>,
    looked: u64,
    fault: Option<Fault>,
}

type Made<T> = Result<T, Box<dyn std::error::Error>>;

impl Server {
    /// A server with an estate, its targets joined and its builds pushed, and a fault from then on.
    pub fn new(cast: &Cast, targets: usize, fault: Option<Fault>) -> Made<Self> {
        // Memory where the system has some to offer: what is lost with the world need not reach a disk.
        let shared = std::path::Path::new("/dev/shm");
        let folder = if shared.is_dir() { TempDir::new_in(shared) } else { TempDir::new() }?;
        let depot = DiskStore::open(&folder.path().join("depot"))?;
        for bytes in &cast.objects {
            depot.put_bytes(bytes)?;
        }
        let mut server = Self {
            open: None,
            store: SimStore::default(),
            folder,
            depot,
            key: Arc::new(cast::ledger_key()),
            clock: Arc::new(AtomicI64::new(cast::beginning().as_millisecond())),
            elapsed: SignedDuration::ZERO,
            turn_is_due: false,
            dies_for: 0,
            away_after: None,
            away: Away::new(),
            accepted: BTreeMap::new(),
            publishes: cast.publishes(),
            published: Vec::new(),
            published_at: None,
            looked: 0,
            fault,
        };
        server.open()?;
        for submission in cast.opening(targets)? {
            if let Err(Told::Refused { code }) = server.submit(Asker::Clock, submission) {
                return Err(format!("the world cannot begin: {code}").into());
            }
            for (_, _, told) in server.turn() {
                if let Told::Refused { code } = told {
                    return Err(format!("the world cannot begin: {code}").into());
                }
            }
        }
        let _the_opening = server.news();
        server.publish_early()?;
        server.store.break_by(fault);
        Ok(server)
    }

    /// Opens the ledger on what the disk has.
    pub fn open(&mut self) -> Made<()> {
        let clock = self.clock.clone();
        let now = move || Timestamp::from_millisecond(clock.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX);
        let decide = fault::decides(self.fault);
        let writing = Writing { decide, clock: Arc::new(now), ..Writing::default() };
        let store = Box::new(self.store.clone());
        let (ledger, writer) = Ledger::by_hand(store, self.folder.path(), self.key.clone(), ORIGIN, writing)?;
        let repository = self.open_repository()?;
        let (pending, waiters) = (Vec::new(), Vec::new());
        let (looked, seen, heard, began) = (self.looked, BTreeMap::new(), BTreeMap::new(), self.elapsed);
        self.open = Some(Open { ledger, repository, writer, pending, waiters, looked, seen, began, heard });
        self.away = Away::new();
        Ok(())
    }

    /// Who is away, as far as the decisions since the clock's last look know.
    pub fn away(&self) -> &Away {
        &self.away
    }

    /// Whether a target polls, or did a short while ago.
    pub fn is_here(&self, target: usize) -> bool {
        self.open.as_ref().is_some_and(|open| self.hears(open, &cast::target(target)))
    }

    /// Something is heard of a target: it polls beside whatever it is at.
    pub fn hears_of(&mut self, target: usize) {
        if let Some(open) = &mut self.open {
            open.heard.insert(cast::target(target), self.elapsed);
        }
    }

    fn hears(&self, open: &Open, name: &TargetName) -> bool {
        let Some(away_after) = self.away_after else { return true };
        let is_its =
            |waiter: &Waiter| matches!(waiter.asker, Asker::Target { target, .. } if cast::target(target) == *name);
        let polls = open.waiters.iter().any(is_its);
        polls || open.heard.get(name).is_some_and(|heard| self.elapsed - *heard < away_after)
    }

    /// The targets that nobody has heard of for a while, and whether they have had the time to come back since this began.
    fn unheard(&self, open: &Open, state: &State) -> (Away, bool) {
        let there = state.targets.iter().filter(|(_, target)| !target.retired).map(|(name, _)| name);
        let unheard = there.filter(|name| !self.hears(open, name)).cloned().collect();
        (unheard, self.away_after.is_some_and(|away_after| self.elapsed - open.began >= away_after))
    }

    /// The process dies.
    pub fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.looked = open.looked;
        }
        self.store.is_left();
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.open.is_some()
    }

    /// The ledger, while it runs.
    pub fn ledger(&self) -> Option<Ledger> {
        self.open.as_ref().map(|open| open.ledger.clone())
    }

    /// The ledger's disk.
    pub fn store(&self) -> &SimStore {
        &self.store
    }

    /// How many entries are durable.
    pub fn entries(&self) -> u64 {
        server::ledger::store::LedgerStore::head(&self.store).unwrap_or(0)
    }

    /// Sets the clock, after so much time.
    pub fn set_clock(&mut self, now: Timestamp, elapsed: SignedDuration) {
        self.elapsed = elapsed;
        self.clock.store(now.as_millisecond(), Ordering::Relaxed);
    }

    /// What its clock shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.clock.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX)
    }

    fn served<'a>(&'a self, open: &'a Open) -> Served<'a> {
        Served { ledger: &open.ledger, depot: &self.depot, claim: Some(Digest::of(CLAIM.as_bytes())) }
    }

    /// Takes a submission to the ledger's door, or says no.
    pub fn submit(&mut self, asker: Asker, submission: Submission) -> Result<(), Told> {
        let Some(open) = &self.open else { return Err(refused("AWAY")) };
        let payload = Digest::of(&submission.envelope.payload);
        let prepared = self.served(open).prepare(submission, self.now()).map_err(|problem| no(&problem))?;
        self.hand_over(asker, prepared, Some(payload));
        Ok(())
    }

    fn hand_over(&mut self, asker: Asker, prepared: Prepared, payload: Option<Digest>) {
        let Some(open) = &mut self.open else { return };
        let ledger = open.ledger.clone();
        let mut answer: Submitting = Box::pin(async move { ledger.submit(prepared).await });
        // The first look puts it before the writer, who has not turned yet.
        let looked = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        debug_assert!(looked.is_pending(), "the writer works by hand");
        open.pending.push(Pending { asker, payload, answer });
    }

    /// The writer takes all that waits; the answers, and the digest of what each is about.
    pub fn turn(&mut self) -> Vec<(Asker, Option<Digest>, Told)> {
        let Some(open) = &mut self.open else { return Vec::new() };
        open.writer.turn();
        let mut answers = Vec::new();
        let mut still = Vec::new();
        for mut pending in open.pending.drain(..) {
            match pending.answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => still.push(pending),
                Poll::Ready(Ok(accepted)) => {
                    let payload = pending.payload.unwrap_or_else(|| Digest::of(b""));
                    let told = Told::Accepted { number: accepted.entry, payload };
                    answers.push((pending.asker, pending.payload, told));
                }
                Poll::Ready(Err(error)) => {
                    answers.push((pending.asker, pending.payload, no(&answers::refused(error))));
                }
            }
        }
        open.pending = still;
        answers
    }

    /// The state and the entries that were published since this was asked last.
    pub fn news(&mut self) -> Option<(Arc<State>, Vec<Entry>)> {
        let open = self.open.as_mut()?;
        let state = open.ledger.state();
        if state.head.entry <= open.looked {
            return None;
        }
        let rows = open.ledger.entries(open.looked + 1, u64::MAX).ok()?;
        open.looked = state.head.entry;
        self.looked = open.looked;
        Some((state, rows.iter().filter_map(|row| serde_json::from_slice(row).ok()).collect()))
    }

    /// A poll: its answer if there is news or it is to be answered at once, or else it waits.
    pub fn poll(&mut self, asker: Asker, generation: u64, charter: u64, at_once: bool) -> Option<Answer> {
        let Asker::Target { target, .. } = asker else { return Some(Answer::Away) };
        self.open.as_mut()?.seen.insert(cast::target(target), self.elapsed);
        self.open.as_mut()?.heard.insert(cast::target(target), self.elapsed);
        let open = self.open.as_ref()?;
        let orders = match self.served(open).orders(&cast::target(target)) {
            Ok(orders) => orders,
            Err(problem) => return Some(refusal(&problem)),
        };
        if at_once || answers::is_news(&orders, &orders, generation, Some(charter)) {
            return Some(Answer::Orders(Box::new(orders)));
        }
        self.open.as_mut()?.waiters.push(Waiter { asker, generation, charter, before: orders });
        None
    }

    /// A poll has waited long enough: whose it is, if it still waits, and what it is answered.
    pub fn poll_is_due(&mut self, call: u64) -> Option<(Asker, Orders)> {
        let waiters = &mut self.open.as_mut()?.waiters;
        let is_it = |waiter: &Waiter| matches!(waiter.asker, Asker::Target { call: other, .. } if other == call);
        let waiter = waiters.remove(waiters.iter().position(is_it)?);
        let Asker::Target { target, .. } = waiter.asker else { return None };
        self.open.as_mut()?.heard.insert(cast::target(target), self.elapsed);
        let orders = self.served(self.open.as_ref()?).orders(&cast::target(target)).ok()?;
        Some((waiter.asker, orders))
    }

    /// The polls for which there is news now.
    pub fn wake_polls(&mut self) -> Vec<(Asker, Orders)> {
        let Some(mut open) = self.open.take() else { return Vec::new() };
        let mut woken = Vec::new();
        let mut still = Vec::new();
        for waiter in std::mem::take(&mut open.waiters) {
            let Asker::Target { target, .. } = waiter.asker else { continue };
            let Ok(orders) = self.served(&open).orders(&cast::target(target)) else { continue };
            let news = answers::is_news(&waiter.before, &orders, waiter.generation, Some(waiter.charter));
            let kept = |orders: &Orders| (orders.withdrawals.len(), orders.freezes.len());
            if news || kept(&orders) != kept(&waiter.before) {
                open.heard.insert(cast::target(target), self.elapsed);
                woken.push((waiter.asker, orders));
            } else {
                still.push(waiter);
            }
        }
        open.waiters = still;
        self.open = Some(open);
        woken
    }

    /// What else a target asks.
    pub fn answer(&self, asker: Asker, request: &Request) -> Answer {
        let (Some(open), Asker::Target { target, .. }) = (&self.open, asker) else { return Answer::Away };
        let served = self.served(open);
        let answer = match request {
            Request::Estate => served.estate().map(|estate| Answer::Estate(Box::new(estate))),
            Request::Dossier { generation, app } => served
                .dossier(&cast::target(target), *generation, app, self.now())
                .map(|dossier| Answer::Dossier(Box::new(dossier))),
            Request::Object(digest) => {
                return match self.depot.read_bytes(digest, MAX_MANIFEST_BYTES as u64) {
                    Ok(bytes) => Answer::Object(bytes),
                    Err(_) => missing(),
                };
            }
            Request::Gather(objects) => {
                let read = |name: &Digest| Some((*name, self.depot.read_bytes(name, SMALL_OBJECT_BYTES).ok()?));
                return objects.iter().map(read).collect::<Option<_>>().map_or_else(missing, Answer::Objects);
            }
            Request::Consistency { from, to } => {
                return match open.ledger.consistency(*from, *to) {
                    Ok(proof) => Answer::Proof(proof),
                    Err(_) => Answer::Refused { code: "LEDGER_SHORTER".into(), message: String::new() },
                };
            }
            Request::Poll { .. } | Request::Submit(_) | Request::File(_) => return Answer::Away,
        };
        answer.unwrap_or_else(|problem| refusal(&problem))
    }

    fn asks_already(&self) -> bool {
        let mut pending = self.open.iter().flat_map(|open| &open.pending);
        pending.any(|pending| pending.asker == Asker::Clock)
    }

    /// Asks for what is due by now; whether anything is asked, and after how long to look again.
    pub fn tick(&mut self) -> Option<(bool, u64)> {
        if self.fault == Some(Fault::ClockStopped) {
            return None;
        }
        let asks_already = self.asks_already();
        let open = self.open.as_ref()?;
        let state = open.ledger.state();
        let (unheard, knows) = self.unheard(open, &state);
        // Until it is answered it does not look again.
        if !asks_already {
            self.away = if knows { unheard.clone() } else { Away::new() };
            open.ledger.tell_away(self.away.clone());
        }
        let shown = Timestamp::from_millisecond(self.clock.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX);
        // The ledger's time never runs backwards, so neither does the clock's.
        let now = shown.max(state.head.time);
        let (mut commands, mut next) = plan::due(&state, now, &unheard, &Lost::default());
        if self.fault == Some(Fault::SilencePassedOver) {
            let (all, _) = plan::due(&state, now, &Away::new(), &Lost::default());
            commands = all.into_iter().filter(|(_, command)| !matches!(command, Command::CatchUp(..))).collect();
        }
        // Whoever was not heard of may have been before the server began.
        let silent_since = |name: &TargetName| {
            let seen = open.seen.get(name).copied().unwrap_or(open.began);
            let forgets = self.fault == Some(Fault::HeardForgotten);
            let ago = self.elapsed - if forgets { SignedDuration::ZERO } else { seen };
            now.saturating_sub(ago).unwrap_or(Timestamp::MIN)
        };
        let (gone, next_gone) = plan::vanished(&state, now, silent_since);
        commands.extend(gone);
        next = [next, next_gone].into_iter().flatten().min();
        let is_asking = !commands.is_empty();
        let longest = if self.away_after.is_some() { LONGEST_SLEEP_WATCHING } else { LONGEST_SLEEP };
        let until_next = next
            .map_or(longest, |next| u64::try_from(next.duration_since(now).as_millis()).unwrap_or(0).clamp(1, longest));
        let pause = if is_asking { AFTER_FAILURE } else { until_next };
        if !asks_already {
            for (request_id, command) in commands {
                let prepared = Prepared {
                    actor: Actor::Clock,
                    request_id,
                    on_behalf_of: None,
                    command,
                    envelope: None,
                    texts: BTreeMap::new(),
                };
                self.hand_over(Asker::Clock, prepared, None);
            }
        }
        Some((is_asking, pause))
    }
}

fn refused(code: &str) -> Told {
    Told::Refused { code: code.into() }
}

fn no(problem: &Problem) -> Told {
    refused(&problem.code)
}

fn refusal(problem: &Problem) -> Answer {
    Answer::Refused { code: problem.code.clone(), message: problem.message.clone() }
}

fn missing() -> Answer {
    Answer::Refused { code: "OBJECT_MISSING".into(), message: String::new() }
}
