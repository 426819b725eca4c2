//! The phases that change the machine: fetch, stage, configure, activate, verify, remove, and back.

use super::{
    Engine, EngineError, Session,
    check::{concerned, denied},
};
use crate::{
    authorise::Refusal,
    drivers::{Bringing, Machine, MachineError},
    files,
    journal::{Active, Failure, UnderWay},
    runtime::Verified,
    secrets,
    step::Last,
    supply::{Supply, SupplyError, found_in_release},
};
use domain::plan::Assignment;
use std::{collections::BTreeMap, time::Duration};
use trust::{
    AppName, Digest,
    authority::VerifiedAuthority,
    config::ConfigDocument,
    manifest::Manifest,
    statement::{OrderAct, Phase},
};

/// How often something is tried that fails because the server is away.
const TRIES: u32 = 3;
/// How long to wait before the next try.
const PAUSE: Duration = Duration::from_millis(500);

impl<S: Supply, M: Machine> Engine<S, M> {
    /// Gets the objects that no release on disk has already.
    pub(super) fn fetch(&self, under_way: &UnderWay, build: Digest, manifest: &Manifest) -> Result<Last, EngineError> {
        let app = &manifest.app;
        if self.machine().is_staged(app, &build) {
            return Ok(Last::Done(Phase::Fetch));
        }
        let mut lacking: BTreeMap<Digest, u64> = manifest.objects().collect();
        for digest in self.local_sources(app, &lacking)?.keys() {
            lacking.remove(digest);
        }
        let total: u64 = lacking.values().sum();
        let folder = self.home.incoming(&build);
        let mut tries = 0;
        loop {
            tries += 1;
            let mut heard = |bytes: u64| {
                self.note(under_way, Phase::Fetch, false, format!("{bytes} of {total} bytes"));
            };
            match self.supply.gather(&lacking, &folder, &mut heard) {
                Ok(()) => return Ok(Last::Done(Phase::Fetch)),
                Err(SupplyError::Away(_)) if tries < TRIES => self.machine().clock().sleep(PAUSE * tries),
                Err(error) => return Ok(Last::Failed(error.to_string())),
            }
        }
    }

    /// Files of earlier releases whose content the build has too.
    pub(super) fn local_sources(
        &self,
        app: &AppName,
        wanted: &BTreeMap<Digest, u64>,
    ) -> Result<BTreeMap<Digest, std::path::PathBuf>, EngineError> {
        let mut found = BTreeMap::new();
        let releases = self.machine().releases(app).unwrap_or_default();
        for release in releases {
            if let Some(manifest) = self.home.manifest(&release)? {
                let folder = self.machine().release_folder(app, &release);
                found_in_release(&manifest, &folder, wanted, &mut found);
            }
        }
        Ok(found)
    }

    /// Lays the files out; a release that stands already is digested in full.
    pub(super) fn stage(&self, build: Digest, manifest: &Manifest) -> Result<Last, EngineError> {
        let app = &manifest.app;
        let incoming = self.home.incoming(&build);
        let mut sources = BTreeMap::new();
        if !self.machine().is_staged(app, &build) {
            let wanted: BTreeMap<Digest, u64> = manifest.objects().collect();
            sources = self.local_sources(app, &wanted)?;
            for digest in wanted.keys() {
                let path = incoming.join(digest.hex());
                if path.is_file() {
                    sources.insert(*digest, path);
                }
            }
        }
        let staged = self.machine().stage(manifest, &sources);
        // Whether it went well or not, nothing of it is of use any more.
        files::remove(&incoming.into())?;
        Ok(match staged {
            Ok(()) => Last::Done(Phase::Stage),
            Err(error) => Last::Failed(error.0),
        })
    }

    /// Keeps the config set, tries its secrets, and writes down what shall be active.
    pub(super) fn configure(&mut self, app: &AppName, session: &Session) -> Result<Last, EngineError> {
        let under_way = self.under_way(app)?;
        let (Some(manifest), Some(config)) = (&session.manifest, &session.config) else { return Ok(lost_place()) };
        let document = config.bytes.as_deref().map(ConfigDocument::from_bytes).transpose();
        let document = match document {
            Ok(document) => document,
            Err(error) => return Ok(Last::Failed(error.to_string())),
        };
        if let Err(error) = secrets::values(&manifest.run, document.as_ref(), &self.identity) {
            return Ok(Last::Failed(error.to_string()));
        }
        let mut kept = None;
        if let Some(bytes) = &config.bytes {
            self.home.keep_config(app, config.serial, bytes)?;
            kept = Some((config.serial, Digest::of(bytes)));
        }
        let configured = under_way.before.as_ref().filter(|_| under_way.assignment.act == OrderAct::Configure);
        let authority = session.authority.as_ref().map_or("", VerifiedAuthority::word);
        // New config does not change what allowed the build to run.
        let authority = configured.map_or(authority, |before| before.authority.as_str());
        let stopped = configured.is_some_and(|before| before.stopped);
        let next = Active {
            build: under_way.assignment.build,
            config: kept,
            since: self.now(),
            authority: authority.into(),
            deployment: under_way.assignment.deployment,
            stopped,
            standby: match configured {
                Some(before) => before.standby,
                None => self.has_sides() && manifest.run.can_stand_by(),
            },
            doubted: false,
            number: under_way.dossier.number.clone().map(Box::new),
        };
        let serial = config.serial;
        let mut journal = self.journals.get(app);
        journal.config_serial = journal.config_serial.max(serial);
        if let Some(under_way) = &mut journal.under_way {
            under_way.next = Some(next);
        }
        self.journals.save(journal)?;
        Ok(Last::Done(Phase::Configure))
    }

