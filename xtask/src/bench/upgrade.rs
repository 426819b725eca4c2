//! An upgrade under load: clients that never stop asking, and what of it is not answered.

use crate::demo::{
    self,
    traffic::Traffic,
    world::{World, until},
};
use anyhow::{Context, Result, bail};
use std::fs;

/// How many clients ask at the same time; each rests 5 ms between two requests.
const CLIENTS: usize = 8;
/// How many requests are answered before the upgrade begins, and after it has ended.
const AROUND: u64 = 200;
const PROCESS: &str = "[process.web]\n";

/// How many requests to the dev machine are not answered while its greeter is upgraded.
pub(crate) fn dropped(world: &mut World, socket: bool) -> Result<f64> {
    let project = world.repository().join("sortie.toml");
    let before = fs::read_to_string(&project)?;
    let with_socket = before.replace(PROCESS, &format!("{PROCESS}socket = true\n"));
    if with_socket == before {
        bail!("sortie.toml has no {PROCESS}");
    }
    fs::write(&project, if socket { &with_socket } else { &before })?;
    let counted = upgrade(world, socket);
    fs::write(&project, before)?;
    counted
}

fn upgrade(world: &mut World, socket: bool) -> Result<f64> {
    deploy(world, &format!("feat: first, socket = {socket}"))?;
    let clients: Vec<Traffic> = std::iter::repeat_with(Traffic::start).take(CLIENTS).collect();
    let dev = world.machines("dev")?;
    dev.first().context("status names no address of the greeter in dev")?;
    clients.iter().for_each(|client| client.machines_are(dev.clone()));
    let answered = |clients: &[Traffic]| -> u64 {
        clients.iter().map(|client| client.count().answered.values().sum::<u64>()).sum()
    };
    let more = |clients: &[Traffic]| {
        let wanted = answered(clients) + AROUND;
        until("requests to be answered", || Ok((answered(clients) >= wanted).then_some(())))
    };
    let upgraded = more(&clients)
        .and_then(|()| deploy(world, &format!("feat: second, socket = {socket}")))
        .and_then(|()| more(&clients));
    let counts: Vec<_> = clients.into_iter().map(Traffic::stop).collect();
    upgraded?;
    Ok(counts.iter().map(|count| count.failed).sum::<u64>() as f64)
}

/// Commits something, builds, pushes and deploys it to dev.
fn deploy(world: &mut World, message: &str) -> Result<()> {
    fs::write(world.repository().join("NOTES"), format!("{message}\n"))?;
    demo::commit_and_build(world, message)?;
    let build = world.sortie("coder", 0, "push")?.word("greeter#")?;
    demo::config(world)?;
    world.sortie("coder", 0, &format!("deploy {build} --to dev")).map(|_| ())
}
