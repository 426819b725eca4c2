//! One entry for every parser of bytes that somebody else may have written. Each asserts what must hold of whatever is
//! accepted: it never panics, it reads back the same, it keeps within its bounds.
//!
//! Those that need a scene of their own stand in files beside this one.
//!
//! `cargo xtask fuzz` feeds them with cargo-fuzz; an ordinary test (`crates/sortie/tests/parsers.rs`) runs the same
//! entries over the seeds and over mutations of them, so that every run of the tests covers them a little.

pub mod answers;
pub mod backup;
pub mod carried;
pub mod repository;
pub mod requests;
pub mod tokens;

use std::{collections::BTreeMap, fs, io::Read};
use trust::{
    Digest, Version,
    authority::{Documents, VerifiedDocuments},
    charter::Charter,
    config::ConfigDocument,
    dsse::Envelope,
    json,
    key::{PublicKey, SecretKey, Signer},
    log::{verify_consistency, verify_inclusion},
    manifest::{Entry, Manifest, check_path},
    note::{Checkpoint, open_note, sign_checkpoint, verify_checkpoint},
    quorum::Rule,
    statement::Statement,
    tuf::{Root, Targets, sign_metadata},
};

#[path = "../../crates/trust/tests/attacks/world.rs"]
#[cfg_attr(test, expect(dead_code, reason = "the attacks need more of the scene than the parsers do"))]
pub mod world;

/// A parser: its name, its entry, and bytes to begin with.
pub struct Parser {
    /// The name of its target.
    pub name: &'static str,
    /// Feeds it.
    pub feed: fn(&[u8]),
    /// What it accepts, and what it nearly accepts.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Whether one input takes long, so that the tests feed it a few only.
    pub is_slow: bool,
}

const fn quick(name: &'static str, feed: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Parser {
    Parser { name, feed, seeds, is_slow: false }
}

const fn slow(name: &'static str, feed: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Parser {
    Parser { name, feed, seeds, is_slow: true }
}

/// All of them.
pub const PARSERS: &[Parser] = &[
    quick("root", root, root_seeds),
    quick("targets", targets, targets_seeds),
    quick("documents", documents, documents_seeds),
    quick("envelope", envelope, envelope_seeds),
    quick("statement", statement, statement_seeds),
    quick("dossier", dossier, dossier_seeds),
    quick("charter", charter, charter_seeds),
    quick("manifest", manifest, manifest_seeds),
    quick("config", config, config_seeds),
    quick("note", note, note_seeds),
    quick("proof", proof, proof_seeds),
    quick("words", words, words_seeds),
    quick("key", key, key_seeds),
    quick("entry", entry, entry_seeds),
    quick("submission", submission, submission_seeds),
    quick("pack", pack, pack_seeds),
    quick("archive", archive, archive_seeds),
    quick("project", project, project_seeds),
    quick("invitation", invitation, invitation_seeds),
    quick("journal", journal, journal_seeds),
    quick("timestamp", repository::timestamp, repository::timestamp_seeds),
    quick("metadata", repository::metadata, repository::metadata_seeds),
    quick("permits", repository::permits, repository::permits_seeds),
    quick("withdrawals", repository::withdrawals, repository::withdrawals_seeds),
    quick("index", carried::index, carried::index_seeds),
    slow("bundle", carried::bundle, carried::bundle_seeds),
    quick("receipt", carried::receipt, carried::receipt_seeds),
    quick("release", carried::release, carried::release_seeds),
    quick("token", tokens::token_of_a_job, tokens::token_seeds),
    quick("answer", answers::answer, answers::answer_seeds),
    quick("events", answers::events, answers::events_seeds),
    quick("log_line", answers::log_line, answers::log_line_seeds),
    slow("request", requests::request, requests::request_seeds),
    slow("backup", backup::backup, backup::backup_seeds),
];

fn root_one() -> Vec<u8> {
    world::signed_root(&world::root_signed(1), &[world::OWNER])
}

