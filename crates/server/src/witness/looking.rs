//! Looks at what waits for the witness, and signs it where it may.

use super::{Witness, keeping::SignError};
use crate::repository::files::{self, FileError, Stage};
use api::{
    client::ClientError,
    link::{ANSWER, within},
    problem::SIGNER_UNKNOWN,
    routes,
    witness::Word,
};
use domain::policy;
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};
use trust::{
    Digest,
    charter::{CHARTER_TARGET, MAX_CHARTER_BYTES},
    key::Signer,
    tuf::{
        MAX_ROOT_BYTES, MAX_TIMESTAMP_BYTES, MetadataSignature, Root,
        client::{Change, Client, ClientError as MetadataError, Next},
        witness::{Cosigned, Look, Terms, Wish, WitnessError, signature_in},
    },
};

/// For how long the server may hold a question for something new, in seconds.
const WAIT_SECONDS: u64 = 20;
/// How long to wait before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// The largest file of permits, in bytes.
const MAX_TARGET_BYTES: usize = trust::tuf::repository::MAX_PERMITS_BYTES;

/// Why nothing was signed this time.
#[derive(Debug, thiserror::Error)]
enum LookError {
    /// The server is away, or says no.
    #[error(transparent)]
    Server(#[from] ClientError),
    /// What waits is not signed.
    #[error(transparent)]
    Refused(#[from] WitnessError),
    /// A root is not taken.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A file here cannot be read or written.
    #[error("{0}")]
    File(#[from] FileError),
    /// The first root is not the one that is pinned.
    #[error("the server gives another first root than the one of the estate")]
    OtherEstate,
    /// The copy contradicts itself.
    #[error("{0}")]
    Copy(String),
    /// Nothing has come since what was not signed.
    #[error("nothing new")]
    PassedOver,
}

/// What is remembered between two looks.
struct Looker<'a> {
    witness: &'a Witness,
    copy: PathBuf,
    /// Its own memory of the repository: what it signed last.
    client: Option<Client>,
    /// What it looked at last.
    known: Option<Digest>,
    /// Whether it did not sign that: after a while it is looked at again.
    passed_over: bool,
    /// A signature that the server has not acknowledged.
    unsent: Option<(u64, MetadataSignature)>,
    leaving: BTreeMap<PathBuf, Timestamp>,
}

/// Looks until the witness stops.
pub(super) async fn run(witness: &Witness) {
    let copy = witness.keeping.copy();
    let mut looker =
        Looker { witness, copy, client: None, known: None, passed_over: false, unsent: None, leaving: BTreeMap::new() };
    loop {
        let looked = tokio::select! {
            looked = looker.look() => looked,
            () = witness.stopped() => return,
        };
        let Err(error) = looked else {
            witness.view().problem = None;
            continue;
        };
        looker.tell(&error).await;
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = witness.stopped() => return,
        }
    }
}

impl Looker<'_> {
    /// One question for something new, and the look at it.
    async fn look(&mut self) -> Result<(), LookError> {
        if let Some((version, signature)) = self.unsent.clone() {
            self.send(version, signature).await?;
        }
        let (known, wait) = (self.known.map(|known| known.to_string()), WAIT_SECONDS.to_string());
        let mut query = vec![("wait", wait.as_str())];
        query.extend(known.as_deref().map(|known| ("known", known)));
        let limit = Duration::from_secs(WAIT_SECONDS) + ANSWER;
        let link = &self.witness.link;
        let question = async |client: &api::client::Client| {
            within(client, limit, client.file(routes::WITNESS_CANDIDATE, &query, MAX_TIMESTAMP_BYTES)).await
        };
        let candidate = link.ask(question).await?;
        self.witness.view().named = true;
        let passed_over = std::mem::take(&mut self.passed_over);
        let Some(candidate) = candidate else {
            if passed_over {
                self.known = None;
                return Err(LookError::PassedOver);
            }
            return Ok(());
        };
        self.known = Some(Digest::of(&candidate));
        self.walk_roots().await?;
        match self.look_at(&candidate).await {
            Ok(()) => Ok(()),
            Err(LookError::Refused(WitnessError::Known(version))) => self.resend(version),
            Err(error) => {
                self.passed_over = true;
                Err(error)
            }
        }
    }

