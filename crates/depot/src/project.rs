//! `sortie.toml`: what people write beside their code, read into the run specification that becomes part of the build.
//!
//! Nothing is guessed and nothing is overlooked: an unknown field, a wrong type or a value that cannot be is refused
//! with its line and column, and with the field that was probably meant. [`guess`] writes a first such file.

mod checks;
mod fields;
pub mod guess;
pub mod package;
mod programs;
pub mod words;

pub use programs::missing_program;

use fields::{Field, Fields, Source, nearest};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};
use trust::{
    AppName,
    manifest::{
        ConfigKey, Entry, FORMAT, KernelFeature, Manifest, ManifestError, Needs, Process, Run, StopSignal, Switch,
        Traffic, Upstream, check_path, config_may_fill,
    },
};

/// The file's name.
pub const FILE_NAME: &str = "sortie.toml";
/// The longest such file, in bytes, that is read.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// How long a process may take to become healthy, in seconds, unless the file says otherwise.
pub const WITHIN_SECONDS: u32 = 30;
/// One good answer makes healthy, unless the file says otherwise: it is asked on every target in turn, so each further
/// answer would lengthen every deployment, and a program that answers once and then falls is caught while it soaks.
pub const CONSECUTIVE: u32 = 1;
/// How long a process may take to stop, in seconds, unless the file says otherwise.
pub const STOP_SECONDS: u32 = 10;
/// How long a copy that is out of service may finish its work, in seconds, unless the file says otherwise.
pub const DRAIN_SECONDS: u32 = 5;
/// The longest duration that makes sense for a process to start or stop: a day.
const MOST_SECONDS: u32 = 86_400;

/// What `sortie.toml` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The application.
    pub app: AppName,
    /// The folder or file, relative to `sortie.toml`, whose contents become the working folder; `.` is the folder
    /// that holds `sortie.toml`. Empty for a checkpoint.
    pub files: String,
    /// The paths of the repository that belong to the application; empty means all of it.
    pub paths: Vec<String>,
    /// The recipe: the command that builds it. Recorded with the push; Sortie never runs it by itself.
    pub build: Option<String>,
    /// Whether there is nothing to install: releasing it only marks a state of the code.
    pub checkpoint: bool,
    /// How it runs.
    pub run: Run,
    /// The versions of others that it lists, where it is a package; which builds they are is not known here.
    pub package: BTreeMap<AppName, package::Listed>,
}

impl Project {
    /// Whether it has no files: a checkpoint, or a package.
    pub fn has_no_files(&self) -> bool {
        self.checkpoint || !self.package.is_empty()
    }

    /// The manifest of a build of this project with these files.
    pub fn manifest(&self, entries: Vec<Entry>) -> Result<Manifest, ManifestError> {
        let manifest = Manifest { format: FORMAT, app: self.app.clone(), files: entries, run: self.run.clone() };
        manifest.validate()?;
        Ok(manifest)
    }
}

/// What is wrong with a `sortie.toml`, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct ProjectError {
    /// The file as it was named to [`parse`].
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong and what to write instead.
    pub message: String,
}

type Parsed<T> = Result<T, ProjectError>;

