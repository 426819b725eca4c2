//! What the agent takes from a bundle that was unpacked here, in place of a server. It is believed no more than one.

use crate::{
    repository::FetchError,
    supply::{Dossier, Origin, Supply, SupplyError},
};
use api::{
    agent::{Memory, ProgressReport},
    read::Estate,
    write::Attachment,
};
use depot::bundle::{Index, OBJECTS};
use domain::{plan::Assignment, policy::CARRIED_FROM};
use jiff::Timestamp;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};
use trust::{
    AppName, Digest,
    charter::MAX_CHARTER_BYTES,
    digest::Hasher,
    dsse::Envelope,
    json,
    statement::{Act, OrderAct, Statement},
    tuf::{MAX_ROOT_BYTES, MAX_ROOTS_WALKED, MAX_TARGETS_BYTES},
};

/// The longest file of statements, in bytes.
const MAX_STATEMENTS_BYTES: u64 = 16 << 20;
/// The manifest's place in a bundle.
pub const MANIFEST: &str = "manifest.json";
/// The place of the signed statements.
pub const DOSSIER: &str = "statements/dossier.json";
/// The place of the signed suspensions.
pub const SUSPENSIONS: &str = "estate/suspensions.json";
/// The place of the targets metadata.
pub const TARGETS: &str = "estate/targets.json";
/// The place of the charter.
pub const CHARTER: &str = "estate/charter.toml";

/// The place of root `number`.
pub fn root_path(number: usize) -> String {
    format!("estate/{number}.root.json")
}

/// The place of a file of the estate's repository, as far as that concerns what is carried: under the digest of its path
/// there, because names in a bundle are short.
pub fn repository_path(path: &str) -> String {
    format!("repository/{}", Digest::of(path.as_bytes()).hex())
}

/// A bundle that was unpacked into a folder.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// Where it lies.
    pub folder: PathBuf,
    /// The digest of its index.
    pub bundle: Digest,
    /// What it says it is.
    pub index: Index,
}

impl Unpacked {
    /// The documents of trust in it.
    pub fn estate(&self) -> Result<Estate, SupplyError> {
        let mut roots = Vec::new();
        while roots.len() < MAX_ROOTS_WALKED && self.folder.join(root_path(roots.len() + 1)).exists() {
            roots.push(Attachment(self.read(&root_path(roots.len() + 1), MAX_ROOT_BYTES as u64)?));
        }
        let charter = String::from_utf8(self.read(CHARTER, MAX_CHARTER_BYTES as u64)?)
            .map_err(|_| SupplyError::Broken("the charter is not UTF-8 text".into()))?;
        let targets = self.read(TARGETS, MAX_TARGETS_BYTES as u64)?;
        Ok(Estate { roots, targets, charter, suspensions: self.read_json(SUSPENSIONS)? })
    }

    /// The signed statements in it.
    pub fn dossier(&self) -> Result<Dossier, SupplyError> {
        self.read_json(DOSSIER)
    }

    /// What the target is to do by it, as assignment `number` of those that came by bundles.
    pub fn assignment(&self, number: u64, epoch: u64) -> Result<Assignment, SupplyError> {
        let dossier = self.dossier()?;
        let config = match dossier.config.as_ref().map(Statement::read) {
            Some(Ok(Statement { subject, act: Act::Config(config), .. })) => Some((config.serial, subject)),
            Some(_) => return Err(SupplyError::Broken("the config statement in the bundle cannot be read".into())),
            None => None,
        };
        Ok(Assignment {
            epoch,
            generation: CARRIED_FROM + number,
            deployment: CARRIED_FROM + number,
            app: self.index.app.clone(),
            environment: self.index.audience.clone(),
            act: OrderAct::Deploy,
            undo: false,
            build: self.index.build,
            version: Some(self.index.version.clone()),
            config,
            migrate: None,
        })
    }

