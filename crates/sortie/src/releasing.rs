//! What asking, granting and taking back have in common: the request, what it still lacks, and what runs meanwhile.

use crate::{
    connection::{Connection, Found},
    failure::{Failure, OrMisused},
    invocation::{self, Invocation},
    names::{Place, Thing},
    order, output, sign,
};
use api::{
    problem::Problem,
    read::{ActiveBuild, Cell, DossierView, DroppedView, Released, Runs, Status},
    routes,
    write::{Accepted, Text},
};
use domain::{
    event::Event,
    refusal::{Expired, Refusal, exit},
    rules::deployers,
};
use jiff::{SignedDuration, Timestamp};
use trust::{
    AppName, AudienceName, Digest, PersonName, TargetName, Version,
    authority::{self, Denial, Dossier, KeptWithdrawal},
    charter::{Audience, Class, DeployedBy, Environment},
    dsse::Envelope,
    key::KeyId,
    permit,
    quorum::{Lack, Rule},
    statement::{self, Act, Request},
    way::{Terms, Waiver, Way},
    window,
};

/// A permit begins so long before it is asked for, so that a clock that is a little ahead does no harm.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// A version and the audience it is about, found and verified.
pub struct Matter {
    /// The version.
    pub found: Found,
    /// Its number.
    pub version: Version,
    /// To whom.
    pub audience: AudienceName,
    /// The signed statements.
    pub view: DossierView,
}

/// How a release is asked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Asking {
    /// The lowest version the audience may still activate once this is granted
    #[arg(long, value_name = "VERSION")]
    pub floor: Option<Version>,
    /// Another rule than the normal one, for an emergency: hotfix or break-glass, where the charter has it
    #[arg(long, value_name = "WAY", default_value = "normal", hide_default_value = true)]
    pub way: Way,
    /// How long it may be activated; as long as the charter allows unless said otherwise
    #[arg(long, value_name = "DURATION")]
    pub lasting: Option<String>,
    /// Why it is asked for; an emergency always says so
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

impl Asking {
    /// Fails where an emergency is asked for without a reason.
    pub fn check(&self) -> Result<(), Failure> {
        match self.way.is_normal() || self.reason.is_some() {
            true => Ok(()),
            false => Err(Failure::misused(format!("{} needs a reason: --reason \"what is on fire\"", self.way))),
        }
    }
}

/// What an emergency leaves open, in lines that nobody reads over; nothing for the normal way.
pub fn emergency_in_words(terms: &Terms<'_>, asked: &Request, reason: Option<&str>) -> Vec<String> {
    let Some(rule) = terms.rule else { return Vec::new() };
    let names: Vec<&str> = rule.targets.iter().map(trust::TargetName::as_str).collect();
    let reach = if names.is_empty() { "every target".into() } else { format!("{} only", names.join(", ")) };
    let waives = rule.waives_in_words();
    let loud = asked.way.word().to_uppercase();
    // What this request says, and not the most that the charter allows.
    let end = asked.not_after;
    vec![
        format!("  ‼ {loud}: waives {waives}; holds until {end:.0}; reaches {reach}"),
        format!("  ‼ {loud}: why: {}", reason.map_or("the reason was erased".into(), trust::names::printable)),
        format!("  ‼ {loud}: an alarm until somebody who had no part in it reviews it"),
    ]
}

/// `may be activated from 2026-11-22T10:00:00Z until 2026-11-22T11:00:00Z, 59 minutes from now`.
pub fn life_in_words(asked: &Request, now: Timestamp) -> String {
    let Request { not_before, not_after, .. } = asked;
    let left = match not_after.duration_since(now).as_secs() {
        ..=0 => "which is over".into(),
        seconds => format!("{} from now", output::lasting(seconds)),
    };
    let begins = if *not_before > now { " (not yet)" } else { "" };
    format!("may be activated from {not_before:.0}{begins} until {not_after:.0}, {left}")
}

