//! An audience may ask for evidence about this very digest: from issuers the charter names, of a predicate type, saying
//! what it must, no older than so many days, and not by the pusher where the charter says so (R33, R51). The newest word
//! of such an issuer counts; evidence never grants by itself. A key that leaves takes its evidence along, unless owners
//! uphold it. Targets evaluate by the same function.

use super::{Candidate, packages, ways};
use crate::{
    refusal::Refusal,
    state::{EvidenceRecord, Policy, State},
};
use jiff::Timestamp;
use std::{borrow::Cow, collections::BTreeMap};
use trust::{
    evidence::{CLOCK_MARGIN, Gate, MAX_FACTS, MAX_NAME_BYTES, Piece, Shortfall, judge},
    quorum::Directory,
    statement::OrderAct,
    way::{Waiver, Way},
};

/// The verdicts on the candidate; on each member in its place, where it is a package: evidence is about bytes, and a package
/// has none of its own.
pub fn of_all(
    state: &State,
    policy: &Policy,
    candidate: &Candidate<'_>,
    way: Way,
    now: Timestamp,
) -> Vec<Result<String, Refusal>> {
    if candidate.record.facts.package.is_empty() {
        return verdicts(policy, candidate, way, now);
    }
    let of_member = |member: Result<Candidate<'_>, Refusal>| match member {
        Ok(member) => {
            let named = |said: String| format!("{}: {said}", member.app);
            verdicts(policy, &member, way, now).into_iter().map(|found| found.map(named)).collect()
        }
        Err(refusal) => vec![Err(refusal)],
    };
    packages::members(state, candidate).flat_map(of_member).collect()
}

/// One verdict for each type of evidence the audience asks for.
pub fn verdicts(policy: &Policy, candidate: &Candidate<'_>, way: Way, now: Timestamp) -> Vec<Result<String, Refusal>> {
    let Some(audience) = policy.charter.audience(candidate.audience) else { return Vec::new() };
    // Age stops new activations only: a rollback goes back to what was found good once.
    let now = (candidate.act != OrderAct::Rollback).then_some(now);
    let verdict = |(kind, gate): (&String, &Gate)| {
        let of_kind: Vec<&EvidenceRecord> = candidate.record.evidence.iter().filter(|e| e.kind == *kind).collect();
        let pieces: Vec<Piece<'_>> = of_kind.iter().map(|record| piece(policy, candidate, gate, record)).collect();
        match judge(gate, &pieces, now) {
            Ok(at) => Ok(of_kind.get(at).map_or_else(String::new, |e| format!("{kind}: {} ({})", e.summary, e.issuer))),
            Err(_) if ways::waives(policy, candidate, way, &Waiver::Evidence(kind.clone())) => {
                Ok(format!("{kind}: waived by {way}"))
            }
            Err(why) => Err(Refusal::EvidenceMissing {
                build: candidate.build,
                kind: kind.clone(),
                issuers: gate.from.clone(),
                why: Box::new(who_left(policy, &of_kind, why)),
            }),
        }
    };
    audience.evidence.iter().map(verdict).collect()
}

/// Whose key is whose for this evidence: what owners uphold is in it.
fn directory_of<'a>(policy: &'a Policy, record: &EvidenceRecord) -> Cow<'a, Directory> {
    record.payload.map_or(Cow::Borrowed(&policy.directory), |payload| policy.directory_of(&payload))
}

/// Where nobody who may has attached any, whose evidence would be there had the key not left.
fn who_left(policy: &Policy, of_kind: &[&EvidenceRecord], why: Shortfall) -> Shortfall {
    let left = |record: &&&EvidenceRecord| directory_of(policy, record).person(&record.key).is_none();
    match of_kind.iter().rev().find(left) {
        Some(record) if why == Shortfall::Absent => {
            Shortfall::KeyLeft { issuer: record.issuer.clone(), statement: record.payload }
        }
        _ => why,
    }
}

fn piece<'a>(policy: &Policy, candidate: &Candidate<'_>, gate: &Gate, record: &'a EvidenceRecord) -> Piece<'a> {
    let directory = directory_of(policy, record);
    let is_theirs = directory.person(&record.key) == Some(&record.issuer);
    Piece {
        predicate: record.predicate.as_deref(),
        passed: record.passed,
        facts: &record.facts,
        issued: record.issued,
        by_issuer: is_theirs && gate.from.allows_alone(&directory.roles(&record.issuer)),
        // Whoever brought a vendor's build made nothing of it.
        by_pusher: policy.charter.vendor_of(candidate.app).is_none() && record.issuer == candidate.record.pusher,
    }
}

/// Fails unless what evidence says beside its verdict is of a size, and issued now: a time that its issuer makes up would
/// make it younger than it is.
pub fn measured(
    predicate: Option<&str>,
    facts: &BTreeMap<String, i64>,
    issued: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let invalid = |why: &str| Err(Refusal::Invalid { why: why.into() });
    let is_long = |name: &str| name.is_empty() || name.len() > MAX_NAME_BYTES;
    if predicate.is_some_and(is_long) || facts.len() > MAX_FACTS || facts.keys().any(|name| is_long(name)) {
        return invalid("evidence carries at most 64 numbers, and names and predicate types of at most 256 bytes");
    }
    match issued {
        Some(issued) if now.duration_since(issued).abs() > CLOCK_MARGIN => {
            invalid("evidence says when it is issued, which is now: check this machine's clock")
        }
        _ => Ok(()),
    }
}
