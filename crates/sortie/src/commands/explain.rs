//! `sortie explain`: what a code means and who can help.

use crate::{
    failure::{Failure, Outcome},
    invocation::Invocation,
    names,
    output::Answer,
};
use domain::refusal::{PAGES, exit};
use serde::Serialize;

/// Say what a refusal's code means, and who can help
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The code, as refusals print it: ROLE_MISSING; or an exit code: 3
    #[arg(value_name = "CODE", required_unless_present = "all")]
    pub code: Option<String>,
    /// All codes
    #[arg(long)]
    pub all: bool,
    /// All codes as the page docs/REFUSALS.md
    #[arg(long, requires = "all")]
    pub markdown: bool,
}

impl Explain {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        if self.markdown {
            return Ok(Answer::raw(markdown().into_bytes()));
        }
        match self.code {
            Some(code) if !self.all => one(&code),
            _ => {
                let all: Vec<Explained> = explained().collect();
                let exits: Vec<_> =
                    EXITS.iter().map(|(code, text)| serde_json::json!({ "exit": code, "text": text })).collect();
                Ok(Answer::new(&serde_json::json!({ "codes": all, "exits": exits }), everything()))
            }
        }
    }
}

/// The exit codes, the same in every command.
pub const EXITS: &[(u8, &str)] = &[
    (exit::DONE, "done, or so already"),
    (exit::FAILED, "failed: files, network, the server is away"),
    (exit::MISUSED, "misused: usage or vocabulary"),
    (exit::REFUSED, "refused by the charter"),
    (exit::DEPLOYMENT_FAILED, "a deployment failed, was undone, or paused because something failed or is in doubt"),
    (exit::INTEGRITY, "integrity: a digest, a signature or the ledger is not as it must be"),
    (exit::CONFLICT, "conflict: number taken, stale plan, request id reused"),
    (exit::ESCAPES, "escapes were found"),
    (exit::TIMED_OUT, "timed out while waiting; what was waited for goes on by itself"),
];

/// What the command line itself and the targets answer, beside the refusals of the domain.
const OTHERS: &[(&str, u8, &str)] = &[
    ("FAILED", exit::FAILED, "Something on this machine or on the way failed. The message says what."),
    (
        "MISUSED",
        exit::MISUSED,
        "The command was not understood, or a word means something else here: `sortie vocabulary`.",
    ),
    (
        "SERVER_AWAY",
        exit::FAILED,
        "The server cannot be reached. What runs goes on running; nothing was changed. See `sortie context`.",
    ),
    (
        "SERVER_OLDER",
        exit::FAILED,
        "The server does not know what this program asks: it is older. Put the newer program in its place first, and then in its agents'.",
    ),
    (
        "NONSENSE",
        exit::FAILED,
        "The server answered what this program does not understand. The two may be of different versions.",
    ),
    (
        "INTEGRITY",
        exit::INTEGRITY,
        "A digest, a signature or a document of trust is not as it must be. Nothing was done. Do not work around it: find out who changed it.",
    ),
    (
        "CONFIG_UNVOUCHED",
        exit::REFUSED,
        "Whoever signed the config in force may configure there no longer, after a new charter or a suspension. No target takes it, and nobody can build on it: whoever may configure there now sets the values anew with `sortie config set`.",
    ),
    (
        "UNKNOWN_PROCESS",
        exit::MISUSED,
        "No build of the application has a process of this name, nor runs anything else under it, so that nothing can have been written. The answer names those that there are.",
    ),
    (
        "PRUNE_UNDER_WAY",
        exit::CONFLICT,
        "Looking for what nothing names reads the whole ledger, and is done once at a time. Somebody is at it: try again in a moment.",
    ),
    (
        "NOTHING_TO_RETRY",
        exit::DONE,
        "No target of that deployment failed, so that there is nothing to try again. The answer names who was left out, or is unwell since.",
    ),
    ("TIMED_OUT", exit::TIMED_OUT, "The wait was over before what was waited for. It goes on by itself."),
    ("APP_NOT_ACCEPTED", exit::DEPLOYMENT_FAILED, "A target takes only the applications its invitation named."),
    (
        "CLASS_CHANGED",
        exit::DEPLOYMENT_FAILED,
        "A target pins the class of its environment when it joins. A charter that says another class does not move it: join it anew.",
    ),
    (
        "FEATURE_MISSING",
        exit::DEPLOYMENT_FAILED,
        "The charter requires what this target's agent cannot do. Upgrade the agent.",
    ),
    (
        "STALE",
        exit::DEPLOYMENT_FAILED,
        "A target has had no fresh word of the repository, so that a withdrawal may have been held back. It activates nothing new until it refreshes: see `sortie repository status` and `sortie target list`. Going back, restarting and removing are not kept waiting.",
    ),
    (
        "LEDGER_BEHIND",
        exit::DEPLOYMENT_FAILED,
        "A target has seen a later entry of the ledger than the server shows. It activates nothing new before the server has that entry again or, if the server was put back from an older copy, owners have signed a new epoch: `sortie charter epoch --reason restore`. See `sortie ledger lost`.",
    ),
    (
        "LEDGER_FORKED",
        exit::DEPLOYMENT_FAILED,
        "The ledger that the server shows a target is another than the one it has seen, where one should extend the other. It activates nothing new until owners sign a new epoch: `sortie charter epoch --reason restore` if the server was put back from an older copy. If it was not, find out who changed the ledger first: `sortie ledger verify`.",
    ),
    (
        "CLOCK_BEHIND",
        exit::DEPLOYMENT_FAILED,
        "A target's clock is before a date that the owners or the repository have signed. Set the clock, then deploy again.",
    ),
    (
        "STATEMENT_MISSING",
        exit::DEPLOYMENT_FAILED,
        "The server gave a target no signed statement for what it was to do, so the target did nothing.",
    ),
    (
        "STATEMENT_INVALID",
        exit::DEPLOYMENT_FAILED,
        "A statement that a target was given is unreadable, of another estate, about something else, or signed by nobody who may.",
    ),
    ("MANIFEST_UNFIT", exit::DEPLOYMENT_FAILED, "The manifest a target was given is not the one that was signed for."),
    (
        "CONFIG_UNFIT",
        exit::DEPLOYMENT_FAILED,
        "The config a target was given is older than what it has, unsigned, or does not fill what the build declares.",
    ),
    ("NOT_HERE", exit::DEPLOYMENT_FAILED, "A target has nothing of the kind to act on or to go back to."),
    (
        "ORDER_REPEATED",
        exit::DEPLOYMENT_FAILED,
        "A target carries out each signed order once. Whoever wants the same again gives the order anew.",
    ),
    (
        "NOT_YET",
        exit::DEPLOYMENT_FAILED,
        "The order is planned for later, and a target begins with it no earlier, whatever the server says. If that time has come, set the target's clock.",
    ),
    (
        "ORDER_OVER",
        exit::DEPLOYMENT_FAILED,
        "The order said until when it may begin, and that is over. Whoever still wants it gives the order anew.",
    ),
    (
        "ORDER_OUTDATED",
        exit::DEPLOYMENT_FAILED,
        "A target has carried out an order for this application that is more than a day newer, so it lets the older one lie: it may have been held back. Whoever still wants it gives the order anew.",
    ),
    (
        "ORDER_EXPIRED",
        exit::DEPLOYMENT_FAILED,
        "An order to stop, start, restart, configure, remove or roll back has no permit that could end, so a target begins with it within seven days or not at all. Give the order anew; if it is new, set the target's clock.",
    ),
];

