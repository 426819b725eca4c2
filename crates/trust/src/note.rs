//! Signed notes and checkpoints: how the server states the ledger's size and root (C2SP signed-note, tlog-checkpoint).
//!
//! A checkpoint is three lines of text; a note is a text, an empty line, and signature lines. Both are read exactly as
//! specified. An origin is held to the rule for key names (no spaces, no plus), which the specification recommends, and
//! extension lines, which it discourages, are refused: nobody who follows the log could check them.

use crate::{
    digest::Digest,
    key::{PublicKey, SignError, Signer},
    names::printable,
};
use base64::{Engine, prelude::BASE64_STANDARD};

/// The longest note that is read: room for many signatures of witnesses, post-quantum ones among them.
pub const MAX_NOTE_BYTES: usize = 256 * 1024;

/// The signature type of plain Ed25519 in a key's hash.
const ED25519_TYPE: u8 = 0x01;

/// The size and root of a log at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log this is. Whoever verifies a checkpoint compares it with the log they follow.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The root of the Merkle tree over them.
    pub root: Digest,
}

/// Why a note or checkpoint is not accepted, or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// More bytes than any genuine note has.
    #[error("the note has {0} bytes, more than the {MAX_NOTE_BYTES} a note may have")]
    Oversized(usize),
    /// A note may hold no control character but the newline.
    #[error("the note holds a control character")]
    ControlCharacter,
    /// There is no text, empty line and signatures.
    #[error("not a signed note: a text, an empty line and signature lines are expected")]
    NotNote,
    /// A signature line is not `— <name> <base64>`.
    #[error("signature line {0} of the note is malformed")]
    SignatureLine(usize),
    /// A name of a key or log that is empty or holds spaces, a plus or control characters.
    #[error("'{0}' cannot name a log or key: it is empty or holds a space, a plus or a control character")]
    Name(String),
    /// A text that is no checkpoint.
    #[error("not a checkpoint: {0}")]
    NotCheckpoint(&'static str),
    /// No signature is by the key that was expected.
    #[error("the note is not signed by the key expected of {0}")]
    NotSigned(String),
    /// A signature that claims to be by the expected key does not verify.
    #[error("a signature by {0} on the note is false: the text was changed after it was signed")]
    FalseSignature(String),
    /// A key of another kind: notes are signed by Ed25519 keys.
    #[error("a note is signed by a plain Ed25519 key, and this is a key of type {0}")]
    KeyKind(&'static str),
    /// The signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl Checkpoint {
    /// The three lines that are signed.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64_STANDARD.encode(self.root.as_bytes()))
    }

    /// Reads the three lines, which must be all there is.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let lines = text.strip_suffix('\n').ok_or(NoteError::NotCheckpoint("the last line is not ended"))?;
        let mut lines = lines.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NoteError::NotCheckpoint("origin, size and root are expected, a line each"));
        };
        if lines.next().is_some() {
            return Err(NoteError::NotCheckpoint("extension lines are not accepted"));
        }
        check_name(origin)?;
        let digits_only = size.bytes().all(|byte| byte.is_ascii_digit());
        if !digits_only || (size.len() > 1 && size.starts_with('0')) {
            return Err(NoteError::NotCheckpoint("the size is not a plain decimal number"));
        }
        let size = size.parse().map_err(|_| NoteError::NotCheckpoint("the size is not a number of 64 bits"))?;
        let root = BASE64_STANDARD.decode(root).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let root = root.ok_or(NoteError::NotCheckpoint("the root is not the base64 of 32 bytes"))?;
        Ok(Self { origin: origin.into(), size, root: Digest::from_bytes(root) })
    }
}

/// Signs a checkpoint as the key called `name` (by convention the log's origin); gives the whole note.
pub fn sign_checkpoint(checkpoint: &Checkpoint, name: &str, signer: &dyn Signer) -> Result<String, NoteError> {
    check_name(&checkpoint.origin)?;
    sign_note(&checkpoint.to_text(), name, signer)
}

/// Checks that the note is a checkpoint signed by `key` under `name`. The caller compares the origin with the log it
/// follows, and the size and root with what it last saw ([`crate::log::verify_consistency`]).
pub fn verify_checkpoint(note: &str, name: &str, key: &PublicKey) -> Result<Checkpoint, NoteError> {
    Checkpoint::parse(open_note(note, name, key)?)
}

