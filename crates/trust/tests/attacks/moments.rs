//! He wants something activated at the wrong moment: while its environment is frozen, before or after its time, outside of
//! every window.

use crate::world::*;
use jiff::Timestamp;
use std::collections::BTreeSet;
use trust::{
    Digest,
    authority::{Denial, Dossier, Lapsed, Pinned, TrustedPolicy, VerifiedAuthority},
    charter::Class,
    dsse::Envelope,
    freeze::{Exception, Freeze, Known, Lift, Said, Terms, known},
    schedule::Schedule,
    statement::{Act, Order, OrderAct},
    window::Opening,
};

fn terms(environments: &[&str]) -> Terms {
    Terms {
        environments: environments.iter().map(|name| audience(name)).collect(),
        apps: BTreeSet::new(),
        from: time("2026-11-20T00:00:00Z"),
        until: time("2026-11-30T00:00:00Z"),
        reason: Digest::of(b"holidays"),
    }
}

fn declared(terms: Terms, seed: u8) -> Envelope {
    signed(estate(), Act::Freeze(Freeze::Declare(terms)), &[seed])
}

fn lifted(freeze: &Envelope, seed: u8) -> Envelope {
    signed(Digest::of(&freeze.payload), Act::Freeze(Freeze::Lift(Lift { reason: None })), &[seed])
}

fn excepted(freeze: &Envelope, build: Digest, seed: u8) -> Envelope {
    let freeze = Digest::of(&freeze.payload);
    let exception = Exception { freeze, app: app(), version: version(), reason: Digest::of(b"a hole") };
    signed(build, Act::Freeze(Freeze::Except(exception)), &[seed])
}

/// What a target in prod makes of these, each as if it had come alone.
fn kept(envelopes: &[&Envelope]) -> Vec<Known> {
    let policy = policy();
    let said: Vec<Said> =
        envelopes.iter().filter_map(|envelope| policy.freeze(envelope, &audience("prod")).ok()).collect();
    known(&said)
}

fn frozen(envelopes: &[&Envelope]) -> Attempt {
    Attempt { freezes: kept(envelopes), ..Attempt::new(whole()) }
}

/// Attack: withheld freeze.
/// Holds: the server, a live permit and a genuine order; he says nothing of the freeze, or that it is over.
/// Left to him: targets that never heard of it by any road (poll, dossier, repository, mirror), as with a withdrawal. One
/// that heard of it once keeps it to its end, and takes nobody's word but of those whom the charter lets lift it.
#[test]
fn r1_withheld_freeze() {
    let freeze = declared(terms(&["prod"]), ONCALL);
    assert!(matches!(Attempt::new(whole()).run(), Ok(VerifiedAuthority::Permit(_))), "he never heard of it");
    assert_eq!(frozen(&[&freeze]).denied(), "FROZEN");
    assert_eq!(frozen(&[&freeze, &lifted(&freeze, SERVER)]).denied(), "FROZEN");
    assert_eq!(frozen(&[&freeze, &lifted(&freeze, CODER)]).denied(), "FROZEN");
    assert_eq!(frozen(&[&freeze, &excepted(&freeze, build(), STRANGER)]).denied(), "FROZEN");
    // Another freeze's end, or another build's exception, is none of this one.
    let other = declared(terms(&[]), ONCALL);
    assert_eq!(frozen(&[&freeze, &lifted(&other, ONCALL)]).denied(), "FROZEN");
    assert_eq!(frozen(&[&freeze, &excepted(&freeze, Digest::of(b"another"), ONCALL)]).denied(), "FROZEN");
    // Whoever may lift it does, in whatever order it comes.
    assert!(frozen(&[&lifted(&freeze, ONCALL), &freeze]).run().is_ok());
    assert!(frozen(&[&excepted(&freeze, build(), ONCALL), &freeze]).run().is_ok());
}

/// Holds: keys that may not freeze there; they would like to keep others from deploying.
#[test]
fn a_freeze_is_declared_by_those_whom_the_charter_names() {
    for seed in [CODER, TESTER, SERVER, STRANGER] {
        assert!(frozen(&[&declared(terms(&["prod"]), seed)]).run().is_ok(), "{seed} froze prod");
    }
    assert!(frozen(&[&declared(terms(&["test"]), ONCALL)]).run().is_ok(), "another environment is frozen");
    assert_eq!(frozen(&[&declared(terms(&[]), ONCALL)]).denied(), "FROZEN", "everything live is");
}

#[test]
fn going_back_and_stopping_are_never_frozen_and_config_is() {
    let freeze = declared(terms(&["prod"]), ONCALL);
    for act in [OrderAct::Rollback, OrderAct::Stop, OrderAct::Start, OrderAct::Restart, OrderAct::Undeploy] {
        let mut attempt = frozen(&[&freeze]);
        (attempt.act, attempt.settled, attempt.active) = (act, vec![build()], Some(build()));
        attempt.dossier.order = Some(order_in("prod", act, ONCALL));
        assert!(attempt.run().is_ok(), "{act:?}");
    }
    let mut attempt = frozen(&[&freeze]);
    (attempt.act, attempt.active) = (OrderAct::Configure, Some(build()));
    attempt.dossier.order = Some(order_in("prod", OrderAct::Configure, ONCALL));
    assert_eq!(attempt.denied(), "FROZEN");
}

#[test]
fn a_freeze_ends_by_itself_whatever_clocks_differ_by() {
    let freeze = declared(terms(&["prod"]), ONCALL);
    let at = |now: &str| Attempt { now: time(now), ..frozen(&[&freeze]) }.run();
    let is_frozen = |outcome: Result<_, Denial>| matches!(outcome, Err(Denial::Frozen { until, .. }) if until == end());
    assert!(is_frozen(at("2026-11-29T23:54:59Z")));
    assert!(at("2026-11-29T23:55:00Z").is_ok());
    assert!(at("2026-11-19T23:59:59Z").is_ok());
}

