//! What is stored beside the entries, held against them: who asked for each under which id, and free texts. The Merkle root
//! does not cover these tables; what they say stands in the entries all the same.

use super::{
    LedgerError,
    store::{LedgerStore, RowRef},
};
use serde::Deserialize;
use trust::{Digest, dsse::Envelope};

/// Which request led to an entry, in few bytes: who asked, under which id, and what was signed.
pub(super) type Trace = [u8; 16];

/// What an entry says of its request.
#[derive(Deserialize)]
struct Asked {
    actor: String,
    request_id: String,
    #[serde(default)]
    envelope: Option<Envelope>,
}

/// What the entry in `row` says of the request that led to it.
pub(super) fn trace_in(row: RowRef<'_>) -> Result<Trace, LedgerError> {
    let unread = |error| LedgerError(format!("entry {} cannot be read: {error}", row.number));
    let Asked { actor, request_id, envelope } = serde_json::from_slice(row.bytes).map_err(unread)?;
    let payload = envelope.map(|envelope| Digest::of(&envelope.payload));
    Ok(trace(&actor, &request_id, payload.as_ref()))
}

fn trace(actor: &str, request_id: &str, payload: Option<&Digest>) -> Trace {
    // Ids are of visible characters, so that neither part can end in the other.
    let payload = payload.map(Digest::hex).unwrap_or_default();
    let whole = Digest::of(format!("{actor}\n{request_id}\n{payload}").as_bytes());
    let mut short = Trace::default();
    short.copy_from_slice(&whole.as_bytes()[..size_of::<Trace>()]);
    short
}

/// Compares the stored requests with what the entries from the first on say, one by one: a request that was changed, or
/// lost, could be carried out again; and every text with its digest.
pub(super) fn check(store: &dyn LedgerStore, traces: &[Trace]) -> Result<(), LedgerError> {
    let mut found = vec![false; traces.len()];
    let mut wrong = None;
    store.each_request(&mut |(actor, request_id), seen| {
        let at = usize::try_from(seen.number).ok().and_then(|number| number.checked_sub(1));
        let Some(at) = at else {
            wrong.get_or_insert_with(|| format!("the request {request_id:?} of {actor:?} belongs to no entry"));
            return;
        };
        // Whatever came while the entries were read stands behind them.
        if let Some(expected) = traces.get(at) {
            let fits = trace(actor, request_id, seen.payload.as_ref()) == *expected;
            if !fits || std::mem::replace(&mut found[at], true) {
                wrong.get_or_insert_with(|| format!("the stored request of entry {} is not the one in it", at + 1));
            }
        }
    })?;
    if let Some(wrong) = wrong {
        return Err(LedgerError(wrong));
    }
    if let Some(at) = found.iter().position(|found| !found) {
        return Err(LedgerError(format!("the stored request of entry {} is missing", at + 1)));
    }
    let mut changed = None;
    store.each_text(&mut |digest, text| {
        if text.digest() != *digest {
            changed.get_or_insert(*digest);
        }
    })?;
    match changed {
        Some(digest) => Err(LedgerError(format!("the text {digest} was changed: it has another digest"))),
        None => Ok(()),
    }
}
