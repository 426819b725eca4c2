//! Orders: signed here, submitted, followed to their end, and concluded in words: what happened, what did not, what next.

use crate::{
    connection::Connection,
    failure::{Failure, OrMisused, Outcome},
    follow::{Following, follow, last_try, runs_in_words},
    invocation::Invocation,
    output::Answer,
    releasing, when,
};
use api::{
    client::ClientError,
    plan::{PlanAsked, PlanView},
    read::{BuildName, Cell, DeploymentView, MemberView, PartView, Status},
    routes,
    write::{Accepted, Text},
};
use domain::{
    event::{Ending, Event},
    refusal::exit,
    state::GuidanceWord,
};
use jiff::Timestamp;
use std::collections::BTreeSet;
use trust::{
    AppName, AudienceName, Digest, TargetName, Version,
    rollout::RolloutTerms,
    schedule::Schedule,
    statement::{self, Act, OrderAct, Phase},
};

mod again;
mod left_out;
mod next;
pub use again::again;
use left_out::{cordoned, left_out};
pub use left_out::{has_failed, is_unwell, to_try_again};
use next::next_after;

/// What is to be ordered.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The application.
    pub app: AppName,
    /// The build it brings or acts on.
    pub build: BuildName,
    /// Where.
    pub environment: AudienceName,
    /// What is to be done.
    pub act: OrderAct,
    /// These targets only; empty means all.
    pub only: BTreeSet<TargetName>,
    /// Whether it may stand and wait for its permit.
    pub when_released: bool,
    /// Whether it may stand until what is under way has ended.
    pub after_current: bool,
    /// How it goes over the targets, where that is to be otherwise than the charter says.
    pub rollout: RolloutTerms,
    /// When; the environment's windows are written in when it is signed.
    pub schedule: Schedule,
    /// The deployment whose targets are to try again; nothing where it is another one.
    pub retries: Option<u64>,
    /// Why they are.
    pub reason: Option<Text>,
    /// Whether the data stays as later migrations left it.
    pub keep_data: bool,
    /// The plan that is to be carried out and nothing else.
    pub plan: Option<Digest>,
}

impl Wanted {
    /// As [`statement::Order::new`]: on all targets, now, as the charter says.
    pub fn new(app: AppName, build: BuildName, environment: AudienceName, act: OrderAct) -> Self {
        Self {
            app,
            build,
            environment,
            act,
            only: BTreeSet::new(),
            when_released: false,
            after_current: false,
            rollout: RolloutTerms::default(),
            schedule: Schedule::default(),
            retries: None,
            reason: None,
            keep_data: false,
            plan: None,
        }
    }

    /// What is to be signed.
    pub fn order(&self, connection: &Connection, now: Timestamp) -> statement::Order {
        let start = self.schedule.at.unwrap_or(now).max(now);
        let windows = when::written_out(connection, &self.environment, self.act, start);
        statement::Order {
            version: self.build.version.clone(),
            only: self.only.clone(),
            when_released: self.when_released,
            after_current: self.after_current,
            rollout: self.rollout.clone(),
            schedule: Schedule { windows, ..self.schedule.clone() },
            retries: self.retries,
            reason: self.reason.as_ref().map(Text::digest),
            keep_data: self.keep_data,
            plan: self.plan,
            ..statement::Order::new(self.app.clone(), self.environment.clone(), self.act)
        }
    }
}

/// Whether data stays as it is when an earlier build returns.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Data {
    /// Leave the data as later migrations left it, where the build is from before them
    #[arg(long)]
    pub keep_data: bool,
}

/// Reads `--only`.
pub fn only(names: &[String]) -> Result<BTreeSet<TargetName>, Failure> {
    names.iter().map(|name| TargetName::new(name).or_misused()).collect()
}

/// Everything that is so now, or was so at a moment.
pub async fn status(connection: &Connection, at: Option<jiff::Timestamp>) -> Result<Status, Failure> {
    let at = at.map(|at| at.to_string());
    let query: Vec<(&str, &str)> = at.iter().map(|at| ("at", at.as_str())).collect();
    Ok(connection.client.get(routes::STATUS, &query).await?)
}

/// One application in one audience.
pub fn cell<'a>(status: &'a Status, app: &AppName, audience: &AudienceName) -> Option<&'a Cell> {
    status.apps.iter().find(|other| other.app == *app)?.cells.iter().find(|cell| cell.audience == *audience)
}

