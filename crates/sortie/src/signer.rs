//! The key that signs: SORTIE_KEY, a named file, ssh-agent, or the usual file.

use crate::failure::{Failure, OrMisused};
use ssh_agent_lib::{
    blocking::Client,
    proto::{PublicCredential, SignRequest},
};
use std::{
    fs,
    io::IsTerminal,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};
use trust::{
    key::{KeyError, PublicKey, SecretKey, SignError, Signer},
    names::printable,
};

/// A key that can sign, and how people know it.
pub struct Identity {
    /// The key.
    pub signer: Box<dyn Signer>,
    /// `~/.ssh/id_ed25519`, `SORTIE_KEY`, `ssh-agent (me@here)`.
    pub label: String,
}

/// The keys to try, the first first. A key that was named is the only one; otherwise those of ssh-agent come before
/// the usual file, and whoever connects takes the first that the charter knows.
pub fn candidates(named: Option<&Path>) -> Result<Vec<Identity>, Failure> {
    if let Some(path) = named {
        return Ok(vec![from_file(path)?]);
    }
    if let Some(text) = std::env::var("SORTIE_KEY").ok().filter(|text| !text.is_empty()) {
        // Some CI systems can only hold one line: an escaped line feed is taken for one.
        let key = SecretKey::from_openssh(&text.replace("\\n", "\n"), None)
            .map_err(|error| Failure::misused(format!("SORTIE_KEY: {error}")))?;
        return Ok(vec![Identity { signer: Box::new(key), label: "SORTIE_KEY".into() }]);
    }
    let mut found = from_agent();
    let usual = usual_file().filter(|path| path.exists());
    if found.is_empty()
        && let Some(path) = usual
    {
        found.push(from_file(&path)?);
    } else if let Some(path) = usual
        && let Ok(key) = read_without_asking(&path)
    {
        found.push(key);
    }
    match found.is_empty() {
        true => Err(Failure::misused(
            "there is no key to sign with: no --identity, no SORTIE_KEY, no Ed25519 key in \
            ssh-agent and no ~/.ssh/id_ed25519",
        )
        .next("ssh-keygen -t ed25519")),
        false => Ok(found),
    }
}

/// `~/.ssh/id_ed25519`.
pub fn usual_file() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".ssh/id_ed25519"))
}

/// The key in a file, whose passphrase is asked for where there is a terminal.
pub fn from_file(path: &Path) -> Result<Identity, Failure> {
    let text = read_text(path)?;
    let key = match SecretKey::from_openssh(&text, None) {
        Err(KeyError::Encrypted) if std::io::stdin().is_terminal() => {
            let passphrase = rpassword::prompt_password(format!("passphrase of {}: ", path.display()))
                .map_err(|error| Failure::failed(format!("cannot ask for a passphrase: {error}")))?;
            SecretKey::from_openssh(&text, Some(&passphrase))
        }
        key => key,
    };
    let key = key.map_err(|error| format!("{}: {error}", path.display())).or_misused()?;
    Ok(Identity { signer: Box::new(key), label: label(path) })
}

fn read_without_asking(path: &Path) -> Result<Identity, Failure> {
    let key = SecretKey::from_openssh(&read_text(path)?, None).or_misused()?;
    Ok(Identity { signer: Box::new(key), label: label(path) })
}

fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::misused(format!("cannot read the key {}: {error}", path.display())))
}

fn label(path: &Path) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_path_buf)) {
        Some(below) => format!("~/{}", below.display()),
        None => path.display().to_string(),
    }
}

/// The Ed25519 keys that ssh-agent holds; none where there is no agent.
fn from_agent() -> Vec<Identity> {
    let Some(socket) = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from) else { return Vec::new() };
    let identities = UnixStream::connect(&socket).ok().and_then(|stream| Client::new(stream).request_identities().ok());
    let ours = |identity: ssh_agent_lib::proto::Identity| {
        let PublicCredential::Key(data) = &identity.credential else { return None };
        let public = PublicKey::from_bytes(data.ed25519()?.0).ok()?;
        let signer = AgentKey { socket: socket.clone(), credential: identity.credential.clone(), public };
        Some(Identity { signer: Box::new(signer), label: format!("ssh-agent ({})", printable(&identity.comment)) })
    };
    identities.unwrap_or_default().into_iter().filter_map(ours).collect()
}

/// A key that ssh-agent holds and never gives away.
struct AgentKey {
    socket: PathBuf,
    credential: PublicCredential,
    public: PublicKey,
}

impl Signer for AgentKey {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let away = |error: &dyn std::fmt::Display| SignError(format!("ssh-agent: {error}"));
        let stream = UnixStream::connect(&self.socket).map_err(|error| away(&error))?;
        let request = SignRequest { credential: self.credential.clone(), data: message.to_vec(), flags: 0 };
        let signature = Client::new(stream).sign(request).map_err(|error| away(&error))?;
        Ok(signature.as_bytes().to_vec())
    }
}
