//! Bundles that are whole, and everything that may have become of them on the way.

use super::*;
use std::{
    collections::BTreeMap,
    fs,
    io::{Cursor, Write},
    path::PathBuf,
    process::Command,
};
use tempfile::TempDir;

type Contents = BTreeMap<String, Vec<u8>>;

/// Bytes that do not compress.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn contents(objects: &[Vec<u8>]) -> Contents {
    let mut contents = Contents::from([
        ("estate/1.root.json".into(), b"{\"root\":1}".to_vec()),
        ("statements/dossier.json".into(), vec![b'x'; 3000]),
    ]);
    contents.extend(objects.iter().map(|object| (format!("{OBJECTS}{}", Digest::of(object).hex()), object.clone())));
    contents
}

fn index(contents: &Contents) -> Index {
    Index {
        format: FORMAT,
        estate: Digest::of(b"estate"),
        app: "web".parse().unwrap(),
        version: "1.4.0".parse().unwrap(),
        build: Digest::of(b"build"),
        audience: "site".parse().unwrap(),
        made: "2026-11-24T18:00:00Z".parse().unwrap(),
        by: "oncall".parse().unwrap(),
        members: contents.iter().map(|(path, bytes)| Member::of(path.clone(), bytes)).collect(),
    }
}

fn written(contents: &Contents, volume_bytes: Option<u64>) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let open = |member: &Member| Ok(Cursor::new(contents[&member.path].clone()));
    let (_, volumes) =
        write(&index(contents), folder.path(), "web-1.4.0-site", volume_bytes, open, &mut |_| ()).unwrap();
    assert!(volumes.iter().all(|volume| fs::metadata(&volume.path).unwrap().len() == volume.bytes));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), volumes.len(), "something else stayed behind");
    (folder, volumes.into_iter().map(|volume| volume.path).collect())
}

fn unpacked(files: &[PathBuf]) -> Result<Contents, BundleError> {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("into");
    let volumes = open(files, &mut |_| ())?;
    let index = match volumes.unpack(&into, &mut |_| ()) {
        Ok(index) => index,
        Err(error) => {
            assert!(!into.exists(), "something stays of what was refused");
            return Err(error);
        }
    };
    assert_eq!(volumes.index().unwrap(), index);
    Ok(index.members.iter().map(|member| (member.path.clone(), fs::read(into.join(&member.path)).unwrap())).collect())
}

fn three_volumes() -> (Contents, TempDir, Vec<PathBuf>) {
    let contents = contents(&[noise(150_000, 1), noise(100, 2), Vec::new(), vec![0; 500_000]]);
    let (folder, files) = written(&contents, Some(MIN_VOLUME_BYTES));
    assert_eq!(files.len(), 3);
    (contents, folder, files)
}

/// Puts the digest of what a volume holds now into its header, as whoever alters one on purpose would.
fn seal(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let (head, rest) = bytes.split_at_mut(2 * BLOCK as usize);
    let mut header = Header::from_block(&head[BLOCK as usize..]).unwrap();
    header.rest = Digest::of(rest);
    head[BLOCK as usize..].copy_from_slice(&header.to_block().unwrap());
    fs::write(file, bytes).unwrap();
}

#[test]
fn r12_what_is_written_in_any_number_of_volumes_comes_back() {
    for objects in [vec![], vec![noise(10, 1)], vec![noise(70_000, 3), noise(70_000, 4), vec![7; 1 << 20], noise(1, 5)]]
    {
        let contents = contents(&objects);
        for volume_bytes in [None, Some(MIN_VOLUME_BYTES), Some(100_001), Some(10 << 20)] {
            let (_folder, files) = written(&contents, volume_bytes);
            assert!(volume_bytes.is_none_or(|most| files.iter().all(|file| fs::metadata(file).unwrap().len() <= most)));
            assert_eq!(unpacked(&files).unwrap(), contents, "{volume_bytes:?}");
            assert_eq!(unpacked(&files[..1]).unwrap(), contents, "the others lie beside the first");
        }
    }
}

