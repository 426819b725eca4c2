//! `sortie retry`: lets targets of a deployment try again that failed, did not answer or were left out.

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    follow::{Following, follow, follow_again},
    invocation::Invocation,
    order::{self, Wanted, only},
    output::Answer,
    sign::text,
};
use api::{
    read::{DeploymentView, PartView, Status},
    routes,
};
use domain::{
    event::Ending,
    refusal::{Refusal, exit},
};
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
        if view.goes_back() {
            return Err(Refusal::GoesBack { deployment: self.deployment }.into());
        }
        if !view.members.is_empty() {
            return Err(of_members(&connection, &view).await);
        }
        let only = if named.is_empty() { failed(&view) } else { named };
        if only.is_empty() {
            // Whether a machine is cordoned decides what is proposed only.
            let status = order::status(&connection, None).await?;
            return Err(nothing_failed(&view, &status));
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
        if self.following.detach {
            let answer = Answer::new(&accepted, words);
            return Ok(answer.next(format!("sortie status {number}")));
        }
        invocation.aside(&words);
        if view.ending.is_some() {
            let view = follow_again(invocation, &connection, self.deployment, &wanted.only, limit).await?;
            return Ok(of_what_is_over(&view));
        }
        let view = follow(invocation, &connection, self.deployment, limit).await?;
        order::conclude(&connection, &view).await
    }
}

/// What came of it on those that tried again: the deployment had its end before, and that says nothing of them.
fn of_what_is_over(view: &DeploymentView) -> Answer {
    let (number, of) = (view.deployment, view.targets.len());
    let names = |parts: Vec<&PartView>| parts.iter().map(|part| part.target.as_str()).collect::<Vec<_>>().join(", ");
    let (well, bad): (Vec<_>, Vec<_>) = view.targets.iter().partition(|part| part.state == "verified");
    let Some(first) = bad.first() else {
        let words = format!("deployment {number} is verified on {} too.", names(well));
        return Answer::new(view, words).next(format!("sortie status {number}"));
    };
    let words = format!(
        "deployment {number} failed again on {} of {of}: {}.   (exit {})",
        bad.len(),
        names(bad.clone()),
        exit::DEPLOYMENT_FAILED
    );
    let next = match first.state.as_str() {
        // A machine that does not answer has no logs to show.
        "absent" => format!("sortie status {}", first.target),
        _ => format!("sortie logs {} --on {}", view.app, first.target),
    };
    Answer::new(view, words).exit(exit::DEPLOYMENT_FAILED).next(next)
}

/// A package has no targets: what failed of it is a member's, and tries again there.
async fn of_members(connection: &Connection, package: &DeploymentView) -> Failure {
    let mut members = Vec::new();
    for number in package.members.iter().filter_map(|member| member.deployment) {
        members.extend(order::deployment(connection, number).await.ok());
    }
    failed_members(package, &members)
}

fn failed_members(package: &DeploymentView, members: &[DeploymentView]) -> Failure {
    let number = package.deployment;
    // What has come to no good end is not tried again.
    let is_over = |view: &DeploymentView| view.ending.is_some_and(|ending| ending != Ending::Succeeded);
    let may = |member: &&DeploymentView| !failed(member).is_empty() && !member.goes_back() && !is_over(member);
    let failed = members.iter().filter(may);
    let failed: Vec<&DeploymentView> = failed.collect();
    let in_words = |member: &&DeploymentView| {
        let on: Vec<String> = self::failed(member).iter().map(ToString::to_string).collect();
        format!("{} on {} (deployment {})", member.app, on.join(", "), member.deployment)
    };
    let which: Vec<String> = failed.iter().map(in_words).collect();
    match failed.first() {
        Some(first) => {
            let why = format!(
                "deployment {number} is of a package, whose members try again each for itself: {}",
                which.join(", ")
            );
            Failure::misused(why).next(format!("sortie retry {}", first.deployment))
        }
        None => match members.iter().find(|member| member.goes_back()) {
            Some(member) => Refusal::GoesBack { deployment: member.deployment }.into(),
            None if is_over(package) => Refusal::DeploymentOver { deployment: number }.into(),
            None => Failure::new("NOTHING_TO_RETRY", exit::DONE, format!("no target failed in deployment {number}"))
                .next(format!("sortie status {number}")),
        },
    }
}

