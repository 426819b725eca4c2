//! Hand-made answers of a server, for tests: web in dev, test and prod, as the transcripts have it.

use crate::order::Wanted;
use api::read::{
    AppStatus, AudienceStatus, Build, BuildName, Cell, DeploymentView, FreezeView, PartView, Released, Runs, Status,
    TargetStatus,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use trust::{
    Digest,
    charter::{Charter, Class},
    statement::{Facts, OrderAct, Phase, PhaseTiming},
};

/// What a deployer of prod wants.
pub fn wanted(version: &str) -> Wanted {
    Wanted::new("web".parse().unwrap(), build(version), "prod".parse().unwrap(), OrderAct::Deploy)
}

/// A build as an application's list has it.
pub fn known_build(version: &str) -> Build {
    Build {
        name: build(version),
        pushed: time("08:00:00"),
        pusher: "ci".parse().unwrap(),
        vendor: None,
        commit: None,
        recipe: None,
        files: 37,
        size_bytes: 4_100_000,
        evidence: vec![("test-result".into(), true, "812/812".into())],
        ran_in: Vec::new(),
        makers: Vec::new(),
        pruned: None,
        package: None,
        superseded: BTreeMap::new(),
        skipped: BTreeMap::new(),
        withdrawn: Vec::new(),
    }
}

/// A freeze of prod.
pub fn freeze() -> FreezeView {
    FreezeView {
        number: 3,
        freeze: Digest::of(b"freeze"),
        environments: vec!["prod".parse().unwrap()],
        all_live: false,
        apps: Vec::new(),
        from: time("00:00:00"),
        until: time("18:00:00"),
        reason: Some("holidays".into()),
        by: "oncall".parse().unwrap(),
        exceptions: Vec::new(),
        lifted: None,
        is_on: true,
        may_lift: vec!["ops".into()],
        statements: Vec::new(),
    }
}

/// A moment on the day of the transcripts.
pub fn time(clock: &str) -> Timestamp {
    format!("2026-11-22T{clock}Z").parse().unwrap()
}

/// Developers push and release to test; QA and ops release to prod; ops deploy there.
pub fn charter() -> Charter {
    let text = r#"
        charter = "acme"
        [environments]
        dev  = { class = "dev",  deploy = "developer" }
        test = { class = "test", approve = "developer", deploy = "developer" }
        prod = { class = "live", approve = "qa and ops", deploy = "ops", after = "test" }
        [people]
        coder = { roles = ["developer"], keys = ["KEY1"] }
        tester = { roles = ["qa"], keys = ["KEY2"] }
        oncall = { roles = ["ops"], keys = ["KEY3"] }
    "#;
    let key = |seed: u8| trust::key::Signer::public(&trust::key::SecretKey::from_seed(&[seed; 32])).to_openssh();
    let text = (1..=3).fold(text.to_string(), |text, seed| text.replace(&format!("KEY{seed}"), &key(seed)));
    Charter::from_bytes(text.as_bytes()).unwrap()
}

/// The build that has this number.
pub fn build(version: &str) -> BuildName {
    BuildName { build: Digest::of(version.as_bytes()), version: Some(version.parse().unwrap()) }
}

/// A target's part, all phases in 0.9 s; 1.4.0 ran before.
pub fn part(target: &str, state: &str) -> PartView {
    let phases = [Phase::Check, Phase::Fetch, Phase::Stage, Phase::Configure, Phase::Activate, Phase::Verify];
    let timing = |phase| PhaseTiming { phase, started: time("10:00:00"), milliseconds: 150 };
    PartView {
        target: target.parse().unwrap(),
        state: state.into(),
        detail: None,
        failed_in: None,
        refused: None,
        unwell: None,
        once_heard: None,
        wave: None,
        before: Some(build("1.4.0")),
        phases: phases.map(timing).to_vec(),
        endpoints: vec!["http://127.0.0.1:20001".into()],
    }
}

/// Deployment 41: web@1.5.0 to prod.
pub fn deployment(parts: &[(&str, &str)]) -> DeploymentView {
    DeploymentView {
        never: None,
        deployment: 41,
        app: "web".parse().unwrap(),
        environment: "prod".parse().unwrap(),
        act: OrderAct::Deploy,
        build: build("1.5.0"),
        deployer: "oncall".parse().unwrap(),
        requested: time("10:00:00"),
        ending: None,
        ended: None,
        settled: None,
        reason: None,
        waits: None,
        stands: false,
        unsettled: None,
        remains: Vec::new(),
        failure: None,
        keep_data: false,
        warnings: Vec::new(),
        rollout: Default::default(),
        at: None,
        expires: None,
        rings: Vec::new(),
        waves: 2,
        guided: Vec::new(),
        targets: parts.iter().map(|(target, state)| part(target, state)).collect(),
        members: Vec::new(),
        package: None,
    }
}

fn cell(audience: &str, targets: u32) -> Cell {
    Cell {
        dropped: Vec::new(),
        audience: audience.parse().unwrap(),
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
        settled: Vec::new(),
        exposed: None,
        delivered: Vec::new(),
        notes: Vec::new(),
        deployed_by: None,
    }
}

fn released(version: &str, deployed: bool) -> Released {
    Released {
        superseded_by: None,
        skipped_for: None,
        version: version.parse().unwrap(),
        build: Digest::of(version.as_bytes()),
        since: time("07:30:00"),
        not_after: "2027-02-20T07:30:00Z".parse().unwrap(),
        approvers: vec!["tester".parse().unwrap(), "oncall".parse().unwrap()],
        deployed,
        way: Default::default(),
    }
}

fn runs(build: BuildName, on: &[&str]) -> Runs {
    Runs {
        unwell: Default::default(),
        unclear: Default::default(),
        standby: Vec::new(),
        build,
        since: time("08:00:00"),
        on: on.iter().map(|name| name.parse().unwrap()).collect(),
        endpoints: vec!["http://127.0.0.1:20001".into()],
        settled: true,
        stopped: false,
        stopped_on: Vec::new(),
        permitted: true,
    }
}

fn target(name: &str, environment: &str) -> TargetStatus {
    TargetStatus {
        carried: None,
        name: name.parse().unwrap(),
        environment: environment.parse().unwrap(),
        labels: BTreeMap::from([("role".into(), "web".into())]),
        facts: Facts {
            os: "linux".into(),
            arch: "x86_64".into(),
            memory_bytes: 2 << 30,
            agent_version: "0.1.0".into(),
            kernel: String::new(),
        },
        recipient: "age1".into(),
        cordoned: false,
        cordoned_since: None,
        cordon_reason: None,
        retired: false,
        seen: Some(time("09:59:30")),
        refreshed: None,
        stale: false,
        away: false,
        two: false,
        stuck: None,
        as_of: None,
        agent_version: None,
        runs: BTreeMap::from([("web".parse().unwrap(), build("1.4.0"))]),
        stopped: Default::default(),
        findings: 0,
        ends: None,
        ephemeral: false,
        departed: None,
    }
}

/// dev runs an unreleased build, test 1.5.0, prod 1.4.0 on three; 1.5.0 is held out of prod.
pub fn status() -> Status {
    let unreleased = BuildName { build: Digest::of(b"unreleased"), version: None };
    let mut dev = cell("dev", 1);
    dev.runs = vec![runs(unreleased.clone(), &["dev-1"])];
    dev.notes = vec!["unreleased build".into()];
    let mut test = cell("test", 1);
    test.released = vec![released("1.5.0", true), released("1.4.0", true)];
    test.runs = vec![runs(build("1.5.0"), &["test-1"])];
    let mut prod = cell("prod", 3);
    prod.released = vec![released("1.4.0", true)];
    prod.runs = vec![runs(build("1.4.0"), &["prod-1", "prod-2", "prod-3"])];
    prod.waits = vec!["1.5.0 → prod waits for ops".into()];
    prod.held = vec![build("1.5.0")];
    prod.settled = vec![build("1.4.0"), build("1.3.2")];
    let audience = |name: &str, class, approve: Option<&str>, targets| AudienceStatus {
        name: name.parse().unwrap(),
        class: Some(class),
        approve: approve.map(String::from),
        targets,
        ends: None,
        notes: Vec::new(),
    };
    let mut targets: Vec<TargetStatus> = (1..=3).map(|number| target(&format!("prod-{number}"), "prod")).collect();
    targets.extend([target("dev-1", "dev"), target("test-1", "test")]);
    Status {
        entries: 214,
        at: time("10:00:00"),
        audiences: vec![
            audience("dev", Class::Dev, None, 1),
            audience("test", Class::Test, Some("developer"), 1),
            audience("prod", Class::Live, Some("qa and ops"), 3),
        ],
        apps: vec![AppStatus {
            app: "web".parse().unwrap(),
            newest: Some(unreleased),
            cells: vec![dev, test, prod],
            retired: None,
            package: None,
        }],
        targets,
        notes: vec!["one person guards prod".into()],
        emergencies: Vec::new(),
    }
}
