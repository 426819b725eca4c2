//! The world: a queue of events in the order of their times, and everything that they happen to.
//!
//! Whatever is asked travels as a message, which may be lost, late, doubled or overtaken; whoever is asked may be gone
//! when it arrives, and whoever asked when the answer does.

use crate::{
    cast::{self, Cast, IDENTITY, Who, target},
    disk::{Died, SimDisk},
    fault::Fault,
    model::{Model, Violation, broken},
    people::{self, Told},
    process::{Answer, Ask, Effect, Hardware, Installed, POLL_WAIT, Process, Request, process},
    random::Random,
    script::{Deed, MINUTE, QUIET, Script, moment},
    server::{Asker, Server},
    thief::Thief,
};
use agent::{documents::Documents, files, home::Home};
use api::write::Submission;
use corosensei::CoroutineResult;
use domain::{plan, state::DeploymentPhase, waiting::WaitingOn};
use jiff::{SignedDuration, Timestamp};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use trust::{
    Digest,
    statement::{Act, Statement},
};

/// How long anyone waits for an answer.
const PATIENCE: u64 = 15_000;
/// How long after the end of troubles, and how often, it is looked whether everything has ended.
const LOOK_AFTER: u64 = 3 * MINUTE;
/// How often a person tries again, and how often.
const PERSON_TRIES: u32 = 8;

/// What happens at a moment.
enum Event {
    /// A step of the script, for the nth time.
    Try(usize, u32),
    /// A message reaches the server.
    ToServer(Asker, Rc<Asked>),
    /// An answer reaches a target.
    ToTarget { target: usize, call: u64, answer: Rc<Answer> },
    /// An answer reaches a person.
    ToPerson { call: u64, told: Rc<Told> },
    /// A target waited, or gave up waiting for an answer.
    Wake { target: usize, call: u64, answer: Answer },
    /// Something happens on a machine that was begun before.
    Effect { target: usize, call: u64, effect: Effect },
    /// A person gave up waiting, and sends the same again.
    Again { call: u64, tries: u32 },
    /// The ledger's writer takes what waits.
    Turn,
    /// The server's clock looks for what is due, unless it has looked since.
    Tick(u64),
    /// A poll has waited for long enough.
    PollDue { call: u64 },
    /// A process starts.
    Start { target: usize },
    /// The server starts.
    Open,
    /// Targets are reached again.
    Reach,
    /// Troubles are over.
    Calm,
    /// Whether everything has ended.
    Look,
    /// A target's disk has room again.
    Room { target: usize },
    /// The ledger's disk has room again.
    LedgerRoom,
}

/// What is asked of the server.
pub enum Asked {
    /// By a target.
    Target(Request),
    /// By a person.
    Person(Box<Submission>),
}

struct Agent {
    hardware: Hardware,
    process: Option<Process>,
    /// Names what it waits for.
    call: u64,
    /// What it asked the server for.
    asked: Option<Request>,
    reached: bool,
    /// Until when it is down.
    down_until: u64,
    /// How its machine's clock is off, in milliseconds.
    offset: i64,
    /// What a death in a disk operation leaves for the world to do.
    dying: (bool, u64),
}

struct PersonsCall {
    who: Who,
    submission: Rc<Asked>,
    what: String,
}

/// How a world ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The invariant that broke, if one did.
    pub violation: Option<Violation>,
    /// What happened, in words, if it was to be told.
    pub story: Vec<String>,
    /// How many events there were.
    pub events: u64,
    /// How many entries the ledger has.
    pub entries: u64,
    /// How often a build was activated.
    pub activations: u64,
}

/// A world under way.
pub struct World<'a> {
    script: &'a Script,
    cast: Cast,
    now: u64,
    calls: u64,
    queue: BTreeMap<(u64, u64), Event>,
    network: Random,
    luck: Random,
    server: Server,
    server_offset: i64,
    opens_at: Option<u64>,
    agents: Vec<Agent>,
    people: BTreeMap<u64, PersonsCall>,
    model: Model,
    thief: Thief,
    fault: Option<Fault>,
    /// How often the server's clock has looked for what is due.
    looks: u64,
    /// When troubles end.
    calm: u64,
    is_over: bool,
    story: Option<Vec<String>>,
    activations: u64,
}

