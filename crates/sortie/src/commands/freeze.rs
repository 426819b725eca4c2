//! `sortie freeze`: for a time, nothing new is activated somewhere, or only what somebody excepts.

use crate::{
    connection::Connection,
    failure::{Failure, OrIntegrity, OrMisused, Outcome},
    invocation::Invocation,
    moment,
    names::{self, Thing},
    order,
    output::Answer,
    sign,
};
use api::{
    read::{BuildName, Cell, FreezeView, Runs},
    routes,
};
use domain::{event::Event, refusal::Refusal, waiting::WaitingOn};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use trust::{
    AppName, AudienceName, Digest,
    freeze::{Exception, Freeze as Act, Lift, Said, Terms},
    statement,
};

/// For a time, let nothing new be activated: declare a freeze, list, lift, except a version
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Freeze {
    #[command(subcommand)]
    pub act: Option<FreezeAct>,
    /// The environments to freeze
    #[arg(value_name = "ENVIRONMENT", required_unless_present = "live")]
    pub environments: Vec<String>,
    /// Every environment of class live, those too that come later
    #[arg(long, conflicts_with = "environments")]
    pub live: bool,
    /// These applications only
    #[arg(long, value_name = "APP", value_delimiter = ',')]
    pub app: Vec<String>,
    /// From when; at once unless said otherwise
    #[arg(long, value_name = "MOMENT")]
    pub from: Option<String>,
    /// Until when: 2027-01-04T07:00:00Z, "2027-01-04 07:00", 18:00, 3d
    #[arg(long, value_name = "MOMENT", required = true)]
    pub until: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT", required = true)]
    pub reason: Option<String>,
}

