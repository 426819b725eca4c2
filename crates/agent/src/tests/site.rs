//! A static site on a real disk: what travels, what is switched, and what the scan finds afterwards.

use super::world::*;
use crate::{
    escapes,
    run::Engine,
    runtime::{Layout, Runtime, Site},
};
use std::{fs, path::PathBuf, sync::Arc};
use trust::{
    Digest, TargetName,
    authority::Dossier,
    manifest::{Entry, Manifest, Run},
    statement::{Finding, FindingKind, OrderAct, Outcome},
};

type SiteEngine = Engine<FakeServer, Arc<Runtime>>;

/// A site of these files, known to the server.
fn site(world: &World, files: &[(&str, &str)]) -> Digest {
    let entry = |(path, content): &(&str, &str)| Entry::File {
        path: (*path).into(),
        executable: false,
        size: content.len() as u64,
        digest: Digest::of(content.as_bytes()),
    };
    let files_of_it = files.iter().map(entry).collect();
    let manifest = Manifest { format: trust::manifest::FORMAT, app: app(), files: files_of_it, run: Run::default() };
    let mut says = world.server.says.borrow_mut();
    for (_, content) in files {
        says.objects.insert(Digest::of(content.as_bytes()), content.as_bytes().to_vec());
    }
    let bytes = manifest.to_bytes().unwrap();
    let build = Digest::of(&bytes);
    says.objects.insert(build, bytes);
    build
}

fn follow(world: &World, engine: &mut SiteEngine, generation: u64, build: Digest, act: OrderAct) -> Outcome {
    let order = Some(order_of(build, act, prod()));
    world.say(generation, Dossier { order, ..permitted(build, "1.0.0") });
    let mut wanted = assignment(generation, "", act);
    wanted.build = build;
    engine.follow(&app(), Some(&wanted)).unwrap();
    world.server.says.borrow().reports.last().unwrap().outcome.clone()
}

fn open(world: &World) -> (SiteEngine, Arc<Runtime>, PathBuf) {
    let place = Site { environment: prod(), target: TargetName::new("prod-1").unwrap() };
    let layout = Layout::new(world.folder.path()).unwrap();
    let folder = layout.app(&app());
    let runtime = Arc::new(Runtime::open(layout, place, crate::runtime::DEFAULT_PORTS).unwrap());
    (world.agent_on(runtime.clone()), runtime, folder)
}

fn findings(engine: &SiteEngine) -> Vec<Finding> {
    let target = TargetName::new("prod-1").unwrap();
    let copies = |journal: &crate::journal::Journal| engine.expected_copies(journal);
    let scanned = escapes::scan(&target, engine.home(), engine.journals(), engine.machine(), copies);
    scanned.unwrap().findings
}

#[test]
fn only_what_changed_travels_and_the_switch_is_the_deployment() {
    let world = World::new();
    let (mut engine, runtime, folder) = open(&world);
    let one = site(&world, &[("index.html", "one"), ("logo.svg", "<svg/>")]);
    let two = site(&world, &[("index.html", "two"), ("logo.svg", "<svg/>")]);
    assert_eq!(follow(&world, &mut engine, 1, one, OrderAct::Deploy), Outcome::Verified);
    assert_eq!(world.server.says.borrow().gathered.len(), 2);
    assert_eq!(follow(&world, &mut engine, 2, two, OrderAct::Deploy), Outcome::Verified);
    assert_eq!(world.server.says.borrow().gathered[2..], [Digest::of(b"two")]);
    assert_eq!(fs::read_to_string(folder.join("current/index.html")).unwrap(), "two");
    // The one before is kept, the one before that is not.
    let three = site(&world, &[("index.html", "three")]);
    assert_eq!(follow(&world, &mut engine, 3, three, OrderAct::Deploy), Outcome::Verified);
    let mut kept = vec![two, three];
    kept.sort();
    assert_eq!(runtime.layout().releases(&app()).unwrap(), kept);
    assert_eq!(findings(&engine), []);
    assert_eq!(fs::read_dir(world.folder.path().join("incoming")).unwrap().count(), 0);
    // R8: removed, the target is clean.
    assert_eq!(follow(&world, &mut engine, 4, three, OrderAct::Undeploy), Outcome::Verified);
    assert!(!folder.exists());
    assert_eq!(findings(&engine), []);
}

