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
    output::{self, Answer},
    package, releasing,
    rollout::Care,
    when::{self, When},
};
use api::{
    client::ClientError,
    plan::PlanView,
    problem::Problem,
    read::{BuildName, ConfigView, Status, TargetStatus, Why},
};
use domain::{
    event::RingOf,
    refusal::exit,
    rules::{placement, rollout},
};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest, TargetName,
    charter::Environment,
    manifest::{Manifest, Run, steps},
    names::printable,
    rollout::{Advance, Rollout, Share},
    schedule::Schedule,
    statement::OrderAct,
};

mod changes;
mod config_only;

use changes::{ConfigChanged, FilesChanged, config_in_words, files_in_words};

/// How many digits of a plan's id are shown, and at least typed.
const PLAN_ID_DIGITS: usize = 12;

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
    /// Do what this plan showed, and nothing else: refused (exit 6) where it would do anything else by now
    #[arg(long, value_name = "ID", conflicts_with = "plan")]
    pub plan_id: Option<String>,
    /// Let the order stand and wait until the version is released
    #[arg(long)]
    pub when_released: bool,
    /// Let the order stand until what is under way there has ended, and begin then
    #[arg(long, conflicts_with = "at")]
    pub after_current: bool,
    /// Give what runs its newest config, and nothing else
    #[arg(long, conflicts_with_all = ["when_released", "after_current", "at", "expires"])]
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
            return self.configure(invocation, &connection, &running).await;
        }
        let thing = resolve(invocation, &connection, thing, &environment).await?;
        let (found, _) = connection.find(&thing, Some(&environment)).await?;
        let build = BuildName { build: found.build, version: found.version };
        let (when_released, after_current) = (self.when_released, self.after_current);
        let keep_data = self.data.keep_data;
        let bare = Wanted::new(found.app, build, environment, OrderAct::Deploy);
        let mut wanted = Wanted { only, when_released, after_current, rollout, keep_data, ..bare };
        wanted.schedule = self.when.schedule(&connection, &wanted, Timestamp::now()).await?;
        if self.plan {
            return plan(&connection, &wanted).await;
        }
        if let Some(id) = &self.plan_id {
            wanted.plan = Some(planned_as(&connection, &wanted, id).await?);
        }
        let status = order::status(&connection, None).await?;
        for line in notes::in_words(&passed(&connection, &wanted, &status).await?) {
            invocation.aside(&format!("+ {line}"));
        }
        order::order(invocation, &connection, &wanted, &self.following).await
    }

    /// Gives what runs its newest config, or says what that would change.
    async fn configure(&self, invocation: &Invocation, connection: &Connection, running: &operate::Running) -> Outcome {
        let act = OrderAct::Configure;
        if self.plan {
            return config_only::plan(connection, running).await;
        }
        let Some(id) = &self.plan_id else {
            return operate::act_on_running(invocation, connection, running, act, &self.following).await;
        };
        let mut wanted = config_only::only_order(connection, running).await?;
        wanted.plan = Some(planned_as(connection, &wanted, id).await?);
        order::order(invocation, connection, &wanted, &self.following).await
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
    let chosen = newest(&status, &app, environment, connection.is_dev(environment));
    let chosen =
        chosen.map_err(|failure| failure.rephrase_next(|next| releasing::as_signer_types(connection, next)))?;
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
    /// Those that it is for and does not go to, since somebody cordoned them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    cordoned: BTreeSet<TargetName>,
    waves: usize,
    /// Who has its turn before whom, where that is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rings: Vec<RingShown>,
    /// How it goes over them.
    rollout: Rollout,
    config_missing: Vec<String>,
    /// What the config in force would change.
    config: Vec<ConfigChanged>,
    files: Vec<FilesChanged>,
    /// The versions since what runs there.
    notes: Vec<Note>,
    /// What a package lists, in the order in which it would go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<package::Shown>,
    why: Why,
    /// What whoever orders it is warned of.
    warnings: Vec<String>,
    /// When it would begin and be dropped, where it is planned for later.
    #[serde(flatten, serialize_with = "moments_of")]
    schedule: Schedule,
    /// By what exactly this is ordered; nothing where it would be refused.
    id: Option<String>,
    /// Why it would be refused.
    refused: Option<Problem>,
}

