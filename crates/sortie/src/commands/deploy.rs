//! `sortie deploy`: install, configure, activate and verify a build on targets.

use crate::{
    commands::{operate, why},
    connection::Connection,
    failure::{Failure, Outcome},
    follow::Following,
    invocation::Invocation,
    names::{Place, Thing},
    notes::{self, Note},
    object,
    order::{self, Data, Wanted, only},
    rollout::Care,
    when::When,
    output::{self, Answer},
    package,
};
use api::{
    read::{BuildName, ConfigView, Status, Why},
    routes,
};
use domain::{refusal::exit, rules::rollout};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest, TargetName,
    charter::Environment,
    manifest::{Entry, Manifest, steps},
    rollout::Rollout,
    schedule::Schedule,
    statement::OrderAct,
};

/// Install, configure, activate and verify a version on targets. Needs a permit, except in dev
#[derive(Debug, clap::Args)]
pub struct Deploy {
    /// The version or build: web@1.4.0, web#3fa9c1; `web` alone means the newest that is released there
    #[arg(value_name = "WHAT")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// These targets only
    #[arg(long, value_name = "TARGET", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub plan: bool,
    /// Let the order stand and wait until the version is released
    #[arg(long)]
    pub when_released: bool,
    /// Give what runs its newest config, and nothing else
    #[arg(long, conflicts_with_all = ["plan", "when_released", "at", "expires"])]
    pub config_only: bool,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub care: Care,
    #[command(flatten)]
    pub when: When,
    #[command(flatten)]
    pub following: Following,
}

impl Deploy {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let thing = Thing::parse("deploy", &self.what)?;
        let only = only(&self.only)?;
        let rollout = self.care.terms()?;
        let connection = invocation.connect().await?;
        let environment = connection.environment(&self.place)?;
        if self.config_only {
            let running = operate::Running { app: thing.app().clone(), environment, only, thing: Some(thing) };
            return operate::act_on_running(invocation, &connection, &running, OrderAct::Configure, &self.following)
                .await;
        }
        let thing = resolve(invocation, &connection, thing, &environment).await?;
        let (found, _) = connection.find(&thing, Some(&environment)).await?;
        let build = BuildName { build: found.build, version: found.version };
        let when_released = self.when_released;
        let (act, schedule, retries) = (OrderAct::Deploy, Schedule::default(), None);
        let keep_data = self.data.keep_data;
        let mut wanted = Wanted { app: found.app, build, environment, act, only, when_released, rollout, schedule, retries, keep_data };
        wanted.schedule = self.when.schedule(&connection, &wanted, Timestamp::now()).await?;
        if self.plan {
            return plan(&connection, &wanted).await;
        }
        let status = order::status(&connection, None).await?;
        for line in notes::in_words(&passed(&connection, &wanted, &status).await?) {
            invocation.aside(&format!("+ {line}"));
        }
        order::order(invocation, &connection, &wanted, &self.following).await
    }
}

/// An application alone means the newest version that is released to the environment, or in a dev environment that
/// has none the newest build. Which one that is gets said.
async fn resolve(
    invocation: &Invocation,
    connection: &Connection,
    thing: Thing,
    environment: &AudienceName,
) -> Result<Thing, Failure> {
    let Thing::App(app) = thing else { return Ok(thing) };
    let status = order::status(connection, None).await?;
    let chosen = newest(&status, &app, environment, connection.is_dev(environment))?;
    let (word, thing) = match chosen {
        (BuildName { version: Some(version), .. }, true) => ("released to", Thing::Version(app, version)),
        (name, _) => ("pushed, and nothing is released to", Thing::Build(app, name.build.hex())),
    };
    invocation.aside(&format!("{thing} is the newest {word} {environment}"));
    Ok(thing)
}