#[test]
fn r4_an_object_that_is_not_what_it_should_be_never_becomes_active() {
    let world = World::new();
    let (mut engine, _runtime, folder) = open(&world);
    let one = site(&world, &[("index.html", "one")]);
    world.server.says.borrow_mut().objects.insert(Digest::of(b"one"), b"0ne".to_vec());
    let outcome = follow(&world, &mut engine, 1, one, OrderAct::Deploy);
    assert!(matches!(outcome, Outcome::Undone { .. }), "{outcome:?}");
    assert!(!folder.join("current").exists());
}

#[test]
fn r37_whatever_no_journal_accounts_for_is_found() {
    let world = World::new();
    let (mut engine, _runtime, folder) = open(&world);
    let one = site(&world, &[("a.html", "a"), ("b.html", "b")]);
    assert_eq!(follow(&world, &mut engine, 1, one, OrderAct::Deploy), Outcome::Verified);
    assert_eq!(findings(&engine), []);

    let release = folder.join("releases").join(one.hex());
    fs::write(release.join("copied"), "by hand").unwrap();
    fs::remove_file(release.join("a.html")).unwrap();
    fs::remove_file(release.join("b.html")).unwrap();
    fs::write(release.join("b.html"), "B").unwrap();
    fs::write(folder.join("stray"), "").unwrap();
    fs::create_dir(folder.join("releases").join(Digest::of(b"x").hex())).unwrap();
    fs::create_dir_all(world.folder.path().join("apps/mallory")).unwrap();
    fs::remove_file(folder.join("current")).unwrap();
    std::os::unix::fs::symlink("/tmp", folder.join("current")).unwrap();

    let place = |rest: &str| format!("releases/{}{rest}", one.hex());
    let mut expected = vec![
        ("web", place("/copied"), FindingKind::Extra),
        ("web", place("/a.html"), FindingKind::Missing),
        ("web", place("/b.html"), FindingKind::Changed),
        ("web", "stray".into(), FindingKind::Extra),
        ("web", format!("releases/{}", Digest::of(b"x").hex()), FindingKind::Extra),
        ("web", "current".into(), FindingKind::Link),
        ("mallory", String::new(), FindingKind::Extra),
    ];
    let mut found: Vec<_> =
        findings(&engine).into_iter().map(|finding| (finding.app, finding.path, finding.kind)).collect();
    found.sort();
    expected.sort();
    let expected: Vec<_> = expected.into_iter().map(|(app, path, kind)| (app.to_owned(), path, kind)).collect();
    assert_eq!(found, expected);
}

/// A target whose journal was lost says what its machine runs, and that nothing accounts for it.
#[test]
fn what_a_lost_journal_knew_is_looked_up_on_the_machine() {
    let world = World::new();
    let (mut engine, runtime, _folder) = open(&world);
    let one = site(&world, &[("index.html", "one")]);
    assert_eq!(follow(&world, &mut engine, 1, one, OrderAct::Deploy), Outcome::Verified);
    drop(engine);
    fs::write(world.folder.path().join("journal/web.json"), "{").unwrap();
    let engine = world.agent_on(runtime);
    let target = TargetName::new("prod-1").unwrap();
    let copies = |journal: &crate::journal::Journal| engine.expected_copies(journal);
    let scanned = escapes::scan(&target, engine.home(), engine.journals(), engine.machine(), copies).unwrap();
    assert_eq!(scanned.active.get(&app()), Some(&one));
    assert_eq!(scanned.findings, [Finding { app: "web".into(), path: String::new(), kind: FindingKind::Extra }]);
}
