//! The table of attacks in docs/SECURITY.md, written from what the tests say of themselves: so it names no attack that
//! nothing tries, and an attack that was promised cannot be forgotten.

use crate::cargo;
use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The attacks that must each be tried by a test.
const PROMISED: &[&str] = &[
    "arbitrary installation",
    "rollback",
    "freeze",
    "fast-forward",
    "mix-and-match",
    "endless data",
    "slow retrieval",
    "extraneous dependency",
    "wrong software or platform",
    "malicious mirror",
    "key compromise below threshold",
    "stolen online keys",
    "withheld withdrawal",
    "replay to another environment",
    "replay to another target",
    "replay to another estate",
    "replay to another serial",
    "bytes swapped under a name before approval",
    "changed command",
    "changed hook",
    "changed user",
    "changed environment variable",
    "loader variable through config",
    "duplicate signer",
    "one key under two ids",
    "one person with two keys",
    "threshold of zero",
    "self-approval",
    "approver removed meanwhile",
    "re-grant after withdrawal with mixed approvals",
    "signing oracle at login",
    "forged invitation",
    "class changed from live to dev",
    "truncated ledger",
    "reordered ledger",
    "split view",
    "path traversal",
    "hash-length confusion",
    "duplicate JSON keys",
    "floats in JSON",
    "signature over another statement type",
];

const BEGIN: &str = "<!-- The table is written by `cargo xtask docs` from the tests themselves. -->\n";
const END: &str = "<!-- The table ends. -->\n";

/// What the tests say of one attack.
#[derive(Debug, Default, PartialEq)]
struct Attack {
    /// What the attacker has, and what is left to him: said by one test.
    words: Option<(String, String)>,
    /// The tests that try it, each as its file and its name.
    tests: Vec<(String, String)>,
}

type Attacks = BTreeMap<String, Attack>;

/// The page with the table as the tests of this tree have it.
pub(crate) fn page(page: &str) -> Result<String> {
    let mut attacks = Attacks::new();
    for file in rust_files(&cargo::root().join("crates"))? {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(cargo::root()).unwrap_or(&file).to_string_lossy().replace('\\', "/");
        read(&text, &name, &mut attacks)?;
    }
    check(&attacks)?;
    let (before, rest) = page.split_once(BEGIN).context("docs/SECURITY.md has no place for the table of attacks")?;
    let (_, after) = rest.split_once(END).context("the table of attacks in docs/SECURITY.md has no end")?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", table(&attacks)))
}

/// Each attack has exactly one test that says what is held and what is left, and those promised are all there.
fn check(attacks: &Attacks) -> Result<()> {
    if let Some(forgotten) = PROMISED.iter().find(|name| !attacks.contains_key(**name)) {
        bail!("no test says 'Attack: {forgotten}.'");
    }
    match attacks.iter().find(|(_, attack)| attack.words.is_none()) {
        Some((name, attack)) => {
            bail!("of '{name}' no test says what he holds and what is left to him: {:?}", attack.tests)
        }
        None => Ok(()),
    }
}

/// The promised ones in their order, then the others.
fn table(attacks: &Attacks) -> String {
    let others = attacks.keys().map(String::as_str).filter(|name| !PROMISED.contains(name));
    let mut table = String::from("| attack | he holds | left to him | tried by |\n| --- | --- | --- | --- |\n");
    for name in PROMISED.iter().copied().chain(others) {
        let Some(Attack { words: Some((holds, left)), tests }) = attacks.get(name) else { continue };
        let link = |(file, test): &(String, String)| format!("[{test}](../{file})");
        let tests: Vec<String> = tests.iter().map(link).collect();
        table.push_str(&format!("| **{name}** | {holds} | {left} | {} |\n", tests.join(", ")));
    }
    table
}

/// Reads the doc comments of one file's tests.
fn read(text: &str, file: &str, attacks: &mut Attacks) -> Result<()> {
    let mut comment: Vec<&str> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(said) = line.strip_prefix("///") {
            comment.push(said.trim());
        } else if let Some(name) = test_name(line) {
            take(&comment, file, name, attacks)?;
            comment.clear();
        } else if !line.starts_with("#[") {
            comment.clear();
        }
    }
    Ok(())
}

fn test_name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split('(').next()
}

/// The parts of one comment: each begins with its word and goes on to the next.
fn take(comment: &[&str], file: &str, test: &str, attacks: &mut Attacks) -> Result<()> {
    let mut parts: Vec<(&str, String)> = Vec::new();
    for line in comment {
        let begun =
            ["Attack:", "Holds:", "Left to him:"].into_iter().find_map(|word| Some((word, line.strip_prefix(word)?)));
        match (begun, parts.last_mut()) {
            (Some((word, rest)), _) => parts.push((word, rest.trim().to_string())),
            (None, Some((_, text))) => text.push_str(&format!(" {line}")),
            (None, None) => {}
        }
    }
    let (holds, left): (Vec<&String>, Vec<&String>) = (of(&parts, "Holds:"), of(&parts, "Left to him:"));
    let names = of(&parts, "Attack:");
    ensure!(names.is_empty() || holds.len() == left.len(), "{file}: {test} says half of what it must");
    for name in names {
        let name =
            name.strip_suffix('.').with_context(|| format!("{file}: {test}: '{name}' does not end in a full stop"))?;
        let attack = attacks.entry(name.to_string()).or_default();
        attack.tests.push((file.to_string(), test.to_string()));
        if let ([holds], [left]) = (holds.as_slice(), left.as_slice()) {
            ensure!(attack.words.is_none(), "{file}: {test} says again what is held for '{name}'");
            attack.words = Some((holds.to_string(), left.to_string()));
        }
    }
    Ok(())
}

fn of<'a>(parts: &'a [(&str, String)], word: &str) -> Vec<&'a String> {
    parts.iter().filter(|(begun, _)| *begun == word).map(|(_, text)| text).collect()
}

/// All Rust files below a folder, in order.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: &str = r#"
/// He tries it twice.
/// Attack: rollback.
/// Holds: an old file;
/// and a new one.
/// Left to him: nothing.
#[test]
fn back() {}

/// Attack: rollback.
#[tokio::test]
async fn back_again() {}

/// What stands elsewhere is nobody's.
/// Attack: freeze.

fn helper() {}
"#;

    #[test]
    fn what_tests_say_is_read_part_by_part() {
        let mut attacks = Attacks::new();
        read(TESTS, "a.rs", &mut attacks).unwrap();
        let of = |test: &str| ("a.rs".to_string(), test.to_string());
        let words = Some(("an old file; and a new one.".to_string(), "nothing.".to_string()));
        let rollback = Attack { words, tests: vec![of("back"), of("back_again")] };
        assert_eq!(attacks, Attacks::from([("rollback".to_string(), rollback)]));
        assert!(check(&attacks).unwrap_err().to_string().contains("arbitrary installation"));
        assert!(read(TESTS, "b.rs", &mut attacks).is_err(), "said twice");
    }

    #[test]
    fn every_promised_attack_is_tried_and_the_page_says_so() {
        let path = cargo::root().join("docs/SECURITY.md");
        let there = fs::read_to_string(path).unwrap();
        assert!(
            page(&there).unwrap() == there,
            "docs/SECURITY.md is not what the tests say. Write it: cargo xtask docs"
        );
    }
}
