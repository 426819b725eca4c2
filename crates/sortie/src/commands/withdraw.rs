//! `sortie withdraw`.

use crate::{
    connection::Connection,
    context::write_whole,
    failure::{Failure, Outcome},
    invocation::Invocation,
    names::Place,
    output::Answer,
    releasing::{self, Matter},
    sign,
};
use anyhow::Context as _;
use api::{
    read::{Cell, DeploymentView, Released, WayBack},
    routes,
};
use domain::{refusal::Refusal, waiting::WaitingOn};
use serde_json::json;
use std::path::PathBuf;
use trust::{
    AppName, Digest,
    dsse::Envelope,
    statement::{Act, Order, OrderAct, Withdrawal},
};

mod by_witness;

/// Take permission back, for good. Says how far that reaches
#[derive(Debug, clap::Args)]
pub struct Withdraw {
    /// The version: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// Why
    #[arg(long)]
    pub reason: String,
    /// Order what runs of it there to stop as well: two acts, two entries
    #[arg(long)]
    pub stop: bool,
    /// Write the signed withdrawal to this file too, before the server hears of it: to be carried to targets with
    /// `sortie agent withdraw FILE`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Bring it to the witness, and not to the server, which may be away or in wrong hands: the witness keeps it, passes it
    /// on, and signs for nothing that hides it
    #[arg(long, value_name = "URL#PIN", conflicts_with = "stop")]
    pub witness: Option<String>,
}

impl Withdraw {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        if let Some(witness) = &self.witness {
            return by_witness::run(invocation, &self, witness).await;
        }
        let mut connection = invocation.connect().await?;
        let matter = Matter::find(&connection, "withdraw", &self.what, &self.place).await?;
        let (name, audience) = (matter.name(), matter.audience.clone());
        // What comes by a package alone was never asked for by itself, and is withdrawn as if it had been once.
        let by_package = u64::from(!matter.view.packages.is_empty());
        let through_serial = matter.view.next_serial.saturating_sub(1).max(by_package);
        if through_serial == 0 {
            let next = format!("sortie status {name} --in {audience}");
            return Err(Failure::from(Refusal::UnknownRequest).next(next));
        }
        let text = sign::text(&self.reason)?;
        let act = Act::Withdrawal(Withdrawal {
            app: matter.found.app.clone(),
            version: matter.version.clone(),
            audience: audience.clone(),
            through_serial,
            reason: Some(text.digest()),
        });
        let (envelope, whom) = connection.sign_act(&name, matter.found.build, act)?;
        self.write_out(invocation, &envelope)?;
        let texts: Vec<_> = [text].into_iter().chain(whom).collect();
        let accepted = connection.client.submit(&sign::submission(envelope, &[], &texts)).await?;
        let cell = releasing::cell(&connection, &matter).await?;
        let is_channel = connection.charter_environment(&audience).is_none();
        let reach = releasing::reach_in_words(is_channel, &matter, cell.as_ref());
        let words = match is_channel {
            true => format!("{name} is withdrawn from {audience}. {reach}"),
            false => format!("{name} may no longer be deployed to {audience}. {reach}"),
        };
        let runs = cell.iter().flat_map(|cell| &cell.runs).any(|runs| runs.build.build == matter.found.build);
        if self.stop && runs {
            connection.next_act();
            return stop(&connection, &matter, &words).await;
        }
        let answer = Answer::new(&json!({ "withdrawn": accepted, "reach": reach }), words);
        if let Some(next) = under_way(&connection, &matter, cell.as_ref()).await {
            return Ok(answer.next(next));
        }
        let Some(cell) = cell.filter(|_| runs) else { return Ok(answer) };
        let query = [("app", matter.found.app.as_str()), ("environment", audience.as_str())];
        let back = connection.client.get::<WayBack>(routes::ROLLBACK, &query).await;
        Ok(answer.next(instead(&matter.found.app, &cell, back.map_err(Failure::from))))
    }
}

/// What may run in the place of what was withdrawn: what the server goes back to, or another version that is released there. Where
/// there is neither, it can only be removed.
fn instead(app: &AppName, cell: &Cell, back: Result<WayBack, Failure>) -> String {
    let place = &cell.audience;
    match back {
        Ok(_) => format!("sortie rollback {app} --in {place}"),
        Err(failure) if failure.code() == "NOTHING_TO_ROLL_BACK_TO" => {
            let is_held = |released: &Released| cell.held.iter().any(|held| held.build == released.build);
            let runs = |released: &Released| cell.runs.iter().any(|runs| runs.build.build == released.build);
            match cell.released.iter().find(|released| !is_held(released) && !runs(released)) {
                Some(other) => format!("sortie deploy {app}@{} --to {place}", other.version),
                None => format!("sortie undeploy {app} --in {place}"),
            }
        }
        // The withdrawal counts, whatever else could not be found out.
        Err(failure) if failure.code() == "DEPLOYMENT_UNDER_WAY" => {
            failure.problem.next.unwrap_or_else(|| format!("sortie status {app} --in {place}"))
        }
        Err(_) => format!("sortie status {app} --in {place}"),
    }
}

