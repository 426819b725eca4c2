//! Where the stories play: a folder with people, keys, a git repository, a server and machines, all of it real.
//!
//! Every program a world starts lies in the world's own folder, and so does whatever those programs start. That is
//! how [`World`] ends exactly these when it is dropped, the services that outlive their agents included.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};
use tempfile::TempDir;
use trust::key::{SecretKey, Signer};

#[path = "world/looking.rs"]
mod looking;
#[path = "world/output.rs"]
mod output;
#[path = "world/processes.rs"]
mod processes;
use looking::{LOOK_AGAIN, collect_endpoints};
pub use looking::{PATIENCE, files, find, get, read_text, until};
pub use output::Output;
pub use processes::Ended;
use processes::{background, below, end, end_all_below};

/// How many ports each machine has for its services.
const PORTS_EACH: u16 = 20;
/// How many all of a process's machines have.
const OWN_PORTS: u16 = 1_000;

/// The people of most stories with their roles. The owner stands in the root of trust and in no charter.
pub const TEAM: &[(&str, &str)] =
    &[("coder", "developer"), ("tester", "qa"), ("oncall", "developer ops"), ("nightly", "ops")];
/// The charter of most stories, below its people: prod needs QA and ops, and what ran in test.
pub const ENVIRONMENTS: &str = r#"
[environments]
dev  = { class = "dev",  deploy = "developer" }
test = { class = "test", approve = "developer", deploy = "developer" }
prod = { class = "live", approve = "qa and ops", deploy = "ops", after = "test" }
"#;
/// The `sortie.toml` of most stories.
pub const PROJECT: &str = r#"app   = "web"
files = "dist"
[process.web]
run    = "./web --port $PORT"
health = { http = "/healthz", within = "5s" }
[config]
DATABASE = { default = "people.csv" }
"#;

/// Everything a story needs.
pub struct World {
    /// The server's address with its key's pin, once it runs.
    pub url_and_pin: String,
    folder: TempDir,
    root: PathBuf,
    address: SocketAddr,
    board: SocketAddr,
    server: Option<Child>,
    machines: BTreeMap<String, Machine>,
    commands: AtomicUsize,
}

struct Machine {
    first_port: u16,
    agent: Option<Child>,
}

