//! How a backup's keys are sealed and opened: by age (age-encryption.org/v1), to recipients or under a passphrase.

use crate::failure::Failure;
use age::{DecryptError, Decryptor, Encryptor, Identity, Recipient, secrecy::SecretString};
use server::backup::SealError;
use std::{
    fs,
    io::{IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
};

/// The shortest passphrase that is taken, in characters: the file may be copied, and tried at leisure.
const SHORTEST: usize = 12;

/// To whom a backup is sealed.
pub enum Lock {
    /// To age recipients: `age1…`.
    Recipients(Vec<age::x25519::Recipient>),
    /// Under a passphrase.
    Passphrase(SecretString),
}

impl Lock {
    /// From what was typed: recipients, a file with the passphrase, or a question.
    pub fn chosen(recipients: &[String], passphrase_file: Option<&Path>) -> Result<Self, Failure> {
        if !recipients.is_empty() {
            let parsed = recipients.iter().map(|recipient| {
                let why = |why: &str| Failure::misused(format!("{recipient} is no age recipient: {why}"));
                recipient.parse().map_err(|error| why(error).next("age-keygen"))
            });
            return Ok(Self::Recipients(parsed.collect::<Result<_, _>>()?));
        }
        let passphrase = match passphrase_file {
            Some(path) => read_passphrase(path)?,
            None => {
                let first = ask("a passphrase for the keys in this backup: ")?;
                if first != ask("once more: ")? {
                    return Err(Failure::misused("the two passphrases differ"));
                }
                first
            }
        };
        if passphrase.chars().count() < SHORTEST {
            let why =
                format!("the passphrase has fewer than {SHORTEST} characters, and whoever copies the file may guess");
            return Err(Failure::misused(why));
        }
        Ok(Self::Passphrase(passphrase.into()))
    }

    /// Encrypts.
    pub fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        self.encrypted(bytes).map_err(SealError::Refused)
    }

    fn encrypted(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let encryptor = match self {
            Self::Recipients(recipients) => {
                let recipients = recipients.iter().map(|recipient| recipient as &dyn Recipient);
                Encryptor::with_recipients(recipients).map_err(|error| error.to_string())?
            }
            Self::Passphrase(passphrase) => Encryptor::with_user_passphrase(passphrase.clone()),
        };
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).map_err(|error| error.to_string())?;
        writer.write_all(bytes).map_err(|error| error.to_string())?;
        writer.finish().map_err(|error| error.to_string())?;
        Ok(sealed)
    }
}

/// What opens a backup's keys.
pub enum Key {
    /// age identities: `AGE-SECRET-KEY-1…`.
    Identities(Vec<age::x25519::Identity>),
    /// A file with the passphrase, or a question when it comes to that.
    Passphrase(Option<PathBuf>),
}

impl Key {
    /// From what was typed.
    pub fn chosen(key_file: Option<&Path>, passphrase_file: Option<PathBuf>) -> Result<Self, Failure> {
        let Some(path) = key_file else { return Ok(Self::Passphrase(passphrase_file)) };
        let text =
            fs::read_to_string(path).map_err(|error| Failure::misused(format!("{}: {error}", path.display())))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let parsed: Result<Vec<age::x25519::Identity>, &str> = lines.map(str::parse).collect();
        match parsed {
            Ok(identities) if !identities.is_empty() => Ok(Self::Identities(identities)),
            _ => Err(Failure::misused(format!("{} holds no age identity (AGE-SECRET-KEY-1…)", path.display()))),
        }
    }

    /// Decrypts.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let refused = |why: &str| SealError::Refused(why.to_string());
        let wrong = |error: DecryptError| match error {
            DecryptError::NoMatchingKeys => refused("the keys in it are sealed for somebody else"),
            DecryptError::DecryptionFailed => refused("that passphrase does not open its keys"),
            DecryptError::InvalidHeader | DecryptError::InvalidMac | DecryptError::Io(_) => {
                SealError::Damaged(error.to_string())
            }
            error => SealError::Refused(error.to_string()),
        };
        let decryptor = Decryptor::new(sealed).map_err(wrong)?;
        let mut opened = Vec::new();
        let mut reader = match (self, decryptor.is_scrypt()) {
            (Self::Passphrase(file), true) => {
                let passphrase = match file {
                    Some(path) => read_passphrase(path),
                    None => ask("the passphrase for the keys in this backup: "),
                };
                let passphrase = passphrase.map_err(|failure| SealError::Refused(failure.problem.message))?;
                let identity = age::scrypt::Identity::new(passphrase.into());
                decryptor.decrypt(std::iter::once(&identity as &dyn Identity)).map_err(wrong)?
            }
            (Self::Identities(identities), false) => {
                let identities = identities.iter().map(|identity| identity as &dyn Identity);
                decryptor.decrypt(identities).map_err(wrong)?
            }
            (Self::Passphrase(_), false) => {
                return Err(refused("its keys are sealed to an age recipient: give that one's identity by --key FILE"));
            }
            (Self::Identities(_), true) => {
                return Err(refused("its keys are sealed under a passphrase: leave --key out"));
            }
        };
        reader.read_to_end(&mut opened).map_err(|error| SealError::Damaged(error.to_string()))?;
        Ok(opened)
    }
}

fn read_passphrase(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::misused(format!("{}: {error}", path.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_string())
}

fn ask(question: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        let why = "there is no terminal to ask for a passphrase on";
        return Err(Failure::misused(why).next("give --passphrase-file FILE, or --recipient age1… for a backup"));
    }
    rpassword::prompt_password(question).map_err(|error| Failure::failed(format!("cannot ask: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_whom_it_was_sealed_and_nobody_else() {
        let (mine, other) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        let sealed = Lock::chosen(&[mine.to_public().to_string()], None).unwrap().seal(b"keys").unwrap();
        assert_eq!(Key::Identities(vec![mine]).open(&sealed).unwrap(), b"keys");
        assert!(Key::Identities(vec![other]).open(&sealed).unwrap_err().to_string().contains("somebody else"));
        assert!(Key::Passphrase(None).open(&sealed).unwrap_err().to_string().contains("--key"));
        assert!(Lock::chosen(&["age1nonsense".into()], None).is_err());
    }

    #[test]
    fn what_was_changed_after_it_was_sealed_is_told_from_what_does_not_fit() {
        let mine = age::x25519::Identity::generate();
        let mut sealed = Lock::chosen(&[mine.to_public().to_string()], None).unwrap().seal(b"keys").unwrap();
        *sealed.last_mut().unwrap() ^= 1;
        assert!(matches!(Key::Identities(vec![mine]).open(&sealed), Err(SealError::Damaged(_))));
    }

    #[test]
    fn a_passphrase_comes_from_a_file_and_is_not_short() {
        let folder = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = folder.path().join("passphrase");
            fs::write(&path, text).unwrap();
            path
        };
        assert!(Lock::chosen(&[], Some(&file("short\n"))).is_err());
        let sealed = Lock::chosen(&[], Some(&file("long enough to keep\n"))).unwrap().seal(b"keys").unwrap();
        assert_eq!(Key::Passphrase(Some(file("long enough to keep"))).open(&sealed).unwrap(), b"keys");
        assert!(
            Key::Passphrase(Some(file("another one, as long")))
                .open(&sealed)
                .unwrap_err()
                .to_string()
                .contains("does not open")
        );
    }
}
