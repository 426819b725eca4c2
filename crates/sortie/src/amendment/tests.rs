//! Each field of a charter, changed in both directions.

use super::*;
use trust::key::{SecretKey, Signer};

fn charter(prod: &str, people: &str) -> (Charter, String) {
    let key = |seed: u8| SecretKey::from_seed(&[seed; 32]).public().to_openssh();
    let text = format!(
        "charter = \"acme\"\n[people]\nann = {{ roles = [\"qa\", \"ops\"], keys = [\"{}\"] }}\n{}\n[environments]\n\
         prod = {{ class = \"live\", deploy = \"ops\", {prod} }}\n",
        key(1),
        people.replace("KEY", &key(2))
    );
    (Charter::from_bytes(text.as_bytes()).unwrap(), text)
}

fn between(old: &(Charter, String), new: &(Charter, String)) -> Amendment {
    Amendment::between((&old.0, &old.1), (&new.0, &new.1))
}

#[test]
fn loosening_and_tightening_are_told_apart() {
    let (one, both) = (charter("approve = \"qa\"", ""), charter("approve = \"qa and ops\"", ""));
    assert_eq!(between(&one, &both).tightens, ["release to prod: qa → qa and ops"]);
    assert_eq!(between(&both, &one).loosens, ["release to prod: qa and ops → qa"]);
    let either = charter("approve = \"qa or ops\"", "");
    assert_eq!(between(&one, &either).loosens.len(), 1);
    let other = charter("approve = \"2 ops\"", "");
    assert_eq!(between(&one, &other).changes, ["release to prod: qa → 2 ops"]);
    let own = charter("approve = \"qa\", approve_own = true", "");
    assert_eq!(between(&one, &own).loosens, ["prod: requester and pusher may approve"]);
    let longer = charter("approve = \"qa\", stale_hours = 48, offline_days = 14", "");
    assert_eq!(between(&one, &longer).loosens, ["prod: stale_hours 24 → 48", "prod: offline_days 0 → 14"]);
    assert_eq!(between(&longer, &one).tightens.len(), 2);
    let more = charter("approve = \"qa\"", "bob = { roles = [\"ops\"], keys = [\"KEY\"] }");
    assert_eq!(between(&one, &more).loosens, ["bob joins as ops"]);
    assert!(between(&more, &one).tightens[0].starts_with("bob leaves"));
    assert_eq!(between(&one, &one), Amendment::default());
}

#[test]
fn a_rollout_with_less_care_loosens() {
    let with = |rollout: &str| charter(&format!("approve = \"qa\", {rollout}"), "");
    let plain = with("at_once = 1");
    let careful = with("rollout = { at_once = 1, canary = 1, bake_minutes = 10, min_healthy = \"80%\" }");
    let tightens = between(&plain, &careful).tightens;
    assert_eq!(tightens[0], "prod: rollout canary 0 → 1");
    assert_eq!((tightens.len(), between(&careful, &plain).loosens.len()), (3, 3));
    let percent = with("at_once = \"25%\"");
    assert_eq!(between(&plain, &percent).loosens, ["prod: rollout at_once 1 → 25%"]);
    let five = with("at_once = 5");
    assert_eq!(between(&percent, &five).changes, ["prod: rollout at_once 25% → 5"]);
    let hasten = with("at_once = 1, hasten = \"ops\"");
    assert_eq!(between(&plain, &hasten).loosens, ["deploy to prod with less care than its rollout: nobody → ops"]);
    let soak = with("at_once = 1, soak_minutes = 5");
    assert_eq!(between(&plain, &soak).tightens, ["prod: soak_minutes 0 → 5"]);
}

