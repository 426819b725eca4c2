//! A permit as files that other people's programs can check: DSSE envelopes, the bytes that were signed, public keys in
//! the forms of OpenSSL and of securesystemslib, the roots of trust and the charter.

use crate::{connection::Connection, context::write_whole, failure::Failure, releasing::Matter};
use anyhow::Context as _;
use serde::Serialize;
use std::{borrow::Cow, collections::BTreeMap, fs, path::Path};
use trust::{
    Digest, PersonName,
    dsse::{Envelope, pre_authentication_encoding},
    key::{KeyId, PublicKey},
    oidc,
    pem::public_key_pem,
    statement::Statement,
    upheld::upheld_name,
};

const SCRIPT: &str = include_str!("proof/verify.py");

/// One exported statement.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// The name its files begin with, below `statements/`.
    pub file: String,
    /// Whose genuine signatures it bears, with the key of each.
    pub signed_by: Vec<SignedBy>,
}

/// Who signed, and where their public key lies.
#[derive(Clone, Debug, Serialize)]
pub struct SignedBy {
    /// Who.
    pub person: PersonName,
    /// The name the key's files begin with, below `keys/`.
    pub key: String,
    /// The name of the file with the bare signature, below `statements/`.
    pub signature: String,
    /// The name of the file with the bytes that were signed, below `statements/`: the statement's encoding, or what a
    /// security key makes of it.
    pub signed: String,
    /// How OpenSSL checks it.
    #[serde(skip)]
    openssl: &'static str,
}

/// Ed25519.
const PKEYUTL: &str = "openssl pkeyutl -verify -rawin -pubin -inkey {key} -sigfile {signature} -in {signed}";
/// ECDSA over SHA-256.
const DGST: &str = "openssl dgst -sha256 -verify {key} -signature {signature} {signed}";

/// Writes everything into a folder that is new or empty; says what was written.
pub fn write(
    folder: &Path,
    connection: &Connection,
    matter: &Matter,
    manifest: &[u8],
) -> Result<Vec<Exported>, Failure> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::misused(format!("{} is not empty: a proof gets a folder of its own", folder.display())));
    }
    let exported = write_statements(folder, connection, matter)?;
    let estate = folder.join("estate");
    for (index, root) in connection.documents.roots.iter().enumerate() {
        write_whole(&estate.join(format!("{}.root.json", index + 1)), root)?;
    }
    write_whole(&estate.join("targets.json"), &connection.documents.targets)?;
    write_whole(&estate.join("charter.toml"), &connection.documents.charter)?;
    write_whole(&folder.join("manifest.json"), manifest)?;
    write_whole(&folder.join("verify.py"), SCRIPT.as_bytes())?;
    let readme = readme(connection.estate(), matter, &exported);
    write_whole(&folder.join("README.md"), readme.as_bytes())?;
    Ok(exported)
}

fn write_statements(folder: &Path, connection: &Connection, matter: &Matter) -> Result<Vec<Exported>, Failure> {
    let dossier = &matter.view.dossier;
    let one = |name: &str, envelope: &Option<Envelope>| envelope.clone().map(|envelope| (name.to_string(), envelope));
    let many = |name: &'static str, envelopes: &[Envelope]| {
        let numbered = envelopes.iter().enumerate();
        numbered.map(|(index, envelope)| (format!("{name}-{}", index + 1), envelope.clone())).collect::<Vec<_>>()
    };
    let single = [one("push", &dossier.push), one("number", &dossier.number), one("request", &dossier.request)];
    let mut statements: Vec<(String, Envelope)> = single.into_iter().flatten().collect();
    statements.extend(many("approval", &dossier.approvals));
    statements.extend(many("evidence", &dossier.evidence));
    statements.extend(many("withdrawal", &dossier.withdrawals));
    statements.extend(many("suspension", &connection.documents.suspensions));
    let mut keys = BTreeMap::new();
    let mut exported = Vec::new();
    for (file, envelope) in &statements {
        exported.push(write_statement(&folder.join("statements"), connection, file, envelope, &mut keys)?);
    }
    for (name, key) in &keys {
        let folder = folder.join("keys");
        write_whole(&folder.join(format!("{name}.pem")), public_key_pem(key).as_bytes())?;
        let mut form = serde_json::to_value(key).context("a key").map_err(Failure::from)?;
        form["keyid"] = serde_json::Value::from(key.id().to_string());
        write_whole(&folder.join(format!("{name}.json")), &pretty(&form)?)?;
    }
    Ok(exported)
}

