//! `[package]`: the versions of other applications that a package lists. Which builds they are is found out when it is pushed.

use super::{Parsed, ProjectError, fields::Field};
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, Digest, Version,
    manifest::{FORMAT, Manifest, Member, Run},
};

/// A member as `sortie.toml` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which version.
    pub version: Version,
    /// The members that it comes after.
    pub after: BTreeSet<AppName>,
}

/// `db = "2.0.1"`, or `api = { version = "1.4.0", after = ["db"] }`.
pub(super) fn read(app: &AppName, field: &Field<'_>) -> Parsed<BTreeMap<AppName, Listed>> {
    let mut members = BTreeMap::new();
    for member in field.table("package")?.take_all() {
        let name = AppName::new(&member.name)
            .map_err(|error| member.source.error(&member.key_span, format!("a member is an application: {error}")))?;
        members.insert(name, read_member(&member)?);
    }
    if members.is_empty() {
        return Err(field.error("'package' lists nothing; write for example db = \"2.0.1\" under [package]"));
    }
    // The manifest's own rules say the rest: what comes after what, and how many there may be.
    let package = with_builds(&members, |_, _| Some(Digest::of(b"not looked up yet"))).unwrap_or_default();
    let manifest =
        Manifest { format: FORMAT, app: app.clone(), files: Vec::new(), run: Run { package, ..Run::default() } };
    manifest.validate().map_err(|error| field.source.error(&field.key_span, error.to_string()))?;
    Ok(members)
}

fn read_member(member: &Field<'_>) -> Parsed<Listed> {
    let version = |field: &Field<'_>| -> Result<Version, ProjectError> {
        field.text()?.parse().map_err(|error: trust::version::VersionError| field.error(error.to_string()))
    };
    let toml::de::DeValue::Table(_) = member.value else {
        return Ok(Listed { version: version(member)?, after: BTreeSet::new() });
    };
    let place = format!("package {}", member.name);
    let mut fields = member.table(&place)?;
    let (number, after) = (fields.take("version"), fields.take("after"));
    fields.end()?;
    let number = number.ok_or_else(|| {
        member.source.error(&member.key_span, format!("{place} has no 'version'; write version = \"1.4.0\""))
    })?;
    let mut names = BTreeSet::new();
    for name in after.map_or(Ok(Vec::new()), |field| field.texts())? {
        names.insert(AppName::new(name.text()?).map_err(|error| name.error(error.to_string()))?);
    }
    Ok(Listed { version: version(&number)?, after: names })
}

/// The members with the build that each of their versions is; nothing if one is not known.
pub fn with_builds(
    members: &BTreeMap<AppName, Listed>,
    build_of: impl Fn(&AppName, &Version) -> Option<Digest>,
) -> Option<BTreeMap<AppName, Member>> {
    let member = |(name, listed): (&AppName, &Listed)| {
        let Listed { version, after } = listed.clone();
        let build = build_of(name, &version)?;
        Some((name.clone(), Member { version, build, after }))
    };
    members.iter().map(member).collect()
}
