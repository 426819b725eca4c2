//! What a target says it has, in its own signature: whoever keeps it on the way can withhold it or show an old one, and
//! change nothing in it.

use crate::{
    Digest,
    authority::Denial,
    dsse::Envelope,
    names::printable,
    statement::{Act, Enrolment, Finding, FindingKind, Inventory, Statement},
};

/// The most findings of one inventory that a ledger takes.
const FINDINGS: usize = 1000;

/// The inventory, if the target that joined by `joined` signed it. The enrolment is to be one that was verified
/// ([`crate::authority::TrustedPolicy::enrolment`]): by itself it says nothing.
pub fn verify(estate: &Digest, joined: &Enrolment, envelope: &Envelope) -> Result<Inventory, Denial> {
    let invalid = |why: String| Denial::Invalid { what: "inventory", why };
    let statement = Statement::read(envelope).map_err(|error| invalid(error.to_string()))?;
    if statement.header.estate != *estate {
        return Err(invalid("it is of another estate".into()));
    }
    let Act::Inventory(inventory) = statement.act else {
        return Err(invalid("it is another kind of statement".into()));
    };
    if inventory.target != joined.target {
        return Err(invalid(format!("it is of {}", inventory.target)));
    }
    match envelope.signers(|id| (joined.key.id() == *id).then_some(joined.key)).is_empty() {
        true => Err(invalid(format!("{} did not sign it", joined.target))),
        false => Ok(inventory),
    }
}

/// The findings of an inventory as a ledger records them: in order, printable, and no more than it takes.
pub fn recorded(findings: &[Finding]) -> Vec<Finding> {
    let mut findings = findings.to_vec();
    findings.sort();
    findings.truncate(FINDINGS);
    for finding in &mut findings {
        finding.path = printable(&finding.path);
        finding.app = printable(&finding.app);
    }
    findings
}

impl Finding {
    /// `web: current/run.sh was put there by hand: no build has it`.
    pub fn in_words(&self) -> String {
        let Finding { app, path, kind } = self;
        // What stands beside the applications has no path in one.
        let what = if path.is_empty() { app.clone() } else { format!("{app}: {path}") };
        printable(&match kind {
            FindingKind::Changed => format!("{what} is not what was released"),
            FindingKind::Missing => format!("{what} is missing"),
            FindingKind::Extra => format!("{what} was put there by hand: no build has it"),
            FindingKind::Mode => format!("{what} has other permissions than released"),
            FindingKind::Link => format!("{what} leads elsewhere than released"),
            FindingKind::Process => format!("{what} runs, and no build has it"),
        })
    }
}
