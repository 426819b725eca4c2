//! `sortie context`.

use crate::{
    context::{self, Context as Saved},
    failure::Outcome,
    invocation::Invocation,
    output::Answer,
    table,
};

/// List the saved contexts, or switch to one
#[derive(Debug, clap::Args)]
pub struct Context {
    /// The one to switch to
    pub name: Option<String>,
}

impl Context {
    /// Does it.
    pub async fn run(self, _invocation: &Invocation) -> Outcome {
        if let Some(name) = &self.name {
            let saved = Saved::load(name)?;
            saved.save_as_current()?;
            let words = format!("{name}: {}", saved.settings.url);
            return Ok(Answer::new(&row(&saved, true), words).next("sortie status"));
        }
        let current = context::current()?;
        let all = context::all()?;
        let rows: Vec<_> = all.iter().map(|saved| row(saved, current.as_ref() == Some(&saved.name))).collect();
        if all.is_empty() {
            return Ok(Answer::new(&rows, "no server is known here yet").next("sortie login URL#PIN"));
        }
        let cells: Vec<Vec<String>> = all
            .iter()
            .map(|saved| {
                let mark = if current.as_ref() == Some(&saved.name) { "*" } else { "" };
                let estate = saved.settings.estate.map_or("none yet".into(), |estate| estate.short());
                vec![mark.into(), saved.name.clone(), saved.settings.url.clone(), estate]
            })
            .collect();
        Ok(Answer::new(&rows, table::table(&["", "context", "server", "estate"], &cells)))
    }
}

fn row(saved: &Saved, current: bool) -> serde_json::Value {
    let settings = &saved.settings;
    serde_json::json!({
        "name": saved.name, "url": settings.url, "pin": settings.pin, "estate": settings.estate, "current": current,
    })
}
