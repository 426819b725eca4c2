//! Where everything of an application lies on a target, and the switch of `current`.
//!
//! ```text
//! <root>/ports.json
//! <root>/apps/<app>/releases/<hex>/      one folder a build, beside each other
//!                   current -> releases/<hex>
//!                   data/<name>/         outlives releases; linked into each
//!                   logs/<process>-<copy>.log, .1 … .4
//!                   run/<process>-<copy>.spec.json, .state.json, .lock, .sock
//!                   run/tasks/           the same of what runs once
//!                   traffic/upstream.conf, copies.json
//! ```

use super::{
    RuntimeError,
    account::Account,
    disk::{beside, failed, make_folder, or_absent, sync_folder},
};
use rustix::fs::{AtFlags, CWD, Gid, Uid};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use trust::{AppName, Digest, manifest::Run};

/// How the name of a release begins that is being removed.
const DISCARDED: &str = ".discarded-";

/// The folders of a target's applications under one root.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout under `root`, which is made absolute so that no later change of folder moves it.
    pub fn new(root: &Path) -> io::Result<Self> {
        Ok(Self { root: std::path::absolute(root)? })
    }

    /// The folder everything lies under.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Everything of one application.
    pub fn app(&self, app: &AppName) -> PathBuf {
        self.root.join("apps").join(app.as_str())
    }

    /// The files of one build: where its processes work.
    pub fn release(&self, app: &AppName, build: &Digest) -> PathBuf {
        self.app(app).join("releases").join(build.hex())
    }

    /// The link to the active release.
    pub fn current_link(&self, app: &AppName) -> PathBuf {
        self.app(app).join("current")
    }

    /// The data folder for what a build calls `path`. The names are flattened, so that each lies directly in a folder
    /// that no process of an application may write to and therefore cannot be swapped for a link.
    pub fn data(&self, app: &AppName, path: &str) -> PathBuf {
        self.app(app).join("data").join(data_name(path))
    }

    /// The logs of an application's processes.
    pub fn logs(&self, app: &AppName) -> PathBuf {
        self.app(app).join("logs")
    }

    /// Where keepers have their specifications, states, locks and sockets.
    pub fn run(&self, app: &AppName) -> PathBuf {
        self.app(app).join("run")
    }

    /// The same for what runs once.
    pub fn tasks(&self, app: &AppName) -> PathBuf {
        self.run(app).join("tasks")
    }

    /// The list of an application's copies that serve.
    pub fn traffic(&self, app: &AppName) -> PathBuf {
        self.app(app).join("traffic")
    }

    /// The file that remembers every copy's port.
    pub fn ports(&self) -> PathBuf {
        self.root.join("ports.json")
    }

    /// Every application that has a folder here, in order of name.
    pub fn apps(&self) -> Result<Vec<AppName>, RuntimeError> {
        let named = names_in(&self.root.join("apps"))?.into_iter().filter_map(|name| AppName::new(&name).ok());
        let mut apps: Vec<_> = named.collect();
        apps.sort();
        Ok(apps)
    }

    /// The build that `current` points to, if any.
    pub fn current(&self, app: &AppName) -> Result<Option<Digest>, RuntimeError> {
        let link = self.current_link(app);
        match fs::read_link(&link) {
            Ok(target) => Ok(target.file_name().and_then(|name| Digest::from_hex(name.to_str()?).ok())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &link)(error)),
        }
    }

    /// Makes the application's folders, and links the data folders of `run` into the release of `build`, whose files
    /// are already there. Repeating it changes nothing.
    pub fn prepare(&self, app: &AppName, build: &Digest, run: &Run) -> Result<(), RuntimeError> {
        self.check_staged(app, build)?;
        let account = run.user.as_deref().map(Account::find).transpose()?;
        let folder = self.app(app);
        make_folder(&folder, 0o755)?;
        make_folder(&folder.join("releases"), 0o755)?;
        make_folder(&self.logs(app), 0o750)?;
        make_folder(&self.run(app), 0o700)?;
        if !run.data.is_empty() {
            make_folder(&folder.join("data"), 0o755)?;
        }
        for path in &run.data {
            let data = self.data(app, path);
            if !data.is_dir() {
                make_folder(&data, 0o750)?;
            }
            if let Some(account) = &account {
                give_to(&data, account)?;
            }
            // What lies within another data folder is reached through that one's link and belongs to the application.
            let within = |outer: &String| path.strip_prefix(outer.as_str()).is_some_and(|rest| rest.starts_with('/'));
            if !run.data.iter().any(within) {
                link_data(&self.release(app, build), path)?;
            }
        }
        sync_folder(&folder)
    }

    /// Points `current` to the release of `build` in one step: whoever looks sees the old release or the new one.
    /// Repeating it changes nothing.
    pub fn switch(&self, app: &AppName, build: &Digest) -> Result<(), RuntimeError> {
        self.check_staged(app, build)?;
        if self.current(app)? != Some(*build) {
            replace_link(&self.current_link(app), &Path::new("releases").join(build.hex()))?;
        }
        sync_folder(&self.app(app))
    }

    fn check_staged(&self, app: &AppName, build: &Digest) -> Result<(), RuntimeError> {
        if self.release(app, build).is_dir() {
            return Ok(());
        }
        Err(RuntimeError::NoRelease { app: app.clone(), build: *build })
    }

    /// The builds whose files are here, in order of digest.
    pub fn releases(&self, app: &AppName) -> Result<Vec<Digest>, RuntimeError> {
        let folder = self.app(app).join("releases");
        let named = names_in(&folder)?.into_iter().filter_map(|name| Digest::from_hex(&name).ok());
        let mut builds: Vec<_> = named.collect();
        builds.sort();
        Ok(builds)
    }

    /// Removes every release but those in `keep` and the active one. Each is renamed away before it is removed, so that
    /// none is ever found half removed under its name.
    pub fn discard_releases(&self, app: &AppName, keep: &[Digest]) -> Result<(), RuntimeError> {
        let folder = self.app(app).join("releases");
        let current = self.current(app)?;
        for build in self.releases(app)?.iter().filter(|build| !keep.contains(build) && current != Some(**build)) {
            let release = self.release(app, build);
            let away = folder.join(format!("{DISCARDED}{}", build.hex()));
            fs::rename(&release, &away).map_err(failed("discard", &release))?;
        }
        for name in names_in(&folder)?.iter().filter(|name| name.starts_with(DISCARDED)) {
            let away = folder.join(name);
            or_absent(fs::remove_dir_all(&away)).map_err(failed("remove", &away))?;
        }
        if folder.is_dir() { sync_folder(&folder) } else { Ok(()) }
    }

    /// Removes `current` alone, for an application that is deactivated but whose releases stay.
    pub fn unlink_current(&self, app: &AppName) -> Result<(), RuntimeError> {
        let link = self.current_link(app);
        or_absent(fs::remove_file(&link)).map_err(failed("remove", &link))?;
        if self.app(app).is_dir() { sync_folder(&self.app(app)) } else { Ok(()) }
    }

    /// Removes the files of the application; its data only if `keep_data` is false. Its processes must have stopped.
    pub(super) fn erase(&self, app: &AppName, keep_data: bool) -> Result<(), RuntimeError> {
        let folder = self.app(app);
        if !folder.is_dir() {
            return Ok(());
        }
        self.unlink_current(app)?;
        let data: &[&str] = if keep_data { &[] } else { &["data"] };
        for part in ["releases", "logs", "run", "traffic"].iter().chain(data) {
            let part = folder.join(part);
            or_absent(fs::remove_dir_all(&part)).map_err(failed("remove", &part))?;
        }
        let data_stays = keep_data && folder.join("data").is_dir();
        if data_stays {
            return sync_folder(&folder);
        }
        or_absent(fs::remove_dir_all(&folder)).map_err(failed("remove", &folder))?;
        sync_folder(&self.root.join("apps"))
    }
}

