//! What the runtime starts, what survives, what ends.

use crate::target::*;
use agent::runtime::{CopyId, Exit, ObservedState, RuntimeError};
use std::{
    collections::BTreeMap, fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, process::Command,
    time::Duration,
};
use trust::{
    Digest,
    manifest::{ConfigKey, HealthCheck, Run, StopSignal},
};

#[test]
fn a_copy_runs_and_stops_and_both_can_be_repeated() {
    let target = Target::new();
    let spec = target.spec("echo begun; exec sleep 1000");
    target.runtime.start(&spec).unwrap();
    target.runtime.start(&spec).unwrap();
    until("it runs", || target.observed().state == ObservedState::Running && target.log().contains("out begun"));
    let first = target.observed();
    assert_eq!((first.restarts, first.last_log_line.as_deref()), (0, Some("begun")));
    target.runtime.start(&spec).unwrap();
    assert_eq!(target.observed().pid, first.pid, "starting what already runs must leave it alone");

    target.runtime.restart_copy(&app(), &spec.id).unwrap();
    let second = target.observed();
    assert_ne!(second.pid, first.pid);
    assert_eq!(second.restarts, 0, "a restart that was asked for is no crash");

    target.runtime.stop(&app()).unwrap();
    target.runtime.stop(&app()).unwrap();
    assert_eq!(target.runtime.observed(&app()).unwrap(), []);
    assert!(!is_alive(second.pid.unwrap()));
    let left: Vec<_> =
        fs::read_dir(target.runtime.layout().run(&app())).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_str().unwrap().ends_with(".lock")), "{left:?}");
}

#[test]
fn another_build_replaces_the_old_one_on_the_same_port() {
    let target = Target::new();
    let script = "echo \"$SORTIE_BUILD on $PORT\"; exec sleep 1000";
    let one = target.spec(script);
    target.runtime.start(&one).unwrap();
    until("it wrote", || target.log().contains(&one.build.to_string()));
    let two = target.spec(&format!("{script} # changed"));
    assert_eq!(one.port, two.port);
    target.runtime.start(&two).unwrap();
    until("the new one wrote", || target.log().contains(&format!("{} on {}", two.build, two.port.unwrap())));
    assert_eq!(target.observed().build, two.build);
}

#[test]
fn the_environment_is_exactly_what_was_declared() {
    let target = Target::new();
    let mut run = run_of("env; echo done; exec sleep 1000");
    run.environment.insert("GREETING".into(), "hello $SORTIE_TARGET".into());
    run.config.insert("LEVEL".into(), ConfigKey { secret: false, default: Some("info".into()) });
    let spec = target.specs(&run, "x").remove(0);
    target.runtime.start(&spec).unwrap();
    until("it wrote", || target.log().contains("out done"));
    let log = target.log();
    let seen: Vec<&str> =
        log.lines().filter_map(|line| line.split_once(" out ")?.1.split_once('=')).map(|v| v.0).collect();
    let shell_own = ["PWD", "SHLVL", "_", "OLDPWD"];
    for name in &seen {
        assert!(spec.environment.contains_key(*name) || shell_own.contains(name), "{name} was inherited");
    }
    assert!(spec.environment.keys().all(|name| seen.contains(&name.as_str())));
    assert!(log.contains("out GREETING=hello prod-1") && log.contains("out LEVEL=info"));
}

#[test]
fn only_the_agents_user_may_read_a_specification() {
    let target = Target::new();
    let spec = target.spec("exec sleep 1000");
    target.runtime.start(&spec).unwrap();
    let run = target.runtime.layout().run(&app());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&run.join("web-1.spec.json")), 0o600);
    assert_eq!(mode(&run), 0o700);
}

#[test]
fn what_crashes_is_started_again() {
    let target = Target::new();
    let spec = target.spec("echo dying >&2; exit 7");
    target.runtime.start(&spec).unwrap();
    until("it was started again twice", || target.observed().restarts >= 2);
    assert_eq!(target.observed().last_exit, Some(Exit::Code(7)));
    let log = target.log();
    assert!(log.contains("(exit code 7); starts again in 1 s") && log.contains("starts again in 2 s"), "{log}");
    until("the last line is its own", || target.observed().last_log_line.as_deref() == Some("dying"));
    target.runtime.stop(&app()).unwrap();
}

