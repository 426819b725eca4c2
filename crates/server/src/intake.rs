//! From a signed statement to a command: everything that must be verified before the domain decides. Signatures,
//! digests, documents and their presence; no rules.

use crate::{answers::Served, http::failure::Failure, ledger::Prepared};
use api::{
    problem::SIGNER_UNKNOWN,
    write::{Attachment, Submission, Text},
};
use axum::http::StatusCode;
use depot::DiskStore;
use domain::{
    command::{Actor, Brought, Command, Signed},
    event::{BuildFacts, MigrateFacts, RootFacts, VendorWord},
    policy,
    refusal::{Refusal, exit},
    rules::names,
    state::{DraftPart, OfVendor, Policy, PolicyRecord, State},
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, sync::Arc};
use trust::{
    AppName, Digest, DraftName, PartName, PersonName, TargetName,
    authority::{Denial, Documents, DocumentsError, VerifiedDocuments},
    charter::MAX_CHARTER_BYTES,
    config::{ConfigDocument, MAX_CONFIG_BYTES},
    dsse::Envelope,
    freeze::Freeze,
    key::{KeyId, PublicKey},
    manifest::{Entry, MAX_MANIFEST_BYTES, MAX_PACKAGE_BYTES, Manifest},
    oidc,
    receipt::{self, MAX_RECEIPT_BYTES, VerifiedReceipt},
    statement::{self, Act, AdministrationAct, Config, Enrolment, Import, Statement, StatementError},
    tuf::{MAX_ROOT_BYTES, MAX_TARGETS_BYTES, TufError, repository::delegated},
    vendor::{MAX_RELEASE_BYTES, Release},
};

/// The most signatures on one statement.
const SIGNATURES: usize = 8;

/// Whose key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// A person or robot of the charter in force, not suspended.
    Person(PersonName, KeyId),
    /// A customer of the charter in force, not suspended.
    Customer(PersonName, KeyId),
    /// A target that has not left.
    Target(TargetName, KeyId),
}

/// Whether preparing the statement's command reads or writes the depot, and so may take a while.
pub(crate) fn needs_depot(submission: &Submission) -> bool {
    let administers = |act| matches!(act, AdministrationAct::ApplyCharter { .. } | AdministrationAct::SealDraft { .. });
    match Statement::read(&submission.envelope).map(|statement| statement.act) {
        Ok(Act::Push(_) | Act::Import(_) | Act::Part(_) | Act::Evidence(_) | Act::Config(_) | Act::Receipt(_)) => true,
        Ok(Act::Order(order)) => order.act.deploys(),
        Ok(Act::Administration(administration)) => administers(administration.act),
        _ => false,
    }
}

/// Verifies a submission and makes the command of it.
pub(crate) fn prepare(serving: &Served<'_>, submission: Submission, now: Timestamp) -> Result<Prepared, Failure> {
    let state = serving.ledger.state();
    let statement = Statement::read(&submission.envelope).map_err(|error| unreadable_statement(&error))?;
    check_attachments(&submission.attachments)?;
    check_time(&statement, now)?;
    let documents = Attached { depot: serving.depot, attachments: &submission.attachments };
    let (actor, command) = if state.policy.is_none() {
        found(serving, &documents, &submission, &statement, now)?
    } else {
        check_estate(&state, &statement)?;
        let actor = actor(&state, &submission.envelope, &statement.act)?;
        (actor, command(&state, &documents, &statement, now)?)
    };
    check_lengths(&statement)?;
    Ok(Prepared {
        actor,
        texts: named_texts(&statement, submission.texts)?,
        request_id: statement.header.request_id,
        on_behalf_of: statement.header.on_behalf_of,
        command,
        envelope: Some(submission.envelope),
    })
}

