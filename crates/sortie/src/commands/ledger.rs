//! `sortie ledger`: the record of everything, checked on this machine.

use crate::{
    connection::Connection,
    failure::{Failure, OrIntegrity, Outcome},
    invocation::Invocation,
    object,
    output::{Answer, count},
    verify::Verifier,
};
use api::{
    read::{Hello, Lost},
    routes,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};
use trust::{
    key::PublicKey,
    log::empty_root,
    note::{Checkpoint, MAX_NOTE_BYTES, verify_checkpoint},
    tuf::MAX_TARGETS_BYTES,
};

/// How many entries are asked for at once.
const PAGE: u64 = 1000;
/// The longest entry that is read, in bytes: a charter and its signatures fit well.
const LONGEST_ENTRY_BYTES: usize = 8 << 20;
/// How often a long check says how far it is, in entries.
const SAY_EVERY: u64 = 100_000;

/// The append-only record of everything that was accepted
#[derive(Debug, clap::Args)]
pub struct Ledger {
    #[command(subcommand)]
    pub act: LedgerAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum LedgerAct {
    /// Check every entry, every signature and the checkpoint on this machine, believing nobody
    Verify {
        /// A checkpoint seen earlier or elsewhere: the ledger must extend it, or there are two histories
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
    },
    /// Print the ledger's signed checkpoint, for others to verify against
    Checkpoint,
    /// List what is known to be lost, where the server was put back from an older copy
    Lost,
}

impl Ledger {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        match self.act {
            LedgerAct::Verify { against } => verify(invocation, against.as_deref()).await,
            LedgerAct::Lost => lost(invocation).await,
            LedgerAct::Checkpoint => {
                let connection = invocation.connect().await?;
                let note = text(&connection, routes::CHECKPOINT).await?;
                let (keys, _) = ledger_keys(&connection).await?;
                signed(&note, &keys)?;
                Ok(Answer::raw(note.into_bytes()))
            }
        }
    }
}

async fn verify(invocation: &Invocation, against: Option<&Path>) -> Outcome {
    // What cannot be read must not be found out after a long check.
    let against = against.map(read_note).transpose()?;
    let connection = invocation.connect().await?;
    let note = text(&connection, routes::CHECKPOINT).await?;
    let (keys, whose) = ledger_keys(&connection).await?;
    let checkpoint = signed(&note, &keys)?;
    let mut seen = Vec::new();
    let epoch = connection.policy.charter.epoch;
    let kept = connection.context.checkpoint();
    // Owners who sign a new epoch say that what was seen in the one before is not a beginning of what follows.
    if let Some((kept, _)) = kept.filter(|(_, seen_in)| *seen_in == epoch) {
        seen.push(Seen { checkpoint: read_unsigned(&kept)?, place: "here before".into() });
    }
    let known_here = seen.first().map(|seen| seen.checkpoint.size);
    if let Some((file, given)) = &against {
        // Anybody may write a file: it tells of a fork only if the server's own key signed it.
        let given = signed(given, &keys)
            .map_err(|failure| Failure::integrity(format!("{file} proves nothing: {}", failure.problem.message)))?;
        seen.push(Seen { checkpoint: given, place: format!("in {file}") });
    }
    for seen in &seen {
        check_against(&checkpoint, seen)?;
    }
    let verifier = read_all(invocation, &connection, &checkpoint, &seen).await?;
    check_charter(&connection, &verifier)?;
    connection.context.keep_checkpoint(&note, epoch)?;
    let grown = known_here.map(|size| checkpoint.size - size);
    let data = serde_json::json!({
        "entries": verifier.size(), "signatures": verifier.signatures(), "permits": verifier.permits(),
        "root": verifier.root(), "origin": checkpoint.origin, "checkpoint_key": whose, "seen_before": known_here,
        "against": against.as_ref().and_then(|_| seen.last()).map(|seen| seen.checkpoint.size),
    });
    let mut words = in_words(&verifier, whose, grown);
    if let (Some((file, _)), Some(seen)) = (&against, seen.last()) {
        words.push_str(&format!("\nit extends {file}, which was signed at {}", entries(seen.checkpoint.size)));
    }
    Ok(Answer::new(&data, words))
}