    fn object_path(&self, digest: &Digest) -> PathBuf {
        match *digest == self.index.build {
            true => self.folder.join(MANIFEST),
            false => self.folder.join(format!("{OBJECTS}{}", digest.hex())),
        }
    }

    fn read(&self, path: &str, max_bytes: u64) -> Result<Vec<u8>, SupplyError> {
        read(&self.folder.join(path), max_bytes)
    }

    fn read_json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, SupplyError> {
        let bytes = self.read(path, MAX_STATEMENTS_BYTES)?;
        json::from_strict(&bytes).map_err(|error| SupplyError::Broken(format!("{path} in the bundle: {error}")))
    }
}

fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, SupplyError> {
    let broken = |why: String| SupplyError::Broken(format!("{} of the bundle: {why}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| broken(error.to_string()))?;
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(|error| broken(error.to_string()))?;
    match bytes.len() as u64 > max_bytes {
        true => Err(broken(format!("is longer than the {max_bytes} bytes it may have"))),
        false => Ok(bytes),
    }
}

/// A server, and in its place a bundle while one is open.
pub struct Sources<S> {
    server: S,
    open: RefCell<Option<Opened>>,
}

struct Opened {
    bundle: Unpacked,
    report: Option<Envelope>,
}

impl<S> Sources<S> {
    /// A server with no bundle open.
    pub fn new(server: S) -> Self {
        Self { server, open: RefCell::new(None) }
    }

    /// Takes everything from the bundle from now on.
    pub fn open(&self, bundle: Unpacked) {
        *self.open.borrow_mut() = Some(Opened { bundle, report: None });
    }

    /// Back to the server. Answers with the signed report that would have gone there.
    pub fn close(&self) -> Option<Envelope> {
        self.open.borrow_mut().take().and_then(|opened| opened.report)
    }

    fn while_open<T>(&self, read: impl FnOnce(&Unpacked) -> Result<T, SupplyError>) -> Option<Result<T, SupplyError>> {
        self.open.borrow().as_ref().map(|opened| read(&opened.bundle))
    }
}

impl<S: Supply> Supply for Sources<S> {
    fn estate(&self) -> Result<Estate, SupplyError> {
        self.while_open(Unpacked::estate).unwrap_or_else(|| self.server.estate())
    }

    fn dossier(&self, generation: u64, app: &AppName) -> Result<Dossier, SupplyError> {
        self.while_open(Unpacked::dossier).unwrap_or_else(|| self.server.dossier(generation, app))
    }

    fn object(&self, digest: &Digest, max_bytes: u64) -> Result<Vec<u8>, SupplyError> {
        let while_open = self.while_open(|bundle| read(&bundle.object_path(digest), max_bytes));
        while_open.unwrap_or_else(|| self.server.object(digest, max_bytes))
    }

    fn gather(
        &self,
        objects: &BTreeMap<Digest, u64>,
        folder: &Path,
        heard: &mut dyn FnMut(u64),
    ) -> Result<(), SupplyError> {
        let Some(opened) = &*self.open.borrow() else { return self.server.gather(objects, folder, heard) };
        let cannot = |error: std::io::Error| SupplyError::Broken(format!("cannot take it from the bundle: {error}"));
        fs::create_dir_all(folder).map_err(cannot)?;
        let mut bytes = 0;
        for (digest, size) in objects {
            let done = folder.join(digest.hex());
            if !done.is_file() {
                let partial = folder.join("object.part");
                let found = copy(&opened.bundle.object_path(digest), &partial, *size).map_err(cannot)?;
                if found != *digest {
                    return Err(SupplyError::Broken(format!("the bundle holds {found} under the name {digest}")));
                }
                fs::rename(&partial, &done).map_err(cannot)?;
            }
            bytes += size;
            heard(bytes);
        }
        Ok(())
    }

    fn repository(&self, origin: Origin, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        let Some(opened) = &*self.open.borrow() else { return self.server.repository(origin, path, max_bytes) };
        let file = opened.bundle.folder.join(repository_path(path));
        match read(&file, max_bytes) {
            Ok(bytes) => Ok(Some(bytes)),
            // A bundle from before there was a repository, or from an estate without one.
            Err(_) if !file.exists() => Ok(None),
            Err(error) => Err(FetchError::Away(error.to_string())),
        }
    }

    fn mirrors(&self) -> usize {
        if self.open.borrow().is_some() { 0 } else { self.server.mirrors() }
    }

    fn refreshed(&self, signed: Option<Timestamp>) {
        self.server.refreshed(signed);
    }

    fn submit(&self, envelope: &Envelope) -> Result<(), SupplyError> {
        let Some(opened) = &mut *self.open.borrow_mut() else { return self.server.submit(envelope) };
        let carried = matches!(
            Statement::read(envelope).map(|statement| statement.act),
            Ok(Act::Report(report)) if report.carried.is_some_and(|carried| carried.bundle == opened.bundle.bundle)
        );
        if !carried {
            let why = "an earlier outcome has still to be told to the server, so this bundle has to wait".into();
            return Err(SupplyError::Away(why));
        }
        opened.report = Some(envelope.clone());
        Ok(())
    }

    fn tell(&self, progress: ProgressReport) {
        match &*self.open.borrow() {
            Some(_) => tracing::info!(phase = progress.phase.word(), done = progress.done, note = %progress.note),
            None => self.server.tell(progress),
        }
    }

    fn consistency(&self, from: u64, to: u64) -> Result<Vec<Digest>, SupplyError> {
        self.server.consistency(from, to)
    }

    fn learn(&self, keys: &[Digest]) {
        self.server.learn(keys);
    }

    fn learn_places(&self, urls: &[String]) {
        self.server.learn_places(urls);
    }

    fn remember(&self, memory: &Memory) -> Result<(), SupplyError> {
        self.server.remember(memory)
    }

    fn bundle(&self) -> Option<Digest> {
        self.open.borrow().as_ref().map(|opened| opened.bundle.bundle)
    }
}

/// Copies at most `size` bytes, and digests them.
fn copy(from: &Path, to: &Path, size: u64) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut reader = File::open(from)?.take(size);
    let mut writer = File::create(to)?;
    let mut chunk = vec![0; 64 << 10];
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok(hasher.finish()),
            count => {
                hasher.update(&chunk[..count]);
                std::io::Write::write_all(&mut writer, &chunk[..count])?;
            }
        }
    }
}

