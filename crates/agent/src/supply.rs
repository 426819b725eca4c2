//! Everything the agent gets from the server and sends there. Nothing that comes from here is believed: digests are
//! taken over every byte, and statements are checked by [`crate::authorise`].

use crate::repository::{FetchError, Patience};
use api::{
    agent::{AssignmentDossier, Memory, ProgressReport},
    client::{Client, ClientError},
    link::{ANSWER, Link, within},
    read::Estate,
    routes,
    write::{Accepted, Submission},
};
use depot::pack::PackLimits;
use futures_util::StreamExt;
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::runtime::Handle;
use trust::{AppName, Digest, digest::Hasher, dsse::Envelope};

/// Objects up to this length travel in packs, in bytes.
const SMALL_BYTES: u64 = 256 << 10;
/// The most objects and bytes asked for in one pack.
const PACK_OBJECTS: usize = 1024;
const PACK_BYTES: u64 = 8 << 20;
/// The slowest that a download may go, in bytes a second, once the first minute is over.
const SLOWEST_BYTES_PER_SECOND: u64 = 4096;

/// Why something could not be got or sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupplyError {
    /// The server cannot be reached now.
    #[error("{0}")]
    Away(String),
    /// The server said no.
    #[error("{code} {message}")]
    Refused {
        /// The stable code.
        code: String,
        /// Its words.
        message: String,
    },
    /// What came is not what it should be, or cannot be stored here.
    #[error("{0}")]
    Broken(String),
}

impl SupplyError {
    /// Whether a newer assignment has taken the place of the one that was asked for.
    pub fn is_outdated(&self) -> bool {
        matches!(self, SupplyError::Refused { code, .. } if code == "ASSIGNMENT_UNKNOWN")
    }

    /// Whether what was to be done is so already, so that nothing is wrong.
    pub fn is_done_already(&self) -> bool {
        matches!(self, SupplyError::Refused { code, .. } if code == "ALREADY_DONE")
    }
}

impl From<ClientError> for SupplyError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(problem) => {
                SupplyError::Refused { code: problem.code.clone(), message: trust::names::printable(&problem.message) }
            }
            ClientError::Away { .. } | ClientError::OtherKey { .. } => SupplyError::Away(error.to_string()),
            ClientError::Nonsense { .. } | ClientError::Here(_) => SupplyError::Broken(error.to_string()),
        }
    }
}

/// Where the agent gets what it needs: the server, or in tests a hostile one.
pub trait Supply {
    /// The documents of trust in force.
    fn estate(&self) -> Result<Estate, SupplyError>;
    /// The statements behind one assignment.
    fn dossier(&self, generation: u64, app: &AppName) -> Result<Dossier, SupplyError>;
    /// One object whole, no longer than `max_bytes`. The caller checks its digest.
    fn object(&self, digest: &Digest, max_bytes: u64) -> Result<Vec<u8>, SupplyError>;
    /// Gathers objects, named with their lengths, as files in `folder` named by their hexadecimal digest; `heard` is
    /// told the bytes so far. Every file there has its digest. What an earlier attempt gathered is not asked for again.
    fn gather(
        &self,
        objects: &BTreeMap<Digest, u64>,
        folder: &Path,
        heard: &mut dyn FnMut(u64),
    ) -> Result<(), SupplyError>;
    /// One file of a repository by its path there, no longer than `max_bytes`; nothing where there is none.
    fn repository(&self, origin: Origin, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError>;
    /// How many mirrors of the repository are known.
    fn mirrors(&self) -> usize;
    /// Lets the server know how fresh the target's knowledge is.
    fn refreshed(&self, signed: Option<Timestamp>);
    /// Submits a signed statement.
    fn submit(&self, envelope: &Envelope) -> Result<(), SupplyError>;
    /// Tells what is remembered here and may be lost there.
    fn remember(&self, memory: &Memory) -> Result<(), SupplyError>;
    /// Tells progress; nobody minds if it is lost.
    fn tell(&self, progress: ProgressReport);
    /// The proof that one size of the ledger extends another.
    fn consistency(&self, from: u64, to: u64) -> Result<Vec<Digest>, SupplyError>;
    /// Accepts these keys of the server and no others: the charter names them. Nothing changes where it names none.
    fn learn(&self, keys: &[Digest]);
    /// Looks for the server at these places too: the charter names them.
    fn learn_places(&self, urls: &[String]);
    /// The bundle that everything comes from, where it is not a server.
    fn bundle(&self) -> Option<Digest> {
        None
    }
}

pub use trust::authority::Dossier;

/// Whose copy of the repository is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The server's own.
    Server,
    /// A mirror's, by its place among those that are known.
    Mirror(usize),
}

