//! What an approver sees is what an approver signs.

use crate::world::{PROJECT, World, read_text};
use std::fs;

/// People of whom one will leave.
const PEOPLE: &[(&str, &str)] =
    &[("coder", "developer"), ("tester", "qa"), ("oncall", "developer ops"), ("second", "qa")];
const SITE: &str = r#"
[environments.site]
class = "live"
approve = "qa and ops"
deploy = "ops"
[environments.site.ways.break-glass]
approve = "ops"
hours = 4
"#;

/// R52: whoever asked does not count, and where nobody else could approve, everybody is told what helps: somebody else asks.
#[test]
fn r52_a_request_that_only_its_requester_could_approve_says_what_helps() {
    let mut world = World::new();
    let people = [("coder", "developer"), ("tester", "developer"), ("oncall", "developer ops")];
    world.found(&people, "[environments.eu]\nclass = \"live\"\napprove = \"ops\"\ndeploy = \"ops\"\n");
    world.make_repository(PROJECT);
    let one = world.push_and_number();
    world
        .sortie("coder", 0, "status")
        .says("oncall alone can approve for it, and nothing that oncall asked for or pushed");
    let deny = format!("sortie deny {one} --to eu --reason …");
    let asked = world.sortie("oncall", 0, &format!("request {one} --to eu"));
    asked.says("oncall asked for it and so does not count").says(&format!("next: {deny}"));
    world.sortie("tester", 0, &format!("why {one} --in eu")).says(&deny).lacks("nobody in ops can");
    let refused = world.sortie("oncall", 3, &format!("approve {one} --to eu --yes"));
    refused.says("APPROVER_IS_AUTHOR").says("somebody else asks").says(&format!("next: {deny}"));
    let again = world.sortie("coder", 0, &format!("request {one} --to eu"));
    again.says("is waiting already").says("oncall asked for it and so does not count").says(&format!("next: {deny}"));
    world.sortie("oncall", 0, &format!("deny {one} --to eu --reason \"my own\"")).says("Let somebody else ask");
    world.sortie("tester", 0, &format!("request {one} --to eu")).says(&format!("next: sortie approve {one} --to eu"));
    world.sortie("oncall", 0, &format!("approve {one} --to eu --yes")).says("ops may now deploy");
}

