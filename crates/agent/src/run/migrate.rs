//! What changes an application's data: once a deployment, before any process changes, and never twice without a look at how
//! it ended. The journal says that it may have begun before it does; its keeper says how it ended.

use super::{Engine, EngineError, Session, bring::lost_place, check::denied};
use crate::{
    authorise::Refusal,
    drivers::{Bringing, Machine, MachineError},
    journal::{Migrating, MigrationStage, UnderWay},
    runtime::TaskState,
    step::{self, Last},
    supply::Supply,
};
use domain::plan::Migration;
use trust::{
    AppName,
    authority::{Dossier, VerifiedAuthority},
    statement::{Act, Phase, Statement},
};

/// Whether the order, which was just found to hold, says that the data stays.
fn keeps_data(dossier: &Dossier) -> bool {
    let order = dossier.order.as_ref().and_then(|envelope| Statement::read(envelope).ok());
    order.is_some_and(|order| matches!(order.act, Act::Order(order) if order.keep_data))
}

impl<S: Supply, M: Machine> Engine<S, M> {
    /// Changes the data, or looks how a change that was begun has ended.
    pub(super) fn migrate(&mut self, app: &AppName, session: &mut Session) -> Result<Last, EngineError> {
        let under_way = self.under_way(app)?;
        let Some(migration) = step::migration(&under_way.assignment) else { return Ok(lost_place()) };
        let Some(bringing) = self.migrating_build(app, &under_way, migration)? else {
            return Ok(Last::Done(Phase::Migrate));
        };
        let bringing = match bringing {
            Ok(bringing) => bringing,
            Err(error) => return Ok(Last::Failed(error.0)),
        };
        let begun = match under_way.migrating {
            Some(Migrating { stage: MigrationStage::Done, .. }) => return Ok(Last::Done(Phase::Migrate)),
            Some(_) => self.machine().migration(app),
            None => Ok(TaskState::Absent),
        };
        match begun {
            Err(error) => return Ok(Last::Failed(error.0)),
            Ok(TaskState::Absent) => {
                let authority = match self.check_again(app)? {
                    Ok(authority) => authority,
                    Err(refusal) => return Ok(denied(refusal)),
                };
                if keeps_data(&self.under_way(app)?.dossier) {
                    let why = "its order says that the data stays, and it was told to change it";
                    return Ok(denied(Refusal::new("DATA_STAYS", why)));
                }
                if let Err(error) = self.machine().forget_migration(app) {
                    return Ok(Last::Failed(error.0));
                }
                let timings = session.timings.clone();
                self.touch(app, |under_way| {
                    under_way.phase = Phase::Migrate;
                    under_way.timings = timings;
                    under_way.migrating = Some(Migrating { migration, stage: MigrationStage::Begun });
                })?;
                if let Err(error) = self.drivers.migrate(&authority, &bringing, migration) {
                    return Ok(Last::Failed(error.0));
                }
                session.authority = Some(authority);
            }
            Ok(TaskState::Running | TaskState::Ended(_) | TaskState::Lost) => {}
        }
        Ok(match self.await_end(app, &bringing, migration)? {
            Ok(()) => {
                self.stage_of_migration(app, MigrationStage::Done)?;
                Last::Done(Phase::Migrate)
            }
            Err(error) => Last::Failed(error.0),
        })
    }

    /// Takes back what the deployment under way did to the data, where its build says how. Answers with what is to be said
    /// of the data, and whether that is a failure.
    pub(super) fn take_back_migration(
        &mut self,
        app: &AppName,
        authority: &VerifiedAuthority,
    ) -> Result<Result<Option<&'static str>, String>, EngineError> {
        let under_way = self.under_way(app)?;
        let Some(Migrating { migration, stage }) = under_way.migrating else { return Ok(Ok(None)) };
        let back = match migration {
            Migration::Run => Migration::Undo,
            Migration::Undo => Migration::Run,
        };
        // The same build knows both ways.
        let bringing = match self.migrating_build(app, &under_way, migration)? {
            Some(Ok(bringing)) => bringing,
            Some(Err(error)) => return Ok(Err(error.0)),
            None => return Ok(Ok(None)),
        };
        if !bringing.can_migrate(back) {
            let stays = "the data stays as its migration left it, which has no undo";
            return Ok(Ok((stage != MigrationStage::Begun).then_some(stays)));
        }
        match stage {
            // It failed, so that nobody knows what there would be to take back.
            MigrationStage::Begun | MigrationStage::Back => return Ok(Ok(None)),
            MigrationStage::Done => {
                if let Err(error) = self.machine().forget_migration(app) {
                    return Ok(Err(error.0));
                }
                self.stage_of_migration(app, MigrationStage::BackBegun)?;
                if let Err(error) = self.drivers.take_back_migration(authority, &bringing, back) {
                    return Ok(Err(error.0));
                }
            }
            MigrationStage::BackBegun => match self.machine().migration(app) {
                Err(error) => return Ok(Err(error.0)),
                Ok(TaskState::Absent) => {
                    if let Err(error) = self.drivers.take_back_migration(authority, &bringing, back) {
                        return Ok(Err(error.0));
                    }
                }
                Ok(TaskState::Running | TaskState::Ended(_) | TaskState::Lost) => {}
            },
        }
        Ok(match self.await_end(app, &bringing, back)? {
            Err(error) => Err(format!("taking its migration back failed: {error}")),
            Ok(()) => {
                self.stage_of_migration(app, MigrationStage::Back)?;
                Ok(Some("its migration was taken back"))
            }
        })
    }

    /// The build whose migration it is; nothing where it has none.
    fn migrating_build(
        &self,
        app: &AppName,
        under_way: &UnderWay,
        migration: Migration,
    ) -> Result<Option<Result<Bringing, MachineError>>, EngineError> {
        let of = match migration {
            Migration::Run => &under_way.next,
            Migration::Undo => &under_way.before,
        };
        let Some(of) = of else { return Ok(None) };
        let bringing = self.bringing(app, of)?;
        Ok(match bringing {
            Ok(bringing) => bringing.can_migrate(migration).then_some(Ok(bringing)),
            Err(error) => Some(Err(error)),
        })
    }

    /// The end of a migration that was begun; anything but a good one is an error.
    fn await_end(
        &self,
        app: &AppName,
        bringing: &Bringing,
        migration: Migration,
    ) -> Result<Result<(), MachineError>, EngineError> {
        self.note(&self.under_way(app)?, Phase::Migrate, false, "runs".into());
        Ok(self.machine().await_migration(bringing, migration))
    }

    fn stage_of_migration(&mut self, app: &AppName, stage: MigrationStage) -> Result<(), EngineError> {
        self.change(app, |under_way| {
            if let Some(migrating) = &mut under_way.migrating {
                migrating.stage = stage;
            }
        })
    }
}
