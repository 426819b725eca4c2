//! Checks a ledger entry by entry, believing nobody but the estate's pinned root: who signed, whether what happened is
//! what was signed for, whether every permit has its approvals, and whether nothing was deployed without one.
//!
//! What it cannot know: whether a build's facts are those of its manifest (its digest is checked when it is used), and
//! whether entries were left out that nobody ever saw.

mod signed;

use domain::{
    entry::Entry,
    event::{Departure, Event, RootFacts, VendorPermit, VendorWord},
    rules::{
        entitlement, freezes, late, lifetime, packages,
        schedule::{self, Moment},
    },
    state::{Hold, MemberPart, OfVendor, Policy, Stamp, State, apply},
};
use signed::Signed;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use trust::{
    AppName, AudienceName, Digest, PersonName, TargetName, VendorName, Version,
    authority::{Documents, KeptWithdrawal, VerifiedDocuments, may_withdraw},
    charter::Class,
    dsse::Envelope,
    freeze::Freeze,
    key::{KeyId, PublicKey},
    log::{Frontier, leaf_hash},
    names::printable,
    oidc, permit,
    quorum::Rule,
    receipt::{Document, Outcome as Outcomes},
    statement::{Act, AdministrationAct, Import, OrderAct, Outcome, Receipt, Statement},
    vendor::{Release, Vendor},
};

/// The first entry that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Its number.
    pub entry: u64,
    /// Why.
    pub why: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} does not hold: {}", self.entry, self.why)
    }
}

/// Takes a ledger's entries one after the other.
pub struct Verifier {
    estate: Digest,
    state: State,
    frontier: Frontier,
    roots: Vec<Vec<u8>>,
    signatures: u64,
    permits: u64,
}

type Check = Result<(), String>;

impl Verifier {
    /// A verifier of the ledger of the estate whose first root has this digest.
    pub fn new(estate: Digest) -> Self {
        let (state, frontier) = (State::default(), Frontier::new());
        Self { estate, state, frontier, roots: Vec::new(), signatures: 0, permits: 0 }
    }

    /// How many entries were taken.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of the Merkle tree over them.
    pub fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// How many signatures were found genuine.
    pub fn signatures(&self) -> u64 {
        self.signatures
    }

    /// How many permits were counted anew.
    pub fn permits(&self) -> u64 {
        self.permits
    }

    /// The version and text of the charter in force after the last entry taken.
    pub fn charter(&self) -> Option<(u64, &str)> {
        self.state.policy.as_ref().map(|policy| (policy.record.version, policy.record.charter.as_str()))
    }

    /// The documents that [`Self::take`] needs for an entry: the roots and targets of a charter, receipts, and what
    /// vendors released.
    pub fn needs(bytes: &[u8]) -> Vec<Digest> {
        // They are rare, and reading every entry twice would take twice as long.
        const BROUGHT: [&str; 6] = [
            "charter-applied",
            "receipt-taken",
            "target-enrolled",
            "escapes-changed",
            "release-imported",
            "vendor-withdrew",
        ];
        let may_name = std::str::from_utf8(bytes).is_ok_and(|text| BROUGHT.iter().any(|event| text.contains(event)));
        let Some(entry) = may_name.then(|| serde_json::from_slice::<Entry>(bytes).ok()).flatten() else {
            return Vec::new();
        };
        let of = |event: &Event| match event {
            Event::CharterApplied { roots, targets, .. } => roots.iter().chain([targets]).copied().collect(),
            _ => Vec::new(),
        };
        let mut named: Vec<Digest> = entry.events.iter().flat_map(of).collect();
        let statement = entry.envelope.as_ref().and_then(|envelope| Statement::read(envelope).ok());
        named.extend(statement.and_then(|statement| match statement.act {
            Act::Receipt(_) => Some(statement.subject),
            Act::Import(import) => Some(import.document),
            _ => None,
        }));
        named
    }

    /// Takes the next entry's bytes as they are stored. Nothing may be taken after an entry that was wrong.
    pub fn take(&mut self, bytes: &[u8], documents: &BTreeMap<Digest, Vec<u8>>) -> Result<(), Wrong> {
        let number = self.size() + 1;
        let wrong = |why: String| Wrong { entry: number, why };
        let entry: Entry = serde_json::from_slice(bytes)
            .map_err(|error| wrong(format!("it cannot be read: {}", printable(&error.to_string()))))?;
        self.check_place(&entry, number).map_err(wrong)?;
        match &entry.envelope {
            Some(envelope) => self.check_signed(&entry, envelope, documents).map_err(wrong)?,
            None => self.check_by_itself(&entry).map_err(wrong)?,
        }
        self.state.head = Stamp { entry: number, time: entry.time };
        for event in &entry.events {
            self.check_permission(event).map_err(wrong)?;
            apply(&mut self.state, event);
            self.check_permit(event).map_err(wrong)?;
        }
        self.frontier.push(leaf_hash(bytes));
        Ok(())
    }

