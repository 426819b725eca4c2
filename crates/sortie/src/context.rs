//! Saved contexts: which server, pinned by its key; which estate, pinned by its first root; what was last seen of both.
//!
//! `$SORTIE_HOME` (or `sortie/` in the XDG config folder) holds `current` and, for each context, `contexts/NAME.toml`
//! with a folder `contexts/NAME/` of trust documents beside it: what this machine has verified and will not go back on.

use crate::failure::Failure;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};
use trust::{Digest, dsse::Envelope, names::printable};

/// One saved context.
#[derive(Clone, Debug)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// What it says.
    pub settings: Settings,
    home: PathBuf,
}

/// What a context's file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The server: `https://host:port`.
    pub url: String,
    /// The pin of its TLS key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Digest>,
    /// The estate, once there is one: the digest of its first root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estate: Option<Digest>,
    /// The one-time claim of a server without an estate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// The key file to sign with here, unless `--identity` says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<PathBuf>,
}

/// The trust documents this machine has verified last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Documents {
    /// All roots from the first.
    pub roots: Vec<Vec<u8>>,
    /// The targets metadata.
    pub targets: Vec<u8>,
    /// The charter.
    pub charter: Vec<u8>,
    /// The suspensions.
    pub suspensions: Vec<Envelope>,
}

/// Where contexts are saved.
pub fn home() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("SORTIE_HOME")
        .or_else(|| set("XDG_CONFIG_HOME").map(|folder| folder.join("sortie")))
        .or_else(|| set("HOME").map(|folder| folder.join(".config/sortie")))
        .ok_or_else(|| Failure::failed("neither SORTIE_HOME nor HOME is set: nowhere to keep contexts"))
}

/// Reads `URL#PIN`. The pin may be left out for loopback addresses without TLS only.
pub fn parse_server(text: &str) -> Result<(String, Option<Digest>), Failure> {
    let (url, pin) = match text.split_once('#') {
        Some((url, pin)) => (url, Some(pin)),
        None => (text, None),
    };
    let pin = match pin {
        Some(pin) => {
            let hex = pin.strip_prefix("sha256:").unwrap_or(pin);
            Some(Digest::from_hex(hex).map_err(|_| {
                Failure::misused("the pin behind '#' is 64 hexadecimal digits, as `sortie serve` prints it")
            })?)
        }
        None if url.starts_with("http://") => None,
        None => {
            return Err(Failure::misused(format!(
                "{} has no pin: write URL#PIN as `sortie serve` prints it, so that no other server can take its place",
                printable(url)
            )));
        }
    };
    Ok((url.trim_end_matches('/').to_string(), pin))
}

fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.bytes().all(plain) {
        true => Ok(()),
        false => Err(Failure::misused(format!("'{}' cannot name a context", printable(name)))),
    }
}

impl Context {
    /// A context that is not saved yet.
    pub fn new(name: &str, settings: Settings) -> Result<Self, Failure> {
        check_name(name)?;
        Ok(Self { name: name.into(), settings, home: home()? })
    }

