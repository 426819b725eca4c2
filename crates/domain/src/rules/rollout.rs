//! A deployment goes over its targets ring by ring and wave by wave: never more at a time than `at_once`, never so many that
//! fewer than `min_healthy` go on serving (R41); and a target that fails or is silent is left out, as long as no more are
//! than `failure_budget` allows (R40).

use super::{
    migrations,
    presence::{self, Away},
};
use crate::{
    event::RingOf,
    plan,
    refusal::Refusal,
    state::{Deployment, DeploymentPhase, Part, Parts, State},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    ops::Range,
};
use trust::{
    AudienceName, TargetName,
    charter::Environment,
    quorum::Rule,
    rollout::{Advance, Ring, Rollout, Share},
    statement::{OrderAct, Outcome},
};

/// The ring before all others.
pub const CANARY: &str = "canary";
/// The ring of those that are in no other.
pub const REST: &str = "rest";

/// How an order's rollout is to go: as the charter says, with what the order says besides, and without what makes no sense
/// for the act. Fails where it can go nowhere, or is less careful than the deployer may be.
pub fn of_order(
    name: &AudienceName,
    environment: &Environment,
    order: &trust::statement::Order,
    targets: usize,
    may_hasten: impl Fn(&Rule) -> bool,
) -> Result<Rollout, Refusal> {
    let charter = environment.rollout();
    let wanted = charter.with(&order.rollout);
    if let Some(mistake) = wanted.mistake() {
        return Err(Refusal::Invalid { why: format!("the rollout: {mistake}") });
    }
    let eased = wanted.eased(&charter, targets);
    if !eased.is_empty() && !environment.hasten_rule().is_some_and(may_hasten) {
        let needs = environment.hasten_rule().cloned();
        let eased = eased.iter().map(ToString::to_string).collect();
        return Err(Refusal::RolloutEased { environment: name.clone(), eased, needs });
    }
    Ok(for_act(wanted, order.act))
}

/// What ends service has nothing to keep serving, and what goes back or brings nothing new is not tried on a few first.
fn for_act(rollout: Rollout, act: OrderAct) -> Rollout {
    let plain = Rollout::default();
    match act {
        OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Configure => rollout,
        OrderAct::Rollback | OrderAct::Start | OrderAct::Restart => Rollout {
            canary: plain.canary,
            rings: plain.rings,
            bake_minutes: plain.bake_minutes,
            advance: plain.advance,
            ..rollout
        },
        // All of the one side, then all of the other, once every one of the first is well.
        OrderAct::Switch => Rollout {
            progress_minutes: rollout.progress_minutes,
            on_failure: rollout.on_failure,
            at_once: Share::All,
            ..plain
        },
        OrderAct::Stop | OrderAct::Undeploy => Rollout {
            at_once: rollout.at_once,
            failure_budget: rollout.failure_budget,
            progress_minutes: rollout.progress_minutes,
            on_failure: rollout.on_failure,
            ..plain
        },
    }
}

/// How a deployment goes: as was recorded when it was ordered, or by the charter where nothing was.
pub fn of<'a>(state: &State, deployment: &'a Deployment) -> Cow<'a, Rollout> {
    if let Some(rollout) = &deployment.rollout {
        return Cow::Borrowed(rollout);
    }
    let environments = state.policy.as_ref().map(|policy| &policy.charter.environments);
    let environment = environments.and_then(|environments| environments.get(&deployment.environment));
    Cow::Owned(for_act(environment.map(Environment::rollout).unwrap_or_default(), deployment.act))
}

/// As [`in_rings`], of the targets as they are. In each ring whoever comes and goes has its turn after those that stay, and who is
/// away after everybody else: none of them is a canary where another of the ring can be (R30, R40).
pub fn in_their_turn(
    state: &State,
    rollout: &Rollout,
    targets: Vec<TargetName>,
    away: &Away,
) -> (Vec<TargetName>, Vec<RingOf>) {
    let comes_and_goes = |name: &TargetName| state.targets.get(name).is_some_and(|target| target.ephemeral);
    let labels = |name: &TargetName| state.targets.get(name).map(|target| &target.labels);
    let mut targets = targets;
    targets.sort_by_key(|name| (away.contains(name), comes_and_goes(name)));
    in_rings(rollout, targets, labels)
}

