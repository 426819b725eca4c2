//! What owners do: found an estate, and bring its next charter with their signatures.

use crate::{
    cli,
    connection::{self, Connection},
    context::{Context, Documents, write_whole},
    failure::{Failure, OrIntegrity, OrMisused},
    invocation::Invocation,
    sign,
};
use anyhow::Context as _;
use api::{
    client::Client,
    read::Hello,
    write::{Accepted, Submission},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use trust::{
    Digest, PersonName,
    charter::{CHARTER_TARGET, Charter},
    key::{PublicKey, SecretKey, Signer},
    statement::{Act, Administration, AdministrationAct},
    tuf::{Root, RootBuilder, TargetFile, Targets, add_signature, repository, sign_metadata},
};

/// How long a root is good: five years. Expiry stops new activations only, and is warned of early.
const ROOT_LIFE: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);
/// How long a charter's signature is good: one year, and a new charter starts another.
const TARGETS_LIFE: SignedDuration = SignedDuration::from_hours(365 * 24);
/// How far ahead of this machine's clock another owner's may have been when that owner signed first.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);
/// The file with the recovery key, in the folder where an estate is founded.
const RECOVERY_FILE: &str = "sortie-recovery.key";
/// The first root while its charter is not in force, in the context's folder.
const DRAFT_ROOT: &str = "first.root.json";
/// Under which name a key for recovery stands in root.
const RECOVERY: &str = "recovery";

/// Who owns a new estate.
pub struct Founder<'a> {
    /// The name in root.
    pub name: &'a PersonName,
    /// The key.
    pub signer: &'a dyn Signer,
}

/// Root 1 with one owner, and a recovery key that may name new owners and nothing else. Gives root's bytes and the
/// recovery key as a file's text.
pub fn first_root(founder: &Founder<'_>, hello: &Hello) -> Result<(Vec<u8>, String), Failure> {
    let online = PublicKey::from_openssh(&hello.ledger_key).or_integrity("the server's ledger key")?;
    let recovery = SecretKey::generate().context("no recovery key could be made").map_err(Failure::from)?;
    let recovery_name = PersonName::new(RECOVERY).or_misused()?;
    let signed = RootBuilder::first(in_future(ROOT_LIFE))
        .owner(founder.name, founder.signer.public())
        .root_holder(&recovery_name, recovery.public())
        .online(online)
        .build()
        .or_misused()?;
    let root = sign_metadata(&signed, &[founder.signer]).context("root could not be signed").map_err(Failure::from)?;
    let text = recovery.to_openssh("sortie recovery key").or_misused()?;
    Ok((root, text))
}

/// Keeps root 1 in the context's folder until its charter is applied.
pub fn keep_draft(context: &Context, root: &[u8]) -> Result<(), Failure> {
    write_whole(&context.folder().join(DRAFT_ROOT), root)
}

/// The root that [`keep_draft`] kept.
pub fn draft(context: &Context) -> Result<Vec<u8>, Failure> {
    std::fs::read(context.folder().join(DRAFT_ROOT))
        .map_err(|_| Failure::misused("no root of trust was made for this context yet").next("sortie charter init"))
}

/// A first charter's text: three environments, guarded by the one owner there is.
pub fn first_charter(organisation: &str, hello: &Hello) -> String {
    let organisation = toml_edit::Value::from(organisation);
    let Hello { pin, ledger_key, .. } = hello;
    let pin = toml_edit::Value::from(
        serde_json::to_value(pin).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default(),
    );
    let ledger_key = toml_edit::Value::from(ledger_key.trim());
    format!(
        r#"# The charter: who may do what. Edit it, look at `sortie charter plan`, sign it with `sortie charter apply`.
# Rules are words: "qa and ops" wants two distinct people, "developer or ci" any one, "2 ops" two of them.
# Owners stand in the root of trust, not here; they hold the role "owner". Keys are lines of OpenSSH public keys.
charter = {organisation}

[server]                             # what agents and clients pin
keys   = [{pin}]
ledger = [{ledger_key}]

[people]
# coder  = {{ roles = ["developer"], keys = ["ssh-ed25519 AAAA…"] }}

[robots]                             # a robot never counts as a person
# ci = {{ roles = ["ci"], keys = ["ssh-ed25519 AAAA…"] }}

[environments]
dev  = {{ class = "dev",  deploy = "owner" }}
test = {{ class = "test", approve = "owner", deploy = "owner" }}

[environments.prod]
class = "live"
after = "test"                       # the same bytes were verified there first
deploy = "owner"
approve = "owner"                    # one person guards prod until this changes:
# approve = "qa and ops"
approve_own = true                   # whoever pushed or asked may approve; take it out once there are two of you
"#
    )
}

