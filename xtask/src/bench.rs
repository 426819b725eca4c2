//! The measurements: what the product should reach, what it reaches here, as a table and as JSON.

mod fleet;
mod upgrade;

use crate::{
    cargo,
    demo::{self, world::World},
    processes, sim,
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// What to measure and where to write it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the measurements as JSON to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure only the rows whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// One measurement: a name, a bound, and how to measure it.
struct Row {
    name: &'static str,
    unit: &'static str,
    bound: Bound,
    measure: fn(&mut World) -> Result<f64>,
}

/// What should be reached.
enum Bound {
    Under(f64),
    Over(f64),
    /// Nothing: it is measured beside another row, for comparison.
    Compared,
}

/// The table. The world is opened once: a server and four agents that run nothing yet.
const ROWS: &[Row] = &[
    Row { name: "server, idle, resident", unit: "MB", bound: Bound::Under(60.0), measure: server_memory },
    Row { name: "agent, idle, resident", unit: "MB", bound: Bound::Under(15.0), measure: agent_memory },
    Row { name: "sortie --version, median", unit: "ms", bound: Bound::Under(20.0), measure: version_time },
    Row { name: "release binary", unit: "MB", bound: Bound::Under(40.0), measure: binary_size },
    Row {
        name: "ledger alone: durable submits, 64 clients",
        unit: "/s",
        bound: Bound::Over(15_000.0),
        measure: ledger_rate,
    },
    Row { name: "ledger of 1 million opened, cold", unit: "s", bound: Bound::Under(5.0), measure: ledger_cold },
    Row { name: "ledger of 1 million opened, snapshot", unit: "s", bound: Bound::Under(1.0), measure: ledger_snapshot },
    Row {
        name: "a target's check of a permit, one core",
        unit: "/s",
        bound: Bound::Over(1_000.0),
        measure: permit_rate,
    },
    Row {
        name: "TUF refresh, 1,000 applications, one core",
        unit: "/s",
        bound: Bound::Over(20.0),
        measure: refresh_rate,
    },
    Row { name: "the same, as a multiple of tough's", unit: "×", bound: Bound::Over(1.0), measure: beside_tough },
    Row {
        name: "agent's refresh of these, the first",
        unit: "KB",
        bound: Bound::Under(64.0),
        measure: |world| refresh_kilobytes(world, "first"),
    },
    Row {
        name: "agent's refresh, nothing new",
        unit: "KB",
        bound: Bound::Under(1.0),
        measure: |world| refresh_kilobytes(world, "nothing_new"),
    },
    Row {
        name: "agent's refresh, one permit more",
        unit: "KB",
        bound: Bound::Under(64.0),
        measure: |world| refresh_kilobytes(world, "after_a_permit"),
    },
    Row {
        name: "an order over 1,000 targets, decided",
        unit: "s",
        bound: Bound::Compared,
        measure: |_| planning("/1000/order_seconds"),
    },
    Row {
        name: "an order over 10,000 targets, decided",
        unit: "s",
        bound: Bound::Compared,
        measure: |_| planning("/10000/order_seconds"),
    },
    Row {
        name: "an order over 100,000 targets, decided",
        unit: "s",
        bound: Bound::Under(2.0),
        measure: |_| planning("/100000/order_seconds"),
    },
    Row {
        name: "a report among 1,000, with what is due next",
        unit: "µs",
        bound: Bound::Compared,
        measure: |_| planning("/1000/microseconds_a_report"),
    },
    Row {
        name: "a report among 10,000",
        unit: "µs",
        bound: Bound::Compared,
        measure: |_| planning("/10000/microseconds_a_report"),
    },
    Row {
        name: "a report among 100,000",
        unit: "µs",
        bound: Bound::Compared,
        measure: |_| planning("/100000/microseconds_a_report"),
    },
    Row {
        name: "a report among 100,000, against 1,000",
        unit: "×",
        bound: Bound::Under(2.0),
        measure: |_| {
            let report = |size: u32| planning(&format!("/{size}/microseconds_a_report"));
            Ok(report(100_000)? / report(1_000)?)
        },
    },
    Row { name: "push of 1 GiB, against sha256sum", unit: "×", bound: Bound::Over(0.5), measure: push_share },
    Row { name: "deploy to verified, above the start", unit: "s", bound: Bound::Under(1.0), measure: deploy_time },
    Row {
        name: "requests dropped by an upgrade under load",
        unit: "",
        bound: Bound::Under(1.0),
        measure: |world| upgrade::dropped(world, true),
    },
    Row {
        name: "… without handing the socket on",
        unit: "",
        bound: Bound::Compared,
        measure: |world| upgrade::dropped(world, false),
    },
    Row { name: "simulated worlds", unit: "/s", bound: Bound::Over(50.0), measure: |_| sim::worlds_a_second() },
    // Its targets stay, so it comes last.
    Row {
        name: "1,000 targets with nothing to do, deployed to",
        unit: "s",
        bound: Bound::Under(10.0),
        measure: fleet::deployed,
    },
];

/// Measures every row; one that cannot be measured says why.
pub(crate) fn run(options: &Options) -> Result<()> {
    let programs = demo::build(&["--release", "--bins", "--example", "ledger_bench"])?;
    let folder = cargo::target_folder()?.join("bench");
    processes::end_all_below(&folder)?;
    let mut world = World::new(folder.clone(), &programs)?;
    world.hush();
    let opened = demo::walk(&mut world, demo::OPENING, 0);
    if let Err(error) = &opened {
        println!("no server with agents could be started, so some rows are missing: {error:#}");
    }
    let mut results = Vec::new();
    println!("{:<42} {:>12} {:>14}", "what", "measured", "should be");
    for row in ROWS {
        if options.only.as_ref().is_some_and(|only| !row.name.contains(only.as_str())) {
            continue;
        }
        results.push(print_row(row, (row.measure)(&mut world)));
    }
    processes::end_all_below(&folder)?;
    let results = serde_json::to_string_pretty(&results)?;
    match &options.json {
        Some(path) => fs::write(path, results).with_context(|| format!("cannot write {}", path.display()))?,
        None => println!("\n{results}"),
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn print_row(row: &Row, measured: Result<f64>) -> Value {
    let mut result = json!({ "name": row.name, "unit": row.unit });
    let should = match row.bound {
        Bound::Under(bound) => {
            result["under"] = json!(bound);
            format!("under {bound} {}", row.unit)
        }
        Bound::Over(bound) => {
            result["over"] = json!(bound);
            format!("over {bound} {}", row.unit)
        }
        Bound::Compared => "–".into(),
    };
    match measured {
        Ok(value) => {
            let reached = match row.bound {
                Bound::Under(bound) => value < bound,
                Bound::Over(bound) => value > bound,
                Bound::Compared => true,
            };
            let verdict = if reached { "" } else { "   missed" };
            println!("{:<42} {:>12} {should:>14}{verdict}", row.name, format!("{value:.2} {}", row.unit));
            result["measured"] = json!(value);
            result["reached"] = json!(reached);
        }
        Err(error) => {
            println!("{:<42} {:>12} {should:>14}   {error:#}", row.name, "missing");
            result["missing"] = json!(format!("{error:#}"));
        }
    }
    result
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn server_memory(world: &mut World) -> Result<f64> {
    let server = world.server.as_ref().context("no server runs")?;
    processes::resident_bytes(server.id()).map(megabytes)
}

fn agent_memory(world: &mut World) -> Result<f64> {
    let (_, agent) = world.agents.first().context("no agent runs")?;
    processes::resident_bytes(agent.id()).map(megabytes)
}

fn version_time(world: &mut World) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..101 {
        let began = Instant::now();
        let status = Command::new(&world.programs.sortie).arg("--version").stdout(Stdio::null()).status()?;
        times.push(began.elapsed());
        if !status.success() {
            bail!("sortie --version: {status}");
        }
    }
    times.sort();
    Ok(times[times.len() / 2].as_secs_f64() * 1e3)
}

fn binary_size(world: &mut World) -> Result<f64> {
    Ok(megabytes(fs::metadata(&world.programs.sortie)?.len()))
}

/// One number of the JSON that a program prints, which runs once for all its numbers.
fn number(printed: &OnceLock<Vec<u8>>, key: &str, command: impl FnOnce() -> Result<Command>) -> Result<f64> {
    let printed = match printed.get() {
        Some(printed) => printed,
        None => {
            let output = command()?.stderr(Stdio::inherit()).output()?;
            if !output.status.success() {
                bail!("the measuring program failed: {}", output.status);
            }
            printed.get_or_init(|| output.stdout)
        }
    };
    let value: Value = serde_json::from_slice(printed).context("the measuring program printed no JSON")?;
    value.pointer(key).and_then(Value::as_f64).with_context(|| format!("the measuring program says no {key}"))
}

/// The server's own ledger benchmark. It decides by a toy, so that what is measured is the ledger alone; the row says so.
fn ledger(world: &World, key: &str) -> Result<f64> {
    static PRINTED: OnceLock<Vec<u8>> = OnceLock::new();
    number(&PRINTED, key, || {
        let program = world.programs.ledger_bench.as_ref().context("cargo built no ledger_bench")?;
        Ok(Command::new(program))
    })
}

fn ledger_rate(world: &mut World) -> Result<f64> {
    ledger(world, "/submit/per_second")
}

fn ledger_cold(world: &mut World) -> Result<f64> {
    ledger(world, "/open/folding_all/seconds")
}

fn ledger_snapshot(world: &mut World) -> Result<f64> {
    ledger(world, "/open/from_snapshot/seconds")
}

/// The whole of `trust::authority::authorise`: six signatures, three of them the permit's.
fn permit_rate(_: &mut World) -> Result<f64> {
    number(&OnceLock::new(), "/permit/per_second", || example("trust", "permit_bench"))
}

/// What deciding costs in fleets of several sizes.
fn planning(key: &str) -> Result<f64> {
    static PRINTED: OnceLock<Vec<u8>> = OnceLock::new();
    number(&PRINTED, key, || {
        let mut command = example("domain", "planning_bench")?;
        command.args(["1000", "10000", "100000"]);
        Ok(command)
    })
}

/// An example of one of our crates, built for measuring.
fn example(package: &str, name: &str) -> Result<Command> {
    let built = cargo::build(&["--release", "--package", package, "--example", name])?;
    Ok(Command::new(built.get(name).with_context(|| format!("cargo built no {name}"))?))
}

/// The repository of 1,000 applications in 3 environments with 5 approvers, made once.
fn large_repository(world: &World) -> Result<PathBuf> {
    let folder = world.folder.join("large-repository");
    if !folder.exists() {
        let status = example("trust", "large_repository")?.arg(&folder).stdout(Stdio::null()).status()?;
        if !status.success() {
            bail!("large_repository: {status}");
        }
    }
    Ok(folder)
}

/// `benches/beside-tough`, which stands apart from the workspace so that tough is compiled for this alone.
fn refreshes(world: &World, key: &str) -> Result<f64> {
    static PRINTED: OnceLock<Vec<u8>> = OnceLock::new();
    number(&PRINTED, key, || {
        let repository = large_repository(world)?;
        let target = cargo::target_folder()?.join("beside-tough");
        let mut build = cargo::cargo();
        build.args(["build", "--release", "--manifest-path", "benches/beside-tough/Cargo.toml", "--target-dir"]);
        cargo::run(build.arg(&target))?;
        let mut command = Command::new(target.join("release/beside-tough"));
        command.arg(repository);
        Ok(command)
    })
}

fn refresh_rate(world: &mut World) -> Result<f64> {
    refreshes(world, "/ours_per_second")
}

fn beside_tough(world: &mut World) -> Result<f64> {
    refreshes(world, "/ratio")
}

/// What the server sends to an agent that refreshes.
fn refresh_kilobytes(world: &World, which: &str) -> Result<f64> {
    static PRINTED: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = number(&PRINTED, &format!("/{which}/sent_bytes"), || {
        let repository = large_repository(world)?;
        let mut command = example("agent", "refresh_bench")?;
        command.arg(repository);
        Ok(command)
    })?;
    Ok(bytes / 1e3)
}

/// The speed of `sortie push` of 1 GiB of noise, as a share of that of `sha256sum` over the same file just before.
fn push_share(world: &mut World) -> Result<f64> {
    let dist = world.repository().join("dist");
    if !dist.is_dir() {
        bail!("no repository to push from");
    }
    let noise = dist.join("noise");
    write_noise(&noise, 1 << 30)?;
    let began = Instant::now();
    let summed = Command::new("sha256sum").arg(&noise).stdout(Stdio::null()).status()?;
    let sum = began.elapsed();
    if !summed.success() {
        bail!("sha256sum: {summed}");
    }
    let began = Instant::now();
    let pushed = world.sortie("coder", 0, "push");
    let push = began.elapsed();
    fs::remove_file(&noise)?;
    pushed?;
    Ok(sum.as_secs_f64() / push.as_secs_f64())
}

fn write_noise(path: &Path, size_bytes: u64) -> Result<()> {
    let mut file = File::create(path)?;
    std::io::copy(&mut File::open("/dev/urandom")?.take(size_bytes), &mut file)?;
    file.flush()?;
    Ok(())
}

/// The whole of `sortie deploy` to one local target, less the time the service itself takes until it answers.
fn deploy_time(world: &mut World) -> Result<f64> {
    let build = world.sortie("coder", 0, "push")?.word("greeter#")?;
    demo::config(world)?;
    let start = service_start(world)?;
    let began = Instant::now();
    world.sortie("coder", 0, &format!("deploy {build} --to dev"))?;
    Ok(began.elapsed().saturating_sub(start).as_secs_f64())
}

fn service_start(world: &World) -> Result<Duration> {
    let port = demo::world::free_port()?;
    let began = Instant::now();
    let mut service = Command::new(&world.programs.greeter)
        .args(["--port", &port.to_string()])
        .current_dir(world.repository().join("dist"))
        .env("DATABASE", world.folder.join("databases/dev.csv"))
        .stdout(Stdio::null())
        .spawn()?;
    let answered = demo::world::until("the service", || Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok()));
    let took = began.elapsed();
    service.kill()?;
    service.wait()?;
    answered.map(|_| took)
}
