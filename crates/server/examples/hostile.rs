//! A hostile server: it holds the real server's keys and disk, and orders targets to run what it wants.
//!
//! It answers at the real address with the real TLS key, hands every target of an environment two assignments, one
//! after the other, and prints what each target says:
//! 1. a version whose permit was withdrawn: with every genuine signature there is, less the withdrawal;
//! 2. the same build as if it had never been released, which a dev environment would take.
//!
//! It is development only: the demo and the tests show with it what a stolen server cannot do.

use anyhow::{Context, Result, bail};
use api::{
    agent::{AssignmentDossier, Orders},
    problem::Problem,
    read::{Consistency, Estate},
    routes,
    write::{Accepted, Attachment, LoggedIn, Submission},
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use axum_server::tls_rustls::RustlsConfig;
use depot::DiskStore;
use domain::{plan::Assignment, state::State as Facts};
use jiff::{SignedDuration, Timestamp};
use server::{keys::Keys, ledger::Ledger};
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::watch;
use trust::{
    AppName, AudienceName, Digest, TargetName, Version,
    authority::Dossier,
    dsse::Envelope,
    statement::{Act, OrderAct, Outcome, Statement},
};

/// How long the targets have to answer.
const PATIENCE: Duration = Duration::from_secs(60);

struct Hostile {
    ledger: Ledger,
    depot: DiskStore,
    facts: Arc<Facts>,
    app: AppName,
    build: Digest,
    version: Version,
    environment: AudienceName,
    /// Every genuine statement behind the withdrawn version, less the withdrawal.
    genuine: Dossier,
    /// Who answered which of the two assignments.
    answers: Mutex<BTreeMap<(TargetName, u64), String>>,
    answered: watch::Sender<usize>,
    sessions: Mutex<HashMap<String, TargetName>>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut words: HashMap<String, String> = HashMap::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        words.insert(name.clone(), arguments.next().with_context(|| format!("{name} wants a value"))?);
    }
    let word = |name: &str| words.get(name).cloned().with_context(|| format!("{name} is missing"));
    let data = PathBuf::from(word("--data")?);
    let listen: SocketAddr = word("--listen")?.parse()?;
    let environment: AudienceName = word("--environment")?.parse()?;
    let order = word("--order")?;
    let (app, version) = order.split_once('@').context("--order wants APP@VERSION")?;

    let keys = Keys::open(&data.join("keys"))?;
    let ledger = Ledger::open(&data.join("ledger"), keys.ledger.clone(), &keys.origin)?;
    let hostile = Arc::new(Hostile::prepare(
        ledger,
        DiskStore::open(&data.join("depot"))?,
        app.parse()?,
        version.parse()?,
        environment,
    )?);
    println!("holds the TLS key {}, the ledger's key, {} entries and the depot", keys.pin, hostile.facts.head.entry);

    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![keys.certificate.clone()], keys.tls.clone_key())?;
    let router = Router::new()
        .route(routes::SESSIONS, post(log_in))
        .route(routes::ESTATE, get(estate))
        .route(routes::AGENT_POLL, get(poll))
        .route(routes::AGENT_DOSSIER, get(dossier))
        .route(routes::AGENT_PROGRESS, post(async || StatusCode::NO_CONTENT))
        .route(routes::COMMANDS, post(command))
        .route(routes::CONSISTENCY, get(consistency))
        .route(routes::OBJECT, get(object))
        .with_state(hostile.clone());
    let serving = axum_server::bind_rustls(listen, RustlsConfig::from_config(Arc::new(tls)));
    tokio::spawn(serving.serve(router.into_make_service()));

    let expected = 2 * hostile.targets().len();
    let mut answered = hostile.answered.subscribe();
    let all = tokio::time::timeout(PATIENCE, answered.wait_for(|answered| *answered >= expected)).await;
    let answers = hostile.answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if all.is_err() {
        bail!("only {} of {expected} answers came: {answers:?}", answers.len());
    }
    match answers.values().all(|answer| answer.starts_with("refused")) {
        true => Ok(()),
        false => bail!("a target obeyed: {answers:?}"),
    }
}

