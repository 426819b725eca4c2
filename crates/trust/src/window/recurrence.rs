//! On which days a window opens: the part of RFC 5545's recurrence rules that windows have a use for.
//!
//! Taken are FREQ (DAILY, WEEKLY, MONTHLY, YEARLY), INTERVAL, UNTIL, BYMONTH, BYMONTHDAY, BYDAY, BYHOUR, BYMINUTE and
//! WKST; what is not taken is refused by name rather than read wrongly.

use crate::names::printable;
use jiff::{
    Span, Timestamp, Zoned,
    civil::{Date, DateTime, Time, Weekday},
    tz::TimeZone,
};

/// Which days there are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recurrence {
    frequency: Frequency,
    /// Every so many days, weeks, months or years.
    interval: i32,
    /// The day from which intervals are counted, and before which nothing opens.
    start: Option<Date>,
    until: Option<Until>,
    months: Vec<i8>,
    month_days: Vec<i8>,
    week_days: Vec<(Option<i8>, Weekday)>,
    week_start: Weekday,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// The last moment at which it may open (RFC 5545, 3.3.10).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Until {
    /// This day.
    Day(Date),
    /// This time by the clock on the wall.
    Wall(DateTime),
    /// This moment.
    Moment(Timestamp),
}

impl Until {
    /// Whether it lies before `opens`.
    pub fn is_before(&self, opens: &Zoned) -> bool {
        match self {
            Until::Day(day) => *day < opens.date(),
            Until::Wall(wall) => *wall < opens.datetime(),
            Until::Moment(moment) => *moment < opens.timestamp(),
        }
    }
}

impl Recurrence {
    /// Every week on these days.
    pub fn weekly(days: Vec<Weekday>) -> Self {
        Self {
            frequency: Frequency::Weekly,
            interval: 1,
            start: None,
            until: None,
            months: Vec::new(),
            month_days: Vec::new(),
            week_days: days.into_iter().map(|day| (None, day)).collect(),
            week_start: Weekday::Monday,
        }
    }

    /// The last moment at which it may open.
    pub fn until(&self) -> Option<Until> {
        self.until
    }

    /// Whether it opens on `day`, as far as its last moment allows.
    pub fn holds(&self, day: Date) -> bool {
        self.names(day) && self.start.is_none_or(|start| self.in_turn(start, day))
    }

    /// Whether `day` is one that the rule names, whatever its beginning and interval.
    pub fn names(&self, day: Date) -> bool {
        let in_month = self.months.is_empty() || self.months.contains(&day.month());
        let length = day.days_in_month();
        let is_day = |wanted: &i8| *wanted == day.day() || length + 1 + *wanted == day.day();
        let in_days = self.month_days.is_empty() || self.month_days.iter().any(is_day);
        let is_week_day = |(nth, wanted): &(Option<i8>, Weekday)| {
            let from_first = (day.day() - 1) / 7 + 1;
            let from_last = (length - day.day()) / 7 + 1;
            *wanted == day.weekday() && nth.is_none_or(|nth| nth == from_first || -nth == from_last)
        };
        in_month && in_days && (self.week_days.is_empty() || self.week_days.iter().any(is_week_day))
    }

    fn in_turn(&self, start: Date, day: Date) -> bool {
        let monday = |day: Date| {
            let since = day.weekday().since(self.week_start);
            day.checked_sub(Span::new().days(since)).unwrap_or(day)
        };
        let days = |from: Date, to: Date| from.until(to).map(|span| span.get_days()).unwrap_or_default();
        let passed = match self.frequency {
            Frequency::Daily => days(start, day),
            Frequency::Weekly => days(monday(start), monday(day)) / 7,
            Frequency::Monthly => {
                i32::from(day.year() - start.year()) * 12 + i32::from(day.month()) - i32::from(start.month())
            }
            Frequency::Yearly => i32::from(day.year() - start.year()),
        };
        day >= start && passed % self.interval == 0
    }
}

