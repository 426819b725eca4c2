//! The parts of a deployment, one a target. Whatever a decision asks of them is counted as they change, so that what a
//! report costs does not grow with the number of targets.

use super::Stamp;
use imbl::{OrdMap, OrdSet, Vector};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use trust::{
    Digest, TargetName,
    statement::{Outcome, Phase, PhaseTiming},
};

/// One target's part in a deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What ran there when its part began.
    pub before: Option<Digest>,
    /// Whether that was stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_stopped: bool,
    /// Where it stands.
    pub progress: Progress,
    /// The phases it went through.
    pub phases: Vec<PhaseTiming>,
    /// Why it counts no more, if so.
    pub aside: Option<Aside>,
    /// Whether nothing was heard of the target in time: it may have done its part all the same, and say so later.
    pub absent: bool,
    /// The entry with the order by which it tries again.
    pub order: Option<u64>,
    /// The entry by which it began the last time, 0 before it did: what became of it afterwards was not known before that.
    #[serde(default)]
    pub begun: u64,
    /// The entry by which it verified it the last time, 0 before it did, and where that is from before this was recorded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub verified: u64,
    /// In which wave it had its turn, from 1; 0 before it had.
    pub wave: u32,
    /// Whether the application serves on the target: it runs there, and nothing is being done with it.
    pub serves: bool,
    /// What is wrong with it on the target, where it was verified there and is not well any more.
    #[serde(default)]
    pub unwell: Option<String>,
    /// Whether it was verified there and is stopped since, by an order: it shows nobody how it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// What decided nothing while it was verified there, or could not be done before it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// Whether the target comes and goes: it counts in no minimum, and its silence is no failure (R30).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
}

/// What decided nothing while a build was verified, so that people shall look before it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// What it was, in a line.
    pub said: String,
    /// Whether somebody has let the deployment go on with it.
    pub accepted: bool,
    /// Whether it came after that, while it was watched: it may become clear by itself, and does not settle before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watched: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Part {
    /// Whether it counts as verified only once somebody has looked.
    fn is_doubted(&self) -> bool {
        self.doubt.as_ref().is_some_and(|doubt| !doubt.accepted)
    }

    /// Whether its files were laid out in its last try, and nothing was activated: it was refused or failed just before that,
    /// or is to get its turn again (R27).
    pub fn is_staged(&self) -> bool {
        let begins = self.phases.iter().rposition(|timing| timing.phase == Phase::Check);
        let mut tried = self.phases.iter().skip(begins.unwrap_or(0)).map(|timing| timing.phase);
        let last = self.phases.last().map(|timing| timing.phase);
        let is_laid_out = tried.any(|phase| phase == Phase::Stage);
        // What is looked at last is whether it may be activated: where that is the end of it, it was not.
        let is_refused = matches!(last, Some(Phase::Configure | Phase::Migrate | Phase::Activate));
        match &self.progress {
            Progress::Waiting => is_laid_out && is_refused && self.order.is_none(),
            Progress::Finished(Outcome::Refused { .. }) => is_laid_out && is_refused,
            Progress::Finished(Outcome::Undone { phase, .. }) => {
                is_laid_out && matches!(phase, Phase::Configure | Phase::Migrate)
            }
            _ => false,
        }
    }

    /// Whether nobody waits for it, and it is no failure.
    fn is_aside(&self) -> bool {
        let counts_no_more = match self.aside {
            // Who is unwell and was accepted runs it all the same, and goes back with the others.
            Some(Aside::Accepted) => {
                matches!(&self.progress, Progress::Finished(outcome) if *outcome != Outcome::Verified)
            }
            // So does who was left out because of that.
            Some(Aside::Excluded) => !matches!(
                self.progress,
                Progress::Finished(Outcome::Verified) | Progress::Undoing(_) | Progress::Undone
            ),
            aside => aside.is_some(),
        };
        counts_no_more || self.ephemeral && self.absent
    }
}

