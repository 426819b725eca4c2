//! The binary: arguments, output, exit codes. One file per verb in [`commands`], whose doc comment is its help.
//!
//! A verb is a struct of arguments with `run(self, &Invocation) -> Outcome`. It connects ([`connection`]), reads names
//! ([`names`]), signs and submits statements ([`sign`]), and ends in an [`output::Answer`] or a [`failure::Failure`],
//! which `main` prints as people's words or as one JSON document.

mod amendment;
mod attestation;
mod build;
mod bundle;
mod cli;
mod commands;
mod connection;
mod context;
mod draft;
mod estate;
mod failure;
mod follow;
mod git;
mod how_it_runs;
mod invocation;
mod job;
mod leaving;
mod mirror;
mod moment;
mod names;
mod notes;
mod object;
mod order;
mod output;
mod package;
mod project;
mod proof;
mod releasing;
mod rollout;
mod sealing;
mod secrets;
mod sign;
mod signer;
mod standing;
mod table;
mod until;
mod vendor;
mod verify;
mod when;

use cli::Cli;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A keeper is started once for every copy of a process and must stay small: it is decided before anything else.
    if let Some(code) = agent::runtime::keeper_entry() {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let arguments: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    let Cli { global, verb } = match cli::read(&arguments) {
        Ok(cli) => cli,
        Err(refused) => return refused.finish(arguments.iter().any(|a| a == "--json")),
    };
    let json = global.json;
    let outcome = runtime(verb.serves_many()).and_then(|runtime| {
        let invocation = invocation::Invocation::new(global);
        runtime.block_on(verb.run(&invocation))
    });
    output::finish(outcome, json)
}

/// Commands and agents wait for one server at a time; the server serves many at once.
fn runtime(many: bool) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = match many {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    builder.enable_all().build().map_err(|error| Failure::failed(format!("cannot start: {error}")))
}