/// A withdrawal, or a freeze, that a target kept and this ledger lost: it proves itself, however old it is. Its signer counts by the
/// charter in force, or because owners uphold it.
pub(crate) fn remembered(serving: &Served<'_>, envelope: &Envelope) -> Result<Prepared, Failure> {
    let state = serving.ledger.state();
    let statement = Statement::read(envelope).map_err(|error| unreadable_statement(&error))?;
    check_estate(&state, &statement)?;
    let subject = statement.subject;
    let command = match statement.act {
        Act::Withdrawal(act) => Command::RememberWithdrawal(Signed { subject, act }),
        // That a freeze was lifted, or lets something pass, is not taken from a target: what was signed and never sent would count.
        Act::Freeze(act @ Freeze::Declare(_)) => Command::Freeze(Signed { subject, act }),
        _ => return Err(Failure::invalid("that is no withdrawal, and declares no freeze")),
    };
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    let directory = policy.directory_of(&Digest::of(&envelope.payload));
    let key = *genuine(envelope, |id| directory.key(id))?.first().ok_or_else(nobody_signed)?;
    let name = directory.person(&key).ok_or_else(nobody_signed)?.clone();
    Ok(Prepared {
        actor: Actor::Person { roles: directory.roles(&name), name, key },
        texts: BTreeMap::new(),
        request_id: statement.header.request_id,
        on_behalf_of: statement.header.on_behalf_of,
        command,
        envelope: Some(envelope.clone()),
    })
}

/// As [`remembered`], with the texts that came along: a withdrawal that somebody brought to the witness.
pub(crate) fn carried_by_witness(serving: &Served<'_>, submission: &Submission) -> Result<Prepared, Failure> {
    let prepared = remembered(serving, &submission.envelope)?;
    if !matches!(prepared.command, Command::RememberWithdrawal(_)) {
        return Err(Failure::invalid("that is no withdrawal"));
    }
    let statement = Statement::read(&submission.envelope).map_err(|error| unreadable_statement(&error))?;
    // Whatever texts came along, the withdrawal counts.
    Ok(Prepared { texts: named_texts(&statement, submission.texts.clone()).unwrap_or_default(), ..prepared })
}

/// A statement that cannot be read.
pub(crate) fn unreadable_statement(error: &StatementError) -> Failure {
    let message = format!("the statement cannot be read: {error}");
    Failure::new(StatusCode::BAD_REQUEST, "STATEMENT_UNREADABLE", trust::names::printable(&message)).exit(exit::MISUSED)
}

/// A statement counts in the estate it names, and in no other.
pub(crate) fn check_estate(state: &State, statement: &Statement) -> Result<(), Failure> {
    match &state.policy {
        None => Err(Refusal::NoEstate.into()),
        Some(policy) if policy.record.estate != statement.header.estate => Err(Refusal::OtherEstate.into()),
        Some(_) => Ok(()),
    }
}

/// The one person, robot or target that signed. Every signature must be genuine and of the same one.
pub(crate) fn signer(state: &State, envelope: &Envelope) -> Result<Signer, Failure> {
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    if envelope.signatures.iter().any(|signature| signature.proof.is_some()) {
        return proved(policy, envelope);
    }
    let target = |id: &KeyId| {
        let name = state.target_keys.get(id)?;
        Some((name, state.targets.get(name)?.key))
    };
    let customer = |id: &KeyId| policy.customer(id);
    let key_of = |id: &KeyId| {
        let person = policy.holder(id).or_else(|| customer(id)).map(|(_, key)| key);
        person.or_else(|| target(id).map(|(_, key)| key))
    };
    let whose = |id: &KeyId| match (policy.holder(id), customer(id)) {
        (Some((person, _)), _) => Some(Signer::Person(person.clone(), *id)),
        (None, Some((customer, _))) => Some(Signer::Customer(customer.clone(), *id)),
        (None, None) => target(id).map(|(name, _)| Signer::Target(name.clone(), *id)),
    };
    let mut signers = genuine(envelope, key_of)?.into_iter().filter_map(|id| whose(&id));
    let first = signers.next().ok_or_else(nobody_signed)?;
    let same = |other: &Signer| match (&first, other) {
        (Signer::Person(one, _), Signer::Person(other, _)) => one == other,
        (Signer::Customer(one, _), Signer::Customer(other, _)) => one == other,
        (Signer::Target(one, _), Signer::Target(other, _)) => one == other,
        _ => false,
    };
    if signers.all(|other| same(&other)) {
        return Ok(first);
    }
    let message = "several people signed this statement, and each act is one person's";
    Err(Failure::integrity("SEVERAL_SIGNERS", message))
}

