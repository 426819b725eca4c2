//! `sortie charter`.

mod annul;
mod epoch;
mod renew;
mod root;

pub use self::root::{read_pair, write_pair};
use self::{annul::Annul, epoch::Epoch, renew::Renew, root::Root};

use crate::{
    amendment::Amendment,
    connection::{self, Connection},
    context::{Context, write_whole},
    estate::{self, Founder},
    failure::{Failure, OrIntegrity, OrMisused, Outcome},
    invocation::Invocation,
    leaving::Leaving,
    order,
    output::Answer,
};
use domain::rules::{expiry, rollout};
use jiff::Timestamp;
use serde_json::json;
use std::{
    fs,
    io::IsTerminal,
    path::{Path, PathBuf},
};
use trust::{
    AudienceName, PersonName,
    authority::TrustedPolicy,
    charter::{Charter as Policy, Environment},
    key::PublicKey,
    window::{self, Window},
};

/// The signed policy: people, roles, audiences and who must agree
#[derive(Debug, clap::Args)]
pub struct Charter {
    #[command(subcommand)]
    pub act: CharterAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum CharterAct {
    /// Write a first charter.toml, with you as the owner
    Init {
        /// The organisation's name
        #[arg(long, value_name = "NAME", default_value = "acme")]
        organisation: String,
        /// Your name in the root of trust
        #[arg(long)]
        name: Option<String>,
        /// Where to
        #[arg(long, default_value = "charter.toml")]
        file: PathBuf,
    },
    /// Say what a changed charter.toml would loosen and tighten
    Plan {
        /// The file
        #[arg(default_value = "charter.toml")]
        file: PathBuf,
        /// Write into the file what keeps the permits, config sets and withdrawals of whoever leaves
        #[arg(long)]
        uphold: bool,
    },
    /// Write into charter.toml what gives back what a withdrawal took; owners sign it with `charter apply`
    Annul(Annul),
    /// Sign a charter.toml and put it in force
    Apply(Apply),
    /// Print the charter in force
    Show {},
    /// Change the owners: the root of trust goes on by one, signed by enough owners old and new
    Root(Root),
    /// Sign the charter in force anew, so that it does not expire; with --root the root of trust too
    Renew(Renew),
    /// Begin a new epoch, after the server was put back from an older copy or its keys were stolen
    Epoch(Epoch),
    /// Bring the newest charter that this machine has verified to a server that lost it
    Restore {},
    /// Show the recovery key, and say that it is put away
    Recovery {
        /// It is somewhere else now than where it was made: remind nobody any more
        #[arg(long)]
        put_away: bool,
    },
}

/// How a charter is applied.
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// The file
    #[arg(default_value = "charter.toml")]
    pub file: PathBuf,
    /// The one-time claim of a server without an estate
    #[arg(long)]
    pub claim: Option<String>,
    /// Sign, and write the signatures to this file instead of applying
    #[arg(long, value_name = "FILE")]
    pub sign_only: Option<PathBuf>,
    /// A file with other owners' signatures
    #[arg(long, value_name = "FILE")]
    pub with: Vec<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

impl Charter {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        match self.act {
            CharterAct::Init { organisation, name, file } => {
                init(invocation, &organisation, name.as_deref(), &file).await
            }
            CharterAct::Plan { file, uphold } => plan(invocation, &file, uphold).await,
            CharterAct::Annul(annul) => annul.run(invocation).await,
            CharterAct::Apply(apply) => apply.run(invocation).await,
            CharterAct::Show {} => show(invocation).await,
            CharterAct::Root(root) => root.run(invocation).await,
            CharterAct::Renew(renew) => renew.run(invocation).await,
            CharterAct::Epoch(epoch) => epoch.run(invocation).await,
            CharterAct::Restore {} => epoch::restore(invocation).await,
            CharterAct::Recovery { put_away } => root::recovery(invocation, put_away).await,
        }
    }
}

async fn init(invocation: &Invocation, organisation: &str, name: Option<&str>, file: &Path) -> Outcome {
    if file.exists() {
        return Err(Failure::misused(format!("{} is there already", file.display())).next("sortie charter plan"));
    }
    let global = &invocation.global;
    let context = Context::choose(global.server.as_deref(), global.context.as_deref())?;
    let hello = connection::client(&context)?.hello().await?;
    if hello.estate.is_some() {
        return Err(Failure::misused(format!("{} has an estate and a charter already", context.settings.url))
            .next(format!("sortie charter show > {}", file.display())));
    }
    let name = estate::own_name(name)?;
    let identity = first_identity(invocation, &context)?;
    let founder = Founder { name: &name, signer: identity.signer.as_ref() };
    let (root, recovery) = estate::first_root(&founder, &hello)?;
    let text = estate::first_charter(organisation, &hello);
    Policy::from_bytes(text.as_bytes()).or_misused()?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let recovery = estate::write_recovery_key(folder, &recovery)?;
    estate::keep_draft(&context, &root)?;
    write_whole(file, text.as_bytes())?;
    let words = format!(
        "wrote {}: you, {name}, are the owner ({}).\n{}: the key that can name a new owner if yours is lost. \
         Move it off this machine.",
        file.display(),
        identity.label,
        recovery.display()
    );
    let data = json!({ "charter": file, "owner": name, "recovery_key": recovery });
    Ok(Answer::new(&data, words).next("sortie charter apply"))
}

