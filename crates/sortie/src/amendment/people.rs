//! People, robots and customers: their roles, their keys, and whose tokens speak for them.

use super::Amendment;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    PersonName, RoleName,
    charter::{HeldKey, Person},
    oidc::Oidc,
};

fn in_words(roles: &BTreeSet<RoleName>) -> String {
    roles.iter().map(RoleName::to_string).collect::<Vec<_>>().join(", ")
}

impl Amendment {
    pub(super) fn compare_people(
        &mut self,
        kind: &str,
        old: &BTreeMap<PersonName, Person>,
        new: &BTreeMap<PersonName, Person>,
    ) {
        for (name, person) in new {
            match old.get(name) {
                None => {
                    let by = person.oidc.as_ref().map(|oidc| format!(": tokens of {} speak for it", oidc.issuer));
                    let words = format!("{kind}{name} joins as {}{}", in_words(&person.roles), by.unwrap_or_default());
                    self.loosens.push(words);
                }
                Some(before) => self.compare_person(&format!("{kind}{name}"), before, person),
            }
        }
        let gone = old.keys().filter(|name| !new.contains_key(*name));
        self.tightens.extend(gone.map(|name| format!("{kind}{name} leaves; approvals by their keys count no more")));
    }

    fn compare_person(&mut self, whose: &str, old: &Person, new: &Person) {
        let Person { roles, keys, oidc } = old;
        let gained: BTreeSet<RoleName> = new.roles.difference(roles).cloned().collect();
        let lost: BTreeSet<RoleName> = roles.difference(&new.roles).cloned().collect();
        if !gained.is_empty() {
            self.loosens.push(format!("{whose} becomes {}", in_words(&gained)));
        }
        if !lost.is_empty() {
            self.tightens.push(format!("{whose} is no longer {}", in_words(&lost)));
        }
        self.compare_keys(whose, keys, &new.keys);
        match (oidc, &new.oidc) {
            (None, None) => {}
            (None, Some(after)) => self.loosens.push(format!("tokens of {} speak for {whose}", after.issuer)),
            (Some(before), None) => self.tightens.push(format!("no tokens of {} speak for {whose}", before.issuer)),
            (Some(before), Some(after)) => self.compare_tokens(whose, before, after),
        }
    }

    /// Each further key is one more with which somebody acts as that person.
    fn compare_keys(&mut self, whose: &str, old: &[HeldKey], new: &[HeldKey]) {
        for HeldKey { key, hardware } in new {
            let id = &key.id().to_string()[..8];
            match (old.iter().find(|held| held.key == *key).map(|held| held.hardware), hardware) {
                (Some(false), true) => self.loosens.push(format!("{whose}'s key {id} counts as held in hardware")),
                (Some(true), false) => self.tightens.push(format!("{whose}'s key {id} counts as a file's")),
                (None, true) => {
                    self.loosens.push(format!("{whose} gets the key {id}, which counts as held in hardware"));
                }
                (None, false) => self.loosens.push(format!("{whose} gets the key {id}")),
                (Some(true), true) | (Some(false), false) => {}
            }
        }
        for HeldKey { key, hardware: _ } in old.iter().filter(|held| !new.iter().any(|other| other.key == held.key)) {
            let id = &key.id().to_string()[..8];
            self.tightens.push(format!("{whose}'s key {id} goes, and what it signed with it, but for what is upheld"));
        }
    }

    fn compare_tokens(&mut self, whose: &str, old: &Oidc, new: &Oidc) {
        let Oidc { issuer, audience, claims, keys } = old;
        if *issuer != new.issuer || *audience != new.audience {
            let (before, after) = (format!("{issuer} for {audience}"), format!("{} for {}", new.issuer, new.audience));
            self.changes.push(format!("{whose}: tokens of {before} → {after} speak for it"));
        }
        let among = |some: &BTreeMap<String, String>, all: &BTreeMap<String, String>| {
            some.iter().all(|(claim, value)| all.get(claim) == Some(value))
        };
        let word = |claims: &BTreeMap<String, String>| {
            let words: Vec<String> = claims.iter().map(|(claim, value)| format!("{claim} {value}")).collect();
            if words.is_empty() { "nothing".into() } else { words.join(", ") }
        };
        let line = format!("{whose}: tokens must claim {} → {}", word(claims), word(&new.claims));
        self.by_inclusion(among(&new.claims, claims), among(claims, &new.claims), line);
        if new.keys.iter().any(|key| !keys.contains(key)) {
            self.loosens.push(format!("{whose}: tokens signed by a further key of {} count", new.issuer));
        }
        if keys.iter().any(|key| !new.keys.contains(key)) {
            self.tightens.push(format!("{whose}: tokens signed by a former key of {issuer} count no more"));
        }
    }
}