/// The robot for whom an issuer's token speaks. Such a signature stands alone.
fn proved(policy: &Policy, envelope: &Envelope) -> Result<Signer, Failure> {
    let refused = |message: String| {
        let failure = Failure::new(StatusCode::FORBIDDEN, "TOKEN_REFUSED", message).exit(exit::REFUSED);
        failure.next("sortie charter show")
    };
    let [signature] = envelope.signatures.as_slice() else {
        return Err(refused("a signature that a token speaks for stands alone".into()));
    };
    let key = oidc::prove(&policy.directory, envelope, signature).map_err(|error| refused(error.to_string()))?;
    let robot = policy.directory.person(&key).ok_or_else(nobody_signed)?;
    Ok(Signer::Person(robot.clone(), key))
}

/// The keys that genuinely signed; fails unless every signature is genuine.
fn genuine(envelope: &Envelope, key_of: impl Fn(&KeyId) -> Option<PublicKey>) -> Result<Vec<KeyId>, Failure> {
    if envelope.signatures.is_empty() {
        return Err(nobody_signed());
    }
    if envelope.signatures.len() > SIGNATURES {
        return Err(Failure::integrity(
            "TOO_MANY_SIGNATURES",
            format!("more than {SIGNATURES} signatures are too many"),
        ));
    }
    if envelope.signatures.iter().any(|signature| key_of(&signature.keyid).is_none()) {
        return Err(nobody_signed());
    }
    let genuine = envelope.signers(&key_of);
    if envelope.signatures.iter().any(|signature| !genuine.contains(&signature.keyid)) {
        return Err(Failure::integrity(
            "SIGNATURE_WRONG",
            "a signature does not match the statement; nothing was done",
        ));
    }
    Ok(genuine)
}

fn nobody_signed() -> Failure {
    let message = "the key that signed belongs to nobody in the charter and to no target; or its holder is suspended";
    Failure::new(StatusCode::FORBIDDEN, SIGNER_UNKNOWN, message).exit(exit::REFUSED).next("sortie charter show")
}

/// Who acts. Targets report and take stock, machines that are about to join enrol, and people do everything else.
fn actor(state: &State, envelope: &Envelope, act: &Act) -> Result<Actor, Failure> {
    if let Act::Enrolment(enrolment) = act {
        return invited(envelope, enrolment);
    }
    let unfit = |message: String| Failure::new(StatusCode::FORBIDDEN, "SIGNER_UNFIT", message).exit(exit::REFUSED);
    match (signer(state, envelope)?, act) {
        (Signer::Target(name, _), Act::Report(report)) if report.target == name => Ok(Actor::Target(name)),
        (Signer::Target(name, _), Act::Inventory(inventory)) if inventory.target == name => Ok(Actor::Target(name)),
        (Signer::Target(name, _), Act::Health(health)) if health.target == name => Ok(Actor::Target(name)),
        (Signer::Target(name, _), act) => {
            Err(unfit(format!("{name} is a target, and may not sign this {}", act.kind())))
        }
        (Signer::Customer(name, _), act) if makes_or_ends_a_token(act) => {
            let roles = state.policy.as_ref().map(|policy| policy.customers.roles(&name)).unwrap_or_default();
            Ok(Actor::Customer { name, roles })
        }
        (Signer::Customer(name, _), act) => {
            Err(unfit(format!("{name} is a customer, who reads channels: this {} counts for nothing", act.kind())))
        }
        (Signer::Person(..), Act::Report(_) | Act::Inventory(_) | Act::Health(_)) => {
            Err(unfit(format!("only a target can sign its {}", act.kind())))
        }
        (Signer::Person(name, key), _) => {
            let roles = state.policy.as_ref().map(|policy| policy.directory.roles(&name)).unwrap_or_default();
            Ok(Actor::Person { name, key, roles })
        }
    }
}