    fn check_place(&self, entry: &Entry, number: u64) -> Check {
        if entry.number != number {
            return Err(format!("it says it is entry {}", entry.number));
        }
        if entry.time < self.state.head.time {
            return Err(format!("its time {} is before the last entry's", entry.time));
        }
        Ok(())
    }

    fn check_signed(&mut self, entry: &Entry, envelope: &Envelope, documents: &BTreeMap<Digest, Vec<u8>>) -> Check {
        let statement = Statement::read(envelope).map_err(|error| format!("its statement cannot be read: {error}"))?;
        if statement.header.estate != self.estate {
            return Err("its statement is of another estate".into());
        }
        if statement.header.request_id.as_str() != entry.request_id {
            return Err("its request id is not the one that was signed".into());
        }
        if statement.header.on_behalf_of != entry.on_behalf_of {
            return Err("for whom it was done is not what was signed".into());
        }
        let brought = entry.events.iter().find(|event| matches!(event, Event::CharterApplied { .. }));
        if let Some(event) = brought {
            self.check_charter(event, documents)?;
        }
        let signers = self.signers(entry, envelope, &statement.act, brought)?;
        if let Act::Receipt(receipt) = &statement.act {
            self.signatures += signers.len() as u64;
            return self.check_receipt(entry, receipt, &statement.subject, documents);
        }
        self.signatures += signers.len() as u64;
        self.check_right(entry, &statement)?;
        if let Act::Import(import) = &statement.act {
            return self.check_import(entry, import, &statement.subject, documents);
        }
        self.check_labels(entry, &statement.act)?;
        let (payload, actor, state) = (Digest::of(&envelope.payload), entry.actor.as_str(), &self.state);
        let signed = Signed { statement: &statement, payload, actor, signers, state };
        let follows = |event: &Event| is_consequence(event) || self.is_lifted_with_a_package(entry, event);
        let happened: Vec<&Event> = entry.events.iter().filter(|event| !follows(event)).collect();
        if happened.is_empty() && !is_abort(&statement.act) {
            return Err(format!("nothing in it is what the signed {} asks for", statement.act.kind()));
        }
        match happened.iter().find(|event| !signed.asks_for(event)) {
            Some(event) => Err(format!("{} is not what the signed {} asks for", event.name(), statement.act.kind())),
            None => Ok(()),
        }
    }

    /// Whether a hold is lifted because that of the package is, by whose deployment it was placed.
    fn is_lifted_with_a_package(&self, entry: &Entry, event: &Event) -> bool {
        let Event::HoldLifted { app, environment, build: Some(build), reason } = event else { return false };
        let held = |app: &AppName| Some(self.state.in_audience(app, environment)?.held.clone());
        let placed = held(app).and_then(|held| held.get(build).map(|hold| hold.deployment));
        let lifts = |other: &Event| {
            let Event::HoldLifted { app: package, environment: place, build: lifted, reason: why } = other else {
                return false;
            };
            let lists = |(digest, hold): (&Digest, &Hold)| {
                let is_lifted = lifted.is_none_or(|lifted| lifted == *digest);
                let facts = packages::listed(&self.state, package, digest);
                let member = facts.and_then(|facts| facts.package.get(app));
                let by = placed
                    .zip(hold.deployment)
                    .is_some_and(|(placed, by)| packages::is_by(&self.state, package, placed, by));
                is_lifted && by && member.is_some_and(|member| member.build == *build)
            };
            place == environment && why == reason && held(package).is_some_and(|held| held.iter().any(lists))
        };
        entry.events.iter().any(lifts)
    }

