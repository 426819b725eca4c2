//! What the agent must know after being killed at any instant: one file for each application.

use crate::files::{self, FileError, Place};
use domain::plan::{Assignment, Migration};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, Digest,
    authority::{CarriedOut, Dossier},
    dsse::Envelope,
    statement::{Phase, PhaseTiming, Report, Statement},
};

/// How many settled builds are remembered as places to roll back to.
const SETTLED_KEPT: usize = 20;
/// How many orders are remembered as carried out, beside those that only this memory keeps from being carried out again.
const PERFORMED_KEPT: usize = 64;

/// Everything remembered of one application on this target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// The application.
    pub app: AppName,
    /// The epoch of [`Self::generation`].
    pub epoch: u64,
    /// The last assignment that was followed to an outcome; none older is ever followed. One that was refused does not
    /// count: what anybody may make up must not keep a target from what is genuine.
    pub generation: u64,
    /// What should run, and does unless a deployment is under way.
    pub active: Option<Active>,
    /// The deployment under way.
    pub under_way: Option<UnderWay>,
    /// The last deployment that changed something, as long as it may be taken back.
    pub last: Option<LastDeployment>,
    /// Builds that were verified here, newest last: only these can settle.
    pub verified: Vec<Digest>,
    /// Builds that settled here, newest last.
    pub settled: Vec<Digest>,
    /// The newest config set ever used here; no older one is taken.
    pub config_serial: u64,
    /// The outcome that the server has not acknowledged yet.
    pub unreported: Option<Unreported>,
    /// The build whose files were laid out last and that was not activated: they stay until another one is brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Digest>,
    /// Where the active build's processes listen.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// The orders that were carried out here, newest last: none is followed twice.
    #[serde(default)]
    pub performed: Vec<Performed>,
    /// Until when the newest of all orders could be submitted that were ever carried out here: none that is older is.
    #[serde(default)]
    pub newest_order: Option<Timestamp>,
}

/// An order that was carried out, whatever came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Performed {
    /// The digest of its payload.
    pub order: Digest,
    /// The epoch of the assignment it came with.
    pub epoch: u64,
    /// The generation of that assignment, which may go on with it after the agent was killed.
    pub generation: u64,
    /// Until when it could be submitted; nothing in what was remembered before that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submit_before: Option<Timestamp>,
}

impl Performed {
    fn is_of(&self, assignment: &Assignment) -> bool {
        (self.epoch, self.generation) == (assignment.epoch, assignment.generation)
    }
}

/// What is active, and what it runs with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// The build.
    pub build: Digest,
    /// Its config set: serial and document.
    pub config: Option<(u64, Digest)>,
    /// Since when.
    pub since: Timestamp,
    /// The word for what allowed it.
    pub authority: String,
    /// The deployment that brought it.
    pub deployment: u64,
    /// Whether its processes were stopped by an order.
    pub stopped: bool,
    /// Whether it stands by: it runs and is in no list of what serves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standby: bool,
    /// Whether people were asked to look at what decided nothing while it was verified.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubted: bool,
    /// Who gave it which number: a server that was put back from an older copy is told so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Box<Envelope>>,
}

impl Active {
    /// Whether people are served by it.
    pub fn serves(&self) -> bool {
        !self.stopped && !self.standby
    }
}

/// A deployment that has begun here and has no outcome yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnderWay {
    /// What was assigned.
    pub assignment: Assignment,
    /// The statements that were found to allow it, for carrying on without the server.
    pub dossier: Dossier,
    /// What ran when the deployment began.
    pub before: Option<Active>,
    /// What shall be active once it is verified; set before anything is activated.
    pub next: Option<Active>,
    /// The phase that has begun.
    pub phase: Phase,
    /// Why it is being taken back, once it is.
    pub undoing: Option<Failure>,
    /// The phases that are over.
    pub timings: Vec<PhaseTiming>,
    /// What is done to the application's data, from before it begins: never again without a look at how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrating: Option<Migrating>,
}

/// A migration, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migrating {
    /// What is done.
    pub migration: Migration,
    /// How far it is.
    pub stage: MigrationStage,
}

/// How far a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationStage {
    /// It may have begun, and nobody has seen its end.
    Begun,
    /// It is done.
    Done,
    /// Taking it back may have begun.
    BackBegun,
    /// It was taken back, or stays because nothing takes it back.
    Back,
}

/// Why a deployment is being taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The phase that failed.
    pub phase: Phase,
    /// Why, in a line.
    pub reason: String,
}

/// The last deployment that changed something here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastDeployment {
    /// Its number.
    pub deployment: u64,
    /// What ran when it began.
    pub before: Option<Active>,
    /// Whether it may be taken back.
    pub state: LastState,
    /// What it did to the application's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrated: Option<Migration>,
}

