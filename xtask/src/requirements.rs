//! Which test shows which requirement: docs/REQUIREMENTS.md against the tests and scenarios that quote an R-number.

use crate::cargo;
use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Where the product's tests are written; the recipes' own tests show nothing of the product.
const FOLDERS: &[&str] = &["crates", "examples"];

/// Lists every requirement with the tests that quote it, and those that none quotes.
pub(crate) fn run() -> Result<()> {
    let root = cargo::root();
    let page = root.join("docs/REQUIREMENTS.md");
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let requirements = read_page(&text);
    let mut quoted: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for folder in FOLDERS {
        for file in cargo::files_below(&root.join(folder))? {
            let name = file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().into_owned();
            for (test, numbers) in tests_in(&file, &name)? {
                for number in numbers {
                    quoted.entry(number).or_default().insert(test.clone());
                }
            }
        }
    }
    print(&requirements, &quoted);
    Ok(())
}

fn print(requirements: &BTreeMap<u32, String>, quoted: &BTreeMap<u32, BTreeSet<String>>) {
    let mut bare = Vec::new();
    for (number, sentence) in requirements {
        println!("\x1b[1mR{number}\x1b[0m  {sentence}");
        match quoted.get(number) {
            Some(tests) => tests.iter().for_each(|test| println!("      {test}")),
            None => bare.push(format!("R{number}")),
        }
    }
    let unknown: Vec<_> = quoted.keys().filter(|number| !requirements.contains_key(number)).collect();
    println!("\n{} of {} requirements are quoted by a test", requirements.len() - bare.len(), requirements.len());
    if !bare.is_empty() {
        println!("no test quotes: {}", bare.join(" "));
    }
    for number in unknown {
        println!("R{number} is quoted, and docs/REQUIREMENTS.md has no such row");
    }
}

/// The rows `| R2 | sentence |`.
fn read_page(text: &str) -> BTreeMap<u32, String> {
    let row = |line: &str| {
        let mut cells = line.trim().trim_matches('|').splitn(2, '|').map(str::trim);
        let number = cells.next()?.strip_prefix('R')?.parse().ok()?;
        Some((number, cells.next()?.to_string()))
    };
    text.lines().filter_map(row).collect()
}

/// The tests of a file with the requirements they quote. A scenario is one test.
fn tests_in(file: &Path, name: &str) -> Result<Vec<(String, BTreeSet<u32>)>> {
    let is_scenario = name.contains("/scenarios/") && name.ends_with(".txt");
    if !is_scenario && !name.ends_with(".rs") {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    if is_scenario {
        return Ok(vec![(name.to_string(), numbers(&text))]);
    }
    Ok(functions(&text).into_iter().map(|(test, text)| (format!("{name} {test}"), numbers(&text))).collect())
}

/// Every test function of a Rust file: its name, and its text from the comment above it to the brace that ends it.
fn functions(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let is_test = |line: &str| ["#[test]", "#[tokio::test"].iter().any(|mark| line.trim_start().starts_with(mark));
    let belongs = |line: &&&str| line.trim_start().starts_with("//") || line.trim_start().starts_with("#[");
    let mut found = Vec::new();
    for (at, mark) in lines.iter().enumerate().filter(|(_, line)| is_test(line)) {
        let above = lines[..at].iter().rev().take_while(belongs).count();
        let Some((named, name)) =
            lines[at..].iter().enumerate().find_map(|(index, line)| Some((at + index, function_name(line)?)))
        else {
            continue;
        };
        let ends = |line: &str| line.trim_end() == "}" || line.trim_start().starts_with('}');
        let end = lines[named..]
            .iter()
            .position(|line| ends(line) && indentation(line) == indentation(mark))
            .map_or(lines.len(), |index| named + index + 1);
        found.push((name, lines[at - above..end].join("\n")));
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("fn ")?;
    Some(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

/// The numbers of `R17`, `r17_` and `_r17` in a text.
fn numbers(text: &str) -> BTreeSet<u32> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let number = |word: &str| {
        let digits = word.strip_prefix(['R', 'r'])?;
        (digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
    };
    words.filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
/// R1: not in a test.
fn helper() {}

    /// Shows R52.
    #[test]
    fn r31_two_people() {
        let braces = { 1 };
        assert_eq!(braces, 1); // and R2
    }

    #[tokio::test(flavor = \"current_thread\")]
    async fn nothing_quoted() {
    }
";

    #[test]
    fn a_test_quotes_in_its_name_its_comment_and_its_body() {
        let found: Vec<_> = functions(SOURCE).into_iter().map(|(name, text)| (name, numbers(&text))).collect();
        assert_eq!(
            found,
            [
                ("r31_two_people".to_string(), BTreeSet::from([2, 31, 52])),
                ("nothing_quoted".to_string(), BTreeSet::new())
            ]
        );
    }

    #[test]
    fn the_page_has_a_row_for_each_requirement() {
        let text = fs::read_to_string(cargo::root().join("docs/REQUIREMENTS.md")).unwrap();
        let rows = read_page(&text);
        assert_eq!(rows.keys().copied().collect::<Vec<_>>(), (1..=57).collect::<Vec<_>>());
    }
}
