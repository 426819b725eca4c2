//! The lasting connection of a machine to its server: wherever the charter says that it is, and by whichever of its keys.

use crate::{
    client::{Client, ClientError},
    read::{Consistency, Estate},
    routes,
};
use jiff::Timestamp;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use trust::{Digest, key::SecretKey};

/// How long the server may take to answer.
pub const ANSWER: Duration = Duration::from_secs(60);
/// The most bytes of documents that are read from whoever answers with a key that is not known.
const STRANGERS_BYTES: usize = 8 << 20;

/// The connection to the server: the key it must have, and our login.
pub struct Link {
    estate: Digest,
    key: Arc<SecretKey>,
    inner: Mutex<Inner>,
    /// How fresh the target's knowledge is, for the server to know.
    refreshed: Mutex<Option<Timestamp>>,
}

struct Inner {
    /// Where the server may be: the charter's places, and the one that was given first.
    urls: Vec<String>,
    /// The pins of the charter; until it names any, the one that was given first.
    pins: Vec<Digest>,
    /// Which of each the client in use has.
    chosen: (usize, usize),
    client: Client,
}

impl Inner {
    fn choose(&mut self, place: usize, key: usize) -> Result<(), ClientError> {
        let url = self.urls.get(place).cloned().unwrap_or_default();
        self.client = Client::new(&url, self.pins.get(key).copied())?;
        self.chosen = (place, key);
        Ok(())
    }
}

/// Whoever answers in the server's place, by a key that no charter known here names.
#[derive(Clone, Debug)]
pub struct Stranger {
    /// The pin of its TLS key.
    pub key: Digest,
    /// The documents of trust that it shows. To be verified like all others, and followed only if the charter names the
    /// key.
    pub estate: Estate,
}

impl Link {
    /// A link to the server at `url`, whose TLS key must have one of `pins`; fails without any.
    pub fn new(url: &str, pins: Vec<Digest>, estate: Digest, key: Arc<SecretKey>) -> Result<Self, ClientError> {
        let client = Client::new(url, pins.first().copied())?;
        let inner = Mutex::new(Inner { urls: vec![url.into()], pins, chosen: (0, 0), client });
        Ok(Self { estate, key, inner, refreshed: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the server's key is one of these, which the charter names, and no other: one that was stolen is worth
    /// nothing once owners have replaced it. A charter that names none changes nothing.
    pub fn learn(&self, pins: &[Digest]) -> Result<(), ClientError> {
        let mut inner = self.lock();
        if pins.is_empty() || inner.pins == pins {
            return Ok(());
        }
        let current = inner.client.pin();
        let key = pins.iter().position(|pin| Some(*pin) == current);
        inner.pins = pins.to_vec();
        match key {
            Some(key) => inner.chosen.1 = key,
            None => {
                let place = inner.chosen.0;
                inner.choose(place, 0)?;
            }
        }
        Ok(())
    }

    /// Looks for the server at these places first.
    pub fn learn_places(&self, urls: &[String]) {
        let mut inner = self.lock();
        let current = inner.urls.get(inner.chosen.0).cloned();
        let known = std::mem::take(&mut inner.urls);
        inner.urls = urls.to_vec();
        inner.urls.extend(known.into_iter().filter(|url| !urls.contains(url)));
        inner.chosen.0 = current.and_then(|url| inner.urls.iter().position(|other| *other == url)).unwrap_or(0);
    }

    /// Lets the server know how fresh the target's knowledge is.
    pub fn refreshed(&self, signed: Option<Timestamp>) {
        *self.refreshed.lock().unwrap_or_else(PoisonError::into_inner) = signed;
    }

    /// How fresh the target's knowledge is.
    pub fn freshness(&self) -> Option<Timestamp> {
        *self.refreshed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client in use.
    pub fn client(&self) -> Client {
        self.lock().client.clone()
    }

    /// After a failure to connect, tries the next key the server may have, and after the last one the next place.
    fn try_next(&self) -> Result<(), ClientError> {
        let mut inner = self.lock();
        if inner.pins.len() * inner.urls.len() < 2 {
            return Ok(());
        }
        let (mut place, mut key) = inner.chosen;
        key += 1;
        if key >= inner.pins.len() {
            (place, key) = ((place + 1) % inner.urls.len(), 0);
        }
        inner.choose(place, key)
    }

    /// Asks the server, logging in when it wants that.
    pub async fn ask<T>(&self, question: impl AsyncFn(&Client) -> Result<T, ClientError>) -> Result<T, ClientError> {
        let client = self.client();
        let answer = match question(&client).await {
            Err(ClientError::Refused(problem)) if wants_login(&problem.code) => {
                within(&client, ANSWER, client.log_in(self.estate, self.key.as_ref())).await?;
                question(&client).await
            }
            other => other,
        };
        if matches!(answer, Err(ClientError::Away { .. } | ClientError::OtherKey { .. })) {
            self.try_next()?;
        }
        answer
    }

    /// Sends a request, built anew for each try, and answers with the response once it is known to be a success.
    pub async fn stream(
        &self,
        build: impl Fn(&Client) -> reqwest::RequestBuilder,
        limit: Duration,
    ) -> Result<reqwest::Response, ClientError> {
        let client = self.client();
        match within(&client, limit, client.stream(build(&client))).await {
            Err(ClientError::Refused(problem)) if wants_login(&problem.code) => {
                within(&client, ANSWER, client.log_in(self.estate, self.key.as_ref())).await?;
                within(&client, limit, client.stream(build(&client))).await
            }
            other => other,
        }
    }

    /// GETs JSON within the usual time.
    pub async fn get<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        self.ask(async |client| within(client, ANSWER, client.get(path, query)).await).await
    }

    /// The proof that one size of the ledger extends another.
    pub async fn consistency(&self, from: u64, to: u64) -> Result<Vec<Digest>, ClientError> {
        let (from, to) = (from.to_string(), to.to_string());
        let answer: Consistency = self.get(routes::CONSISTENCY, &[("from", &from), ("to", &to)]).await?;
        Ok(answer.proof)
    }

    /// Looks at whoever answers at `url` by `key`, where that is none of the keys known here. A server whose keys were
    /// stolen goes on with others, which only a charter says that is not known here yet: it is the one thing asked for.
    /// All that is sent is a session statement, which is good for that very key alone.
    pub async fn look_at_stranger(&self, url: &str, key: Digest) -> Result<Option<Stranger>, ClientError> {
        if self.lock().pins.contains(&key) {
            return Ok(None);
        }
        let client = Client::new(url, Some(key))?;
        let estate = async {
            client.log_in(self.estate, self.key.as_ref()).await?;
            client.get_at_most(routes::ESTATE, &[], STRANGERS_BYTES).await
        };
        Ok(Some(Stranger { key, estate: within(&client, ANSWER, estate).await? }))
    }
}

/// A token that is missing, unknown or over: logging in mends it.
fn wants_login(code: &str) -> bool {
    code == "LOGIN_NEEDED"
}

/// Gives up on an answer that does not come.
pub async fn within<T>(
    client: &Client,
    limit: Duration,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(ClientError::Away { url: client.url().into(), why: "it does not answer".into() }),
    }
}