/// The server as the agent's worker thread uses it: each call waits.
pub struct Server {
    link: Arc<Link>,
    handle: Handle,
    mirrors: Vec<Mirror>,
}

impl Server {
    /// Uses `link`, whose work `handle`'s runtime does. Not to be called from that runtime's own thread.
    pub fn new(link: Arc<Link>, handle: Handle, mirrors: Vec<Mirror>) -> Self {
        Self { link, handle, mirrors }
    }

    async fn download(&self, request: Request<'_>, into: &mut impl Write, max_bytes: u64) -> Result<u64, SupplyError> {
        let mut body = self.link.stream(|client| request.to(client), ANSWER).await?.bytes_stream();
        let (began, mut total) = (tokio::time::Instant::now(), 0u64);
        loop {
            let piece = match tokio::time::timeout(ANSWER, body.next()).await {
                Err(_) => return Err(SupplyError::Away("the server stopped sending".into())),
                Ok(None) => return Ok(total),
                Ok(Some(Err(error))) => return Err(SupplyError::Away(error.to_string())),
                Ok(Some(Ok(piece))) => piece,
            };
            total = total.saturating_add(piece.len() as u64);
            if total > max_bytes {
                return Err(SupplyError::Broken(format!("the server sent more than the {max_bytes} bytes expected")));
            }
            if began.elapsed() > ANSWER + Duration::from_secs(total / SLOWEST_BYTES_PER_SECOND) {
                return Err(SupplyError::Away(format!("the server sent {total} bytes so slowly that it never ends")));
            }
            into.write_all(&piece).map_err(|error| SupplyError::Broken(format!("cannot store it: {error}")))?;
        }
    }

    /// A file of the server's own repository.
    async fn repository_file(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        // Names of metadata and of targets are written as a URL has them.
        let path = format!("{}/{path}", routes::REPOSITORY);
        let request = |client: &Client| client.request(reqwest::Method::GET, &path);
        match self.link.stream(request, ANSWER).await {
            Ok(response) => Patience::default().read(response.bytes_stream(), max_bytes).await.map(Some),
            Err(ClientError::Refused(problem)) if problem.code == "NOT_FOUND" => Ok(None),
            Err(error) => Err(FetchError::Away(error.to_string())),
        }
    }

    fn fetch_large(&self, digest: &Digest, size: u64, folder: &Path) -> Result<(), SupplyError> {
        let partial = folder.join("large.part");
        let file = File::create(&partial).map_err(|error| cannot_write(&partial, &error))?;
        let mut out = Digesting { file, hasher: Hasher::new() };
        self.handle.block_on(self.download(Request::Object(digest), &mut out, size))?;
        let found = out.hasher.finish();
        if found != *digest {
            return Err(SupplyError::Broken(format!("the server sent {found} under the name {digest}")));
        }
        let done = folder.join(digest.hex());
        fs::rename(&partial, &done).map_err(|error| cannot_write(&done, &error))
    }

    fn fetch_pack(&self, digests: &[Digest], folder: &Path) -> Result<(), SupplyError> {
        let partial = folder.join("pack.part");
        let mut file = File::create(&partial).map_err(|error| cannot_write(&partial, &error))?;
        // What is in the pack may be incompressible, and each object carries its name and length.
        let at_most = PACK_BYTES * 2 + (1 << 20);
        self.handle.block_on(self.download(Request::Pack(digests), &mut file, at_most))?;
        drop(file);
        let file = File::open(&partial).map_err(|error| cannot_write(&partial, &error))?;
        let limits = PackLimits { max_object_bytes: SMALL_BYTES, ..PackLimits::default() };
        let taken = depot::read_pack(file, &limits, |digest, bytes| {
            if !digests.contains(&digest) {
                return Ok(());
            }
            let beside = folder.join("object.part");
            let write = || fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, folder.join(digest.hex())));
            write().map_err(|source| depot::StoreError::Source { digest, source })
        });
        let _gone_with_the_folder = fs::remove_file(&partial);
        taken.map(|_| ()).map_err(|error| SupplyError::Broken(error.to_string()))
    }
}

