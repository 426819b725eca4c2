//! Why a connection failed, in words for whoever runs the machine: what libraries say is for those who read their manuals.

use std::{error::Error, io::ErrorKind};

/// Why nothing came back.
pub fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    of_cause(error)
}

/// As [`in_words`], by the cause of causes: `nothing listens there` rather than `error sending request`.
fn of_cause(error: &dyn Error) -> String {
    let (mut innermost, mut kind) = (error, None);
    while let Some(source) = innermost.source() {
        kind = source.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(kind);
        innermost = source;
    }
    match kind {
        Some(ErrorKind::ConnectionRefused) => "nothing listens there".into(),
        Some(ErrorKind::TimedOut) => "no answer in time".into(),
        Some(
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof,
        ) => "the connection broke off".into(),
        _ => without_links(&innermost.to_string()),
    }
}

/// What is said, without addresses of manuals in it.
fn without_links(said: &str) -> String {
    let words = said.split(' ').filter(|word| !word.contains("http://") && !word.contains("https://"));
    words.collect::<Vec<_>>().join(" ").trim_end_matches(':').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("error sending request for url")]
    struct Sending(#[source] io::Error);

    #[test]
    fn what_broke_off_is_said_without_a_link_to_a_manual() {
        let said = |kind, words: &str| of_cause(&Sending(io::Error::new(kind, words.to_string())));
        let manual = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest/";
        assert_eq!(said(ErrorKind::UnexpectedEof, manual), "the connection broke off");
        assert_eq!(said(ErrorKind::ConnectionRefused, "Connection refused (os error 111)"), "nothing listens there");
        assert_eq!(said(ErrorKind::Other, manual), "peer closed connection without sending TLS close_notify");
    }
}
