//! How it is found out that a build is well: the checks that its manifest lists, which are signed with it.
//!
//! A process has a `health`, which is asked of each of its copies. A build has named verifications, which are asked once
//! every copy is healthy, and a smoke test, which runs once after those.

use super::{HealthCheck::*, ManifestError, Run};
use crate::names::printable;
use serde::{Deserialize, Serialize};

/// The longest text that an answer must contain, or pattern of a log, in bytes.
const MAX_PATTERN_BYTES: usize = 1024;
/// The longest address or query of a measurement, in bytes.
const MAX_QUERY_BYTES: usize = 8192;
/// How often what is watched is asked again, in seconds, unless the build says otherwise.
pub const WATCH_SECONDS: u32 = 30;
/// The longest time for anything here, in seconds: a day.
const MOST_SECONDS: u32 = 86_400;

/// A check and how long it may take. It must answer well within `within_seconds` of the start, `consecutive` times in a
/// row, asked of one and the same process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// What is asked.
    pub check: HealthCheck,
    /// How long after the start it may take to become well.
    pub within_seconds: u32,
    /// How many good answers in a row make it well.
    pub consecutive: u32,
    /// How long to wait between two questions; absent means: eagerly at first, then twice a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_seconds: Option<u32>,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheck {
    /// GET a path on 127.0.0.1 and the copy's port.
    Http(HttpCheck),
    /// Connect to 127.0.0.1 and the copy's port.
    Tcp,
    /// Run this program in the working folder with the process's environment: exit 0 is well.
    Command(Vec<String>),
    /// Look for this pattern in what the running process has written since it started; `*` stands for anything.
    Log(String),
    /// Ask a Prometheus server. Only a build's verifications may.
    Prometheus(Prometheus),
}

/// A request over HTTP and what its answer must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "HttpForm", into = "HttpForm")]
pub struct HttpCheck {
    /// What is asked for, beginning with `/`.
    pub path: String,
    /// The status that is well; absent means any from 200 to 399.
    pub status: Option<u16>,
    /// What the answer's body must contain.
    pub contains: Option<String>,
}

impl From<&str> for HttpCheck {
    fn from(path: &str) -> Self {
        Self { path: path.into(), status: None, contains: None }
    }
}

/// How a request stands in a manifest: the path alone where nothing else is said of it, as manifests of before have it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum HttpForm {
    Path(String),
    Whole(HttpWhole),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpWhole {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contains: Option<String>,
}

impl From<HttpForm> for HttpCheck {
    fn from(form: HttpForm) -> Self {
        match form {
            HttpForm::Path(path) => Self { path, status: None, contains: None },
            HttpForm::Whole(HttpWhole { path, status, contains }) => Self { path, status, contains },
        }
    }
}

impl From<HttpCheck> for HttpForm {
    fn from(HttpCheck { path, status, contains }: HttpCheck) -> Self {
        match (status, contains) {
            (None, None) => HttpForm::Path(path),
            (status, contains) => HttpForm::Whole(HttpWhole { path, status, contains }),
        }
    }
}

/// A measurement that a Prometheus server makes, and how it is judged. Every series of the answer is judged; one that
/// is neither well nor bad, an empty answer and a server that does not answer are inconclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prometheus {
    /// The server's address, below which `/api/v1/query` lies; `$NAME` is replaced, so that config may fill it.
    pub url: String,
    /// The query (PromQL); `$NAME` is replaced.
    pub query: String,
    /// What is well; absent means: whatever is no failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Threshold>,
    /// What is bad, and fails at once; absent means: what is not well is asked again until time is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Threshold>,
    /// What follows when time is up and nothing was measured that decides.
    pub inconclusive: Inconclusive,
}

/// A comparison with a number: `< 0.01`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Threshold(String);

/// A text that is no [`Threshold`].
#[derive(Debug, thiserror::Error)]
#[error("a threshold is a comparison with a number, as \"< 0.01\" or \">= 5\"")]
pub struct ThresholdError;

impl TryFrom<String> for Threshold {
    type Error = ThresholdError;

    fn try_from(text: String) -> Result<Self, ThresholdError> {
        let threshold = Self(text);
        threshold.parts().map(|_| ()).ok_or(ThresholdError)?;
        Ok(threshold)
    }
}

