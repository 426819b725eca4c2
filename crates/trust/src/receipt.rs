//! Receipts: what a target behind an air gap did with bundles, in its own signed words, carried back by a person.
//!
//! The person signs a [`crate::statement::Receipt`] over the digest of the document, so that the ledger says who brought
//! it. What happened is said by the target alone: every report in it bears the target's signature, names the bundle and
//! the order that it came of, and that order is the deployer's own statement. A target that nobody has heard of yet
//! brings its enrolment, signed by the invitation's key and by its own.

use crate::{
    digest::Digest,
    dsse::Envelope,
    json,
    key::PublicKey,
    names::{AudienceName, PersonName, TargetName},
    quorum::Directory,
    statement::{Act, Enrolment, Inventory, Order, Report, Statement},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The only format there is so far.
pub const FORMAT: u32 = 1;
/// The longest receipt, in bytes.
pub const MAX_RECEIPT_BYTES: usize = 8 << 20;
/// The most outcomes in one receipt.
pub const MAX_OUTCOMES: usize = 256;

/// A receipt as a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose it is.
    pub target: TargetName,
    /// How it joined, where it joined without a network.
    pub enrolment: Option<Envelope>,
    /// What it did, oldest first.
    pub outcomes: Vec<SignedOutcome>,
    /// What was found on it last.
    pub inventory: Option<Envelope>,
}

/// What came of one bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedOutcome {
    /// The deployer's order in the bundle.
    pub order: Envelope,
    /// The target's report.
    pub report: Envelope,
}

/// A receipt of which every signature was found genuine.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedReceipt {
    /// Whose it is.
    pub target: TargetName,
    /// How it joined, where it joined without a network.
    pub enrolment: Option<Enrolment>,
    /// Until when the enrolment was to be submitted: it was signed before.
    pub enrolled_before: Option<Timestamp>,
    /// What it did.
    pub outcomes: Vec<Outcome>,
    /// What was found on it last.
    pub inventory: Option<Inventory>,
}

/// One outcome, verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The digest of the report's payload: the outcome's identity.
    pub payload: Digest,
    /// The bundle.
    pub bundle: Digest,
    /// The build.
    pub build: Digest,
    /// The order.
    pub order: Order,
    /// Who signed it, as far as the charter still knows them.
    pub deployer: Option<PersonName>,
    /// The report.
    pub report: Report,
    /// When it ended, by the target's clock.
    pub at: Timestamp,
}

/// Why a receipt does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the receipt is not genuine: {0}")]
pub struct ReceiptError(pub String);

fn wrong<T>(why: impl Into<String>) -> Result<T, ReceiptError> {
    Err(ReceiptError(why.into()))
}

