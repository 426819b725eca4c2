//! `sortie login`.

use crate::{
    connection,
    context::{self, Context, Settings},
    failure::{Failure, Outcome},
    invocation::Invocation,
    output::Answer,
};
use anyhow::Context as _;
use domain::refusal::exit;

/// Get to know a server by its address and the pin of its key, and save it as a context
#[derive(Debug, clap::Args)]
pub struct Login {
    /// As `sortie serve` prints it
    #[arg(value_name = "URL#PIN")]
    pub address: String,
    /// The one-time claim of a server without an estate
    #[arg(long)]
    pub claim: Option<String>,
    /// The context's name (the organisation's, or the host's, by default)
    #[arg(long)]
    pub name: Option<String>,
}

impl Login {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let (url, pin) = context::parse_server(&self.address)?;
        let identity = match &invocation.global.identity {
            Some(path) => {
                let path = std::path::absolute(path).context("the key's path").map_err(Failure::from)?;
                Some(path)
            }
            None => None,
        };
        let settings = Settings { url: url.clone(), pin, estate: None, claim: self.claim.clone(), identity };
        let hello = connection::client(&Context::new("login", settings.clone())?)?.hello().await?;
        if pin.is_some_and(|pin| pin != hello.pin) {
            return Err(Failure::integrity(format!("{url} says that its key has another pin than the one given")));
        }
        let name = match &self.name {
            Some(name) => name.clone(),
            None => hello.name.as_deref().and_then(file_name).unwrap_or_else(|| host(&url)),
        };
        let mut saved = Context::new(&name, Settings { estate: hello.estate, ..settings })?;
        let before = Context::load(&name).ok();
        if let Some(known) = &before
            && known.settings.estate.is_some()
            && known.settings.estate != hello.estate
        {
            return Err(Failure::integrity(format!(
                "the context {name} pins another estate than {url} has: a server was set up anew, or is not the one you know"
            ))
            .next(format!("sortie logout {name}")));
        }
        if hello.estate.is_none() {
            saved.save_as_current()?;
            let words = format!("{url} has no estate yet. Context {name} saved.");
            return Ok(Answer::new(&hello, words).next("sortie charter init"));
        }
        saved.settings.claim = None;
        saved.save_as_current()?;
        let connected = match (connection::connect_to(&invocation.global, saved).await, before) {
            (Ok(connected), _) => connected,
            // What was known before is worth more than a server that does not fit it.
            (Err(failure), Some(before)) if failure.problem.exit == exit::INTEGRITY => {
                before.save()?;
                return Err(failure);
            }
            (Err(failure), _) => {
                invocation.aside(&format!("context {name} saved; the server does not take your key"));
                return Err(failure);
            }
        };
        let me = connected.me().map(|(name, _)| name).or_else(|| connected.suspended_owner().cloned());
        let who = me.map_or("nobody the charter knows".to_string(), |name| name.to_string());
        let words = format!(
            "{}: you are {who} ({}), with {}. Context {name} saved.",
            connected.policy.charter.charter,
            connected.my_roles(),
            connected.identity.label
        );
        let is_customer = connected.policy.charter.customer(&connected.identity.signer.public().id()).is_some();
        let next = if is_customer { "sortie pull APP --from CHANNEL" } else { "sortie status" };
        Ok(Answer::new(&hello, words).next(next))
    }
}

/// What of an organisation's name can name a context.
fn file_name(name: &str) -> Option<String> {
    let plain: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let plain = plain.trim_matches('-');
    (!plain.is_empty()).then(|| plain.chars().take(40).collect())
}

fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    file_name(rest.split(['/', ':']).next().unwrap_or_default()).unwrap_or_else(|| "server".into())
}

#[cfg(test)]
mod tests {
    #[test]
    fn contexts_are_named_after_who_runs_the_server() {
        assert_eq!(super::file_name("Acme & Sons").as_deref(), Some("acme---sons"));
        assert_eq!(super::host("https://sortie.example:7440"), "sortie-example");
        assert_eq!(super::file_name("--"), None);
    }
}
