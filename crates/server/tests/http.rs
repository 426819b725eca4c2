//! The server as its clients see it: over TLS, with signed statements, on a real ledger and depot.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use api::{
    agent::{AssignmentDossier, Orders, ProgressReport},
    client::{Client, ClientError, fresh_request_id, in_future},
    problem::Problem,
    read::{DeploymentView, Escapes, Estate, Feed, HistoryEntry, Status, Whoami, Why},
    routes,
    write::{Accepted, Attachment, LoggedIn, Login, Stored, Submission, Text},
};
use domain::event::Ending;
use jiff::{SignedDuration, Timestamp};
use server::start::{AWAY_AFTER_SECONDS, Options, Running, start};
use std::collections::BTreeMap;
use trust::{
    Digest, PersonName, TargetName,
    charter::CHARTER_TARGET,
    dsse::Envelope,
    key::{SecretKey, Signer},
    manifest::{Entry, FORMAT, Manifest, Run},
    statement::*,
    tuf::{RootBuilder, TargetFile, Targets, sign_metadata},
};

#[path = "http/depot.rs"]
mod depot;

const CHARTER: &str = r#"charter = "acme"
[people]
coder  = { roles = ["developer"], keys = ["KEY1"] }
oncall = { roles = ["ops"],       keys = ["KEY2"] }
tester = { roles = ["qa"],        keys = ["KEY3"] }
guest  = { roles = ["guest"],     keys = ["KEY4"] }
[environments]
dev  = { class = "dev",  deploy = "developer" }
prod = { class = "live", approve = "qa and ops", deploy = "ops" }
[channels]
beta    = { approve = "qa", public = true }
friends = { approve = "qa" }
"#;

const CODER: u8 = 1;
const ONCALL: u8 = 2;
const TESTER: u8 = 3;
const GUEST: u8 = 4;
const OWNER: u8 = 9;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// A server with what its clients need to know of it.
struct World {
    running: Running,
    folder: tempfile::TempDir,
    estate: Digest,
    root: Vec<u8>,
}

