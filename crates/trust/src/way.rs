//! The ways by which an audience may be released to: the normal one, and `hotfix` and `break-glass` where the charter has
//! them. What a way waives is a closed list of words: nothing on it is a push signature, integrity, platform or withdrawal.

use crate::{
    charter::Audience,
    digest::Digest,
    names::{AppName, PersonName, TargetName, printable},
    quorum::Rule,
    statement::Request,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// The longest life a charter may give the permits of a way, in hours: what takes longer is no emergency.
pub const MAX_HOURS: u32 = 720;

/// By which rule a release is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The audience's own rule, with all its gates.
    #[default]
    Normal,
    /// An urgent repair.
    Hotfix,
    /// The house is on fire.
    BreakGlass,
}

impl Way {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Way::Normal => "normal",
            Way::Hotfix => "hotfix",
            Way::BreakGlass => "break-glass",
        }
    }

    /// Whether it is the normal one.
    pub fn is_normal(&self) -> bool {
        *self == Way::Normal
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is no way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no way: there are hotfix and break-glass, where the charter has them")]
pub struct UnknownWay(String);

impl FromStr for Way {
    type Err = UnknownWay;

    fn from_str(text: &str) -> Result<Self, UnknownWay> {
        let all = [Way::Normal, Way::Hotfix, Way::BreakGlass];
        all.into_iter().find(|way| way.word() == text).ok_or_else(|| UnknownWay(printable(text)))
    }
}

/// A gate that a way may leave open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Waiver {
    /// The environment that comes first.
    After,
    /// Freezes.
    Freezes,
    /// Windows.
    Windows,
    /// Evidence of one type.
    Evidence(String),
}

impl fmt::Display for Waiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiver::After => f.write_str("after"),
            Waiver::Freezes => f.write_str("freezes"),
            Waiver::Windows => f.write_str("windows"),
            Waiver::Evidence(kind) => write!(f, "evidence:{kind}"),
        }
    }
}

impl TryFrom<String> for Waiver {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "after" => Ok(Waiver::After),
            None if text == "freezes" => Ok(Waiver::Freezes),
            None if text == "windows" => Ok(Waiver::Windows),
            Some(("evidence", kind)) if !kind.is_empty() => Ok(Waiver::Evidence(kind.into())),
            _ => Err(format!(
                "'{}' cannot be waived: a way may waive \"after\", \"evidence:TYPE\", \"freezes\" and \"windows\", and never a \
                 signature, a digest, a platform or a withdrawal",
                printable(&text)
            )),
        }
    }
}

impl From<Waiver> for String {
    fn from(waiver: Waiver) -> String {
        waiver.to_string()
    }
}

/// What the charter says of a way.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WayRule {
    /// Who must agree.
    pub approve: Rule,
    /// The gates it leaves open.
    #[serde(default)]
    pub waives: BTreeSet<Waiver>,
    /// The longest life of its permits.
    pub hours: u32,
    /// The only targets it reaches; empty means all.
    #[serde(default)]
    pub targets: BTreeSet<TargetName>,
    /// Whether requester and pusher count as approvers: so that one person on call can act alone, and be reviewed later.
    #[serde(default)]
    pub approve_own: bool,
}

impl WayRule {
    /// Whether the gate is left open.
    pub fn waives(&self, gate: &Waiver) -> bool {
        self.waives.contains(gate)
    }

    /// Whether it reaches the target.
    pub fn reaches(&self, target: &TargetName) -> bool {
        self.targets.is_empty() || self.targets.contains(target)
    }

    /// `after, evidence:scan`, or `nothing`.
    pub fn waives_in_words(&self) -> String {
        if self.waives.is_empty() {
            return "nothing".into();
        }
        self.waives.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// What a release by one way must satisfy.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Who must agree; absent in class dev where the charter asks for nobody.
    pub approve: Option<&'a Rule>,
    /// Whether requester and pusher do not count as approvers.
    pub excludes_author: bool,
    /// What the charter says of the way, where it is not the normal one.
    pub rule: Option<&'a WayRule>,
}

impl<'a> Audience<'a> {
    /// What a release by `way` must satisfy; nothing where the charter does not have that way for the audience.
    pub fn terms(&self, way: Way) -> Option<Terms<'a>> {
        if way.is_normal() {
            return Some(Terms { approve: self.approve, excludes_author: self.excludes_author, rule: None });
        }
        let rule = self.ways.get(&way)?;
        let excludes_author = self.excludes_author && !rule.approve_own;
        Some(Terms { approve: Some(&rule.approve), excludes_author, rule: Some(rule) })
    }

