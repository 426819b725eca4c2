//! `sortie man`.

use crate::{
    cli,
    context::write_whole,
    failure::{Failure, Outcome},
    invocation::Invocation,
    output::{Answer, count},
};
use std::path::PathBuf;

/// Write the manual pages, one a verb
#[derive(Debug, clap::Args)]
pub struct Man {
    /// Where to
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
}

impl Man {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        let pages = pages()?;
        for (name, page) in &pages {
            write_whole(&self.dir.join(name), page)?;
        }
        let names: Vec<&String> = pages.iter().map(|(name, _)| name).collect();
        let words = format!("{} in {}", count(pages.len() as u64, "page"), self.dir.display());
        Ok(Answer::new(&serde_json::json!({ "pages": names }), words)
            .next(format!("man {}", self.dir.join("sortie.1").display())))
    }
}

/// All pages with their file names: `sortie.1`, `sortie-deploy.1`, `sortie-target-invite.1`.
fn pages() -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut pages = Vec::new();
    let mut command = cli::command();
    command.build();
    add(&command, &mut pages)?;
    Ok(pages)
}

fn add(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
    let man = clap_mangen::Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page).map_err(|error| Failure::failed(format!("cannot write a page: {error}")))?;
    pages.push((man.get_filename(), page));
    command.get_subcommands().filter(|command| !command.is_hide_set()).try_for_each(|command| add(command, pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["sortie.1", "sortie-deploy.1", "sortie-target-invite.1"] {
            assert!(names.contains(&name), "{names:?}");
        }
    }
}
