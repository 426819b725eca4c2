//! `sortie status`: what may be deployed, what runs, who sees it: the board, or one of its things.

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    invocation::Invocation,
    moment,
    names::{self, Thing},
    order,
    output::{Answer, ago, count, lasting, makers, origin},
    table::table,
};
use api::{
    progress::CANNOT_GO_ON,
    read::{
        App, AppStatus, Build, BuildName, Cell, Delivered, DroppedView, Emergency, FailedView, Released, Runs,
        Status as View, TargetStatus,
    },
    routes,
};
use domain::sizes;
use jiff::{Timestamp, tz::TimeZone};
use std::collections::{BTreeMap, BTreeSet};
use trust::{AppName, AudienceName, TargetName, charter::DeployedBy};

mod builds;
mod deployment;

/// What may be deployed, what runs, who sees it
#[derive(Debug, clap::Args)]
pub struct Status {
    /// An application, environment, target, version, build, or a deployment's number
    #[arg(value_name = "APP|ENVIRONMENT|TARGET|VERSION|NUMBER")]
    pub what: Option<String>,
    /// An environment or channel only (--to, --in and --from are taken alike)
    #[arg(long = "in", visible_aliases = ["to", "from"], value_name = "AUDIENCE")]
    pub audience: Option<String>,
    /// As it was at a moment: 2026-11-22T10:00:00Z, 10:30, or a time ago such as 2h
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

impl Status {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let at = self.at.as_deref().map(|at| past(at, Timestamp::now(), &TimeZone::system())).transpose()?;
        let audience = self.audience.as_deref().map(names::audience_name).transpose()?;
        let connection = invocation.connect().await?;
        if let Some(number) = self.what.as_deref().filter(|what| is_number(what)) {
            return deployment::deployment(&connection, number, at).await;
        }
        let mut view = order::status(&connection, at).await?;
        if let Some(audience) = &audience {
            if connection.charter_environment(audience).is_some() {
                not_gone(&view, audience)?;
            }
            known_audience(&view, audience)?;
            keep_audience(&mut view, audience);
        }
        let named = self.what.as_deref().and_then(|what| AudienceName::new(what).ok());
        if let Some(named) = named.filter(|name| connection.charter_environment(name).is_some()) {
            not_gone(&view, &named)?;
        }
        let picked = match self.what.as_deref().map(|what| (what, pick(&view, what))) {
            Some((what, Err(unknown))) if at.is_none() => {
                Some(retired_target(&connection, what).await?.ok_or(unknown)?)
            }
            picked => picked.map(|(_, picked)| picked).transpose()?,
        };
        match picked {
            None => {
                let retired = hide_retired(&mut view);
                let words = match (view.apps.is_empty(), retired.first()) {
                    (true, Some(one)) => {
                        let names = retired.iter().map(AppName::as_str).collect::<Vec<_>>().join(", ");
                        let what =
                            format!("every application was retired: {names}. What each was: sortie status {one}");
                        with_notes(what, &view)
                    }
                    _ => board(&view),
                };
                Ok(Answer::new(&view, words))
            }
            Some(Picked::App(app)) => application(&connection, view, &app, at.is_none()).await,
            Some(Picked::Audience(audience)) => {
                keep_audience(&mut view, &audience);
                hide_retired(&mut view);
                let words = format!("{}\n\n{}", board(&view), targets(&view));
                Ok(Answer::new(&view, words))
            }
            Some(Picked::Target(target)) => Ok(Answer::new(&*target, target_in_words(&target, &view))),
            Some(Picked::Build(thing)) => one_build(&connection, view, &thing, at).await,
        }
    }
}

