//! Freezes: which there are, whom they stop, and who can lift them.

use super::words::Texts;
use api::read::{FreezeException, FreezeView};
use domain::{
    refusal::Refusal,
    rules::freezes,
    state::{Freeze, State},
};
use jiff::Timestamp;
use trust::{AudienceName, TargetName, charter::Class, dsse::Envelope, quorum::Rule};

/// Those that are on or come, soonest first; with `all`, those too that are over and not forgotten.
pub(crate) fn freezes(state: &State, texts: Texts<'_>, all: bool, now: Timestamp) -> Vec<FreezeView> {
    let meant = |freeze: &&Freeze| all || freeze.is_over(now).is_none();
    let mut freezes: Vec<FreezeView> =
        state.freezes.values().filter(meant).map(|freeze| view(state, freeze, texts, now)).collect();
    freezes.sort_by_key(|freeze| (freeze.from, freeze.number));
    freezes
}

fn view(state: &State, freeze: &Freeze, texts: Texts<'_>, now: Timestamp) -> FreezeView {
    let terms = &freeze.known.terms;
    let policy = state.policy.as_deref();
    let reached: Vec<AudienceName> =
        policy.into_iter().flat_map(|policy| freezes::reached(policy, terms)).cloned().collect();
    let rule = |name: &AudienceName| Some(policy?.charter.environments.get(name)?.freeze_rule());
    let mut rules: Vec<&Rule> = reached.iter().filter_map(rule).collect();
    rules.dedup();
    FreezeView {
        number: freeze.number,
        freeze: freeze.known.freeze,
        environments: reached,
        all_live: terms.environments.is_empty(),
        apps: terms.apps.iter().cloned().collect(),
        from: terms.from,
        until: terms.until,
        reason: texts(&terms.reason),
        by: state.shown(&freeze.by),
        exceptions: freeze
            .exceptions
            .iter()
            .map(|excepted| FreezeException {
                app: excepted.app.clone(),
                version: excepted.version.clone(),
                build: excepted.build,
                by: state.shown(&excepted.by),
                reason: texts(&excepted.reason),
                since: excepted.stamp.time,
            })
            .collect(),
        lifted: freeze.lifted.as_ref().map(|(by, stamp)| (state.shown(by), stamp.time)),
        is_on: freeze.is_over(now).is_none() && terms.from <= now,
        may_lift: rules.into_iter().map(ToString::to_string).collect(),
        statements: Vec::<Envelope>::new(),
    }
}

/// A refusal by a freeze, or by a withdrawal, with the reason in words, where it was not erased.
pub(crate) fn with_reason(refusal: Refusal, texts: Texts<'_>) -> Refusal {
    match refusal {
        Refusal::PermitWithdrawn { app, version, audience, since, why: Some(mut why) } => {
            why.said = texts(&why.reason).map(|said| trust::names::printable(&said));
            Refusal::PermitWithdrawn { app, version, audience, since, why: Some(why) }
        }
        Refusal::Frozen(mut frozen) => {
            frozen.said = texts(&frozen.reason).map(|said| trust::names::printable(&said));
            Refusal::Frozen(frozen)
        }
        refusal => refusal,
    }
}

/// The entries with what is said of the freezes that reach an environment of this class.
pub(crate) fn entries(state: &State, environment: &AudienceName, class: Class) -> Vec<u64> {
    let reaching = state.freezes.values().filter(|freeze| freeze.known.terms.reaches(environment, class));
    let mut entries: Vec<u64> = reaching.flat_map(Freeze::entries).collect();
    entries.sort_unstable();
    entries
}

/// As [`entries`], of an audience; a channel has none.
pub(crate) fn of_audience(state: &State, audience: &AudienceName) -> Vec<u64> {
    let environment = state.policy.as_ref().and_then(|policy| policy.charter.environments.get(audience));
    environment.map(|environment| entries(state, audience, environment.class)).unwrap_or_default()
}

/// As [`entries`], of the environment a target is in.
pub(crate) fn of_target(state: &State, target: &TargetName) -> Vec<u64> {
    let target = state.targets.get(target);
    target.map(|target| of_audience(state, &target.environment)).unwrap_or_default()
}
