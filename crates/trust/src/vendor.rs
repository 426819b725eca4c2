//! Vendors: other estates whose releases this one takes in, and still affirms by its own people (R42).
//!
//! The charter names a vendor's estate and the audience it releases to us by. A [`Release`] carries the vendor's documents
//! and the statements of one permit; whoever judges it walks the vendor's roots from the pinned one, reads the vendor's
//! charter, and counts the vendor's people by the same function as one's own. It stands in for push and number: the
//! vendor alone says which bytes a version is. Nobody here has to be believed for that, neither who brought it nor the
//! server that keeps it.
//!
//! Nothing goes back: [`Heard`] is the newest charter and every withdrawal that was ever heard of.

use crate::{
    authority::{
        Denial, Documents, Dossier, FEATURES, KeptWithdrawal, TrustedPolicy, Vendors, VerifiedDocuments, live_permit,
    },
    digest::Digest,
    dsse::{Envelope, base64_bytes},
    json::{self, JsonError},
    names::{AppName, AudienceName, PersonName},
    statement::{Act, Commit, Request, Statement},
    version::Version,
    way::Way,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The only format there is so far.
pub const FORMAT: u32 = 1;
/// The longest release, in bytes.
pub const MAX_RELEASE_BYTES: usize = 16 << 20;

/// What the charter says of a vendor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vendor {
    /// The vendor's estate: the digest of its first root.
    pub estate: Digest,
    /// The vendor's audience that we are: a channel, mostly.
    pub audience: AudienceName,
}

impl Vendor {
    /// Under which what was heard of the vendor is kept: what it tells one audience says nothing of another.
    pub fn id(&self) -> Digest {
        Digest::of(format!("{} {}", self.estate, self.audience).as_bytes())
    }
}

/// A vendor's release as it travels: the documents of the vendor's estate, and what its people signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// [`FORMAT`].
    pub format: u32,
    /// All roots of the vendor from the first, in order.
    pub roots: Vec<Bytes>,
    /// The vendor's targets metadata.
    pub targets: Bytes,
    /// The vendor's charter.
    pub charter: String,
    /// The suspensions in force there.
    #[serde(default)]
    pub suspensions: Vec<Envelope>,
    /// Push, number, request and approvals of one version, and every withdrawal of the application from us.
    pub dossier: Box<Dossier>,
}

/// A file in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(#[serde(with = "base64_bytes")] pub Vec<u8>);

/// What was ever heard of a vendor, whoever tells something older later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// The newest version of the vendor's charter.
    pub charter: u64,
    /// Every withdrawal that was found genuine.
    pub withdrawals: Vec<KeptWithdrawal>,
}

/// A vendor's documents that were found genuine, with what came along.
pub struct Word<'a> {
    release: &'a Release,
    vendor: &'a Vendor,
    documents: VerifiedDocuments,
    policy: TrustedPolicy,
    heard: Vec<KeptWithdrawal>,
}

/// A vendor's release that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// The number that the vendor gave.
    pub version: Version,
    /// The vendor's request.
    pub request: Digest,
    /// Counts the vendor's requests for this version to us.
    pub serial: u64,
    /// From when it may be activated.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// The lowest version that the vendor still lets us activate.
    pub floor: Option<Version>,
    /// By which way the vendor released it.
    pub way: Way,
    /// Who of the vendor's people asked for it.
    pub requester: Option<PersonName>,
    /// Who of them agreed.
    pub approvers: Vec<PersonName>,
    /// What the vendor made it from.
    pub commit: Option<Commit>,
    /// By which command.
    pub recipe: Option<String>,
}