/// TUF root metadata: as a file, and as content that owners were talked into signing.
pub fn root(bytes: &[u8]) {
    let judged = |file: &[u8]| {
        let Ok(root) = Root::bootstrap(file) else { return };
        assert_eq!((root.version(), root.estate()), (1, Digest::of(file)));
        assert!(!root.owners().is_empty() && !root.root_holders().is_empty());
        assert_eq!(Root::pinned(file, &root.estate()).ok().as_ref(), Some(&root));
        assert!(root.next(file).is_err(), "a root is not its own successor");
    };
    judged(bytes);
    if let Ok(trusted) = Root::bootstrap(&root_one())
        && let Ok(next) = trusted.next(bytes)
    {
        assert_eq!((next.version(), next.estate()), (2, trusted.estate()));
    }
    let owners = [world::key(world::OWNER), world::key(world::SECOND_OWNER)];
    let Ok(signed) = json::strict_value(bytes) else { return };
    if let Ok(file) = sign_metadata(&signed, &[&owners[0], &owners[1]]) {
        judged(&file);
    }
}

fn root_seeds() -> Vec<Vec<u8>> {
    vec![root_one(), world::root_signed(1).into_bytes(), world::root_signed(2).into_bytes()]
}

/// TUF targets metadata, likewise.
pub fn targets(bytes: &[u8]) {
    let Ok(root) = Root::bootstrap(&root_one()) else { return };
    let judged = |file: &[u8]| {
        let Ok(targets) = Targets::verify(file, &root, 1) else { return };
        assert!(targets.version() >= 1);
        assert_eq!(targets.digest(), Digest::of(file));
        assert!(Targets::verify(file, &root, targets.version()).is_ok());
        assert!(targets.version() == u64::MAX || Targets::verify(file, &root, targets.version() + 1).is_err());
    };
    judged(bytes);
    let Ok(signed) = json::strict_value(bytes) else { return };
    if let Ok(file) = sign_metadata(&signed, &[&world::key(world::OWNER)]) {
        judged(&file);
    }
}

fn targets_seeds() -> Vec<Vec<u8>> {
    let file = world::targets_bytes(b"charter", 1, &[world::OWNER]);
    let content = json::strict_value(&file).ok().map(|value| value["signed"].to_string().into_bytes());
    [Some(file), content].into_iter().flatten().collect()
}

/// The documents of an estate as a server answers them.
pub fn documents(bytes: &[u8]) {
    let Ok(estate) = serde_json::from_slice::<api::read::Estate>(bytes) else { return };
    let digest = Digest::of(&root_one());
    if let Ok(verified) = agent::documents::verify(&digest, &estate, 0) {
        assert_eq!(verified.root.estate(), digest);
        let charter = estate.charter.as_bytes();
        let roots: Vec<Vec<u8>> = estate.roots.iter().map(|root| root.0.clone()).collect();
        let again = Documents { roots: &roots, targets: &estate.targets, charter };
        assert!(VerifiedDocuments::verify(&digest, &again, verified.targets.version()).is_ok());
        // What the owners of this scene signed, and nothing else.
        assert_eq!(charter, world::charter_text(world::PROD).as_bytes());
    }
}

fn documents_seeds() -> Vec<Vec<u8>> {
    let charter = world::charter_text(world::PROD);
    let estate = api::read::Estate {
        roots: vec![api::write::Attachment(root_one())],
        targets: world::targets_bytes(charter.as_bytes(), 1, &[world::OWNER]),
        charter,
        suspensions: vec![world::withdrawal(1, world::OWNER)],
    };
    serde_json::to_vec(&estate).into_iter().collect()
}

/// A DSSE envelope.
pub fn envelope(bytes: &[u8]) {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes) else { return };
    let again = serde_json::to_vec(&envelope).ok().and_then(|bytes| serde_json::from_slice::<Envelope>(&bytes).ok());
    assert_eq!(again.as_ref(), Some(&envelope));
    let directory = world::policy().directory;
    let signers = envelope.signers(|id| directory.key(id));
    // Nobody can sign here, so a signature is one of those in the seeds, over the very bytes it was made for.
    let genuine = dossier_of_seeds();
    assert!(signers.is_empty() || genuine.iter().any(|known| known.payload == envelope.payload));
    if let Ok(statement) = Statement::read(&envelope) {
        reads_back(&statement);
    }
}

fn dossier_of_seeds() -> Vec<Envelope> {
    let whole = world::whole();
    let several = [whole.push, whole.number, whole.request, whole.order];
    let withdrawn = world::withdrawal(1, world::TESTER);
    several.into_iter().flatten().chain(whole.approvals).chain([withdrawn]).collect()
}

fn envelope_seeds() -> Vec<Vec<u8>> {
    dossier_of_seeds().iter().filter_map(|envelope| serde_json::to_vec(envelope).ok()).collect()
}

