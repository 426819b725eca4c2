//! He stands between the owners and a target: a mirror, a proxy, a server. He signs nothing; he chooses what is shown.

use crate::world::*;
use jiff::SignedDuration;
use trust::{
    Digest,
    authority::{Documents, Freshness, Road, VerifiedDocuments, check_manifest},
    charter::MAX_CHARTER_BYTES,
    manifest::{MAX_MANIFEST_BYTES, Manifest},
    statement::OrderAct,
    tuf::{MAX_ROOT_BYTES, MAX_TARGETS_BYTES, Root, Targets, TufError},
};

fn root_one() -> Vec<u8> {
    signed_root(&root_signed(1), &[OWNER])
}

/// Attack: rollback.
/// Holds: every version of the owners' metadata that was ever published; he shows an old charter, in which somebody who
/// has left still approves.
/// Left to him: targets that never saw a newer one, until the old one expires.
#[test]
fn rollback() {
    let root = Root::bootstrap(&root_one()).unwrap();
    let old = targets_bytes(b"charter", 4, &[OWNER]);
    assert!(Targets::verify(&old, &root, 4).is_ok());
    assert!(matches!(Targets::verify(&old, &root, 5), Err(TufError::Rollback { minimum: 5, found: 4, .. })));
    // The same for the documents together, as a target takes them.
    let estate = Digest::of(&root_one());
    let charter = charter_text(PROD);
    let targets = targets_bytes(charter.as_bytes(), 4, &[OWNER]);
    let roots = [root_one()];
    let documents = Documents { roots: &roots, targets: &targets, charter: charter.as_bytes() };
    assert!(VerifiedDocuments::verify(&estate, &documents, 4).is_ok());
    assert!(VerifiedDocuments::verify(&estate, &documents, 5).is_err());
}

/// Attack: freeze.
/// Holds: a genuine set of metadata; he shows it again and again, and nothing newer.
/// Left to him: to freeze a target until what it has is too stale or has expired: then it activates nothing new, and what
/// runs goes on running.
#[test]
fn freeze() {
    let estate = Digest::of(&root_one());
    let charter = charter_text(PROD);
    let targets = targets_bytes(charter.as_bytes(), 1, &[OWNER]);
    let roots = [root_one()];
    let documents = Documents { roots: &roots, targets: &targets, charter: charter.as_bytes() };
    let verified = VerifiedDocuments::verify(&estate, &documents, 1).unwrap();
    assert!(verified.check_expiry(now()).is_ok());
    assert!(verified.check_expiry(time(EXPIRES)).is_err());

    // Long before that, the date that was signed over permits and withdrawals has grown too old: 24 hours here.
    let frozen = fresh_at(now());
    let after = |hours: i64, freshness: Freshness| {
        let mut attempt = Attempt::new(whole());
        attempt.now = now() + SignedDuration::from_hours(hours);
        attempt.freshness = Some(freshness);
        attempt
    };
    assert!(after(24, frozen).run().is_ok());
    assert_eq!(after(25, frozen).denied(), "STALE");
    // What never had a date is no better, once owners have signed that there is one.
    let never = Freshness { signed: None, ..frozen };
    assert_eq!(after(0, never).denied(), "STALE");
    assert!(
        after(25, Freshness { is_demanded: false, ..never }).run().is_ok(),
        "a charter from before there was a date"
    );
    // Carried by hand, an order may be as old as the charter's offline grace, which is not for what comes by network.
    let carried = Freshness { road: Road::Carried, ..frozen };
    assert_eq!(after(25, carried).denied(), "STALE");
    for (freshness, is_taken) in [(carried, true), (frozen, false)] {
        let mut attempt = after(25, freshness);
        attempt.policy.charter.environments.get_mut(&audience("prod")).unwrap().offline_days = 14;
        assert_eq!(attempt.run().is_ok(), is_taken);
    }
    // Going back and removing ask for no fresh word.
    for act in [OrderAct::Undeploy, OrderAct::Rollback] {
        let mut attempt = after(25, never);
        (attempt.act, attempt.settled) = (act, vec![build()]);
        attempt.dossier.order = Some(order_in("prod", act, ONCALL));
        assert!(attempt.run().is_ok(), "{act:?} asked for a fresh word");
    }
}

