//! The charter in force as a verifier holds it: whose signature is whose, and what was withdrawn.

use super::{Denial, may_withdraw};
use crate::{
    charter::{Charter, CharterError},
    digest::Digest,
    dsse::Envelope,
    key::{KeyId, PublicKey},
    names::{AppName, AudienceName, PersonName},
    oidc,
    quorum::{Directory, Rule},
    statement::{Act, Administration, AdministrationAct, Statement, Withdrawal},
    upheld::upheld_name,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet};

/// A charter whose signatures were checked, and everything derived from it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrustedPolicy {
    /// The estate.
    pub estate: Digest,
    /// The charter's version.
    pub version: u64,
    /// The charter.
    pub charter: Charter,
    /// Whose key is whose, suspended people left out.
    pub directory: Directory,
    /// Whose signatures count as approvals.
    pub approvers: Directory,
    /// As `directory`, with the suspended: they may take permission back, and nothing else.
    everyone: Directory,
    suspended: BTreeSet<PersonName>,
    owners: Vec<(PersonName, PublicKey)>,
}

/// A withdrawal that was found genuine. Agents keep them for ever, whatever the server says later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptWithdrawal {
    /// The application.
    pub app: AppName,
    /// The build.
    pub build: Digest,
    /// The last dead serial.
    pub through_serial: u64,
    /// The digest of its payload, by which owners may annul it. One that was kept before digests were cannot be annulled
    /// until it comes again.
    #[serde(default)]
    pub payload: Option<Digest>,
}

impl KeptWithdrawal {
    /// What an envelope says that it withdraws from `audience`. Whether it is genuine is for
    /// [`TrustedPolicy::withdrawal`] to say.
    pub fn read(envelope: &Envelope, audience: &AudienceName) -> Option<Self> {
        let statement = Statement::read(envelope).ok()?;
        let Act::Withdrawal(Withdrawal { app, audience: from, through_serial, .. }) = statement.act else {
            return None;
        };
        let payload = Some(Digest::of(&envelope.payload));
        (from == *audience).then_some(Self { app, build: statement.subject, through_serial, payload })
    }
}

/// A statement with its genuine signers.
pub(super) struct Opened<'a, T> {
    pub(super) subject: Digest,
    pub(super) payload: Digest,
    pub(super) submit_before: Timestamp,
    pub(super) act: T,
    pub(super) signers: Vec<KeyId>,
    /// Whose key is whose for this very statement: what owners uphold is in it.
    pub(super) directory: Cow<'a, Directory>,
}

impl<T> Opened<'_, T> {
    /// The people who signed.
    pub(super) fn people(&self) -> impl Iterator<Item = &PersonName> {
        self.signers.iter().filter_map(|id| self.directory.person(id))
    }
}

impl TrustedPolicy {
    /// Derives a policy from a charter whose owners' signatures were checked, leaving out people whose suspension is
    /// genuine: signed by an owner, or by the person.
    pub fn new(
        estate: Digest,
        version: u64,
        charter: Charter,
        owners: &[(PersonName, PublicKey)],
        suspensions: &[Envelope],
    ) -> Result<Self, CharterError> {
        let everyone = charter.directory(owners, &BTreeSet::new())?;
        let mut policy = Self {
            estate,
            version,
            directory: everyone.clone(),
            approvers: charter.without_robots(everyone.clone()),
            everyone,
            suspended: BTreeSet::new(),
            charter,
            owners: owners.to_vec(),
        };
        let suspended: BTreeSet<PersonName> =
            suspensions.iter().filter_map(|envelope| policy.suspension(envelope)).collect();
        for person in &suspended {
            policy.directory.remove(person);
            policy.approvers.remove(person);
        }
        policy.suspended = suspended;
        Ok(policy)
    }

    /// The owners.
    pub fn owners(&self) -> &[(PersonName, PublicKey)] {
        &self.owners
    }

    /// The people whose suspension is genuine.
    pub fn suspended(&self) -> &BTreeSet<PersonName> {
        &self.suspended
    }

    pub(super) fn suspension(&self, envelope: &Envelope) -> Option<PersonName> {
        let opened = self
            .open(envelope, "suspension", |act| match act {
                Act::Administration(Administration { act: AdministrationAct::SuspendPerson { person } }) => {
                    Some(person)
                }
                _ => None,
            })
            .ok()?;
        let is_owner = |id: &KeyId| self.owners.iter().any(|(_, key)| key.id() == *id);
        let is_self = |id: &KeyId| self.directory.person(id) == Some(&opened.act);
        opened.signers.iter().any(|id| is_owner(id) || is_self(id)).then(|| opened.act.clone())
    }

