//! A copy of the server's repository: every file verified here before it is written anywhere.

use crate::{
    connection::Connection,
    context::write_whole,
    failure::{Failure, OrIntegrity},
};
use api::{client::ClientError, routes};
use jiff::Timestamp;
use std::{collections::BTreeMap, fs, path::Path};
use trust::{
    AppName, AudienceName,
    charter::CHARTER_TARGET,
    tuf::{
        Root,
        client::{Client, Found, Kept, Next, Wanted},
        repository::permits_target,
    },
};

/// The file whose bytes change under its name: it says that all the others are there.
const TIMESTAMP: &str = "metadata/timestamp.json";
/// No file of a repository is larger than its kind may be; this is more than any.
const ROLE_FILE: &str = "metadata/";

/// What of a repository is copied.
pub enum Part<'a> {
    /// All of it.
    All,
    /// What concerns one application in one audience.
    Pair(&'a AudienceName, &'a AppName),
}

/// Fetches and verifies a part of the repository; answers with its files by their paths. Nothing where the estate has
/// none yet.
pub async fn fetch(connection: &Connection, part: Part<'_>) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut files = BTreeMap::new();
    let targets = &connection.verified.targets;
    if targets.delegations().is_none() {
        return Ok(files);
    }
    let first = connection.documents.roots.first().cloned().unwrap_or_default();
    let root = Root::pinned(&first, &connection.estate()).or_integrity("the first root")?;
    files.insert("metadata/1.root.json".into(), first);
    let mut client = Client::start(root, Kept::default(), Timestamp::now());
    while let Next::Wants(wanted) = client.refresh().or_integrity("the repository")? {
        give(connection, &mut client, &wanted, &mut files).await?;
    }
    let mut names = vec![CHARTER_TARGET.to_string()];
    match part {
        Part::Pair(audience, app) => names.push(permits_target(audience, app)),
        Part::All => {
            for audience in connection.policy.charter.audience_names() {
                names.extend(listed(connection, &mut client, audience, &mut files).await?);
            }
        }
    }
    for name in names {
        let Some(found) = find(connection, &mut client, &name, &mut files).await? else { continue };
        let path = format!("targets/{}", found.location);
        let bytes = get(connection, &path, found.target.length_bytes).await?;
        let bytes = bytes.ok_or_else(|| Failure::integrity(format!("the repository lists {name} and has it not")))?;
        found.target.check(&bytes).or_integrity(&name)?;
        files.insert(path, bytes);
    }
    Ok(files)
}

/// Writes a copy into a folder in an order that never shows a timestamp whose files are not there, and removes what the
/// copy does not have. Answers how many files were written.
pub fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<usize, Failure> {
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
    connection: &Connection,
    client: &mut Client,
    audience: &AudienceName,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<Vec<String>, Failure> {
    // Any name of the role's own makes the client take the role.
    let any = AppName::new("any").or_integrity("a name")?;
    let before: Vec<String> = files.keys().cloned().collect();
    find(connection, client, &permits_target(audience, &any), files).await?;
    let role = files.iter().find(|(path, _)| !before.contains(path)).map(|(_, bytes)| bytes.clone());
    let Some(role) = role else { return Ok(Vec::new()) };
    let document = trust::json::strict_value(&role).or_integrity("a role of permits")?;
    Ok(document["signed"]["targets"].as_object().into_iter().flat_map(|targets| targets.keys().cloned()).collect())
}

async fn find(
    connection: &Connection,
    client: &mut Client,
    name: &str,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<Option<Found>, Failure> {
    loop {
        match client.find(name).or_integrity("the repository")? {
            Next::Done(found) => return Ok(found),
            Next::Wants(wanted) => give(connection, client, &wanted, files).await?,
        }
    }
}

async fn give(
    connection: &Connection,
    client: &mut Client,
    wanted: &Wanted,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), Failure> {
    let path = format!("metadata/{}", wanted.path);
    let bytes = get(connection, &path, wanted.limit_bytes).await?;
    client.take(wanted, bytes.as_deref()).or_integrity("the repository")?;
    if let Some(bytes) = bytes {
        files.insert(path, bytes);
    }
    Ok(())
}

/// One file of the server's repository, of at most `max_bytes`.
async fn get(connection: &Connection, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, Failure> {
    let mut response = match connection.client.open(&format!("{}/{path}", routes::REPOSITORY), &[]).await {
        Ok(response) => response,
        Err(ClientError::Refused(problem)) if problem.code == "NOT_FOUND" => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| Failure::failed(format!("{path}: {error}")))? {
        if (bytes.len() + piece.len()) as u64 > max_bytes {
            return Err(Failure::integrity(format!("{path} is longer than the {max_bytes} bytes it may have")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_what_it_should_and_nothing_else_and_leaves_other_files_alone() {
        let folder = tempfile::tempdir().unwrap();
        let files = |names: &[&str]| names.iter().map(|name| (name.to_string(), name.as_bytes().to_vec())).collect();
        let old = files(&[TIMESTAMP, "metadata/1.snapshot.json", "targets/aa.permits.prod.web.json"]);
        assert_eq!(write(folder.path(), &old).unwrap(), 3);
        fs::write(folder.path().join("index.html"), "ours").unwrap();
        let new = files(&[TIMESTAMP, "metadata/2.snapshot.json", "targets/bb.permits.prod.web.json"]);
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
