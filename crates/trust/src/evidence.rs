//! Whether a gate's evidence is there: the one evaluation, used by the server when it decides and by the agent when it
//! checks, so that the two can never disagree (R33, R51). Time comes in.

use crate::{
    digest::Digest,
    names::{PersonName, printable},
    quorum::Rule,
};
use jiff::{SignedDuration, Timestamp};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor},
};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// The longest document that stands as evidence, in bytes: room for the test results of a large suite.
pub const MAX_DOCUMENT_BYTES: u64 = 64 << 20;
/// The most numbers one piece of evidence carries.
pub const MAX_FACTS: usize = 64;
/// The longest name of such a number, and of a predicate type, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The longest age a gate may allow, in days.
pub const MAX_AGE_DAYS: u32 = 3650;
/// How far ahead an issuer's clock may be.
pub const CLOCK_MARGIN: SignedDuration = SignedDuration::from_mins(10);

/// What an audience asks of one type of evidence. `scan = "ci"` names the issuers alone; a table says more.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// Who may issue it.
    pub from: Rule,
    /// The predicate type that the document must have; any where none is named.
    pub predicate: Option<String>,
    /// What must hold.
    pub pass: Pass,
    /// How many days old it may be; any age where none is said.
    pub max_age_days: Option<u32>,
    /// Whether it counts from whoever pushed the build.
    pub pusher: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    from: Rule,
    #[serde(default)]
    predicate: Option<String>,
    #[serde(default)]
    pass: Pass,
    #[serde(default)]
    max_age_days: Option<u32>,
    #[serde(default = "yes")]
    pusher: bool,
}

fn yes() -> bool {
    true
}

impl<'de> Deserialize<'de> for Gate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Gate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rule such as \"ci\", or a table such as { from = \"ci\", max_age_days = 30 }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Gate, E> {
                let from = text.parse().map_err(E::custom)?;
                Ok(Gate { from, predicate: None, pass: Pass::default(), max_age_days: None, pusher: true })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Gate, A::Error> {
                let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let Table { from, predicate, pass, max_age_days, pusher } = table;
                if max_age_days.is_some_and(|days| !(1..=MAX_AGE_DAYS).contains(&days)) {
                    return Err(de::Error::custom(format!("max_age_days is from 1 to {MAX_AGE_DAYS}")));
                }
                Ok(Gate { from, predicate, pass, max_age_days, pusher })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// What evidence must say: `passed`, or comparisons of whole numbers in it: `critical <= 0 and failed = 0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass(Vec<Condition>);

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// Its issuer says that all is well.
    Passed,
    /// A number of it compares like this.
    Number { name: String, comparison: Comparison, value: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    AtMost,
    AtLeast,
}

impl Condition {
    /// Whether whatever meets this meets `other` too.
    fn implies(&self, other: &Condition) -> bool {
        use Comparison::{AtLeast, AtMost, Equal};
        match (self, other) {
            (Condition::Passed, Condition::Passed) => true,
            (Condition::Passed, Condition::Number { .. }) | (Condition::Number { .. }, Condition::Passed) => false,
            (
                Condition::Number { name, comparison, value },
                Condition::Number { name: wanted, comparison: other, value: limit },
            ) => {
                name == wanted
                    && match (comparison, other) {
                        (Equal, _) => other.holds(*value, *limit),
                        (AtMost, AtMost) => value <= limit,
                        (AtLeast, AtLeast) => value >= limit,
                        (AtMost, Equal | AtLeast) | (AtLeast, Equal | AtMost) => false,
                    }
            }
        }
    }
}

impl Comparison {
    fn word(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::AtMost => "<=",
            Comparison::AtLeast => ">=",
        }
    }

    fn holds(self, found: i64, value: i64) -> bool {
        match self {
            Comparison::Equal => found == value,
            Comparison::AtMost => found <= value,
            Comparison::AtLeast => found >= value,
        }
    }
}

impl Default for Pass {
    fn default() -> Self {
        Pass(vec![Condition::Passed])
    }
}

impl Pass {
    /// The numbers that must be known.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|condition| match condition {
            Condition::Passed => None,
            Condition::Number { name, .. } => Some(name.as_str()),
        })
    }

    /// Whether whatever passes this passes `other` too.
    pub fn implies(&self, other: &Pass) -> bool {
        other.0.iter().all(|wanted| self.0.iter().any(|given| given.implies(wanted)))
    }

    /// The first condition that does not hold, in words.
    fn broken(&self, piece: &Piece<'_>) -> Option<String> {
        self.0.iter().find_map(|condition| match condition {
            Condition::Passed => (!piece.passed).then(|| "it says that it failed".into()),
            Condition::Number { name, comparison, value } => match piece.facts.get(name) {
                Some(found) if comparison.holds(*found, *value) => None,
                Some(found) => Some(format!("{condition} does not hold: {name} is {found}")),
                None => Some(format!("it does not say {}", printable(name))),
            },
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Passed => f.write_str("passed"),
            Condition::Number { name, comparison, value } => write!(f, "{name} {} {value}", comparison.word()),
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&words.join(" and "))
    }
}