    /// Checks the authority once more, with the newest news that can be had, just before anything is touched.
    pub(super) fn check_again(&mut self, app: &AppName) -> Result<Result<VerifiedAuthority, Refusal>, EngineError> {
        let under_way = self.under_way(app)?;
        self.refresh();
        if let Err(error) = self.refresh_for(&concerned(app, &under_way.dossier), false) {
            tracing::debug!(%app, %error, "no fresher word just before activation");
        }
        let fresh = self.supply.dossier(under_way.assignment.generation, app);
        let dossier = match fresh {
            Ok(dossier) => {
                self.change(app, |under_way| under_way.dossier = dossier.clone())?;
                dossier
            }
            // A server that is away keeps nobody from what was allowed a moment ago; kept withdrawals still count.
            Err(_) => under_way.dossier,
        };
        Ok(self.authorise(app, &under_way.assignment, &dossier))
    }

    pub(super) fn activate(&mut self, app: &AppName, session: &mut Session) -> Result<Last, EngineError> {
        let authority = match self.check_again(app)? {
            Ok(authority) => authority,
            Err(refusal) => return Ok(denied(refusal)),
        };
        let under_way = self.under_way(app)?;
        let act = under_way.assignment.act;
        let next = match (act, &under_way.before, under_way.next.clone()) {
            (_, _, Some(next)) => next,
            (OrderAct::Stop, Some(before), None) => Active { stopped: true, ..before.clone() },
            (OrderAct::Start | OrderAct::Restart, Some(before), None) => Active { stopped: false, ..before.clone() },
            (OrderAct::Switch, Some(before), None) => {
                let Assignment { build, deployment, .. } = &under_way.assignment;
                // By the switch it serves, or does not: with the switch that settles.
                Active { standby: before.build != *build, deployment: *deployment, ..before.clone() }
            }
            _ => return Ok(lost_place()),
        };
        // From here on the journal says that what runs may have been touched, and that the order is used up.
        self.touch(app, |under_way| {
            under_way.phase = Phase::Activate;
            under_way.next = Some(next.clone());
        })?;
        self.make_room();
        let was_stopped = under_way.before.as_ref().is_some_and(|before| before.stopped);
        let done = match act {
            OrderAct::Stop => self.drivers.stop(&authority, app, next.build).map(|unleft| session.doubt = unleft),
            OrderAct::Switch if next.standby => self.drivers.stand_by(&authority, app, next.build),
            _ => self.bringing(app, &next)?.and_then(|bringing| match next.stopped {
                false if act == OrderAct::Restart && !was_stopped => self.drivers.restart(&authority, &bringing),
                true => self.drivers.activate_stopped(&authority, &bringing),
                false => self.drivers.activate(&authority, &bringing),
            }),
        };
        session.authority = Some(authority);
        Ok(match done {
            Ok(()) => Last::Done(Phase::Activate),
            Err(error) => Last::Failed(error.0),
        })
    }

    pub(super) fn remove(&mut self, app: &AppName, session: &mut Session) -> Result<Last, EngineError> {
        let authority = match self.check_again(app)? {
            Ok(authority) => authority,
            Err(refusal) => return Ok(denied(refusal)),
        };
        self.touch(app, |under_way| {
            under_way.phase = Phase::Remove;
            under_way.timings = session.timings.clone();
        })?;
        let removed = self.drivers.remove(&authority, app);
        session.authority = Some(authority);
        Ok(match removed {
            Ok(unleft) => {
                session.doubt = unleft;
                Last::Done(Phase::Remove)
            }
            Err(error) => Last::Failed(error.0),
        })
    }

    pub(super) fn verify(&mut self, app: &AppName, session: &mut Session) -> Result<Last, EngineError> {
        let under_way = self.under_way(app)?;
        let Some(next) = &under_way.next else { return Ok(lost_place()) };
        if next.stopped {
            return Ok(Last::Done(Phase::Verify));
        }
        // What makes way is not asked whether it is well: it serves nobody.
        if under_way.assignment.act == OrderAct::Switch && next.standby {
            session.endpoints = self.journals.get(app).endpoints;
            return Ok(Last::Done(Phase::Verify));
        }
        let bringing = match self.bringing(app, next)? {
            Ok(bringing) => bringing,
            Err(error) => return Ok(Last::Failed(error.0)),
        };
        let mut heard = |said: &str| self.note(&under_way, Phase::Verify, false, said.to_owned());
        Ok(match self.machine().verify(&bringing, &mut heard) {
            Ok(Verified { endpoints, doubt }) => {
                session.endpoints = endpoints;
                session.doubt = doubt;
                Last::Done(Phase::Verify)
            }
            Err(error) => Last::Failed(error.0),
        })
    }

