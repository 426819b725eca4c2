//! One question to a copy or to the build as a whole, and its answer.

use super::{
    Runtime, ServiceSpec, exec,
    log::Stream,
    log_reader::{LogFollower, LogLine, tail},
    measure::measure,
    said::{Said, listen},
    spec::expand,
};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};
use trust::manifest::{HealthCheck, HttpCheck};

const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// How much of an HTTP answer is read where its first line is all that counts.
const STATUS_LINE_BYTES: usize = 1024;
/// How much of an HTTP answer is searched for what it must contain.
const BODY_BYTES: usize = 1 << 20;

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is well.
    Good(String),
    /// It is not, or not yet.
    Bad(String),
    /// It cannot be told.
    Unclear(String),
    /// It is not, and asking again is of no use.
    Final(String),
}

impl Answer {
    /// What was said, whatever it means.
    pub fn said(self) -> String {
        match self {
            Answer::Good(said) | Answer::Bad(said) | Answer::Unclear(said) | Answer::Final(said) => said,
        }
    }
}

/// Who is asked, and where.
#[derive(Clone)]
pub(super) struct Asked<'a> {
    /// Whose environment, folder and log these are.
    pub spec: &'a ServiceSpec,
    /// The file of `spec`, by which programs are run as it would be.
    pub spec_file: &'a Path,
    /// The port that is asked.
    pub port: Option<u16>,
}

/// A question with what it remembers from one time to the next.
pub(super) struct Question<'a> {
    runtime: &'a Runtime,
    check: &'a HealthCheck,
    log: Option<LogWatch>,
}

impl<'a> Question<'a> {
    pub fn new(runtime: &'a Runtime, check: &'a HealthCheck) -> Self {
        Self { runtime, check, log: None }
    }

    /// Asks once; `pid` is the copy's process, where a copy is asked.
    pub fn ask(&mut self, asked: &Asked<'_>, pid: Option<i32>, limit: Duration) -> Answer {
        let until = Instant::now() + limit;
        let port = asked.port.ok_or_else(|| "there is no port".to_owned());
        let said = match self.check {
            HealthCheck::Http(http) => port.and_then(|port| http_answer(port, http, until)),
            HealthCheck::Tcp => port.and_then(|port| connect(port, until)).map(|_| "connected".into()),
            HealthCheck::Command(argv) => self.runtime.run_check(asked, argv, until),
            HealthCheck::Log(pattern) => self.look_into_log(asked, pattern, pid),
            HealthCheck::Prometheus(what) => return measure(what, &asked.spec.environment, limit),
        };
        said.map_or_else(Answer::Bad, Answer::Good)
    }

    fn look_into_log(&mut self, asked: &Asked<'_>, pattern: &str, pid: Option<i32>) -> Result<String, String> {
        let pid = pid.ok_or("the process does not run")?;
        let unreadable = |error: std::io::Error| format!("the log cannot be read: {error}");
        let watch = match self.log.take().filter(|watch| watch.pid == pid) {
            Some(mut watch) => {
                watch.read_on(pattern).map_err(unreadable)?;
                watch
            }
            None => LogWatch::begin(&asked.spec.log(), pid, pattern).map_err(unreadable)?,
        };
        let found = watch.found.clone();
        self.log = Some(watch);
        found.map(|line| format!("logged \"{line}\"")).ok_or_else(|| format!("has not logged \"{pattern}\""))
    }
}

/// What a process has written since it started, as far as it was read.
struct LogWatch {
    pid: i32,
    follower: LogFollower,
    found: Option<String>,
}

impl LogWatch {
    fn begin(log: &Path, pid: i32, pattern: &str) -> std::io::Result<Self> {
        // In this order nothing falls between: what is written meanwhile is read twice.
        let follower = LogFollower::from_end(log.to_owned())?;
        let mut watch = Self { pid, follower, found: None };
        let lines = tail(log, usize::MAX)?;
        let started = format!("started process {pid}");
        let begins = lines.iter().rposition(|line| line.stream == Stream::Keeper && line.text == started);
        watch.look_at(&lines[begins.map_or(0, |at| at + 1)..], pattern);
        Ok(watch)
    }

    fn read_on(&mut self, pattern: &str) -> std::io::Result<()> {
        let lines = self.follower.next_lines()?;
        self.look_at(&lines, pattern);
        Ok(())
    }

    fn look_at(&mut self, lines: &[LogLine], pattern: &str) {
        if self.found.is_none() {
            let fits = |line: &&LogLine| line.stream != Stream::Keeper && fits(&line.text, pattern);
            self.found = lines.iter().find(fits).map(|line| line.text.clone());
        }
    }
}

/// Whether `pattern` stands in `text`; `*` stands for anything.
fn fits(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('*').all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

impl Runtime {
    /// Runs a program as the copy is run, until it ends or time is up; exit code 0 is good. Where it is not, its last line
    /// says more.
    pub(super) fn run_check(&self, asked: &Asked<'_>, argv: &[String], until: Instant) -> Result<String, String> {
        let argv: Vec<String> = argv.iter().map(|argument| expand(argument, &asked.spec.environment)).collect();
        let name = argv.first().cloned().unwrap_or_default();
        let mut command = exec::command(&self.keeper_program, asked.spec_file, &argv);
        let mut child = listen(&mut command).spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
        let complaint = Said::by(&mut child);
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(LOOK_AGAIN),
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
                Some(code) => format!("{name} exit code {code}{}", complaint.last()),
                None => format!("{name} was killed"),
            }),
            None => Err(format!("{name} took too long")),
        }
    }
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

