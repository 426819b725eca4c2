//! `sortie deny`.

use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
    names::Place,
    output::Answer,
    releasing::{self, Matter},
    sign,
};
use domain::refusal::Refusal;
use trust::statement::{Act, Withdrawal};

/// Turn a request down that is not granted yet
#[derive(Debug, clap::Args)]
pub struct Deny {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// Why
    #[arg(long)]
    pub reason: Option<String>,
}

impl Deny {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let connection = invocation.connect().await?;
        let matter = Matter::find(&connection, "deny", &self.what, &self.place).await?;
        let (name, audience) = (matter.name(), &matter.audience);
        let unknown = || Failure::from(Refusal::UnknownRequest).next(format!("sortie status {name} --in {audience}"));
        let request = matter.request(&connection)?.ok_or_else(unknown)?;
        let cell = releasing::cell(&connection, &matter).await?;
        if releasing::released(&matter, cell.as_ref(), None).is_some() {
            return Err(Failure::misused(format!(
                "{name} is released to {audience} already: there is nothing to deny"
            ))
            .next(format!("sortie withdraw {name} --from {audience} --reason …")));
        }
        let texts: Vec<_> = self.reason.as_deref().map(sign::text).transpose()?.into_iter().collect();
        let act = Act::Withdrawal(Withdrawal {
            app: matter.found.app.clone(),
            version: matter.version.clone(),
            audience: audience.clone(),
            through_serial: request.request.serial,
            reason: texts.first().map(api::write::Text::digest),
        });
        let accepted = connection.submit_with(&name, matter.found.build, act, &[], &texts).await?;
        let words = format!(
            "request {} for {name} → {audience} is denied, for good. It can be asked for anew.",
            request.request.serial
        );
        // Whoever takes their own request back may count as an approver of somebody else's.
        let own = connection.me().is_some_and(|(name, _)| request.requester == Some(name));
        let may_count = connection.policy.charter.audience(audience).is_some_and(|audience| !audience.excludes_author);
        match own && !may_count {
            true => Ok(Answer::new(&accepted, format!("{words} Let somebody else ask: whoever asks may not count."))
                .next(format!("sortie why {name} --in {audience}"))),
            false => Ok(Answer::new(&accepted, words)),
        }
    }
}