/// The moments of an order. Its windows are the charter's, and nobody typed them.
fn moments_of<S: serde::Serializer>(schedule: &Schedule, serializer: S) -> Result<S::Ok, S::Error> {
    let moments = [("at", schedule.at), ("expires", schedule.expires)];
    serializer.collect_map(moments.into_iter().filter_map(|(name, moment)| Some((name, moment?))))
}

/// A ring, and its targets in the order in which they have their turn.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct RingShown {
    name: String,
    targets: Vec<TargetName>,
}

#[derive(Debug, Serialize)]
struct PlannedTarget {
    app: AppName,
    target: TargetName,
    now: Option<BuildName>,
    then: BuildName,
    changes: bool,
    /// Whether it would be left out until it is heard of again.
    away: bool,
    /// What it falls short of, by what it told of itself.
    shortages: Vec<String>,
}

async fn plan(connection: &Connection, wanted: &Wanted) -> Outcome {
    let Wanted { app, build, environment, .. } = wanted;
    let status = order::status(connection, None).await?;
    let manifest = object::manifest(connection, &build.build).await?;
    if !manifest.run.package.is_empty() {
        return plan_package(connection, wanted, &manifest, &status).await;
    }
    let (view, refused) = seen_or_refused(connection, wanted).await?;
    let mut targets = planned_targets(&status, wanted, &manifest.run);
    if let Some(view) = &view {
        // The rules may leave out some that it would fit: those of the side that serves.
        targets.retain(|target| view.planned.targets.iter().any(|planned| planned.target == target.target));
        for target in &mut targets {
            target.away = view.away.contains(&target.target);
        }
    }
    let files = all_files_changed(connection, &targets, &manifest).await?;
    let config = changes::config_of(connection, app, environment, None).await?;
    let planned = view.iter().flat_map(|view| &view.planned.targets);
    let config_changed = changes::config(connection, app, environment, &config, planned).await?;
    let why = why::ask(connection, app, build, environment).await?;
    let rollout = connection.charter_environment(environment).map(Environment::rollout).unwrap_or_default();
    let rollout = rollout.with(&wanted.rollout);
    let (names, rings) = match &view {
        // The rules know who comes and goes, and has its turn after those that stay.
        Some(view) => those_there(view),
        None => in_turn(&rollout, &status, &targets),
    };
    let plain = || rollout::waves(&rollout, &rings, names.len(), manifest.run.migrate.is_some());
    let waves = view.as_ref().and_then(|view| view.waves).unwrap_or_else(plain);
    let place = |target: &PlannedTarget| names.iter().position(|name| *name == target.target);
    targets.sort_by_key(|target| place(target).unwrap_or(usize::MAX));
    let plan = Plan {
        what: build.of(app),
        environment: environment.clone(),
        config_missing: config_missing(&manifest, &config),
        config: config_changed,
        waves,
        rings: shown(&names, &rings),
        rollout,
        files,
        notes: passed(connection, wanted, &status).await?,
        members: Vec::new(),
        cordoned: fitting(&status, wanted, &manifest.run, true).map(|target| target.name.clone()).collect(),
        targets,
        why,
        warnings: view.iter().flat_map(|view| view.warnings.clone()).collect(),
        schedule: wanted.schedule.clone(),
        id: view.as_ref().map(id_of),
        refused,
    };
    let answer = Answer::new(&plan, in_words(&plan));
    Ok(with_next(answer, &plan))
}

