//! The server as the witness of its repository sees it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use api::{
    client::{Client, ClientError, fresh_request_id, in_future},
    read::{RepositoryStatus, Status},
    routes,
    witness::Word,
    write::{Attachment, Submission},
};
use jiff::SignedDuration;
use server::start::{AWAY_AFTER_SECONDS, Options, start};
use std::collections::BTreeMap;
use trust::{
    Digest,
    charter::{CHARTER_TARGET, Charter},
    key::{PublicKey, SecretKey, Signer},
    statement::{Act, Administration, AdministrationAct, Header, Statement},
    tuf::{
        MetadataSignature, Root, RootBuilder, TargetFile, Targets, TimestampMetadata,
        repository::{delegations, with_signature},
        sign_metadata,
    },
};

const OWNER: u8 = 9;
const WITNESS: u8 = 7;
const CHARTER: &str =
    "charter = \"acme\"\n[environments]\nprod = { class = \"live\", approve = \"owner\", deploy = \"owner\" }\n";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// The first charter of an estate whose root names a witness.
fn first_charter(online: PublicKey, claim: Option<String>) -> (Root, Submission) {
    let expires = in_future(SignedDuration::from_hours(24 * 90));
    let builder = RootBuilder::first(expires).owner(&"owner".parse().unwrap(), key(OWNER).public()).online(online);
    let signed = builder.witness(Some(key(WITNESS).public())).build().unwrap();
    let bytes = sign_metadata(&signed, &[&key(OWNER)]).unwrap();
    let root = Root::bootstrap(&bytes).unwrap();
    let file = TargetFile { length_bytes: CHARTER.len() as u64, digest: Digest::of(CHARTER.as_bytes()) };
    let files = BTreeMap::from([(CHARTER_TARGET.to_string(), file)]);
    let delegated = delegations(&Charter::from_bytes(CHARTER.as_bytes()).unwrap(), &root);
    let targets = Targets::unsigned(1, expires, &files, Some(&delegated)).unwrap();
    let targets = sign_metadata(&targets, &[&key(OWNER)]).unwrap();
    let documents = [bytes, targets, CHARTER.as_bytes().to_vec()];
    let [roots, targets, charter] = documents.each_ref().map(|document| Digest::of(document));
    let act = AdministrationAct::ApplyCharter { roots: vec![roots], targets, charter };
    let header = Header {
        estate: root.estate(),
        request_id: fresh_request_id().unwrap(),
        submit_before: in_future(SignedDuration::from_secs(60)),
        on_behalf_of: None,
    };
    let act = Act::Administration(Administration { act });
    let statement = Statement { subject_name: "estate".into(), subject: root.estate(), header, act };
    let attachments = documents.map(|document| (Digest::of(&document), Attachment(document))).into();
    let envelope = statement.sign(&[&key(OWNER)]).unwrap();
    (root, Submission { envelope, attachments, texts: BTreeMap::new(), claim })
}

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    match answer {
        Err(ClientError::Refused(problem)) => problem.code,
        other => panic!("a refusal was expected, and this came: {other:?}"),
    }
}

fn options(folder: &std::path::Path, listen: std::net::SocketAddr) -> Options {
    let away_after = std::time::Duration::from_secs(AWAY_AFTER_SECONDS);
    Options { data: folder.join("data"), listen, board: None, keys: Default::default(), away_after }
}

