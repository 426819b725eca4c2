//! A repository as the command line reads it, from the server or from a witness: every file is verified here before it is
//! used or written anywhere.

use crate::{
    connection::Connection,
    context::write_whole,
    failure::{Failure, OrIntegrity},
};
use api::{client, routes};
use jiff::Timestamp;
use std::{collections::BTreeMap, fs, path::Path};
use trust::{
    AppName, AudienceName, Digest,
    charter::CHARTER_TARGET,
    tuf::{
        Root,
        client::{Client, Found, Kept, Next, Wanted},
        repository::{permits_target, role_name},
    },
};

/// The file whose bytes change under its name: it says that all the others are there.
const TIMESTAMP: &str = "metadata/timestamp.json";
/// The file by which a mirror's estate is known.
const FIRST_ROOT: &str = "metadata/1.root.json";
/// No file of a repository is larger than its kind may be; this is more than any.
const ROLE_FILE: &str = "metadata/";

/// What of a repository is copied.
pub enum Part<'a> {
    /// All of it.
    All,
    /// What concerns one application in one audience.
    Pair(&'a AudienceName, &'a AppName),
}

/// Where a repository is.
pub struct Place<'a> {
    /// Who has it.
    pub client: &'a client::Client,
    /// Below which path.
    pub folder: &'static str,
}

impl<'a> Place<'a> {
    /// The server's own.
    pub fn server(connection: &'a Connection) -> Self {
        Self { client: &connection.client, folder: routes::REPOSITORY }
    }