#[test]
fn r12_tar_lists_every_volume() {
    let (contents, _folder, files) = three_volumes();
    let mut names = Vec::new();
    for file in &files {
        let listed = Command::new("tar").arg("tf").arg(file).output().unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        names.extend(String::from_utf8(listed.stdout).unwrap().lines().map(String::from));
    }
    assert_eq!(names.iter().filter(|name| *name == VOLUME).count(), 3);
    for path in contents.keys() {
        assert!(names.iter().any(|name| name.starts_with(path.as_str())), "{path} is not in {names:?}");
    }
    let parts: Vec<&String> = names.iter().filter(|name| name.contains(PART)).collect();
    assert!(parts.len() >= 3 && parts[0].ends_with("-0001"), "{names:?}");
}

#[test]
fn r11_an_altered_byte_names_its_volume_wherever_it_is() {
    let (contents, _folder, files) = three_volumes();
    for (number, file) in (1..).zip(&files) {
        let whole = fs::read(file).unwrap();
        for at in (0..whole.len()).step_by(5_003).chain([513, 600, whole.len() - 1]) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(file, bytes).unwrap();
            let error = unpacked(&files).unwrap_err();
            assert!(error.is_integrity());
            match &error {
                BundleError::Altered(volumes) => assert_eq!(volumes, &[(number, name_of(file))], "byte {at}"),
                BundleError::NotAVolume(name) => assert_eq!(name, &name_of(file)),
                BundleError::OtherBundle { .. } => assert!(at < 2 * BLOCK as usize),
                BundleError::Missing { .. } | BundleError::Twice { .. } => assert!(at < 2 * BLOCK as usize),
                other => panic!("byte {at} of volume {number}: {other}"),
            }
        }
        for cut in [0, 700, whole.len() / 2, whole.len() - 1] {
            fs::write(file, &whole[..cut]).unwrap();
            assert!(unpacked(&files).unwrap_err().to_string().contains(&name_of(file)), "cut at {cut}");
        }
        let longer = [whole.as_slice(), b"more"].concat();
        fs::write(file, longer).unwrap();
        assert!(matches!(unpacked(&files), Err(BundleError::Altered(_))));
        fs::write(file, whole).unwrap();
    }
    assert_eq!(unpacked(&files).unwrap(), contents);
}

#[test]
fn r12_missing_strange_and_doubled_volumes_are_named() {
    let (_, _folder, files) = three_volumes();
    let (_other_folder, others) = written(&contents(&[noise(180_000, 9)]), Some(MIN_VOLUME_BYTES));
    assert_eq!(others.len(), 3);
    let [one, two, three] = [0, 1, 2].map(|at: usize| files[at].clone());
    let said = |files: &[PathBuf]| unpacked(files).unwrap_err().to_string();
    assert_eq!(said(&[one.clone(), three.clone()]), "volume 2 of 3 is missing");
    assert_eq!(said(&[two.clone(), two.clone(), one.clone()]), "volume 2 was given twice");
    let swapped = said(&[one.clone(), others[1].clone(), three.clone()]);
    assert!(swapped.contains("is of another bundle"), "{swapped}");
    fs::remove_file(&two).unwrap();
    fs::remove_file(&three).unwrap();
    assert_eq!(said(std::slice::from_ref(&one)), "volumes 2, 3 of 3 are missing");
    fs::copy(&others[1], &two).unwrap();
    assert!(said(std::slice::from_ref(&one)).contains("is of another bundle"));
    fs::write(&two, "no volume").unwrap();
    assert!(said(&[one, two]).contains("is no volume"));
}

#[test]
fn r11_what_was_altered_on_purpose_names_the_member() {
    let (_, _folder, files) = three_volumes();
    let last = &files[2];
    let mut bytes = fs::read(last).unwrap();
    let at = bytes.windows(6).rposition(|window| window == b"xxxxxx").unwrap();
    bytes[at] = b'y';
    fs::write(last, bytes).unwrap();
    seal(last);
    let error = unpacked(&files).unwrap_err();
    assert!(
        matches!(&error, BundleError::Member { volume: 3, path, .. } if path == "statements/dossier.json"),
        "{error}"
    );
}

/// Makes one volume by hand of an index and entries as given.
fn forged(index_bytes: &[u8], entries: &[(&str, &[u8])]) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.1.sortie");
    let mut rest = tar::Builder::new(Vec::new());
    for (name, content) in [(INDEX, index_bytes)].iter().chain(entries) {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        rest.append(&header, *content).unwrap();
    }
    let rest = rest.into_inner().unwrap();
    let header = Header { format: FORMAT, bundle: Digest::of(index_bytes), volume: 1, of: 1, rest: Digest::of(&rest) };
    let mut first = tar::Header::new_ustar();
    first.as_old_mut().name[..VOLUME.len()].copy_from_slice(VOLUME.as_bytes());
    first.set_size(BLOCK);
    first.set_mode(0o644);
    first.set_entry_type(tar::EntryType::Regular);
    first.set_cksum();
    let mut out = fs::File::create(&file).unwrap();
    for piece in [&first.as_bytes()[..], &header.to_block().unwrap(), &rest] {
        out.write_all(piece).unwrap();
    }
    (folder, vec![file])
}

