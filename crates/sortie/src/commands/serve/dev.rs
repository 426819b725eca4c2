//! `sortie serve --dev`: a server and three agents in one process tree, with the user's own key as the owner's.

use super::{Serve, address, in_words};
use crate::{
    connection::{self, Connection},
    context::{Context, Settings},
    estate::{self, Founder, RECOVERY_FILE},
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    output::{self, Answer},
    service, signer,
};
use agent::join::Invitation;
use anyhow::Context as _;
use api::{client::in_future, read::TargetStatus, routes};
use jiff::SignedDuration;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use server::start::{Options, Running, start};
use std::{
    collections::BTreeMap,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use trust::{
    AudienceName, TargetName,
    key::{SecretKey, Signer},
    statement::AdministrationAct,
};

const CONTEXT: &str = "dev";
const BOARD_PORT: u16 = 7441;
/// The agents: name, environment, and the first of the thousand ports that its copies get.
const AGENTS: [(&str, &str, u16); 3] = [("dev-1", "dev", 20_000), ("test-1", "test", 21_000), ("prod-1", "prod", 22_000)];
/// How long the agents may take to be there before the rest is said without them.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the agents may take to end.
const ENDING: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Runs it until somebody asks it to stop.
pub async fn run(invocation: &Invocation, serve: Serve) -> Outcome {
    let data = serve.data.map_or_else(|| service::data_folder("dev"), Ok)?;
    // The key is looked for first: without one there is no owner, and nothing should be begun.
    let identity = signer::candidates(invocation.global.identity.as_deref())?.swap_remove(0);
    let board = serve.board.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, BOARD_PORT)));
    let options = Options { data: data.join("server"), listen: serve.listen, board: Some(board) };
    let running = start(options).await.map_err(in_words)?;
    let recovery = match &running.claim {
        Some(claim) => Some(found(invocation, &running, &identity, claim).await?),
        None => None,
    };
    let context = save_context(invocation, &running)?;
    let connection = connection::connect_to(&invocation.global, context).await?;
    let mut agents = Vec::new();
    for (name, environment, first_port) in AGENTS {
        agents.push(start_agent(&connection, &data, name, environment, first_port).await?);
    }
    let seen = wait_for_agents(&connection).await?;
    announce(invocation, &connection, &running, &seen, recovery.as_deref());
    service::asked_to_stop().await;
    stop_agents(agents).await;
    running.shutdown().await;
    Ok(Answer::silent())
}

/// Founds an estate of one: the user owns it, and a recovery key lies in the folder they stand in.
async fn found(
    invocation: &Invocation,
    running: &Running,
    identity: &signer::Identity,
    claim: &str,
) -> Result<PathBuf, Failure> {
    let settings =
        Settings { url: running.url.clone(), pin: Some(running.pin), estate: None, claim: None, identity: None };
    let mut context = Context::new(CONTEXT, settings)?;
    // A context of that name is of an estate whose server is gone: what was verified there says nothing about this one.
    context.forget()?;
    let client = connection::client(&context)?;
    let hello = client.hello().await?;
    let name = estate::own_name(None)?;
    let signer = identity.signer.as_ref();
    let (root, recovery) = estate::first_root(&Founder { name: &name, signer }, &hello)?;
    let charter = estate::first_charter(CONTEXT, &hello);
    let draft = estate::sign_charter(charter.as_bytes(), 1, None, &[], signer)?;
    let path = free_recovery_path(Path::new("."));
    crate::context::write_whole(&path, recovery.as_bytes())?;
    estate::found(invocation, &client, &mut context, signer, root, draft, claim).await?;
    Ok(path)
}

/// A recovery key that is there already may be the only one to another estate, so it keeps its name.
fn free_recovery_path(folder: &Path) -> PathBuf {
    let numbered = |number: u32| folder.join(RECOVERY_FILE.replace(".key", &format!("-{number}.key")));
    std::iter::once(folder.join(RECOVERY_FILE))
        .chain((2..).map(numbered))
        .find(|path| !path.exists())
        .unwrap_or_else(|| folder.join(RECOVERY_FILE))
}

/// The context "dev", at the address the server has this time.
fn save_context(invocation: &Invocation, running: &Running) -> Result<Context, Failure> {
    let known = Context::load(CONTEXT).ok().map(|known| known.settings);
    let identity = invocation.global.identity.as_ref().map(std::path::absolute).transpose();
    let identity = identity.context("the key's path").map_err(Failure::from)?;
    let settings = Settings {
        url: running.url.clone(),
        pin: Some(running.pin),
        estate: known.as_ref().filter(|known| known.pin == Some(running.pin)).and_then(|known| known.estate),
        claim: None,
        identity: identity.or(known.and_then(|known| known.identity)),
    };
    let context = Context::new(CONTEXT, settings)?;
    context.save_as_current()?;
    Ok(context)
}

