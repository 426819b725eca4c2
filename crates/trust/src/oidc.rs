//! Short-lived tokens of an OpenID Connect issuer (RFC 7519, RFC 7515): how a CI job signs without a key of its own.
//!
//! The job makes a key for itself alone and asks its issuer for a token whose one audience is the charter's word, a colon
//! and that key's id. The signature carries key and token ([`Proof`]); whoever verifies it (server, command line, target,
//! ledger) checks the token against what the charter pins: the issuer, the audience, the claims and the issuer's own keys,
//! of which none is ever fetched. No clock is asked: a statement must not be submitted after the token's end, and says
//! itself until when it may be.
//!
//! A token alone is worth nothing, for lack of the key, and the key is forgotten with the job. What is proved is a robot of
//! the charter, which never counts as a person.

use crate::{
    digest::Digest,
    dsse::{Envelope, Signature},
    json,
    key::{KeyId, PublicKey},
    names::{PersonName, printable},
    quorum::Directory,
    statement::Statement,
};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor},
};
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// The longest token that is read, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;
/// The longest life of a token, in seconds: an hour.
pub const MAX_LIFE_SECONDS: i64 = 3600;

/// What a signature carries where its key is in no charter: the key, and the token that speaks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The key that the job made for itself.
    pub key: PublicKey,
    /// The issuer's token, in its compact form.
    pub token: String,
}

/// Whose tokens speak for a robot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// The issuer, as its tokens name it.
    pub issuer: String,
    /// What an audience begins with; a colon and the id of the job's key follow.
    pub audience: String,
    /// The claims a token must make, word for word: `repository`, `ref`, `environment`.
    pub claims: BTreeMap<String, String>,
    /// The issuer's keys, as its JSON Web Key Set has them: as tables, or as texts with the JSON.
    pub keys: Vec<IssuerKey>,
}

/// One key of an issuer. Its kind alone says by which algorithm tokens are checked: what a token says of that must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerKey {
    kid: Option<String>,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rs256 {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// ES256 or EdDSA.
    Point(PublicKey),
}

/// Why a token speaks for nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// No robot of the charter takes tokens of this issuer.
    #[error("no robot of the charter takes tokens of the issuer '{0}'")]
    Issuer(String),
    /// Not a token that every reader takes for the same thing.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Signed by none of the pinned keys, or by another algorithm than the key's.
    #[error("the token is signed by no key that the charter pins for its issuer ({0})")]
    Signature(String),
    /// For somebody else.
    #[error("the token is for '{found}', and must be for '{wanted}': ask the issuer for that audience")]
    Audience {
        /// What it says.
        found: String,
        /// What it must say.
        wanted: String,
    },
    /// A claim that differs.
    #[error("the token's {claim} is '{found}', and the charter asks for '{wanted}'")]
    Claim {
        /// Which.
        claim: String,
        /// What it says.
        found: String,
        /// What it must say.
        wanted: String,
    },
    /// The statement may be submitted when the token does not hold.
    #[error("the token holds from {from} until {until}, and the statement may be submitted until {submit_before}")]
    Time {
        /// From.
        from: Timestamp,
        /// Until.
        until: Timestamp,
        /// The statement's own word.
        submit_before: Timestamp,
    },
    /// A token that is no short-lived one.
    #[error("the token lives {0} seconds, and {MAX_LIFE_SECONDS} are the most")]
    TooLong(i64),
    /// The job's key did not sign.
    #[error("the key that the token speaks for did not sign this")]
    NotSigned,
}

/// The keys that genuinely signed `envelope` and belong to somebody in `directory`: those of people and robots, and, for
/// a signature with a proof, the id of its issuer's key.
pub fn signers(directory: &Directory, envelope: &Envelope) -> Vec<KeyId> {
    let mut signers = envelope.signers(|id| directory.key(id));
    for signature in envelope.signatures.iter().filter(|signature| signature.proof.is_some()) {
        if let Ok(id) = prove(directory, envelope, signature)
            && !signers.contains(&id)
        {
            signers.push(id);
        }
    }
    signers
}

/// As [`signers`], where every signature must be genuine; nothing where one is not.
pub fn all_signers(directory: &Directory, envelope: &Envelope) -> Option<Vec<KeyId>> {
    let bare = envelope.signers(|id| directory.key(id));
    let mut signers = Vec::new();
    for signature in &envelope.signatures {
        let id = match &signature.proof {
            Some(_) => prove(directory, envelope, signature).ok()?,
            None => *bare.iter().find(|id| **id == signature.keyid)?,
        };
        if !signers.contains(&id) {
            signers.push(id);
        }
    }
    (!signers.is_empty()).then_some(signers)
}

/// The robot for whom a proof speaks at a moment.
pub fn robot<'a>(directory: &'a Directory, proof: &Proof, at: Timestamp) -> Option<&'a PersonName> {
    let token = Token::read(&proof.token).ok()?;
    let mut robots = directory.tokens().filter(|(_, oidc)| oidc.issuer == token.claims.iss);
    robots.find(|(_, oidc)| oidc.accepts(&token, &proof.key, at).is_ok()).map(|(robot, _)| robot)
}

