//! What `/proc` tells about processes: who is whose child, and whether a number still means the same process.

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::fs;

/// A process that cannot be mistaken for a later one of the same number (within one boot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// The process's number.
    pub pid: i32,
    /// When it started, in clock ticks since boot, as `/proc/<pid>/stat` says.
    pub start_ticks: u64,
}

impl ProcessMark {
    /// Marks the running process `pid`; absent when there is none.
    pub fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, start_ticks: Stat::read(pid)?.start_ticks })
    }

    /// Whether that very process still runs.
    pub fn is_alive(&self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && !stat.is_zombie)
    }
}

/// One line of `/proc/<pid>/stat`, as far as it matters here.
#[derive(Clone, Copy, Debug)]
struct Stat {
    pid: i32,
    parent: i32,
    session: i32,
    start_ticks: u64,
    is_zombie: bool,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: i32, text: &str) -> Option<Self> {
        // The program's name stands in brackets and may itself contain brackets and spaces.
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        Some(Self {
            pid,
            is_zombie: *fields.first()? == "Z",
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }

    fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries.filter_map(|entry| Self::read(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
    }
}

/// Every process that descends from `ancestor`, zombies excepted.
pub(super) fn descendants(ancestor: i32) -> Vec<i32> {
    let all = Stat::all();
    let mut found = vec![ancestor];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        let children = all.iter().filter(|stat| stat.parent == parent).map(|stat| stat.pid);
        let new: Vec<i32> = children.filter(|pid| !found.contains(pid)).collect();
        found.extend(new);
        next += 1;
    }
    let is_zombie = |pid: &i32| all.iter().any(|stat| stat.pid == *pid && stat.is_zombie);
    found.into_iter().skip(1).filter(|pid| !is_zombie(pid)).collect()
}

/// What is left of the session of a keeper that is gone: the processes its service had started.
pub(super) fn left_of_session(keeper: ProcessMark) -> Vec<i32> {
    let all = Stat::all();
    // If the number has been given to another process since, the session of that name is not the keeper's.
    if all.iter().any(|stat| stat.pid == keeper.pid && !stat.is_zombie) {
        return Vec::new();
    }
    let left = all.iter().filter(|stat| stat.session == keeper.pid && stat.start_ticks >= keeper.start_ticks);
    left.filter(|stat| !stat.is_zombie).map(|stat| stat.pid).collect()
}

/// Sends a signal; a process that is already gone is no error.
pub(super) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _already_gone = kill_process(pid, signal);
    }
}

/// A text that is another one after every boot; process numbers mean nothing across it.
pub(super) fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_with_brackets() {
        let line = "7 (a) b (c)) S 3 7 9 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4321 1 1";
        let stat = Stat::parse(7, line).unwrap();
        assert_eq!((stat.parent, stat.session, stat.start_ticks), (3, 9, 4321));
    }

    #[test]
    fn a_mark_is_of_one_process_alone() {
        let own = ProcessMark::of(std::process::id() as i32).unwrap();
        assert!(own.is_alive());
        assert!(!ProcessMark { start_ticks: own.start_ticks + 1, ..own }.is_alive());
    }
}
