//! The manifest: the closed list of everything a build is, and the whole specification of how it runs.
//!
//! A build's identity is the digest of its manifest's bytes (sorted JSON). The agent takes files, arguments,
//! users, ports, data folders and config keys from here and from nowhere else, so what runs is what was approved.

use crate::{
    digest::Digest,
    json::{self, JsonError},
    links::{LinkError, check_links, is_within},
    names::{AppName, printable},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

mod checks;
mod needs;
mod package;
mod traffic;

pub use checks::{
    Health, HealthCheck, HttpCheck, Inconclusive, Migrate, Prometheus, Smoke, Threshold, ThresholdError, Verification,
    WATCH_SECONDS,
};
pub use needs::{KernelFeature, Needs, kernel_is_at_least, kernel_numbers};
pub use package::{MAX_MEMBERS, MAX_PACKAGE_BYTES, Member, steps};
pub use traffic::{Switch, Traffic, Upstream};

/// The only manifest format there is so far.
pub const FORMAT: u32 = 1;
/// The longest manifest, in bytes, that is read: room for about 300,000 files.
pub const MAX_MANIFEST_BYTES: usize = 64 << 20;

/// Everything a build is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The application it is a build of.
    pub app: AppName,
    /// Files and links in ascending order of path; folders are implied.
    pub files: Vec<Entry>,
    /// How it runs.
    pub run: Run,
}

/// One file or link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "type", rename_all = "snake_case")]
pub enum Entry {
    /// A regular file.
    File {
        /// Relative path with `/` between its parts.
        path: String,
        /// Whether it may be executed (0755) or not (0644): the only modes there are.
        executable: bool,
        /// Length in bytes.
        size: u64,
        /// SHA-256 of its content.
        digest: Digest,
    },
    /// A symbolic link that stays inside the build.
    Link {
        /// Relative path with `/` between its parts.
        path: String,
        /// What the link says: a relative path that does not leave the build.
        target: String,
    },
}

impl Entry {
    /// The entry's path.
    pub fn path(&self) -> &str {
        match self {
            Entry::File { path, .. } | Entry::Link { path, .. } => path,
        }
    }
}

/// How a build is installed and run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The processes by name; none for a static site or a checkpoint.
    pub processes: BTreeMap<String, Process>,
    /// The labels a target must carry to get this application (`role=web`); empty means every target.
    pub on: BTreeMap<String, String>,
    /// The system user the processes run as; absent means the agent's own.
    pub user: Option<String>,
    /// Environment variables of every process, before config fills the keys declared in `config`.
    pub environment: BTreeMap<String, String>,
    /// Folders, relative to the working folder, that outlive releases.
    pub data: Vec<String>,
    /// The config keys that an environment may fill.
    pub config: BTreeMap<String, ConfigKey>,
    /// What the target must be and have.
    pub needs: Needs,
    /// What is asked once every copy is healthy, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub verify: BTreeMap<String, Verification>,
    /// What runs once after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoke: Option<Smoke>,
    /// What changes its data before any process changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate: Option<Migrate>,
    /// How its copies go out of service and come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// The versions of other applications that a package lists; none for any other build.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub package: BTreeMap<AppName, Member>,
}

/// One process of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The program and its arguments, never passed through a shell. `$NAME` and `${NAME}` are replaced by the
    /// process's own environment (`$PORT` included) when it starts.
    pub run: Vec<String>,
    /// How many copies run on each target.
    pub copies: u32,
    /// A port fixed by the author; absent, each copy that mentions `$PORT` gets a free one and keeps it.
    pub port: Option<u16>,
    /// How to tell that a copy is well; absent means: it stays alive for two seconds.
    pub health: Option<Health>,
    /// The signal that asks it to stop (`TERM` unless said otherwise).
    pub stop_signal: StopSignal,
    /// How long it may take to stop before it is killed.
    pub stop_seconds: u32,
    /// The address on which its target listens for it, on the copy's port: it gets the socket as sd_listen_fds(3) says,
    /// and an upgrade hands it on. Absent means that it listens by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<IpAddr>,
}

/// The signals by which a process may be asked to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// SIGTERM.
    #[default]
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT, by which nginx stops gracefully.
    Quit,
    /// SIGHUP.
    Hup,
}

/// One config key an environment may fill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigKey {
    /// Whether its value is a secret, encrypted to the targets and never shown.
    pub secret: bool,
    /// The value where the environment sets none; absent means the environment must set one.
    pub default: Option<String>,
}

