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
        let object = std::fs::File::open(objects.join(&name[..2]).join(&name[2..])).unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 60 * 60);
        object.set_modified(then).unwrap();
    }
    let lacking: Vec<Digest> = coder.post(routes::OBJECTS_MISSING, &[asked]).await.unwrap();
    assert_eq!(lacking, []);
    let found: Unnamed = tester.get(routes::UNNAMED, &[]).await.unwrap();
    assert_eq!((found.objects, found.bytes), (1, 22));
    assert_eq!(code(tester.post::<Unnamed>(routes::UNNAMED, &()).await), "ROLE_MISSING");
    let gone: Unnamed = coder.post(routes::UNNAMED, &()).await.unwrap();
    assert_eq!(gone, found);
    assert_eq!(code(object(&coder, stray, None).await), "OBJECT_MISSING");
    for digest in [young, asked, build, file] {
        object(&coder, digest, None).await.unwrap();
    }
    let found: Unnamed = tester.get(routes::UNNAMED, &[]).await.unwrap();
    assert_eq!(found, Unnamed::default());
    world.running.shutdown().await;
}
