//! One deployment.

use super::{
    build_name, lags, packages,
    words::{self, Texts},
};
use api::read::{DeploymentView, GuidanceView, PartView};
use domain::{
    entry::Entry,
    event::{Ending, Event},
    outlook, plan,
    rules::{late, presence, rollback, rollout, schedule, soak},
    state::{Aside, Deployment, DeploymentPhase, Doubt, Guidance, MemberPart, Part, Progress, Stamp, State, apply},
    waiting::WaitingOn,
};
use jiff::Timestamp;
use std::collections::BTreeSet;
use trust::{
    TargetName,
    statement::{OrderAct, Outcome, Phase},
};

/// The deployment, if the state still has it. `names` is the state that knows builds and what runs, which is the same
/// one unless the deployment was read from old entries.
pub(crate) fn deployment(
    state: &State,
    names: &State,
    number: u64,
    now: Timestamp,
    texts: Texts<'_>,
) -> Option<DeploymentView> {
    let record = state.deployments.get(&number)?;
    let (ending, ended, settled, reason) = match &record.phase {
        DeploymentPhase::Ended { ending, stamp, settled, reason } => {
            (Some(*ending), Some(stamp.time), settled.map(|settled| settled.time), reason.clone())
        }
        DeploymentPhase::Undoing { reason } => (None, None, None, Some(reason.clone())),
        DeploymentPhase::AwaitingPermit | DeploymentPhase::Running | DeploymentPhase::Baking(_) => {
            (None, None, None, None)
        }
    };
    let waits = plan::waits(state, number, now);
    Some(DeploymentView {
        deployment: number,
        app: record.app.clone(),
        environment: record.environment.clone(),
        act: record.act,
        build: build_name(names, &record.app, &record.build),
        deployer: state.shown(&record.deployer),
        requested: record.stamp.time,
        ending,
        ended,
        settled,
        reason: reason.map(|reason| trust::names::printable(&reason)),
        never: never(state, number, now),
        stands: waits.as_ref().is_some_and(WaitingOn::stands),
        waits: waits.map(|waits| waits.to_string()),
        unsettled: soak::cut_short(state, number),
        remains: remains(state, names, number, record),
        failure: failure(state, record).map(|failure| trust::names::printable(&failure)),
        at: record.schedule.at,
        expires: record.schedule.expires,
        warnings: schedule::warnings(names, record).cloned().collect(),
        rollout: rollout::of(names, record).into_owned(),
        rings: record.rings.iter().map(|ring| (ring.name.clone(), ring.targets)).collect(),
        waves: waves(names, record),
        keep_data: record.keep_data,
        guided: guided(state, record).iter().map(|guidance| guidance_view(names, guidance, texts)).collect(),
        targets: record.parts.iter().map(|(target, part)| part_view(names, number, record, target, part)).collect(),
        members: packages::members(names, record),
        package: record.package.as_ref().map(|package| package.deployment),
    })
}

/// What is left of a deployment that goes back, failed or was ended.
fn remains(state: &State, names: &State, number: u64, record: &Deployment) -> Vec<String> {
    let is_over = match &record.phase {
        DeploymentPhase::Ended { ending: Ending::Undone | Ending::Failed | Ending::Aborted, .. } => true,
        DeploymentPhase::Undoing { .. } => false,
        _ => return Vec::new(),
    };
    let Deployment { app, environment, build, .. } = record;
    let here = state.in_audience(app, environment);
    let changed = here.is_some_and(|here| here.data.changes.iter().any(|change| change.deployment == number));
    let migrate = names.apps.get(app).and_then(|app| app.builds.get(build)?.facts.migrate);
    let has_undo = migrate.is_some_and(|migrate| migrate.has_undo);
    let stays = (changed && (is_over || !has_undo)).then(|| {
        let what = build_name(names, app, build).of(app);
        match has_undo {
            true => format!("the data is as {what} changed it, or may be"),
            false => format!("the data stays as {what} changed it, which has no undo"),
        }
    });
    let is_unsaid = |name: &&TargetName| presence::unsaid(state, name, app) == Some(number);
    let unsaid: Vec<&TargetName> = record.parts.iter().map(|(name, _)| name).filter(is_unsaid).collect();
    let unsaid = (!unsaid.is_empty()).then(|| lags::unsaid(&unsaid, "it"));
    stays.into_iter().chain(unsaid).chain(runs_on(names, record)).collect()
}

