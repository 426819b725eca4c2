//! The main body of tests of the domain: stories in near-plain words with golden answers, `scenarios/*.txt`.
//!
//! A line is a step; the lines beginning with `>` are what came of it; `#` begins a remark, and the first line of each
//! file names the requirement. `UPDATE=1 cargo test -p domain --test scenarios` rewrites the answers: read the diff.

mod world;

use domain::{event::Event, refusal::PAGES};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};
use world::World;

/// Refusals that the server gives before it decides, or that no story can bring about.
const UNREACHABLE: &[(&str, &str)] = &[
    ("STATEMENT_EXPIRED", "the server looks at the clock before it decides"),
    ("REQUEST_ID_REUSED", "the server remembers request ids"),
    ("OBJECTS_MISSING", "the server asks the depot before it decides"),
];

/// Stands where a story broke off: something that must always hold did not. It is never written into a story.
const BROKE: &str = "BROKE OFF";

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = std::fs::read_dir(folder).expect("the folder of the stories");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// Tells the story again, with the answers it gets now.
fn retell(script: &str) -> (String, World) {
    let mut world = World::new();
    let mut told = String::new();
    for line in script.lines().filter(|line| !line.starts_with('>')) {
        told.push_str(line.trim_end());
        told.push('\n');
        let step = line.split(" #").next().unwrap_or_default().trim();
        if !step.is_empty() && !step.starts_with('#') {
            let answers = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.tell(step)));
            let Ok(answers) = answers else {
                told.push_str(&format!("{BROKE} at: {step}\n"));
                break;
            };
            told.extend(answers.iter().map(|answer| format!("> {answer}\n")));
        }
    }
    (told, world)
}

/// What came of one story: what is wrong with it, which refusals and which events it told of.
struct Told {
    wrong: Option<String>,
    codes: BTreeSet<&'static str>,
    events: BTreeSet<&'static str>,
}

fn check(path: &Path, update: bool) -> Told {
    let script = std::fs::read_to_string(path).expect("a story can be read");
    assert!(script.starts_with("# R"), "{} begins with its requirement", path.display());
    let (told, world) = retell(&script);
    let codes = world.refusals.into_iter().collect();
    let events = world.history.iter().flat_map(|(_, events)| events).map(Event::name).collect();
    let mut wrong = None;
    if told != script && update && !told.contains(BROKE) {
        std::fs::write(path, told).expect("a story can be written");
    } else if told != script {
        let name = path.file_name().unwrap_or_default().display();
        let broke = told.lines().find(|line| line.starts_with(BROKE));
        let differs = told.lines().zip(script.lines()).find(|(told, written)| told != written);
        let (now, written) = differs.unwrap_or_default();
        let differs = format!("{name}\n  now     {now}\n  written {written}");
        wrong = Some(broke.map_or(differs, |broke| format!("{name} {broke}")));
    }
    Told { wrong, codes, events }
}

#[test]
fn every_story_goes_as_it_is_written() {
    let update = std::env::var_os("UPDATE").is_some();
    let (paths, next) = (scripts(), AtomicUsize::new(0));
    let some = || -> Vec<Told> {
        let taken = std::iter::from_fn(|| paths.get(next.fetch_add(1, Ordering::Relaxed)));
        taken.map(|path| check(path, update)).collect()
    };
    let readers = std::thread::available_parallelism().map_or(1, usize::from);
    let told: Vec<Told> = std::thread::scope(|scope| {
        let begun: Vec<_> = (0..readers).map(|_| scope.spawn(some)).collect();
        begun.into_iter().flat_map(|reader| reader.join().expect("a story begins with its requirement")).collect()
    });
    let mut wrong: Vec<&str> = told.iter().filter_map(|story| story.wrong.as_deref()).collect();
    wrong.sort_unstable();
    let codes: BTreeSet<&str> = told.iter().flat_map(|story| &story.codes).copied().collect();
    let events: BTreeSet<&str> = told.iter().flat_map(|story| &story.events).copied().collect();
    assert!(wrong.is_empty(), "{}\nIf the new answers are right: UPDATE=1", wrong.join("\n"));

    let unreachable: BTreeSet<&str> = UNREACHABLE.iter().map(|(code, _)| *code).collect();
    let untold: Vec<&str> = PAGES.iter().map(|page| page.code).filter(|code| !codes.contains(code)).collect();
    let untold: BTreeSet<&str> = untold.into_iter().collect();
    assert_eq!(untold, unreachable, "every refusal stands in some story");
    let untold: Vec<&&str> = Event::NAMES.iter().filter(|name| !events.contains(**name)).collect();
    assert!(untold.is_empty(), "no story has the events {untold:?}");
}
