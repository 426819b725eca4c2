//! The people out there: a client that keeps requesting the machines in turn, as a load balancer would, and counts.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long the client rests between two requests, to leave the machine to the others.
const REST: Duration = Duration::from_millis(5);
/// How long a machine may take to answer before it counts as down.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the client got since it got its first answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    /// Requests that were answered, by the commit that answered.
    pub(crate) answered: BTreeMap<String, u64>,
    /// Answered requests for which the client had to turn to another machine.
    pub(crate) turned: u64,
    /// Requests that no machine answered.
    pub(crate) failed: u64,
}

impl Count {
    /// All requests.
    pub(crate) fn total(&self) -> u64 {
        self.answered.values().sum::<u64>() + self.failed
    }

    /// The count in words.
    pub(crate) fn in_words(&self) -> String {
        let mut by: Vec<String> =
            self.answered.iter().map(|(commit, count)| format!("{count} answered by {commit}")).collect();
        by.push(format!("{} failed", self.failed));
        let turned = match self.turned {
            0 => String::new(),
            turned => format!(" ({turned} of them by the second machine that was asked)"),
        };
        format!("{} requests: {}{turned}", self.total(), by.join(", "))
    }
}

/// A client at work.
#[derive(Debug)]
pub(crate) struct Traffic {
    machines: Arc<Mutex<Vec<SocketAddr>>>,
    count: Arc<Mutex<Count>>,
    over: Arc<AtomicBool>,
    client: JoinHandle<()>,
}

impl Traffic {
    /// Starts the client. It asks nobody until it knows a machine.
    pub(crate) fn start() -> Self {
        let machines: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let count: Arc<Mutex<Count>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let (its_machines, its_count, its_over) = (machines.clone(), count.clone(), over.clone());
        let client = thread::spawn(move || {
            let mut turn = 0;
            while !its_over.load(Ordering::Relaxed) {
                let known = locked(&its_machines).clone();
                turn += 1;
                request(&known, turn, &its_count);
                thread::sleep(REST);
            }
        });
        Self { machines, count, over, client }
    }

    /// Tells the client where the machines listen.
    pub(crate) fn machines_are(&self, addresses: Vec<SocketAddr>) {
        *locked(&self.machines) = addresses;
    }

    /// What it got so far.
    pub(crate) fn count(&self) -> Count {
        locked(&self.count).clone()
    }

    /// Ends the client, and says what it got in all.
    pub(crate) fn stop(self) -> Count {
        self.over.store(true, Ordering::Relaxed);
        // A client that panicked has counted until then, and the number of requests shows it.
        let _ = self.client.join();
        locked(&self.count).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request: the machine whose turn it is, and where that one does not answer well, the next.
fn request(machines: &[SocketAddr], turn: usize, count: &Mutex<Count>) {
    for tries in 0..machines.len() {
        if let Some(commit) = ask(machines[(turn + tries) % machines.len()]) {
            let mut count = locked(count);
            *count.answered.entry(commit).or_default() += 1;
            count.turned += u64::from(tries > 0);
            return;
        }
    }
    let mut count = locked(count);
    // Before the first answer there is no service yet that could fail anybody.
    if !machines.is_empty() && !count.answered.is_empty() {
        count.failed += 1;
    }
}

/// `GET /`, and the commit at the end of the greeting: `Hello, Ada! (greeter 9b1d22e)`.
fn ask(machine: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&machine, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: greeter\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let (_, commit) = body.trim_end().strip_suffix(')')?.rsplit_once("(greeter ")?;
    head.starts_with("HTTP/1.1 200 ").then(|| commit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_machine_that_is_down_costs_a_turn_and_no_request() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let up = listener.local_addr().unwrap();
        let down = {
            let gone = TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        };
        let server = thread::spawn(move || {
            for connection in listener.incoming().take(2) {
                let mut connection = connection.unwrap();
                let mut head = [0; 512];
                assert!(connection.read(&mut head).unwrap() > 0);
                connection.write_all(b"HTTP/1.1 200 OK\r\n\r\nHello, Ada! (greeter 9b1d22e)\n").unwrap();
            }
        });
        let count = Mutex::default();
        request(&[down], 0, &count);
        assert_eq!(locked(&count).total(), 0, "nothing served yet, so nothing can fail");
        request(&[down, up], 0, &count);
        request(&[down, up], 1, &count);
        server.join().unwrap();
        request(&[down], 0, &count);
        let count = locked(&count).clone();
        assert_eq!((count.answered["9b1d22e"], count.turned, count.failed), (2, 1, 1));
        assert_eq!(
            count.in_words(),
            "3 requests: 2 answered by 9b1d22e, 1 failed (1 of them by the second machine that was asked)"
        );
    }
}