/// Whether the last deployment may be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastState {
    /// It may.
    Open,
    /// It was.
    Undone,
    /// It has settled: going back from here is a rollback, which needs an order.
    Settled,
}

/// An outcome on its way to the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unreported {
    /// What is reported.
    pub report: Report,
    /// The build it is about.
    pub build: Digest,
    /// The epoch of its generation.
    pub epoch: u64,
    /// How often it was signed: each signing is good for a while only.
    pub signings: u32,
    /// The statement as last signed. The very same bytes are sent again, so that the server answers once.
    pub signed: Option<(Timestamp, Envelope)>,
}

impl Journal {
    /// The journal of an application that was never here.
    pub fn new(app: AppName) -> Self {
        Self {
            app,
            epoch: 0,
            generation: 0,
            active: None,
            under_way: None,
            last: None,
            verified: Vec::new(),
            settled: Vec::new(),
            config_serial: 0,
            unreported: None,
            staged: None,
            endpoints: Vec::new(),
            performed: Vec::new(),
            newest_order: None,
        }
    }

    /// Whether anything of the application was ever brought here, or is being.
    pub fn was_here(&self) -> bool {
        self.generation > 0 || self.under_way.is_some() || self.active.is_some() || self.last.is_some()
    }

    /// The orders that were carried out under another assignment than this one.
    pub fn performed_before(&self, assignment: &Assignment) -> Vec<Digest> {
        let others = self.performed.iter().filter(|performed| !performed.is_of(assignment));
        others.map(|performed| performed.order).collect()
    }

    /// The order that this assignment has begun to carry out.
    pub fn begun(&self, assignment: &Assignment) -> Option<Digest> {
        self.performed.iter().find(|performed| performed.is_of(assignment)).map(|performed| performed.order)
    }

    /// Remembers that the order of what is under way is being carried out at `now`.
    pub fn perform(&mut self, now: Timestamp) {
        let Some(under_way) = &self.under_way else { return };
        let Some(envelope) = &under_way.dossier.order else { return };
        let order = Digest::of(&envelope.payload);
        if self.begun(&under_way.assignment) == Some(order) {
            return;
        }
        let Assignment { epoch, generation, .. } = under_way.assignment;
        let submit_before = Statement::read(envelope).ok().map(|statement| CarriedOut::date_of(&statement));
        self.newest_order = CarriedOut::newest_with(self.newest_order, submit_before, now);
        self.performed.push(Performed { order, epoch, generation, submit_before });
        let newest = self.newest_order.unwrap_or(Timestamp::MIN);
        let is_outdated = |performed: &Performed| {
            performed.submit_before.is_none_or(|submit_before| CarriedOut::is_outdated(submit_before, newest))
        };
        while self.performed.len() > PERFORMED_KEPT && self.performed.first().is_some_and(is_outdated) {
            self.performed.remove(0);
        }
    }

    /// Whether what an assignment orders was carried out here in an earlier epoch, and is what is active: a ledger that
    /// lost the report asks again.
    pub fn did(&self, assignment: &Assignment, dossier: &Dossier) -> bool {
        let Some(order) = dossier.order.as_ref().map(|order| Digest::of(&order.payload)) else { return false };
        let before = |performed: &&Performed| performed.order == order && performed.epoch < assignment.epoch;
        let is_active = self.active.as_ref().is_some_and(|active| active.build == assignment.build);
        assignment.act.installs()
            && !assignment.undo
            && is_active
            && self.performed.iter().any(|performed| before(&performed))
    }

    /// Whether an assignment is no newer than the last one whose outcome was decided.
    pub fn is_stale(&self, assignment: &Assignment) -> bool {
        (assignment.epoch, assignment.generation) <= (self.epoch, self.generation)
    }

    /// Takes the server's word that a build settled, if it was verified here. Returns whether that was news.
    pub fn settle(&mut self, build: Digest) -> bool {
        if !self.verified.contains(&build) {
            return false;
        }
        let is_active = self.under_way.is_none() && self.active.as_ref().is_some_and(|active| active.build == build);
        let closes = is_active
            && self.last.as_ref().is_some_and(|last| {
                let brought = self.active.as_ref().is_some_and(|active| active.deployment == last.deployment);
                last.state == LastState::Open && brought
            });
        if closes && let Some(last) = &mut self.last {
            last.state = LastState::Settled;
        }
        if self.settled.last() == Some(&build) || (self.settled.contains(&build) && !closes) {
            return closes;
        }
        push_bounded(&mut self.settled, build);
        true
    }

    /// Whether what is active was brought by a deployment that has not settled yet, so that it may still be taken back.
    pub fn is_unsettled(&self) -> bool {
        let brought = self.active.as_ref().map(|active| active.deployment);
        self.last.as_ref().is_some_and(|last| last.state == LastState::Open && Some(last.deployment) == brought)
    }

