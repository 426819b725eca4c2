//! He left, or lost a role, and holds the keys he had: what owners uphold of his counts statement by statement.

use crate::world::*;
use trust::{
    Digest, PersonName,
    authority::{Denial, Documents, Dossier, TrustedPolicy, VerifiedDocuments, permit_of},
    charter::Charter,
    dsse::Envelope,
    key::Signer,
    statement::{Act, Administration, AdministrationAct, Request, Statement, Withdrawal},
};

/// The charter without some of its people, and with `more` at its end. The role `qa` is held by `second` besides.
fn charter_without(without: &[&str], more: &str) -> String {
    let second =
        format!("[people]\nsecond = {{ roles = [\"qa\", \"developer\"], keys = [\"{}\"] }}\n", line(SECOND_KEY));
    let text = charter_text(PROD).replacen("[people]\n", &second, 1);
    let is_gone = |text: &&str| without.iter().any(|name| text.split_whitespace().next() == Some(name));
    let lines: Vec<&str> = text.lines().filter(|text| !is_gone(text)).collect();
    format!("push = \"developer or ci\"\n{}\n{more}", lines.join("\n"))
}

fn policy_without(without: &[&str], more: &str, suspensions: &[Envelope]) -> TrustedPolicy {
    policy_of(&charter_without(without, more), suspensions)
}

fn upheld(name: &str, role: &str, seed: u8, statements: &[Digest]) -> String {
    let statements: Vec<String> = statements.iter().map(|digest| format!("\"{digest}\"")).collect();
    let (key, statements) = (line(seed), statements.join(", "));
    format!("[[upheld]]\nperson = \"{name}\"\nroles = [\"{role}\"]\nkey = \"{key}\"\nstatements = [{statements}]\n")
}

/// Pushed, numbered and requested by coder, approved by tester and oncall.
fn by_coder() -> Dossier {
    Dossier { push: Some(push(CODER)), ..whole() }
}

fn judge(policy: &TrustedPolicy, dossier: &Dossier) -> Result<Request, Denial> {
    permit_of(policy, &app(), build(), &audience("prod"), dossier)
}

fn payload(envelope: &Option<Envelope>) -> Digest {
    Digest::of(&envelope.as_ref().unwrap().payload)
}

fn suspension(name: &str) -> Envelope {
    let act = AdministrationAct::SuspendPerson { person: PersonName::new(name).unwrap() };
    signed(estate(), Act::Administration(Administration { act }), &[OWNER])
}

/// He holds the key of an approver who left, and the server.
/// The approval left with the key; upheld, it counts for that request alone.
/// Attack: approver removed meanwhile.
#[test]
fn r52_what_is_upheld_is_one_request() {
    let dossier = by_coder();
    assert!(judge(&policy_without(&[], "", &[]), &dossier).is_ok());
    assert_eq!(judge(&policy_without(&["tester"], "", &[]), &dossier).unwrap_err().code(), "APPROVALS_MISSING");
    let kept = upheld("tester", "qa", TESTER, &[payload(&dossier.request)]);
    assert!(judge(&policy_without(&["tester"], &kept, &[]), &dossier).is_ok());

    let fresh = request_for("prod", 2, CODER);
    let forged = Dossier {
        approvals: vec![approval(&fresh, TESTER), approval(&fresh, ONCALL)],
        request: Some(fresh),
        ..dossier.clone()
    };
    let denied = judge(&policy_without(&["tester"], &kept, &[]), &forged).unwrap_err();
    assert_eq!(denied.code(), "APPROVALS_MISSING", "another request is not upheld");
}

/// Holds: a permit whose pusher, numberer and requester has left. It lives on where owners uphold those three
/// statements, and the pusher's key can push nothing more.
#[test]
fn a_leaving_developers_builds_are_kept_statement_by_statement() {
    let dossier = by_coder();
    assert_eq!(judge(&policy_without(&["coder"], "", &[]), &dossier).unwrap_err().code(), "STATEMENT_INVALID");
    let all = [payload(&dossier.push), payload(&dossier.number), payload(&dossier.request)];
    for left_out in 0..all.len() {
        let some: Vec<Digest> = all.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, d)| *d).collect();
        let policy = policy_without(&["coder"], &upheld("coder", "developer", CODER, &some), &[]);
        assert!(judge(&policy, &dossier).is_err(), "statement {left_out} is not upheld");
    }
    let policy = policy_without(&["coder"], &upheld("coder", "developer", CODER, &all), &[]);
    assert!(judge(&policy, &dossier).is_ok());
    let act = Statement::read(&push(CODER)).unwrap().act;
    let other = signed(Digest::of(b"another build"), act, &[CODER]);
    assert!(policy.signers(&other).is_empty(), "what is not named counts no more");
}