impl World {
    /// A server without an estate.
    async fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = start(options(&folder)).await.unwrap();
        let owner: PersonName = "owner".parse().unwrap();
        let root = RootBuilder::first(in_future(SignedDuration::from_hours(24 * 365)))
            .owner(&owner, key(OWNER).public())
            .online(key(8).public())
            .build()
            .unwrap();
        let root = sign_metadata(&root, &[&key(OWNER)]).unwrap();
        Self { running, folder, estate: Digest::of(&root), root }
    }

    /// A server with the charter above.
    async fn founded() -> Self {
        let world = Self::bare().await;
        let submission = world.charter(1, world.running.claim.clone());
        world.anyone().submit(&submission).await.unwrap();
        world
    }

    fn charter(&self, version: u64, claim: Option<String>) -> Submission {
        let charter = (1..=4).fold(CHARTER.to_string(), |charter, seed| {
            charter.replace(&format!("KEY{seed}"), &key(seed).public().to_openssh())
        });
        let charter = charter.into_bytes();
        let file = TargetFile { length_bytes: charter.len() as u64, digest: Digest::of(&charter) };
        let files = BTreeMap::from([(CHARTER_TARGET.to_string(), file)]);
        let expires = in_future(SignedDuration::from_hours(24 * 90));
        let targets = Targets::unsigned(version, expires, &files, None).unwrap();
        let targets = sign_metadata(&targets, &[&key(OWNER)]).unwrap();
        let act = AdministrationAct::ApplyCharter {
            roots: if version == 1 { vec![Digest::of(&self.root)] } else { Vec::new() },
            targets: Digest::of(&targets),
            charter: Digest::of(&charter),
        };
        let act = Act::Administration(Administration { act });
        let mut submission = self.signed(OWNER, self.estate, act);
        for document in [self.root.clone(), targets, charter] {
            submission.attachments.insert(Digest::of(&document), Attachment(document));
        }
        submission.claim = claim;
        submission
    }

    fn statement(&self, subject: Digest, act: Act) -> Statement {
        Statement {
            subject_name: "subject".into(),
            subject,
            header: Header {
                estate: self.estate,
                request_id: fresh_request_id().unwrap(),
                submit_before: in_future(SignedDuration::from_secs(60)),
                on_behalf_of: None,
            },
            act,
        }
    }

    fn signed(&self, seed: u8, subject: Digest, act: Act) -> Submission {
        submission(self.statement(subject, act).sign(&[&key(seed)]).unwrap())
    }

    fn anyone(&self) -> Client {
        Client::new(&self.running.url, Some(self.running.pin)).unwrap()
    }

    async fn client(&self, seed: u8) -> Client {
        let client = self.anyone();
        client.log_in(self.estate, &key(seed)).await.unwrap();
        client
    }

    async fn submit(&self, seed: u8, subject: Digest, act: Act) -> Accepted {
        self.anyone().submit(&self.signed(seed, subject, act)).await.unwrap()
    }

    /// Pushes a build of web with one file, and numbers it.
    async fn push(&self, content: &str, number: Option<&str>) -> (Digest, Digest) {
        let client = self.client(CODER).await;
        let file = Digest::of(content.as_bytes());
        put(&client, file, content.as_bytes().to_vec()).await.unwrap();
        let manifest = manifest(file, content.len() as u64);
        let build = Digest::of(&manifest);
        let push = Push { app: "web".parse().unwrap(), commit: None, recipe: None, makers: vec![] };
        let mut submission = self.signed(CODER, build, Act::Push(push));
        submission.attachments.insert(build, Attachment(manifest));
        client.submit(&submission).await.unwrap();
        if let Some(number) = number {
            let number = Number { app: "web".parse().unwrap(), version: number.parse().unwrap() };
            self.submit(CODER, build, Act::Number(number)).await;
        }
        (build, file)
    }

    /// Asks for a release and approves it by everyone in `approvers`.
    async fn release(&self, build: Digest, version: &str, audience: &str, approvers: &[u8]) {
        let requires = if audience == "prod" { "qa and ops" } else { "qa" };
        let request = Request {
            app: "web".parse().unwrap(),
            version: version.parse().unwrap(),
            audience: audience.parse().unwrap(),
            way: Default::default(),
            reason: None,
            charter_version: 1,
            requires: requires.parse().unwrap(),
            serial: 1,
            not_before: Timestamp::now() - SignedDuration::from_secs(5),
            not_after: in_future(SignedDuration::from_hours(24)),
            floor: None,
        };
        let request = self.signed(CODER, build, Act::Request(request));
        self.anyone().submit(&request).await.unwrap();
        for approver in approvers {
            let (app, version) = ("web".parse().unwrap(), version.parse().unwrap());
            let approval = Approval { app, version, audience: audience.parse().unwrap() };
            self.submit(*approver, Digest::of(&request.envelope.payload), Act::Approval(approval)).await;
        }
    }

    /// Lets a target join; its key is of `seed`, its invitation's of the next one.
    async fn enrol(&self, name: &str, environment: &str, seed: u8) -> Client {
        let invitation = key(seed + 1).public();
        let invite = AdministrationAct::InviteTarget {
            invitation,
            environment: environment.parse().unwrap(),
            labels: BTreeMap::new(),
            name: None,
            uses: 1,
            expires: in_future(SignedDuration::from_hours(1)),
            ephemeral: false,
        };
        self.submit(OWNER, self.estate, Act::Administration(Administration { act: invite })).await;
        let enrolment = Enrolment {
            environment: environment.parse().unwrap(),
            target: name.parse().unwrap(),
            invitation,
            key: key(seed).public(),
            recipient: "age1".into(),
            facts: Facts { os: "linux".into(), arch: "x86_64".into(), memory_bytes: 1 << 30, ..Default::default() },
            active: Default::default(),
        };
        let statement = self.statement(self.estate, Act::Enrolment(enrolment));
        let half = submission(statement.sign(&[&key(seed + 1)]).unwrap());
        assert_eq!(code(self.anyone().submit(&half).await), "SIGNATURE_MISSING");
        let whole = submission(statement.sign(&[&key(seed + 1), &key(seed)]).unwrap());
        self.anyone().submit(&whole).await.unwrap();
        self.client(seed).await
    }

    fn order(&self, environment: &str, version: Option<&str>) -> Act {
        Act::Order(Order {
            version: version.map(|version| version.parse().unwrap()),
            ..Order::new("web".parse().unwrap(), environment.parse().unwrap(), OrderAct::Deploy)
        })
    }
}

fn options(folder: &tempfile::TempDir) -> Options {
    let listen = "127.0.0.1:0".parse().unwrap();
    Options {
        data: folder.path().join("data"),
        listen,
        board: Some(listen),
        keys: Default::default(),
        away_after: std::time::Duration::from_secs(AWAY_AFTER_SECONDS),
    }
}

fn submission(envelope: Envelope) -> Submission {
    Submission { envelope, attachments: BTreeMap::new(), texts: BTreeMap::new(), claim: None }
}

fn manifest(file: Digest, size: u64) -> Vec<u8> {
    let entry = Entry::File { path: "index.html".into(), executable: false, size, digest: file };
    let manifest = Manifest { format: FORMAT, app: "web".parse().unwrap(), files: vec![entry], run: Run::default() };
    manifest.to_bytes().unwrap()
}

async fn put(client: &Client, digest: Digest, content: Vec<u8>) -> Result<Stored, ClientError> {
    let path = routes::path(routes::OBJECT, &[&digest.to_string()]);
    let request = client.request(reqwest::Method::PUT, &path).body(content);
    Ok(client.stream(request).await?.json().await.unwrap())
}

async fn object(client: &Client, digest: Digest, channel: Option<&str>) -> Result<Vec<u8>, ClientError> {
    let path = routes::path(routes::OBJECT, &[&digest.to_string()]);
    let request = client.request(reqwest::Method::GET, &path);
    let request = match channel {
        Some(channel) => request.query(&[("channel", channel)]),
        None => request,
    };
    Ok(client.stream(request).await?.bytes().await.unwrap().to_vec())
}

async fn pack(client: &Client, digests: &[Digest]) -> Result<Vec<u8>, ClientError> {
    let request = client.request(reqwest::Method::POST, routes::PACKS_FETCH).json(&digests);
    Ok(client.stream(request).await?.bytes().await.unwrap().to_vec())
}

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    problem(answer).code
}

