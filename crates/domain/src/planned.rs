//! What an order would do, known before it is given, with an id by which it can be ordered: exactly that, or a refusal.

use crate::{
    event::{Event, RingOf},
    rules::schedule,
    state::State,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trust::{AppName, AudienceName, Digest, TargetName, Version, rollout::Rollout, statement::OrderAct};

/// What an order would do by a state. Whatever may differ from one moment to another and matters to whoever planned stands here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// The application.
    pub app: AppName,
    /// Where.
    pub environment: AudienceName,
    /// What would be done.
    pub act: OrderAct,
    /// The build that it would be done with.
    pub build: Digest,
    /// Its version.
    pub version: Option<Version>,
    /// The targets in the order in which they would have their turn.
    pub targets: Vec<PlannedTarget>,
    /// Of a package, the targets of each member that does not run there already as it says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<AppName, Vec<PlannedTarget>>,
    /// The rings that they would be divided into; none where there is one only.
    pub rings: Vec<RingOf>,
    /// How it would go over them.
    pub rollout: Option<Box<Rollout>>,
    /// The config that they would get: its serial and its document.
    pub config: Option<(u64, Digest)>,
    /// Whether it would wait for its permit.
    pub awaits_permit: bool,
    /// Not before this moment.
    pub at: Option<Timestamp>,
    /// Not from this moment on.
    pub expires: Option<Timestamp>,
    /// Whether the data would stay as later migrations left it.
    pub keep_data: bool,
    /// The deployment whose place it would take.
    pub supersedes: Option<u64>,
}

/// A plan, and what whoever makes it should know besides.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// What the order would do.
    pub planned: Planned,
    /// What whoever gives it would be warned of.
    pub warnings: Vec<String>,
    /// Which of its targets would be left out, since nobody has heard of them for a while, and get it once they are back.
    pub away: BTreeSet<TargetName>,
    /// How many waves it would take if all goes well; none of a package, which goes in steps.
    pub waves: usize,
}

/// One target in a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedTarget {
    /// Its name.
    pub target: TargetName,
    /// What runs there now.
    pub running: Option<Digest>,
    /// The serial of the config that it runs with.
    pub config_serial: u64,
    /// Whether it was stopped.
    pub stopped: bool,
}

impl Planned {
    /// What `event` would begin in `state`, of a package with what each member's targets would be; nothing where it is no order
    /// of a deployment.
    pub(crate) fn of(state: &State, event: &Event, members: &BTreeMap<AppName, Vec<TargetName>>) -> Option<Self> {
        let Event::DeploymentRequested {
            deployment: _,
            app,
            environment,
            act,
            build,
            version,
            targets,
            awaits_permit,
            warnings: _,
            deployer: _,
            rollout,
            rings,
            narrowed: _,
            schedule,
            keep_data,
            package: _,
            only: _,
            planned_there: _,
        } = event
        else {
            return None;
        };
        let here = state.in_audience(app, environment);
        Some(Self {
            app: app.clone(),
            environment: environment.clone(),
            act: *act,
            build: *build,
            version: version.clone(),
            targets: planned(state, app, targets),
            members: members.iter().map(|(app, targets)| (app.clone(), planned(state, app, targets))).collect(),
            rings: rings.clone(),
            rollout: rollout.clone(),
            config: here.and_then(|record| record.config.as_ref()).map(|config| (config.serial, config.document)),
            awaits_permit: *awaits_permit,
            // The windows of an order are those of the charter as written out at the moment of signing.
            at: schedule.at,
            expires: schedule.expires,
            keep_data: *keep_data,
            supersedes: here.and_then(|record| record.queued).filter(|_| schedule::takes_place(*act)),
        })
    }

    /// By what it is ordered: the digest of all of it as sorted JSON.
    pub fn id(&self) -> Digest {
        Digest::of(&trust::json::sorted(self).unwrap_or_default())
    }
}

fn planned(state: &State, app: &AppName, targets: &[TargetName]) -> Vec<PlannedTarget> {
    let one = |name: &TargetName| {
        let running = state.running(app, name);
        PlannedTarget {
            target: name.clone(),
            running: running.map(|running| running.build),
            config_serial: running.map_or(0, |running| running.config_serial),
            stopped: running.is_some_and(|running| running.stopped),
        }
    };
    targets.iter().map(one).collect()
}