fn makes_or_ends_a_token(act: &Act) -> bool {
    use AdministrationAct::{CreateToken, RevokeToken};
    matches!(act, Act::Administration(administration)
        if matches!(administration.act, CreateToken { .. } | RevokeToken { .. }))
}

/// An enrolment counts when both the invitation's key and the new target's own signed it.
fn invited(envelope: &Envelope, enrolment: &Enrolment) -> Result<Actor, Failure> {
    let keys = [enrolment.invitation, enrolment.key];
    let genuine = genuine(envelope, |id| keys.iter().find(|key| key.id() == *id).copied())?;
    if enrolment.invitation == enrolment.key || keys.iter().any(|key| !genuine.contains(&key.id())) {
        let message = "an enrolment is signed by the invitation's key and by the target's own, which is another";
        return Err(Failure::integrity("SIGNATURE_MISSING", message));
    }
    Ok(Actor::Invited)
}

/// A server without an estate takes one statement only: the first charter, from whoever holds the claim and an
/// owner's key.
fn found(
    serving: &Served<'_>,
    documents: &Attached<'_>,
    submission: &Submission,
    statement: &Statement,
    now: Timestamp,
) -> Result<(Actor, Command), Failure> {
    let Act::Administration(administration) = &statement.act else { return Err(Refusal::NoEstate.into()) };
    let AdministrationAct::ApplyCharter { roots, targets, charter } = &administration.act else {
        return Err(Refusal::NoEstate.into());
    };
    if !submission.claim.as_deref().is_some_and(|claim| serving.is_claim(claim)) {
        let message = "the first charter needs the one-time claim that the server printed when it started";
        let failure = Failure::new(StatusCode::FORBIDDEN, "CLAIM_WRONG", message);
        return Err(failure.exit(exit::REFUSED).next("sortie login URL#PIN --claim CLAIM"));
    }
    let policy = charter_policy(None, documents, statement.header.estate, (roots, targets, charter), now)?;
    let owners = &policy.record.owners;
    genuine(&submission.envelope, |id| owners.iter().map(|(_, key)| *key).find(|key| key.id() == *id))?;
    Ok((Actor::Founder, Command::ApplyCharter(Arc::new(policy))))
}

/// The one place where statements become commands.
fn command(state: &State, documents: &Attached<'_>, statement: &Statement, now: Timestamp) -> Result<Command, Failure> {
    let subject = statement.subject;
    Ok(match statement.act.clone() {
        Act::Push(act) => {
            let facts = build_facts(documents, &subject, &act.app)?;
            Command::PushBuild(Signed { subject, act }, Arc::new(facts))
        }
        Act::Part(act) => {
            let facts = build_facts(documents, &subject, &act.app)?;
            Command::AddPart(Signed { subject, act }, Arc::new(facts))
        }
        Act::Number(act) => Command::NumberBuild(Signed { subject, act }),
        Act::Evidence(act) => {
            documents.keep(&act.document, documents.attached(&act.document))?;
            Command::AttachEvidence(Signed { subject, act })
        }
        Act::Import(act) => {
            let brought = brought(state, documents, &subject, &act, now)?;
            Command::ImportRelease(Signed { subject, act }, Arc::new(brought))
        }
        Act::Request(act) => Command::RequestRelease(Signed { subject, act }),
        Act::Approval(act) => Command::ApproveRequest(Signed { subject, act }),
        Act::Review(act) => Command::ReviewEmergency(Signed { subject, act }),
        Act::Withdrawal(act) => Command::WithdrawPermission(Signed { subject, act }),
        Act::Order(act) => {
            // What was pruned is refused as such, and not for what is missing of it.
            let pruned = state.apps.get(&act.app).and_then(|app| app.builds.get(&subject)?.pruned);
            if act.act.deploys() && pruned.is_none() {
                check_objects(documents.depot, &subject)?;
            }
            Command::RequestDeployment(Signed { subject, act })
        }
        Act::Config(act) => {
            check_config(documents, &subject, &act)?;
            Command::SetConfig(Signed { subject, act })
        }
        Act::Freeze(act) => Command::Freeze(Signed { subject, act }),
        Act::Administration(administration) => match administration.act {
            AdministrationAct::ApplyCharter { roots, targets, charter } => {
                let estate = statement.header.estate;
                let policy =
                    charter_policy(state.policy.as_deref(), documents, estate, (&roots, &targets, &charter), now)?;
                Command::ApplyCharter(Arc::new(policy))
            }
            AdministrationAct::SuspendPerson { person } => Command::SuspendPerson(person),
            AdministrationAct::SealDraft { app, draft, build } => {
                let parts = check_parts(state, documents.depot, &app, &draft, &build)?;
                Command::SealDraft { app, draft, build, parts }
            }
            act => Command::Administer(act),
        },
        Act::Enrolment(act) => Command::EnrolTarget(act),
        Act::Report(act) => Command::ReportOutcome(act),
        Act::Inventory(act) => Command::ReportInventory(act),
        Act::Health(act) => Command::ReportHealth(act),
        Act::Receipt(act) => {
            let receipt = verified_receipt(state, documents, &subject, &act)?;
            Command::TakeReceipt(Signed { subject, act }, Arc::new(receipt))
        }
        Act::Session(_) => {
            return Err(Failure::invalid(format!("a session statement goes to {}", api::routes::SESSIONS)));
        }
    })
}

