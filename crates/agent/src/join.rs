//! How a machine becomes a target: by an invitation, which its inviter's command line built.

use crate::{
    bundle::Unpacked,
    documents::{self, Documents, TrustError},
    files::{self, FileError},
    home::{Enrolled, Home, HomeError, kernel_version, memory_bytes},
    supply::SupplyError,
};
use api::{
    client::{Client, ClientError, SUBMIT_WITHIN, fresh_request_id, in_future},
    link::within,
    problem::SIGNER_UNKNOWN,
    read::Estate,
    routes,
    write::Submission,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use trust::{
    AppName, AudienceName, Digest, TargetName,
    authority::Pinned,
    charter::Class,
    dsse::Envelope,
    key::{SecretKey, Signer},
    statement::{Act, Enrolment, Facts, Header, Statement, StatementSignError},
};

const PREFIX: &str = "sortie-join-";
const ANSWER: Duration = Duration::from_secs(60);
/// How often a server that cannot be reached is asked to let this machine join, and how long a pause is.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// What an invited machine is told, and pins for good. Whoever has it may join: it is a secret until it is used up.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// The server's address.
    pub url: String,
    /// The pin of its TLS key.
    pub pin: Digest,
    /// The estate.
    pub estate: Digest,
    /// Where the machine is to join.
    pub environment: AudienceName,
    /// That environment's class, as the inviter's own charter says.
    pub class: Class,
    /// The labels it will get, for people to see; the server knows them from the signed invitation.
    pub labels: BTreeMap<String, String>,
    /// The applications it is to accept; empty means all.
    pub apps: BTreeSet<AppName>,
    /// The only name it may take, where that is fixed.
    pub name: Option<TargetName>,
    /// The seed of the invitation's key.
    pub seed: [u8; 32],
    /// Whether the machines come and go: without a name, each finds one of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
}

impl std::fmt::Debug for Invitation {
    /// Leaves out the seed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Invitation(to {} at {})", self.environment, self.url)
    }
}

/// Why a text is no invitation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no invitation: copy the whole of what `sortie target invite` printed, from {PREFIX} on")]
pub struct InvitationError;

impl Invitation {
    /// The token: one word that survives copying.
    pub fn encode(&self) -> String {
        format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default()))
    }

    /// Reads a token.
    pub fn decode(token: &str) -> Result<Self, InvitationError> {
        let text = token.trim().strip_prefix(PREFIX).ok_or(InvitationError)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| InvitationError)?;
        serde_json::from_slice(&bytes).map_err(|_| InvitationError)
    }

    /// The invitation's key: its signature is what lets a machine in.
    pub fn key(&self) -> SecretKey {
        SecretKey::from_seed(&self.seed)
    }
}

