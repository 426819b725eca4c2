//! What a program says while it runs, for the message of its failure.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};
use trust::names::printable;

/// How much of what a program says is read, in bytes, and how long after its end.
const OUTPUT_BYTES: u64 = 64 << 10;
const OUTPUT_WITHIN: Duration = Duration::from_millis(250);

/// The outputs of a program that was started with [`listen`].
pub(super) struct Said([Option<mpsc::Receiver<Vec<u8>>>; 2]);

/// What this program says is to be read.
pub(super) fn listen(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

impl Said {
    /// Reads from now on.
    pub fn by(child: &mut Child) -> Self {
        // What it complains of may stand in either.
        Self([child.stderr.take().map(read_aside), child.stdout.take().map(read_aside)])
    }

    /// ` (…)` with the last line that it wrote, fit for a message; nothing where it wrote none. For a program that has ended.
    pub fn last(self) -> String {
        let last = self.0.into_iter().flatten().find_map(|told| {
            let text = told.recv_timeout(OUTPUT_WITHIN).unwrap_or_default();
            String::from_utf8_lossy(&text).lines().rfind(|line| !line.trim().is_empty()).map(printable)
        });
        last.map(|line| format!(" ({line})")).unwrap_or_default()
    }
}

/// Reads what a program says by a thread of its own: whatever the program started may hold its output open for ever.
fn read_aside(mut output: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _as_far_as_it_goes = output.by_ref().take(OUTPUT_BYTES).read_to_end(&mut text);
        let _nobody_listens = tell.send(text);
        let _the_rest = std::io::copy(&mut output, &mut std::io::sink());
    });
    told
}
