//! Whether something is well: asked again and again until it said so often enough or time is up.

use super::{
    Runtime, ServiceSpec,
    ask::{Answer, Asked, Question},
    control::{look, running_process},
    log_reader::last_line_of_process,
};
use crate::watch::{self, Look, Wrong};
use std::{
    fmt,
    time::{Duration, Instant},
};
use trust::{
    manifest::{Health, HealthCheck, Inconclusive},
    names::printable,
};

/// How long a copy without a health check must stay alive.
const ALIVE: Duration = Duration::from_secs(2);
/// How long one question may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long it may take where one look is nothing much.
const GLANCE: Duration = Duration::from_secs(2);
/// How long a keeper may take to notice that its process ended.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// Whether the answer was a good one.
    pub good: bool,
    /// What was said: `/healthz 503`, `connection refused`.
    pub said: String,
}

/// Why a copy, or the build, is not well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Unhealthy {
    /// How often it was asked.
    pub tries: u32,
    /// How many of the last tries had the same answer.
    pub repeated: u32,
    /// What was said last, as in [`Attempt::said`].
    pub last: String,
    /// Whether nothing was said that decides.
    pub is_unclear: bool,
    /// What the copy last wrote to its log.
    pub last_log_line: Option<String>,
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.last)?;
        if self.repeated > 1 {
            write!(f, " × {}", self.repeated)?;
        }
        match &self.last_log_line {
            Some(line) => write!(f, " (last log: \"{line}\")"),
            None => Ok(()),
        }
    }
}

/// Whose answer it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Nobody's: the process does not run.
    Absent,
    /// This process's.
    Process(i32),
    /// The build's as a whole.
    Build,
}

impl Who {
    fn pid(self) -> Option<i32> {
        match self {
            Who::Process(pid) => Some(pid),
            Who::Absent | Who::Build => None,
        }
    }
}

/// How often it was asked, and what was said.
#[derive(Default)]
pub(super) struct Tally {
    tries: u32,
    repeated: u32,
    last: String,
    pub good_in_a_row: u32,
}

impl Tally {
    pub fn hear(&mut self, good: bool, said: String) -> Attempt {
        self.tries += 1;
        self.repeated = if said == self.last { self.repeated + 1 } else { 1 };
        self.good_in_a_row = if good { self.good_in_a_row + 1 } else { 0 };
        self.last.clone_from(&said);
        Attempt { number: self.tries, good, said }
    }

    /// Whether anything was said yet.
    pub fn has_heard(&self) -> bool {
        self.tries > 0
    }

    pub fn unhealthy(self, spec: &ServiceSpec, is_unclear: bool) -> Unhealthy {
        let last_log_line = last_line_of_process(&spec.log());
        Unhealthy { tries: self.tries, repeated: self.repeated, last: self.last, is_unclear, last_log_line }
    }
}

impl Runtime {
    /// Waits until the copy is well: `health` answered well so many times in a row, by one and the same process,
    /// within its time; or, without `health`, the process stayed alive for two seconds. `on_try` hears every attempt.
    /// Answers with the process that is well.
    pub fn check_health(
        &self,
        spec: &ServiceSpec,
        health: Option<&Health>,
        on_try: &mut dyn FnMut(&Attempt),
    ) -> Result<i32, Unhealthy> {
        let Some(health) = health else { return self.watch_alive(spec, on_try) };
        let spec_file = self.files_of(spec).spec;
        let asked = Asked { spec, spec_file: &spec_file, port: spec.port };
        let mut pid = 0;
        let mut alive = || match self.running_pid(spec) {
            Some(running) => {
                pid = running;
                Ok(Who::Process(running))
            }
            None => Ok(Who::Absent),
        };
        self.ask_until_well(&asked, health, &mut alive, on_try)?;
        Ok(pid)
    }

