//! What a channel may have (R6).

use super::permits;
use api::read::{Feed, FeedVersion};
use domain::{refusal::Refusal, state::State};
use jiff::Timestamp;
use trust::{AppName, AudienceName};

/// The versions of `app` with a live permit to `channel`, newest first. An application unknown to the channel has an
/// empty feed: an anonymous reader learns nothing of what exists elsewhere.
pub(crate) fn feed(state: &State, channel: &AudienceName, app: &AppName, now: Timestamp) -> Result<Feed, Refusal> {
    let requested = state.in_audience(app, channel).map(|record| record.requests.keys().collect::<Vec<_>>());
    let mut requested = requested.unwrap_or_default();
    requested.sort();
    let versions = requested.into_iter().rev().filter_map(|version| {
        let (_, request) = permits::live(state, app, version, channel, now)?;
        let released = permits::granted_at(request)?;
        Some(FeedVersion { version: version.clone(), manifest: request.build, released })
    });
    Ok(Feed { channel: channel.clone(), app: app.clone(), versions: versions.collect() })
}
