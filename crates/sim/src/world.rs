//! The world: a queue of events in the order of their times, and everything that they happen to.
//!
//! Whatever is asked travels as a message, which may be lost, late, doubled or overtaken; whoever is asked may be gone
//! when it arrives, and whoever asked when the answer does.
//!
//! - `deeds`: what the script tries, and what people send and hear. `serving`: the server. `targets`: the targets.
//! - `repository`: what is published, and what targets take from there. `roots`: which roots targets keep.

mod deeds;
mod repository;
mod roots;
mod serving;
mod targets;

use crate::{
    cast::{self, Cast, DB, IDENTITY, WEB, Who, target},
    disk::SimDisk,
    fault::Fault,
    model::{Models, Runs, Violation, broken, has_not_come},
    people::Told,
    process::{Answer, Effect, Hardware, Process, Request},
    random::Random,
    script::{MINUTE, QUIET, Script, moment},
    server::{Asker, Server},
    thief::{Source, Thief},
};
use agent::{documents::Documents, files, home::Home};
use api::write::Submission;
use domain::{plan, waiting::WaitingOn};
use jiff::{SignedDuration, Timestamp};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

/// How long anyone waits for an answer.
const PATIENCE: u64 = 15_000;
/// How long after the end of troubles, and how often, it is looked whether everything has ended.
const LOOK_AFTER: u64 = 3 * MINUTE;
/// What comes that soon is waited for before a world ends.
const SOON: SignedDuration = SignedDuration::from_mins(5);
/// How long it may take until it is known that something is unwell, or well again.
const NOTICED_WITHIN: u64 = 3 * MINUTE;
/// How often a person tries again, and how often.
const PERSON_TRIES: u32 = 8;

/// What happens at a moment.
enum Event {
    /// A step of the script, for the nth time.
    Try(usize, u32),
    /// A message reaches the server.
    ToServer(Letter),
    /// An answer reaches a target.
    ToTarget { target: usize, call: u64, answer: Rc<Answer> },
    /// An answer reaches a person.
    ToPerson { call: u64, told: Rc<Told> },
    /// A target waited, or gave up waiting for an answer.
    Wake { target: usize, call: u64, answer: Answer },
    /// Something happens on a machine that was begun before.
    Effect { target: usize, call: u64, place: usize, effect: Effect },
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

/// A message to the server.
struct Letter {
    asker: Asker,
    asked: Rc<Asked>,
    from: Sender,
    /// Tells it from what the same sender sent before and after.
    sent: u64,
    is_copy: bool,
}

/// Who sends messages to the server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sender {
    Target(usize),
    Person(Who),
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
    /// Whether the machine is gone for good.
    is_gone: bool,
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
    /// What kinds of things happened, of [`crate::SIGHTS`].
    pub seen: BTreeSet<&'static str>,
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
    /// Since when it is up, once it was down.
    opened: u64,
    agents: Vec<Agent>,
    people: BTreeMap<u64, PersonsCall>,
    /// The newest message of each sender that has reached the server.
    heard: BTreeMap<Sender, u64>,
    model: Models,
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
        let cast = Cast::new(&script.setting, fault)?;
        let setting = &script.setting;
        let there = (0..setting.targets).filter(|index| setting.is_there(*index, 0)).count();
        let mut server = Server::new(&cast, there, fault)?;
        server.away_after = setting.away_after.map(|seconds| SignedDuration::from_secs(seconds as i64));
        let mut thief = Thief::new(script.seed, setting.tricks);
        if setting.tricks.foreign {
            cast.of_another_estate(fault)?.iter().for_each(|envelope| thief.keeps(envelope, Source::Elsewhere));
        }
        if setting.tricks.foreign || cast.usurping.is_some() {
            cast.of_the_thiefs()?.iter().for_each(|envelope| thief.keeps(envelope, Source::HisOwn));
        }
        if setting.tricks.members {
            cast.of_another_environment(fault)?.iter().for_each(|envelope| thief.keeps(envelope, Source::Beside));
        }
        cast.opening(there)?.iter().for_each(|submission| thief.sees(&submission.envelope));
        let mut agents = Vec::new();
        for index in 0..setting.targets {
            let random = Random::new(script.seed, &format!("disk {index}"));
            let hardware = Hardware {
                index,
                installed: Default::default(),
                gathered: Default::default(),
                disk: Arc::new(SimDisk::new(random, fault)),
                now: Rc::new(Cell::new(cast::beginning())),
                elapsed: Rc::new(Cell::new(Duration::ZERO)),
                is_watched: !setting.ailing.is_empty(),
                fault,
            };
            join(&cast, &hardware, fault)?;
            agents.push(Agent {
                hardware,
                process: None,
                call: 0,
                asked: None,
                reached: true,
                is_gone: false,
                down_until: setting.joins(index),
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
            opened: 0,
            agents,
            people: BTreeMap::new(),
            heard: BTreeMap::new(),
            model: Models::new(setting, &cast),
            thief,
            fault,
            looks: 0,
            calm: script.steps.last().map_or(0, |step| step.at + MINUTE),
            is_over: false,
            story: tells.then(Vec::new),
            activations: 0,
            cast,
        };
        world.model.of(WEB).was_published(&world.server);
        world.at(0, Event::Tick(0));
        for target in 0..setting.targets {
            let comes = world.agents[target].down_until;
            world.at(comes + 10 * target as u64, Event::Start { target });
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
        // What is due by a clock that was set back comes so much later.
        let last = self.calm + QUIET + self.script.server_set_back();
        while verdict.is_ok()
            && !self.is_over
            && let Some(((at, _), event)) = self.queue.pop_first()
            && at <= last
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
            seen: self.seen(),
        }
    }

    /// What kinds of things happened, by all who saw any.
    fn seen(&mut self) -> BTreeSet<&'static str> {
        let mut seen = self.model.seen();
        seen.extend(self.agents.iter().flat_map(|agent| agent.hardware.disk.seen()));
        seen.extend(self.thief.seen());
        seen.extend(self.server.store().has_been_full().then_some("the ledger's disk full"));
        let found = self.agents.iter().any(|agent| agent.hardware.has_found_a_fork());
        seen.extend(found.then_some("another history noticed"));
        seen
    }

