//! `sortie serve`.

use super::target::{Terms, issue};
use crate::{
    connection::{self, Connection},
    context::{Context, Settings},
    estate::{self, Founder},
    failure::{Failure, OrIntegrity, OrMisused, Outcome},
    invocation::Invocation,
    output::Answer,
    until,
};
use agent::home::Home;
use anyhow::Context as _;
use api::client::in_future;
use jiff::SignedDuration;
use serde_json::json;
use server::start::{AWAY_AFTER_SECONDS, KeyChange, Options, Running, StartError, start};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};
use trust::{AudienceName, Digest, TargetName};

/// The machines of `--dev`: name, environment, and the first of their hundred ports.
const DEV_AGENTS: [(&str, &str, u16); 3] =
    [("dev-1", "dev", 20000), ("test-1", "test", 20100), ("prod-1", "prod", 20200)];
/// The context that `--dev` saves.
const DEV_CONTEXT: &str = "dev";
/// How long agents have to end before they are killed; what runs goes on either way.
const END_WITHIN: Duration = Duration::from_secs(8);

/// Run the server
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// The data folder: ledger, depot and the server's keys (below the home folder by default)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The address to listen on for people and agents
    #[arg(long, default_value = "127.0.0.1:7440", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The loopback address to show the board and metrics on, without a login
    #[arg(long, default_value = "127.0.0.1:7441", value_name = "ADDRESS")]
    pub board: SocketAddr,
    /// How long nothing is heard of a target before deployments go on without it, in seconds
    #[arg(long, default_value_t = AWAY_AFTER_SECONDS, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub away_after: u64,
    /// A server with agents dev-1, test-1 and prod-1 on this machine, for trying things out
    #[arg(long)]
    pub dev: bool,
    /// Take the next keys, which the charter announces (`sortie server rotate`), in place of those in use
    #[arg(long)]
    pub rotate_keys: bool,
    /// Make every key of the server anew, because somebody else has held them; owners then sign a new epoch
    #[arg(long, conflicts_with = "rotate_keys")]
    pub new_keys: bool,
    /// Print the HTTP contract in OpenAPI and serve nothing
    #[arg(long)]
    pub openapi: bool,
}

impl Serve {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        if self.openapi {
            let document = server::openapi();
            return Ok(Answer::raw(document.into_bytes()));
        }
        until::log_to_standard_error("warn");
        let told_to_end = until::told_to_end()?;
        let data = match &self.data {
            Some(data) => data.clone(),
            None => until::data_home()?.join(if self.dev { "dev" } else { "server" }),
        };
        let folder = if self.dev { data.join("server") } else { data.clone() };
        if self.dev {
            std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        }
        let keys = match (self.rotate_keys, self.new_keys) {
            (true, _) => KeyChange::Rotate,
            (_, true) => KeyChange::Replace,
            _ => KeyChange::Keep,
        };
        let away_after = Duration::from_secs(self.away_after);
        let options = Options { data: folder, listen: self.listen, board: Some(self.board), keys, away_after };
        let running = start(options).await.map_err(|error| self.not_started(&error))?;
        let agents = match self.dev {
            true => match dev(invocation, &running, &data).await {
                Ok(agents) => agents,
                Err(failure) => {
                    running.shutdown().await;
                    return Err(failure);
                }
            },
            false => {
                if invocation.global.json {
                    let (url, pin, claim) = (&running.url, running.pin, &running.claim);
                    let data = json!({ "server": url, "pin": pin, "claim": claim, "board": running.board_url });
                    crate::output::line(&data.to_string());
                }
                greet(invocation, &running);
                Vec::new()
            }
        };
        told_to_end.await;
        invocation.aside("ending; what runs on the machines goes on running");
        end(agents).await;
        running.shutdown().await;
        Ok(Answer::raw(Vec::new()))
    }
}

impl Serve {
    /// Why it did not start, with the address to give where something else has it.
    fn not_started(&self, error: &StartError) -> Failure {
        let failure = Failure::failed(error.to_string());
        let StartError::Listen { address, .. } = error else { return failure };
        let dev = if self.dev { " --dev" } else { "" };
        let data = self.data.as_ref().map(|data| format!(" --data {}", data.display())).unwrap_or_default();
        // Who has the one has the other, too, where it is another server.
        let listen = match *address == self.board && *address != self.listen {
            true => format!("--listen {}", self.listen),
            false => format!("--listen {}:PORT", self.listen.ip()),
        };
        failure.next(format!("sortie serve{dev}{data} {listen} --board {}:PORT", self.board.ip()))
    }
}

