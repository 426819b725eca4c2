//! Reading a copy's log: its last lines, and what comes after, across rotation.

use super::log::{LIMITS, MAX_LINE_BYTES, Stream, rotated};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};
use trust::names::printable;

/// The most that is read for the last lines of a log, whatever number of lines is asked for.
const MAX_TAIL_BYTES: u64 = 4 << 20;
/// The most a follower reads at a time.
const MAX_FOLLOW_BYTES: usize = 256 << 10;

/// One line of a log, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read from the process (RFC 3339).
    pub at: String,
    /// Where it came from.
    pub stream: Stream,
    /// What it says, without control characters.
    pub text: String,
}

impl LogLine {
    /// Reads a line of the log; absent for a line torn by a full disk, or that no keeper wrote: whatever stands in the time's
    /// place is shown as it is.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = String::from_utf8_lossy(line);
        let (at, rest) = line.split_once(' ')?;
        let (word, text) = rest.split_once(' ')?;
        if !at.bytes().all(|byte| byte.is_ascii_digit() || b"-:.TZ".contains(&byte)) {
            return None;
        }
        let stream = [Stream::Out, Stream::Err, Stream::Keeper].into_iter().find(|stream| stream.as_str() == word)?;
        Some(Self { at: at.to_owned(), stream, text: printable(text) })
    }
}

