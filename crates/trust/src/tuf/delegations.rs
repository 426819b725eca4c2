//! Delegations (TUF 4.5): who else may sign for which paths.

use super::{
    PEOPLE_FIELD, TufError, TufRole,
    document::{Document, read_as},
    keys::{Delegator, Keyring, RoleKeys},
    names::check_role_name,
    root::Form,
};
use crate::{digest::Digest, names::printable};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// To whom a role of targets delegates, in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delegations {
    keyring: Keyring,
    pub(super) roles: Vec<DelegatedRole>,
}

/// One role that is delegated to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DelegatedRole {
    pub(super) name: String,
    keys: RoleKeys,
    /// Whether nobody who stands below may be asked about a path of this role.
    pub(super) terminating: bool,
    paths: Paths,
}

/// Which targets a role may vouch for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Paths {
    /// Those whose path is like one of these: `*` and `?` stand for anything but `/`.
    Patterns(Vec<String>),
    /// Those whose path has a SHA-256 that begins like one of these.
    HashPrefixes(Vec<String>),
}

#[derive(Deserialize)]
struct DelegationsJson {
    keys: BTreeMap<String, Value>,
    roles: Vec<DelegatedRoleJson>,
}

#[derive(Deserialize)]
struct DelegatedRoleJson {
    name: String,
    #[serde(flatten)]
    keys: RoleKeys,
    #[serde(default)]
    terminating: bool,
    paths: Option<Vec<String>>,
    path_hash_prefixes: Option<Vec<String>>,
}

impl Delegations {
    pub(super) fn read(value: &Value, form: Form) -> Result<Self, TufError> {
        let json: DelegationsJson = read_as(value)?;
        let mut keyring = Keyring::read(json.keys, form)?;
        if let (Form::Estate, Some(people)) = (form, value.get(PEOPLE_FIELD)) {
            keyring.people = read_as(people)?;
        }
        let roles = json.roles.into_iter().map(DelegatedRole::read).collect::<Result<Vec<_>, _>>()?;
        let mut seen = BTreeSet::new();
        if let Some(repeated) = roles.iter().find(|role| !seen.insert(role.name.as_str())) {
            return Err(TufError::Malformed(format!("the role '{}' is delegated to twice", printable(&repeated.name))));
        }
        Ok(Self { keyring, roles })
    }

    /// 5.6.3: whether `document` is signed as the delegator `by` asks of its role `name`.
    pub(super) fn check(&self, name: &str, by: &str, version: u64, document: &Document) -> Result<(), TufError> {
        let role = self.roles.iter().find(|role| role.name == name);
        let role = role.ok_or_else(|| TufError::Malformed(format!("'{}' is not delegated to", printable(name))))?;
        Delegator { name: by, version, keyring: &self.keyring }.check(name, &role.keys, document)
    }
}

impl DelegatedRole {
    fn read(json: DelegatedRoleJson) -> Result<Self, TufError> {
        check_role_name(&json.name)?;
        if json.keys.threshold == 0 {
            return Err(TufError::ThresholdZero(TufRole::Targets));
        }
        let paths = match (json.paths, json.path_hash_prefixes) {
            (Some(patterns), None) => Paths::Patterns(patterns),
            (None, Some(prefixes)) => Paths::HashPrefixes(prefixes),
            _ => {
                let name = printable(&json.name);
                return Err(TufError::Malformed(format!("'{name}' must have either paths or path_hash_prefixes")));
            }
        };
        Ok(Self { name: json.name, keys: json.keys, terminating: json.terminating, paths })
    }

    /// Whether the role may vouch for the target at `path`.
    pub(super) fn covers(&self, path: &str) -> bool {
        match &self.paths {
            Paths::Patterns(patterns) => patterns.iter().any(|pattern| is_match(pattern, path)),
            Paths::HashPrefixes(prefixes) => {
                let hash = Digest::of(path.as_bytes()).hex();
                prefixes.iter().any(|prefix| hash.starts_with(prefix.as_str()))
            }
        }
    }
}

/// Whether `path` is like `pattern`, part by part: no wildcard stands for a `/`.
fn is_match(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if is_part_match(pattern, part) => {}
            _ => return false,
        }
    }
}

/// Matches with one place to come back to, the last `*`, so that no pattern takes long.
fn is_part_match(pattern: &str, part: &str) -> bool {
    let (pattern, part): (Vec<char>, Vec<char>) = (pattern.chars().collect(), part.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut last_star = None;
    while t < part.len() {
        match pattern.get(p) {
            Some('*') => {
                last_star = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == part[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((star, taken)) = last_star else { return false };
                last_star = Some((star, taken + 1));
                (p, t) = (star + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::is_match;

    #[test]
    fn wildcards_stop_at_a_slash() {
        for (pattern, path) in [
            ("*", "a"),
            ("*", ""),
            ("a*c", "abbc"),
            ("a*b*c", "a-b-b-c"),
            ("foo-?.tgz", "foo-1.tgz"),
            ("*/*", "a/b"),
            ("ü?", "üß"),
            ("**", "abc"),
        ] {
            assert!(is_match(pattern, path), "{pattern} must match {path}");
        }
        for (pattern, path) in [
            ("*", "a/b"),
            ("a/*", "a"),
            ("a/*", "a/b/c"),
            ("foo-?.tgz", "foo-.tgz"),
            ("foo-?.tgz", "foo-12.tgz"),
            ("README.md", "README.MD"),
            ("a*c", "abcd"),
            ("?", "/"),
            ("[ab]", "a"),
        ] {
            assert!(!is_match(pattern, path), "{pattern} must not match {path}");
        }
        // A pattern that would take a careless matcher for ever.
        assert!(!is_match(&("a*".repeat(60) + "b"), &"a".repeat(5_000)));
    }
}