/// What the server's rules make of the order, or why it would be refused.
async fn seen_or_refused(
    connection: &Connection,
    wanted: &Wanted,
) -> Result<(Option<PlanView>, Option<Problem>), Failure> {
    match order::preview(connection, wanted).await {
        Ok(view) => Ok((Some(view), None)),
        Err(ClientError::Refused(mut problem)) => {
            problem.next = problem.next.map(|next| releasing::as_signer_types(connection, next));
            Ok((None, Some(*problem)))
        }
        Err(error) => Err(error.into()),
    }
}

fn with_next(answer: Answer, plan: &Plan) -> Answer {
    let (id, refused) = (plan.id.as_deref(), plan.refused.as_ref());
    with_next_of(answer, id, refused, &plan.schedule)
}

fn with_next_of(answer: Answer, id: Option<&str>, refused: Option<&Problem>, schedule: &Schedule) -> Answer {
    match (id, refused.and_then(|problem| problem.next.clone())) {
        (Some(id), _) => answer.next(as_typed(std::env::args().skip(1), schedule, &format!("--plan-id {id}"))),
        (None, Some(next)) => answer.next(next),
        (None, None) => answer,
    }
}

/// The command that was typed, with `plan` in place of what it said of a plan, and its moments as they were meant: `2h` from
/// now is another moment by the time that it is typed again.
fn as_typed(words: impl Iterator<Item = String>, schedule: &Schedule, plan: &str) -> String {
    let plain = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=@#.,:/%+".contains(c));
    let quoted = |word: String| if plain(&word) { word } else { format!("'{}'", word.replace('\'', r"'\''")) };
    let mut words = words.filter(|word| word != "--plan" && word != "--json");
    let mut typed = vec!["sortie".to_string()];
    while let Some(word) = words.next() {
        let (option, value) =
            word.split_once('=').map_or((word.as_str(), None), |(option, value)| (option, Some(value)));
        if option == "--plan-id" {
            if value.is_none() {
                words.next();
            }
            continue;
        }
        let moment = match option {
            "--at" => schedule.at,
            "--expires" => schedule.expires,
            _ => {
                typed.push(quoted(word));
                continue;
            }
        };
        if value.is_none() {
            words.next();
        }
        // `next-window` means now while one is open.
        typed.extend(moment.map(|moment| format!("{option} {moment}")));
    }
    // What waits for its permit ends some days from when it was planned, where nobody said when.
    let has_end = typed.iter().any(|word| word.starts_with("--expires "));
    let is_of_plan = plan.starts_with("--plan-id") && schedule.at.is_none() && !has_end;
    let ends = schedule.expires.filter(|_| is_of_plan);
    typed.extend(ends.map(|expires| format!("--expires {expires}")));
    format!("{} {plan}", typed.join(" "))
}

/// As much of a plan's id as people copy.
fn id_of(view: &PlanView) -> String {
    view.id.hex().chars().take(PLAN_ID_DIGITS).collect()
}

