//! A witness on another machine: a real one, beside a real server and a real agent.

use crate::{
    repository::{CLIENTS, Mirror, PERMITS, await_published, fetch},
    world::{Ended, World, files, get, read_text, until},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};
use trust::{
    key::{SecretKey, Signer},
    tuf::repository,
};

const PEOPLE: &[(&str, &str)] = &[("coder", "developer"), ("tester", "qa"), ("oncall", "ops")];
const ENVIRONMENTS: &str = r#"
[environments]
test = { class = "test", approve = "developer", deploy = "developer" }
prod = { class = "live", approve = "qa and ops", deploy = "ops" }
"#;

/// A witness as a process.
struct Witness {
    data: PathBuf,
    address: SocketAddr,
    process: Option<Ended>,
    url_and_pin: String,
    key: String,
}

impl Witness {
    fn of(world: &World) -> Self {
        let mut witness = Self {
            data: world.root().join("witness"),
            address: World::another_address(),
            process: None,
            url_and_pin: String::new(),
            key: String::new(),
        };
        witness.start(world, &["--server", &world.url_and_pin]);
        witness
    }

    fn start(&mut self, world: &World, arguments: &[&str]) {
        let log = world.root().join("witness.log");
        let already = read_text(&log).len();
        let mut command = Command::new(world.root().join("bin/sortie"));
        command.args(["witness", "--listen", &self.address.to_string(), "--data"]).arg(&self.data).args(arguments);
        command.current_dir(world.root()).env("NO_COLOR", "1").env("HOME", world.root());
        self.process = Some(Ended::start(&mut command, &log));
        let line = |start: &str| {
            let said = read_text(&log)[already..].to_string();
            said.lines().find_map(|line| Some(line.strip_prefix(start)?.trim().to_string()))
        };
        self.url_and_pin = until("the witness's address", || line("witness "));
        self.key = until("the witness's key", || line("key "));
        until("the witness's next command", || line("next:"));
    }

    /// Ends it as a power cut would.
    fn kill(&mut self) {
        self.process = None;
    }
}

fn world() -> World {
    let mut world = World::new();
    world.found(PEOPLE, ENVIRONMENTS);
    world.make_repository("app = \"web\"\nfiles = \"dist\"\n");
    world
}

fn approve(world: &World, version: &str) {
    world.sortie("coder", 0, &format!("request {version} --to prod"));
    world.sortie("tester", 0, &format!("approve {version} --to prod --yes"));
    world.sortie("oncall", 0, &format!("approve {version} --to prod --yes"));
}

/// Waits until the witness has signed for everything that was accepted.
#[track_caller]
fn await_signed(world: &World) {
    await_published(world);
    until("the witness to sign", || {
        let status = world.ask("owner", "repository status");
        (status["witness"]["waiting_since"].is_null() && status["witness"]["seen"].is_string()).then_some(())
    });
}

fn timestamp(world: &World) -> PathBuf {
    world.server_data().join("repository/metadata/timestamp.json")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn secret(path: &Path) -> SecretKey {
    SecretKey::from_openssh(&fs::read_to_string(path).unwrap(), None).unwrap()
}

/// Signs the newest timestamp anew with these keys, dated so many hours ago.
fn forge(world: &World, keys: &[&SecretKey], hours: i64) {
    let path = timestamp(world);
    let mut signed = json(&path)["signed"].take();
    let dated = Timestamp::from_second((Timestamp::now() - SignedDuration::from_hours(hours)).as_second()).unwrap();
    signed[repository::SIGNED_FIELD] = dated.to_string().into();
    signed["version"] = (signed["version"].as_u64().unwrap() + 1).into();
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| *key as &dyn Signer).collect();
    fs::write(&path, repository::sign_online_by(&signed, &signers).unwrap()).unwrap();
}

