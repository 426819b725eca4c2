//! Where the demo plays: a folder with people, their keys, a git repository, a server and agents, all of it real.
//! Every line it prints is the answer of a command that ran.

use super::traffic::Traffic;
use crate::processes::{Background, LOOK_AGAIN};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    env, fs,
    io::{self, BufRead, BufReader, IsTerminal, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long any one command may be silent.
const PATIENCE: Duration = Duration::from_secs(120);

/// The programs that take part.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Server, agent and command line.
    pub(crate) sortie: PathBuf,
    /// The service that is shipped.
    pub(crate) greeter: PathBuf,
    /// A server that lies; absent where nobody plays it.
    pub(crate) hostile: Option<PathBuf>,
    /// The measurement of the ledger alone; absent where nothing is measured.
    pub(crate) ledger_bench: Option<PathBuf>,
}

/// Everything the steps share.
#[derive(Debug)]
pub(crate) struct World {
    /// Holds all of it.
    pub(crate) folder: PathBuf,
    /// The programs, inside the folder.
    pub(crate) programs: Programs,
    /// Where the server listens, `127.0.0.1:7440`.
    pub(crate) address: String,
    /// The server's address with its key's pin, once it has said it.
    pub(crate) url_and_pin: String,
    /// Where the board is shown.
    pub(crate) board: String,
    /// The server at work.
    pub(crate) server: Option<Background>,
    /// The agents at work, by name.
    pub(crate) agents: Vec<(String, Background)>,
    /// The people out there.
    pub(crate) traffic: Option<Traffic>,
    /// The build pushed last, `greeter#3fa9c1`.
    pub(crate) build: String,
    /// The version numbered last, `greeter@0.1.0`.
    pub(crate) version: String,
    quiet: bool,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The command, as it was printed.
    line: String,
    /// Its output and its errors, in the order in which they were written.
    pub(crate) text: String,
}

impl Answer {
    /// Fails unless the answer says `words`.
    pub(crate) fn says(&self, words: &str) -> Result<&Self> {
        if !self.text.to_lowercase().contains(&words.to_lowercase()) {
            bail!("`{}` should have said {words:?}, and said:\n{}", self.line, self.text);
        }
        Ok(self)
    }

    /// The first word that begins with `start`, without what follows the name: `greeter#` finds `greeter#3fa9c1`.
    pub(crate) fn word(&self, start: &str) -> Result<String> {
        word(&self.text, start).with_context(|| format!("`{}` named no {start}…:\n{}", self.line, self.text))
    }
}

/// The first word of `text` that begins with `start`, without punctuation at its end.
pub(crate) fn word(text: &str, start: &str) -> Option<String> {
    let found = text.split_whitespace().find(|word| word.len() > start.len() && word.starts_with(start))?;
    Some(found.trim_end_matches([',', '.', ':', ';', ')']).to_string())
}

