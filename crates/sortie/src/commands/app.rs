//! `sortie app`: the end of an application.

use crate::{
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    order,
    output::Answer,
};
use api::read::Cell;
use trust::{AppName, statement::AdministrationAct};

/// Retire an application for good
#[derive(Debug, clap::Args)]
pub struct App {
    #[command(subcommand)]
    pub act: AppAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum AppAct {
    /// Take in nothing new of an application that runs nowhere; its name is never given again (owners)
    Retire {
        /// The application
        #[arg(value_name = "APP")]
        app: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

impl App {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let AppAct::Retire { app, yes } = self.act;
        let app = AppName::new(&app).or_misused()?;
        let connection = invocation.connect().await?;
        // Nobody is asked about what there is not.
        let known = connection.app(&app).await?;
        let listed = listed(&app, &known.released_with);
        listed.iter().for_each(|listed| invocation.aside(listed));
        if !yes && !invocation.confirm(&format!("Retire {app} for good? Its name is never given again.")) {
            let why = format!("{app} is not retired: {}", invocation.unconfirmed());
            return Err(Failure::failed(why).next(format!("sortie app retire {app} --yes")));
        }
        let accepted = connection.administer(AdministrationAct::RetireApp { app: app.clone() }).await?;
        let status = order::status(&connection, None).await.ok();
        let cells = status.iter().flat_map(|status| &status.apps).filter(|other| other.app == app);
        let offered = offered(&app, cells.flat_map(|app| &app.cells));
        let words = format!("{app} is retired: nothing new of it comes in. What it was stays known.");
        let words = std::iter::once(words).chain(offered.iter().map(|(words, _)| words.clone()));
        let next = offered.first().map(|(_, next)| next.clone());
        Ok(Answer::new(&accepted, words.collect::<Vec<_>>().join("\n"))
            .next(next.unwrap_or_else(|| format!("sortie prune {app} --keep 0 --days 0"))))
    }
}

/// What is lost with it: `shop@1.0.0 lists web and is released: it can never be deployed again once web is retired`.
fn listed(app: &AppName, packages: &[String]) -> Option<String> {
    let (list, are, they) = match packages {
        [] => return None,
        [_] => ("lists", "is", "it"),
        _ => ("list", "are", "they"),
    };
    let packages = packages.join(", ");
    Some(format!(
        "mind: {packages} {list} {app} and {are} released: {they} can never be deployed again once {app} is retired"
    ))
}

/// The channels that go on offering what was released to them, and how that is ended.
fn offered<'a>(app: &AppName, cells: impl Iterator<Item = &'a Cell>) -> Vec<(String, String)> {
    // In environments nothing of it is deployed any more, and the view has nothing released there.
    let offers = |cell: &'a Cell| {
        let newest = cell.released.first()?;
        let versions: Vec<String> = cell.released.iter().map(|released| released.version.to_string()).collect();
        let (versions, channel) = (versions.join(", "), &cell.audience);
        Some((
            format!("{channel} goes on offering {versions}: whoever reads it may pull that until it is withdrawn."),
            format!("sortie withdraw {app}@{} --from {channel} --reason …", newest.version),
        ))
    };
    cells.filter_map(offers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;

    #[test]
    fn retiring_says_what_is_lost_and_what_goes_on() {
        let app: AppName = "web".parse().unwrap();
        assert_eq!(listed(&app, &[]), None);
        let two = listed(&app, &["shop@1.0.0".into(), "suite@0.1.0".into()]).unwrap();
        assert_eq!(
            two,
            "mind: shop@1.0.0, suite@0.1.0 list web and are released: they can never be deployed again once web is retired"
        );
        let view = samples::status();
        let cells = &view.apps[0].cells;
        let said = offered(&app, cells.iter().filter(|cell| cell.audience.as_str() == "test"));
        let (words, next) = &said[0];
        assert!(words.starts_with("test goes on offering 1.5.0, 1.4.0: whoever"), "{words}");
        assert_eq!(next, "sortie withdraw web@1.5.0 --from test --reason …");
        assert!(offered(&app, cells.iter().filter(|cell| cell.audience.as_str() == "dev")).is_empty());
    }
}
