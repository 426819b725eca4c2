//! How the story tells of what is tried.

use super::{Besides, Deed, MINUTE, Step};
use crate::store::DeathInAppend;
use std::fmt;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", moment(self.at), self.deed)
    }
}

/// A moment as the story tells it.
pub fn moment(at: u64) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", at / 3_600_000, at / MINUTE % 60, at / 1000 % 60, at % 1000)
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = |index: &usize| crate::cast::target(*index);
        let of = |version: &usize| format!("{}@{}", crate::cast::app_of(*version), crate::cast::version(*version));
        match self {
            Deed::Request { version, minutes } => {
                write!(f, "coder asks for {} → prod, for {minutes} min", of(version))
            }
            Deed::Approve { who, version } => write!(f, "{} approves {}", who.name(), of(version)),
            Deed::Order { who, version, act, besides } => {
                write!(f, "{} orders {act:?} of {}{besides}", who.name(), of(version))
            }
            Deed::OfPackage(deed) => write!(f, "of the package: {deed}"),
            Deed::Switch { who } => write!(f, "{} lets serve what stands by", who.name()),
            Deed::Operate { who, act } => write!(f, "{} orders {act:?} of what runs", who.name()),
            Deed::RollBack { who, keep_data } => {
                let data = if *keep_data { ", and the data stays" } else { "" };
                write!(f, "{} orders a rollback{data}", who.name())
            }
            Deed::Withdraw { who, version } => write!(f, "{} withdraws {}", who.name(), of(version)),
            Deed::LiftHold { who } => write!(f, "{} lifts the holds", who.name()),
            Deed::Abort { who } => write!(f, "{} aborts", who.name()),
            Deed::Pause { who } => write!(f, "{} pauses", who.name()),
            Deed::Resume { who } => write!(f, "{} lets it go on", who.name()),
            Deed::Retry { who } => write!(f, "{} lets the others try again", who.name()),
            Deed::Exclude { who, target: index } => write!(f, "{} leaves {} out", who.name(), target(index)),
            Deed::Freeze { who, minutes } => write!(f, "{} freezes prod for {minutes} min", who.name()),
            Deed::LiftFreeze { who } => write!(f, "{} lifts the freeze", who.name()),
            Deed::Except { who, version } => write!(f, "{} excepts {} from the freeze", who.name(), of(version)),
            Deed::Cordon { who, target: index, cordoned } => {
                let how = if *cordoned { "cordons" } else { "uncordons" };
                write!(f, "{} {how} {}", who.name(), target(index))
            }
            Deed::Recharter => f.write_str("boss signs a charter by which second is of ops no longer"),
            Deed::Retire { target: index } => write!(f, "boss retires {}", target(index)),
            Deed::Join { target: index } => write!(f, "{} joins", target(index)),
            Deed::Vanish { target: index } => write!(f, "{} is gone without a word", target(index)),
            Deed::KillServer { in_append, down } => {
                let when = match in_append {
                    None => "",
                    Some(DeathInAppend::Before) => " before the next batch is stored",
                    Some(DeathInAppend::After) => " after the next batch is stored",
                };
                write!(f, "the server is killed{when}, for {} s", down / 1000)
            }
            Deed::KillAgent { target: index, in_operation, power, down } => {
                let how = if *power { "loses power" } else { "is killed" };
                write!(f, "{} {how}", target(index))?;
                if let Some(operation) = in_operation {
                    write!(f, " in its disk operation {operation} from now")?;
                }
                write!(f, ", for {} s", down / 1000)
            }
            Deed::CutOff { targets, lasts } => {
                let names: Vec<String> =
                    (0..4).filter(|index| targets[*index]).map(|index| target(&index).to_string()).collect();
                write!(f, "{} cannot be reached, for {} s", names.join(", "), lasts / 1000)
            }
            Deed::FillDisk { target: index, lasts } => {
                write!(f, "the disk of {} is full, for {} s", target(index), lasts / 1000)
            }
            Deed::FillLedger { lasts } => write!(f, "the ledger's disk is full, for {} s", lasts / 1000),
            Deed::SetClock { target: index, seconds } => {
                let whose = index.as_ref().map_or("the server".to_owned(), |index| target(index).to_string());
                write!(f, "the clock of {whose} is set by {seconds} s")
            }
        }
    }
}

impl fmt::Display for Besides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.when_released {
            f.write_str(", when released")?;
        }
        if self.after_current {
            f.write_str(", after what is under way")?;
        }
        if let Some(minutes) = self.at {
            write!(f, ", in {minutes} min")?;
        }
        if let Some(minutes) = self.expires {
            write!(f, ", within {minutes} min")?;
        }
        if let Some(index) = self.only {
            write!(f, ", on {} only", crate::cast::target(index))?;
        }
        if let Some(thinks) = self.thinks {
            write!(f, ", as planned {} s before", thinks / 1000)?;
        }
        if !self.care.is_empty() {
            let care = serde_json::to_string(&self.care).unwrap_or_default();
            write!(f, ", with {care}")?;
        }
        Ok(())
    }
}
