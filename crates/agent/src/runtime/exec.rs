//! The step between keeper and service: a fresh process that becomes the user, ties its life to its parent's, and
//! then turns into the program. It stands in for what other programs do between fork and exec, which needs `unsafe`.
//!
//! A copy that takes its socket from outside gets it as file 3, with LISTEN_FDS and LISTEN_PID (sd_listen_fds(3)). Its
//! keeper gives it to this step as standard input, for that is what a process can be given.

use super::{RuntimeError, account::Account, disk::failed, spec::ServiceSpec};
use command_fds::{CommandFdExt, FdMapping};
use rustix::{
    fs::{Gid, Mode, Uid},
    process::{Pid, Signal},
};
use std::{
    convert::Infallible,
    os::{
        fd::{AsFd, RawFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

/// The exit code of a copy whose program could not be started, as shells have it.
pub(super) const EXIT_NOT_STARTED: i32 = 127;

/// The number under which a program finds the first socket it was given (sd_listen_fds(3), SD_LISTEN_FDS_START).
const FIRST_SOCKET: RawFd = 3;

/// The command that runs `argv` as the copy of `spec_file` would run: its user, environment and folder. The caller is
/// its parent, and when the calling thread dies the program is killed. Standard streams are the caller's to set.
pub(super) fn command(program: &Path, spec_file: &Path, argv: &[String]) -> Command {
    let mut command = Command::new(program);
    command.arg0("sortie").args(["keeper", "exec"]).arg(spec_file).arg(std::process::id().to_string());
    command.args(argv).env_clear().current_dir("/").stdin(Stdio::null()).process_group(0);
    command
}

/// Performs the step; returns only if it failed, after saying why on stderr, which is the copy's log.
pub(super) fn run(spec_file: &Path, parent: i32, argv: &[String]) -> i32 {
    match become_program(spec_file, parent, argv) {
        Err(error) => {
            eprintln!("{error}");
            EXIT_NOT_STARTED
        }
        Ok(never) => match never {},
    }
}

fn become_program(spec_file: &Path, parent: i32, argv: &[String]) -> Result<Infallible, RuntimeError> {
    let spec = ServiceSpec::read(spec_file)?;
    // A check is run as the copy would be, and gets nothing to listen on.
    let listens = spec.socket.is_some() && argv.is_empty();
    let argv = if argv.is_empty() { &spec.argv } else { argv };
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    if let Some(account) = spec.user.as_deref().map(Account::find).transpose()?
        && !account.is_own()
    {
        switch_user(&account).map_err(|error| failed("become the user of", &spec.working_folder)(error.into()))?;
    }
    // Changing the user clears this setting, so it comes after; the parent may have died before it took effect.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| failed("prepare", &spec.working_folder)(error.into()))?;
    if rustix::process::getppid() != Pid::from_raw(parent) {
        return Err(RuntimeError::Keeper { copy: spec.id.to_string(), why: "it is gone".into() });
    }
    std::env::set_current_dir(&spec.working_folder).map_err(failed("work in", &spec.working_folder))?;
    let program = argv.first().map_or("", String::as_str);
    let mut command = Command::new(program);
    command.args(&argv[1..]).env_clear().envs(&spec.environment);
    if listens {
        let socket = std::io::stdin().as_fd().try_clone_to_owned();
        let parent_fd = socket.map_err(failed("pass the socket to", Path::new(program)))?;
        // This very process becomes the program.
        command.env("LISTEN_FDS", "1").env("LISTEN_PID", std::process::id().to_string()).stdin(Stdio::null());
        let mapped = command.fd_mappings(vec![FdMapping { parent_fd, child_fd: FIRST_SOCKET }]).map(|_| ());
        mapped.map_err(|error| failed("pass the socket to", Path::new(program))(std::io::Error::other(error)))?;
    }
    Err(failed("run", Path::new(program))(command.exec()))
}

/// Groups first, for only the old user may change them. This process has one thread, so that changing the thread's
/// identity changes the whole process's.
fn switch_user(account: &Account) -> rustix::io::Result<()> {
    let groups: Vec<Gid> = account.groups.iter().copied().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    rustix::thread::set_thread_groups(&groups)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}
