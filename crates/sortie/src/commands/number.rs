//! `sortie number`: the whole pattern of a verb in one file.

use crate::{
    connection::Connection,
    failure::{Failure, OrMisused, Outcome},
    git,
    invocation::Invocation,
    names::Thing,
    output::Answer,
    project, releasing,
};
use api::{
    read::{App, Build, Lost, LostNumber, Status},
    routes,
};
use std::path::Path;
use trust::{
    AppName, AudienceName, Version,
    charter::{Charter, Numbering},
    statement::{self, Act},
};

/// Give a build its number, for good
#[derive(Debug, clap::Args)]
pub struct Number {
    /// The build: web#3fa9c1
    #[arg(value_name = "BUILD")]
    pub what: String,
    /// The number; `next` works it out from the commits since the last one
    #[arg(value_name = "VERSION|next")]
    pub version: String,
}

impl Number {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let thing = Thing::parse_build("number", &self.what)?;
        let connection = invocation.connect().await?;
        let (found, _) = connection.find(&thing, None).await?;
        let version = match self.version.as_str() {
            "next" => next(invocation, &connection, &found.app, &found.build).await?,
            text => text.parse().or_misused()?,
        };
        let act = Act::Number(statement::Number { app: found.app.clone(), version: version.clone() });
        let name = format!("{}#{}", found.app, found.build.short());
        let accepted = connection.submit(&name, found.build, act).await?;
        let numbered = format!("{}@{version}", found.app);
        let answer = Answer::new(&accepted, format!("{numbered} is {name}, for good."));
        let may_alone = |audience: &AudienceName| releasing::may_alone(&connection, audience);
        // Where its machines cannot be asked for, what the charter says of them is enough for a proposal.
        let query = [("app", found.app.as_str())];
        let status = connection.client.get::<Status>(routes::STATUS, &query).await.ok();
        let has_targets = |name: &AudienceName| {
            let audiences = status.iter().flat_map(|status| &status.audiences);
            audiences.into_iter().any(|audience| audience.name == *name && audience.targets > 0)
        };
        Ok(match first_released_audience(&connection.policy.charter, has_targets, may_alone) {
            Some(audience) => answer.next(releasing::command(&connection, &numbered, audience)),
            None => answer,
        })
    }
}

/// The first audience that somebody has to agree to: where a new version goes next. Environments come before channels, and
/// among those of one class the ones that have targets, that last, and to which the signer may release alone.
fn first_released_audience(
    charter: &Charter,
    has_targets: impl Fn(&AudienceName) -> bool,
    may_alone: impl Fn(&AudienceName) -> bool,
) -> Option<&AudienceName> {
    let turn = |name: &AudienceName| {
        let audience = charter.audience(name).filter(|audience| audience.approve.is_some())?;
        let is_thrown_away = charter.environments.get(name).is_some_and(|environment| environment.lives.is_some());
        let among = (!has_targets(name), is_thrown_away, !may_alone(name));
        Some((audience.after.is_some(), audience.class.is_none(), audience.class, among))
    };
    let named = charter.audience_names().filter_map(|name| Some((turn(name)?, name)));
    named.min_by_key(|(turn, _)| *turn).map(|(_, name)| name)
}

async fn next(
    invocation: &Invocation,
    connection: &Connection,
    name: &AppName,
    build: &trust::Digest,
) -> Result<Version, Failure> {
    let app: App = connection.app(name).await?;
    let build = app.builds.iter().find(|other| other.name.build == *build);
    let build = build.ok_or_else(|| Failure::misused(format!("{name} has no such build")))?;
    let lost: Lost = connection.client.get(routes::LOST, &[]).await?;
    if let Some(tagged) = tagged(name, build) {
        let version = not_lost(tagged.clone(), name, &build.name.build, &lost.numbers);
        if version != tagged {
            invocation
                .aside(&format!("the tag says {tagged}; `sortie ledger lost` names which build has which number"));
        }
        return Ok(version);
    }
    let highest = app
        .builds
        .iter()
        .filter(|build| build.name.version.is_some())
        .max_by(|one, other| one.name.version.cmp(&other.name.version));
    let today = jiff::Zoned::now().date();
    let next = match (connection.policy.charter.numbering(name), highest.and_then(|build| build.name.version.as_ref()))
    {
        (Numbering::Counter, highest) => Ok(highest.map_or("1".parse().or_misused()?, |highest| highest.bumped(0))),
        (Numbering::Calver, highest) => next_calver(highest, today.year(), today.month()),
        (Numbering::Semver, None) => Ok(Version::first()),
        (Numbering::Semver, Some(version)) => {
            let messages = messages_since(name, highest, build).unwrap_or_else(|why| {
                invocation.aside(&format!("counting one patch: {}", why.problem.message));
                Vec::new()
            });
            Ok(next_semver(version, &messages))
        }
    }?;
    Ok(not_lost(next, name, &build.name.build, &lost.numbers))
}

/// A number that the ledger has lost stays with the build that has it: others get the one after.
fn not_lost(next: Version, app: &AppName, build: &trust::Digest, lost: &[LostNumber]) -> Version {
    if let Some(own) = lost.iter().find(|lost| lost.app == *app && lost.build == *build) {
        return own.version.clone();
    }
    let mut next = next;
    while lost.iter().any(|lost| lost.app == *app && lost.version == next) {
        next = next.bumped(next.parts().len().saturating_sub(1));
    }
    next
}

