//! An environment with two sides: blue and green across hosts.

use crate::{
    traffic::{FRONT, Nginx, asked_meanwhile, with},
    world::{ENVIRONMENTS, TEAM, World, get, until},
};
use std::{fs, net::SocketAddr, path::Path};

/// How a copy comes into service at the front that all machines have in common, and leaves it. One machine after the other:
/// nginx refuses to reload while a list that it has seen is taken away before it is read.
const PROGRAM: &str = r#"exec 9> FRONT/lock && flock 9 || exit 1
list=FRONT/servers/$2.conf
case $1 in
  back) echo "server 127.0.0.1:$2;" > $list.new && mv $list.new $list ;;
  drain) rm -f $list ;;
esac
exec /usr/sbin/nginx -p FRONT -c front.conf -s reload
"#;

const TRAFFIC: &str =
    "[traffic]\ndrain = \"sh front.sh drain $PORT\"\nback = \"sh front.sh back $PORT\"\nwait = \"1s\"\n";

fn balancer<'a>(front: &'a Path) -> (SocketAddr, Nginx<'a>) {
    fs::create_dir_all(front.join("servers")).unwrap();
    fs::write(front.join("servers/nobody.conf"), "server 127.0.0.1:1 down;\n").unwrap();
    Nginx::start(front, &FRONT.replace("include web.conf;", "upstream web-web { include servers/*.conf; }"))
}

/// R41, R54: what is new comes to the side that does not serve, and is seen by nobody. A switch drops no request, and neither
/// does going back.
#[test]
fn one_side_serves_and_the_other_takes_what_is_new() {
    let mut world = World::new();
    let environments = ENVIRONMENTS.replace("test = { ", "test = { sides = \"side\", ");
    assert_ne!(environments, ENVIRONMENTS);
    world.found(TEAM, &environments);
    world.add_machines(&[("test-1", "test"), ("test-2", "test"), ("test-3", "test"), ("test-4", "test")]);
    let front = world.root().join("front");
    let (address, nginx) = balancer(&front);
    world.make_repository(&with("", TRAFFIC));
    let release = |greeting: &str| {
        world.change_greeting(greeting);
        fs::write(world.repository().join("dist/front.sh"), PROGRAM.replace("FRONT", front.to_str().unwrap())).unwrap();
        let version = world.push_and_number();
        world.sortie("coder", 0, &format!("release {version} --to test"));
        version
    };
    let greets = |words: &str| get(address, "/").is_ok_and(|answer| answer.contains(words));

    let one = release("Hello there, {name}!");
    world.sortie("coder", 3, &format!("deploy {one} --to test")).says("has no such label");
    for (machine, side) in [("test-1", "blue"), ("test-2", "blue"), ("test-3", "green"), ("test-4", "green")] {
        world.sortie("owner", 0, &format!("target label {machine} side={side}"));
    }
    let stands_by = format!("next: sortie switch {one} --in test");
    world.sortie("coder", 0, &format!("deploy {one} --to test")).says("stands by in test, 2/4").says(&stands_by);
    assert!(!get(address, "/version").unwrap().starts_with("HTTP/1.1 200 "), "nobody is served by it");
    world.sortie("coder", 0, "switch web --in test").says(&format!("{one} serves in test"));
    until("only who has read it answers", || (!nginx.first_answers()).then_some(()));
    assert!(greets("Hello there"));

    let two = release("Good day, {name}!");
    let (answered, dropped) = asked_meanwhile(address, || {
        world.sortie("coder", 0, &format!("deploy {two} --to test")).says("stands by in test, 2/4");
    });
    assert_eq!((dropped, answered.len()), (Vec::new(), 1), "nobody sees what stands by: {answered:?}");
    world.sortie("coder", 0, "status web --in test").says("stands by");
    let named = format!("deploy {two} --to test --only test-1");
    world.sortie("coder", 3, &named).says("the side of test that does not serve, and test-1 is of the other");
    let (answered, dropped) = asked_meanwhile(address, || {
        world.sortie("coder", 0, "switch web --in test").says(&format!("{two} serves in test"));
        until("the new one", || greets("Good day").then_some(()));
    });
    assert_eq!((dropped, answered.len()), (Vec::new(), 2), "{answered:?}");
    world.sortie("coder", 0, &format!("switch {two} --in test")).says("serves in test already");

    // What is never well is never seen.
    let bad = release("Hello, {name}! Your plan: {plan}.");
    let (answered, dropped) = asked_meanwhile(address, || {
        world.sortie("coder", 4, &format!("deploy {bad} --to test")).says("/healthz 503");
    });
    assert_eq!((dropped, answered.len()), (Vec::new(), 1), "{answered:?}");

    // The way back is short, and what was left stays out.
    let (answered, dropped) = asked_meanwhile(address, || {
        world.sortie("coder", 0, "rollback web --in test").says(&format!("{one} serves in test"));
        until("the one before", || greets("Hello there").then_some(()));
    });
    assert_eq!((dropped, answered.len()), (Vec::new(), 2), "{answered:?}");
    world.sortie("coder", 3, &format!("switch {two} --in test")).says("is held out of test");
    world.sortie("coder", 0, "hold lift web --in test --reason \"it was the cache\"");
    world.sortie("coder", 0, &format!("switch {two} --in test")).says("serves in test");
    world.sortie("coder", 2, "switch web --in dev").says("dev has no sides");
    world.sortie("tester", 0, "history web").says("stands by").says("serves");
    world.sortie("tester", 0, "ledger verify");
}
