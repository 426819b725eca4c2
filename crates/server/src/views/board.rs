//! The board as HTML: applications × audiences, what runs where and since when, what may be deployed, what waits, what
//! is held, who sees it, and what escaped. Read-only, and rendered from the answers of the reads, so that it can never
//! say anything else than `sortie status`, `sortie escapes` and `sortie history`.

use super::words::{ago, count, left, moment, names, size_of_share};
use api::read::{AppStatus, AudienceStatus, Cell, Escapes, HistoryEntry, Released, Runs, Status, TargetStatus};
use domain::{
    rules::deployers,
    waiting::{WaitingOn, lacks_in_words},
};
use jiff::{SignedDuration, Timestamp};
use maud::{DOCTYPE, Markup, html};
use trust::{Digest, TargetName, charter::DeployedBy, names::printable};

mod drawing;
mod emergencies;
use drawing::{Sign, pips, share, sign};

/// The board's style sheet.
pub const CSS: &str = include_str!("../../assets/board.css");
/// The board's script: it listens for changes and fetches the fragment anew.
pub const SCRIPT: &str = include_str!("../../assets/board.js");
/// The mark in the browser's tab.
pub const MARK: &str = include_str!("../../assets/mark.svg");

/// What the page may load: its own files, nothing inline and nothing from elsewhere; and nobody may frame it.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                                           img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A target that polled within this time counts as connected, in seconds.
const CONNECTED_SECONDS: i64 = 90;
/// How many released versions a cell lists before it counts the rest.
const RELEASED_SHOWN: usize = 2;
/// How many escapes are listed before the rest is counted.
const ESCAPES_SHOWN: usize = 12;
/// How many targets the strip shows before the rest is counted.
const TARGETS_SHOWN: usize = 240;
/// A permit that ends within this many hours says so.
const ENDS_SOON_HOURS: i64 = 7 * 24;

/// What the board is made from.
pub struct Board<'a> {
    /// The organisation's name, once it has an estate.
    pub estate: Option<&'a str>,
    /// What may be deployed, what runs, who sees it. Its `at` is the moment the page is true of.
    pub status: &'a Status,
    /// What is not as it should be.
    pub escapes: &'a Escapes,
    /// The newest entries, newest first.
    pub history: &'a [HistoryEntry],
}

/// The whole page.
pub fn page(board: &Board<'_>) -> Markup {
    let title = board.estate.map_or_else(|| "Sortie".to_owned(), |name| format!("{} · Sortie", printable(name)));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                link rel="icon" type="image/svg+xml" href=(asset("mark.svg", MARK));
                link rel="stylesheet" href=(asset("board.css", CSS));
                script defer src=(asset("board.js", SCRIPT)) {}
            }
            body {
                a.skip href="#board" { "Skip to the board" }
                main #board tabindex="-1" { (fragment(board)) }
            }
        }
    }
}

/// The path of an asset, which changes with its content so that browsers may keep it.
fn asset(name: &str, content: &str) -> String {
    format!("/assets/{name}?{}", Digest::of(content.as_bytes()).short())
}

/// Everything that changes, to be fetched anew after each change.
pub fn fragment(board: &Board<'_>) -> Markup {
    let Board { status, escapes, .. } = board;
    html! {
        (head(board))
        @if status.audiences.is_empty() {
            (no_estate())
        } @else {
            (emergencies::band(status))
            (escaped(escapes, status.at))
            @if status.apps.is_empty() { (no_applications(status)) } @else { (grid(status, escapes)) }
            div.below {
                (targets(status))
                (history(board))
            }
            (notes(&status.notes))
        }
    }
}

/// A moment as people read it, with the exact one on demand.
fn time(then: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(then) title=(moment(then)) { (ago(then, now)) } }
}

