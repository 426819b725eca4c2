//! The roots of trust that targets keep, where owners replace a key.

use super::{Step, World};
use crate::cast::target;
use crate::process::Request;
use api::read::Estate;
use domain::state::State;
use trust::Digest;

impl World<'_> {
    /// Holds the roots that a target keeps against what owners signed, once it was shown some.
    pub(super) fn keeps_of_roots(&mut self, index: usize) -> Step {
        let shown = matches!(self.agents[index].asked, Some(Request::Estate | Request::File(_)));
        match self.script.setting.rotates && shown {
            true => self.model.keeps_roots(index, &self.roots_of(index)),
            false => Ok(()),
        }
    }

    fn roots_of(&self, index: usize) -> Vec<Digest> {
        let hardware = &self.agents[index].hardware;
        let kept = hardware.disk.shows(&hardware.root().join("trust").join("documents.json")).unwrap_or_default();
        let kept = serde_json::from_slice::<Estate>(&kept);
        kept.map(|estate| estate.roots.iter().map(|root| Digest::of(&root.0)).collect()).unwrap_or_default()
    }

    /// Whoever is there knows every root that was accepted. Nobody answers a machine that has not joined.
    pub(super) fn everybody_has_walked(&mut self, state: &State) -> Step {
        let is_there = |index: &usize| {
            let has_joined = state.targets.contains_key(&target(*index));
            has_joined && self.agents[*index].process.is_some() && !self.model.is_retired(*index)
        };
        for index in (0..self.agents.len()).filter(is_there).collect::<Vec<_>>() {
            self.model.has_walked(index, &self.roots_of(index))?;
        }
        Ok(())
    }
}
