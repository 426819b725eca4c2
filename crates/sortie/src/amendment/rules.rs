//! Rules of roles: whether one asks for more people than another.

use super::Amendment;
use std::collections::BTreeMap;
use trust::quorum::Rule;

impl Amendment {
    /// Compares who may, or who must agree.
    pub(super) fn compare_rule(&mut self, what: &str, old: Option<&Rule>, new: Option<&Rule>) {
        let word = |rule: Option<&Rule>| rule.map_or("nobody".to_string(), ToString::to_string);
        if old == new {
            return;
        }
        let line = format!("{what}: {} → {}", word(old), word(new));
        let (old, new) = (old.map(alternatives), new.map(alternatives));
        let suffices = |given: &Option<Vec<Places>>, wanted: &Option<Vec<Places>>| match (given, wanted) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(given), Some(wanted)) => given.iter().all(|places| wanted.iter().any(|other| covers(places, other))),
        };
        match (suffices(&old, &new), suffices(&new, &old)) {
            (true, false) => self.loosens.push(line),
            (false, true) => self.tightens.push(line),
            _ => self.changes.push(line),
        }
    }
}

/// How many people of each role one alternative of a rule wants.
type Places = BTreeMap<String, u32>;

/// A rule's alternatives, by the words it is written in.
fn alternatives(rule: &Rule) -> Vec<Places> {
    let text = rule.to_string();
    let place = |text: &str| match text.trim().split_once(' ') {
        Some((count, role)) => (role.to_string(), count.parse().unwrap_or(1)),
        None => (text.trim().to_string(), 1),
    };
    text.split(" or ")
        .map(|places| {
            let mut wanted = Places::new();
            for (role, count) in places.split(" and ").map(place) {
                *wanted.entry(role).or_default() += count;
            }
            wanted
        })
        .collect()
}

fn covers(given: &Places, wanted: &Places) -> bool {
    wanted.iter().all(|(role, count)| given.get(role).is_some_and(|given| given >= count))
}
