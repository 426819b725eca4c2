//! `sortie expose`: the third act. Neither a release nor a deployment implies it.

use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
    names::{Place, Thing},
    output::Answer,
};
use trust::statement::AdministrationAct;

/// Let end users reach a version that is deployed and verified: all of them, or a share
#[derive(Debug, clap::Args)]
pub struct Expose {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// How many of them, in percent
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub percent: u8,
}

impl Expose {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        if self.percent == 0 {
            return Err(Failure::misused("exposed to nobody is concealed")
                .next(format!("sortie conceal {} --in {}", self.what, self.place.audience)));
        }
        set(invocation, "expose", &self.what, &self.place, self.percent).await
    }
}

/// Says how many end users see a version.
pub async fn set(invocation: &Invocation, verb: &str, what: &str, place: &Place, percent: u8) -> Outcome {
    let (app, version) = Thing::parse_version(verb, what)?;
    let connection = invocation.connect().await?;
    let environment = connection.environment(place)?;
    let act = AdministrationAct::Expose {
        app: app.clone(),
        environment: environment.clone(),
        version: version.clone(),
        percent,
    };
    let accepted = connection.administer(act).await?;
    let what = format!("{app}@{version}");
    Ok(Answer::new(&accepted, in_words(&what, environment.as_str(), percent))
        .next(format!("sortie status {app} --in {environment}")))
}

fn in_words(what: &str, environment: &str, percent: u8) -> String {
    match percent {
        0 => format!("nobody sees {what} in {environment} any more. It goes on running."),
        100 => format!("all end users see {what} in {environment}. Nothing was installed."),
        percent => format!("{percent} % of end users see {what} in {environment}. Nothing was installed."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposure_says_who_sees_it() {
        assert_eq!(
            in_words("web@1.4.0", "prod", 10),
            "10 % of end users see web@1.4.0 in prod. Nothing was installed."
        );
        assert!(in_words("web@1.4.0", "prod", 0).ends_with("It goes on running."));
    }
}
