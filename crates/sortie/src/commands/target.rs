//! `sortie target`.

use crate::{
    commands::operate::{Running, act_on_running},
    connection::Connection,
    failure::{Failure, OrMisused, Outcome},
    follow::Following,
    invocation::{Invocation, duration},
    names::{self, Place},
    order,
    output::{self, Answer},
    package, table,
};
use agent::join::Invitation;
use api::{
    client::in_future,
    read::{Cell, Status, TargetStatus},
    routes,
    write::Accepted,
};
use domain::refusal::{Refusal, exit};
use jiff::Timestamp;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use trust::{
    AppName, AudienceName, TargetName,
    key::{SecretKey, Signer},
    manifest::{Member, steps},
    statement::{AdministrationAct, OrderAct},
};

/// The machines: invite, list, label, cordon, retire
#[derive(Debug, clap::Args)]
pub struct Target {
    #[command(subcommand)]
    pub act: TargetAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum TargetAct {
    /// Make an invitation for machines to join an environment. Prints the token
    Invite(Invite),
    /// List the targets
    List {
        /// An environment only (--to, --in and --from are taken alike)
        #[arg(long = "in", aliases = ["to", "from"], value_name = "ENVIRONMENT")]
        audience: Option<String>,
        /// Those that left for good as well
        #[arg(long)]
        all: bool,
    },
    /// Set labels; an empty value removes one
    Label {
        /// The target
        target: String,
        /// The labels
        #[arg(required = true, value_name = "KEY=VALUE")]
        labels: Vec<String>,
    },
    /// Keep new deployments away
    Cordon {
        /// The target
        target: String,
        /// Why; it stands in the history and beside the target
        #[arg(long)]
        reason: Option<String>,
    },
    /// Keep new deployments away and stop what runs there, each out of traffic first, for work on the machine
    Drain {
        /// The target
        target: String,
        /// How long to wait for each application's end (30m by default)
        #[arg(long, value_name = "DURATION")]
        wait: Option<String>,
        /// Why; it stands in the history and beside the target
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let deployments come again
    Uncordon {
        /// The target
        target: String,
        /// Start what runs there first, after a drain
        #[arg(long)]
        start: bool,
    },
    /// Take a target out for good; its name is never used again
    Retire {
        /// The target
        target: String,
    },
}

/// An invitation.
#[derive(Debug, clap::Args)]
pub struct Invite {
    #[command(flatten)]
    pub place: Place,
    /// A label the targets get
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// The only name that may be taken
    #[arg(long)]
    pub name: Option<String>,
    /// The only application that the targets accept; may be repeated
    #[arg(long = "app", value_name = "APP")]
    pub apps: Vec<String>,
    /// How many machines may join
    #[arg(long, default_value_t = 1)]
    pub uses: u32,
    /// For how long
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    pub expires: String,
    /// For machines that come and go: one that falls silent has left for good, and no deployment counts on it. Without --name
    /// on the machine, each gets one of its own
    #[arg(long)]
    pub ephemeral: bool,
}

impl Target {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        match self.act {
            TargetAct::Invite(invite) => invite.run(invocation).await,
            TargetAct::List { audience, all } => list(invocation, audience.as_deref(), all).await,
            TargetAct::Label { target, labels } => {
                let labels = read_labels(&labels)?;
                let words = labels.iter().map(|(key, value)| match value.is_empty() {
                    true => format!("{key} removed"),
                    false => format!("{key}={value}"),
                });
                let words = format!("{target}: {}", words.collect::<Vec<_>>().join(", "));
                administer(invocation, &target, words, |target| AdministrationAct::LabelTarget { target, labels }).await
            }
            TargetAct::Cordon { target, reason } => {
                let words = format!("{target} gets no new deployments. What runs there goes on running.");
                let target = TargetName::new(&target).or_misused()?;
                let connection = invocation.connect().await?;
                let accepted = cordon(&connection, &target, reason.as_deref()).await?;
                Ok(Answer::new(&accepted, words).next(format!("sortie target uncordon {target}")))
            }
            TargetAct::Drain { target, wait, reason } => drain(invocation, &target, wait, reason.as_deref()).await,
            TargetAct::Uncordon { target, start } => {
                if start {
                    let connection = invocation.connect().await?;
                    let name = TargetName::new(&target).or_misused()?;
                    let each = on_all(invocation, &connection, &name, OrderAct::Start, Following::default()).await?;
                    let started = each.done;
                    if let Some(stop) = each.stop {
                        let before = format!("{name} is cordoned as it was. ");
                        let did = ("started", "still to be started");
                        return stop.told(&before, &started, did, &format!("uncordon {name} --start"));
                    }
                    if !started.is_empty() {
                        return uncordoned(&connection, &name, &started).await;
                    }
                }
                let words = format!("{target} takes deployments again.");
                let act = |target| AdministrationAct::CordonTarget { target, cordoned: false, reason: None };
                administer(invocation, &target, words, act).await
            }
            TargetAct::Retire { target } => {
                let words = format!(
                    "{target} has left for good; its name is never used again. What runs there was not stopped."
                );
                administer(invocation, &target, words, |target| AdministrationAct::RetireTarget { target }).await
            }
        }
    }
}

/// Takes a cordon away after applications were started there, where there is one.
async fn uncordoned(connection: &Connection, target: &TargetName, started: &[AppName]) -> Outcome {
    let act = AdministrationAct::CordonTarget { target: target.clone(), cordoned: false, reason: None };
    let names = started.iter().map(AppName::as_str).collect::<Vec<_>>().join(", ");
    match connection.administer(act).await {
        Ok(accepted) => {
            Ok(Answer::new(&accepted, format!("{target} takes deployments again, and {names} started there.")))
        }
        Err(failure) if failure.code() == "ALREADY_DONE" => {
            let data = json!({ "target": target, "started": started });
            Ok(Answer::new(&data, format!("{target} takes deployments as it did, and {names} started there.")))
        }
        Err(failure) => Err(failure),
    }
}

async fn administer(
    invocation: &Invocation,
    target: &str,
    words: String,
    act: impl FnOnce(TargetName) -> AdministrationAct,
) -> Outcome {
    let target = TargetName::new(target).or_misused()?;
    let connection = invocation.connect().await?;
    let accepted = connection.administer(act(target)).await?;
    Ok(Answer::new(&accepted, words))
}

/// Keeps new deployments away from a target.
async fn cordon(connection: &Connection, target: &TargetName, reason: Option<&str>) -> Result<Accepted, Failure> {
    let act = |reason| AdministrationAct::CordonTarget { target: target.clone(), cordoned: true, reason };
    connection.administer_perhaps_because(reason, act).await
}

/// Cordons a target, and stops each application that runs there by an order of its own.
async fn drain(invocation: &Invocation, target: &str, wait: Option<String>, reason: Option<&str>) -> Outcome {
    let following = Following { wait, ..Following::default() };
    following.limit()?;
    let target = TargetName::new(target).or_misused()?;
    let connection = invocation.connect().await?;
    match cordon(&connection, &target, reason).await {
        Ok(_) => {}
        Err(failure) if failure.code() == "ALREADY_DONE" => {}
        Err(failure) => return Err(failure),
    }
    // A cordon stays where stopping is refused: whoever asked for both must know what they got.
    let cordoned = format!(
        "{target} is cordoned: it gets nothing new, and what is under way goes on without it where it has not begun (sortie target \
         uncordon {target} takes that back). "
    );
    let again = format!("drain {target}{}", if reason.is_some() { " --reason …" } else { "" });
    let each = on_all(invocation, &connection, &target, OrderAct::Stop, following).await;
    let each = each.map_err(|failure| failure.after(&cordoned))?;
    if let Some(stop) = each.stop {
        return stop.told(&cordoned, &each.done, ("stopped", "still to be stopped"), &again);
    }
    let names: Vec<String> = each.done.iter().map(ToString::to_string).collect();
    let words = match names.is_empty() {
        true => format!("{target} gets no new deployments, and nothing ran there."),
        false => format!("{target} gets no new deployments, and {} stopped there.", names.join(", ")),
    };
    let data = json!({ "target": target, "stopped": each.done });
    Ok(Answer::new(&data, words).next(format!("sortie target uncordon {target} --start")))
}

/// What came of acting on each application of a target.
struct Each {
    /// Those on which it was done.
    done: Vec<AppName>,
    /// What ended it before all were.
    stop: Option<Stop>,
}

/// What ended acting on one application after the other.
struct Stop {
    outcome: Outcome,
    /// The one that it ended at, and those that come after it.
    left: Vec<AppName>,
}

impl Stop {
    /// With what was done before and what was not, and the command that goes on with the rest once it may.
    fn told(self, before: &str, done: &[AppName], (did, left): (&str, &str), again: &str) -> Outcome {
        let list = |apps: &[AppName]| apps.iter().map(AppName::as_str).collect::<Vec<_>>().join(", ");
        let done = if done.is_empty() { "nothing".into() } else { list(done) };
        let said = format!("{before}{did}: {done}; {left}: {}. ", list(&self.left));
        let again = format!("sortie target {again}");
        match self.outcome {
            // Once what is in the way has ended, the same goes on with what is left.
            Err(failure) if failure.problem.exit == exit::CONFLICT => Err(failure.after(&said).next(again)),
            Err(failure) => Err(failure.after(&said)),
            Ok(answer) => Ok(answer.after(&said)),
        }
    }
}

/// Acts on every application that runs on a target, one after the other: in the order of the packages that stand there, or
/// against it where they stop. The first that does not succeed ends it, except where something of it is under way.
async fn on_all(
    invocation: &Invocation,
    connection: &Connection,
    target: &TargetName,
    act: OrderAct,
    following: Following,
) -> Result<Each, Failure> {
    let status = order::status(connection, None).await?;
    let found = status.targets.iter().find(|found| found.name == *target && !found.retired);
    let found = found.ok_or_else(|| Failure::from(Refusal::UnknownTarget { name: target.clone(), nearest: None }))?;
    let packages = packages_there(connection, &status, &found.environment).await?;
    // What runs need not be started.
    let wanted = found.runs.keys().filter(|app| act != OrderAct::Start || found.stopped.contains(*app));
    let mut waiting = VecDeque::from(in_order(wanted.cloned(), &packages, act));
    let (mut done, mut left, mut stop) = (Vec::new(), Vec::new(), None);
    while let Some(app) = waiting.pop_front() {
        // What goes with something that is left keeps its place after it.
        if packages.iter().any(|members| members.contains_key(&app) && left.iter().any(|app| members.contains_key(app)))
        {
            left.push(app);
            continue;
        }
        invocation.say(&format!("{app}:"));
        let (environment, only) = (found.environment.clone(), BTreeSet::from([target.clone()]));
        let running = Running { app: app.clone(), environment, only, thing: None };
        let outcome = act_on_running(invocation, connection, &running, act, &following).await;
        if outcome.as_ref().is_ok_and(Answer::is_good) {
            done.push(app);
            continue;
        }
        left.push(app);
        // What is under way of one application keeps no other one.
        if !outcome.as_ref().is_err_and(|failure| failure.problem.exit == exit::CONFLICT) {
            left.extend(std::mem::take(&mut waiting));
        }
        stop.get_or_insert(outcome);
    }
    let stop = stop.map(|outcome| Stop { outcome, left });
    Ok(Each { done, stop })
}

/// What the packages list of which something runs in an environment.
async fn packages_there(
    connection: &Connection,
    status: &Status,
    environment: &AudienceName,
) -> Result<Vec<BTreeMap<AppName, Member>>, Failure> {
    let mut packages = Vec::new();
    for record in status.apps.iter().filter(|record| record.package.is_some()) {
        let cells = record.cells.iter().filter(|cell| cell.audience == *environment);
        for runs in cells.flat_map(Cell::all_runs) {
            packages.extend(package::manifest_of(connection, &runs.build.build).await?.map(|it| it.run.package));
        }
    }
    Ok(packages)
}

/// Applications from the first step of their packages to the last, or from the last to the first where they stop; those of one
/// step, and those that are of no package, by their names.
fn in_order(
    apps: impl Iterator<Item = AppName>,
    packages: &[BTreeMap<AppName, Member>],
    act: OrderAct,
) -> Vec<AppName> {
    let mut at: BTreeMap<AppName, usize> = BTreeMap::new();
    for (step, members) in
        packages.iter().flat_map(|package| steps(package).unwrap_or_default().into_iter().enumerate())
    {
        for app in members {
            let known = at.entry(app).or_default();
            *known = step.max(*known);
        }
    }
    let step = |app: &AppName| at.get(app).copied().unwrap_or_default();
    let mut apps: Vec<AppName> = apps.collect();
    apps.sort();
    match act {
        OrderAct::Stop => apps.sort_by_key(|app| std::cmp::Reverse(step(app))),
        _ => apps.sort_by_key(step),
    }
    apps
}

impl Invite {
    async fn run(self, invocation: &Invocation) -> Outcome {
        let labels = read_labels(&self.labels)?;
        let name = self.name.as_deref().map(TargetName::new).transpose().or_misused()?;
        let apps = self.apps.iter().map(|app| names::app_name(app)).collect::<Result<_, _>>()?;
        let expires = in_future(duration(&self.expires)?);
        if self.uses == 0 || (name.is_some() && self.uses > 1) {
            return Err(Failure::misused("an invitation is for one machine at least, and one with a name is for one"));
        }
        let connection = invocation.connect().await?;
        let environment = connection.environment(&self.place)?;
        let ephemeral = self.ephemeral;
        let terms = Terms {
            environment: environment.clone(),
            labels,
            name: name.clone(),
            apps,
            uses: self.uses,
            expires,
            ephemeral,
        };
        let (accepted, invitation) = issue(&connection, terms).await?;
        let token = invitation.encode();
        let machines = output::count(self.uses.into(), "machine");
        invocation.aside(&format!(
            "{machines} may join {environment} until {expires:.0}. Whoever has this token may: keep it like a password."
        ));
        if let Some(lives) = connection.charter_environment(&environment).and_then(|environment| environment.lives) {
            invocation.aside(&format!(
                "each lives for {lives} from when it joins: then everything on it is removed, data too, and it leaves."
            ));
        }
        let next = match (&name, ephemeral) {
            // It finds a name of its own, so that the same words do for every machine.
            (None, true) => format!("on each machine: sortie agent --join {token}"),
            (Some(name), _) => format!("on the machine: sortie agent --join {token} --name {name}"),
            (None, false) => format!("on the machine: sortie agent --join {token} --name {environment}-1"),
        };
        let data = json!({ "token": token, "environment": environment, "uses": self.uses, "expires": expires,
            "entry": accepted.entry });
        // The token alone on standard output, so that a script can hand it on.
        invocation.aside(&format!("next: {}", next.replace(&token, "TOKEN")));
        Ok(Answer::new(&data, token))
    }
}

/// What an invitation is for.
pub struct Terms {
    /// Where the machines may join.
    pub environment: AudienceName,
    /// The labels they get.
    pub labels: BTreeMap<String, String>,
    /// The only name they may take.
    pub name: Option<TargetName>,
    /// The applications they are to accept; empty means all.
    pub apps: BTreeSet<AppName>,
    /// How many may join.
    pub uses: u32,
    /// Until when.
    pub expires: Timestamp,
    /// Whether they come and go.
    pub ephemeral: bool,
}

/// Makes an invitation here and tells the server its public half.
pub async fn issue(connection: &Connection, terms: Terms) -> Result<(Accepted, Invitation), Failure> {
    let Terms { environment, labels, name, apps, uses, expires, ephemeral } = terms;
    let class = connection.charter_environment(&environment).map(|environment| environment.class);
    let class = class.ok_or_else(|| Failure::misused(format!("{environment} is no environment")))?;
    let seed = fresh_seed()?;
    let act = AdministrationAct::InviteTarget {
        invitation: SecretKey::from_seed(&seed).public(),
        environment: environment.clone(),
        labels: labels.clone(),
        name: name.clone(),
        uses,
        expires,
        ephemeral,
    };
    let accepted = connection.administer(act).await?;
    let (url, pin) = (connection.client.url().to_string(), pin(connection).await?);
    let estate = connection.estate();
    Ok((accepted, Invitation { url, pin, estate, environment, class, name, labels, apps, seed, ephemeral }))
}

/// The pin that agents are to trust: the one this machine trusts, or over loopback what the charter says.
async fn pin(connection: &Connection) -> Result<trust::Digest, Failure> {
    match connection.client.pin() {
        Some(pin) => Ok(pin),
        None => Ok(connection.client.hello().await?.pin),
    }
}

/// A seed for the invitation's key.
fn fresh_seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Failure::failed(format!("no randomness: {error}")))?;
    Ok(seed)
}