/// No server at all: on a site without a network, where no agent runs.
pub struct Nowhere;

impl Supply for Nowhere {
    fn estate(&self) -> Result<Estate, SupplyError> {
        Err(away())
    }
    fn dossier(&self, _: u64, _: &AppName) -> Result<Dossier, SupplyError> {
        Err(away())
    }
    fn object(&self, _: &Digest, _: u64) -> Result<Vec<u8>, SupplyError> {
        Err(away())
    }
    fn gather(&self, _: &BTreeMap<Digest, u64>, _: &Path, _: &mut dyn FnMut(u64)) -> Result<(), SupplyError> {
        Err(away())
    }
    fn submit(&self, _: &Envelope) -> Result<(), SupplyError> {
        Err(away())
    }
    fn repository(&self, _: Origin, _: &str, _: u64) -> Result<Option<Vec<u8>>, FetchError> {
        Err(FetchError::Away("there is no server here".into()))
    }
    fn mirrors(&self) -> usize {
        0
    }
    fn refreshed(&self, _: Option<Timestamp>) {}
    fn tell(&self, _: ProgressReport) {}
    fn consistency(&self, _: u64, _: u64) -> Result<Vec<Digest>, SupplyError> {
        Err(away())
    }
    fn learn(&self, _: &[Digest]) {}
    fn learn_places(&self, _: &[String]) {}
    fn remember(&self, _: &Memory) -> Result<(), SupplyError> {
        Err(away())
    }
}

fn away() -> SupplyError {
    SupplyError::Away("there is no server here".into())
}
