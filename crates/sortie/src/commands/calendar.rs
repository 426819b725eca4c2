//! `sortie calendar`: what is planned, begins and ends, and what of it will not come true as it stands (R1).

use crate::{
    connection::Connection,
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    moment,
    output::{Answer, lines_printable},
    table::table,
};
use api::{
    read::{CALENDAR_AHEAD, CalendarEntry, CalendarKind, LONGEST_CALENDAR},
    routes,
};
use ics::{
    Event, ICalendar, escape_text,
    properties::{Description, DtEnd, DtStart, Summary},
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::json;
use trust::{AudienceName, names::printable};

/// Show what is planned, and what clashes
#[derive(Debug, clap::Args)]
pub struct Calendar {
    /// In this environment or channel; in all unless said otherwise
    #[arg(long = "in", value_name = "ENVIRONMENT")]
    pub place: Option<String>,
    /// Until when; two weeks ahead unless said otherwise: 30d, "2027-01-04 07:00"
    #[arg(long, value_name = "MOMENT")]
    pub until: Option<String>,
    /// Show when windows are open, too
    #[arg(long)]
    pub windows: bool,
    /// Write an iCalendar file (RFC 5545) to standard output, for the calendars that people use
    #[arg(long, conflicts_with = "json")]
    pub ics: bool,
}

impl Calendar {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let (now, zone) = (Timestamp::now(), TimeZone::system());
        let until = self.until.as_deref().map(|text| until(text, now, &zone)).transpose()?;
        let place = self.place.as_deref().map(AudienceName::new).transpose().or_misused()?;
        let connection = invocation.connect().await?;
        if let Some(place) = &place
            && connection.policy.charter.audience(place).is_none()
        {
            return Err(crate::names::unknown_audience(&connection.policy.charter, place));
        }
        let owners = Owners::of(&connection, until.or_else(|| now.checked_add(CALENDAR_AHEAD).ok()));
        let until = until.map(|until| until.to_string());
        let place = place.map(|place| place.to_string());
        let query = [("until", until.as_deref()), ("in", place.as_deref())];
        let query: Vec<(&str, &str)> = query.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let mut entries: Vec<CalendarEntry> = connection.client.get(routes::CALENDAR, &query).await?;
        entries.retain(|entry| self.windows || entry.kind != CalendarKind::Window);
        let (charter, root) = (connection.verified.targets.expires(), connection.verified.root.expires());
        let data = json!({ "entries": entries, "charter_expires": charter, "root_expires": root });
        if self.ics {
            let estate = connection.estate().short();
            return Ok(Answer::raw(ical(&entries, &owners, &estate, now).into_bytes()));
        }
        let next = entries.iter().find(|entry| !entry.clashes.is_empty()).and_then(|entry| entry.number);
        let answer = Answer::new(&data, words(&entries, &owners, now, &zone));
        Ok(match next {
            Some(number) => answer.next(format!("sortie status {number}")),
            None => answer,
        })
    }
}

