//! Logging in by a signed session statement, and finding out who asks.

use super::{Shared, extract::Strict, failure::Failure};
use crate::{intake, keys::random_hex};
use api::{
    problem::Problem,
    routes,
    write::{LoggedIn, Login},
};
use axum::{
    Json,
    body::Body,
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::{
    command::Actor,
    refusal::{Refusal, exit},
    state::State as Facts,
};
use http_body_util::Limited;
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use trust::{
    Digest, PersonName, RoleName, TargetName,
    key::KeyId,
    statement::{Act, RequestId, Statement},
};

/// How long a token is good.
const TOKEN_HOURS: i64 = 12;
/// How far ahead a session statement's `submit_before` may lie, in seconds.
const FRESH_SECONDS: i64 = 300;
/// The most tokens at a time; one more, and those nearest their end make room.
const TOKENS: usize = 20_000;
/// The most tokens of one person or target at a time.
const TOKENS_EACH: usize = 64;
/// How many logins an address may try at once, and how many more each second.
const BURST: f64 = 200.0;
const REFILL_PER_SECOND: f64 = 50.0;
/// The most addresses that are remembered.
const ADDRESSES: usize = 10_000;
/// The longest body of whoever is not logged in, in bytes: the first charter of an estate comes with its documents.
const STRANGERS_BODY_BYTES: usize = 4 << 20;
/// How long whoever is not logged in may take for a request and its answer's beginning.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(30);

/// Whose token it is. What they may do is looked up in the charter in force at each request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    Person(PersonName, KeyId),
    Customer(PersonName, KeyId),
    Target(TargetName, KeyId),
    Witness(KeyId),
}

/// Who asks. A witness is nobody of whom the ledger speaks: it reads the repository, and says its word of it.
enum Who {
    Actor(Actor),
    Witness,
}

/// Who is logged in. Held in memory only: a restart asks everyone to log in again, which clients do by themselves.
#[derive(Default)]
pub(crate) struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By the digest of the token, so that neither memory nor timing gives a token away.
    tokens: HashMap<Digest, (Holder, Timestamp)>,
    /// Session statements used, until nobody could use them any more.
    used: HashMap<(KeyId, RequestId), Timestamp>,
    addresses: HashMap<IpAddr, Bucket>,
}

struct Bucket {
    left: f64,
    at: Timestamp,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How many tokens are good.
    pub fn count(&self, now: Timestamp) -> usize {
        self.lock().tokens.values().filter(|(_, expires)| *expires > now).count()
    }

    /// Takes one from what `address` may ask without a login; fails when nothing is left.
    pub fn allow(&self, address: IpAddr, now: Timestamp) -> Result<(), Failure> {
        let address = counted(address);
        let mut inner = self.lock();
        if inner.addresses.len() >= ADDRESSES {
            inner.addresses.retain(|_, bucket| refilled(bucket, now) < BURST);
        }
        if inner.addresses.len() >= ADDRESSES {
            inner.addresses.clear();
        }
        let bucket = inner.addresses.entry(address).or_insert(Bucket { left: BURST, at: now });
        *bucket = Bucket { left: refilled(bucket, now), at: now };
        if bucket.left < 1.0 {
            let message = "too many requests without a login came from this address; try again in a second";
            return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", message));
        }
        bucket.left -= 1.0;
        Ok(())
    }

    fn use_once(&self, key: KeyId, id: RequestId, until: Timestamp, now: Timestamp) -> Result<(), Failure> {
        let mut inner = self.lock();
        inner.used.retain(|_, until| *until > now);
        match inner.used.insert((key, id), until) {
            None => Ok(()),
            Some(_) => Err(Failure::new(
                StatusCode::FORBIDDEN,
                "SESSION_REPLAYED",
                "this session statement was used before; sign a fresh one",
            )
            .exit(exit::REFUSED)
            .next("sortie login")),
        }
    }