/// What targets have seen and run that this ledger does not hold.
async fn lost(invocation: &Invocation) -> Outcome {
    let connection = invocation.connect().await?;
    let lost: Lost = connection.client.get(routes::LOST, &[]).await?;
    let mut lines = Vec::new();
    for sight in &lost.seen {
        let then = match sight.is_over {
            true => "owners signed a new epoch since",
            false => "owners must sign a new epoch",
        };
        let (target, epoch, seen) = (&sight.target, sight.epoch, sight.entries);
        lines.push(format!("{target} saw the ledger at {} in epoch {epoch}: {then}", entries(seen)));
    }
    for run in &lost.runs {
        let what = format!("{}#{}", run.app, run.active.short());
        let known = if run.is_known { "" } else { ", which this ledger does not know: push it again" };
        let recorded = match run.recorded {
            Some(recorded) if recorded == run.active => "what brought it there is lost".into(),
            Some(recorded) => format!("the ledger says {}#{}", run.app, recorded.short()),
            None => "the ledger says nothing".into(),
        };
        let number = lost.numbers.iter().find(|number| number.app == run.app && number.build == run.active);
        let number = number.map(|number| format!(" (numbered {}@{})", number.app, number.version)).unwrap_or_default();
        lines.push(format!("{} runs {what}{number}{known}; {recorded}", run.target));
    }
    lines.extend(lost.withdrawals.iter().map(|withdrawal| {
        format!("withdrawal of {withdrawal}: targets keep it, and this ledger cannot take it again yet")
    }));
    lines.extend(lost.unknown.iter().map(|machine| match machine.is_taken {
        true => format!("a machine calls itself {} and is not the one that has that name here", machine.target),
        false => {
            format!("{} asks for orders, and this ledger does not know it: it joined in what is lost", machine.target)
        }
    }));
    let is_open = lost.seen.iter().any(|sight| !sight.is_over);
    if lines.is_empty() {
        return Ok(Answer::new(&lost, "nothing is known to be lost"));
    }
    let newest = lost.seen.iter().map(|sight| sight.entries).max().unwrap_or(0);
    let seen = match newest {
        0 => "no target has shown that it saw more".to_string(),
        newest => format!("targets have seen up to {}", entries(newest)),
    };
    lines.insert(0, format!("epoch {}, {}; {seen}", lost.epoch, entries(lost.entries)));
    let answer = Answer::new(&lost, lines.join("\n"));
    let unknown = lost.unknown.iter().find(|machine| !machine.is_taken);
    Ok(match (is_open, unknown) {
        (true, _) => answer.next("sortie charter epoch --reason restore"),
        (false, Some(machine)) => {
            answer.next(format!("sortie target invite --name {} --in ENVIRONMENT", machine.target))
        }
        (false, None) => answer.next("sortie status"),
    })
}

/// A checkpoint that was seen before, and where.
struct Seen {
    checkpoint: Checkpoint,
    place: String,
}

fn read_note(file: &Path) -> Result<(String, String), Failure> {
    let cannot = |error: std::io::Error| Failure::misused(format!("cannot read {}: {error}", file.display()));
    let mut note = String::new();
    let length = File::open(file).and_then(|opened| opened.take(MAX_NOTE_BYTES as u64 + 1).read_to_string(&mut note));
    match length.map_err(cannot)? > MAX_NOTE_BYTES {
        true => Err(Failure::integrity(format!("{} is longer than any note may be", file.display()))),
        false => Ok((file.display().to_string(), note)),
    }
}

fn in_words(verifier: &Verifier, whose: &str, grown: Option<u64>) -> String {
    let extends = match grown {
        None => "no checkpoint was seen before".to_string(),
        Some(0) => "the same as was seen last".into(),
        Some(grown) => format!("{grown} more than were seen last, which it extends"),
    };
    format!(
        "ledger whole: {}, {} checked, {} counted anew, root {}, checkpoint signed by {whose}\n{extends}",
        entries(verifier.size()),
        count(verifier.signatures(), "signature"),
        count(verifier.permits(), "permit"),
        verifier.root().short(),
    )
}

fn entries(number: u64) -> String {
    if number == 1 { "1 entry".into() } else { format!("{number} entries") }
}

/// The keys that sign checkpoints: those of the verified charter. Where it names none, the key that the pinned server
/// gives for itself.
async fn ledger_keys(connection: &Connection) -> Result<(Vec<PublicKey>, &'static str), Failure> {
    let keys = connection.verified.charter.server.ledger.clone();
    if !keys.is_empty() {
        return Ok((keys, "the server"));
    }
    let hello: Hello = connection.client.hello().await?;
    let key = PublicKey::from_openssh(&hello.ledger_key).or_integrity("the server's ledger key")?;
    Ok((vec![key], "the server, by a key that the charter does not name"))
}

