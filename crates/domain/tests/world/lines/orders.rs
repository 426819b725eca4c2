//! Orders and plans, and what else people say about what runs: config, exposure, freezes.

use super::reading::{act_of, after, all_after, app_of, rollout, version_of};
use crate::world::{World, read};
use domain::{
    command::{Context, Signed},
    decide::preview,
    planned::{PlannedTarget, Preview},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, AudienceName, Digest, TargetName,
    config::ConfigDocument,
    freeze::{Freeze, Terms},
    schedule::Schedule,
    statement::{Act, AdministrationAct, Config, Order, OrderAct, RequestId},
};

impl World {
    /// Orders; `what` is `web@1.0.0`, `web#A`, or `web` for an act on what runs. `keeping data` leaves the data as later
    /// migrations left it, `with canary=1 at_once=25%` says how it goes over its targets.
    pub(super) fn orders(
        &mut self,
        who: &str,
        verb: &str,
        what: &str,
        environment: &str,
        rest: &[&str],
    ) -> Vec<String> {
        let (app, environment): (AppName, AudienceName) = (read(app_of(what)), read(environment));
        let act = act_of(verb);
        let any_running = self.state.targets_in(&environment).filter_map(|(name, _)| self.runs(&app, name)).next();
        let subject = match what.contains(['@', '#']) {
            true => self.meant(what),
            // The command line names the newest build where nothing runs, so that the answer can say just that.
            false => any_running.unwrap_or_else(|| {
                let builds = self.state.apps.get(&app).map(|app| app.builds.clone()).unwrap_or_default();
                builds.keys().next().copied().unwrap_or(Digest::of(b"nobody knows"))
            }),
        };
        let only = all_after(rest, "only").iter().take_while(|word| **word != "with").map(|name| read(name)).collect();
        let version = what.contains('@').then(|| version_of(what));
        let when_released = rest.contains(&"released");
        let (rollout, retries) = (rollout(rest), None);
        let reason = after(rest, "because").map(|reason| Digest::of(reason.as_bytes()));
        let schedule = self.schedule(&environment, act, rest);
        let keep_data = rest.contains(&"keeping");
        let plan = rest.contains(&"planned").then_some(self.plan).flatten();
        let after_current = rest.contains(&"current");
        let order = Order {
            app,
            environment,
            act,
            version,
            only,
            when_released,
            rollout,
            schedule,
            retries,
            reason,
            keep_data,
            plan,
            after_current,
        };
        if verb == "plans" {
            return self.plans(who, subject, order);
        }
        self.act(who, subject, Act::Order(order))
    }

    /// What an order would do; `as planned` orders it afterwards.
    pub(super) fn plans(&mut self, who: &str, subject: Digest, act: Order) -> Vec<String> {
        let request_id = RequestId::new("plan").expect("an id");
        let (away, lost) = (self.away.clone(), self.lost.clone());
        let context = Context { now: self.now, actor: self.actor(who), request_id, payload: None, away, lost };
        match preview(&self.state, &context, Signed { subject, act }) {
            Ok(Preview { planned, warnings, away, waves }) => {
                self.plan = Some(planned.id());
                let on = |targets: &[PlannedTarget]| {
                    targets.iter().map(|planned| planned.target.as_str()).collect::<Vec<_>>().join(" ")
                };
                let of_members = planned.members.iter().map(|(app, targets)| format!("{app} on {}", on(targets)));
                let whole = (!planned.targets.is_empty()).then(|| on(&planned.targets));
                let parts: Vec<String> = whole.into_iter().chain(of_members).collect();
                let mut said = vec![format!("a plan for {}", parts.join(", "))];
                said.extend((waves > 1).then(|| format!("in {waves} waves")));
                said.extend(warnings.into_iter().map(|warning| format!("warned: {warning}")));
                said.extend(away.iter().map(|target| format!("without {target}, which is away")));
                said
            }
            Err(refusal) => vec![self.refusal_in_words(&refusal)],
        }
    }

