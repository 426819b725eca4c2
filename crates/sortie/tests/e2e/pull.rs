//! Customers fetch for themselves what was released to them, and nothing else.

use crate::world::{Output, PROJECT, World, files, read_text};
use std::{fs, process::Command};

const PEOPLE: &[(&str, &str)] = &[("coder", "developer"), ("tester", "qa")];

/// The charter below its people: two customers' channels, a public one, and one for the inside.
fn channels(world: &World) -> String {
    let key =
        |name: &str| read_text(&world.home(name).join(".ssh/id_ed25519.pub")).rsplit_once(' ').unwrap().0.to_string();
    let customer =
        |name: &str, role: &str| format!("{name} = {{ roles = [\"{role}\"], keys = [\"{}\"] }}\n", key(name));
    format!(
        "\n[customers]\n{}{}\n[channels]\nglobex = {{ approve = \"qa\", read = \"globex\" }}\ninitech = {{ approve = \"qa\", \
         read = \"initech\" }}\npublic = {{ approve = \"qa\", public = true }}\ninside = {{ approve = \"qa\" }}\n",
        customer("bob", "globex"),
        customer("carol", "initech")
    )
}

fn released(world: &World, version: &str, channel: &str) {
    world.sortie("coder", 0, &format!("request {version} --to {channel}"));
    world.sortie("tester", 0, &format!("approve {version} --to {channel} --yes"));
}

/// Asks the server with curl; answers with the status and the body.
#[track_caller]
fn curl(world: &World, token: &str, arguments: &[&str], path: &str) -> String {
    let mut command = Command::new("curl");
    command.args(["-sk", "--http1.1", "--max-time", "20", "-w", "\n%{http_code}", "-H"]);
    command.arg(format!("Authorization: Bearer {token}")).args(arguments);
    command.arg("--output").arg("-").arg(format!("{}{path}", world.url()));
    world.run(format!("curl {arguments:?} {path}"), &mut command, 0).stdout
}