/// `DTSTART;TZID=Europe/Paris:20260105T070000`: the zone, where it names one, and the time by the clock there.
pub(super) fn read_start(line: &str) -> Result<(Option<String>, DateTime), String> {
    let rest = line.strip_prefix("DTSTART").unwrap_or(line);
    let (parameters, value) =
        rest.split_once(':').ok_or("DTSTART is written DTSTART;TZID=Europe/Paris:20260105T070000")?;
    let zone = match parameters.strip_prefix(';') {
        None => None,
        Some(parameter) => {
            let named = parameter.strip_prefix("TZID=");
            Some(named.ok_or_else(|| format!("'{}' is not taken in DTSTART", printable(parameter)))?.to_owned())
        }
    };
    let (zone, value) = match value.strip_suffix('Z') {
        Some(_) if zone.is_some() => return Err("a DTSTART with a zone does not end in Z".into()),
        Some(value) => (Some("UTC".to_owned()), value),
        None => (zone, value),
    };
    Ok((zone, read_date_time(value)?))
}

fn read_date_time(text: &str) -> Result<DateTime, String> {
    let wrong = || format!("'{}' is no time: write 20260105T070000", printable(text));
    let (date, time) = text.split_once('T').ok_or_else(wrong)?;
    let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(time, 6) {
        return Err(wrong());
    }
    let number = |text: &str| text.parse::<i8>().map_err(|_| wrong());
    let time = Time::new(number(&time[..2])?, number(&time[2..4])?, number(&time[4..])?, 0).map_err(|_| wrong())?;
    Ok(read_date(date)?.to_datetime(time))
}

fn read_date(text: &str) -> Result<Date, String> {
    let wrong = || format!("'{}' is no day: write 20260105", printable(text));
    if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let year: i16 = text[..4].parse().map_err(|_| wrong())?;
    let part = |range: std::ops::Range<usize>| text[range].parse::<i8>().map_err(|_| wrong());
    Date::new(year, part(4..6)?, part(6..8)?).map_err(|_| wrong())
}

/// Reads the parts of a rule. `start` is its DTSTART, which says what the rule leaves out.
pub(super) fn read(parts: &str, start: Option<DateTime>) -> Result<(Recurrence, Vec<Time>), String> {
    let mut frequency = None;
    let mut recurrence = Recurrence { start: start.map(|start| start.date()), ..Recurrence::weekly(Vec::new()) };
    let (mut hours, mut minutes) = (Vec::new(), Vec::new());
    let mut seen: Vec<String> = Vec::new();
    for part in parts.split(';') {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("'{}' has no value", printable(part)))?;
        if seen.iter().any(|other| other == name) {
            return Err(format!("{} stands twice", printable(name)));
        }
        seen.push(name.into());
        match name {
            "FREQ" => frequency = Some(read_frequency(value)?),
            "INTERVAL" => recurrence.interval = i32::from(one(name, value, 1, 120)?),
            "UNTIL" => recurrence.until = Some(read_until(value)?),
            "BYMONTH" => recurrence.months = many(name, value, 1, 12)?,
            "BYMONTHDAY" => recurrence.month_days = signed(name, value, 31)?,
            "BYDAY" => recurrence.week_days = value.split(',').map(read_week_day).collect::<Result<_, _>>()?,
            "BYHOUR" => hours = many(name, value, 0, 23)?,
            "BYMINUTE" => minutes = many(name, value, 0, 59)?,
            "WKST" => recurrence.week_start = read_week_day(value)?.1,
            _ => return Err(format!("{} is not taken in windows", printable(name))),
        }
    }
    recurrence.frequency = frequency.ok_or("FREQ is wanted")?;
    fill_in(&mut recurrence)?;
    if hours.is_empty() {
        hours = vec![start.ok_or("BYHOUR is wanted, or a DTSTART")?.hour()];
    }
    if minutes.is_empty() {
        minutes = vec![start.map_or(0, DateTime::minute)];
    }
    let mut opens = Vec::new();
    for hour in &hours {
        for minute in &minutes {
            opens.push(Time::new(*hour, *minute, 0, 0).map_err(|error| error.to_string())?);
        }
    }
    Ok((recurrence, opens))
}

