//! The house is on fire: prod is released to by another way, on the machine it names, for as long as it lives, and it is an
//! alarm on every face until somebody who had no part in it has looked at it.

use crate::world::{PROJECT, TEAM, World, get, until};

const WAYS: &str = r#"
[environments]
test = { class = "test", approve = "developer", deploy = "developer" }
[environments.prod]
class = "live"
approve = "qa and ops"
deploy = "ops"
after = "test"
evidence = { scan = "qa" }
[environments.prod.ways.break-glass]
approve = "ops"
waives = ["after", "evidence:scan"]
hours = 24
targets = ["prod-1"]
"#;

/// R33, R51: break-glass waives the environment before and the scan, and only that. R37: it is an escape until reviewed.
/// R52: neither who asked nor who agreed reviews it, or prolongs it.
#[test]
fn r33_r37_r51_r52_break_glass_is_loud_until_somebody_else_has_looked() {
    let mut world = World::new();
    world.found(TEAM, WAYS);
    world.add_machines(&[("prod-1", "prod"), ("prod-2", "prod")]);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    let prod = format!("{version} --to prod");
    world.sortie("nightly", 3, &format!("request {prod}")).says("NOT_VERIFIED_BEFORE");
    world
        .sortie("nightly", 3, &format!("request {prod} --way hotfix --reason fire"))
        .says("WAY_MISSING")
        .says("break-glass");
    world.sortie("nightly", 2, &format!("request {prod} --way break-glass")).says("--reason");
    let reason = "--reason \"checkout answers 500\"";
    let asked = world.sortie("nightly", 0, &format!("request {prod} --way break-glass {reason}"));
    asked.says("BREAK-GLASS").says("after, evidence:scan").says("prod-1 only").says("ops (2 people)");
    world.sortie("tester", 3, &format!("approve {prod} --yes")).says("ROLE_MISSING");
    let approved = world.sortie("oncall", 0, &format!("approve {prod} --yes"));
    approved.says("BREAK-GLASS: waives after, evidence:scan").says("checkout answers 500");

    world.sortie("oncall", 3, &format!("deploy {prod} --only prod-2")).says("WAY_EXCEEDED").says("prod-2");
    world.sortie("oncall", 0, &format!("deploy {prod}")).says("reaches prod-1 only").says("must review it");
    let [there] = world.endpoints("prod")[..] else { panic!("one machine, one endpoint") };
    until("an answer", || get(there, "/").ok());
    let installed = |machine: &str| world.agent_data(machine).join("apps/web").exists();
    assert!(installed("prod-1") && !installed("prod-2"), "the other machine was not touched");

    let escapes = || ("escapes", format!("{version} → prod by BREAK-GLASS"));
    let (verb, alarm) = escapes();
    world.sortie("tester", 7, verb).says("prod-1").says(&alarm);
    world.sortie("tester", 0, "status").says(&alarm).says(&format!("sortie review {version} --in prod"));
    world.sortie("tester", 0, &format!("why {version} --in prod")).says("waived by break-glass");
    world.sortie("tester", 0, "history").says("by BREAK-GLASS").says("verified").says("checkout answers 500");
    let board = get(world.board(), "/").unwrap();
    assert!(board.contains("BREAK-GLASS") && board.contains("checkout answers 500"), "{board}");
    let metrics = get(world.board(), "/metrics").unwrap();
    assert!(metrics.contains("sortie_emergencies_unreviewed 1"), "{metrics}");

    let review = format!("review {version} --in prod");
    world.sortie("nightly", 3, &review).says("REVIEWER_INVOLVED").says("requested");
    world.sortie("oncall", 3, &review).says("REVIEWER_INVOLVED").says("approved");
    world.sortie("coder", 3, &review).says("ROLE_MISSING");
    world.sortie("tester", 0, &format!("{review} --finding \"a cache was full\"")).says("is reviewed");
    world.sortie("tester", 2, &review).says("NOTHING_TO_REVIEW");
    world.sortie("tester", 0, "escapes");
    world.sortie("tester", 0, "status").lacks("BREAK-GLASS");
    world.sortie("tester", 0, "history").says("a cache was full");
    world.sortie("owner", 0, "ledger verify");
    assert!(get(world.board(), "/metrics").unwrap().contains("sortie_emergencies_unreviewed 0"));
}

