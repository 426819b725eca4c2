//! Moments as people type and read them: by the clock on their wall.

use crate::{failure::Failure, invocation};
use jiff::{Timestamp, civil, tz::TimeZone};
use trust::names::printable;

/// Reads a moment: `2026-11-22T10:00:00Z`, `2026-11-22 10:00`, `2026-11-22`, `10:30` (today), or a time ago (`2h`).
/// Without an offset the clock on the wall of `zone` is meant.
pub fn read(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Failure> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let wall = |wall: civil::DateTime| wall.to_zoned(zone.clone()).map(|zoned| zoned.timestamp());
    let today = now.to_zoned(zone.clone()).date();
    let on_the_wall = text
        .parse::<civil::DateTime>()
        .or_else(|_| text.parse::<civil::Date>().map(|date| date.at(0, 0, 0, 0)))
        .or_else(|_| text.parse::<civil::Time>().map(|time| today.to_datetime(time)));
    if let Ok(moment) = on_the_wall.and_then(wall) {
        return Ok(moment);
    }
    let ago = invocation::duration(text.trim_end_matches("ago").trim()).ok().and_then(|ago| now.checked_sub(ago).ok());
    ago.ok_or_else(|| {
        Failure::misused(format!(
            "'{}' is not a moment: write for example 2026-11-22T10:00:00Z, 2026-11-22 10:00, 10:30 or 2h",
            printable(text)
        ))
    })
}

/// Reads a moment that is to come: as [`read`], where a time of the day means its next one and a duration is ahead.
pub fn ahead(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Failure> {
    if let Ok(ahead) = invocation::duration(text.trim_start_matches("in ").trim()) {
        return now.checked_add(ahead).map_err(|error| Failure::misused(error.to_string()));
    }
    let moment = read(text, now, zone)?;
    let is_time_of_day = text.parse::<civil::Time>().is_ok() && text.parse::<civil::DateTime>().is_err();
    if !is_time_of_day || moment > now {
        return Ok(moment);
    }
    let tomorrow = now.to_zoned(zone.clone()).tomorrow().map_err(|error| Failure::misused(error.to_string()))?;
    read(text, tomorrow.timestamp(), zone)
}

/// `2026-11-22 10:02:07`, by the clock on the wall of `zone`.
pub fn written(moment: Timestamp, zone: &TimeZone) -> String {
    moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_to_come_are_ahead() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let ahead = |text: &str| ahead(text, now, &TimeZone::UTC).map(|moment| moment.to_string());
        assert_eq!(ahead("3d").unwrap(), "2026-11-25T10:00:00Z");
        assert_eq!(ahead("in 90 min").unwrap(), "2026-11-22T11:30:00Z");
        assert_eq!(ahead("18:00").unwrap(), "2026-11-22T18:00:00Z");
        assert_eq!(ahead("09:00").unwrap(), "2026-11-23T09:00:00Z");
        assert_eq!(ahead("2026-11-22 09:00").unwrap(), "2026-11-22T09:00:00Z", "who says a day means it");
        assert_eq!(ahead("2027-01-04").unwrap(), "2027-01-04T00:00:00Z");
        assert_eq!(ahead("when it is cold").unwrap_err().problem.exit, 2);
    }

    #[test]
    fn moments_are_read_as_people_type_them() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let read = |text: &str| read(text, now, &zone).map(|moment| moment.to_string());
        assert_eq!(read("2026-11-22T09:00:00Z").unwrap(), "2026-11-22T09:00:00Z");
        assert_eq!(read("2026-11-22 09:00").unwrap(), "2026-11-22T08:00:00Z");
        assert_eq!(read("2026-11-20").unwrap(), "2026-11-19T23:00:00Z");
        assert_eq!(read("10:30").unwrap(), "2026-11-22T09:30:00Z");
        assert_eq!(read("2h").unwrap(), "2026-11-22T08:00:00Z");
        assert_eq!(read("90 min ago").unwrap(), "2026-11-22T08:30:00Z");
        assert_eq!(read("soon").unwrap_err().problem.exit, 2);
        assert_eq!(written(now, &zone), "2026-11-22 11:00:00");
    }
}