/// Nobody tries again by itself what somebody left out on purpose.
fn nothing_failed(view: &DeploymentView, status: &Status) -> Failure {
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
    let again = order::to_try_again(view, status);
    match left_out.is_empty() {
        true => failure(none).next(format!("sortie status {number}")),
        false => {
            let next = again.first().and_then(|line| line.split_once(": ")).map(|(_, next)| next.to_owned());
            failure(format!("{none}; left out were {}", left_out.join(", ")))
                .next(next.unwrap_or_else(|| format!("sortie status {number}")))
        }
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
    use crate::commands::samples::{deployment, status};
    use trust::statement::Phase;

    #[test]
    fn what_fails_again_of_what_is_over_is_a_failure_and_says_where() {
        let mut view = deployment(&[("prod-3", "verified"), ("prod-4", "undone")]);
        view.ending = Some(domain::event::Ending::Succeeded);
        let answer = of_what_is_over(&view);
        assert!(!answer.is_good());
        assert_eq!(answer.words(), "deployment 41 failed again on 1 of 2: prod-4.   (exit 4)");
        view.targets[1].state = "verified".into();
        let answer = of_what_is_over(&view);
        assert!(answer.is_good());
        assert_eq!(answer.words(), "deployment 41 is verified on prod-3, prod-4 too.");
    }

    #[test]
    fn nobody_tries_again_what_goes_back() {
        let mut view = deployment(&[("prod-1", "going back")]);
        view.ending = None;
        assert!(!view.goes_back());
        view.reason = Some("aborted by oncall".into());
        assert!(view.goes_back());
        view.ending = Some(domain::event::Ending::Undone);
        assert!(!view.goes_back());
    }

    #[test]
    fn what_failed_of_a_package_tries_again_as_a_member() {
        let package = deployment(&[]);
        let mut api = deployment(&[("prod-1", "verified"), ("prod-2", "failed")]);
        (api.deployment, api.app) = (43, "api".parse().unwrap());
        let mut db = deployment(&[("prod-1", "verified")]);
        db.deployment = 42;
        let problem = failed_members(&package, &[db.clone(), api]).problem;
        assert_eq!((problem.exit, problem.next.as_deref()), (exit::MISUSED, Some("sortie retry 43")));
        assert!(problem.message.ends_with(": api on prod-2 (deployment 43)"), "{}", problem.message);
        assert_eq!(failed_members(&package, &[db.clone()]).problem.exit, exit::DONE);
        let mut back = deployment(&[("prod-1", "going back"), ("prod-2", "failed")]);
        (back.ending, back.reason) = (None, Some("prod-2: verify: 503".into()));
        assert_eq!(failed_members(&package, &[db, back]).code(), "GOES_BACK");
        let mut package = deployment(&[]);
        let mut mail = deployment(&[("prod-1", "failed")]);
        (package.ending, mail.ending) = (Some(Ending::Failed), Some(Ending::Failed));
        assert_eq!(failed_members(&package, &[mail]).code(), "DEPLOYMENT_OVER");
    }

    #[test]
    fn those_try_again_that_failed_and_not_those_that_went_back() {
        let mut view =
            deployment(&[("prod-1", "verified"), ("prod-2", "undone"), ("prod-3", "undone"), ("prod-4", "absent")]);
        view.targets[2].failed_in = Some(Phase::Verify);
        let names: Vec<String> = failed(&view).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["prod-3", "prod-4"]);
        let mut status = status();
        status.targets.push(status.targets[0].clone());
        status.targets.last_mut().unwrap().name = "prod-4".parse().unwrap();
        let next_of = |view: &DeploymentView, status: &Status| nothing_failed(view, status).problem.next.unwrap();
        let asked = status.clone();
        let next = |view: &DeploymentView| next_of(view, &asked);
        assert_eq!(next(&view), "sortie status 41");
        view.targets[3].state = "left out".into();
        assert_eq!(next(&view), "sortie retry 41 --only prod-3,prod-4");
        view.targets.remove(2);
        assert_eq!(next(&view), "sortie retry 41 --only prod-4");
        status.targets.last_mut().unwrap().cordoned = true;
        assert_eq!(next_of(&view, &status), "sortie target uncordon prod-4", "a retry would be refused");
        let mut view = deployment(&[("prod-1", "verified"), ("prod-2", "verified")]);
        view.targets[1].unwell = Some("web-1 /healthz 503".into());
        assert_eq!(next(&view), "sortie exclude 41 prod-2 --reason …");
    }
}
