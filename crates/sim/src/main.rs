//! Worlds by the command line: `cargo xtask sim`.

use anyhow::{Result, anyhow, bail};
use clap::Parser;
use sim::{End, Fault, SIGHTS, Script, Violation, moment, replay, shrink};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How much of a failing world's story is shown.
const TOLD: usize = 60;
/// How many worlds are run before they are heard of, in their order.
const AT_A_TIME: u64 = 64;
/// How often it is said how many worlds there have been.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Worlds in seeds: everything real but time, network, disks and machines.
#[derive(Parser)]
struct Arguments {
    /// The world of this seed, or the first of several
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many worlds, each of the next seed
    #[arg(long, default_value_t = 1)]
    worlds: u64,
    /// Tell the whole story of each world
    #[arg(long)]
    story: bool,
    /// Put a fault into each world, to see how it is found
    #[arg(long)]
    fault: Option<Fault>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let (mut events, mut entries, mut activations) = (0, 0, 0);
    let mut seen: BTreeMap<&str, u64> = SIGHTS.iter().map(|kind| (*kind, 0)).collect();
    let mut told = Instant::now();
    let last = arguments.seed + arguments.worlds;
    let mut first = arguments.seed;
    while first < last {
        let seeds = first..last.min(first + AT_A_TIME);
        first = seeds.end;
        let ended = run_all(seeds, arguments.fault, arguments.story);
        for (seed, end) in ended {
            let end = end.map_err(|why| anyhow!("seed {seed}: {why}"))?;
            for line in &end.story {
                println!("{line}");
            }
            if let Some(violation) = end.violation {
                tell(&Script::new(seed), arguments.fault, &violation);
                let with = arguments.fault.map_or(String::new(), |fault| format!(" --fault {fault:?}"));
                let command = format!("cargo xtask sim --seed {seed} --story{with}");
                bail!("seed {seed} breaks {}; replay it: {command}", violation.invariant);
            }
            end.seen.iter().for_each(|kind| *seen.entry(kind).or_default() += 1);
            (events, entries, activations) =
                (events + end.events, entries + end.entries, activations + end.activations);
        }
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            eprintln!("{} of {} worlds", first - arguments.seed, arguments.worlds);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    if arguments.worlds > 1 {
        println!("in how many worlds there was:");
        SIGHTS.iter().for_each(|kind| println!("{:6}  {kind}", seen[kind]));
    }
    println!(
        "{} worlds, no invariant broke: {events} events, {entries} entries, {activations} activations; {:.1} worlds a second",
        arguments.worlds,
        arguments.worlds as f64 / seconds
    );
    Ok(())
}

/// Runs worlds on all cores, for they know nothing of each other; answers in the order of their seeds.
fn run_all(seeds: Range<u64>, fault: Option<Fault>, tells: bool) -> BTreeMap<u64, Result<End, String>> {
    let next = AtomicU64::new(seeds.start);
    let some = || {
        let taken = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds.end));
        let one = |seed| {
            let played = std::panic::catch_unwind(|| replay(&Script::new(seed), fault, tells));
            let played = played.map_err(|_| "it came to a panic, which is told above".to_owned());
            (seed, played.and_then(|end| end.map_err(|why| why.to_string())))
        };
        taken.map(one).collect::<Vec<_>>()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let begun: Vec<_> = (0..cores).map(|_| scope.spawn(some)).collect();
        begun.into_iter().flat_map(|core| core.join().expect("panics are caught in each world")).collect()
    })
}

/// The story of a failing world, made as small as it can be.
fn tell(script: &Script, fault: Option<Fault>, violation: &Violation) {
    let small = shrink(script, fault, violation.invariant);
    println!("seed {}: {} broke: {}", script.seed, violation.invariant, violation.what);
    println!("{:?}", small.setting);
    println!("it takes {} of {} steps:", small.steps.len(), script.steps.len());
    for step in &small.steps {
        println!("  {step}");
    }
    let Ok(end) = replay(&small, fault, true) else { return };
    let skipped = end.story.len().saturating_sub(TOLD);
    println!("and goes like this{}:", if skipped > 0 { format!(" (after {skipped} lines)") } else { String::new() });
    for line in end.story.iter().skip(skipped) {
        println!("  {line}");
    }
    if let Some(violation) = end.violation {
        println!("  {}: {}", violation.invariant, violation.what);
    }
    if let Some(last) = small.steps.last() {
        println!("  the last step was at {}", moment(last.at));
    }
}
