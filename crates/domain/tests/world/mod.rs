//! A small world for tests of the domain: an estate, people with keys, targets, and a clock that moves when told to.
//!
//! A [`World`] takes one line of a story at a time ([`World::tell`]) and answers in words. Whatever the line, it checks
//! after each step what must hold always: a refusal changes nothing, deciding is deterministic, replaying all events
//! gives the same state, and the state survives being written down.

mod lines;
mod words;

use domain::{
    command::{Actor, Command, Context, Signed},
    decide::decide,
    event::{BuildFacts, Ending, Event},
    plan,
    refusal::Refusal,
    rules::{self, Candidate, approvals, permits, restored::Lost},
    state::{Aside, Deployment, DeploymentPhase, Part, Policy, Progress, Running, Stamp, Standing, State, apply},
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    str::FromStr,
    sync::Arc,
};
use trust::{
    AppName, Digest, PersonName, TargetName,
    charter::Class,
    key::{PublicKey, SecretKey, Signer},
    statement::{Act, Administration, Header, OrderAct, Outcome, RequestId, Statement},
};

/// The founder, and the only owner.
pub const OWNER: &str = "olga";

/// Everything a story is about.
pub struct World {
    /// What is so.
    pub state: State,
    /// The time, which moves only when the story says so.
    pub now: Timestamp,
    /// What happened, entry by entry.
    pub history: Vec<(Stamp, Vec<Event>)>,
    /// The codes of all refusals.
    pub refusals: BTreeSet<&'static str>,
    /// Whether history is replayed after each step; properties do it at the end only.
    pub replays_each_step: bool,
    requests_made: u64,
    /// What the clock has asked for: the ledger does once what is asked for twice.
    asked_by_clock: BTreeSet<RequestId>,
    last_invitation: Option<String>,
    /// Who is away.
    away: Arc<BTreeSet<TargetName>>,
    /// What targets have shown that is lost.
    lost: Arc<Lost>,
    /// The id of the plan that was looked at last.
    plan: Option<Digest>,
    letters: BTreeMap<String, String>,
}

/// Reads a word of a story.
fn read<T: FromStr<Err: Debug>>(word: &str) -> T {
    word.parse().unwrap_or_else(|error| panic!("'{word}' cannot be read: {error:?}"))
}

/// The key that stands behind a word: `tester`, or `tester.2` for a second one.
fn secret(word: &str) -> SecretKey {
    SecretKey::from_seed(Digest::of(word.as_bytes()).as_bytes())
}

fn public(word: &str) -> PublicKey {
    secret(word).public()
}

impl World {
    /// A server without an estate, on a Monday morning.
    pub fn new() -> Self {
        Self {
            state: State::default(),
            now: read("2026-11-02T09:00:00Z"),
            history: Vec::new(),
            refusals: BTreeSet::new(),
            replays_each_step: true,
            requests_made: 0,
            asked_by_clock: BTreeSet::new(),
            last_invitation: None,
            plan: None,
            away: Arc::default(),
            lost: Arc::default(),
            letters: BTreeMap::new(),
        }
    }

    /// The digest of the build that the story calls `letter`.
    fn build(&mut self, app: &str, letter: &str) -> Digest {
        let digest = Digest::of(format!("{app}#{letter}").as_bytes());
        self.letters.insert(digest.short(), letter.to_string());
        digest
    }

    /// The actor as the server finds them: by their key, with the roles the charter gives them. `tester.2` is tester
    /// with another key.
    fn actor(&self, word: &str) -> Actor {
        match word {
            "clock" => return Actor::Clock,
            "founder" => return Actor::Founder,
            "server" => return Actor::Server,
            _ => {}
        }
        if self.state.targets.contains_key(word) {
            return Actor::Target(read(word));
        }
        let name: PersonName = read(word.split('.').next().unwrap_or(word));
        let key = public(word).id();
        if let Some(policy) = &self.state.policy
            && policy.customers.person(&key) == Some(&name)
        {
            return Actor::Customer { roles: policy.customers.roles(&name), name };
        }
        let roles = match &self.state.policy {
            Some(policy) if policy.directory.person(&key) == Some(&name) => policy.directory.roles(&name),
            _ => BTreeSet::new(),
        };
        Actor::Person { name, key, roles }
    }

