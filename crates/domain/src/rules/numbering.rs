//! A number is given once to one build and never moved (R34); numbers increase within a release line (R39): 1.4.1 may
//! follow 1.5.0, and must not follow 1.4.2.

use crate::{
    refusal::Refusal,
    state::{App, Build},
};
use trust::{AppName, Digest, Version, charter::Numbering};

/// Fails if `version` cannot become the number of `build`.
pub fn next(
    name: &AppName,
    app: &App,
    build: &Digest,
    record: &Build,
    version: &Version,
    numbering: Numbering,
) -> Result<(), Refusal> {
    if let Some(numbered) = app.versions.get(version) {
        if numbered.build == *build {
            let what = format!("{name}@{version} is {name}#{}", build.short());
            return Err(Refusal::AlreadyDone { what, since: Some(numbered.stamp.time) });
        }
        return Err(Refusal::NumberTaken { app: name.clone(), version: version.clone(), build: numbered.build });
    }
    if let Some(version) = &record.version {
        return Err(Refusal::BuildNumbered { app: name.clone(), version: version.clone() });
    }
    of_kind(name, version, numbering)?;
    let same_line = app
        .versions
        .keys()
        .filter(|other| other.line() == version.line() && other.parts().len() == version.parts().len());
    match same_line.max() {
        Some(highest) if highest >= version => {
            Err(Refusal::NumberNotIncreasing { app: name.clone(), version: version.clone(), highest: highest.clone() })
        }
        _ => Ok(()),
    }
}

fn of_kind(name: &AppName, version: &Version, numbering: Numbering) -> Result<(), Refusal> {
    let parts = version.parts();
    let (fits, expected) = match numbering {
        Numbering::Semver => (parts.len() == 3, "1.4.0"),
        Numbering::Calver => (
            matches!(parts, [year, month, ..] if (2000..10000).contains(year) && (1..=12).contains(month))
                && parts.len() >= 2,
            "2026.11.1",
        ),
        Numbering::Counter => (parts.len() == 1 && !version.is_prerelease(), "17"),
    };
    if fits {
        return Ok(());
    }
    Err(Refusal::NumberKind { app: name.clone(), version: version.clone(), expected: expected.into() })
}

/// The number that follows, by counting: the last part of the highest number plus one.
pub fn following(app: &App, numbering: Numbering, year: i16, month: i8) -> Version {
    let highest = app.versions.keys().filter(|version| !version.is_prerelease()).max();
    let parse = |text: String| text.parse().unwrap_or_else(|_| Version::first());
    match (numbering, highest) {
        (Numbering::Semver, Some(highest)) => highest.bumped(2),
        (Numbering::Semver, None) => Version::first(),
        (Numbering::Counter, Some(highest)) => highest.bumped(0),
        (Numbering::Counter, None) => parse("1".into()),
        (Numbering::Calver, Some(highest))
            if highest.line() == [u64::from(year.unsigned_abs()), u64::from(month.unsigned_abs())] =>
        {
            highest.bumped(2)
        }
        (Numbering::Calver, _) => parse(format!("{year}.{month}.1")),
    }
}
