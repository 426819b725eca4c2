//! Requests to the server, by a stranger and by somebody who is logged in: the real router, without TLS and sockets.

use super::world;
use api::{
    routes,
    write::{Attachment, LoggedIn, Login, Submission},
};
use http::{Method, Request};
use jiff::{SignedDuration, Timestamp};
use server::start::{AWAY_AFTER_SECONDS, KeyChange, Options, Running, start};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use tokio::runtime::Runtime;
use trust::{
    Digest,
    dsse::Envelope,
    key::Signer,
    statement::{Act, Administration, AdministrationAct, Header, RequestId, Session, Statement},
};

/// How long an answer may take to begin; whatever waits for something to happen takes longer, and is let be.
const PATIENCE: Duration = Duration::from_millis(300);
/// In the place of the token of somebody who is logged in.
const TOKEN: &str = "TOKEN";

thread_local!(static SCENE: Scene = Scene::set());

/// A server with an estate, and somebody who is logged in.
struct Scene {
    runtime: Runtime,
    running: Running,
    token: String,
    folder: tempfile::TempDir,
}

impl Scene {
    fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let away_after = std::time::Duration::from_secs(AWAY_AFTER_SECONDS);
        let data = folder.path().join("data");
        let options = Options { data, listen, board: None, keys: KeyChange::Keep, away_after };
        let running = runtime.block_on(start(options)).unwrap();
        let root = world::signed_root(&world::root_signed(1), &[world::OWNER]);
        let estate = Digest::of(&root);
        let post = |path: &str, body: Vec<u8>| {
            let request = Request::post(path).header("content-type", "application/json").body(body).unwrap();
            let answer = runtime.block_on(running.answer(request));
            assert_eq!(answer.status(), 200, "{path}: {}", String::from_utf8_lossy(answer.body()));
            answer.into_body()
        };
        post(routes::COMMANDS, serde_json::to_vec(&founding(estate, root, running.claim.clone())).unwrap());
        let session = Act::Session(Session { server: running.pin });
        let login = Login { envelope: signed(estate, session, world::CODER) };
        let answer = post(routes::SESSIONS, serde_json::to_vec(&login).unwrap());
        let token = serde_json::from_slice::<LoggedIn>(&answer).unwrap().token;
        Scene { runtime, running, token, folder }
    }
}

/// The data folder of the scene's server.
pub fn data() -> PathBuf {
    SCENE.with(|scene| scene.folder.path().join("data"))
}

fn signed(estate: Digest, act: Act, seed: u8) -> Envelope {
    let header = Header {
        estate,
        request_id: RequestId::new("1").unwrap(),
        submit_before: Timestamp::now() + SignedDuration::from_mins(1),
        on_behalf_of: None,
    };
    let key = world::key(seed);
    let signers: [&dyn Signer; 1] = [&key];
    Statement { subject_name: "estate".into(), subject: estate, header, act }.sign(&signers).unwrap()
}

fn founding(estate: Digest, root: Vec<u8>, claim: Option<String>) -> Submission {
    let charter = world::charter_text(world::PROD).into_bytes();
    let targets = world::targets_bytes(&charter, 1, &[world::OWNER]);
    let act = AdministrationAct::ApplyCharter {
        roots: vec![Digest::of(&root)],
        targets: Digest::of(&targets),
        charter: Digest::of(&charter),
    };
    let envelope = signed(estate, Act::Administration(Administration { act }), world::OWNER);
    let attachments = [root, targets, charter].map(|bytes| (Digest::of(&bytes), Attachment(bytes))).into();
    Submission { envelope, attachments, texts: BTreeMap::new(), claim }
}

/// One request: a line with method and path, lines of headers, an empty line, and the body. Whatever is asked, the server
/// answers, says that it is at fault for nothing, and goes on.
pub fn request(bytes: &[u8]) {
    SCENE.with(|scene| {
        let Some(request) = request_in(bytes, &scene.token) else { return };
        let asked = format!("{} {}", request.method(), request.uri());
        let is_head = request.method() == Method::HEAD;
        let answer = scene.running.answer(request);
        let answered = scene.runtime.block_on(async { tokio::time::timeout(PATIENCE, answer).await });
        let Ok(answer) = answered else { return };
        let (status, said) = (answer.status().as_u16(), String::from_utf8_lossy(answer.body()));
        // 503 is what /readyz and a server that is stopping say, and 507 a full disk.
        assert!(status < 500 || matches!(status, 503 | 507), "{asked}: {status} {said}");
        assert!(status < 400 || status == 404 || is_head || !said.is_empty(), "{asked}: {status} without a word");
    });
}

