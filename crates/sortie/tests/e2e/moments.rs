//! Nothing new is activated at the wrong moment: in a frozen environment, outside of its windows, before the time an order was
//! planned for. The server says when it opens, and the machines keep it in mind.

use crate::{
    proofs::python,
    world::{PROJECT, TEAM, World, files, get, until},
};
use std::{fs::File, path::PathBuf, process::Command};

/// What somebody else's calendar does with a file.
const READER: &str = "
import sys, icalendar
calendar = icalendar.Calendar.from_ical(open(sys.argv[1], 'rb').read())
for event in calendar.walk('VEVENT'):
    print(event['DTSTART'].dt.isoformat(), event['DTEND'].dt.isoformat(), event['SUMMARY'], event.get('DESCRIPTION', ''))
";

/// R1: prod is frozen; a deploy is refused, names the reason, the end and who may lift it, and no target is touched.
#[test]
fn r1_a_frozen_prod_is_deployed_to_when_it_opens_or_a_version_is_excepted() {
    let world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let one = world.push_and_number();
    world.release_to_prod(&one);
    world.sortie("oncall", 0, &format!("deploy {one} --to prod"));
    world.change_greeting("Good day, {name}!");
    let two = world.push_and_number();
    world.release_to_prod(&two);
    let before = (world.active("prod-1", "web"), files(&world.agent_data("prod-1").join("apps/web/releases")));

    world.sortie("oncall", 2, "freeze prod --until 2h").says("--reason");
    world.sortie("coder", 3, "freeze prod --until 2h --reason holidays").says("ROLE_MISSING").says("needs ops");
    world.sortie("oncall", 2, "freeze prd --until 2h --reason holidays").says("did you mean prod");
    world.sortie("oncall", 2, "freeze prod --until 2020-01-01 --reason holidays").says("after now");
    world.sortie("oncall", 2, "freeze prod --until 2h --reason \" \"").says("blank");
    world.sortie("oncall", 2, "freeze prod --until 2h --reason \"why\nnext: forged\"").says("in one line");
    let frozen = world.sortie("oncall", 0, "freeze prod --until 2h --reason \"the holidays\"");
    frozen.says("freeze 1: prod is frozen").says("rollback").says("sortie freeze lift 1");

    let refused = world.sortie("oncall", 3, &format!("deploy {two} --to prod"));
    refused.says("FROZEN").says("the holidays").says("It opens at").says("ops may lift it");
    refused.says(&format!("sortie freeze except 1 {two}"));
    let after = (world.active("prod-1", "web"), files(&world.agent_data("prod-1").join("apps/web/releases")));
    assert!(before == after, "the target was touched");
    world.sortie("tester", 0, &format!("why {two} --in prod")).says("✗ prod is frozen until").says("the holidays");
    world.sortie("tester", 0, "freeze list").says("1  prod").says("by oncall: the holidays").says("ops may lift it");
    world.sortie("tester", 0, "status").says("prod is frozen until").says("the holidays");
    assert!(get(world.board(), "/").unwrap().contains("prod is frozen until"), "the page says so");

    world.sortie("tester", 3, &format!("freeze except 1 {two} --reason \"a hole\"")).says("ROLE_MISSING");
    world.sortie("oncall", 2, &format!("freeze except 7 {two} --reason \"a hole\"")).says("UNKNOWN_FREEZE");
    world.sortie("oncall", 0, &format!("freeze except 1 {two} --reason \"a hole\"")).says("passes freeze 1");
    world.sortie("oncall", 0, &format!("deploy {two} --to prod"));
    world.sortie("tester", 0, "freeze list").says(&format!("{two} passes, by oncall: a hole"));
    world.sortie("oncall", 3, &format!("redeploy {one} --to prod")).says("FROZEN");
    world.sortie("nightly", 0, "freeze lift 1 --reason \"back at work\"").says("freeze 1 is lifted");
    world.sortie("oncall", 0, "freeze lift 1").says("already so: freeze 1 is lifted");
    world.sortie("oncall", 2, "freeze lift 99").says("there is no freeze 99");
    world.sortie("oncall", 0, &format!("redeploy {one} --to prod"));
    world.sortie("tester", 0, "freeze list --all").says("lifted").says("by nightly");
    world.sortie("tester", 0, "history").says("oncall froze prod").says("back at work");
    world.sortie("tester", 0, "ledger verify");
}

