//! He holds the server and its online key, and on another machine there is a witness whose signature the timestamp needs.

use crate::world::*;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use trust::{
    Digest,
    charter::{CHARTER_TARGET, Charter},
    dsse::Envelope,
    key::{SecretKey, Signer},
    tuf::{
        Root, RootBuilder, TargetFile, Targets, TufError, TufRole,
        client::{Client, ClientError, Kept, Next},
        repository::{self as metadata, ListedFile, PermitFile, permits_target, with_signature},
        sign_metadata, target_path,
        witness::{Cosigned, Look, Terms, Wish, WitnessError, signature_in},
    },
};

/// The witness's key.
const WITNESS: u8 = 12;
/// The key that the server has ready for later.
const NEXT: u8 = 13;

type Files = BTreeMap<String, Vec<u8>>;

fn root_of(online: &[u8]) -> Vec<u8> {
    let keys: Vec<_> = online.iter().map(|seed| key(*seed).public()).collect();
    let builder = RootBuilder::first(time(EXPIRES))
        .owner(&"owner".parse().unwrap(), key(OWNER).public())
        .online_keys(&keys)
        .witness(Some(key(WITNESS).public()));
    sign_metadata(&builder.build().unwrap(), &[&key(OWNER)]).unwrap()
}

fn root() -> Root {
    Root::bootstrap(&root_of(&[SERVER])).unwrap()
}

/// What is published, and under which versions.
#[derive(Clone)]
struct Set {
    version: u64,
    snapshot: u64,
    dated: Timestamp,
    good_for: SignedDuration,
    withdrawals: Vec<Envelope>,
    annulled: Vec<Digest>,
}

fn set(version: u64, withdrawals: &[Envelope]) -> Set {
    let good_for = SignedDuration::from_hours(24 * 7);
    Set { version, snapshot: version, dated: now(), good_for, withdrawals: withdrawals.to_vec(), annulled: Vec::new() }
}

/// A whole repository, signed by the server's online keys alone.
fn publish(set: &Set, online: &[u8]) -> Files {
    let root = root();
    let text = charter_text(PROD);
    let annulled: Vec<String> = set.annulled.iter().map(Digest::to_string).collect();
    let text = text.replacen("[people]", &format!("annulled = {annulled:?}\n[people]"), 1);
    let charter = TargetFile { length_bytes: text.len() as u64, digest: Digest::of(text.as_bytes()) };
    let policy = Charter::from_bytes(text.as_bytes()).unwrap();
    let (expires, version) = (time(EXPIRES), set.version);
    let delegations = metadata::delegations(&policy, &root);
    let listed = BTreeMap::from([(CHARTER_TARGET.to_string(), charter)]);
    let targets = Targets::unsigned(version, expires, &listed, Some(&delegations)).unwrap();
    let targets = sign_metadata(&targets, &[&key(OWNER)]).unwrap();

    let mut file = PermitFile::new(root.estate(), app(), audience("prod"));
    file.withdrawals = set.withdrawals.clone();
    let file = file.to_bytes().unwrap();
    let permit = TargetFile { length_bytes: file.len() as u64, digest: Digest::of(&file) };
    let name = permits_target(&audience("prod"), &app());
    let mut files = Files::new();
    let mut meta = BTreeMap::from([("targets.json".to_string(), ListedFile::of(version, &targets))]);
    for audience in policy.audience_names() {
        let role = metadata::role_name(audience);
        let of_prod = metadata::Listing::from([(name.clone(), (permit, json!(null)))]);
        let listing = if role == "permits-prod" { of_prod } else { metadata::Listing::new() };
        let signed = metadata::permits_role(version, expires, &metadata::listing(&listing)).unwrap();
        let bytes = metadata::sign_online(&signed, &key(online[0])).unwrap();
        meta.insert(format!("{role}.json"), ListedFile::of(version, &bytes));
        files.insert(format!("metadata/{version}.{role}.json"), bytes);
    }
    let snapshot = metadata::snapshot(set.snapshot, expires, &meta).unwrap();
    let snapshot = metadata::sign_online(&snapshot, &key(online[0])).unwrap();
    let listed = ListedFile::of(set.snapshot, &snapshot);
    let until = set.dated + set.good_for;
    let timestamp = metadata::timestamp(version, until, set.dated, &listed).unwrap();
    let keys: Vec<SecretKey> = online.iter().map(|seed| key(*seed)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    files.insert("metadata/timestamp.json".into(), metadata::sign_online_by(&timestamp, &signers).unwrap());
    files.insert(format!("metadata/{}.snapshot.json", set.snapshot), snapshot);
    files.insert(format!("metadata/{version}.targets.json"), targets);
    files.insert(format!("targets/{}", target_path(CHARTER_TARGET, Some(&charter.digest.hex()))), text.into_bytes());
    files.insert(format!("targets/{}", target_path(&name, Some(&permit.digest.hex()))), file);
    files
}

/// A witness with what it remembers.
struct Witness {
    client: Client,
    kept: Vec<Envelope>,
}

impl Witness {
    fn new() -> Self {
        Self { client: Client::start(root(), Kept::default(), now()), kept: Vec::new() }
    }

    /// Looks at what is published, and signs it where it may.
    fn look(&mut self, files: &Files) -> Result<Cosigned, WitnessError> {
        self.client.again(now());
        while let Next::Wants(wanted) = self.client.refresh().unwrap() {
            if wanted.is_timestamp() {
                break;
            }
            let bytes = files.get(&format!("metadata/{}", wanted.path));
            self.client.take(&wanted, bytes.map(Vec::as_slice)).unwrap();
        }
        let terms =
            Terms { clocks_differ: SignedDuration::from_mins(5), longest_life: SignedDuration::from_hours(24 * 7) };
        let candidate = &files["metadata/timestamp.json"];
        let mut look = Look::begin(&self.client, &key(WITNESS).public(), candidate, &terms, now())?;
        while let Some(wish) = look.wants()? {
            let path = match &wish {
                Wish::Metadata(wanted) => format!("metadata/{}", wanted.path),
                Wish::Target(found) => format!("targets/{}", found.location),
            };
            look.take(&wish, files.get(&path).map(Vec::as_slice))?;
        }
        let witnessed = look.conclude(&self.kept)?;
        self.kept.extend(witnessed.withdrawals().iter().cloned());
        let cosigned = witnessed.sign(&key(WITNESS)).unwrap();
        let mut files = files.clone();
        files.insert("metadata/timestamp.json".into(), cosigned.bytes.clone());
        refresh(&mut self.client, &files, now()).unwrap();
        Ok(cosigned)
    }
}

/// A whole refresh, as a target does it; the section whose check failed.
fn refresh(client: &mut Client, files: &Files, at: Timestamp) -> Result<(), &'static str> {
    client.again(at);
    let section = |error: ClientError| error.section;
    while let Next::Wants(wanted) = client.refresh().map_err(section)? {
        let bytes = files.get(&format!("metadata/{}", wanted.path));
        client.take(&wanted, bytes.map(Vec::as_slice)).map_err(section)?;
    }
    Ok(())
}

