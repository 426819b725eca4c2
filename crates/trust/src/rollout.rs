//! How a deployment goes over the targets of an environment: who comes first, how many change at a time, how long it looks
//! before it goes on, how many must go on serving, and how many may fail.
//!
//! The charter says it per environment ([`RolloutTerms`], whatever is left out being as in [`Rollout::default`]), and a
//! deployer's order may say some of it differently. More care is anyone's who may deploy; less care is for those whom the
//! environment's `hasten` rule names ([`Rollout::eased`] tells one from the other).

use crate::names::printable;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// The longest a deployment bakes between two rings, in minutes: a week.
pub const MAX_BAKE_MINUTES: u32 = 10_080;
/// The longest a target may be silent, in minutes: a day.
pub const MAX_PROGRESS_MINUTES: u32 = 1_440;
/// The most rings.
pub const MAX_RINGS: usize = 32;

/// How many of some targets: a number of them, a percentage, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many.
    Count(u32),
    /// So many of a hundred, 1 to 100.
    Percent(u8),
    /// All.
    All,
}

impl Share {
    /// So many of `total`, rounded down.
    pub fn at_most(self, total: usize) -> usize {
        match self {
            Share::Count(count) => total.min(count as usize),
            Share::Percent(percent) => total * usize::from(percent) / 100,
            Share::All => total,
        }
    }

    /// So many of `total`, rounded up.
    pub fn at_least(self, total: usize) -> usize {
        match self {
            Share::Percent(percent) => (total * usize::from(percent)).div_ceil(100),
            Share::Count(_) | Share::All => self.at_most(total),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Share::Count(count) => write!(f, "{count}"),
            Share::Percent(percent) => write!(f, "{percent}%"),
            Share::All => f.write_str("all"),
        }
    }
}

/// Words that do not say how a rollout goes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RolloutError(String);

impl FromStr for Share {
    type Err = RolloutError;

    fn from_str(text: &str) -> Result<Self, RolloutError> {
        let wrong = || RolloutError(format!("'{}' is neither a number, nor 1% to 100%, nor all", printable(text)));
        match text.strip_suffix('%') {
            _ if text == "all" => Ok(Share::All),
            Some(percent) => {
                let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent));
                percent.map(Share::Percent).ok_or_else(wrong)
            }
            None => text.parse().map(Share::Count).map_err(|_| wrong()),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Share::Count(count) => serializer.serialize_u32(*count),
            Share::Percent(_) | Share::All => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrWord;
        impl de::Visitor<'_> for NumberOrWord {
            type Value = Share;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, \"25%\" or \"all\"")
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Share, E> {
                let wrong = || E::custom("that is more targets than there can be");
                u32::try_from(count).map(Share::Count).map_err(|_| wrong())
            }
            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Share, E> {
                let wrong = || E::custom("there are no fewer targets than none");
                u64::try_from(count).map_err(|_| wrong()).and_then(|count| self.visit_u64(count))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Share, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(NumberOrWord)
    }
}

/// Targets that have their turn before others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Ring {
    /// Those that carry a label.
    Labelled {
        /// The label.
        key: String,
        /// Its value.
        value: String,
    },
    /// Those that are in no other ring.
    Rest,
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ring::Labelled { key, value } => write!(f, "{key}={value}"),
            Ring::Rest => f.write_str("rest"),
        }
    }
}

impl FromStr for Ring {
    type Err = RolloutError;

    fn from_str(text: &str) -> Result<Self, RolloutError> {
        match text.split_once('=') {
            _ if text == "rest" => Ok(Ring::Rest),
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                Ok(Ring::Labelled { key: key.into(), value: value.into() })
            }
            _ => Err(RolloutError(format!("a ring is LABEL=VALUE or rest, not '{}'", printable(text)))),
        }
    }
}

impl TryFrom<String> for Ring {
    type Error = RolloutError;
    fn try_from(text: String) -> Result<Self, RolloutError> {
        text.parse()
    }
}

impl From<Ring> for String {
    fn from(ring: Ring) -> String {
        ring.to_string()
    }
}

/// What lets the next ring begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Advance {
    /// That the last one is well, and has baked.
    #[default]
    Health,
    /// As well as somebody's word.
    Hand,
}

/// What happens when more targets fail than may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Every target that had activated it goes back to what ran before.
    #[default]
    Undo,
    /// No further target is touched, until somebody says what is to be done.
    Pause,
    /// Targets that are well keep the new version; no further target is touched, and the deployment has failed.
    Stop,
}

