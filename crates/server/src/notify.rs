//! Outgoing webhooks: what happened, told to other people's systems. Signed, retried, and never in anybody's way.
//!
//! The ledger is the queue. Each hook remembers the last entry it was told of, in a file of its own beside the ledger, and
//! goes on from there: nothing is lost by a crash of the server or an evening without the receiver, and a receiver may
//! hear one message twice, under the same `webhook-id`. Nothing waits for a hook: it reads what is durable already.
//!
//! - [`hooks`]: the file that the machine's operator writes, `notify.toml`.
//! - [`message`]: from an entry to what is told, and the two forms it is told in.
//! - [`deliver`]: one request: signed after Standard Webhooks 1.0.0.

use crate::{
    durable,
    http::Shared,
    views::{permits, words},
};
use domain::{rules::expiry, state::State};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use trust::{AudienceName, Digest};

pub mod deliver;
pub mod hooks;
pub mod message;

use deliver::Courier;
use hooks::{FILE, Hook, Hooks};
use message::{Kind, Notice};

/// Where the hooks' places in the ledger are kept, in the data folder.
const FOLDER: &str = "notify";
/// How often the operator's file is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often it is looked whether something expires soon, where nothing else happens.
const EXPIRY_LOOKED_AT: Duration = Duration::from_secs(60);
/// How long to wait before the second try; doubled for each after that.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long to wait between two tries at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// For how long a message is tried. What is older is no news, and is left out.
const NEWS_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How many entries are read at a time.
const CHUNK: u64 = 200;

/// How the hooks fare, for the status and for Prometheus.
#[derive(Default)]
pub(crate) struct Notifier {
    hooks: Mutex<BTreeMap<String, Fares>>,
    mistake: Mutex<Option<String>>,
    /// The audiences that hooks are told of alone, by the hooks' names.
    audiences: Mutex<BTreeMap<String, Vec<AudienceName>>>,
}

/// How one hook fares.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fares {
    /// The messages that were taken since the server started.
    pub delivered: u64,
    /// The messages that nobody took within a day, since the server started.
    pub dropped: u64,
    /// Since when the newest message is tried in vain, and why.
    pub failing: Option<(Timestamp, String)>,
}

impl Notifier {
    /// How each hook fares, by name.
    pub fn fares(&self) -> BTreeMap<String, Fares> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What everyone should know: hooks that nobody answers, or that are told of nothing, and an operator's file that cannot be read.
    pub fn warnings(&self, state: &State) -> Vec<String> {
        let mistake = self.mistake.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failing = |(name, fares): (String, Fares)| {
            let (since, why) = fares.failing?;
            Some(format!("notifications to {name} fail since {}: {why}", words::moment(since)))
        };
        let charter = state.policy.as_ref().map(|policy| &policy.charter);
        let is_known = |name: &AudienceName| {
            charter.is_none_or(|it| it.environments.contains_key(name) || it.channels.contains_key(name))
        };
        let audiences = self.audiences.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = audiences.iter().flat_map(|(hook, names)| names.iter().map(move |name| (hook, name)));
        let unknown = all.filter(|(_, name)| !is_known(name));
        let unknown =
            unknown.map(|(hook, name)| format!("{FILE}: the hook {hook} asks for {name}, which no charter names"));
        mistake.into_iter().chain(unknown).chain(self.fares().into_iter().filter_map(failing)).collect()
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Fares)) {
        change(self.hooks.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default());
    }

    fn start_anew(&self, names: impl Iterator<Item = String>, mistake: Option<String>) {
        let kept: BTreeMap<String, Fares> = {
            let fares = self.fares();
            names.map(|name| (name.clone(), fares.get(&name).cloned().unwrap_or_default())).collect()
        };
        *self.hooks.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        *self.mistake.lock().unwrap_or_else(PoisonError::into_inner) = mistake;
    }
}

