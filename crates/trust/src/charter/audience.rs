//! Where versions may be released to: environments, which are machines, and channels, which are people; and what applies to
//! one application only.

use super::{Life, default_ephemeral_minutes, default_permit_days, default_stale_hours};
use crate::{
    evidence::Gate,
    names::{AudienceName, VendorName},
    quorum::Rule,
    rollout::{OnFailure, Rollout, RolloutTerms, Share},
    way::{Way, WayRule},
    window::Window,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far a mistake in an environment reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Developers' machines: accepts builds that were never released.
    Dev,
    /// Released versions only.
    Test,
    /// Released versions only, with the deployer's signed order checked on the target.
    Live,
}

impl Class {
    /// The class in a word.
    pub fn word(self) -> &'static str {
        match self {
            Class::Dev => "dev",
            Class::Test => "test",
            Class::Live => "live",
        }
    }
}

/// One environment.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// How far a mistake reaches.
    pub class: Class,
    /// Who must agree to a release; may be left out in class dev only.
    pub approve: Option<Rule>,
    /// Who may deploy.
    pub deploy: Rule,
    /// Who may set config; the deployers where left out.
    pub configure: Option<Rule>,
    /// Who may invite targets; owners where left out.
    pub invite: Option<Rule>,
    /// Who may declare and lift freezes, and except versions from them; the deployers where left out.
    pub freeze: Option<Rule>,
    /// The environment in which the same bytes must have been verified first.
    pub after: Option<AudienceName>,
    /// The evidence asked for by type: who may issue it, and what it must say.
    #[serde(default)]
    pub evidence: BTreeMap<String, Gate>,
    /// Whether requester and pusher count as approvers; in class live they do not unless this says so.
    #[serde(default)]
    pub approve_own: bool,
    /// Whether approvals count only by keys that are held in hardware.
    #[serde(default)]
    pub hardware: bool,
    /// How many days a permit may be activated; 90 unless said otherwise.
    #[serde(default = "default_permit_days")]
    pub permit_days: u32,
    /// How old the newest date that is signed over permits and withdrawals may be, in hours, where something new is to
    /// be activated; 24 unless said otherwise.
    #[serde(default = "default_stale_hours")]
    pub stale_hours: u32,
    /// How old it may be, in days, where an order was carried to a target that nobody reaches by network; 0 unless said
    /// otherwise.
    #[serde(default)]
    pub offline_days: u32,
    /// How many minutes a deployment must stay healthy to be settled.
    #[serde(default)]
    pub soak_minutes: u32,
    /// How a deployment goes over its targets. [`Self::rollout`] has it whole.
    #[serde(default, rename = "rollout")]
    pub rollout_terms: RolloutTerms,
    /// The same as `rollout.at_once`, for those who say nothing else; 0 is all.
    pub at_once: Option<Share>,
    /// The same as `rollout.on_failure`.
    pub on_failure: Option<OnFailure>,
    /// The label by which its targets are of one of two sides, only one of which serves; nothing where there are no sides.
    pub sides: Option<String>,
    /// Who may deploy with less care than that; nobody where left out, and in class dev everyone who may deploy.
    pub hasten: Option<Rule>,
    /// When something new may be activated; at any time where nothing is said.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// Other rules than the normal one, for emergencies.
    #[serde(default)]
    pub ways: BTreeMap<Way, WayRule>,
    /// How long each of its targets lives from its enrolment, for environments that are thrown away (R30); for ever where
    /// nothing is said. Never in class live.
    pub lives: Option<Life>,
    /// For how many minutes an ephemeral target may be silent before it is taken for gone; 15 unless said otherwise.
    #[serde(default = "default_ephemeral_minutes")]
    pub ephemeral_minutes: u32,
}

impl Environment {
    /// Who may set config there.
    pub fn configure_rule(&self) -> &Rule {
        self.configure.as_ref().unwrap_or(&self.deploy)
    }

    /// Who may declare and lift freezes there.
    pub fn freeze_rule(&self) -> &Rule {
        self.freeze.as_ref().unwrap_or(&self.deploy)
    }