fn said_of_forged(index: &Index, entries: &[(&str, &[u8])]) -> String {
    let bytes = json::sorted(index).unwrap();
    let (_folder, files) = forged(&bytes, entries);
    unpacked(&files).unwrap_err().to_string()
}

#[test]
fn no_path_leads_out_of_a_bundle() {
    let plain = index(&Contents::from([("a".into(), b"a".to_vec())]));
    let (_folder, files) = forged(&json::sorted(&plain).unwrap(), &[("a", b"a")]);
    assert!(unpacked(&files).is_ok(), "the forgery is as good as a genuine one");
    for path in
        ["../a", "/etc/passwd", "a/../../b", "./a", "a//b", "a\\b", "", "index.json", "volume.json", "a.part-0001"]
    {
        let mut index = plain.clone();
        index.members[0].path = path.into();
        let said = said_of_forged(&index, &[(path, b"a")]);
        assert!(said.contains("cannot be a member"), "{path}: {said}");
    }
    let said = said_of_forged(&plain, &[("../a", b"a")]);
    assert!(said.contains("a is not there, but ../a is"), "{said}");
    let said = said_of_forged(&plain, &[("a", b"a"), ("../../b", b"b")]);
    assert!(said.contains("is in no index"), "{said}");
    let mut inside = plain.clone();
    inside.members.push(Member::of("a/b", b"b"));
    assert!(said_of_forged(&inside, &[("a", b"a"), ("a/b", b"b")]).contains("lies inside a file"));
    let mut named = plain;
    named.members[0].path = format!("{OBJECTS}{}", Digest::of(b"b").hex());
    assert!(said_of_forged(&named, &[]).contains("not its name"));
}

#[test]
fn endless_and_exploding_content_is_cut_off() {
    let small = Digest::of(b"small");
    let mut bomb = index(&Contents::new());
    bomb.members.push(Member::object(small, 5));
    let name = bomb.members[0].stored_name();
    // A million times as long as it says.
    let exploding = zstd::encode_all(&vec![0; 5_000_000][..], 19).unwrap();
    assert!(exploding.len() < 4096);
    let said = said_of_forged(&bomb, &[(&name, &exploding)]);
    assert!(said.contains("is longer than the 5 bytes"), "{said}");
    let said = said_of_forged(&bomb, &[(&name, &noise(100_000, 1))]);
    assert!(said.contains("more room than it can need"), "{said}");
    let said = said_of_forged(&bomb, &[(&name, b"no zstd")]);
    assert!(said.contains("cannot be read"), "{said}");
    // In parts without end, each as small as you like.
    let half = zstd::encode_all(&b"small"[..], 1).unwrap();
    let first = format!("{name}.part-0001");
    let second = format!("{name}.part-0002");
    let said = said_of_forged(&bomb, &[(&first, &half[..4]), (&second, &noise(100_000, 2))]);
    assert!(said.contains("more room than it can need") || said.contains("cannot be read"), "{said}");
    let mut huge = index(&Contents::new());
    huge.members.push(Member { path: "a".into(), size: u64::MAX, digest: small });
    assert!(said_of_forged(&huge, &[("a", b"small")]).contains("may be used"));
}

#[test]
fn a_source_that_changed_while_it_was_written_leaves_nothing_behind() {
    let contents = contents(&[noise(100_000, 1)]);
    let folder = tempfile::tempdir().unwrap();
    let open = |member: &Member| {
        let mut bytes = contents[&member.path].clone();
        if member.is_compressed() {
            bytes[5] ^= 1;
        }
        Ok(Cursor::new(bytes))
    };
    let error = write(&index(&contents), folder.path(), "web", Some(MIN_VOLUME_BYTES), open, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("not those that were listed"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(matches!(
        write(&index(&contents), folder.path(), "web", Some(10), |_| Ok(Cursor::new(Vec::new())), &mut |_| ()),
        Err(BundleError::VolumeTooSmall(10))
    ));
}
