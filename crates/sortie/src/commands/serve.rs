//! `sortie serve`.

mod dev;

use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
    output::{self, Answer},
    service,
};
use serde_json::json;
use server::start::{Options, Running, StartError, start};
use std::{net::SocketAddr, path::PathBuf};

/// Run the server
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// The data folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The address to listen on for people and agents
    #[arg(long, default_value = "127.0.0.1:7440", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The loopback address that shows the board and metrics in the clear (with --dev 127.0.0.1:7441)
    #[arg(long, value_name = "ADDRESS")]
    pub board: Option<SocketAddr>,
    /// A server with agents dev-1, test-1 and prod-1 on this machine, for trying things out
    #[arg(long)]
    pub dev: bool,
}

impl Serve {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        service::log_to_stderr(if self.dev { "warn" } else { "info" });
        if self.dev {
            return dev::run(invocation, self).await;
        }
        let data = self.data.map_or_else(|| service::data_folder("server"), Ok)?;
        let running = start(Options { data, listen: self.listen, board: self.board }).await.map_err(in_words)?;
        output::announce(&announcement(&running), invocation.global.json);
        service::asked_to_stop().await;
        running.shutdown().await;
        Ok(Answer::silent())
    }
}

fn in_words(error: StartError) -> Failure {
    Failure::failed(error.to_string())
}

/// `URL#PIN`, as `sortie login` takes it.
fn address(running: &Running) -> String {
    format!("{}#{}", running.url, running.pin.hex())
}

fn announcement(running: &Running) -> Answer {
    let board = running.board_url.as_ref().map(|board| format!("   board {board}")).unwrap_or_default();
    let address = address(running);
    let data = json!({ "url": running.url, "pin": running.pin, "login": address, "claim": running.claim,
        "board": running.board_url, "entries": running.entries });
    let words = format!("server  {address}{board}   ledger: {}", running.entries);
    match &running.claim {
        Some(claim) => {
            let words = format!("{words}\nclaim   {claim}   good once, for whoever brings the first charter");
            Answer::new(&data, words).next(format!("sortie login {address} --claim {claim}"))
        }
        None => Answer::new(&data, words).next(format!("sortie login {address}")),
    }
}