    /// The saved context of this name.
    pub fn load(name: &str) -> Result<Self, Failure> {
        check_name(name)?;
        let home = home()?;
        let path = home.join("contexts").join(format!("{name}.toml"));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Failure::misused(format!("no context is called {name}")).next("sortie context"));
            }
            Err(error) => return Err(Failure::failed(format!("cannot read {}: {error}", path.display()))),
        };
        let wrong =
            |error| Failure::failed(format!("{}: {}", path.display(), trust::complaint::located(&text, &error)));
        let settings = toml::from_str(&text).map_err(wrong)?;
        Ok(Self { name: name.into(), settings, home })
    }

    /// The context that a command uses: the server that was named, the context that was named, or the current one.
    pub fn choose(server: Option<&str>, name: Option<&str>) -> Result<Self, Failure> {
        if let Some(name) = name {
            return Self::load(name);
        }
        if let Some(server) = server {
            let (url, pin) = parse_server(server)?;
            // What was verified of a server that is only named is remembered under its pin, so that it cannot go back.
            let name = format!("server-{}", pin.unwrap_or(Digest::of(url.as_bytes())).short());
            return match Self::load(&name) {
                Ok(known) if known.settings.pin == pin => {
                    Ok(Self { settings: Settings { url, ..known.settings.clone() }, ..known })
                }
                _ => Self::new(&name, Settings { url, pin, estate: None, claim: None, identity: None }),
            };
        }
        match current()? {
            Some(name) => Self::load(&name),
            None => Err(Failure::misused("no server is known here yet").next("sortie login URL#PIN")),
        }
    }

    /// Saves the settings.
    pub fn save(&self) -> Result<(), Failure> {
        let text = toml::to_string(&self.settings).context("cannot write the context").map_err(Failure::from)?;
        write_whole(&self.home.join("contexts").join(format!("{}.toml", self.name)), text.as_bytes())
    }

    /// Saves the settings and makes the context the current one.
    pub fn save_as_current(&self) -> Result<(), Failure> {
        self.save()?;
        write_whole(&self.home.join("current"), format!("{}\n", self.name).as_bytes())
    }

    /// Forgets the context and what was verified in it.
    pub fn forget(&self) -> Result<(), Failure> {
        let cannot = |error: std::io::Error| Failure::failed(format!("cannot forget {}: {error}", self.name));
        let absent_is_fine = |result: std::io::Result<()>| match result {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot(error)),
            _ => Ok(()),
        };
        absent_is_fine(fs::remove_dir_all(self.folder()))?;
        absent_is_fine(fs::remove_file(self.home.join("contexts").join(format!("{}.toml", self.name))))?;
        match current()?.as_ref() == Some(&self.name) {
            true => absent_is_fine(fs::remove_file(self.home.join("current"))),
            false => Ok(()),
        }
    }

    /// The folder of what was verified.
    pub fn folder(&self) -> PathBuf {
        self.home.join("contexts").join(&self.name)
    }

    /// What was verified last, if anything.
    pub fn documents(&self) -> Option<Documents> {
        let folder = self.folder();
        let roots: Vec<Vec<u8>> =
            (1..).map_while(|number| fs::read(folder.join(format!("{number}.root.json"))).ok()).collect();
        let suspensions = fs::read(folder.join("suspensions.json")).ok();
        let documents = Documents {
            targets: fs::read(folder.join("targets.json")).ok()?,
            charter: fs::read(folder.join("charter.toml")).ok()?,
            suspensions: suspensions.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default(),
            roots,
        };
        (!documents.roots.is_empty()).then_some(documents)
    }

    /// Keeps what was verified.
    pub fn keep_documents(&self, documents: &Documents) -> Result<(), Failure> {
        let folder = self.folder();
        for (index, root) in documents.roots.iter().enumerate() {
            write_whole(&folder.join(format!("{}.root.json", index + 1)), root)?;
        }
        write_whole(&folder.join("charter.toml"), &documents.charter)?;
        write_whole(&folder.join("targets.json"), &documents.targets)?;
        let suspensions = serde_json::to_vec(&documents.suspensions).context("suspensions").map_err(Failure::from)?;
        write_whole(&folder.join("suspensions.json"), &suspensions)
    }

    /// The last checkpoint seen, as the note it came in, and the epoch it was seen in.
    pub fn checkpoint(&self) -> Option<(String, u64)> {
        let epoch = fs::read_to_string(self.folder().join("checkpoint.epoch")).ok();
        let epoch = epoch.and_then(|text| text.trim().parse().ok()).unwrap_or(1);
        Some((fs::read_to_string(self.folder().join("checkpoint")).ok()?, epoch))
    }

    /// Keeps the last checkpoint seen.
    pub fn keep_checkpoint(&self, note: &str, epoch: u64) -> Result<(), Failure> {
        write_whole(&self.folder().join("checkpoint"), note.as_bytes())?;
        write_whole(&self.folder().join("checkpoint.epoch"), format!("{epoch}\n").as_bytes())
    }
}

/// The name of the current context.
pub fn current() -> Result<Option<String>, Failure> {
    let text = fs::read_to_string(home()?.join("current")).unwrap_or_default();
    let name = text.trim();
    Ok((!name.is_empty()).then(|| name.to_string()))
}

/// All saved contexts by name.
pub fn all() -> Result<Vec<Context>, Failure> {
    let mut names: Vec<String> = fs::read_dir(home()?.join("contexts"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().strip_suffix(".toml")?.to_string()))
        .collect();
    names.sort();
    names.iter().map(|name| Context::load(name)).collect()
}

/// Writes a file so that it is there whole or not at all, for this user alone.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    // A bare name has an empty folder, which no system call takes.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_come_with_their_pin() {
        let pin = Digest::of(b"key");
        let (url, read) = parse_server(&format!("https://sortie.example:7440/#{}", pin.hex())).unwrap();
        assert_eq!((url.as_str(), read), ("https://sortie.example:7440", Some(pin)));
        assert!(parse_server("https://sortie.example").unwrap_err().problem.message.contains("no pin"));
        assert!(parse_server("https://sortie.example#1234").is_err());
        assert_eq!(parse_server("http://127.0.0.1:7441").unwrap().1, None);
        for bad in ["", "../x", ".x", "a b", "a\nb"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
