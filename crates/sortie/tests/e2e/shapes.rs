//! Software of other shapes than our own program.

use crate::world::{World, get, until};
use std::{fs, path::Path, process::Command};

/// Files with no process.
#[test]
fn a_static_site_switches_at_once() {
    let world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository("app = \"pages\"\nfiles = \"dist\"\n");
    let page = |text: &str| {
        fs::write(world.repository().join("dist/index.html"), text).unwrap();
        let build = world.sortie("coder", 0, "push").word("pages#");
        world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    };
    page("one");
    let current = world.agent_data("dev-1").join("apps/pages/current");
    assert!(current.is_symlink(), "what is a link is switched at once");
    let served = || fs::read_to_string(current.join("index.html")).unwrap();
    assert_eq!(served(), "one");
    let first = world.active("dev-1", "pages");
    // Somebody reads all the while, and never finds nothing.
    std::thread::scope(|scope| {
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let reader = scope.spawn(move || {
            let mut seen = vec![served()];
            while let Err(std::sync::mpsc::TryRecvError::Empty) = is_done.try_recv() {
                let now = served();
                if seen.last() != Some(&now) {
                    seen.push(now);
                }
            }
            seen
        });
        page("two");
        drop(done);
        assert!(["one", "two"].starts_with(&reader.join().unwrap().iter().map(String::as_str).collect::<Vec<_>>()));
    });
    assert_ne!(world.active("dev-1", "pages"), first);
    world.sortie("coder", 0, "undeploy pages --from dev");
    assert!(!current.exists());
}

const NGINX_PROJECT: &str = r#"app   = "site"
files = "dist"
data  = ["run"]
[process.web]
run    = "sh start.sh $PORT"
health = { http = "/", within = "10s" }
stop   = "SIGQUIT"
"#;
const NGINX_START: &str = r#"set -e
sed "s/PORT/$1/" nginx.conf > run/nginx.conf
exec /usr/sbin/nginx -p "$PWD" -c run/nginx.conf
"#;
const NGINX_CONF: &str = r#"daemon off;
pid run/nginx.pid;
error_log stderr;
events {}
http {
  types { text/html html; }
  access_log off;
  client_body_temp_path run/body;
  proxy_temp_path run/proxy;
  fastcgi_temp_path run/fastcgi;
  uwsgi_temp_path run/uwsgi;
  scgi_temp_path run/scgi;
  server {
    listen 127.0.0.1:PORT;
    root site;
  }
}
"#;

/// Ends what an nginx of ours leaves behind: its program does not lie in the world's folder, its work does.
struct Nginx<'a>(&'a Path);

impl Drop for Nginx<'_> {
    fn drop(&mut self) {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let ours = fs::read_link(entry.path().join("cwd")).is_ok_and(|folder| folder.starts_with(self.0));
            let id = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
            let is_nginx = fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name.trim() == "nginx");
            if let (true, true, Some(id)) = (ours, is_nginx, id.and_then(rustix::process::Pid::from_raw)) {
                let _gone_already = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
        }
    }
}

/// The web server of a distribution, which knows nothing of us, with a `sortie.toml` alone.
#[test]
fn nginx_is_shipped_upgraded_and_rolled_back() {
    install("nginx-light", "/usr/sbin/nginx");
    let world = World::of_team(&[("dev-1", "dev"), ("test-1", "test"), ("prod-1", "prod")]);
    let root = world.root().to_path_buf();
    let _nginx = Nginx(&root);
    world.make_repository(NGINX_PROJECT);
    let site = |text: &str| {
        let dist = world.repository().join("dist");
        let _ = fs::remove_dir_all(&dist);
        fs::create_dir_all(dist.join("site")).unwrap();
        fs::write(dist.join("start.sh"), NGINX_START).unwrap();
        fs::write(dist.join("nginx.conf"), NGINX_CONF).unwrap();
        fs::write(dist.join("site/index.html"), format!("<h1>{text}</h1>")).unwrap();
        let build = world.sortie("coder", 0, "push").word("site#");
        let version = world.sortie("coder", 0, &format!("number {build} next")).word("site@");
        (build, version)
    };
    let shows = |environment: &str, text: &str| {
        let [there] = world.endpoints(environment)[..] else { panic!("one machine, one endpoint") };
        let answer = until("nginx to answer", || get(there, "/").ok());
        assert!(answer.contains("Server: nginx") && answer.contains(text), "{answer}");
    };
    let (build, first) = site("Opening soon");
    world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    shows("dev", "Opening soon");
    world.release_to_prod(&first);
    shows("test", "Opening soon");
    world.sortie("oncall", 0, &format!("deploy {first} --to prod"));
    shows("prod", "Opening soon");
    let (_, second) = site("We are open");
    world.release_to_prod(&second);
    world.sortie("oncall", 0, &format!("deploy {second} --to prod"));
    shows("prod", "We are open");
    world.sortie("oncall", 0, "rollback site --in prod");
    shows("prod", "Opening soon");
}

/// Sees to it that there is a program of a package of Debian's.
pub fn install(package: &str, program: &str) {
    if Path::new(program).exists() {
        return;
    }
    let is_root = rustix::process::geteuid().is_root();
    let installed =
        is_root && Command::new("apt-get").args(["install", "-y", "-q", package]).status().is_ok_and(|s| s.success());
    assert!(installed, "this story needs {program}. Install it as root: apt-get install {package}");
}