    /// Says what went wrong: in the log, to whoever asks, and to the server where it can do something about it.
    async fn tell(&mut self, error: &LookError) {
        let mut problem = error.to_string();
        match error {
            LookError::PassedOver => return,
            LookError::Server(ClientError::Refused(refused)) if refused.code == SIGNER_UNKNOWN => {
                problem = "owners have not named this witness yet: sortie charter root --witness KEY".into();
                self.witness.view().named = false;
            }
            LookError::Server(ClientError::OtherKey { url, key }) => self.meet(url, *key).await,
            LookError::Refused(WitnessError::Hidden(hidden)) => {
                for hidden in hidden {
                    if let Err(error) = self.witness.keeping.mark(&hidden.payload, true) {
                        tracing::error!(%error, "cannot remember that the server lacks a withdrawal");
                    }
                }
                self.witness.brought.notify_one();
            }
            _ => {}
        }
        let is_new = self.witness.view().problem.as_ref() != Some(&problem);
        if is_new && matches!(error, LookError::Server(_)) {
            tracing::warn!("{problem}");
        } else if is_new {
            tracing::error!("not signed: {problem}");
        }
        self.witness.view().problem = Some(problem.clone());
        if matches!(error, LookError::Refused(_) | LookError::Metadata(_) | LookError::Copy(_)) {
            let word = Word::Refused { why: problem };
            let path = routes::WITNESS_WORD;
            let told =
                self.witness.link.ask(async |client| within(client, ANSWER, client.tell(path, &word)).await).await;
            told.unwrap_or_else(|error| tracing::info!(%error, "the server does not hear why"));
        }
    }

    /// Follows a server with other keys, as after an eviction, where owners signed them into a newer charter.
    async fn meet(&self, url: &str, key: Digest) {
        let stranger = match self.witness.link.look_at_stranger(url, key).await {
            Ok(Some(stranger)) => stranger,
            Ok(None) => return,
            Err(error) => return tracing::info!(%error, "whoever answers in the server's place shows no charter"),
        };
        let roots: Vec<Vec<u8>> = stranger.estate.roots.iter().map(|root| root.0.clone()).collect();
        let documents = trust::authority::Documents {
            roots: &roots,
            targets: &stranger.estate.targets,
            charter: stranger.estate.charter.as_bytes(),
        };
        let known = self.client.as_ref().and_then(|client| Some(client.targets()?.0.version())).unwrap_or(0);
        match trust::authority::VerifiedDocuments::verify(&self.witness.estate, &documents, known) {
            Ok(verified) if verified.charter.server.keys.contains(&key) => {
                tracing::warn!(%key, "owners gave the server other keys; it is followed");
                self.learn(&verified.charter.server);
            }
            Ok(_) => tracing::error!(%key, "whoever answers in the server's place has a key that owners did not name"),
            Err(error) => tracing::error!(%key, %error, "a server with a key that is not known here is not followed"),
        }
    }

    fn learn(&self, server: &trust::charter::Server) {
        self.witness.link.learn_places(&server.urls);
        if let Err(error) = self.witness.link.learn(&server.keys) {
            tracing::error!(%error, "cannot go by the server's keys as the charter names them");
        }
    }

    /// A file of the server's repository.
    async fn fetch(&self, below: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, ClientError> {
        let path = format!("{}/{below}", routes::REPOSITORY);
        let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX).min(MAX_TARGET_BYTES.max(8 << 20));
        self.witness.link.ask(async |client| within(client, ANSWER, client.file(&path, &[], limit)).await).await
    }

