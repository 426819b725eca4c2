use super::*;
use futures_util::stream;
use std::{cell::RefCell, collections::BTreeMap, convert::Infallible, path::Path};
use trust::{
    Digest, PersonName,
    key::{SecretKey, Signer},
    tuf::{
        RootBuilder, TargetFile, Targets,
        repository::{ListedFile, sign_online, snapshot, timestamp},
        sign_metadata,
    },
};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    time("2030-01-01T00:00:00Z")
}

fn owner() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn online() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

/// Files by their paths, and what was asked for.
#[derive(Default)]
struct Mirror {
    files: BTreeMap<String, Vec<u8>>,
    asked: RefCell<Vec<String>>,
}

impl Source for Mirror {
    fn metadata(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        self.asked.borrow_mut().push(path.to_owned());
        match self.files.get(path) {
            Some(bytes) if bytes.len() as u64 > max_bytes => Err(FetchError::TooLong(max_bytes)),
            found => Ok(found.cloned()),
        }
    }

    fn target(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        self.metadata(&format!("targets/{path}"), max_bytes)
    }
}

fn root(version: u64, expires: &str) -> Vec<u8> {
    let mut builder = RootBuilder::first(time(expires));
    builder = builder.owner(&PersonName::new("ann").unwrap(), owner().public()).online(online().public());
    let mut signed = builder.build().unwrap();
    signed["version"] = version.into();
    sign_metadata(&signed, &[&owner()]).unwrap()
}

impl Mirror {
    /// An estate's repository at one version of everything but root.
    fn publish(&mut self, version: u64) {
        let expires = time("2031-01-01T00:00:00Z");
        let charter = TargetFile { length_bytes: 7, digest: Digest::of(b"charter") };
        let targets = BTreeMap::from([("charter.toml".to_owned(), charter)]);
        let targets = Targets::unsigned(version, expires, &targets, None).unwrap();
        let targets = sign_metadata(&targets, &[&owner()]).unwrap();
        let listed = BTreeMap::from([("targets.json".to_owned(), ListedFile::of(version, &targets))]);
        let snapshot = sign_online(&snapshot(version, expires, &listed).unwrap(), &online()).unwrap();
        let listed = ListedFile::of(version, &snapshot);
        let timestamp = sign_online(&timestamp(version, expires, now(), &listed).unwrap(), &online()).unwrap();
        self.files.insert(format!("{version}.targets.json"), targets);
        self.files.insert(format!("{version}.snapshot.json"), snapshot);
        self.files.insert("timestamp.json".into(), timestamp);
        self.files.insert(format!("targets/{}.charter.toml", charter.digest.hex()), b"charter".to_vec());
    }
}

fn open(folder: &Path) -> Repository {
    let first = root(1, "2031-01-01T00:00:00Z");
    Repository::of_estate(folder.to_owned().into(), &first, &Digest::of(&first), now()).unwrap()
}

#[test]
fn what_was_trusted_is_remembered_by_an_agent_that_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::default();
    mirror.publish(1);
    mirror.files.insert("2.root.json".into(), root(2, "2031-01-01T00:00:00Z"));
    let mut repository = open(folder.path());
    repository.refresh(&mirror, now()).unwrap();
    let found = repository.find(&mirror, "charter.toml").unwrap().unwrap();
    assert_eq!(repository.download(&mirror, &found).unwrap(), b"charter");
    drop(repository);
    mirror.asked.take();

    // Another process: nothing is fetched again but what may have changed.
    let mut repository = open(folder.path());
    assert_eq!(repository.client().root().version(), 2);
    repository.refresh(&mirror, now()).unwrap();
    assert_eq!(mirror.asked.take(), ["3.root.json", "timestamp.json"]);

    // A server that goes back is refused by the next one too.
    drop(repository);
    mirror.publish(2);
    open(folder.path()).refresh(&mirror, now()).unwrap();
    mirror.publish(1);
    let error = open(folder.path()).refresh(&mirror, now()).unwrap_err();
    assert!(matches!(&error, RepositoryError::Metadata(error) if error.section == "5.4.3.1"), "{error}");
}

