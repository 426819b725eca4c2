//! On a target: from a manifest and its objects to a folder under `releases/`, and the check that such a folder still
//! is what was approved.
//!
//! The tree is written beside its final name, made durable, and renamed, so that a folder named by a digest was once
//! whole. Files are made read-only: what a program writes belongs in its data folders.

use crate::{
    disk::{self, DiskError, UnfinishedFolder, failed, shown},
    scan::Progress,
    store::{CopyError, FEW, StoreError, copy_digesting, digest_reader},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use trust::{
    Digest,
    links::is_within,
    manifest::{Entry, Manifest, ManifestError},
    names::printable,
};

/// Bytes that stay free on a target's disk, so that logs and journals can still be written after an installation.
const KEEP_FREE_BYTES: u64 = 32 << 20;

/// Why a build was not written to disk. Nothing of it stays behind.
#[derive(Debug, thiserror::Error)]
pub enum MaterialiseError {
    /// The manifest breaks its own rules.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The disk failed or is full.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An object could not be had, or is not what its name says.
    #[error("{path} could not be written: {source}")]
    Object {
        /// The file in the build.
        path: String,
        /// What is wrong with its object.
        source: StoreError,
    },
    /// It would not fit.
    #[error(
        "the build needs {needed_bytes} bytes on this disk and {free_bytes} may be used. Nothing was written; \
         free some space and deploy again"
    )]
    NoRoom {
        /// The build's files together.
        needed_bytes: u64,
        /// What may be used.
        free_bytes: u64,
    },
    /// The folder stands already and is not what it should be. It is left alone: something may be running from it.
    #[error("{folder} stands already and differs from the build in {count} places, first in {first}", count = differences.len(), first = first_of(differences))]
    Damaged {
        /// The folder.
        folder: String,
        /// What differs; never empty.
        differences: Vec<Difference>,
    },
}

fn first_of(differences: &[Difference]) -> String {
    differences.first().map_or_else(|| "nothing".into(), ToString::to_string)
}

/// One way in which a folder is not what the manifest says (R37).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The path in the build, made printable.
    pub path: String,
    /// What is wrong there.
    pub kind: DifferenceKind,
}

/// What can be wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    /// Other bytes, or something that is no file where a file should be.
    Changed,
    /// It is not there.
    Missing,
    /// It is there and no part of the build: a hand-copied file.
    Extra,
    /// Executable where it should not be or the reverse, writable by others, or setuid.
    Mode,
    /// A link that leads elsewhere, or no link where one should be.
    Link,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.kind {
            DifferenceKind::Changed => "changed",
            DifferenceKind::Missing => "missing",
            DifferenceKind::Extra => "not part of the build",
            DifferenceKind::Mode => "has other permissions",
            DifferenceKind::Link => "leads elsewhere",
        };
        write!(f, "{} ({what})", self.path)
    }
}

/// Where a build of this digest stands, or will stand, under `releases`.
pub fn release_folder(releases: &Path, build: &Digest) -> PathBuf {
    releases.join(build.hex())
}

/// Writes the build to [`release_folder`] and returns that folder once it is whole and durable.
///
/// `open` gives the content of an object; all content is digested on the way. What an earlier attempt left unfinished
/// is removed first. A folder that stands already is verified in full, and returned if it is as it should be.
pub fn materialise<R: Read>(
    manifest: &Manifest,
    releases: &Path,
    mut open: impl FnMut(&Digest) -> Result<R, StoreError>,
    progress: &dyn Fn(Progress),
) -> Result<PathBuf, MaterialiseError> {
    manifest.validate()?;
    let build = Digest::of(&manifest.to_bytes()?);
    let done = release_folder(releases, &build);
    let partial = releases.join(format!("{}.partial", build.hex()));
    fs::create_dir_all(releases).map_err(failed("creating", releases))?;
    if partial.symlink_metadata().is_ok() {
        fs::remove_dir_all(&partial).map_err(failed("removing", &partial))?;
    }
    if done.symlink_metadata().is_ok() {
        let differences = verify_tree(manifest, &done)?;
        return if differences.is_empty() {
            Ok(done)
        } else {
            Err(MaterialiseError::Damaged { folder: shown(&done), differences })
        };
    }
    let free_bytes = disk::free_bytes(releases)?.saturating_sub(KEEP_FREE_BYTES);
    let needed_bytes = manifest.total_size_bytes();
    if needed_bytes > free_bytes {
        return Err(MaterialiseError::NoRoom { needed_bytes, free_bytes });
    }
    let unfinished = UnfinishedFolder::create(&partial)?;
    write_tree(manifest, &partial, &mut open, progress)?;
    fs::rename(&partial, &done).map_err(failed("naming", &done))?;
    unfinished.keep();
    disk::sync_folder(releases)?;
    Ok(done)
}