    /// The id of the next request: every one has its own.
    fn next_id(&mut self) -> RequestId {
        self.requests_made += 1;
        RequestId::new(format!("r{}", self.requests_made)).expect("a short id")
    }

    /// Signs an act as `who` would, reads it as the server does, and decides.
    fn act(&mut self, who: &str, subject: Digest, act: Act) -> Vec<String> {
        let request_id = self.next_id();
        let estate = self.state.policy.as_ref().map_or(Digest::of(b"nothing"), |policy| policy.record.estate);
        let header = Header { estate, request_id, submit_before: self.now, on_behalf_of: None };
        let statement = Statement { subject_name: "it".into(), subject, header, act };
        let envelope = statement.sign(&[&secret(who)]).expect("keys in memory sign");
        let read = Statement::read(&envelope).expect("what was signed reads back");
        assert_eq!(read, statement);
        let actor = match &read.act {
            Act::Enrolment(_) => Actor::Invited,
            _ => self.actor(who),
        };
        let payload = Some(Digest::of(&envelope.payload));
        self.submit(actor, payload, read.header.request_id, command(read.subject, read.act))
    }

    /// As [`Self::act`], for the acts on the estate itself.
    fn administer(&mut self, who: &str, act: trust::statement::AdministrationAct) -> Vec<String> {
        self.act(who, Digest::of(b"estate"), Act::Administration(Administration { act }))
    }

    /// Records a build whose manifest says `facts`.
    fn push(&mut self, who: &str, subject: Digest, act: trust::statement::Push, facts: BuildFacts) -> Vec<String> {
        let id = self.next_id();
        self.submit(self.actor(who), None, id, Command::PushBuild(Signed { subject, act }, Arc::new(facts)))
    }

    /// The one way in: decide, apply, check, and say what happened.
    fn submit(
        &mut self,
        actor: Actor,
        payload: Option<Digest>,
        request_id: RequestId,
        command: Command,
    ) -> Vec<String> {
        let (away, lost) = (self.away.clone(), self.lost.clone());
        let context = Context { now: self.now, actor, request_id, payload, away, lost };
        let before = self.state.clone();
        let decided = decide(&self.state, &context, command.clone());
        assert_eq!(decided, decide(&self.state, &context, command), "deciding twice gives the same");
        assert_eq!(before, self.state, "deciding changes nothing");
        match decided {
            Ok(events) => {
                assert!(!events.is_empty(), "nothing accepted is empty");
                self.record(events.clone());
                let said = events.iter().map(|event| self.with_letters(self.event_in_words(event))).collect();
                self.check(&before, &events);
                said
            }
            Err(refusal) => vec![self.refusal_in_words(&refusal)],
        }
    }

    fn record(&mut self, events: Vec<Event>) {
        let stamp = Stamp { entry: self.state.head.entry + 1, time: self.now };
        fold(&mut self.state, stamp, &events);
        self.history.push((stamp, events));
    }

    fn refusal_in_words(&mut self, refusal: &Refusal) -> String {
        self.refusals.insert(refusal.code());
        let written = serde_json::to_string(refusal).expect("a refusal can be written");
        assert_eq!(serde_json::from_str::<Refusal>(&written).expect("a refusal can be read"), *refusal);
        let next = refusal.next().map(|next| format!(" | next: {next}")).unwrap_or_default();
        self.with_letters(format!("refused {}: {refusal}{next} | exit {}", refusal.code(), refusal.exit()))
    }

