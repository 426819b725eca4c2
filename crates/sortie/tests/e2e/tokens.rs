//! Tokens that read and do nothing else.

use crate::world::{World, until};
use std::{fs, path::Path, process::Command};

/// Asks the server with curl, as a dashboard would; answers with the status and the body.
#[track_caller]
fn curl(world: &World, token: &str, method: &str, path: &str) -> String {
    let mut command = Command::new("curl");
    command.args(["-sk", "--http1.1", "--max-time", "20", "-w", "\n%{http_code}", "-X", method, "-H"]);
    command.arg(format!("Authorization: Bearer {token}"));
    if method != "GET" {
        command.args(["-H", "content-type: application/json", "-d", "{\"digests\":[]}"]);
    }
    world.run(format!("curl -X {method} {path}"), command.arg(format!("{}{path}", world.url())), 0).stdout
}

/// Whether any file below a folder holds the text.
fn holds(folder: &Path, text: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().flatten().any(|entry| match entry.path().is_dir() {
        true => holds(&entry.path(), text),
        false => fs::read(entry.path()).unwrap().windows(text.len()).any(|window| window == text),
    })
}

/// Attack: read-only token used to write.
/// Holds: a dashboard's token, and the server's address.
/// Left to him: to read how things stand, as the person who made it may, until it expires or is revoked. It neither writes
/// nor fetches builds, and acts need a signature besides.
/// R56: who made and who ended it stands in the ledger.
#[test]
fn r56_a_read_only_token_reads_and_nothing_else() {
    let mut world = World::new();
    world.found(&[("coder", "developer")], "\n[environments]\ndev = { class = \"dev\", deploy = \"developer\" }\n");
    let made = world.ask("coder", "token create --read-only --note dashboard --expires 30d");
    let token = made["token"].as_str().unwrap().to_string();
    for path in ["/v1/status", "/v1/history", "/metrics", "/"] {
        let answer = curl(&world, &token, "GET", path);
        assert!(answer.ends_with("\n200"), "{path}: {answer}");
    }
    let digest = format!("/v1/objects/sha256:{}", "0".repeat(64));
    let builds = [("PUT", digest.as_str()), ("GET", &digest), ("POST", "/v1/packs"), ("POST", "/v1/packs/fetch")];
    for (method, path) in builds.into_iter().chain([("POST", "/v1/objects/missing")]) {
        let answer = curl(&world, &token, method, path);
        assert!(answer.contains("TOKEN_READS_ONLY") && answer.ends_with("\n403"), "{method} {path}: {answer}");
    }
    // It logs nobody in, and it is no signature.
    for path in ["/v1/sessions", "/v1/commands"] {
        let answer = curl(&world, &token, "POST", path);
        assert!(answer.ends_with("\n400"), "{path}: {answer}");
    }
    world.sortie("coder", 0, "whoami").says("read-only tokens: dashboard");
    world.sortie("coder", 0, "token list").says("dashboard   coder");
    world.sortie("coder", 2, "token create --note dashboard").says("you have a token dashboard already");
    world.sortie("coder", 0, "history").says("coder made the read-only token dashboard");
    assert!(!holds(&world.server_data(), token.as_bytes()), "the server keeps the secret");

    // One that is over says so.
    let short = world.ask("coder", "token create --note short --expires 1s")["token"].as_str().unwrap().to_string();
    until("the end of a token", || curl(&world, &short, "GET", "/v1/status").contains("TOKEN_EXPIRED").then_some(()));

    world.sortie("coder", 2, "token revoke dashboard --of owner").says("owner has no token dashboard");
    world.sortie("owner", 0, "token list").says("dashboard   coder");
    world.sortie("owner", 0, "token revoke dashboard --of coder").says("good no more");
    let answer = curl(&world, &token, "GET", "/v1/status");
    assert!(answer.contains("LOGIN_NEEDED") && answer.ends_with("\n401"), "{answer}");
    world.sortie("owner", 0, "ledger verify").says("ledger whole");

    // R56: every entry says who acted, and in which roles where a person did.
    let history = world.ask("coder", "history");
    let entries: Vec<_> = history["entries"].as_array().unwrap().iter().map(|told| &told["entry"]).collect();
    assert_eq!(entries.len(), 4);
    for entry in entries {
        let roles = entry["roles"].as_array().is_some_and(|roles| !roles.is_empty());
        assert!(entry["actor"] == "founder" || (entry["actor"].is_string() && roles), "{entry}");
    }
    // Whoever leaves the charter takes their tokens along, even while they are good.
    let mine = world.ask("coder", "token create --note mine")["token"].as_str().unwrap().to_string();
    assert!(curl(&world, &mine, "GET", "/v1/status").ends_with("\n200"));
    world.sortie("owner", 0, "person suspend coder");
    assert!(curl(&world, &mine, "GET", "/v1/status").ends_with("\n401"));
}
