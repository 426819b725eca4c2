//! The ledger under two submitters, full disks, panics, kills and tampering, with a toy in decide's place.

use super::*;
use domain::{command::Context, event::Event};
use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    process::{Child, Command as Process, Stdio},
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
};
use tempfile::TempDir;
use trust::{
    AppName, AudienceName, PersonName, log::verify_consistency, note::verify_checkpoint, statement::AdministrationAct,
};

const ORIGIN: &str = "sortie.example/ledger";
const CRASH_FOLDER: &str = "SORTIE_TEST_CRASH_FOLDER";

/// Suspends anyone not yet suspended, erases anyone, lifts any hold; refuses, and panics, when asked to.
fn toy(state: &State, _: &Context, command: Command) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::SuspendPerson(person) if person.as_str() == "panic" => panic!("asked to"),
        Command::SuspendPerson(person) if state.suspended.contains(&person) => {
            Err(Refusal::AlreadyDone { what: format!("{person} is suspended"), since: Some(state.head.time) })
        }
        Command::SuspendPerson(person) => Ok(vec![Event::PersonSuspended { person }]),
        Command::Administer(AdministrationAct::LiftHold { app, environment, build, reason }) => {
            Ok(vec![Event::HoldLifted { app, environment, build, reason }])
        }
        Command::Administer(AdministrationAct::ErasePerson { person }) => Ok(vec![Event::PersonErased { person }]),
        _ => Err(Refusal::NoEstate),
    }
}

struct World {
    folder: TempDir,
    key: Arc<SecretKey>,
    milliseconds: Arc<AtomicI64>,
    snapshot_entries: u64,
}

impl World {
    fn new() -> Self {
        let key = Arc::new(SecretKey::from_seed(&[7; 32]));
        let milliseconds = Arc::new(AtomicI64::new(1_000));
        Self { folder: tempfile::tempdir().unwrap(), key, milliseconds, snapshot_entries: u64::MAX }
    }

    fn writing(&self) -> Writing {
        let milliseconds = self.milliseconds.clone();
        let clock = Arc::new(move || Timestamp::from_millisecond(milliseconds.load(Ordering::SeqCst)).unwrap());
        Writing { decide: toy, clock, snapshot_entries: self.snapshot_entries }
    }

    fn open(&self) -> Ledger {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Ledger, LedgerError> {
        Ledger::open_with(self.folder.path(), self.key.clone(), ORIGIN, self.writing())
    }

    /// The ledger over a store that the test keeps a hand on.
    fn open_over_shared_store(&self) -> (Ledger, SharedStore) {
        let store = Arc::new(sqlite::SqliteStore::open(self.folder.path()).unwrap());
        let store = SharedStore { store, held: Arc::default(), waits: Arc::default() };
        let ledger =
            Ledger::over(Box::new(store.clone()), self.folder.path(), self.key.clone(), ORIGIN, self.writing())
                .unwrap();
        (ledger, store)
    }

    /// Puts a new store's hand on the file, while no ledger is open.
    fn tamper(&self, statements: &str) {
        sqlite::SqliteStore::open(self.folder.path()).unwrap().tamper(statements);
    }

    fn snapshot_path(&self) -> PathBuf {
        self.folder.path().join("state.snapshot")
    }
}

/// A store that the test looks into, and whose appends it can hold up.
#[derive(Clone)]
struct SharedStore {
    store: Arc<sqlite::SqliteStore>,
    held: Arc<AtomicBool>,
    /// Whether an append is held up now.
    waits: Arc<AtomicBool>,
}

impl LedgerStore for SharedStore {
    fn head(&self) -> Result<u64, StoreError> {
        self.store.head()
    }
    fn append(&self, batch: &[store::NewEntry]) -> Result<(), StoreError> {
        while self.held.load(Ordering::SeqCst) {
            self.waits.store(true, Ordering::SeqCst);
            std::thread::yield_now();
        }
        self.waits.store(false, Ordering::SeqCst);
        self.store.append(batch)
    }
    fn scan(&self, from: u64, count: u64, take: &mut dyn FnMut(store::RowRef<'_>)) -> Result<(), StoreError> {
        self.store.scan(from, count, take)
    }
    fn requests(&self, asked: &[(String, String)]) -> Result<Vec<Option<store::Seen>>, StoreError> {
        self.store.requests(asked)
    }
    fn each_request(&self, take: &mut dyn FnMut((&str, &str), store::Seen)) -> Result<(), StoreError> {
        self.store.each_request(take)
    }
    fn each_text(&self, take: &mut dyn FnMut(&Digest, Text)) -> Result<(), StoreError> {
        self.store.each_text(take)
    }
    fn entries_by(&self, actor: &str) -> Result<Vec<u64>, StoreError> {
        self.store.entries_by(actor)
    }
    fn subtree(&self, level: u32, index: u64) -> Result<Digest, StoreError> {
        self.store.subtree(level, index)
    }
    fn text(&self, digest: &Digest) -> Result<Option<Text>, StoreError> {
        self.store.text(digest)
    }
}

impl SharedStore {
    /// Submits `commands` in order so that they are one batch: while the writer is held up over the entry `before`.
    /// Gives the answers and what a reader saw just before the batch was committed. For a runtime of one thread only.
    async fn submit_as_one_batch(
        &self,
        ledger: &Ledger,
        before: Prepared,
        commands: Vec<Prepared>,
    ) -> Vec<Result<Accepted, SubmitError>> {
        self.held.store(true, Ordering::SeqCst);
        let submit = |prepared: Prepared| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.submit(prepared).await })
        };
        let before = submit(before);
        while !self.waits.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        let entry = ledger.state().head.entry;
        let answers: Vec<_> = commands.into_iter().map(submit).collect();
        // Each has been polled once when this comes back, and so stands in the writer's queue.
        tokio::task::yield_now().await;
        assert_eq!(ledger.state().head.entry, entry, "an entry was seen before it was durable");
        assert!(!before.is_finished() && answers.iter().all(|answer| !answer.is_finished()));
        self.held.store(false, Ordering::SeqCst);
        before.await.unwrap().unwrap();
        let mut all = Vec::new();
        for answer in answers {
            all.push(answer.await.unwrap());
        }
        all
    }
}

