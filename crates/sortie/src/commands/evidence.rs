//! `sortie evidence`.

use crate::{
    attestation::Attestation,
    failure::{Failure, Outcome},
    invocation::Invocation,
    names::Thing,
    object,
    output::Answer,
};
use api::routes;
use domain::sizes;
use jiff::Timestamp;
use quick_xml::{Reader, events::Event};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};
use trust::{
    Digest,
    evidence::MAX_DOCUMENT_BYTES,
    names::printable,
    statement::{self, Act},
};

/// Attach signed evidence to a build: test results, a scan, a bill of materials
#[derive(Debug, clap::Args)]
pub struct Evidence {
    #[command(subcommand)]
    pub act: EvidenceAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum EvidenceAct {
    /// Attach a document to a build
    Attach(Attach),
}

/// What is attached to what.
#[derive(Debug, clap::Args)]
pub struct Attach {
    /// The version or build: web@1.4.0, web#3fa9c1
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// Its type: test-result, scan, sbom, provenance or a word of your own
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: String,
    /// The document: JUnit XML, whose results are counted; an in-toto statement, bare or in its envelope; any JSON, whose
    /// whole numbers gates may compare; or anything else
    #[arg(long)]
    pub file: PathBuf,
    /// The predicate type of the document, where it does not say so itself
    #[arg(long, value_name = "TYPE")]
    pub predicate: Option<String>,
    /// It says that all is well
    #[arg(long, conflicts_with = "failed")]
    pub passed: bool,
    /// It says that something is wrong
    #[arg(long)]
    pub failed: bool,
    /// What it says, in a line
    #[arg(long, value_name = "TEXT")]
    pub summary: Option<String>,
}

/// What a report of tests says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Results {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Evidence {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let EvidenceAct::Attach(attach) = self.act;
        attach.run(invocation).await
    }
}

impl Attach {
    async fn run(self, invocation: &Invocation) -> Outcome {
        let thing = Thing::parse_build("attach evidence to", &self.what)?;
        let cannot = |error: std::io::Error| Failure::misused(format!("cannot read {}: {error}", self.file.display()));
        if fs::metadata(&self.file).map_err(cannot)?.len() > MAX_DOCUMENT_BYTES {
            let most = sizes::length(MAX_DOCUMENT_BYTES);
            return Err(Failure::misused(format!("{} is longer than {most}", self.file.display())));
        }
        let document = fs::read(&self.file).map_err(cannot)?;
        let connection = invocation.connect().await?;
        let charter = &connection.policy.charter;
        let gates = charter.audience_names().filter_map(|name| charter.audience(name)?.evidence.get(&self.kind));
        let wanted: BTreeSet<&str> = gates.flat_map(|gate| gate.pass.names()).collect();
        let attestation = Attestation::read(&document, &wanted).unwrap_or_default();
        let (passed, summary, facts) = self.verdict(&document, &attestation)?;
        let (found, _) = connection.find(&thing, None).await?;
        if attestation.predicate.is_some() {
            attestation.check_subject(&found.build, &object::manifest(&connection, &found.build).await?)?;
        }
        let digest = Digest::of(&document);
        let path = routes::path(routes::OBJECT, &[&digest.to_string()]);
        let request = connection.client.request(reqwest::Method::PUT, &path).body(document);
        connection.client.stream(request).await?;
        let act = Act::Evidence(statement::Evidence {
            app: found.app.clone(),
            kind: self.kind.clone(),
            passed,
            summary: summary.clone(),
            document: digest,
            predicate: attestation.predicate.or(self.predicate),
            facts,
            issued: Some(Timestamp::now()),
        });
        let accepted = connection.submit(&found.name(), found.build, act).await?;
        let mark = if passed { "✓" } else { "✗" };
        let kind = printable(&self.kind);
        let words = format!("{kind} {mark} {summary} is attached to {}. It grants nothing by itself.", found.name());
        Ok(Answer::new(&accepted, words))
    }

