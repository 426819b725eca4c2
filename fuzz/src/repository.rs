//! What a TUF repository holds: its metadata, as bytes and as what somebody who has the keys signed, so that what stands
//! behind the signatures is reached too; and the permits and withdrawals that are published in it.

use super::world;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};
use trust::{
    Digest,
    charter::Charter,
    json,
    key::{SecretKey, Signer},
    tuf::{
        Root, TargetFile, Targets, TimestampMetadata,
        client::{Client, Kept, Next},
        repository::{self, ListedFile, PermitFile, WithdrawalsFile, permits_target, role_name, with_signature},
        sign_metadata,
        witness::signature_in,
    },
};

/// The file that the bytes stand for.
#[derive(Clone, Copy, PartialEq)]
enum File {
    Root,
    Timestamp,
    Snapshot,
    Targets,
    Role,
}

const FILES: [File; 5] = [File::Root, File::Timestamp, File::Snapshot, File::Targets, File::Role];
/// The version that everything has which the client knows before, and that of what comes after.
const KNOWN: u64 = 2;
const NEXT: u64 = 3;

fn root() -> &'static (Vec<u8>, Root) {
    static ROOT: OnceLock<(Vec<u8>, Root)> = OnceLock::new();
    ROOT.get_or_init(|| {
        let bytes = world::signed_root(&world::root_signed(1), &[world::OWNER]);
        let root = Root::bootstrap(&bytes).unwrap();
        (bytes, root)
    })
}