/// Starts an agent as a process of its own, with an invitation where it has not joined yet.
async fn start_agent(
    connection: &Connection,
    data: &Path,
    name: &str,
    environment: &str,
    first_port: u16,
) -> Result<Child, Failure> {
    let folder = data.join("agents").join(name);
    let token = match folder.join("pinned.json").exists() {
        true => None,
        false => Some(invite(connection, name, environment).await?),
    };
    let program = std::env::current_exe().context("this program's own path").map_err(Failure::from)?;
    let mut command = Command::new(program);
    command.arg("agent").arg("--data").arg(&folder).args(["--name", name]);
    command.args(["--ports", &format!("{first_port}-{}", first_port + 999)]);
    if token.is_some() {
        command.args(["--join", "-"]);
    }
    // The agent is nobody but its target: the user's keys are not its to find.
    for variable in ["SORTIE_KEY", "SORTIE_IDENTITY", "SORTIE_CONTEXT", "SORTIE_SERVER", "SSH_AUTH_SOCK"] {
        command.env_remove(variable);
    }
    command.env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into()));
    let mut child = command.stdin(Stdio::piped()).spawn().context("an agent could not be started")?;
    if let (Some(token), Some(stdin)) = (token, child.stdin.as_mut()) {
        stdin.write_all(token.as_bytes()).context("an agent went away at once").map_err(Failure::from)?;
    }
    child.stdin = None;
    Ok(child)
}

async fn invite(connection: &Connection, name: &str, environment: &str) -> Result<String, Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Failure::failed(format!("no randomness: {error}")))?;
    let environment = AudienceName::new(environment).or_misused()?;
    let class = connection.charter_environment(&environment).map(|environment| environment.class);
    let class = class.ok_or_else(|| crate::names::unknown_audience(&connection.policy.charter, &environment))?;
    let name = TargetName::new(name).or_misused()?;
    let act = AdministrationAct::InviteTarget {
        invitation: SecretKey::from_seed(&seed).public(),
        environment: environment.clone(),
        labels: BTreeMap::new(),
        name: Some(name.clone()),
        uses: 1,
        expires: in_future(SignedDuration::from_hours(1)),
    };
    connection.administer(act).await?;
    let pin = connection.client.pin().ok_or_else(|| Failure::failed("the server's key is not pinned"))?;
    let invitation = Invitation {
        url: connection.client.url().into(),
        pin,
        estate: connection.estate(),
        environment,
        class,
        labels: BTreeMap::new(),
        apps: Default::default(),
        name: Some(name),
        seed,
    };
    Ok(invitation.encode())
}

/// The names of the agents that are there, once all of them are or patience is over.
async fn wait_for_agents(connection: &Connection) -> Result<Vec<String>, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let targets: Vec<TargetStatus> = connection.client.get(routes::TARGETS, &[]).await?;
        let is_there = |name: &&str| targets.iter().any(|t| t.name.as_str() == *name && t.seen.is_some());
        let there: Vec<&str> = AGENTS.iter().map(|(name, ..)| *name).filter(|name| is_there(name)).collect();
        if there.len() == AGENTS.len() || Instant::now() >= deadline {
            return Ok(there.into_iter().map(String::from).collect());
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn announce(
    invocation: &Invocation,
    connection: &Connection,
    running: &Running,
    agents: &[String],
    recovery: Option<&Path>,
) {
    let board = running.board_url.clone().unwrap_or_default();
    let mut lines = vec![
        format!("server  {}   board {board}   context \"{CONTEXT}\" saved", running.url),
        format!("agents  {}    you are the owner ({})", agents.join("  "), connection.identity.label),
    ];
    let late = AGENTS.iter().filter(|(name, ..)| !agents.iter().any(|there| there == name));
    lines.extend(late.map(|(name, ..)| format!("✗ {name} has not come yet; it goes on trying")));
    lines.extend(recovery.map(|path| format!("recovery key {}: move it off this machine", path.display())));
    let data = json!({ "url": running.url, "login": address(running), "board": board, "context": CONTEXT,
        "agents": agents, "recovery_key": recovery });
    let answer = Answer::new(&data, lines.join("\n")).next("in your program's folder: sortie init");
    output::announce(&answer, invocation.global.json);
}

/// Asks the agents to end; what they keep running goes on, and is theirs again when they come back.
async fn stop_agents(mut agents: Vec<Child>) {
    for agent in &agents {
        if let Some(id) = i32::try_from(agent.id()).ok().and_then(Pid::from_raw) {
            // One that has ended by itself needs no asking.
            let _ = kill_process(id, Signal::TERM);
        }
    }
    let deadline = Instant::now() + ENDING;
    for agent in &mut agents {
        while matches!(agent.try_wait(), Ok(None)) && Instant::now() < deadline {
            sleep(LOOK_AGAIN).await;
        }
        let _ = agent.kill();
        let _ = agent.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_key_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let first = free_recovery_path(folder.path());
        assert!(first.ends_with("sortie-recovery.key"));
        std::fs::write(&first, "").unwrap();
        assert!(free_recovery_path(folder.path()).ends_with("sortie-recovery-2.key"));
    }
}