/// The targets in the order in which they have their turn, and the rings that divide them; none where there is one only.
pub fn in_rings<'a>(
    rollout: &Rollout,
    targets: Vec<TargetName>,
    labels: impl Fn(&TargetName) -> Option<&'a BTreeMap<String, String>>,
) -> (Vec<TargetName>, Vec<RingOf>) {
    let mut rest = targets;
    let mut rings: Vec<(String, Vec<TargetName>)> = Vec::new();
    for ring in &rollout.rings {
        let carries = |name: &TargetName| match ring {
            Ring::Labelled { key, value } => labels(name).is_some_and(|labels| labels.get(key) == Some(value)),
            Ring::Rest => true,
        };
        let (in_it, others) = rest.into_iter().partition(carries);
        rings.push((ring.to_string(), in_it));
        rest = others;
    }
    rings.push((REST.into(), rest));
    rings.retain(|(_, targets)| !targets.is_empty());
    if let Some((_, first)) = rings.first_mut()
        && rollout.canary > 0
    {
        let others = first.split_off(first.len().min(rollout.canary as usize));
        let canaries = std::mem::replace(first, others);
        rings.insert(0, (CANARY.into(), canaries));
        rings.retain(|(_, targets)| !targets.is_empty());
    }
    let counts = rings.iter().map(|(name, targets)| RingOf { name: name.clone(), targets: targets.len() as u32 });
    let counts: Vec<RingOf> = if rings.len() > 1 { counts.collect() } else { Vec::new() };
    (rings.into_iter().flat_map(|(_, targets)| targets).collect(), counts)
}

/// The rings in which no target is, by the labels that all of an environment carry: a word that is spelled otherwise keeps nobody
/// back and lets nobody go first.
pub fn nobodys_rings<'a>(
    rollout: &Rollout,
    labels: impl Iterator<Item = &'a BTreeMap<String, String>> + Clone,
) -> Vec<String> {
    let is_nobodys = |ring: &&Ring| match ring {
        Ring::Labelled { key, value } => !labels.clone().any(|labels| labels.get(key) == Some(value)),
        Ring::Rest => false,
    };
    rollout.rings.iter().filter(is_nobodys).map(Ring::to_string).collect()
}

/// What the deployer is warned of: a ring that is nobody's, and canaries that leave nobody to come after them.
pub fn warnings(state: &State, environment: &AudienceName, rollout: &Rollout, targets: usize) -> Vec<String> {
    let labels = state.targets_in(environment).map(|(_, target)| &target.labels);
    let nobodys = nobodys_rings(rollout, labels.collect::<Vec<_>>().into_iter());
    let mut warnings: Vec<String> = nobodys
        .into_iter()
        .map(|ring| format!("no target of {environment} carries {ring}: that ring is empty"))
        .collect();
    let canaries = rollout.canary as usize;
    if canaries > 1 && canaries >= targets {
        warnings.push(format!("canary {canaries} of {targets}: nobody is left to come after them"));
    }
    warnings
}

/// How many waves so many targets need where nothing is known of how many serve. Where the data is changed, the one target that is
/// elected for it is a wave of its own.
pub fn waves(rollout: &Rollout, rings: &[RingOf], targets: usize, changes_data: bool) -> usize {
    let at_once = rollout.at_once.at_most(targets).max(1);
    let mut sizes: Vec<usize> = rings.iter().map(|ring| ring.targets as usize).collect();
    if sizes.is_empty() {
        sizes.push(targets);
    }
    let elected = usize::from(changes_data && targets > 0);
    if let Some(first) = sizes.iter_mut().find(|size| **size > 0) {
        *first -= elected;
    }
    elected + sizes.into_iter().map(|size| size.div_ceil(at_once)).sum::<usize>()
}

/// How many waves a deployment takes if all goes well from now on: those that began, and those that [`next_wave`] makes of whoever
/// waits, where all that had their turn before serve again.
pub fn waves_of(state: &State, deployment: &Deployment) -> usize {
    let (rollout, parts) = (of(state, deployment), &deployment.parts);
    let (size, must) = (rollout.at_once.at_most(parts.len()).max(1), must_serve(&rollout, deployment));
    let lasts = |name: &&TargetName| parts.get(name).is_some_and(|part| !part.ephemeral);
    let mut healthy = healthy(state, deployment, &Away::new()) + parts.assigned().filter(lasts).count();
    let mut elects = deployment.waves == 0 && migrations::wanted(state, deployment).is_some();
    let mut waves = deployment.waves as usize;
    for places in rings(deployment) {
        let mut ring = RingToCome::of(parts.waiting_in(places));
        while let Some(joining) = ring.take(if elects { 1 } else { size }, healthy.saturating_sub(must)) {
            (waves, healthy, elects) = (waves + 1, healthy + joining, false);
        }
    }
    waves
}