/// Before there is a charter no key is known, so the first one is taken.
fn first_identity(invocation: &Invocation, context: &Context) -> Result<crate::signer::Identity, Failure> {
    let mut identities = connection::identities(&invocation.global, context)?;
    Ok(identities.swap_remove(0))
}

fn read(file: &Path) -> Result<(Policy, String), Failure> {
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::misused(format!("cannot read {}: {error}", file.display()))
            .next(format!("sortie charter show > {}", file.display()))
    })?;
    let policy =
        Policy::from_bytes(text.as_bytes()).or_misused().map_err(|failure| failure.in_file("charter.toml", file))?;
    if let Some((name, window)) = policy.unknown_zone() {
        let zone = trust::names::printable(window.unknown_zone().unwrap_or_default());
        return Err(Failure::misused(format!("{name}: no time zone is called {zone} (window \"{window}\")")));
    }
    Ok((policy, text))
}

/// What `text` would change of the charter in force, and take along with the keys and roles that go.
pub async fn amendment(connection: &Connection, policy: &Policy, text: &str) -> Result<Amendment, Failure> {
    let in_force = String::from_utf8_lossy(&connection.documents.charter);
    let mut amendment = Amendment::between((&connection.policy.charter, &in_force), (policy, text));
    amendment.leaving = leaving(connection, policy, &connection.verified.owners).await?;
    let (gives_back, takes_again) = amendment.leaving.take_annulled();
    amendment.loosens.extend(gives_back);
    amendment.tightens.extend(takes_again);
    amendment.minds = windows_minded(policy, Timestamp::now());
    amendment.minds.extend(nobodys_rings(connection, policy).await?);
    Ok(amendment)
}

/// What whoever signs these windows should know of them.
fn windows_minded(policy: &Policy, now: Timestamp) -> Vec<String> {
    let mut minds = zones_taken(policy);
    minds.extend(windows_over(policy, now));
    minds
}

/// The windows that open no more, each in a line; where an environment has no others, what follows from that.
fn windows_over(policy: &Policy, now: Timestamp) -> Vec<String> {
    let over = |(name, environment): (&AudienceName, &Environment)| {
        let is_over = |window: &&Window| window::next(std::slice::from_ref(*window), now).is_none();
        let over: Vec<String> =
            environment.windows.iter().filter(is_over).map(|window| format!("\"{window}\"")).collect();
        let follows = match over.len() == environment.windows.len() {
            true => format!(", and {name} has no other: nothing new is activated there"),
            false => String::new(),
        };
        (!over.is_empty()).then(|| format!("{name}: {} opens no more{follows}", over.join(", ")))
    };
    policy.environments.iter().filter_map(over).collect()
}

/// The windows that name no zone, with the one by which they are read: whoever wrote them may have had the clock on the own wall
/// in mind.
fn zones_taken(policy: &Policy) -> Vec<String> {
    let windows = |(name, environment): (&AudienceName, &Environment)| {
        let taken = |window: &Window| Some((window.to_string(), window.zone_taken()?.to_string()));
        let name = name.clone();
        let taken: Vec<_> = environment.windows.iter().filter_map(taken).collect();
        taken.into_iter().map(move |(window, zone)| {
            format!(
                "{name}: \"{window}\" names no zone and is read as {zone}. Write \"{window} {zone}\" if that is meant"
            )
        })
    };
    policy.environments.iter().flat_map(windows).collect()
}

/// The rings that no target of their environment is in, where it has targets: most likely a label is spelled otherwise.
async fn nobodys_rings(connection: &Connection, policy: &Policy) -> Result<Vec<String>, Failure> {
    let has_rings = |environment: &Environment| !environment.rollout().rings.is_empty();
    if !policy.environments.values().any(has_rings) {
        return Ok(Vec::new());
    }
    let status = order::status(connection, None).await?;
    let mut minds = Vec::new();
    for (name, environment) in &policy.environments {
        let labels = status.targets.iter().filter(|target| target.environment == *name).map(|target| &target.labels);
        let has_targets = labels.clone().next().is_some();
        let rings = rollout::nobodys_rings(&environment.rollout(), labels);
        let rings = rings.into_iter().filter(|_| has_targets);
        minds.extend(rings.map(|ring| format!("no target of {name} carries {ring}: that ring is empty")));
    }
    Ok(minds)
}