fn problem<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Problem {
    match answer {
        Err(ClientError::Refused(problem)) => *problem,
        other => panic!("a refusal was expected, and this came: {other:?}"),
    }
}

#[tokio::test]
async fn a_server_is_founded_once_and_only_with_its_claim() {
    let world = World::bare().await;
    let anyone = world.anyone();
    assert_eq!(anyone.hello().await.unwrap().estate, None);
    assert_eq!(anyone.hello().await.unwrap().pin, world.running.pin);
    let session = Act::Session(Session { server: world.running.pin });
    let login = Login { envelope: world.signed(OWNER, world.estate, session).envelope };
    assert_eq!(code(anyone.post::<LoggedIn>(routes::SESSIONS, &login).await), "NO_ESTATE");
    for claim in [None, Some("0".repeat(32))] {
        assert_eq!(code(anyone.submit(&world.charter(1, claim)).await), "CLAIM_WRONG");
    }
    let claim = world.running.claim.clone();
    anyone.submit(&world.charter(1, claim.clone())).await.unwrap();
    let hello = anyone.hello().await.unwrap();
    assert_eq!((hello.estate, hello.name.as_deref()), (Some(world.estate), Some("acme")));
    // The claim is of no use any more, and the same charter is not applied twice.
    let problem = problem(anyone.submit(&world.charter(1, claim)).await);
    assert!(["CHARTER_STALE", "ALREADY_DONE"].contains(&problem.code.as_str()), "{problem}");
    anyone.submit(&world.charter(2, None)).await.unwrap();
    let estate: Estate = world.client(CODER).await.get(routes::ESTATE, &[]).await.unwrap();
    assert_eq!(estate.roots.iter().map(|root| Digest::of(&root.0)).collect::<Vec<_>>(), [world.estate]);
    assert!(estate.charter.starts_with("charter = \"acme\""));
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_login_counts_once_for_this_server_and_only_for_whom_the_charter_knows() {
    let world = World::founded().await;
    let whoami: Whoami = world.client(TESTER).await.get(routes::WHOAMI, &[]).await.unwrap();
    assert_eq!((whoami.name.as_str(), whoami.roles), ("tester", vec!["qa".to_string()]));
    let anyone = world.anyone();
    assert_eq!(code(anyone.get::<Status>(routes::STATUS, &[]).await), "LOGIN_NEEDED");
    let login =
        |seed, server| Login { envelope: world.signed(seed, world.estate, Act::Session(Session { server })).envelope };
    let stranger = login(77, world.running.pin);
    assert_eq!(code(anyone.post::<LoggedIn>(routes::SESSIONS, &stranger).await), "SIGNER_UNKNOWN");
    let elsewhere = login(CODER, Digest::of(b"another server"));
    assert_eq!(code(anyone.post::<LoggedIn>(routes::SESSIONS, &elsewhere).await), "OTHER_SERVER");
    let once = login(CODER, world.running.pin);
    anyone.post::<LoggedIn>(routes::SESSIONS, &once).await.unwrap();
    assert_eq!(code(anyone.post::<LoggedIn>(routes::SESSIONS, &once).await), "SESSION_REPLAYED");
    let mut forged = login(CODER, world.running.pin);
    forged.envelope.signatures[0].sig[0] ^= 1;
    assert_eq!(code(anyone.post::<LoggedIn>(routes::SESSIONS, &forged).await), "SIGNATURE_WRONG");
    // Whoever is suspended is logged out at once.
    let coder = world.client(CODER).await;
    let suspend = AdministrationAct::SuspendPerson { person: "coder".parse().unwrap() };
    world.submit(OWNER, world.estate, Act::Administration(Administration { act: suspend })).await;
    assert_eq!(code(coder.get::<Whoami>(routes::WHOAMI, &[]).await), "LOGIN_NEEDED");
    world.running.shutdown().await;
}

#[tokio::test]
async fn bad_input_is_refused_with_a_problem_and_nothing_is_recorded() {
    let world = World::founded().await;
    let client = world.client(CODER).await;
    let post = |path: &'static str, body: String| {
        let request = client.request(reqwest::Method::POST, path).body(body);
        async { problem(client.stream(request).await.map(|_| ())) }
    };
    let malformed = post(routes::COMMANDS, "{\"envelope\":\n  12".into()).await;
    assert!(malformed.code == "MALFORMED" && malformed.message.contains("line 2"), "{malformed}");
    assert_eq!(post(routes::SESSIONS, " ".repeat(65 << 10)).await.code, "TOO_LARGE");
    assert_eq!(post(routes::COMMANDS, " ".repeat(17 << 20)).await.code, "TOO_LARGE");
    assert_eq!(post(routes::COMMANDS, "{\"envelope\":1,\"envelope\":2}".into()).await.code, "MALFORMED");
    assert_eq!(code(client.get::<Status>("/v1/nonsense", &[]).await), "NOT_FOUND");
    assert_eq!(code(client.get::<Status>(routes::COMMANDS, &[]).await), "METHOD_NOT_ALLOWED");
    assert_eq!(code(client.get::<Status>(routes::STATUS, &[("app", "Web!")]).await), "MALFORMED");
    assert_eq!(code(client.get::<Status>(routes::STATUS, &[("colour", "red")]).await), "MALFORMED");
    let unknown = problem(client.get::<Status>(routes::STATUS, &[("environment", "prud")]).await);
    assert!(unknown.code == "UNKNOWN_AUDIENCE" && unknown.message.contains("did you mean prod?"), "{unknown}");
    // Another estate, too late, a file that is not in the depot, an attachment that is something else.
    let push = || Act::Push(Push { app: "web".parse().unwrap(), commit: None, recipe: None, makers: vec![] });
    let bytes = manifest(Digest::of(b"nowhere"), 7);
    let build = Digest::of(&bytes);
    let mut statement = world.statement(build, push());
    statement.header.estate = Digest::of(b"another");
    assert_eq!(code(client.submit(&submission(statement.sign(&[&key(CODER)]).unwrap())).await), "OTHER_ESTATE");
    for submit_before in [Timestamp::now() - SignedDuration::from_secs(1), in_future(SignedDuration::from_hours(48))] {
        let mut statement = world.statement(build, push());
        statement.header.submit_before = submit_before;
        let late = submission(statement.sign(&[&key(CODER)]).unwrap());
        assert_eq!(code(client.submit(&late).await), "STATEMENT_EXPIRED");
    }
    let mut without_file = world.signed(CODER, build, push());
    without_file.attachments.insert(build, Attachment(bytes));
    assert_eq!(code(client.submit(&without_file).await), "OBJECTS_MISSING");
    without_file.attachments.insert(build, Attachment(b"{}".to_vec()));
    assert_eq!(code(client.submit(&without_file).await), "DIGEST_MISMATCH");
    let several = world.statement(build, push()).sign(&[&key(CODER), &key(ONCALL)]).unwrap();
    assert_eq!(code(client.submit(&submission(several)).await), "SEVERAL_SIGNERS");
    assert_eq!(code(put(&client, Digest::of(b"one"), b"other".to_vec()).await), "DIGEST_MISMATCH");
    let mut with_text = world.signed(CODER, build, push());
    let text = Text { salt: "00".into(), text: "unnamed".into() };
    with_text.texts.insert(text.digest(), text);
    assert!(["INVALID", "OBJECTS_MISSING"].contains(&code(client.submit(&with_text).await).as_str()));
    let status: Status = client.get(routes::STATUS, &[]).await.unwrap();
    assert_eq!((status.entries, status.apps.len()), (1, 0));
    world.running.shutdown().await;
}