fn read_labels(labels: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let read = |label: &String| match label.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_string(), value.to_string())),
        _ => Err(Failure::misused(format!("'{}' is not KEY=VALUE", trust::names::printable(label)))),
    };
    labels.iter().map(read).collect()
}

async fn list(invocation: &Invocation, audience: Option<&str>, all: bool) -> Outcome {
    let connection = invocation.connect().await?;
    let audience = audience.map(names::audience_name).transpose()?;
    if let Some(name) = &audience
        && connection.charter_environment(name).is_none()
    {
        return Err(names::unknown_audience(&connection.policy.charter, name));
    }
    let mut targets: Vec<TargetStatus> = connection.client.get(routes::TARGETS, &[]).await?;
    targets
        .retain(|target| (all || !target.retired) && audience.as_ref().is_none_or(|name| target.environment == *name));
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = targets.iter().map(|target| row(target, now)).collect();
    if rows.is_empty() {
        let place = audience.map_or("…".into(), |name| name.to_string());
        return Ok(Answer::new(&targets, "no targets").next(format!("sortie target invite --in {place}")));
    }
    let header = ["target", "environment", "labels", "runs", "seen", ""];
    Ok(Answer::new(&targets, table::table(&header, &rows)))
}

fn row(target: &TargetStatus, now: Timestamp) -> Vec<String> {
    let labels: Vec<String> = target.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let runs: Vec<String> = target.runs.iter().map(|(app, build)| build.of(app)).collect();
    let notes = [
        super::status::cordoned(target, now),
        super::status::stuck(target),
        target.retired.then(|| "retired".to_string()),
        (target.findings > 0).then(|| output::count(target.findings.into(), "escape")),
        target.stale.then(|| "stale".to_string()),
        target
            .agent_version
            .as_ref()
            .filter(|version| *version != env!("CARGO_PKG_VERSION"))
            .map(|version| format!("agent {version}")),
        target.ephemeral.then(|| "ephemeral".to_string()),
        target.ends.map(|ends| super::status::ends_in_words(ends, now)),
        target.departed.clone(),
    ];
    vec![
        target.name.to_string(),
        target.environment.to_string(),
        labels.join(" "),
        if runs.is_empty() { "nothing".into() } else { runs.join(" ") },
        super::status::seen(target, now),
        notes.into_iter().flatten().collect::<Vec<_>>().join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;

    /// What needs another one stops before it and starts after it, as its package says.
    #[test]
    fn what_a_package_orders_is_kept_where_a_machine_is_emptied_and_filled_again() {
        let name = |app: &&str| app.parse::<AppName>().unwrap();
        let member = |after: &[&str]| Member {
            version: "1.0.0".parse().unwrap(),
            build: trust::Digest::of(b"member"),
            after: after.iter().map(name).collect(),
        };
        let members = [("db", member(&[])), ("api", member(&["db"])), ("ui", member(&["api"]))];
        let shop: BTreeMap<AppName, Member> = members.map(|(app, member)| (name(&app), member)).into();
        let order = |act, packages: &[BTreeMap<AppName, Member>]| {
            let ordered = in_order(["web", "ui", "db", "api"].iter().map(name), packages, act);
            ordered.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let packages = [shop];
        assert_eq!(order(OrderAct::Stop, &packages), ["ui", "api", "db", "web"]);
        assert_eq!(order(OrderAct::Start, &packages), ["db", "web", "api", "ui"]);
        assert_eq!(order(OrderAct::Stop, &[]), ["api", "db", "ui", "web"]);
    }

    #[test]
    fn what_was_not_reached_is_named_with_what_was_and_the_same_again() {
        let apps = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<AppName>>();
        let told = |outcome, done: &[&str]| {
            let stop = Stop { outcome, left: apps(&["db", "web"]) };
            stop.told("prod-2 is cordoned. ", &apps(done), ("stopped", "still to be stopped"), "drain prod-2")
        };
        let under_way = || Err(Failure::new("DEPLOYMENT_UNDER_WAY", exit::CONFLICT, "deployment 51 is under way"));
        let problem = told(under_way(), &["ui", "api"]).unwrap_err().problem;
        assert_eq!(
            problem.message,
            "prod-2 is cordoned. stopped: ui, api; still to be stopped: db, web. deployment 51 is under way"
        );
        assert_eq!(problem.next.as_deref(), Some("sortie target drain prod-2"));
        // What the same would not mend is not proposed again.
        let refused = || Err(Failure::new("ROLE_MISSING", exit::REFUSED, "prod needs ops").next("sortie whoami"));
        assert_eq!(told(refused(), &[]).unwrap_err().problem.next.as_deref(), Some("sortie whoami"));
        let bad = Answer::new(&samples::deployment(&[]), "it failed").exit(exit::DEPLOYMENT_FAILED);
        let answer = told(Ok(bad), &[]).unwrap();
        assert!(!answer.is_good() && answer.words().contains("stopped: nothing; still to be stopped: db, web"));
    }
}