fn write_tree<R: Read>(
    manifest: &Manifest,
    root: &Path,
    open: &mut impl FnMut(&Digest) -> Result<R, StoreError>,
    progress: &dyn Fn(Progress),
) -> Result<(), MaterialiseError> {
    let few = manifest.files.len() <= FEW;
    let mut folders: BTreeSet<&str> = BTreeSet::new();
    for entry in &manifest.files {
        folders.extend(entry.path().match_indices('/').map(|(at, _)| &entry.path()[..at]));
    }
    // A parent sorts before what it holds, and there is no link yet for a path to lead through.
    for folder in &folders {
        let full = root.join(folder);
        fs::create_dir(&full).map_err(failed("creating", &full))?;
        fs::set_permissions(&full, Permissions::from_mode(0o755)).map_err(failed("creating", &full))?;
    }
    fs::set_permissions(root, Permissions::from_mode(0o755)).map_err(failed("creating", root))?;
    let mut so_far = Progress { bytes_total: manifest.total_size_bytes(), ..Progress::default() };
    so_far.files_total = manifest.files.iter().filter(|entry| matches!(entry, Entry::File { .. })).count() as u64;
    progress(so_far);
    for entry in &manifest.files {
        if let Entry::File { path, executable, size, digest } = entry {
            let full = root.join(path);
            let content = open(digest).map_err(|source| MaterialiseError::Object { path: printable(path), source })?;
            write_file(&full, path, content, *executable, *size, *digest, few)?;
            so_far.files += 1;
            so_far.bytes += size;
            progress(so_far);
        }
    }
    for entry in &manifest.files {
        if let Entry::Link { path, target } = entry {
            let full = root.join(path);
            std::os::unix::fs::symlink(target, &full).map_err(failed("linking", &full))?;
        }
    }
    if few {
        folders.iter().try_for_each(|folder| disk::sync_folder(&root.join(folder)))?;
        disk::sync_folder(root)?;
    } else {
        disk::sync_filesystem(root)?;
    }
    Ok(())
}

fn write_file(
    full: &Path,
    path: &str,
    content: impl Read,
    executable: bool,
    size: u64,
    digest: Digest,
    sync: bool,
) -> Result<(), MaterialiseError> {
    let object = |source: StoreError| MaterialiseError::Object { path: printable(path), source };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(full).map_err(failed("creating", full))?;
    let (found, _) = copy_digesting(content, &mut file, size).map_err(|error| match error {
        CopyError::Read(source) => object(StoreError::Source { digest, source }),
        CopyError::Write(source) => DiskError::new("writing", full, source).into(),
        CopyError::TooLong => object(StoreError::TooLarge { digest, max_bytes: size }),
    })?;
    if found != digest {
        return Err(object(StoreError::Mismatch { expected: digest, found }));
    }
    let mode = if executable { 0o555 } else { 0o444 };
    file.set_permissions(Permissions::from_mode(mode)).map_err(failed("writing", full))?;
    if sync {
        file.sync_all().map_err(failed("making durable", full))?;
    }
    Ok(())
}