/// What a charter under these owners would take along.
async fn leaving(
    connection: &Connection,
    policy: &Policy,
    owners: &[(PersonName, PublicKey)],
) -> Result<Leaving, Failure> {
    let version = connection.verified.targets.version() + 1;
    let next = TrustedPolicy::new(connection.estate(), version, policy.clone(), owners, &[]).or_misused()?;
    crate::leaving::leaving(connection, &next).await
}

async fn plan(invocation: &Invocation, file: &Path, uphold: bool) -> Outcome {
    let (policy, text) = read(file)?;
    let connection = match invocation.connect().await {
        Err(failure) if failure.code() == "NO_ESTATE" => {
            let minds = windows_minded(&policy, Timestamp::now());
            minds.iter().for_each(|mind| invocation.aside(&format!("mind: {mind}")));
            let words = "the charter is sound. It would be this server's first.";
            return Ok(Answer::new(&json!({ "first": true, "minds": minds }), words).next("sortie charter apply"));
        }
        connection => connection?,
    };
    let mut amended = amendment(&connection, &policy, &text).await?;
    if uphold && !amended.leaving.uphold.is_empty() {
        let text = amended.leaving.uphold.added_to(&text)?;
        write_whole(file, text.as_bytes())?;
        invocation.aside(&format!("wrote what is upheld into {}", file.display()));
        amended = amendment(&connection, &Policy::from_bytes(text.as_bytes()).or_misused()?, &text).await?;
    }
    let amendment = amended;
    let version = connection.verified.targets.version();
    if amendment.lines.is_empty() {
        return Ok(Answer::new(&amendment, format!("charter {version} is in force, and the file says the same")));
    }
    let words = format!("{}\n\ncharter {version} → {}; nothing has changed yet.", amendment.in_words(), version + 1);
    let next = if amendment.leaving.uphold.is_empty() { "apply" } else { "plan --uphold" };
    Ok(Answer::new(&amendment, words).next(format!("sortie charter {next} {}", file.display())))
}

async fn show(invocation: &Invocation) -> Outcome {
    let connection = invocation.connect().await?;
    let version = connection.verified.targets.version();
    let charter = connection.documents.charter.clone();
    let text = String::from_utf8_lossy(&charter).into_owned();
    let owners: Vec<String> = connection.verified.owners.iter().map(|(name, _)| name.to_string()).collect();
    let (root_expires, expires) = (connection.verified.root.expires(), connection.verified.targets.expires());
    invocation.aside(&format!(
        "charter {version}, owned by {}; good until {}, the root of trust until {}",
        owners.join(", "),
        expires.strftime("%Y-%m-%d"),
        root_expires.strftime("%Y-%m-%d")
    ));
    for warning in expiry::warnings(Some(root_expires), Some(expires), Timestamp::now()) {
        invocation.aside(&format!("mind: {warning}"));
    }
    if invocation.global.json {
        let data = json!({
            "version": version, "owners": owners, "charter": text, "expires": expires, "root_expires": root_expires,
            "root_version": connection.verified.root.version(), "epoch": connection.policy.charter.epoch,
        });
        return Ok(Answer::new(&data, ""));
    }
    // A file must get the very bytes; a terminal must not be driven by them.
    Ok(match std::io::stdout().is_terminal() {
        true => Answer::new(&text, text.trim_end()).verbatim(),
        false => Answer::raw(charter),
    })
}

impl Apply {
    async fn run(self, invocation: &Invocation) -> Outcome {
        let (policy, text) = read(&self.file)?;
        let connection = match invocation.connect().await {
            Err(failure) if failure.code() == "NO_ESTATE" => return self.found(invocation, &policy, &text).await,
            connection => connection?,
        };
        bring(invocation, &connection, &text, &self).await
    }

    async fn found(&self, invocation: &Invocation, policy: &Policy, text: &str) -> Outcome {
        let global = &invocation.global;
        let mut context = Context::choose(global.server.as_deref(), global.context.as_deref())?;
        let claim = self.claim.clone().or(context.settings.claim.clone()).ok_or_else(|| {
            Failure::misused("a server without an estate takes its first charter with the claim that it printed")
                .next("sortie charter apply --claim CLAIM")
        })?;
        let identity = first_identity(invocation, &context)?;
        let minds = windows_minded(policy, Timestamp::now());
        minds.iter().for_each(|mind| invocation.aside(&format!("mind: {mind}")));
        let root = estate::draft(&context)?;
        let first = trust::tuf::Root::bootstrap(&root).or_integrity("the first root")?;
        let draft = estate::sign_charter(text.as_bytes(), 1, &first, &[], &[identity.signer.as_ref()])?;
        let client = connection::client(&context)?;
        let accepted =
            estate::found(invocation, &client, &mut context, identity.signer.as_ref(), root, draft, &claim).await?;
        let words = format!("{}: charter 1 is in force. This machine pins the estate.", policy.charter);
        let environment = policy.environments.iter().min_by_key(|(_, environment)| environment.class);
        let next = environment.map_or("sortie status".into(), |(name, _)| format!("sortie target invite --in {name}"));
        Ok(Answer::new(&accepted, words).next(next))
    }
}

