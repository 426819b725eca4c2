//! The parts of a deployment, one a target. Whatever a decision asks of them is counted as they change, so that what a
//! report costs does not grow with the number of targets.

use super::Stamp;
use imbl::{OrdMap, OrdSet, Vector};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust::{
    Digest, TargetName,
    statement::{Outcome, PhaseTiming},
};

/// One target's part in a deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What ran there when its part began.
    pub before: Option<Digest>,
    /// Where it stands.
    pub progress: Progress,
    /// The phases it went through.
    pub phases: Vec<PhaseTiming>,
    /// Whether the target left for good before the deployment was over: nobody waits for it, and it counts no more.
    pub left: bool,
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
    bad: OrdSet<Place>,
    left: usize,
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

    /// Whether every target that had a part has left.
    pub fn all_left(&self) -> bool {
        self.left == self.order.len()
    }

    /// A target's part.
    pub fn get(&self, name: &TargetName) -> Option<&Part> {
        self.by_name.get(name).map(|(_, part)| part)
    }

    /// All parts in order.
    pub fn iter(&self) -> impl Iterator<Item = (&TargetName, &Part)> {
        self.order.iter().filter_map(|name| Some((name, self.get(name)?)))
    }

    /// The targets that have not had their turn, in order.
    pub fn waiting(&self) -> impl Iterator<Item = &TargetName> {
        self.named(&self.waiting)
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

    /// The targets that did not get it, in order.
    pub fn bad(&self) -> impl Iterator<Item = (&TargetName, &Outcome)> {
        self.named(&self.bad).filter_map(|name| match &self.get(name)?.progress {
            Progress::Finished(outcome) => Some((name, outcome)),
            _ => None,
        })
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
        if part.left {
            self.left += 1;
            return;
        }
        match &part.progress {
            Progress::Waiting => drop(self.waiting.insert(place)),
            Progress::Assigned(since) | Progress::Undoing(since) => drop(self.busy.insert((since.time, place))),
            Progress::Finished(Outcome::Verified) => drop(self.verified.insert(place)),
            Progress::Finished(_) => drop(self.bad.insert(place)),
            Progress::Undone => {}
        }
    }

    fn discount(&mut self, place: Place, part: &Part) {
        if part.left {
            self.left -= 1;
            return;
        }
        match &part.progress {
            Progress::Waiting => drop(self.waiting.remove(&place)),
            Progress::Assigned(since) | Progress::Undoing(since) => drop(self.busy.remove(&(since.time, place))),
            Progress::Finished(Outcome::Verified) => drop(self.verified.remove(&place)),
            Progress::Finished(_) => drop(self.bad.remove(&place)),
            Progress::Undone => {}
        }
    }
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

impl FromIterator<TargetName> for Parts {
    fn from_iter<I: IntoIterator<Item = TargetName>>(names: I) -> Self {
        names.into_iter().map(|name| (name, Part::default())).collect::<Vec<_>>().into()
    }
}