    /// Asks until it is well. `alive` is asked around each question who is there to answer: a stranger on the same
    /// port, or a process that ended meanwhile, must not pass for a copy, and another process begins anew. Its error ends
    /// the asking.
    pub(super) fn ask_until_well(
        &self,
        asked: &Asked<'_>,
        health: &Health,
        alive: &mut dyn FnMut() -> Result<Who, String>,
        on_try: &mut dyn FnMut(&Attempt),
    ) -> Result<(), Unhealthy> {
        let deadline = Instant::now() + Duration::from_secs(health.within_seconds.into());
        let every = health.every_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let mut pause = every.unwrap_or(FIRST_PAUSE);
        let mut question = Question::new(self, &health.check);
        let mut tally = Tally::default();
        let mut answered = Who::Absent;
        loop {
            let limit = deadline.saturating_duration_since(Instant::now()).clamp(LONGEST_PAUSE, ATTEMPT);
            let (who, answer) = ask_of_one(&mut question, asked, alive, limit);
            if who != answered {
                tally.good_in_a_row = 0;
                answered = who;
            }
            let (good, is_final) = (matches!(answer, Answer::Good(_)), matches!(answer, Answer::Final(_)));
            let is_unclear = matches!(answer, Answer::Unclear(_));
            on_try(&tally.hear(good, printable(&answer.said())));
            if tally.good_in_a_row >= health.consecutive.max(1) {
                return Ok(());
            }
            if is_final || Instant::now() + pause >= deadline {
                return Err(tally.unhealthy(asked.spec, is_unclear));
            }
            std::thread::sleep(pause);
            if every.is_none() && !good {
                pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Looks at a copy once, without patience: whether its process runs, and what it says. What it once wrote to its log
    /// says nothing of now, nor does what cannot be told.
    pub fn look_at(&self, spec: &ServiceSpec, health: Option<&Health>) -> Look {
        let (copy, restarts) = (spec.id.clone(), self.restarts_of(spec));
        let answer = match health.map(|health| &health.check).filter(|check| !matches!(check, HealthCheck::Log(_))) {
            _ if self.running_pid(spec).is_none() => Answer::Bad(self.how_it_ended(spec)),
            None => Answer::Good("alive".into()),
            Some(check) => {
                let spec_file = self.files_of(spec).spec;
                let asked = Asked { spec, spec_file: &spec_file, port: spec.port };
                Question::new(self, check).ask(&asked, None, GLANCE)
            }
        };
        let wrong = match answer {
            Answer::Good(_) | Answer::Unclear(_) => None,
            Answer::Bad(said) | Answer::Final(said) => Some(printable(&said)),
        };
        Look { copy, restarts, wrong }
    }

    /// Asks a verification again, once, of everyone whom it is asked of: what is wrong, if anything is. What decides nothing
    /// is wrong unless the build says that it goes on with that.
    pub fn ask_again(&self, watched: &watch::Question) -> Option<Wrong> {
        let watch::Question { name, verification, specs } = watched;
        let check = &verification.check.check;
        specs.iter().find_map(|spec| {
            // What is asked of the build as a whole is run by a file of its own, beside a verification that may run.
            let kept = (spec.once && matches!(check, HealthCheck::Command(_))).then(|| self.kept_task(spec));
            let spec_file = match kept {
                Some(Ok(kept)) => kept.files.spec,
                Some(Err(error)) => {
                    return Some(Wrong { said: format!("verify {name}: {error}"), unclear: false });
                }
                None => self.files_of(spec).spec,
            };
            let asked = Asked { spec, spec_file: &spec_file, port: verification.port.or(spec.port) };
            let (said, unclear) = match (Question::new(self, check).ask(&asked, None, ATTEMPT), check) {
                (Answer::Good(_), _) => return None,
                (Answer::Unclear(_), HealthCheck::Prometheus(measured))
                    if measured.inconclusive == Inconclusive::Continue =>
                {
                    return None;
                }
                (Answer::Unclear(said), HealthCheck::Prometheus(measured)) => {
                    (format!("inconclusive: {said}"), measured.inconclusive == Inconclusive::Pause)
                }
                (Answer::Unclear(said), _) => (format!("inconclusive: {said}"), false),
                (Answer::Bad(said) | Answer::Final(said), _) => (said, false),
            };
            let whom = if spec.once { String::new() } else { format!(" of {}", spec.id) };
            Some(Wrong { said: printable(&format!("verify {name}{whom}: {said}")), unclear })
        })
    }

    fn watch_alive(&self, spec: &ServiceSpec, on_try: &mut dyn FnMut(&Attempt)) -> Result<i32, Unhealthy> {
        // The keeper may need a moment to start the first process at all.
        let give_up = Instant::now() + ATTEMPT;
        let first = loop {
            match self.running_pid(spec) {
                Some(pid) => break Some(pid),
                None if Instant::now() >= give_up => break None,
                None => std::thread::sleep(FIRST_PAUSE),
            }
        };
        let well_at = Instant::now() + ALIVE;
        let mut tally = Tally::default();
        while let Some(pid) = first.filter(|_| self.running_pid(spec) == first) {
            if Instant::now() >= well_at {
                on_try(&tally.hear(true, "alive".into()));
                return Ok(pid);
            }
            std::thread::sleep(FIRST_PAUSE * 2);
        }
        on_try(&tally.hear(false, self.how_it_ended(spec)));
        Err(tally.unhealthy(spec, false))
    }

    /// The process that runs a copy now, if one does.
    pub(super) fn running_pid(&self, spec: &ServiceSpec) -> Option<i32> {
        running_process(self, spec).0
    }

    /// How often a copy was started again after it ended by itself.
    fn restarts_of(&self, spec: &ServiceSpec) -> u32 {
        look(&self.files_of(spec)).ok().and_then(|(_, state)| state).map_or(0, |state| state.restarts)
    }

    /// What became of a process that runs no more.
    pub(super) fn how_it_ended(&self, spec: &ServiceSpec) -> String {
        let files = self.files_of(spec);
        let give_up = Instant::now() + NOTICED_WITHIN;
        let is_missed = || {
            let process = look(&files).ok().and_then(|(_, state)| state?.process);
            process.is_none_or(|process| process.is_alive())
        };
        while !is_missed() && Instant::now() < give_up {
            std::thread::sleep(FIRST_PAUSE);
        }
        let (_, how) = running_process(self, spec);
        how.map_or_else(|| "the process does not run".into(), |exit| format!("the process ended: {exit}"))
    }
}

/// Asks once, and sees to it that one and the same was there before and after.
fn ask_of_one(
    question: &mut Question<'_>,
    asked: &Asked<'_>,
    alive: &mut dyn FnMut() -> Result<Who, String>,
    limit: Duration,
) -> (Who, Answer) {
    let before = match alive() {
        Ok(who) => who,
        Err(why) => return (Who::Absent, Answer::Final(why)),
    };
    let answer = question.ask(asked, before.pid(), limit);
    match (alive(), answer) {
        (Err(why), _) => (before, Answer::Final(why)),
        (Ok(after), Answer::Good(_)) if after != before || after == Who::Absent => {
            (before, Answer::Bad("the process does not stay alive".into()))
        }
        (Ok(_), answer) => (before, answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_reads_as_one_line() {
        let last_log_line = Some("no such column: plan".to_owned());
        let reason = Unhealthy { tries: 9, repeated: 5, last: "/healthz 503".into(), is_unclear: false, last_log_line };
        assert_eq!(reason.to_string(), "/healthz 503 × 5 (last log: \"no such column: plan\")");
    }
}
