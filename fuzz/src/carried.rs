//! What people carry over an air gap: bundles there, receipts back.

use super::world;
use depot::bundle::{FORMAT, Index, Member};
use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};
use trust::{
    Digest,
    authority::Dossier,
    dsse::Envelope,
    key::Signer,
    receipt::{self, Document, SignedOutcome},
    statement::{
        Act, Carried, Enrolment, Facts, Header, Inventory, OrderAct, Outcome, Phase, PhaseTiming, Report, RequestId,
        Statement,
    },
    vendor::{self, Bytes, Heard, Release, Vendor},
};

/// A bundle's index.
pub fn index(bytes: &[u8]) {
    let Ok(index) = Index::from_bytes(bytes) else { return };
    let Ok(written) = index.to_bytes() else { panic!("what was read cannot be written") };
    assert_eq!(Index::from_bytes(&written).ok().as_ref(), Some(&index));
    for member in &index.members {
        let is_plain = |part: &str| !matches!(part, "" | "." | "..");
        assert!(member.path.split('/').all(is_plain), "{} leads somewhere", member.path);
    }
    let _any_size = (index.total_bytes(), index.name());
}

pub fn index_seeds() -> Vec<Vec<u8>> {
    scene().0.to_bytes().into_iter().collect()
}

/// The members of the scene's bundle.
const MEMBERS: [&[u8]; 3] = [b"{\"root\":1}", b"{}", b"#!/bin/sh\necho hello\n"];

