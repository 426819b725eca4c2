//! Environments and channels: who may release, deploy and read there, and under which conditions.

use super::Amendment;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AudienceName, TargetName,
    charter::{Channel, Charter, Class, Environment, Life, OWNER},
    evidence::Gate,
    quorum::Rule,
    rollout::{Rollout, RolloutTerms},
    way::{Way, WayRule},
    window::Window,
};

impl Amendment {
    pub(super) fn compare_audiences(&mut self, old: &Charter, new: &Charter) {
        let names: BTreeSet<&AudienceName> = old.audience_names().chain(new.audience_names()).collect();
        for name in names {
            match (old.environments.get(name), new.environments.get(name)) {
                (Some(before), Some(after)) => self.compare_environments(name, before, after),
                (None, Some(after)) => self.loosens.push(environment_in_words(name, after)),
                (Some(_), None) => {
                    self.tightens.push(format!("environment {name} goes; its targets refuse everything"))
                }
                (None, None) => {}
            }
            match (old.channels.get(name), new.channels.get(name)) {
                (Some(before), Some(after)) => self.compare_channels(name, before, after),
                (None, Some(after)) => {
                    self.loosens.push(format!("channel {name} is new: released to by {}", after.approve));
                }
                (Some(_), None) => self.tightens.push(format!("channel {name} goes; nobody gets anything from it")),
                (None, None) => {}
            }
        }
    }

    fn compare_environments(&mut self, name: &AudienceName, old: &Environment, new: &Environment) {
        let Environment {
            class,
            approve,
            deploy,
            // Who does so where nothing is said, others say: see the rules below.
            configure: _,
            invite,
            freeze: _,
            after,
            evidence,
            approve_own: _,
            hardware,
            permit_days,
            stale_hours,
            offline_days,
            soak_minutes,
            // All three say how a deployment goes.
            rollout_terms: _,
            at_once: _,
            on_failure: _,
            hasten: _,
            windows,
            ways,
            lives,
            ephemeral_minutes,
            sides,
        } = old;
        let line = format!(
            "{name}: class {} → {}; targets that joined before refuse until they join anew",
            class.word(),
            new.class.word()
        );
        self.by_order(class.cmp(&new.class), line);
        self.compare_rule(&format!("release to {name}"), approve.as_ref(), new.approve.as_ref());
        let excludes = |one: &Environment| one.class == Class::Live && !one.approve_own;
        self.compare_authors(name, excludes(old), excludes(new));
        self.compare_hardware(name, *hardware, new.hardware);
        self.compare_ways(name, ways, &new.ways);
        self.compare_gates(name, evidence, &new.evidence);
        self.compare_after(name, after.as_ref(), new.after.as_ref());
        self.compare_windows(name, windows, &new.windows);
        self.compare_rule(&format!("deploy to {name}"), Some(deploy), Some(&new.deploy));
        for (what, before, after) in [
            ("stale_hours", stale_hours, new.stale_hours),
            ("offline_days", offline_days, new.offline_days),
            ("permit_days", permit_days, new.permit_days),
        ] {
            self.compare_limit(&format!("{name}: {what}"), *before, after);
        }
        let line = format!("{name}: soak_minutes {soak_minutes} → {}", new.soak_minutes);
        self.by_order(soak_minutes.cmp(&new.soak_minutes), line);
        self.compare_lives(name, *lives, new.lives);
        if *ephemeral_minutes != new.ephemeral_minutes {
            let after = new.ephemeral_minutes;
            self.changes
                .push(format!("{name}: ephemeral targets are gone after {ephemeral_minutes} → {after} min of silence"));
        }
        self.compare_sides(name, sides.as_deref(), new.sides.as_deref());
        self.compare_rollouts(name, &old.rollout(), &new.rollout());
        let what = format!("deploy to {name} with less care than its rollout");
        self.compare_privilege(&what, old.hasten_rule(), new.hasten_rule());
        let (before, after) = (old.configure_rule(), new.configure_rule());
        self.compare_rule(&format!("configure {name}"), Some(before), Some(after));
        let (before, after) = (old.freeze_rule(), new.freeze_rule());
        self.compare_rule(&format!("declare, lift and except from freezes of {name}"), Some(before), Some(after));
        // Where nobody is named, owners do.
        let owners: Option<Rule> = OWNER.parse().ok();
        let (before, after) = (invite.as_ref().or(owners.as_ref()), new.invite.as_ref().or(owners.as_ref()));
        self.compare_rule(&format!("invite targets to {name}"), before, after);
    }

