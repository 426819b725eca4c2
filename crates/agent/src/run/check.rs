//! The Check phase: every proof, and every need, before anything is copied.

use super::{CheckedConfig, Engine, EngineError, STALE, Session, no_supply};
use crate::{
    authorise::{self, Refusal},
    drivers::Machine,
    local::{self, Local},
    needs::{self, ThisMachine},
    step::Last,
    supply::{Supply, SupplyError},
};
use domain::plan::Assignment;
use std::collections::BTreeSet;
use trust::{
    AppName, Digest,
    authority::{Dossier, PackageDossier, Road, VerifiedAuthority},
    config::MAX_CONFIG_BYTES,
    manifest::{MAX_MANIFEST_BYTES, Manifest, Run},
    statement::{OrderAct, Phase},
};

/// Whose withdrawals stand against what a dossier is for: the application's own, and those of the package that brings it.
pub(super) fn concerned(app: &AppName, dossier: &Dossier) -> BTreeSet<AppName> {
    let package = dossier.package.as_ref().and_then(PackageDossier::app);
    package.into_iter().chain([app.clone()]).collect()
}

impl<S: Supply, M: Machine> Engine<S, M> {
    /// The Check phase: every proof, and every need. Nothing is copied yet.
    pub(super) fn check(&mut self, app: &AppName, session: &mut Session) -> Result<Last, EngineError> {
        let under_way = self.under_way(app)?;
        let assignment = &under_way.assignment;
        // What was begun before a restart goes on by the statements in the journal; they are judged anew all the same.
        let dossier = if under_way.phase.touches() {
            under_way.dossier.clone()
        } else {
            match self.supply.dossier(assignment.generation, app) {
                Ok(dossier) => dossier,
                // What a newer assignment has replaced was never begun: that is what there is to do and to tell of.
                Err(error) if error.is_outdated() => return Ok(Last::Away(error.to_string())),
                Err(error) => return Ok(no_supply(error)),
            }
        };
        if !under_way.phase.touches() {
            self.refresh();
            self.change(app, |under_way| under_way.dossier = dossier.clone())?;
        }
        let refreshed = self.refresh_for(&concerned(app, &dossier), true);
        let authority = match (self.authorise(app, assignment, &dossier), refreshed) {
            (Ok(authority), _) => authority,
            // A ledger that was put back may ask again for what it has forgotten was done.
            (Err(refusal), _)
                if refusal.code == "ORDER_REPEATED" && self.journals.get(app).did(assignment, &dossier) =>
            {
                return Ok(Last::Done(Phase::Verify));
            }
            // Who cannot be reached now may be reached in a moment; who shows something wrong is told of.
            (Err(refusal), Err(error)) if refusal.code == STALE => {
                if let Some(why) = error.away() {
                    return Ok(Last::Away(why.to_owned()));
                }
                return Ok(denied(Refusal { reason: format!("{}; {error}", refusal.reason), ..refusal }));
            }
            (Err(refusal), _) => return Ok(denied(refusal)),
        };
        session.authority = Some(authority.clone());
        if under_way.phase.touches() {
            return Ok(Last::Done(Phase::Check));
        }
        match self.check_build(app, assignment, &dossier, &authority, session)? {
            Some(last) => Ok(last),
            None => Ok(Last::Done(Phase::Check)),
        }
    }

    pub(super) fn authorise(
        &mut self,
        app: &AppName,
        assignment: &Assignment,
        dossier: &Dossier,
    ) -> Result<VerifiedAuthority, Refusal> {
        self.take_carried()?;
        let journal = self.journals.get(app);
        let freshness = self.refresher.freshness(&self.documents, &concerned(app, dossier), self.road());
        let now = self.now();
        let authority = authorise::authorise(&mut self.documents, assignment, dossier, &journal, freshness, now)?;
        if authority.activates() && !authority.way().is_normal() {
            tracing::warn!(%app, way = %authority.way(), "an emergency permit: somebody must review it");
        }
        let activates = authority.activates();
        match (self.follower.fork(), self.follower.behind()) {
            (Some(fork), _) if activates => {
                let then = "if the server was put back from an older copy, owners must sign a new epoch";
                Err(Refusal::new("LEDGER_FORKED", format!("{fork}; {then}")))
            }
            (None, Some(behind)) if activates => Err(Refusal::new("LEDGER_BEHIND", behind)),
            _ => Ok(authority),
        }
    }