/// Runs until the server stops. The operator's file is read again when it changes; one that cannot be read leaves the
/// hooks as they were.
pub(crate) async fn run(serving: Shared, data: PathBuf) {
    let path = data.join(FILE);
    let mut last_seen = None;
    let mut couriers: Vec<tokio::task::JoinHandle<()>> = Vec::new();
    loop {
        let seen = modified(&path);
        if last_seen != Some(seen) {
            last_seen = Some(seen);
            match Hooks::read(&path) {
                Ok(hooks) => {
                    for courier in couriers.drain(..) {
                        courier.abort();
                    }
                    serving.notifier.start_anew(hooks.hooks.keys().cloned(), None);
                    let audiences =
                        hooks.hooks.iter().map(|(name, hook)| (name.clone(), hook.audiences.clone())).collect();
                    *serving.notifier.audiences.lock().unwrap_or_else(PoisonError::into_inner) = audiences;
                    for (name, hook) in hooks.hooks {
                        couriers.push(tokio::spawn(tell(serving.clone(), data.clone(), name, hook)));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the notifications' file cannot be used");
                    serving.notifier.audiences.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    let names = serving.notifier.fares().into_keys();
                    serving.notifier.start_anew(names, Some(error.to_string()));
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = serving.stopped() => break,
        }
    }
    for courier in couriers {
        courier.abort();
    }
}

fn modified(path: &Path) -> Option<(SystemTime, u64)> {
    let known = fs::metadata(path).ok()?;
    Some((known.modified().ok()?, known.len()))
}

/// Tells one hook what happens, from where it was left on.
async fn tell(serving: Shared, data: PathBuf, name: String, hook: Hook) {
    let courier = match Courier::new(&hook) {
        Ok(courier) => courier,
        Err(error) => {
            let since = Timestamp::now();
            return serving.notifier.change(&name, |fares| fares.failing = Some((since, error.to_string())));
        }
    };
    let mut heads = serving.ledger.heads();
    let mut place = match Place::open(&data, &name, serving.ledger.state().head.entry) {
        Ok(place) => place,
        Err(error) => {
            let since = Timestamp::now();
            let why = format!("its place in the ledger cannot be read: {error}");
            return serving.notifier.change(&name, |fares| fares.failing = Some((since, why)));
        }
    };
    loop {
        heads.mark_unchanged();
        if let Err(error) = catch_up(&serving, &courier, &name, &hook, &mut place).await {
            tracing::error!(hook = %name, %error, "notifications stand still");
            let since = Timestamp::now();
            serving.notifier.change(&name, |fares| fares.failing = Some((since, error.to_string())));
        }
        tokio::select! {
            () = tokio::time::sleep(EXPIRY_LOOKED_AT) => {}
            changed = heads.changed() => if changed.is_err() { return },
            () = serving.stopped() => return,
        }
    }
}

/// Everything that this hook was not told of yet, oldest first.
async fn catch_up(
    serving: &Shared,
    courier: &Courier,
    name: &str,
    hook: &Hook,
    place: &mut Place,
) -> Result<(), io::Error> {
    loop {
        let reader = serving.clone();
        let from = place.kept.entry + 1;
        let read = move || reader.ledger.entries(from, CHUNK);
        let entries = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?.map_err(io::Error::other)?;
        if entries.is_empty() {
            break;
        }
        for bytes in entries {
            let entry: domain::entry::Entry = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
            let number = entry.number;
            let state = serving.ledger.state();
            let texts = |digest: &Digest| serving.ledger.text(digest).ok().flatten();
            let leaf = Digest::of(&bytes);
            for notice in
                message::notices(&state, &entry, &leaf, &texts).into_iter().filter(|notice| hook.wants(notice))
            {
                deliver(serving, courier, name, &notice).await;
                place.is_new = true;
            }
            place.kept.entry = number;
            if place.is_new {
                place.save()?;
            }
        }
        place.save()?;
    }
    // Whatever failed before is done with, or is not wanted any more.
    serving.notifier.change(name, |fares| fares.failing = None);
    for notice in expiring(&serving.ledger.state(), Timestamp::now()) {
        let was_told = !place.kept.warned.insert(notice.id.clone());
        if !was_told && hook.wants(&notice) {
            deliver(serving, courier, name, &notice).await;
        }
        if !was_told {
            place.save()?;
        }
    }
    Ok(())
}

/// Tries until the message is taken, or is no news any more.
async fn deliver(serving: &Shared, courier: &Courier, name: &str, notice: &Notice) {
    let mut pause = FIRST_PAUSE;
    loop {
        let now = Timestamp::now();
        if now.duration_since(notice.time) > NEWS_FOR {
            tracing::warn!(hook = %name, id = %notice.id, "nobody took this message within a day");
            return serving.notifier.change(name, |fares| fares.dropped += 1);
        }
        match courier.deliver(notice, now).await {
            Ok(_) => {
                return serving.notifier.change(name, |fares| {
                    fares.delivered += 1;
                    fares.failing = None;
                });
            }
            Err(error) => {
                tracing::warn!(hook = %name, id = %notice.id, %error, "a notification was not taken; it is tried again");
                serving.notifier.change(name, |fares| {
                    let since = fares.failing.as_ref().map_or(now, |(since, _)| *since);
                    fares.failing = Some((since, error.to_string()));
                });
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What is over soon: each is told once, under an id that names what and until when.
fn expiring(state: &State, now: Timestamp) -> Vec<Notice> {
    let Some(policy) = &state.policy else { return Vec::new() };
    let (facts, estate) = (&policy.record.facts, Some(policy.record.estate));
    let owners = expiry::warnings(facts.root_expires, facts.charter_expires, now).into_iter().map(|text| {
        let what = if text.starts_with("the root") { "root" } else { "charter" };
        let until = if what == "root" { facts.root_expires } else { facts.charter_expires };
        let until = until.map_or(0, Timestamp::as_second);
        let gone = if until <= now.as_second() { "expired" } else { "expiring" };
        Notice::about(format!("{gone}-{what}-{until}"), Kind::Expiring, now, estate, text)
    });
    let permits = permits::expiring(state, now).into_iter().map(|(request, words)| {
        let text = format!("{}@{} → {} {words}", request.app, request.version, request.audience);
        let id = format!("expiring-permit-{}", request.digest.short());
        let notice = Notice::about(id, Kind::Expiring, now, estate, text);
        Notice {
            app: Some(request.app.clone()),
            version: Some(request.version.clone()),
            build: Some(request.build),
            audience: Some(request.audience.clone()),
            ..notice
        }
    });
    owners.chain(permits).collect()
}

/// How far one hook was told, on disk.
struct Place {
    path: PathBuf,
    kept: Kept,
    is_new: bool,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The last entry it was told of, or that it did not want.
    entry: u64,
    /// The expiries it was told of.
    warned: BTreeSet<String>,
}

impl Place {
    /// Where the hook was left; a new one begins after `head`, for what happened before is no news.
    fn open(data: &Path, name: &str, head: u64) -> io::Result<Self> {
        let folder = data.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.json"));
        let kept: Kept = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept { entry: head, ..Kept::default() },
            Err(error) => return Err(error),
        };
        // A ledger that was put back is shorter than what was told of it.
        let kept = Kept { entry: kept.entry.min(head), ..kept };
        Ok(Self { path, kept, is_new: true })
    }

    fn save(&mut self) -> io::Result<()> {
        durable::replace(&self.path, &serde_json::to_vec(&self.kept).map_err(io::Error::other)?)?;
        self.is_new = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::fixture::World;

    /// The charter, the root and permits are told of before they are over, each once.
    #[test]
    fn what_is_over_soon_is_told_under_one_id_until_it_is_another() {
        let mut world = World::new();
        world.released("web", "1.4.0", "prod");
        assert_eq!(expiring(&world.state, world.now()), []);
        let later = world.now() + SignedDuration::from_hours(24 * 85);
        let [permit] = &expiring(&world.state, later)[..] else { panic!("one permit is over soon") };
        assert_eq!((permit.kind, permit.app.as_ref().unwrap().as_str()), (Kind::Expiring, "web"));
        assert!(permit.text.starts_with("web@1.4.0 → prod "), "{}", permit.text);
        let [again] = &expiring(&world.state, later + SignedDuration::from_hours(1))[..] else { panic!("the same") };
        assert_eq!(permit.id, again.id);
        let policy = std::sync::Arc::make_mut(world.state.policy.as_mut().unwrap());
        policy.record.facts.charter_expires = Some(later + SignedDuration::from_hours(24));
        let told: Vec<String> = expiring(&world.state, later).into_iter().map(|notice| notice.id).collect();
        assert!(told.len() == 2 && told[0].starts_with("expiring-charter-"), "{told:?}");
    }

    #[test]
    fn a_hook_for_an_audience_that_no_charter_names_is_pointed_at() {
        let (world, notifier) = (World::new(), Notifier::default());
        let names = ["prod", "beta", "prdo"].map(|name| name.parse().unwrap()).to_vec();
        notifier.audiences.lock().unwrap().insert("team".into(), names);
        assert_eq!(
            notifier.warnings(&world.state),
            ["notify.toml: the hook team asks for prdo, which no charter names"]
        );
    }
}
