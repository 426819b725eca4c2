//! A server that says whatever a test wants.

use super::Fuse;
use crate::{
    repository::FetchError,
    supply::{Origin, Supply, SupplyError},
};
use api::{
    agent::{Memory, ProgressReport},
    read::Estate,
};
use jiff::Timestamp;
use std::{cell::RefCell, collections::BTreeMap, path::Path, rc::Rc};
use trust::{
    AppName, Digest,
    authority::Dossier,
    dsse::Envelope,
    statement::{Act, Inventory, Report, Statement},
};

/// What a server knows and says.
#[derive(Default)]
pub struct Sayings {
    pub estate: Option<Estate>,
    pub dossiers: BTreeMap<u64, Dossier>,
    /// From the second time a dossier is asked for.
    pub later: Option<Dossier>,
    pub asked: u32,
    pub objects: BTreeMap<Digest, Vec<u8>>,
    pub gathered: Vec<Digest>,
    pub reports: Vec<Report>,
    pub inventories: Vec<Inventory>,
    pub report_ids: Vec<String>,
    /// What was told of the way there.
    pub told: Vec<ProgressReport>,
    /// How many of the next request ids stand in the ledger for something else, and those that were found to.
    pub ids_to_spend: u32,
    pub spent_ids: Vec<String>,
    pub away: bool,
    /// The repository's files, by path.
    pub repository: BTreeMap<String, Vec<u8>>,
    /// Its mirrors.
    pub mirrors: Vec<BTreeMap<String, Vec<u8>>>,
}

#[derive(Clone, Default)]
pub struct FakeServer {
    pub says: Rc<RefCell<Sayings>>,
    pub fuse: Fuse,
}

impl FakeServer {
    fn here(&self) -> Result<(), SupplyError> {
        if self.says.borrow().away { Err(SupplyError::Away("away".into())) } else { Ok(()) }
    }

    fn is_spent(&self, id: &str) -> bool {
        let mut says = self.says.borrow_mut();
        if says.ids_to_spend > 0 && !says.spent_ids.iter().any(|spent| spent == id) {
            says.ids_to_spend -= 1;
            says.spent_ids.push(id.to_owned());
        }
        says.spent_ids.iter().any(|spent| spent == id)
    }
}

impl Supply for FakeServer {
    fn estate(&self) -> Result<Estate, SupplyError> {
        self.here()?;
        Ok(self.says.borrow().estate.clone().unwrap())
    }

    fn dossier(&self, generation: u64, _app: &AppName) -> Result<Dossier, SupplyError> {
        self.here()?;
        let mut says = self.says.borrow_mut();
        says.asked += 1;
        if says.asked > 1
            && let Some(later) = &says.later
        {
            return Ok(later.clone());
        }
        let (code, message) = ("ASSIGNMENT_UNKNOWN".into(), "a newer one may have replaced it".into());
        says.dossiers.get(&generation).cloned().ok_or(SupplyError::Refused { code, message })
    }

    fn object(&self, digest: &Digest, _max_bytes: u64) -> Result<Vec<u8>, SupplyError> {
        self.here()?;
        let object = self.says.borrow().objects.get(digest).cloned();
        object.ok_or(SupplyError::Broken(format!("{digest} is not in the depot")))
    }

    fn gather(
        &self,
        objects: &BTreeMap<Digest, u64>,
        folder: &Path,
        _heard: &mut dyn FnMut(u64),
    ) -> Result<(), SupplyError> {
        self.here()?;
        std::fs::create_dir_all(folder).unwrap();
        for digest in objects.keys() {
            let bytes = self.says.borrow().objects.get(digest).cloned().unwrap_or_default();
            self.fuse.around(|| std::fs::write(folder.join(digest.hex()), bytes)).unwrap();
            self.says.borrow_mut().gathered.push(*digest);
        }
        Ok(())
    }

    fn repository(&self, origin: Origin, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        let says = self.says.borrow();
        let files = match origin {
            Origin::Server => {
                self.here().map_err(|error| FetchError::Away(error.to_string()))?;
                &says.repository
            }
            Origin::Mirror(place) => &says.mirrors[place],
        };
        match files.get(path) {
            Some(bytes) if bytes.len() as u64 > max_bytes => Err(FetchError::TooLong(max_bytes)),
            file => Ok(file.cloned()),
        }
    }

    fn mirrors(&self) -> usize {
        self.says.borrow().mirrors.len()
    }

    fn refreshed(&self, _signed: Option<Timestamp>) {}

    fn submit(&self, envelope: &Envelope) -> Result<(), SupplyError> {
        self.here()?;
        let statement = Statement::read(envelope).unwrap();
        let id = statement.header.request_id.as_str().to_owned();
        let report = match statement.act {
            Act::Report(report) => report,
            Act::Inventory(inventory) => {
                self.fuse.around(|| self.says.borrow_mut().inventories.push(inventory));
                return Ok(());
            }
            _ => panic!("not a report"),
        };
        if self.is_spent(&id) {
            let (code, message) = ("REQUEST_ID_REUSED".into(), "this request id was used for something else".into());
            return Err(SupplyError::Refused { code, message });
        }
        self.fuse.around(|| {
            let mut says = self.says.borrow_mut();
            // As a server does: the same id again is answered, and changes nothing.
            if !says.report_ids.contains(&id) {
                says.report_ids.push(id.clone());
                says.reports.push(report.clone());
            }
        });
        Ok(())
    }

    fn tell(&self, progress: ProgressReport) {
        self.says.borrow_mut().told.push(progress);
    }

    fn consistency(&self, _from: u64, _to: u64) -> Result<Vec<Digest>, SupplyError> {
        Err(SupplyError::Away("this server proves nothing".into()))
    }

    fn learn(&self, _keys: &[Digest]) {}

    fn learn_places(&self, _urls: &[String]) {}

    fn remember(&self, _memory: &Memory) -> Result<(), SupplyError> {
        Ok(())
    }
}
