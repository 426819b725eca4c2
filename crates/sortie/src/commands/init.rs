//! `sortie init`.

use crate::{
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    names,
    output::Answer,
};
use depot::project::{FILE_NAME, guess::init_guess, parse};
use serde_json::json;
use std::path::PathBuf;

/// Write a first sortie.toml for the program in this folder, guessing what can be guessed
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The folder
    #[arg(default_value = ".", value_name = "DIR")]
    pub folder: PathBuf,
    /// The application's name (the folder's by default)
    #[arg(long)]
    pub app: Option<String>,
}

impl Init {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        let path = self.folder.join(FILE_NAME);
        if path.exists() {
            return Err(Failure::misused(format!("{} is there already", path.display())).next("sortie push"));
        }
        let mut guess = init_guess(&self.folder);
        if let Some(app) = &self.app {
            let app = names::app_name(app)?;
            let mut document: toml_edit::DocumentMut = guess.text.parse().or_misused()?;
            // The value alone is replaced, so that the line keeps its comment and its place.
            if let Some(value) = document.get_mut("app").and_then(toml_edit::Item::as_value_mut) {
                let decor = value.decor().clone();
                *value = app.as_str().into();
                *value.decor_mut() = decor;
            }
            guess.text = document.to_string();
        }
        let project = parse(&guess.text, FILE_NAME).or_misused()?;
        // The file is for everyone who works on the code, not for this user alone.
        std::fs::write(&path, &guess.text)
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
        let runs: Vec<String> =
            project.run.processes.values().map(|process| format!("run = {}", process.run.join(" "))).collect();
        let what = std::iter::once(format!("files = {}", project.files)).chain(runs).collect::<Vec<_>>().join(", ");
        let mut words = vec![format!("wrote {}: app = {}, {what}", path.display(), project.app)];
        words.extend(guess.guesses.iter().map(|guess| format!("  {guess}")));
        if let Some(check) = &guess.check {
            let line = guess.check_line.map(|line| format!(" (line {line})")).unwrap_or_default();
            words.push(format!("check one line: {check}{line}"));
        }
        let data = json!({ "file": path, "app": project.app, "guesses": guess.guesses, "check": guess.check,
            "check_line": guess.check_line });
        Ok(Answer::new(&data, words.join("\n")).next("sortie push"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_first_file_is_written_once_and_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("dist")).unwrap();
        std::fs::write(folder.path().join("dist/index.html"), "hello").unwrap();
        let init = || Init { folder: folder.path().into(), app: Some("shop".into()) };
        let invocation = Invocation::new(Default::default());
        init().run(&invocation).await.unwrap();
        let text = std::fs::read_to_string(folder.path().join(FILE_NAME)).unwrap();
        assert_eq!(parse(&text, FILE_NAME).unwrap().app.as_str(), "shop");
        assert_eq!(init().run(&invocation).await.unwrap_err().problem.exit, 2);
    }
}
