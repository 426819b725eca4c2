//! What a new charter would change: what it loosens, what it tightens, and the lines that differ.

use crate::leaving::Leaving;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};
use trust::{
    AudienceName, RoleName,
    charter::{Charter, Class, DeployedBy, HeldKey, Person},
    evidence::Gate,
    quorum::Rule,
    rollout::{Rollout, RolloutTerms},
    way::{Way, WayRule},
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
        amendment.compare_people("", &old.0.people, &new.0.people);
        amendment.compare_people("robot ", &old.0.robots, &new.0.robots);
        amendment.compare_people("customer ", &old.0.customers, &new.0.customers);
        amendment.compare_audiences(old.0, new.0);
        amendment.compare_rule("push and number builds", Some(&old.0.push), Some(&new.0.push));
        for app in old.0.applications.keys().chain(new.0.applications.keys()).collect::<BTreeSet<_>>() {
            let what = format!("push and number builds of {app}");
            amendment.compare_rule(&what, Some(old.0.push_rule(app)), Some(new.0.push_rule(app)));
            let by = |charter: &Charter| charter.deployed_by(app, Class::Live);
            match (by(old.0), by(new.0)) {
                (before, after) if before == after => {}
                (_, DeployedBy::Us) => amendment.loosens.push(format!("{app} may be deployed to live environments")),
                (_, _) => amendment.tightens.push(format!("{app} may not be deployed to live environments")),
            }
        }
        amendment.compare_vendors(old.0, new.0);
        if old.0.upheld != new.0.upheld {
            let statements =
                |charter: &Charter| charter.upheld.iter().map(|upheld| upheld.statements.len()).sum::<usize>();
            let (before, after) = (statements(old.0), statements(new.0));
            amendment.changes.push(format!("statements upheld of those who left: {before} → {after}"));
        }
        if old.0.server != new.0.server {
            amendment.changes.push("the server's keys, which agents and clients pin".into());
        }
        if new.0.epoch != old.0.epoch {
            amendment.changes.push(format!("epoch {} → {}", old.0.epoch, new.0.epoch));
        }
        amendment
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
    }

    /// In words, the lines last.
    pub fn in_words(&self) -> String {
        let mut words = Vec::new();
        for (title, items) in [("loosens", &self.loosens), ("tightens", &self.tightens), ("changes", &self.changes)] {
            words.extend(items.iter().map(|item| format!("{title}  {item}")));
        }
        if words.is_empty() {
            words.push("no rule changes".into());
        }
        if !self.leaving.is_empty() {
            words.push(self.leaving.in_words());
        }
        words.push(String::new());
        words.extend(self.lines.iter().cloned());
        words.join("\n")
    }

    fn compare_people(
        &mut self,
        kind: &str,
        old: &BTreeMap<trust::PersonName, Person>,
        new: &BTreeMap<trust::PersonName, Person>,
    ) {
        let roles = |roles: &BTreeSet<RoleName>| roles.iter().map(RoleName::to_string).collect::<Vec<_>>().join(", ");
        for (name, person) in new {
            match old.get(name) {
                None => {
                    let by = person.oidc.as_ref().map(|oidc| format!(": tokens of {} speak for it", oidc.issuer));
                    let words = format!("{kind}{name} joins as {}{}", roles(&person.roles), by.unwrap_or_default());
                    self.loosens.push(words);
                }
                Some(before) => {
                    let gained: BTreeSet<_> = person.roles.difference(&before.roles).cloned().collect();
                    let lost: BTreeSet<_> = before.roles.difference(&person.roles).cloned().collect();
                    if !gained.is_empty() {
                        self.loosens.push(format!("{kind}{name} becomes {}", roles(&gained)));
                    }
                    if !lost.is_empty() {
                        self.tightens.push(format!("{kind}{name} is no longer {}", roles(&lost)));
                    }
                    if before.oidc != person.oidc {
                        self.changes.push(format!("{kind}{name}: whose tokens speak for it"));
                    }
                    if before.keys != person.keys {
                        self.compare_keys(&format!("{kind}{name}"), &before.keys, &person.keys);
                    }
                }
            }
        }
        let gone = old.keys().filter(|name| !new.contains_key(*name));
        self.tightens.extend(gone.map(|name| format!("{kind}{name} leaves; approvals by their keys count no more")));
    }

    fn compare_keys(&mut self, whose: &str, old: &[HeldKey], new: &[HeldKey]) {
        let before = self.loosens.len() + self.tightens.len();
        for HeldKey { key, hardware } in new {
            let id = &key.id().to_string()[..8];
            match (old.iter().find(|held| held.key == *key).map(|held| held.hardware), hardware) {
                (Some(false), true) => self.loosens.push(format!("{whose}'s key {id} counts as held in hardware")),
                (Some(true), false) => self.tightens.push(format!("{whose}'s key {id} counts as a file's")),
                (None, true) => {
                    self.loosens.push(format!("{whose} gets the key {id}, which counts as held in hardware"))
                }
                _ => {}
            }
        }
        if before == self.loosens.len() + self.tightens.len() {
            self.changes.push(format!("{whose}'s keys"));
        }
    }

    fn compare_audiences(&mut self, old: &Charter, new: &Charter) {
        let names: BTreeSet<&AudienceName> = old.audience_names().chain(new.audience_names()).collect();
        for name in names {
            match (old.audience(name), new.audience(name)) {
                (None, Some(_)) => self.changes.push(format!("audience {name} is new")),
                (Some(_), None) => self.changes.push(format!("audience {name} goes; its targets refuse everything")),
                (Some(before), Some(after)) => {
                    self.compare_rule(&format!("release to {name}"), before.approve, after.approve);
                    match (before.excludes_author, after.excludes_author) {
                        (true, false) => self.loosens.push(format!("{name}: requester and pusher may approve")),
                        (false, true) => self.tightens.push(format!("{name}: requester and pusher may not approve")),
                        _ => {}
                    }
                    match (before.hardware, after.hardware) {
                        (true, false) => self.loosens.push(format!("{name}: approvals count by any key")),
                        (false, true) => {
                            self.tightens.push(format!("{name}: approvals count by keys held in hardware only"));
                        }
                        _ => {}
                    }
                    if before.class != after.class {
                        let word = "class changes; targets that joined before refuse until they join anew";
                        self.changes.push(format!("{name}: its {word}"));
                    }
                    self.compare_ways(name, before.ways, after.ways);
                    self.compare_gates(name, before.after, after.after, before.evidence, after.evidence);
                }
                (None, None) => {}
            }
            if let (Some(before), Some(after)) = (old.channels.get(name), new.channels.get(name)) {
                match (before.public, after.public) {
                    (false, true) => self.loosens.push(format!("{name} is read by anyone")),
                    (true, false) => self.tightens.push(format!("{name} is no longer read by anyone")),
                    _ => {}
                }
                // Without `read` no customer reads it, which is the strictest.
                match (&before.read, &after.read) {
                    (None, Some(rule)) => self.loosens.push(format!("{name} is read by {rule}")),
                    (Some(_), None) => self.tightens.push(format!("{name} is read by no customer")),
                    (before, after) => self.compare_rule(&format!("read {name}"), before.as_ref(), after.as_ref()),
                }
            }
            let (before, after) = (old.environments.get(name), new.environments.get(name));
            if let (Some(before), Some(after)) = (before, after) {
                self.compare_rule(&format!("deploy to {name}"), Some(&before.deploy), Some(&after.deploy));
                for (what, before, after) in [
                    ("stale_hours", before.stale_hours, after.stale_hours),
                    ("offline_days", before.offline_days, after.offline_days),
                    ("permit_days", before.permit_days, after.permit_days),
                ] {
                    self.compare_limit(&format!("{name}: {what}"), before, after);
                }
                let soak = format!("{name}: soak_minutes {} → {}", before.soak_minutes, after.soak_minutes);
                match after.soak_minutes.cmp(&before.soak_minutes) {
                    Ordering::Less => self.loosens.push(soak),
                    Ordering::Greater => self.tightens.push(soak),
                    Ordering::Equal => {}
                }
                self.compare_rollouts(name, &before.rollout(), &after.rollout());
                let what = format!("deploy to {name} with less care than its rollout");
                match (before.hasten_rule(), after.hasten_rule()) {
                    // Where nobody is named, nobody may.
                    (None, Some(rule)) => self.loosens.push(format!("{what}: nobody → {rule}")),
                    (Some(rule), None) => self.tightens.push(format!("{what}: {rule} → nobody")),
                    (old, new) => self.compare_rule(&what, old, new),
                }
                let configure = (before.configure.as_ref(), after.configure.as_ref());
                self.compare_rule(
                    &format!("configure {name}"),
                    Some(configure.0.unwrap_or(&before.deploy)),
                    Some(configure.1.unwrap_or(&after.deploy)),
                );
            }
        }
    }

    fn compare_ways(&mut self, name: &AudienceName, old: &BTreeMap<Way, WayRule>, new: &BTreeMap<Way, WayRule>) {
        for way in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let (before, after) = match (old.get(way), new.get(way)) {
                (None, Some(rule)) => {
                    let waives = rule.waives_in_words();
                    let line = format!("{name}: {way} by {}, waiving {waives}, for {} h", rule.approve, rule.hours);
                    self.loosens.push(line);
                    continue;
                }
                (Some(before), Some(after)) => (before, after),
                _ => {
                    self.tightens.push(format!("{name}: {way} goes, and its permits with it"));
                    continue;
                }
            };
            self.compare_rule(&format!("{way} to {name}"), Some(&before.approve), Some(&after.approve));
            for gate in after.waives.difference(&before.waives) {
                self.loosens.push(format!("{name}: {way} waives {gate}"));
            }
            for gate in before.waives.difference(&after.waives) {
                self.tightens.push(format!("{name}: {way} no longer waives {gate}"));
            }
            let life = format!("{name}: {way} lives {} h → {} h", before.hours, after.hours);
            match after.hours.cmp(&before.hours) {
                Ordering::Greater => self.loosens.push(life),
                Ordering::Less => self.tightens.push(life),
                Ordering::Equal => {}
            }
            match (before.approve_own, after.approve_own) {
                (false, true) => self.loosens.push(format!("{name}: {way}: requester and pusher may approve")),
                (true, false) => self.tightens.push(format!("{name}: {way}: requester and pusher may not approve")),
                _ => {}
            }
            if before.targets != after.targets {
                self.changes.push(format!("{name}: the targets that {way} reaches"));
            }
        }
    }

    fn compare_gates(
        &mut self,
        name: &AudienceName,
        after_old: Option<&AudienceName>,
        after_new: Option<&AudienceName>,
        old: &BTreeMap<String, Gate>,
        new: &BTreeMap<String, Gate>,
    ) {
        match (after_old, after_new) {
            (Some(gone), None) => self.loosens.push(format!("{name} no longer comes after {gone}")),
            (None, Some(come)) => self.tightens.push(format!("{name} comes after {come}")),
            (Some(before), Some(after)) if before != after => {
                self.changes.push(format!("{name} comes after {after}, no longer after {before}"));
            }
            _ => {}
        }
        for kind in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            match (old.get(kind), new.get(kind)) {
                (Some(_), None) => self.loosens.push(format!("{name} no longer asks for evidence {kind}")),
                (None, Some(_)) => self.tightens.push(format!("{name} asks for evidence {kind}")),
                (before, after) => {
                    let from = |gate: Option<&'_ Gate>| gate.map(|gate| gate.from.clone());
                    let (old, new) = (from(before), from(after));
                    self.compare_rule(&format!("attest {kind} for {name}"), old.as_ref(), new.as_ref());
                    let rest = |gate: Option<&Gate>| {
                        gate.map(|gate| (gate.predicate.clone(), gate.pass.clone(), gate.max_age_days, gate.pusher))
                    };
                    if rest(before) != rest(after) {
                        self.changes
                            .push(format!("{name}: what evidence {kind} must say, its age, or who may not issue it"));
                    }
                }
            }
        }
    }

    /// What a rollout asks of deployers. A number is compared with a percentage over fleets of several sizes.
    fn compare_rollouts(&mut self, name: &AudienceName, old: &Rollout, new: &Rollout) {
        let sizes = [1, 2, 3, 5, 10, 20, 50, 100, 1_000, 100_000];
        let eased = |one: &Rollout, other: &Rollout, what: &str| {
            sizes.iter().any(|size| one.eased(other, *size).iter().any(|eased| eased.what == what))
        };
        let said = |rollout: &Rollout| serde_json::to_value(rollout).unwrap_or_default();
        let (before, after) = (said(old), said(new));
        for what in RolloutTerms::NAMES {
            if before[what] == after[what] {
                continue;
            }
            let word = |value: &serde_json::Value| value.to_string().replace('"', "");
            let line = format!("{name}: rollout {what} {} → {}", word(&before[what]), word(&after[what]));
            match (eased(new, old, what), eased(old, new, what)) {
                (true, false) => self.loosens.push(line),
                (false, true) => self.tightens.push(line),
                _ => self.changes.push(line),
            }
        }
    }

    /// A limit of time, of which less is stricter.
    fn compare_limit(&mut self, what: &str, old: u32, new: u32) {
        let line = format!("{what} {old} → {new}");
        match old.cmp(&new) {
            std::cmp::Ordering::Less => self.loosens.push(line),
            std::cmp::Ordering::Greater => self.tightens.push(line),
            std::cmp::Ordering::Equal => {}
        }
    }

    fn compare_rule(&mut self, what: &str, old: Option<&Rule>, new: Option<&Rule>) {
        let word = |rule: Option<&Rule>| rule.map_or("nobody".to_string(), ToString::to_string);
        if old == new {
            return;
        }
        let line = format!("{what}: {} → {}", word(old), word(new));
        let (old, new) = (old.map(alternatives), new.map(alternatives));
        let suffices = |given: &Option<Vec<Places>>, wanted: &Option<Vec<Places>>| match (given, wanted) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(given), Some(wanted)) => given.iter().all(|places| wanted.iter().any(|other| covers(places, other))),
        };
        match (suffices(&old, &new), suffices(&new, &old)) {
            (true, false) => self.loosens.push(line),
            (false, true) => self.tightens.push(line),
            _ => self.changes.push(line),
        }
    }
}