#[tokio::test]
async fn r31_r35_r52_from_a_build_to_a_verified_deployment() {
    let world = World::founded().await;
    let (build, file) = world.push("hello", Some("1.0.0")).await;
    let agent = world.enrol("prod-1", "prod", 40).await;
    let oncall = world.client(ONCALL).await;

    // Without a permit there is no deployment, and the target may not even have the bytes.
    let order = world.signed(ONCALL, build, world.order("prod", Some("1.0.0")));
    let refused = problem(oncall.submit(&order).await);
    assert!(refused.exit == 3 && refused.next.is_some(), "{refused}");
    for digest in [build, file] {
        assert_eq!(code(object(&agent, digest, None).await), "PERMIT_MISSING");
    }
    world.release(build, "1.0.0", "prod", &[TESTER]).await;
    let query = [("app", "web"), ("version", "1.0.0"), ("audience", "prod")];
    let why: Why = oncall.get(routes::WHY, &query).await.unwrap();
    assert!(!why.may && why.conditions.iter().any(|c| !c.met && c.what.contains("ops")), "{why:#?}");
    assert_eq!(code(object(&agent, file, None).await), "PERMIT_MISSING");
    let approval =
        Approval { app: "web".parse().unwrap(), version: "1.0.0".parse().unwrap(), audience: "prod".parse().unwrap() };
    let dossier: api::read::DossierView = oncall.get(routes::DOSSIER, &query).await.unwrap();
    assert_eq!((dossier.dossier.approvals.len(), dossier.next_serial), (1, 2));
    let request = Digest::of(&dossier.dossier.request.unwrap().payload);
    world.submit(ONCALL, request, Act::Approval(approval)).await;
    let why: Why = oncall.get(routes::WHY, &query).await.unwrap();
    assert!(why.may, "{why:#?}");
    assert_eq!(object(&agent, file, None).await.unwrap(), b"hello");

    // The agent waits; the order comes; it is told at once.
    let (poll, accepted) = tokio::join!(
        agent.get::<Orders>(routes::AGENT_POLL, &[("generation", "0"), ("wait", "60")]),
        world.submit(ONCALL, build, world.order("prod", Some("1.0.0"))),
    );
    assert!(!accepted.repeated);
    let orders = poll.unwrap();
    let assignment = orders.assignments[0].clone();
    assert_eq!((assignment.build, assignment.generation), (build, orders.generation));
    let path = routes::path(routes::AGENT_DOSSIER, &[&assignment.generation.to_string(), "web"]);
    let behind: AssignmentDossier = agent.get(&path, &[]).await.unwrap();
    assert_eq!(behind.dossier.approvals.len(), 2);
    assert!(behind.dossier.push.is_some() && behind.dossier.number.is_some() && behind.dossier.order.is_some());
    assert_eq!(code(agent.get::<Status>(routes::STATUS, &[]).await), "PEOPLE_ONLY");
    assert_eq!(code(oncall.get::<Orders>(routes::AGENT_POLL, &[]).await), "TARGETS_ONLY");

    let report = Report {
        target: "prod-1".parse().unwrap(),
        app: "web".parse().unwrap(),
        epoch: assignment.epoch,
        generation: assignment.generation,
        deployment: assignment.deployment,
        outcome: Outcome::Verified,
        running: Some(build),
        config_serial: 0,
        phases: Vec::new(),
        endpoints: vec!["http://127.0.0.1:20001".into()],
        carried: None,
        way: Default::default(),
        standby: false,
        doubt: None,
    };
    // How far it is, it tells, and whoever looks at the deployment sees it.
    let path = routes::path(routes::DEPLOYMENT, &[&assignment.deployment.to_string()]);
    let told = ProgressReport {
        deployment: assignment.deployment,
        target: "prod-1".parse().unwrap(),
        phase: Phase::Stage,
        done: true,
        note: String::new(),
        time: Timestamp::now(),
        stuck: false,
    };
    agent.stream(agent.request(reqwest::Method::POST, routes::AGENT_PROGRESS).json(&told)).await.unwrap();
    let deployment: DeploymentView = oncall.get(&path, &[]).await.unwrap();
    assert_eq!(deployment.targets[0].state, "at it");
    assert_eq!(deployment.targets[0].detail.as_deref(), Some("stage ✓"));
    // So does why it cannot go on, until it does.
    let full = "cannot write /data/journal/web.json: No space left on device";
    let stuck = ProgressReport { phase: Phase::Check, done: false, note: full.into(), stuck: true, ..told.clone() };
    agent.stream(agent.request(reqwest::Method::POST, routes::AGENT_PROGRESS).json(&stuck)).await.unwrap();
    let deployment: DeploymentView = oncall.get(&path, &[]).await.unwrap();
    let cannot = format!("cannot go on, and tries again: {full}");
    assert_eq!(deployment.targets[0].detail, Some(format!("stage ✓ ✗ {cannot}")));
    let waits = deployment.waits.unwrap();
    assert!(waits.ends_with(&format!("; prod-1 {cannot}")), "{waits}");
    let says = |status: &Status| status.targets[0].stuck.clone();
    let status: Status = oncall.get(routes::STATUS, &[("environment", "prod")]).await.unwrap();
    assert_eq!(says(&status), Some(format!("with deployment {}: {full}", assignment.deployment)));
    agent.stream(agent.request(reqwest::Method::POST, routes::AGENT_PROGRESS).json(&told)).await.unwrap();
    let status: Status = oncall.get(routes::STATUS, &[("environment", "prod")]).await.unwrap();
    assert_eq!(says(&status), None);

    // A report counts from the target itself alone.
    let by_a_person = world.signed(ONCALL, build, Act::Report(report.clone()));
    assert_eq!(code(oncall.submit(&by_a_person).await), "SIGNER_UNFIT");
    let by_the_target = world.signed(40, build, Act::Report(report));
    let first = agent.submit(&by_the_target).await.unwrap();
    let again = agent.submit(&by_the_target).await.unwrap();
    assert!(again.repeated && again.entry == first.entry);
    let deployment: DeploymentView = oncall.get(&path, &[]).await.unwrap();
    assert_eq!(deployment.ending, Some(Ending::Succeeded));
    assert_eq!(deployment.targets[0].state, "verified");
    let status: Status = oncall.get(routes::STATUS, &[("environment", "prod")]).await.unwrap();
    let runs = &status.apps[0].cells[0].runs[0];
    assert!(runs.permitted && runs.on == ["prod-1".parse::<TargetName>().unwrap()], "{status:#?}");
    assert!(status.targets[0].seen.is_some());

    // As it was before anything ran.
    let then = deployment.requested - SignedDuration::from_millis(1);
    let then = then.to_string();
    let before: Status = oncall.get(routes::STATUS, &[("at", then.as_str())]).await.unwrap();
    assert!(before.apps[0].cells.iter().all(|cell| cell.runs.is_empty()), "{before:#?}");

    // A withdrawn version that runs is an escape (R37), and its reason is told.
    let reason = |text: &str| Text { salt: "5a17".into(), text: text.into() };
    let withdrawal = |reason: &Text| Withdrawal {
        app: "web".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        audience: "prod".parse().unwrap(),
        through_serial: 1,
        reason: Some(reason.digest()),
    };
    let blank = reason(" \n");
    let mut submission = world.signed(TESTER, build, Act::Withdrawal(withdrawal(&blank)));
    submission.texts.insert(blank.digest(), blank);
    assert!(problem(oncall.submit(&submission).await).message.contains("blank says nothing"));
    let reason = reason("it leaks");
    let mut submission = world.signed(TESTER, build, Act::Withdrawal(withdrawal(&reason)));
    assert_eq!(code(oncall.submit(&submission).await), "INVALID");
    submission.texts.insert(reason.digest(), reason);
    let known = orders.generation.to_string();
    let query = [("generation", known.as_str()), ("wait", "60")];
    let (poll, withdrawn) = tokio::join!(agent.get::<Orders>(routes::AGENT_POLL, &query), oncall.submit(&submission));
    withdrawn.unwrap();
    // Whichever of the two came first, the next poll knows.
    let mut orders = poll.unwrap();
    while orders.withdrawals.is_empty() {
        orders = agent.get(routes::AGENT_POLL, &query[..1]).await.unwrap();
    }
    let escapes: Escapes = oncall.get(routes::ESCAPES, &[]).await.unwrap();
    assert!(escapes.escapes[0].what.contains("withdrawn"), "{escapes:#?}");
    let history: Vec<HistoryEntry> = oncall.get(routes::HISTORY, &[("limit", "1")]).await.unwrap();
    assert!(history[0].lines.iter().any(|line| line.contains("it leaks")), "{history:#?}");
    assert!(history[0].entry.envelope.is_none());
    world.running.shutdown().await;
}

