//! Which crate may lean on which: the arrows of the design, kept by a test.
//!
//! `trust ← domain ← api ← {server, agent} ← sortie`; `depot` leans on `trust` alone; `server` and `agent` never see
//! each other; nobody leans on the recipes or the examples.

use crate::cargo;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};

/// Every crate of the house, and all it may lean on.
const ARROWS: &[(&str, &[&str])] = &[
    ("trust", &[]),
    ("domain", &["trust"]),
    ("depot", &["trust"]),
    ("api", &["trust", "domain"]),
    ("server", &["trust", "domain", "depot", "api"]),
    ("agent", &["trust", "domain", "depot", "api"]),
    ("sortie", &["trust", "domain", "depot", "api", "server", "agent"]),
    ("sim", &["trust", "domain", "depot", "api", "server", "agent", "sortie"]),
    ("xtask", &[]),
];

/// Fails on the first arrow that the design does not draw. What a crate's own tests use counts as well.
pub(crate) fn check() -> Result<()> {
    let packages = cargo::metadata()?["packages"].as_array().context("cargo metadata lists no packages")?;
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut leans: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ours = dependencies.iter().filter_map(|d| d["name"].as_str()).filter(|d| names.contains(d));
        leans.insert(name, ours.collect());
    }
    judge(&leans)
}

fn judge(leans: &BTreeMap<&str, BTreeSet<&str>>) -> Result<()> {
    for (name, dependencies) in leans {
        let allowed = ARROWS.iter().find(|(crate_, _)| crate_ == name).map_or(&[][..], |(_, allowed)| allowed);
        if let Some(other) = dependencies.iter().find(|dependency| !allowed.contains(dependency)) {
            bail!("{name} leans on {other}, and the design draws no such arrow (xtask/src/arrows.rs)");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crates_lean_as_the_design_draws() {
        check().unwrap();
    }

    #[test]
    fn an_arrow_that_is_not_drawn_is_found() {
        let server = BTreeMap::from([("server", BTreeSet::from(["agent"]))]);
        assert!(judge(&server).unwrap_err().to_string().contains("server leans on agent"));
        let example = BTreeMap::from([("greeter", BTreeSet::from(["trust"]))]);
        assert!(judge(&example).is_err());
    }
}
