//! Deployments that stand until a version is released: whoever releases it begins them, and is told so before and after.

use crate::{
    connection::Connection,
    failure::Failure,
    output::Answer,
    releasing::{self, Matter},
};
use api::{
    read::{Cell, DeploymentView},
    routes,
    write::Accepted,
};
use domain::{
    event::{Ending, Event},
    waiting::WaitingOn,
};

/// The deployments that wait for this very version to be released there.
pub fn waiting(matter: &Matter, cell: Option<&Cell>) -> Vec<u64> {
    let is_meant = |waiting: &WaitingOn| match waiting {
        WaitingOn::Permit { deployment, version, audience } => {
            let meant = version.as_ref() == Some(&matter.version) && *audience == matter.audience;
            meant.then_some(*deployment)
        }
        _ => None,
    };
    cell.iter().flat_map(|cell| &cell.waiting).filter_map(is_meant).collect()
}

/// What whoever signs should know before, a line for each that waits.
pub fn before_in_words(matter: &Matter, waiting: &[u64], is_last_missing: bool) -> Vec<String> {
    let what = format!("{} is released to {}", matter.name(), matter.audience);
    let begins = match is_last_missing {
        true => "it begins with this",
        false => "it begins with the last approval",
    };
    waiting.iter().map(|number| format!("deployment {number} stands until {what}: {begins}")).collect()
}

/// What became of one that waited for the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// It has begun.
    Begins,
    /// It still waits, for something else.
    Stands(String),
    /// It came to nothing.
    Over(String),
}

/// What became of those that waited, by the entry of the release itself where it is ours, and by how they are now.
pub async fn became(
    connection: &Connection,
    accepted: Option<&Accepted>,
    waiting: &[u64],
) -> Result<Vec<(u64, Became)>, Failure> {
    let mut all = Vec::new();
    for number in waiting {
        if accepted.is_some_and(|accepted| begins(accepted, *number)) {
            all.push((*number, Became::Begins));
            continue;
        }
        let path = routes::path(routes::DEPLOYMENT, &[&number.to_string()]);
        let view: DeploymentView = connection.client.get(&path, &[]).await?;
        all.push((*number, by_view(&view)));
    }
    Ok(all)
}

fn begins(accepted: &Accepted, number: u64) -> bool {
    accepted.events.iter().any(|event| match event {
        Event::WaveStarted { deployment, .. } | Event::StepStarted { deployment, .. } => *deployment == number,
        _ => false,
    })
}

fn by_view(view: &DeploymentView) -> Became {
    let why = || view.reason.clone().unwrap_or_else(|| "its time was over".into());
    match (view.ending, &view.waits) {
        (Some(Ending::Dropped | Ending::Aborted | Ending::Superseded), _) => Became::Over(why()),
        (None, Some(waits)) if view.stands => Became::Stands(waits.clone()),
        _ => Became::Begins,
    }
}

/// The answer to a release: what it did and did not do, those that waited included, and what to type next.
pub fn granted(
    connection: &Connection,
    matter: &Matter,
    cell: Option<&Cell>,
    data: serde_json::Value,
    became: &[(u64, Became)],
) -> Answer {
    let Some(next) = became.iter().find(|(_, became)| !matches!(became, Became::Over(_))) else {
        let lines = became.iter().map(|(number, became)| in_words(*number, became));
        let granted = releasing::granted_in_words(connection, matter, cell);
        let words = std::iter::once(granted).chain(lines).collect::<Vec<_>>().join("\n");
        return Answer::new(&data, words).next(releasing::deploy_command(connection, matter));
    };
    let lines: Vec<String> = became.iter().map(|(number, became)| in_words(*number, became)).collect();
    let runs = releasing::runs_in_words(&matter.audience, cell);
    let words = format!("{} is released to {}: {runs}.\n{}", matter.name(), matter.audience, lines.join("\n"));
    Answer::new(&with_numbers(data, became), words).next(format!("sortie status {}", next.0))
}

/// `deployment 11 begins.`
pub fn in_words(number: u64, became: &Became) -> String {
    match became {
        Became::Begins => format!("deployment {number} begins."),
        Became::Stands(waits) => format!("{waits}; it begins by itself then."),
        Became::Over(why) => format!("deployment {number} was dropped: {why}."),
    }
}

/// The data of an answer with the numbers of the deployments that begin with it.
pub fn with_numbers(mut data: serde_json::Value, became: &[(u64, Became)]) -> serde_json::Value {
    let numbers = |meant: fn(&Became) -> bool| -> Vec<u64> {
        became.iter().filter(|(_, became)| meant(became)).map(|(number, _)| *number).collect()
    };
    if let Some(fields) = data.as_object_mut() {
        fields.insert("begins".into(), numbers(|became| *became == Became::Begins).into());
        fields.insert("stands".into(), numbers(|became| matches!(became, Became::Stands(_))).into());
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::deployment;

    #[test]
    fn what_waited_for_a_release_begins_stands_on_or_is_over() {
        let mut view = deployment(&[("prod-1", "waiting")]);
        assert_eq!(by_view(&view), Became::Begins);
        view.waits = Some("deployment 41 waits for prod-1".into());
        assert_eq!(by_view(&view), Became::Begins);
        (view.waits, view.stands) = (Some("deployment 41 waits for freeze 1, which ends at …".into()), true);
        let stands = by_view(&view);
        assert_eq!(
            in_words(41, &stands),
            "deployment 41 waits for freeze 1, which ends at …; it begins by itself then."
        );
        (view.ending, view.reason) = (Some(Ending::Dropped), Some("web@1.5.0 is held out of prod".into()));
        let over = by_view(&view);
        assert_eq!(in_words(41, &over), "deployment 41 was dropped: web@1.5.0 is held out of prod.");
        let data = with_numbers(serde_json::json!({}), &[(40, Became::Begins), (41, stands), (42, over)]);
        assert_eq!(data, serde_json::json!({ "begins": [40], "stands": [41] }));
    }
}