/// Signs and submits an order, follows it to its end unless it is to be left alone, and says what came of it.
pub async fn order(
    invocation: &Invocation,
    connection: &Connection,
    wanted: &Wanted,
    following: &Following,
) -> Outcome {
    // A wait that cannot be read must not be found out after the order is given.
    following.limit()?;
    let accepted = submit(connection, wanted).await?;
    conclude_accepted(invocation, connection, wanted, following, &accepted).await
}

/// Follows an order that was accepted as [`order`] does.
pub async fn conclude_accepted(
    invocation: &Invocation,
    connection: &Connection,
    wanted: &Wanted,
    following: &Following,
    accepted: &Accepted,
) -> Outcome {
    let limit = following.limit()?;
    let deployment =
        number_of(accepted).ok_or_else(|| Failure::failed("the server accepted the order and named no deployment"))?;
    for warning in warnings(accepted) {
        invocation.aside(&format!("mind: {warning}"));
    }
    // By the server's clock its time may have come already.
    let is_planned = wanted.schedule.at.is_some() && !has_begun(accepted);
    if following.detach || is_planned && following.wait.is_none() {
        return Ok(detached(wanted, deployment, accepted));
    }
    if wanted.after_current && !has_begun(accepted) {
        let view: DeploymentView =
            connection.client.get(&routes::path(routes::DEPLOYMENT, &[&deployment.to_string()]), &[]).await?;
        view.waits.iter().for_each(|waits| invocation.aside(&format!("{waits}; it begins by itself then")));
    }
    if let Some(expires) = wanted.schedule.expires.filter(|_| !has_begun(accepted)) {
        invocation.aside(&format!("deployment {deployment} is dropped if it has not begun by {expires:.0}"));
    }
    let view = follow(invocation, connection, deployment, limit).await?;
    conclude(connection, &view).await
}

/// Whether an order that was accepted has begun to be carried out.
fn has_begun(accepted: &Accepted) -> bool {
    accepted.events.iter().any(|event| matches!(event, Event::WaveStarted { .. } | Event::StepStarted { .. }))
}

/// The newest version of those that serve there; nothing where none does.
pub fn newest_serving(status: &Status, app: &AppName, environment: &AudienceName) -> Option<Version> {
    let cells = status.apps.iter().find(|record| record.app == *app).map(|record| &record.cells)?;
    let cell = cells.iter().find(|cell| cell.audience == *environment)?;
    cell.runs.iter().filter(|runs| !runs.all_stand_by()).filter_map(|runs| runs.build.version.clone()).max()
}

/// What the order would do, by the server's own rules.
pub async fn preview(connection: &Connection, wanted: &Wanted) -> Result<PlanView, ClientError> {
    let order = wanted.order(connection, Timestamp::now());
    connection.client.post(routes::PLANS, &PlanAsked { subject: wanted.build.build, order }).await
}

/// Signs and submits an order.
pub async fn submit(connection: &Connection, wanted: &Wanted) -> Result<Accepted, Failure> {
    let order = wanted.order(connection, Timestamp::now());
    let (name, texts) = (wanted.build.of(&wanted.app), wanted.reason.as_slice());
    connection.submit_with(&name, wanted.build.build, Act::Order(order), &[], texts).await
}

/// The number of the deployment that an accepted order made.
pub fn number_of(accepted: &Accepted) -> Option<u64> {
    accepted.events.iter().find_map(|event| match event {
        Event::DeploymentRequested { deployment, .. } => Some(*deployment),
        _ => None,
    })
}

/// What the order warns of; a package warns of what its members do, each once.
fn warnings(accepted: &Accepted) -> Vec<&str> {
    fn of(event: &Event) -> &[String] {
        match event {
            Event::DeploymentRequested { warnings, .. } => warnings,
            _ => &[],
        }
    }
    let mut said: Vec<&str> = Vec::new();
    for warning in accepted.events.iter().flat_map(of) {
        if !said.contains(&warning.as_str()) {
            said.push(warning);
        }
    }
    said
}

