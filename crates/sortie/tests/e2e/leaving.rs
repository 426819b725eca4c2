//! People leave, and owners decide statement by statement what of theirs goes on counting.

use crate::world::{ENVIRONMENTS, PROJECT, TEAM, World, read_text, until};

/// R31, R52: coder pushed, numbered and asked, tester approved and withdrew another; both leave. The plan says which
/// permits die and where they run, and what would keep them; no charter is signed that lets a withdrawal drop. What
/// owners uphold is deployed by machines that joined before and by one that joins later; what they do not, is not.
#[test]
fn r31_r52_owners_uphold_what_leavers_signed() {
    let mut world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let first = world.push_and_number();
    world.release_to_prod(&first);
    world.sortie("oncall", 0, &format!("deploy {first} --to prod"));
    world.change_greeting("Good morning, {name}!");
    let second = world.push_and_number();
    world.release_to_prod(&second);
    world.sortie("tester", 0, &format!("withdraw {second} --from prod --reason \"too loud\""));

    let stay = [("oncall", "developer ops"), ("second", "qa"), ("nightly", "ops")];
    world.person("second");
    world.write_charter(&stay, ENVIRONMENTS);
    let plan = world.sortie("owner", 0, "charter plan");
    plan.says("tester leaves").says(&format!("{first} → prod")).says("it runs on prod-1").says("[[upheld]]");
    plan.says("charter plan --uphold").says(&format!("{second} from prod, by tester"));
    world.sortie("owner", 3, "charter apply --yes").says("WITHDRAWAL_DROPPED").says("Nothing was signed");

    let file = world.home("owner").join("charter.toml");
    let before = read_text(&file);
    world.sortie("owner", 0, "charter plan --uphold").says("wrote what is upheld").lacks("dies ");
    let text = read_text(&file);
    assert!(text.starts_with(before.trim_end()), "what was there stays as it was\n{text}");
    assert!(text.contains(&format!("# approved {first} → prod")), "{text}");
    world.sortie("owner", 0, "charter plan --json").says("\"dies\": []");
    world.sortie("owner", 0, "charter apply --yes");

    world.add_machines(&[("prod-2", "prod")]);
    let oncall = format!("login {}", world.url_and_pin);
    world.sortie("second", 0, &oncall);
    // By itself: a machine that joins now finds what leavers signed as good as the one before.
    until("prod-2 to catch up", || (world.endpoints("prod").len() == 2).then_some(()));
    world.sortie("oncall", 3, &format!("deploy {second} --to prod")).says("withdrawn");
    world.sortie("tester", 3, &format!("withdraw {first} --from prod --reason no")).says("SIGNER_UNKNOWN");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");

    // The next charter lets tester's approval drop, and with it the permit; what runs goes on.
    let without: String = text.replace(&request_line(&text, &format!("approved {first} → prod")), "");
    std::fs::write(&file, without).unwrap();
    world.sortie("owner", 0, "charter plan").says("dies").says("lacks 1 qa").says("it runs on prod-1, prod-2");
    world.sortie("owner", 0, "charter apply --yes");
    world.sortie("oncall", 3, &format!("deploy {first} --to prod")).says("qa");
    world.sortie("second", 0, &format!("approve {first} --to prod --yes"));
    world.sortie("oncall", 0, &format!("redeploy {first} --to prod")).says("2/2");
}