    /// Whose key is whose for the statement of this name ([`upheld_name`]).
    pub fn directory_of(&self, statement: &Digest) -> Cow<'_, Directory> {
        self.charter.directory_of(&self.directory, &self.suspended, statement)
    }

    /// Whose signatures count as approvals of this request.
    pub fn approvers_of(&self, request: &Digest) -> Cow<'_, Directory> {
        self.charter.approvers_of(&self.approvers, &self.suspended, request)
    }

    /// The keys that genuinely signed a statement and count for it, with their people.
    pub fn signers(&self, envelope: &Envelope) -> Vec<(KeyId, PersonName)> {
        let Ok(statement) = Statement::read(envelope) else { return Vec::new() };
        let directory = self.directory_of(&upheld_name(&statement, &envelope.payload));
        let signers = oidc::signers(&directory, envelope);
        signers.into_iter().filter_map(|id| Some((id, directory.person(&id)?.clone()))).collect()
    }

    /// The key of this id among those that count for a statement.
    pub fn key_of(&self, id: &KeyId, statement: &Digest) -> Option<PublicKey> {
        self.directory_of(statement).key(id)
    }

    /// Whether one of those who genuinely signed satisfies `rule` alone.
    pub fn signed_by(&self, envelope: &Envelope, rule: &Rule) -> bool {
        let Ok(statement) = Statement::read(envelope) else { return false };
        let directory = self.directory_of(&upheld_name(&statement, &envelope.payload));
        self.signers(envelope).iter().any(|(_, person)| rule.allows_alone(&directory.roles(person)))
    }

    /// Reads an envelope as one kind of statement of this estate, with the known keys that genuinely signed it.
    pub(super) fn open<T>(
        &self,
        envelope: &Envelope,
        what: &'static str,
        pick: impl Fn(Act) -> Option<T>,
    ) -> Result<Opened<'_, T>, Denial> {
        self.open_among(&self.directory, &self.suspended, envelope, what, pick)
    }

    pub(super) fn open_among<'a, T>(
        &self,
        directory: &'a Directory,
        suspended: &BTreeSet<PersonName>,
        envelope: &Envelope,
        what: &'static str,
        pick: impl Fn(Act) -> Option<T>,
    ) -> Result<Opened<'a, T>, Denial> {
        let invalid = |why: String| Denial::Invalid { what, why };
        let statement = Statement::read(envelope).map_err(|error| invalid(error.to_string()))?;
        if statement.header.estate != self.estate {
            return Err(invalid("it is of another estate".into()));
        }
        let name = upheld_name(&statement, &envelope.payload);
        let kind = statement.act.kind();
        let act = pick(statement.act).ok_or_else(|| invalid(format!("it is a statement of kind {kind}")))?;
        let directory = self.charter.directory_of(directory, suspended, &name);
        let signers = oidc::signers(&directory, envelope);
        if signers.is_empty() {
            return Err(invalid("nobody of the charter signed it".into()));
        }
        Ok(Opened {
            subject: statement.subject,
            payload: Digest::of(&envelope.payload),
            submit_before: statement.header.submit_before,
            act,
            signers,
            directory,
        })
    }

    pub(super) fn open_present<T>(
        &self,
        envelope: Option<&Envelope>,
        what: &'static str,
        pick: impl Fn(Act) -> Option<T>,
    ) -> Result<Opened<'_, T>, Denial> {
        self.open(envelope.ok_or(Denial::Missing(what))?, what, pick)
    }

    /// Fails unless one of the signers alone satisfies `rule`.
    pub(super) fn require<T>(
        &self,
        what: &'static str,
        rule: &Rule,
        opened: &Opened<'_, T>,
    ) -> Result<PersonName, Denial> {
        let directory = &opened.directory;
        let holder = opened.signers.iter().filter_map(|id| directory.person(id)).find(|person| {
            let roles = directory.roles(person);
            rule.allows_alone(&roles)
        });
        holder.cloned().ok_or_else(|| Denial::Invalid { what, why: format!("its signer is not {rule}") })
    }

    /// The withdrawal in `envelope`, if it is genuine: signed by anyone who holds a role the audience requires, a
    /// deployer, or an owner. It counts even when all else is stale, and when whoever signed it is suspended: suspending
    /// someone must not bring back what they took.
    pub fn withdrawal(&self, envelope: &Envelope, audience: &AudienceName) -> Result<KeptWithdrawal, Denial> {
        let what = "withdrawal";
        let opened = self.open_among(&self.everyone, &BTreeSet::new(), envelope, what, |act| match act {
            Act::Withdrawal(withdrawal) => Some(withdrawal),
            _ => None,
        })?;
        if opened.act.audience != *audience {
            return Err(Denial::Invalid { what, why: format!("it is for {}", opened.act.audience) });
        }
        // Granting is AND, withdrawing is OR: any one of them suffices.
        let people = opened.signers.iter().filter_map(|id| opened.directory.person(id));
        let roles: Vec<_> = people.map(|person| opened.directory.roles(person)).collect();
        if !roles.iter().any(|roles| may_withdraw(&self.charter, audience, roles)) {
            return Err(Denial::Invalid { what, why: "its signer holds no role that counts here".into() });
        }
        let Withdrawal { app, through_serial, .. } = opened.act;
        Ok(KeptWithdrawal { app, build: opened.subject, through_serial, payload: Some(opened.payload) })
    }

    /// Who genuinely signed a withdrawal, the suspended among them.
    pub fn withdrawers(&self, envelope: &Envelope) -> Vec<PersonName> {
        let any = |act: Act| matches!(act, Act::Withdrawal(_)).then_some(());
        let opened = self.open_among(&self.everyone, &BTreeSet::new(), envelope, "withdrawal", any);
        opened.map(|opened| opened.people().cloned().collect()).unwrap_or_default()
    }

    /// The last serial of a build's requests that is dead by what was `kept`, less what owners annul.
    pub fn dead_through<'a>(
        &self,
        app: &AppName,
        build: &Digest,
        kept: impl IntoIterator<Item = &'a KeptWithdrawal>,
    ) -> u64 {
        let annulled =
            |kept: &KeptWithdrawal| kept.payload.is_some_and(|digest| self.charter.annulled.contains(&digest));
        let counts = |kept: &&KeptWithdrawal| kept.app == *app && kept.build == *build && !annulled(kept);
        kept.into_iter().filter(counts).map(|kept| kept.through_serial).max().unwrap_or(0)
    }
}