fn head(board: &Board<'_>) -> Markup {
    let Board { status, escapes, .. } = board;
    let cells = || status.apps.iter().flat_map(|app| &app.cells);
    let waits = cells().flat_map(|cell| &cell.waiting);
    let (people, machines): (Vec<&WaitingOn>, Vec<&WaitingOn>) =
        waits.partition(|waiting| matches!(waiting, WaitingOn::Approvals { .. }));
    let is_at_it = |waiting: &&&WaitingOn| matches!(waiting, WaitingOn::Targets { .. } | WaitingOn::Members { .. });
    let under_way = machines.iter().filter(is_at_it).count();
    let held: usize = cells().map(|cell| cell.held.len()).sum();
    html! {
        header.head {
            h1 { span.mark aria-hidden="true" {} "Sortie" @if let Some(name) = board.estate { span.estate { (printable(name)) } } }
            @if !status.audiences.is_empty() { ul.sums {
                @if under_way > 0 { li.busy { (sign(Sign::Busy)) b { (under_way) } " under way" } }
                @if !people.is_empty() { li.wait { (sign(Sign::Wait)) b { (people.len()) } @if people.len() == 1 { " waits" } @else { " wait" } " for people" } }
                @if held > 0 { li.held { (sign(Sign::Held)) b { (held) } " held" } }
                @if !status.emergencies.is_empty() {
                    li.bad { (sign(Sign::Bad)) a href="#emergencies" { b { (status.emergencies.len()) } @if status.emergencies.len() == 1 { " emergency" } @else { " emergencies" } " not reviewed" } }
                }
                @if escapes.escapes.is_empty() {
                    li.well { (sign(Sign::Runs)) "no escapes" }
                } @else {
                    li.bad { (sign(Sign::Bad)) a href="#escapes" { b { (escapes.escapes.len()) } " escaped" } }
                }
            } }
            p.live role="status" {
                span #live { "as of" } " "
                time datetime=(status.at) title=(moment(status.at)) { (status.at.strftime("%H:%M:%S UTC")) }
                span.entry { " · entry " (status.entries) }
            }
        }
    }
}

fn no_estate() -> Markup {
    html! {
        section.empty {
            h2 { "This server has no estate yet" }
            p { "An owner logs in with the one-time claim that the server printed when it started, and brings the first charter: who may release to where." }
            ol.steps {
                li { kbd { "sortie login " i { "URL#PIN" } " --claim " i { "CLAIM" } } }
                li { kbd { "sortie charter init" } " writes charter.toml; edit it" }
                li { kbd { "sortie charter apply" } " signs it and puts it in force" }
            }
            p.muted { "This page shows the board as soon as there is one." }
        }
    }
}

fn no_applications(status: &Status) -> Markup {
    let bare = status.audiences.iter().find(|audience| audience.class.is_some() && audience.targets == 0);
    let first = status.audiences.iter().find(|audience| audience.class.is_some()).map(|audience| &audience.name);
    html! {
        section.empty {
            h2 { "Nothing was pushed yet" }
            p { "The first push creates an application. In the repository of your program, type:" }
            ol.steps {
                @if let Some(bare) = bare {
                    li { kbd { "sortie target invite --in " (bare.name) } " lets a machine join " (bare.name) }
                }
                li { kbd { "sortie init" } " writes sortie.toml: what to run, and how to see that it is well" }
                li { kbd { "sortie push" } " brings the build to the depot" }
                @if let Some(first) = first {
                    li { kbd { "sortie deploy " i { "APP#BUILD" } " --to " (first) } " runs it" }
                }
            }
        }
    }
}

fn escaped(escapes: &Escapes, now: Timestamp) -> Markup {
    let all = &escapes.escapes;
    html! {
        @if !all.is_empty() {
            section #escapes.escapes aria-label="Escapes" {
                h2 { (sign(Sign::Bad)) (count(all.len(), "escape")) }
                ul {
                    @for escape in all.iter().take(ESCAPES_SHOWN) {
                        li {
                            b { (escape.target) } span.muted { " in " (escape.environment) } " "
                            span { (printable(&escape.what)) }
                            @if let Some(Some(scanned)) = escapes.scanned.get(&escape.target) {
                                span.muted { " · looked at " (time(*scanned, now)) @if ago(*scanned, now) != "just now" { " ago" } }
                            }
                        }
                    }
                    @if all.len() > ESCAPES_SHOWN {
                        li.muted { "and " (all.len() - ESCAPES_SHOWN) " more: " kbd { "sortie escapes" } }
                    }
                }
            }
        }
    }
}

