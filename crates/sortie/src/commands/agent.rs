//! `sortie agent`.

use crate::{
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    output::Answer,
    until,
};
use agent::{
    start::{AgentError, Options, SCAN_SECONDS, WATCH_SECONDS},
    withdraw::WithdrawError,
};
use anyhow::Context as _;
use domain::refusal::exit;
use serde_json::json;
use std::{
    fs,
    io::Read,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::Command,
};
use trust::{
    TargetName,
    authority::{Denial, KeptWithdrawal},
    names::printable,
};

/// Where systemd's units of this machine lie.
const UNITS: &str = "/etc/systemd/system";
const UNIT: &str = "sortie-agent.service";

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
    /// Give a target a withdrawal that was carried to it: it counts at once, without any server
    Withdraw {
        /// What `sortie withdraw … --out FILE` wrote, or a file of permits from a mirror
        file: PathBuf,
        /// The agent's data folder (/var/lib/sortie-agent for root, else below the home folder)
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Write a systemd unit and start it
    Install {
        #[command(flatten)]
        joining: Joining,
    },
}

/// Who joins, where its data lies, and how it works.
#[derive(Debug, clap::Args)]
pub struct Joining {
    /// The invitation, or `-` to read it from standard input; needed the first time, and where the server has forgotten this
    /// machine
    #[arg(long, value_name = "TOKEN")]
    pub join: Option<String>,
    /// The target's name, where the invitation leaves it open
    #[arg(long)]
    pub name: Option<String>,
    /// The data folder (/var/lib/sortie-agent for root, else below the home folder)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The ports it gives to processes; agents that share a machine need ranges of their own
    #[arg(long, value_name = "FIRST-LAST", default_value = "20000-29999", value_parser = ports)]
    pub ports: RangeInclusive<u16>,
    /// How often it looks for escapes, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = SCAN_SECONDS)]
    pub scan_seconds: u64,
    /// How often it asks what runs whether it is well, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = WATCH_SECONDS)]
    pub watch_seconds: u64,
    /// A copy of the repository on a web server, to refresh from as well; may be given several times
    #[arg(long = "mirror", value_name = "URL")]
    pub mirrors: Vec<String>,
}

/// The agent's data folder: as given, or where it usually is.
pub fn data_folder(given: Option<&Path>) -> Result<PathBuf, Failure> {
    match given {
        Some(data) => Ok(data.to_path_buf()),
        None if rustix::process::geteuid().is_root() => Ok("/var/lib/sortie-agent".into()),
        None => Ok(until::data_home()?.join("agent")),
    }
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("'{}' is no range of ports: write for example 20000-20999", printable(text));
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let range = first.parse().map_err(|_| wrong())?..=last.parse().map_err(|_| wrong())?;
    if range.is_empty() || *range.start() < 1024 { Err(wrong()) } else { Ok(range) }
}

impl Agent {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        match self.act {
            None => self.joining.work(invocation).await,
            Some(AgentAct::Install { joining }) => joining.install().await,
            Some(AgentAct::Withdraw { file, data }) => withdraw(&file, data),
        }
    }
}

fn withdraw(file: &Path, data: Option<PathBuf>) -> Outcome {
    let data = data_folder(data.as_deref())?;
    let bytes = fs::read(file).map_err(|error| Failure::misused(format!("cannot read {}: {error}", file.display())))?;
    let kept = agent::withdraw::carry(&data, &bytes).map_err(|error| match error {
        WithdrawError::Denied(denial) => Failure::new(denial.code(), exit::INTEGRITY, error_words(&denial)),
        WithdrawError::NotJoined | WithdrawError::Nothing => Failure::misused(error.to_string()),
        error => Failure::failed(error.to_string()),
    })?;
    let lines = kept.iter().map(|kept| {
        let KeptWithdrawal { app, build, through_serial, .. } = kept;
        format!("{app}#{}: permits through serial {through_serial} are dead on this target", build.short())
    });
    let words = lines.chain(["what runs goes on running".to_string()]).collect::<Vec<_>>().join("\n");
    Ok(Answer::new(&json!({ "kept": kept }), words))
}

fn error_words(denial: &Denial) -> String {
    format!("this target does not take it: {denial}")
}

impl Joining {
    /// The data folder that is meant.
    pub fn data(&self) -> Result<PathBuf, Failure> {
        data_folder(self.data.as_deref())
    }