    /// What must hold after each step.
    fn check(&self, before: &State, events: &[Event]) {
        if self.replays_each_step {
            self.check_replay();
        }
        self.check_deployments();
        for (name, target) in &before.targets {
            for (app, old) in &target.apps {
                let generation = |state: &State| state.targets.get(name)?.apps.get(app)?.assigned.map(|a| a.generation);
                let (old, new) = (old.assigned.map(|assigned| assigned.generation), generation(&self.state));
                assert!(new >= old, "generations only grow: {name} had {old:?} and has {new:?}");
            }
        }
        for event in events {
            match event {
                Event::WaveStarted { deployment, .. } => self.check_permitted(*deployment),
                Event::DeploymentEnded { deployment, .. } => {
                    let ending = |event: &Event| match event {
                        Event::DeploymentEnded { deployment: d, ending, .. } if d == deployment => Some(*ending),
                        _ => None,
                    };
                    let endings: Vec<Ending> =
                        self.history.iter().flat_map(|(_, events)| events).filter_map(ending).collect();
                    // What succeeded may go back while it soaks.
                    let once = matches!(endings[..], [_] | [Ending::Succeeded, Ending::Undone | Ending::Failed]);
                    assert!(once, "deployment {deployment} ended more than once: {endings:?}");
                }
                _ => {}
            }
        }
    }

    /// Replaying all events gives the same state, and so does reading the state back.
    pub fn check_replay(&self) {
        let mut again = State::default();
        for (stamp, events) in &self.history {
            let line = serde_json::to_string(events).expect("events can be written");
            let events: Vec<Event> = serde_json::from_str(&line).expect("events can be read");
            fold(&mut again, *stamp, &events);
        }
        assert_eq!(again, self.state, "replay equals state");
        let snapshot = serde_json::to_string(&self.state).expect("a state can be written");
        let read: State = serde_json::from_str(&snapshot).expect("a state can be read");
        assert_eq!(read, self.state, "a snapshot equals the state");
    }

    /// At most one deployment of an application in an environment has its place, and each open one waits on something.
    fn check_deployments(&self) {
        let mut places = BTreeSet::new();
        for (number, deployment) in &self.state.deployments {
            let open = !matches!(deployment.phase, DeploymentPhase::Ended { .. });
            assert_eq!(open, self.state.open_deployments.contains(number), "the index of open deployments is right");
            if open {
                assert!(
                    plan::waits(&self.state, *number, self.now).is_some(),
                    "deployment {number} waits on something"
                );
                // What stands leaves the place to others until it begins.
                if deployment.waves == 0 {
                    continue;
                }
                assert!(places.insert((&deployment.app, &deployment.environment)), "one open deployment a place");
                let record = self.state.in_audience(&deployment.app, &deployment.environment);
                assert_eq!(record.and_then(|record| record.open_deployment), Some(*number));
                self.check_serving(deployment);
            }
        }
    }

    /// On how many targets the application serves is counted as they change; counted anew, it is the same.
    fn check_serving(&self, deployment: &Deployment) {
        let serves = |(name, part): &(&TargetName, &Part)| {
            let is_at_it = match &part.progress {
                Progress::Assigned(_) | Progress::Undoing(_) => true,
                Progress::Finished(outcome) => part.absent || matches!(outcome, Outcome::Failed { .. }),
                Progress::Waiting | Progress::Undone => false,
            };
            // What it is told by another deployment, which was ended meanwhile, it may do all the same.
            let is_told = plan::is_at_something(&self.state, name, &deployment.app);
            let running = self.state.running(&deployment.app, name);
            // Those that come and go are counted on by nobody.
            let counts = !part.ephemeral && part.aside != Some(Aside::Left) && !is_at_it && !is_told;
            counts && running.is_some_and(Running::serves)
        };
        let counted = deployment.parts.iter().filter(serves).count();
        assert_eq!(counted, deployment.parts.serving(), "what serves is counted right: {:?}", deployment.parts);
    }

