//! `sortie bundle`: a release for places that no network reaches.

use crate::{
    bundle::{self, Contents, Progress},
    connection::{self, Connection},
    context::Context,
    failure::{Failure, OrIntegrity, OrMisused, Outcome},
    invocation::{Invocation, WAIT},
    names::Place,
    output::{Answer, count},
    package,
    releasing::{self, Matter},
    when,
};
use agent::{
    home::HomeError,
    inbox::{self, Carried, PutError},
    join::JoinError,
    start::AgentError,
};
use anyhow::Context as _;
use depot::bundle::{Index, Volumes};
use domain::{
    event::Event,
    refusal::{Refusal, Right, exit},
    sizes,
};
use jiff::Timestamp;
use serde_json::json;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use trust::{
    Digest, TargetName,
    receipt::{Document, MAX_RECEIPT_BYTES},
    schedule::Schedule,
    statement::{self, Act, Order, OrderAct},
};

use super::agent::Joining;

mod vendor;

/// How often it is looked whether the running agent has followed a bundle.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Carry a release over an air gap, and bring back word of what came of it
#[derive(Debug, clap::Args)]
pub struct Bundle {
    #[command(subcommand)]
    pub act: BundleAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum BundleAct {
    /// Write a released version with everything it needs into files that fit your media
    Export(Export),
    /// Take a bundle in: on a machine without a network, to install it; elsewhere, where it is of a vendor that your
    /// charter names, into your own ledger and depot, for your people to affirm. A vendor's withdrawal that came as a file
    /// is taken in likewise
    Import(Import),
    /// Say what came of it: on the target, write the receipt (--out); at home, bring it to the ledger (FILE)
    Receipt(Receipt),
}

/// What goes into a bundle, and where to.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// Only for this target; may be repeated
    #[arg(long, value_name = "TARGET")]
    pub on: Vec<String>,
    /// The most that one volume may hold: 650MB, 4.7GB
    #[arg(long, value_name = "SIZE", value_parser = bundle::size)]
    pub volume_size: Option<u64>,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
}

/// Which bundle, and how a machine joins that has not yet.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// Its volumes; one is enough where the others lie beside it
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub joining: Joining,
}

/// A receipt, written or brought.
#[derive(Debug, clap::Args)]
pub struct Receipt {
    /// A receipt that was carried back
    #[arg(value_name = "FILE", required_unless_present = "out", conflicts_with_all = ["out", "data"])]
    pub file: Option<PathBuf>,
    /// Write this target's receipt to a file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The target's data folder, as for `sortie agent`
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Bundle {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        match self.act {
            BundleAct::Export(export) => export.run(invocation).await,
            BundleAct::Import(import) => import.run(invocation).await,
            BundleAct::Receipt(receipt) => receipt.run(invocation).await,
        }
    }
}

