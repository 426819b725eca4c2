//! A channel gives a customer what it holds a live permit for, and only where the charter lets that customer read it
//! (R18, R28). The estate's own people and robots read every channel; a public one is read by anyone.

use super::{Candidate, names, permits, vendors};
use crate::{
    refusal::{Expired, Refusal},
    state::{Policy, State},
};
use jiff::Timestamp;
use trust::{AppName, AudienceName, Digest, PersonName, Version, statement::OrderAct};

/// Fails unless this person, robot or customer may read the channel. Whoever may not does not learn whether it exists.
pub fn may_read(policy: &Policy, channel: &AudienceName, reader: &PersonName) -> Result<(), Refusal> {
    let charter = &policy.charter;
    let is_ours = !policy.directory.keys_of(reader).is_empty();
    let may = match is_ours {
        true => charter.channels.contains_key(channel),
        false => charter.customer_may_read(channel, &policy.customers.roles(reader)),
    };
    if may { Ok(()) } else { Err(Refusal::ChannelClosed { channel: channel.clone() }) }
}

/// The build of a version that the channel may give now. What was never asked for there is told from nothing else: a
/// customer learns of no other version.
pub fn released(
    state: &State,
    policy: &Policy,
    app: &AppName,
    version: &Version,
    channel: &AudienceName,
    now: Timestamp,
) -> Result<Digest, Refusal> {
    let missing = || {
        let needs = policy.charter.channels.get(channel).map(|channel| channel.approve.clone());
        let (app, version, audience) = (app.clone(), version.clone(), channel.clone());
        Refusal::PermitMissing { app, version, audience, needs }
    };
    let here = state.in_audience(app, channel).and_then(|record| record.requests.get(version));
    if here.is_none() || !policy.charter.channels.contains_key(channel) {
        return Err(missing());
    }
    let (build, record) = names::version(state, app, version)?;
    let candidate = Candidate { app, build, record, audience: channel, act: OrderAct::Deploy, package: None };
    let holds = vendors::released(state, policy, &candidate, now)
        .and_then(|_| permits::in_force(state, policy, &candidate, version, now).map(|_| build));
    holds.map_err(|refusal| match refusal {
        Refusal::PermitWithdrawn { .. } | Refusal::BelowFloor { .. } => refusal,
        // Whoever only downloads cannot ask for more of it.
        Refusal::PermitExpired(expired) => Refusal::PermitExpired(Box::new(Expired { app: None, ..*expired })),
        // Who is still to agree, and that anybody asked, is for the inside.
        _ => missing(),
    })
}