/// Whether a target runs a build again that something else had taken the place of.
fn runs_again(state: &State, record: &Deployment, target: &TargetName) -> bool {
    state.running(&record.app, target).is_some_and(|running| running.build == record.build)
}

/// That what is held out runs on where something else had taken its place and went back, and what leads away from it.
fn runs_on(state: &State, record: &Deployment) -> Option<String> {
    let Deployment { app, environment, build, .. } = record;
    let here = state.in_audience(app, environment).filter(|here| here.held.contains_key(build))?;
    let replaced = record.parts.iter().filter(|(_, part)| part.aside == Some(Aside::Replaced)).map(|(name, _)| name);
    let on: BTreeSet<TargetName> = replaced.filter(|name| runs_again(state, record, name)).cloned().collect();
    let names = words::names(&on.iter().collect::<Vec<_>>());
    let what = build_name(state, app, build).of(app);
    let may = here.open_deployment.is_none() && rollback::back(state, app, environment, &on).is_ok();
    let only = || on.iter().map(TargetName::as_str).collect::<Vec<_>>().join(",");
    let leaves = may.then(|| format!(": `sortie rollback {app} --in {environment} --only {}` leaves it", only()));
    (!on.is_empty())
        .then(|| format!("{what} is held out of {environment} and runs on {names} again{}", leaves.unwrap_or_default()))
}

/// Why an order that stands will be dropped when its time comes.
fn never(state: &State, number: u64, now: Timestamp) -> Option<String> {
    let stands = state.deployments.get(&number).is_some_and(|record| record.waves == 0);
    let mut outlooks = stands.then(|| outlook::outlooks(state, now)).into_iter().flatten();
    let outlook = outlooks.find(|outlook| outlook.deployment == number)?;
    outlook.never.map(|why| trust::names::printable(&why))
}

/// Why it paused by itself; a package does where every member that is under way has.
fn failure(state: &State, record: &Deployment) -> Option<String> {
    let of = |record: &Deployment| record.paused.as_ref().and_then(|pause| pause.failure.clone());
    if !record.is_of_package() {
        return of(record);
    }
    let begun = record.members.values().filter_map(|part| match part {
        MemberPart::Begun(number) => state.deployments.get(number),
        MemberPart::Waiting | MemberPart::InPlace => None,
    });
    let is_open = |member: &&Deployment| !matches!(member.phase, DeploymentPhase::Ended { .. });
    let mut open = begun.filter(is_open).map(|member| (member, of(member), member.parts.busy().next().is_some()));
    let (member, first, is_busy) = open.next()?;
    let stands = !is_busy && open.all(|(_, failure, is_busy)| failure.is_some() && !is_busy);
    first.filter(|_| stands).map(|failure| format!("{}: {failure}", member.app))
}

/// How many waves it takes, as far as can be known.
fn waves(state: &State, record: &Deployment) -> u32 {
    u32::try_from(rollout::waves_of(state, record)).unwrap_or(u32::MAX)
}

/// What people said of a deployment; of a package, what they said of its members as well: who was left out of it has a part
/// in those alone. One word may have been for several of them.
fn guided(state: &State, record: &Deployment) -> Vec<Guidance> {
    let mut all: Vec<Guidance> = record.guided.iter().cloned().collect();
    for (_, _, member) in domain::rules::packages::begun(state, record) {
        for guidance in &member.guided {
            let same = |other: &&mut Guidance| {
                (other.stamp.entry, other.word, &other.by) == (guidance.stamp.entry, guidance.word, &guidance.by)
            };
            match all.iter_mut().find(same) {
                Some(known) => {
                    known.targets.extend(guidance.targets.iter().cloned());
                    known.targets.sort();
                    known.targets.dedup();
                }
                None => all.push(guidance.clone()),
            }
        }
    }
    all.sort_by_key(|guidance| guidance.stamp.entry);
    all
}

