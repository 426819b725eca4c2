//! `sortie escapes`: what runs without permission, and what is not as it should be (R37).

use crate::{
    failure::Outcome,
    invocation::Invocation,
    output::{Answer, ago, count},
};
use api::{read::Escapes as View, routes};
use domain::refusal::exit;
use jiff::Timestamp;

/// What the agents do not look at, said with every answer, so that no silence is taken for a promise.
const UNSEEN: &str = "not seen: what runs outside the applications' folders and was not started by an agent; memory of \
    running programs; data folders; machines without an agent; whoever is root on a machine can have its agent say anything";

/// List what runs without permission or is not as it should be. Exits 7 when there is any
#[derive(Debug, clap::Args)]
pub struct Escapes {
    /// Let every target digest everything anew first
    #[arg(long)]
    pub scan: bool,
}

impl Escapes {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let connection = invocation.connect().await?;
        let query: &[(&str, &str)] = if self.scan { &[("scan", "true")] } else { &[] };
        let view: View = connection.client.get(routes::ESCAPES, query).await?;
        let words = in_words(&view, Timestamp::now());
        let mut data = serde_json::to_value(&view).unwrap_or_default();
        data["unseen"] = UNSEEN.into();
        let answer = Answer::new(&data, words);
        if let Some(first) = view.escapes.first() {
            return Ok(answer.exit(exit::ESCAPES).next(format!("sortie status {}", first.target)));
        }
        Ok(if self.scan { answer } else { answer.next("sortie escapes --scan") })
    }
}

fn in_words(view: &View, now: Timestamp) -> String {
    let mut lines = Vec::new();
    let width = view.escapes.iter().map(|escape| escape.target.as_str().len()).max().unwrap_or(0);
    for escape in &view.escapes {
        lines.push(format!("✗ {:<width$}  {}", escape.target.as_str(), escape.what));
    }
    let targets = count(view.scanned.len() as u64, "target");
    lines.push(match view.escapes.len() as u64 {
        0 => format!("no escapes on {targets}"),
        n => format!("{} on {targets}.   (exit {})", count(n, "escape"), exit::ESCAPES),
    });
    lines.push(freshness(view, now));
    lines.push(UNSEEN.into());
    lines.join("\n")
}

/// How old the oldest answer is, and who has not answered.
fn freshness(view: &View, now: Timestamp) -> String {
    let silent: Vec<&str> =
        view.scanned.iter().filter(|(_, when)| when.is_none()).map(|(target, _)| target.as_str()).collect();
    let oldest = view.scanned.iter().filter_map(|(target, when)| Some(((*when)?, target))).min();
    let oldest = oldest.map(|(when, target)| format!("the oldest look: {} ({target})", ago(when, now)));
    let silent = (!silent.is_empty()).then(|| format!("not looked at since the server started: {}", silent.join(", ")));
    let words: Vec<String> = oldest.into_iter().chain(silent).collect();
    if words.is_empty() { "there is no target to look at".into() } else { words.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::time;
    use api::read::Escape;

    #[test]
    fn r37_escapes_say_how_fresh_they_are_and_what_cannot_be_seen() {
        let mut view = View {
            escapes: vec![Escape {
                target: "prod-1".parse().unwrap(),
                environment: "prod".parse().unwrap(),
                what: "web/hand-copied is there, and no manifest has it".into(),
                finding: None,
            }],
            scanned: [("prod-1", Some(time("09:58:00"))), ("prod-2", Some(time("09:00:00"))), ("test-1", None)]
                .map(|(name, when)| (name.parse().unwrap(), when))
                .into(),
        };
        let words = in_words(&view, time("10:00:00"));
        assert_eq!(
            words,
            format!(
                "✗ prod-1  web/hand-copied is there, and no manifest has it\n\
                 1 escape on 3 targets.   (exit 7)\n\
                 the oldest look: 1 h ago (prod-2); not looked at since the server started: test-1\n{UNSEEN}"
            )
        );
        view.escapes.clear();
        assert!(in_words(&view, time("10:00:00")).starts_with("no escapes on 3 targets\n"));
    }
}
