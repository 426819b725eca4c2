//! `sortie hold`: a build that was undone or rolled back stays out until somebody lifts the hold.

use crate::{
    failure::Outcome,
    invocation::Invocation,
    names::{Place, Thing},
    output::Answer,
};
use trust::statement::AdministrationAct;

/// Lift the hold on what was undone or rolled back
#[derive(Debug, clap::Args)]
pub struct Hold {
    #[command(subcommand)]
    pub act: HoldAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum HoldAct {
    /// Let builds that were undone or rolled back come again
    Lift {
        /// The application
        #[arg(value_name = "APP")]
        app: String,
        #[command(flatten)]
        place: Place,
    },
}

impl Hold {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let HoldAct::Lift { app, place } = self.act;
        // A hold is lifted for the whole application; whoever names the version means the same.
        let app = Thing::parse("hold", &app)?.app().clone();
        let connection = invocation.connect().await?;
        let environment = connection.environment(&place)?;
        let act = AdministrationAct::LiftHold { app: app.clone(), environment: environment.clone() };
        let accepted = connection.administer(act).await?;
        let words = format!("nothing of {app} is held out of {environment} any more. Nothing was installed.");
        Ok(Answer::new(&accepted, words).next(format!("sortie status {app} --in {environment}")))
    }
}
