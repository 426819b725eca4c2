//! Machines that speak to this server and that it does not know: they joined after the backup from which it was put back. Whoever
//! sends what nobody can check may be anybody, so it is kept in memory alone, for a while, and of few.

use api::read::UnknownMachine;
use domain::state::State;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use trust::{
    TargetName,
    dsse::Envelope,
    key::KeyId,
    statement::{Act, Statement},
};

/// How many are kept; one more, and the one that has been silent for longest makes room.
const MOST: usize = 64;
/// For how long one is told of after it spoke last. An agent that is not known speaks more often.
const FOR: Duration = Duration::from_secs(900);

/// Those that spoke a short while ago, by the key under which they did.
#[derive(Default)]
pub(crate) struct Strangers {
    inner: Mutex<BTreeMap<KeyId, (TargetName, Instant)>>,
}

impl Strangers {
    /// What was refused because nobody knows who signed it; it is a machine's where it is what only machines sign.
    pub fn hear(&self, state: &State, envelope: &Envelope, now: Instant) {
        let Ok(statement) = Statement::read(envelope) else { return };
        let target = match statement.act {
            Act::Inventory(inventory) => inventory.target,
            Act::Report(report) => report.target,
            Act::Health(health) => health.target,
            _ => return,
        };
        let [signature] = envelope.signatures.as_slice() else { return };
        let key = signature.keyid;
        // Whom people took out is known, and was meant to be left alone.
        if state.targets.get(&target).is_some_and(|record| record.retired && record.key.id() == key) {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.insert(key, (target, now));
        while inner.len() > MOST {
            let quietest = inner.iter().min_by_key(|(_, (_, heard))| *heard).map(|(key, _)| *key);
            quietest.map(|key| inner.remove(&key));
        }
    }

    /// Those that are still not known, by their names.
    pub fn there(&self, state: &State, now: Instant) -> Vec<UnknownMachine> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.retain(|key, (_, heard)| now.duration_since(*heard) < FOR && !state.target_keys.contains_key(key));
        let named = |(target, _): &(TargetName, Instant)| UnknownMachine {
            target: target.clone(),
            is_taken: state.targets.contains_key(target),
        };
        let mut there: Vec<UnknownMachine> = inner.values().map(named).collect();
        there.sort();
        there
    }
}

/// The same in a line; nothing where there are none.
pub(crate) fn in_words(unknown: &[UnknownMachine]) -> Option<String> {
    let free = unknown.iter().find(|machine| !machine.is_taken);
    let then = match free {
        None => "it runs on beside the machine that has its name: end its agent, and what it runs, there".to_string(),
        Some(UnknownMachine { target, .. }) => format!(
            "each joined after the backup, and what it runs goes on, out of sight: sortie target invite --name {target} --in \
             ENVIRONMENT, then start its agent again with --join and the --data it has"
        ),
    };
    let named = |machine: &UnknownMachine| match machine.is_taken {
        true => format!("{} (another machine has that name here)", machine.target),
        false => machine.target.to_string(),
    };
    let names = unknown.iter().map(named).collect::<Vec<_>>().join(", ");
    match unknown.len() {
        0 => None,
        1 => {
            let then = then.replacen("each joined", "it joined", 1);
            Some(format!("1 machine that this server does not know asks for orders: {names}; {then}"))
        }
        count => Some(format!("{count} machines that this server does not know ask for orders: {names}; {then}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::fixture::World;
    use jiff::Timestamp;
    use trust::{
        Digest,
        key::{SecretKey, Signer},
        statement::{Header, Inventory, RequestId},
    };

    fn said(target: &str, seed: u8) -> Envelope {
        let inventory = Inventory {
            target: target.parse().unwrap(),
            scanned: Timestamp::UNIX_EPOCH,
            active: BTreeMap::new(),
            findings: Vec::new(),
            facts: None,
            lapsed: None,
        };
        let header = Header {
            estate: Digest::of(b"estate"),
            request_id: RequestId::new("one").unwrap(),
            submit_before: Timestamp::UNIX_EPOCH,
            on_behalf_of: None,
        };
        let act = Act::Inventory(inventory);
        let statement = Statement { subject_name: "estate".into(), subject: header.estate, header, act };
        statement.sign(&[&SecretKey::from_seed(&[seed; 32])]).unwrap()
    }

    #[test]
    fn machines_that_nobody_knows_are_told_of_until_they_are_known_or_silent() {
        let (mut world, strangers, now) = (World::new(), Strangers::default(), Instant::now());
        let there = |world: &World, now| {
            let names = strangers.there(&world.state, now);
            names.iter().map(|machine| (machine.target.to_string(), machine.is_taken)).collect::<Vec<_>>()
        };
        assert_eq!(in_words(&strangers.there(&world.state, now)), None);
        strangers.hear(&world.state, &said("prod-3", 93), now);
        strangers.hear(&world.state, &said("prod-3", 93), now);
        let words = in_words(&strangers.there(&world.state, now)).unwrap();
        assert!(
            words.starts_with("1 machine that this server does not know asks for orders: prod-3; it joined"),
            "{words}"
        );
        assert!(words.contains("sortie target invite --name prod-3 --in "), "{words}");
        strangers.hear(&world.state, &said("prod-1", 94), now);
        assert_eq!(there(&world, now), [("prod-1".into(), true), ("prod-3".into(), false)]);
        assert!(
            in_words(&strangers.there(&world.state, now)).unwrap().contains("prod-1 (another machine has that name")
        );
        assert_eq!(there(&world, now + FOR), []);

        strangers.hear(&world.state, &said("prod-3", 93), now);
        world.enrolled("prod-3", "prod", 93);
        assert_eq!(there(&world, now), [], "it has joined");
    }

    /// Whoever makes up keys fills lines of a server's status that was put back, and as many as are kept.
    #[test]
    fn a_crowd_of_strangers_takes_no_room() {
        let (world, strangers, now) = (World::new(), Strangers::default(), Instant::now());
        for seed in 100..=200 {
            strangers.hear(&world.state, &said("prod-3", seed), now + Duration::from_millis(u64::from(seed)));
        }
        let last = SecretKey::from_seed(&[200; 32]).public().id();
        let inner = strangers.inner.lock().unwrap();
        assert!(inner.len() == MOST && inner.contains_key(&last), "{}", inner.len());
    }
}
