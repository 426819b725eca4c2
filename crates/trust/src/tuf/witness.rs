//! A witness: somebody on another machine who signs the repository's timestamp beside the server, and only what it has
//! looked at in full. Whoever takes the server and its online key can then call nothing fresh that the witness would not.
//!
//! Pure, as [`client`](super::client) is: a [`Look`] says which file it wants next, and whoever holds it fetches.
//!
//! ```text
//! while let Next::Wants(wanted) = client.refresh()? { if wanted.is_timestamp() { break } … }   // its own memory, roots walked
//! let mut look = Look::begin(&client, &key, &candidate, &terms, now)?;
//! while let Some(wish) = look.wants()? { look.take(&wish, bytes)? }
//! let cosigned = look.conclude(kept)?.sign(&signer)?;
//! ```
//!
//! Nothing is signed that was not looked at: [`Witnessed`] has no other maker than [`Look::conclude`], and what it signs is
//! the very signed part of the candidate. Beyond what every client checks, a witness refuses
//! 1. what is dated ahead of its clock, or lives too long: it could be kept for later;
//! 2. another file under a version that it has signed for: two audiences would be told two things;
//! 3. a repository without a withdrawal that it has ever heard of, by any road, unless owners annul that withdrawal.

use super::{
    MetadataSignature, Root, TimestampMetadata, TufError,
    client::{Client, ClientError, Found, Next, Wanted},
    document::Document,
    repository::{PermitFile, permits_target, role_name, with_signature},
};
use crate::{
    charter::{CHARTER_TARGET, Charter, CharterError},
    digest::Digest,
    dsse::Envelope,
    key::{PublicKey, Signer},
    names::{AppName, AudienceName, printable},
    statement::{Act, Statement},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// How far a candidate's dates may reach.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How far the server's clock may be ahead of the witness's.
    pub clocks_differ: SignedDuration,
    /// How long after the present a timestamp may be good.
    pub longest_life: SignedDuration,
}

/// Why a witness does not sign.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// Owners did not name this witness.
    #[error("root {0} asks for no signature of this witness")]
    NotNamed(u64),
    /// It signed this very timestamp before.
    #[error("timestamp {0} is signed already")]
    Known(u64),
    /// A file does not count by the rules of every client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The timestamp says nothing of when it was signed.
    #[error("the timestamp has no date")]
    Undated,
    /// The timestamp is of a day to come.
    #[error("the timestamp is dated {0}, which has not come yet on this machine: it could be kept for later")]
    Ahead(Timestamp),
    /// The timestamp is dated before the last one that was signed.
    #[error("the timestamp is dated {signed}, and one of {before} was signed before it")]
    Earlier {
        /// Its date.
        signed: Timestamp,
        /// The last one's.
        before: Timestamp,
    },
    /// The timestamp would be good for too long.
    #[error("the timestamp would be good until {0}: that is too long")]
    LivesTooLong(Timestamp),
    /// Two files under one name and version.
    #[error("another {file} of version {version} was signed for before: the server shows two things under one number")]
    Second {
        /// The file.
        file: String,
        /// The version.
        version: u64,
    },
    /// A target is not there, or not what it should be.
    #[error("{path}: {why}")]
    Target {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        why: Box<TufError>,
    },
    /// The charter contradicts itself.
    #[error(transparent)]
    Charter(#[from] CharterError),
    /// Withdrawals are missing in what would be published.
    #[error("what is to be published hides {}", in_words(.0))]
    Hidden(Vec<Hidden>),
}

/// A withdrawal that the witness knows and the repository does not show.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hidden {
    /// What it says: `web@1.4.0 from prod`.
    pub what: String,
    /// The digest of its payload, by which owners may annul it.
    pub payload: Digest,
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the withdrawal of {} ({})", self.what, self.payload)
    }
}

fn in_words(hidden: &[Hidden]) -> String {
    hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What a look wants to be given next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A file of metadata.
    Metadata(Wanted),
    /// A target.
    Target(Found),
}

/// A look at a timestamp that the server alone has signed, and at all that hangs on it.
#[derive(Clone, Debug)]
pub struct Look {
    known: Client,
    client: Client,
    key: PublicKey,
    candidate: Vec<u8>,
    version: u64,
    /// The roles and targets that are still to be looked at; nothing while the refresh goes on.
    ahead: Option<(Vec<String>, Vec<Found>)>,
    charter: Option<Charter>,
    shown: BTreeMap<(AudienceName, AppName), BTreeSet<Digest>>,
    withdrawals: Vec<Envelope>,
}

