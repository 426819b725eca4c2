//! Objects that nothing names: brought for a push that nobody finished, or for nothing.
//!
//! Objects are brought before the statement that names them, so that one is left alone for a day. What is named is found by
//! every mention there is: in entries, in what people signed, and in the documents that these name. Rather one object too many
//! stays than one that somebody needs goes.

use super::{SweepError, builds, files, parts};
use crate::{http::Shared, ledger::LedgerError};
use api::read::Unnamed;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use depot::{DiskStore, StoreError};
use domain::event::Event;
use std::{collections::HashSet, time::Duration};
use trust::{Digest, manifest::MAX_MANIFEST_BYTES};

/// How old an object is that can go.
const YOUNG: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest text that could be an encoded mention, in characters.
const ENCODED: usize = 88;

/// What nothing names as of an entry, and nobody has brought or asked for within a day; and which entry that is.
pub(crate) fn find(serving: &Shared) -> Result<(Vec<(Digest, u64)>, u64), SweepError> {
    let depot = &serving.depot;
    let old = |digest: Digest| depot.age(&digest).filter(|(age, _)| *age > YOUNG).map(|(_, length)| (digest, length));
    let mut old: Vec<(Digest, u64)> = depot.objects()?.into_iter().filter_map(old).collect();
    let state = serving.ledger.state();
    if old.is_empty() {
        return Ok((old, state.head.entry));
    }
    let (mut named, last) = named(serving, 1, state.head.entry)?;
    for manifest in builds(&state).map(|(build, _)| build).chain(parts(&state)) {
        named.extend(files(depot, &manifest)?.into_iter().map(|(file, _)| file));
        named.insert(manifest);
    }
    old.retain(|(digest, _)| !named.contains(digest));
    Ok((old, last))
}

/// Removes it; says how many objects, and how many bytes.
pub(crate) async fn sweep(serving: &Shared) -> Result<Unnamed, SweepError> {
    let reader = serving.clone();
    let (candidates, seen) = tokio::task::spawn_blocking(move || find(&reader)).await??;
    // No command is decided in the meantime, so that none relies on what goes.
    let _alone = serving.pruning.write().await;
    let sweeper = serving.clone();
    tokio::task::spawn_blocking(move || {
        // What came while nobody waited needs what it needs.
        let (late, _) = named(&sweeper, seen + 1, 0)?;
        let mut gone = Unnamed::default();
        for (digest, length) in candidates {
            // Somebody may have brought it again.
            let is_old = sweeper.depot.age(&digest).is_some_and(|(age, _)| age > YOUNG);
            if is_old && !late.contains(&digest) && sweeper.depot.remove(&digest)? {
                gone = Unnamed { objects: gone.objects + 1, bytes: gone.bytes + length };
            }
        }
        Ok(gone)
    })
    .await?
}

/// What the entries from `from` on mention, and the documents that these name; and the last entry that was looked at.
///
/// A manifest that came with an entry up to `asked` mentions nothing: whoever calls asks the builds and parts that count as of
/// that entry. Else what a discarded draft brought would stay for ever, since the entry that brought it does.
fn named(serving: &Shared, from: u64, asked: u64) -> Result<(HashSet<Digest>, u64), SweepError> {
    let (mut named, mut silent, mut late) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut unwritten = None;
    let last = serving.ledger.each_from(from, |entry| {
        named.extend(entry.events.iter().flat_map(|event| event.documents()));
        let manifests = entry.events.iter().filter_map(manifest_of);
        if entry.number <= asked {
            silent.extend(manifests)
        } else {
            late.extend(manifests)
        }
        match serde_json::to_vec(&entry.events) {
            Ok(events) => mention(&events, &mut named),
            Err(error) => unwritten = Some(format!("entry {}: {error}", entry.number)),
        }
        if let Some(envelope) = &entry.envelope {
            mention(&envelope.payload, &mut named);
        }
    })?;
    if let Some(why) = unwritten {
        return Err(LedgerError(why).into());
    }
    for document in named.clone() {
        if late.contains(&document) || !silent.contains(&document) {
            mention(&text(&serving.depot, &document)?, &mut named);
        }
    }
    Ok((named, last))
}

/// The manifest that an event brings.
pub(super) fn manifest_of(event: &Event) -> Option<Digest> {
    match event {
        Event::BuildPushed { build, .. }
        | Event::ReleaseImported { build, .. }
        | Event::PartAdded { manifest: build, .. } => Some(*build),
        _ => None,
    }
}

/// The bytes of what may be a document that mentions others; nothing of other objects. What cannot be read may mention what
/// would go, so that nothing does.
fn text(depot: &DiskStore, digest: &Digest) -> Result<Vec<u8>, SweepError> {
    match depot.read_bytes(digest, MAX_MANIFEST_BYTES as u64) {
        Ok(bytes) if bytes.first() == Some(&b'{') => Ok(bytes),
        // Much is mentioned that is no object of the depot, or is too long for a document.
        Ok(_) | Err(StoreError::Missing(_) | StoreError::TooLarge { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Adds every digest that stands in a text, and in what is encoded in it.
fn mention(text: &[u8], named: &mut HashSet<Digest>) {
    for word in text.split(|byte| !byte.is_ascii_alphanumeric() && !b"+/=".contains(byte)) {
        if word.len() == 64 {
            named.extend(std::str::from_utf8(word).ok().and_then(|hex| Digest::from_hex(hex).ok()));
        } else if word.len() >= ENCODED
            && let Ok(decoded) = STANDARD.decode(word)
        {
            mention(&decoded, named);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_no_document_that_mentions_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let depot = DiskStore::open(folder.path()).unwrap();
        assert!(text(&depot, &Digest::of(b"nowhere")).unwrap().is_empty(), "what is not here mentions nothing");
        let document = Digest::of(b"{}");
        let name = document.hex();
        let object = depot.folder().join(&name[..2]).join(&name[2..]);
        std::fs::create_dir_all(object.parent().unwrap()).unwrap();
        std::fs::write(&object, b"{}").unwrap();
        assert_eq!(text(&depot, &document).unwrap(), b"{}");
        std::fs::write(&object, b"{ }").unwrap();
        assert!(matches!(text(&depot, &document), Err(SweepError::Depot(StoreError::Corrupt { .. }))));
    }

    #[test]
    fn what_is_mentioned_is_found_in_plain_words_and_within_what_is_encoded() {
        let digests: Vec<Digest> = (0..3).map(|at: u8| Digest::of(&[at])).collect();
        let inner = format!(r#"{{"document":"{}","sha256":"{}"}}"#, digests[0], digests[1].hex());
        let text = format!(r#"{{"payload":"{}","build":"{}"}}"#, STANDARD.encode(inner), digests[2]);
        let mut named = HashSet::new();
        mention(text.as_bytes(), &mut named);
        assert_eq!(named, digests.into_iter().collect());
    }
}
