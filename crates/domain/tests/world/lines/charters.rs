//! Charters that the owner brings, changed for the story.

use super::reading::{after, app_of, version_of};
use crate::world::{OWNER, World, public, read, secret};
use domain::{
    command::Command,
    event::RootFacts,
    state::{Policy, PolicyRecord},
};
use std::{collections::BTreeSet, path::Path, sync::Arc};
use trust::{AppName, Digest, key::Signer};

impl World {
    /// Brings a charter of the folder `charters`, changed by what follows `where`: `prod has soak_minutes = 10`,
    /// `tester is gone`; with `as version N`, `with epoch N` or `of another estate`, and
    /// `good until T`, `root-until T`.
    pub(super) fn bring_charter(&mut self, who: &str, name: &str, line: &str) -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/charters");
        let text = std::fs::read_to_string(folder.join(name).with_extension("toml")).expect("the charter is there");
        let (head, changes) = line.split_once(" where ").unwrap_or((line, ""));
        let words: Vec<&str> = head.split_whitespace().collect();
        let mut document: toml_edit::DocumentMut = text.parse().expect("the charter is TOML");
        for change in changes.split("; ").filter(|change| !change.is_empty()) {
            match change.split_whitespace().collect::<Vec<_>>()[..] {
                [who, "is", "upheld", how, whom, "for", what, "in", audience] => {
                    self.uphold(&mut document, who, (how, whom), what, audience);
                }
                [who, "is", "upheld", "as", role, "for", kind, "of", what] => {
                    self.uphold_evidence(&mut document, who, role, kind, what);
                }
                ["withdrawal", number, "of", what, "from", audience, "is", "annulled"] => {
                    self.annul(&mut document, read(number), what, audience);
                }
                _ => alter(&mut document, change),
            }
        }
        if let Some(epoch) = after(&words, "epoch") {
            document["epoch"] = toml_edit::value(read::<i64>(epoch));
        }
        let old = self.state.policy.as_ref().map(|policy| policy.record.clone());
        let version =
            after(&words, "version").map_or_else(|| old.as_ref().map_or(1, |record| record.version + 1), read);
        let root = Digest::of(b"root 1");
        let estate = if words.contains(&"another") { Digest::of(b"another root") } else { root };
        let record = PolicyRecord {
            estate,
            root_version: after(&words, "root").map_or(old.as_ref().map_or(1, |record| record.root_version), read),
            owners: vec![(read(OWNER), public(OWNER))],
            version,
            charter: with_keys(&document.to_string()),
            roots: vec![root],
            targets: Digest::of(format!("targets {version}").as_bytes()),
            suspended: BTreeSet::new(),
            facts: RootFacts {
                charter_expires: after(&words, "until").map(read),
                root_expires: after(&words, "root-until").map(read),
                root_holders: vec![(read(OWNER), public(OWNER)), (read("recovery"), public("recovery"))],
            },
        };
        let policy = match Policy::try_from(record) {
            Ok(policy) => policy,
            Err(error) => return vec![format!("no charter: {error}")],
        };
        let id = self.next_id();
        self.submit(self.actor(who), None, id, Command::ApplyCharter(Arc::new(policy)))
    }

    /// `tester is upheld as qa for web@1.0.0 in prod`, or `with night's key` for another's.
    pub(super) fn uphold(
        &self,
        document: &mut toml_edit::DocumentMut,
        who: &str,
        (how, whom): (&str, &str),
        what: &str,
        audience: &str,
    ) {
        let (app, version) = (read(app_of(what)), version_of(what));
        let requests = self.state.in_audience(&app, &read(audience)).and_then(|record| record.requests.get(&version));
        let request = requests.and_then(|requests| requests.last()).expect("somebody asked for it");
        let (key, role) = if how == "as" { (who, whom) } else { (whom.trim_end_matches("'s"), "qa") };
        add_upheld(document, who, role, key, *request);
    }

    /// `ci is upheld as ci for lint of web@1.0.0`: the newest of that type.
    pub(super) fn uphold_evidence(
        &self,
        document: &mut toml_edit::DocumentMut,
        who: &str,
        role: &str,
        kind: &str,
        what: &str,
    ) {
        let record = &self.state.apps[&read::<AppName>(app_of(what))];
        let build = &record.builds[&record.versions[&version_of(what)].build];
        let evidence = build.evidence.iter().rev().find(|evidence| evidence.kind == kind);
        let statement = evidence.and_then(|evidence| evidence.payload).expect("somebody attached it");
        add_upheld(document, who, role, who, statement);
    }

    /// `withdrawal 1 of web@1.0.0 from prod is annulled`: counted from 1.
    pub(super) fn annul(&self, document: &mut toml_edit::DocumentMut, number: usize, what: &str, audience: &str) {
        let (app, version) = (read(app_of(what)), version_of(what));
        let record = self.state.in_audience(&app, &read(audience)).expect("something happened there");
        let mut withdrawals = record.withdrawals.iter().filter(|withdrawal| withdrawal.version == version);
        let digest = withdrawals.nth(number - 1).and_then(|withdrawal| withdrawal.payload).expect("it was withdrawn");
        let list = document.entry("annulled").or_insert(toml_edit::value(toml_edit::Array::new()));
        list.as_array_mut().expect("a list").push(digest.to_string());
    }
}

/// `prod has soak_minutes = 10`, or `tester is gone`.
fn alter(document: &mut toml_edit::DocumentMut, change: &str) {
    let (entry, what) = change.split_once(' ').expect("an entry and what changes");
    let sections = ["people", "robots", "customers", "environments", "channels", "applications", "vendors"];
    let section = sections.into_iter().find(|section| document.get(section).is_some_and(|s| s.get(entry).is_some()));
    let section = section.unwrap_or_else(|| panic!("the charter has no {entry}"));
    match what.strip_prefix("has ").and_then(|pair| pair.split_once(" = ")) {
        Some((key, value)) => {
            let value: toml_edit::Value = value.parse().expect("a TOML value");
            document[section][entry][key] = toml_edit::Item::Value(value);
        }
        None => {
            let table = document[section].as_table_mut().expect("a section is a table");
            table.remove(entry);
        }
    }
}

/// Upholds one statement of a key.
fn add_upheld(document: &mut toml_edit::DocumentMut, who: &str, role: &str, key: &str, statement: Digest) {
    let mut entry = toml_edit::Table::new();
    entry["person"] = toml_edit::value(who);
    entry["roles"] = toml_edit::value(toml_edit::Array::from_iter([role]));
    entry["key"] = toml_edit::value(format!("{{{key}}}"));
    entry["statements"] = toml_edit::value(toml_edit::Array::from_iter([statement.to_string()]));
    let upheld = document.entry("upheld").or_insert(toml_edit::Item::ArrayOfTables(Default::default()));
    upheld.as_array_of_tables_mut().expect("a list of tables").push(entry);
}

/// Puts each person's key where the charter says `{name}`.
fn with_keys(charter: &str) -> String {
    let mut text = String::new();
    for (at, part) in charter.split("\"{").enumerate() {
        match part.split_once("}\"") {
            Some((word, rest)) if at > 0 => {
                text.push_str(&format!("\"{}\"{rest}", secret(word).public().to_openssh()));
            }
            _ => text.push_str(part),
        }
    }
    text
}
