//! A site that no network reaches gets its versions on media, and word of them comes back on media.

use crate::world::{Ended, Output, PROJECT, TEAM, World, files, free_address, get, read_text, until};
use base64::{Engine, prelude::BASE64_STANDARD};
use depot::bundle::{Index, Member};
use std::{
    collections::BTreeMap,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};
use trust::Digest;

/// The vendor's charter: beside its own environments a site that no network reaches.
const WITH_SITE: &str = r#"
[environments]
test = { class = "test", approve = "developer", deploy = "developer" }
site = { class = "live", approve = "qa and ops", deploy = "ops" }
prod = { class = "live", approve = "qa and ops", deploy = "ops" }
"#;

/// A vendor with a version that is released to the site, and an invitation for its machine.
struct Vendor {
    world: World,
    version: String,
    token: String,
}

impl Vendor {
    fn new() -> Self {
        let mut world = World::new();
        world.found(TEAM, WITH_SITE);
        world.person("installer");
        world.make_repository(PROJECT);
        let version = world.push_and_number();
        let invited = world.ask("owner", "target invite --name site-1 --in site");
        let token = invited["token"].as_str().unwrap().to_string();
        let vendor = Self { world, version, token };
        vendor.release(&vendor.version, "site");
        vendor
    }

    fn release(&self, version: &str, audience: &str) {
        self.world.sortie("coder", 0, &format!("request {version} --to {audience}"));
        self.world.sortie("tester", 0, &format!("approve {version} --to {audience} --yes"));
        self.world.sortie("oncall", 0, &format!("approve {version} --to {audience} --yes"));
    }

    /// Exports a version into a folder of its own; answers with the volumes.
    #[track_caller]
    fn export(&self, version: &str, audience: &str, folder: &str, options: &str) -> Vec<PathBuf> {
        let out = self.world.root().join(folder);
        let line = format!("bundle export {version} --to {audience} --out {} {options}", out.display());
        let exported = self.world.ask("oncall", &line);
        exported["volumes"].as_array().unwrap().iter().map(|volume| volume.as_str().unwrap().into()).collect()
    }

    fn data(&self) -> PathBuf {
        self.world.root().join("machines/site-1/data")
    }

    /// Takes a bundle in at the site, whose machine has neither a context nor a server to ask.
    #[track_caller]
    fn import(&self, exit: i32, files: &[PathBuf], options: &str) -> Output {
        let port = free_address().port().clamp(1100, 65000);
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let data = self.data();
        let line = format!(
            "bundle import {} --data {} --ports {port}-{} {options}",
            files.join(" "),
            data.display(),
            port + 20
        );
        self.world.sortie("installer", exit, &line)
    }

    /// Runs the site's agent, which has no server to ask.
    fn start_agent(&self) -> Ended {
        let mut command = self.world.sortie_command("installer");
        command.args(["agent", "--data"]).arg(self.data());
        let agent = Ended::start(&mut command, &self.world.root().join("agent.log"));
        until("the agent", || {
            read_text(&self.world.root().join("agent.log")).contains("the agent works").then_some(())
        });
        agent
    }
}

/// What answers at the site, by the keeper's own notes of where it listens.
fn answer(data: &Path) -> String {
    let port = until("a port", || {
        let ports: serde_json::Value = serde_json::from_str(&read_text(&data.join("ports.json"))).ok()?;
        let text = ports.to_string();
        let digits: String = text.chars().skip_while(|c| *c != '[').collect();
        let port = find_number(&digits).or_else(|| find_number(&text))?;
        Some(port)
    });
    until("an answer", || get(([127, 0, 0, 1], port).into(), "/").ok())
}

fn find_number(text: &str) -> Option<u16> {
    let parts = text.split(|c: char| !c.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).find(|port: &u16| *port > 1024)
}

