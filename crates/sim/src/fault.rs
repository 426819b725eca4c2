//! Faults put in on purpose, so that it is known that they would be found. Each changes what the real parts take in or
//! give out at one of their seams: what is decided on its way to be recorded, what a disk keeps, what a machine does, what
//! a clock says. A world with any of them must break an invariant.
//!
//! - `decided`, `ends`, `following`, `packages`, `presence` and `sides`: those in what is decided. `repository`: those in what is
//!   published and taken from there. The others stand where they do their harm.

mod decided;
mod ends;
mod following;
mod packages;
mod presence;
mod repository;
mod sides;

pub use decided::decides;
pub use packages::shown;
pub use repository::{counts_from, taken_from};

/// What is wrong in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A build that was undone or rolled back is not held out.
    HoldForgotten,
    /// A wave takes every target that is left.
    WaveTooWide,
    /// After a failure the next wave starts instead of the undo.
    FailurePassedOver,
    /// After a failure that pauses, the next wave starts.
    FailurePauseForgotten,
    /// Waves do not care how many go on serving.
    MinimumIgnored,
    /// Everything goes back at once, however few then serve.
    UndoTooWide,
    /// Waves start while somebody has paused.
    PauseForgotten,
    /// The next wave starts with the word that pauses.
    PauseTooLate,
    /// New deployments come to a target that is cordoned.
    CordonForgotten,
    /// A target that is taken out for good stays among the others.
    RetirementForgotten,
    /// A target gets what it missed with the next entry, whatever stands against it by then.
    LateAtOnce,
    /// What was removed everywhere comes to a target again by the deployment that had brought it.
    RemovedReturns,
    /// A target that was left out has its turn all the same.
    ExclusionForgotten,
    /// A ring begins when the one before has ended, without baking and without a word.
    RingTooEarly,
    /// What was ordered before takes no notice of windows and of its own times.
    ScheduleForgotten,
    /// Waves start in a freeze.
    FreezeForgotten,
    /// What a newer order takes the place of is not ended.
    SupersededUntold,
    /// A deployment that is too late for its order is left to stand.
    DroppedUntold,
    /// A deployment has succeeded once its first target has.
    SuccessTooEarly,
    /// No target is told to change the data.
    ChangeForgotten,
    /// An order by a plan does what it does by now.
    PlanIgnored,
    /// What is unwell is noted, and nothing follows.
    UnwellPassedOver,
    /// A deployment settles the moment it ends.
    SettledUnsoaked,
    /// One of the targets that had activated it is not told to go back.
    UndoForgetsOne,
    /// A withdrawal is answered and nothing is withdrawn.
    WithdrawalIgnored,
    /// The ledger's disk says that it has stored what it has not.
    AcknowledgedTooEarly,
    /// The ledger forgets which requests it has answered.
    RequestsForgotten,
    /// A byte of an old entry changes while the server is down.
    EntryDamaged,
    /// The clock never asks for what is due.
    ClockStopped,
    /// A target's disk forgets the names of new files, even those that were synced.
    NamesUnsynced,
    /// A target forgets that something was stopped.
    StopForgotten,
    /// A target forgets which orders it has carried out.
    OrdersForgotten,
    /// A target forgets which withdrawals it was told of.
    WithdrawalsForgotten,
    /// A target's outcomes are answered by something that never passes them on.
    ReportsSwallowed,
    /// A target whose time is over leaves files behind.
    RemainsLeft,
    /// A target does not know when it joined.
    EndForgotten,
    /// A target whose time is over and of which nothing is heard stays among the others.
    LapseForgotten,
    /// New deployments come to a target whose time is over.
    NewToTheOver,
    /// The silence of a target that comes and goes fails a deployment.
    SilenceFails,
    /// What ran in an environment that was thrown away comes to whoever joins it then.
    ThrownAwayReturns,
    /// Nobody remembers when a target was heard of that comes and goes.
    HeardForgotten,
    /// What is new comes to both sides.
    BothSides,
    /// Those make way that serve, when the others begin to.
    WayMadeAtOnce,
    /// A switch has succeeded once the new side serves.
    NoWayMade,
    /// A target takes what is to stand by for what serves.
    StandbyForgotten,
    /// A target forgets which freezes it was told of.
    FreezesForgotten,
    /// A target forgets that it has seen a newer charter than its first.
    CharterForgotten,
    /// Nobody looks for which estate something was signed.
    EstateUnchecked,
    /// A target takes documents of trust under any root.
    RootUnpinned,
    /// A target takes a root that is signed by its own keys alone.
    NewKeysAlone,
    /// A target takes the bytes that it is given for those that it asked for.
    BytesUnchecked,
    /// Who is away has its turn as if it were there.
    AwayTakenAlong,
    /// Who was left out since it was away does not get it once it is back.
    ReturnForgotten,
    /// What runs on targets of which nobody has heard settles all the same.
    SilencePassedOver,
    /// Who is away and left out is counted among those that serve.
    AwayCounted,
    /// What is to stand until something else has ended begins at once.
    FollowerAtOnce,
    /// What stood until something else had ended does not begin.
    FollowerForgotten,
    /// What is in doubt is taken back like a failure.
    DoubtUndone,
    /// Nobody looks at what is in doubt.
    DoubtPassedOver,
    /// When a switch is taken back, whoever serves stands by before anybody else serves again.
    StandByFirst,
    /// Members of a package begin whatever they come after.
    MemberTooEarly,
    /// A package is taken back, and its members that had succeeded stay.
    MembersLeft,
    /// A package has succeeded once its first member has.
    PackageTooEarly,
    /// A package that was taken back or left is not held out.
    PackageHoldForgotten,
    /// What is ordered for a member begins while its package is under way.
    MemberBesides,
    /// A target does not look whether the package that brings a build lists it.
    MemberUnlisted,
    /// A target takes what was ordered for another environment.
    OrderFromBeside,
    /// A target forgets which packages were withdrawn.
    WithdrawnPackagesForgotten,
    /// Nobody minds how old the word of the repository is.
    StalenessIgnored,
    /// A target takes the repository's word whoever signed it.
    SignersUnchecked,
    /// A target forgets which versions of the repository it has seen.
    VersionsForgotten,
    /// Who asks for the repository hears what it said before.
    PublishedTooLate,
    /// The server begins to count the repository's versions anew whenever it starts.
    CountersForgotten,
}

