//! The closed list of what people, robots and targets sign: in-toto statements (Statement v1), one predicate type each.
//!
//! A statement names the estate, exactly one subject by full digest, the id of the request it is submitted under and
//! until when it may be submitted. It is built by the client that signs it; no bytes from a server are ever signed.
//! Every write by anyone is one of these, in an [`Envelope`].

mod administration;
mod target;

pub use administration::{Administration, AdministrationAct};
pub use target::{
    Carried, Enrolment, Facts, Finding, FindingKind, Health, Inventory, Outcome, Phase, PhaseTiming, Report, Unwell,
};

use crate::{
    digest::Digest,
    dsse::{Envelope, PAYLOAD_TYPE},
    freeze::Freeze,
    json::{self, JsonError},
    key::{SignError, Signer},
    names::{AppName, AudienceName, DraftName, PartName, PersonName, TargetName, printable},
    quorum::Rule,
    rollout::RolloutTerms,
    schedule::Schedule,
    version::Version,
    way::Way,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_PREFIX: &str = "https://sortie.dev/";
/// The longest statement that is read, in bytes.
pub const MAX_STATEMENT_BYTES: usize = 256 << 10;

/// How far ahead of a server's clock a statement's `submit_before` may lie, in seconds: one day.
pub const SUBMIT_AHEAD_SECONDS: i64 = 86_400;

/// One signed claim or act.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What it is about, for people: `web#3fa9c1`. Never trusted; the digest is.
    pub subject_name: String,
    /// What it is about.
    pub subject: Digest,
    /// Where, when and for whom.
    pub header: Header,
    /// What is claimed or done.
    pub act: Act,
}

/// What every statement says besides its act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The estate: the digest of its root 1. A statement counts in no other.
    pub estate: Digest,
    /// The id under which it is submitted; the same id with the same bytes is answered once.
    pub request_id: RequestId,
    /// Until when it may be submitted.
    pub submit_before: Timestamp,
    /// For whom the signer acts, where that is somebody else (R56): a reference to a text ([`crate::text`]), or the
    /// name itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

/// A request's id: 1 to 64 printable characters without white space, a UUID version 7 unless the client says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(String);

impl RequestId {
    /// Validates `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, StatementError> {
        let text = text.into();
        if text.is_empty() || text.len() > 64 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(StatementError::Field("a request id has 1 to 64 printable characters".into()));
        }
        Ok(Self(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RequestId {
    type Error = StatementError;
    fn try_from(text: String) -> Result<Self, StatementError> {
        Self::new(text)
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> String {
        id.0
    }
}

macro_rules! acts {
    ($($(#[$doc:meta])* $variant:ident = $kind:literal),* $(,)?) => {
        /// The closed list of acts. The subject of each is named in its documentation.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Act {
            $($(#[$doc])* $variant($variant),)*
        }

        impl Act {
            /// The last part of the predicate type: `push` of `https://sortie.dev/push/v1`.
            pub fn kind(&self) -> &'static str {
                match self { $(Act::$variant(_) => $kind,)* }
            }

            /// All kinds there are.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            fn predicate(&self) -> Result<Value, serde_json::Error> {
                match self { $(Act::$variant(act) => serde_json::to_value(act),)* }
            }

            fn read(kind: &str, predicate: Value) -> Result<Self, StatementError> {
                match kind {
                    $($kind => Ok(Act::$variant(serde_json::from_value(predicate).map_err(StatementError::shape)?)),)*
                    _ => Err(StatementError::Kind(printable(kind))),
                }
            }
        }
    };
}

acts! {
    /// Subject: the build.
    Push = "push",
    /// Subject: the part's manifest.
    Part = "part",
    /// Subject: the build.
    Number = "number",
    /// Subject: the build.
    Evidence = "evidence",
    /// Subject: the build.
    Import = "import",
    /// Subject: the build.
    Request = "request",
    /// Subject: the request's payload.
    Approval = "approval",
    /// Subject: the request's payload.
    Review = "review",
    /// Subject: the build.
    Withdrawal = "withdrawal",
    /// Subject: the build it brings, or acts on.
    Order = "order",
    /// Subject: the config document.
    Config = "config",
    /// Subject: the estate, the freeze that is lifted, or the build that is excepted.
    Freeze = "freeze",
    /// Subject: the estate.
    Session = "session",
    /// Subject: the estate.
    Enrolment = "enrolment",
    /// Subject: the build acted on.
    Report = "report",
    /// Subject: the estate.
    Inventory = "inventory",
    /// Subject: the estate.
    Health = "health",
    /// Subject: the receipt's document.
    Receipt = "receipt",
    /// Subject: the estate.
    Administration = "administration",
}

/// These bytes are a build of this application, made from this commit by this recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// The application.
    pub app: AppName,
    /// The checkpoint in version control it was made from (R19).
    pub commit: Option<Commit>,
    /// The command that makes the files from the commit (R20).
    pub recipe: Option<String>,
    /// Who pushed the parts that it was put together from, where several jobs did: authors of it like its pusher.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub makers: Vec<PersonName>,
}

/// These bytes are one job's part of a build that several make: a manifest with the files of this job alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The application.
    pub app: AppName,
    /// The build under way that it is added to.
    pub draft: DraftName,
    /// Which part it is.
    pub part: PartName,
    /// The checkpoint in version control it was made from; the same for all parts.
    pub commit: Option<Commit>,
}

/// A checkpoint in version control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// The full commit id, 40 or 64 hexadecimal digits.
    pub id: String,
    /// The tag that pointed at it when it was pushed.
    pub tag: Option<String>,
    /// The first line of its message: a reference to a text ([`crate::text`]), or the line itself.
    pub title: String,
}

/// This build has this number, for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The application.
    pub app: AppName,
    /// The number.
    pub version: Version,
}

