//! He attacks the tokens by which CI jobs sign.
//!
//! The tokens in `tokens.json` were made by Python's `cryptography`, with an RSA and a P-256 key that nobody kept, for the
//! job's key of seed 41; those made here are EdDSA, so that each claim can be varied.

use crate::world::*;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use trust::{
    AudienceName, PersonName,
    authority::Dossier,
    charter::Charter,
    dsse::{Envelope, Signature},
    key::{PublicKey, SecretKey, SignError, Signer},
    oidc::{self, OidcError, Proof},
    statement::{Act, Push},
};

const ISSUER_KEY: u8 = 40;
const JOB: u8 = 41;
/// 2026-11-22T11:59:00Z: a minute before the statements of this world are made, six before they must be submitted.
const ISSUED: i64 = 1_795_348_740;

/// A job's key with its token.
struct Job {
    key: SecretKey,
    token: String,
}

impl Signer for Job {
    fn public(&self) -> PublicKey {
        self.key.public()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.key.sign(message)
    }
    fn proof(&self) -> Result<Option<Proof>, SignError> {
        Ok(Some(Proof { key: self.public(), token: self.token.clone() }))
    }
}

/// The tokens made elsewhere: by their names, with `n`, `x` and `y` of the keys that made them.
fn made_elsewhere(name: &str) -> String {
    let file: Value = serde_json::from_str(include_str!("tokens.json")).unwrap();
    file[name].as_str().unwrap().to_string()
}

fn claims() -> Value {
    json!({
        "iss": "https://ci.example", "aud": format!("sortie:{}", key(JOB).public().id()),
        "sub": "repo:acme/web:ref:refs/heads/main", "repository": "acme/web", "ref": "refs/heads/main",
        "iat": ISSUED, "nbf": ISSUED, "exp": ISSUED + 900,
    })
}

