//! The roots of trust: a target keeps those that owners signed, one after the other, and goes back to none.

use super::{Violation, broken, packages::Models};
use crate::cast::{Cast, target};
use trust::Digest;

/// What is known of the roots.
#[derive(Default)]
pub struct Roots {
    /// Those that owners signed, in their order.
    signed: Vec<Digest>,
    /// How many of them were accepted, and how many each target keeps.
    accepted: usize,
    kept: Vec<usize>,
}

impl Roots {
    /// The first is accepted, and everybody keeps it.
    pub fn new(cast: &Cast, targets: usize) -> Self {
        let documents = cast.later.as_ref().unwrap_or(&cast.documents);
        let signed = documents.roots.iter().map(|root| Digest::of(&root.0)).collect();
        Self { signed, accepted: 1, kept: vec![1; targets] }
    }

    /// Every root that owners signed is accepted from now on; whether that is new.
    pub fn are_accepted(&mut self) -> bool {
        let before = std::mem::replace(&mut self.accepted, self.signed.len());
        before < self.accepted
    }
}

impl Models {
    /// A target keeps these roots, after it was shown some.
    pub fn keeps_roots(&mut self, index: usize, kept: &[Digest]) -> Result<(), Violation> {
        let roots = &mut self.roots;
        // What was torn while it was written is no root.
        if kept.is_empty() {
            return Ok(());
        }
        if !roots.signed.starts_with(kept) {
            return broken("ROOTS", format!("{} keeps a root that owners never signed", target(index)));
        }
        let before = std::mem::replace(&mut roots.kept[index], kept.len());
        if kept.len() < before {
            return broken("ROOTS", format!("{} goes back to root {} from {before}", target(index), kept.len()));
        }
        if kept.len() > before {
            self.sees("a target that walks to the next root");
        }
        Ok(())
    }

    /// A target that is there keeps these roots when everything is over: all that were accepted.
    pub fn has_walked(&self, index: usize, kept: &[Digest]) -> Result<(), Violation> {
        let (known, accepted) = (kept.len(), self.roots.accepted);
        match known < accepted {
            true => broken("ROOTS", format!("{} knows root {known}, and root {accepted} is accepted", target(index))),
            false => Ok(()),
        }
    }
}
