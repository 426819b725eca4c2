//! `sortie pull`: for whoever installs for themselves.

use crate::{
    connection::{self, Reading},
    failure::{Failure, OrIntegrity, OrMisused, Outcome},
    invocation::Invocation,
    names::{Thing, audience_name},
    output::{self, Answer},
};
use anyhow::Context as _;
use api::{
    read::{Feed, Offer},
    routes,
};
use domain::{refusal::exit, sizes};
use jiff::Timestamp;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use trust::{
    AppName, AudienceName, Digest, Version,
    authority::{self, Denial, TrustedPolicy},
    manifest::{Entry, Manifest},
    statement::Request,
};

/// Fetch a version that was released to a channel you may read, check it here, and lay its files out
#[derive(Debug, clap::Args)]
pub struct Pull {
    /// The version, or the newest of an application: web@1.4.0, web
    #[arg(value_name = "APP|VERSION")]
    pub what: String,
    /// The channel
    #[arg(long, visible_alias = "in", value_name = "CHANNEL")]
    pub from: String,
    /// The folder to make (APP-VERSION by default)
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// A read-only token to fetch with, where there is no key
    #[arg(long, env = "SORTIE_TOKEN", value_name = "SECRET", hide_env_values = true)]
    pub token: Option<String>,
}

impl Pull {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let (app, version) = match Thing::parse("pull", &self.what)? {
            Thing::App(app) => (app, None),
            Thing::Version(app, version) => (app, Some(version)),
            Thing::Build(app, _) => {
                return Err(Failure::misused(format!("a channel has versions: write {app} or {app}@1.4.0")));
            }
        };
        let channel = audience_name(&self.from)?;
        let reading = connection::read_only(invocation, self.token.as_deref()).await?;
        let version = match version {
            Some(version) => version,
            None => newest(&reading, &channel, &app).await?,
        };
        let name = format!("{app}@{version}");
        let folder = self.to.clone().unwrap_or_else(|| PathBuf::from(format!("{app}-{version}")));
        check_free(&folder)?;
        let path = routes::path(routes::OFFER, &[channel.as_str(), app.as_str(), &version.to_string()]);
        let offer: Offer = reading.client.get(&path, &[]).await.map_err(|error| told(&reading, error.into()))?;
        let permit =
            reading.policy.as_ref().map(|policy| judge(policy, &app, &version, &channel, &offer)).transpose()?;
        if Digest::of(&offer.manifest.0) != offer.name.build {
            return Err(Failure::integrity("the manifest that the server sent hashes to something else"));
        }
        let manifest = Manifest::from_bytes(&offer.manifest.0).or_integrity("the manifest")?;
        if manifest.app != app {
            return Err(Failure::integrity(format!("the manifest is of {}", manifest.app)));
        }
        let beside = parent(&folder);
        fs::create_dir_all(&beside).with_context(|| beside.display().to_string()).map_err(Failure::from)?;
        let work = tempfile::tempdir_in(&beside).context("no folder to work in").map_err(Failure::from)?;
        // What cannot be compressed grows by a little, and each file has its name and length before it.
        let limit =
            manifest.total_size_bytes() + manifest.total_size_bytes() / 64 + (manifest.files.len() as u64 + 1024) * 64;
        let pack = fetch(&reading, &format!("{path}/files"), work.path(), limit).await?;
        lay_out(manifest.clone(), pack, work.path().to_path_buf(), folder.clone()).await?;
        let checked = match &permit {
            Some((permit, people)) => format!(
                "released to {channel}, signed by {people}, until {:.0}. I checked on this machine: roots, charter, permit, \
                 every digest",
                permit.not_after
            ),
            None => "by the server's word alone that it was released: I checked every digest, and log in to check who signed"
                .into(),
        };
        let words = format!(
            "{name} is in {}: {}, {}; {checked}.",
            folder.display(),
            output::count(manifest.files.len() as u64, "file"),
            sizes::length(manifest.total_size_bytes())
        );
        let data = json!({
            "app": app, "version": version, "channel": channel, "build": offer.name.build, "folder": folder,
            "verified": permit.is_some(), "not_after": permit.map(|(permit, _)| permit.not_after),
        });
        Ok(Answer::new(&data, words))
    }
}

/// What the server says to somebody without a login, with why there is none.
fn told(reading: &Reading, failure: Failure) -> Failure {
    match &reading.refused {
        Some(refused) if failure.code() == "LOGIN_NEEDED" => refused.clone(),
        _ => failure,
    }
}

