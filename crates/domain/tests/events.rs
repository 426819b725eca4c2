//! Every event shape ever written is read for ever: `events/shapes.jsonl` only grows.
//!
//! Each line is one event as some version of the program wrote it. A new shape is added by `UPDATE=1 cargo test -p domain
//! --test events`, which appends what is missing. No line may ever be changed or removed: ledgers out there hold it.

use domain::event::{
    Aborted, BuildFacts, Change, Departure, Ending, Event, MigrateFacts, Migration, RingOf, RootFacts, VendorPermit,
    VendorWord,
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    str::FromStr,
};
use trust::{
    Digest,
    freeze::Terms,
    key::{PublicKey, SecretKey, Signer},
    manifest::{ConfigKey, Driver, KernelFeature, Member, Needs},
    rollout::{Advance, OnFailure, Ring, Rollout, Share},
    schedule::Schedule,
    statement::{Commit, Facts, Finding, FindingKind, OrderAct, Outcome, Phase, PhaseTiming},
    way::Way,
    window::Opening,
};

fn read<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("it is well formed")
}

fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

fn key(of: u8) -> PublicKey {
    SecretKey::from_seed(&[of; 32]).public()
}

fn noon() -> Timestamp {
    read("2026-11-02T12:00:00Z")
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("role".into(), "web".into())])
}

