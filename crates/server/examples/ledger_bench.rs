//! What the ledger does in a second, and how long it takes to open. Prints one JSON object.
//!
//! `cargo run --release -p server --example ledger_bench [ENTRIES [SUBMITS]]` (a million entries, 20,000 submits).
//! Submits are signed statements whose signatures are checked before, as the HTTP layer does; deciding is a toy, so that
//! what is measured is the ledger. Each opening runs in a process of its own, with the file out of the page cache.

use domain::{
    command::{Actor, Command, Context},
    entry::Entry,
    event::{BuildFacts, Change, Ending, Event},
    refusal::Refusal,
    state::State,
};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use server::ledger::{
    Ledger, Prepared, Writing,
    sqlite::SqliteStore,
    store::{LedgerStore, NewEntry, Row},
};
use std::{collections::BTreeMap, error::Error, fs::File, path::Path, process, sync::Arc, time::Instant};
use trust::{
    AppName, AudienceName, Digest, PersonName, TargetName,
    dsse::Envelope,
    key::{PublicKey, SecretKey, Signer},
    log::leaf_hash,
    manifest::{Driver, Needs},
    statement::{
        Act, Administration, AdministrationAct, Facts, Header, OrderAct, Outcome, Phase, PhaseTiming, RequestId,
        Statement,
    },
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CLIENTS: usize = 64;
const TARGETS: u64 = 2_000;
const APPS: u64 = 50;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, folder] = arguments.as_slice()
        && mode == "open"
    {
        println!("{}", open(Path::new(folder))?);
        return Ok(());
    }
    let number = |at: usize, otherwise: u64| arguments.get(at).map_or(Ok(otherwise), |text| text.parse());
    let (entries, submits) = (number(0, 1_000_000)?, number(1, 20_000)?);
    let submitted = submit_all(&tempfile::tempdir()?, submits)?;
    let folder = tempfile::tempdir()?;
    let bytes = grow(folder.path(), entries)?;
    let cold = open_elsewhere(folder.path())?;
    let from_snapshot = open_elsewhere(folder.path())?;
    let snapshot_bytes = folder.path().join("state.snapshot").metadata()?.len();
    println!(
        "{:#}",
        json!({
            "submit": submitted,
            "open": {
                "entries": entries, "database_bytes": bytes, "snapshot_bytes": snapshot_bytes,
                "folding_all": cold, "from_snapshot": from_snapshot,
            },
        })
    );
    Ok(())
}

fn name(kind: &str, number: u64) -> String {
    format!("{kind}-{number}")
}

fn target(number: u64) -> Result<TargetName> {
    Ok(TargetName::new(&name("target", number % TARGETS))?)
}

fn signed(id: &RequestId, number: u64, key: &SecretKey) -> Result<Envelope> {
    let labels = BTreeMap::from([("rack".to_owned(), name("r", number % 40)), ("role".to_owned(), "web".to_owned())]);
    let statement = Statement {
        subject_name: "acme".into(),
        subject: Digest::of(b"root"),
        header: Header {
            estate: Digest::of(b"root"),
            request_id: id.clone(),
            submit_before: Timestamp::now() + 1.hour(),
            on_behalf_of: None,
        },
        act: Act::Administration(Administration {
            act: AdministrationAct::LabelTarget { target: target(number)?, labels },
        }),
    };
    Ok(statement.sign(&[key])?)
}

fn toy(_: &State, _: &Context, command: Command) -> std::result::Result<Vec<Event>, Refusal> {
    match command {
        Command::Administer(AdministrationAct::LabelTarget { target, labels }) => {
            Ok(vec![Event::TargetLabelled { target, labels }])
        }
        _ => Err(Refusal::NoEstate),
    }
}

/// What the HTTP layer does before it submits: read the statement and check its signature.
fn verified(envelope: Envelope, key: PublicKey) -> Result<Prepared> {
    let statement = Statement::read(&envelope)?;
    let signer = *envelope.signers(|id| (key.id() == *id).then_some(key)).first().ok_or("not signed")?;
    let Act::Administration(Administration { act }) = statement.act else { return Err("another act".into()) };
    Ok(Prepared {
        actor: Actor::Person {
            name: PersonName::new("ann")?,
            key: signer,
            roles: [trust::RoleName::new("ops")?].into(),
        },
        request_id: statement.header.request_id,
        on_behalf_of: statement.header.on_behalf_of,
        command: Command::Administer(act),
        envelope: Some(envelope),
        texts: BTreeMap::new(),
    })
}

