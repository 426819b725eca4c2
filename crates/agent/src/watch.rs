//! Looking after what runs while nothing is done with it: a deployment settles only if it stays well (R54). Copies are asked
//! as long as they run; verifications that a build wants watched, until it has settled. The working thread says what is to be looked at; a thread of its own looks, so that a copy that does not answer delays nothing.

use crate::runtime::{CopyId, Runtime, ServiceSpec};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};
use trust::{
    AppName, Digest,
    manifest::{Health, HealthCheck, Inconclusive, Verification},
    statement::Unwell,
};

/// So many bad looks in a row are a verdict, and so many good ones.
const IN_A_ROW: u32 = 3;
/// Or so many bad ones among the last of these: what ends and is started again now and then is not well.
const BAD_AMONG: (u32, u32) = (4, 10);

/// An application to look after.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched<C, Q> {
    /// The build that is active.
    pub build: Digest,
    /// Its copies; nothing while something is done with it, for then nothing is judged, and afterwards anew.
    pub copies: Option<Vec<C>>,
    /// Its verifications that are asked again, as long as it has not settled.
    pub again: Vec<Again<Q>>,
}

/// A verification that is asked again every so often.
#[derive(Clone, Debug, PartialEq)]
pub struct Again<Q> {
    /// Its name in the build.
    pub name: String,
    /// How long to wait between two questions, and at least as long as between two looks.
    pub every: Duration,
    /// What is asked.
    pub question: Q,
}

/// A verification of a build that runs, and whom it is asked of.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Its name in the build.
    pub name: String,
    /// What is asked.
    pub verification: Verification,
    /// The copies, or what the build as a whole is asked by.
    pub specs: Vec<ServiceSpec>,
}

impl Again<Question> {
    /// The same once people were asked to look at what decides nothing: that it goes on deciding nothing is no news to them.
    pub fn once_people_looked(mut self) -> Self {
        if let HealthCheck::Prometheus(measured) = &mut self.question.verification.check.check
            && measured.inconclusive == Inconclusive::Pause
        {
            measured.inconclusive = Inconclusive::Continue;
        }
        self
    }
}

/// A copy as it runs here, and how it is asked.
pub type Copy = (ServiceSpec, Option<Health>);

/// Everything that is to be looked after.
pub type Round<C, Q> = BTreeMap<AppName, Watched<C, Q>>;

/// What one look at a copy has shown.
pub struct Look {
    /// Which copy.
    pub copy: CopyId,
    /// How often it was started again after it ended by itself.
    pub restarts: u32,
    /// What is wrong with it.
    pub wrong: Option<String>,
}

/// What was answered to a verification that was asked again, and is not well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What was answered.
    pub said: String,
    /// Whether that decides nothing, and the build asks that people look then.
    pub unclear: bool,
}

/// What the looks at one application have come to.
struct Seen {
    build: Digest,
    /// Whether something was done with it since.
    was_busy: bool,
    restarts: BTreeMap<CopyId, u32>,
    copies: Looks,
    /// What was answered to each verification that is asked again.
    answers: BTreeMap<String, Answers>,
}

/// What a verification was answered, and when it is asked next.
#[derive(Default)]
struct Answers {
    bad: Looks,
    unclear: Looks,
    due: Duration,
}

/// What the looks at one thing have come to.
#[derive(Default)]
struct Looks {
    /// The newest look is the lowest bit; a bad one is set.
    looks: u32,
    /// What is wrong, once that is the verdict.
    unwell: Option<String>,
}

/// Remembers what was seen from one look to the next.
#[derive(Default)]
pub struct Watch {
    seen: BTreeMap<AppName, Seen>,
    looks: u32,
}

