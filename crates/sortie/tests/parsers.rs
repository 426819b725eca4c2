//! The entries of the fuzz targets, fed with their seeds and with mutations of them: what `cargo xtask fuzz` does for
//! minutes, every run of the tests does for a moment.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene should stop there")]

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use std::{fs, path::Path};

#[path = "../../../fuzz/src/lib.rs"]
mod parsers;

/// One change of some bytes, of those that parsers trip over.
#[derive(Clone, Debug)]
enum Change {
    Put(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Cut(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

const TOKENS: &[&str] =
    &["\"", "{", "}", "[", "\\u0000", "..", "/", "-1", "1e9", "null", "\n", "\u{202e}", "18446744073709551615"];

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Put(at, byte)),
        (at(), prop::sample::select(TOKENS)).prop_map(|(at, token)| Change::Insert(at, token.into())),
        (at(), 1..40usize).prop_map(|(at, count)| Change::Cut(at, count)),
        (at(), 1..80usize).prop_map(|(at, count)| Change::Repeat(at, count)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let place = |at: &prop::sample::Index| at.index(bytes.len() + 1);
        match change {
            Change::Put(at, byte) => {
                let at = place(at).min(bytes.len().saturating_sub(1));
                if let Some(old) = bytes.get_mut(at) {
                    *old = *byte;
                }
            }
            Change::Insert(at, token) => drop(bytes.splice(place(at)..place(at), token.iter().copied())),
            Change::Cut(at, count) => {
                let at = place(at);
                drop(bytes.drain(at..(at + count).min(bytes.len())));
            }
            Change::Repeat(at, count) => {
                let at = place(at);
                let piece = bytes[at..(at + count).min(bytes.len())].to_vec();
                drop(bytes.splice(at..at, piece));
            }
        }
    }
    bytes
}

#[test]
fn every_parser_stands_mutated_seeds() {
    for parser in parsers::PARSERS {
        let seeds = (parser.seeds)();
        assert!(!seeds.is_empty(), "{} has no seed", parser.name);
        for seed in &seeds {
            (parser.feed)(seed);
            let cuts = if parser.is_slow { 3 } else { seed.len().min(300) };
            for cut in 0..cuts {
                let end = if parser.is_slow { seed.len() * cut / cuts } else { cut };
                (parser.feed)(&seed[..end]);
            }
        }
        let mut config = Config::with_cases(if parser.is_slow { 8 } else { 200 });
        config.failure_persistence = None;
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mutated = (prop::sample::select(seeds), prop::collection::vec(change(), 1..6));
        let outcome = TestRunner::new_with_rng(config, rng).run(&mutated, |(seed, changes)| {
            (parser.feed)(&changed(seed, &changes));
            Ok(())
        });
        assert!(outcome.is_ok(), "{}: {outcome:?}", parser.name);
    }
}

#[test]
fn seeds_are_what_the_parsers_accept() {
    // A seed that nothing accepts would leave the fuzzer outside the door.
    let accepted = |name: &str| {
        let parser = parsers::PARSERS.iter().find(|parser| parser.name == name).unwrap();
        (parser.seeds)().swap_remove(0)
    };
    assert!(trust::tuf::Root::bootstrap(&accepted("root")).is_ok());
    assert!(trust::statement::Statement::from_payload(&accepted("statement")).is_ok());
    assert!(trust::charter::Charter::from_bytes(&accepted("charter")).is_ok());
    assert!(trust::manifest::Manifest::from_bytes(&accepted("manifest")).is_ok());
    assert!(trust::config::ConfigDocument::from_bytes(&accepted("config")).is_ok());
    assert!(serde_json::from_slice::<domain::entry::Entry>(&accepted("entry")).is_ok());
    assert!(serde_json::from_slice::<api::write::Submission>(&accepted("submission")).is_ok());
    assert!(serde_json::from_slice::<agent::journal::Journal>(&accepted("journal")).is_ok());
    let dossier: trust::authority::Dossier = serde_json::from_slice(&accepted("dossier")).unwrap();
    assert!(parsers::world::Attempt::new(dossier).run().is_ok());
    let estate: api::read::Estate = serde_json::from_slice(&accepted("documents")).unwrap();
    assert!(agent::documents::verify(&trust::Digest::of(&estate.roots[0].0), &estate, 0).is_ok());
    let release = trust::vendor::Release::from_bytes(&accepted("release")).unwrap();
    let vendor = parsers::carried::vendor();
    let word = release.open(&vendor, &Default::default()).unwrap();
    let now = Some(parsers::world::now());
    assert!(word.released(&parsers::world::app(), parsers::world::build(), now).is_ok());
    let receipt = trust::receipt::Document::from_bytes(&accepted("receipt")).unwrap();
    let directory = parsers::world::policy().directory;
    assert_eq!(receipt.verify(&parsers::world::estate(), None, &directory).unwrap().outcomes.len(), 1);
    assert!(depot::bundle::Index::from_bytes(&accepted("index")).is_ok());
    assert!(trust::tuf::repository::PermitFile::from_bytes(&accepted("permits")).is_ok());
    assert!(trust::tuf::repository::WithdrawalsFile::from_bytes(&accepted("withdrawals")).is_ok());
    assert!(parsers::tokens::is_let_through_with(&accepted("token")));
    let project = String::from_utf8(accepted("project")).unwrap();
    assert!(depot::project::parse(&project, "sortie.toml").is_ok());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tar"), accepted("archive")).unwrap();
    let unpacked = depot::unpack(&folder.path().join("tar"), &folder.path().join("into"), &Default::default());
    assert_eq!(unpacked.unwrap().entries, 2);
}

#[test]
fn every_parser_has_its_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let listed = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for parser in parsers::PARSERS {
        let name = parser.name;
        assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).is_file(), "{name} has no target");
        assert!(listed.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
    }
    let targets = fs::read_dir(fuzz.join("fuzz_targets")).unwrap().count();
    assert_eq!(targets, parsers::PARSERS.len(), "a target that no test covers");
}