/// Owners name a witness by one command; from then on nothing is fresh that it has not signed, for agents as for other
/// people's TUF clients. While it is away the server goes on taking what people sign, shows what was signed last, and says
/// everywhere until when that is good. What a thief signs with the server's key alone is worth nothing.
/// Attack: stolen online keys.
/// Attack: freeze.
#[test]
fn nothing_is_fresh_that_the_witness_has_not_signed() {
    let mut world = world();
    world.add_machines(&[("prod-1", "prod")]);
    let first = world.push_and_number();
    approve(&world, &first);
    await_published(&world);
    let mut witness = Witness::of(&world);
    let wrong =
        [("nonsense", "OpenSSH"), (&read_text(&world.home("owner").join(".ssh/id_ed25519.pub")), "an owner's key")];
    for (key, words) in wrong {
        world.sortie("owner", 2, &format!("charter root --yes --witness \"{}\"", key.trim())).says(words);
    }
    world.sortie("owner", 2, "charter root --yes --without-witness").says("names no witness");
    let brought = format!("withdraw {first} --from prod --reason no --witness {}", witness.url_and_pin);
    let refused = world.sortie("tester", 2, &brought);
    refused.says("owners have not named this witness").says("charter root --witness").lacks("not genuine");
    world.sortie("coder", 3, &format!("charter root --yes --witness \"{}\"", witness.key)).says("SIGNATURES_MISSING");
    world.sortie("owner", 0, &format!("charter root --yes --witness \"{}\"", witness.key)).says("root 2 is in force");
    await_signed(&world);
    assert_eq!(json(&timestamp(&world))["signatures"].as_array().unwrap().len(), 2);
    world.sortie("oncall", 0, &format!("deploy {first} --to prod")).says("1/1");

    let mirror = Mirror::of(&world);
    for client in CLIENTS {
        fetch(&world, &mirror, client, 0, &[PERMITS]);
    }
    // The witness's own copy is the very repository.
    mirror.copy_of(&witness.data.join("repository"));
    for client in CLIENTS {
        let _ = fs::remove_dir_all(world.root().join(client));
        fetch(&world, &mirror, client, 0, &[PERMITS, "charter.toml"]);
    }

    witness.kill();
    world.change_greeting("Hello again, {name}!");
    let second = world.push_and_number();
    approve(&world, &second);
    // More than one word waits, so that what is signed at last is above what the thief numbers below.
    world.change_greeting("Hello for the third time, {name}!");
    let third = world.push_and_number();
    approve(&world, &third);
    let before = json(&timestamp(&world));
    until("the server to say that the witness is away", || {
        let said = world.sortie("coder", 0, "status").text();
        said.contains("the witness was heard of last at").then_some(())
    });
    world.sortie("coder", 0, "status").says("activate nothing new from");
    let page = get(world.board(), "/").unwrap();
    assert!(page.contains("the witness was heard of last at"), "{page}");
    let metrics = get(world.board(), "/metrics").unwrap();
    let waited = metrics.lines().find_map(|line| line.strip_prefix("sortie_witness_waited_for_seconds "));
    assert!(waited.unwrap().parse::<u64>().unwrap() > 0, "{metrics}");
    assert_eq!(json(&timestamp(&world)), before, "what was signed last stays published");
    // What it signed is fresh still.
    world.sortie("oncall", 0, &format!("deploy {second} --to prod")).says("1/1");

    // A day later: the thief dates anew what he can, first alone, then as if the witness had signed it a day ago.
    let (online, beside) =
        (secret(&world.server_data().join("keys/ledger.key")), secret(&witness.data.join("witness.key")));
    world.stop_agent("prod-1");
    fs::remove_file(world.agent_data("prod-1").join("trust/seen.json")).unwrap();
    forge(&world, &[&online], 0);
    world.start_agent("prod-1");
    world.await_machines(&["prod-1"]);
    world.sortie("oncall", 4, &format!("redeploy {first} --in prod")).says("more people must sign");
    fs::write(timestamp(&world), serde_json::to_vec(&before).unwrap()).unwrap();
    forge(&world, &[&online, &beside], 25);
    world.sortie("oncall", 4, &format!("redeploy {first} --in prod")).says("stale");

    witness.start(&world, &[]);
    await_signed(&world);
    world.sortie("coder", 0, "status").lacks("the witness");
    world.sortie("oncall", 0, &format!("redeploy {first} --in prod")).says("1/1");

    // The way back, and nobody waits for it any more.
    witness.kill();
    world.sortie("owner", 0, "charter root --yes --without-witness").says("root 3 is in force");
    await_published(&world);
    assert_eq!(json(&timestamp(&world))["signatures"].as_array().unwrap().len(), 1);
    world.sortie("oncall", 0, &format!("redeploy {second} --in prod")).says("1/1");
    mirror.copy(&world);
    fetch(&world, &mirror, "python-tuf", 0, &[PERMITS]);
}