/// Why it was requested: the text whose digest the requester signed.
pub fn reason<'a>(matter: &'a Matter, request: &SignedRequest) -> Result<Option<&'a str>, Failure> {
    match (&matter.view.reason, request.request.reason) {
        (Some(text), Some(signed)) if text.digest() == signed => Ok(Some(&text.text)),
        (Some(_), _) => Err(Failure::integrity("the server gave another reason than the one that was signed")),
        (None, _) => Ok(None),
    }
}

/// A request as it was signed.
#[derive(Clone, Debug)]
pub struct SignedRequest {
    /// The digest of the signed bytes: what an approval signs.
    pub payload: Digest,
    /// What it says.
    pub request: Request,
    /// Who genuinely signed it.
    pub requester: Option<PersonName>,
}

impl Matter {
    /// Finds what was typed, and verifies push and number on this machine.
    pub async fn find(connection: &Connection, verb: &str, what: &str, place: &Place) -> Result<Self, Failure> {
        let (app, version) = Thing::parse_version(verb, what)?;
        let audience = connection.audience(place)?;
        let (found, view) = connection.find(&Thing::Version(app, version.clone()), Some(&audience)).await?;
        Ok(Self { found, version, audience, view })
    }

    /// `web@1.4.0`.
    pub fn name(&self) -> String {
        self.found.name()
    }

    /// Fails with the first reason that is `meant` among those why it may not be activated there, whatever permit it has.
    pub fn not_barred(&self, meant: impl Fn(&Problem) -> bool) -> Result<(), Failure> {
        match self.view.barred.iter().find(|problem| meant(problem)) {
            Some(problem) => Err(Failure { problem: Box::new(problem.clone()) }),
            None => Ok(()),
        }
    }

    /// Fails where it is below the audience's floor: nothing is signed for what no target activates.
    pub fn not_below_floor(&self) -> Result<(), Failure> {
        self.not_barred(|problem| problem.code == "BELOW_FLOOR")
    }

