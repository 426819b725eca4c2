//! Following a deployment until it is over: one line a target, with its phases.

use crate::{
    connection::Connection,
    failure::{Failure, OrMisused},
    invocation::{Invocation, WAIT, duration},
    output, package,
};
use api::{
    agent::ProgressReport,
    client::ClientError,
    happenings::Happenings,
    progress::Progress,
    read::{BuildName, DeploymentView, Happening, MemberView, PartView},
    routes,
};
use domain::event::Event;
use jiff::SignedDuration;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal,
    time::Duration,
};
use tokio::time::{Instant, sleep_until, timeout_at};
use trust::{
    AppName, TargetName,
    statement::{Phase, PhaseTiming},
};

/// How often a deployment is looked at while nothing is heard of it, in milliseconds.
const LOOK_AGAIN_MILLISECONDS: u64 = 2000;
/// How soon the server is tried again once it is away, in milliseconds.
const TRY_AGAIN_MILLISECONDS: u64 = 500;

/// How long to follow.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Following {
    /// Return as soon as the order is accepted
    #[arg(long)]
    pub detach: bool,
    /// How long to wait for the end (30m by default)
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
}

impl Following {
    /// How long to wait for the end.
    pub fn limit(&self) -> Result<SignedDuration, Failure> {
        self.wait.as_deref().map_or(Ok(WAIT), duration)
    }
}

/// Follows a deployment until it is over, or has paused by itself and waits for somebody's word, and says a line whenever a
/// target finishes its part. Fails with exit 8 when
/// `limit` is over first; the deployment goes on by itself.
pub async fn follow(
    invocation: &Invocation,
    connection: &Connection,
    deployment: u64,
    limit: SignedDuration,
) -> Result<DeploymentView, Failure> {
    let is_done = |view: &DeploymentView| view.ending.is_some() || waits_for_word(view);
    follow_kept(invocation, connection, deployment, limit, &|_| {}, &is_done).await
}

/// Follows these targets of a deployment that is over, until each has finished what it tries again. What the others did is
/// told already.
pub async fn follow_again(
    invocation: &Invocation,
    connection: &Connection,
    deployment: u64,
    only: &BTreeSet<TargetName>,
    limit: SignedDuration,
) -> Result<DeploymentView, Failure> {
    let keep = |view: &mut DeploymentView| view.targets.retain(|part| only.contains(&part.target));
    let is_done = |view: &DeploymentView| view.targets.iter().all(is_finished);
    follow_kept(invocation, connection, deployment, limit, &keep, &is_done).await
}

/// As [`follow`], of what is kept of the deployment, until that is done.
async fn follow_kept(
    invocation: &Invocation,
    connection: &Connection,
    deployment: u64,
    limit: SignedDuration,
    keep: &(dyn Fn(&mut DeploymentView) + Sync),
    is_done: &(dyn Fn(&DeploymentView) -> bool + Sync),
) -> Result<DeploymentView, Failure> {
    let limit_std = Duration::try_from(limit).or_misused()?;
    let deadline = Instant::now() + limit_std.min(Duration::from_secs(400 * 86_400));
    let mut happenings = connection.client.happenings();
    let mut screen = Screen::new(invocation);
    let mut teller: Option<Teller> = None;
    loop {
        let Some(mut view) = look(invocation, connection, deployment, deadline).await? else {
            return Err(too_long(deployment, limit, "the server is away"));
        };
        keep(&mut view);
        let teller = teller.get_or_insert_with(Teller::default);
        screen.say(&teller.news(&view));
        if is_done(&view) {
            screen.draw(&[]);
            return Ok(view);
        }
        screen.draw(&teller.live(&view));
        if Instant::now() >= deadline {
            screen.draw(&[]);
            return Err(too_long(deployment, limit, view.waits.as_deref().unwrap_or("it has not ended")));
        }
        listen(&mut happenings, deployment, deadline, |progress| {
            teller.progress(progress);
            screen.draw(&teller.live(&view));
        })
        .await;
    }
}

fn too_long(deployment: u64, limit: SignedDuration, why: &str) -> Failure {
    Failure::timed_out(format!(
        "{why}, and {limit:#} of waiting are over; that ends nothing of deployment {deployment}"
    ))
    .next(format!("sortie status {deployment}"))
}

