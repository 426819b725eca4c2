//! A CI job without a key of its own: its issuer's short-lived tokens speak for it, on the server as on every machine.

use crate::world::{Output, PROJECT, TEAM, World, read_text, words};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::json;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

const BEARER: &str = "the-job-s-own-secret";

/// An issuer on this machine that answers as GitHub Actions does: `GET …&audience=X` with a bearer, for a token in RS256.
struct Issuer {
    address: SocketAddr,
    folder: PathBuf,
    /// What it says of the job that asks.
    repository: Arc<Mutex<String>>,
}

impl Issuer {
    fn start(world: &World) -> Self {
        let folder = world.root().join("issuer");
        fs::create_dir_all(&folder).unwrap();
        let mut make = Command::new("openssl");
        make.args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"]);
        world.run("openssl genpkey".into(), make.arg(folder.join("key.pem")), 0);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let repository = Arc::new(Mutex::new("acme/web".to_string()));
        let (asks, key) = (repository.clone(), folder.join("key.pem"));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let repository = asks.lock().unwrap().clone();
                // Whoever hangs up in the middle gets no token.
                let _ = answer(stream, &key, &repository);
            }
        });
        Self { address, folder, repository }
    }

    /// Its public key, as its JSON Web Key Set would have it.
    fn jwk(&self, world: &World) -> String {
        let mut modulus = Command::new("openssl");
        modulus.args(["rsa", "-noout", "-modulus", "-in"]).arg(self.folder.join("key.pem"));
        let said = world.run("openssl rsa".into(), &mut modulus, 0).stdout;
        let digits = said.trim().strip_prefix("Modulus=").unwrap().to_string();
        let bytes: Vec<u8> =
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
        let n = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": n, "e": "AQAB"}).to_string()
    }

    /// A job's command line: a home with nothing in it, and what GitHub Actions puts into the environment.
    fn job(&self, world: &World) -> Command {
        let home = world.root().join("job");
        fs::create_dir_all(&home).unwrap();
        let mut command = world.sortie_command("coder");
        command
            .env("HOME", &home)
            .env("SORTIE_HOME", home.join(".sortie"))
            .env_remove("SORTIE_IDENTITY")
            .env("SORTIE_SERVER", &world.url_and_pin)
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("http://{}/token?job=7", self.address))
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", BEARER);
        command
    }

    #[track_caller]
    fn sortie(&self, world: &World, exit: i32, line: &str) -> Output {
        let mut command = self.job(world);
        command.args(words(line));
        world.run(format!("job $ sortie {line}"), &mut command, exit)
    }
}

fn answer(mut stream: TcpStream, key: &Path, repository: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap()?;
    let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let allowed = headers.iter().any(|line| line.eq_ignore_ascii_case(&format!("authorization: Bearer {BEARER}")));
    let target = request.split(' ').nth(1).unwrap();
    let audience = target.split(['?', '&']).find_map(|part| part.strip_prefix("audience="));
    let body = match audience {
        Some(audience) if allowed && target.starts_with("/token?job=7&") => {
            json!({"value": token(key, &audience.replace("%3A", ":"), repository)}).to_string()
        }
        _ => return write!(stream, "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn token(key: &Path, audience: &str, repository: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": "https://issuer.example", "aud": audience, "sub": format!("repo:{repository}:ref:refs/heads/main"),
        "repository": repository, "ref": "refs/heads/main", "iat": now, "nbf": now, "exp": now + 300,
    });
    let encode = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}).to_string();
    let signed = format!("{}.{}", encode(header), encode(claims.to_string()));
    let file = key.with_extension(format!("{}", signed.len()));
    fs::write(&file, &signed).unwrap();
    let made = Command::new("openssl").args(["dgst", "-sha256", "-sign"]).arg(key).arg(&file).output().unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(made.stdout))
}

