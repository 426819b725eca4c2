//! Bridges between bodies that stream and work that blocks: a bounded channel in between, so that neither runs ahead.

use axum::body::{Body, Bytes};
use futures_util::StreamExt;
use std::io::{self, Read, Write};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Pieces on their way out at a time.
const AHEAD: usize = 8;
/// Pieces on their way in at a time: a sender's are frames, of a few kilobytes each.
const AHEAD_IN: usize = 64;
/// How many bytes a piece has when a file is read.
const PIECE_BYTES: usize = 128 << 10;

/// Reads a body from a blocking thread.
pub(crate) struct BodyReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
    /// Why the body broke off, where what came before is not all read yet.
    broken: Option<io::Error>,
}

/// A reader of `body`; the body is fed to it by a task of its own.
pub(crate) fn reader(body: Body) -> BodyReader {
    let (sender, pieces) = mpsc::channel(AHEAD_IN);
    tokio::spawn(async move {
        let mut body = body.into_data_stream();
        while let Some(piece) = body.next().await {
            if sender.send(piece.map_err(io::Error::other)).await.is_err() {
                return;
            }
        }
    });
    BodyReader { pieces, rest: Bytes::new(), broken: None }
}

impl Read for BodyReader {
    /// Waits where nothing is there, and takes all that is: what is read at once is hashed and written at once.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            if let Some(error) = self.broken.take() {
                return Err(error);
            }
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let mut filled = 0;
        loop {
            let count = self.rest.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&self.rest.split_to(count));
            filled += count;
            if filled == buffer.len() {
                return Ok(filled);
            }
            match self.pieces.try_recv() {
                Ok(Ok(piece)) => self.rest = piece,
                Ok(Err(error)) => {
                    self.broken = Some(error);
                    return Ok(filled);
                }
                Err(_) => return Ok(filled),
            }
        }
    }
}

/// Writes a body from a blocking thread.
pub(crate) struct BodyWriter {
    pieces: mpsc::Sender<io::Result<Bytes>>,
}

/// A body and the writer that fills it. An error given to [`BodyWriter::fail`] breaks the body off, so that the
/// receiver never takes a part for the whole.
pub(crate) fn writer() -> (BodyWriter, Body) {
    let (pieces, receiver) = mpsc::channel(AHEAD);
    (BodyWriter { pieces }, Body::from_stream(ReceiverStream::new(receiver)))
}

impl BodyWriter {
    /// Breaks the body off.
    pub fn fail(self, why: String) {
        // Whoever has gone away need not be told.
        let _ = self.pieces.blocking_send(Err(io::Error::other(why)));
    }

    /// Another writer of the same body.
    pub fn again(&self) -> Self {
        Self { pieces: self.pieces.clone() }
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        self.pieces.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A body of what `reader` gives, read on a blocking thread.
pub(crate) fn body_of(mut reader: impl Read + Send + 'static) -> Body {
    let (mut writer, body) = writer();
    tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return,
                Ok(count) => {
                    if writer.write_all(&piece[..count]).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return writer.fail(error.to_string()),
            }
        }
    });
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(pieces: Vec<io::Result<Bytes>>, buffer_bytes: usize) -> (Vec<u8>, bool) {
        let (sender, receiver) = mpsc::channel(AHEAD_IN);
        pieces.into_iter().for_each(|piece| sender.try_send(piece).unwrap());
        drop(sender);
        let mut reader = BodyReader { pieces: receiver, rest: Bytes::new(), broken: None };
        let (mut read, mut buffer) = (Vec::new(), vec![0; buffer_bytes]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return (read, true),
                Ok(count) => read.extend_from_slice(&buffer[..count]),
                Err(_) => return (read, false),
            }
        }
    }

    #[test]
    fn a_body_is_read_whole_in_whatever_pieces_it_comes_and_never_taken_for_whole_when_it_breaks_off() {
        let pieces = || ["abc", "", "de", "fghij"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
        for buffer_bytes in [1, 2, 4, 64] {
            assert_eq!(read_all(pieces().into(), buffer_bytes), (b"abcdefghij".to_vec(), true));
            let broken = pieces().into_iter().chain([Err(io::Error::other("gone"))]).collect();
            assert_eq!(read_all(broken, buffer_bytes), (b"abcdefghij".to_vec(), false));
        }
    }
}
