//! From a folder or a single file to the entries of a manifest.

use crate::{
    disk::{self, DiskError, shown},
    store::digest_reader,
};
use std::{
    ffi::OsStr,
    fs::{self, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};
use trust::{
    Digest,
    links::{LinkError, check_links, is_within},
    manifest::{Entry, ManifestError, check_path},
    names::printable,
};

/// How far a long piece of work has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files finished.
    pub files: u64,
    /// All files there are to do.
    pub files_total: u64,
    /// Bytes finished.
    pub bytes: u64,
    /// All bytes there are to do.
    pub bytes_total: u64,
}

/// What to leave out, and what is allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanOptions<'a> {
    /// The data folders (`run.data`): they outlive releases and are no part of a build.
    pub data: &'a [String],
    /// Whether nothing at all is acceptable, as for a checkpoint.
    pub may_be_empty: bool,
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The folder that the entries' paths are relative to: `root.join(entry.path())` is the file.
    pub root: PathBuf,
    /// Files and links as a manifest lists them.
    pub entries: Vec<Entry>,
}

/// Why a folder cannot be a build.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Something could not be read; it is named.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is nothing in it.
    #[error("{0} holds no file, so there is nothing to push. Build first, or name another folder as `files`")]
    Empty(String),
    /// A name that is not UTF-8.
    #[error("the name of {0} is not UTF-8; rename it")]
    Name(String),
    /// A path that a manifest cannot carry.
    #[error("{0}; rename it")]
    Path(#[from] ManifestError),
    /// A device, socket or pipe.
    #[error("{path} is a {kind}; only files, folders and links can be in a build")]
    Kind {
        /// Where it is.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// Setuid or setgid.
    #[error("{0} has its setuid or setgid bit set, which no build may carry; take it away with chmod ug-s")]
    Setuid(String),
    /// A link that leads out, or in a circle.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It was written to while it was read.
    #[error("{0} changed while it was read; wait until the build has finished and push again")]
    Changed(String),
}

struct Found {
    path: String,
    executable: bool,
    size: u64,
}

/// Lists and digests everything in `source`, a folder, or `source` itself where it is a file.
///
/// `.git` is left out wherever it stands. `progress` is called in the calling thread, about every 256 KiB.
pub fn scan(source: &Path, options: &ScanOptions<'_>, progress: &dyn Fn(Progress)) -> Result<Scanned, ScanError> {
    let metadata = fs::metadata(source).map_err(disk::failed("reading", source))?;
    let (root, walked) = if metadata.is_dir() {
        (source.to_owned(), walk(source, options.data)?)
    } else {
        // A link given by name is followed: it is the person's own word, not a part of the build.
        let source = fs::canonicalize(source).map_err(disk::failed("reading", source))?;
        let name = source.file_name().unwrap_or(OsStr::new(""));
        let path = utf8(name, &source)?.to_owned();
        check_path(&path)?;
        let found = classify(&source, path, &metadata)?;
        (source.parent().unwrap_or(Path::new("/")).to_owned(), Walked { files: vec![found], links: Vec::new() })
    };
    if walked.files.is_empty() && walked.links.is_empty() && !options.may_be_empty {
        return Err(ScanError::Empty(shown(source)));
    }
    check_links(&walked.links, options.data)?;
    let mut entries = digest_all(&root, &walked.files, progress)?;
    entries.extend(walked.links);
    entries.sort_unstable_by(|a, b| a.path().cmp(b.path()));
    Ok(Scanned { root, entries })
}

struct Walked {
    files: Vec<Found>,
    links: Vec<Entry>,
}

fn walk(root: &Path, data: &[String]) -> Result<Walked, ScanError> {
    let mut walked = Walked { files: Vec::new(), links: Vec::new() };
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let full_folder = root.join(&folder);
        for item in fs::read_dir(&full_folder).map_err(disk::failed("listing", &full_folder))? {
            let item = item.map_err(disk::failed("listing", &full_folder))?;
            let full = item.path();
            let name = item.file_name();
            if name == ".git" {
                continue;
            }
            let name = utf8(&name, &full)?;
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            if data.iter().any(|folder| is_within(&path, folder)) {
                continue;
            }
            check_path(&path)?;
            let metadata = fs::symlink_metadata(&full).map_err(disk::failed("reading", &full))?;
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_symlink() {
                let target = fs::read_link(&full).map_err(disk::failed("reading", &full))?;
                let target = utf8(target.as_os_str(), &full)?.to_owned();
                walked.links.push(Entry::Link { path, target });
            } else {
                walked.files.push(classify(&full, path, &metadata)?);
            }
        }
    }
    Ok(walked)
}

