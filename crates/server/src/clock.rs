//! Time becomes history only by commands of the actor `clock`: this asks for them when they are due.

use crate::{
    http::Shared,
    ledger::{Prepared, SubmitError},
};
use domain::{
    command::{Actor, Command},
    plan,
    rules::presence::{self, Away},
};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long to wait before asking again for what was refused or could not be written.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How long to sleep at most: in the meantime a machine's clock may be set, and targets may be heard of no more.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// How often it is looked who is away.
const LOOKED_AT: Duration = Duration::from_secs(1);

/// Runs until the server stops.
pub(crate) async fn run(serving: Shared) {
    let mut heads = serving.ledger.heads();
    let mut returns = serving.targets.returns();
    let (mut unheard, mut quiet, mut looked, mut listens) = (Away::new(), Away::new(), None::<Instant>, false);
    loop {
        heads.mark_unchanged();
        if returns.has_changed().unwrap_or(false) {
            looked = None;
        }
        returns.mark_unchanged();
        let state = serving.ledger.state();
        // A fleet is gone through now and then, and not for each of its reports.
        if looked.is_none_or(|looked| looked.elapsed() >= LOOKED_AT) {
            (unheard, quiet) = (serving.targets.unheard(&state), serving.targets.quiet(&state));
            looked = Some(Instant::now());
            let knows = serving.targets.knows_who_is_away();
            serving.ledger.tell_away(if knows { unheard.clone() } else { Away::new() });
            // On a server that was put back nothing is due before those targets that are there have had the time to show what is lost.
            listens = !knows && serving.memories.awaits_epoch(&state);
        }
        if listens {
            tokio::select! {
                () = tokio::time::sleep(LOOKED_AT) => continue,
                () = serving.stopped() => return,
            }
        }
        // The ledger's time never runs backwards, so neither does the clock's.
        let now = Timestamp::now().max(state.head.time);
        let (mut commands, mut next) = plan::due(&state, now, &unheard, &serving.ledger.lost());
        // A ring may bake for less time than it takes to call a target of it away: nothing goes on by time while too many are quiet.
        commands.retain(|(_, command)| presence::may_come(&state, command, &quiet));
        let (gone, next_gone) = plan::vanished(&state, now, |name| serving.targets.silent_since(name, now));
        commands.extend(gone);
        next = [next, next_gone].into_iter().flatten().min();
        let mut failed = false;
        for (request_id, mut command) in commands {
            if let Command::GiveUpOnTarget(number, target, said) = &mut command {
                *said = serving.targets.stuck(target, *number);
            }
            let prepared = Prepared {
                actor: Actor::Clock,
                request_id,
                on_behalf_of: None,
                command,
                envelope: None,
                texts: BTreeMap::new(),
            };
            match serving.ledger.submit(prepared).await {
                Ok(accepted) => serving.metrics.happened(&accepted.events),
                Err(SubmitError::Refused(refusal)) => {
                    failed = true;
                    tracing::debug!(%refusal, "the clock was refused: somebody was faster");
                }
                Err(error) => {
                    failed = true;
                    tracing::error!(%error, "a command of the clock was not recorded");
                }
            }
        }
        let until_next = next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
        let sleep = match until_next {
            _ if failed => AFTER_FAILURE,
            Some(until_next) => until_next.min(LONGEST_SLEEP),
            None => LONGEST_SLEEP,
        };
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            changed = heads.changed(), if !failed => if changed.is_err() { return },
            _ = returns.changed(), if !failed => looked = None,
            () = serving.stopped() => return,
        }
    }
}