/// Why a part counts no more: nobody waits for it, and it is no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aside {
    /// The target left for good.
    Left,
    /// Somebody said that the deployment goes on in spite of its failure.
    Accepted,
    /// Somebody left it out.
    Excluded,
    /// It was cordoned before its turn.
    Cordoned,
    /// Nobody had heard of it for a while when others began.
    Away,
    /// Something else has run there since, or nothing: how it is with the build is for the others to show.
    Replaced,
}

/// Where one target's part stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Not its turn yet.
    #[default]
    Waiting,
    /// It is at it since this entry.
    Assigned(Stamp),
    /// It finished like this.
    Finished(Outcome),
    /// It goes back since this entry.
    Undoing(Stamp),
    /// It is back on what ran before.
    Undone,
}

/// Where a part's target stands in the order of the deployment.
type Place = u32;

/// All parts of a deployment, in the order in which they have their turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(TargetName, Part)>", into = "Vec<(TargetName, Part)>")]
pub struct Parts {
    order: Vector<TargetName>,
    by_name: OrdMap<TargetName, (Place, Part)>,
    waiting: OrdSet<Place>,
    busy: OrdSet<(Timestamp, Place)>,
    verified: OrdSet<Place>,
    unwell: OrdSet<Place>,
    /// Those that are unwell where somebody let the deployment go on all the same.
    accepted: OrdSet<Place>,
    stopped: OrdSet<Place>,
    doubted: OrdSet<Place>,
    bad: OrdSet<Place>,
    aside: OrdSet<Place>,
    left: usize,
    lasting: usize,
    serving: usize,
}

impl Parts {
    /// How many targets have a part, those that left included.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether no target has a part.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many targets have a part and did not leave.
    pub fn present(&self) -> usize {
        self.order.len() - self.left
    }

    /// How many of them are to stay: those that come and go are counted on by nobody.
    pub fn lasting(&self) -> usize {
        self.lasting
    }

    /// On how many of these the application serves.
    pub fn serving(&self) -> usize {
        self.serving
    }

    /// A target's part.
    pub fn get(&self, name: &TargetName) -> Option<&Part> {
        self.by_name.get(name).map(|(_, part)| part)
    }

    /// All parts in order.
    pub fn iter(&self) -> impl Iterator<Item = (&TargetName, &Part)> {
        self.order.iter().filter_map(|name| Some((name, self.get(name)?)))
    }

    /// The parts in these places, in order.
    pub fn within(&self, places: Range<usize>) -> impl Iterator<Item = (&TargetName, &Part)> {
        let names = self.order.iter().skip(places.start).take(places.len());
        names.filter_map(|name| Some((name, self.get(name)?)))
    }

    /// The targets that have not had their turn, in order.
    pub fn waiting(&self) -> impl Iterator<Item = &TargetName> {
        self.named(&self.waiting)
    }

    /// Those of them in these places.
    pub fn waiting_in(&self, places: Range<usize>) -> impl Iterator<Item = (&TargetName, &Part)> {
        let names = self.waiting.range(range(&places)).filter_map(|place| self.order.get(*place as usize));
        names.filter_map(|name| Some((name, self.get(name)?)))
    }

    /// The place of the first target that has not had its turn.
    pub fn first_waiting(&self) -> Option<usize> {
        self.waiting.get_min().map(|place| *place as usize)
    }

    /// The place of a target in the order.
    pub fn place_of(&self, name: &TargetName) -> Option<usize> {
        self.by_name.get(name).map(|(place, _)| *place as usize)
    }

    /// Whether one of these places verified it.
    pub fn any_verified_in(&self, places: Range<usize>) -> bool {
        self.verified.range(range(&places)).next().is_some()
    }

