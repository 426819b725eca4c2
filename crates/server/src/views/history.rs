//! Which entries are about what.

use super::deployment;
use domain::{event::Event, state::State};
use trust::AppName;

/// Whether an event is about an application. Events of deployments that the state has forgotten say nothing of theirs,
/// except the first.
pub(crate) fn is_about(state: &State, event: &Event, app: &AppName) -> bool {
    match event {
        Event::BuildPushed { app: other, .. }
        | Event::BuildNumbered { app: other, .. }
        | Event::ReleaseImported { app: other, .. }
        | Event::VendorWithdrew { app: other, .. }
        | Event::BuildDelivered { app: other, .. }
        | Event::EvidenceAttached { app: other, .. }
        | Event::ReleaseRequested { app: other, .. }
        | Event::PermitGranted { app: other, .. }
        | Event::PermissionWithdrawn { app: other, .. }
        | Event::ConfigSet { app: other, .. }
        | Event::DeploymentRequested { app: other, .. }
        | Event::ReceiptTaken { app: other, .. }
        | Event::HealthChanged { app: other, .. }
        | Event::HoldPlaced { app: other, .. }
        | Event::HoldLifted { app: other, .. }
        | Event::TargetRunsOtherwise { app: other, .. }
        | Event::ExposureChanged { app: other, .. } => other == app,
        Event::RequestApproved { request, .. } => state.requests.get(request).is_some_and(|r| r.app == *app),
        Event::EscapesChanged { findings, .. } => findings.iter().any(|finding| finding.app == app.as_str()),
        event => deployment::number_of(event)
            .and_then(|number| state.deployments.get(&number))
            .is_some_and(|deployment| deployment.app == *app),
    }
}
