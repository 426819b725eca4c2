//! Acts on the estate itself, rather than on a build or an application's way to an audience.

use crate::{
    digest::Digest,
    key::{KeyId, PublicKey},
    names::{AppName, AudienceName, DraftName, PersonName, TargetName, TokenName},
    version::Version,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An act on the estate itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Administration {
    /// What is done.
    pub act: AdministrationAct,
}

/// The acts on the estate itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AdministrationAct {
    /// Puts a charter in force: the new roots since the one in force, the targets metadata, the charter, each an
    /// attachment of the command. They carry the owners' signatures; this statement says who brought them.
    ApplyCharter {
        /// New root files in order, by digest.
        roots: Vec<Digest>,
        /// The targets metadata.
        targets: Digest,
        /// The charter.
        charter: Digest,
    },
    /// Lets machines join.
    InviteTarget {
        /// The public half of the invitation's key.
        invitation: PublicKey,
        /// Where they may join.
        environment: AudienceName,
        /// The labels they get.
        labels: BTreeMap<String, String>,
        /// The only name they may take, where it is to be one machine.
        name: Option<TargetName>,
        /// How many may join.
        uses: u32,
        /// Until when.
        expires: Timestamp,
        /// Whether they come and go: one that falls silent is gone, and counts in no minimum and no budget (R30).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ephemeral: bool,
    },
    /// Sets a target's labels; an empty value removes one.
    LabelTarget {
        /// Which.
        target: TargetName,
        /// The labels to change.
        labels: BTreeMap<String, String>,
    },
    /// Keeps new deployments away from a target, or lets them come again.
    CordonTarget {
        /// Which.
        target: TargetName,
        /// Whether it is cordoned from now on.
        cordoned: bool,
        /// The salted digest of why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
    },
    /// Takes a target out of the estate for good.
    RetireTarget {
        /// Which.
        target: TargetName,
    },
    /// Takes a person's or robot's powers at once; owners give them back by a new charter.
    SuspendPerson {
        /// Who.
        person: PersonName,
    },
    /// Says that the recovery key is put away, so that nobody is reminded of it any more.
    PutRecoveryKeyAway {
        /// The key.
        key: KeyId,
    },
    /// Makes a token that reads as the signer does, and does nothing else. Whoever signs made its secret, and the server
    /// learns of it when it is first shown.
    CreateToken {
        /// SHA-256 of the secret.
        token: Digest,
        /// What it is for.
        name: TokenName,
        /// Until when it is good.
        expires: Timestamp,
    },
    /// Ends a token.
    RevokeToken {
        /// SHA-256 of the secret.
        token: Digest,
    },
    /// Says who a person or robot of the charter is: handles stand in the ledger for ever, names can be erased.
    NamePerson {
        /// The handle.
        person: PersonName,
        /// The salted digest of the name, which stands in the side table; nothing takes an earlier name away.
        name: Option<Digest>,
    },
    /// Erases a person: the name behind the handle, and every free text that the person wrote.
    ErasePerson {
        /// The handle.
        person: PersonName,
    },
    /// Lets a version into an environment again after it was undone or rolled back there.
    LiftHold {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// The build; all that are held where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        build: Option<Digest>,
        /// The salted digest of the reason, which stands in the side table.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
    },
    /// Says that a build is what the parts of a draft make together: none is added to it any more.
    SealDraft {
        /// The application.
        app: AppName,
        /// The draft.
        draft: DraftName,
        /// The build.
        build: Digest,
    },
    /// Lets the parts of a draft go that nobody has sealed: its name begins anew.
    DiscardDraft {
        /// The application.
        app: AppName,
        /// The draft.
        draft: DraftName,
    },
    /// Ends an application for good: nothing new of it comes in, and its name is never given again.
    RetireApp {
        /// Which.
        app: AppName,
    },
    /// Lets the bytes of builds go that nothing needs; their names, numbers and manifests stay.
    PruneBuilds {
        /// The application.
        app: AppName,
        /// Its builds.
        builds: BTreeSet<Digest>,
    },
    /// Ends an unfinished deployment; targets that had activated it go back.
    AbortDeployment {
        /// Its number.
        deployment: u64,
        /// The salted digest of the reason, which stands in the side table.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
    },
    /// Leaves one target out of a deployment.
    ExcludeTarget {
        /// The deployment's number.
        deployment: u64,
        /// Which target.
        target: TargetName,
        /// The salted digest of the reason, which stands in the side table.
        reason: Digest,
    },
    /// Lets no further target of a deployment begin, until somebody lets it go on.
    PauseDeployment {
        /// Its number.
        deployment: u64,
        /// The salted digest of the reason, which stands in the side table.
        reason: Digest,
    },
    /// Lets a deployment go on that was paused, or that waits for somebody's word between two rings.
    ResumeDeployment {
        /// Its number.
        deployment: u64,
        /// The salted digest of the reason, which stands in the side table.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
    },
    /// Says which version end users may reach, and how many of them in percent: the third act (R26, R49).
    Expose {
        /// The application.
        app: AppName,
        /// Where.
        environment: AudienceName,
        /// The version.
        version: Version,
        /// How many see it, from 0 (concealed) to 100.
        percent: u8,
    },
}
