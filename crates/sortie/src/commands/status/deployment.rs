//! `sortie status NUMBER`: a deployment as it stands, and what may be typed about it.

use crate::{
    connection::Connection,
    failure::{OrMisused, Outcome},
    follow::{finished, is_finished, rings, unfinished, went_back},
    order,
    output::{Answer, ago},
    package,
};
use api::{
    read::{DeploymentView, GuidanceView},
    routes,
};
use domain::event::Ending;
use jiff::Timestamp;

/// The deployment of this number: now, or as it was.
pub async fn deployment(connection: &Connection, number: &str, at: Option<Timestamp>) -> Outcome {
    let number: u64 = number.parse().or_misused()?;
    let path = routes::path(routes::DEPLOYMENT, &[&number.to_string()]);
    let moment = at.map(|at| at.to_string());
    let query: Vec<(&str, &str)> = moment.iter().map(|at| ("at", at.as_str())).collect();
    let view: DeploymentView = connection.client.get(&path, &query).await?;
    let words = deployment_in_words(&view, at.unwrap_or_else(Timestamp::now));
    let answer = Answer::new(&view, words);
    // What may be typed is about what is so now.
    if at.is_some() {
        return Ok(answer);
    }
    Ok(match view.ending {
        None => answer.next(next_while_open(&view)),
        Some(Ending::Succeeded) => answer,
        // Nothing goes again to where nothing is.
        Some(_) if connection.charter_environment(&view.environment).is_none() => answer,
        Some(_) => {
            // The whole board is asked for a proposal only: without it there is an answer all the same.
            let Ok(status) = order::status(connection, None).await else {
                return Ok(answer.next(format!("sortie status {} --in {}", view.app, view.environment)));
            };
            let asks =
                |name| connection.policy.charter.audience(name).is_some_and(|audience| audience.approve.is_some());
            let cell = order::cell(&status, &view.app, &view.environment);
            answer.next(order::again(&view, cell, asks(&view.environment)))
        }
    })
}

/// What may be typed about a deployment that is under way, or stands.
fn next_while_open(view: &DeploymentView) -> String {
    let (number, app, environment) = (view.deployment, &view.app, &view.environment);
    let says = |words: &str| view.waits.as_deref().is_some_and(|waits| waits.contains(words));
    match says("sortie resume") {
        // Somebody's word is refused before what the next ring waits for besides.
        true if says("; before that") => format!("sortie why {} --in {environment}", view.build.of(app)),
        true => format!("sortie resume {number}"),
        // What goes back comes to its end by itself.
        false if view.goes_back() => format!("sortie status {app} --in {environment}"),
        false => format!("sortie abort {number}"),
    }
}

