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

use crate::needs::{PATH, finds_program};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};
use trust::{AppName, names::printable};

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
        let local: Self = toml::from_str(&text).map_err(|error| wrong(trust::complaint::located(&text, &error)))?;
        if let Some((app, file)) = local.traffic.files.iter().find(|(_, file)| !file.is_absolute()) {
            return Err(wrong(format!("traffic.files: '{}' of {app} must begin with /", file.display())));
        }
        local.traffic.reload_words().map_err(|why| wrong(format!("traffic.reload: {why}")))?;
        Ok(local)
    }

    /// Why the list of an application's copies cannot be written and read as the file of a data folder says; nothing where it
    /// can. It is the machine that is at fault then, and no build.
    pub fn cannot_list(data: &Path, app: &AppName) -> Option<LocalError> {
        let local = match Self::read(data) {
            Ok(local) => local,
            Err(error) => return Some(error),
        };
        let list = local.traffic.files.get(app).and_then(|file| local.traffic.cannot_write(app, file));
        let all: Vec<String> = list.into_iter().chain(local.traffic.cannot_reload()).collect();
        (!all.is_empty()).then(|| LocalError { path: data.join(FILE_NAME), why: all.join("; ") })
    }

    /// Everything in the file of a data folder that cannot be followed on this machine as it is now.
    pub fn mistakes(data: &Path) -> Vec<LocalError> {
        let local = match Self::read(data) {
            Ok(local) => local,
            Err(error) => return vec![error],
        };
        let lists = local.traffic.files.iter().filter_map(|(app, file)| local.traffic.cannot_write(app, file));
        let all = lists.chain(local.traffic.cannot_reload());
        all.map(|why| LocalError { path: data.join(FILE_NAME), why }).collect()
    }
}

impl LocalTraffic {
    /// The program that is run once a list has changed, and its arguments.
    pub fn reload_words(&self) -> Result<Option<Vec<String>>, String> {
        let Some(line) = &self.reload else { return Ok(None) };
        let words = depot::project::words::split_command(line)?;
        if words.is_empty() { Err("it names no program".into()) } else { Ok(Some(words)) }
    }

    /// Why a list cannot be written at this place, by a file beside it that takes its name.
    fn cannot_write(&self, app: &AppName, file: &Path) -> Option<String> {
        let folder = file.parent().unwrap_or(Path::new("/"));
        let why = if file.is_dir() {
            format!("{} is a folder: name a file in it", shown(file))
        } else if !folder.exists() {
            format!("the folder {} is not there: make it, or name a file elsewhere", shown(folder))
        } else if !folder.is_dir() {
            format!("{} is no folder: name a file elsewhere", shown(folder))
        } else if let Err(error) = accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
            let then = "let the agent's user write there, or name a file elsewhere";
            format!("no file can be written in {} ({}): {then}", shown(folder), io::Error::from(error))
        } else {
            return None;
        };
        Some(format!("traffic.files: {app}: {why}"))
    }

    /// Why what has the lists read cannot be run.
    fn cannot_reload(&self) -> Option<String> {
        let words = self.reload_words().ok()??;
        let program = words.first()?;
        // It runs in the root folder, from where a path leads that does not begin there.
        let place =
            if program.contains('/') { format!("/{}", program.trim_start_matches('/')) } else { program.clone() };
        // The agent runs it itself, by the rights that it has in effect.
        if finds_program(&place, PATH, |file| accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS).is_ok()) {
            return None;
        }
        let program = printable(program);
        Some(format!("traffic.reload: {program} is no program that can be run here: install it, or write another"))
    }
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

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
            ("[traffic.files]\nweb = \"/x\"\nweb = \"/y\"", "line 3, column 1: this stands in the file already"),
            ("[traffic]\nreload = 3", "line 2, column 10: invalid type: integer `3`, expected a string"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(expected) && !why.contains('\n'), "{text}: {why}");
        }
    }

    #[test]
    fn r9_what_this_machine_cannot_follow_is_said_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        let app = AppName::new("web").unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let cannot = |text: &str| {
            fs::write(folder.path().join(FILE_NAME), text).unwrap();
            let found = Local::cannot_list(folder.path(), &app).map(|error| error.why);
            let all: Vec<String> = Local::mistakes(folder.path()).into_iter().map(|error| error.why).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), all.iter().take(1).collect::<Vec<_>>(), "{text}");
            found.unwrap_or_default()
        };
        let list = |file: &str| format!("[traffic.files]\nweb = '{place}{file}'\n");
        assert_eq!(cannot(&list("/web.conf")), "");
        assert_eq!(
            cannot(&list("/nodir/web.conf")),
            format!("traffic.files: web: the folder {place}/nodir is not there: make it, or name a file elsewhere")
        );
        assert_eq!(cannot(&list("")), format!("traffic.files: web: {place} is a folder: name a file in it"));
        assert!(cannot(&list("/file/web.conf")).contains("/file is no folder: name a file elsewhere"));
        assert_eq!(cannot("[traffic]\nreload = 'sh -c true'"), "");
        assert_eq!(
            cannot("[traffic]\nreload = '/nonexistent/reload now'"),
            "traffic.reload: /nonexistent/reload is no program that can be run here: install it, or write another"
        );
        assert!(cannot("[traffic]\nreload = 'nobody-has-this'").contains("nobody-has-this is no program"));
        // Whatever another application's list lacks keeps nobody else from being deployed.
        fs::write(folder.path().join(FILE_NAME), "[traffic.files]\nother = '/nonexistent/other.conf'").unwrap();
        assert!(Local::cannot_list(folder.path(), &app).is_none() && Local::mistakes(folder.path()).len() == 1);
    }

    #[test]
    fn a_folder_that_the_agent_may_not_write_into_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
        let list = folder.path().join("web.conf");
        let asked = move || {
            // Root may write anywhere; this thread alone is somebody else from here on.
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            LocalTraffic::default().cannot_write(&AppName::new("web").unwrap(), &list)
        };
        let why = std::thread::spawn(asked).join().unwrap().unwrap();
        let then = "(Permission denied (os error 13)): let the agent's user write there, or name a file elsewhere";
        assert!(why.contains("no file can be written in /") && why.ends_with(then), "{why}");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }
}