#[tokio::main]
async fn submit_all(folder: &tempfile::TempDir, submits: u64) -> Result<Value> {
    let key = SecretKey::from_seed(&[1; 32]);
    let writing = Writing { decide: toy, ..Writing::default() };
    let ledger = Ledger::open_with(folder.path(), Arc::new(SecretKey::from_seed(&[2; 32])), "bench", writing)?;
    let mut clients = vec![Vec::new(); CLIENTS];
    for number in 0..submits {
        let id = RequestId::new(uuid::Uuid::now_v7().to_string())?;
        clients[number as usize % CLIENTS].push(signed(&id, number, &key)?);
    }
    let began = Instant::now();
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|envelopes| {
            let (ledger, key) = (ledger.clone(), key.public());
            tokio::spawn(async move {
                let mut took = Vec::with_capacity(envelopes.len());
                for envelope in envelopes {
                    let began = Instant::now();
                    ledger.submit(verified(envelope, key)?).await?;
                    took.push(began.elapsed());
                }
                Result::Ok(took)
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let milliseconds = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let found = ledger.verify();
    Ok(json!({
        "clients": CLIENTS, "submits": submits, "per_second": (submits as f64 / seconds).round(),
        "median_milliseconds": milliseconds(0.5), "p99_milliseconds": milliseconds(0.99), "problem": found.problem,
    }))
}

/// Appends `count` entries as a busy estate has them: builds with evidence and numbers, deployments of ten targets each,
/// labels. Gives the file's size in bytes.
fn grow(folder: &Path, count: u64) -> Result<u64> {
    let store = SqliteStore::open(folder)?;
    let key = SecretKey::from_seed(&[1; 32]);
    let envelope = signed(&RequestId::new("0")?, 0, &key)?;
    let mut time = "2026-01-01T00:00:00Z".parse::<Timestamp>()?;
    let mut number = 1;
    while number <= count {
        let mut batch = Vec::new();
        for number in number..=count.min(number + 9_999) {
            time += 50.milliseconds();
            let request_id = format!("0199{number:020}");
            let entry = Entry {
                number,
                time,
                actor: "ann".into(),
                roles: vec!["developer".into(), "ops".into()],
                on_behalf_of: None,
                request_id: request_id.clone(),
                events: vec![event(number, time, &key)?],
                envelope: Some(envelope.clone()),
            };
            let bytes = serde_json::to_vec(&entry)?;
            let row = Row { number, leaf: leaf_hash(&bytes), bytes };
            let payload = Some(Digest::of(&envelope.payload));
            batch.push(NewEntry {
                row,
                actor: entry.actor,
                request_id,
                payload,
                texts: Vec::new(),
                erases: Default::default(),
            });
        }
        number += batch.len() as u64;
        store.append(&batch)?;
    }
    drop(store);
    Ok(folder.join("ledger.sqlite").metadata()?.len())
}

fn event(number: u64, time: Timestamp, key: &SecretKey) -> Result<Event> {
    let environment = AudienceName::new("prod")?;
    if number <= TARGETS {
        let mut seed = [3; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        return Ok(Event::TargetEnrolled {
            target: target(number)?,
            environment,
            invitation: key.public(),
            key: SecretKey::from_seed(&seed).public(),
            recipient: "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq".into(),
            labels: BTreeMap::from([("role".into(), "web".into())]),
            facts: Facts {
                os: "linux".into(),
                arch: "x86_64".into(),
                memory_bytes: 8 << 30,
                agent_version: "1.0.0".into(),
                kernel: String::new(),
            },
        });
    }
    let (deployment, step) = (number / 20, number % 20);
    let app = AppName::new(&name("app", deployment % APPS))?;
    let build = Digest::of(&deployment.to_be_bytes());
    let targets = || (0..10).map(|at| target(deployment * 10 + at)).collect::<Result<Vec<_>>>();
    Ok(match step {
        0 => Event::BuildPushed {
            app,
            build,
            pusher: PersonName::new("ci")?,
            commit: None,
            recipe: Some("make dist".into()),
            facts: BuildFacts {
                driver: Driver::Process,
                files: 37,
                size_bytes: 4_100_000,
                processes: vec!["web".into(), "worker".into()],
                on: BTreeMap::from([("role".into(), "web".into())]),
                config: BTreeMap::new(),
                needs: Needs::default(),
                migrate: None,
                takes_seconds: 0,
                can_stand_by: false,
                package: std::collections::BTreeMap::new(),
            },
        },
        1 => Event::EvidenceAttached {
            app,
            build,
            kind: "test-result".into(),
            passed: true,
            summary: "812/812".into(),
            document: build,
            issuer: PersonName::new("ci")?,
            key: key.public().id(),
            predicate: None,
            facts: Default::default(),
            issued: None,
            payload: None,
        },
        2 => Event::BuildNumbered { app, build, version: format!("1.{deployment}.0").parse()? },
        3 => Event::DeploymentRequested {
            deployment,
            app,
            environment,
            act: OrderAct::Deploy,
            build,
            version: Some(format!("1.{deployment}.0").parse()?),
            targets: targets()?,
            awaits_permit: false,
            warnings: Vec::new(),
            deployer: PersonName::new("ann")?,
            rollout: Some(Box::default()),
            rings: Vec::new(),
            // Ten of two thousand that the build fits: an order that names them.
            narrowed: true,
            schedule: Default::default(),
            keep_data: false,
            package: None,
            only: std::collections::BTreeSet::new(),
            planned_there: Vec::new(),
        },
        4 => Event::WaveStarted { deployment, wave: 1, targets: targets()?, ring: None, migrate: None },
        5..15 => Event::TargetFinished {
            way: Default::default(),
            deployment,
            target: target(deployment * 10 + step - 5)?,
            outcome: Outcome::Verified,
            change: Some(Change::Upgraded),
            running: Some(build),
            config_serial: 1,
            phases: [Phase::Fetch, Phase::Stage, Phase::Activate, Phase::Verify]
                .map(|phase| PhaseTiming { phase, started: time, milliseconds: 120 })
                .into(),
            endpoints: vec!["http://127.0.0.1:20001".into()],
            given_up: false,
            stands: false,
            standby: false,
            doubt: None,
        },
        15 => Event::DeploymentEnded {
            deployment,
            ending: Ending::Succeeded,
            reason: None,
            superseded_by: None,
            aborted: None,
        },
        16 => Event::DeploymentSettled { deployment },
        _ => Event::TargetLabelled {
            target: target(number)?,
            labels: BTreeMap::from([("role".into(), "web".into()), ("rack".into(), name("r", number % 40))]),
        },
    })
}

fn open_elsewhere(folder: &Path) -> Result<Value> {
    for file in ["ledger.sqlite", "state.snapshot"] {
        if let Ok(file) = File::open(folder.join(file)) {
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    let output = process::Command::new(std::env::current_exe()?).arg("open").arg(folder).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn open(folder: &Path) -> Result<Value> {
    let ledger = Ledger::open(folder, Arc::new(SecretKey::from_seed(&[2; 32])), "bench")?;
    let resident = resident_bytes()?;
    let opened = ledger.opened().clone();
    let began = Instant::now();
    let proof = ledger.consistency(opened.entries / 3, opened.entries)?;
    let proof_milliseconds = began.elapsed().as_secs_f64() * 1e3;
    let began = Instant::now();
    let verified = ledger.verify();
    let verify_seconds = began.elapsed().as_secs_f64();
    let began = Instant::now();
    ledger.close();
    Ok(json!({
        "seconds": opened.took.as_secs_f64(), "snapshot": opened.snapshot, "resident_bytes": resident,
        "proof_hashes": proof.len(), "proof_milliseconds": proof_milliseconds,
        "verify_seconds": verify_seconds, "problem": verified.problem, "close_seconds": began.elapsed().as_secs_f64(),
    }))
}

fn resident_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}