/// The names in a folder that are text; none if there is no such folder.
fn names_in(folder: &Path) -> Result<Vec<String>, RuntimeError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", folder)(error)),
    };
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

/// One name for a path of several parts; different paths never share one.
fn data_name(path: &str) -> String {
    path.replace('%', "%25").replace('/', "%2F")
}

fn give_to(folder: &Path, account: &Account) -> Result<(), RuntimeError> {
    let now = fs::symlink_metadata(folder).map_err(failed("read", folder))?;
    if !now.is_dir() {
        return Err(RuntimeError::InTheWay { path: folder.to_owned() });
    }
    if (now.uid(), now.gid()) == (account.uid, account.gid) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    rustix::fs::chownat(CWD, folder, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| failed("change the owner of", folder)(error.into()))
}

fn link_data(release: &Path, path: &str) -> Result<(), RuntimeError> {
    let link = release.join(path);
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent).map_err(failed("create", parent))?;
    }
    let up = "../".repeat(2 + path.matches('/').count());
    let target = PathBuf::from(format!("{up}data/{}", data_name(path)));
    match fs::symlink_metadata(&link) {
        Ok(found) if found.is_symlink() && fs::read_link(&link).is_ok_and(|says| says == target) => Ok(()),
        Ok(found) if found.is_symlink() => replace_link(&link, &target),
        Ok(_) => Err(RuntimeError::InTheWay { path: link }),
        Err(_) => replace_link(&link, &target),
    }
}

