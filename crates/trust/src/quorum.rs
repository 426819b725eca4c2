//! Who must agree: the words of a charter's rules, and the one count of distinct people.
//!
//! `"qa and ops"` wants a person in each role, two distinct people; `"qa or ops"` wants any one; `"2 ops"` wants two.
//! `and` binds closer than `or`. [`Rule::judge`] is the only function in Sortie that counts signatures toward a
//! threshold. It counts persons, not keys, and one person fills one place only.

use crate::{
    key::{KeyId, PublicKey},
    names::{PersonName, RoleName, printable},
    oidc::Oidc,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// A rule such as `qa and ops`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    /// Any one of these suffices; each wants `count` distinct people in each of its roles.
    alternatives: Vec<Vec<Place>>,
}

/// So many people in a role.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    count: u32,
    role: RoleName,
}

/// Why a text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a rule: {why}. Write for example \"qa and ops\", \"developer or ci\", \"2 ops\"")]
pub struct RuleError {
    text: String,
    why: &'static str,
}

/// A role that is still wanted, and how many people of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// The role.
    pub role: RoleName,
    /// How many more people in it.
    pub count: u32,
}

/// What [`Rule::judge`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The distinct people whose keys were given.
    pub people: BTreeSet<PersonName>,
    /// What the alternative nearest to being met still lacks; empty when the rule is met.
    pub lacks: Vec<Lack>,
}

impl Judgement {
    /// Whether the rule is met.
    pub fn is_met(&self) -> bool {
        self.lacks.is_empty()
    }
}

/// Whose key is whose, and who holds which role, under one charter and root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    keys: BTreeMap<KeyId, PublicKey>,
    /// The keys that were declared to be held in hardware.
    in_hardware: BTreeSet<KeyId>,
    holders: BTreeMap<KeyId, PersonName>,
    /// Robots for whom tokens speak. Such a signature stands under the id of the issuer's key.
    tokens: BTreeMap<PersonName, Oidc>,
    roles: BTreeMap<PersonName, BTreeSet<RoleName>>,
}

/// A key that would belong to two people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("one key is listed under both {first} and {second}: a key belongs to one person")]
pub struct SharedKeyError {
    /// Who had it first.
    pub first: PersonName,
    /// Who had it next.
    pub second: PersonName,
}

impl Directory {
    /// Adds a person's key and roles.
    pub fn add(
        &mut self,
        person: &PersonName,
        key: Option<PublicKey>,
        roles: impl IntoIterator<Item = RoleName>,
    ) -> Result<(), SharedKeyError> {
        if let Some(key) = key {
            // One key may be written as two kinds, with two ids: whoever holds it could sign as both.
            let same = |(_, other): &(&KeyId, &PublicKey)| other.point() == key.point();
            let mut holders = self.keys.iter().filter(same).filter_map(|(id, _)| self.holders.get(id));
            if let Some(first) = holders.find(|holder| *holder != person) {
                return Err(SharedKeyError { first: first.clone(), second: person.clone() });
            }
            let id = key.id();
            self.add_id(person, id, [])?;
            self.keys.insert(id, key);
        }
        self.roles.entry(person.clone()).or_default().extend(roles);
        Ok(())
    }

    /// Adds a robot for whom an issuer's tokens speak.
    pub fn add_tokens(
        &mut self,
        robot: &PersonName,
        oidc: &Oidc,
        roles: impl IntoIterator<Item = RoleName>,
    ) -> Result<(), SharedKeyError> {
        for id in oidc.ids(robot) {
            self.add_id(robot, id, [])?;
        }
        self.tokens.insert(robot.clone(), oidc.clone());
        self.roles.entry(robot.clone()).or_default().extend(roles);
        Ok(())
    }

    /// The robots for whom tokens speak.
    pub fn tokens(&self) -> impl Iterator<Item = (&PersonName, &Oidc)> {
        self.tokens.iter()
    }

    /// Declares that a key is held in hardware, which its bits do not show.
    pub fn declare_in_hardware(&mut self, key: KeyId) {
        self.in_hardware.insert(key);
    }

    /// Whether a key is held in hardware: a security key, or one that was declared to be.
    pub fn is_in_hardware(&self, id: &KeyId) -> bool {
        self.key(id).is_some_and(|key| key.is_security_key() || self.in_hardware.contains(id))
    }

