//! What the server publishes, read by other people's TUF clients from a mirror that is nothing but a folder behind a
//! plain web server.

use crate::world::{Ended, Output, World, clients, files, find, free_address, until};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};
use trust::{
    key::SecretKey,
    statement::{Act, Statement},
    tuf::repository::{self, PermitFile},
};

const PEOPLE: &[(&str, &str)] = &[("coder", "developer"), ("tester", "qa"), ("oncall", "ops")];
const ENVIRONMENTS: &str = r#"
[environments]
test = { class = "test", approve = "developer", deploy = "developer" }
prod = { class = "live", approve = "qa and ops", deploy = "ops" }
[channels]
beta = { approve = "qa" }
"#;
pub const PERMITS: &str = "permits.prod.web.json";

/// A copy of the repository behind a plain web server.
pub struct Mirror {
    pub folder: PathBuf,
    pub url: String,
    _server: Ended,
}

impl Mirror {
    pub fn of(world: &World) -> Self {
        let folder = world.root().join("mirror");
        fs::create_dir_all(&folder).unwrap();
        let address = free_address();
        let mut server = Command::new(clients().join("python/bin/python"));
        server.args(["-m", "http.server", &address.port().to_string(), "--bind", "127.0.0.1", "--directory"]);
        let server = Ended::start(server.arg(&folder), &world.root().join("mirror.log"));
        until("the mirror's web server", || TcpStream::connect(address).ok());
        let mirror = Self { folder, url: format!("http://{address}"), _server: server };
        mirror.copy(world);
        mirror
    }

    /// Makes the mirror the very copy of what is published now, as `rsync --delete` would.
    pub fn copy(&self, world: &World) {
        self.copy_of(&world.server_data().join("repository"));
    }

    /// The same of another folder.
    pub fn copy_of(&self, folder: &Path) {
        fs::remove_dir_all(&self.folder).unwrap();
        for (path, bytes) in files(folder) {
            let to = self.folder.join(path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, bytes).unwrap();
        }
    }

    fn metadata(&self, name: &str) -> PathBuf {
        self.folder.join("metadata").join(name)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.metadata(name)).unwrap()).unwrap()
    }

    /// The newest snapshot's version, as the timestamp says.
    fn snapshot(&self) -> u64 {
        self.json("timestamp.json")["signed"]["meta"]["snapshot.json"]["version"].as_u64().unwrap()
    }
}

/// The two clients, each with a memory of its own.
pub const CLIENTS: [&str; 2] = ["python-tuf", "tuf-js"];

/// Lets a client refresh from the mirror and download `names`.
#[track_caller]
pub fn fetch(world: &World, mirror: &Mirror, client: &str, exit: i32, names: &[&str]) -> Output {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/repository");
    let memory = world.root().join(client);
    let root = world.root().join("1.root.json");
    if !root.exists() {
        fs::copy(mirror.metadata("1.root.json"), &root).unwrap();
    }
    let mut command = match client {
        "python-tuf" => {
            let mut command = Command::new(clients().join("python/bin/python"));
            command.arg(here.join("client.py"));
            command
        }
        _ => {
            let mut command = Command::new("node");
            command.arg(here.join("client.mjs")).arg(clients().join("node/node_modules"));
            command
        }
    };
    command.arg(&mirror.url).arg(root).arg(memory).args(names);
    world.run(format!("{client} refreshes and downloads {names:?}"), &mut command, exit)
}

/// Waits until everything that was accepted is published.
#[track_caller]
pub fn await_published(world: &World) {
    let accepted = world.ask("owner", "ledger verify")["entries"].as_u64().expect("a number of entries");
    until("the repository to catch up", || {
        let status = world.ask("owner", "repository status");
        assert!(status["problem"].is_null(), "{status}");
        (status["entry"].as_u64() >= Some(accepted)).then_some(())
    });
}

#[track_caller]
fn permits(output: &Output) -> PermitFile {
    PermitFile::from_bytes(&fs::read(output.stdout.trim()).unwrap()).unwrap()
}

