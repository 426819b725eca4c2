//! A connection to a context's server: pinned, logged in, with the estate's documents verified on this machine.

use crate::{
    context::{Context, Documents},
    failure::{Failure, OrIntegrity},
    invocation::{Global, Invocation},
    names::{self, Thing},
    signer::{self, Identity},
};
use api::{
    client::{Client, ClientError},
    read::{App, BuildName, DossierView, Estate},
    routes,
};
use domain::refusal::Refusal;
use jiff::Timestamp;
use std::collections::BTreeSet;
use trust::{
    AppName, AudienceName, Digest, PersonName, RoleName, Version,
    authority::{self, Dossier, TrustedPolicy, VerifiedDocuments},
    charter::{Class, Environment},
    dsse::Envelope,
    key::PublicKey,
    oidc,
    quorum::Rule,
    statement::{Act, Statement},
};

/// The most bytes of documents that are read from whoever answers with a key that is not known.
const STRANGERS_BYTES: usize = 8 << 20;

/// What is said of a server's documents that do not verify.
pub const OF_THE_SERVER: &str = "the server's documents do not verify against the estate pinned here";

/// A connection that is ready for reads and writes.
pub struct Connection {
    /// The typed client, logged in.
    pub client: Client,
    /// The context.
    pub context: Context,
    /// Who signs.
    pub identity: Identity,
    /// The estate's documents as files.
    pub documents: Documents,
    /// The same, verified.
    pub verified: VerifiedDocuments,
    /// The policy in force, suspended people left out.
    pub policy: TrustedPolicy,
    /// The flags of this run.
    pub global: Global,
}

/// A build whose push, and whose number where it has one, were verified on this machine.
#[derive(Clone, Debug)]
pub struct Found {
    /// The application.
    pub app: AppName,
    /// The build.
    pub build: Digest,
    /// Its number, where it has one.
    pub version: Option<Version>,
}

impl Found {
    /// `web@1.4.0` or `web#3fa9c1`.
    pub fn name(&self) -> String {
        BuildName { build: self.build, version: self.version.clone() }.of(&self.app)
    }
}

/// A client of the context's server, not logged in.
pub fn client(context: &Context) -> Result<Client, Failure> {
    Ok(Client::new(&context.settings.url, context.settings.pin)?)
}

/// A client of the context's server, wherever the charter verified last says that it is, and by whichever key. What was
/// found is remembered.
async fn reach(global: &Global, context: &mut Context) -> Result<Client, Failure> {
    let usual = client(context)?;
    let is_gone = |error: &ClientError| matches!(error, ClientError::Away { .. } | ClientError::OtherKey { .. });
    let mut failure = match usual.hello().await {
        Err(error) if is_gone(&error) => error,
        _ => return Ok(usual),
    };
    let (Some(estate), Some(documents)) = (context.settings.estate, context.documents()) else {
        return Err(failure.into());
    };
    let server = verify(&estate, &documents, None)?.charter.server;
    let here = context.settings.url.clone();
    let pins: Vec<Digest> = server.keys.iter().chain(&context.settings.pin).copied().collect();
    for url in server.urls.iter().chain([&here]) {
        for pin in &pins {
            let other = Client::new(url, Some(*pin))?;
            match other.hello().await {
                Ok(_) => {
                    (context.settings.url, context.settings.pin) = (url.clone(), Some(*pin));
                    context.save()?;
                    return Ok(other);
                }
                Err(error @ ClientError::OtherKey { .. }) => failure = error,
                Err(_) => {}
            }
        }
    }
    match failure {
        ClientError::OtherKey { url, key } if !pins.contains(&key) => meet(global, context, &url, key).await,
        failure => Err(failure.into()),
    }
}

