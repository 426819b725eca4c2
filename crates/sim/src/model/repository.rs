//! The repository: what is published says what was accepted, versions never fall, and a target brings nothing new without a
//! word of it that is young, that the server signed and that it has seen whole.

use super::{Model, Violation, broken, calendar::CLOCKS_DIFFER};
use crate::{
    cast::{Cast, STALE_HOURS, WEB, app, prod, target},
    script::Setting,
    server::{Server, TIMESTAMP},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    Digest,
    dsse::Envelope,
    tuf::repository::{PermitFile, SIGNED_FIELD},
};

type Verdict = Result<(), Violation>;

/// How old what is published may be, when somebody asks for it.
const PUBLISHED_WITHIN: SignedDuration = SignedDuration::from_mins(15);
/// How old what is known of it may be.
const STALE: SignedDuration = SignedDuration::from_hours(STALE_HOURS as i64);

/// What is known of the repository.
#[derive(Default)]
pub struct Repository {
    is_there: bool,
    /// What the server's key signed, whoever held it, by digest.
    signed: BTreeMap<Digest, Word>,
    /// What a thief signed with it.
    forged: BTreeSet<Digest>,
    /// The versions of timestamp that were published, and when, by the time that passes.
    published: Vec<(SignedDuration, u64)>,
    /// The newest timestamp and snapshot that were published.
    newest: Option<(u64, Digest)>,
    snapshot: Option<(u64, Digest)>,
    targets: Vec<Shown>,
}

/// A file of metadata.
#[derive(Clone, Default)]
struct Word {
    version: u64,
    date: Option<Timestamp>,
    /// The files that it leads to, as far as they concern the application in the environment.
    leads_to: Vec<(String, Digest)>,
}

/// What a target was shown.
#[derive(Default)]
struct Shown {
    files: BTreeSet<Digest>,
    /// Timestamps of which it has not seen everything yet, and the dates of those of which it has.
    parts: BTreeSet<Digest>,
    dates: BTreeSet<Timestamp>,
    /// Whether any was young enough at any moment since it was handed statements last.
    was_fresh: bool,
    /// The versions of timestamp and snapshot that it has kept.
    kept: [u64; 2],
    /// The timestamp that it was shown last: its version, and whether the server's key signed it.
    newest: Option<(u64, bool)>,
}

impl Word {
    /// What a file says; nothing where it makes no sense.
    fn read(bytes: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(bytes).ok()?;
        let signed = &document["signed"];
        let version = signed["version"].as_u64()?;
        let date = signed[SIGNED_FIELD].as_str().and_then(|text| text.parse().ok());
        let (role, pair) = (format!("permits-{}.json", prod()), format!("permits.{}.{}.json", prod(), app(WEB)));
        let mut leads_to = Vec::new();
        for (name, listed) in [("snapshot.json", "meta"), (&role, "meta"), (&pair, "targets")] {
            let listed = &signed[listed][name];
            let Some(hash) = listed["hashes"]["sha256"].as_str() else { continue };
            let path = match listed["version"].as_u64() {
                Some(version) => format!("metadata/{version}.{name}"),
                None => format!("targets/{hash}.{name}"),
            };
            leads_to.push((path, Digest::from_hex(hash).ok()?));
        }
        Some(Self { version, date, leads_to })
    }
}

impl Repository {
    /// Nothing is published yet, where anything is ever to be.
    pub fn new(setting: &Setting) -> Self {
        let targets = (0..setting.targets).map(|_| Shown::default()).collect();
        Self { is_there: setting.repository, targets, ..Self::default() }
    }

    /// Whether somebody who was shown these files has seen one of them whole, with everything that it leads to.
    fn is_whole(&self, files: &BTreeSet<Digest>, digest: &Digest) -> bool {
        let leads_to = self.signed.get(digest).map(|word| word.leads_to.as_slice()).unwrap_or_default();
        files.contains(digest) && leads_to.iter().all(|(_, next)| self.is_whole(files, next))
    }

    /// Whether a target has seen all of a word that is young enough by its clock, or had when it was handed statements last.
    pub fn is_fresh(&self, index: usize, clock: Timestamp) -> bool {
        let shown = &self.targets[index];
        let from = clock.saturating_sub(STALE).unwrap_or(Timestamp::MIN);
        let until = clock.saturating_add(CLOCKS_DIFFER).unwrap_or(Timestamp::MAX);
        !self.is_there || shown.was_fresh || shown.dates.range(from..=until).next().is_some()
    }

    /// A target looks at its clock.
    pub fn looks_at_clock(&mut self, index: usize, clock: Timestamp) {
        self.targets[index].was_fresh = self.is_there && self.is_fresh(index, clock);
    }

