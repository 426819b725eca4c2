//! Every reason for which a target refuses.

use super::{ORDER_GOOD_DAYS, Road};
use crate::{
    digest::Digest,
    evidence::Shortfall,
    names::{AppName, AudienceName, VendorName},
    quorum::Lack,
    schedule::NotNow,
    version::Version,
    way::Way,
};
use jiff::Timestamp;

/// Why a target refuses. The variants stand in the order of the checks.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Denial {
    /// It is for another application than this target accepts.
    #[error("this target does not accept {0}")]
    AppNotAccepted(AppName),
    /// The charter says that others deploy it (R22).
    #[error("{0} is not deployed by this estate in live environments, as the charter says")]
    DeployedByOthers(AppName),
    /// The charter gives the environment another class than was pinned, or has no such environment.
    #[error("this target was enrolled in {environment} as {pinned}; the charter says {charter}")]
    ClassChanged {
        /// The environment.
        environment: AudienceName,
        /// As pinned.
        pinned: &'static str,
        /// As the charter says.
        charter: &'static str,
    },
    /// The charter asks for what this agent cannot do.
    #[error("the charter requires '{0}', which this agent cannot do: upgrade it")]
    FeatureMissing(String),
    /// What is known here is too old for something new: a withdrawal may have been held back.
    #[error("{}", stale_in_words(.signed, .hours, .road))]
    Stale {
        /// When the newest date that was seen was signed, if one was.
        signed: Option<Timestamp>,
        /// How old it may be, in hours.
        hours: i64,
        /// How the order came.
        road: Road,
    },
    /// The target's clock is before a date that was signed.
    #[error("{what} was signed at {signed}, and it is {now} by this machine's clock: set the clock")]
    ClockBehind {
        /// What was signed.
        what: &'static str,
        /// When.
        signed: Timestamp,
        /// The target's clock.
        now: Timestamp,
    },
    /// A statement that is absent.
    #[error("no signed {0} was given")]
    Missing(&'static str),
    /// A statement that cannot be read, names another subject or estate, or whose signer may not sign it.
    #[error("the {what} does not count: {why}")]
    Invalid {
        /// Which statement.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Somebody else makes it, and that vendor's release of it does not count, or is not there.
    #[error("{vendor}'s release of it does not count: {why}")]
    Vendor {
        /// The vendor, as the charter calls it.
        vendor: VendorName,
        /// Why.
        why: Box<Denial>,
    },
    /// The build was never released and this is no dev environment.
    #[error("{app}#{} was never released to {environment}, and {environment} is {class}", .build.short())]
    Unreleased {
        /// The application.
        app: AppName,
        /// The build.
        build: Digest,
        /// The environment.
        environment: AudienceName,
        /// Its class.
        class: &'static str,
    },
    /// The permit lacks approvals.
    #[error("the permit lacks {}", lacks_in_words(.0))]
    ApprovalsMissing(Vec<Lack>),
    /// The permit is by a way that the charter does not have here.
    #[error("the charter has no way '{way}' for {environment}")]
    WayMissing {
        /// The way.
        way: Way,
        /// The environment.
        environment: AudienceName,
    },
    /// The permit's way does not reach this far.
    #[error("{way} does not allow this: {why}")]
    WayExceeded {
        /// The way.
        way: Way,
        /// What is exceeded.
        why: String,
    },
    /// The permit was withdrawn.
    #[error("the permit was withdrawn (through serial {0})")]
    Withdrawn(u64),
    /// The manifest is not what was signed for.
    #[error("the manifest does not fit: {0}")]
    Manifest(String),
    /// The permit's time has not come, or is over.
    #[error("the permit holds from {not_before} until {not_after}, and it is {now} here")]
    Expired {
        /// From.
        not_before: Timestamp,
        /// Until.
        not_after: Timestamp,
        /// The target's clock.
        now: Timestamp,
    },
    /// The version is below the floor.
    #[error("{version} is below the floor {floor}")]
    BelowFloor {
        /// The version.
        version: Version,
        /// The floor.
        floor: Version,
    },
    /// Evidence the charter asks for is missing.
    #[error("there is no good evidence of type {kind} for this build: {why}")]
    EvidenceMissing {
        /// The type.
        kind: String,
        /// Why what is there does not suffice.
        why: Shortfall,
    },
    /// A freeze is on.
    #[error("frozen until {until:.0} by freeze {}: only what somebody who may excepts from it passes", .freeze.short())]
    Frozen {
        /// The payload of its declaration.
        freeze: Digest,
        /// Until when.
        until: Timestamp,
    },
    /// The order's time has not come, or is over, or no window is open.
    #[error("{}", not_now_in_words(.0, .1))]
    NotNow(NotNow, Timestamp),
    /// The config does not fit.
    #[error("the config does not fit: {0}")]
    Config(String),
    /// The target has nothing to go back to, or to act on.
    #[error("{0}")]
    NotHere(String),
    /// The target has carried out this very order before.
    #[error("order {} was carried out here before: whoever wants it again signs a new one", .0.short())]
    OrderRepeated(Digest),
    /// The target has carried out a newer order for this application.
    #[error(
        "the order was to be submitted until {submit_before:.0}, and one until {newest:.0} was carried out here since: \
         whoever wants it signs a new one"
    )]
    OrderOutdated {
        /// Until when it could be submitted.
        submit_before: Timestamp,
        /// Until when the newest one could that was carried out.
        newest: Timestamp,
    },
    /// The order comes too late to begin.
    #[error(
        "the order was to be submitted until {submit_before:.0}, it is {now:.0} by this machine's clock, and what needs \
         no living permit begins within {ORDER_GOOD_DAYS} days: whoever wants it signs a new one"
    )]
    OrderExpired {
        /// Until when it could be submitted.
        submit_before: Timestamp,
        /// The target's clock.
        now: Timestamp,
    },
}