    /// What the charter says of the audience.
    pub fn audience<'a>(&self, connection: &'a Connection) -> Result<Audience<'a>, Failure> {
        let audience = connection.policy.charter.audience(&self.audience);
        audience.ok_or_else(|| crate::names::unknown_audience(&connection.policy.charter, &self.audience))
    }

    /// What the charter asks of a release by `way`.
    pub fn terms<'a>(&self, connection: &'a Connection, way: Way) -> Result<Terms<'a>, Failure> {
        let audience = self.audience(connection)?;
        let ways = || audience.ways.keys().copied().collect();
        let missing = || Refusal::WayMissing { way, audience: self.audience.clone(), ways: ways() };
        Ok(audience.terms(way).ok_or_else(missing)?)
    }

    /// The rule that a request by `way` has to satisfy.
    pub fn rule(&self, connection: &Connection, way: Way) -> Result<Rule, Failure> {
        let none = || Refusal::NoReleaseNeeded { audience: self.audience.clone() };
        let rule = self.terms(connection, way)?.approve.cloned();
        rule.ok_or_else(|| Failure::from(none()).about(&self.name()))
    }

    /// The newest request, verified to be about this very build in this audience.
    pub fn request(&self, connection: &Connection) -> Result<Option<SignedRequest>, Failure> {
        let Some(envelope) = &self.view.dossier.request else { return Ok(None) };
        let signed = read_request(connection, envelope)?;
        let (request, found) = (&signed.request, &self.found);
        let about_this =
            request.app == found.app && request.version == self.version && request.audience == self.audience;
        match about_this && signed_subject(envelope)? == found.build {
            true => Ok(Some(signed)),
            false => Err(Failure::integrity("the server gave a request that is about something else")),
        }
    }

    /// Signs and submits a request for this version. Gives the digest that approvals sign.
    pub async fn ask(&self, connection: &Connection, asking: &Asking) -> Result<(Accepted, SignedRequest), Failure> {
        self.not_below_floor()?;
        let Asking { way, reason, floor, lasting } = asking;
        let terms = self.terms(connection, *way)?;
        let requires = self.rule(connection, *way)?;
        let now = Timestamp::now().checked_sub(CLOCK_MARGIN).or_misused()?;
        let not_before = Timestamp::from_second(now.as_second() / 60 * 60).or_misused()?;
        let days = i64::from(self.audience(connection)?.permit_days);
        let hours = terms.rule.map_or(24 * days, |rule| i64::from(rule.hours));
        let not_after = match lasting.as_deref().map(invocation::duration).transpose()? {
            // An emergency's longest life is a rule of the charter, and refused as such.
            Some(lasting)
                if lasting.is_zero() || (terms.rule.is_none() && lasting > SignedDuration::from_hours(hours)) =>
            {
                let most = output::count(self.audience(connection)?.permit_days.into(), "day");
                let why = format!("a permit for {} lasts for some time, and for {most} at most", self.audience);
                return Err(Failure::misused(format!("{why}: nothing was signed")));
            }
            Some(lasting) => Timestamp::now().checked_add(lasting).or_misused()?,
            None => not_before.checked_add(SignedDuration::from_hours(hours)).or_misused()?,
        };
        let texts: Vec<Text> = reason.as_deref().map(sign::text).transpose()?.into_iter().collect();
        let request = Request {
            app: self.found.app.clone(),
            version: self.version.clone(),
            audience: self.audience.clone(),
            way: *way,
            charter_version: connection.verified.targets.version(),
            requires,
            serial: self.view.next_serial,
            not_before,
            not_after,
            floor: floor.clone(),
            reason: texts.first().map(Text::digest),
        };
        let act = Act::Request(request.clone());
        let (envelope, whom) = connection.sign_act(&self.name(), self.found.build, act)?;
        let payload = Digest::of(&envelope.payload);
        let texts: Vec<Text> = texts.into_iter().chain(whom).collect();
        let accepted = connection.client.submit(&sign::submission(envelope, &[], &texts)).await;
        let accepted = accepted.map_err(|error| Failure::from(error).about(&self.name()))?;
        Ok((accepted, SignedRequest { payload, request, requester: connection.me().map(|(name, _)| name) }))
    }

    /// Signs and submits an approval of `request`.
    pub async fn approve(&self, connection: &Connection, request: &SignedRequest) -> Result<Accepted, Failure> {
        let act = Act::Approval(statement::Approval {
            app: self.found.app.clone(),
            version: self.version.clone(),
            audience: self.audience.clone(),
        });
        let name = format!("request {} for {} to {}", request.request.serial, self.name(), self.audience);
        connection.submit(&name, request.payload, act).await
    }

    /// What the request lacks with the approvals there are and those by `more`.
    pub fn lacks(
        &self,
        connection: &Connection,
        request: &SignedRequest,
        more: &[KeyId],
    ) -> Result<Vec<Lack>, Failure> {
        let audience = self.audience(connection)?;
        Ok(lacks(connection, &self.view.dossier, request, &audience, &self.view.makers, more))
    }
}

/// Whoever asked, where nobody but them could give what the request lacks: they count once somebody else asks.
pub fn stuck_with(connection: &Connection, matter: &Matter, request: &SignedRequest) -> Option<PersonName> {
    let terms = matter.terms(connection, request.request.way).ok().filter(|terms| terms.excludes_author)?;
    let requester = request.requester.clone()?;
    let push = matter.view.dossier.push.as_ref();
    let pusher = push.and_then(|push| connection.signers(push).into_iter().next());
    let makers: Vec<PersonName> =
        part_makers(connection, push).into_iter().chain(pusher).chain(matter.view.makers.iter().cloned()).collect();
    let lacks = matter.lacks(connection, request, &[]).ok()?;
    let approvers = &connection.policy.approvers;
    let is_stuck = |lack: &Lack| {
        let holders = approvers.holders(&lack.role);
        holders.contains(&&requester) && holders.iter().all(|holder| **holder == requester || makers.contains(holder))
    };
    (terms.approve.is_some() && !makers.contains(&requester) && lacks.iter().any(is_stuck)).then_some(requester)
}

