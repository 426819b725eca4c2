//! Objects that nothing names: brought for a push that nobody finished, or for nothing.
//!
//! Objects are brought before the statement that names them, so that one is left alone for a day. What is named is found by
//! every mention there is: in entries, in what people signed, and in the documents that these name. Rather one object too many
//! stays than one that somebody needs goes.

use super::{SweepError, builds, files, parts};
use crate::http::Shared;
use api::read::Unnamed;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use depot::DiskStore;
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
    let (mut named, last) = named(serving, 1)?;
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
        let (late, _) = named(&sweeper, seen + 1)?;
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
fn named(serving: &Shared, from: u64) -> Result<(HashSet<Digest>, u64), SweepError> {
    let mut named = HashSet::new();
    let last = serving.ledger.each_from(from, |entry| {
        named.extend(entry.events.iter().flat_map(|event| event.documents()));
        // An entry that could be read can be written.
        mention(&serde_json::to_vec(&entry.events).unwrap_or_default(), &mut named);
        if let Some(envelope) = &entry.envelope {
            mention(&envelope.payload, &mut named);
        }
    })?;
    for document in named.clone() {
        mention(&text(&serving.depot, &document), &mut named);
    }
    Ok((named, last))
}

/// The bytes of what may be a document that mentions others; nothing of other objects.
fn text(depot: &DiskStore, digest: &Digest) -> Vec<u8> {
    match depot.age(digest) {
        Some((_, length)) if length <= MAX_MANIFEST_BYTES as u64 => {
            let bytes = depot.read_bytes(digest, MAX_MANIFEST_BYTES as u64).unwrap_or_default();
            if bytes.first() == Some(&b'{') { bytes } else { Vec::new() }
        }
        _ => Vec::new(),
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
    fn what_is_mentioned_is_found_in_plain_words_and_within_what_is_encoded() {
        let digests: Vec<Digest> = (0..3).map(|at: u8| Digest::of(&[at])).collect();
        let inner = format!(r#"{{"document":"{}","sha256":"{}"}}"#, digests[0], digests[1].hex());
        let text = format!(r#"{{"payload":"{}","build":"{}"}}"#, STANDARD.encode(inner), digests[2]);
        let mut named = HashSet::new();
        mention(text.as_bytes(), &mut named);
        assert_eq!(named, digests.into_iter().collect());
    }
}