fn target() -> Client {
    Client::start(root(), Kept::default(), now())
}

/// The thief leaves out of what he dates as fresh a withdrawal that the witness was brought directly. What he signs alone,
/// under whichever ids and however often, counts for nobody.
/// Attack: withheld withdrawal before a witness.
/// Holds: the server and its online keys, the next ones too. Root asks for a witness's signature on the timestamp as well.
/// Left to him: to go on showing what the witness signed before it heard of the withdrawal, until that is older than the
/// environment's stale hours. Then nothing new is activated. Who takes the witness as well is in the place of a thief who
/// holds the online key where there is no witness.
#[test]
fn withheld_withdrawal_before_a_witness() {
    let mut witness = Witness::new();
    let before = publish(&set(1, &[]), &[SERVER]);
    assert_eq!(refresh(&mut target(), &before, now()), Err("5.4.2"), "the server's signature alone suffices");
    let cosigned = witness.look(&before).unwrap();
    let mut signed_before = before;
    signed_before.insert("metadata/timestamp.json".into(), cosigned.bytes.clone());
    assert_eq!(refresh(&mut target(), &signed_before, now()), Ok(()));

    let taken = withdrawal(1, TESTER);
    witness.kept.push(taken.clone());
    let hiding = publish(&set(2, &[]), &[SERVER]);
    let error = witness.look(&hiding).unwrap_err();
    assert!(matches!(&error, WitnessError::Hidden(hidden) if hidden.len() == 1), "{error}");
    assert!(error.to_string().contains("hides the withdrawal of web@1.0.0 from prod"), "{error}");

    // His own second signature, the one the witness gave before, and a stranger's.
    let candidate = &hiding["metadata/timestamp.json"];
    let timestamp: serde_json::Value = serde_json::from_slice(candidate).unwrap();
    let more = |seed: u8| {
        let bytes = metadata::sign_online_by(&timestamp["signed"], &[&key(SERVER), &key(seed)]).unwrap();
        Files::from_iter(hiding.clone().into_iter().chain([("metadata/timestamp.json".to_string(), bytes)]))
    };
    for seed in [SERVER, STRANGER, OWNER, NEXT] {
        assert_eq!(refresh(&mut target(), &more(seed), now()), Err("5.4.2"), "by key {seed}");
    }
    let old = signature_in(&cosigned.bytes, &key(WITNESS).public()).unwrap();
    let mut replayed = hiding.clone();
    replayed.insert("metadata/timestamp.json".into(), with_signature(candidate, old).unwrap());
    assert_eq!(refresh(&mut target(), &replayed, now()), Err("5.4.2"));

    // What is left: the state from before, for as long as its date is fresh enough.
    assert_eq!(refresh(&mut target(), &signed_before, now()), Ok(()));
    let stale = fresh_at(now() - SignedDuration::from_hours(25));
    let late = Attempt { freshness: Some(stale), ..Attempt::new(whole()) };
    assert_eq!(late.denied(), "STALE");

    // An honest server is signed for.
    let honest = publish(&set(3, &[taken]), &[SERVER]);
    let cosigned = witness.look(&honest).unwrap();
    let mut honest = honest;
    honest.insert("metadata/timestamp.json".into(), cosigned.bytes);
    assert_eq!(refresh(&mut target(), &honest, now()), Ok(()));
}