/// The request that the bytes stand for; nothing where no HTTP could carry it.
fn request_in(bytes: &[u8], token: &str) -> Option<Request<Vec<u8>>> {
    let (head, body) = match bytes.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &[][..]),
    };
    let head = String::from_utf8_lossy(head).replace(TOKEN, token);
    let mut lines = head.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let request = Request::builder().method(method).uri(path);
    let request = headers.fold(request, |request, (name, value)| request.header(name.trim(), value.trim()));
    request.body(body.to_vec()).ok()
}

pub fn request_seeds() -> Vec<Vec<u8>> {
    let digest = Digest::of(b"x");
    let paths = [
        routes::HELLO.to_owned(),
        routes::ESTATE.to_owned(),
        routes::WHOAMI.to_owned(),
        routes::TOKENS.to_owned(),
        routes::PEOPLE.to_owned(),
        format!("{}?app=web&environment=prod&at=2026-11-22T10:00:00Z", routes::STATUS),
        format!("{}?app=web&version=1.0.0&audience=prod", routes::WHY),
        format!("{}?app=web&since=1&limit=5", routes::HISTORY),
        format!("{}?app=web&keep=5&days=30", routes::PRUNABLE),
        routes::path(routes::TRACE, &["3fa9c1"]),
        routes::path(routes::APP, &["web"]),
        routes::path(routes::DRAFT, &["web", "nightly"]),
        format!("{}?app=web&version=1.0.0&audience=prod", routes::DOSSIER),
        routes::path(routes::DEPLOYMENT, &["1"]),
        routes::TARGETS.to_owned(),
        format!("{}?all=true", routes::FREEZES),
        routes::path(routes::CONFIG, &["web", "prod"]),
        format!("{}?scan=true", routes::ESCAPES),
        format!("{}?app=web&target=prod-1&process=web&lines=5&follow=false", routes::LOGS),
        routes::CHECKPOINT.to_owned(),
        routes::LOST.to_owned(),
        format!("{}?from=1&count=3", routes::ENTRIES),
        format!("{}?from=1&to=2", routes::CONSISTENCY),
        routes::path(routes::OBJECT, &[&digest.to_string()]),
        format!("{}?channel=beta", routes::path(routes::OBJECT, &[&digest.to_string()])),
        routes::path(routes::FEED, &["beta", "web"]),
        routes::path(routes::OFFER, &["beta", "web", "1.0.0"]),
        routes::path(routes::OFFER_FILES, &["beta", "web", "1.0.0"]),
        format!("{}/metadata/timestamp.json", routes::REPOSITORY),
        format!("{}/targets/..%2f..%2fkeys", routes::REPOSITORY),
        format!("{}?known=1&wait=0", routes::WITNESS_CANDIDATE),
        format!("{}?generation=1&wait=0&charter=1", routes::AGENT_POLL),
        routes::path(routes::AGENT_DOSSIER, &["1", "web"]),
        routes::BOARD.to_owned(),
        routes::METRICS.to_owned(),
        routes::READYZ.to_owned(),
        routes::OPENAPI.to_owned(),
    ];
    let gets = paths.iter().map(|path| format!("GET {path}\nauthorization: Bearer {TOKEN}\naccept-encoding: gzip\n\n"));
    let body = |method: &str, path: &str, body: &str| {
        format!("{method} {path}\nauthorization: Bearer {TOKEN}\ncontent-type: application/json\n\n{body}")
    };
    let envelope = serde_json::to_string(&world::withdrawal(1, world::TESTER)).unwrap_or_default();
    let submission = format!("{{\"envelope\":{envelope},\"attachments\":{{}},\"texts\":{{}}}}");
    let posts = [
        body("POST", routes::COMMANDS, &submission),
        body("POST", routes::SESSIONS, &format!("{{\"envelope\":{envelope}}}")),
        body("POST", routes::OBJECTS_MISSING, &format!("[\"{digest}\"]")),
        body("POST", routes::PACKS_FETCH, &format!("[\"{digest}\"]")),
        body("PUT", &routes::path(routes::OBJECT, &[&digest.to_string()]), "x"),
        body("POST", routes::WITNESS_WITHDRAWALS, &submission),
        body("POST", routes::AGENT_MEMORY, "{}"),
        body("POST", routes::AGENT_PROGRESS, "{}"),
        body("POST", &routes::path(routes::AGENT_ERRAND, &["7"]), "what was asked for"),
    ];
    gets.chain(posts).map(String::into_bytes).collect()
}
