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

/// `2026-11-22 11:02:07 CET`, by the clock on the wall of `zone`.
pub fn written(moment: Timestamp, zone: &TimeZone) -> String {
    moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// The same words with every moment as [`written`]. Refusals, conditions and reasons come from the server, which knows of no
/// wall, and say `2026-11-22T10:02:07Z` or `2026-11-22 10:02:07 UTC`. What is to be typed stays as it is: a command in
/// backticks, and the value of an option.
pub fn on_the_wall(words: &str, zone: &TimeZone) -> String {
    let mut told = String::with_capacity(words.len());
    let (mut rest, mut is_command) = (words, false);
    while let Some(first) = rest.chars().next() {
        let is_inside = || told.ends_with(|c: char| c.is_ascii_alphanumeric() || "-:.=".contains(c));
        let is_typed = || is_command || told.trim_end().rsplit(' ').next().is_some_and(|word| word.starts_with("--"));
        if first.is_ascii_digit()
            && !is_inside()
            && !is_typed()
            && let Some((moment, length)) = begins_with_moment(rest)
        {
            told.push_str(&written(moment, zone));
            rest = &rest[length..];
            continue;
        }
        is_command ^= first == '`';
        told.push(first);
        rest = &rest[first.len_utf8()..];
    }
    told
}

/// A moment of UTC with which words begin, and how long it is.
fn begins_with_moment(words: &str) -> Option<(Timestamp, usize)> {
    let bytes = words.as_bytes();
    let fits = |shape: &str| {
        bytes.len() >= shape.len()
            && shape.bytes().zip(bytes).all(|(wanted, byte)| match wanted {
                b'0' => byte.is_ascii_digit(),
                wanted => wanted == *byte,
            })
    };
    let shape =
        ["0000-00-00T00:00:00Z", "0000-00-00 00:00:00 UTC", "0000-00-00 00:00 UTC"].into_iter().find(|s| fits(s))?;
    let ends_here = !bytes.get(shape.len()).is_some_and(u8::is_ascii_alphanumeric);
    let wall = words[..shape.len()].trim_end_matches([' ', 'U', 'T', 'C', 'Z']).parse::<civil::DateTime>().ok()?;
    ends_here.then_some((wall.to_zoned(TimeZone::UTC).ok()?.timestamp(), shape.len()))
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
    fn moments_are_told_one_way_and_what_is_typed_stays() {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let told = |words: &str| on_the_wall(words, &zone);
        assert_eq!(
            told(
                "prod is frozen until 2027-07-04T06:00:00Z. ✗ released 2026-11-22 10:02:07 UTC, ends 2026-11-22 10:02 UTC"
            ),
            "prod is frozen until 2027-07-04 08:00:00 CEST. ✗ released 2026-11-22 11:02:07 CET, ends 2026-11-22 11:02:00 CET"
        );
        for same in [
            "2026-11-22 11:02:07 CET",
            "`sortie deploy web --at 2027-07-04T06:00:00Z`",
            "sortie deploy web --at 2027-07-04T06:00:00Z --to prod",
            "--expires=2027-07-04T06:00:00Z",
            "2026-11-22, 10:02 and 2026-11-22T10:02:07Zulu",
            "2026-99-22T10:02:07Z",
        ] {
            assert_eq!(told(same), same);
        }
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
        assert_eq!(written(now, &zone), "2026-11-22 11:00:00 +01");
    }
}