impl Export {
    async fn run(self, invocation: &Invocation) -> Outcome {
        let only: BTreeSet<TargetName> =
            self.on.iter().map(|on| TargetName::new(on)).collect::<Result<_, _>>().or_misused()?;
        let connection = invocation.connect().await?;
        let matter = Matter::find(&connection, "bundle", &self.what, &self.place).await?;
        if let Some(manifest) = package::manifest_of(&connection, &matter.found.build).await?
            && let Some(cannot) = package::cannot_travel(&manifest, &matter.audience)
        {
            return Err(cannot);
        }
        let permit = releasing::live_permit(&connection, &matter)?;
        matter.not_barred(|_| true)?;
        let mut dossier = matter.view.dossier.clone();
        if let Some(environment) = connection.charter_environment(&matter.audience) {
            let roles = connection.me().map(|(_, roles)| roles).unwrap_or_default();
            if !environment.deploy.allows_alone(&roles) {
                return Err(Failure::from(Refusal::RoleMissing {
                    right: Right::Deploy,
                    place: matter.audience.to_string(),
                    needs: Some(environment.deploy.clone()),
                    roles: roles.iter().map(ToString::to_string).collect(),
                }));
            }
            let windows = when::written_out(&connection, &matter.audience, OrderAct::Deploy, Timestamp::now());
            let order = Order {
                version: Some(matter.version.clone()),
                only,
                schedule: Schedule { windows, ..Schedule::default() },
                ..Order::new(matter.found.app.clone(), matter.audience.clone(), OrderAct::Deploy)
            };
            let (order, whom) = connection.sign_act(&matter.name(), matter.found.build, Act::Order(order))?;
            if whom.is_some() {
                return Err(Failure::misused("a bundle carries no names of people: leave --on-behalf-of out"));
            }
            dossier.order = Some(order);
        }
        let contents = Contents::gather(&connection, &matter, &dossier).await?;
        let index = contents.index.clone();
        let (digest, volumes) = contents.write(invocation, &connection, &self.out, self.volume_size).await?;
        let total: u64 = volumes.iter().map(|volume| volume.bytes).sum();
        let files: Vec<String> = volumes.iter().map(|volume| volume.path.display().to_string()).collect();
        let ordered = match &dossier.order {
            Some(_) => format!("with your order to deploy it in {}", matter.audience),
            None => "for its people to affirm".into(),
        };
        let words = format!(
            "{} is in {} ({}), {ordered}; it may be activated until {:.0}.\n{}",
            index.name(),
            count(volumes.len() as u64, "volume"),
            sizes::length(total),
            permit.request.not_after,
            files.join("\n")
        );
        let data = json!({
            "bundle": digest, "volumes": files, "bytes": total, "objects": index.members.len(),
            "not_after": permit.request.not_after,
        });
        Ok(Answer::new(&data, words).next(format!("sortie bundle import {}", files[0])))
    }
}

impl Import {
    async fn run(self, invocation: &Invocation) -> Outcome {
        if let [file] = self.files.as_slice()
            && let Some(withdrawal) = vendor::withdrawal_in(file)
        {
            return vendor::take_withdrawal(&invocation.connect().await?, &withdrawal).await;
        }
        let files = self.files.clone();
        let sizes = files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum();
        let mut progress = Progress::new(invocation, "read", sizes);
        let volumes = blocking(move || depot::bundle::open(&files, &mut |bytes| progress.heard(bytes))).await?;
        let volumes = volumes.map_err(bundle::failure)?;
        let index = volumes.index().map_err(bundle::failure)?;
        match self.receiving(invocation, &index).await? {
            Some(connection) => vendor::take_in(invocation, &connection, volumes, &index).await,
            None => self.install(invocation, volumes, index).await,
        }
    }

    /// The estate into which the bundle is brought: the one in use, unless a target lives or joins here, or the bundle is
    /// of that very estate.
    async fn receiving(&self, invocation: &Invocation, index: &Index) -> Result<Option<Connection>, Failure> {
        let is_machines = self.joining.join.is_some() || self.joining.data.is_some();
        if is_machines || inbox::pinned(&self.joining.data()?).is_ok_and(|pinned| pinned.is_some()) {
            return Ok(None);
        }
        let global = &invocation.global;
        match Context::choose(global.server.as_deref(), global.context.as_deref()) {
            Ok(context) if context.settings.estate != Some(index.estate) => {
                Ok(Some(connection::connect_to(global, context).await?))
            }
            _ => Ok(None),
        }
    }

