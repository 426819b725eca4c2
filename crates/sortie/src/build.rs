//! A build made ready on this machine: found, checked against version control, listed, digested, and sent.

use crate::{
    connection::Connection,
    failure::{Failure, OrMisused},
    git,
    project::{self, Located},
};
use anyhow::Context as _;
use api::routes;
use depot::{
    Project,
    archive::{self, UnpackLimits},
    pack::{PackLimits, SMALL_OBJECT_BYTES, write_pack},
    project::{FILE_NAME, missing_program},
    scan::{Progress, ScanOptions, scan},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Cursor, Read},
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use tokio_stream::wrappers::ReceiverStream;
use trust::{
    Digest,
    manifest::{Entry, Manifest, Run},
    statement::Commit,
};

/// How many digests are asked about at once.
const ASKED_AT_ONCE: usize = 8192;
/// How many bytes of a large file are read at once, and how many such pieces ahead of what is sent.
const PIECE_BYTES: usize = 256 << 10;
const PIECES_AHEAD: usize = 4;

/// A build that lies ready on this machine.
pub struct Ready {
    /// What `sortie.toml` says.
    pub project: Project,
    /// What it was made from.
    pub commit: Option<Commit>,
    /// What the pusher should know.
    pub notes: Vec<String>,
    /// The manifest.
    pub manifest: Manifest,
    /// Its bytes.
    pub bytes: Vec<u8>,
    root: PathBuf,
    /// The text of `sortie.toml`, and what it is called; nothing where there is none.
    text: Option<(String, String)>,
    /// What was unpacked stays until it was sent.
    _unpacked: Option<TempDir>,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Sent {
    /// Objects the server did not have.
    pub objects: u64,
    /// Bytes that travelled.
    pub bytes: u64,
}

impl Ready {
    /// The build's digest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// Fails where a program that the build names is not among its files. Of a part that cannot be said: another may have it.
    pub fn has_its_programs(&self) -> Result<(), Failure> {
        let Some((text, name)) = self.text.as_ref().filter(|_| !self.project.has_no_files()) else { return Ok(()) };
        missing_program(text, name, &self.manifest.files, &self.project.run.data).or_misused()
    }

    /// Takes another manifest: that of a package, once it is known which builds it lists.
    pub fn list(&mut self, manifest: Manifest) -> Result<(), Failure> {
        self.bytes = manifest.to_bytes().or_misused()?;
        self.manifest = manifest;
        Ok(())
    }

