//! The emergency releases that nobody has reviewed: an alarm on every face until somebody who had no part in them has.

use super::words::Texts;
use api::read::Emergency;
use domain::state::{Request, Standing, State};
use trust::{PersonName, TargetName, way::WayRule};

/// All of them, the oldest first.
pub(crate) fn unreviewed(state: &State, texts: Texts<'_>) -> Vec<Emergency> {
    let mut requests: Vec<&Request> = state.unreviewed.iter().filter_map(|digest| state.requests.get(digest)).collect();
    requests.sort_by_key(|request| request.stamp.entry);
    requests.into_iter().map(|request| emergency(state, request, texts)).collect()
}

fn emergency(state: &State, request: &Request, texts: Texts<'_>) -> Emergency {
    let approvers: std::collections::BTreeSet<&PersonName> =
        request.approvals.iter().map(|approved| &approved.approver).collect();
    Emergency {
        app: request.app.clone(),
        version: request.version.clone(),
        build: request.build,
        audience: request.audience.clone(),
        serial: request.serial,
        way: request.way,
        waives: rule(state, request).into_iter().flat_map(|rule| &rule.waives).map(ToString::to_string).collect(),
        requester: request.requester.clone(),
        approvers: approvers.into_iter().cloned().collect(),
        reason: request.reason.as_ref().and_then(texts),
        since: super::permits::granted_at(request).unwrap_or(request.stamp.time),
        not_after: request.not_after,
        withdrawn: matches!(request.standing, Standing::Withdrawn(_)),
        runs_on: running(state, request),
    }
}

/// What the charter in force says of its way.
fn rule<'a>(state: &'a State, request: &Request) -> Option<&'a WayRule> {
    state.policy.as_ref()?.charter.audience(&request.audience)?.ways.get(&request.way)
}

/// The targets that run the build, unless an order stopped it there.
fn running(state: &State, request: &Request) -> Vec<TargetName> {
    let runs = |name: &TargetName| {
        state.running(&request.app, name).is_some_and(|running| running.build == request.build && !running.stopped)
    };
    state.targets_in(&request.audience).map(|(name, _)| name).filter(|name| runs(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use crate::views::{escapes, fixture::World, permits, status};
    use domain::event::Event;
    use trust::way::Way;

    fn reviewed(world: &World) -> Event {
        let request = *world.state.unreviewed.iter().next().unwrap();
        Event::EmergencyReviewed {
            request,
            app: "web".parse().unwrap(),
            version: "1.4.1".parse().unwrap(),
            audience: "prod".parse().unwrap(),
            way: Way::BreakGlass,
            reviewer: "second".parse().unwrap(),
            finding: None,
        }
    }

    #[test]
    fn r37_an_emergency_is_an_alarm_on_every_face_until_it_is_reviewed() {
        let mut world = World::new();
        let build = world.released_by(Way::BreakGlass, "web", "1.4.1", "prod");
        world.runs("prod-1", "web", build);
        let shown = status::status(&world.state, &Default::default(), |_| None, &|_| None, world.now()).unwrap();
        assert_eq!(shown.emergencies.len(), 1);
        assert_eq!(shown.emergencies[0].headline(), "web@1.4.1 → prod by BREAK-GLASS");
        assert_eq!(shown.emergencies[0].runs_on, ["prod-1".parse().unwrap()]);
        let escapes_now = |world: &World| escapes::escapes(&world.state, |_| None).escapes;
        let found = escapes_now(&world);
        assert!(
            found.len() == 1 && found[0].what.contains("BREAK-GLASS") && found[0].what.contains("reviewed"),
            "{found:?}"
        );
        // Withdrawn or not: what happened stays to be looked at.
        assert!(permits::may_run(
            &world.state,
            &"web".parse().unwrap(),
            &build,
            &"prod".parse().unwrap(),
            &"prod-1".parse().unwrap()
        ));
        let event = reviewed(&world);
        world.happen(event);
        assert_eq!(escapes_now(&world), []);
        let shown = status::status(&world.state, &Default::default(), |_| None, &|_| None, world.now()).unwrap();
        assert_eq!(shown.emergencies, []);
    }
}
