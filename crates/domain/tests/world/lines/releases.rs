//! Requests, approvals, reviews and withdrawals.

use super::reading::{after, all_after, app_of, hours, version_of};
use crate::world::{World, read};
use trust::{
    AppName, AudienceName, Digest, Version,
    statement::{Act, Approval, Request, Review, Withdrawal},
    way::Way,
};

impl World {
    pub(super) fn requests_of(&self, app: &AppName, version: &Version, audience: &AudienceName) -> Vec<Digest> {
        let record = self.state.in_audience(app, audience).and_then(|record| record.requests.get(version));
        record.map(|requests| requests.to_vec()).unwrap_or_default()
    }

    pub(super) fn requests(&mut self, who: &str, what: &str, audience: &str, rest: &[&str]) -> Vec<String> {
        let (app, version, audience): (AppName, _, AudienceName) =
            (read(app_of(what)), version_of(what), read(audience));
        let policy = self.policy();
        let charter_audience = policy.charter.audience(&audience);
        let days = charter_audience.map_or(90, |audience| i64::from(audience.permit_days));
        let way = after(rest, "by").map_or(Way::Normal, read);
        let terms = charter_audience.and_then(|audience| audience.terms(way));
        let rule = terms.and_then(|terms| terms.approve.cloned());
        let life = terms.and_then(|terms| terms.rule).map_or(24 * days, |way| i64::from(way.hours));
        let life = after(rest, "lasting").map_or(life, |days| 24 * read::<i64>(days));
        let life = after(rest, "hours").map_or(life, read);
        let in_days = |days: i64| self.now.checked_add(hours(24 * days)).expect("in this era");
        let starts = after(rest, "starting").map_or(0, read);
        let serial = self.requests_of(&app, &version, &audience).len() as u64 + 1;
        let asking = all_after(rest, "asking").join(" ");
        let request = Request {
            way,
            reason: after(rest, "because").map(|reason| Digest::of(reason.as_bytes())),
            charter_version: after(rest, "charter").map_or(policy.record.version, read),
            requires: if asking.is_empty() { rule.unwrap_or_else(|| read("qa")) } else { read(&asking) },
            serial: after(rest, "serial").map_or(serial, read),
            not_before: in_days(starts),
            not_after: self.now.checked_add(hours(life)).expect("in this era"),
            floor: after(rest, "floor").map(read),
            app,
            version,
            audience,
        };
        let subject =
            after(rest, "build").map_or_else(|| what.to_string(), |letter| format!("{}#{letter}", app_of(what)));
        let subject = self.meant(&subject);
        self.act(who, subject, Act::Request(request))
    }

    /// Approves the newest request, or the one of `serial N`; `as prod` says another audience than the request does.
    pub(super) fn approves(&mut self, who: &str, what: &str, audience: &str, rest: &[&str]) -> Vec<String> {
        let (app, version, audience): (AppName, _, AudienceName) =
            (read(app_of(what)), version_of(what), read(audience));
        let requests = self.requests_of(&app, &version, &audience);
        let serial = after(rest, "serial").map_or(requests.len(), read);
        let subject = requests.get(serial.wrapping_sub(1)).copied().unwrap_or(Digest::of(b"nobody knows"));
        let audience = after(rest, "as").map_or(audience, read);
        self.act(who, subject, Act::Approval(Approval { app, version, audience }))
    }

    /// Reviews the newest request, or the one of `serial N`; `finding X` says what was found.
    pub(super) fn reviews(&mut self, who: &str, what: &str, audience: &str, rest: &[&str]) -> Vec<String> {
        let (app, version, audience): (AppName, _, AudienceName) =
            (read(app_of(what)), version_of(what), read(audience));
        let requests = self.requests_of(&app, &version, &audience);
        let serial = after(rest, "serial").map_or(requests.len(), read);
        let subject = requests.get(serial.wrapping_sub(1)).copied().unwrap_or(Digest::of(b"nobody knows"));
        let audience = after(rest, "as").map_or(audience, read);
        let finding = after(rest, "finding").map(|finding| Digest::of(finding.as_bytes()));
        self.act(who, subject, Act::Review(Review { app, version, audience, finding }))
    }

    pub(super) fn withdraws(&mut self, who: &str, what: &str, audience: &str, rest: &[&str]) -> Vec<String> {
        let (app, version, audience): (AppName, _, AudienceName) =
            (read(app_of(what)), version_of(what), read(audience));
        let newest = self.requests_of(&app, &version, &audience).len() as u64;
        let through_serial = after(rest, "through").map_or(newest, read);
        let subject = after(rest, "build").map_or_else(|| what.to_string(), |letter| format!("{app}#{letter}"));
        let subject = self.meant(&subject);
        self.act(who, subject, Act::Withdrawal(Withdrawal { app, version, audience, through_serial, reason: None }))
    }
}