/// Events about builds, releases and the charter, in every shape this program writes.
fn release_events() -> Vec<Event> {
    let build = digest("web#A");
    let config = |secret, default: Option<&str>| ConfigKey { secret, default: default.map(str::to_string) };
    let facts = BuildFacts {
        driver: Driver::Process,
        files: 3,
        size_bytes: 4_100_000,
        processes: vec!["web".into(), "worker".into()],
        on: labels(),
        config: BTreeMap::from([
            ("DATABASE_URL".into(), config(true, None)),
            ("LOG_LEVEL".into(), config(false, Some("info"))),
        ]),
        needs: Needs {
            os: Some("linux".into()),
            arch: Some("x86_64".into()),
            memory_bytes: Some(512 << 20),
            disk_bytes: Some(1 << 30),
            ..Needs::default()
        },
        migrate: None,
        takes_seconds: 0,
        can_stand_by: true,
        package: BTreeMap::new(),
    };
    let bare = BuildFacts {
        driver: Driver::Checkpoint,
        files: 0,
        size_bytes: 0,
        processes: Vec::new(),
        on: BTreeMap::new(),
        config: BTreeMap::new(),
        needs: Needs::default(),
        migrate: None,
        takes_seconds: 0,
        can_stand_by: false,
        package: BTreeMap::new(),
    };
    let demanding = Needs {
        kernel: Some("5.10".into()),
        kernel_features: [KernelFeature::Cgroup2, KernelFeature::IoUring].into(),
        ports: [443].into(),
        services: ["postgresql".to_string()].into(),
        programs: ["ffmpeg".to_string()].into(),
        ..Needs::default()
    };
    let member = |after: &[&str]| Member {
        version: read("2.0.1"),
        build: digest("db#A"),
        after: after.iter().map(|name| read(name)).collect(),
    };
    let members = BTreeMap::from([(read("db"), member(&[])), (read("api"), member(&["db"]))]);
    let site = BuildFacts { driver: Driver::Files, files: 9, ..bare.clone() };
    let tagged = |tag: Option<&str>| Commit {
        id: "9b1d22e7c0f1a2b3c4d5e6f708192a3b4c5d6e7f".into(),
        tag: tag.map(str::to_string),
        title: "Say why".into(),
    };
    let pushed = |facts: BuildFacts, commit: Option<Commit>, recipe: Option<&str>| Event::BuildPushed {
        app: read("web"),
        build,
        pusher: read("ci"),
        commit,
        recipe: recipe.map(str::to_string),
        facts,
    };
    let word = |annulled| VendorWord {
        vendor: read("acme"),
        estate: digest("root 1 of acme"),
        audience: read("customers"),
        document: digest("a release"),
        charter: 3,
        expires: read("2027-11-02T12:00:00Z"),
        annulled,
    };
    let known = facts.clone();
    let imported = move |word, floor: Option<&str>, way, commit| Event::ReleaseImported {
        app: read("web"),
        build,
        version: read("1.4.0"),
        importer: read("oncall"),
        recipe: None,
        facts: Box::new(known.clone()),
        word,
        permit: VendorPermit {
            serial: 1,
            not_before: noon(),
            not_after: read("2027-01-31T12:00:00Z"),
            floor: floor.map(read),
            requester: floor.map(|_| read("maker")),
            approvers: vec![read("checker"), read("seller")],
            way,
        },
        commit,
    };
    let requested_by = |way, floor: Option<&str>, reason| Event::ReleaseRequested {
        request: digest("request"),
        app: read("web"),
        version: read("1.4.0"),
        build,
        audience: read("prod"),
        serial: 1,
        requires: read("2 qa and ops or owner"),
        not_before: noon(),
        not_after: read("2027-01-31T12:00:00Z"),
        floor: floor.map(read),
        requester: read("coder"),
        way,
        reason,
    };
    let requested = |floor| requested_by(Way::Normal, floor, None);
    let reviewed = |finding| Event::EmergencyReviewed {
        request: digest("request"),
        app: read("web"),
        version: read("1.4.0"),
        audience: read("prod"),
        way: Way::BreakGlass,
        reviewer: read("tester"),
        finding,
    };
    let withdrawn = |was_granted, reason: Option<Digest>, payload| Event::PermissionWithdrawn {
        app: read("web"),
        version: read("1.4.0"),
        build,
        audience: read("prod"),
        through_serial: 2,
        was_granted,
        reason,
        payload,
    };
    vec![
        Event::CharterApplied {
            estate: digest("root 1"),
            root_version: 1,
            owners: vec![(read("olga"), key(1))],
            version: 1,
            charter: "charter = \"acme\"\n".into(),
            roots: vec![digest("root 1")],
            targets: digest("targets 1"),
            facts: RootFacts::default(),
        },
        Event::CharterApplied {
            estate: digest("root 1"),
            root_version: 2,
            owners: vec![(read("olga"), key(1))],
            version: 2,
            charter: "charter = \"acme\"\n".into(),
            roots: vec![digest("root 2")],
            targets: digest("targets 2"),
            facts: RootFacts {
                root_expires: Some(read("2031-11-01T12:00:00Z")),
                charter_expires: Some(read("2027-11-01T12:00:00Z")),
                root_holders: vec![(read("olga"), key(1)), (read("recovery"), key(9))],
            },
        },
        Event::RecoveryKeyPutAway { key: key(9).id(), owner: read("olga") },
        Event::PersonSuspended { person: read("tester") },
        Event::PersonNamed { person: read("p7"), name: Some(digest("salted name")) },
        Event::PersonNamed { person: read("p7"), name: None },
        Event::PersonErased { person: read("p7") },
        pushed(facts, Some(tagged(Some("web/v1.4.0"))), Some("make dist")),
        pushed(bare.clone(), None, None),
        pushed(
            BuildFacts { migrate: Some(MigrateFacts { has_undo: false }), takes_seconds: 640, ..bare.clone() },
            None,
            None,
        ),
        pushed(BuildFacts { migrate: Some(MigrateFacts { has_undo: true }), ..bare.clone() }, None, None),
        pushed(BuildFacts { needs: demanding, ..bare.clone() }, None, None),
        pushed(BuildFacts { driver: Driver::Package, package: members, ..bare }, None, None),
        pushed(site, Some(tagged(None)), None),
        Event::PartAdded {
            app: read("web"),
            draft: read("ci-4711"),
            part: read("linux-arm64"),
            manifest: build,
            pusher: read("ci"),
            commit: None,
            files: 3,
            size_bytes: 4_100_000,
        },
        Event::DraftSealed { app: read("web"), draft: read("ci-4711"), build },
        Event::DraftDiscarded { app: read("web"), draft: read("ci-4711") },
        Event::AppRetired { app: read("web") },
        Event::BuildPruned { app: read("web"), builds: vec![build] },
        imported(word(Vec::new()), None, Way::Normal, None),
        imported(word(vec![digest("withdrawal")]), Some("1.2.0"), Way::Hotfix, Some(tagged(None))),
        Event::BuildDelivered {
            app: read("web"),
            version: read("1.4.0"),
            build,
            channel: read("globex"),
            to: read("bob"),
        },
        Event::VendorWithdrew { app: read("web"), build, through_serial: 2, payload: None, word: word(Vec::new()) },
        Event::VendorWithdrew {
            app: read("web"),
            build,
            through_serial: 2,
            payload: Some(digest("withdrawal")),
            word: word(Vec::new()),
        },
        Event::BuildNumbered { app: read("web"), build, version: read("1.4.0-rc.1") },
        Event::EvidenceAttached {
            app: read("web"),
            build,
            kind: "test-result".into(),
            passed: true,
            summary: "812/812".into(),
            document: digest("report"),
            issuer: read("ci"),
            key: key(2).id(),
            predicate: None,
            facts: BTreeMap::new(),
            issued: None,
            payload: None,
        },
        Event::EvidenceAttached {
            app: read("web"),
            build,
            kind: "scan".into(),
            passed: false,
            summary: "1 critical".into(),
            document: digest("scan"),
            issuer: read("ci"),
            key: key(2).id(),
            predicate: Some("https://example.com/scan/v1".into()),
            facts: BTreeMap::from([("critical".into(), 1), ("summary.high".into(), -1)]),
            issued: Some(noon()),
            payload: None,
        },
        Event::EvidenceAttached {
            app: read("web"),
            build,
            kind: "scan".into(),
            passed: true,
            summary: "clean".into(),
            document: digest("scan"),
            issuer: read("ci"),
            key: key(2).id(),
            predicate: None,
            facts: BTreeMap::new(),
            issued: Some(noon()),
            payload: Some(digest("evidence")),
        },
        requested(None),
        requested(Some("1.3.0")),
        requested_by(Way::Hotfix, None, Some(digest("reason"))),
        requested_by(Way::BreakGlass, None, Some(digest("reason"))),
        reviewed(None),
        reviewed(Some(digest("finding"))),
        Event::RequestApproved { request: digest("request"), approver: read("tester"), key: key(3).id() },
        Event::PermitGranted {
            request: digest("request"),
            app: read("web"),
            version: read("1.4.0"),
            audience: read("prod"),
        },
        withdrawn(true, Some(digest("reason")), None),
        withdrawn(false, None, None),
        withdrawn(true, None, Some(digest("withdrawal"))),
        Event::ConfigSet {
            app: read("web"),
            environment: read("prod"),
            serial: 1,
            document: digest("config"),
            keys: BTreeMap::from([("DATABASE_URL".into(), true), ("LOG_LEVEL".into(), false)]),
            recipients: BTreeSet::from([read("prod-1")]),
        },
    ]
}