/// R31: a withdrawal was a mistake. Owners annul it by its digest; the server and a machine that kept it go by that, and
/// a later withdrawal counts.
#[test]
fn r31_owners_annul_a_withdrawal() {
    let world = World::of_team(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    world.release_to_prod(&version);
    world.sortie("oncall", 0, &format!("deploy {version} --to prod"));
    world.sortie("tester", 0, &format!("withdraw {version} --from prod --reason \"the wrong one\""));
    world.sortie("oncall", 3, &format!("redeploy {version} --to prod")).says("withdrawn");

    let file = world.home("owner").join("charter.toml");
    let annul = format!("charter annul {version} --in prod");
    world.sortie("owner", 0, &annul).says("nothing has changed yet").says("charter plan");
    assert!(read_text(&file).contains(&format!("# tester withdrew {version} from prod")));
    world.sortie("owner", 2, &annul).says("no withdrawal");
    let plan = world.sortie("owner", 0, "charter plan");
    plan.says(&format!("loosens  annuls the withdrawal of {version} from prod by tester"))
        .says("the permit lives again");
    world.sortie("oncall", 3, &format!("redeploy {version} --to prod")).says("withdrawn");
    world.sortie("owner", 0, "charter apply --yes");
    world.sortie("oncall", 0, &format!("redeploy {version} --to prod")).says("1/1");
    world.sortie("oncall", 0, &format!("withdraw {version} --from prod --reason \"the right one\""));
    world.sortie("oncall", 3, &format!("redeploy {version} --to prod")).says("withdrawn");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
}

/// R33, R3: a robot's key is changed, and with it everything that it attested would count no more: neither could what runs
/// be deployed anew, nor could anybody go back. The plan says so; what owners uphold opens its gates as before, for the
/// server and for machines; what they do not is refused by name, until the new key attests it.
#[test]
fn r33_r3_a_changed_key_does_not_take_the_way_back_along() {
    let environments = ENVIRONMENTS.replace("after = \"test\"", "after = \"test\", evidence = { lint = \"ci\" }");
    let people: Vec<(&str, &str)> = TEAM.iter().copied().chain([("ci", "ci")]).collect();
    let mut world = World::new();
    world.found(&people, &environments);
    world.add_machines(&[("test-1", "test"), ("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let report = world.root().join("lint.txt");
    std::fs::write(&report, "0 warnings").unwrap();
    let attest = |version: &str| format!("evidence attach {version} --type lint --passed --file {}", report.display());
    let settle = |world: &World| {
        let version = world.push_and_number();
        world.sortie("ci", 0, &attest(&version));
        world.release_to_prod(&version);
        world.sortie("oncall", 0, &format!("deploy {version} --to prod"));
        version
    };
    let first = settle(&world);
    let before = world.active("prod-1", "web");
    world.change_greeting("Good morning, {name}!");
    let second = settle(&world);

    world.person("ci");
    world.write_charter(&people, &environments);
    let plan = world.sortie("owner", 0, "charter plan");
    plan.says(&format!("{first} → prod: lint by ci counts no more")).says(&format!("{second} → prod: lint by ci"));
    plan.says("[[upheld]]").says("person = \"ci\"").lacks("dies ");
    world.sortie("owner", 0, "charter plan --uphold").says("wrote what is upheld").lacks("lint by ci");
    let file = world.home("owner").join("charter.toml");
    let text = read_text(&file);
    world.sortie("owner", 0, "charter apply --yes");
    world.sortie("oncall", 0, "rollback web --in prod").says("1/1");
    assert_eq!(world.active("prod-1", "web"), before);

    let without = text.replace(&request_line(&text, &format!("attested lint of {first}")), "");
    std::fs::write(&file, without).unwrap();
    world.sortie("owner", 0, "charter apply --yes").says(&format!("{first} → prod: lint by ci counts no more"));
    let redeploy = format!("redeploy {first} --to prod");
    let refused = world.sortie("oncall", 3, &redeploy);
    refused.says("EVIDENCE_MISSING").says("that key has left the charter").says("[[upheld]]");
    let login = format!("login {}", world.url_and_pin);
    world.sortie("ci", 0, &login);
    world.sortie("ci", 0, &attest(&first));
    world.sortie("oncall", 0, &redeploy).says("1/1");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");
}

/// The line of the charter that upholds what its comment says.
fn request_line(text: &str, what: &str) -> String {
    let line = text.lines().find(|line| line.contains(what)).expect("a line that upholds it");
    format!("{line}\n")
}