    /// Whether the evidence is good, and what it says: by its author's word, or counted.
    fn verdict(
        &self,
        document: &[u8],
        attestation: &Attestation,
    ) -> Result<(bool, String, BTreeMap<String, i64>), Failure> {
        if let (Some(said), Some(own)) = (&self.predicate, &attestation.predicate)
            && said != own
        {
            let own = printable(own);
            return Err(Failure::misused(format!(
                "the document is of predicate type {own}: --predicate contradicts it"
            )));
        }
        let results = junit(document);
        let said = match (self.passed, self.failed) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        let counted = results.map(|results| results.failed == 0 && results.passed > 0);
        let counted = counted.or(attestation.result);
        if said == Some(true) && counted == Some(false) {
            return Err(Failure::misused(
                "the report says that something failed, or that nothing ran: --passed contradicts it",
            ));
        }
        let passed = said.or(counted).ok_or_else(|| {
            let file = self.file.display();
            Failure::misused(format!(
                "{file} is no JUnit XML and has no verdict of its own, so say what it means: --passed or --failed"
            ))
        })?;
        let name = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let summary = self.summary.clone().or(results.map(|results| results.in_words())).unwrap_or(name);
        let counts = |results: Results| {
            let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            let Results { passed, failed, skipped } = results;
            [("passed", passed), ("failed", failed), ("skipped", skipped)]
                .map(|(name, n)| (name.to_string(), count(n)))
                .into()
        };
        let facts = results.map_or_else(|| attestation.facts.clone(), counts);
        Ok((passed, printable(&summary.chars().take(200).collect::<String>()), facts))
    }
}

impl Results {
    /// `812/812`, `810/812, 3 skipped`.
    fn in_words(self) -> String {
        let counted = format!("{}/{}", self.passed, self.passed + self.failed);
        if self.skipped > 0 { format!("{counted}, {} skipped", self.skipped) } else { counted }
    }
}

/// Counts the cases of a JUnit report; nothing where the document is none. The cases are counted, not the totals that
/// the report claims.
fn junit(document: &[u8]) -> Option<Results> {
    let mut reader = Reader::from_reader(document);
    let mut buffer = Vec::new();
    let mut results = Results::default();
    let mut is_junit = false;
    // How the case that is being read ended so far.
    let mut open: Option<(bool, bool)> = None;
    let mut depth = 0_u64;
    loop {
        let event = reader.read_event_into(&mut buffer).ok()?;
        match &event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.checked_sub(1)?,
            _ => {}
        }
        match event {
            Event::Start(tag) => match tag.local_name().as_ref() {
                "testsuites" | "testsuite" => is_junit = true,
                "testcase" => open = Some((false, false)),
                name => mark(&mut open, name),
            },
            Event::Empty(tag) => match tag.local_name().as_ref() {
                "testsuites" | "testsuite" => is_junit = true,
                "testcase" => results.passed += 1,
                name => mark(&mut open, name),
            },
            Event::End(tag) if tag.local_name().as_ref() == "testcase" => match open.take() {
                Some((true, _)) => results.failed += 1,
                Some((false, true)) => results.skipped += 1,
                _ => results.passed += 1,
            },
            // A report that was cut short says nothing.
            Event::Eof => return (is_junit && depth == 0).then_some(results),
            _ => {}
        }
        buffer.clear();
    }
}

fn mark(open: &mut Option<(bool, bool)>, name: &str) {
    if let Some((failed, skipped)) = open {
        *failed |= matches!(name, "failure" | "error");
        *skipped |= name == "skipped";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attach(passed: bool, failed: bool) -> Attach {
        let (what, kind, file) = ("web@1.0.0".into(), "test-result".into(), "report.xml".into());
        Attach { what, kind, file, passed, failed, summary: None, predicate: None }
    }

    #[test]
    fn r33_results_are_counted_from_the_cases() {
        let report = br#"<?xml version="1.0"?><testsuites tests="99"><testsuite name="a">
            <testcase name="1"/><testcase name="2"><system-out>x</system-out></testcase>
            <testcase name="3"><failure message="no">why</failure></testcase>
            <testcase name="4"><skipped/></testcase><testcase name="5"><error/></testcase></testsuite></testsuites>"#;
        let results = junit(report).unwrap();
        assert_eq!(results, Results { passed: 2, failed: 2, skipped: 1 });
        assert_eq!(results.in_words(), "2/4, 1 skipped");
        let none = Attestation::default();
        let (passed, summary, facts) = attach(false, false).verdict(report, &none).unwrap();
        assert_eq!((passed, summary.as_str(), facts["failed"]), (false, "2/4, 1 skipped", 2));
        assert!(attach(true, false).verdict(report, &none).is_err(), "a report is not talked out of its failures");
    }

    #[test]
    fn r33_what_is_no_report_needs_a_verdict() {
        for other in [&b"{}"[..], b"<html><body/></html>", b"<testsuite><testcase>", b""] {
            assert!(
                attach(false, false).verdict(other, &Attestation::default()).is_err(),
                "{}",
                String::from_utf8_lossy(other)
            );
        }
        let said = |attach: Attach, document: &[u8]| attach.verdict(document, &Attestation::default()).unwrap();
        assert_eq!(said(attach(true, false), b"{}").1, "report.xml");
        assert!(!said(attach(false, false), b"<testsuite/>").0);
    }
}
