//! `sortie escapes`: what runs without permission, and what is not as it should be (R37).

use crate::{
    connection::Connection,
    failure::Outcome,
    invocation::Invocation,
    output::{Answer, ago, count},
    releasing,
};
use api::{
    read::{BuildName, Escape, Escapes as View, SignedInventory},
    routes,
};
use domain::refusal::exit;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use trust::{
    AppName, AudienceName, Digest, TargetName,
    authority::TrustedPolicy,
    inventory,
    statement::{Enrolment, Finding, Inventory},
};

/// What the agents do not look at, said with every answer, so that no silence is taken for a promise.
const UNSEEN: &str = "not seen: what runs outside the applications' folders and was not started by an agent; memory of \
    running programs; data folders; machines without an agent; whoever is root on a machine can have its agent say anything";
/// An agent that is there says at least every hour what it has: an inventory twice as old is old.
const OLD: SignedDuration = SignedDuration::from_hours(2);
/// How often the server is asked again before its word counts as another than what was signed: a target may report
/// while the answer is put together.
const ASKED_AGAIN: usize = 2;

/// List what runs without permission or is not as it should be, by what each target itself signed. Exits 7 when there
/// is any, and 5 where the server says anything else than a target signed
#[derive(Debug, clap::Args)]
pub struct Escapes {
    /// Let every target digest everything anew first
    #[arg(long)]
    pub scan: bool,
}

impl Escapes {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let connection = invocation.connect().await?;
        let query: &[(&str, &str)] = if self.scan { &[("scan", "true")] } else { &[] };
        let mut view: View = connection.client.get(routes::ESCAPES, query).await?;
        let mut seen = look(&connection, &view);
        for _ in 0..ASKED_AGAIN {
            if seen.contradictions.is_empty() {
                break;
            }
            view = connection.client.get(routes::ESCAPES, &[]).await?;
            seen = look(&connection, &view);
        }
        let words = in_words(&seen, Timestamp::now());
        let mut data = serde_json::to_value(&view).unwrap_or_default();
        data["verified"] = serde_json::to_value(&seen).unwrap_or_default();
        data["unseen"] = UNSEEN.into();
        let answer = Answer::new(&data, words);
        if !seen.contradictions.is_empty() {
            return Ok(answer.exit(exit::INTEGRITY).next("sortie ledger verify"));
        }
        if let Some(first) = seen.escapes.first() {
            return Ok(answer.exit(exit::ESCAPES).next(format!("sortie status {}", first.target)));
        }
        Ok(if self.scan { answer } else { answer.next("sortie escapes --scan") })
    }
}

