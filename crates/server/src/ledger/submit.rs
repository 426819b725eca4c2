//! The one writer: the only caller of decide, append and apply.
//!
//! It takes everything that waits, decides each command on the state as the ones before leave it, makes all accepted
//! entries durable in one commit, and only then lets anyone see them: readers, those who watch the head, the callers.

use super::{
    LedgerError, Prepared, Published, Shared, SubmitError, snapshot,
    store::{Erases, NewEntry, Row, Seen, StoreError},
};
use api::write::Accepted;
use domain::{
    command::{Actor, Command, Context},
    entry::Entry,
    event::Event,
    refusal::Refusal,
    state::{Stamp, State, apply},
};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};
use tokio::sync::{mpsc, oneshot};
use trust::{
    Digest,
    log::{Frontier, leaf_hash},
    statement::{Act, Administration, AdministrationAct, Statement},
};

/// The most commands that share one commit.
const LARGEST_BATCH: usize = 512;
/// Commands that may wait for the writer; whoever comes then waits for room.
const WAITING_COMMANDS: usize = 4_096;

/// How commands are decided: [`domain::decide::decide`], or a test's own.
pub type Decide = fn(&State, &Context, Command) -> Result<Vec<Event>, Refusal>;
/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How the writer works.
#[derive(Clone)]
pub struct Writing {
    /// How commands are decided.
    pub decide: Decide,
    /// What time it is.
    pub clock: Clock,
    /// After how many entries a snapshot is written in the background.
    pub snapshot_entries: u64,
}

impl Default for Writing {
    fn default() -> Self {
        Self { decide: domain::decide::decide, clock: Arc::new(Timestamp::now), snapshot_entries: 20_000 }
    }
}

type Answer = Result<Accepted, SubmitError>;

/// Who asked, and under which id: it names a request for ever.
type Request = (String, String);

struct Submission {
    prepared: Prepared,
    /// The digest of what was signed. It is taken on the caller's thread, as everything is that the writer need not do.
    payload: Option<Digest>,
    answer: oneshot::Sender<Answer>,
}

