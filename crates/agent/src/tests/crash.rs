//! Killed at every point there is, the agent ends with the old or the new, and says which.

use super::world::*;
use domain::plan::Assignment;
use std::panic::{AssertUnwindSafe, catch_unwind};
use trust::{
    Digest,
    authority::Dossier,
    statement::{OrderAct, Outcome},
};

/// Something that is done to a target, and how that must end.
struct Story {
    name: &'static str,
    /// Whether build `one` runs at the beginning.
    installed: bool,
    sick: bool,
    act: OrderAct,
    content: &'static str,
    /// What runs before and after.
    old: Option<&'static str>,
    new: Option<&'static str>,
}

const STORIES: &[Story] = &[
    Story {
        name: "first installation",
        installed: false,
        sick: false,
        act: OrderAct::Deploy,
        content: "two",
        old: None,
        new: Some("two"),
    },
    Story {
        name: "upgrade",
        installed: true,
        sick: false,
        act: OrderAct::Deploy,
        content: "two",
        old: Some("one"),
        new: Some("two"),
    },
    Story {
        name: "sick upgrade",
        installed: true,
        sick: true,
        act: OrderAct::Deploy,
        content: "two",
        old: Some("one"),
        new: Some("one"),
    },
    Story {
        name: "sick first installation",
        installed: false,
        sick: true,
        act: OrderAct::Deploy,
        content: "two",
        old: None,
        new: None,
    },
    Story {
        name: "stop",
        installed: true,
        sick: false,
        act: OrderAct::Stop,
        content: "one",
        old: Some("one"),
        new: None,
    },
    Story {
        name: "restart",
        installed: true,
        sick: false,
        act: OrderAct::Restart,
        content: "one",
        old: Some("one"),
        new: Some("one"),
    },
    Story {
        name: "removal",
        installed: true,
        sick: false,
        act: OrderAct::Undeploy,
        content: "one",
        old: Some("one"),
        new: None,
    },
];

impl Story {
    fn begin(&self) -> World {
        let world = World::new();
        if self.installed {
            world.deploy(&mut world.agent(), 1, "one", "1.0.0");
        }
        if self.sick {
            world.machine.disk.borrow_mut().sick.insert(build(self.content));
        }
        let dossier = match self.act {
            OrderAct::Deploy => released(self.content, "2.0.0", self.act),
            _ => Dossier { order: Some(order(self.content, self.act)), ..Dossier::default() },
        };
        world.say(2, dossier);
        world
    }

    fn wanted(&self) -> Assignment {
        assignment(2, self.content, self.act)
    }
}

pub fn runs(world: &World) -> Option<Digest> {
    world.machine.disk.borrow().running.as_ref().map(|(build, _)| *build)
}

/// Runs one agent process until it is done or dies at the `points`th point; answers whether it died.
pub fn live(world: &World, points: Option<u32>, deed: impl FnOnce(&mut TestEngine)) -> bool {
    let mut engine = world.agent();
    if let Some(points) = points {
        world.machine.fuse.light(points);
    }
    let ended = catch_unwind(AssertUnwindSafe(move || deed(&mut engine)));
    world.machine.fuse.put_out();
    match ended {
        Ok(()) => false,
        Err(cause) if cause.is::<Died>() => true,
        Err(cause) => std::panic::resume_unwind(cause),
    }
}

/// After everything: the machine is as the journal says, nothing is under way, and the outcome was told once.
fn check(story: &Story, world: &World, context: &str) {
    let mut engine = world.agent();
    engine.recover();
    engine.follow(&app(), Some(&story.wanted())).unwrap();
    let journal = engine.journals().get(&app());
    assert!(journal.under_way.is_none() && journal.unreported.is_none(), "{context}: unfinished");
    let says = world.server.says.borrow();
    let told: Vec<_> = says.reports.iter().filter(|report| report.generation == 2).collect();
    assert_eq!(told.len(), 1, "{context}: told {} times", told.len());
    let (old, new) = (story.old.map(build), story.new.map(build));
    let runs = runs(world);
    match &told[0].outcome {
        Outcome::Verified => assert_eq!(runs, new, "{context}"),
        Outcome::Undone { .. } => assert_eq!(runs, old, "{context}"),
        other => panic!("{context}: {other:?}"),
    }
    let should_run = journal.active.as_ref().filter(|active| !active.stopped).map(|active| active.build);
    assert_eq!(runs, should_run, "{context}: the journal says otherwise");
    let current = journal.active.as_ref().map(|active| active.build);
    assert_eq!(world.machine.disk.borrow().current, current, "{context}: `current` leads elsewhere");
}

#[test]
fn killed_anywhere_a_target_ends_with_the_old_or_the_new() {
    for story in STORIES {
        for points in 0.. {
            let context = format!("{} killed at point {points}", story.name);
            let world = story.begin();
            let died = live(&world, Some(points), |engine| engine.follow(&app(), Some(&story.wanted())).unwrap());
            if died {
                // The next process finds no server, and still must not leave the target in between.
                world.server.says.borrow_mut().away = true;
                live(&world, None, |engine| engine.recover());
                let runs = runs(&world);
                let (old, new) = (story.old.map(build), story.new.map(build));
                assert!(runs == old || runs == new, "{context}: {runs:?} runs");
                assert!(world.agent().journals().get(&app()).under_way.is_none(), "{context}: still under way");
                world.server.says.borrow_mut().away = false;
            }
            check(story, &world, &context);
            if !died {
                assert!(points > 4, "{context}: the story has no points to die at");
                break;
            }
        }
    }
}

#[test]
fn killed_again_while_recovering_a_target_still_ends_with_the_old_or_the_new() {
    for story in STORIES.iter().filter(|story| story.installed && story.act == OrderAct::Deploy) {
        for first in 0.. {
            let world = story.begin();
            if !live(&world, Some(first), |engine| engine.follow(&app(), Some(&story.wanted())).unwrap()) {
                break;
            }
            // Each process gets one point further than the one before, until one is done.
            let mut second = 0;
            while live(&world, Some(second), |engine| engine.recover()) {
                second += 1;
            }
            check(story, &world, &format!("{} killed at {first} and {second} times more", story.name));
        }
    }
}
