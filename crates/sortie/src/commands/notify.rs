//! `sortie notify test`: whether messages arrive. It runs where the server runs: the operator's file holds secrets, which
//! the server does not tell.

use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
    output::Answer,
    table::table,
    until,
};
use domain::refusal::exit;
use jiff::Timestamp;
use serde_json::json;
use server::notify::{
    deliver::Courier,
    hooks::{FILE, Hooks},
    message::{Kind, Notice},
};
use std::path::PathBuf;

/// Outgoing notifications, on the server's machine
#[derive(Debug, clap::Args)]
pub struct Notify {
    #[command(subcommand)]
    pub act: NotifyAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum NotifyAct {
    /// Send a trial message to every hook of notify.toml, or to one, and say what its receiver answered
    Test {
        /// The hook; all where left out
        #[arg(value_name = "HOOK")]
        hook: Option<String>,
        /// The server's data folder (below the home folder by default)
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

impl Notify {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        let NotifyAct::Test { hook, data } = self.act;
        let data = until::server_data(data)?;
        if !server::backup::is_of_a_server(&data) {
            return Err(Failure::misused(server::backup::BackupError::NoServer(data).to_string()));
        }
        let path = data.join(FILE);
        let hooks = Hooks::read(&path).map_err(|error| Failure::misused(error.to_string()))?.hooks;
        if hooks.is_empty() {
            let why = format!("no hook is named in {}", path.display());
            return Err(Failure::misused(why).next("write one, as docs/notifications.md shows"));
        }
        let known: Vec<String> = hooks.keys().cloned().collect();
        let chosen: Vec<_> =
            hooks.into_iter().filter(|(name, _)| hook.as_ref().is_none_or(|hook| hook == name)).collect();
        if chosen.is_empty() {
            let why = format!("{} has no hook {}; it has {}", FILE, hook.unwrap_or_default(), known.join(", "));
            return Err(Failure::misused(why));
        }
        let mut tried = Vec::new();
        for (name, hook) in chosen {
            let now = Timestamp::now();
            let id = format!("test-{name}-{}", now.as_millisecond());
            let notice = Notice::about(id, Kind::Test, now, None, "Sortie: a trial message. Nothing happened.".into());
            let answer = match Courier::new(&hook) {
                Ok(courier) => courier.deliver(&notice, now).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            tried.push((name, answer));
        }
        let lost = tried.iter().filter(|(_, answer)| answer.is_err()).count();
        let rows: Vec<Vec<String>> = tried
            .iter()
            .map(|(name, answer)| match answer {
                Ok(status) => vec![name.clone(), format!("taken ({status})")],
                Err(why) => vec![name.clone(), why.clone()],
            })
            .collect();
        let data: Vec<_> = tried
            .iter()
            .map(|(name, answer)| json!({ "hook": name, "status": answer.as_ref().ok(), "why": answer.as_ref().err() }))
            .collect();
        let answer = Answer::new(&json!({ "hooks": data }), table(&["hook", "answer"], &rows));
        Ok(if lost > 0 { answer.exit(exit::FAILED) } else { answer })
    }
}
