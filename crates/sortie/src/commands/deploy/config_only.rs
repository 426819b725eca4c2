//! The plan of a change of config: what runs stays, and gets the config in force.

use super::{
    changes::{self, ConfigChanged, config_in_words},
    id_of, seen_or_refused, with_next_of,
};
use crate::{
    commands::operate::{self, Running},
    connection::Connection,
    failure::{Failure, Outcome},
    order::{self, Wanted},
    output::Answer,
};
use api::{problem::Problem, read::BuildName};
use domain::{refusal::Refusal, refusal::exit};
use serde::Serialize;
use trust::{AudienceName, TargetName, schedule::Schedule, statement::OrderAct};

/// What would be changed.
#[derive(Debug, Serialize)]
struct Plan {
    what: String,
    environment: AudienceName,
    targets: Vec<Configured>,
    config: Vec<ConfigChanged>,
    /// An order for each build that runs there.
    orders: Vec<Ordered>,
}

#[derive(Debug, Serialize)]
struct Configured {
    target: TargetName,
    runs: BuildName,
    from: u64,
    to: u64,
}

#[derive(Debug, Serialize)]
struct Ordered {
    build: BuildName,
    /// By what exactly this is ordered; nothing where it would be refused.
    id: Option<String>,
    /// Why it would be refused.
    refused: Option<Problem>,
}

/// Says what the newest config would change.
pub async fn plan(connection: &Connection, running: &Running) -> Outcome {
    let Running { app, environment, .. } = running;
    let now = changes::config_of(connection, app, environment, None).await?;
    let what = format!("config of {app}");
    let (targets, config, orders) = Default::default();
    let mut plan = Plan { what, environment: environment.clone(), targets, config, orders };
    let mut planned = Vec::new();
    for wanted in orders_of(connection, running).await? {
        let (view, refused) = seen_or_refused(connection, &wanted).await?;
        for target in view.iter().flat_map(|view| &view.planned.targets) {
            let (runs, from, to) = (wanted.build.clone(), target.config_serial, now.serial);
            plan.targets.push(Configured { target: target.target.clone(), runs, from, to });
            planned.push(target.clone());
        }
        plan.orders.push(Ordered { build: wanted.build, id: view.as_ref().map(id_of), refused });
    }
    plan.config = changes::config(connection, app, environment, &now, planned.iter()).await?;
    let answer = Answer::new(&plan, in_words(&plan));
    Ok(match &plan.orders[..] {
        [Ordered { id, refused, .. }] => with_next_of(answer, id.as_deref(), refused.as_ref(), &Schedule::default()),
        _ => answer.next(format!("sortie deploy {app} --to {environment} --config-only")),
    })
}

/// The one order that a plan's id stands for.
pub async fn only_order(connection: &Connection, running: &Running) -> Result<Wanted, Failure> {
    let mut orders = orders_of(connection, running).await?;
    match (orders.pop(), orders.is_empty()) {
        (Some(wanted), true) => Ok(wanted),
        (other, _) => {
            let Running { app, environment, .. } = running;
            let one = other.map_or_else(|| app.to_string(), |wanted| wanted.build.of(app));
            let message =
                format!("several builds of {app} run in {environment}, and a plan's id stands for one: name it");
            Err(Failure::new("PLAN_STALE", exit::CONFLICT, message)
                .next(format!("sortie deploy {one} --to {environment} --config-only --plan")))
        }
    }
}

/// An order for each build that runs there. Fails where none does.
async fn orders_of(connection: &Connection, running: &Running) -> Result<Vec<Wanted>, Failure> {
    let status = order::status(connection, None).await?;
    let orders = operate::orders(&status, running, OrderAct::Configure)?;
    if orders.is_empty() {
        let Running { app, environment, .. } = running.clone();
        return Err(Refusal::NothingRuns { app, environment, act: OrderAct::Configure, instead: None }.into());
    }
    Ok(orders)
}

fn in_words(plan: &Plan) -> String {
    let mut lines = vec![format!("{} → {}: this is a plan, nothing was written", plan.what, plan.environment)];
    let width = plan.targets.iter().map(|configured| configured.target.as_str().len()).max().unwrap_or(0);
    for Configured { target, runs, from, to } in &plan.targets {
        let runs = runs.short();
        let change = match from == to {
            true => format!("config {to}, as it is"),
            false => format!("config {from} → {to}"),
        };
        lines.push(format!("  {:<width$}  {runs}  {change}", target.as_str()));
    }
    lines.extend(plan.config.iter().map(config_in_words));
    let refused = plan.orders.iter().filter_map(|order| order.refused.as_ref());
    lines.extend(refused.map(|refused| format!("✗ it would be refused now: {}", refused.message)));
    lines.join("\n")
}