/// R52: floor, end, reason, earlier withdrawals and every field of how it runs are shown before anybody signs, in words and
/// as data; evidence of somebody who left is not called false.
#[test]
fn r52_an_approver_sees_all_that_the_request_says() {
    let mut world = World::new();
    world.found(PEOPLE, SITE);
    world.make_repository(PROJECT);
    let first = world.push_and_number();
    world.sortie("coder", 0, &format!("request {first} --to site"));
    let seen = world.sortie("tester", 0, &format!("approve {first} --to site --yes"));
    seen.says("the first version for site").says("process.web: run ./web --port $PORT · copies 1");
    seen.says("health.check.http /healthz").says("config.DATABASE: default people.csv").says("89 days from now");
    seen.lacks("floor").lacks("withdrawn");
    world.sortie("oncall", 0, &format!("approve {first} --to site --yes"));

    let project = world.repository().join("sortie.toml");
    let changed = read_text(&project)
        .replace(
            "files = \"dist\"",
            "files = \"dist\"\nuser  = \"wheel\"\nsmoke = { run = \"./web smoke 'all of it'\" }",
        )
        .replace("./web --port $PORT", "./web --port $PORT --quiet");
    fs::write(&project, changed).unwrap();
    world.commit_and_build("feat: be quiet");
    let second = world.push_and_number();
    let number = second.trim_start_matches("web@").to_string();
    let scan = world.home("second").join("scan.txt");
    fs::write(&scan, "clean").unwrap();
    world.sortie("second", 0, &format!("evidence attach {second} --type scan --passed --file {}", scan.display()));
    let staying = &PEOPLE[..3];
    world.amend(staying, SITE);

    let ask = format!("request {second} --to site --floor {number} --lasting 1h --reason \"they asked for quiet\"");
    world.sortie("coder", 0, &ask);
    // Nobody says yes: what is shown comes before that.
    let seen = world.sortie("tester", 1, &format!("approve {second} --to site"));
    seen.says("nothing was signed").says(&format!("floor {number}")).says("59 minutes from now");
    seen.says("why: they asked for quiet").says("How it runs changed");
    seen.says("≠ process.web.run: ./web --port $PORT → ./web --port $PORT --quiet");
    seen.says("+ user: wheel").says("+ smoke.run: ./web smoke \"all of it\"");
    seen.says("evidence: scan passed").says("nobody of the charter has today").lacks("not genuine");

    world.sortie("tester", 0, &format!("withdraw {second} --from site --reason \"it hums\""));
    world.sortie("coder", 0, &ask);
    let seen = world.sortie("tester", 1, &format!("approve {second} --to site"));
    seen.says("withdrawn before, through request 1, by tester: it hums");
    let shown = world.ask("tester", &format!("approve {second} --to site --yes"))["shown"].clone();
    assert_eq!((shown["serial"].as_u64(), shown["floor"].as_str()), (Some(2), Some(number.as_str())), "{shown}");
    assert!(shown["not_before"].is_string() && shown["not_after"].is_string(), "{shown}");
    assert_eq!(shown["withdrawals"][0]["reason"], "it hums", "{shown}");
    assert_eq!(shown["evidence"][0]["standing"], "signer-left", "{shown}");
    let run = shown["run"].as_array().unwrap();
    assert!(run.iter().any(|change| change["field"] == "user" && change["after"] == "wheel"), "{shown}");

    // The end that stands in the request is the one in capitals, not the longest that the charter allows.
    let glass = format!("request {first} --to site --way break-glass --lasting 3m --reason fire");
    let asked = world.sortie("coder", 0, &glass);
    asked.says("BREAK-GLASS: waives nothing; holds until").lacks("4 hours");
    let seen = world.sortie("oncall", 0, &format!("approve {first} --to site --yes"));
    seen.says("BREAK-GLASS: waives nothing; holds until").says("2 minutes from now").lacks("4 hours");
}

/// R45: what is below the floor is not asked for, approved, exported or carried away: permission for it is for nothing.
#[test]
fn r45_nobody_agrees_to_what_is_below_the_floor() {
    let mut world = World::new();
    world.found(PEOPLE, SITE);
    world.make_repository(PROJECT);
    let first = world.push_and_number();
    world.change_greeting("Good morning, {name}!");
    let second = world.push_and_number();
    world.change_greeting("Good evening, {name}!");
    let third = world.push_and_number();
    let agree = |version: &str| {
        world.sortie("tester", 0, &format!("approve {version} --to site --yes"));
        world.sortie("oncall", 0, &format!("approve {version} --to site --yes"));
    };
    world.sortie("coder", 0, &format!("request {first} --to site"));
    agree(&first);
    world.sortie("coder", 0, &format!("request {second} --to site"));
    let number = third.trim_start_matches("web@");
    world.sortie("coder", 0, &format!("request {third} --to site --floor {number}"));
    agree(&third);

    let below = format!("below site's floor {number}, which the permit of {number} brought");
    world.sortie("coder", 3, &format!("request {first} --to site")).says("BELOW_FLOOR").says(&below);
    world.sortie("tester", 3, &format!("approve {second} --to site --yes")).says("BELOW_FLOOR").says(&below);
    let out = world.root().join("out");
    for verb in ["bundle", "permit"] {
        let export = format!("{verb} export {first} --to site --out {}", out.display());
        world.sortie("oncall", 3, &export).says("BELOW_FLOOR").says(&below);
    }
    assert!(!out.exists(), "nothing was written, and no order was signed");
}
