//! One file per verb. The doc comment of its struct is its help; `run` does it.
//!
//! The pattern: arguments as people type them (`String`, [`crate::names::Place`]); `run` reads them with
//! [`crate::names`], connects, asks the typed client or builds an act, signs and submits it, and ends in an
//! [`crate::output::Answer`] (data for `--json`, words for people, the next command) or a
//! [`crate::failure::Failure`] (code, message, next, exit). Pure parts (words, parsing, comparing) are functions of
//! their own with tests beside them. [`mod@number`] is a whole example.

use crate::{failure::Outcome, invocation::Invocation};

mod operate;
#[cfg(test)]
pub mod samples;

macro_rules! verbs {
    ($($module:ident :: $verb:ident,)*) => {
        $(mod $module;)*

        /// Every verb, in the order of the help.
        #[derive(Debug, clap::Subcommand)]
        pub enum Verb {
            $($verb($module::$verb),)*
        }

        impl Verb {
            /// Does what was asked.
            pub async fn run(self, invocation: &Invocation) -> Outcome {
                match self {
                    $(Verb::$verb(verb) => Box::pin(verb.run(invocation)).await,)*
                }
            }
        }
    };
}

verbs! {
    init::Init,
    push::Push,
    number::Number,
    evidence::Evidence,
    reproduce::Reproduce,
    prune::Prune,
    app::App,
    request::Request,
    release::Release,
    approve::Approve,
    deny::Deny,
    withdraw::Withdraw,
    review::Review,
    permit::Permit,
    pull::Pull,
    bundle::Bundle,
    deploy::Deploy,
    redeploy::Redeploy,
    rollback::Rollback,
    switch::Switch,
    undeploy::Undeploy,
    start::Start,
    stop::Stop,
    restart::Restart,
    pause::Pause,
    resume::Resume,
    retry::Retry,
    exclude::Exclude,
    abort::Abort,
    hold::Hold,
    freeze::Freeze,
    calendar::Calendar,
    expose::Expose,
    conceal::Conceal,
    config::Config,
    status::Status,
    why::Why,
    notes::Notes,
    history::History,
    trace::Trace,
    logs::Logs,
    escapes::Escapes,
    ledger::Ledger,
    login::Login,
    logout::Logout,
    context::Context,
    whoami::Whoami,
    token::Token,
    charter::Charter,
    server::Server,
    person::Person,
    target::Target,
    agent::Agent,
    repository::Repository,
    serve::Serve,
    witness::Witness,
    notify::Notify,
    backup::Backup,
    restore::Restore,
    explain::Explain,
    vocabulary::Vocabulary,
    completions::Completions,
    man::Man,
}

impl Verb {
    /// Whether it serves many at once. The agent does not: one thread costs it the least memory.
    pub fn serves_many(&self) -> bool {
        matches!(self, Verb::Serve(_) | Verb::Witness(_))
    }
}