/// Something was found out about this build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The application.
    pub app: AppName,
    /// Its type: `test-result`, `scan`, `sbom`, `provenance` or an organisation's own word.
    pub kind: String,
    /// Whether what it says is good.
    pub passed: bool,
    /// What it says, in a line: `812/812`.
    pub summary: String,
    /// The document itself, in the depot.
    pub document: Digest,
    /// The predicate type of the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
    /// The whole numbers in it, by their place: `failed`, `summary.critical`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, i64>,
    /// When it was issued, by the issuer's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Timestamp>,
}

/// A vendor's release is brought in. Whoever brings it vouches for nothing: see [`crate::vendor`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// The application.
    pub app: AppName,
    /// The number that the vendor gave.
    pub version: Version,
    /// The vendor's documents and statements, in the depot.
    pub document: Digest,
}

/// A wish that a version be released to an audience.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The application.
    pub app: AppName,
    /// The version.
    pub version: Version,
    /// To whom.
    pub audience: AudienceName,
    /// By which way.
    pub way: Way,
    /// The charter the requester saw.
    pub charter_version: u64,
    /// The rule of that charter: what the requester asks approvals for.
    pub requires: Rule,
    /// Counts the requests for this version to this audience, from 1.
    pub serial: u64,
    /// From when the permit holds.
    pub not_before: Timestamp,
    /// Until when it may be activated; what runs then goes on running.
    pub not_after: Timestamp,
    /// The lowest version the audience may still activate once this is granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Version>,
    /// The salted digest of why it is asked for, which stands in the side table. An emergency always has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Digest>,
}

/// One person's yes to one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The application, repeated for people.
    pub app: AppName,
    /// The version, repeated for people.
    pub version: Version,
    /// The audience, repeated for people.
    pub audience: AudienceName,
}

/// Somebody who had no part in an emergency release has looked at it, and says what they found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The application, repeated for people.
    pub app: AppName,
    /// The version, repeated for people.
    pub version: Version,
    /// The audience, repeated for people.
    pub audience: AudienceName,
    /// The salted digest of what was found, which stands in the side table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Digest>,
}

/// Permission is taken back: requests up to a serial are dead for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// The application.
    pub app: AppName,
    /// The version.
    pub version: Version,
    /// From whom.
    pub audience: AudienceName,
    /// The last serial that dies.
    pub through_serial: u64,
    /// The salted digest of the reason, which stands in the side table.
    pub reason: Option<Digest>,
}

/// A deployer's order for an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The application.
    pub app: AppName,
    /// Where.
    pub environment: AudienceName,
    /// What is to be done.
    pub act: OrderAct,
    /// The version, where a released one is meant; absent for an unreleased build.
    pub version: Option<Version>,
    /// These targets only; empty means all that the application is for.
    #[serde(default)]
    pub only: BTreeSet<TargetName>,
    /// Whether it may stand and wait for the permit.
    #[serde(default)]
    pub when_released: bool,
    /// How it goes over the targets, where that is to be otherwise than the charter says.
    #[serde(default, skip_serializing_if = "RolloutTerms::is_empty")]
    pub rollout: RolloutTerms,
    /// When it is to be carried out.
    #[serde(default, skip_serializing_if = "Schedule::is_any_time")]
    pub schedule: Schedule,
    /// The deployment whose targets, those in `only`, are to try again; nothing where it orders another one. An order is
    /// carried out once, so that trying again takes another order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
    /// The salted digest of why they are to try again, which stands in the side table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Digest>,
    /// Whether the data stays as later migrations left it, where the subject is from before them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_data: bool,
    /// The plan that whoever orders it has seen, by its id: it is refused where it would do anything else by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Digest>,
    /// Whether it may stand until what is under way there has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_current: bool,
}

