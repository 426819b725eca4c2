//! `sortie vocabulary`: the words, one word for one thing. `docs/GLOSSARY.md` is printed from the same table.

use crate::{
    commands::explain::EXITS,
    failure::{Failure, Outcome},
    invocation::Invocation,
    names,
    output::Answer,
};
use serde::Serialize;

/// Print the words and what they mean
#[derive(Debug, clap::Args)]
pub struct Vocabulary {
    /// One word only
    #[arg(value_name = "WORD")]
    pub word: Option<String>,
    /// As the page docs/GLOSSARY.md
    #[arg(long, conflicts_with = "word")]
    pub markdown: bool,
}

impl Vocabulary {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        if self.markdown {
            return Ok(Answer::raw(markdown().into_bytes()));
        }
        match self.word.as_deref() {
            Some(word) => one(word),
            None => Ok(Answer::new(&serde_json::json!({ "words": WORDS }), in_words(WORDS))),
        }
    }
}

/// One entry: words that belong together, the first one leading, and what they mean.
#[derive(Clone, Copy, Debug, Serialize)]
struct Word {
    words: &'static [&'static str],
    meaning: &'static str,
}

macro_rules! words {
    ($([$($word:literal),+] $meaning:literal;)*) => {
        /// The words, in the order in which they are met: what is shipped, who may have it, where it runs, who sees it.
        const WORDS: &[Word] = &[$(Word { words: &[$($word),+], meaning: $meaning }),*];
    };
}