#[test]
fn a_program_that_cannot_be_run_says_why_in_its_log() {
    let target = Target::new();
    let mut run = run_of("");
    run.processes.get_mut("web").unwrap().run = vec!["./absent".into()];
    let spec = target.specs(&run, "x").remove(0);
    target.runtime.start(&spec).unwrap();
    until("the reason is logged", || target.log().contains("err cannot run ./absent: No such file"));
    let unhealthy = target.runtime.check_health(&spec, None, &mut |_| ()).unwrap_err();
    assert!(unhealthy.to_string().contains("cannot run ./absent"), "{unhealthy}");
}

#[test]
fn stopping_ends_grandchildren_and_those_who_ignore_the_signal_or_left_the_group() {
    let target = Target::new();
    let (child, grandchild, daemon) = (target.path("child"), target.path("grandchild"), target.path("daemon"));
    let script = format!(
        "trap '' TERM
        sh -c 'trap \"\" TERM; sh -c \"echo \\$\\$ > {}; exec sleep 1000\" & echo $$ > {}; wait' &
        setsid sh -c 'trap \"\" TERM; echo $$ > {}; exec sleep 1000' &
        while :; do sleep 1; done",
        grandchild.display(),
        child.display(),
        daemon.display()
    );
    target.runtime.start(&target.spec(&script)).unwrap();
    let all = [child, grandchild, daemon].map(|file| target.pid_in(&file));
    assert!(all.into_iter().all(is_alive));
    target.runtime.stop(&app()).unwrap();
    assert_eq!(all.map(is_alive), [false; 3]);
}

#[test]
fn a_copy_that_stops_when_asked_may_finish_its_work() {
    let target = Target::new();
    let mut run = run_of("trap 'echo farewell; exit 0' INT; echo ready; while :; do sleep 0.05; done");
    let process = run.processes.get_mut("web").unwrap();
    (process.stop_signal, process.stop_seconds) = (StopSignal::Int, 30);
    target.runtime.start(&target.specs(&run, "x").remove(0)).unwrap();
    until("it is ready", || target.log().contains("out ready"));
    target.runtime.stop(&app()).unwrap();
    assert!(target.log().contains("out farewell"), "{}", target.log());
}

#[test]
fn what_a_crash_leaves_behind_is_ended_before_the_next_start() {
    let target = Target::new();
    let left = target.path("left");
    let script = format!("[ -e {0} ] && exec sleep 1000; sleep 1000 & echo $! > {0}; exit 1", left.display());
    target.runtime.start(&target.spec(&script)).unwrap();
    let pid = target.pid_in(&left);
    until("it runs again", || target.observed().restarts == 1 && target.observed().state == ObservedState::Running);
    assert!(!is_alive(pid));
}

#[test]
fn a_killed_keeper_takes_its_service_along_and_is_revived() {
    let target = Target::new();
    let child = target.path("child");
    let script = format!("sleep 1000 & echo $! > {}; wait", child.display());
    target.runtime.start(&target.spec(&script)).unwrap();
    let grandchild = target.pid_in(&child);
    let service = target.observed().pid.unwrap();
    kill(target.keeper_pid());
    until("the service dies too", || !is_alive(service));
    until("it is seen", || target.observed().state == ObservedState::Dead);
    assert_eq!(target.observed().pid, None);

    let revived = target.runtime.revive(&app()).unwrap();
    assert_eq!(revived, [CopyId { process: "web".into(), copy: 1 }]);
    assert!(!is_alive(grandchild), "what the old service had started could hold the port");
    until("it runs", || target.observed().state == ObservedState::Running);
    assert_eq!(target.runtime.revive(&app()).unwrap(), []);
}

