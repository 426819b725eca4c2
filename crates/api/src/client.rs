//! The typed client, with the server's TLS key pinned: no certificate authority takes part.

use crate::{
    away,
    happenings::Happenings,
    problem::Problem,
    read::Hello,
    routes,
    write::{Accepted, LoggedIn, Login, Submission},
};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::Duration,
};
use trust::{
    Digest,
    key::Signer,
    statement::{Act, Header, RequestId, Session, Statement},
};

/// How long a signed statement may be submitted, unless its maker says otherwise: five minutes.
pub const SUBMIT_WITHIN: SignedDuration = SignedDuration::from_secs(300);

/// What can go wrong between here and there.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server said no.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The server could not be reached, or the connection broke.
    #[error("cannot reach {url}: {why}")]
    Away {
        /// Where.
        url: String,
        /// Why.
        why: String,
    },
    /// Whoever answers there has another key than the pinned one: another server, or somebody in between.
    #[error("{url} is not the server that was pinned: its TLS key is another. Nothing was sent to it")]
    OtherKey {
        /// Where.
        url: String,
        /// The pin of the key it has.
        key: Digest,
    },
    /// The server answered what this program does not understand.
    #[error("{url} gave an answer that makes no sense: {why}")]
    Nonsense {
        /// Where.
        url: String,
        /// Why.
        why: String,
    },
    /// The client could not be set up, or a statement could not be signed.
    #[error("{0}")]
    Here(String),
}

/// What a program of ours says of itself before its version, in every request.
pub const USER_AGENT_PREFIX: &str = "sortie/";
/// The header that tells processes apart, so that a server notices two machines with one key.
pub const PROCESS: &str = "sortie-process";
const USER_AGENT: &str = concat!("sortie/", env!("CARGO_PKG_VERSION"));

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    pin: Option<Digest>,
    token: Arc<RwLock<Option<String>>>,
    /// The last key that was shown and is not the pinned one.
    other: OtherKey,
}

/// A key that was shown and is not the pinned one, once there was one.
type OtherKey = Arc<Mutex<Option<Digest>>>;