/// Reads the text of a `sortie.toml`; `file` is its name in complaints.
pub fn parse(text: &str, file: &str) -> Parsed<Project> {
    let source = Source { file, text };
    if text.len() > MAX_FILE_BYTES {
        return Err(source.error(&(0..0), format!("the file is longer than {MAX_FILE_BYTES} bytes")));
    }
    let document = toml::de::DeTable::parse(text)
        .map_err(|error| source.error(&error.span().unwrap_or(0..0), trust::complaint::in_words(error.message())))?;
    let mut top = Fields::new(source, document.get_ref(), "");
    let app = top.take("app");
    let files = top.take("files");
    let on = top.take("on");
    let data = top.take("data");
    let needs = top.take("needs");
    let user = top.take("user");
    let environment = top.take("environment");
    let build = top.take("build");
    let paths = top.take("paths");
    let checkpoint = top.take("checkpoint");
    let processes = top.take("process");
    let config = top.take("config");
    let verify = top.take("verify");
    let smoke = top.take("smoke");
    let migrate = top.take("migrate");
    let traffic = top.take("traffic");
    let package = top.take("package");
    top.end()?;

    let app = app.ok_or_else(|| source.error(&(0..0), "the field 'app' is missing; write app = \"name\""))?;
    let app_name = AppName::new(app.text()?).map_err(|error| app.error(error.to_string()))?;
    if let Some(package) = &package {
        let others =
            [&files, &on, &data, &needs, &user, &environment, &checkpoint, &processes, &config, &verify, &smoke];
        if let Some(other) = others.into_iter().chain([&migrate, &traffic]).flatten().next() {
            let why = "a package only lists versions of others, whose own builds say what runs; take away either it or";
            return Err(source.error(&other.key_span, format!("{why} {}", other.said())));
        }
        return Ok(Project {
            package: package::read(&app_name, package)?,
            files: String::new(),
            paths: paths.map_or(Ok(Vec::new()), |field| field.texts()?.iter().map(read_path).collect())?,
            build: build.map(|field| read_build(&field)).transpose()?,
            app: app_name,
            checkpoint: false,
            run: Run::default(),
        });
    }
    let checkpoint = checkpoint.map_or(Ok(false), |field| field.boolean())?;
    let mut run = Run::default();
    if let Some(field) = on {
        run.on = words::labels(field.text()?).map_err(|why| field.error(why))?;
    }
    run.needs = needs.map_or(Ok(Needs::default()), |field| read_needs(&field, &app_name))?;
    run.user = user.map(|field| read_user(&field)).transpose()?;
    run.environment = environment.map_or(Ok(BTreeMap::new()), |field| read_environment(&field))?;
    let rules = Rules { app: &app_name };
    for field in data.map_or(Ok(Vec::new()), |field| field.texts())? {
        run.data.push(read_data(&field, &run.data)?);
    }
    if let Some(field) = &processes {
        for process in field.table("process")?.take_all() {
            let read = read_process(&process)?;
            let alone = BTreeMap::from([(process.name.clone(), read)]);
            let partial = Run { processes: alone, environment: run.environment.clone(), ..Run::default() };
            rules.check(&partial).map_err(|why| source.error(&process.key_span, why))?;
            run.processes.extend(partial.processes);
        }
    }
    for field in config.map_or(Ok(Vec::new()), |field| Ok(field.table("config")?.take_all()))? {
        let key = read_config_key(&field)?;
        run.config.insert(field.name.clone(), key);
        let partial = Run { config: run.config.clone(), environment: run.environment.clone(), ..Run::default() };
        rules.check(&partial).map_err(|why| source.error(&field.key_span, why))?;
    }
    for field in verify.map_or(Ok(Vec::new()), |field| Ok(field.table("verify")?.take_all()))? {
        let verification = checks::read_verification(&field)?;
        run.verify.insert(field.name.clone(), verification.clone());
        rules.check(&run).map_err(|why| source.error(&field.key_span, why))?;
        checks::can_be_measured(&field, &verification, &run)?;
    }
    if let Some(field) = smoke {
        run.smoke = Some(checks::read_smoke(&field)?);
        rules.check(&run).map_err(|why| source.error(&field.key_span, why))?;
    }
    if let Some(field) = migrate {
        run.migrate = Some(checks::read_migrate(&field)?);
        rules.check(&run).map_err(|why| source.error(&field.key_span, why))?;
    }
    if let Some(field) = traffic {
        run.traffic = Some(read_traffic(&field)?);
        rules.check(&run).map_err(|why| source.error(&field.key_span, why))?;
    }
    // Everything that the manifest's own rules say of the parts together.
    rules.check(&run).map_err(|why| source.error(&(0..0), why))?;
    Ok(Project {
        files: read_files(files, checkpoint, &processes, source)?,
        paths: paths.map_or(Ok(Vec::new()), |field| field.texts()?.iter().map(read_path).collect())?,
        build: build.map(|field| read_build(&field)).transpose()?,
        app: app_name,
        checkpoint,
        run,
        package: BTreeMap::new(),
    })
}

/// The manifest's own rules, asked of a part at a time so that a complaint finds its line.
struct Rules<'a> {
    app: &'a AppName,
}