    /// Labels decide what runs where: a target has those of its invitation, and changes that somebody signed for.
    fn check_labels(&self, entry: &Entry, act: &Act) -> Check {
        for event in &entry.events {
            let (target, given, signed) = match (event, act) {
                (Event::TargetEnrolled { target, labels, invitation, .. }, _) => {
                    let invited = self.state.invitations.get(&invitation.id());
                    (target, labels, invited.map(|invitation| invitation.labels.clone()))
                }
                (Event::TargetLabelled { target, labels }, Act::Administration(administration)) => {
                    let AdministrationAct::LabelTarget { labels: changes, .. } = &administration.act else { continue };
                    let before = self.state.targets.get(target).map(|target| target.labels.clone());
                    (
                        target,
                        labels,
                        before.map(|mut after| {
                            for (key, value) in changes {
                                match value.as_str() {
                                    "" => after.remove(key),
                                    value => after.insert(key.clone(), value.into()),
                                };
                            }
                            after
                        }),
                    )
                }
                _ => continue,
            };
            if signed.as_ref() != Some(given) {
                return Err(format!("{target} got other labels than were signed for"));
            }
        }
        Ok(())
    }

    /// The keys that signed: all signatures genuine, all of whoever the entry says acted.
    fn signers(
        &self,
        entry: &Entry,
        envelope: &Envelope,
        act: &Act,
        brought: Option<&Event>,
    ) -> Result<Vec<KeyId>, String> {
        let genuine = |keys: &dyn Fn(&KeyId) -> Option<PublicKey>| {
            let signers = envelope.signers(keys);
            let all = !envelope.signatures.is_empty()
                && envelope.signatures.iter().all(|signature| signers.contains(&signature.keyid));
            if all { Ok(signers) } else { Err("a signature is false, or by nobody who was known then".to_string()) }
        };
        let acted = |actor: String| match entry.actor == actor {
            true => Ok(()),
            false => Err(format!("it says {} acted, and {actor} signed", printable(&entry.actor))),
        };
        match (act, brought, &self.state.policy) {
            (Act::Enrolment(enrolment), _, _) => {
                acted("invited".into())?;
                let keys = [enrolment.invitation, enrolment.key];
                let signers = genuine(&|id| keys.iter().find(|key| key.id() == *id).copied())?;
                let both = enrolment.invitation != enrolment.key && signers.len() == 2;
                let invited = self.state.invitations.get(&enrolment.invitation.id()).is_some_and(|invitation| {
                    let open = invitation.uses_left > 0 && invitation.expires > entry.time;
                    let named = invitation.name.as_ref().is_none_or(|name| *name == enrolment.target);
                    open && named && invitation.environment == enrolment.environment
                });
                match (both, invited) {
                    (false, _) => Err("an enrolment needs the invitation's signature and the target's own".into()),
                    (true, false) => Err("nobody had invited this target".into()),
                    (true, true) => Ok(signers),
                }
            }
            (Act::Report(_) | Act::Inventory(_) | Act::Health(_), _, _) => {
                let target = match act {
                    Act::Report(report) => &report.target,
                    Act::Inventory(inventory) => &inventory.target,
                    Act::Health(health) => &health.target,
                    _ => return Err("nobody reported".into()),
                };
                acted(format!("target:{target}"))?;
                let key = self.state.targets.get(target).map(|target| target.key);
                genuine(&|id| key.filter(|key| key.id() == *id))
            }
            (_, Some(Event::CharterApplied { owners, .. }), None) => {
                acted("founder".into())?;
                genuine(&|id| owners.iter().map(|(_, key)| *key).find(|key| key.id() == *id))
            }
            (_, _, None) => Err("there was no charter yet".into()),
            (_, _, Some(policy)) => {
                // A withdrawal that a target kept may be taken again once its signer has left: owners uphold it then.
                let directory = policy.directory_of(&Digest::of(&envelope.payload));
                let by_token = envelope.signatures.iter().any(|signature| signature.proof.is_some());
                let known = |id: &KeyId| policy.holder(id).or_else(|| policy.customer(id));
                let key_of = |id: &KeyId| known(id).map(|(_, key)| key).or_else(|| directory.key(id));
                let signers = match by_token {
                    true => oidc::all_signers(&policy.directory, envelope).ok_or("a token speaks for nobody")?,
                    false => genuine(&key_of)?,
                };
                let person_of = |id: &KeyId| match by_token {
                    true => policy.directory.person(id),
                    false => known(id).map(|(person, _)| person).or_else(|| directory.person(id)),
                };
                let person = signers.first().and_then(person_of).ok_or("nobody signed it")?;
                if signers.iter().any(|id| person_of(id) != Some(person)) {
                    return Err("several people signed it".into());
                }
                acted(person.to_string())?;
                let roles =
                    directory.roles(person).into_iter().chain(policy.customers.roles(person)).collect::<Vec<_>>();
                match entry.roles.iter().find(|role| !roles.iter().any(|held| held.as_str() == role.as_str())) {
                    Some(role) => Err(format!("{person} did not hold the role {}", printable(role))),
                    None => Ok(signers),
                }
            }
        }
    }

