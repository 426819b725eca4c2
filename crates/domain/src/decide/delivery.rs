//! What the server hands out of a channel is written down before the last of it leaves (R28).

use super::Asked;
use crate::{command::Actor, event::Event, refusal::Refusal, rules::entitlement, state::Draft};
use trust::{AppName, AudienceName, PersonName, Version};

/// Records that a version is handed to somebody, if they may have it now. Who has it already is not written down again.
pub(super) fn record(
    draft: &mut Draft,
    asked: &Asked<'_>,
    app: AppName,
    version: Version,
    channel: AudienceName,
    to: PersonName,
) -> Result<(), Refusal> {
    if asked.context.actor != Actor::Server {
        return Err(Refusal::Invalid { why: "the server alone says what it handed over".into() });
    }
    entitlement::may_read(&asked.policy, &channel, &to)?;
    let build = entitlement::released(&draft.state, &asked.policy, &app, &version, &channel, asked.context.now)?;
    let delivered = draft.state.in_audience(&app, &channel).and_then(|record| record.delivered.get(&version));
    if let Some(first) = delivered.and_then(|delivered| delivered.get(&to)) {
        let what = format!("{to} has {app}@{version} from {channel}");
        return Err(Refusal::AlreadyDone { what, since: Some(first.time) });
    }
    draft.record(Event::BuildDelivered { app, version, build, channel, to });
    Ok(())
}
