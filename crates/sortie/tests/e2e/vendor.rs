//! Two estates: a vendor's, and that of a network which receives its releases and affirms them before anything installs.

use crate::world::{PROJECT, TEAM, World, files, get, until};
use std::path::PathBuf;

const VENDORS: &str = r#"
[environments]
test = { class = "test", approve = "developer", deploy = "developer" }
[channels]
customers = { approve = "qa and ops" }
others    = { approve = "qa" }
"#;
const OURS: &str = r#"
[environments]
prod = { class = "live", approve = "qa and ops", deploy = "ops" }
"#;

/// The vendor, with a version that is released to its customers.
struct Vendor {
    world: World,
    estate: String,
    version: String,
}

impl Vendor {
    fn new() -> Self {
        let mut world = World::new();
        world.found(TEAM, VENDORS);
        world.make_repository(PROJECT);
        let version = world.push_and_number();
        let estate = world.ask("owner", "whoami")["estate"].as_str().unwrap().to_string();
        let vendor = Self { world, estate, version };
        vendor.release(&vendor.version);
        vendor
    }

    fn release(&self, version: &str) {
        self.world.sortie("coder", 0, &format!("request {version} --to customers"));
        self.world.sortie("tester", 0, &format!("approve {version} --to customers --yes"));
        self.world.sortie("oncall", 0, &format!("approve {version} --to customers --yes"));
    }

    fn export(&self, version: &str, to: &str, folder: &str) -> PathBuf {
        let out = self.world.root().join(folder);
        let exported = self.world.ask("oncall", &format!("bundle export {version} --to {to} --out {}", out.display()));
        exported["volumes"][0].as_str().unwrap().into()
    }

    /// The charter of those who take its releases.
    fn named_by(&self, audience: &str) -> String {
        let vendor = format!("[vendors.acme]\nestate = \"{}\"\naudience = \"{audience}\"\n", self.estate);
        format!("{OURS}{vendor}[applications.web]\nvendor = \"acme\"\n")
    }
}

/// R42: a receiving network authorises a vendor's updates: nothing installs until affirmed there, and then only there.
/// Both signatures stand in one timeline, which anybody can verify.
#[test]
fn r42_a_vendor_s_release_installs_once_it_is_affirmed_and_only_there() {
    let vendor = Vendor::new();
    let version = vendor.version.clone();
    let media = vendor.export(&version, "customers", "media");
    let import = format!("bundle import {}", media.display());

    let mut ours = World::new();
    ours.found(TEAM, OURS);
    ours.add_machines(&[("prod-1", "prod")]);
    ours.make_repository(PROJECT);
    ours.sortie("oncall", 3, &import).says("VENDOR_UNKNOWN").says(&vendor.estate);
    ours.amend(TEAM, &vendor.named_by("others"));
    ours.sortie("oncall", 5, &import).says("VENDOR_RELEASE_UNFIT").says("it is for customers");
    ours.amend(TEAM, &vendor.named_by("customers"));
    ours.sortie("coder", 3, "push").says("VENDOR_RELEASE_MISSING").says("acme makes web");
    ours.sortie("oncall", 0, "status").says("nothing was pushed yet");

    // Whoever brings it in made nothing of it, so that their approval counts as any other.
    ours.sortie("oncall", 0, &import)
        .says("released by acme to customers")
        .says("signed there by oncall and tester")
        .says("affirm it");
    ours.sortie("tester", 0, &import).says("nothing was written");
    let untouched = || assert!(files(&ours.agent_data("prod-1").join("apps")).is_empty(), "something was installed");
    untouched();
    ours.sortie("oncall", 3, &format!("deploy {version} --to prod")).says("PERMIT_MISSING");
    ours.sortie("coder", 0, &format!("request {version} --to prod")).says("qa").says("ops");
    let shown = ours.sortie("tester", 0, &format!("approve {version} --to prod --yes"));
    shown.says("made by acme").says("released by acme to customers").says("vendor's roots, charter and permit ✓");
    ours.sortie("oncall", 3, &format!("deploy {version} --to prod")).says("APPROVALS_MISSING");
    ours.sortie("oncall", 0, &format!("approve {version} --to prod --yes"));
    untouched();
    let proof = ours.root().join("proof");
    let exported = ours.ask("coder", &format!("permit export {version} --to prod --out {}", proof.display()));
    crate::proofs::check(&ours, &proof, exported["estate"].as_str().unwrap(), 3)
        .says("not checked: the release by acme")
        .says("approved by oncall");
    ours.sortie("oncall", 0, &format!("deploy {version} --to prod")).says("prod-1");
    assert!(get(ours.endpoints("prod")[0], "/").unwrap().contains("Hello, Ada!"));

    // One timeline, with both signatures; and the vendor's own commit leads to where it runs here.
    let history = ours.sortie("coder", 0, "history web");
    history.says("which acme released to customers").says("oncall of acme, tester of acme");
    history.says("coder requested").says("tester approved").says("oncall approved").says("web deployed");
    let commit = vendor.world.git("coder", "rev-parse HEAD").stdout;
    ours.sortie("coder", 0, &format!("trace {}", commit.trim())).says("made by acme").says("prod on 1");
    ours.sortie("coder", 0, &format!("why {version} --in prod")).says("released by acme to customers");
    ours.sortie("owner", 0, "ledger verify").says("ledger whole");
    // And only there: the vendor's own targets have nothing of it, and its ledger knows nothing of ours.
    vendor.world.sortie("coder", 0, "history web").lacks("prod");
}