fn detached(wanted: &Wanted, deployment: u64, accepted: &Accepted) -> Answer {
    let awaits =
        accepted.events.iter().any(|event| matches!(event, Event::DeploymentRequested { awaits_permit: true, .. }));
    let what = wanted.build.of(&wanted.app);
    let words = match awaits {
        _ if wanted.schedule.at.is_some() && !has_begun(accepted) => {
            let (environment, when) = (&wanted.environment, when::in_words(&wanted.schedule));
            let released = if awaits { " It waits for its permit too." } else { "" };
            format!(
                "deployment {deployment} is planned: {what} → {environment}. It begins by itself {when}.{released} \
                 Nothing was changed; `sortie abort {deployment}` takes it off."
            )
        }
        false if !has_begun(accepted) => format!(
            "deployment {deployment} stands: {what} → {}. It begins by itself once what is under way there has ended; \
             `sortie abort {deployment}` takes it off.",
            wanted.environment
        ),
        true => {
            let ends = wanted.schedule.expires.map(|_| format!(", {}", when::in_words(&wanted.schedule)));
            let (environment, ends) = (&wanted.environment, ends.unwrap_or_default());
            format!(
                "deployment {deployment} stands and waits until {what} is released to {environment}{ends}. \
                 `sortie abort {deployment}` takes it off."
            )
        }
        false => {
            format!("deployment {deployment} is under way: {what} in {}. It goes on by itself.", wanted.environment)
        }
    };
    let expires = wanted.schedule.expires.filter(|_| !has_begun(accepted));
    let data = serde_json::json!({
        "deployment": deployment, "entry": accepted.entry, "awaits_permit": awaits, "expires": expires,
    });
    Answer::new(&data, words).next(format!("sortie status {deployment}"))
}

/// What came of a deployment that is over.
pub async fn conclude(connection: &Connection, view: &DeploymentView) -> Outcome {
    let status = status(connection, None).await?;
    let cell = cell(&status, &view.app, &view.environment);
    if view.ending == Some(Ending::Succeeded) {
        let cordoned = cordoned(&status, view, cell).map(|line| format!("\n{line}")).unwrap_or_default();
        let again = (view.members.is_empty()).then(|| to_try_again(view, &status)).into_iter().flatten();
        let again: String = again.map(|line| format!("\n{line}")).collect();
        let answer = Answer::new(view, success(view, cell) + &again + &cordoned);
        let may_release = |audience: &AudienceName| releasing::may_alone(connection, audience);
        return Ok(match next_after(&connection.policy.charter, &status, view, &may_release) {
            Some(next) => answer.next(next),
            None => answer,
        });
    }
    if let (None, Some(why)) = (view.ending, &view.failure) {
        let member = member_to_blame(view).and_then(|member| member.deployment);
        // It is asked for what may be said to it only: without it there is an answer all the same.
        let member = match member {
            Some(number) => deployment(connection, number).await.ok(),
            None => None,
        };
        let answer = Answer::new(view, paused(view, member.as_ref(), why, cell)).exit(exit::DEPLOYMENT_FAILED);
        return Ok(answer.next(format!("sortie status {}", view.deployment)));
    }
    Ok(ended_badly(view, cell))
}

/// The exit code of what came to no good end. What machines lack they say before a byte is copied, and is refused like what the
/// server knows that they lack (R9).
fn exit_of(view: &DeploymentView) -> u8 {
    let mut touched = touched(view).peekable();
    match touched.peek().is_some() && touched.all(lacks) {
        true => exit::REFUSED,
        false => exit::DEPLOYMENT_FAILED,
    }
}

/// The targets that had their turn.
fn touched(view: &DeploymentView) -> impl Iterator<Item = &PartView> {
    view.targets.iter().filter(|part| !matches!(part.state.as_str(), "waiting" | "not begun"))
}

/// Whether a machine refused for what it lacks: no matter of permission, and somebody changes it there.
fn lacks(part: &PartView) -> bool {
    part.state == "refused" && part.refused.as_deref() == Some("NEEDS_UNMET")
}

/// One deployment.
pub async fn deployment(connection: &Connection, number: u64) -> Result<DeploymentView, Failure> {
    Ok(connection.client.get(&routes::path(routes::DEPLOYMENT, &[&number.to_string()]), &[]).await?)
}

/// The member of a package that the reason begins with: the one that failed.
fn member_to_blame(view: &DeploymentView) -> Option<&MemberView> {
    let reason = view.failure.as_ref().or(view.reason.as_ref())?;
    view.members.iter().find(|member| reason.starts_with(&format!("{}:", member.app)))
}

/// What runs there of the application: `prod runs 1.4.0 on 3/3`.
fn what_runs(view: &DeploymentView, cell: &Cell) -> String {
    let (app, environment) = (&view.app, &view.environment);
    let runs: Vec<_> = cell.runs.iter().map(|runs| (runs.build.clone(), runs.on.len())).collect();
    match cell.partly.iter().chain(&cell.beside).next() {
        _ if !runs.is_empty() => format!("{environment} runs {}", runs_in_words(&runs, cell.targets)),
        Some(left) => format!("{environment} runs {} of {app} in part", left.build.short()),
        // Members run there, of one version and of another.
        None if !view.members.is_empty() => format!("{environment} runs no version of {app} as a whole"),
        None => format!("{environment} runs nothing of {app}"),
    }
}

