//! Attacks on the gates that ask for evidence, judged by the target. The attacker always holds the server and every
//! envelope ever signed; each test says whose key he holds besides.

mod scene;

use scene::{Attempt, app, build, signed, time};
use std::collections::BTreeMap;
use trust::{
    Digest,
    dsse::Envelope,
    statement::{Act, Evidence},
    way::Way,
};

const SCAN: &str = "https://example.com/scan/v1";
const PROD: &str = r#"evidence = { scan = { from = "scanner or ci", predicate = "https://example.com/scan/v1", pass = "critical <= 0", max_age_days = 30, pusher = false } }"#;

/// A scan by scanner on 20 November that found nothing critical, changed by `change`.
fn scan(person: &str, change: impl FnOnce(&mut Evidence)) -> Envelope {
    let mut evidence = Evidence {
        app: app(),
        kind: "scan".into(),
        passed: true,
        summary: "clean".into(),
        document: Digest::of(b"the document"),
        predicate: Some(SCAN.into()),
        facts: BTreeMap::from([("critical".into(), 0)]),
        issued: Some(time("2026-11-20T12:00:00Z")),
    };
    change(&mut evidence);
    signed(build(), Act::Evidence(evidence), person)
}

fn with(evidence: Vec<Envelope>) -> Attempt {
    Attempt { way: Way::Normal, approvers: vec!["oncall", "tester"], evidence, ..Attempt::new(PROD) }
}

fn why(attempt: &Attempt) -> String {
    assert_eq!(attempt.denied(), "EVIDENCE_MISSING");
    attempt.run().expect_err("it was denied").to_string()
}

#[test]
fn r33_good_evidence_opens_the_gate() {
    assert!(with(vec![scan("scanner", |_| ())]).run().is_ok());
}

/// Holds: the server. He shows evidence that was good once.
#[test]
fn r33_too_old_or_from_the_future() {
    let attempt = with(vec![scan("scanner", |scan| scan.issued = Some(time("2026-10-20T12:00:00Z")))]);
    assert!(why(&attempt).contains("30 days"));
    let undated = with(vec![scan("scanner", |scan| scan.issued = None)]);
    assert!(why(&undated).contains("30 days"));
    let future = with(vec![scan("scanner", |scan| scan.issued = Some(time("2026-12-20T12:00:00Z")))]);
    assert!(why(&future).contains("30 days"));
}

/// Holds: the pusher's key. Ci may issue scans, and not of what it pushed.
#[test]
fn r33_by_the_pusher() {
    let attempt = with(vec![scan("ci", |_| ())]);
    assert!(why(&attempt).contains("pushed"));
    assert!(Attempt { pusher: "coder", ..with(vec![scan("ci", |_| ())]) }.run().is_ok());
}

/// Holds: the scanner's key. Another kind of document says nothing about this gate.
#[test]
fn r33_of_another_predicate() {
    let attempt = with(vec![scan("scanner", |scan| scan.predicate = Some("https://example.com/poem/v1".into()))]);
    assert!(why(&attempt).contains("poem"));
    assert!(why(&with(vec![scan("scanner", |scan| scan.predicate = None)])).contains("unknown"));
}

/// Holds: the server. The newest word counts, whatever order he shows the words in.
#[test]
fn r33_failing() {
    let bad = || {
        scan("scanner", |scan| {
            scan.facts = BTreeMap::from([("critical".into(), 2)]);
            scan.issued = Some(time("2026-11-21T12:00:00Z"));
        })
    };
    assert!(why(&with(vec![bad()])).contains("critical is 2"));
    for order in [vec![scan("scanner", |_| ()), bad()], vec![bad(), scan("scanner", |_| ())]] {
        assert!(why(&with(order)).contains("critical is 2"));
    }
    assert!(why(&with(vec![scan("scanner", |scan| scan.facts.clear())])).contains("does not say critical"));
}

/// Holds: a developer's key, or evidence about other bytes (R51).
#[test]
fn r51_by_somebody_else_or_about_something_else() {
    assert!(why(&with(vec![scan("coder", |_| ())])).contains("nobody"));
    assert!(why(&with(vec![scan("scanner", |scan| scan.kind = "note".into())])).contains("nobody"));
    let statement = trust::statement::Statement::read(&scan("scanner", |_| ())).expect("it can be read");
    let other = signed(Digest::of(b"other bytes"), statement.act, "scanner");
    assert!(why(&with(vec![other])).contains("nobody"));
    // Nobody's failing word does not shut the gate either.
    assert!(with(vec![scan("scanner", |_| ()), scan("coder", |scan| scan.facts.clear())]).run().is_ok());
}