impl Client {
    /// A client of the server at `url` (`https://host:port`), whose TLS key must have `pin`. Plain `http://` is taken
    /// for loopback addresses only, and then there is nothing to pin.
    pub fn new(url: &str, pin: Option<Digest>) -> Result<Self, ClientError> {
        let here = |error: &dyn std::fmt::Display| ClientError::Here(error.to_string());
        let url = url.trim_end_matches('/').to_string();
        let other = OtherKey::default();
        let tls = |pin| pinned_tls(pin, other.clone()).map_err(|e| here(&e));
        let builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .user_agent(USER_AGENT)
            .default_headers(HeaderMap::from_iter([(HeaderName::from_static(PROCESS), this_process())]));
        let builder = match (url.starts_with("https://"), pin) {
            (true, Some(pin)) => builder.tls_backend_preconfigured(tls(pin)?),
            (true, None) => return Err(ClientError::Here(format!("no pin is known for {url}: log in with URL#PIN"))),
            (false, _) if url.starts_with("http://127.0.0.1") || url.starts_with("http://[::1]") => {
                builder.tls_backend_preconfigured(tls(Digest::of(b""))?)
            }
            (false, _) => return Err(ClientError::Here(format!("{url} is not an https:// address"))),
        };
        let http = builder.build().map_err(|e| here(&e))?;
        Ok(Self { http, url, pin, token: Arc::default(), other })
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The pin of the server's TLS key.
    pub fn pin(&self) -> Option<Digest> {
        self.pin
    }

    /// Who the server is.
    pub async fn hello(&self) -> Result<Hello, ClientError> {
        self.get(routes::HELLO, &[]).await
    }

    /// Logs in by a session statement that this very client builds and signs, and keeps the token for reads.
    pub async fn log_in(&self, estate: Digest, signer: &dyn Signer) -> Result<(), ClientError> {
        let server = match self.pin {
            Some(pin) => pin,
            None => self.hello().await?.pin,
        };
        let statement = Statement {
            subject_name: "estate".into(),
            subject: estate,
            header: Header {
                estate,
                request_id: fresh_request_id()?,
                submit_before: in_future(SignedDuration::from_secs(60)),
                on_behalf_of: None,
            },
            act: Act::Session(Session { server }),
        };
        let envelope = statement.sign(&[signer]).map_err(|e| ClientError::Here(e.to_string()))?;
        let logged_in: LoggedIn = self.post(routes::SESSIONS, &Login { envelope }).await?;
        if let Ok(mut token) = self.token.write() {
            *token = Some(logged_in.token);
        }
        Ok(())
    }

    /// Reads with this token from now on, instead of a login.
    pub fn bear(&self, secret: &str) {
        if let Ok(mut token) = self.token.write() {
            *token = Some(secret.into());
        }
    }

    /// Submits a signed statement through the one write door. A connection that broke is tried again with the very
    /// same bytes, which the server answers once.
    pub async fn submit(&self, submission: &Submission) -> Result<Accepted, ClientError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.post(routes::COMMANDS, submission).await {
                Err(ClientError::Away { .. }) if tries < 4 => {
                    tokio::time::sleep(Duration::from_millis(200 << tries)).await;
                }
                answer => return answer,
            }
        }
    }

    /// GETs JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
        self.get_at_most(path, query, MAX_ANSWER_BYTES).await
    }

    /// GETs JSON of no more than `limit_bytes`.
    pub async fn get_at_most<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        limit_bytes: usize,
    ) -> Result<T, ClientError> {
        self.json(self.request(reqwest::Method::GET, path).query(query), limit_bytes).await
    }

    /// GETs a file of at most `limit_bytes`; nothing where there is none.
    pub async fn file(
        &self,
        path: &str,
        query: &[(&str, &str)],
        limit_bytes: usize,
    ) -> Result<Option<Vec<u8>>, ClientError> {
        match self.stream(self.request(reqwest::Method::GET, path).query(query)).await {
            Ok(response) if response.status() == reqwest::StatusCode::NO_CONTENT => Ok(None),
            Ok(response) => self.whole(response, limit_bytes).await.map(Some),
            Err(ClientError::Refused(problem)) if problem.code == "NOT_FOUND" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// POSTs JSON; no answer is read.
    pub async fn tell(&self, path: &str, body: &impl Serialize) -> Result<(), ClientError> {
        self.stream(self.request(reqwest::Method::POST, path).json(body)).await.map(|_| ())
    }

    /// GETs an answer that is read piece by piece: logs, events.
    pub async fn open(&self, path: &str, query: &[(&str, &str)]) -> Result<reqwest::Response, ClientError> {
        self.stream(self.request(reqwest::Method::GET, path).query(query)).await
    }

    /// What happens at the server from now on. Nothing is sent before the first is asked for.
    pub fn happenings(&self) -> Happenings {
        Happenings::of(self.clone())
    }

    /// POSTs JSON for JSON.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.json(self.request(reqwest::Method::POST, path).json(body), MAX_ANSWER_BYTES).await
    }

    /// A request to `path` with the token, for bodies and answers that are streams. Use with [`Self::stream`].
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match self.token.read().ok().and_then(|token| token.clone()) {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and answers with the response once it is known to be a success.
    pub async fn stream(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ClientError> {
        let mut request = request;
        let mut tries = 0;
        let response = loop {
            let again = request.try_clone();
            let response = request.send().await.map_err(|error| self.away(&error))?;
            // A fleet that comes back at once is asked to take turns.
            match again {
                Some(again) if response.status() == reqwest::StatusCode::TOO_MANY_REQUESTS && tries < 5 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(500 << tries)).await;
                    request = again;
                }
                _ => break response,
            }
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.whole(response, MAX_PROBLEM_BYTES).await?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            Err(_) => Err(self.nonsense(format!("{status}"))),
        }
    }

    async fn json<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        limit_bytes: usize,
    ) -> Result<T, ClientError> {
        let response = self.stream(request).await?;
        let body = self.whole(response, limit_bytes).await?;
        serde_json::from_slice(&body).map_err(|error| self.nonsense(error.to_string()))
    }

    /// An answer's whole body, no longer than `limit_bytes`: a server that sends without end fills nobody's memory.
    async fn whole(&self, mut response: reqwest::Response, limit_bytes: usize) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.away(&error))? {
            if body.len() + piece.len() > limit_bytes {
                return Err(self.nonsense(format!("more than the {limit_bytes} bytes that an answer may have")));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn away(&self, error: &reqwest::Error) -> ClientError {
        let why = away::in_words(error);
        let url = self.url.clone();
        let other = self.other.lock().unwrap_or_else(PoisonError::into_inner);
        match other.filter(|_| why.contains(OTHER_KEY)) {
            Some(key) => ClientError::OtherKey { url, key },
            None => ClientError::Away { url, why },
        }
    }

    fn nonsense(&self, why: String) -> ClientError {
        ClientError::Nonsense { url: self.url.clone(), why }
    }
}

/// The longest answer that is read whole, in bytes: the documents of an estate with a thousand roots fit.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// The longest refusal that is read, in bytes.
const MAX_PROBLEM_BYTES: usize = 1 << 20;

/// A client of any web server, whose certificate is checked as browsers do. What comes from it proves itself; each
/// request may take `limit`.
pub fn web_client(limit: Duration) -> Result<reqwest::Client, ClientError> {
    // Another part of this program may have chosen one already, which is as good.
    let _ = aws_lc_rs::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .timeout(limit)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(USER_AGENT);
    builder.build().map_err(|error| ClientError::Here(error.to_string()))
}

/// As [`web_client`], of a server whose TLS key must have `pin`: no certificate authority takes part.
pub fn pinned_client(pin: Digest, limit: Duration) -> Result<reqwest::Client, ClientError> {
    let here = |error: &dyn std::fmt::Display| ClientError::Here(error.to_string());
    let builder = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .timeout(limit)
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(pinned_tls(pin, OtherKey::default()).map_err(|e| here(&e))?)
        .user_agent(USER_AGENT);
    builder.build().map_err(|error| here(&error))
}

/// What the TLS verifier says of a key that is not pinned. The error passes through layers that keep only its words.
const OTHER_KEY: &str = "the server's TLS key is not the pinned one";

/// What this process is called, and no other.
fn this_process() -> HeaderValue {
    static NAME: OnceLock<HeaderValue> = OnceLock::new();
    let named = || HeaderValue::from_str(&uuid::Uuid::now_v7().simple().to_string());
    NAME.get_or_init(|| named().unwrap_or_else(|_| unreachable!("digits"))).clone()
}

/// A fresh request id: a UUID version 7.
pub fn fresh_request_id() -> Result<RequestId, ClientError> {
    RequestId::new(uuid::Uuid::now_v7().to_string()).map_err(|error| ClientError::Here(error.to_string()))
}

/// The moment that is `from_now` ahead.
pub fn in_future(from_now: SignedDuration) -> Timestamp {
    Timestamp::now().checked_add(from_now).unwrap_or(Timestamp::MAX)
}

fn pinned_tls(pin: Digest, other: OtherKey) -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedKey { pin, provider, other }))
        .with_no_client_auth())
}