/// Why a deployment paused by itself, and what somebody may say to it; of a package, what to the `member` that failed.
fn paused(view: &DeploymentView, member: Option<&DeploymentView>, why: &str, cell: Option<&Cell>) -> String {
    let number = view.deployment;
    let mut said = vec![format!("deployment {number} is paused: {why}.   (exit {})", exit::DEPLOYMENT_FAILED)];
    said.extend(cell.map(|cell| what_runs(view, cell)));
    said.push("nothing more begins until somebody says what is to be done:".into());
    let at = member.unwrap_or(view);
    let has_failed = |part: &&PartView| has_failed(part);
    // Who is absent may have been away before it began, and costs nothing: whoever failed is meant first.
    let absent_last = |part: &&PartView| part.state == "absent";
    let failed = at.targets.iter().filter(has_failed).min_by_key(absent_last).map(|part| &part.target);
    let unwell = at.targets.iter().find(|part| is_unwell(part)).map(|part| &part.target);
    let mut choices = vec![(format!("sortie resume {number}"), "it goes on, and this is accepted")];
    if failed.is_some() {
        choices.push((format!("sortie retry {}", at.deployment), "those that failed try again"));
    }
    if let Some(target) = failed.or(unwell) {
        let exclude = format!("sortie exclude {} {target} --reason …", at.deployment);
        choices.push((exclude, "nobody counts on that one any more; then resume"));
    }
    choices.push((format!("sortie abort {number}"), "everything goes back"));
    let width = choices.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    said.extend(choices.iter().map(|(command, means)| format!("  {command:<width$}   {means}")));
    said.join("\n")
}

fn named(view: &DeploymentView) -> String {
    match &view.build.version {
        Some(_) => view.build.of(&view.app),
        None => format!("{} (unreleased)", view.build.of(&view.app)),
    }
}

/// `web@1.0.0 runs in test, 1/1.`
fn success(view: &DeploymentView, cell: Option<&Cell>) -> String {
    let (what, environment) = (named(view), &view.environment);
    if !view.members.is_empty() {
        return of_package(view);
    }
    let verified = view.targets.iter().filter(|part| part.state == "verified").count();
    let part = format!("{verified}/{}", view.targets.len());
    let said = match view.act {
        OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback => {
            let on = cell.and_then(|cell| cell.runs.iter().find(|runs| runs.build == view.build));
            let stopped = on.and_then(|runs| runs.some_stopped()).map(|some| format!(", {some}")).unwrap_or_default();
            let on = on.map_or(verified, |runs| runs.on.len());
            let of = cell.map_or(0, |cell| cell.targets as usize).max(on);
            let back = if view.act == OrderAct::Rollback { "again " } else { "" };
            match stands_by(view, cell) {
                true => format!("{what} stands by in {environment}, {on}/{of}. Nobody is served by it yet."),
                false => {
                    let beside = stand_by_beside(view, cell);
                    let beside = (!beside.is_empty()).then(|| {
                        let stand = if beside.len() == 1 { "stands" } else { "stand" };
                        format!(" {} {stand} by, and nobody is served there yet.", beside.join(", "))
                    });
                    format!("{what} runs {back}in {environment}, {on}/{of}{stopped}.{}", beside.unwrap_or_default())
                }
            }
        }
        OrderAct::Configure => format!("{what} has its newest config in {environment}, {part}."),
        OrderAct::Undeploy => format!("{what} is removed from {environment}, {part}. Its data folders stay."),
        OrderAct::Stop => format!("{what} is stopped in {environment}, {part}."),
        OrderAct::Start => format!("{what} is started in {environment}, {part}."),
        OrderAct::Restart => format!("{what} is restarted in {environment}, {part}."),
        OrderAct::Switch => {
            let made_way = cell.is_some_and(|cell| cell.runs.iter().any(|runs| !runs.standby.is_empty()));
            format!("{what} serves in {environment}.{}", if made_way { " What served before stands by." } else { "" })
        }
    };
    std::iter::once(said).chain(left_out(view)).collect::<Vec<_>>().join("\n")
}