/// Until when it is shown: a moment to come, as far ahead as a calendar looks.
fn until(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Failure> {
    let until = moment::ahead(text, now, zone)?;
    if until <= now {
        let message =
            format!("that moment has passed: {}. A calendar shows what is to come", moment::written(until, zone));
        return Err(Failure::misused(message).next("sortie history"));
    }
    match now.checked_add(LONGEST_CALENDAR) {
        Ok(latest) if until > latest => {
            let latest = moment::written(latest, zone);
            let message = format!("a calendar looks two years ahead at most, until {latest}");
            Err(Failure::misused(message).next("sortie calendar --until 731d"))
        }
        _ => Ok(until),
    }
}

/// What owners signed and is over by then, in the order in which it ends: from then on nothing new is activated anywhere.
struct Owners(Vec<(Timestamp, &'static str)>);

impl Owners {
    const CHARTER: &str =
        "the charter expires: nothing new is activated until an owner renews it: sortie charter renew";
    const ROOT: &str =
        "the root of trust expires: nothing new is activated until owners renew it: sortie charter renew --root";

    fn of(connection: &Connection, until: Option<Timestamp>) -> Self {
        let verified = &connection.verified;
        Self::ending([(verified.targets.expires(), Self::CHARTER), (verified.root.expires(), Self::ROOT)], until)
    }

    fn ending(ends: [(Timestamp, &'static str); 2], until: Option<Timestamp>) -> Self {
        let mut ends: Vec<_> = ends.into_iter().filter(|(at, _)| until.is_none_or(|until| *at < until)).collect();
        ends.sort();
        Self(ends)
    }
}

/// `web@1.5.0 is deployed (deployment 17)`.
fn what(entry: &CalendarEntry) -> String {
    let app = entry.app.as_ref().map(ToString::to_string).unwrap_or_default();
    let build = entry.app.as_ref().zip(entry.build.as_ref()).map(|(app, build)| build.of(app)).unwrap_or(app);
    let number = entry.number.unwrap_or_default();
    match entry.kind {
        CalendarKind::Deployment => {
            if entry.begun {
                return format!("{build} goes on (deployment {number})");
            }
            if !entry.missed_by.is_empty() {
                let names = entry.missed_by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return format!("{build} comes to {names}, which missed it (deployment {number})");
            }
            let ends = entry.until.map(|until| format!("; dropped if it has not begun by {until:.0}"));
            format!("{build} is deployed (deployment {number}){}", ends.unwrap_or_default())
        }
        CalendarKind::Freeze => {
            let apps: Vec<String> = entry.apps.iter().map(ToString::to_string).collect();
            let apps = if apps.is_empty() { String::new() } else { format!(" for {}", apps.join(", ")) };
            let reason = entry.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("frozen{apps} (freeze {number}){reason}")
        }
        CalendarKind::Window if entry.more => "a window is open, the last of those listed: more follow".into(),
        CalendarKind::Window => "a window is open".into(),
        CalendarKind::PermitBegins => format!("{build} may run from then on"),
        CalendarKind::PermitEnds => format!("{build} may not be activated any more"),
        CalendarKind::EnvironmentEnds => {
            format!("the time of {} is over: everything there is removed", entry.environment)
        }
    }
}

fn words(entries: &[CalendarEntry], owners: &Owners, now: Timestamp, zone: &TimeZone) -> String {
    if entries.is_empty() && owners.0.is_empty() {
        return "nothing is planned, and nothing begins or ends".into();
    }
    let from = |at: Timestamp| if at <= now { "now".into() } else { moment::written(at, zone) };
    let mut rows: Vec<(Timestamp, Vec<String>)> = Vec::new();
    for entry in entries {
        let until = entry.until.filter(|_| entry.kind != CalendarKind::Deployment);
        let until = until.map(|until| moment::written(until, zone)).unwrap_or_default();
        rows.push((entry.from, vec![from(entry.from), until, entry.environment.to_string(), what(entry)]));
        let clash = |clash: &String| vec![String::new(), String::new(), String::new(), format!("‼ {clash}")];
        rows.extend(entry.clashes.iter().map(|said| (entry.from, clash(said))));
    }
    let everywhere = |(at, what): &(Timestamp, &str)| {
        let what = if *at <= now { what.replacen(" expires: ", " has expired: ", 1) } else { (*what).to_owned() };
        (*at, vec![from(*at), String::new(), "everywhere".into(), what])
    };
    rows.extend(owners.0.iter().map(everywhere));
    rows.sort_by_key(|(at, _)| *at);
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(_, row)| row).collect();
    table(&["from", "until", "where", "what"], &rows)
}

/// The entries as an iCalendar object. What has no length lasts an hour there, for calendars show nothing shorter well.
fn ical(entries: &[CalendarEntry], owners: &Owners, estate: &str, now: Timestamp) -> String {
    let stamp = |moment: Timestamp| moment.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut calendar = ICalendar::new("2.0", "-//Sortie//sortie calendar//EN");
    for entry in entries {
        let kind = json!(entry.kind).as_str().unwrap_or_default().to_owned();
        let name = entry.app.as_ref().map(ToString::to_string).unwrap_or_default();
        let version = entry.build.as_ref().map(|build| build.short()).unwrap_or_default();
        let number = entry.number.unwrap_or_default();
        let uid = format!(
            "{kind}-{number}-{name}-{version}-{}-{}@{estate}.sortie",
            entry.environment,
            entry.from.as_second()
        );
        let until = entry.until.filter(|_| entry.kind != CalendarKind::Deployment).unwrap_or(an_hour_later(entry.from));
        let mut event = Event::new(uid, stamp(now));
        event.push(DtStart::new(stamp(entry.from)));
        event.push(DtEnd::new(stamp(until)));
        event.push(Summary::new(escape_text(printable(&format!("{}: {}", entry.environment, what(entry))))));
        if !entry.clashes.is_empty() {
            event.push(Description::new(escape_text(lines_printable(&entry.clashes.join("\n")))));
        }
        calendar.add_event(event);
    }
    for (at, what) in &owners.0 {
        let kind = if *what == Owners::ROOT { "root-ends" } else { "charter-ends" };
        let mut event = Event::new(format!("{kind}-{}@{estate}.sortie", at.as_second()), stamp(now));
        event.push(DtStart::new(stamp(*at)));
        event.push(DtEnd::new(stamp(an_hour_later(*at))));
        event.push(Summary::new(escape_text(*what)));
        calendar.add_event(event);
    }
    calendar.to_string()
}

fn an_hour_later(at: Timestamp) -> Timestamp {
    at.saturating_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::build;

    fn entry() -> CalendarEntry {
        CalendarEntry {
            kind: CalendarKind::Deployment,
            environment: "prod".parse().unwrap(),
            from: "2027-01-04T06:00:00Z".parse().unwrap(),
            until: Some("2027-01-11T06:00:00Z".parse().unwrap()),
            number: Some(17),
            app: Some("web".parse().unwrap()),
            build: Some(build("1.5.0")),
            apps: Vec::new(),
            reason: None,
            begun: false,
            missed_by: Vec::new(),
            more: false,
            clashes: vec!["deployment 17 waits for freeze 3, which ends at 2027-01-05T07:00:00Z".into()],
        }
    }

    #[test]
    fn a_clash_stands_below_what_it_is_about() {
        let now = "2027-01-01T00:00:00Z".parse().unwrap();
        let said = words(&[entry()], &Owners(Vec::new()), now, &TimeZone::UTC);
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        assert!(lines[1].contains("prod") && lines[1].contains("web@1.5.0 is deployed (deployment 17)"), "{said}");
        assert!(lines[1].contains("(deployment 17); dropped if it has not begun by 20"), "{said}");
        assert!(lines[2].starts_with("‼ deployment 17 waits for freeze 3"), "{said}");
    }

    #[test]
    fn a_freeze_says_why() {
        let mut freeze = CalendarEntry {
            kind: CalendarKind::Freeze,
            number: Some(3),
            app: None,
            build: None,
            reason: Some("holidays".into()),
            ..entry()
        };
        assert_eq!(what(&freeze), "frozen (freeze 3): holidays");
        (freeze.apps, freeze.reason) = (vec!["web".parse().unwrap()], None);
        assert_eq!(what(&freeze), "frozen for web (freeze 3)");
    }

    #[test]
    fn what_owners_signed_and_is_over_stands_among_the_others() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let ends = [(time("2027-01-03T00:00:00Z"), Owners::CHARTER), (time("2031-01-01T00:00:00Z"), Owners::ROOT)];
        let now = time("2027-01-01T00:00:00Z");
        let owners = Owners::ending(ends, Some(time("2027-01-15T00:00:00Z")));
        let said = words(&[entry()], &owners, now, &TimeZone::UTC);
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        assert!(
            lines[1].starts_with("2027-01-03 00:00:00 UTC") && lines[1].contains("everywhere  the charter"),
            "{said}"
        );
        assert!(lines[2].contains("web@1.5.0 is deployed") && lines.len() == 4, "{said}");
        // What is over already is of the present.
        let over = words(&[], &owners, time("2027-01-04T00:00:00Z"), &TimeZone::UTC);
        assert!(over.lines().nth(1).is_some_and(|line| line.trim().starts_with("now ")), "{over}");
        assert!(over.contains("the charter has expired: nothing new"), "{over}");
        let text = ical(&[], &owners, "3fa9c1", now).replace("\r\n ", "");
        assert!(
            text.contains("DTSTART:20270103T000000Z\r\n") && text.contains("SUMMARY:the charter expires"),
            "{text}"
        );
        assert_eq!(Owners::ending(ends, Some(now)).0, []);
    }

    #[test]
    fn what_goes_on_or_comes_late_is_said_to() {
        let mut late = CalendarEntry { begun: true, until: None, ..entry() };
        assert_eq!(what(&late), "web@1.5.0 goes on (deployment 17)");
        (late.begun, late.missed_by) = (false, vec!["prod-3".parse().unwrap(), "prod-5".parse().unwrap()]);
        assert_eq!(what(&late), "web@1.5.0 comes to prod-3, prod-5, which missed it (deployment 17)");
        let window = CalendarEntry { kind: CalendarKind::Window, more: true, ..entry() };
        assert!(what(&window).ends_with("more follow"));
    }

    #[test]
    fn a_calendar_is_of_what_is_to_come() {
        let now = "2027-01-01T00:00:00Z".parse().unwrap();
        let exit = |text: &str| until(text, now, &TimeZone::UTC).map_err(|failure| failure.problem.exit);
        assert_eq!(exit("2025-01-01"), Err(2));
        assert_eq!(exit("4000d"), Err(2));
        assert_eq!(exit("731d"), Ok("2029-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn other_calendars_can_read_it() {
        let text = ical(&[entry()], &Owners(Vec::new()), "3fa9c1", "2027-01-01T00:00:00Z".parse().unwrap());
        assert!(
            text.starts_with("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n") && text.ends_with("END:VCALENDAR\r\n"),
            "{text}"
        );
        let unfolded = text.replace("\r\n ", "");
        assert!(unfolded.contains("\r\nDTSTART:20270104T060000Z\r\nDTEND:20270104T070000Z\r\n"), "{unfolded}");
        assert!(unfolded.contains("SUMMARY:prod: web@1.5.0 is deployed (deployment 17)"), "{unfolded}");
        assert!(unfolded.contains("DESCRIPTION:deployment 17 waits for freeze 3\\, which ends"), "{unfolded}");
        assert!(text.lines().all(|line| line.len() <= 75), "{text}");
    }
}