fn board(running: &Running) -> String {
    running.board_url.as_ref().map(|url| format!("   board {url}")).unwrap_or_default()
}

fn greet(invocation: &Invocation, running: &Running) {
    let address = format!("{}#{}", running.url, running.pin);
    invocation.say(&format!("server  {address}{}", board(running)));
    match &running.claim {
        Some(claim) => {
            invocation.say(&format!("claim   {claim}   (good once, for whoever brings the first charter)"));
            invocation.say(&format!("next: sortie login {address} --claim {claim}"));
        }
        None => invocation.say(&format!("ledger  {} entries\nnext: sortie login {address}", running.entries)),
    }
}

/// Founds an estate of one person where there is none yet, and starts its agents.
async fn dev(invocation: &Invocation, running: &Running, data: &Path) -> Result<Vec<Child>, Failure> {
    none_left_over(data)?;
    let settings = Settings {
        url: running.url.clone(),
        pin: Some(running.pin),
        estate: None,
        claim: running.claim.clone(),
        identity: invocation.global.identity.clone().and_then(|path| std::path::absolute(path).ok()),
    };
    let mut context = Context::new(DEV_CONTEXT, settings)?;
    let recovery = match &running.claim {
        Some(claim) => Some(found(invocation, &mut context, claim).await?),
        None => {
            context.settings.estate = estate_of(&context).await?;
            context.save_as_current()?;
            None
        }
    };
    let connection = connection::connect_to(&invocation.global, context).await?;
    let mut agents = Vec::new();
    for (name, environment, first_port) in DEV_AGENTS {
        let folder = data.join(name);
        let joined = folder.join("pinned.json").exists() || is_known(&connection, name).await?;
        let token = if joined { None } else { Some(invite(&connection, name, environment).await?) };
        agents.push(spawn_agent(&folder, token.as_deref(), first_port).await?);
    }
    await_agents(&connection, &mut agents).await?;
    let names: Vec<&str> = DEV_AGENTS.iter().map(|(name, ..)| *name).collect();
    invocation.say(&format!("server  {}{}   context \"{DEV_CONTEXT}\" saved", running.url, board(running)));
    invocation.say(&format!("agents  {}    you are the owner ({})", names.join("  "), connection.identity.label));
    if let Some(path) = recovery {
        invocation.say(&format!("recovery key {}: move it off this machine", path.display()));
    }
    invocation.say("next: in your repository, in another terminal: sortie init");
    Ok(agents)
}