/// The id of the issuer's key by which a signature's proof speaks for a robot of the directory.
pub fn prove(directory: &Directory, envelope: &Envelope, signature: &Signature) -> Result<KeyId, OidcError> {
    let proof = signature.proof.as_ref().ok_or(OidcError::NotSigned)?;
    if !signature.is_by_key_of_proof(&envelope.payload_type, &envelope.payload) {
        return Err(OidcError::NotSigned);
    }
    let statement = Statement::read(envelope).map_err(|_| OidcError::NotSigned)?;
    let token = Token::read(&proof.token)?;
    let mut refusal = OidcError::Issuer(printable(&token.claims.iss));
    for (robot, oidc) in directory.tokens().filter(|(_, oidc)| oidc.issuer == token.claims.iss) {
        match oidc.accepts(&token, &proof.key, statement.header.submit_before) {
            Ok(key) => return Ok(key.id(robot, oidc)),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// The audience that a job asks its issuer for.
pub fn audience_for(audience: &str, key: &PublicKey) -> String {
    format!("{audience}:{}", key.id())
}

/// Until when a token holds, by its own word: for whoever holds it and wants to know when to ask for another.
pub fn holds_until(token: &str) -> Result<Timestamp, OidcError> {
    moment(Token::read(token)?.claims.exp)
}

/// A token that was read, and not believed yet.
struct Token<'a> {
    header: TokenHeader,
    claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Value,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

impl<'a> Token<'a> {
    fn read(token: &'a str) -> Result<Self, OidcError> {
        let malformed = OidcError::Malformed;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(malformed("it is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(malformed("it has no signature"))?;
        let (header, claims) = signed.split_once('.').ok_or(malformed("it has no claims"))?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("it is not base64url"));
        let header: TokenHeader =
            json::from_strict(&decode(header)?).map_err(|_| malformed("its header is not strict JSON"))?;
        let claims: Claims =
            json::from_strict(&decode(claims)?).map_err(|_| malformed("its claims are not strict JSON"))?;
        if header.crit.is_some() {
            return Err(malformed("it has critical extensions, which nobody here understands"));
        }
        if header.typ.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("JWT")) {
            return Err(malformed("it is another kind of token"));
        }
        Ok(Self { header, claims, signed, signature: decode(signature)? })
    }
}

impl Oidc {
    /// The issuer's key that made the token, once the token is found to speak for `key` until `submit_before`.
    fn accepts(&self, token: &Token<'_>, key: &PublicKey, submit_before: Timestamp) -> Result<&IssuerKey, OidcError> {
        let made = self.keys.iter().find(|pinned| pinned.made(token));
        let made = made.ok_or_else(|| OidcError::Signature(printable(&token.header.alg)))?;
        let wanted = audience_for(&self.audience, key);
        let found = match &token.claims.aud {
            Value::String(one) => one.clone(),
            // A token for several is for others too.
            Value::Array(several) if several.len() == 1 => several[0].as_str().unwrap_or_default().into(),
            other => other.to_string(),
        };
        if found != wanted {
            return Err(OidcError::Audience { found: printable(&found), wanted });
        }
        for (claim, wanted) in &self.claims {
            let found = match token.claims.others.get(claim) {
                Some(Value::String(text)) => text.clone(),
                Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
                _ => String::new(),
            };
            if found != *wanted {
                let (claim, wanted) = (claim.clone(), wanted.clone());
                return Err(OidcError::Claim { claim, found: printable(&found), wanted });
            }
        }
        let Claims { exp, iat, nbf, .. } = token.claims;
        let life = exp.saturating_sub(iat);
        if life > MAX_LIFE_SECONDS {
            return Err(OidcError::TooLong(life));
        }
        let (from, until) = (moment(nbf.map_or(iat, |nbf| nbf.max(iat)))?, moment(exp)?);
        if submit_before < from || submit_before > until {
            return Err(OidcError::Time { from, until, submit_before });
        }
        Ok(made)
    }

    /// What contradicts itself in it, if anything does.
    pub(crate) fn mistake(&self) -> Option<String> {
        let plain = |text: &str| !text.is_empty() && text.len() <= 200 && text.bytes().all(|b| b.is_ascii_graphic());
        if !plain(&self.issuer) || !plain(&self.audience) || self.audience.contains(':') {
            return Some("issuer and audience are plain words, the audience without a colon".into());
        }
        if self.claims.is_empty() {
            return Some(format!(
                "claims must say whose tokens are meant: everybody at {} has some. Write for example repository = \"acme/web\"",
                self.issuer
            ));
        }
        if let Some(reserved) = ["iss", "aud", "exp", "iat", "nbf"].iter().find(|name| self.claims.contains_key(**name))
        {
            return Some(format!("{reserved} is no claim to be pinned: it is always checked"));
        }
        let mut keys = self.keys.iter().enumerate();
        let repeated =
            |(at, key): (usize, &IssuerKey)| self.keys[..at].iter().any(|other| other.material == key.material);
        match (self.keys.is_empty(), keys.any(repeated)) {
            (true, _) => Some("the issuer's keys are missing: no key is ever fetched".into()),
            (_, true) => Some("an issuer's key stands twice".into()),
            _ => None,
        }
    }

    /// The ids under which a robot's signatures by tokens stand, one for each key of the issuer.
    pub(crate) fn ids<'a>(&'a self, robot: &'a PersonName) -> impl Iterator<Item = KeyId> + 'a {
        self.keys.iter().map(move |key| key.id(robot, self))
    }
}

impl IssuerKey {
    /// The id under which a robot's signatures by tokens of this key stand. It goes when the key leaves the charter.
    fn id(&self, robot: &PersonName, oidc: &Oidc) -> KeyId {
        let material = match &self.material {
            Material::Rs256 { n, e } => [n.as_slice(), e.as_slice()].map(Digest::of).map(|part| part.hex()).concat(),
            Material::Point(key) => key.id().to_string(),
        };
        let whose = ["oidc", robot.as_str(), &oidc.issuer, &material].join("\n");
        KeyId::of_material(whose.as_bytes())
    }

    /// Whether this key signed the token, by the one algorithm that the key is for.
    fn made(&self, token: &Token<'_>) -> bool {
        if let (Some(pinned), Some(named)) = (&self.kid, &token.header.kid)
            && pinned != named
        {
            return false;
        }
        let (alg, message) = (token.header.alg.as_str(), token.signed.as_bytes());
        match &self.material {
            Material::Rs256 { n, e } => {
                let key = RsaPublicKeyComponents { n, e };
                alg == "RS256" && key.verify(&RSA_PKCS1_2048_8192_SHA256, message, &token.signature).is_ok()
            }
            Material::Point(key) if key.ed25519().is_some() => {
                matches!(alg, "EdDSA" | "Ed25519") && key.verify(message, &token.signature)
            }
            Material::Point(key) => alg == "ES256" && verify_es256(key, message, &token.signature),
        }
    }
}

/// JWS has r and s side by side (RFC 7518, 3.4), in either form of s.
fn verify_es256(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier as _};
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_sec1_bytes(key.point()), Signature::from_slice(signature))
    else {
        return false;
    };
    key.verify(message, &signature).is_ok()
}

fn moment(seconds: i64) -> Result<Timestamp, OidcError> {
    Timestamp::from_second(seconds).map_err(|_| OidcError::Malformed("its times are no times"))
}

/// A JSON Web Key (RFC 7517), with what Sortie has no use for.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<de::IgnoredAny>,
}

