//! Verifying a whole build: what its manifest asks, by processes that stay alive.

use crate::target::*;
use agent::runtime::{self, Leaving, Running, TaskState, Unverified};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use trust::{
    Digest,
    manifest::{Health, HealthCheck, HttpCheck, Inconclusive, Prometheus, Run, Smoke, Threshold, Verification},
};

/// What a verification of a build said, and how it ended.
struct Verified {
    outcome: Result<runtime::Verified, Unverified>,
    heard: Vec<String>,
}

impl Verified {
    fn why(&self) -> String {
        self.outcome.as_ref().unwrap_err().to_string()
    }
}

fn verify(target: &Target, build: &Digest, run: &Run) -> Verified {
    let mut heard = Vec::new();
    let values = BTreeMap::new();
    let running = Running { app: &app(), build, run, values: &values, leaving: Leaving::MustSucceed, standby: false };
    let outcome = target.runtime.verify(running, &mut |said| heard.push(said.to_owned()));
    Verified { outcome, heard }
}

fn check(check: HealthCheck) -> Verification {
    let check = Health { check, within_seconds: 2, consecutive: 1, every_seconds: None };
    Verification { process: None, port: None, check, watch_seconds: None }
}

fn sh(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

/// A build of one process that listens nowhere and goes on, started; with its run specification.
fn started(target: &Target, script: &str, change: impl FnOnce(&mut Run)) -> (Digest, Run) {
    let mut run = run_of(script);
    let health =
        Health { check: HealthCheck::Command(sh("true")), within_seconds: 5, consecutive: 1, every_seconds: None };
    run.processes.get_mut("web").unwrap().health = Some(health);
    change(&mut run);
    let spec = target.specs(&run, "x").remove(0);
    target.runtime.start(&spec).unwrap();
    (spec.build, run)
}

/// Answers every request with what `answer` makes of its first line.
fn serve(answer: impl Fn(&str) -> String + Send + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(&stream).lines();
            let Some(Ok(request)) = lines.next() else { continue };
            lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).for_each(drop);
            let body = answer(&request);
            let length = body.len();
            let _gone =
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        }
    });
    port
}

#[test]
fn an_answer_must_have_the_status_and_contain_the_text_that_are_asked_for() {
    let target = Target::new();
    let port = serve(|_| "all is well".into());
    let page = |status, contains: Option<&str>| {
        let http = HttpCheck { path: "/page".into(), status, contains: contains.map(str::to_owned) };
        Verification { port: Some(port), ..check(HealthCheck::Http(http)) }
    };
    let (build, mut run) = started(&target, "exec sleep 1000", |_| ());
    for (status, contains, expected) in [
        (None, None, None),
        (Some(200), Some("is well"), None),
        (Some(204), None, Some("verify page: /page 200, not 204")),
        (None, Some("ill"), Some("verify page: /page 200 without \"ill\"")),
    ] {
        run.verify = [("page".to_owned(), page(status, contains))].into();
        let verified = verify(&target, &build, &run);
        match expected {
            None => assert!(verified.outcome.is_ok(), "{}", verified.why()),
            Some(expected) => assert!(verified.why().starts_with(expected), "{}", verified.why()),
        }
    }
}

#[test]
fn a_pattern_is_looked_for_in_what_this_process_wrote_since_it_started() {
    let target = Target::new();
    let wants = |pattern: &str| [("log".to_owned(), check(HealthCheck::Log(pattern.into())))].into();
    let (build, mut run) = started(&target, "echo listens on $$; exec sleep 1000", |_| ());
    run.verify = wants("listens*on");
    verify(&target, &build, &run).outcome.unwrap();
    run.verify = wants("keeps web");
    let why = verify(&target, &build, &run).why();
    assert!(why.starts_with("verify log of web-1: has not logged \"keeps web\""), "{why}");

    // What an earlier process wrote does not count for one that says nothing.
    let silent = target.spec("exec sleep 1000");
    target.runtime.start(&silent).unwrap();
    run.verify = wants("listens on");
    assert!(verify(&target, &silent.build, &run).why().contains("has not logged"), "an old line was taken");
}