/// R35: what a target may have of the depot is what the permits of its own environment cover: no manifest, no file, no
/// pack without one, nor by a permit for elsewhere; nothing more once it is withdrawn, or the target has left.
#[tokio::test]
async fn r35_the_permit_opens_the_depot_for_its_own_environment_and_for_no_other() {
    let world = World::founded().await;
    let (build, file) = world.push("hello", Some("1.0.0")).await;
    let (other, others_file) = world.push("later", Some("1.1.0")).await;
    let prod = world.enrol("prod-1", "prod", 40).await;
    let dev = world.enrol("dev-1", "dev", 50).await;
    let stranger = world.anyone();
    let nothing = async |client: &Client, digests: &[Digest], expected: &str| {
        let path = routes::path(routes::OBJECT, &[&digests[0].to_string()]);
        let status = client.request(reqwest::Method::GET, &path).send().await.unwrap().status();
        assert_eq!(status.as_u16(), if expected == "LOGIN_NEEDED" { 401 } else { 403 });
        for digest in digests {
            assert_eq!(code(object(client, *digest, None).await), expected);
            assert_eq!(code(pack(client, &[*digest]).await), expected);
        }
    };
    nothing(&prod, &[build, file], "PERMIT_MISSING").await;
    nothing(&stranger, &[build, file], "LOGIN_NEEDED").await;
    world.release(build, "1.0.0", "prod", &[TESTER]).await;
    nothing(&prod, &[build, file], "PERMIT_MISSING").await;
    world.release(other, "1.1.0", "prod", &[TESTER, ONCALL]).await;
    assert_eq!(object(&prod, others_file, None).await.unwrap(), b"later");
    assert!(!pack(&prod, &[other, others_file]).await.unwrap().is_empty());
    // One object too many in a pack, and none of it is given.
    assert_eq!(code(pack(&prod, &[others_file, file]).await), "PERMIT_MISSING");
    nothing(&prod, &[build, file], "PERMIT_MISSING").await;
    nothing(&dev, &[other, others_file], "PERMIT_MISSING").await;
    let not_for_targets = put(&prod, Digest::of(b"mine"), b"mine".to_vec()).await;
    assert_eq!(code(not_for_targets), "PEOPLE_ONLY");

    let withdrawal = Withdrawal {
        app: "web".parse().unwrap(),
        version: "1.1.0".parse().unwrap(),
        audience: "prod".parse().unwrap(),
        through_serial: 1,
        reason: None,
    };
    world.submit(TESTER, other, Act::Withdrawal(withdrawal)).await;
    nothing(&prod, &[other, others_file], "PERMIT_MISSING").await;
    let retire = AdministrationAct::RetireTarget { target: "prod-1".parse().unwrap() };
    world.submit(OWNER, world.estate, Act::Administration(Administration { act: retire })).await;
    nothing(&prod, &[other, others_file], "LOGIN_NEEDED").await;
    world.running.shutdown().await;
}