fn prepared(request_id: &str, payload: &str, command: Command) -> Prepared {
    let key = SecretKey::from_seed(&[1; 32]);
    Prepared {
        actor: Actor::Person {
            name: PersonName::new("ann").unwrap(),
            key: trust::key::Signer::public(&key).id(),
            roles: [trust::RoleName::new("ops").unwrap()].into(),
        },
        request_id: RequestId::new(request_id).unwrap(),
        on_behalf_of: Some("bob".into()),
        command,
        envelope: Some(Envelope::sign(payload.into(), &key).unwrap()),
        texts: BTreeMap::new(),
    }
}

fn suspend(person: &str) -> Prepared {
    prepared(person, person, Command::SuspendPerson(PersonName::new(person).unwrap()))
}

fn lift_hold(request_id: &str) -> Prepared {
    let (app, environment) = (AppName::new("web").unwrap(), AudienceName::new("prod").unwrap());
    prepared(
        request_id,
        request_id,
        Command::Administer(AdministrationAct::LiftHold { app, environment, build: None, reason: None }),
    )
}

fn assert_whole(ledger: &Ledger) {
    let found = ledger.verify();
    let state = ledger.state();
    assert_eq!((found.problem, found.entries), (None, state.head.entry));
    let checkpoint = ledger.checkpoint();
    let checkpoint = verify_checkpoint(&checkpoint, ORIGIN, &trust::key::Signer::public(&*ledger.shared.key)).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (state.head.entry, found.root));
}

/// Submits all at once; the order of the answers is that of the commands.
async fn submit_together(ledger: &Ledger, commands: Vec<Prepared>) -> Vec<Result<Accepted, SubmitError>> {
    let answers: Vec<_> = commands
        .into_iter()
        .map(|prepared| {
            tokio::spawn({
                let ledger = ledger.clone();
                async move { ledger.submit(prepared).await }
            })
        })
        .collect();
    let mut all = Vec::new();
    for answer in answers {
        all.push(answer.await.unwrap());
    }
    all
}

