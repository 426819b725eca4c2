//! `sortie approve`.

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    invocation::Invocation,
    names::Place,
    output::Answer,
    releasing::{self, Matter, SignedRequest},
    standing,
};
use api::write::Accepted;
use domain::{refusal::Refusal, waiting::lacks_in_words};
use shown::Shown;
use trust::RoleName;

mod shown;

/// Agree to a release, after this machine has checked what is to be signed
#[derive(Debug, clap::Args)]
pub struct Approve {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// Sign without asking
    #[arg(short, long)]
    pub yes: bool,
}

impl Approve {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let connection = invocation.connect().await?;
        let matter = Matter::find(&connection, "approve", &self.what, &self.place).await?;
        let (name, audience) = (matter.name(), matter.audience.clone());
        matter.not_below_floor()?;
        let nothing = || Failure::from(Refusal::UnknownRequest).next(format!("sortie request {name} --to {audience}"));
        let request = matter.request(&connection)?.ok_or_else(nothing)?;
        let shown = shown::inspect(&connection, &matter, &request).await?;
        invocation.say(&shown.lines.join("\n"));
        let cell = releasing::cell(&connection, &matter).await?;
        let waiting = standing::waiting(&matter, cell.as_ref());
        let own = [connection.identity.signer.public().id()];
        let lacks = matter.lacks(&connection, &request, &own)?;
        for line in standing::before_in_words(&matter, &waiting, lacks.is_empty()) {
            invocation.say(&format!("  ‼ {line}"));
        }
        let role = role_in_words(&connection, &matter, &request);
        if !self.yes {
            let question = format!("sign with {} as {role}?", connection.identity.label);
            if !invocation.confirm(&question) {
                return Err(Failure::failed(format!(
                    "{name} is not approved, nothing was signed: {}",
                    invocation.unconfirmed()
                ))
                .next(format!("sortie approve {name} --to {audience} --yes")));
            }
        }
        let accepted = matter.approve(&connection, &request).await?;
        let cell = releasing::cell(&connection, &matter).await?;
        let data = signed(&accepted, &shown);
        if releasing::is_granted(&accepted) {
            let became = standing::became(&connection, Some(&accepted), &waiting).await?;
            let answer = standing::granted(&connection, &matter, cell.as_ref(), data, &became);
            return Ok(answer.after(&format!("approved as {role}. ")));
        }
        let runs = releasing::runs_in_words(&audience, cell.as_ref());
        let words =
            format!("approved as {role}. Still missing: {}. {runs}; nothing was installed.", lacks_in_words(&lacks));
        Ok(Answer::new(&data, words).next(format!("sortie why {name} --in {audience}")))
    }
}

/// The answer as data: the entry, and what was shown before it was signed.
fn signed(accepted: &Accepted, shown: &Shown) -> serde_json::Value {
    let mut data = serde_json::to_value(accepted).unwrap_or_default();
    if let Some(fields) = data.as_object_mut() {
        fields.insert("shown".into(), serde_json::to_value(&shown.facts).unwrap_or_default());
    }
    data
}

/// The signer's roles that the request asks for.
fn role_in_words(connection: &Connection, matter: &Matter, request: &SignedRequest) -> String {
    let mine = connection.me().map(|(_, roles)| roles).unwrap_or_default();
    let missing = matter.lacks(connection, request, &[]).unwrap_or_default();
    let asked = request.request.requires.roles();
    let fits = |role: &&RoleName| mine.contains(*role);
    let wanted: Vec<&RoleName> = missing.iter().map(|lack| &lack.role).filter(fits).collect();
    let all: Vec<&RoleName> = if wanted.is_empty() { asked.iter().filter(fits).collect() } else { wanted };
    match all.is_empty() {
        true => connection.my_roles(),
        false => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
    }
}
