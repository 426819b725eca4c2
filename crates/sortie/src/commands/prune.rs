//! `sortie prune`: lets the bytes of builds go that nothing needs (R36), by an entry; and the objects that nothing names, by none.

use crate::{
    connection::Connection,
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    output::{self, Answer},
    table::table,
};
use api::{
    read::{KeptBuild, Prunable, Unnamed},
    routes,
};
use domain::sizes;
use serde_json::json;
use trust::{AppName, statement::AdministrationAct};

/// Let the bytes of builds go that nothing needs; what they were stays known (whoever may push)
///
/// Where no application is named, objects of the depot go too that no entry, build or draft names and that nobody brought
/// within a day: what a push brought that was never finished.
#[derive(Debug, clap::Args)]
pub struct Prune {
    /// One application; all where left out
    #[arg(value_name = "APP")]
    pub app: Option<String>,
    /// How many of the newest builds of each application stay whatever they are
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub keep: usize,
    /// How many days a build stays whatever it is
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub days: u32,
    /// Say what would go, and let nothing go
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

impl Prune {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let app = self.app.as_deref().map(AppName::new).transpose().or_misused()?;
        let connection = invocation.connect().await?;
        let (keep, days) = (self.keep.to_string(), self.days.to_string());
        let mut query = vec![("keep", keep.as_str()), ("days", days.as_str())];
        query.extend(app.as_ref().map(|app| ("app", app.as_str())));
        let found: Vec<Prunable> = connection.client.get(routes::PRUNABLE, &query).await?;
        let going: Vec<&Prunable> = found.iter().filter(|app| !app.builds.is_empty()).collect();
        // What nothing names belongs to no application.
        let unnamed: Unnamed = match self.app {
            None => {
                let answer = connection.client.get(routes::UNNAMED, &[]).await;
                let (unnamed, why_none) = known_unnamed(answer.map_err(Failure::from))?;
                why_none.into_iter().for_each(|why| invocation.aside(why));
                unnamed
            }
            Some(_) => Unnamed::default(),
        };
        let with_kept = self.dry_run || self.app.is_some();
        if going.is_empty() && unnamed.objects == 0 {
            let words = format!(
                "nothing to prune: every build is among the newest {}, younger than {} days, or needed.{}",
                self.keep,
                self.days,
                if with_kept { kept_in_words(&found.iter().collect::<Vec<_>>()) } else { String::new() }
            );
            return Ok(Answer::new(&json!({ "prunable": found, "unnamed": unnamed, "pruned": 0 }), words));
        }
        let words = in_words(&going, &unnamed, with_kept);
        let again = self.in_words();
        if self.dry_run {
            let answer = json!({ "prunable": found, "unnamed": unnamed, "pruned": 0 });
            return Ok(Answer::new(&answer, words).next(again));
        }
        invocation.say(&words);
        if !self.yes && !invocation.confirm("Let their bytes go?") {
            let why = format!("nothing was pruned: {}", invocation.unconfirmed());
            return Err(Failure::failed(why).next(format!("{again} --yes")));
        }
        let mut pruned = 0;
        let after = |pruned: usize| {
            move |failure: Failure| match pruned {
                0 => failure,
                pruned => failure.after(&format!("{} pruned; then ", output::count(pruned as u64, "build"))),
            }
        };
        for app in &going {
            // What is needed since is shown by asking for the same once more.
            let same = |failure: Failure| match failure.code() {
                "BUILD_NEEDED" => failure.next(format!("{again} --dry-run")),
                _ => failure,
            };
            one(&connection, app).await.map_err(same).map_err(after(pruned))?;
            pruned += app.builds.len();
        }
        let mut said = Vec::new();
        if pruned > 0 {
            let bytes: u64 = going.iter().map(|app| app.bytes).sum();
            said.push(format!(
                "{} pruned; {} become free. Their names, numbers and history stay.",
                output::count(pruned as u64, "build"),
                sizes::length(bytes)
            ));
        }
        let gone = self.prune_unnamed(&connection, &unnamed).await.map_err(after(pruned))?;
        if gone.objects > 0 {
            let count = output::count(gone.objects, "object");
            said.push(format!("{count} ({}) that nothing names removed.", sizes::length(gone.bytes)));
        }
        // Somebody else was quicker between the question and the answer.
        if said.is_empty() {
            said.push("nothing to prune any more.".into());
        }
        Ok(Answer::new(&json!({ "prunable": found, "unnamed": gone, "pruned": pruned }), said.join("\n")))
    }
}