/// How many people of each role one alternative of a rule wants.
type Places = BTreeMap<String, u32>;

/// A rule's alternatives, by the words it is written in.
fn alternatives(rule: &Rule) -> Vec<Places> {
    let text = rule.to_string();
    let place = |text: &str| match text.trim().split_once(' ') {
        Some((count, role)) => (role.to_string(), count.parse().unwrap_or(1)),
        None => (text.trim().to_string(), 1),
    };
    text.split(" or ")
        .map(|places| {
            let mut wanted = Places::new();
            for (role, count) in places.split(" and ").map(place) {
                *wanted.entry(role).or_default() += count;
            }
            wanted
        })
        .collect()
}

fn covers(given: &Places, wanted: &Places) -> bool {
    wanted.iter().all(|(role, count)| given.get(role).is_some_and(|given| given >= count))
}

/// The lines that go and come, with two lines around them; nothing where the texts are the same.
pub fn line_diff(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same_start = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let rest = old.len().min(new.len()) - same_start;
    let same_end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(one, other)| one == other).count();
    let (middle_old, middle_new) = (&old[same_start..old.len() - same_end], &new[same_start..new.len() - same_end]);
    if middle_old.is_empty() && middle_new.is_empty() {
        return Vec::new();
    }
    let mut lines: Vec<String> =
        old[same_start.saturating_sub(2)..same_start].iter().map(|line| format!("  {line}")).collect();
    lines.extend(middle_diff(middle_old, middle_new));
    let end = old.len() - same_end;
    lines.extend(old[end..(end + 2).min(old.len())].iter().map(|line| format!("  {line}")));
    lines
}