/// The documents that came with a statement, and the depot where others may be already.
struct Attached<'a> {
    depot: &'a DiskStore,
    attachments: &'a BTreeMap<Digest, Attachment>,
}

impl Attached<'_> {
    fn attached(&self, digest: &Digest) -> Option<&[u8]> {
        self.attachments.get(digest).map(|attachment| attachment.0.as_slice())
    }

    /// A document's bytes, at most `max_bytes`, from the attachments or from the depot.
    fn read(&self, digest: &Digest, max_bytes: usize) -> Result<Vec<u8>, Failure> {
        match self.attached(digest) {
            Some(bytes) if bytes.len() <= max_bytes => Ok(bytes.to_vec()),
            Some(bytes) => Err(Failure::invalid(format!("a document of {} bytes is too long", bytes.len()))),
            None if self.depot.has(digest) => Ok(self.depot.read_bytes(digest, max_bytes as u64)?),
            None => Err(Refusal::ObjectsMissing { count: 1, first: *digest }.into()),
        }
    }

    /// Puts a document into the depot unless it is there.
    fn keep(&self, digest: &Digest, bytes: Option<&[u8]>) -> Result<(), Failure> {
        match bytes {
            _ if self.depot.has(digest) => Ok(()),
            Some(bytes) => self.depot.put_bytes(bytes).map(|_| ()).map_err(Failure::from),
            None => Err(Refusal::ObjectsMissing { count: 1, first: *digest }.into()),
        }
    }
}

/// Verifies roots, targets metadata and charter against the owners' signatures, keeps them, and derives the policy.
fn charter_policy(
    in_force: Option<&Policy>,
    documents: &Attached<'_>,
    estate: Digest,
    (new_roots, targets, charter): (&[Digest], &Digest, &Digest),
    now: Timestamp,
) -> Result<Policy, Failure> {
    let mut digests = in_force.map(|policy| policy.record.roots.clone()).unwrap_or_default();
    // A client may send roots that are here already; they follow nothing again.
    let new: Vec<Digest> = new_roots.iter().filter(|root| !digests.contains(root)).copied().collect();
    digests.extend(new);
    let read = |digest: &Digest| documents.read(digest, MAX_ROOT_BYTES);
    let roots: Vec<Vec<u8>> = digests.iter().map(read).collect::<Result<_, _>>()?;
    let targets_bytes = documents.read(targets, MAX_TARGETS_BYTES)?;
    let charter_bytes = documents.read(charter, MAX_CHARTER_BYTES)?;
    let version_in_force = in_force.map_or(0, |policy| policy.record.version);
    let refused = |error: DocumentsError| match error {
        DocumentsError::Tuf(TufError::Rollback { .. }) => Refusal::CharterStale { in_force: version_in_force }.into(),
        DocumentsError::Charter(error) => Failure::invalid(error.to_string()),
        error => Failure::integrity("CHARTER_UNVERIFIED", format!("the charter does not count: {error}")),
    };
    let files = Documents { roots: &roots, targets: &targets_bytes, charter: &charter_bytes };
    let verified = VerifiedDocuments::verify(&estate, &files, version_in_force).map_err(refused)?;
    verified.check_expiry(now).map_err(refused)?;
    check_published(&verified, now)?;
    for (digest, bytes) in digests.iter().zip(&roots).chain([(targets, &targets_bytes), (charter, &charter_bytes)]) {
        documents.keep(digest, Some(bytes))?;
    }
    let facts = RootFacts::of(&verified);
    let record = PolicyRecord {
        estate,
        root_version: verified.root.version(),
        owners: verified.owners,
        version: verified.targets.version(),
        charter: String::from_utf8(charter_bytes).map_err(|_| Failure::invalid("the charter is not UTF-8 text"))?,
        roots: digests,
        targets: *targets,
        suspended: Default::default(),
        facts,
    };
    Policy::try_from(record).map_err(|error| Failure::invalid(error.to_string()))
}

