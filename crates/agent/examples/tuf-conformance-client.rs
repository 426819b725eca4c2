//! A TUF client with the command line that the public conformance suite of TUF speaks (its CLIENT-CLI.md): `init`,
//! `refresh` and `download`. Everything in it that decides is the agent's own.
//!
//! `cargo xtask conformance PATH` builds it and runs a checkout of the suite on it.

use agent::{
    files::{self, Place},
    repository::{FetchError, Patience, Repository, Source},
};
use clap::{Parser, Subcommand};
use jiff::Timestamp;
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::{runtime::Runtime, time::timeout};
use trust::tuf::role_file;

/// A TUF client under test.
#[derive(Parser)]
struct Arguments {
    /// Where trusted metadata lies.
    #[arg(long)]
    metadata_dir: PathBuf,
    /// The repository's metadata.
    #[arg(long)]
    metadata_url: Option<String>,
    /// The path of a target to download; may be repeated.
    #[arg(long)]
    target_name: Vec<String>,
    /// The repository's targets.
    #[arg(long)]
    target_base_url: Option<String>,
    /// Where downloaded targets lie.
    #[arg(long)]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Trust a root
    Init {
        /// The file of the root.
        trusted_root: PathBuf,
    },
    /// Bring the top-level metadata up to date
    Refresh,
    /// Download targets
    Download,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let metadata = Place::from(arguments.metadata_dir.clone());
    if let Act::Init { trusted_root } = &arguments.act {
        return Ok(files::replace(&metadata.join("root.json"), &fs::read(trusted_root)?)?);
    }
    let source = Http::new(arguments.metadata_url.as_deref(), arguments.target_base_url.as_deref())?;
    let now = Timestamp::now();
    let mut repository = Repository::of_anyone(metadata, now)?;
    repository.refresh(&source, now)?;
    if let Act::Download = arguments.act {
        let folder = arguments.target_dir.as_deref().ok_or("--target-dir is missing")?;
        arguments.target_name.iter().try_for_each(|path| download(&mut repository, &source, path, folder))?;
    }
    Ok(())
}

fn download(repository: &mut Repository, source: &Http, path: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let found = repository.find(source, path)?.ok_or_else(|| format!("nobody vouches for {path}"))?;
    // One file a path, whatever is in the path.
    let file = Place::from(folder.join(role_file(path)));
    if files::read(&file)?.is_some_and(|bytes| found.target.check(&bytes).is_ok()) {
        return Ok(());
    }
    Ok(files::replace(&file, &repository.download(source, &found)?)?)
}

/// A repository behind two URLs.
struct Http {
    runtime: Runtime,
    client: reqwest::Client,
    metadata: String,
    targets: String,
    patience: Patience,
}

impl Http {
    fn new(metadata: Option<&str>, targets: Option<&str>) -> Result<Self, Box<dyn Error>> {
        // reqwest asks for a provider of TLS even where a URL needs none.
        let _set_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let folder = |url: &str| format!("{}/", url.trim_end_matches('/'));
        Ok(Self {
            runtime,
            client: reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?,
            metadata: folder(metadata.ok_or("--metadata-url is missing")?),
            targets: folder(targets.unwrap_or_default()),
            patience: Patience::default(),
        })
    }

    fn get(&self, url: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        let away = |error: &dyn std::fmt::Display| FetchError::Away(error.to_string());
        self.runtime.block_on(async {
            let answer =
                timeout(self.patience.grace, self.client.get(url).send()).await.map_err(|error| away(&error))?;
            let answer = answer.map_err(|error| away(&error))?;
            match answer.status().as_u16() {
                200 => self.patience.read(answer.bytes_stream(), max_bytes).await.map(Some),
                // Stores of objects answer 403 for what they do not have.
                403 | 404 | 410 => Ok(None),
                status => Err(FetchError::Away(format!("the server answers {status}"))),
            }
        })
    }
}

impl Source for Http {
    fn metadata(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        self.get(&format!("{}{path}", self.metadata), max_bytes)
    }

    fn target(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, FetchError> {
        self.get(&format!("{}{path}", self.targets), max_bytes)
    }
}
