//! The words of a line as what they mean.

use crate::world::read;
use domain::event::BuildFacts;
use jiff::SignedDuration;
use std::collections::BTreeMap;
use trust::{
    Version,
    manifest::{Driver, Needs},
    rollout::RolloutTerms,
    statement::{Facts, OrderAct, Outcome},
};

/// The word after `key`, for the optional parts of a line.
pub(super) fn after<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == key)?;
    words.get(at + 1).copied()
}

/// All words after `key`.
pub(super) fn all_after<'a>(words: &'a [&'a str], key: &str) -> &'a [&'a str] {
    let at = words.iter().position(|word| *word == key);
    at.and_then(|at| words.get(at + 1..)).unwrap_or_default()
}

/// `role=web zone=a` as labels; `zone=` removes one.
pub(super) fn labels(words: &[&str]) -> BTreeMap<String, String> {
    let pair = |word: &&str| word.split_once('=').map(|(key, value)| (key.to_string(), value.to_string()));
    words.iter().filter_map(pair).collect()
}

/// `web@1.0.0` or `web#A`.
pub(super) fn app_of(what: &str) -> &str {
    what.split(['@', '#']).next().unwrap_or(what)
}

pub(super) fn version_of(what: &str) -> Version {
    read(what.split_once('@').unwrap_or_else(|| panic!("{what} has no version")).1)
}

pub(super) fn act_of(verb: &str) -> OrderAct {
    match verb {
        "deploys" | "plans" => OrderAct::Deploy,
        "redeploys" => OrderAct::Redeploy,
        "rolls" => OrderAct::Rollback,
        "undeploys" => OrderAct::Undeploy,
        "stops" => OrderAct::Stop,
        "starts" => OrderAct::Start,
        "restarts" => OrderAct::Restart,
        "switches" => OrderAct::Switch,
        "configures" => OrderAct::Configure,
        _ => panic!("{verb} is no order"),
    }
}

/// What a machine is: `1024 MiB`, `os NAME`, `arch NAME`, `kernel VERSION`, and what nothing is said of as usual.
pub(super) fn facts_in(rest: &[&str]) -> Facts {
    let mebibytes = rest.iter().position(|word| *word == "MiB").map_or(8192, |at| read::<u64>(rest[at - 1]));
    Facts {
        os: after(rest, "os").unwrap_or("linux").into(),
        arch: after(rest, "arch").unwrap_or("x86_64").into(),
        memory_bytes: mebibytes << 20,
        agent_version: "0.1.0".into(),
        kernel: after(rest, "kernel").unwrap_or("").into(),
    }
}

pub(super) fn facts_of(app: &str) -> BuildFacts {
    BuildFacts {
        driver: Driver::Process,
        files: 3,
        size_bytes: 4_100_000,
        processes: vec![app.to_string()],
        on: BTreeMap::new(),
        config: BTreeMap::new(),
        needs: Needs::default(),
        migrate: None,
        takes_seconds: 0,
        can_stand_by: false,
        package: BTreeMap::new(),
    }
}

/// `with at_once=25% canary=1`, the last words of a line.
pub(super) fn rollout(rest: &[&str]) -> RolloutTerms {
    let Some(at) = rest.iter().position(|word| *word == "with") else { return RolloutTerms::default() };
    let term = |word: &&str| {
        let (name, value) = word.split_once('=').expect("name=value");
        let value = match (name, value.parse::<u32>()) {
            ("rings", _) => value.split(',').collect(),
            (_, Ok(number)) => serde_json::json!(number),
            (_, Err(_)) => serde_json::json!(value),
        };
        (name.to_string(), value)
    };
    let terms: serde_json::Value = rest[at + 1..].iter().map(term).collect();
    serde_json::from_value(terms).expect("terms of a rollout")
}

pub(super) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub(super) fn outcome(how: &str, rest: &[&str]) -> Outcome {
    let phase = || serde_json::from_value((*rest.first().expect("a phase")).into()).expect("a phase");
    let reason = || rest.get(1..).unwrap_or_default().join(" ");
    match how {
        "verified" => Outcome::Verified,
        "undone" => Outcome::Undone { phase: phase(), reason: reason() },
        "failed" => Outcome::Failed { phase: phase(), reason: reason() },
        "refused" => Outcome::Refused { code: rest.first().expect("a code").to_string(), reason: reason() },
        _ => panic!("{how} is no outcome"),
    }
}