/// What the owners delegate fits the charter they signed with it, and their date is not ahead of this clock: targets
/// would find no permits, or activate nothing until that date.
fn check_published(verified: &VerifiedDocuments, now: Timestamp) -> Result<(), Failure> {
    delegated(&verified.targets, &verified.charter)
        .map_err(|error| Failure::invalid(format!("what the owners signed does not fit their charter: {error}")))?;
    let ahead = SignedDuration::from_secs(policy::CLOCKS_DIFFER_SECONDS);
    match verified.targets.signed_at().filter(|signed| *signed > now.saturating_add(ahead).unwrap_or(Timestamp::MAX)) {
        Some(signed) => Err(Failure::invalid(format!("the charter is dated {signed}, which has not come yet here"))),
        None => Ok(()),
    }
}

/// Judges what was brought of a vendor, as every target will: against the estate that the charter pins, and by what was
/// heard of that vendor before. It stays in the depot.
fn brought(
    state: &State,
    documents: &Attached<'_>,
    build: &Digest,
    act: &Import,
    now: Timestamp,
) -> Result<Brought, Failure> {
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    let Some((name, vendor)) = policy.charter.vendor_of(&act.app) else {
        return Err(Failure::invalid(format!(
            "the charter names no vendor of {}: it is made and pushed here",
            act.app
        )));
    };
    let unfit = |denial: Denial| {
        let (app, vendor, why) = (act.app.clone(), name.clone(), denial.to_string());
        Failure::from(Refusal::VendorReleaseUnfit { app, vendor, why })
    };
    let bytes = documents.read(&act.document, MAX_RELEASE_BYTES)?;
    let release = Release::from_bytes(&bytes).map_err(unfit)?;
    let of_vendor = state.apps.get(&act.app).and_then(|app| app.vendors.get(&vendor.id()));
    let word = release.open(vendor, &of_vendor.map(OfVendor::heard).unwrap_or_default()).map_err(unfit)?;
    let released = match word.released(&act.app, *build, Some(now)) {
        Ok(released) => Ok((released, build_facts(documents, build, &act.app)?)),
        Err(denial) => Err(denial),
    };
    documents.keep(&act.document, Some(&bytes))?;
    let heard = word.heard();
    Ok(Brought {
        word: VendorWord {
            vendor: name.clone(),
            estate: vendor.estate,
            audience: vendor.audience.clone(),
            document: act.document,
            charter: heard.charter,
            expires: word.expires(),
            annulled: word.annulled().to_vec(),
        },
        withdrawals: heard.withdrawals,
        released,
    })
}

