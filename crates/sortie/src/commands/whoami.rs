//! `sortie whoami`.

use crate::{failure::Outcome, invocation::Invocation, output::Answer};
use api::{read, routes};

/// Who you are to the server, and with which roles
#[derive(Debug, clap::Args)]
pub struct Whoami {}

impl Whoami {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let connection = invocation.connect().await?;
        let who: read::Whoami = connection.client.get(routes::WHOAMI, &[]).await?;
        let roles = match (connection.suspended_owner(), who.roles.is_empty()) {
            (Some(_), _) => connection.my_roles(),
            (None, true) => "no role".into(),
            (None, false) => who.roles.join(", "),
        };
        let words = format!(
            "{} of {}: {roles}\nkey {}   context {}   server {}",
            who.name,
            who.estate_name,
            connection.identity.label,
            connection.context.name,
            connection.client.url()
        );
        let tokens: Vec<&str> = who.tokens.iter().map(|token| token.name.as_str()).collect();
        let words = match tokens.is_empty() {
            true => words,
            false => format!("{words}\nread-only tokens: {}", tokens.join(", ")),
        };
        Ok(Answer::new(&who, words))
    }
}