/// R10, R12: a bundle alone, on several media, with no network: it installs. A missing, altered or strange volume is
/// named, and then nothing is installed. The same bundle a second time does nothing.
#[test]
fn r10_r11_r12_a_bundle_alone_installs_and_damaged_media_are_named() {
    let mut vendor = Vendor::new();
    let volumes = vendor.export(&vendor.version, "site", "media", "--volume-size 400KB");
    assert!(volumes.len() >= 3, "{volumes:?}");
    assert!(volumes.iter().all(|volume| fs::metadata(volume).unwrap().len() <= 400_000));
    let others = vendor.export(&vendor.version, "site", "other-media", "--volume-size 400KB");
    vendor.world.stop_server();
    let join = format!("--join {}", vendor.token);
    let without = |at: usize| -> Vec<PathBuf> {
        volumes.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, file)| file.clone()).collect()
    };

    let two = format!("volume 2 of {} is missing", volumes.len());
    vendor.import(5, &without(1), &join).says(&two);
    let mut swapped = volumes.clone();
    swapped[1] = others[1].clone();
    vendor.import(5, &swapped, &join).says("is of another bundle");
    let genuine = fs::read(&volumes[2]).unwrap();
    let mut altered = genuine.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    fs::write(&volumes[2], altered).unwrap();
    vendor.import(5, &volumes[..1], &join).says("volume 3").says("altered");
    fs::write(&volumes[2], genuine).unwrap();
    assert!(files(&vendor.data().join("inbox")).is_empty() && !vendor.data().join("pinned.json").exists());

    vendor.import(2, &volumes[..1], "").says("--join");
    vendor.import(0, &volumes[..1], &join).says("runs now").says("bundle receipt");
    assert!(answer(&vendor.data()).contains("Hello, Ada!"));
    vendor.import(0, &volumes, "").says("already");
}

/// R31: a bundle is of use where it was made for and nowhere else: not in another environment, not on a machine of
/// another estate, not a second time, and not with anything changed inside, however well the change is sealed.
#[test]
fn r11_r31_a_bundle_is_of_no_use_elsewhere() {
    let vendor = Vendor::new();
    let (version, join) = (vendor.version.clone(), format!("--join {}", vendor.token));
    vendor.release(&version, "prod");
    let for_prod = vendor.export(&version, "prod", "for-prod", "");
    vendor.world.sortie("coder", 3, &format!("bundle export {version} --to site")).says("ROLE_MISSING");
    vendor.world.sortie("oncall", 3, &format!("bundle export {version} --to test")).says("PERMIT_MISSING");
    let genuine = vendor.export(&version, "site", "genuine", "");
    let forge = |name: &str, from: &[PathBuf], change: &dyn Fn(&mut Index, &mut Contents)| {
        vec![forged(&vendor.world.root().join(name), from, change)]
    };

    let loosened = forge("loosened", &genuine, &|_, contents| {
        let charter = contents.get_mut("estate/charter.toml").unwrap();
        *charter = String::from_utf8_lossy(charter).replace("qa and ops", "qa or ops").into_bytes();
    });
    vendor.import(5, &loosened, &join).says("not the one the owners signed");
    let another = forge("another", &genuine, &|index, contents| {
        contents.insert("estate/1.root.json".into(), b"{}".to_vec());
        index.estate = Digest::of(b"{}");
    });
    vendor.import(5, &another, &join).says("nothing was taken");
    assert!(!vendor.data().join("pinned.json").exists(), "the machine joined by a forgery");

    // The first genuine bundle lets the machine join, though it is for somewhere else.
    vendor.import(3, &for_prod, &join).says("OTHER_ENVIRONMENT");
    vendor.import(3, &for_prod, "").says("OTHER_ENVIRONMENT");
    vendor.import(5, &another, "").says("belongs to");
    let renamed = forge("renamed", &for_prod, &|index, _| index.audience = "site".parse().unwrap());
    // What was made for prod brings no word of the repository about site.
    vendor.import(3, &renamed, "").says("STALE").says("permits-site");
    let unapproved = forge("unapproved", &genuine, &|_, contents| {
        let dossier = contents.get_mut("statements/dossier.json").unwrap();
        let mut said: serde_json::Value = serde_json::from_slice(dossier).unwrap();
        said["approvals"].as_array_mut().unwrap().truncate(1);
        *dossier = serde_json::to_vec(&said).unwrap();
    });
    vendor.import(3, &unapproved, "").says("APPROVALS_MISSING");
    let swapped = forge("swapped", &genuine, &|index, contents| {
        let manifest = contents.get_mut("manifest.json").unwrap();
        *manifest = String::from_utf8_lossy(manifest).replace("./web", "./bad").into_bytes();
        index.build = Digest::of(manifest);
    });
    vendor.import(5, &swapped, "").says("STATEMENT_INVALID");
    assert!(!vendor.data().join("apps/web/current").exists(), "something was installed");

    vendor.import(0, &genuine, "").says("runs now");
    vendor.world.change_greeting("Good evening, {name}!");
    let second = vendor.world.push_and_number();
    vendor.release(&second, "site");
    let newer = vendor.export(&second, "site", "newer", "");
    let mut agent = vendor.start_agent();
    vendor.import(0, &newer, "").says("the agent that runs here").says("runs now");
    until("the new version", || answer(&vendor.data()).contains("Good evening").then_some(()));
    vendor.import(3, &genuine, "").says("ORDER_REPEATED");
    assert!(agent.runs());
}

