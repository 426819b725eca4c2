//! The root of trust goes on: owners come and go, and how many must sign changes. Machines and people follow by
//! themselves.

use crate::world::World;

const CHARTER: &str = r#"
[environments]
dev = { class = "dev", deploy = "developer" }
"#;

/// Two owners, both needed: one alone changes nothing; what both signed in their own time is taken, and a machine that
/// joined under root 1 deploys under root 3.
#[test]
fn owners_change_and_everybody_follows() {
    let mut world = World::new();
    world.found(&[("coder", "developer")], CHARTER);
    world.add_machines(&[("dev-1", "dev")]);
    world.person("second");
    let key = world.home("second").join(".ssh/id_ed25519.pub");
    world.sortie("owner", 0, &format!("charter root --yes --owner second --keys {}", key.display())).says("root 2");
    world.sortie("second", 0, &format!("login {}", world.url_and_pin)).says("second (owner)");

    // An owner's key signs nothing unasked, and where there is nobody to ask it signs nothing.
    for unasked in ["charter root --threshold 2", "charter renew", "charter renew --root", "server rotate"] {
        world.sortie("owner", 1, unasked).says("nothing was signed").says("--yes");
    }
    world.sortie("owner", 1, "charter root --threshold 2").says("1 → 2 owners must sign");
    world.sortie("owner", 0, "charter show").says("charter 2, owned by");
    world
        .sortie("owner", 3, "charter root --yes --threshold 2")
        .says("SIGNATURES_MISSING")
        .says("what was signed here does not count yet")
        .lacks("the server's documents");
    let signatures = world.home("owner").join("root.signatures");
    let signatures = signatures.display();
    world
        .sortie("owner", 0, &format!("charter root --yes --threshold 2 --sign-only {signatures}"))
        .says("nothing was applied");
    // What was signed for one change is not signed for another.
    world.sortie("second", 5, &format!("charter root --yes --threshold 1 --with {signatures}"));
    world.sortie("second", 0, &format!("charter root --yes --threshold 2 --with {signatures}")).says("root 3");

    let charter = world.home("owner").join("charter.toml");
    let text = std::fs::read_to_string(&charter).unwrap().replace("class = \"dev\",", "class = \"dev\", at_once = 2,");
    std::fs::write(&charter, text).unwrap();
    world.sortie("owner", 3, "charter apply --yes").says("SIGNATURES_MISSING");
    let (charter, signatures) = (charter.display(), format!("{signatures}.charter"));
    world.sortie("owner", 0, &format!("charter apply --yes --sign-only {signatures}"));
    world.sortie("second", 0, &format!("charter apply {charter} --yes --with {signatures}")).says("in force");

    world.make_repository("app = \"web\"\nfiles = \"dist\"\n");
    let build = world.push();
    world.sortie("coder", 0, &format!("deploy {build} --to dev")).says("1/1");
    world.sortie("coder", 0, "ledger verify").says("ledger whole");
}