impl Hostile {
    fn prepare(
        ledger: Ledger,
        depot: DiskStore,
        app: AppName,
        version: Version,
        environment: AudienceName,
    ) -> Result<Self> {
        let facts = ledger.state();
        let record = facts.apps.get(&app).context("no such application")?;
        let build = record.versions.get(&version).context("no such version")?.build;
        let requests = record.audiences.get(&environment).and_then(|record| record.requests.get(&version));
        let asked = requests.and_then(|requests| requests.last()).context("it was never requested there")?;
        let request = facts.requests.get(asked).context("the request is unknown")?;
        let envelope = |entry: u64| -> Result<Envelope> {
            ledger.entry(entry)?.and_then(|entry| entry.envelope).context("an entry without an envelope")
        };
        let genuine = Dossier {
            push: Some(envelope(record.builds.get(&build).context("the build is unknown")?.stamp.entry)?),
            number: Some(envelope(record.versions[&version].stamp.entry)?),
            request: Some(envelope(request.stamp.entry)?),
            approvals: request.approvals.iter().map(|a| envelope(a.stamp.entry)).collect::<Result<_>>()?,
            order: Some(genuine_order(&ledger, &facts, build, &environment)?),
            config: match record.audiences.get(&environment).and_then(|record| record.config.as_ref()) {
                Some(config) => Some(envelope(config.stamp.entry)?),
                None => None,
            },
            ..Dossier::default()
        };
        Ok(Self {
            facts: facts.clone(),
            depot,
            app,
            build,
            version,
            environment,
            genuine,
            ledger,
            answers: Mutex::default(),
            answered: watch::channel(0).0,
            sessions: Mutex::default(),
        })
    }

    fn targets(&self) -> Vec<TargetName> {
        self.facts.targets_in(&self.environment).map(|(name, _)| name.clone()).collect()
    }

    /// The first assignment that the target has not answered yet, numbered as the real server's next would be.
    fn next(&self, target: &TargetName) -> Option<u64> {
        let answers = self.answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        (1..=2).map(|which| self.facts.head.entry + which).find(|g| !answers.contains_key(&(target.clone(), *g)))
    }

    fn target(&self, headers: &HeaderMap) -> Option<TargetName> {
        let token = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
        self.sessions.lock().ok()?.get(token).cloned()
    }
}

/// The deployer's genuine order for the build there, from when it was deployed: an order to be repeated.
fn genuine_order(ledger: &Ledger, facts: &Facts, build: Digest, environment: &AudienceName) -> Result<Envelope> {
    for number in (1..=facts.head.entry).rev() {
        let Some(envelope) = ledger.entry(number)?.and_then(|entry| entry.envelope) else { continue };
        let statement = Statement::read(&envelope)?;
        if let Act::Order(order) = &statement.act
            && order.environment == *environment
            && order.act == OrderAct::Deploy
            && statement.subject == build
        {
            return Ok(envelope);
        }
    }
    bail!("nobody ever ordered it there")
}

fn no(status: StatusCode, code: &str) -> No {
    let problem = Problem { code: code.into(), message: String::new(), next: None, exit: 1, refusal: None };
    Box::new((status, Json(problem)))
}

/// A refusal as axum answers it.
type No = Box<(StatusCode, Json<Problem>)>;

type Answer<T> = Result<Json<T>, Refused>;

struct Refused(No);

impl From<No> for Refused {
    fn from(no: No) -> Self {
        Refused(no)
    }
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> axum::response::Response {
        (*self.0).into_response()
    }
}

async fn log_in(State(hostile): State<Arc<Hostile>>, Json(login): Json<api::write::Login>) -> Answer<LoggedIn> {
    let signer = login.envelope.signatures.first().map(|signature| signature.keyid);
    let target = signer.and_then(|key| hostile.facts.target_keys.get(&key).cloned());
    let target = target.ok_or_else(|| no(StatusCode::FORBIDDEN, "NOT_A_TARGET"))?;
    let token = target.to_string();
    if let Ok(mut sessions) = hostile.sessions.lock() {
        sessions.insert(token.clone(), target);
    }
    let expires = Timestamp::now().checked_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
    Ok(Json(LoggedIn { token, expires }))
}