/// Which driver installs a build. Derived, never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// Starts and keeps processes.
    Process,
    /// Only switches the files: the switch is the deployment.
    Files,
    /// Nothing to install: the release is a checkpoint.
    Checkpoint,
    /// Nothing of its own to install: it lists versions of others, which are deployed together.
    Package,
}

/// Why a manifest is not acceptable.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not strict JSON of the manifest's shape.
    #[error("the manifest cannot be read: {0}")]
    Unreadable(#[from] JsonError),
    /// Longer than [`MAX_MANIFEST_BYTES`].
    #[error("the manifest has {0} bytes, more than the {MAX_MANIFEST_BYTES} allowed")]
    TooLarge(usize),
    /// Longer than [`MAX_PACKAGE_BYTES`].
    #[error("the manifest of the package has {0} bytes, more than the {MAX_PACKAGE_BYTES} allowed")]
    TooLargePackage(usize),
    /// A format this program does not know.
    #[error("the manifest has format {0}; this program reads format {FORMAT}")]
    Format(u32),
    /// A path that is absolute, empty, too long, or has `.`, `..`, backslashes or control characters.
    #[error("'{0}' is not a path inside the build")]
    Path(String),
    /// Paths out of order, twice, or one inside a file.
    #[error("'{0}' is out of order, stands twice, or lies inside a file or link")]
    Order(String),
    /// A link that leaves the build, by itself or through others, or goes round in a circle.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A part of the run specification that cannot be.
    #[error("{0}")]
    Run(String),
}

/// Why parts do not make a build.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// There is none.
    #[error("it has no part")]
    None,
    /// They say differently what runs and how.
    #[error("{0} and {1} have different words in sortie.toml on what runs and how")]
    Run(String, String),
    /// They have different content under one path.
    #[error("{1} and {2} have different content at {0}: let each write into a folder of its own")]
    Path(String, String, String),
    /// One has a file or a link where the other has a folder.
    #[error("{1} has {0}, and {3} has a file or link at {2}: let each write into a folder of its own")]
    Inside(String, String, String, String),
    /// Together they are no build.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl Manifest {
    /// The manifest's bytes: what is digested, signed for, stored and sent.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        Ok(json::sorted(self)?)
    }

    /// Reads and validates a manifest's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge(bytes.len()));
        }
        let manifest: Manifest = json::from_strict(bytes)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// The manifest of what `parts` make together: all their files, run as all of them say. Fails where they are of different
    /// applications, would run differently, or have different content under one path.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = (&'a str, &'a Manifest)>) -> Result<Self, PartsError> {
        let mut parts = parts.into_iter();
        let (first, whole) = parts.next().ok_or(PartsError::None)?;
        let mut files: BTreeMap<&str, (&str, &Entry)> = BTreeMap::new();
        files.extend(whole.files.iter().map(|entry| (entry.path(), (first, entry))));
        for (name, part) in parts {
            if part.app != whole.app || part.run != whole.run {
                return Err(PartsError::Run(first.into(), name.into()));
            }
            for entry in &part.files {
                let (other, known) = files.entry(entry.path()).or_insert((name, entry));
                if *known != entry {
                    return Err(PartsError::Path(entry.path().into(), (*other).into(), name.into()));
                }
            }
        }
        for (path, (name, _)) in &files {
            let mut folders = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
            if let Some((folder, (other, _))) = folders.find_map(|folder| files.get_key_value(folder)) {
                let [path, name, folder, other] = [path, name, folder, other].map(|text| text.to_string());
                return Err(PartsError::Inside(path, name, folder, other));
            }
        }
        let files = files.into_values().map(|(_, entry)| entry.clone()).collect();
        let whole = Self { files, ..whole.clone() };
        whole.validate()?;
        Ok(whole)
    }

    /// Which driver installs it.
    pub fn driver(&self) -> Driver {
        match (self.run.processes.is_empty(), self.files.is_empty()) {
            _ if !self.run.package.is_empty() => Driver::Package,
            (false, _) => Driver::Process,
            (true, false) => Driver::Files,
            (true, true) => Driver::Checkpoint,
        }
    }

    /// The objects that its files are in the depot, with their lengths in bytes, in the order of the files: one stands as
    /// often as there are files of its content.
    pub fn objects(&self) -> impl Iterator<Item = (Digest, u64)> + '_ {
        self.files.iter().filter_map(|entry| match entry {
            Entry::File { digest, size, .. } => Some((*digest, *size)),
            Entry::Link { .. } => None,
        })
    }

    /// The sum of all files' lengths in bytes.
    pub fn total_size_bytes(&self) -> u64 {
        self.objects().map(|(_, size)| size).fold(0, u64::saturating_add)
    }

    /// Checks every rule that the types do not carry.
    pub fn validate(&self) -> Result<(), ManifestError> {
        if self.format != FORMAT {
            return Err(ManifestError::Format(self.format));
        }
        self.validate_files()?;
        if !self.run.package.is_empty() && !self.files.is_empty() {
            return Err(ManifestError::Run("a package has no files: it only lists versions of others".into()));
        }
        self.run.validate_package(&self.app)?;
        self.run.validate()
    }

    fn validate_files(&self) -> Result<(), ManifestError> {
        let mut previous: Option<&str> = None;
        let mut leaves = std::collections::BTreeSet::new();
        for entry in &self.files {
            let path = entry.path();
            check_path(path)?;
            if previous.is_some_and(|p| p >= path) {
                return Err(ManifestError::Order(printable(path)));
            }
            previous = Some(path);
            leaves.insert(path);
        }
        check_links(&self.files, &self.run.data)?;
        for path in &leaves {
            let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
            if parents.into_iter().any(|parent| leaves.contains(parent)) {
                return Err(ManifestError::Order(printable(path)));
            }
        }
        let in_data = |path: &str| self.run.data.iter().any(|data| is_within(path, data) || is_within(data, path));
        match leaves.iter().find(|path| in_data(path)) {
            Some(path) => Err(ManifestError::Run(format!(
                "'{}' lies in a data folder: data outlives releases and cannot come from a build",
                printable(path)
            ))),
            None => Ok(()),
        }
    }
}