impl Rules<'_> {
    fn check(&self, run: &Run) -> Result<(), String> {
        let manifest = Manifest { format: FORMAT, app: self.app.clone(), files: Vec::new(), run: run.clone() };
        manifest.validate().map_err(|error| error.to_string())
    }
}

fn read_files(
    files: Option<Field<'_>>,
    checkpoint: bool,
    processes: &Option<Field<'_>>,
    source: Source<'_>,
) -> Parsed<String> {
    if checkpoint {
        let installs = files.as_ref().or(processes.as_ref());
        return match installs {
            Some(field) => Err(source.error(
                &field.key_span,
                format!("a checkpoint has nothing to install; take away either checkpoint or {}", field.said()),
            )),
            None => Ok(String::new()),
        };
    }
    let field = files.ok_or_else(|| {
        source.error(
            &(0..0),
            "the field 'files' is missing; write files = \"dist\", or files = \".\" for this very folder",
        )
    })?;
    read_path(&field)
}

/// A path relative to `sortie.toml`, tidied; `.` is the folder itself.
fn read_path(field: &Field<'_>) -> Parsed<String> {
    let text = field.text()?;
    let mut path = text.trim_end_matches('/');
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    if text.starts_with('/') || (path != "." && check_path(path).is_err()) {
        let said = field.said();
        return Err(field.error(format!("{said} must be a path inside this folder, such as \"dist\"; '{text}' is not")));
    }
    Ok(path.to_owned())
}

fn read_data(field: &Field<'_>, others: &[String]) -> Parsed<String> {
    let path = read_path(field)?;
    if path == "." {
        return Err(field.error("'data' must name folders inside the working folder, not the working folder itself"));
    }
    let overlaps = |other: &&String| trust::links::is_within(&path, other) || trust::links::is_within(other, &path);
    match others.iter().find(overlaps) {
        Some(other) => {
            Err(field.error(format!("'data' names '{path}' and '{other}', one inside the other or the same")))
        }
        None => Ok(path),
    }
}

fn read_build(field: &Field<'_>) -> Parsed<String> {
    let text = field.text()?.trim();
    if text.is_empty() || text.contains(char::is_control) {
        return Err(field.error("'build' must be one command, as \"cargo build --release\""));
    }
    Ok(text.to_owned())
}

fn read_user(field: &Field<'_>) -> Parsed<String> {
    let text = field.text()?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    if !begins || text.len() > 32 || !text.bytes().all(plain) {
        return Err(field.error("'user' must name a system user: lower-case letters, digits, - and _, at most 32"));
    }
    Ok(text.to_owned())
}

fn read_environment(field: &Field<'_>) -> Parsed<BTreeMap<String, String>> {
    let mut environment = BTreeMap::new();
    for variable in field.table("environment")?.take_all() {
        environment.insert(variable.name.clone(), variable.text()?.to_owned());
        let only = Run { environment: environment.clone(), ..Run::default() };
        let app = AppName::new("app").map_err(|error| variable.error(error.to_string()))?;
        Rules { app: &app }.check(&only).map_err(|why| variable.source.error(&variable.key_span, why))?;
    }
    Ok(environment)
}