/// The newest version that the channel holds of an application.
async fn newest(reading: &Reading, channel: &AudienceName, app: &AppName) -> Result<Version, Failure> {
    let path = routes::path(routes::FEED, &[channel.as_str(), app.as_str()]);
    let feed: Feed = reading.client.get(&path, &[]).await.map_err(|error| told(reading, error.into()))?;
    let versions = feed.versions.into_iter().map(|version| version.version);
    versions.max().ok_or_else(|| {
        // Whoever reads a channel may be an outsider, who cannot request anything.
        let why = format!(
            "{channel} holds no version of {app} that was released to it: ask whoever gave you this server's address for one"
        );
        Failure::new("PERMIT_MISSING", exit::REFUSED, why)
    })
}

/// The permit and who signed it, or why this machine does not take the server's word for it.
fn judge(
    policy: &TrustedPolicy,
    app: &AppName,
    version: &Version,
    channel: &AudienceName,
    offer: &Offer,
) -> Result<(Request, String), Failure> {
    let dossier = offer.dossier.as_ref().ok_or_else(|| Failure::integrity("the server gave no signed statements"))?;
    let now = Timestamp::now();
    let permit = authority::released_to(policy, app, offer.name.build, channel, dossier, now).map_err(|denial| {
        let exit = match denial {
            Denial::Expired { .. } | Denial::Withdrawn(_) => exit::REFUSED,
            _ => exit::INTEGRITY,
        };
        Failure::new(denial.code(), exit, format!("{denial}; nothing was fetched"))
    })?;
    if permit.version != *version {
        return Err(Failure::integrity(format!("the server gave {} for {version}", permit.version)));
    }
    let signers = dossier.approvals.iter().flat_map(|approval| policy.signers(approval));
    let mut people: Vec<String> = signers.map(|(_, person)| person.to_string()).collect();
    people.dedup();
    Ok((permit, people.join(" and ")))
}

/// Fails if something is in the folder: what is laid out is the build and nothing else.
fn check_free(folder: &Path) -> Result<(), Failure> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(Failure::misused(format!("{} is not empty: a build gets a folder of its own", folder.display())))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::misused(format!("{}: {error}", folder.display()))),
    }
}

fn parent(folder: &Path) -> PathBuf {
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

/// The pack of all files, in a file that nobody else sees.
async fn fetch(reading: &Reading, path: &str, work: &Path, limit_bytes: u64) -> Result<File, Failure> {
    let mut response = reading.client.open(path, &[]).await.map_err(|error| told(reading, error.into()))?;
    let mut file = tempfile::tempfile_in(work).context("no room for the files").map_err(Failure::from)?;
    let broke = |error| Failure::failed(format!("the delivery broke off: {error}"));
    let mut left = limit_bytes;
    while let Some(piece) = response.chunk().await.map_err(broke)? {
        let more = || Failure::integrity("the server sends more than the manifest lists");
        left = left.checked_sub(piece.len() as u64).ok_or_else(more)?;
        file.write_all(&piece).context("the files cannot be stored").map_err(Failure::from)?;
    }
    file.seek(SeekFrom::Start(0)).context("the files cannot be read again").map_err(Failure::from)?;
    Ok(file)
}

/// Checks every file against the manifest, and gives the folder its name once it is whole.
async fn lay_out(manifest: Manifest, pack: File, work: PathBuf, folder: PathBuf) -> Result<(), Failure> {
    let laid_out = tokio::task::spawn_blocking(move || {
        let objects = work.join("objects");
        fs::create_dir(&objects).context("no room for the files").map_err(Failure::from)?;
        let sizes: BTreeMap<Digest, u64> = manifest
            .files
            .iter()
            .filter_map(|entry| match entry {
                Entry::File { digest, size, .. } => Some((*digest, *size)),
                Entry::Link { .. } => None,
            })
            .collect();
        depot::pack::unpack(pack, &sizes, &objects).or_integrity("what came")?;
        let open = |digest: &Digest| {
            let path = objects.join(digest.hex());
            Ok(File::open(&path).map_err(|error| depot::disk::DiskError::new("reading", &path, error))?)
        };
        let whole = depot::materialise(&manifest, &work.join("whole"), open, &|_| {}).or_integrity("the files")?;
        if folder.exists() {
            fs::remove_dir(&folder).or_misused()?;
        }
        fs::rename(&whole, &folder).with_context(|| folder.display().to_string()).map_err(Failure::from)
    });
    laid_out.await.context("laying out the files").map_err(Failure::from)?
}