    fn issue(&self, holder: Holder, life: SignedDuration, now: Timestamp) -> Result<LoggedIn, Failure> {
        let token = random_hex::<32>()
            .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "NO_RANDOMNESS", error.to_string()))?;
        let expires = now.checked_add(life).unwrap_or(Timestamp::MAX);
        let mut inner = self.lock();
        make_room(&mut inner.tokens, TOKENS, now, |_| true);
        make_room(&mut inner.tokens, TOKENS_EACH, now, |other| *other == holder);
        inner.tokens.insert(Digest::of(token.as_bytes()), (holder, expires));
        Ok(LoggedIn { token, expires })
    }

    /// Who sent `token`, by the charter in force and the witness named now; nobody when the token is unknown or over, or
    /// its holder has no key or is no target or witness any more.
    fn who(&self, token: &str, state: &Facts, witness: Option<KeyId>, now: Timestamp) -> Option<Who> {
        let (holder, expires) = self.lock().tokens.get(&Digest::of(token.as_bytes())).cloned()?;
        if expires <= now {
            return None;
        }
        let actor = match holder {
            Holder::Witness(key) => return (Some(key) == witness).then_some(Who::Witness),
            Holder::Person(name, key) => {
                let policy = state.policy.as_ref()?;
                // A robot for whom tokens speak has no key of its own, and stands under its issuer's.
                let by_token = policy.directory.person(&key) == Some(&name);
                let still = by_token || policy.holder(&key).is_some_and(|(person, _)| *person == name);
                still.then(|| Actor::Person { roles: policy.directory.roles(&name), name, key })
            }
            Holder::Customer(name, key) => {
                let policy = state.policy.as_ref()?;
                let still = policy.customers.person(&key) == Some(&name);
                still.then(|| Actor::Customer { roles: policy.customers.roles(&name), name })
            }
            Holder::Target(name, key) => (state.target_keys.get(&key) == Some(&name)).then_some(Actor::Target(name)),
        };
        actor.map(Who::Actor)
    }
}

fn refilled(bucket: &Bucket, now: Timestamp) -> f64 {
    let seconds = now.duration_since(bucket.at).as_secs_f64().max(0.0);
    (bucket.left + seconds * REFILL_PER_SECOND).min(BURST)
}

/// Leaves room for one more among the tokens whose holder `counts`: those over go first, then those nearest their end.
fn make_room(
    tokens: &mut HashMap<Digest, (Holder, Timestamp)>,
    most: usize,
    now: Timestamp,
    counts: impl Fn(&Holder) -> bool,
) {
    let mut ends: Vec<(Timestamp, Digest)> =
        tokens.iter().filter(|(_, (holder, _))| counts(holder)).map(|(token, (_, end))| (*end, *token)).collect();
    if ends.len() < most {
        return;
    }
    ends.sort();
    let surplus = ends.len() + 1 - most;
    for (place, (end, token)) in ends.into_iter().enumerate() {
        if place < surplus || end <= now {
            tokens.remove(&token);
        }
    }
}

/// Logs a person, a robot or a target in.
#[utoipa::path(
    post, path = routes::SESSIONS, request_body = Login,
    responses((status = 200, body = LoggedIn), (status = "4XX", body = Problem)),
)]
pub(crate) async fn log_in(
    State(serving): State<Shared>,
    Strict(login): Strict<Login>,
) -> Result<Json<LoggedIn>, Failure> {
    let now = Timestamp::now();
    let state = serving.ledger.state();
    let statement = Statement::read(&login.envelope).map_err(|error| intake::unreadable_statement(&error))?;
    let Act::Session(session) = &statement.act else {
        return Err(Failure::invalid(format!("a {} statement logs nobody in", statement.act.kind())));
    };
    intake::check_estate(&state, &statement)?;
    if session.server != serving.keys.pin {
        let message = "the session statement is for a server with another TLS key: somebody may stand in between";
        return Err(Failure::integrity("OTHER_SERVER", message));
    }
    let until = statement.header.submit_before;
    let latest = now.checked_add(SignedDuration::from_secs(FRESH_SECONDS)).unwrap_or(Timestamp::MAX);
    if until <= now || until > latest {
        return Err(Refusal::StatementExpired { submit_before: until, now: Some(now) }.into());
    }
    let (holder, key) = match witness(&serving, &login.envelope) {
        Some(key) => (Holder::Witness(key), key),
        None => match intake::signer(&state, &login.envelope)? {
            intake::Signer::Person(name, key) => (Holder::Person(name, key), key),
            intake::Signer::Customer(name, key) => (Holder::Customer(name, key), key),
            intake::Signer::Target(name, key) => (Holder::Target(name, key), key),
        },
    };
    serving.sessions.use_once(key, statement.header.request_id, until, now)?;
    // What rests on an issuer's short-lived token is no longer than such a token may be.
    let by_token = login.envelope.signatures.iter().any(|signature| signature.proof.is_some());
    let life = if by_token {
        SignedDuration::from_secs(trust::oidc::MAX_LIFE_SECONDS)
    } else {
        SignedDuration::from_hours(TOKEN_HOURS)
    };
    Ok(Json(serving.sessions.issue(holder, life, now)?))
}

/// The witness that root names, if it alone signed.
fn witness(serving: &Shared, envelope: &trust::dsse::Envelope) -> Option<KeyId> {
    let key = serving.repository.witness().key()?;
    let signers = envelope.signers(|id| (*id == key.id()).then_some(key));
    (envelope.signatures.len() == 1 && signers.contains(&key.id())).then_some(key.id())
}

/// Whoever is logged in: customers and the witness follow the estate's documents like everybody else.
pub(crate) struct Anyone;

/// Whoever is logged in, but for customers, who read channels only.
pub(crate) struct Known;

