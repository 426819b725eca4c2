//! People who go on asking while a new build takes the place of the old one, and verifications that say no.

use crate::world::{Ended, PROJECT, World, free_address, get, read_text, until};
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// How many people ask at the same time.
const PEOPLE: usize = 4;

/// What people got who never stop asking while something is done: which commits answered, and what else they got.
pub fn asked_meanwhile(address: SocketAddr, deed: impl FnOnce()) -> (BTreeMap<String, u32>, Vec<String>) {
    let over = AtomicBool::new(false);
    let (answered, dropped) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..PEOPLE {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match get(address, "/version") {
                        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => {
                            let commit = answer.trim_end().rsplit('\n').next().unwrap_or_default().to_string();
                            *answered.lock().unwrap().entry(commit).or_insert(0) += 1;
                        }
                        Ok(other) => dropped.lock().unwrap().push(other),
                        Err(error) => dropped.lock().unwrap().push(error.to_string()),
                    }
                }
            });
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(deed));
        over.store(true, Ordering::Relaxed);
        done.unwrap();
    });
    (answered.into_inner().unwrap(), dropped.into_inner().unwrap())
}

pub fn with(process: &str, more: &str) -> String {
    PROJECT.replace("[process.web]\n", &format!("[process.web]\n{process}\n")) + more
}

/// The socket is held outside of the program and of the agent: neither's end drops a request.
#[test]
fn an_upgrade_drops_no_request_though_the_agent_is_killed_in_between() {
    let mut world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository(&with("socket = true", ""));
    let build = world.push();
    world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    let [there] = world.endpoints("dev")[..] else { panic!("one machine, one endpoint") };
    let (answered, dropped) = asked_meanwhile(there, || {
        for greeting in ["Good day, {name}!", "Good evening, {name}!"] {
            world.kill_agent("dev-1");
            world.start_agent("dev-1");
            world.change_greeting(greeting);
            let build = world.push();
            world.sortie("coder", 0, &format!("deploy {build} --to dev")).says("verify ✓");
        }
        // What is never well is taken back, and nobody has noticed.
        world.change_greeting("Hello, {name}! Your plan: {plan}.");
        let bad = world.push();
        world.sortie("coder", 4, &format!("deploy {bad} --to dev")).says("/healthz 503");
        world.sortie("coder", 0, "restart web --in dev");
    });
    assert_eq!(dropped, [""; 0], "{answered:?}");
    assert_eq!(answered.len(), 4, "four commits have answered: {answered:?}");
    assert_eq!(world.endpoints("dev"), [there]);
}

pub const FRONT: &str = r#"daemon off;
pid front.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  include web.conf;
  server {
    listen ADDRESS;
    location / {
      proxy_pass http://web-web;
      proxy_next_upstream off;
    }
  }
}
"#;

/// An nginx in front of the copies of web on dev-1, which asks nobody else when a copy does not answer. It reads the list
/// in `web.conf` of its folder.
fn nginx_in_front<'a>(world: &World, front: &'a Path) -> (SocketAddr, Nginx<'a>) {
    fs::create_dir_all(front).unwrap();
    // What the owner of the machine begins with: nobody serves yet.
    fs::write(front.join("web.conf"), "upstream web-web { server 127.0.0.1:1 down; }\n").unwrap();
    let owner = format!(
        "[traffic]\nreload = \"/usr/sbin/nginx -p {} -c front.conf -s reload\"\n[traffic.files]\nweb = \"{}\"\n",
        front.display(),
        front.join("web.conf").display()
    );
    fs::write(world.agent_data("dev-1").join("agent.toml"), owner).unwrap();
    Nginx::start(front, FRONT)
}