fn grid(status: &Status, escapes: &Escapes) -> Markup {
    let away: Vec<&TargetName> =
        status.targets.iter().filter(|target| target.away).map(|target| &target.name).collect();
    let shown = Shown { status, escapes, away };
    html! {
        div.scroll #grid tabindex="0" role="region" aria-label="Applications by audience" {
            table.grid {
                thead {
                    tr {
                        th.corner scope="col" { span.muted { "application" } }
                        @for audience in &status.audiences { (column(audience, status.at)) }
                    }
                }
                tbody {
                    @for app in status.apps.iter().filter(|app| app.retired.is_none()) { (row(app, &shown)) }
                }
            }
        }
    }
}

fn column(audience: &AudienceStatus, now: Timestamp) -> Markup {
    let class = audience.class.map_or("channel", |class| class.word());
    html! {
        th scope="col" class={ "column is-" (class) } {
            span.name { (audience.name) }
            @if audience.name.as_str() != class { span.tag { (class) } }
            span.about {
                @if audience.class.is_some() { (count(audience.targets as usize, "target")) }
                @if audience.class.is_some() && audience.approve.is_some() { " · " }
                @if let Some(rule) = &audience.approve { (rule) " approve" @if !rule.contains(' ') { "s" } }
            }
            @if let Some(ends) = audience.ends {
                span.about title=(format!("ends at {}", moment(ends))) {
                    @if ends > now { "ends in " (left(ends, now)) } @else { "its time is over" }
                }
            }
        }
    }
}

/// What all rows are made from.
struct Shown<'a> {
    status: &'a Status,
    escapes: &'a Escapes,
    /// The targets that nobody has heard of for a while.
    away: Vec<&'a TargetName>,
}

fn row(app: &AppStatus, shown: &Shown<'_>) -> Markup {
    html! {
        tr {
            th.app scope="row" {
                span.name { (app.app) }
                @if let Some(newest) = &app.newest { span.about title="its newest build" { "newest " (newest.short()) } }
                @if let Some(members) = &app.package { span.about title="what its newest build lists" { "a package of " (members) } }
            }
            @for (cell, audience) in app.cells.iter().zip(&shown.status.audiences) {
                (self::cell(app, cell, audience, shown))
            }
        }
    }
}

fn cell(app: &AppStatus, cell: &Cell, audience: &AudienceStatus, shown: &Shown<'_>) -> Markup {
    let now = shown.status.at;
    let is_channel = audience.class.is_none();
    let class = audience.class.map_or("channel", |class| class.word());
    let wrong = shown.escapes.escapes.iter().filter(|escape| {
        escape.environment == audience.name
            && escape.finding.as_ref().is_some_and(|finding| finding.app == app.app.as_str())
    });
    let wrong = wrong.count();
    let id = format!("{}--{}", app.app, audience.name);
    html! {
        td #(id) class={ "is-" (class) } data-audience=(audience.name) data-is=(fingerprint(cell, wrong)) {
            @if is_channel {
                (offered(cell, now))
            } @else {
                @for runs in &cell.runs { (running(runs, cell.targets, &shown.away, now)) }
                @if cell.runs.is_empty() { p.nothing { "nothing runs" } }
                @if let Some(by) = cell.deployed_by {
                    @if !cell.released.is_empty() { p.more title=(deployers::in_words(&app.app, by)) { (by_others(by)) } }
                } @else {
                    (deployable(cell, now))
                }
            }
            @for waiting in &cell.waiting { (waits(waiting, now)) }
            @for dropped in &cell.dropped {
                p.bad title=(dropped.why) {
                    (sign(Sign::Bad)) span { "will be dropped" span.muted { " · deployment " (dropped.deployment) } }
                }
            }
            @for held in &cell.held { p.held { (sign(Sign::Held)) span { b.version { (held.short()) } " is held out" } } }
            @for failed in cell.failed.iter().filter(|failed| !cell.held.contains(&failed.build)) {
                p.held {
                    (sign(Sign::Held))
                    span {
                        b.version { (failed.build.short()) } " failed" (failed.where_in_words())
                        span.muted { " · deployment " (failed.deployment) }
                    }
                }
            }
            @if let Some((version, percent)) = &cell.exposed {
                p.seen {
                    (share(*percent))
                    span { @if *percent == 0 { "no end user sees it" } @else { (size_of_share(*percent)) " see " b.version { (version) } } }
                }
            }
            (emergencies::badges(shown.status, &app.app, &audience.name))
            @if wrong > 0 { p.bad { (sign(Sign::Bad)) span { a href="#escapes" { (count(wrong, "escape")) } } } }
        }
    }
}