/// Reads the manifest of a build and makes sure that the depot has everything it lists.
fn build_facts(documents: &Attached<'_>, build: &Digest, app: &AppName) -> Result<BuildFacts, Failure> {
    let bytes = documents.read(build, MAX_MANIFEST_BYTES)?;
    let manifest = Manifest::from_bytes(&bytes).map_err(|error| Failure::invalid(error.to_string()))?;
    if manifest.app != *app {
        return Err(Failure::invalid(format!("the manifest is of {}, and not of {app}", manifest.app)));
    }
    if !manifest.run.package.is_empty() && bytes.len() > MAX_PACKAGE_BYTES {
        return Err(Failure::invalid(format!("the manifest of a package has at most {MAX_PACKAGE_BYTES} bytes")));
    }
    let files: Vec<Digest> = manifest.objects().map(|(digest, _)| digest).collect();
    let missing = documents.depot.missing(&files);
    if let Some(first) = missing.first() {
        return Err(Refusal::ObjectsMissing { count: missing.len() as u64, first: *first }.into());
    }
    documents.keep(build, Some(&bytes))?;
    Ok(BuildFacts {
        driver: manifest.driver(),
        files: manifest.files.len() as u64,
        size_bytes: manifest.total_size_bytes(),
        migrate: manifest.run.migrate.as_ref().map(|migrate| MigrateFacts { has_undo: migrate.undo.is_some() }),
        takes_seconds: manifest.run.takes_seconds(),
        can_stand_by: manifest.run.can_stand_by(),
        processes: manifest.run.processes.keys().cloned().collect(),
        on: manifest.run.on,
        config: manifest.run.config,
        needs: manifest.run.needs,
        package: manifest.run.package,
    })
}

/// A build is sealed as what its parts make, and as nothing else.
fn check_parts(
    state: &State,
    depot: &DiskStore,
    app: &AppName,
    draft: &DraftName,
    build: &Digest,
) -> Result<BTreeMap<PartName, Digest>, Failure> {
    let known = names::draft(state, app, draft)?;
    let read = |(name, part): (&PartName, &DraftPart)| {
        let bytes = depot.read_bytes(&part.manifest, MAX_MANIFEST_BYTES as u64)?;
        let manifest = Manifest::from_bytes(&bytes).map_err(|error| Failure::invalid(error.to_string()))?;
        Ok::<_, Failure>((name.to_string(), manifest))
    };
    let parts: Vec<(String, Manifest)> = known.parts.iter().map(read).collect::<Result<_, _>>()?;
    let whole = Manifest::of_parts(parts.iter().map(|(name, manifest)| (name.as_str(), manifest)));
    let invalid = |error: &dyn std::fmt::Display| Failure::invalid(format!("the parts of {draft}: {error}"));
    let whole = whole.map_err(|error| invalid(&error))?.to_bytes().map_err(|error| invalid(&error))?;
    match Digest::of(&whole) == *build {
        true => Ok(known.parts.iter().map(|(name, part)| (name.clone(), part.manifest)).collect()),
        false => Err(Refusal::DraftChanged { app: app.clone(), draft: draft.clone() }.into()),
    }
}

/// Digests every object of a build, so that a byte that changed in the depot is found before any target is contacted
/// (R4). A build that is not known is left to the decision, which says so.
fn check_objects(depot: &DiskStore, build: &Digest) -> Result<(), Failure> {
    if !depot.has(build) {
        return Ok(());
    }
    let bytes = depot.read_bytes(build, MAX_MANIFEST_BYTES as u64)?;
    let manifest = Manifest::from_bytes(&bytes).map_err(|error| Failure::invalid(error.to_string()))?;
    for member in manifest.run.package.values() {
        check_objects(depot, &member.build)?;
    }
    for entry in &manifest.files {
        if let Entry::File { path, digest, .. } = entry {
            let told = |failure: Failure| failure.saying(&format!("{path}: "), ". No target was contacted");
            depot.verify(digest).map_err(Failure::from).map_err(told)?;
        }
    }
    Ok(())
}

/// Reads a config document and compares it with what was signed.
fn check_config(documents: &Attached<'_>, subject: &Digest, config: &Config) -> Result<(), Failure> {
    let bytes = documents.read(subject, MAX_CONFIG_BYTES)?;
    let document = ConfigDocument::from_bytes(&bytes).map_err(|error| Failure::invalid(error.to_string()))?;
    let matches =
        document.app == config.app && document.environment == config.environment && document.keys() == config.keys;
    if !matches {
        return Err(Failure::invalid("the config document does not say what its statement says"));
    }
    documents.keep(subject, Some(&bytes))
}

