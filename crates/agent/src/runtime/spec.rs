//! What one copy of a process is: worked out once from the manifest and config, and all its keeper ever knows.

use super::{RuntimeError, account::Account, disk::failed};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use trust::{
    AppName, AudienceName, Digest, TargetName,
    manifest::{Run, StopSignal, Traffic, config_may_fill},
};

/// The search path of every process unless its build says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a task that takes too long may take to stop, in seconds.
const TASK_STOP_SECONDS: u32 = 10;

/// One copy of one process: `web-2`. Copies are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CopyId {
    /// The process's name in the manifest.
    pub process: String,
    /// Which copy, from 1.
    pub copy: u32,
}

impl fmt::Display for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.process, self.copy)
    }
}

/// Everything needed to run one copy. Its file holds secrets, so only the agent's own user may read it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// The application.
    pub app: AppName,
    /// The build it runs.
    pub build: Digest,
    /// Which copy it is.
    pub id: CopyId,
    /// The program and its arguments, with variables already replaced.
    pub argv: Vec<String>,
    /// The complete environment: nothing else is inherited.
    pub environment: BTreeMap<String, String>,
    /// The release's folder.
    pub working_folder: PathBuf,
    /// The system user it runs as; absent means the agent's own.
    pub user: Option<String>,
    /// The port it is to listen on.
    pub port: Option<u16>,
    /// Where its keeper listens for it; absent means that it listens by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<SocketAddr>,
    /// How it goes out of service and comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// The signal that asks it to stop.
    pub stop_signal: StopSignal,
    /// How long it may take to stop before it is killed.
    pub stop_seconds: u32,
    /// The folder of its log.
    pub logs: PathBuf,
    /// Whether it is a task, which runs once and whose end is recorded, rather than a copy that is kept running.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
}

impl fmt::Debug for ServiceSpec {
    /// Names the copy alone: arguments and environment may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceSpec({} {} {:?})", self.app, self.id, self.build)
    }
}

/// Where a copy runs, as told to it in `SORTIE_ENVIRONMENT` and `SORTIE_TARGET`.
#[derive(Clone, Debug)]
pub struct Site {
    /// The environment the target is in.
    pub environment: AudienceName,
    /// The target.
    pub target: TargetName,
}

/// What [`expand_run`] needs besides the manifest's run specification.
pub(super) struct Placement<'a> {
    pub app: &'a AppName,
    pub build: Digest,
    pub site: &'a Site,
    pub working_folder: PathBuf,
    pub logs: PathBuf,
}

/// Works out every copy of every process. `port_of` is asked once for each copy that needs a port and fixes none.
pub(super) fn expand_run(
    placement: &Placement<'_>,
    run: &Run,
    config: &BTreeMap<String, String>,
    mut port_of: impl FnMut(&CopyId) -> Result<u16, RuntimeError>,
) -> Result<Vec<ServiceSpec>, RuntimeError> {
    let base = base_environment(placement, run.user.as_deref())?;
    let config = fill_config(run, config)?;
    let mut specs = Vec::new();
    for (name, process) in &run.processes {
        for copy in 1..=process.copies {
            let id = CopyId { process: name.clone(), copy };
            let port = match process.port {
                Some(fixed) => Some(fixed),
                None if process.wants_port(&run.environment) => Some(port_of(&id)?),
                None => None,
            };
            let environment = complete_environment(&base, &run.environment, &config, port);
            let argv = process.run.iter().map(|argument| expand(argument, &environment)).collect();
            let spec = ServiceSpec {
                app: placement.app.clone(),
                build: placement.build,
                id,
                argv,
                environment,
                working_folder: placement.working_folder.clone(),
                user: run.user.clone(),
                port,
                socket: process.socket.zip(port).map(|(address, port)| SocketAddr::new(address, port)),
                traffic: run.traffic.clone().filter(|_| port.is_some()),
                stop_signal: process.stop_signal,
                stop_seconds: process.stop_seconds,
                logs: placement.logs.clone(),
                once: false,
            };
            spec.check_text()?;
            specs.push(spec);
        }
    }
    Ok(specs)
}