/// He holds a developer's old key, whose builds are upheld, and the same person's new key with a role that approves. Nobody
/// approves what they pushed, by whatever key.
/// Attack: one person with two keys.
#[test]
fn r52_an_author_with_a_new_key_is_an_author() {
    let request = request_for("prod", 1, CI);
    let dossier = Dossier {
        number: Some(number(CI)),
        push: Some(push(CODER)),
        approvals: vec![approval(&request, STRANGER), approval(&request, ONCALL)],
        request: Some(request),
        ..whole()
    };
    let text = charter_without(&["coder"], &upheld("coder", "developer", CODER, &[payload(&dossier.push)]));
    let again = format!("[people]\ncoder = {{ roles = [\"qa\"], keys = [\"{}\"] }}\n", line(STRANGER));
    let policy = policy_of(&text.replacen("[people]\n", &again, 1), &[]);
    assert_eq!(judge(&policy, &dossier).unwrap_err().code(), "APPROVALS_MISSING");
    let by_ci = Dossier { push: Some(push(CI)), ..dossier };
    assert!(judge(&policy, &by_ci).is_ok(), "what somebody else pushed, coder may approve");
}

/// He holds one owner's word. A key under two people, upheld or not, makes no charter, and neither does an empty entry.
/// Attack: one key under two ids.
#[test]
fn an_upheld_key_is_one_persons() {
    let read = |text: &str| Charter::from_bytes(text.as_bytes()).unwrap_err().to_string();
    let twin = upheld("coder", "qa", TESTER, &[Digest::of(b"request")]);
    assert!(read(&charter_without(&[], &twin)).contains("one key is listed under both"));
    assert!(read(&charter_without(&[], &upheld("tester", "qa", TESTER, &[]))).contains("names no statement"));
    // The owners' keys stand in root: the clash is found when the two come together.
    let owners = upheld("tester", "qa", OWNER, &[Digest::of(b"request")]);
    let charter = Charter::from_bytes(charter_without(&["tester"], &owners).as_bytes()).unwrap();
    let owners = [(PersonName::new("owner").unwrap(), key(OWNER).public())];
    assert!(TrustedPolicy::new(estate(), 1, charter, &owners, &[]).is_err());
}

/// Holds: a robot's key. What is upheld of a robot never approves.
#[test]
fn an_upheld_robot_is_no_person() {
    let request = request_for("prod", 1, CODER);
    let dossier = Dossier { approvals: vec![approval(&request, CI), approval(&request, ONCALL)], ..by_coder() };
    let kept = upheld("ci", "qa", CI, &[payload(&dossier.request)]);
    assert_eq!(judge(&policy_without(&[], &kept, &[]), &dossier).unwrap_err().code(), "APPROVALS_MISSING");
}

/// Holds: what is upheld of a person who is suspended now. It counts no more until owners sign the next charter.
#[test]
fn suspension_takes_what_is_upheld_along() {
    let dossier = by_coder();
    let text = charter_without(&["tester"], &upheld("tester", "qa", TESTER, &[payload(&dossier.request)]));
    let helper = format!("[people]\ntester = {{ roles = [\"developer\"], keys = [\"{}\"] }}\n", line(TESTER));
    let text = text.replacen("[people]\n", &helper, 1);
    assert!(judge(&policy_of(&text, &[]), &dossier).is_ok());
    let suspended = policy_of(&text, &[suspension("tester")]);
    assert_eq!(judge(&suspended, &dossier).unwrap_err().code(), "APPROVALS_MISSING");
}