#[tokio::test]
async fn an_accepted_command_is_an_entry_and_stays_one() {
    let world = World::new();
    let ledger = world.open();
    let mut heads = ledger.heads();
    let text = Text { salt: "5a17".into(), text: "leaver".into() };
    let mut command = suspend("bob");
    command.texts.insert(text.digest(), text.clone());
    let envelope = command.envelope.clone();
    let accepted = ledger.submit(command).await.unwrap();
    assert_eq!((accepted.entry, accepted.repeated), (1, false));
    heads.changed().await.unwrap();
    assert_eq!(*heads.borrow(), 1);
    let entry = ledger.entry(1).unwrap().unwrap();
    assert_eq!((entry.actor.as_str(), &entry.roles[..]), ("ann", &["ops".to_owned()][..]));
    assert_eq!((entry.on_behalf_of.as_deref(), &entry.envelope), (Some("bob"), &envelope));
    assert_eq!((&entry.events, entry.time), (&accepted.events, accepted.time));
    let bytes = ledger.entries(0, 10).unwrap();
    assert_eq!(bytes, [serde_json::to_vec(&entry).unwrap()]);
    assert_eq!((ledger.entry(0).unwrap(), ledger.entry(2).unwrap()), (None, None));
    assert_eq!(ledger.entries(2, u64::MAX).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(ledger.text(&text.digest()).unwrap(), Some(text.text.clone()));
    let state = ledger.state();
    drop(ledger);

    let ledger = world.open();
    assert_eq!((ledger.state(), ledger.opened().entries), (state, 1));
    assert_whole(&ledger);
    let person = PersonName::new(&text.text).unwrap();
    let erasing = Command::Administer(AdministrationAct::ErasePerson { person });
    ledger.submit(prepared("erasure", "erasure", erasing)).await.unwrap();
    assert_eq!(ledger.text(&text.digest()).unwrap(), None);
    assert_whole(&ledger);
}

#[tokio::test]
async fn a_repeated_request_gets_its_first_answer_and_another_one_under_its_id_none() {
    let world = World::new();
    let ledger = world.open();
    let first = ledger.submit(suspend("bob")).await.unwrap();
    // At once and after opening again, from the entries and within one batch.
    for _ in 0..2 {
        let again = ledger.submit(suspend("bob")).await.unwrap();
        assert_eq!((again.entry, again.time, again.repeated), (first.entry, first.time, true));
        assert_eq!(again.events, first.events);
    }
    let other = prepared("bob", "other bytes", Command::SuspendPerson(PersonName::new("eve").unwrap()));
    let refused = ledger.submit(other.clone()).await.unwrap_err();
    assert!(matches!(refused, SubmitError::Refused(Refusal::RequestIdReused)), "{refused}");
    // The id belongs to its actor alone.
    let clock = Prepared { actor: Actor::Clock, envelope: None, ..other };
    assert!(!ledger.submit(clock.clone()).await.unwrap().repeated);
    assert!(ledger.submit(clock).await.unwrap().repeated);
    drop(ledger);
    let ledger = world.open();
    assert!(ledger.submit(suspend("bob")).await.unwrap().repeated);

    let together = submit_together(&ledger, vec![lift_hold("once"); 50]).await;
    let answers: Vec<Accepted> = together.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.repeated).count(), 1);
    assert!(answers.iter().all(|answer| answer.entry == 3));
    assert_eq!(ledger.state().head.entry, 3);
    assert_whole(&ledger);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn submitters_at_once_each_get_their_own_entry() {
    let world = World::new();
    let ledger = world.open();
    let commands = (0..600).map(|at| lift_hold(&format!("id{at}"))).collect();
    let mut numbers = Vec::new();
    for answer in submit_together(&ledger, commands).await {
        numbers.push(answer.unwrap().entry);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=600).collect::<Vec<u64>>());
    assert_eq!(ledger.entries(1, u64::MAX).unwrap().len(), 600);
    assert_whole(&ledger);
}

#[tokio::test]
async fn a_refused_command_leaves_nothing_and_hinders_nobody() {
    let world = World::new();
    let (ledger, store) = world.open_over_shared_store();
    let again = prepared("bob-again", "x", Command::SuspendPerson(PersonName::new("bob").unwrap()));
    let commands =
        vec![suspend("bob"), again, suspend("bob"), prepared("bob", "x", lift_hold("x").command), suspend("eve")];
    let answers = store.submit_as_one_batch(&ledger, lift_hold("before"), commands).await;
    assert!(matches!(answers[1], Err(SubmitError::Refused(Refusal::AlreadyDone { .. }))));
    assert!(answers[2].as_ref().unwrap().repeated);
    assert!(matches!(answers[3], Err(SubmitError::Refused(Refusal::RequestIdReused))));
    let numbers = [0, 2, 4].map(|at: usize| answers[at].as_ref().unwrap().entry);
    assert_eq!(numbers, [2, 2, 3]);
    // A refused request id was not used.
    assert!(!ledger.submit(lift_hold("bob-again")).await.unwrap().repeated);
    assert_whole(&ledger);
}

