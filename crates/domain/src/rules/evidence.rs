//! An audience may ask for evidence about this very digest, from issuers the charter names (R33, R51). The newest word
//! of such an issuer counts; evidence never grants by itself.

use super::{Candidate, ways};
use crate::{refusal::Refusal, state::Policy};
use trust::way::{Waiver, Way};

/// One verdict for each type of evidence the audience asks for.
pub fn verdicts(policy: &Policy, candidate: &Candidate<'_>, way: Way) -> Vec<Result<String, Refusal>> {
    let Some(audience) = policy.charter.audience(candidate.audience) else { return Vec::new() };
    let verdict = |(kind, issuers): (&String, &trust::quorum::Rule)| {
        let counts = |record: &&crate::state::EvidenceRecord| {
            record.kind == *kind
                && policy.directory.person(&record.key) == Some(&record.issuer)
                && issuers.allows_alone(&policy.directory.roles(&record.issuer))
        };
        let newest = candidate.record.evidence.iter().rfind(counts);
        match newest {
            Some(record) if record.passed => Ok(format!("{kind}: {} ({})", record.summary, record.issuer)),
            _ if ways::waives(policy, candidate, way, &Waiver::Evidence(kind.clone())) => {
                Ok(format!("{kind}: waived by {way}"))
            }
            _ => Err(Refusal::EvidenceMissing {
                build: candidate.build,
                kind: kind.clone(),
                issuers: issuers.clone(),
                failed: newest.is_some(),
            }),
        }
    };
    audience.evidence.iter().map(verdict).collect()
}