/// Fails where agents of an earlier server outlived it, as they do when it is killed: two may not use one folder.
fn none_left_over(data: &Path) -> Result<(), Failure> {
    let uses = |(name, ..): &(&'static str, &str, u16)| Some((*name, Home::user(&data.join(name))?));
    let left: Vec<(&str, Option<u32>)> = DEV_AGENTS.iter().filter_map(uses).collect();
    if left.is_empty() {
        return Ok(());
    }
    let named = left.iter().map(|(name, pid)| match pid {
        Some(pid) => format!("{name} (process {pid})"),
        None => (*name).to_string(),
    });
    let names = named.collect::<Vec<_>>().join(", ");
    let why = format!("an earlier `sortie serve --dev` was killed, and its agents still run: {names}");
    let pids: Vec<String> = left.iter().filter_map(|(_, pid)| pid.map(|pid| pid.to_string())).collect();
    let failure = Failure::failed(format!("{why}. End them, and start it again: what they keep running goes on"));
    Err(if pids.is_empty() { failure } else { failure.next(format!("kill {}", pids.join(" "))) })
}

/// A server that was started before has an estate, which this machine trusts as its own.
async fn estate_of(context: &Context) -> Result<Option<Digest>, Failure> {
    Ok(connection::client(context)?.hello().await?.estate)
}

async fn found(invocation: &Invocation, context: &mut Context, claim: &str) -> Result<PathBuf, Failure> {
    let client = connection::client(context)?;
    let hello = client.hello().await?;
    let identity = connection::identities(&invocation.global, context)?.swap_remove(0);
    let name = estate::own_name(None)?;
    let signer = identity.signer.as_ref();
    let (root, recovery) = estate::first_root(&Founder { name: &name, signer }, &hello)?;
    let folder = Path::new(".");
    let recovery = estate::write_recovery_key(folder, &recovery)?;
    let text = estate::first_charter("dev", &hello);
    let first = trust::tuf::Root::bootstrap(&root).or_integrity("the first root")?;
    let draft = estate::sign_charter(text.as_bytes(), 1, &first, &[], &[signer])?;
    estate::found(invocation, &client, context, signer, root, draft, claim).await?;
    Ok(recovery)
}

async fn is_known(connection: &Connection, name: &str) -> Result<bool, Failure> {
    let targets: Vec<api::read::TargetStatus> = connection.client.get(api::routes::TARGETS, &[]).await?;
    Ok(targets.iter().any(|target| target.name.as_str() == name))
}

async fn invite(connection: &Connection, name: &str, environment: &str) -> Result<String, Failure> {
    let terms = Terms {
        environment: AudienceName::new(environment).or_misused()?,
        labels: BTreeMap::new(),
        name: Some(TargetName::new(name).or_misused()?),
        apps: BTreeSet::new(),
        uses: 1,
        expires: in_future(SignedDuration::from_mins(10)),
        ephemeral: false,
    };
    let (_, invitation) = issue(connection, terms).await?;
    Ok(invitation.encode())
}

async fn spawn_agent(folder: &Path, token: Option<&str>, first_port: u16) -> Result<Child, Failure> {
    let program = std::env::current_exe().context("this program's own path")?;
    let ports = format!("{first_port}-{}", first_port + 99);
    let mut command = Command::new(program);
    command.args(["agent", "--ports", &ports, "--data"]).arg(folder);
    if token.is_some() {
        command.args(["--join", "-"]);
    }
    let log = std::env::var("SORTIE_LOG").unwrap_or_else(|_| "warn".into());
    let child = command.env("SORTIE_LOG", log).stdin(Stdio::piped()).kill_on_drop(true).spawn();
    let mut child = child.context("an agent cannot be started")?;
    // The token is a secret: arguments can be read by everyone on the machine, a pipe cannot.
    if let (Some(mut stdin), Some(token)) = (child.stdin.take(), token) {
        stdin.write_all(token.as_bytes()).await.context("an agent cannot be told its invitation")?;
    }
    Ok(child)
}

/// Waits until every agent has been heard of.
async fn await_agents(connection: &Connection, agents: &mut [Child]) -> Result<(), Failure> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let targets: Vec<api::read::TargetStatus> = connection.client.get(api::routes::TARGETS, &[]).await?;
        let is_here = |name: &str| targets.iter().any(|target| target.name.as_str() == name && target.seen.is_some());
        if DEV_AGENTS.iter().all(|(name, ..)| is_here(name)) {
            return Ok(());
        }
        for (agent, (name, ..)) in agents.iter_mut().zip(DEV_AGENTS) {
            if let Some(status) = agent.try_wait().context("an agent")? {
                return Err(Failure::failed(format!("the agent {name} ended: {status}")));
            }
        }
        if tokio::time::Instant::now() > deadline {
            return Err(Failure::timed_out("the agents do not answer"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn end(agents: Vec<Child>) {
    for agent in &agents {
        let pid = agent.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself meanwhile.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
    for mut agent in agents {
        let _killed_on_drop = tokio::time::timeout(END_WITHIN, agent.wait()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Typed {
        #[command(flatten)]
        serve: Serve,
    }

    #[test]
    fn who_finds_an_address_taken_is_told_which_to_give() {
        let next = |typed: &[&str], taken: &str| {
            let typed = Typed::try_parse_from(["serve"].iter().chain(typed)).unwrap();
            let source = std::io::Error::from(std::io::ErrorKind::AddrInUse);
            let error = StartError::Listen { address: taken.parse().unwrap(), source };
            typed.serve.not_started(&error).problem.next.unwrap()
        };
        let both = "sortie serve --dev --listen 127.0.0.1:PORT --board 127.0.0.1:PORT";
        assert_eq!(next(&["--dev"], "127.0.0.1:7440"), both);
        let board = "sortie serve --data d --listen 127.0.0.1:7450 --board 127.0.0.1:PORT";
        assert_eq!(next(&["--data", "d", "--listen", "127.0.0.1:7450"], "127.0.0.1:7441"), board);
    }
}