/// Attack: one owner suspends the others.
/// Holds: one owner's key, where two must sign; he suspends everyone, the other owners above all.
/// Left to him: to take everybody's power until other owners, who still log in, read, sign and bring it, have put a new charter
/// in force. Without him in it: one who stays an owner may do it again.
#[test]
fn one_owner_does_not_lock_the_others_out() {
    let mut world = World::new();
    world.found(&[("coder", "developer")], CHARTER);
    for name in ["ben", "cat"] {
        world.person(name);
        let key = world.home(name).join(".ssh/id_ed25519.pub");
        world.sortie("owner", 0, &format!("charter root --yes --owner {name} --keys {}", key.display()));
    }
    let login = format!("login {}", world.url_and_pin);
    for name in ["ben", "cat"] {
        world.sortie(name, 0, &login);
    }
    let file = world.home("owner").join("signatures");
    let (sign, with) = (format!("--sign-only {}", file.display()), format!("--with {}", file.display()));
    world.sortie("owner", 0, &format!("charter root --yes --threshold 2 {sign}"));
    world.sortie("ben", 0, &format!("charter root --yes --threshold 2 {with}")).says("root 4");

    for name in ["owner", "ben", "coder"] {
        world.sortie("cat", 0, &format!("person suspend {name}")).says("is suspended");
    }
    world.sortie("coder", 3, "status").says("SIGNER_UNKNOWN");
    world.sortie("owner", 0, &login).says("owner (owner, suspended until owners sign a new charter)");
    world.sortie("owner", 0, "status").says("ben is suspended");
    world.sortie("owner", 0, "whoami").says("suspended");
    world.sortie("owner", 0, "person list").says("suspended");
    world.sortie("owner", 3, "person suspend cat").says("ROLE_MISSING");
    world.sortie("owner", 3, "target invite --name dev-1 --in dev").says("ROLE_MISSING");
    world.sortie("owner", 3, "token create --note board").says("ROLE_MISSING");
    world.sortie("owner", 3, "charter renew --yes").says("SIGNATURES_MISSING");
    world.sortie("owner", 0, &format!("charter renew --yes {sign}"));
    world.sortie("ben", 0, &format!("charter renew --yes {with}")).says("good for another year");
    world.sortie("coder", 0, "status");
    world.sortie("owner", 0, "person suspend cat");

    // One who stays an owner may do it again, so the others go on without.
    world.sortie("owner", 0, &format!("charter renew --yes {sign}"));
    world.sortie("ben", 0, &format!("charter renew --yes {with}"));
    for name in ["owner", "ben"] {
        world.sortie("cat", 0, &format!("person suspend {name}"));
    }
    world.sortie("owner", 0, &format!("charter root --yes --without cat {sign}"));
    world.sortie("ben", 0, &format!("charter root --yes --without cat {with}")).says("root 5");
    world.sortie("cat", 3, "person suspend ben").says("SIGNER_UNKNOWN");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
}

/// Every owner's key is lost. Whoever has the recovery key names a new owner with it, who signs the charter; machines
/// follow by themselves, and the lost key counts no more. Everyone is reminded of the key until it is put away.
#[test]
fn the_recovery_key_names_a_new_owner() {
    let mut world = World::new();
    world.found(&[("coder", "developer")], CHARTER);
    world.add_machines(&[("dev-1", "dev")]);
    world.sortie("owner", 0, "status").says("recovery key is not put away");
    world.sortie("coder", 3, "charter recovery --put-away").says("ROLE_MISSING");
    world.sortie("owner", 0, "charter recovery --put-away").says("recorded");
    world.sortie("owner", 0, "status").lacks("not put away");

    world.person("heir");
    let recovery = world.home("heir").join("sortie-recovery.key");
    std::fs::rename(world.home("owner").join("sortie-recovery.key"), &recovery).unwrap();
    let key = world.home("heir").join(".ssh/id_ed25519.pub");
    let change = format!("charter root --yes --owner heir --keys {} --without owner", key.display());
    let login = format!("login {} --identity {}", world.url_and_pin, recovery.display());
    world.sortie("heir", 0, &login).says("you hold recovery's key").lacks("nobody the charter knows");
    world.sortie("heir", 3, &change).says("SIGNER_UNKNOWN");
    // The key names owners, and does nothing else.
    let with_recovery = format!("--identity {}", recovery.display());
    world.sortie("heir", 3, &format!("person suspend coder {with_recovery}")).says("ROLE_MISSING");
    world.sortie("heir", 3, &format!("charter renew --yes {with_recovery}")).says("SIGNATURES_MISSING");
    world.sortie("heir", 0, &format!("{change} --key {}", recovery.display())).says("root 2 is in force");
    world.sortie("owner", 3, "charter renew --yes").says("SIGNER_UNKNOWN");
    world.sortie("heir", 0, "charter renew --yes").says("good for another year");
    world.sortie("heir", 0, "charter renew --yes --root").says("root 3");

    world.make_repository("app = \"web\"\nfiles = \"dist\"\n");
    let build = world.push();
    world.sortie("coder", 0, &format!("deploy {build} --to dev")).says("1/1");
    world.sortie("coder", 0, "ledger verify").says("ledger whole");
    world.sortie("coder", 0, "history").says("recovery");
}