/// Follows a server with a key that is not known here, as after an eviction, where a newer charter names that key. All that
/// it is sent is a session statement, which is good for that very key alone, and all it is asked for are the documents.
async fn meet(global: &Global, context: &mut Context, url: &str, key: Digest) -> Result<Client, Failure> {
    let (Some(estate), known) = (context.settings.estate, context.documents()) else {
        return Err(ClientError::OtherKey { url: url.into(), key }.into());
    };
    let stranger = Client::new(url, Some(key))?;
    let shown = async {
        log_in(&stranger, estate, identities(global, context)?, context).await?;
        let answer: Estate = stranger.get_at_most(routes::ESTATE, &[], STRANGERS_BYTES).await?;
        Ok::<_, Failure>(files_of(answer))
    };
    let refused = |why: &str| {
        let other = Failure::from(ClientError::OtherKey { url: url.into(), key });
        let message = format!("{}. {why}", other.problem.message);
        Failure::integrity(message).next(
            "ask an owner whether the server has other keys; if so: sortie login URL#PIN, with the pin by another road",
        )
    };
    let documents =
        shown.await.map_err(|failure| refused(&format!("It shows no charter: {}", failure.problem.message)))?;
    let verified = verify(&estate, &documents, known.as_ref())
        .map_err(|failure| refused(&format!("What it shows does not count: {}", failure.problem.message)))?;
    if !verified.charter.server.keys.contains(&key) {
        return Err(refused("No charter that owners signed names that key"));
    }
    (context.settings.url, context.settings.pin) = (url.into(), Some(key));
    context.keep_documents(&documents)?;
    context.save()?;
    Ok(stranger)
}

fn files_of(estate: Estate) -> Documents {
    Documents {
        roots: estate.roots.into_iter().map(|root| root.0).collect(),
        targets: estate.targets,
        charter: estate.charter.into_bytes(),
        suspensions: estate.suspensions,
    }
}

/// Once the charter names the server's keys, one that it does not name may be that of somebody who stole it: owners alone
/// go on, because they are the ones who give a server other keys.
fn check_key(client: &Client, verified: &VerifiedDocuments, key: Option<&PublicKey>) -> Result<(), Failure> {
    let named = &verified.charter.server.keys;
    let Some(pin) = client.pin().filter(|pin| !named.is_empty() && !named.contains(pin)) else { return Ok(()) };
    let holders = verified.root.root_holders();
    if holders.iter().chain(&verified.owners).any(|(_, holder)| Some(holder) == key) {
        return Ok(());
    }
    let message = format!(
        "{} has a key that the charter does not name ({pin}): its keys were stolen and replaced, or owners have not signed \
         for the new ones yet. Nothing was done",
        client.url()
    );
    Err(Failure::integrity(message).next("an owner: sortie charter epoch --reason eviction"))
}

/// The keys this run may sign with.
pub fn identities(global: &Global, context: &Context) -> Result<Vec<Identity>, Failure> {
    signer::candidates(global.identity.as_deref().or(context.settings.identity.as_deref()))
}

/// Connects to the context's server, logs in, and verifies the estate's documents against what is pinned.
pub async fn connect(invocation: &Invocation) -> Result<Connection, Failure> {
    let global = &invocation.global;
    let context = Context::choose(global.server.as_deref(), global.context.as_deref())?;
    connect_to(global, context).await
}

/// As [`connect`], to this context's server.
pub async fn connect_to(global: &Global, context: Context) -> Result<Connection, Failure> {
    connect_in(global, context, true).await
}

/// As [`connect_to`], to a server that may have lost what this machine has verified: its documents must verify, and may
/// be older. Nothing is kept of them.
pub async fn connect_to_older(global: &Global, context: Context) -> Result<Connection, Failure> {
    connect_in(global, context, false).await
}

/// Somebody who only reads: by a login, by a read-only token, or as anyone.
pub struct Reading {
    /// The typed client.
    pub client: Client,
    /// The policy in force, verified; nothing for whoever reads as anyone, because the server tells them of none.
    pub policy: Option<TrustedPolicy>,
    /// Why there is no login, where there is none.
    pub refused: Option<Failure>,
}

/// Connects to read: with `token` where one is given, else with a key that the server takes, else as anyone.
pub async fn read_only(invocation: &Invocation, token: Option<&str>) -> Result<Reading, Failure> {
    let global = &invocation.global;
    let mut context = Context::choose(global.server.as_deref(), global.context.as_deref())?;
    let client = reach(global, &mut context).await?;
    let estate = estate_of(&client, &mut context).await?;
    let key = match token {
        Some(token) => {
            client.bear(token);
            None
        }
        None => {
            let identities = identities(global, &context);
            let login = async { log_in(&client, estate, identities?, &context).await };
            match login.await {
                Ok(identity) => Some(identity.signer.public()),
                Err(refused) => return Ok(Reading { client, policy: None, refused: Some(refused) }),
            }
        }
    };
    let (documents, verified) = documents_of(&client, &mut context, estate, key.as_ref(), true).await?;
    let policy = verified.policy(&documents.suspensions).or_integrity("the charter")?;
    Ok(Reading { client, policy: Some(policy), refused: None })
}

