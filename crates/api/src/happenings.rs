//! What happens at the server, heard as server-sent events (HTML Living Standard, 9.2).

use crate::{client::Client, read::Happening, routes};
use std::collections::VecDeque;

/// The longest event that is kept while it arrives, in bytes.
const MAX_EVENT_BYTES: usize = 4 << 20;

/// What happens at the server, as it happens. A connection that broke is made again by the next call; what happened in
/// between is not told, so whoever listens looks at the server's answers as well.
pub struct Happenings {
    client: Client,
    response: Option<reqwest::Response>,
    reader: EventReader,
    heard: VecDeque<Happening>,
}

impl Happenings {
    pub(crate) fn of(client: Client) -> Self {
        Self { client, response: None, reader: EventReader::default(), heard: VecDeque::new() }
    }

    /// The next happening; nothing when the server could not be reached or the connection broke. May be dropped at
    /// any time without losing what was heard.
    pub async fn next(&mut self) -> Option<Happening> {
        loop {
            if let Some(happening) = self.heard.pop_front() {
                return Some(happening);
            }
            let response = match &mut self.response {
                Some(response) => response,
                None => self.response.insert(self.client.open(routes::EVENTS, &[]).await.ok()?),
            };
            match response.chunk().await {
                Ok(Some(bytes)) => {
                    // What this program does not understand yet is for newer ones.
                    let events = self.reader.take(&bytes);
                    self.heard.extend(events.iter().filter_map(|data| serde_json::from_slice(data).ok()));
                }
                Ok(None) | Err(_) => {
                    self.response = None;
                    self.reader = EventReader::default();
                    return None;
                }
            }
        }
    }
}

/// Cuts a stream of bytes into the data of its events.
#[derive(Default)]
pub struct EventReader {
    line: Vec<u8>,
    data: Vec<u8>,
    after_return: bool,
}

impl EventReader {
    /// Takes the next bytes and gives the data of the events they complete.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut events = Vec::new();
        for byte in bytes {
            let ends_line = matches!(byte, b'\n' | b'\r');
            let ended_already = *byte == b'\n' && self.after_return;
            self.after_return = *byte == b'\r';
            if !ends_line {
                self.line.push(*byte);
            } else if !ended_already {
                events.extend(self.end_line());
            }
        }
        if self.line.len() + self.data.len() > MAX_EVENT_BYTES {
            *self = Self::default();
        }
        events
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let mut data = std::mem::take(&mut self.data);
            data.pop();
            return (!data.is_empty()).then_some(data);
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.data.push(b'\n');
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_pieces_they_come_in() {
        let stream = b": hello\n\nid: 7\ndata: {\"a\":\ndata: 1}\n\nevent: x\r\ndata:two\r\n\r\ndata: cut off";
        let whole = EventReader::default().take(stream);
        assert_eq!(whole, [b"{\"a\":\n1}".to_vec(), b"two".to_vec()]);
        let mut reader = EventReader::default();
        let pieces: Vec<Vec<u8>> = stream.iter().flat_map(|byte| reader.take(&[*byte])).collect();
        assert_eq!(pieces, whole);
    }
}