fn reads_back(statement: &Statement) {
    let Ok(payload) = statement.to_payload() else { panic!("what was read cannot be written") };
    assert_eq!(Statement::from_payload(&payload).ok().as_ref(), Some(statement));
}

/// A statement's payload.
pub fn statement(bytes: &[u8]) {
    if let Ok(statement) = Statement::from_payload(bytes) {
        assert!(bytes.len() <= trust::statement::MAX_STATEMENT_BYTES);
        reads_back(&statement);
    }
}

fn statement_seeds() -> Vec<Vec<u8>> {
    dossier_of_seeds().into_iter().map(|envelope| envelope.payload).collect()
}

/// Everything behind an assignment, as a server hands it over: whatever is let through is what people signed.
pub fn dossier(bytes: &[u8]) {
    let Ok(dossier) = serde_json::from_slice::<trust::authority::Dossier>(bytes) else { return };
    let attempt = world::Attempt::new(dossier);
    for build in [world::build(), Digest::of(b"another build")] {
        if let Ok(authority) = attempt.run_of(build) {
            let genuine = world::whole();
            assert_eq!(authority.build(), Some(world::build()));
            let payload = |envelope: &Option<Envelope>| envelope.as_ref().map(|envelope| envelope.payload.clone());
            assert_eq!(payload(&attempt.dossier.order), payload(&genuine.order));
            assert_eq!(payload(&attempt.dossier.request), payload(&genuine.request));
            assert!(attempt.dossier.approvals.len() >= 2);
        }
    }
}

fn dossier_seeds() -> Vec<Vec<u8>> {
    let whole = world::whole();
    let withdrawn =
        trust::authority::Dossier { withdrawals: vec![world::withdrawal(1, world::TESTER)], ..whole.clone() };
    [whole, withdrawn].iter().filter_map(|dossier| serde_json::to_vec(dossier).ok()).collect()
}

/// A charter's text.
pub fn charter(bytes: &[u8]) {
    let Ok(charter) = Charter::from_bytes(bytes) else { return };
    assert!(bytes.len() <= trust::charter::MAX_CHARTER_BYTES);
    let Ok(directory) = charter.directory(&[], &Default::default()) else { panic!("a valid charter has a directory") };
    for name in charter.audience_names() {
        let Some(audience) = charter.audience(name) else { panic!("{name} is listed and not there") };
        if let Some(rule) = audience.approve {
            assert!(!rule.judge([], &directory).is_met(), "nobody approves, and {name} is content");
        }
    }
    let _whoever = trust::authority::TrustedPolicy::new(world::estate(), 1, charter, &[], &[]);
}

fn charter_seeds() -> Vec<Vec<u8>> {
    let more = r#"class = "live", approve = "2 qa and ops or owner", deploy = "ops", after = "test", permit_days = 7,
        evidence = { scan = "ci" }, soak_minutes = 5, at_once = 0, on_failure = "stop", approve_own = true"#;
    let channel = "[channels]\nbeta = { approve = \"qa\", public = true, after = \"test\" }\n[applications]\nweb = { push = \"ci\", numbers = \"calver\" }\n";
    let prod = world::charter_text(world::PROD);
    vec![
        prod.clone().into_bytes(),
        world::charter_text(&more.replace('\n', " ")).into_bytes(),
        format!("{prod}{channel}").into_bytes(),
    ]
}

/// A manifest.
pub fn manifest(bytes: &[u8]) {
    let Ok(manifest) = Manifest::from_bytes(bytes) else { return };
    assert!(bytes.len() <= trust::manifest::MAX_MANIFEST_BYTES);
    let Ok(written) = manifest.to_bytes() else { panic!("what was read cannot be written") };
    assert_eq!(Manifest::from_bytes(&written).ok().as_ref(), Some(&manifest));
    for entry in &manifest.files {
        assert!(check_path(entry.path()).is_ok());
        assert!(!entry.path().split('/').any(|part| part == ".."), "{}", entry.path());
        if let Entry::Link { target, .. } = entry {
            assert!(!target.starts_with('/'));
        }
    }
    let _any_size = (manifest.total_size_bytes(), manifest.driver());
}

