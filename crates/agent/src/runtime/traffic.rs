//! Taking copies out of service before they stop, and putting them back once they are healthy: by a list of those that
//! serve, which nginx or HAProxy reads, and by programs of the build's own.

use super::{
    Running, Runtime, RuntimeError, ServiceSpec,
    ask::Asked,
    control::Kept,
    disk::{failed, make_folder, replace_durably},
    said::{Said, listen},
};
use crate::{local::Local, needs::PATH};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::PoisonError,
    time::{Duration, Instant},
};
use trust::{
    AppName,
    manifest::{Traffic, Upstream},
};

/// How long a program that takes a copy out of service or puts it back may take, and the owner's reload.
const PROGRAM: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// How long lies between two reloads at least.
const RELOADS_APART: Duration = Duration::from_secs(1);

/// What is listed of an application's copies, by their names.
type Listed = BTreeMap<String, Entry>;

/// One copy in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    process: String,
    form: Upstream,
    port: u16,
    serves: bool,
}

/// What becomes of a copy that cannot be taken out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It goes on: nothing is stopped under those whom it serves.
    MustSucceed,
    /// It is stopped all the same: going back and stopping are not kept from happening.
    IsTried,
}

impl Runtime {
    /// Takes copies out of service and waits as long as their builds say. Answers with why they could not be taken out, where
    /// they are stopped all the same.
    pub(super) fn leave(
        &self,
        app: &AppName,
        copies: &[Kept],
        leaving: Leaving,
    ) -> Result<Option<String>, RuntimeError> {
        let routed: Vec<(&Kept, &Traffic, u16)> =
            copies.iter().filter_map(|kept| Some((kept, kept.spec.traffic.as_ref()?, kept.spec.port?))).collect();
        if routed.is_empty() {
            return Ok(None);
        }
        let mut listed = self.listed(app)?;
        for (kept, _, _) in &routed {
            // A copy beside the one that serves may have its name; the port is what tells them apart.
            if let Some(entry) = listed.get_mut(&kept.spec.id.to_string())
                && Some(entry.port) == kept.spec.port
            {
                entry.serves = false;
            }
        }
        let lists = routed.iter().any(|(_, traffic, _)| traffic.upstream.is_some());
        let mut left = if lists { self.list(app, &listed) } else { self.keep_listed(app, &listed) };
        for (kept, traffic, _) in &routed {
            if let Some(drain) = &traffic.drain {
                left = left.and(self.run_beside(&kept.spec, &kept.files.spec, drain, "drain"));
            }
        }
        let unleft = match left {
            Err(error) if leaving == Leaving::MustSucceed => return Err(error),
            Err(error) => {
                tracing::warn!(%app, %error, "a copy is stopped though it may still be asked");
                Some(format!("stopped though it may still have been asked: {error}"))
            }
            Ok(()) => None,
        };
        let longest = routed.iter().map(|(_, traffic, _)| traffic.drain_seconds).max().unwrap_or(0);
        std::thread::sleep(Duration::from_secs(longest.into()));
        Ok(unleft)
    }

    /// Runs the programs that take copies out of service which no list has any more, and answers with how long these may
    /// finish, in seconds. Others serve by now: what fails here keeps nothing from ending.
    pub(super) fn drain_all(&self, app: &AppName, copies: &[Kept]) -> u32 {
        for kept in copies {
            if let Some(drain) = kept.spec.traffic.as_ref().and_then(|traffic| traffic.drain.as_ref())
                && let Err(error) = self.run_beside(&kept.spec, &kept.files.spec, drain, "drain")
            {
                tracing::warn!(%app, %error, "a copy is stopped though it may still be asked");
            }
        }
        copies.iter().filter_map(|kept| Some(kept.spec.traffic.as_ref()?.drain_seconds)).max().unwrap_or(0)
    }

    /// The ports that are listed as serving.
    pub(super) fn serving_ports(&self, app: &AppName) -> Result<BTreeSet<u16>, RuntimeError> {
        Ok(self.listed(app)?.values().filter(|entry| entry.serves).map(|entry| entry.port).collect())
    }

    /// As [`Self::leave`], where a build takes the place of these copies: those of one that stands by serve nobody.
    pub(super) fn leave_for(&self, build: Running<'_>, copies: &[Kept]) -> Result<(), RuntimeError> {
        match build.standby {
            true => Ok(()),
            false => self.leave(build.app, copies, build.leaving).map(|_| ()),
        }
    }