impl World {
    /// An empty folder with copies of the programs in it.
    pub(crate) fn new(folder: PathBuf, programs: &Programs) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        let bin = folder.join("bin");
        fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
        let folder = folder.canonicalize()?;
        let bin = folder.join("bin");
        // Copies, because the next build would replace the programs under the processes that run them.
        let copied = |program: &Path| -> Result<PathBuf> {
            let to = bin.join(program.file_name().context("a program without a name")?);
            fs::copy(program, &to).with_context(|| format!("cannot copy {}", program.display()))?;
            Ok(to)
        };
        let programs = Programs {
            sortie: copied(&programs.sortie)?,
            greeter: copied(&programs.greeter)?,
            hostile: programs.hostile.as_deref().map(copied).transpose()?,
            ledger_bench: programs.ledger_bench.as_deref().map(copied).transpose()?,
        };
        Ok(Self {
            address: format!("127.0.0.1:{}", free_port()?),
            folder,
            programs,
            url_and_pin: String::new(),
            board: String::new(),
            server: None,
            agents: Vec::new(),
            traffic: None,
            build: String::new(),
            version: String::new(),
            quiet: false,
        })
    }

    /// Prints nothing from now on.
    pub(crate) fn hush(&mut self) {
        self.quiet = true;
    }

    /// A person's home folder.
    pub(crate) fn home(&self, person: &str) -> PathBuf {
        self.folder.join("people").join(person)
    }

    /// The git repository.
    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.join("greeter")
    }

    /// The folder of a target's agent.
    pub(crate) fn agent_folder(&self, name: &str) -> PathBuf {
        self.folder.join("agents").join(name)
    }

    /// A command as `person` would type it: their home and key, none of this machine's.
    pub(crate) fn command(&self, person: &str, program: &str) -> Command {
        let home = self.home(person);
        let program = if program == "sortie" { self.programs.sortie.clone() } else { program.into() };
        let mut command = Command::new(program);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if ["SORTIE_", "SSH_", "GIT_", "XDG_", "CARGO"].iter().any(|start| text.starts_with(start)) {
                command.env_remove(&name);
            }
        }
        let at_work = Some(self.repository()).filter(|repository| person == "coder" && repository.is_dir());
        let place = at_work.unwrap_or_else(|| home.clone());
        command
            // Somebody who is nobody here, such as a thief, has no home.
            .current_dir(if place.is_dir() { place } else { self.folder.clone() })
            .env("HOME", &home)
            .env("SORTIE_HOME", home.join(".sortie"))
            .env("SORTIE_IDENTITY", home.join(".ssh/id_ed25519"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GREETER", &self.programs.greeter)
            .stdin(Stdio::null());
        command
    }

    /// Lets `person` type `sortie` with these words, and fails unless it exits with `exit`.
    pub(crate) fn sortie(&self, person: &str, exit: i32, line: &str) -> Result<Answer> {
        self.types(person, exit, &["sortie"].into_iter().chain(line.split_whitespace()).collect::<Vec<_>>())
    }

    /// Lets `person` type any command, and fails unless it exits with `exit`.
    pub(crate) fn types(&self, person: &str, exit: i32, words: &[&str]) -> Result<Answer> {
        let quoted =
            |word: &&str| if word.is_empty() || word.contains(' ') { format!("\"{word}\"") } else { word.to_string() };
        let line = words.iter().map(quoted).collect::<Vec<_>>().join(" ");
        self.print(&format!("{} {}", dim(&format!("{person} $")), bold(&line)));
        let (program, arguments) = words.split_first().context("nothing to type")?;
        let (ended, text) = self.stream(self.command(person, program).args(arguments))?;
        if exit != 0 && ended == exit {
            self.print(&dim(&format!("  (exit {exit})")));
        }
        if ended != exit {
            bail!("{person} typed `{line}`, which should have ended with exit {exit} and ended with {ended}:\n{text}");
        }
        Ok(Answer { line, text })
    }

    /// Runs a command and prints its output as it comes, errors included; answers with exit code and text.
    fn stream(&self, command: &mut Command) -> Result<(i32, String)> {
        let (reader, writer) = io::pipe()?;
        let mut child = command.stdout(writer.try_clone()?).stderr(writer).spawn().context("cannot start it")?;
        // The command holds the ends for writing as long as it lives, and so the pipe would never end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(reader).split(b'\n').map_while(Result::ok);
            for line in lines {
                if tell.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let mut text = String::new();
        loop {
            match told.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.print(&format!("  {line}"));
                    text += &line;
                    text.push('\n');
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    child.kill()?;
                    child.wait()?;
                    bail!("it was silent for {} s, and was ended. It had said:\n{text}", PATIENCE.as_secs());
                }
            }
        }
        Ok((child.wait()?.code().unwrap_or(-1), text))
    }

    /// Asks as `person` for JSON, unseen: for what a machine wants to know.
    pub(crate) fn ask(&self, person: &str, line: &str) -> Result<Value> {
        let output = self.command(person, "sortie").args(line.split_whitespace()).arg("--json").output()?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("`sortie {line} --json` gave no JSON: {}", String::from_utf8_lossy(&output.stderr))
        })
    }

    /// Starts the server on the folder's data.
    pub(crate) fn start_server(&mut self) -> Result<()> {
        let data = self.folder.join("server");
        let mut command = self.command("owner", "sortie");
        command.args(["serve", "--listen", &self.address, "--board", "127.0.0.1:0", "--data"]).arg(&data);
        self.print(&format!(
            "{} {}",
            dim("owner $"),
            bold(&format!("sortie serve --listen {} --data …/server &", self.address))
        ));
        let mut server = Background::start("the server", &mut command, self.folder.join("server.log"))?;
        let address = self.address.clone();
        let said = server.wait_for("where it listens", |text| text.contains(&address).then(|| text.to_string()));
        self.server = Some(server);
        let said = said?;
        if let Some((_, board)) = said.split_once("board ") {
            self.board = board.split_whitespace().next().unwrap_or_default().into();
        }
        for line in said.lines() {
            self.print(&format!("  {line}"));
        }
        Ok(())
    }

    /// Stops the server and waits until its address is free.
    pub(crate) fn stop_server(&mut self) -> Result<()> {
        self.server.take().context("no server runs")?.stop()
    }

    /// Starts the agent of target `name` with an invitation.
    pub(crate) fn start_agent(&mut self, name: &str, token: &str) -> Result<()> {
        let folder = self.agent_folder(name);
        fs::create_dir_all(&folder)?;
        let mut command = self.command("owner", "sortie");
        command.current_dir(&folder).env("HOME", &folder);
        command.env_remove("SORTIE_HOME").env_remove("SORTIE_IDENTITY");
        command.args(["agent", "--join", token, "--name", name, "--data"]).arg(&folder);
        self.print(&format!(
            "{} {}",
            dim(&format!("{name} $")),
            bold(&format!("sortie agent --join … --name {name} &"))
        ));
        let log = self.folder.join(format!("{name}.log"));
        let agent = Background::start(&format!("agent {name}"), &mut command, log)?;
        self.agents.push((name.to_string(), agent));
        Ok(())
    }

    /// Where the machines of an environment listen, by what the server observed.
    pub(crate) fn machines(&self, environment: &str) -> Result<Vec<SocketAddr>> {
        let status = self.ask("oncall", &format!("status {environment}"))?;
        let mut machines = Vec::new();
        collect_addresses(&status, &mut machines);
        machines.sort();
        machines.dedup();
        Ok(machines)
    }

    /// Prints a line for the reader.
    pub(crate) fn print(&self, line: &str) {
        if !self.quiet {
            println!("{line}");
            // A reader who follows through a pipe wants to see it as it happens.
            let _ = io::stdout().flush();
        }
    }
}

/// Every `127.0.0.1:PORT` in the endpoints of a status.
fn collect_addresses(value: &Value, found: &mut Vec<SocketAddr>) {
    match value {
        Value::Object(map) => {
            let listed = map.get("endpoints").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let address =
                |text: &str| text.trim_start_matches("http://").trim_end_matches('/').parse::<SocketAddr>().ok();
            found.extend(listed.filter_map(address));
            map.values().for_each(|value| collect_addresses(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| collect_addresses(value, found)),
        _ => {}
    }
}

/// Looks until it finds; fails after a minute with `what`.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited a minute for {what}");
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Bold on a terminal.
pub(crate) fn bold(text: &str) -> String {
    if io::stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() }
}

/// Dim on a terminal.
pub(crate) fn dim(text: &str) -> String {
    if io::stdout().is_terminal() { format!("\x1b[2m{text}\x1b[0m") } else { text.to_string() }
}