type Step = Result<(), Violation>;

impl<'a> World<'a> {
    /// The world of a script, before anything happens, with what is wrong in it on purpose; `tells` keeps its story.
    pub fn new(script: &'a Script, fault: Option<Fault>, tells: bool) -> Result<Self, Box<dyn std::error::Error>> {
        let cast = Cast::new(&script.setting)?;
        let setting = &script.setting;
        let server = Server::new(&cast, setting.targets, fault)?;
        let mut thief = Thief::new(Random::new(script.seed, "thief"));
        cast.opening(setting.targets)?.iter().for_each(|submission| thief.sees(&submission.envelope));
        let mut agents = Vec::new();
        for index in 0..setting.targets {
            let random = Random::new(script.seed, &format!("disk {index}"));
            let hardware = Hardware {
                index,
                installed: Rc::new(RefCell::new(Installed::default())),
                disk: Arc::new(SimDisk::new(random, fault)),
                now: Rc::new(Cell::new(cast::beginning())),
                elapsed: Rc::new(Cell::new(Duration::ZERO)),
            };
            join(&cast, &hardware)?;
            agents.push(Agent {
                hardware,
                process: None,
                call: 0,
                asked: None,
                reached: true,
                down_until: 0,
                offset: 0,
                dying: (false, 0),
            });
        }
        let mut world = Self {
            script,
            now: 0,
            calls: 0,
            queue: BTreeMap::new(),
            network: Random::new(script.seed, "network"),
            luck: Random::new(script.seed, "luck"),
            server,
            server_offset: 0,
            opens_at: None,
            agents,
            people: BTreeMap::new(),
            model: Model::new(setting.targets, setting.at_once, setting.soak_minutes),
            thief,
            fault,
            looks: 0,
            calm: script.steps.last().map_or(0, |step| step.at + MINUTE),
            is_over: false,
            story: tells.then(Vec::new),
            activations: 0,
            cast,
        };
        world.at(0, Event::Tick(0));
        for target in 0..setting.targets {
            world.at(10 * target as u64, Event::Start { target });
        }
        for (index, step) in script.steps.iter().enumerate() {
            world.at(step.at, Event::Try(index, 0));
        }
        world.at(world.calm, Event::Calm);
        Ok(world)
    }

    /// Lets everything happen, to the end or to the first invariant that breaks.
    pub fn run(mut self) -> End {
        let mut events = 0;
        let mut verdict = Ok(());
        while verdict.is_ok()
            && !self.is_over
            && let Some(((at, _), event)) = self.queue.pop_first()
            && at <= self.calm + QUIET
        {
            self.now = at;
            events += 1;
            self.set_clocks();
            verdict = self.happen(event);
        }
        if verdict.is_ok() {
            verdict = self.finish();
        }
        End {
            violation: verdict.err(),
            story: self.story.take().unwrap_or_default(),
            events,
            entries: self.server.entries(),
            activations: self.activations,
        }
    }

    fn finish(&mut self) -> Step {
        let actual: Vec<_> = self.agents.iter().map(|agent| agent.hardware.installed.borrow().current).collect();
        for (index, agent) in self.agents.iter().enumerate() {
            let installed = agent.hardware.installed.borrow();
            if installed.current != installed.running {
                return broken("WHOLE", format!("{} ends with one build current and another running", target(index)));
            }
        }
        let Some(ledger) = self.server.ledger() else { return broken("PROGRESS", "the server never came back") };
        let verification = ledger.verify();
        if let Some(problem) = verification.problem {
            return broken("LEDGER", problem);
        }
        self.model.nothing_is_lost(|number| ledger.entry(number).ok().flatten())?;
        if self.script.setting.taken.is_some() {
            // What a thief has withheld or made up may keep a deployment from ending well, or from being told of.
            return Ok(());
        }
        self.model.settled(&self.cast, &ledger.state(), self.server.now(), &actual)
    }