/// R12: the receipt carried back tells the ledger of the site: a target that nobody had heard of, what runs there, since
/// when, and by whose order. Brought twice it is taken once; changed, it is not taken at all.
#[test]
fn r12_the_receipt_carried_back_puts_the_site_into_the_ledger() {
    let vendor = Vendor::new();
    let version = vendor.version.clone();
    let media = vendor.export(&version, "site", "media", "");
    vendor.import(0, &media, &format!("--join {}", vendor.token));
    let receipt = vendor.world.root().join("receipt.json");
    let write = format!("bundle receipt --out {} --data {}", receipt.display(), vendor.data().display());
    vendor.world.sortie("installer", 0, &write).says("site-1's receipt of 1 bundle");
    let bring = format!("bundle receipt {}", receipt.display());

    let genuine = read_text(&receipt);
    let document: serde_json::Value = serde_json::from_str(&genuine).unwrap();
    let report = document["outcomes"][0]["report"]["payload"].as_str().unwrap();
    let said = String::from_utf8(BASE64_STANDARD.decode(report).unwrap()).unwrap();
    let forged = BASE64_STANDARD.encode(said.replace("\"verified\"", "\"refused_\"").replace("web", "bad"));
    fs::write(&receipt, genuine.replace(report, &forged)).unwrap();
    vendor.world.sortie("tester", 5, &bring).says("RECEIPT_FORGED").says("nothing was written");
    let mut stranger = document.clone();
    stranger["enrolment"] = serde_json::Value::Null;
    fs::write(&receipt, serde_json::to_vec(&stranger).unwrap()).unwrap();
    vendor.world.sortie("tester", 5, &bring).says("nobody knows site-1");
    vendor.world.sortie("oncall", 0, "status site").says("no targets");

    fs::write(&receipt, genuine).unwrap();
    let brought = vendor.world.sortie("tester", 0, &bring);
    brought.says("site-1 has joined site").says(&format!("site-1 runs {version} since"));
    vendor.world.sortie("tester", 0, &bring).says("already");
    vendor.world.sortie("oncall", 0, "status site").says("0.1.0 on 1/1").says("by receipt, up to").lacks("not since");
    vendor.world.sortie("oncall", 0, "target list").says("by receipt, up to").lacks("not since");
    let history = vendor.world.sortie("coder", 0, "history web");
    history.says("by a bundle, ordered by oncall").says("tester brought the receipt");
    vendor.world.sortie("owner", 0, "ledger verify").says("ledger whole");

    // What came of the next one is told with what came of the first, and only that is new.
    vendor.world.change_greeting("Good evening, {name}!");
    let second = vendor.world.push_and_number();
    vendor.release(&second, "site");
    vendor.import(0, &vendor.export(&second, "site", "newer", ""), "");
    vendor.world.sortie("installer", 0, &write).says("2 bundles");
    let brought = vendor.world.sortie("tester", 0, &bring);
    brought.says(&format!("site-1 runs {second} since")).lacks(&version).lacks("joined");
    vendor.world.sortie("coder", 0, "history web").says("upgraded");
    vendor.world.sortie("owner", 0, "ledger verify").says("ledger whole");
}

type Contents = BTreeMap<String, Vec<u8>>;

/// A bundle with something changed inside, made anew as whole as any.
fn forged(out: &Path, from: &[PathBuf], change: &dyn Fn(&mut Index, &mut Contents)) -> PathBuf {
    let volumes = depot::bundle::open(from, &mut |_| ()).unwrap();
    let mut index = volumes.unpack(&out.with_extension("unpacked"), &mut |_| ()).unwrap();
    let read =
        |member: &Member| (member.path.clone(), fs::read(out.with_extension("unpacked").join(&member.path)).unwrap());
    let mut contents: Contents = index.members.iter().map(read).collect();
    change(&mut index, &mut contents);
    index.members = contents.iter().map(|(path, bytes)| Member::of(path.clone(), bytes)).collect();
    let open = |member: &Member| Ok(Cursor::new(contents[&member.path].clone()));
    let (_, written) = depot::bundle::write(&index, out, "forged", None, open, &mut |_| ()).unwrap();
    written[0].path.clone()
}