/// A withdrawal that was published once cannot be unpublished, whatever becomes of it on the server; owners alone may
/// annul it.
/// Attack: withheld withdrawal before a witness.
#[test]
fn what_was_published_once_stays_published_or_is_annulled_by_owners() {
    let mut witness = Witness::new();
    let taken = withdrawal(1, TESTER);
    witness.look(&publish(&set(1, std::slice::from_ref(&taken)), &[SERVER])).unwrap();
    assert!(matches!(witness.look(&publish(&set(2, &[]), &[SERVER])), Err(WitnessError::Hidden(_))));
    let annulled = Set { annulled: vec![Digest::of(&taken.payload)], ..set(3, &[]) };
    assert!(witness.look(&publish(&annulled, &[SERVER])).is_ok());
}

/// Announcing the next online key gives the thief, who has it already, no second signature in the witness's place.
/// Attack: stolen online keys.
#[test]
fn two_online_keys_do_not_do_without_the_witness() {
    let both = Root::bootstrap(&root_of(&[SERVER, NEXT])).unwrap();
    assert_eq!(both.keys(TufRole::Timestamp).1, 3);
    assert_eq!(both.witness(), Some(key(WITNESS).public()));
    let mut client = Client::start(both, Kept::default(), now());
    assert_eq!(refresh(&mut client, &publish(&set(1, &[]), &[SERVER, NEXT]), now()), Err("5.4.2"));
    // The way back: root without a witness.
    let alone = RootBuilder::after(&root(), time(EXPIRES)).witness(None).build().unwrap();
    let alone = root().next(&sign_metadata(&alone, &[&key(OWNER)]).unwrap()).unwrap();
    assert_eq!((alone.witness(), alone.keys(TufRole::Timestamp)), (None, (vec![key(SERVER).public()], 1)));
    // Other keys of the server's leave the witness in its place.
    let rotated = RootBuilder::after(&root(), time(EXPIRES)).online(key(NEXT).public()).build().unwrap();
    let rotated = root().next(&sign_metadata(&rotated, &[&key(OWNER)]).unwrap()).unwrap();
    assert_eq!((rotated.witness(), rotated.keys(TufRole::Timestamp).1), (Some(key(WITNESS).public()), 2));
    assert!(RootBuilder::after(&root(), time(EXPIRES)).witness(Some(key(SERVER).public())).build().is_err());
}

