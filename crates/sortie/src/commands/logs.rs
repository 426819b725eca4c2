//! `sortie logs`: the lines of an application's processes on one target.

use crate::{
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    names::{self, Thing},
    object, order,
    output::{self, Answer},
};
use api::routes;
use domain::refusal::Refusal;
use trust::{AppName, TargetName, manifest::Run, names::printable};

/// The longest line that is shown whole, in bytes.
const LONGEST_LINE_BYTES: usize = 64 << 10;

/// Show the lines an application's processes wrote on a target
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// The application
    #[arg(value_name = "APP")]
    pub app: String,
    /// The target
    #[arg(long, value_name = "TARGET")]
    pub on: String,
    /// One process only
    #[arg(long, value_name = "NAME")]
    pub process: Option<String>,
    /// The last so many lines of each process
    #[arg(short = 'n', long, default_value_t = 200)]
    pub lines: u32,
    /// Go on with new lines as they come
    #[arg(short, long)]
    pub follow: bool,
}

impl Logs {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        if self.follow && invocation.global.json {
            return Err(Failure::misused("--json is one document, and --follow has no end: leave one of them out"));
        }
        let app = Thing::parse("look at the logs of", &self.app)?.app().clone();
        let target = TargetName::new(&self.on).or_misused()?;
        let connection = invocation.connect().await?;
        let status = order::status(&connection, None).await?;
        let known: Vec<&TargetName> = status.targets.iter().map(|target| &target.name).collect();
        if !known.contains(&&target) {
            let nearest = names::nearest(target.as_str(), known).cloned();
            return Err(Refusal::UnknownTarget { name: target, nearest }.into());
        }
        let lines = self.lines.to_string();
        let mut query = vec![("app", app.as_str()), ("target", target.as_str()), ("lines", &lines)];
        query.extend(self.process.iter().map(|process| ("process", process.as_str())));
        query.push(("follow", if self.follow { "true" } else { "false" }));
        let mut response = connection.client.open(routes::LOGS, &query).await?;
        let mut cutter = LineCutter::default();
        let mut all = Vec::new();
        let mut show = |lines: Vec<String>| match invocation.global.json {
            true => all.extend(lines),
            false => lines.iter().for_each(|line| output::verbatim(line)),
        };
        let mut seen = false;
        while let Some(bytes) =
            response.chunk().await.map_err(|error| Failure::failed(format!("the connection broke: {error}")))?
        {
            let lines = cutter.take(&bytes);
            seen |= !lines.is_empty();
            show(lines);
        }
        let rest = cutter.rest();
        seen |= !rest.is_empty();
        show(rest);
        if let Some(process) = self.process.as_deref().filter(|_| !seen) {
            let runs = status.targets.iter().find(|known| known.name == target).and_then(|known| known.runs.get(&app));
            let run = match runs {
                Some(build) => object::manifest_if_there(&connection, &build.build).await?.map(|manifest| manifest.run),
                None => None,
            };
            known_process(&app, &target, process, run.as_ref())?;
        }
        let words = if seen { String::new() } else { format!("{app} wrote nothing on {target}") };
        Ok(Answer::new(&serde_json::json!({ "app": app, "target": target, "lines": all }), words))
    }
}

/// A name under which nothing was written is one that what runs there has, or it is refused with those that there are. What wrote
/// something was heard, whichever build it was of.
fn known_process(app: &AppName, target: &TargetName, process: &str, run: Option<&Run>) -> Result<(), Failure> {
    let Some(run) = run else {
        return Err(Failure::misused(format!(
            "{app} does not run on {target}, and no {process} of it ever wrote anything there"
        ))
        .next(format!("sortie status {app}")));
    };
    let names: Vec<&str> = run.writers().collect();
    if names.contains(&process) {
        return Ok(());
    }
    let failure = match names.as_slice() {
        [] => Failure::misused(format!("{app} on {target} has no process: it is files only")),
        some => Failure::misused(format!("{app} on {target} has no process {process}; it has {}", some.join(", "))),
    };
    Err(match names::nearest(process, &names).or(names.first()) {
        Some(nearest) => failure.next(format!("sortie logs {app} --on {target} --process {nearest}")),
        None => failure.next(format!("sortie status {app}")),
    })
}

/// Cuts bytes into printable lines: what a program wrote must not drive the terminal of whoever reads it.
#[derive(Default)]
struct LineCutter {
    line: Vec<u8>,
}

impl LineCutter {
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte == b'\n' || self.line.len() >= LONGEST_LINE_BYTES {
                lines.extend(self.rest_or_empty());
            }
            if *byte != b'\n' {
                self.line.push(*byte);
            }
        }
        lines
    }

    fn rest(&mut self) -> Vec<String> {
        if self.line.is_empty() { Vec::new() } else { self.rest_or_empty().into_iter().collect() }
    }

    fn rest_or_empty(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        Some(printable(&line.trim_end_matches('\r').replace('\t', "    ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_nobody_has_is_refused_with_those_that_there_are() {
        let (app, on) = ("web".parse().unwrap(), "prod-1".parse().unwrap());
        let process = serde_json::json!({ "run": ["./web"], "copies": 1, "port": null, "health": null,
            "stop_signal": "TERM", "stop_seconds": 10 });
        let run = serde_json::json!({ "processes": { "web": process, "worker": process }, "on": {}, "user": null,
            "environment": {}, "data": [], "config": {}, "needs": {} });
        let run: Run = serde_json::from_value(run).unwrap();
        known_process(&app, &on, "worker", Some(&run)).unwrap();
        let refused = |process, run| known_process(&app, &on, process, run).unwrap_err().problem;
        let unknown = refused("wroker", Some(&run));
        assert_eq!(unknown.message, "web on prod-1 has no process wroker; it has web, worker");
        assert_eq!(unknown.next.as_deref(), Some("sortie logs web --on prod-1 --process worker"));
        assert!(refused("web", None).message.starts_with("web does not run on prod-1"));
    }

    #[test]
    fn lines_come_whole_and_cannot_drive_a_terminal() {
        let mut cutter = LineCutter::default();
        assert!(cutter.take(b"GET /he").is_empty());
        assert_eq!(cutter.take(b"althz 200\r\n\n\x1b[2Jboo\nrest"), ["GET /healthz 200", "", "\u{FFFD}[2Jboo"]);
        assert_eq!(cutter.rest(), ["rest"]);
        assert!(cutter.rest().is_empty());
        let long = vec![b'x'; LONGEST_LINE_BYTES + 1];
        assert_eq!(cutter.take(&long).len(), 1);
    }
}
