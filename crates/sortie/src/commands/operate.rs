//! Orders that act on what runs: undeploy, stop, start, restart, and new config. One order a distinct running build.

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    follow::{Following, follow},
    invocation::Invocation,
    names::{self, Place, Thing},
    order::{self, Wanted, only},
    output,
};
use api::read::{BuildName, Cell, Runs, Status};
use domain::{
    event::Ending,
    refusal::{Refusal, RunsInstead},
    waiting::WaitingOn,
};
use std::collections::BTreeSet;
use trust::{AppName, AudienceName, TargetName, statement::OrderAct};

/// What runs, as it was typed.
#[derive(Clone, Debug)]
pub struct Running {
    /// The application.
    pub app: AppName,
    /// Where.
    pub environment: AudienceName,
    /// On these targets only; empty means all.
    pub only: BTreeSet<TargetName>,
    /// One of its builds, where not all are meant.
    pub thing: Option<Thing>,
}

/// On what a verb acts: `sortie undeploy|stop|start|restart APP --in ENVIRONMENT`.
#[derive(Debug, clap::Args)]
pub struct OnWhatRuns {
    /// The application; web@1.4.0 where several versions run and one is meant
    #[arg(value_name = "APP")]
    pub app: String,
    #[command(flatten)]
    pub place: Place,
    /// These targets only
    #[arg(long, value_name = "TARGET", value_delimiter = ',')]
    pub only: Vec<String>,
    #[command(flatten)]
    pub following: Following,
}

impl OnWhatRuns {
    /// Does it, under the verb that was typed.
    pub async fn run(self, invocation: &Invocation, (verb, act): (&str, OrderAct)) -> Outcome {
        let thing = Thing::parse(verb, &self.app)?;
        let only = only(&self.only)?;
        self.following.limit()?;
        let connection = invocation.connect().await?;
        let environment = connection.environment(&self.place)?;
        let running = Running { app: thing.app().clone(), environment, only, thing: Some(thing) };
        if act == OrderAct::Start {
            something_is_stopped(&order::status(&connection, None).await?, &running)?;
        }
        act_on_running(invocation, &connection, &running, act, &self.following).await
    }
}

/// Gives one order for each distinct build that runs. One deployment of an application runs in an environment at a
/// time, so each but the last is followed to its end.
pub async fn act_on_running(
    invocation: &Invocation,
    connection: &Connection,
    running: &Running,
    act: OrderAct,
    following: &Following,
) -> Outcome {
    let status = order::status(connection, None).await?;
    are_there(&status, &running.environment, &running.only)?;
    let mut orders = orders(&status, running, act)?;
    let Some(last) = orders.pop() else {
        return Err(nothing_runs(connection, &status, running, act).await?);
    };
    // What is refused of one is found out before anything is done with the others.
    if !orders.is_empty() {
        for wanted in orders.iter().chain([&last]) {
            order::preview(connection, wanted).await?;
        }
    }
    for wanted in orders {
        let accepted = order::submit(connection, &wanted).await?;
        let deployment = order::number_of(&accepted)
            .ok_or_else(|| Failure::failed("the server accepted the order and named no deployment"))?;
        let view = follow(invocation, connection, deployment, following.limit()?).await?;
        if view.ending != Some(Ending::Succeeded) {
            return order::conclude(connection, &view).await;
        }
    }
    order::order(invocation, connection, &last, following).await
}

/// Fails where a target that was named is none of the environment's: that says nothing about what runs.
pub fn are_there(status: &Status, environment: &AudienceName, only: &BTreeSet<TargetName>) -> Result<(), Failure> {
    for name in only {
        match status.targets.iter().find(|target| target.name == *name) {
            Some(target) if target.environment == *environment => {}
            Some(target) => {
                let message = format!("{name} is in {}, not in {environment}", target.environment);
                return Err(Failure::misused(message).next(format!("sortie target list --in {environment}")));
            }
            None => {
                let known = status.targets.iter().map(|target| &target.name);
                let nearest = names::nearest(name.as_str(), known).cloned();
                return Err(Refusal::UnknownTarget { name: name.clone(), nearest }.into());
            }
        }
    }
    Ok(())
}

