//! `sortie app`: the end of an application.

use crate::{
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    order,
    output::Answer,
};
use api::read::{App as Known, Status};
use serde_json::json;
use trust::{AppName, AudienceName, Version, statement::AdministrationAct};

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
        let offered = offered(&order::status(&connection, None).await?, &app);
        if known.retired.is_none() {
            consequences(&known, &offered).iter().for_each(|line| invocation.aside(&format!("mind: {line}")));
        }
        if !yes && !invocation.confirm(&format!("Retire {app} for good? Its name is never given again.")) {
            let why = format!("{app} is not retired: {}", invocation.unconfirmed());
            return Err(Failure::failed(why).next(format!("sortie app retire {app} --yes")));
        }
        let accepted = connection.administer(AdministrationAct::RetireApp { app: app.clone() }).await?;
        let words = format!("{app} is retired: nothing new of it comes in. What it was stays known.");
        let next = match offered.first() {
            Some((channel, version)) => format!("sortie withdraw {app}@{version} --from {channel} --reason …"),
            None => format!("sortie prune {app} --keep 0 --days 0"),
        };
        let mut data = serde_json::to_value(&accepted).unwrap_or_default();
        data["offered"] = json!(offered);
        data["listed_by"] = json!(known.listed_by);
        Ok(Answer::new(&data, words).next(next))
    }
}

/// What channels offer of an application: each version with its channel.
fn offered(status: &Status, app: &AppName) -> Vec<(AudienceName, Version)> {
    let is_channel =
        |name: &AudienceName| status.audiences.iter().any(|other| other.name == *name && other.class.is_none());
    let cells = status.apps.iter().filter(|other| other.app == *app).flat_map(|app| &app.cells);
    let cells = cells.filter(|cell| is_channel(&cell.audience));
    cells.flat_map(|cell| cell.released.iter().map(|one| (cell.audience.clone(), one.version.clone()))).collect()
}

/// What it means to others that an application is retired.
fn consequences(known: &Known, offered: &[(AudienceName, Version)]) -> Vec<String> {
    let Known { app, listed_by, .. } = known;
    let packages = (!listed_by.is_empty()).then(|| {
        let (lists, it) = if listed_by.len() == 1 { ("lists", "it is") } else { ("list", "they are") };
        format!("{} {lists} {app}: {it} released, and can be deployed no more without it", listed_by.join(", "))
    });
    let downloads = (!offered.is_empty()).then(|| {
        let each: Vec<String> =
            offered.iter().map(|(channel, version)| format!("{app}@{version} from {channel}")).collect();
        format!("whoever may can still download {}, until that is withdrawn", each.join(", "))
    });
    packages.into_iter().chain(downloads).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;

    #[test]
    fn whoever_retires_an_application_is_told_what_lists_and_offers_it() {
        let mut status = samples::status();
        let app: AppName = "web".parse().unwrap();
        assert_eq!(offered(&status, &app), [], "environments offer nothing");
        status.audiences.iter_mut().find(|audience| audience.name.as_str() == "test").unwrap().class = None;
        let offered = offered(&status, &app);
        let listed_by = vec!["suite@0.1.0".into()];
        let known = Known { app, builds: Vec::new(), drafts: Default::default(), retired: None, listed_by };
        let said = consequences(&known, &offered);
        assert_eq!(said[0], "suite@0.1.0 lists web: it is released, and can be deployed no more without it");
        assert!(said[1].contains("web@1.5.0 from test, web@1.4.0 from test, until that is withdrawn"), "{said:?}");
        assert_eq!(consequences(&Known { listed_by: Vec::new(), ..known }, &[]), [""; 0]);
    }
}