fn manifest_seeds() -> Vec<Vec<u8>> {
    let mut manifest = world::manifest();
    let plain = manifest.to_bytes().ok();
    manifest.files = vec![
        Entry::File { path: "bin/web".into(), executable: true, size: 3, digest: Digest::of(b"web") },
        Entry::Link { path: "web".into(), target: "bin/web".into() },
    ];
    manifest.run.data = vec!["uploads".into()];
    manifest.run.processes.insert(
        "web".into(),
        trust::manifest::Process {
            run: vec!["./web".into(), "--port".into(), "$PORT".into()],
            copies: 2,
            port: None,
            health: Some(trust::manifest::Health {
                check: trust::manifest::HealthCheck::Http("/healthz".into()),
                within_seconds: 5,
                consecutive: 2,
                every_seconds: Some(1),
            }),
            stop_signal: trust::manifest::StopSignal::Term,
            stop_seconds: 5,
            socket: None,
        },
    );
    [plain, manifest.to_bytes().ok()].into_iter().flatten().collect()
}

/// A config document.
pub fn config(bytes: &[u8]) {
    let Ok(document) = ConfigDocument::from_bytes(bytes) else { return };
    let Ok(written) = document.to_bytes() else { panic!("what was read cannot be written") };
    assert_eq!(ConfigDocument::from_bytes(&written).ok().as_ref(), Some(&document));
    let _fits = trust::config::check_keys(&world::manifest().run, &document.keys());
}

fn config_seeds() -> Vec<Vec<u8>> {
    vec![
        br#"{"app":"web","environment":"prod","salt":"00","values":{"LEVEL":{"plain":"x"},"KEY":{"secret":"age"}}}"#
            .into(),
    ]
}

const ORIGIN: &str = "ledger.example/acme";

/// A signed note and the checkpoint in it.
pub fn note(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(Checkpoint::parse(&checkpoint.to_text()).ok(), Some(checkpoint));
    }
    let key = world::key(world::SERVER).public();
    if let Ok(inner) = open_note(text, ORIGIN, &key) {
        assert!(text.starts_with(inner) && inner.ends_with('\n'));
        assert_eq!(verify_checkpoint(text, ORIGIN, &key).ok(), Checkpoint::parse(inner).ok());
    }
}

fn note_seeds() -> Vec<Vec<u8>> {
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size: 3, root: Digest::of(b"root") };
    let note = sign_checkpoint(&checkpoint, ORIGIN, &world::key(world::SERVER));
    [note.ok(), Some(checkpoint.to_text())].into_iter().flatten().map(String::into_bytes).collect()
}

/// Proofs of the log: three numbers and some hashes. No proof shows a leaf in a tree that does not hold it.
pub fn proof(bytes: &[u8]) {
    let mut rest = bytes;
    let mut number = || {
        let mut eight = [0; 8];
        rest.read_exact(&mut eight).ok().map(|()| u64::from_le_bytes(eight))
    };
    let (Some(index), Some(size), Some(older)) = (number(), number(), number()) else { return };
    let hashes: Vec<Digest> =
        rest.chunks_exact(32).filter_map(|hash| hash.try_into().ok()).map(Digest::from_bytes).collect();
    let (leaf, root) = (trust::log::leaf_hash(b"never appended"), Digest::of(b"a root that is no hash of a node"));
    assert!(verify_inclusion(&leaf, index, size, &hashes, &root).is_err());
    let same = verify_consistency(older, size, &leaf, &root, &hashes);
    assert!(same.is_err(), "a proof between roots that nothing leads to");
    let _either_way = verify_consistency(size, older, &root, &leaf, &hashes);
}

fn proof_seeds() -> Vec<Vec<u8>> {
    let seed = |index: u64, size: u64, older: u64, hashes: usize| {
        let mut bytes: Vec<u8> = [index, size, older].iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(std::iter::repeat_n(7, 32 * hashes));
        bytes
    };
    vec![seed(0, 1, 1, 0), seed(3, 7, 5, 3), seed(u64::MAX - 1, u64::MAX, 1 << 63, 64)]
}

/// The words of rules, versions, names and numbers.
pub fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(rule) = text.parse::<Rule>() {
        assert_eq!(rule.to_string().parse::<Rule>().ok(), Some(rule.clone()));
        assert!(!rule.judge([], &world::policy().directory).is_met());
    }
    if let Ok(version) = text.parse::<Version>() {
        assert_eq!(version.to_string().parse::<Version>().ok(), Some(version));
    }
    if let Ok(digest) = Digest::from_hex(text) {
        assert_eq!(digest.hex(), text);
    }
    if let Ok(name) = trust::AppName::new(text) {
        assert!(name.as_str() == text && check_path(text).is_ok());
    }
    let shown = trust::names::printable(text);
    assert!(!shown.chars().any(char::is_control) && trust::names::printable(&shown) == shown);
}

