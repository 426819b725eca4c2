//! Agents and servers that are killed at any moment.

use crate::world::{PROJECT, World, get, read_text, until};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// A number below `below` that differs from round to round, the same in every run.
fn any(round: u64, below: u64) -> u64 {
    (round + 1).wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) % below
}

/// The services of `web` on dev-1, by process id.
fn services(world: &World) -> Vec<u32> {
    let is_web =
        |path: &std::path::Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("web"));
    world.processes_on("dev-1").into_iter().filter(|(_, program)| is_web(program)).map(|(id, _)| id).collect()
}

/// R3: whenever an agent is killed, the deployment ends, and exactly one of the two versions runs.
#[test]
fn r3_an_agent_killed_in_a_deployment_finishes_it_or_takes_it_back() {
    let mut world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository(PROJECT);
    let mut builds = [(world.push(), "Hello, Ada!"), (String::new(), "Good day, Ada!")];
    world.sortie("coder", 0, &format!("deploy {} --to dev", builds[0].0));
    world.change_greeting("Good day, {name}!");
    builds[1].0 = world.push();

    // With nothing under way, an agent's death and return touch no service.
    let before = services(&world);
    assert_eq!(before.len(), 1);
    world.kill_agent("dev-1");
    assert_eq!(services(&world), before);
    world.start_agent("dev-1");
    world.sortie("oncall", 0, "escapes --scan");
    assert_eq!(services(&world), before);

    for round in 0..8 {
        let (build, _) = &builds[usize::from(round % 2 == 0)];
        let mut command = world.sortie_command("coder");
        let log = world.root().join(format!("round-{round}"));
        let file = fs::File::create(&log).unwrap();
        command.args(["deploy", build, "--to", "dev"]).stdout(file.try_clone().unwrap()).stderr(file);
        let mut deploy = command.spawn().unwrap();
        // Not waiting for anything: the moment of death is to be any.
        thread::sleep(Duration::from_millis(any(round, 1200)));
        world.kill_agent("dev-1");
        world.start_agent("dev-1");
        let ended = until("the end of the deployment", || deploy.try_wait().unwrap());
        let exit = ended.code();
        let said = read_text(&log);
        assert!(matches!(exit, Some(0 | 4 | 6)), "round {round}: exit {exit:?}\n{said}");
        assert!(!said.contains("going back failed"), "round {round}\n{said}");
        let [there] = world.endpoints("dev")[..] else { panic!("one machine, one endpoint\n{said}") };
        let answer = until("an answer", || get(there, "/").ok());
        let current = read_text(&world.active("dev-1", "web").join("greeting.txt"));
        let found = builds.iter().position(|(_, words)| answer.contains(words)).expect("one of the two answers");
        assert_eq!(current.starts_with("Hello"), found == 0, "round {round}: {current}\n{answer}\n{said}");
        if exit == Some(0) {
            assert_eq!(builds[found].0, *build, "round {round}: it said that it was deployed\n{said}");
        }
        until("one service alone", || (services(&world).len() == 1).then_some(()));
    }
    world.sortie("coder", 0, "ledger verify");
}

/// R3, R46: a server and agents that are killed by turns, and together, while they deploy: each deployment ends, each machine runs
/// one version in full, and the server says which.
#[test]
fn r3_r46_server_and_agents_killed_by_turns_end_every_deployment_and_know_what_runs() {
    let mut world = World::of_team(&[("dev-1", "dev"), ("dev-2", "dev")]);
    world.make_repository(PROJECT);
    let mut builds = [(world.push(), "Hello, Ada!"), (String::new(), "Good day, Ada!")];
    world.sortie("coder", 0, &format!("deploy {} --to dev", builds[0].0));
    world.change_greeting("Good day, {name}!");
    builds[1].0 = world.push();
    for round in 0..9 {
        let (build, _) = &builds[usize::from(round % 2 == 0)];
        let log = world.root().join(format!("round-{round}"));
        let file = fs::File::create(&log).unwrap();
        let mut command = world.sortie_command("coder");
        command
            .args(["redeploy", build, "--to", "dev", "--at-once", "all"])
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let mut deploy = command.spawn().unwrap();
        // Not waiting for anything: the moments of death are to be any.
        thread::sleep(Duration::from_millis(any(round, 1500)));
        let (server, agent) = (round % 3 != 1, round % 3 != 0);
        if server {
            world.kill_server();
        }
        if agent {
            world.kill_agent("dev-1");
            world.start_agent("dev-1");
        }
        thread::sleep(Duration::from_millis(any(round + 100, 500)));
        if server {
            world.start_server();
        }
        until("whoever ordered it to hear of its end", || deploy.try_wait().unwrap());
        let said = read_text(&log);
        let none_is_open = || {
            let status = world.sortie("coder", 0, "status --json").stdout;
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            let cells = status["apps"].as_array().unwrap().iter().flat_map(|app| app["cells"].as_array().unwrap());
            cells.flat_map(|cell| cell["waiting"].as_array().unwrap()).next().is_none().then_some(())
        };
        until("every deployment to end", none_is_open);
        for machine in ["dev-1", "dev-2"] {
            let current = read_text(&world.active(machine, "web").join("greeting.txt"));
            let found = builds.iter().position(|(_, words)| current.starts_with(&words[..4])).expect("one of the two");
            let known = world.sortie("coder", 0, &format!("status {machine}"));
            known.says(&builds[found].0);
            for there in world.endpoints(machine) {
                let answer = until("an answer", || get(there, "/").ok());
                assert!(answer.contains(builds[found].1), "round {round}, {machine}: {current}\n{answer}\n{said}");
            }
        }
        until("one service alone", || (services(&world).len() == 1).then_some(()));
        world.sortie("coder", 0, "ledger verify");
    }
    world.sortie("coder", 0, &format!("redeploy {} --to dev", builds[0].0)).says("2/2");
}

/// Whatever the server has answered with yes is in the ledger, wherever it was killed.
#[test]
fn a_server_killed_in_its_work_keeps_all_that_it_acknowledged() {
    let mut world = World::of_team(&[]);
    world.make_repository(PROJECT);
    let mut acknowledged = vec![world.push()];
    for round in 0..8 {
        // What is built is no part of the commit: each round has bytes of its own.
        fs::write(world.repository().join("dist/people.csv"), format!("name\nAda\nGrace {round}\n")).unwrap();
        let log = world.root().join(format!("push-{round}"));
        let mut command = world.sortie_command("coder");
        let file = fs::File::create(&log).unwrap();
        command.args(["push", "--quiet"]).stdout(file.try_clone().unwrap()).stderr(file);
        let mut push = command.spawn().unwrap();
        let death = Instant::now() + Duration::from_millis(any(round, 600));
        let early = until("a moment to die at", || match push.try_wait().unwrap() {
            Some(status) => Some(Some(status)),
            None => (Instant::now() >= death).then_some(None),
        });
        world.kill_server();
        let status = match early {
            Some(status) => status,
            None => {
                world.start_server();
                let status = until("the end of the push", || push.try_wait().unwrap());
                world.kill_server();
                status
            }
        };
        if status.success() {
            acknowledged.push(read_text(&log).trim().to_string());
        }
        world.start_server();
        world.sortie("coder", 0, "ledger verify");
    }
    assert!(acknowledged.len() > 1, "nothing was acknowledged");
    let history = world.sortie("coder", 0, "history --json").stdout;
    for build in acknowledged {
        let digest = build.strip_prefix("web#").unwrap();
        assert!(history.contains(digest), "{build} is lost\n{history}");
    }
}