    /// As the agent takes them.
    pub fn options(&self) -> Result<Options, Failure> {
        let join = match self.join.as_deref() {
            Some("-") => {
                let mut token = String::new();
                let read = std::io::stdin().lock().take(64 << 10).read_to_string(&mut token);
                read.context("the invitation on standard input")?;
                Some(token)
            }
            join => join.map(String::from),
        };
        let name = self.name.as_deref().map(TargetName::new).transpose().or_misused()?;
        let mut options = Options::new(self.data()?);
        (options.join, options.name) = (join, name);
        (options.port_range, options.scan_seconds) = (self.ports.clone(), self.scan_seconds);
        options.watch_seconds = self.watch_seconds;
        options.mirrors = self.mirrors.clone();
        Ok(options)
    }

    async fn work(&self, invocation: &Invocation) -> Outcome {
        until::log_to_standard_error("info");
        let options = self.options()?;
        let data = options.data.clone();
        let shutdown = until::told_to_end()?;
        agent::start::run(options, shutdown).await.map_err(refused)?;
        invocation.aside("the agent has ended; what runs here goes on running");
        Ok(Answer::new(&json!({ "data": data }), ""))
    }

    /// Joins first, so that the unit holds no secret and needs the data folder only.
    async fn install(&self) -> Outcome {
        if !Path::new("/run/systemd/system").exists() {
            return Err(Failure::failed(
                "systemd does not run this machine, so there is nothing to install a unit for",
            )
            .next("sortie agent --join TOKEN --name NAME, kept running by what starts services here"));
        }
        let data = self.data()?;
        if self.join.is_some() {
            agent::start::join(&self.options()?).await.map_err(refused)?;
        }
        let program = std::env::current_exe().context("this program's own path")?;
        let ports = format!("{}-{}", self.ports.start(), self.ports.end());
        let (scan, watch) = (self.scan_seconds.to_string(), self.watch_seconds.to_string());
        let (program, folder) = (program.to_string_lossy(), data.to_string_lossy());
        let mut words = vec![&*program, "agent", "--data", &*folder, "--ports", &ports];
        words.extend(["--scan-seconds", &scan, "--watch-seconds", &watch]);
        words.extend(self.mirrors.iter().flat_map(|url| ["--mirror", url.as_str()]));
        let start = words.into_iter().map(quoted).collect::<Vec<_>>().join(" ");
        let unit = Path::new(UNITS).join(UNIT);
        fs::write(&unit, unit_text(&start)).with_context(|| format!("cannot write {}", unit.display()))?;
        for words in [&["daemon-reload"][..], &["enable", "--now", UNIT]] {
            let done = Command::new("systemctl").args(words).status().context("systemctl")?;
            if !done.success() {
                return Err(Failure::failed(format!("systemctl {} failed", words.join(" ")))
                    .next(format!("systemctl status {UNIT}")));
            }
        }
        let words = format!("wrote {} and started it", unit.display());
        Ok(Answer::new(&json!({ "unit": unit, "data": data }), words)
            .next(format!("journalctl --unit {UNIT} --follow")))
    }
}

/// A word as systemd reads it (systemd.service(5), "Command lines").
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$"))
}

/// Services outlive the agent: only its own process is ended with the unit.
fn unit_text(start: &str) -> String {
    format!(
        "[Unit]\nDescription=Sortie agent\nAfter=network-online.target\nWants=network-online.target\n\n\
         [Service]\nExecStart={start}\nRestart=always\nRestartSec=2\nKillMode=process\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

fn refused(error: AgentError) -> Failure {
    match error {
        AgentError::NotJoined | AgentError::OtherEstate(_) | AgentError::Invitation(_) => {
            Failure::misused(error.to_string())
        }
        other => Failure::failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ports_are_read_and_nonsense_is_refused() {
        assert_eq!(ports("20000-20999"), Ok(20000..=20999));
        for bad in ["", "20000", "3-2", "80-90", "20000-99999", "a-b"] {
            assert!(ports(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn the_unit_ends_the_agent_alone() {
        assert_eq!(quoted(r#"/a b/"%"#), r#""/a b/\"%%""#);
        assert!(unit_text("/usr/bin/sortie agent").contains("KillMode=process\n"));
    }
}