/// The digest that an envelope's statement is about.
fn signed_subject(envelope: &Envelope) -> Result<Digest, Failure> {
    use crate::failure::OrIntegrity;
    Ok(statement::Statement::read(envelope).or_integrity("the request")?.subject)
}

fn read_request(connection: &Connection, envelope: &Envelope) -> Result<SignedRequest, Failure> {
    let statement = connection.open(Some(envelope), "request")?;
    let Act::Request(request) = statement.act else {
        return Err(Failure::integrity("the server gave something else than a request"));
    };
    let requester = connection.signers(envelope).into_iter().next();
    Ok(SignedRequest { payload: Digest::of(&envelope.payload), request, requester })
}

/// What a request lacks, by the approvals of `dossier` that are genuine and about this very request. `makers` pushed a member
/// of it, where it is a package.
pub fn lacks(
    connection: &Connection,
    dossier: &Dossier,
    request: &SignedRequest,
    audience: &Audience<'_>,
    makers: &[PersonName],
    more: &[KeyId],
) -> Vec<Lack> {
    // Whoever brought a vendor's build made nothing of it.
    let push = dossier.push.as_ref().filter(|_| crate::vendor::of(connection, &request.request.app).is_none());
    let pusher = push.and_then(|push| connection.signers(push).into_iter().next());
    let of_parts = part_makers(connection, push);
    let authors: Vec<&PersonName> = request.requester.iter().chain(&pusher).chain(&of_parts).chain(makers).collect();
    let about_it = |envelope: &&Envelope| {
        let statement = connection.open(Some(*envelope), "approval");
        statement.is_ok_and(|s| s.subject == request.payload && matches!(s.act, Act::Approval(_)))
    };
    let mut keys: Vec<KeyId> = more.to_vec();
    for envelope in dossier.approvals.iter().filter(about_it) {
        keys.extend(connection.policy.signers(envelope).into_iter().map(|(id, _)| id));
    }
    let approvers = connection.policy.approvers_of(&request.payload);
    permit::lacks(&request.request.requires, request.request.way, audience, &approvers, &authors, &keys)
}

/// Who made the parts of a build, by the signed word of whoever put them together.
pub fn part_makers(connection: &Connection, push: Option<&Envelope>) -> Vec<PersonName> {
    match connection.open(push, "push").map(|said| said.act) {
        Ok(Act::Push(push)) => push.makers,
        _ => Vec::new(),
    }
}

/// The permit behind `dossier`, where it is whole: a request with every approval it needs.
pub fn whole_permit(connection: &Connection, dossier: &Dossier, audience: &AudienceName) -> Option<SignedRequest> {
    let request = read_request(connection, dossier.request.as_ref()?).ok()?;
    let audience = connection.policy.charter.audience(audience)?;
    lacks(connection, dossier, &request, &audience, &[], &[]).is_empty().then_some(request)
}

/// Why a build that is active on a target has no permission there that this machine can verify, if it has none. A permit
/// whose time is over still covers what runs: expiry stops new activations only. One that is for other targets covers
/// nothing.
pub fn unpermitted(connection: &Connection, active: &ActiveBuild, target: &TargetName) -> Option<String> {
    let ActiveBuild { app, name, environment, dossier } = active;
    let found = Found { app: app.clone(), build: name.build, version: name.version.clone() };
    if let Err(failure) = connection.check_found(&found, dossier) {
        return Some(failure.problem.message);
    }
    let is_of_this = |permit: &SignedRequest| {
        let request = &permit.request;
        let named = request.app == *app && Some(&request.version) == name.version.as_ref();
        let subject = dossier.request.as_ref().and_then(|envelope| signed_subject(envelope).ok());
        named && request.audience == *environment && subject == Some(name.build)
    };
    if dossier.package.as_ref().is_some_and(|package| package.request.is_some()) {
        return by_package(connection, active, target);
    }
    let permit = whole_permit(connection, dossier, environment).filter(is_of_this);
    let withdrawn = withdrawn_through(connection, dossier, app, &name.build, environment);
    let reaches = |permit: &SignedRequest| {
        let audience = connection.policy.charter.audience(environment);
        audience.and_then(|audience| audience.terms(permit.request.way)).is_some_and(|terms| terms.reaches(target))
    };
    match permit {
        Some(permit) if permit.request.serial > withdrawn && reaches(&permit) => None,
        Some(permit) if permit.request.serial > withdrawn => {
            Some(format!("its {} permit to {environment} is not for {target}", permit.request.way))
        }
        None if withdrawn == 0 && connection.is_dev(environment) => None,
        _ if withdrawn > 0 => Some(format!("it was withdrawn from {environment}")),
        _ => Some(format!("no signatures that count today release it to {environment}")),
    }
}

