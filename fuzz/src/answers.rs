//! What others answer to us: services to a health check, a Prometheus server to a question, the server with its events;
//! and what services write into their logs.

use agent::runtime::{LogLine, body_contains, status_of, values_in};
use api::happenings::EventReader;

/// The answer of a service to a health check, or of a Prometheus server.
pub fn answer(bytes: &[u8]) {
    if let Some(status) = status_of(bytes) {
        assert!(bytes.starts_with(b"HTTP/1.") && status < 1000);
    }
    for wanted in ["ok", "\"status\":\"up\""] {
        let found = body_contains(bytes, wanted);
        // Chunks may part it; without any it stands there as it is.
        let is_chunked = bytes.windows(7).any(|window| window.eq_ignore_ascii_case(b"chunked"));
        let stands = bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes());
        assert!(!found || is_chunked || stands);
    }
    let _no_panic = values_in(bytes);
}

pub fn answer_seeds() -> Vec<Vec<u8>> {
    let answers: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n",
        br#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1795348740.1,"0.25"]}]}}"#,
        br#"{"status":"success","data":{"resultType":"scalar","result":[1795348740.1,"NaN"]}}"#,
    ];
    answers.map(<[u8]>::to_vec).into()
}

/// Server-sent events, in whatever pieces they come.
pub fn events(bytes: &[u8]) {
    let whole = EventReader::default().take(bytes);
    let mut reader = EventReader::default();
    let pieces: Vec<Vec<u8>> = bytes.chunks(3).flat_map(|piece| reader.take(piece)).collect();
    assert_eq!(whole, pieces);
    assert!(whole.iter().map(Vec::len).sum::<usize>() <= bytes.len());
    for event in whole {
        let _no_panic = serde_json::from_slice::<api::read::Happening>(&event);
    }
}

pub fn events_seeds() -> Vec<Vec<u8>> {
    vec![b": hello\n\nid: 7\ndata: {\"a\":\ndata: 1}\n\nevent: x\r\ndata:two\r\n\r\ndata: cut off".into()]
}

/// A line of a log. What is shown of it drives no terminal.
pub fn log_line(bytes: &[u8]) {
    if let Some(line) = LogLine::parse(bytes) {
        assert!(!line.text.chars().any(char::is_control) && !line.at.chars().any(char::is_control), "{line:?}");
    }
}

pub fn log_line_seeds() -> Vec<Vec<u8>> {
    vec![b"2026-11-22T10:00:00.123Z out hello".into(), b"2026-11-22T10:00:00.123Z err \x1b[31mred".into()]
}