    /// A test or live environment is never assigned a build without a permit that satisfies the charter just now.
    fn check_permitted(&self, number: u64) {
        let deployment = &self.state.deployments[&number];
        let policy = self.policy();
        let class = policy.charter.environments.get(&deployment.environment).map(|environment| environment.class);
        let hindrance = rules::schedule::hindrance(&self.state, number, deployment, self.now);
        assert_eq!(hindrance, None, "nothing goes on at the wrong moment");
        if class == Some(Class::Dev) || !brings(deployment.act) {
            return;
        }
        let version = deployment.version.as_ref().expect("only versions go beyond dev");
        let build = &self.state.apps[&deployment.app].builds[&deployment.build];
        let candidate = Candidate {
            app: &deployment.app,
            build: deployment.build,
            record: build,
            audience: &deployment.environment,
            act: deployment.act,
            package: None,
        };
        let (_, request) =
            permits::in_force(&self.state, &policy, &candidate, version, self.now).expect("there is a permit");
        let terms = policy.charter.audience(&deployment.environment).and_then(|audience| audience.terms(request.way));
        let terms = terms.expect("the charter has its way");
        assert!(deployment.parts.iter().all(|(name, _)| terms.reaches(name)), "it reaches every target");
        assert!(matches!(request.standing, Standing::Granted(_)));
        match request.app == deployment.app {
            true => assert_eq!(request.build, deployment.build),
            false => {
                let package = &self.state.apps[&request.app].builds[&request.build].facts.package;
                assert_eq!(package[&deployment.app].build, deployment.build, "the package lists just this build");
            }
        }
        assert!(approvals::lacks(&self.state, &policy, request).is_empty(), "its approvals satisfy the charter");
        if deployment.act != OrderAct::Rollback {
            assert!(request.not_before <= self.now && self.now < request.not_after, "the permit is in time");
        }
    }

    fn policy(&self) -> Arc<Policy> {
        self.state.policy.clone().expect("a story begins with a charter")
    }

    /// Whether the build may run there by a permit.
    fn is_released(&self, app: &AppName, build: Digest, audience: &trust::AudienceName) -> bool {
        let Some(record) = self.state.apps.get(app).and_then(|record| record.builds.get(&build)) else { return false };
        let candidate = Candidate { app, build, record, audience, act: OrderAct::Deploy, package: None };
        permits::live(&self.state, &self.policy(), &candidate, self.now).is_ok()
    }

    /// What a target runs.
    fn runs(&self, app: &AppName, target: &TargetName) -> Option<Digest> {
        self.state.running(app, target).map(|running| running.build)
    }
}

fn brings(act: OrderAct) -> bool {
    matches!(act, OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback)
}

fn fold(state: &mut State, stamp: Stamp, events: &[Event]) {
    state.head = stamp;
    for event in events {
        apply(state, event);
    }
}

/// The command that a statement is, as the server makes it.
fn command(subject: Digest, act: Act) -> Command {
    match act {
        Act::Number(act) => Command::NumberBuild(Signed { subject, act }),
        Act::Evidence(act) => Command::AttachEvidence(Signed { subject, act }),
        Act::Request(act) => Command::RequestRelease(Signed { subject, act }),
        Act::Approval(act) => Command::ApproveRequest(Signed { subject, act }),
        Act::Review(act) => Command::ReviewEmergency(Signed { subject, act }),
        Act::Withdrawal(act) => Command::WithdrawPermission(Signed { subject, act }),
        Act::Order(act) => Command::RequestDeployment(Signed { subject, act }),
        Act::Config(act) => Command::SetConfig(Signed { subject, act }),
        Act::Freeze(act) => Command::Freeze(Signed { subject, act }),
        Act::Administration(act) => Command::Administer(act.act),
        Act::Enrolment(act) => Command::EnrolTarget(act),
        Act::Report(act) => Command::ReportOutcome(act),
        Act::Inventory(act) => Command::ReportInventory(act),
        Act::Health(act) => Command::ReportHealth(act),
        Act::Push(_) | Act::Import(_) | Act::Part(_) | Act::Session(_) | Act::Receipt(_) => {
            panic!("these come another way")
        }
    }
}
