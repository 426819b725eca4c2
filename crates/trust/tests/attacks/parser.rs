//! He writes bytes, and hopes that two readers take them for two things, or that one reader takes them too far.

use crate::world::*;
use trust::{
    AppName, Digest,
    authority::{Documents, VerifiedDocuments},
    json,
    manifest::{Entry, Manifest},
    names::{AudienceName, PersonName, TargetName},
    statement::Statement,
    tuf::Root,
};

fn file(path: &str) -> Entry {
    Entry::File { path: path.into(), executable: false, size: 1, digest: Digest::of(b"x") }
}

fn link(path: &str, target: &str) -> Entry {
    Entry::Link { path: path.into(), target: target.into() }
}

fn accepted(entries: Vec<Entry>) -> bool {
    let mut manifest = manifest();
    manifest.files = entries;
    let bytes = manifest.to_bytes().unwrap();
    Manifest::from_bytes(&bytes).is_ok()
}

/// Attack: path traversal.
/// Holds: the right to push; his build has a file, or a link, that leads out of its folder.
/// Left to him: nothing; paths are relative and plain, links are followed on paper through all others, and names of
/// applications, environments and targets are words that are safe as names of files.
#[test]
fn path_traversal() {
    assert!(accepted(vec![file("bin/web"), link("web", "bin/web")]));
    for path in
        ["../web", "/etc/passwd", "a/../../b", "a//b", ".", "a\\..\\b", "a\0b", "", "a/", "./a", "a/./b", "a\nb"]
    {
        assert!(!accepted(vec![file(path)]), "{path:?}");
    }
    for target in ["../outside", "/etc/passwd", "bin/../../outside", "", "a\\..\\b"] {
        assert!(!accepted(vec![file("bin/web"), link("out", target)]), "{target:?}");
    }
    // No link climbs out on paper, and together they would on disk.
    assert!(!accepted(vec![link("deep/er/up", "../.."), link("out", "deep/er/up/../x")]));
    // A file below a link would be written wherever the link leads.
    assert!(!accepted(vec![link("a", "b"), file("a/c"), file("b")]));
    for name in ["..", "a/b", "../x", ".hidden", "a b", "", "-rf", "A", "a\u{202e}b"] {
        assert!(AppName::new(name).is_err() && AudienceName::new(name).is_err(), "{name:?}");
        assert!(TargetName::new(name).is_err() && PersonName::new(name).is_err(), "{name:?}");
    }
}

/// Attack: hash-length confusion.
/// Holds: the wire; he gives a digest of another length or spelling, or a file whose digest or length alone is right.
/// Left to him: nothing; there is one hash, SHA-256, in one spelling, and both digest and length must be right.
#[test]
fn hash_length_confusion() {
    let hex = Digest::of(b"x").hex();
    assert!(Digest::from_hex(&hex).is_ok());
    for bad in [&hex[..62], &format!("{hex}00"), &hex.to_uppercase(), &format!("sha256:{hex}"), &format!(" {hex}"), ""]
    {
        assert!(Digest::from_hex(bad).is_err(), "{bad:?}");
    }
    // The metadata lists the charter's length; a longer file, or one with another digest, is not it.
    let root = signed_root(&root_signed(1), &[OWNER]);
    let charter = charter_text(PROD);
    let targets = targets_bytes(charter.as_bytes(), 1, &[OWNER]);
    let takes = |charter: &str| {
        let roots = [root.clone()];
        let documents = Documents { roots: &roots, targets: &targets, charter: charter.as_bytes() };
        VerifiedDocuments::verify(&Digest::of(&root), &documents, 0).is_ok()
    };
    assert!(takes(&charter));
    assert!(!takes(&format!("{charter}\n")));
    assert!(!takes(&charter[..charter.len() - 1]));
    assert!(!takes(&charter.replacen("acme", "ACME", 1)));
    // A statement's subject is a SHA-256 and nothing besides.
    let payload = String::from_utf8(push(CI).payload).unwrap();
    let shorter = payload.replacen(&build().hex(), &build().hex()[..40], 1);
    assert!(Statement::from_payload(shorter.as_bytes()).is_err());
    let renamed = payload.replacen(r#""sha256""#, r#""sha1""#, 1);
    assert!(Statement::from_payload(renamed.as_bytes()).is_err());
}

/// Attack: duplicate JSON keys.
/// Holds: a statement that a person signs without seeing that it says two things: one reader takes the first, another
/// the last.
/// Left to him: nothing; a text with a key twice, at any depth, is refused by every reader here.
#[test]
fn duplicate_json_keys() {
    for text in [r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"b":1}}"#, r#"[{"a":1},{"a":1,"a":1}]"#, r#"{"a":1,"\u0061":2}"#] {
        assert!(json::strict_value(text.as_bytes()).is_err(), "{text}");
    }
    let payload = String::from_utf8(number(CODER).payload).unwrap();
    let twice = payload.replacen(r#""version":"1.0.0""#, r#""version":"1.0.0","version":"6.6.6""#, 1);
    assert_ne!(twice, payload);
    assert!(Statement::from_payload(twice.as_bytes()).is_err());
    let envelope = serde_json::to_string(&number(CODER)).unwrap();
    let twice = envelope.replacen(r#""payload":"#, r#""payload":"","payload":"#, 1);
    assert!(serde_json::from_str::<trust::dsse::Envelope>(&twice).is_err());
    let root = String::from_utf8(signed_root(&root_signed(1), &[OWNER])).unwrap();
    let twice = root.replacen(r#""version": 1"#, r#""version": 1, "version": 2"#, 1);
    assert_ne!(twice, root);
    assert!(Root::bootstrap(twice.as_bytes()).is_err());
}

/// Attack: floats in JSON.
/// Holds: the same; he writes a number that readers round differently.
/// Left to him: nothing; what is signed has whole numbers of 64 bits, and a text nested over 32 deep, or with anything
/// after its end, is refused too.
#[test]
fn floats_in_json() {
    for text in ["1.0", "1e3", "[1.5]", r#"{"a":-0.0}"#, "18446744073709551616", "NaN", "{} {}", "[1,]", "\u{feff}{}"] {
        assert!(json::strict_value(text.as_bytes()).is_err(), "{text}");
    }
    let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
    assert!(json::strict_value(deep.as_bytes()).is_err());
    let payload = String::from_utf8(request_for("prod", 1, CODER).payload).unwrap();
    for number in ["1.0", "1e0", "-1", "18446744073709551617"] {
        let forged = payload.replacen(r#""serial":1"#, &format!(r#""serial":{number}"#), 1);
        assert_ne!(forged, payload);
        assert!(Statement::from_payload(forged.as_bytes()).is_err(), "{number}");
    }
}