#[test]
fn a_command_runs_in_the_release_with_the_copys_environment_and_may_say_no() {
    let target = Target::new();
    let (build, mut run) = started(&target, "exec sleep 1000 # $PORT", |run| {
        run.environment.insert("GREETING".into(), "hello".into());
    });
    let ask = |script: &str| [("own".to_owned(), check(HealthCheck::Command(sh(script))))].into();
    run.verify = ask("[ -e service.sh ] && [ $GREETING = hello ] && [ $PORT -gt 0 ]");
    verify(&target, &build, &run).outcome.unwrap();
    run.verify = ask("exit 4");
    let why = verify(&target, &build, &run).why();
    assert!(why.starts_with("verify own of web-1: /bin/sh exit code 4"), "{why}");
}

#[test]
fn so_many_good_answers_are_needed_in_a_row() {
    let target = Target::new();
    // Every third answer is bad, so that there are never more than two good ones in a row.
    let asked = target.path("asked");
    let script = format!("echo x >> {0}; [ $(($(wc -l < {0}) % 3)) != 0 ]", asked.display());
    let (build, mut run) = started(&target, "exec sleep 1000", |_| ());
    let mut own = check(HealthCheck::Command(sh(&script)));
    own.check.consecutive = 2;
    run.verify = [("own".to_owned(), own.clone())].into();
    verify(&target, &build, &run).outcome.unwrap();
    own.check.consecutive = 3;
    run.verify = [("own".to_owned(), own)].into();
    assert!(verify(&target, &build, &run).outcome.is_err());
}

#[test]
fn r54_a_process_that_ends_while_it_is_verified_fails_though_its_successor_is_well() {
    let target = Target::new();
    let (build, mut run) = started(&target, "exec sleep 1000", |_| ());
    // The verification itself ends the process, and passes.
    run.verify = [("own".to_owned(), check(HealthCheck::Command(sh("kill -KILL $(cat pid) || true"))))].into();
    let pid = target.observed().pid.unwrap();
    fs::write(target.runtime.layout().release(&app(), &build).join("pid"), pid.to_string()).unwrap();
    let verified = verify(&target, &build, &run);
    assert!(matches!(verified.outcome, Err(Unverified::Restarted(..))), "{:?}", verified.outcome);
    assert!(verified.why().contains("web-1 did not stay alive while it was verified: the process ended: signal 9"));
    // Its successor, verified from the beginning, passes.
    until("it runs again", || target.observed().pid.is_some_and(|now| now != pid));
    run.verify.clear();
    verify(&target, &build, &run).outcome.unwrap();
}

#[test]
fn a_restart_while_health_is_asked_begins_the_count_anew() {
    let target = Target::new();
    let (first, second) = (target.path("first"), target.path("second"));
    // The first process is well once and ends; the second stays.
    let script = format!(
        "if [ -e {0} ]; then touch {1}; exec sleep 1000; fi; touch {0}; sleep 0.3",
        first.display(),
        second.display()
    );
    let mut run = run_of(&script);
    let asked = target.path("asked");
    let counts = sh(&format!("[ -e {} ] && echo $(cat pid) >> {}; true", second.display(), asked.display()));
    let health =
        Health { check: HealthCheck::Command(counts), within_seconds: 30, consecutive: 20, every_seconds: None };
    run.processes.get_mut("web").unwrap().health = Some(health);
    let spec = target.specs(&run, "x").remove(0);
    target.runtime.start(&spec).unwrap();
    let verified = verify(&target, &spec.build, &run);
    verified.outcome.unwrap();
    // All twenty answers were the second process's.
    assert!(fs::read_to_string(&asked).unwrap().lines().count() >= 20);
    assert!(verified.heard.len() > 20, "{:?}", verified.heard);
}

#[test]
fn a_smoke_test_runs_once_and_its_output_is_kept() {
    let target = Target::new();
    let ran = target.path("ran");
    let (build, mut run) = started(&target, "exec sleep 1000 # $PORT", |_| ());
    let smoke = |script: &str, within_seconds| Smoke { run: sh(script), process: None, within_seconds };
    run.smoke = Some(smoke(&format!("echo $PORT looks good; echo x >> {}", ran.display()), 30));
    verify(&target, &build, &run).outcome.unwrap();
    assert_eq!(fs::read_to_string(&ran).unwrap(), "x\n");
    assert_eq!(target.runtime.task_state(&app(), "smoke").unwrap(), TaskState::Absent);
    let log = fs::read_to_string(target.runtime.layout().logs(&app()).join("smoke-1.log")).unwrap();
    assert!(log.contains("looks good"), "{log}");

    run.smoke = Some(smoke("echo the basket is empty >&2; exit 3", 30));
    let why = verify(&target, &build, &run).why();
    assert_eq!(why, "smoke: exit code 3 (last log: \"the basket is empty\")");
    run.smoke = Some(smoke("exec sleep 1000", 1));
    let why = verify(&target, &build, &run).why();
    assert!(why.starts_with("smoke: took longer than 1 s"), "{why}");
    assert_eq!(target.runtime.task_state(&app(), "smoke").unwrap(), TaskState::Absent);
}