/// Signs `text`, which must end in a newline, as the key called `name`; gives the whole note.
pub fn sign_note(text: &str, name: &str, signer: &dyn Signer) -> Result<String, NoteError> {
    check_name(name)?;
    check_characters(text)?;
    if !text.ends_with('\n') {
        return Err(NoteError::NotNote);
    }
    let mut signature = key_hash(name, &signer.public())?.to_vec();
    signature.extend(signer.sign(text.as_bytes())?);
    let note = format!("{text}\n— {name} {}\n", BASE64_STANDARD.encode(signature));
    check_characters(&note)?;
    Ok(note)
}

/// The text of a note, once at least one signature by `key` under `name` is found genuine and none false. Signatures of
/// other keys are read but not judged.
pub fn open_note<'a>(note: &'a str, name: &str, key: &PublicKey) -> Result<&'a str, NoteError> {
    check_name(name)?;
    check_characters(note)?;
    let separator = note.rfind("\n\n").ok_or(NoteError::NotNote)?;
    let text = &note[..=separator];
    let lines = note[separator + 2..].strip_suffix('\n').ok_or(NoteError::NotNote)?;
    let expected = key_hash(name, key)?;
    let mut signed = false;
    for (i, line) in lines.split('\n').enumerate() {
        let (signed_as, hash, signature) = signature_line(line).ok_or(NoteError::SignatureLine(i + 1))?;
        if signed_as != name || hash != expected {
            continue;
        }
        if !key.verify(text.as_bytes(), &signature) {
            return Err(NoteError::FalseSignature(name.into()));
        }
        signed = true;
    }
    if signed { Ok(text) } else { Err(NoteError::NotSigned(name.into())) }
}

/// Reads `— <name> <base64(hash || signature)>`.
fn signature_line(line: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
    check_name(name).ok()?;
    let bytes = BASE64_STANDARD.decode(encoded).ok()?;
    let (hash, signature) = bytes.split_first_chunk::<4>()?;
    (!signature.is_empty()).then(|| (name, *hash, signature.to_vec()))
}