/// The same, of what a package brought.
fn by_package(connection: &Connection, active: &ActiveBuild, target: &TargetName) -> Option<String> {
    let ActiveBuild { app, name, environment, dossier } = active;
    match authority::standing_permit(&connection.policy, app, name.build, environment, dossier) {
        Ok(permit) => {
            let audience = connection.policy.charter.audience(environment);
            let terms = audience.and_then(|audience| audience.terms(permit.way));
            let reaches = terms.is_some_and(|terms| terms.reaches(target));
            (!reaches).then(|| format!("its {} permit to {environment} is not for {target}", permit.way))
        }
        Err(Denial::Withdrawn(_)) => Some(format!("it was withdrawn from {environment}")),
        Err(_) if connection.is_dev(environment) => None,
        Err(denial) => Some(format!("no signatures that count today release it to {environment}: {denial}")),
    }
}

/// The highest serial through which the build is withdrawn from an audience, by statements that count; nought where none.
fn withdrawn_through(
    connection: &Connection,
    dossier: &Dossier,
    app: &AppName,
    build: &Digest,
    audience: &AudienceName,
) -> u64 {
    let policy = &connection.policy;
    let genuine = dossier.withdrawals.iter().filter_map(|envelope| policy.withdrawal(envelope, audience).ok());
    let genuine: Vec<KeptWithdrawal> = genuine.collect();
    policy.dead_through(app, build, &genuine)
}

/// The permit of `matter` as this machine finds it: whole, not withdrawn, for now, and not below the audience's floor.
pub fn live_permit(connection: &Connection, matter: &Matter) -> Result<SignedRequest, Failure> {
    matter.not_below_floor()?;
    let (app, version, audience) = (matter.found.app.clone(), matter.version.clone(), matter.audience.clone());
    let dossier = &matter.view.dossier;
    let Some(permit) = whole_permit(connection, dossier, &audience) else {
        let needs = matter.audience(connection)?.approve.cloned();
        return Err(Refusal::PermitMissing { app, version, audience, needs }.into());
    };
    if withdrawn_through(connection, dossier, &app, &matter.found.build, &audience) >= permit.request.serial {
        let message = format!("{app}@{version} was withdrawn from {audience}");
        let next = format!("sortie status {app} --in {audience}");
        return Err(Failure::new("PERMIT_WITHDRAWN", exit::REFUSED, message).next(next));
    }
    let Request { not_before, not_after, .. } = permit.request;
    let now = Timestamp::now();
    if now < not_before || now >= not_after {
        let (app, at) = (Some(app), Some(now));
        let expired = Expired { app, version, audience, not_before, not_after, at, planned: false };
        return Err(Refusal::PermitExpired(Box::new(expired)).into());
    }
    Ok(permit)
}

/// Whether the signer's own approval suffices to release to the audience.
pub fn may_alone(connection: &Connection, audience: &AudienceName) -> bool {
    let charter = &connection.policy.charter;
    charter.audience(audience).is_some_and(|audience| {
        !audience.excludes_author && audience.approve.is_some_and(|rule| suffices(connection, rule))
    })
}

/// Whether the signer counts, and satisfies the rule without anybody else.
pub fn suffices(connection: &Connection, rule: &Rule) -> bool {
    let key = connection.identity.signer.public().id();
    let me = connection.me();
    me.is_some_and(|(name, roles)| connection.policy.approvers.person(&key) == Some(&name) && rule.allows_alone(&roles))
}