/// R28: a customer gets what a channel holds that they may read, by a key or by a token, and checks it by themselves; the
/// server refuses everything else with 403, and says who can grant it. Each delivery is recorded, and told where it matters.
/// R18: what was released for the inside is refused to a client from outside.
#[test]
fn r18_r28_customers_get_what_they_are_entitled_to_and_it_is_recorded() {
    let mut world = World::new();
    for name in ["bob", "carol", "stranger"] {
        world.person(name);
    }
    let rest = channels(&world);
    world.found(PEOPLE, &rest);
    world.make_repository(PROJECT);
    let first = world.push_and_number();
    world.change_greeting("Good evening, {name}!");
    let second = world.push_and_number();
    let login = format!("login {}", world.url_and_pin);
    for name in ["bob", "carol"] {
        world.sortie(name, 0, &login).says(&format!("you are {name}"));
    }
    world.sortie("bob", 0, "whoami").says("bob").says("globex");
    let pull = |who: &str, exit: i32, what: &str, from: &str, to: &str| -> Output {
        world.sortie(who, exit, &format!("pull {what} --from {from} --to {to}"))
    };

    // Nothing is released yet; then the first is, to one customer.
    pull("bob", 3, &first, "globex", "web").says("PERMIT_MISSING").says("qa would have to agree");
    pull("tester", 2, "web@9.9.9", "globex", "web").says("UNKNOWN_VERSION");
    pull("bob", 3, "web@9.9.9", "globex", "web").says("PERMIT_MISSING");
    pull("bob", 3, "web", "globex", "web").says("ask whoever gave you").lacks("next: sortie pull");
    released(&world, &first, "globex");
    released(&world, &second, "inside");
    let got = pull("bob", 0, "web", "globex", "web");
    got.says(&first).says("signed by tester").says("roots, charter, permit, every digest");
    let laid_out = files(&world.home("bob").join("web"));
    let built = files(&world.repository().join("dist"));
    assert_eq!(laid_out.keys().collect::<Vec<_>>(), built.keys().collect::<Vec<_>>());
    assert!(String::from_utf8_lossy(&laid_out[std::path::Path::new("greeting.txt")]).contains("Hello"));
    pull("bob", 2, "web", "globex", "web").says("not empty");
    pull("bob", 0, &first, "globex", "again");

    // Not entitled: another's channel, the inside, one that there is not: the same to whoever may not.
    for (who, from) in [("carol", "globex"), ("bob", "initech"), ("bob", "inside"), ("bob", "nowhere")] {
        let refused = pull(who, 3, "web", from, "none");
        refused.says("CHANNEL_CLOSED").says("owners say who reads which");
        pull(who, 3, &first, from, "none").says("CHANNEL_CLOSED");
    }
    pull("bob", 3, &second, "globex", "none").says("PERMIT_MISSING");
    world.sortie("stranger", 3, &format!("pull web --from globex --server {}", world.url_and_pin));
    assert!(!world.home("bob").join("none").exists() && !world.home("carol").join("none").exists());
    // Everything else of the server is closed to a customer too.
    for line in ["status", "history", "ledger verify", "target list", "logs web --on dev-1"] {
        world.sortie("bob", 3, line).says("CHANNELS_ONLY");
    }
    world.sortie("bob", 3, &format!("request {first} --to globex")).says("CHANNELS_ONLY");

    // By a token: no key, and the same rights. HEAD hands nothing over; objects are not had one by one.
    let token = world.ask("bob", "token create --note installer")["token"].as_str().unwrap().to_string();
    let mut command = world.sortie_command("stranger");
    command.args(["pull", "web", "--from", "globex", "--to", "mine", "--server", &world.url_and_pin]);
    command.env("SORTIE_TOKEN", &token);
    world.run("stranger with bob's token".into(), &mut command, 0).says("signed by tester");
    let of_first = format!("/v1/feeds/globex/web/{}", first.split('@').nth(1).unwrap());
    assert!(curl(&world, &token, &[], &of_first).ends_with("\n200"));
    assert!(curl(&world, &token, &["-I"], &format!("{of_first}/files")).contains("405"));
    let offer: serde_json::Value = {
        let text = curl(&world, &token, &[], &of_first);
        serde_json::from_str(text.rsplit_once('\n').unwrap().0).unwrap()
    };
    let object = format!("/v1/objects/{}?channel=globex", offer["build"].as_str().unwrap());
    let refused = curl(&world, &token, &[], &object);
    assert!(refused.contains("CHANNELS_ONLY") && refused.ends_with("\n403"), "{refused}");
    let others = curl(&world, &token, &[], &of_first.replace("globex", "initech"));
    assert!(others.contains("CHANNEL_CLOSED") && others.ends_with("\n403"), "{others}");
    // A dashboard's token of our own people fetches no builds here either.
    let dashboard = world.ask("coder", "token create --note dashboard")["token"].as_str().unwrap().to_string();
    let refused = curl(&world, &dashboard, &[], &format!("{of_first}/files"));
    assert!(refused.contains("TOKEN_READS_ONLY") && refused.ends_with("\n403"), "{refused}");

    // Who has it is known, once each; and it is told where it matters.
    pull("tester", 0, &first, "globex", "copy");
    let history = world.sortie("coder", 0, "history web");
    history.says(&format!("{first} was handed to bob from globex"));
    assert_eq!(history.text().matches("was handed to bob").count(), 1, "{history}");
    world.sortie("coder", 0, &format!("status {first}")).says("downloaded by bob, tester");
    world.sortie("coder", 0, "status web").says("0.1.0 downloaded by bob, tester");
    let withdrawn = world.sortie("tester", 0, &format!("withdraw {first} --from globex --reason \"it leaks\""));
    withdrawn.says("downloaded by 2: bob, tester").says("cannot be recalled");
    pull("bob", 3, &first, "globex", "late").says("PERMIT_WITHDRAWN");
    pull("bob", 3, "web", "globex", "late").says("PERMIT_MISSING");

    // A public channel is for anyone: without a login the server is believed, and that is said.
    released(&world, &second, "public");
    let anyone = world.sortie("stranger", 0, &format!("pull web --from public --server {}", world.url_and_pin));
    anyone.says("by the server's word alone");
    assert!(world.home("stranger").join("web-0.2.0/web").is_file());
    pull("carol", 0, "web", "public", "web").says("signed by tester");
    let withdrawn = world.sortie("tester", 0, &format!("withdraw {second} --from public --reason \"it leaks\""));
    withdrawn.says("downloaded by 1: carol");

    // Whoever is suspended, or has left the charter, gets nothing more.
    world.sortie("owner", 0, "person suspend carol");
    world.sortie("carol", 3, "whoami").says("SIGNER_UNKNOWN");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
    fs::remove_dir_all(world.home("bob").join("again")).unwrap();
}