/// Re-digests everything in `folder` and says where it is not what `manifest` lists, in order of path (R37).
///
/// The build's data folders are left out, whether they are folders or links that stand for them. Only failing to read
/// is an error: what could not be read cannot be vouched for.
pub fn verify_tree(manifest: &Manifest, folder: &Path) -> Result<Vec<Difference>, DiskError> {
    let data = &manifest.run.data;
    let mut expected: BTreeMap<&str, &Entry> = manifest.files.iter().map(|entry| (entry.path(), entry)).collect();
    let paths = manifest.files.iter().map(Entry::path).chain(data.iter().map(String::as_str));
    let implied: BTreeSet<&str> =
        paths.flat_map(|path| path.match_indices('/').map(move |(at, _)| &path[..at])).collect();
    let mut differences = Vec::new();
    let mut note = |path: &str, kind| differences.push(Difference { path: printable(path), kind });
    let mut folders = vec![String::new()];
    while let Some(parent) = folders.pop() {
        let full_parent = folder.join(&parent);
        let mut count = 0;
        for item in fs::read_dir(&full_parent).map_err(failed("listing", &full_parent))? {
            let item = item.map_err(failed("listing", &full_parent))?;
            count += 1;
            let name = item.file_name();
            // A name that is not UTF-8 is in no manifest: it is shown with replacements, and matched with nothing.
            let exact = name.to_str().map(str::to_owned);
            let is_exact = exact.is_some();
            let name = exact.unwrap_or_else(|| name.to_string_lossy().into_owned());
            let path = if parent.is_empty() { name } else { format!("{parent}/{name}") };
            if is_exact && data.iter().any(|folder| is_within(&path, folder)) {
                continue;
            }
            let metadata = match fs::symlink_metadata(item.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(failed("reading", &item.path()))?,
            };
            let entry = if is_exact { expected.remove(path.as_str()) } else { None };
            match entry {
                Some(entry) => {
                    if let Some(kind) = compare(entry, &item.path(), &metadata)? {
                        note(&path, kind);
                    }
                }
                None if metadata.is_dir() && is_exact => folders.push(path),
                None => note(&path, DifferenceKind::Extra),
            }
        }
        // A folder that holds something is told of by what it holds.
        if count == 0 && !parent.is_empty() && !implied.contains(parent.as_str()) {
            note(&parent, DifferenceKind::Extra);
        }
    }
    for path in expected.into_keys() {
        note(path, DifferenceKind::Missing);
    }
    differences.sort();
    Ok(differences)
}

