//! Software that somebody else makes: what counts is what the vendor's people signed for us, and what our own did. He
//! holds the server of the receiving estate, where the vendor's documents lie, or some of the vendor's keys.

use crate::world::*;
use trust::{
    Digest,
    authority::{Denial, Dossier, KeptWithdrawal, VerifiedAuthority},
    dsse::Envelope,
    statement::{Act, Approval, Number, OrderAct, Push, Request, Withdrawal},
    vendor::{Bytes, FORMAT, Heard, Release, Vendor},
};

/// The vendor's people.
const MAKER: u8 = 21;
const CHECKER: u8 = 22;
const SELLER: u8 = 23;

fn vendors_root() -> Vec<u8> {
    signed_root(&root_signed(1), &[OWNER])
}

fn vendors_estate() -> Digest {
    Digest::of(&vendors_root())
}

fn vendors_charter(approve: &str) -> String {
    let entry = |name: &str, role: &str, seed: u8| {
        format!("{name} = {{ roles = [\"{role}\"], keys = [\"{}\"] }}\n", line(seed))
    };
    format!(
        "charter = \"acme\"\n[people]\n{}{}{}[channels]\ncustomers = {{ approve = \"{approve}\" }}\nothers = {{ approve = \
         \"qa\" }}\n",
        entry("maker", "developer", MAKER),
        entry("checker", "qa", CHECKER),
        entry("seller", "sales", SELLER),
    )
}

/// What the vendor's people sign for a build of theirs.
struct Makes {
    estate: Digest,
    build: Digest,
    channel: &'static str,
    serial: u64,
    not_after: &'static str,
    approvers: Vec<u8>,
    approve: &'static str,
    charter: u64,
    withdrawn: Vec<Envelope>,
}

impl Makes {
    fn new() -> Self {
        Self {
            estate: vendors_estate(),
            build: build(),
            channel: "customers",
            serial: 1,
            not_after: "2026-12-01T00:00:00Z",
            approvers: vec![CHECKER, SELLER],
            approve: "qa and sales",
            charter: 1,
            withdrawn: Vec::new(),
        }
    }

    fn signs(&self, subject: Digest, act: Act, seed: u8) -> Envelope {
        signed_in(self.estate, subject, act, &[seed])
    }

    fn withdrawal(&self, through_serial: u64, seed: u8) -> Envelope {
        let (version, audience) = (version(), audience(self.channel));
        let act = Withdrawal { app: app(), version, audience, through_serial, reason: None };
        self.signs(self.build, Act::Withdrawal(act), seed)
    }

    fn release(&self) -> Release {
        let request = Request {
            app: app(),
            version: version(),
            audience: audience(self.channel),
            way: Default::default(),
            reason: None,
            charter_version: 1,
            requires: self.approve.parse().unwrap(),
            serial: self.serial,
            not_before: time("2026-11-01T00:00:00Z"),
            not_after: time(self.not_after),
            floor: None,
        };
        let request = self.signs(self.build, Act::Request(request), MAKER);
        let approval = || Act::Approval(Approval { app: app(), version: version(), audience: audience(self.channel) });
        let approve = |seed: &u8| self.signs(Digest::of(&request.payload), approval(), *seed);
        let number = Number { app: app(), version: version() };
        let dossier = Dossier {
            push: Some(self.signs(
                self.build,
                Act::Push(Push { app: app(), commit: None, recipe: None, makers: vec![] }),
                MAKER,
            )),
            number: Some(self.signs(self.build, Act::Number(number), MAKER)),
            approvals: self.approvers.iter().map(approve).collect(),
            withdrawals: self.withdrawn.clone(),
            request: Some(request),
            ..Dossier::default()
        };
        let charter = vendors_charter(self.approve);
        Release {
            format: FORMAT,
            roots: vec![Bytes(vendors_root())],
            targets: Bytes(targets_bytes(charter.as_bytes(), self.charter, &[OWNER])),
            charter,
            suspensions: Vec::new(),
            dossier: Box::new(dossier),
        }
    }
}

/// The receiving estate: web is acme's, and comes to us by its channel for customers.
fn receives(vendor: Option<Release>) -> Attempt {
    let text = format!(
        "{}[vendors.acme]\nestate = \"{}\"\naudience = \"customers\"\n[applications.web]\nvendor = \"acme\"\n",
        charter_text(PROD),
        vendors_estate()
    );
    let dossier = Dossier { push: None, number: None, vendor, ..whole() };
    Attempt { policy: policy_of(&text, &[]), ..Attempt::new(dossier) }
}

