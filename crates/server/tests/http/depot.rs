//! What the depot takes, of whom, and what it loses again.

use super::*;
use api::read::Unnamed;

/// Attack: filled disk.
/// Holds: the key of somebody in the charter who may do nothing that needs bytes.
/// Left to him: nothing; objects are taken of those who may push, and documents of those whose role counts for something. What
/// they bring and nothing names goes after a day, when one of those who may push prunes.
#[tokio::test]
async fn the_depot_takes_objects_of_those_who_may_use_them_and_loses_what_nothing_names() {
    let world = World::founded().await;
    let (build, file) = world.push("hello", Some("1.0.0")).await;
    let (guest, tester, coder) = (world.client(GUEST).await, world.client(TESTER).await, world.client(CODER).await);
    let named = |content: &[u8]| (Digest::of(content), content.to_vec());
    let (stray, content) = named(b"nobody ever names this");
    let refused = problem(put(&guest, stray, content.clone()).await);
    assert_eq!((refused.code.as_str(), refused.exit), ("ROLE_MISSING", 3));
    assert!(refused.message.contains("developer"), "{}", refused.message);
    let packed = async |client: &Client| {
        let request = client.request(reqwest::Method::POST, routes::PACKS).body(Vec::new());
        code(client.stream(request).await)
    };
    assert_eq!(packed(&guest).await, "ROLE_MISSING");
    assert_eq!(packed(&tester).await, "ROLE_MISSING");
    put(&tester, stray, content).await.unwrap();
    let (young, content) = named(b"a push under way brought this");
    put(&coder, young, content).await.unwrap();
    let (asked, content) = named(b"a push under way asked for this");
    put(&coder, asked, content).await.unwrap();
    let objects = world.folder.path().join("data/depot/objects");
    for digest in [stray, asked, build, file] {
        let name = digest.hex();
        aged(&objects.join(&name[..2]).join(&name[2..]));
    }
    let lacking: Vec<Digest> = coder.post(routes::OBJECTS_MISSING, &[asked]).await.unwrap();
    assert_eq!(lacking, []);
    assert_eq!(code(tester.get::<Unnamed>(routes::UNNAMED, &[]).await), "ROLE_MISSING");
    let found: Unnamed = coder.get(routes::UNNAMED, &[]).await.unwrap();
    assert_eq!((found.objects, found.bytes), (1, 22));
    assert_eq!(code(tester.post::<Unnamed>(routes::UNNAMED, &()).await), "ROLE_MISSING");
    let gone: Unnamed = coder.post(routes::UNNAMED, &()).await.unwrap();
    assert_eq!(gone, found);
    assert_eq!(code(object(&coder, stray, None).await), "OBJECT_MISSING");
    for digest in [young, asked, build, file] {
        object(&coder, digest, None).await.unwrap();
    }
    let found: Unnamed = coder.get(routes::UNNAMED, &[]).await.unwrap();
    assert_eq!(found, Unnamed::default());
    world.running.shutdown().await;
}

/// Lets an object of the depot be older than what is left alone.
fn aged(object: &std::path::Path) {
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 60 * 60);
    std::fs::File::open(object).unwrap().set_modified(then).unwrap();
}

/// R36: an entry names a part's manifest for ever; what is in the part is needed as long as the draft stands.
#[tokio::test]
async fn r36_what_a_discarded_draft_brought_goes_and_its_manifest_stays() {
    let world = World::founded().await;
    let (build, shared) = world.push("shared", None).await;
    let coder = world.client(CODER).await;
    let own = Digest::of(b"only in the part");
    put(&coder, own, b"only in the part".to_vec()).await.unwrap();
    let entry = |path: &str, digest, size| Entry::File { path: path.into(), executable: false, size, digest };
    let files = vec![entry("index.html", shared, 6), entry("part.html", own, 16)];
    let part = Manifest { format: FORMAT, app: "web".parse().unwrap(), files, run: Run::default() }.to_bytes().unwrap();
    let manifest = Digest::of(&part);
    let act = Act::Part(Part {
        app: "web".parse().unwrap(),
        draft: "nightly".parse().unwrap(),
        part: "linux".parse().unwrap(),
        commit: None,
    });
    let mut submission = world.signed(CODER, manifest, act);
    submission.attachments.insert(manifest, Attachment(part));
    coder.submit(&submission).await.unwrap();
    let objects = world.folder.path().join("data/depot/objects");
    for digest in [build, shared, own, manifest] {
        let name = digest.hex();
        aged(&objects.join(&name[..2]).join(&name[2..]));
    }
    let found: Unnamed = coder.get(routes::UNNAMED, &[]).await.unwrap();
    assert_eq!(found, Unnamed::default(), "the draft stands");
    let act = AdministrationAct::DiscardDraft { app: "web".parse().unwrap(), draft: "nightly".parse().unwrap() };
    world.submit(CODER, world.estate, Act::Administration(Administration { act })).await;
    let gone: Unnamed = coder.post(routes::UNNAMED, &()).await.unwrap();
    assert_eq!((gone.objects, gone.bytes), (1, 16));
    for digest in [build, shared, manifest] {
        object(&coder, digest, None).await.unwrap();
    }
    world.running.shutdown().await;
}
