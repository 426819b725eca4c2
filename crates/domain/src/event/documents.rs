//! Which documents in the depot events name.

use super::Event;
use trust::Digest;

impl Event {
    /// The documents in the depot that the event names, which stay for ever.
    pub fn documents(&self) -> Vec<Digest> {
        match self {
            Event::CharterApplied { roots, targets, .. } => roots.iter().chain([targets]).copied().collect(),
            Event::BuildPushed { build, .. } => vec![*build],
            Event::ReleaseImported { build, word, .. } => vec![*build, word.document],
            Event::VendorWithdrew { word, .. } => vec![word.document],
            Event::EvidenceAttached { document, .. } | Event::ConfigSet { document, .. } => vec![*document],
            Event::ReceiptTaken { receipt, .. } => vec![*receipt],
            Event::PartAdded { manifest, .. } => vec![*manifest],
            // No wildcard: whoever adds an event says which documents it names, or pruning might take them.
            Event::RecoveryKeyPutAway { .. }
            | Event::PersonSuspended { .. }
            | Event::PersonNamed { .. }
            | Event::PersonErased { .. }
            | Event::DraftSealed { .. }
            | Event::DraftDiscarded { .. }
            | Event::AppRetired { .. }
            | Event::BuildPruned { .. }
            | Event::BuildNumbered { .. }
            | Event::BuildDelivered { .. }
            | Event::ReleaseRequested { .. }
            | Event::RequestApproved { .. }
            | Event::PermitGranted { .. }
            | Event::EmergencyReviewed { .. }
            | Event::PermissionWithdrawn { .. }
            | Event::FreezeDeclared { .. }
            | Event::FreezeExcepted { .. }
            | Event::FreezeLifted { .. }
            | Event::TargetInvited { .. }
            | Event::TargetEnrolled { .. }
            | Event::TargetLabelled { .. }
            | Event::TargetCordoned { .. }
            | Event::TargetRetired { .. }
            | Event::TokenCreated { .. }
            | Event::TokenRevoked { .. }
            | Event::DeploymentRequested { .. }
            | Event::StepStarted { .. }
            | Event::WaveStarted { .. }
            | Event::RingVerified { .. }
            | Event::DeploymentPaused { .. }
            | Event::DeploymentResumed { .. }
            | Event::TargetFinished { .. }
            | Event::UndoStarted { .. }
            | Event::TargetExcluded { .. }
            | Event::TargetAdded { .. }
            | Event::RetryOrdered { .. }
            | Event::DeploymentEnded { .. }
            | Event::DeploymentSettled { .. }
            | Event::HoldPlaced { .. }
            | Event::HoldLifted { .. }
            | Event::HealthChanged { .. }
            | Event::EscapesChanged { .. }
            | Event::TargetRunsOtherwise { .. }
            | Event::FactsChanged { .. }
            | Event::ExposureChanged { .. } => Vec::new(),
        }
    }
}
