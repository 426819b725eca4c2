//! What the server keeps to itself in its data folder: the TLS key, the key that signs checkpoints, and the one-time
//! claim of a server without an estate.

use crate::durable;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use trust::{
    Digest,
    key::{PublicKey, SecretKey, Signer},
};

const TLS_KEY: &str = "tls.key";
const TLS_CERTIFICATE: &str = "tls.crt";
const LEDGER_KEY: &str = "ledger.key";
/// What stands before the names of the keys that come next.
const NEXT: &str = "next.";
/// What stands before the names of the keys that were in use before.
const OLD: &str = "old.";
pub(crate) const ORIGIN: &str = "origin";
const CLAIM: &str = "claim";

/// Why the keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The disk failed.
    #[error("{path}: {source}")]
    Disk {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that says something else than it should.
    #[error("{path}: {why}. Restore it from a backup: people and targets have pinned what it held")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No key could be made.
    #[error("no key could be made: {0}")]
    NotMade(String),
}

/// The server's keys, read from its folder or made in it.
pub struct Keys {
    /// The self-signed certificate; only its public key matters to anyone.
    pub certificate: CertificateDer<'static>,
    /// The TLS key.
    pub tls: PrivateKeyDer<'static>,
    /// SHA-256 of the TLS key's SubjectPublicKeyInfo.
    pub pin: Digest,
    /// The key that signs checkpoints.
    pub ledger: Arc<SecretKey>,
    /// The name under which checkpoints are signed; it never changes once chosen.
    pub origin: String,
    /// The pin of the TLS key that comes next.
    pub next_pin: Digest,
    /// The key that signs checkpoints next.
    pub next_ledger: PublicKey,
    /// The other keys for checkpoints that lie in the folder: the next one, and the one that was in use before.
    pub others: Vec<SecretKey>,
    folder: PathBuf,
    claim: Mutex<Option<String>>,
}

impl Keys {
    /// Reads the keys in `folder`, or makes them there.
    pub fn open(folder: &Path) -> Result<Self, KeysError> {
        make_private_folder(folder)?;
        let (certificate, tls, pin) = open_tls(folder, "")?;
        let ledger = open_ledger(folder, "")?;
        let (_, _, next_pin) = open_tls(folder, NEXT)?;
        let next = open_ledger(folder, NEXT)?;
        let next_ledger = next.public();
        let old = match read(folder, &format!("{OLD}{LEDGER_KEY}"))? {
            Some(_) => Some(open_ledger(folder, OLD)?),
            None => None,
        };
        let origin = read_or_make(folder, ORIGIN, || Ok(format!("sortie-ledger/{}\n", &pin.hex()[..16])))?;
        let claim = read(folder, CLAIM)?.map(|claim| claim.trim().to_string());
        Ok(Self {
            certificate,
            tls,
            pin,
            ledger: Arc::new(ledger),
            origin: origin.trim().to_string(),
            next_pin,
            next_ledger,
            others: [next].into_iter().chain(old).collect(),
            folder: folder.to_path_buf(),
            claim: Mutex::new(claim),
        })
    }

    /// The key that signs checkpoints, and under which name, as they lie in `folder`; nothing where there are none. Makes none.
    pub fn ledger_of(folder: &Path) -> Result<Option<(SecretKey, String)>, KeysError> {
        let (Some(text), Some(origin)) = (read(folder, LEDGER_KEY)?, read(folder, ORIGIN)?) else { return Ok(None) };
        let key = SecretKey::from_openssh(&text, None).map_err(|why| unreadable(folder, LEDGER_KEY, why))?;
        Ok(Some((key, origin.trim().to_string())))
    }

    /// Takes the keys that come next, keeps those in use until now beside them as `old.…`, and lets others be made.
    pub fn rotate(folder: &Path) -> Result<(), KeysError> {
        for name in [TLS_KEY, TLS_CERTIFICATE, LEDGER_KEY] {
            // The next ones take the place at once, so that a power cut leaves one or the other.
            copy_aside(folder, name)?;
            rename(folder, &format!("{NEXT}{name}"), name)?;
        }
        sync_folder(folder)
    }

    /// Makes every key anew, for a server whose keys somebody else has held. Those until now are kept as `old.…`, and
    /// the log goes on under its name.
    pub fn replace(folder: &Path) -> Result<(), KeysError> {
        if read(folder, ORIGIN)?.is_none() {
            return Ok(());
        }
        for name in [TLS_KEY, TLS_CERTIFICATE, LEDGER_KEY] {
            copy_aside(folder, name)?;
            for stale in [name.to_string(), format!("{NEXT}{name}")] {
                match fs::remove_file(folder.join(&stale)) {
                    Err(source) if source.kind() != io::ErrorKind::NotFound => {
                        return Err(KeysError::Disk { path: folder.join(stale), source });
                    }
                    _ => {}
                }
            }
        }
        sync_folder(folder)
    }

    /// The public half of the key that signs checkpoints.
    pub fn ledger_public(&self) -> PublicKey {
        self.ledger.public()
    }

    /// The one-time claim of a server without an estate, made where there is none yet.
    pub fn claim(&self) -> Result<String, KeysError> {
        let mut claim = self.claim.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(claim) = claim.as_ref() {
            return Ok(claim.clone());
        }
        let fresh = random_hex::<16>()?;
        write(&self.folder, CLAIM, format!("{fresh}\n").as_bytes())?;
        *claim = Some(fresh.clone());
        Ok(fresh)
    }