/// The front is told before a copy stops.
#[test]
fn nginx_is_told_before_a_copy_stops() {
    let world = World::of_team(&[("dev-1", "dev")]);
    let front = world.root().join("front");
    let (address, nginx) = nginx_in_front(&world, &front);
    world.make_repository(&with("copies = 2", "[traffic]\nupstream = \"nginx\"\nwait = \"1s\"\n"));
    let build = world.push();
    // What the owner has mistaken is found before anything is copied.
    let owner = world.agent_data("dev-1").join("agent.toml");
    let well = read_text(&owner);
    fs::write(&owner, "[traffic.files]\nweb = \"web.conf\"\n").unwrap();
    let refused = world.sortie("coder", 3, &format!("deploy {build} --to dev"));
    refused.says("agent.toml").says("must begin with /").says("nothing was copied").says("sortie redeploy 1");
    // So is what this machine lacks for it, which says nothing of the build.
    for (there, not_there, why) in [
        ("front/web.conf\"", "nowhere/web.conf\"", "nowhere is not there: make it, or name a file elsewhere"),
        ("/usr/sbin/nginx", "/usr/sbin/nobody", "traffic.reload: /usr/sbin/nobody is no program"),
    ] {
        fs::write(&owner, well.replace(there, not_there)).unwrap();
        let refused = world.sortie("coder", 3, &format!("deploy {build} --to dev"));
        refused
            .says("NEEDS_UNMET")
            .says("dev-1")
            .says("agent.toml")
            .says(why)
            .says("nothing was copied")
            .lacks("fetch");
    }
    fs::write(&owner, well).unwrap();
    world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    let list = read_text(&front.join("web.conf"));
    assert!(list.contains("upstream web-web {") && list.matches("server 127.0.0.1:").count() == 2, "{list}");
    until("only who has read it answers", || (!nginx.first_answers()).then_some(()));
    let (answered, dropped) = asked_meanwhile(address, || {
        world.change_greeting("Good day, {name}!");
        let build = world.push();
        world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    });
    assert_eq!(dropped, [""; 0], "{answered:?}");
    assert!(answered.len() == 2, "{answered:?}");
    world.sortie("coder", 0, "undeploy web --from dev");
    let list = read_text(&front.join("web.conf"));
    assert_eq!(list.matches(" down;").count(), 2, "{list}");
}

/// A stop that people ordered is done; that its copy may still have been asked is said, and where that is looked up.
#[test]
fn what_could_not_drain_is_stopped_and_that_is_said() {
    let world = World::of_team(&[("dev-1", "dev")]);
    let drain = "[traffic]\ndrain = \"sh -c 'exit 4'\"\nwait = \"1s\"\n";
    world.make_repository(&with("copies = 1", drain));
    let build = world.push();
    for (order, says) in [("stop web --in dev", "is stopped"), ("undeploy web --in dev", "is removed")] {
        world.sortie("coder", 0, &format!("deploy {build} --to dev"));
        let stopped = world.sortie("coder", 0, order);
        let why = "somebody should look: stopped though it may still have been asked: the traffic of web cannot be turned: \
                   drain of web-1: sh exit code 4";
        stopped.says(says).says(why);
        world.sortie("coder", 0, "history").says(why);
    }
    world.sortie("coder", 0, "status 4").says("somebody should look: stopped though it may still have been asked");
}

/// HAProxy reads the list as a backend of its own, and is told alike. What fails goes back unnoticed.
#[test]
fn haproxy_is_told_before_a_copy_stops() {
    let world = World::of_team(&[("dev-1", "dev")]);
    let front = world.root().join("front");
    let (address, haproxy) = haproxy_in_front(&world, &front);
    world.make_repository(&with("copies = 2", "[traffic]\nupstream = \"haproxy\"\nwait = \"3s\"\n"));
    let build = world.push();
    world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    let list = || read_text(&front.join("web.cfg"));
    assert!(list().contains("backend web-web") && list().matches(" 127.0.0.1:").count() == 2, "{}", list());
    until("haproxy to know them", || {
        get(address, "/version").is_ok_and(|answer| answer.contains(" 200 ")).then_some(())
    });
    let (answered, dropped) = asked_meanwhile(address, || {
        world.change_greeting("Good day, {name}!");
        let build = world.push();
        world.sortie("coder", 0, &format!("deploy {build} --to dev"));
        world.change_greeting("Hello, {name}! Your plan: {plan}.");
        let bad = world.push();
        world.sortie("coder", 4, &format!("deploy {bad} --to dev")).says("/healthz 503");
    });
    assert_eq!(dropped, [""; 0], "{answered:?}");
    assert_eq!(answered.len(), 2, "{answered:?}");
    // What HAProxy cannot be told fails, and leaves the list as it was.
    let before = list();
    drop(haproxy);
    let failed = world.sortie("coder", 4, "restart web --in dev");
    failed.says("the traffic of web cannot be turned").says("kill");
    assert_eq!(list(), before);
}