words! {
    ["application", "app"] "What is shipped: one name, one line of versions, one or more processes. The first push creates it. Names are for ever.";
    ["part", "draft", "seal"] "What one job adds to a build that several make. A draft is such a build until somebody seals it, or discards its parts.";
    ["package", "member"] "An application whose build lists versions of others, its members: one request, one set of approvals, one order. They are deployed in the order of what comes after what, go back together when one fails, and are rolled back together.";
    ["build", "push"] "Identified bytes: the digest of a manifest that lists every file with its digest and says how to run them, with the commit and recipe it came from, signed by whoever pushed it. It never changes. Written web#3fa9c1.";
    ["version", "number"] "The number given once to one build, for good: web@1.4.0. Numbers increase within a release line, so 1.4.1 may follow 1.5.0.";
    ["server"] "The program that keeps ledger and depot and answers people and agents. It orders, tells and says what is fresh; it grants nothing.";
    ["witness"] "A program on another machine that signs the repository's timestamp beside the server, once owners have named it in root. It signs nothing that hides a withdrawal it ever heard of, takes withdrawals directly, and is a mirror.";
    ["epoch", "lost"] "A count of restores and evictions, signed by owners in the charter. A new one counts generations, checkpoints and online versions anew, and never withdrawals, floors or the charter's version. What a restore lost is listed.";
    ["recovery key", "recovery", "put away"] "A key that may name new owners and nothing else, for when the owners have lost theirs. Everyone is reminded of it until an owner records that it is put away.";
    ["manifest"] "The list of a build's files and links with their digests, and the whole specification of how it runs. Its digest is the build's name.";
    ["recipe", "reproduce"] "The command that makes a build's files from its commit. To reproduce is to run it again and compare every byte.";
    ["prune", "pruned"] "To let the bytes of builds go that nothing needs: never of what runs, of what can be rolled back to, or of what holds permission. Names, numbers, manifests and all history stay. Objects that nothing names go too, a day after somebody brought them.";
    ["evidence"] "A signed statement about one build's digest: tests passed, a scan, a bill of materials. A gate may ask for it; it never grants by itself.";
    ["audience"] "Who a version may be made available to: an environment (machines) or a channel (people who install for themselves).";
    ["environment", "class"] "Machines that are trusted alike: a boundary of trust, of class dev, test or live. A region is only a label.";
    ["customer", "pull", "delivery"] "An outsider whom the charter lets read a channel: they pull what was released to it, and can do nothing else. To whom a version was handed is written down: that is its delivery, and it cannot be recalled.";
    ["channel"] "People who download and install for themselves: beta, public, one customer. It has no machines to deploy to.";
    ["request"] "Somebody's signed wish that a version be released to an audience, counted by a serial.";
    ["approval", "approve"] "One person's signature under a request. Roles are counted over distinct people, and one person fills one role.";
    ["permit", "permission"] "A request with every approval it needs: the signed permission to activate a version. The last approval that was missing is the release.";
    ["vendor", "import"] "Another estate, whose releases a receiving network takes in and affirms by its own people: the charter pins it, and the audience of it that we are. To import is to bring a release of it into the ledger and the depot; nothing is installed by that.";
    ["release"] "As an act: to give an audience permission over a version. It installs nothing. As a thing: a version that has, or had, a permit.";
    ["withdraw", "deny", "annul"] "To take permission back, for ever, up to a serial. Anyone with a role the audience asks for may do it alone. Denying is withdrawing a request that was not granted yet. What runs goes on running. Owners alone may annul a withdrawal, by its digest in the charter: what it took lives again.";
    ["way", "hotfix", "break-glass", "emergency"] "A rule by which an audience may be released to: the normal one, and for emergencies hotfix and break-glass where the charter has them, each with its own roles, the gates it waives, a longest life and the targets it reaches.";
    ["review"] "To look at an emergency release one had no part in, and to say what one found. Until somebody does, it is an alarm everywhere.";
    ["floor"] "The lowest version that an audience may still activate. It travels in permits.";
    ["supersede", "skipped"] "A version is superseded when a later one is released to the same audience, and skipped when a later one was deployed without it.";
    ["deploy", "order"] "To install, configure, activate and verify a build on targets. It needs a permit AND a deployer's signed order. A dev environment may take builds that were never released.";
    ["deployment"] "The record of one such act, with its number and how it ended.";
    ["config"] "Values that an environment gives to the keys a build declares: signed, and secrets encrypted to the targets. Setting them changes nothing that runs.";
    ["target"] "One machine, by its agent, in one environment. Its labels are given by people, never claimed by the machine. It may be cordoned (new deployments stay away), drained (and what runs there stopped) and retired.";
    ["lives", "lapsed", "gone"] "How long the targets of a throw-away environment live, by the charter: then each removes everything on it, data too, says so, and has lapsed. When the last has left, the environment is gone: history alone tells of it.";
    ["ephemeral", "vanished"] "A target that comes and goes. No deployment counts on it, and once nothing was heard of it for a while it has vanished: it left for good.";
    ["agent"] "The program on a target that checks every signature itself, and refuses what was not released there, whatever the server says.";
    ["assignment"] "What a target should run: numbered, holding nothing but digests.";
    ["report"] "What a target says it observed, signed with the target's own key.";
    ["step"] "The members of a package that begin together: everything that they come after is done.";
    ["wave"] "The targets of a deployment that change together. The next wave waits until the last one is well.";
    ["ring", "canary", "bake"] "Targets that have their turn before others: by a label, or a few canaries before everyone. A ring may change in several waves; then it bakes, and the next begins by itself or by somebody's word.";
    ["rollout", "hasten"] "How a deployment goes over the targets of an environment: the charter says it, and an order may ask for more care. Less is for those whom the charter lets hasten.";
    ["staged"] "Copied to a target and not activated there: it is laid out beside what runs, and is not deployed.";
    ["absent"] "A target of which nothing was heard in time. It is left out where the charter allows some to be missing, and catches up when it returns.";
    ["pause", "resume", "exclude", "retry"] "To guide a deployment under way: no further target begins, it goes on, one target is left out, some try again. Each stands in the history with its reason.";
    ["undo", "abort"] "Within one unfinished deployment: back to what ran when it began, by itself, or because somebody aborts it.";
    ["rollback"] "A command: back to what last settled, under a permit that nobody withdrew since.";
    ["sides", "switch"] "Blue and green across hosts: by a label the targets of an environment are of two sides, of which one serves. What is deployed stands by on the other, verified and seen by nobody, until an order to switch lets it serve; what served stands by from then on.";
    ["away"] "A machine that nobody has heard of for a while: what begins goes on without it and comes to it once it is back, and what it runs is known by its last word only.";
    ["redeploy"] "A new deployment of a version that was superseded or has failed, and still has its permit.";
    ["undeploy"] "To remove an application from an environment, or all of them where nobody is served. Their data folders stay.";
    ["start", "stop", "restart"] "Orders about what runs already. They bring nothing new.";
    ["facts"] "What a machine says of itself when it joins, and again when its agent starts and that has changed: system, architecture, kernel, memory, and the agent's version. Whatever changes by the hour (free memory, ports, services) it looks at itself, before a byte moves.";
    ["health", "unwell"] "How what runs is, by its target's own word: what no longer answers as it did when it was verified is unwell.";
    ["settled", "soak"] "A deployment that stayed healthy for its soak time is settled.";
    ["hold"] "A build that failed, was undone or was rolled back is kept out of that environment until somebody lifts the hold.";
    ["notes"] "What changed from version to version, by the first lines of their commits.";
    ["calendar"] "What is planned, what begins and ends, and what of it will not come true as it stands.";
    ["freeze", "except"] "A time in which nothing new is activated in an environment, declared and lifted by whom the charter names. Undo, rollback, stop and restart go on. A version may be excepted. Targets keep freezes themselves.";
    ["window"] "When something new may be activated in an environment, by the clock on a wall: what comes at another time waits, or is refused.";
    ["expose", "conceal", "exposure"] "To let end users reach a version that is deployed and verified: none, some, or all of them. The third act, which neither a release nor a deployment implies.";
    ["escape", "escapes"] "What runs somewhere without permission, or is not as it should be: a hand-copied file, a withdrawn version, a changed byte.";
    ["charter"] "The signed policy: people and keys, roles, robots, audiences, rules. Owners sign it.";
    ["owner"] "Someone whose key is in the root of trust. Owners sign the charter, and nobody else can.";
    ["handle", "erase"] "A person's short name in the charter and the ledger, which stays for ever: p7. Who that is, and every free text a person wrote, stands in a side table and can be erased; every signature and proof stays whole.";
    ["person", "robot", "role"] "Who acts, by keys of their own. A role is what the charter lets them do. A robot never counts as a person.";
    ["estate", "root"] "One installation: everything under one root of trust, and named by the digest of its first root.";
    ["ledger", "history", "trace"] "The append-only record of everything that was accepted, one entry a command, under a Merkle tree that anyone can check. History lists it; trace follows one commit through it.";
    ["checkpoint"] "The ledger's size and root, signed by the server, so that it cannot tell two histories.";
    ["repository", "mirror"] "What the server publishes for targets, as files of The Update Framework: roots, charter, live permits and withdrawals, with a date that says how fresh they are. A mirror is a copy of it on any web server.";
    ["depot"] "The store of everything that may ever be deployed, by digest. Deploying reads from nowhere else.";
    ["status", "why"] "Three questions with three answers: may it run there, does it run there, who sees it.";
    ["logs"] "The lines that an application's processes wrote on a target.";
    ["context", "login", "logout", "whoami"] "Which server and estate a command means, pinned on this machine, and who you are there.";
    ["token"] "A secret by which a dashboard or a scraper reads as its holder does, and does nothing else, until it expires or is revoked.";
    ["init"] "Writes sortie.toml, the file beside the code that says what to ship and how it runs.";
    ["bundle"] "A released version with everything it needs, in files that are carried to where no network reaches.";
    ["receipt"] "What a target behind an air gap did with a bundle, signed by it and carried back.";
    ["serve"] "Runs the server.";
    ["backup", "restore"] "A server in one file: ledger, depot and sealed keys, taken while it serves. Restored, it knows nothing of what came after, so owners sign a new epoch.";
    ["notify", "notification", "hook"] "What happened, told to other people's systems: a signed message to each hook that the server's operator names. It is tried for a day, and nothing waits for it.";
    ["explain", "vocabulary", "completions", "man"] "Help: what a refusal's code means, these words, the shell's completions, the manual pages.";
}