    /// `at` and `expires`, and the environment's windows unless they are left out.
    pub(super) fn schedule(&self, environment: &AudienceName, act: OrderAct, rest: &[&str]) -> Schedule {
        let moment = |key: &str| after(rest, key).map(read);
        let at: Option<Timestamp> = moment("at");
        let policy = self.policy();
        let windows = policy.charter.environments.get(environment).map(|environment| &environment.windows[..]);
        let is_new = trust::freeze::brings_something_new(act) && !rest.contains(&"windowless");
        let windows = windows.filter(|_| is_new).unwrap_or_default();
        let windows = Schedule::write_out(windows, at.unwrap_or(self.now).max(self.now));
        Schedule { at, expires: moment("expires"), windows }
    }

    /// `retries 4 on prod-2 because …`: what deployment 4 does, by an order of its own.
    pub(super) fn retries(&mut self, who: &str, number: &str, targets: &[&str]) -> Vec<String> {
        let number: u64 = read(number);
        let Some(record) = self.state.deployments.get(&number).cloned() else {
            return vec![format!("there is no deployment {number}")];
        };
        let schedule = self.schedule(&record.environment, record.act, &[]);
        let reason = after(targets, "because").map(|reason| Digest::of(reason.as_bytes()));
        let targets = targets.split(|word| *word == "because").next().unwrap_or_default();
        let order = Order {
            reason,
            version: record.version,
            only: targets.iter().map(|name| read(name)).collect(),
            keep_data: record.keep_data,
            retries: Some(number),
            schedule,
            ..Order::new(record.app, record.environment, record.act)
        };
        self.act(who, record.build, Act::Order(order))
    }

    /// `LEVEL=debug, secret TOKEN`; with `for prod-1` and `serial N` before the colon.
    pub(super) fn sets_config(&mut self, who: &str, app: &str, environment: &str, line: &str) -> Vec<String> {
        let (head, values) = line.split_once(": ").expect("a colon before the values");
        let words: Vec<&str> = head.split_whitespace().collect();
        let (app, environment): (AppName, AudienceName) = (read(app), read(environment));
        let key = |value: &str| match value.strip_prefix("secret ") {
            Some(name) => (name.to_string(), true),
            None => (value.split('=').next().unwrap_or(value).to_string(), false),
        };
        let current = self.state.in_audience(&app, &environment).and_then(|record| record.config.as_ref());
        let serial = after(&words, "serial").map_or(current.map_or(0, |config| config.serial) + 1, read);
        let everyone: BTreeSet<TargetName> =
            self.state.targets_in(&environment).map(|(name, _)| name.clone()).collect();
        let recipients = after(&words, "for").map_or(everyone, |name| BTreeSet::from([read(name)]));
        let document = ConfigDocument {
            app: app.clone(),
            environment: environment.clone(),
            values: BTreeMap::new(),
            salt: values.into(),
        };
        let subject = document.digest().expect("it can be written");
        let keys = values.split(", ").map(key).collect();
        self.act(who, subject, Act::Config(Config { app, environment, serial, keys, recipients }))
    }

    pub(super) fn exposes(&mut self, who: &str, what: &str, environment: &str, percent: u8) -> Vec<String> {
        let (app, environment, version) = (read(app_of(what)), read(environment), version_of(what));
        self.administer(who, AdministrationAct::Expose { app, environment, version, percent })
    }

    /// `prod` or `prod,site`, or `everything` for what is live; `until`, `from` and `for` which applications.
    pub(super) fn freezes(&mut self, who: &str, environments: &str, rest: &[&str]) -> Vec<String> {
        let environments = match environments {
            "everything" => BTreeSet::new(),
            names => names.split(',').map(read).collect(),
        };
        let apps = after(rest, "for").map(|names| names.split(',').map(read).collect()).unwrap_or_default();
        let from = after(rest, "from").map_or(self.now, read);
        let until = read(after(rest, "until").expect("until when"));
        let terms = Terms { environments, apps, from, until, reason: Digest::of(b"why it is frozen") };
        self.act(who, Digest::of(b"estate"), Act::Freeze(Freeze::Declare(terms)))
    }

    /// The freeze of this number, or one that nobody knows.
    pub(super) fn freeze(&self, number: &str) -> Digest {
        let number: u64 = read(number);
        let known = self.state.freezes.values().find(|freeze| freeze.number == number);
        known.map_or(Digest::of(b"no freeze"), |freeze| freeze.known.freeze)
    }
}
