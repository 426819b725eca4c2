//! What a deployment would change on targets besides what runs: files and config.

use crate::{connection::Connection, failure::Failure, object, output};
use api::{
    read::{BuildName, ConfigView},
    routes,
};
use domain::{planned, sizes};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest,
    config::{ConfigDocument, ConfigValue},
    manifest::{Entry, Manifest},
    names::printable,
};

/// How many paths people are shown of those that change.
const PATHS_SHOWN: usize = 5;

/// How the new build's files differ from one that runs, or from nothing.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct FilesChanged {
    pub app: AppName,
    /// The build that runs; nothing where none does.
    pub from: Option<String>,
    pub changed: u64,
    pub added: u64,
    pub removed: u64,
    /// How much there is to fetch at most.
    pub new_bytes: u64,
    /// Each of them by its path.
    pub paths: Paths,
}

/// The files that differ.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Paths {
    pub changed: Vec<String>,
    pub added: Vec<String>,
    pub removed: Vec<String>,
}

/// How a new build's files differ from one that runs.
pub async fn files(
    connection: &Connection,
    running: Option<&BuildName>,
    manifest: &Manifest,
) -> Result<FilesChanged, Failure> {
    let old = match running {
        Some(name) => object::manifest_if_there(connection, &name.build).await?,
        None => None,
    };
    Ok(files_changed(running.map(BuildName::short), old.as_ref(), manifest))
}

fn files_changed(from: Option<String>, old: Option<&Manifest>, new: &Manifest) -> FilesChanged {
    let by_path = |manifest: &Manifest| -> BTreeMap<String, Entry> {
        manifest.files.iter().map(|entry| (entry.path().to_string(), entry.clone())).collect()
    };
    let known: BTreeSet<Digest> = old.into_iter().flat_map(Manifest::objects).map(|(digest, _)| digest).collect();
    let app = new.app.clone();
    let (old, new) = (old.map(by_path).unwrap_or_default(), by_path(new));
    let removed = old.keys().filter(|path| !new.contains_key(*path)).cloned().collect();
    let mut paths = Paths { removed, ..Paths::default() };
    let mut new_bytes = 0;
    for (path, entry) in &new {
        match old.get(path) {
            Some(before) if before == entry => continue,
            Some(_) => paths.changed.push(path.clone()),
            None => paths.added.push(path.clone()),
        }
        if let Entry::File { size, digest, .. } = entry
            && !known.contains(digest)
        {
            new_bytes += size;
        }
    }
    let [changed, added, removed] = [&paths.changed, &paths.added, &paths.removed].map(|paths| paths.len() as u64);
    FilesChanged { app, from, changed, added, removed, new_bytes, paths }
}

/// `  since 1.4.0: 37 files changed, +2 −1; 4.1 MB at most to fetch`, and which those are.
pub fn files_in_words(files: &FilesChanged) -> Vec<String> {
    let FilesChanged { from, changed, added, removed, new_bytes, paths, .. } = files;
    let fetched = sizes::length(*new_bytes);
    let Some(from) = from else {
        return vec![format!("  where nothing runs: {}; {fetched} at most to fetch", output::count(*added, "file"))];
    };
    let counts = output::count(*changed, "file");
    let mut lines = vec![format!("  since {from}: {counts} changed, +{added} −{removed}; {fetched} at most to fetch")];
    let all = || {
        let sign = |sign: &'static str, paths: &'_ [String]| -> Vec<String> {
            paths.iter().map(|path| format!("{sign}{}", printable(path))).collect()
        };
        [sign("", &paths.changed), sign("+", &paths.added), sign("−", &paths.removed)].concat()
    };
    let all = all();
    let (shown, more) = all.split_at(all.len().min(PATHS_SHOWN));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more (--json names all)", more.len()) };
    lines.extend((!shown.is_empty()).then(|| format!("    {}{more}", shown.join(", "))));
    lines
}

/// How the config that targets get differs from the one that what runs there has.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ConfigChanged {
    pub app: AppName,
    /// The serial of the config that it runs with; nothing where it has none.
    pub from: Option<u64>,
    /// The serial of the config in force.
    pub to: u64,
    /// The keys that differ.
    pub keys: Vec<KeyChanged>,
}

/// One key that differs. What is secret stays so.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct KeyChanged {
    pub key: String,
    pub secret: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What the config in force changes on the targets that a plan names.