/// Reads a moment as of which something is told: of what is to come nobody knows.
fn past(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Failure> {
    let at = moment::read(text, now, zone)?;
    if at > now {
        let message = format!("{} is still to come: --at tells what was so then", moment::written(at, zone));
        return Err(Failure::misused(message).next("sortie calendar"));
    }
    Ok(at)
}

/// What was retired runs nowhere; whoever asks for it by name sees what it was. Gives its names.
fn hide_retired(view: &mut View) -> Vec<AppName> {
    let (retired, others) = std::mem::take(&mut view.apps).into_iter().partition(|app| app.retired.is_some());
    view.apps = others;
    let retired: Vec<AppStatus> = retired;
    retired.into_iter().map(|app| app.app).collect()
}

/// The target of a name that is retired: what is there is told without it, and whoever asks for it by name sees what it was.
async fn retired_target(connection: &Connection, name: &str) -> Result<Option<Picked>, Failure> {
    let targets: Vec<TargetStatus> = connection.client.get(routes::TARGETS, &[]).await?;
    let found = targets.into_iter().find(|target| target.retired && target.name.as_str() == name);
    Ok(found.map(|target| Picked::Target(Box::new(target))))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// What was meant.
#[derive(Debug)]
enum Picked {
    App(AppName),
    Audience(AudienceName),
    Target(Box<TargetStatus>),
    Build(Thing),
}

/// Finds out whether a name is an application's, an audience's or a target's, in this order.
fn pick(view: &View, text: &str) -> Result<Picked, Failure> {
    let name = match Thing::parse("look at", text)? {
        Thing::App(name) => name,
        thing => return Ok(Picked::Build(thing)),
    };
    if view.apps.iter().any(|app| app.app == name) {
        return Ok(Picked::App(name));
    }
    if let Some(audience) = view.audiences.iter().find(|audience| audience.name.as_str() == name.as_str()) {
        return Ok(Picked::Audience(audience.name.clone()));
    }
    if let Some(target) = view.targets.iter().find(|target| target.name.as_str() == name.as_str()) {
        return Ok(Picked::Target(Box::new(target.clone())));
    }
    let known: Vec<String> = (view.apps.iter().map(|app| app.app.to_string()))
        .chain(view.audiences.iter().map(|audience| audience.name.to_string()))
        .chain(view.targets.iter().map(|target| target.name.to_string()))
        .collect();
    let failure = |hint: &str| {
        Failure::misused(format!("nothing here is called {name}: no application, no environment, no target{hint}"))
    };
    Err(match names::nearest(name.as_str(), &known) {
        Some(nearest) => failure(&format!("; is it {nearest}?")).next(format!("sortie status {nearest}")),
        None => failure("").next("sortie status"),
    })
}

/// An environment of the charter that the view leaves out is a throw-away one, and its targets are gone.
fn not_gone(view: &View, environment: &AudienceName) -> Result<(), Failure> {
    if view.audiences.iter().any(|audience| audience.name == *environment) {
        return Ok(());
    }
    // Its time may be over, or somebody retired the last of them before that: history tells which.
    let gone = format!("{environment} is gone: none of its targets is left. What happened there: sortie history");
    Err(Failure::new("NO_TARGETS", domain::refusal::exit::REFUSED, gone)
        .next(format!("sortie target invite --in {environment}")))
}

fn known_audience(view: &View, audience: &AudienceName) -> Result<(), Failure> {
    let known: Vec<&AudienceName> = view.audiences.iter().map(|audience| &audience.name).collect();
    if known.contains(&audience) {
        return Ok(());
    }
    let nearest = names::nearest(audience.as_str(), known).cloned();
    Err(domain::refusal::Refusal::UnknownAudience { name: audience.clone(), nearest }.into())
}

fn keep_audience(view: &mut View, audience: &AudienceName) {
    keep_notes(view, |other| other == audience);
    view.audiences.retain(|other| other.name == *audience);
    view.targets.retain(|target| target.environment == *audience);
    view.apps.iter_mut().for_each(|app| app.cells.retain(|cell| cell.audience == *audience));
}

/// Leaves out what is to be known of other audiences alone.
fn keep_notes(view: &mut View, is_meant: impl Fn(&AudienceName) -> bool) {
    let others = view.audiences.iter().filter(|other| !is_meant(&other.name));
    let theirs: BTreeSet<&String> = others.flat_map(|other| &other.notes).collect();
    view.notes.retain(|note| !theirs.contains(note));
}

/// Application × audience, a line each, and what everyone should know.
fn board(view: &View) -> String {
    if view.apps.is_empty() {
        return with_notes("nothing was pushed yet".into(), view);
    }
    let rows: Vec<Vec<String>> = view.apps.iter().flat_map(|app| rows(app, view.at)).collect();
    let header = ["application", "audience", "may be deployed", "runs", "since", "waits and notes"];
    with_notes(table(&header, &rows), view)
}

fn with_notes(words: String, view: &View) -> String {
    let mut words = alarms(view).into_iter().chain([words]).collect::<Vec<_>>().join("\n");
    for note in &view.notes {
        words.push_str(&format!("\nmind: {note}"));
    }
    words
}

/// One line for each emergency that nobody has reviewed, above everything else.
fn alarms(view: &View) -> Vec<String> {
    let one = |emergency: &Emergency| {
        format!("‼ {}, {}, not reviewed: {}", emergency.headline(), ago(emergency.since, view.at), emergency.review())
    };
    view.emergencies.iter().map(one).collect()
}

fn rows(app: &AppStatus, now: Timestamp) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = app.cells.iter().map(|cell| row(cell, now)).collect();
    if let Some(first) = rows.first_mut().and_then(|row| row.first_mut()) {
        *first = app.app.to_string();
    }
    rows
}

fn row(cell: &Cell, now: Timestamp) -> Vec<String> {
    let released: Vec<String> = cell.released.iter().map(|released| released.version.to_string()).collect();
    let released = match released.as_slice() {
        [] => "–".into(),
        _ if cell.deployed_by.is_some() => by_others(cell.deployed_by),
        [one, two, three, rest @ ..] if !rest.is_empty() => format!("{one}, {two}, {three} … (+{})", rest.len()),
        few => few.join(", "),
    };
    let runs: Vec<String> = cell.runs.iter().map(|runs| runs_in_words(runs, cell.targets)).collect();
    let runs = if runs.is_empty() { "–".into() } else { runs.join(", ") };
    let since = cell.runs.iter().map(|runs| runs.since).max().map(|since| ago(since, now)).unwrap_or_default();
    vec![String::new(), cell.audience.to_string(), released, runs, since, remarks(cell).join("; ")]
}

/// What stands in the place of what may be deployed, where others deploy it.
fn by_others(by: Option<DeployedBy>) -> String {
    match by {
        Some(DeployedBy::Embedded) => "no: embedded".into(),
        _ => "no: by customers".into(),
    }
}

fn runs_in_words(runs: &Runs, targets: u32) -> String {
    let mark = match (runs.permitted, runs.stopped) {
        (false, _) => " ✗ without permission",
        (true, true) => " stopped",
        (true, false) if runs.all_stand_by() => " stands by",
        (true, false) => "",
    };
    let some = runs.some_stopped().into_iter().chain(runs.some_stand_by());
    let some: String = some.map(|some| format!(", {some}")).collect();
    format!("{} on {}/{targets}{mark}{some}", runs.build.short(), runs.on.len())
}

fn remarks(cell: &Cell) -> Vec<String> {
    let held: Vec<String> = cell.held.iter().map(BuildName::short).collect();
    let held = (!held.is_empty()).then(|| format!("{} held out", held.join(", ")));
    let exposed = cell.exposed.as_ref().map(|(version, percent)| match percent {
        0 => "seen by nobody".to_string(),
        percent => format!("{percent} % see {version}"),
    });
    let failed = cell.failed.iter().map(FailedView::in_words);
    let delivered = cell.delivered.first().map(|newest| format!("{} {}", newest.version, newest.in_words()));
    let dropped = cell.dropped.iter().map(DroppedView::in_words);
    let facts = cell.waits.iter().cloned().chain(dropped).chain(held).chain(failed).chain(exposed).chain(delivered);
    facts.chain(cell.notes.iter().cloned()).collect()
}

fn targets(view: &View) -> String {
    if view.targets.is_empty() {
        return "no targets".into();
    }
    let row = |target: &TargetStatus| {
        let stopped = |app: &AppName| if target.stopped.contains(app) { " (stopped)" } else { "" };
        let runs: Vec<String> =
            target.runs.iter().map(|(app, build)| format!("{}{}", build.of(app), stopped(app))).collect();
        let labels: Vec<String> = target.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            target.name.to_string(),
            if runs.is_empty() { "–".into() } else { runs.join(" ") },
            seen(target, view.at),
            labels.join(" "),
            standing(target, view.at).join("; "),
        ]
    };
    table(&["target", "runs", "seen", "labels", ""], &view.targets.iter().map(row).collect::<Vec<_>>())
}