    /// How many files and links it has.
    pub fn files(&self) -> u64 {
        self.manifest.files.len() as u64
    }
}

/// Makes `source` (a folder, a file, an archive; what `sortie.toml` says where absent) ready as a build.
pub fn prepare(source: Option<&Path>, app: Option<&str>, progress: &dyn Fn(Progress)) -> Result<Ready, Failure> {
    let here = Path::new(".");
    let unpacked = match source {
        Some(path) if path.is_file() => unpack(path)?,
        _ => None,
    };
    let source = unpacked.as_ref().map(|folder| folder.path().join("files")).or(source.map(Path::to_path_buf));
    let (located, files) = locate(source.as_deref(), app, here)?;
    let (project, text) = (located.project, located.text);
    let (commit, notes) = match unpacked {
        // What an archive was made from is not known here: the repository around it may be another one.
        Some(_) => (None, Vec::new()),
        None => checkpoint(&located.folder, &project)?,
    };
    let (root, entries) = match project.has_no_files() {
        true => (located.folder, Vec::new()),
        false => {
            let options = ScanOptions { data: &project.run.data, may_be_empty: false };
            let scanned = scan(&files, &options, progress).map_err(|error| {
                let built = project.build.as_ref().filter(|_| !files.exists());
                let hint = built.map(|recipe| format!("; run `{recipe}` first")).unwrap_or_default();
                Failure::misused(format!("{error}{hint}"))
            })?;
            (scanned.root, scanned.entries)
        }
    };
    let manifest = project.manifest(entries).or_misused()?;
    let bytes = manifest.to_bytes().or_misused()?;
    Ok(Ready { project, commit, notes, manifest, bytes, root, text, _unpacked: unpacked })
}

fn unpack(path: &Path) -> Result<Option<TempDir>, Failure> {
    let detected = archive::detect(path).context("the archive").map_err(Failure::from)?;
    if detected.is_none() {
        return Ok(None);
    }
    let folder = tempfile::tempdir().context("no temporary folder").map_err(Failure::from)?;
    archive::unpack(path, &folder.path().join("files"), &UnpackLimits::default())
        .map_err(|error| Failure::misused(format!("{}: {error}", path.display())))?;
    Ok(Some(folder))
}

/// The `sortie.toml` that is meant, and the files that are.
fn locate(source: Option<&Path>, app: Option<&str>, here: &Path) -> Result<(Located, PathBuf), Failure> {
    let own = match source {
        Some(folder) if folder.is_dir() => project::read(folder)?.filter(|own| fits(own, app)),
        _ => None,
    };
    if let Some(own) = own {
        let files = own.folder.join(&own.project.files);
        return Ok((own, files));
    }
    match (project::find(here, app)?, source) {
        (Some(located), Some(source)) => Ok((located, source.to_path_buf())),
        (Some(located), None) => {
            let files = located.folder.join(&located.project.files);
            Ok((located, files))
        }
        // Files without a word on how they run are a static site: the switch is the deployment.
        (None, Some(source)) if app.is_some() => {
            let project = Project {
                app: crate::names::app_name(app.unwrap_or_default())?,
                files: ".".into(),
                paths: Vec::new(),
                build: None,
                checkpoint: false,
                run: Run::default(),
                package: BTreeMap::new(),
            };
            let folder = if source.is_dir() { source } else { source.parent().unwrap_or(here) };
            Ok((Located { folder: folder.to_path_buf(), project, text: None }, source.to_path_buf()))
        }
        (None, _) => {
            let which = app.map(|app| format!(" of {app}")).unwrap_or_default();
            Err(Failure::misused(format!("there is no {FILE_NAME}{which} here")).next("sortie init"))
        }
    }
}

fn fits(located: &Located, app: Option<&str>) -> bool {
    app.is_none_or(|app| located.project.app.as_str() == app)
}

/// How many files that differ from the commit are named.
const NAMED: usize = 10;

/// The commit that the files stand for, and what is to be said about it. A tree that differs from its commit is
/// refused: nobody could ever make those bytes again.
pub fn checkpoint(folder: &Path, project: &Project) -> Result<(Option<Commit>, Vec<String>), Failure> {
    let Some(top) = git::top(folder) else { return Ok((None, Vec::new())) };
    let below = |path: &Path| {
        let (path, top) = (path.canonicalize().ok()?, top.canonicalize().ok()?);
        Some(path.strip_prefix(top).ok()?.to_path_buf())
    };
    let output = below(&folder.join(&project.files)).filter(|path| !path.as_os_str().is_empty());
    let own_file = below(&folder.join(FILE_NAME));
    let dirty = git::dirty(&top, &project.paths)?;
    let is_own_file = |file: &git::Dirty| file.is_untracked && own_file.as_deref() == Some(Path::new(&file.path));
    let is_output =
        |file: &git::Dirty| file.is_untracked && output.as_ref().is_some_and(|o| Path::new(&file.path).starts_with(o));
    let notes = match dirty.iter().any(is_own_file) {
        true => vec![format!("{FILE_NAME} is not in the commit yet: add it, so that others can build this too")],
        false => Vec::new(),
    };
    let meant: Vec<&git::Dirty> = dirty.iter().filter(|file| !is_own_file(file) && !is_output(file)).collect();
    match meant.is_empty() {
        true => Ok((Some(git::head(&top, project.app.as_str())?), notes)),
        false => Err(differs(&top, &meant)),
    }
}

/// What keeps the commit from standing for the files, and what to do about it. A private key is never proposed to be committed.
fn differs(top: &Path, files: &[&git::Dirty]) -> Failure {
    let (keys, others): (Vec<&git::Dirty>, Vec<&git::Dirty>) =
        files.iter().partition(|file| file.is_new && git::is_private_key(&top.join(&file.path)));
    let (new, changed): (Vec<&git::Dirty>, Vec<&git::Dirty>) = others.into_iter().partition(|file| file.is_untracked);
    let some = |files: &[&git::Dirty], one: &str, several: &str| {
        let more = files.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let word = if files.len() == 1 { one } else { several };
        (!files.is_empty()).then(|| format!("{}{more} {word}", paths(files, ", ")))
    };
    let secret = some(
        &keys,
        "is a private key: move it away, and never commit it",
        "are private keys: move them away, and never commit them",
    );
    let changed_words = some(&changed, "differs from the commit", "differ from the commit");
    let new_words = some(&new, "is not in the commit", "are not in the commit");
    let said: Vec<String> = [changed_words, new_words].into_iter().flatten().collect();
    let said = (!said.is_empty()).then(|| format!("{}, so nobody could make this build again", said.join("; ")));
    let said: Vec<String> = secret.into_iter().chain(said).collect();
    // As typed from where we are: git tells paths below the top of the repository.
    let typed = |files: &[&git::Dirty]| {
        let here = std::env::current_dir().and_then(|here| here.canonicalize()).unwrap_or_default();
        let one = |file: &&git::Dirty| {
            let path = top.join(&file.path);
            path.strip_prefix(&here).unwrap_or(&path).display().to_string()
        };
        files.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let next = match (keys.is_empty(), changed.is_empty(), new.len()) {
        (false, ..) => format!("mv {} ~/.ssh/", typed(&keys)),
        (true, true, ..=NAMED) => format!("git add {}", typed(&new)),
        (true, false, 0) => "git commit --all".into(),
        _ => "git status".into(),
    };
    let message = format!("{}. Nothing was sent", said.join(". "));
    Failure::new("TREE_DIRTY", domain::refusal::exit::REFUSED, message).next(next)
}

fn paths(files: &[&git::Dirty], between: &str) -> String {
    files.iter().take(NAMED).map(|file| file.path.as_str()).collect::<Vec<_>>().join(between)
}

/// Where an object's bytes are.
pub enum Source {
    /// In a file of this length in bytes.
    File(PathBuf, u64),
    /// Here.
    Bytes(Vec<u8>),
}

/// Sends what the server does not have of a build.
pub async fn send(connection: &Connection, ready: &Ready, say: &dyn Fn(Sent)) -> Result<Sent, Failure> {
    let mut sources: BTreeMap<Digest, Source> = BTreeMap::new();
    for entry in &ready.manifest.files {
        if let Entry::File { path, size, digest, .. } = entry {
            sources.insert(*digest, Source::File(ready.root.join(path), *size));
        }
    }
    sources.insert(ready.digest(), Source::Bytes(ready.bytes.clone()));
    send_objects(connection, &sources, say).await
}

/// Sends what the server does not have: small objects in packs, large ones alone and streamed.
pub async fn send_objects(
    connection: &Connection,
    sources: &BTreeMap<Digest, Source>,
    say: &dyn Fn(Sent),
) -> Result<Sent, Failure> {
    let known: Vec<Digest> = sources.keys().copied().collect();
    let mut missing: Vec<Digest> = Vec::new();
    for asked in known.chunks(ASKED_AT_ONCE) {
        let lacking: Vec<Digest> = connection.client.post(routes::OBJECTS_MISSING, &asked).await?;
        missing.extend(lacking.into_iter().filter(|digest| sources.contains_key(digest)));
    }
    let size = |digest: &Digest| match sources.get(digest) {
        Some(Source::File(_, size)) => *size,
        Some(Source::Bytes(bytes)) => bytes.len() as u64,
        None => 0,
    };
    let (small, large): (Vec<Digest>, Vec<Digest>) =
        missing.into_iter().partition(|digest| size(digest) <= SMALL_OBJECT_BYTES);
    let mut sent = Sent::default();
    for pack in packs(&small, size) {
        let bytes = write_pack(&pack, |digest| open(sources, digest), Vec::new())
            .context("the files changed while they were read: push again")
            .map_err(Failure::from)?;
        sent.objects += pack.len() as u64;
        sent.bytes += bytes.len() as u64;
        let request = connection.client.request(reqwest::Method::POST, routes::PACKS).body(bytes);
        connection.client.stream(request).await?;
        say(sent);
    }
    for digest in large {
        sent.objects += 1;
        sent.bytes += size(&digest);
        let body = match sources.get(&digest) {
            Some(Source::File(path, _)) => {
                let file = File::open(path);
                body_of(file.with_context(|| path.display().to_string()).map_err(Failure::from)?)
            }
            Some(Source::Bytes(bytes)) => reqwest::Body::from(bytes.clone()),
            None => continue,
        };
        let path = routes::path(routes::OBJECT, &[&digest.to_string()]);
        let request = connection.client.request(reqwest::Method::PUT, &path).body(body);
        connection.client.stream(request).await?;
        say(sent);
    }
    Ok(sent)
}

/// A file as a body, read in large pieces on a thread that may block, so that reading and sending overlap.
fn body_of(file: File) -> reqwest::Body {
    let (pieces, body) = tokio::sync::mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let read = (&file).take(PIECE_BYTES as u64).read_to_end(&mut piece);
            let goes_on = matches!(read, Ok(1..));
            // Whoever sends may have stopped, and says why.
            if matches!(read, Ok(0)) || pieces.blocking_send(read.map(|_| piece)).is_err() || !goes_on {
                return;
            }
        }
    });
    reqwest::Body::wrap_stream(ReceiverStream::new(body))
}

