//! What a new charter would change: what it loosens, what it tightens, and the lines that differ.
//!
//! Everything that a charter holds is taken apart field by field, without a `..`: a new field does not compile until somebody
//! says here how it is compared. What is told must be true: rights that are given away are never told as no change.

mod audiences;
mod lines;
mod people;
mod rules;
#[cfg(test)]
mod tests;

pub use self::lines::line_diff;

use crate::leaving::Leaving;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};
use trust::{
    AppName, PersonName, RoleName,
    charter::{Application, Charter, Class, DeployedBy, Server},
    key::PublicKey,
    upheld::Upheld,
};

/// What a new charter would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Amendment {
    /// What becomes possible, or possible for more people.
    pub loosens: Vec<String>,
    /// What becomes impossible, or asks for more people.
    pub tightens: Vec<String>,
    /// What differs without being clearly either.
    pub changes: Vec<String>,
    /// What may not be meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub minds: Vec<String>,
    /// What goes along with keys and roles, where that was looked at.
    #[serde(flatten)]
    pub leaving: Leaving,
    /// The lines that go (`-`) and come (`+`), with those around them.
    pub lines: Vec<String>,
}

impl Amendment {
    /// Compares the charter in force with the one that would follow it.
    pub fn between(old: (&Charter, &str), new: (&Charter, &str)) -> Self {
        let mut amendment = Amendment { lines: line_diff(old.1, new.1), ..Self::default() };
        let (old, new) = (old.0, new.0);
        let Charter {
            charter,
            format,
            requires,
            epoch,
            push,
            server,
            people,
            robots,
            customers,
            // By their names, which are those of both.
            environments: _,
            channels: _,
            vendors: _,
            applications: _,
            words,
            upheld,
            // Told with what they are about, by whoever looks at the withdrawals.
            annulled: _,
        } = old;
        amendment.compare_people("", people, &new.people);
        amendment.compare_people("robot ", robots, &new.robots);
        amendment.compare_people("customer ", customers, &new.customers);
        amendment.compare_audiences(old, new);
        amendment.compare_rule("push and number builds", Some(push), Some(&new.push));
        for app in old.applications.keys().chain(new.applications.keys()).collect::<BTreeSet<_>>() {
            amendment.compare_application(app, old, new);
        }
        amendment.compare_vendors(old, new);
        amendment.compare_upheld(upheld, &new.upheld);
        amendment.compare_server(server, &new.server);
        amendment.compare_required(requires, &new.requires);
        amendment.compare_words(words, &new.words);
        for (what, before, after) in [
            ("the organisation's name", charter, &new.charter),
            ("format", &format.to_string(), &new.format.to_string()),
            ("epoch", &epoch.to_string(), &new.epoch.to_string()),
        ] {
            if before != after {
                amendment.changes.push(format!("{what} {before} → {after}"));
            }
        }
        if amendment.is_untold() && without_annulled(old) != without_annulled(new) {
            amendment.changes.push("something that has no words here: look at the lines".into());
        }
        amendment
    }

    fn is_untold(&self) -> bool {
        self.loosens.is_empty() && self.tightens.is_empty() && self.changes.is_empty()
    }

    /// In words, the lines last.
    pub fn in_words(&self) -> String {
        let mut words = Vec::new();
        for (title, items) in [("loosens", &self.loosens), ("tightens", &self.tightens), ("changes", &self.changes)] {
            words.extend(items.iter().map(|item| format!("{title}  {item}")));
        }
        if words.is_empty() {
            words.push("the lines differ in no rule: comments, order or spelling".into());
        }
        words.extend(self.minds.iter().map(|mind| format!("mind: {mind}")));
        if !self.leaving.is_empty() {
            words.push(self.leaving.in_words());
        }
        words.push(String::new());
        words.extend(self.lines.iter().cloned());
        words.join("\n")
    }

    fn compare_application(&mut self, app: &AppName, old: &Charter, new: &Charter) {
        let what = format!("push and number builds of {app}");
        self.compare_rule(&what, Some(old.push_rule(app)), Some(new.push_rule(app)));
        let nothing_said = Application::default();
        let [before, after] = [old, new].map(|charter| charter.applications.get(app).unwrap_or(&nothing_said));
        // Where no rule is said, the charter's own holds; vendors have their own place.
        let Application { push: _, numbers, deployed_by: _, vendor: _ } = before;
        if *numbers != after.numbers {
            self.changes.push(format!("{app} is numbered by {numbers:?} → {:?}", after.numbers).to_lowercase());
        }
        let [before, after] = [old, new].map(|charter| charter.deployed_by(app, Class::Live));
        match (before, after) {
            (before, after) if before == after => {}
            (_, DeployedBy::Us) => self.loosens.push(format!("{app} may be deployed to live environments")),
            (DeployedBy::Us, _) => self.tightens.push(format!("{app} may not be deployed to live environments")),
            (_, _) => self.changes.push(format!("{app} is deployed by others: {before:?} → {after:?}").to_lowercase()),
        }
    }

    fn compare_vendors(&mut self, old: &Charter, new: &Charter) {
        for app in old.applications.keys().chain(new.applications.keys()).collect::<BTreeSet<_>>() {
            match (old.vendor_of(app), new.vendor_of(app)) {
                (None, Some((vendor, _))) => self
                    .tightens
                    .push(format!("{app} is made by {vendor}: nothing enters or starts without its release")),
                (Some((vendor, _)), None) => {
                    self.loosens.push(format!("{app} is made here: {vendor}'s release is not asked for"));
                }
                (Some(before), Some(after)) if before != after => {
                    self.changes.push(format!("{app}: what its vendor released so far counts no more"));
                }
                _ => {}
            }
        }
        let named = |charter: &Charter, vendor| {
            charter.applications.values().any(|application| application.vendor.as_ref() == Some(vendor))
        };
        for vendor in old.vendors.keys().chain(new.vendors.keys()).collect::<BTreeSet<_>>() {
            let differs = old.vendors.get(vendor) != new.vendors.get(vendor);
            if differs && !named(old, vendor) && !named(new, vendor) {
                self.changes.push(format!("vendor {vendor}, who makes no application"));
            }
        }
    }