fn token(header: &str, claims: &str, signer: &SecretKey) -> String {
    let signed = format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT","kid":"d1"}"#;

fn genuine() -> String {
    token(HEADER, &claims().to_string(), &key(ISSUER_KEY))
}

/// A charter whose robot ci signs by tokens: one key of the issuer as a table, the others as their JSON.
fn charter_of(keys: &str) -> String {
    let oidc = format!(
        r#"oidc = {{ issuer = "https://ci.example", audience = "sortie", claims = {{ repository = "acme/web", ref = "refs/heads/main" }}, keys = [{keys}] }}"#
    );
    let text = charter_text(PROD);
    let changed = text.replacen(&format!("keys = [\"{}\"]", line(CI)), &oidc, 1);
    assert_ne!(text, changed);
    changed
}

fn all_keys() -> String {
    let d = BASE64_URL_SAFE_NO_PAD.encode(key(ISSUER_KEY).public().point());
    format!(
        r#"{{ kty = "OKP", crv = "Ed25519", kid = "d1", x = "{d}" }},
           '{{"kty":"RSA","alg":"RS256","kid":"r1","use":"sig","n":"{}","e":"AQAB"}}',
           '{{"kty":"EC","crv":"P-256","kid":"e1","x":"{}","y":"{}"}}'"#,
        made_elsewhere("n"),
        made_elsewhere("x"),
        made_elsewhere("y")
    )
    .replace('\n', " ")
}

fn push_by(token: &str) -> Envelope {
    let job = Job { key: key(JOB), token: token.into() };
    let header = trust::statement::Header {
        estate: estate(),
        request_id: trust::statement::RequestId::new("1").unwrap(),
        submit_before: time("2026-11-22T12:05:00Z"),
        on_behalf_of: None,
    };
    let act = Act::Push(Push { app: app(), commit: None, recipe: None, makers: vec![] });
    let statement = trust::statement::Statement { subject_name: "web".into(), subject: build(), header, act };
    statement.sign(&[&job]).unwrap()
}

fn attempt(push: Envelope) -> Attempt {
    Attempt {
        policy: policy_of(&charter_of(&all_keys()), &[]),
        ..Attempt::new(Dossier { push: Some(push), ..whole() })
    }
}

fn refusal(token: &str) -> OidcError {
    let envelope = push_by(token);
    let policy = policy_of(&charter_of(&all_keys()), &[]);
    assert_eq!(attempt(envelope.clone()).denied(), "STATEMENT_INVALID");
    oidc::prove(&policy.directory, &envelope, &envelope.signatures[0]).unwrap_err()
}

#[test]
fn a_target_takes_a_push_by_a_token_of_each_pinned_key() {
    for token in [genuine(), made_elsewhere("rs"), made_elsewhere("es")] {
        assert!(attempt(push_by(&token)).run().is_ok());
    }
    // An audience of one in a list is the same audience.
    let mut one = claims();
    one["aud"] = json!([one["aud"]]);
    assert!(attempt(push_by(&token(HEADER, &one.to_string(), &key(ISSUER_KEY)))).run().is_ok());
}

/// Attack: token signed by no pinned key.
/// Holds: the public keys of the issuer, and the wish that a verifier believes what a token says of its own algorithm: none,
/// or HS256 with the public key as the secret.
/// Left to him: nothing; a pinned key is for one algorithm, and no key is ever fetched.
#[test]
fn algorithm_none_and_the_public_key_as_a_secret() {
    let signature = |error: OidcError| matches!(error, OidcError::Signature(_));
    // HS256 by the PEM of the RSA key and by its bare modulus.
    for name in ["none", "hs", "hs2"] {
        assert!(signature(refusal(&made_elsewhere(name))), "{name}");
    }
    // Another's key, under the pinned key's id; a genuine signature under another algorithm's name.
    assert!(signature(refusal(&token(HEADER, &claims().to_string(), &key(STRANGER)))));
    for alg in ["none", "RS256", "ES256", "HS256", "eddsa", ""] {
        let header = HEADER.replace("EdDSA", alg);
        assert!(signature(refusal(&token(&header, &claims().to_string(), &key(ISSUER_KEY)))), "{alg}");
    }
    let (signed, _) = genuine().rsplit_once('.').map(|(signed, rest)| (signed.to_string(), rest.to_string())).unwrap();
    assert!(signature(refusal(&format!("{signed}."))));
    // Headers that ask for more than is understood, and texts that two readers could read differently.
    for header in [
        r#"{"alg":"EdDSA","crit":["exp"],"exp":1}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
        r#"{"alg":"EdDSA","alg":"none"}"#,
    ] {
        assert!(matches!(refusal(&token(header, &claims().to_string(), &key(ISSUER_KEY))), OidcError::Malformed(_)));
    }
    let twice = claims().to_string().replacen('{', r#"{"repository":"acme/web","#, 1);
    assert!(matches!(refusal(&token(HEADER, &twice, &key(ISSUER_KEY))), OidcError::Malformed(_)));
}

/// Attack: token of another issuer, audience, repository or time.
/// Holds: genuine tokens, of the same issuer for another job, another repository or another service, or of another issuer;
/// a token that is over, from a log.
/// Left to him: nothing; a token speaks for one key, which he would need as well, and for as long as it lives.
#[test]
fn tokens_for_something_else() {
    let with = |claim: &str, value: Value| {
        let mut claims = claims();
        claims[claim] = value;
        refusal(&token(HEADER, &claims.to_string(), &key(ISSUER_KEY)))
    };
    assert!(matches!(with("iss", json!("https://evil.example")), OidcError::Issuer(_)));
    let audiences = [
        json!("sortie"),
        json!(format!("sortie:{}", key(STRANGER).public().id())),
        json!(format!("other:{}", key(JOB).public().id())),
        json!([format!("sortie:{}", key(JOB).public().id()), "cloud"]),
        json!([]),
        json!(7),
    ];
    for audience in audiences {
        assert!(matches!(with("aud", audience), OidcError::Audience { .. }));
    }
    for (claim, value) in [
        ("repository", json!("evil/web")),
        ("repository", json!(null)),
        ("ref", json!("refs/heads/main2")),
        ("ref", json!(["refs/heads/main"])),
    ] {
        assert!(matches!(with(claim, value), OidcError::Claim { .. }), "{claim}");
    }
    // It ends before the statement may be submitted, or begins after that, or lives for a day.
    assert!(matches!(with("exp", json!(ISSUED + 359)), OidcError::Time { .. }));
    assert!(matches!(with("nbf", json!(ISSUED + 361)), OidcError::Time { .. }));
    assert!(matches!(with("exp", json!(ISSUED + 86_400)), OidcError::TooLong(86_400)));
    assert!(matches!(with("exp", json!("never")), OidcError::Malformed(_)));
    // The exact second is in time.
    let mut last = claims();
    last["exp"] = json!(ISSUED + 360);
    assert!(attempt(push_by(&token(HEADER, &last.to_string(), &key(ISSUER_KEY)))).run().is_ok());
}

/// Attack: stolen token without its key.
/// Holds: a job's token, still good, and the envelope that it spoke for; not the key, which is forgotten with the job.
/// Left to him: to show that envelope again, which says what it said.
#[test]
fn a_token_without_the_key_it_speaks_for() {
    let policy = policy_of(&charter_of(&all_keys()), &[]);
    let genuine = push_by(&genuine());
    let proof = genuine.signatures[0].proof.clone().unwrap();
    let prove = |envelope: &Envelope| oidc::prove(&policy.directory, envelope, &envelope.signatures[0]);
    assert!(prove(&genuine).is_ok());
    // The token beside his own signature; beside his own key; the signature over something else.
    let his = signed(build(), Act::Push(Push { app: app(), commit: None, recipe: None, makers: vec![] }), &[STRANGER]);
    let mut beside = his.clone();
    beside.signatures[0].proof = Some(proof.clone());
    assert_eq!(prove(&beside), Err(OidcError::NotSigned));
    beside.signatures[0].proof = Some(Proof { key: key(STRANGER).public(), ..proof.clone() });
    assert!(matches!(prove(&beside), Err(OidcError::Audience { .. })));
    let mut changed = genuine.clone();
    changed.payload = number(STRANGER).payload;
    assert_eq!(prove(&changed), Err(OidcError::NotSigned));
    // Without its proof the job's key is nobody's; and a proof takes the place of a key that the charter knows.
    let bare = Signature { proof: None, ..genuine.signatures[0].clone() };
    let envelope = Envelope { signatures: vec![bare], ..genuine };
    assert!(oidc::signers(&policy.directory, &envelope).is_empty());
    let mut known =
        signed(build(), Act::Push(Push { app: app(), commit: None, recipe: None, makers: vec![] }), &[CODER]);
    assert_eq!(oidc::signers(&policy.directory, &known).len(), 1);
    known.signatures[0].proof = Some(Proof { key: key(CODER).public(), ..proof });
    assert!(oidc::signers(&policy.directory, &known).is_empty());
}

/// Attack: robot counted as a person.
/// Holds: a robot's key, or a job's token, of a robot that holds every role.
/// Left to him: what robots may do: push, number, and order where the charter names their role. They approve nothing.
#[test]
fn robots_and_tokens_are_no_people() {
    let request = request_for("prod", 1, CODER);
    let text = charter_of(&all_keys()).replacen(r#"ci = { roles = ["ci"]"#, r#"ci = { roles = ["ci", "qa", "ops"]"#, 1);
    let policy = policy_of(&text, &[]);
    let ci = PersonName::new("ci").unwrap();
    assert_eq!(policy.directory.roles(&ci).len(), 3);
    assert!(policy.approvers.roles(&ci).is_empty());
    let job = Job { key: key(JOB), token: genuine() };
    let mut statement = trust::statement::Statement::read(&approval(&request, TESTER)).unwrap();
    statement.header.submit_before = time("2026-11-22T12:05:00Z");
    let by_token = statement.sign(&[&job]).unwrap();
    // The signature is genuine, and the robot's; it fills no place.
    assert_eq!(oidc::signers(&policy.directory, &by_token).len(), 1);
    let dossier = Dossier { approvals: vec![by_token, approval(&request, ONCALL)], request: Some(request), ..whole() };
    let dossier = Dossier { push: Some(push_by(&genuine())), ..dossier };
    let attempt = Attempt { policy, ..Attempt::new(dossier) };
    assert_eq!(attempt.denied(), "APPROVALS_MISSING");
    assert_eq!(AudienceName::new("prod").unwrap(), attempt.pinned.environment);
}

/// A charter that would let tokens speak for more than was meant is no charter.
#[test]
fn charters_that_pin_too_little_are_invalid() {
    let good = charter_of(&all_keys());
    assert!(Charter::from_bytes(good.as_bytes()).is_ok());
    for (from, to, expected) in [
        (r#"claims = { repository = "acme/web", ref = "refs/heads/main" }"#, "claims = {}", "whose tokens"),
        (r#"audience = "sortie""#, r#"audience = "a:b""#, "without a colon"),
        (r#"repository = "acme/web""#, r#"aud = "sortie""#, "always checked"),
        (r#"alg":"RS256""#, r#"alg":"HS256""#, "is for RS256"),
        (r#""kty":"RSA","#, r#""kty":"oct","#, "not 'oct'"),
        (r#""e":"AQAB""#, r#""e":"AQAB","d":"AA""#, "private key"),
        (r#"crv = "Ed25519""#, r#"crv = "X25519""#, "RSA, P-256 or Ed25519"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let message = Charter::from_bytes(bad.as_bytes()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let none = charter_of("");
    assert!(Charter::from_bytes(none.as_bytes()).unwrap_err().to_string().contains("no key is ever fetched"));
    let person = good.replacen("[robots]", "", 1);
    assert!(Charter::from_bytes(person.as_bytes()).unwrap_err().to_string().contains("robots only"));
    let both = good.replacen("oidc = {", &format!("keys = [\"{}\"], oidc = {{", line(CI)), 1);
    assert!(Charter::from_bytes(both.as_bytes()).unwrap_err().to_string().contains("not both"));
}
