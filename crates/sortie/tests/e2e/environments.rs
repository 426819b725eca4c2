//! Throw-away environments: their machines remove everything when their time is over, and what is gone is shown nowhere but
//! in history. Machines that come and go leave by falling silent.

use crate::world::{ENVIRONMENTS, TEAM, World, get, until};
use serde_json::json;
use std::fs;

const PROJECT: &str = r#"app   = "web"
files = "dist"
data  = ["uploads"]
[process.web]
run    = "./web --port $PORT"
health = { http = "/healthz", within = "5s" }
[config]
DATABASE = { default = "people.csv" }
"#;

/// The usual environments, and one whose machines live for so long.
fn environments(lives: &str) -> String {
    let review = format!(
        r#"class = "test", approve = "developer", deploy = "developer", lives = "{lives}", ephemeral_minutes = 1"#
    );
    format!("{ENVIRONMENTS}review = {{ {review} }}\n")
}

/// R30, R8: past its time to live an environment is gone: from its machines, from what is shown, and from metrics.
#[test]
fn r30_a_throw_away_environment_is_gone_past_its_time_and_history_is_whole() {
    let mut world = World::new();
    world.found(TEAM, &environments("48h"));
    world.add_machines(&[("test-1", "test"), ("review-1", "review")]);
    let invited = world.ask("owner", "target invite --in review --ephemeral --uses 20");
    world.join("pool-1", invited["token"].as_str().unwrap());
    world.await_machines(&["pool-1"]);
    world.make_repository(PROJECT);
    let one = world.push_and_number();
    world.sortie("coder", 0, &format!("release {one} --to review"));
    let too_late = world.sortie("coder", 0, &format!("deploy {one} --to review --at 72h --plan"));
    too_late.says("mind: the time of its last target is over at");
    world.sortie("coder", 0, &format!("deploy {one} --to review"));

    let listed = world.sortie("tester", 0, "target list");
    listed.says("ends in 47 hours").says("ephemeral");
    world.sortie("tester", 0, "status review").says("ends in 47 hours").lacks("mind: review ends");
    world.sortie("tester", 0, "status review-1").says("ends in 47 hours");
    world.sortie("tester", 0, "calendar").says("the time of review is over");
    world.sortie("tester", 0, &format!("why {one} --in review")).says("review is thrown away in 48 h");
    assert!(get(world.board(), "/").unwrap().contains("web--review"), "the board shows it");

    // Everything at once goes where nobody is served, and only by name where people are.
    world.sortie("oncall", 2, "undeploy --all --in prod").says("class live");
    world.sortie("coder", 3, "undeploy --all --in prod").says("ROLE_MISSING").says("needs ops");
    world.sortie("coder", 2, "undeploy web --all --in review");
    world.sortie("coder", 2, "undeploy --in review");
    let removed = world.ask("coder", "undeploy --all --in review --only pool-1");
    assert_eq!((&removed["only"], &removed["removed"]), (&json!(["pool-1"]), &json!(["web"])));
    world.sortie("coder", 0, "undeploy --all --in review").says("nothing runs in review any more: web");
    world.sortie("coder", 0, "undeploy --all --in review").says("nothing runs in review");
    world.sortie("coder", 0, &format!("deploy {one} --to review"));
    let uploads = world.agent_data("review-1").join("apps/web/data");
    let left = fs::read_dir(&uploads).unwrap().next().expect("the data folder").unwrap().path();
    fs::write(left.join("cat.png"), b"a cat").unwrap();

    // A live environment has no end that comes by itself.
    world.write_charter(TEAM, &environments("48h").replace("after = \"test\" }", "after = \"test\", lives = \"1d\" }"));
    world.sortie("owner", 2, "charter apply --yes").says("is of class live");

    // One machine vanishes; the time of the other is over, while nobody serves it.
    world.power_off("pool-1");
    world.write_charter(TEAM, &environments("1m"));
    world.sortie("owner", 0, "charter plan").says("review: targets live for 2d → for 1m").says("data too");
    world.amend(TEAM, &environments("1m"));
    let adopted = world.agent_data("review-1").join("trust");
    until("review-1 to hear of its new life", || {
        let files = crate::world::files(&adopted);
        files.values().any(|bytes| String::from_utf8_lossy(bytes).contains("lives = \\\"1m\\\"")).then_some(())
    });
    let data = world.agent_data("review-1");
    until("review-1 to be clean", || (!data.join("apps/web").exists()).then_some(()));
    until("nothing to run on review-1", || {
        let running = world.processes_on("review-1");
        running.iter().all(|(_, program)| program.ends_with("bin/sortie")).then_some(())
    });
    until("nothing to be left of what was fetched", || {
        fs::read_dir(data.join("manifests")).unwrap().next().is_none().then_some(())
    });

    until("review to be gone", || {
        let status = world.sortie("tester", 0, "status").text();
        (!status.contains("review")).then_some(())
    });
    world.sortie("tester", 3, "status --in review").says("review is gone").says("sortie target invite --in review");
    world.sortie("tester", 3, "status review").says("review is gone: none of its targets is left");
    world.sortie("tester", 0, "calendar").lacks("review");
    world.sortie("tester", 0, "target list").lacks("review-1").lacks("pool-1");
    let all = world.sortie("tester", 0, "target list --all");
    all.says("its time was over, and it has removed everything").says("nothing was heard of it any more");
    assert!(!get(world.board(), "/").unwrap().contains("web--review"), "the board shows what is gone");
    until("the metrics to count who is left", || {
        get(world.board(), "/metrics").unwrap().contains("sortie_targets_connected 1\n").then_some(())
    });
    world.sortie("coder", 3, &format!("deploy {one} --to review")).says("review has no targets: invite one");
    world
        .sortie("tester", 0, "history")
        .says("review-1 left for good: its time was over, and it has removed everything")
        .says("pool-1 left for good: it was ephemeral")
        .says("review-1 joined review");
    world.sortie("tester", 0, "ledger verify");

    // It is over for good: the agent says so, and asks nobody; a new machine begins anew.
    world.stop_agent("review-1");
    world.start_agent("review-1");
    let log = data.parent().unwrap().join("log");
    until("the agent to say that it is over", || {
        fs::read_to_string(&log).ok()?.contains("this agent does nothing more. Throw the machine away").then_some(())
    });
    world.add_machines(&[("review-2", "review")]);
    world.sortie("tester", 0, "status review").says("review-2").lacks("0.1.0 on");
    world.sortie("coder", 0, &format!("deploy {one} --to review"));
    world.sortie("tester", 0, "ledger verify");
}
