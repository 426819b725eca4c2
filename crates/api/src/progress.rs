//! How far a target is in a deployment, by what it tells phase by phase to whoever watches. It is no history.

use crate::agent::ProgressReport;
use jiff::Timestamp;
use trust::{names::printable, statement::Phase};

/// What is said of a target that cannot go on, before the reason.
pub const CANNOT_GO_ON: &str = "cannot go on, and tries again";

/// The newest report of each phase, in order, of what a target does in one deployment.
#[derive(Clone, Debug, Default)]
pub struct Progress(Vec<ProgressReport>);

impl Progress {
    /// Takes a report. Each try begins with a check, and whoever tells of anything goes on.
    pub fn hear(&mut self, report: ProgressReport) {
        let begins = report.phase == Phase::Check && report.done;
        self.0.retain(|other| other.phase != report.phase && !begins && !other.stuck);
        self.0.push(report);
    }

    /// Why it cannot go on, where that is the last that it told.
    pub fn stuck(&self) -> Option<String> {
        self.0.last().filter(|report| report.stuck).map(|report| printable(&report.note))
    }

    /// `fetch ✓ stage … 3 of 12 files`; nothing where no phase was told of. The check is none that people wait for, unless it
    /// cannot go on.
    pub fn in_words(&self) -> Option<String> {
        self.in_words_since(Timestamp::MIN)
    }

    /// The same of what was told from then on.
    pub fn in_words_since(&self, since: Timestamp) -> Option<String> {
        let told =
            self.0.iter().filter(|report| (report.phase != Phase::Check || report.stuck) && report.time >= since);
        let told: Vec<_> = told.collect();
        let last = told.len().checked_sub(1)?;
        let word = |(index, report): (usize, &&ProgressReport)| match (report.done, index == last) {
            _ if report.stuck => format!("✗ {CANNOT_GO_ON}: {}", printable(&report.note)),
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

    fn report(phase: Phase, done: bool, note: &str) -> ProgressReport {
        let (target, note, time) = ("prod-1".parse().unwrap(), note.to_owned(), jiff::Timestamp::UNIX_EPOCH);
        ProgressReport { deployment: 7, target, phase, done, note, time, stuck: false }
    }

    #[test]
    fn who_cannot_go_on_says_why_until_it_goes_on() {
        let mut progress = Progress::default();
        let mut hear = |phase, done, stuck| {
            let note = if stuck { "cannot write /a: No space left on device" } else { "" };
            progress.hear(ProgressReport { stuck, ..report(phase, done, note) });
            (progress.in_words().unwrap_or_default(), progress.stuck().is_some())
        };
        let cannot = "✗ cannot go on, and tries again: cannot write /a: No space left on device";
        assert_eq!(hear(Phase::Check, false, true), (cannot.into(), true));
        assert_eq!(hear(Phase::Check, true, false), (String::new(), false));
        assert_eq!(hear(Phase::Fetch, true, false), ("fetch ✓".into(), false));
        assert_eq!(hear(Phase::Stage, false, true), (format!("fetch ✓ {cannot}"), true));
        assert_eq!(
            hear(Phase::Check, false, true),
            (format!("fetch ✓ {cannot}"), true),
            "said once, whatever it tries"
        );
        assert_eq!(hear(Phase::Activate, false, false), ("fetch ✓ activate …".into(), false));
    }

    #[test]
    fn the_last_try_is_told_phase_by_phase_and_drives_no_terminal() {
        let mut progress = Progress::default();
        let mut hear = |phase, done, note: &str| {
            progress.hear(report(phase, done, note));
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