/// The files of permits below a folder.
fn permit_files(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_keys().filter(|path| path.to_string_lossy().ends_with(".web.json")).collect()
}

fn versions(file: &PermitFile) -> Vec<String> {
    let version = |act| match act {
        Act::Request(request) => request.version.to_string(),
        act => panic!("a {} in place of a request", act.kind()),
    };
    file.permits.iter().map(|permit| version(Statement::read(&permit.request).unwrap().act)).collect()
}

fn approve(world: &World, version: &str) {
    world.sortie("coder", 0, &format!("request {version} --to prod"));
    world.sortie("tester", 0, &format!("approve {version} --to prod --yes"));
    world.sortie("oncall", 0, &format!("approve {version} --to prod --yes"));
}

fn world() -> World {
    let mut world = World::new();
    world.found(PEOPLE, ENVIRONMENTS);
    world.make_repository("app = \"web\"\nfiles = \"dist\"\n");
    world
}

/// R13, R33: what people permitted and took back can be had, and checked, from any mirror by unmodified TUF clients: live
/// permits with every signed statement, and every withdrawal. A mirror that goes back, mixes or holds back is found.
#[test]
fn r13_r33_other_peoples_clients_read_permits_and_withdrawals_from_a_plain_mirror() {
    let world = world();
    let first = world.push_and_number();
    approve(&world, &first);
    await_published(&world);
    let mirror = Mirror::of(&world);
    let mut copies = Vec::new();
    for client in CLIENTS {
        let output = fetch(&world, &mirror, client, 0, &[PERMITS]);
        let file = permits(&output);
        assert_eq!(versions(&file), [first.trim_start_matches("web@")]);
        assert_eq!(file.permits[0].approvals.len(), 2);
        assert!(file.withdrawals.is_empty());
        copies.push(fs::read(output.stdout.trim()).unwrap());
        fetch(&world, &mirror, client, 0, &["charter.toml"]);
        fetch(&world, &mirror, client, 1, &["permits.test.web.json"]).says("nobody vouches");
    }
    assert_eq!(copies[0], copies[1]);
    let older = files(&mirror.folder);

    // A copy made by our own command has the same files, and all that clients need.
    fs::remove_dir_all(mirror.folder.join("targets")).unwrap();
    world.sortie("oncall", 0, &format!("repository export {}", mirror.folder.display())).says("is a mirror of");
    assert!(files(&mirror.folder).iter().all(|(path, bytes)| older.get(path) == Some(bytes)));
    // What is somebody's own is neither mixed with a mirror nor removed for one.
    let own = world.root().join("own/metadata");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("notes.json"), "mine").unwrap();
    let into = own.parent().unwrap().display().to_string();
    world.sortie("oncall", 2, &format!("repository export {into}")).says("is not empty, and no mirror");
    fs::write(own.join("1.root.json"), "another estate's").unwrap();
    world.sortie("oncall", 2, &format!("repository export {into}")).says("is a mirror of another estate");
    assert_eq!(fs::read_to_string(own.join("notes.json")).unwrap(), "mine");
    for client in CLIENTS {
        let _ = fs::remove_dir_all(world.root().join(client).join("targets"));
        fetch(&world, &mirror, client, 0, &[PERMITS]);
    }

    world.change_greeting("Hello again, {name}!");
    let second = world.push_and_number();
    approve(&world, &second);
    world.sortie("tester", 0, &format!("withdraw {first} --from prod --reason \"it bites\""));
    await_published(&world);
    mirror.copy(&world);
    for client in CLIENTS {
        let file = permits(&fetch(&world, &mirror, client, 0, &[PERMITS]));
        assert_eq!(versions(&file), [second.trim_start_matches("web@")], "what was withdrawn is no live permit");
        assert_eq!(file.withdrawals.len(), 1);
    }

    // Rollback and freeze: yesterday's timestamp, as it was, over today's files.
    let today = files(&mirror.folder);
    fs::write(mirror.metadata("timestamp.json"), &older[Path::new("metadata/timestamp.json")]).unwrap();
    fetch(&world, &mirror, "python-tuf", 1, &[]).says("version");
    fetch(&world, &mirror, "tuf-js", 1, &[]).says("version");
    fs::write(mirror.metadata("timestamp.json"), &today[Path::new("metadata/timestamp.json")]).unwrap();

    // Mix and match: yesterday's list of permits under today's name.
    let snapshot = mirror.json(&format!("{}.snapshot.json", mirror.snapshot()));
    let version = snapshot["signed"]["meta"]["permits-prod.json"]["version"].as_u64().unwrap();
    let (before, now) = (format!("{}.permits-prod.json", version - 1), format!("{version}.permits-prod.json"));
    fs::copy(mirror.metadata(&before), mirror.metadata(&now)).unwrap();
    for (client, words) in CLIENTS.into_iter().zip(["permits-prod", "unable to load targets"]) {
        fs::remove_file(world.root().join(client).join("metadata/permits-prod.json")).unwrap();
        fetch(&world, &mirror, client, 1, &[PERMITS]).says(words);
    }
    // Bytes that nobody signed, under a name that somebody did.
    mirror.copy(&world);
    for path in permit_files(&mirror.folder.join("targets")) {
        fs::write(mirror.folder.join("targets").join(path), "{}").unwrap();
    }
    for client in CLIENTS {
        let _ = fs::remove_dir_all(world.root().join(client).join("targets"));
        fetch(&world, &mirror, client, 1, &[PERMITS]);
    }
}