impl Withdraw {
    fn write_out(&self, invocation: &Invocation, envelope: &Envelope) -> Result<(), Failure> {
        let Some(path) = &self.out else { return Ok(()) };
        let bytes = serde_json::to_vec_pretty(envelope).context("a withdrawal").map_err(Failure::from)?;
        write_whole(path, &bytes)?;
        invocation.aside(&format!("signed into {}: `sortie agent withdraw` takes it to a target", path.display()));
        Ok(())
    }
}

/// What ends the deployment that is at bringing it, where one is: a rollback is refused meanwhile.
async fn under_way(connection: &Connection, matter: &Matter, cell: Option<&Cell>) -> Option<String> {
    let waiting = cell.into_iter().flat_map(|cell| &cell.waiting);
    // Several may stand there, and only one of them brings it.
    for number in waiting.filter_map(WaitingOn::deployment) {
        let path = routes::path(routes::DEPLOYMENT, &[&number.to_string()]);
        // It was accepted: what cannot be read now makes the answer shorter, and is no failure.
        let view = connection.client.get::<DeploymentView>(&path, &[]).await;
        if let Some(ends) = view.ok().and_then(|view| ends_it(&view, &matter.found.build)) {
            return Some(ends);
        }
    }
    None
}

/// What ends a deployment that brings the build and has begun.
fn ends_it(view: &DeploymentView, build: &Digest) -> Option<String> {
    let number = view.deployment;
    let has_begun = view.targets.iter().any(|part| part.wave.is_some()) || !view.members.is_empty();
    let is_it = view.build.build == *build && view.act.installs() && view.ending.is_none() && has_begun;
    is_it.then(|| match view.reason {
        // It goes back already.
        Some(_) => format!("sortie status {number}"),
        None => format!("sortie abort {number} --reason …"),
    })
}

/// The second act of `--stop`: withdrawing never stops anything by itself.
async fn stop(connection: &Connection, matter: &Matter, withdrawn: &str) -> Outcome {
    let act = Act::Order(Order {
        version: Some(matter.version.clone()),
        ..Order::new(matter.found.app.clone(), matter.audience.clone(), OrderAct::Stop)
    });
    let accepted = connection.submit(&matter.name(), matter.found.build, act).await?;
    let words = format!("{}, until the stop that is ordered now.", withdrawn.trim_end_matches('.'));
    let data = json!({ "withdrawn": withdrawn, "ordered": accepted });
    Ok(Answer::new(&data, words).next(format!("sortie status {} --in {}", matter.found.app, matter.audience)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;

    /// R31: what is under way is ended, and not rolled back before it has come.
    #[test]
    fn r31_what_is_under_way_is_ended_by_its_number() {
        let mut view = samples::deployment(&[("prod-1", "verified"), ("prod-2", "at it")]);
        view.targets[0].wave = Some(1);
        let build = view.build.build;
        assert_eq!(ends_it(&view, &build).as_deref(), Some("sortie abort 41 --reason …"));
        assert_eq!(ends_it(&view, &samples::build("1.4.0").build), None);
        view.reason = Some("prod-1: verify: 503".into());
        assert_eq!(ends_it(&view, &build).as_deref(), Some("sortie status 41"));
        view.ending = Some(domain::event::Ending::Undone);
        assert_eq!(ends_it(&view, &build), None);
    }

    #[test]
    fn r31_what_is_proposed_instead_is_there() {
        let app: AppName = "web".parse().unwrap();
        let mut cell = samples::status().apps[0].cells[2].clone();
        let nothing = || {
            let (app, environment) = ("web".parse().unwrap(), "prod".parse().unwrap());
            Err(Refusal::NothingToRollBackTo { app, environment, held: false, passed: Vec::new(), named: None }.into())
        };
        let back = Ok(WayBack { to: samples::build("1.3.0") });
        assert_eq!(instead(&app, &cell, back), "sortie rollback web --in prod");
        // 1.4.0 runs and was withdrawn; 1.5.0 was released and is held out, until somebody lifts that.
        cell.released = samples::status().apps[0].cells[1].released.clone();
        assert_eq!(instead(&app, &cell, nothing()), "sortie undeploy web --in prod");
        cell.held.clear();
        assert_eq!(instead(&app, &cell, nothing()), "sortie deploy web@1.5.0 --to prod");
        cell.released.clear();
        assert_eq!(instead(&app, &cell, nothing()), "sortie undeploy web --in prod");
        let away = Failure::failed("the server is away");
        assert_eq!(instead(&app, &cell, Err(away)), "sortie status web --in prod");
    }
}