    /// A target is handed statements, and judges by what it knows now.
    pub fn judges_anew(&mut self, index: usize, clock: Timestamp) {
        self.targets[index].was_fresh = false;
        self.looks_at_clock(index, clock);
    }

    fn shows(&mut self, index: usize, digest: Digest, word: Option<&Word>) {
        self.targets[index].files.insert(digest);
        if word.is_some_and(|word| word.date.is_some()) {
            self.targets[index].parts.insert(digest);
        }
        let Shown { files, parts, .. } = &self.targets[index];
        let whole: Vec<Digest> = parts.iter().filter(|digest| self.is_whole(files, digest)).copied().collect();
        for digest in whole {
            self.targets[index].parts.remove(&digest);
            self.targets[index].dates.extend(self.signed.get(&digest).and_then(|word| word.date));
        }
    }
}

impl Model {
    /// What was published before the world began.
    pub fn was_published(&mut self, server: &Server) {
        if let Some(word) = server.published().first().and_then(|bytes| self.is_signed(bytes)) {
            self.repository.published.push((SignedDuration::ZERO, word.version));
            self.follow_word(server, &word);
        }
    }

    /// The server's key signed something.
    fn is_signed(&mut self, bytes: &[u8]) -> Option<Word> {
        let word = Word::read(bytes)?;
        self.repository.signed.insert(Digest::of(bytes), word.clone());
        Some(word)
    }

    /// A thief signed something with the server's key.
    pub fn forges(&mut self, bytes: &[u8]) {
        self.is_signed(bytes);
        self.repository.forged.insert(Digest::of(bytes));
    }

    /// Everything that a published file leads to was published with it; the file of permits, where it leads to one.
    fn follow_word(&mut self, server: &Server, word: &Word) -> Option<Vec<u8>> {
        let (path, _) = word.leads_to.first()?.clone();
        let bytes = server.file(&path)?;
        if path.starts_with("targets/") {
            return Some(bytes);
        }
        let next = self.is_signed(&bytes)?;
        self.follow_word(server, &next)
    }

    /// Somebody asks for the timestamp: what is published says everything that was accepted, and is no older than it may be.
    pub fn publishes(&mut self, server: &Server, elapsed: SignedDuration) -> Verdict {
        let (Some(bytes), now) = (server.file(TIMESTAMP), server.now()) else {
            return broken("PUBLISHED", "there is no timestamp");
        };
        let Some(word) = self.is_signed(&bytes) else {
            return broken("PUBLISHED", "the timestamp is unreadable");
        };
        let (digest, version) = (Digest::of(&bytes), word.version);
        let permits = self.follow_word(server, &word);
        let Some((_, leads_to)) = word.leads_to.first() else {
            return broken("PUBLISHED", format!("timestamp {version} leads nowhere"));
        };
        let snapshot = self.repository.signed.get(leads_to).map_or(0, |snapshot| snapshot.version);
        let repository = &mut self.repository;
        let now_and_before = [
            ("timestamp", (version, digest), repository.newest.replace((version, digest))),
            ("snapshot", (snapshot, *leads_to), repository.snapshot.replace((snapshot, *leads_to))),
        ];
        for (what, (version, digest), before) in now_and_before {
            if let Some((last, before)) = before.filter(|before| *before != (version, digest))
                && version <= last
            {
                let how = if before == digest { "the same" } else { "another" };
                return broken("VERSIONS", format!("{how} {what} {version} is published after {last}"));
            }
        }
        if repository.published.last().is_none_or(|(_, last)| *last != version) {
            repository.published.push((elapsed, version));
        }
        let age = word.date.map(|date| now.duration_since(date).abs());
        if age.is_none_or(|age| age > PUBLISHED_WITHIN) {
            return broken("PUBLISHED", format!("timestamp {version} is of {:?}, and it is {now}", word.date));
        }
        self.says_what_was_accepted(permits.as_deref(), now)
    }

    /// What is published holds every withdrawal that was accepted, and no permit that people did not give.
    fn says_what_was_accepted(&self, permits: Option<&[u8]>, now: Timestamp) -> Verdict {
        let file = permits.map(PermitFile::from_bytes).transpose();
        let Ok(file) = file else { return broken("PUBLISHED", "the file of permits is unreadable") };
        let payloads = |envelopes: &[Envelope]| -> BTreeSet<Digest> {
            envelopes.iter().map(|envelope| Digest::of(&envelope.payload)).collect()
        };
        let published = file.as_ref().map(|file| payloads(&file.withdrawals)).unwrap_or_default();
        let accepted: BTreeSet<Digest> =
            self.withdrawals.keys().filter(|payload| self.recorded.contains_key(payload)).copied().collect();
        if published != accepted {
            let what = format!("{} withdrawals are published of {}", published.len(), accepted.len());
            return broken("PUBLISHED", what);
        }
        for permit in file.iter().flat_map(|file| &file.permits) {
            let wish = self.wishes.get(&Digest::of(&permit.request.payload));
            let lives = wish.is_some_and(|wish| {
                let dead_through = self.dead.get(&wish.build).copied().unwrap_or(0);
                let ends = wish.not_after.saturating_add(PUBLISHED_WITHIN).unwrap_or(Timestamp::MAX);
                wish.serial > dead_through && wish.is_granted(self.charter) && now < ends
            });
            if !lives {
                return broken("PUBLISHED", "a permit is published that nobody gave, or that is no more");
            }
        }
        Ok(())
    }