impl Run {
    /// The names under which something of it may write a log: processes, tasks and verifications.
    pub fn writers(&self) -> impl Iterator<Item = &str> {
        let smoke = self.smoke.as_ref().map(|_| "smoke");
        let migrate = self.migrate.as_ref().map(|_| "migrate");
        let named = self.processes.keys().chain(self.verify.keys()).map(String::as_str);
        named.chain(migrate).chain(smoke)
    }

    fn validate(&self) -> Result<(), ManifestError> {
        let wrong = |text: String| Err(ManifestError::Run(text));
        for (name, process) in &self.processes {
            if crate::names::AppName::new(name).is_err() {
                return wrong(format!(
                    "'{}' cannot name a process: use lower-case letters, digits and hyphens",
                    printable(name)
                ));
            }
            if process.run.first().is_none_or(String::is_empty) {
                return wrong(format!("process {name} has nothing to run"));
            }
            if !(1..=64).contains(&process.copies) {
                return wrong(format!("process {name} asks for {} copies; 1 to 64 are possible", process.copies));
            }
            if process.port.is_some() && process.copies > 1 {
                return wrong(format!("process {name} fixes its port, so it can have one copy only"));
            }
        }
        self.validate_checks()?;
        self.validate_traffic()?;
        self.validate_needs()?;
        for data in &self.data {
            check_path(data)?;
        }
        for name in self.environment.keys().chain(self.config.keys()) {
            check_variable(name)?;
        }
        match self.environment.keys().find(|name| self.config.contains_key(*name)) {
            Some(name) => wrong(format!("{name} stands both in environment and in config")),
            None => Ok(()),
        }
    }
}

impl Process {
    /// Whether a copy needs a port: one is fixed or listened on for it, or `$PORT` is mentioned in its arguments or
    /// environment.
    pub fn wants_port(&self, environment: &BTreeMap<String, String>) -> bool {
        let mentions = |text: &String| text.contains("$PORT") || text.contains("${PORT}");
        self.port.is_some()
            || self.socket.is_some()
            || self.run.iter().any(mentions)
            || environment.values().any(mentions)
    }
}