/// Events about freezes.
fn freeze_events() -> Vec<Event> {
    let declared = |environments: &[&str], apps: &[&str]| Event::FreezeDeclared {
        freeze: digest("freeze"),
        number: 3,
        terms: Terms {
            environments: environments.iter().map(|name| read(name)).collect(),
            apps: apps.iter().map(|name| read(name)).collect(),
            from: noon(),
            until: read("2027-01-04T07:00:00Z"),
            reason: digest("reason"),
        },
        by: read("oncall"),
    };
    let lifted = |reason| Event::FreezeLifted { freeze: digest("freeze"), number: 3, reason, by: read("oncall") };
    vec![
        declared(&[], &[]),
        declared(&["prod"], &["web"]),
        Event::FreezeExcepted {
            freeze: digest("freeze"),
            number: 3,
            app: read("web"),
            version: read("1.4.1"),
            build: digest("web#A"),
            reason: digest("reason"),
            by: read("oncall"),
        },
        lifted(None),
        lifted(Some(digest("reason"))),
    ]
}

/// Events about targets.
fn target_events() -> Vec<Event> {
    let invited_for = |name: Option<&str>, uses, ephemeral| Event::TargetInvited {
        ephemeral,
        invitation: key(4),
        environment: read("prod"),
        labels: labels(),
        name: name.map(read),
        uses,
        expires: noon(),
    };
    let invited = |name, uses| invited_for(name, uses, false);
    let retired = |why| Event::TargetRetired { target: read("prod-1"), why };
    let found = |kind| Finding { app: "web".into(), path: "bin/web".into(), kind };
    let kinds = [
        FindingKind::Changed,
        FindingKind::Missing,
        FindingKind::Extra,
        FindingKind::Mode,
        FindingKind::Link,
        FindingKind::Process,
    ];
    vec![
        invited(None, 12),
        invited(Some("prod-1"), 1),
        invited_for(None, 40, true),
        Event::TargetEnrolled {
            target: read("prod-1"),
            environment: read("prod"),
            invitation: key(4),
            key: key(5),
            recipient: "age1qqqq".into(),
            labels: labels(),
            facts: Facts {
                os: "linux".into(),
                arch: "x86_64".into(),
                memory_bytes: 8 << 30,
                agent_version: "0.1.0".into(),
                kernel: String::new(),
            },
        },
        Event::TargetLabelled { target: read("prod-1"), labels: labels() },
        Event::TargetCordoned { target: read("prod-1"), cordoned: true, reason: None },
        retired(None),
        retired(Some(Departure::Lapsed)),
        retired(Some(Departure::LapsedUnheard)),
        retired(Some(Departure::Vanished)),
        Event::TokenCreated {
            token: digest("secret"),
            holder: read("oncall"),
            name: read("dashboard"),
            expires: noon(),
        },
        Event::TokenRevoked { token: digest("secret"), holder: read("oncall"), name: read("dashboard") },
        Event::EscapesChanged { target: read("prod-1"), findings: kinds.map(found).to_vec() },
        Event::EscapesChanged { target: read("prod-1"), findings: Vec::new() },
        Event::TargetRunsOtherwise { target: read("prod-1"), app: read("web"), build: Some(digest("build")) },
        Event::TargetRunsOtherwise { target: read("prod-1"), app: read("web"), build: None },
        Event::FactsChanged {
            target: read("prod-1"),
            facts: Facts {
                os: "linux".into(),
                arch: "x86_64".into(),
                memory_bytes: 16 << 30,
                agent_version: "0.2.0".into(),
                kernel: "6.1.0-18-amd64".into(),
            },
        },
        Event::HealthChanged {
            target: read("prod-1"),
            app: read("web"),
            build: digest("web#A"),
            unwell: Some("web-1 /healthz 503".into()),
            unclear: false,
        },
        Event::HealthChanged {
            target: read("prod-1"),
            app: read("web"),
            build: digest("web#A"),
            unwell: None,
            unclear: false,
        },
        Event::HealthChanged {
            target: read("prod-1"),
            app: read("web"),
            build: digest("web#A"),
            unwell: Some("verify errors: inconclusive: measured NaN".into()),
            unclear: true,
        },
    ]
}

