//! `sortie release`.

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    follow::{Following, follow},
    invocation::Invocation,
    names::Place,
    order::{self, Wanted},
    output::Answer,
    releasing::{self, Asking, Matter},
    standing::{self, Became},
};
use api::read::BuildName;
use domain::refusal::exit;
use trust::{AudienceName, quorum::Rule, statement::OrderAct, way::Way};

/// Give an audience permission over a version, where you may do so alone. Installs nothing
#[derive(Debug, clap::Args)]
pub struct Release {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// Order its deployment as well and follow it to its end: two acts, two entries
    #[arg(long)]
    pub deploy: bool,
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub following: Following,
}

impl Release {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        self.asking.check()?;
        self.following.limit()?;
        if !self.deploy && (self.following.detach || self.following.wait.is_some()) {
            let message = "a release installs nothing that could be followed: --detach and --wait go with --deploy";
            return Err(Failure::misused(message));
        }
        let way = self.asking.way;
        let mut connection = invocation.connect().await?;
        let matter = Matter::find(&connection, "release", &self.what, &self.place).await?;
        matter.not_below_floor()?;
        let cell = releasing::cell(&connection, &matter).await?;
        let (name, audience) = (matter.name(), matter.audience.clone());
        if let Some(released) = releasing::released(&matter, cell.as_ref(), Some(way)) {
            let words =
                format!("{name} is already released to {audience} since {:.0}. Nothing was written.", released.since);
            if self.deploy {
                invocation.say(&words);
                return order_deployment(invocation, &connection, &matter, &self.following, &words).await;
            }
            let answer = Answer::new(released, words);
            return Ok(answer.next(releasing::deploy_command(&connection, &matter)));
        }
        may_alone(&connection, &matter, way)?;
        let (asked, reason) = match matter.ask(&connection, &self.asking).await {
            Ok((_, asked)) => (asked, self.asking.reason.clone()),
            // Somebody asked already: agreeing to that request is what is left to do.
            Err(failure) if failure.code() == "REQUEST_WAITING" => {
                let asked = matter.request(&connection)?.ok_or(failure)?;
                let reason = releasing::reason(&matter, &asked)?.map(str::to_string);
                (asked, reason)
            }
            Err(failure) => return Err(failure),
        };
        let terms = matter.terms(&connection, asked.request.way)?;
        let emergency = releasing::emergency_in_words(&terms, &asked.request, reason.as_deref());
        if !emergency.is_empty() {
            invocation.say(&emergency.join("\n"));
        }
        let waiting = standing::waiting(&matter, cell.as_ref());
        for line in standing::before_in_words(&matter, &waiting, true) {
            invocation.aside(&format!("mind: {line}"));
        }
        connection.next_act();
        let accepted = matter.approve(&connection, &asked).await?;
        if !releasing::is_granted(&accepted) {
            let key = connection.identity.signer.public().id();
            let lacks = matter.lacks(&connection, &asked, &[key])?;
            let lacking = releasing::lacks_with_people(&connection, &lacks);
            let words =
                format!("you approved {name} for {audience}; still missing: {lacking}. Nothing is released yet.");
            return Ok(Answer::new(&accepted, words).next(format!("sortie why {name} --in {audience}")));
        }
        let became = standing::became(&connection, Some(&accepted), &waiting).await?;
        let data = serde_json::to_value(&accepted).unwrap_or_default();
        let answer = standing::granted(&connection, &matter, cell.as_ref(), data, &became);
        if !self.deploy {
            return Ok(answer);
        }
        invocation.say(answer.words());
        match became.iter().find(|(_, became)| *became == Became::Begins) {
            // What stood begins with the release: it is the deployment that is wanted.
            Some(_) if self.following.detach => Ok(answer),
            Some((number, _)) => {
                let limit = self.following.limit()?;
                let view = follow(invocation, &connection, *number, limit).await?;
                let followed = order::conclude(&connection, &view).await?;
                Ok(followed.with("released", answer.words()))
            }
            None => {
                connection.next_act();
                order_deployment(invocation, &connection, &matter, &self.following, answer.words()).await
            }
        }
    }
}

/// The second act of `--deploy`, an entry of its own, followed as `sortie deploy` follows it.
async fn order_deployment(
    invocation: &Invocation,
    connection: &Connection,
    matter: &Matter,
    following: &Following,
    released: &str,
) -> Outcome {
    let build = BuildName { build: matter.found.build, version: Some(matter.version.clone()) };
    let wanted = Wanted::new(matter.found.app.clone(), build, matter.audience.clone(), OrderAct::Deploy);
    let answer = order::order(invocation, connection, &wanted, following).await?;
    Ok(answer.with("released", released))
}

/// Fails with who must agree, unless the signer's own approval suffices.
fn may_alone(connection: &Connection, matter: &Matter, way: Way) -> Result<(), Failure> {
    let rule = matter.rule(connection, way)?;
    let audience = &matter.audience;
    let excluded = matter.terms(connection, way)?.excludes_author;
    let alone = releasing::suffices(connection, &rule);
    match alone && !excluded {
        true => Ok(()),
        false => Err(Failure::new(
            "ROLE_MISSING",
            exit::REFUSED,
            role_missing(audience, &rule, alone, &connection.my_roles()),
        )
        .next(format!("sortie request {} --to {audience}{}", matter.name(), option(way)))),
    }
}

/// ` --way hotfix --reason …`; nothing for the normal way.
fn option(way: Way) -> String {
    if way.is_normal() { String::new() } else { format!(" --way {way} --reason …") }
}

fn role_missing(audience: &AudienceName, rule: &Rule, alone: bool, roles: &str) -> String {
    match alone {
        true => format!("{audience} needs {rule}, and whoever asks does not count: ask, and somebody else approves"),
        false => format!("{audience} needs {rule}; you are {roles}"),
    }
}