/// The plan with this id, if it is what would be done now.
async fn planned_as(connection: &Connection, wanted: &Wanted, id: &str) -> Result<Digest, Failure> {
    let is_id = (PLAN_ID_DIGITS..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let again = as_typed(std::env::args().skip(1), &wanted.schedule, "--plan");
    if !is_id {
        let message = format!("'{}' is no plan's id: `--plan` shows it, {PLAN_ID_DIGITS} digits", printable(id));
        return Err(Failure::misused(message).next(again));
    }
    let now = order::preview(connection, wanted).await?;
    if now.id.hex().starts_with(&id.to_ascii_lowercase()) {
        return Ok(now.id);
    }
    let what = format!("{} in {}", wanted.app, wanted.environment);
    let why = format!("{what} has changed since, or the order says something else");
    let message = format!("plan {id} shows something else than the order would do now: {why}");
    Err(Failure::new("PLAN_STALE", exit::CONFLICT, message).next(again))
}

/// The plan of a package: what each member would do, in their order.
async fn plan_package(connection: &Connection, wanted: &Wanted, manifest: &Manifest, status: &Status) -> Outcome {
    let Wanted { app, build, environment, .. } = wanted;
    let members = package::inspect(connection, manifest, environment, None, status).await?;
    let (view, refused) = seen_or_refused(connection, wanted).await?;
    let (mut targets, mut files, mut cordoned) = (Vec::new(), Vec::new(), BTreeSet::new());
    let (mut config_missing, mut config_changed) = (Vec::new(), Vec::new());
    for member in &members {
        let made = object::manifest(connection, &member.build).await?;
        let name = BuildName { build: member.build, version: Some(member.version.clone()) };
        let one = Wanted { app: member.app.clone(), build: name, ..wanted.clone() };
        cordoned.extend(fitting(status, &one, &made.run, true).map(|target| target.name.clone()));
        let changing = planned_targets(status, &one, &made.run).into_iter().filter(|target| target.changes);
        let changing: Vec<PlannedTarget> = changing.collect();
        files.extend(all_files_changed(connection, &changing, &made).await?);
        targets.extend(changing);
        let config = changes::config_of(connection, &member.app, environment, None).await?;
        let planned = view.iter().filter_map(|view| view.planned.members.get(&member.app)).flatten();
        config_changed.extend(changes::config(connection, &member.app, environment, &config, planned).await?);
        config_missing
            .extend(self::config_missing(&made, &config).into_iter().map(|key| format!("{}: {key}", member.app)));
    }
    for target in &mut targets {
        target.away = view.as_ref().is_some_and(|view| view.away.contains(&target.target));
    }
    let why = why::ask(connection, app, build, environment).await?;
    let plan = Plan {
        what: build.of(app),
        environment: environment.clone(),
        config_missing,
        config: config_changed,
        waves: steps(&manifest.run.package).map_or(0, |steps| steps.len()),
        rings: Vec::new(),
        rollout: Rollout::default(),
        files,
        notes: passed(connection, wanted, status).await?,
        members,
        targets,
        cordoned,
        why,
        warnings: view.iter().flat_map(|view| view.warnings.clone()).collect(),
        schedule: wanted.schedule.clone(),
        id: view.as_ref().map(id_of),
        refused,
    };
    Ok(with_next(Answer::new(&plan, package_in_words(&plan)), &plan))
}

fn package_in_words(plan: &Plan) -> String {
    let mut lines = vec![format!("{} → {}: this is a plan, nothing was written", plan.what, plan.environment)];
    lines.extend(package::in_words(&plan.members).into_iter().map(|line| format!("  {line}")));
    match plan.targets.is_empty() {
        true => lines.push("  every member runs there as it says, on every target that it is for".into()),
        false => lines.push(format!("  in {} at most", output::count(plan.waves as u64, "step"))),
    }
    lines.extend(cordoned_in_words(plan));
    for member in &plan.members {
        let targets: Vec<&PlannedTarget> = plan.targets.iter().filter(|target| target.app == member.app).collect();
        lines.extend((!targets.is_empty()).then(|| format!("  {} {}", member.app, member.version)));
        lines.extend(targets_in_words(&targets).into_iter().map(|line| format!("  {line}")));
        let files = plan.files.iter().filter(|files| files.app == member.app);
        lines.extend(files.flat_map(files_in_words).map(|line| format!("  {line}")));
        let config = plan.config.iter().filter(|config| config.app == member.app);
        lines.extend(config.map(|config| format!("  {}", config_in_words(config))));
    }
    lines.extend(last_in_words(plan));
    lines.join("\n")
}

/// What comes with it, what is lacking, and what people are warned of; and whether it may be.
fn last_in_words(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> = notes::in_words(&plan.notes).into_iter().map(|line| format!("  + {line}")).collect();
    if !plan.config_missing.is_empty() {
        lines.push(format!("  ✗ config without a value: {}", plan.config_missing.join(", ")));
    }
    lines.extend(plan.warnings.iter().map(|warning| format!("  mind: {}", printable(warning))));
    lines.extend(why_in_words(plan));
    lines
}

fn why_in_words(plan: &Plan) -> Vec<String> {
    // What stands against this moment is in the list already, and is not what stands against a later one.
    let planned = plan.schedule.at;
    let refused = plan.refused.as_ref().filter(|_| plan.why.may || planned.is_some());
    // A plan changes nothing, and need not say that nothing was changed.
    let lack = |refused: &Problem| refused.refusal.as_ref().map_or_else(|| refused.message.clone(), |said| said.lack());
    let refused = refused.map(|refused| match (refused.exit, planned) {
        (exit::DONE, _) => format!("there is nothing to do: {}", refused.message),
        (_, None) => format!("✗ it would be refused now: {}", lack(refused)),
        (_, Some(at)) => {
            let at = crate::moment::written(at, &jiff::tz::TimeZone::system());
            format!("✗ ordered for {at} it would be refused: {}", lack(refused))
        }
    });
    // What is asked of this very moment is not asked of an order for later.
    let not_now = if plan.why.may { "" } else { "not now; " };
    let begins = || format!("{not_now}ordered like this, it begins by itself {}", when::in_words(&plan.schedule));
    let later = (plan.schedule.at.is_some() && plan.id.is_some()).then(begins);
    std::iter::once(why::in_words(&plan.why)).chain(refused).chain(later).collect()
}

/// What comes with a version, and what it passes over, since what runs there (R44).
async fn passed(connection: &Connection, wanted: &Wanted, status: &Status) -> Result<Vec<Note>, Failure> {
    let Some(version) = &wanted.build.version else { return Ok(Vec::new()) };
    let runs = order::newest_serving(status, &wanted.app, &wanted.environment);
    let app = connection.app(&wanted.app).await?;
    Ok(notes::between(&app, &wanted.environment, runs.as_ref(), version))
}

/// The targets in the order in which they have their turn, and the rings that divide them, as far as is known here.
fn in_turn(rollout: &Rollout, status: &Status, targets: &[PlannedTarget]) -> (Vec<TargetName>, Vec<RingOf>) {
    let names: Vec<TargetName> = targets.iter().map(|target| target.target.clone()).collect();
    let labels = |name: &TargetName| status.targets.iter().find(|target| target.name == *name).map(|t| &t.labels);
    rollout::in_rings(rollout, names, labels)
}

/// Those who would have their turn, in its order, and the rings that they are divided into.
fn those_there(view: &PlanView) -> (Vec<TargetName>, Vec<RingOf>) {
    let planned = &view.planned;
    let is_there = |name: &&TargetName| !view.away.contains(*name);
    let mut rest = planned.targets.iter().map(|planned| &planned.target);
    let ring = |ring: &RingOf| {
        let targets = rest.by_ref().take(ring.targets as usize).filter(is_there).count() as u32;
        RingOf { targets, ..ring.clone() }
    };
    let rings = planned.rings.iter().map(ring).collect();
    let names = planned.targets.iter().map(|planned| &planned.target).filter(is_there).cloned().collect();
    (names, rings)
}

fn shown(names: &[TargetName], rings: &[RingOf]) -> Vec<RingShown> {
    let mut rest = names.iter().cloned();
    let ring = |ring: &RingOf| RingShown {
        name: ring.name.clone(),
        targets: rest.by_ref().take(ring.targets as usize).collect(),
    };
    rings.iter().map(ring).collect()
}

/// The targets that are meant and carry its labels: those that are cordoned, or those that are not.
fn fitting<'a>(
    status: &'a Status,
    wanted: &'a Wanted,
    run: &'a Run,
    cordoned: bool,
) -> impl Iterator<Item = &'a TargetStatus> {
    let carries = |labels: &BTreeMap<String, String>| run.on.iter().all(|(key, value)| labels.get(key) == Some(value));
    let is_meant = |name: &TargetName| wanted.only.is_empty() || wanted.only.contains(name);
    status.targets.iter().filter(move |target| {
        let is_there = target.environment == wanted.environment && !target.retired && target.cordoned == cordoned;
        is_there && carries(&target.labels) && is_meant(&target.name)
    })
}

