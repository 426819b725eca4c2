//! When an order is to be carried out, as people say it.

use crate::{
    connection::Connection,
    failure::{Failure, OrMisused},
    moment,
    order::{self, Wanted},
};
use api::{read::FreezeView, routes};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use trust::{
    AppName, AudienceName, Digest,
    freeze::brings_something_new,
    schedule::{NotNow, Schedule},
    statement::OrderAct,
    window::{Opening, Window},
};

/// How long a deployment may stand after its time, or wait for its permit, before it is dropped, unless something else is said.
const STANDS: SignedDuration = SignedDuration::from_hours(24 * 7);
/// How many beginnings and ends of windows and freezes are looked at.
const LOOKED_AT: usize = 1000;
/// The word for the next moment at which the environment takes something new.
const NEXT_WINDOW: &str = "next-window";

/// When it is to be carried out.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct When {
    /// Let it stand until then, and begin by itself: "2027-01-04 07:00", 18:00, 3h, next-window
    #[arg(long, value_name = "MOMENT")]
    pub at: Option<String>,
    /// Drop it if it has not begun by then; unless said otherwise 7 days after --at, or after it was ordered to wait for a release
    #[arg(long, value_name = "MOMENT")]
    pub expires: Option<String>,
}

impl When {
    /// The times that are meant. The environment's windows are written in when the order is signed.
    pub async fn schedule(
        &self,
        connection: &Connection,
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<Schedule, Failure> {
        let zone = TimeZone::system();
        let at = match self.at.as_deref() {
            None => None,
            Some(NEXT_WINDOW) => next_window(connection, wanted, now).await?,
            Some(text) => Some(whole(to_come(text, now, &zone)?)?),
        };
        let expires = match (self.expires.as_deref(), at) {
            (Some(text), _) => Some(whole(to_come(text, now, &zone)?)?),
            (None, Some(at)) => Some(at.checked_add(STANDS).or_misused()?),
            // An order that nobody remembers must not begin with a release months later.
            (None, None) if waits_for_release(connection, wanted).await? => {
                Some(whole(now.checked_add(STANDS).or_misused()?)?)
            }
            (None, None) => None,
        };
        Ok(Schedule { at, expires, windows: Vec::new() })
    }
}

/// Whether it stands until it is released. What is released begins at once, and an end would only keep those from it that come late.
async fn waits_for_release(connection: &Connection, wanted: &Wanted) -> Result<bool, Failure> {
    if !wanted.when_released {
        return Ok(false);
    }
    let status = order::status(connection, None).await?;
    let cell = order::cell(&status, &wanted.app, &wanted.environment);
    let is_it = |released: &api::read::Released| released.build == wanted.build.build;
    Ok(!cell.is_some_and(|cell| cell.released.iter().any(is_it)))
}

/// Whoever names yesterday has mistyped: it does not mean now.
fn to_come(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Failure> {
    let moment = moment::ahead(text, now, zone)?;
    if moment < whole(now)? {
        let (then, now) = (moment::written(moment, zone), moment::written(now, zone));
        let message = format!("that moment has passed: {then}, and it is {now}");
        return Err(Failure::misused(message));
    }
    Ok(moment)
}

fn whole(moment: Timestamp) -> Result<Timestamp, Failure> {
    Timestamp::from_second(moment.as_second()).or_misused()
}

/// The environment's windows as absolute times, for an order that is to begin at `start`; none where it brings nothing
/// new.
pub fn written_out(
    connection: &Connection,
    environment: &AudienceName,
    act: OrderAct,
    start: Timestamp,
) -> Vec<Opening> {
    let windows = windows(connection, environment);
    if brings_something_new(act) { Schedule::write_out(windows, start) } else { Vec::new() }
}

fn windows<'a>(connection: &'a Connection, environment: &AudienceName) -> &'a [Window] {
    connection.charter_environment(environment).map(|environment| &environment.windows[..]).unwrap_or_default()
}

/// The next moment at which the environment takes this build; nothing where it does now.
async fn next_window(connection: &Connection, wanted: &Wanted, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    let freezes: Vec<FreezeView> = connection.client.get(routes::FREEZES, &[]).await?;
    let members = members_to_come(connection, wanted).await?;
    let at = next_opening(windows(connection, &wanted.environment), &freezes, wanted, &members, now);
    let never = || {
        let next = "sortie charter show";
        Failure::misused(format!("no window of {} opens again", wanted.environment)).next(next)
    };
    let at = at.ok_or_else(never)?;
    Ok((at > now).then_some(at))
}

/// What a package brings there, each member with its build: those that do not run there already.
async fn members_to_come(connection: &Connection, wanted: &Wanted) -> Result<Vec<(AppName, Digest)>, Failure> {
    let manifest = crate::object::manifest(connection, &wanted.build.build).await?;
    if manifest.run.package.is_empty() {
        return Ok(Vec::new());
    }
    let status = crate::order::status(connection, None).await?;
    let runs_it = |app: &AppName, build: Digest| {
        let runs = crate::order::cell(&status, app, &wanted.environment).map(|cell| &cell.runs[..]).unwrap_or_default();
        !runs.is_empty() && runs.iter().all(|runs| runs.build.build == build)
    };
    let members = manifest.run.package.iter().map(|(app, member)| (app.clone(), member.build));
    Ok(members.filter(|(app, build)| !runs_it(app, *build)).collect())
}