    /// A shorter life lets less run, and takes what runs; whoever signs is told so.
    fn compare_lives(&mut self, name: &AudienceName, old: Option<Life>, new: Option<Life>) {
        let word = |life: Option<Life>| life.map_or("for ever".to_string(), |life| format!("for {life}"));
        let line = format!("{name}: targets live {} → {}", word(old), word(new));
        let forfeits = "; those that joined before that long ago remove everything at once, data too";
        match (old, new) {
            (Some(before), Some(after)) if after > before => self.loosens.push(line),
            (Some(_), None) => self.loosens.push(line),
            (before, after) if before != after => self.tightens.push(format!("{line}{forfeits}")),
            _ => {}
        }
    }

    /// With sides, what is new serves nobody before somebody says so.
    fn compare_sides(&mut self, name: &AudienceName, old: Option<&str>, new: Option<&str>) {
        match (old, new) {
            (Some(_), None) => self.loosens.push(format!("{name} has no sides: what is deployed serves at once")),
            (None, Some(label)) => self.tightens.push(format!(
                "{name} has two sides by the label {label}: what is deployed stands by until somebody switches"
            )),
            (Some(before), Some(after)) if before != after => {
                self.changes.push(format!("{name}: its sides are told apart by {after}, no longer by {before}"));
            }
            _ => {}
        }
    }

    fn compare_channels(&mut self, name: &AudienceName, old: &Channel, new: &Channel) {
        let Channel { approve, public, read, after, evidence, approve_own, hardware, ways } = old;
        self.compare_rule(&format!("release to {name}"), Some(approve), Some(&new.approve));
        self.compare_authors(name, !approve_own, !new.approve_own);
        self.compare_hardware(name, *hardware, new.hardware);
        self.compare_ways(name, ways, &new.ways);
        self.compare_gates(name, evidence, &new.evidence);
        self.compare_after(name, after.as_ref(), new.after.as_ref());
        let (open, shut) = (format!("{name} is read by anyone"), format!("{name} is no longer read by anyone"));
        self.compare_switch(*public, new.public, &open, &shut);
        match (read, &new.read) {
            // Without `read` no customer reads it, which is the strictest.
            (None, Some(rule)) => self.loosens.push(format!("{name} is read by {rule}")),
            (Some(_), None) => self.tightens.push(format!("{name} is read by no customer")),
            (before, after) => self.compare_rule(&format!("read {name}"), before.as_ref(), after.as_ref()),
        }
    }

    fn compare_authors(&mut self, name: &AudienceName, excluded: bool, excludes: bool) {
        let may = format!("{name}: requester and pusher may approve");
        let may_not = format!("{name}: requester and pusher may not approve");
        self.compare_switch(!excluded, !excludes, &may, &may_not);
    }

    fn compare_hardware(&mut self, name: &AudienceName, asked: bool, asks: bool) {
        let any = format!("{name}: approvals count by any key");
        let hardware = format!("{name}: approvals count by keys held in hardware only");
        self.compare_switch(!asked, !asks, &any, &hardware);
    }

    /// A right that nobody has where nobody is named.
    fn compare_privilege(&mut self, what: &str, old: Option<&Rule>, new: Option<&Rule>) {
        match (old, new) {
            (None, Some(rule)) => self.loosens.push(format!("{what}: nobody → {rule}")),
            (Some(rule), None) => self.tightens.push(format!("{what}: {rule} → nobody")),
            (old, new) => self.compare_rule(what, old, new),
        }
    }

    fn compare_after(&mut self, name: &AudienceName, old: Option<&AudienceName>, new: Option<&AudienceName>) {
        match (old, new) {
            (Some(gone), None) => self.loosens.push(format!("{name} no longer comes after {gone}")),
            (None, Some(come)) => self.tightens.push(format!("{name} comes after {come}")),
            (Some(before), Some(after)) if before != after => {
                self.changes.push(format!("{name} comes after {after}, no longer after {before}"));
            }
            _ => {}
        }
    }

    /// Without windows something new starts at any time.
    fn compare_windows(&mut self, name: &AudienceName, old: &[Window], new: &[Window]) {
        let includes = |one: &[Window], other: &[Window]| {
            one.is_empty() || !other.is_empty() && other.iter().all(|window| one.contains(window))
        };
        let word = |windows: &[Window]| match windows {
            [] => "at any time".to_string(),
            windows => windows.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        };
        let line = format!("{name}: something new starts {} → {}", word(old), word(new));
        self.by_inclusion(includes(new, old), includes(old, new), line);
    }