fn planned_targets(status: &Status, wanted: &Wanted, run: &Run) -> Vec<PlannedTarget> {
    fitting(status, wanted, run, false)
        .map(|target| {
            let now = target.runs.get(&wanted.app).cloned();
            let changes = now.as_ref().map(|now| now.build) != Some(wanted.build.build);
            let shortages = placement::shortages(&run.needs, &target.facts);
            let (app, name, then) = (wanted.app.clone(), target.name.clone(), wanted.build.clone());
            PlannedTarget { app, target: name, now, then, changes, away: false, shortages }
        })
        .collect()
}

fn config_missing(manifest: &Manifest, config: &ConfigView) -> Vec<String> {
    let is_set = |key: &String| config.document.as_ref().is_some_and(|document| document.values.contains_key(key));
    let lacking = manifest.run.config.iter().filter(|(key, declared)| declared.default.is_none() && !is_set(key));
    lacking.map(|(key, _)| key.clone()).collect()
}

/// What changes on the targets, for each build that runs on some of them and for those where none does.
async fn all_files_changed(
    connection: &Connection,
    targets: &[PlannedTarget],
    manifest: &Manifest,
) -> Result<Vec<FilesChanged>, Failure> {
    let now: BTreeMap<Option<Digest>, Option<&BuildName>> = targets
        .iter()
        .filter(|target| target.changes)
        .map(|target| (target.now.as_ref().map(|name| name.build), target.now.as_ref()))
        .collect();
    let mut files = Vec::new();
    for running in now.into_values() {
        files.push(changes::files(connection, running, manifest).await?);
    }
    Ok(files)
}