#[tokio::test]
async fn a_panic_in_decide_costs_its_own_command_only() {
    let world = World::new();
    let (ledger, store) = world.open_over_shared_store();
    let commands = vec![suspend("bob"), suspend("panic"), suspend("eve")];
    let answers = store.submit_as_one_batch(&ledger, lift_hold("before"), commands).await;
    assert!(matches!(&answers[1], Err(SubmitError::NotWritten(why)) if why.contains("bug")));
    assert_eq!((answers[0].as_ref().unwrap().entry, answers[2].as_ref().unwrap().entry), (2, 3));
    assert_whole(&ledger);
}

#[tokio::test]
async fn a_text_under_a_wrong_digest_is_not_taken() {
    let world = World::new();
    let ledger = world.open();
    let mut command = suspend("bob");
    command.texts.insert(Digest::of(b"other"), Text { salt: "00".into(), text: "text".into() });
    assert!(matches!(ledger.submit(command).await, Err(SubmitError::NotWritten(_))));
    assert_eq!(ledger.state().head.entry, 0);
}

/// SQLite's own limit on pages stands in for the disk: it fails as a full disk does, with SQLITE_FULL.
#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_got_over() {
    let world = World::new();
    let (ledger, store) = world.open_over_shared_store();
    ledger.submit(suspend("bob")).await.unwrap();
    store.store.limit_pages(true);
    let refused = || prepared("bob-again", "x", Command::SuspendPerson(PersonName::new("bob").unwrap()));
    let large = Prepared { on_behalf_of: Some("x".repeat(100_000)), ..suspend("eve") };
    // Decided on what eve's entry would have made so, this would be a refusal for a reason that never came to be.
    let misled = prepared("eve-again", "x", Command::SuspendPerson(PersonName::new("eve").unwrap()));
    let commands = vec![suspend("bob"), refused(), large.clone(), misled, large.clone(), suspend("joe")];
    let answers = store.submit_as_one_batch(&ledger, lift_hold("before"), commands).await;
    assert!(answers[0].as_ref().unwrap().repeated);
    assert!(matches!(answers[1], Err(SubmitError::Refused(Refusal::AlreadyDone { .. }))));
    for answer in &answers[2..] {
        assert!(matches!(answer, Err(SubmitError::NotWritten(why)) if why.contains("disk is full")), "{answer:?}");
    }
    let state = ledger.state();
    assert_eq!((state.head.entry, state.suspended.len()), (2, 1));
    assert_whole(&ledger);
    // Reading and answering again go on, and so does writing once there is room.
    assert!(ledger.submit(suspend("bob")).await.unwrap().repeated);
    store.store.limit_pages(false);
    let accepted = ledger.submit(large).await.unwrap();
    assert_eq!((accepted.entry, accepted.repeated), (3, false));
    assert_whole(&ledger);
    drop((ledger, store));
    assert_whole(&world.open());
}