impl Watch {
    /// What was seen of a build that gives way, or that something is done with, says nothing of how it is afterwards; and
    /// whoever hears how that ended forgets what was said before.
    pub fn hears<C, Q>(&mut self, round: &Round<C, Q>) {
        self.seen.retain(|app, seen| round.get(app).is_some_and(|watched| watched.build == seen.build));
        for (app, seen) in &mut self.seen {
            seen.was_busy |= round.get(app).is_some_and(|watched| watched.copies.is_none());
        }
    }

    /// Looks at everything once, and asks again what is due. `at` is how long ago the watch began.
    pub fn look<C, Q>(
        &mut self,
        round: &Round<C, Q>,
        at: Duration,
        look: impl Fn(&C) -> Look,
        ask: impl Fn(&Q) -> Option<Wrong>,
    ) {
        self.hears(round);
        for (app, Watched { build, copies, again }) in round {
            let Some(copies) = copies else { continue };
            if self.seen.get(app).is_some_and(|seen| seen.was_busy) {
                self.seen.remove(app);
            }
            let new = || Seen {
                was_busy: false,
                build: *build,
                restarts: BTreeMap::new(),
                copies: Looks::default(),
                answers: BTreeMap::new(),
            };
            let seen = self.seen.entry(app.clone()).or_insert_with(new);
            let mut wrong = None;
            for Look { copy, restarts, wrong: said } in copies.iter().map(&look) {
                let before = seen.restarts.insert(copy.clone(), restarts);
                let came_back = before.is_some_and(|before| restarts > before);
                let said = said.or_else(|| came_back.then(|| "ended by itself and was started again".into()));
                wrong = wrong.or_else(|| said.map(|said| format!("{copy} {said}")));
            }
            seen.copies.judge(wrong);
            seen.answers.retain(|name, _| again.iter().any(|again| again.name == *name));
            for Again { name, every, question } in again {
                let answers = seen.answers.entry(name.clone()).or_default();
                if answers.due <= at {
                    let answer = ask(question);
                    let as_said =
                        |unclear| answer.clone().filter(|wrong| wrong.unclear == unclear).map(|wrong| wrong.said);
                    answers.bad.judge(as_said(false));
                    answers.unclear.judge(as_said(true));
                    answers.due = at + *every;
                }
            }
        }
        self.looks = self.looks.saturating_add(1);
    }

    /// What is unwell; nothing before there were looks enough to tell.
    pub fn verdict(&self) -> Option<BTreeMap<AppName, Unwell>> {
        let unwell = |(app, seen): (&AppName, &Seen)| {
            let (reason, unclear) = seen.unwell()?;
            Some((app.clone(), Unwell { build: seen.build, reason: reason.clone(), unclear }))
        };
        (self.looks >= IN_A_ROW).then(|| self.seen.iter().filter_map(unwell).collect())
    }
}

impl Seen {
    /// What is wrong with it, with its copies first of all; or what nobody can tell, which is said with it.
    fn unwell(&self) -> Option<(&String, bool)> {
        let bad = std::iter::once(&self.copies).chain(self.answers.values().map(|answers| &answers.bad));
        let unclear = self.answers.values().map(|answers| (&answers.unclear, true));
        bad.map(|looks| (looks, false))
            .chain(unclear)
            .find_map(|(looks, unclear)| Some((looks.unwell.as_ref()?, unclear)))
    }
}

impl Looks {
    fn judge(&mut self, wrong: Option<String>) {
        let (bad, among) = BAD_AMONG;
        self.looks = self.looks << 1 | u32::from(wrong.is_some());
        let newest = |count: u32| self.looks & ((1 << count) - 1);
        let often = newest(among).count_ones() >= bad;
        match (&self.unwell, wrong) {
            (None, Some(wrong)) if often || newest(IN_A_ROW).count_ones() == IN_A_ROW => self.unwell = Some(wrong),
            (Some(_), None) if !often && newest(IN_A_ROW) == 0 => self.unwell = None,
            _ => {}
        }
    }
}