fn write_statement(
    folder: &Path,
    connection: &Connection,
    file: &str,
    envelope: &Envelope,
    keys: &mut BTreeMap<String, PublicKey>,
) -> Result<Exported, Failure> {
    write_whole(&folder.join(format!("{file}.dsse.json")), &pretty(envelope)?)?;
    let signed = pre_authentication_encoding(&envelope.payload_type, &envelope.payload);
    write_whole(&folder.join(format!("{file}.pae")), &signed)?;
    let name = Statement::read(envelope).map(|statement| upheld_name(&statement, &envelope.payload)).ok();
    let directory =
        name.map_or(Cow::Borrowed(&connection.policy.directory), |name| connection.policy.directory_of(&name));
    let bare: Vec<KeyId> = envelope.signers(|id| directory.key(id));
    let mut signed_by = Vec::new();
    for made in &envelope.signatures {
        let (id, bytes) = (made.keyid, &made.sig);
        let found = match &made.proof {
            // The key of a job; whose it is says the issuer's token, which stands in the envelope.
            Some(proof) => oidc::prove(&directory, envelope, made).ok().map(|issuer| (issuer, proof.key)),
            None => directory.key(&id).filter(|_| bare.contains(&id)).map(|key| (id, key)),
        };
        let Some((key_or_issuer, key)) = found else { continue };
        let Some(person) = directory.person(&key_or_issuer) else { continue };
        let name = format!("{person}-{}", &id.to_string()[..8]);
        let signature = format!("{file}.{name}.sig");
        let mut message = format!("{file}.pae");
        match key.signed_by_device(&signed, bytes) {
            Some((by_device, bare)) => {
                message = format!("{file}.{name}.signed");
                write_whole(&folder.join(&message), &by_device)?;
                write_whole(&folder.join(&signature), bare)?;
            }
            None => write_whole(&folder.join(&signature), bytes)?,
        }
        keys.insert(name.clone(), key);
        let openssl = if key.point().len() == 32 { PKEYUTL } else { DGST };
        signed_by.push(SignedBy { person: person.clone(), key: name, signature, signed: message, openssl });
    }
    Ok(Exported { file: file.into(), signed_by })
}

fn pretty(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut bytes = serde_json::to_vec_pretty(value).context("a document").map_err(Failure::from)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn readme(estate: Digest, matter: &Matter, exported: &[Exported]) -> String {
    let (name, audience, build) = (matter.name(), &matter.audience, matter.found.build);
    let by_openssl: Vec<String> = exported.iter().flat_map(openssl).collect();
    format!(
        "# The permit of {name} for {audience}\n\n\
         Everything here can be checked without Sortie. The build is the one whose manifest has the digest\n\
         {build}; `manifest.json` is that manifest, and lists every file with its SHA-256.\n\n\
         The estate is the digest of the first root of trust. **Take it from somewhere else than this folder**, from\n\
         `sortie whoami` say: whoever could change these files could change this page too.\n\n\
         ## By Python (tuf, securesystemslib, cryptography)\n\n\
         `verify.py` walks the roots, checks the owners' signatures on the charter and every statement's envelope,\n\
         counts distinct people against the rules of the request and of the charter, and judges evidence, withdrawals and\n\
         times. It exits with 0 for a whole permit, 1 for one that is not, and 3 where something that counts cannot be\n\
         judged from these files, which it names:\n\n\
         ```sh\npython3 -m venv checks && checks/bin/pip install tuf cryptography\n\
         checks/bin/python verify.py --estate {estate} --build manifest.json\n```\n\n\
         ## By any verifier of DSSE envelopes (cosign's kind)\n\n\
         `statements/*.dsse.json` are DSSE envelopes around in-toto statements (payload type\n\
         `application/vnd.in-toto+json`); `keys/*.pem` are the keys, `keys/*.json` the same for securesystemslib. Whose a\n\
         key is stands in `estate/charter.toml`. An approval's subject is the SHA-256 of the request's payload.\n\n\
         ## By OpenSSL alone (3.0 or newer)\n\n\
         `statements/*.pae` are the very bytes that were signed (DSSE's pre-authentication encoding), `*.sig` the bare\n\
         signatures. A FIDO security key signs a digest of them with what it was made for and its counter: `*.signed`.\n\n```sh\n{}\n```\n\n\
         `sha256sum manifest.json` is the subject of push, number and request; the payload itself is at the end of each\n\
         `.pae` file.\n",
        by_openssl.join("\n")
    )
}

/// The commands that check a statement's signatures.
fn openssl(exported: &Exported) -> Vec<String> {
    let command = |by: &SignedBy| {
        by.openssl
            .replace("{key}", &format!("keys/{}.pem", by.key))
            .replace("{signature}", &format!("statements/{}", by.signature))
            .replace("{signed}", &format!("statements/{}", by.signed))
    };
    exported.signed_by.iter().map(command).collect()
}