#[test]
fn a_task_outlives_whoever_began_it_and_its_end_is_known() {
    let target = Target::new();
    let (go, run) = (target.path("go"), run_of("exec sleep 1000"));
    let build = target.specs(&run, "x")[0].build;
    let script = sh(&format!("until [ -e {} ]; do sleep 0.02; done; exit 5", go.display()));
    let named = ("migrate", &script[..], None);
    let task = target.runtime.task(&app(), &build, &run, &BTreeMap::new(), named).unwrap();
    assert_eq!(target.runtime.task_state(&app(), "migrate").unwrap(), TaskState::Absent);
    target.runtime.begin_task(&task).unwrap();
    // Another agent on the same folder.
    let later = open(target.folder.path());
    assert_eq!(later.task_state(&app(), "migrate").unwrap(), TaskState::Running);
    fs::write(go, "").unwrap();
    let ended = later.wait_for_task(&task, Duration::from_secs(60));
    assert_eq!(ended.unwrap_err(), "exit code 5");
    until("its keeper has left", || {
        let state = later.task_state(&app(), "migrate").unwrap();
        state == TaskState::Ended(agent::runtime::Exit::Code(5))
    });
    later.clear_task(&app(), "migrate").unwrap();
    assert_eq!(later.task_state(&app(), "migrate").unwrap(), TaskState::Absent);
}