/// Works out something that runs once, as a copy of the build would run. `port` is that of the copy whose environment it
/// gets, if any.
pub(super) fn expand_task(
    placement: &Placement<'_>,
    run: &Run,
    config: &BTreeMap<String, String>,
    name: &str,
    argv: &[String],
    port: Option<u16>,
) -> Result<ServiceSpec, RuntimeError> {
    let base = base_environment(placement, run.user.as_deref())?;
    let config = fill_config(run, config)?;
    let environment = complete_environment(&base, &run.environment, &config, port);
    let spec = ServiceSpec {
        app: placement.app.clone(),
        build: placement.build,
        id: CopyId { process: name.to_owned(), copy: 1 },
        argv: argv.iter().map(|argument| expand(argument, &environment)).collect(),
        environment,
        working_folder: placement.working_folder.clone(),
        user: run.user.clone(),
        port,
        socket: None,
        traffic: None,
        stop_signal: StopSignal::Term,
        stop_seconds: TASK_STOP_SECONDS,
        logs: placement.logs.clone(),
        once: true,
    };
    spec.check_text()?;
    Ok(spec)
}

impl ServiceSpec {
    /// A zero byte would cut an argument or variable short.
    fn check_text(&self) -> Result<(), RuntimeError> {
        if self.argv.iter().any(|argument| argument.contains('\0')) {
            return Err(RuntimeError::ZeroByte { what: format!("an argument of {}", self.id) });
        }
        match self.environment.iter().find(|(_, value)| value.contains('\0')) {
            Some((name, _)) => Err(RuntimeError::ZeroByte { what: format!("the variable {name}") }),
            None => Ok(()),
        }
    }

    /// Whether what is kept as `self` can hand its socket on to `next`.
    pub(super) fn hands_on_to(&self, next: &Self) -> bool {
        self.id == next.id && self.socket.is_some() && self.socket == next.socket
    }

    /// Reads a specification's file.
    pub(super) fn read(path: &Path) -> Result<Self, RuntimeError> {
        let bytes = std::fs::read(path).map_err(failed("read", path))?;
        serde_json::from_slice(&bytes).map_err(|error| failed("read", path)(error.into()))
    }

    /// The copy's log; rotated ones carry a number behind.
    pub fn log(&self) -> PathBuf {
        self.logs.join(format!("{}.log", self.id))
    }
}

/// What every process gets: PATH, HOME, LANG, TZ and where it is. Nothing else of the agent's own environment passes.
fn base_environment(placement: &Placement<'_>, user: Option<&str>) -> Result<BTreeMap<String, String>, RuntimeError> {
    let own = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let home = match user {
        Some(user) => Account::find(user)?.home,
        None => own("HOME").unwrap_or_else(|| "/".into()),
    };
    let mut base = BTreeMap::from([("PATH".to_owned(), PATH.to_owned()), ("HOME".to_owned(), home)]);
    base.extend(["LANG", "TZ"].into_iter().filter_map(|name| Some((name.to_owned(), own(name)?))));
    base.insert("SORTIE_APP".into(), placement.app.to_string());
    base.insert("SORTIE_BUILD".into(), placement.build.to_string());
    base.insert("SORTIE_ENVIRONMENT".into(), placement.site.environment.to_string());
    base.insert("SORTIE_TARGET".into(), placement.site.target.to_string());
    // So that one build may bring programs for several kinds of machine.
    base.insert("SORTIE_OS".into(), std::env::consts::OS.into());
    base.insert("SORTIE_ARCH".into(), std::env::consts::ARCH.into());
    Ok(base)
}

