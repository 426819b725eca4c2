//! `notify.toml`, in the server's data folder: whom to tell what. It holds secrets, so it belongs to the operator of the
//! machine and not to the charter, which everybody reads.

use super::message::{Kind, Notice};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, io, path::Path};
use trust::{AppName, AudienceName};

/// The file's name in the data folder.
pub const FILE: &str = "notify.toml";

/// All hooks.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hooks {
    /// The hooks by name.
    #[serde(default)]
    pub hooks: BTreeMap<String, Hook>,
}

/// One receiver.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Where it listens: `https://…`, or `http://…` on this machine.
    pub url: String,
    /// In which form it is told.
    #[serde(default)]
    pub form: Form,
    /// The secret that messages are signed with, as Standard Webhooks writes it: `whsec_` and base64.
    pub secret: Option<Secret>,
    /// What it is told of; everything where left out.
    #[serde(default)]
    pub on: Vec<Kind>,
    /// Of which audiences; of all where left out.
    #[serde(default)]
    pub audiences: Vec<AudienceName>,
    /// Of which applications; of all where left out.
    #[serde(default)]
    pub apps: Vec<AppName>,
}

/// The form of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Every fact in its own field.
    #[default]
    Json,
    /// `{"text": …}`, which Slack and what imitates it take.
    Slack,
}

/// A signing secret. It is never printed.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The key of the HMAC.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for Secret {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let bytes = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(&text));
        let bytes = bytes.map_err(|_| "a secret is `whsec_` and base64".to_string())?;
        match bytes.len() {
            24..=64 => Ok(Self(bytes)),
            length => Err(format!("a secret has 24 to 64 bytes, and this one has {length}: openssl rand -base64 32")),
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HooksError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It is no such file.
    #[error("{path}: {why}; see docs/notifications.md")]
    Wrong {
        /// Which file.
        path: String,
        /// What is wrong.
        why: String,
    },
}

impl Hooks {
    /// Reads the file; no hooks where there is none.
    pub fn read(path: &Path) -> Result<Self, HooksError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|why| HooksError::Wrong { path: path.display().to_string(), why }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(HooksError::Read { path: path.display().to_string(), source }),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let hooks: Self = toml::from_str(text).map_err(|error| {
            // The line's number and not the line: it may be the one with the secret.
            let line =
                error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            format!("{line}{}", trust::complaint::in_words(error.message()))
        })?;
        for (name, hook) in &hooks.hooks {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
                return Err(format!("the hook \"{name}\": a name has small letters, digits and hyphens"));
            }
            hook.mistake().map_or(Ok(()), |mistake| Err(format!("the hook {name}: {mistake}")))?;
        }
        Ok(hooks)
    }
}

impl Hook {
    /// Whether it is told of this.
    pub fn wants(&self, notice: &Notice) -> bool {
        let kind = self.on.is_empty() || self.on.contains(&notice.kind);
        let of = |names: bool, has: bool| names || has;
        let audience = notice.audience.as_ref().is_none_or(|audience| self.audiences.contains(audience));
        let app = notice.app.as_ref().is_none_or(|app| self.apps.contains(app));
        kind && of(self.audiences.is_empty(), audience) && of(self.apps.is_empty(), app)
    }

    fn mistake(&self) -> Option<String> {
        let Ok(url) = reqwest::Url::parse(&self.url) else { return Some("its url cannot be read".into()) };
        if !url.username().is_empty() || url.password().is_some() {
            return Some("a name and a password do not belong into its url".into());
        }
        let on_this_machine = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && on_this_machine) {
            return Some("its url begins with https:// (http:// is for this machine alone)".into());
        }
        if self.form == Form::Slack && self.secret.is_some() {
            return Some("Slack does not check signatures: leave the secret out, the url is one".into());
        }
        if self.form == Form::Json && self.secret.is_none() {
            return Some("it has no secret to sign with: `secret = \"whsec_…\"`, of `openssl rand -base64 32`".into());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    #[test]
    fn a_file_says_whom_to_tell_what() {
        let text = format!(
            "[hooks.team]\nurl = \"https://hooks.example/x\"\nform = \"slack\"\non = [\"released\", \"failed\"]\n\
             [hooks.audit]\nurl = \"http://127.0.0.1:9\"\nsecret = \"{SECRET}\"\naudiences = [\"prod\"]\n"
        );
        let hooks = Hooks::parse(&text).unwrap();
        assert_eq!(hooks.hooks["team"].on, [Kind::Released, Kind::Failed]);
        assert_eq!(hooks.hooks["audit"].secret.as_ref().unwrap().bytes(), b"01234567890123456789012345678901");
        assert!(!format!("{hooks:?}").contains("0123456789"), "secrets are not printed");
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |rest: &str| Hooks::parse(&format!("[hooks.team]\n{rest}")).unwrap_err();
        assert!(wrong("url = \"http://example.com\"").contains("https://"));
        assert!(wrong("url = \"http://127.0.0.1.example.com/\"").contains("https://"), "a name that begins alike");
        assert!(wrong("url = \"http://127.0.0.1:x@localhost/\"").contains("password"), "what follows the @ counts");
        assert!(wrong("url = \"https://x:99999\"").contains("cannot be read"));
        let mistyped = wrong("url = \"https://x\"\non = [\"relaesed\"]");
        assert!(mistyped.starts_with("line 3: ") && mistyped.contains("relaesed"), "{mistyped}");
        assert!(wrong("url = \"https://x\"\nsecret = \"whsec_c2hvcnQ=\"").contains("openssl rand"));
        assert!(wrong(&format!("url = \"https://x\"\nform = \"slack\"\nsecret = \"{SECRET}\"")).contains("Slack"));
        assert!(Hooks::parse("[hooks.\"../x\"]\nurl = \"https://x\"").unwrap_err().contains("small letters"));
        assert!(wrong("url = \"https://x\"\nsecrets = 1").contains("secrets"));
        assert!(wrong("url = \"https://x\"").contains("no secret to sign with"));
    }
}
