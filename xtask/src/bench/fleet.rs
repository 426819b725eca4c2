//! A thousand targets that do nothing: what the server and everything between cost.

use super::example;
use crate::demo::{self, world::World};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStdin, Stdio},
    time::Instant,
};

/// How many targets there are.
const TARGETS: usize = 1_000;

/// The targets' process, which ends with this.
struct Fleet {
    process: Child,
    input: Option<ChildStdin>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        drop(self.input.take());
        let _it_ends_by_itself = self.process.wait();
    }
}

/// How long `sortie deploy` takes over all of them, in seconds. They join the world's dev environment and stay in it.
pub(super) fn deployed(world: &mut World) -> Result<f64> {
    let invite = format!("target invite --in dev --label fleet=yes --uses {TARGETS}");
    let token = world.sortie("owner", 0, &invite)?.word("sortie-join-")?;
    let _fleet = start(&token)?;
    let project = world.repository().join("sortie.toml");
    let before = fs::read_to_string(&project)?;
    fs::write(&project, "app = \"idle\"\nfiles = \"dist\"\non = \"fleet=yes\"\n")?;
    let pushed = demo::commit_and_build(world, "feat: nothing to do").and_then(|()| world.sortie("coder", 0, "push"));
    fs::write(&project, before)?;
    let build = pushed?.word("idle#")?;
    let began = Instant::now();
    world
        .sortie("coder", 0, &format!("deploy {build} --to dev --at-once all"))?
        .says(&format!("{TARGETS}/{TARGETS}"))?;
    Ok(began.elapsed().as_secs_f64())
}

fn start(token: &str) -> Result<Fleet> {
    let mut command = example("agent", "fleet_bench")?;
    command.args([token, &TARGETS.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn()?;
    let input = process.stdin.take();
    let output = process.stdout.take().context("the fleet has no output")?;
    let fleet = Fleet { process, input };
    let mut said = String::new();
    BufReader::new(output).read_line(&mut said)?;
    if said.is_empty() {
        bail!("the fleet did not come together");
    }
    Ok(fleet)
}