/// An HAProxy in front of the copies of web on dev-1, which asks nobody twice. It reads the list in `web.cfg` of its folder.
fn haproxy_in_front(world: &World, front: &Path) -> (SocketAddr, Ended) {
    super::shapes::install("haproxy", "/usr/sbin/haproxy");
    let address = free_address();
    fs::create_dir_all(front).unwrap();
    fs::write(front.join("web.cfg"), "backend web-web\n    server none 127.0.0.1:1 disabled\n").unwrap();
    let socket = front.join("socket");
    let configuration = format!(
        "global\n  stats socket {} mode 600 level admin expose-fd listeners\ndefaults\n  mode http\n  retries 0\n  \
         timeout connect 5s\n  timeout client 30s\n  timeout server 30s\nfrontend front\n  bind {address}\n  \
         default_backend web-web\n",
        socket.display()
    );
    fs::write(front.join("front.cfg"), configuration).unwrap();
    let mut command = Command::new("/usr/sbin/haproxy");
    // A master that reads its files anew at SIGUSR2, as the unit of Debian has it.
    command.current_dir(front).args(["-W", "-f", "front.cfg", "-f", "web.cfg", "-p", "front.pid"]);
    let haproxy = Ended::start(&mut command, &front.join("log"));
    until("haproxy answers", || get(address, "/").ok());
    let pid = front.join("front.pid");
    let owner = format!(
        "[traffic]\nreload = \"sh -c 'kill -USR2 $(cat {})'\"\n[traffic.files]\nweb = \"{}\"\n",
        pid.display(),
        front.join("web.cfg").display()
    );
    fs::write(world.agent_data("dev-1").join("agent.toml"), owner).unwrap();
    (address, haproxy)
}

/// A build is verified beside the one that serves, and all traffic changes at once. What fails is never seen by anybody.
#[test]
fn blue_and_green_change_at_once_and_what_fails_nobody_sees() {
    let world = World::of_team(&[("dev-1", "dev")]);
    let front = world.root().join("front");
    let (address, nginx) = nginx_in_front(&world, &front);
    let more = "[traffic]\nupstream = \"nginx\"\nswitch = \"blue-green\"\nwait = \"1s\"\n[smoke]\nrun = \"sh smoke.sh $PORT\"\n";
    world.make_repository(&with("copies = 2", more));
    let ship = |greeting: &str, smoke: &str, exit: i32| {
        world.change_greeting(greeting);
        fs::write(world.repository().join("dist/smoke.sh"), smoke).unwrap();
        let build = world.push();
        world.sortie("coder", exit, &format!("deploy {build} --to dev"))
    };
    let list = || read_text(&front.join("web.conf"));
    let ports = || {
        let server = |line: &str| line.trim().strip_prefix("server 127.0.0.1:")?.strip_suffix(';').map(str::to_owned);
        list().lines().filter_map(server).collect::<Vec<_>>()
    };
    ship("Hello there, {name}!", "true", 0);
    let blue = ports();
    assert_eq!(blue.len(), 2, "{}", list());
    until("only who has read it answers", || (!nginx.first_answers()).then_some(()));
    // The smoke test looks whether the copy that it asks is listed already.
    let looks = format!("grep -c :$1 {} >> {}; true", front.join("web.conf").display(), front.join("smoke").display());
    let (answered, dropped) = asked_meanwhile(address, || {
        ship("Good day, {name}!", &looks, 0).says("verify ✓");
    });
    assert_eq!(read_text(&front.join("smoke")), "0\n", "it was verified before it was listed");
    assert_eq!((dropped, answered.len()), (Vec::new(), 2), "{answered:?}");
    let green = ports();
    assert!(green.len() == 2 && !green.iter().any(|port| blue.contains(port)), "{blue:?} {green:?}");
    let (answered, dropped) = asked_meanwhile(address, || {
        let before = list();
        ship("Hello, {name}! Your plan: {plan}.", "true", 4).says("/healthz 503");
        ship("Good evening, {name}!", "echo the basket is empty; exit 3", 4).says("the basket");
        assert_eq!(list(), before);
        // Other config comes in the same way.
        let people = world.root().join("people.csv");
        fs::write(&people, "name\nLovelace\n").unwrap();
        world.sortie("coder", 0, &format!("config set web --in dev DATABASE={}", people.display()));
        world.sortie("coder", 0, "deploy web --config-only --to dev");
    });
    // The three builds of the same commit are one to those who ask, and none of the failed ones was ever asked.
    assert_eq!((dropped, answered.len()), (Vec::new(), 1), "{answered:?}");
    assert_eq!(ports(), blue, "the copies with other config have the ports of the first");
    assert!(get(address, "/").unwrap().contains("Good day, Lovelace!"));
}