/// The charter's next signed metadata, with the signatures gathered so far.
pub struct Draft {
    /// The charter's bytes.
    pub charter: Vec<u8>,
    /// The targets metadata that lists it.
    pub targets: Vec<u8>,
}

/// Signs the next targets metadata for `charter`, adding to what other owners signed, where there is any. With it the
/// owners delegate to the server's online keys what those publish; `root` says which they are where the charter does not.
pub fn sign_charter(
    charter: &[u8],
    version: u64,
    root: &Root,
    signed_before: &[Vec<u8>],
    signers: &[&dyn Signer],
) -> Result<Draft, Failure> {
    let policy = Charter::from_bytes(charter).or_misused()?;
    cli::check_words(&policy)?;
    let listed = TargetFile { length_bytes: charter.len() as u64, digest: Digest::of(charter) };
    let files = BTreeMap::from([(CHARTER_TARGET.to_string(), listed)]);
    let delegations = repository::delegations(&policy, root);
    let wanted = |dates: Dates| {
        let mut signed = Targets::unsigned(version, dates.expires, &files, Some(&delegations)).or_misused()?;
        repository::date_targets(&mut signed, dates.signed).or_misused()?;
        Ok(signed)
    };
    let targets =
        sign_agreed(&format!("this charter as version {version}"), wanted, TARGETS_LIFE, signed_before, signers)?;
    Ok(Draft { charter: charter.to_vec(), targets })
}

/// The dates in what owners sign: the first to sign sets them, and the others sign the same.
#[derive(Clone, Copy)]
struct Dates {
    /// When the first signature was made.
    signed: Timestamp,
    /// Until when it is good.
    expires: Timestamp,
}

/// Signs what `wanted` gives for its dates, adding to what others signed before, where there is any.
fn sign_agreed(
    what: &str,
    wanted: impl Fn(Dates) -> Result<Value, Failure>,
    life: SignedDuration,
    signed_before: &[Vec<u8>],
    signers: &[&dyn Signer],
) -> Result<Vec<u8>, Failure> {
    let sign_failed = "it could not be signed";
    let Some(document) = merge(signed_before)? else {
        let dates = Dates { signed: Timestamp::now(), expires: in_future(life) };
        return sign_metadata(&wanted(dates)?, signers).context(sign_failed).map_err(Failure::from);
    };
    // What others signed is signed here only if it says exactly what this machine would say itself.
    let expires: Option<Timestamp> = document["signed"]["expires"].as_str().and_then(|expires| expires.parse().ok());
    let expires = expires.ok_or_else(|| Failure::integrity("the signed file has no time of expiry"))?;
    let signed = repository::signed_at(&document["signed"]).or_integrity("the signed file's date")?;
    let signed = signed.unwrap_or_else(Timestamp::now);
    // Targets activate nothing while their clocks are before this date, so it must not lie ahead.
    if signed > api::client::in_future(CLOCKS_DIFFER) {
        let message = format!("the file says that it was signed at {signed}, which has not come yet on this machine");
        return Err(Failure::integrity(message));
    }
    if wanted(Dates { signed, expires })? != document["signed"] {
        return Err(Failure::integrity(format!("the signed file is not about {what}: somebody signed something else")));
    }
    let bytes = serde_json::to_vec(&document).context("metadata").map_err(Failure::from)?;
    let add = |bytes: Vec<u8>, signer: &&dyn Signer| add_signature(&bytes, *signer);
    signers.iter().try_fold(bytes, add).context(sign_failed).map_err(Failure::from)
}

/// How the owners change.
#[derive(Clone, Debug, Default)]
pub struct OwnersChange {
    /// Keys that come, with their people.
    pub added: Vec<(PersonName, PublicKey)>,
    /// People who go.
    pub removed: Vec<PersonName>,
    /// How many distinct owners must sign from then on, where that changes.
    pub threshold: Option<u32>,
    /// The key that is for recovery from then on, where that changes.
    pub recovery: Option<PublicKey>,
    /// The server's keys for snapshot and timestamp from then on, where they change.
    pub online: Vec<PublicKey>,
    /// The repository's witness from then on, or nobody, where that changes.
    pub witness: Option<Option<PublicKey>>,
}

