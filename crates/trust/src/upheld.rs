//! What goes on counting though its signer left, or lost the role: owners name it in the charter, statement by
//! statement, with the key, the person and the roles under which it counted.
//!
//! A key that leaves takes its approvals along. An entry under `[[upheld]]` keeps the named ones, and nothing else that
//! the key ever signed or will sign. An approval is named by the request it approves, everything else by the digest of
//! its own payload. Whoever is suspended loses what is upheld of theirs too, until owners sign the next charter.

use crate::{
    charter::Charter,
    digest::Digest,
    key::PublicKey,
    names::{PersonName, RoleName},
    quorum::Directory,
    statement::{Act, Statement},
};
use serde::Deserialize;
use std::{borrow::Cow, collections::BTreeSet};

/// Statements of one key that go on counting.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upheld {
    /// Whose key it was.
    pub person: PersonName,
    /// The roles under which the statements count.
    #[serde(default)]
    pub roles: BTreeSet<RoleName>,
    /// The key, as an OpenSSH line.
    #[serde(with = "openssh_line")]
    pub key: PublicKey,
    /// What is upheld: requests that were approved or made, and payloads of other statements.
    pub statements: BTreeSet<Digest>,
}

/// The digest under which a statement is upheld: for an approval the request's, else that of its own payload.
pub fn upheld_name(statement: &Statement, payload: &[u8]) -> Digest {
    match statement.act {
        Act::Approval(_) => statement.subject,
        _ => Digest::of(payload),
    }
}

impl Charter {
    /// Whose key is whose for the statement of this name: `directory`, and whoever signed it and is upheld.
    pub fn directory_of<'a>(
        &self,
        directory: &'a Directory,
        suspended: &BTreeSet<PersonName>,
        statement: &Digest,
    ) -> Cow<'a, Directory> {
        let counts = |upheld: &&Upheld| upheld.statements.contains(statement) && !suspended.contains(&upheld.person);
        Self::with(directory, self.upheld.iter().filter(counts))
    }

    /// Whose signatures count as approvals of this request: `approvers`, and whoever approved it and is upheld. A robot
    /// never counts as a person.
    pub fn approvers_of<'a>(
        &self,
        approvers: &'a Directory,
        suspended: &BTreeSet<PersonName>,
        request: &Digest,
    ) -> Cow<'a, Directory> {
        let counts = |upheld: &&Upheld| {
            let is_robot = self.robots.contains_key(&upheld.person);
            upheld.statements.contains(request) && !suspended.contains(&upheld.person) && !is_robot
        };
        Self::with(approvers, self.upheld.iter().filter(counts))
    }

    fn with<'a, 'b>(directory: &'a Directory, upheld: impl Iterator<Item = &'b Upheld>) -> Cow<'a, Directory> {
        let mut directory = Cow::Borrowed(directory);
        for Upheld { person, roles, key, .. } in upheld {
            // A charter that gives one key to two people was refused when it was read.
            let _shared = directory.to_mut().add(person, Some(*key), roles.iter().cloned());
        }
        directory
    }
}

mod openssh_line {
    use super::PublicKey;
    use serde::{Deserialize, Deserializer};

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PublicKey, D::Error> {
        PublicKey::from_openssh(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
