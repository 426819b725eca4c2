//! The names of the events, as stored.

use super::Event;

macro_rules! names {
    ($($variant:ident = $name:literal,)*) => {
        impl Event {
            /// The names of all events there are.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// The event's noun phrase as stored: `permit-granted`.
            pub fn name(&self) -> &'static str {
                match self { $(Event::$variant { .. } => $name,)* }
            }
        }
    };
}

names! {
    CharterApplied = "charter-applied",
    RecoveryKeyPutAway = "recovery-key-put-away",
    PersonSuspended = "person-suspended",
    PersonNamed = "person-named",
    PersonErased = "person-erased",
    BuildPushed = "build-pushed",
    PartAdded = "part-added",
    DraftSealed = "draft-sealed",
    DraftDiscarded = "draft-discarded",
    AppRetired = "app-retired",
    BuildPruned = "build-pruned",
    BuildNumbered = "build-numbered",
    ReleaseImported = "release-imported",
    VendorWithdrew = "vendor-withdrew",
    BuildDelivered = "build-delivered",
    EvidenceAttached = "evidence-attached",
    ReleaseRequested = "release-requested",
    RequestApproved = "request-approved",
    PermitGranted = "permit-granted",
    EmergencyReviewed = "emergency-reviewed",
    PermissionWithdrawn = "permission-withdrawn",
    ConfigSet = "config-set",
    FreezeDeclared = "freeze-declared",
    FreezeExcepted = "freeze-excepted",
    FreezeLifted = "freeze-lifted",
    TargetInvited = "target-invited",
    TargetEnrolled = "target-enrolled",
    TargetLabelled = "target-labelled",
    TargetCordoned = "target-cordoned",
    TargetRetired = "target-retired",
    TokenCreated = "token-created",
    TokenRevoked = "token-revoked",
    DeploymentRequested = "deployment-requested",
    StepStarted = "step-started",
    WaveStarted = "wave-started",
    RingVerified = "ring-verified",
    DeploymentPaused = "deployment-paused",
    DeploymentResumed = "deployment-resumed",
    TargetFinished = "target-finished",
    UndoStarted = "undo-started",
    TargetExcluded = "target-excluded",
    TargetAdded = "target-added",
    RetryOrdered = "retry-ordered",
    DeploymentEnded = "deployment-ended",
    DeploymentSettled = "deployment-settled",
    HoldPlaced = "hold-placed",
    HoldLifted = "hold-lifted",
    HealthChanged = "health-changed",
    EscapesChanged = "escapes-changed",
    TargetRunsOtherwise = "target-runs-otherwise",
    FactsChanged = "facts-changed",
    ReceiptTaken = "receipt-taken",
    ExposureChanged = "exposure-changed",
}
