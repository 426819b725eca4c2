//! Programs that `sortie.toml` names as files of the build: one that is not among them could never be run, which is said when the
//! build is pushed and not on a machine.

use super::{
    Field, Parsed, ProjectError,
    fields::{Fields, Source},
    read_command,
};
use trust::{
    links::is_within,
    manifest::{Entry, check_path},
};

/// Where the text of a `sortie.toml`, which has been read, names a program below the working folder that is not among the files
/// of the build; nothing where all are there, or may come to be there.
pub fn missing_program(text: &str, file: &str, entries: &[Entry], data: &[String]) -> Parsed<()> {
    let source = Source { file, text };
    let Ok(document) = toml::de::DeTable::parse(text) else { return Ok(()) };
    let top = Fields::new(source, document.get_ref(), "");
    match commands(top)?.iter().find_map(|field| missing(field, entries, data)) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Every field that is a command.
fn commands(mut top: Fields<'_>) -> Parsed<Vec<Field<'_>>> {
    let mut found = Vec::new();
    for process in top.take("process").map_or(Ok(Vec::new()), |field| Ok(field.table("process")?.take_all()))? {
        let mut fields = process.table(&format!("process {}", process.name))?;
        found.extend(fields.take("run"));
        if let Some(health) = fields.take("health") {
            found.extend(health.table(&format!("health of process {}", process.name))?.take("command"));
        }
    }
    for verification in top.take("verify").map_or(Ok(Vec::new()), |field| Ok(field.table("verify")?.take_all()))? {
        found.extend(verification.table(&format!("verify {}", verification.name))?.take("command"));
    }
    for (name, inside) in [("smoke", ["run", "run"]), ("migrate", ["run", "undo"]), ("traffic", ["drain", "back"])] {
        if let Some(field) = top.take(name) {
            let mut fields = field.table(name)?;
            found.extend(inside.into_iter().filter_map(|word| fields.take(word)));
        }
    }
    Ok(found)
}

fn missing(field: &Field<'_>, entries: &[Entry], data: &[String]) -> Option<ProjectError> {
    let program = read_command(field).ok()?.into_iter().next()?;
    let mut path = program.as_str();
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    // What has no slash is looked for where the system keeps programs; what begins with one is the machine's own.
    if !program.contains('/') || program.contains('$') || check_path(path).is_err() {
        return None;
    }
    let leads_there = |entry: &Entry| match entry {
        Entry::Link { path: link, .. } => is_within(path, link),
        other => other.path() == path,
    };
    let is_there = entries.iter().any(leads_there) || data.iter().any(|folder| is_within(path, folder));
    (!is_there).then(|| {
        field.error(format!("{} runs {program}, and no such file is among those that are pushed", field.said()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::Digest;

    fn said(text: &str) -> Option<String> {
        let file = |path: &str| Entry::File { path: path.into(), size: 1, digest: Digest::of(b"x"), executable: true };
        let entries = [file("web"), file("bin/smoke"), Entry::Link { path: "current".into(), target: "bin".into() }];
        let complaint = missing_program(text, "sortie.toml", &entries, &["plugins".into()]);
        complaint.err().map(|error| error.to_string())
    }

    #[test]
    fn a_program_that_is_not_among_the_files_is_told_with_its_line() {
        let smoke = |run: &str| said(&format!("app = \"web\"\n[smoke]\nrun = {run}"));
        let none = "sortie.toml:3:7: 'run' in smoke runs ./nosuch.sh, and no such file is among those that are pushed";
        assert_eq!(smoke("\"./nosuch.sh $PORT\"").as_deref(), Some(none));
        for known in ["./web", "bin/smoke", "././web x", "./current/smoke", "./plugins/own", "sh ./nosuch.sh"] {
            assert_eq!(smoke(&format!("\"{known}\"")), None, "{known}");
        }
        for elsewhere in ["/opt/tool", "tool", "./$NAME", "../tool"] {
            assert_eq!(smoke(&format!("[\"{elsewhere}\"]")), None, "{elsewhere}");
        }
    }

    #[test]
    fn every_command_is_looked_at() {
        for (text, place) in [
            ("[process.web]\nrun = \"./no\"", "'run' in process web"),
            ("[process.web]\nrun = \"./web\"\nhealth = { command = \"./no\" }", "'command' in health of process web"),
            ("[verify.page]\ncommand = \"./no\"", "'command' in verify page"),
            ("[migrate]\nrun = \"./web\"\nundo = \"./no\"", "'undo' in migrate"),
            ("[traffic]\ndrain = \"./web\"\nback = \"./no\"", "'back' in traffic"),
        ] {
            let said = said(text).unwrap_or_default();
            assert!(said.contains(&format!("{place} runs ./no, ")), "{text}: {said}");
        }
    }
}