/// The first moment from `now` on at which a window is open and no freeze stops the build, nor any of the `members` that it brings.
fn next_opening(
    windows: &[Window],
    freezes: &[FreezeView],
    wanted: &Wanted,
    members: &[(AppName, Digest)],
    now: Timestamp,
) -> Option<Timestamp> {
    let stops = |freeze: &&FreezeView, at: Timestamp| {
        let stops = |app, build| freeze.stops(app, build, &wanted.environment, at);
        // Who excepts a package excepts what it brings.
        let of_member = !freeze.excepts(&wanted.build.build) && members.iter().any(|(app, build)| stops(app, build));
        of_member || stops(&wanted.app, &wanted.build.build)
    };
    let mut at = now;
    for _ in 0..LOOKED_AT {
        at = match Schedule::default().is_moment(Some(windows), SignedDuration::ZERO, at) {
            Err(NotNow::Closed { opens }) => opens?,
            Err(NotNow::Early { at }) => at,
            Err(NotNow::Over { .. }) => return None,
            Ok(()) => match freezes.iter().filter(|freeze| stops(freeze, at)).map(|freeze| freeze.until).max() {
                Some(until) => until,
                None => return Some(at),
            },
        };
    }
    None
}

/// `2027-01-04 07:00:00`, and until when it may begin, for a deployment that is planned.
pub fn in_words(schedule: &Schedule) -> String {
    let zone = TimeZone::system();
    let written = |moment: Timestamp| moment::written(moment, &zone);
    match (schedule.at, schedule.expires) {
        (Some(at), Some(expires)) => {
            format!("at {}, and is dropped if it has not begun by {}", written(at), written(expires))
        }
        (Some(at), None) => format!("at {}", written(at)),
        (None, Some(expires)) => format!("and is dropped if it has not begun by {}", written(expires)),
        (None, None) => "at once".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;
    use api::read::FreezeException;
    use domain::refusal::exit;

    #[test]
    fn what_has_passed_is_no_moment_to_begin_at() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let to_come = |text: &str| to_come(text, now, &TimeZone::UTC);
        let refused = to_come("2026-11-28 10:00").unwrap_err().problem;
        assert!(refused.exit == exit::MISUSED && refused.message.contains("that moment has passed: 2026-11-28 10:00"));
        assert_eq!(to_come("10:00").unwrap().to_string(), "2026-11-30T10:00:00Z");
        assert_eq!(to_come("0s").unwrap(), now);
    }

    #[test]
    fn the_next_window_is_after_what_is_frozen() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let windows: Vec<Window> = vec!["mon-thu 07:00-16:00 Europe/Paris".parse().unwrap()];
        let wanted = samples::wanted("1.5.0");
        let mut freeze = samples::freeze();
        (freeze.from, freeze.until) = (time("2026-11-23T00:00:00Z"), time("2026-11-24T12:00:00Z"));
        let next = |freezes: &[FreezeView]| next_opening(&windows, freezes, &wanted, &[], time("2026-11-21T12:00:00Z"));
        assert_eq!(next(&[]), Some(time("2026-11-23T06:00:00Z")));
        assert_eq!(next(std::slice::from_ref(&freeze)), Some(time("2026-11-24T12:00:00Z")));
        // What a package brings keeps it back, unless that passes, or the package does.
        let brings = [("db".parse().unwrap(), Digest::of(b"db"))];
        let of_package = |freeze: &FreezeView| {
            next_opening(&windows, std::slice::from_ref(freeze), &wanted, &brings, time("2026-11-21T12:00:00Z"))
        };
        freeze.apps = vec!["db".parse().unwrap()];
        assert_eq!(next(std::slice::from_ref(&freeze)), Some(time("2026-11-23T06:00:00Z")));
        assert_eq!(of_package(&freeze), Some(time("2026-11-24T12:00:00Z")));
        for build in [Digest::of(b"db"), wanted.build.build] {
            let mut excepted = freeze.clone();
            excepted.exceptions = vec![FreezeException {
                app: "db".parse().unwrap(),
                version: "1.0.0".parse().unwrap(),
                build,
                by: "oncall".parse().unwrap(),
                reason: None,
                since: freeze.from,
            }];
            assert_eq!(of_package(&excepted), Some(time("2026-11-23T06:00:00Z")));
        }
        freeze.environments = vec!["test".parse().unwrap()];
        assert_eq!(next(&[freeze]), Some(time("2026-11-23T06:00:00Z")));
        let never: Vec<Window> = vec!["RRULE:FREQ=DAILY;BYHOUR=7;UNTIL=20260102 PT1H".parse().unwrap()];
        assert_eq!(next_opening(&never, &[], &wanted, &[], time("2026-11-21T12:00:00Z")), None);
    }
}