#[tokio::test]
async fn r6_a_public_channel_gives_what_is_released_to_it_and_nothing_else() {
    let world = World::founded().await;
    let (build, file) = world.push("released", Some("1.0.0")).await;
    let (_, other) = world.push("secret", Some("1.1.0")).await;
    let anyone = world.anyone();
    let path = routes::path(routes::FEED, &["beta", "web"]);
    let feed: Feed = anyone.get(&path, &[]).await.unwrap();
    assert!(feed.versions.is_empty());
    assert_eq!(code(object(&anyone, file, Some("beta")).await), "PERMIT_MISSING");
    world.release(build, "1.0.0", "beta", &[TESTER]).await;
    let feed: Feed = anyone.get(&path, &[]).await.unwrap();
    assert_eq!(feed.versions.iter().map(|version| version.manifest).collect::<Vec<_>>(), [build]);
    assert_eq!(object(&anyone, file, Some("beta")).await.unwrap(), b"released");
    assert_eq!(code(object(&anyone, other, Some("beta")).await), "PERMIT_MISSING");
    assert_eq!(code(object(&anyone, file, None).await), "LOGIN_NEEDED");
    assert_eq!(code(object(&anyone, file, Some("friends")).await), "LOGIN_NEEDED");
    let friends = routes::path(routes::FEED, &["friends", "web"]);
    assert_eq!(code(anyone.get::<Feed>(&friends, &[]).await), "LOGIN_NEEDED");
    world.running.shutdown().await;
}