    /// Whether one of these places verified it and is well with it, so that it says something about those that come after. Who was
    /// left out says nothing.
    pub fn any_vouches_in(&self, places: Range<usize>) -> bool {
        let verified = self.verified.range(range(&places)).filter_map(|place| self.order.get(*place as usize));
        let vouches = |part: &Part| part.unwell.is_none() && part.aside != Some(Aside::Excluded);
        verified.filter_map(|name| self.get(name)).any(vouches)
    }

    /// Whether one of these places did not get it, or is unwell with it.
    pub fn any_bad_in(&self, places: Range<usize>) -> bool {
        let mut both = [&self.bad, &self.unwell].into_iter();
        both.any(|bad| bad.range(range(&places)).next().is_some())
    }

    /// How many targets did not get it, or are unwell with it.
    pub fn bad_count(&self) -> usize {
        self.bad.len() + self.unwell.len()
    }

    /// The targets that are at it or go back, the one that began first leading, and since when.
    pub fn busy(&self) -> impl Iterator<Item = (Timestamp, &TargetName)> {
        self.busy.iter().filter_map(|(since, place)| Some((*since, self.order.get(*place as usize)?)))
    }

    /// The targets that are at it, not told to go back.
    pub fn assigned(&self) -> impl Iterator<Item = &TargetName> {
        let names = self.busy().map(|(_, name)| name);
        names.filter(|name| self.get(name).is_some_and(|part| matches!(part.progress, Progress::Assigned(_))))
    }

    /// The targets that verified it, in order.
    pub fn verified(&self) -> impl Iterator<Item = &TargetName> {
        self.named(&self.verified)
    }

    /// The targets that verified it and are not well any more, in order, and what is wrong.
    pub fn unwell(&self) -> impl Iterator<Item = (&TargetName, &str)> {
        self.named(&self.unwell).filter_map(|name| Some((name, self.get(name)?.unwell.as_deref()?)))
    }

    /// As [`Self::unwell`], and those where somebody let the deployment go on all the same: it does not settle with them.
    pub fn ailing(&self) -> impl Iterator<Item = (&TargetName, &str)> {
        let accepted = self.named(&self.accepted).filter_map(|name| Some((name, self.get(name)?.unwell.as_deref()?)));
        self.unwell().chain(accepted)
    }

    /// The targets that verified it and where it is stopped since, in order.
    pub fn stopped(&self) -> impl Iterator<Item = &TargetName> {
        self.named(&self.stopped)
    }

    /// Whether it is well wherever it was verified, as far as everybody can see: only then does it soak (R54).
    pub fn are_well(&self) -> bool {
        self.ailing().next().is_none() && self.stopped.is_empty() && self.unclear().next().is_none()
    }

    /// The targets that verified it and where nobody has looked yet at what decided nothing, in order, and what that was.
    pub fn doubted(&self) -> impl Iterator<Item = (&TargetName, &str)> {
        self.named(&self.doubted).filter_map(|name| Some((name, self.get(name)?.doubt.as_ref()?.said.as_str())))
    }

    /// Those of them that nobody can tell of since they are watched.
    pub fn unclear(&self) -> impl Iterator<Item = (&TargetName, &str)> {
        let is_watched = |name: &TargetName| self.get(name)?.doubt.as_ref().map(|doubt| doubt.watched);
        self.doubted().filter(move |(name, _)| is_watched(name) == Some(true))
    }

    /// The targets that did not get it, in order.
    pub fn bad(&self) -> impl Iterator<Item = (&TargetName, &Outcome)> {
        self.named(&self.bad).filter_map(|name| match &self.get(name)?.progress {
            Progress::Finished(outcome) => Some((name, outcome)),
            _ => None,
        })
    }

    /// The targets in these places that come and go, and of which nothing was heard in time.
    pub fn silent_in(&self, places: Range<usize>) -> impl Iterator<Item = &TargetName> {
        let names = self.aside.range(range(&places)).filter_map(|place| self.order.get(*place as usize));
        names.filter(|name| self.get(name).is_some_and(|part| part.aside.is_none()))
    }

