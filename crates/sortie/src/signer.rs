//! The key that signs: a named file, SORTIE_KEY, a key of a CI job, ssh-agent, or the usual file.

use crate::{
    failure::{Failure, OrMisused},
    job,
};
use ssh_agent_lib::{
    blocking::Client,
    proto::{PublicCredential, SignRequest},
};
use std::{
    fs,
    io::IsTerminal,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
};
use trust::{
    dsse,
    key::{KeyError, PublicKey, SecretKey, SignError, Signer, signature_from_openssh},
    names::printable,
    statement::Statement,
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
    if let Some(identity) = job::identity()? {
        return Ok(vec![identity]);
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
            "there is no key to sign with: no --identity, no SORTIE_KEY, no key that Sortie \
            takes in ssh-agent and no ~/.ssh/id_ed25519",
        )
        .next("ssh-keygen -t ed25519")),
        false => Ok(found),
    }
}

/// `~/.ssh/id_ed25519`.
pub fn usual_file() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".ssh/id_ed25519"))
}

/// The key in a file, whose passphrase is asked for where there is a terminal. A file that holds a public key only, or
/// the handle of a security key, names a key of ssh-agent.
pub fn from_file(path: &Path) -> Result<Identity, Failure> {
    let text = read_text(path)?;
    if let Ok(public) = PublicKey::from_openssh(&text) {
        return from_agent_alone(path, public);
    }
    let key = match SecretKey::from_openssh(&text, None) {
        Err(KeyError::Encrypted) if std::io::stdin().is_terminal() => {
            let passphrase = rpassword::prompt_password(format!("passphrase of {}: ", path.display()))
                .map_err(|error| Failure::failed(format!("cannot ask for a passphrase: {error}")))?;
            SecretKey::from_openssh(&text, Some(&passphrase))
        }
        key => key,
    };
    if let Err(KeyError::OnDevice(public)) = key {
        return from_agent_alone(path, *public);
    }
    let key = key.map_err(|error| format!("{}: {error}", path.display())).or_misused()?;
    warn_of_readers(path);
    Ok(Identity { signer: Box::new(key), label: label(path) })
}

/// The key of ssh-agent whose public half a file holds.
fn from_agent_alone(path: &Path, public: PublicKey) -> Result<Identity, Failure> {
    from_agent().into_iter().find(|identity| identity.signer.public() == public).ok_or_else(|| {
        let device = if public.is_security_key() { "a security key" } else { "a key that is kept elsewhere" };
        Failure::misused(format!("{} is of {device}, and ssh-agent does not hold it", path.display()))
            .next(format!("ssh-add {}", path.with_extension("").display()))
    })
}

fn read_without_asking(path: &Path) -> Result<Identity, Failure> {
    let key = SecretKey::from_openssh(&read_text(path)?, None).or_misused()?;
    warn_of_readers(path);
    Ok(Identity { signer: Box::new(key), label: label(path) })
}

/// As ssh does: a private key that others may read is nobody's own. It is used all the same, once a run and with a warning:
/// a CI system may not let its owner choose.
fn warn_of_readers(path: &Path) {
    let Ok(mode) = fs::metadata(path).map(|facts| facts.permissions().mode() & 0o777) else { return };
    if mode & 0o077 != 0 {
        let path = path.display();
        anstream::eprintln!(
            "! others on this machine may read the private key {path} (mode {mode:04o}): chmod 600 {path}"
        );
    }
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

/// The keys of the kinds Sortie takes that ssh-agent holds; none where there is no agent.
fn from_agent() -> Vec<Identity> {
    let Some(socket) = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from) else { return Vec::new() };
    let identities = UnixStream::connect(&socket).ok().and_then(|stream| Client::new(stream).request_identities().ok());
    let ours = |identity: ssh_agent_lib::proto::Identity| {
        let PublicCredential::Key(data) = &identity.credential else { return None };
        let public = PublicKey::from_key_data(data).ok()?;
        let label = format!("ssh-agent ({})", printable(&identity.comment));
        let credential = identity.credential.clone();
        let signer = AgentKey { socket: socket.clone(), credential, public, label: label.clone() };
        Some(Identity { signer: Box::new(signer), label })
    };
    identities.unwrap_or_default().into_iter().filter_map(ours).collect()
}

/// A key that ssh-agent holds and never gives away.
struct AgentKey {
    socket: PathBuf,
    credential: PublicCredential,
    public: PublicKey,
    label: String,
}

impl Signer for AgentKey {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let away = |error: &dyn std::fmt::Display| SignError(format!("ssh-agent: {error}"));
        if self.public.is_security_key() {
            // The device blinks and waits; without this line so would the person.
            anstream::eprintln!("Touch your security key to sign {}: {}", what_is_signed(message), self.label);
        }
        let stream = UnixStream::connect(&self.socket).map_err(|error| away(&error))?;
        let request = SignRequest { credential: self.credential.clone(), data: message.to_vec(), flags: 0 };
        let signature = Client::new(stream).sign(request).map_err(|error| away(&error))?;
        let made = signature_from_openssh(&self.public, &signature)?;
        if self.public.verify(message, &made) {
            return Ok(made);
        }
        Err(SignError(match self.public.is_security_key() {
            true => "the security key's signature does not say that somebody touched it, or is false".into(),
            false => "ssh-agent gave a signature that its own key does not verify".into(),
        }))
    }
}

/// What a message is, for whoever is asked to touch a device: `an approval of web@1.4.0`.
fn what_is_signed(message: &[u8]) -> String {
    let Some(statement) = dsse::payload_of(message).and_then(|payload| Statement::from_payload(payload).ok()) else {
        return "a document of this estate's owners".into();
    };
    let kind = statement.act.kind();
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    match kind {
        "session" => "a login".into(),
        _ => format!("{article} {kind} of {}", statement.subject_name),
    }
}
