//! Every path of the API, once. `{name}` parts are filled by the caller with names and digests, which need no escaping.

/// GET, no login: who the server is and whether it has an estate.
pub const HELLO: &str = "/v1/hello";
/// POST, no login: a signed session statement for a token.
pub const SESSIONS: &str = "/v1/sessions";
/// POST: the one write door.
pub const COMMANDS: &str = "/v1/commands";
/// POST: what an order would do, with the id by which it is ordered so; nothing is written.
pub const PLANS: &str = "/v1/plans";
/// GET: roots, targets metadata and charter in force.
pub const ESTATE: &str = "/v1/estate";
/// GET: the signer as the server knows them.
pub const WHOAMI: &str = "/v1/whoami";
/// GET: the read-only tokens, one's own, and for owners everybody's.
pub const TOKENS: &str = "/v1/tokens";
/// GET: who the handles of the charter are, and who was erased.
pub const PEOPLE: &str = "/v1/people";
/// GET `?app=&environment=&target=&at=`: what may be deployed, what runs, who sees it.
pub const STATUS: &str = "/v1/status";
/// GET `?app=&version=&audience=`: every condition, met or not.
pub const WHY: &str = "/v1/why";
/// GET `?app=&environment=&only=`: what a rollback goes back to where nobody names it.
pub const ROLLBACK: &str = "/v1/rollback";
/// GET `?since=&app=&limit=`: the newest entries, newest first.
pub const HISTORY: &str = "/v1/history";
/// GET `?app=&keep=&days=`: the builds whose bytes may be pruned (R36).
pub const PRUNABLE: &str = "/v1/prunable";
/// GET: how many objects nothing names; POST: removes them.
pub const UNNAMED: &str = "/v1/prunable/unnamed";
/// GET: a code change followed to where it runs (R16).
pub const TRACE: &str = "/v1/trace/{commit}";
/// GET: an application with its builds and versions.
pub const APP: &str = "/v1/apps/{app}";
/// GET: a build that several jobs make, with the signed statement of each part.
pub const DRAFT: &str = "/v1/apps/{app}/drafts/{draft}";
/// GET `?app=&version=|build=&audience=`: every signed statement that stands behind a version in an audience.
pub const DOSSIER: &str = "/v1/dossier";
/// GET: a deployment.
pub const DEPLOYMENT: &str = "/v1/deployments/{deployment}";
/// GET: the targets.
pub const TARGETS: &str = "/v1/targets";
/// GET `?all=`: the freezes that are on or come, with what was signed; with `all=true` those too that are over.
pub const FREEZES: &str = "/v1/freezes";
/// GET `?from=&until=&in=`: what is planned, begins and ends, and what of it clashes.
pub const CALENDAR: &str = "/v1/calendar";
/// GET: the config in force.
pub const CONFIG: &str = "/v1/config/{app}/{environment}";
/// GET, server-sent events: entries as they are accepted, and progress as it is told.
pub const EVENTS: &str = "/v1/events";
/// GET `?scan=true`: what runs without permission, and what is not as it should be (R37).
pub const ESCAPES: &str = "/v1/escapes";
/// GET `?app=&target=&process=&lines=&follow=`: log lines as plain text.
pub const LOGS: &str = "/v1/logs";
/// GET: the newest signed checkpoint (a C2SP note).
pub const CHECKPOINT: &str = "/v1/ledger/checkpoint";
/// GET `?from=&count=`: entries as stored, one a line.
pub const ENTRIES: &str = "/v1/ledger/entries";
/// GET `?from=&to=`: the proof that the log of `to` entries extends that of `from`.
pub const CONSISTENCY: &str = "/v1/ledger/consistency";
/// POST: which of these digests the depot lacks.
pub const OBJECTS_MISSING: &str = "/v1/objects/missing";
/// PUT, GET `?channel=`: one object. A target gets what it may have; a public channel's objects need no login.
pub const OBJECT: &str = "/v1/objects/{digest}";
/// POST: many small objects in one pack.
pub const PACKS: &str = "/v1/packs";
/// POST: many small objects, to be sent back in one pack.
pub const PACKS_FETCH: &str = "/v1/packs/fetch";
/// GET, no login where the channel is public: the versions a channel may have (R6).
pub const FEED: &str = "/v1/feeds/{channel}/{app}";
/// GET, no login where the channel is public: one version of a channel, with what proves it.
pub const OFFER: &str = "/v1/feeds/{channel}/{app}/{version}";
/// GET, no login where the channel is public: its files, all of them in one pack. To whom is written down.
pub const OFFER_FILES: &str = "/v1/feeds/{channel}/{app}/{version}/files";
/// GET: how the TUF repository for agents and mirrors stands.
pub const REPOSITORY: &str = "/v1/repository";
/// GET: one file of it, below `metadata/` or `targets/`.
pub const REPOSITORY_FILE: &str = "/v1/repository/{*path}";
/// GET `?known=&wait=`, by the witness: the newest timestamp that the server alone has signed, as soon as it is another.
pub const WITNESS_CANDIDATE: &str = "/v1/witness/candidate";
/// POST, by the witness: its signature, or why it gives none.
pub const WITNESS_WORD: &str = "/v1/witness/word";
/// POST, by the witness: a withdrawal that it was brought.
pub const WITNESS_WITHDRAWALS: &str = "/v1/witness/withdrawals";
/// At a witness, GET: how it stands. POST, by anybody: a signed withdrawal, which is kept before the answer.
pub const WITNESS: &str = "/v1/witness";
/// GET `?generation=&wait=&charter=`, by an agent: its assignments, as soon as there is one newer.
pub const AGENT_POLL: &str = "/v1/agent/poll";
/// POST, by an agent: what it remembers that the ledger may have lost.
pub const AGENT_MEMORY: &str = "/v1/agent/memory";
/// GET: what is known to be lost since the ledger was put back from an older copy.
pub const LOST: &str = "/v1/ledger/lost";
/// GET, by an agent: the statements behind one assignment.
pub const AGENT_DOSSIER: &str = "/v1/agent/dossier/{generation}/{app}";
/// POST, by an agent: progress, which is not history.
pub const AGENT_PROGRESS: &str = "/v1/agent/progress";
/// POST `?done=`, by an agent: the answer to an errand, passed on as it streams; with `done=false` another request brings
/// more of it. 410 says that nobody waits for it any more.
pub const AGENT_ERRAND: &str = "/v1/agent/errands/{errand}";
/// GET: the board, for people.
pub const BOARD: &str = "/";
/// GET: Prometheus metrics.
pub const METRICS: &str = "/metrics";
/// GET: whether the process lives.
pub const HEALTHZ: &str = "/healthz";
/// GET: whether it can serve.
pub const READYZ: &str = "/readyz";
/// GET: this contract in OpenAPI 3.1.
pub const OPENAPI: &str = "/openapi.json";

/// Fills the `{…}` parts of a path in order.
pub fn path(route: &str, parts: &[&str]) -> String {
    let mut out = String::with_capacity(route.len() + 64);
    let mut parts = parts.iter();
    let mut rest = route;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        out.push_str(parts.next().copied().unwrap_or_default());
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    out
}