impl std::str::FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = FAULTS.iter().find(|fault| format!("{fault:?}") == name);
        found.copied().ok_or_else(|| format!("there is no fault {name}: they are {FAULTS:?}"))
    }
}

/// All of them.
pub const FAULTS: &[Fault] = &[
    Fault::HoldForgotten,
    Fault::WaveTooWide,
    Fault::FailurePassedOver,
    Fault::FailurePauseForgotten,
    Fault::MinimumIgnored,
    Fault::UndoTooWide,
    Fault::PauseForgotten,
    Fault::PauseTooLate,
    Fault::CordonForgotten,
    Fault::RetirementForgotten,
    Fault::LateAtOnce,
    Fault::RemovedReturns,
    Fault::ExclusionForgotten,
    Fault::RingTooEarly,
    Fault::ScheduleForgotten,
    Fault::FreezeForgotten,
    Fault::SupersededUntold,
    Fault::DroppedUntold,
    Fault::SuccessTooEarly,
    Fault::ChangeForgotten,
    Fault::PlanIgnored,
    Fault::UnwellPassedOver,
    Fault::SettledUnsoaked,
    Fault::UndoForgetsOne,
    Fault::WithdrawalIgnored,
    Fault::AcknowledgedTooEarly,
    Fault::RequestsForgotten,
    Fault::EntryDamaged,
    Fault::ClockStopped,
    Fault::NamesUnsynced,
    Fault::StopForgotten,
    Fault::OrdersForgotten,
    Fault::WithdrawalsForgotten,
    Fault::ReportsSwallowed,
    Fault::RemainsLeft,
    Fault::EndForgotten,
    Fault::LapseForgotten,
    Fault::NewToTheOver,
    Fault::SilenceFails,
    Fault::ThrownAwayReturns,
    Fault::HeardForgotten,
    Fault::BothSides,
    Fault::WayMadeAtOnce,
    Fault::NoWayMade,
    Fault::StandbyForgotten,
    Fault::FreezesForgotten,
    Fault::CharterForgotten,
    Fault::EstateUnchecked,
    Fault::RootUnpinned,
    Fault::NewKeysAlone,
    Fault::BytesUnchecked,
    Fault::AwayTakenAlong,
    Fault::ReturnForgotten,
    Fault::SilencePassedOver,
    Fault::AwayCounted,
    Fault::FollowerAtOnce,
    Fault::FollowerForgotten,
    Fault::DoubtUndone,
    Fault::DoubtPassedOver,
    Fault::StandByFirst,
    Fault::MemberTooEarly,
    Fault::MembersLeft,
    Fault::PackageTooEarly,
    Fault::PackageHoldForgotten,
    Fault::MemberBesides,
    Fault::MemberUnlisted,
    Fault::OrderFromBeside,
    Fault::WithdrawnPackagesForgotten,
    Fault::StalenessIgnored,
    Fault::SignersUnchecked,
    Fault::VersionsForgotten,
    Fault::PublishedTooLate,
    Fault::CountersForgotten,
];