/// Fails for a start where all that is meant runs already, and runs well: nothing would change. What is under way there may
/// change that, as a stop that nobody has carried out yet does; then the start is ordered, or refused by what moves.
fn something_is_stopped(status: &Status, running: &Running) -> Result<(), Failure> {
    let Running { app, environment, only, thing } = running;
    let is_meant = |name: &&TargetName| only.is_empty() || only.contains(*name);
    let cell = order::cell(status, app, environment);
    if cell.is_some_and(|cell| cell.waiting.iter().any(may_change_what_runs)) {
        return Ok(());
    }
    let runs: Vec<&Runs> = cell.into_iter().flat_map(Cell::all_runs).filter(|runs| meant(runs, thing)).collect();
    let on: BTreeSet<&TargetName> = runs.iter().flat_map(|runs| &runs.on).filter(is_meant).collect();
    let is_stopped_or_unwell = |runs: &&Runs| {
        runs.stopped
            || runs.stopped_on.iter().chain(runs.unwell.keys()).chain(runs.unclear.keys()).any(|name| on.contains(name))
    };
    if on.is_empty() || runs.iter().any(is_stopped_or_unwell) {
        return Ok(());
    }
    let what =
        format!("{app} runs in {environment} on {}, and is stopped on none", output::count(on.len() as u64, "target"));
    Err(Refusal::AlreadyDone { what, since: None }.into())
}

/// Whether what is waited for can still change what runs. A request that lacks approvals and a soak cannot; what is planned for
/// later is not under way.
fn may_change_what_runs(waiting: &WaitingOn) -> bool {
    !matches!(waiting, WaitingOn::Approvals { .. } | WaitingOn::Soak { .. } | WaitingOn::Time { .. })
}

/// Why there is nothing to act on. What is to be removed and does not run is gone already, whatever it was called.
async fn nothing_runs(
    connection: &Connection,
    status: &Status,
    running: &Running,
    act: OrderAct,
) -> Result<Failure, Failure> {
    let Running { app, environment, only, thing } = running.clone();
    // A version or build that nobody knows is a mistake, and no answer about what runs.
    let named = match thing.filter(|thing| !matches!(thing, Thing::App(_))) {
        Some(thing) => Some(connection.look_up(&thing).await?.of(&app)),
        None => None,
    };
    let runs = runs_there(status, running);
    let is_here = |name: &TargetName| {
        status.targets.iter().any(|target| target.name == *name && target.environment == environment)
    };
    // What is on its way there is not gone.
    let cell = order::cell(status, &app, &environment);
    let is_planned = |waits: &&WaitingOn| matches!(waits, WaitingOn::Time { .. });
    let (planned, others): (Vec<_>, Vec<_>) = cell.iter().flat_map(|cell| &cell.waiting).partition(is_planned);
    let comes = !others.is_empty();
    if act != OrderAct::Undeploy || !runs.is_empty() || comes || !only.iter().all(is_here) {
        let elsewhere = cell.is_some_and(|cell| cell.all_runs().next().is_some());
        if runs.is_empty() && elsewhere && !only.is_empty() {
            let on = only.iter().map(TargetName::as_str).collect::<Vec<_>>().join(", ");
            return Ok(does_not_run_on(&app, &on));
        }
        let instead = named.filter(|_| !runs.is_empty()).map(|named| Box::new(RunsInstead { named, runs }));
        return Ok(Refusal::NothingRuns { app, environment, act, instead }.into());
    }
    // A name that nobody knows is a mistake.
    connection.app(&app).await?;
    let stands = planned.iter().map(|waits| format!(", and {waits}")).collect::<String>();
    Ok(Refusal::AlreadyDone { what: format!("{app} is not deployed in {environment}{stands}"), since: None }.into())
}