/// The checkpoint in a note, signed by one of the keys under the name of the log itself.
fn signed(note: &str, keys: &[PublicKey]) -> Result<Checkpoint, Failure> {
    let origin = note.lines().next().unwrap_or_default();
    let mut last = Failure::integrity("nobody's key signs checkpoints");
    for key in keys {
        match verify_checkpoint(note, origin, key).or_integrity("the checkpoint") {
            Ok(checkpoint) => return Ok(checkpoint),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

/// A checkpoint that was verified before it was kept here.
fn read_unsigned(note: &str) -> Result<Checkpoint, Failure> {
    let text = note.find("\n\n").and_then(|end| note.get(..=end)).unwrap_or_default();
    Checkpoint::parse(text).or_integrity("the checkpoint kept in this context")
}

/// A log never shrinks, and never becomes another one.
fn check_against(checkpoint: &Checkpoint, seen: &Seen) -> Result<(), Failure> {
    let Seen { checkpoint: seen, place } = seen;
    if seen.origin != checkpoint.origin {
        return Err(Failure::integrity(format!("this is another ledger: {} was seen {place}", seen.origin)));
    }
    if seen.size > checkpoint.size {
        return Err(Failure::integrity(format!(
            "the ledger has shrunk: {} were seen {place}, and the server shows {}",
            entries(seen.size),
            checkpoint.size
        )));
    }
    Ok(())
}

/// Reads and checks all entries, and compares the roots at both checkpoints.
async fn read_all(
    invocation: &Invocation,
    connection: &Connection,
    checkpoint: &Checkpoint,
    seen: &[Seen],
) -> Result<Verifier, Failure> {
    let mut verifier = Verifier::new(connection.estate());
    check_root(&verifier, checkpoint, seen)?;
    while verifier.size() < checkpoint.size {
        let (from, count) = (verifier.size() + 1, PAGE.min(checkpoint.size - verifier.size()));
        let page = page(connection, from, count).await?;
        if page.is_empty() {
            return Err(Failure::integrity(format!("entry {from} is missing")));
        }
        for entry in page.iter().take(usize::try_from(count).unwrap_or(usize::MAX)) {
            let mut documents = BTreeMap::new();
            for digest in Verifier::needs(entry) {
                documents.insert(digest, object::read(&connection.client, &digest, MAX_TARGETS_BYTES).await?);
            }
            verifier.take(entry, &documents).map_err(|wrong| Failure::integrity(wrong.to_string()))?;
            check_root(&verifier, checkpoint, seen)?;
            if verifier.size().is_multiple_of(SAY_EVERY) {
                invocation.aside(&format!("{} of {} entries", verifier.size(), checkpoint.size));
            }
        }
    }
    Ok(verifier)
}

fn check_root(verifier: &Verifier, checkpoint: &Checkpoint, seen: &[Seen]) -> Result<(), Failure> {
    let differs = |checkpoint: &Checkpoint| {
        let root = if checkpoint.size == 0 { empty_root() } else { checkpoint.root };
        checkpoint.size == verifier.size() && root != verifier.root()
    };
    if let Some(Seen { checkpoint: seen, place }) = seen.iter().find(|seen| differs(&seen.checkpoint)) {
        return Err(Failure::integrity(format!(
            "there are two histories: the first {} here are not those that were seen {place}",
            entries(seen.size)
        )));
    }
    match differs(checkpoint) {
        true => Err(Failure::integrity(format!(
            "the {} do not have the root that the checkpoint signs: {} instead of {}",
            entries(checkpoint.size),
            verifier.root(),
            checkpoint.root
        ))),
        false => Ok(()),
    }
}

/// The charter that the server shows must be the one that its own ledger put in force.
fn check_charter(connection: &Connection, verifier: &Verifier) -> Result<(), Failure> {
    let shown = connection.verified.targets.version();
    match verifier.charter() {
        Some((version, _)) if version > shown => Ok(()),
        Some((version, text)) if version == shown && text.as_bytes() == connection.documents.charter => Ok(()),
        _ => Err(Failure::integrity(format!(
            "the server shows charter {shown}, and its ledger put no such charter in force"
        ))),
    }
}

async fn text(connection: &Connection, path: &str) -> Result<String, Failure> {
    let mut response = connection.client.open(path, &[]).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(Failure::integrity("the checkpoint is longer than any note may be"));
        }
    }
    String::from_utf8(bytes).or_integrity("the checkpoint")
}

async fn page(connection: &Connection, from: u64, count: u64) -> Result<Vec<Vec<u8>>, Failure> {
    let (from, count) = (from.to_string(), count.to_string());
    let mut response = connection.client.open(routes::ENTRIES, &[("from", &from), ("count", &count)]).await?;
    let mut cutter = EntryCutter::default();
    let mut entries = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(broken)? {
        entries.extend(cutter.take(&piece)?);
    }
    match cutter.entry.is_empty() {
        true => Ok(entries),
        false => Err(Failure::failed("the server broke off within an entry: try again")),
    }
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("the connection broke: {error}"))
}

