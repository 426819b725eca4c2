//! What is printed: people's words or one JSON document, failures on standard error, nothing that drives a terminal.

use crate::{
    failure::{Failure, Outcome},
    moment,
};
use api::{problem::Problem, read::Maker};
use domain::refusal::exit;
use jiff::tz::TimeZone;
use owo_colors::OwoColorize;
use serde::Serialize;
use serde_json::Value;
use std::{fmt::Write, process::ExitCode};
use trust::{PersonName, VendorName, names::printable};

/// What a command that did its work says.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    json: Value,
    words: String,
    next: Option<String>,
    exit: u8,
    is_verbatim: bool,
    raw: Option<Vec<u8>>,
}

impl Answer {
    /// The result as data and in words. Words may have several lines; every line is made printable.
    pub fn new(data: &impl Serialize, words: impl Into<String>) -> Self {
        Self { json: serde_json::to_value(data).unwrap_or_default(), words: words.into(), ..Self::default() }
    }

    /// Bytes that go to standard output as they are: a file made here, which a terminal need not be saved from.
    pub fn raw(bytes: Vec<u8>) -> Self {
        Self { raw: Some(bytes), ..Self::default() }
    }

    /// With what was done before.
    pub fn after(mut self, done: &str) -> Self {
        self.words.insert_str(0, done);
        self
    }

    /// With the next command to type.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// What it says in words.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// With one more thing in its data.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if let Value::Object(fields) = &mut self.json {
            fields.insert(name.into(), value.into());
        }
        self
    }

    /// With its words just as they are: a document, whose moments are nobody's to rewrite.
    pub fn verbatim(mut self) -> Self {
        self.is_verbatim = true;
        self
    }

    /// Whether what was asked for has come to pass.
    pub fn is_good(&self) -> bool {
        self.exit == exit::DONE
    }

    /// With an exit code of its own, where the work was done and its result is bad news.
    pub fn exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }
}

/// Prints how a command ended and gives the process's exit code.
pub fn finish(outcome: Outcome, json: bool) -> ExitCode {
    match outcome {
        Ok(answer) => {
            print_answer(&answer, json);
            ExitCode::from(answer.exit)
        }
        Err(failure) => {
            print_failure(&failure.problem, json);
            ExitCode::from(failure.problem.exit)
        }
    }
}

fn print_answer(answer: &Answer, json: bool) {
    if let Some(raw) = &answer.raw {
        // A reader that went away has read what it wanted.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), raw);
        return;
    }
    if json {
        let mut document = match &answer.json {
            Value::Object(map) => map.clone(),
            Value::Null => serde_json::Map::new(),
            other => serde_json::Map::from_iter([("result".to_string(), other.clone())]),
        };
        if let Some(next) = &answer.next {
            document.entry("next").or_insert_with(|| Value::from(next.as_str()));
        }
        return print_json(&Value::Object(document));
    }
    match answer.is_verbatim {
        _ if answer.words.is_empty() => {}
        true => verbatim(&answer.words),
        false => line(&answer.words),
    }
    if let Some(next) = &answer.next {
        line(&format!("next: {next}"));
    }
}

fn print_failure(problem: &Problem, json: bool) {
    if json {
        return print_json(&serde_json::to_value(problem).unwrap_or_default());
    }
    let text = failure_in_words(problem);
    match problem.exit {
        exit::DONE => anstream::println!("{}", paint(&text)),
        _ => anstream::eprintln!("{}", paint(&text)),
    }
}

/// `refused CODE: message.   (exit 3)`, and what to type next.
fn failure_in_words(problem: &Problem) -> String {
    let word = match problem.exit {
        exit::DONE => "already so",
        exit::MISUSED => "misused",
        exit::REFUSED => "refused",
        exit::INTEGRITY => "not genuine",
        exit::CONFLICT => "conflict",
        exit::TIMED_OUT => "timed out",
        _ => "failed",
    };
    let code = match problem.code.as_str() {
        "FAILED" | "MISUSED" | "TIMED_OUT" | "ALREADY_DONE" => String::new(),
        code => format!(" {}", printable(code)),
    };
    let message = moment::on_the_wall(problem.message.trim_end(), &TimeZone::system());
    let stop = if message.ends_with(['.', '?', '!', '"']) || message.contains('\n') { "" } else { "." };
    let mut text = format!("{word}{code}: {}{stop}", lines_printable(&message));
    if problem.exit != exit::DONE {
        let _ = write!(text, "   (exit {})", problem.exit);
    }
    if let Some(next) = &problem.next {
        let _ = write!(text, "\nnext: {}", printable(next));
    }
    text
}