impl Prune {
    async fn prune_unnamed(&self, connection: &Connection, unnamed: &Unnamed) -> Result<Unnamed, Failure> {
        match unnamed.objects {
            0 => Ok(Unnamed::default()),
            _ => Ok(connection.client.post(routes::UNNAMED, &()).await?),
        }
    }

    /// The command as it was typed, without what it only asked.
    fn in_words(&self) -> String {
        let app = self.app.as_ref().map(|app| format!(" {app}")).unwrap_or_default();
        format!("sortie prune{app} --keep {} --days {}", self.keep, self.days)
    }
}

/// What nothing names, as the server says, or why it does not. One that is too old to know this prunes builds all the same; and
/// whoever may not push may see which builds would go, though not this.
fn known_unnamed(answer: Result<Unnamed, Failure>) -> Result<(Unnamed, Option<&'static str>), Failure> {
    let why = match answer {
        Ok(unnamed) => return Ok((unnamed, None)),
        Err(failure) if failure.code() == "SERVER_OLDER" => {
            "the server is older than this program: it prunes builds, and cannot say what nothing names. Put the newer program in \
             its place (docs/upgrading.md), then type `sortie prune` again"
        }
        Err(failure) if failure.code() == "ROLE_MISSING" => {
            "what nothing names is told to those who may push: `sortie whoami` says which roles you hold"
        }
        Err(failure) => return Err(failure),
    };
    Ok((Unnamed::default(), Some(why)))
}

async fn one(connection: &Connection, app: &Prunable) -> Result<(), Failure> {
    let builds = app.builds.iter().map(|build| build.build).collect();
    connection.administer(AdministrationAct::PruneBuilds { app: app.app.clone(), builds }).await?;
    Ok(())
}

/// What goes; with each build that stays where that was asked for, since it may be many.
fn in_words(going: &[&Prunable], unnamed: &Unnamed, with_kept: bool) -> String {
    let unnamed = match unnamed.objects {
        0 => String::new(),
        objects => format!(
            "{} ({}) that nothing names, older than a day, would go too: no build, no draft and no document needs them.",
            output::count(objects, "object"),
            sizes::length(unnamed.bytes)
        ),
    };
    if going.is_empty() {
        return unnamed;
    }
    let mut rows = Vec::new();
    for app in going {
        for build in &app.builds {
            let name = match &build.version {
                Some(version) => format!("{}@{version}", app.app),
                None => format!("{}#{}", app.app, build.build.short()),
            };
            rows.push(vec![name, build.pushed.strftime("%Y-%m-%d").to_string()]);
        }
    }
    let kept: u64 = going.iter().map(|app| app.kept).sum();
    let bytes: u64 = going.iter().map(|app| app.bytes).sum();
    format!(
        "{}\nof these applications {} stay; {} would become free.{}{}{unnamed}",
        table(&["build", "pushed"], &rows),
        output::count(kept, "build"),
        sizes::length(bytes),
        if with_kept { kept_in_words(going) } else { String::new() },
        if unnamed.is_empty() { "" } else { "\n" }
    )
}

/// Why each build stays, a line a build.
fn kept_in_words(found: &[&Prunable]) -> String {
    let of_app = |app: &Prunable| {
        let line = |kept: &KeptBuild| format!("\n  {} stays: {}", kept.name.of(&app.app), kept.why);
        app.kept_builds.iter().map(line).collect::<String>()
    };
    found.iter().map(|app| of_app(app)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_pruned_where_the_server_does_not_say_what_nothing_names() {
        let known = Unnamed { objects: 2, bytes: 22 };
        assert_eq!(known_unnamed(Ok(known)).unwrap(), (known, None));
        for code in ["SERVER_OLDER", "ROLE_MISSING"] {
            let (unnamed, why) = known_unnamed(Err(Failure::new(code, 1, "no"))).unwrap();
            assert!(unnamed == Unnamed::default() && why.is_some(), "{code}");
        }
        assert!(known_unnamed(Err(Failure::failed("the server is away"))).is_err());
    }
}