/// What the signer types to have a version released: `sortie release` where nobody else is needed, else `sortie request`.
pub fn command(connection: &Connection, what: &str, audience: &AudienceName) -> String {
    let verb = if may_alone(connection, audience) { "release" } else { "request" };
    format!("sortie {verb} {what} --to {audience}")
}

/// A next command as the signer types it: whoever needs nobody else does not ask first.
pub fn as_signer_types(connection: &Connection, next: String) -> String {
    let asks = next.strip_prefix("sortie request ").and_then(|rest| rest.split_once(" --to "));
    let asked = asks.and_then(|(what, audience)| Some((what, AudienceName::new(audience).ok()?)));
    asked.map(|(what, audience)| command(connection, what, &audience)).unwrap_or(next)
}

/// Where a new build goes first: a dev environment to which the signer may deploy, or a number where there is none.
pub fn first_place(connection: &Connection, name: &str) -> String {
    let roles = connection.me().map(|(_, roles)| roles).unwrap_or_default();
    let mut environments = connection.policy.charter.environments.iter();
    let takes = |(_, environment): &(&AudienceName, &Environment)| {
        environment.class == Class::Dev && environment.deploy.allows_alone(&roles)
    };
    match environments.find(takes) {
        Some((environment, _)) => format!("sortie deploy {name} --to {environment}"),
        None => format!("sortie number {name} next"),
    }
}

/// `qa (2 people) and ops (3 people)`.
pub fn lacks_with_people(connection: &Connection, lacks: &[Lack]) -> String {
    let word = |lack: &Lack| {
        let holders = connection.policy.approvers.holders(&lack.role).len() as u64;
        let people = if holders == 1 { "1 person".into() } else { format!("{holders} people") };
        match lack.count {
            1 => format!("{} ({people})", lack.role),
            count => format!("{count} {} ({people})", lack.role),
        }
    };
    lacks.iter().map(word).collect::<Vec<_>>().join(" and ")
}

/// Whether the last required approval came with this: the version is released.
pub fn is_granted(accepted: &Accepted) -> bool {
    accepted.events.iter().any(|event| matches!(event, Event::PermitGranted { .. }))
}

/// One application in one audience, as it is now.
pub async fn cell(connection: &Connection, matter: &Matter) -> Result<Option<Cell>, Failure> {
    let query = [("app", matter.found.app.as_str())];
    let status: Status = connection.client.get(routes::STATUS, &query).await?;
    Ok(order::cell(&status, &matter.found.app, &matter.audience).cloned())
}

/// `prod runs 1.3.2`, `test runs nothing`.
pub fn runs_in_words(audience: &AudienceName, cell: Option<&Cell>) -> String {
    let runs: Vec<&Runs> = cell.iter().flat_map(|cell| &cell.runs).collect();
    match runs.as_slice() {
        [] => format!("{audience} runs nothing"),
        [one] => format!("{audience} runs {}", one.build.short()),
        several => {
            let each = several.iter().map(|runs| format!("{} on {}", runs.build.short(), runs.on.len()));
            format!("{audience} runs {}", each.collect::<Vec<_>>().join(", "))
        }
    }
}

/// `already released to test since …`, where it is: by whichever way, or by the one that is asked for.
pub fn released<'a>(matter: &Matter, cell: Option<&'a Cell>, way: Option<Way>) -> Option<&'a Released> {
    let fits = |released: &&Released| way.is_none_or(|way| released.way == way);
    cell?.released.iter().filter(fits).find(|released| released.version == matter.version)
}

/// Who deploys the version there, where it is not us: then a permit alone lets nobody deploy it.
fn deployed_by_others(connection: &Connection, matter: &Matter) -> Option<DeployedBy> {
    deployers::others(&connection.policy.charter, &matter.found.app, &matter.audience)
}