/// Makes or replaces a symbolic link in one step.
fn replace_link(link: &Path, target: &Path) -> Result<(), RuntimeError> {
    let new = beside(link);
    or_absent(fs::remove_file(&new)).map_err(failed("remove", &new))?;
    std::os::unix::fs::symlink(target, &new).map_err(failed("create", &new))?;
    fs::rename(&new, link).map_err(failed("switch", link))?;
    link.parent().map_or(Ok(()), sync_folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> AppName {
        AppName::new("web").unwrap()
    }

    #[test]
    fn a_switch_is_one_step_and_can_be_repeated() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path()).unwrap();
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        assert!(matches!(layout.switch(&app(), &one), Err(RuntimeError::NoRelease { .. })));
        for build in [one, two] {
            fs::create_dir_all(layout.release(&app(), &build)).unwrap();
            fs::write(layout.release(&app(), &build).join("file"), build.hex()).unwrap();
        }
        layout.switch(&app(), &one).unwrap();
        // A link half made by a killed agent must not stop the next switch.
        std::os::unix::fs::symlink("nowhere", layout.app(&app()).join("current.new")).unwrap();
        let reader = {
            let file = layout.current_link(&app()).join("file");
            std::thread::spawn(move || (0..2000).all(|_| fs::read_to_string(&file).is_ok_and(|text| text.len() == 64)))
        };
        for build in [two, one].iter().cycle().take(100) {
            layout.switch(&app(), build).unwrap();
            layout.switch(&app(), build).unwrap();
            assert_eq!(layout.current(&app()).unwrap(), Some(*build));
        }
        assert!(reader.join().unwrap(), "a reader saw a moment without a release");
    }

    #[test]
    fn old_releases_are_discarded_but_never_the_active_one() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path()).unwrap();
        let builds = [b"1", b"2", b"3"].map(|bytes| Digest::of(bytes));
        layout.discard_releases(&app(), &[]).unwrap();
        for build in &builds {
            fs::create_dir_all(layout.release(&app(), build)).unwrap();
        }
        let half_removed = layout.app(&app()).join("releases/.discarded-left-by-a-killed-agent");
        fs::create_dir(&half_removed).unwrap();
        layout.switch(&app(), &builds[0]).unwrap();
        layout.discard_releases(&app(), &builds[1..2]).unwrap();
        let mut kept = builds[..2].to_vec();
        kept.sort();
        assert_eq!(layout.releases(&app()).unwrap(), kept);
        assert!(!half_removed.exists());
        assert_eq!(layout.apps().unwrap(), [app()]);
        assert!(matches!(layout.prepare(&app(), &builds[2], &Run::default()), Err(RuntimeError::NoRelease { .. })));
    }

    #[test]
    fn data_folders_outlive_releases() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path()).unwrap();
        let run = Run { data: vec!["up".into(), "var/db".into(), "up/inner".into()], ..Run::default() };
        for build in [Digest::of(b"1"), Digest::of(b"2")] {
            fs::create_dir_all(layout.release(&app(), &build)).unwrap();
            layout.prepare(&app(), &build, &run).unwrap();
            layout.prepare(&app(), &build, &run).unwrap();
        }
        fs::write(layout.release(&app(), &Digest::of(b"1")).join("var/db/rows"), "kept").unwrap();
        let seen = fs::read_to_string(layout.release(&app(), &Digest::of(b"2")).join("var/db/rows")).unwrap();
        assert_eq!(seen, "kept");
        layout.erase(&app(), true).unwrap();
        assert_eq!(fs::read_to_string(layout.data(&app(), "var/db").join("rows")).unwrap(), "kept");
        layout.erase(&app(), false).unwrap();
        assert!(!layout.app(&app()).exists());
        layout.erase(&app(), false).unwrap();
    }
}