impl Order {
    /// An order that says nothing but what is to be done, of what, and where: on all targets, now, as the charter says.
    pub fn new(app: AppName, environment: AudienceName, act: OrderAct) -> Self {
        Self {
            app,
            environment,
            act,
            version: None,
            only: BTreeSet::new(),
            when_released: false,
            rollout: RolloutTerms::default(),
            schedule: Schedule::default(),
            retries: None,
            reason: None,
            keep_data: false,
            plan: None,
            after_current: false,
        }
    }

    /// Whether it may stand and wait, rather than be refused while it cannot begin.
    pub fn may_stand(&self) -> bool {
        self.when_released || self.after_current || self.schedule.at.is_some()
    }
}

/// What an order wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderAct {
    /// Install, configure, activate and verify the subject.
    Deploy,
    /// Deploy again what was superseded, or has failed.
    Redeploy,
    /// Go back to the subject, which last settled here.
    Rollback,
    /// Give what runs its newest config, and nothing else.
    Configure,
    /// Remove the application.
    Undeploy,
    /// Stop what runs.
    Stop,
    /// Start what was stopped.
    Start,
    /// Stop and start what runs.
    Restart,
    /// Let the subject, which stands by on one side of the environment, serve, and let what serves stand by.
    Switch,
}

impl OrderAct {
    /// The word by which people order it, and read of it: `undeploy`.
    pub fn word(self) -> &'static str {
        match self {
            OrderAct::Deploy => "deploy",
            OrderAct::Redeploy => "redeploy",
            OrderAct::Rollback => "rollback",
            OrderAct::Configure => "configure",
            OrderAct::Undeploy => "undeploy",
            OrderAct::Stop => "stop",
            OrderAct::Start => "start",
            OrderAct::Restart => "restart",
            OrderAct::Switch => "switch",
        }
    }

    /// Whether targets are to run the build that it names, and fetch it where they do not have it.
    pub fn installs(self) -> bool {
        self.deploys() || self == OrderAct::Rollback
    }

    /// Whether it brings a build forward: every reason to keep that build out applies, as it does not to going back.
    pub fn deploys(self) -> bool {
        matches!(self, OrderAct::Deploy | OrderAct::Redeploy)
    }

    /// Whether it has processes stopped or run of what an earlier deployment brought, which goes back with that all the same.
    pub fn controls(self) -> bool {
        matches!(self, OrderAct::Stop | OrderAct::Start | OrderAct::Restart)
    }
}

/// These config values hold for an application in an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The application.
    pub app: AppName,
    /// Where.
    pub environment: AudienceName,
    /// Counts the sets for this pair, from 1; an agent takes none older than it has.
    pub serial: u64,
    /// The keys that the document sets and whether each is a secret; the values stay out of the ledger.
    pub keys: BTreeMap<String, bool>,
    /// For whom the secrets were encrypted.
    pub recipients: BTreeSet<TargetName>,
}

/// I am at this server now: the statement that logs a person or a target in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The pin of the server's TLS key, so that no other server can use the statement.
    pub server: Digest,
}

/// This is what a target behind an air gap did with bundles: see [`crate::receipt`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The target.
    pub target: TargetName,
}

/// Why bytes are not an acceptable statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Longer than [`MAX_STATEMENT_BYTES`].
    #[error("the statement has {0} bytes, more than the {MAX_STATEMENT_BYTES} allowed")]
    TooLarge(usize),
    /// Another payload type than in-toto's.
    #[error("the payload is of type '{0}', not {PAYLOAD_TYPE}")]
    PayloadType(String),
    /// A predicate type that is not on the list.
    #[error("'{0}' is not a kind of statement Sortie knows")]
    Kind(String),
    /// A field with a value that cannot be.
    #[error("{0}")]
    Field(String),
}