    /// Takes every copy of the application out of service. They go on running.
    pub fn stand_by(&self, app: &AppName) -> Result<(), RuntimeError> {
        let _turn = self.turn(app)?;
        self.leave(app, &self.kept(app)?, Leaving::MustSucceed).map(|_| ())
    }

    /// Puts copies of a build into service, or where it stands by lists them as such that do not serve; with `alone`, no
    /// others are listed any more.
    pub(super) fn enter(&self, build: Running<'_>, copies: &[&ServiceSpec], alone: bool) -> Result<(), RuntimeError> {
        let (app, serves) = (build.app, !build.standby);
        let routed: Vec<(&ServiceSpec, &Traffic, u16)> =
            copies.iter().filter_map(|spec| Some((*spec, spec.traffic.as_ref()?, spec.port?))).collect();
        if routed.is_empty() {
            return Ok(());
        }
        let before = self.listed(app)?;
        let mut listed = if alone { Listed::new() } else { before.clone() };
        let mut came = Vec::new();
        for (spec, traffic, port) in &routed {
            let id = spec.id.to_string();
            let served = before.get(&id).is_some_and(|entry| entry.serves && entry.port == *port);
            if serves && !served {
                came.push((*spec, traffic.back.as_ref()));
            }
            // Without a list, what stands here only tells who has left.
            let form = traffic.upstream.unwrap_or(Upstream::Nginx);
            listed.insert(id, Entry { process: spec.id.process.clone(), form, port: *port, serves });
        }
        let lists = routed.iter().any(|(_, traffic, _)| traffic.upstream.is_some());
        if lists {
            self.list(app, &listed)?
        } else {
            self.keep_listed(app, &listed)?
        }
        for (spec, back) in came {
            if let Some(back) = back {
                self.run_beside(spec, &self.files_of(spec).spec, back, "back")?;
            }
        }
        Ok(())
    }

