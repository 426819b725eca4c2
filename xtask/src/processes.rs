//! Processes that outlive the command that started them, and how exactly those are found and ended again.

use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How often something that takes its time is looked at.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a process that was asked to stop may take before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// A process started in the background, with its output in a file.
#[derive(Debug)]
pub(crate) struct Background {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Background {
    /// Starts `command` in a process group of its own, so that an interrupted terminal does not end it.
    pub(crate) fn start(name: &str, command: &mut Command, log: PathBuf) -> Result<Self> {
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_string(), child, log })
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub(crate) fn written(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until `look` finds what it looks for in what the process writes; fails when the process ends before.
    pub(crate) fn wait_for<T>(&mut self, what: &str, look: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ended = self.child.try_wait()?;
            let written = self.written();
            if let Some(found) = look(&written) {
                return Ok(found);
            }
            let why = match ended {
                Some(status) => format!("it ended: {status}"),
                None if Instant::now() > deadline => "a minute is over".to_string(),
                None => {
                    thread::sleep(LOOK_AGAIN);
                    continue;
                }
            };
            bail!("{} never said {what}: {why}. It wrote ({}):\n{written}", self.name, self.log.display());
        }
    }

    /// Asks it to stop and waits until it is gone.
    pub(crate) fn stop(mut self) -> Result<()> {
        signal("TERM", self.id())?;
        let deadline = Instant::now() + GRACE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.child.kill()?;
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

/// Ends every process whose program lies below `folder`, services that outlive their agents included, and answers how
/// many they were. No other process can be meant: what lies there was put there for these processes alone.
pub(crate) fn end_all_below(folder: &Path) -> Result<usize> {
    let all = below(folder);
    for id in &all {
        signal("TERM", *id)?;
    }
    let deadline = Instant::now() + GRACE;
    loop {
        let left = below(folder);
        if left.is_empty() {
            return Ok(all.len());
        }
        if Instant::now() > deadline {
            for id in left {
                signal("KILL", id)?;
            }
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// The processes whose program lies below `folder`, less those that have ended and only wait to be noticed.
fn below(folder: &Path) -> Vec<u32> {
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let of = |entry: fs::DirEntry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let program = fs::read_link(entry.path().join("exe")).ok()?;
        program.starts_with(&folder).then_some(id)
    };
    entries.flatten().filter_map(of).collect()
}

fn signal(signal: &str, id: u32) -> Result<()> {
    // The standard library can't send signals, but every shell can. A process that is gone already is what is wanted.
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("kill -{signal} {id}")]).stderr(Stdio::null());
    shell.status().context("cannot run sh")?;
    Ok(())
}

/// The resident memory of a process in bytes.
pub(crate) fn resident_bytes(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_from_the_folder_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("sleep");
        fs::copy("/bin/sleep", &here).unwrap();
        let mut inside = Command::new(&here).arg("600").spawn().unwrap();
        let mut outside = Command::new("/bin/sleep").arg("600").spawn().unwrap();
        while below(folder.path()) != [inside.id()] {
            thread::sleep(LOOK_AGAIN);
        }
        assert_eq!(end_all_below(folder.path()).unwrap(), 1);
        assert!(!inside.wait().unwrap().success());
        assert!(outside.try_wait().unwrap().is_none(), "a process from elsewhere was ended");
        outside.kill().unwrap();
        outside.wait().unwrap();
    }
}