#[test]
fn r42_what_the_vendor_released_to_us_and_our_people_affirmed_is_let_through() {
    assert!(matches!(receives(Some(Makes::new().release())).run(), Ok(VerifiedAuthority::Permit(_))));
    // Either alone is not enough: ours, however whole, or theirs.
    assert_eq!(receives(None).denied(), "VENDOR_RELEASE_MISSING");
    let mut theirs_alone = receives(Some(Makes::new().release()));
    theirs_alone.dossier.approvals.pop();
    assert_eq!(theirs_alone.denied(), "APPROVALS_MISSING");
    theirs_alone.dossier.request = None;
    assert_eq!(theirs_alone.denied(), "UNRELEASED");
    // Nor does a push of our own make it ours.
    let own = Attempt { dossier: whole(), ..receives(None) };
    assert_eq!(own.denied(), "VENDOR_RELEASE_MISSING");
}

/// Attack: substituted vendor release.
/// Holds: the receiving estate's server, with every release that the vendor ever made, and estates of his own.
/// Left to him: to withhold what the vendor has sent since. Targets walk the vendor's roots from the estate that their
/// charter pins, and take the vendor's permit for this very build, to this very audience, within its time and no other.
#[test]
fn r42_substituted_vendor_release() {
    let refused = |release: Release| receives(Some(release)).denied();
    let genuine = Makes::new().release();
    let another = Makes { build: Digest::of(b"another build"), ..Makes::new() };
    assert_eq!(refused(another.release()), "VENDOR_RELEASE_UNFIT");
    assert_eq!(
        refused(Makes { channel: "others", approvers: vec![CHECKER], ..Makes::new() }.release()),
        "VENDOR_RELEASE_UNFIT"
    );
    assert_eq!(
        refused(Makes { not_after: "2026-11-20T00:00:00Z", ..Makes::new() }.release()),
        "VENDOR_RELEASE_EXPIRED"
    );
    // Statements of another estate, in the vendor's own documents; and another estate altogether, as whole as the vendor's.
    assert_eq!(refused(Makes { estate: Digest::of(b"another"), ..Makes::new() }.release()), "VENDOR_RELEASE_UNFIT");
    let root = signed_root(&root_signed(2), &[OWNER, SECOND_OWNER]);
    let elsewhere = Makes { estate: Digest::of(&root), ..Makes::new() }.release();
    assert_eq!(refused(Release { roots: vec![Bytes(root)], ..elsewhere }), "VENDOR_RELEASE_UNFIT");
    // A charter that asks for less, which the vendor's owners never signed; or signed by a key that is not theirs.
    let loosened = Release { charter: vendors_charter("qa"), ..genuine.clone() };
    assert_eq!(refused(loosened), "VENDOR_RELEASE_UNFIT");
    let charter = vendors_charter("qa");
    let forged =
        Release { targets: Bytes(targets_bytes(charter.as_bytes(), 2, &[SERVER])), charter, ..genuine.clone() };
    assert_eq!(refused(forged), "VENDOR_RELEASE_UNFIT");
    // Our own statements in the place of the vendor's.
    assert_eq!(refused(Release { dossier: Box::new(whole()), ..genuine.clone() }), "VENDOR_RELEASE_UNFIT");
    let nested = Dossier { vendor: Some(genuine.clone()), ..*genuine.dossier.clone() };
    assert_eq!(refused(Release { dossier: Box::new(nested), ..genuine }), "VENDOR_RELEASE_UNFIT");
}