/// When a target was heard of last, and how.
pub fn seen(target: &TargetStatus, now: Timestamp) -> String {
    match (target.seen, target.carried, target.as_of) {
        (Some(seen), ..) if target.two => format!("{}, by two machines", ago(seen, now)),
        // It holds its connection open, and whoever asked last is away all the same once that is gone.
        (Some(seen), ..) if target.away && ago(seen, now) == "just now" => "away".into(),
        (Some(seen), ..) if target.away => format!("{}, away", ago(seen, now)),
        (Some(seen), ..) => ago(seen, now),
        (None, Some(told), _) => format!("by receipt, up to {}", ago(told, now)),
        (None, None, Some(taken)) => format!("as of the backup, {}; not heard since", ago(taken, now)),
        (None, None, None) => "not since the server started".into(),
    }
}

/// How long a target or an environment lives yet.
pub fn ends_in_words(ends: Timestamp, now: Timestamp) -> String {
    match ends.duration_since(now).as_secs() {
        ..1 => "its time is over".into(),
        seconds => format!("ends in {}", lasting(seconds)),
    }
}

/// `cordoned 2 h ago: the disk is changed`.
pub fn cordoned(target: &TargetStatus, now: Timestamp) -> Option<String> {
    let since = target.cordoned_since.map(|since| format!(" {}", ago(since, now))).unwrap_or_default();
    let reason = target.cordon_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    target.cordoned.then(|| format!("cordoned{since}{reason}"))
}