    /// Every right that the charter gives is looked at anew.
    fn check_right(&self, entry: &Entry, statement: &Statement) -> Check {
        let Some(policy) = &self.state.policy else { return Ok(()) };
        let charter = &policy.charter;
        let environment = |name: &AudienceName| {
            charter.environments.get(name).ok_or_else(|| format!("the charter had no environment {name}"))
        };
        let owner: Option<Rule> = trust::charter::OWNER.parse().ok();
        let inviters = |name: &AudienceName| -> Result<Option<Rule>, String> {
            Ok(environment(name)?.invite.clone().or_else(|| owner.clone()))
        };
        let of_target = |target: &TargetName| self.state.targets.get(target).map(|target| &target.environment);
        let payload = entry.envelope.as_ref().map(|envelope| Digest::of(&envelope.payload));
        let directory = payload.map_or(Cow::Borrowed(&policy.directory), |payload| policy.directory_of(&payload));
        let actor = PersonName::new(&entry.actor).ok();
        let roles = actor.as_ref().map(|name| directory.roles(name)).unwrap_or_default();
        let is_customer = actor.is_some_and(|name| !policy.customers.keys_of(&name).is_empty());
        let rule = match &statement.act {
            Act::Push(push) => Some(charter.push_rule(&push.app).clone()),
            Act::Part(part) => Some(charter.push_rule(&part.app).clone()),
            Act::Number(number) => Some(charter.push_rule(&number.app).clone()),
            Act::Order(order) => Some(environment(&order.environment)?.deploy.clone()),
            Act::Config(config) => {
                let environment = environment(&config.environment)?;
                Some(environment.configure.as_ref().unwrap_or(&environment.deploy).clone())
            }
            Act::Request(_) | Act::Evidence(_) | Act::Import(_) if roles.is_empty() => {
                return Err(format!("{} had no role and may not {}", printable(&entry.actor), statement.act.kind()));
            }
            Act::Withdrawal(withdrawal) => match may_withdraw(charter, &withdrawal.audience, &roles) {
                true => None,
                false => {
                    let (actor, audience) = (printable(&entry.actor), &withdrawal.audience);
                    return Err(format!("{actor} may not withdraw from {audience}: no role of theirs counts there"));
                }
            },
            Act::Freeze(freeze) => {
                let known = |freeze: &Digest| self.state.freezes.get(freeze).map(|freeze| &freeze.known.terms);
                let terms = match freeze {
                    Freeze::Declare(terms) => Some(terms),
                    Freeze::Lift(_) => known(&statement.subject),
                    Freeze::Except(exception) => known(&exception.freeze),
                };
                let terms = terms.ok_or("there was no such freeze")?;
                for name in freezes::reached(policy, terms) {
                    let rule = environment(name)?.freeze_rule();
                    if !rule.allows_alone(&roles) {
                        return Err(format!(
                            "{} may not freeze {name}: the charter asks for {rule}",
                            printable(&entry.actor)
                        ));
                    }
                }
                None
            }
            Act::Administration(administration) => match &administration.act {
                // Whoever may sign the next root may bring it: owners whose keys are lost can bring nothing.
                AdministrationAct::ApplyCharter { roots, .. } if !roots.is_empty() && self.holds_root(entry) => None,
                // Suspended owners bring what owners signed together, by which power comes back.
                AdministrationAct::ApplyCharter { .. } if self.is_owner(entry) => None,
                AdministrationAct::ApplyCharter { .. } | AdministrationAct::PutRecoveryKeyAway { .. } => owner.clone(),
                AdministrationAct::SuspendPerson { person } if person.as_str() != entry.actor => owner.clone(),
                AdministrationAct::InviteTarget { environment, .. } => inviters(environment)?,
                // Deployers may cordon as well.
                AdministrationAct::CordonTarget { target, .. }
                    if of_target(target)
                        .and_then(|name| charter.environments.get(name))
                        .is_some_and(|environment| environment.deploy.allows_alone(&roles)) =>
                {
                    None
                }
                AdministrationAct::LabelTarget { target, .. }
                | AdministrationAct::CordonTarget { target, .. }
                | AdministrationAct::RetireTarget { target } => match of_target(target) {
                    Some(environment) => inviters(environment)?,
                    None => return Err(format!("there was no target {target}")),
                },
                AdministrationAct::CreateToken { .. } if roles.is_empty() && !is_customer => {
                    return Err(format!("{} had no role and may not make a token", printable(&entry.actor)));
                }
                AdministrationAct::CreateToken { .. } => None,
                AdministrationAct::RevokeToken { token } => match self.state.tokens.get(token) {
                    Some(token) if token.holder.as_str() == entry.actor => None,
                    Some(_) => owner.clone(),
                    None => return Err("there was no such token".into()),
                },
                AdministrationAct::RetireApp { .. } => owner.clone(),
                AdministrationAct::PruneBuilds { app, .. }
                | AdministrationAct::SealDraft { app, .. }
                | AdministrationAct::DiscardDraft { app, .. } => Some(charter.push_rule(app).clone()),
                AdministrationAct::LiftHold { environment: name, .. }
                | AdministrationAct::Expose { environment: name, .. } => Some(environment(name)?.deploy.clone()),
                AdministrationAct::AbortDeployment { deployment, .. }
                | AdministrationAct::PauseDeployment { deployment, .. }
                | AdministrationAct::ExcludeTarget { deployment, .. }
                | AdministrationAct::ResumeDeployment { deployment, .. } => {
                    match self.state.deployments.get(deployment) {
                        Some(deployment) => Some(environment(&deployment.environment)?.deploy.clone()),
                        None => return Err(format!("there was no deployment {deployment}")),
                    }
                }
                AdministrationAct::NamePerson { person, .. } | AdministrationAct::ErasePerson { person }
                    if person.as_str() != entry.actor || self.state.suspended.contains(person) =>
                {
                    owner.clone()
                }
                AdministrationAct::SuspendPerson { .. }
                | AdministrationAct::NamePerson { .. }
                | AdministrationAct::ErasePerson { .. } => None,
            },
            _ => None,
        };
        match rule {
            Some(rule) if !rule.allows_alone(&roles) => Err(format!(
                "{} may not {}: the charter asks for {rule}",
                printable(&entry.actor),
                match &statement.act {
                    Act::Administration(_) => "change that",
                    act => act.kind(),
                }
            )),
            _ => Ok(()),
        }
    }