#[tokio::test]
async fn whoever_wrote_behind_the_ledger_s_back_is_noticed() {
    let world = World::new();
    let (ledger, store) = world.open_over_shared_store();
    store.append(&store::conformance::batch(1, 1)).unwrap();
    let refused = ledger.submit(suspend("bob")).await.unwrap_err().to_string();
    assert!(refused.contains("another process"), "{refused}");
    assert_eq!(ledger.state().head.entry, 0);
    assert_eq!(ledger.entries(1, 10).unwrap(), Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn time_never_runs_backwards_and_can_be_gone_back_to() {
    let world = World::new();
    let ledger = world.open();
    let at = |milliseconds: i64| Timestamp::from_millisecond(milliseconds).unwrap();
    let mut states = vec![State::default()];
    for (milliseconds, person) in [(2_000, "ann"), (1_500, "bob"), (3_000, "eve"), (3_000, "joe"), (9_000, "kim")] {
        world.milliseconds.store(milliseconds, Ordering::SeqCst);
        ledger.submit(suspend(person)).await.unwrap();
        states.push(State::clone(&ledger.state()));
    }
    assert_eq!(states[2].head.time, at(2_000));
    for (milliseconds, entry) in
        [(0, 0), (1_999, 0), (2_000, 2), (2_999, 2), (3_000, 4), (8_999, 4), (9_000, 5), (10_000, 5)]
    {
        assert_eq!(ledger.state_at(at(milliseconds)).unwrap(), states[entry], "{milliseconds}");
    }
    world.milliseconds.store(0, Ordering::SeqCst);
    drop(ledger);
    let ledger = world.open();
    assert_eq!(ledger.submit(suspend("lou")).await.unwrap().time, at(9_000));
}

#[tokio::test]
async fn checkpoints_extend_each_other() {
    let world = World::new();
    let ledger = world.open();
    let public = trust::key::Signer::public(&*world.key);
    let checkpoint = |ledger: &Ledger| verify_checkpoint(&ledger.checkpoint(), ORIGIN, &public).unwrap();
    let mut seen = vec![checkpoint(&ledger)];
    for turn in 0..3 {
        let commands = (0..200).map(|at| lift_hold(&format!("id{turn}-{at}"))).collect();
        submit_together(&ledger, commands).await;
        seen.push(checkpoint(&ledger));
        assert!(Arc::ptr_eq(&ledger.checkpoint(), &ledger.checkpoint()));
    }
    for (at, newer) in seen.iter().enumerate() {
        for older in &seen[..at] {
            let proof = ledger.consistency(older.size, newer.size).unwrap();
            assert_eq!(verify_consistency(older.size, newer.size, &older.root, &newer.root, &proof), Ok(()));
        }
    }
    assert!(ledger.consistency(1, 601).is_err());
    assert!(ledger.consistency(3, 2).is_err());
}

#[tokio::test]
async fn a_snapshot_spares_folding_and_is_ignored_when_it_does_not_fit() {
    let world = World::new();
    let ledger = world.open();
    for person in ["ann", "bob"] {
        ledger.submit(suspend(person)).await.unwrap();
    }
    let state = ledger.state();
    drop(ledger);
    let good = std::fs::read(world.snapshot_path()).unwrap();
    // Folding would fail on this entry, so a ledger that opens has not read it.
    let original = sqlite::SqliteStore::open(world.folder.path()).unwrap().read(1, 1).unwrap().remove(0);
    world.tamper("UPDATE entries SET bytes = x'00' WHERE number = 1");
    let ledger = world.open();
    assert_eq!((ledger.state(), ledger.opened().snapshot), (state.clone(), Some(2)));
    assert_eq!(ledger.verify().entries, 0);
    assert!(ledger.verify().problem.is_some_and(|problem| problem.contains("entry 1 was changed")));
    drop(ledger);
    let spoiled = |from: &str, to: &str| String::from_utf8(good.clone()).unwrap().replacen(from, to, 1).into_bytes();
    let bad = [
        Vec::new(),
        good[..good.len() / 2].to_vec(),
        good[..good.len() - 1].to_vec(),
        spoiled("\"ann\"", "\"eve\""),
        spoiled("\"format\":1", "\"format\":2"),
        spoiled("\"shape\":\"sha256:", "\"shape\":\"sha256:0"),
        spoiled("\"entry\":2", "\"entry\":3"),
    ];
    for (at, bytes) in bad.iter().enumerate() {
        std::fs::write(world.snapshot_path(), bytes).unwrap();
        assert!(world.try_open().is_err(), "snapshot {at} was believed");
    }
    let hex = original.bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    world.tamper(&format!("UPDATE entries SET bytes = x'{hex}' WHERE number = 1"));
    let ledger = world.open();
    assert_eq!((ledger.state(), ledger.opened().snapshot), (state, None));
    assert_whole(&ledger);
    drop(ledger);

    // A snapshot of another history: of one more entry, and of other entries.
    std::fs::write(world.snapshot_path(), &good).unwrap();
    let other = World::new();
    let ledger = other.open();
    ledger.submit(suspend("eve")).await.unwrap();
    drop(ledger);
    for person in ["joe", "kim"] {
        std::fs::write(other.snapshot_path(), &good).unwrap();
        let ledger = other.open();
        assert_eq!(ledger.opened().snapshot, None);
        ledger.submit(suspend(person)).await.unwrap();
    }
}

#[test]
fn a_snapshot_is_of_every_source_that_events_are_folded_by() {
    let domain = Path::new(env!("CARGO_MANIFEST_DIR")).join("../domain/src");
    let (mut folders, mut sources) = (vec![domain.join("event"), domain.join("state")], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => drop(sources.insert(path.strip_prefix(&domain).unwrap().to_str().unwrap().to_string())),
            }
        }
    }
    sources.extend(["entry.rs", "event.rs", "state.rs", "policy.rs"].map(String::from));
    // A rule decides how an event is folded where the fold asks it.
    for file in sources.clone() {
        let text = std::fs::read_to_string(domain.join(file)).unwrap();
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for named in code.split("rules::").skip(1) {
            let words =
                |text: &'_ str| text.split(|c: char| !c.is_alphanumeric()).map(String::from).collect::<Vec<_>>();
            let rules = match named.strip_prefix('{') {
                Some(list) => words(list.split('}').next().unwrap()),
                None => words(named).into_iter().take(1).collect(),
            };
            sources.extend(rules.iter().filter(|rule| !rule.is_empty()).map(|rule| format!("rules/{rule}.rs")));
        }
    }
    let listed: BTreeSet<String> = snapshot::SOURCES.iter().map(|(file, _)| file.to_string()).collect();
    assert_eq!(listed, sources);
}