/// He holds the wish to bring back what was withdrawn, by suspending whoever withdrew it, or by a charter without them.
/// Attack: withheld withdrawal.
#[test]
fn a_withdrawal_outlives_its_signer() {
    let (taken, prod) = (withdrawal(1, TESTER), audience("prod"));
    assert!(policy_without(&[], "", &[suspension("tester")]).withdrawal(&taken, &prod).is_ok());
    assert!(policy_without(&["tester"], "", &[]).withdrawal(&taken, &prod).is_err());
    let kept = upheld("tester", "qa", TESTER, &[Digest::of(&taken.payload)]);
    assert!(policy_without(&["tester"], &kept, &[]).withdrawal(&taken, &prod).is_ok());
}

/// He holds the wish to bring back what was withdrawn. Owners may, by the withdrawal's digest in the charter that they sign;
/// every other withdrawal goes on killing, one of the same requests too, and one that a target kept without its digest.
/// Attack: withheld withdrawal.
#[test]
fn owners_annul_one_withdrawal_by_its_digest() {
    let (taken, prod) = (withdrawal(1, TESTER), audience("prod"));
    let annulled = |envelopes: &[&Envelope]| {
        let digests: Vec<String> = envelopes.iter().map(|e| format!("\"{}\"", Digest::of(&e.payload))).collect();
        policy_of(&format!("annulled = [{}]\n{}", digests.join(", "), charter_text(PROD)), &[])
    };
    let kept = |envelopes: &[&Envelope]| envelopes.iter().map(|e| policy().withdrawal(e, &prod).unwrap()).collect();
    let mut attempt = Attempt { kept: kept(&[&taken]), ..Attempt::new(whole()) };
    assert_eq!(attempt.denied(), "PERMIT_WITHDRAWN");
    attempt.policy = annulled(&[&taken]);
    assert!(attempt.run().is_ok(), "what owners annulled lives again");

    let Act::Withdrawal(act) = Statement::read(&taken).unwrap().act else { panic!("it is a withdrawal") };
    let for_a_reason = Withdrawal { reason: Some(Digest::of(b"too loud")), ..act };
    let again = signed(build(), Act::Withdrawal(for_a_reason), &[ONCALL]);
    let later = withdrawal(2, TESTER);
    for other in [&again, &later] {
        attempt.kept = kept(&[&taken, other]);
        assert_eq!(attempt.denied(), "PERMIT_WITHDRAWN", "the other one is not annulled");
    }
    attempt.policy = annulled(&[&taken, &later]);
    assert!(attempt.run().is_ok());
    attempt.kept[0].payload = None;
    assert_eq!(attempt.denied(), "PERMIT_WITHDRAWN");

    let twice = format!("annulled = [\"{0}\", \"{0}\"]\n{1}", Digest::of(&taken.payload), charter_text(PROD));
    assert!(Charter::from_bytes(twice.as_bytes()).unwrap_err().to_string().contains("twice"));
}

/// Attack: forged charter.
/// Holds: the server's key, an approver's and a stranger's. A charter that annuls is a charter: owners signed it, or it is
/// nothing.
/// Left to him: nothing; a charter without its owners' signatures is not read any further.
#[test]
fn an_annulment_that_owners_did_not_sign_is_nothing() {
    let annuls = format!("annulled = [\"{}\"]\n{}", Digest::of(b"withdrawal"), charter_text(PROD));
    let root = signed_root(&root_signed(1), &[OWNER, SECOND_OWNER]);
    let documents = |seeds: &[u8]| {
        let targets = targets_bytes(annuls.as_bytes(), 2, seeds);
        let documents = Documents { roots: std::slice::from_ref(&root), targets: &targets, charter: annuls.as_bytes() };
        VerifiedDocuments::verify(&Digest::of(&root), &documents, 1).map(|documents| documents.charter.annulled.len())
    };
    assert_eq!(documents(&[OWNER]).unwrap(), 1);
    for seeds in [&[SERVER][..], &[TESTER], &[STRANGER], &[SERVER, TESTER, STRANGER]] {
        assert!(documents(seeds).is_err(), "{seeds:?}");
    }
    let plain = targets_bytes(charter_text(PROD).as_bytes(), 2, &[OWNER]);
    let swapped = Documents { roots: std::slice::from_ref(&root), targets: &plain, charter: annuls.as_bytes() };
    assert!(
        VerifiedDocuments::verify(&Digest::of(&root), &swapped, 1).is_err(),
        "another charter under their signature"
    );
}