    /// Takes up its memory, and every root that is newer.
    async fn walk_roots(&mut self) -> Result<(), LookError> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::start(self.first_roots().await?, self.witness.keeping.memory()?, Timestamp::now()),
        };
        client.again(Timestamp::now());
        while let Next::Wants(wanted) = client.refresh()? {
            if wanted.is_timestamp() {
                break;
            }
            let bytes = self.fetch(&format!("metadata/{}", wanted.path), wanted.limit_bytes).await?;
            self.keep(client.take(&wanted, bytes.as_deref())?)?;
        }
        self.client = Some(client);
        Ok(())
    }

    async fn first_roots(&self) -> Result<Root, LookError> {
        if let Some(root) = self.witness.keeping.root()? {
            return Ok(root);
        }
        let bytes = self.fetch("metadata/1.root.json", MAX_ROOT_BYTES as u64).await?.unwrap_or_default();
        let root = Root::pinned(&bytes, &self.witness.estate).map_err(|_| LookError::OtherEstate)?;
        let mut stage = Stage::new(&self.copy);
        stage.write(&files::metadata(1, "root"), &bytes)?;
        stage.finish()?;
        Ok(root)
    }

    /// Makes a change of the memory durable in the copy, in which versions stand in the names.
    fn keep(&self, changes: Vec<Change>) -> Result<(), FileError> {
        for change in changes {
            let mut stage = Stage::new(&self.copy);
            match change {
                Change::Root { version, bytes } => stage.write(&files::metadata(version, "root"), &bytes)?,
                Change::Keep { name, bytes } if name == "timestamp.json" => stage.write(&files::timestamp(), &bytes)?,
                Change::Forget { name } if name == "timestamp.json" => files::remove(&self.copy, &files::timestamp())?,
                // Everything else stands in the copy under its version.
                Change::Keep { .. } | Change::Forget { .. } => {}
            }
            stage.finish()?;
        }
        Ok(())
    }

    /// Looks at a timestamp and all that hangs on it, signs it, and publishes it here and there.
    async fn look_at(&mut self, candidate: &[u8]) -> Result<(), LookError> {
        let Some(client) = self.client.clone() else { return Ok(()) };
        let terms = Terms {
            clocks_differ: SignedDuration::from_secs(policy::CLOCKS_DIFFER_SECONDS),
            longest_life: SignedDuration::from_hours(24 * policy::TIMESTAMP_DAYS),
        };
        let mut look = Look::begin(&client, &self.witness.key.public(), candidate, &terms, Timestamp::now())?;
        let mut taken: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
        while let Some(wish) = look.wants()? {
            self.give(&mut look, &wish, &mut taken).await?;
        }
        let cosigned = self.witness.keeping.sign(look, self.witness.key.as_ref()).map_err(|error| match error {
            SignError::Refused(error) => LookError::Refused(error),
            SignError::File(error) => LookError::File(error),
            SignError::Key(error) => LookError::Copy(error.to_string()),
        })?;
        self.publish(client, &taken, &cosigned)?;
        let Cosigned { version, signature, .. } = cosigned;
        self.send(version, signature).await
    }

    /// Gives a look what it wants: from the copy where that is the file, else from the server.
    async fn give(
        &self,
        look: &mut Look,
        wish: &Wish,
        taken: &mut BTreeMap<PathBuf, Vec<u8>>,
    ) -> Result<(), LookError> {
        let (below, limit_bytes) = match wish {
            Wish::Metadata(wanted) => (format!("metadata/{}", wanted.path), wanted.limit_bytes),
            Wish::Target(found) => (format!("targets/{}", found.location), found.target.length_bytes),
        };
        let path = Path::new(&below);
        let here = files::read(&self.copy, path)?;
        let is_here = here.as_ref().is_some_and(|bytes| look.take(wish, Some(bytes)).is_ok());
        if is_here {
            return Ok(());
        }
        let bytes = self.fetch(&below, limit_bytes).await?;
        look.take(wish, bytes.as_deref())?;
        let Some(bytes) = bytes else { return Ok(()) };
        match wish {
            // Versions stand in the names of metadata, and a thief may write what he likes under one: nothing is in the
            // copy before it was signed for.
            Wish::Metadata(_) => drop(taken.insert(path.to_path_buf(), bytes)),
            // Targets have their digest in their name.
            Wish::Target(_) => {
                let mut stage = Stage::new(&self.copy);
                stage.write(path, &bytes)?;
                stage.finish()?;
            }
        }
        Ok(())
    }

    /// Makes what was signed the copy and the memory, durably, before anybody else gets the signature.
    fn publish(
        &mut self,
        mut client: Client,
        taken: &BTreeMap<PathBuf, Vec<u8>>,
        cosigned: &Cosigned,
    ) -> Result<(), LookError> {
        let mut stage = Stage::new(&self.copy);
        for (path, bytes) in taken {
            stage.write(path, bytes)?;
        }
        stage.finish()?;
        // What was signed is taken as every client takes it.
        while let Next::Wants(wanted) = client.refresh()? {
            let bytes = match wanted.is_timestamp() {
                true => Some(cosigned.bytes.clone()),
                false => files::read(&self.copy, &Path::new("metadata").join(&wanted.path))?,
            };
            self.keep(client.take(&wanted, bytes.as_deref())?)?;
        }
        let signed = client.timestamp().and_then(|(timestamp, _)| timestamp.signed_at());
        self.go_by(&client)?;
        self.client = Some(client);
        let mut view = self.witness.view();
        (view.version, view.signed) = (Some(cosigned.version), signed);
        drop(view);
        tracing::info!(version = cosigned.version, "signed");
        let mut named: BTreeSet<PathBuf> = files::reachable(&self.copy)?;
        named.extend(files::all(&self.copy)?.into_iter().filter(|path| path.to_string_lossy().ends_with(".root.json")));
        Ok(files::prune(&self.copy, &named, &mut self.leaving, Timestamp::now())?)
    }

    /// Judges withdrawals by the charter that was just signed for, and knows the server as it says.
    fn go_by(&self, client: &Client) -> Result<(), LookError> {
        let Some((targets, bytes)) = client.targets() else { return Ok(()) };
        let Some((length, digest)) = targets.target(CHARTER_TARGET) else { return Ok(()) };
        debug_assert!(length <= MAX_CHARTER_BYTES as u64);
        let charter = files::read(&self.copy, &files::target(CHARTER_TARGET, &digest))?.unwrap_or_default();
        let verified = self.witness.keeping.verify(bytes, &charter)?.map_err(LookError::Copy)?;
        self.witness.keeping.go_by(&verified);
        self.learn(&verified.charter.server);
        Ok(())
    }

    /// The server asks for what was signed before: it lost the signature, or never got it.
    fn resend(&mut self, version: u64) -> Result<(), LookError> {
        let bytes = files::read(&self.copy, &files::timestamp())?.unwrap_or_default();
        self.unsent = signature_in(&bytes, &self.witness.key.public()).map(|signature| (version, signature));
        Ok(())
    }

    async fn send(&mut self, version: u64, signature: MetadataSignature) -> Result<(), LookError> {
        self.unsent = Some((version, signature.clone()));
        let word = Word::Signed { version, signature };
        let path = routes::WITNESS_WORD;
        let told = self.witness.link.ask(async |client| within(client, ANSWER, client.tell(path, &word)).await).await;
        match told {
            Ok(()) => {}
            Err(ClientError::Refused(problem)) if problem.code == "NOT_WAITING" => {
                tracing::info!(version, "the server has something newer already");
            }
            Err(error) => return Err(error.into()),
        }
        self.unsent = None;
        Ok(())
    }
}