/// The thief lets the witness sign what he wants to use later, or two things under one number.
/// Attack: withheld withdrawal before a witness.
/// Attack: rollback.
#[test]
fn nothing_dated_ahead_nothing_older_and_nothing_twice_is_signed() {
    let refused = |set: &Set| {
        let mut witness = Witness::new();
        witness.look(&publish(&super::witness::set(5, &[]), &[SERVER])).unwrap();
        witness.look(&publish(set, &[SERVER])).expect_err("it was signed")
    };
    let hour = SignedDuration::from_hours(1);
    let next = set(6, &[]);
    assert!(matches!(refused(&Set { dated: now() + hour, ..next.clone() }), WitnessError::Ahead(_)));
    assert!(matches!(refused(&Set { dated: now() - hour, ..next.clone() }), WitnessError::Earlier { .. }));
    let long = Set { good_for: SignedDuration::from_hours(24 * 30), ..next.clone() };
    assert!(matches!(refused(&long), WitnessError::LivesTooLong(_)));
    let older = refused(&set(4, &[]));
    assert!(matches!(&older, WitnessError::Client(error) if error.section == "5.4.3.1"), "{older}");
    // The same timestamp again, and another of the same version.
    assert!(matches!(refused(&set(5, &[])), WitnessError::Known(5)));
    let twin = refused(&set(5, &[withdrawal(1, TESTER)]));
    assert!(matches!(&twin, WitnessError::Second { file, version: 5 } if file == "timestamp"), "{twin}");
    // Another snapshot of a version that was signed for.
    let twin = refused(&Set { snapshot: 5, ..set(6, &[withdrawal(1, TESTER)]) });
    assert!(matches!(&twin, WitnessError::Second { file, version: 5 } if file == "snapshot"), "{twin}");
}

/// Files that are not there, not those that are listed, or of something else.
/// Attack: mix-and-match.
#[test]
fn nothing_is_signed_that_was_not_looked_at_in_full() {
    let whole = publish(&set(1, &[]), &[SERVER]);
    assert!(Witness::new().look(&whole).is_ok());
    for path in whole.keys().filter(|path| *path != "metadata/timestamp.json") {
        let mut files = whole.clone();
        files.remove(path);
        assert!(Witness::new().look(&files).is_err(), "{path} was not looked for");
        files.insert(path.clone(), b"{}".to_vec());
        assert!(Witness::new().look(&files).is_err(), "{path} was not looked at");
    }
    // A look that is not over signs nothing; nor does another key than the witness's.
    let witness = Witness::new();
    let terms = Terms { clocks_differ: SignedDuration::ZERO, longest_life: SignedDuration::from_hours(24 * 7) };
    let mut client = witness.client.clone();
    let Next::Wants(wanted) = client.refresh().unwrap() else { panic!("the next root is wanted first") };
    client.take(&wanted, None).unwrap();
    let candidate = &whole["metadata/timestamp.json"];
    let look = Look::begin(&client, &key(WITNESS).public(), candidate, &terms, now()).unwrap();
    assert!(look.conclude([]).is_err());
    let stranger = Look::begin(&client, &key(STRANGER).public(), candidate, &terms, now()).unwrap_err();
    assert!(matches!(stranger, WitnessError::NotNamed(1)), "{stranger}");
}

/// The snapshot's roles are signed by the online key alone; a role of permits that lists a file for another audience is
/// not signed for.
/// Attack: replay to another environment.
#[test]
fn a_file_of_permits_in_another_s_place_is_not_signed_for() {
    let root = root();
    let mut files = publish(&set(1, &[]), &[SERVER]);
    let stray = PermitFile::new(root.estate(), app(), audience("test")).to_bytes().unwrap();
    let permit = TargetFile { length_bytes: stray.len() as u64, digest: Digest::of(&stray) };
    let name = permits_target(&audience("prod"), &app());
    let listing = metadata::Listing::from([(name.clone(), (permit, json!(null)))]);
    let role = metadata::permits_role(1, time(EXPIRES), &metadata::listing(&listing)).unwrap();
    let role = metadata::sign_online(&role, &key(SERVER)).unwrap();
    files.insert(format!("targets/{}", target_path(&name, Some(&permit.digest.hex()))), stray);
    let mut snapshot: serde_json::Value = serde_json::from_slice(&files["metadata/1.snapshot.json"]).unwrap();
    let listed = json!({"version": 1, "length": role.len(), "hashes": {"sha256": Digest::of(&role).hex()}});
    snapshot["signed"]["meta"]["permits-prod.json"] = listed;
    let snapshot = metadata::sign_online(&snapshot["signed"], &key(SERVER)).unwrap();
    let timestamp = metadata::timestamp(1, now() + SignedDuration::from_hours(1), now(), &ListedFile::of(1, &snapshot));
    files.insert("metadata/1.permits-prod.json".into(), role);
    files.insert("metadata/1.snapshot.json".into(), snapshot);
    let timestamp = metadata::sign_online(&timestamp.unwrap(), &key(SERVER)).unwrap();
    files.insert("metadata/timestamp.json".into(), timestamp);
    let error = Witness::new().look(&files).unwrap_err();
    let is_misplaced = |why: &TufError| why.to_string().contains("something else");
    assert!(matches!(&error, WitnessError::Target { why, .. } if is_misplaced(why)), "{error}");
}