#[test]
fn a_task_whose_keeper_was_killed_is_lost() {
    let target = Target::new();
    let run = run_of("exec sleep 1000");
    let build = target.specs(&run, "x")[0].build;
    let script = sh("exec sleep 1000");
    let task = target.runtime.task(&app(), &build, &run, &BTreeMap::new(), ("migrate", &script, None)).unwrap();
    target.runtime.begin_task(&task).unwrap();
    let state = fs::read(target.runtime.layout().tasks(&app()).join("migrate-1.state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    kill(state["keeper"]["pid"].as_i64().unwrap() as i32);
    until("it is lost", || target.runtime.task_state(&app(), "migrate").unwrap() == TaskState::Lost);
    let why = target.runtime.wait_for_task(&task, Duration::from_secs(1)).unwrap_err();
    assert!(why.contains("it is not known how far it came"), "{why}");
    target.runtime.clear_task(&app(), "migrate").unwrap();
}

/// A Prometheus server whose measurements are these, one after the other, the last for ever.
fn prometheus(values: &'static [&'static str]) -> (u16, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let port = serve(move |request| {
        assert!(request.starts_with("GET /api/v1/query?query=rate%28errors%5B1m%5D%29 "), "{request}");
        let value = values[counter.fetch_add(1, Ordering::SeqCst).min(values.len() - 1)];
        let series = match value {
            "" => String::new(),
            value => format!(r#"{{"metric":{{}},"value":[1,"{value}"]}}"#),
        };
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#)
    });
    (port, asked)
}

#[test]
fn a_measurement_succeeds_fails_at_once_or_is_inconclusive() {
    let target = Target::new();
    let (build, mut run) = started(&target, "exec sleep 1000", |_| ());
    let threshold = |text: &str| Some(Threshold::try_from(text.to_owned()).unwrap());
    let mut measure = |values: &'static [&'static str], inconclusive, consecutive| {
        let (port, asked) = prometheus(values);
        run.environment.insert("PROMETHEUS".into(), format!("http://127.0.0.1:{port}"));
        let measured = Prometheus {
            url: "$PROMETHEUS".into(),
            query: "rate(errors[1m])".into(),
            success: threshold("< 0.01"),
            failure: threshold("> 0.05"),
            inconclusive,
        };
        let mut errors = check(HealthCheck::Prometheus(measured));
        (errors.check.consecutive, errors.check.within_seconds) = (consecutive, 1);
        run.verify = [("errors".to_owned(), errors)].into();
        (verify(&target, &build, &run), asked.load(Ordering::SeqCst))
    };
    let (good, asked) = measure(&["0.02", "0", "0.001", "0"], Inconclusive::Undo, 3);
    good.outcome.unwrap();
    assert_eq!(asked, 4, "three good ones in a row, after one between the thresholds");
    let (bad, asked) = measure(&["0", "0.2"], Inconclusive::Continue, 3);
    assert!(bad.why().starts_with("verify errors: measured 0.2, which is > 0.05"), "{}", bad.why());
    assert_eq!(asked, 2, "a failure ends it at once");
    for none in [&[""][..], &["NaN"], &["0.02"]] {
        assert_eq!(measure(none, Inconclusive::Continue, 1).0.outcome.unwrap().doubt, None);
        let (undo, _) = measure(none, Inconclusive::Undo, 1);
        assert!(matches!(undo.outcome, Err(Unverified::Inconclusive(..))), "{:?}", undo.outcome);
        let doubt = measure(none, Inconclusive::Pause, 1).0.outcome.unwrap().doubt.unwrap();
        assert!(doubt.starts_with("verify errors: inconclusive: "), "{doubt}");
    }
    // Nothing is measured for a build that comes back: it would tell of what that one has to end.
    let (app, values) = (app(), BTreeMap::new());
    let back =
        Running { app: &app, build: &build, run: &run, values: &values, leaving: Leaving::IsTried, standby: false };
    assert_eq!(target.runtime.verify(back, &mut |_| ()).unwrap().doubt, None);
}

#[test]
fn what_is_watched_is_asked_again_and_what_decides_nothing_follows_its_own_rule() {
    let target = Target::new();
    let (build, mut run) = started(&target, "exec sleep 1000 # $PORT", |_| ());
    let mut asked_again = |check: HealthCheck, port: Option<u16>| {
        let verification = Verification { port, watch_seconds: Some(1), ..self::check(check) };
        run.verify = [("it".to_owned(), verification)].into();
        let (app, values) = (app(), BTreeMap::new());
        let running = Running {
            app: &app,
            build: &build,
            run: &run,
            values: &values,
            leaving: Leaving::MustSucceed,
            standby: false,
        };
        let copies = target.runtime.specs(&app, &build, &run, &values).unwrap();
        let mut again = target.runtime.to_ask_again(running, &copies).unwrap();
        assert_eq!(again.len(), 1);
        let again = again.remove(0);
        let ask = |question: &_| target.runtime.ask_again(question).map(|wrong| (wrong.said, wrong.unclear));
        (ask(&again.question), ask(&again.once_people_looked().question))
    };
    let threshold = |text: &str| Some(Threshold::try_from(text.to_owned()).unwrap());
    for (value, inconclusive, expected) in [
        (&["0"], Inconclusive::Undo, None),
        (&["0.09"], Inconclusive::Continue, Some("verify it: measured 0.09, not < 0.01")),
        (&["NaN"], Inconclusive::Continue, None),
        (&["NaN"], Inconclusive::Undo, Some("verify it: inconclusive: measured NaN")),
        (&["NaN"], Inconclusive::Pause, Some("verify it: inconclusive: measured NaN")),
        (&[""], Inconclusive::Undo, Some("verify it: inconclusive: no measurement: the query has no value")),
    ] {
        let (port, _) = prometheus(value);
        let url = format!("http://127.0.0.1:{port}");
        let (query, success) = ("rate(errors[1m])".into(), threshold("< 0.01"));
        let measured = Prometheus { url, query, success, failure: None, inconclusive };
        let (said, later) = asked_again(HealthCheck::Prometheus(measured), None);
        // People are to look at what decides nothing where the build says so; elsewhere it is as good or as bad as the build says.
        let is_unclear = inconclusive == Inconclusive::Pause;
        assert_eq!(said, expected.map(|expected| (expected.to_owned(), is_unclear)), "{value:?}");
        // Once people were asked to look, that it goes on deciding nothing is no news.
        let expected = expected.filter(|_| !is_unclear);
        assert_eq!(later.map(|(said, _)| said).as_deref(), expected, "{value:?}");
    }
    // A copy is asked by its name; what nobody in particular is asked, the build is.
    let bad = |said: &str| Some((said.to_owned(), false));
    assert_eq!(asked_again(HealthCheck::Command(sh("exit 4")), None).0, bad("verify it of web-1: /bin/sh exit code 4"));
    assert_eq!(asked_again(HealthCheck::Command(sh("[ $PORT -gt 0 ]")), None), (None, None));
    assert_eq!(asked_again(HealthCheck::Command(sh("exit 4")), Some(1)).0, bad("verify it: /bin/sh exit code 4"));
    target.runtime.clear_task(&app(), "watch-it").unwrap();
}
