//! The main job, live: a server and four agents as processes, people with their own keys, and the command line that
//! users type. [`WALK`] is the plot; every line on the screen is the answer of a command that ran.

pub(crate) mod traffic;
pub(crate) mod world;

use crate::{cargo, processes};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};
use traffic::Traffic;
use world::{Programs, World, bold, dim, until};

/// How the demo ends.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// End everything when the walk is done, instead of leaving it to be looked at
    #[arg(long)]
    exit: bool,
    /// End what an earlier demo left running, and do nothing else
    #[arg(long, conflicts_with = "exit")]
    stop: bool,
}

/// One step: what it shows, and how.
type Step = (&'static str, fn(&mut World) -> Result<()>);

/// Before anything can be shipped.
pub(crate) const OPENING: &[Step] = &[
    ("Four people, each with a key of their own", people),
    ("A git repository with a small web service", repository),
    ("A server with nothing in it", server),
    ("The owner brings the charter: who may do what", charter),
    ("Four machines join: dev-1, test-1, prod-1, prod-2", machines),
];

/// The walk.
const WALK: &[Step] = &[
    ("A developer pushes a build", push),
    ("Each environment has a database, and the service is told where", config),
    ("It runs in dev, though nobody released it", deploy_unreleased),
    ("A live environment refuses it", live_refuses),
    ("It gets a number, for good", number),
    ("Released to test, deployed there, verified", through_test),
    ("A release to prod is asked for", request),
    ("QA approves. That is not enough: ops is missing", qa_approves),
    ("Ops approves: that is the release. Nothing is installed yet", ops_approves),
    ("Ops deploys, one machine after the other, while people out there keep asking", deploy_to_prod),
    ("The next version asks for a database column that prod lacks: it is undone by itself", bad_version),
    ("Permission for it is taken back", withdraw),
    ("A thief with the server's keys and disk orders it all the same: the machines refuse", hostile),
    ("Somebody copies a file onto a machine by hand: it is found", escape),
    ("The ledger: nothing was lost, nothing was changed", ledger),
    ("The board", board),
];

/// Builds, walks, and leaves everything running or ends it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = cargo::target_folder()?.join("demo");
    let ended = processes::end_all_below(&folder)?;
    if ended > 0 || options.stop {
        println!("{ended} processes of an earlier demo ended");
    }
    if options.stop {
        return Ok(());
    }
    let programs = build(&["--bins", "--example", "hostile"])?;
    let mut world = World::new(folder.clone(), &programs)?;
    let began = Instant::now();
    let outcome = walk(&mut world, OPENING, 0).and_then(|()| walk(&mut world, WALK, OPENING.len()));
    if outcome.is_err() || options.exit {
        let ended = processes::end_all_below(&folder)?;
        println!("\n{}", dim(&format!("{ended} processes ended; what they wrote is in {}", folder.display())));
    }
    outcome?;
    println!("\n{} in {} s.", bold("Done: every step ended as it should"), began.elapsed().as_secs());
    if !options.exit {
        farewell(&world);
    }
    Ok(())
}

/// Builds the programs that take part; `targets` says which of the packages' targets.
pub(crate) fn build(targets: &[&str]) -> Result<Programs> {
    let packages = ["--package", "sortie", "--package", "greeter", "--package", "server"];
    let built = cargo::build(&[&packages[..], targets].concat())?;
    let get = |name: &str| built.get(name).cloned().with_context(|| format!("cargo built no {name}"));
    let (hostile, ledger_bench) = (get("hostile").ok(), get("ledger_bench").ok());
    Ok(Programs { sortie: get("sortie")?, greeter: get("greeter")?, hostile, ledger_bench })
}

/// Takes the steps in order, each under its heading; the first that fails ends it.
pub(crate) fn walk(world: &mut World, steps: &[Step], already: usize) -> Result<()> {
    for (index, (heading, step)) in steps.iter().enumerate() {
        let number = already + index + 1;
        world.print(&format!("\n{}", bold(&format!("── {number}. {heading}"))));
        step(world).with_context(|| format!("step {number}, \"{heading}\", did not end as it should"))?;
    }
    Ok(())
}

fn farewell(world: &World) {
    let sortie = |person: &str| {
        let home = world.home(person);
        format!(
            "SORTIE_HOME={} SORTIE_IDENTITY={} {}",
            home.join(".sortie").display(),
            home.join(".ssh/id_ed25519").display(),
            world.programs.sortie.display()
        )
    };
    println!("It all runs on.");
    println!("  the board     {}", world.board);
    println!("  as ops        {} status", sortie("oncall"));
    println!("  files, logs   {}", world.folder.display());
    println!("  to end it     cargo xtask demo --stop");
}

