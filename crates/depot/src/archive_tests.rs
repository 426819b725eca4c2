use super::*;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

struct Item<'a> {
    path: &'a [u8],
    kind: EntryType,
    mode: u32,
    link: &'a str,
    content: &'a [u8],
}

const FILE: Item<'_> = Item { path: b"a", kind: EntryType::Regular, mode: 0o644, link: "", content: b"hello" };

/// Writes headers by hand: the library's own writer refuses to write hostile paths.
fn tar_of(items: &[Item<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in items {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..item.path.len()].copy_from_slice(item.path);
        header.as_old_mut().linkname[..item.link.len()].copy_from_slice(item.link.as_bytes());
        header.set_entry_type(item.kind);
        header.set_mode(item.mode);
        header.set_size(item.content.len() as u64);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(item.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

struct Outcome {
    folder: tempfile::TempDir,
    result: Result<Unpacked, ArchiveError>,
}

impl Outcome {
    fn of_limited(bytes: &[u8], limits: &UnpackLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("archive");
        fs::write(&archive, bytes).unwrap();
        let result = unpack(&archive, &folder.path().join("into"), limits);
        if result.is_err() {
            assert!(!folder.path().join("into").exists(), "something stayed behind");
        }
        Outcome { folder, result }
    }

    fn of(bytes: &[u8]) -> Self {
        Self::of_limited(bytes, &UnpackLimits::default())
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join("into").join(path)).unwrap()
    }

    fn error(self) -> String {
        self.result.unwrap_err().to_string()
    }
}

fn good() -> Vec<u8> {
    tar_of(&[
        Item { path: b"./", kind: EntryType::Directory, mode: 0o755, content: b"", ..FILE },
        Item { path: b"./bin/", kind: EntryType::Directory, mode: 0o2755, content: b"", ..FILE },
        Item { path: b"./bin/web", mode: 0o755, content: b"program", ..FILE },
        Item { path: b"lib/deep/x", ..FILE },
        Item { path: b"current", kind: EntryType::Symlink, link: "bin/web", content: b"", ..FILE },
        Item { path: b"copy", kind: EntryType::Link, link: "./bin/web", content: b"", ..FILE },
    ])
}

#[test]
fn all_three_kinds_unpack_whatever_their_names() {
    for bytes in [good(), gzip(&good()), zstd::encode_all(&good()[..], 1).unwrap()] {
        let outcome = Outcome::of(&bytes);
        assert_eq!(outcome.result.as_ref().unwrap(), &Unpacked { entries: 4, bytes: 19 });
        assert_eq!(outcome.read("bin/web"), "program");
        assert_eq!(outcome.read("lib/deep/x"), "hello");
        assert_eq!(outcome.read("copy"), "program");
        let link = fs::read_link(outcome.folder.path().join("into/current")).unwrap();
        assert_eq!(link, Path::new("bin/web"));
    }
}

#[test]
fn what_the_real_tar_writes_unpacks() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    fs::create_dir_all(folder.path().join("in").join("d".repeat(120))).unwrap();
    fs::write(folder.path().join("in").join(&long), "long").unwrap();
    for format in ["gnu", "pax"] {
        let archive = folder.path().join("x");
        let status = std::process::Command::new("tar")
            .args(["--format", format, "-czf"])
            .arg(&archive)
            .arg("-C")
            .arg(folder.path().join("in"))
            .arg(".")
            .status()
            .unwrap();
        assert!(status.success());
        let into = folder.path().join(format);
        unpack(&archive, &into, &UnpackLimits::default()).unwrap();
        assert_eq!(fs::read_to_string(into.join(&long)).unwrap(), "long");
    }
}

#[test]
fn hostile_entries_are_refused_by_name() {
    let link = |path, target| Item { path, kind: EntryType::Symlink, link: target, content: b"", ..FILE };
    let hard = |path, target| Item { path, kind: EntryType::Link, link: target, content: b"", ..FILE };
    let cases: Vec<(Vec<Item<'_>>, &str)> = vec![
        (vec![Item { path: b"../evil", ..FILE }], "'../evil': its path leads out"),
        (vec![Item { path: b"x/../../evil", ..FILE }], "leads out of the archive by '..'"),
        (vec![Item { path: b"/etc/evil", ..FILE }], "absolute"),
        (vec![Item { path: b"a//b", ..FILE }], "empty part"),
        (vec![Item { path: b"a\\b", ..FILE }], "backslash"),
        (vec![Item { path: b"a\x1b[2J", ..FILE }], "control character"),
        (vec![Item { path: b"a\xff", ..FILE }], "not UTF-8"),
        (vec![link(b"l", "../out")], "leads out"),
        (vec![link(b"l", "/etc/passwd")], "leads out"),
        (vec![link(b"l", "")], "link"),
        (vec![link(b"d/e/up", "../.."), link(b"out", "d/e/up/../x")], "'out' leads out"),
        (vec![link(b"l", "d"), Item { path: b"l/x", ..FILE }], "through a link"),
        (vec![FILE, Item { path: b"a/x", ..FILE }], "through a file"),
        (vec![Item { path: b"a/x", ..FILE }, FILE], "stands twice"),
        (vec![FILE, FILE], "stands twice"),
        (vec![FILE, Item { path: b"./a", ..FILE }], "stands twice"),
        (vec![link(b"l", "a"), Item { path: b"l", ..FILE }], "stands twice"),
        (vec![hard(b"h", "../../etc/passwd")], "hard link"),
        (vec![hard(b"h", "/etc/passwd")], "hard link"),
        (vec![link(b"l", "a"), hard(b"h", "l")], "hard link"),
        (vec![Item { mode: 0o4755, ..FILE }], "setuid"),
        (vec![Item { mode: 0o2755, ..FILE }], "setgid"),
        (vec![Item { kind: EntryType::Char, content: b"", ..FILE }], "device"),
        (vec![Item { kind: EntryType::Fifo, content: b"", ..FILE }], "pipe"),
        (vec![Item { kind: EntryType::new(b'V'), content: b"", ..FILE }], "unknown kind"),
    ];
    for (items, expected) in cases {
        let error = Outcome::of(&tar_of(&items)).error();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        assert!(error.contains("Nothing was unpacked") && !error.contains('\u{1b}'), "{error:?}");
    }
}

#[test]
fn cut_off_anywhere_it_is_refused() {
    let tar = good();
    let content_end = tar.len() - 1024;
    for length in (513..=content_end + 511).step_by(127).chain((512..=content_end).step_by(512)) {
        assert!(Outcome::of(&tar[..length]).result.is_err(), "{length} bytes were taken for a whole archive");
    }
    assert!(Outcome::of(&tar[..content_end + 512]).result.is_ok(), "one zero block ends it");
    for whole in [gzip(&tar), zstd::encode_all(&tar[..], 1).unwrap()] {
        for length in 4..whole.len() {
            assert!(Outcome::of(&whole[..length]).result.is_err(), "{length} bytes were taken for a whole archive");
        }
    }
}

#[test]
fn what_follows_the_end_is_not_overlooked() {
    let error = Outcome::of(&[good(), good()].concat()).error();
    assert!(error.contains("something follows its end"), "{error}");
}

#[test]
fn what_is_no_archive_is_said_so() {
    assert!(Outcome::of(b"#!/bin/sh\necho hello").error().contains("no tar, tar.gz or tar.zst"));
    assert!(Outcome::of(&[0; 4096]).error().contains("no tar, tar.gz or tar.zst"));
    assert!(Outcome::of(&gzip(&[b'x'; 2000])).error().contains("cannot be read"));
}

#[test]
fn bombs_are_bounded() {
    let zeros = vec![0; 4 << 20];
    let big = gzip(&tar_of(&[Item { content: &zeros, ..FILE }]));
    assert!(big.len() < 20_000);
    let limits = UnpackLimits { max_bytes: 1 << 20, ..Default::default() };
    assert!(matches!(Outcome::of_limited(&big, &limits).result, Err(ArchiveError::TooLarge(_))));

    let many: Vec<String> = (0..20).map(|n| format!("f{n}")).collect();
    let items: Vec<_> = many.iter().map(|name| Item { path: name.as_bytes(), ..FILE }).collect();
    let limits = UnpackLimits { max_entries: 10, ..Default::default() };
    assert!(matches!(Outcome::of_limited(&tar_of(&items), &limits).result, Err(ArchiveError::TooMany(10))));

    let long_name = Item { path: b"././@LongLink", kind: EntryType::GNULongName, content: &zeros, ..FILE };
    assert!(Outcome::of(&gzip(&tar_of(&[long_name, FILE]))).error().contains("longer than 1 MiB"));

    let nothing = gzip(&[good(), zeros].concat());
    assert!(Outcome::of(&nothing).error().contains("nothing follows"));
}

/// The disk is not really filled here: the unpacking is told to keep more free than there is.
#[test]
fn what_would_not_fit_is_refused_before_it_is_written() {
    let limits = UnpackLimits { keep_free_bytes: u64::MAX, ..Default::default() };
    let error = Outcome::of_limited(&good(), &limits).error();
    assert!(error.contains("would not fit on the disk"), "{error}");
}

fn hostile_part() -> impl Strategy<Value = String> {
    prop_oneof![Just("..".to_owned()), Just(".".to_owned()), Just(String::new()), "[a-c]", Just("\\".to_owned())]
}

fn hostile_path() -> impl Strategy<Value = String> {
    proptest::collection::vec(hostile_part(), 1..5).prop_map(|parts| parts.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever an archive says, nothing outside the folder is touched, and what unpacks also scans as a build.
    #[test]
    fn nothing_outside_is_touched(
        items in proptest::collection::vec((hostile_path(), 0..4u8, hostile_path()), 1..8),
    ) {
        let kinds = [EntryType::Regular, EntryType::Symlink, EntryType::Link, EntryType::Directory];
        let items: Vec<_> = items
            .iter()
            .map(|(path, kind, link)| {
                let kind = kinds[usize::from(*kind)];
                let content: &[u8] = if kind == EntryType::Regular { b"x" } else { b"" };
                Item { path: path.as_bytes(), kind, link, content, ..FILE }
            })
            .collect();
        let outcome = Outcome::of(&tar_of(&items));
        let beside = fs::read_dir(outcome.folder.path()).unwrap().count();
        prop_assert_eq!(beside, if outcome.result.is_ok() { 2 } else { 1 });
        if outcome.result.is_ok() {
            let options = crate::scan::ScanOptions { may_be_empty: true, ..Default::default() };
            crate::scan::scan(&outcome.folder.path().join("into"), &options, &|_| ()).unwrap();
        }
    }

    /// Flipped bytes never panic.
    #[test]
    fn damaged_archives_never_panic(at in 0..3000usize, value: u8) {
        let mut bytes = good();
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = Outcome::of(&bytes);
    }
}