pub async fn config(
    connection: &Connection,
    app: &AppName,
    environment: &AudienceName,
    now: &ConfigView,
    targets: impl Iterator<Item = &planned::PlannedTarget>,
) -> Result<Vec<ConfigChanged>, Failure> {
    let serials: BTreeSet<u64> = targets.map(|target| target.config_serial).collect();
    let mut changes = Vec::new();
    for from in serials.into_iter().filter(|from| *from != now.serial) {
        let old = match from {
            0 => None,
            from => config_of(connection, app, environment, Some(from)).await?.document,
        };
        let keys = keys_changed(old.as_ref(), now.document.as_ref());
        changes.push(ConfigChanged {
            app: app.clone(),
            from: Some(from).filter(|from| *from > 0),
            to: now.serial,
            keys,
        });
    }
    Ok(changes)
}

/// The config in force, or the set of a serial.
pub async fn config_of(
    connection: &Connection,
    app: &AppName,
    environment: &AudienceName,
    serial: Option<u64>,
) -> Result<ConfigView, Failure> {
    let serial = serial.map(|serial| serial.to_string());
    let query: Vec<(&str, &str)> = serial.iter().map(|serial| ("serial", serial.as_str())).collect();
    let path = routes::path(routes::CONFIG, &[app.as_str(), environment.as_str()]);
    Ok(connection.client.get(&path, &query).await?)
}

fn keys_changed(old: Option<&ConfigDocument>, new: Option<&ConfigDocument>) -> Vec<KeyChanged> {
    let none = BTreeMap::new();
    let [old, new] = [old, new].map(|document| document.map_or(&none, |document| &document.values));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let plain = |value: Option<&ConfigValue>| match value {
        Some(ConfigValue::Plain(value)) => Some(value.clone()),
        Some(ConfigValue::Secret(_)) | None => None,
    };
    let differs = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    differs
        .map(|key| {
            let (from, to) = (old.get(key), new.get(key));
            let secret = [from, to].into_iter().flatten().any(|value| matches!(value, ConfigValue::Secret(_)));
            KeyChanged { key: key.clone(), secret, from: plain(from), to: plain(to) }
        })
        .collect()
}

/// `  config 1 → 3: DATABASE, LOG_LEVEL`.
pub fn config_in_words(change: &ConfigChanged) -> String {
    let ConfigChanged { from, to, keys, .. } = change;
    let keys: Vec<String> = keys.iter().map(|key| printable(&key.key)).collect();
    let keys = if keys.is_empty() { "no key differs".into() } else { keys.join(", ") };
    match from {
        Some(from) => format!("  config {from} → {to}: {keys}"),
        None => format!("  config {to}: {keys}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_paths_are_named_and_how_many_more_there_are() {
        let paths = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut files = FilesChanged {
            app: "web".parse().unwrap(),
            from: Some("1.4.0".into()),
            changed: 2,
            added: 1,
            removed: 1,
            new_bytes: 4_100_000,
            paths: Paths {
                changed: paths(&["app.js", "app.css"]),
                added: paths(&["new.js"]),
                removed: paths(&["old.js"]),
            },
        };
        assert_eq!(
            files_in_words(&files),
            ["  since 1.4.0: 2 files changed, +1 −1; 4.1 MB at most to fetch", "    app.js, app.css, +new.js, −old.js"]
        );
        files.paths.changed.extend(paths(&["a", "b", "c"]));
        assert_eq!(files_in_words(&files)[1], "    app.js, app.css, a, b, c and 2 more (--json names all)");
    }

    #[test]
    fn keys_that_differ_are_named_and_secrets_stay_secret() {
        let document = |values: &[(&str, ConfigValue)]| ConfigDocument {
            app: "web".parse().unwrap(),
            environment: "prod".parse().unwrap(),
            values: values.iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
            salt: "00".into(),
        };
        let plain = |value: &str| ConfigValue::Plain(value.into());
        let secret = |value: &str| ConfigValue::Secret(value.into());
        let old = document(&[("DATABASE", secret("age one")), ("LOG_LEVEL", plain("info")), ("PORT", plain("80"))]);
        let new = document(&[("DATABASE", secret("age two")), ("LOG_LEVEL", plain("debug")), ("PORT", plain("80"))]);
        let keys = keys_changed(Some(&old), Some(&new));
        let change = ConfigChanged { app: old.app.clone(), from: Some(1), to: 3, keys };
        assert_eq!(config_in_words(&change), "  config 1 → 3: DATABASE, LOG_LEVEL");
        let json = serde_json::to_string(&change).unwrap();
        assert!(!json.contains("age") && json.contains(r#""from":"info","to":"debug""#), "{json}");
        let first = ConfigChanged { from: None, to: 1, keys: keys_changed(None, Some(&old)), ..change };
        assert_eq!(config_in_words(&first), "  config 1: DATABASE, LOG_LEVEL, PORT");
    }
}