/// Where commands are handed to the writer. Closing it, or dropping the last, waits for the writer to finish.
pub(super) struct Door {
    open: Mutex<Option<mpsc::Sender<Submission>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Door {
    /// Starts the writer.
    pub fn open(shared: Arc<Shared>, writing: Writing) -> Result<Self, LedgerError> {
        let (door, HandWriter { writer, commands }) = Self::by_hand(shared, writing);
        let thread = thread::Builder::new().name("ledger".into()).spawn(move || writer.run(commands));
        let thread =
            thread.map_err(|error| LedgerError(format!("the ledger's writer could not be started: {error}")))?;
        *door.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(door)
    }

    /// With a writer that somebody else turns.
    pub fn by_hand(shared: Arc<Shared>, writing: Writing) -> (Self, HandWriter) {
        let (sender, commands) = mpsc::channel(WAITING_COMMANDS);
        let snapshotted = shared.opened.snapshot.unwrap_or_default();
        let writer = Writer { shared, writing, snapshotted, snapshot: None };
        (Self { open: Mutex::new(Some(sender)), writer: Mutex::new(None) }, HandWriter { writer, commands })
    }

    /// Hands a command over and waits for its answer.
    pub async fn submit(&self, prepared: Prepared) -> Answer {
        let closed = || SubmitError::NotWritten("the server is stopping; submit again when it runs".into());
        let sender = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        let payload = prepared.envelope.as_ref().map(|envelope| Digest::of(&envelope.payload));
        sender.send(Submission { prepared, payload, answer }).await.map_err(|_| closed())?;
        drop(sender);
        answered
            .await
            .map_err(|_| SubmitError::NotWritten("the ledger's writer stopped; see the server's log".into()))?
    }

    /// Lets nobody else in, and returns when everyone who was in is answered and the snapshot is written.
    pub fn close(&self) {
        drop(self.open.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the ledger's writer ended in a panic");
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    shared: Arc<Shared>,
    writing: Writing,
    /// The entry that the newest snapshot reaches, or the one being written.
    snapshotted: u64,
    snapshot: Option<JoinHandle<()>>,
}

/// The one writer without a thread of its own: it writes when it is told to. It keeps no snapshots.
pub struct HandWriter {
    writer: Writer,
    commands: mpsc::Receiver<Submission>,
}

impl HandWriter {
    /// Decides all that waits, makes what is accepted durable in one commit, and answers. Says how many waited.
    pub fn turn(&mut self) -> usize {
        let mut waiting = Vec::new();
        while waiting.len() < LARGEST_BATCH
            && let Ok(submission) = self.commands.try_recv()
        {
            waiting.push(submission);
        }
        let count = waiting.len();
        if count > 0 {
            self.writer.write(&mut waiting);
        }
        count
    }
}

/// A batch under way: everything as it will be once it is committed, and nothing of it visible yet.
struct Batch {
    state: State,
    frontier: Frontier,
    entries: Vec<NewEntry>,
    answers: Vec<Pending>,
    /// Which answer belongs to a request that this batch accepts, and the digest of what was signed.
    requests: BTreeMap<Request, (usize, Option<Digest>)>,
}

struct Pending {
    answer: oneshot::Sender<Answer>,
    outcome: Answer,
    /// Whether the outcome holds even if the batch cannot be committed: nothing uncommitted led to it.
    stands_alone: bool,
}

impl Writer {
    fn run(mut self, mut commands: mpsc::Receiver<Submission>) {
        let mut waiting = Vec::with_capacity(LARGEST_BATCH);
        while commands.blocking_recv_many(&mut waiting, LARGEST_BATCH) > 0 {
            self.write(&mut waiting);
            self.write_snapshot_when_due();
        }
        self.write_last_snapshot();
    }

    /// Decides, commits, publishes, answers: in this order.
    fn write(&mut self, submissions: &mut Vec<Submission>) {
        let requests: Vec<Request> = submissions.iter().map(|submission| request_of(&submission.prepared)).collect();
        let seen = match self.shared.store.requests(&requests) {
            Ok(seen) => seen,
            Err(error) => {
                for Submission { answer, .. } in submissions.drain(..) {
                    let _ = answer.send(Err(SubmitError::NotWritten(error.to_string())));
                }
                return;
            }
        };
        let published = self.shared.published.load_full();
        let mut batch = Batch {
            state: State::clone(&published.state),
            frontier: published.frontier.clone(),
            entries: Vec::new(),
            answers: Vec::new(),
            requests: BTreeMap::new(),
        };
        for (submission, (request, seen)) in submissions.drain(..).zip(requests.into_iter().zip(seen)) {
            let Submission { prepared, payload, answer } = submission;
            let stands_alone = batch.entries.is_empty();
            let outcome = self.consider(&mut batch, prepared, request, payload, seen);
            // The first to be accepted depends on the commit as much as those after it.
            let stands_alone = stands_alone && batch.entries.is_empty();
            batch.answers.push(Pending { answer, outcome, stands_alone });
        }
        let Batch { state, frontier, entries, mut answers, .. } = batch;
        if !entries.is_empty() {
            match self.shared.store.append(&entries) {
                Ok(()) => self.publish(state, frontier),
                Err(error) => take_back(&mut answers, &error),
            }
        }
        for Pending { answer, outcome, .. } in answers {
            // Whoever asked may have gone; the same request id gives the answer again.
            let _ = answer.send(outcome);
        }
    }

    fn publish(&self, state: State, frontier: Frontier) {
        let head = state.head.entry;
        self.shared.published.store(Arc::new(Published { state: Arc::new(state), frontier }));
        self.shared.heads.send_replace(head);
    }

    /// One command: the answer it gets if the batch is committed.
    fn consider(
        &self,
        batch: &mut Batch,
        prepared: Prepared,
        request: Request,
        payload: Option<Digest>,
        seen: Option<Seen>,
    ) -> Answer {
        if let Some(first) = self.answered_before(batch, &request, payload, seen)? {
            return Ok(first);
        }
        if let Some((digest, _)) = prepared.texts.iter().find(|(digest, text)| text.digest() != **digest) {
            return Err(SubmitError::NotWritten(format!("the text submitted as {digest} has another digest")));
        }
        // What a panic leaves half-done is the copy, which is dropped with it. A copy costs next to nothing.
        let state = batch.state.clone();
        let record = || self.record(state, prepared, &request, payload);
        let recorded = catch_unwind(AssertUnwindSafe(record)).unwrap_or_else(|_| {
            tracing::error!(actor = request.0, request_id = request.1, "deciding a command panicked");
            Err(SubmitError::NotWritten("deciding it failed; this is a bug, the server's log says more".into()))
        });
        let (state, entry, accepted) = recorded?;
        batch.state = state;
        batch.frontier.push(entry.row.leaf);
        batch.entries.push(entry);
        batch.requests.insert(request, (batch.answers.len(), payload));
        Ok(accepted)
    }

    /// The first answer to a request that was accepted before, in this batch or long ago.
    fn answered_before(
        &self,
        batch: &Batch,
        request: &Request,
        payload: Option<Digest>,
        seen: Option<Seen>,
    ) -> Result<Option<Accepted>, SubmitError> {
        if let Some((first, first_payload)) = batch.requests.get(request) {
            return match &batch.answers[*first].outcome {
                Ok(accepted) if *first_payload == payload => Ok(Some(Accepted { repeated: true, ..accepted.clone() })),
                _ => Err(Refusal::RequestIdReused.into()),
            };
        }
        let unread = |error: LedgerError| SubmitError::NotWritten(error.to_string());
        let Some(seen) = seen else { return Ok(None) };
        if seen.payload != payload {
            return Err(Refusal::RequestIdReused.into());
        }
        let entry = self.shared.read_as::<Entry>(seen.number).map_err(unread)?;
        let entry = entry.ok_or_else(|| SubmitError::NotWritten(format!("entry {} is missing", seen.number)))?;
        Ok(Some(Accepted { entry: entry.number, time: entry.time, events: entry.events, repeated: true }))
    }

    /// Decides a command, writes its entry down and folds it into `state`.
    fn record(
        &self,
        mut state: State,
        prepared: Prepared,
        request: &Request,
        payload: Option<Digest>,
    ) -> Result<(State, NewEntry, Accepted), SubmitError> {
        let Prepared { actor, request_id, on_behalf_of, command, envelope, texts } = prepared;
        let time = self.now().max(state.head.time);
        let roles = match &actor {
            Actor::Person { roles, .. } | Actor::Customer { roles, .. } => {
                roles.iter().map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        };
        let context =
            Context { now: time, actor, request_id, payload, away: self.shared.away(), lost: self.shared.lost() };
        let events = (self.writing.decide)(&state, &context, command)?;
        let number = state.head.entry + 1;
        let (actor, request_id) = request.clone();
        let entry = Entry { number, time, actor, roles, on_behalf_of, request_id, events, envelope };
        let bytes = serde_json::to_vec(&entry)
            .map_err(|error| SubmitError::NotWritten(format!("the entry cannot be written down: {error}")))?;
        let Entry { actor, request_id, events, .. } = entry;
        let erases = self.erased_by(&state, &events)?;
        state.head = Stamp { entry: number, time };
        events.iter().for_each(|event| apply(&mut state, event));
        let row = Row { number, leaf: leaf_hash(&bytes), bytes };
        let entry = NewEntry { row, actor, request_id, payload, texts: texts.into_iter().collect(), erases };
        Ok((state, entry, Accepted { entry: number, time, events, repeated: false }))
    }

    /// What an erasure takes from the side table: every text that the person's own statements name, the name behind the
    /// handle, and whatever says just the handle or that name. The entries that name them stay as they are.
    fn erased_by(&self, state: &State, events: &[Event]) -> Result<Erases, SubmitError> {
        let unread = |error: &dyn std::fmt::Display| SubmitError::NotWritten(error.to_string());
        let store = &self.shared.store;
        let name_of = |person| state.people.get(person).and_then(|known| known.name);
        let mut erases = Erases::default();
        for event in events {
            let person = match event {
                Event::PersonNamed { person, .. } => {
                    erases.digests.extend(name_of(person));
                    continue;
                }
                Event::PersonErased { person } => person,
                _ => continue,
            };
            for number in store.entries_by(person.as_str()).map_err(|error| unread(&error))? {
                let entry = self.shared.read_as::<Entry>(number).map_err(|error| unread(&error))?;
                let envelope = entry.and_then(|entry| entry.envelope);
                let statement = envelope.and_then(|envelope| Statement::read(&envelope).ok());
                // The names that an owner gave to others are theirs.
                let statement = statement.filter(|statement| !names_somebody(&statement.act));
                erases.digests.extend(statement.iter().flat_map(Statement::texts));
            }
            erases.saying.push(person.to_string());
            if let Some(digest) = name_of(person) {
                erases.digests.push(digest);
                let name = store.text(&digest).map_err(|error| unread(&error))?;
                erases.saying.extend(name.map(|name| name.text));
            }
        }
        Ok(erases)
    }

    /// The time in whole milliseconds: nobody's clock is better, and entries stay shorter.
    fn now(&self) -> Timestamp {
        let now = (self.writing.clock)();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    /// Starts a snapshot in a thread of its own; the writer goes on.
    fn write_snapshot_when_due(&mut self) {
        let published = self.shared.published.load_full();
        let due = published.state.head.entry - self.snapshotted >= self.writing.snapshot_entries;
        if !due || self.snapshot.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        self.snapshotted = published.state.head.entry;
        let folder = self.shared.folder.clone();
        let write = move || log_failure(snapshot::write(&folder, &published.state, &published.frontier));
        match thread::Builder::new().name("snapshot".into()).spawn(write) {
            Ok(running) => self.snapshot = Some(running),
            Err(error) => tracing::warn!("no thread for a snapshot: {error}"),
        }
    }

    fn write_last_snapshot(&mut self) {
        if self.snapshot.take().is_some_and(|running| running.join().is_err()) {
            tracing::warn!("writing a snapshot panicked");
        }
        let published = self.shared.published.load_full();
        if published.state.head.entry > self.snapshotted {
            log_failure(snapshot::write(&self.shared.folder, &published.state, &published.frontier));
        }
    }
}

fn names_somebody(act: &Act) -> bool {
    matches!(act, Act::Administration(Administration { act: AdministrationAct::NamePerson { .. } }))
}

fn request_of(prepared: &Prepared) -> Request {
    (prepared.actor.name(), prepared.request_id.as_str().to_owned())
}

/// The batch was rolled back: whatever hung on it did not happen.
fn take_back(answers: &mut [Pending], error: &StoreError) {
    tracing::error!("a batch of {} commands could not be written: {error}", answers.len());
    for pending in answers.iter_mut().filter(|pending| !pending.stands_alone) {
        pending.outcome = Err(SubmitError::NotWritten(error.to_string()));
    }
}

/// A snapshot is a convenience: a server without one starts more slowly.
fn log_failure(written: Result<(), LedgerError>) {
    if let Err(error) = written {
        tracing::warn!("{error}");
    }
}
