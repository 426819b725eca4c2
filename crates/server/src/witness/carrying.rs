//! Passes withdrawals on to the server, as soon as they come and for as long as it takes.

use super::Witness;
use api::{
    client::ClientError,
    link::{ANSWER, within},
    problem::SIGNER_UNKNOWN,
    routes,
};
use std::time::Duration;

/// How long to wait before what the server did not take is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Passes on until the witness stops.
pub(super) async fn run(witness: &Witness) {
    loop {
        let is_done = pass_on(witness).await;
        tokio::select! {
            () = witness.brought.notified() => {}
            () = tokio::time::sleep(AGAIN), if !is_done => {}
            () = witness.stopped() => return,
        }
    }
}

/// Whether there is nothing left that the server must hear of.
async fn pass_on(witness: &Witness) -> bool {
    let mut is_done = true;
    for (payload, submission) in witness.keeping.untold() {
        let path = routes::WITNESS_WITHDRAWALS;
        let told = witness.link.ask(async |client| within(client, ANSWER, client.tell(path, &submission)).await).await;
        match told {
            Ok(()) => match witness.keeping.mark(&payload, false) {
                Ok(()) => tracing::info!(%payload, "passed a withdrawal on to the server"),
                Err(error) => tracing::error!(%error, "cannot remember that the server was told"),
            },
            Err(error) => {
                if let ClientError::Refused(problem) = &error
                    && problem.code != SIGNER_UNKNOWN
                {
                    let (code, message) = (&problem.code, &problem.message);
                    tracing::error!(%payload, %code, %message, "the server does not take a withdrawal");
                }
                is_done = false;
            }
        }
    }
    is_done
}