    fn holds_root(&self, entry: &Entry) -> bool {
        let mut holders = self.state.policy.iter().flat_map(|policy| &policy.record.facts.root_holders);
        holders.any(|(person, _)| person.as_str() == entry.actor)
    }

    fn is_owner(&self, entry: &Entry) -> bool {
        let mut owners = self.state.policy.iter().flat_map(|policy| &policy.record.owners);
        owners.any(|(person, _)| person.as_str() == entry.actor)
    }

    /// What a receipt is said to have told stands in it, signed by the target.
    fn check_receipt(
        &self,
        entry: &Entry,
        act: &Receipt,
        subject: &Digest,
        documents: &BTreeMap<Digest, Vec<u8>>,
    ) -> Check {
        let policy = self.state.policy.as_ref().ok_or("there was no charter yet")?;
        let bytes = documents.get(subject).ok_or_else(|| format!("{subject} is not to be had"))?;
        let known = self.state.targets.get(&act.target).map(|target| target.key);
        let verified = Document::from_bytes(bytes)
            .and_then(|document| document.verify(&self.estate, known, &policy.directory))
            .map_err(|error| error.to_string())?;
        let told = |event: &Event| match event {
            Event::ReceiptTaken {
                receipt,
                report,
                bundle,
                target,
                app,
                environment,
                build,
                running,
                outcome,
                at,
                ..
            } => {
                let fits = |told: &Outcomes| {
                    let kind = std::mem::discriminant(&told.report.outcome) == std::mem::discriminant(outcome);
                    let what = told.payload == *report && told.bundle == *bundle && told.order.app == *app;
                    let how = told.order.environment == *environment && told.build == *build && told.at >= *at;
                    what && how && kind && told.report.running == *running
                };
                receipt == subject && *target == verified.target && verified.outcomes.iter().any(fits)
            }
            Event::TargetEnrolled { target, key, invitation, .. } => verified
                .enrolment
                .as_ref()
                .is_some_and(|told| told.target == *target && told.key == *key && told.invitation == *invitation),
            Event::EscapesChanged { target, .. } => *target == verified.target && verified.inventory.is_some(),
            _ => false,
        };
        match entry.events.iter().find(|event| !told(event)) {
            Some(event) => Err(format!("{} is not what the receipt tells", event.name())),
            None => Ok(()),
        }
    }

