//! Refreshes and downloads from one repository with the crate `tough` and with our own client, and says whether they get
//! the same and how often a second each refreshes. Prints JSON.
//!
//! `beside-tough FOLDER`, where FOLDER holds what `large_repository` of crates/trust wrote. Everything is read into memory
//! first, so that neither disk nor network plays a part; both clients run in this one process on one thread, by turns, and
//! both write what they got into a temporary folder. One refresh goes from root to timestamp, snapshot, targets and every
//! role that targets delegate to, beginning with the first root and with nothing kept from before.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use serde_json::json;
use std::{
    collections::BTreeMap,
    error::Error,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tough::{
    IntoVec, Repository, RepositoryLoader, TargetName, Transport, TransportError, TransportErrorKind, TransportStream,
};
use trust::tuf::{
    Root,
    client::{Change, Client, Kept, Next, Wanted},
    repository,
};
use url::Url;

type Made<T> = Result<T, Box<dyn Error>>;

/// How long the two are measured.
const MEASURED: Duration = Duration::from_secs(20);

/// A folder of files, in memory, by their paths below it.
#[derive(Clone)]
struct Files(Arc<BTreeMap<String, Bytes>>);

fn main() -> Made<()> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("which folder?")?);
    let files = Files::read(&folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let with_tough = || runtime.block_on(files.with_tough());

    let equal = runtime.block_on(files.compare())?;
    let (mut theirs, mut ours) = (Duration::ZERO, Duration::ZERO);
    let mut refreshes = 0_u32;
    while theirs + ours < MEASURED {
        theirs += timed(&with_tough)?;
        ours += timed(&|| files.with_ours())?;
        refreshes += 1;
    }
    let rate = |took: Duration| f64::from(refreshes) / took.as_secs_f64();
    println!(
        "{:#}",
        json!({
            "targets_compared": equal,
            "refreshes_each": refreshes,
            "ours_per_second": rate(ours),
            "tough_per_second": rate(theirs),
            "ratio": theirs.as_secs_f64() / ours.as_secs_f64(),
        })
    );
    Ok(())
}

/// What making something takes; throwing it away is not counted.
fn timed<T>(make: &dyn Fn() -> Made<T>) -> Made<Duration> {
    let began = Instant::now();
    let made = make()?;
    let took = began.elapsed();
    drop(made);
    Ok(took)
}

impl Files {
    fn read(folder: &Path) -> Made<Self> {
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next)? {
                let path = entry?.path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => {
                        let below = path.strip_prefix(folder)?.to_string_lossy().into_owned();
                        files.insert(below, fs::read(&path)?.into());
                    }
                }
            }
        }
        Ok(Self(Arc::new(files)))
    }

    fn get(&self, path: &str) -> Option<&Bytes> {
        self.0.get(path)
    }

    fn first_root(&self) -> Made<&Bytes> {
        Ok(self.get("metadata/1.root.json").ok_or("there is no first root")?)
    }

    /// One refresh by tough, which loads every delegated role as well.
    async fn with_tough(&self) -> Made<Repository> {
        let base = |folder: &str| Url::parse(&format!("memory:///{folder}/"));
        let loader = RepositoryLoader::new(self.first_root()?, base("metadata")?, base("targets")?);
        Ok(loader.transport(self.clone()).load().await?)
    }

    /// The same by our client.
    fn with_ours(&self) -> Made<(Client, tempfile::TempDir)> {
        let kept = tempfile::tempdir()?;
        let root = Root::of_any_repository(self.first_root()?)?;
        let mut client = Client::start(root, Kept::default(), Timestamp::now());
        while let Next::Wants(wanted) = client.refresh()? {
            self.supply(&mut client, &wanted, kept.path())?;
        }
        let delegations = client.targets().and_then(|(targets, _)| targets.delegations()).ok_or("no delegations")?;
        let roles = delegations["roles"].as_array().into_iter().flatten();
        let audiences: Vec<_> = roles.filter_map(|role| repository::role_audience(role["name"].as_str()?)).collect();
        for audience in audiences {
            // The role is loaded, whether or not it lists this one.
            let path = repository::permits_target(&audience, &"none".parse()?);
            while let Next::Wants(wanted) = client.find(&path)? {
                self.supply(&mut client, &wanted, kept.path())?;
            }
        }
        Ok((client, kept))
    }

    fn supply(&self, client: &mut Client, wanted: &Wanted, kept: &Path) -> Made<()> {
        let bytes = self.get(&format!("metadata/{}", wanted.path));
        for change in client.take(wanted, bytes.map(AsRef::as_ref))? {
            match change {
                Change::Root { bytes, .. } => fs::write(kept.join("root.json"), bytes)?,
                Change::Keep { name, bytes } => fs::write(kept.join(name), bytes)?,
                Change::Forget { name } => fs::remove_file(kept.join(name))?,
            }
        }
        Ok(())
    }

    /// Refreshes and downloads everything with both; answers how many targets were the same, which must be all.
    async fn compare(&self) -> Made<usize> {
        let theirs = self.with_tough().await?;
        let (ours, _kept) = self.with_ours()?;
        let versions = [
            (theirs.root().signed.version.get(), ours.root().version()),
            (theirs.timestamp().signed.version.get(), ours.timestamp().ok_or("no timestamp")?.0.version()),
            (theirs.snapshot().signed.version.get(), ours.snapshot().ok_or("no snapshot")?.0.version()),
            (theirs.targets().signed.version.get(), ours.targets().ok_or("no targets")?.0.version()),
        ];
        if let Some((theirs, ours)) = versions.iter().find(|(theirs, ours)| theirs != ours) {
            return Err(format!("tough has version {theirs} where our client has {ours}").into());
        }
        let names: Vec<TargetName> = theirs.all_targets().map(|(name, _)| name.clone()).collect();
        for name in &names {
            let read = theirs.read_target(name).await?.ok_or("tough does not find what it lists")?.into_vec().await?;
            let Next::Done(Some(found)) = ours.find(name.raw())? else {
                return Err(format!("our client does not find {}", name.raw()).into());
            };
            let bytes = self.get(&format!("targets/{}", found.location)).ok_or("a target is not there")?;
            found.target.check(bytes)?;
            if read != *bytes {
                return Err(format!("{} is not the same to both", name.raw()).into());
            }
        }
        Ok(names.len())
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.0.len())
    }
}

#[async_trait]
impl Transport for Files {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        match self.get(url.path().trim_start_matches('/')) {
            Some(bytes) => Ok(Box::pin(stream::iter([Ok(bytes.clone())]))),
            None => Err(TransportError::new(TransportErrorKind::FileNotFound, url)),
        }
    }
}
