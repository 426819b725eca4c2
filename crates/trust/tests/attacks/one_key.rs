//! He holds the server and one person's key, or less than the charter asks for.

use crate::world::*;
use trust::{
    AppName, Digest,
    authority::{Dossier, VerifiedAuthority},
    dsse::Envelope,
    key::Signer,
    statement::OrderAct,
};

/// Attack: key compromise below threshold.
/// Holds: the server and a developer's key: enough for dev, and for nothing else.
/// Left to him: what that person may do alone: push, number, request, deploy to dev. A role that an environment asks
/// for besides, he lacks. With the deployer's key too he can order what people have released, and nothing else.
#[test]
fn key_compromise_below_the_threshold() {
    let request = request_for("prod", 1, CODER);
    let dossier = Dossier {
        approvals: vec![approval(&request, CODER), approval(&request, TESTER)],
        request: Some(request),
        ..whole()
    };
    assert_eq!(Attempt::new(dossier).denied(), "APPROVALS_MISSING");
    // With the deployer's key he orders a build that nobody released.
    let ordered = Dossier { request: None, approvals: vec![], number: None, ..whole() };
    assert_eq!(Attempt::new(ordered).denied(), "UNRELEASED");
}

/// Attack: duplicate signer.
/// Holds: the server and one approval (R52), which he shows twice, and with its signature doubled.
/// Left to him: nothing; people are counted, not signatures.
#[test]
fn duplicate_signer() {
    let request = request_for("prod", 1, CODER);
    let mut twice = approval(&request, TESTER);
    twice.signatures.push(twice.signatures[0].clone());
    let dossier = Dossier { approvals: vec![twice.clone(), twice], request: Some(request), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "APPROVALS_MISSING");
}

/// Attack: one key under two ids.
/// Holds: one key; he lists its signature a second time under another id, so that a careless reader counts two.
/// Left to him: nothing; an id is the digest of the key, and a signature counts only under its own key's id.
#[test]
fn one_key_under_two_ids() {
    let request = request_for("prod", 1, CODER);
    let genuine = approval(&request, TESTER);
    let mut renamed = genuine.clone();
    renamed.signatures[0].keyid = key(ONCALL).public().id();
    let mut both = genuine.clone();
    both.signatures.push(renamed.signatures[0].clone());
    let with = |approvals: Vec<Envelope>| {
        Attempt::new(Dossier { approvals, request: Some(request_for("prod", 1, CODER)), ..whole() })
    };
    assert_eq!(with(vec![genuine, renamed]).denied(), "APPROVALS_MISSING");
    assert_eq!(with(vec![both]).denied(), "APPROVALS_MISSING");
    // In metadata of the root a key stands under its own id, in its one spelling, or the file is refused.
    let signed = root_signed(2);
    for bad in [
        signed.replacen(&key(OWNER).public().id().to_string(), &Digest::of(b"another id").hex(), 1),
        upper_case_key(&signed),
    ] {
        assert_ne!(bad, signed);
        assert!(trust::tuf::Root::bootstrap(&signed_root(&bad, &[OWNER, SECOND_OWNER])).is_err());
    }
}

/// The same key, its hexadecimal digits in capitals: another text, and so another digest.
fn upper_case_key(signed: &str) -> String {
    let digits = hex_of(&key(OWNER));
    signed.replacen(&digits, &digits.to_uppercase(), 1)
}

/// Attack: forged withdrawal.
/// Holds: the server and keys without a role in prod, and a wish to stop a release.
/// Left to him: nothing; who holds a role that prod asks for may withdraw alone, and that is meant so.
#[test]
fn forged_withdrawal() {
    let policy = policy();
    for seed in [STRANGER, CI, CODER] {
        assert!(policy.withdrawal(&withdrawal(1, seed), &audience("prod")).is_err());
    }
    assert!(policy.withdrawal(&withdrawal(1, OWNER), &audience("prod")).is_ok());
}

/// Attack: signature over another statement type.
/// Holds: the server, and a withdrawal and an order that the approvers genuinely signed; he shows them as approvals.
/// Left to him: nothing; the type is inside the signed bytes, and each place takes one type.
#[test]
fn signature_over_another_statement() {
    let request = request_for("prod", 1, CODER);
    let dossier = Dossier {
        approvals: vec![withdrawal(1, TESTER), order_in("prod", OrderAct::Deploy, ONCALL)],
        request: Some(request),
        ..whole()
    };
    assert_eq!(Attempt::new(dossier).denied(), "APPROVALS_MISSING");
}

/// Attack: extraneous dependency.
/// Holds: the server and one application's genuine permit; he has the target bring another application along.
/// Left to him: nothing; each application has its own permit and order, a build runs nothing that its manifest does not
/// list, and a target may be enrolled for some applications only.
#[test]
fn extraneous_dependency() {
    let mut attempt = Attempt::new(whole());
    attempt.app = AppName::new("miner").unwrap();
    assert_eq!(attempt.denied(), "STATEMENT_INVALID");
    let mut attempt = Attempt::new(whole());
    attempt.pinned.apps = [AppName::new("shop").unwrap()].into();
    assert_eq!(attempt.denied(), "APP_NOT_ACCEPTED");
}

/// Attack: wrong software or platform.
/// Holds: the server, and a genuine permit of one build; he assigns another build, or a manifest of another application.
/// Left to him: a build that was released for another processor fails its check of needs before anything is copied.
#[test]
fn wrong_software() {
    let attempt = Attempt::new(whole());
    let other = Digest::of(b"the build for another machine");
    assert_eq!(attempt.run_of(other).unwrap_err().code(), "STATEMENT_INVALID");
    let authority = attempt.run().unwrap();
    assert!(matches!(authority, VerifiedAuthority::Permit(_)));
    let mut foreign = manifest();
    foreign.app = AppName::new("shop").unwrap();
    assert!(trust::authority::check_manifest(&authority, &foreign.to_bytes().unwrap()).is_err());
}