    /// Hands the bundle to the agent of this machine, or does its work where none runs.
    async fn install(&self, invocation: &Invocation, volumes: Volumes, index: Index) -> Outcome {
        let options = self.joining.options()?;
        let data = options.data.clone();
        let digest = volumes.bundle();
        let pinned = inbox::pinned(&data).context("this target's own files").map_err(Failure::from)?;
        if pinned.is_none() && options.join.is_none() {
            return Err(Failure::misused(format!(
                "no target has joined in {}: give the invitation by --join, as `sortie target invite --in {}` printed it",
                data.display(),
                index.audience
            )));
        }
        if let Some(pinned) = &pinned {
            check_meant(&index, pinned)?;
        }
        let before = inbox::outcome_of(&data, &digest).context("what was carried here").map_err(Failure::from)?;
        let runs = inbox::active_build(&data, &index.app).context("the journal").map_err(Failure::from)?;
        // What has been replaced since is not installed again by the same order: the agent says so.
        if let Some(carried) = before.filter(|carried| carried.outcome == Some(statement::Outcome::Verified))
            && runs == Some(index.build)
        {
            return Ok(conclude(&data, &carried, "was installed here already by this bundle"));
        }
        let mut progress = Progress::new(invocation, "unpacked", index.total_bytes());
        let into = data.clone();
        let put = blocking(move || inbox::put(&into, &volumes, &mut |bytes| progress.heard(bytes))).await?;
        put.map_err(|error| match error {
            PutError::Bundle(error) => bundle::failure(error),
            PutError::File(error) => Failure::failed(error.to_string()),
        })?;
        let before = inbox::carried(&data).map(|carried| carried.len()).unwrap_or(0);
        match blocking(move || agent::start::follow_bundles(&options)).await? {
            Ok(()) => {}
            Err(AgentError::Home(HomeError::InUse { .. })) => {
                invocation.aside("the agent that runs here takes it in");
                await_agent(&data, before).await?;
            }
            Err(error) => {
                inbox::discard(&data, &digest).context("the inbox").map_err(Failure::from)?;
                return Err(refused(error));
            }
        }
        let carried = inbox::outcome_of(&data, &digest).context("what was carried here").map_err(Failure::from)?;
        let carried = carried.ok_or_else(|| Failure::failed("the agent has not said what came of the bundle"))?;
        match (&carried.outcome, &carried.reason) {
            (Some(statement::Outcome::Verified), _) => Ok(conclude(&data, &carried, "runs now")),
            (Some(statement::Outcome::Refused { code, reason }), _) => Err(denied(code, reason, &data)),
            (Some(_), reason) => Err(Failure::new(
                "DEPLOYMENT_FAILED",
                exit::DEPLOYMENT_FAILED,
                format!("{}: {}", index.name(), reason.as_deref().unwrap_or("it failed")),
            )
            .next(receipt_command(&data))),
            (None, reason) => Err(Failure::failed(reason.as_deref().unwrap_or("it could not be followed"))),
        }
    }
}

impl Receipt {
    async fn run(self, invocation: &Invocation) -> Outcome {
        match (&self.file, &self.out) {
            (Some(file), _) => bring(invocation, file).await,
            (None, Some(out)) => {
                let data = super::agent::data_folder(self.data.as_deref())?;
                let written = inbox::receipt(&data).context("what was carried here").map_err(Failure::from)?;
                let document = written.ok_or_else(|| {
                    Failure::misused(format!("nothing was installed by a bundle in {}", data.display()))
                })?;
                let bytes = serde_json::to_vec_pretty(&document).context("the receipt").map_err(Failure::from)?;
                crate::context::write_whole(out, &bytes)?;
                let words = format!(
                    "{}'s receipt of {} is in {}: carry it back to those who sent the bundle.",
                    document.target,
                    count(document.outcomes.len() as u64, "bundle"),
                    out.display()
                );
                let data = json!({ "file": out, "target": document.target, "outcomes": document.outcomes.len() });
                Ok(Answer::new(&data, words).next(format!("sortie bundle receipt {}", out.display())))
            }
            (None, None) => Err(Failure::misused("name a receipt, or say where to write one: --out")),
        }
    }
}

/// Brings a receipt into the ledger.
async fn bring(invocation: &Invocation, file: &Path) -> Outcome {
    let cannot = |error: std::io::Error| Failure::misused(format!("cannot read {}: {error}", file.display()));
    let length = std::fs::metadata(file).map_err(cannot)?.len();
    if length > MAX_RECEIPT_BYTES as u64 {
        return Err(Failure::integrity(format!("{} is longer than any receipt may be", file.display())));
    }
    let bytes = std::fs::read(file).map_err(cannot)?;
    let document = Document::from_bytes(&bytes).or_integrity("the file")?;
    let connection = invocation.connect().await?;
    let target = document.target.clone();
    let act = Act::Receipt(statement::Receipt { target: target.clone() });
    let name = format!("receipt of {target}");
    let accepted = connection.submit_with(&name, Digest::of(&bytes), act, &[bytes], &[]).await?;
    let told: Vec<String> = accepted.events.iter().filter_map(told_in_words).collect();
    let words = if told.is_empty() { format!("{target} told nothing new.") } else { told.join("\n") };
    Ok(Answer::new(&accepted, words).next("sortie status"))
}

