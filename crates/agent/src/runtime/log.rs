//! A copy's log: every line it writes with its time and stream, in a bounded number of bounded files.
//!
//! A line is `<RFC 3339 time> <out|err|keeper> <text>`. The newest lines are in `<copy>.log`, older ones in
//! `<copy>.log.1` to `.4`.

use jiff::Timestamp;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// How much is kept: 50 MB a file, five files a copy.
pub(super) const LIMITS: Limits = Limits { file_bytes: 50 << 20, files: 5 };
/// The longest line kept in one piece; a longer one goes on in the next.
pub(super) const MAX_LINE_BYTES: usize = 16 << 10;

/// How large logs may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The size at which a file is rotated.
    pub file_bytes: u64,
    /// How many files there are, the newest included.
    pub files: u32,
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The process's standard output.
    Out,
    /// Its standard error.
    Err,
    /// The keeper itself, about starts and ends.
    Keeper,
}

impl Stream {
    /// The word that stands in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Out => "out",
            Stream::Err => "err",
            Stream::Keeper => "keeper",
        }
    }
}

/// The name of the `number`th older file of a log.
pub(super) fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Turns the pieces read from a pipe into whole lines.
pub(super) struct LineSplitter {
    stream: Stream,
    partial: Vec<u8>,
}

impl LineSplitter {
    pub fn new(stream: Stream) -> Self {
        Self { stream, partial: Vec::new() }
    }

    /// Takes the next piece and appends the lines it completes to `out`, ready for the log.
    pub fn push(&mut self, mut piece: &[u8], now: Timestamp, out: &mut Vec<u8>) {
        while !piece.is_empty() {
            let room = MAX_LINE_BYTES - self.partial.len();
            let window = &piece[..piece.len().min(room)];
            let end = window.iter().position(|byte| *byte == b'\n');
            self.partial.extend_from_slice(&window[..end.unwrap_or(window.len())]);
            piece = &piece[end.map_or(window.len(), |end| end + 1)..];
            if end.is_some() || self.partial.len() >= MAX_LINE_BYTES {
                self.emit(now, out);
            }
        }
    }

    /// Appends a last line that did not end, if there is one.
    pub fn finish(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            self.emit(now, out);
        }
    }

    fn emit(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        append_line(self.stream, self.partial.strip_suffix(b"\r").unwrap_or(&self.partial), now, out);
        self.partial.clear();
    }
}

/// Appends one line in the log's form to `out`.
pub(super) fn append_line(stream: Stream, text: &[u8], now: Timestamp, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{now:.3} {} ", stream.as_str()).as_bytes());
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// Writes a log and rotates it. It never fails: what cannot be written is dropped and counted, because a full disk
/// must not stop the service.
pub(super) struct LogWriter {
    path: PathBuf,
    limits: Limits,
    file: Option<File>,
    size_bytes: u64,
    dropped: u64,
    unreported: u64,
    /// The last write stopped in the middle of a line.
    torn: bool,
}

impl LogWriter {
    pub fn new(path: PathBuf, limits: Limits) -> Self {
        let mut log = Self { path, limits, file: None, size_bytes: 0, dropped: 0, unreported: 0, torn: false };
        let _counted_when_a_line_is_lost = log.open();
        log
    }

    /// How many lines were lost so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Writes whole lines.
    pub fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if let Err(written) = self.try_write(lines) {
            let lost = lines[written..].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.dropped += lost;
            self.unreported += lost;
            self.torn |= written > 0 && lines[written - 1] != b'\n';
            // The file may have been removed or its disk taken away: the next write opens it anew.
            self.file = None;
        }
    }

    /// On failure, how many bytes were written all the same.
    fn try_write(&mut self, lines: &[u8]) -> Result<(), usize> {
        if self.size_bytes > 0 && self.size_bytes + lines.len() as u64 > self.limits.file_bytes {
            self.rotate();
        }
        self.open().map_err(|_| 0usize)?;
        if self.torn {
            self.append(b"\n").map_err(|_| 0usize)?;
            self.torn = false;
        }
        if self.unreported > 0 {
            let mut note = Vec::new();
            let text = format!("{} lines are missing here: the log could not be written", self.unreported);
            append_line(Stream::Keeper, text.as_bytes(), Timestamp::now(), &mut note);
            match self.append(&note) {
                Ok(()) => self.unreported = 0,
                Err(written) => {
                    self.torn |= written > 0;
                    return Err(0);
                }
            }
        }
        self.append(lines)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut written = 0;
        while written < bytes.len() {
            let file = self.file.as_mut().ok_or(written)?;
            match file.write(&bytes[written..]) {
                Ok(0) => return Err(written),
                Ok(count) => {
                    written += count;
                    self.size_bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(written),
            }
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            let file = OpenOptions::new().append(true).create(true).mode(0o640).open(&self.path)?;
            self.size_bytes = file.metadata()?.size();
            self.file = Some(file);
        }
        Ok(())
    }

    fn rotate(&mut self) {
        self.file = None;
        let oldest = self.limits.files.saturating_sub(1);
        for number in (1..oldest).rev() {
            let _missing_ones_are_no_loss = fs::rename(rotated(&self.path, number), rotated(&self.path, number + 1));
        }
        let moved =
            if oldest == 0 { fs::remove_file(&self.path) } else { fs::rename(&self.path, rotated(&self.path, 1)) };
        if moved.is_err() {
            // Rather lose old lines than grow without bound.
            let _tried_again_next_time = OpenOptions::new().write(true).truncate(true).open(&self.path);
        }
        self.size_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(stream: &mut LineSplitter, piece: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        stream.push(piece, Timestamp::UNIX_EPOCH, &mut out);
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn pieces_become_lines_of_bounded_length() {
        let mut out = LineSplitter::new(Stream::Out);
        assert_eq!(lines(&mut out, b"one\r\ntw"), ["1970-01-01T00:00:00.000Z out one"]);
        assert_eq!(lines(&mut out, b"o\n\n"), ["1970-01-01T00:00:00.000Z out two", "1970-01-01T00:00:00.000Z out "]);
        let long = lines(&mut out, &[b'x'; MAX_LINE_BYTES * 2 + 1]);
        assert_eq!(long.len(), 2);
        assert!(long.iter().all(|line| line.len() < MAX_LINE_BYTES + 40));
    }

    #[test]
    fn files_are_rotated_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web-1.log");
        let mut log = LogWriter::new(path.clone(), Limits { file_bytes: 100, files: 3 });
        for number in 0..100 {
            log.write(format!("line {number:04}\n").as_bytes());
        }
        let newest = fs::read_to_string(&path).unwrap();
        assert!(newest.ends_with("line 0099\n") && newest.len() <= 100);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        let older = fs::read_to_string(rotated(&path, 1)).unwrap();
        assert!(older.len() <= 100 && older < newest);
    }

    #[test]
    fn what_cannot_be_written_is_dropped_counted_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        let path = logs.join("web-1.log");
        let mut log = LogWriter::new(path.clone(), LIMITS);
        log.write(b"one\ntwo\n");
        assert_eq!(log.dropped(), 2);
        fs::create_dir(&logs).unwrap();
        log.write(b"three\n");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("keeper 2 lines are missing here") && text.ends_with("three\n"), "{text}");
        assert_eq!(log.dropped(), 2);
    }

    #[test]
    fn a_full_disk_does_not_fail() {
        let mut log = LogWriter::new("/dev/full".into(), LIMITS);
        log.write(b"one\n");
        log.write(b"two\n");
        assert_eq!(log.dropped(), 2);
    }
}