/// The witness that root names.
pub(crate) struct KnownWitness;

/// A person, robot or customer that is logged in, or a target, which has no name here.
pub(crate) struct KnownReader {
    /// The name.
    pub name: Option<PersonName>,
    /// The roles under the charter in force.
    pub roles: BTreeSet<RoleName>,
}

/// A person or robot that is logged in.
pub(crate) struct KnownPerson {
    /// The name.
    pub name: PersonName,
    /// The roles under the charter in force.
    pub roles: BTreeSet<RoleName>,
}

impl KnownReader {
    /// The person, robot or customer; fails for a target.
    pub fn person(self) -> Result<KnownPerson, Failure> {
        match self.name {
            Some(name) => Ok(KnownPerson { name, roles: self.roles }),
            None => Err(people_only()),
        }
    }
}

/// A target that is logged in.
pub(crate) struct KnownTarget(pub TargetName);

/// Who sent the request, or why nobody did that may act. The witness acts in nothing.
pub(crate) fn identified(parts: &Parts, serving: &Shared) -> Result<Actor, Failure> {
    match who(parts, serving)? {
        Who::Actor(actor) => Ok(actor),
        Who::Witness => {
            let message = "the witness reads the repository, and nothing else";
            Err(Failure::new(StatusCode::FORBIDDEN, "NOT_FOR_WITNESS", message).exit(exit::REFUSED))
        }
    }
}

/// Who sent the request, by a session or by a read-only token; or why nobody did.
fn who(parts: &Parts, serving: &Shared) -> Result<Who, Failure> {
    let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(login_needed)?.trim();
    let (state, now) = (serving.ledger.state(), Timestamp::now());
    match state.tokens.get(&Digest::of(token.as_bytes())) {
        Some(found) => reader(found, parts, &state, now).map(Who::Actor),
        None => {
            let witness = serving.repository.witness().key().map(|key| key.id());
            serving.sessions.who(token, &state, witness, now).ok_or_else(login_needed)
        }
    }
}

/// The holder of a read-only token, where the request reads what such a token may: everything but the bytes of builds. A
/// customer's token fetches what the customer may have, for there is nothing else that a customer does.
fn reader(token: &domain::state::Token, parts: &Parts, state: &Facts, now: Timestamp) -> Result<Actor, Failure> {
    let (holder, name) = (&token.holder, &token.name);
    if token.expires <= now {
        let message = format!("the read-only token {name} of {holder} was good until {:.0}", token.expires);
        let failure = Failure::new(StatusCode::UNAUTHORIZED, "TOKEN_EXPIRED", message).exit(exit::REFUSED);
        return Err(failure.next(format!("sortie token create --note {name}")));
    }
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    let path = parts.uri.path();
    let policy = state.policy.as_ref().ok_or_else(login_needed)?;
    let is_customers = !policy.customers.keys_of(holder).is_empty();
    let fetches = path.starts_with("/v1/objects") || path.starts_with("/v1/packs") || is_files_of_feed(path);
    if reads && is_customers {
        return Ok(Actor::Customer { name: holder.clone(), roles: policy.customers.roles(holder) });
    }
    if !reads || fetches {
        let message =
            format!("the token {name} of {holder} reads how things stand; it neither writes nor fetches builds");
        return Err(Failure::new(StatusCode::FORBIDDEN, "TOKEN_READS_ONLY", message).exit(exit::REFUSED));
    }
    let directory = &policy.directory;
    let key = directory.keys_of(holder).into_iter().next().ok_or_else(login_needed)?;
    Ok(Actor::Person { name: holder.clone(), key, roles: directory.roles(holder) })
}

fn is_files_of_feed(path: &str) -> bool {
    path.starts_with("/v1/feeds/") && path.ends_with("/files")
}

/// The address that is counted: a whole network of IPv6, of which anyone gets one.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

/// Bounds what anyone may ask who is not logged in: how often, how much, and for how long.
pub(crate) async fn limit_strangers(State(serving): State<Shared>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if who(&parts, &serving).is_ok() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    if let Some(peer) = peer
        && let Err(failure) = serving.sessions.allow(peer, Timestamp::now())
    {
        return too_often(failure);
    }
    let body = Body::new(Limited::new(body, STRANGERS_BODY_BYTES));
    in_time(next.run(Request::from_parts(parts, body))).await
}

/// The answer to whoever asks too often, with when to ask again.
pub(crate) fn too_often(failure: Failure) -> Response {
    let mut response = failure.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The answer, where whoever is not logged in sends a whole request in time.
pub(crate) async fn in_time(answer: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(STRANGERS_PATIENCE, answer).await {
        Ok(response) => response,
        Err(_) => {
            let message = "whoever is not logged in must send a whole request within half a minute";
            Failure::new(StatusCode::REQUEST_TIMEOUT, "TOO_SLOW", message).into_response()
        }
    }
}

fn login_needed() -> Failure {
    let message = "this needs a login, and the token is missing, over, or its holder's powers are gone";
    Failure::new(StatusCode::UNAUTHORIZED, "LOGIN_NEEDED", message).exit(exit::REFUSED).next("sortie login")
}

impl FromRequestParts<Shared> for Anyone {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, serving: &Shared) -> Result<Self, Failure> {
        who(parts, serving).map(|_| Anyone)
    }
}