/// The first four bytes of SHA-256(name || newline || signature type || public key).
fn key_hash(name: &str, key: &PublicKey) -> Result<[u8; 4], NoteError> {
    let bytes = key.ed25519().ok_or(NoteError::KeyKind(key.openssh_type()))?;
    let message = [name.as_bytes(), b"\n", &[ED25519_TYPE], bytes].concat();
    let [a, b, c, d, ..] = *Digest::of(&message).as_bytes();
    Ok([a, b, c, d])
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let plain = !name.contains(|c: char| c.is_whitespace() || c == '+') && printable(name) == name;
    if plain && !name.is_empty() {
        return Ok(());
    }
    Err(NoteError::Name(printable(&name.chars().take(100).collect::<String>())))
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.len() > MAX_NOTE_BYTES {
        return Err(NoteError::Oversized(text.len()));
    }
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(NoteError::ControlCharacter);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    const NAME: &str = "sortie.example/ledger";

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: NAME.into(), size: 20_852_163, root: Digest::of(b"root") }
    }

    fn signed() -> (SecretKey, String) {
        let secret = SecretKey::from_seed(&[1; 32]);
        let note = sign_checkpoint(&checkpoint(), NAME, &secret).unwrap();
        (secret, note)
    }

    /// The key and note published with Go's golang.org/x/mod/sumdb/note.
    #[test]
    fn a_note_signed_by_another_implementation_opens() {
        let key = BASE64_STANDARD.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let key = PublicKey::from_ed25519(key[1..].try_into().unwrap()).unwrap();
        assert_eq!(hex::encode(key_hash("PeterNeumann", &key).unwrap()), "c74f20a3");
        let text = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
        let note = format!(
            "{text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
        );
        assert_eq!(open_note(&note, "PeterNeumann", &key).unwrap(), text);
        assert!(matches!(verify_checkpoint(&note, "PeterNeumann", &key), Err(NoteError::NotCheckpoint(_))));
    }

    #[test]
    fn a_checkpoint_reads_back_as_it_was_signed() {
        let (secret, note) = signed();
        assert_eq!(verify_checkpoint(&note, NAME, &secret.public()).unwrap(), checkpoint());
        // The specification's own example of the three lines.
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!(Checkpoint::parse(text).unwrap().to_text(), text);
    }

    #[test]
    fn signatures_of_others_are_ignored_and_do_not_suffice() {
        let (secret, note) = signed();
        let witness = SecretKey::from_seed(&[2; 32]);
        let by_witness = sign_checkpoint(&checkpoint(), "witness.example", &witness).unwrap();
        let line = by_witness.lines().last().unwrap();
        let both = format!("{note}{line}\n");
        assert_eq!(verify_checkpoint(&both, NAME, &secret.public()).unwrap(), checkpoint());
        assert_eq!(verify_checkpoint(&both, "witness.example", &witness.public()).unwrap(), checkpoint());
        let refused = verify_checkpoint(&by_witness, NAME, &secret.public());
        assert!(matches!(refused, Err(NoteError::NotSigned(_))));
        // A line with the key's hash under another name is by another key, however false it is.
        let collision = BASE64_STANDARD.encode([&key_hash(NAME, &secret.public()).unwrap()[..], &[0; 64]].concat());
        let with_collision = format!("{note}— other {collision}\n");
        assert!(verify_checkpoint(&with_collision, NAME, &secret.public()).is_ok());
        // The same name under another key, and the same key under another name, are others too.
        assert!(matches!(verify_checkpoint(&note, NAME, &witness.public()), Err(NoteError::NotSigned(_))));
        assert!(matches!(verify_checkpoint(&note, "other", &secret.public()), Err(NoteError::NotSigned(_))));
    }

    #[test]
    fn a_changed_text_or_a_second_false_signature_is_refused() {
        let (secret, note) = signed();
        let changed = note.replace("20852163", "20852164");
        assert!(matches!(verify_checkpoint(&changed, NAME, &secret.public()), Err(NoteError::FalseSignature(_))));
        let other = sign_checkpoint(&Checkpoint { size: 1, ..checkpoint() }, NAME, &secret).unwrap();
        let both = format!("{note}{}\n", other.lines().last().unwrap());
        assert!(matches!(verify_checkpoint(&both, NAME, &secret.public()), Err(NoteError::FalseSignature(_))));
    }

    #[test]
    fn malformed_notes_are_refused() {
        let (secret, note) = signed();
        let open = |note: &str| open_note(note, NAME, &secret.public()).unwrap_err();
        assert!(matches!(open(""), NoteError::NotNote));
        assert!(matches!(open(&checkpoint().to_text()), NoteError::NotNote));
        assert!(matches!(open(note.trim_end()), NoteError::NotNote));
        assert!(matches!(open(&note.replace('\n', "\r\n")), NoteError::ControlCharacter));
        assert!(matches!(open(&note.repeat(3_000)), NoteError::Oversized(_)));
        for bad in
            ["— name", "- name AAAAAAA=", "— na+me AAAAAAA=", "—  AAAAAAA=", "— name AAAAAA==", "— name AAAAAAB=", "x"]
        {
            assert!(matches!(open(&format!("{note}{bad}\n")), NoteError::SignatureLine(2)), "{bad:?} was taken");
        }
        assert!(matches!(open(&format!("{}\n\n", checkpoint().to_text())), NoteError::NotNote));
    }

    #[test]
    fn malformed_checkpoints_are_refused() {
        let root = BASE64_STANDARD.encode([7; 32]);
        for bad in [
            String::new(),
            format!("o\n1\n{root}"),
            format!("o\n1\n{root}\nextension\n"),
            format!("o\n1\n{root}\n\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n\n{root}\n"),
            format!("o\n18446744073709551616\n{root}\n"),
            format!("o\n1\n{}\n", &root[1..]),
            format!("o\n1\n{}\n", root.trim_end_matches('=')),
            "o\n1\nAAAA\n".into(),
            "o\n1\n".into(),
        ] {
            assert!(matches!(Checkpoint::parse(&bad), Err(NoteError::NotCheckpoint(_))), "{bad:?} was taken");
        }
        for bad in ["", "a b", "a+b", "a\u{202E}b", "a\u{a0}b"] {
            let text = format!("{bad}\n1\n{root}\n");
            assert!(matches!(Checkpoint::parse(&text), Err(NoteError::Name(_))), "{bad:?} was taken");
        }
    }

    #[test]
    fn names_and_texts_that_could_not_be_read_back_are_not_signed() {
        let secret = SecretKey::from_seed(&[1; 32]);
        assert!(matches!(sign_checkpoint(&checkpoint(), "a b", &secret), Err(NoteError::Name(_))));
        let unnamed = Checkpoint { origin: "a\nb".into(), ..checkpoint() };
        assert!(matches!(sign_checkpoint(&unnamed, NAME, &secret), Err(NoteError::Name(_))));
        assert!(matches!(sign_note("no newline", NAME, &secret), Err(NoteError::NotNote)));
    }

    struct Away(PublicKey);
    impl Signer for Away {
        fn public(&self) -> PublicKey {
            self.0
        }
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
            Err(SignError("the agent is away".into()))
        }
    }

    #[test]
    fn a_signer_that_fails_is_named() {
        let away = Away(SecretKey::from_seed(&[1; 32]).public());
        let error = sign_checkpoint(&checkpoint(), NAME, &away).unwrap_err();
        assert_eq!(error.to_string(), "could not sign: the agent is away");
    }
}
