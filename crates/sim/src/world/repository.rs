//! The repository: what is published, what targets are shown of it, and what they keep.

use super::{Step, World};
use crate::{
    cast::WEB,
    model::broken,
    process::{Answer, Request},
    script::MINUTE,
    server::{Asker, TIMESTAMP},
    thief::Archive,
};
use jiff::Timestamp;

/// Within what time a target that can be reached has refreshed.
const REFRESHES_WITHIN: u64 = 8 * MINUTE;

impl World<'_> {
    /// A target asks for a file.
    pub(super) fn serve_file(&mut self, asker: Asker, path: &str) -> Step {
        let Asker::Target { target, .. } = asker else { return Ok(()) };
        if path == TIMESTAMP {
            if let Err(error) = self.server.publish() {
                return broken("PUBLISHED", format!("the repository cannot be published: {error}"));
            }
            let elapsed = self.elapsed();
            self.model.of(WEB).publishes(&self.server, elapsed)?;
        }
        let honest = self.server.file(path);
        let shown = if self.is_taken() { self.thief_shows(target, path) } else { honest };
        self.reply(asker, Answer::File(shown));
        Ok(())
    }

    /// What a target is shown by whoever has taken the server.
    fn thief_shows(&mut self, target: usize, path: &str) -> Option<Vec<u8>> {
        let (server, now) = (&self.server, self.server.now());
        let archive = Archive { timestamps: server.published(), read: &|path| server.file(path) };
        let shown = self.thief.forger.shows(target, path, &archive, now);
        for bytes in self.thief.forger.signed() {
            self.model.of(WEB).forges(&bytes);
        }
        shown
    }

    /// A file has come to a target.
    pub(super) fn shown_file(&mut self, index: usize, file: Option<&[u8]>, clock: Timestamp) {
        let Some(Request::File(path)) = &self.agents[index].asked else { return };
        let is_full = self.agents[index].hardware.disk.is_full();
        match file {
            Some(bytes) => self.model.of(WEB).shows_file(&self.cast, index, (path, bytes), is_full, clock),
            None => self.model.of(WEB).lacks_file(path),
        }
    }

    /// Holds what a target keeps of the repository against what it has been shown.
    pub(super) fn keeps_of_repository(&mut self, index: usize) -> Step {
        let agent = &self.agents[index];
        if !self.cast.publishes() || !matches!(agent.asked, Some(Request::File(_))) {
            return Ok(());
        }
        let folder = agent.hardware.root().join("trust").join("repository");
        let kept = ["timestamp.json", "snapshot.json"].map(|name| agent.hardware.disk.shows(&folder.join(name)));
        self.model.of(WEB).keeps(index, kept)
    }

    /// Whether everybody has had the time to refresh since troubles ended.
    pub(super) fn refreshes_are_over(&self) -> bool {
        !self.cast.publishes() || self.now > self.calm + REFRESHES_WITHIN
    }

    /// Whoever could be reached for long enough knows what was published that long ago.
    pub(super) fn everybody_has_refreshed(&mut self) -> Step {
        let Some(since) = self.now.checked_sub(REFRESHES_WITHIN).filter(|since| *since >= self.calm) else {
            return Ok(());
        };
        for (index, agent) in self.agents.iter().enumerate() {
            if agent.process.is_some() && agent.down_until <= since {
                self.model.of(WEB).has_refreshed(index, since)?;
            }
        }
        Ok(())
    }
}