impl Look {
    /// Begins a look at `candidate`. `known` is the witness's own memory, with all roots walked: [`Client::refresh`] wants
    /// the timestamp of it next.
    pub fn begin(
        known: &Client,
        key: &PublicKey,
        candidate: &[u8],
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Self, WitnessError> {
        let not_named = || WitnessError::NotNamed(known.root().version());
        let mut client = known.before_the_witness(key, now).ok_or_else(not_named)?;
        if let Next::Wants(wanted) = client.refresh()? {
            client.take(&wanted, Some(candidate))?;
        }
        let Some((timestamp, taken)) = client.timestamp() else { return Err(WitnessError::Undated) };
        let version = timestamp.version();
        // A client passes over another timestamp of a version that it knows.
        if taken != candidate {
            return Err(match signed_part(taken)? == signed_part(candidate)? {
                true => WitnessError::Known(version),
                false => WitnessError::Second { file: "timestamp".into(), version },
            });
        }
        check_dates(known, timestamp, terms, now)?;
        Ok(Self {
            known: known.clone(),
            client,
            key: *key,
            candidate: candidate.to_vec(),
            version,
            ahead: None,
            charter: None,
            shown: BTreeMap::new(),
            withdrawals: Vec::new(),
        })
    }

    /// What is wanted next; nothing once everything was looked at.
    pub fn wants(&mut self) -> Result<Option<Wish>, WitnessError> {
        if let Next::Wants(wanted) = self.client.refresh()? {
            return Ok(Some(Wish::Metadata(wanted)));
        }
        let (mut roles, mut targets) = match self.ahead.take() {
            Some(ahead) => ahead,
            None => {
                self.check_versions()?;
                let charter = match self.client.find(CHARTER_TARGET)? {
                    Next::Done(found) => found,
                    Next::Wants(_) => None,
                };
                let charter = charter.ok_or_else(|| not_there(CHARTER_TARGET))?;
                (self.client.delegated_roles(), vec![charter])
            }
        };
        let mut wish = None;
        while let Some(role) = roles.last() {
            match self.client.listed_by(role)? {
                Next::Wants(wanted) => {
                    wish = Some(Wish::Metadata(wanted));
                    break;
                }
                Next::Done(found) => {
                    targets.extend(found);
                    roles.pop();
                }
            }
        }
        let wish = wish.or_else(|| targets.last().cloned().map(Wish::Target));
        self.ahead = Some((roles, targets));
        Ok(wish)
    }

    /// Gives it what it wanted, or says that the repository does not have it.
    pub fn take(&mut self, wish: &Wish, bytes: Option<&[u8]>) -> Result<(), WitnessError> {
        match wish {
            Wish::Metadata(wanted) => {
                self.client.take(wanted, bytes)?;
            }
            Wish::Target(found) => {
                let bytes = bytes.ok_or_else(|| not_there(&found.path))?;
                self.take_target(found, bytes)?;
                if let Some((_, targets)) = &mut self.ahead {
                    targets.retain(|other| other != found);
                }
            }
        }
        Ok(())
    }

    fn take_target(&mut self, found: &Found, bytes: &[u8]) -> Result<(), WitnessError> {
        let at = |why| WitnessError::Target { path: printable(&found.path), why: Box::new(why) };
        found.target.check(bytes).map_err(at)?;
        if found.path == CHARTER_TARGET {
            self.charter = Some(Charter::from_bytes(bytes)?);
            return Ok(());
        }
        let file = PermitFile::from_bytes(bytes).map_err(at)?;
        let is_in_place = permits_target(&file.audience, &file.app) == found.path
            && role_name(&file.audience) == found.role
            && file.estate == self.client.root().estate();
        if !is_in_place {
            return Err(at(TufError::Malformed("it is a file of permits for something else".into())));
        }
        let shown = file.withdrawals.iter().map(|envelope| Digest::of(&envelope.payload)).collect();
        self.shown.insert((file.audience, file.app), shown);
        self.withdrawals.extend(file.withdrawals);
        Ok(())
    }

    /// No file is another than the one of the same version that was signed for before.
    fn check_versions(&self) -> Result<(), WitnessError> {
        let (Some((before, _)), Some((now, _))) = (self.known.snapshot(), self.client.snapshot()) else {
            return Ok(());
        };
        let second = |file: &str, version| WitnessError::Second { file: printable(file), version };
        let was_signed_for = self.known.timestamp().map(|(timestamp, _)| *timestamp.snapshot());
        let is_signed_for = self.client.timestamp().map(|(timestamp, _)| *timestamp.snapshot());
        if let (Some(was), Some(is)) = (was_signed_for, is_signed_for)
            && was.version == is.version
            && was != is
        {
            return Err(second("snapshot", is.version));
        }
        let before: BTreeMap<_, _> = before.listed().collect();
        let is_other =
            |(name, listed): &(&str, &super::ListedMetadata)| before.get(name).is_some_and(|was| differs(was, listed));
        match now.listed().find(is_other) {
            Some((name, listed)) => Err(second(name, listed.version)),
            None => Ok(()),
        }
    }

    /// Everything was looked at: it may be signed if it hides none of the `kept` withdrawals.
    pub fn conclude<'a>(self, kept: impl IntoIterator<Item = &'a Envelope>) -> Result<Witnessed, WitnessError> {
        let is_whole = matches!(&self.ahead, Some((roles, targets)) if roles.is_empty() && targets.is_empty());
        let (true, Some(charter)) = (is_whole, &self.charter) else { return Err(not_there(CHARTER_TARGET)) };
        let mut hidden: Vec<Hidden> = kept.into_iter().filter_map(|envelope| self.hides(charter, envelope)).collect();
        hidden.sort();
        hidden.dedup();
        if !hidden.is_empty() {
            return Err(WitnessError::Hidden(hidden));
        }
        let (root, withdrawals) = (self.known.root().clone(), self.withdrawals);
        Ok(Witnessed { candidate: self.candidate, version: self.version, root, key: self.key, withdrawals })
    }