/// How a deployment goes over the targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rollout {
    /// How many targets change at a time.
    pub at_once: Share,
    /// How many change first of all: a ring before every other.
    pub canary: u32,
    /// Who comes before whom. Those in no ring come last.
    pub rings: Vec<Ring>,
    /// How many minutes a ring must have been well before the next begins.
    pub bake_minutes: u32,
    /// What else lets the next ring begin.
    pub advance: Advance,
    /// How many of the environment's targets must go on serving: none is taken out of service beyond that.
    pub min_healthy: Share,
    /// How many targets may fail or be silent: they are left out, and the deployment goes on. None of the canaries may.
    pub failure_budget: Share,
    /// How many minutes a target may be silent about its part.
    pub progress_minutes: u32,
    /// What happens when more fail.
    pub on_failure: OnFailure,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            at_once: Share::Count(1),
            canary: 0,
            rings: Vec::new(),
            bake_minutes: 0,
            advance: Advance::Health,
            min_healthy: Share::Count(0),
            failure_budget: Share::Count(0),
            progress_minutes: 10,
            on_failure: OnFailure::Undo,
        }
    }
}

macro_rules! terms {
    ($($(#[$doc:meta])* $field:ident: $kind:ty,)*) => {
        /// What is said of a rollout. What is left out is as it would be without a word.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct RolloutTerms {
            $(
                $(#[$doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$kind>,
            )*
        }

        impl RolloutTerms {
            /// The names of what can be said.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            /// Whether nothing is said.
            pub fn is_empty(&self) -> bool {
                *self == Self::default()
            }
        }

        impl Rollout {
            /// This rollout, with what `terms` say in the place of what it says.
            pub fn with(&self, terms: &RolloutTerms) -> Self {
                Self { $($field: terms.$field.clone().unwrap_or_else(|| self.$field.clone()),)* }
            }
        }
    };
}

terms! {
    /// See [`Rollout::at_once`].
    at_once: Share,
    /// See [`Rollout::canary`].
    canary: u32,
    /// See [`Rollout::rings`].
    rings: Vec<Ring>,
    /// See [`Rollout::bake_minutes`].
    bake_minutes: u32,
    /// See [`Rollout::advance`].
    advance: Advance,
    /// See [`Rollout::min_healthy`].
    min_healthy: Share,
    /// See [`Rollout::failure_budget`].
    failure_budget: Share,
    /// See [`Rollout::progress_minutes`].
    progress_minutes: u32,
    /// See [`Rollout::on_failure`].
    on_failure: OnFailure,
}

impl Rollout {
    /// What is wrong with it, if it can never go anywhere or contradicts itself.
    pub fn mistake(&self) -> Option<String> {
        let mut seen: Vec<&Ring> = Vec::new();
        for ring in &self.rings {
            if seen.contains(&ring) {
                return Some(format!("the ring {ring} stands twice"));
            }
            if seen.contains(&&Ring::Rest) {
                return Some(format!("the ring {ring} comes after the rest, which is everyone who is left"));
            }
            seen.push(ring);
        }
        let has_rings = self.canary > 0 || self.rings.iter().any(|ring| *ring != Ring::Rest);
        if self.at_once == Share::Count(0) {
            return Some("none at once goes nowhere: say \"all\" for all".into());
        }
        if self.rings.len() > MAX_RINGS {
            return Some(format!("there are at most {MAX_RINGS} rings"));
        }
        if self.bake_minutes > MAX_BAKE_MINUTES {
            return Some(format!("bake_minutes is at most {MAX_BAKE_MINUTES}: a week"));
        }
        if !(1..=MAX_PROGRESS_MINUTES).contains(&self.progress_minutes) {
            return Some(format!("progress_minutes is from 1 to {MAX_PROGRESS_MINUTES}"));
        }
        if !has_rings && (self.bake_minutes > 0 || self.advance == Advance::Hand) {
            let why = "a deployment bakes and waits between rings, and there are none: say canary or rings (what it does \
                       at its end is soak_minutes)";
            return Some(why.into());
        }
        if matches!(self.min_healthy, Share::All | Share::Percent(100)) {
            return Some("if all targets must go on serving, none can ever change".into());
        }
        None
    }

    /// What of it is less careful than `charter` asks for, where it goes over `targets`.
    pub fn eased(&self, charter: &Rollout, targets: usize) -> Vec<Eased> {
        let mut eased = Vec::new();
        let mut say = |is_less: bool, what: &'static str, charter: &dyn fmt::Display, own: &dyn fmt::Display| {
            if is_less {
                eased.push(Eased { what, own: own.to_string(), charter: charter.to_string() });
            }
        };
        let wide = |share: Share| share.at_most(targets).max(1);
        say(wide(self.at_once) > wide(charter.at_once), "at_once", &charter.at_once, &self.at_once);
        say(self.canary < charter.canary, "canary", &charter.canary, &self.canary);
        let rings = |rings: &[Ring]| rings.iter().map(Ring::to_string).collect::<Vec<_>>().join(", ");
        let drops_rings = !charter.rings.is_empty() && self.rings != charter.rings;
        let own = if self.rings.is_empty() { "none".into() } else { rings(&self.rings) };
        say(drops_rings, "rings", &rings(&charter.rings), &own);
        say(self.bake_minutes < charter.bake_minutes, "bake_minutes", &charter.bake_minutes, &self.bake_minutes);
        let by_itself = self.advance == Advance::Health && charter.advance == Advance::Hand;
        say(by_itself, "advance", &"hand", &"health");
        let kept = |share: Share| share.at_least(targets);
        say(kept(self.min_healthy) < kept(charter.min_healthy), "min_healthy", &charter.min_healthy, &self.min_healthy);
        let lost = |share: Share| share.at_most(targets);
        say(
            lost(self.failure_budget) > lost(charter.failure_budget),
            "failure_budget",
            &charter.failure_budget,
            &self.failure_budget,
        );
        say(self.on_failure > charter.on_failure, "on_failure", &charter.on_failure.word(), &self.on_failure.word());
        eased
    }
}

/// Something that is less careful than the charter asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eased {
    /// Which of [`RolloutTerms::NAMES`].
    pub what: &'static str,
    /// How it is to be.
    pub own: String,
    /// How the charter says it.
    pub charter: String,
}