/// A deployment as it stands, a line a target.
fn deployment_in_words(view: &DeploymentView, now: Timestamp) -> String {
    let ended = view.ended.map(|ended| format!(" {}", ago(ended, now))).unwrap_or_default();
    let stands = match (view.ending, &view.waits) {
        (Some(Ending::Succeeded), _) if view.settled.is_some() => format!("succeeded{ended}, settled"),
        (Some(Ending::Succeeded), None) if view.unsettled.is_some() => {
            format!("succeeded{ended}; {}", view.unsettled.as_deref().unwrap_or_default())
        }
        (Some(Ending::Succeeded), Some(waits)) => format!("succeeded{ended}; {waits}"),
        (Some(Ending::Succeeded), None) => format!("succeeded{ended}"),
        (Some(Ending::Undone), _) => format!("undone{ended}"),
        (Some(Ending::Failed), _) => format!("failed{ended}"),
        (Some(Ending::Dropped), _) => format!("dropped{ended}"),
        (Some(Ending::Aborted), _) if view.reason.is_some() => format!("ended{ended}"),
        (Some(Ending::Aborted), _) => format!("ended by hand{ended}"),
        (Some(Ending::Superseded), _) => format!("superseded{ended}"),
        (None, Some(waits)) => match &view.never {
            Some(why) => format!("{waits}; it will be dropped: {why}"),
            None if view.goes_back() => format!("it goes back; {waits}"),
            None => waits.clone(),
        },
        (None, None) => "under way".into(),
    };
    let what = view.build.of(&view.app);
    let act = view.act.word();
    let mut lines = vec![format!(
        "deployment {}: {act} {what} in {}, ordered by {} {}: {stands}",
        view.deployment,
        view.environment,
        view.deployer,
        ago(view.requested, now)
    )];
    lines.extend(view.reason.iter().map(|reason| format!("  because {reason}")));
    lines.extend(view.remains.iter().map(|remains| format!("  mind: {remains}")));
    let ends = view.expires.filter(|_| view.stands && view.never.is_none());
    lines.extend(ends.map(|expires| format!("  it is dropped if it has not begun by {expires:.0}")));
    lines.extend(view.warnings.iter().map(|warning| format!("  mind: {warning}")));
    lines.extend(view.package.map(|package| format!("  a part of deployment {package}: sortie status {package}")));
    lines.extend(view.guided.iter().map(|guidance| format!("  {}", guided(guidance, now))));
    lines.extend(view.members.iter().map(|member| format!("  {}", package::member_in_words(view, member))));
    let width = view.targets.iter().map(|part| part.target.as_str().len()).max().unwrap_or(0);
    let (rings, mut said) = (rings(view), None);
    for part in &view.targets {
        let ring = rings.get(&part.target);
        if ring != said {
            lines.extend(ring.map(|ring| format!("  {ring}:")));
            said = ring;
        }
        let words = if is_finished(part) { finished(part) } else { unfinished(part) };
        let before = part.before.as_ref().filter(|before| before.build != view.build.build && !went_back(part));
        let before = before.map(|before| format!("   (before: {})", before.short())).unwrap_or_default();
        lines.push(format!("  {:<width$}  {words}{before}", part.target.as_str()));
    }
    lines.join("\n")
}

/// `oncall paused it 3 min ago: the database is down`.
fn guided(guidance: &GuidanceView, now: Timestamp) -> String {
    let names: Vec<String> = guidance.targets.iter().map(ToString::to_string).collect();
    let what = if names.is_empty() { "it".into() } else { names.join(", ") };
    let reason = guidance.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{} {} {what} {}{reason}", guidance.by, guidance.word, ago(guidance.at, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::{self, time};
    use domain::waiting::WaitingOn;

    #[test]
    fn no_word_is_proposed_that_a_freeze_refuses() {
        let mut view = samples::deployment(&[("prod-1", "verified"), ("prod-2", "waiting")]);
        let from = samples::time("10:10:00");
        let frozen = WaitingOn::Freeze { deployment: 41, freeze: 3, until: samples::time("18:00:00") };
        let word = |besides| WaitingOn::Word { deployment: 41, ring: "canary".into(), from, besides };
        view.waits = Some(word(None).to_string());
        assert_eq!(next_while_open(&view), "sortie resume 41");
        view.waits = Some(word(Some(Box::new(frozen.clone()))).to_string());
        assert_eq!(next_while_open(&view), "sortie why web@1.5.0 --in prod");
        // What is paused is let go on whenever somebody says so, and begins when it may.
        let (by, besides) = (Some("oncall".parse().unwrap()), Some(Box::new(frozen)));
        let paused = WaitingOn::Person { deployment: 41, by, failure: None, expires: None, besides };
        view.waits = Some(paused.to_string());
        assert_eq!(next_while_open(&view), "sortie resume 41");
        assert!(
            paused
                .to_string()
                .ends_with("; besides, deployment 41 waits for freeze 3, which ends at 2026-11-22T18:00:00Z")
        );
        view.waits = None;
        assert_eq!(next_while_open(&view), "sortie abort 41");
    }

    #[test]
    fn a_deployment_s_number_tells_how_it_stands() {
        let mut view = samples::deployment(&[("prod-1", "verified"), ("prod-2", "at it")]);
        let words = deployment_in_words(&view, time("10:05:00"));
        assert!(
            words.starts_with("deployment 41: deploy web@1.5.0 in prod, ordered by oncall 5 min ago: under way\n"),
            "{words}"
        );
        assert!(words.contains("prod-1  fetch ✓") && words.ends_with("prod-2  at it   (before: 1.4.0)"), "{words}");
        view.ending = Some(Ending::Undone);
        view.reason = Some("prod-2: verify: /healthz 503".into());
        assert!(
            deployment_in_words(&view, time("10:05:00")).contains("undone\n  because prod-2: verify: /healthz 503")
        );
    }
}
