//! What people get wrong, and what strangers send: each is answered in words, and nothing breaks.
//!
//! A server whose clock runs backwards is tried where the clock can be set: `time_never_runs_backwards…` in the tests
//! of the server's ledger.

use crate::world::{ENVIRONMENTS, Output, PROJECT, TEAM, World, until, words};
use api::{
    client::{Client, ClientError, in_future},
    write::Submission,
};
use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};
use trust::{
    Digest,
    key::SecretKey,
    statement::{Act, Header, Number, RequestId, Statement},
};

/// What `person` is answered, whatever the exit code.
fn typed(world: &World, person: &str, line: &str) -> Output {
    let ended = world.sortie_command(person).args(words(line)).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(ended.stdout), text(ended.stderr));
    Output { line: line.to_string(), stdout, stderr, exit: ended.status.code().unwrap_or(-1) }
}

/// A mistake in either file is named with its place and the nearest word.
#[test]
fn mistakes_in_files_are_named_with_their_place() {
    let world = World::of_team(&[]);
    world.make_repository(PROJECT);
    let project = world.repository().join("sortie.toml");
    for (text, place, said) in [
        (PROJECT.replace("files ", "fils  "), "sortie.toml:2:1", "did you mean 'files'?"),
        (PROJECT.replace("\"dist\"", "7"), "sortie.toml:2:9", "put it in quotes"),
        (PROJECT.replace("health = {", "health = { htp = \"/\", "), "sortie.toml:5:12", "did you mean 'http'?"),
        (PROJECT.replace("[config]", "[config"), "sortie.toml:6:", ""),
        (PROJECT.replace("\"web\"", "\"We b\""), "sortie.toml:1:9", ""),
    ] {
        fs::write(&project, text).unwrap();
        world.sortie("coder", 2, "push").says(place).says(said);
    }
    let charter = world.home("owner").join("charter.toml");
    let good = fs::read_to_string(&charter).unwrap();
    for (text, place, said) in [
        (good.replace("approve = \"qa and", "aprove = \"qa and"), "charter.toml:", "approve"),
        (good.replace("class = \"live\"", "class = \"life\""), "charter.toml:", "live"),
        (good.replace("deploy = \"ops\"", "deploy = 3"), "charter.toml:", "expected a string"),
        (good.replace("qa and ops", "qa annd ops"), "charter.toml:", "annd"),
    ] {
        assert_ne!(text, good);
        fs::write(&charter, text).unwrap();
        world.sortie("owner", 2, "charter plan").says(place).says(said);
    }
    // By the name of the file that was read.
    fs::copy(&charter, world.home("owner").join("next.toml")).unwrap();
    world.sortie("owner", 2, "charter plan next.toml").says("next.toml:").lacks("charter.toml:");
}

/// A private key that others may read is used, with the warning that ssh would give.
#[test]
fn a_private_key_that_others_may_read_is_warned_of() {
    let world = World::of_team(&[]);
    world.sortie("coder", 0, "status").lacks("chmod");
    let key = world.home("coder").join(".ssh/id_ed25519");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    world.sortie("coder", 0, "status").says("others on this machine may read the private key").says("chmod 600");
}

/// Archives that reach outside their folder, or are not what they say.
#[test]
fn harmful_archives_are_refused() {
    let world = World::of_team(&[]);
    world.make_repository(PROJECT);
    let file = |name: &str, mode: u32| entry(name, mode, b'0', "", b"hello");
    let link = |name: &str, to: &str| entry(name, 0o777, b'2', to, b"");
    let huge = {
        let mut header = entry("zeros", 0o644, b'0', "", b"");
        header.truncate(512);
        // 2^33 - 1 bytes are promised, and none come.
        header[124..136].copy_from_slice(b"77777777777\0");
        with_sum(header)
    };
    let end = vec![0; 1024];
    let truncated = file("web", 0o755)[..600].to_vec();
    for (name, bytes, said) in [
        ("up", [file("../web", 0o755), end.clone()].concat(), "../web"),
        ("root", [file("/etc/web", 0o755), end.clone()].concat(), "/etc/web"),
        ("out", [link("out", "../../etc/passwd"), end.clone()].concat(), "out"),
        ("away", [link("away", "/etc/passwd"), end.clone()].concat(), "away"),
        ("setuid", [file("web", 0o4755), end.clone()].concat(), "setuid"),
        ("bomb", [huge, end.clone()].concat(), ""),
        ("cut", truncated, ""),
    ] {
        let path = world.root().join(format!("{name}.tar"));
        fs::write(&path, bytes).unwrap();
        let answer = typed(&world, "coder", &format!("push {}", path.display()));
        assert!(matches!(answer.exit, 1 | 2 | 5), "{answer}");
        answer.says(said);
    }
    world.sortie("coder", 0, "history").lacks("pushed");
    assert!(!world.root().join("../web").exists());
}

