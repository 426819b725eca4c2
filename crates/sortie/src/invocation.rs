//! One run of the program: the flags that every verb takes, and where its words go.

use crate::{
    connection::{self, Connection},
    failure::{Failure, OrMisused},
    output,
};
use jiff::SignedDuration;
use std::path::PathBuf;

/// How long a command waits unless `--wait` says otherwise: 30 minutes.
pub const WAIT: SignedDuration = SignedDuration::from_mins(30);

/// The flags that every verb takes. Help shows them after the verb's own.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "For every command")]
pub struct Global {
    /// Print one JSON document instead of words
    #[arg(long, global = true)]
    pub json: bool,
    /// The saved context to use (see `sortie context`)
    #[arg(long, global = true, env = "SORTIE_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
    /// The private key to sign with, as a file in OpenSSH form (SORTIE_KEY holds the key itself)
    #[arg(long, global = true, env = "SORTIE_IDENTITY", value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// The server, where no context is to be used
    #[arg(long, global = true, env = "SORTIE_SERVER", value_name = "URL#PIN", hide_env_values = true)]
    pub server: Option<String>,
    /// For whom you act, where that is somebody else; recorded with your own name
    #[arg(long, global = true, value_name = "WHO")]
    pub on_behalf_of: Option<String>,
    /// The id to submit under: the same id with the same bytes is answered once (fresh by default)
    #[arg(long, global = true, value_name = "ID", hide_short_help = true)]
    pub request_id: Option<String>,
}

/// One run of the program.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The flags.
    pub global: Global,
}

impl Invocation {
    /// A run with these flags.
    pub fn new(global: Global) -> Self {
        Self { global }
    }

    /// Says a line now, before the command is over. Silent where one JSON document was asked for.
    pub fn say(&self, text: &str) {
        if !self.global.json {
            output::line(text);
        }
    }

    /// Says a line beside the result, on standard error: progress, warnings.
    pub fn aside(&self, text: &str) {
        if !self.global.json {
            output::aside(text);
        }
    }

    /// Connects to the context's server, logs in, and verifies the estate's documents against what is pinned.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        connection::connect(self).await
    }

    /// Asks for a yes on the terminal; the answer is no where there is none to ask.
    pub fn confirm(&self, question: &str) -> bool {
        use std::io::{BufRead, IsTerminal, Write};
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return false;
        }
        anstream::eprint!("{} [y/N] ", output::lines_printable(question));
        let mut answer = String::new();
        let read = std::io::stderr().flush().and_then(|()| stdin.lock().read_line(&mut answer));
        read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    /// Why [`Self::confirm`] came back without a yes.
    pub fn unconfirmed(&self) -> &'static str {
        use std::io::IsTerminal;
        match std::io::stdin().is_terminal() {
            true => "you did not say yes",
            false => "there is no terminal to ask on",
        }
    }
}

/// Reads `4h`, `30m`, `90s`, `2 days`.
pub fn duration(text: &str) -> Result<SignedDuration, Failure> {
    let span: jiff::Span = text.parse().map_err(|_| {
        Failure::misused(format!(
            "'{}' is not a duration: write for example 90s, 30m, 4h",
            trust::names::printable(text)
        ))
    })?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).or_misused()?;
    match duration.is_negative() {
        true => Err(Failure::misused("a duration cannot be negative")),
        false => Ok(duration),
    }
}