impl OwnersChange {
    /// The owners once it is in force.
    pub fn owners(&self, before: &[(PersonName, PublicKey)]) -> Vec<(PersonName, PublicKey)> {
        let stay = before.iter().filter(|(name, _)| !self.removed.contains(name)).cloned();
        stay.chain(self.added.iter().cloned()).collect()
    }
}

/// The next root, and the charter signed anew under it.
pub struct NextRoot {
    /// The root's bytes.
    pub root: Vec<u8>,
    /// The charter's next metadata.
    pub draft: Draft,
}

/// Signs the root that follows and `charter` under it, with the signatures gathered so far. `signed_before` are pairs of
/// root and targets.
pub fn sign_root(
    connection: &Connection,
    change: &OwnersChange,
    charter: &[u8],
    signed_before: &[(Vec<u8>, Vec<u8>)],
    signers: &[&dyn Signer],
) -> Result<NextRoot, Failure> {
    let root = &connection.verified.root;
    let recovery = PersonName::new(RECOVERY).or_misused()?;
    let wanted = |dates: Dates| {
        let mut builder = RootBuilder::after(root, dates.expires);
        for person in &change.removed {
            builder = builder.without(person);
        }
        for (person, key) in &change.added {
            builder = builder.owner(person, *key);
        }
        if let Some(key) = change.recovery {
            builder = builder.without(&recovery).root_holder(&recovery, key);
        }
        if !change.online.is_empty() {
            builder = builder.online_keys(&change.online);
        }
        if let Some(witness) = change.witness {
            builder = builder.witness(witness);
        }
        if let Some(threshold) = change.threshold {
            builder = builder.thresholds(threshold, threshold);
        }
        builder.build().or_misused()
    };
    let (roots, targets): (Vec<_>, Vec<_>) = signed_before.iter().cloned().unzip();
    let what = format!("root {} with this change", root.version() + 1);
    let bytes = sign_agreed(&what, wanted, ROOT_LIFE, &roots, signers)?;
    let version = connection.verified.targets.version() + 1;
    // A recovery key names owners, and cannot sign the charter for them.
    let owners = change.owners(&connection.verified.owners);
    let is_owner = |signer: &&&dyn Signer| owners.iter().any(|(_, key)| *key == signer.public());
    let signing: Vec<&dyn Signer> = signers.iter().filter(is_owner).copied().collect();
    let draft = sign_charter(charter, version, root, &targets, &signing)?;
    Ok(NextRoot { root: bytes, draft })
}

/// Brings the next root together with the charter; enough owners of the old and of the new root must have signed.
pub async fn apply_root(connection: &Connection, next: &NextRoot) -> Result<Accepted, Failure> {
    let mut documents = connection.documents.clone();
    documents.roots.push(next.root.clone());
    documents.targets = next.draft.targets.clone();
    documents.charter = next.draft.charter.clone();
    bring(connection, documents, std::slice::from_ref(&next.root), &next.draft, "charter root … --sign-only FILE").await
}

/// The same metadata with everybody's signatures.
fn merge(files: &[Vec<u8>]) -> Result<Option<Value>, Failure> {
    let mut merged: Option<Value> = None;
    for bytes in files {
        let mut document = trust::json::strict_value(bytes).or_integrity("a file of signatures")?;
        match &mut merged {
            None => merged = Some(document),
            Some(first) if first["signed"] == document["signed"] => {
                let more = document["signatures"].as_array_mut().map(std::mem::take).unwrap_or_default();
                if let Some(signatures) = first["signatures"].as_array_mut() {
                    let known = |one: &Value| signatures.iter().any(|other| other["keyid"] == one["keyid"]);
                    let fresh: Vec<Value> = more.into_iter().filter(|one| !known(one)).collect();
                    signatures.extend(fresh);
                }
            }
            Some(_) => return Err(Failure::integrity("the files of signatures are about different charters")),
        }
    }
    Ok(merged)
}

