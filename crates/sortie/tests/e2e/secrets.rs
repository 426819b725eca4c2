//! Secrets are for machines alone.

use crate::world::{PROJECT, World, files};
use std::fs;

/// R10: a key without a value is named and nothing is copied. A secret reaches the process and no disk of the server; a
/// machine that joins later lacks it until somebody encrypts it anew.
#[test]
fn r10_a_secret_reaches_the_process_and_not_the_server() {
    let mut world = World::of_team(&[("dev-1", "dev")]);
    world.make_repository(&PROJECT.replace("{ default = \"people.csv\" }", "\"secret\""));
    let secret = world.root().join("hunter2-correct-horse.csv");
    fs::copy(world.repository().join("people.csv"), &secret).unwrap();
    let build = world.push();
    let refused = world.sortie("coder", 3, &format!("deploy {build} --to dev"));
    refused.says("DATABASE").says("sortie config set web DATABASE");
    assert!(world.agent_data("dev-1").join("apps/web/current").read_link().is_err(), "something was installed");

    let value = secret.to_string_lossy().into_owned();
    let set = world.sortie_reading("coder", 0, "config set web DATABASE --secret --in dev", &value);
    set.says("dev-1").lacks("hunter2");
    world.sortie("coder", 0, "config get web --in dev").says("********").lacks("hunter2");
    world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    let holds = |bytes: &[u8]| bytes.windows(7).any(|window| window == b"hunter2");
    let services = world.processes_on("dev-1").into_iter().filter(|(_, program)| program.ends_with("web"));
    let environments: Vec<_> = services.map(|(id, _)| fs::read(format!("/proc/{id}/environ")).unwrap()).collect();
    assert!(environments.iter().any(|environment| holds(environment)), "the process did not get the secret");
    for (path, bytes) in files(&world.server_data()) {
        assert!(!holds(&bytes), "the server has the secret in {}", path.display());
    }

    world.add_machines(&[("dev-2", "dev")]);
    world.sortie("coder", 0, "status").says("dev-2").says("secret");
    world.sortie("coder", 0, "config rewrap web --in dev").says("dev-2");
    world.sortie("coder", 0, "status").lacks("secret");
    world.sortie("coder", 0, &format!("deploy {build} --to dev"));
    world.sortie("coder", 0, "status dev").says("on 2/2");
}
