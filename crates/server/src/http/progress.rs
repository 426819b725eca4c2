//! How far targets say that they are in what they do now: kept as long as the server runs, and no history.

use api::{agent::ProgressReport, progress::Progress};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use trust::TargetName;

/// The most of a note that is kept, in characters.
const NOTE_CHARACTERS: usize = 500;
/// Of how many deployments what one target tells is kept: a package may bring it several applications at once.
const DEPLOYMENTS: usize = 8;

/// What each target told of the newest deployments that it had to do with.
#[derive(Default)]
pub(super) struct Told(HashMap<TargetName, BTreeMap<u64, Progress>>);

impl Told {
    /// Takes a report that came at that moment, which is kept in the place of the target's own: its clock may be another.
    pub(super) fn hear(&mut self, report: &ProgressReport, time: Timestamp) {
        let told = self.0.entry(report.target.clone()).or_default();
        let note = report.note.chars().take(NOTE_CHARACTERS).collect();
        told.entry(report.deployment).or_default().hear(ProgressReport { note, time, ..report.clone() });
        if told.len() > DEPLOYMENTS {
            told.pop_first();
        }
    }

    /// How far a target is in a deployment by what came from then on; nothing where it has told of no phase of it.
    pub(super) fn in_words(&self, target: &TargetName, deployment: u64, since: Timestamp) -> Option<String> {
        self.0.get(target)?.get(&deployment)?.in_words_since(since)
    }

    /// Why a target cannot go on with a deployment, where that is the last that it told of it.
    pub(super) fn stuck(&self, target: &TargetName, deployment: u64) -> Option<String> {
        self.0.get(target)?.get(&deployment)?.stuck()
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
            let (target, time) = (target.clone(), Timestamp::UNIX_EPOCH);
            let came = Timestamp::from_second(i64::from(phase == Phase::Stage)).unwrap();
            told.hear(
                &ProgressReport { deployment, target, phase, done: true, note: String::new(), time, stuck: false },
                came,
            );
        };
        let mut told = Told::default();
        for (deployment, phase) in [(7, Phase::Fetch), (8, Phase::Configure), (7, Phase::Stage), (8, Phase::Activate)] {
            hear(&mut told, deployment, phase);
        }
        let start = Timestamp::UNIX_EPOCH;
        assert_eq!(told.in_words(&target, 7, start).as_deref(), Some("fetch ✓ stage ✓"));
        let later = Timestamp::from_second(1).unwrap();
        assert_eq!(told.in_words(&target, 7, later).as_deref(), Some("stage ✓"), "it goes back since then");
        assert_eq!(told.in_words(&target, 8, start).as_deref(), Some("configure ✓ activate ✓"));
        (9..=15).for_each(|deployment| hear(&mut told, deployment, Phase::Fetch));
        assert_eq!(told.in_words(&target, 7, start), None);
        assert!(told.in_words(&target, 8, start).is_some());
    }
}
