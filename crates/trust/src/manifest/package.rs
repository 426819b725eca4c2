//! A package: an application whose build has nothing to install of its own and lists versions of others, which are released
//! and deployed together, each after those that it comes after.

use super::{Manifest, ManifestError, Run};
use crate::{
    digest::Digest,
    names::{AppName, printable},
    version::Version,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most members of a package.
pub const MAX_MEMBERS: usize = 64;
/// The longest manifest of a package, in bytes: it travels with the statements behind each of its members.
pub const MAX_PACKAGE_BYTES: usize = 64 << 10;

/// A version of another application that a package lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The version, for people.
    pub version: Version,
    /// The build that the version is: these very bytes are meant.
    pub build: Digest,
    /// The members that must run as listed before this one begins.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<AppName>,
}

impl Run {
    /// Checks what the types of this module do not carry.
    pub(super) fn validate_package(&self, app: &AppName) -> Result<(), ManifestError> {
        let wrong = |text: String| Err(ManifestError::Run(text));
        if self.package.is_empty() {
            return Ok(());
        }
        if self.package.len() > MAX_MEMBERS {
            return wrong(format!("a package has at most {MAX_MEMBERS} members; this one has {}", self.package.len()));
        }
        if *self != (Run { package: self.package.clone(), ..Run::default() }) {
            return wrong("a package only lists versions of others: what runs, and how, their own builds say".into());
        }
        for (name, member) in &self.package {
            if name == app {
                return wrong(format!("{app} cannot be a member of itself"));
            }
            if let Some(other) = member.after.iter().find(|other| !self.package.contains_key(*other)) {
                return wrong(format!("{name} comes after {}, which is no member", printable(other.as_str())));
            }
        }
        match steps(&self.package) {
            Ok(_) => Ok(()),
            Err(circle) => {
                let names: Vec<&str> = circle.iter().map(AppName::as_str).collect();
                wrong(match names.as_slice() {
                    [one] => format!("{one} comes after itself: it could never begin"),
                    names => format!("{} come after one another in a circle: none could ever begin", names.join(", ")),
                })
            }
        }
    }
}

/// The members in the steps in which they are deployed: each after all that it comes after. Fails with those that come
/// after one another in a circle.
pub fn steps(members: &BTreeMap<AppName, Member>) -> Result<Vec<Vec<AppName>>, Vec<AppName>> {
    let mut left: BTreeSet<&AppName> = members.keys().collect();
    let mut steps = Vec::new();
    while !left.is_empty() {
        let is_free = |name: &&&AppName| {
            members.get(**name).is_none_or(|member| member.after.iter().all(|other| !left.contains(other)))
        };
        let step: Vec<&AppName> = left.iter().filter(is_free).copied().collect();
        if step.is_empty() {
            return Err(left.into_iter().cloned().collect());
        }
        left.retain(|name| !step.contains(name));
        steps.push(step.into_iter().cloned().collect());
    }
    Ok(steps)
}

impl Manifest {
    /// Reads the manifest of a package, which is short.
    pub fn of_package(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_PACKAGE_BYTES {
            return Err(ManifestError::TooLargePackage(bytes.len()));
        }
        let manifest = Self::from_bytes(bytes)?;
        match manifest.run.package.is_empty() {
            true => Err(ManifestError::Run(format!("{} is no package", manifest.app))),
            false => Ok(manifest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Driver, Entry, FORMAT};

    fn name(text: &str) -> AppName {
        text.parse().unwrap()
    }

    fn member(after: &[&str]) -> Member {
        let after = after.iter().map(|text| name(text)).collect();
        Member { version: "1.0.0".parse().unwrap(), build: Digest::of(b"x"), after }
    }

    fn package(members: &[(&str, &[&str])]) -> Manifest {
        let package = members.iter().map(|(app, after)| (name(app), member(after))).collect();
        Manifest { format: FORMAT, app: name("shop"), files: vec![], run: Run { package, ..Run::default() } }
    }

    #[test]
    fn members_go_in_steps_each_after_what_it_comes_after() {
        let shop = package(&[("web", &["api"]), ("api", &["db", "cache"]), ("db", &[]), ("cache", &[])]);
        assert!(shop.validate().is_ok());
        assert_eq!(shop.driver(), Driver::Package);
        let steps = steps(&shop.run.package).unwrap();
        let words: Vec<String> =
            steps.iter().map(|step| step.iter().map(AppName::as_str).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(words, ["cache db", "api", "web"]);
        let bytes = shop.to_bytes().unwrap();
        assert_eq!(Manifest::of_package(&bytes).unwrap(), shop);
    }

    #[test]
    fn what_is_no_package_is_refused() {
        let refused = |manifest: Manifest, why: &str| {
            let said = manifest.validate().unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        };
        refused(package(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]), "a, b, c come after one another");
        refused(package(&[("a", &["a"])]), "a comes after itself");
        refused(package(&[("a", &["b"])]), "a comes after b, which is no member");
        refused(package(&[("shop", &[])]), "shop cannot be a member of itself");
        let file = Entry::File { path: "a".into(), executable: false, size: 1, digest: Digest::of(b"x") };
        refused(Manifest { files: vec![file], ..package(&[("a", &[])]) }, "a package has no files");
        let run = Run { data: vec!["uploads".into()], ..package(&[("a", &[])]).run };
        refused(Manifest { run, ..package(&[("a", &[])]) }, "only lists versions");
        let many: Vec<String> = (0..=MAX_MEMBERS).map(|n| format!("a{n}")).collect();
        let many: Vec<(&str, &[&str])> = many.iter().map(|name| (name.as_str(), &[][..])).collect();
        refused(package(&many), "at most 64 members");
    }

    #[test]
    fn a_build_that_is_no_package_reads_as_before_and_is_none() {
        let plain = Manifest { run: Run::default(), ..package(&[("a", &[])]) };
        let bytes = plain.to_bytes().unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("package"), "old bytes stay the same");
        assert!(Manifest::of_package(&bytes).is_err());
    }
}