impl FromStr for Pass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let condition = |text: &str| {
            let words: Vec<&str> = text.split_whitespace().collect();
            let wrong = || {
                format!(
                    "'{}' is no condition: write \"passed\", or compare a whole number: \"critical <= 0\", \"failed = 0\"",
                    printable(text)
                )
            };
            let [name, comparison, value] = words.as_slice() else {
                return if words == ["passed"] { Ok(Condition::Passed) } else { Err(wrong()) };
            };
            let comparison = match *comparison {
                "=" => Comparison::Equal,
                "<=" => Comparison::AtMost,
                ">=" => Comparison::AtLeast,
                _ => return Err(wrong()),
            };
            let value = value.parse().map_err(|_| wrong())?;
            Ok(Condition::Number { name: (*name).into(), comparison, value })
        };
        text.split(" and ").map(condition).collect::<Result<_, _>>().map(Pass)
    }
}

impl<'de> Deserialize<'de> for Pass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// One piece of evidence of the gate's type about the build in question, whose signature was found genuine.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The predicate type of its document.
    pub predicate: Option<&'a str>,
    /// What its issuer says.
    pub passed: bool,
    /// The whole numbers in it.
    pub facts: &'a BTreeMap<String, i64>,
    /// When it was issued, by the issuer's clock; absent in those from before that was said.
    pub issued: Option<Timestamp>,
    /// Whether its issuer is one whom the gate names.
    pub by_issuer: bool,
    /// Whether its issuer pushed the build.
    pub by_pusher: bool,
}

/// Why a gate's evidence does not suffice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Shortfall {
    /// There is none by anybody who may issue it.
    #[error("nobody who may has attached any")]
    Absent,
    /// There was some, by a key that counts no more. Only the server can say so: whoever does not know the key cannot tell
    /// what it signed from anybody's.
    #[error("{issuer} attached some, and that key has left the charter, or its holder is suspended")]
    KeyLeft {
        /// Whose key it was.
        issuer: PersonName,
        /// The name of what it signed, by which owners may uphold it.
        statement: Option<Digest>,
    },
    /// It is by whoever pushed the build.
    #[error("it is by whoever pushed the build, who does not count here")]
    ByPusher,
    /// It is of another predicate type.
    #[error("it is of predicate type {}, not {wanted}", found.as_deref().unwrap_or("unknown"))]
    OtherPredicate {
        /// The type it has.
        found: Option<String>,
        /// The type that is wanted.
        wanted: String,
    },
    /// The newest does not say what it must.
    #[error("{0}", why)]
    NotPassed {
        /// Which condition does not hold.
        why: String,
    },
    /// The newest is too old, or from the future.
    #[error("it is more than {max_age_days} days old, or does not say when it was issued")]
    TooOld {
        /// How old it may be.
        max_age_days: u32,
    },
}

/// The index of the piece that opens the gate: the newest by anybody who may issue it, if it says what it must and is not
/// too old at `now`. Without `now`, age is not looked at: going back activates nothing new. `pieces` stand in the order in
/// which they came; those that say when they were issued are ordered by that.
pub fn judge(gate: &Gate, pieces: &[Piece<'_>], now: Option<Timestamp>) -> Result<usize, Shortfall> {
    let counts = |piece: &Piece<'_>| shortcoming(gate, piece).is_none();
    let newest = pieces.iter().enumerate().filter(|(_, piece)| counts(piece)).max_by_key(|(at, p)| (p.issued, *at));
    let Some((at, piece)) = newest else {
        return Err(pieces.iter().rev().find_map(|piece| shortcoming(gate, piece)).unwrap_or(Shortfall::Absent));
    };
    if let Some(why) = gate.pass.broken(piece) {
        return Err(Shortfall::NotPassed { why });
    }
    if let (Some(max_age_days), Some(now)) = (gate.max_age_days, now) {
        let longest = SignedDuration::from_hours(24 * i64::from(max_age_days));
        let age = piece.issued.map(|issued| now.duration_since(issued));
        if !age.is_some_and(|age| age <= longest && age >= -CLOCK_MARGIN) {
            return Err(Shortfall::TooOld { max_age_days });
        }
    }
    Ok(at)
}

/// Why a piece does not count for the gate at all, whatever it says.
fn shortcoming(gate: &Gate, piece: &Piece<'_>) -> Option<Shortfall> {
    if !piece.by_issuer {
        return Some(Shortfall::Absent);
    }
    if piece.by_pusher && !gate.pusher {
        return Some(Shortfall::ByPusher);
    }
    match &gate.predicate {
        Some(wanted) if piece.predicate != Some(wanted.as_str()) => {
            Some(Shortfall::OtherPredicate { found: piece.predicate.map(printable), wanted: wanted.clone() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_read_back_as_written_and_nonsense_is_refused() {
        for text in ["passed", "failed = 0", "critical <= 0 and high <= 5", "passed and covered >= 80"] {
            assert_eq!(text.parse::<Pass>().unwrap().to_string(), text);
        }
        for bad in ["", "fine", "critical < 1", "critical <= none", "critical <= 0.5", "a b c d", "passed and"] {
            assert!(bad.parse::<Pass>().is_err(), "{bad:?} was taken");
        }
    }
}