#[tokio::test]
async fn long_files_of_the_repository_travel_compressed_to_whoever_takes_them_so() {
    let world = World::founded().await;
    let folder = options(&world.folder).data.join("repository/metadata");
    std::fs::create_dir_all(&folder).unwrap();
    let long: String = (0..3000).map(|number| format!("\"permits.prod.application-{number:04}.json\"\n")).collect();
    for (name, content) in [("9.permits-prod.json", long.as_str()), ("8.permits-prod.json", "short")] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    let client = world.client(CODER).await;
    let get = async |name: &str, encoding: Option<&str>| {
        let request = client.request(reqwest::Method::GET, &format!("{}/metadata/{name}", routes::REPOSITORY));
        let request = encoding.into_iter().fold(request, |request, word| request.header("accept-encoding", word));
        let response = client.stream(request).await.unwrap();
        // The length stands before the answer unless it was compressed, and then it is not known before the end.
        (response.content_length(), response.text().await.unwrap())
    };
    assert_eq!(get("9.permits-prod.json", None).await, (None, long.clone()));
    assert_eq!(get("9.permits-prod.json", Some("identity")).await, (Some(long.len() as u64), long.clone()));
    assert_eq!(get("8.permits-prod.json", None).await, (Some(5), "short".into()));
}

#[tokio::test]
async fn logs_are_asked_of_the_target_and_passed_on() {
    let world = World::founded().await;
    world.push("hello", None).await;
    let agent = world.enrol("dev-1", "dev", 40).await;
    let coder = world.client(CODER).await;
    let logs = || {
        let query = [("app", "web"), ("target", "dev-1")];
        coder.stream(coder.request(reqwest::Method::GET, routes::LOGS).query(&query))
    };
    assert_eq!(code(logs().await), "TARGET_AWAY");
    agent.get::<Orders>(routes::AGENT_POLL, &[]).await.unwrap();
    let answer = async {
        let orders: Orders = agent.get(routes::AGENT_POLL, &[("wait", "60")]).await.unwrap();
        let path = routes::path(routes::AGENT_ERRAND, &[&orders.errands[0].id]);
        for (piece, done) in [("one\n", "false"), ("two\n", "true")] {
            let request = agent.request(reqwest::Method::POST, &path).query(&[("done", done)]).body(piece);
            agent.stream(request).await.unwrap();
        }
        path
    };
    let (answer, path) = tokio::join!(logs(), answer);
    assert_eq!(answer.unwrap().text().await.unwrap(), "one\ntwo\n");
    let late = agent.request(reqwest::Method::POST, &path).body("three\n");
    assert_eq!(code(agent.stream(late).await.map(|_| ())), "ERRAND_OVER");
    world.running.shutdown().await;
}

#[tokio::test]
async fn r37_a_scan_waits_until_the_targets_that_are_there_have_taken_stock() {
    let world = World::founded().await;
    let agent = world.enrol("dev-1", "dev", 40).await;
    world.enrol("dev-2", "dev", 50).await;
    let coder = world.client(CODER).await;
    agent.get::<Orders>(routes::AGENT_POLL, &[]).await.unwrap();
    let found = Finding { app: "web".into(), path: "hand.sh".into(), kind: FindingKind::Extra };
    let scanned = "2026-11-22T10:00:00Z".parse().unwrap();
    let take_stock = async {
        let orders: Orders = agent.get(routes::AGENT_POLL, &[("wait", "60")]).await.unwrap();
        assert_eq!(orders.errands[0].want, api::agent::Want::Scan);
        let target = "dev-1".parse().unwrap();
        let inventory = Inventory {
            target,
            scanned,
            active: BTreeMap::new(),
            findings: vec![found.clone()],
            facts: None,
            lapsed: None,
        };
        agent.submit(&world.signed(40, world.estate, Act::Inventory(inventory))).await
    };
    let query = [("scan", "true")];
    let (escapes, told) = tokio::join!(coder.get::<Escapes>(routes::ESCAPES, &query), take_stock);
    told.unwrap();
    let escapes = escapes.unwrap();
    assert_eq!(escapes.escapes[0].finding, Some(found.clone()));
    let times: Vec<_> = escapes.scanned.values().copied().collect();
    // The second one never asked for anything, so nobody waits for it, and its answer is as old as it is.
    assert_eq!(times, [Some(scanned), None]);
    world.running.shutdown().await;
}

