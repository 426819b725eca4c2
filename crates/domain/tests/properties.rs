//! Random stories: whoever does whatever in whatever order, what must always hold holds.
//!
//! A story is a list of lines in the language of the scenarios, so a failing one can be pasted into a scenario as it
//! is. The world itself checks after each line that deciding is deterministic and changes nothing by itself, that
//! generations only grow, that at most one deployment of an application is open in an environment and waits on
//! something, and that nothing is brought to a live environment without a permit that satisfies the charter just then.

mod world;

use domain::{event::Event, plan, waiting::WaitingOn};
use proptest::{prelude::*, sample::select};
use std::collections::BTreeMap;
use world::{OWNER, World};

const PEOPLE: &[&str] =
    &["coder", "oncall", "night", "tester", "second", "both", "ci", "tagger", "tester.2", "stranger"];
const DEPLOYERS: &[&str] = &["oncall", "night", "both"];
const APPROVERS: &[&str] = &["tester", "oncall", "night", "second", "both"];
const TARGETS: &[&str] = &["dev-1", "test-1", "test-2", "prod-1", "prod-2", "prod-3"];
const ENVIRONMENTS: &[&str] = &["dev", "test", "prod"];
const AUDIENCES: &[&str] = &["dev", "test", "prod", "beta", "public"];
const VERSIONS: &[&str] = &["web@1.0.0", "web@1.1.0", "web@1.2.0", "web@9.9.9"];
const CHARTERS: &[&str] = &[
    "charter firm",
    "charter firm where prod has at_once = 0",
    "charter firm where prod has at_once = 0; prod has on_failure = \"stop\"",
    "charter firm where prod has soak_minutes = 30; prod has permit_days = 2",
    "charter firm where prod has approve = \"2 qa and ops\"",
    "charter firm where prod has approve_own = true; prod has after = \"test\"",
    "charter firm where tester has keys = [\"{tester.2}\"]",
    "charter firm where prod has evidence = { scan = \"ci\" }",
    "charter firm where prod is gone",
    "charter firm where prod has rollout = { at_once = 2, canary = 1, bake_minutes = 5, failure_budget = 1 }",
    "charter firm where prod has rollout = { at_once = \"all\", min_healthy = \"50%\", on_failure = \"pause\" }",
    "charter firm where prod has rollout = { rings = [\"ring=early\"], advance = \"hand\", failure_budget = \"50%\" }; \
     prod has hasten = \"ops\"",
];