/// Tells whoever asks that nobody will deploy there what they ask for.
pub fn mind_deployers(invocation: &Invocation, connection: &Connection, matter: &Matter) {
    if let Some(by) = deployed_by_others(connection, matter) {
        let why = deployers::in_words(&matter.found.app, by);
        invocation.aside(&format!("mind: with a permit for {}, nothing is deployed there. {why}", matter.audience));
    }
}

/// What a grant did and did not do.
pub fn granted_in_words(connection: &Connection, matter: &Matter, cell: Option<&Cell>) -> String {
    let (name, audience) = (matter.name(), &matter.audience);
    if let Some(by) = deployed_by_others(connection, matter) {
        let why = deployers::in_words(&matter.found.app, by);
        return format!(
            "{name} has its permit for {audience}. Nothing was installed, and nobody deploys it there: {why}."
        );
    }
    match connection.charter_environment(audience) {
        Some(environment) => format!(
            "{} may now deploy {name} to {audience}. Nothing was installed: {}.",
            environment.deploy,
            runs_in_words(audience, cell)
        ),
        None => format!("{audience} may now have {name}. Nobody was told, and nothing was installed."),
    }
}

/// The deploy that a grant makes possible; a channel has no machines.
pub fn deploy_command(connection: &Connection, matter: &Matter) -> String {
    let charter = &connection.policy.charter;
    match (deployed_by_others(connection, matter), charter.channels.keys().next()) {
        (Some(DeployedBy::Customer), Some(channel)) => return command(connection, &matter.name(), channel),
        (Some(_), _) => return format!("sortie status {}", matter.found.app),
        (None, _) => {}
    }
    match connection.charter_environment(&matter.audience) {
        Some(environment) => {
            let at = if waits_for_window(environment, Timestamp::now()) { " --at next-window" } else { "" };
            format!("sortie deploy {} --to {}{at}", matter.name(), matter.audience)
        }
        None => format!("sortie status {}", matter.found.app),
    }
}

/// Whether what is ordered there now would be refused, since no window is open. An emergency may not have to wait for one.
fn waits_for_window(environment: &Environment, now: Timestamp) -> bool {
    let may_be_waived = environment.ways.values().any(|way| way.waives(&Waiver::Windows));
    let opens_later = window::next(&environment.windows, now).is_some_and(|opening| opening.from > now);
    opens_later && !may_be_waived
}

/// How far a withdrawal reaches: what still runs, what is exposed, what cannot be recalled.
pub fn reach_in_words(is_channel: bool, matter: &Matter, cell: Option<&Cell>) -> String {
    if is_channel {
        let delivered = cell.and_then(|cell| cell.delivered.iter().find(|one| one.version == matter.version));
        let reach = match delivered {
            Some(delivered) => format!(
                "it was {}, and that cannot be recalled",
                delivered.in_words().replacen("by ", &format!("by {}: ", delivered.to.len()), 1)
            ),
            None => "nobody whose name is known has downloaded it".into(),
        };
        return format!("Nobody gets it from {} any more; {reach}.", matter.audience);
    }
    let running: usize = cell
        .iter()
        .flat_map(|cell| &cell.runs)
        .filter(|r| r.build.build == matter.found.build)
        .map(|r| r.on.len())
        .sum();
    let exposed = cell.and_then(|cell| cell.exposed.clone()).filter(|(version, _)| *version == matter.version);
    let runs = match running {
        0 => format!("It runs nowhere in {}.", matter.audience),
        on => format!("It still runs on {} there, and goes on running.", output::count(on as u64, "target")),
    };
    let exposed = exposed.map(|(_, percent)| format!("{percent}% of end users still see it."));
    let is_meant = |dropped: &&DroppedView| dropped.build.build == matter.found.build;
    let standing = cell.iter().flat_map(|cell| &cell.dropped).filter(is_meant);
    let standing = standing.map(|dropped| format!("Deployment {}, which stands, will be dropped.", dropped.deployment));
    [runs].into_iter().chain(exposed).chain(standing).collect::<Vec<_>>().join(" ")
}