    /// How a deployment goes over its targets.
    pub fn rollout(&self) -> Rollout {
        let short = RolloutTerms {
            at_once: self.at_once.map(|share| if share == Share::Count(0) { Share::All } else { share }),
            on_failure: self.on_failure,
            ..RolloutTerms::default()
        };
        Rollout::default().with(&short).with(&self.rollout_terms)
    }

    /// Who may deploy with less care than the rollout asks for; nobody where nothing is said.
    pub fn hasten_rule(&self) -> Option<&Rule> {
        match self.class {
            Class::Dev => Some(self.hasten.as_ref().unwrap_or(&self.deploy)),
            Class::Test | Class::Live => self.hasten.as_ref(),
        }
    }

    pub(super) fn mistake_in_rollout(&self) -> Option<String> {
        let RolloutTerms { at_once, on_failure, .. } = &self.rollout_terms;
        if at_once.is_some() && self.at_once.is_some() || on_failure.is_some() && self.on_failure.is_some() {
            return Some("at_once and on_failure stand beside rollout or in it, not in both places".into());
        }
        if self.sides.as_ref().is_some_and(String::is_empty) {
            return Some("sides names the label that tells them apart: sides = \"side\"".into());
        }
        self.rollout().mistake().map(|mistake| format!("rollout: {mistake}"))
    }
}

/// One channel.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Who must agree to a release.
    pub approve: Rule,
    /// Whether anyone may read it without logging in.
    #[serde(default)]
    pub public: bool,
    /// Which customers may read it. The estate's own people and robots read every channel.
    #[serde(default)]
    pub read: Option<Rule>,
    /// The environment in which the same bytes must have been verified first.
    pub after: Option<AudienceName>,
    /// The evidence asked for by type: who may issue it, and what it must say.
    #[serde(default)]
    pub evidence: BTreeMap<String, Gate>,
    /// Whether requester and pusher count as approvers.
    #[serde(default)]
    pub approve_own: bool,
    /// Whether approvals count only by keys that are held in hardware.
    #[serde(default)]
    pub hardware: bool,
    /// Other rules than the normal one, for emergencies.
    #[serde(default)]
    pub ways: BTreeMap<Way, WayRule>,
}

/// What applies to one application only.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Who may push and number its builds.
    pub push: Option<Rule>,
    /// How it is numbered.
    #[serde(default)]
    pub numbers: Numbering,
    /// Who deploys it.
    #[serde(default)]
    pub deployed_by: DeployedBy,
    /// Who makes it, where that is somebody else: nothing of it enters, and nothing runs, without this vendor's release.
    #[serde(default)]
    pub vendor: Option<VendorName>,
}

/// Who deploys an application (R24).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeployedBy {
    /// The estate's own people, to its machines.
    #[default]
    Us,
    /// Whoever it was released to installs it for themselves.
    Customer,
    /// Nobody: it is built into something else, and goes where that goes.
    Embedded,
}

/// How an application is numbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbering {
    /// `1.4.0`.
    #[default]
    Semver,
    /// `2026.11.1`: year, month, count.
    Calver,
    /// `17`.
    Counter,
}

/// Either kind of audience, seen as what may be released to.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a> {
    /// Who must agree; absent in class dev where the charter asks for nobody.
    pub approve: Option<&'a Rule>,
    /// The environment that comes first.
    pub after: Option<&'a AudienceName>,
    /// The evidence asked for.
    pub evidence: &'a BTreeMap<String, Gate>,
    /// The class of an environment; nothing for a channel.
    pub class: Option<Class>,
    /// Whether requester and pusher do not count as approvers.
    pub excludes_author: bool,
    /// Whether approvals count only by keys that are held in hardware.
    pub hardware: bool,
    /// How many days a permit may be activated.
    pub permit_days: u32,
    /// The ways besides the normal one.
    pub ways: &'a BTreeMap<Way, WayRule>,
    /// When something new may be activated; at any time where there are none.
    pub windows: &'a [Window],
}