#[test]
fn a_way_for_emergencies_loosens() {
    let with = |way: &str| {
        charter(&format!("approve = \"qa\", evidence = {{ scan = \"qa\" }}, ways = {{ hotfix = {{ {way} }} }}"), "")
    };
    let none = charter("approve = \"qa\", evidence = { scan = \"qa\" }", "");
    let small = with("approve = \"ops\", hours = 4");
    let large = with("approve = \"ops\", hours = 8, waives = [\"evidence:scan\"], approve_own = true");
    assert_eq!(between(&none, &small).loosens, ["prod: hotfix by ops, waiving nothing, for 4 h"]);
    assert_eq!(between(&small, &none).tightens, ["prod: hotfix goes, and its permits with it"]);
    assert_eq!(between(&small, &large).loosens.len(), 3);
    assert_eq!(between(&large, &small).tightens.len(), 3);
}

#[test]
fn r28_letting_a_customer_read_loosens() {
    let with = |read: &str, roles: &str| {
        let (_, text) = charter("approve = \"qa\"", "");
        let key = SecretKey::from_seed(&[7; 32]).public().to_openssh();
        let text = format!(
            "{text}\n[channels]\nglobex = {{ approve = \"qa\"{read} }}\npartners = {{ approve = \"qa\", read = \"partner\" \
             }}\n[customers]\nbob = {{ roles = [{roles}], keys = [\"{key}\"] }}\n"
        );
        (Charter::from_bytes(text.as_bytes()).unwrap(), text)
    };
    let (shut, open) = (with("", "\"partner\""), with(", read = \"globex\"", "\"partner\", \"globex\""));
    assert_eq!(between(&shut, &open).loosens, ["customer bob becomes globex", "globex is read by globex"]);
    assert_eq!(between(&open, &shut).tightens.len(), 2);
}

#[test]
fn r42_a_vendor_tightens_and_making_it_oneself_loosens() {
    let with = |audience: &str| {
        let estate = trust::Digest::of(b"acme");
        let vendor = format!("[vendors.acme]\nestate = \"{estate}\"\naudience = \"{audience}\"\n");
        let (_, text) = charter("approve = \"qa\"", "");
        let text = format!("{text}\n{vendor}[applications.web]\nvendor = \"acme\"\n");
        (Charter::from_bytes(text.as_bytes()).unwrap(), text)
    };
    let (ours, theirs) = (charter("approve = \"qa\"", ""), with("customers"));
    assert!(between(&ours, &theirs).tightens[0].starts_with("web is made by acme"));
    assert!(between(&theirs, &ours).loosens[0].starts_with("web is made here"));
    assert!(between(&theirs, &with("partners")).changes[0].contains("counts no more"));
}