    /// As [`Self::add`], for a key that the caller verifies with: only its id is known here.
    pub fn add_id(
        &mut self,
        person: &PersonName,
        key: KeyId,
        roles: impl IntoIterator<Item = RoleName>,
    ) -> Result<(), SharedKeyError> {
        if let Some(first) = self.holders.get(&key)
            && first != person
        {
            return Err(SharedKeyError { first: first.clone(), second: person.clone() });
        }
        self.holders.insert(key, person.clone());
        self.roles.entry(person.clone()).or_default().extend(roles);
        Ok(())
    }

    /// Forgets a person and every key of theirs.
    pub fn remove(&mut self, person: &PersonName) {
        self.keys.retain(|id, _| self.holders.get(id) != Some(person));
        self.holders.retain(|_, holder| holder != person);
        self.tokens.remove(person);
        self.roles.remove(person);
    }

    /// The key with this id.
    pub fn key(&self, id: &KeyId) -> Option<PublicKey> {
        self.keys.get(id).copied()
    }

    /// The person whose key this is.
    pub fn person(&self, id: &KeyId) -> Option<&PersonName> {
        self.holders.get(id)
    }

    /// The ids of a person's keys.
    pub fn keys_of(&self, person: &PersonName) -> BTreeSet<KeyId> {
        self.holders.iter().filter(|(_, holder)| *holder == person).map(|(id, _)| *id).collect()
    }

    /// The roles a person holds.
    pub fn roles(&self, person: &PersonName) -> BTreeSet<RoleName> {
        self.roles.get(person).cloned().unwrap_or_default()
    }

    /// Everyone who holds `role`.
    pub fn holders(&self, role: &RoleName) -> Vec<&PersonName> {
        self.roles.iter().filter(|(_, roles)| roles.contains(role)).map(|(person, _)| person).collect()
    }
}

impl Rule {
    /// `count` people holding `role`.
    pub fn people_in(count: u32, role: RoleName) -> Self {
        Rule { alternatives: vec![vec![Place { count, role }]] }
    }

    /// Every role the rule mentions, in order, once each.
    pub fn roles(&self) -> Vec<RoleName> {
        let mut roles = Vec::new();
        for place in self.alternatives.iter().flatten() {
            if !roles.contains(&place.role) {
                roles.push(place.role.clone());
            }
        }
        roles
    }

    /// Whether one person holding `roles` satisfies the rule alone.
    pub fn allows_alone(&self, roles: &BTreeSet<RoleName>) -> bool {
        self.alternatives.iter().any(|places| match places.as_slice() {
            [place] => place.count == 1 && roles.contains(&place.role),
            _ => false,
        })
    }

    /// THE count: maps each key to its person, and finds for each alternative the most places that distinct people
    /// can fill, one place a person. `keys` must be keys whose signatures were already found genuine.
    pub fn judge(&self, keys: impl IntoIterator<Item = KeyId>, directory: &Directory) -> Judgement {
        let people: BTreeSet<PersonName> = keys.into_iter().filter_map(|id| directory.person(&id).cloned()).collect();
        let candidates: Vec<BTreeSet<RoleName>> = people.iter().map(|person| directory.roles(person)).collect();
        let lacks = self
            .alternatives
            .iter()
            .map(|places| lacks(places, &candidates))
            .min_by_key(|lacks| lacks.iter().map(|lack| lack.count).sum::<u32>())
            .unwrap_or_default();
        Judgement { people, lacks }
    }
}

/// What `places` lack when filled as well as `candidates` (one set of roles a person) can: a maximum bipartite matching.
fn lacks(places: &[Place], candidates: &[BTreeSet<RoleName>]) -> Vec<Lack> {
    let slots: Vec<&RoleName> =
        places.iter().flat_map(|place| std::iter::repeat_n(&place.role, place.count as usize)).collect();
    let mut holder_of: Vec<Option<usize>> = vec![None; slots.len()];
    for candidate in 0..candidates.len() {
        seat(candidate, &slots, candidates, &mut holder_of, &mut vec![false; slots.len()]);
    }
    let mut lacks: Vec<Lack> = Vec::new();
    for (slot, _) in slots.iter().zip(&holder_of).filter(|(_, holder)| holder.is_none()) {
        match lacks.iter_mut().find(|lack| lack.role == **slot) {
            Some(lack) => lack.count += 1,
            None => lacks.push(Lack { role: (*slot).clone(), count: 1 }),
        }
    }
    lacks
}