/// `✗ cannot go on, and tries again, with deployment 37: cannot write …: No space left on device`.
pub fn stuck(target: &TargetStatus) -> Option<String> {
    target.stuck.as_ref().map(|why| format!("✗ {CANNOT_GO_ON}, {why}"))
}

/// What a target is like that has had no fresh word of the repository.
const STALE: &str = "! stale: it activates nothing new until it has refreshed";

fn standing(target: &TargetStatus, now: Timestamp) -> Vec<String> {
    let findings = (target.findings > 0).then(|| format!("✗ {} not as it should be", target.findings));
    let marks = [(target.retired, "retired"), (target.stale, STALE)];
    let marks = marks.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word.to_string());
    let ends = target.ends.map(|ends| ends_in_words(ends, now));
    let ephemeral = target.ephemeral.then(|| "ephemeral".to_string());
    cordoned(target, now)
        .into_iter()
        .chain(stuck(target))
        .chain(marks)
        .chain(ends)
        .chain(ephemeral)
        .chain(findings)
        .collect()
}

fn target_in_words(target: &TargetStatus, view: &View) -> String {
    let labels: Vec<String> = target.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let facts = &target.facts;
    let kernel = if facts.kernel.is_empty() { String::new() } else { format!(", kernel {}", facts.kernel) };
    let memory = sizes::room(facts.memory_bytes);
    let mut lines = vec![
        format!("{} in {}   seen {}", target.name, target.environment, seen(target, view.at)),
        format!("  {} {}{kernel}, {memory} memory, agent {}", facts.os, facts.arch, facts.agent_version),
    ];
    lines.extend((!labels.is_empty()).then(|| format!("  labels {}", labels.join(" "))));
    let refreshed =
        target.refreshed.map(|signed| format!("  its newest word of the repository: {}", ago(signed, view.at)));
    lines.extend(refreshed);
    lines.extend(standing(target, view.at).into_iter().map(|line| format!("  {line}")));
    for (app, build) in &target.runs {
        let cell = order::cell(view, app, &target.environment);
        let runs =
            cell.and_then(|cell| cell.runs.iter().find(|runs| runs.build == *build && runs.on.contains(&target.name)));
        let since = runs.map(|runs| format!(" since {}", ago(runs.since, view.at))).unwrap_or_default();
        let mark = runs.filter(|runs| !runs.permitted).map(|_| "   ✗ without permission").unwrap_or_default();
        let verb = if target.stopped.contains(app) { "has, stopped," } else { "runs" };
        let unwell = runs.and_then(|runs| runs.unwell.get(&target.name)).map(|reason| format!("   ✗ unwell: {reason}"));
        let unclear = runs.and_then(|runs| runs.unclear.get(&target.name));
        let unclear = unclear.map(|reason| format!("   ✗ nobody can tell how it is: {reason}"));
        let wrong = unwell.or(unclear).unwrap_or_default();
        lines.push(format!("  {verb} {}{since}{mark}{wrong}", build.of(app)));
    }
    if target.runs.is_empty() {
        lines.push("  runs nothing".into());
    }
    for app in &view.apps {
        let cells = app.cells.iter().filter(|cell| cell.audience == target.environment);
        let failed = cells.flat_map(|cell| &cell.failed).filter(|failed| failed.on.contains(&target.name));
        lines.extend(
            failed.map(|failed| {
                format!("  {} failed here in deployment {}", failed.build.of(&app.app), failed.deployment)
            }),
        );
    }
    lines.join("\n")
}