impl StatementError {
    fn shape(error: serde_json::Error) -> Self {
        StatementError::Field(printable(&error.to_string()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStatement {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<RawSubject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSubject {
    name: String,
    digest: BTreeMap<String, String>,
}

impl Statement {
    /// The payload's bytes, to be signed.
    pub fn to_payload(&self) -> Result<Vec<u8>, StatementError> {
        let object = |value: Result<Value, serde_json::Error>| match value {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err(StatementError::Field("a predicate is an object".into())),
            Err(error) => Err(StatementError::shape(error)),
        };
        let mut predicate = object(serde_json::to_value(&self.header))?;
        predicate.extend(object(self.act.predicate())?);
        let raw = RawStatement {
            statement_type: STATEMENT_TYPE.into(),
            subject: vec![RawSubject {
                name: self.subject_name.clone(),
                digest: BTreeMap::from([("sha256".into(), self.subject.hex())]),
            }],
            predicate_type: format!("{PREDICATE_PREFIX}{}/v1", self.act.kind()),
            predicate,
        };
        Ok(json::sorted(&raw)?)
    }

    /// Signs the statement with one or more signers, in order.
    pub fn sign(&self, signers: &[&dyn Signer]) -> Result<Envelope, StatementSignError> {
        let payload = self.to_payload()?;
        let (first, others) = signers.split_first().ok_or(SignError("no signer".into()))?;
        let mut envelope = Envelope::sign(payload, *first)?;
        for signer in others {
            let more = Envelope::sign(envelope.payload.clone(), *signer)?;
            envelope.signatures.extend(more.signatures);
        }
        Ok(envelope)
    }

    /// Reads an envelope's payload. Says nothing yet about its signatures.
    pub fn read(envelope: &Envelope) -> Result<Self, StatementError> {
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(StatementError::PayloadType(printable(&envelope.payload_type)));
        }
        Self::from_payload(&envelope.payload)
    }

    /// Reads payload bytes.
    pub fn from_payload(payload: &[u8]) -> Result<Self, StatementError> {
        if payload.len() > MAX_STATEMENT_BYTES {
            return Err(StatementError::TooLarge(payload.len()));
        }
        let raw: RawStatement = json::from_strict(payload)?;
        if raw.statement_type != STATEMENT_TYPE {
            return Err(StatementError::Field(format!("_type is not {STATEMENT_TYPE}")));
        }
        let [subject] = raw.subject.as_slice() else {
            return Err(StatementError::Field("a statement has exactly one subject".into()));
        };
        let digest = match (subject.digest.len(), subject.digest.get("sha256")) {
            (1, Some(hex)) => Digest::from_hex(hex).map_err(|e| StatementError::Field(e.to_string()))?,
            _ => return Err(StatementError::Field("the subject is named by its sha256, and by nothing else".into())),
        };
        let kind = raw
            .predicate_type
            .strip_prefix(PREDICATE_PREFIX)
            .and_then(|rest| rest.strip_suffix("/v1"))
            .ok_or_else(|| StatementError::Kind(printable(&raw.predicate_type)))?;
        let mut predicate = raw.predicate;
        let mut header = Map::new();
        for field in ["estate", "request_id", "submit_before", "on_behalf_of"] {
            if let Some(value) = predicate.remove(field) {
                header.insert(field.into(), value);
            }
        }
        Ok(Self {
            subject_name: printable(&subject.name),
            subject: digest,
            header: serde_json::from_value(header.into()).map_err(StatementError::shape)?,
            act: Act::read(kind, predicate.into())?,
        })
    }
}

/// A statement that could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum StatementSignError {
    /// It cannot be written down.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    fn statement() -> Statement {
        Statement {
            subject_name: "web#3fa9c1".into(),
            subject: Digest::of(b"manifest"),
            header: Header {
                estate: Digest::of(b"root"),
                request_id: RequestId::new("1").unwrap(),
                submit_before: "2026-11-22T10:00:00Z".parse().unwrap(),
                on_behalf_of: None,
            },
            act: Act::Number(Number { app: AppName::new("web").unwrap(), version: "1.0.0".parse().unwrap() }),
        }
    }

    #[test]
    fn what_is_signed_reads_back_the_same() {
        let envelope = statement().sign(&[&SecretKey::from_seed(&[1; 32])]).unwrap();
        assert_eq!(Statement::read(&envelope).unwrap(), statement());
        let text = String::from_utf8(envelope.payload).unwrap();
        assert!(text.contains(r#""predicateType":"https://sortie.dev/number/v1""#), "{text}");
    }

    #[test]
    fn anything_but_the_exact_shape_is_refused() {
        let good = String::from_utf8(statement().to_payload().unwrap()).unwrap();
        let replaced = [
            ("/number/v1", "/permit/v1"),
            (r#""version":"1.0.0""#, r#""version":"1.0.0","extra":1"#),
            (r#""version":"1.0.0""#, r#""version":"1.0.0","version":"1.0.1""#),
            (r#""sha256""#, r#""sha512""#),
            ("Statement/v1", "Statement/v0"),
            (r#""app":"web""#, r#""app":"../web""#),
        ];
        assert!(Statement::from_payload(good.as_bytes()).is_ok());
        for (from, to) in replaced {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(Statement::from_payload(bad.as_bytes()).is_err(), "{bad} was taken");
        }
    }
}
