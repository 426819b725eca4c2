//! The tokens of CI jobs: as text, and as claims that a pinned issuer's key has signed.

use super::world;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use trust::{
    authority::Dossier,
    key::{PublicKey, SecretKey, SignError, Signer},
    oidc::{self, Proof},
    statement::{Act, Header, Push, RequestId, Statement},
};

const ISSUER: u8 = 40;
const JOB: u8 = 41;

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

/// The charter of the scene, whose robot ci signs by tokens.
fn charter() -> String {
    let x = BASE64_URL_SAFE_NO_PAD.encode(world::key(ISSUER).public().point());
    let oidc = format!(
        r#"oidc = {{ issuer = "https://ci.example", audience = "sortie", claims = {{ repository = "acme/web" }}, keys = [{{ kty = "OKP", crv = "Ed25519", x = "{x}" }}] }}"#
    );
    world::charter_text(world::PROD).replacen(&format!("keys = [\"{}\"]", world::line(world::CI)), &oidc, 1)
}

fn token(header: &str, claims: &[u8]) -> String {
    let part = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let said = format!("{}.{}", part(header.as_bytes()), part(claims));
    let signature = world::key(ISSUER).sign(said.as_bytes()).unwrap_or_default();
    format!("{said}.{}", part(&signature))
}

/// A token for a push of the scene's build. What is let through is of the pinned repository and for this job's key.
pub fn token_of_a_job(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _no_panic = oidc::holds_until(text);
        assert!(!is_let_through(text.to_owned()) || *text == token(HEADER, &claims()), "nobody here signed {text}");
    }
    if is_let_through_with(bytes) {
        let claims: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        let audience = oidc::audience_for("sortie", &world::key(JOB).public());
        let said = &claims["aud"];
        assert!(said.as_str() == Some(&audience) || *said == serde_json::json!([audience]), "{said}");
        assert_eq!((&claims["iss"], &claims["repository"]), (&"https://ci.example".into(), &"acme/web".into()));
    }
}

/// Whether the scene's push is let through by a token of these claims, signed by the issuer.
pub fn is_let_through_with(claims: &[u8]) -> bool {
    is_let_through(token(HEADER, claims))
}

const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT"}"#;

fn is_let_through(token: String) -> bool {
    thread_local!(static POLICY: trust::authority::TrustedPolicy = world::policy_of(&charter(), &[]));
    let job = Job { key: world::key(JOB), token };
    let header = Header {
        estate: world::estate(),
        request_id: RequestId::new("1").unwrap(),
        submit_before: world::time("2026-11-22T12:05:00Z"),
        on_behalf_of: None,
    };
    let act = Act::Push(Push { app: world::app(), commit: None, recipe: None, makers: vec![] });
    let Ok(push) = Statement { subject_name: "web".into(), subject: world::build(), header, act }.sign(&[&job]) else {
        return false;
    };
    let dossier = Dossier { push: Some(push), ..world::whole() };
    POLICY.with(|policy| world::Attempt { policy: policy.clone(), ..world::Attempt::new(dossier) }.run().is_ok())
}

/// 2026-11-22T11:59:00Z.
const ISSUED: i64 = 1_795_348_740;

fn claims() -> Vec<u8> {
    let audience = oidc::audience_for("sortie", &world::key(JOB).public());
    let claims = serde_json::json!({
        "iss": "https://ci.example", "aud": audience, "repository": "acme/web", "iat": ISSUED, "exp": ISSUED + 900,
    });
    claims.to_string().into_bytes()
}

pub fn token_seeds() -> Vec<Vec<u8>> {
    vec![claims(), token(HEADER, &claims()).into_bytes()]
}