    /// The digest of the claim, while there is one. Digests are compared, so that the time it takes says nothing about
    /// the claim.
    pub fn claim_digest(&self) -> Option<Digest> {
        let claim = self.claim.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        claim.as_ref().map(|claim| Digest::of(claim.as_bytes()))
    }

    /// Forgets the claim: an estate was founded.
    pub fn spend_claim(&self) -> Result<(), KeysError> {
        let mut claim = self.claim.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *claim = None;
        let path = self.folder.join(CLAIM);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(KeysError::Disk { path, source: error }),
            _ => sync_folder(&self.folder),
        }
    }
}

/// `N` random bytes in hexadecimal digits.
pub(crate) fn random_hex<const N: usize>() -> Result<String, KeysError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| KeysError::NotMade(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Makes a folder that nobody else may look into, or takes others' rights away from one that is there.
pub(crate) fn make_private_folder(folder: &Path) -> Result<(), KeysError> {
    let failed = |source| KeysError::Disk { path: folder.to_path_buf(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(failed)
}

fn copy_aside(folder: &Path, name: &str) -> Result<(), KeysError> {
    match read(folder, name)? {
        Some(text) => write(folder, &format!("{OLD}{name}"), text.as_bytes()),
        None => Ok(()),
    }
}

fn rename(folder: &Path, from: &str, to: &str) -> Result<(), KeysError> {
    let path = folder.join(from);
    fs::rename(&path, folder.join(to)).map_err(|source| KeysError::Disk { path, source })
}

fn open_ledger(folder: &Path, which: &str) -> Result<SecretKey, KeysError> {
    open_signing(folder, &format!("{which}{LEDGER_KEY}"), "sortie ledger")
}

/// The Ed25519 key in this file of `folder`, made where there is none.
pub(crate) fn open_signing(folder: &Path, name: &str, comment: &str) -> Result<SecretKey, KeysError> {
    let text = read_or_make(folder, name, || {
        let key = SecretKey::generate().map_err(|error| KeysError::NotMade(error.to_string()))?;
        key.to_openssh(comment).map_err(|error| KeysError::NotMade(error.to_string()))
    })?;
    SecretKey::from_openssh(&text, None).map_err(|why| unreadable(folder, name, why))
}

pub(crate) type Tls = (CertificateDer<'static>, PrivateKeyDer<'static>, Digest);

/// The TLS key in `folder` with its certificate and pin, made where there is none; `which` stands before the files' names.
pub(crate) fn open_tls(folder: &Path, which: &str) -> Result<Tls, KeysError> {
    let (key_name, certificate_name) = (format!("{which}{TLS_KEY}"), format!("{which}{TLS_CERTIFICATE}"));
    let key = read_or_make(folder, &key_name, || {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| KeysError::NotMade(e.to_string()))?;
        Ok(key.serialize_pem())
    })?;
    // The certificate is only the key's wrapping: people pin the key, so it may be made anew at any time.
    let certificate = read_or_make(folder, &certificate_name, || {
        let key = KeyPair::from_pem(&key).map_err(|why| unreadable(folder, &key_name, why))?;
        certificate(&key).map_err(|error| KeysError::NotMade(error.to_string()))
    })?;
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
        .map_err(|why| unreadable(folder, &certificate_name, why))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|why| unreadable(folder, &key_name, why))?;
    let pin = api::client::certificate_pin(&certificate)
        .ok_or_else(|| unreadable(folder, &certificate_name, "not an X.509 certificate"))?;
    Ok((certificate, key, pin))
}

fn certificate(key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::new(vec!["localhost".into(), "sortie".into()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "sortie server");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    Ok(params.self_signed(key)?.pem())
}

fn unreadable(folder: &Path, name: &str, why: impl std::fmt::Display) -> KeysError {
    KeysError::Unreadable { path: folder.join(name), why: why.to_string() }
}

fn read(folder: &Path, name: &str) -> Result<Option<String>, KeysError> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeysError::Disk { path, source }),
    }
}

fn read_or_make(
    folder: &Path,
    name: &str,
    make: impl FnOnce() -> Result<String, KeysError>,
) -> Result<String, KeysError> {
    if let Some(text) = read(folder, name)? {
        return Ok(text);
    }
    let text = make()?;
    write(folder, name, text.as_bytes())?;
    Ok(text)
}

/// Writes a file of mode 0600 whole and durable, or not at all.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), KeysError> {
    let path = folder.join(name);
    durable::replace(&path, bytes).map_err(|source| KeysError::Disk { path, source })
}

fn sync_folder(folder: &Path) -> Result<(), KeysError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| KeysError::Disk { path: folder.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_opened_again_has_the_same_keys_and_nobody_else_may_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        let first = Keys::open(&folder).unwrap();
        let claim = first.claim().unwrap();
        let again = Keys::open(&folder).unwrap();
        assert_eq!(first.pin, again.pin);
        assert_eq!(first.origin, again.origin);
        assert_eq!(first.ledger_public(), again.ledger_public());
        assert_eq!(again.claim_digest(), Some(Digest::of(claim.as_bytes())));
        again.spend_claim().unwrap();
        assert_eq!(again.claim_digest(), None);
        assert!(!folder.join(CLAIM).exists());
        for entry in fs::read_dir(&folder).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o077, 0);
    }
}
