//! Serves the board over made-up answers, to look at while designing it: `cargo run -p server --example board_preview`,
//! then http://127.0.0.1:7499/ (busy), /calm, /pushed-nothing and /new.

use api::read::{
    AppStatus, AudienceStatus, BuildName, Cell, Emergency, Escape, Escapes, HistoryEntry, Released, Runs, Status,
    TargetStatus,
};
use axum::{
    Router,
    http::header,
    response::sse::{Event, Sse},
    routing::get,
};
use domain::{entry::Entry, waiting::WaitingOn};
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use server::board::{self, Board};
use std::{collections::BTreeMap, convert::Infallible};
use trust::{
    Digest, TargetName,
    charter::Class,
    quorum::Lack,
    statement::{Facts, Finding, FindingKind},
    way::Way,
};

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("the names of the preview are names")
}

fn ago(minutes: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_mins(minutes)
}

fn build(text: &str) -> BuildName {
    BuildName { build: Digest::of(text.as_bytes()), version: text.parse().ok() }
}

fn runs(version: &str, on: &[&str], since_minutes: i64) -> Runs {
    Runs {
        unwell: Default::default(),
        unclear: Default::default(),
        standby: Vec::new(),
        build: build(version),
        since: ago(since_minutes),
        on: on.iter().map(|target| name(target)).collect(),
        endpoints: vec!["http://127.0.0.1:20001".into()],
        settled: since_minutes > 60,
        stopped: false,
        stopped_on: Vec::new(),
        permitted: true,
    }
}

fn released(version: &str, since_minutes: i64, days_left: i64) -> Released {
    Released {
        superseded_by: None,
        skipped_for: None,
        version: name(version),
        build: build(version).build,
        since: ago(since_minutes),
        not_after: ago(-days_left * 24 * 60),
        approvers: vec![name("tester"), name("oncall")],
        deployed: false,
        way: Default::default(),
    }
}

fn cell(audience: &str, targets: u32) -> Cell {
    Cell {
        dropped: Vec::new(),
        audience: name(audience),
        released: Vec::new(),
        runs: Vec::new(),
        partly: Vec::new(),
        beside: Vec::new(),
        targets,
        waits: Vec::new(),
        waiting: Vec::new(),
        held: Vec::new(),
        holds: Vec::new(),
        failed: Vec::new(),
        exposed: None,
        delivered: Vec::new(),
        notes: Vec::new(),
        deployed_by: None,
        settled: Vec::new(),
    }
}

fn audiences() -> Vec<AudienceStatus> {
    let audience = |text: &str, class, approve: Option<&str>, targets| AudienceStatus {
        name: name(text),
        class,
        approve: approve.map(Into::into),
        targets,
        ends: None,
        notes: Vec::new(),
    };
    vec![
        audience("dev", Some(Class::Dev), None, 2),
        audience("test", Some(Class::Test), Some("developer"), 2),
        audience("prod", Some(Class::Live), Some("qa and ops"), 12),
        audience("beta", None, Some("qa"), 0),
    ]
}

fn prod(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|n| format!("prod-{n}")).collect()
}

fn web() -> AppStatus {
    let (ten, two) = (prod(1..=10), prod(11..=12));
    let (ten, two): (Vec<&str>, Vec<&str>) =
        (ten.iter().map(String::as_str).collect(), two.iter().map(String::as_str).collect());
    let targets: Vec<TargetName> = vec![name("prod-11"), name("prod-12")];
    AppStatus {
        retired: None,
        package: None,
        app: name("web"),
        newest: Some(build("fresh")),
        cells: vec![
            Cell { runs: vec![runs("fresh", &["dev-1", "dev-2"], 3)], ..cell("dev", 2) },
            Cell {
                runs: vec![runs("1.5.0", &["test-1", "test-2"], 180)],
                released: vec![released("1.6.0", 12, 80), released("1.5.0", 200, 80)],
                ..cell("test", 2)
            },
            Cell {
                runs: vec![runs("1.5.0", &ten, 4), runs("1.4.0", &two, 13_000)],
                released: vec![released("1.5.0", 20, 88), released("1.4.0", 14_000, 60), released("1.3.2", 40_000, 30)],
                waiting: vec![
                    WaitingOn::Targets { deployment: 41, targets, until: ago(-8) },
                    WaitingOn::Approvals {
                        version: name("1.6.0"),
                        audience: name("prod"),
                        lacks: vec![Lack { role: name("qa"), count: 1 }, Lack { role: name("ops"), count: 1 }],
                    },
                ],
                exposed: Some((name("1.4.0"), 10)),
                ..cell("prod", 12)
            },
            Cell { released: vec![released("1.5.0", 1_600, 4), released("1.4.0", 14_000, 60)], ..cell("beta", 0) },
        ],
    }
}