    /// What is said to have come from a vendor stands in what was brought, signed by the people of the estate that the
    /// charter pinned then.
    fn check_import(
        &self,
        entry: &Entry,
        act: &Import,
        build: &Digest,
        documents: &BTreeMap<Digest, Vec<u8>>,
    ) -> Check {
        let policy = self.state.policy.as_ref().ok_or("there was no charter yet")?;
        let (_, vendor) = policy.charter.vendor_of(&act.app).ok_or("the charter named no vendor then")?;
        let bytes = documents.get(&act.document).ok_or_else(|| format!("{} is not to be had", act.document))?;
        let release = Release::from_bytes(bytes).map_err(|denial| denial.to_string())?;
        let of_vendor = self.state.apps.get(&act.app).and_then(|app| app.vendors.get(&vendor.id()));
        let heard = of_vendor.map(OfVendor::heard).unwrap_or_default();
        let word = release.open(vendor, &heard).map_err(|denial| denial.to_string())?;
        let released = word.released(&act.app, *build, Some(entry.time));
        let is_word = |told: &VendorWord| {
            told.of() == *vendor
                && told.document == act.document
                && told.charter == word.heard().charter
                && told.expires == word.expires()
                && told.annulled == word.annulled()
        };
        let told = |event: &Event| match event {
            Event::ReleaseImported { app, build: told, version, importer, commit, recipe, word, permit, .. } => {
                let Ok(released) = &released else { return false };
                let what = *app == act.app && told == build && *version == act.version && *version == released.version;
                let how =
                    *commit == released.commit && *recipe == released.recipe && *permit == VendorPermit::of(released);
                what && how && is_word(word) && importer.as_str() == entry.actor
            }
            Event::VendorWithdrew { app, build, through_serial, payload, word: told } => {
                let (app, build, through_serial, payload) = (app.clone(), *build, *through_serial, *payload);
                let kept = KeptWithdrawal { app, build, through_serial, payload };
                is_word(told) && word.heard().withdrawals.contains(&kept)
            }
            _ => false,
        };
        match entry.events.iter().find(|event| !told(event)) {
            Some(event) => Err(format!("{} is not what the vendor signed", event.name())),
            None => Ok(()),
        }
    }

    /// The owners signed this very charter, under roots that follow one another from the pinned one.
    fn check_charter(&mut self, event: &Event, documents: &BTreeMap<Digest, Vec<u8>>) -> Check {
        let Event::CharterApplied { estate, root_version, owners, version, charter, roots, targets, facts } = event
        else {
            return Ok(());
        };
        let find = |digest: &Digest| documents.get(digest).cloned().ok_or_else(|| format!("{digest} is not to be had"));
        for root in roots {
            self.roots.push(find(root)?);
        }
        let before = self.state.policy.as_ref().map_or(0, |policy| policy.record.version);
        let targets = find(targets)?;
        let files = Documents { roots: &self.roots, targets: &targets, charter: charter.as_bytes() };
        let verified = VerifiedDocuments::verify(&self.estate, &files, before + 1)
            .map_err(|error| format!("its charter does not verify: {error}"))?;
        let owners_of = |owners: &[(PersonName, PublicKey)]| owners.iter().cloned().collect::<BTreeSet<_>>();
        let same = *estate == self.estate
            && *root_version == verified.root.version()
            && *version == verified.targets.version()
            && owners_of(owners) == owners_of(&verified.owners);
        let told = *facts == RootFacts::default() || *facts == RootFacts::of(&verified);
        if same && told { Ok(()) } else { Err("what it says of its charter is not what the owners signed".into()) }
    }

    /// A permit is granted when every role has approved, by distinct people (R52): counted anew.
    fn check_permit(&mut self, event: &Event) -> Check {
        let Event::PermitGranted { request, app, version, audience } = event else { return Ok(()) };
        let record = self.state.requests.get(request).ok_or("a permit was granted that nobody requested")?;
        let same = record.app == *app && record.version == *version && record.audience == *audience;
        let policy: &Policy = self.state.policy.as_ref().ok_or("there was no charter yet")?;
        let charter_audience = policy.charter.audience(audience).filter(|_| same);
        let charter_audience = charter_audience.ok_or("the permit is not for what was requested")?;
        let authors = domain::rules::approvals::authors(&self.state, policy, record);
        let keys: Vec<KeyId> = record.approvals.iter().map(|approved| approved.key).collect();
        let approvers = policy.approvers_of(request);
        let lacks = permit::lacks(&record.requires, record.way, &charter_audience, &approvers, &authors, &keys);
        if !lacks.is_empty() {
            let lacks = domain::waiting::lacks_in_words(&lacks);
            return Err(format!("{app}@{version} was released to {audience} without {lacks}"));
        }
        self.permits += 1;
        Ok(())
    }

