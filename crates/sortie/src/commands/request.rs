//! `sortie request`.

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    invocation::{Invocation, duration},
    names::Place,
    output::Answer,
    releasing::{self, Asking, Matter},
    standing,
};
use jiff::SignedDuration;
use std::time::Duration;
use trust::{AudienceName, PersonName, way::Way};

/// How often a request that is waited for is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Ask that a version be released to an audience
#[derive(Debug, clap::Args)]
pub struct Request {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// Wait until it is granted or turned down, this long
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
    #[command(flatten)]
    pub asking: Asking,
}

impl Request {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let wait = self.wait.as_deref().map(duration).transpose()?;
        self.asking.check()?;
        let connection = invocation.connect().await?;
        let matter = Matter::find(&connection, "request", &self.what, &self.place).await?;
        let (name, audience) = (matter.name(), matter.audience.clone());
        let (accepted, asked) = match matter.ask(&connection, &self.asking).await {
            Ok((accepted, asked)) => (Some(accepted), asked),
            // Whoever waits wants to know how it ends, whoever asked first.
            Err(failure) if failure.code() == "REQUEST_WAITING" && wait.is_some() => {
                (None, matter.request(&connection)?.ok_or(failure)?)
            }
            Err(failure) if failure.code() == "REQUEST_WAITING" => {
                let asked = matter.request(&connection)?;
                let stuck = asked.and_then(|asked| releasing::stuck_with(&connection, &matter, &asked));
                return Err(match stuck {
                    Some(who) => failure.but(&stuck_in_words(&who)).next(deny_command(&name, &audience)),
                    None => failure.next(format!("sortie why {name} --in {audience}")),
                });
            }
            Err(failure) => return Err(failure),
        };
        releasing::mind_deployers(invocation, &connection, &matter);
        let lacks = matter.lacks(&connection, &asked, &[])?;
        let waiting = standing::waiting(&matter, releasing::cell(&connection, &matter).await?.as_ref());
        let installs = if waiting.is_empty() { ", and neither installs anything" } else { "" };
        let waits = format!(
            "request {} for {name} → {audience}{}. Waiting for {}: approve takes it over, deny turns it down{installs}.",
            asked.request.serial,
            by(asked.request.way),
            releasing::lacks_with_people(&connection, &lacks)
        );
        let terms = matter.terms(&connection, asked.request.way)?;
        let mut lines = vec![waits];
        lines.extend(releasing::emergency_in_words(&terms, &asked.request, self.asking.reason.as_deref()));
        let stuck = releasing::stuck_with(&connection, &matter, &asked);
        lines.extend(stuck.as_ref().map(|who| format!("mind: {}", stuck_in_words(who))));
        lines.extend(standing::before_in_words(&matter, &waiting, false));
        let waits = lines.join("\n");
        let Some(limit) = wait else {
            let next = match stuck {
                Some(_) => deny_command(&name, &audience),
                None => format!("sortie approve {name} --to {audience}"),
            };
            return Ok(Answer::new(&accepted, waits).next(next));
        };
        invocation.say(&waits);
        wait_for(&connection, &matter, (asked.request.serial, &waiting), limit).await
    }
}

fn stuck_in_words(requester: &PersonName) -> String {
    format!(
        "{requester} asked for it and so does not count, and nobody else could approve it: deny it, and somebody else asks"
    )
}

fn deny_command(name: &str, audience: &AudienceName) -> String {
    format!("sortie deny {name} --to {audience} --reason …")
}

/// ` by BREAK-GLASS`; nothing for the normal way.
fn by(way: Way) -> String {
    if way.is_normal() { String::new() } else { format!(" by {}", way.word().to_uppercase()) }
}

/// Waits for the end of the request with this serial, and says what became of the deployments that wait for it.
async fn wait_for(
    connection: &Connection,
    matter: &Matter,
    (serial, waiting): (u64, &[u64]),
    limit: SignedDuration,
) -> Outcome {
    let (name, audience) = (matter.name(), &matter.audience);
    let seconds = u64::try_from(limit.as_secs()).unwrap_or(0);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds);
    loop {
        let cell = releasing::cell(connection, matter).await?;
        if let Some(released) = releasing::released(matter, cell.as_ref(), None) {
            let became = standing::became(connection, None, waiting).await?;
            let data = serde_json::to_value(released).unwrap_or_default();
            return Ok(standing::granted(connection, matter, cell.as_ref(), data, &became));
        }
        let waiting = cell.iter().flat_map(|cell| &cell.waiting);
        let stands = waiting.into_iter().any(|waiting| {
            matches!(waiting, domain::waiting::WaitingOn::Approvals { version, .. } if *version == matter.version)
        });
        if !stands {
            let message = format!("request {serial} for {name} to {audience} was denied");
            return Err(Failure::new("REQUEST_DENIED", domain::refusal::exit::REFUSED, message)
                .next(format!("sortie history {}", matter.found.app)));
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Failure::timed_out(format!("request {serial} for {name} to {audience} still waits"))
                .next(format!("sortie why {name} --in {audience}")));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
