//! What the machine's owner decides, and no build and no server: `agent.toml` in the agent's data folder.
//!
//! ```toml
//! [traffic]
//! reload = "systemctl reload nginx"              # run once the list of an application's copies has changed
//! [traffic.files]
//! web = "/etc/nginx/upstreams/web.conf"          # where the list of an application's copies is written
//! [bundles]
//! migrate = true                                 # whether this machine runs the migrations of what is carried here
//! ```

use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};
use trust::AppName;

/// The file's name in the data folder.
pub const FILE_NAME: &str = "agent.toml";

/// What the file says; nothing where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Local {
    /// How copies go out of service on this machine.
    pub traffic: LocalTraffic,
    /// What comes by bundles.
    pub bundles: LocalBundles,
}

/// What becomes of what is carried to a machine, where no server decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalBundles {
    /// Whether this is the machine of its site that runs migrations. A build with one is refused until that is said.
    pub migrate: Option<bool>,
}

/// How copies go out of service on a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalTraffic {
    /// What is run once a list has changed, as the agent's own user.
    pub reload: Option<String>,
    /// Where lists are written, by application; the others go into the data folder.
    pub files: BTreeMap<AppName, PathBuf>,
}

/// Why the file cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct LocalError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl Local {
    /// Reads the file of a data folder.
    pub fn read(data: &Path) -> Result<Self, LocalError> {
        let path = data.join(FILE_NAME);
        let wrong = |why: String| LocalError { path: path.clone(), why };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let local: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().into()))?;
        if let Some((app, file)) = local.traffic.files.iter().find(|(_, file)| !file.is_absolute()) {
            return Err(wrong(format!("traffic.files: '{}' of {app} must begin with /", file.display())));
        }
        local.traffic.reload_words().map_err(|why| wrong(format!("traffic.reload: {why}")))?;
        Ok(local)
    }
}

impl LocalTraffic {
    /// The program that is run once a list has changed, and its arguments.
    pub fn reload_words(&self) -> Result<Option<Vec<String>>, String> {
        let Some(line) = &self.reload else { return Ok(None) };
        let words = depot::project::words::split_command(line)?;
        if words.is_empty() { Err("it names no program".into()) } else { Ok(Some(words)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Local, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), text).unwrap();
        Local::read(folder.path()).map_err(|error| error.why)
    }

    #[test]
    fn the_owner_says_where_and_how_and_slips_are_told() {
        assert_eq!(Local::read(Path::new("/nonexistent")).unwrap(), Local::default());
        let local = read("[traffic]\nreload = \"nginx -s 'reload'\"\n[traffic.files]\nweb = \"/etc/x.conf\"").unwrap();
        assert_eq!(local.traffic.files[&AppName::new("web").unwrap()], Path::new("/etc/x.conf"));
        assert_eq!(local.traffic.reload_words().unwrap().unwrap(), ["nginx", "-s", "reload"]);
        for (text, expected) in [
            ("[trafic]", "unknown field"),
            ("[traffic.files]\nweb = \"x.conf\"", "must begin with /"),
            ("[traffic.files]\n\"We b\" = \"/x\"", "not a name"),
            ("[traffic]\nreload = \"a && b\"", "needs a shell"),
            ("[traffic]\nreload = \"\"", "names no program"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        }
    }
}