    /// Manifest, config and needs, for acts that bring or configure a build.
    pub(super) fn check_build(
        &mut self,
        app: &AppName,
        assignment: &Assignment,
        dossier: &Dossier,
        authority: &VerifiedAuthority,
        session: &mut Session,
    ) -> Result<Option<Last>, EngineError> {
        let brings = match assignment.act {
            OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback => true,
            OrderAct::Configure => false,
            OrderAct::Undeploy | OrderAct::Stop | OrderAct::Start | OrderAct::Restart | OrderAct::Switch => {
                return Ok(None);
            }
        };
        let bytes = match self.home.manifest_bytes(&assignment.build)? {
            Some(bytes) => Ok(bytes),
            None => self.supply.object(&assignment.build, MAX_MANIFEST_BYTES as u64),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Some(no_supply(error))),
        };
        let manifest = match authorise::check_manifest(authority, &bytes) {
            Ok(manifest) => manifest,
            Err(refusal) => return Ok(Some(denied(refusal))),
        };
        if brings && let Some(refusal) = self.undecided_migration(&manifest).or_else(|| self.serves_here(&manifest)) {
            return Ok(Some(denied(refusal)));
        }
        let document = match assignment.config {
            None => None,
            Some((serial, digest)) => match self.config_bytes(app, serial, &digest)? {
                Ok(bytes) => Some(bytes),
                Err(error) => return Ok(Some(no_supply(error))),
            },
        };
        let last_serial = self.journals.get(app).config_serial;
        let fits = authorise::check_config(&self.documents, &manifest, dossier, document.as_deref(), last_serial);
        let serial = match fits {
            Ok((serial, _)) => serial,
            Err(refusal) => return Ok(Some(denied(refusal))),
        };
        if brings {
            let lacking =
                if self.machine().is_staged(app, &assignment.build) { 0 } else { manifest.total_size_bytes() };
            if let Err(refusal) = self.check_needs(app, &manifest, lacking) {
                return Ok(Some(denied(refusal)));
            }
        }
        self.home.keep_manifest(&assignment.build, &bytes)?;
        session.manifest = Some(manifest);
        session.config = Some(CheckedConfig { serial, bytes: document });
        Ok(None)
    }

    /// Everything the build needs of this machine; `lacking_bytes` has still to be written.
    fn check_needs(&self, app: &AppName, manifest: &Manifest, lacking_bytes: u64) -> Result<(), Refusal> {
        let (run, machine) = (&manifest.run, self.machine());
        let own_ports: Vec<u16> = run.fixed_ports().into_iter().filter(|port| machine.occupies(app, *port)).collect();
        let bringing = needs::Bringing {
            lacking_bytes,
            lacking_ports: machine.lacking_ports(app, run),
            is_beside: run.is_blue_green() && machine.current(app).is_some(),
            own_ports: &own_ports,
            unlisted: self.unlisted(app, run),
        };
        needs::check(app, run, &bringing, &ThisMachine { folder: self.home.root().to_owned() })
    }

    /// Whether the owners divide this target's environment into sides, one of which serves.
    pub(super) fn has_sides(&self) -> bool {
        let environments = &self.documents.verified().charter.environments;
        environments.get(&self.documents.pinned().environment).is_some_and(|environment| environment.sides.is_some())
    }

    /// What is new comes to the side that does not serve: nobody's word but an order to switch lets it serve.
    fn serves_here(&self, manifest: &Manifest) -> Option<Refusal> {
        let serves = self.journals.get(&manifest.app).active.is_some_and(|active| active.serves());
        (serves && manifest.run.can_stand_by() && self.has_sides()).then(|| {
            let why =
                "it serves on this side: what is new goes to the other side, and an order to switch lets it serve";
            Refusal::new("SERVES", why.to_owned())
        })
    }

    /// What is wrong with what the owner says of lists, where the build's copies stand in one: found out here, nobody has to go
    /// back for it.
    fn unlisted(&self, app: &AppName, run: &Run) -> Option<String> {
        run.traffic.as_ref().and_then(|traffic| traffic.upstream)?;
        Local::cannot_list(self.home.root(), app).map(|error| error.to_string())
    }

    /// Where a bundle brings a migration, somebody must have said which machine of the site runs it.
    fn undecided_migration(&self, manifest: &Manifest) -> Option<Refusal> {
        if self.road() != Road::Carried || manifest.run.migrate.is_none() {
            return None;
        }
        match Local::read(self.home.root()) {
            Err(error) => Some(Refusal::new("MIGRATION_UNDECIDED", error.to_string())),
            Ok(local) if local.bundles.migrate.is_none() => {
                let why = format!(
                    "{} has a migration, and no server elects who runs it: write [bundles] migrate = true into {} of one \
                     machine of the site, and false on the others",
                    manifest.app,
                    self.home.root().join(local::FILE_NAME).display()
                );
                Some(Refusal::new("MIGRATION_UNDECIDED", why))
            }
            Ok(_) => None,
        }
    }

    pub(super) fn config_bytes(
        &self,
        app: &AppName,
        serial: u64,
        digest: &Digest,
    ) -> Result<Result<Vec<u8>, SupplyError>, EngineError> {
        if let Some(bytes) = self.home.config(app, serial, digest)? {
            return Ok(Ok(bytes));
        }
        Ok(self.supply.object(digest, MAX_CONFIG_BYTES as u64))
    }
}

pub(super) fn denied(refusal: Refusal) -> Last {
    Last::Denied { code: refusal.code, reason: refusal.reason }
}