#[test]
fn a_keeper_killed_while_stopping_is_not_revived() {
    let target = Target::new();
    let mut run = run_of("trap '' TERM; echo deaf; while :; do sleep 1; done");
    run.processes.get_mut("web").unwrap().stop_seconds = 1000;
    target.runtime.start(&target.specs(&run, "x").remove(0)).unwrap();
    until("it ignores the signal", || target.log().contains("out deaf"));
    let (keeper, service) = (target.keeper_pid(), target.observed().pid.unwrap());
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| target.runtime.stop(&app()));
        until("it is stopping", || target.observed().state == ObservedState::Stopping);
        kill(keeper);
        stopping.join().unwrap().unwrap();
    });
    until("it is gone", || !is_alive(service));
    assert_eq!(target.runtime.revive(&app()).unwrap(), []);
    assert_eq!(target.runtime.observed(&app()).unwrap(), []);
}

#[test]
fn a_keeper_ends_gracefully_when_the_machine_goes_down_and_its_copy_returns() {
    let target = Target::new();
    target
        .runtime
        .start(&target.spec("trap 'echo farewell; exit 0' TERM; echo ready; while :; do sleep 0.05; done"))
        .unwrap();
    until("it is ready", || target.log().contains("out ready"));
    assert!(Command::new("kill").arg(target.keeper_pid().to_string()).status().unwrap().success());
    until("it is gone", || target.observed().state == ObservedState::Dead);
    assert!(target.log().contains("out farewell"));
    assert_eq!(target.runtime.revive(&app()).unwrap().len(), 1);
}

/// A build whose shell keeps its script, and with it the root's path, in its command line, by which it is counted.
fn counted(target: &Target, number: u32) -> (Digest, Run) {
    let run = run_of(&format!("while :; do sleep 1; done # {}", target.folder.path().display()));
    let build = Digest::of(&number.to_le_bytes());
    fs::create_dir_all(target.runtime.layout().release(&app(), &build)).unwrap();
    target.runtime.prepare(&app(), &build, &run).unwrap();
    (build, run)
}

/// How many processes mention `text` in their command line, and how many of them are shells.
fn mentioning(text: &Path) -> (usize, usize) {
    let commands = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    let commands = commands.map(|command| String::from_utf8_lossy(&command).into_owned());
    let own: Vec<String> = commands.filter(|command| command.contains(text.to_str().unwrap())).collect();
    (own.len(), own.iter().filter(|command| command.starts_with("/bin/sh")).count())
}

#[test]
fn an_agent_killed_at_any_instant_leaves_nothing_unknown() {
    let target = Target::new();
    let [one, two] = [1, 2].map(|number| counted(&target, number));
    let spec = target.runtime.specs(&app(), &two.0, &two.1, &BTreeMap::new()).unwrap().remove(0);
    for round in 0..24 {
        let mut agent = Killed::spawn(&mut target.agent("turn", first_port(), &[&one, &two]));
        // Not a wait for anything: the instant of the kill, another one in every round.
        std::thread::sleep(Duration::from_millis(7 * round));
        agent.end();
        if round % 2 == 0 {
            target.runtime.start(&spec).unwrap();
            until("one keeper and one shell are left", || mentioning(target.folder.path()) == (2, 1));
            assert_eq!(target.observed().build, two.0);
        } else {
            target.runtime.revive(&app()).unwrap();
        }
        target.runtime.stop(&app()).unwrap();
        until("nothing is left", || mentioning(target.folder.path()) == (0, 0));
        assert_eq!(target.runtime.observed(&app()).unwrap(), []);
    }
}

#[test]
fn services_outlive_the_agent() {
    let target = Target::new();
    let build = counted(&target, 1);
    let mut agent = Killed::spawn(&mut target.agent("keep", first_port(), &[&build]));
    until("it runs", || {
        target.runtime.observed(&app()).unwrap().iter().any(|copy| copy.state == ObservedState::Running)
    });
    let before = target.observed();
    agent.end();
    let after = target.observed();
    assert_eq!((after.pid, after.state, after.restarts), (before.pid, ObservedState::Running, 0));
    assert!(is_alive(after.pid.unwrap()));
    assert_eq!(target.runtime.revive(&app()).unwrap(), []);
    assert_eq!(target.runtime.kept_specs(&app()).unwrap()[0].build, build.0);
    target.runtime.stop(&app()).unwrap();
    assert!(!is_alive(after.pid.unwrap()));
}