fn words_seeds() -> Vec<Vec<u8>> {
    ["qa and 2 ops or owner", "1.4.0-rc.1+build", "2026.11.1", "web-2", "\u{1b}[31mred\u{202e}"].map(Into::into).into()
}

/// Lines of keys, public and secret.
pub fn key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = PublicKey::from_openssh(text) {
        let again = PublicKey::from_openssh(&key.to_openssh());
        assert_eq!(again.ok().map(|again| again.id()), Some(key.id()));
    }
    let _no_panic = SecretKey::from_openssh(text, None);
}

fn key_seeds() -> Vec<Vec<u8>> {
    let key = world::key(world::OWNER);
    let secret = key.to_openssh("me").unwrap_or_default();
    vec![key.public().to_openssh().into_bytes(), secret.into_bytes()]
}

/// An entry of the ledger, as an auditor reads it. Folding what it says cannot fail.
pub fn entry(bytes: &[u8]) {
    let Ok(entry) = serde_json::from_slice::<domain::entry::Entry>(bytes) else { return };
    let Ok(written) = serde_json::to_vec(&entry) else { panic!("what was read cannot be written") };
    assert_eq!(serde_json::from_slice::<domain::entry::Entry>(&written).ok().as_ref(), Some(&entry));
    let mut state = domain::state::State::default();
    for event in &entry.events {
        domain::state::apply(&mut state, event);
    }
}

