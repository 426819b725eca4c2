//! What deciding costs for one deployment over a fleet: an order, and every target's report. `planning_bench TARGETS…`
//! prints as JSON, by size: the order, the whole deployment, and the mean of one report with the look at what is due next.

use domain::{
    command::{Actor, Command, Context, Signed},
    decide::decide,
    event::{BuildFacts, Event, RootFacts},
    plan,
    state::{Policy, PolicyRecord, Stamp, State, apply},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::Arc,
    time::Instant,
};
use trust::{
    Digest, TargetName,
    key::{SecretKey, Signer},
    manifest::{Driver, Needs},
    statement::{Facts, Order, OrderAct, Outcome, Report, RequestId},
    way::Way,
};

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> Done<()> {
    let mut sizes = serde_json::Map::new();
    for size in std::env::args().skip(1) {
        let mut fleet = Fleet::of(size.parse()?)?;
        let began = Instant::now();
        fleet.order()?;
        let ordered = began.elapsed();
        let reports = fleet.report_all()?;
        let all = began.elapsed();
        let measured = serde_json::json!({
            "order_seconds": ordered.as_secs_f64(),
            "microseconds_a_report": (all - ordered).as_secs_f64() * 1e6 / reports as f64,
            "deployment_seconds": all.as_secs_f64(),
        });
        sizes.insert(size, measured);
    }
    println!("{}", serde_json::Value::Object(sizes));
    Ok(())
}

/// A state with a fleet of one environment, and a build for it.
struct Fleet {
    state: State,
    now: Timestamp,
    build: Digest,
    requests: u64,
}

fn key(seed: u64) -> SecretKey {
    SecretKey::from_seed(Digest::of(format!("key {seed}").as_bytes()).as_bytes())
}

impl Fleet {
    fn of(targets: u64) -> Done<Self> {
        let build = Digest::of(b"web");
        let mut fleet = Self { state: State::default(), now: "2026-11-02T09:00:00Z".parse()?, build, requests: 0 };
        let public = key(0).public();
        let line = public.to_openssh();
        let charter = format!(
            "charter = \"acme\"\n[people]\ncoder = {{ roles = [\"developer\"], keys = [\"{line}\"] }}\n[environments]\ndev \
             = {{ class = \"dev\", deploy = \"developer\", rollout = {{ at_once = \"2%\", min_healthy = \"90%\" }} }}\n"
        );
        let policy = Policy::try_from(PolicyRecord {
            estate: Digest::of(b"estate"),
            root_version: 1,
            owners: Vec::new(),
            version: 1,
            charter,
            roots: vec![Digest::of(b"root")],
            targets: Digest::of(b"targets"),
            suspended: BTreeSet::new(),
            facts: RootFacts::default(),
        })?;
        fleet.happens(&Command::ApplyCharter(Arc::new(policy)), Actor::Founder)?;
        let facts = BuildFacts {
            driver: Driver::Process,
            files: 3,
            size_bytes: 4_100_000,
            processes: vec!["web".into()],
            on: BTreeMap::new(),
            config: BTreeMap::new(),
            needs: Needs::default(),
            migrate: None,
            takes_seconds: 0,
            can_stand_by: false,
            package: std::collections::BTreeMap::new(),
        };
        fleet.apply(&Event::BuildPushed {
            app: "web".parse()?,
            build,
            pusher: "coder".parse()?,
            commit: None,
            recipe: None,
            facts,
        });
        for number in 1..=targets {
            let (target, key) = (name(number)?, key(number).public());
            fleet.apply(&Event::TargetEnrolled {
                target,
                environment: "dev".parse()?,
                invitation: key,
                key,
                recipient: "age1".into(),
                labels: BTreeMap::new(),
                facts: Facts {
                    os: "linux".into(),
                    arch: "x86_64".into(),
                    memory_bytes: 8 << 30,
                    agent_version: "0.1.0".into(),
                    kernel: String::new(),
                },
            });
        }
        Ok(fleet)
    }

    fn apply(&mut self, event: &Event) {
        self.state.head = Stamp { entry: self.state.head.entry + 1, time: self.now };
        apply(&mut self.state, event);
    }

    fn happens(&mut self, command: &Command, actor: Actor) -> Done<()> {
        self.requests += 1;
        let request_id = RequestId::new(format!("r{}", self.requests))?;
        let context = Context {
            now: self.now,
            actor,
            request_id,
            payload: Some(Digest::of(b"payload")),
            away: Default::default(),
            lost: Default::default(),
        };
        let events = decide(&self.state, &context, command.clone()).map_err(|refusal| refusal.to_string())?;
        self.state.head = Stamp { entry: self.state.head.entry + 1, time: self.now };
        events.iter().for_each(|event| apply(&mut self.state, event));
        Ok(())
    }

    fn order(&mut self) -> Done<()> {
        let order = Order::new("web".parse()?, "dev".parse()?, OrderAct::Deploy);
        let actor = Actor::Person {
            name: "coder".parse()?,
            key: key(0).public().id(),
            roles: BTreeSet::from(["developer".parse()?]),
        };
        self.happens(&Command::RequestDeployment(Signed { subject: self.build, act: order }), actor)
    }

    /// Every target does its part when it has its turn; answers with how many did.
    fn report_all(&mut self) -> Done<u64> {
        let mut reports = 0;
        loop {
            let assigned: Vec<TargetName> = self.state.deployments[&1].parts.assigned().cloned().collect();
            if assigned.is_empty() {
                break;
            }
            for target in assigned {
                let on_target = self.state.targets[&target].apps.get("web").and_then(|on_target| on_target.assigned);
                let assigned = on_target.ok_or("a target without an assignment")?;
                let report = Report {
                    app: "web".parse()?,
                    target: target.clone(),
                    epoch: self.state.epoch(),
                    generation: assigned.generation,
                    deployment: assigned.deployment,
                    outcome: Outcome::Verified,
                    running: Some(self.build),
                    config_serial: 0,
                    phases: Vec::new(),
                    endpoints: vec!["http://127.0.0.1:20001".into()],
                    carried: None,
                    way: Way::Normal,
                    standby: false,
                    doubt: None,
                };
                self.now += SignedDuration::from_millis(1);
                self.happens(&Command::ReportOutcome(report), Actor::Target(target))?;
                let _due = plan::due(&self.state, self.now, &Default::default(), &Default::default());
                reports += 1;
            }
        }
        Ok(reports)
    }
}

fn name(number: u64) -> Done<TargetName> {
    Ok(TargetName::new(&format!("dev-{number}"))?)
}