/// Attack: withheld vendor withdrawal.
/// Holds: the receiving estate's server; he shows the vendor's release, and leaves out that the vendor withdrew it or
/// changed its charter since.
/// Left to him: targets that never heard of it. Whoever heard once forgets neither withdrawal nor charter, and what runs
/// goes on running.
#[test]
fn r42_withheld_vendor_withdrawal() {
    let makes = Makes::new();
    let told = Makes { withdrawn: vec![makes.withdrawal(1, CHECKER)], ..Makes::new() };
    assert_eq!(receives(Some(told.release())).denied(), "VENDOR_WITHDREW");
    // A withdrawal by somebody who may not withdraw there is none.
    let by_nobody = Makes { withdrawn: vec![makes.withdrawal(1, STRANGER)], ..Makes::new() };
    assert!(receives(Some(by_nobody.release())).run().is_ok());

    let kept = KeptWithdrawal { app: app(), build: build(), through_serial: 1, payload: None };
    let heard = Heard { charter: 1, withdrawals: vec![kept] };
    let withheld = Attempt { heard: Some(heard.clone()), ..receives(Some(makes.release())) };
    assert_eq!(withheld.denied(), "VENDOR_WITHDREW");
    // The vendor may release it again, as itself counts.
    let again = Makes { serial: 2, ..Makes::new() };
    assert!(Attempt { heard: Some(heard), ..receives(Some(again.release())) }.run().is_ok());

    let newer = Heard { charter: 2, withdrawals: Vec::new() };
    let older = Attempt { heard: Some(newer), ..receives(Some(makes.release())) };
    assert_eq!(older.denied(), "VENDOR_RELEASE_UNFIT");
}

/// Attack: vendor keys below the threshold.
/// Holds: some of the vendor's keys, fewer than its charter asks for, and the receiving estate's server.
/// Left to him: what one of the vendor's people may do alone: nothing that reaches us. With all that the vendor's charter
/// asks for he releases in the vendor's name, and our own people must still affirm it.
#[test]
fn r42_vendor_keys_below_the_threshold() {
    let by = |approvers: &[u8]| Makes { approvers: approvers.to_vec(), ..Makes::new() }.release();
    for approvers in [&[][..], &[CHECKER], &[SELLER], &[CHECKER, CHECKER], &[CHECKER, MAKER], &[CHECKER, STRANGER]] {
        let denied = receives(Some(by(approvers))).run().expect_err("it passed");
        assert!(
            matches!(&denied, Denial::Vendor { why, .. } if matches!(**why, Denial::ApprovalsMissing(_))),
            "{denied}"
        );
    }
    // Nobody of ours counts there, and nobody of theirs here.
    assert_eq!(receives(Some(by(&[CHECKER, TESTER]))).denied(), "VENDOR_RELEASE_UNFIT");
    let mut affirmed_by_them = receives(Some(by(&[CHECKER, SELLER])));
    let request = affirmed_by_them.dossier.request.clone().unwrap();
    affirmed_by_them.dossier.approvals = vec![approval(&request, CHECKER), approval(&request, SELLER)];
    assert_eq!(affirmed_by_them.denied(), "APPROVALS_MISSING");
}

/// R31: expiry of a vendor's release stops new activations only, as that of a permit does: going back is allowed, unless
/// the vendor withdrew it.
#[test]
fn r31_r42_going_back_asks_for_no_time() {
    let over = Makes { not_after: "2026-11-20T00:00:00Z", ..Makes::new() };
    let mut back = receives(Some(over.release()));
    back.act = OrderAct::Rollback;
    back.settled = vec![build()];
    back.dossier.order = Some(order_in("prod", OrderAct::Rollback, ONCALL));
    assert!(matches!(back.run(), Ok(VerifiedAuthority::Rollback(_))));
    let withdrawn = Makes { withdrawn: vec![over.withdrawal(1, SELLER)], ..over };
    back.dossier.vendor = Some(withdrawn.release());
    assert_eq!(back.denied(), "VENDOR_WITHDREW");
}

#[test]
fn a_release_reads_back_as_it_was_written_and_nothing_else_is_one() {
    let release = Makes::new().release();
    let bytes = release.to_bytes().unwrap();
    assert_eq!(Release::from_bytes(&bytes).unwrap(), release);
    let vendor = Vendor { estate: vendors_estate(), audience: audience("customers") };
    let word = release.open(&vendor, &Heard::default()).unwrap();
    let released = word.released(&app(), build(), Some(now())).unwrap();
    assert_eq!(released.version, version());
    let names: Vec<String> = released.approvers.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["checker", "seller"]);
    let text = String::from_utf8(bytes).unwrap();
    for (from, to) in [("\"format\":1", "\"format\":2"), ("\"charter\":", "\"extra\":1,\"charter\":"), ("{", "[")] {
        let bad = text.replacen(from, to, 1);
        assert_ne!(bad, text);
        assert!(Release::from_bytes(bad.as_bytes()).is_err(), "{from} → {to}");
    }
}