    /// A target is shown a file, whoever shows it.
    pub fn shows_file(
        &mut self,
        cast: &Cast,
        index: usize,
        (path, bytes): (&str, &[u8]),
        disk_is_full: bool,
        clock: Timestamp,
    ) {
        let digest = Digest::of(bytes);
        let name = path.rsplit('/').next().unwrap_or_default();
        let word = self.repository.signed.get(&digest).cloned();
        self.repository.shows(index, digest, word.as_ref());
        self.repository.looks_at_clock(index, clock);
        let is_named = name.starts_with(&digest.hex());
        if path == TIMESTAMP {
            let version = Word::read(bytes).map_or(0, |word| word.version);
            self.repository.targets[index].newest = Some((version, word.is_some()));
        } else if path.starts_with("metadata/") {
            let fits = word.is_some_and(|word| name.starts_with(&format!("{}.", word.version)));
            let is_owners = [".root.json", ".targets.json"].iter().any(|role| name.ends_with(role));
            if !fits && !is_owners {
                self.sees("parts of the repository that do not fit each other");
            }
        } else if !is_named {
            self.sees("parts of the repository that do not fit each other");
        } else if name.ends_with(".charter.toml") {
            let later = cast.later.as_ref().map(|later| Digest::of(later.charter.as_bytes()));
            if later == Some(digest) && !disk_is_full {
                self.takes_charter(index);
                self.sees("a charter heard of by the repository");
            }
        } else if let Ok(file) = PermitFile::from_bytes(bytes) {
            let news = |envelope: &Envelope| self.is_news_to(index, &Digest::of(&envelope.payload));
            if file.withdrawals.iter().any(news) {
                self.sees("a withdrawal heard of by the repository");
            }
            self.told(index, &file.withdrawals);
            self.told(index, &file.freezes);
        }
    }

    /// A target is told that there is no such file.
    pub fn lacks_file(&mut self, path: &str) {
        if !path.ends_with(".root.json") {
            self.sees("a part of the repository withheld");
        }
    }

    /// What a target keeps of timestamp and snapshot: nothing that is older than what it kept before, and nothing that
    /// the server's key never signed.
    pub fn keeps(&mut self, index: usize, files: [Option<Vec<u8>>; 2]) -> Verdict {
        for (place, bytes) in files.iter().enumerate() {
            let Some(bytes) = bytes else { continue };
            let digest = Digest::of(bytes);
            let Some(word) = self.repository.signed.get(&digest) else {
                return broken("SIGNED", format!("{} keeps a file that the server's key never signed", target(index)));
            };
            let (version, before) = (word.version, self.repository.targets[index].kept[place]);
            if version < before {
                let what = ["timestamp", "snapshot"][place];
                return broken("VERSIONS", format!("{} takes {what} {version} after {before}", target(index)));
            }
            self.repository.targets[index].kept[place] = version;
            if self.repository.forged.contains(&digest) {
                self.sees("a forged word of the repository taken");
            }
        }
        let shown = &mut self.repository.targets[index];
        match shown.newest.take() {
            Some((_, false)) => self.sees("a word of the repository that the server did not sign"),
            Some((version, true)) if version < shown.kept[0] => self.sees("an older word of the repository refused"),
            _ => {}
        }
        Ok(())
    }

    /// A target that could be reached for long knows what was published when that began.
    pub fn has_refreshed(&self, index: usize, since: u64) -> Verdict {
        let since = SignedDuration::from_millis(since as i64);
        let known = self.repository.published.iter().rev().find(|(at, _)| *at <= since);
        let (kept, is_over) = (self.repository.targets[index].kept[0], self.is_retired(index));
        match known {
            Some((_, version)) if kept < *version && !is_over && !self.ends.is_ending(index) => {
                let what = format!("{} knows timestamp {kept}, and {version} was published long ago", target(index));
                broken("REFRESHED", what)
            }
            _ => Ok(()),
        }
    }
}