/// Variables that decide what code a process loads: a build may set them, config may not. The list holds those of the
/// loader, the shells and the common language runtimes; what an application itself takes for a path to code is its own.
fn is_loader_variable(name: &str) -> bool {
    const EXACT: &[&str] = &[
        "BASHOPTS",
        "BASH_ENV",
        "BUNDLE_GEMFILE",
        "CDPATH",
        "CLASSPATH",
        "COMSPEC",
        "DOTNET_STARTUP_HOOKS",
        "EDITOR",
        "ENV",
        "ERL_FLAGS",
        "ERL_LIBS",
        "GEM_HOME",
        "GEM_PATH",
        "GLIBC_TUNABLES",
        "HOME",
        "IFS",
        "JULIA_LOAD_PATH",
        "LOCPATH",
        "LUA_CPATH",
        "LUA_INIT",
        "LUA_PATH",
        "NODE_PATH",
        "PAGER",
        "PATH",
        "PHPRC",
        "PHP_INI_SCAN_DIR",
        "PORT",
        "PROMPT_COMMAND",
        "PS4",
        "RUBYLIB",
        "RUBYOPT",
        "R_LIBS",
        "R_PROFILE",
        "SHELL",
        "SHELLOPTS",
        "SSH_ASKPASS",
        "VISUAL",
    ];
    const PREFIXES: &[&str] =
        &["COR_", "CORECLR_", "DYLD_", "GCONV_", "GIT_", "LD_", "OPENSSL_", "PERL5", "PYTHON", "SORTIE_"];
    EXACT.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name.ends_with("_OPTIONS")
        || name.ends_with("_OPTS")
}

/// Checks the name of an environment variable that a build declares.
fn check_variable(name: &str) -> Result<(), ManifestError> {
    let plain = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if !plain || name.is_empty() || name.len() > 128 || name.as_bytes()[0].is_ascii_digit() {
        return Err(ManifestError::Run(format!(
            "'{}' cannot name a variable: use upper-case letters, digits and _",
            printable(name)
        )));
    }
    Ok(())
}

/// Whether config may fill a key of this name: loader variables may not be filled, whatever a manifest declares.
pub fn config_may_fill(name: &str) -> bool {
    !is_loader_variable(name)
}

/// Checks that `path` is relative, plain and inside the build.
pub fn check_path(path: &str) -> Result<(), ManifestError> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 255;
    let bad_character = |c: char| c.is_control() || c == '\\';
    if path.len() > 4096 || path.contains(bad_character) || !path.split('/').all(plain) {
        return Err(ManifestError::Path(printable(&path.chars().take(200).collect::<String>())));
    }
    Ok(())
}

/// Checks that a link at `path` saying `target` stays inside the build.
pub fn check_link(path: &str, target: &str) -> Result<(), ManifestError> {
    let refused = || ManifestError::Link(LinkError::Out(printable(path)));
    if target.is_empty()
        || target.starts_with('/')
        || target.len() > 4096
        || target.contains(|c: char| c.is_control() || c == '\\')
    {
        return Err(refused());
    }
    let mut depth = path.matches('/').count() as i64;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return Err(refused());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Entry {
        Entry::File { path: path.into(), executable: false, size: 1, digest: Digest::of(b"x") }
    }

    fn manifest(files: Vec<Entry>) -> Manifest {
        Manifest { format: FORMAT, app: AppName::new("web").unwrap(), files, run: Run::default() }
    }

    #[test]
    fn bytes_round_trip_and_name_the_build() {
        let one = manifest(vec![file("a"), file("b/c")]);
        let bytes = one.to_bytes().unwrap();
        assert_eq!(Manifest::from_bytes(&bytes).unwrap(), one);
    }

    #[test]
    fn hostile_paths_are_refused() {
        for bad in ["../x", "/etc/passwd", "a//b", "a/./b", "", "a\\b", "a\nb", "a/.."] {
            assert!(manifest(vec![file(bad)]).validate().is_err(), "{bad:?} was taken");
        }
        assert!(manifest(vec![file("b"), file("a")]).validate().is_err());
        assert!(manifest(vec![file("a"), file("a/b")]).validate().is_err());
        let link = |target: &str| manifest(vec![Entry::Link { path: "a/l".into(), target: target.into() }]).validate();
        assert!(link("../b").is_ok() && link("b/../../c").is_ok());
        assert!(link("../../b").is_err() && link("/etc/passwd").is_err() && link("x/../../../x/y").is_err());
    }

    #[test]
    fn loader_variables_cannot_be_filled_by_config() {
        for name in ["PATH", "LD_PRELOAD", "NODE_OPTIONS", "JAVA_TOOL_OPTIONS", "SORTIE_KEY"] {
            assert!(!config_may_fill(name), "{name} may be filled");
        }
        assert!(config_may_fill("DATABASE_URL"));
    }
}
