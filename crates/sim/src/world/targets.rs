//! What targets ask, hear and do, and how they die and start again.

use super::{Agent, Asked, Event, PATIENCE, Sender, Step, World};
use crate::{
    cast::{DOUBT, app, place_of, target},
    disk::Died,
    fault::Fault,
    model::{Violation, broken},
    process::{Answer, Ask, Effect, Installed, POLL_WAIT, Request, Task, process},
    server::Asker,
};
use corosensei::CoroutineResult;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};
use trust::{
    Digest,
    statement::{Act, Outcome, Report, Statement},
};

impl World<'_> {
    pub(super) fn start(&mut self, index: usize) -> Step {
        let agent = &mut self.agents[index];
        if agent.process.is_some() || agent.is_gone || self.now < agent.down_until {
            return Ok(());
        }
        agent.process = Some(process(agent.hardware.clone()));
        self.tell(|_| format!("{} starts", target(index)));
        self.resume(index, Answer::Done)
    }

    /// A machine is gone, with everything on it.
    pub(super) fn vanish(&mut self, index: usize) {
        let agent = &mut self.agents[index];
        drop(agent.process.take());
        (agent.call, agent.is_gone) = (0, true);
        agent.hardware.installed.iter().for_each(|installed| drop(installed.take()));
        agent.hardware.gathered.borrow_mut().clear();
        self.model.died(index);
        self.tell(|_| format!("{} is gone, and nobody says so", target(index)));
    }

    pub(super) fn kill_agent(&mut self, index: usize, power: bool, down: u64) {
        let agent = &mut self.agents[index];
        // Unwinding is how a process ends that stands in the middle of something.
        drop(agent.process.take());
        (agent.call, agent.asked) = (0, None);
        agent.hardware.disk.dies_in(None);
        agent.down_until = agent.down_until.max(self.now + down);
        if power {
            agent.hardware.disk.lose_power();
            agent.hardware.gathered.borrow_mut().clear();
            let now = self.now;
            for installed in &agent.hardware.installed {
                let mut installed = installed.borrow_mut();
                installed.running = None;
                if let Some(task) = installed.task.as_mut().filter(|task| task.ends > now) {
                    task.is_lost = true;
                }
            }
        }
        self.model.died(index);
        let how = if power { "loses power" } else { "is killed" };
        self.tell(|_| format!("{} {how}, for {} s", target(index), down / 1000));
        let up = self.agents[index].down_until;
        self.at(up, Event::Start { target: index });
    }

    /// An answer of the server's: the model hears what the target hears.
    pub(super) fn answer(&mut self, index: usize, answer: Answer) -> Step {
        let clock = self.agents[index].hardware.now.get();
        match &answer {
            Answer::Orders(orders) => {
                self.model.is_kept_from(index, self.thief.withheld(), orders);
                self.model.told(index, &orders.withdrawals);
                self.model.told(index, &orders.freezes);
            }
            Answer::Estate(estate) => self.model.shows(&self.cast, index, estate),
            Answer::File(file) => self.shown_file(index, file.as_deref(), clock),
            Answer::Dossier(dossier) => {
                if let Some(Request::Dossier { generation, app }) = &self.agents[index].asked {
                    self.model.handed(index, app, *generation, dossier, clock);
                }
            }
            Answer::Done => {
                if let Some(Request::Submit(envelope)) = self.agents[index].asked.take() {
                    let payload = Digest::of(&envelope.payload);
                    if let Some(number) = self.server.accepted.get(&payload).copied() {
                        self.model.acknowledge(number, payload);
                    }
                }
            }
            _ => {}
        }
        self.resume(index, answer)
    }

    pub(super) fn resume(&mut self, index: usize, answer: Answer) -> Step {
        let agent = &mut self.agents[index];
        agent.call = 0;
        let Some(process) = agent.process.as_mut() else { return Ok(()) };
        match catch_unwind(AssertUnwindSafe(|| process.resume(answer))) {
            Ok(CoroutineResult::Yield(ask)) => self.asked(index, ask),
            Ok(CoroutineResult::Return(())) => {
                agent.process = None;
                self.after(5_000, Event::Start { target: index });
                Ok(())
            }
            Err(cause) if cause.is::<Died>() => {
                let (power, down) = agent.dying;
                self.model.sees("a process killed in a disk operation");
                let agent = &mut self.agents[index];
                agent.process = None;
                self.kill_agent(index, power, down);
                Ok(())
            }
            Err(cause) => {
                let why = cause.downcast_ref::<String>().cloned().unwrap_or_default();
                broken("PANIC", format!("the agent of {} panicked: {why}", target(index)))
            }
        }
    }

    fn asked(&mut self, index: usize, ask: Ask) -> Step {
        self.calls += 1;
        let call = self.calls;
        self.agents[index].call = call;
        let full = self.agents[index].hardware.disk.is_full();
        self.model.looks_at_clock(index, self.agents[index].hardware.now.get());
        self.keeps_of_repository(index)?;
        self.keeps_of_roots(index)?;
        // What stands beside an assignment is kept once everything else has been asked for.
        if !matches!(ask, Ask::Server(Request::Estate | Request::File(_))) {
            self.model.went_on(index, full);
        }
        match ask {
            Ask::Sleep(pause) => {
                self.after(pause.as_millis() as u64, Event::Wake { target: index, call, answer: Answer::Done });
            }
            Ask::Machine(place, effect) => {
                let takes = match effect {
                    Effect::Stage(_) => self.luck.between(50, 500),
                    Effect::Start(..) => self.luck.between(100, 3_000),
                    Effect::Verify(_) => self.luck.between(1_000, 8_000),
                    _ => self.luck.between(1, 40),
                };
                // What a process that dies meanwhile has begun is done, or is not.
                if self.luck.chance(500) {
                    let answer = self.perform(index, place, effect)?;
                    self.after(takes, Event::Wake { target: index, call, answer });
                } else {
                    self.after(takes, Event::Effect { target: index, call, place, effect });
                }
            }
            Ask::Server(request) => return self.target_sends(index, call, request),
        }
        Ok(())
    }

    fn target_sends(&mut self, index: usize, call: u64, request: Request) -> Step {
        if let Request::Submit(envelope) = &request {
            match Statement::read(envelope).map(|statement| statement.act) {
                Ok(Act::Report(report)) => {
                    let place = place_of(&report.app);
                    let installed = self.agents[index].hardware.installed[place].borrow();
                    let is = (installed.current, installed.serves, installed.is_halted);
                    drop(installed);
                    let outcome = format!("{:?}", report.outcome);
                    self.tell(|_| format!("{} reports on deployment {}: {outcome}", target(index), report.deployment));
                    self.refusal_seen(&report);
                    self.model.of(place).reports(&self.cast, &report, is)?;
                }
                Ok(Act::Inventory(inventory)) if inventory.lapsed.is_some() => {
                    self.tell(|_| format!("{} says its last word", target(index)));
                    let installed = &self.agents[index].hardware.installed;
                    installed.iter().try_for_each(|it| self.model.says_last_word(index, &it.borrow()))?;
                }
                _ => {}
            }
        }
        let limit = match request {
            Request::Poll { .. } => POLL_WAIT + PATIENCE,
            _ => PATIENCE,
        };
        self.agents[index].asked = Some(request.clone());
        let asked = Rc::new(Asked::Target(request));
        let asker = Asker::Target { target: index, call };
        match self.agents[index].reached {
            true => self.send(Sender::Target(index), asker, asked),
            false => self.model.sees("a target cut off"),
        }
        self.after(limit, Event::Wake { target: index, call, answer: Answer::Away });
        Ok(())
    }

    /// A target says no to what it was assigned.
    fn refusal_seen(&mut self, report: &Report) {
        if let Outcome::Failed { reason, .. } | Outcome::Undone { reason, .. } = &report.outcome
            && reason.contains("the pack holds")
        {
            self.model.sees("other bytes refused");
        }
        let Outcome::Refused { code, reason } = &report.outcome else { return };
        match code.as_str() {
            "MANIFEST_UNFIT" => self.model.sees("another manifest refused"),
            "STALE" => self.model.sees("too old a word of the repository refused"),
            "CLOCK_BEHIND" => self.model.sees("a date that has not come refused"),
            _ => {}
        }
        self.model.sees("an activation refused by a target");
        if reason.contains("it is of another estate") && self.script.setting.tricks.foreign {
            self.model.sees("a statement of another estate refused");
        }
        if code == "ORDER_REPEATED" {
            self.model.sees("a repeated order refused");
        } else if self.thief.has_forged(report.generation, report.deployment) {
            self.model.sees("a forged assignment refused");
        }
        let what = (report.generation, report.deployment);
        if let Some(kind) = self.thief.refused_of_members(&self.cast, what, (code, reason)) {
            self.model.sees(kind);
        }
    }

    /// Something is done on a machine; the model says whether it may be.
    pub(super) fn perform(&mut self, index: usize, place: usize, effect: Effect) -> Result<Answer, Violation> {
        let hardware = self.agents[index].hardware.clone();
        let mut installed = hardware.installed[place].borrow_mut();
        let failed = |why: &str| Ok(Answer::Failed(why.into()));
        if let Effect::Stage(build) | Effect::Switch(Some(build)) | Effect::Start(build, _) = effect {
            let now = (hardware.now.get(), self.elapsed());
            self.model.of(place).comes_to(&self.cast, index, build, now)?;
        }
        match effect {
            Effect::Stage(build) => {
                let Some(version) = self.cast.version_of(&build) else { return failed("nobody knows this build") };
                let mut gathered = hardware.gathered.borrow_mut();
                let wanted = &self.cast.manifests[version];
                let has_all = wanted.objects().all(|(digest, _)| gathered.contains_key(&digest));
                if !installed.staged.contains(&build) && !has_all {
                    return failed("objects are missing");
                }
                if gathered.iter().any(|(name, is)| name != is) {
                    let name = self.cast.name(&build);
                    return broken("BYTES", format!("{} lays out {name} with other bytes in it", target(index)));
                }
                gathered.clear();
                installed.staged.insert(build);
            }
            Effect::Prepare(build) if !installed.staged.contains(&build) => return failed("it is not laid out"),
            Effect::Prepare(_) => {}
            Effect::Switch(build) => {
                let is = (installed.current, installed.is_halted);
                let others = hardware.installed.each_ref().map(|other| other.try_borrow().ok()?.current);
                self.model.switches(&self.cast, (index, place), is, build, (hardware.now.get(), others))?;
                drop(installed);
                self.goes_out(index, place)?;
                let mut installed = hardware.installed[place].borrow_mut();
                installed.current = build;
                installed.serves &= build.is_some();
                self.activations += 1;
                let name = build.map_or_else(|| format!("no {}", app(place)), |build| self.cast.name(&build));
                self.tell(|_| format!("{} switches to {name}", target(index)));
            }
            Effect::Start(..) | Effect::Restart(_) | Effect::StandBy => {
                drop(installed);
                self.starts_or_stands_by(index, place, effect)?;
            }
            Effect::Stop => (installed.running, installed.is_halted) = (None, true),
            Effect::Revive if installed.is_halted && installed.current.is_some() => {
                return broken("STOPPED", format!("{} starts by itself what was stopped", target(index)));
            }
            Effect::Revive if installed.running == installed.current => {}
            Effect::Revive => {
                let current = installed.current;
                (installed.running, installed.is_halted, installed.started) = (current, false, self.now);
            }
            Effect::Look if self.is_ailing(index, &installed, self.now) => return failed("web-1 /healthz 503"),
            Effect::Look => {}
            Effect::Migrate(..) if installed.task.is_some() => return failed("it has begun already"),
            Effect::Migrate(build, migration) => {
                let now = hardware.now.get();
                self.model.of(place).migrates(&self.cast, index, installed.current, (build, migration), now)?;
                let version = self.cast.version_of(&build);
                let change = version.and_then(|version| self.script.setting.changes_data.get(&version));
                let is_good = !self.luck.chance(change.map_or(0, |change| change.fails));
                let ends = self.now + self.luck.between(1_000, 40_000);
                installed.task = Some(Task { ends, is_good, is_lost: false });
                let name = self.cast.name(&build);
                self.tell(|_| format!("{}: {migration:?} of the migration of {name} begins", target(index)));
            }
            Effect::ForgetMigration => installed.task = None,
            Effect::Verify(build) => {
                if installed.running != Some(build) || self.is_sick(index, &build) {
                    return failed("web-1 does not answer");
                }
                if self.is_doubtful(index, &build) {
                    return Ok(Answer::Doubtful(DOUBT.into()));
                }
            }
            Effect::Remove => installed.staged.clear(),
            Effect::Erase => {
                if self.fault != Some(Fault::RemainsLeft) {
                    installed.staged.clear();
                }
                self.model.erases(index)?;
                self.tell(|_| format!("{} has removed everything", target(index)));
            }
        }
        Ok(Answer::Done)
    }

    /// What is there starts, to serve or to stand by, or stands by from now on.
    fn starts_or_stands_by(&mut self, index: usize, place: usize, effect: Effect) -> Step {
        let hardware = self.agents[index].hardware.clone();
        let current = hardware.installed[place].borrow().current;
        let clock = hardware.now.get();
        if effect == Effect::StandBy {
            let others = (0..self.agents.len()).any(|other| other != index && self.is_in_service(other, place));
            self.model.of(place).makes_way(index, current, others)?;
            self.tell(|_| format!("{} stands by", target(index)));
            hardware.installed[place].borrow_mut().serves = false;
            return Ok(());
        }
        let (build, standby) = match (effect, current) {
            (Effect::Start(build, standby), _) | (Effect::Restart(standby), Some(build)) => (build, standby),
            _ => return Ok(()),
        };
        if matches!(effect, Effect::Start(..)) {
            self.model.of(place).starts(&self.cast, index, current, build)?;
        }
        match standby {
            true => self.model.of(place).stays_back(index),
            false => self.model.of(place).lets_serve(&self.cast, index, build, clock)?,
        }
        let mut installed = hardware.installed[place].borrow_mut();
        if matches!(effect, Effect::Restart(_)) || installed.running != Some(build) || installed.is_halted {
            installed.started = self.now;
        }
        let served = std::mem::replace(&mut installed.serves, !standby);
        (installed.running, installed.is_halted) = (Some(build), false);
        if !served && !standby {
            self.tell(|_| format!("{} serves", target(index)));
        }
        Ok(())
    }

    /// Whether a target serves, where there are sides.
    fn is_in_service(&self, index: usize, place: usize) -> bool {
        let installed = self.agents[index].hardware.installed[place].borrow();
        installed.serves && installed.current.is_some() && !installed.is_halted
    }

    /// Whether a build does not come up on a target.
    fn is_sick(&self, index: usize, build: &Digest) -> bool {
        self.cast.version_of(build).is_some_and(|version| self.script.setting.sick.contains(&(version, index)))
    }

    /// Whether nothing that is measured on a target decides how a build is.
    fn is_doubtful(&self, index: usize, build: &Digest) -> bool {
        self.cast.version_of(build).is_some_and(|version| self.script.setting.doubtful.contains(&(version, index)))
    }

    /// Whether what runs on a target is unwell at a moment.
    pub(super) fn is_ailing(&self, index: usize, installed: &Installed, at: u64) -> bool {
        let version = installed.running.and_then(|build| self.cast.version_of(&build));
        let since = at.saturating_sub(installed.started);
        self.script.setting.ailing.iter().any(|ailment| {
            let is_it = version == Some(ailment.version) && index == ailment.target;
            is_it && (ailment.after..ailment.after + ailment.lasts).contains(&since)
        })
    }

    /// A target leaves what runs there. A machine that lies down, or whose processes died, has not been taken out of
    /// service by anybody; and whoever has taken the server may take out what he likes.
    fn goes_out(&mut self, index: usize, place: usize) -> Step {
        if self.script.setting.taken.is_some_and(|from| self.now >= from) {
            return Ok(());
        }
        let well = |(index, agent): (usize, &Agent)| {
            let installed = agent.hardware.installed[place].borrow();
            let serves = installed.serves || !self.script.setting.sides;
            serves && !installed.is_halted && installed.current.is_some_and(|build| !self.is_sick(index, &build))
        };
        let well: Vec<bool> = self.agents.iter().enumerate().map(well).collect();
        self.model.of(place).goes_out(index, &well)
    }
}