    fn finish(&mut self) -> Step {
        let all = |place: usize| -> Vec<Runs> {
            self.agents.iter().enumerate().map(|(index, agent)| self.runs(index, agent, place)).collect()
        };
        let actual = [WEB, DB].map(all);
        // Nobody waits for whoever left for good to be up again.
        let is_down = |index: usize, agent: &Agent| agent.process.is_none() && self.model.is_retired(index);
        let is_there = |(index, agent): &(usize, &Agent)| !agent.is_gone && !is_down(*index, agent);
        for (index, agent) in self.agents.iter().enumerate().filter(is_there) {
            for installed in agent.hardware.installed.iter().map(|installed| installed.borrow()) {
                self.model.is_left(index, &installed, agent.hardware.now.get())?;
                let is_stopped = installed.is_halted && installed.running.is_none();
                if installed.current != installed.running && !is_stopped {
                    let what = format!("{} ends with one build current and another running", target(index));
                    return broken("WHOLE", what);
                }
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
        self.everybody_has_walked(&ledger.state())?;
        self.everybody_has_refreshed()?;
        self.model.settled(&self.cast, &ledger.state(), self.server.now(), &actual)
    }

    /// What is found on a target of an application.
    fn runs(&self, index: usize, agent: &Agent, place: usize) -> Runs {
        let installed = agent.hardware.installed[place].borrow();
        let before = self.now.saturating_sub(NOTICED_WITHIN);
        let is_unwell = self.is_ailing(index, &installed, self.now);
        let mut moments = (before..self.now).step_by(MINUTE as usize / 4);
        let has_been =
            moments.all(|at| self.is_ailing(index, &installed, at) == is_unwell) && installed.started < before;
        // What is signed by a wrong clock is not taken.
        let is_heard = agent.offset.abs_diff(self.server_offset) < NOTICED_WITHIN;
        Runs {
            build: installed.current,
            is_stopped: installed.is_halted && installed.current.is_some(),
            stands_by: !installed.serves,
            is_unwell: is_unwell && has_been && is_heard,
            is_well: !is_unwell && has_been && is_heard,
        }
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
        let shown = reading(drift(self.agents.len()), self.server_offset);
        let elapsed = self.elapsed();
        self.server.set_clock(shown, elapsed);
    }

    /// How much time has passed.
    fn elapsed(&self) -> SignedDuration {
        SignedDuration::from_millis(self.now as i64)
    }

    fn is_calm(&self) -> bool {
        self.now >= self.calm
    }

    /// Whether nothing is left to wait for.
    fn is_quiet(&self) -> bool {
        let Some(ledger) = self.server.ledger() else { return false };
        let state = ledger.state();
        let polls = |agent: &Agent| agent.process.is_some() && matches!(agent.asked, Some(Request::Poll { .. }));
        let idles = |(index, agent): (usize, &Agent)| polls(agent) || self.model.is_retired(index);
        let now = state.head.time.max(self.server.now());
        let later = now + SOON;
        let stands = |number: &u64| plan::waits(&state, *number, now).is_some_and(|waits| has_not_come(&waits, later));
        let soaks =
            |number: &u64| matches!(plan::waits(&state, *number, state.head.time), Some(WaitingOn::Soak { .. }));
        self.people.is_empty()
            // What could not be told while the server was down has been told since.
            && self.now >= self.opened + LOOK_AFTER
            && self.refreshes_are_over()
            && !self.model.waits_for_an_end(now)
            && self.agents.iter().enumerate().all(idles)
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
        let takes = self.road();
        if takes.is_none() {
            self.model.sees("a message lost");
        }
        takes
    }

    /// How long a message would take now; nothing if it would be lost.
    fn road(&mut self) -> Option<u64> {
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

    /// Sends a message to the server, which may be lost, or come twice.
    fn send(&mut self, from: Sender, asker: Asker, asked: Rc<Asked>) {
        let Some(takes) = self.travel() else { return };
        let sent = self.calls;
        self.after(takes, Event::ToServer(Letter { asker, asked: asked.clone(), from, sent, is_copy: false }));
        if self.is_doubled() {
            let late = self.network.between(1, 20_000);
            self.after(late, Event::ToServer(Letter { asker, asked, from, sent, is_copy: true }));
        }
    }

    /// A message has reached the server, perhaps for the second time, or after a later one.
    fn has_come(&mut self, letter: &Letter) {
        let newest = self.heard.entry(letter.from).or_default();
        let is_overtaken = letter.sent < *newest;
        *newest = letter.sent.max(*newest);
        match letter.is_copy {
            true => self.model.sees("a message doubled"),
            false if is_overtaken => self.model.sees("a message overtaken"),
            false => {}
        }
    }

    fn happen(&mut self, event: Event) -> Step {
        match event {
            Event::Try(index, tries) => self.attempt(index, tries),
            Event::ToServer(letter) => {
                if self.server.is_up() {
                    self.has_come(&letter);
                }
                self.serve(letter.asker, &letter.asked)
            }
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
            Event::Effect { target, call, place, effect } => match self.agents[target].call == call {
                true => {
                    let answer = self.perform(target, place, effect)?;
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
}

/// Makes a machine a target: what joining leaves on its disk.
fn join(cast: &Cast, hardware: &Hardware, fault: Option<Fault>) -> Result<(), Box<dyn std::error::Error>> {
    let home = Home::alone(hardware.place())?;
    let mut enrolled = cast.enrolled(hardware.index);
    if fault == Some(Fault::EndForgotten) {
        enrolled.joined = Some(Timestamp::MAX);
    }
    let key = cast::target_key(hardware.index).to_openssh("sortie target")?;
    files::replace(&hardware.place().join("target.key"), key.as_bytes())?;
    files::replace(&hardware.place().join("identity.age"), IDENTITY.as_bytes())?;
    Documents::found(home.trust(), enrolled.pinned.clone(), cast.documents.clone())?;
    home.enrol(&enrolled)?;
    Ok(())
}