/// Seats a candidate in a free slot of a role they hold, moving others along where that makes room.
fn seat(
    candidate: usize,
    slots: &[&RoleName],
    candidates: &[BTreeSet<RoleName>],
    holder_of: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for slot in 0..slots.len() {
        if tried[slot] || !candidates[candidate].contains(slots[slot]) {
            continue;
        }
        tried[slot] = true;
        let free = match holder_of[slot] {
            None => true,
            Some(other) => seat(other, slots, candidates, holder_of, tried),
        };
        if free {
            holder_of[slot] = Some(candidate);
            return true;
        }
    }
    false
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let fail = |why| RuleError { text: printable(text), why };
        let mut alternatives = vec![vec![]];
        let mut words = text.split_whitespace().peekable();
        loop {
            let mut word = words.next().ok_or_else(|| fail("a role is missing"))?;
            let mut count = 1;
            if let Ok(number) = word.parse::<u32>() {
                if !(1..=16).contains(&number) {
                    return Err(fail("a number of people is from 1 to 16"));
                }
                count = number;
                word = words.next().ok_or_else(|| fail("a role is missing after the number"))?;
            }
            if matches!(word, "and" | "or") {
                return Err(fail("a role is missing"));
            }
            let role = RoleName::new(word).map_err(|_| fail("a role is a lower-case word"))?;
            if let Some(last) = alternatives.last_mut() {
                last.push(Place { count, role });
            }
            match words.next() {
                None => return Ok(Rule { alternatives }),
                Some("and") => {}
                Some("or") => alternatives.push(vec![]),
                Some(_) => return Err(fail("between roles stands 'and' or 'or'")),
            }
        }
    }
}

impl TryFrom<String> for Rule {
    type Error = RuleError;
    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> String {
        rule.to_string()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, places) in self.alternatives.iter().enumerate() {
            if i > 0 {
                f.write_str(" or ")?;
            }
            for (j, place) in places.iter().enumerate() {
                if j > 0 {
                    f.write_str(" and ")?;
                }
                match place.count {
                    1 => write!(f, "{}", place.role)?,
                    n => write!(f, "{n} {}", place.role)?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{SecretKey, Signer};

    fn directory(people: &[(&str, &[u8], &[&str])]) -> Directory {
        let mut directory = Directory::default();
        for (person, seeds, roles) in people {
            let person = PersonName::new(person).unwrap();
            for seed in *seeds {
                let key = SecretKey::from_seed(&[*seed; 32]).public();
                directory.add(&person, Some(key), roles.iter().map(|r| RoleName::new(r).unwrap())).unwrap();
            }
        }
        directory
    }

    fn judge(rule: &str, people: &[(&str, &[u8], &[&str])], seeds: &[u8]) -> Vec<String> {
        let keys = seeds.iter().map(|seed| SecretKey::from_seed(&[*seed; 32]).public().id());
        let judgement = rule.parse::<Rule>().unwrap().judge(keys, &directory(people));
        judgement.lacks.iter().map(|lack| format!("{} {}", lack.count, lack.role)).collect()
    }

    #[test]
    fn r52_distinct_people_in_different_roles() {
        let people: &[(&str, &[u8], &[&str])] =
            &[("ann", &[1, 2], &["qa", "ops"]), ("ben", &[3], &["qa"]), ("cat", &[4], &["ops"])];
        assert_eq!(judge("qa and ops", people, &[3]), ["1 ops"]);
        assert_eq!(judge("qa and ops", people, &[3, 3]), ["1 ops"]);
        assert!(judge("qa and ops", people, &[3, 4]).is_empty());
        // Ann holds both roles and two keys, and is still one person.
        assert_eq!(judge("qa and ops", people, &[1, 2]).len(), 1);
        // Ann must move over to ops for Ben to count as qa, in either order.
        assert!(judge("qa and ops", people, &[1, 3]).is_empty());
        assert!(judge("qa and ops", people, &[3, 1]).is_empty());
        assert_eq!(judge("2 ops", people, &[4]), ["1 ops"]);
        assert!(judge("2 ops", people, &[4, 1]).is_empty());
        assert!(judge("2 ops or qa", people, &[3]).is_empty());
        // A key nobody holds counts for nobody.
        assert_eq!(judge("qa", people, &[9]), ["1 qa"]);
    }

    #[test]
    fn a_key_belongs_to_one_person() {
        let mut directory = directory(&[("ann", &[1], &["qa"])]);
        let key = SecretKey::from_seed(&[1; 32]).public();
        assert!(directory.add(&PersonName::new("ben").unwrap(), Some(key), []).is_err());
    }

    #[test]
    fn rules_read_back_as_written_and_nonsense_is_refused() {
        for text in ["qa and ops", "developer or ci", "2 ops", "qa and 2 ops or owner"] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for bad in ["", "and", "qa and", "qa ops", "0 ops", "99 ops", "QA", "2", "qa or or ops"] {
            assert!(bad.parse::<Rule>().is_err(), "{bad:?} was taken");
        }
    }
}