    fn at(&mut self, at: u64, event: Event) {
        self.calls += 1;
        self.queue.insert((at, self.calls), event);
    }

    fn after(&mut self, pause: u64, event: Event) {
        self.at(self.now + pause, event);
    }

    /// Tells the story, where it is to be told.
    fn tell(&mut self, what: impl FnOnce(&Cast) -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{} {}", moment(self.now), what(&self.cast)));
        }
    }

    fn set_clocks(&mut self) {
        let drift = |index: usize| self.script.setting.drift.get(index).copied().unwrap_or(0);
        let reading = |drift: i64, offset: i64| {
            let shown = self.now as i64 + self.now as i64 * drift / 1_000_000 + offset;
            cast::beginning().checked_add(SignedDuration::from_millis(shown)).unwrap_or(Timestamp::MAX)
        };
        for (index, agent) in self.agents.iter().enumerate() {
            agent.hardware.now.set(reading(drift(index), agent.offset));
            agent.hardware.elapsed.set(Duration::from_millis(self.now));
        }
        self.server.set_clock(reading(drift(self.agents.len()), self.server_offset));
    }

    fn is_calm(&self) -> bool {
        self.now >= self.calm
    }

    /// Whether nothing is left to wait for.
    fn is_quiet(&self) -> bool {
        let Some(ledger) = self.server.ledger() else { return false };
        let state = ledger.state();
        let idles = |agent: &Agent| agent.process.is_some() && matches!(agent.asked, Some(Request::Poll { .. }));
        let stands = |number: &u64| {
            let phase = state.deployments.get(number).map(|deployment| &deployment.phase);
            phase == Some(&DeploymentPhase::AwaitingPermit)
        };
        let soaks =
            |number: &u64| matches!(plan::waits(&state, *number, state.head.time), Some(WaitingOn::Soak { .. }));
        self.people.is_empty()
            && self.agents.iter().all(idles)
            && (0..self.agents.len()).all(|index| plan::assignments(&state, &target(index)).is_empty())
            && state.open_deployments.iter().all(stands)
            && !state.deployments.keys().any(soaks)
    }

    /// Whether somebody else answers for the server.
    fn is_taken(&self) -> bool {
        !self.is_calm() && self.script.setting.taken.is_some_and(|from| self.now >= from)
    }

    /// How long a message takes; nothing if it is lost.
    fn travel(&mut self) -> Option<u64> {
        let setting = &self.script.setting;
        if self.is_calm() {
            return Some(self.network.between(1, 50));
        }
        let is_lost = self.network.chance(setting.loss);
        let takes = self.network.between(1, setting.slowest);
        (!is_lost).then_some(takes)
    }

    fn is_doubled(&mut self) -> bool {
        !self.is_calm() && self.network.chance(self.script.setting.duplicates)
    }

    fn happen(&mut self, event: Event) -> Step {
        match event {
            Event::Try(index, tries) => self.attempt(index, tries),
            Event::ToServer(asker, asked) => self.serve(asker, &asked),
            Event::ToTarget { target, call, answer } => {
                if self.agents[target].call == call && self.agents[target].process.is_some() {
                    return self.answer(target, Rc::unwrap_or_clone(answer));
                }
                Ok(())
            }
            Event::Wake { target, call, answer } => match self.agents[target].call == call {
                true => self.resume(target, answer),
                false => Ok(()),
            },
            Event::Effect { target, call, effect } => match self.agents[target].call == call {
                true => {
                    let answer = self.perform(target, effect)?;
                    self.resume(target, answer)
                }
                false => Ok(()),
            },
            Event::ToPerson { call, told } => {
                self.person_hears(call, &told);
                Ok(())
            }
            Event::Again { call, tries } => {
                self.person_sends(call, tries);
                Ok(())
            }
            Event::Turn => self.turn(),
            Event::Tick(look) => {
                if look == self.looks {
                    self.tick();
                }
                Ok(())
            }
            Event::PollDue { call } => {
                if let Some((asker, orders)) = self.server.poll_is_due(call) {
                    self.reply(asker, Answer::Orders(Box::new(orders)));
                }
                Ok(())
            }
            Event::Start { target } => self.start(target),
            Event::Open => self.open(),
            Event::Reach => {
                self.agents.iter_mut().for_each(|agent| agent.reached = true);
                self.tell(|_| "every target can be reached".into());
                Ok(())
            }
            Event::Calm => {
                for agent in &mut self.agents {
                    agent.reached = true;
                    agent.hardware.disk.fill(false);
                    agent.hardware.disk.dies_in(None);
                }
                self.server.store().fill(false);
                self.server.store().dies(None);
                self.tell(|_| "troubles are over".into());
                self.after(LOOK_AFTER, Event::Look);
                Ok(())
            }
            Event::Look => {
                self.is_over = self.is_quiet();
                self.after(LOOK_AFTER / 3, Event::Look);
                Ok(())
            }
            Event::Room { target } => {
                self.agents[target].hardware.disk.fill(false);
                Ok(())
            }
            Event::LedgerRoom => {
                self.server.store().fill(false);
                Ok(())
            }
        }
    }

    // The script.

    fn attempt(&mut self, index: usize, tries: u32) -> Step {
        let step = self.script.steps[index].clone();
        match step.deed {
            Deed::KillServer { in_append: None, down } => self.kill_server(down),
            Deed::KillServer { in_append, down } => {
                self.tell(|_| step.deed.to_string());
                self.server.dies_for = down;
                self.server.store().dies(in_append);
            }
            Deed::KillAgent { target, in_operation: Some(operations), power, down } if target < self.agents.len() => {
                self.tell(|_| step.deed.to_string());
                self.agents[target].dying = (power, down);
                self.agents[target].hardware.disk.dies_in(Some(operations));
            }
            Deed::KillAgent { target, power, down, .. } if target < self.agents.len() => {
                self.kill_agent(target, power, down);
            }
            Deed::KillAgent { .. } => {}
            Deed::CutOff { targets, lasts } => {
                self.tell(|_| step.deed.to_string());
                for (index, agent) in self.agents.iter_mut().enumerate() {
                    agent.reached = !targets[index % 4];
                }
                self.after(lasts, Event::Reach);
            }
            Deed::FillDisk { target, lasts } if target < self.agents.len() => {
                self.tell(|_| step.deed.to_string());
                self.agents[target].hardware.disk.fill(true);
                self.after(lasts, Event::Room { target });
            }
            Deed::FillDisk { .. } => {}
            Deed::FillLedger { lasts } => {
                self.tell(|_| step.deed.to_string());
                self.server.store().fill(true);
                self.after(lasts, Event::LedgerRoom);
            }
            Deed::SetClock { target, seconds } => {
                self.tell(|_| step.deed.to_string());
                match target {
                    None => self.server_offset += seconds * 1000,
                    Some(target) if target < self.agents.len() => self.agents[target].offset += seconds * 1000,
                    Some(_) => {}
                }
                self.set_clocks();
            }
            deed => self.person_acts(index, step.id, deed, tries),
        }
        Ok(())
    }

    fn person_acts(&mut self, index: usize, id: usize, deed: Deed, tries: u32) {
        let now = cast::beginning().checked_add(SignedDuration::from_millis(self.now as i64)).unwrap_or(Timestamp::MAX);
        let Some(ledger) = self.server.ledger() else {
            if tries < PERSON_TRIES {
                self.after(PATIENCE, Event::Try(index, tries + 1));
            }
            return;
        };
        let state = ledger.state();
        let Some((who, envelope)) = people::sign(&self.cast, &state, deed, id, now) else {
            self.tell(|_| format!("{deed}: there is nothing to do it to"));
            return;
        };
        self.model.signed(who, &envelope);
        let submission = Submission { envelope, attachments: BTreeMap::new(), texts: BTreeMap::new(), claim: None };
        self.calls += 1;
        let call = self.calls;
        let submission = Rc::new(Asked::Person(Box::new(submission)));
        self.tell(|_| deed.to_string());
        self.people.insert(call, PersonsCall { who, submission, what: deed.to_string() });
        self.person_sends(call, 0);
    }

    fn person_sends(&mut self, call: u64, tries: u32) {
        let Some(person) = self.people.get(&call) else { return };
        let asked = person.submission.clone();
        if tries >= PERSON_TRIES {
            let what = person.what.clone();
            self.people.remove(&call);
            return self.tell(|_| format!("{what}: nobody ever answered"));
        }
        if let Some(takes) = self.travel() {
            self.after(takes, Event::ToServer(Asker::Person { call }, asked.clone()));
            if self.is_doubled() {
                let late = self.network.between(1, 20_000);
                self.after(late, Event::ToServer(Asker::Person { call }, asked));
            }
        }
        self.after(PATIENCE, Event::Again { call, tries: tries + 1 });
    }

    fn person_hears(&mut self, call: u64, told: &Told) {
        match told {
            // Whoever asked may have given up; what was acknowledged is acknowledged.
            Told::Accepted { number, payload } => self.model.acknowledge(*number, *payload),
            Told::Refused { code } if code == "NOT_WRITTEN" => return,
            Told::Refused { .. } => {}
        }
        let Some(person) = self.people.remove(&call) else { return };
        let PersonsCall { who, what, .. } = person;
        self.tell(|_| match told {
            Told::Accepted { number, .. } => format!("{} hears: entry {number} ({what})", who.name()),
            Told::Refused { code } => format!("{} hears: {code} ({what})", who.name()),
        });
    }

    // The server.

    fn serve(&mut self, asker: Asker, asked: &Asked) -> Step {
        if !self.server.is_up() {
            if let (Asker::Target { target, call }, Some(takes)) = (asker, self.travel()) {
                self.after(takes, Event::ToTarget { target, call, answer: Rc::new(Answer::Away) });
            }
            return Ok(());
        }
        match asked {
            Asked::Person(submission) => {
                self.thief.sees(&submission.envelope);
                self.submit(asker, (**submission).clone());
            }
            Asked::Target(Request::Submit(_)) if self.swallows() => self.reply(asker, Answer::Done),
            Asked::Target(Request::Submit(envelope)) => {
                let envelope = (**envelope).clone();
                let (attachments, texts) = (BTreeMap::new(), BTreeMap::new());
                self.submit(asker, Submission { envelope, attachments, texts, claim: None });
            }
            Asked::Target(Request::Poll { generation, charter }) => {
                let at_once = self.is_taken() && self.thief.is_eager();
                match self.server.poll(asker, *generation, *charter, at_once) {
                    Some(answer) => self.reply(asker, answer),
                    None => {
                        if let Asker::Target { call, .. } = asker {
                            self.after(POLL_WAIT, Event::PollDue { call });
                        }
                    }
                }
            }
            Asked::Target(request) => {
                let answer = self.server.answer(asker, request);
                self.reply(asker, answer);
            }
        }
        Ok(())
    }

    /// Whether a report is taken and passed on to nobody.
    fn swallows(&mut self) -> bool {
        self.fault == Some(Fault::ReportsSwallowed) || self.is_taken() && self.thief.swallows()
    }

    fn submit(&mut self, asker: Asker, submission: Submission) {
        match self.server.submit(asker, submission) {
            Ok(()) => self.turn_soon(),
            Err(told) => self.reply_told(asker, told),
        }
    }

    fn turn_soon(&mut self) {
        if !std::mem::replace(&mut self.server.turn_is_due, true) {
            let pause = self.luck.between(1, 20);
            self.after(pause, Event::Turn);
        }
    }

    fn turn(&mut self) -> Step {
        self.server.turn_is_due = false;
        let turned = catch_unwind(AssertUnwindSafe(|| self.server.turn()));
        let answers = match turned {
            Ok(answers) => answers,
            Err(cause) if cause.is::<Died>() => {
                let down = self.server.dies_for;
                self.kill_server(down);
                return Ok(());
            }
            Err(_) => return broken("PANIC", "the ledger's writer panicked"),
        };
        let news = self.server.news();
        if let Some((state, entries)) = &news {
            for entry in entries {
                let events: Vec<&str> = entry.events.iter().map(domain::event::Event::name).collect();
                let (number, actor) = (entry.number, entry.actor.clone());
                self.tell(|_| format!("entry {number} by {actor}: {}", events.join(", ")));
            }
            self.model.published(&self.cast, state.clone(), entries)?;
        }
        for (asker, payload, told) in answers {
            if let (Told::Refused { code }, Some(payload)) = (&told, payload) {
                self.model.is_not_recorded(payload, code)?;
            }
            self.reply_told(asker, told);
        }
        if news.is_some() {
            for (asker, orders) in self.server.wake_polls() {
                self.reply(asker, Answer::Orders(Box::new(orders)));
            }
            self.tick();
        }
        Ok(())
    }

    fn tick(&mut self) {
        let Some((is_asking, pause)) = self.server.tick() else { return };
        if is_asking {
            self.turn_soon();
        }
        self.looks += 1;
        self.after(pause, Event::Tick(self.looks));
    }

    fn reply_told(&mut self, asker: Asker, told: Told) {
        match asker {
            Asker::Clock => {}
            Asker::Person { call } => {
                if let Some(takes) = self.travel() {
                    self.after(takes, Event::ToPerson { call, told: Rc::new(told) });
                }
            }
            Asker::Target { .. } => {
                let answer = match told {
                    Told::Accepted { number, payload } => {
                        // A target that never hears of it sends it again, so what it is told counts when it hears it.
                        self.server.accepted.insert(payload, number);
                        Answer::Done
                    }
                    Told::Refused { code } => Answer::Refused { code, message: String::new() },
                };
                self.reply(asker, answer);
            }
        }
    }

    fn reply(&mut self, asker: Asker, answer: Answer) {
        let Asker::Target { target, call } = asker else { return };
        if !self.agents[target].reached {
            return;
        }
        let answer = if self.is_taken() {
            let generation = match &self.agents[target].asked {
                Some(Request::Dossier { generation }) => Some(*generation),
                _ => None,
            };
            self.thief.twist(&self.cast, generation, answer)
        } else {
            answer
        };
        if let Some(takes) = self.travel() {
            self.after(takes, Event::ToTarget { target, call, answer: Rc::new(answer) });
        }
    }

    fn kill_server(&mut self, down: u64) {
        if self.server.is_up() {
            self.tell(|_| format!("the server dies, for {} s", down / 1000));
            self.server.close();
            self.opens_at = Some(self.now + down);
            self.after(down, Event::Open);
        }
    }

    fn open(&mut self) -> Step {
        if self.opens_at.is_none_or(|at| at > self.now) || self.server.is_up() {
            return Ok(());
        }
        self.opens_at = None;
        if let Err(error) = self.server.open() {
            return broken("LEDGER", format!("the ledger cannot be opened again: {error}"));
        }
        let Some(ledger) = self.server.ledger() else { return Ok(()) };
        let state = ledger.state();
        self.model.reopened(&state, |number| ledger.entry(number).ok().flatten())?;
        self.tell(|_| format!("the server is back, with {} entries", state.head.entry));
        if let Some((state, entries)) = self.server.news() {
            self.model.published(&self.cast, state, &entries)?;
        }
        self.tick();
        Ok(())
    }

    // The targets.

    fn start(&mut self, index: usize) -> Step {
        let agent = &mut self.agents[index];
        if agent.process.is_some() || self.now < agent.down_until {
            return Ok(());
        }
        agent.process = Some(process(agent.hardware.clone()));
        self.tell(|_| format!("{} starts", target(index)));
        self.resume(index, Answer::Done)
    }

    fn kill_agent(&mut self, index: usize, power: bool, down: u64) {
        let agent = &mut self.agents[index];
        // Unwinding is how a process ends that stands in the middle of something.
        drop(agent.process.take());
        agent.call = 0;
        agent.hardware.disk.dies_in(None);
        agent.down_until = self.now + down;
        if power {
            agent.hardware.disk.lose_power();
            let mut installed = agent.hardware.installed.borrow_mut();
            installed.running = None;
            installed.gathered.clear();
        }
        self.model.died(index);
        let how = if power { "loses power" } else { "is killed" };
        self.tell(|_| format!("{} {how}, for {} s", target(index), down / 1000));
        self.after(down, Event::Start { target: index });
    }

    /// An answer of the server's: the model hears what the target hears.
    fn answer(&mut self, index: usize, answer: Answer) -> Step {
        let clock = self.agents[index].hardware.now.get();
        match &answer {
            Answer::Orders(orders) => self.model.told(index, &orders.withdrawals),
            Answer::Dossier(dossier) => {
                if let Some(Request::Dossier { generation }) = self.agents[index].asked {
                    self.model.handed(index, generation, dossier, clock);
                }
            }
            Answer::Done => match self.agents[index].asked.take() {
                Some(Request::Submit(envelope)) => {
                    let payload = Digest::of(&envelope.payload);
                    if let Some(number) = self.server.accepted.get(&payload).copied() {
                        self.model.acknowledge(number, payload);
                    }
                }
                Some(Request::Gather(objects)) => {
                    self.agents[index].hardware.installed.borrow_mut().gathered.extend(objects);
                }
                _ => {}
            },
            _ => {}
        }
        self.resume(index, answer)
    }

    fn resume(&mut self, index: usize, answer: Answer) -> Step {
        let agent = &mut self.agents[index];
        agent.call = 0;
        let Some(process) = agent.process.as_mut() else { return Ok(()) };
        match catch_unwind(AssertUnwindSafe(|| process.resume(answer))) {
            Ok(CoroutineResult::Yield(ask)) => self.asked(index, ask),
            Ok(CoroutineResult::Return(())) => {
                agent.process = None;
                self.after(5_000, Event::Start { target: index });
                Ok(())
            }
            Err(cause) if cause.is::<Died>() => {
                let (power, down) = agent.dying;
                agent.process = None;
                self.kill_agent(index, power, down);
                Ok(())
            }
            Err(cause) => {
                let why = cause.downcast_ref::<String>().cloned().unwrap_or_default();
                broken("PANIC", format!("the agent of {} panicked: {why}", target(index)))
            }
        }
    }

    fn asked(&mut self, index: usize, ask: Ask) -> Step {
        self.calls += 1;
        let call = self.calls;
        self.agents[index].call = call;
        let full = self.agents[index].hardware.disk.is_full();
        if !matches!(ask, Ask::Server(Request::Estate)) {
            self.model.went_on(index, full);
        }
        match ask {
            Ask::Sleep(pause) => {
                self.after(pause.as_millis() as u64, Event::Wake { target: index, call, answer: Answer::Done });
            }
            Ask::Machine(effect) => {
                let takes = match effect {
                    Effect::Stage(_) => self.luck.between(50, 500),
                    Effect::Verify(_) => self.luck.between(1_000, 8_000),
                    _ => self.luck.between(1, 40),
                };
                // What a process that dies meanwhile has begun is done, or is not.
                if self.luck.chance(500) {
                    let answer = self.perform(index, effect)?;
                    self.after(takes, Event::Wake { target: index, call, answer });
                } else {
                    self.after(takes, Event::Effect { target: index, call, effect });
                }
            }
            Ask::Server(request) => return self.target_sends(index, call, request),
        }
        Ok(())
    }

    fn target_sends(&mut self, index: usize, call: u64, request: Request) -> Step {
        if let Request::Submit(envelope) = &request
            && let Ok(Statement { act: Act::Report(report), .. }) = Statement::read(envelope)
        {
            let current = self.agents[index].hardware.installed.borrow().current;
            let outcome = format!("{:?}", report.outcome);
            self.tell(|_| format!("{} reports on deployment {}: {outcome}", target(index), report.deployment));
            self.model.reports(&self.cast, &report, current)?;
        }
        let limit = match request {
            Request::Poll { .. } => POLL_WAIT + PATIENCE,
            _ => PATIENCE,
        };
        self.agents[index].asked = Some(request.clone());
        let asked = Rc::new(Asked::Target(request));
        let asker = Asker::Target { target: index, call };
        if self.agents[index].reached
            && let Some(takes) = self.travel()
        {
            self.after(takes, Event::ToServer(asker, asked.clone()));
            if self.is_doubled() {
                let late = self.network.between(1, 20_000);
                self.after(late, Event::ToServer(asker, asked));
            }
        }
        self.after(limit, Event::Wake { target: index, call, answer: Answer::Away });
        Ok(())
    }

    /// Something is done on a machine; the model says whether it may be.
    fn perform(&mut self, index: usize, effect: Effect) -> Result<Answer, Violation> {
        let hardware = self.agents[index].hardware.clone();
        let mut installed = hardware.installed.borrow_mut();
        let failed = |why: &str| Ok(Answer::Failed(why.into()));
        match effect {
            Effect::Stage(build) => {
                let Some(version) = self.cast.version_of(&build) else { return failed("nobody knows this build") };
                let wanted = cast::manifest(version);
                let has_all = wanted.objects().all(|(digest, _)| installed.gathered.contains(&digest));
                if !installed.staged.contains(&build) && !has_all {
                    return failed("objects are missing");
                }
                installed.gathered.clear();
                installed.staged.insert(build);
            }
            Effect::Prepare(build) if !installed.staged.contains(&build) => return failed("it is not laid out"),
            Effect::Prepare(_) => {}
            Effect::Switch(build) => {
                self.model.switches(&self.cast, index, installed.current, build, hardware.now.get())?;
                installed.current = build;
                self.activations += 1;
                let name = build.map_or("nothing".to_owned(), |build| self.cast.name(&build));
                self.tell(|_| format!("{} switches to {name}", target(index)));
            }
            Effect::Start(build) => {
                self.model.starts(&self.cast, index, installed.current, build)?;
                installed.running = Some(build);
            }
            Effect::Stop => installed.running = None,
            Effect::Restart | Effect::Revive => installed.running = installed.current,
            Effect::Verify(build) => {
                let is_sick = self
                    .cast
                    .version_of(&build)
                    .is_some_and(|version| self.script.setting.sick.contains(&(version, index)));
                if installed.running != Some(build) || is_sick {
                    return failed("web-1 does not answer");
                }
            }
            Effect::Remove => installed.staged.clear(),
        }
        Ok(Answer::Done)
    }
}

/// Makes a machine a target: what joining leaves on its disk.
fn join(cast: &Cast, hardware: &Hardware) -> Result<(), Box<dyn std::error::Error>> {
    let home = Home::alone(hardware.place())?;
    let enrolled = cast.enrolled(hardware.index);
    let key = cast::target_key(hardware.index).to_openssh("sortie target")?;
    files::replace(&hardware.place().join("target.key"), key.as_bytes())?;
    files::replace(&hardware.place().join("identity.age"), IDENTITY.as_bytes())?;
    Documents::found(home.trust(), enrolled.pinned.clone(), cast.documents.clone())?;
    home.enrol(&enrolled)?;
    Ok(())
}