fn signed(content: &serde_json::Value, seeds: &[u8]) -> Option<Vec<u8>> {
    let keys: Vec<SecretKey> = seeds.iter().map(|seed| world::key(*seed)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    sign_metadata(content, &signers).ok()
}

/// What is published as `version` where `changed` is the content of one file: signed by whoever may sign it, or, where
/// that is not asked for, as it is. Nothing where it is no JSON to be signed.
fn published(version: u64, changed: Option<(File, &[u8], bool)>) -> Option<BTreeMap<String, Vec<u8>>> {
    let expires = world::time(world::EXPIRES);
    let file = |file: File, seeds: &[u8], honest: &dyn Fn() -> Option<serde_json::Value>| match changed {
        Some((which, bytes, false)) if which == file => Some(bytes.to_vec()),
        Some((which, bytes, true)) if which == file => signed(&json::strict_value(bytes).ok()?, seeds),
        _ => signed(&honest()?, seeds),
    };
    let mut files = BTreeMap::new();
    if let Some((File::Root, bytes, is_signed)) = changed {
        let next = if is_signed { signed(&json::strict_value(bytes).ok()?, &[world::OWNER])? } else { bytes.to_vec() };
        files.insert("2.root.json".to_owned(), next);
    }
    let audience = world::audience("prod");
    let listed = TargetFile { length_bytes: 3, digest: Digest::of(b"web") };
    let role = file(File::Role, &[world::SERVER], &|| {
        let listing = [(permits_target(&audience, &world::app()), (listed, serde_json::Value::Null))].into();
        repository::permits_role(version, expires, &repository::listing(&listing)).ok()
    })?;
    let targets = file(File::Targets, &[world::OWNER], &|| {
        let charter = Charter::from_bytes(world::charter_text(world::PROD).as_bytes()).ok()?;
        let delegations = repository::delegations(&charter, &root().1);
        Targets::unsigned(version, expires, &[("charter.toml".to_owned(), listed)].into(), Some(&delegations)).ok()
    })?;
    let snapshot = file(File::Snapshot, &[world::SERVER], &|| {
        let listed = [("targets.json".to_owned(), &targets), (format!("{}.json", role_name(&audience)), &role)];
        let listed = listed.map(|(name, bytes)| (name, ListedFile::of(version_of(bytes), bytes)));
        repository::snapshot(version, expires, &listed.into()).ok()
    })?;
    let timestamp = file(File::Timestamp, &[world::SERVER], &|| {
        repository::timestamp(version, expires, world::now(), &ListedFile::of(version_of(&snapshot), &snapshot)).ok()
    })?;
    files.insert(format!("{}.{}.json", version_of(&role), role_name(&audience)), role);
    files.insert(format!("{}.targets.json", version_of(&targets)), targets);
    files.insert(format!("{}.snapshot.json", version_of(&snapshot)), snapshot);
    files.insert("timestamp.json".into(), timestamp);
    Some(files)
}

/// The version that a file says it has, so that it is listed and found as that.
fn version_of(bytes: &[u8]) -> u64 {
    json::strict_value(bytes).ok().and_then(|file| file["signed"]["version"].as_u64()).unwrap_or(NEXT)
}

/// Refreshes, and looks for a target in the role; answers whether the refresh came to its end.
fn refresh(client: &mut Client, files: &BTreeMap<String, Vec<u8>>) -> bool {
    let mut asked = BTreeSet::new();
    loop {
        match client.refresh() {
            Ok(Next::Done(())) => break,
            Err(_) => return false,
            Ok(Next::Wants(wanted)) => {
                assert!(asked.insert(wanted.path.clone()), "{} was asked for twice", wanted.path);
                let bytes = files.get(&wanted.path).filter(|bytes| bytes.len() as u64 <= wanted.limit_bytes);
                if client.take(&wanted, bytes.map(Vec::as_slice)).is_err() {
                    return false;
                }
            }
        }
    }
    let path = permits_target(&world::audience("prod"), &world::app());
    while let Ok(Next::Wants(wanted)) = client.find(&path) {
        assert!(asked.insert(wanted.path.clone()), "{} was asked for twice", wanted.path);
        if client.take(&wanted, files.get(&wanted.path).map(Vec::as_slice)).is_err() {
            break;
        }
    }
    if let Ok(Next::Done(Some(found))) = client.find(&path) {
        assert!(!found.location.split('/').any(|part| part == ".." || part == "."), "{}", found.location);
    }
    true
}

fn versions(client: &Client) -> [u64; 3] {
    [
        client.timestamp().map_or(0, |(timestamp, _)| timestamp.version()),
        client.snapshot().map_or(0, |(snapshot, _)| snapshot.version()),
        client.targets().map_or(0, |(targets, _)| targets.version()),
    ]
}

/// One file of a repository: the first byte says which, and whether it is signed. Nothing that was trusted goes back, and
/// a refresh that came to its end does so again.
pub fn metadata(bytes: &[u8]) {
    static KNOWING: OnceLock<Client> = OnceLock::new();
    let Some((first, content)) = bytes.split_first() else { return };
    let (which, is_signed) = (FILES[usize::from(first % 5)], first / 5 % 2 == 0);
    let Some(files) = published(NEXT, Some((which, content, is_signed))) else { return };
    let knowing = KNOWING.get_or_init(|| {
        let mut client = Client::start(root().1.clone(), Kept::default(), world::now());
        let known = published(KNOWN, None).unwrap_or_default();
        assert!(refresh(&mut client, &known) && versions(&client) == [KNOWN; 3], "the scene does not refresh");
        client
    });
    let mut client = knowing.clone();
    client.again(world::now());
    let before = versions(&client);
    let is_whole = refresh(&mut client, &files);
    let rotates = client.root().version() > 1;
    if !rotates {
        let after = versions(&client);
        assert!(before.iter().zip(after).all(|(before, after)| *before <= after), "{before:?} became {after:?}");
    }
    if is_whole {
        client.again(world::now());
        let files: BTreeMap<_, _> = files.into_iter().filter(|(name, _)| !rotates || name != "2.root.json").collect();
        assert!(refresh(&mut client, &files), "what was taken once is not taken again");
    }
}

pub fn metadata_seeds() -> Vec<Vec<u8>> {
    let next = published(NEXT, None).unwrap_or_default();
    let content = |bytes: &[u8]| json::strict_value(bytes).map(|file| file["signed"].to_string().into_bytes());
    let of = |name: &str| next.get(name).cloned().unwrap_or_default();
    let root = world::root_signed(1).replacen("\"version\":1", "\"version\":2", 1).into_bytes();
    let files = [
        root,
        content(&of("timestamp.json")).unwrap_or_default(),
        content(&of("3.snapshot.json")).unwrap_or_default(),
        content(&of("3.targets.json")).unwrap_or_default(),
        content(&of("3.permits-prod.json")).unwrap_or_default(),
        Vec::new(),
        of("timestamp.json"),
        of("3.snapshot.json"),
        of("3.targets.json"),
        of("3.permits-prod.json"),
    ];
    (0..).zip(files).map(|(first, content)| [vec![first], content].concat()).collect()
}

/// The timestamp by itself: as a file, and as content that the online key signed. A signature that is taken out of it and
/// put in again, as a witness does, leaves it as it was.
pub fn timestamp(bytes: &[u8]) {
    let online = world::key(world::SERVER);
    let judged = |file: &[u8]| {
        let Ok(timestamp) = TimestampMetadata::verify(file, &root().1) else { return };
        assert!(timestamp.version() >= 1 && timestamp.snapshot().version >= 1);
        let Some(signature) = signature_in(file, &online.public()) else { panic!("nobody else could have signed it") };
        let again = with_signature(file, signature).ok();
        assert_eq!(again.and_then(|file| TimestampMetadata::verify(&file, &root().1).ok()), Some(timestamp));
    };
    judged(bytes);
    let Ok(content) = json::strict_value(bytes) else { return };
    if let Some(file) = signed(&content, &[world::SERVER]) {
        judged(&file);
    }
}

pub fn timestamp_seeds() -> Vec<Vec<u8>> {
    let (now, listed) = (world::now(), ListedFile::of(3, b"snapshot"));
    let content = repository::timestamp(7, world::time(world::EXPIRES), now, &listed).ok();
    let file = content.as_ref().and_then(|content| signed(content, &[world::SERVER]));
    [file, content.map(|content| content.to_string().into_bytes())].into_iter().flatten().collect()
}

/// The permits of an application for an audience, as they are published.
pub fn permits(bytes: &[u8]) {
    let Ok(file) = PermitFile::from_bytes(bytes) else { return };
    let written = file.to_bytes().unwrap_or_default();
    assert_eq!(PermitFile::from_bytes(&written).ok().as_ref(), Some(&file));
    for permit in file.permits {
        let attempt = world::Attempt::new(permit.into_dossier(file.withdrawals.clone()));
        assert!(attempt.run().is_err(), "there is no order in it");
    }
}

pub fn permits_seeds() -> Vec<Vec<u8>> {
    let mut withdrawn = PermitFile::new(world::estate(), world::app(), world::audience("prod"));
    withdrawn.withdrawals = vec![world::withdrawal(1, world::TESTER)];
    let mut permitted = withdrawn.clone();
    let whole = world::whole();
    if let (Some(push), Some(number), Some(request)) = (whole.push, whole.number, whole.request) {
        let (approvals, evidence) = (whole.approvals, whole.evidence);
        permitted.permits.push(repository::PublishedPermit { push, number, request, approvals, evidence });
    }
    [permitted.to_bytes().ok(), withdrawn.to_bytes().ok()].into_iter().flatten().collect()
}

/// The withdrawals of an audience, which a witness publishes and which anybody may bring to it.
pub fn withdrawals(bytes: &[u8]) {
    let Ok(file) = WithdrawalsFile::from_bytes(bytes) else { return };
    let written = file.to_bytes().unwrap_or_default();
    assert_eq!(WithdrawalsFile::from_bytes(&written).ok().as_ref(), Some(&file));
    let policy = world::policy();
    let mut genuine = file.withdrawals.iter().filter(|envelope| policy.withdrawal(envelope, &file.audience).is_ok());
    let known = world::withdrawal(1, world::TESTER).payload;
    assert!(genuine.all(|envelope| envelope.payload == known), "nobody here signed another one");
}

pub fn withdrawals_seeds() -> Vec<Vec<u8>> {
    let withdrawals = vec![world::withdrawal(1, world::TESTER)];
    let file = WithdrawalsFile::new(world::estate(), world::audience("prod"), withdrawals);
    file.to_bytes().into_iter().collect()
}