fn guidance_view(state: &State, guidance: &Guidance, texts: Texts<'_>) -> GuidanceView {
    GuidanceView {
        at: guidance.stamp.time,
        by: state.shown(&guidance.by),
        word: guidance.word.word().into(),
        targets: guidance.targets.clone(),
        reason: guidance.reason.as_ref().and_then(texts).map(|reason| trust::names::printable(&reason)),
    }
}

fn part_view(state: &State, number: u64, record: &Deployment, target: &TargetName, part: &Part) -> PartView {
    let is_over = matches!(record.phase, DeploymentPhase::Ended { .. });
    let (word, detail) = match &part.progress {
        Progress::Finished(Outcome::Verified) if part.aside == Some(Aside::Replaced) => {
            let runs_again = runs_again(state, record, target);
            ("verified", Some(if runs_again { "it runs there again" } else { "it runs there no longer" }.into()))
        }
        Progress::Finished(Outcome::Verified) => ("verified", how_it_is(part)),
        _ if part.aside == Some(Aside::Left) => ("left out", Some("it left for good".into())),
        _ if part.aside == Some(Aside::Cordoned) => ("left out", Some("it is cordoned".into())),
        _ if part.aside == Some(Aside::Away) => ("absent", Some("nobody had heard of it for a while".into())),
        // Whoever was left out while it was unwell goes back with the others.
        Progress::Undoing(_) => ("going back", None),
        Progress::Undone => ("undone", None),
        _ if part.aside == Some(Aside::Excluded) => ("left out", Some(left_out(part))),
        Progress::Waiting if part.is_staged() => ("staged", Some("it is not activated yet".into())),
        Progress::Finished(Outcome::Undone { phase, reason }) if part.is_staged() => {
            ("staged", Some(format!("{} failed: {reason}", phase.word())))
        }
        Progress::Finished(Outcome::Refused { code, reason }) if part.is_staged() => {
            ("staged", Some(format!("refused: {code}: {reason}")))
        }
        Progress::Waiting if is_over => ("not begun", None),
        Progress::Waiting => ("waiting", None),
        Progress::Assigned(_) => ("at it", None),
        Progress::Finished(Outcome::Failed { reason, .. }) if part.absent => ("absent", Some(reason.clone())),
        Progress::Finished(Outcome::Undone { phase, reason }) => {
            ("undone", Some(format!("{} failed: {reason}", phase.word())))
        }
        Progress::Finished(Outcome::Failed { phase, reason }) => {
            ("failed", Some(format!("{} failed: {reason}", phase.word())))
        }
        Progress::Finished(Outcome::Refused { code, reason }) => ("refused", Some(format!("{code}: {reason}"))),
    };
    let failed_in = match &part.progress {
        Progress::Finished(Outcome::Undone { phase, .. } | Outcome::Failed { phase, .. }) if !part.absent => {
            Some(*phase)
        }
        _ => None,
    };
    let refused = match &part.progress {
        Progress::Finished(Outcome::Refused { code, .. }) => Some(code.clone()),
        _ => None,
    };
    let running = state.running(&record.app, target).filter(|running| running.deployment == number);
    PartView {
        target: target.clone(),
        state: word.into(),
        detail: detail.map(|detail| trust::names::printable(&detail)),
        failed_in,
        unwell: unwell(part),
        once_heard: (word == "absent").then(|| once_heard(state, number, record, target)),
        refused,
        wave: (part.wave > 0).then_some(part.wave),
        before: part.before.as_ref().map(|build| build_name(state, &record.app, build)),
        phases: part.phases.clone(),
        endpoints: running.map(|running| running.endpoints.clone()).unwrap_or_default(),
    }
}