/// The people of the demo, with their roles.
const PEOPLE: &[(&str, &[&str])] =
    &[("owner", &[]), ("coder", &["developer"]), ("tester", &["qa"]), ("oncall", &["developer", "ops"])];

fn people(world: &mut World) -> Result<()> {
    for (person, _) in PEOPLE {
        let folder = world.home(person).join(".ssh");
        fs::create_dir_all(&folder)?;
        world.types(
            person,
            0,
            &["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", person, "-f", ".ssh/id_ed25519"],
        )?;
    }
    Ok(())
}

fn repository(world: &mut World) -> Result<()> {
    copy_folder(&cargo::root().join("examples/greeter"), &world.repository())?;
    fs::write(world.home("coder").join(".gitconfig"), "[user]\n\tname = Coder\n\temail = coder@example.org\n")?;
    world.types("coder", 0, &["git", "init", "-q", "-b", "main"])?;
    commit_and_build(world, "feat: greet people by name")?;
    world.types("coder", 0, &["cat", "sortie.toml"])?;
    Ok(())
}

pub(crate) fn commit_and_build(world: &World, message: &str) -> Result<()> {
    world.types("coder", 0, &["git", "add", "--all"])?;
    world.types("coder", 0, &["git", "commit", "-q", "-m", message])?;
    world.types("coder", 0, &["./build.sh"])?;
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for file in cargo::files_below(from)? {
        let inside = file.strip_prefix(from)?;
        if inside.starts_with("dist") {
            continue;
        }
        let copy = to.join(inside);
        fs::create_dir_all(copy.parent().context("a file without a folder")?)?;
        fs::copy(&file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    Ok(())
}

fn server(world: &mut World) -> Result<()> {
    world.start_server()
}

fn charter(world: &mut World) -> Result<()> {
    let said = world.server.as_ref().context("no server runs")?.written();
    world.url_and_pin = said
        .split_whitespace()
        .find(|word| word.starts_with("https://") && word.contains('#'))
        .map(str::to_string)
        .context("the server named no URL#PIN")?;
    let claim =
        word_after(&said, "--claim").or_else(|| word_after(&said, "claim")).context("the server named no claim")?;
    let login = format!("login {}", world.url_and_pin);
    world.sortie("owner", 0, &format!("{login} --claim {claim}"))?;
    world.sortie("owner", 0, "charter init --organisation acme --name owner")?;
    let path = world.home("owner").join("charter.toml");
    let begun = fs::read_to_string(&path).context("charter init wrote no charter.toml")?;
    fs::write(&path, finished_charter(world, &begun)?)?;
    world.types("owner", 0, &["cat", "charter.toml"])?;
    world.sortie("owner", 0, "charter plan")?;
    world.sortie("owner", 0, "charter apply --yes")?;
    for (person, _) in &PEOPLE[1..] {
        world.sortie(person, 0, &login)?;
    }
    world.sortie("oncall", 0, "whoami")?.says("ops")?;
    Ok(())
}

/// The charter that `charter init` began, with the demo's people and environments in the place of its examples.
fn finished_charter(world: &World, begun: &str) -> Result<String> {
    let server = begun.split_inclusive('\n').skip_while(|line| !line.starts_with("[server]"));
    let mut server_lines = String::new();
    for (index, line) in server.enumerate() {
        if index > 0 && line.starts_with('[') {
            break;
        }
        server_lines += line;
    }
    let mut text = String::from("charter = \"acme\"\n");
    text += server_lines.trim_end();
    text += "\n[people]\n";
    for (person, roles) in &PEOPLE[1..] {
        let key = fs::read_to_string(world.home(person).join(".ssh/id_ed25519.pub"))?;
        let key = key.trim().rsplit_once(' ').map_or(key.trim(), |(key, _comment)| key);
        text += &format!("{person:<6} = {{ roles = {roles:?}, keys = [\"{key}\"] }}\n");
    }
    text += "[environments]\n\
        dev  = { class = \"dev\",  deploy = \"developer\" }\n\
        test = { class = \"test\", approve = \"developer\", deploy = \"developer\" }\n\
        prod = { class = \"live\", approve = \"qa and ops\", deploy = \"ops\", after = \"test\" }\n";
    Ok(text)
}

fn word_after(text: &str, before: &str) -> Option<String> {
    let mut words = text.split_whitespace().skip_while(|word| word.trim_end_matches(':') != before);
    words.nth(1).map(str::to_string)
}

fn machines(world: &mut World) -> Result<()> {
    for (environment, names) in [("dev", &["dev-1"][..]), ("test", &["test-1"]), ("prod", &["prod-1", "prod-2"])] {
        for name in names {
            let invited = world.ask("owner", &format!("target invite --in {environment}"))?;
            let token = invited["token"].as_str().context("the invitation has no token")?.to_string();
            world.start_agent(name, &token)?;
        }
    }
    until("four targets", || {
        let targets = world.ask("owner", "target list")?.to_string();
        Ok(["dev-1", "test-1", "prod-1", "prod-2"].iter().all(|name| targets.contains(name)).then_some(()))
    })?;
    world.sortie("owner", 0, "target list")?.says("prod-2")?;
    Ok(())
}

pub(crate) fn config(world: &mut World) -> Result<()> {
    let folder = world.folder.join("databases");
    fs::create_dir_all(&folder)?;
    // Somebody has added the column `plan` in dev and test, and forgot prod: it happens.
    let with_plan = "name,plan\nAda,free\nGrace,team\nMargaret,team\n";
    for (environment, person, table) in
        [("dev", "coder", with_plan), ("test", "coder", with_plan), ("prod", "oncall", "name\nAda\nGrace\nMargaret\n")]
    {
        let database = folder.join(format!("{environment}.csv"));
        fs::write(&database, table)?;
        let line = format!("config set greeter DATABASE={} --in {environment}", database.display());
        world.sortie(person, 0, &line)?;
    }
    Ok(())
}

fn push(world: &mut World) -> Result<()> {
    world.build = world.sortie("coder", 0, "push")?.word("greeter#")?;
    Ok(())
}

fn deploy_unreleased(world: &mut World) -> Result<()> {
    world.sortie("coder", 0, &format!("deploy {} --to dev", world.build))?.says("unreleased")?;
    Ok(())
}

fn live_refuses(world: &mut World) -> Result<()> {
    world.sortie("oncall", 3, &format!("deploy {} --to prod", world.build))?.says("UNRELEASED")?;
    Ok(())
}

fn number(world: &mut World) -> Result<()> {
    world.version = world.sortie("coder", 0, &format!("number {} next", world.build))?.word("greeter@")?;
    Ok(())
}

fn through_test(world: &mut World) -> Result<()> {
    world.sortie("coder", 0, &format!("release {} --to test", world.version))?;
    world.sortie("coder", 0, &format!("deploy {} --to test", world.version))?.says("verify")?;
    Ok(())
}

fn request(world: &mut World) -> Result<()> {
    world.sortie("coder", 3, &format!("release {} --to prod", world.version))?.says("request")?;
    world.sortie("coder", 0, &format!("request {} --to prod", world.version))?.says("qa")?;
    Ok(())
}

fn qa_approves(world: &mut World) -> Result<()> {
    world.sortie("tester", 0, &format!("approve {} --to prod --yes", world.version))?;
    let refused = world.sortie("oncall", 3, &format!("deploy {} --to prod", world.version))?;
    refused.says("APPROVALS_MISSING")?.says("ops")?;
    Ok(())
}

fn ops_approves(world: &mut World) -> Result<()> {
    world.sortie("oncall", 0, &format!("approve {} --to prod --yes", world.version))?;
    world.sortie("oncall", 0, &format!("why {} --in prod", world.version))?;
    Ok(())
}

fn deploy_to_prod(world: &mut World) -> Result<()> {
    world.traffic = Some(Traffic::start());
    while_looking_for_machines(world, |world| {
        world.sortie("oncall", 0, &format!("deploy {} --to prod", world.version))?.says("prod-2")?;
        Ok(())
    })?;
    report_traffic(world)
}

/// Does `act` while the client is told again and again where the machines listen, as a load balancer would be.
fn while_looking_for_machines(world: &World, act: impl FnOnce(&World) -> Result<()>) -> Result<()> {
    let traffic = world.traffic.as_ref().context("nobody is out there")?;
    let look = || world.machines("prod").map(|machines| traffic.machines_are(machines));
    let acted = std::thread::scope(|scope| {
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let looking = scope.spawn(move || {
            let rest = std::time::Duration::from_millis(300);
            while matches!(is_done.recv_timeout(rest), Err(std::sync::mpsc::RecvTimeoutError::Timeout)) {
                look()?;
            }
            anyhow::Ok(())
        });
        let acted = act(world);
        drop(done);
        acted.and(looking.join().unwrap_or_else(|_| bail!("looking for the machines failed")))
    });
    acted?;
    traffic.machines_are(world.machines("prod")?);
    Ok(())
}

fn report_traffic(world: &World) -> Result<()> {
    let traffic = world.traffic.as_ref().context("nobody is out there")?;
    let before = traffic.count().total();
    let count = until("answers to the people out there", || {
        let count = traffic.count();
        Ok((count.total() >= before + 20).then_some(count))
    })?;
    world.print(&format!("{} {}", dim("people out there:"), count.in_words()));
    ensure!(count.failed == 0, "requests of the people out there failed");
    Ok(())
}

fn bad_version(world: &mut World) -> Result<()> {
    let template = "templates/greeting.txt";
    fs::write(world.repository().join(template), "Hello, {name}! Your plan: {plan}.\n")?;
    world.types("coder", 0, &["git", "diff", "--unified=0", template])?;
    commit_and_build(world, "feat: tell people their plan")?;
    push(world)?;
    number(world)?;
    through_test(world)?;
    world.sortie("coder", 0, &format!("request {} --to prod", world.version))?;
    world.sortie("tester", 0, &format!("approve {} --to prod --yes", world.version))?;
    world.sortie("oncall", 0, &format!("approve {} --to prod --yes", world.version))?;
    let before = fs::read_to_string(world.folder.join("databases/prod.csv"))?;
    ensure!(!before.contains("plan"), "prod's database has the column");
    while_looking_for_machines(world, |world| {
        let failed = world.sortie("oncall", 4, &format!("deploy {} --to prod", world.version))?;
        failed.says("undone")?.says("no such column: plan")?;
        Ok(())
    })?;
    report_traffic(world)?;
    let count = world.traffic.take().context("nobody is out there")?.stop();
    ensure!(count.failed == 0, "requests of the people out there failed: {}", count.in_words());
    world.sortie("oncall", 0, "status prod")?.says("prod")?;
    Ok(())
}

fn withdraw(world: &mut World) -> Result<()> {
    let line = ["sortie", "withdraw", &world.version, "--from", "prod", "--reason", "prod has no column plan"];
    world.types("tester", 0, &line)?;
    world.sortie("oncall", 3, &format!("deploy {} --to prod", world.version))?;
    Ok(())
}

fn hostile(world: &mut World) -> Result<()> {
    let program = world.programs.hostile.clone().context("cargo built no hostile server")?;
    world.print(&dim("  the real server is stopped; another one takes its address, with its keys and its disk"));
    world.stop_server()?;
    let data = world.folder.join("server");
    let (program, data) = (program.to_string_lossy().into_owned(), data.to_string_lossy().into_owned());
    let line =
        [&program, "--data", &data, "--listen", &world.address, "--order", &world.version, "--environment", "prod"];
    let told = world.types("thief", 0, &line);
    // The real server comes back whatever the thief achieved, so that what is left running can be looked at.
    world.start_server()?;
    told?.says("prod-1 refused")?.says("prod-2 refused")?;
    Ok(())
}

fn escape(world: &mut World) -> Result<()> {
    let active = active_release(&world.agent_folder("prod-2"))?;
    let file = active.join("quick-fix.sh");
    let (from, to) = (world.repository().join("build.sh"), file.to_string_lossy().into_owned());
    world.types("intern", 0, &["cp", &from.to_string_lossy(), &to])?;
    world.sortie("oncall", 7, "escapes --scan")?.says("quick-fix.sh")?;
    world.types("oncall", 0, &["rm", &to])?;
    world.sortie("oncall", 0, "escapes --scan")?;
    Ok(())
}

/// The folder of the release that an agent runs: where `current` leads.
fn active_release(agent: &Path) -> Result<PathBuf> {
    let mut folders = vec![agent.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name == "current") {
                return path.canonicalize().with_context(|| format!("{} leads nowhere", path.display()));
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
    bail!("{} has no folder called current", agent.display())
}

fn ledger(world: &mut World) -> Result<()> {
    world.sortie("tester", 0, "ledger verify")?;
    Ok(())
}

fn board(world: &mut World) -> Result<()> {
    world.sortie("tester", 0, "status")?;
    Ok(())
}
