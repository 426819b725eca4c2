//! The end of an application.

use super::Asked;
use crate::{
    event::Event,
    refusal::Refusal,
    rules::{names, retired, rights},
    state::Draft,
};
use trust::AppName;

/// Retires an application for good.
pub(super) fn retire(draft: &mut Draft, asked: &Asked<'_>, app: &AppName) -> Result<(), Refusal> {
    rights::require_owner(&asked.context.actor, app)?;
    let record = names::app(&draft.state, app)?;
    if let Some(stamp) = record.retired {
        let what = format!("{app} is retired");
        return Err(Refusal::AlreadyDone { what, since: Some(stamp.time) });
    }
    retired::may_retire(&draft.state, app)?;
    draft.record(Event::AppRetired { app: app.clone() });
    Ok(())
}