fn read_needs(field: &Field<'_>, app: &AppName) -> Parsed<Needs> {
    let mut fields = field.table("needs")?;
    let (os, arch, memory, disk) = (fields.take("os"), fields.take("arch"), fields.take("memory"), fields.take("disk"));
    let (kernel, features) = (fields.take("kernel"), fields.take("kernel_features"));
    let (ports, services, programs) = (fields.take("ports"), fields.take("services"), fields.take("programs"));
    fields.end()?;
    let all = |field: Option<Field<'_>>| -> Parsed<BTreeSet<String>> {
        let texts = field.map_or(Ok(Vec::new()), |field| field.texts())?;
        texts.iter().map(|field| Ok(field.text()?.to_owned())).collect()
    };
    let word = |field: Field<'_>, known: &[&str]| -> Parsed<String> {
        let text = field.text()?;
        if known.contains(&text) {
            return Ok(text.to_owned());
        }
        let advice = match (text, nearest(text, known)) {
            ("amd64" | "x64", _) => "did you mean 'x86_64'?".to_owned(),
            ("arm64", _) => "did you mean 'aarch64'?".to_owned(),
            (_, Some(near)) => format!("did you mean '{near}'?"),
            (_, None) => format!("known: {}", known.join(", ")),
        };
        Err(field.error(format!("{} cannot be '{text}'; {advice}", field.said())))
    };
    let size = |field: Field<'_>| -> Parsed<u64> {
        words::size_bytes(field.text()?).map_err(|why| field.error(format!("{}: {why}", field.said())))
    };
    let needs = Needs {
        os: os.map(|field| word(field, &["linux", "macos", "freebsd", "windows"])).transpose()?,
        arch: arch
            .map(|field| word(field, &["x86_64", "aarch64", "arm", "riscv64", "x86", "powerpc64", "s390x"]))
            .transpose()?,
        memory_bytes: memory.map(size).transpose()?,
        disk_bytes: disk.map(size).transpose()?,
        kernel: kernel.map(|field| Ok(field.text()?.to_owned())).transpose()?,
        kernel_features: features.map_or(Ok(BTreeSet::new()), |field| read_features(&field))?,
        ports: ports
            .map_or(Ok(Vec::new()), |field| field.items("a list of ports, as [80, 443]"))?
            .iter()
            .map(|field| Ok(field.number(1, 65_535)? as u16))
            .collect::<Parsed<_>>()?,
        services: all(services)?,
        programs: all(programs)?,
    };
    let only = Run { needs: needs.clone(), ..Run::default() };
    Rules { app }.check(&only).map_err(|why| field.source.error(&field.key_span, why))?;
    Ok(needs)
}

fn read_features(field: &Field<'_>) -> Parsed<BTreeSet<KernelFeature>> {
    let words = KernelFeature::ALL.map(KernelFeature::word);
    let read = |field: &Field<'_>| {
        let text = field.text()?;
        KernelFeature::ALL.into_iter().find(|feature| feature.word() == text).ok_or_else(|| {
            let advice = match nearest(text, &words) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("known: {}", words.join(", ")),
            };
            field.error(format!("{} cannot be '{text}'; {advice}", field.said()))
        })
    };
    field.texts()?.iter().map(read).collect()
}

fn read_process(field: &Field<'_>) -> Parsed<Process> {
    let place = format!("process {}", field.name);
    let mut fields = field.table(&place)?;
    let (run, port, copies) = (fields.take("run"), fields.take("port"), fields.take("copies"));
    let (health, stop, stop_within) = (fields.take("health"), fields.take("stop"), fields.take("stop_within"));
    let socket = fields.take("socket");
    fields.end()?;
    let run = run.ok_or_else(|| {
        field.source.error(&field.key_span, format!("{place} has no 'run'; write run = \"./program --port $PORT\""))
    })?;
    Ok(Process {
        run: read_command(&run)?,
        copies: copies.map_or(Ok(1), |field| field.number(1, 64))?,
        port: port.map(|field| Ok(field.number(1, 65_535)? as u16)).transpose()?,
        health: health.map(|field| checks::read_health(&field, &place)).transpose()?,
        stop_signal: stop.map_or(Ok(StopSignal::default()), |field| read_signal(&field))?,
        stop_seconds: stop_within.map_or(Ok(STOP_SECONDS), |field| read_duration(&field))?,
        socket: socket.map_or(Ok(None), |field| read_socket(&field))?,
    })
}