impl Release {
    /// Reads a release's bytes. Says nothing yet about its signatures.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Denial> {
        let unfit = |why: String| Denial::Invalid { what: "release", why };
        if bytes.len() > MAX_RELEASE_BYTES {
            return Err(unfit(format!("{} bytes are more than the {MAX_RELEASE_BYTES} allowed", bytes.len())));
        }
        let release: Self = json::from_strict(bytes).map_err(|error| unfit(error.to_string()))?;
        match release.format == FORMAT {
            true => Ok(release),
            false => Err(unfit(format!("it has format {}; this program reads format {FORMAT}", release.format))),
        }
    }

    /// Its bytes, whose digest names it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, JsonError> {
        json::sorted(self)
    }

    /// Verifies the documents in it against the vendor that the charter names. `heard` is what was heard of the vendor
    /// before: an older charter does not count, and no withdrawal is forgotten.
    pub fn open<'a>(&'a self, vendor: &'a Vendor, heard: &Heard) -> Result<Word<'a>, Denial> {
        let unfit = |why: String| Denial::Invalid { what: "estate", why };
        let roots: Vec<Vec<u8>> = self.roots.iter().map(|root| root.0.clone()).collect();
        let files = Documents { roots: &roots, targets: &self.targets.0, charter: self.charter.as_bytes() };
        let documents = VerifiedDocuments::verify(&vendor.estate, &files, heard.charter)
            .map_err(|error| unfit(error.to_string()))?;
        if let Some(feature) = documents.charter.requires.iter().find(|name| !FEATURES.contains(&name.as_str())) {
            return Err(Denial::FeatureMissing(feature.clone()));
        }
        if self.dossier.vendor.is_some() {
            return Err(unfit("what a vendor passes on from another is not taken".into()));
        }
        let policy = documents.policy(&self.suspensions).map_err(|error| unfit(error.to_string()))?;
        let mut known = heard.withdrawals.clone();
        let told = self.dossier.withdrawals.iter().filter_map(|one| policy.withdrawal(one, &vendor.audience).ok());
        known.extend(told.filter(|one| !heard.withdrawals.contains(one)));
        Ok(Word { release: self, vendor, documents, policy, heard: known })
    }
}

impl Word<'_> {
    /// What was heard of the vendor, this release included.
    pub fn heard(&self) -> Heard {
        Heard { charter: self.documents.targets.version(), withdrawals: self.heard.clone() }
    }

    /// The withdrawals that the vendor's owners annul.
    pub fn annulled(&self) -> &[Digest] {
        &self.documents.charter.annulled
    }

    /// When the vendor's documents expire: nothing new is activated by them then.
    pub fn expires(&self) -> Timestamp {
        self.documents.root.expires().min(self.documents.targets.expires())
    }

    /// The vendor's permit for this very build to us. With `now` it must hold at that time; going back asks for none.
    pub fn released(&self, app: &AppName, build: Digest, now: Option<Timestamp>) -> Result<Released, Denial> {
        let dossier = &self.release.dossier;
        // A serial counts the requests of one version, and what is kept of a vendor knows those of its applications only.
        if dossier.package.is_some() {
            let why = "a vendor releases each application by itself".into();
            return Err(Denial::Invalid { what: "package", why });
        }
        let (audience, times) = (&self.vendor.audience, Vendors { heard: None, now });
        let permit = live_permit(&self.policy, app, build, audience, dossier, &self.heard, &times)?;
        let Request { serial, not_before, not_after, way, .. } = permit.asked;
        if let Some(now) = now.filter(|now| *now >= self.expires()) {
            return Err(Denial::Expired { not_before, not_after: not_after.min(self.expires()), now });
        }
        let push = dossier.push.as_ref().and_then(|push| Statement::read(push).ok());
        let (commit, recipe) = match push.map(|push| push.act) {
            Some(Act::Push(push)) => (push.commit, push.recipe),
            _ => (None, None),
        };
        Ok(Released {
            version: permit.asked.version,
            request: permit.request,
            serial,
            not_before,
            not_after,
            floor: permit.asked.floor,
            way,
            requester: permit.requesters.first().cloned(),
            approvers: permit.approvers.into_iter().collect(),
            commit,
            recipe,
        })
    }
}
