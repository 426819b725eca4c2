//! Disks that are full, played by small file systems in memory.

use crate::world::{World, read_text, until};
use std::{fs, io::Read, path::Path, process::Command};
use tempfile::TempDir;

/// A small disk. To be made before the world, so that it outlives the processes on it.
struct Disk(TempDir);

impl Disk {
    /// A disk of so many MiB; none where this user may not mount one.
    fn of(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m,mode=0755");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "sortie-test"]).arg(folder.path()).output();
        match mounted.is_ok_and(|output| output.status.success()) {
            true => Some(Self(folder)),
            false => {
                println!("not tried: mounting a small disk is not permitted here");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all that is left of it.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.path().join("ballast")).unwrap();
        // Its end is an error: that the disk is full.
        let _full = std::io::copy(&mut std::io::repeat(7).take(1 << 30), &mut ballast);
    }

    fn make_room(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is still open keeps the disk until it is closed.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Bytes that no compression makes smaller.
fn noise(mebibytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..mebibytes << 17).flat_map(|_| next()).collect()
}

fn push(world: &World, exit: i32, name: &str, bytes: &[u8]) -> crate::world::Output {
    fs::write(world.repository().join("dist").join(name), bytes).unwrap();
    world.sortie("coder", exit, "push")
}

const PAGES: &str = "app = \"pages\"\nfiles = \"dist\"\n";

/// A server whose disk is full says so, loses nothing, and goes on once there is room.
#[test]
fn a_full_server_refuses_with_its_reason_and_recovers() {
    let Some(disk) = Disk::of(24) else { return };
    let mut world = World::new();
    std::os::unix::fs::symlink(disk.path(), world.server_data()).unwrap();
    world.found(crate::world::TEAM, crate::world::ENVIRONMENTS);
    world.make_repository(PAGES);
    fs::remove_file(world.repository().join("dist/web")).unwrap();
    let first = push(&world, 0, "page", b"one").word("pages#");
    disk.fill();
    let full = push(&world, 1, "page", &noise(2));
    full.says("disk").says("full");
    // Every read is still answered, and what was acknowledged is whole.
    world.sortie("coder", 0, "ledger verify");
    world.sortie("coder", 0, "history").says(&first);
    disk.make_room();
    let second = push(&world, 0, "page", &noise(2)).word("pages#");
    world.sortie("coder", 0, &format!("number {second} next"));
    world.sortie("coder", 0, "ledger verify");
    world.kill_server();
    world.start_server();
    world.sortie("coder", 0, "ledger verify");
    world.sortie("coder", 0, "history").says(&second);
}

/// R9: what a target has no room for is not begun there, and what runs goes on.
#[test]
fn r9_a_full_target_keeps_what_it_runs() {
    let Some(disk) = Disk::of(64) else { return };
    let mut world = World::of_team(&[]);
    let data = world.agent_data("dev-1");
    fs::create_dir_all(data.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(disk.path(), &data).unwrap();
    world.add_machines(&[("dev-1", "dev")]);
    world.make_repository(PAGES);
    fs::remove_file(world.repository().join("dist/web")).unwrap();
    let first = push(&world, 0, "page", b"one").word("pages#");
    world.sortie("coder", 0, &format!("deploy {first} --to dev"));
    let second = push(&world, 0, "page", &noise(40)).word("pages#");
    let refused = world.sortie("coder", 4, &format!("deploy {second} --to dev"));
    refused.says("disk");
    assert_eq!(fs::read(world.active("dev-1", "pages").join("page")).unwrap(), b"one");
    world.sortie("coder", 0, "escapes --scan");
    let third = push(&world, 0, "page", b"three").word("pages#");
    world.sortie("coder", 0, &format!("deploy {third} --to dev"));
    assert_eq!(fs::read(world.active("dev-1", "pages").join("page")).unwrap(), b"three");
}

/// A target that cannot even write down what it is about to do does nothing, and goes on once there is room.
#[test]
fn a_target_that_can_write_nothing_waits_for_room() {
    let Some(disk) = Disk::of(64) else { return };
    let mut world = World::of_team(&[]);
    let data = world.agent_data("dev-1");
    fs::create_dir_all(data.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(disk.path(), &data).unwrap();
    world.add_machines(&[("dev-1", "dev")]);
    world.make_repository(PAGES);
    fs::remove_file(world.repository().join("dist/web")).unwrap();
    let first = push(&world, 0, "page", b"one").word("pages#");
    world.sortie("coder", 0, &format!("deploy {first} --to dev"));
    let second = push(&world, 0, "page", b"two").word("pages#");
    // Whoever filled the disk has taken the room, too, that the agent kept.
    fs::remove_file(disk.path().join("reserve")).unwrap();
    disk.fill();
    let ordered = world.ask("coder", &format!("deploy {second} --to dev --detach"));
    let number = ordered["deployment"].as_u64().unwrap();
    let log = data.with_file_name("log");
    until("the agent's complaint", || read_text(&log).contains("stopped in the middle").then_some(()));
    assert!(read_text(&log).contains("No space left"), "{}", read_text(&log));
    // People are told, too.
    let says = |line: &str| {
        until(line, || {
            let said = world.sortie("coder", 0, line).text();
            (said.contains("cannot go on, and tries again") && said.contains("journal/pages.json: No space left"))
                .then_some(())
        })
    };
    [format!("status {number}"), "status dev-1".into(), "status pages".into(), "target list".into()]
        .iter()
        .for_each(|line| says(line));
    assert_eq!(fs::read(world.active("dev-1", "pages").join("page")).unwrap(), b"one");
    disk.make_room();
    until("the new page", || (fs::read(world.active("dev-1", "pages").join("page")).unwrap() == b"two").then_some(()));
    until("nothing more to be said", || {
        (!world.sortie("coder", 0, "status dev-1").text().contains("cannot go on")).then_some(())
    });
}

/// R9: what a full target runs can be restarted, rolled back, stopped and removed: the agent keeps a little room for that. What
/// is new is refused with the reason.
#[test]
fn r9_what_a_full_target_runs_obeys() {
    let Some(disk) = Disk::of(128) else { return };
    let mut world = World::of_team(&[]);
    let data = world.agent_data("dev-1");
    fs::create_dir_all(data.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(disk.path(), &data).unwrap();
    world.add_machines(&[("dev-1", "dev")]);
    world.make_repository(crate::world::PROJECT);
    let builds = ["One", "Two", "Three"].map(|greeting| {
        world.change_greeting(&format!("{greeting}, {{name}}!"));
        world.push()
    });
    for build in &builds[..2] {
        world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    }
    disk.fill();
    world.sortie("coder", 3, &format!("deploy {} --to dev", builds[2])).says("disk");
    world.sortie("coder", 0, "restart web --in dev");
    world.sortie("coder", 0, "rollback web --in dev");
    world.sortie("coder", 0, "stop web --in dev");
    world.sortie("coder", 0, "start web --in dev");
    world.sortie("coder", 0, "undeploy web --from dev");
    disk.make_room();
    until("the room that is kept", || {
        let kept = fs::metadata(disk.path().join("reserve")).is_ok_and(|file| file.len() == 1 << 20);
        kept.then_some(())
    });
    world.sortie("coder", 0, &format!("deploy {} --to dev", builds[2]));
}
