//! `sortie push`.

use crate::{
    build::{self, Ready, Sent},
    draft,
    failure::Outcome,
    invocation::Invocation,
    output::{self, Answer},
    package, releasing, sign,
};
use api::write::Text;
use domain::sizes;
use serde_json::json;
use std::{io::IsTerminal, path::PathBuf, time::Instant};
use trust::statement::{self, Act, Commit};

/// Send a build: a folder, a file or an archive, with the commit it came from. Prints its name
#[derive(Debug, clap::Args)]
pub struct Push {
    /// What to send; the `files` of sortie.toml by default
    #[arg(value_name = "DIR|FILE|ARCHIVE")]
    pub source: Option<PathBuf>,
    /// The application, where several sortie.toml are near or there is none
    #[arg(long)]
    pub app: Option<String>,
    /// Print the build's name and nothing else
    #[arg(short, long)]
    pub quiet: bool,
    /// Send one job's part of a build that several make: the name of the build under way
    #[arg(long, value_name = "DRAFT", requires = "part")]
    pub into: Option<String>,
    /// Which part it is: linux-arm64
    #[arg(long, value_name = "NAME", requires = "into")]
    pub part: Option<String>,
    /// Make one build of the parts that jobs have pushed
    #[arg(long, value_name = "DRAFT", conflicts_with_all = ["into", "part", "source"])]
    pub seal: Option<String>,
    /// Let the parts of a draft go that nobody has sealed; its name begins anew
    #[arg(long, value_name = "DRAFT", conflicts_with_all = ["into", "part", "source", "seal", "expect"])]
    pub discard: Option<String>,
    /// Seal only if this part is there (may be given again)
    #[arg(long, value_name = "PART", requires = "seal", conflicts_with = "into")]
    pub expect: Vec<String>,
}

impl Push {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        if let Some(draft) = &self.seal {
            return draft::seal(invocation, self.app.as_deref(), draft, &self.expect, self.quiet).await;
        }
        if let Some(draft) = &self.discard {
            return draft::discard(invocation, self.app.as_deref(), draft).await;
        }
        if let (Some(draft), Some(part)) = (&self.into, &self.part) {
            draft::names(draft, part)?;
        }
        // What lies ready is looked at first: a tree that cannot be pushed needs no server to say so.
        let mut ready = build::prepare(self.source.as_deref(), self.app.as_deref(), &|_| {})?;
        if self.into.is_none() {
            ready.has_its_programs()?;
        }
        if !self.quiet {
            for note in &ready.notes {
                invocation.aside(note);
            }
        }
        let connection = invocation.connect().await?;
        package::resolve(&connection, &mut ready).await?;
        let began = Instant::now();
        let watched = std::io::stderr().is_terminal() && !self.quiet && !invocation.global.json;
        let say = |sent: Sent| {
            if watched && began.elapsed().as_secs() >= 1 {
                invocation.aside(&format!(
                    "sent {} in {}",
                    sizes::length(sent.bytes),
                    output::count(sent.objects, "object")
                ));
            }
        };
        let sent = build::send(&connection, &ready, &say).await?;
        // People's words do not go into what is kept for ever: the statement names the title by its digest.
        let title = ready.commit.as_ref().map(|commit| sign::title(&commit.title)).transpose()?;
        let named = |text: &Text| trust::text::reference(&text.digest());
        let commit = ready.commit.clone().map(|commit| Commit { title: title.iter().map(named).collect(), ..commit });
        if let (Some(draft), Some(part)) = (&self.into, &self.part) {
            return draft::add(&connection, &ready, draft::names(draft, part)?, sent).await;
        }
        let act = Act::Push(statement::Push {
            app: ready.project.app.clone(),
            commit,
            recipe: ready.project.build.clone(),
            makers: Vec::new(),
        });
        let (app, digest) = (&ready.project.app, ready.digest());
        let name = format!("{app}#{}", digest.short());
        // The same bytes again are the same build: that is an answer, not a mistake.
        let known = match connection.submit_with(&name, digest, act, &[], title.as_slice()).await {
            Ok(_) => false,
            Err(failure) if failure.code() == "ALREADY_DONE" => true,
            Err(failure) => return Err(failure),
        };
        let data = json!({
            "app": app, "build": digest, "name": name, "commit": ready.commit, "files": ready.files(),
            "size_bytes": ready.manifest.total_size_bytes(), "sent": sent, "already_known": known,
            "members": ready.manifest.run.package,
        });
        if self.quiet {
            return Ok(Answer::new(&data, name));
        }
        let how = match (known, sent.objects) {
            (true, _) => "the same build as before".to_string(),
            (false, 0) => "the server had every file".to_string(),
            (false, _) => format!("sent {} in {:.1} s", sizes::length(sent.bytes), began.elapsed().as_secs_f64()),
        };
        let words = [name.clone(), contents(&ready), origin(&ready), how].join("   ");
        Ok(Answer::new(&data, words).next(releasing::first_place(&connection, &name)))
    }
}

fn contents(ready: &Ready) -> String {
    let members = &ready.manifest.run.package;
    if !members.is_empty() {
        let names: Vec<String> = members.iter().map(|(app, member)| format!("{app} {}", member.version)).collect();
        return format!("a package of {}", names.join(", "));
    }
    match ready.files() {
        0 => "a checkpoint: nothing to install".into(),
        files => format!("{}, {}", output::count(files, "file"), sizes::length(ready.manifest.total_size_bytes())),
    }
}

fn origin(ready: &Ready) -> String {
    match &ready.commit {
        Some(commit) => {
            let tag = commit.tag.as_ref().map(|tag| format!(" ({tag})")).unwrap_or_default();
            format!("commit {}{tag}, clean", commit.id.get(..7).unwrap_or(&commit.id))
        }
        None => "no commit".into(),
    }
}