    /// Back to what the journal says ran when the deployment began.
    pub(super) fn undo(&mut self, app: &AppName, failure: Failure, session: &mut Session) -> Result<Last, EngineError> {
        self.change(app, |under_way| under_way.undoing = Some(failure.clone()))?;
        let under_way = self.under_way(app)?;
        self.note(&under_way, Phase::Activate, false, "going back".into());
        self.make_room();
        let authority = VerifiedAuthority::undo(app, under_way.before.as_ref().map(|before| before.build));
        // Something that runs is better than nothing, whatever became of the data: it is said either way.
        let data = self.take_back_migration(app, &authority)?;
        if let Ok(Some(said)) = &data
            && !failure.reason.ends_with(said)
        {
            let reason = format!("{}; {said}", failure.reason);
            self.change(app, |under_way| under_way.undoing = Some(Failure { reason, ..failure }))?;
        }
        let back = self.go_back(app, &authority, session)?;
        Ok(match (back, data) {
            (Last::Undone, Err(why)) => Last::Failed(why),
            (back, _) => back,
        })
    }

    /// What is brought writes files of its own: on a full disk it gets the room that is kept for that.
    fn make_room(&self) {
        if let Some(reserve) = self.home.reserve() {
            reserve.make_room();
        }
    }

    fn go_back(
        &mut self,
        app: &AppName,
        authority: &VerifiedAuthority,
        session: &mut Session,
    ) -> Result<Last, EngineError> {
        let under_way = self.under_way(app)?;
        let Some(before) = &under_way.before else {
            return Ok(match self.drivers.deactivate(authority, app) {
                Ok(()) => Last::Undone,
                Err(error) => Last::Failed(error.0),
            });
        };
        // A switch leaves what is active as it is. Whoever has taken the server may call something else one, by its number.
        let is_active = self.journals.get(app).active.is_some_and(|active| active.build == before.build);
        if under_way.assignment.act == OrderAct::Switch && before.standby && is_active {
            return Ok(match self.drivers.stand_by(authority, app, before.build) {
                Ok(()) => {
                    session.endpoints = self.journals.get(app).endpoints;
                    Last::Undone
                }
                Err(error) => Last::Failed(error.0),
            });
        }
        let bringing = match self.bringing(app, before)? {
            Ok(bringing) => Bringing { comes_back: true, ..bringing },
            Err(error) => return Ok(Last::Failed(error.0)),
        };
        // A removal took the files away.
        if !self.machine().is_staged(app, &before.build) {
            for last in [
                self.fetch(&under_way, before.build, &bringing.manifest)?,
                self.stage(before.build, &bringing.manifest)?,
            ] {
                if let Last::Failed(why) = last {
                    return Ok(Last::Failed(why));
                }
            }
        }
        let back = if before.stopped {
            self.drivers.activate_stopped(authority, &bringing).map(|()| Verified::default())
        } else {
            let activated = self.drivers.activate(authority, &bringing);
            activated.and_then(|()| self.machine().verify(&bringing, &mut |_| ()))
        };
        Ok(match back {
            Ok(Verified { endpoints, .. }) => {
                session.endpoints = endpoints;
                Last::Undone
            }
            Err(error) => Last::Failed(error.0),
        })
    }

    /// What is on disk of a build that is, was or shall be active.
    pub(super) fn bringing(
        &self,
        app: &AppName,
        active: &Active,
    ) -> Result<Result<Bringing, MachineError>, EngineError> {
        let lost = |what: &str| {
            Ok(Err(MachineError(format!("{what} of {app}#{} is gone from the data folder", active.build.short()))))
        };
        let Some(manifest) = self.home.manifest(&active.build)? else { return lost("the manifest") };
        let document = match active.config {
            None => None,
            Some((serial, digest)) => match self.home.config(app, serial, &digest)? {
                None => return lost("the config"),
                Some(bytes) => match ConfigDocument::from_bytes(&bytes) {
                    Ok(document) => Some(document),
                    Err(error) => return Ok(Err(MachineError(error.to_string()))),
                },
            },
        };
        let values = secrets::values(&manifest.run, document.as_ref(), &self.identity);
        Ok(match values {
            Ok(values) => {
                let (build, standby) = (active.build, active.standby);
                Ok(Bringing { build, manifest, values, comes_back: false, standby })
            }
            Err(error) => Err(MachineError(error.to_string())),
        })
    }
}

/// A step that needs what an earlier one of the same process left, and is without it: never by the table of steps.
pub(super) fn lost_place() -> Last {
    Last::Failed("the agent lost its place; deploy again".into())
}