    fn compare_ways(&mut self, name: &AudienceName, old: &BTreeMap<Way, WayRule>, new: &BTreeMap<Way, WayRule>) {
        for way in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            match (old.get(way), new.get(way)) {
                (None, Some(rule)) => self.loosens.push(format!("{name}: {way} {}", way_in_words(rule))),
                (Some(_), None) => self.tightens.push(format!("{name}: {way} goes, and its permits with it")),
                (Some(before), Some(after)) => self.compare_way(name, *way, before, after),
                (None, None) => {}
            }
        }
    }

    fn compare_way(&mut self, name: &AudienceName, way: Way, old: &WayRule, new: &WayRule) {
        let WayRule { approve, waives, hours, targets, approve_own } = old;
        self.compare_rule(&format!("{way} to {name}"), Some(approve), Some(&new.approve));
        for gate in new.waives.difference(waives) {
            self.loosens.push(format!("{name}: {way} waives {gate}"));
        }
        for gate in waives.difference(&new.waives) {
            self.tightens.push(format!("{name}: {way} no longer waives {gate}"));
        }
        self.by_order(new.hours.cmp(hours), format!("{name}: {way} lives {hours} h → {} h", new.hours));
        let may = format!("{name}: {way}: requester and pusher may approve");
        let may_not = format!("{name}: {way}: requester and pusher may not approve");
        self.compare_switch(*approve_own, new.approve_own, &may, &may_not);
        // Without names it reaches every target.
        let includes = |one: &BTreeSet<TargetName>, other: &BTreeSet<TargetName>| {
            one.is_empty() || !other.is_empty() && one.is_superset(other)
        };
        let line = format!("{name}: {way} reaches {} → {}", reach(targets), reach(&new.targets));
        self.by_inclusion(includes(&new.targets, targets), includes(targets, &new.targets), line);
    }

    fn compare_gates(&mut self, name: &AudienceName, old: &BTreeMap<String, Gate>, new: &BTreeMap<String, Gate>) {
        for kind in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            match (old.get(kind), new.get(kind)) {
                (Some(_), None) => self.loosens.push(format!("{name} no longer asks for evidence {kind}")),
                (None, Some(_)) => self.tightens.push(format!("{name} asks for evidence {kind}")),
                (Some(before), Some(after)) => self.compare_gate(name, kind, before, after),
                (None, None) => {}
            }
        }
    }

    fn compare_gate(&mut self, name: &AudienceName, kind: &str, old: &Gate, new: &Gate) {
        let Gate { from, predicate, pass, max_age_days, pusher } = old;
        self.compare_rule(&format!("attest {kind} for {name}"), Some(from), Some(&new.from));
        let any = |predicate: &Option<String>| predicate.as_deref().unwrap_or("any").to_string();
        let line = format!("{name}: evidence {kind} is of predicate type {} → {}", any(predicate), any(&new.predicate));
        let includes = |one: &Option<String>, other: &Option<String>| one.is_none() || one == other;
        self.by_inclusion(includes(&new.predicate, predicate), includes(predicate, &new.predicate), line);
        // The condition that asks for less lets more through.
        let line = format!("{name}: evidence {kind} must say {pass} → {}", new.pass);
        self.by_inclusion(pass.implies(&new.pass), new.pass.implies(pass), line);
        let age = |days: Option<u32>| days.map_or("of any age".to_string(), |days| format!("at most {days} days old"));
        let line = format!("{name}: evidence {kind} is {} → {}", age(*max_age_days), age(new.max_age_days));
        let oldest = |days: Option<u32>| days.unwrap_or(u32::MAX);
        self.by_order(oldest(new.max_age_days).cmp(&oldest(*max_age_days)), line);
        let counts = format!("{name}: evidence {kind} by whoever pushed the build counts");
        self.compare_switch(*pusher, new.pusher, &counts, &format!("{counts} no more"));
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
}

fn environment_in_words(name: &AudienceName, environment: &Environment) -> String {
    let released = environment.approve.as_ref().map(|rule| format!("released to by {rule}, "));
    let (class, released) = (environment.class.word(), released.unwrap_or_default());
    let lives = environment.lives.map(|life| {
        format!("; each of its targets lives for {life} from when it joined, and then removes everything by itself, data too")
    });
    let (deploy, lives) = (&environment.deploy, lives.unwrap_or_default());
    format!("environment {name} is new, of class {class}: {released}deployed to by {deploy}{lives}")
}

fn reach(targets: &BTreeSet<TargetName>) -> String {
    if targets.is_empty() {
        return "every target".into();
    }
    targets.iter().map(TargetName::as_str).collect::<Vec<_>>().join(", ")
}

fn way_in_words(rule: &WayRule) -> String {
    let WayRule { approve, waives: _, hours, targets, approve_own } = rule;
    let mut words = format!("by {approve}, waiving {}, for {hours} h", rule.waives_in_words());
    if !targets.is_empty() {
        words.push_str(&format!(", reaching {}", reach(targets)));
    }
    if *approve_own {
        words.push_str("; requester and pusher may approve");
    }
    words
}
