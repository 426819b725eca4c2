//! Bridges between bodies that stream and work that blocks: a bounded channel in between, so that neither runs ahead.

use axum::body::{Body, Bytes};
use futures_util::StreamExt;
use std::io::{self, Read, Write};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Pieces on their way at a time.
const AHEAD: usize = 8;
/// How many bytes a piece has when a file is read.
const PIECE_BYTES: usize = 128 << 10;

/// Reads a body from a blocking thread.
pub(crate) struct BodyReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

/// A reader of `body`; the body is fed to it by a task of its own.
pub(crate) fn reader(body: Body) -> BodyReader {
    let (sender, pieces) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let mut body = body.into_data_stream();
        while let Some(piece) = body.next().await {
            if sender.send(piece.map_err(io::Error::other)).await.is_err() {
                return;
            }
        }
    });
    BodyReader { pieces, rest: Bytes::new() }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
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