/// Withdrawals outlive whoever signed them. A target that joins later knows them by the charter alone, so a charter that
/// lets them drop is not signed here: it would give permission back without a word.
fn keeps_withdrawals(leaving: &Leaving, next: String) -> Result<(), Failure> {
    let Some(first) = leaving.withdrawals.first() else { return Ok(()) };
    let others = match leaving.withdrawals.len() - 1 {
        0 => String::new(),
        others => format!(", and {others} more"),
    };
    let message = format!("this charter would let a withdrawal drop ({first}){others}. Nothing was signed");
    Err(Failure::new("WITHDRAWAL_DROPPED", domain::refusal::exit::REFUSED, message).next(next))
}

/// Asks before a new charter or a new epoch is signed, unless `yes` was said on the command line.
pub fn confirmed(invocation: &Invocation, yes: bool, question: &str) -> Result<(), Failure> {
    if yes || invocation.confirm(question) {
        return Ok(());
    }
    let message = format!("{}: nothing was signed, and what was in force stays in force", invocation.unconfirmed());
    Err(Failure::failed(message).next("the same command with --yes"))
}

/// Signs `text` as the next charter and brings it, or writes the signatures to a file.
pub async fn bring(invocation: &Invocation, connection: &Connection, text: &str, how: &Apply) -> Outcome {
    let policy = Policy::from_bytes(text.as_bytes()).or_misused()?;
    let amendment = amendment(connection, &policy, text).await?;
    let version = connection.verified.targets.version();
    if amendment.lines.is_empty() {
        return Ok(Answer::new(&amendment, format!("charter {version} is in force already, and says the same")));
    }
    invocation.aside(&amendment.in_words());
    keeps_withdrawals(&amendment.leaving, format!("sortie charter plan --uphold {}", how.file.display()))?;
    confirmed(invocation, how.yes, &format!("sign charter {} with {}?", version + 1, connection.identity.label))?;
    let read = |path: &PathBuf| {
        fs::read(path).map_err(|error| Failure::misused(format!("cannot read {}: {error}", path.display())))
    };
    let others = how.with.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let signer = connection.identity.signer.as_ref();
    let draft = estate::sign_charter(text.as_bytes(), version + 1, &connection.verified.root, &others, &[signer])?;
    if let Some(path) = &how.sign_only {
        write_whole(path, &draft.targets)?;
        let words = format!("signed charter {} into {}; nothing was applied", version + 1, path.display());
        let next = format!("another owner: sortie charter apply {} --with {}", how.file.display(), path.display());
        return Ok(Answer::new(&json!({ "version": version + 1, "signatures": path }), words).next(next));
    }
    let accepted = estate::apply(connection, &draft).await?;
    Ok(Answer::new(&accepted, format!("charter {} is in force.", version + 1)).next("sortie charter show"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A charter by which prod has these windows.
    fn with(windows: &[&str]) -> Policy {
        let mut charter = crate::commands::samples::charter();
        let prod = charter.environments.get_mut("prod").unwrap();
        prod.windows = windows.iter().map(|window| window.parse().unwrap()).collect();
        charter
    }

    #[test]
    fn r1_a_zone_that_is_taken_is_said() {
        let minds = |windows: &[&str]| zones_taken(&with(windows));
        assert_eq!(
            minds(&["mon-thu 07:00-16:00", "fri 07:00-12:00 Europe/Paris"]),
            [
                "prod: \"mon-thu 07:00-16:00\" names no zone and is read as UTC. Write \"mon-thu 07:00-16:00 UTC\" if that is meant"
            ]
        );
        assert!(minds(&["mon-thu 07:00-16:00 UTC"]).is_empty());
    }

    #[test]
    fn r1_a_window_that_opens_no_more_is_said() {
        let minds = |windows: &[&str]| windows_minded(&with(windows), "2026-11-21T12:00:00Z".parse().unwrap());
        let over = "RRULE:FREQ=DAILY;BYHOUR=7;UNTIL=20260102 PT1H UTC";
        assert_eq!(
            minds(&[over]),
            [format!("prod: \"{over}\" opens no more, and prod has no other: nothing new is activated there")]
        );
        assert_eq!(minds(&[over, "fri 07:00-12:00 Europe/Paris"]), [format!("prod: \"{over}\" opens no more")]);
        assert!(minds(&["RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=7 PT1H UTC"]).is_empty());
        assert!(minds(&[]).is_empty());
    }
}