/// Whether all of what was deployed stands by: it serves once somebody switches to it.
fn stands_by(view: &DeploymentView, cell: Option<&Cell>) -> bool {
    cell.and_then(|cell| cell.runs_of(&view.build)).is_some_and(api::read::Runs::all_stand_by)
}

/// The targets to which it was brought and that stand by while others serve: who comes to a side that serves serves once somebody
/// switches to it.
fn stand_by_beside<'a>(view: &'a DeploymentView, cell: Option<&Cell>) -> Vec<&'a str> {
    let Some(runs) = cell.and_then(|cell| cell.runs_of(&view.build)).filter(|runs| !runs.all_stand_by()) else {
        return Vec::new();
    };
    let verified = view.targets.iter().filter(|part| part.state == "verified");
    verified.filter(|part| runs.standby.contains(&part.target)).map(|part| part.target.as_str()).collect()
}

/// `shop@1.0.0 runs in prod, 3 members: db 2.0.1, api 1.4.0, web 3.1.0.`
fn of_package(view: &DeploymentView) -> String {
    let (what, environment) = (named(view), &view.environment);
    let members: Vec<String> =
        view.members.iter().map(|member| format!("{} {}", member.app, member.build.short())).collect();
    let members = format!("{}: {}", crate::output::count(members.len() as u64, "member"), members.join(", "));
    match view.act {
        OrderAct::Deploy | OrderAct::Redeploy => format!("{what} runs in {environment}, {members}."),
        OrderAct::Rollback => format!("{what} runs again in {environment}, {members}."),
        OrderAct::Configure => format!("{what} has its newest config in {environment}, {members}."),
        OrderAct::Undeploy => format!("{what} is removed from {environment}, {members}. Its data folders stay."),
        OrderAct::Stop => format!("{what} is stopped in {environment}, {members}."),
        OrderAct::Start => format!("{what} is started in {environment}, {members}."),
        OrderAct::Restart => format!("{what} is restarted in {environment}, {members}."),
        OrderAct::Switch => format!("{what} serves in {environment}, {members}."),
    }
}

/// What came to no good end: what is there, and what may be done about it.
pub fn ended_badly(view: &DeploymentView, cell: Option<&Cell>) -> Answer {
    Answer::new(view, failure(view, cell)).exit(exit_of(view)).next(next_after_failure(view))
}

/// `undone on 3 of 3; prod runs 1.4.0 on 12/12.   (exit 4)`, and the hold.
fn failure(view: &DeploymentView, cell: Option<&Cell>) -> String {
    let touched: Vec<_> = touched(view).collect();
    let count = |state: &str| touched.iter().filter(|part| part.state == state).count();
    let of = touched.len();
    let environment = &view.environment;
    let mut said = Vec::new();
    match view.ending {
        Some(Ending::Dropped) => {
            let reason = view.reason.as_deref().unwrap_or("its time was over");
            said.push(format!("deployment {} was dropped before it began: {reason}", view.deployment));
        }
        // A package says why below.
        Some(Ending::Aborted) => said.push(match view.reason.as_ref().filter(|_| view.members.is_empty()) {
            Some(reason) => format!("deployment {} was ended: {reason}", view.deployment),
            None => format!("deployment {} was ended by hand", view.deployment),
        }),
        Some(Ending::Superseded) => {
            let by = view.reason.as_deref().unwrap_or("a newer one took its place before it began");
            said.push(format!("deployment {} was superseded: {by}", view.deployment));
        }
        _ if of > 0 && count("refused") == of && refused_to_go_back(view) == 0 => {
            said.push(format!("refused by {of} of {of}: nothing was changed"));
        }
        _ => {}
    }
    let aborted = aborted(view);
    let is_aborted = aborted.is_some();
    said.extend(aborted);
    let back: Vec<&str> =
        view.members.iter().filter(|member| member.state == "undone").map(|m| m.app.as_str()).collect();
    let has_begun = view.members.iter().any(|member| !matches!(member.state.as_str(), "waiting" | "not begun"));
    if has_begun {
        let reason = view.reason.as_deref().unwrap_or("a member failed");
        said.extend((!is_aborted).then(|| format!("{} failed: {reason}", named(view))));
        said.extend((!back.is_empty()).then(|| format!("went back: {}", back.join(", "))));
    }
    if refused_to_go_back(view) > 0 {
        said.push(format!("{} of {of} refused to go back", refused_to_go_back(view)));
    }
    if count("undone") > 0 || view.ending == Some(Ending::Undone) && said.is_empty() {
        said.push(format!("undone on {} of {of}", count("undone")));
    }
    if count("staged") > 0 {
        said.push(format!("staged on {} of {of}, not deployed", count("staged")));
    }
    if count("failed") > 0 {
        said.push(format!("{} of {of} could not go back", count("failed")));
    }
    if count("absent") > 0 {
        said.push(format!("{} of {of} did not answer", count("absent")));
    }
    if said.is_empty() {
        said.push(format!("failed: {}", view.reason.as_deref().unwrap_or("no target is to blame")));
    }
    said.extend(cell.map(|cell| what_runs(view, cell)));
    let mut text = format!("{}.   (exit {})", said.join("; "), exit_of(view));
    view.remains.iter().for_each(|remains| text.push_str(&format!("\nmind: {remains}.")));
    if cell.is_some_and(|cell| cell.held.contains(&view.build)) {
        text.push_str(&format!(
            "\nhold on {} in {environment}: nothing deploys it there until `sortie hold lift {} --in {environment} --reason …`.",
            view.build.of(&view.app),
            view.build.of(&view.app)
        ));
    }
    text
}