/// Attack: a clock set back.
/// Holds: the target's time, by a forged answer to its time service; he sets it back to when an old set of metadata was
/// fresh, or dates his own far ahead.
/// Left to him: to keep a target from activating anything new, and to set the clock back to the newest date that the
/// owners or the repository have signed, less five minutes.
#[test]
fn a_clock_set_back() {
    let at = |minutes: i64, freshness: Freshness| {
        let mut attempt = Attempt::new(whole());
        attempt.now = now() + SignedDuration::from_mins(minutes);
        attempt.freshness = Some(freshness);
        attempt
    };
    assert!(at(-4, fresh_at(now())).run().is_ok(), "clocks differ a little");
    assert_eq!(at(-6, fresh_at(now())).denied(), "CLOCK_BEHIND");
    let undated = Freshness { owners_signed: None, ..fresh_at(now()) };
    assert_eq!(at(-6, undated).denied(), "CLOCK_BEHIND", "the repository's date counts as well");
    // A stolen online key that dates far ahead makes nothing fresh for ever.
    let ahead = Freshness { signed: Some(now() + SignedDuration::from_hours(24 * 365)), ..fresh_at(now()) };
    assert_eq!(at(0, ahead).denied(), "CLOCK_BEHIND");
}

/// Attack: endless data.
/// Holds: the wire; he sends metadata, a charter or a manifest that never ends.
/// Left to him: to waste what one bounded answer costs. Every document has a longest length, every file the length that
/// its manifest gives, and nothing is read past it.
#[test]
fn endless_data() {
    let root = Root::bootstrap(&root_one()).unwrap();
    let endless = |bytes: usize| vec![b' '; bytes + 1];
    let oversized = |result: Result<(), TufError>| matches!(result, Err(TufError::Oversized { .. }));
    assert!(oversized(Root::bootstrap(&endless(MAX_ROOT_BYTES)).map(|_| ())));
    assert!(oversized(root.next(&endless(MAX_ROOT_BYTES)).map(|_| ())));
    assert!(oversized(Targets::verify(&endless(MAX_TARGETS_BYTES), &root, 0).map(|_| ())));
    assert!(trust::charter::Charter::from_bytes(&endless(MAX_CHARTER_BYTES)).is_err());
    assert!(Manifest::from_bytes(&endless(MAX_MANIFEST_BYTES)).is_err());
    // And a chain of roots, each genuine, is walked in parts.
    assert!(matches!(trust::tuf::walk(root, &vec![vec![]; 1025]), Err(TufError::TooManyRoots(1025))));
}

/// Attack: malicious mirror.
/// Holds: the mirror that targets download from: he gives other bytes under a digest, or other metadata.
/// Left to him: to give nothing. Whatever he gives is digested in full, and the target turns to another mirror or to the
/// server.
#[test]
fn malicious_mirror() {
    let authority = Attempt::new(whole()).run().unwrap();
    let genuine = manifest().to_bytes().unwrap();
    assert!(check_manifest(&authority, &genuine).is_ok());
    for at in 0..genuine.len() {
        let mut changed = genuine.clone();
        changed[at] ^= 1;
        assert!(check_manifest(&authority, &changed).is_err());
    }
    // Metadata with one byte changed anywhere: either the file is refused, or it says the very same.
    let estate = Digest::of(&root_one());
    assert!(Root::pinned(&root_one(), &Digest::of(b"another estate")).is_err());
    let root = Root::pinned(&root_one(), &estate).unwrap();
    let genuine = targets_bytes(b"charter", 1, &[OWNER]);
    let said = Targets::verify(&genuine, &root, 1).unwrap();
    for at in 0..genuine.len() {
        let mut changed = genuine.clone();
        changed[at] ^= 1;
        if let Ok(targets) = Targets::verify(&changed, &root, 1) {
            assert_eq!((targets.version(), targets.target("charter.toml")), (1, said.target("charter.toml")));
        }
    }
}