/// R31: with the server away, or in wrong hands, whoever may withdraw brings it to the witness. The targets hear of it from
/// there, and the server cannot go on without it: not even one that was put back to before it.
/// Attack: withheld withdrawal before a witness.
#[test]
fn r31_a_withdrawal_that_was_brought_to_the_witness_reaches_targets_and_is_not_lost() {
    let mut world = world();
    let mut witness = Witness::of(&world);
    world.sortie("owner", 0, &format!("charter root --yes --witness \"{}\"", witness.key));
    await_signed(&world);
    world.add_machines(&[("prod-1", "prod")]);
    let first = world.push_and_number();
    approve(&world, &first);
    world.sortie("oncall", 0, &format!("deploy {first} --to prod"));
    world.change_greeting("Hello again, {name}!");
    let second = world.push_and_number();
    approve(&world, &second);
    await_signed(&world);
    // The people's command lines know the charter.
    for person in ["coder", "tester"] {
        world.sortie(person, 0, "status");
    }
    world.stop_agent("prod-1");
    world.stop_server();
    let (data, backup) = (world.server_data(), world.root().join("backup"));
    copy(&data, &backup);

    let at = witness.url_and_pin.clone();
    let line = |what: &str| format!("withdraw {what} --from prod --reason \"it bites\" --witness {at}");
    world.sortie("coder", 3, &line(&first)).says("role");
    world.sortie("tester", 2, &line("web@9.9.9")).says("knows of no permit");
    world.sortie("tester", 2, &format!("{} --stop", line(&first)));
    world.sortie("tester", 0, &line(&first)).says("the witness keeps that, through request 1").says("does not answer");
    witness.kill();
    witness.start(&world, &[]);
    world.start_agent_with("prod-1", &["--mirror", &witness.url_and_pin]);
    let kept = world.agent_data("prod-1").join("trust/withdrawals.json");
    until("the withdrawal to reach prod-1", || read_text(&kept).contains("through_serial").then_some(()));

    // The server is back, and gets it from the witness.
    world.start_server();
    await_withdrawn(&world, &first);
    await_signed(&world);
    world.sortie("oncall", 3, &format!("deploy {first} --to prod")).says("withdrawn");
    world.sortie("tester", 0, &line(&first)).says("is withdrawn from prod");

    // Put back to before it, with no target that remembers: the witness does not sign, and the server takes it again.
    world.stop_agent("prod-1");
    world.stop_server();
    fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    world.start_server();
    world.sortie("coder", 0, &format!("release {second} --to test"));
    until("the witness to refuse", || {
        let status = world.ask("owner", "repository status");
        status["witness"]["refuses"].as_str().filter(|why| why.contains("version")).map(drop)
    });
    world.sortie("coder", 0, "status").says("the witness does not sign");
    world.sortie("owner", 0, "charter epoch --reason restore --yes");
    await_withdrawn(&world, &first);
    await_signed(&world);

    // Its keys were stolen, and it has others: the witness follows like everybody else.
    world.stop_server();
    let address = world.url().trim_start_matches("https://").parse().unwrap();
    world.start_server_at(address, &["--new-keys"]);
    world.sortie("owner", 0, &format!("login {}", world.url_and_pin));
    world.sortie("owner", 0, "charter epoch --reason eviction --yes");
    await_signed(&world);
    assert_eq!(json(&timestamp(&world))["signatures"].as_array().unwrap().len(), 2);
    world.start_agent_with("prod-1", &["--mirror", &witness.url_and_pin]);
    world.sortie("oncall", 0, &format!("deploy {second} --to prod")).says("1/1");
    world.sortie("oncall", 3, &format!("deploy {first} --to prod")).says("withdrawn");

    // A server that answers hears of it at once, with the reason.
    world.sortie("tester", 0, &line(&second)).says("passes it on to the server");
    await_withdrawn(&world, &second);
    world.sortie("coder", 0, "history").says("it bites");
}

/// The server's keys change in the usual way. While two of them are in root, both sign beside the witness, so that two stolen
/// server keys are not enough at any time.
#[test]
fn the_witness_stays_while_the_server_changes_its_keys() {
    let mut world = world();
    let witness = Witness::of(&world);
    world.sortie("owner", 0, &format!("charter root --yes --witness \"{}\"", witness.key));
    await_signed(&world);
    let signatures = |world: &World| json(&timestamp(world))["signatures"].as_array().unwrap().len();
    world.sortie("owner", 0, "server rotate --yes").says("announced");
    await_signed(&world);
    assert_eq!(signatures(&world), 3);
    world.stop_server();
    let address = world.url().trim_start_matches("https://").parse().unwrap();
    world.start_server_at(address, &["--rotate-keys"]);
    await_signed(&world);
    assert_eq!(signatures(&world), 3);
    let version = world.push_and_number();
    approve(&world, &version);
    await_signed(&world);
    world.sortie("owner", 0, "server rotate --finish --yes").says("only the keys in use");
    await_signed(&world);
    assert_eq!(signatures(&world), 2);
    let mirror = Mirror::of(&world);
    fetch(&world, &mirror, "python-tuf", 0, &[PERMITS]);
}

#[track_caller]
fn await_withdrawn(world: &World, version: &str) {
    until("the server to hear of the withdrawal", || {
        let mut command = world.sortie_command("oncall");
        let output = command.args(["why", version, "--in", "prod"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("withdrawn").then_some(())
    });
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let to = to.join(&path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(&to, bytes).unwrap();
        fs::set_permissions(&to, fs::metadata(from.join(path)).unwrap().permissions()).unwrap();
    }
}