/// The newest build, and whether it is released there.
fn newest(
    status: &Status,
    app: &AppName,
    environment: &AudienceName,
    is_dev: bool,
) -> Result<(BuildName, bool), Failure> {
    let record = status.apps.iter().find(|other| other.app == *app);
    let released = record.and_then(|record| record.cells.iter().find(|cell| cell.audience == *environment));
    if let Some(released) = released.and_then(|cell| cell.released.first()) {
        return Ok((BuildName { build: released.build, version: Some(released.version.clone()) }, true));
    }
    let newest = record.and_then(|record| record.newest.clone());
    match newest {
        Some(newest) if is_dev => Ok((newest, false)),
        Some(BuildName { version: Some(version), .. }) => {
            Err(nothing_released(app, environment).next(format!("sortie request {app}@{version} --to {environment}")))
        }
        Some(newest) => Err(nothing_released(app, environment).next(format!("sortie number {} next", newest.of(app)))),
        None => Err(Failure::new("UNKNOWN_APPLICATION", exit::MISUSED, format!("nothing of {app} was ever pushed"))
            .next("sortie push")),
    }
}

fn nothing_released(app: &AppName, environment: &AudienceName) -> Failure {
    Failure::new("PERMIT_MISSING", exit::REFUSED, format!("nothing of {app} is released to {environment}"))
}

/// What a deployment would change, as far as it can be known beforehand.
#[derive(Debug, Serialize)]
struct Plan {
    what: String,
    environment: AudienceName,
    targets: Vec<PlannedTarget>,
    waves: usize,
    config_missing: Vec<String>,
    files: Option<Vec<FilesChanged>>,
    /// The versions since what runs there.
    notes: Vec<Note>,
    /// What a package lists, in the order in which it would go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<package::Shown>,
    why: Why,
}

#[derive(Debug, Serialize)]
struct PlannedTarget {
    target: TargetName,
    now: Option<BuildName>,
    then: BuildName,
    changes: bool,
}

/// How the new build's files differ from one that runs.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct FilesChanged {
    from: String,
    changed: u64,
    added: u64,
    removed: u64,
    new_bytes: u64,
}

async fn plan(connection: &Connection, wanted: &Wanted) -> Outcome {
    let Wanted { app, build, environment, .. } = wanted;
    let status = order::status(connection, None).await?;
    let manifest = object::manifest(connection, &build.build).await?;
    if !manifest.run.package.is_empty() {
        return plan_package(connection, wanted, &manifest, &status).await;
    }
    let targets = planned_targets(&status, wanted, &manifest.run.on);
    let mut files = Vec::new();
    let now: BTreeSet<Digest> =
        targets.iter().filter(|t| t.changes).filter_map(|t| t.now.as_ref()).map(|b| b.build).collect();
    for running in now {
        let name = targets.iter().filter_map(|target| target.now.as_ref()).find(|name| name.build == running);
        let old = object::manifest(connection, &running).await?;
        files.push(files_changed(name.map(BuildName::short).unwrap_or_default(), &old, &manifest));
    }
    let config: ConfigView =
        connection.client.get(&routes::path(routes::CONFIG, &[app.as_str(), environment.as_str()]), &[]).await?;
    let why = why::ask(connection, app, build, environment).await?;
    let rollout = connection.charter_environment(environment).map(Environment::rollout).unwrap_or_default();
    let waves = planned_waves(&rollout.with(&wanted.rollout), &status, &targets);
    let plan = Plan {
        what: build.of(app),
        environment: environment.clone(),
        config_missing: config_missing(&manifest, &config),
        waves,
        files: Some(files),
        notes: passed(connection, wanted, &status).await?,
        members: Vec::new(),
        targets,
        why,
    };
    let may = plan.why.may && plan.config_missing.is_empty() && !plan.targets.is_empty();
    let answer = Answer::new(&plan, in_words(&plan));
    Ok(if may { answer.next(format!("sortie deploy {} --to {environment}", plan.what)) } else { answer })
}

/// The plan of a package: what each member would do, in their order.
async fn plan_package(connection: &Connection, wanted: &Wanted, manifest: &Manifest, status: &Status) -> Outcome {
    let Wanted { app, build, environment, .. } = wanted;
    let members = package::inspect(connection, manifest, environment, None, status).await?;
    let (mut targets, mut config_missing) = (Vec::new(), Vec::new());
    for member in &members {
        let made = object::manifest(connection, &member.build).await?;
        let name = BuildName { build: member.build, version: Some(member.version.clone()) };
        let one = Wanted { app: member.app.clone(), build: name, ..wanted.clone() };
        targets.extend(planned_targets(status, &one, &made.run.on).into_iter().filter(|target| target.changes));
        let path = routes::path(routes::CONFIG, &[member.app.as_str(), environment.as_str()]);
        let config: ConfigView = connection.client.get(&path, &[]).await?;
        config_missing.extend(self::config_missing(&made, &config).into_iter().map(|key| format!("{}: {key}", member.app)));
    }
    let why = why::ask(connection, app, build, environment).await?;
    let plan = Plan {
        what: build.of(app),
        environment: environment.clone(),
        config_missing,
        waves: steps(&manifest.run.package).map_or(0, |steps| steps.len()),
        files: None,
        notes: Vec::new(),
        members,
        targets,
        why,
    };
    let may = plan.why.may && plan.config_missing.is_empty() && !plan.targets.is_empty();
    let answer = Answer::new(&plan, package_in_words(&plan));
    Ok(if may { answer.next(format!("sortie deploy {} --to {environment}", plan.what)) } else { answer })
}

