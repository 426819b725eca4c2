//! What others can check with programs of their own, and what two of us find out by comparing.

use crate::world::{ENVIRONMENTS, PROJECT, TEAM, World, clients, read_text};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Python with other people's libraries.
pub fn python() -> PathBuf {
    clients().join("python/bin/python")
}

/// Runs the exported script on a folder.
#[track_caller]
pub fn check(world: &World, folder: &Path, estate: &str, exit: i32) -> crate::world::Output {
    let mut script = world.command("tester", python());
    script.arg(folder.join("verify.py")).args(["--estate", estate, "--build"]).arg(folder.join("manifest.json"));
    world.run(format!("python verify.py ({exit} is right)"), &mut script, exit)
}

/// A copy of a folder of files to spoil.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => assert!(fs::copy(from, to).is_ok()),
        }
    }
}

/// R52, R55: a permit is proved to those who have no Sortie, by Python's tuf and securesystemslib and by OpenSSL; a
/// changed byte, a missing approval, another estate, an approval twice and a withdrawal are found by them too.
#[test]
fn r52_a_permit_is_checked_by_others_programs() {
    let mut world = World::new();
    world.found(TEAM, &ENVIRONMENTS.replace(", after = \"test\"", ""));
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    let proof = world.root().join("proof");
    let export = format!("permit export {version} --to prod --out {}", proof.display());
    world.sortie("coder", 0, &format!("request {version} --to prod"));
    world.sortie("tester", 0, &format!("approve {version} --to prod --yes"));
    world.sortie("coder", 3, &export).says("PERMIT_MISSING");
    world.sortie("oncall", 0, &format!("approve {version} --to prod --yes"));
    let exported = world.ask("coder", &export);
    let estate = exported["estate"].as_str().unwrap().to_string();
    world.sortie("coder", 2, &export).says("not empty");

    check(&world, &proof, &estate, 0).says("whole").says("approved by oncall (developer, ops)").says("tester (qa)");
    let another = estate.replace(&estate[10..14], if &estate[10..14] == "0000" { "1111" } else { "0000" });
    check(&world, &proof, &another, 1).says("this is the estate");

    // Every command of OpenSSL's that the page names works as it stands.
    let page = read_text(&proof.join("README.md"));
    let commands: Vec<&str> = page.lines().filter(|line| line.starts_with("openssl ")).collect();
    assert_eq!(commands.len(), 5, "push, number, request and two approvals:\n{page}");
    let run = |line: &str, exit: i32| {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(&proof);
        world.run(line.to_string(), &mut command, exit)
    };
    commands.iter().for_each(|line| drop(run(line, 0)));
    let approval = commands.iter().find(|line| line.contains("approval-2")).unwrap();
    let pae = proof.join("statements/approval-2.pae");
    let text = read_text(&pae);
    fs::write(&pae, text.replace("\"audience\":\"prod\"", "\"audience\":\"test\"")).unwrap();
    run(approval, 1);
    fs::write(&pae, text).unwrap();

    let spoilt = |name: &str, spoil: &dyn Fn(&Path)| {
        let folder = world.root().join(format!("spoilt-{name}"));
        copy(&proof, &folder);
        spoil(&folder);
        check(&world, &folder, &estate, 1).text()
    };
    let said = spoilt("approval", &|folder| fs::remove_file(folder.join("statements/approval-2.dsse.json")).unwrap());
    assert!(said.contains("prod needs qa and ops"), "{said}");
    let said = spoilt("twice", &|folder| {
        let statements = folder.join("statements");
        fs::copy(statements.join("approval-1.dsse.json"), statements.join("approval-2.dsse.json")).unwrap();
    });
    assert!(said.contains("prod needs qa and ops"), "{said}");
    let said = spoilt("request", &|folder| {
        let file = folder.join("statements/request.dsse.json");
        fs::copy(folder.join("statements/push.dsse.json"), file).unwrap();
    });
    assert!(said.contains("is a push"), "{said}");
    let said = spoilt("charter", &|folder| {
        let file = folder.join("estate/charter.toml");
        fs::write(&file, read_text(&file).replace("qa and ops", "qa or ops")).unwrap();
    });
    assert!(said.contains("not whole"), "{said}");
    let said = spoilt("build", &|folder| {
        let file = folder.join("manifest.json");
        fs::write(&file, read_text(&file).replace("./web", "./bad")).unwrap();
    });
    assert!(said.contains("another build"), "{said}");

    world.sortie("tester", 0, &format!("withdraw {version} --from prod --reason \"it bites\""));
    let again = world.root().join("again");
    world
        .sortie("coder", 3, &format!("permit export {version} --to prod --out {}", again.display()))
        .says("PERMIT_WITHDRAWN");
}

const WAYS: &str = r#"
[environments.prod]
class = "live"
approve = "qa and ops"
deploy = "ops"
evidence = { scan = "ops" }
[environments.prod.ways.hotfix]
approve = "ops"
waives = ["evidence:scan"]
hours = 24
"#;