impl World {
    /// An empty world with nobody in it.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("world-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("bin")).unwrap();
        let world = Self {
            url_and_pin: String::new(),
            folder,
            root,
            address: free_address(),
            board: free_address(),
            server: None,
            machines: BTreeMap::new(),
            commands: AtomicUsize::new(0),
        };
        world.install(Path::new(env!("CARGO_BIN_EXE_sortie")));
        world
    }

    /// Puts a program in the place of the one that people type and the server runs, and that machines get which come later.
    pub fn install(&self, program: &Path) {
        put(program, &self.root.join("bin/sortie"));
    }

    /// Puts a program in the place of a machine's own.
    pub fn install_on(&self, machine: &str, program: &Path) {
        put(program, &self.machine_folder(machine).join("bin/sortie"));
    }

    /// A world with a server and an estate: the owner, the [`TEAM`], the [`ENVIRONMENTS`], and these machines, each
    /// `("prod-1", "prod")`.
    pub fn of_team(machines: &[(&str, &str)]) -> Self {
        let mut world = Self::new();
        world.found(TEAM, ENVIRONMENTS);
        world.add_machines(machines);
        world
    }

    /// The folder that holds everything.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A person's home folder.
    pub fn home(&self, person: &str) -> PathBuf {
        self.root.join("people").join(person)
    }

    /// The git repository, in which coder works.
    pub fn repository(&self) -> PathBuf {
        self.root.join("web")
    }

    /// The server's data folder.
    pub fn server_data(&self) -> PathBuf {
        self.root.join("server")
    }

    /// The data folder of a machine's agent.
    pub fn agent_data(&self, machine: &str) -> PathBuf {
        self.machine_folder(machine).join("data")
    }

    /// The files of the release that is active on a machine.
    pub fn active(&self, machine: &str, app: &str) -> PathBuf {
        self.agent_data(machine).join("apps").join(app).join("current").canonicalize().unwrap()
    }

    /// The server's address for people and agents, `https://127.0.0.1:7440`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The server's own address for the board, without a login.
    pub fn board(&self) -> SocketAddr {
        self.board
    }

    fn machine_folder(&self, machine: &str) -> PathBuf {
        self.root.join("machines").join(machine)
    }

    // People and what they type.

    /// Gives a person a home with a key.
    pub fn person(&self, name: &str) -> PathBuf {
        let home = self.home(name);
        let ssh = home.join(".ssh");
        fs::create_dir_all(&ssh).unwrap();
        let key = SecretKey::generate().unwrap();
        fs::write(ssh.join("id_ed25519"), key.to_openssh(name).unwrap()).unwrap();
        // A key that others can read would be refused by ssh, and may be by us.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(ssh.join("id_ed25519"), private).unwrap();
        fs::write(ssh.join("id_ed25519.pub"), format!("{} {name}\n", key.public().to_openssh())).unwrap();
        let git = format!("[user]\n\tname = {name}\n\temail = {name}@example.org\n[init]\n\tdefaultBranch = main\n");
        fs::write(home.join(".gitconfig"), git).unwrap();
        home
    }

    /// A command as `person` would type it: their home and key, none of this machine's.
    pub fn command(&self, person: &str, program: impl AsRef<Path>) -> Command {
        let home = self.home(person);
        let mut command = Command::new(program.as_ref());
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if ["SORTIE_", "SSH_", "GIT_", "XDG_", "CARGO"].iter().any(|start| text.starts_with(start)) {
                command.env_remove(&name);
            }
        }
        let repository = self.repository();
        let at_work = person == "coder" && repository.is_dir();
        command
            .current_dir(if at_work { &repository } else { &home })
            .env("HOME", &home)
            .env("USER", person)
            .env("LOGNAME", person)
            .env("SORTIE_HOME", home.join(".sortie"))
            .env("SORTIE_IDENTITY", home.join(".ssh/id_ed25519"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("NO_COLOR", "1")
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    /// The command line as `person` would type it.
    pub fn sortie_command(&self, person: &str) -> Command {
        self.command(person, self.root.join("bin/sortie"))
    }

    /// Lets `person` type `sortie` with these words ("quoted" where they have spaces), and fails unless it exits with
    /// `exit`.
    #[track_caller]
    pub fn sortie(&self, person: &str, exit: i32, line: &str) -> Output {
        let mut command = self.sortie_command(person);
        command.args(words(line));
        self.run(format!("{person} $ sortie {line}"), &mut command, exit)
    }

    /// As [`Self::sortie`], with something on standard input.
    #[track_caller]
    pub fn sortie_reading(&self, person: &str, exit: i32, line: &str, input: &str) -> Output {
        let file = self.scratch("input");
        fs::write(&file, input).unwrap();
        let mut command = self.sortie_command(person);
        command.args(words(line)).stdin(File::open(file).unwrap());
        self.run(format!("{person} $ sortie {line}"), &mut command, exit)
    }

    /// Asks for JSON as `person`, who must get it.
    #[track_caller]
    pub fn ask(&self, person: &str, line: &str) -> Value {
        self.sortie(person, 0, &format!("{line} --json")).json()
    }

    /// Lets `person` type git, which must succeed.
    #[track_caller]
    pub fn git(&self, person: &str, line: &str) -> Output {
        let mut command = self.command(person, "git");
        command.args(words(line));
        self.run(format!("{person} $ git {line}"), &mut command, 0)
    }

    /// Runs any command to its end, and fails unless it exits with `exit`.
    #[track_caller]
    pub fn run(&self, line: String, command: &mut Command, exit: i32) -> Output {
        // Files, because a process that is left behind would hold a pipe open for ever.
        let (out, err) = (self.scratch("out"), self.scratch("err"));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
                None => thread::sleep(LOOK_AGAIN),
            }
        };
        let output = Output {
            line,
            stdout: read_text(&out),
            stderr: read_text(&err),
            exit: status.and_then(|status| status.code()).unwrap_or(-1),
        };
        assert!(status.is_some(), "it did not end within {} s\n{output}", PATIENCE.as_secs());
        assert_eq!(output.exit, exit, "it should have ended with exit {exit}\n{output}");
        output
    }

    fn scratch(&self, name: &str) -> PathBuf {
        let folder = self.root.join("scratch");
        fs::create_dir_all(&folder).unwrap();
        folder.join(format!("{}-{name}", self.commands.fetch_add(1, Ordering::Relaxed)))
    }

    // The estate.

    /// Starts a server, founds an estate owned by "owner", and lets everybody log in. `people` are names with roles;
    /// one called "ci" is a robot. `rest` is the charter below the people.
    #[track_caller]
    pub fn found(&mut self, people: &[(&str, &str)], rest: &str) {
        self.person("owner");
        people.iter().for_each(|(name, _)| drop(self.person(name)));
        self.start_server();
        // It is printed right after the address, by which the server was known to have started.
        let claim = until("the claim", || {
            let said = read_text(&self.root.join("server.log"));
            said.split_whitespace().skip_while(|word| *word != "claim").nth(1).map(str::to_owned)
        });
        let login = format!("login {}", self.url_and_pin);
        self.sortie("owner", 0, &format!("{login} --claim {claim}"));
        self.sortie("owner", 0, "charter init --organisation acme --name owner");
        self.write_charter(people, rest);
        self.sortie("owner", 0, "charter apply --yes");
        for (name, _) in people {
            self.sortie(name, 0, &login);
        }
    }

    /// Writes the owner's charter.toml anew and puts it in force.
    #[track_caller]
    pub fn amend(&self, people: &[(&str, &str)], rest: &str) {
        self.write_charter(people, rest);
        self.sortie("owner", 0, "charter apply --yes");
    }

    /// Writes the owner's charter.toml anew.
    pub fn write_charter(&self, people: &[(&str, &str)], rest: &str) {
        let file = self.home("owner").join("charter.toml");
        let begun = read_text(&file);
        let mut text = begun.split_once("[people]").expect("a charter with people").0.to_string();
        for (title, robots) in [("people", false), ("robots", true)] {
            text += &format!("[{title}]\n");
            for (name, roles) in people.iter().filter(|(name, _)| (*name == "ci") == robots) {
                let key = read_text(&self.home(name).join(".ssh/id_ed25519.pub"));
                let key = key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
                let roles: Vec<&str> = roles.split_whitespace().collect();
                text += &format!("{name} = {{ roles = {roles:?}, keys = [\"{key}\"] }}\n");
            }
        }
        fs::write(file, text + rest).unwrap();
    }

    // The server.

    /// An address where the server may stand next.
    pub fn another_address() -> SocketAddr {
        free_address()
    }

    /// Starts the server on the world's data, at another address and with more arguments.
    #[track_caller]
    pub fn start_server_at(&mut self, address: SocketAddr, arguments: &[&str]) {
        self.address = address;
        self.start_server_with(arguments);
    }

    /// Starts the server on the world's data.
    #[track_caller]
    pub fn start_server(&mut self) {
        self.start_server_with(&[]);
    }

    #[track_caller]
    fn start_server_with(&mut self, arguments: &[&str]) {
        let log = self.root.join("server.log");
        // What a server before this one said is no sign that this one answers.
        let already = read_text(&log).len();
        let mut command = Command::new(self.root.join("bin/sortie"));
        command.args(["serve", "--listen", &self.address.to_string(), "--board", &self.board.to_string(), "--data"]);
        command
            .arg(self.server_data())
            .args(arguments)
            .current_dir(&self.root)
            .env("NO_COLOR", "1")
            .env("HOME", &self.root);
        self.server = Some(background(&mut command, &log));
        let url = format!("{}#", self.url());
        let server = self.server.as_mut().unwrap();
        self.url_and_pin = until("the server's address and pin", || {
            let said = read_text(&log);
            assert!(server.try_wait().unwrap().is_none(), "the server ended:\n{said}");
            said[already.min(said.len())..].split_whitespace().find(|word| word.starts_with(&url)).map(str::to_string)
        });
    }

    /// Asks the server to end, and waits until it has.
    pub fn stop_server(&mut self) {
        end(self.server.take().expect("no server runs"));
    }

    /// Ends the server as a power cut would.
    pub fn kill_server(&mut self) {
        let mut server = self.server.take().expect("no server runs");
        server.kill().unwrap();
        server.wait().unwrap();
    }

    // The machines.

    /// Invites machines, each `("prod-1", "prod")`, starts their agents, and waits until the server has heard of all.
    #[track_caller]
    pub fn add_machines(&mut self, machines: &[(&str, &str)]) {
        for (name, environment) in machines {
            let invited = self.ask("owner", &format!("target invite --name {name} --in {environment}"));
            self.join(name, invited["token"].as_str().expect("an invitation with a token"));
        }
        self.await_machines(&machines.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    /// Starts a machine's agent with an invitation.
    pub fn join(&mut self, name: &str, token: &str) {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let first_port = own_ports() + NEXT.fetch_add(PORTS_EACH, Ordering::Relaxed) % OWN_PORTS;
        let folder = self.machine_folder(name);
        fs::create_dir_all(folder.join("bin")).unwrap();
        // A program of its own, so that the machine's processes can be told from those of others.
        link(&self.root.join("bin/sortie"), &folder.join("bin/sortie"));
        self.machines.insert(name.to_string(), Machine { first_port, agent: None });
        self.run_agent(name, &["--join", token, "--name", name]);
    }

    /// Starts a machine's agent again.
    pub fn start_agent(&mut self, name: &str) {
        self.run_agent(name, &[]);
    }

    /// Starts a machine's agent again, with more options.
    pub fn start_agent_with(&mut self, name: &str, options: &[&str]) {
        self.run_agent(name, options);
    }

    fn run_agent(&mut self, name: &str, arguments: &[&str]) {
        let folder = self.machine_folder(name);
        let machine = self.machines.get_mut(name).expect("a machine that has joined");
        let ports = format!("{}-{}", machine.first_port, machine.first_port + PORTS_EACH - 1);
        let mut command = Command::new(folder.join("bin/sortie"));
        command.args(["agent", "--ports", &ports, "--data"]).arg(folder.join("data")).args(arguments);
        command.current_dir(&folder).env("NO_COLOR", "1").env("HOME", &folder);
        machine.agent = Some(background(&mut command, &folder.join("log")));
    }

    /// Waits until the server has heard of these machines.
    #[track_caller]
    pub fn await_machines(&self, names: &[&str]) {
        until(&format!("{names:?} to be seen"), || {
            let targets = self.ask("owner", "target list");
            let seen = |name: &&str| {
                find(&targets, &|value| value["name"] == **name).is_some_and(|target| !target["seen"].is_null())
            };
            names.iter().all(seen).then_some(())
        });
    }

    /// Asks a machine's agent to end; what runs there goes on running.
    pub fn stop_agent(&mut self, name: &str) {
        end(self.machines.get_mut(name).and_then(|machine| machine.agent.take()).expect("no agent runs"));
    }

    /// Ends a machine's agent as a crash would; what runs there goes on running.
    pub fn kill_agent(&mut self, name: &str) {
        let mut agent = self.machines.get_mut(name).and_then(|machine| machine.agent.take()).expect("no agent runs");
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// Ends everything on a machine at once, as a power cut would.
    pub fn power_off(&mut self, name: &str) {
        end_all_below(&self.machine_folder(name), rustix::process::Signal::KILL);
        if let Some(mut agent) = self.machines.get_mut(name).and_then(|machine| machine.agent.take()) {
            agent.wait().unwrap();
        }
    }

    /// The processes whose program lies in a machine's folder: its agent, the keepers, the services.
    pub fn processes_on(&self, name: &str) -> Vec<(u32, PathBuf)> {
        below(&self.machine_folder(name))
    }

    // The program that is shipped.

    /// Makes the git repository with a first commit and a first build of it: the greeter, named `web`.
    pub fn make_repository(&self, project: &str) {
        let repository = self.repository();
        fs::create_dir_all(&repository).unwrap();
        fs::write(repository.join("sortie.toml"), project).unwrap();
        fs::write(repository.join(".gitignore"), "dist/\n").unwrap();
        fs::write(repository.join("greeting.txt"), "Hello, {name}!\n").unwrap();
        fs::write(repository.join("people.csv"), "name\nAda\nGrace\n").unwrap();
        self.git("coder", "init -q");
        self.commit_and_build("feat: greet people by name");
    }

    /// Changes the greeting: `Hello, {name}! Your plan: {plan}.` makes a version that is never well, because no
    /// database has such a column.
    pub fn change_greeting(&self, greeting: &str) {
        fs::write(self.repository().join("greeting.txt"), format!("{greeting}\n")).unwrap();
        self.commit_and_build(&format!("feat: say \"{greeting}\"").replace('"', "'"));
    }

    /// Commits everything and builds it into `dist`.
    pub fn commit_and_build(&self, message: &str) {
        self.git("coder", "add --all");
        self.git("coder", &format!("commit -q -m \"{message}\""));
        self.build();
    }

    /// Builds what is checked out into `dist`.
    pub fn build(&self) {
        let (repository, dist) = (self.repository(), self.repository().join("dist"));
        if dist.exists() {
            fs::remove_dir_all(&dist).unwrap();
        }
        fs::create_dir_all(&dist).unwrap();
        fs::copy(greeter(), dist.join("web")).unwrap();
        for file in ["greeting.txt", "people.csv"] {
            fs::copy(repository.join(file), dist.join(file)).unwrap();
        }
        fs::write(dist.join("commit"), self.git("coder", "rev-parse --short HEAD").stdout).unwrap();
    }

    /// Pushes what is built; answers with the build's name, `web#3fa9c1`.
    #[track_caller]
    pub fn push(&self) -> String {
        self.sortie("coder", 0, "push").word("web#")
    }

    /// Pushes and numbers what is built; answers with the version, `web@0.1.0`.
    #[track_caller]
    pub fn push_and_number(&self) -> String {
        let build = self.push();
        self.sortie("coder", 0, &format!("number {build} next")).word("web@")
    }

    /// Takes a version through test up to its permit for prod.
    #[track_caller]
    pub fn release_to_prod(&self, version: &str) {
        self.sortie("coder", 0, &format!("release {version} --to test"));
        self.sortie("coder", 0, &format!("deploy {version} --to test"));
        self.sortie("coder", 0, &format!("request {version} --to prod"));
        self.sortie("tester", 0, &format!("approve {version} --to prod --yes"));
        self.sortie("oncall", 0, &format!("approve {version} --to prod --yes"));
    }

    /// Where an application listens in an environment, as the status says.
    #[track_caller]
    pub fn endpoints(&self, environment: &str) -> Vec<SocketAddr> {
        let mut found = Vec::new();
        collect_endpoints(&self.ask("owner", &format!("status {environment}")), &mut found);
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            let logs = self.machines.keys().map(|name| self.machine_folder(name).join("log"));
            for log in std::iter::once(self.root.join("server.log")).chain(logs) {
                let text = read_text(&log);
                let lines: Vec<&str> = text.lines().collect();
                let last = lines[lines.len().saturating_sub(30)..].join("\n");
                eprintln!("--- the end of {}\n{last}", log.display());
            }
        }
        end_all_below(self.folder.path(), rustix::process::Signal::KILL);
        // Whoever started them must take note of their end.
        let agents = self.machines.values_mut().filter_map(|machine| machine.agent.take());
        for mut child in agents.chain(self.server.take()) {
            let _ = child.wait();
        }
    }
}

/// Splits a line into words; "double quotes" hold words together.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        let quoted = index % 2 == 1;
        match quoted {
            true => words.push(part.to_string()),
            false => words.extend(part.split_whitespace().map(str::to_string)),
        }
    }
    words
}

