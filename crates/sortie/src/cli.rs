//! The tree of verbs, and the lessons for wrong words.

use crate::{commands::Verb, failure::Failure, invocation::Global, names::Thing};
use clap::{CommandFactory, FromArgMatches, Parser, error::ErrorKind};

/// Release is permission, deploy is installation, expose is who sees it. Three acts, three records, never one.
#[derive(Debug, Parser)]
#[command(name = "sortie", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 misused, 3 refused by the charter, 4 a deployment failed or \
    was undone, 5 integrity, 6 conflict, 7 escapes found, 8 timed out while waiting.")]
pub struct Cli {
    /// What every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// What is to be done.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The whole tree, for completions and manual pages.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Reads the arguments. Help and the version are printed at once and end the process.
pub fn read(arguments: &[String]) -> Result<Cli, Failure> {
    let matches = command().try_get_matches_from(arguments).map_err(|error| refuse(arguments, &error))?;
    Cli::from_arg_matches(&matches).map_err(|error| refuse(arguments, &error))
}

fn refuse(arguments: &[String], error: &clap::Error) -> Failure {
    let asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if asked {
        error.exit();
    }
    lesson(arguments).unwrap_or_else(|| {
        let text = error.render().to_string();
        let text = text.trim().trim_start_matches("error: ");
        let text = text.split("\n\nFor more information").next().unwrap_or(text);
        // The usage closes the text: a blank line before it would tear the message from what is to be typed next.
        let text = text.replace("\n\nUsage: ", "\nusage: ").replace("\n\n  tip: ", "\n  tip: ");
        Failure::misused(text).next(help(arguments))
    })
}

/// The command that explains what was typed: the help of the deepest verb that was.
fn help(arguments: &[String]) -> String {
    let mut tree = command();
    let mut verbs = String::from("sortie");
    for word in arguments.iter().skip(1) {
        let Some(verb) = tree.find_subcommand(word).cloned() else { continue };
        verbs = format!("{verbs} {}", verb.get_name());
        tree = verb;
    }
    format!("{verbs} --help")
}

/// Words that other tools use, and what they are called here.
const LESSONS: &[(&str, &str, &str)] = &[
    (
        "promote",
        "nothing moves by itself: the same bytes are released to the next audience, then deployed there",
        "sortie release web@1.4.0 --to test",
    ),
    ("drift", "what runs without permission, or is not as it should be, is an escape", "sortie escapes"),
    (
        "ship",
        "shipping is two acts: a release gives permission, a deploy installs",
        "sortie release web@1.4.0 --to prod && sortie deploy web@1.4.0 --to prod",
    ),
    ("publish", "permission for an audience is given by a release", "sortie release web@1.4.0 --to public"),
    ("tag", "a build gets its number, for good, by number", "sortie number web#3fa9c1 next"),
    ("build", "Sortie takes what your own build made", "sortie push"),
    ("upload", "bytes come in by push", "sortie push"),
    ("download", "what was released to a channel is pulled from it", "sortie pull web --from public"),
    ("fetch", "what was released to a channel is pulled from it", "sortie pull web --from public"),
    (
        "accept",
        "a release is taken over by approving it, and turned down by deny",
        "sortie approve web@1.4.0 --to test",
    ),
    ("reject", "a request is denied by name", "sortie deny web@1.4.0 --to prod --reason …"),
    ("revoke", "permission is taken back by withdraw", "sortie withdraw web@1.4.0 --from prod --reason …"),
    (
        "undo",
        "an unfinished deployment is ended by abort; a finished one is gone back from by rollback",
        "sortie rollback web --in prod",
    ),
    ("remove", "an application leaves an environment by undeploy", "sortie undeploy web --from prod"),
    ("unhold", "a hold is lifted", "sortie hold lift web --in prod"),
    ("audit", "everything that was accepted stands in the ledger", "sortie ledger verify"),
    ("log", "lines of a program are logs; what was done is history", "sortie history"),
    ("server", "the server is started by serve", "sortie serve"),
    ("node", "a machine is a target", "sortie target list"),
    ("users", "people and their keys stand in the charter", "sortie charter show"),
];

/// The lesson for a word that is not one of ours, where there is one.
fn lesson(arguments: &[String]) -> Option<Failure> {
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let verb = words.iter().find(|word| !word.starts_with('-'))?;
    if *verb == "approve" && words.contains(&"--force") {
        let message = "an approval cannot be forced: it is one person's signature. An audience may have a way with other \
            roles; the charter says which";
        return Some(Failure::misused(message).next("sortie why web@1.4.0 --in prod"));
    }
    // What is missing from `deploy 17` is not an option: it is about the wrong thing.
    let number = words.iter().find(|word| word.bytes().all(|b| b.is_ascii_digit()) && !word.is_empty());
    if let ("deploy" | "release" | "request" | "approve" | "withdraw" | "deny", Some(number)) = (*verb, number) {
        return Thing::parse(verb, number).err();
    }
    let place = words.iter().any(|word| ["--in", "--to", "--from"].contains(word));
    if *verb == "logs" && place && !words.contains(&"--on") {
        let message = "logs stand on machines: name one target; `sortie target list` shows them";
        return Some(Failure::misused(message).next("sortie logs web --on prod-1"));
    }
    let (word, message, next) = LESSONS.iter().find(|(word, _, _)| word == verb)?;
    Some(Failure::misused(format!("there is no '{word}': {message}")).next(*next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<Cli, Failure> {
        read(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_tree_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn wrong_words_get_a_lesson() {
        for (word, expected) in [
            ("promote web", "released to the next audience"),
            ("drift", "escape"),
            ("ship it", "two acts"),
            ("deploy 17", "sortie redeploy 17"),
            ("approve web@1.0.0 --to prod --force", "cannot be forced"),
            ("logs web --in prod", "one target"),
        ] {
            let failure = read_line(&format!("sortie {word}")).err().map(|failure| failure.problem);
            let problem = failure.unwrap_or_else(|| panic!("{word} was taken"));
            assert!(problem.message.contains(expected), "{}", problem.message);
            assert_eq!(problem.exit, 2);
        }
    }

    #[test]
    fn what_is_missing_ends_in_the_help_to_read() {
        for (line, next) in [
            ("deploy web@1.0.0", "sortie deploy --help"),
            ("--json target retire", "sortie target retire --help"),
            ("statsu", "sortie --help"),
        ] {
            let problem = read_line(&format!("sortie {line}")).unwrap_err().problem;
            assert_eq!(problem.next.as_deref(), Some(next));
            assert!(!problem.message.contains("\n\n"), "{}", problem.message);
        }
    }
}