#[derive(Clone, Copy, Debug, Serialize)]
struct Explained {
    code: &'static str,
    exit: u8,
    text: &'static str,
}

fn explained() -> impl Iterator<Item = Explained> {
    let pages = PAGES.iter().map(|page| Explained { code: page.code, exit: page.exit, text: page.text });
    pages.chain(OTHERS.iter().map(|&(code, exit, text)| Explained { code, exit, text }))
}

fn one(text: &str) -> Outcome {
    if let Ok(number) = text.parse::<u8>() {
        return exit_code(number);
    }
    let code = text.trim().to_ascii_uppercase().replace('-', "_");
    if let Some(found) = explained().find(|explained| explained.code == code) {
        return Ok(Answer::new(&found, in_words(found)));
    }
    let known: Vec<&str> = explained().map(|explained| explained.code).collect();
    let failure = Failure::misused(format!("no refusal has the code {}", trust::names::printable(&code)));
    Err(match names::nearest(&code, &known) {
        Some(nearest) => failure.next(format!("sortie explain {nearest}")),
        None => failure.next("sortie explain --all"),
    })
}

fn exit_code(number: u8) -> Outcome {
    let Some((_, text)) = EXITS.iter().find(|(code, _)| *code == number) else {
        return Err(Failure::misused(format!("no command exits with {number}")).next("sortie explain --all"));
    };
    let codes: Vec<&str> =
        explained().filter(|explained| explained.exit == number).map(|explained| explained.code).collect();
    let data = serde_json::json!({ "exit": number, "text": text, "codes": codes });
    Ok(Answer::new(&data, format!("exit {number}: {text}\n{}", codes.join(" ")).trim_end()))
}

fn in_words(explained: Explained) -> String {
    let means = EXITS.iter().find(|(code, _)| *code == explained.exit).map_or("", |(_, text)| text);
    format!("{}   exit {}: {means}\n{}", explained.code, explained.exit, explained.text)
}

fn everything() -> String {
    let mut lines: Vec<String> = EXITS.iter().map(|(code, text)| format!("exit {code}  {text}")).collect();
    for Explained { code, exit, text } in explained() {
        lines.push(format!("\n{code}   (exit {exit})\n  {text}"));
    }
    lines.join("\n")
}

/// The page `docs/REFUSALS.md`.
fn markdown() -> String {
    let mut page = String::from(
        "# Every no\n\nPrinted by `sortie explain --all --markdown`.\n\n## Exit codes\n\n| exit | meaning |\n| --- | --- |\n",
    );
    EXITS.iter().for_each(|(code, text)| page.push_str(&format!("| {code} | {text} |\n")));
    page.push_str("\n## Codes\n\n| code | exit | what it means, and who can help |\n| --- | --- | --- |\n");
    for Explained { code, exit, text } in explained() {
        page.push_str(&format!("| `{code}` | {exit} | {} |\n", text.replace('|', "\\|")));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_once_and_its_exit_code_too() {
        let mut codes: Vec<&str> = explained().map(|explained| explained.code).collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all, "a code stands twice");
        assert!(explained().all(|explained| EXITS.iter().any(|(exit, _)| *exit == explained.exit)));
        assert_eq!(EXITS.iter().map(|(code, _)| *code).collect::<Vec<_>>(), (0..=8).collect::<Vec<u8>>());
    }

    #[test]
    fn codes_are_found_however_they_are_typed() {
        for text in ["ROLE_MISSING", "role-missing", "3"] {
            assert!(one(text).is_ok(), "{text}");
        }
        let unknown = one("ROLE_MISING").unwrap_err().problem;
        assert_eq!((unknown.exit, unknown.next.as_deref()), (2, Some("sortie explain ROLE_MISSING")));
        assert!(one("99").is_err());
        assert!(markdown().contains("| `ROLE_MISSING` | 3 | "));
    }
}