#[tokio::test]
async fn snapshots_are_written_while_the_ledger_runs() {
    let world = World { snapshot_entries: 10, ..World::new() };
    let ledger = world.open();
    let mut at = 0;
    while !world.snapshot_path().exists() {
        ledger.submit(lift_hold(&at.to_string())).await.unwrap();
        at += 1;
    }
    assert!(at >= 10);
    // One that was left behind by a kill is as good as one from a clean end.
    let left_behind = std::fs::read(world.snapshot_path()).unwrap();
    drop(ledger);
    std::fs::write(world.snapshot_path(), left_behind).unwrap();
    let ledger = world.open();
    assert!(ledger.opened().snapshot.is_some_and(|entry| (10..=ledger.opened().entries).contains(&entry)));
    assert_whole(&ledger);
}

#[tokio::test]
async fn verify_names_the_first_thing_that_is_wrong() {
    let tampered = [
        (
            "UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), 'ann', 'eve') AS BLOB) WHERE number = 7",
            6,
            "entry 7 was changed",
        ),
        ("DELETE FROM entries WHERE number = 5", 0, "entry 5 is missing"),
        ("UPDATE entries SET leaf = zeroblob(32) WHERE number = 300", 299, "entry 300 was changed"),
        ("UPDATE tiles SET hash = zeroblob(32) WHERE number = 0", 256, "subtree 0 at level 8"),
        ("UPDATE requests SET request_id = 'x' WHERE number = 8", 300, "request of entry 8 is not the one in it"),
        ("UPDATE requests SET payload = zeroblob(32) WHERE number = 8", 300, "request of entry 8 is not the one in it"),
        ("DELETE FROM requests WHERE number = 9", 300, "request of entry 9 is missing"),
        ("UPDATE requests SET number = 0 WHERE number = 9", 300, "belongs to no entry"),
        ("INSERT INTO requests VALUES ('eve', 'x', 9, NULL)", 300, "request of entry 9 is not the one in it"),
        ("INSERT INTO texts VALUES (zeroblob(32), '00', 'said by nobody')", 300, "was changed: it has another digest"),
    ];
    for (statements, entries, expected) in tampered {
        let world = World::new();
        let (ledger, store) = world.open_over_shared_store();
        submit_together(&ledger, (0..300).map(|at| lift_hold(&at.to_string())).collect()).await;
        assert_whole(&ledger);
        store.store.tamper(statements);
        let found = ledger.verify();
        assert_eq!(found.entries, entries, "{statements}");
        assert!(found.problem.as_ref().is_some_and(|problem| problem.contains(expected)), "{found:?}");
    }
}

#[tokio::test]
async fn a_rewritten_history_that_fits_itself_does_not_fit_what_is_served() {
    let world = World::new();
    let (ledger, store) = world.open_over_shared_store();
    ledger.submit(suspend("bob")).await.unwrap();
    let bytes = String::from_utf8(ledger.entries(1, 1).unwrap().remove(0)).unwrap().replace("bob", "eve");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let leaf = trust::log::leaf_hash(bytes.as_bytes());
    store.store.tamper(&format!(
        "UPDATE entries SET bytes = x'{}', leaf = x'{}'",
        hex(bytes.as_bytes()),
        hex(leaf.as_bytes())
    ));
    assert!(ledger.verify().problem.is_some_and(|problem| problem.contains("root")));
}

