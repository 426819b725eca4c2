use super::*;
use crate::views::fixture::{World, app, audience, target, verified};
use trust::{
    AudienceName,
    statement::{Commit, Phase},
};

fn told(world: &World, actor: &str, roles: &[&str], event: Event) -> String {
    told_at(world, 1, (actor, roles), event)
}

/// As the entry with this number tells it.
fn told_at(world: &World, number: u64, (actor, roles): (&str, &[&str]), event: Event) -> String {
    let entry = Entry {
        number,
        time: world.now(),
        actor: actor.into(),
        roles: roles.iter().map(ToString::to_string).collect(),
        on_behalf_of: None,
        request_id: "1".into(),
        events: vec![event],
        envelope: None,
    };
    lines(&world.state, &entry, &|_| Some("it \u{1b}[31mleaks".into())).join("\n")
}

#[test]
fn approvals_name_the_role_that_was_asked_for_and_no_other() {
    let mut world = World::new();
    let request = world.requested("web", "1.4.0", "prod", "coder");
    let key = crate::views::fixture::key(2).id();
    let event = Event::RequestApproved { request, approver: "oncall".parse().unwrap(), key };
    assert_eq!(told(&world, "oncall", &["developer", "ops"], event), "oncall approved web@1.4.0 → prod as ops");
    let (version, audience) = ("1.4.0".parse().unwrap(), audience("prod"));
    let event = Event::PermitGranted { request, app: app("web"), version, audience };
    assert_eq!(told(&world, "oncall", &[], event), "web@1.4.0 released to prod: the last required approval came");
}

#[test]
fn a_first_deployment_is_told_from_an_upgrade_r57() {
    let mut world = World::new();
    let (old, new) = (world.numbered("web", "1.3.2"), world.numbered("web", "1.4.0"));
    let started = world.now();
    let phases = vec![
        PhaseTiming { phase: Phase::Fetch, started, milliseconds: 400 },
        PhaseTiming { phase: Phase::Verify, started: started + SignedDuration::from_millis(400), milliseconds: 500 },
    ];
    let mut finished = |build, change, outcome, running| {
        let deployment = world.ordered("prod-1", "web", build, OrderAct::Deploy);
        let (target, phases, endpoints) = (target("prod-1"), phases.clone(), Vec::new());
        let (config_serial, given_up) = (0, false);
        let event = Event::TargetFinished {
            deployment,
            target,
            outcome,
            change,
            running,
            config_serial,
            phases,
            endpoints,
            given_up,
            stands: false,
            standby: false,
            doubt: None,
            way: Default::default(),
        };
        told(&world, "target:prod-1", &[], event)
    };
    let verified = Outcome::Verified;
    assert_eq!(
        finished(old, Some(Change::Deployed), verified.clone(), Some(old)),
        "prod-1: web deployed, 1.3.2 in 0.9 s"
    );
    assert_eq!(
        finished(new, Some(Change::Upgraded), verified.clone(), Some(new)),
        "prod-1: web upgraded to 1.4.0 in 0.9 s"
    );
    assert_eq!(finished(new, None, verified, Some(old)), "prod-1: web is back on 1.3.2 in 0.9 s");
    let undone = Outcome::Undone { phase: Phase::Verify, reason: "/healthz 503 × 5".into() };
    assert_eq!(
        finished(new, None, undone, Some(old)),
        "prod-1: deployment of web@1.4.0 failed at verify: /healthz 503 × 5; undone, 1.3.2 runs there"
    );
}

#[test]
fn going_down_is_no_upgrade_r45_r57() {
    let mut world = World::new();
    let (old, new) = (world.numbered("web", "1.3.2"), world.numbered("web", "1.4.0"));
    world.runs("prod-1", "web", new);
    let deployment = world.ordered("prod-1", "web", old, OrderAct::Deploy);
    let event = verified(deployment, "prod-1", Some(Change::Upgraded), Some(old));
    assert!(told(&world, "target:prod-1", &[], event).starts_with("prod-1: web downgraded to 1.3.2"));
}

#[test]
fn nothing_in_a_line_can_drive_a_terminal() {
    let mut world = World::new();
    let build = world.numbered("web", "1.4.0");
    let (version, from): (Version, AudienceName) = ("1.4.0".parse().unwrap(), audience("prod"));
    let event = Event::PermissionWithdrawn {
        app: app("web"),
        version,
        build,
        audience: from,
        through_serial: 1,
        was_granted: true,
        reason: Some(build),
        payload: None,
    };
    assert_eq!(told(&world, "tester", &[], event), "tester withdrew web@1.4.0 from prod: it \u{FFFD}[31mleaks");
}

