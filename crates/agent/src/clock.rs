//! What time it is on the machine, and waiting: the one clock that whatever is decided or signed here looks at.

use jiff::Timestamp;
use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// A machine's clock.
pub trait Clock {
    /// What time it is. It may be wrong, and may be set back.
    fn now(&self) -> Timestamp;
    /// How long it has been since some moment that stays the same; never runs backwards.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, pause: Duration);
}

/// The clock of the machine this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        static SINCE: LazyLock<Instant> = LazyLock::new(Instant::now);
        SINCE.elapsed()
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }
}