fn package_in_words(plan: &Plan) -> String {
    let mut lines = vec![format!("{} → {}: this is a plan, nothing was written", plan.what, plan.environment)];
    lines.extend(package::in_words(&plan.members).into_iter().map(|line| format!("  {line}")));
    match plan.targets.is_empty() {
        true => lines.push("  every member runs there as it says, on every target that it is for".into()),
        false => lines.push(format!("  in {} at most", output::count(plan.waves as u64, "step"))),
    }
    if !plan.config_missing.is_empty() {
        lines.push(format!("  ✗ config without a value: {}", plan.config_missing.join(", ")));
    }
    lines.push(why::in_words(&plan.why));
    lines.join("\n")
}

/// What comes with a version, and what it passes over, since what runs there (R44).
async fn passed(connection: &Connection, wanted: &Wanted, status: &Status) -> Result<Vec<Note>, Failure> {
    let Some(version) = &wanted.build.version else { return Ok(Vec::new()) };
    let runs = order::newest_running(status, &wanted.app, &wanted.environment);
    let app = connection.app(&wanted.app).await?;
    Ok(notes::between(&app, &wanted.environment, runs.as_ref(), version))
}

fn planned_waves(rollout: &Rollout, status: &Status, targets: &[PlannedTarget]) -> usize {
    let names: Vec<TargetName> = targets.iter().map(|target| target.target.clone()).collect();
    let labels = |name: &TargetName| status.targets.iter().find(|target| target.name == *name).map(|t| &t.labels);
    let (names, rings) = rollout::in_rings(rollout, names, labels);
    rollout::waves(rollout, &rings, names.len())
}

fn planned_targets(status: &Status, wanted: &Wanted, on: &BTreeMap<String, String>) -> Vec<PlannedTarget> {
    let carries = |labels: &BTreeMap<String, String>| on.iter().all(|(key, value)| labels.get(key) == Some(value));
    let meant = |name: &TargetName| wanted.only.is_empty() || wanted.only.contains(name);
    let fits = status.targets.iter().filter(|target| {
        target.environment == wanted.environment && !target.retired && !target.cordoned && carries(&target.labels)
    });
    fits.filter(|target| meant(&target.name))
        .map(|target| {
            let now = target.runs.get(&wanted.app).cloned();
            let changes = now.as_ref().map(|now| now.build) != Some(wanted.build.build);
            PlannedTarget { target: target.name.clone(), now, then: wanted.build.clone(), changes }
        })
        .collect()
}

fn config_missing(manifest: &Manifest, config: &ConfigView) -> Vec<String> {
    let is_set = |key: &String| config.document.as_ref().is_some_and(|document| document.values.contains_key(key));
    let lacking = manifest.run.config.iter().filter(|(key, declared)| declared.default.is_none() && !is_set(key));
    lacking.map(|(key, _)| key.clone()).collect()
}

fn files_changed(from: String, old: &Manifest, new: &Manifest) -> FilesChanged {
    let by_path = |manifest: &Manifest| -> BTreeMap<String, Entry> {
        manifest.files.iter().map(|entry| (entry.path().to_string(), entry.clone())).collect()
    };
    let known: BTreeSet<Digest> = old.objects().map(|(digest, _)| digest).collect();
    let (old, new) = (by_path(old), by_path(new));
    let mut counts = FilesChanged {
        from,
        changed: 0,
        added: 0,
        removed: old.keys().filter(|path| !new.contains_key(*path)).count() as u64,
        new_bytes: 0,
    };
    for (path, entry) in &new {
        match old.get(path) {
            Some(before) if before == entry => continue,
            Some(_) => counts.changed += 1,
            None => counts.added += 1,
        }
        if let Entry::File { size, digest, .. } = entry
            && !known.contains(digest)
        {
            counts.new_bytes += size;
        }
    }
    counts
}

