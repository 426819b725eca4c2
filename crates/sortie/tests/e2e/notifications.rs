//! What happens is told to other people's systems, for certain, and in nobody's way.

use crate::world::{World, get, until};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
};

const SECRET: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const SECRET_HEX: &str = "3031323334353637383930313233343536373839303132333435363738393031";

/// One request that came in.
#[derive(Clone)]
struct Heard {
    headers: BTreeMap<String, String>,
    body: String,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// What OpenSSL makes of the message with the shared secret, as the specification of Standard Webhooks says.
    fn signature_by_openssl(&self) -> String {
        let signed = format!("{}.{}.{}", self.headers["webhook-id"], self.headers["webhook-timestamp"], self.body);
        let key = format!("hexkey:{SECRET_HEX}");
        let script = "openssl dgst -sha256 -mac HMAC -macopt \"$1\" -binary | openssl base64 -A";
        let mut openssl = Command::new("sh")
            .args(["-c", script, "sh", &key])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        openssl.stdin.take().unwrap().write_all(signed.as_bytes()).unwrap();
        let output = openssl.wait_with_output().unwrap();
        format!("v1,{}", String::from_utf8(output.stdout).unwrap().trim())
    }
}

/// A receiver that answers as it is told to, and remembers what came.
#[derive(Clone)]
struct Receiver {
    address: SocketAddr,
    answers: Arc<AtomicU16>,
    heard: Arc<Mutex<Vec<(u16, Heard)>>>,
}

impl Receiver {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            answers: Arc::new(AtomicU16::new(200)),
            heard: Arc::default(),
        };
        let ours = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut headers = BTreeMap::new();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    let Some((name, value)) = line.trim().split_once(':') else {
                        if line.trim().is_empty() { break } else { continue }
                    };
                    headers.insert(name.to_lowercase(), value.trim().to_string());
                }
                let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let status = ours.answers.load(Ordering::SeqCst);
                let heard = Heard { headers, body: String::from_utf8(body).unwrap() };
                ours.heard.lock().unwrap().push((status, heard));
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        receiver
    }

    fn answer_with(&self, status: u16) {
        self.answers.store(status, Ordering::SeqCst);
    }

    /// What was answered with `status`, oldest first.
    fn answered(&self, status: u16) -> Vec<Heard> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|(answered, _)| *answered == status).map(|(_, heard)| heard.clone()).collect()
    }
}

/// A receiver that is down, and a server that is killed meanwhile, cost no message; the next act does not wait for either.
#[test]
fn what_happens_is_told_though_the_receiver_and_the_server_were_down() {
    let mut world = World::of_team(&[("test-1", "test")]);
    world.make_repository(crate::world::PROJECT);
    let (audit, team) = (Receiver::new(), Receiver::new());
    let hooks = format!(
        "[hooks.audit]\nurl = \"http://{}/x\"\nsecret = \"whsec_{SECRET}\"\n\
         [hooks.team]\nurl = \"http://{}\"\nform = \"slack\"\non = [\"released\"]\naudiences = [\"prod\"]\n",
        audit.address, team.address
    );
    let path = world.server_data().join("notify.toml");
    fs::write(&path, "[hooks.audit]\nurl = \"http://example.com\"\n").unwrap();
    until("the mistake to be shown", || world.sortie("owner", 0, "status").text().contains("https://").then_some(()));
    fs::write(&path, hooks).unwrap();
    let metrics = || get(world.board(), "/metrics").unwrap();
    until("both hooks", || metrics().contains("failing_seconds{hook=\"team\"} 0").then_some(()));
    assert!(!world.sortie("owner", 0, "status").text().contains("notif"), "all is well");

    let trial = format!("notify test --data {}", world.server_data().display());
    world.sortie("owner", 0, &trial).says("audit").says("taken (200)");
    assert_eq!(audit.answered(200)[0].json()["kind"], "test");
    assert_eq!(team.answered(200)[0].json()["text"], "Sortie: a trial message. Nothing happened.");
    world.sortie("owner", 2, &format!("{trial} nobody")).says("audit, team");

    audit.answer_with(503);
    world.sortie("owner", 1, &trial).says("the receiver answered 503");
    let before = audit.answered(503).len();
    let version = world.push_and_number();
    world.sortie("coder", 0, &format!("release {version} --to test"));
    until("a try", || (audit.answered(503).len() > before).then_some(()));
    until("a note", || world.sortie("owner", 0, "status").text().contains("notifications to audit fail").then_some(()));
    world.kill_server();
    audit.answer_with(200);
    world.start_server();
    let told = |receiver: &Receiver, kind: &str| {
        let of_kind = |heard: &Heard| heard.json()["kind"] == kind;
        receiver.answered(200).into_iter().find(of_kind)
    };
    let requested = until("the request to be told", || told(&audit, "requested"));
    let released = until("the release to be told", || told(&audit, "released"));
    assert!(requested.json()["entry"].as_u64() <= released.json()["entry"].as_u64());
    assert_eq!(released.json()["audience"], "test");
    assert_eq!(format!("web@{}", released.json()["version"].as_str().unwrap()), version);
    assert!(released.json()["text"].as_str().unwrap().contains(&format!("{version} released to test")));
    assert_eq!(released.headers["webhook-signature"], released.signature_by_openssl());
    let tried = &audit.answered(503)[before];
    assert_eq!(tried.headers["webhook-id"], requested.headers["webhook-id"], "a repetition is one");

    world.await_machines(&["test-1"]);
    world.sortie("coder", 0, &format!("deploy {version} --to test"));
    let started = until("the start", || told(&audit, "started"));
    assert_eq!(started.json()["deployment"], 1);
    until("the end", || told(&audit, "settled"));
    world.sortie("coder", 0, &format!("request {version} --to prod"));
    world.sortie("tester", 0, &format!("deny {version} --to prod --reason \"too soon <now>\""));
    let denied = until("the denial", || told(&audit, "denied"));
    assert!(denied.json()["text"].as_str().unwrap().ends_with("too soon <now>"), "{}", denied.body);
    world.sortie("coder", 0, &format!("request {version} --to prod"));
    world.sortie("tester", 0, &format!("approve {version} --to prod --yes"));
    world.sortie("oncall", 0, &format!("approve {version} --to prod --yes"));
    until("the team to be told", || (team.answered(200).len() > 2).then_some(()));
    let line = team.answered(200).pop().unwrap();
    assert!(line.json()["text"].as_str().unwrap().contains(&format!("{version} released to prod")), "{}", line.body);
    assert_eq!(line.json().as_object().unwrap().len(), 1, "Slack takes a text and nothing else");
    assert_eq!(team.answered(200).len(), 3, "two trials, and what it wanted to hear");
}