/// What stands in the place of what may be deployed, where others deploy it.
fn by_others(by: DeployedBy) -> &'static str {
    match by {
        DeployedBy::Us => "deployed by us",
        DeployedBy::Customer => "deployed by its customers, not from here",
        DeployedBy::Embedded => "embedded: nobody deploys it",
    }
}

/// Everything in a cell but the passing of time: when it differs, the cell has news.
fn fingerprint(cell: &Cell, wrong: usize) -> String {
    let runs = cell.runs.iter().map(|runs| {
        (runs.build.build, runs.on.len(), runs.settled, &runs.stopped_on, runs.permitted, runs.standby.len())
    });
    let released: Vec<_> = cell.released.iter().map(|released| &released.version).collect();
    let runs: Vec<_> = runs.collect();
    let all =
        format!("{runs:?}{released:?}{:?}{:?}{:?}{:?}{wrong}", cell.waiting, cell.dropped, cell.held, cell.exposed);
    Digest::of(all.as_bytes()).short()
}

fn running(runs: &Runs, targets: u32, away: &[&TargetName], now: Timestamp) -> Markup {
    let silent = away.iter().filter(|name| runs.on.contains(name)).count();
    let on = runs.on.len();
    let (class, which) = match (runs.permitted, runs.stopped) {
        (_, true) => ("stopped", Sign::Stopped),
        (false, false) => ("bad", Sign::Bad),
        (true, false) => ("runs", Sign::Runs),
    };
    let endpoints = runs.endpoints.iter().map(|endpoint| printable(endpoint)).collect::<Vec<_>>();
    let mut title = format!("on {}", names(&runs.on));
    if !endpoints.is_empty() {
        title = format!("{title}, at {}", names(&endpoints));
    }
    html! {
        p class=(class) title=(title) {
            (sign(which))
            span {
                b.version { (runs.build.short()) } " "
                (pips(on, targets as usize))
                span.of { (on) "/" (targets) }
                span.muted {
                    " · " (time(runs.since, now))
                    @if runs.settled && !runs.stopped { " · settled" }
                }
                @if runs.stopped { " · stopped" }
                @else if !runs.standby.is_empty() { " · " (standby_in_words(runs)) }
                @if let Some(some) = runs.some_stopped() { " · " (some) }
                @if silent > 0 { span.muted title="nobody has heard of them for a while" { " · " (silent) " away" } }
                @if !runs.permitted { " · without permission" }
                @else if runs.build.version.is_none() { span.muted { " · unreleased" } }
            }
        }
    }
}

/// `stands by`, or on how many of its targets it does.
fn standby_in_words(runs: &Runs) -> String {
    match runs.standby.len() {
        all if all == runs.on.len() => "stands by".into(),
        some => format!("stands by on {some}"),
    }
}