/// The estate that is pinned, or, the first time, the server's.
async fn estate_of(client: &Client, context: &mut Context) -> Result<Digest, Failure> {
    if let Some(estate) = context.settings.estate {
        return Ok(estate);
    }
    // The server's key is pinned by whoever gave its address; its estate is taken on that word, once.
    let estate = client.hello().await?.estate.ok_or(Refusal::NoEstate)?;
    context.settings.estate = Some(estate);
    Ok(estate)
}

async fn connect_in(global: &Global, mut context: Context, only_forward: bool) -> Result<Connection, Failure> {
    let client = reach(global, &mut context).await?;
    let estate = estate_of(&client, &mut context).await?;
    let identity = log_in(&client, estate, identities(global, &context)?, &context).await?;
    let key = identity.signer.public();
    let (documents, verified) = documents_of(&client, &mut context, estate, Some(&key), only_forward).await?;
    let policy = verified.policy(&documents.suspensions).or_integrity("the charter")?;
    Ok(Connection { client, context, identity, documents, verified, policy, global: global.clone() })
}

/// The estate's documents as the server has them, verified against what is pinned and what was verified before, which is
/// kept.
async fn documents_of(
    client: &Client,
    context: &mut Context,
    estate: Digest,
    key: Option<&PublicKey>,
    only_forward: bool,
) -> Result<(Documents, VerifiedDocuments), Failure> {
    let answer: Estate = client.get(routes::ESTATE, &[]).await?;
    let documents = files_of(answer);
    let known = context.documents().filter(|_| only_forward);
    let verified = verify(&estate, &documents, known.as_ref()).map_err(|failure| match known {
        Some(_) => failure.next("if the server was put back from an older copy: sortie charter restore"),
        None => failure,
    })?;
    check_key(client, &verified, key)?;
    if only_forward && known.as_ref() != Some(&documents) {
        context.keep_documents(&documents)?;
        context.save()?;
    }
    Ok((documents, verified))
}

/// Walks the roots from the pinned one and verifies targets and charter, no older than what was verified before.
pub fn verify(estate: &Digest, documents: &Documents, known: Option<&Documents>) -> Result<VerifiedDocuments, Failure> {
    let files = |documents: &'_ Documents, minimum: u64| {
        let files =
            authority::Documents { roots: &documents.roots, targets: &documents.targets, charter: &documents.charter };
        VerifiedDocuments::verify(estate, &files, minimum)
    };
    let before = known.and_then(|known| Some((known, files(known, 0).ok()?)));
    let minimum = before.as_ref().map_or(0, |(_, verified)| verified.targets.version());
    let verified = files(documents, minimum).or_integrity(OF_THE_SERVER)?;
    if let Some((known, before)) = before {
        let same_roots = documents.roots.len() >= known.roots.len() && documents.roots.starts_with(&known.roots);
        if !same_roots {
            return Err(Failure::integrity("the server gave an older or another root of trust than it gave before"));
        }
        if before.targets.version() == verified.targets.version()
            && before.targets.digest() != verified.targets.digest()
        {
            return Err(Failure::integrity(format!(
                "the server gave two different charters numbered {}",
                verified.targets.version()
            )));
        }
    }
    Ok(verified)
}

