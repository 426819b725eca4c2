//! Whether a copy is well: asked over HTTP, TCP or by a program, until it said so often enough or time is up.

use super::{
    Runtime, ServiceSpec,
    control::running_process,
    exec,
    log_reader::last_line_of_process,
    spec::{KeeperFiles, expand},
};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fmt,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};
use trust::{
    manifest::{Health, HealthCheck},
    names::printable,
};

/// How long a copy without a health check must stay alive.
const ALIVE: Duration = Duration::from_secs(2);
/// How long one question may take.
const ATTEMPT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How much of an HTTP answer is read: its first line is all that counts.
const STATUS_LINE_BYTES: usize = 1024;

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// Whether the answer was a good one.
    pub good: bool,
    /// What was said: `/healthz 503`, `connection refused`.
    pub said: String,
}

/// Why a copy is not well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Unhealthy {
    /// How often it was asked.
    pub tries: u32,
    /// How many of the last tries had the same answer.
    pub repeated: u32,
    /// What was said last, as in [`Attempt::said`].
    pub last: String,
    /// What the copy last wrote to its log.
    pub last_log_line: Option<String>,
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.last)?;
        if self.repeated > 1 {
            write!(f, " × {}", self.repeated)?;
        }
        match &self.last_log_line {
            Some(line) => write!(f, " (last log: \"{line}\")"),
            None => Ok(()),
        }
    }
}

impl Runtime {
    /// Waits until the copy is well: `health` answered well so many times in a row, by one and the same process,
    /// within its time; or, without `health`, the process stayed alive for two seconds. `on_try` hears every attempt.
    pub fn check_health(
        &self,
        spec: &ServiceSpec,
        health: Option<&Health>,
        on_try: &mut dyn FnMut(&Attempt),
    ) -> Result<(), Unhealthy> {
        match health {
            Some(health) => self.ask_until_well(spec, health, on_try),
            None => self.watch_alive(spec, on_try),
        }
    }

    fn ask_until_well(
        &self,
        spec: &ServiceSpec,
        health: &Health,
        on_try: &mut dyn FnMut(&Attempt),
    ) -> Result<(), Unhealthy> {
        let deadline = Instant::now() + Duration::from_secs(health.within_seconds.into());
        let mut pause = FIRST_PAUSE;
        let mut good_in_a_row = 0;
        let mut asked_pid = None;
        let mut number = 0;
        let mut repeated = 0;
        let mut last = String::new();
        loop {
            number += 1;
            let pid = self.running_pid(spec);
            let limit = deadline.saturating_duration_since(Instant::now()).clamp(LONGEST_PAUSE, ATTEMPT);
            let answer = self.ask_once(spec, &health.check, limit);
            // A stranger on the same port, or a process that ended meanwhile, must not pass for this copy.
            let answer = match answer {
                Ok(_) if pid.is_none() || self.running_pid(spec) != pid => {
                    Err("the process does not stay alive".into())
                }
                other => other,
            };
            if pid != asked_pid {
                good_in_a_row = 0;
                asked_pid = pid;
            }
            let good = answer.is_ok();
            let said = printable(&answer.unwrap_or_else(|said| said));
            repeated = if said == last { repeated + 1 } else { 1 };
            last.clone_from(&said);
            on_try(&Attempt { number, good, said: said.clone() });
            good_in_a_row = if good { good_in_a_row + 1 } else { 0 };
            if good_in_a_row >= health.consecutive.max(1) {
                return Ok(());
            }
            if Instant::now() + pause >= deadline {
                return Err(unhealthy(spec, number, repeated, said));
            }
            std::thread::sleep(pause);
            pause = if good { pause } else { (pause * 3 / 2).min(LONGEST_PAUSE) };
        }
    }

    fn watch_alive(&self, spec: &ServiceSpec, on_try: &mut dyn FnMut(&Attempt)) -> Result<(), Unhealthy> {
        // The keeper may need a moment to start the first process at all.
        let give_up = Instant::now() + ATTEMPT;
        let first = loop {
            match self.running_pid(spec) {
                Some(pid) => break Some(pid),
                None if Instant::now() >= give_up => break None,
                None => std::thread::sleep(FIRST_PAUSE),
            }
        };
        let well_at = Instant::now() + ALIVE;
        while first.is_some() && self.running_pid(spec) == first {
            if Instant::now() >= well_at {
                on_try(&Attempt { number: 1, good: true, said: "alive".into() });
                return Ok(());
            }
            std::thread::sleep(FIRST_PAUSE * 2);
        }
        let (_, how) = running_process(self, spec);
        let said = how.map_or_else(|| "the process does not run".into(), |exit| format!("the process ended: {exit}"));
        on_try(&Attempt { number: 1, good: false, said: said.clone() });
        Err(unhealthy(spec, 1, 1, said))
    }

    fn running_pid(&self, spec: &ServiceSpec) -> Option<i32> {
        running_process(self, spec).0
    }

