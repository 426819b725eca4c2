//! He holds the server: its disk, its online keys, and every envelope ever signed.

use crate::world::*;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    Digest, TargetName,
    authority::{CarriedOut, Dossier, KeptWithdrawal, VerifiedAuthority, check_config, check_manifest},
    charter::Class,
    config::{ConfigDocument, ConfigValue},
    dsse::Envelope,
    inventory,
    key::Signer,
    manifest::{ConfigKey, Health, HealthCheck, Manifest, Process, StopSignal},
    statement::{
        Act, Administration, AdministrationAct, Config, Enrolment, Facts, Inventory, Number, Order, OrderAct, Push,
        Session,
    },
};

#[test]
fn r31_what_all_agreed_on_is_let_through() {
    assert!(matches!(Attempt::new(whole()).run(), Ok(VerifiedAuthority::Permit(_))));
}

/// Attack: arbitrary installation.
/// Holds: the server, its disk and all its online keys; he signs a push, a number, a request, approvals and an order
/// with keys of his own.
/// Left to him: nothing in test and live environments; keys that the owners' charter does not name count for nobody.
#[test]
fn arbitrary_installation() {
    let request = request_for("prod", 1, STRANGER);
    let dossier = Dossier {
        push: Some(push(STRANGER)),
        number: Some(number(STRANGER)),
        approvals: vec![approval(&request, STRANGER), approval(&request, STRANGER)],
        request: Some(request),
        order: Some(order_in("prod", OrderAct::Deploy, STRANGER)),
        ..Dossier::default()
    };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// He leaves out the request, so that the build looks like one that a dev environment would take.
/// Attack: arbitrary installation.
#[test]
fn r2_unreleased_to_live() {
    let dossier = Dossier { request: None, approvals: vec![], number: None, ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "UNRELEASED");
}

/// R22, R24: who deploys an application is the charter's word, and a target knows it without the server.
#[test]
fn r22_r24_a_target_knows_what_others_deploy() {
    let text = format!("{}\n[applications]\nweb = {{ deployed_by = \"customer\" }}\n", charter_text(PROD));
    let attempt = |policy| Attempt { policy, ..Attempt::new(whole()) };
    assert_eq!(attempt(policy_of(&text, &[])).denied(), "DEPLOYED_BY_OTHERS");
    let ours = text.replace("customer", "us");
    assert!(attempt(policy_of(&ours, &[])).run().is_ok());
}

/// Attack: stolen online keys.
/// Holds: every key that lives on the server: TLS, ledger, timestamp and snapshot. He signs what only people may sign.
/// Left to him: to sign what is fresh, and to answer in the server's name. Freshness grants nothing; the targets and the
/// charter, the permits and the orders are signed by people.
#[test]
fn stolen_online_keys() {
    // The server's key stands in the root for snapshot and timestamp, and in the charter for the ledger.
    let ledger = line(SERVER);
    let text = charter_text(PROD).replacen("[people]", &format!("[server]\nledger = [\"{ledger}\"]\n[people]"), 1);
    let attempt = |dossier: Dossier| Attempt { policy: policy_of(&text, &[]), ..Attempt::new(dossier) };
    assert!(attempt(whole()).run().is_ok());
    let request = request_for("prod", 1, CODER);
    let approvals = vec![approval(&request, TESTER), approval(&request, SERVER)];
    let minted = Dossier { approvals, request: Some(request), ..whole() };
    assert_eq!(attempt(minted).denied(), "APPROVALS_MISSING");
    let ordered = Dossier { order: Some(order_in("prod", OrderAct::Deploy, SERVER)), ..whole() };
    assert_eq!(attempt(ordered).denied(), "STATEMENT_INVALID");
    assert!(attempt(whole()).policy.withdrawal(&withdrawal(1, SERVER), &audience("prod")).is_err());
}

/// He writes a request that asks for fewer roles than the charter: both must be satisfied.
#[test]
fn a_request_cannot_lower_the_charter() {
    let mut attempt = Attempt::new(whole());
    attempt.policy = policy_of(&charter_text(r#"class = "live", approve = "2 qa and ops", deploy = "ops""#), &[]);
    assert_eq!(attempt.denied(), "APPROVALS_MISSING");
}

/// Attack: withheld withdrawal.
/// Holds: the server; he shows the permit and every approval, and leaves the withdrawal out.
/// Left to him: targets that never heard of it, by any road, until the permit's not-after or until what they know of
/// the estate is too stale for new activations. A target that saw it once keeps it for ever.
#[test]
fn withheld_withdrawal() {
    let mut attempt = Attempt::new(whole());
    let kept = attempt.policy.withdrawal(&withdrawal(1, TESTER), &audience("prod")).unwrap();
    attempt.kept = vec![kept];
    assert_eq!(attempt.denied(), "PERMIT_WITHDRAWN");
}

/// Attack: re-grant after withdrawal with mixed approvals.
/// Holds: the server, a genuine new request, and every approval of the withdrawn one (R53).
/// Left to him: nothing; an approval is of one request's exact bytes, and serials, not clocks, say which are dead.
#[test]
fn regrant_with_mixed_approvals() {
    let (old, new) = (request_for("prod", 1, CODER), request_for("prod", 2, CODER));
    let mut attempt = Attempt::new(Dossier {
        approvals: vec![approval(&old, TESTER), approval(&new, ONCALL)],
        request: Some(new),
        ..whole()
    });
    attempt.kept = vec![KeptWithdrawal { app: app(), build: build(), through_serial: 1, payload: None }];
    assert_eq!(attempt.denied(), "APPROVALS_MISSING");
}

/// Attack: replay to another environment.
/// Holds: the server, and a permit and an order that people signed for test; he shows them to prod.
/// Left to him: nothing; requests and orders name their environment, and a target knows its own from its enrolment.
#[test]
fn replay_to_another_environment() {
    let request = request_for("test", 1, CODER);
    let dossier = Dossier {
        approvals: vec![approval(&request, TESTER), approval(&request, ONCALL)],
        request: Some(request),
        ..whole()
    };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
    let dossier = Dossier { order: Some(order_in("test", OrderAct::Deploy, ONCALL)), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// Attack: replay to another target.
/// Holds: the server, and an order for prod-2 alone; he shows it to prod-1.
/// Left to him: an order for the whole environment reaches every target in it, which is what its signer meant.
#[test]
fn replay_to_another_target() {
    let act = Act::Order(Order {
        version: Some(version()),
        only: BTreeSet::from([TargetName::new("prod-2").unwrap()]),
        ..Order::new(app(), audience("prod"), OrderAct::Deploy)
    });
    let dossier = Dossier { order: Some(signed(build(), act, &[ONCALL])), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// Attack: replay to another estate.
/// Holds: another estate in which the same people work with the same keys, and everything they signed there.
/// Left to him: nothing; each statement names its estate by the digest of the first root.
#[test]
fn replay_to_another_estate() {
    let act = Act::Push(Push { app: app(), commit: None, recipe: None, makers: vec![] });
    let dossier = Dossier { push: Some(signed_in(Digest::of(b"another"), build(), act, &[CI])), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// Attack: replay to another serial.
/// Holds: the server; request 1 was withdrawn, and he presents it again with all its approvals as if it were the next.
/// Left to him: nothing; the serial is in the signed bytes. To renumber it he needs every approver anew.
#[test]
fn replay_to_another_serial() {
    let mut attempt = Attempt::new(whole());
    attempt.kept = vec![KeptWithdrawal { app: app(), build: build(), through_serial: 1, payload: None }];
    assert_eq!(attempt.denied(), "PERMIT_WITHDRAWN");
    // He changes the number in the request's bytes: neither the requester's signature nor an approval covers it.
    let renumbered = |seed| request_for("prod", 2, seed);
    let mut forged = whole();
    let genuine = forged.request.clone().unwrap();
    forged.request = Some(Envelope { signatures: genuine.signatures, ..renumbered(CODER) });
    attempt.dossier = forged;
    assert_eq!(attempt.denied(), "STATEMENT_INVALID");
    // And with the requester's help, the approvals are still of the old one.
    attempt.dossier = Dossier { request: Some(renumbered(CODER)), ..whole() };
    assert_eq!(attempt.denied(), "APPROVALS_MISSING");
}

/// Attack: repeated order.
/// Holds: the server, and every genuine statement. He repeats an order that was carried out, under a permit that lives.
/// Left to him: to undo what an order did is a person's new order; an old one is carried out once on each target.
#[test]
fn repeated_order() {
    let mut attempt = Attempt::new(whole());
    let carried_out = |dossier: &Dossier| Digest::of(&dossier.order.as_ref().unwrap().payload);
    attempt.performed = vec![carried_out(&attempt.dossier)];
    assert_eq!(attempt.denied(), "ORDER_REPEATED");
    // What else is wrong with it is said first.
    let released = attempt.dossier.clone();
    attempt.dossier = Dossier { request: None, approvals: vec![], number: None, ..released.clone() };
    assert_eq!(attempt.denied(), "UNRELEASED");
    attempt.dossier = released;
    attempt.kept = vec![KeptWithdrawal { app: app(), build: build(), through_serial: 1, payload: None }];
    assert_eq!(attempt.denied(), "PERMIT_WITHDRAWN");
    // Stopping and removing are carried out once, too.
    for act in [OrderAct::Undeploy, OrderAct::Stop] {
        let dossier = Dossier { order: Some(order_in("prod", act, ONCALL)), ..Dossier::default() };
        let performed = vec![carried_out(&dossier)];
        let repeated = Attempt { act, performed, active: Some(build()), ..Attempt::new(dossier) };
        assert_eq!(repeated.denied(), "ORDER_REPEATED");
    }
    // The deployer's next order for the same build is another one, whatever was carried out before.
    let mut attempt = Attempt::new(whole());
    attempt.performed = vec![Digest::of(b"an earlier order")];
    assert!(attempt.run().is_ok());
}

/// Attack: replayed old order.
/// Holds: the server, and every order that was ever signed, some of which a target never got: a `stop` of last year, a
/// deployment of what has long been replaced.
/// Left to him: to hold an order back, and to deliver it late: one that brings a build as long as its permit lives, any
/// other for seven days, and each as long as the target has carried out none for this application that is more than a day
/// newer. In class dev, where nothing needs a permit, only the last ends an order to deploy.
#[test]
fn replayed_old_order() {
    const IN_PLACE: [OrderAct; 6] = [
        OrderAct::Stop,
        OrderAct::Start,
        OrderAct::Restart,
        OrderAct::Configure,
        OrderAct::Undeploy,
        OrderAct::Rollback,
    ];
    let attempt = |act: OrderAct, submit_before: &str| {
        let order = order_until("prod", act, time(submit_before), ONCALL);
        let settled = vec![build()];
        Attempt { act, active: Some(build()), settled, ..Attempt::new(Dossier { order: Some(order), ..whole() }) }
    };
    // It is noon of the 22nd. What needs no permit is good for a week, however long the target was away.
    for act in IN_PLACE {
        assert!(attempt(act, "2026-11-15T12:00:00Z").run().is_ok(), "{act:?}");
        assert_eq!(attempt(act, "2026-11-15T11:59:59Z").denied(), "ORDER_EXPIRED", "{act:?}");
        assert_eq!(attempt(act, "2025-11-22T12:00:00Z").denied(), "ORDER_EXPIRED", "{act:?}");
    }
    // A deployment may wait for its permit, or travel on media: its permit ends it.
    for act in [OrderAct::Deploy, OrderAct::Redeploy] {
        assert!(attempt(act, "2026-11-01T12:00:00Z").run().is_ok(), "{act:?}");
    }
    // What was carried out since ends every older order, also one that was never seen here.
    let newest = Some(time("2026-11-20T12:00:00Z"));
    for act in IN_PLACE.into_iter().chain([OrderAct::Deploy, OrderAct::Redeploy]) {
        // Two orders in their right succession may differ by what people may write into them.
        let beside = Attempt { newest, ..attempt(act, "2026-11-19T12:00:00Z") };
        assert!(beside.run().is_ok(), "{act:?}");
        let older = Attempt { newest, ..attempt(act, "2026-11-19T11:59:59Z") };
        assert_eq!(older.denied(), "ORDER_OUTDATED", "{act:?}");
    }
}

/// What was begun goes on, however long the machine was without power; and an order that claims to be of the far future
/// shuts out none that come after it.
#[test]
fn an_order_that_was_begun_goes_on_and_none_ends_those_to_come() {
    let order = order_until("prod", OrderAct::Undeploy, time("2026-11-01T12:00:00Z"), ONCALL);
    let begun = Some(Digest::of(&order.payload));
    let dossier = Dossier { order: Some(order), ..Dossier::default() };
    let attempt = Attempt { act: OrderAct::Undeploy, active: Some(build()), ..Attempt::new(dossier) };
    assert_eq!(attempt.denied(), "ORDER_EXPIRED");
    assert!(Attempt { begun, ..attempt }.run().is_ok());

    let carried_out = |newest: Option<&str>, order: &str| {
        CarriedOut::newest_with(newest.map(time), Some(time(order)), now()).unwrap().to_string()
    };
    assert_eq!(carried_out(None, "2026-11-22T12:05:00Z"), "2026-11-22T12:05:00Z");
    assert_eq!(carried_out(None, "9999-01-01T00:00:00Z"), "2026-11-23T12:00:00Z");
    let known = Some("2026-11-22T12:05:00Z");
    assert_eq!(carried_out(known, "2026-11-22T01:00:00Z"), "2026-11-22T12:05:00Z", "the newest never falls");
    assert_eq!(CarriedOut::newest_with(known.map(time), None, now()), known.map(time));
}

/// R15: a permit without the deployer's order, or with a developer's, activates nothing.
#[test]
fn r15_no_order_or_one_by_the_wrong_role() {
    assert_eq!(Attempt::new(Dossier { order: None, ..whole() }).denied(), "STATEMENT_MISSING");
    let dossier = Dossier { order: Some(order_in("prod", OrderAct::Deploy, CODER)), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// Attack: bytes swapped under a name before approval.
/// Holds: the server; people say web@1.0.0, and he puts other bytes behind the name before they sign.
/// Left to him: nothing; push and number are signed with the full digest, and the approver's own machine recomputes the
/// manifest's digest and checks both before it signs.
#[test]
fn bytes_swapped_under_a_name() {
    let other = Digest::of(b"other bytes");
    let act = Act::Push(Push { app: app(), commit: None, recipe: None, makers: vec![] });
    let dossier = Dossier { push: Some(signed(other, act, &[CI])), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
    let act = Act::Number(Number { app: app(), version: version() });
    let dossier = Dossier { number: Some(signed(other, act, &[CODER])), ..whole() };
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// Takes the authority of a genuine permit, and a manifest that was changed under it.
fn changed(change: impl FnOnce(&mut Manifest)) {
    let process = Process {
        run: vec!["./web".into()],
        copies: 1,
        port: None,
        health: Some(Health {
            check: HealthCheck::Command(vec!["./check".into()]),
            within_seconds: 5,
            consecutive: 1,
            every_seconds: None,
        }),
        stop_signal: StopSignal::Term,
        stop_seconds: 5,
        socket: None,
    };
    let mut genuine = manifest();
    genuine.run.processes.insert("web".into(), process);
    let build = Digest::of(&genuine.to_bytes().unwrap());
    let authority = Attempt::new(whole_of(build)).run_of(build).unwrap();
    assert!(check_manifest(&authority, &genuine.to_bytes().unwrap()).is_ok());
    let mut forged = genuine.clone();
    change(&mut forged);
    assert_ne!(forged, genuine);
    assert!(check_manifest(&authority, &forged.to_bytes().unwrap()).is_err());
}

/// Attack: changed command.
/// Holds: the server, and a genuine permit for a build; he gives another command to run with it.
/// Left to him: nothing; the command stands in the manifest, whose digest is what people signed.
#[test]
fn changed_command() {
    changed(|manifest| manifest.run.processes.get_mut("web").unwrap().run.push("--backdoor".into()));
}

/// Attack: changed hook.
/// Holds: the same; he gives another program for the health check, the one program that runs beside the service.
/// Left to him: nothing; it stands in the manifest.
#[test]
fn changed_hook() {
    changed(|manifest| {
        let health = manifest.run.processes.get_mut("web").unwrap().health.as_mut().unwrap();
        health.check = HealthCheck::Command(vec!["/bin/sh".into(), "-c".into(), "true".into()]);
    });
}

/// Attack: changed user.
/// Holds: the same; he has the service run as root.
/// Left to him: nothing; it stands in the manifest.
#[test]
fn changed_user() {
    changed(|manifest| manifest.run.user = Some("root".into()));
}

/// Attack: changed environment variable.
/// Holds: the same; he adds a variable that the service would read.
/// Left to him: nothing; variables stand in the manifest, or are config that somebody with the right to it signed.
#[test]
fn changed_environment_variable() {
    changed(|manifest| {
        manifest.run.environment.insert("UPSTREAM".into(), "https://elsewhere.example".into());
    });
}

fn document(key: &str) -> ConfigDocument {
    ConfigDocument {
        app: app(),
        environment: audience("prod"),
        values: BTreeMap::from([(key.to_string(), ConfigValue::Plain("x".into()))]),
        salt: "00".into(),
    }
}

fn config(document: &ConfigDocument, serial: u64, seed: u8) -> Envelope {
    let keys = document.keys();
    let act = Config { app: app(), environment: audience("prod"), serial, keys, recipients: BTreeSet::new() };
    signed(document.digest().unwrap(), Act::Config(act), &[seed])
}

fn takes(manifest: &Manifest, document: &ConfigDocument, envelope: &Envelope, last: u64) -> bool {
    let bytes = document.to_bytes().unwrap();
    check_config(&policy(), &pinned("prod", Class::Live), manifest, Some(envelope), Some(&bytes), last).is_ok()
}

/// Config: older, by somebody without the right, with other values, or suddenly none.
#[test]
fn config_that_was_not_signed_for() {
    let good = document("LEVEL");
    assert!(takes(&manifest(), &good, &config(&good, 2, ONCALL), 1));
    assert!(!takes(&manifest(), &good, &config(&good, 2, ONCALL), 3), "an older set");
    assert!(!takes(&manifest(), &good, &config(&good, 2, CODER), 1), "by one who may not");
    assert!(!takes(&manifest(), &document("OTHER"), &config(&good, 2, ONCALL), 1), "other values");
    let none = check_config(&policy(), &pinned("prod", Class::Live), &manifest(), None, None, 2);
    assert!(none.is_err(), "none any more");
}

/// Attack: loader variable through config.
/// Holds: the right to set config in prod, and the server. He sets a variable that decides what code is loaded.
/// Left to him: the values of the keys that the approved build declares, which is what the right is for; never PATH,
/// LD_*, *_OPTIONS or their kind, not even where a build declares them.
#[test]
fn loader_variable_through_config() {
    for variable in
        ["LD_PRELOAD", "PATH", "BASH_ENV", "NODE_OPTIONS", "PYTHONPATH", "JAVA_TOOL_OPTIONS", "LUA_INIT", "GIT_SSH"]
    {
        let mut hostile = manifest();
        hostile.run.config.insert(variable.into(), ConfigKey { secret: false, default: Some(String::new()) });
        let loader = document(variable);
        assert!(!takes(&hostile, &loader, &config(&loader, 2, ONCALL), 1), "{variable}");
    }
    // A key that the build does not declare reaches no process.
    let undeclared = document("LD_PRELOAD");
    assert!(takes(&manifest(), &undeclared, &config(&undeclared, 2, ONCALL), 1));
    assert!(!manifest().run.config.contains_key("LD_PRELOAD"));
}

/// Attack: signing oracle at login.
/// Holds: the server that a person logs in to; he has whatever the person signs there.
/// Left to him: a session at his own server, which it already is. No bytes that he chose are ever signed: the client
/// builds the statement, which names the estate and the pin of the TLS key it spoke to.
#[test]
fn signing_oracle_at_login() {
    let session = signed(estate(), Act::Session(Session { server: Digest::of(b"the server's key") }), &[ONCALL]);
    // Of all statements of the approver's he now has one more, and it stands for none of the others.
    let request = request_for("prod", 1, CODER);
    let approvals = vec![approval(&request, TESTER), session.clone()];
    let attempt = Attempt::new(Dossier { approvals, request: Some(request), ..whole() });
    assert_eq!(attempt.denied(), "APPROVALS_MISSING");
    assert_eq!(Attempt::new(Dossier { order: Some(session), ..whole() }).denied(), "STATEMENT_INVALID");
}

fn invitation(seed: u8, environment: &str) -> Envelope {
    let act = AdministrationAct::InviteTarget {
        invitation: key(INVITATION).public(),
        environment: audience(environment),
        labels: BTreeMap::new(),
        name: Some(TargetName::new("prod-3").unwrap()),
        uses: 1,
        expires: time("2026-11-23T00:00:00Z"),
        ephemeral: false,
    };
    signed(estate(), Act::Administration(Administration { act }), &[seed])
}

fn enrolment(target: &str, environment: &str, seeds: &[u8]) -> Envelope {
    let act = Enrolment {
        environment: audience(environment),
        target: TargetName::new(target).unwrap(),
        invitation: key(INVITATION).public(),
        key: key(TARGET).public(),
        recipient: "age1target".into(),
        facts: Facts::default(),
        active: Default::default(),
    };
    signed(estate(), Act::Enrolment(act), seeds)
}

/// Attack: forged invitation.
/// Holds: the server; he puts a machine of his own among prod's targets, so that secrets are encrypted for it too.
/// Left to him: to show such a machine in lists, and to send it builds, which he has. Who sets a secret checks each
/// target's enrolment and invitation first. Whoever gets hold of an unused token joins with it, as its holder.
#[test]
fn forged_invitation() {
    let policy = policy();
    let both = &[INVITATION, TARGET];
    let joined = policy.enrolment(&invitation(OWNER, "prod"), &enrolment("prod-3", "prod", both)).unwrap();
    assert_eq!((joined.recipient.as_str(), joined.target.as_str()), ("age1target", "prod-3"));
    let refused = |invitation: Envelope, enrolment: Envelope| policy.enrolment(&invitation, &enrolment).is_err();
    // Nobody who may invite signed: a stranger, the server itself, the deployer where only owners invite.
    for seed in [STRANGER, SERVER, ONCALL] {
        assert!(refused(invitation(seed, "prod"), enrolment("prod-3", "prod", both)));
    }
    // A genuine invitation, and a machine that does not have its key, or another one's name or place.
    for seeds in [&[TARGET][..], &[STRANGER, TARGET], &[INVITATION]] {
        assert!(refused(invitation(OWNER, "prod"), enrolment("prod-3", "prod", seeds)));
    }
    assert!(refused(invitation(OWNER, "prod"), enrolment("prod-4", "prod", both)));
    assert!(refused(invitation(OWNER, "dev"), enrolment("prod-3", "prod", both)));
    // Another statement of an owner's is no invitation.
    assert!(refused(withdrawal(1, OWNER), enrolment("prod-3", "prod", both)));
}

fn inventory(target: &str, seeds: &[u8]) -> Envelope {
    let act = Inventory {
        target: TargetName::new(target).unwrap(),
        scanned: now(),
        active: BTreeMap::from([(app(), build())]),
        findings: vec![],
        lapsed: None,
        facts: None,
    };
    signed(estate(), Act::Inventory(act), seeds)
}

/// Attack: forged inventory.
/// Holds: the server; he answers for a target, so that what escaped there is not seen.
/// Left to him: to withhold the target's newest inventory or to show an old one; `sortie escapes` says of each how old
/// it is by the target's own clock. Whoever is root on the machine can have its agent sign anything.
#[test]
fn forged_inventory() {
    let both = &[INVITATION, TARGET];
    let joined = policy().enrolment(&invitation(OWNER, "prod"), &enrolment("prod-3", "prod", both)).unwrap();
    let genuine = inventory("prod-3", &[TARGET]);
    let read = inventory::verify(&estate(), &joined, &genuine).unwrap();
    assert_eq!((read.scanned, read.active.get(&app())), (now(), Some(&build())));
    // Signed by the server, a person, the invitation's key, or nobody who is this target; or by it about another.
    for seed in [SERVER, ONCALL, INVITATION, STRANGER] {
        assert!(inventory::verify(&estate(), &joined, &inventory("prod-3", &[seed])).is_err());
    }
    assert!(inventory::verify(&estate(), &joined, &inventory("prod-4", &[TARGET])).is_err());
    // Bytes that it did not sign under its signature; another estate's; another kind of statement.
    let mut changed = inventory("prod-3", &[SERVER]);
    changed.signatures.clone_from(&genuine.signatures);
    changed.payload =
        String::from_utf8(changed.payload).unwrap().replace("2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z").into();
    assert!(inventory::verify(&estate(), &joined, &changed).is_err());
    assert!(inventory::verify(&Digest::of(b"another"), &joined, &genuine).is_err());
    assert!(inventory::verify(&estate(), &joined, &enrolment("prod-3", "prod", both)).is_err());
}

/// R31: time passes; the permit is over, or has not begun.
#[test]
fn r31_out_of_its_time() {
    for at in ["2026-12-01T00:00:00Z", "2026-10-01T00:00:00Z"] {
        let attempt = Attempt { now: time(at), ..Attempt::new(whole()) };
        assert_eq!(attempt.denied(), "PERMIT_EXPIRED");
    }
}

/// He goes back to an old version that is permitted, but below the signed floor.
/// Attack: rollback.
#[test]
fn below_the_floor() {
    let attempt = Attempt { floor: Some("1.0.1".parse().unwrap()), ..Attempt::new(whole()) };
    assert_eq!(attempt.denied(), "BELOW_FLOOR");
}

/// He has a deployer's genuine order to roll back. The target goes only where it has been, or where it might be deployed to now.
/// Attack: rollback.
#[test]
fn rollback_to_what_never_settled_here() {
    let dossier = Dossier { order: Some(order_in("prod", OrderAct::Rollback, ONCALL)), ..whole() };
    let mut attempt = Attempt { act: OrderAct::Rollback, ..Attempt::new(dossier) };
    assert!(matches!(attempt.run(), Ok(VerifiedAuthority::Permit(_))), "as any deployment, by a permit that lives");
    attempt.floor = Some("1.0.1".parse().unwrap());
    assert_eq!(attempt.denied(), "BELOW_FLOOR");
    attempt.settled = vec![build()];
    assert!(matches!(attempt.run(), Ok(VerifiedAuthority::Rollback(_))));
    // Expiry does not stop going back; a withdrawal does.
    attempt.now = time("2027-01-01T00:00:00Z");
    attempt.dossier.order = Some(order_until("prod", OrderAct::Rollback, attempt.now, ONCALL));
    assert!(attempt.run().is_ok());
    (attempt.settled, attempt.floor) = (Vec::new(), None);
    assert_eq!(attempt.denied(), "PERMIT_EXPIRED");
    attempt.settled = vec![build()];
    attempt.kept = vec![KeptWithdrawal { app: app(), build: build(), through_serial: 1, payload: None }];
    assert_eq!(attempt.denied(), "PERMIT_WITHDRAWN");
}

/// R33: the charter asks for evidence; the dossier has none, or evidence of other bytes, or by the wrong issuer.
#[test]
fn r33_no_evidence_for_this_digest() {
    let evidence = |subject: Digest, seed: u8| {
        let act = trust::statement::Evidence {
            app: app(),
            kind: "test-result".into(),
            passed: true,
            summary: "812/812".into(),
            document: Digest::of(b"report"),
            predicate: None,
            facts: Default::default(),
            issued: None,
        };
        signed(subject, Act::Evidence(act), &[seed])
    };
    let strict = r#"class = "live", approve = "qa and ops", deploy = "ops", evidence = { test-result = "ci" }"#;
    let with = |evidence: Vec<Envelope>| Attempt {
        policy: policy_of(&charter_text(strict), &[]),
        ..Attempt::new(Dossier { evidence, ..whole() })
    };
    assert_eq!(with(vec![]).denied(), "EVIDENCE_MISSING");
    assert_eq!(with(vec![evidence(Digest::of(b"other"), CI)]).denied(), "EVIDENCE_MISSING");
    assert_eq!(with(vec![evidence(build(), CODER)]).denied(), "EVIDENCE_MISSING");
    assert!(with(vec![evidence(build(), CI)]).run().is_ok());
}

/// The charter needs more than this agent can do: it refuses rather than passing over what it does not know.
#[test]
fn a_feature_the_agent_lacks() {
    let mut attempt = Attempt::new(whole());
    let text = charter_text(PROD).replacen("[people]", "requires = [\"quorum-clocks\"]\n[people]", 1);
    attempt.policy = policy_of(&text, &[]);
    assert_eq!(attempt.denied(), "FEATURE_MISSING");
}

/// R2: dev takes unreleased builds, of somebody who may push, by order of somebody who may deploy.
#[test]
fn r2_unreleased_in_dev() {
    let dossier =
        Dossier { push: Some(push(CI)), order: Some(order_in("dev", OrderAct::Deploy, CODER)), ..Dossier::default() };
    let mut attempt = Attempt::new(dossier);
    attempt.pinned = pinned("dev", Class::Dev);
    assert!(matches!(attempt.run(), Ok(VerifiedAuthority::Unreleased(_))));
    attempt.dossier.push = Some(push(TESTER));
    assert_eq!(attempt.denied(), "STATEMENT_INVALID");
}

/// What is removed, stopped or restarted needs the deployer's order and nothing else: expiry never stops it.
#[test]
fn removal_and_control_need_an_order_only() {
    let dossier = |act| Dossier { order: Some(order_in("prod", act, ONCALL)), ..Dossier::default() };
    let attempt = |act| Attempt { act, active: Some(build()), ..Attempt::new(dossier(act)) };
    assert!(matches!(attempt(OrderAct::Undeploy).run(), Ok(VerifiedAuthority::Removal(_))));
    for act in [OrderAct::Stop, OrderAct::Start, OrderAct::Restart, OrderAct::Configure] {
        assert!(matches!(attempt(act).run(), Ok(VerifiedAuthority::Control(_))));
        assert_eq!(Attempt { active: None, ..attempt(act) }.denied(), "NOT_HERE");
    }
    // An order to deploy is no order to remove.
    let mut replayed = attempt(OrderAct::Undeploy);
    replayed.dossier.order = Some(order_in("prod", OrderAct::Deploy, ONCALL));
    assert_eq!(replayed.denied(), "STATEMENT_INVALID");
}