/// R31, R33, R52: other people's programs go by the charter's ways, by what owners uphold and annul, and by its gates, as
/// targets do; what they cannot judge they say, and do not claim.
#[test]
fn r31_r33_r52_ways_gates_upheld_and_annulled_are_judged_by_others_programs() {
    let mut world = World::new();
    world.found(TEAM, WAYS);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    let prod = format!("{version} --to prod");
    let export = |name: &str| {
        let folder = world.root().join(name);
        let exported = world.ask("coder", &format!("permit export {prod} --out {}", folder.display()));
        (folder, exported["estate"].as_str().unwrap().to_string())
    };
    world.sortie("coder", 0, &format!("request {prod} --way hotfix --reason fire"));
    world.sortie("oncall", 0, &format!("approve {prod} --yes"));
    let (hotfix, estate) = export("hotfix");
    check(&world, &hotfix, &estate, 0).says("whole").says("by HOTFIX: waives evidence:scan").says("waived by hotfix");

    let report = world.home("nightly").join("scan.txt");
    fs::write(&report, "clean").unwrap();
    world.sortie("nightly", 0, &format!("evidence attach {version} --type scan --passed --file {}", report.display()));
    world.sortie("coder", 0, &format!("request {prod}"));
    world.sortie("tester", 0, &format!("approve {prod} --yes"));
    world.sortie("oncall", 0, &format!("approve {prod} --yes"));
    let (normal, _) = export("normal");
    check(&world, &normal, &estate, 0).says("scan: as the charter wants it").lacks("HOTFIX");
    let evidence = normal.join("statements/evidence-1.dsse.json");
    let kept = fs::read(&evidence).unwrap();
    fs::remove_file(&evidence).unwrap();
    check(&world, &normal, &estate, 1).says("asks for evidence of type scan");
    fs::write(&evidence, kept).unwrap();
    // Twenty years from now owners must have signed again.
    let later = "import datetime, runpy, sys\n\
         class Later(datetime.datetime):\n    @classmethod\n    def now(cls, tz=None):\n        \
         return super().now(tz) + datetime.timedelta(days=7300)\n\
         datetime.datetime = Later\nsys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n";
    let mut script = world.command("tester", python());
    script.args(["-c", later]).arg(normal.join("verify.py")).args(["--estate", &estate]);
    world.run("python verify.py, later".into(), &mut script, 1).says("expired at");

    // tester withdraws it, which owners annul; then tester leaves, and owners uphold the approval.
    world.sortie("tester", 0, &format!("withdraw {version} --from prod --reason \"the wrong one\""));
    world.sortie("owner", 0, &format!("charter annul {version} --in prod"));
    world.sortie("owner", 0, "charter apply --yes");
    let (annulled, _) = export("annulled");
    check(&world, &annulled, &estate, 0).says("whole").says("withdrawal-1.dsse.json: owners annulled it");
    let file = world.home("owner").join("charter.toml");
    let text = read_text(&file);
    world.person("second");
    let key = read_text(&world.home("second").join(".ssh/id_ed25519.pub"));
    let key = key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let of_tester = text.lines().find(|line| line.starts_with("tester = ")).unwrap();
    let text = text.replace(of_tester, &format!("second = {{ roles = [\"qa\"], keys = [\"{key}\"] }}"));
    fs::write(&file, text).unwrap();
    world.sortie("owner", 0, "charter plan --uphold").says("wrote what is upheld");
    world.sortie("owner", 0, "charter apply --yes");
    let (upheld, _) = export("upheld");
    check(&world, &upheld, &estate, 0).says("whole").says("approved by tester (qa)");
    let page = read_text(&upheld.join("README.md"));
    assert!(page.contains(".tester-"), "a leaver's signature that counts is for OpenSSL too:\n{page}");
}

/// R33: where the charter wants a version to be found well somewhere first, no signature shows that, and the script says so.
#[test]
fn r33_what_no_signature_shows_is_said_to_be_not_checked() {
    let world = World::of_team(&[("test-1", "test")]);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    world.release_to_prod(&version);
    let proof = world.root().join("proof");
    let exported = world.ask("coder", &format!("permit export {version} --to prod --out {}", proof.display()));
    let said = check(&world, &proof, exported["estate"].as_str().unwrap(), 3);
    said.says("not checked: whether it was found well in test before").says("as far as it was checked").lacks("whole:");
}

/// Two people who were shown two histories find out by one file; so does one who was shown a shorter ledger. A file
/// that anybody wrote proves nothing.
/// Attack: split view.
/// Attack: truncated ledger.
#[test]
fn a_split_view_and_a_truncated_ledger_are_found_by_a_checkpoint_from_elsewhere() {
    let mut world = World::new();
    world.found(TEAM, ENVIRONMENTS);
    world.make_repository(PROJECT);
    let (data, aside) = (world.server_data(), world.root().join("aside"));
    world.stop_server();
    copy(&data, &aside);
    world.start_server();
    let build = world.push();
    let note = world.sortie("coder", 0, "ledger checkpoint").stdout;
    let file = world.root().join("theirs.checkpoint");
    fs::write(&file, &note).unwrap();
    let verify = format!("ledger verify --against {}", file.display());
    world.sortie("tester", 0, &format!("evidence attach {build} --type scan --passed --file {}", file.display()));
    world.sortie("tester", 0, &verify).says("it extends").says("ledger whole");

    world.stop_server();
    fs::rename(&data, world.root().join("first-history")).unwrap();
    copy(&aside, &data);
    world.start_server();
    world.sortie("oncall", 5, &verify).says("has shrunk").says("theirs.checkpoint");
    world.change_greeting("Good evening, {name}!");
    world.push();
    world.sortie("oncall", 5, &verify).says("two histories").says("theirs.checkpoint");
    world.sortie("oncall", 0, "ledger verify");

    let mut lines: Vec<&str> = note.lines().collect();
    lines[1] = "1";
    let forged = world.root().join("forged.checkpoint");
    fs::write(&forged, format!("{}\n", lines.join("\n"))).unwrap();
    world.sortie("oncall", 5, &format!("ledger verify --against {}", forged.display())).says("proves nothing");
    world.sortie("oncall", 2, "ledger verify --against nowhere").says("cannot read");
}
