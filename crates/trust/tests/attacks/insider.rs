//! He works here: he holds his own key rightly, and wants more than his share.

use crate::world::*;
use trust::{
    PersonName,
    authority::Dossier,
    charter::Charter,
    dsse::Envelope,
    statement::{Act, Administration, AdministrationAct},
    tuf::Root,
};

/// Attack: self-approval.
/// Holds: two roles, and his own key. He requests a release and approves it himself.
/// Left to him: environments whose charter says approve_own. In live ones neither the requester nor the pusher counts.
#[test]
fn self_approval() {
    let request = request_for("prod", 1, ONCALL);
    let dossier = Dossier {
        approvals: vec![approval(&request, TESTER), approval(&request, ONCALL)],
        request: Some(request),
        ..whole()
    };
    assert_eq!(Attempt::new(dossier).denied(), "APPROVALS_MISSING");
    // Nor does the pusher, whoever requested; nor a co-signer who stands second on the push or the request.
    for push in [push(ONCALL), push_by(&[CODER, ONCALL])] {
        assert_eq!(Attempt::new(Dossier { push: Some(push), ..whole() }).denied(), "APPROVALS_MISSING");
    }
    let request = request_by("prod", 1, &[CI, ONCALL]);
    let approvals = vec![approval(&request, TESTER), approval(&request, ONCALL)];
    let dossier = Dossier { approvals, request: Some(request), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "APPROVALS_MISSING");
}

/// Attack: one person with two keys.
/// Holds: two keys that the charter gives him, one person, in both roles that prod asks for.
/// Left to him: nothing; keys lead to a person, and a person fills one place.
#[test]
fn one_person_with_two_keys() {
    let request = request_for("prod", 1, CODER);
    let approvals = vec![approval(&request, ONCALL), approval(&request, SECOND_KEY)];
    let dossier = Dossier { approvals, request: Some(request), ..whole() };
    let text = charter_text(PROD).replacen(
        &format!(r#"oncall = {{ roles = ["developer", "ops"], keys = ["{}"]"#, line(ONCALL)),
        &format!(r#"oncall = {{ roles = ["qa", "ops"], keys = ["{}", "{}"]"#, line(ONCALL), line(SECOND_KEY)),
        1,
    );
    assert!(text.contains(&line(SECOND_KEY)));
    let attempt = Attempt { policy: policy_of(&text, &[]), ..Attempt::new(dossier) };
    assert_eq!(attempt.denied(), "APPROVALS_MISSING");
    // Two owners' keys of one person are one owner, and one key under two people makes a charter invalid.
    let own_two = root_signed(2).replacen("\"second\"", "\"owner\"", 1);
    assert!(Root::bootstrap(&signed_root(&own_two, &[OWNER, SECOND_OWNER])).is_err());
    let shared = charter_text(PROD).replacen(&line(TESTER), &line(ONCALL), 1);
    assert!(Charter::from_bytes(shared.as_bytes()).is_err());
}

/// Attack: threshold of zero.
/// Holds: an owner's key and the charter's text; he writes a rule that nobody has to meet.
/// Left to him: nothing; a rule names at least one person, a role that nobody holds is refused, and so is a root whose
/// threshold is zero.
#[test]
fn threshold_of_zero() {
    for rule in ["0 qa", "", "and", "qa or 0 ops", "nobody"] {
        let prod = format!(r#"class = "live", approve = "{rule}", deploy = "ops""#);
        assert!(Charter::from_bytes(charter_text(&prod).as_bytes()).is_err(), "{rule:?}");
    }
    let nobody_approves = r#"class = "live", deploy = "ops""#;
    assert!(Charter::from_bytes(charter_text(nobody_approves).as_bytes()).is_err());
    let signed = root_signed(1);
    assert!(Root::bootstrap(&signed_root(&signed, &[OWNER])).is_ok());
    for role in ["root", "targets", "timestamp", "snapshot"] {
        let zero = with_threshold(&signed, role, 0);
        assert_ne!(zero, signed);
        assert!(Root::bootstrap(&signed_root(&zero, &[OWNER])).is_err(), "{role}");
    }
}

/// Attack: malicious owner below threshold.
/// Holds: one owner's key, where two owners must sign; he writes a charter that makes him approver of everything.
/// Left to him: to suspend anyone at once, himself included, which takes power and never gives it.
#[test]
fn owner_below_threshold() {
    let root = Root::bootstrap(&signed_root(&root_signed(2), &[OWNER, SECOND_OWNER])).unwrap();
    let charter = charter_text(PROD);
    assert!(targets_for(&root, charter.as_bytes(), 1, &[OWNER, SECOND_OWNER]).is_ok());
    assert!(targets_for(&root, charter.as_bytes(), 2, &[OWNER]).is_err());
    assert!(targets_for(&root, charter.as_bytes(), 2, &[OWNER, STRANGER]).is_err());
}

/// Attack: class changed from live to dev.
/// Holds: the server, and a charter that owners signed by mistake or under pressure, in which prod is class dev.
/// Left to him: the targets that join afterwards. Those enrolled keep the class they were invited with, and refuse.
#[test]
fn class_changed_from_live_to_dev() {
    let mut attempt = Attempt::new(Dossier { request: None, approvals: vec![], ..whole() });
    attempt.policy = policy_of(&charter_text(r#"class = "dev", deploy = "ops""#), &[]);
    assert_eq!(attempt.denied(), "CLASS_CHANGED");
}

/// Attack: approver removed meanwhile.
/// Holds: the server, and the approval of somebody who has since left the charter or was suspended.
/// Left to him: targets that have not heard of the suspension or the new charter yet.
#[test]
fn approver_removed_meanwhile() {
    let suspension = |seeds: &[u8]| {
        let act = AdministrationAct::SuspendPerson { person: PersonName::new("tester").unwrap() };
        signed(estate(), Act::Administration(Administration { act }), seeds)
    };
    let with = |suspension: Envelope| Attempt {
        policy: policy_of(&charter_text(PROD), &[suspension]),
        ..Attempt::new(whole())
    };
    assert_eq!(with(suspension(&[OWNER])).denied(), "APPROVALS_MISSING");
    assert_eq!(with(suspension(&[TESTER])).denied(), "APPROVALS_MISSING");
    // A colleague cannot suspend somebody else.
    assert!(with(suspension(&[CODER])).run().is_ok());
    // And a charter in which somebody else has the role takes the approval along.
    let text = charter_text(PROD).replacen(&line(TESTER), &line(STRANGER), 1);
    let attempt = Attempt { policy: policy_of(&text, &[]), ..Attempt::new(whole()) };
    assert_eq!(attempt.denied(), "APPROVALS_MISSING");
}