impl Document {
    /// Reads a receipt's bytes. Says nothing yet about its signatures.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > MAX_RECEIPT_BYTES {
            return wrong(format!("{} bytes are more than the {MAX_RECEIPT_BYTES} allowed", bytes.len()));
        }
        let document: Self = json::from_strict(bytes).map_err(|error| ReceiptError(error.to_string()))?;
        if document.format != FORMAT {
            return wrong(format!("it has format {}; this program reads format {FORMAT}", document.format));
        }
        match document.outcomes.len() > MAX_OUTCOMES {
            true => wrong(format!("{} outcomes are more than the {MAX_OUTCOMES} allowed", document.outcomes.len())),
            false => Ok(document),
        }
    }

    /// Checks every signature. `known_key` is the target's key where the estate knows the target already; a stranger is
    /// believed by its enrolment.
    pub fn verify(
        &self,
        estate: &Digest,
        known_key: Option<PublicKey>,
        directory: &Directory,
    ) -> Result<VerifiedReceipt, ReceiptError> {
        let enrolment = self.enrolment.as_ref().map(|envelope| self.open_enrolment(estate, envelope)).transpose()?;
        let key = match (known_key, &enrolment) {
            (Some(known), Some((enrolment, _))) if enrolment.key != known => {
                return wrong(format!("{} is known by another key", self.target));
            }
            (Some(known), _) => known,
            (None, Some((enrolment, _))) => enrolment.key,
            (None, None) => return wrong(format!("nobody knows {}, and it brings no enrolment", self.target)),
        };
        let outcomes = self.outcomes.iter().map(|outcome| self.open_outcome(estate, outcome, &key, directory));
        let inventory = match &self.inventory {
            None => None,
            Some(envelope) => match open(estate, envelope, "inventory")? {
                Statement { act: Act::Inventory(inventory), .. } if inventory.target == self.target => {
                    signed_by(envelope, &[key], "inventory")?;
                    Some(inventory)
                }
                _ => return wrong("its inventory is something else, or of another target"),
            },
        };
        Ok(VerifiedReceipt {
            target: self.target.clone(),
            outcomes: outcomes.collect::<Result<_, _>>()?,
            enrolled_before: enrolment.as_ref().map(|(_, before)| *before),
            enrolment: enrolment.map(|(enrolment, _)| enrolment),
            inventory,
        })
    }

    fn open_enrolment(&self, estate: &Digest, envelope: &Envelope) -> Result<(Enrolment, Timestamp), ReceiptError> {
        let statement = open(estate, envelope, "enrolment")?;
        let Act::Enrolment(enrolment) = statement.act else { return wrong("its enrolment is something else") };
        if enrolment.target != self.target {
            return wrong(format!("its enrolment is of {}", enrolment.target));
        }
        if enrolment.invitation == enrolment.key {
            return wrong("its enrolment needs the invitation's signature and the target's own");
        }
        signed_by(envelope, &[enrolment.invitation, enrolment.key], "enrolment")?;
        Ok((enrolment, statement.header.submit_before))
    }

    fn open_outcome(
        &self,
        estate: &Digest,
        outcome: &SignedOutcome,
        key: &PublicKey,
        directory: &Directory,
    ) -> Result<Outcome, ReceiptError> {
        let statement = open(estate, &outcome.report, "report")?;
        let Act::Report(report) = statement.act else { return wrong("one of its reports is something else") };
        signed_by(&outcome.report, &[*key], "report")?;
        if report.target != self.target {
            return wrong(format!("one of its reports is of {}", report.target));
        }
        let ordered = open(estate, &outcome.order, "order")?;
        let Act::Order(order) = ordered.act else { return wrong("one of its orders is something else") };
        let Some(carried) = report.carried else { return wrong("one of its reports is about no bundle") };
        let fits = carried.order == Digest::of(&outcome.order.payload)
            && ordered.subject == statement.subject
            && order.app == report.app;
        if !fits {
            return wrong("one of its reports is about another order than the one beside it");
        }
        let signers = outcome.order.signers(|id| directory.key(id));
        let ended = report.phases.iter().filter_map(|phase| {
            let milliseconds = i64::try_from(phase.milliseconds).ok()?;
            phase.started.checked_add(SignedDuration::from_millis(milliseconds)).ok()
        });
        Ok(Outcome {
            payload: Digest::of(&outcome.report.payload),
            bundle: carried.bundle,
            build: statement.subject,
            order,
            deployer: signers.iter().find_map(|id| directory.person(id).cloned()),
            at: ended.max().unwrap_or(statement.header.submit_before),
            report,
        })
    }
}

impl VerifiedReceipt {
    /// The environment that the target says it is in.
    pub fn environment(&self) -> Option<&AudienceName> {
        self.enrolment.as_ref().map(|enrolment| &enrolment.environment)
    }
}

fn open(estate: &Digest, envelope: &Envelope, what: &str) -> Result<Statement, ReceiptError> {
    let statement = Statement::read(envelope).map_err(|error| ReceiptError(format!("its {what}: {error}")))?;
    match statement.header.estate == *estate {
        true => Ok(statement),
        false => wrong(format!("its {what} is of another estate")),
    }
}

/// Fails unless these keys, and no others, genuinely signed.
fn signed_by(envelope: &Envelope, keys: &[PublicKey], what: &str) -> Result<(), ReceiptError> {
    let signers = envelope.signers(|id| keys.iter().find(|key| key.id() == *id).copied());
    let all = signers.len() == keys.len() && envelope.signatures.len() == keys.len();
    if all { Ok(()) } else { wrong(format!("its {what} is not signed by whom it should be")) }
}