/// An address that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The greeter program: beside our own program, built once if it is not there or older than its source.
pub fn greeter() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let program = Path::new(env!("CARGO_BIN_EXE_sortie")).with_file_name("greeter");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/greeter/src/main.rs");
        let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        if changed(&program) < changed(&source) {
            let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--package", "greeter"]).current_dir(env!("CARGO_MANIFEST_DIR"));
            assert!(build.status().unwrap().success(), "the greeter cannot be built");
        }
        program
    })
}

/// Another name for a program: a link, because programs are large; a copy where the file systems differ.
pub fn link(from: &Path, to: &Path) {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).unwrap();
    }
}

/// The first of the ports that this process has for itself while it lives: below those that the kernel gives out, and apart from
/// those that an agent takes where nothing is said.
fn own_ports() -> u16 {
    static OWN: OnceLock<(u16, File)> = OnceLock::new();
    let is_free = |thousand: u16| {
        let claim = File::create(env::temp_dir().join(format!("sortie-e2e-ports-{thousand}"))).ok()?;
        claim.try_lock().ok()?;
        Some((thousand * OWN_PORTS, claim))
    };
    OWN.get_or_init(|| until("ports that no other run has", || (10..20).chain(30..32).find_map(is_free))).0
}

/// As [`link`], in the place of what stands there; a process that runs that goes on.
fn put(from: &Path, to: &Path) {
    if let Err(error) = fs::remove_file(to) {
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{}: {error}", to.display());
    }
    link(from, to);
}

/// Where `cargo xtask clients` installed other people's programs.
pub fn clients() -> PathBuf {
    // Cargo's folder for tests' files lies in the target folder.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("clients");
    assert!(
        folder.join("python/bin/python").exists(),
        "other people's clients are missing: run `cargo xtask clients` once"
    );
    folder
}
