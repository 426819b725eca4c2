//! A small web service to release and deploy. It greets the people of its database by a template that is shipped with
//! it, so a new version may ask for a column that the database of some environment does not have yet: then `/healthz`
//! says 503, and the log says which.
//!
//! - `GET /` greets the next person, and ends with the commit the build was made from
//! - `GET /healthz` 200, or 503 and the reason
//! - `GET /version` the commit
//!
//! It answers one request a connection, and finishes what it has accepted when it is asked to stop (SIGTERM). Where it is
//! given a socket (LISTEN_FDS, sd_listen_fds(3)) it listens on that one, and leaves what waits there to its successor.

mod greeting;

use greeting::Greeting;
use listenfd::ListenFd;
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::SIGTERM;
use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// The longest head of a request that is read, in bytes.
const MAX_HEAD_BYTES: u64 = 16 << 10;
/// How long a client may take to send its request.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything a request needs.
struct Service {
    commit: String,
    template: PathBuf,
    database: PathBuf,
    served: AtomicUsize,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("greeter: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let port = port(env::args().skip(1))?;
    let database =
        env::var_os("DATABASE").ok_or("DATABASE is not set: it names the CSV file of the people to greet")?;
    let commit = fs::read_to_string("commit").map_err(|error| format!("cannot read ./commit: {error}"))?;
    let service = Arc::new(Service {
        commit: commit.trim().to_string(),
        template: "greeting.txt".into(),
        database: database.into(),
        served: AtomicUsize::new(0),
    });
    let given = ListenFd::from_env().take_tcp_listener(0).map_err(|error| format!("LISTEN_FDS: {error}"))?;
    let keeps_queue = given.is_none();
    let listener = match given {
        Some(listener) => listener,
        None => {
            TcpListener::bind(("127.0.0.1", port)).map_err(|error| format!("cannot listen on port {port}: {error}"))?
        }
    };
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("greeter {} listens on http://{address}", service.commit);

    let (stop, stopped) = UnixStream::pair().map_err(|error| error.to_string())?;
    signal_hook::low_level::pipe::register(SIGTERM, stop)
        .map_err(|error| format!("cannot wait for SIGTERM: {error}"))?;
    serve(&listener, &service, &stopped, keeps_queue).map_err(|error| format!("cannot serve: {error}"))?;
    println!("greeter {} stops: every request that was accepted is answered", service.commit);
    Ok(())
}

/// `--port 8080`, or the variable PORT.
fn port(mut arguments: impl Iterator<Item = String>) -> Result<u16, String> {
    let text = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--port"), Some(port)) => port,
        (None, _) => env::var("PORT").map_err(|_| "usage: greeter --port PORT".to_string())?,
        _ => return Err("usage: greeter --port PORT".into()),
    };
    text.parse().map_err(|_| format!("{text:?} is not a port"))
}

/// Answers until it is asked to stop, then waits for the answers under way.
fn serve(listener: &TcpListener, service: &Arc<Service>, stopped: &UnixStream, keeps_queue: bool) -> io::Result<()> {
    // A socket that was given may be shared with another process, which may take what both were woken for.
    listener.set_nonblocking(true)?;
    let mut answering = Vec::new();
    let mut stopping = false;
    while !stopping {
        let mut waiting = [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut waiting, None) {
            Ok(_) => stopping = !waiting[1].revents().is_empty(),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if stopping && !keeps_queue {
            break;
        }
        // The kernel accepted these before the port is closed, so they get an answer as well.
        while let Ok((connection, _)) = listener.accept() {
            answering.retain(|thread: &thread::JoinHandle<()>| !thread.is_finished());
            let service = service.clone();
            answering.push(thread::spawn(move || {
                // A client that went away is no concern of the service.
                let _ = answer(&connection, &service);
            }));
        }
    }
    for thread in answering {
        let _ = thread.join();
    }
    Ok(())
}

fn answer(connection: &TcpStream, service: &Service) -> io::Result<()> {
    connection.set_read_timeout(Some(READ_TIMEOUT))?;
    let mut head = BufReader::new(connection.take(MAX_HEAD_BYTES));
    let mut request = String::new();
    if head.read_line(&mut request)? == 0 {
        return Ok(());
    }
    let mut line = String::new();
    while head.read_line(&mut line)? > 2 {
        line.clear();
    }
    let (status, body) = match request.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["GET", "/"] => greet(service),
        ["GET", "/healthz"] => match check(service) {
            Ok(_) => ("200 OK", "well\n".into()),
            Err(why) => ("503 Service Unavailable", format!("{why}\n")),
        },
        ["GET", "/version"] => ("200 OK", format!("{}\n", service.commit)),
        ["GET", _] => ("404 Not Found", "there is /, /healthz and /version\n".into()),
        _ => ("405 Method Not Allowed", "GET only\n".into()),
    };
    let mut connection = connection;
    write!(
        connection,
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    connection.flush()?;
    connection.shutdown(Shutdown::Write)
}

fn greet(service: &Service) -> (&'static str, String) {
    match check(service) {
        Ok(greeting) => {
            let count = service.served.fetch_add(1, Ordering::Relaxed);
            ("200 OK", format!("{} (greeter {})\n", greeting.to(count), service.commit))
        }
        Err(why) => ("500 Internal Server Error", format!("{why}\n")),
    }
}

/// Reads template and database anew, because a database changes under a running service; a failure is logged here.
fn check(service: &Service) -> Result<Greeting, String> {
    let read = |path: &PathBuf| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let greeting = read(&service.template).and_then(|template| Greeting::new(&template, &read(&service.database)?));
    greeting.inspect_err(|why| eprintln!("greeter: {why}"))
}
