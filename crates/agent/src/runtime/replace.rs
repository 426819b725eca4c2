//! One build in the place of another, copy by copy, so that as much as possible goes on serving.
//!
//! - A copy whose keeper hands its socket on gets its new program beside the old one. The old one is told to stop once the
//!   new one has answered for itself: no connection is refused and none is dropped.
//! - Of several copies with a port, each is replaced once the one before it is healthy.
//! - Where a build wants to be beside the one before it until it is verified, [`super::blue_green`] does that.
//! - What has no port serves nobody who would notice, and is replaced at once.

use super::{
    Attempt, Running, Runtime, ServiceSpec, Unhealthy, Unverified,
    ask::{Answer, answer_over},
    control::{Kept, look, stop_all},
    health::Tally,
    socket::{accepted_inode, sockets_below},
    verify::health_of,
};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};
use trust::manifest::Health;

/// How many connections are made at a time to find one that the new program accepts. They are more than one because a
/// program that handles one at a time is busy with the first, so that the next goes to the other program.
const CONNECTIONS: usize = 8;
/// How long connections wait to be accepted before they are made anew.
const ACCEPTED_WITHIN: Duration = Duration::from_millis(250);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const ATTEMPT: Duration = Duration::from_secs(5);

impl Runtime {
    /// Sees to it that exactly the build's copies run, each as its specification says; beside what serves, where the build
    /// wants that, until it is verified.
    pub fn bring(&self, build: Running<'_>) -> Result<(), Unverified> {
        let specs = self.specs(build.app, build.build, build.run, build.values)?;
        if build.run.is_blue_green() {
            return self.bring_beside(build, &specs);
        }
        // Copies that the build does not have go first: a port of theirs may be wanted.
        {
            let _turn = self.turn(build.app)?;
            let is_needed = |kept: &Kept| specs.iter().any(|spec| spec.id == kept.spec.id);
            let needless: Vec<Kept> = self.kept(build.app)?.into_iter().filter(|kept| !is_needed(kept)).collect();
            self.leave_for(build, &needless)?;
            stop_all(&needless)?;
        }
        let mut before: Option<&ServiceSpec> = None;
        for spec in &specs {
            let health = health_of(build.run, &spec.id);
            let _turn = self.turn(&spec.app)?;
            let (same, others) = self.kept_of(spec)?;
            if same.is_none() && !others.is_empty() {
                self.await_the_one_before(build, before, spec)?;
            }
            before = Some(spec);
            match same {
                Some(new) if others.is_empty() => drop(new),
                _ if others.iter().any(|old| old.spec.hands_on_to(spec)) => {
                    self.put_beside(spec, health, same, others)?;
                }
                Some(_) => stop_all(&others)?,
                None => {
                    self.leave_for(build, &others)?;
                    stop_all(&others)?;
                    self.begin(spec, &[])?;
                }
            }
        }
        Ok(())
    }

    /// Stops and starts every copy, one after the other; of several with a port, each once the one before is healthy.
    /// Returns when the last one's new process has started.
    pub fn restart_build(&self, build: Running<'_>) -> Result<(), Unverified> {
        let mut before = None;
        for spec in &self.specs(build.app, build.build, build.run, build.values)? {
            self.await_the_one_before(build, before, spec)?;
            let (same, _) = self.kept_of(spec)?;
            self.leave_for(build, same.as_slice())?;
            self.restart_copy(&spec.app, &spec.id)?;
            before = Some(spec);
        }
        Ok(())
    }

    /// At least one copy serves: before the next is stopped, the one that took its turn before is healthy and back.
    fn await_the_one_before(
        &self,
        build: Running<'_>,
        before: Option<&ServiceSpec>,
        next: &ServiceSpec,
    ) -> Result<(), Unverified> {
        let of_one_process = |before: &&ServiceSpec| before.id.process == next.id.process && before.port.is_some();
        let Some(before) = before.filter(of_one_process) else { return Ok(()) };
        let well = self.check_health(before, health_of(build.run, &next.id), &mut |_| ());
        well.map_err(|unhealthy| Unverified::Unhealthy(before.id.clone(), unhealthy))?;
        Ok(self.enter(build, &[before], false)?)
    }

