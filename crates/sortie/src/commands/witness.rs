//! `sortie witness`.

use crate::{
    context,
    failure::{Failure, Outcome},
    invocation::Invocation,
    output::Answer,
    until,
};
use serde_json::json;
use server::witness::{Options, Running, WitnessStartError, run};
use std::{net::SocketAddr, path::PathBuf};

/// Run a witness: on another machine, it signs for what the server publishes, and for nothing that hides a withdrawal.
/// Give it the server by --server the first time
#[derive(Debug, clap::Args)]
pub struct Witness {
    /// The address to listen on for withdrawals, and for targets that use it as a mirror
    #[arg(long, default_value = "127.0.0.1:7450", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The data folder: its key, and everything it has seen (below the home folder by default)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Witness {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        until::log_to_standard_error("info");
        let told_to_end = until::told_to_end()?;
        let data = match &self.data {
            Some(data) => data.clone(),
            None => until::data_home()?.join("witness"),
        };
        let server = invocation.global.server.as_ref();
        let server = match server.map(|server| context::parse_server(server)).transpose()? {
            None => None,
            Some((url, Some(pin))) => Some((url, pin)),
            Some((url, None)) => return Err(Failure::misused(format!("no pin comes with {url}: give it as URL#PIN"))),
        };
        let running = run(Options { data, listen: self.listen, server }).await.map_err(refused)?;
        greet(invocation, &running);
        told_to_end.await;
        invocation.aside("ending; nothing new is fresh until a witness signs again");
        running.shutdown().await;
        Ok(Answer::raw(Vec::new()))
    }
}

fn greet(invocation: &Invocation, running: &Running) {
    let Running { url, pin, key, estate, is_named, .. } = running;
    let address = format!("{url}#{pin}");
    if invocation.global.json {
        let data = json!({ "witness": url, "pin": pin, "key": key, "estate": estate, "named": is_named });
        crate::output::line(&data.to_string());
    }
    invocation.say(&format!("witness {address}"));
    invocation.say(&format!("key     {key}"));
    invocation.say(&match is_named {
        true => format!("next: on the targets: sortie agent --mirror {address}"),
        false => format!("next: an owner, who trusts this machine: sortie charter root --witness \"{key}\""),
    });
}

fn refused(error: WitnessStartError) -> Failure {
    match &error {
        WitnessStartError::NoServer | WitnessStartError::NoEstate(_) => {
            Failure::misused(error.to_string()).next("sortie witness --server URL#PIN")
        }
        WitnessStartError::OtherEstate(_) => Failure::integrity(error.to_string()),
        _ => match error {
            WitnessStartError::Server(error) => error.into(),
            error => Failure::failed(error.to_string()),
        },
    }
}