fn open(sources: &BTreeMap<Digest, Source>, digest: &Digest) -> Result<(Box<dyn Read>, u64), depot::StoreError> {
    match sources.get(digest) {
        Some(Source::File(path, size)) => {
            let file = File::open(path).map_err(|error| depot::disk::DiskError::new("reading", path, error))?;
            Ok((Box::new(file), *size))
        }
        Some(Source::Bytes(bytes)) => Ok((Box::new(Cursor::new(bytes.clone())), bytes.len() as u64)),
        None => Err(depot::StoreError::Missing(*digest)),
    }
}

/// Groups digests so that every pack keeps within the server's limits.
fn packs(digests: &[Digest], size: impl Fn(&Digest) -> u64) -> Vec<Vec<Digest>> {
    let limits = PackLimits::default();
    let mut packs: Vec<Vec<Digest>> = Vec::new();
    let mut room = 0;
    for digest in digests {
        let bytes = size(digest);
        let full = packs.last().is_none_or(|pack| pack.len() >= limits.max_objects as usize || bytes > room);
        if full {
            packs.push(Vec::new());
            room = limits.max_total_bytes;
        }
        room = room.saturating_sub(bytes);
        if let Some(pack) = packs.last_mut() {
            pack.push(*digest);
        }
    }
    packs
}

