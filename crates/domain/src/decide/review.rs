//! Reviewing an emergency: somebody who had no part in it says what they found.

use super::Asked;
use crate::{command::Signed, event::Event, refusal::Refusal, rules::ways, state::Draft};
use trust::statement::Review;

/// Takes the review of an emergency permit, and ends the alarm about it.
pub(super) fn review(draft: &mut Draft, asked: &Asked<'_>, signed: Signed<Review>) -> Result<(), Refusal> {
    let request = draft.state.requests.get(&signed.subject).ok_or(Refusal::UnknownRequest)?;
    let Review { app, version, audience, finding } = signed.act;
    if app != request.app || version != request.version || audience != request.audience {
        return Err(Refusal::UnknownRequest);
    }
    if let Some((_, stamp)) = &request.reviewed {
        let what = format!("{app}@{version} → {audience} by {} is reviewed", request.way);
        return Err(Refusal::AlreadyDone { what, since: Some(stamp.time) });
    }
    if !draft.state.unreviewed.contains(&signed.subject) {
        return Err(Refusal::NothingToReview { app, version, audience });
    }
    let reviewer = ways::reviewer(&asked.policy, &asked.context.actor, request)?.clone();
    let way = request.way;
    draft.record(Event::EmergencyReviewed { request: signed.subject, app, version, audience, way, reviewer, finding });
    Ok(())
}