/// The codes of what is wrong with the moment alone: the same may be right at another one.
pub const OF_THE_MOMENT: &[&str] = &["NOT_YET", "WINDOW_CLOSED", "FROZEN"];

impl Denial {
    /// The stable code, as reports carry it.
    pub fn code(&self) -> &'static str {
        match self {
            Denial::AppNotAccepted(_) => "APP_NOT_ACCEPTED",
            Denial::DeployedByOthers(_) => "DEPLOYED_BY_OTHERS",
            Denial::ClassChanged { .. } => "CLASS_CHANGED",
            Denial::FeatureMissing(_) => "FEATURE_MISSING",
            Denial::Stale { .. } => "STALE",
            Denial::ClockBehind { .. } => "CLOCK_BEHIND",
            Denial::Missing(_) => "STATEMENT_MISSING",
            Denial::Invalid { .. } => "STATEMENT_INVALID",
            Denial::Vendor { why, .. } => match **why {
                Denial::Withdrawn(_) => "VENDOR_WITHDREW",
                Denial::Expired { .. } => "VENDOR_RELEASE_EXPIRED",
                Denial::Missing("release") => "VENDOR_RELEASE_MISSING",
                _ => "VENDOR_RELEASE_UNFIT",
            },
            Denial::Unreleased { .. } => "UNRELEASED",
            Denial::ApprovalsMissing(_) => "APPROVALS_MISSING",
            Denial::WayMissing { .. } => "WAY_MISSING",
            Denial::WayExceeded { .. } => "WAY_EXCEEDED",
            Denial::Withdrawn(_) => "PERMIT_WITHDRAWN",
            Denial::Manifest(_) => "MANIFEST_UNFIT",
            Denial::Expired { .. } => "PERMIT_EXPIRED",
            Denial::BelowFloor { .. } => "BELOW_FLOOR",
            Denial::EvidenceMissing { .. } => "EVIDENCE_MISSING",
            Denial::Frozen { .. } => "FROZEN",
            Denial::NotNow(NotNow::Early { .. }, _) => "NOT_YET",
            Denial::NotNow(NotNow::Over { .. }, _) => "ORDER_OVER",
            Denial::NotNow(NotNow::Closed { .. }, _) => "WINDOW_CLOSED",
            Denial::Config(_) => "CONFIG_UNFIT",
            Denial::NotHere(_) => "NOT_HERE",
            Denial::OrderRepeated(_) => "ORDER_REPEATED",
            Denial::OrderOutdated { .. } => "ORDER_OUTDATED",
            Denial::OrderExpired { .. } => "ORDER_EXPIRED",
        }
    }
}

fn lacks_in_words(lacks: &[Lack]) -> String {
    lacks.iter().map(|lack| format!("{} {}", lack.count, lack.role)).collect::<Vec<_>>().join(" and ")
}

fn not_now_in_words(why: &NotNow, now: &Timestamp) -> String {
    let here = format!("it is {now:.0} by this machine's clock");
    match why {
        NotNow::Early { at } => format!("the order is not to be carried out before {at:.0}, and {here}"),
        NotNow::Over { since } => format!("the order's time was over at {since:.0}, and {here}: order it anew"),
        NotNow::Closed { opens: Some(opens) } => {
            format!("no window is open: the next one opens at {opens:.0}, and {here}")
        }
        NotNow::Closed { opens: None } => format!("no window is open, none ever opens, and {here}"),
    }
}

fn stale_in_words(signed: &Option<Timestamp>, hours: &i64, road: &Road) -> String {
    let limit = match road {
        Road::Network => format!("{hours} hours here (stale_hours)"),
        Road::Carried => format!("{hours} hours here for what is carried (offline_days)"),
    };
    match signed {
        Some(signed) => format!("the newest word of the repository is of {signed}, and may be at most {limit} old"),
        None => format!("the repository was never seen here, and its newest word may be at most {limit} old"),
    }
}
