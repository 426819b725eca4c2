//! `sortie target`.

use crate::{
    commands::operate::{Running, act_on_each},
    connection::Connection,
    failure::{Failure, OrMisused, Outcome},
    follow::Following,
    invocation::{Invocation, duration},
    names::{self, Place},
    order,
    output::{self, Answer},
    table,
};
use agent::join::Invitation;
use api::{client::in_future, read::TargetStatus, routes, write::Accepted};
use domain::refusal::Refusal;
use jiff::Timestamp;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, TargetName,
    key::{SecretKey, Signer},
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
                    let started = on_all(invocation, &connection, &name, OrderAct::Start, Following::default()).await?;
                    if let (_, Some(bad)) = started {
                        return Ok(bad);
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
    let stopped = on_all(invocation, &connection, &target, OrderAct::Stop, following).await;
    // A cordon stays where stopping is refused: whoever asked for both must know what they got.
    let stopped = stopped.map_err(|failure| {
        let undo = format!("sortie target uncordon {target}");
        let done = format!(
            "{target} is cordoned: it gets nothing new, and what is under way goes on without it where it has not begun ({undo} takes \
             that back). Stopping what runs there did not succeed: "
        );
        failure.after(&done)
    });
    let stopped = match stopped? {
        (_, Some(bad)) => return Ok(bad),
        (stopped, None) => stopped,
    };
    let names: Vec<String> = stopped.iter().map(ToString::to_string).collect();
    let words = match names.is_empty() {
        true => format!("{target} gets no new deployments, and nothing ran there."),
        false => format!("{target} gets no new deployments, and {} stopped there.", names.join(", ")),
    };
    let data = json!({ "target": target, "stopped": stopped });
    Ok(Answer::new(&data, words).next(format!("sortie target uncordon {target} --start")))
}

/// Acts on every application that runs on a target, one after the other. Gives which they are, and the answer of the one that
/// did not succeed, which ends it.
async fn on_all(
    invocation: &Invocation,
    connection: &Connection,
    target: &TargetName,
    act: OrderAct,
    following: Following,
) -> Result<(Vec<AppName>, Option<Answer>), Failure> {
    let status = order::status(connection, None).await?;
    let found = status.targets.iter().find(|found| found.name == *target && !found.retired);
    let found = found.ok_or_else(|| Failure::from(Refusal::UnknownTarget { name: target.clone(), nearest: None }))?;
    let running = found.runs.keys().map(|app| Running {
        app: app.clone(),
        environment: found.environment.clone(),
        only: BTreeSet::from([target.clone()]),
        thing: None,
    });
    let bad = act_on_each(invocation, connection, running, act, &following).await?;
    Ok((found.runs.keys().cloned().collect(), bad))
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
