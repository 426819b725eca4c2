//! How far targets say that they are in what they do now: kept as long as the server runs, and no history.

use api::agent::ProgressReport;
use std::collections::HashMap;
use trust::{TargetName, statement::Phase};

/// The most of a note that is kept, in characters.
const NOTE_CHARACTERS: usize = 200;

/// The newest report of each phase, in order, of the deployment that each target told of last.
#[derive(Default)]
pub(super) struct Progress(HashMap<TargetName, Vec<ProgressReport>>);

impl Progress {
    /// Takes a report.
    pub(super) fn hear(&mut self, report: &ProgressReport) {
        let told = self.0.entry(report.target.clone()).or_default();
        // Each try begins with a check.
        let begins = report.phase == Phase::Check && report.done;
        told.retain(|other| other.deployment == report.deployment && other.phase != report.phase && !begins);
        let note = report.note.chars().take(NOTE_CHARACTERS).collect();
        told.push(ProgressReport { note, ..report.clone() });
    }

    /// How far a target is in a deployment: `fetch ✓ stage ✓ configure ✓`. Nothing where it has told of no phase.
    pub(super) fn in_words(&self, target: &TargetName, deployment: u64) -> Option<String> {
        let told = self.0.get(target)?.iter();
        let of_it = told.filter(|report| report.deployment == deployment && report.phase != Phase::Check);
        let word = |report: &ProgressReport| match report.done {
            true => format!("{} ✓", report.phase.word()),
            false => format!("{} … {}", report.phase.word(), report.note).trim_end().to_owned(),
        };
        let words: Vec<String> = of_it.map(word).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_try_is_told_phase_by_phase() {
        let target: TargetName = "prod-1".parse().unwrap();
        let mut progress = Progress::default();
        let mut hear = |deployment, phase, done, note: &str| {
            let (target, note, time) = (target.clone(), note.to_owned(), jiff::Timestamp::UNIX_EPOCH);
            progress.hear(&ProgressReport { deployment, target, phase, done, note, time });
            (progress.in_words(&"prod-1".parse().unwrap(), deployment)).unwrap_or_default()
        };
        assert_eq!(hear(7, Phase::Check, true, ""), "");
        assert_eq!(hear(7, Phase::Fetch, false, "3 of 9 bytes"), "fetch … 3 of 9 bytes");
        assert_eq!(hear(7, Phase::Fetch, true, ""), "fetch ✓");
        assert_eq!(hear(7, Phase::Stage, true, ""), "fetch ✓ stage ✓");
        assert_eq!(hear(7, Phase::Check, true, ""), "", "it tries again");
        assert_eq!(hear(8, Phase::Configure, true, ""), "configure ✓");
        assert_eq!(progress.in_words(&target, 7), None, "what is over tells its phases itself");
    }
}