/// The witness's key logs in and gets what waits; nobody else does, and it gets nothing else. Nothing is published without
/// a signature that counts, and with one at once.
#[tokio::test]
async fn what_waits_for_the_witness_is_published_with_its_signature_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let options = options(folder.path(), listen);
    let running = start(options).await.unwrap();
    let client = || Client::new(&running.url, Some(running.pin)).unwrap();
    let hello = client().hello().await.unwrap();
    let online = PublicKey::from_openssh(&hello.ledger_key).unwrap();
    let (root, charter) = first_charter(online, running.claim.clone());
    client().submit(&charter).await.unwrap();

    let (owner, witness) = (client(), client());
    owner.log_in(root.estate(), &key(OWNER)).await.unwrap();
    // Who the witness is the publisher says, which follows a moment later.
    while witness.log_in(root.estate(), &key(WITNESS)).await.is_err() {
        tokio::task::yield_now().await;
    }
    let wait = [("wait", "30")];
    let shown = witness.file(routes::WITNESS_CANDIDATE, &wait, 1 << 20).await.unwrap().unwrap();
    assert!(TimestampMetadata::verify(&shown, &root).is_err(), "the server's signature alone suffices");
    assert_eq!(code(owner.file(routes::WITNESS_CANDIDATE, &wait, 1 << 20).await), "WITNESS_ONLY");
    assert_eq!(code(client().file(routes::WITNESS_CANDIDATE, &wait, 1 << 20).await), "LOGIN_NEEDED");
    assert_eq!(code(witness.get::<Status>(routes::STATUS, &[]).await), "NOT_FOR_WITNESS");
    let known = Digest::of(&shown).to_string();
    let again = witness.file(routes::WITNESS_CANDIDATE, &[("wait", "0"), ("known", &known)], 1 << 20).await.unwrap();
    assert_eq!(again, None, "it knows that one");

    let document: serde_json::Value = serde_json::from_slice(&shown).unwrap();
    let version = document["signed"]["version"].as_u64().unwrap();
    let signed_by = |seed: u8| -> MetadataSignature {
        let bytes = sign_metadata(&document["signed"], &[&key(seed)]).unwrap();
        let mut document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        serde_json::from_value(document["signatures"][0].take()).unwrap()
    };
    let say = |version, seed| Word::Signed { version, signature: signed_by(seed) };
    assert_eq!(code(owner.tell(routes::WITNESS_WORD, &say(version, WITNESS)).await), "WITNESS_ONLY");
    assert_eq!(code(witness.tell(routes::WITNESS_WORD, &say(version, OWNER)).await), "SIGNATURE_WRONG");
    assert_eq!(code(witness.tell(routes::WITNESS_WORD, &say(version + 1, WITNESS)).await), "NOT_WAITING");
    let refusal = Word::Refused { why: "it hides one\u{1b}[2J".into() };
    witness.tell(routes::WITNESS_WORD, &refusal).await.unwrap();
    let timestamp = format!("{}/metadata/timestamp.json", routes::REPOSITORY);
    assert_eq!(witness.file(&timestamp, &[], 1 << 20).await.unwrap(), None, "it is published before it counts");
    let status: RepositoryStatus = owner.get(routes::REPOSITORY, &[]).await.unwrap();
    let told = status.witness.unwrap();
    assert!(told.refuses.unwrap().starts_with("it hides one") && told.waiting_since.is_some());
    assert_eq!((status.version, status.signed), (0, None));

    witness.tell(routes::WITNESS_WORD, &say(version, WITNESS)).await.unwrap();
    let published = witness.file(&timestamp, &[], 1 << 20).await.unwrap().unwrap();
    assert_eq!(published, with_signature(&shown, signed_by(WITNESS)).unwrap());
    assert!(TimestampMetadata::verify(&published, &root).is_ok());
    let status: RepositoryStatus = owner.get(routes::REPOSITORY, &[]).await.unwrap();
    let told = status.witness.unwrap();
    assert_eq!((told.refuses, told.waiting_since, status.version), (None, None, version));
    assert_eq!(code(witness.tell(routes::WITNESS_WORD, &say(version, WITNESS)).await), "NOT_WAITING");
    running.shutdown().await;
}

/// Nobody logs in to a witness, so everybody is bounded there: in how often they ask, and in how long a request may take.
/// Attack: flood before a login.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_a_witness_is_bounded_as_a_stranger_is_by_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let options = options(folder.path(), listen);
    let running = start(options).await.unwrap();
    let client = Client::new(&running.url, Some(running.pin)).unwrap();
    let online = PublicKey::from_openssh(&client.hello().await.unwrap().ledger_key).unwrap();
    client.submit(&first_charter(online, running.claim.clone()).1).await.unwrap();
    let server = Some((running.url.clone(), running.pin));
    let options = server::witness::Options { data: folder.path().join("witness"), listen, server };
    let witness = server::witness::run(options).await.unwrap();
    let stranger = Client::new(&witness.url, Some(witness.pin)).unwrap();

    // A request whose body never ends is not waited for.
    let endless = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let endless = reqwest::Body::wrap_stream(endless);
    let request = stranger.request(reqwest::Method::POST, routes::WITNESS).header("content-type", "application/json");
    let answer = request.body(endless).send().await.unwrap();
    assert_eq!(answer.status(), 408);
    assert!(answer.text().await.unwrap().contains("TOO_SLOW"));

    let mut refused = None;
    for _ in 0..5000 {
        let answer = stranger.request(reqwest::Method::GET, routes::WITNESS).send().await.unwrap();
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 200);
    }
    let refused = refused.expect("a flood that is never refused");
    assert_eq!(refused.headers()["retry-after"], "1");
    witness.shutdown().await;
    running.shutdown().await;
}