/// Events about deployments.
fn deployment_events() -> Vec<Event> {
    let build = digest("web#A");
    let phases =
        [Phase::Check, Phase::Fetch, Phase::Stage, Phase::Configure, Phase::Activate, Phase::Verify, Phase::Remove];
    let requested = |act, version: Option<&str>, awaits_permit, warnings: &[&str]| Event::DeploymentRequested {
        deployment: 1,
        app: read("web"),
        environment: read("prod"),
        act,
        build,
        version: version.map(read),
        targets: vec![read("prod-1"), read("prod-2")],
        awaits_permit,
        warnings: warnings.iter().map(ToString::to_string).collect(),
        deployer: read("oncall"),
        rollout: None,
        rings: Vec::new(),
        narrowed: false,
        schedule: Schedule::default(),
        keep_data: false,
        package: None,
        only: BTreeSet::new(),
        planned_there: Vec::new(),
    };
    let ring = |name: &str| RingOf { name: name.into(), targets: 1 };
    let rolled_out =
        |rollout: Rollout, rings: Vec<RingOf>, narrowed| match requested(OrderAct::Deploy, Some("1.4.0"), false, &[]) {
            Event::DeploymentRequested {
                deployment,
                app,
                environment,
                act,
                build,
                version,
                targets,
                awaits_permit,
                warnings,
                deployer,
                ..
            } => Event::DeploymentRequested {
                deployment,
                app,
                environment,
                act,
                build,
                version,
                targets,
                awaits_permit,
                warnings,
                deployer,
                rollout: Some(Box::new(rollout)),
                rings,
                narrowed,
                schedule: Schedule::default(),
                keep_data: true,
                package: None,
                only: BTreeSet::new(),
                planned_there: Vec::new(),
            },
            other => other,
        };
    let careful = Rollout {
        at_once: Share::Percent(25),
        canary: 1,
        rings: vec![Ring::Labelled { key: "ring".into(), value: "early".into() }, Ring::Rest],
        bake_minutes: 10,
        advance: Advance::Hand,
        min_healthy: Share::Percent(80),
        failure_budget: Share::Count(2),
        progress_minutes: 5,
        on_failure: OnFailure::Pause,
    };
    let stops = Rollout { at_once: Share::All, on_failure: OnFailure::Stop, ..Rollout::default() };
    let wave = |ring: Option<&str>| Event::WaveStarted {
        deployment: 1,
        wave: 1,
        targets: vec![read("prod-1")],
        ring: ring.map(str::to_string),
        migrate: None,
    };
    let migrates = |migration| Event::WaveStarted {
        deployment: 1,
        wave: 1,
        targets: vec![read("prod-1")],
        ring: None,
        migrate: Some(migration),
    };
    let paused = |by: Option<&str>, reason, failure: Option<&str>| Event::DeploymentPaused {
        deployment: 1,
        by: by.map(read),
        reason,
        failure: failure.map(str::to_string),
    };
    let excluded = |by: Option<&str>, reason| Event::TargetExcluded {
        deployment: 1,
        target: read("prod-2"),
        by: by.map(read),
        reason,
        away: false,
    };
    let held = |deployment| Event::HoldPlaced { app: read("web"), environment: read("prod"), build, deployment };
    let lifted = |build, reason| Event::HoldLifted { app: read("web"), environment: read("prod"), build, reason };
    let resumed = |reason| Event::DeploymentResumed { deployment: 1, by: read("oncall"), reason };
    let finished_by = |way, outcome, change, running: Option<Digest>| Event::TargetFinished {
        deployment: 1,
        target: read("prod-1"),
        outcome,
        change,
        running,
        config_serial: 3,
        phases: phases.map(|phase| PhaseTiming { phase, started: noon(), milliseconds: 900 }).to_vec(),
        endpoints: running.map(|_| "http://127.0.0.1:20001".to_string()).into_iter().collect(),
        given_up: false,
        stands: false,
        way,
        // What is told of a hotfix here stands by.
        standby: way == Way::Hotfix,
        // And what was brought by break-glass decided nothing while it was verified.
        doubt: (way == Way::BreakGlass).then(|| "verify errors: inconclusive: measured NaN".to_owned()),
    };
    let finished = |outcome, change, running| finished_by(Way::Normal, outcome, change, running);
    let mut events = vec![
        finished_by(Way::Hotfix, Outcome::Verified, Some(Change::Upgraded), Some(build)),
        finished_by(Way::BreakGlass, Outcome::Verified, Some(Change::Upgraded), Some(build)),
        requested(OrderAct::Deploy, Some("1.4.0"), true, &["1.4.0 is superseded"]),
        requested(OrderAct::Deploy, None, false, &[]),
        wave(None),
        migrates(Migration::Run),
        migrates(Migration::Undo),
        rolled_out(Rollout::default(), Vec::new(), false),
        rolled_out(stops, Vec::new(), true),
        rolled_out(careful, vec![ring("canary"), ring("rest")], false),
        wave(Some("ring=early")),
        Event::RingVerified { deployment: 1, ring: "canary".into() },
        paused(Some("oncall"), Some(digest("reason")), None),
        paused(None, None, Some("prod-1: verify: 503")),
        resumed(Some(digest("reason"))),
        resumed(None),
        finished(Outcome::Undone { phase: Phase::Verify, reason: "503".into() }, None, Some(build)),
        finished(Outcome::Undone { phase: Phase::Migrate, reason: "exit code 1".into() }, None, Some(build)),
        finished(Outcome::Failed { phase: Phase::Activate, reason: "disk full".into() }, None, None),
        finished(Outcome::Refused { code: "PERMIT_EXPIRED".into(), reason: "too late".into() }, None, None),
        finished(Outcome::Verified, None, None),
        Event::TargetFinished {
            way: Way::Normal,
            deployment: 1,
            target: read("prod-2"),
            outcome: Outcome::Failed { phase: Phase::Check, reason: "no answer within 10 minutes".into() },
            change: None,
            running: None,
            config_serial: 0,
            phases: Vec::new(),
            endpoints: Vec::new(),
            given_up: true,
            stands: false,
            standby: false,
            doubt: None,
        },
        Event::UndoStarted {
            deployment: 1,
            reason: "prod-1: verify: 503".into(),
            targets: vec![read("prod-1")],
            absent: Vec::new(),
            aborted: None,
        },
        Event::UndoStarted {
            deployment: 1,
            reason: "prod-2: check: no answer within 10 minutes".into(),
            targets: vec![read("prod-1")],
            absent: vec![read("prod-2")],
            aborted: None,
        },
        Event::UndoStarted {
            deployment: 1,
            reason: "aborted by oncall".into(),
            targets: vec![read("prod-1")],
            absent: Vec::new(),
            aborted: Some(Aborted { by: read("oncall"), reason: Some(digest("reason")) }),
        },
        excluded(Some("oncall"), Some(digest("reason"))),
        excluded(None, None),
        Event::TargetExcluded { deployment: 1, target: read("prod-2"), by: None, reason: None, away: true },
        Event::TargetAdded { deployment: 1, target: read("prod-1") },
        Event::RetryOrdered { deployment: 1, targets: vec![read("prod-1")], by: read("oncall"), reason: None },
        Event::RetryOrdered {
            deployment: 1,
            targets: vec![read("prod-1")],
            by: read("oncall"),
            reason: Some(digest("reason")),
        },
        Event::DeploymentEnded {
            deployment: 1,
            ending: Ending::Aborted,
            reason: None,
            superseded_by: None,
            aborted: Some(Aborted { by: read("oncall"), reason: None }),
        },
        Event::DeploymentEnded {
            deployment: 1,
            ending: Ending::Superseded,
            reason: None,
            superseded_by: Some(2),
            aborted: None,
        },
        Event::DeploymentSettled { deployment: 1 },
        held(None),
        held(Some(1)),
        lifted(None, None),
        lifted(Some(build), Some(digest("reason"))),
        Event::ReceiptTaken {
            receipt: digest("receipt"),
            report: digest("report"),
            bundle: digest("bundle"),
            deployment: 2,
            target: read("site-1"),
            app: read("web"),
            environment: read("site"),
            build,
            version: Some(read("1.4.0")),
            deployer: Some(read("oncall")),
            outcome: Outcome::Verified,
            change: Some(Change::Deployed),
            running: Some(build),
            config_serial: 0,
            phases: Vec::new(),
            endpoints: vec!["http://127.0.0.1:20001".into()],
            at: noon(),
            way: Way::Normal,
        },
        Event::ExposureChanged { app: read("web"), environment: read("prod"), version: read("2026.11.1"), percent: 10 },
    ];
    let acts = [
        OrderAct::Redeploy,
        OrderAct::Rollback,
        OrderAct::Configure,
        OrderAct::Undeploy,
        OrderAct::Stop,
        OrderAct::Start,
        OrderAct::Restart,
    ];
    events.extend(acts.map(|act| requested(act, Some("1.4.0"), false, &[])));
    let changes = [
        Change::Deployed,
        Change::Upgraded,
        Change::Repeated,
        Change::RolledBack,
        Change::Configured,
        Change::Removed,
        Change::Controlled,
    ];
    events.extend(changes.map(|change| finished(Outcome::Verified, Some(change), Some(build))));
    let endings = [Ending::Succeeded, Ending::Undone, Ending::Failed, Ending::Aborted];
    let ended = |ending, reason, superseded_by| Event::DeploymentEnded {
        deployment: 1,
        ending,
        reason,
        superseded_by,
        aborted: None,
    };
    events.extend(endings.map(|ending| ended(ending, None, None)));
    let reason = Some("its order expired at 2026-11-02T12:00:00Z".into());
    events.push(ended(Ending::Dropped, reason, None));
    let opening = Opening { from: noon(), until: read("2026-11-02T16:00:00Z") };
    for (at, expires, windows) in [
        (Some(noon()), Some(read("2026-11-09T12:00:00Z")), vec![opening]),
        (
            None,
            None,
            vec![opening, Opening { from: read("2026-11-03T07:00:00Z"), until: read("2026-11-03T16:00:00Z") }],
        ),
    ] {
        let mut planned = requested(OrderAct::Deploy, Some("1.4.0"), false, &[]);
        if let Event::DeploymentRequested { schedule, .. } = &mut planned {
            *schedule = Schedule { at, expires, windows };
        }
        events.push(planned);
    }
    for (of, on) in [(Some(4), None), (None, Some("prod-1"))] {
        let mut part = requested(OrderAct::Deploy, Some("1.4.0"), false, &[]);
        if let Event::DeploymentRequested { package, only, .. } = &mut part {
            (*package, *only) = (of, on.map(read).into_iter().collect());
        }
        events.push(part);
    }
    let mut beside = requested(OrderAct::Deploy, Some("1.4.0"), false, &["web@1.5.0 stands planned there"]);
    if let Event::DeploymentRequested { planned_there, .. } = &mut beside {
        planned_there.push(3);
    }
    events.push(beside);
    for (members, in_place) in [(BTreeMap::from([(read("db"), 5)]), vec![]), (BTreeMap::new(), vec![read("db")])] {
        events.push(Event::StepStarted { deployment: 4, step: 1, members, in_place: in_place.into_iter().collect() });
    }
    let refused = Outcome::Refused { code: "FROZEN".into(), reason: "frozen".into() };
    let mut put_back = finished(refused, None, None);
    if let Event::TargetFinished { stands, .. } = &mut put_back {
        *stands = true;
    }
    events.push(put_back);
    events
}