impl From<Threshold> for String {
    fn from(threshold: Threshold) -> String {
        threshold.0
    }
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Threshold {
    /// Whether there is a value on this side of it that is on that side of `other` too.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (Some((_, one)), Some((_, two))) = (self.parts(), other.parts()) else { return false };
        // Both are the same everywhere between two of these.
        let (least, most) = (one.min(two), one.max(two));
        let values = [least - 1.0 - least.abs(), least, least / 2.0 + most / 2.0, most, most + 1.0 + most.abs()];
        values.into_iter().any(|value| self.is_met(value) && other.is_met(value))
    }

    fn parts(&self) -> Option<(&str, f64)> {
        let text = self.0.trim();
        let comparison = ["<=", ">=", "==", "!=", "<", ">"].into_iter().find(|sign| text.starts_with(sign))?;
        let number: f64 = text[comparison.len()..].trim().parse().ok()?;
        number.is_finite().then_some((comparison, number))
    }

    /// Whether `value` is on this side of it. What is no number is on no side.
    pub fn is_met(&self, value: f64) -> bool {
        let Some((comparison, number)) = self.parts() else { return false };
        match comparison {
            "<=" => value <= number,
            ">=" => value >= number,
            "<" => value < number,
            ">" => value > number,
            "==" => value == number,
            _ => !value.is_nan() && value != number,
        }
    }
}

/// What follows from a measurement that decides nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inconclusive {
    /// The build counts as verified in this.
    Continue,
    /// It counts as failed.
    #[default]
    Undo,
    /// It does not count as verified, and people shall look.
    Pause,
}

/// One more thing that is asked of a build once every copy is healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// Of which process's copies; absent means the only process there is, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The port that is asked, where it is not the copies' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What is asked, and for how long.
    pub check: Health,
    /// How often it is asked again as long as the build has not settled, in seconds; 0 means never. Absent means: what is
    /// measured every [`WATCH_SECONDS`], anything else never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_seconds: Option<u32>,
}

impl Verification {
    /// How often it is asked again as long as the build has not settled, in seconds.
    pub fn watched_seconds(&self) -> Option<u32> {
        let usually = matches!(self.check.check, Prometheus(_)).then_some(WATCH_SECONDS);
        self.watch_seconds.or(usually).filter(|seconds| *seconds > 0)
    }
}

/// A program that runs once, as the build's user, in its folder: exit 0 is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smoke {
    /// The program and its arguments.
    pub run: Vec<String>,
    /// Whose environment it gets, that of the first copy (`$PORT` included); absent means the only process there is, or
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// How long it may take.
    pub within_seconds: u32,
}

/// What changes an application's data, once a deployment, on one target, before any of its processes changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migrate {
    /// The program and its arguments: exit 0 means that the data is as this build wants it.
    pub run: Vec<String>,
    /// What takes it back; absent means that the data stays as it is when an earlier build returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Vec<String>>,
    /// Whose environment it gets, as for [`Smoke`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// How long each of the two may take.
    pub within_seconds: u32,
}

impl Run {
    /// The longest that bringing this build may take on one target by what it says itself, in seconds, besides the time
    /// that any build may take.
    pub fn takes_seconds(&self) -> u32 {
        let health = self.processes.values().filter_map(|process| Some(process.health.as_ref()?.within_seconds));
        let copies = self.processes.values().map(|process| process.copies.saturating_mul(process.stop_seconds));
        let stops = copies.fold(0, u32::saturating_add);
        let drains: u32 = self.traffic.as_ref().map_or(0, |traffic| {
            let copies: u32 = self.processes.values().map(|process| process.copies).sum();
            copies.saturating_mul(traffic.drain_seconds)
        });
        let verifications = self.verify.values().map(|verification| verification.check.within_seconds);
        let tasks = self.smoke.iter().map(|smoke| smoke.within_seconds);
        let tasks = tasks.chain(self.migrate.iter().map(|migrate| migrate.within_seconds));
        // Copies of one process become healthy one after the other, all verifications are asked at the same time.
        let healthy = health.max().unwrap_or(0);
        [healthy, stops, drains, verifications.max().unwrap_or(0)].into_iter().chain(tasks).fold(0, u32::saturating_add)
    }