async fn application(connection: &Connection, mut view: View, app: &AppName, is_now: bool) -> Outcome {
    view.apps.retain(|other| other.app == *app);
    let cells = view.apps.iter().flat_map(|app| &app.cells);
    let is_there = |cell: &&Cell| !(cell.released.is_empty() && cell.runs.is_empty() && cell.waits.is_empty());
    let there: BTreeSet<AudienceName> = cells.filter(is_there).map(|cell| cell.audience.clone()).collect();
    keep_notes(&mut view, |audience| there.contains(audience));
    let mut words = retired(&view, app).into_iter().chain([board(&view)]).collect::<Vec<_>>().join("\n");
    let mut data = serde_json::to_value(&view).unwrap_or_default();
    if is_now {
        let known: App = connection.app(app).await?;
        words.push_str(&format!("\n\n{}", builds::listed(&known, view.at)));
        words.extend(builds::drafts(&known, retired(&view, app).is_some()));
        data["drafts"] = serde_json::to_value(&known.drafts).unwrap_or_default();
        data["builds"] = serde_json::to_value(&known.builds).unwrap_or_default();
    }
    Ok(Answer::new(&data, words))
}

/// `web was retired on 2026-11-22: nothing new of it comes in.`
fn retired(view: &View, app: &AppName) -> Option<String> {
    let since = view.apps.iter().find(|other| other.app == *app)?.retired?;
    Some(format!(
        "{app} was retired on {}: nothing new of it comes in, and nothing is deployed.",
        since.strftime("%Y-%m-%d")
    ))
}

async fn one_build(connection: &Connection, view: View, thing: &Thing, at: Option<Timestamp>) -> Outcome {
    let app: App = connection.app_at(thing.app(), at).await?;
    let name = connection.look_up(thing).await?;
    let build = app.builds.iter().find(|build| build.name.build == name.build);
    let none = || match at {
        Some(at) => Failure::misused(format!(
            "{thing} came in after {}: there was none of it then",
            moment::written(at, &TimeZone::system())
        ))
        .next(format!("sortie status {thing}")),
        None => Failure::failed(format!("{thing} has just gone: ask again")),
    };
    let build = build.ok_or_else(none)?;
    let words = build_in_words(thing.app(), build, &view);
    let cells: Vec<&Cell> =
        view.apps.iter().filter(|other| other.app == *thing.app()).flat_map(|app| &app.cells).collect();
    let data = serde_json::json!({ "app": thing.app(), "build": build, "at": view.at, "cells": cells });
    Ok(Answer::new(&data, words))
}

