//! `sortie token`: what a dashboard or a scraper reads with.

use crate::{
    failure::{Failure, OrMisused, Outcome},
    invocation::{Invocation, duration},
    output::Answer,
};
use api::{client::in_future, read::TokenView, routes};
use serde_json::json;
use trust::{Digest, TokenName, statement::AdministrationAct};

/// What every token begins with, so that scanners for leaked secrets know one when they see it.
const PREFIX: &str = "sortie_ro_";

/// Read-only tokens for dashboards and scrapers: create, list, revoke
#[derive(Debug, clap::Args)]
pub struct Token {
    #[command(subcommand)]
    pub act: TokenAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum TokenAct {
    /// Make a token that reads as you do, and does nothing else. Its secret is printed once and stored nowhere
    Create {
        /// What it is for, in a word: `dashboard`
        #[arg(long, value_name = "WORD")]
        note: String,
        /// For how long it is good, a year at most
        #[arg(long, default_value = "30d", value_name = "DURATION")]
        expires: String,
        /// The one kind of token there is; may be said for clarity
        #[arg(long)]
        read_only: bool,
    },
    /// List your tokens; owners see everybody's
    List,
    /// End a token at once
    Revoke {
        /// What it is for, as it was created
        #[arg(value_name = "WORD")]
        note: String,
        /// Whose it is, where it is not yours; for owners
        #[arg(long, value_name = "PERSON")]
        of: Option<String>,
    },
}

impl Token {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        match self.act {
            TokenAct::Create { note, expires, read_only: _ } => create(invocation, &note, &expires).await,
            TokenAct::List => list(invocation).await,
            TokenAct::Revoke { note, of } => revoke(invocation, &note, of.as_deref()).await,
        }
    }
}

async fn create(invocation: &Invocation, note: &str, expires: &str) -> Outcome {
    let name = TokenName::new(note).or_misused()?;
    let expires = in_future(duration(expires)?);
    let connection = invocation.connect().await?;
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| Failure::failed(format!("no randomness: {error}")))?;
    let secret = format!("{PREFIX}{}", Digest::from_bytes(bytes).hex());
    let token = Digest::of(secret.as_bytes());
    let accepted = connection.administer(AdministrationAct::CreateToken { token, name: name.clone(), expires }).await?;
    let words = format!(
        "the token {name} reads as you do until {expires:.0}, and does nothing else. This is the only time it is shown:\n\n\
         {secret}\n\n\
         Send it as `Authorization: Bearer …` with GET: the board, /metrics, and every read of the API but the bytes of builds."
    );
    let data = json!({ "entry": accepted.entry, "name": name, "expires": expires, "digest": token, "token": secret });
    Ok(Answer::new(&data, words).next(format!("sortie token revoke {name}")))
}

async fn list(invocation: &Invocation) -> Outcome {
    let connection = invocation.connect().await?;
    let tokens: Vec<TokenView> = connection.client.get(routes::TOKENS, &[]).await?;
    let line = |token: &TokenView| format!("{}   {}   good until {:.0}", token.name, token.holder, token.expires);
    let words = match tokens.is_empty() {
        true => "no token is good".to_string(),
        false => tokens.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    Ok(Answer::new(&json!({ "tokens": tokens }), words))
}

async fn revoke(invocation: &Invocation, note: &str, of: Option<&str>) -> Outcome {
    let connection = invocation.connect().await?;
    let me = connection.me().map(|(name, _)| name.to_string()).unwrap_or_default();
    let whose = of.unwrap_or(&me);
    let tokens: Vec<TokenView> = connection.client.get(routes::TOKENS, &[]).await?;
    let found = tokens.iter().find(|token| token.name == note && token.holder == whose).ok_or_else(|| {
        Failure::misused(format!("{whose} has no token {}", trust::names::printable(note))).next("sortie token list")
    })?;
    let accepted = connection.administer(AdministrationAct::RevokeToken { token: found.token }).await?;
    Ok(Answer::new(&accepted, format!("{whose}'s token {} is good no more.", found.name)))
}