    /// The targets of which nothing was heard in time, in order.
    pub fn absent(&self) -> impl Iterator<Item = &TargetName> {
        let names = self.named(&self.bad).chain(self.named(&self.aside));
        names.filter(|name| self.get(name).is_some_and(|part| part.absent))
    }

    fn named<'a>(&'a self, places: &'a OrdSet<Place>) -> impl Iterator<Item = &'a TargetName> {
        places.iter().filter_map(|place| self.order.get(*place as usize))
    }

    /// Adds a target at the end, unless it has a part.
    pub fn add(&mut self, name: TargetName, part: Part) {
        if self.by_name.contains_key(&name) {
            return;
        }
        let place = Place::try_from(self.order.len()).unwrap_or(Place::MAX);
        self.order.push_back(name.clone());
        self.count(place, &part);
        self.by_name.insert(name, (place, part));
    }

    /// Changes a target's part, where it has one.
    pub fn change(&mut self, name: &TargetName, change: impl FnOnce(&mut Part)) {
        let Some((place, mut part)) = self.by_name.get(name).cloned() else { return };
        self.discount(place, &part);
        change(&mut part);
        self.count(place, &part);
        self.by_name.insert(name.clone(), (place, part));
    }

    fn count(&mut self, place: Place, part: &Part) {
        if part.aside == Some(Aside::Left) {
            self.left += 1;
            return;
        }
        self.lasting += usize::from(!part.ephemeral);
        self.serving += usize::from(part.serves && !part.ephemeral);
        if part.is_aside() {
            self.aside.insert(place);
            return;
        }
        match &part.progress {
            Progress::Waiting => drop(self.waiting.insert(place)),
            Progress::Assigned(since) | Progress::Undoing(since) => drop(self.busy.insert((since.time, place))),
            Progress::Finished(Outcome::Verified) => {
                self.verified.insert(place);
                if part.unwell.is_some() && part.aside.is_none() {
                    self.unwell.insert(place);
                }
                if part.unwell.is_some() && part.aside == Some(Aside::Accepted) {
                    self.accepted.insert(place);
                }
                if part.stopped && matches!(part.aside, None | Some(Aside::Accepted)) {
                    self.stopped.insert(place);
                }
                if part.is_doubted() {
                    self.doubted.insert(place);
                }
            }
            Progress::Finished(_) => drop(self.bad.insert(place)),
            Progress::Undone => {}
        }
    }

    fn discount(&mut self, place: Place, part: &Part) {
        if part.aside == Some(Aside::Left) {
            self.left -= 1;
            return;
        }
        self.lasting -= usize::from(!part.ephemeral);
        self.serving -= usize::from(part.serves && !part.ephemeral);
        if part.is_aside() {
            self.aside.remove(&place);
            return;
        }
        match &part.progress {
            Progress::Waiting => drop(self.waiting.remove(&place)),
            Progress::Assigned(since) | Progress::Undoing(since) => drop(self.busy.remove(&(since.time, place))),
            Progress::Finished(Outcome::Verified) => {
                self.verified.remove(&place);
                self.unwell.remove(&place);
                self.accepted.remove(&place);
                self.stopped.remove(&place);
                self.doubted.remove(&place);
            }
            Progress::Finished(_) => drop(self.bad.remove(&place)),
            Progress::Undone => {}
        }
    }
}

fn range(places: &Range<usize>) -> Range<Place> {
    let place = |at: usize| Place::try_from(at).unwrap_or(Place::MAX);
    place(places.start)..place(places.end)
}

impl From<Vec<(TargetName, Part)>> for Parts {
    fn from(parts: Vec<(TargetName, Part)>) -> Self {
        let mut all = Self::default();
        parts.into_iter().for_each(|(name, part)| all.add(name, part));
        all
    }
}

impl From<Parts> for Vec<(TargetName, Part)> {
    fn from(parts: Parts) -> Self {
        parts.iter().map(|(name, part)| (name.clone(), part.clone())).collect()
    }
}