/// A server that starts again goes on where it was: no version falls, and what has not changed keeps its version. What
/// a crash left half-done is whole afterwards.
#[test]
fn a_server_that_was_killed_publishes_on_from_where_it_was() {
    let mut world = world();
    let version = world.push_and_number();
    approve(&world, &version);
    await_published(&world);
    let mirror = Mirror::of(&world);
    fetch(&world, &mirror, "python-tuf", 0, &[PERMITS]);
    let before = world.ask("owner", "repository status");
    world.kill_server();
    let repository = world.server_data().join("repository");
    // The worst that a crash can leave: a file of permits that never came to be.
    let lost = permit_files(&repository);
    assert_eq!(lost.len(), 1);
    fs::remove_file(repository.join(&lost[0])).unwrap();
    world.start_server();
    await_published(&world);
    let after = world.ask("owner", "repository status");
    assert_eq!(after["roles"], before["roles"], "nothing changed, so nothing has a new version");
    assert!(after["version"].as_u64() >= before["version"].as_u64());
    mirror.copy(&world);
    let output = fetch(&world, &mirror, "python-tuf", 0, &[PERMITS]);
    assert_eq!(versions(&permits(&output)), [version.trim_start_matches("web@")]);

    // The counters are lost with everything that was published: versions still only grow.
    world.stop_server();
    fs::remove_dir_all(&repository).unwrap();
    world.start_server();
    await_published(&world);
    mirror.copy(&world);
    fetch(&world, &mirror, "python-tuf", 0, &[PERMITS]);
}

/// The thief has the server's disk and keys. He dates the repository as he likes, and a word that is too old, or of a
/// day to come, lets a target activate nothing; what runs goes on running, and can be stopped.
/// Attack: stolen online keys.
/// Attack: freeze.
#[test]
fn a_repository_with_a_date_that_is_too_old_or_ahead_lets_nothing_new_start() {
    let mut world = world();
    world.add_machines(&[("prod-1", "prod")]);
    let first = world.push_and_number();
    approve(&world, &first);
    world.sortie("oncall", 0, &format!("deploy {first} --to prod"));
    world.change_greeting("Hello again, {name}!");
    let second = world.push_and_number();
    approve(&world, &second);
    await_published(&world);
    let status = world.ask("owner", "target list");
    assert!(find(&status, &|target| target["refreshed"].is_string()).is_some(), "{status}");

    for (hours, code) in [(-25, "STALE"), (25, "CLOCK_BEHIND")] {
        forge_date(&world, hours);
        let refused = world.sortie("oncall", 4, &format!("redeploy {second} --in prod"));
        refused.says(code.replace('_', " ").to_lowercase().split(' ').next().unwrap());
        let deployment = world.ask("owner", "status web --in prod");
        assert!(deployment.to_string().contains(first.trim_start_matches("web@")));
    }
    world.sortie("owner", 0, "explain STALE");
    world.sortie("oncall", 0, "stop web --in prod");
}