/// The released versions that run nowhere there and are not held out: those that came after what runs first; older ones are
/// only counted.
fn deployable(cell: &Cell, now: Timestamp) -> Markup {
    let may_come = |released: &&Released| {
        let held = cell.held.iter().any(|held| held.build == released.build);
        !held && !cell.runs.iter().any(|runs| runs.build.build == released.build)
    };
    let newest_running = cell.runs.iter().filter_map(|runs| runs.build.version.as_ref()).max();
    let (newer, older): (Vec<&Released>, Vec<&Released>) = cell
        .released
        .iter()
        .filter(may_come)
        .partition(|released| newest_running.is_none_or(|running| released.version > *running));
    let hidden = newer.len().saturating_sub(RELEASED_SHOWN) + older.len();
    let rest: Vec<String> = newer.iter().skip(RELEASED_SHOWN).chain(&older).map(|released| passed(released)).collect();
    html! {
        @for released in newer.iter().take(RELEASED_SHOWN) {
            p.may title=(behind(released)) {
                (sign(Sign::May))
                span {
                    b.version { (released.version) } " may be deployed"
                    @if let Some(passed) = released.passed_in_words() { span.muted { " · " (passed) } }
                    @if let Some(left) = ends_soon(released, now) { span.soon { " · for " (left) } }
                }
            }
        }
        @if hidden > 0 {
            p.more title=(format!("may be deployed too: {}", names(&rest))) { "+ " (hidden) " released" @if newer.is_empty() { " before" } }
        }
    }
}

/// `1.3.0 (superseded by 1.4.0, skipped)`.
fn passed(released: &Released) -> String {
    let passed = released.passed_in_words().map(|passed| format!(" ({passed})")).unwrap_or_default();
    format!("{}{passed}", released.version)
}

fn offered(cell: &Cell, now: Timestamp) -> Markup {
    let hidden: Vec<String> = cell.released.iter().skip(1).map(passed).collect();
    html! {
        @if let Some(newest) = cell.released.first() {
            p.runs title=(behind(newest)) {
                (sign(Sign::Offered))
                span {
                    b.version { (newest.version) } " available" span.muted { " · " (time(newest.since, now)) }
                    @if let Some(left) = ends_soon(newest, now) { span.soon { " · for " (left) } }
                }
            }
        } @else {
            p.nothing { "nothing available" }
        }
        @if !hidden.is_empty() {
            p.more title=(format!("available too: {}", names(&hidden))) { "+ " (hidden.len()) " older" }
        }
    }
}

fn behind(released: &Released) -> String {
    let (since, until) = (moment(released.since), moment(released.not_after));
    let by = if released.approvers.is_empty() { String::new() } else { format!(" by {}", names(&released.approvers)) };
    format!("released {since}{by}; may be activated until {until}")
}

/// How long a permit still lasts, where that is not long.
fn ends_soon(released: &Released, now: Timestamp) -> Option<String> {
    let left = released.not_after.duration_since(now);
    (left < SignedDuration::from_hours(ENDS_SOON_HOURS)).then(|| ago(now, released.not_after))
}

