//! Every condition of deploying a build to an environment, or of offering a version in a channel, met or not.

use super::{
    build_name, failed, freezes,
    words::{self, Texts},
};
use api::read::{Condition, StandingOrder, Why};
use domain::{
    outlook::{self, Outlook},
    plan,
    refusal::{Instead, Refusal},
    rules::{
        self, Candidate, approvals, configuration, lifetime, migrations, names, owners, packages, placement, places,
        restored::Lost, soak,
    },
    state::{Approved, Deployment, InAudience, Policy, Request, Running, State},
    waiting::WaitingOn,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest, PersonName, RoleName, TargetName, Version, permit,
    quorum::Lack,
    schedule::Schedule,
    statement::{Order, OrderAct},
    way::Terms,
};

/// Whether `build` may be deployed to (or, for a channel, is offered in) `audience` at `now`, condition by condition.
///
/// # Errors
/// When one of the names is unknown, or the server has no estate.
pub(crate) fn why(
    state: &State,
    app: &AppName,
    build: Digest,
    audience: &AudienceName,
    texts: Texts<'_>,
    lost: &Lost,
    now: Timestamp,
) -> Result<Why, Refusal> {
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    names::audience(policy, audience)?;
    let record = names::build(state, app, &build)?;
    let what = build_name(state, app, &build).of(app);
    let candidate = Candidate { app, build, record, audience, act: OrderAct::Deploy, package: None };
    let here = state.in_audience(app, audience);
    let asked = Asked { state, policy, candidate, what, here, texts, lost, now };
    let mut conditions = asked.permission();
    if policy.charter.environments.contains_key(audience) {
        conditions.extend(owners::must_sign(state, lost, now).map(|refusal| unmet(&refusal)));
        conditions.extend(asked.on_targets());
    }
    Ok(Why {
        audience: audience.clone(),
        may: conditions.iter().all(|condition| condition.met),
        conditions,
        standing: asked.standing(),
        runs: asked.runs() + &asked.failed(),
        seen: asked.seen(),
        what: asked.what,
    })
}

struct Asked<'a> {
    state: &'a State,
    policy: &'a Policy,
    candidate: Candidate<'a>,
    /// The build as people call it.
    what: String,
    here: Option<&'a InAudience>,
    texts: Texts<'a>,
    lost: &'a Lost,
    now: Timestamp,
}

fn met(what: impl Into<String>) -> Condition {
    Condition { met: true, what: trust::names::printable(&what.into()), remedy: None }
}

fn unmet(refusal: &Refusal) -> Condition {
    Condition { met: false, what: trust::names::printable(&refusal.lack()), remedy: refusal.next() }
}

/// The freeze that it is refused for, where it is for one.
fn freeze_of(refusal: &Refusal) -> Option<u64> {
    match refusal {
        Refusal::Frozen(frozen) => Some(frozen.freeze),
        _ => None,
    }
}