#[tokio::test]
async fn a_closed_ledger_answers_those_inside_and_takes_no_more() {
    let world = World::new();
    let ledger = world.open();
    let inside = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.submit(suspend("bob")).await }
    });
    ledger.heads().wait_for(|head| *head == 1).await.unwrap();
    let closing = ledger.clone();
    tokio::task::spawn_blocking(move || closing.close()).await.unwrap();
    assert_eq!(inside.await.unwrap().unwrap().entry, 1);
    assert!(matches!(ledger.submit(suspend("eve")).await, Err(SubmitError::NotWritten(_))));
    assert!(world.snapshot_path().exists());
    assert_eq!(ledger.state().head.entry, 1);
}

#[test]
fn an_origin_that_cannot_name_a_log_is_refused_at_once() {
    let world = World::new();
    assert!(Ledger::open(world.folder.path(), world.key.clone(), "not a name").is_err());
}

/// Not a test by itself: the process that [`every_acknowledged_entry_survives_a_kill`] kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashing_child() {
    let Some(folder) = std::env::var_os(CRASH_FOLDER) else { return };
    let writing = Writing { decide: toy, snapshot_entries: 50, ..Writing::default() };
    let key = Arc::new(SecretKey::from_seed(&[7; 32]));
    let ledger = Ledger::open_with(Path::new(&folder), key, ORIGIN, writing).unwrap();
    let mut submitters = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let ledger = ledger.clone();
        submitters.spawn(async move {
            loop {
                let id = uuid::Uuid::now_v7().to_string();
                let accepted = ledger.submit(lift_hold(&id)).await.unwrap();
                // A line is written whole, before the next command is submitted.
                let line = format!("acknowledged {} {id}\n", accepted.entry);
                std::io::stdout().write_all(line.as_bytes()).unwrap();
                std::io::stdout().flush().unwrap();
            }
        });
    }
    submitters.join_all().await;
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A killed process loses what it had not handed to the kernel. That commits reach the disk itself is for
/// `synchronous = FULL`, which another test looks at.
#[test]
fn every_acknowledged_entry_survives_a_kill() {
    let world = World::new();
    let mut acknowledged = BTreeMap::new();
    for kill_after in [1, 40, 300] {
        let mut child = Killed(
            Process::new(std::env::current_exe().unwrap())
                .args(["--exact", "ledger::tests::crashing_child", "--nocapture"])
                .env(CRASH_FOLDER, world.folder.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let mut heard = 0;
        while let Some(Ok(line)) = lines.next() {
            // The test harness writes to the same line when it begins.
            let Some((_, words)) = line.split_once("acknowledged ") else { continue };
            let Some((number, id)) = words.split_once(' ') else { continue };
            acknowledged.insert(number.parse::<u64>().unwrap(), id.to_owned());
            heard += 1;
            if heard == kill_after {
                child.0.kill().unwrap();
            }
        }
        assert!(heard >= kill_after, "the child ended by itself after {heard}");
        drop(child);
        let ledger = world.open();
        for (number, id) in &acknowledged {
            assert_eq!(ledger.entry(*number).unwrap().unwrap().request_id, *id);
        }
        assert_whole(&ledger);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn replay_equals_state(
        commands in proptest::collection::vec((0..12u8, 0..30u8, any::<bool>(), -5i64..50), 1..60),
        snapshot_entries in 1u64..40,
    ) {
        let world = World { snapshot_entries, ..World::new() };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let ledger = world.open();
        runtime.block_on(async {
            for commands in commands.chunks(7) {
                let batch = commands.iter().map(|(person, id, lift, milliseconds)| {
                    world.milliseconds.fetch_add(*milliseconds, Ordering::SeqCst);
                    let (id, person) = (format!("id{id}"), format!("p{person}"));
                    if *lift { lift_hold(&id) } else { Prepared { request_id: RequestId::new(id).unwrap(), ..suspend(&person) } }
                });
                submit_together(&ledger, batch.collect()).await;
            }
        });
        assert_whole(&ledger);
        let state = ledger.state();
        drop(ledger);
        prop_assert_eq!(world.open().state(), state.clone());
        std::fs::remove_file(world.snapshot_path()).unwrap_or_default();
        prop_assert_eq!(world.open().state(), state);
    }
}