/// Cuts a page into entries, one a line.
#[derive(Default)]
struct EntryCutter {
    entry: Vec<u8>,
}

impl EntryCutter {
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let mut entries = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    self.entry.extend_from_slice(end);
                    entries.push(std::mem::take(&mut self.entry));
                }
                None => self.entry.extend_from_slice(piece),
            }
            if self.entry.len() > LONGEST_ENTRY_BYTES {
                return Err(Failure::integrity(format!("an entry is longer than {LONGEST_ENTRY_BYTES} bytes")));
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::{
        Digest,
        key::{SecretKey, Signer},
        note::sign_checkpoint,
    };

    fn checkpoint(size: u64, root: &[u8]) -> Checkpoint {
        Checkpoint { origin: "sortie-ledger/1".into(), size, root: Digest::of(root) }
    }

    #[test]
    fn a_checkpoint_counts_by_the_charter_s_key_only_and_reads_back_from_the_context() {
        let (server, thief) = (SecretKey::from_seed(&[9; 32]), SecretKey::from_seed(&[8; 32]));
        let note = sign_checkpoint(&checkpoint(7, b"a"), "sortie-ledger/1", &server).unwrap();
        assert_eq!(signed(&note, &[thief.public(), server.public()]).unwrap(), checkpoint(7, b"a"));
        assert_eq!(signed(&note, &[thief.public()]).unwrap_err().problem.exit, 5);
        assert_eq!(signed("", &[server.public()]).unwrap_err().problem.exit, 5);
        assert_eq!(read_unsigned(&note).unwrap(), checkpoint(7, b"a"));
    }

    #[test]
    fn a_ledger_that_shrank_or_is_another_is_refused() {
        let seen = |checkpoint| Seen { checkpoint, place: "here before".into() };
        assert!(check_against(&checkpoint(8, b"b"), &seen(checkpoint(7, b"a"))).is_ok());
        let shrunk = check_against(&checkpoint(6, b"c"), &seen(checkpoint(7, b"a"))).unwrap_err().problem;
        assert_eq!(
            (shrunk.exit, shrunk.message.as_str()),
            (5, "the ledger has shrunk: 7 entries were seen here before, and the server shows 6")
        );
        let other = Checkpoint { origin: "sortie-ledger/2".into(), ..checkpoint(9, b"d") };
        assert_eq!(check_against(&other, &seen(checkpoint(7, b"a"))).unwrap_err().problem.exit, 5);
        let empty = Verifier::new(Digest::of(b"root"));
        let of_nothing = [seen(checkpoint(0, b"a"))];
        assert!(check_root(&empty, &checkpoint(9, b"d"), &of_nothing).is_ok(), "the empty log has one root only");
    }

    #[test]
    fn entries_are_the_very_bytes_of_their_lines() {
        let mut cutter = EntryCutter::default();
        assert_eq!(cutter.take(b"{\"a\":1}\n{\"b\"").unwrap(), [b"{\"a\":1}".to_vec()]);
        assert_eq!(cutter.take(b":2}\n").unwrap(), [b"{\"b\":2}".to_vec()]);
        assert!(cutter.entry.is_empty());
    }

    #[test]
    fn the_answer_counts_what_was_checked() {
        let verifier = Verifier::new(Digest::of(b"root"));
        let words = in_words(&verifier, "the server", Some(3));
        assert!(
            words.starts_with("ledger whole: 0 entries, 0 signatures checked, 0 permits counted anew, root e3b0c4"),
            "{words}"
        );
        assert!(words.ends_with("3 more than were seen last, which it extends"), "{words}");
    }
}