    /// One file, of at most `max_bytes`.
    pub async fn get(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, Failure> {
        let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        Ok(self.client.file(&format!("{}/{path}", self.folder), &[], limit).await?)
    }
}

/// A client that has refreshed from `place`, as of `now`, from the first root of the estate that is pinned.
pub async fn refreshed(
    place: &Place<'_>,
    estate: &Digest,
    first: &[u8],
    now: Timestamp,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<Client, Failure> {
    let root = Root::pinned(first, estate).or_integrity("the first root")?;
    files.insert("metadata/1.root.json".into(), first.to_vec());
    let mut client = Client::start(root, Kept::default(), now);
    while let Next::Wants(wanted) = client.refresh().or_integrity("the repository")? {
        give(place, &mut client, &wanted, files).await?;
    }
    Ok(client)
}

/// A target that the repository vouches for, whole; nothing where nobody does.
pub async fn target(
    place: &Place<'_>,
    client: &mut Client,
    name: &str,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<Option<Vec<u8>>, Failure> {
    let Some(found) = find(place, client, name, files).await? else { return Ok(None) };
    let path = format!("targets/{}", found.location);
    let bytes = place.get(&path, found.target.length_bytes).await?;
    let bytes = bytes.ok_or_else(|| Failure::integrity(format!("the repository lists {name} and has it not")))?;
    found.target.check(&bytes).or_integrity(name)?;
    files.insert(path, bytes.clone());
    Ok(Some(bytes))
}

/// Fetches and verifies a part of the repository; answers with its files by their paths. Nothing where the estate has
/// none yet.
pub async fn fetch(connection: &Connection, part: Part<'_>) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut files = BTreeMap::new();
    let targets = &connection.verified.targets;
    if targets.delegations().is_none() {
        return Ok(files);
    }
    let place = Place::server(connection);
    let first = connection.documents.roots.first().cloned().unwrap_or_default();
    let mut client = refreshed(&place, &connection.estate(), &first, Timestamp::now(), &mut files).await?;
    let mut names = vec![CHARTER_TARGET.to_string()];
    match part {
        Part::Pair(audience, app) => names.push(permits_target(audience, app)),
        Part::All => {
            for audience in connection.policy.charter.audience_names() {
                names.extend(listed(&place, &mut client, audience, &mut files).await?);
            }
        }
    }
    for name in names {
        target(&place, &mut client, &name, &mut files).await?;
    }
    Ok(files)
}

/// Writes a copy into a folder in an order that never shows a timestamp whose files are not there, and removes what the
/// copy does not have. Answers how many files were written.
pub fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<usize, Failure> {
    check_folder(folder, files)?;
    let mut written = 0;
    let last = |path: &&String| path.as_str() == TIMESTAMP;
    // Targets before metadata, the timestamp after all.
    let (targets, metadata): (Vec<&String>, Vec<&String>) =
        files.keys().filter(|path| !last(path)).partition(|path| !path.starts_with(ROLE_FILE));
    for path in targets.into_iter().chain(metadata).chain(files.keys().filter(last)) {
        let (to, bytes) = (folder.join(path), &files[path]);
        if fs::read(&to).is_ok_and(|there| there == *bytes) {
            continue;
        }
        if let Some(above) = to.parent() {
            fs::create_dir_all(above).map_err(|error| cannot("create", above, &error))?;
        }
        write_whole(&to, bytes)?;
        written += 1;
    }
    remove_others(folder, folder, files)?;
    Ok(written)
}

/// Fails unless the folder is new, empty, or a mirror of this very estate: anything else there is somebody's, and what lies
/// under a mirror's names would be removed.
fn check_folder(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<(), Failure> {
    if !fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(());
    }
    let why = match (fs::read(folder.join(FIRST_ROOT)).ok(), files.get(FIRST_ROOT)) {
        (Some(there), Some(ours)) if there == *ours => return Ok(()),
        (Some(_), _) => "is a mirror of another estate",
        (None, _) => "is not empty, and no mirror",
    };
    Err(Failure::misused(format!("{} {why}: a mirror gets a folder of its own. Nothing was written", folder.display())))
}

fn remove_others(root: &Path, folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<(), Failure> {
    let entries = fs::read_dir(folder).map_err(|error| cannot("read", folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| cannot("read", folder, &error))?.path();
        let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let is_ours = below.starts_with("metadata") || below.starts_with("targets");
        if !is_ours {
            continue;
        }
        if path.is_dir() {
            remove_others(root, &path, files)?;
        } else if !files.contains_key(&below) {
            fs::remove_file(&path).map_err(|error| cannot("remove", &path, &error))?;
        }
    }
    Ok(())
}

fn cannot(doing: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot {doing} {}: {error}", path.display()))
}

/// The names of all files that an audience's role lists.
async fn listed(
    place: &Place<'_>,
    client: &mut Client,
    audience: &AudienceName,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<Vec<String>, Failure> {
    let role = role_name(audience);
    loop {
        match client.listed_by(&role).or_integrity("the repository")? {
            Next::Done(found) => return Ok(found.into_iter().map(|found| found.path).collect()),
            Next::Wants(wanted) => give(place, client, &wanted, files).await?,
        }
    }
}

async fn find(
    place: &Place<'_>,
    client: &mut Client,
    name: &str,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<Option<Found>, Failure> {
    loop {
        match client.find(name).or_integrity("the repository")? {
            Next::Done(found) => return Ok(found),
            Next::Wants(wanted) => give(place, client, &wanted, files).await?,
        }
    }
}

async fn give(
    place: &Place<'_>,
    client: &mut Client,
    wanted: &Wanted,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), Failure> {
    let path = format!("metadata/{}", wanted.path);
    let bytes = place.get(&path, wanted.limit_bytes).await?;
    client.take(wanted, bytes.as_deref()).or_integrity("the repository")?;
    if let Some(bytes) = bytes {
        files.insert(path, bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_what_it_should_and_nothing_else_and_leaves_other_files_alone() {
        let folder = tempfile::tempdir().unwrap();
        let files = |names: &[&str]| names.iter().map(|name| (name.to_string(), name.as_bytes().to_vec())).collect();
        let old = files(&[TIMESTAMP, FIRST_ROOT, "metadata/1.snapshot.json", "targets/aa.permits.prod.web.json"]);
        assert_eq!(write(folder.path(), &old).unwrap(), 4);
        fs::write(folder.path().join("index.html"), "ours").unwrap();
        let new = files(&[TIMESTAMP, FIRST_ROOT, "metadata/2.snapshot.json", "targets/bb.permits.prod.web.json"]);
        assert_eq!(write(folder.path(), &new).unwrap(), 2, "what is there is not written again");
        for (name, is_there) in [
            ("metadata/1.snapshot.json", false),
            ("targets/aa.permits.prod.web.json", false),
            ("targets/bb.permits.prod.web.json", true),
            ("index.html", true),
        ] {
            assert_eq!(folder.path().join(name).exists(), is_there, "{name}");
        }
    }
}