/// Lines made of a pattern in which each `{}` stands for one of some words.
fn line(pattern: &'static str, words: &[&'static [&'static str]]) -> BoxedStrategy<String> {
    let words: Vec<_> = words.iter().map(|words| select(*words)).collect();
    words
        .prop_map(move |chosen| {
            let mut parts = pattern.split("{}");
            let first = parts.next().unwrap_or_default().to_string();
            chosen.iter().zip(parts).fold(first, |line, (word, part)| line + word + part)
        })
        .boxed()
}

fn any_line() -> impl Strategy<Value = String> {
    let how: &[&str] =
        &["verified", "verified", "verified", "undone verify crashed", "failed stage full", "refused NO why"];
    let act: &[&str] = &["deploys", "redeploys"];
    let control: &[&str] = &["undeploys", "stops", "starts", "restarts", "configures"];
    let letter: &[&str] = &["A", "B", "C", "D"];
    let number: &[&str] = &["1", "2", "3", "4", "5", "6"];
    let span: &[&str] = &["1 minute", "5 minutes", "10 minutes", "1 hour", "3 days"];
    let option: &[&str] = &[
        "",
        "",
        " when released",
        " only prod-1",
        " only prod-2 prod-3",
        " with canary=1",
        " with at_once=all failure_budget=1",
        " with min_healthy=1 on_failure=pause",
    ];
    let wish: &[&str] = &["", "", " starting 1", " floor 1.1.0", " lasting 1", " serial 2"];
    let passed: &[&str] = &["passed", "failed"];
    prop_oneof![
        12 => line("the next reports {}", &[how]),
        3 => line("{} reports {}", &[TARGETS, how]),
        8 => line("oncall {} {} to prod{}", &[act, VERSIONS, option]),
        2 => line("{} {} {} to {}{}", &[PEOPLE, act, VERSIONS, ENVIRONMENTS, option]),
        4 => line("coder requests {} for prod{}", &[VERSIONS, wish]),
        2 => line("{} requests {} for {}{}", &[PEOPLE, VERSIONS, AUDIENCES, wish]),
        8 => line("{} approves {} for prod", &[APPROVERS, VERSIONS]),
        2 => line("tester withdraws {} from prod", &[VERSIONS]),
        2 => line("{} approves {} for {}", &[PEOPLE, VERSIONS, AUDIENCES]),
        3 => line("{} withdraws {} from {}", &[PEOPLE, VERSIONS, AUDIENCES]),
        3 => line("{} rolls back web in prod to {}", &[DEPLOYERS, &["1.0.0", "1.1.0", "1.2.0"]]),
        2 => line("{} {} web in {}", &[PEOPLE, control, ENVIRONMENTS]),
        3 => line("time passes {}", &[span]),
        2 => line("{}", &[CHARTERS]),
        1 => line("{} {} web#{} to {}", &[PEOPLE, act, letter, ENVIRONMENTS]),
        2 => line("{} aborts {}", &[DEPLOYERS, number]),
        2 => line("{} pauses {} because slow", &[DEPLOYERS, number]),
        4 => line("{} resumes {}", &[DEPLOYERS, number]),
        2 => line("{} excludes {} from {} because slow", &[DEPLOYERS, TARGETS, number]),
        3 => line("{} retries {} on {}", &[DEPLOYERS, number, TARGETS]),
        1 => line("olga labels {} ring={}", &[TARGETS, &["early", "late"]]),
        2 => line("{} lifts the hold on web in {}", &[DEPLOYERS, ENVIRONMENTS]),
        1 => line("olga retires {}", &[TARGETS]),
        1 => line("olga {} {}", &[&["cordons", "uncordons"], TARGETS]),
        1 => line("olga suspends {}", &[&["tester", "oncall", "coder", OWNER]]),
        1 => line("{} pushes web {}", &[PEOPLE, letter]),
        1 => line("{} numbers web {} {}", &[PEOPLE, letter, &["1.0.0", "1.3.0", "0.9.0"]]),
        2 => line("ci attaches scan {} word to web {}", &[passed, letter]),
        1 => line("{} exposes {} in {} to {} percent", &[PEOPLE, VERSIONS, ENVIRONMENTS, &["0", "10", "100"]]),
        1 => line("{} sets config of web in {}: LEVEL=info", &[PEOPLE, ENVIRONMENTS]),
        1 => line("{} finds {}", &[TARGETS, &["nothing", "extra web/tool"]]),
        1 => line("clock settles {}", &[number]),
        1 => line("clock gives up on {} in {}", &[TARGETS, number]),
    ]
}

/// A small estate in the middle of its life.
fn begun() -> World {
    let mut world = World::new();
    world.replays_each_step = false;
    for line in [
        "charter firm",
        "targets dev-1 in dev",
        "targets test-1 test-2 in test",
        "targets prod-1 prod-2 prod-3 in prod",
        "given web@1.0.0 is build A: config LEVEL=info",
        "given web@1.1.0 is build B: config LEVEL=info",
        "given web@1.2.0 is build C: config LEVEL=info",
        "given web@1.0.0 is released to prod",
        "given web@1.0.0 runs in prod",
        "given web@1.1.0 is released to prod",
        "oncall deploys web@1.1.0 to prod",
    ] {
        world.tell(line);
    }
    world
}

/// How many stories are told: `PROPTEST_CASES`, or few enough to wait for.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(96)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_what_must_hold_holds(story in prop::collection::vec(any_line(), 1..50)) {
        let mut world = begun();
        for line in &story {
            let entries = world.history.len();
            let before = world.state.clone();
            let refusals = world.tell(line).iter().filter(|answer| answer.starts_with("refused")).count();
            if world.history.len() == entries {
                prop_assert_eq!(&before, &world.state, "nothing was recorded, and something changed: {}", line);
            } else {
                prop_assert_eq!(refusals, 0, "what is recorded is not refused: {}", line);
            }
        }
        world.check_replay();
        everything_comes_to_an_end(&mut world);
    }
}

/// However a story leaves things, silence brings every deployment that has begun to an end, unless it waits for a person's
/// word: targets are given up.
fn everything_comes_to_an_end(world: &mut World) {
    for _ in 0..20 {
        world.tell("time passes 10 minutes");
    }
    let mut begun: BTreeMap<u64, bool> = BTreeMap::new();
    for event in world.history.iter().flat_map(|(_, events)| events) {
        match event {
            Event::WaveStarted { deployment, .. } => drop(begun.entry(*deployment).or_insert(false)),
            Event::DeploymentEnded { deployment, .. } => drop(begun.insert(*deployment, true)),
            _ => {}
        }
    }
    let waits_for_somebody = |number: &u64| {
        matches!(plan::waits(&world.state, *number, world.now), Some(WaitingOn::Person { .. } | WaitingOn::Word { .. }))
    };
    let open = begun.iter().filter(|(_, over)| !**over).map(|(number, _)| number);
    let open: Vec<&u64> = open.filter(|number| !waits_for_somebody(number)).collect();
    assert!(open.is_empty(), "deployments {open:?} never end");
}