/// Why a machine did not join. It may try again.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The token is damaged.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// No name is known, or another than the invitation's.
    #[error("{0}")]
    Name(String),
    /// The charter and the invitation disagree about the environment: somebody is deceived.
    #[error(
        "the invitation says that {environment} is {invited}, and the charter says {charter}: this machine does not \
         join; ask whoever invited it"
    )]
    ClassDiffers {
        /// The environment.
        environment: AudienceName,
        /// Its class by the invitation.
        invited: &'static str,
        /// Its class by the charter.
        charter: &'static str,
    },
    /// The server's documents are not of the estate that invited.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The bundle lacks what is needed to join.
    #[error(transparent)]
    Bundle(#[from] SupplyError),
    /// The server is away or said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The enrolment could not be signed.
    #[error(transparent)]
    Sign(#[from] StatementSignError),
    /// The data folder is unusable.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// An enrolment on its way: kept, so that one whose answer was lost is sent again as it was.
#[derive(Serialize, Deserialize)]
struct Joining {
    until: Timestamp,
    invitation: Digest,
    target: TargetName,
    envelope: Envelope,
}

/// Joins the estate that the invitation is to, under `name` where the invitation leaves that open. A server that cannot be reached
/// is asked again a few times: what is sent again is what was sent before, and networks are at their worst while machines start.
pub async fn join(home: &Home, invitation: &Invitation, name: Option<&TargetName>) -> Result<Enrolled, JoinError> {
    for _ in 1..ATTEMPTS {
        match join_once(home, invitation, name).await {
            Err(JoinError::Client(error @ ClientError::Away { .. })) => tracing::warn!("{error}; trying again"),
            ended => return ended,
        }
        tokio::time::sleep(PAUSE).await;
    }
    join_once(home, invitation, name).await
}

async fn join_once(home: &Home, invitation: &Invitation, name: Option<&TargetName>) -> Result<Enrolled, JoinError> {
    let target = choose_name(home, invitation, name)?;
    let client = Client::new(&invitation.url, Some(invitation.pin))?;
    // A server that shows its documents to strangers is found out before it is told anything.
    let shown = match within(&client, ANSWER, client.get(routes::ESTATE, &[])).await {
        Ok(estate) => Some(estate),
        Err(ClientError::Refused(_)) => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(estate) = &shown {
        check_class(invitation, estate)?;
    }
    let envelope = enrolment(home, invitation, &target, &BTreeMap::new())?;
    let submission = Submission { envelope, attachments: BTreeMap::new(), texts: BTreeMap::new(), claim: None };
    within(&client, ANSWER, client.submit(&submission)).await?;
    let estate: Estate = match shown {
        Some(estate) => estate,
        None => {
            client.log_in(invitation.estate, &home.key()?).await?;
            within(&client, ANSWER, client.get(routes::ESTATE, &[])).await?
        }
    };
    check_class(invitation, &estate)?;
    let enrolled = pin(home, invitation, target, estate)?;
    files::remove(&home.joining())?;
    Ok(enrolled)
}

/// Joins without a network: by the invitation, and the estate's documents in a bundle. The signed enrolment is kept for
/// the receipt, by which the server hears of this target.
pub fn join_by_bundle(
    home: &Home,
    invitation: &Invitation,
    name: Option<&TargetName>,
    bundle: &Unpacked,
) -> Result<Enrolled, JoinError> {
    let target = choose_name(home, invitation, name)?;
    let estate = bundle.estate()?;
    check_class(invitation, &estate)?;
    let envelope = enrolment(home, invitation, &target, &BTreeMap::new())?;
    files::replace_json(&home.enrolment(), &envelope)?;
    let enrolled = pin(home, invitation, target, estate)?;
    files::remove(&home.joining())?;
    Ok(enrolled)
}

/// What came of an invitation that was given to a machine which has joined before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// The server knows it: the invitation was not used.
    Known,
    /// The server had forgotten it, and knows it again.
    Joined,
}

/// Joins again where the server knows this machine's key no more, as one that was put back from an older copy: with the key and the
/// name it has, and saying what it runs. What is kept here of trust stays, and goes on as for every machine after a restore. A server
/// that cannot be reached is asked again a few times.
pub async fn join_anew(
    home: &Home,
    enrolled: &Enrolled,
    invitation: &Invitation,
    active: &BTreeMap<AppName, Digest>,
) -> Result<Anew, JoinError> {
    for _ in 1..ATTEMPTS {
        match join_anew_once(home, enrolled, invitation, active).await {
            Err(JoinError::Client(error @ ClientError::Away { .. })) => tracing::warn!("{error}; trying again"),
            ended => return ended,
        }
        tokio::time::sleep(PAUSE).await;
    }
    join_anew_once(home, enrolled, invitation, active).await
}

async fn join_anew_once(
    home: &Home,
    enrolled: &Enrolled,
    invitation: &Invitation,
    active: &BTreeMap<AppName, Digest>,
) -> Result<Anew, JoinError> {
    let client = Client::new(&invitation.url, Some(invitation.pin))?;
    match within(&client, ANSWER, client.log_in(enrolled.pinned.estate, &home.key()?)).await {
        Ok(()) => {
            files::remove(&home.joining())?;
            return Ok(Anew::Known);
        }
        Err(ClientError::Refused(problem)) if problem.code == SIGNER_UNKNOWN => {}
        Err(error) => return Err(error.into()),
    }
    check_fits(invitation, &enrolled.pinned)?;
    let envelope = enrolment(home, invitation, &enrolled.pinned.target, active)?;
    let submission = Submission { envelope, attachments: BTreeMap::new(), texts: BTreeMap::new(), claim: None };
    within(&client, ANSWER, client.submit(&submission)).await?;
    home.enrol(&Enrolled { url: invitation.url.clone(), pin: invitation.pin, ..enrolled.clone() })?;
    files::remove(&home.joining())?;
    Ok(Anew::Joined)
}

/// A machine stays what it is: an invitation that makes something else of it is for another one, or for another data folder.
fn check_fits(invitation: &Invitation, pinned: &Pinned) -> Result<(), JoinError> {
    let Pinned { environment, class, target, .. } = pinned;
    let other = invitation.name.as_ref().filter(|name| *name != target);
    let is_here = (&invitation.environment, &invitation.class) == (environment, class);
    let meant = match other {
        None if is_here => return Ok(()),
        Some(name) => format!("for {name} in {}", invitation.environment),
        None => format!("to {} of class {}", invitation.environment, invitation.class.word()),
    };
    Err(JoinError::Name(format!(
        "this machine is {target} in {environment}, of class {}, and the invitation is {meant}: \
         `sortie target invite --name {target} --in {environment}` makes one that fits",
        class.word()
    )))
}

/// Writes down for good what the invitation and the estate say.
fn pin(home: &Home, invitation: &Invitation, target: TargetName, estate: Estate) -> Result<Enrolled, JoinError> {
    let pinned = Pinned {
        estate: invitation.estate,
        environment: invitation.environment.clone(),
        class: invitation.class,
        target,
        apps: invitation.apps.clone(),
    };
    Documents::found(home.trust(), pinned.clone(), estate)?;
    let joined = Some(Timestamp::now());
    let enrolled = Enrolled { pinned, url: invitation.url.clone(), pin: invitation.pin, joined };
    home.enrol(&enrolled)?;
    home.keep_facts(&facts())?;
    Ok(enrolled)
}

fn choose_name(home: &Home, invitation: &Invitation, name: Option<&TargetName>) -> Result<TargetName, JoinError> {
    match (&invitation.name, name) {
        (Some(invited), Some(wanted)) if invited != wanted => {
            Err(JoinError::Name(format!("the invitation is for {invited}, not for {wanted}")))
        }
        (Some(name), _) => Ok(name.clone()),
        (None, Some(name)) => Ok(name.clone()),
        (None, None) if invitation.ephemeral => own_name(home, &invitation.environment),
        (None, None) => Err(JoinError::Name("this machine has no name yet: give it one with --name".into())),
    }
}

/// A name that no other machine has: after the environment, and this target's own key. The same as long as the data folder
/// is, so that whoever asks again asks for the same.
fn own_name(home: &Home, environment: &AudienceName) -> Result<TargetName, JoinError> {
    let digits = Digest::of(home.key()?.public().point()).hex();
    let name = format!("{environment}-{}", digits.get(..10).unwrap_or_default());
    TargetName::new(&name).map_err(|error| JoinError::Name(format!("{name}: {error}: give it a name with --name")))
}

/// The documents must be of the estate that invited, and give the environment the class that was promised.
fn check_class(invitation: &Invitation, estate: &Estate) -> Result<(), JoinError> {
    let verified = documents::verify(&invitation.estate, estate, 0).map_err(TrustError::from)?;
    verified.check_expiry(Timestamp::now()).map_err(TrustError::from)?;
    let environment = verified.charter.environments.get(&invitation.environment);
    if environment.is_some_and(|environment| environment.class == invitation.class) {
        return Ok(());
    }
    Err(JoinError::ClassDiffers {
        environment: invitation.environment.clone(),
        invited: invitation.class.word(),
        charter: environment.map_or("there is none of that name", |environment| environment.class.word()),
    })
}

fn enrolment(
    home: &Home,
    invitation: &Invitation,
    target: &TargetName,
    active: &BTreeMap<AppName, Digest>,
) -> Result<Envelope, JoinError> {
    let invitation_key = invitation.key();
    let id = Digest::of(invitation_key.public().point());
    if let Some(joining) = files::read_json::<Joining>(&home.joining())?
        && joining.until > Timestamp::now()
        && (joining.invitation, &joining.target) == (id, target)
    {
        return Ok(joining.envelope);
    }
    let key = home.key()?;
    let until = in_future(SUBMIT_WITHIN);
    let statement = Statement {
        subject_name: "estate".into(),
        subject: invitation.estate,
        header: Header {
            estate: invitation.estate,
            request_id: fresh_request_id()?,
            submit_before: until,
            on_behalf_of: None,
        },
        act: Act::Enrolment(Enrolment {
            environment: invitation.environment.clone(),
            target: target.clone(),
            invitation: invitation_key.public(),
            key: key.public(),
            recipient: home.identity()?.to_public().to_string(),
            facts: facts(),
            active: active.clone(),
        }),
    };
    let envelope = statement.sign(&[&invitation_key, &key])?;
    let joining = Joining { until, invitation: id, target: target.clone(), envelope };
    files::replace_json(&home.joining(), &joining)?;
    Ok(joining.envelope)
}

/// What this machine is.
pub fn facts() -> Facts {
    Facts {
        os: std::env::consts::OS.into(),
        arch: std::env::consts::ARCH.into(),
        memory_bytes: memory_bytes("MemTotal").unwrap_or(0),
        agent_version: env!("CARGO_PKG_VERSION").into(),
        kernel: kernel_version().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_stays_what_it_is_by_whatever_invitation() {
        let (prod, test) = (AudienceName::new("prod").unwrap(), AudienceName::new("test").unwrap());
        let [one, other] = ["prod-1", "prod-2"].map(|name| TargetName::new(name).unwrap());
        let estate = Digest::of(b"estate");
        let pinned = Pinned {
            estate,
            environment: prod.clone(),
            class: Class::Live,
            target: one.clone(),
            apps: BTreeSet::new(),
        };
        let fits = |environment: &AudienceName, class, name: Option<&TargetName>| {
            let invitation = Invitation {
                url: "https://127.0.0.1:7440".into(),
                pin: Digest::of(b"pin"),
                estate,
                environment: environment.clone(),
                class,
                labels: BTreeMap::new(),
                apps: BTreeSet::new(),
                name: name.cloned(),
                seed: [7; 32],
                ephemeral: false,
            };
            check_fits(&invitation, &pinned).map_err(|error| error.to_string())
        };
        assert_eq!(fits(&prod, Class::Live, None), Ok(()));
        assert_eq!(fits(&prod, Class::Live, Some(&one)), Ok(()));
        for (environment, class, name) in
            [(&prod, Class::Live, Some(&other)), (&test, Class::Test, None), (&prod, Class::Dev, None)]
        {
            let refused = fits(environment, class, name).unwrap_err();
            assert!(refused.contains("`sortie target invite --name prod-1 --in prod`"), "{refused}");
        }
    }

    #[test]
    fn a_token_is_one_word_and_comes_back_whole() {
        let invitation = Invitation {
            url: "https://127.0.0.1:7440".into(),
            pin: Digest::of(b"pin"),
            estate: Digest::of(b"estate"),
            environment: AudienceName::new("prod").unwrap(),
            class: Class::Live,
            labels: [("role".to_owned(), "web".to_owned())].into(),
            apps: BTreeSet::new(),
            name: Some(TargetName::new("prod-1").unwrap()),
            seed: [7; 32],
            ephemeral: false,
        };
        let token = invitation.encode();
        assert!(token.starts_with("sortie-join-") && !token.contains(char::is_whitespace));
        assert_eq!(Invitation::decode(&format!(" {token}\n")).unwrap(), invitation);
        assert!(!format!("{invitation:?}").contains("7, 7"), "the seed shows");
        for bad in ["", "sortie-join-", "sortie-join-!!", &token[..40]] {
            assert_eq!(Invitation::decode(bad), Err(InvitationError));
        }
        let other = TargetName::new("prod-2").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let home = Home::take(folder.path()).unwrap();
        assert!(choose_name(&home, &invitation, Some(&other)).unwrap_err().to_string().contains("prod-1"));
        let nameless = Invitation { name: None, ..invitation };
        assert!(choose_name(&home, &nameless, None).unwrap_err().to_string().contains("--name"));
        // Machines that come and go need none: each finds its own, and stays with it.
        let ephemeral = Invitation { ephemeral: true, ..nameless };
        let own = choose_name(&home, &ephemeral, None).unwrap();
        assert!(own.as_str().starts_with("prod-") && own == choose_name(&home, &ephemeral, None).unwrap());
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(own, choose_name(&Home::take(elsewhere.path()).unwrap(), &ephemeral, None).unwrap());
        assert_eq!(choose_name(&home, &ephemeral, Some(&other)).unwrap(), other);
        assert_eq!(Invitation::decode(&ephemeral.encode()).unwrap(), ephemeral);
    }
}