/// What becomes of a target that was left out since nothing was heard of it, once something is.
fn once_heard(state: &State, number: u64, record: &Deployment, target: &TargetName) -> String {
    let Deployment { app, environment, act, .. } = record;
    let on_target = state.targets.get(target).and_then(|there| there.apps.get(app));
    let assigned = on_target.and_then(|on_target| on_target.assigned);
    let own = assigned.filter(|assigned| assigned.deployment == number);
    let is_told = own.is_some() && plan::is_at_something(state, target, app);
    let comes = || late::missed(state, target, app).is_some_and(|(missed, _)| missed == number);
    if is_told && own.is_some_and(|own| own.undo) {
        return "it goes back once it returns".into();
    }
    let ending = match &record.phase {
        _ if is_told || comes() => return "left out until it returns".into(),
        DeploymentPhase::Ended { ending, .. } => *ending,
        DeploymentPhase::Undoing { .. } => return "left out".into(),
        _ => return "left out until it returns".into(),
    };
    if let Some(newer) = assigned.filter(|assigned| assigned.deployment > number) {
        return format!("it is not asked again: deployment {} came to it since", newer.deployment);
    }
    let runs = on_target.is_some_and(|on_target| on_target.running.is_some());
    let is_there = state.targets.get(target).is_some_and(|target| !target.retired);
    // Of a package, one member alone would not be what it says.
    let may = (act.controls() || *act == OrderAct::Undeploy) && runs && is_there && record.package.is_none();
    let verb = act.word();
    let again = may.then(|| format!("; to ask it: sortie {verb} {app} --in {environment} --only {target}"));
    format!("it is not asked again: deployment {number} {}{}", words::ending_word(ending), again.unwrap_or_default())
}

/// What is wrong with what a target has verified, where somebody has still to say what follows from it.
fn unwell(part: &Part) -> Option<String> {
    let counts = part.aside.is_none() && part.progress == Progress::Finished(Outcome::Verified);
    part.unwell.as_ref().filter(|_| counts).map(|reason| trust::names::printable(reason))
}

/// What there is to say of a target that has verified it: that it is not well since, or what somebody should look at.
fn how_it_is(part: &Part) -> Option<String> {
    let aside = match part.aside {
        Some(Aside::Excluded) => "; somebody left it out",
        Some(Aside::Accepted) => "; it goes on all the same, by somebody's word",
        _ => "",
    };
    let unwell = part.unwell.as_ref().map(|reason| format!("✗ unwell: {reason}{aside}"));
    let stopped = || part.stopped.then(|| "stopped".to_owned());
    unwell.or_else(|| part.doubt.as_ref().map(doubt_in_words)).or_else(stopped)
}

/// That somebody left a target out, and what had become of its part by then.
fn left_out(part: &Part) -> String {
    let failed = |phase: &Phase, reason: &str| format!("; {} had failed: {reason}", phase.word());
    let said = match &part.progress {
        _ if part.absent => String::new(),
        Progress::Finished(Outcome::Failed { phase, reason }) => {
            format!("{}; it could not go back", failed(phase, reason))
        }
        Progress::Finished(Outcome::Undone { phase, reason }) => failed(phase, reason),
        Progress::Finished(Outcome::Refused { code, reason }) => format!("; it had refused: {code}: {reason}"),
        _ => String::new(),
    };
    format!("somebody left it out{said}")
}

fn doubt_in_words(doubt: &Doubt) -> String {
    let looked = if doubt.accepted { "somebody has looked" } else { "somebody should look" };
    format!("{looked}: {}", doubt.said)
}

/// Which deployment an event is about, if it is about one.
pub(crate) fn number_of(event: &Event) -> Option<u64> {
    match event {
        Event::DeploymentRequested { deployment, .. }
        | Event::StepStarted { deployment, .. }
        | Event::WaveStarted { deployment, .. }
        | Event::RingVerified { deployment, .. }
        | Event::DeploymentPaused { deployment, .. }
        | Event::DeploymentResumed { deployment, .. }
        | Event::TargetFinished { deployment, .. }
        | Event::UndoStarted { deployment, .. }
        | Event::TargetExcluded { deployment, .. }
        | Event::RetryOrdered { deployment, .. }
        | Event::DeploymentEnded { deployment, .. }
        | Event::DeploymentSettled { deployment } => Some(*deployment),
        _ => None,
    }
}

/// Folds what entries say about one deployment into a state that holds nothing else.
#[derive(Default)]
pub(crate) struct Recalled {
    /// The state so far.
    pub state: State,
}

