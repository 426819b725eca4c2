//! `sortie review`: ends the alarm about an emergency, by somebody who had no part in it.

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    invocation::Invocation,
    names::{Place, Thing},
    output::Answer,
    sign,
};
use api::{
    read::{Emergency, Status},
    routes,
};
use domain::refusal::Refusal;
use trust::{
    AppName, AudienceName, Digest, Version,
    statement::{Act, Request, Review as ReviewAct, Statement},
};

/// Say that you have looked at an emergency release you had no part in
#[derive(Debug, clap::Args)]
pub struct Review {
    /// The version: web@1.4.1
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// What you found
    #[arg(long, value_name = "TEXT")]
    pub finding: Option<String>,
}

impl Review {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let (app, version) = Thing::parse_version("review", &self.what)?;
        let connection = invocation.connect().await?;
        let audience = connection.audience(&self.place)?;
        let emergency = oldest(&connection, &app, &version, &audience).await?;
        let (payload, request) = signed_request(&connection, &emergency).await?;
        invocation.say(&in_words(&emergency));
        let texts: Vec<_> = self.finding.as_deref().map(sign::text).transpose()?.into_iter().collect();
        let act = Act::Review(ReviewAct {
            app,
            version,
            audience: audience.clone(),
            finding: texts.first().map(api::write::Text::digest),
        });
        let name = format!("request {} for {}@{} to {audience}", request.serial, request.app, request.version);
        let accepted = connection.submit_with(&name, payload, act, &[], &texts).await?;
        let words = format!("{} is reviewed. Nothing on any target changed.", emergency.headline());
        Ok(Answer::new(&accepted, words).next("sortie escapes"))
    }
}

/// The oldest emergency of the version that waits for a review there.
async fn oldest(
    connection: &Connection,
    app: &AppName,
    version: &Version,
    audience: &AudienceName,
) -> Result<Emergency, Failure> {
    let status: Status = connection.client.get(routes::STATUS, &[("app", app.as_str())]).await?;
    let fits = |emergency: &Emergency| emergency.version == *version && emergency.audience == *audience;
    let nothing =
        || Refusal::NothingToReview { app: app.clone(), version: version.clone(), audience: audience.clone() };
    Ok(status.emergencies.into_iter().find(fits).ok_or_else(nothing)?)
}

/// The request of an emergency as its requester signed it, found in the ledger and checked on this machine.
async fn signed_request(connection: &Connection, emergency: &Emergency) -> Result<(Digest, Request), Failure> {
    let name = connection.look_up(&Thing::Version(emergency.app.clone(), emergency.version.clone())).await?;
    let view = connection.dossier(&emergency.app, &name, Some(&emergency.audience)).await?;
    let mut found = None;
    for envelope in view.dossier.request.iter().chain(&view.earlier_requests) {
        let Ok(Statement { act: Act::Request(request), .. }) = connection.open(Some(envelope), "request") else {
            continue;
        };
        if request.serial == emergency.serial && request.way == emergency.way {
            found = Some((Digest::of(&envelope.payload), request));
        }
    }
    found.ok_or_else(|| Failure::integrity("the server shows no signed request for this emergency"))
}

/// What is reviewed, in lines.
fn in_words(emergency: &Emergency) -> String {
    let people = |names: &[trust::PersonName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let runs: Vec<String> = emergency.runs_on.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        format!("‼ {}", emergency.headline()),
        format!("  requested by {}, approved by {}", emergency.requester, people(&emergency.approvers)),
        format!(
            "  waived: {}",
            if emergency.waives.is_empty() { "nothing".into() } else { emergency.waives.join(", ") }
        ),
        format!(
            "  why: {}",
            emergency.reason.as_deref().map_or("the reason was erased".into(), trust::names::printable)
        ),
    ];
    lines.push(match runs.is_empty() {
        true => "  it runs nowhere there".into(),
        false => format!("  it runs on {}", runs.join(", ")),
    });
    lines.join("\n")
}