fn print_json(document: &Value) {
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    anstream::println!("{text}");
}

/// Prints lines to standard output, made printable and coloured where the terminal takes it.
pub fn line(text: &str) {
    anstream::println!("{}", paint(&told(text)));
}

/// Prints lines to standard error.
pub fn aside(text: &str) {
    anstream::eprintln!("{}", paint(&told(text)));
}

/// Prints lines of others to standard output, made printable: what a program wrote, or a document.
pub fn verbatim(text: &str) {
    anstream::println!("{}", lines_printable(text));
}

/// Lines as people read them: printable, and with moments by the clock on their wall. A command to type stays as it is.
fn told(text: &str) -> String {
    let zone = TimeZone::system();
    let line = |line: &str| match line.starts_with("next: ") {
        true => printable(line),
        false => moment::on_the_wall(&printable(line), &zone),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Replaces control characters in every line and keeps the line breaks.
pub fn lines_printable(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// Colours the few marks that carry a verdict. Whether colour reaches the terminal is anstream's business (NO_COLOR).
fn paint(text: &str) -> String {
    let paint_line = |line: &str| {
        let line = line.replace('✓', &"✓".green().to_string()).replace('✗', &"✗".red().to_string());
        for word in ["refused", "failed", "not genuine", "conflict", "timed out", "misused"] {
            if let Some(rest) = line.strip_prefix(word)
                && rest.starts_with([':', ' '])
            {
                return format!("{}{rest}", word.red().bold());
            }
        }
        match line.strip_prefix("next: ") {
            Some(command) => format!("{} {}", "next:".dimmed(), command.bold()),
            None => line,
        }
    };
    text.split('\n').map(paint_line).collect::<Vec<_>>().join("\n")
}

/// `1 file`, `2 files`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// How long ago a moment was, as people say it: `2 h ago`.
pub fn ago(then: jiff::Timestamp, now: jiff::Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..=59 => "just now".into(),
        60..=3599 => format!("{} min ago", seconds / 60),
        3600..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// A length of time as people say it: `59 minutes`, `3 days`.
pub fn lasting(seconds: i64) -> String {
    let seconds = seconds.max(0).unsigned_abs();
    match seconds {
        0..=119 => count(seconds, "second"),
        120..=7199 => count(seconds / 60, "minute"),
        7200..=172_799 => count(seconds / 3600, "hour"),
        _ => count(seconds / 86_400, "day"),
    }
}

impl Failure {
    /// Prints the failure and gives its exit code, where there is no runtime yet.
    pub fn finish(self, json: bool) -> ExitCode {
        finish(Err(self), json)
    }
}

/// `pushed by ci`, or `made by acme, brought by oncall`.
pub fn origin(pusher: &PersonName, vendor: Option<&VendorName>) -> String {
    match vendor {
        Some(vendor) => format!("made by {vendor}, brought by {pusher}"),
        None => format!("pushed by {pusher}"),
    }
}

/// `linux-arm64 by lin; linux-amd64, macos by ci`; nothing where it was made in one.
pub fn makers(makers: &[Maker]) -> Option<String> {
    let of = |maker: &Maker| match maker.parts.is_empty() {
        true => format!("parts by {}", maker.person),
        false => format!("{} by {}", maker.parts.join(", "), maker.person),
    };
    (!makers.is_empty()).then(|| makers.iter().map(of).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_code_reason_exit_and_next() {
        let failure = Failure::new("CONFIG_MISSING", 3, "DATABASE_URL has no value in dev\u{1b}[2J").next("sortie x");
        let words = failure_in_words(&failure.problem);
        assert_eq!(
            words,
            "refused CONFIG_MISSING: DATABASE_URL has no value in dev\u{FFFD}[2J.   (exit 3)\nnext: sortie x"
        );
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([count(1, "file"), count(2, "file")], ["1 file", "2 files"]);
    }
}