/// A tag `web/v1.4.0` (or `v1.4.0`) at the commit is somebody's decision already made.
fn tagged(app: &AppName, build: &Build) -> Option<Version> {
    let tag = build.commit.as_ref()?.tag.as_ref()?;
    let number = tag.strip_prefix(app.as_str()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(tag);
    number.strip_prefix('v').unwrap_or(number).parse().ok()
}

/// The messages of the commits that made `build` another one than `before`, of the paths that are the application's.
fn messages_since(app: &AppName, before: Option<&Build>, build: &Build) -> Result<Vec<String>, Failure> {
    let id = |build: &Build| build.commit.as_ref().map(|commit| commit.id.clone());
    let newer = id(build).ok_or_else(|| Failure::failed("the build names no commit"))?;
    let older = before.and_then(id).ok_or_else(|| Failure::failed("the last version names no commit"))?;
    let located = project::find(Path::new("."), Some(app.as_str()))?;
    let (folder, paths) = match located {
        Some(located) => (located.folder, located.project.paths),
        None => (".".into(), Vec::new()),
    };
    let folder = git::top(&folder).ok_or_else(|| Failure::failed("this is not the application's repository"))?;
    git::messages(&folder, Some(&older), &newer, &paths)
}

/// Conventional commits: a breaking change is a new major, a feature a new minor, everything else a patch. Before 1.0
/// nothing is promised yet, so a breaking change is a new minor.
fn next_semver(last: &Version, messages: &[String]) -> Version {
    let parsed = || messages.iter().filter_map(|message| git_conventional::Commit::parse(message).ok());
    let breaking = parsed().any(|commit| commit.breaking());
    let feature = parsed().any(|commit| commit.type_() == git_conventional::Type::FEAT);
    let major = usize::from(last.parts().first() == Some(&0));
    let patch = last.parts().len().saturating_sub(1);
    // A pre-release is followed by the number it announced.
    if last.is_prerelease() && !breaking {
        let announced: Vec<String> = last.parts().iter().map(u64::to_string).collect();
        return announced.join(".").parse().unwrap_or_else(|_| last.bumped(patch));
    }
    let index = if breaking {
        major
    } else if feature {
        1
    } else {
        patch
    };
    last.bumped(index.min(patch))
}

/// `2026.11.1`, then `2026.11.2`, and from the first of the next month `2026.12.1`.
fn next_calver(highest: Option<&Version>, year: i16, month: i8) -> Result<Version, Failure> {
    let this_month = [u64::try_from(year).unwrap_or(0), u64::try_from(month).unwrap_or(0)];
    match highest {
        Some(version) if version.parts().starts_with(&this_month) && version.parts().len() == 3 => {
            Ok(version.bumped(2))
        }
        _ => format!("{year}.{month}.1").parse().or_misused(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(last: &str, messages: &[&str]) -> String {
        let messages: Vec<String> = messages.iter().map(ToString::to_string).collect();
        next_semver(&last.parse().unwrap(), &messages).to_string()
    }

    #[test]
    fn r39_the_next_number_follows_from_the_commits() {
        assert_eq!(after("1.4.0", &["fix: a leak"]), "1.4.1");
        assert_eq!(after("1.4.0", &["fix: a leak", "feat(ui): a button"]), "1.5.0");
        assert_eq!(after("1.4.0", &["feat!: new protocol"]), "2.0.0");
        assert_eq!(after("1.4.0", &["fix: x\n\nBREAKING CHANGE: y"]), "2.0.0");
        assert_eq!(after("0.3.1", &["feat!: new protocol"]), "0.4.0");
        assert_eq!(after("1.4.0", &["whatever people write"]), "1.4.1");
        assert_eq!(after("1.4.0", &[]), "1.4.1");
        assert_eq!(after("2.0.0-rc.1", &["fix: x"]), "2.0.0");
    }

    #[test]
    fn a_new_version_goes_next_where_its_signer_may_release_it() {
        let text = r#"
            charter = "acme"
            [environments]
            dev = { class = "dev", deploy = "developer" }
            review-a = { class = "test", approve = "qa", deploy = "developer" }
            review-b = { class = "test", approve = "developer", deploy = "developer" }
            prod = { class = "live", approve = "ops", deploy = "ops", after = "review-a" }
            [channels]
            beta = { approve = "developer" }
            [people]
            coder = { roles = ["developer", "qa", "ops"], keys = ["KEY"] }
        "#;
        let key = trust::key::Signer::public(&trust::key::SecretKey::from_seed(&[1; 32])).to_openssh();
        let charter = Charter::from_bytes(text.replace("KEY", &key).as_bytes()).unwrap();
        let first = |targets: &str, may: &str| {
            let found = first_released_audience(&charter, |name| name.as_str() == targets, |name| name.as_str() == may);
            found.unwrap().to_string()
        };
        assert_eq!(first("none", "review-b"), "review-b");
        assert_eq!(first("none", "nothing"), "review-a");
        assert_eq!(first("none", "beta"), "review-a");
        // Where nothing can be installed a version is not released first.
        assert_eq!(first("review-b", "review-a"), "review-b");
    }

    #[test]
    fn r39_calendar_numbers_count_within_the_month() {
        let next = |highest: Option<&str>| {
            let highest: Option<Version> = highest.map(|text| text.parse().unwrap());
            next_calver(highest.as_ref(), 2026, 11).unwrap().to_string()
        };
        assert_eq!(next(None), "2026.11.1");
        assert_eq!(next(Some("2026.11.4")), "2026.11.5");
        assert_eq!(next(Some("2026.10.9")), "2026.11.1");
    }
}