fn api_app() -> AppStatus {
    let all = prod(1..=12);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    AppStatus {
        retired: None,
        package: None,
        app: name("billing-api"),
        newest: Some(build("2026.11.3")),
        cells: vec![
            Cell { runs: vec![runs("2026.11.3", &["dev-1"], 1_500)], ..cell("dev", 1) },
            Cell {
                runs: vec![runs("2026.11.3", &["test-1", "test-2"], 26)],
                waiting: vec![WaitingOn::Soak { deployment: 40, until: ago(-34) }],
                released: vec![released("2026.11.3", 30, 80)],
                ..cell("test", 2)
            },
            Cell {
                runs: vec![runs("2026.11.1", &all, 30_000)],
                released: vec![released("2026.11.1", 31_000, 40)],
                held: vec![build("2026.11.2")],
                exposed: Some((name("2026.11.1"), 100)),
                ..cell("prod", 12)
            },
            cell("beta", 0),
        ],
    }
}

fn worker() -> AppStatus {
    let withdrawn = Runs { permitted: false, settled: false, ..runs("0.9.0", &["prod-3"], 60_000) };
    AppStatus {
        retired: None,
        package: None,
        app: name("thumbnailer"),
        newest: Some(build("1.0.0")),
        cells: vec![
            Cell { runs: vec![Runs { stopped: true, ..runs("1.0.0", &["dev-1"], 600) }], ..cell("dev", 1) },
            Cell { released: vec![released("1.0.0", 5, 80)], ..cell("test", 1) },
            Cell { runs: vec![withdrawn], ..cell("prod", 1) },
            cell("beta", 0),
        ],
    }
}

fn target(text: &str, seen: Option<i64>, findings: u32, cordoned: bool) -> TargetStatus {
    TargetStatus {
        carried: None,
        name: name(text),
        environment: name(text.split('-').next().unwrap_or_default()),
        labels: BTreeMap::from([("role".into(), "web".into())]),
        facts: Facts {
            os: "linux".into(),
            arch: "x86_64".into(),
            memory_bytes: 1 << 34,
            agent_version: "0.1.0".into(),
            kernel: String::new(),
        },
        recipient: "age1".into(),
        cordoned,
        cordoned_since: None,
        cordon_reason: None,
        retired: false,
        seen: seen.map(ago),
        refreshed: None,
        stale: false,
        away: false,
        two: false,
        stuck: None,
        as_of: None,
        agent_version: None,
        runs: BTreeMap::from([(name("web"), build("1.5.0"))]),
        stopped: Default::default(),
        findings,
        ends: None,
        ephemeral: false,
        departed: None,
    }
}

fn targets() -> Vec<TargetStatus> {
    let mut targets: Vec<TargetStatus> =
        ["dev-1", "dev-2", "test-1", "test-2"].map(|name| target(name, Some(0), 0, false)).into();
    targets.extend((1..=12).map(|n| match n {
        3 => target("prod-3", Some(0), 1, false),
        8 => target("prod-8", Some(14), 0, false),
        9 => target("prod-9", None, 0, true),
        n => target(&format!("prod-{n}"), Some(0), 0, false),
    }));
    targets
}

fn history() -> Vec<HistoryEntry> {
    let entry = |number: u64, minutes: i64, lines: &[&str]| HistoryEntry {
        entry: Entry {
            number,
            time: ago(minutes),
            actor: "ann".into(),
            roles: Vec::new(),
            on_behalf_of: None,
            request_id: number.to_string(),
            events: Vec::new(),
            envelope: None,
        },
        lines: lines.iter().map(ToString::to_string).collect(),
    };
    vec![
        entry(
            1_204,
            0,
            &[
                "prod-10: web upgraded to 1.5.0 in 0.9 s",
                "deployment 41 (web@1.5.0 → prod): wave 6 began on prod-11, prod-12",
            ],
        ),
        entry(1_203, 1, &["prod-9: web upgraded to 1.5.0 in 1.1 s"]),
        entry(
            1_197,
            5,
            &[
                "oncall ordered web@1.5.0 to be deployed to prod, 12 targets (deployment 41)",
                "deployment 41 (web@1.5.0 → prod): wave 1 began on prod-1, prod-2",
            ],
        ),
        entry(
            1_196,
            20,
            &["oncall approved web@1.5.0 → prod as ops", "web@1.5.0 released to prod: the last required approval came"],
        ),
        entry(1_195, 24, &["tester approved web@1.5.0 → prod as qa"]),
        entry(1_194, 31, &["prod-3: escape: thumbnailer: current/hotfix.sh was put there by hand: no build has it"]),
        entry(1_190, 95, &["coder requested web@1.5.0 → prod (request 1); it needs qa and ops"]),
        entry(
            1_189,
            130,
            &[
                "deployment 39 (billing-api@2026.11.2 → prod) was undone",
                "billing-api@2026.11.2 is held out of prod until somebody lifts the hold",
            ],
        ),
        entry(
            1_188,
            131,
            &[
                "prod-1: deployment of billing-api@2026.11.2 failed at verify: /healthz 503 × 5; undone, 2026.11.1 runs there",
            ],
        ),
    ]
}

