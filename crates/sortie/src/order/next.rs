//! What is proposed after a deployment that went well: to the next audience, unless nobody would want that.

use super::{cell, stand_by_beside, stands_by};
use api::read::{AppStatus, AudienceStatus, Cell, DeploymentView, Status};
use domain::rules::deployers;
use trust::{
    AppName, AudienceName, Version,
    charter::{Charter, Class},
    statement::OrderAct,
};

/// What usually comes after a deployment that went well.
pub fn next_after(
    charter: &Charter,
    status: &Status,
    view: &DeploymentView,
    may_release: &dyn Fn(&AudienceName) -> bool,
) -> Option<String> {
    let (app, environment) = (&view.app, &view.environment);
    match view.act {
        OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback
            if stands_by(view, cell(status, app, environment))
                || !stand_by_beside(view, cell(status, app, environment)).is_empty() =>
        {
            return Some(format!("sortie switch {} --in {environment}", view.build.of(app)));
        }
        // A switch that went well is what the deployment was for.
        OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Switch => {}
        OrderAct::Rollback => return Some(format!("sortie status {app} --in {environment}")),
        OrderAct::Stop => return Some(format!("sortie start {app} --in {environment}")),
        OrderAct::Configure | OrderAct::Undeploy | OrderAct::Start | OrderAct::Restart => return None,
    }
    let Some(version) = &view.build.version else {
        return Some(format!("sortie number {} next", view.build.of(app)));
    };
    let Some(following) = following_audience(charter, app, &status.audiences, environment, may_release) else {
        return Some(format!("sortie status {app}"));
    };
    let record = status.apps.iter().find(|other| other.app == *app);
    // Who went back by a switch does not want that version further on.
    let is_older = |cell: &Cell| cell.runs.iter().any(|runs| runs.build.version.as_ref() > Some(version));
    if view.act == OrderAct::Switch && cell(status, app, environment).is_some_and(is_older) {
        return Some(format!("sortie status {app} --in {environment}"));
    }
    Some(match where_it_stands(record, version, &following) {
        Stands::Passed | Stands::Runs => format!("sortie status {app}@{version}"),
        Stands::Released if charter.environments.contains_key(&following) => {
            format!("sortie deploy {app}@{version} --to {following}")
        }
        Stands::Released => format!("sortie status {app}@{version}"),
        Stands::Neither if may_release(&following) => format!("sortie release {app}@{version} --to {following}"),
        Stands::Neither => format!("sortie request {app}@{version} --to {following}"),
    })
}

enum Stands {
    Runs,
    /// Something newer runs there: nobody means to go down by what is only proposed.
    Passed,
    Released,
    Neither,
}

fn where_it_stands(app: Option<&AppStatus>, version: &Version, audience: &AudienceName) -> Stands {
    let Some(cell) = app.and_then(|app| app.cells.iter().find(|cell| cell.audience == *audience)) else {
        return Stands::Neither;
    };
    if cell.runs.iter().any(|runs| runs.build.version.as_ref() == Some(version)) {
        return Stands::Runs;
    }
    if cell.runs.iter().any(|runs| runs.build.version.as_ref() > Some(version)) {
        return Stands::Passed;
    }
    match cell.released.iter().any(|released| released.version == *version) {
        true => Stands::Released,
        false => Stands::Neither,
    }
}

/// The audience that a version goes to after `environment`: the one that the charter says comes after it, or else the
/// next one of a higher class, and among those of one class whichever the signer may release to alone. Only audiences that
/// somebody has to agree to are meant, and no environment to which others deploy the application, or that has no target.
fn following_audience(
    charter: &Charter,
    app: &AppName,
    audiences: &[AudienceStatus],
    environment: &AudienceName,
    may_release: &dyn Fn(&AudienceName) -> bool,
) -> Option<AudienceName> {
    let asks = |name: &AudienceName| charter.audience(name).filter(|audience| audience.approve.is_some());
    let is_ours = |name: &&AudienceName| deployers::others(charter, app, name).is_none();
    // A channel has none, and its people wait all the same.
    let is_somewhere = |audience: &&AudienceStatus| audience.targets > 0 || audience.class.is_none();
    let names = || {
        audiences
            .iter()
            .filter(is_somewhere)
            .map(|audience| &audience.name)
            .filter(|name| asks(name).is_some())
            .filter(is_ours)
    };
    let comes_after = |name: &&AudienceName| asks(name).and_then(|audience| audience.after) == Some(environment);
    let class = charter.environments.get(environment).map_or(Class::Dev, |environment| environment.class);
    let is_higher = |name: &&AudienceName| {
        asks(name).is_some_and(|audience| audience.after.is_none() && audience.class.is_some_and(|c| c > class))
    };
    let turn = |name: &&AudienceName| (asks(name).and_then(|audience| audience.class), !may_release(name));
    let lowest = || names().filter(is_higher).min_by_key(turn);
    names().find(comes_after).or_else(lowest).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples::{build, charter, deployment, status};

    #[test]
    fn r22_where_customers_deploy_no_version_goes_next() {
        let (mut charter, status) = (charter(), status());
        let mut view = deployment(&[("prod-1", "verified")]);
        view.environment = "test".parse().unwrap();
        view.build = build("1.5.0");
        let desk = charter.applications.entry(view.app.clone()).or_default();
        desk.deployed_by = trust::charter::DeployedBy::Customer;
        assert_eq!(next_after(&charter, &status, &view, &|_| false).unwrap(), "sortie status web");
    }

    /// What was brought somewhere else for a look does not take a newer version's place, and goes nowhere where nothing is.
    #[test]
    fn what_is_proposed_is_no_way_down_and_no_way_to_nowhere() {
        let (charter, mut status) = (charter(), status());
        let mut view = deployment(&[("test-1", "verified")]);
        (view.environment, view.build) = ("test".parse().unwrap(), build("1.3.0"));
        let next = |status: &Status, view: &DeploymentView| next_after(&charter, status, view, &|_| false).unwrap();
        assert_eq!(next(&status, &view), "sortie status web@1.3.0", "prod runs 1.4.0");
        view.build = build("1.5.0");
        assert_eq!(next(&status, &view), "sortie request web@1.5.0 --to prod");
        status.audiences.iter_mut().find(|audience| audience.name.as_str() == "prod").unwrap().targets = 0;
        assert_eq!(next(&status, &view), "sortie status web");
        (view.act, view.build) = (OrderAct::Switch, build("1.3.0"));
        let mut status = crate::commands::samples::status();
        status.apps[0].cells[2].runs.clear();
        assert_eq!(next(&status, &view), "sortie status web --in test", "1.5.0 makes way for it");
    }
}