    /// Both answers say something: well, or not.
    fn ask_once(&self, spec: &ServiceSpec, check: &HealthCheck, limit: Duration) -> Result<String, String> {
        let until = Instant::now() + limit;
        match check {
            HealthCheck::Http(path) => http_status(port_of(spec)?, path, until),
            HealthCheck::Tcp => connect(port_of(spec)?, until).map(|_| "connected".into()),
            HealthCheck::Command(argv) => self.run_check(spec, argv, until),
        }
    }

    fn run_check(&self, spec: &ServiceSpec, argv: &[String], until: Instant) -> Result<String, String> {
        let files = KeeperFiles::new(&self.layout.run(&spec.app), &spec.id);
        let argv: Vec<String> = argv.iter().map(|argument| expand(argument, &spec.environment)).collect();
        let name = argv.first().cloned().unwrap_or_default();
        let mut command = exec::command(&self.keeper_program, &files.spec, &argv);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.map_err(|error| format!("{name} cannot be started: {error}"))?;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(FIRST_PAUSE),
                Ok(None) | Err(_) => break None,
            }
        };
        // What the check left behind is ended with it. Its leader is a zombie or alive, or its number is still taken
        // by its group, or the group is empty: no other process can be meant.
        if status.is_none() {
            if let Some(group) = Pid::from_raw(child.id() as i32) {
                let _already_gone = kill_process_group(group, Signal::KILL);
            }
            let _reaped = child.wait();
        }
        match status {
            Some(status) if status.success() => Ok(format!("{name} exit code 0")),
            Some(status) => Err(match status.code() {
                Some(code) => format!("{name} exit code {code}"),
                None => format!("{name} was killed"),
            }),
            None => Err(format!("{name} took too long")),
        }
    }
}

fn unhealthy(spec: &ServiceSpec, tries: u32, repeated: u32, last: String) -> Unhealthy {
    Unhealthy { tries, repeated, last, last_log_line: last_line_of_process(&spec.log()) }
}

fn port_of(spec: &ServiceSpec) -> Result<u16, String> {
    spec.port.ok_or_else(|| "the copy has no port".into())
}

fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn connect(port: u16, until: Instant) -> Result<TcpStream, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, remaining(until)).map_err(|error| describe(&error))
}

fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => "no answer in time".into(),
        _ => error.to_string(),
    }
}

/// GET by hand: one request, of whose answer only the first line is read, needs no client library.
fn http_status(port: u16, path: &str, until: Instant) -> Result<String, String> {
    if !path.starts_with('/') || path.contains(|c: char| c.is_control() || c == ' ') {
        return Err(format!("{path} is not a path that can be asked for"));
    }
    let named = |what: String| format!("{path} {what}");
    let failed = |error: std::io::Error| named(describe(&error));
    let mut stream = connect(port, until).map_err(named)?;
    stream.set_write_timeout(Some(remaining(until))).map_err(failed)?;
    // In one piece: a server that answers after the first packet and closes must not meet the rest of the request.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: sortie-health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut head = Vec::new();
    let mut piece = [0; 256];
    while !head.contains(&b'\n') && head.len() < STATUS_LINE_BYTES {
        if Instant::now() >= until {
            return Err(named("no answer in time".into()));
        }
        stream.set_read_timeout(Some(remaining(until))).map_err(failed)?;
        match stream.read(&mut piece).map_err(failed)? {
            0 => break,
            length => head.extend_from_slice(&piece[..length]),
        }
    }
    match status_of(&head) {
        Some(status @ 200..=399) => Ok(named(status.to_string())),
        Some(status) => Err(named(status.to_string())),
        None => Err(named("does not answer in HTTP".into())),
    }
}

fn status_of(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r' || *byte == b'\n').next()?).ok()?;
    let mut words = line.split(' ');
    let status = words.next().filter(|version| version.starts_with("HTTP/1.")).and_then(|_| words.next())?;
    status.parse().ok().filter(|_| status.len() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_line_is_an_answer() {
        assert_eq!(status_of(b"HTTP/1.1 503 Service Unavailable\r\n"), Some(503));
        assert_eq!(status_of(b"HTTP/1.0 200\r\n"), Some(200));
        for bad in [&b"SSH-2.0-OpenSSH"[..], b"", b"HTTP/1.1 ", b"HTTP/1.1 2000 x", b"HTTP/1.1 +20 x\xff"] {
            assert_eq!(status_of(bad), None);
        }
    }

    #[test]
    fn a_path_cannot_carry_a_second_request() {
        let until = Instant::now();
        assert!(http_status(1, "/x HTTP/1.1\r\nEvil: 1", until).unwrap_err().contains("not a path"));
    }

    #[test]
    fn the_reason_reads_as_one_line() {
        let last_log_line = Some("no such column: plan".to_owned());
        let reason = Unhealthy { tries: 9, repeated: 5, last: "/healthz 503".into(), last_log_line };
        assert_eq!(reason.to_string(), "/healthz 503 × 5 (last log: \"no such column: plan\")");
    }
}