/// The value of every declared config key: the environment's, or the build's default.
fn fill_config(run: &Run, config: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, RuntimeError> {
    let mut filled = BTreeMap::new();
    for (key, declared) in &run.config {
        let value = match config.get(key) {
            Some(_) if !config_may_fill(key) => return Err(RuntimeError::ConfigNotAllowed { key: key.clone() }),
            Some(value) => value,
            None => declared.default.as_ref().ok_or_else(|| RuntimeError::ConfigMissing { key: key.clone() })?,
        };
        filled.insert(key.clone(), value.clone());
    }
    Ok(filled)
}

/// Config values are taken as they are; the build's own variables may mention the base, the port and config. What
/// Sortie itself says (`PORT`, `SORTIE_*`) cannot be overridden.
fn complete_environment(
    base: &BTreeMap<String, String>,
    declared: &BTreeMap<String, String>,
    config: &BTreeMap<String, String>,
    port: Option<u16>,
) -> BTreeMap<String, String> {
    let mut known = base.clone();
    known.extend(config.iter().map(|(key, value)| (key.clone(), value.clone())));
    known.extend(port.map(|port| ("PORT".to_owned(), port.to_string())));
    let mut complete = known.clone();
    let ours = |name: &str| name == "PORT" || name.starts_with("SORTIE_");
    let theirs = declared.iter().filter(|(name, _)| !ours(name));
    complete.extend(theirs.map(|(name, value)| (name.clone(), expand(value, &known))));
    complete
}

/// Replaces `$NAME` and `${NAME}` by the variable's value, once: what a value contains is not looked at again. What
/// is not a known variable stays as it is written, so that `$1` or a shell's own variables survive.
pub(super) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, length) = variable_at(rest);
        match variables.get(name) {
            Some(value) if !name.is_empty() => {
                out.push_str(value);
                rest = &rest[length..];
            }
            _ => {
                out.push('$');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The name of the variable mentioned at the start of `text`, which begins with `$`, and the length of the mention.
fn variable_at(text: &str) -> (&str, usize) {
    let name_length = |text: &str| text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    if let Some(braced) = text.strip_prefix("${") {
        let length = name_length(braced);
        return if braced[length..].starts_with('}') { (&braced[..length], length + 3) } else { ("", 1) };
    }
    let length = name_length(&text[1..]);
    (&text[1..=length], length + 1)
}

/// The files by which a keeper and the agent know each other, all in one folder and named after the copy.
#[derive(Clone, Debug)]
pub(super) struct KeeperFiles {
    pub spec: PathBuf,
    pub state: PathBuf,
    pub lock: PathBuf,
    pub socket: PathBuf,
}

const SPEC_ENDING: &str = ".spec.json";
/// Behind the name of a copy's second place; no copy's name has it.
const BESIDE: &str = "+";

impl KeeperFiles {
    pub fn new(run_folder: &Path, id: &CopyId) -> Self {
        Self::named(run_folder, &id.to_string())
    }

    fn named(run_folder: &Path, name: &str) -> Self {
        let file = |ending: &str| run_folder.join(format!("{name}{ending}"));
        Self { spec: file(SPEC_ENDING), state: file(".state.json"), lock: file(".lock"), socket: file(".sock") }
    }

    /// The two places a copy may be kept in: while a socket is handed on, its old and its new program run side by side.
    pub fn places(run_folder: &Path, id: &CopyId) -> [Self; 2] {
        [Self::new(run_folder, id), Self::named(run_folder, &format!("{id}{BESIDE}"))]
    }

    /// Whether a copy that is kept here may be what listens on the port.
    pub fn may_occupy(&self, port: u16) -> bool {
        self.is_kept().unwrap_or(true) && ServiceSpec::read(&self.spec).map_or(true, |spec| spec.port == Some(port))
    }

    /// The files beside a specification's file.
    pub fn beside_spec(spec_file: &Path) -> Option<Self> {
        let name = spec_file.file_name()?.to_str()?.strip_suffix(SPEC_ENDING)?;
        Some(Self::named(spec_file.parent()?, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::manifest::{ConfigKey, Process};

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn variables_are_replaced_once_and_the_unknown_stays() {
        let known = variables(&[("PORT", "80"), ("A", "$PORT")]);
        for (text, expected) in [
            ("--port=$PORT", "--port=80"),
            ("${PORT}1", "801"),
            ("$PORTS", "$PORTS"),
            ("$A", "$PORT"),
            ("$", "$"),
            ("$$PORT", "$80"),
            ("${PORT", "${PORT"),
            ("{print $1}", "{print $1}"),
            ("ä$é$PORT", "ä$é80"),
        ] {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }

    fn expanded(run: &Run, config: &BTreeMap<String, String>) -> Result<Vec<ServiceSpec>, RuntimeError> {
        let app = AppName::new("web").unwrap();
        let site = Site { environment: AudienceName::new("prod").unwrap(), target: TargetName::new("prod-1").unwrap() };
        let placement = Placement {
            app: &app,
            build: Digest::of(b"x"),
            site: &site,
            working_folder: "/w".into(),
            logs: "/l".into(),
        };
        expand_run(&placement, run, config, |id| Ok(20_000 + id.copy as u16))
    }

    #[test]
    fn the_environment_is_exactly_what_was_declared() {
        let process = Process {
            run: vec!["./web".into(), "--port".into(), "$PORT".into(), "$URL".into()],
            copies: 2,
            port: None,
            health: None,
            stop_signal: StopSignal::Term,
            stop_seconds: 5,
            socket: None,
        };
        let mut run = Run {
            processes: [("web".to_owned(), process)].into(),
            environment: variables(&[("ADDRESS", "0.0.0.0:$PORT"), ("SORTIE_APP", "forged"), ("PORT", "1")]),
            ..Run::default()
        };
        run.config.insert("URL".into(), ConfigKey { secret: true, default: None });
        run.config.insert("LEVEL".into(), ConfigKey { secret: false, default: Some("info".into()) });
        assert!(matches!(expanded(&run, &variables(&[])), Err(RuntimeError::ConfigMissing { key }) if key == "URL"));

        let specs = expanded(&run, &variables(&[("URL", "a$PORT"), ("UNDECLARED", "x")])).unwrap();
        assert_eq!(specs.iter().map(|spec| spec.id.to_string()).collect::<Vec<_>>(), ["web-1", "web-2"]);
        assert_eq!(specs[1].argv, ["./web", "--port", "20002", "a$PORT"]);
        let seen = &specs[1].environment;
        let named = |name: &str| seen.get(name).map(String::as_str);
        assert_eq!(named("ADDRESS"), Some("0.0.0.0:20002"));
        assert_eq!((named("PORT"), named("SORTIE_APP"), named("LEVEL")), (Some("20002"), Some("web"), Some("info")));
        let allowed = [
            "ADDRESS",
            "HOME",
            "LANG",
            "LEVEL",
            "PATH",
            "PORT",
            "SORTIE_APP",
            "SORTIE_ARCH",
            "SORTIE_BUILD",
            "SORTIE_ENVIRONMENT",
            "SORTIE_OS",
            "SORTIE_TARGET",
            "TZ",
            "URL",
        ];
        assert!(seen.keys().all(|name| allowed.contains(&name.as_str())), "{:?}", seen.keys());

        run.config.insert("LD_PRELOAD".into(), ConfigKey { secret: false, default: None });
        let filled = expanded(&run, &variables(&[("URL", "u"), ("LD_PRELOAD", "/tmp/x.so")]));
        assert!(matches!(filled, Err(RuntimeError::ConfigNotAllowed { .. })));
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let process = Process {
            run: vec!["x".into()],
            copies: 1,
            port: None,
            health: None,
            stop_signal: StopSignal::Term,
            stop_seconds: 5,
            socket: None,
        };
        let environment = variables(&[("PASSWORD", "hunter2")]);
        let run = Run { processes: [("w".to_owned(), process)].into(), environment, ..Run::default() };
        assert!(!format!("{:?}", expanded(&run, &variables(&[])).unwrap()).contains("hunter2"));
    }
}
