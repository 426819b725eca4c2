//! Version numbers: SemVer by default, CalVer (`2026.11.1`) or a counter (`17`) where an application says so.

use crate::names::printable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{cmp::Ordering, fmt, str::FromStr};

/// The number of a version: one to four numeric parts and an optional pre-release (`1.4.0-rc.1`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version {
    parts: Vec<u64>,
    pre: Option<semver::Prerelease>,
}

/// Why a text is not a version number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a version number: write for example 1.4.0, 1.4.0-rc.1, 2026.11.1 or 17")]
pub struct VersionError(String);

impl Version {
    /// The first number of a new application's line.
    pub fn first() -> Self {
        Self { parts: vec![0, 1, 0], pre: None }
    }

    /// The release line the number belongs to: all parts but the last (`1.4` for `1.4.1`). Numbers must increase
    /// within a line only, so that a hot fix 1.4.1 may follow 1.5.0 (R39).
    pub fn line(&self) -> &[u64] {
        &self.parts[..self.parts.len() - 1]
    }

    /// The numeric parts.
    pub fn parts(&self) -> &[u64] {
        &self.parts
    }

    /// The same number with part `index` increased by one and all later parts zero, without a pre-release.
    pub fn bumped(&self, index: usize) -> Self {
        let bump = |(at, part): (usize, &u64)| match at.cmp(&index) {
            Ordering::Less => *part,
            Ordering::Equal => part.saturating_add(1),
            Ordering::Greater => 0,
        };
        Self { parts: self.parts.iter().enumerate().map(bump).collect(), pre: None }
    }

    /// Whether it is a pre-release.
    pub fn is_prerelease(&self) -> bool {
        self.pre.is_some()
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let fail = || VersionError(printable(&text.chars().take(64).collect::<String>()));
        let (numbers, pre) = match text.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(semver::Prerelease::new(pre).map_err(|_| fail())?)),
            None => (text, None),
        };
        if text.len() > 64 || pre.as_ref().is_some_and(|pre| pre.is_empty()) {
            return Err(fail());
        }
        let part = |part: &str| {
            let plain = part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
            part.parse::<u64>().ok().filter(|_| plain).ok_or_else(fail)
        };
        let parts = numbers.split('.').map(part).collect::<Result<Vec<_>, _>>()?;
        if parts.len() > 4 {
            return Err(fail());
        }
        Ok(Self { parts, pre })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts.iter().map(u64::to_string).collect();
        let pre = self.pre.as_ref().map(|pre| format!("-{pre}")).unwrap_or_default();
        f.pad(&format!("{}{pre}", parts.join(".")))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts.cmp(&other.parts).then_with(|| match (&self.pre, &other.pre) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(two)) => one.cmp(two),
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_numeric_and_prereleases_come_first() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("1.10.0") > version("1.9.9"));
        assert!(version("1.0.0-rc.1") < version("1.0.0"));
        assert!(version("1.0.0-rc.2") < version("1.0.0-rc.10"));
        assert_eq!(version("1.4.1").line(), version("1.4.0").line());
        assert_eq!(version("1.4.1").bumped(1), version("1.5.0"));
        for bad in ["", "v1", "1..2", "01.2", "1.2.3.4.5", "1.0.0-", "1.0 ", "-1"] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?} was taken");
        }
    }
}