    /// Each statement that comes counts again, for each role by itself; each that goes counts no more.
    fn compare_upheld(&mut self, old: &[Upheld], new: &[Upheld]) {
        let said = |upheld: &[Upheld]| -> BTreeSet<(PersonName, Option<RoleName>, PublicKeyLine, trust::Digest)> {
            let mut said = BTreeSet::new();
            for Upheld { person, roles, key, statements } in upheld {
                let roles: Vec<Option<RoleName>> = match roles.is_empty() {
                    true => vec![None],
                    false => roles.iter().cloned().map(Some).collect(),
                };
                for (role, statement) in roles.iter().flat_map(|role| statements.iter().map(move |one| (role, one))) {
                    said.insert((person.clone(), role.clone(), key.to_openssh(), *statement));
                }
            }
            said
        };
        let (before, after) = (said(old), said(new));
        for (come, words) in [(true, "upholds"), (false, "no longer upholds")] {
            let (here, there) = if come { (&after, &before) } else { (&before, &after) };
            let mut counted: BTreeMap<(&PersonName, &Option<RoleName>), u64> = BTreeMap::new();
            here.difference(there).for_each(|(person, role, ..)| *counted.entry((person, role)).or_default() += 1);
            for ((person, role), count) in counted {
                let role = role.as_ref().map(|role| format!(" as {role}")).unwrap_or_default();
                let line = format!("{words} {} of {person}{role}", crate::output::count(count, "statement"));
                if come { self.loosens.push(line) } else { self.tightens.push(line) }
            }
        }
    }

    /// Whom agents and clients take for the server, and where they look for it.
    fn compare_server(&mut self, old: &Server, new: &Server) {
        let Server { keys, ledger, urls } = old;
        let tls = |keys: &[trust::Digest]| keys.iter().map(trust::Digest::short).collect();
        self.compare_sets("the server is known by the TLS key", &tls(keys), &tls(&new.keys));
        let signs = |keys: &[PublicKey]| keys.iter().map(|key| key.id().to_string()[..8].to_string()).collect();
        self.compare_sets("the ledger's checkpoints are signed by the key", &signs(ledger), &signs(&new.ledger));
        if *urls != new.urls {
            let word = |urls: &[String]| {
                if urls.is_empty() { "where it stood when they joined".into() } else { urls.join(", ") }
            };
            let (before, after) = (word(urls), word(&new.urls));
            self.changes.push(format!("agents and clients look for the server at {before} → {after}"));
        }
    }

    /// Each that comes is believed, each that goes is not any more.
    fn compare_sets(&mut self, what: &str, old: &BTreeSet<String>, new: &BTreeSet<String>) {
        self.loosens.extend(new.difference(old).map(|one| format!("{what} {one}")));
        self.tightens.extend(old.difference(new).map(|one| format!("{what} {one} no longer")));
    }

    fn compare_required(&mut self, old: &[String], new: &[String]) {
        let set = |features: &[String]| features.iter().cloned().collect::<BTreeSet<String>>();
        let (before, after) = (set(old), set(new));
        let lacks = |feature: &String| format!("agents without {feature} activate nothing");
        self.tightens.extend(after.difference(&before).map(lacks));
        self.loosens.extend(before.difference(&after).map(|feature| format!("agents need no {feature} any more")));
    }

    /// They are replaced before anything is signed, and give nobody a right.
    fn compare_words(&mut self, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) {
        for word in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            match (old.get(word), new.get(word)) {
                (before, after) if before == after => {}
                (_, Some(ours)) => self.changes.push(format!("who types {word} means {ours}")),
                (Some(ours), None) => self.changes.push(format!("{word} is no word for {ours} any more")),
                (None, None) => {}
            }
        }
    }

    /// A number of which more gives more.
    fn compare_limit(&mut self, what: &str, old: u32, new: u32) {
        self.by_order(new.cmp(&old), format!("{what} {old} → {new}"));
    }

    /// What gives more loosens, what gives less tightens.
    fn by_order(&mut self, gives: Ordering, line: String) {
        match gives {
            Ordering::Greater => self.loosens.push(line),
            Ordering::Less => self.tightens.push(line),
            Ordering::Equal => {}
        }
    }

    /// What becomes so, if that loosens, and what becomes so by its end.
    fn compare_switch(&mut self, old: bool, new: bool, loosens: &str, tightens: &str) {
        let line = if new { loosens } else { tightens };
        self.by_order(new.cmp(&old), line.into());
    }

    /// What includes which: who gives more by including more.
    fn by_inclusion(&mut self, new_includes_old: bool, old_includes_new: bool, line: String) {
        match (new_includes_old, old_includes_new) {
            (true, true) => {}
            (true, false) => self.loosens.push(line),
            (false, true) => self.tightens.push(line),
            (false, false) => self.changes.push(line),
        }
    }
}

/// A key as an OpenSSH line, which has an order.
type PublicKeyLine = String;

fn without_annulled(charter: &Charter) -> Charter {
    Charter { annulled: Vec::new(), ..charter.clone() }
}