/// What is wrong, by the targets' own signatures as far as there are any.
#[derive(Debug, Default, Serialize)]
struct Seen {
    /// What was found.
    escapes: Vec<Escape>,
    /// When each target took stock, by its own signed word; nothing where no inventory was shown.
    looked: BTreeMap<TargetName, Option<Timestamp>>,
    /// Where the server's word is not what a target signed, or a signature is not what it must be.
    contradictions: Vec<Contradiction>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Contradiction {
    target: TargetName,
    why: String,
}

/// Verifies what the server shows of each target, and joins it with the permits.
fn look(connection: &Connection, view: &View) -> Seen {
    let unpermitted = |target: &TargetName, environment: &AudienceName, app: &AppName, build: &Digest| {
        let is_meant = |active: &&api::read::ActiveBuild| {
            active.app == *app && active.name.build == *build && active.environment == *environment
        };
        // Each is with another permit: one that is for this target suffices.
        let mut why = Err(BuildName { build: *build, version: None });
        for active in view.active.iter().filter(is_meant) {
            why = Ok((active.name.clone(), releasing::unpermitted(connection, active, target)?));
        }
        Some(why.unwrap_or_else(|name| (name, "the server shows no statement of anybody's about it".to_string())))
    };
    let mut seen = Seen::default();
    for target in view.scanned.keys() {
        let told: Vec<&Escape> = view.escapes.iter().filter(|escape| escape.target == *target).collect();
        let signed = view.signed.get(target).map_or(Ok(None), |signed| verify(&connection.policy, target, signed));
        let (joined, inventory) = match signed {
            Ok(Some(both)) => both,
            Ok(None) => {
                seen.looked.insert(target.clone(), None);
                seen.escapes.extend(told.into_iter().cloned());
                continue;
            }
            Err(why) => {
                seen.looked.insert(target.clone(), None);
                seen.contradictions.push(Contradiction { target: target.clone(), why });
                seen.escapes.extend(told.into_iter().cloned());
                continue;
            }
        };
        seen.looked.insert(target.clone(), Some(inventory.scanned));
        seen.contradictions.extend(contradiction(&inventory, &told));
        // What it reported since it took stock, and what only people can look at, is in no inventory.
        seen.escapes.extend(told.iter().filter(|escape| escape.finding.is_none()).copied().cloned());
        let escape = |what, finding, build| {
            let environment = joined.environment.clone();
            Escape { target: target.clone(), environment, what, finding, build }
        };
        for (app, build) in &inventory.active {
            let is_told = told.iter().any(|escape| escape.build == Some(*build));
            if let Some((name, why)) = unpermitted(target, &joined.environment, app, build).filter(|_| !is_told) {
                seen.escapes.push(escape(format!("{} is active, and {why}", name.of(app)), None, Some(*build)));
            }
        }
        let found = inventory::recorded(&inventory.findings).into_iter();
        seen.escapes.extend(found.map(|finding| escape(finding.in_words(), Some(finding), None)));
    }
    seen
}

/// The target's enrolment and inventory, where an inventory is shown: signed by the key that an invited machine joined
/// with.
fn verify(
    policy: &TrustedPolicy,
    target: &TargetName,
    signed: &SignedInventory,
) -> Result<Option<(Enrolment, Inventory)>, String> {
    let Some(vouched) = &signed.vouched else {
        return match &signed.inventory {
            Some(_) => Err(format!("the server shows an inventory of {target} and nothing that vouches for its key")),
            None => Ok(None),
        };
    };
    let joined = policy
        .enrolment(&vouched.invitation, &vouched.enrolment)
        .map_err(|why| format!("nobody who may invite vouches for the key of {target}: {why}"))?;
    if joined.target != *target {
        return Err(format!("the server shows the enrolment of {} as that of {target}", joined.target));
    }
    let Some(envelope) = &signed.inventory else { return Ok(None) };
    let inventory = inventory::verify(&policy.estate, &joined, envelope).map_err(|why| why.to_string())?;
    Ok(Some((joined, inventory)))
}

/// Whether the server tells of other files and processes than the target signed.
fn contradiction(inventory: &Inventory, told: &[&Escape]) -> Option<Contradiction> {
    let signed = inventory::recorded(&inventory.findings);
    let told: Vec<&Finding> = told.iter().filter_map(|escape| escape.finding.as_ref()).collect();
    if signed.iter().eq(told.iter().copied()) {
        return None;
    }
    let hidden = signed.iter().find(|finding| !told.contains(finding));
    let invented = told.iter().find(|finding| !signed.contains(finding));
    let target = &inventory.target;
    let why = match (hidden, invented) {
        (Some(finding), _) => format!("{target} signed \"{}\", and the server does not tell of it", finding.in_words()),
        (None, Some(finding)) => format!("the server tells of \"{}\", which {target} did not sign", finding.in_words()),
        (None, None) => format!("the server tells of what {target} signed in another number"),
    };
    Some(Contradiction { target: target.clone(), why })
}

fn in_words(seen: &Seen, now: Timestamp) -> String {
    let mut lines: Vec<String> =
        seen.contradictions.iter().map(|other| format!("‼ {}  {}", other.target, other.why)).collect();
    let width = seen.escapes.iter().map(|escape| escape.target.as_str().len()).max().unwrap_or(0);
    for escape in &seen.escapes {
        lines.push(format!("✗ {:<width$}  {}", escape.target.as_str(), escape.what));
    }
    let targets = count(seen.looked.len() as u64, "target");
    let escapes = match seen.escapes.len() as u64 {
        0 => format!("no escapes on {targets}"),
        n => format!("{} on {targets}", count(n, "escape")),
    };
    lines.push(match (seen.contradictions.is_empty(), seen.escapes.is_empty()) {
        (true, true) => escapes,
        (true, false) => format!("{escapes}.   (exit {})", exit::ESCAPES),
        (false, _) => {
            format!("{escapes}; the server's word is not what the targets signed.   (exit {})", exit::INTEGRITY)
        }
    });
    lines.push(freshness(seen, now));
    lines.push(UNSEEN.into());
    lines.join("\n")
}

/// How old the oldest signed answer is, which are too old to rely on, and who has not answered.
fn freshness(seen: &Seen, now: Timestamp) -> String {
    let looked = || seen.looked.iter().filter_map(|(target, when)| Some(((*when)?, target)));
    let silent: Vec<&str> =
        seen.looked.iter().filter(|(_, when)| when.is_none()).map(|(target, _)| target.as_str()).collect();
    let old = looked().filter(|(when, _)| now.duration_since(*when) >= OLD);
    let old: Vec<String> = old.map(|(when, target)| format!("{target} ({})", ago(when, now))).collect();
    let oldest = looked().min().map(|(when, target)| format!("the oldest signed look: {} ({target})", ago(when, now)));
    let first = if old.is_empty() { oldest } else { Some(format!("old: {}", old.join(", "))) };
    let silent = (!silent.is_empty())
        .then(|| format!("by the server's word alone, for want of a signed inventory: {}", silent.join(", ")));
    let words: Vec<String> = first.into_iter().chain(silent).collect();
    if words.is_empty() { "there is no target to look at".into() } else { words.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::time;
    use trust::statement::FindingKind;

    fn escape(what: &str, finding: Option<Finding>) -> Escape {
        let (target, environment) = ("prod-1".parse().unwrap(), "prod".parse().unwrap());
        Escape { target, environment, what: what.into(), finding, build: None }
    }

    #[test]
    fn r37_escapes_say_how_fresh_they_are_and_what_cannot_be_seen() {
        let looked = [("prod-1", Some(time("09:58:00"))), ("prod-2", Some(time("09:00:00"))), ("test-1", None)];
        let looked: BTreeMap<TargetName, _> = looked.map(|(name, when)| (name.parse().unwrap(), when)).into();
        let escapes = vec![escape("web/hand-copied is there, and no manifest has it", None)];
        let mut seen = Seen { escapes, looked, contradictions: Vec::new() };
        assert_eq!(
            in_words(&seen, time("10:00:00")),
            format!(
                "✗ prod-1  web/hand-copied is there, and no manifest has it\n\
                 1 escape on 3 targets.   (exit 7)\n\
                 the oldest signed look: 1 h ago (prod-2); by the server's word alone, for want of a signed inventory: \
                 test-1\n{UNSEEN}"
            )
        );
        assert!(in_words(&seen, time("11:30:00")).contains("\nold: prod-2 (2 h ago); by the server's"));
        seen.escapes.clear();
        assert!(in_words(&seen, time("10:00:00")).starts_with("no escapes on 3 targets\n"));
        seen.contradictions.push(Contradiction { target: "prod-2".parse().unwrap(), why: "it is of prod-1".into() });
        assert!(in_words(&seen, time("10:00:00")).starts_with("‼ prod-2  it is of prod-1\nno escapes on 3 targets; "));
    }

    #[test]
    fn r37_a_server_that_hides_or_invents_a_finding_is_found_out() {
        let by_hand = Finding { app: "web".into(), path: "current/run.sh".into(), kind: FindingKind::Extra };
        let inventory = |findings| Inventory {
            target: "prod-1".parse().unwrap(),
            scanned: time("09:58:00"),
            active: BTreeMap::new(),
            findings,
            lapsed: None,
            facts: None,
        };
        let told = escape(&by_hand.in_words(), Some(by_hand.clone()));
        let alarm = escape("runs web@1.0.0, and nobody has reviewed it", None);
        assert_eq!(contradiction(&inventory(vec![by_hand.clone()]), &[&alarm, &told]), None);
        let hidden = contradiction(&inventory(vec![by_hand]), &[&alarm]).unwrap();
        assert!(hidden.why.contains("does not tell of it"), "{hidden:?}");
        let invented = contradiction(&inventory(vec![]), &[&told]).unwrap();
        assert!(invented.why.contains("prod-1 did not sign"), "{invented:?}");
    }
}