fn end() -> Timestamp {
    time("2026-11-30T00:00:00Z")
}

/// What oncall ordered for another time.
fn ordered(schedule: Schedule) -> Attempt {
    let order = Order { version: Some(version()), schedule, ..Order::new(app(), audience("prod"), OrderAct::Deploy) };
    let order = Some(signed(build(), Act::Order(order), &[ONCALL]));
    Attempt::new(Dossier { order, ..whole() })
}

/// Attack: order at another time.
/// Holds: the server, a live permit, and a genuine order that was planned for later, or whose time is over.
/// Left to him: what clocks may differ by, five minutes; and to let the time of an order pass, which is withholding it.
#[test]
fn r1_an_order_at_another_time() {
    let planned = Schedule {
        at: Some(time("2026-11-24T07:00:00Z")),
        expires: Some(time("2026-11-24T12:00:00Z")),
        windows: Vec::new(),
    };
    let at = |now: &str| Attempt { now: time(now), ..ordered(planned.clone()) };
    assert_eq!(at("2026-11-22T12:00:00Z").denied(), "NOT_YET");
    assert_eq!(at("2026-11-24T06:54:59Z").denied(), "NOT_YET");
    assert!(at("2026-11-24T06:55:00Z").run().is_ok() && at("2026-11-24T12:04:59Z").run().is_ok());
    assert_eq!(at("2026-11-24T12:05:00Z").denied(), "ORDER_OVER");
    // Whatever was carried out between the signing and its time does not make it an old order.
    let newest = Some(time("2026-11-24T06:00:00Z"));
    assert!(Attempt { newest, ..at("2026-11-24T07:00:00Z") }.run().is_ok());
    assert_eq!(
        Attempt { newest, now: time("2026-11-24T07:00:00Z"), ..Attempt::new(whole()) }.denied(),
        "ORDER_OUTDATED"
    );
}

/// Attack: activation outside of every window.
/// Holds: the server, a live permit and a genuine order; or a deployer's key, with which he writes times of his own.
/// Left to him: an hour before and after a window, if he holds a deployer's key; the charter's windows are the owners'.
#[test]
fn r1_activation_outside_of_every_window() {
    let charter = charter_text(&format!("{PROD}, windows = [\"mon-thu 07:00-16:00 Europe/Paris\"]"));
    let policy = || policy_of(&charter, &[]);
    let windows = policy().charter.environments[&audience("prod")].windows.clone();
    let written = Schedule { windows: Schedule::write_out(&windows, now()), ..Schedule::default() };
    let always = Opening { from: time("2026-11-01T00:00:00Z"), until: time("2026-12-01T00:00:00Z") };
    let bent = Schedule { windows: vec![always], ..Schedule::default() };
    let at = |schedule: &Schedule, now: &str| Attempt { policy: policy(), now: time(now), ..ordered(schedule.clone()) };
    for schedule in [&written, &bent, &Schedule::default()] {
        assert!(at(schedule, "2026-11-23T12:00:00Z").run().is_ok(), "{schedule:?}");
        for closed in ["2026-11-22T12:00:00Z", "2026-11-27T12:00:00Z", "2026-11-23T16:05:00Z"] {
            assert_eq!(at(schedule, closed).denied(), "WINDOW_CLOSED", "{closed} {schedule:?}");
        }
    }
    assert_eq!(at(&written, "2026-11-23T15:05:00Z").denied(), "WINDOW_CLOSED");
    assert!(at(&bent, "2026-11-23T15:05:00Z").run().is_ok(), "the hour that is left to him");
}

/// The end of what lives for a time only is the owners' word, and the target's own memory of when it joined.
/// Attack: a target ended early, or kept.
/// Holds: the server, and with it every statement and report there is; he wants a machine to remove what runs on it, or one
/// whose time is over to go on.
/// Left to him: to withhold a charter that gives more time. Nothing of a live target ends by itself, whatever a later charter
/// calls its environment.
#[test]
fn r30_a_target_ended_early_or_kept() {
    let joined = time("2026-11-20T00:00:00Z");
    let of = |test: &str| {
        policy_of(&charter_text(PROD).replace(r#"class = "test","#, &format!(r#"class = "test", {test}"#)), &[])
    };
    let two_days = of(r#"lives = "48h","#);
    let test = pinned("test", Class::Test);
    let judge = |policy: &TrustedPolicy, pinned: &Pinned, now: &str| Lapsed::judge(policy, pinned, joined, time(now));
    assert_eq!(judge(&two_days, &test, "2026-11-21T23:59:59Z"), None);
    let found = judge(&two_days, &test, "2026-11-22T00:00:00Z").unwrap();
    assert_eq!((found.joined, found.charter, found.lives.to_string().as_str()), (joined, 1, "2d"));
    // Without the owners' word there is no end, and one in another environment is none here.
    assert_eq!(judge(&policy(), &test, "2036-11-22T00:00:00Z"), None);
    assert_eq!(judge(&two_days, &pinned("dev", Class::Dev), "2036-11-22T00:00:00Z"), None);
    // What joined as a live target stays one.
    assert_eq!(judge(&two_days, &pinned("test", Class::Live), "2036-11-22T00:00:00Z"), None);
    // What is proved is good for removing this one application, and brings nothing.
    let authority = VerifiedAuthority::lapse(&app(), &found);
    assert!(authority.app() == &app() && authority.build().is_none() && !authority.activates());
}