/// R37: what was withdrawn everywhere and then permitted to one machine by break-glass is an escape on the other one.
#[test]
fn r37_what_an_emergency_does_not_reach_is_an_escape() {
    let mut world = World::new();
    let gates = ["after = \"test\"\n", "evidence = { scan = \"qa\" }\n"];
    let ways = gates.iter().fold(WAYS.to_string(), |text, gate| text.replace(gate, ""));
    world.found(TEAM, &ways.replace("waives = [\"after\", \"evidence:scan\"]\n", ""));
    world.add_machines(&[("prod-1", "prod"), ("prod-2", "prod")]);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    let prod = format!("{version} --to prod");
    world.sortie("coder", 0, &format!("request {prod}"));
    world.sortie("tester", 0, &format!("approve {prod} --yes"));
    world.sortie("oncall", 0, &format!("approve {prod} --yes"));
    world.sortie("oncall", 0, &format!("deploy {prod}")).says("2/2");
    world.sortie("tester", 0, "escapes --scan");
    world.sortie("tester", 0, &format!("withdraw {version} --from prod --reason \"it leaks\""));
    world.sortie("tester", 7, "escapes").says("prod-1").says("prod-2");
    world.sortie("nightly", 0, &format!("request {prod} --way break-glass --reason fire"));
    world.sortie("oncall", 0, &format!("approve {prod} --yes"));
    world.sortie("tester", 0, &format!("review {version} --in prod"));
    let beyond = format!("{version} runs, and its break-glass permit to prod is not for prod-2");
    world.sortie("tester", 7, "escapes").says(&beyond).lacks("is not for prod-1");
    world.sortie("tester", 0, "status").says("runs without permission");
    let why = world.sortie("tester", 0, &format!("why {version} --in prod"));
    why.says("1 target fits: prod-1; break-glass is not for prod-2");
}

/// R31: once its life is over nothing is activated under it, and whoever gave it does not prolong it.
#[test]
fn r31_an_emergency_ends_by_itself() {
    let mut world = World::new();
    world.found(TEAM, WAYS);
    world.add_machines(&[("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    let prod = format!("{version} --to prod");
    let ask = format!("request {prod} --way break-glass --reason fire");
    world.sortie("nightly", 3, &format!("{ask} --lasting 25h")).says("WAY_EXCEEDED").says("24 hours");
    // Nobody's rule stands against more than the charter's days: it is a wrong word.
    world.sortie("nightly", 2, &format!("request {prod} --lasting 400d")).says("for 90 days at most");
    world.sortie("nightly", 0, &format!("{ask} --lasting 15s"));
    world.sortie("oncall", 0, &format!("approve {prod} --yes"));
    until("the end of the permit", || {
        let why = world.ask("tester", &format!("why {version} --in prod"));
        why["conditions"].as_array().unwrap().iter().any(|condition| condition["met"] == false).then_some(())
    });
    world.sortie("oncall", 3, &format!("deploy {prod}")).says("PERMIT_EXPIRED");
    assert!(!world.agent_data("prod-1").join("apps/web").exists(), "nothing was installed");
    for again in ["nightly", "oncall"] {
        let refused = world.sortie(again, 3, &ask);
        refused.says("RENEWAL_BY_SAME").says("somebody else").says("next: sortie why").lacks("next: sortie request");
    }
    world.sortie("tester", 0, &ask);
    world.sortie("oncall", 0, &format!("approve {prod} --yes"));
    world.sortie("oncall", 0, &format!("deploy {prod}"));
}

/// R33, R51: a gate compares numbers of an in-toto statement about these very bytes, whoever's word goes with it.
#[test]
fn r33_r51_a_gate_reads_in_toto_statements_about_these_bytes() {
    let mut world = World::new();
    let gate = r#"scan = { from = "qa", predicate = "https://example.com/scan/v1", pass = "found.critical <= 0", max_age_days = 30, pusher = false }"#;
    let prod =
        format!("prod = {{ class = \"live\", approve = \"qa and ops\", deploy = \"ops\", evidence = {{ {gate} }} }}");
    world.found(TEAM, &format!("[environments]\n{prod}\n"));
    world.add_machines(&[("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    let build = world.ask("coder", &format!("status {version}"))["build"]["build"].as_str().unwrap().to_string();
    let hex = build.trim_start_matches("sha256:");
    let statement = |hex: &str, critical: u32| {
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"web","digest":{{"sha256":"{hex}"}}}}],
            "predicateType":"https://example.com/scan/v1","predicate":{{"found":{{"critical":{critical},"low":9}}}}}}"#
        )
    };
    let file = world.home("tester").join("scan.json");
    let attach = format!("evidence attach {version} --type scan --file {} --failed", file.display());
    std::fs::write(&file, statement(&"0".repeat(64), 0)).unwrap();
    world.sortie("tester", 5, &attach).says("about other bytes");
    std::fs::write(&file, statement(hex, 2)).unwrap();
    world.sortie("tester", 0, &attach);
    let refused = world.sortie("coder", 3, &format!("request {version} --to prod"));
    refused.says("found.critical is 2").says(&format!("sortie evidence attach {version} --type scan")).lacks("…");
    std::fs::write(&file, statement(hex, 0)).unwrap();
    world.sortie("tester", 0, &attach);
    world.sortie("coder", 0, &format!("request {version} --to prod"));
    world.sortie("tester", 0, &format!("approve {version} --to prod --yes"));
    world.sortie("oncall", 0, &format!("approve {version} --to prod --yes"));
    world.sortie("oncall", 0, &format!("deploy {version} --to prod"));
    world.sortie("owner", 0, "ledger verify");
}