fn compare(entry: &Entry, full: &Path, metadata: &fs::Metadata) -> Result<Option<DifferenceKind>, DiskError> {
    match entry {
        Entry::Link { target, .. } => {
            let same = metadata.is_symlink()
                && fs::read_link(full).map_err(failed("reading", full))?.as_os_str() == target.as_str();
            Ok((!same).then_some(DifferenceKind::Link))
        }
        Entry::File { executable, size, digest, .. } => {
            if !metadata.is_file() || metadata.len() != *size {
                return Ok(Some(DifferenceKind::Changed));
            }
            let (file, _) = disk::open_regular(full).map_err(failed("reading", full))?;
            let (found, _) =
                digest_reader(file.take(size.saturating_add(1)), |_| ()).map_err(failed("reading", full))?;
            if found != *digest {
                return Ok(Some(DifferenceKind::Changed));
            }
            let mode = metadata.mode();
            let as_made = (mode & 0o111 != 0) == *executable && mode & 0o6022 == 0;
            Ok((!as_made).then_some(DifferenceKind::Mode))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        scan::{ScanOptions, scan},
        store::DiskStore,
    };
    use std::os::unix::fs::symlink;
    use trust::{AppName, manifest::Run};

    struct World {
        folder: tempfile::TempDir,
        store: DiskStore,
        manifest: Manifest,
    }

    /// A build with a program, a file, a link and a data folder, in a store.
    fn world() -> World {
        world_of(&[("bin/web", "program"), ("static/index.html", "page"), ("static/empty", "")])
    }

    fn world_of(files: &[(&str, &str)]) -> World {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        for (path, content) in files {
            let full = source.join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            let mode = if path.starts_with("bin") { 0o755 } else { 0o644 };
            fs::write(&full, content).unwrap();
            fs::set_permissions(&full, Permissions::from_mode(mode)).unwrap();
        }
        symlink("bin/web", source.join("run")).unwrap();
        let store = DiskStore::open(&folder.path().join("depot")).unwrap();
        let scanned = scan(&source, &ScanOptions::default(), &|_| ()).unwrap();
        for entry in &scanned.entries {
            if let Entry::File { path, .. } = entry {
                store.put_bytes(&fs::read(scanned.root.join(path)).unwrap()).unwrap();
            }
        }
        let run = Run { data: vec!["var/uploads".into()], ..Run::default() };
        let manifest = Manifest {
            format: trust::manifest::FORMAT,
            app: AppName::new("web").unwrap(),
            files: scanned.entries,
            run,
        };
        World { folder, store, manifest }
    }

    impl World {
        fn releases(&self) -> PathBuf {
            self.folder.path().join("releases")
        }

        fn materialise(&self) -> Result<PathBuf, MaterialiseError> {
            let open = |digest: &Digest| Ok(self.store.open_object(digest)?.0);
            materialise(&self.manifest, &self.releases(), open, &|_| ())
        }

        fn release_count(&self) -> usize {
            fs::read_dir(self.releases()).unwrap().count()
        }
    }

    #[test]
    fn a_build_is_written_whole_and_verifies() {
        let world = world();
        let folder = world.materialise().unwrap();
        assert_eq!(folder, release_folder(&world.releases(), &Digest::of(&world.manifest.to_bytes().unwrap())));
        assert_eq!(fs::read_to_string(folder.join("run")).unwrap(), "program");
        assert_eq!(fs::metadata(folder.join("bin/web")).unwrap().mode() & 0o7777, 0o555);
        assert_eq!(fs::metadata(folder.join("static/index.html")).unwrap().mode() & 0o7777, 0o444);
        assert_eq!(verify_tree(&world.manifest, &folder).unwrap(), []);
        assert_eq!(world.materialise().unwrap(), folder, "the second time it is there already");
        assert_eq!(world.release_count(), 1);
    }

    #[test]
    fn many_files_are_written_too() {
        let names: Vec<String> = (0..FEW * 3).map(|n| format!("d{}/f{n}", n % 5)).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
        let world = world_of(&files);
        let seen = std::cell::Cell::new(Progress::default());
        let open = |digest: &Digest| Ok(world.store.open_object(digest)?.0);
        let folder = materialise(&world.manifest, &world.releases(), open, &|p| seen.set(p)).unwrap();
        assert_eq!(verify_tree(&world.manifest, &folder).unwrap(), []);
        assert_eq!((seen.get().files, seen.get().bytes), (seen.get().files_total, seen.get().bytes_total));
    }

    #[test]
    fn what_a_crash_left_is_replaced() {
        let world = world();
        let build = Digest::of(&world.manifest.to_bytes().unwrap());
        let partial = world.releases().join(format!("{}.partial", build.hex()));
        fs::create_dir_all(partial.join("bin")).unwrap();
        fs::write(partial.join("bin/old"), "half").unwrap();
        let folder = world.materialise().unwrap();
        assert_eq!(verify_tree(&world.manifest, &folder).unwrap(), []);
        assert!(!partial.exists());
    }

    /// R4: a byte changed on the way from the depot is found, and nothing stays.
    #[test]
    fn r4_wrong_short_or_long_content_is_refused() {
        for content in [&b"progrum"[..], b"prog", b"programs"] {
            let world = world();
            let open = |digest: &Digest| {
                let whole = world.store.read_bytes(digest, 99)?;
                Ok(io::Cursor::new(if whole == b"program" { content.to_vec() } else { whole }))
            };
            let error = materialise(&world.manifest, &world.releases(), open, &|_| ()).unwrap_err();
            assert!(matches!(error, MaterialiseError::Object { .. }), "{error}");
            assert!(error.to_string().contains("bin/web"), "{error}");
            assert_eq!(world.release_count(), 0);
        }
    }

    #[test]
    fn a_missing_object_or_a_full_disk_is_said_and_leaves_nothing() {
        let mut world = world();
        let absent = Digest::of(b"absent");
        let file = |path: &str, size, digest| Entry::File { path: path.into(), executable: false, size, digest };
        world.manifest.files.push(file("zz", 6, absent));
        assert!(matches!(world.materialise(), Err(MaterialiseError::Object { source: StoreError::Missing(_), .. })));
        assert_eq!(world.release_count(), 0);
        // The disk is not filled: the manifest asks for more than any disk has.
        world.manifest.files.pop();
        world.manifest.files.push(file("zz", u64::MAX / 2, absent));
        assert!(matches!(world.materialise(), Err(MaterialiseError::NoRoom { .. })));
        assert_eq!(world.release_count(), 0);
    }

    #[test]
    fn links_that_lead_out_through_one_another_are_not_made() {
        let mut world = world();
        let link = |path: &str, target: &str| Entry::Link { path: path.into(), target: target.into() };
        world.manifest.files = vec![link("d/e/up", "../.."), link("out", "d/e/up/../x")];
        assert!(matches!(world.materialise(), Err(MaterialiseError::Manifest(_))));
    }

    /// R37: hand-copied, changed, missing, re-linked and re-permitted files are all found; data is left out.
    #[test]
    fn r37_every_difference_is_found() {
        let world = world();
        let folder = world.materialise().unwrap();
        let replace = |path: &str, content: &str| {
            fs::remove_file(folder.join(path)).unwrap();
            fs::write(folder.join(path), content).unwrap();
        };
        fs::create_dir_all(folder.join("var")).unwrap();
        symlink(world.folder.path(), folder.join("var/uploads")).unwrap();
        assert_eq!(verify_tree(&world.manifest, &folder).unwrap(), [], "data folders are no difference");

        fs::write(folder.join("bin/tool"), "copied by hand").unwrap();
        fs::create_dir_all(folder.join("new/folder")).unwrap();
        symlink("/etc", folder.join("new/link")).unwrap();
        replace("bin/web", "progrum");
        fs::remove_file(folder.join("static/index.html")).unwrap();
        fs::set_permissions(folder.join("static/empty"), Permissions::from_mode(0o777)).unwrap();
        fs::remove_file(folder.join("run")).unwrap();
        symlink("/bin/sh", folder.join("run")).unwrap();
        let found: Vec<_> =
            verify_tree(&world.manifest, &folder).unwrap().into_iter().map(|d| (d.path, d.kind)).collect();
        let expected = [
            ("bin/tool", DifferenceKind::Extra),
            ("bin/web", DifferenceKind::Changed),
            ("new/folder", DifferenceKind::Extra),
            ("new/link", DifferenceKind::Extra),
            ("run", DifferenceKind::Link),
            ("static/empty", DifferenceKind::Mode),
            ("static/index.html", DifferenceKind::Missing),
        ];
        assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind)));
        assert!(matches!(world.materialise(), Err(MaterialiseError::Damaged { .. })));
    }

    #[test]
    fn a_link_in_place_of_a_file_or_folder_is_not_followed() {
        let world = world();
        let folder = world.materialise().unwrap();
        let outside = world.folder.path().join("outside");
        fs::rename(folder.join("bin"), &outside).unwrap();
        symlink(&outside, folder.join("bin")).unwrap();
        let found = verify_tree(&world.manifest, &folder).unwrap();
        let kinds: Vec<_> = found.iter().map(|d| (d.path.as_str(), d.kind)).collect();
        assert_eq!(kinds, [("bin", DifferenceKind::Extra), ("bin/web", DifferenceKind::Missing)]);
    }
}