    /// Nothing is brought to an environment that is not dev without a permit (R31).
    fn check_permission(&self, event: &Event) -> Check {
        match event {
            Event::DeploymentRequested { package: Some(_), .. } => self.check_member(event),
            Event::DeploymentRequested { app, environment, act, version, awaits_permit: false, .. } => {
                self.check_granted(app, version.as_ref(), environment, *act)
            }
            Event::WaveStarted { deployment, wave, .. } => match self.state.deployments.get(deployment) {
                Some(record) => match schedule::held_to(&self.state, *deployment, record, self.state.head.time) {
                    Moment::Later(hindrance) => Err(format!("wave {wave} began, and {hindrance}")),
                    _ if *wave > 1 => Ok(()),
                    _ => self.check_granted(&record.app, record.version.as_ref(), &record.environment, record.act),
                },
                None => Err(format!("deployment {deployment} began, and nobody ordered it")),
            },
            Event::StepStarted { deployment, step, members, in_place } => {
                self.check_step(*deployment, *step, members.keys().chain(in_place))
            }
            Event::TargetAdded { deployment, target } => {
                let record = self.state.deployments.get(deployment);
                let record =
                    record.ok_or_else(|| format!("{target} got deployment {deployment}, which nobody ordered"))?;
                let missed = late::missed(&self.state, target, &record.app).map(|(missed, _)| missed);
                match (
                    missed == Some(*deployment),
                    late::catches_up(&self.state, target, &record.app, self.state.head.time),
                ) {
                    (true, Some(at)) if at <= self.state.head.time => Ok(()),
                    (true, _) => {
                        Err(format!("{target} got deployment {deployment} at a time when nothing might run there"))
                    }
                    (false, _) => Err(format!("{target} got deployment {deployment}, which it had not missed")),
                }
            }
            _ => Ok(()),
        }
    }