    /// The rules of all ways, the normal one first.
    pub fn rules(&self) -> impl Iterator<Item = &'a Rule> {
        self.approve.into_iter().chain(self.ways.values().map(|way| &way.approve))
    }
}

impl Terms<'_> {
    /// Whether the gate is left open.
    pub fn waives(&self, gate: &Waiver) -> bool {
        self.rule.is_some_and(|rule| rule.waives(gate))
    }

    /// Whether a permit reaches the target.
    pub fn reaches(&self, target: &TargetName) -> bool {
        self.rule.is_none_or(|rule| rule.reaches(target))
    }

    /// Whether a permit that holds between these moments lives longer than the way allows.
    pub fn outlives(&self, not_before: Timestamp, not_after: Timestamp) -> bool {
        let longest = |rule: &WayRule| SignedDuration::from_hours(i64::from(rule.hours));
        self.rule.is_some_and(|rule| not_after.duration_since(not_before) > longest(rule))
    }
}

/// An emergency permit that was found to hold. Agents keep them for ever, so that whoever gave one cannot prolong it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptEmergency {
    /// The application.
    pub app: AppName,
    /// The build.
    pub build: Digest,
    /// By which way.
    pub way: Way,
    /// The digest of the signed request.
    pub request: Digest,
    /// Who asked for it, and who agreed.
    pub people: BTreeSet<PersonName>,
}

impl KeptEmergency {
    /// Whether a request by `requester` would prolong this one by the hand of somebody who gave it (a further request
    /// must be made by someone else).
    pub fn bars(&self, app: &AppName, build: &Digest, way: Way, request: &Digest, requester: &PersonName) -> bool {
        let same_matter = self.app == *app && self.build == *build && self.way == way;
        same_matter && self.request != *request && self.people.contains(requester)
    }
}

/// Why a way's rule in the charter cannot be.
pub(crate) fn validate(audience: &Audience<'_>) -> Result<(), String> {
    if audience.approve.is_none() && !audience.ways.is_empty() {
        return Err("it asks nobody for approval, so it needs no other way".into());
    }
    for (way, rule) in audience.ways {
        if way.is_normal() {
            return Err("the normal way is what the audience itself says; ways are hotfix and break-glass".into());
        }
        if !(1..=MAX_HOURS).contains(&rule.hours) {
            return Err(format!("{way}: hours is from 1 to {MAX_HOURS}"));
        }
        if audience.class.is_none() && !rule.targets.is_empty() {
            return Err(format!("{way} names targets, and a channel has none"));
        }
        let waits = [Waiver::Freezes, Waiver::Windows];
        if let Some(waiver) = waits.iter().find(|waiver| audience.class.is_none() && rule.waives(waiver)) {
            return Err(format!("{way} waives {waiver}, and a channel has none"));
        }
        if rule.waives(&Waiver::Windows) && audience.windows.is_empty() {
            return Err(format!("{way} waives windows, and there are none"));
        }
        for waiver in &rule.waives {
            if let Waiver::Evidence(kind) = waiver
                && !audience.evidence.contains_key(kind)
            {
                return Err(format!("{way} waives evidence:{}, which is not asked for there", printable(kind)));
            }
        }
    }
    Ok(())
}

impl Request {
    /// Whether it was asked for by another way than the normal one.
    pub fn is_emergency(&self) -> bool {
        !self.way.is_normal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gate_that_a_way_may_leave_open_stands_in_the_page_on_emergencies() {
        let page = include_str!("../../../docs/emergencies.md");
        for waiver in [Waiver::After, Waiver::Freezes, Waiver::Windows, Waiver::Evidence("TYPE".into())] {
            assert!(page.contains(&format!("`{waiver}`")), "{waiver} is not in it");
            assert_eq!(Waiver::try_from(waiver.to_string()), Ok(waiver));
        }
    }
}
