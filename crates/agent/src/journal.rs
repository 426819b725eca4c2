//! What the agent must know after being killed at any instant: one file for each application.

use crate::files::{self, FileError, Place};
use domain::plan::{Assignment, Migration};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::error::Category;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};
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
    /// Whether an earlier journal of the application was set aside: what is not remembered may have been all the same. The file
    /// set aside says so, and this file does not, so that a program of before can read it.
    #[serde(skip)]
    pub replaced: bool,
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
    /// Why it could not be taken back, where that was tried and failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Failure>,
}

/// Whether the last deployment may be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastState {
    /// It may.
    Open,
    /// It was, or that was tried.
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
            replaced: false,
        }
    }

    /// The journal of an application whose own was set aside at `now`. Which orders were carried out is forgotten, so none is
    /// followed that could not have been submitted any more: a stolen server holds them all. What can be submitted still
    /// is followed, for what people order now cannot be told from it.
    fn after_loss(app: AppName, now: Timestamp) -> Self {
        let newest_order = CarriedOut::newest_with(None, Some(Timestamp::MAX), now);
        Self { newest_order, ..Self::new(app) }
    }

    /// Whether what runs of the application is not known, because its journal was set aside and nothing was brought since:
    /// the machine may run something that no journal speaks of.
    pub fn has_forgotten(&self) -> bool {
        self.replaced && self.active.is_none() && self.last.is_none()
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

/// What was found in the place of a journal.
enum Found {
    Nothing,
    Journal(Box<Journal>),
    /// Something that no program ever wrote there, and why.
    Damage(String),
}

/// Reads the journal of an application. What is JSON and cannot be read all the same was written by another version of this
/// program, which will want it back: it is no damage, and nothing is done until that is settled.
fn read(place: &Place, app: &AppName) -> Result<Found, FileError> {
    let Some(bytes) = files::read(place)? else { return Ok(Found::Nothing) };
    if let Err(error) = std::str::from_utf8(&bytes) {
        return Ok(Found::Damage(error.to_string()));
    }
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(&bytes) {
        return Ok(Found::Damage(error.to_string()));
    }
    match serde_json::from_slice::<Journal>(&bytes) {
        Ok(journal) if journal.app == *app => Ok(Found::Journal(Box::new(journal))),
        Ok(journal) => Ok(Found::Damage(format!("it is of {}", journal.app))),
        // That it has the form of JSON was found above, but not that its numbers and texts can be.
        Err(error) if error.classify() != Category::Data => Ok(Found::Damage(error.to_string())),
        Err(error) => {
            let why = format!(
                "the journal of {app} was written by another version of this program ({error}): start the version that \
                 wrote it or a newer one (docs/upgrading.md). The file was left as it is. If no other version ever ran here, \
                 the disk has damaged it: rename it to {app}.json{}, and {app} begins anew",
                files::DAMAGED
            );
            Err(files::failed("read", place.path())(io::Error::new(io::ErrorKind::InvalidData, why)))
        }
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
    /// aside, and its application gets a new one, which follows nothing older than `now`.
    pub fn open(folder: Place, now: Timestamp) -> Result<Self, FileError> {
        let mut journals = Self { folder, by_app: BTreeMap::new() };
        let mut replaced = BTreeSet::new();
        for name in files::names_in(&journals.folder)? {
            let Some((stem, rest)) = name.split_once(".json") else { continue };
            let Ok(app) = AppName::new(stem) else { continue };
            if rest.starts_with(files::DAMAGED) {
                replaced.insert(app);
                continue;
            }
            if !rest.is_empty() {
                continue;
            }
            let place = journals.folder.join(&name);
            match read(&place, &app)? {
                Found::Nothing => {}
                Found::Journal(journal) => drop(journals.by_app.insert(app, *journal)),
                Found::Damage(why) => {
                    put_away(&place, &app, &why)?;
                    replaced.insert(app);
                }
            }
        }
        for app in replaced {
            journals.replace_lost(app, now);
        }
        Ok(journals)
    }

    /// Says of an application's journal that there was an earlier one, and begins it where there is none since.
    fn replace_lost(&mut self, app: AppName, now: Timestamp) {
        if let Some(journal) = self.by_app.get_mut(&app) {
            journal.replaced = true;
            return;
        }
        let journal = Journal { replaced: true, ..Journal::after_loss(app.clone(), now) };
        if let Err(error) = self.save(journal.clone()) {
            // The other applications go on. What was set aside is there at the next start too, and the journal begins anew
            // then, by a later date.
            tracing::error!(%app, %error, "cannot write the new journal of what was set aside");
            self.by_app.insert(app, journal);
        }
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

    fn name(app: &str) -> AppName {
        AppName::new(app).unwrap()
    }

    fn open(folder: &tempfile::TempDir) -> Journals {
        Journals::open(folder.path().to_owned().into(), Timestamp::now()).unwrap()
    }

    /// A folder with a journal of each of these applications, and what is written in that of `web`.
    fn written(apps: &[&str]) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let mut journals = open(&folder);
        for app in apps {
            journals.save(Journal { generation: 7, ..Journal::new(name(app)) }).unwrap();
        }
        let whole = std::fs::read_to_string(folder.path().join("web.json")).unwrap();
        (folder, whole)
    }

    /// A damaged journal is kept and out of the way; the others are read, and its application may come anew.
    #[test]
    fn a_damaged_journal_stops_no_other_application() {
        let (folder, whole) = written(&["web", "api", "job"]);
        let path = |app: &str| folder.path().join(format!("{app}.json"));
        let damaged = &whole[..whole.len() / 2];
        std::fs::write(path("web"), damaged).unwrap();
        std::fs::write(path("job"), b"{\"app\":\"\xff\"}").unwrap();
        let mut journals = open(&folder);
        let forgotten = |journals: &Journals, app: &str| journals.get(&name(app)).has_forgotten();
        assert_eq!(["api", "job", "web"].map(|app| forgotten(&journals, app)), [false, true, true]);
        assert_eq!(["api", "job", "web"].map(|app| journals.get(&name(app)).generation), [7, 0, 0]);
        assert_eq!(std::fs::read_to_string(folder.path().join("web.json.damaged")).unwrap(), damaged);
        journals.save(Journal { generation: 8, ..journals.get(&name("web")) }).unwrap();
        assert_eq!(open(&folder).get(&name("web")).generation, 8);
        // That of another application is not its own.
        std::fs::rename(path("api"), path("job")).unwrap();
        assert_eq!(open(&folder).get(&name("job")).generation, 0);
    }

    /// What was set aside earlier is not lost to what is set aside later.
    #[test]
    fn every_journal_that_was_set_aside_is_kept() {
        let (folder, _) = written(&["web"]);
        let path = |rest: &str| folder.path().join(format!("web.json{rest}"));
        for damage in ["one", "two", "three"] {
            std::fs::write(path(""), damage).unwrap();
            open(&folder);
        }
        let kept = [".damaged", ".damaged.2", ".damaged.3"].map(|rest| std::fs::read_to_string(path(rest)).unwrap());
        assert_eq!(kept, ["one", "two", "three"]);
    }

    /// A program of before that is started again must not take what a newer one remembers for damage.
    #[test]
    fn the_journal_of_another_version_is_left_alone() {
        let (folder, whole) = written(&["web"]);
        let path = folder.path().join("web.json");
        let newer = whole.replacen('{', "{\"unheard_of\":1,", 1);
        let older = whole.replacen("\"generation\":7,", "", 1);
        for other in [newer, older] {
            std::fs::write(&path, &other).unwrap();
            let error = Journals::open(folder.path().to_owned().into(), Timestamp::now()).unwrap_err().to_string();
            assert!(error.contains("another version of this program"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was set aside");
        }
    }

    /// What was carried out before is forgotten, and old orders do not count all the same; neither after a restart, nor where
    /// the new journal could not be written any more.
    #[test]
    fn no_old_order_is_followed_by_a_new_journal() {
        let (folder, _) = written(&["web"]);
        let (second, hour) = (jiff::SignedDuration::from_secs(1), jiff::SignedDuration::from_hours(1));
        let path = folder.path().join("web.json");
        std::fs::write(&path, "").unwrap();
        let then: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
        let newest_at = |now| {
            let journals = Journals::open(folder.path().to_owned().into(), now).unwrap();
            assert!(journals.get(&name("web")).has_forgotten());
            journals.get(&name("web")).newest_order.unwrap()
        };
        let newest = newest_at(then);
        assert!(CarriedOut::is_outdated(then - second, newest));
        assert!(!CarriedOut::is_outdated(then, newest));
        assert_eq!(newest_at(then + hour), newest, "the date is kept");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(newest_at(then + hour), newest + hour, "what was set aside is enough to know by");
    }
}