fn entry_seeds() -> Vec<Vec<u8>> {
    let charter = world::charter_text(world::PROD).replace('\n', "\\n").replace('"', "\\\"");
    let digest = Digest::of(b"x");
    let events = [
        format!(
            r#"{{"event":"charter-applied","estate":"{digest}","root_version":1,"owners":[],"version":1,"charter":"{charter}","roots":["{digest}"],"targets":"{digest}"}}"#
        ),
        format!(r#"{{"event":"build-numbered","app":"web","build":"{digest}","version":"1.0.0"}}"#),
        format!(
            r#"{{"event":"permission-withdrawn","app":"web","version":"1.0.0","build":"{digest}","audience":"prod","through_serial":1,"was_granted":true,"reason":null}}"#
        ),
        r#"{"event":"wave-started","deployment":1,"wave":1,"targets":["prod-1"]}"#.into(),
        r#"{"event":"deployment-ended","deployment":1,"ending":"succeeded"}"#.into(),
    ];
    let entry = |event: &String| {
        format!(r#"{{"number":1,"time":"2026-11-22T10:00:00Z","actor":"clock","request_id":"1","events":[{event}]}}"#)
    };
    events.iter().map(|event| entry(event).into_bytes()).collect()
}

/// What comes through the one write door.
pub fn submission(bytes: &[u8]) {
    let Ok(submission) = serde_json::from_slice::<api::write::Submission>(bytes) else { return };
    assert!(serde_json::to_vec(&submission).is_ok());
    let _readable = Statement::read(&submission.envelope);
    for text in submission.texts.values() {
        let _salted = text.digest();
    }
}

fn submission_seeds() -> Vec<Vec<u8>> {
    let text = api::write::Text { salt: "00".into(), text: "it greets at the wrong time".into() };
    let submission = api::write::Submission {
        envelope: world::withdrawal(1, world::TESTER),
        attachments: BTreeMap::from([(Digest::of(b"a"), api::write::Attachment(b"a".to_vec()))]),
        texts: BTreeMap::from([(text.digest(), text)]),
        claim: Some("claim".into()),
    };
    serde_json::to_vec(&submission).into_iter().collect()
}

/// Objects in one stream.
pub fn pack(bytes: &[u8]) {
    let limits = depot::pack::PackLimits { max_objects: 64, max_object_bytes: 1 << 16, max_total_bytes: 1 << 18 };
    let mut total = 0;
    let read = depot::read_pack(bytes, &limits, |digest, object| {
        assert_eq!(digest, Digest::of(object));
        total += object.len() as u64;
        Ok(())
    });
    assert!(total <= limits.max_total_bytes);
    assert!(read.is_err() || read.is_ok_and(|count| count <= limits.max_objects));
}

fn pack_seeds() -> Vec<Vec<u8>> {
    let objects = [b"one".as_slice(), b"", b"three, which is longer"];
    let digests: Vec<Digest> = objects.iter().map(|object| Digest::of(object)).collect();
    let open = |digest: &Digest| {
        let object = objects.iter().find(|object| Digest::of(object) == *digest).copied().unwrap_or_default();
        Ok((object, object.len() as u64))
    };
    [depot::write_pack(&digests, open, Vec::new()), depot::write_pack(&[], open, Vec::new())]
        .into_iter()
        .flatten()
        .collect()
}

/// An archive that somebody pushes. Whatever it says, nothing is written outside its folder, and no more than allowed.
pub fn archive(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let (file, into) = (folder.path().join("archive"), folder.path().join("into"));
    fs::write(&file, bytes).unwrap();
    let limits = depot::archive::UnpackLimits { max_entries: 100, max_bytes: 1 << 20, ..Default::default() };
    let unpacked = depot::unpack(&file, &into, &limits);
    let beside: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(beside.len() <= 2, "it wrote beside its folder: {beside:?}");
    match unpacked {
        Ok(unpacked) => assert!(unpacked.entries <= 100 && unpacked.bytes <= 1 << 20),
        Err(_) => assert!(!into.exists(), "what was refused stayed behind"),
    }
}

fn archive_seeds() -> Vec<Vec<u8>> {
    // A tar of one file, one folder and one link, written by hand: no writer of archives is needed here.
    let mut tar = Vec::new();
    for (name, kind, content, link) in
        [("bin/", b'5', &b""[..], ""), ("bin/web", b'0', b"#!/bin/sh\n", ""), ("web", b'2', b"", "bin/web")]
    {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000755");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        tar.extend(header);
        tar.extend(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend([0; 1024]);
    vec![tar]
}

/// `sortie.toml`.
pub fn project(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(parsed) = depot::project::parse(text, "sortie.toml")
        && let Ok(manifest) = parsed.manifest(Vec::new())
    {
        let Ok(written) = manifest.to_bytes() else { panic!("what was read cannot be written") };
        assert_eq!(Manifest::from_bytes(&written).ok(), Some(manifest));
    }
}

fn project_seeds() -> Vec<Vec<u8>> {
    let whole = r#"app = "web"
files = "dist"
on = "role=web"
data = ["uploads"]
needs = { os = "linux", memory = "512 MiB" }
[process.web]
run = "./web --port $PORT"
health = { http = "/healthz", within = "30s" }
copies = 2
[config]
DATABASE_URL = "secret"
LOG_LEVEL = { default = "info" }
"#;
    vec![whole.into(), b"app = \"notes\"\n".into()]
}

/// An invitation's token.
pub fn invitation(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(invitation) = agent::join::Invitation::decode(text) {
        assert_eq!(agent::join::Invitation::decode(&invitation.encode()), Ok(invitation));
    }
}

fn invitation_seeds() -> Vec<Vec<u8>> {
    let invitation = agent::join::Invitation {
        url: "https://127.0.0.1:7440".into(),
        pin: Digest::of(b"pin"),
        estate: world::estate(),
        environment: world::audience("prod"),
        class: trust::charter::Class::Live,
        labels: [("role".to_owned(), "web".to_owned())].into(),
        apps: Default::default(),
        name: None,
        seed: [7; 32],
        ephemeral: false,
    };
    vec![invitation.encode().into_bytes()]
}

/// What an agent reads from its own disk, which is not trusted more than the server.
pub fn journal(bytes: &[u8]) {
    if let Ok(journal) = serde_json::from_slice::<agent::journal::Journal>(bytes) {
        let Ok(written) = serde_json::to_vec(&journal) else { panic!("what was read cannot be written") };
        assert_eq!(serde_json::from_slice::<agent::journal::Journal>(&written).ok(), Some(journal));
    }
    let _no_panic = serde_json::from_slice::<agent::home::Enrolled>(bytes);
}

fn journal_seeds() -> Vec<Vec<u8>> {
    let digest = world::build();
    let journal = format!(
        r#"{{"app":"web","epoch":1,"generation":7,"active":{{"build":"{digest}","config":[1,"{digest}"],"since":"2026-11-22T10:00:00Z","authority":"permit","deployment":3,"stopped":false}},"under_way":null,"last":null,"verified":["{digest}"],"settled":[],"config_serial":1,"unreported":null}}"#
    );
    vec![journal.into_bytes()]
}