    /// The process that is meant where `named` stands: the named one, or the only one.
    pub fn process_meant<'a>(&'a self, named: Option<&'a str>) -> Option<(&'a str, &'a super::Process)> {
        match (named, self.processes.len()) {
            (Some(name), _) => self.processes.get_key_value(name).map(|(name, process)| (name.as_str(), process)),
            (None, 1) => self.processes.iter().next().map(|(name, process)| (name.as_str(), process)),
            (None, _) => None,
        }
    }

    /// Checks what the types of this module do not carry.
    pub(super) fn validate_checks(&self) -> Result<(), ManifestError> {
        for (name, process) in &self.processes {
            let Some(health) = &process.health else { continue };
            let said = format!("process {name}");
            check_health(&said, health)?;
            if matches!(health.check, Prometheus(_)) {
                return Err(wrong(format!("{said}: prometheus measures the whole build; put it under [verify.NAME]")));
            }
            if health.check.asks_a_port() && !process.wants_port(&self.environment) {
                return Err(wrong(format!(
                    "process {name} has a health check on a port but no port: use $PORT in run, or port = N"
                )));
            }
        }
        for (name, verification) in &self.verify {
            self.validate_verification(name, verification)?;
        }
        if let Some(smoke) = &self.smoke {
            self.validate_task("smoke", &smoke.run, smoke.process.as_deref(), smoke.within_seconds)?;
        }
        let Some(migrate) = &self.migrate else { return Ok(()) };
        for run in std::iter::once(&migrate.run).chain(&migrate.undo) {
            self.validate_task("migrate", run, migrate.process.as_deref(), migrate.within_seconds)?;
        }
        Ok(())
    }

    fn validate_verification(&self, name: &str, verification: &Verification) -> Result<(), ManifestError> {
        let said = format!("verify {name}");
        if crate::names::AppName::new(name).is_err() {
            let shown = printable(name);
            return Err(wrong(format!(
                "'{shown}' cannot name a verification: use lower-case letters, digits and hyphens"
            )));
        }
        check_health(&said, &verification.check)?;
        match verification.watch_seconds {
            Some(_) if matches!(verification.check.check, Log(_)) => {
                return Err(wrong(format!(
                    "{said} cannot be watched: what was once written to a log says nothing of how it is later"
                )));
            }
            Some(seconds) if seconds > MOST_SECONDS => check_seconds(&said, seconds)?,
            _ => {}
        }
        self.check_process_named(&said, verification.process.as_deref())?;
        let meant = self.process_meant(verification.process.as_deref());
        let check = &verification.check.check;
        let needs_process = matches!(check, Log(_)) || check.asks_a_port() && verification.port.is_none();
        match meant {
            None if needs_process => {
                Err(wrong(format!("{said} must say which process it asks: process = \"NAME\"{}", or_port(check))))
            }
            Some((process, found)) if check.asks_a_port() && verification.port.is_none() => {
                match found.wants_port(&self.environment) {
                    true => Ok(()),
                    false => Err(wrong(format!("{said} asks a port, and process {process} has none"))),
                }
            }
            _ => Ok(()),
        }
    }

    fn validate_task(
        &self,
        said: &str,
        run: &[String],
        process: Option<&str>,
        within_seconds: u32,
    ) -> Result<(), ManifestError> {
        if run.first().is_none_or(String::is_empty) {
            return Err(wrong(format!("{said} has nothing to run")));
        }
        // Its output is kept beside the processes', under this name.
        if self.processes.contains_key(said) {
            return Err(wrong(format!("a process cannot be called {said} where there is a [{said}]")));
        }
        check_seconds(said, within_seconds)?;
        self.check_process_named(said, process)
    }

    fn check_process_named(&self, said: &str, process: Option<&str>) -> Result<(), ManifestError> {
        match process {
            Some(name) if !self.processes.contains_key(name) => {
                Err(wrong(format!("{said} names the process '{}', which there is not", printable(name))))
            }
            _ => Ok(()),
        }
    }
}

impl HealthCheck {
    /// Whether it needs a port to ask.
    pub fn asks_a_port(&self) -> bool {
        matches!(self, Http(_) | Tcp)
    }
}

fn wrong(text: String) -> ManifestError {
    ManifestError::Run(text)
}

fn or_port(check: &HealthCheck) -> &'static str {
    if check.asks_a_port() { ", or which port: port = N" } else { "" }
}

fn check_seconds(said: &str, seconds: u32) -> Result<(), ManifestError> {
    if (1..=MOST_SECONDS).contains(&seconds) {
        return Ok(());
    }
    Err(wrong(format!("{said}: a time here is from 1 second to a day")))
}

