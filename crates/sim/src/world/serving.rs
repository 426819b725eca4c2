//! What the server takes in and answers, and how it dies and comes back.

use super::{Asked, Event, Step, World};
use crate::{
    cast::target,
    disk::Died,
    fault::Fault,
    model::broken,
    people::Told,
    process::{Answer, POLL_WAIT, Request},
    server::Asker,
};
use api::write::Submission;
use domain::plan::Assignment;
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

impl World<'_> {
    pub(super) fn serve(&mut self, asker: Asker, asked: &Asked) -> Step {
        if !self.server.is_up() {
            let takes = self.road();
            if let (Asker::Target { target, call }, Some(takes)) = (asker, takes) {
                self.after(takes, Event::ToTarget { target, call, answer: Rc::new(Answer::Away) });
            }
            return Ok(());
        }
        match asked {
            Asked::Person(submission) => {
                self.thief.sees(&submission.envelope);
                self.submit(asker, (**submission).clone());
            }
            Asked::Target(Request::Submit(_)) if self.swallows() => self.reply(asker, Answer::Done),
            Asked::Target(Request::Submit(envelope)) => {
                let envelope = (**envelope).clone();
                let (attachments, texts) = (BTreeMap::new(), BTreeMap::new());
                self.submit(asker, Submission { envelope, attachments, texts, claim: None });
            }
            Asked::Target(Request::Poll { generation, charter }) => {
                if let Asker::Target { target, .. } = asker {
                    self.model.hears_of(target, self.elapsed());
                }
                let at_once = self.is_taken() && self.thief.is_eager();
                let is_back = matches!(asker, Asker::Target { target, .. } if !self.server.is_here(target));
                match self.server.poll(asker, *generation, *charter, at_once) {
                    Some(answer) => self.reply(asker, answer),
                    None => {
                        if let Asker::Target { call, .. } = asker {
                            self.after(POLL_WAIT, Event::PollDue { call });
                        }
                    }
                }
                if is_back {
                    self.tick();
                }
            }
            Asked::Target(Request::File(path)) => return self.serve_file(asker, path),
            Asked::Target(request) => {
                let answer = self.server.answer(asker, request);
                self.reply(asker, answer);
            }
        }
        Ok(())
    }

    /// Whether a report is taken and passed on to nobody.
    fn swallows(&mut self) -> bool {
        self.fault == Some(Fault::ReportsSwallowed) || self.is_taken() && self.thief.swallows()
    }

    fn submit(&mut self, asker: Asker, submission: Submission) {
        match self.server.submit(asker, submission) {
            Ok(()) => self.turn_soon(),
            Err(told) => self.reply_told(asker, told),
        }
    }

    fn turn_soon(&mut self) {
        if !std::mem::replace(&mut self.server.turn_is_due, true) {
            let pause = self.luck.between(1, 20);
            self.after(pause, Event::Turn);
        }
    }

    pub(super) fn turn(&mut self) -> Step {
        self.server.turn_is_due = false;
        let turned = catch_unwind(AssertUnwindSafe(|| self.server.turn()));
        let answers = match turned {
            Ok(answers) => answers,
            Err(cause) if cause.is::<Died>() => {
                let down = self.server.dies_for;
                self.model.sees("the server killed while it stores");
                self.kill_server(down);
                return Ok(());
            }
            Err(_) => return broken("PANIC", "the ledger's writer panicked"),
        };
        let news = self.server.news();
        if let Some((state, entries)) = &news {
            for entry in entries {
                let events: Vec<&str> = entry.events.iter().map(domain::event::Event::name).collect();
                let (number, actor) = (entry.number, entry.actor.clone());
                self.tell(|_| format!("entry {number} by {actor}: {}", events.join(", ")));
            }
            let elapsed = self.elapsed();
            self.model.is_told_who_is_away(self.server.away());
            self.model.published(&self.cast, state.clone(), entries, elapsed)?;
        }
        for (asker, payload, told) in answers {
            if let (Told::Refused { code }, Some(payload)) = (&told, payload) {
                self.model.is_not_recorded(payload, code)?;
            }
            self.reply_told(asker, told);
        }
        if news.is_some() {
            for (asker, orders) in self.server.wake_polls() {
                self.reply(asker, Answer::Orders(Box::new(orders)));
            }
            self.tick();
        }
        Ok(())
    }

    pub(super) fn tick(&mut self) {
        for (index, agent) in self.agents.iter().enumerate() {
            if agent.process.is_some() && agent.reached {
                self.server.hears_of(index);
            }
        }
        let Some((is_asking, pause)) = self.server.tick() else { return };
        if is_asking {
            self.turn_soon();
        }
        self.looks += 1;
        self.after(pause, Event::Tick(self.looks));
    }

    fn reply_told(&mut self, asker: Asker, told: Told) {
        match asker {
            Asker::Clock => {}
            Asker::Person { call } => {
                if let Some(takes) = self.travel() {
                    self.after(takes, Event::ToPerson { call, told: Rc::new(told) });
                }
            }
            Asker::Target { .. } => {
                let answer = match told {
                    Told::Accepted { number, payload } => {
                        // A target that never hears of it sends it again, so what it is told counts when it hears it.
                        self.server.accepted.insert(payload, number);
                        Answer::Done
                    }
                    Told::Refused { code } => {
                        self.tell(|_| format!("{asker:?} is told: {code}"));
                        Answer::Refused { code, message: String::new() }
                    }
                };
                self.reply(asker, answer);
            }
        }
    }

    pub(super) fn reply(&mut self, asker: Asker, answer: Answer) {
        let Asker::Target { target, call } = asker else { return };
        if !self.agents[target].reached {
            return self.model.sees("a target cut off");
        }
        let answer = if self.is_taken() {
            let about = match &self.agents[target].asked {
                Some(Request::Dossier { generation, app }) => Some((*generation, app)),
                _ => None,
            };
            let answer = self.thief.twist(&self.cast, about, answer);
            self.model.somebody_else_answers();
            self.tell_of_forged(target, &answer);
            answer
        } else {
            answer
        };
        if let Some(takes) = self.travel() {
            self.after(takes, Event::ToTarget { target, call, answer: Rc::new(answer) });
        }
    }

    fn tell_of_forged(&mut self, index: usize, answer: &Answer) {
        let Answer::Orders(orders) = answer else { return };
        for Assignment { generation, deployment, act, build, .. } in &orders.assignments {
            if self.thief.has_forged(*generation, *deployment) {
                let whom = target(index);
                self.tell(|cast| {
                    let build = cast.name(build);
                    format!("the thief tells {whom} of deployment {deployment}, {generation}: {act:?} of {build}")
                });
            }
        }
    }

    pub(super) fn kill_server(&mut self, down: u64) {
        if self.server.is_up() {
            self.tell(|_| format!("the server dies, for {} s", down / 1000));
            self.server.close();
            self.opens_at = Some(self.now + down);
            self.after(down, Event::Open);
        }
    }

    pub(super) fn open(&mut self) -> Step {
        if self.opens_at.is_none_or(|at| at > self.now) || self.server.is_up() {
            return Ok(());
        }
        (self.opens_at, self.opened) = (None, self.now);
        // What was stored before it died was decided by what was known then.
        self.model.is_told_who_is_away(self.server.away());
        if let Err(error) = self.server.open() {
            return broken("LEDGER", format!("the ledger cannot be opened again: {error}"));
        }
        let Some(ledger) = self.server.ledger() else { return Ok(()) };
        let state = ledger.state();
        self.model.reopened(&state, |number| ledger.entry(number).ok().flatten())?;
        self.model.sees("the server started again");
        self.tell(|_| format!("the server is back, with {} entries", state.head.entry));
        if let Some((state, entries)) = self.server.news() {
            let elapsed = self.elapsed();
            self.model.published(&self.cast, state, &entries, elapsed)?;
        }
        self.tick();
        Ok(())
    }
}
