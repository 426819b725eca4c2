//! Attacks on the ways for emergencies, judged by the target. The attacker always holds the server and every envelope
//! ever signed; each test says whose key he holds besides.

mod scene;

use scene::{Attempt, charter, policy, time};
use trust::{
    Digest,
    authority::VerifiedAuthority,
    charter::Charter,
    freeze::{Known, Terms},
    schedule::Schedule,
    way::{KeptEmergency, Way},
};

const PROD: &str = r#"after = "test", evidence = { scan = "ci" }, ways = { break-glass = { approve = "ops", waives = ["after", "evidence:scan"], hours = 24, targets = ["prod-1"] } }"#;

#[test]
fn r33_what_the_charter_waives_is_waived_and_the_proof_says_so() {
    let authority = Attempt::new(PROD).run().unwrap();
    assert!(matches!(authority, VerifiedAuthority::BreakGlass(_)));
    assert_eq!((authority.word(), authority.way()), ("break-glass", Way::BreakGlass));
    let people = authority.emergency().unwrap().people;
    assert_eq!(people.iter().map(|person| person.as_str()).collect::<Vec<_>>(), ["coder", "oncall"]);
}

/// A freeze is left open by the way that the charter says waives freezes, and by no other.
#[test]
fn r1_a_way_waives_freezes_where_the_charter_says_so() {
    let freezes = vec![Known::declared(
        Digest::of(b"freeze"),
        Terms {
            environments: Default::default(),
            apps: Default::default(),
            from: time("2026-11-01T00:00:00Z"),
            until: time("2026-12-01T00:00:00Z"),
            reason: Digest::of(b"holidays"),
        },
    )];
    assert_eq!(Attempt { freezes: freezes.clone(), ..Attempt::new(PROD) }.denied(), "FROZEN");
    let waiving = PROD.replace(r#""evidence:scan""#, r#""evidence:scan", "freezes""#);
    let authority = Attempt { freezes, ..Attempt::new(&waiving) }.run().unwrap();
    assert_eq!(authority.way(), Way::BreakGlass);
}

/// So it is with windows: an order outside of all of them passes by the way that waives them, and its own times still count.
#[test]
fn r1_a_way_waives_windows_where_the_charter_says_so() {
    let closed = format!(r#"{PROD}, windows = ["mon-thu 07:00-12:00 Europe/Paris"]"#);
    assert_eq!(Attempt::new(&closed).denied(), "WINDOW_CLOSED", "it is a Sunday");
    let waiving = closed.replace(r#""evidence:scan""#, r#""evidence:scan", "windows""#);
    assert!(Attempt::new(&waiving).run().is_ok());
    let schedule = Schedule { at: Some(time("2026-11-22T18:00:00Z")), ..Schedule::default() };
    assert_eq!(Attempt { schedule, ..Attempt::new(&waiving) }.denied(), "NOT_YET");
}

/// A hotfix is a permit like others, and says in the journal what it was.
#[test]
fn a_hotfix_is_a_permit() {
    let mut attempt = Attempt::new(&PROD.replace("break-glass", "hotfix"));
    attempt.way = Way::Hotfix;
    let authority = attempt.run().unwrap();
    assert!(matches!(authority, VerifiedAuthority::Permit(_)));
    assert_eq!(authority.word(), "hotfix");
}

/// Holds: the keys of coder and oncall. A way that the charter does not have is given by nobody.
#[test]
fn a_way_the_charter_does_not_have() {
    let attempt = Attempt { way: Way::Hotfix, ..Attempt::new(PROD) };
    assert_eq!(attempt.denied(), "WAY_MISSING");
    // Nor one that it had when the request was signed.
    assert_eq!(Attempt::new(r#"after = "test""#).denied(), "WAY_MISSING");
}

/// Holds: the server. An emergency's approvals do not make a normal permit: a request names its way.
#[test]
fn an_emergency_shown_as_normal() {
    let attempt = Attempt { way: Way::Normal, ..Attempt::new(PROD) };
    assert_eq!(attempt.denied(), "APPROVALS_MISSING");
}

/// Holds: the keys of coder and oncall. Its life is the charter's: not longer, and over when it is over.
#[test]
fn beyond_its_life() {
    let longer = Attempt { not_after: time("2026-11-23T12:00:01Z"), ..Attempt::new(PROD) };
    assert_eq!(longer.denied(), "WAY_EXCEEDED");
    let later = Attempt { now: time("2026-11-23T12:00:00Z"), ..Attempt::new(PROD) };
    assert_eq!(later.denied(), "PERMIT_EXPIRED");
    let shortened = Attempt { policy: policy(&PROD.replace("hours = 24", "hours = 1")), ..Attempt::new(PROD) };
    assert_eq!(shortened.denied(), "WAY_EXCEEDED");
}

/// Holds: the server. R37: the permit names prod-1, and is shown to prod-2.
#[test]
fn on_another_target() {
    assert_eq!(Attempt { target: "prod-2", ..Attempt::new(PROD) }.denied(), "WAY_EXCEEDED");
}

/// Holds: the server. R33: what this way does not waive stands: another kind of evidence, and a withdrawal.
#[test]
fn what_is_not_waived_stands() {
    let more = PROD.replace("evidence = { scan = \"ci\" }", "evidence = { scan = \"ci\", test-result = \"ci\" }");
    assert_eq!(Attempt { policy: policy(&more), ..Attempt::new(PROD) }.denied(), "EVIDENCE_MISSING");
    assert_eq!(Attempt { withdrawn_through: 1, ..Attempt::new(PROD) }.denied(), "PERMIT_WITHDRAWN");
    assert_eq!(Attempt { pusher: "tester", ..Attempt::new(PROD) }.denied(), "STATEMENT_INVALID");
    assert_eq!(Attempt { reason: None, ..Attempt::new(PROD) }.denied(), "WAY_EXCEEDED");
}

/// Holds: an owner's pen. R51: a charter cannot waive a signature, bytes, a platform or a withdrawal: it is none then.
#[test]
fn waiving_what_may_not_be_waived() {
    for word in ["push", "number", "integrity", "platform", "withdrawal", "order", "evidence", "evidence:", "soak "] {
        let text = charter(&PROD.replace("\"after\", ", &format!("\"{word}\", ")));
        let error = Charter::from_bytes(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("cannot be waived"), "{word}: {error}");
    }
}

/// Holds: the keys of coder and oncall. R52: two people once, never one: requester and pusher do not count.
#[test]
fn approved_by_whoever_asked() {
    let alone = Attempt { requester: "oncall", ..Attempt::new(PROD) };
    assert_eq!(alone.denied(), "APPROVALS_MISSING");
    assert_eq!(Attempt { approvers: vec!["tester"], ..Attempt::new(PROD) }.denied(), "APPROVALS_MISSING");
    // Unless the charter lets one person on call act alone.
    let own = PROD.replace("hours = 24", "hours = 24, approve_own = true");
    assert!(Attempt { policy: policy(&own), ..alone }.run().is_ok());
}

/// Holds: the keys of coder and oncall, for longer than a day. The target remembers who gave the first permit.
#[test]
fn renewed_by_whoever_gave_it() {
    let first = Attempt::new(PROD).run().unwrap().emergency().unwrap();
    let again = |requester| Attempt {
        requester,
        serial: 2,
        not_before: time("2026-11-23T12:00:00Z"),
        not_after: time("2026-11-24T12:00:00Z"),
        now: time("2026-11-23T13:00:00Z"),
        approvers: vec!["night"],
        emergencies: vec![first.clone()],
        ..Attempt::new(PROD)
    };
    assert_eq!(again("coder").denied(), "WAY_EXCEEDED");
    assert_eq!(again("oncall").denied(), "WAY_EXCEEDED");
    assert!(again("tester").run().is_ok(), "somebody else asks for more");
    // The first one itself is no renewal, however often it is looked at.
    assert!(Attempt { emergencies: vec![first.clone()], ..Attempt::new(PROD) }.run().is_ok());
    // Another build is another matter.
    let other = KeptEmergency { build: Digest::of(b"another"), ..first.clone() };
    assert!(Attempt { emergencies: vec![other], ..again("coder") }.run().is_ok());
}