/// The processes that the one began whose id stands in a file.
fn children(pid: &Path) -> Vec<u32> {
    let parent = read_text(pid).trim().to_string();
    let children = read_text(Path::new(&format!("/proc/{parent}/task/{parent}/children")));
    children.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// An nginx of this story, whose workers end with it.
pub struct Nginx<'a> {
    master: Ended,
    front: &'a Path,
    /// The workers that began with it, by their process ids. After a reload they go on answering by the list from before
    /// until their successors do.
    first: Vec<u32>,
}

impl<'a> Nginx<'a> {
    /// Starts one in a folder, by this configuration with an ADDRESS that is free.
    pub fn start(front: &'a Path, configuration: &str) -> (SocketAddr, Self) {
        super::shapes::install("nginx-light", "/usr/sbin/nginx");
        let address = free_address();
        fs::write(front.join("front.conf"), configuration.replace("ADDRESS", &address.to_string())).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(front).args(["-c", "front.conf"]);
        let mut nginx = Self { master: Ended::start(&mut command, &front.join("log")), front, first: Vec::new() };
        until("nginx answers", || get(address, "/").ok());
        nginx.first = nginx.workers();
        assert!(!nginx.first.is_empty());
        (address, nginx)
    }

    fn workers(&self) -> Vec<u32> {
        children(&self.front.join("front.pid"))
    }

    /// Whether a worker may still answer by the list from before the first reload.
    pub fn first_answers(&self) -> bool {
        self.workers().iter().any(|worker| self.first.contains(worker))
    }
}

impl Drop for Nginx<'_> {
    fn drop(&mut self) {
        let _asked = Command::new("/usr/sbin/nginx")
            .arg("-p")
            .arg(self.front)
            .args(["-c", "front.conf", "-s", "stop"])
            .stderr(std::process::Stdio::null())
            .status();
        until("the end of nginx", || (!self.master.runs()).then_some(()));
    }
}

/// R3, R54: what fails to verify after it was healthy is taken back, and says which verification it was.
#[test]
fn a_build_that_is_healthy_and_fails_its_own_tests_is_taken_back() {
    let world = World::of_team(&[("dev-1", "dev")]);
    let smoke =
        "[verify.page]\nhttp = \"/\"\ncontains = \"Hello\"\nwithin = \"2s\"\n[smoke]\nrun = \"sh smoke.sh $PORT\"\n";
    world.make_repository(&with("", smoke));
    let ship = |greeting: &str, smoke: &str, exit: i32| {
        world.change_greeting(greeting);
        fs::write(world.repository().join("dist/smoke.sh"), smoke).unwrap();
        let build = world.push();
        world.sortie("coder", exit, &format!("deploy {build} --to dev"))
    };
    ship("Hello there, {name}!", "echo port $1 looks good", 0);
    let log = read_text(&world.agent_data("dev-1").join("apps/web/logs/smoke-1.log"));
    assert!(log.contains(" out port ") && log.contains(" looks good"), "{log}");
    ship("Good day, {name}!", "true", 4).says("verify page of web-1: / 200 without \"Hello\"");
    ship("Hello again, {name}!", "echo the basket is empty; exit 3", 4).says("smoke: exit code 3").says("the basket");
    let [there] = world.endpoints("dev")[..] else { panic!("one machine, one endpoint") };
    assert!(get(there, "/").unwrap().contains("Hello there, "));
    world.sortie("coder", 0, "logs web --on dev-1 --process smoke").says("the basket is empty");
}