impl Recalled {
    /// Takes the next entry.
    pub fn take(&mut self, entry: &Entry, number: u64) {
        for event in entry.events.iter().filter(|event| number_of(event) == Some(number)) {
            self.state.head = Stamp { entry: entry.number, time: entry.time };
            apply(&mut self.state, event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::fixture::{World, app, target, verified};
    use domain::event::Change;
    use trust::statement::OrderAct;

    fn part(world: &World, number: u64) -> PartView {
        let view = deployment(&world.state, &world.state, number, world.now(), &|_| None);
        view.unwrap().targets.remove(0)
    }

    /// What is unwell and was left out goes back with the others, and is said to.
    #[test]
    fn r3_who_was_left_out_while_unwell_goes_back_with_the_others() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        let deployment = world.ordered("prod-1", "web", build, OrderAct::Deploy);
        let target = target("prod-1");
        let finished = |change, running| verified(deployment, "prod-1", change, running);
        world.happen(finished(Some(Change::Deployed), Some(build)));
        assert_eq!(part(&world, deployment).unwell, None);
        let unwell = Some("503".to_owned());
        let (web, clear) = (app("web"), false);
        world.happen(Event::HealthChanged { target: target.clone(), app: web, build, unwell, unclear: clear });
        assert_eq!(part(&world, deployment).unwell.as_deref(), Some("503"));
        let (by, reason) = (Some("oncall".parse().unwrap()), None);
        world.happen(Event::TargetExcluded { deployment, target: target.clone(), by, reason, away: false });
        let left_out = part(&world, deployment);
        assert_eq!((left_out.state.as_str(), left_out.unwell), ("verified", None), "somebody has said what follows");
        let (targets, absent) = (vec![target.clone()], Vec::new());
        world.happen(Event::UndoStarted { deployment, reason: "aborted".into(), targets, absent, aborted: None });
        assert_eq!(part(&world, deployment).state, "going back");
        world.happen(finished(None, None));
        assert_eq!(part(&world, deployment).state, "undone");
    }

    fn ended(deployment: u64, ending: Ending) -> Event {
        Event::DeploymentEnded { deployment, ending, reason: None, superseded_by: None, aborted: None }
    }

    fn could_not(deployment: u64, phase: Phase, running: Option<trust::Digest>, is_given_up: bool) -> Event {
        let mut said = verified(deployment, "prod-1", None, running);
        if let Event::TargetFinished { outcome, given_up, .. } = &mut said {
            *outcome = Outcome::Failed { phase, reason: "no answer".into() };
            *given_up = is_given_up;
        }
        said
    }

    /// R40: who was given up on does its part once it is back where that has succeeded, and is asked no more where it has failed.
    #[test]
    fn r40_who_did_not_answer_is_said_to_come_only_where_it_does() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        world.runs("prod-1", "web", build);
        let number = world.ordered("prod-1", "web", build, OrderAct::Undeploy);
        world.happen(could_not(number, Phase::Check, Some(build), true));
        let said = |world: &World, number| part(world, number).once_heard.unwrap();
        assert_eq!(said(&world, number), "left out until it returns");
        let mut succeeded = World { state: world.state.clone() };
        succeeded.happen(ended(number, Ending::Succeeded));
        assert_eq!(said(&succeeded, number), "left out until it returns");
        world.happen(ended(number, Ending::Failed));
        assert_eq!(
            said(&world, number),
            "it is not asked again: deployment 2 failed; to ask it: sortie undeploy web --in prod --only prod-1"
        );
        world.runs("prod-1", "web", build);
        assert_eq!(said(&world, number), "it is not asked again: deployment 3 came to it since");
        let number = world.ordered("prod-1", "web", build, OrderAct::Redeploy);
        world.happen(could_not(number, Phase::Check, Some(build), true));
        let (targets, absent) = (Vec::new(), vec![target("prod-1")]);
        let reason = "aborted".to_owned();
        world.happen(Event::UndoStarted { deployment: number, reason, targets, absent, aborted: None });
        assert_eq!(said(&world, number), "it goes back once it returns");
    }

    /// R3: what something else took the place of runs again once that goes back, held out or not.
    #[test]
    fn r3_what_runs_again_where_something_else_went_back_is_said_to() {
        let mut world = World::new();
        world.enrolled("prod-2", "prod", 40);
        let [old, one, two] = ["1.2.0", "1.3.0", "1.4.0"].map(|number| world.released("web", number, "prod"));
        world.runs("prod-1", "web", old);
        world.happen(Event::DeploymentSettled { deployment: 1 });
        let first = world.stands_on(&["prod-1", "prod-2"], "web", one, OrderAct::Deploy, Default::default());
        let targets = vec![target("prod-1"), target("prod-2")];
        world.happen(Event::WaveStarted { deployment: first, wave: 1, targets, ring: None, migrate: None });
        for name in ["prod-1", "prod-2"] {
            world.happen(verified(first, name, Some(Change::Upgraded), Some(one)));
        }
        world.happen(ended(first, Ending::Succeeded));
        let second = world.ordered("prod-1", "web", two, OrderAct::Deploy);
        world.happen(verified(second, "prod-1", Some(Change::Upgraded), Some(two)));
        let view = |world: &World| deployment(&world.state, &world.state, first, world.now(), &|_| None).unwrap();
        let detail = |world: &World| view(world).targets.remove(0).detail.unwrap();
        assert_eq!(detail(&world), "it runs there no longer");
        world.happen(ended(second, Ending::Succeeded));
        let undo = |number, targets| {
            let (reason, absent) = ("unwell".into(), Vec::new());
            Event::UndoStarted { deployment: number, reason, targets, absent, aborted: None }
        };
        world.happen(undo(first, vec![target("prod-2")]));
        world.happen(verified(first, "prod-2", None, None));
        world.happen(ended(first, Ending::Undone));
        let (web, environment, deployment) = (app("web"), "prod".parse().unwrap(), Some(first));
        world.happen(Event::HoldPlaced { app: web, environment, build: one, deployment });
        assert_eq!((detail(&world), view(&world).remains), ("it runs there no longer".into(), Vec::<String>::new()));
        world.happen(undo(second, vec![target("prod-1")]));
        world.happen(verified(second, "prod-1", None, Some(one)));
        world.happen(ended(second, Ending::Undone));
        assert_eq!(detail(&world), "it runs there again");
        assert_eq!(
            view(&world).remains,
            ["web@1.3.0 is held out of prod and runs on prod-1 again: \
              `sortie rollback web --in prod --only prod-1` leaves it"]
        );
    }

    /// R43: that somebody left it out does not hide that it could not go back.
    #[test]
    fn r43_who_could_not_go_back_and_is_left_out_is_still_said_to() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        let number = world.ordered("prod-1", "web", build, OrderAct::Deploy);
        world.happen(could_not(number, Phase::Verify, None, false));
        let (by, reason) = (Some("oncall".parse().unwrap()), None);
        world.happen(Event::TargetExcluded { deployment: number, target: target("prod-1"), by, reason, away: false });
        let said = part(&world, number);
        let detail = "somebody left it out; verify had failed: no answer; it could not go back";
        assert_eq!((said.state.as_str(), said.detail.as_deref()), ("left out", Some(detail)));
    }

    /// A package has no targets: who is left out of it has a part in its members alone, and is told of it.
    #[test]
    fn what_was_said_of_a_package_s_members_is_told_of_the_package() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        let number = world.ordered("prod-1", "web", build, OrderAct::Deploy);
        let (by, reason) = (Some("oncall".parse().unwrap()), None);
        let target = target("prod-1");
        world.happen(Event::TargetExcluded { deployment: number, target: target.clone(), by, reason, away: false });
        let mut state = world.state.clone();
        let member = state.deployments[&number].clone();
        let package = Deployment {
            app: app("shop"),
            members: [(app("web"), MemberPart::Begun(number))].into_iter().collect(),
            guided: Default::default(),
            ..member.clone()
        };
        let of = domain::state::InPackage { deployment: 9, app: app("shop"), build, order: 1 };
        state.deployments.insert(number, Deployment { package: Some(of), ..member });
        let said: Vec<_> = guided(&state, &package).into_iter().map(|guidance| guidance.targets).collect();
        assert_eq!(said, [vec![target]]);
    }
}