/// Those of a ring that have not had their turn, by their place in it: where it serves, and where not, with whether these last.
struct RingToCome {
    serving: VecDeque<usize>,
    idle: VecDeque<(usize, bool)>,
}

impl RingToCome {
    fn of<'a>(waiting: impl Iterator<Item = (&'a TargetName, &'a Part)>) -> Self {
        let (mut serving, mut idle) = (VecDeque::new(), VecDeque::new());
        for (place, (_, part)) in waiting.enumerate() {
            match part.serves && !part.ephemeral {
                true => serving.push_back(place),
                false => idle.push_back((place, !part.ephemeral)),
            }
        }
        Self { serving, idle }
    }

    /// Takes those that have their turn together, and says how many serve afterwards that did not; nothing where nobody can.
    fn take(&mut self, size: usize, spare: usize) -> Option<usize> {
        let is_idle = |ring: &Self| match (ring.serving.front(), ring.idle.front()) {
            (Some(serving), Some((idle, _))) => idle < serving,
            (serving, _) => serving.is_none(),
        };
        let only_idle = spare == 0 && !is_idle(self);
        let (mut out, mut joining, mut taken) = (0, 0, 0);
        while taken < size {
            if only_idle || is_idle(self) {
                let Some((_, lasts)) = self.idle.pop_front() else { break };
                joining += usize::from(lasts);
            } else if out < spare {
                self.serving.pop_front();
                out += 1;
            } else {
                break;
            }
            taken += 1;
        }
        (taken > 0).then_some(joining)
    }
}

/// The ring of a place in the order of a deployment, and the places it has.
fn ring_at(deployment: &Deployment, place: usize) -> (usize, Range<usize>) {
    let mut start = 0;
    for (index, ring) in deployment.rings.iter().enumerate() {
        let end = start + ring.targets as usize;
        if place < end {
            return (index, start..end);
        }
        start = end;
    }
    (deployment.rings.len().saturating_sub(1), start..usize::MAX)
}

fn places_of(deployment: &Deployment, index: usize) -> Range<usize> {
    let before = deployment.rings.iter().take(index).map(|ring| ring.targets as usize).sum();
    match deployment.rings.get(index) {
        Some(ring) => before..before + ring.targets as usize,
        None => 0..usize::MAX,
    }
}

/// The places of each ring, in order; all places where there is one only.
pub fn rings(deployment: &Deployment) -> impl Iterator<Item = Range<usize>> {
    (0..deployment.rings.len().max(1)).map(|index| places_of(deployment, index))
}

/// Whether a target's ring is one that has not begun.
pub fn is_of_later_ring(deployment: &Deployment, name: &TargetName) -> bool {
    let until = places_of(deployment, deployment.ring).end;
    deployment.parts.place_of(name).is_some_and(|place| place >= until)
}

/// The ring that has begun; nothing where there is one only.
pub fn current_ring(deployment: &Deployment) -> Option<&RingOf> {
    deployment.rings.get(deployment.ring)
}

/// A wave that may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wave {
    /// Its targets.
    pub targets: Vec<TargetName>,
    /// The ring they are of, where there are several.
    pub ring: Option<String>,
}