/// Signs the newest timestamp anew with the server's own key, dated so many hours from now.
fn forge_date(world: &World, hours: i64) {
    let key = fs::read_to_string(world.server_data().join("keys/ledger.key")).unwrap();
    let key = SecretKey::from_openssh(&key, None).unwrap();
    let path = world.server_data().join("repository/metadata/timestamp.json");
    let mut timestamp: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let signed = &mut timestamp["signed"];
    let dated = Timestamp::from_second((Timestamp::now() + SignedDuration::from_hours(hours)).as_second()).unwrap();
    signed[repository::SIGNED_FIELD] = dated.to_string().into();
    signed["version"] = (signed["version"].as_u64().unwrap() + 1).into();
    fs::write(&path, repository::sign_online(signed, &key).unwrap()).unwrap();
}

/// R31: whoever holds the server puts it back to before a withdrawal. A target that has a mirror, or is brought the
/// withdrawal by hand, refuses all the same; a mirror cannot make it forget.
/// Attack: withheld withdrawal.
/// Attack: malicious mirror.
#[test]
fn r31_a_server_put_back_to_before_a_withdrawal_does_not_get_its_way() {
    let mut world = world();
    world.add_machines(&[("prod-1", "prod"), ("prod-2", "prod")]);
    let version = world.push_and_number();
    approve(&world, &version);
    await_published(&world);
    world.stop_agent("prod-1");
    world.stop_agent("prod-2");
    world.stop_server();
    let (data, before) = (world.server_data(), world.root().join("before"));
    copy_folder(&data, &before);
    world.start_server();
    let carried = world.home("tester").join("withdrawal.json");
    world.sortie(
        "tester",
        0,
        &format!("withdraw {version} --from prod --reason \"it bites\" --out {}", carried.display()),
    );
    await_published(&world);
    let mirror = Mirror::of(&world);
    world.kill_server();
    fs::remove_dir_all(&data).unwrap();
    copy_folder(&before, &data);
    world.start_server();

    world.start_agent_with("prod-1", &["--mirror", &mirror.url]);
    world.start_agent("prod-2");
    let folder = world.agent_data("prod-2");
    let line = format!("agent withdraw {} --data {}", carried.display(), folder.display());
    world.sortie("owner", 0, &line).says("dead on this target");
    world.await_machines(&["prod-1", "prod-2"]);
    // Once a target has told it what it had forgotten, even the server knows.
    for machine in ["prod-1", "prod-2"] {
        let line = format!("deploy {version} --to prod --only {machine}");
        let output = world.sortie_command("oncall").args(line.split(' ')).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains("withdrawn"), "{}", String::from_utf8_lossy(&said));
        assert!(matches!(output.status.code(), Some(3 | 4)), "{:?}", output.status);
    }
    until("both to have kept it", || {
        let kept = |machine: &str| fs::read_to_string(world.agent_data(machine).join("trust/withdrawals.json"));
        let has = |machine: &str| kept(machine).is_ok_and(|kept| kept.contains("through_serial"));
        (has("prod-1") && has("prod-2")).then_some(())
    });
    world.sortie("owner", 2, &format!("agent withdraw /dev/null --data {}", folder.display()));
}

fn copy_folder(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let to = to.join(&path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(&to, bytes).unwrap();
        fs::set_permissions(&to, fs::metadata(from.join(path)).unwrap().permissions()).unwrap();
    }
}