fn waits(waiting: &WaitingOn, now: Timestamp) -> Markup {
    let left = |until: Timestamp| left(until, now);
    html! {
        @match waiting {
            WaitingOn::Approvals { version, audience, lacks } => {
                p.wait title=(format!("sortie approve …@{version} --to {audience}")) {
                    (sign(Sign::Wait)) span { b.version { (version) } " waits for " b { (lacks_in_words(lacks)) } }
                }
            }
            WaitingOn::Permit { deployment, version, .. } => {
                p.wait {
                    (sign(Sign::Wait))
                    span {
                        @if let Some(version) = version { b.version { (version) } " " }
                        "deploys when released" span.muted { " · deployment " (deployment) }
                    }
                }
            }
            WaitingOn::Beginning { deployment, begins } => {
                p.wait title=(format!("begins at {}", moment(*begins))) {
                    (sign(Sign::Wait)) span { "begins in " (left(*begins)) span.muted { " · deployment " (deployment) } }
                }
            }
            WaitingOn::Time { deployment, at } => {
                p.wait title=(format!("planned for {}", moment(*at))) {
                    (sign(Sign::Wait)) span { "planned, in " (left(*at)) span.muted { " · deployment " (deployment) } }
                }
            }
            WaitingOn::Window { deployment, opens_at } => {
                p.wait title=(opens_at.map_or("no window opens again".into(), |at| format!("opens at {}", moment(at)))) {
                    (sign(Sign::Wait))
                    span {
                        "waits for a window" @if let Some(at) = opens_at { ", " (left(*at)) }
                        span.muted { " · deployment " (deployment) }
                    }
                }
            }
            WaitingOn::Deployment { deployment, other } => {
                p.wait {
                    (sign(Sign::Wait)) span { "waits for deployment " (other) span.muted { " · deployment " (deployment) } }
                }
            }
            WaitingOn::Freeze { deployment, freeze, until } => {
                p.wait title=(format!("the freeze ends at {}", moment(*until))) {
                    (sign(Sign::Wait)) span { "frozen for " (left(*until)) span.muted { " · freeze " (freeze) " · deployment " (deployment) } }
                }
            }
            WaitingOn::Targets { deployment, targets, until } => {
                p.busy title=(format!("gives up at {}", moment(*until))) {
                    (sign(Sign::Busy)) (at_it(*deployment, targets))
                }
            }
            WaitingOn::Members { deployment, members, why } => {
                @let said = why.as_ref().map(ToString::to_string).unwrap_or_default();
                @let apps = members.iter().map(|(app, _)| app.clone()).collect::<Vec<_>>();
                p.busy title=(said) {
                    (sign(Sign::Busy)) (at_it(*deployment, &apps))
                }
            }
            WaitingOn::Bake { deployment, ring, until } => {
                p.busy title=(format!("the next ring begins at {}", moment(*until))) {
                    (sign(Sign::Busy))
                    span { "bakes on " b { (ring) } ", " (left(*until)) " more" span.muted { " · deployment " (deployment) } }
                }
            }
            WaitingOn::Word { deployment, ring, from, besides } => {
                @let besides = besides.as_ref().map(|besides| format!("; before that {besides}")).unwrap_or_default();
                p.wait title=(format!("sortie resume {deployment}, from {}{besides}", moment(*from))) {
                    (sign(Sign::Wait))
                    span { "past " b { (ring) } ", waits for somebody's word" span.muted { " · deployment " (deployment) } }
                }
            }
            WaitingOn::Person { deployment, by, failure, besides, .. } => {
                @let besides = besides.as_ref().map(|besides| format!("; besides, {besides}")).unwrap_or_default();
                p.wait title=(format!("sortie resume {deployment}, or abort{besides}")) {
                    (sign(Sign::Wait))
                    span {
                        "paused"
                        @if let Some(by) = by { " by " b { (by) } }
                        @if let Some(failure) = failure { ": " (failure) }
                        span.muted { " · deployment " (deployment) }
                    }
                }
            }
            WaitingOn::Health { deployment, unwell, stopped } => {
                @let said = unwell.iter().map(|(name, reason)| format!("{name}: {reason}")).collect::<Vec<_>>();
                p.bad title=(said.join("; ")) {
                    (sign(Sign::Bad))
                    span {
                        @if !unwell.is_empty() {
                            "unwell on " b { (names(&unwell.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>())) }
                        }
                        @if !unwell.is_empty() && !stopped.is_empty() { ", " }
                        @if !stopped.is_empty() { "stopped on " b { (names(stopped)) } }
                        span.muted { " · deployment " (deployment) " does not settle" }
                    }
                }
            }
            WaitingOn::Soak { deployment, until } => {
                p.busy title=(format!("settles at {}", moment(*until))) {
                    (sign(Sign::Busy)) span { "soaks, " (left(*until)) " more" span.muted { " · deployment " (deployment) } }
                }
            }
        }
    }
}

/// A deployment with whom it waits for; with nobody where the clock has not gone on with it yet.
fn at_it(deployment: u64, whom: &[impl std::fmt::Display]) -> Markup {
    html! {
        span {
            "deployment " (deployment)
            @if whom.is_empty() { " goes on in a moment" } @else { " at " b { (names(whom)) } }
        }
    }
}

