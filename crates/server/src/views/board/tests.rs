use super::*;
use crate::views::{escapes::escapes, fixture::World, status};
use domain::{entry::Entry, event::Event};
use trust::TargetName;

/// The board of a state, with every target connected.
fn drawn(world: &World, history: &[HistoryEntry]) -> String {
    let (state, now) = (&world.state, world.now());
    let status = status::status(state, &status::Filter::default(), |_: &TargetName| Some(now), &|_| None, now).unwrap();
    let escapes = escapes(state, |_: &TargetName| None);
    page(&Board { estate: Some("acme"), status: &status, escapes: &escapes, history }).into_string()
}

/// The words of one cell, without its drawings.
fn cell_of(html: &str, id: &str) -> String {
    let start = html.find(&format!("<td id=\"{id}\"")).unwrap_or_else(|| panic!("no cell {id} in {html}"));
    let cell = &html[start..start + html[start..].find("</td>").unwrap()];
    let mut words = String::new();
    let mut in_tag = false;
    for c in cell.chars() {
        match c {
            '<' => in_tag = true,
            '>' => in_tag = false,
            c if !in_tag => words.push(c),
            _ => {}
        }
    }
    words
}

#[test]
fn a_cell_says_what_runs_on_how_many_what_may_what_waits_and_who_sees_it() {
    let mut world = World::new();
    world.enrolled("prod-2", "prod", 40);
    let old = world.released("web", "1.3.2", "prod");
    world.runs("prod-1", "web", old);
    world.expose("web", "1.3.2", "prod", 10);
    world.released("web", "1.4.0", "prod");
    world.requested("web", "1.5.0", "prod", "coder");
    world.released("web", "1.4.0", "beta");
    let html = drawn(&world, &[]);
    let prod = cell_of(&html, "web--prod");
    for said in ["1.3.2 1/2 · ", "1.4.0 may be deployed", "1.5.0 waits for qa and ops", "10 % of end users see 1.3.2"]
    {
        assert!(prod.contains(said), "{said:?} is not in {prod:?}");
    }
    let build = world.released("web", "1.3.3", "prod");
    let html = drawn(&world, &[]);
    assert!(cell_of(&html, "web--prod").contains("1.3.3 may be deployed · superseded by 1.4.0"), "{html}");
    let (app, environment) = ("web".parse().unwrap(), "prod".parse().unwrap());
    world.happen(Event::HoldPlaced { app, environment, build, deployment: None });
    let html = drawn(&world, &[]);
    let prod = cell_of(&html, "web--prod");
    assert!(prod.contains("1.3.3 is held out") && !prod.contains("1.3.3 may be deployed"), "{prod}");
    assert!(cell_of(&html, "web--dev").contains("nothing runs"));
    assert!(cell_of(&html, "web--beta").contains("1.4.0 available"), "{}", cell_of(&html, "web--beta"));
}

#[test]
fn what_runs_without_permission_is_said_in_words_in_the_cell_and_above_it_r37() {
    let mut world = World::new();
    let build = world.released("web", "1.4.0", "prod");
    world.runs("prod-1", "web", build);
    assert!(drawn(&world, &[]).contains("no escapes"));
    world.withdraw("web", "1.4.0", "prod");
    let html = drawn(&world, &[]);
    assert!(cell_of(&html, "web--prod").contains("without permission"));
    assert!(html.contains("web@1.4.0 runs, and was withdrawn from prod at"));
    assert!(!html.contains("no escapes"));
}

#[test]
fn the_page_has_nothing_inline_and_nothing_from_elsewhere() {
    let mut world = World::new();
    world.numbered("web", "1.4.0");
    let hostile = "<script>alert(1)</script>\u{1b}[2J";
    let entry = Entry {
        number: 7,
        time: world.now(),
        actor: "coder".into(),
        roles: Vec::new(),
        on_behalf_of: None,
        request_id: "1".into(),
        events: Vec::new(),
        envelope: None,
    };
    let html = drawn(&world, &[HistoryEntry { entry, lines: vec![hostile.into()] }]);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;\u{FFFD}[2J"), "{html}");
    for forbidden in ["<script>", "<style", " style=", " onclick", "http://", "https://"] {
        assert!(!html.contains(forbidden), "{forbidden:?} stands in the page");
    }
}

#[test]
fn a_board_without_estate_or_applications_says_what_to_type() {
    let nothing = World { state: Default::default() };
    let html = drawn(&nothing, &[]);
    assert!(html.contains("This server has no estate yet") && html.contains("sortie charter apply"), "{html}");
    let html = drawn(&World::new(), &[]);
    assert!(html.contains("Nothing was pushed yet") && html.contains("sortie push"), "{html}");
}
