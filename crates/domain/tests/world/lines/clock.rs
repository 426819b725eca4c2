//! Time, and what the server does by the clock.

use crate::world::World;
use domain::{
    command::{Actor, Command},
    plan,
};
use jiff::{SignedDuration, Timestamp};
use trust::statement::RequestId;

impl World {
    /// Lets time pass as the server does: it stops wherever something is due, and does that.
    pub(super) fn time_passes(&mut self, count: i64, unit: &str) -> Vec<String> {
        let seconds = count
            * match unit.trim_end_matches('s') {
                "second" => 1,
                "minute" => 60,
                "hour" => 3600,
                "day" => 86_400,
                _ => panic!("{unit} is no unit of time"),
            };
        let end: Timestamp = self.now.checked_add(SignedDuration::from_secs(seconds)).expect("in this era");
        let mut said = Vec::new();
        loop {
            let (commands, next) = plan::due(&self.state, self.now, &self.away, &self.lost);
            if let Some((id, command)) = commands.into_iter().next() {
                let entries = self.history.len();
                assert!(self.asked_by_clock.insert(id.clone()), "{} is asked for again", id.as_str());
                said.extend(self.submit(Actor::Clock, None, id, command));
                assert!(self.history.len() > entries, "what is due can be done: {said:?}");
                continue;
            }
            match next {
                Some(next) if next <= end => self.now = next,
                _ => break,
            }
        }
        self.now = end;
        said
    }

    pub(super) fn by_clock(&mut self, command: Command) -> Vec<String> {
        self.requests_made += 1;
        let id = RequestId::new(format!("clock-{}", self.requests_made)).expect("a short id");
        self.submit(Actor::Clock, None, id, command)
    }

    pub(super) fn due(&self) -> Vec<String> {
        match plan::due(&self.state, self.now, &self.away, &self.lost) {
            (commands, _) if !commands.is_empty() => {
                commands.iter().map(|(id, _)| format!("due: {}", id.as_str())).collect()
            }
            (_, Some(next)) => vec![format!("nothing is due before {next:.0}")],
            (_, None) => vec!["nothing is due".into()],
        }
    }
}