/// A version that was taken and could not be written is written once that can be: the server has none that is newer.
#[test]
fn what_could_not_be_kept_is_kept_by_the_next_refresh() {
    let folder = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::default();
    mirror.publish(1);
    let mut repository = open(folder.path());
    // No file takes the place of a folder.
    let kept = folder.path().join("timestamp.json");
    std::fs::create_dir(&kept).unwrap();
    for _ in 0..2 {
        let error = repository.refresh(&mirror, now()).unwrap_err();
        assert!(matches!(error, RepositoryError::File(_)), "{error}");
    }
    std::fs::remove_dir(&kept).unwrap();
    repository.refresh(&mirror, now()).unwrap();
    assert_eq!(std::fs::read(&kept).unwrap(), mirror.files["timestamp.json"]);
}

#[test]
fn a_damaged_folder_is_mended_from_the_repository() {
    let folder = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::default();
    mirror.publish(1);
    mirror.files.insert("2.root.json".into(), root(2, "2031-01-01T00:00:00Z"));
    open(folder.path()).refresh(&mirror, now()).unwrap();
    let kept = ["roots/2.root.json", "timestamp.json", "snapshot.json", "targets.json"];
    for file in kept {
        std::fs::write(folder.path().join(file), vec![b'x'; 9 << 20]).unwrap();
    }
    open(folder.path()).refresh(&mirror, now()).unwrap();
    for (file, path) in kept.into_iter().zip(["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]) {
        assert_eq!(std::fs::read(folder.path().join(file)).unwrap(), mirror.files[path], "{file}");
    }
}

#[test]
fn another_file_under_a_target_s_name_is_not_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::default();
    mirror.publish(1);
    let path = format!("targets/{}.charter.toml", Digest::of(b"charter").hex());
    mirror.files.insert(path.clone(), b"chartre".to_vec());
    let mut repository = open(folder.path());
    repository.refresh(&mirror, now()).unwrap();
    let found = repository.find(&mirror, "charter.toml").unwrap().unwrap();
    let error = repository.download(&mirror, &found).unwrap_err();
    assert!(error.to_string().contains("is not the target that targets vouches for: "), "{error}");
    drop(repository);
    mirror.files.insert(path, vec![0; 100]);
    let error = open(folder.path()).download(&mirror, &found).unwrap_err();
    assert!(matches!(error, RepositoryError::Fetch { why: FetchError::TooLong(7), .. }), "{error}");
}

fn pieces(pieces: Vec<&'static [u8]>) -> impl Stream<Item = Result<&'static [u8], Infallible>> {
    stream::iter(pieces.into_iter().map(Ok))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[test]
fn no_more_is_read_than_may_be_and_no_longer_waited() {
    let patience = Patience::default();
    assert_eq!(block_on(patience.read(pieces(vec![b"ab", b"", b"c"]), 3)).unwrap(), b"abc");
    assert_eq!(block_on(patience.read(pieces(vec![b"ab", b"cd"]), 3)), Err(FetchError::TooLong(3)));
    // Whoever begins and then sends nothing more, or never begins, is not waited for: with no grace at all, at once.
    let patience = Patience { grace: Duration::ZERO, least_bytes_per_second: u64::MAX, ..patience };
    let stalled = pieces(vec![b"ab"]).chain(stream::pending());
    assert!(matches!(block_on(patience.read(stalled, 3)), Err(FetchError::TooSlow { received_bytes: 2, .. })));
    let silent = stream::pending::<Result<&'static [u8], Infallible>>();
    assert!(matches!(block_on(patience.read(silent, 3)), Err(FetchError::TooSlow { received_bytes: 0, .. })));
    // However fast it comes, it must end some day.
    let patience = Patience { total: Duration::ZERO, grace: Duration::from_secs(9), least_bytes_per_second: 1 };
    let endless = pieces(vec![b"ab"]).chain(stream::pending());
    assert!(matches!(block_on(patience.read(endless, 3)), Err(FetchError::TooSlow { .. })));
}