/// `[traffic]`.
fn read_traffic(field: &Field<'_>) -> Parsed<Traffic> {
    let mut fields = field.table("traffic")?;
    let (upstream, drain) = (fields.take("upstream"), fields.take("drain"));
    let (back, wait, switch) = (fields.take("back"), fields.take("wait"), fields.take("switch"));
    fields.is_called("drain_seconds", "wait = \"5s\"")?;
    fields.end()?;
    let switched = |field: Field<'_>| match field.text()? {
        "one-by-one" => Ok(None),
        "blue-green" => Ok(Some(Switch::BlueGreen)),
        _ => Err(field.error(format!("{} must be \"one-by-one\" or \"blue-green\"", field.said()))),
    };
    let form = |field: Field<'_>| match field.text()? {
        "nginx" => Ok(Upstream::Nginx),
        "haproxy" => Ok(Upstream::Haproxy),
        _ => Err(field.error(format!(
            "{} must be \"nginx\" or \"haproxy\"; which file it goes into, the machine's owner says in agent.toml",
            field.said()
        ))),
    };
    Ok(Traffic {
        upstream: upstream.map(form).transpose()?,
        drain: drain.map(|field| read_command(&field)).transpose()?,
        back: back.map(|field| read_command(&field)).transpose()?,
        drain_seconds: wait.map_or(Ok(DRAIN_SECONDS), |field| read_duration(&field))?,
        switch: switch.map_or(Ok(None), switched)?,
    })
}

/// `true` is this machine alone; an address says otherwise.
fn read_socket(field: &Field<'_>) -> Parsed<Option<IpAddr>> {
    if field.value.as_bool().is_some() {
        return Ok(field.boolean()?.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
    let wrong = || field.error(format!("{} must be true, or an address such as \"0.0.0.0\"", field.said()));
    let text = field.value.as_str().ok_or_else(wrong)?;
    text.parse().map(Some).map_err(|_| wrong())
}

/// A command as one text, split as a shell would, or as a list, taken as it is.
fn read_command(field: &Field<'_>) -> Parsed<Vec<String>> {
    let words = match field.value {
        toml::de::DeValue::Array(_) => {
            field.texts()?.iter().map(|word| Ok(word.text()?.to_owned())).collect::<Parsed<Vec<_>>>()?
        }
        _ => words::split_command(field.text()?).map_err(|why| field.error(format!("{}: {why}", field.said())))?,
    };
    if words.first().is_none_or(String::is_empty) {
        return Err(field.error(format!("{} names no program", field.said())));
    }
    Ok(words)
}

fn read_duration(field: &Field<'_>) -> Parsed<u32> {
    let seconds =
        words::duration_seconds(field.text()?).map_err(|why| field.error(format!("{}: {why}", field.said())))?;
    if !(1..=MOST_SECONDS).contains(&seconds) {
        return Err(field.error(format!("{} must be from 1s to 1d", field.said())));
    }
    Ok(seconds)
}

fn read_signal(field: &Field<'_>) -> Parsed<StopSignal> {
    let text = field.text()?;
    match text.strip_prefix("SIG").unwrap_or(text) {
        "TERM" => Ok(StopSignal::Term),
        "INT" => Ok(StopSignal::Int),
        "QUIT" => Ok(StopSignal::Quit),
        "HUP" => Ok(StopSignal::Hup),
        _ => Err(field.error(format!("{} must be \"TERM\", \"INT\", \"QUIT\" or \"HUP\"", field.said()))),
    }
}

fn read_config_key(field: &Field<'_>) -> Parsed<ConfigKey> {
    if !config_may_fill(&field.name) {
        return Err(field.source.error(
            &field.key_span,
            format!("config may not set {}, which decides what code runs; set it under [environment]", field.name),
        ));
    }
    let toml::de::DeValue::Table(_) = field.value else {
        return match field.value.as_str() {
            Some("secret") => Ok(ConfigKey { secret: true, default: None }),
            Some("required") => Ok(ConfigKey { secret: false, default: None }),
            _ => Err(field.error(format!(
                "{} must be \"secret\", \"required\" or {{ default = \"…\" }}; values are set per environment by: sortie config set",
                field.said()
            ))),
        };
    };
    let mut fields = field.table(&format!("config {}", field.name))?;
    let (secret, default) = (fields.take("secret"), fields.take("default"));
    fields.end()?;
    let secret = secret.map_or(Ok(false), |field| field.boolean())?;
    let value = default.as_ref().map(|field| Ok(field.text()?.to_owned())).transpose()?;
    match default {
        Some(default) if secret => Err(default.error(
            "a secret has no default: it would stand in the build for everyone to read; set it per environment",
        )),
        _ => Ok(ConfigKey { secret, default: value }),
    }
}

#[cfg(test)]
#[path = "project/tests.rs"]
mod tests;