/// What is to be done about a freeze that there is.
#[derive(Debug, clap::Subcommand)]
pub enum FreezeAct {
    /// List the freezes that are on or come
    List {
        /// Those too that are over
        #[arg(long)]
        all: bool,
    },
    /// End a freeze before its time
    Lift {
        /// Its number
        #[arg(value_name = "FREEZE")]
        freeze: u64,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let one version pass a freeze
    Except {
        /// Its number
        #[arg(value_name = "FREEZE")]
        freeze: u64,
        /// The version: web@1.4.1
        #[arg(value_name = "VERSION")]
        what: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

impl Freeze {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        match &self.act {
            Some(FreezeAct::List { all }) => list(invocation, *all).await,
            Some(FreezeAct::Lift { freeze, reason }) => lift(invocation, *freeze, reason.as_deref()).await,
            Some(FreezeAct::Except { freeze, what, reason }) => except(invocation, *freeze, what, reason).await,
            None => self.declare(invocation).await,
        }
    }

    async fn declare(self, invocation: &Invocation) -> Outcome {
        let (now, zone) = (Timestamp::now(), TimeZone::system());
        let from = self.from.as_deref().map(|text| moment::ahead(text, now, &zone)).transpose()?.unwrap_or(now);
        let until = moment::ahead(self.until.as_deref().unwrap_or_default(), now, &zone)?;
        let apps = self.app.iter().map(|name| AppName::new(name).or_misused()).collect::<Result<_, _>>()?;
        let text = sign::text(self.reason.as_deref().unwrap_or_default())?;
        let connection = invocation.connect().await?;
        let charter = &connection.policy.charter;
        let mut environments = std::collections::BTreeSet::new();
        for name in &self.environments {
            let name = AudienceName::new(name).or_misused()?;
            match charter.environments.contains_key(&name) {
                true => environments.insert(name),
                false if charter.channels.contains_key(&name) => {
                    return Err(domain::refusal::Refusal::NotAnEnvironment { channel: name }.into());
                }
                false => return Err(names::unknown_audience(charter, &name)),
            };
        }
        let terms = Terms { environments, apps, from: whole(from)?, until: whole(until)?, reason: text.digest() };
        let act = statement::Act::Freeze(Act::Declare(terms.clone()));
        let accepted = connection.submit_with("estate", connection.estate(), act, &[], &[text]).await?;
        let number = accepted.events.iter().find_map(|event| match event {
            Event::FreezeDeclared { number, .. } => Some(*number),
            _ => None,
        });
        let number = number.ok_or_else(|| Failure::failed("the server accepted the freeze and named none"))?;
        let (from, until) = (moment::written(terms.from, &zone), moment::written(terms.until, &zone));
        let what = in_words(&connection, &terms);
        let begins = if terms.from <= now { String::new() } else { format!(" from {from}") };
        // With applications these are the subject, else the environments.
        let is_many = what.split(" in ").next().is_some_and(|subject| subject.contains(", "));
        let is = if is_many { "are" } else { "is" };
        let words = format!(
            "freeze {number}: {what} {is} frozen{begins} until {until}. Nothing new is activated there, and targets keep it \
             in mind. What runs goes on; undo, rollback, stop and restart stay possible."
        );
        Ok(Answer::new(&json!({ "freeze": number, "accepted": accepted }), words)
            .next(format!("sortie freeze lift {number}")))
    }
}

/// Whole seconds, as people say them.
fn whole(moment: Timestamp) -> Result<Timestamp, Failure> {
    Timestamp::from_second(moment.as_second()).or_misused()
}

/// `prod, site` or `web and api in prod`.
fn in_words(connection: &Connection, terms: &Terms) -> String {
    let charter = connection.policy.charter.environments.iter();
    let reached = charter.filter(|(name, environment)| terms.reaches(name, environment.class));
    let places: Vec<String> = reached.map(|(name, _)| name.to_string()).collect();
    let places = if places.is_empty() { "nothing".into() } else { places.join(", ") };
    match terms.apps.is_empty() {
        true => places,
        false => {
            let apps: Vec<String> = terms.apps.iter().map(ToString::to_string).collect();
            format!("{} in {places}", apps.join(", "))
        }
    }
}

async fn all(connection: &Connection) -> Result<Vec<FreezeView>, Failure> {
    Ok(connection.client.get(routes::FREEZES, &[("all", "true")]).await?)
}

/// The freeze of this number, whose signed declaration says what the server says of it.
async fn find(connection: &Connection, number: u64) -> Result<(FreezeView, Terms), Failure> {
    let unknown = || {
        let mut failure = Failure::from(Refusal::UnknownFreeze);
        failure.problem.message = format!("there is no freeze {number}");
        failure
    };
    let view = all(connection).await?.into_iter().find(|view| view.number == number).ok_or_else(unknown)?;
    let terms = declared(connection, &view)?;
    Ok((view, terms))
}

/// What was signed when the freeze was declared: by one who may, and just what is shown.
fn declared(connection: &Connection, view: &FreezeView) -> Result<Terms, Failure> {
    let is_it = |envelope: &&trust::dsse::Envelope| Digest::of(&envelope.payload) == view.freeze;
    let envelope = view.statements.iter().find(is_it);
    let envelope = envelope.ok_or_else(|| Failure::integrity("the server gave no signed declaration of the freeze"))?;
    let mut terms = None;
    let environments = connection.policy.charter.environments.iter();
    for (name, _) in environments.filter(|(name, _)| view.environments.contains(name)) {
        if let Said::Declared { terms: said, .. } =
            connection.policy.freeze(envelope, name).or_integrity("the freeze")?
        {
            terms = Some(said);
        }
    }
    let terms = terms.ok_or_else(|| Failure::integrity("the freeze reaches no environment of the charter"))?;
    match terms.from == view.from && terms.until == view.until && terms.apps.iter().eq(&view.apps) {
        true => Ok(terms),
        false => Err(Failure::integrity("the server shows another freeze than was signed")),
    }
}

async fn list(invocation: &Invocation, with_over: bool) -> Outcome {
    let connection = invocation.connect().await?;
    let (zone, now) = (TimeZone::system(), Timestamp::now());
    let mut freezes = all(&connection).await?;
    let is_over = |freeze: &FreezeView| freeze.lifted.is_some() || freeze.until <= now;
    freezes.retain(|freeze| with_over || !is_over(freeze));
    let mut lines = Vec::new();
    for freeze in &freezes {
        lines.push(line(freeze, &zone, now));
        if let Err(failure) = declared(&connection, freeze) {
            lines.push(format!("    ‼ not verified: {}", failure.problem.message));
        }
        for passes in &freeze.exceptions {
            let why = passes.reason.as_deref().unwrap_or("the reason was erased");
            lines.push(format!("    {}@{} passes, by {}: {why}", passes.app, passes.version, passes.by));
        }
    }
    let words = if lines.is_empty() { "no freeze is on, and none is to come".into() } else { lines.join("\n") };
    Ok(Answer::new(&json!({ "freezes": freezes }), words))
}

/// `1  prod  until 2027-01-04 07:00:00 UTC  by oncall: holidays   (ops may lift it)`.
fn line(freeze: &FreezeView, zone: &TimeZone, now: Timestamp) -> String {
    let places: Vec<String> = freeze.environments.iter().map(ToString::to_string).collect();
    let places = if freeze.all_live { format!("everything live ({})", places.join(", ")) } else { places.join(", ") };
    let apps: Vec<String> = freeze.apps.iter().map(ToString::to_string).collect();
    let apps = if apps.is_empty() { String::new() } else { format!(" for {}", apps.join(", ")) };
    let written = |time: Timestamp| moment::written(time, zone);
    let when = match (&freeze.lifted, freeze.until <= now, freeze.from > now) {
        (Some((by, at)), _, _) => format!("lifted {} by {by}", written(*at)),
        (None, true, _) => format!("over since {}", written(freeze.until)),
        (None, false, true) => format!("from {} until {}", written(freeze.from), written(freeze.until)),
        (None, false, false) => format!("until {}", written(freeze.until)),
    };
    let reason = freeze.reason.as_deref().unwrap_or("the reason was erased");
    // What is over nobody lifts.
    let may = match freeze.lifted.is_some() || freeze.until <= now {
        true => String::new(),
        false => format!("   ({} may lift it)", freeze.may_lift.join("; ")),
    };
    format!("{}  {places}{apps}  {when}  by {}: {reason}{may}", freeze.number, freeze.by)
}

async fn lift(invocation: &Invocation, number: u64, reason: Option<&str>) -> Outcome {
    let connection = invocation.connect().await?;
    let (view, terms) = find(&connection, number).await?;
    let texts: Vec<_> = reason.map(sign::text).transpose()?.into_iter().collect();
    let act = Act::Lift(Lift { reason: texts.first().map(api::write::Text::digest) });
    let name = format!("freeze {number}");
    let accepted = connection.submit_with(&name, view.freeze, statement::Act::Freeze(act), &[], &texts).await?;
    let what = in_words(&connection, &terms);
    let words =
        format!("freeze {number} is lifted: it keeps nothing out of {what} any more. What stood goes on by itself.");
    Ok(Answer::new(&accepted, words).next("sortie freeze list"))
}

async fn except(invocation: &Invocation, number: u64, what: &str, reason: &str) -> Outcome {
    let (app, version) = Thing::parse_version("except", what)?;
    let connection = invocation.connect().await?;
    let (view, terms) = find(&connection, number).await?;
    let (found, _) = connection.find(&Thing::Version(app.clone(), version.clone()), None).await?;
    let text = sign::text(reason)?;
    let exception = Exception { freeze: view.freeze, app, version, reason: text.digest() };
    let act = statement::Act::Freeze(Act::Except(exception));
    let accepted = connection.submit_with(&found.name(), found.build, act, &[], &[text]).await?;
    let places = in_words(&connection, &terms);
    let words = format!(
        "{} passes freeze {number}. Nothing else does, and nothing was installed: it needs its permit and an order.",
        found.name()
    );
    let place = view.environments.first();
    let environment = place.map_or(places, ToString::to_string);
    let build = BuildName { build: found.build, version: found.version.clone() };
    // The exception stands: what cannot be read now makes the proposal plainer, and is no failure.
    let status = order::status(&connection, None).await.ok();
    let cell = |place| status.as_ref().and_then(|status| order::cell(status, &found.app, place));
    let here = place.and_then(cell);
    let freezes = all(&connection).await.unwrap_or_default();
    let stops = |freeze: &FreezeView| {
        place.is_some_and(|place| freeze.stops(&found.app, &found.build, place, Timestamp::now()))
    };
    let still = freezes.iter().find(|freeze| freeze.number != number && stops(freeze));
    Ok(match still {
        Some(other) => {
            let words = format!("{words} Freeze {} still keeps it out of {environment}.", other.number);
            let next = format!("sortie freeze except {} {} --reason …", other.number, found.name());
            Answer::new(&accepted, words).next(next)
        }
        None => {
            let terms = place.and_then(|place| connection.charter_environment(place));
            let here = here.map(|cell| (cell, terms.is_some_and(|terms| terms.approve.is_some())));
            Answer::new(&accepted, words).next(next_of_excepted(&found.app, &build, &environment, here))
        }
    })
}

/// What lets the version come: where it stands by, it is there, and has only to be let serve. What stands goes on by itself, and what
/// has no permit of its own, where it needs one, comes with a package.
fn next_of_excepted(app: &AppName, build: &BuildName, environment: &str, here: Option<(&Cell, bool)>) -> String {
    let name = build.of(app);
    let stands = |waiting: &WaitingOn| {
        !matches!(waiting, WaitingOn::Approvals { .. } | WaitingOn::Soak { .. } | WaitingOn::Health { .. })
    };
    let is_released = |cell: &Cell| cell.released.iter().any(|released| released.build == build.build);
    match here {
        Some((cell, _)) if cell.runs_of(build).is_some_and(Runs::all_stand_by) => {
            format!("sortie switch {name} --in {environment}")
        }
        Some((cell, _)) if cell.waiting.iter().any(stands) => format!("sortie status {app} --in {environment}"),
        Some((cell, true)) if !is_released(cell) => format!("sortie why {name} --in {environment}"),
        _ => format!("sortie deploy {name} --to {environment}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_by_has_only_to_be_let_serve() {
        let mut cell = crate::commands::samples::status().apps[0].cells[2].clone();
        cell.waiting.clear();
        let web = "web".parse().unwrap();
        let build = cell.runs[0].build.clone();
        let next = |cell: Option<&Cell>| next_of_excepted(&web, &build, "prod", cell.map(|cell| (cell, true)));
        assert_eq!(next(None), "sortie deploy web@1.4.0 --to prod");
        cell.released.clear();
        assert_eq!(next(Some(&cell)), "sortie why web@1.4.0 --in prod", "it comes with a package");
        let until = crate::commands::samples::time("11:00:00");
        cell.waiting = vec![WaitingOn::Freeze { deployment: 41, freeze: 1, until }];
        assert_eq!(next(Some(&cell)), "sortie status web --in prod", "what stands goes on by itself");
        cell.waiting.clear();
        cell.runs[0].standby = cell.runs[0].on.clone();
        assert_eq!(next(Some(&cell)), "sortie switch web@1.4.0 --in prod");
        let cell = crate::commands::samples::status().apps[0].cells[2].clone();
        let released = cell.released.iter().any(|released| released.build == build.build);
        assert!(released && cell.waiting.is_empty());
        assert_eq!(next(Some(&cell)), "sortie deploy web@1.4.0 --to prod");
    }

    #[test]
    fn another_freeze_that_is_on_is_told_of() {
        let freeze = crate::commands::samples::freeze();
        let (web, build) = ("web".parse().unwrap(), Digest::of(b"web"));
        let (here, elsewhere) = (freeze.environments[0].clone(), "elsewhere".parse().unwrap());
        let stops = |freeze: &FreezeView, place: &AudienceName| freeze.stops(&web, &build, place, freeze.from);
        assert!(stops(&freeze, &here) && !stops(&freeze, &elsewhere));
        assert!(!stops(&FreezeView { apps: vec!["api".parse().unwrap()], ..freeze.clone() }, &here));
        let lifted = Some(("night".parse().unwrap(), freeze.from));
        assert!(!stops(&FreezeView { lifted, ..freeze.clone() }, &here));
        assert!(!freeze.stops(&web, &build, &here, freeze.until));
    }

    #[test]
    fn a_freeze_stands_in_a_line_with_its_end_and_who_may_lift_it() {
        let now: Timestamp = "2026-12-24T12:00:00Z".parse().unwrap();
        let mut freeze = FreezeView {
            environments: vec!["prod".parse().unwrap(), "site".parse().unwrap()],
            all_live: true,
            from: "2026-12-20T00:00:00Z".parse().unwrap(),
            until: "2027-01-04T07:00:00Z".parse().unwrap(),
            ..crate::commands::samples::freeze()
        };
        let line = |freeze: &FreezeView| line(freeze, &TimeZone::UTC, now);
        assert_eq!(
            line(&freeze),
            "3  everything live (prod, site)  until 2027-01-04 07:00:00 UTC  by oncall: holidays   (ops may lift it)"
        );
        (freeze.all_live, freeze.apps, freeze.reason) = (false, vec!["web".parse().unwrap()], None);
        freeze.from = "2026-12-31T00:00:00Z".parse().unwrap();
        assert!(line(&freeze).starts_with("3  prod, site for web  from 2026-12-31 00:00:00 UTC until 2027-"));
        freeze.lifted = Some(("night".parse().unwrap(), now));
        assert!(line(&freeze).ends_with("lifted 2026-12-24 12:00:00 UTC by night  by oncall: the reason was erased"));
    }
}
