//! Packages: one permit and one order for the versions that they list, and for nothing else.

use crate::world::*;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, Digest,
    authority::{Dossier, PackageDossier, VerifiedAuthority},
    charter::Class,
    dsse::Envelope,
    manifest::{FORMAT, Manifest, Member, Run},
    statement::{Act, Approval, Number, Order, OrderAct, Push, Withdrawal},
};

fn shop() -> AppName {
    "shop".parse().unwrap()
}

/// A package that lists `build` as web@1.0.0, and a database that web comes after.
fn listing(build: Digest) -> Manifest {
    let member = |build, after: &[&str]| Member {
        version: version(),
        build,
        after: after.iter().map(|name| name.parse().unwrap()).collect::<BTreeSet<AppName>>(),
    };
    let package = BTreeMap::from([
        (app(), member(build, &["db"])),
        ("db".parse().unwrap(), member(Digest::of(b"the database"), &[])),
    ]);
    Manifest { format: FORMAT, app: shop(), files: vec![], run: Run { package, ..Run::default() } }
}

fn package() -> Manifest {
    listing(build())
}

fn digest(manifest: &Manifest) -> Digest {
    Digest::of(&manifest.to_bytes().unwrap())
}

fn request(manifest: &Manifest, to: &str, serial: u64) -> Envelope {
    request_of(manifest.app.clone(), digest(manifest), to, serial, &[CODER])
}

fn agreed(manifest: &Manifest, request: &Envelope, seeds: &[u8]) -> Vec<Envelope> {
    let approval = |seed: &u8| {
        let act = Approval { app: manifest.app.clone(), version: version(), audience: audience("prod") };
        signed(Digest::of(&request.payload), Act::Approval(act), &[*seed])
    };
    seeds.iter().map(approval).collect()
}

/// Everything as it should be behind a package: pushed and numbered by ci, requested by coder, approved by tester and oncall.
fn released(manifest: &Manifest) -> PackageDossier {
    let request = request(manifest, "prod", 1);
    let (app, of) = (manifest.app.clone(), digest(manifest));
    let push = Push { app: app.clone(), commit: None, recipe: None, makers: vec![] };
    PackageDossier {
        manifest: String::from_utf8(manifest.to_bytes().unwrap()).unwrap(),
        push: Some(signed(of, Act::Push(push), &[CI])),
        number: Some(signed(of, Act::Number(Number { app, version: version() }), &[CODER])),
        approvals: agreed(manifest, &request, &[TESTER, ONCALL]),
        request: Some(request),
    }
}

fn ordered(manifest: &Manifest, act: OrderAct) -> Envelope {
    let order = Order { version: Some(version()), ..Order::new(manifest.app.clone(), audience("prod"), act) };
    signed(digest(manifest), Act::Order(order), &[ONCALL])
}

/// What a target gets for a member: its own push and number, and the package's permit and order.
fn member_of(package: PackageDossier, order: Envelope) -> Dossier {
    Dossier { request: None, approvals: vec![], order: Some(order), package: Some(package), ..whole() }
}

fn member() -> Dossier {
    member_of(released(&package()), ordered(&package(), OrderAct::Deploy))
}

fn with(change: impl FnOnce(&mut PackageDossier)) -> Attempt {
    let mut dossier = member();
    change(dossier.package.as_mut().unwrap());
    Attempt::new(dossier)
}

#[test]
fn r4_what_a_released_package_lists_is_let_through_by_its_one_order() {
    let attempt = Attempt::new(member());
    assert!(matches!(attempt.run(), Ok(VerifiedAuthority::Permit(_))), "{:?}", attempt.run());
    // The member alone may be ordered too, by whoever may: the permit is the package's all the same.
    let alone = member_of(released(&package()), whole().order.unwrap());
    assert!(Attempt::new(alone).run().is_ok());
    // It is stopped, started and removed by the package's order, and goes back by it.
    for act in [OrderAct::Stop, OrderAct::Undeploy, OrderAct::Rollback] {
        let dossier = member_of(released(&package()), ordered(&package(), act));
        let (active, settled) = (Some(build()), vec![build()]);
        let attempt = Attempt { act, active, settled, ..Attempt::new(dossier) };
        assert!(attempt.run().is_ok(), "{act:?}: {:?}", attempt.run());
    }
}

