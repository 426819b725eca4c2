//! How far targets say that they are in what they do now: kept as long as the server runs, and no history.

use api::{agent::ProgressReport, progress::Progress};
use std::collections::{BTreeMap, HashMap};
use trust::TargetName;

/// The most of a note that is kept, in characters.
const NOTE_CHARACTERS: usize = 200;
/// Of how many deployments what one target tells is kept: a package may bring it several applications at once.
const DEPLOYMENTS: usize = 8;

/// What each target told of the newest deployments that it had to do with.
#[derive(Default)]
pub(super) struct Told(HashMap<TargetName, BTreeMap<u64, Progress>>);

impl Told {
    /// Takes a report.
    pub(super) fn hear(&mut self, report: &ProgressReport) {
        let told = self.0.entry(report.target.clone()).or_default();
        let note = report.note.chars().take(NOTE_CHARACTERS).collect();
        told.entry(report.deployment).or_default().hear(ProgressReport { note, ..report.clone() });
        if told.len() > DEPLOYMENTS {
            told.pop_first();
        }
    }

    /// How far a target is in a deployment; nothing where it has told of no phase of it.
    pub(super) fn in_words(&self, target: &TargetName, deployment: u64) -> Option<String> {
        self.0.get(target)?.get(&deployment)?.in_words()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::statement::Phase;

    #[test]
    fn what_is_done_at_once_is_told_apart_and_what_is_long_over_is_forgotten() {
        let target: TargetName = "prod-1".parse().unwrap();
        let hear = |told: &mut Told, deployment, phase| {
            let (target, time) = (target.clone(), jiff::Timestamp::UNIX_EPOCH);
            told.hear(&ProgressReport { deployment, target, phase, done: true, note: String::new(), time });
        };
        let mut told = Told::default();
        for (deployment, phase) in [(7, Phase::Fetch), (8, Phase::Configure), (7, Phase::Stage), (8, Phase::Activate)] {
            hear(&mut told, deployment, phase);
        }
        assert_eq!(told.in_words(&target, 7).as_deref(), Some("fetch ✓ stage ✓"));
        assert_eq!(told.in_words(&target, 8).as_deref(), Some("configure ✓ activate ✓"));
        (9..=15).for_each(|deployment| hear(&mut told, deployment, Phase::Fetch));
        assert_eq!(told.in_words(&target, 7), None);
        assert!(told.in_words(&target, 8).is_some());
    }
}