/// The last `lines` lines of a log, oldest first, from as many of its files as that takes.
pub(super) fn tail(path: &Path, lines: usize) -> io::Result<Vec<LogLine>> {
    let mut newest_first = Vec::new();
    let mut budget = MAX_TAIL_BYTES;
    for number in 0..LIMITS.files {
        let file = if number == 0 { path.to_owned() } else { rotated(path, number) };
        let mut file = match File::open(file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        tail_of_file(&mut file, lines, &mut budget, &mut newest_first)?;
        if newest_first.len() >= lines || budget == 0 {
            break;
        }
    }
    newest_first.truncate(lines);
    newest_first.reverse();
    Ok(newest_first)
}

/// Reads backwards in growing pieces, so that a few lines cost little.
fn tail_of_file(file: &mut File, lines: usize, budget: &mut u64, newest_first: &mut Vec<LogLine>) -> io::Result<()> {
    let size = file.seek(SeekFrom::End(0))?;
    let mut span = (MAX_LINE_BYTES as u64 * 2).min(*budget);
    loop {
        let span_here = span.min(size);
        let mut bytes = vec![0; span_here as usize];
        file.read_exact_at(&mut bytes, size - span_here)?;
        let whole = span_here == size;
        // The piece may begin inside a line, and the last line may still be being written.
        let begin =
            if whole { 0 } else { bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1) };
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(begin, |at| at + 1).max(begin);
        let found = bytes[begin..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        if whole || span == *budget || newest_first.len() + found >= lines {
            *budget -= span_here;
            let wanted = lines.saturating_sub(newest_first.len());
            newest_first
                .extend(bytes[begin..end].rsplit(|byte| *byte == b'\n').filter_map(LogLine::parse).take(wanted));
            return Ok(());
        }
        span = (span * 4).min(*budget);
    }
}

/// The last line the copy itself wrote since its keeper began, or any line if the keeper's beginning is far back.
pub(super) fn last_line_of_process(path: &Path) -> Option<String> {
    let lines = tail(path, 200).ok()?;
    let since_begin =
        lines.iter().rev().take_while(|line| !(line.stream == Stream::Keeper && line.text.starts_with("keeps ")));
    since_begin
        .filter(|line| line.stream != Stream::Keeper && !line.text.is_empty())
        .map(|line| line.text.clone())
        .next()
}

/// Reads on in a log as it grows. It does not wait: [`LogFollower::next_lines`] is called again after a while.
#[derive(Debug)]
pub struct LogFollower {
    path: PathBuf,
    file: Option<File>,
    partial: Vec<u8>,
}

impl LogFollower {
    /// Follows from the present end of the log, which may not exist yet.
    pub(super) fn from_end(path: PathBuf) -> io::Result<Self> {
        let mut follower = Self { path, file: None, partial: Vec::new() };
        if follower.open()?
            && let Some(file) = &mut follower.file
        {
            file.seek(SeekFrom::End(0))?;
        }
        Ok(follower)
    }

    /// The lines written since the last call, at most 256 KiB of them; none when there is nothing new.
    pub fn next_lines(&mut self) -> io::Result<Vec<LogLine>> {
        let mut lines = Vec::new();
        if self.file.is_none() && !self.open()? {
            return Ok(lines);
        }
        let mut budget = MAX_FOLLOW_BYTES;
        loop {
            budget -= self.read_some(budget, &mut lines)?;
            // A rotated file gets nothing more once its name has passed on; what was written until then was just read
            // only if the rotation was seen before the last read, so it is read once more before it is left.
            if budget == 0 || !self.is_rotated()? {
                return Ok(lines);
            }
            budget -= self.read_some(budget, &mut lines)?;
            if budget == 0 || !self.go_to_next_file()? {
                return Ok(lines);
            }
        }
    }

    fn open(&mut self) -> io::Result<bool> {
        match File::open(&self.path) {
            Ok(file) => self.file = Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(self.file.is_some())
    }

    /// Reads to the end of the open file or of the budget; says how much.
    fn read_some(&mut self, budget: usize, lines: &mut Vec<LogLine>) -> io::Result<usize> {
        let Some(file) = &mut self.file else { return Ok(0) };
        let mut bytes = Vec::new();
        let length = file.take(budget as u64).read_to_end(&mut bytes)?;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if self.partial.last() == Some(&b'\n') {
                self.partial.pop();
                lines.extend(LogLine::parse(&self.partial));
                self.partial.clear();
            }
        }
        Ok(length)
    }

    fn is_rotated(&self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        match std::fs::metadata(&self.path) {
            Ok(newest) => Ok(newest.ino() != file.metadata()?.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens the file that came after the one that is open: the next newer one, or the oldest there is if the open
    /// one is gone.
    fn go_to_next_file(&mut self) -> io::Result<bool> {
        let Some(file) = &self.file else { return self.open() };
        let own = file.metadata()?.ino();
        let mut older: Vec<File> =
            (1..LIMITS.files).map_while(|number| File::open(rotated(&self.path, number)).ok()).collect();
        let place = older.iter().position(|file| file.metadata().is_ok_and(|found| found.ino() == own));
        self.partial.clear();
        self.file = match place {
            Some(0) => None,
            Some(place) => Some(older.swap_remove(place - 1)),
            None => older.pop(),
        };
        if self.file.is_some() { Ok(true) } else { self.open() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::{Limits, LogWriter, append_line};
    use super::*;
    use jiff::Timestamp;

    fn write(log: &mut LogWriter, text: &str) {
        let mut line = Vec::new();
        append_line(Stream::Out, text.as_bytes(), Timestamp::now(), &mut line);
        log.write(&line);
    }

    #[test]
    fn the_last_lines_come_from_several_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web-1.log");
        assert_eq!(tail(&path, 5).unwrap(), []);
        let mut log = LogWriter::new(path.clone(), Limits { file_bytes: 200, files: 5 });
        (0..12).for_each(|number| write(&mut log, &format!("{number}\u{1b}[2J")));
        let texts: Vec<String> = tail(&path, 7).unwrap().into_iter().map(|line| line.text).collect();
        assert_eq!(texts, (5..12).map(|number| format!("{number}\u{FFFD}[2J")).collect::<Vec<_>>());
    }

    /// Found by feeding the parser: a service may write into the file where its lines are kept.
    #[test]
    fn a_line_whose_time_would_drive_a_terminal_is_none() {
        assert!(LogLine::parse(b"2026-11-22T10:00:00.123Z out hello").is_some());
        for bad in
            [&b"\x1b[2J2026-11-22T10:00:00.123Z out hello"[..], b"2026\x07 out hello", "\u{202e}Z out hello".as_bytes()]
        {
            assert_eq!(LogLine::parse(bad), None);
        }
    }

    #[test]
    fn many_lines_are_found_in_a_large_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web-1.log");
        let mut log = LogWriter::new(path.clone(), LIMITS);
        (0..5000).for_each(|number| write(&mut log, &format!("a line with number {number}")));
        let lines = tail(&path, 4000).unwrap();
        assert_eq!((lines.len(), lines[0].text.as_str()), (4000, "a line with number 1000"));
    }

    #[test]
    fn a_follower_misses_nothing_across_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web-1.log");
        let mut follower = LogFollower::from_end(path.clone()).unwrap();
        assert_eq!(follower.next_lines().unwrap(), []);
        let mut log = LogWriter::new(path, Limits { file_bytes: 120, files: 5 });
        let mut seen = Vec::new();
        for number in 0..60 {
            write(&mut log, &number.to_string());
            if number % 5 == 0 {
                seen.extend(follower.next_lines().unwrap().into_iter().map(|line| line.text));
            }
        }
        seen.extend(follower.next_lines().unwrap().into_iter().map(|line| line.text));
        assert_eq!(seen, (0..60).map(|number: u32| number.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn the_last_line_is_the_present_keepers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web-1.log");
        let mut log = LogWriter::new(path.clone(), LIMITS);
        write(&mut log, "of an earlier build");
        let mut line = Vec::new();
        append_line(Stream::Keeper, b"keeps web-1 of web#3fa9c1", Timestamp::now(), &mut line);
        log.write(&line);
        assert_eq!(last_line_of_process(&path), None);
        write(&mut log, "no such column: plan");
        assert_eq!(last_line_of_process(&path).as_deref(), Some("no such column: plan"));
    }
}
