//! `sortie agent`.

use crate::{
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    output::Answer,
    service,
};
use agent::{
    home::Home,
    join::{Invitation, join},
    start::{AgentError, Options, run},
};
use anyhow::Context as _;
use serde_json::json;
use std::{
    io::Read,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::Command,
};
use trust::TargetName;

const UNIT_FOLDER: &str = "/etc/systemd/system";

/// Run the agent of a target, or install it as a service
#[derive(Debug, clap::Args)]
pub struct Agent {
    #[command(subcommand)]
    pub act: Option<AgentAct>,
    #[command(flatten)]
    pub joining: Joining,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum AgentAct {
    /// Join, write a systemd unit, and start it
    Install {
        #[command(flatten)]
        joining: Joining,
    },
}

/// Who joins, and where its data lies.
#[derive(Debug, clap::Args)]
pub struct Joining {
    /// The invitation, or `-` to read it from standard input; needed the first time only
    #[arg(long, value_name = "TOKEN")]
    pub join: Option<String>,
    /// The target's name
    #[arg(long)]
    pub name: Option<String>,
    /// The data folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The ports that copies get: agents on one machine need ranges of their own
    #[arg(long, value_name = "FIRST-LAST", hide_short_help = true)]
    pub ports: Option<String>,
}

impl Agent {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        match self.act {
            Some(AgentAct::Install { joining }) => install(joining).await,
            None => {
                service::log_to_stderr("info");
                run(self.joining.options()?, service::asked_to_stop()).await.map_err(in_words)?;
                Ok(Answer::silent())
            }
        }
    }
}

fn in_words(error: AgentError) -> Failure {
    match error {
        AgentError::NotJoined => Failure::misused(error.to_string()).next("sortie target invite --in …"),
        AgentError::Invitation(_) => Failure::misused(error.to_string()),
        AgentError::Join(agent::join::JoinError::Client(error)) | AgentError::Client(error) => error.into(),
        AgentError::Trust(_) => Failure::integrity(error.to_string()),
        other => Failure::failed(other.to_string()),
    }
}

impl Joining {
    fn options(self) -> Result<Options, Failure> {
        let name = self.name.as_deref().map(TargetName::new).transpose().or_misused()?;
        let join = match self.join.as_deref() {
            Some("-") => Some(read_token()?),
            other => other.map(String::from),
        };
        let data = match (self.data, &name) {
            (Some(data), _) => data,
            (None, Some(name)) => service::data_folder(&format!("agent-{name}"))?,
            (None, None) => service::data_folder("agent")?,
        };
        let mut options = Options { name, join, ..Options::new(data) };
        if let Some(ports) = &self.ports {
            options.port_range = read_ports(ports)?;
        }
        Ok(options)
    }
}

fn read_token() -> Result<String, Failure> {
    let mut token = String::new();
    std::io::stdin()
        .take(1 << 16)
        .read_to_string(&mut token)
        .map_err(|error| Failure::misused(format!("cannot read the invitation from standard input: {error}")))?;
    Ok(token.trim().to_string())
}

fn read_ports(text: &str) -> Result<RangeInclusive<u16>, Failure> {
    let range = text.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
    let range = range.filter(|range: &RangeInclusive<u16>| !range.is_empty() && *range.start() > 0);
    range.ok_or_else(|| Failure::misused("ports are written FIRST-LAST, as in 20000-20999"))
}

async fn install(joining: Joining) -> Outcome {
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(Failure::failed("there is no systemd here: have your own supervisor run `sortie agent --data DIR`"));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::failed("installing a service needs root").next("sudo sortie agent install …"));
    }
    let options = joining.options()?;
    let data = std::path::absolute(&options.data).context("the data folder").map_err(Failure::from)?;
    // The invitation is used up here, so that no secret stands in a unit file.
    let target = {
        let home = Home::take(&data).map_err(|error| Failure::failed(error.to_string()))?;
        let enrolled = home.enrolled().map_err(|error| Failure::failed(error.to_string()))?;
        match (enrolled, &options.join) {
            (Some(enrolled), _) => enrolled,
            (None, Some(token)) => {
                let invitation = Invitation::decode(token).or_misused()?;
                join(&home, &invitation, options.name.as_ref()).await.map_err(|error| in_words(error.into()))?
            }
            (None, None) => return Err(in_words(AgentError::NotJoined)),
        }
    };
    let target = target.pinned.target;
    let program = std::env::current_exe().context("this program's own path").map_err(Failure::from)?;
    let name = format!("sortie-agent-{target}.service");
    let unit = Path::new(UNIT_FOLDER).join(&name);
    std::fs::write(&unit, unit_text(&program, &data, &target, &options.port_range))
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", unit.display())))?;
    for arguments in [&["daemon-reload"][..], &["enable", "--now", &name]] {
        let output = Command::new("systemctl").args(arguments).output().context("systemctl").map_err(Failure::from)?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_string();
            return Err(Failure::failed(format!("systemctl {}: {why}", arguments.join(" "))));
        }
    }
    let words = format!("{target} joined; {} is written and started.", unit.display());
    Ok(Answer::new(&json!({ "target": target, "unit": unit, "data": data }), words)
        .next(format!("systemctl status {name}")))
}

/// Services outlive the agent: systemd stops the agent's own process only, and the keepers go on.
fn unit_text(program: &Path, data: &Path, target: &TargetName, ports: &RangeInclusive<u16>) -> String {
    format!(
        "[Unit]\nDescription=Sortie agent of {target}\nWants=network-online.target\nAfter=network-online.target\n\n\
         [Service]\nExecStart=\"{}\" agent --data \"{}\" --ports {}-{}\nRestart=always\nRestartSec=2\n\
         KillMode=process\n\n[Install]\nWantedBy=multi-user.target\n",
        escaped(program),
        escaped(data),
        ports.start(),
        ports.end()
    )
}

/// A path as systemd reads it within double quotes.
fn escaped(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_units_are_written_as_they_are_read() {
        assert_eq!(read_ports("20000-20999").unwrap(), 20000..=20999);
        for bad in ["", "1", "5-4", "0-9", "a-b", "1-99999"] {
            assert!(read_ports(bad).is_err(), "{bad}");
        }
        let target = TargetName::new("prod-1").unwrap();
        let unit = unit_text(Path::new("/opt/a b/sortie"), Path::new("/var/50%"), &target, &(1..=2));
        assert!(unit.contains("ExecStart=\"/opt/a b/sortie\" agent --data \"/var/50%%\" --ports 1-2\n"), "{unit}");
        assert!(unit.contains("KillMode=process\n"));
    }
}