/// Reads a receipt and checks what the target signed in it; it stays in the depot, where anybody can check it again.
fn verified_receipt(
    state: &State,
    documents: &Attached<'_>,
    subject: &Digest,
    act: &statement::Receipt,
) -> Result<VerifiedReceipt, Failure> {
    let policy = state.policy.as_ref().ok_or(Refusal::NoEstate)?;
    let bytes = documents.read(subject, MAX_RECEIPT_BYTES)?;
    let known = state.targets.get(&act.target).filter(|target| !target.retired).map(|target| target.key);
    let verified = receipt::Document::from_bytes(&bytes)
        .and_then(|document| document.verify(&policy.record.estate, known, &policy.directory))
        .map_err(|error| Failure::integrity("RECEIPT_FORGED", format!("{error}; nothing was written")))?;
    documents.keep(subject, Some(&bytes))?;
    Ok(verified)
}

fn check_attachments(attachments: &BTreeMap<Digest, Attachment>) -> Result<(), Failure> {
    match attachments.iter().find(|(digest, attachment)| Digest::of(&attachment.0) != **digest) {
        None => Ok(()),
        Some((digest, _)) => {
            Err(Failure::integrity("DIGEST_MISMATCH", format!("the attachment {digest} is something else")))
        }
    }
}

fn check_time(statement: &Statement, now: Timestamp) -> Result<(), Failure> {
    let submit_before = statement.header.submit_before;
    let ahead = SignedDuration::from_secs(policy::SUBMIT_AHEAD_SECONDS);
    if submit_before <= now || submit_before > now.checked_add(ahead).unwrap_or(Timestamp::MAX) {
        return Err(Refusal::StatementExpired { submit_before, now: Some(now) }.into());
    }
    Ok(())
}

/// No free text in a statement is longer than free text may be.
fn check_lengths(statement: &Statement) -> Result<(), Failure> {
    let mut texts = vec![statement.header.on_behalf_of.as_deref()];
    match &statement.act {
        Act::Push(push) => {
            texts.push(push.recipe.as_deref());
            let commit = push.commit.as_ref();
            texts.extend([commit.map(|commit| commit.title.as_str()), commit.and_then(|commit| commit.tag.as_deref())]);
        }
        Act::Evidence(evidence) => texts.extend([Some(evidence.kind.as_str()), Some(evidence.summary.as_str())]),
        _ => {}
    }
    match texts.into_iter().flatten().find(|text| text.len() > policy::TEXT_BYTES) {
        Some(text) => Err(too_long(text)),
        None => Ok(()),
    }
}

fn too_long(text: &str) -> Failure {
    let most = policy::TEXT_BYTES;
    Failure::invalid(format!("a text of {} bytes is too long: {most} are allowed", text.len()))
}

/// The free texts a statement names, each present and with its digest; no others are taken.
fn named_texts(statement: &Statement, texts: BTreeMap<Digest, Text>) -> Result<BTreeMap<Digest, Text>, Failure> {
    let named = statement.texts();
    if named.iter().any(|named| !texts.contains_key(named)) {
        return Err(Failure::invalid("the statement names a text that did not come with it"));
    }
    // The title of a commit may be empty; what a person says may not.
    let title = match &statement.act {
        Act::Push(push) => push.commit.as_ref().and_then(|commit| trust::text::referred(&commit.title)),
        _ => None,
    };
    for (digest, text) in &texts {
        if text.text.trim().is_empty() && title != Some(*digest) {
            return Err(Failure::invalid("a reason, a finding or a name that is blank says nothing"));
        }
        if trust::names::printable(&text.text) != text.text {
            return Err(Failure::invalid(
                "a text holds a line break, another control character or a direction mark: write it as one plain line",
            ));
        }
        if !named.contains(digest) {
            return Err(Failure::invalid("a text came along that the statement does not name"));
        }
        if text.digest() != *digest {
            return Err(Failure::integrity("DIGEST_MISMATCH", "a text is not the one that was signed for"));
        }
        if text.text.len() > policy::TEXT_BYTES || text.salt.len() > 128 {
            return Err(too_long(&text.text));
        }
    }
    Ok(texts)
}
