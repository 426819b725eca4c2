//! An estate with its people, a server that says whatever a test wants, and a machine that can die.

use crate::{
    documents::Documents,
    drivers::Machine,
    home::{Enrolled, Home},
    run::Engine,
};
use api::read::Estate;
use domain::plan::Assignment;
use jiff::Timestamp;
use std::{cell::Cell, collections::BTreeSet, rc::Rc};
use trust::{
    Digest, TargetName,
    authority::{Dossier, Pinned},
    charter::Class,
    statement::{OrderAct, Outcome},
};

mod estate;
mod machine;
mod server;
mod statements;
use estate::estate_digest;
pub use estate::{
    app, coder, estate, estate_with, estate_with_repository, estate_with_sides, oncall, owner, prod, published,
    published_of, tester,
};
pub use machine::FakeMachine;
pub use server::FakeServer;
pub use statements::{
    UNFIT, assignment, brought, build, config, freeze, lift, manifest, order, order_in, order_keeping_data, order_of,
    order_until, permitted, released, withdrawal, withdrawal_of_package,
};

/// What is left of a process that died: unwinding stands for the end, and nothing after it runs.
pub struct Died;

/// Counts down to a death.
#[derive(Clone, Default)]
pub struct Fuse(Rc<Cell<Option<u32>>>);

impl Fuse {
    /// Dies at the `points`th point from now.
    pub fn light(&self, points: u32) {
        self.0.set(Some(points));
    }

    pub fn put_out(&self) {
        self.0.set(None);
    }

    fn point(&self) {
        match self.0.get() {
            Some(0) => {
                self.0.set(None);
                std::panic::resume_unwind(Box::new(Died));
            }
            Some(left) => self.0.set(Some(left - 1)),
            None => {}
        }
    }

    /// Something that may be the last thing done, or just not be done any more.
    fn around<T>(&self, deed: impl FnOnce() -> T) -> T {
        self.point();
        let result = deed();
        self.point();
        result
    }
}

/// A target in prod, its server and its machine. Agents come and go.
pub struct World {
    pub folder: tempfile::TempDir,
    pub server: FakeServer,
    pub machine: FakeMachine,
}

pub type TestEngine = Engine<FakeServer, FakeMachine>;

impl World {
    pub fn new() -> Self {
        Self::of(estate(1, "live"))
    }

    /// A target of this estate.
    pub fn of(estate: Estate) -> Self {
        Self::of_class(estate, Class::Live)
    }

    /// The same, that joined when prod was of this class.
    pub fn of_class(estate: Estate, class: Class) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fuse = Fuse::default();
        let server = FakeServer { says: Rc::default(), fuse: fuse.clone() };
        let machine = FakeMachine { disk: Rc::default(), fuse };
        server.says.borrow_mut().estate = Some(estate.clone());
        for content in ["one", "two", "three", "both ways", "one way", "blue", "green"].iter().chain(&UNFIT) {
            let bytes = manifest(content).to_bytes().unwrap();
            server.says.borrow_mut().objects.insert(Digest::of(&bytes), bytes);
        }
        let world = Self { folder, server, machine };
        let home = Home::take(world.folder.path()).unwrap();
        let pinned = Pinned {
            estate: estate_digest(),
            environment: prod(),
            class,
            target: TargetName::new("prod-1").unwrap(),
            apps: BTreeSet::new(),
        };
        Documents::found(home.trust(), pinned.clone(), estate).unwrap();
        let joined = Some(Timestamp::now());
        home.enrol(&Enrolled { pinned, url: "https://127.0.0.1:1".into(), pin: Digest::of(b""), joined }).unwrap();
        world
    }

    /// Lets the target have joined then.
    pub fn joined(&self, joined: Timestamp) {
        let home = Home::take(self.folder.path()).unwrap();
        let enrolled = home.enrolled().unwrap().unwrap();
        home.enrol(&Enrolled { joined: Some(joined), ..enrolled }).unwrap();
    }

    /// A new agent process on the same data folder.
    pub fn agent(&self) -> TestEngine {
        self.agent_on(self.machine.clone())
    }

    /// The same on another machine.
    pub fn agent_on<M: Machine>(&self, machine: M) -> Engine<FakeServer, M> {
        let home = Home::take(self.folder.path()).unwrap();
        let pinned = home.enrolled().unwrap().unwrap().pinned;
        let documents = Documents::open(home.trust(), pinned).unwrap();
        Engine::new(home, documents, self.server.clone(), machine).unwrap()
    }

    /// The documents as they are on disk.
    pub fn documents(&self) -> Documents {
        let home = Home::take(self.folder.path()).unwrap();
        Documents::open(home.trust(), home.enrolled().unwrap().unwrap().pinned).unwrap()
    }

    pub fn say(&self, generation: u64, dossier: Dossier) {
        self.server.says.borrow_mut().dossiers.insert(generation, dossier);
    }

    /// Follows the assignment and answers with the outcome that was reported for it, if one was.
    pub fn follow(&self, engine: &mut TestEngine, assignment: &Assignment) -> Option<Outcome> {
        let before = self.server.says.borrow().reports.len();
        engine.follow(&assignment.app, Some(assignment)).unwrap();
        let says = self.server.says.borrow();
        assert!(says.reports.len() <= before + 1, "one assignment, one outcome");
        says.reports.get(before).map(|report| report.outcome.clone())
    }

    /// Deploys a released build, which must go well.
    pub fn deploy(&self, engine: &mut TestEngine, generation: u64, content: &str, number: &str) {
        self.say(generation, released(content, number, OrderAct::Deploy));
        let outcome = self.follow(engine, &assignment(generation, content, OrderAct::Deploy));
        assert_eq!(outcome, Some(Outcome::Verified));
    }

    pub fn touched(&self) -> u32 {
        self.machine.disk.borrow().touched
    }
}
