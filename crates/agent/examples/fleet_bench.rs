//! A fleet that does nothing: so many targets join, poll, and say of every assignment that it is done and verified, each by a
//! key and a connection of its own. What is measured with it is the server and everything between.
//!
//! `fleet_bench TOKEN COUNT`, where TOKEN invites at least COUNT machines under names of their own. Prints a line of JSON once all of
//! them poll, and goes on until its standard input ends.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot set its scene should stop there")]

use agent::join::Invitation;
use api::{
    agent::Orders,
    client::{Client, ClientError, SUBMIT_WITHIN, fresh_request_id, in_future},
    routes,
    write::{Accepted, Submission},
};
use domain::plan::Assignment;
use serde_json::json;
use std::{collections::BTreeMap, io::Read, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};
use trust::{
    Digest, TargetName,
    key::{SecretKey, Signer},
    statement::{Act, Enrolment, Facts, Header, Outcome, Report, Statement},
};

/// How many join at a time.
const JOINING: usize = 16;
/// How long a machine waits before it tries again what the server had no time for.
const PATIENCE: Duration = Duration::from_millis(500);
/// A recipient that nobody encrypts to.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kudlz2e7scufwzv";

struct Target {
    name: TargetName,
    key: SecretKey,
    client: Client,
    invitation: Arc<Invitation>,
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let invitation = Arc::new(Invitation::decode(&arguments.next().expect("a token")).unwrap());
    let count: usize = arguments.next().expect("how many").parse().unwrap();
    let turns = Arc::new(Semaphore::new(JOINING));
    let mut joining = JoinSet::new();
    for index in 1..=count {
        let (invitation, turns) = (invitation.clone(), turns.clone());
        joining.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let name = TargetName::new(&format!("fleet-{index:05}")).unwrap();
            let client = Client::new(&invitation.url, Some(invitation.pin)).unwrap();
            let target = Target { name, key: SecretKey::generate().unwrap(), client, invitation };
            target.join().await;
            let seen = target.poll(0, 0).await;
            (target, seen.generation)
        });
    }
    let fleet = joining.join_all().await;
    println!("{}", json!({ "polling": fleet.len() }));
    for (target, generation) in fleet {
        tokio::spawn(target.follow(generation));
    }
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()).unwrap()).await.unwrap();
    std::process::exit(0);
}

impl Target {
    async fn join(&self) {
        let Invitation { environment, .. } = self.invitation.as_ref();
        let invited = self.invitation.key();
        let enrolment = Enrolment {
            environment: environment.clone(),
            target: self.name.clone(),
            invitation: invited.public(),
            key: self.key.public(),
            recipient: RECIPIENT.into(),
            facts: Facts { os: std::env::consts::OS.into(), memory_bytes: 1 << 30, ..Facts::default() },
            active: Default::default(),
        };
        self.submit(self.signed(self.invitation.estate, Act::Enrolment(enrolment), &[&invited, &self.key])).await;
        again(|| self.client.log_in(self.invitation.estate, &self.key)).await;
    }

    async fn poll(&self, generation: u64, wait_seconds: u32) -> Orders {
        let (generation, wait) = (generation.to_string(), wait_seconds.to_string());
        let query = [("generation", generation.as_str()), ("wait", wait.as_str()), ("charter", "1")];
        again(|| self.client.get(routes::AGENT_POLL, &query)).await
    }

    /// Does what it is told by doing nothing.
    async fn follow(self, mut generation: u64) {
        loop {
            let orders = self.poll(generation, 30).await;
            for assignment in &orders.assignments {
                let report = Act::Report(self.done(assignment));
                self.submit(self.signed(assignment.build, report, &[&self.key])).await;
            }
            generation = orders.generation;
        }
    }

    fn done(&self, assignment: &Assignment) -> Report {
        Report {
            target: self.name.clone(),
            app: assignment.app.clone(),
            epoch: assignment.epoch,
            generation: assignment.generation,
            deployment: assignment.deployment,
            outcome: Outcome::Verified,
            running: Some(assignment.build),
            config_serial: assignment.config.map_or(0, |(serial, _)| serial),
            phases: Vec::new(),
            endpoints: Vec::new(),
            carried: None,
            way: Default::default(),
            standby: false,
            doubt: None,
        }
    }

    fn signed(&self, subject: Digest, act: Act, signers: &[&dyn Signer]) -> Submission {
        let header = Header {
            estate: self.invitation.estate,
            request_id: fresh_request_id().unwrap(),
            submit_before: in_future(SUBMIT_WITHIN),
            on_behalf_of: None,
        };
        let statement = Statement { subject_name: self.name.to_string(), subject, header, act };
        let envelope = statement.sign(signers).unwrap();
        Submission { envelope, attachments: BTreeMap::new(), texts: BTreeMap::new(), claim: None }
    }

    async fn submit(&self, submission: Submission) {
        let _accepted: Accepted = again(|| self.client.submit(&submission)).await;
    }
}

/// Tries until the server has time; what it refuses otherwise ends the measurement.
async fn again<T, F: Future<Output = Result<T, ClientError>>>(ask: impl Fn() -> F) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(ClientError::Refused(problem)) if problem.code != "TOO_MANY_REQUESTS" => panic!("{problem}"),
            Err(error) => {
                eprintln!("{error}");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}
