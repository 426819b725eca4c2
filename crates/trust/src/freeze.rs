//! Freezes: for a time, nothing new is activated in some environments, or only what somebody excepts.
//!
//! One rule for servers and targets alike: [`Known::stops`]. A freeze stops what brings something new (a deployment, or
//! new config), and nothing that is an act of safety: undo, rollback, stop, start, restart and removal go on.

use crate::{
    charter::Class,
    digest::Digest,
    names::{AppName, AudienceName},
    statement::OrderAct,
    version::Version,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An act about a freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Freeze {
    /// Nothing new is activated for a time. The subject is the estate.
    Declare(Terms),
    /// It is over before its time. The subject is the payload of its declaration.
    Lift(Lift),
    /// One version passes all the same. The subject is its build.
    Except(Exception),
}

/// What a freeze says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// In which environments; none named means every one of class live.
    pub environments: BTreeSet<AudienceName>,
    /// For which applications; none named means all.
    pub apps: BTreeSet<AppName>,
    /// From when.
    pub from: Timestamp,
    /// Until when: that moment is free again.
    pub until: Timestamp,
    /// The salted digest of the reason, which stands in the side table.
    pub reason: Digest,
}

/// A freeze is lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lift {
    /// The salted digest of the reason, which stands in the side table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Digest>,
}

/// A version that a freeze does not stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The payload of the freeze's declaration.
    pub freeze: Digest,
    /// The application, repeated for people.
    pub app: AppName,
    /// The version, repeated for people.
    pub version: Version,
    /// The salted digest of the reason, which stands in the side table.
    pub reason: Digest,
}

impl Terms {
    /// Whether it reaches an environment of this class.
    pub fn reaches(&self, environment: &AudienceName, class: Class) -> bool {
        match self.environments.is_empty() {
            true => class == Class::Live,
            false => self.environments.contains(environment),
        }
    }

    /// Whether it is about the application.
    pub fn concerns(&self, app: &AppName) -> bool {
        self.apps.is_empty() || self.apps.contains(app)
    }
}

/// A freeze and what was said of it since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The payload of its declaration: its identity.
    pub freeze: Digest,
    /// What it says.
    pub terms: Terms,
    /// Whether it was lifted.
    pub lifted: bool,
    /// The builds it does not stop.
    pub excepted: BTreeSet<Digest>,
}

/// What would be activated, and where.
#[derive(Clone, Copy, Debug)]
pub struct Activation<'a> {
    /// The environment.
    pub environment: &'a AudienceName,
    /// Its class.
    pub class: Class,
    /// The application.
    pub app: &'a AppName,
    /// The build.
    pub build: Digest,
}

impl Known {
    /// A freeze of which nothing was said since it was declared.
    pub fn declared(freeze: Digest, terms: Terms) -> Self {
        Self { freeze, terms, lifted: false, excepted: BTreeSet::new() }
    }

    /// THE rule: whether the freeze stops this activation at `now`.
    pub fn stops(&self, activation: &Activation<'_>, now: Timestamp) -> bool {
        let Activation { environment, class, app, build } = activation;
        let is_on = !self.lifted && self.terms.from <= now && now < self.terms.until;
        let is_meant = self.terms.reaches(environment, *class) && self.terms.concerns(app);
        is_on && is_meant && !self.excepted.contains(build)
    }
}

/// The freeze that stops the activation longest, if one does.
pub fn stopping<'a>(
    freezes: impl IntoIterator<Item = &'a Known>,
    activation: &Activation<'_>,
    now: Timestamp,
) -> Option<&'a Known> {
    let stopping = freezes.into_iter().filter(|freeze| freeze.stops(activation, now));
    stopping.max_by_key(|freeze| freeze.terms.until)
}

/// Whether a freeze, or a closed window, stops an act: one that brings a build or config that does not run there yet.
/// Going back is an act of safety, and so are stopping, starting and removing what runs.
pub fn brings_something_new(act: OrderAct) -> bool {
    match act {
        OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Configure | OrderAct::Switch => true,
        OrderAct::Rollback | OrderAct::Undeploy | OrderAct::Stop | OrderAct::Start | OrderAct::Restart => false,
    }
}

/// What somebody who may genuinely said of a freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "kebab-case")]
pub enum Said {
    /// It was declared.
    Declared {
        /// The payload of its declaration.
        freeze: Digest,
        /// What it says.
        terms: Terms,
    },
    /// It was lifted.
    Lifted {
        /// Which.
        freeze: Digest,
    },
    /// A build was excepted.
    Excepted {
        /// From which.
        freeze: Digest,
        /// Which build.
        build: Digest,
    },
}