#[test]
fn every_event_shape_ever_written_is_read_for_ever() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events/shapes.jsonl");
    let mut written = std::fs::read_to_string(&path).unwrap_or_default();
    let now: Vec<Event> = [release_events(), freeze_events(), target_events(), deployment_events()].concat();
    let missing = |written: &str| -> Vec<String> {
        let lines: BTreeSet<&str> = written.lines().collect();
        let now = now.iter().map(|event| serde_json::to_string(event).unwrap());
        now.filter(|line| !lines.contains(line.as_str())).collect()
    };
    if std::env::var_os("UPDATE").is_some() {
        for line in missing(&written) {
            written.push_str(&line);
            written.push('\n');
        }
        std::fs::write(&path, &written).unwrap();
    }
    assert_eq!(missing(&written), Vec::<String>::new(), "shapes that are written and not kept yet: UPDATE=1 adds them");

    let mut names = BTreeSet::new();
    for line in written.lines() {
        let event: Event =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("not read any more: {error}: {line}"));
        // An old shape may be written anew in today's; what it says stays the same.
        let again = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&again).unwrap(), event);
        assert_eq!(serde_json::to_value(&event).unwrap()["event"], event.name());
        names.insert(event.name());
    }
    assert_eq!(names, Event::NAMES.iter().copied().collect(), "every event has a shape on file");
    let written: Vec<Event> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(now.iter().all(|event| written.contains(event)), "what is read is what was meant");
}