#[tokio::test]
async fn whoever_watches_is_told_of_entries_and_of_progress_and_can_go_on_where_they_were() {
    let world = World::founded().await;
    let agent = world.enrol("dev-1", "dev", 40).await;
    let coder = world.client(CODER).await;
    let request = coder.request(reqwest::Method::GET, routes::EVENTS).header("last-event-id", "1");
    let mut events = coder.stream(request).await.unwrap();
    let mut heard = String::new();
    while !heard.contains("id: 3\n") {
        heard.push_str(&String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()));
    }
    assert!(!heard.contains("id: 1\n") && heard.contains("dev-1 joined dev"), "{heard}");
    let report = ProgressReport {
        deployment: 1,
        target: "dev-1".parse().unwrap(),
        phase: Phase::Fetch,
        done: false,
        note: "1 of 2\u{1b}[2J".into(),
        time: Timestamp::now(),
        stuck: false,
    };
    let request = agent.request(reqwest::Method::POST, routes::AGENT_PROGRESS).json(&report);
    agent.stream(request).await.unwrap();
    while !heard.contains("event: progress\n") || !heard.ends_with("\n\n") {
        heard.push_str(&String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()));
    }
    assert!(heard.contains("1 of 2") && !heard.contains("\\u001b"), "{heard}");
    world.running.shutdown().await;
}

#[tokio::test]
async fn one_folder_has_one_server_and_what_was_accepted_is_there_again() {
    let world = World::founded().await;
    world.push("hello", Some("1.0.0")).await;
    let second = start(options(&world.folder)).await.err().unwrap();
    assert!(second.to_string().contains("in use by another server"), "{second}");
    let World { running, folder, estate, root } = world;
    let (pin, address) = (running.pin, running.address);
    running.shutdown().await;
    let mut options = options(&folder);
    options.listen = address;
    let running = start(options).await.unwrap();
    assert_eq!((running.pin, &running.claim), (pin, &None));
    let world = World { running, folder, estate, root };
    let status: Status = world.client(CODER).await.get(routes::STATUS, &[]).await.unwrap();
    assert_eq!((status.entries, status.apps.len()), (3, 1));
    world.running.shutdown().await;
}

#[tokio::test]
async fn health_metrics_and_the_contract_are_there_and_the_clear_is_for_this_machine_only() {
    let world = World::founded().await;
    let board = world.running.board_url.clone().unwrap();
    let clear = Client::new(&board, None).unwrap();
    let text = async |client: &Client, path: &str| {
        let request = client.request(reqwest::Method::GET, path);
        client.stream(request).await.unwrap().text().await.unwrap()
    };
    assert_eq!(text(&clear, routes::HEALTHZ).await, "ok\n");
    assert_eq!(text(&clear, routes::READYZ).await, "ready\n");
    let metrics = text(&clear, routes::METRICS).await;
    assert!(metrics.contains("sortie_ledger_entries 1") && metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(text(&clear, routes::BOARD).await.contains("acme"));
    assert_eq!(code(clear.get::<Status>(routes::STATUS, &[]).await), "NOT_FOUND");
    let by_another_name = clear.request(reqwest::Method::GET, routes::BOARD).header("host", "evil.example");
    assert_eq!(code(clear.stream(by_another_name).await.map(|_| ())), "OTHER_HOST");
    assert_eq!(code(world.anyone().get::<Status>(routes::BOARD, &[]).await), "LOGIN_NEEDED");
    assert_eq!(code(world.anyone().get::<Status>(routes::METRICS, &[]).await), "LOGIN_NEEDED");
    let contract: serde_json::Value = world.anyone().get(routes::OPENAPI, &[]).await.unwrap();
    for route in [routes::COMMANDS, routes::STATUS, routes::OBJECT, routes::AGENT_POLL, routes::FEED] {
        assert!(contract["paths"][route].is_object(), "{route} is not described");
    }
    let mut options = options(&world.folder);
    options.board = Some("0.0.0.0:0".parse().unwrap());
    assert!(start(options).await.err().unwrap().to_string().contains("loopback"));
    world.running.shutdown().await;
}

/// Attack: flood before a login.
/// Holds: the server's address, and no key that the charter knows.
/// Left to him: what many addresses together can ask. Each is bounded in how often, how much and how long, before
/// anything is verified for it, and whoever is logged in is not held up.
#[tokio::test]
async fn strangers_are_bounded_and_members_are_not() {
    let world = World::founded().await;
    let member = world.client(CODER).await;
    let stranger = world.anyone();
    // Not by the client's own reading of answers, which waits its turn.
    let ask = |path: &str| stranger.request(reqwest::Method::GET, path).send();
    let mut refused = None;
    for _ in 0..5000 {
        let answer = ask(routes::HELLO).await.unwrap();
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 200);
    }
    let refused = refused.expect("a flood that is never refused");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(refused.text().await.unwrap().contains("TOO_MANY_REQUESTS"));
    // The same address, logged in, goes on; and one without a login is served again a little later, by waiting its turn.
    member.get::<Whoami>(routes::WHOAMI, &[]).await.unwrap();
    stranger.hello().await.unwrap();

    let large = |bytes: usize| stranger.request(reqwest::Method::POST, routes::COMMANDS).body(vec![b' '; bytes]).send();
    let answer = loop {
        let answer = large((4 << 20) + 1).await.unwrap();
        if answer.status() != 429 {
            break answer;
        }
    };
    assert_eq!(answer.status(), 413);
    assert!(answer.text().await.unwrap().contains("TOO_LARGE"));
}
