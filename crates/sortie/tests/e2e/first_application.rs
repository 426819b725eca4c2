//! The first pages that people read, run as they stand.

use crate::world::{Ended, World, free_address, greeter, read_text, until, words};
use std::{fs, path::Path};

/// A command of the page, and what it should answer.
struct Step {
    line: String,
    expected: Vec<String>,
}

/// Runs every console block of docs/first-application.md in order. R14, R2, R21: what it says about releases, builds
/// that nobody released, and live environments is so. Digits, digests and what `…` stands for may differ.
#[test]
fn r2_r14_r21_the_first_five_minutes_are_as_written() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/first-application.md")).unwrap();
    let world = World::new();
    world.person("ada");
    let repository = begin_repository(&world);
    let (mut serving, mut build) = (None, String::from("web#3fa9c1"));
    let mut estate = repository.clone();
    for Step { line, expected } in steps(&page) {
        if line.starts_with("sortie serve") {
            serving = Some(serve(&world, &estate, &line, &expected));
            continue;
        }
        // The shell's own words: the estate has a folder of its own.
        if let Some(folder) = line.strip_prefix("mkdir ~/").or(line.strip_prefix("cd ~/")) {
            estate = world.home("ada").join(folder);
            fs::create_dir_all(&estate).unwrap();
            continue;
        }
        // Whoever reads types the name that `push` printed, and answers what is asked.
        let asked = expected.iter().any(|line| line.ends_with("[y/N] y"));
        let typed = line.replace("web#3fa9c1", &build) + if asked { " --yes" } else { "" };
        let exit = expected.iter().find_map(|line| line.split_once("(exit ")?.1.trim_end_matches(')').parse().ok());
        let typed = words(&typed);
        let program = if typed[0] == "sortie" { world.root().join("bin/sortie") } else { typed[0].clone().into() };
        let mut command = world.command("ada", program);
        command.args(&typed[1..]).current_dir(&repository);
        let output = world.run(format!("$ {}", typed.join(" ")), &mut command, exit.unwrap_or(0));
        compare(&expected, &output.text(), &output.line);
        match line.as_str() {
            "sortie push" => build = output.word("web#"),
            "sortie init" => write_project(&page, &repository),
            _ => {}
        }
    }
    assert!(estate.join("sortie-recovery.key").exists() && !repository.join("sortie-recovery.key").exists());
    // What the page says can be done then.
    for line in
        ["config set web LOG_LEVEL=debug --in prod", "deploy web --to prod --config-only", "escapes", "ledger verify"]
    {
        assert!(page.contains(&format!("`sortie {line}`")), "the page does not say: {line}");
        let mut command = world.command("ada", world.root().join("bin/sortie"));
        command.args(words(line)).current_dir(&repository);
        world.run(format!("$ sortie {line}"), &mut command, 0);
    }
    assert_eq!(serving.expect("the page starts a server").interrupt(), Some(0));
}

fn begin_repository(world: &World) -> std::path::PathBuf {
    let repository = world.repository();
    fs::create_dir_all(repository.join("dist")).unwrap();
    fs::copy(greeter(), repository.join("dist/web")).unwrap();
    for (file, text) in [
        ("dist/greeting.txt", "Hello, {name}!\n"),
        ("dist/people.csv", "name\nAda\n"),
        ("dist/commit", "first\n"),
        (".gitignore", "dist/\n"),
    ] {
        fs::write(repository.join(file), text).unwrap();
    }
    for line in ["init -q", "add .gitignore", "commit -q -m \"feat: begin\""] {
        let mut git = world.command("ada", "git");
        git.args(words(line)).current_dir(&repository);
        world.run(format!("git {line}"), &mut git, 0);
    }
    repository
}

/// The page's own sortie.toml, all of it, with the one line that the program shipped here needs beside it.
fn write_project(page: &str, repository: &Path) {
    let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block: String = blocks.collect();
    assert!(block.contains("\n[config]\n"), "the page has nothing to configure:\n{block}");
    fs::write(repository.join("sortie.toml"), format!("{block}DATABASE = {{ default = \"people.csv\" }}\n")).unwrap();
}

/// Starts the server that the page starts, on ports of its own.
fn serve(world: &World, estate: &Path, line: &str, expected: &[String]) -> Ended {
    let log = world.root().join("serve.log");
    let mut command = world.command("ada", world.root().join("bin/sortie"));
    command.args(&words(line)[1..]).current_dir(estate);
    command.args(["--listen", &free_address().to_string(), "--board", &free_address().to_string()]);
    let mut serving = Ended::start(&mut command, &log);
    until("the server with its machines", || {
        let said = read_text(&log);
        assert!(serving.runs(), "it ended:\n{said}");
        said.contains("next: ").then_some(())
    });
    compare(expected, &read_text(&log), line);
    serving
}

/// The commands of a page's console blocks with the lines below each.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in page.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap_or_default().lines() {
            match line.strip_prefix("$ ") {
                Some(line) => steps.push(Step { line: line.into(), expected: Vec::new() }),
                None => steps.last_mut().expect("a command above its answer").expected.push(line.into()),
            }
        }
    }
    assert!(steps.len() > 10, "the page has few commands");
    steps
}

/// Fails unless the expected lines stand in the answer in their order. A `…` stands for anything, and a line that asks
/// is not seen by whoever has said yes before.
fn compare(expected: &[String], answer: &str, command: &str) {
    let mut lines = answer.lines();
    for wanted in expected.iter().filter(|line| line.trim() != "…" && !line.ends_with("[y/N] y")) {
        let found = lines.any(|line| matches(wanted, line));
        assert!(found, "`{command}` should have said\n  {wanted}\nand said\n{answer}");
    }
}

/// Whether a line is as wanted, digits and digests aside.
fn matches(wanted: &str, line: &str) -> bool {
    let wanted: Vec<String> = wanted.split_whitespace().map(shape).collect();
    let line: Vec<String> = line.split_whitespace().map(shape).collect();
    match wanted.iter().position(|word| word == "…") {
        Some(at) => line.len() >= at && line[..at] == wanted[..at],
        None => line == wanted,
    }
}

/// A word with every number and every digest in it made equal.
fn shape(word: &str) -> String {
    let mut shape = String::new();
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut run = String::new();
    for c in word.chars().chain(['\0']) {
        if c.is_ascii_alphanumeric() {
            run.push(c);
            continue;
        }
        let counts = run.len() >= 4 && run.chars().all(is_hex) || run.chars().all(|c| c.is_ascii_digit());
        shape.push_str(if counts && !run.is_empty() { "0" } else { &run });
        run.clear();
        if c != '\0' {
            shape.push(c);
        }
    }
    // How much was sent, and in how long, comes in units of its size.
    shape.replace("0.0", "0")
}

#[test]
fn digits_and_digests_may_differ_and_words_may_not() {
    let wanted = "web#3fa9c1 runs in dev, 1/1. …";
    assert!(matches(wanted, "web#01beef runs in  dev, 2/2.") && matches(wanted, "web#01beef runs in dev, 1/1. next"));
    for other in ["web#3fa9c1 runs in test, 1/1.", "web@0.1.0 runs in dev, 1/1.", "web#3fa9c1 runs in dev", ""] {
        assert!(!matches(wanted, other), "{other}");
    }
    assert!(!matches("deploys it", "deploys it not"));
}