/// R56: a job pushes, numbers and attaches evidence by tokens, and history names the robot. The same job of another
/// repository is refused, no token makes an approval, and what people then release runs on the machine, which checked the
/// token itself. Python's libraries check it too.
#[test]
fn r56_a_job_signs_by_its_issuer_s_tokens() {
    let mut world = World::new();
    let prod = "\n[environments]\nprod = { class = \"live\", approve = \"qa and ops\", deploy = \"ops\" }\n";
    world.found(TEAM, prod);
    world.add_machines(&[("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let issuer = Issuer::start(&world);
    let charter = world.home("owner").join("charter.toml");
    let robot = format!(
        "[robots]\nci = {{ roles = [\"ci\", \"qa\"], oidc = {{ issuer = \"https://issuer.example\", audience = \"sortie\", \
         claims = {{ repository = \"acme/web\", ref = \"refs/heads/main\" }}, keys = ['{}'] }} }}\n",
        issuer.jwk(&world)
    );
    fs::write(&charter, read_text(&charter).replace("[robots]\n", &robot)).unwrap();
    world
        .sortie("owner", 0, "charter plan")
        .says("robot ci joins as ci, qa: tokens of https://issuer.example speak for it");
    world.sortie("owner", 0, "charter apply --yes");

    *issuer.repository.lock().unwrap() = "evil/web".into();
    issuer.sortie(&world, 3, "push").says("TOKEN_REFUSED").says("evil/web").says("acme/web");
    *issuer.repository.lock().unwrap() = "acme/web".into();
    issuer.sortie(&world, 0, "whoami").says("ci of acme: ci, qa").says("a key of this job");
    let build = issuer.sortie(&world, 0, "push --on-behalf-of coder").word("web#");
    let version = issuer.sortie(&world, 0, &format!("number {build} next")).word("web@");
    world.sortie("coder", 0, "history").says("ci pushed").says("for coder");

    world.sortie("coder", 0, &format!("request {version} --to prod"));
    issuer.sortie(&world, 3, &format!("approve {version} --to prod --yes")).says("ROLE_MISSING");
    world.sortie("tester", 0, &format!("approve {version} --to prod --yes")).says("pushed by ci");
    world.sortie("oncall", 0, &format!("approve {version} --to prod --yes"));
    world.sortie("oncall", 0, &format!("deploy {version} --to prod")).says("1/1");
    world.sortie("coder", 0, "ledger verify").says("ledger whole");

    let proof = world.root().join("proof");
    let export = format!("permit export {version} --to prod --out {}", proof.display());
    let estate = world.ask("coder", &export)["estate"].as_str().unwrap().to_string();
    let check = |exit: i32| {
        let mut script = world.command("tester", crate::proofs::python());
        script.arg(proof.join("verify.py")).args(["--estate", &estate]);
        world.run("python verify.py".into(), &mut script, exit)
    };
    check(0).says("pushed by ci");
    // A token that says something else is found by Python as it is by us.
    let push = proof.join("statements/push.dsse.json");
    let text = read_text(&push);
    let (before, token) = text.split_once("\"token\": \"").unwrap();
    let (header, rest) = token.split_once('.').unwrap();
    let (_, after) = rest.split_once('.').unwrap();
    let claims =
        BASE64_URL_SAFE_NO_PAD.encode("{\"iss\":\"https://issuer.example\",\"aud\":\"sortie\",\"iat\":1,\"exp\":2}");
    fs::write(&push, format!("{before}\"token\": \"{header}.{claims}.{after}")).unwrap();
    check(1).says("nobody of the charter signed this");

    // A command that prints tokens does as well as GitHub's address, and one that fails says why.
    let by_command = |exit: i32, command: &str| {
        let mut job = issuer.job(&world);
        job.arg("whoami").env("SORTIE_OIDC_COMMAND", command);
        world.run(format!("SORTIE_OIDC_COMMAND='{command}' sortie whoami"), &mut job, exit)
    };
    let ask = format!(
        "curl -sf -H 'Authorization: Bearer {BEARER}' \"http://{}/token?job=7&audience=$AUDIENCE\" | cut -d'\"' -f4",
        issuer.address
    );
    by_command(0, &ask).says("ci of acme").says("SORTIE_OIDC_COMMAND");
    by_command(1, "echo not today >&2; exit 1").says("not today");
    by_command(1, "echo nonsense").says("the issuer's answer");
}
