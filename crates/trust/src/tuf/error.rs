//! Why TUF metadata is not taken.

use super::{MAX_ROLES_VISITED, MAX_ROOTS_WALKED, TufRole};
use crate::{
    digest::Digest,
    json::JsonError,
    key::{KeyId, SignError},
    names::PersonName,
    quorum::SharedKeyError,
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Which check a piece of TUF metadata failed.
#[derive(Debug, thiserror::Error)]
pub enum TufError {
    /// More bytes than metadata of this kind may have.
    #[error("the metadata has {size_bytes} bytes, more than the {limit_bytes} it may have")]
    Oversized {
        /// What was given, in bytes.
        size_bytes: usize,
        /// The most that is read, in bytes.
        limit_bytes: usize,
    },
    /// Not JSON that every reader takes for the same thing.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field is absent or of the wrong form.
    #[error("not TUF metadata: {0}")]
    Malformed(String),
    /// Metadata of another kind.
    #[error("{expected} metadata was expected, and this says it is '{found}'")]
    WrongType {
        /// What was wanted.
        expected: TufRole,
        /// The `_type` it states.
        found: String,
    },
    /// Written for another major version of TUF.
    #[error("TUF version '{0}' is not supported: 1.x is")]
    SpecVersion(String),
    /// Versions count from 1.
    #[error("version 0 does not exist: versions count from 1")]
    VersionZero,
    /// An expiry that is not to the second and in UTC.
    #[error("'{0}' is not a time written like 2030-01-31T12:00:00Z")]
    ExpiryFormat(String),
    /// Root metadata that does not promise consistent snapshots.
    #[error("root must say \"consistent_snapshot\": true")]
    NotConsistent,
    /// A security key, which other people's TUF clients do not know.
    #[error(
        "key {0} is a security key, whose signatures only Sortie verifies: owners sign with Ed25519 or P-256, of a \
         smart card for instance, so that any TUF client can check them"
    )]
    SecurityKey(KeyId),
    /// A key is listed under an id that is not its own.
    #[error("a key is listed as {listed}, and its id is {computed}")]
    WrongKeyId {
        /// The id in the file.
        listed: String,
        /// The id of the key.
        computed: KeyId,
    },
    /// A role lists a key that the file does not hold.
    #[error("the role {role} lists key {keyid}, which is not among the keys")]
    UnknownKey {
        /// The role.
        role: TufRole,
        /// The id that is listed.
        keyid: String,
    },
    /// A role lists one key twice.
    #[error("the role {role} lists key {keyid} twice")]
    RepeatedKey {
        /// The role.
        role: TufRole,
        /// The id that is listed.
        keyid: String,
    },
    /// A role without keys.
    #[error("the role {0} has no keys")]
    EmptyRole(TufRole),
    /// A threshold that everyone meets.
    #[error("the role {0} has threshold 0: at least one signature must be needed")]
    ThresholdZero(TufRole),
    /// A threshold that nobody can meet.
    #[error("the role {role} needs {threshold} to sign, and has {available}")]
    ThresholdUnreachable {
        /// The role.
        role: TufRole,
        /// How many must sign.
        threshold: u32,
        /// How many distinct people (for the server's roles: keys) could.
        available: usize,
    },
    /// An owner's key without a name to it.
    #[error("key {0} may sign for root or targets, and x-sortie-people does not say whose it is")]
    NobodysKey(String),
    /// A name for a key that is no owner's.
    #[error("x-sortie-people names {person} for key {keyid}, which is in neither root nor targets")]
    StrayPerson {
        /// Who is named.
        person: PersonName,
        /// The id that is listed.
        keyid: String,
    },
    /// One key under two people.
    #[error(transparent)]
    SharedKey(#[from] SharedKeyError),
    /// Two signatures under one key id.
    #[error("key {0} stands twice among the signatures")]
    RepeatedSignature(String),
    /// Too few people signed.
    #[error(
        "not signed as version {by_version} of {by} asks of the role {role}: {lacking} more people must sign \
         (signed by {})",
        list(signed_by)
    )]
    NotEnoughSignatures {
        /// The role that must sign.
        role: String,
        /// The role that says whose keys those are: root, or a role that delegates.
        by: String,
        /// The version of that.
        by_version: u64,
        /// How many more distinct people must sign.
        lacking: u32,
        /// Whose genuine signatures it bears.
        signed_by: BTreeSet<PersonName>,
    },
    /// The chain of roots begins elsewhere than at 1.
    #[error("the first root is version 1, and this is version {0}")]
    NotFirst(u64),
    /// The first root of another estate.
    #[error("this is the root of another estate: {expected} is pinned, and this is {found}")]
    OtherEstate {
        /// The estate that is pinned.
        expected: Digest,
        /// The digest of the file.
        found: Digest,
    },
    /// A root that does not follow the trusted one.
    #[error("version {expected} of root must come next, and this is version {found}")]
    NotNext {
        /// The version that follows the trusted root's.
        expected: u64,
        /// The version it has.
        found: u64,
    },
    /// More roots than one walk takes.
    #[error("{0} roots are more than the {MAX_ROOTS_WALKED} that are taken at once: take them in parts")]
    TooManyRoots(usize),
    /// Metadata older than what was accepted before.
    #[error("version {found} of {role} is older than version {minimum}, which was accepted before: a rollback")]
    Rollback {
        /// The role that was rolled back.
        role: String,
        /// The oldest version that may be accepted.
        minimum: u64,
        /// The version it has.
        found: u64,
    },
    /// The metadata's time is over.
    #[error("version {version} of {role} expired at {expires}: a new one must be signed, or new ones are withheld")]
    Expired {
        /// The role.
        role: String,
        /// Its version.
        version: u64,
        /// When it expired.
        expires: Timestamp,
    },
    /// The file is not in the repository.
    #[error("the repository does not have it, and must")]
    NotThere,
    /// Another version than the one that is listed.
    #[error("version {expected} of {role} is listed, and this is version {found}")]
    OtherVersion {
        /// The role.
        role: String,
        /// The version that is listed.
        expected: u64,
        /// The version it has.
        found: u64,
    },
    /// Other bytes than those that are listed.
    #[error("it is not the file that is listed: {0}")]
    OtherFile(&'static str),
    /// A file that was listed before, and must be for ever.
    #[error("{0} was listed before and no longer is: a rollback")]
    Unlisted(String),
    /// A delegated role that the snapshot does not know.
    #[error("the role '{0}' is delegated to, and the snapshot does not list it")]
    NotInSnapshot(String),
    /// A search that leads through too many roles.
    #[error("more than {MAX_ROLES_VISITED} delegated roles would have to be searched for one file")]
    TooManyRoles,
    /// A name that no target can have.
    #[error("'{0}' is not the path of a target: it must be relative, without empty parts, '.' and '..'")]
    TargetPath(String),
    /// The signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

fn list(people: &BTreeSet<PersonName>) -> String {
    if people.is_empty() {
        return "nobody".into();
    }
    people.iter().map(PersonName::as_str).collect::<Vec<_>>().join(", ")
}