/// The longest common subsequence, by the textbook's table; charters are small, and a huge difference is shown whole.
fn middle_diff(old: &[&str], new: &[&str]) -> Vec<String> {
    let minus = |line: &&str| format!("- {line}");
    let plus = |line: &&str| format!("+ {line}");
    if old.len().saturating_mul(new.len()) > 4_000_000 {
        return old.iter().map(minus).chain(new.iter().map(plus)).collect();
    }
    let mut longest = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for (i, one) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            longest[i][j] =
                if one == other { longest[i + 1][j + 1] + 1 } else { longest[i + 1][j].max(longest[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(format!("  {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            lines.push(minus(&old[i]));
            i += 1;
        } else {
            lines.push(plus(&new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::key::{SecretKey, Signer};

    fn charter(prod: &str, people: &str) -> (Charter, String) {
        let key = |seed: u8| SecretKey::from_seed(&[seed; 32]).public().to_openssh();
        let text = format!(
            "charter = \"acme\"\n[people]\nann = {{ roles = [\"qa\", \"ops\"], keys = [\"{}\"] }}\n{}\n[environments]\n\
             prod = {{ class = \"live\", deploy = \"ops\", {prod} }}\n",
            key(1),
            people.replace("KEY", &key(2))
        );
        (Charter::from_bytes(text.as_bytes()).unwrap(), text)
    }

    fn between(old: &(Charter, String), new: &(Charter, String)) -> Amendment {
        Amendment::between((&old.0, &old.1), (&new.0, &new.1))
    }

    #[test]
    fn loosening_and_tightening_are_told_apart() {
        let (one, both) = (charter("approve = \"qa\"", ""), charter("approve = \"qa and ops\"", ""));
        assert_eq!(between(&one, &both).tightens, ["release to prod: qa → qa and ops"]);
        assert_eq!(between(&both, &one).loosens, ["release to prod: qa and ops → qa"]);
        let either = charter("approve = \"qa or ops\"", "");
        assert_eq!(between(&one, &either).loosens.len(), 1);
        let other = charter("approve = \"2 ops\"", "");
        assert_eq!(between(&one, &other).changes, ["release to prod: qa → 2 ops"]);
        let own = charter("approve = \"qa\", approve_own = true", "");
        assert_eq!(between(&one, &own).loosens, ["prod: requester and pusher may approve"]);
        let longer = charter("approve = \"qa\", stale_hours = 48, offline_days = 14", "");
        assert_eq!(between(&one, &longer).loosens, ["prod: stale_hours 24 → 48", "prod: offline_days 0 → 14"]);
        assert_eq!(between(&longer, &one).tightens.len(), 2);
        let more = charter("approve = \"qa\"", "bob = { roles = [\"ops\"], keys = [\"KEY\"] }");
        assert_eq!(between(&one, &more).loosens, ["bob joins as ops"]);
        assert!(between(&more, &one).tightens[0].starts_with("bob leaves"));
        assert_eq!(between(&one, &one), Amendment::default());
    }

    #[test]
    fn a_rollout_with_less_care_loosens() {
        let with = |rollout: &str| charter(&format!("approve = \"qa\", {rollout}"), "");
        let plain = with("at_once = 1");
        let careful = with("rollout = { at_once = 1, canary = 1, bake_minutes = 10, min_healthy = \"80%\" }");
        let tightens = between(&plain, &careful).tightens;
        assert_eq!(tightens[0], "prod: rollout canary 0 → 1");
        assert_eq!((tightens.len(), between(&careful, &plain).loosens.len()), (3, 3));
        let percent = with("at_once = \"25%\"");
        assert_eq!(between(&plain, &percent).loosens, ["prod: rollout at_once 1 → 25%"]);
        let five = with("at_once = 5");
        assert_eq!(between(&percent, &five).changes, ["prod: rollout at_once 25% → 5"]);
        let hasten = with("at_once = 1, hasten = \"ops\"");
        assert_eq!(between(&plain, &hasten).loosens, ["deploy to prod with less care than its rollout: nobody → ops"]);
        let soak = with("at_once = 1, soak_minutes = 5");
        assert_eq!(between(&plain, &soak).tightens, ["prod: soak_minutes 0 → 5"]);
    }

    #[test]
    fn a_way_for_emergencies_loosens() {
        let with = |way: &str| {
            charter(&format!("approve = \"qa\", evidence = {{ scan = \"qa\" }}, ways = {{ hotfix = {{ {way} }} }}"), "")
        };
        let none = charter("approve = \"qa\", evidence = { scan = \"qa\" }", "");
        let small = with("approve = \"ops\", hours = 4");
        let large = with("approve = \"ops\", hours = 8, waives = [\"evidence:scan\"], approve_own = true");
        assert_eq!(between(&none, &small).loosens, ["prod: hotfix by ops, waiving nothing, for 4 h"]);
        assert_eq!(between(&small, &none).tightens, ["prod: hotfix goes, and its permits with it"]);
        assert_eq!(between(&small, &large).loosens.len(), 3);
        assert_eq!(between(&large, &small).tightens.len(), 3);
    }

    #[test]
    fn r28_letting_a_customer_read_loosens() {
        let with = |read: &str, roles: &str| {
            let (_, text) = charter("approve = \"qa\"", "");
            let key = SecretKey::from_seed(&[7; 32]).public().to_openssh();
            let text = format!(
                "{text}\n[channels]\nglobex = {{ approve = \"qa\"{read} }}\npartners = {{ approve = \"qa\", read = \"partner\" \
                 }}\n[customers]\nbob = {{ roles = [{roles}], keys = [\"{key}\"] }}\n"
            );
            (Charter::from_bytes(text.as_bytes()).unwrap(), text)
        };
        let (shut, open) = (with("", "\"partner\""), with(", read = \"globex\"", "\"partner\", \"globex\""));
        assert_eq!(between(&shut, &open).loosens, ["customer bob becomes globex", "globex is read by globex"]);
        assert_eq!(between(&open, &shut).tightens.len(), 2);
    }

    #[test]
    fn r42_a_vendor_tightens_and_making_it_oneself_loosens() {
        let with = |audience: &str| {
            let estate = trust::Digest::of(b"acme");
            let vendor = format!("[vendors.acme]\nestate = \"{estate}\"\naudience = \"{audience}\"\n");
            let (_, text) = charter("approve = \"qa\"", "");
            let text = format!("{text}\n{vendor}[applications.web]\nvendor = \"acme\"\n");
            (Charter::from_bytes(text.as_bytes()).unwrap(), text)
        };
        let (ours, theirs) = (charter("approve = \"qa\"", ""), with("customers"));
        assert!(between(&ours, &theirs).tightens[0].starts_with("web is made by acme"));
        assert!(between(&theirs, &ours).loosens[0].starts_with("web is made here"));
        assert!(between(&theirs, &with("partners")).changes[0].contains("counts no more"));
    }

    #[test]
    fn lines_come_with_those_around_them() {
        assert_eq!(line_diff("a\nb\nc\nd", "a\nb\nx\nd"), ["  a", "  b", "- c", "+ x", "  d"]);
        assert_eq!(line_diff("a", "a"), Vec::<String>::new());
        assert_eq!(line_diff("", "a\nb"), ["+ a", "+ b"]);
    }
}