/// The deployment as it is; nothing when the server stayed away until the deadline.
async fn look(
    invocation: &Invocation,
    connection: &Connection,
    deployment: u64,
    deadline: Instant,
) -> Result<Option<DeploymentView>, Failure> {
    let path = routes::path(routes::DEPLOYMENT, &[&deployment.to_string()]);
    let (mut was_away, mut logged_in) = (false, false);
    loop {
        match connection.client.get(&path, &[]).await {
            Ok(view) => return Ok(Some(view)),
            Err(ClientError::Away { .. }) if Instant::now() < deadline => {
                if !was_away {
                    invocation.aside("the server is away; the deployment goes on by itself, and so does the waiting");
                }
                was_away = true;
                sleep_until(deadline.min(Instant::now() + Duration::from_millis(TRY_AGAIN_MILLISECONDS))).await;
            }
            Err(ClientError::Away { .. }) => return Ok(None),
            // A server that was started anew has forgotten its sessions.
            Err(ClientError::Refused(_)) if !logged_in => {
                logged_in = true;
                connection.client.log_in(connection.estate(), connection.identity.signer.as_ref()).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Listens until there is a reason to look at the deployment again.
async fn listen(
    happenings: &mut Happenings,
    deployment: u64,
    deadline: Instant,
    mut on_progress: impl FnMut(ProgressReport),
) {
    let end = deadline.min(Instant::now() + Duration::from_millis(LOOK_AGAIN_MILLISECONDS));
    loop {
        match timeout_at(end, happenings.next()).await {
            Ok(Some(Happening::Progress(progress))) if progress.deployment == deployment => on_progress(progress),
            Ok(Some(Happening::Entry(entry))) => {
                if entry.entry.events.iter().any(|event| deployment_of(event) == Some(deployment)) {
                    return;
                }
            }
            Ok(Some(Happening::Progress(_))) => {}
            Ok(None) => {
                return sleep_until(end.min(Instant::now() + Duration::from_millis(TRY_AGAIN_MILLISECONDS))).await;
            }
            Err(_) => return,
        }
    }
}

/// The deployment that an event is part of.
pub fn deployment_of(event: &Event) -> Option<u64> {
    match event {
        Event::DeploymentRequested { deployment, .. }
        | Event::StepStarted { deployment, .. }
        | Event::WaveStarted { deployment, .. }
        | Event::RingVerified { deployment, .. }
        | Event::DeploymentPaused { deployment, .. }
        | Event::DeploymentResumed { deployment, .. }
        | Event::TargetFinished { deployment, .. }
        | Event::UndoStarted { deployment, .. }
        | Event::TargetExcluded { deployment, .. }
        | Event::RetryOrdered { deployment, .. }
        | Event::DeploymentEnded { deployment, .. }
        | Event::DeploymentSettled { deployment } => Some(*deployment),
        _ => None,
    }
}

/// Knows what was said of each target, so that everything is said once.
#[derive(Default)]
struct Teller {
    told: BTreeMap<TargetName, String>,
    members: BTreeMap<AppName, String>,
    progress: BTreeMap<TargetName, Progress>,
    going_back: BTreeSet<TargetName>,
    waits: Option<String>,
}

impl Teller {
    /// A line for each target that has finished its part since the last look.
    fn news(&mut self, view: &DeploymentView) -> Vec<String> {
        let mut lines = Vec::new();
        let moves = |member: &MemberView| matches!(member.state.as_str(), "at it" | "going back");
        let is_at_work = view.targets.iter().any(is_at_it) || view.members.iter().any(moves);
        let stands_still = view.waits.clone().filter(|_| !is_at_work);
        for member in view.members.iter().filter(|member| package::is_over(member)) {
            if self.members.get(&member.app) != Some(&member.state) {
                lines.push(package::member_in_words(view, member));
                self.members.insert(member.app.clone(), member.state.clone());
            }
        }
        let (width, rings) = (name_width(view), rings(view));
        for part in &view.targets {
            // What was told on the way there is nothing about the way back.
            if part.state == "going back" && self.going_back.insert(part.target.clone()) {
                self.progress.remove(&part.target);
            }
            let before = self.told.get(&part.target).cloned();
            if !is_finished(part) || before.as_ref() == Some(&part.state) {
                continue;
            }
            let wave = wave(view, &rings, part);
            lines.push(format!("{wave}{:<width$}  {}", part.target.as_str(), finished(part)));
            self.told.insert(part.target.clone(), part.state.clone());
        }
        // It stands still after what has just come to its end.
        if stands_still != self.waits {
            lines.extend(stands_still.clone());
            self.waits = stands_still;
        }
        lines
    }

    fn progress(&mut self, report: ProgressReport) {
        self.progress.entry(report.target.clone()).or_default().hear(report);
    }

    /// A line for each target that is at it.
    fn live(&self, view: &DeploymentView) -> Vec<String> {
        let width = name_width(view);
        let rings = rings(view);
        let at_it = view.targets.iter().filter(|part| is_at_it(part));
        let members = view.members.iter().filter(|member| matches!(member.state.as_str(), "at it" | "going back"));
        let members = members.map(|member| package::member_in_words(view, member));
        let targets = at_it.map(|part| {
            let told = self.progress.get(&part.target).and_then(Progress::in_words);
            let words = told.unwrap_or_else(|| unfinished(part));
            format!("{}{:<width$}  {words}", wave(view, &rings, part), part.target.as_str())
        });
        members.chain(targets).collect()
    }
}

fn name_width(view: &DeploymentView) -> usize {
    view.targets.iter().map(|part| part.target.as_str().len()).max().unwrap_or(0)
}

/// Whether a target has nothing more to do in the deployment, or not now.
pub fn is_finished(part: &PartView) -> bool {
    matches!(part.state.as_str(), "verified" | "undone" | "failed" | "refused" | "absent" | "left out" | "staged")
}

/// Whether a target is at it, or goes back.
pub fn is_at_it(part: &PartView) -> bool {
    !is_finished(part) && !matches!(part.state.as_str(), "waiting" | "not begun")
}

/// Whether it paused by itself and nothing is being done any more: it waits for somebody's word.
fn waits_for_word(view: &DeploymentView) -> bool {
    view.failure.is_some() && !view.targets.iter().any(is_at_it)
}

/// `wave 2/4 (canary)  `, where there are several.
fn wave(view: &DeploymentView, rings: &BTreeMap<&TargetName, &str>, part: &PartView) -> String {
    let ring = rings.get(&part.target).map(|ring| format!(" ({ring})")).unwrap_or_default();
    match part.wave {
        Some(wave) if view.waves > 1 => format!("wave {wave}/{}{ring}  ", view.waves),
        _ => String::new(),
    }
}

/// The ring that each target is in, where there are several: they divide the targets in the order in which they have their turn,
/// and whoever came late has its turn with the last.
pub fn rings(view: &DeploymentView) -> BTreeMap<&TargetName, &str> {
    let divided = view.rings.iter().flat_map(|(name, targets)| std::iter::repeat_n(name.as_str(), *targets as usize));
    let last = view.rings.last().into_iter().flat_map(|(name, _)| std::iter::repeat(name.as_str()));
    view.targets.iter().map(|part| &part.target).zip(divided.chain(last)).collect()
}

/// The phase that failed. A server that does not name it apart says it at the beginning of the detail.
fn failed_in(part: &PartView) -> Option<Phase> {
    use Phase::{Activate, Check, Configure, Fetch, Migrate, Remove, Stage, Verify};
    let begins = |phase: &Phase| part.detail.as_deref().is_some_and(|detail| without(detail, *phase) != detail);
    let said = || [Check, Fetch, Stage, Configure, Migrate, Activate, Verify, Remove].into_iter().find(begins);
    part.failed_in.or_else(|| if part.state == "verified" { None } else { said() })
}

/// `fetch ✓ stage ✓ configure ✓ activate ✓ verify ✓   0.9 s   http://127.0.0.1:20001`
pub fn finished(part: &PartView) -> String {
    let failed_in = failed_in(part);
    let detail = part.detail.as_deref().unwrap_or_default();
    if went_back(part) {
        return gone_back(part);
    }
    if part.state == "absent" {
        let then = part.once_heard.as_deref().unwrap_or("left out until it returns");
        return format!("absent ✗ {detail}; {then}").trim_end().to_string();
    }
    if part.state == "left out" {
        return format!("left out: {detail}").trim_end().to_string();
    }
    if part.state == "staged" {
        return format!("staged, not deployed: {detail}");
    }
    if part.state == "refused" {
        return format!("refused ✗ {detail}").trim_end().to_string();
    }
    let tried = last_try(&part.phases);
    if part.state == "verified" {
        let mut words: Vec<String> = Vec::new();
        words.extend(some(phases(tried, None)));
        words.push(seconds(tried));
        words.extend(some(part.endpoints.join(" ")));
        words.extend(some(detail.to_string()));
        return words.join("   ");
    }
    // What comes after the phase that failed is the way back.
    let until = tried.iter().position(|timing| Some(timing.phase) == failed_in);
    let forward = &tried[..until.unwrap_or(tried.len())];
    let failed = failed_in.map(|phase| format!("{} ✗", phase.word())).unwrap_or_else(|| "✗".into());
    let detail = match failed_in {
        Some(phase) => without(detail, phase),
        None => detail,
    };
    let lost = if part.state == "failed" { "; it could not go back" } else { "" };
    let words = [phases(forward, failed_in), failed, format!("{detail}{lost}")];
    words.into_iter().filter_map(some).collect::<Vec<_>>().join(" ")
}

/// `at it   fetch ✓ stage ✓ configure ✓`: what there is to say of a target that has still something to do.
pub fn unfinished(part: &PartView) -> String {
    let words = [Some(part.state.clone()), part.detail.clone()];
    words.into_iter().flatten().collect::<Vec<_>>().join("   ")
}

/// The phases of the last try: each begins with a check.
pub fn last_try(phases: &[PhaseTiming]) -> &[PhaseTiming] {
    let begins = phases.iter().rposition(|timing| timing.phase == Phase::Check);
    &phases[begins.unwrap_or(0)..]
}

/// The detail without the phase that it may begin with.
fn without(detail: &str, phase: Phase) -> &str {
    let rest = detail.strip_prefix(phase.word());
    rest.and_then(|rest| rest.strip_prefix(": ").or_else(|| rest.strip_prefix(" failed: "))).unwrap_or(detail)
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Whether the target was well and went back because another one was not: it has nothing more to say than that.
pub fn went_back(part: &PartView) -> bool {
    part.state == "undone" && failed_in(part).is_none()
}

fn gone_back(part: &PartView) -> String {
    match &part.before {
        Some(before) => format!("back on {}", before.short()),
        None => "taken away again: nothing ran there before".into(),
    }
}

/// The check is no phase that people wait for; it is told when it failed.
fn phases(timings: &[PhaseTiming], failed: Option<Phase>) -> String {
    let told = timings.iter().filter(|timing| timing.phase != Phase::Check && Some(timing.phase) != failed);
    told.map(|timing| format!("{} ✓", timing.phase.word())).collect::<Vec<_>>().join(" ")
}

fn seconds(timings: &[PhaseTiming]) -> String {
    let milliseconds: u64 = timings.iter().map(|timing| timing.milliseconds).sum();
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}

/// `1.4.0 on 12/12, #3fa9c1 on 1/12`, or `nothing`.
pub fn runs_in_words(runs: &[(BuildName, usize)], targets: u32) -> String {
    let words: Vec<String> = runs.iter().map(|(build, on)| format!("{} on {on}/{targets}", build.short())).collect();
    if words.is_empty() { "nothing".into() } else { words.join(", ") }
}

/// The lines of targets that are at it, redrawn in place on a terminal; elsewhere only what is finished is said.
struct Screen<'a> {
    invocation: &'a Invocation,
    live: bool,
    drawn: usize,
}

impl<'a> Screen<'a> {
    fn new(invocation: &'a Invocation) -> Self {
        let moves = std::env::var_os("TERM").is_some_and(|name| name != "dumb");
        let terminal = moves && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Self { invocation, live: terminal && !invocation.global.json, drawn: 0 }
    }

    fn say(&mut self, lines: &[String]) {
        if !lines.is_empty() {
            self.draw(&[]);
            lines.iter().for_each(|line| self.invocation.say(line));
        }
    }

    fn draw(&mut self, lines: &[String]) {
        if !self.live {
            return;
        }
        // Not through what takes colours out: where they are not wanted, the cursor moves all the same.
        if self.drawn > 0 {
            // Up to the first line that was drawn, and everything below it away.
            eprint!("\u{1b}[{}A\u{1b}[J", self.drawn);
        }
        // A terminal that is full of lines cannot be redrawn: the first ones stand for all.
        let shown = lines.iter().take(16);
        self.drawn = shown.len();
        // Each is one line, however narrow the terminal: what does not fit is cut off and not wrapped.
        eprint!("\u{1b}[?7l");
        shown.for_each(|line| output::aside(line));
        eprint!("\u{1b}[?7h");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::{deployment, part};

    #[test]
    fn a_target_that_finished_is_one_line_with_its_phases() {
        assert_eq!(
            finished(&part("dev-1", "verified")),
            "fetch ✓ stage ✓ configure ✓ activate ✓ verify ✓   0.9 s   http://127.0.0.1:20001"
        );
        let mut bad = part("prod-3", "undone");
        bad.failed_in = Some(Phase::Verify);
        bad.detail = Some("/healthz 503 × 5 (last log: \"no such column: plan\")".into());
        assert_eq!(
            finished(&bad),
            "fetch ✓ stage ✓ configure ✓ activate ✓ verify ✗ /healthz 503 × 5 (last log: \"no such column: plan\")"
        );
        bad.failed_in = None;
        bad.detail = Some("verify failed: /healthz 503 × 5".into());
        assert!(finished(&bad).ends_with("activate ✓ verify ✗ /healthz 503 × 5"));
        let mut refused = part("prod-1", "refused");
        refused.phases.clear();
        refused.detail = Some("PERMIT_WITHDRAWN: the permit was withdrawn (through serial 1)".into());
        assert_eq!(finished(&refused), "refused ✗ PERMIT_WITHDRAWN: the permit was withdrawn (through serial 1)");
    }

    #[test]
    fn a_target_that_tried_again_shows_its_last_try() {
        let mut again = part("prod-3", "verified");
        let first = again.phases.clone();
        again.phases.splice(0..0, first);
        assert_eq!(finished(&again), finished(&part("prod-3", "verified")));
        again.state = "undone".into();
        assert_eq!(finished(&again), "back on 1.4.0");
        let mut at_it = part("prod-3", "at it");
        assert_eq!(unfinished(&at_it), "at it");
        at_it.detail = Some("fetch ✓ stage ✓".into());
        assert_eq!(unfinished(&at_it), "at it   fetch ✓ stage ✓");
    }

    #[test]
    fn what_stands_still_is_said_after_the_targets_that_led_to_it() {
        let mut view = deployment(&[("prod-1", "verified"), ("prod-2", "verified")]);
        view.waits = Some("deployment 41 soaks until 2026-11-22T10:00:00Z".into());
        let lines = Teller::default().news(&view);
        assert!(lines[0].starts_with("prod-1  fetch ✓"), "{lines:?}");
        assert_eq!((lines.len(), lines.last()), (3, view.waits.as_ref()));
    }

    #[test]
    fn r41_every_target_is_told_once_in_its_wave_and_once_more_when_it_goes_back() {
        let mut view = deployment(&[("prod-1", "verified"), ("prod-2", "at it"), ("prod-3", "waiting")]);
        for (part, wave) in view.targets.iter_mut().zip([Some(1), Some(1), None]) {
            part.wave = wave;
        }
        let mut teller = Teller::default();
        let lines = teller.news(&view);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("wave 1/2  prod-1  fetch ✓"), "{}", lines[0]);
        assert!(teller.news(&view).is_empty());
        assert_eq!(teller.live(&view), ["wave 1/2  prod-2  at it"]);
        view.rings = vec![("canary".into(), 1), ("region=north".into(), 1)];
        assert_eq!(teller.live(&view), ["wave 1/2 (region=north)  prod-2  at it"]);
        assert_eq!(rings(&view)[&view.targets[2].target], "region=north");
        view.rings.clear();
        view.targets[0].state = "undone".into();
        assert_eq!(teller.news(&view), ["wave 1/2  prod-1  back on 1.4.0"]);
        view.waves = 1;
        assert_eq!(wave(&view, &rings(&view), &view.targets[0]), "");
        view.targets[1].state = "waiting".into();
        view.waits = Some("deployment 41 is paused".into());
        assert_eq!(teller.news(&view), ["deployment 41 is paused"]);
        assert!(teller.news(&view).is_empty());
    }

    #[test]
    fn a_target_that_is_at_it_shows_its_phase_and_no_control_character() {
        let report = |phase, done, note: &str| ProgressReport {
            deployment: 41,
            target: TargetName::new("prod-2").unwrap(),
            phase,
            done,
            note: note.into(),
            time: "2026-11-22T10:00:00Z".parse().unwrap(),
            stuck: false,
        };
        let mut teller = Teller::default();
        teller.progress(report(Phase::Fetch, false, "1 MB"));
        teller.progress(report(Phase::Fetch, true, ""));
        teller.progress(report(Phase::Stage, false, "12 files\u{1b}[2J"));
        let mut view = deployment(&[("prod-1", "verified"), ("prod-2", "at it")]);
        assert_eq!(teller.live(&view), ["prod-2  fetch ✓ stage … 12 files\u{FFFD}[2J"]);
        // It goes back, and has told nothing of that yet.
        view.targets[1].state = "going back".into();
        teller.news(&view);
        assert_eq!(teller.live(&view), ["prod-2  going back"]);
        teller.progress(report(Phase::Activate, false, ""));
        teller.news(&view);
        assert_eq!(teller.live(&view), ["prod-2  activate …"]);
    }
}