/// The targets whose turn it is next; the answer is empty where nobody waits. Fails if too few targets serve for one more
/// to be taken out of service.
pub fn next_wave(state: &State, rollout: &Rollout, deployment: &Deployment, away: &Away) -> Result<Wave, String> {
    let parts = &deployment.parts;
    let Some(first) = parts.first_waiting() else { return Ok(Wave { targets: Vec::new(), ring: None }) };
    let (index, places) = ring_at(deployment, first);
    let ring = deployment.rings.get(index).map(|ring| ring.name.clone());
    let size = rollout.at_once.at_most(parts.len()).max(1);
    let (healthy, must) = (healthy(state, deployment, away), must_serve(rollout, deployment));
    let mut spare = healthy.saturating_sub(must);
    // Who is away may serve all the same, and goes out of service when it is back: no more have their turn at a time than could
    // be spared if all of them did.
    let mut spare_of_all = self::healthy(state, deployment, &Away::new()).saturating_sub(must);
    // Who is still at something else may have come to serve by that, and nobody knows yet.
    let is_elsewhere = |name: &TargetName| must > 0 && plan::is_at_something(state, name, &deployment.app);
    let mut targets = Vec::new();
    for (name, part) in parts.waiting_in(places.clone()) {
        let serves = !part.ephemeral && (part.serves || is_elsewhere(name));
        let counts = serves && !away.contains(name);
        if targets.len() == size || serves && spare_of_all == 0 || counts && spare == 0 {
            break;
        }
        (spare, spare_of_all) = (spare - usize::from(counts), spare_of_all - usize::from(serves));
        targets.push(name.clone());
    }
    if targets.is_empty() {
        // Where none that serves can be spared, those come first that do not serve: they are the way out. Who is at something
        // else comes after them: it may have said by then how that ended.
        let idle = |elsewhere: bool| {
            let idle = parts.waiting_in(places.clone()).filter(|(_, part)| !part.serves || part.ephemeral);
            idle.map(|(name, _)| name).filter(move |name| is_elsewhere(name) == elsewhere)
        };
        targets = idle(false).chain(idle(true)).take(size).cloned().collect();
    }
    match targets.is_empty() {
        false => Ok(Wave { targets, ring }),
        true => Err(format!("{healthy} of {} targets serve, and {must} must", all(deployment))),
    }
}

/// Fails if there is a target in the deployment that serves and could never be spared, however many others serve.
pub fn can_spare(rollout: &Rollout, deployment: &Deployment) -> Result<(), String> {
    let (all, must) = (all(deployment), must_serve(rollout, deployment));
    match deployment.parts.serving() > 0 && must >= all {
        true => Err(format!("{must} of {all} targets must go on serving")),
        false => Ok(()),
    }
}

/// How many of the targets that are well may go back next: no more than can be spared, but one where nothing else does, so
/// that it comes to an end.
pub fn next_to_go_back(state: &State, rollout: &Rollout, deployment: &Deployment, away: &Away) -> usize {
    if rollout.min_healthy == Share::Count(0) {
        return usize::MAX;
    }
    let parts = &deployment.parts;
    let others_go = parts.assigned().next().is_some() || parts.unwell().next().is_some();
    let spare = healthy(state, deployment, away).saturating_sub(must_serve(rollout, deployment));
    spare.max(usize::from(!others_go))
}

fn all(deployment: &Deployment) -> usize {
    deployment.parts.lasting() + deployment.others.targets as usize
}

/// On how many targets the application serves, those included that have no part in the deployment, and those not that nobody
/// has heard of.
pub fn healthy(state: &State, deployment: &Deployment, away: &Away) -> usize {
    let serving = deployment.parts.serving() + deployment.others.serving as usize;
    serving.saturating_sub(presence::unseen(state, deployment, away))
}

/// On how many of them it must go on serving.
pub fn must_serve(rollout: &Rollout, deployment: &Deployment) -> usize {
    rollout.min_healthy.at_least(all(deployment))
}

/// Whether somebody's word is waited for before the next ring begins.
pub fn goes_on_by_hand(state: &State, deployment: &Deployment) -> bool {
    of(state, deployment).advance == Advance::Hand
}

/// Whether the ring that is next has still to wait: for its time, for somebody's word that was not said yet, or until those of the
/// one before are heard of that are silent (`unseen`).
pub fn ring_is_over<'a>(rollout: &Rollout, deployment: &'a Deployment, unseen: bool) -> Option<&'a RingOf> {
    let current = current_ring(deployment)?;
    let next = deployment.parts.first_waiting()?;
    let waits = unseen || rollout.bake_minutes > 0 || rollout.advance == Advance::Hand;
    let is_said = is_let_begin(deployment, ring_at(deployment, next).0);
    (waits && !is_said && !places_of(deployment, deployment.ring).contains(&next)).then_some(current)
}