fn targets(status: &Status) -> Markup {
    let connected = |target: &&TargetStatus| is_connected(target, status.at);
    let (all, now) = (status.targets.len(), status.targets.iter().filter(connected).count());
    html! {
        section.targets aria-label="Targets" {
            h2 { "Targets" span.muted { (now) " of " (all) " connected" } }
            @if status.targets.is_empty() {
                p.muted { "No machine has joined yet. " kbd { "sortie target invite --in " i { "ENVIRONMENT" } } }
            }
            @for audience in status.audiences.iter().filter(|audience| audience.class.is_some()) {
                @let here: Vec<&TargetStatus> = status.targets.iter().filter(|target| target.environment == audience.name).collect();
                @if !here.is_empty() {
                    h3 { (audience.name) }
                    ul { @for target in here.iter().take(TARGETS_SHOWN) { (self::target(target, status.at)) } }
                    @if here.len() > TARGETS_SHOWN {
                        p.muted { "and " (here.len() - TARGETS_SHOWN) " more: " kbd { "sortie target list" } }
                    }
                }
            }
        }
    }
}

fn is_connected(target: &TargetStatus, now: Timestamp) -> bool {
    target.seen.is_some_and(|seen| now.duration_since(seen).as_secs() < CONNECTED_SECONDS)
}

/// What is known of a target that does not poll.
fn unseen(target: &TargetStatus) -> String {
    match (target.carried, target.as_of) {
        (Some(told), _) => format!("by receipt, up to {}", moment(told)),
        (None, Some(taken)) => format!("as of the backup of {}, not heard since", moment(taken)),
        (None, None) => "not seen since the server started".into(),
    }
}

fn target(target: &TargetStatus, now: Timestamp) -> Markup {
    let connected = is_connected(target, now);
    let seen = target.seen.map(|seen| format!("last seen {}", moment(seen)));
    let labels = target.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let runs = target.runs.iter().map(|(app, build)| build.of(app));
    let about: Vec<String> = seen.into_iter().chain(labels).chain(runs).map(|text| printable(&text)).collect();
    let (class, which) = match (target.findings, connected) {
        (1.., _) => ("bad", Sign::Bad),
        (0, true) => ("well", Sign::Runs),
        (0, false) => ("silent", Sign::Stopped),
    };
    html! {
        li class=(class) title=(about.join(" · ")) {
            (sign(which))
            span.name { (target.name) }
            @match target.seen {
                Some(_) if connected => { span.unseen { "connected" } }
                Some(seen) => { span.muted { "silent " (time(seen, now)) } }
                None => { span.muted { (unseen(target)) } }
            }
            @if let Some(ends) = target.ends {
                span.muted title=(format!("ends at {}", moment(ends))) {
                    @if ends > now { "ends in " (left(ends, now)) } @else { "its time is over" }
                }
            }
            @if target.ephemeral { span.tag { "ephemeral" } }
            @if let Some(why) = &target.stuck { span.tag title=(printable(why)) { "cannot go on" } }
            @if target.cordoned { span.tag title=[target.cordon_reason.as_ref()] { "cordoned" } }
            @if target.findings > 0 { span.tag.bad { (count(target.findings as usize, "finding")) } }
        }
    }
}

fn history(board: &Board<'_>) -> Markup {
    let now = board.status.at;
    html! {
        section.history aria-label="Newest history" {
            h2 { "History" kbd { "sortie history" } }
            @if board.history.is_empty() { p.muted { "Nothing has happened yet." } }
            ol {
                @for entry in board.history {
                    li {
                        span.number { (entry.entry.number) }
                        (time(entry.entry.time, now))
                        div { @for line in &entry.lines { p { (printable(line)) } } }
                    }
                }
            }
        }
    }
}

fn notes(notes: &[String]) -> Markup {
    html! {
        @if !notes.is_empty() {
            footer.notes {
                h2 { "To know" }
                ul { @for note in notes { li { (printable(note)) } } }
            }
        }
    }
}

#[cfg(test)]
mod tests;