    fn listed(&self, app: &AppName) -> Result<Listed, RuntimeError> {
        let path = self.layout.traffic(app).join("copies.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed("read", &path)(error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Listed::new()),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    fn keep_listed(&self, app: &AppName, listed: &Listed) -> Result<(), RuntimeError> {
        let folder = self.layout.traffic(app);
        make_folder(&folder, 0o755)?;
        let path = folder.join("copies.json");
        let bytes = serde_json::to_vec(listed).map_err(|error| failed("write", &path)(error.into()))?;
        replace_durably(&path, &bytes, 0o644)
    }

    /// Writes the list where the owner wants it, and has it read. A list that cannot be read is taken back. What is kept
    /// listed is what was read: whoever was killed in between has it read again.
    fn list(&self, app: &AppName, listed: &Listed) -> Result<(), RuntimeError> {
        let local = Local::read(self.layout.root()).map_err(|error| cannot(app, error.to_string()))?;
        let own = self.layout.traffic(app).join("upstream.conf");
        let file = local.traffic.files.get(app).unwrap_or(&own);
        let text = render(app, listed);
        let read = self.listed(app)?;
        let stands = fs::read(file).ok();
        let is_written = stands.as_deref() == Some(text.as_bytes());
        let is_read = is_written && read == *listed;
        if !is_read && !listed.is_empty() {
            let before = if is_written { (!read.is_empty()).then(|| render(app, &read).into_bytes()) } else { stands };
            make_folder(&self.layout.traffic(app), 0o755)?;
            replace_durably(file, text.as_bytes(), 0o644)?;
            if let Err(why) = self.reload(&local) {
                if let Some(before) = before {
                    replace_durably(file, &before, 0o644)?;
                }
                return Err(cannot(app, why));
            }
        }
        self.keep_listed(app, listed)
    }

    /// Has whoever reads the lists read them, some time after it was last asked to: HAProxy, busy with one reload, forgets another.
    fn reload(&self, local: &Local) -> Result<(), String> {
        let mut reloaded = self.reloaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = *reloaded {
            std::thread::sleep(RELOADS_APART.saturating_sub(at.elapsed()));
        }
        let done = reload(local);
        *reloaded = Some(Instant::now());
        done
    }

    fn run_beside(
        &self,
        spec: &ServiceSpec,
        spec_file: &Path,
        argv: &[String],
        word: &str,
    ) -> Result<(), RuntimeError> {
        let asked = Asked { spec, spec_file, port: spec.port };
        let ran = self.run_check(&asked, argv, Instant::now() + PROGRAM);
        ran.map(|_| ()).map_err(|why| cannot(&spec.app, format!("{word} of {}: {why}", spec.id)))
    }
}

fn cannot(app: &AppName, why: String) -> RuntimeError {
    RuntimeError::Traffic { app: app.clone(), why }
}

/// Runs what the owner wants run.
fn reload(local: &Local) -> Result<(), String> {
    let Some(words) = local.traffic.reload_words()? else { return Ok(()) };
    let said = words.join(" ");
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear().env("PATH", PATH).current_dir("/").stdin(Stdio::null());
    let mut child = listen(&mut command).spawn().map_err(|error| format!("'{said}' cannot be started: {error}"))?;
    let complaint = Said::by(&mut child);
    let give_up = Instant::now() + PROGRAM;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < give_up => std::thread::sleep(LOOK_AGAIN),
            Ok(None) | Err(_) => {
                let _gone = (child.kill(), child.wait());
                return Err(format!("'{said}' took longer than {} s", PROGRAM.as_secs()));
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    Err(format!("'{said}' failed: {status}{}", complaint.last()))
}

/// The list in the form its build asks for. A copy that does not serve stays in it, marked, so that the list of an
/// application that is out of service altogether can still be read.
fn render(app: &AppName, listed: &Listed) -> String {
    let mut by_process: BTreeMap<&str, Vec<(&String, &Entry)>> = BTreeMap::new();
    for (id, entry) in listed {
        by_process.entry(&entry.process).or_default().push((id, entry));
    }
    let mut text =
        format!("# Written by the agent of Sortie: the copies of {app} that serve. Changes are overwritten.\n");
    for (process, mut entries) in by_process {
        entries.sort_by_key(|(_, entry)| entry.port);
        let is_nginx = entries.iter().any(|(_, entry)| entry.form == Upstream::Nginx);
        text += &if is_nginx { format!("upstream {app}-{process} {{\n") } else { format!("backend {app}-{process}\n") };
        for (id, Entry { port, serves, .. }) in entries {
            text += &match (is_nginx, serves) {
                (true, true) => format!("    server 127.0.0.1:{port};\n"),
                (true, false) => format!("    server 127.0.0.1:{port} down;\n"),
                (false, true) => format!("    server {id} 127.0.0.1:{port}\n"),
                (false, false) => format!("    server {id} 127.0.0.1:{port} disabled\n"),
            };
        }
        text += if is_nginx { "}\n" } else { "" };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_written_as_nginx_and_haproxy_read_them() {
        let app = AppName::new("shop").unwrap();
        let entry = |form, port, serves| Entry { process: "web".into(), form, port, serves };
        let listed = |form| {
            let copies =
                [("web-1".to_owned(), entry(form, 20_001, true)), ("web-2".to_owned(), entry(form, 20_002, false))];
            render(&app, &copies.into())
        };
        let first = "# Written by the agent of Sortie: the copies of shop that serve. Changes are overwritten.\n";
        let nginx = "upstream shop-web {\n    server 127.0.0.1:20001;\n    server 127.0.0.1:20002 down;\n}\n";
        assert_eq!(listed(Upstream::Nginx), format!("{first}{nginx}"));
        let haproxy = "backend shop-web\n    server web-1 127.0.0.1:20001\n    server web-2 127.0.0.1:20002 disabled\n";
        assert_eq!(listed(Upstream::Haproxy), format!("{first}{haproxy}"));
    }

    #[test]
    fn a_reload_that_fails_says_what_it_said_last() {
        let local = |line: &str| {
            let mut local = Local::default();
            local.traffic.reload = Some(line.into());
            local
        };
        reload(&local("true")).unwrap();
        let why = reload(&local("sh -c 'echo first >&2; echo no such file >&2; exit 3'")).unwrap_err();
        assert!(why.ends_with("exit status: 3 (no such file)"), "{why}");
        let why = reload(&local("sh -c 'echo first; echo no such server; exit 3'")).unwrap_err();
        assert!(why.ends_with("exit status: 3 (no such server)"), "what says nothing on stderr is quoted too: {why}");
        assert!(reload(&local("/nonexistent/nginx -s reload")).unwrap_err().contains("cannot be started"));
        reload(&Local::default()).unwrap();
    }
}