fn scene() -> (Index, Vec<(Member, &'static [u8])>) {
    let object = Member::object(Digest::of(MEMBERS[2]), MEMBERS[2].len() as u64);
    let mut members = vec![
        (Member::of("estate/1.root.json", MEMBERS[0]), MEMBERS[0]),
        (Member::of("statements/dossier.json", MEMBERS[1]), MEMBERS[1]),
        (object, MEMBERS[2]),
    ];
    members.sort_by(|(one, _), (other, _)| one.path.cmp(&other.path));
    let index = Index {
        format: FORMAT,
        estate: world::estate(),
        app: world::app(),
        version: world::version(),
        build: world::build(),
        audience: world::audience("prod"),
        made: world::now(),
        by: "oncall".parse().unwrap(),
        members: members.iter().map(|(member, _)| member.clone()).collect(),
    };
    (index, members)
}

/// The scene's bundle in one volume.
fn written(folder: &Path) -> PathBuf {
    let (index, members) = scene();
    let open = |wanted: &Member| {
        let found = members.iter().find(|(member, _)| member == wanted).map(|(_, bytes)| *bytes);
        Ok(Cursor::new(found.unwrap_or_default()))
    };
    let (_, mut volumes) = depot::bundle::write(&index, folder, "web", None, open, &mut |_| ()).unwrap();
    volumes.swap_remove(0).path
}

/// Where a volume's own header ends, and its content begins: two blocks of a tar.
const HEADER_BYTES: usize = 1024;

/// A volume of a bundle as it lies on a medium: as it is, and with a header that says that this is what was written, so that
/// what stands behind the digest is reached. Nothing is ever written outside the folder, nor anything that was not listed.
pub fn bundle(bytes: &[u8]) {
    let place = tempfile::tempdir().unwrap();
    unpack(place.path(), bytes);
    if let (Some(header), Some(content)) = (bytes.get(..HEADER_BYTES), bytes.get(HEADER_BYTES..)) {
        let header = String::from_utf8_lossy(header).into_owned();
        let said = header.split("\"rest\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let sealed = header.replacen(said, &Digest::of(content).to_string(), 1);
        if !said.is_empty() && sealed.len() == HEADER_BYTES {
            unpack(place.path(), &[sealed.as_bytes(), content].concat());
        }
    }
}

fn unpack(place: &Path, bytes: &[u8]) {
    let (file, into) = (place.join("web.1.sortie"), place.join("into"));
    fs::write(&file, bytes).unwrap();
    let Ok(volumes) = depot::bundle::open(&[file], &mut |_| ()) else { return };
    let unpacked = volumes.unpack(&into, &mut |_| ());
    let beside = fs::read_dir(place).unwrap().count();
    assert!(beside <= 2, "it wrote beside its folder");
    match unpacked {
        Ok(index) => {
            for member in &index.members {
                let content = fs::read(into.join(&member.path)).unwrap();
                assert_eq!((content.len() as u64, Digest::of(&content)), (member.size, member.digest));
            }
            fs::remove_dir_all(&into).unwrap();
        }
        Err(_) => assert!(!into.exists(), "what was refused stayed behind"),
    }
}

pub fn bundle_seeds() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    vec![fs::read(written(folder.path())).unwrap()]
}

/// A receipt.
pub fn receipt(bytes: &[u8]) {
    let Ok(document) = Document::from_bytes(bytes) else { return };
    let written = serde_json::to_vec(&document).unwrap_or_default();
    assert_eq!(Document::from_bytes(&written).ok().as_ref(), Some(&document));
    let policy = world::policy();
    for known in [None, Some(world::key(world::TARGET).public())] {
        let Ok(verified) = document.verify(&world::estate(), known, &policy.directory) else { continue };
        // The one target and the one deployer who have signed anything here.
        assert_eq!(verified.target.as_str(), "prod-1");
        for outcome in verified.outcomes {
            assert_eq!(outcome.build, world::build());
            // Whose signature under the order does not count, or no more, is nobody; it is the target that vouches here.
            assert!(outcome.deployer.is_none_or(|deployer| deployer.as_str() == "oncall"));
        }
    }
}

fn signed(act: Act, seeds: &[u8], subject: Digest) -> Envelope {
    let request_id = RequestId::new("1").unwrap();
    let header = Header { estate: world::estate(), request_id, submit_before: world::now(), on_behalf_of: None };
    let keys: Vec<_> = seeds.iter().map(|seed| world::key(*seed)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    Statement { subject_name: "web".into(), subject, header, act }.sign(&signers).unwrap()
}

pub fn receipt_seeds() -> Vec<Vec<u8>> {
    let order = world::order_in("prod", OrderAct::Deploy, world::ONCALL);
    let target: trust::TargetName = "prod-1".parse().unwrap();
    let report = Report {
        target: target.clone(),
        app: world::app(),
        epoch: 1,
        generation: 1 << 41,
        deployment: 1 << 41,
        outcome: Outcome::Verified,
        running: Some(world::build()),
        config_serial: 0,
        phases: vec![PhaseTiming { phase: Phase::Check, started: world::now(), milliseconds: 3 }],
        endpoints: Vec::new(),
        carried: Some(Carried { bundle: Digest::of(b"bundle"), order: Digest::of(&order.payload) }),
        way: Default::default(),
        standby: false,
        doubt: None,
    };
    let enrolment = Enrolment {
        environment: world::audience("prod"),
        target: target.clone(),
        invitation: world::key(world::INVITATION).public(),
        key: world::key(world::TARGET).public(),
        recipient: "age1".into(),
        facts: Facts::default(),
        active: Default::default(),
    };
    let active = [(world::app(), world::build())].into();
    let inventory = Inventory {
        target: target.clone(),
        scanned: world::now(),
        active,
        findings: Vec::new(),
        facts: None,
        lapsed: None,
    };
    let enrolment = signed(Act::Enrolment(enrolment), &[world::INVITATION, world::TARGET], world::estate());
    let document = Document {
        format: receipt::FORMAT,
        target,
        enrolment: Some(enrolment),
        outcomes: vec![SignedOutcome { order, report: signed(Act::Report(report), &[world::TARGET], world::build()) }],
        inventory: Some(signed(Act::Inventory(inventory), &[world::TARGET], world::estate())),
    };
    serde_json::to_vec(&document).into_iter().collect()
}

/// The estate of a vendor, whose people are those of this scene.
pub fn vendor() -> Vendor {
    Vendor { estate: Digest::of(&vendors_root()), audience: world::audience("prod") }
}

fn vendors_root() -> Vec<u8> {
    world::signed_root(&world::root_signed(1), &[world::OWNER])
}

/// A vendor's release.
pub fn release(bytes: &[u8]) {
    let Ok(release) = Release::from_bytes(bytes) else { return };
    let written = release.to_bytes().unwrap_or_default();
    assert_eq!(Release::from_bytes(&written).ok().as_ref(), Some(&release));
    let vendor = vendor();
    let Ok(word) = release.open(&vendor, &Heard::default()) else { return };
    assert_eq!(release.charter, world::charter_text(world::PROD), "the owners here signed no other");
    if let Ok(released) = word.released(&world::app(), world::build(), Some(world::now())) {
        assert_eq!((released.version, released.serial), (world::version(), 1));
        assert!(word.heard().withdrawals.is_empty() && released.approvers.len() >= 2);
    }
}

pub fn release_seeds() -> Vec<Vec<u8>> {
    let estate = vendor().estate;
    let of_vendor = |envelope: Option<Envelope>, seed: u8| {
        let statement = Statement::read(&envelope?).ok()?;
        Some(world::signed_in(estate, statement.subject, statement.act, &[seed]))
    };
    let whole = world::whole();
    let request = of_vendor(whole.request, world::CODER);
    let subject = request.as_ref().map(|request| Digest::of(&request.payload));
    let approvals = whole.approvals.into_iter().zip([world::TESTER, world::ONCALL]);
    let approvals = approvals.filter_map(|(envelope, seed)| {
        Some(world::signed_in(estate, subject?, Statement::read(&envelope).ok()?.act, &[seed]))
    });
    let dossier = Dossier {
        push: of_vendor(whole.push, world::CI),
        number: of_vendor(whole.number, world::CODER),
        approvals: approvals.collect(),
        request,
        ..Dossier::default()
    };
    let withdrawal = of_vendor(Some(world::withdrawal(1, world::TESTER)), world::TESTER);
    let withdrawn = Dossier { withdrawals: withdrawal.into_iter().collect(), ..dossier.clone() };
    let charter = world::charter_text(world::PROD);
    let release = |dossier: Dossier| Release {
        format: vendor::FORMAT,
        roots: vec![Bytes(vendors_root())],
        targets: Bytes(world::targets_bytes(charter.as_bytes(), 1, &[world::OWNER])),
        charter: charter.clone(),
        suspensions: Vec::new(),
        dossier: Box::new(dossier),
    };
    [release(dossier), release(withdrawn)].iter().filter_map(|release| release.to_bytes().ok()).collect()
}
