//! A network that cuts and delays: between the server and everybody else stands a proxy that breaks connections off in the
//! middle, and lets the rest wait.

use crate::world::{PROJECT, World, get, read_text, until};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// A number below `below` that differs from one to the next, the same in every run.
fn any(nth: u64, below: u64) -> u64 {
    (nth + 1).wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) % below
}

/// A bad network in front of a server.
struct BadNetwork {
    address: SocketAddr,
    cut: Arc<AtomicU64>,
}

impl BadNetwork {
    fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicU64::new(0));
        let counted = cut.clone();
        thread::spawn(move || {
            for (nth, client) in (0..).zip(listener.incoming()) {
                // A connection that cannot be passed on is one more that was cut.
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else { continue };
                let cut = counted.clone();
                thread::spawn(move || pass_on(nth, client, server, &cut));
            }
        });
        Self { address, cut }
    }

    fn cuts(&self) -> u64 {
        self.cut.load(Ordering::SeqCst)
    }
}

/// Every third connection breaks off after some thousand bytes, in either direction; what goes through goes slowly.
fn pass_on(nth: u64, client: TcpStream, server: TcpStream, cut: &AtomicU64) {
    let most = if any(nth, 3) == 0 { any(nth, 40_000) } else { u64::MAX };
    let left = AtomicU64::new(most);
    thread::scope(|scope| {
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (client, server, left) = (&client, &server, &left);
            scope.spawn(move || {
                let (mut from, mut to) = (from, to);
                let mut chunk = [0; 16 << 10];
                for step in 0.. {
                    let Ok(length @ 1..) = from.read(&mut chunk) else { break };
                    thread::sleep(Duration::from_millis(any(nth + step, 12)));
                    let passes = left.load(Ordering::SeqCst).min(length as u64);
                    if to.write_all(&chunk[..passes as usize]).is_err() {
                        break;
                    }
                    if passes < length as u64 {
                        cut.fetch_add(1, Ordering::SeqCst);
                        break;
                    }
                    left.fetch_sub(if most == u64::MAX { 0 } else { passes }, Ordering::SeqCst);
                }
                // Both ends learn of it at once, and in the middle of whatever they were at.
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
}

/// Deployments end, what was acknowledged is there, and each machine runs exactly one version in full.
#[test]
fn r3_deployments_end_well_over_a_network_that_cuts_and_delays() {
    let mut world = World::of_team(&[]);
    world.make_repository(PROJECT);
    let (url, pin) = world.url_and_pin.split_once('#').unwrap();
    let network = BadNetwork::before(url.trim_start_matches("https://").parse().unwrap());
    let through = format!("https://{}#{pin}", network.address);
    // Whoever invites tells the machines where the server is: behind the bad network.
    let invite = |world: &World, name: &str| {
        let login = format!("login {through} --name behind");
        until("a login that comes through", || {
            let output = world.sortie_command("owner").args(crate::world::words(&login)).output().unwrap();
            output.status.success().then_some(())
        });
        until("an invitation that comes through", || {
            let line = format!("target invite --name {name} --in dev --json");
            let output = world.sortie_command("owner").args(crate::world::words(&line)).output().unwrap();
            let said: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
            said["token"].as_str().map(str::to_string)
        })
    };
    for name in ["dev-1", "dev-2"] {
        let token = invite(&world, name);
        world.join(name, &token);
    }
    world.sortie("owner", 0, &format!("login {}", world.url_and_pin));
    world.await_machines(&["dev-1", "dev-2"]);

    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let words = format!("Round {round}, {{name}}!");
        world.change_greeting(&words);
        let build = world.push();
        acknowledged.push(build.clone());
        world.sortie("coder", 0, &format!("deploy {build} --to dev")).says("2/2");
        for machine in ["dev-1", "dev-2"] {
            let current = read_text(&world.active(machine, "web").join("greeting.txt"));
            assert!(current.contains(&format!("Round {round}")), "{machine} runs {current} in round {round}");
        }
        for there in world.endpoints("dev") {
            let answer = until("an answer", || get(there, "/").ok());
            assert!(answer.contains(&format!("Round {round}, Ada!")), "{answer}");
        }
    }
    assert!(network.cuts() > 0, "the network was not bad at all");
    let history = world.sortie("coder", 0, "history --json").stdout;
    for build in acknowledged {
        assert!(history.contains(build.strip_prefix("web#").unwrap()), "{build} is lost\n{history}");
    }
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
    world.sortie("owner", 0, "escapes --scan");
}
