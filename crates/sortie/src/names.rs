//! What people type for things: `web`, `web@1.4.0`, `web#3fa9c1`, an audience; and the lessons for what they are not.

use crate::failure::{Failure, OrMisused};
use domain::refusal::Refusal;
use std::fmt;
use trust::{AppName, AudienceName, Digest, Version, names::printable};

/// An application, one of its versions, or one of its builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// `web`.
    App(AppName),
    /// `web@1.4.0`.
    Version(AppName, Version),
    /// `web#3fa9c1`: the first digits of the build's digest, at least six.
    Build(AppName, String),
}

impl Thing {
    /// Reads what was typed after `verb`.
    pub fn parse(verb: &str, text: &str) -> Result<Self, Failure> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(deployment_number(verb, text));
        }
        if let Some((app, version)) = text.split_once('@') {
            return Ok(Thing::Version(app_name(app)?, version.parse().or_misused()?));
        }
        if let Some((app, digits)) = text.split_once('#') {
            let digits = digits.trim_start_matches("sha256:").to_ascii_lowercase();
            let plain = digits.bytes().all(|b| b.is_ascii_hexdigit()) && (6..=64).contains(&digits.len());
            if !plain {
                return Err(Failure::misused(format!(
                    "'{}' is not a build: write its digest's first six digits or more, as in web#3fa9c1",
                    printable(text)
                )));
            }
            return Ok(Thing::Build(app_name(app)?, digits));
        }
        Ok(Thing::App(app_name(text)?))
    }

    /// As [`Self::parse`], where a whole application would be too much.
    pub fn parse_build(verb: &str, text: &str) -> Result<Self, Failure> {
        match Self::parse(verb, text)? {
            Thing::App(app) => Err(Failure::misused(format!(
                "which {app}? write a version or a build, as in {app}@1.4.0 or {app}#3fa9c1"
            ))
            .next(format!("sortie status {app}"))),
            thing => Ok(thing),
        }
    }

    /// As [`Self::parse`], where only a version will do: releases are of versions.
    pub fn parse_version(verb: &str, text: &str) -> Result<(AppName, Version), Failure> {
        match Self::parse_build(verb, text)? {
            Thing::Version(app, version) => Ok((app, version)),
            thing => {
                Err(Failure::misused(format!("{thing} has to be a version here: give the build its number first"))
                    .next(format!("sortie number {thing} next")))
            }
        }
    }

    /// The application.
    pub fn app(&self) -> &AppName {
        match self {
            Thing::App(app) | Thing::Version(app, _) | Thing::Build(app, _) => app,
        }
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Thing::App(app) => write!(f, "{app}"),
            Thing::Version(app, version) => write!(f, "{app}@{version}"),
            Thing::Build(app, digits) => write!(f, "{app}#{}", digits.get(..6).unwrap_or(digits)),
        }
    }
}

fn deployment_number(verb: &str, number: &str) -> Failure {
    let message = match verb {
        "deploy" => format!("{number} is a deployment. You deploy a version; to run it again"),
        _ => format!("{number} is a deployment, and you {verb} a version; to look at it"),
    };
    let next = if verb == "deploy" { format!("sortie redeploy {number}") } else { format!("sortie status {number}") };
    Failure::misused(format!("{message}: `{next}`")).next(next)
}

/// An application's name.
pub fn app_name(text: &str) -> Result<AppName, Failure> {
    AppName::new(text).or_misused()
}

/// An audience's name; people are no audience.
pub fn audience_name(text: &str) -> Result<AudienceName, Failure> {
    if matches!(text, "users" | "everyone" | "end-users" | "customers-all") {
        return Err(Failure::misused("end users see deployed code by `expose`")
            .next("sortie expose web@1.4.0 --in prod --percent 100"));
    }
    AudienceName::new(text).or_misused()
}

/// The name in `known` that `text` was probably meant to be.
pub fn nearest<'a, T: std::borrow::Borrow<str>>(text: &str, known: impl IntoIterator<Item = &'a T>) -> Option<&'a T> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(text, name.borrow()), name))
        .filter(|(distance, name)| *distance <= 2.max(name.borrow().len() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The refusal of an audience the charter does not have.
pub fn unknown_audience(charter: &trust::charter::Charter, name: &AudienceName) -> Failure {
    let known: Vec<&AudienceName> = charter.audience_names().collect();
    let nearest = nearest(name.as_str(), known).cloned();
    Refusal::UnknownAudience { name: name.clone(), nearest }.into()
}

/// The one build among `known` whose digest begins with `digits`.
pub fn one_build(app: &AppName, digits: &str, known: &[Digest]) -> Result<Digest, Failure> {
    let mut fitting = known.iter().filter(|digest| digest.hex().starts_with(digits));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(*one),
        (None, _) => Err(Failure::new("UNKNOWN_BUILD", 2, format!("{app} has no build #{digits}"))
            .next(format!("sortie status {app}"))),
        (Some(one), Some(other)) => Err(Failure::misused(format!(
            "#{digits} is the beginning of several builds of {app}: {} and {}; write more digits",
            &one.hex()[..16],
            &other.hex()[..16]
        ))),
    }
}

/// Where something is done: `--to`, `--in` and `--from` mean the same wherever only one can be meant.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The environment or channel (--to, --in and --from are taken alike)
    #[arg(long = "to", visible_aliases = ["in", "from"], value_name = "AUDIENCE")]
    pub audience: String,
}

impl Place {
    /// The audience's name.
    pub fn name(&self) -> Result<AudienceName, Failure> {
        audience_name(&self.audience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_read_and_wrong_ones_get_a_lesson() {
        let thing = |text: &str| Thing::parse("deploy", text);
        assert_eq!(thing("web@1.4.0").unwrap().to_string(), "web@1.4.0");
        assert_eq!(thing("web#3FA9C1e0").unwrap().to_string(), "web#3fa9c1");
        assert_eq!(thing("web").unwrap().to_string(), "web");
        let number = thing("17").unwrap_err();
        assert_eq!(
            number.problem.message,
            "17 is a deployment. You deploy a version; to run it again: `sortie redeploy 17`"
        );
        assert_eq!(number.problem.exit, 2);
        assert!(thing("web#xyz").is_err() && thing("web@").is_err() && thing("Web").is_err());
        assert!(audience_name("users").unwrap_err().problem.message.contains("expose"));
    }

    #[test]
    fn a_build_is_the_only_one_with_its_digits() {
        let app = AppName::new("web").unwrap();
        let known = [Digest::of(b"1"), Digest::of(b"2")];
        let digits = &known[0].hex()[..8];
        assert_eq!(one_build(&app, digits, &known).unwrap(), known[0]);
        assert_eq!(one_build(&app, "", &known).unwrap_err().problem.exit, 2);
        assert_eq!(one_build(&app, "zzzzzz", &known).unwrap_err().code(), "UNKNOWN_BUILD");
    }
}
