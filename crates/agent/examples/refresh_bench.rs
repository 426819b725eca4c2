//! How many bytes an agent's refresh moves: the first one, one where nothing has changed, and one after a permit was granted
//! in its environment, for another application. Prints JSON.
//!
//! `refresh_bench FOLDER`, where FOLDER holds what `large_repository` of crates/trust wrote. The agent's own code refreshes,
//! and keeps the withdrawals for one application; a folder stands in for the server. Counted are the bodies of the
//! answers, as they are and as the server compresses them; names of files, headers and TLS are not.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot set its scene should stop there")]

use agent::{
    documents::Documents,
    files::Place,
    freshness::Refresher,
    repository::{FetchError, Source},
};
use api::{read::Estate, write::Attachment};
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
};
use trust::{AppName, Digest, authority::Pinned, charter::Class};

/// What the server leaves as it is.
const COMPRESSED_FROM_BYTES: usize = 1024;

/// The folder in the place of a server, and what was fetched from it.
struct Counted {
    folder: PathBuf,
    fetched: RefCell<Vec<(String, usize, usize)>>,
    asked: RefCell<usize>,
}

impl Counted {
    fn read(&self, path: String, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        *self.asked.borrow_mut() += 1;
        let Ok(bytes) = fs::read(self.folder.join(&path)) else { return Ok(None) };
        if bytes.len() as u64 > max_bytes {
            return Err(FetchError::TooLong(max_bytes));
        }
        self.fetched.borrow_mut().push((path, bytes.len(), sent(&bytes)));
        Ok(Some(bytes))
    }

    /// What was fetched since this was asked last.
    fn told(&self) -> Value {
        let fetched = self.fetched.take();
        json!({
            "requests": self.asked.take(),
            "bytes": fetched.iter().map(|(_, plain, _)| plain).sum::<usize>(),
            "sent_bytes": fetched.iter().map(|(_, _, sent)| sent).sum::<usize>(),
            "files": fetched,
        })
    }
}

/// The length in which the server sends these bytes to an agent.
fn sent(bytes: &[u8]) -> usize {
    if bytes.len() <= COMPRESSED_FROM_BYTES {
        return bytes.len();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().len()
}

impl Source for Counted {
    fn metadata(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        self.read(format!("metadata/{path}"), max_bytes)
    }

    fn target(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        self.read(format!("targets/{path}"), max_bytes)
    }
}

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap());
    let home = tempfile::tempdir().unwrap();
    let trust: Place = home.path().to_path_buf().into();
    let estate = estate(&folder);
    let pinned = Pinned {
        estate: Digest::of(&estate.roots[0].0),
        environment: "prod".parse().unwrap(),
        class: Class::Live,
        target: "prod-1".parse().unwrap(),
        apps: BTreeSet::new(),
    };
    let mut documents = Documents::found(trust.clone(), pinned, estate).unwrap();
    let mut refresher = Refresher::open(&trust, &documents, Timestamp::now()).unwrap();
    let apps: BTreeSet<AppName> = ["application-0000".parse().unwrap()].into();
    let source = Counted { folder: folder.clone(), fetched: RefCell::default(), asked: RefCell::default() };
    let mut refresh = || {
        refresher.refresh(&mut documents, &apps, &source, Timestamp::now()).unwrap();
        source.told()
    };
    let (first, nothing_new) = (refresh(), refresh());
    // What was published in between is the timestamp alone, as far as names go.
    let timestamp = folder.join("metadata/timestamp.json");
    let before = fs::read(&timestamp).unwrap();
    fs::copy(folder.join("timestamp-after.json"), &timestamp).unwrap();
    let after_a_permit = refresh();
    fs::write(&timestamp, before).unwrap();
    println!("{:#}", json!({ "first": first, "nothing_new": nothing_new, "after_a_permit": after_a_permit }));
}

/// The documents of trust, as an agent has them when it has joined.
fn estate(folder: &Path) -> Estate {
    let charter = fs::read_dir(folder.join("targets")).unwrap().map(|entry| entry.unwrap().path());
    let charter = charter.into_iter().find(|path| path.to_string_lossy().ends_with(".charter.toml")).unwrap();
    Estate {
        roots: vec![Attachment(fs::read(folder.join("metadata/1.root.json")).unwrap())],
        targets: fs::read(folder.join("metadata/1.targets.json")).unwrap(),
        charter: fs::read_to_string(charter).unwrap(),
        suspensions: Vec::new(),
    }
}