#[test]
fn pushes_say_what_came_and_from_where() {
    let world = World::new();
    let build = Digest::of(b"x");
    let facts = domain::event::BuildFacts {
        driver: trust::manifest::Driver::Files,
        files: 1,
        size_bytes: 4_123_456,
        processes: Vec::new(),
        on: BTreeMap::new(),
        config: BTreeMap::new(),
        needs: Default::default(),
        migrate: None,
        takes_seconds: 0,
        can_stand_by: false,
        package: std::collections::BTreeMap::new(),
    };
    let commit =
        Commit { id: "9b1d22e".to_owned() + &"0".repeat(33), tag: Some("web/v1.4.0".into()), title: "t".into() };
    let event = Event::BuildPushed {
        app: app("web"),
        build,
        pusher: "coder".parse().unwrap(),
        commit: Some(commit),
        recipe: None,
        facts,
    };
    let expected = format!("coder pushed web#{}: 1 file, 4.1 MB, from commit 9b1d22e (tag web/v1.4.0)", build.short());
    assert_eq!(told(&world, "coder", &[], event), expected);
}

#[test]
fn lengths_of_time_are_short() {
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    let before = |seconds| now - SignedDuration::from_secs(seconds);
    let told = [10, 60, 1_700, 7_200, 86_400, 9 * 86_400].map(|seconds| ago(before(seconds), now));
    assert_eq!(told, ["just now", "1 min", "28 min", "2 h", "24 h", "9 days"]);
}

/// A removal does not read as a deployment, neither in the history nor where a hook tells it.
#[test]
fn a_deployment_is_called_by_its_act_r5() {
    let mut world = World::new();
    let build = world.released("web", "1.4.0", "prod");
    let mut began = |act| {
        let deployment = world.ordered("prod-1", "web", build, act);
        let targets = vec![target("prod-1")];
        told(&world, "clock", &[], Event::WaveStarted { deployment, wave: 1, targets, ring: None, migrate: None })
    };
    assert_eq!(began(OrderAct::Deploy), "deployment 1 (web@1.4.0 → prod): wave 1 began on prod-1");
    assert_eq!(began(OrderAct::Undeploy), "deployment 2 (removal of web@1.4.0 from prod): wave 1 began on prod-1");
    assert_eq!(began(OrderAct::Rollback), "deployment 3 (rollback to web@1.4.0 in prod): wave 1 began on prod-1");
    assert_eq!(began(OrderAct::Restart), "deployment 4 (restart of web@1.4.0 in prod): wave 1 began on prod-1");
}

/// Who was left out, or left, is not among those that verified it.
#[test]
fn what_succeeded_says_how_many_verified_it_r48() {
    let mut world = World::new();
    world.enrolled("prod-2", "prod", 30);
    let build = world.released("web", "1.4.0", "prod");
    let deployment = world.state.last_deployment + 1;
    world.runs("prod-1", "web", build);
    let number = world.state.head.entry;
    world.happen(Event::TargetAdded { deployment, target: target("prod-2") });
    let ending = Ending::Succeeded;
    let ended = Event::DeploymentEnded { deployment, ending, reason: None, superseded_by: None, aborted: None };
    let said = |world: &World| told_at(world, number, ("prod-1", &[]), ended.clone());
    assert_eq!(said(&world), "deployment 1 succeeded: web@1.4.0 is verified in prod, 1 target");
    // Who gets it afterwards was none of them when this was said.
    world.happen(verified(deployment, "prod-2", Some(Change::Deployed), Some(build)));
    assert_eq!(said(&world), "deployment 1 succeeded: web@1.4.0 is verified in prod, 1 target");
    // Who verified it counts no more once it was left out, or has left.
    let mut left_out = World { state: world.state.clone() };
    let (by, reason) = (Some("oncall".parse().unwrap()), None);
    left_out.happen(Event::TargetExcluded { deployment, target: target("prod-1"), by, reason, away: false });
    assert_eq!(said(&left_out), "deployment 1 succeeded: web@1.4.0 is verified in prod, 0 targets");
    let mut open = World::new();
    let build = open.released("web", "1.4.0", "prod");
    let deployment = open.ordered("prod-1", "web", build, OrderAct::Deploy);
    open.happen(verified(deployment, "prod-1", Some(Change::Deployed), Some(build)));
    let number = open.state.head.entry;
    let said = |world: &World| told_at(world, number, ("prod-1", &[]), ended.clone());
    assert!(said(&open).ends_with("1 target"));
    // What vanishes later was there when this was said.
    let mut later = World { state: open.state.clone() };
    later.happen(Event::TargetRetired { target: target("prod-1"), why: Some(domain::event::Departure::Vanished) });
    assert!(said(&later).ends_with("1 target"), "{}", said(&later));
    // That it goes back afterwards and cannot changes nothing of what was so.
    let mut back = World { state: open.state.clone() };
    back.happen(Event::DeploymentEnded { deployment, ending, reason: None, superseded_by: None, aborted: None });
    let (reason, targets, absent) = ("unwell".to_owned(), vec![target("prod-1")], Vec::new());
    back.happen(Event::UndoStarted { deployment, reason, targets, absent, aborted: None });
    let mut stuck = verified(deployment, "prod-1", None, Some(build));
    if let Event::TargetFinished { outcome, .. } = &mut stuck {
        *outcome = Outcome::Failed { phase: Phase::Verify, reason: "503".into() };
    }
    back.happen(stuck);
    assert!(said(&back).ends_with("1 target"), "{}", said(&back));
    open.happen(Event::TargetRetired { target: target("prod-1"), why: None });
    assert!(said(&open).ends_with("0 targets"), "{}", said(&open));
}