/// Words that other tools use, and what they are called here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("promote", "release to the next audience, then deploy there"),
    ("ship", "release, then deploy: two acts"),
    ("drift", "escape"),
    (
        "approve --force",
        "nothing: an approval is one person's signature. A way with other roles may stand in the charter",
    ),
    ("environment variable", "config"),
    ("node, host, server", "target"),
    ("artifact, image", "build"),
    ("go live, roll out to users", "expose"),
    ("publish", "release to a channel"),
    ("pin, block", "hold"),
];

fn one(text: &str) -> Outcome {
    let wanted = text.to_lowercase();
    if let Some(word) = WORDS.iter().find(|word| word.words.contains(&wanted.as_str())) {
        return Ok(Answer::new(word, in_words(&[*word])));
    }
    if let Some((_, here)) = ELSEWHERE.iter().find(|(theirs, _)| theirs.split(", ").any(|word| word == wanted)) {
        return Ok(Answer::new(
            &serde_json::json!({ "word": wanted, "here": here }),
            format!("{wanted}  here: {here}"),
        ));
    }
    let known: Vec<&str> = WORDS.iter().flat_map(|word| word.words).copied().collect();
    let failure = Failure::misused(format!("'{}' is none of the words", trust::names::printable(text)));
    Err(match names::nearest(&wanted, &known) {
        Some(nearest) => failure.next(format!("sortie vocabulary {nearest}")),
        None => failure.next("sortie vocabulary"),
    })
}

