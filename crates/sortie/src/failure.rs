//! Why a command did not do what was asked: a stable code, what happened, what to type next, and the exit code.

use api::{client::ClientError, problem::Problem};
use domain::refusal::{Refusal, exit};

/// What every verb ends in.
pub type Outcome = Result<crate::output::Answer, Failure>;

/// Why a command did not do what was asked.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The same as the server's problems: code, message, next, exit.
    pub problem: Box<Problem>,
}

impl Failure {
    /// A failure in full.
    pub fn new(code: &str, exit: u8, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { problem: Box::new(Problem { code: code.into(), message, next: None, exit, refusal: None }) }
    }

    /// I/O failed, or something is away (exit 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new("FAILED", exit::FAILED, message)
    }

    /// Usage or vocabulary (exit 2).
    pub fn misused(message: impl Into<String>) -> Self {
        Self::new("MISUSED", exit::MISUSED, message)
    }

    /// A digest, signature or ledger that is not as it must be (exit 5).
    pub fn integrity(message: impl Into<String>) -> Self {
        Self::new("INTEGRITY", exit::INTEGRITY, message)
    }

    /// Waiting took too long (exit 8).
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new("TIMED_OUT", exit::TIMED_OUT, message)
    }

    /// With what was done before it failed.
    pub fn after(mut self, done: &str) -> Self {
        self.problem.message.insert_str(0, done);
        self
    }

    /// With the file that was read in the place of the name that such files have.
    pub fn in_file(mut self, usual: &str, file: &std::path::Path) -> Self {
        if let Some(rest) = self.problem.message.strip_prefix(usual) {
            self.problem.message = format!("{}{rest}", file.display());
        }
        self
    }

    /// With what stands against it.
    pub fn but(mut self, words: &str) -> Self {
        self.problem.message.push_str(&format!("; {words}"));
        self
    }

    /// With the next command to type.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.problem.next = Some(next.into());
        self
    }

    /// With what is meant in the next command, where it leaves a gap for it and the name of what was signed says so:
    /// `sortie why … --in prod` about `request 1 for web@1.4.0 to prod`.
    pub fn about(mut self, name: &str) -> Self {
        let is_one = |word: &&str| word.contains('@') || word.contains('#');
        if let (Some(next), Some(what)) = (&self.problem.next, name.split_whitespace().find(is_one)) {
            let gap = next.split(' ').find(|word| *word == "…" || (word.ends_with("#…") && what.contains('#')));
            let filled = gap.map(|gap| next.replacen(&format!(" {gap} "), &format!(" {what} "), 1));
            self.problem.next = filled.or(self.problem.next);
        }
        self
    }

    /// With the next command in words of one's own, where there is one.
    pub fn rephrase_next(mut self, rephrase: impl FnOnce(String) -> String) -> Self {
        self.problem.next = self.problem.next.map(rephrase);
        self
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.problem.code
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            // Whatever is asked for and not there has a code of its own: these are of a server that does not know the question.
            ClientError::Refused(problem) if matches!(problem.code.as_str(), "NOT_FOUND" | "METHOD_NOT_ALLOWED") => {
                older(&problem.message)
            }
            ClientError::Refused(problem) => Self { problem },
            ClientError::Away { .. } => {
                // Whoever ran no command since a move was announced has not heard of it, and cannot find the new place alone.
                Self::new("SERVER_AWAY", exit::FAILED, error.to_string())
                    .next("sortie context; where it has moved to another address: sortie login URL#PIN")
            }
            ClientError::OtherKey { .. } => {
                let ask = "`sortie serve` prints the right pin, on the server itself";
                Self::integrity(format!("{error}; {ask}")).next("sortie login URL#PIN")
            }
            ClientError::Nonsense { .. } => Self::new("NONSENSE", exit::FAILED, error.to_string()),
            ClientError::Here(why) => Self::failed(why),
        }
    }
}

fn older(said: &str) -> Failure {
    let own = env!("CARGO_PKG_VERSION");
    let message = format!(
        "{said}. It is older than this program ({own}), and cannot do this yet: whoever runs it puts the newer program in its \
         place, the server first and its agents after it (docs/upgrading.md)"
    );
    Failure::new("SERVER_OLDER", exit::FAILED, message).next("sortie status")
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { problem: Box::new(refusal.into()) }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::failed(format!("{error:#}"))
    }
}

/// For errors about what a person typed.
pub trait OrMisused<T> {
    /// Turns the error into a misuse, with its own words.
    fn or_misused(self) -> Result<T, Failure>;
}

impl<T, E: std::fmt::Display> OrMisused<T> for Result<T, E> {
    fn or_misused(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::misused(error.to_string()))
    }
}

/// For errors about documents and signatures.
pub trait OrIntegrity<T> {
    /// Turns the error into an integrity failure about `what`.
    fn or_integrity(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: std::fmt::Display> OrIntegrity<T> for Result<T, E> {
    fn or_integrity(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::integrity(format!("{what}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_server_does_not_know_is_told_as_that() {
        let refused = |code: &str, message: &str| {
            let problem = Failure::new(code, exit::MISUSED, message).problem;
            Failure::from(ClientError::Refused(problem)).problem
        };
        for (code, message) in [
            ("NOT_FOUND", "this server has nothing at /v1/rollback"),
            ("METHOD_NOT_ALLOWED", "/v1/apps cannot be asked with POST: see /openapi.json"),
        ] {
            let told = refused(code, message);
            assert_eq!((told.code.as_str(), told.exit), ("SERVER_OLDER", exit::FAILED));
            assert!(told.message.starts_with(message) && told.message.contains("is older than this program"));
        }
        assert_eq!(refused("UNKNOWN_VERSION", "web has no version 9.9.9").code, "UNKNOWN_VERSION");
    }

    #[test]
    fn what_is_meant_stands_in_the_next_command() {
        let filled = |next: &str, name: &str| Failure::failed("no").next(next).about(name).problem.next.unwrap();
        assert_eq!(
            filled("sortie why … --in prod", "request 1 for web@1.4.0 to prod"),
            "sortie why web@1.4.0 --in prod"
        );
        assert_eq!(
            filled("sortie evidence attach … --type scan --file FILE", "web@1.4.0"),
            "sortie evidence attach web@1.4.0 --type scan --file FILE"
        );
        assert_eq!(filled("sortie number web#… next", "web#3fa9c1"), "sortie number web#3fa9c1 next");
        // What only the person can say stays open.
        assert_eq!(
            filled("sortie config set web KEY=… --in prod", "web@1.4.0"),
            "sortie config set web KEY=… --in prod"
        );
        assert_eq!(filled("sortie deny web@1.4.0 --reason …", "web@1.4.0"), "sortie deny web@1.4.0 --reason …");
        assert_eq!(filled("sortie why … --in prod", "estate"), "sortie why … --in prod");
    }
}