/// Founds the estate: brings root 1 and the first charter with the server's one-time claim, and pins the estate.
pub async fn found(
    invocation: &Invocation,
    client: &Client,
    context: &mut Context,
    signer: &dyn Signer,
    root: Vec<u8>,
    draft: Draft,
    claim: &str,
) -> Result<Accepted, Failure> {
    let estate = Digest::of(&root);
    let documents =
        Documents { roots: vec![root], targets: draft.targets, charter: draft.charter, suspensions: Vec::new() };
    connection::verify(&estate, &documents, None)?;
    let act = AdministrationAct::ApplyCharter {
        roots: vec![estate],
        targets: Digest::of(&documents.targets),
        charter: Digest::of(&documents.charter),
    };
    let act = Act::Administration(Administration { act });
    let (statement, whom) = sign::statement(&invocation.global, estate, "estate", estate, act)?;
    let envelope = sign::sign(&statement, &[signer])?;
    let attachments = [documents.roots[0].clone(), documents.targets.clone(), documents.charter.clone()];
    let submission = sign::submission(envelope, &attachments, whom.as_slice());
    let submission = Submission { claim: Some(claim.into()), ..submission };
    let accepted = client.submit(&submission).await?;
    context.settings.estate = Some(estate);
    context.settings.claim = None;
    context.keep_documents(&documents)?;
    context.save_as_current()?;
    Ok(accepted)
}

/// Brings the next charter; the owners' signatures were gathered and are verified here before they are sent.
pub async fn apply(connection: &Connection, draft: &Draft) -> Result<Accepted, Failure> {
    let documents =
        Documents { targets: draft.targets.clone(), charter: draft.charter.clone(), ..connection.documents.clone() };
    bring(connection, documents, &[], draft, "charter apply --sign-only FILE").await
}

/// Brings documents that the server had before and lost. Enough owners signed them long ago.
pub async fn bring_back(
    connection: &Connection,
    documents: &Documents,
    roots: &[Vec<u8>],
    draft: &Draft,
) -> Result<Accepted, Failure> {
    bring(connection, documents.clone(), roots, draft, "charter restore").await
}

async fn bring(
    connection: &Connection,
    documents: Documents,
    roots: &[Vec<u8>],
    draft: &Draft,
    gather: &str,
) -> Result<Accepted, Failure> {
    connection::verify(&connection.estate(), &documents, Some(&connection.documents)).map_err(|failure| {
        // What was made here is looked at as what a server gives would be, and is no server's doing.
        let why = failure.problem.message.trim_start_matches(connection::OF_THE_SERVER).trim_start_matches(": ");
        let message = format!("what was signed here does not count yet: {why}. Nothing was sent");
        Failure::new("SIGNATURES_MISSING", domain::refusal::exit::REFUSED, message)
            .next(format!("sortie {gather}, then another owner the same with --with FILE"))
    })?;
    let act = AdministrationAct::ApplyCharter {
        roots: roots.iter().map(|root| Digest::of(root)).collect(),
        targets: Digest::of(&draft.targets),
        charter: Digest::of(&draft.charter),
    };
    let act = Act::Administration(Administration { act });
    let attachments = [roots, &[draft.targets.clone(), draft.charter.clone()]].concat();
    let accepted = connection.submit_with("estate", connection.estate(), act, &attachments, &[]).await?;
    connection.context.keep_documents(&documents)?;
    Ok(accepted)
}

/// The name an owner gets: the one given, or the user's made valid.
pub fn own_name(given: Option<&str>) -> Result<PersonName, Failure> {
    if let Some(name) = given {
        return PersonName::new(name).or_misused();
    }
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let plain: String = user.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let plain = plain.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('-');
    PersonName::new(plain).or_else(|_| PersonName::new("owner")).or_misused()
}

/// Writes the recovery key into `folder`, under the first free name: one that is there may be the only key to another
/// estate.
pub fn write_recovery_key(folder: &Path, text: &str) -> Result<PathBuf, Failure> {
    let numbered = (2..).map(|number| format!("sortie-recovery-{number}.key"));
    let mut paths = std::iter::once(RECOVERY_FILE.to_string()).chain(numbered).map(|name| folder.join(name));
    let path =
        paths.find(|path| !path.exists()).ok_or_else(|| Failure::failed("no name is free for the recovery key"))?;
    write_whole(&path, text.as_bytes())?;
    Ok(path)
}