/// What is downloaded; built anew for each try.
#[derive(Clone, Copy)]
enum Request<'a> {
    Object(&'a Digest),
    Pack(&'a [Digest]),
}

impl Request<'_> {
    fn to(self, client: &Client) -> reqwest::RequestBuilder {
        match self {
            Request::Object(digest) => {
                client.request(reqwest::Method::GET, &routes::path(routes::OBJECT, &[&digest.to_string()]))
            }
            Request::Pack(digests) => client.request(reqwest::Method::POST, routes::PACKS_FETCH).json(&digests),
        }
    }
}

/// A copy of the repository on a plain web server, which knows nobody and is believed nothing.
pub struct Mirror {
    url: String,
    http: reqwest::Client,
}

impl Mirror {
    /// The mirror at `url`: below it lie `metadata/` and `targets/`. Its certificate is checked as browsers do, or its key
    /// has the pin that stands behind a `#`, as that of a witness.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let (url, http) = match url.split_once('#') {
            None => (url, api::client::web_client(ANSWER)?),
            Some((url, pin)) => {
                let pin = Digest::from_hex(pin.trim_start_matches("sha256:"));
                let pin = pin.map_err(|_| ClientError::Here(format!("the pin behind '#' in {url}#… is none")))?;
                (url, api::client::pinned_client(pin, ANSWER)?)
            }
        };
        Ok(Self { url: url.trim_end_matches('/').into(), http })
    }

    async fn get(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        let away = |error: reqwest::Error| FetchError::Away(error.without_url().to_string());
        let response = self.http.get(format!("{}/{path}", self.url)).send().await.map_err(away)?;
        match response.status().as_u16() {
            200 => Patience::default().read(response.bytes_stream(), max_bytes).await.map(Some),
            // Stores of objects answer 403 for what they do not have.
            403 | 404 | 410 => Ok(None),
            status => Err(FetchError::Away(format!("{} answers {status}", self.url))),
        }
    }
}

struct Digesting {
    file: File,
    hasher: Hasher,
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> SupplyError {
    SupplyError::Broken(format!("cannot write {}: {error}", path.display()))
}

impl Supply for Server {
    fn estate(&self) -> Result<Estate, SupplyError> {
        Ok(self.handle.block_on(self.link.get(routes::ESTATE, &[]))?)
    }

    fn dossier(&self, generation: u64, app: &AppName) -> Result<Dossier, SupplyError> {
        let path = routes::path(routes::AGENT_DOSSIER, &[&generation.to_string(), app.as_str()]);
        let answer: AssignmentDossier = self.handle.block_on(self.link.get(&path, &[]))?;
        Ok(answer.dossier)
    }

    fn object(&self, digest: &Digest, max_bytes: u64) -> Result<Vec<u8>, SupplyError> {
        let mut bytes = Vec::new();
        self.handle.block_on(self.download(Request::Object(digest), &mut bytes, max_bytes))?;
        Ok(bytes)
    }

    fn repository(&self, origin: Origin, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        self.handle.block_on(async {
            let Origin::Mirror(place) = origin else { return self.repository_file(path, max_bytes).await };
            match self.mirrors.get(place) {
                Some(mirror) => mirror.get(path, max_bytes).await,
                None => Ok(None),
            }
        })
    }

    fn mirrors(&self) -> usize {
        self.mirrors.len()
    }

    fn refreshed(&self, signed: Option<Timestamp>) {
        self.link.refreshed(signed);
    }

    fn gather(
        &self,
        objects: &BTreeMap<Digest, u64>,
        folder: &Path,
        heard: &mut dyn FnMut(u64),
    ) -> Result<(), SupplyError> {
        fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
        let wanted = objects.iter().filter(|(digest, _)| !folder.join(digest.hex()).is_file());
        let (small, large): (Vec<_>, Vec<_>) = wanted.partition(|(_, size)| **size <= SMALL_BYTES);
        let mut bytes = 0;
        for pack in packs(&small) {
            self.fetch_pack(&pack, folder)?;
            bytes += pack.iter().filter_map(|digest| objects.get(digest)).sum::<u64>();
            heard(bytes);
        }
        // What a pack left out is asked for by itself, so that the server says why it cannot be had.
        let left_out = small.iter().filter(|(digest, _)| !folder.join(digest.hex()).is_file());
        for (digest, size) in large.iter().chain(left_out) {
            self.fetch_large(digest, **size, folder)?;
            bytes += **size;
            heard(bytes);
        }
        Ok(())
    }

    fn submit(&self, envelope: &Envelope) -> Result<(), SupplyError> {
        let submission = Submission {
            envelope: envelope.clone(),
            attachments: BTreeMap::new(),
            texts: BTreeMap::new(),
            claim: None,
        };
        let answer = self
            .handle
            .block_on(self.link.ask(async |client| within(client, ANSWER, client.submit(&submission)).await));
        answer.map(|_: Accepted| ()).map_err(SupplyError::from)
    }