#[test]
fn a_bad_answer_fails_the_health_check_with_the_last_log_line() {
    let target = Target::new();
    let spec = target.spec("echo no such column: plan; exec sleep 1000 # $PORT");
    target.runtime.start(&spec).unwrap();
    until("it wrote", || target.log().contains("no such column"));
    let mut heard = 0;
    let http = health(HealthCheck::Http("/healthz".into()), 3);
    let refused = target.runtime.check_health(&spec, Some(&http), &mut |_| heard += 1).unwrap_err();
    assert_eq!(refused.last, "/healthz connection refused");
    answer_with(spec.port.unwrap(), "503 Service Unavailable");
    let unhealthy = target.runtime.check_health(&spec, Some(&http), &mut |_| heard += 1).unwrap_err();
    assert!(unhealthy.repeated > 1 && unhealthy.tries + refused.tries == heard);
    assert_eq!(
        unhealthy.to_string(),
        format!("/healthz 503 × {} (last log: \"no such column: plan\")", unhealthy.repeated)
    );
}

#[test]
fn good_answers_of_each_kind_pass() {
    let target = Target::new();
    let spec = target.spec("exec sleep 1000 # $PORT");
    target.runtime.start(&spec).unwrap();
    answer_with(spec.port.unwrap(), "302 Found");
    let command = |script: &str| HealthCheck::Command(vec!["/bin/sh".into(), "-c".into(), script.into()]);
    let within = |seconds, check| target.runtime.check_health(&spec, Some(&health(check, seconds)), &mut |_| ());
    let pass = |check| within(30, check);
    let fail = |check| within(1, check).unwrap_err().last;
    pass(HealthCheck::Http("/".into())).unwrap();
    pass(HealthCheck::Tcp).unwrap();
    pass(command("[ -e service.sh ] && [ $SORTIE_APP = web ]")).unwrap();
    assert_eq!(fail(command("exit 3")), "/bin/sh exit code 3");
    let complains = command("echo connected; echo one; echo no such table >&2; exit 3");
    assert_eq!(fail(complains), "/bin/sh exit code 3 (no such table)");
    pass(command("head -c 1000000 /dev/zero; sleep 3 & echo there are many")).unwrap();
    assert!(fail(command("sleep 1000")).contains("took too long"));
    target.runtime.check_health(&spec, None, &mut |_| ()).unwrap();
}

#[test]
fn a_good_answer_by_a_stranger_does_not_count_for_a_copy_that_crashes() {
    let target = Target::new();
    let spec = target.spec("exit 1 # $PORT");
    target.runtime.start(&spec).unwrap();
    answer_with(spec.port.unwrap(), "200 OK");
    let http = health(HealthCheck::Http("/".into()), 3);
    assert!(target.runtime.check_health(&spec, Some(&http), &mut |_| ()).is_err());
}

#[test]
fn a_taken_port_is_told_before_anything_starts() {
    let target = Target::new();
    let script = "exec sleep 1000 # $PORT";
    let spec = target.spec(script);
    let stranger = TcpListener::bind(("127.0.0.1", spec.port.unwrap())).unwrap();
    let refused = target.runtime.start(&spec).unwrap_err().to_string();
    assert!(refused.contains("is taken by another program"), "{refused}");
    assert_eq!(target.runtime.observed(&app()).unwrap(), []);
    let elsewhere = target.spec(script);
    assert_ne!(elsewhere.port, spec.port);
    target.runtime.start(&elsewhere).unwrap();
    drop(stranger);
}