/// Asks over a connection that was made already, what can be asked over one.
pub(super) fn answer_over(stream: TcpStream, check: &HealthCheck, until: Instant) -> Answer {
    let said = match check {
        HealthCheck::Http(http) => http_over(stream, http, until),
        _ => Ok("connected".into()),
    };
    said.map_or_else(Answer::Bad, Answer::Good)
}

fn http_answer(port: u16, http: &HttpCheck, until: Instant) -> Result<String, String> {
    let stream = connect(port, until).map_err(|why| format!("{} {why}", http.path))?;
    http_over(stream, http, until)
}

/// GET by hand: one request, of whose answer at most a megabyte is read, needs no client library.
fn http_over(mut stream: TcpStream, http: &HttpCheck, until: Instant) -> Result<String, String> {
    let path = &http.path;
    if !path.starts_with('/') || path.contains(|c: char| c.is_control() || c == ' ') {
        return Err(format!("{path} is not a path that can be asked for"));
    }
    let named = |what: String| format!("{path} {what}");
    let port = stream.peer_addr().map_or(0, |peer| peer.port());
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: sortie-health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    // In one piece: a server that answers after the first packet and closes must not meet the rest of the request.
    let sent = stream.set_write_timeout(Some(remaining(until))).and_then(|()| stream.write_all(request.as_bytes()));
    sent.map_err(|error| named(describe(&error)))?;
    let wanted = http.contains.as_deref();
    let enough = |bytes: &[u8]| match wanted {
        None => bytes.contains(&b'\n') || bytes.len() >= STATUS_LINE_BYTES,
        Some(wanted) => bytes.len() >= BODY_BYTES || body_contains(bytes, wanted),
    };
    let answer = read_answer(&mut stream, until, enough).map_err(named)?;
    let status = status_of(&answer).ok_or_else(|| named("does not answer in HTTP".into()))?;
    let is_well = http.status.map_or((200..=399).contains(&status), |wanted| status == wanted);
    match wanted {
        _ if !is_well => Err(named(match http.status {
            Some(wanted) => format!("{status}, not {wanted}"),
            None => status.to_string(),
        })),
        Some(wanted) if !body_contains(&answer, wanted) => Err(named(format!("{status} without \"{wanted}\""))),
        _ => Ok(named(status.to_string())),
    }
}

/// Reads until it is enough, the answer has ended or time is up; only silence from the beginning is a failure.
fn read_answer(stream: &mut TcpStream, until: Instant, enough: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, String> {
    let mut answer = Vec::new();
    let mut piece = [0; 16 << 10];
    while !enough(&answer) {
        let left = (Instant::now() < until).then(|| remaining(until));
        let read = left.map(|left| stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut piece)));
        match read {
            Some(Ok(0)) => break,
            Some(Ok(length)) => answer.extend_from_slice(&piece[..length]),
            Some(Err(error)) if answer.is_empty() => return Err(describe(&error)),
            None if answer.is_empty() => return Err("no answer in time".into()),
            Some(Err(_)) | None => break,
        }
    }
    Ok(answer)
}

/// The status in the first line of an HTTP answer; nothing where it is none.
pub fn status_of(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r' || *byte == b'\n').next()?).ok()?;
    let mut words = line.split(' ');
    let status = words.next().filter(|version| version.starts_with("HTTP/1.")).and_then(|_| words.next())?;
    status.parse().ok().filter(|_| status.len() == 3)
}

/// Whether the body of an HTTP answer, as far as it has come, contains `wanted`.
pub fn body_contains(answer: &[u8], wanted: &str) -> bool {
    let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let (head, body) = (String::from_utf8_lossy(&answer[..at]).to_ascii_lowercase(), &answer[at + 4..]);
    let is_chunked = head.lines().any(|line| line.starts_with("transfer-encoding:") && line.contains("chunked"));
    let body = if is_chunked { whole_of_chunks(body) } else { body.to_vec() };
    body.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

/// A chunked body (RFC 9112, section 7.1) put together, as far as it has come.
fn whole_of_chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&rest[..at]).into_owned();
        let length = line.split(';').next().unwrap_or_default().trim();
        let Ok(length @ 1..) = usize::from_str_radix(length, 16) else { break };
        let data = &rest[at + 1..];
        whole.extend_from_slice(&data[..length.min(data.len())]);
        // Behind the data stands an end of line.
        rest = data.get(length.saturating_add(2)..).unwrap_or_default();
    }
    whole
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
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let asked = http_over(stream, &"/x HTTP/1.1\r\nEvil: 1".into(), Instant::now());
        assert!(asked.unwrap_err().contains("not a path"));
    }

    #[test]
    fn what_an_answer_contains_is_found_across_chunks_and_not_in_its_head() {
        let plain = b"HTTP/1.1 200 OK\r\nx: well\r\n\r\nall is well";
        assert!(body_contains(plain, "is well") && !body_contains(plain, "x: well"));
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nall i\r\n6\r\ns well\r\n0\r\n\r\n";
        assert!(body_contains(chunked, "all is well") && !body_contains(chunked, "5;"));
        let cut = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nall";
        assert!(body_contains(cut, "all") && !body_contains(cut, "ffff"));
        assert!(!body_contains(b"HTTP/1.1 200 OK\r\n", "x"));
    }

    #[test]
    fn patterns_fit_anywhere_in_a_line_and_stars_stand_for_anything() {
        assert!(fits("greeter 1 listens on http://127.0.0.1:1", "listens on"));
        assert!(fits("greeter 1 listens on http://127.0.0.1:1", "greeter * listens*http"));
        assert!(!fits("listens, greeter", "greeter*listens") && !fits("", "x") && fits("", "*"));
    }
}