/// What manifests of before could not say is checked strictly; what they could say stays as readable as it was.
fn check_health(said: &str, health: &Health) -> Result<(), ManifestError> {
    if let Some(every) = health.every_seconds {
        check_seconds(said, every)?;
    }
    let text = |what: &str, text: &str, most: usize| {
        let fits = !text.is_empty() && text.len() <= most && !text.contains('\0');
        fits.then_some(())
            .ok_or_else(|| wrong(format!("{said}: {what} must have 1 to {most} bytes, none of them zero")))
    };
    match &health.check {
        Http(http) => {
            if http.status.is_some_and(|status| !(100..=599).contains(&status)) {
                return Err(wrong(format!("{said}: a status is from 100 to 599")));
            }
            http.contains.as_deref().map_or(Ok(()), |contains| text("contains", contains, MAX_PATTERN_BYTES))
        }
        Tcp => Ok(()),
        Command(run) if run.first().is_none_or(String::is_empty) => {
            Err(wrong(format!("{said}: the command has nothing to run")))
        }
        Command(_) => Ok(()),
        Log(pattern) => text("log", pattern, MAX_PATTERN_BYTES),
        Prometheus(measured) => {
            text("prometheus", &measured.url, MAX_QUERY_BYTES)?;
            text("query", &measured.query, MAX_QUERY_BYTES)?;
            match (&measured.success, &measured.failure) {
                (None, None) => Err(wrong(format!("{said} needs success or failure, as success = \"< 0.01\""))),
                _ => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn threshold(text: &str) -> Threshold {
        Threshold::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn thresholds_compare() {
        assert!(threshold("< 0.01").is_met(0.0) && !threshold("<0.01").is_met(0.01));
        assert!(threshold("<= 1").is_met(1.0) && threshold(">= 1").is_met(1.0) && threshold("> -1").is_met(0.0));
        assert!(threshold("== 2").is_met(2.0) && threshold("!= 2").is_met(3.0));
        for sign in ["<", "<=", ">", ">=", "==", "!="] {
            assert!(!threshold(&format!("{sign} 0")).is_met(f64::NAN), "{sign}");
        }
        for bad in ["", "<", "0.01", "=< 1", "< one", "< NaN", "> inf", "<> 1"] {
            assert!(Threshold::try_from(bad.to_owned()).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn two_thresholds_overlap_where_one_value_meets_both() {
        let overlap = |one: &str, two: &str| {
            let both = (threshold(one).overlaps(&threshold(two)), threshold(two).overlaps(&threshold(one)));
            assert_eq!(both.0, both.1, "{one} and {two}, either way round");
            both.0
        };
        for (one, two) in [
            ("< 0.01", "> 0.05"),
            ("< 1", ">= 1"),
            ("< 1", "> 1"),
            ("== 2", "!= 2"),
            ("== 2", "> 2"),
            ("<= -1", "> -1"),
        ] {
            assert!(!overlap(one, two), "{one} and {two}");
        }
        for (one, two) in [
            ("< 0.05", "> 0.01"),
            ("<= 1", ">= 1"),
            ("> 1", "> 5"),
            ("!= 2", "!= 3"),
            ("!= 2", "> 2"),
            ("== 2", "< 3"),
            ("< 2", "< 1"),
            ("> 0", "!= 0"),
        ] {
            assert!(overlap(one, two), "{one} and {two}");
        }
    }

    /// A build's digest is of its manifest: what manifests could say before reads and is written as it always was.
    #[test]
    fn what_manifests_of_before_say_is_written_as_it_was() {
        let before = br#"{"check":{"http":"/healthz"},"consecutive":1,"within_seconds":30}"#;
        let health: Health = json::from_strict(before).unwrap();
        assert_eq!(health.check, Http("/healthz".into()));
        assert_eq!(json::sorted(&health).unwrap(), before);
        let run = json::sorted(&Run::default()).unwrap();
        let fields = r#"{"config":{},"data":[],"environment":{},"needs":{"arch":null,"disk_bytes":null,"memory_bytes":null,"os":null},"on":{},"processes":{},"user":null}"#;
        assert_eq!(String::from_utf8(run).unwrap(), fields);
    }

    #[test]
    fn what_is_said_of_a_request_is_kept() {
        let http = HttpCheck { path: "/".into(), status: Some(204), contains: Some("well".into()) };
        let health = Health { check: Http(http), within_seconds: 1, consecutive: 3, every_seconds: Some(2) };
        let bytes = json::sorted(&health).unwrap();
        assert_eq!(json::from_strict::<Health>(&bytes).unwrap(), health);
        let unknown = br#"{"check":{"http":{"path":"/","stauts":200}},"consecutive":1,"within_seconds":30}"#;
        assert!(json::from_strict::<Health>(unknown).is_err());
    }
}