#[test]
fn every_copy_is_kept_and_removed() {
    let target = Target::new();
    let mut run = run_of("echo $PORT; exec sleep 1000");
    run.processes.get_mut("web").unwrap().copies = 3;
    run.data = vec!["uploads".into()];
    let specs = target.specs(&run, "x");
    specs.iter().for_each(|spec| target.runtime.start(spec).unwrap());
    let build = specs[0].build;
    target.runtime.switch(&app(), &build).unwrap();
    let ports: std::collections::BTreeSet<_> = specs.iter().map(|spec| spec.port.unwrap()).collect();
    assert_eq!(ports.len(), 3);
    target.runtime.stop_copy(&app(), &specs[2].id).unwrap();
    assert_eq!(target.runtime.observed(&app()).unwrap().len(), 2);
    fs::write(target.runtime.layout().current_link(&app()).join("uploads/photo"), "kept").unwrap();
    target.runtime.remove(&app(), true).unwrap();
    assert_eq!(fs::read_to_string(target.runtime.layout().data(&app(), "uploads").join("photo")).unwrap(), "kept");
    target.runtime.remove(&app(), false).unwrap();
    target.runtime.remove(&app(), false).unwrap();
    assert!(!target.runtime.layout().app(&app()).exists());
}

#[test]
fn logs_are_read_and_followed_without_control_characters() {
    let target = Target::new();
    let go = target.path("go");
    let script = format!(
        "printf 'one\\033[2J\\n'; until [ -e {} ]; do sleep 0.02; done; echo two; exec sleep 1000",
        go.display()
    );
    let spec = target.spec(&script);
    target.runtime.start(&spec).unwrap();
    until("it wrote", || target.log().contains("out one"));
    let last = target.runtime.tail(&app(), &spec.id, 1).unwrap();
    assert_eq!(last[0].text, "one\u{FFFD}[2J");
    let mut follower = target.runtime.follow(&app(), &spec.id).unwrap();
    fs::write(go, "").unwrap();
    until("the next line arrives", || follower.next_lines().unwrap().iter().any(|line| line.text == "two"));
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let target = Target::new();
    let spec = target.spec("while :; do echo line; sleep 0.01; done");
    // A folder where the log belongs refuses every write, as a full disk does.
    fs::create_dir(spec.log()).unwrap();
    target.runtime.start(&spec).unwrap();
    until("lines are dropped", || target.observed().dropped_log_lines > 20);
    assert_eq!((target.observed().state, target.observed().restarts), (ObservedState::Running, 0));
    fs::remove_dir(spec.log()).unwrap();
    until("the loss is told", || target.log().contains("lines are missing here"));
}

#[test]
fn a_copy_runs_as_its_user() {
    let target = Target::new();
    let mut run = run_of("id -u; id -G; [ -w uploads ] && echo may write; exec sleep 1000");
    run.user = Some("nobody".into());
    run.data = vec!["uploads".into()];
    let build = Digest::of(b"x");
    if !is_root() {
        let refused = target.runtime.specs(&app(), &build, &run, &BTreeMap::new());
        assert!(matches!(refused, Err(RuntimeError::MayNotSwitch { .. })));
        return;
    }
    let spec = target.specs(&run, "x").remove(0);
    target.runtime.start(&spec).unwrap();
    until("it wrote", || target.log().contains("out may write"));
    assert!(target.log().contains("out 65534\n"), "{}", target.log());
    let service = target.observed().pid.unwrap();
    kill(target.keeper_pid());
    until("the service dies with its keeper, whoever it runs as", || !is_alive(service));
    run.user = Some("no-such-user".into());
    let refused = target.runtime.specs(&app(), &build, &run, &BTreeMap::new());
    assert!(refused.unwrap_err().to_string().contains("there is no user 'no-such-user'"));
}

#[test]
fn a_deep_root_is_no_obstacle_to_sockets() {
    let target = Target::new();
    let deep = target.path(&"deep/".repeat(40));
    let runtime = open(&deep);
    let build = Digest::of(b"x");
    fs::create_dir_all(runtime.layout().release(&app(), &build)).unwrap();
    let run = run_of("exec sleep 1000");
    runtime.prepare(&app(), &build, &run).unwrap();
    runtime.start(&runtime.specs(&app(), &build, &run, &BTreeMap::new()).unwrap()[0]).unwrap();
    runtime.stop(&app()).unwrap();
    assert_eq!(runtime.observed(&app()).unwrap(), []);
}
