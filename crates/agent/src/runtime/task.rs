//! What runs once and ends: a smoke test, a migration. It has a keeper of its own, so that it outlives the agent, and
//! how it ended is on disk before its keeper leaves.

use super::{
    Exit, Runtime, RuntimeError, ServiceSpec,
    control::{Kept, look, stop_all},
    disk::{failed, make_folder, replace_durably},
    log_reader::last_line_of_process,
    spec::{CopyId, KeeperFiles, expand_task},
    state::Phase,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use trust::{AppName, Digest, manifest::Run};

const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// What is known of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It was never begun, or its end was taken note of.
    Absent,
    /// It runs.
    Running,
    /// It ended so.
    Ended(Exit),
    /// It was begun, and nobody saw its end: its keeper was killed, or the machine went down.
    Lost,
}

impl Runtime {
    /// Works out a task of a build: its user, folder and environment are the build's, with the port of the first copy of
    /// the process that is meant (see [`Run::process_meant`]).
    pub fn task(
        &self,
        app: &AppName,
        build: &Digest,
        run: &Run,
        config: &BTreeMap<String, String>,
        (name, argv, process): (&str, &[String], Option<&str>),
    ) -> Result<ServiceSpec, RuntimeError> {
        let port = match run.process_meant(process) {
            Some((process, _)) => {
                let specs = self.specs(app, build, run, config)?;
                specs.iter().find(|spec| spec.id.process == process).and_then(|spec| spec.port)
            }
            None => None,
        };
        expand_task(&self.placement(app, build), run, config, name, argv, port)
    }

    /// Begins a task; an earlier one of its name is ended first. Returns once its keeper watches over it.
    pub fn begin_task(&self, task: &ServiceSpec) -> Result<(), RuntimeError> {
        self.clear_task(&task.app, &task.id.process)?;
        let kept = self.kept_task(task)?;
        self.launch(&kept)
    }

    /// How it is with the task of this name.
    pub fn task_state(&self, app: &AppName, name: &str) -> Result<TaskState, RuntimeError> {
        let files = self.task_files(app, name);
        let (is_kept, state) = look(&files)?;
        Ok(match state {
            Some(state) if state.phase == Phase::Ended => state.last_exit.map_or(TaskState::Lost, TaskState::Ended),
            _ if is_kept => TaskState::Running,
            None if !files.spec.exists() => TaskState::Absent,
            _ => TaskState::Lost,
        })
    }

    /// Ends the task if it runs, and forgets it.
    pub fn clear_task(&self, app: &AppName, name: &str) -> Result<(), RuntimeError> {
        let files = self.task_files(app, name);
        if !files.spec.exists() && !files.state.exists() {
            return Ok(());
        }
        match ServiceSpec::read(&files.spec) {
            Ok(spec) => stop_all(&[Kept { spec, files }]),
            // What cannot be read was never begun: its file is on disk before its keeper starts.
            Err(_) => files.remove(),
        }
    }

    /// Ends and forgets every task of the application.
    pub fn clear_tasks(&self, app: &AppName) -> Result<(), RuntimeError> {
        let folder = self.layout.tasks(app);
        let names = crate::files::names_in(&folder.clone().into()).unwrap_or_default();
        for name in names.iter().filter_map(|name| name.rsplit_once('.')).filter_map(|(stem, _)| stem.rsplit_once('-'))
        {
            self.clear_task(app, name.0)?;
        }
        Ok(())
    }

    /// Waits until the task has ended, for `within` from now, and says how: exit code 0 is good. One that takes longer
    /// is ended. What is lost is an error as well.
    pub fn wait_for_task(&self, task: &ServiceSpec, within: Duration) -> Result<(), String> {
        let give_up = Instant::now() + within;
        let name = &task.id.process;
        let ended = loop {
            match self.task_state(&task.app, name).map_err(|error| error.to_string())? {
                TaskState::Running if Instant::now() < give_up => std::thread::sleep(LOOK_AGAIN),
                TaskState::Running => {
                    self.clear_task(&task.app, name).map_err(|error| error.to_string())?;
                    break Err(format!("took longer than {} s and was ended", within.as_secs()));
                }
                TaskState::Ended(Exit::Code(0)) => break Ok(()),
                TaskState::Ended(exit) => break Err(exit.to_string()),
                TaskState::Absent | TaskState::Lost => {
                    break Err("was killed, and it is not known how far it came".into());
                }
            }
        };
        ended.map_err(|how| match last_line_of_process(&task.log()) {
            Some(line) => format!("{how} (last log: \"{line}\")"),
            None => how,
        })
    }

    /// The file by which programs are run as the task would be.
    pub(super) fn kept_task(&self, task: &ServiceSpec) -> Result<Kept, RuntimeError> {
        let files = self.task_files(&task.app, &task.id.process);
        make_folder(&task.logs, 0o750)?;
        make_folder(&self.layout.run(&task.app), 0o700)?;
        make_folder(&self.layout.tasks(&task.app), 0o700)?;
        let bytes = serde_json::to_vec(task).map_err(|error| failed("write", &files.spec)(error.into()))?;
        replace_durably(&files.spec, &bytes, 0o600)?;
        Ok(Kept { spec: task.clone(), files })
    }

    fn task_files(&self, app: &AppName, name: &str) -> KeeperFiles {
        KeeperFiles::new(&self.layout.tasks(app), &CopyId { process: name.to_owned(), copy: 1 })
    }
}