/// What of the application runs where something was to be acted on.
fn runs_there(status: &Status, running: &Running) -> BTreeSet<String> {
    let Running { app, environment, only, .. } = running;
    let runs = order::cell(status, app, environment).into_iter().flat_map(Cell::all_runs);
    let is_there = |runs: &&Runs| only.is_empty() || runs.on.iter().any(|name| only.contains(name));
    runs.filter(is_there).map(|runs| runs.build.short()).collect()
}

/// The orders for what runs. Each names the targets that run its build, unless all targets run one build and all are
/// meant. What is removed from all is removed for who comes later too; a package's version that stands goes last.
pub fn orders(status: &Status, running: &Running, act: OrderAct) -> Result<Vec<Wanted>, Failure> {
    let Running { app, environment, only, thing } = running;
    let Some(cell) = order::cell(status, app, environment) else { return Ok(Vec::new()) };
    // What is left of a package is acted on as the whole would be: its members' targets are those that run them.
    let stands = cell.runs.iter().chain(&cell.partly).map(|runs| (runs, false));
    let all = cell.beside.iter().map(|runs| (runs, true)).chain(stands);
    let all: Vec<(&Runs, bool)> = all.filter(|(runs, _)| meant(runs, thing)).collect();
    let for_all = only.is_empty() && (all.len() == 1 || act == OrderAct::Undeploy);
    let mut orders = Vec::new();
    for (runs, is_beside) in all {
        let on: BTreeSet<TargetName> =
            runs.on.iter().filter(|name| only.is_empty() || only.contains(*name)).cloned().collect();
        if on.is_empty() {
            continue;
        }
        let order = Wanted::new(app.clone(), runs.build.clone(), environment.clone(), act);
        // What else runs what it lists did not come with it.
        orders.push(Wanted { only: if for_all && !is_beside { BTreeSet::new() } else { on }, ..order });
    }
    let there = |name: &TargetName| orders.iter().any(|order| order.only.contains(name));
    match only.iter().find(|name| !there(name)) {
        Some(name) if !orders.is_empty() => Err(does_not_run_on(app, name.as_str())),
        _ => Ok(orders),
    }
}

fn does_not_run_on(app: &AppName, on: &str) -> Failure {
    Failure::new("NOTHING_RUNS", 3, format!("{app} does not run on {on}")).next(format!("sortie status {app}"))
}