/// That somebody took it back, who, and why: whoever follows it may be another.
fn aborted(view: &DeploymentView) -> Option<String> {
    let aborted = view.guided.iter().rfind(|guidance| guidance.word == GuidanceWord::Aborted.word())?;
    let reason = aborted.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    // Of a package, a member may have been aborted for itself: its reason says so.
    let is_it = view.reason.as_ref().is_some_and(|reason| reason.starts_with("aborted by"));
    let is_undone = matches!(view.ending, Some(Ending::Undone | Ending::Failed));
    (is_undone && is_it).then(|| format!("deployment {} was aborted by {}{reason}", view.deployment, aborted.by))
}

/// How many targets had activated it before they refused: what they refused is the way back.
fn refused_to_go_back(view: &DeploymentView) -> usize {
    // Whoever is refused just before it would activate anything has tried no more than that.
    let has_activated = |part: &PartView| {
        let tried = last_try(&part.phases);
        let is_last = tried.last().is_some_and(|timing| timing.phase == Phase::Activate);
        !is_last && tried.iter().any(|timing| timing.phase == Phase::Activate)
    };
    view.targets.iter().filter(|part| part.state == "refused" && has_activated(part)).count()
}

fn next_after_failure(view: &DeploymentView) -> String {
    if let Some(number) = member_to_blame(view).and_then(|member| member.deployment) {
        return format!("sortie status {number}");
    }
    let bad = |state: &str| {
        let fits = |part: &&PartView| part.state == state && (state != "undone" || part.failed_in.is_some());
        view.targets.iter().find(fits)
    };
    let stopped = |part: &&PartView| part.state == "staged" && part.failed_in.is_some();
    let blamed = bad("failed").or_else(|| bad("undone")).or_else(|| view.targets.iter().find(stopped));
    // A server that does not name the failed phase apart begins its reason with the target.
    let by_reason = || {
        let reason = view.reason.as_deref()?;
        view.targets.iter().find(|part| reason.starts_with(&format!("{}:", part.target)))
    };
    if blamed.is_none() && view.act.installs() && view.targets.iter().any(lacks) {
        return format!("sortie redeploy {}", view.deployment);
    }
    match blamed.or_else(by_reason) {
        // A machine that does not answer has no logs to show; when it was last heard of is known.
        Some(part) if part.state == "absent" => format!("sortie status {}", part.target),
        Some(part) => format!("sortie logs {} --on {}", view.app, part.target),
        // What brings nothing asks for no permission.
        None if !view.act.installs() => format!("sortie status {}", view.deployment),
        None => format!("sortie why {} --in {}", view.build.of(&view.app), view.environment),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::{build, charter, deployment, status};

    #[test]
    fn success_says_what_runs_where_and_the_next_act() {
        let (charter, status) = (charter(), status());
        let mut view = deployment(&[("prod-1", "verified"), ("prod-2", "verified"), ("prod-3", "verified")]);
        view.environment = "test".parse().unwrap();
        view.build = build("1.5.0");
        view.targets.truncate(1);
        view.ending = Some(Ending::Succeeded);
        let cell = cell(&status, &view.app, &view.environment);
        assert_eq!(success(&view, cell), "web@1.5.0 runs in test, 1/1.");
        let next = |view: &DeploymentView, alone: bool| next_after(&charter, &status, view, &|_| alone);
        assert_eq!(next(&view, false).unwrap(), "sortie request web@1.5.0 --to prod");
        assert_eq!(next(&view, true).unwrap(), "sortie release web@1.5.0 --to prod");
        view.build = build("1.4.0");
        assert_eq!(next(&view, true).unwrap(), "sortie status web@1.4.0");
        view.environment = "dev".parse().unwrap();
        view.build.version = None;
        let digits = view.build.build.short();
        assert_eq!(next(&view, true).unwrap(), format!("sortie number web#{digits} next"));
        assert!(success(&view, None).starts_with(&format!("web#{digits} (unreleased) runs in dev, 1/1")));
        view.act = OrderAct::Stop;
        assert!(success(&view, None).contains("is stopped in dev, 1/1."));
        assert_eq!(next(&view, true).unwrap(), "sortie start web --in dev");
    }

    /// Who comes late to the side that serves stands by there, and serves once somebody switches to what serves already.
    #[test]
    fn r41_who_comes_late_to_the_side_that_serves_is_said_to_stand_by() {
        let (charter, mut status) = (charter(), status());
        let mut view = deployment(&[("prod-3", "verified")]);
        (view.build, view.ending) = (build("1.4.0"), Some(Ending::Succeeded));
        let cell = status.apps[0].cells.iter_mut().find(|cell| cell.audience == view.environment).unwrap();
        cell.runs[0].standby = vec!["prod-3".parse().unwrap()];
        let said = success(&view, Some(cell));
        assert!(said.ends_with(". prod-3 stands by, and nobody is served there yet."), "{said}");
        assert_eq!(cell.runs[0].some_stand_by().unwrap(), "1 standing by: prod-3");
        let next = next_after(&charter, &status, &view, &|_| false).unwrap();
        assert_eq!(next, "sortie switch web@1.4.0 --in prod");
    }

    #[test]
    fn r3_a_failure_says_what_was_undone_what_runs_and_what_is_held() {
        let mut view = deployment(&[("prod-1", "undone"), ("prod-2", "undone"), ("prod-3", "undone")]);
        view.ending = Some(Ending::Undone);
        view.targets[2].failed_in = Some(trust::statement::Phase::Verify);
        let status = status();
        let cell = cell(&status, &view.app, &view.environment);
        assert_eq!(
            failure(&view, cell),
            "undone on 3 of 3; prod runs 1.4.0 on 3/3.   (exit 4)\n\
             hold on web@1.5.0 in prod: nothing deploys it there until \
             `sortie hold lift web@1.5.0 --in prod --reason …`."
        );
        assert_eq!(next_after_failure(&view), "sortie logs web --on prod-3");
    }

    #[test]
    fn r31_what_every_target_refused_changed_nothing() {
        let mut view = deployment(&[("prod-1", "refused"), ("prod-2", "waiting")]);
        view.ending = Some(Ending::Failed);
        view.targets[0].phases.truncate(1);
        assert_eq!(failure(&view, None), "refused by 1 of 1: nothing was changed.   (exit 4)");
        assert_eq!(next_after_failure(&view), "sortie why web@1.5.0 --in prod");
        view.targets[0].detail = Some("NEEDS_UNMET: web needs the program ffmpeg; nothing was copied".into());
        view.targets[0].refused = Some("NEEDS_UNMET".into());
        assert_eq!(next_after_failure(&view), "sortie redeploy 41");
        assert_eq!(failure(&view, None), "refused by 1 of 1: nothing was changed.   (exit 3)");
    }

    #[test]
    fn who_does_not_answer_has_no_logs_to_show() {
        let mut view = deployment(&[("prod-1", "undone"), ("prod-3", "absent"), ("prod-4", "not begun")]);
        view.ending = Some(Ending::Undone);
        view.reason = Some("prod-3: check: no answer within 10 minutes".into());
        assert_eq!(next_after_failure(&view), "sortie status prod-3");
        assert!(
            failure(&view, None).starts_with("undone on 1 of 2; 1 of 2 did not answer."),
            "{}",
            failure(&view, None)
        );
    }

    #[test]
    fn what_paused_by_itself_says_what_somebody_may_say_to_it() {
        let mut view = deployment(&[("prod-1", "verified"), ("prod-2", "waiting")]);
        view.failure = Some("prod-1: verify errors: inconclusive: measured NaN".into());
        let words = |view: &DeploymentView| paused(view, None, view.failure.as_deref().unwrap(), None);
        assert_eq!(
            words(&view),
            "deployment 41 is paused: prod-1: verify errors: inconclusive: measured NaN.   (exit 4)\n\
             nothing more begins until somebody says what is to be done:\n  \
             sortie resume 41   it goes on, and this is accepted\n  \
             sortie abort 41    everything goes back"
        );
        view.targets[0].state = "failed".into();
        assert!(words(&view).contains("sortie retry 41") && words(&view).contains("sortie exclude 41 prod-1"));
        view.targets[0].state = "verified".into();
        view.targets[0].unwell = Some("503".into());
        assert!(!words(&view).contains("sortie retry 41") && words(&view).contains("sortie exclude 41 prod-1"));
        assert!(words(&view).contains("nobody counts on that one any more; then resume"), "{}", words(&view));
    }

    /// A package has no targets of its own: whoever failed is a member's, and tries again there.
    #[test]
    fn what_paused_of_a_package_is_told_of_the_member_and_of_the_package() {
        let mut view = deployment(&[]);
        view.failure = Some("api: prod-2: verify: 503".into());
        let member = |app: &str, number| MemberView {
            app: app.parse().unwrap(),
            build: build("1.4.0"),
            after: Vec::new(),
            state: "at it".into(),
            deployment: Some(number),
            step: 1,
        };
        view.members = vec![member("db", 42), member("api", 43)];
        assert_eq!(member_to_blame(&view).and_then(|member| member.deployment), Some(43));
        let mut api = deployment(&[("prod-1", "verified"), ("prod-2", "failed")]);
        api.deployment = 43;
        let mut status = status();
        let cell = &mut status.apps[0].cells[2];
        cell.partly = std::mem::take(&mut cell.runs);
        let said = |cell: &Cell| paused(&view, Some(&api), "api: prod-2: verify: 503", Some(cell));
        for command in ["sortie resume 41 ", "sortie abort 41 ", "sortie retry 43 ", "sortie exclude 43 prod-2 "] {
            assert!(said(cell).contains(command), "{command}\n{}", said(cell));
        }
        assert!(said(cell).contains("\nprod runs 1.4.0 of web in part\n"), "{}", said(cell));
        cell.partly.clear();
        assert!(said(cell).contains("\nprod runs no version of web as a whole\n"), "{}", said(cell));
        let mut alone = deployment(&[("prod-1", "failed")]);
        alone.ending = Some(Ending::Failed);
        assert!(failure(&alone, Some(cell)).contains("; prod runs nothing of web."), "{}", failure(&alone, Some(cell)));
    }

    #[test]
    fn who_follows_what_another_one_aborts_hears_who_did_and_why() {
        let mut view = deployment(&[("prod-1", "undone")]);
        view.ending = Some(Ending::Undone);
        view.reason = Some("aborted by oncall".into());
        view.guided = vec![api::read::GuidanceView {
            at: view.requested,
            by: "oncall".parse().unwrap(),
            word: "aborted".into(),
            targets: Vec::new(),
            reason: Some("too slow".into()),
        }];
        let said = failure(&view, None);
        assert!(said.starts_with("deployment 41 was aborted by oncall: too slow; undone on 1 of 1."), "{said}");
    }

    #[test]
    fn r27_what_is_staged_is_not_deployed() {
        let mut view = deployment(&[("prod-1", "staged"), ("prod-2", "staged")]);
        view.ending = Some(Ending::Failed);
        (view.targets[0].failed_in, view.targets[1].detail) =
            (Some(Phase::Migrate), Some("it is not activated yet".into()));
        assert_eq!(failure(&view, None), "staged on 2 of 2, not deployed.   (exit 4)");
        assert_eq!(next_after_failure(&view), "sortie logs web --on prod-1");
        assert_eq!(view.targets.iter().map(has_failed).collect::<Vec<_>>(), [true, false]);
        view.targets[1].detail = Some("refused: WITHDRAWN: 1.5.0 was withdrawn".into());
        view.targets[1].refused = Some("WITHDRAWN".into());
        assert!(has_failed(&view.targets[1]));
        assert_eq!(
            crate::follow::finished(&view.targets[1]),
            "staged, not deployed: refused: WITHDRAWN: 1.5.0 was withdrawn"
        );
    }

    #[test]
    fn r3_whoever_refuses_the_way_back_has_changed() {
        let mut view = deployment(&[("prod-1", "refused"), ("prod-2", "refused")]);
        view.ending = Some(Ending::Undone);
        assert_eq!(failure(&view, None), "2 of 2 refused to go back.   (exit 4)");
        view.targets[1].phases.truncate(1);
        assert_eq!(failure(&view, None), "1 of 2 refused to go back.   (exit 4)");
    }
}