    fn hides(&self, charter: &Charter, envelope: &Envelope) -> Option<Hidden> {
        let Act::Withdrawal(withdrawal) = Statement::read(envelope).ok()?.act else { return None };
        let payload = Digest::of(&envelope.payload);
        // What nobody can be released to any more is not published; what owners annulled counts for nothing.
        charter.audience(&withdrawal.audience)?;
        let what = format!("{}@{} from {}", withdrawal.app, withdrawal.version, withdrawal.audience);
        let place = (withdrawal.audience, withdrawal.app);
        let is_shown = self.shown.get(&place).is_some_and(|shown| shown.contains(&payload));
        (!is_shown && !charter.annulled.contains(&payload)).then_some(Hidden { what, payload })
    }

    /// The verified charter, once it was looked at.
    pub fn charter(&self) -> Option<&Charter> {
        self.charter.as_ref()
    }
}

fn not_there(path: &str) -> WitnessError {
    WitnessError::Target { path: path.into(), why: Box::new(TufError::NotThere) }
}

fn differs(was: &super::ListedMetadata, is: &super::ListedMetadata) -> bool {
    was.version == is.version && was != is
}

/// The canonical form of what is signed in a timestamp.
fn signed_part(bytes: &[u8]) -> Result<Vec<u8>, WitnessError> {
    let read = Document::read(bytes, super::MAX_TIMESTAMP_BYTES);
    let document = read.map_err(|why| WitnessError::Target { path: "timestamp".into(), why: Box::new(why) })?;
    Ok(document.message)
}

fn check_dates(
    known: &Client,
    timestamp: &TimestampMetadata,
    terms: &Terms,
    now: Timestamp,
) -> Result<(), WitnessError> {
    let later = |by: SignedDuration| now.checked_add(by).unwrap_or(Timestamp::MAX);
    let signed = timestamp.signed_at().ok_or(WitnessError::Undated)?;
    if signed > later(terms.clocks_differ) {
        return Err(WitnessError::Ahead(signed));
    }
    if timestamp.expires() > later(terms.longest_life + terms.clocks_differ) {
        return Err(WitnessError::LivesTooLong(timestamp.expires()));
    }
    match known.timestamp().and_then(|(before, _)| before.signed_at()).filter(|before| signed < *before) {
        Some(before) => Err(WitnessError::Earlier { signed, before }),
        None => Ok(()),
    }
}

/// A timestamp that was looked at with all that hangs on it, and may be signed.
#[derive(Clone, Debug)]
pub struct Witnessed {
    candidate: Vec<u8>,
    version: u64,
    root: Root,
    key: PublicKey,
    withdrawals: Vec<Envelope>,
}

/// A timestamp with the witness's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// Its version.
    pub version: u64,
    /// The file with every signature, as clients take it.
    pub bytes: Vec<u8>,
    /// The witness's own signature.
    pub signature: MetadataSignature,
}

impl Witnessed {
    /// The withdrawals that are published with it: to be kept before it is signed, so that none can disappear again.
    pub fn withdrawals(&self) -> &[Envelope] {
        &self.withdrawals
    }

    /// Signs it, by the witness's key.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Cosigned, TufError> {
        let signature = Document::read(&self.candidate, super::MAX_TIMESTAMP_BYTES)?.signature(signer)?;
        let bytes = with_signature(&self.candidate, signature.clone())?;
        debug_assert_eq!(signer.public(), self.key);
        // With another key than the witness's, it would not count.
        TimestampMetadata::verify(&bytes, &self.root)?;
        Ok(Cosigned { version: self.version, bytes, signature })
    }
}

/// The signature by `key` in a timestamp that was signed before, for a server that lost it.
pub fn signature_in(bytes: &[u8], key: &PublicKey) -> Option<MetadataSignature> {
    let document = Document::read(bytes, super::MAX_TIMESTAMP_BYTES).ok()?;
    let keyid = key.id().to_string();
    document.signatures.into_iter().find(|signature| signature.keyid == keyid)
}
