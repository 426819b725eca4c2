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
    /// Print all of it as the page docs/CLI.md instead
    #[arg(long, conflicts_with = "dir")]
    pub markdown: bool,
}

impl Man {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        if self.markdown {
            return Ok(Answer::raw(markdown().into_bytes()));
        }
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

/// The page `docs/CLI.md`: the help of every command, the same on every terminal.
fn markdown() -> String {
    let mut command = cli::command().term_width(100);
    command.build();
    let mut page = String::from("# The command line\n\nPrinted by `sortie man --markdown`.\n");
    add_help(&command, &mut page);
    page
}

fn add_help(command: &clap::Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_string();
    // What the environment of whoever prints this holds is nobody's business.
    let mut shown = command.clone().term_width(100).mut_args(|argument| argument.hide_env_values(true));
    let help = shown.render_help().to_string();
    page.push_str(&format!("\n## {name}\n\n```text\n"));
    help.trim_end().lines().for_each(|line| page.push_str(&format!("{}\n", line.trim_end())));
    page.push_str("```\n");
    command.get_subcommands().filter(|command| !command.is_hide_set()).for_each(|command| add_help(command, page));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_verb_and_nothing_of_the_environment() {
        let page = markdown();
        assert!(page.contains("## sortie deploy\n") && page.contains("## sortie target invite\n"), "{page}");
        assert!(!page.contains("SORTIE_SERVER="), "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= 120));
    }

    #[test]
    fn every_verb_has_a_page() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["sortie.1", "sortie-deploy.1", "sortie-target-invite.1"] {
            assert!(names.contains(&name), "{names:?}");
        }
    }
}
