//! Every answer that is not a success: a status and a [`Problem`].

use api::problem::Problem;
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use depot::{StoreError, pack::PackError};
use domain::refusal::{Refusal, exit};

use crate::{
    ledger::{LedgerError, SubmitError},
    prune::SweepError,
};

/// The most that is said of what could not be read, in characters: it may be quoted in full.
const QUOTED: usize = 400;

/// The beginning and the end of a text: the end says where it stands. Nothing in it drives a terminal.
fn shortened(text: &str) -> String {
    let text = trust::names::printable(text);
    let length = text.chars().count();
    if length <= QUOTED {
        return text;
    }
    let begin: String = text.chars().take(QUOTED * 3 / 4).collect();
    let end: String = text.chars().skip(length - QUOTED / 4).collect();
    format!("{begin} … {end}")
}

/// A no on its way to whoever asked.
#[derive(Debug)]
pub(crate) struct Failure(Box<(StatusCode, Problem)>);

impl Failure {
    /// A failure with the exit code of I/O that failed, and no next command.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let problem =
            Problem { code: code.into(), message: message.into(), next: None, exit: exit::FAILED, refusal: None };
        Self(Box::new((status, problem)))
    }

    /// With another exit code.
    pub fn exit(mut self, exit: u8) -> Self {
        self.0.1.exit = exit;
        self
    }

    /// With the next command to type.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.0.1.next = Some(next.into());
        self
    }

    /// With more words before and after its message.
    pub fn saying(mut self, before: &str, after: &str) -> Self {
        self.0.1.message = format!("{before}{}{after}", self.0.1.message);
        self
    }

    /// A body, path or query that cannot be read.
    pub fn malformed(message: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MALFORMED", shortened(&message.to_string())).exit(exit::MISUSED)
    }

    /// A value that cannot be.
    pub fn invalid(why: impl Into<String>) -> Self {
        Refusal::Invalid { why: why.into() }.into()
    }

    /// A digest or signature that does not hold.
    pub fn integrity(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message).exit(exit::INTEGRITY)
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.0.1.code
    }

    /// A task of the server's own that panicked or was cancelled.
    pub fn broken(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a request's work broke off");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "BROKEN", "the server failed at this; its log says more")
    }
}

impl From<Failure> for Box<Problem> {
    fn from(failure: Failure) -> Self {
        Box::new(failure.0.1)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, problem) = *self.0;
        (status, Json(problem)).into_response()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.exit() {
            exit::MISUSED if refusal.code().starts_with("UNKNOWN_") => StatusCode::NOT_FOUND,
            exit::MISUSED => StatusCode::BAD_REQUEST,
            exit::REFUSED => StatusCode::FORBIDDEN,
            exit::INTEGRITY => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::CONFLICT,
        };
        Self(Box::new((status, refusal.into())))
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Refused(refusal) => refusal.into(),
            SubmitError::NotWritten(_) => {
                tracing::error!(%error, "a command was not recorded");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "NOT_WRITTEN", format!("{error}. Nothing was recorded"))
            }
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        tracing::error!(%error, "the ledger could not be read");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "LEDGER_UNREADABLE", format!("the ledger cannot be read: {error}"))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (status, code, exit) = match &error {
            StoreError::NoSpace(_) => (StatusCode::INSUFFICIENT_STORAGE, "DISK_FULL", exit::FAILED),
            StoreError::Disk(_) => (StatusCode::INTERNAL_SERVER_ERROR, "DISK_FAILED", exit::FAILED),
            StoreError::Source { .. } => (StatusCode::BAD_REQUEST, "BROKEN_OFF", exit::FAILED),
            StoreError::Mismatch { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "DIGEST_MISMATCH", exit::INTEGRITY),
            StoreError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", exit::MISUSED),
            StoreError::Missing(_) => (StatusCode::NOT_FOUND, "OBJECT_MISSING", exit::CONFLICT),
            StoreError::Corrupt { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "OBJECT_CORRUPT", exit::INTEGRITY),
        };
        if status.is_server_error() {
            tracing::error!(%error, "the depot failed");
        }
        Self::new(status, code, error.to_string()).exit(exit)
    }
}

impl From<SweepError> for Failure {
    fn from(error: SweepError) -> Self {
        match error {
            SweepError::Ledger(error) => error.into(),
            SweepError::Depot(error) => error.into(),
            SweepError::Broken(_) | SweepError::Manifest(..) => Self::broken(&error),
        }
    }
}

impl From<PackError> for Failure {
    fn from(error: PackError) -> Self {
        match error {
            PackError::Store(error) => error.into(),
            PackError::Mismatch { .. } => Self::integrity("DIGEST_MISMATCH", error.to_string()),
            PackError::TooLarge(_) | PackError::TooMany(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", error.to_string()).exit(exit::MISUSED)
            }
            PackError::Unreadable(_) | PackError::Unwritable(_) | PackError::Malformed(_) => Self::malformed(error),
        }
    }
}

/// Work that waits for the disk or digests much, away from the threads that serve.
pub(crate) async fn away<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::broken(&error))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_not_sent_back_whole_nor_as_it_is() {
        let unknown = Failure::malformed(format!("unknown variant `{}\u{1b}`, at line 7", "é".repeat(1 << 20)));
        let message = unknown.0.1.message;
        assert!(message.len() < 2 * QUOTED + 10 && message.ends_with("\u{FFFD}`, at line 7"), "{message}");
        assert_eq!(Failure::malformed("short").0.1.message, "short");
    }
}