fn in_words(plan: &Plan) -> String {
    let mut lines = vec![format!("{} → {}: this is a plan, nothing was written", plan.what, plan.environment)];
    let width = plan.targets.iter().map(|target| target.target.as_str().len()).max().unwrap_or(0);
    for target in &plan.targets {
        let now = target.now.as_ref().map_or("nothing".into(), BuildName::short);
        let change =
            if target.changes { format!("{now} → {}", target.then.short()) } else { format!("{now}, as it is") };
        lines.push(format!("  {:<width$}  {change}", target.target.as_str()));
    }
    if plan.targets.is_empty() {
        lines.push("  no target there carries the labels it asks for".into());
    } else if plan.waves > 1 {
        lines.push(format!("  in {} waves", plan.waves));
    }
    for FilesChanged { from, changed, added, removed, new_bytes } in plan.files.iter().flatten() {
        lines.push(format!(
            "  since {from}: {} changed, +{added} −{removed}; {} at most to fetch",
            output::count(*changed, "file"),
            output::bytes(*new_bytes)
        ));
    }
    lines.extend(notes::in_words(&plan.notes).into_iter().map(|line| format!("  + {line}")));
    if !plan.config_missing.is_empty() {
        lines.push(format!("  ✗ config without a value: {}", plan.config_missing.join(", ")));
    }
    lines.push(why::in_words(&plan.why));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;

    #[test]
    fn an_application_alone_means_the_newest_released_there() {
        let status = samples::status();
        let newest = |environment: &str, is_dev| {
            newest(&status, &"web".parse().unwrap(), &environment.parse().unwrap(), is_dev)
                .map(|(name, _)| name.short())
        };
        assert_eq!(newest("test", false).unwrap(), "1.5.0");
        assert_eq!(newest("prod", false).unwrap(), "1.4.0");
        assert!(newest("dev", true).unwrap().starts_with('#'));
        let refused = newest("dev", false).unwrap_err().problem;
        assert_eq!((refused.exit, refused.code.as_str()), (3, "PERMIT_MISSING"));
        assert!(refused.next.unwrap().starts_with("sortie number web#"));
    }

    #[test]
    fn a_plan_names_targets_now_and_then() {
        let status = samples::status();
        let wanted = Wanted {
            app: "web".parse().unwrap(),
            build: samples::build("1.5.0"),
            environment: "prod".parse().unwrap(),
            act: OrderAct::Deploy,
            only: BTreeSet::from(["prod-1".parse().unwrap(), "prod-2".parse().unwrap()]),
            when_released: false,
            rollout: Default::default(),
            schedule: Default::default(),
            retries: None,
            keep_data: false,
        };
        let targets = planned_targets(&status, &wanted, &BTreeMap::from([("role".into(), "web".into())]));
        assert_eq!(targets.len(), 2);
        assert!(planned_targets(&status, &wanted, &BTreeMap::from([("role".into(), "db".into())])).is_empty());
        let plan = Plan {
            what: "web@1.5.0".into(),
            environment: wanted.environment.clone(),
            targets,
            waves: 2,
            config_missing: vec!["DATABASE_URL".into()],
            notes: Vec::new(),
            members: Vec::new(),
            files: Some(vec![FilesChanged {
                from: "1.4.0".into(),
                changed: 37,
                added: 2,
                removed: 1,
                new_bytes: 4_100_000,
            }]),
            why: Why {
                what: "web@1.5.0".into(),
                audience: wanted.environment.clone(),
                may: false,
                conditions: Vec::new(),
                runs: "no".into(),
                seen: "nobody".into(),
            },
        };
        let words = in_words(&plan);
        assert!(words.contains("prod-1  1.4.0 → 1.5.0\n"), "{words}");
        assert!(words.contains("since 1.4.0: 37 files changed, +2 −1; 4.1 MB at most to fetch"), "{words}");
        assert!(words.contains("✗ config without a value: DATABASE_URL"), "{words}");
    }
}