/// R1: a deployment that stands, its permit and its order are genuine; the server is stolen and says nothing of the freeze.
/// Attack: withheld freeze.
#[test]
fn r1_a_machine_keeps_a_freeze_though_the_server_pretends_there_is_none() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let one = world.push_and_number();
    world.release_to_prod(&one);
    world.sortie("oncall", 0, &format!("deploy {one} --to prod"));
    let before = world.active("prod-1", "web");
    world.change_greeting("Good day, {name}!");
    let two = world.push_and_number();
    world.sortie("oncall", 0, &format!("deploy {two} --to prod --when-released --detach"));
    world.sortie("oncall", 0, "freeze --live --until 2h --reason \"the holidays\"").says("prod is frozen");
    world.release_to_prod(&two);
    world.sortie("tester", 0, "status prod").says("waits for freeze 1");
    // It has no time of its own, and begins when the freeze ends.
    let begins = world.sortie("tester", 0, "calendar --in prod");
    begins.says(&format!("{two} is deployed")).says("frozen (freeze 1)");
    assert!(!begins.stdout.contains('‼'), "{begins}");
    let why = world.sortie("tester", 0, &format!("why {two} --in prod"));
    why.says("waits for freeze 1").says(&format!("sortie freeze except 1 {two} --reason")).says("sortie abort");
    until("the freeze on the machine", || {
        let trust = files(&world.agent_data("prod-1").join("trust"));
        let text = String::from_utf8_lossy(trust.get(&PathBuf::from("freezes.json"))?).into_owned();
        text.contains("declared").then_some(())
    });
    world.stop_server();
    let address = world.url().trim_start_matches("https://").to_string();
    let mut thief = Command::new(crate::hostile::example());
    let data = world.server_data();
    thief.arg("--data").arg(&data).args(["--listen", &address, "--environment", "prod", "--order", &two]);
    world.run("the thief".into(), &mut thief, 0).says("prod-1 refused: FROZEN").lacks("obeyed");
    assert_eq!(world.active("prod-1", "web"), before, "something was activated");
    world.start_server();
    world.sortie("oncall", 0, "freeze lift 1");
    until("the end of the freeze to let it go on", || (world.active("prod-1", "web") != before).then_some(()));
    world.sortie("tester", 0, "ledger verify");
}