/// What a rule leaves out, its beginning says (RFC 5545, 3.3.10); what it may not say is refused.
fn fill_in(recurrence: &mut Recurrence) -> Result<(), String> {
    let names_days = !recurrence.week_days.is_empty() || !recurrence.month_days.is_empty();
    let is_counted = recurrence.week_days.iter().any(|(nth, _)| nth.is_some());
    if recurrence.interval > 1 && recurrence.start.is_none() {
        return Err("an INTERVAL is counted from a DTSTART".into());
    }
    match recurrence.frequency {
        Frequency::Daily | Frequency::Weekly if is_counted => {
            return Err("a BYDAY with a number belongs to FREQ=MONTHLY, or to FREQ=YEARLY with BYMONTH".into());
        }
        Frequency::Weekly if !recurrence.month_days.is_empty() => {
            return Err("BYMONTHDAY does not go with FREQ=WEEKLY".into());
        }
        Frequency::Yearly if !recurrence.week_days.is_empty() && recurrence.months.is_empty() => {
            return Err("FREQ=YEARLY with BYDAY wants BYMONTH".into());
        }
        Frequency::Daily => return Ok(()),
        _ if names_days && recurrence.frequency != Frequency::Yearly => return Ok(()),
        Frequency::Yearly if names_days && !recurrence.months.is_empty() => return Ok(()),
        _ => {}
    }
    let start =
        recurrence.start.ok_or("the rule does not say on which days: BYDAY or BYMONTHDAY is wanted, or a DTSTART")?;
    match recurrence.frequency {
        Frequency::Weekly => recurrence.week_days = vec![(None, start.weekday())],
        Frequency::Monthly => recurrence.month_days = vec![start.day()],
        Frequency::Yearly => {
            if recurrence.months.is_empty() {
                recurrence.months = vec![start.month()];
            }
            if !names_days {
                recurrence.month_days = vec![start.day()];
            }
        }
        Frequency::Daily => {}
    }
    Ok(())
}

fn read_frequency(text: &str) -> Result<Frequency, String> {
    match text {
        "DAILY" => Ok(Frequency::Daily),
        "WEEKLY" => Ok(Frequency::Weekly),
        "MONTHLY" => Ok(Frequency::Monthly),
        "YEARLY" => Ok(Frequency::Yearly),
        _ => Err(format!("FREQ is DAILY, WEEKLY, MONTHLY or YEARLY, not {}", printable(text))),
    }
}

fn read_until(text: &str) -> Result<Until, String> {
    match (text.strip_suffix('Z'), text.contains('T')) {
        (Some(text), _) => {
            let moment = read_date_time(text)?.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
            Ok(Until::Moment(moment.timestamp()))
        }
        (None, true) => Ok(Until::Wall(read_date_time(text)?)),
        (None, false) => Ok(Until::Day(read_date(text)?)),
    }
}

/// `MO`, `1MO`, `-1FR`.
fn read_week_day(text: &str) -> Result<(Option<i8>, Weekday), String> {
    let wrong = || format!("'{}' is no day: write MO, 1MO or -1FR", printable(text));
    let at = text.len().checked_sub(2).filter(|at| text.is_char_boundary(*at)).ok_or_else(wrong)?;
    let (nth, day) = text.split_at(at);
    let days = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
    let place = days.iter().position(|name| *name == day).ok_or_else(wrong)?;
    let day = Weekday::from_monday_zero_offset(place as i8).map_err(|_| wrong())?;
    let nth = match nth {
        "" => None,
        nth => Some(nth.parse::<i8>().ok().filter(|nth| (1..=5).contains(&nth.abs())).ok_or_else(wrong)?),
    };
    Ok((nth, day))
}

fn one(name: &str, text: &str, least: i8, most: i8) -> Result<i8, String> {
    let number = text.parse::<i8>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{} is from {least} to {most}, not {}", printable(name), printable(text)))
}

fn many(name: &str, text: &str, least: i8, most: i8) -> Result<Vec<i8>, String> {
    text.split(',').map(|text| one(name, text, least, most)).collect()
}

/// Numbers from 1, or counted from the end as -1.
fn signed(name: &str, text: &str, most: i8) -> Result<Vec<i8>, String> {
    let numbers: Vec<i8> = many(name, text, -most, most)?;
    match numbers.contains(&0) {
        true => Err(format!("{} counts from 1, or from -1", printable(name))),
        false => Ok(numbers),
    }
}