/// Attack: a member swapped in the manifest.
/// Holds: a stolen server; he lists another build under a member's name in the manifest of a package that people released.
/// Left to him: nothing; the request is of the manifest's digest, and so are push and number.
#[test]
fn a_member_swapped_in_a_package() {
    let evil = Digest::of(b"evil");
    let swapped = listing(evil);
    let text = String::from_utf8(swapped.to_bytes().unwrap()).unwrap();
    let mut attempt = with(|package| package.manifest = text.clone());
    assert_eq!(attempt.denied(), "STATEMENT_INVALID");
    // Nor does it help to bring the member's bytes along, under whatever push and number.
    attempt.dossier = Dossier { package: attempt.dossier.package.clone(), ..attempt.dossier };
    let other = Dossier { push: whole_of(evil).push, number: whole_of(evil).number, ..attempt.dossier.clone() };
    assert!(Attempt::new(other).run_of(evil).is_err());
    // A manifest that is no package's, or longer than one may be, is none.
    for text in ["{}".to_string(), String::from_utf8(manifest().to_bytes().unwrap()).unwrap(), " ".repeat(70_000)] {
        assert_eq!(with(|package| package.manifest = text).denied(), "STATEMENT_INVALID");
    }
}

/// Attack: what a package does not list.
/// Holds: a stolen server and a released package; he has something else run by its permit and order.
/// Left to him: nothing; only the listed version, with the listed bytes, of the listed application.
#[test]
fn what_a_package_does_not_list() {
    let unlisted = || {
        let mut manifest = package();
        manifest.run.package.remove(&app());
        manifest
    };
    let dossier = member_of(released(&unlisted()), ordered(&unlisted(), OrderAct::Deploy));
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
    // The version that is listed, with other bytes that somebody pushed and gave that number too.
    let other = Digest::of(b"other bytes");
    let Dossier { push, number, .. } = whole_of(other);
    let dossier = Dossier { push, number, ..member() };
    assert_eq!(Attempt::new(dossier).run_of(other).unwrap_err().code(), "STATEMENT_INVALID");
    // The bytes that are listed, under a version that they are not.
    let mut renamed = package();
    renamed.run.package.get_mut(&app()).unwrap().version = "2.0.0".parse().unwrap();
    let dossier = member_of(released(&renamed), ordered(&renamed, OrderAct::Deploy));
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
    // The member's own push and number are asked for all the same.
    assert_eq!(Attempt::new(Dossier { push: None, ..member() }).denied(), "STATEMENT_MISSING");
    assert_eq!(Attempt::new(Dossier { number: None, ..member() }).denied(), "STATEMENT_MISSING");
    // An order for another package, which lists the member too, is not for this one.
    let mut mall = package();
    mall.app = "mall".parse().unwrap();
    let dossier = member_of(released(&package()), ordered(&mall, OrderAct::Deploy));
    assert_eq!(Attempt::new(dossier).denied(), "STATEMENT_INVALID");
}

/// Attack: a package of another estate or audience.
/// Holds: what people of another estate signed, or of this one for test; he shows it to a target in prod.
/// Left to him: nothing.
#[test]
fn a_package_of_another_estate_or_audience() {
    let request = request(&package(), "test", 1);
    let attempt = with(|of| {
        of.approvals = agreed(&package(), &request, &[TESTER, ONCALL]);
        of.request = Some(request.clone());
    });
    assert_eq!(attempt.denied(), "STATEMENT_INVALID");
    let foreign = Digest::of(b"another root 1");
    let push = Push { app: shop(), commit: None, recipe: None, makers: vec![] };
    let push = signed_in(foreign, digest(&package()), Act::Push(push), &[CI]);
    assert_eq!(with(|of| of.push = Some(push)).denied(), "STATEMENT_INVALID");
    assert_eq!(with(|of| of.push = None).denied(), "STATEMENT_MISSING");
    assert_eq!(with(|of| of.number = None).denied(), "STATEMENT_MISSING");
    // Without a request it is unreleased, and for dev alone.
    assert_eq!(with(|of| of.request = None).denied(), "UNRELEASED");
}

/// Attack: approvals of another package.
/// Holds: approvals that people gave another version of the package, or one of its members.
/// Left to him: nothing; an approval names its request by digest. Nor do the authors of a member count: who pushed it
/// approves nothing that brings it.
#[test]
fn approvals_of_another_package() {
    let mut other = package();
    other.run.package.get_mut(&app()).unwrap().after.clear();
    let elsewhere = request(&other, "prod", 1);
    assert_eq!(with(|of| of.approvals = agreed(&other, &elsewhere, &[TESTER, ONCALL])).denied(), "APPROVALS_MISSING");
    assert_eq!(with(|of| of.approvals = whole().approvals).denied(), "APPROVALS_MISSING");
    assert_eq!(with(|of| drop(of.approvals.pop())).denied(), "APPROVALS_MISSING");
    // The member's own request is no package's, and the package's is no member's.
    assert_eq!(with(|of| of.request = whole().request).denied(), "STATEMENT_INVALID");
    let taken = Dossier { request: released(&package()).request, package: None, ..whole() };
    assert_eq!(Attempt::new(taken).denied(), "STATEMENT_INVALID");
    // Oncall pushed the member: then tester is the only one of the two who counts.
    let dossier = Dossier { push: Some(push(ONCALL)), ..member() };
    assert_eq!(Attempt::new(dossier).denied(), "APPROVALS_MISSING");
}

