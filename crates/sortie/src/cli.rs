//! The tree of verbs, and the lessons for wrong words.

use crate::{commands::Verb, context::Context, failure::Failure, invocation::Global, names::Thing, output};
use clap::{CommandFactory, FromArgMatches, Parser, error::ErrorKind};
use std::collections::BTreeMap;
use trust::charter::Charter;

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

/// Reads the arguments, with the words of the organisation in whose estate the context is. Help and the version are printed
/// at once and end the process.
pub fn read(arguments: &[String]) -> Result<Cli, Failure> {
    match translated(arguments, context_words) {
        Some(Translated { arguments, theirs, ours }) => {
            if !arguments.iter().any(|argument| argument == "--json") {
                output::aside(&format!("{theirs} is {ours} in Sortie's words"));
            }
            parse(&arguments)
        }
        None => parse(arguments),
    }
}

fn parse(arguments: &[String]) -> Result<Cli, Failure> {
    let matches = command().try_get_matches_from(arguments).map_err(|error| refuse(arguments, &error))?;
    Cli::from_arg_matches(&matches).map_err(|error| refuse(arguments, &error))
}

/// Arguments in which an organisation's word was replaced.
struct Translated {
    arguments: Vec<String>,
    theirs: String,
    ours: String,
}

/// The arguments with the verb in Sortie's words, where it is none of them and the charter has it (R55). A word of Sortie's
/// own is never another.
fn translated(arguments: &[String], words: impl Fn(Option<&str>) -> BTreeMap<String, String>) -> Option<Translated> {
    let at = verb_at(arguments)?;
    let tree = command();
    if tree.find_subcommand(&arguments[at]).is_some() {
        return None;
    }
    let named = arguments.iter().position(|argument| argument == "--context").and_then(|at| arguments.get(at + 1));
    let ours = words(named.map(String::as_str)).remove(&arguments[at])?;
    is_verb(&tree, &ours).then_some(())?;
    let mut all = arguments[..at].to_vec();
    all.extend(ours.split(' ').map(String::from));
    all.extend_from_slice(&arguments[at + 1..]);
    Some(Translated { arguments: all, theirs: arguments[at].clone(), ours })
}

/// Where the verb stands: the first argument that is neither an option nor an option's value.
fn verb_at(arguments: &[String]) -> Option<usize> {
    let with_value = ["--context", "--identity", "--server", "--on-behalf-of", "--request-id"];
    let is_value = |at: usize| with_value.contains(&arguments[at - 1].as_str());
    (1..arguments.len()).find(|at| !arguments[*at].starts_with('-') && !is_value(*at))
}

fn is_verb(tree: &clap::Command, words: &str) -> bool {
    let mut tree = tree;
    words.split(' ').all(|word| match tree.find_subcommand(word) {
        Some(verb) => {
            tree = verb;
            true
        }
        None => false,
    })
}

/// The words of the charter that was verified last in the context; none where there is no such.
fn context_words(context: Option<&str>) -> BTreeMap<String, String> {
    let named = std::env::var("SORTIE_CONTEXT").ok();
    let documents = Context::choose(None, context.or(named.as_deref())).ok().and_then(|context| context.documents());
    let charter = documents.and_then(|documents| Charter::from_bytes(&documents.charter).ok());
    charter.map(|charter| charter.words).unwrap_or_default()
}

/// Fails if a charter's words mean nothing here, or would hide a word of Sortie's own.
pub fn check_words(charter: &Charter) -> Result<(), Failure> {
    let tree = command();
    for (theirs, ours) in &charter.words {
        let mistake = match (tree.find_subcommand(theirs).is_some(), is_verb(&tree, ours)) {
            (true, _) => format!("'{theirs}' is a word of Sortie's own, and cannot mean {ours}"),
            (_, false) => format!("'{ours}', which '{theirs}' is to mean, is no command"),
            (false, true) => continue,
        };
        return Err(Failure::misused(format!("words: {mistake}")).next("sortie --help"));
    }
    Ok(())
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
        // The usage that clap adds to a mistake takes what was typed for what is needed; the verb's own says what is.
        let text = text.split("\n\nUsage: ").next().unwrap_or(text);
        // It closes the text: a blank line before it would tear the message from what is to be typed next.
        let text = text.replace("\n\n  tip: ", "\n  tip: ");
        let text = text.replace("invalid digit found in string", "a whole number is meant");
        let (verbs, mut tree) = deepest(arguments);
        let usage = tree.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").lines().next().unwrap_or_default().trim().to_string();
        Failure::misused(format!("{text}\nusage: {usage}")).next(format!("{verbs} --help"))
    })
}

/// The deepest verb that was typed, with its name in full.
fn deepest(arguments: &[String]) -> (String, clap::Command) {
    let mut tree = command();
    tree.build();
    let mut verbs = String::from("sortie");
    for word in arguments.iter().skip(1) {
        let Some(verb) = tree.find_subcommand(word).cloned() else { continue };
        verbs = format!("{verbs} {}", verb.get_name());
        tree = verb;
    }
    (verbs, tree)
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
    ("unhold", "a hold is lifted", "sortie hold lift web --in prod --reason …"),
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
    // What follows an option may be its value.
    let is_number = |word: &str| word.bytes().all(|b| b.is_ascii_digit()) && !word.is_empty();
    let number = words.windows(2).find(|pair| is_number(pair[1]) && !pair[0].starts_with('-')).map(|pair| pair[1]);
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
    fn the_usage_asks_for_what_is_needed_and_nothing_else() {
        for (line, usage) in [
            ("pause 17", "usage: sortie pause [OPTIONS] --reason <REASON> <DEPLOYMENT>"),
            ("app retire --json", "usage: sortie app retire [OPTIONS] <APP>"),
            ("rollback web --version 1.4.0", "usage: sortie rollback [OPTIONS] --to <AUDIENCE> <APP>"),
        ] {
            let message = read_line(&format!("sortie {line}")).unwrap_err().problem.message;
            assert!(message.ends_with(usage), "{message}");
        }
    }

    /// R55: what an organisation calls it.
    #[test]
    fn r55_an_organisation_s_words_are_taken() {
        let words = |_: Option<&str>| {
            let pairs = [("golive", "deploy"), ("boxes", "target list"), ("odd", "nothing"), ("deploy", "withdraw")];
            pairs.map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned())).into()
        };
        let read = |line: &str| {
            let arguments: Vec<String> = line.split_whitespace().map(String::from).collect();
            translated(&arguments, words).map(|translated| translated.arguments.join(" "))
        };
        assert_eq!(read("sortie golive web@1.0.0 --to prod").as_deref(), Some("sortie deploy web@1.0.0 --to prod"));
        assert_eq!(
            read("sortie --json --context acme boxes").as_deref(),
            Some("sortie --json --context acme target list")
        );
        for line in
            ["sortie deploy web@1.0.0 --to prod", "sortie odd", "sortie unknown", "sortie --context golive", "sortie"]
        {
            assert_eq!(read(line), None, "{line}");
        }
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
            // A number behind an option is its value, and no deployment that was meant.
            ("deploy web@1.0.0 --to prod --plan --plan-id 000000000000", "sortie deploy --help"),
        ] {
            let problem = read_line(&format!("sortie {line}")).unwrap_err().problem;
            assert_eq!(problem.next.as_deref(), Some(next));
            assert!(!problem.message.contains("\n\n"), "{}", problem.message);
        }
    }
}