/// Accepts exactly one public key, whatever its certificate says.
#[derive(Debug)]
struct PinnedKey {
    pin: Digest,
    provider: Arc<CryptoProvider>,
    other: OtherKey,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match certificate_pin(end_entity) {
            Some(pin) if pin == self.pin => Ok(ServerCertVerified::assertion()),
            other => {
                *self.other.lock().unwrap_or_else(PoisonError::into_inner) = other;
                Err(rustls::Error::General(OTHER_KEY.into()))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The pin of a certificate: SHA-256 of its SubjectPublicKeyInfo in DER (RFC 7469, 2.4).
pub fn certificate_pin(certificate: &[u8]) -> Option<Digest> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Digest::of(parsed.public_key().raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    /// A server that answers the first request with `status` and a body without end, until the client hangs up.
    fn endless(status: &'static str) -> (String, std::thread::JoinHandle<u64>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let _request = client.read(&mut [0; 4096]).unwrap();
            client
                .write_all(format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\r\n[").as_bytes())
                .unwrap();
            let mut sent = 0;
            while client.write_all(&[b' '; 1 << 16]).is_ok() {
                sent += 1 << 16;
            }
            sent
        });
        (url, served)
    }

    /// Whoever holds the server, or stands before it, sends an answer that never ends.
    /// Attack: endless data.
    #[test]
    fn an_answer_without_end_is_cut_off() {
        for (status, limit) in [("200 OK", MAX_ANSWER_BYTES), ("500 Gone", MAX_PROBLEM_BYTES)] {
            let (url, served) = endless(status);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let answer = runtime.block_on(async {
                let client = Client::new(&url, None).unwrap();
                client.get::<serde_json::Value>("/", &[]).await
            });
            let Err(ClientError::Nonsense { why, .. }) = answer else { panic!("{answer:?}") };
            assert!(why.contains(&limit.to_string()), "{why}");
            // The connection ends with whoever polls it.
            drop(runtime);
            // What was under way when the client hung up is all that was sent besides.
            assert!(served.join().unwrap() < 2 * limit as u64 + (32 << 20));
        }
    }
}