fn meant(runs: &Runs, thing: &Option<Thing>) -> bool {
    let BuildName { build, version } = &runs.build;
    match thing {
        None | Some(Thing::App(_)) => true,
        Some(Thing::Version(_, wanted)) => version.as_ref() == Some(wanted),
        Some(Thing::Build(_, digits)) => build.hex().starts_with(digits.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;

    fn running(only: &[&str]) -> Running {
        Running {
            app: "web".parse().unwrap(),
            environment: "prod".parse().unwrap(),
            only: only.iter().map(|name| name.parse().unwrap()).collect(),
            thing: None,
        }
    }

    #[test]
    fn one_order_a_running_build() {
        let mut status = samples::status();
        let orders = |status: &Status, running: &Running| orders(status, running, OrderAct::Stop);
        let all = orders(&status, &running(&[])).unwrap();
        assert_eq!((all.len(), all[0].only.len()), (1, 0), "all targets run one build");
        let cell = &mut status.apps[0].cells[2];
        let mut newer = cell.runs[0].clone();
        newer.build = samples::build("1.5.0");
        newer.on = vec![cell.runs[0].on.pop().unwrap()];
        cell.runs.push(newer);
        let two = orders(&status, &running(&[])).unwrap();
        assert_eq!(
            two.iter().map(|order| (order.build.short(), order.only.len())).collect::<Vec<_>>(),
            [("1.4.0".to_string(), 2), ("1.5.0".to_string(), 1)]
        );
        let removed = super::orders(&status, &running(&[]), OrderAct::Undeploy).unwrap();
        assert!(
            removed.len() == 2 && removed.iter().all(|order| order.only.is_empty()),
            "nobody gets it who comes later"
        );
        let one = orders(&status, &running(&["prod-3"])).unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(orders(&status, &running(&["prod-1", "test-1"])).unwrap_err().problem.exit, 3);
        let named =
            Running { thing: Some(Thing::Version("web".parse().unwrap(), "1.4.0".parse().unwrap())), ..running(&[]) };
        assert_eq!(orders(&status, &named).unwrap().len(), 1);
    }

    #[test]
    fn a_target_that_was_mistyped_is_said_to_be_unknown() {
        let mut status = samples::status();
        let mut target = status.targets.first().cloned().unwrap();
        (target.name, target.environment) = ("test-9".parse().unwrap(), "test".parse().unwrap());
        status.targets.push(target);
        let refused = |only: &[&str]| {
            let running = running(only);
            let problem = are_there(&status, &running.environment, &running.only).unwrap_err().problem;
            (problem.code.clone(), problem.message.clone())
        };
        assert_eq!(refused(&["nope"]), ("UNKNOWN_TARGET".into(), "no target is called nope".into()));
        assert!(refused(&["prod-1", "prod-9"]).1.contains("did you mean prod-"));
        assert_eq!(refused(&["test-9"]).1, "test-9 is in test, not in prod");
        assert!(are_there(&status, &"prod".parse().unwrap(), &BTreeSet::from(["prod-1".parse().unwrap()])).is_ok());
    }

    #[test]
    fn what_runs_already_is_not_started() {
        let mut status = samples::status();
        let refused = something_is_stopped(&status, &running(&[])).unwrap_err().problem;
        assert_eq!((refused.exit, refused.code.as_str()), (0, "ALREADY_DONE"));
        let runs = &mut status.apps[0].cells[2].runs[0];
        runs.stopped_on = vec![runs.on[0].clone()];
        assert!(something_is_stopped(&status, &running(&[])).is_ok());
        assert!(something_is_stopped(&status, &running(&["prod-3"])).is_err(), "another one is stopped");
        // A stop was ordered, and the target is at it.
        let cell = &mut status.apps[0].cells[2];
        cell.runs[0].stopped_on.clear();
        let (targets, until) = (vec!["prod-1".parse().unwrap()], samples::time("11:00:00"));
        cell.waiting = vec![WaitingOn::Targets { deployment: 42, targets, until }];
        assert!(something_is_stopped(&status, &running(&[])).is_ok());
        // A soak changes nothing.
        status.apps[0].cells[2].waiting = vec![WaitingOn::Soak { deployment: 41, until }];
        assert!(something_is_stopped(&status, &running(&[])).is_err());
    }

    /// R8: where one target has nothing of a package any more, the next order is about what is left.
    #[test]
    fn what_is_left_of_a_package_is_acted_on_as_the_whole_would_be() {
        let mut status = samples::status();
        let cell = &mut status.apps[0].cells[2];
        cell.partly = std::mem::take(&mut cell.runs);
        let left = orders(&status, &running(&[]), OrderAct::Undeploy).unwrap();
        assert_eq!((left.len(), left[0].only.len(), left[0].act), (1, 0, OrderAct::Undeploy));
        let one = orders(&status, &running(&["prod-3"]), OrderAct::Undeploy).unwrap();
        assert_eq!(one[0].only.len(), 1);
        // Another version that came to one target goes first, and from there only.
        let cell = &mut status.apps[0].cells[2];
        let mut other = cell.partly[0].clone();
        (other.build, other.on) = (samples::build("1.3.0"), vec![cell.partly[0].on.pop().unwrap()]);
        cell.beside = vec![other];
        let both = orders(&status, &running(&[]), OrderAct::Undeploy).unwrap();
        let said = |order: &Wanted| (order.build.short(), order.only.len());
        assert_eq!(both.iter().map(said).collect::<Vec<_>>(), [("1.3.0".to_string(), 1), ("1.4.0".to_string(), 0)]);
        // Where nothing else is, that is what there is.
        status.apps[0].cells[2].partly.clear();
        let alone = orders(&status, &running(&[]), OrderAct::Undeploy).unwrap();
        assert_eq!(alone.iter().map(said).collect::<Vec<_>>(), [("1.3.0".to_string(), 1)]);
    }
}
