//! People out there take a version for themselves, once it is theirs to take.

use crate::world::World;
use api::{
    client::{Client, ClientError},
    read::Feed,
    routes,
};
use trust::Digest;

const CHANNELS: &str = r#"
[environments]
test = { class = "test", approve = "developer", deploy = "developer" }
[channels]
beta   = { approve = "qa" }
public = { approve = "qa and ops", public = true, evidence = { test-result = "qa" } }
"#;

/// R6, R18: what is released to beta only is not seen by an anonymous reader of the public feed, and beta is closed to
/// them; once public, it is seen, and its files can be had. R38: no test evidence, no public release.
/// R47: each channel in its own time.
#[tokio::test]
async fn r6_r18_r38_r47_the_public_sees_what_is_public() {
    let mut world = World::new();
    world.found(&[("coder", "developer"), ("tester", "qa"), ("oncall", "ops")], CHANNELS);
    world.make_repository("app = \"web\"\nfiles = \"dist\"\n");
    let version = world.push_and_number();
    let (url, pin) = world.url_and_pin.split_once('#').unwrap();
    let pin = Digest::from_hex(pin.trim_start_matches("sha256:")).unwrap();
    let anyone = Client::new(url, Some(pin)).unwrap();
    let feed = |channel: &'static str| {
        let anyone = anyone.clone();
        async move { anyone.get::<Feed>(&routes::path(routes::FEED, &[channel, "web"]), &[]).await }
    };

    world.sortie("coder", 0, &format!("request {version} --to beta"));
    world.sortie("tester", 0, &format!("approve {version} --to beta --yes"));
    assert!(feed("public").await.unwrap().versions.is_empty());
    let Err(ClientError::Refused(problem)) = feed("beta").await else { panic!("beta is open to anyone") };
    assert_eq!(problem.code, "LOGIN_NEEDED");

    world.sortie("coder", 3, &format!("request {version} --to public")).says("test-result");
    let report = world.home("tester").join("report.txt");
    std::fs::write(&report, "all is well").unwrap();
    let attach = format!("evidence attach {version} --type test-result --passed --file {}", report.display());
    world.sortie("coder", 3, &attach);
    world.sortie("tester", 0, &attach);
    world.sortie("coder", 0, &format!("request {version} --to public"));
    world.sortie("tester", 0, &format!("approve {version} --to public --yes"));
    assert!(feed("public").await.unwrap().versions.is_empty(), "half an approval made it public");
    world.sortie("oncall", 0, &format!("approve {version} --to public --yes"));
    let versions = feed("public").await.unwrap().versions;
    assert_eq!(versions.len(), 1);
    assert_eq!(format!("web@{}", versions[0].version), version);
    let path = routes::path(routes::OBJECT, &[&versions[0].manifest.to_string()]);
    let manifest = anyone.open(&path, &[("channel", "public")]).await.unwrap().bytes().await.unwrap();
    assert_eq!(Digest::of(&manifest), versions[0].manifest);
    assert!(anyone.open(&path, &[]).await.is_err(), "objects are open to anyone without a channel");

    // Nothing is deployed to people, nor frozen for them.
    world
        .sortie("tester", 0, &format!("status {version}"))
        .says("may be installed until")
        .lacks("may be deployed until");
    world
        .sortie("oncall", 3, "freeze public --until 2h --reason holidays")
        .says("public is a channel")
        .lacks("did you mean");
    let withdrawn = world.sortie("tester", 0, &format!("withdraw {version} --from public --reason \"it bites\""));
    withdrawn.says("is withdrawn from public. Nobody gets it from public any more").lacks("deployed");
    assert!(feed("public").await.unwrap().versions.is_empty());
}