/// The freezes that all of this makes, in whatever order it came.
pub fn known<'a>(said: impl IntoIterator<Item = &'a Said> + Clone) -> Vec<Known> {
    let mut freezes: Vec<Known> = Vec::new();
    for said in said.clone() {
        if let Said::Declared { freeze, terms } = said {
            freezes.push(Known::declared(*freeze, terms.clone()));
        }
    }
    for said in said {
        let mut change = |of: &Digest, change: &dyn Fn(&mut Known)| {
            freezes.iter_mut().filter(|known| known.freeze == *of).for_each(change);
        };
        match said {
            Said::Declared { .. } => {}
            Said::Lifted { freeze } => change(freeze, &|known| known.lifted = true),
            Said::Excepted { freeze, build } => change(freeze, &|known| {
                known.excepted.insert(*build);
            }),
        }
    }
    freezes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn terms(environments: &[&str], apps: &[&str]) -> Terms {
        Terms {
            environments: environments.iter().map(|name| AudienceName::new(name).unwrap()).collect(),
            apps: apps.iter().map(|name| AppName::new(name).unwrap()).collect(),
            from: time("2026-12-20T00:00:00Z"),
            until: time("2027-01-04T07:00:00Z"),
            reason: Digest::of(b"reason"),
        }
    }

    fn stops(known: &Known, environment: &str, class: Class, app: &str, build: &[u8], now: &str) -> bool {
        let (environment, app) = (AudienceName::new(environment).unwrap(), AppName::new(app).unwrap());
        let activation = Activation { environment: &environment, class, app: &app, build: Digest::of(build) };
        known.stops(&activation, time(now))
    }

    #[test]
    fn r1_a_freeze_stops_what_it_names_from_its_beginning_and_not_at_its_end() {
        let named = Known::declared(Digest::of(b"freeze"), terms(&["prod"], &["web"]));
        let prod = |app, now| stops(&named, "prod", Class::Live, app, b"A", now);
        assert!(prod("web", "2026-12-20T00:00:00Z") && prod("web", "2027-01-04T06:59:59Z"));
        assert!(!prod("web", "2026-12-19T23:59:59Z") && !prod("web", "2027-01-04T07:00:00Z"));
        assert!(!prod("api", "2026-12-24T12:00:00Z"));
        assert!(!stops(&named, "site", Class::Live, "web", b"A", "2026-12-24T12:00:00Z"));
        let all = Known::declared(Digest::of(b"freeze"), terms(&[], &[]));
        assert!(stops(&all, "site", Class::Live, "api", b"A", "2026-12-24T12:00:00Z"));
        assert!(!stops(&all, "test", Class::Test, "api", b"A", "2026-12-24T12:00:00Z"));
    }

    #[test]
    fn what_was_said_of_a_freeze_counts_in_whatever_order_it_came() {
        let freeze = Digest::of(b"freeze");
        let said = [
            Said::Excepted { freeze, build: Digest::of(b"B") },
            Said::Lifted { freeze: Digest::of(b"another") },
            Said::Declared { freeze, terms: terms(&["prod"], &[]) },
        ];
        let [known] = known(&said).try_into().unwrap();
        let at = |build: &[u8]| stops(&known, "prod", Class::Live, "web", build, "2026-12-24T12:00:00Z");
        assert!(at(b"A") && !at(b"B"));
        let [lifted] = super::known(said.iter().chain(&[Said::Lifted { freeze }])).try_into().unwrap();
        assert!(!stops(&lifted, "prod", Class::Live, "web", b"A", "2026-12-24T12:00:00Z"));
    }

    #[test]
    fn an_act_about_a_freeze_reads_back_and_takes_no_field_more() {
        let exception = Exception {
            freeze: Digest::of(b"freeze"),
            app: AppName::new("web").unwrap(),
            version: "1.4.1".parse().unwrap(),
            reason: Digest::of(b"reason"),
        };
        for act in
            [Freeze::Declare(terms(&["prod"], &[])), Freeze::Lift(Lift { reason: None }), Freeze::Except(exception)]
        {
            let mut written = serde_json::to_value(&act).unwrap();
            assert_eq!(serde_json::from_value::<Freeze>(written.clone()).unwrap(), act);
            written["more"] = 1.into();
            assert!(serde_json::from_value::<Freeze>(written).is_err(), "{act:?}");
        }
    }
}