/// The ring that nobody vouches for, where the next is another: all of it have left, were left out or are silent, and what runs
/// well nowhere says nothing about those that come after. Nothing where somebody let them begin all the same.
fn unvouched(deployment: &Deployment) -> Option<&RingOf> {
    let (next, _) = ring_at(deployment, deployment.parts.first_waiting()?);
    let mut before = (deployment.ring..next).filter(|_| !is_let_begin(deployment, next));
    let ring = before.find(|ring| !deployment.parts.any_vouches_in(places_of(deployment, *ring)))?;
    deployment.rings.get(ring)
}

fn is_let_begin(deployment: &Deployment, ring: usize) -> bool {
    deployment.let_begin.is_some_and(|let_begin| let_begin >= ring)
}

/// Why the next ring does not begin by itself, where nobody vouches for the one before. While that bakes and somebody's word is
/// waited for anyway, no second one is asked for.
pub fn emptied(rollout: &Rollout, deployment: &Deployment) -> Option<String> {
    let is_asked = matches!(deployment.phase, DeploymentPhase::Baking(_)) && rollout.advance == Advance::Hand;
    let ring = unvouched(deployment).filter(|_| !is_asked)?;
    let what_follows = match deployment.act {
        OrderAct::Switch => "the other side would make way for nobody",
        _ => "the next ring would begin",
    };
    Some(format!("nobody of {} is left who is well with it, and {what_follows}", ring.name))
}

/// The ring that somebody lets begin who lets the deployment go on: the next one, where nobody vouches for those before it.
pub fn lets_begin(deployment: &Deployment) -> Option<usize> {
    let is_at_it = deployment.parts.busy().next().is_some();
    unvouched(deployment).filter(|_| !is_at_it)?;
    deployment.parts.first_waiting().map(|place| ring_at(deployment, place).0)
}

/// Why the deployment cannot go on: more targets failed or are silent than may, a canary is among them, or a ring is over
/// and none of it is well.
pub fn beyond_budget(rollout: &Rollout, deployment: &Deployment) -> Option<String> {
    let parts: &Parts = &deployment.parts;
    let first = || {
        let unwell = || parts.unwell().next().map(|(name, reason)| format!("{name} is unwell: {reason}"));
        parts.bad().next().map(|(name, outcome)| in_words(name, outcome)).or_else(unwell)
    };
    // A canary may not fail, nor become unwell after others have begun.
    let has_canaries = deployment.rings.iter().next().is_some_and(|ring| ring.name == CANARY);
    if has_canaries && parts.any_bad_in(places_of(deployment, 0)) {
        return first();
    }
    let places = places_of(deployment, deployment.ring);
    let is_canary = current_ring(deployment).is_some_and(|ring| ring.name == CANARY);
    let (bad, budget) = (parts.bad_count(), rollout.failure_budget.at_most(parts.len()));
    if bad > budget {
        return match budget {
            0 => first(),
            _ => first().map(|first| format!("{bad} of {} targets failed, and {budget} may; {first}", parts.len())),
        };
    }
    let is_over = parts.busy().next().is_none() && parts.waiting_in(places.clone()).next().is_none();
    if is_canary
        && is_over
        && !parts.any_verified_in(places.clone())
        && let Some(silent) = parts.silent_in(places.clone()).next()
    {
        return Some(format!("{silent} is silent, and no canary is well"));
    }
    let lost = bad > 0 && is_over && parts.any_bad_in(places.clone()) && !parts.any_verified_in(places);
    lost.then(first).flatten()
}

/// What somebody has to look at before the deployment goes on: where its build says so, it counts as verified only then. What
/// goes back to a build that has settled, or starts one again, waits for nobody.
pub fn in_doubt(deployment: &Deployment) -> Option<String> {
    let brings = deployment.act.deploys() || matches!(deployment.act, OrderAct::Configure | OrderAct::Switch);
    let (name, said) = deployment.parts.doubted().next().filter(|_| brings)?;
    Some(format!("{name}: {said}"))
}

/// `web-3: verify: /healthz 503`.
pub(super) fn in_words(name: &TargetName, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Undone { phase, reason } | Outcome::Failed { phase, reason } => {
            format!("{name}: {}: {reason}", phase.word())
        }
        // Nothing asks twice but a ledger that has lost the first answer.
        Outcome::Refused { code, .. } if code == "ORDER_REPEATED" => {
            format!("{name} carried this very order out before; what came of it is lost")
        }
        Outcome::Refused { code, reason } => format!("{name} refused: {code}: {reason}"),
        Outcome::Verified => format!("{name}: verified"),
    }
}
