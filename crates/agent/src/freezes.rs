//! What was said of freezes in this target's environment: kept, whatever the server says later, until it is long over.

use crate::files::{self, FileError, Place};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AudienceName, Digest,
    authority::TrustedPolicy,
    dsse::Envelope,
    freeze::{self, Known, Said},
};

/// How long a freeze that is over is remembered: a clock that was ahead for a while must not make it forgotten.
const KEPT_AFTER: SignedDuration = SignedDuration::from_hours(24 * 31);

/// The freezes heard of here.
#[derive(Debug)]
pub struct Freezes {
    place: Place,
    kept: Kept,
    known: Vec<Known>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// What was found genuine, by the digest of its payload.
    said: BTreeMap<Digest, Said>,
    /// The declarations as they were signed, by which a server that has lost one knows it again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    declared: BTreeMap<Digest, Envelope>,
}

impl Freezes {
    /// Reads what was kept.
    pub fn open(place: Place) -> Result<Self, FileError> {
        let kept: Kept = files::read_json(&place)?.unwrap_or_default();
        let known = freeze::known(kept.said.values());
        Ok(Self { place, kept, known })
    }

    /// The freezes, those too that were lifted.
    pub fn known(&self) -> &[Known] {
        &self.known
    }

    /// The freezes that are on or to come at `now`, and are not among what the server has `shown`. That one was lifted, or lets
    /// something pass, is for people to say again.
    pub fn missing_in(&self, shown: &[Envelope], now: Timestamp) -> Vec<Envelope> {
        let shown: BTreeSet<Digest> = shown.iter().map(|envelope| Digest::of(&envelope.payload)).collect();
        let is_on = |known: &&Known| !known.lifted && now < known.terms.until && !shown.contains(&known.freeze);
        self.known.iter().filter(is_on).filter_map(|known| self.kept.declared.get(&known.freeze)).cloned().collect()
    }

    /// Keeps what is genuine among `envelopes`, durably, and lets go of what is long over at `now`. What was found genuine
    /// once stays so, though whoever signed it may have left meanwhile.
    pub fn keep(
        &mut self,
        policy: &TrustedPolicy,
        environment: &AudienceName,
        envelopes: &[Envelope],
        now: Timestamp,
    ) -> Result<(), FileError> {
        let mut next = self.kept.clone();
        for envelope in envelopes {
            let payload = Digest::of(&envelope.payload);
            // Of what an earlier program kept, the declaration as it was signed is not here yet.
            let is_kept = match next.said.get(&payload) {
                Some(Said::Declared { .. }) => next.declared.contains_key(&payload),
                Some(_) => true,
                None => false,
            };
            if is_kept {
                continue;
            }
            // That the payload is known says nothing of the signatures around it, and both are kept.
            let Ok(said) = policy.freeze(envelope, environment) else { continue };
            if matches!(said, Said::Declared { .. }) {
                next.declared.insert(payload, envelope.clone());
            }
            next.said.entry(payload).or_insert(said);
        }
        let long_over = |known: &Known| known.terms.until.saturating_add(KEPT_AFTER).unwrap_or(Timestamp::MAX) < now;
        let over: Vec<Digest> = self.known.iter().filter(|known| long_over(known)).map(|known| known.freeze).collect();
        next.said.retain(|_, said| match said {
            Said::Declared { freeze, .. } | Said::Lifted { freeze } | Said::Excepted { freeze, .. } => {
                !over.contains(freeze)
            }
        });
        let said = &next.said;
        next.declared.retain(|payload, _| said.contains_key(payload));
        if next != self.kept {
            files::replace_json(&self.place, &next)?;
            self.known = freeze::known(next.said.values());
            self.kept = next;
        }
        Ok(())
    }
}