fn told_in_words(event: &Event) -> Option<String> {
    match event {
        Event::TargetEnrolled { target, environment, .. } => Some(format!("{target} has joined {environment}.")),
        Event::ReceiptTaken { target, app, build, version, outcome, deployment, at, .. } => {
            let what = match version {
                Some(version) => format!("{app}@{version}"),
                None => format!("{app}#{}", build.short()),
            };
            Some(match outcome {
                statement::Outcome::Verified => {
                    format!("{target} runs {what} since {at:.0} (deployment {deployment}).")
                }
                statement::Outcome::Refused { code, reason } => format!("{target} refused {what}: {code}, {reason}"),
                statement::Outcome::Undone { reason, .. } => format!("{target} went back from {what}: {reason}"),
                statement::Outcome::Failed { reason, .. } => format!("{what} failed on {target}: {reason}"),
            })
        }
        Event::EscapesChanged { target, findings } if !findings.is_empty() => {
            Some(format!("{target}: {}", count(findings.len() as u64, "escape")))
        }
        _ => None,
    }
}

/// A bundle for somewhere else is no use here; the agent would refuse it too.
fn check_meant(index: &Index, pinned: &trust::authority::Pinned) -> Result<(), Failure> {
    if index.estate != pinned.estate {
        return Err(Failure::integrity(format!(
            "the bundle is of the estate {}, and this target belongs to {}: nothing was taken from it",
            index.estate, pinned.estate
        )));
    }
    if index.audience != pinned.environment {
        let message = format!("the bundle is for {}, and this target is in {}", index.audience, pinned.environment);
        return Err(Failure::new("OTHER_ENVIRONMENT", exit::REFUSED, message)
            .next(format!("sortie bundle export {}@{} --to {}", index.app, index.version, pinned.environment)));
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.context("the work").map_err(Failure::from)
}

/// Waits until the running agent has followed one more bundle to its end.
async fn await_agent(data: &Path, before: usize) -> Result<(), Failure> {
    let limit = Instant::now() + WAIT.unsigned_abs();
    while Instant::now() < limit {
        if inbox::carried(data).is_ok_and(|carried| carried.len() > before) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Err(Failure::timed_out("the agent that runs here has not followed the bundle yet; it goes on with it"))
}

fn receipt_command(data: &Path) -> String {
    format!("sortie bundle receipt --out receipt.json --data {}", data.display())
}

fn conclude(data: &Path, carried: &Carried, how: &str) -> Answer {
    let words =
        format!("{}@{} {how}. Carry the receipt back, so that those who sent it know.", carried.app, carried.version);
    Answer::new(carried, words).next(receipt_command(data))
}

/// The target itself said no. Where what was signed is at fault, the bundle is not genuine.
fn denied(code: &str, reason: &str, data: &Path) -> Failure {
    let forged = matches!(code, "STATEMENT_INVALID" | "STATEMENT_MISSING" | "MANIFEST_UNFIT" | "DOCUMENTS_UNFIT");
    let exit = if forged { exit::INTEGRITY } else { exit::REFUSED };
    Failure::new(code, exit, format!("this target refused: {reason}; nothing was changed")).next(receipt_command(data))
}

fn refused(error: AgentError) -> Failure {
    match &error {
        AgentError::Join(JoinError::Trust(_) | JoinError::ClassDiffers { .. } | JoinError::Bundle(_)) => {
            Failure::integrity(format!("{error}; nothing was taken from the bundle"))
        }
        AgentError::NotJoined
        | AgentError::OtherEstate(_)
        | AgentError::Invitation(_)
        | AgentError::Join(JoinError::Name(_)) => Failure::misused(error.to_string()),
        _ => Failure::failed(error.to_string()),
    }
}
