//! Once a target's time is over: everything goes, and a last word is said.

use super::{Engine, EngineError};
use crate::{
    drivers::Machine,
    files,
    journal::Journal,
    lifetime::End,
    poll::sign_own_as,
    supply::{Supply, SupplyError},
};
use api::problem::SIGNER_UNKNOWN;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName,
    authority::{Lapsed, VerifiedAuthority},
    statement::{Act, Inventory, RequestId, StatementSignError},
};

/// What builds were and ran with, and what was on its way: of no use once no application is left.
const FOLDERS: [&str; 4] = ["manifests", "config", "incoming", "inbox"];

impl<S: Supply, M: Machine> Engine<S, M> {
    /// Whether this target's time is over, and nothing is followed any more.
    pub fn is_over(&self) -> bool {
        self.lifetime.is_over()
    }

    /// Whether this target's time is over, nothing is left here, and nobody waits for its word.
    pub fn is_done(&self) -> bool {
        self.lifetime.is_done()
    }

    /// Looks whether this target's time is over, and if so removes everything, and says so. Needs no server, but for being
    /// heard; may be repeated until [`Self::is_done`], and repeated after being cut short. Answers whether the time is over.
    pub fn lapse(&mut self) -> Result<bool, EngineError> {
        let Some(end) = self.lifetime.end().cloned() else {
            if self.lapsed()?.is_none() {
                return Ok(false);
            }
            // A charter that was signed meanwhile may give it more time, and is heard before anything is lost.
            self.refresh();
            let Some(found) = self.lapsed()? else { return Ok(false) };
            tracing::warn!(lives = %found.lives, joined = %found.joined, "this target's time is over: everything on it goes");
            self.lifetime.remember(End { found, removed: false, told: false })?;
            return self.lapse();
        };
        if !end.removed {
            self.remove_everything(&end.found)?;
            self.lifetime.remember(End { removed: true, ..end.clone() })?;
        }
        if !end.told && self.say_last_word(&end.found)? {
            tracing::warn!("nothing is left here, and this agent does nothing more");
            self.lifetime.remember(End { removed: true, told: true, ..end })?;
        }
        Ok(true)
    }

    fn lapsed(&self) -> Result<Option<Lapsed>, EngineError> {
        let environment = &self.documents.pinned().environment;
        let charter = &self.documents.verified().charter;
        if charter.environments.get(environment).is_none_or(|environment| environment.lives.is_none()) {
            return Ok(None);
        }
        let policy = self.documents.policy();
        Ok(Lapsed::judge(&policy, self.documents.pinned(), self.lifetime.joined(), self.now()))
    }

    /// Removes what `undeploy` removes, of every application there is or was, and the data besides: the machine is thrown
    /// away. What was carried out stays remembered, so that nothing is ever followed twice.
    fn remove_everything(&mut self, found: &Lapsed) -> Result<(), EngineError> {
        let there = self.machine().apps().map_err(EngineError::Machine)?;
        let known = self.journals.iter().map(|journal| journal.app.clone());
        let apps: BTreeSet<AppName> = known.chain(there).collect();
        for app in apps {
            let authority = VerifiedAuthority::lapse(&app, found);
            self.drivers.erase(&authority, &app).map_err(EngineError::Machine)?;
            let Journal { epoch, generation, config_serial, performed, newest_order, .. } = self.journals.get(&app);
            let empty = Journal::new(app);
            self.journals.save(Journal { epoch, generation, config_serial, performed, newest_order, ..empty })?;
        }
        for folder in FOLDERS {
            let folder = self.home.place().join(folder);
            for name in files::names_in(&folder)? {
                files::remove(&folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Tells the server that nothing is left; answers whether it has heard it, or listens to this target no more.
    fn say_last_word(&self, found: &Lapsed) -> Result<bool, EngineError> {
        let inventory = Inventory {
            target: self.documents.pinned().target.clone(),
            scanned: self.now(),
            active: BTreeMap::new(),
            findings: Vec::new(),
            facts: None,
            lapsed: Some(found.at),
        };
        let id = format!("lapsed:{}", inventory.scanned.as_millisecond());
        let request_id = RequestId::new(id).map_err(StatementSignError::from)?;
        let envelope = sign_own_as(self, request_id, Act::Inventory(inventory))?;
        match self.supply.submit(&envelope) {
            Ok(()) => Ok(true),
            // A target that was retired meanwhile is nobody to the server any more.
            Err(SupplyError::Refused { code, .. }) if ["ALREADY_DONE", SIGNER_UNKNOWN].contains(&code.as_str()) => {
                Ok(true)
            }
            Err(error) => {
                tracing::info!(%error, "the server was not told yet that nothing is left here");
                Ok(false)
            }
        }
    }
}