    /// Remembers that a build was verified here.
    pub fn verify(&mut self, build: Digest) {
        push_bounded(&mut self.verified, build);
    }

    /// The builds whose files are here, or were: what is needed, and what is staged only.
    pub fn kept(&self) -> BTreeSet<Digest> {
        self.needed().iter().map(|active| active.build).chain(self.staged).collect()
    }

    /// The builds whose files must stay: what is active, what it can be taken back to, and what is being changed.
    pub fn needed(&self) -> Vec<&Active> {
        let before = self.last.as_ref().and_then(|last| last.before.as_ref());
        let under_way = self.under_way.iter().flat_map(|under_way| under_way.before.iter().chain(&under_way.next));
        self.active.iter().chain(before).chain(under_way).collect()
    }
}

fn put_away(place: &Place, app: &AppName, why: &str) -> Result<(), FileError> {
    let aside = files::set_aside(place)?;
    tracing::error!(
        %app, why, kept = %aside.display(),
        "the journal of {app} is damaged and was set aside; the other applications go on. What {app} runs here is not known \
         until it is deployed again: sortie deploy. Look at this machine's disk"
    );
    Ok(())
}

fn push_bounded(builds: &mut Vec<Digest>, build: Digest) {
    builds.retain(|other| *other != build);
    builds.push(build);
    if builds.len() > SETTLED_KEPT {
        builds.remove(0);
    }
}

/// All journals of a target, in memory and on disk. What is in memory is always what is on disk.
#[derive(Debug)]
pub struct Journals {
    folder: Place,
    by_app: BTreeMap<AppName, Journal>,
}

impl Journals {
    /// Reads every journal in `folder`. One that the disk has damaged must not stop the other applications: it is set
    /// aside, and its application counts as one that was never here.
    pub fn open(folder: Place) -> Result<Self, FileError> {
        let mut by_app = BTreeMap::new();
        for name in files::names_in(&folder)? {
            let Some(app) = name.strip_suffix(".json").and_then(|stem| AppName::new(stem).ok()) else { continue };
            let place = folder.join(&name);
            match files::read_json::<Journal>(&place) {
                Ok(Some(journal)) if journal.app == app => drop(by_app.insert(app, journal)),
                Ok(None) => {}
                Ok(Some(journal)) => put_away(&place, &app, &format!("it is of {}", journal.app))?,
                Err(error) if error.is_damage() => put_away(&place, &app, &error.to_string())?,
                Err(error) => return Err(error),
            }
        }
        Ok(Self { folder, by_app })
    }

    /// The journal of an application.
    pub fn get(&self, app: &AppName) -> Journal {
        self.by_app.get(app).cloned().unwrap_or_else(|| Journal::new(app.clone()))
    }

    /// All journals, in order of application.
    pub fn iter(&self) -> impl Iterator<Item = &Journal> {
        self.by_app.values()
    }

    /// Writes a journal; once this returns, it survives.
    pub fn save(&mut self, journal: Journal) -> Result<(), FileError> {
        files::replace_json(&self.folder.join(format!("{}.json", journal.app)), &journal)?;
        self.by_app.insert(journal.app.clone(), journal);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A damaged journal is kept and out of the way; the others are read, and its application may come anew.
    #[test]
    fn a_damaged_journal_stops_no_other_application() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Journals::open(folder.path().to_owned().into()).unwrap();
        let (web, api, job) =
            (AppName::new("web").unwrap(), AppName::new("api").unwrap(), AppName::new("job").unwrap());
        let mut journals = open();
        for app in [&web, &api, &job] {
            journals.save(Journal { generation: 7, ..Journal::new(app.clone()) }).unwrap();
        }
        let path = |app: &AppName| folder.path().join(format!("{app}.json"));
        let whole = std::fs::read_to_string(path(&web)).unwrap();
        let damaged = whole.replacen("generation", "genesation", 1);
        std::fs::write(path(&web), &damaged).unwrap();
        std::fs::write(path(&job), &whole[..whole.len() / 2]).unwrap();
        let mut journals = open();
        assert_eq!(journals.iter().map(|journal| &journal.app).collect::<Vec<_>>(), [&api]);
        assert_eq!(journals.get(&web), Journal::new(web.clone()));
        assert_eq!(std::fs::read_to_string(folder.path().join("web.json.damaged")).unwrap(), damaged);
        journals.save(Journal { generation: 8, ..Journal::new(web.clone()) }).unwrap();
        assert_eq!(open().get(&web).generation, 8);
        // That of another application is not its own.
        std::fs::rename(path(&api), path(&job)).unwrap();
        assert_eq!(open().iter().map(|journal| &journal.app).collect::<Vec<_>>(), [&web]);
    }
}