/// One version: where it came from, and what it is in each audience.
fn build_in_words(app: &AppName, build: &Build, view: &View) -> String {
    let name = &build.name;
    let commit = build.commit.as_ref().map(|commit| {
        let tag = commit.tag.as_ref().map(|tag| format!(" (tag {tag})")).unwrap_or_default();
        format!(" from commit {}{tag}", commit.id.get(..7).unwrap_or(&commit.id))
    });
    let what = match &build.package {
        Some(members) => format!("a package of {members}"),
        None => format!("{} in {}", sizes::length(build.size_bytes), count(build.files, "file")),
    };
    let mut lines = vec![format!(
        "{}  {}  {}{}, {}; {what}",
        name.of(app),
        name.build,
        origin(&build.pusher, build.vendor.as_ref()),
        commit.unwrap_or_default(),
        ago(build.pushed, view.at),
    )];
    lines.extend(makers(&build.makers).map(|makers| format!("  made of parts: {makers}")));
    lines.extend(build.pruned.map(|since| {
        let since = ago(since, view.at);
        format!("  its bytes were pruned {since}: whoever has them pushes them again (sortie push)")
    }));
    lines.extend(retired(view, app).map(|retired| format!("  {retired}")));
    for (kind, passed, summary) in &build.evidence {
        lines.push(format!("  evidence {} {kind} {summary}", if *passed { "✓" } else { "✗" }));
    }
    let cells = view.apps.iter().filter(|other| other.app == *app).flat_map(|app| &app.cells);
    let rows: Vec<Vec<String>> = cells.map(|cell| build_row(build, cell, view)).collect();
    lines.push(table(&["audience", "may be deployed", "runs", "seen by", "notes"], &rows));
    lines.join("\n")
}

fn build_row(build: &Build, cell: &Cell, view: &View) -> Vec<String> {
    let now = view.at;
    let name = &build.name;
    let released = cell.released.iter().find(|released| released.build == name.build);
    let permit = match cell.deployed_by.filter(|_| released.is_some()) {
        Some(by) => by_others(Some(by)),
        None => permit_in_words(released, now),
    };

    let runs = cell.runs.iter().find(|runs| runs.build.build == name.build);
    let exposed =
        cell.exposed.as_ref().filter(|(version, percent)| Some(version) == name.version.as_ref() && *percent > 0);
    let mut notes = Vec::new();
    let wrong = |said: &BTreeMap<TargetName, String>, how: &str| {
        let more = said.len().checked_sub(2).map(|more| format!(" and {} more", more + 1)).unwrap_or_default();
        said.first_key_value().map(|(on, reason)| format!("{how} on {on}{more}: {reason}"))
    };
    notes.extend(runs.and_then(|runs| wrong(&runs.unwell, "unwell")));
    notes.extend(runs.and_then(|runs| wrong(&runs.unclear, "nobody can tell how it is")));
    notes.extend(cell.held.iter().any(|held| held.build == name.build).then(|| "held out".to_string()));
    let failed = cell.failed.iter().find(|failed| failed.build.build == name.build);
    notes.extend(failed.map(|failed| format!("failed{} in deployment {}", failed.where_in_words(), failed.deployment)));
    notes.extend(build.superseded.get(&cell.audience).map(|by| format!("superseded by {by}")));
    notes.extend(build.withdrawn.contains(&cell.audience).then(|| "withdrawn".to_string()));
    notes.extend(build.skipped.get(&cell.audience).map(|by| format!("skipped: {by} came there")));
    let delivered = cell.delivered.iter().find(|delivered| Some(&delivered.version) == name.version.as_ref());
    notes.extend(delivered.map(Delivered::in_words));
    let is_channel = view.audiences.iter().any(|audience| audience.name == cell.audience && audience.class.is_none());
    let ours = released.filter(|_| cell.deployed_by.is_none());
    // What is held out was brought, though a server that was put back does not know of it.
    let was_brought = failed.is_some() || cell.held.iter().any(|held| held.build == name.build);
    let never = ours.filter(|released| !released.deployed && !was_brought && !is_channel);
    notes.extend(never.map(|_| "released, never deployed".to_string()));
    notes.extend(ours.map(|released| {
        let may = if is_channel { "may be installed" } else { "may be deployed" };
        format!("{may} until {}", moment::written(released.not_after, &TimeZone::system()))
    }));
    vec![
        cell.audience.to_string(),
        permit,
        runs.map_or("no".into(), |runs| format!("{} {}", runs_in_words(runs, cell.targets), ago(runs.since, now))),
        exposed.map_or("nobody".into(), |(_, percent)| format!("{percent} %")),
        notes.join("; "),
    ]
}