fn in_words(plan: &Plan) -> String {
    let mut lines = vec![format!("{} → {}: this is a plan, nothing was written", plan.what, plan.environment)];
    lines.extend(targets_in_words(&plan.targets.iter().collect::<Vec<_>>()));
    lines.extend(cordoned_in_words(plan));
    if plan.targets.is_empty() {
        lines.push("  it would go to no target there".into());
    } else if plan.targets.iter().any(|target| target.changes) {
        lines.extend(waves_in_words(plan));
    }
    lines.extend(plan.files.iter().flat_map(files_in_words));
    lines.extend(plan.config.iter().map(config_in_words));
    lines.extend(last_in_words(plan));
    lines.join("\n")
}

/// `  1 cordoned and left alone: prod-4`.
fn cordoned_in_words(plan: &Plan) -> Option<String> {
    let names: Vec<&str> = plan.cordoned.iter().map(TargetName::as_str).collect();
    (!names.is_empty()).then(|| format!("  {} cordoned and left alone: {}", names.len(), names.join(", ")))
}

/// `  in 4 waves, 1 at a time`, and its rings, each with those that are in it.
fn waves_in_words(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if plan.waves > 1 {
        let at_once = match plan.rollout.at_once {
            Share::All => String::new(),
            share => format!(", {share} at a time"),
        };
        let serving = match plan.rollout.min_healthy {
            _ if plan.targets.iter().all(|target| target.now.is_none()) => String::new(),
            Share::Count(0) | Share::Percent(0) => String::new(),
            share => format!(", and {share} of the targets go on serving"),
        };
        lines.push(format!("  in {} waves{at_once}{serving}", plan.waves));
    }
    let width = plan.rings.iter().map(|ring| ring.name.len()).max().unwrap_or(0);
    let names = |ring: &RingShown| ring.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    lines.extend(plan.rings.iter().map(|ring| format!("    {:<width$}  {}", ring.name, names(ring))));
    let (minutes, by_hand) = (plan.rollout.bake_minutes, plan.rollout.advance == Advance::Hand);
    let after = match (minutes, by_hand) {
        (0, true) => "    each waits for somebody's word before the next".to_owned(),
        (minutes, true) => format!("    each bakes {minutes} min, then waits for somebody's word before the next"),
        (minutes, false) => format!("    each bakes {minutes} min before the next begins by itself"),
    };
    lines.extend((plan.rings.len() > 1 && (minutes > 0 || by_hand)).then_some(after));
    lines
}