fn utf8<'a>(name: &'a OsStr, full: &Path) -> Result<&'a str, ScanError> {
    name.to_str().ok_or_else(|| ScanError::Name(shown(full)))
}

fn classify(full: &Path, path: String, metadata: &Metadata) -> Result<Found, ScanError> {
    let kind = metadata.file_type();
    if !kind.is_file() {
        let kind = match () {
            () if kind.is_fifo() => "pipe",
            () if kind.is_socket() => "socket",
            () if kind.is_block_device() || kind.is_char_device() => "device",
            () => "thing of an unknown kind",
        };
        return Err(ScanError::Kind { path: shown(full), kind });
    }
    if metadata.mode() & 0o6000 != 0 {
        return Err(ScanError::Setuid(shown(full)));
    }
    Ok(Found { path, executable: metadata.mode() & 0o111 != 0, size: metadata.len() })
}

/// Digests all files on two threads, largest first so that neither ends much later than the other.
fn digest_all(root: &Path, files: &[Found], progress: &dyn Fn(Progress)) -> Result<Vec<Entry>, ScanError> {
    let mut order: Vec<&Found> = files.iter().collect();
    order.sort_by_key(|found| std::cmp::Reverse(found.size));
    let mut so_far = Progress {
        files_total: files.len() as u64,
        bytes_total: files.iter().map(|found| found.size).sum(),
        ..Progress::default()
    };
    progress(so_far);
    let next = AtomicUsize::new(0);
    let work = |steps: mpsc::Sender<Progress>| -> Result<Vec<Entry>, ScanError> {
        let mut entries = Vec::new();
        while let Some(found) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let step = |bytes| {
                // The receiver outlives the workers; without it there is nobody to tell.
                let _ = steps.send(Progress { bytes, ..Progress::default() });
            };
            match digest_one(root, found, step) {
                Ok(digest) => entries.push(Entry::File {
                    path: found.path.clone(),
                    executable: found.executable,
                    size: found.size,
                    digest,
                }),
                Err(error) => {
                    // The other thread need not begin another file.
                    next.store(usize::MAX / 2, Ordering::Relaxed);
                    return Err(error);
                }
            }
            let _ = steps.send(Progress { files: 1, ..Progress::default() });
        }
        Ok(entries)
    };
    std::thread::scope(|scope| {
        let (steps, received) = mpsc::channel();
        let threads = if files.len() > 1 { 2 } else { 1 };
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let steps = steps.clone();
                scope.spawn(|| work(steps))
            })
            .collect();
        drop(steps);
        for step in received {
            so_far.files += step.files;
            so_far.bytes += step.bytes;
            progress(so_far);
        }
        let mut entries = Vec::with_capacity(files.len());
        for worker in workers {
            entries.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(entries)
    })
}