fn heading(word: &Word) -> String {
    word.words.join(", ")
}

/// Each entry with its meaning beside it, folded to 100 columns.
fn in_words(words: &[Word]) -> String {
    let width = words.iter().map(|word| heading(word).len()).max().unwrap_or(0).min(24);
    let mut lines = Vec::new();
    for word in words {
        let heading = heading(word);
        let mut folded = fold(word.meaning, 98 - width).into_iter();
        if heading.len() > width {
            lines.push(heading);
        } else {
            lines.push(format!("{heading:<width$}  {}", folded.next().unwrap_or_default()));
        }
        lines.extend(folded.map(|line| format!("{:<width$}  {line}", "")));
    }
    lines.join("\n")
}

fn fold(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

/// The page `docs/GLOSSARY.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Glossary\n\n\
         Printed by `sortie vocabulary --markdown`. One word for one thing: code, command line, API, pages and documents\n\
         use exactly these.\n\n| word | meaning |\n| --- | --- |\n",
    );
    let escaped = |text: &str| text.replace('|', "\\|");
    for word in WORDS {
        page.push_str(&format!("| {} | {} |\n", heading(word), escaped(word.meaning)));
    }
    page.push_str("\n## Words used elsewhere\n\n| elsewhere | here |\n| --- | --- |\n");
    for (theirs, here) in ELSEWHERE {
        page.push_str(&format!("| {} | {} |\n", escaped(theirs), escaped(here)));
    }
    page.push_str(
        "\nAn organisation may have commands under words of its own: in the charter, `[words]` with `golive = \"deploy\"`. Whoever\n\
         types `sortie golive web@1.4.0 --to prod` is told that it is `deploy` here; what is signed and recorded holds Sortie's\n\
         words alone.\n",
    );
    page.push_str("\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n");
    for (code, meaning) in EXITS {
        page.push_str(&format!("| {code} | {meaning} |\n"));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
    use std::collections::BTreeSet;

    fn known() -> BTreeSet<&'static str> {
        WORDS.iter().flat_map(|word| word.words).copied().collect()
    }

    #[test]
    fn r55_every_command_stands_in_the_glossary() {
        let known = known();
        let commands = cli::command();
        let missing: Vec<&str> =
            commands.get_subcommands().map(clap::Command::get_name).filter(|name| !known.contains(name)).collect();
        assert!(missing.is_empty(), "commands without a glossary entry: {missing:?}");
    }

    #[test]
    fn r55_every_event_s_noun_stands_in_the_glossary() {
        let nouns: BTreeSet<&str> =
            domain::event::Event::NAMES.iter().filter_map(|name| name.split('-').next()).collect();
        assert!(nouns.contains("permit") && nouns.contains("wave"), "{nouns:?}");
        let known = known();
        let missing: Vec<&&str> = nouns.iter().filter(|noun| !known.contains(**noun)).collect();
        assert!(missing.is_empty(), "events without a glossary entry: {missing:?}");
    }

    #[test]
    fn no_word_has_two_meanings() {
        let all: Vec<&str> = WORDS.iter().flat_map(|word| word.words).copied().collect();
        assert_eq!(all.len(), known().len());
    }

    #[test]
    fn words_of_others_are_translated() {
        assert!(one("permit").is_ok() && one("Drift").is_ok() && one("node").is_ok());
        assert_eq!(one("permt").unwrap_err().problem.next.as_deref(), Some("sortie vocabulary permit"));
        assert!(in_words(WORDS).lines().all(|line| line.chars().count() <= 100));
        assert!(markdown().contains("| permit, permission | "));
    }
}
