//! `sortie completions`.

use crate::{cli, failure::Outcome, invocation::Invocation, output::Answer};
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

impl Completions {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        Ok(Answer::raw(script(self.shell)))
    }
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "sortie", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_the_verbs() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).unwrap();
            assert!(script.contains("rollback") && script.contains("escapes"), "{shell}");
        }
    }
}