/// Logs in with the first key that the charter known here lists, or else with the first that the server takes.
async fn log_in(
    client: &Client,
    estate: Digest,
    mut candidates: Vec<Identity>,
    context: &Context,
) -> Result<Identity, Failure> {
    if candidates.len() > 1
        && let Some(documents) = context.documents()
        && let Ok(verified) = verify(&estate, &documents, None)
        && let Ok(policy) = verified.policy(&documents.suspensions)
    {
        candidates.sort_by_key(|identity| policy.directory.person(&identity.signer.public().id()).is_none());
    }
    let mut first_refusal = None;
    for identity in candidates {
        match client.log_in(estate, identity.signer.as_ref()).await {
            Ok(()) => return Ok(identity),
            Err(ClientError::Refused(problem)) => {
                first_refusal.get_or_insert(Failure { problem });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(first_refusal.unwrap_or_else(|| Failure::failed("there is no key to log in with")))
}

impl Connection {
    /// The estate.
    pub fn estate(&self) -> Digest {
        self.verified.root.estate()
    }

    /// The signer as the charter names them.
    pub fn me(&self) -> Option<(PersonName, BTreeSet<RoleName>)> {
        let customer = self.policy.charter.customer(&self.identity.signer.public().id());
        if let Some((name, customer)) = customer {
            return Some((name.clone(), customer.roles.clone()));
        }
        let directory = &self.policy.directory;
        let name = match self.identity.signer.proof() {
            Ok(Some(proof)) => oidc::robot(directory, &proof, Timestamp::now())?,
            _ => directory.person(&self.identity.signer.public().id())?,
        };
        Some((name.clone(), directory.roles(name)))
    }

    /// Whom the signer is, in words: by the charter, or by the root of trust alone.
    pub fn who_in_words(&self) -> String {
        if let Some((name, _)) = self.me() {
            return format!("you are {name} ({})", self.my_roles());
        }
        if let Some(name) = self.suspended_owner() {
            return format!("you are {name} ({})", self.my_roles());
        }
        let key = self.identity.signer.public();
        let holder = self.verified.root.root_holders().into_iter().find(|(_, held)| *held == key);
        match holder {
            Some((name, _)) => format!("you hold {name}'s key, which may sign the next root of trust and nothing else"),
            None => "the charter knows nobody by your key".into(),
        }
    }

    /// The owner who signs, if suspended: one who reads, and brings what owners sign together, and does nothing else.
    pub fn suspended_owner(&self) -> Option<&PersonName> {
        let id = self.identity.signer.public().id();
        let (name, _) = self.policy.owners().iter().find(|(_, key)| key.id() == id)?;
        self.policy.suspended().contains(name).then_some(name)
    }

    /// The signer's roles in words: `developer and ops`.
    pub fn my_roles(&self) -> String {
        let roles: Vec<String> = self.me().map(|(_, roles)| roles).iter().flatten().map(ToString::to_string).collect();
        if self.suspended_owner().is_some() {
            return "owner, suspended until owners sign a new charter".into();
        }
        if roles.is_empty() { "nobody the charter knows".into() } else { roles.join(" and ") }
    }

    /// The audience that was typed, if the charter has it.
    pub fn audience(&self, place: &names::Place) -> Result<AudienceName, Failure> {
        let name = place.name()?;
        match self.policy.charter.audience(&name) {
            Some(_) => Ok(name),
            None => Err(names::unknown_audience(&self.policy.charter, &name)),
        }
    }

    /// The environment that was typed; a channel has no machines.
    pub fn environment(&self, place: &names::Place) -> Result<AudienceName, Failure> {
        let name = self.audience(place)?;
        match self.policy.charter.environments.contains_key(&name) {
            true => Ok(name),
            false => Err(Refusal::NotAnEnvironment { channel: name }.into()),
        }
    }

    /// What the charter says of an environment.
    pub fn charter_environment(&self, name: &AudienceName) -> Option<&Environment> {
        self.policy.charter.environments.get(name)
    }

    /// Whether an environment takes builds that were never released.
    pub fn is_dev(&self, name: &AudienceName) -> bool {
        self.charter_environment(name).is_some_and(|environment| environment.class == Class::Dev)
    }

    /// An application with its builds and versions.
    pub async fn app(&self, app: &AppName) -> Result<App, Failure> {
        self.app_at(app, None).await
    }

    /// An application as it was at a moment, where one is meant.
    pub async fn app_at(&self, app: &AppName, at: Option<Timestamp>) -> Result<App, Failure> {
        let at = at.map(|at| at.to_string());
        let query: Vec<(&str, &str)> = at.iter().map(|at| ("at", at.as_str())).collect();
        Ok(self.client.get(&routes::path(routes::APP, &[app.as_str()]), &query).await?)
    }

    /// The signed statements behind a build, in an audience where one is meant.
    pub async fn dossier(
        &self,
        app: &AppName,
        name: &BuildName,
        audience: Option<&AudienceName>,
    ) -> Result<DossierView, Failure> {
        let version = name.version.as_ref().map(ToString::to_string);
        let build = name.build.to_string();
        let mut query = vec![("app", app.as_str())];
        match &version {
            Some(version) => query.push(("version", version)),
            None => query.push(("build", &build)),
        }
        // Push and number are the same for every audience; the server wants one to say what else there is.
        let audience = audience.or_else(|| self.policy.charter.audience_names().next());
        query.extend(audience.map(|audience| ("audience", audience.as_str())));
        Ok(self.client.get(routes::DOSSIER, &query).await?)
    }

    /// Finds what was typed, and verifies on this machine that people of the charter pushed these very bytes and gave
    /// them this number.
    pub async fn find(&self, thing: &Thing, audience: Option<&AudienceName>) -> Result<(Found, DossierView), Failure> {
        let name = self.look_up(thing).await?;
        let app = thing.app();
        let view = self.dossier(app, &name, audience).await?;
        let found = Found { app: app.clone(), build: name.build, version: name.version.clone() };
        self.check_found(&found, &view.dossier)?;
        Ok((found, view))
    }

    /// The build that was typed, by the server's word alone.
    pub async fn look_up(&self, thing: &Thing) -> Result<BuildName, Failure> {
        let app = self.app(thing.app()).await?;
        match thing {
            Thing::App(name) => Err(Failure::misused(format!("which version of {name}?"))),
            Thing::Version(name, version) => {
                let named = app.builds.iter().find(|build| build.name.version.as_ref() == Some(version));
                let newest = app.builds.iter().filter_map(|build| build.name.version.clone()).max();
                let unknown = || Refusal::UnknownVersion { app: name.clone(), version: version.clone(), newest };
                Ok(named.ok_or_else(unknown)?.name.clone())
            }
            Thing::Build(name, digits) => {
                let known: Vec<Digest> = app.builds.iter().map(|build| build.name.build).collect();
                let build = names::one_build(name, digits, &known)?;
                let named = app.builds.iter().find(|other| other.name.build == build);
                Ok(named.map_or(BuildName { build, version: None }, |build| build.name.clone()))
            }
        }
    }

    /// Verifies push and number of a build; of what a vendor makes, the vendor's release.
    pub fn check_found(&self, found: &Found, dossier: &Dossier) -> Result<(), Failure> {
        if let Some(released) = crate::vendor::judge(self, &found.app, found.build, dossier, None)? {
            return match found.version.as_ref() == Some(&released.version) {
                true => Ok(()),
                false => Err(Failure::integrity(format!("the vendor numbered it {}", released.version))),
            };
        }
        let rule = self.policy.charter.push_rule(&found.app);
        let push = self.open(dossier.push.as_ref(), "push")?;
        let pushed = matches!(&push.act, Act::Push(push) if push.app == found.app) && push.subject == found.build;
        if !pushed || !self.signed_by(dossier.push.as_ref(), rule) {
            return Err(Failure::integrity(format!("nobody who may push {} signed for {}", found.app, found.name())));
        }
        let Some(version) = &found.version else { return Ok(()) };
        let number = self.open(dossier.number.as_ref(), "number")?;
        let numbered = matches!(&number.act, Act::Number(number) if number.app == found.app && number.version == *version)
            && number.subject == found.build;
        if !numbered || !self.signed_by(dossier.number.as_ref(), rule) {
            return Err(Failure::integrity(format!(
                "nobody who may number {} signed that {version} is this build",
                found.app
            )));
        }
        Ok(())
    }

    /// Reads a statement of this estate.
    pub fn open(&self, envelope: Option<&Envelope>, what: &str) -> Result<Statement, Failure> {
        let envelope = envelope.ok_or_else(|| Failure::integrity(format!("the server gave no signed {what}")))?;
        let statement = Statement::read(envelope).or_integrity(what)?;
        match statement.header.estate == self.estate() {
            true => Ok(statement),
            false => Err(Failure::integrity(format!("the {what} is of another estate"))),
        }
    }

    /// Whether one of the genuine signers satisfies `rule` alone.
    pub fn signed_by(&self, envelope: Option<&Envelope>, rule: &Rule) -> bool {
        envelope.is_some_and(|envelope| self.policy.signed_by(envelope, rule))
    }

    /// The people who genuinely signed and count for this statement: those of the charter, and whoever owners uphold.
    pub fn signers(&self, envelope: &Envelope) -> Vec<PersonName> {
        self.policy.signers(envelope).into_iter().map(|(_, person)| person).collect()
    }
}