/// What differs between two lists of files, a line each.
pub fn differences(signed: &Manifest, made: &Manifest) -> Vec<String> {
    let by_path = |manifest: &'_ Manifest| -> BTreeMap<String, Entry> {
        manifest.files.iter().map(|entry| (entry.path().to_string(), entry.clone())).collect()
    };
    let (old, new) = (by_path(signed), by_path(made));
    let mut lines: Vec<String> = Vec::new();
    for (path, entry) in &old {
        match new.get(path) {
            None => lines.push(format!("− {path}")),
            Some(other) if other != entry => lines.push(format!("≠ {path}")),
            Some(_) => {}
        }
    }
    lines.extend(new.keys().filter(|path| !old.contains_key(*path)).map(|path| format!("+ {path}")));
    if signed.run != made.run {
        lines.push("≠ how it runs (sortie.toml)".into());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn git_in(folder: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
        let arguments: Vec<&str> = identity.iter().chain(arguments).copied().collect();
        git::run(folder, &arguments).unwrap();
    }

    fn project(folder: &Path, files: &str) {
        fs::write(folder.join(FILE_NAME), format!("app = \"web\"\nfiles = \"{files}\"\n")).unwrap();
    }

    #[test]
    fn r19_a_build_knows_its_commit_and_a_dirty_tree_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        fs::create_dir(at.join("dist")).unwrap();
        fs::write(at.join("dist/index.html"), "hello").unwrap();
        fs::write(at.join("main.c"), "int main;").unwrap();
        git_in(at, &["init", "-q"]);
        git_in(at, &["add", "main.c"]);
        git_in(at, &["commit", "-qm", "feat: begin"]);
        git_in(at, &["tag", "web/v1.0.0"]);
        project(at, "dist");
        let ready = prepare(Some(at), None, &|_| {}).unwrap();
        let commit = ready.commit.clone().unwrap();
        assert_eq!((commit.title.as_str(), commit.tag.as_deref()), ("feat: begin", Some("web/v1.0.0")));
        assert_eq!((ready.files(), ready.notes.len()), (1, 1), "sortie.toml alone may be new");
        assert_eq!(prepare(Some(at), None, &|_| {}).unwrap().digest(), ready.digest());

        let own = fs::read_to_string(at.join(FILE_NAME)).unwrap();
        fs::write(at.join(FILE_NAME), format!("{own}[smoke]\nrun = \"./nosuch.sh\"\n")).unwrap();
        let failure = prepare(Some(at), None, &|_| {}).unwrap().has_its_programs().err().unwrap();
        assert_eq!(failure.problem.exit, 2);
        assert!(
            failure.problem.message.contains(":4:7: 'run' in smoke runs ./nosuch.sh"),
            "{}",
            failure.problem.message
        );
        fs::write(at.join(FILE_NAME), own).unwrap();

        fs::write(at.join("main.c"), "int changed;").unwrap();
        let failure = prepare(Some(at), None, &|_| {}).err().unwrap();
        assert_eq!((failure.code(), failure.problem.exit), ("TREE_DIRTY", 3));
        let problem = *failure.problem;
        assert!(problem.message.starts_with("main.c differs from the commit, so nobody"), "{}", problem.message);
        assert_eq!(problem.next.as_deref(), Some("git commit --all"));

        // What git does not know does not differ from anything; and a key is never proposed to be committed.
        let problem = || *prepare(Some(at), None, &|_| {}).err().unwrap().problem;
        fs::write(at.join("main.c"), "int main;").unwrap();
        fs::write(at.join("charter.toml"), "[people]").unwrap();
        let new = problem();
        assert!(new.message.starts_with("charter.toml is not in the commit, so nobody"), "{}", new.message);
        assert!(new.next.unwrap().starts_with("git add ") && !new.message.contains("key"));
        fs::write(at.join("sortie-recovery.key"), "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n").unwrap();
        for staged in [false, true] {
            let secret = problem();
            assert!(
                secret.message.starts_with("sortie-recovery.key is a private key: move it away"),
                "{}",
                secret.message
            );
            assert!(
                secret.message.contains("never commit it. charter.toml is not in the commit"),
                "{}",
                secret.message
            );
            let next = secret.next.unwrap();
            assert!(
                next.starts_with("mv ") && next.ends_with("sortie-recovery.key ~/.ssh/"),
                "staged {staged}: {next}"
            );
            git_in(at, &["add", "sortie-recovery.key"]);
        }
    }

    #[test]
    fn files_without_a_project_are_a_static_site_of_the_named_application() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tool");
        fs::write(&file, "x").unwrap();
        let ready = prepare(Some(&file), Some("tool"), &|_| {}).unwrap();
        assert_eq!((ready.project.app.as_str(), ready.files()), ("tool", 1));
        assert!(ready.commit.is_none());
    }

    #[test]
    fn packs_keep_within_the_limits() {
        let digests: Vec<Digest> = (0..5000_u32).map(|n| Digest::of(&n.to_be_bytes())).collect();
        assert_eq!(packs(&digests, |_| 1).iter().map(Vec::len).collect::<Vec<_>>(), [4096, 904]);
        assert_eq!(packs(&digests[..130], |_| 1 << 20).iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 2]);
        assert!(packs(&[], |_| 1).is_empty());
    }
}
