//! `sortie logout`.

use crate::{
    context::{self, Context},
    failure::{Failure, Outcome},
    invocation::Invocation,
    output::Answer,
};

/// Forget a context and what was verified in it
#[derive(Debug, clap::Args)]
pub struct Logout {
    /// Which; the current one by default
    pub name: Option<String>,
}

impl Logout {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        let current = context::current()?;
        let name =
            self.name.or(current).ok_or_else(|| Failure::misused("no context is in use").next("sortie context"))?;
        let saved = Context::load(&name)?;
        saved.forget()?;
        let words = format!("context {name} is forgotten; {} was told nothing", saved.settings.url);
        Ok(Answer::new(&serde_json::json!({ "forgotten": name }), words).next("sortie context"))
    }
}
