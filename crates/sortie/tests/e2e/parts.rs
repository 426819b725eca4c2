//! Several CI jobs make one build together.

use crate::world::World;
use std::fs;

/// R20: two jobs push their parts, a third seals them: one build with one digest, whose files are those of both, made from one
/// commit. A part that is missing, that differs in what runs, or that comes too late is refused with its reason.
#[test]
fn r20_jobs_push_parts_and_one_seals_the_build() {
    let world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository("app = \"web\"\nfiles = \"dist\"\npaths = [\".\"]\n");
    let dist = world.repository().join("dist");
    let only = |files: &[(&str, &str)]| {
        fs::remove_dir_all(&dist).unwrap();
        for (path, content) in files {
            let path = dist.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    };
    let coder = |exit, line: &str| world.sortie("coder", exit, line);
    only(&[("linux-arm64/app", "for arm"), ("readme", "for both")]);
    coder(2, "push --seal ci-1").says("UNKNOWN_DRAFT").says("push --into ci-1 --part NAME");
    coder(0, "push --into ci-1 --part linux-arm64").says("2 files").says("--seal ci-1");
    coder(0, "push --into ci-1 --part linux-arm64").says("the same part as before");
    coder(1, "push --seal ci-1 --expect linux-amd64").says("linux-amd64 is not there yet").says("linux-arm64");
    coder(2, "push --seal ci-2").says("UNKNOWN_DRAFT").says("next: sortie push --seal ci-1 --app web");
    // Who mistypes what is to go is told what there is, and not to begin another.
    let mistyped = coder(2, "push --discard ci-2");
    mistyped
        .says("is under way, only ci-1; did you mean ci-1?")
        .says("next: sortie push --discard ci-1 --app web")
        .lacks("--into");
    coder(2, "push --into ci-1").says("--part");
    coder(2, "push --seal ci-1 --part linux-amd64").says("cannot be used with");

    only(&[("linux-amd64/app", "for amd"), ("readme", "for somebody else")]);
    coder(0, "push --into ci-1 --part linux-amd64");
    coder(2, "push --seal ci-1").says("different content at readme");
    only(&[("linux-amd64/app", "for amd"), ("readme/amd", "in a folder")]);
    coder(0, "push --into ci-1 --part linux-amd64");
    coder(2, "push --seal ci-1").says("linux-amd64 has readme/amd, and linux-arm64 has a file or link at readme");
    // The job runs again, and its part takes the place of the one before.
    only(&[("linux-amd64/app", "for amd"), ("readme", "for both")]);
    coder(0, "push --into ci-1 --part linux-amd64");
    world.sortie("tester", 3, "push --seal ci-1 --app web").says("ROLE_MISSING");
    let sealed = coder(0, "push --seal ci-1 --expect linux-arm64 --expect linux-amd64");
    sealed.says("3 files").says("linux-amd64, linux-arm64");
    let build = sealed.word("web#");
    let again = coder(0, "push --seal ci-1 --json").json();
    assert_eq!(again["name"], build.as_str());
    assert_eq!(again["commit"]["title"], "feat: greet people by name");
    let late = coder(6, "push --seal ci-1 --expect late");
    late.says("DRAFT_SEALED").says("late is no part of it: ci-1 of web is sealed").says(&build);
    only(&[("late", "too late")]);
    coder(6, "push --into ci-1 --part late").says("DRAFT_SEALED").says(&build);

    coder(0, &format!("deploy {build} --to dev")).says("1/1");
    let current = world.active("dev-1", "web");
    let read = |path: &str| fs::read_to_string(current.join(path)).unwrap();
    assert_eq!((read("linux-arm64/app"), read("linux-amd64/app")), ("for arm".into(), "for amd".into()));
    // Another commit makes another build: what an earlier run has left is discarded.
    only(&[("linux-arm64/app", "for arm")]);
    coder(0, "push --into main --part linux-arm64");
    world.git("coder", "commit -q --allow-empty -m \"fix: another\"");
    only(&[("linux-amd64/app", "for amd")]);
    let refused = coder(6, "push --into main --part linux-amd64");
    refused.says("DRAFT_OF_ANOTHER_COMMIT").says("next: sortie push --discard main --app web");
    world.sortie("tester", 3, "push --discard main --app web").says("ROLE_MISSING");
    coder(0, "push --discard main").says("main of web is discarded");
    coder(2, "push --discard main").says("no draft main of web is under way").says("next: sortie status web");
    coder(0, "push --into main --part linux-amd64");
    coder(0, "status web").says("draft main is open: linux-amd64").says("sortie push --seal main").lacks("draft ci-1");
    coder(6, "push --discard ci-1").says("DRAFT_SEALED");

    coder(0, "history")
        .says("coder discarded main of web")
        .says("pushed the part linux-arm64 into ci-1 of web")
        .says("sealed ci-1 of web");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
}