    /// Starts the new program beside the old one unless it runs already, and stops the old one once the new one is up. A
    /// new one that does not come up is stopped instead: nobody but its own connections noticed.
    fn put_beside(
        &self,
        spec: &ServiceSpec,
        health: Option<&Health>,
        new: Option<Kept>,
        mut others: Vec<Kept>,
    ) -> Result<(), Unverified> {
        if new.is_none() && others.len() > 1 {
            // An agent was killed between two programs: whoever has run for longer is the one that serves.
            let since = |kept: &Kept| look(&kept.files).ok().and_then(|(_, state)| state?.started_at);
            others.sort_by_key(|kept| since(kept).unwrap_or(jiff::Timestamp::MAX));
            stop_all(&others.split_off(1))?;
        }
        if new.is_none() {
            self.begin(spec, &others)?;
        }
        if let Err(unhealthy) = self.comes_up_beside(spec, health) {
            let (new, _) = self.kept_of(spec)?;
            stop_all(new.as_slice())?;
            return Err(Unverified::Unhealthy(spec.id.clone(), unhealthy));
        }
        Ok(stop_all(&others)?)
    }

    /// Waits until the new program is well by answers of its own, though the old one answers at the same port.
    fn comes_up_beside(&self, spec: &ServiceSpec, health: Option<&Health>) -> Result<(), Unhealthy> {
        let (Some(health), Some(port)) = (health.filter(|health| health.check.asks_a_port()), spec.port) else {
            return self.check_health(spec, health, &mut |_| ()).map(|_| ());
        };
        let deadline = Instant::now() + Duration::from_secs(health.within_seconds.into());
        let address = spec.socket.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let address = SocketAddr::new(loopback_for(address), port);
        let mut tally = Tally::default();
        loop {
            let pid = self.running_pid(spec);
            let answer = match self.connection_of(spec, address) {
                _ if pid.is_none() => Some(Answer::Bad(self.how_it_ended(spec))),
                Some(connection) => Some(answer_over(connection, &health.check, Instant::now() + ATTEMPT)),
                // Who of the two accepts is the kernel's to say: what the new one said before still stands.
                None if tally.has_heard() => None,
                None => Some(Answer::Bad("no connection was accepted by the new program".into())),
            };
            if let Some(answer) = answer {
                let good = matches!(answer, Answer::Good(_)) && pid.is_some() && self.running_pid(spec) == pid;
                let _attempt: Attempt = tally.hear(good, answer.said());
            }
            if tally.good_in_a_row >= health.consecutive.max(1) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(tally.unhealthy(spec, false));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// A connection that the program of this very specification has accepted.
    fn connection_of(&self, spec: &ServiceSpec, address: SocketAddr) -> Option<TcpStream> {
        let (is_kept, state) = look(&self.files_of(spec)).ok()?;
        let keeper = state.filter(|state| is_kept && state.process.is_some())?.keeper?.pid;
        let connect = || TcpStream::connect_timeout(&address, ACCEPTED_WITHIN).ok();
        let connections: Vec<TcpStream> = std::iter::repeat_with(connect).take(CONNECTIONS).flatten().collect();
        let give_up = Instant::now() + ACCEPTED_WITHIN;
        loop {
            // Where the system does not say who accepted, nobody is known to have.
            let accepted = connections.iter().map(|connection| accepted_inode(connection).ok().flatten());
            let accepted: Vec<Option<u32>> = accepted.collect();
            let own = sockets_below(keeper);
            if let Some(at) = accepted.iter().position(|inode| inode.is_some_and(|inode| own.contains(&inode))) {
                return connections.into_iter().nth(at);
            }
            if Instant::now() >= give_up || accepted.iter().all(Option::is_some) {
                return None;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Where a socket at this address is reached on this machine.
fn loopback_for(address: SocketAddr) -> std::net::IpAddr {
    match address {
        SocketAddr::V6(six) if six.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        SocketAddr::V4(four) if four.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        other => other.ip(),
    }
}
