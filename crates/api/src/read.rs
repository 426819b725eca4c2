//! The answers of the reads, by what is asked about.

mod build;
mod calendar;
mod config;
mod deployment;
mod dossier;
mod escapes;
mod estate;
mod feed;
mod ledger;
mod status;

pub use build::{
    App, Build, BuildName, DraftView, KeptBuild, Maker, Prunable, PrunableBuild, Trace, TracedBuild, Unnamed, WayBack,
};
pub use calendar::{CALENDAR_AHEAD, CalendarEntry, CalendarKind, FreezeException, FreezeView, LONGEST_CALENDAR};
pub use config::{ConfigView, Vouched};
pub use deployment::{DeploymentView, GuidanceView, MemberView, PartView};
pub use dossier::{Condition, DossierView, StandingOrder, Why};
pub use escapes::{ActiveBuild, Escape, Escapes, SignedInventory};
pub use estate::{Estate, Hello, PersonView, RepositoryRole, RepositoryStatus, TokenView, Whoami};
pub use feed::{Feed, FeedVersion, Offer};
pub use ledger::{Consistency, Happening, HistoryEntry, Lost, LostNumber, LostRun, LostSight, UnknownMachine};
pub use status::{
    AppStatus, AudienceStatus, Cell, Delivered, DroppedView, Emergency, FailedView, HoldView, Released, Runs, Status,
    TargetStatus,
};