impl FromRequestParts<Shared> for Known {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, serving: &Shared) -> Result<Self, Failure> {
        match who(parts, serving)? {
            Who::Actor(Actor::Customer { .. }) => Err(channels_only()),
            _ => Ok(Known),
        }
    }
}

impl FromRequestParts<Shared> for KnownReader {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, serving: &Shared) -> Result<Self, Failure> {
        match identified(parts, serving)? {
            Actor::Person { name, roles, .. } | Actor::Customer { name, roles } => {
                Ok(KnownReader { name: Some(name), roles })
            }
            _ => Ok(KnownReader { name: None, roles: BTreeSet::new() }),
        }
    }
}

/// A customer reads channels, and of the rest of the server what it takes to check what comes from them.
pub(crate) fn channels_only() -> Failure {
    let message = "a customer gets what the channels hold that the charter lets them read, and nothing else";
    let failure = Failure::new(StatusCode::FORBIDDEN, "CHANNELS_ONLY", message).exit(exit::REFUSED);
    failure.next("sortie pull APP --from CHANNEL")
}

impl FromRequestParts<Shared> for KnownPerson {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, serving: &Shared) -> Result<Self, Failure> {
        match identified(parts, serving)? {
            Actor::Person { name, roles, .. } => Ok(KnownPerson { name, roles }),
            Actor::Customer { .. } => Err(channels_only()),
            _ => Err(people_only()),
        }
    }
}

fn people_only() -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "PEOPLE_ONLY", "this is for people and robots, not targets").exit(exit::REFUSED)
}

impl FromRequestParts<Shared> for KnownTarget {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, serving: &Shared) -> Result<Self, Failure> {
        match identified(parts, serving)? {
            Actor::Target(name) => Ok(KnownTarget(name)),
            _ => Err(Failure::new(StatusCode::FORBIDDEN, "TARGETS_ONLY", "this is for targets, not people")
                .exit(exit::REFUSED)),
        }
    }
}

impl FromRequestParts<Shared> for KnownWitness {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, serving: &Shared) -> Result<Self, Failure> {
        match who(parts, serving)? {
            Who::Witness => Ok(KnownWitness),
            Who::Actor(_) => Err(Failure::new(StatusCode::FORBIDDEN, "WITNESS_ONLY", "this is for the witness alone")
                .exit(exit::REFUSED)),
        }
    }
}

/// Lets only people through who are logged in; for pages.
pub(crate) async fn require_login(_: KnownPerson, request: Request, next: Next) -> Response {
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn an_address_that_asks_too_often_must_wait_and_others_need_not() {
        let sessions = Sessions::default();
        let (one, two) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let taken = (0..1000).take_while(|_| sessions.allow(one, at(0)).is_ok()).count();
        assert_eq!(taken, BURST as usize);
        assert!(sessions.allow(two, at(0)).is_ok());
        assert!(sessions.allow(one, at(1)).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_asker() {
        let sessions = Sessions::default();
        let from = |host: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, host));
        let taken = (0..1000).take_while(|host| sessions.allow(from(*host), at(0)).is_ok()).count();
        assert_eq!(taken, BURST as usize);
        assert!(sessions.allow("2001:db8:1:3::1".parse().unwrap(), at(0)).is_ok());
        // The same machine by either family's form is one asker.
        assert_eq!(counted("::ffff:10.0.0.1".parse().unwrap()), counted("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_session_statement_counts_once() {
        let sessions = Sessions::default();
        let key = trust::key::Signer::public(&trust::key::SecretKey::from_seed(&[1; 32])).id();
        let id = RequestId::new("1").unwrap();
        assert!(sessions.use_once(key, id.clone(), at(60), at(0)).is_ok());
        assert_eq!(sessions.use_once(key, id, at(60), at(1)).unwrap_err().code(), "SESSION_REPLAYED");
    }

    #[test]
    fn tokens_are_bounded_for_each_holder() {
        let sessions = Sessions::default();
        let key = trust::key::Signer::public(&trust::key::SecretKey::from_seed(&[1; 32])).id();
        let holder = Holder::Person(PersonName::new("ann").unwrap(), key);
        for second in 0..100 {
            sessions.issue(holder.clone(), SignedDuration::from_hours(1), at(second)).unwrap();
        }
        assert_eq!(sessions.lock().tokens.len(), TOKENS_EACH);
    }
}