/// `  prod-1  1.4.0 → 1.5.0; an undo returns to 1.4.0`, and what it falls short of.
fn targets_in_words(targets: &[&PlannedTarget]) -> Vec<String> {
    let width = targets.iter().map(|target| target.target.as_str().len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for target in targets {
        let now = target.now.as_ref().map_or("nothing".into(), BuildName::short);
        let change = match target.changes {
            true if target.away => {
                format!("{now} → {} once it is heard of again: it is away, and left out", target.then.short())
            }
            true => format!("{now} → {}; an undo returns to {now}", target.then.short()),
            false => format!("{now}, as it is"),
        };
        lines.push(format!("  {:<width$}  {change}", target.target.as_str()));
        lines.extend(target.shortages.iter().map(|shortage| format!("  {:<width$}  ✗ {shortage}", "")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;
    use trust::manifest::Needs;

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
    fn a_plan_is_ordered_as_it_was_asked_for() {
        let time = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let meant =
            Schedule { at: time("2026-11-30T07:00:00Z"), expires: time("2026-11-30T09:00:00Z"), ..Schedule::default() };
        let as_typed = |typed: &[&str], schedule: &Schedule| {
            as_typed(typed.iter().map(ToString::to_string), schedule, "--plan-id 3fa9c1d2e4b5")
        };
        let typed = ["deploy", "web@1.5.0", "--to", "prod", "--plan", "--at", "tomorrow 07:00", "--only", "prod-1"];
        assert_eq!(
            as_typed(&typed, &meant),
            "sortie deploy web@1.5.0 --to prod --at 2026-11-30T07:00:00Z --only prod-1 --plan-id 3fa9c1d2e4b5"
        );
        assert_eq!(
            as_typed(&["deploy", "web", "--at=2h", "--expires=3h", "--plan"], &meant),
            "sortie deploy web --at 2026-11-30T07:00:00Z --expires 2026-11-30T09:00:00Z --plan-id 3fa9c1d2e4b5"
        );
        // What is planned anew is what was typed, whatever plan that named.
        let again =
            ["deploy", "web@1.5.0", "--plan-id", "3fa9c1d2e4b5", "--only", "prod-1", "--at=2h"].map(String::from);
        let planned_again = "sortie deploy web@1.5.0 --only prod-1 --at 2026-11-30T07:00:00Z --plan";
        assert_eq!(super::as_typed(again.into_iter(), &meant, "--plan"), planned_again);
        let again = ["deploy", "web", "--plan-id=3fa9c1d2e4b5", "--config-only"].map(String::from);
        assert_eq!(super::as_typed(again.into_iter(), &meant, "--plan"), "sortie deploy web --config-only --plan");
        // The end that was not typed is a moment of the plan, too.
        assert_eq!(
            as_typed(&["deploy", "web", "--when-released", "--plan"], &Schedule { at: None, ..meant.clone() }),
            "sortie deploy web --when-released --expires 2026-11-30T09:00:00Z --plan-id 3fa9c1d2e4b5"
        );
        // A window is open now.
        assert_eq!(
            as_typed(&["deploy", "web", "--at", "next-window", "--plan"], &Schedule::default()),
            "sortie deploy web --plan-id 3fa9c1d2e4b5"
        );
    }

    #[test]
    fn a_plan_names_targets_now_and_then() {
        let mut status = samples::status();
        let only = BTreeSet::from(["prod-1".parse().unwrap(), "prod-2".parse().unwrap()]);
        let wanted = Wanted { only, ..samples::wanted("1.5.0") };
        let on = |role: &str| {
            let needs = Needs { arch: Some("pdp11".into()), ..Needs::default() };
            Run { on: BTreeMap::from([("role".into(), role.into())]), needs, ..Run::default() }
        };
        let targets = planned_targets(&status, &wanted, &on("web"));
        assert_eq!(targets.len(), 2);
        assert!(planned_targets(&status, &wanted, &on("db")).is_empty());
        status.targets.iter_mut().find(|target| target.name.as_str() == "prod-2").unwrap().cordoned = true;
        let cordoned = fitting(&status, &wanted, &on("web"), true).map(|target| target.name.clone()).collect();
        let mut plan = Plan {
            what: "web@1.5.0".into(),
            environment: wanted.environment.clone(),
            targets,
            cordoned,
            waves: 3,
            rings: vec![
                RingShown { name: "canary".into(), targets: vec!["prod-1".parse().unwrap()] },
                RingShown { name: "rest".into(), targets: vec!["prod-2".parse().unwrap()] },
            ],
            rollout: Rollout { bake_minutes: 10, ..Rollout::default() },
            config_missing: vec!["DATABASE_URL".into()],
            config: vec![ConfigChanged { app: "web".parse().unwrap(), from: Some(1), to: 3, keys: Vec::new() }],
            notes: Vec::new(),
            members: Vec::new(),
            files: vec![FilesChanged {
                app: "web".parse().unwrap(),
                from: Some("1.4.0".into()),
                changed: 37,
                added: 2,
                removed: 1,
                new_bytes: 4_100_000,
                paths: changes::Paths::default(),
            }],
            why: Why {
                what: "web@1.5.0".into(),
                audience: wanted.environment.clone(),
                may: false,
                conditions: Vec::new(),
                standing: Vec::new(),
                runs: "no".into(),
                seen: "nobody".into(),
            },
            warnings: vec![
                "1.5.0 is superseded: 1.6.0 is released to prod".into(),
                "no target of prod carries regoin=north: that ring is empty".into(),
            ],
            schedule: Schedule::default(),
            id: None,
            refused: None,
        };
        let words = in_words(&plan);
        assert!(words.contains("prod-1  1.4.0 → 1.5.0; an undo returns to 1.4.0\n"), "{words}");
        assert!(words.contains("\n  1 cordoned and left alone: prod-2\n"), "{words}");
        let waves = "  in 3 waves, 1 at a time\n    canary  prod-1\n    rest    prod-2\n    each bakes 10 min before the next \
                     begins by itself\n";
        assert!(words.contains(waves), "{words}");
        assert!(words.contains("✗ it needs the architecture pdp11, this is "), "{words}");
        assert!(words.contains("since 1.4.0: 37 files changed, +2 −1; 4.1 MB at most to fetch"), "{words}");
        assert!(words.contains("✗ config without a value: DATABASE_URL"), "{words}");
        assert!(words.contains("  config 1 → 3: no key differs\n"), "{words}");
        assert!(words.contains("  mind: 1.5.0 is superseded: 1.6.0 is released to prod\n"), "{words}");
        assert!(words.contains("  mind: no target of prod carries regoin=north: that ring is empty\n"), "{words}");
        assert!(serde_json::to_value(&plan).unwrap().get("at").is_none());
        plan.schedule.at = Some(samples::time("12:00:00"));
        let data = serde_json::to_value(&plan).unwrap();
        assert_eq!((&data["at"], data.get("expires")), (&"2026-11-22T12:00:00Z".into(), None));
        plan.schedule.at = None;
        plan.rollout.min_healthy = Share::Percent(60);
        let words = in_words(&plan);
        assert!(words.contains("  in 3 waves, 1 at a time, and 60% of the targets go on serving\n"), "{words}");
    }
}