impl fmt::Display for Eased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} where it says {}", self.what, self.own, self.charter)
    }
}

impl OnFailure {
    /// It in a word.
    pub fn word(self) -> &'static str {
        match self {
            OnFailure::Undo => "undo",
            OnFailure::Pause => "pause",
            OnFailure::Stop => "stop",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> RolloutTerms {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn shares_are_numbers_percentages_or_all() {
        let share = |text: &str| terms(&format!("at_once = {text}")).at_once.unwrap();
        assert_eq!((share("3"), share("\"25%\""), share("\"all\"")), (Share::Count(3), Share::Percent(25), Share::All));
        assert_eq!((Share::Percent(25).at_most(10), Share::Percent(25).at_least(10)), (2, 3));
        assert_eq!((Share::Count(3).at_most(2), Share::All.at_least(7)), (2, 7));
        for wrong in ["\"101%\"", "\"0%\"", "-1", "\"some\"", "1.5", "4294967296"] {
            assert!(toml::from_str::<RolloutTerms>(&format!("at_once = {wrong}")).is_err(), "{wrong}");
        }
        for text in ["3", "25%", "all"] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_goes_nowhere_is_a_mistake() {
        let mistake = |text: &str| Rollout::default().with(&terms(text)).mistake();
        for good in [
            "",
            "canary = 1\nbake_minutes = 10",
            "rings = [\"ring=early\", \"rest\"]\nadvance = \"hand\"",
            "min_healthy = \"99%\"",
        ] {
            assert_eq!(mistake(good), None, "{good}");
        }
        for (bad, expected) in [
            ("at_once = 0", "goes nowhere"),
            ("bake_minutes = 10", "between rings"),
            ("rings = [\"rest\"]\nadvance = \"hand\"", "between rings"),
            ("rings = [\"rest\", \"ring=early\"]", "after the rest"),
            ("rings = [\"a=b\", \"a=b\"]", "twice"),
            ("min_healthy = \"all\"", "none can ever change"),
            ("progress_minutes = 0", "progress_minutes"),
            ("canary = 1\nbake_minutes = 20000", "a week"),
        ] {
            assert!(mistake(bad).unwrap_or_default().contains(expected), "{bad}: {:?}", mistake(bad));
        }
    }

    #[test]
    fn less_care_is_told_from_more() {
        let charter = Rollout::default().with(&terms(
            "at_once = \"20%\"\ncanary = 1\nbake_minutes = 10\nmin_healthy = \"80%\"\nfailure_budget = 1",
        ));
        let eased = |text: &str| -> Vec<String> {
            charter.with(&terms(text)).eased(&charter, 10).iter().map(Eased::to_string).collect()
        };
        for more in [
            "at_once = 2",
            "at_once = 1",
            "canary = 2",
            "bake_minutes = 60",
            "advance = \"hand\"",
            "failure_budget = 0",
        ] {
            assert_eq!(eased(more), Vec::<String>::new(), "{more}");
        }
        assert_eq!(eased("at_once = 3"), ["at_once 3 where it says 20%"]);
        assert_eq!(
            eased("canary = 0\nbake_minutes = 5\nmin_healthy = 7\nfailure_budget = \"20%\"\non_failure = \"pause\"")
                .len(),
            5
        );
        let ringed = charter.with(&terms("rings = [\"ring=early\"]\nadvance = \"hand\""));
        let other = charter.with(&terms("rings = [\"ring=late\"]"));
        assert_eq!(
            other.eased(&ringed, 10).iter().map(Eased::to_string).collect::<Vec<_>>(),
            ["rings ring=late where it says ring=early", "advance health where it says hand"]
        );
    }
}