    fn consistency(&self, from: u64, to: u64) -> Result<Vec<Digest>, SupplyError> {
        Ok(self.handle.block_on(self.link.consistency(from, to))?)
    }

    fn learn(&self, keys: &[Digest]) {
        if let Err(error) = self.link.learn(keys) {
            tracing::error!(%error, "cannot go by the server's keys as the charter names them");
        }
    }

    fn learn_places(&self, urls: &[String]) {
        self.link.learn_places(urls);
    }

    fn remember(&self, memory: &Memory) -> Result<(), SupplyError> {
        let request = |client: &Client| client.request(reqwest::Method::POST, routes::AGENT_MEMORY).json(memory);
        let answer = self.handle.block_on(self.link.stream(request, ANSWER));
        answer.map(|_| ()).map_err(SupplyError::from)
    }

    fn tell(&self, progress: ProgressReport) {
        let link = self.link.clone();
        let _task = self.handle.spawn(async move {
            let client = link.client();
            let request = client.request(reqwest::Method::POST, routes::AGENT_PROGRESS).json(&progress);
            let _best_effort = within(&client, Duration::from_secs(5), client.stream(request)).await;
        });
    }
}

/// Divides small objects into packs.
fn packs(small: &[(&Digest, &u64)]) -> Vec<Vec<Digest>> {
    let mut packs: Vec<Vec<Digest>> = Vec::new();
    let mut bytes = 0;
    for (digest, size) in small {
        let full = packs.last().is_none_or(|pack| pack.len() >= PACK_OBJECTS) || bytes + **size > PACK_BYTES;
        if full {
            packs.push(Vec::new());
            bytes = 0;
        }
        bytes += **size;
        if let Some(pack) = packs.last_mut() {
            pack.push(**digest);
        }
    }
    packs
}

/// Where the files of a release on disk can be read, by digest, for those whose bytes are still what they were.
pub fn found_in_release(
    manifest: &trust::manifest::Manifest,
    folder: &Path,
    wanted: &BTreeMap<Digest, u64>,
    found: &mut BTreeMap<Digest, PathBuf>,
) {
    for entry in &manifest.files {
        let trust::manifest::Entry::File { path, size, digest, .. } = entry else { continue };
        if wanted.get(digest) != Some(size) || found.contains_key(digest) {
            continue;
        }
        let path = folder.join(path);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() == *size)
            && digest_file(&path).is_ok_and(|is| is == *digest)
        {
            found.insert(*digest, path);
        }
    }
}

fn digest_file(path: &Path) -> std::io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        match std::io::Read::read(&mut file, &mut chunk)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&chunk[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use trust::key::SecretKey;

    /// A server that sends one byte of an object every `pause`, and the first `head` of them at once.
    async fn slow(head: usize, pause: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let _request = client.read(&mut [0; 4096]).await.unwrap();
            // From here on time jumps ahead whenever everything waits.
            tokio::time::pause();
            client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
            client.write_all(&vec![b'x'; head]).await.unwrap();
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        });
        url
    }

    async fn fetch(url: String) -> (Result<u64, SupplyError>, usize) {
        let key = Arc::new(SecretKey::from_seed(&[1; 32]));
        let link = Arc::new(Link::new(&url, vec![], Digest::of(b""), key).unwrap());
        let server = Server::new(link, Handle::current(), Vec::new());
        let mut got = Vec::new();
        let result = server.download(Request::Object(&Digest::of(b"x")), &mut got, 1_000_000).await;
        (result, got.len())
    }

    /// Attack: slow retrieval.
    /// Holds: the server, a mirror, or the network; he sends what is asked for, one byte at a time, so that an update
    /// never arrives and never fails.
    /// Left to him: to send at the slowest pace that is taken, 4 KiB a second after the first minute, or nothing. The
    /// target says so, tries again, and goes on running what it runs.
    #[test]
    fn a_download_that_never_ends_is_given_up() {
        for (head, at_most) in [(0, 10), (400_000, 400_100)] {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let pause = Duration::from_secs(20);
            let (result, got) = runtime.block_on(async { fetch(slow(head, pause).await).await });
            let Err(SupplyError::Away(why)) = result else { panic!("{result:?}") };
            assert!(why.contains("so slowly"), "{why}");
            assert!(got >= head && got < at_most, "{got}");
        }
    }
}
