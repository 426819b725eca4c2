//! What the script tries, and what people send and hear.

use super::{Asked, Event, PATIENCE, PERSON_TRIES, PersonsCall, Sender, Step, World};
use crate::{
    cast,
    people::{self, Saying, Told},
    script::Deed,
    server::Asker,
};
use jiff::{SignedDuration, Timestamp};
use std::rc::Rc;

impl World<'_> {
    pub(super) fn attempt(&mut self, index: usize, tries: u32) -> Step {
        let step = self.script.steps[index].clone();
        match step.deed {
            Deed::KillServer { in_append: None, down } => self.kill_server(down),
            Deed::KillServer { in_append, down } => {
                self.tell(|_| step.deed.to_string());
                self.server.dies_for = down;
                self.server.store().dies(in_append);
            }
            Deed::KillAgent { target, in_operation: Some(operations), power, down } if target < self.agents.len() => {
                self.tell(|_| step.deed.to_string());
                self.agents[target].dying = (power, down);
                self.agents[target].hardware.disk.dies_in(Some(operations));
            }
            Deed::KillAgent { target, power, down, .. } if target < self.agents.len() => {
                self.kill_agent(target, power, down);
            }
            Deed::KillAgent { .. } => {}
            Deed::Vanish { target } if target < self.agents.len() => self.vanish(target),
            Deed::Vanish { .. } => {}
            Deed::CutOff { targets, lasts } => {
                self.tell(|_| step.deed.to_string());
                for (index, agent) in self.agents.iter_mut().enumerate() {
                    agent.reached = !targets[index % 4];
                }
                self.after(lasts, Event::Reach);
            }
            Deed::FillDisk { target, lasts } if target < self.agents.len() => {
                self.tell(|_| step.deed.to_string());
                self.agents[target].hardware.disk.fill(true);
                self.after(lasts, Event::Room { target });
            }
            Deed::FillDisk { .. } => {}
            Deed::FillLedger { lasts } => {
                self.tell(|_| step.deed.to_string());
                self.server.store().fill(true);
                self.after(lasts, Event::LedgerRoom);
            }
            Deed::SetClock { target, seconds } => {
                self.tell(|_| step.deed.to_string());
                match target {
                    None => self.server_offset += seconds * 1000,
                    Some(target) if target < self.agents.len() => {
                        self.agents[target].offset += seconds * 1000;
                        self.model.clock_is_set(target, self.elapsed());
                    }
                    Some(_) => return Ok(()),
                }
                self.set_clocks();
                self.model.sees(if seconds > 0 { "a clock set forward" } else { "a clock set back" });
            }
            ref deed => self.person_acts(index, step.id, deed, tries),
        }
        Ok(())
    }

    fn person_acts(&mut self, index: usize, id: usize, deed: &Deed, tries: u32) {
        let now = cast::beginning().checked_add(SignedDuration::from_millis(self.now as i64)).unwrap_or(Timestamp::MAX);
        let Some(ledger) = self.server.ledger() else {
            if tries < PERSON_TRIES {
                self.after(PATIENCE, Event::Try(index, tries + 1));
            }
            return;
        };
        let state = ledger.state();
        let Some(Saying { who, submission, planned }) =
            people::sign(&self.cast, (&state, &ledger.away()), deed, id, now)
        else {
            self.tell(|_| format!("{deed}: there is nothing to do it to"));
            return;
        };
        self.model.signed(who, &submission.envelope);
        let thinks = planned.map(|(planned, thinks)| {
            self.model.plans(&planned);
            thinks
        });
        self.calls += 1;
        let call = self.calls;
        let submission = Rc::new(Asked::Person(Box::new(submission)));
        self.tell(|_| deed.to_string());
        self.people.insert(call, PersonsCall { who, submission, what: deed.to_string() });
        match thinks {
            Some(thinks) => self.after(thinks, Event::Again { call, tries: 0 }),
            None => self.person_sends(call, 0),
        }
    }

    pub(super) fn person_sends(&mut self, call: u64, tries: u32) {
        let Some(person) = self.people.get(&call) else { return };
        let asked = person.submission.clone();
        if tries >= PERSON_TRIES {
            let what = person.what.clone();
            self.people.remove(&call);
            return self.tell(|_| format!("{what}: nobody ever answered"));
        }
        let from = Sender::Person(person.who);
        self.send(from, Asker::Person { call }, asked);
        self.after(PATIENCE, Event::Again { call, tries: tries + 1 });
    }

    pub(super) fn person_hears(&mut self, call: u64, told: &Told) {
        match told {
            // Whoever asked may have given up; what was acknowledged is acknowledged.
            Told::Accepted { number, payload } => self.model.acknowledge(*number, *payload),
            Told::Refused { code } if code == "NOT_WRITTEN" => return,
            Told::Refused { code } => self.model.refused(code),
        }
        let Some(person) = self.people.remove(&call) else { return };
        let PersonsCall { who, what, .. } = person;
        self.tell(|_| match told {
            Told::Accepted { number, .. } => format!("{} hears: entry {number} ({what})", who.name()),
            Told::Refused { code } => format!("{} hears: {code} ({what})", who.name()),
        });
    }
}