fn in_future(life: SignedDuration) -> Timestamp {
    let expires = api::client::in_future(life);
    // TUF's times have whole seconds.
    Timestamp::from_second(expires.as_second()).unwrap_or(expires)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            estate: None,
            name: None,
            version: "0".into(),
            pin: Digest::of(b"tls"),
            ledger_key: SecretKey::from_seed(&[9; 32]).public().to_openssh(),
            next_pin: None,
            next_ledger_key: None,
        }
    }

    fn root_of(owner: &SecretKey) -> Root {
        let name = PersonName::new("ann").unwrap();
        Root::bootstrap(&first_root(&Founder { name: &name, signer: owner }, &hello()).unwrap().0).unwrap()
    }

    #[test]
    fn the_first_charter_is_one_and_an_estate_can_be_founded_on_it() {
        let me = SecretKey::from_seed(&[1; 32]);
        let name = PersonName::new("ann").unwrap();
        let (root, recovery) = first_root(&Founder { name: &name, signer: &me }, &hello()).unwrap();
        assert!(SecretKey::from_openssh(&recovery, None).is_ok());
        let text = first_charter("Acme \"& Sons\"", &hello());
        let first = Root::bootstrap(&root).unwrap();
        let draft = sign_charter(text.as_bytes(), 1, &first, &[], &[&me]).unwrap();
        let documents = Documents {
            roots: vec![root.clone()],
            targets: draft.targets,
            charter: draft.charter,
            suspensions: Vec::new(),
        };
        let verified = connection::verify(&Digest::of(&root), &documents, None).unwrap();
        assert_eq!(verified.charter.charter, "Acme \"& Sons\"");
        assert_eq!(verified.charter.server.keys, [Digest::of(b"tls")]);
        assert_eq!(verified.owners.len(), 1, "the recovery key owns nothing");
        let delegated = repository::delegated(&verified.targets, &verified.charter).unwrap().unwrap();
        assert_eq!(delegated.len(), 3, "a role an audience");
        let online = SecretKey::from_seed(&[9; 32]).public().id();
        assert!(delegated.values().all(|role| role.keyids == [online] && role.threshold == 1));
        assert!(verified.targets.signed_at().is_some());
    }

    #[test]
    fn owners_add_to_what_others_signed_and_to_nothing_else() {
        let (one, two) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let text = first_charter("acme", &hello());
        let root = root_of(&one);
        let first = sign_charter(text.as_bytes(), 2, &root, &[], &[&one]).unwrap();
        let both = sign_charter(text.as_bytes(), 2, &root, std::slice::from_ref(&first.targets), &[&two]).unwrap();
        let value: Value = serde_json::from_slice(&both.targets).unwrap();
        assert_eq!(value["signatures"].as_array().unwrap().len(), 2);
        let other = text.replace("acme", "evil");
        let signed_before = [first.targets];
        let failure = sign_charter(other.as_bytes(), 2, &root, &signed_before, &[&two]).err().unwrap();
        assert_eq!(failure.problem.exit, 5);
    }

    #[test]
    fn a_date_that_has_not_come_yet_is_not_signed_by_a_second_owner() {
        let (one, two) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let text = first_charter("acme", &hello());
        let root = root_of(&one);
        let first = sign_charter(text.as_bytes(), 2, &root, &[], &[&one]).unwrap();
        let mut document: Value = serde_json::from_slice(&first.targets).unwrap();
        repository::date_targets(&mut document["signed"], in_future(SignedDuration::from_hours(24))).unwrap();
        let ahead = sign_metadata(&document["signed"], &[&one]).unwrap();
        let failure = sign_charter(text.as_bytes(), 2, &root, &[ahead], &[&two]).err().unwrap();
        assert!(failure.problem.message.contains("has not come yet"), "{}", failure.problem.message);
    }

    #[test]
    fn an_older_or_other_charter_is_not_taken_again() {
        let me = SecretKey::from_seed(&[1; 32]);
        let name = PersonName::new("ann").unwrap();
        let (root, _) = first_root(&Founder { name: &name, signer: &me }, &hello()).unwrap();
        let documents = |organisation: &str, version: u64| {
            let text = first_charter(organisation, &hello());
            let Draft { charter, targets } =
                sign_charter(text.as_bytes(), version, &root_of(&me), &[], &[&me]).unwrap();
            Documents { roots: vec![root.clone()], targets, charter, suspensions: Vec::new() }
        };
        let estate = Digest::of(&root);
        let (first, second) = (documents("acme", 1), documents("acme", 2));
        assert!(connection::verify(&estate, &second, Some(&first)).is_ok());
        assert_eq!(connection::verify(&estate, &first, Some(&second)).err().unwrap().problem.exit, 5);
        let twin = documents("twin", 2);
        assert_eq!(connection::verify(&estate, &twin, Some(&second)).err().unwrap().problem.exit, 5);
    }
}
