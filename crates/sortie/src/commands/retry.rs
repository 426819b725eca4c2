//! `sortie retry`: lets targets of a deployment try again that failed, did not answer or were left out.

use crate::{
    failure::{Failure, Outcome},
    follow::{Following, follow},
    invocation::Invocation,
    order::{self, Wanted, only},
    sign::text,
};
use api::{
    read::{DeploymentView, PartView},
    routes,
};
use domain::refusal::exit;
use std::collections::BTreeSet;
use trust::TargetName;

/// Let targets of a deployment try again that failed, did not answer or were left out
#[derive(Debug, clap::Args)]
pub struct Retry {
    /// The deployment's number
    pub deployment: u64,
    /// These targets only; all that failed or did not answer where left out
    #[arg(long, value_name = "TARGET", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Why; it stands in the history
    #[arg(long)]
    pub reason: Option<String>,
    #[command(flatten)]
    pub following: Following,
}

impl Retry {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let limit = self.following.limit()?;
        let named = only(&self.only)?;
        let connection = invocation.connect().await?;
        let number = self.deployment.to_string();
        let path = routes::path(routes::DEPLOYMENT, &[&number]);
        let view: DeploymentView = connection.client.get(&path, &[]).await?;
        let only = if named.is_empty() { failed(&view) } else { named };
        if only.is_empty() {
            return Err(nothing_failed(&view));
        }
        let wanted = Wanted {
            only,
            retries: Some(self.deployment),
            reason: self.reason.as_deref().map(text).transpose()?,
            keep_data: view.keep_data,
            ..Wanted::new(view.app, view.build, view.environment, view.act)
        };
        let accepted = order::submit(&connection, &wanted).await?;
        let names: Vec<String> = wanted.only.iter().map(ToString::to_string).collect();
        let words = format!("deployment {number} is tried again on {}.", names.join(", "));
        if self.following.detach || view.ending.is_some() {
            let answer = crate::output::Answer::new(&accepted, words);
            return Ok(answer.next(format!("sortie status {number}")));
        }
        invocation.aside(&words);
        let view = follow(invocation, &connection, self.deployment, limit).await?;
        order::conclude(&connection, &view).await
    }
}

/// Nobody tries again by itself what somebody left out on purpose.
fn nothing_failed(view: &DeploymentView) -> Failure {
    let number = view.deployment;
    let left_out = view.targets.iter().filter(|part| part.state == "left out").map(|part| part.target.as_str());
    let left_out: Vec<&str> = left_out.collect();
    let none = format!("no target failed in deployment {number}");
    let failure = |message| Failure::new("NOTHING_TO_RETRY", exit::DONE, message);
    let unwell = view.targets.iter().filter(|part| order::is_unwell(part)).map(|part| part.target.as_str());
    let unwell: Vec<&str> = unwell.collect();
    if let (Some(first), true) = (unwell.first(), left_out.is_empty()) {
        let which = unwell.join(", ");
        let why = format!(
            "{none}; unwell with it since they verified it: {which}. To bring it once more changes nothing: leave them out, let \
             it go on in spite of them (sortie resume {number}), or take all back (sortie abort {number})"
        );
        return failure(why).next(format!("sortie exclude {number} {first} --reason …"));
    }
    match left_out.is_empty() {
        true => failure(none).next(format!("sortie status {number}")),
        false => failure(format!("{none}; left out were {}: `--only` lets them try again", left_out.join(", ")))
            .next(format!("sortie retry {number} --only {}", left_out.join(","))),
    }
}

/// The targets that did not get it by their own fault or by nobody's; those that somebody left out are named.
fn failed(view: &DeploymentView) -> BTreeSet<TargetName> {
    let has_failed = |part: &&PartView| order::has_failed(part);
    view.targets.iter().filter(has_failed).map(|part| part.target.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::deployment;
    use trust::statement::Phase;

    #[test]
    fn those_try_again_that_failed_and_not_those_that_went_back() {
        let mut view =
            deployment(&[("prod-1", "verified"), ("prod-2", "undone"), ("prod-3", "undone"), ("prod-4", "absent")]);
        view.targets[2].failed_in = Some(Phase::Verify);
        let names: Vec<String> = failed(&view).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["prod-3", "prod-4"]);
        let next = |view: &DeploymentView| nothing_failed(view).problem.next.unwrap();
        assert_eq!(next(&view), "sortie status 41");
        view.targets[3].state = "left out".into();
        assert_eq!(next(&view), "sortie retry 41 --only prod-4");
        let mut view = deployment(&[("prod-1", "verified"), ("prod-2", "verified")]);
        view.targets[1].unwell = Some("web-1 /healthz 503".into());
        assert_eq!(next(&view), "sortie exclude 41 prod-2 --reason …");
    }
}
