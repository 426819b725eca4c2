//! `sortie app`: the end of an application.

use crate::{
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    output::Answer,
};
use trust::{AppName, statement::AdministrationAct};

/// Retire an application for good
#[derive(Debug, clap::Args)]
pub struct App {
    #[command(subcommand)]
    pub act: AppAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum AppAct {
    /// Take in nothing new of an application that runs nowhere; its name is never given again (owners)
    Retire {
        /// The application
        #[arg(value_name = "APP")]
        app: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

impl App {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let AppAct::Retire { app, yes } = self.act;
        let app = AppName::new(&app).or_misused()?;
        let connection = invocation.connect().await?;
        // Nobody is asked about what there is not.
        connection.app(&app).await?;
        if !yes && !invocation.confirm(&format!("Retire {app} for good? Its name is never given again.")) {
            let why = format!("{app} is not retired: {}", invocation.unconfirmed());
            return Err(Failure::failed(why).next(format!("sortie app retire {app} --yes")));
        }
        let accepted = connection.administer(AdministrationAct::RetireApp { app: app.clone() }).await?;
        let words = format!("{app} is retired: nothing new of it comes in. What it was stays known.");
        Ok(Answer::new(&accepted, words).next(format!("sortie prune {app} --keep 0 --days 0")))
    }
}
