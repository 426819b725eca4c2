//! How far a target is in a deployment, by what it tells phase by phase to whoever watches. It is no history.

use crate::agent::ProgressReport;
use jiff::Timestamp;
use trust::{names::printable, statement::Phase};

/// The newest report of each phase, in order, of what a target does in one deployment.
#[derive(Clone, Debug, Default)]
pub struct Progress(Vec<ProgressReport>);

impl Progress {
    /// Takes a report. Each try begins with a check.
    pub fn hear(&mut self, report: ProgressReport) {
        let begins = report.phase == Phase::Check && report.done;
        self.0.retain(|other| other.phase != report.phase && !begins);
        self.0.push(report);
    }

    /// `fetch ✓ stage … 3 of 12 files`; nothing where no phase was told of. The check is none that people wait for.
    pub fn in_words(&self) -> Option<String> {
        self.in_words_since(Timestamp::MIN)
    }

    /// The same of what was told from then on.
    pub fn in_words_since(&self, since: Timestamp) -> Option<String> {
        let told = self.0.iter().filter(|report| report.phase != Phase::Check && report.time >= since);
        let told: Vec<_> = told.collect();
        let last = told.len().checked_sub(1)?;
        let word = |(index, report): (usize, &&ProgressReport)| match (report.done, index == last) {
            (true, _) => format!("{} ✓", report.phase.word()),
            (false, true) => format!("{} … {}", report.phase.word(), printable(&report.note)).trim_end().to_owned(),
            (false, false) => report.phase.word().to_owned(),
        };
        Some(told.iter().enumerate().map(word).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_try_is_told_phase_by_phase_and_drives_no_terminal() {
        let mut progress = Progress::default();
        let mut hear = |phase, done, note: &str| {
            let (target, note, time) = ("prod-1".parse().unwrap(), note.to_owned(), jiff::Timestamp::UNIX_EPOCH);
            progress.hear(ProgressReport { deployment: 7, target, phase, done, note, time });
            progress.in_words().unwrap_or_default()
        };
        assert_eq!(hear(Phase::Check, true, ""), "");
        assert_eq!(hear(Phase::Fetch, false, "3 of 9 bytes"), "fetch … 3 of 9 bytes");
        assert_eq!(hear(Phase::Fetch, true, ""), "fetch ✓");
        assert_eq!(hear(Phase::Stage, false, "12 files\u{1b}[2J"), "fetch ✓ stage … 12 files\u{FFFD}[2J");
        assert_eq!(hear(Phase::Stage, true, ""), "fetch ✓ stage ✓");
        assert_eq!(hear(Phase::Check, true, ""), "", "it tries again");
        assert_eq!(hear(Phase::Configure, true, ""), "configure ✓");
    }
}
