//! The processes of a story: started in the background, and ended with it.

use super::{PATIENCE, looking::LOOK_AGAIN, until};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

/// A process of a story in the background, which is ended with it.
pub struct Ended(Child);

impl Ended {
    /// Starts it with its output in a file.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        Self(background(command, log))
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Asks it to end as Ctrl-C does, and answers with its exit code.
    pub fn interrupt(&mut self) -> Option<i32> {
        signal(self.0.id(), rustix::process::Signal::INT);
        until("the end of what was interrupted", || self.0.try_wait().unwrap()).code()
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn background(command: &mut Command, log: &Path) -> Child {
    let file = File::options().create(true).append(true).open(log).unwrap();
    for name in ["SORTIE_HOME", "SORTIE_IDENTITY", "SORTIE_KEY", "SORTIE_SERVER", "SORTIE_CONTEXT"] {
        // A person's command has its own; a machine's has none.
        if !command.get_envs().any(|(known, value)| known.to_str() == Some(name) && value.is_some()) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap()
}

/// Asks a process to end, and waits until it has.
pub(super) fn end(mut child: Child) {
    signal(child.id(), rustix::process::Signal::TERM);
    until("a process that was asked to end", || child.try_wait().unwrap());
}

fn signal(id: u32, signal: rustix::process::Signal) {
    let id = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
    // A process that is gone already is what is wanted.
    let _ = id.map(|id| rustix::process::kill_process(id, signal));
}

/// Ends every process whose program lies below `folder`. No other can be meant: what lies there was put there for
/// these processes alone.
pub(super) fn end_all_below(folder: &Path, with: rustix::process::Signal) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Agents and keepers first start what they miss, so that one round may not be enough.
        let left = below(folder);
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        left.iter().for_each(|(id, _)| signal(*id, with));
        thread::sleep(LOOK_AGAIN);
    }
}

/// The processes whose program lies below `folder`, less those that have ended and only wait to be noticed.
pub(super) fn below(folder: &Path) -> Vec<(u32, PathBuf)> {
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let of = |entry: fs::DirEntry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let program = fs::read_link(entry.path().join("exe")).ok()?;
        program.starts_with(&folder).then_some((id, program))
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(of).collect()
}