impl TryFrom<Jwk> for IssuerKey {
    type Error = String;
    fn try_from(jwk: Jwk) -> Result<Self, String> {
        let bytes = |name: &str, text: Option<&String>| {
            let text = text.ok_or_else(|| format!("an issuer's key of type {} has {name}", jwk.kty))?;
            BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("{name} of an issuer's key is not base64url"))
        };
        if jwk.d.is_some() {
            return Err("this is an issuer's private key: only its public half belongs here".into());
        }
        let (x, y, curve) = (jwk.x.as_ref(), jwk.y.as_ref(), jwk.crv.as_deref());
        let (material, algorithms): (_, &[&str]) = match (jwk.kty.as_str(), curve) {
            ("RSA", None) => {
                let (n, e) = (bytes("n", jwk.n.as_ref())?, bytes("e", jwk.e.as_ref())?);
                if !(256..=1024).contains(&n.len()) || n.first() == Some(&0) {
                    return Err("an issuer's RSA key has from 2048 to 8192 bits".into());
                }
                (Material::Rs256 { n, e }, &["RS256"])
            }
            ("EC", Some("P-256")) => {
                let point = [vec![4], bytes("x", x)?, bytes("y", y)?].concat();
                (Material::Point(PublicKey::from_ecdsa_p256(&point).map_err(|e| e.to_string())?), &["ES256"])
            }
            ("OKP", Some("Ed25519")) => {
                let bytes = bytes("x", x)?.try_into().map_err(|_| "x of an Ed25519 key has 32 bytes")?;
                (Material::Point(PublicKey::from_ed25519(bytes).map_err(|e| e.to_string())?), &["EdDSA", "Ed25519"])
            }
            (kind, _) => {
                let kind = printable(kind);
                return Err(format!("an issuer's keys are RSA, P-256 or Ed25519 (RS256, ES256, EdDSA), not '{kind}'"));
            }
        };
        match jwk.alg {
            Some(alg) if !algorithms.contains(&alg.as_str()) => {
                Err(format!("an issuer's {} key is for {}, not {}", jwk.kty, algorithms[0], printable(&alg)))
            }
            _ => Ok(Self { kid: jwk.kid, material }),
        }
    }
}

impl<'de> Deserialize<'de> for IssuerKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = IssuerKey;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON Web Key: a table, or a text with its JSON")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<IssuerKey, E> {
                json::from_strict::<Jwk>(text.as_bytes()).map_err(E::custom)?.try_into().map_err(E::custom)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<IssuerKey, A::Error> {
                Jwk::deserialize(de::value::MapAccessDeserializer::new(map))?.try_into().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(TextOrTable)
    }
}
