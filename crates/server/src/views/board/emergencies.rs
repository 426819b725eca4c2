//! Emergencies stand above everything else until somebody who had no part in them has looked at them.

use super::{
    super::words::{ago, loud, moment, names},
    drawing::{Sign, sign},
    time,
};
use api::read::{Emergency, Status};
use jiff::Timestamp;
use maud::{Markup, html};
use trust::{AppName, AudienceName, names::printable};

/// The band above the board: one card for each, with what was waived, why, and what ends the alarm.
pub(super) fn band(status: &Status) -> Markup {
    let all = &status.emergencies;
    html! {
        @if !all.is_empty() {
            section #emergencies.emergencies aria-label="Emergency releases that nobody has reviewed" {
                @for emergency in all { (card(emergency, status.at)) }
            }
        }
    }
}

fn card(emergency: &Emergency, now: Timestamp) -> Markup {
    html! {
        article class={ "emergency is-" (emergency.way) } {
            header {
                span.way { (loud(emergency.way)) }
                h2 { span.version { (emergency.app) "@" (emergency.version) } " → " (emergency.audience) }
                span.muted { (time(emergency.since, now)) @if ago(emergency.since, now) != "just now" { " ago" } }
            }
            p.why {
                @if let Some(reason) = &emergency.reason { q { (printable(reason)) } } @else { span.muted { "The reason was erased." } }
                span.muted {
                    " " (emergency.requester) " asked"
                    @if !emergency.approvers.is_empty() { ", " (names(&emergency.approvers)) " agreed" }
                }
            }
            dl {
                div { dt { "waives" } dd { @if emergency.waives.is_empty() { "nothing" } @else { (names(&emergency.waives)) } } }
                div { dt { "runs on" } dd { @if emergency.runs_on.is_empty() { "no target" } @else { (names(&emergency.runs_on)) } } }
                div { dt { "permit" } dd title=(moment(emergency.not_after)) { (standing(emergency, now)) } }
            }
            p.end { "Not reviewed. Somebody who had no part in it: " kbd { (emergency.review()) } }
        }
    }
}

fn standing(emergency: &Emergency, now: Timestamp) -> String {
    match emergency.withdrawn {
        true => "withdrawn".into(),
        false if emergency.not_after <= now => "over".into(),
        false => format!("holds for {}", ago(now, emergency.not_after)),
    }
}

/// What stands in the cell of the application and audience.
pub(super) fn badges(status: &Status, app: &AppName, audience: &AudienceName) -> Markup {
    let here = status.emergencies.iter().filter(|emergency| emergency.app == *app && emergency.audience == *audience);
    html! {
        @for emergency in here {
            p.bad.alarm {
                (sign(Sign::Bad))
                span { a href="#emergencies" { b.way { (loud(emergency.way)) } } " " b.version { (emergency.version) } " not reviewed" }
            }
        }
    }
}
