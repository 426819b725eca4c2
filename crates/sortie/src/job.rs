//! Signing in a CI job that has no key of its own: a key is made for this run alone, and the job's issuer says by a
//! short-lived token whose it is (see [`trust::oidc`]).
//!
//! Tokens come from GitHub Actions' own address where the job may ask there (`permissions: id-token: write`), or from any
//! command that prints one: `SORTIE_OIDC_COMMAND='buildkite-agent oidc request-token --audience "$AUDIENCE"'`.

use crate::{failure::Failure, signer::Identity};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::{process::Command, sync::Mutex, thread, time::Duration};
use trust::{
    key::{PublicKey, SecretKey, SignError, Signer},
    names::printable,
    oidc::{self, Proof},
};

/// What an audience begins with, unless `SORTIE_OIDC_AUDIENCE` and the charter say otherwise.
const AUDIENCE: &str = "sortie";
/// A token is used while it holds for at least this long.
const LEFT: SignedDuration = SignedDuration::from_secs(90);

/// The identity that the environment of a job offers, if it offers one.
pub fn identity() -> Result<Option<Identity>, Failure> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let source = match (set("SORTIE_OIDC_COMMAND"), set("ACTIONS_ID_TOKEN_REQUEST_URL")) {
        (Some(command), _) => Source::Command(command),
        (None, Some(url)) => Source::GitHub { url, bearer: set("ACTIONS_ID_TOKEN_REQUEST_TOKEN").unwrap_or_default() },
        (None, None) => return Ok(None),
    };
    let secret = SecretKey::generate().map_err(|error| Failure::failed(error.to_string()))?;
    let label = match &source {
        Source::Command(_) => "a key of this job (SORTIE_OIDC_COMMAND)",
        Source::GitHub { .. } => "a key of this job (GitHub Actions)",
    };
    let audience = oidc::audience_for(&set("SORTIE_OIDC_AUDIENCE").unwrap_or(AUDIENCE.into()), &secret.public());
    let key = JobKey { secret, audience, source, token: Mutex::new(None) };
    Ok(Some(Identity { signer: Box::new(key), label: label.into() }))
}

/// Where tokens come from.
#[derive(Clone)]
enum Source {
    /// A command of the shell that prints one, for the audience in `$AUDIENCE`.
    Command(String),
    /// GitHub Actions.
    GitHub { url: String, bearer: String },
}

/// A key that lives as long as this run.
struct JobKey {
    secret: SecretKey,
    audience: String,
    source: Source,
    token: Mutex<Option<String>>,
}

impl Signer for JobKey {
    fn public(&self) -> PublicKey {
        self.secret.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.secret.sign(message)
    }

    fn proof(&self) -> Result<Option<Proof>, SignError> {
        let mut kept = self.token.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let soon = Timestamp::now().checked_add(LEFT).unwrap_or(Timestamp::MAX);
        let holds = |token: &String| oidc::holds_until(token).is_ok_and(|until| until > soon);
        let token = match kept.take().filter(holds) {
            Some(token) => token,
            None => self.source.fetch(&self.audience)?,
        };
        *kept = Some(token.clone());
        Ok(Some(Proof { key: self.public(), token }))
    }
}

impl Source {
    fn fetch(&self, audience: &str) -> Result<String, SignError> {
        let token = match self {
            Source::Command(command) => by_command(command, audience),
            Source::GitHub { url, bearer } => by_github(url.clone(), bearer.clone(), audience.to_string()),
        }?;
        // What cannot be read is said here, where the source is known.
        oidc::holds_until(&token).map_err(|error| SignError(format!("the issuer's answer: {error}")))?;
        Ok(token)
    }
}

fn by_command(command: &str, audience: &str) -> Result<String, SignError> {
    let failed = |why: String| SignError(format!("SORTIE_OIDC_COMMAND gave no token: {}", printable(&why)));
    let run = Command::new("sh").args(["-c", command]).env("AUDIENCE", audience).output();
    let output = run.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().into()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

/// GitHub's answer to a request for a token.
#[derive(Deserialize)]
struct Answer {
    value: String,
}

/// Asks on a thread of its own: a signer is not asynchronous, and its caller may be.
fn by_github(url: String, bearer: String, audience: String) -> Result<String, SignError> {
    let failed = |why: String| SignError(format!("GitHub Actions gave no token: {}", printable(&why)));
    let ask = move || -> anyhow::Result<String> {
        // Another part of the program may have installed the same provider already.
        let _already_set = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
            let request = client.get(&url).query(&[("audience", audience.as_str())]).bearer_auth(&bearer);
            let answer: Answer = request.send().await?.error_for_status()?.json().await?;
            Ok(answer.value)
        })
    };
    match thread::spawn(ask).join() {
        Ok(token) => token.map_err(|error| failed(format!("{error:#}"))),
        Err(_) => Err(failed("the request broke off".into())),
    }
}