impl Asked<'_> {
    /// What the rules say, with the permit's approvals one by one.
    fn permission(&self) -> Vec<Condition> {
        let is_environment = self.policy.charter.environments.contains_key(self.candidate.audience);
        let mut conditions = Vec::new();
        for verdict in rules::verdicts(self.state, self.policy, &self.candidate, self.now) {
            // A channel installs nothing and holds nothing out: releasing a checkpoint to it is whole in itself (R25).
            if !is_environment && matches!(verdict.rule, "checkpoints" | "holds") {
                continue;
            }
            match (verdict.rule, verdict.verdict) {
                ("permits", verdict) => match self.candidate.version() {
                    Some(version) => conditions.extend(self.permit(version, verdict)),
                    None => conditions.push(self.has_no_number()),
                },
                // The refusal names a version, and this build has none yet.
                (_, Err(Refusal::NotVerifiedBefore { after, audience, .. })) if self.candidate.version().is_none() => {
                    let what =
                        format!("{audience} comes after {after}, and {} was not verified in {after} yet", self.what);
                    conditions.push(Condition { met: false, what, remedy: None });
                }
                (_, Ok(what)) => conditions.push(met(what)),
                (_, Err(refusal)) => conditions.push(unmet(&freezes::with_reason(refusal, self.texts))),
            }
        }
        conditions
    }

    /// Only what has a number can be released.
    fn has_no_number(&self) -> Condition {
        let what = format!("{} has no number, so it was never released", self.what);
        Condition { met: false, what, remedy: Some(format!("sortie number {} next", self.what)) }
    }

    /// The approvals of the request in question, who is missing, and whether the permit holds now.
    fn permit(&self, version: &Version, verdict: Result<String, Refusal>) -> Vec<Condition> {
        let Candidate { app, audience, .. } = self.candidate;
        let in_force = rules::permits::in_force(self.state, self.policy, &self.candidate, version, self.now).ok();
        let granted = in_force.or_else(|| self.state.granted(app, version, audience));
        let waiting = || self.state.waiting_request(app, version, audience);
        let Some((_, request)) = granted.or_else(waiting) else {
            return vec![match verdict {
                Ok(what) => met(what),
                Err(refusal) => unmet(&freezes::with_reason(refusal, self.texts)),
            }];
        };
        let lacks = approvals::lacks(self.state, self.policy, request);
        // An approval that no longer counts matters only where its place is empty.
        let shown = request.approvals.iter().filter(|approval| self.counts(request, approval) || !lacks.is_empty());
        let mut conditions: Vec<Condition> = shown.map(|approval| self.approval(request, approval)).collect();
        conditions.extend(lacks.iter().map(|lack| self.missing(request, lack)));
        match verdict {
            Ok(_) => conditions.push(met(self.released(request))),
            // Who is missing was just said, one by one.
            Err(Refusal::ApprovalsMissing { .. }) => {}
            Err(refusal) => conditions.push(unmet(&refusal)),
        }
        conditions
    }

    fn released(&self, request: &Request) -> String {
        let since = match request.standing {
            domain::state::Standing::Granted(stamp) => stamp.time,
            _ => request.stamp.time,
        };
        let (audience, until) = (self.candidate.audience, words::moment(request.not_after));
        let by = if request.way.is_normal() { String::new() } else { format!(" by {}", request.way) };
        let package = match request.app == *self.candidate.app {
            true => String::new(),
            false => format!(" with {}", words::versioned(&request.app, &request.version)),
        };
        format!("released to {audience}{package}{by} since {}, may be activated until {until}", words::moment(since))
    }

    /// Whether an approval still counts: its key is its person's, and they are no author where authors do not count.
    fn counts(&self, request: &Request, approval: &Approved) -> bool {
        let Some(audience) = self.policy.charter.audience(&request.audience) else { return false };
        let excluded = audience.terms(request.way).is_none_or(|terms| terms.excludes_author);
        let is_author = excluded && approvals::authors(self.state, self.policy, request).contains(&&approval.approver);
        let approvers = self.policy.approvers_of(&request.digest);
        let is_theirs = approvers.person(&approval.key) == Some(&approval.approver);
        is_theirs && permit::may_approve_with(&approval.key, &audience, &approvers) && !is_author
    }

    fn approval(&self, request: &Request, approval: &Approved) -> Condition {
        let directory = self.policy.approvers_of(&request.digest);
        let (approver, when) = (&self.state.shown(&approval.approver), words::moment(approval.stamp.time));
        if !self.counts(request, approval) {
            let what = format!("{approver} approved {when}, which no longer counts under the charter in force");
            return Condition { met: false, what, remedy: None };
        }
        let wanted = self.wanted_roles(request);
        let roles: Vec<String> =
            directory.roles(approver).iter().filter(|role| wanted.contains(*role)).map(ToString::to_string).collect();
        let roles = if roles.is_empty() { String::new() } else { format!(" ({})", roles.join(", ")) };
        met(format!("{approver}{roles} approved {when}"))
    }

    /// What the charter in force asks of the request's way.
    fn terms(&self, request: &Request) -> Option<Terms<'_>> {
        self.policy.charter.audience(&request.audience)?.terms(request.way)
    }

    /// The roles asked for by the request and by the charter in force.
    fn wanted_roles(&self, request: &Request) -> BTreeSet<RoleName> {
        let charter = self.terms(request).and_then(|terms| terms.approve).map(|rule| rule.roles()).unwrap_or_default();
        request.requires.roles().into_iter().chain(charter).collect()
    }

    /// `ops has not approved`, and who can.
    fn missing(&self, request: &Request, lack: &Lack) -> Condition {
        let who_can = self.who_can(request, lack);
        let what = match lack.count {
            1 => format!("{} has not approved", lack.role),
            n => format!("{n} more {} must approve", lack.role),
        };
        let command = format!("sortie approve {}@{} --to {}", request.app, request.version, request.audience);
        let remedy = match &who_can[..] {
            [] => self.nobody_can(request, lack),
            [one] => format!("{one} can: {command}"),
            many => format!("{} people can ({}): {command}", many.len(), words::names(many)),
        };
        Condition { met: false, what, remedy: Some(remedy) }
    }

    /// What helps where nobody in the role counts: whoever only asked for it counts once somebody else does.
    fn nobody_can(&self, request: &Request, lack: &Lack) -> String {
        let Request { app, version, audience, requester, .. } = request;
        let makers = &approvals::authors(self.state, self.policy, request)[1..];
        let holders = self.policy.approvers.holders(&lack.role);
        if holders.contains(&requester) && !makers.contains(&requester) {
            let deny = format!("sortie deny {app}@{version} --to {audience} --reason …");
            return format!("{requester} asked for it and so does not count: `{deny}`, and somebody else asks for it");
        }
        let made = holders.iter().find(|holder| makers.contains(holder));
        let made = made.map(|maker| format!(" ({maker} pushed it and so does not count)")).unwrap_or_default();
        format!("nobody in {} can{made}: an owner must give somebody the role (sortie person add)", lack.role)
    }

    /// The people in the role who have not approved yet and may.
    fn who_can(&self, request: &Request, lack: &Lack) -> Vec<PersonName> {
        let excluded = self.terms(request).is_some_and(|terms| terms.excludes_author);
        let authors = if excluded { approvals::authors(self.state, self.policy, request) } else { Vec::new() };
        let approved = |person: &PersonName| {
            request.approvals.iter().any(|approval| approval.approver == *person && self.counts(request, approval))
        };
        let holders = self.policy.approvers.holders(&lack.role).into_iter();
        holders.filter(|person| !authors.contains(person) && !approved(person)).cloned().collect()
    }

    /// Where it would go, with which config, and what is under way there.
    fn on_targets(&self) -> Vec<Condition> {
        let Candidate { app, audience, record, .. } = self.candidate;
        let facts = &record.facts;
        let mut conditions: Vec<Condition> = Vec::new();
        let has_windows = self.policy.charter.environments.get(audience).is_some_and(|e| !e.windows.is_empty());
        let members: Vec<Candidate<'_>> = packages::members(self.state, &self.candidate).flatten().collect();
        let is_frozen = members.iter().any(|member| self.moment_of(member).any(|refusal| refusal.code() == "FROZEN"));
        for verdict in rules::moment(self.state, self.policy, &self.candidate, &Schedule::default(), self.now) {
            conditions.push(match verdict.verdict {
                // What keeps a member keeps the package, and is named below.
                Ok(_) if verdict.rule == "freezes" && is_frozen => continue,
                Ok(_) if verdict.rule == "windows" && !has_windows => continue,
                Ok(what) => met(what),
                Err(refusal) => unmet(&freezes::with_reason(refusal, self.texts)),
            });
        }
        match placement::targets(self.state, app, audience, facts, &BTreeSet::new(), self.now) {
            Err(refusal) => conditions.push(unmet(&refusal)),
            Ok(targets) => match placement::meets_needs(self.state, facts, &targets) {
                Err(refusal) => conditions.push(unmet(&refusal)),
                Ok(()) => conditions.extend(self.fitting(targets)),
            },
        }
        conditions.extend(members.iter().flat_map(|member| self.on_member(member)));
        if let Some(ends) = lifetime::last_ends(self.state, audience) {
            let (left, at) = (words::left(ends, self.now), words::moment(ends));
            conditions.push(met(format!("{audience} is thrown away in {left}, at {at}")));
        }
        match configuration::complete(app, audience, facts, self.here) {
            Err(refusal) => conditions.push(unmet(&refusal)),
            Ok(()) if facts.config.is_empty() => {}
            Ok(()) => conditions.push(met("config is complete")),
        }
        // What a package lists is looked at member by member.
        let is_in_place = packages::is_in_place(self.state, &self.candidate, &BTreeSet::new(), self.now);
        let comes = facts.package.is_empty() && !is_in_place;
        let crossed = || self.is_made_for_the_data(&self.candidate).err();
        conditions.extend(comes.then(crossed).flatten().map(|refusal| unmet(&refusal)));
        conditions.extend(self.under_way().map(|refusal| unmet(&refusal)));
        conditions
    }

    /// Fails where the data was changed since the build ran.
    fn is_made_for_the_data(&self, candidate: &Candidate<'_>) -> Result<(), Refusal> {
        let order = Order::new(candidate.app.clone(), candidate.audience.clone(), OrderAct::Deploy);
        migrations::nothing_crossed(self.state, &order, candidate.build)
    }

    /// What is under way there that keeps the build from being deployed: of itself, of a package that it is a member of, and of
    /// what it lists where it is a package.
    fn under_way(&self) -> Option<Refusal> {
        let Candidate { app, audience, build, record, .. } = self.candidate;
        let order = |app: &AppName, version: Option<&Version>| Order {
            version: version.cloned(),
            ..Order::new(app.clone(), audience.clone(), OrderAct::Deploy)
        };
        let own = order(app, record.version.as_ref());
        let members = record.facts.package.iter().map(|(app, member)| order(app, Some(&member.version)));
        let mut orders = std::iter::once(own.clone()).chain(members);
        let deployment = orders.find_map(|order| places::under_way(self.state, &order, None))?;
        let is_package = !record.facts.package.is_empty();
        // A package does not stand until something else has ended.
        let instead = places::instead(self.state, &own, build, deployment);
        let instead = instead.filter(|instead| !is_package || *instead == Instead::Abort);
        let app = self.state.deployments.get(&deployment).map_or(app, |record| &record.app).clone();
        Some(Refusal::DeploymentUnderWay { deployment, app, environment: audience.clone(), instead, retires: None })
    }

    /// The orders that stand there and have to do with it: of its application, and of packages that list it or that it lists. What has
    /// begun stands where somebody paused it.
    fn standing(&self) -> Vec<StandingOrder> {
        let Candidate { app, audience, record, .. } = self.candidate;
        let is_meant =
            |record: &Deployment, other: &AppName| record.app == *other || record.members.contains_key(other);
        let is_about = |there: &Deployment| {
            there.environment == *audience
                && (is_meant(there, app) || record.facts.package.keys().any(|member| is_meant(there, member)))
        };
        let stands = |there: &Deployment| (there.waves == 0 || there.paused.is_some()) && there.package.is_none();
        let open = self.state.open_deployments.iter();
        let open = open.filter_map(|number| Some((*number, self.state.deployments.get(number)?)));
        let mut outlooks = outlook::outlooks(self.state, self.now);
        open.filter(|(_, there)| is_about(there) && stands(there))
            .filter_map(|(number, there)| {
                let outlook = outlooks.iter().position(|outlook| outlook.deployment == number);
                self.stands(number, there, outlook.map(|at| outlooks.swap_remove(at)))
            })
            .collect()
    }

    /// `deployment 17 (web@1.5.0) waits for its time, …`, and what may be typed.
    fn stands(&self, number: u64, there: &Deployment, outlook: Option<Outlook>) -> Option<StandingOrder> {
        let name = build_name(self.state, &there.app, &there.build).of(&there.app);
        let waits = plan::waits(self.state, number, self.now)?;
        let said = owners::waits(self.state, (self.lost, self.now), &waits, waits.to_string());
        let begins = format!("deployment {number} ");
        let said = said.strip_prefix(&begins).unwrap_or(&said);
        let at = there.schedule.at.filter(|_| !matches!(waits, WaitingOn::Time { .. }));
        let planned = at.map(|at| format!(", planned for {at:.0},")).unwrap_or_default();
        let clashes = outlook.into_iter().flat_map(|outlook| outlook.clashes);
        let clashes = clashes.filter(|clash| *clash != waits.to_string()).map(|clash| format!("; {clash}"));
        let ends = super::status::ends_in_words(self.state, &waits).unwrap_or_default();
        let what = format!("{begins}({name}){planned} {said}{ends}{}", clashes.collect::<String>());
        let takes_off = if there.waves == 0 { "takes it off" } else { "takes it back" };
        let abort = format!("`sortie abort {number}` {takes_off}");
        let remedy = match (&waits, &there.version) {
            (WaitingOn::Freeze { freeze, .. }, Some(version)) => {
                let except = format!("sortie freeze except {freeze} {}@{version} --reason …", there.app);
                format!("`{except}` lets it pass, {abort}")
            }
            _ => abort,
        };
        Some(StandingOrder { deployment: number, what: trust::names::printable(&what), remedy })
    }

    /// Why this is no moment for a member of the package, where it does not run as the package says. Windows are the
    /// environment's, and are spoken of for the package, as are the freezes that stop the package itself.
    fn moment_of(&self, member: &Candidate<'_>) -> impl Iterator<Item = Refusal> {
        let Self { state, policy, now, .. } = *self;
        let moment = match packages::is_in_place(state, member, &BTreeSet::new(), now) {
            true => Vec::new(),
            false => rules::moment(state, policy, member, &Schedule::default(), now),
        };
        let own = rules::moment(state, policy, &self.candidate, &Schedule::default(), now);
        let own: Vec<u64> = own.iter().filter_map(|verdict| freeze_of(verdict.verdict.as_ref().err()?)).collect();
        let of_member = moment.into_iter().filter(|verdict| verdict.rule != "windows");
        let refused = of_member.filter_map(|verdict| verdict.verdict.err());
        refused.filter(move |refusal| freeze_of(refusal).is_none_or(|freeze| !own.contains(&freeze)))
    }

    /// What keeps a member of the package from being activated, where it does not run as the package says.
    fn on_member(&self, member: &Candidate<'_>) -> Vec<Condition> {
        let Self { state, now, .. } = *self;
        let Candidate { app, audience, record, .. } = *member;
        if packages::is_in_place(state, member, &BTreeSet::new(), now) {
            return Vec::new();
        }
        let frozen = self.moment_of(member).map(|refusal| freezes::with_reason(refusal, self.texts));
        let targets = placement::targets(state, app, audience, &record.facts, &BTreeSet::new(), now);
        let needs = targets.and_then(|targets| placement::meets_needs(state, &record.facts, &targets));
        let config = configuration::complete(app, audience, &record.facts, state.in_audience(app, audience));
        let crossed = self.is_made_for_the_data(member);
        let refused = frozen.chain(needs.err()).chain(config.err()).chain(crossed.err());
        let of_member =
            |refusal: Refusal| Condition { what: format!("{app}: {}", unmet(&refusal).what), ..unmet(&refusal) };
        refused.map(of_member).collect()
    }

    /// The targets that the build fits and the permit is for; and those it fits, for which the permit is not.
    fn fitting(&self, targets: Vec<TargetName>) -> Vec<Condition> {
        let Self { state, policy, candidate, now, .. } = self;
        let reached = match rules::ways::reached(state, policy, candidate, targets.clone(), false, *now) {
            Ok(reached) => reached,
            Err(refusal) => return vec![unmet(&refusal)],
        };
        let fit = if reached.len() == 1 { "fits" } else { "fit" };
        let mut words = format!("{} {fit}: {}", words::count(reached.len(), "target"), words::names(&reached));
        let beyond: Vec<TargetName> = targets.into_iter().filter(|name| !reached.contains(name)).collect();
        if !beyond.is_empty() {
            let way = rules::ways::of(state, policy, candidate, *now);
            words.push_str(&format!("; {way} is not for {}", words::names(&beyond)));
        }
        vec![met(words)]
    }

    /// `yes: on 2 of 2 targets, since …` or `no: 1.3.2 on 2 of 2`.
    fn runs(&self) -> String {
        let Candidate { app, audience, build, record, .. } = self.candidate;
        if !self.policy.charter.environments.contains_key(audience) {
            return format!("{audience} is a channel: its people install for themselves");
        }
        let mut running: BTreeMap<Digest, Vec<(&TargetName, &Running)>> = BTreeMap::new();
        let mut targets = 0;
        for (name, target) in self.state.targets_in(audience) {
            let here = target.apps.get(app).and_then(|on_target| on_target.running.as_ref());
            if here.is_some() || placement::fits(&record.facts, target) {
                targets += 1;
            }
            if let Some(here) = here {
                running.entry(here.build).or_default().push((name, here));
            }
        }
        let stopped = |on: &[(&TargetName, &Running)]| match on {
            _ if on.iter().all(|(_, running)| running.stopped) => ", stopped",
            _ if on.iter().all(|(_, running)| running.standby) => ", stands by",
            _ => "",
        };
        // What is wrong is said of the first, and of how many more.
        let unwell = |on: &[(&TargetName, &Running)]| {
            let mut wrong = on.iter().filter_map(|(name, running)| Some((name, running.unwell.as_ref()?)));
            let first = wrong.next().map(|(name, unwell)| match unwell.unclear {
                true => format!("; nobody can tell how it is on {name}: {}", unwell.reason),
                false => format!("; unwell on {name}: {}", unwell.reason),
            });
            let more = Some(wrong.count()).filter(|more| *more > 0).map(|more| format!("; and on {more} more"));
            [first, more].into_iter().flatten().map(|said| trust::names::printable(&said)).collect::<String>()
        };
        if let Some(on) = running.get(&build) {
            let since = on.iter().map(|(_, running)| running.since).min().unwrap_or(self.now);
            let has_settled = |here| on.iter().all(|(_, running)| soak::has_settled(self.state, here, running));
            let settled = if self.here.is_some_and(has_settled) { ", settled" } else { "" };
            let (n, stopped, unwell) = (on.len(), stopped(on), unwell(on));
            return format!("yes: on {n} of {targets}, since {}{settled}{stopped}{unwell}", words::moment(since));
        }
        if let Some(here) = self.here.filter(|_| !record.facts.package.is_empty()) {
            let runs = super::packages::runs(self.state, app, audience, here).into_iter().next();
            return match runs {
                Some(runs) if runs.build.build == build => {
                    format!("yes: every member, on {}", words::count(runs.on.len(), "target"))
                }
                Some(runs) => format!("no: {}, every member", runs.build.short()),
                None if self.is_in_place() => {
                    format!("no: every member runs in {audience} as it says, and it was not deployed there itself")
                }
                None => format!("no: not every member runs in {audience} as it says"),
            };
        }
        if running.is_empty() {
            return format!("no: nothing of {app} runs in {audience}");
        }
        let others = running.iter().map(|(build, on)| {
            let name = build_name(self.state, app, build).short();
            format!("{name} on {} of {targets}{}", on.len(), stopped(on))
        });
        format!("no: {}", others.collect::<Vec<_>>().join(", "))
    }

    /// Where it failed, though it stands there: `; it failed on prod-3 (deployment 5)`.
    fn failed(&self) -> String {
        let Candidate { app, audience, build, .. } = self.candidate;
        let failed = failed::on_some(self.state, app, audience).filter(|(stands, ..)| *stands == build);
        failed.map_or(String::new(), |(_, number, on)| {
            format!("; it failed on {} (deployment {number})", words::names(&on))
        })
    }

    /// Whether all that the package lists runs as it says, whoever brought it.
    fn is_in_place(&self) -> bool {
        let mut members = packages::members(self.state, &self.candidate).flatten();
        members.all(|member| packages::is_in_place(self.state, &member, &BTreeSet::new(), self.now))
    }

    /// Who of the end users sees it.
    fn seen(&self) -> String {
        match self.here.and_then(|here| here.exposure.as_ref()) {
            _ if self.candidate.version().is_none() => "nobody: only a version can be exposed".into(),
            Some((seen, percent, since)) if Some(seen) == self.candidate.version() && *percent > 0 => {
                format!("{percent} % of end users, since {}", words::moment(since.time))
            }
            Some((seen, percent, _)) if *percent > 0 => format!("nobody: {percent} % of end users see {seen}"),
            _ => "nobody".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::fixture::World;

    fn ask(world: &World, version: &str, audience: &str) -> Why {
        let (app, version) = ("web".parse().unwrap(), version.parse().unwrap());
        let (build, _) = names::version(&world.state, &app, &version).unwrap();
        ask_of(world, build, audience)
    }

    fn ask_of(world: &World, build: Digest, audience: &str) -> Why {
        let (app, audience) = ("web".parse().unwrap(), audience.parse().unwrap());
        why(&world.state, &app, build, &audience, &|_| None, &Default::default(), world.now()).unwrap()
    }

    fn shown(why: &Why) -> String {
        let line = |condition: &Condition| {
            let mark = if condition.met { "✓" } else { "✗" };
            format!("{mark} {} | {}\n", condition.what, condition.remedy.as_deref().unwrap_or_default())
        };
        why.conditions.iter().map(line).collect()
    }

    #[test]
    fn approvals_stand_one_by_one_and_the_missing_ones_name_who_can_r52() {
        let mut world = World::new();
        world.numbered("web", "1.4.0");
        world.requested("web", "1.4.0", "prod", "coder");
        world.approved("web", "1.4.0", "prod", "tester");
        let why = ask(&world, "1.4.0", "prod");
        let text = shown(&why);
        assert!(!why.may);
        assert!(text.contains("✓ tester (qa) approved 20"), "{text}");
        assert!(
            text.contains("✗ ops has not approved | 2 people can (oncall, second): sortie approve web@1.4.0 --to prod"),
            "{text}"
        );
        assert!(text.contains("✗ prod comes after test"), "{text}");
        assert!(text.contains("✓ 1 target fits: prod-1"), "{text}");
    }

    #[test]
    fn an_approval_of_somebody_suspended_no_longer_counts() {
        let mut world = World::new();
        world.released("web", "1.4.0", "prod");
        world.happen(domain::event::Event::PersonSuspended { person: "tester".parse().unwrap() });
        let why = ask(&world, "1.4.0", "prod");
        let text = shown(&why);
        assert!(!why.may && text.contains("which no longer counts under the charter in force"), "{text}");
        assert!(text.contains("✗ qa has not approved | nobody in qa can"), "{text}");
        assert!(text.contains("✓ oncall (ops) approved"), "{text}");
    }

    #[test]
    fn an_emergency_fits_the_targets_it_names_r52() {
        let mut world = World::new();
        world.amended("hours = 24", "hours = 24, targets = [\"prod-1\"]");
        world.enrolled("prod-2", "prod", 30);
        world.released_by(trust::way::Way::BreakGlass, "web", "1.4.0", "prod");
        let text = shown(&ask(&world, "1.4.0", "prod"));
        assert!(text.contains("✓ 1 target fits: prod-1; break-glass is not for prod-2"), "{text}");
    }

    /// What stands there is named, with what it waits for and what may be typed: it comes by itself.
    #[test]
    fn orders_that_stand_are_named_r1() {
        let mut world = World::new();
        let (one, two) = (world.released("web", "1.4.0", "test"), world.released("web", "1.5.0", "test"));
        let hours = |hours| world.now() + jiff::SignedDuration::from_hours(hours);
        let (soon, late, later) = (hours(2), hours(30), hours(60));
        let at = |at| Schedule { at: Some(at), ..Schedule::default() };
        assert_eq!(ask(&world, "1.4.0", "test").standing, []);
        world.stands("test-1", "web", one, OrderAct::Deploy, at(late));
        let said = |world: &World| {
            let standing = ask(world, "1.4.0", "test").standing.into_iter();
            standing.map(|one| format!("{} | {}", one.what, one.remedy)).collect::<Vec<_>>()
        };
        let waits = format!("deployment 1 (web@1.4.0) waits for its time, {late:.0}");
        assert_eq!(said(&world), [format!("{waits} | `sortie abort 1` takes it off")]);
        assert_eq!(ask(&world, "1.4.0", "prod").standing, []);
        // Its time has come, and the clock has not gone on with it yet.
        let now = std::mem::replace(&mut world.state.head.time, late);
        let begins = format!("deployment 1 (web@1.4.0), planned for {late:.0}, goes on in a moment");
        assert_eq!(said(&world), [format!("{begins} | `sortie abort 1` takes it off")]);
        world.state.head.time = now;
        // Another version that comes before it makes it too late, and is named as well.
        world.stands("test-1", "web", two, OrderAct::Deploy, at(soon));
        let dropped =
            format!("deployment 1 will be dropped: web@1.5.0 comes there before, at {soon:.0} (deployment 2)");
        assert_eq!(said(&world)[0], format!("{waits}; {dropped} | `sortie abort 1` takes it off"));
        assert!(said(&world)[1].starts_with("deployment 2 (web@1.5.0) waits for its time"), "{:?}", said(&world));
        let (by, reason) = (Some("oncall".parse().unwrap()), Some(Digest::of(b"lunch")));
        world.happen(domain::event::Event::DeploymentPaused { deployment: 2, by, reason, failure: None });
        let paused =
            format!("deployment 2 (web@1.5.0), planned for {soon:.0}, is paused by oncall; somebody says `sortie");
        assert!(said(&world)[1].starts_with(&paused), "{:?}", said(&world));
        // A freeze names the version that may pass it.
        let terms = trust::freeze::Terms {
            environments: ["test".parse().unwrap()].into(),
            apps: [].into(),
            from: world.now(),
            until: later,
            reason: Digest::of(b"reason"),
        };
        let by = "oncall".parse().unwrap();
        world.happen(domain::event::Event::FreezeDeclared { freeze: Digest::of(b"freeze"), number: 1, terms, by });
        world.state.head.time = late;
        let frozen = format!("deployment 1 (web@1.4.0), planned for {late:.0}, waits for freeze 1, which ends at");
        assert!(said(&world)[0].starts_with(&frozen), "{:?}", said(&world));
        let except = "`sortie freeze except 1 web@1.4.0 --reason …` lets it pass, `sortie abort 1` takes it off";
        assert!(said(&world)[0].ends_with(except), "{:?}", said(&world));
    }

    /// Nothing new is begun under a charter that has expired: what is asked about says so, and so does what stands.
    #[test]
    fn a_charter_that_has_expired_stands_against_what_is_new_r1() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "test");
        let at = world.now() + jiff::SignedDuration::from_hours(2);
        world.stands("test-1", "web", build, OrderAct::Deploy, Schedule { at: Some(at), ..Schedule::default() });
        let mut policy = Policy::clone(world.state.policy.as_ref().unwrap());
        policy.record.facts.charter_expires = Some(at);
        world.state.policy = Some(std::sync::Arc::new(policy));
        assert!(ask(&world, "1.4.0", "test").may);
        world.state.head.time = at;
        let why = ask(&world, "1.4.0", "test");
        let text = shown(&why);
        assert!(
            !why.may && text.contains("✗ the charter expired at") && text.contains("| sortie charter renew"),
            "{text}"
        );
        let standing = &why.standing[0].what;
        let waits = format!("planned for {at:.0}, waits until an owner renews the charter");
        assert!(standing.contains(&waits) && !standing.contains("in a moment"), "{standing}");
    }

    /// A package says what keeps each of its members, before the first of them is activated.
    #[test]
    fn a_package_is_kept_by_what_keeps_its_members_r1_r9() {
        let mut world = World::new();
        let db = world.numbered("db", "1.0.0");
        let mut facts = (*world.state.apps[&crate::views::fixture::app("db")].builds[&db].facts).clone();
        facts.needs.memory_bytes = Some(900 << 30);
        let hungry = Digest::of(b"hungry");
        let pushed = |name: &str, build, facts| domain::event::Event::BuildPushed {
            app: name.parse().unwrap(),
            build,
            pusher: "coder".parse().unwrap(),
            commit: None,
            recipe: None,
            facts,
        };
        world.happen(pushed("web", hungry, facts.clone()));
        facts.needs = Default::default();
        let member = |build, version: &str| {
            serde_json::from_value(serde_json::json!({ "build": build, "version": version })).unwrap()
        };
        facts.driver = trust::manifest::Driver::Package;
        facts.package =
            [("db".parse().unwrap(), member(db, "1.0.0")), ("web".parse().unwrap(), member(hungry, "2.0.0"))].into();
        let shop = Digest::of(b"shop");
        world.happen(pushed("shop", shop, facts));
        let terms = trust::freeze::Terms {
            environments: ["dev".parse().unwrap()].into(),
            apps: ["db".parse().unwrap()].into(),
            from: world.now(),
            until: world.now() + jiff::SignedDuration::from_hours(10),
            reason: Digest::of(b"reason"),
        };
        let by = "oncall".parse().unwrap();
        world.happen(domain::event::Event::FreezeDeclared { freeze: Digest::of(b"freeze"), number: 1, terms, by });
        let ask = |world: &World| {
            let (app, audience) = ("shop".parse().unwrap(), "dev".parse().unwrap());
            why(&world.state, &app, shop, &audience, &|_| None, &Default::default(), world.now()).unwrap()
        };
        let text = shown(&ask(&world));
        assert!(text.contains("✗ db: db in dev is frozen until") && !text.contains("no freeze is on"), "{text}");
        assert!(!text.contains("nothing was changed"), "nobody has done anything: {text}");
        assert!(text.contains("✗ web: dev-1 is not what the build needs"), "{text}");
        assert!(!ask(&world).may);
        // What stops the package itself is said once.
        let everything = trust::freeze::Terms {
            environments: ["dev".parse().unwrap()].into(),
            apps: [].into(),
            from: world.now(),
            until: world.now() + jiff::SignedDuration::from_hours(5),
            reason: Digest::of(b"reason"),
        };
        let before = world.state.freezes.clone();
        let (freeze, by) = (Digest::of(b"another"), "oncall".parse().unwrap());
        world.happen(domain::event::Event::FreezeDeclared { freeze, number: 2, terms: everything, by });
        let text = shown(&ask(&world));
        assert_eq!((text.matches("by freeze 2").count(), text.matches("by freeze 1").count()), (1, 1), "{text}");
        world.state.freezes = before;
        // What runs already as the package says is not activated, and nothing keeps it.
        world.runs("dev-1", "db", db);
        let text = shown(&ask(&world));
        assert!(!text.contains("db: ") && text.contains("web: dev-1") && text.contains("✓ no freeze is on"), "{text}");
    }

    #[test]
    fn whoever_requested_is_not_among_those_who_can_approve() {
        let mut world = World::new();
        world.numbered("web", "1.4.0");
        world.requested("web", "1.4.0", "prod", "oncall");
        let text = shown(&ask(&world, "1.4.0", "prod"));
        assert!(text.contains("ops has not approved | second can: sortie approve"), "{text}");
    }

    #[test]
    fn what_is_released_and_runs_says_so_r31() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        world.verified_in("web", &build, "test");
        world.runs("prod-1", "web", build);
        world.expose("web", "1.4.0", "prod", 10);
        let why = ask(&world, "1.4.0", "prod");
        let text = shown(&why);
        assert!(why.may, "{text}");
        assert!(text.contains("✓ released to prod since 20"), "{text}");
        assert!(why.runs.starts_with("yes: on 1 of 1, since 20"), "{}", why.runs);
        assert!(why.seen.starts_with("10 % of end users, since"), "{}", why.seen);
    }

    #[test]
    fn what_was_never_asked_for_or_lacks_config_says_what_to_type_r10_r31() {
        let mut world = World::new();
        world.numbered("web", "1.3.2");
        let old = world.released("web", "1.3.2", "prod");
        world.runs("prod-1", "web", old);
        world.declared("web", "1.4.0", "DATABASE_URL");
        let why = ask(&world, "1.4.0", "prod");
        let text = shown(&why);
        assert!(text.contains("| sortie request web@1.4.0 --to prod"), "{text}");
        assert!(text.contains("✗ DATABASE_URL has no value for web in prod"), "{text}");
        assert_eq!(why.runs, "no: 1.3.2 on 1 of 1");
        assert_eq!(why.seen, "nobody");
    }

    #[test]
    fn a_build_without_a_number_stands_before_every_condition_too_r10_r21() {
        let mut world = World::new();
        let ready = world.pushed("web", 1);
        let dev = ask_of(&world, ready, "dev");
        assert!(dev.may && shown(&dev).contains("✓ dev accepts unreleased builds"), "{dev:?}");
        assert_eq!(dev.seen, "nobody: only a version can be exposed");
        let lacking = world.pushed_with("web", "lacking", "DATABASE_URL");
        let dev = ask_of(&world, lacking, "dev");
        assert!(!dev.may && shown(&dev).contains("✗ DATABASE_URL has no value for web in dev"), "{dev:?}");
        let prod = shown(&ask_of(&world, ready, "prod"));
        let digits = ready.short();
        assert!(
            prod.contains(&format!(
                "✗ web#{digits} has no number, so it was never released | sortie number web#{digits} next"
            )),
            "{prod}"
        );
        assert!(
            prod.contains(&format!("✗ prod comes after test, and web#{digits} was not verified in test yet")),
            "{prod}"
        );
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        let mut world = World::new();
        let build = world.numbered("web", "1.4.0");
        let refused = |app: &str, build: Digest, audience: &str| {
            let (app, audience) = (app.parse().unwrap(), audience.parse().unwrap());
            why(&world.state, &app, build, &audience, &|_| None, &Default::default(), world.now()).unwrap_err().code()
        };
        assert_eq!(refused("wbe", build, "prod"), "UNKNOWN_APPLICATION");
        assert_eq!(refused("web", Digest::of(b"nothing"), "prod"), "UNKNOWN_BUILD");
        assert_eq!(refused("web", build, "prdo"), "UNKNOWN_AUDIENCE");
    }
}
