//! `sortie exclude`: leaves one target out of a deployment.

use crate::{
    connection::Connection,
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    output::Answer,
};
use api::{read::DeploymentView, routes, write::Accepted};
use domain::event::Event;
use trust::{TargetName, statement::AdministrationAct};

/// Leave one target out of a deployment under way: nobody waits for it, and it is no failure
#[derive(Debug, clap::Args)]
pub struct Exclude {
    /// The deployment's number
    pub deployment: u64,
    /// The target
    pub target: String,
    /// Why; it stands in the history
    #[arg(long)]
    pub reason: String,
}

impl Exclude {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let target = TargetName::new(&self.target).or_misused()?;
        let connection = invocation.connect().await?;
        let deployment = self.deployment;
        let act = |reason| AdministrationAct::ExcludeTarget { deployment, target: target.clone(), reason };
        let accepted = connection.administer_because(&self.reason, act).await?;
        let mut left = Vec::new();
        for number in left_out_of(&accepted) {
            // It was accepted: what cannot be read of it now makes the answer shorter, and is no failure.
            left.extend(view(&connection, number).await.ok());
        }
        let words = in_words(&target, deployment, &left);
        Ok(Answer::new(&accepted, words).next(format!("sortie status {deployment}")))
    }
}

async fn view(connection: &Connection, number: u64) -> Result<DeploymentView, Failure> {
    Ok(connection.client.get(&routes::path(routes::DEPLOYMENT, &[&number.to_string()]), &[]).await?)
}

/// The deployments that somebody left the target out of: of a package, those of its members that are under way there.
fn left_out_of(accepted: &Accepted) -> Vec<u64> {
    let by_somebody = |event: &Event| match event {
        Event::TargetExcluded { deployment, by: Some(_), .. } => Some(*deployment),
        _ => None,
    };
    accepted.events.iter().filter_map(by_somebody).collect()
}

/// What was left out of what, and what becomes of what is there already.
fn in_words(target: &TargetName, deployment: u64, left: &[DeploymentView]) -> String {
    // Nobody leaves out what is verified, but where it is unwell since: that stays until all go back.
    let has_verified = |view: &&DeploymentView| {
        view.targets
            .iter()
            .any(|part| part.target == *target && matches!(part.state.as_str(), "verified" | "going back"))
    };
    let verified = left.iter().filter(has_verified).count();
    let has_begun = |view: &DeploymentView| {
        view.targets.iter().any(|part| part.target == *target && (part.wave.is_some() || !part.phases.is_empty()))
    };
    let begun = match verified {
        0 if !left.is_empty() && !left.iter().any(has_begun) => "It had begun nothing.",
        0 => "What it has begun it may end.",
        all if all == left.len() => "It keeps what it has, and goes back if all do.",
        _ => "What it has begun it may end; what it has verified it keeps, and goes back if all do.",
    };
    let members: Vec<String> = left
        .iter()
        .filter(|view| view.deployment != deployment)
        .map(|view| format!("{} (deployment {})", view.app, view.deployment))
        .collect();
    let mut said = match members.is_empty() {
        true => format!("{target} is left out of deployment {deployment}. {begun}"),
        false => format!(
            "{target} is left out of {} in deployment {deployment}; those that come after one of these do not go there. {begun}",
            members.join(", ")
        ),
    };
    // Whoever was the last of it ends it.
    for view in left.iter().filter(|view| view.ending.is_some()) {
        let why = view.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        said.push_str(&format!(" With that deployment {} is over{why}.", view.deployment));
    }
    // Whoever is left out may have been why it paused, and that it goes on is another word.
    let is_paused = |view: &&DeploymentView| view.waits.as_ref().is_some_and(|waits| waits.contains("sortie resume"));
    if left.iter().filter(|view| view.ending.is_none()).any(|view| is_paused(&view)) {
        said.push_str(&format!(" Deployment {deployment} stays paused: sortie resume {deployment}"));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;

    #[test]
    fn what_was_left_out_is_said_with_what_becomes_of_it() {
        let target: TargetName = "prod-1".parse().unwrap();
        let one = |number, state| {
            let mut view = samples::deployment(&[("prod-1", state), ("prod-2", "verified")]);
            view.deployment = number;
            view.targets[0].wave = Some(1);
            view
        };
        let said = |left: &[DeploymentView]| in_words(&target, 41, left);
        assert_eq!(said(&[one(41, "left out")]), "prod-1 is left out of deployment 41. What it has begun it may end.");
        assert_eq!(
            said(&[one(41, "verified")]),
            "prod-1 is left out of deployment 41. It keeps what it has, and goes back if all do."
        );
        assert_eq!(
            said(&[one(42, "left out"), one(43, "left out")]),
            "prod-1 is left out of web (deployment 42), web (deployment 43) in deployment 41; those that come after one of \
             these do not go there. What it has begun it may end."
        );
        assert!(said(&[one(42, "left out"), one(43, "verified")]).contains("what it has verified it keeps"));
        let mut paused = one(41, "left out");
        paused.waits = Some("deployment 41 is paused: 503; somebody says `sortie resume 41` or `abort`".into());
        assert!(said(&[paused]).ends_with(" Deployment 41 stays paused: sortie resume 41"));
        // Whoever was the only one of what has not begun takes all of it away.
        let mut last = one(41, "left out");
        (last.targets[0].wave, last.targets[0].phases) = (None, Vec::new());
        last.ending = Some(domain::event::Ending::Dropped);
        last.reason = Some("nobody is left for it".into());
        assert_eq!(
            said(&[last]),
            "prod-1 is left out of deployment 41. It had begun nothing. With that deployment 41 is over: nobody is left for it."
        );
    }
}