async fn estate(State(hostile): State<Arc<Hostile>>) -> Answer<Estate> {
    let wrong = |_| no(StatusCode::INTERNAL_SERVER_ERROR, "LOST");
    let policy = hostile.facts.policy.as_ref().ok_or_else(|| no(StatusCode::NOT_FOUND, "NO_ESTATE"))?;
    let read = |digest: &Digest| hostile.depot.read_bytes(digest, 8 << 20).map_err(wrong);
    let roots = policy.record.roots.iter().map(|root| read(root).map(Attachment)).collect::<Result<_, No>>()?;
    let targets = read(&policy.record.targets)?;
    Ok(Json(Estate { roots, targets, charter: policy.record.charter.clone(), suspensions: vec![] }))
}

async fn poll(State(hostile): State<Arc<Hostile>>, headers: HeaderMap) -> Answer<Orders> {
    let target = hostile.target(&headers).ok_or_else(|| no(StatusCode::UNAUTHORIZED, "LOGIN_NEEDED"))?;
    let ours = hostile.targets().contains(&target);
    let next = if ours { hostile.next(&target) } else { None };
    if next.is_none() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let policy = hostile.facts.policy.as_ref();
    let config = hostile.facts.in_audience(&hostile.app, &hostile.environment).and_then(|r| r.config.as_ref());
    let assignments = next.into_iter().map(|generation| Assignment {
        epoch: policy.map_or(1, |policy| policy.charter.epoch),
        generation,
        deployment: hostile.facts.last_deployment + 1,
        app: hostile.app.clone(),
        environment: hostile.environment.clone(),
        act: OrderAct::Deploy,
        undo: false,
        build: hostile.build,
        version: Some(hostile.version.clone()),
        config: config.map(|config| (config.serial, config.document)),
        migrate: None,
    });
    Ok(Json(Orders {
        generation: next.unwrap_or(hostile.facts.head.entry),
        charter_version: policy.map_or(0, |policy| policy.record.version),
        assignments: assignments.collect(),
        errands: vec![],
        withdrawals: vec![],
        freezes: vec![],
        suspensions: 0,
        checkpoint: hostile.ledger.checkpoint().to_string(),
        settled: vec![],
    }))
}

async fn dossier(
    State(hostile): State<Arc<Hostile>>,
    Path((generation, _)): Path<(u64, String)>,
) -> Answer<AssignmentDossier> {
    let mut dossier = hostile.genuine.clone();
    if generation == hostile.facts.head.entry + 2 {
        (dossier.request, dossier.number, dossier.approvals) = (None, None, vec![]);
    }
    Ok(Json(AssignmentDossier { dossier }))
}

async fn command(State(hostile): State<Arc<Hostile>>, Json(submission): Json<Submission>) -> Answer<Accepted> {
    let accepted = Accepted { entry: 0, time: Timestamp::now(), events: vec![], repeated: false };
    let Ok(Statement { act: Act::Report(report), .. }) = Statement::read(&submission.envelope) else {
        return Ok(Json(accepted));
    };
    let what = match report.generation - hostile.facts.head.entry {
        1 => format!("{}@{}, withdrawn, with every other signature", hostile.app, hostile.version),
        _ => format!("{}#{}, as if it had never been released", hostile.app, hostile.build.short()),
    };
    let answer = match &report.outcome {
        Outcome::Refused { code, reason } => format!("refused: {code}: {reason}"),
        other => format!("obeyed: {other:?}"),
    };
    let mut answers = hostile.answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if answers.insert((report.target.clone(), report.generation), answer.clone()).is_none() {
        println!("ordered {} to run {what}\n  {} {answer}", report.target, report.target);
        hostile.answered.send_modify(|answered| *answered += 1);
    }
    Ok(Json(accepted))
}

async fn consistency(
    State(hostile): State<Arc<Hostile>>,
    Query(sizes): Query<HashMap<String, u64>>,
) -> Answer<Consistency> {
    let size = |name| sizes.get(name).copied().unwrap_or(0);
    let proof = hostile.ledger.consistency(size("from"), size("to"));
    Ok(Json(Consistency { proof: proof.map_err(|_| no(StatusCode::BAD_REQUEST, "NO_PROOF"))? }))
}

async fn object(State(hostile): State<Arc<Hostile>>, Path(digest): Path<String>) -> Result<Bytes, StatusCode> {
    let digest: Digest = digest.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    hostile.depot.read_bytes(&digest, 64 << 20).map(Bytes::from).map_err(|_| StatusCode::NOT_FOUND)
}