/// An entry of a tar archive, filled up to whole blocks.
fn entry(name: &str, mode: u32, kind: u8, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0_u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\x000000000\x00");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let mut bytes = with_sum(header);
    bytes.extend(content);
    bytes.resize(bytes.len().div_ceil(512) * 512, 0);
    bytes
}

fn with_sum(mut header: Vec<u8>) -> Vec<u8> {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// R5: what does not exist is refused with the nearest name, and a deployment is not deployed.
#[test]
fn r5_unknown_names_are_answered_with_the_nearest() {
    let world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository(PROJECT);
    let build = world.push();
    let version = world.sortie("coder", 0, &format!("number {build} 1.0.0")).word("web@");
    world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    for (line, said) in [
        ("deploy wep@1.0.0 --to dev", "web"),
        ("deploy web@1.0.1 --to dev", "1.0.0"),
        ("deploy web@1.0.0 --to dve", "dev"),
        ("deploy web@1.0.0 --to dev --only dev-2", "dev-1"),
        ("deploy web#ffffff --to dev", "ffffff"),
    ] {
        let answer = typed(&world, "coder", line);
        assert!(matches!(answer.exit, 1..=3), "{answer}");
        answer.says(said);
    }
    world.sortie("coder", 2, "deploy 1 --to dev").says("is a deployment").says("sortie redeploy 1");
    assert_eq!(version, "web@1.0.0");
}

/// What others wrote never drives the terminal of whoever reads it.
#[test]
fn control_characters_never_reach_a_terminal() {
    let world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository("app = \"web\"\nfiles = \"dist\"\n[process.web]\nrun = \"sh run.sh\"\n");
    let evil = "\u{1b}[2J\u{1b}]0;pwned\u{7}";
    let run = "printf '\\033[2Jlogged \\007\\n'; exec sleep 1000\n";
    fs::write(world.repository().join("dist/run.sh"), run).unwrap();
    fs::write(world.repository().join("dist/evil"), evil).unwrap();
    let mut commit = world.command("coder", "git");
    commit.args(["commit", "-q", "--allow-empty", "-m", &format!("feat: {evil} shine")]);
    world.run("coder $ git commit".into(), &mut commit, 0);
    let build = world.push();
    let version = world.sortie("coder", 0, &format!("number {build} next")).word("web@");
    world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    world.sortie("coder", 0, &format!("request {version} --to test"));
    world.sortie("oncall", 2, &format!("deny {version} --to test --reason \"{evil} no\"")).says("in one line");
    let head = world.git("coder", "rev-parse HEAD").stdout;
    until("the service's line", || {
        world.sortie("coder", 0, "logs web --on dev-1").text().contains("logged").then_some(())
    });
    for line in [
        "history",
        "status",
        "history --json",
        "logs web --on dev-1",
        &format!("trace {}", head.trim()),
        &format!("why {version} --in test"),
        "explain nonsense\u{1b}[2J",
        "deploy web\u{1b}[2J@1 --to dev",
    ] {
        let answer = typed(&world, "coder", line);
        let raw = answer.text().chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r'));
        assert!(!raw, "control characters\n{answer:?}");
    }
}

/// One id is one request, and two who act at once are told apart.
#[test]
fn the_same_request_is_answered_once_and_two_at_once_conflict() {
    let world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository(PROJECT);
    let build = world.push();
    world.sortie("coder", 0, &format!("number {build} 1.0.0 --request-id once"));
    world.sortie("coder", 6, &format!("number {build} 1.0.1 --request-id once")).says("REQUEST_ID_REUSED");
    let spawn = |person: &str| {
        let mut command = world.sortie_command(person);
        command.args(["deploy", &build, "--to", "dev", "--detach"]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut both = [spawn("coder"), spawn("oncall")];
    let mut exits = both.each_mut().map(|child| until("its end", || child.try_wait().unwrap()).code());
    exits.sort_unstable();
    assert_eq!(exits, [Some(0), Some(6)], "one is first, the other is told");
    world.sortie("coder", 0, "ledger verify");
}

/// The very same bytes again get the very same answer, also from a server that was killed meanwhile; other bytes under
/// the same id get none.
#[test]
fn the_same_bytes_get_the_same_answer() {
    let mut world = World::of_team(&[]);
    world.make_repository(PROJECT);
    let build: Digest = world.ask("coder", "push")["build"].as_str().unwrap().parse().unwrap();
    let pin: Digest = world.url_and_pin.split_once('#').unwrap().1.parse().unwrap();
    let key = fs::read_to_string(world.home("coder").join(".ssh/id_ed25519")).unwrap();
    let key = SecretKey::from_openssh(&key, None).unwrap();
    let client = Client::new(&world.url(), Some(pin)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let estate = runtime.block_on(client.hello()).unwrap().estate.unwrap();
    let number = |version: &str| {
        let header = Header {
            estate,
            request_id: RequestId::new("by-hand").unwrap(),
            submit_before: in_future(jiff::SignedDuration::from_mins(5)),
            on_behalf_of: None,
        };
        let act = Act::Number(Number { app: "web".parse().unwrap(), version: version.parse().unwrap() });
        let statement = Statement { subject_name: "web".into(), subject: build, header, act };
        let envelope = statement.sign(&[&key]).unwrap();
        Submission { envelope, attachments: BTreeMap::new(), texts: BTreeMap::new(), claim: None }
    };
    let submission = number("1.0.0");
    let first = runtime.block_on(client.submit(&submission)).unwrap();
    world.kill_server();
    world.start_server();
    let second = runtime.block_on(client.submit(&submission)).unwrap();
    assert_eq!((first.entry, first.time, first.events), (second.entry, second.time, second.events));
    assert_eq!((first.repeated, second.repeated), (false, true));
    match runtime.block_on(client.submit(&number("1.0.1"))) {
        Err(ClientError::Refused(problem)) => {
            assert_eq!((problem.code.as_str(), problem.exit), ("REQUEST_ID_REUSED", 6))
        }
        other => panic!("{other:?}"),
    }
}

/// Bodies that are too long, no JSON, or no statement are answered with a Problem, and never with a failure.
#[test]
fn malformed_bodies_get_problems() {
    let world = World::of_team(&[]);
    let pin: Digest = world.url_and_pin.split_once('#').unwrap().1.parse().unwrap();
    let client = Client::new(&world.url(), Some(pin)).unwrap();
    let deep = "[".repeat(100_000);
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("no JSON", b"hello".to_vec()),
        ("no text", vec![0xff, 0xfe, 0x00]),
        ("deep", deep.into_bytes()),
        ("another shape", b"{\"envelope\": 7}".to_vec()),
        (
            "unsigned",
            br#"{"envelope":{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[]}}"#.to_vec(),
        ),
        ("too long", vec![b' '; 17 << 20]),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (what, body) in bodies {
            for path in ["/v1/commands", "/v1/sessions"] {
                let request = client.request(reqwest::Method::POST, path);
                let request = request.header("content-type", "application/json").body(body.clone());
                // A server may close the connection on who sends too much; it must not answer as if it had failed.
                let Ok(response) = request.send().await else {
                    assert_eq!(what, "too long");
                    continue;
                };
                let status = response.status();
                let answer = response.bytes().await.unwrap();
                assert!(status.is_client_error(), "{what} to {path}: {status}");
                let problem: serde_json::Value = serde_json::from_slice(&answer)
                    .unwrap_or_else(|error| panic!("{what} to {path}: {status}, {error}: {answer:?}"));
                assert!(problem["code"].is_string() && problem["message"].is_string(), "{what} to {path}: {problem}");
            }
        }
    });
    world.sortie("coder", 0, "ledger verify");
}

/// R55: an organisation's own word for a command is taken and taught; the ledger holds the canonical word alone.
#[test]
fn r55_an_organisation_s_own_words_are_taken_and_not_recorded() {
    let world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository(PROJECT);
    let build = world.push();
    let words = |pairs: &str| format!("{ENVIRONMENTS}[words]\n{pairs}\n");
    world.sortie("coder", 2, &format!("golive {build} --to dev")).says("golive");
    for (pairs, mistake) in [
        ("withdraw = \"deploy\"", "'withdraw' is a word of Sortie's own"),
        ("golive = \"lanch\"", "'lanch', which 'golive' is to mean, is no command"),
        ("GoLive = \"deploy\"", "no pair of words in small letters"),
    ] {
        world.write_charter(TEAM, &words(pairs));
        world.sortie("owner", 2, "charter apply --yes").says(mistake);
    }
    world.amend(TEAM, &words("golive = \"deploy\"\nboxes = \"target list\""));
    world.sortie("coder", 0, "status");
    let done = world.sortie("coder", 0, &format!("golive {build} --to dev"));
    done.says("golive is deploy in Sortie's words").says("verify ✓");
    world.sortie("coder", 0, "boxes").says("dev-1");
    let history = world.sortie("coder", 0, "history web --json").stdout;
    assert!(history.contains("deployment-requested") && !history.contains("golive"), "{history}");
}