/// Attack: what was taken back, by the package that still lists it.
/// Holds: a stolen server, a withdrawn package, or a package with a withdrawn member; he delivers it all the same.
/// Left to him: nothing where the target heard of the withdrawal, which it keeps for ever.
#[test]
fn a_withdrawn_package_and_a_withdrawn_member() {
    let of_package =
        Withdrawal { app: shop(), version: version(), audience: audience("prod"), through_serial: 1, reason: None };
    let kept =
        policy().withdrawal(&signed(digest(&package()), Act::Withdrawal(of_package), &[TESTER]), &audience("prod"));
    let kept = vec![kept.unwrap()];
    assert_eq!(Attempt { kept: kept.clone(), ..Attempt::new(member()) }.denied(), "PERMIT_WITHDRAWN");
    // Asked for anew, it stands above.
    let newer = request(&package(), "prod", 2);
    let attempt = with(|of| {
        of.approvals = agreed(&package(), &newer, &[TESTER, ONCALL]);
        of.request = Some(newer.clone());
    });
    assert!(Attempt { kept, ..attempt }.run().is_ok());
    // The member alone: no package brings it, until it is released by itself above what was withdrawn.
    let of_member = policy().withdrawal(&withdrawal(1, TESTER), &audience("prod")).unwrap();
    let kept = vec![of_member];
    assert_eq!(Attempt { kept: kept.clone(), ..Attempt::new(member()) }.denied(), "PERMIT_WITHDRAWN");
    let own = |serial| {
        let request = request_for("prod", serial, CODER);
        let approvals = vec![approval(&request, TESTER), approval(&request, ONCALL)];
        Dossier { request: Some(request), approvals, ..member() }
    };
    assert_eq!(Attempt { kept: kept.clone(), ..Attempt::new(own(1)) }.denied(), "PERMIT_WITHDRAWN");
    assert!(Attempt { kept, ..Attempt::new(own(2)) }.run().is_ok());
}

/// Attack: an order for a package carried out twice.
/// Holds: a stolen server and every order that was ever signed; he delivers one again, under a new assignment.
/// Left to him: nothing on a target that carried it out; each application remembers for itself, so that one order is carried
/// out once by each member.
#[test]
fn an_order_for_a_package_twice() {
    let order = ordered(&package(), OrderAct::Deploy);
    let performed = vec![Digest::of(&order.payload)];
    let attempt = Attempt { performed, ..Attempt::new(member_of(released(&package()), order)) };
    assert_eq!(attempt.denied(), "ORDER_REPEATED");
}

/// Attack: below a floor, by a package.
/// Holds: a stolen server and an old package that people released once; its floor, or its member's, was raised since.
/// Left to him: nothing: both floors hold, each by the target's own memory.
#[test]
fn below_a_floor_by_a_package() {
    let floor = Some("1.1.0".parse().unwrap());
    assert_eq!(Attempt { floor: floor.clone(), ..Attempt::new(member()) }.denied(), "BELOW_FLOOR");
    assert_eq!(Attempt { package_floor: floor, ..Attempt::new(member()) }.denied(), "BELOW_FLOOR");
}

#[test]
fn r2_a_package_that_was_never_released_is_for_dev_alone() {
    let dev = r#"class = "dev", deploy = "ops""#;
    let policy = policy_of(&charter_text(dev), &[]);
    let mut dossier = member();
    dossier.package.as_mut().unwrap().request = None;
    let attempt = Attempt { policy, pinned: pinned("prod", Class::Dev), ..Attempt::new(dossier) };
    assert!(matches!(attempt.run(), Ok(VerifiedAuthority::Unreleased(_))), "{:?}", attempt.run());
    // Its push is asked for, as that of any build.
    let mut unpushed = Attempt { ..attempt };
    unpushed.dossier.package.as_mut().unwrap().push = None;
    assert_eq!(unpushed.denied(), "STATEMENT_MISSING");
}