/// A charter with everything in it that can be said, in words that [`changed`] changes.
fn full() -> (Charter, String) {
    let key = |seed: u8| SecretKey::from_seed(&[seed; 32]).public().to_openssh();
    let (ann, ci, bob, ledger, gone) = (key(1), key(2), key(3), key(4), key(5));
    let (dan, eve, flo) = (key(6), key(7), key(8));
    let (pin, estate, statement) =
        (trust::Digest::of(b"a pin"), trust::Digest::of(b"acme"), trust::Digest::of(b"an approval"));
    let text = format!(
        r#"charter = "acme"
requires = ["one"]
epoch = 1
push = "developer"
[server]
keys = ["{pin}"]
ledger = ["{ledger}"]
urls = ["https://one.example"]
[people]
ann = {{ roles = ["qa"], keys = [{{ key = "{ann}", hardware = true }}] }}
dan = {{ roles = ["developer", "ops"], keys = [{{ key = "{dan}", hardware = true }}] }}
eve = {{ roles = ["ops"], keys = [{{ key = "{eve}", hardware = true }}] }}
[robots]
ci = {{ roles = ["ci"], keys = ["{ci}"] }}
[robots.job]
roles = ["ci"]
[robots.job.oidc]
issuer = "https://issuer.example"
audience = "sortie"
claims = {{ ref = "main", repository = "acme/web" }}
keys = [{{ kty = "OKP", crv = "Ed25519", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }}]
[customers]
bob = {{ roles = ["partner"], keys = ["{bob}"] }}
flo = {{ roles = ["friend"], keys = ["{flo}"] }}
[environments.dev]
class = "dev"
deploy = "developer"
[environments.prod]
class = "live"
approve = "qa"
deploy = "ops"
configure = "ops"
invite = "ops"
freeze = "ops"
after = "dev"
hardware = true
permit_days = 30
stale_hours = 24
offline_days = 1
soak_minutes = 5
at_once = 1
on_failure = "undo"
hasten = "ops"
windows = ["mon-thu 07:00-16:00 UTC"]
evidence = {{ scan = {{ from = "ci", predicate = "scan/v1", pass = "critical <= 0", max_age_days = 30, pusher = false }} }}
[environments.prod.ways.break-glass]
approve = "2 ops"
waives = ["after"]
hours = 24
targets = ["prod-1"]
[channels.beta]
approve = "qa"
read = "partner"
after = "dev"
hardware = true
evidence = {{ scan = "ci" }}
[channels.beta.ways.hotfix]
approve = "ops"
hours = 24
[channels.friends]
approve = "qa"
read = "friend"
[channels.open]
approve = "qa and ops"
[words]
golive = "deploy"
[vendors.maker]
estate = "{estate}"
audience = "customers"
[applications.web]
push = "ops"
numbers = "counter"
deployed_by = "customer"
[applications.chip]
vendor = "maker"
[[upheld]]
person = "tester"
roles = ["qa"]
key = "{gone}"
statements = ["{statement}"]
"#
    );
    (Charter::from_bytes(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}")), text)
}

/// What is told when `what` of the full charter becomes `into`.
fn changed(what: &str, into: &str) -> Amendment {
    let old = full();
    assert!(old.1.contains(what), "the charter says nothing like {what}");
    let text = old.1.replacen(what, into, 1);
    let new = Charter::from_bytes(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Amendment::between((&old.0, &old.1), (&new, &text))
}

/// What is told when it becomes what it was again.
fn changed_back(what: &str, into: &str) -> Amendment {
    let new = full();
    let text = new.1.replacen(what, into, 1);
    let old = Charter::from_bytes(text.as_bytes()).unwrap();
    Amendment::between((&old, &text), (&new.0, &new.1))
}

/// Every field by which rights are given: one change that loosens, told as such, and as tightening when it is taken back.
#[test]
fn r51_each_right_that_is_given_away_is_told_field_by_field() {
    for (what, into, told) in [
        ("requires = [\"one\"]", "requires = []", "agents need no one any more"),
        ("push = \"developer\"", "push = \"developer or ci\"", "push and number builds: developer → developer or ci"),
        ("roles = [\"qa\"], keys", "roles = [\"qa\", \"ops\"], keys", "ann becomes ops"),
        ("roles = [\"ci\"], keys", "roles = [\"ci\", \"qa\"], keys", "robot ci becomes qa"),
        ("roles = [\"partner\"]", "roles = [\"partner\", \"friend\"]", "customer bob becomes friend"),
        ("ref = \"main\", ", "", "robot job: tokens must claim ref main, repository acme/web → repository acme/web"),
        ("approve = \"qa\"\ndeploy", "approve = \"qa or ops\"\ndeploy", "release to prod: qa → qa or ops"),
        ("deploy = \"ops\"", "deploy = \"ops or ci\"", "deploy to prod: ops → ops or ci"),
        ("configure = \"ops\"", "configure = \"ops or ci\"", "configure prod: ops → ops or ci"),
        ("invite = \"ops\"", "invite = \"ops or developer\"", "invite targets to prod: ops → ops or developer"),
        (
            "freeze = \"ops\"",
            "freeze = \"ops or ci\"",
            "declare, lift and except from freezes of prod: ops → ops or ci",
        ),
        ("after = \"dev\"\nhardware = true\npermit", "hardware = true\npermit", "prod no longer comes after dev"),
        ("hardware = true\npermit", "permit", "prod: approvals count by any key"),
        ("permit_days = 30", "permit_days = 60", "prod: permit_days 30 → 60"),
        ("stale_hours = 24", "stale_hours = 48", "prod: stale_hours 24 → 48"),
        ("offline_days = 1", "offline_days = 2", "prod: offline_days 1 → 2"),
        ("soak_minutes = 5", "soak_minutes = 0", "prod: soak_minutes 5 → 0"),
        ("on_failure = \"undo\"", "on_failure = \"stop\"", "prod: rollout on_failure undo → stop"),
        ("at_once = 1", "at_once = 2", "prod: rollout at_once 1 → 2"),
        (
            "hasten = \"ops\"",
            "hasten = \"ops or ci\"",
            "deploy to prod with less care than its rollout: ops → ops or ci",
        ),
        (
            "windows = [\"mon-thu 07:00-16:00 UTC\"]",
            "windows = []",
            "prod: something new starts mon-thu 07:00-16:00 UTC → at any time",
        ),
        (
            "16:00 UTC\"]",
            "16:00 UTC\", \"fri 07:00-12:00 UTC\"]",
            "prod: something new starts mon-thu 07:00-16:00 UTC → mon-thu 07:00-16:00 UTC; fri 07:00-12:00 UTC",
        ),
        ("from = \"ci\"", "from = \"ci or qa\"", "attest scan for prod: ci → ci or qa"),
        ("predicate = \"scan/v1\", ", "", "prod: evidence scan is of predicate type scan/v1 → any"),
        ("critical <= 0", "critical <= 3", "prod: evidence scan must say critical <= 0 → critical <= 3"),
        ("max_age_days = 30", "max_age_days = 90", "prod: evidence scan is at most 30 days old → at most 90 days old"),
        ("max_age_days = 30, ", "", "prod: evidence scan is at most 30 days old → of any age"),
        ("pusher = false", "pusher = true", "prod: evidence scan by whoever pushed the build counts"),
        ("approve = \"2 ops\"", "approve = \"ops\"", "break-glass to prod: 2 ops → ops"),
        ("waives = [\"after\"]", "waives = [\"after\", \"freezes\"]", "prod: break-glass waives freezes"),
        ("hours = 24\ntargets", "hours = 48\ntargets", "prod: break-glass lives 24 h → 48 h"),
        (
            "targets = [\"prod-1\"]",
            "targets = [\"prod-1\", \"prod-2\"]",
            "prod: break-glass reaches prod-1 → prod-1, prod-2",
        ),
        ("targets = [\"prod-1\"]", "", "prod: break-glass reaches prod-1 → every target"),
        (
            "targets = [\"prod-1\"]",
            "targets = [\"prod-1\"]\napprove_own = true",
            "prod: break-glass: requester and pusher may approve",
        ),
        ("permit_days = 30", "permit_days = 30\napprove_own = true", "prod: requester and pusher may approve"),
        ("approve = \"qa\"\nread", "approve = \"qa or ops\"\nread", "release to beta: qa → qa or ops"),
        ("read = \"partner\"", "read = \"partner or friend\"", "read beta: partner → partner or friend"),
        ("approve = \"qa and ops\"", "approve = \"qa and ops\"\npublic = true", "open is read by anyone"),
        ("read = \"partner\"", "read = \"partner\"\napprove_own = true", "beta: requester and pusher may approve"),
        ("after = \"dev\"\nhardware = true\nevidence", "hardware = true\nevidence", "beta no longer comes after dev"),
        ("hardware = true\nevidence", "evidence", "beta: approvals count by any key"),
        ("evidence = { scan = \"ci\" }", "", "beta no longer asks for evidence scan"),
        ("approve = \"ops\"\nhours = 24", "approve = \"ops\"\nhours = 48", "beta: hotfix lives 24 h → 48 h"),
        ("push = \"ops\"", "push = \"ops or ci\"", "push and number builds of web: ops → ops or ci"),
        ("deployed_by = \"customer\"", "deployed_by = \"us\"", "web may be deployed to live environments"),
        ("vendor = \"maker\"", "", "chip is made here: maker's release is not asked for"),
    ] {
        let amendment = changed(what, into);
        assert!(amendment.loosens.iter().any(|line| line == told), "{what} → {into}: {amendment:#?}");
        assert!(amendment.tightens.is_empty() && amendment.changes.is_empty(), "{what} → {into}: {amendment:#?}");
        let back = changed_back(what, into);
        assert!(!back.tightens.is_empty(), "{into} → {what}: {back:#?}");
        assert!(back.loosens.is_empty() && back.changes.is_empty(), "{into} → {what}: {back:#?}");
    }
}

#[test]
fn what_is_neither_more_nor_less_is_told_as_a_change() {
    for (what, into, told) in [
        ("charter = \"acme\"", "charter = \"acme and sons\"", "the organisation's name acme → acme and sons"),
        ("epoch = 1", "epoch = 2", "epoch 1 → 2"),
        ("golive = \"deploy\"", "golive = \"release\"", "who types golive means release"),
        ("golive = \"deploy\"", "", "golive is no word for deploy any more"),
        (
            "https://one.example",
            "https://two.example",
            "agents and clients look for the server at https://one.example → https://two.example",
        ),
        (
            "https://issuer.example",
            "https://other.example",
            "robot job: tokens of https://issuer.example for sortie → https://other.example for sortie speak for it",
        ),
        ("critical <= 0", "high <= 0", "prod: evidence scan must say critical <= 0 → high <= 0"),
        ("scan/v1", "scan/v2", "prod: evidence scan is of predicate type scan/v1 → scan/v2"),
        ("[\"prod-1\"]", "[\"prod-2\"]", "prod: break-glass reaches prod-1 → prod-2"),
        ("mon-thu", "tue-thu", "prod: something new starts mon-thu 07:00-16:00 UTC → tue-thu 07:00-16:00 UTC"),
        ("numbers = \"counter\"", "numbers = \"calver\"", "web is numbered by counter → calver"),
        ("deployed_by = \"customer\"", "deployed_by = \"embedded\"", "web is deployed by others: customer → embedded"),
        ("audience = \"customers\"", "audience = \"partners\"", "chip: what its vendor released so far counts no more"),
    ] {
        let amendment = changed(what, into);
        assert!(amendment.changes.iter().any(|line| line == told), "{what} → {into}: {amendment:#?}");
    }
}

#[test]
fn each_key_is_told_by_itself() {
    let key = |seed: u8| SecretKey::from_seed(&[seed; 32]).public();
    let id = |seed: u8| key(seed).id().to_string()[..8].to_string();
    let ci = format!("keys = [\"{}\"", key(2).to_openssh());
    let second = changed(&ci, &format!("{ci}, \"{}\"", key(9).to_openssh()));
    assert_eq!((second.loosens, second.tightens), (vec![format!("robot ci gets the key {}", id(9))], vec![]));
    let other = changed(&ci, &format!("keys = [\"{}\"", key(9).to_openssh()));
    assert_eq!(other.loosens, [format!("robot ci gets the key {}", id(9))]);
    assert_eq!(
        other.tightens,
        [format!("robot ci's key {} goes, and what it signed with it, but for what is upheld", id(2))]
    );
    let (pin, next) = (trust::Digest::of(b"a pin"), trust::Digest::of(b"the next pin"));
    let announced = changed(&format!("\"{pin}\""), &format!("\"{pin}\", \"{next}\""));
    assert_eq!(announced.loosens, [format!("the server is known by the TLS key {}", next.short())]);
    let ledger = changed(&key(4).to_openssh(), &key(9).to_openssh());
    assert_eq!(ledger.loosens, [format!("the ledger's checkpoints are signed by the key {}", id(9))]);
    assert_eq!(ledger.tightens, [format!("the ledger's checkpoints are signed by the key {} no longer", id(4))]);
    let issuer = changed("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw");
    assert_eq!(issuer.loosens, ["robot job: tokens signed by a further key of https://issuer.example count"]);
    assert_eq!(issuer.tightens, ["robot job: tokens signed by a former key of https://issuer.example count no more"]);
    let (statement, more) = (trust::Digest::of(b"an approval"), trust::Digest::of(b"another"));
    let upheld = changed(&format!("\"{statement}\""), &format!("\"{statement}\", \"{more}\""));
    assert_eq!(upheld.loosens, ["upholds 1 statement of tester as qa"]);
    let dropped = changed(&format!("\"{statement}\""), &format!("\"{more}\""));
    assert_eq!(dropped.tightens, ["no longer upholds 1 statement of tester as qa"]);
}

#[test]
fn audiences_and_classes_come_and_go() {
    let gone = changed("[channels.friends]", "[channels.gamma]");
    assert_eq!(gone.loosens, ["channel gamma is new: released to by qa"]);
    assert_eq!(gone.tightens, ["channel friends goes; nobody gets anything from it"]);
    let test = "[environments.test]\nclass = \"test\"\napprove = \"qa\"\ndeploy = \"ops\"\n[environments.dev]";
    let new = changed("[environments.dev]", test);
    assert_eq!(new.loosens, ["environment test is new, of class test: released to by qa, deployed to by ops"]);
    assert_eq!(
        changed_back("[environments.dev]", test).tightens,
        ["environment test goes; its targets refuse everything"]
    );
    let lower = changed("class = \"live\"", "class = \"test\"");
    assert!(lower.loosens[0].starts_with("prod: class live → test; targets that joined before refuse"), "{lower:#?}");
}

/// That nothing is told says that no rule differs.
#[test]
fn comments_are_no_rule_and_everything_else_is_told() {
    let comment = changed("epoch = 1", "epoch = 1 # one");
    assert!(comment.is_untold() && !comment.lines.is_empty());
    assert!(comment.in_words().starts_with("the lines differ in no rule"), "{}", comment.in_words());
    let unnamed = changed(
        "[vendors.maker]",
        &format!("[vendors.other]\nestate = \"{}\"\naudience = \"us\"\n[vendors.maker]", trust::Digest::of(b"other")),
    );
    assert_eq!(unnamed.changes, ["vendor other, who makes no application"]);
}

#[test]
fn r30_a_longer_life_loosens_and_a_shorter_one_says_what_it_takes() {
    let test = |terms: &str| {
        let (_, text) = charter("approve = \"qa\"", "");
        let text = text.replace("class = \"live\"", &format!("class = \"test\"{terms}"));
        (Charter::from_bytes(text.as_bytes()).unwrap(), text)
    };
    let (ever, day, week) = (test(""), test(", lives = \"24h\""), test(", lives = \"7d\""));
    let (mut without, text) = test("");
    without.environments.clear();
    let new = between(&(without, text), &day).loosens;
    assert!(new[0].contains("prod is new") && new[0].contains("lives for 1d from when it joined"), "{new:?}");
    assert_eq!(between(&day, &week).loosens, ["prod: targets live for 1d → for 7d"]);
    assert_eq!(between(&day, &ever).loosens, ["prod: targets live for 1d → for ever"]);
    for (before, after, line) in [(&week, &day, "for 7d → for 1d"), (&ever, &day, "for ever → for 1d")] {
        let tightens = between(before, after).tightens;
        assert_eq!(tightens.len(), 1);
        assert!(
            tightens[0].contains(line) && tightens[0].ends_with("remove everything at once, data too"),
            "{tightens:?}"
        );
    }
    let (sided, otherwise) = (test(", sides = \"side\""), test(", sides = \"half\""));
    assert_eq!(between(&sided, &ever).loosens, ["prod has no sides: what is deployed serves at once"]);
    assert_eq!(
        between(&ever, &sided).tightens,
        ["prod has two sides by the label side: what is deployed stands by until somebody switches"]
    );
    assert_eq!(between(&sided, &otherwise).changes, ["prod: its sides are told apart by half, no longer by side"]);
    let patient = test(", ephemeral_minutes = 60");
    assert_eq!(between(&ever, &patient).changes, ["prod: ephemeral targets are gone after 15 → 60 min of silence"]);
}
