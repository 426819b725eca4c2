//! The evidence that an audience's gates ask for, as far as a dossier shows it.

use super::{Denial, Dossier, Permit, TrustedPolicy, Wanted, policy::Opened};
use crate::{
    digest::Digest,
    dsse::Envelope,
    evidence::{self, Piece, Shortfall},
    names::{AppName, AudienceName, PersonName},
    statement::{Act, Evidence},
    way::Waiver,
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// What opens each gate of an audience for a build: the statement that counts, or why none does. Whether a way waives the
/// gate is not looked at; with `now` evidence must not be too old then.
pub fn gates<'a>(
    policy: &TrustedPolicy,
    app: &AppName,
    build: Digest,
    audience: &AudienceName,
    dossier: &'a Dossier,
    pushers: &BTreeSet<PersonName>,
    now: Option<Timestamp>,
) -> Vec<(String, Result<&'a Envelope, Shortfall>)> {
    let Some(audience) = policy.charter.audience(audience) else { return Vec::new() };
    let evidence = |act| match act {
        Act::Evidence(evidence) => Some(evidence),
        _ => None,
    };
    let open = |envelope: &'a Envelope| Some((envelope, policy.open(envelope, "evidence", evidence).ok()?));
    let about_it = |(_, opened): &(&Envelope, Opened<'_, Evidence>)| opened.subject == build && opened.act.app == *app;
    let opened: Vec<(&Envelope, Opened<'_, Evidence>)> =
        dossier.evidence.iter().filter_map(open).filter(about_it).collect();
    let mut gates = Vec::new();
    for (kind, gate) in audience.evidence {
        let of_kind: Vec<&(&Envelope, Opened<'_, Evidence>)> =
            opened.iter().filter(|(_, opened)| opened.act.kind == *kind).collect();
        let pieces: Vec<Piece<'_>> = of_kind
            .iter()
            .map(|(_, opened)| Piece {
                predicate: opened.act.predicate.as_deref(),
                passed: opened.act.passed,
                facts: &opened.act.facts,
                issued: opened.act.issued,
                by_issuer: policy.require("evidence", &gate.from, opened).is_ok(),
                by_pusher: opened.people().any(|person| pushers.contains(person)),
            })
            .collect();
        gates.push((kind.clone(), evidence::judge(gate, &pieces, now).map(|at| of_kind[at].0)));
    }
    gates
}

/// Fails with the first gate that stays shut and that the permit's way does not waive.
pub(super) fn check(
    policy: &TrustedPolicy,
    environment: &AudienceName,
    dossier: &Dossier,
    wanted: &Wanted<'_>,
    permit: &Permit,
    now: Option<Timestamp>,
) -> Result<(), Denial> {
    let terms = policy.charter.audience(environment).and_then(|audience| audience.terms(permit.asked.way));
    let waived = |kind: &String| terms.is_some_and(|terms| terms.waives(&Waiver::Evidence(kind.clone())));
    for (kind, opens) in gates(policy, wanted.app, wanted.build, environment, dossier, &permit.pushers, now) {
        if let Err(why) = opens
            && !waived(&kind)
        {
            return Err(Denial::EvidenceMissing { kind, why });
        }
    }
    Ok(())
}