/// R42: what a vendor takes back, and the new root of a vendor, travel with later bundles. What runs goes on running.
#[test]
fn r42_withdrawals_and_new_roots_of_a_vendor_travel_with_later_bundles() {
    let vendor = Vendor::new();
    let first = vendor.version.clone();
    let media = vendor.export(&first, "customers", "first");
    let mut ours = World::new();
    ours.found(TEAM, &vendor.named_by("customers"));
    ours.add_machines(&[("prod-1", "prod")]);
    let import = |media: &PathBuf| format!("bundle import {}", media.display());
    let release = |version: &str| {
        ours.sortie("coder", 0, &format!("request {version} --to prod"));
        ours.sortie("tester", 0, &format!("approve {version} --to prod --yes"));
        ours.sortie("oncall", 0, &format!("approve {version} --to prod --yes"));
    };
    ours.sortie("oncall", 0, &import(&media));
    release(&first);
    ours.sortie("oncall", 0, &format!("deploy {first} --to prod"));

    // The vendor has another owner from now on, takes the first version back, and releases a second.
    vendor.world.person("heir");
    let key = vendor.world.home("heir").join(".ssh/id_ed25519.pub");
    vendor.world.sortie("owner", 0, &format!("charter root --yes --owner heir --keys {}", key.display()));
    vendor.world.sortie("tester", 0, &format!("withdraw {first} --from customers --reason \"it leaks\""));
    vendor.world.sortie("oncall", 3, &format!("bundle export {first} --to customers")).says("PERMIT_WITHDRAWN");
    vendor.world.change_greeting("Good evening, {name}!");
    let second = vendor.world.push_and_number();
    vendor.release(&second);
    let media = vendor.export(&second, "customers", "second");
    ours.sortie("oncall", 0, &import(&media)).says("has withdrawn").says(&format!("{second} is here"));
    ours.sortie("coder", 0, "history web").says(&format!("acme has withdrawn {first} from us"));
    ours.sortie("coder", 0, "status web").says("withdrawn by acme and still runs");
    ours.sortie("oncall", 3, &format!("redeploy {first} --in prod")).says("VENDOR_WITHDREW");
    assert!(get(ours.endpoints("prod")[0], "/").unwrap().contains("Hello, Ada!"), "what ran was stopped");
    release(&second);
    ours.sortie("oncall", 0, &format!("deploy {second} --to prod"));
    until("the second version", || get(ours.endpoints("prod")[0], "/").ok()?.contains("Good evening").then_some(()));
    // The old bundle brings neither the old charter nor the old permission back.
    let old = vendor.world.root().join("first").read_dir().unwrap().next().unwrap().unwrap().path();
    ours.sortie("oncall", 5, &import(&old)).says("VENDOR_RELEASE_UNFIT");
    // And what is taken back alone comes as a file.
    let file = vendor.world.root().join("withdrawal.json");
    let line = format!("withdraw {second} --from customers --reason \"it leaks too\" --out {}", file.display());
    vendor.world.sortie("tester", 0, &line);
    let take = format!("bundle import {}", file.display());
    ours.sortie("coder", 0, &take).says("acme has withdrawn");
    ours.sortie("coder", 0, &take).says("nothing was written");
    ours.sortie("oncall", 3, &format!("redeploy {second} --in prod")).says("VENDOR_WITHDREW");
    ours.sortie("coder", 7, "escapes").says(&second);
    ours.sortie("oncall", 3, "rollback web --in prod").says("VENDOR_WITHDREW");
    ours.sortie("owner", 0, "ledger verify").says("ledger whole");
}