fn permit_in_words(released: Option<&Released>, now: Timestamp) -> String {
    released.map_or("no".into(), |released| {
        let approvers: Vec<String> = released.approvers.iter().map(ToString::to_string).collect();
        format!("since {} by {}", ago(released.since, now), approvers.join(" and "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::{self, time};

    #[test]
    fn r46_the_board_says_what_is_where() {
        let mut view = samples::status();
        let dev = view.apps[0].cells[0].runs[0].build.short();
        let words = board(&view);
        let lines: Vec<&str> = words.lines().collect();
        assert_eq!(
            lines,
            [
                "application  audience  may be deployed  runs            since    waits and notes".to_string(),
                format!("web          dev       –                {dev} on 1/1  2 h ago  unreleased build"),
                "             test      1.5.0, 1.4.0     1.5.0 on 1/1    2 h ago".into(),
                "             prod      1.4.0            1.4.0 on 3/3    2 h ago  1.5.0 → prod waits for ops; 1.5.0 held out".into(),
                "mind: one person guards prod".into(),
            ]
        );
        view.apps[0].cells[2].runs[0].permitted = false;
        assert!(board(&view).contains("1.4.0 on 3/3 ✗ without permission"));
        view.apps.clear();
        assert!(board(&view).starts_with("nothing was pushed yet"));
    }

    #[test]
    fn a_name_is_an_application_an_audience_or_a_target() {
        let view = samples::status();
        assert!(matches!(pick(&view, "web"), Ok(Picked::App(_))));
        assert!(matches!(pick(&view, "prod"), Ok(Picked::Audience(_))));
        assert!(matches!(pick(&view, "prod-1"), Ok(Picked::Target(_))));
        assert!(matches!(pick(&view, "web@1.4.0"), Ok(Picked::Build(_))));
        let unknown = pick(&view, "pord").unwrap_err().problem;
        assert_eq!((unknown.exit, unknown.next.as_deref()), (2, Some("sortie status prod")));
        assert!(known_audience(&view, &"tset".parse().unwrap()).unwrap_err().problem.message.contains("test"));
    }

    #[test]
    fn nobody_is_told_how_it_was_at_a_moment_that_is_to_come() {
        let now = time("10:00:00");
        let read = |text: &str| past(text, now, &TimeZone::UTC).map_err(|failure| failure.problem.exit);
        assert_eq!((read("2030-01-01"), read("2h")), (Err(2), Ok(time("08:00:00"))));
    }

    #[test]
    fn a_target_and_an_environment_tell_what_runs_there() {
        let mut view = samples::status();
        let target = view.targets[0].clone();
        assert_eq!(
            target_in_words(&target, &view),
            "prod-1 in prod   seen just now\n  linux x86_64, 2 GiB memory, agent 0.1.0\n  labels role=web\n  \
             runs web@1.4.0 since 2 h ago"
        );
        for (audience, note) in view.audiences.iter_mut().zip(["about dev", "about test", "about prod"]) {
            audience.notes.push(note.into());
            view.notes.push(note.into());
        }
        keep_audience(&mut view, &"prod".parse().unwrap());
        assert_eq!(view.notes, ["one person guards prod", "about prod"]);
        assert_eq!((view.targets.len(), view.apps[0].cells.len()), (3, 1));
        let failed = FailedView { build: samples::build("1.5.0"), deployment: 41, on: vec![target.name.clone()] };
        view.apps[0].cells[0].failed = vec![failed];
        assert!(target_in_words(&target, &view).ends_with("\n  web@1.5.0 failed here in deployment 41"));
        assert!(board(&view).contains("1.5.0 failed on prod-1 (deployment 41)"), "{}", board(&view));
        view.targets[0].away = true;
        assert_eq!(seen(&view.targets[0], view.at), "away");
        view.targets[0].away = false;
        view.targets[0].stuck = Some("with deployment 41: cannot write /a: No space left on device".into());
        let told =
            "\n  ✗ cannot go on, and tries again, with deployment 41: cannot write /a: No space left on device\n";
        assert!(
            target_in_words(&view.targets[0], &view).contains(told),
            "{}",
            target_in_words(&view.targets[0], &view)
        );
        view.targets[1].findings = 2;
        let words = targets(&view);
        assert!(words.contains("prod-2  web@1.4.0  just now  role=web  ✗ 2 not as it should be"), "{words}");
    }

    #[test]
    fn r17_a_version_tells_its_permits_and_where_it_runs() {
        let mut view = samples::status();
        view.apps[0].cells[1].released[0].deployed = false;
        let known = samples::known_build("1.5.0");
        view.apps[0].retired = Some(time("09:00:00"));
        let words = build_in_words(&"web".parse().unwrap(), &known, &view);
        assert!(words.contains("web was retired on 2026-11-22: nothing new of it comes in"), "{words}");
        view.apps[0].retired = None;
        let mut passed = known.clone();
        passed.superseded.insert("test".parse().unwrap(), "1.6.0".parse().unwrap());
        passed.skipped.insert("prod".parse().unwrap(), "1.6.0".parse().unwrap());
        passed.withdrawn = vec!["dev".parse().unwrap()];
        let words = build_in_words(&"web".parse().unwrap(), &passed, &view);
        assert!(
            words.contains("nobody   withdrawn\n")
                && words.contains("superseded by 1.6.0")
                && words.ends_with("skipped: 1.6.0 came there"),
            "{words}"
        );
        let app = App {
            app: "web".parse().unwrap(),
            builds: vec![passed],
            drafts: Default::default(),
            released_with: Vec::new(),
        };
        assert!(
            builds::listed(&app, view.at).ends_with("withdrawn from dev; superseded in test; skipped in prod"),
            "{}",
            builds::listed(&app, view.at)
        );
        let words = build_in_words(&"web".parse().unwrap(), &known, &view);
        assert!(words.contains("pushed by ci, 2 h ago; 4.1 MB in 37 files"), "{words}");
        assert!(words.contains("evidence ✓ test-result 812/812"), "{words}");
        assert!(
            words.contains(
                "test      since 2 h ago by tester and oncall  1.5.0 on 1/1 2 h ago  nobody   released, never deployed"
            ),
            "{words}"
        );
        assert!(words.contains("prod      no                                  no"), "{words}");
        assert!(words.ends_with("nobody   held out"), "{words}");
    }

    #[test]
    fn r22_what_customers_deploy_is_not_said_to_be_deployable() {
        let mut view = samples::status();
        view.apps[0].cells[1].deployed_by = Some(DeployedBy::Customer);
        assert!(board(&view).contains("test      no: by customers"), "{}", board(&view));
        let words = build_in_words(&"web".parse().unwrap(), &samples::known_build("1.5.0"), &view);
        assert!(words.contains("test      no: by customers") && !words.contains("may be deployed until"), "{words}");
    }
}