fn status(apps: Vec<AppStatus>, audiences: Vec<AudienceStatus>, targets: Vec<TargetStatus>) -> Status {
    let notes = vec!["one person guards test: coder alone can release to it (approve = \"developer\")".into()];
    let notes = if audiences.is_empty() { Vec::new() } else { notes };
    Status { entries: 1_204, at: Timestamp::now(), audiences, apps, targets, notes, emergencies: emergencies() }
}

fn page(which: &str) -> String {
    let escape = |what: &str, finding| Escape {
        target: name("prod-3"),
        environment: name("prod"),
        what: what.into(),
        finding,
        build: None,
    };
    let found = Finding { app: "thumbnailer".into(), path: "current/hotfix.sh".into(), kind: FindingKind::Extra };
    let bad = Escapes {
        escapes: vec![
            escape("thumbnailer@0.9.0 runs, and was withdrawn from prod at 2026-11-20 08:12:44 UTC", None),
            escape("thumbnailer: current/hotfix.sh was put there by hand: no build has it", Some(found)),
        ],
        scanned: BTreeMap::from([(name("prod-3"), Some(ago(31)))]),
        signed: BTreeMap::new(),
        active: Vec::new(),
    };
    let well = Escapes { escapes: Vec::new(), scanned: BTreeMap::new(), signed: BTreeMap::new(), active: Vec::new() };
    let (status, escapes, history, estate) = match which {
        "new" => (status(Vec::new(), Vec::new(), Vec::new()), well, Vec::new(), None),
        "pushed-nothing" => {
            let few = targets().into_iter().take(3).collect();
            (status(Vec::new(), audiences(), few), well, history().into_iter().take(2).collect(), Some("acme"))
        }
        "calm" => (status(vec![api_app()], audiences(), targets()), well, history(), Some("acme")),
        _ => (status(vec![web(), api_app(), worker()], audiences(), targets()), bad, history(), Some("acme")),
    };
    let board = Board { estate, status: &status, escapes: &escapes, history: &history };
    if which == "fragment" { board::fragment(&board).into_string() } else { board::page(&board).into_string() }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let html = |which: &'static str| {
        get(move || async move {
            let policy = (header::CONTENT_SECURITY_POLICY, board::CONTENT_SECURITY_POLICY);
            ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), policy], page(which))
        })
    };
    let asset = |kind: &'static str, content: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], content) })
    };
    let events = || async { Sse::new(stream::pending::<Result<Event, Infallible>>()) };
    let router = Router::new()
        .route("/", html("busy"))
        .route("/calm", html("calm"))
        .route("/pushed-nothing", html("pushed-nothing"))
        .route("/new", html("new"))
        .route("/board/fragment", html("fragment"))
        .route("/board/events", get(events))
        .route("/assets/board.css", asset("text/css", board::CSS))
        .route("/assets/board.js", asset("text/javascript", board::SCRIPT))
        .route("/assets/mark.svg", asset("image/svg+xml", board::MARK));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:7499").await?;
    println!("http://{}/", listener.local_addr()?);
    axum::serve(listener, router).await
}

/// One of each way that nobody has reviewed.
fn emergencies() -> Vec<Emergency> {
    let emergency =
        |way, app, number, reason: Option<&str>, waives: &[&str], since_minutes, hours_left: i64, on: &[&str]| {
            Emergency {
                app: name(app),
                version: name(number),
                build: build(number).build,
                audience: name("prod"),
                serial: 1,
                way,
                waives: waives.iter().map(ToString::to_string).collect(),
                requester: name("nightly"),
                approvers: vec![name("oncall")],
                reason: reason.map(str::to_string),
                since: ago(since_minutes),
                not_after: ago(-hours_left * 60),
                withdrawn: false,
                runs_on: on.iter().map(|target| name(target)).collect(),
            }
        };
    vec![
        emergency(
            Way::BreakGlass,
            "web",
            "1.4.1",
            Some("Checkout answers 500 since the certificate was renewed; the old build does not trust the new chain."),
            &["after", "evidence:scan"],
            95,
            22,
            &["prod-1"],
        ),
        emergency(Way::Hotfix, "shop", "2026.11.4", None, &["after"], 3_000, -2, &[]),
    ]
}