/// R1: a window is closed; what comes is refused with the next opening, or planned for it, and begins by itself.
#[test]
fn r1_windows_are_kept_and_what_is_planned_begins_by_itself() {
    let mut world = World::new();
    // The day after tomorrow, so that it is closed whenever this is run.
    let day = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48)).strftime("%a").to_string().to_lowercase();
    let environments = |windows: &str| {
        format!("[environments]\nprod = {{ class = \"live\", approve = \"qa and ops\", deploy = \"ops\"{windows} }}\n")
    };
    world.found(TEAM, &environments(""));
    world.add_machines(&[("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let released = |world: &World| {
        let version = world.push_and_number();
        world.sortie("coder", 0, &format!("request {version} --to prod"));
        world.sortie("tester", 0, &format!("approve {version} --to prod --yes"));
        world.sortie("oncall", 0, &format!("approve {version} --to prod --yes"));
        version
    };
    let one = released(&world);
    world.sortie("oncall", 2, &format!("deploy {one} --to prod --at 2020-01-01")).says("that moment has passed");
    world.sortie("oncall", 0, &format!("deploy {one} --to prod --at 3s")).says("is planned").says("begins by itself");
    until("what was planned", || get(*world.endpoints("prod").first()?, "/").ok());
    let before = world.active("prod-1", "web");
    let then = jiff::Timestamp::now();

    world.write_charter(TEAM, &environments(", windows = [\"moonday 07:00-16:00\"]"));
    world.sortie("owner", 2, "charter apply --yes").says("'moonday' is no day");
    world.write_charter(TEAM, &environments(", windows = [\"mon 07:00-16:00 Europe/Pairs\"]"));
    world.sortie("owner", 2, "charter apply --yes").says("no time zone is called Europe/Pairs");
    world.amend(TEAM, &environments(&format!(", windows = [\"{day} 07:00-08:00 Europe/Paris\"]")));
    world.change_greeting("Good day, {name}!");
    let two = released(&world);
    let refused = world.sortie("oncall", 3, &format!("deploy {two} --to prod"));
    refused
        .says("WINDOW_CLOSED")
        .says(&format!("{day} 07:00-08:00 Europe/Paris"))
        .says("It opens at")
        .says("--at next-window");
    world.sortie("tester", 0, &format!("why {two} --in prod")).says("✗ no window of prod is open");
    world.sortie("oncall", 3, &format!("deploy {two} --to prod --at 1h")).says("WINDOW_CLOSED").lacks("next-window");
    world
        .sortie("oncall", 2, &format!("deploy {two} --to prod --at next-window --expires 1h"))
        .says("could never begin: it is for");
    let planned = world.ask("oncall", &format!("deploy {two} --to prod --at next-window"));
    let number = planned["deployment"].as_u64().unwrap();
    // What stands for just that is not ordered a second time.
    let again = world.sortie("oncall", 0, &format!("deploy {two} --to prod --at next-window"));
    again.says("already so").says(&format!("deployment {number} of {two} stands in prod, planned for"));
    // Nobody is sent to a closed window.
    world
        .sortie("oncall", 0, &format!("release {two} --to prod"))
        .says(&format!("deploy {two} --to prod --at next-window"));
    world.sortie("tester", 0, &format!("status {number}")).says("waits for its time");
    let stands = format!("deployment {number} ({two}) waits for its time");
    world.sortie("tester", 0, &format!("why {one} --in prod")).says(&stands).says(&format!("sortie abort {number}"));
    // Nobody looks on for days once it is let go on.
    world.sortie("oncall", 0, &format!("pause {number} --reason lunch"));
    world.sortie("tester", 0, "calendar").says(&format!("‼ deployment {number} is paused by oncall"));
    let resumed = world.sortie("oncall", 0, &format!("resume {number}"));
    resumed.says(&format!("deployment {number} is not paused any more")).says("waits for its time");
    world.sortie("tester", 0, "calendar --until 400d").says("everywhere").says("the charter expires");
    let calendar = world.sortie("tester", 0, "calendar --in prod --until 200d");
    calendar.lacks("the charter expires");
    calendar.says(&format!("{two} is deployed (deployment {number})")).says("may not be activated any more");
    assert!(!calendar.stdout.contains('‼'), "{calendar}");
    world.sortie("tester", 0, "calendar --windows").says("a window is open");
    world.sortie("oncall", 0, "freeze prod --until 10d --reason \"the fair\"");
    let clash = world.sortie("tester", 0, "calendar");
    clash.says("frozen (freeze 1)").says(&format!("‼ deployment {number} waits for freeze 1"));
    let file = world.root().join("calendar.ics");
    let mut ics = world.sortie_command("tester");
    assert!(ics.args(["calendar", "--ics"]).stdout(File::create(&file).unwrap()).status().unwrap().success());
    let mut reader = world.command("tester", python());
    let read = world.run("python reads calendar.ics".into(), reader.arg("-c").arg(READER).arg(&file), 0);
    read.says(&format!("prod: {two} is deployed (deployment {number})")).says("prod: frozen (freeze 1)");
    read.says(&format!("deployment {number} waits for freeze 1"));
    // What was so then is told of then, and nobody tells what is to come.
    world.sortie("tester", 0, &format!("status {one}")).says("superseded by");
    world.sortie("tester", 0, &format!("status {one} --at {then}")).says(&one).lacks("superseded by");
    world.sortie("tester", 2, &format!("status {two} --at {then}")).says("came in after");
    world.sortie("tester", 2, "status --at 2190-01-01").says("is still to come");
    world.sortie("tester", 2, "calendar --until 2020-01-01").says("that moment has passed");
    world.sortie("tester", 2, "calendar --in prd").says("did you mean prod");
    world.sortie("oncall", 0, "freeze lift 1");
    // It is in nobody's way, and acts of safety are never kept waiting.
    world.sortie("oncall", 0, "restart web --in prod");
    assert_eq!(world.active("prod-1", "web"), before);
    // Whoever takes its permit back is told of the order that stands, and so is whoever looks at it.
    let withdrawn = world.sortie("tester", 0, &format!("withdraw {two} --from prod --reason \"a leak\""));
    withdrawn.says("runs nowhere in prod").says(&format!("Deployment {number}, which stands, will be dropped."));
    world.sortie("tester", 0, &format!("status {number}")).says(&format!("it will be dropped: {two} was withdrawn"));
    world.sortie("tester", 0, "status").says(&format!("deployment {number} will be dropped: {two} was withdrawn"));
    world.sortie("oncall", 0, &format!("abort {number}"));
    world.sortie("tester", 0, "ledger verify");
}

/// R1: an order that was planned for later is genuine, and so is its permit; the server is stolen and wants it now.
/// Attack: order at another time.
#[test]
fn r1_a_machine_begins_no_earlier_than_the_order_says() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let one = world.push_and_number();
    world.release_to_prod(&one);
    world.sortie("oncall", 0, &format!("deploy {one} --to prod"));
    let before = world.active("prod-1", "web");
    world.change_greeting("Good day, {name}!");
    let two = world.push_and_number();
    world.release_to_prod(&two);
    world.sortie("oncall", 0, &format!("deploy {two} --to prod --at 2h"));
    world.stop_server();
    let address = world.url().trim_start_matches("https://").to_string();
    let mut thief = Command::new(crate::hostile::example());
    let data = world.server_data();
    thief.arg("--data").arg(&data).args(["--listen", &address, "--environment", "prod", "--order", &two]);
    world.run("the thief".into(), &mut thief, 0).says("prod-1 refused: NOT_YET").lacks("obeyed");
    assert_eq!(world.active("prod-1", "web"), before);
}