    /// Members of a package begin at a moment when it may go on, each once all that it comes after is done.
    fn check_step<'a>(&self, number: u64, step: u32, members: impl Iterator<Item = &'a AppName>) -> Check {
        let unknown = || format!("step {step} of deployment {number} began, and no package is deployed by it");
        let record = self.state.deployments.get(&number).ok_or_else(unknown)?;
        let facts = packages::listed(&self.state, &record.app, &record.build).ok_or_else(unknown)?;
        if let Moment::Later(hindrance) = schedule::held_to(&self.state, number, record, self.state.head.time) {
            return Err(format!("step {step} began, and {hindrance}"));
        }
        for app in members {
            let waits = record.members.get(app) == Some(&MemberPart::Waiting);
            if !waits || !packages::is_turn(&self.state, facts, record, app) {
                return Err(format!("{app} began with {} when it was not its turn", record.app));
            }
        }
        self.check_granted(&record.app, record.version.as_ref(), &record.environment, record.act)
    }

    /// A member of a package is deployed as the package lists it, by the order for the package, when its turn has come.
    fn check_member(&self, event: &Event) -> Check {
        let Event::DeploymentRequested { app, environment, act, build, version, deployer, package, keep_data, .. } =
            event
        else {
            return Ok(());
        };
        let record = package.and_then(|number| self.state.deployments.get(&number));
        let package = record.ok_or_else(|| format!("{app} was deployed with a package that nobody ordered"))?;
        let listed =
            packages::listed(&self.state, &package.app, &package.build).and_then(|facts| facts.package.get(app));
        let listed = listed.ok_or_else(|| format!("{} does not list {app}", package.app))?;
        let same = package.environment == *environment && package.act == *act && package.deployer == *deployer;
        let what = listed.build == *build && Some(&listed.version) == version.as_ref();
        if !same || !what || package.keep_data != *keep_data {
            return Err(format!("{app} was deployed otherwise than {} was ordered", package.app));
        }
        let Event::DeploymentRequested { targets, deployment, .. } = event else { return Ok(()) };
        if package.members.get(app) != Some(&MemberPart::Begun(*deployment)) {
            return Err(format!("{app} was deployed with {} when it was not its turn", package.app));
        }
        if let Some(target) = targets.iter().find(|name| !package.only.is_empty() && !package.only.contains(*name)) {
            return Err(format!("{app} was deployed to {target}, for which {} was not ordered", package.app));
        }
        self.check_granted(app, version.as_ref(), environment, *act)
    }

    /// An entry that nobody signed is the clock's, and only what follows from signed entries can be in it; or it says to whom
    /// the server handed what, which nobody but the server knows.
    fn check_by_itself(&self, entry: &Entry) -> Check {
        let given_up = |event: &Event| {
            matches!(event, Event::TargetFinished { outcome: Outcome::Failed { .. }, change: None, .. })
        };
        let delivered = |event: &Event| match event {
            Event::BuildDelivered { app, version, channel, to, .. } => self.check_delivery(app, version, channel, to),
            event => Err(format!("{} cannot happen by itself, and nobody signed", event.name())),
        };
        // Nobody is taken out by the clock whose time is not over, and nobody for silence who was not invited to come and go.
        let left = |event: &Event| {
            let Event::TargetRetired { target, why: Some(why) } = event else { return false };
            let Some(target) = self.state.targets.get(target) else { return false };
            match why {
                Departure::LapsedUnheard => lifetime::retires(&self.state, target).is_some_and(|at| at <= entry.time),
                Departure::Vanished => target.ephemeral,
                Departure::Lapsed => false,
            }
        };
        let by_itself = |event: &Event| is_consequence(event) || given_up(event) || left(event);
        match entry.actor.as_str() {
            "clock" => match entry.events.iter().find(|event| !by_itself(event)) {
                Some(event) => Err(format!("{} cannot happen by itself, and nobody signed", event.name())),
                None => Ok(()),
            },
            "server" => entry.events.iter().try_for_each(delivered),
            actor => Err(format!("it says {} acted, and nobody signed", printable(actor))),
        }
    }

    /// Nothing is handed to anybody who may not read the channel, nor without a permit.
    fn check_delivery(&self, app: &AppName, version: &Version, channel: &AudienceName, to: &PersonName) -> Check {
        let policy = self.state.policy.as_ref().ok_or("there was no charter yet")?;
        if entitlement::may_read(policy, channel, to).is_err() {
            return Err(format!("{app}@{version} was handed to {to}, who may not read {channel}"));
        }
        match self.state.granted(app, version, channel) {
            Some(_) => Ok(()),
            None => Err(format!("{app}@{version} was handed out of {channel} without a permit")),
        }
    }

    fn check_granted(&self, app: &AppName, version: Option<&Version>, place: &AudienceName, act: OrderAct) -> Check {
        let brings = act.installs();
        let environment = self.state.policy.as_ref().and_then(|policy| policy.charter.environments.get(place));
        let vendor = self.state.policy.as_ref().and_then(|policy| policy.charter.vendor_of(app));
        let released_there = |(_, vendor): (&VendorName, &Vendor)| {
            let record = self.state.apps.get(app)?;
            let build = record.builds.get(&record.versions.get(version?)?.build)?;
            build.vendor.as_ref().filter(|imported| imported.word.of() == *vendor)
        };
        if brings && vendor.is_some_and(|vendor| released_there(vendor).is_none()) {
            return Err(format!("{app} was deployed to {place} without its vendor's release"));
        }
        if !brings || environment.is_some_and(|environment| environment.class == Class::Dev) {
            return Ok(());
        }
        match version {
            Some(version) if self.state.all_permits(app, version, place).next().is_some() => Ok(()),
            Some(version) => Err(format!("{app}@{version} was deployed to {place} without a permit")),
            None => Err(format!("an unreleased build of {app} was deployed to {place}")),
        }
    }
}

/// Whether it follows from what was asked rather than being asked for itself. A permit is counted anew wherever it is.
fn is_consequence(event: &Event) -> bool {
    matches!(
        event,
        Event::PermitGranted { .. }
            | Event::DeploymentRequested { package: Some(_), .. }
            | Event::StepStarted { .. }
            | Event::WaveStarted { .. }
            | Event::RingVerified { .. }
            | Event::DeploymentPaused { by: None, .. }
            | Event::UndoStarted { .. }
            | Event::TargetExcluded { by: None, .. }
            | Event::TargetAdded { .. }
            | Event::DeploymentEnded { .. }
            | Event::DeploymentSettled { .. }
            | Event::HoldPlaced { .. }
    )
}

fn is_abort(act: &Act) -> bool {
    matches!(act, Act::Administration(administration)
        if matches!(administration.act, AdministrationAct::AbortDeployment { .. }))
}

#[cfg(test)]
mod tests;