fn digest_one(root: &Path, found: &Found, step: impl FnMut(u64)) -> Result<Digest, ScanError> {
    let full = root.join(&found.path);
    let (file, _) = disk::open_regular(&full).map_err(disk::failed("reading", &full))?;
    // One byte more than expected is enough to see that it grew; a file that never ends is not read for ever.
    let (digest, length) = digest_reader(io::Read::take(file, found.size.saturating_add(1)), step)
        .map_err(disk::failed("reading", &full))?;
    if length != found.size {
        return Err(ScanError::Changed(printable(&found.path)));
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    };

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let full = folder.path().join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, content).unwrap();
        }
        folder
    }

    fn scanned(folder: &tempfile::TempDir) -> Result<Scanned, ScanError> {
        scan(folder.path(), &ScanOptions::default(), &|_| ())
    }

    fn refusal(folder: &tempfile::TempDir) -> String {
        scanned(folder).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_becomes_sorted_entries_without_git_and_data() {
        let source = folder(&[
            ("b-c", "3"),
            ("b/c", "1"),
            ("a", "22"),
            (".git/HEAD", "x"),
            ("sub/.git/x", "x"),
            ("up/loads/x", "x"),
        ]);
        symlink("b/c", source.path().join("link")).unwrap();
        fs::set_permissions(source.path().join("a"), fs::Permissions::from_mode(0o700)).unwrap();
        let data = ["up/loads".to_owned()];
        let seen = std::cell::Cell::new(Progress::default());
        let options = ScanOptions { data: &data, may_be_empty: false };
        let entries = scan(source.path(), &options, &|p| seen.set(p)).unwrap().entries;
        let paths: Vec<_> = entries.iter().map(Entry::path).collect();
        assert_eq!(paths, ["a", "b-c", "b/c", "link"]);
        assert_eq!(entries[0], Entry::File { path: "a".into(), executable: true, size: 2, digest: Digest::of(b"22") });
        assert_eq!(entries[3], Entry::Link { path: "link".into(), target: "b/c".into() });
        assert_eq!(seen.get(), Progress { files: 3, files_total: 3, bytes: 4, bytes_total: 4 });
        let manifest = trust::manifest::Manifest {
            format: trust::manifest::FORMAT,
            app: trust::AppName::new("web").unwrap(),
            files: entries,
            run: trust::manifest::Run { data: data.to_vec(), ..Default::default() },
        };
        manifest.validate().unwrap();
    }

    #[test]
    fn one_file_is_a_build_too() {
        let source = folder(&[("server", "x"), ("other", "y")]);
        let found = scan(&source.path().join("server"), &ScanOptions::default(), &|_| ()).unwrap();
        assert_eq!(found.entries.len(), 1);
        assert_eq!(found.entries[0].path(), "server");
        assert!(found.root.join("server").is_file());
    }

    #[test]
    fn nothing_is_refused_except_for_a_checkpoint() {
        let source = folder(&[]);
        fs::create_dir(source.path().join("empty")).unwrap();
        assert!(refusal(&source).contains("nothing to push"));
        let options = ScanOptions { may_be_empty: true, ..Default::default() };
        assert!(scan(source.path(), &options, &|_| ()).unwrap().entries.is_empty());
        assert!(scan(&source.path().join("absent"), &options, &|_| ()).is_err());
    }

    #[test]
    fn what_no_build_may_carry_is_named() {
        let source = folder(&[("a/tool", "x")]);
        fs::set_permissions(source.path().join("a/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
        assert!(refusal(&source).contains("a/tool has its setuid"));

        let source = folder(&[("a", "x")]);
        rustix::fs::mkfifoat(rustix::fs::CWD, source.path().join("pipe"), rustix::fs::Mode::RUSR).unwrap();
        assert!(refusal(&source).contains("pipe is a pipe"));

        let source = folder(&[("a", "x")]);
        let _socket = std::os::unix::net::UnixListener::bind(source.path().join("s")).unwrap();
        assert!(refusal(&source).contains("is a socket"));

        let source = folder(&[("a", "x")]);
        symlink("/etc/passwd", source.path().join("out")).unwrap();
        assert!(refusal(&source).contains("'out' leads out"));

        let source = folder(&[("a", "x")]);
        fs::write(source.path().join(OsStr::from_bytes(b"\xff\xfe")), "x").unwrap();
        assert!(refusal(&source).contains("not UTF-8"));

        let source = folder(&[("a\u{1b}[2J", "x")]);
        assert!(!refusal(&source).contains('\u{1b}'));
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_named() {
        let source = folder(&[("a", "long")]);
        let found = Found { path: "a".into(), executable: false, size: 2 };
        assert!(matches!(digest_one(source.path(), &found, |_| ()), Err(ScanError::Changed(path)) if path == "a"));
    }
}