/// Looks every so often at what `rounds` says last, and tells what is unwell whenever that changed, and at first. Ends once
/// nobody says or hears anything any more.
pub fn watch(
    runtime: &Arc<Runtime>,
    rounds: &Receiver<Round<Copy, Question>>,
    every: Duration,
    tell: impl Fn(BTreeMap<AppName, Unwell>) -> bool,
) {
    let (mut watch, mut round, mut told) = (Watch::default(), Round::new(), None);
    let began = Instant::now();
    let mut next = began + every;
    loop {
        match rounds.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(newest) => {
                watch.hears(&newest);
                round = newest;
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let look = |(spec, health): &Copy| runtime.look_at(spec, health.as_ref());
                watch.look(&round, began.elapsed(), look, |question| runtime.ask_again(question));
                next = Instant::now() + every;
                let verdict = watch.verdict();
                if verdict != told {
                    told.clone_from(&verdict);
                    if verdict.is_some_and(|unwell| !tell(unwell)) {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn app() -> AppName {
        "web".parse().unwrap()
    }

    fn round(build: &[u8], copies: Option<Vec<()>>) -> Round<(), &'static str> {
        Round::from([(app(), Watched { build: Digest::of(build), copies, again: Vec::new() })])
    }

    /// Looks at the copies alone.
    fn look(watch: &mut Watch, round: &Round<(), &'static str>, look: impl Fn(&()) -> Look) {
        watch.look(round, Duration::ZERO, look, |_| None);
    }

    fn looked(restarts: u32, wrong: Option<&str>) -> Look {
        let copy = CopyId { process: "web".into(), copy: 1 };
        Look { copy, restarts, wrong: wrong.map(str::to_owned) }
    }

    /// What is known to be wrong after each look: how often the copy was started again, and what was wrong just then.
    fn after(looks: &[(u32, Option<&str>)]) -> Vec<Option<String>> {
        let mut watch = Watch::default();
        let each = |(restarts, wrong): &(u32, Option<&str>)| {
            look(&mut watch, &round(b"web", Some(vec![()])), |()| looked(*restarts, *wrong));
            watch.verdict()?.remove(&app()).map(|unwell| unwell.reason)
        };
        looks.iter().map(each).collect()
    }

    const GOOD: (u32, Option<&str>) = (0, None);
    const BAD: (u32, Option<&str>) = (0, Some("/healthz 503"));

    #[test]
    fn a_bad_look_is_nothing_and_three_in_a_row_are_a_verdict() {
        assert_eq!(after(&[GOOD, BAD, BAD, GOOD, GOOD, BAD]), [const { None }; 6]);
        let known = after(&[BAD, BAD, BAD, GOOD, GOOD, BAD]);
        assert_eq!(known[..2], [None, None]);
        assert!(known[2..].iter().all(|wrong| wrong.as_deref() == Some("web-1 /healthz 503")), "{known:?}");
        let again = after(&[BAD, BAD, BAD, GOOD, GOOD, GOOD]);
        assert_eq!(again.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true, true, true, false]);
    }

    #[test]
    fn what_is_unwell_now_and_then_is_unwell_until_it_stays_well() {
        let flapping = [BAD, GOOD, GOOD, BAD, GOOD, BAD, GOOD, GOOD, BAD, GOOD, GOOD, GOOD];
        let known = after(&flapping);
        assert!(known[..8].iter().all(Option::is_none) && known[8..11].iter().all(Option::is_some), "{known:?}");
    }

    #[test]
    fn a_copy_that_is_started_again_and_again_is_unwell_however_well_it_answers() {
        let known = after(&[(0, None), (1, None), (2, None), (3, None)]);
        assert_eq!(known[3].as_deref(), Some("web-1 ended by itself and was started again"));
        assert_eq!(after(&[(5, None), (5, None), (5, None), (6, None), (6, None)]), [const { None }; 5]);
    }

    #[test]
    fn nothing_is_judged_while_something_is_done_and_another_build_begins_anew() {
        let asked = Cell::new(0);
        let bad = |(): &()| {
            asked.set(asked.get() + 1);
            looked(0, Some("/healthz 503"))
        };
        let mut watch = Watch::default();
        (0..3).for_each(|_| look(&mut watch, &round(b"one", Some(vec![()])), bad));
        (0..9).for_each(|_| look(&mut watch, &round(b"one", None), bad));
        assert_eq!((asked.get(), watch.verdict().unwrap().len()), (3, 1));
        look(&mut watch, &round(b"two", Some(vec![()])), bad);
        assert_eq!(watch.verdict().unwrap(), BTreeMap::new());
    }

    #[test]
    fn what_was_unwell_is_judged_anew_once_something_was_done_with_it() {
        let bad = |(): &()| looked(0, Some("/healthz 503"));
        let mut watch = Watch::default();
        (0..3).for_each(|_| look(&mut watch, &round(b"one", Some(vec![()])), bad));
        watch.hears(&round(b"one", None));
        assert_eq!(watch.verdict().unwrap().len(), 1, "nothing else is known yet");
        look(&mut watch, &round(b"one", Some(vec![()])), bad);
        assert_eq!(watch.verdict().unwrap().len(), 0, "it was started again, and one bad look is nothing");
        (0..2).for_each(|_| look(&mut watch, &round(b"one", Some(vec![()])), bad));
        assert_eq!(watch.verdict().unwrap().len(), 1, "so that it is said again");
    }

    #[test]
    fn a_verification_is_asked_again_when_it_is_due_until_the_build_has_settled() {
        let (asked, is_unclear) = (Cell::new(0), Cell::new(false));
        let ask = |wrong: &&'static str| {
            asked.set(asked.get() + 1);
            (!wrong.is_empty()).then(|| Wrong { said: (*wrong).to_owned(), unclear: wrong.contains("inconclusive") })
        };
        let of = |again: &[(&str, u64, &'static str)]| {
            let again = again.iter().map(|(name, every, question)| Again {
                name: (*name).to_owned(),
                every: Duration::from_secs(*every),
                question: *question,
            });
            Round::from([(app(), Watched { build: Digest::of(b"x"), copies: Some(vec![()]), again: again.collect() })])
        };
        let mut watch = Watch::default();
        let mut after = |round: &Round<(), &'static str>, seconds: u64| {
            watch.look(round, Duration::from_secs(seconds), |()| looked(0, None), ask);
            let verdict = watch.verdict().unwrap_or_default().remove(&app());
            is_unclear.set(verdict.as_ref().is_some_and(|unwell| unwell.unclear));
            (verdict.map(|unwell| unwell.reason), asked.take())
        };
        let bad = of(&[("errors", 30, "verify errors: measured 0.09, not < 0.01"), ("latency", 1000, "")]);
        assert_eq!(after(&bad, 10), (None, 2));
        assert_eq!(after(&bad, 20), (None, 0), "it is not due");
        assert_eq!(after(&bad, 40), (None, 1));
        let (unwell, _) = after(&bad, 70);
        assert_eq!(unwell.as_deref(), Some("verify errors: measured 0.09, not < 0.01"), "bad three times in a row");
        assert!(!is_unclear.get());
        // What decides nothing is neither bad nor good, three times in a row.
        let unclear = of(&[("errors", 30, "verify errors: inconclusive: measured NaN"), ("latency", 1000, "")]);
        let said: Vec<_> = [100, 130, 160].map(|at| (after(&unclear, at).0.unwrap(), is_unclear.get())).into();
        assert!(said[..2].iter().all(|(said, unclear)| said.contains("0.09") && !unclear), "{said:?}");
        assert!(said[2].0.contains("inconclusive") && said[2].1, "{said:?}");
        assert_eq!(after(&of(&[]), 170), (None, 0), "what has settled is not measured any more");
    }
}
