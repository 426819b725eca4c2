//! `sortie server`: where the server is and by which keys it is known, as owners sign it and targets follow.

use super::charter::{Apply, bring, confirmed, read_pair, write_pair};
use crate::{
    connection::Connection,
    estate::{self, OwnersChange},
    failure::{Failure, OrIntegrity, OrMisused, Outcome},
    invocation::Invocation,
    output::{self, Answer},
};
use api::{
    read::{Hello, TargetStatus},
    routes,
};
use serde_json::json;
use std::path::PathBuf;
use toml_edit::{Array, DocumentMut, Item, Table, value};
use trust::{Digest, TargetName, key::PublicKey};

/// Where the server is and by which keys it is known
#[derive(Debug, clap::Args)]
pub struct Server {
    #[command(subcommand)]
    pub act: ServerAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum ServerAct {
    /// Show what the charter says of the server, and what it says of itself
    Show,
    /// Announce the server's next keys; after its restart with --rotate-keys, forget the old ones with --finish
    Rotate {
        /// Only the keys in use count from now on
        #[arg(long)]
        finish: bool,
        /// Sign, and write the signatures to this file instead of applying
        #[arg(long, value_name = "FILE")]
        sign_only: Option<PathBuf>,
        /// A file with other owners' signatures
        #[arg(long, value_name = "FILE")]
        with: Vec<PathBuf>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Tell everybody where the server will be: they try that place first, and this one after it
    Move {
        /// `https://host:port`
        #[arg(value_name = "URL")]
        url: String,
        /// Sign, and write the signatures to this file instead of applying
        #[arg(long, value_name = "FILE")]
        sign_only: Option<PathBuf>,
        /// A file with other owners' signatures
        #[arg(long, value_name = "FILE")]
        with: Vec<PathBuf>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

impl Server {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let connection = invocation.connect().await?;
        let file = PathBuf::from("charter.toml");
        match self.act {
            ServerAct::Show => show(&connection).await,
            ServerAct::Rotate { finish, sign_only, with, yes } => {
                let how = Apply { file, claim: None, sign_only, with, yes };
                rotate(invocation, &connection, finish, &how).await
            }
            ServerAct::Move { url, sign_only, with, yes } => {
                let how = Apply { file, claim: None, sign_only, with, yes };
                move_to(invocation, &connection, &url, &how).await
            }
        }
    }
}

async fn show(connection: &Connection) -> Outcome {
    let hello: Hello = connection.client.hello().await?;
    let server = &connection.policy.charter.server;
    let known = |pin: &Digest| if server.keys.contains(pin) { "" } else { "  (not in the charter)" };
    let mut lines = vec![format!("tls key   {}{}", hello.pin, known(&hello.pin))];
    lines.extend(hello.next_pin.iter().map(|next| format!("next      {next}{}", known(next))));
    let others = server.keys.iter().filter(|key| **key != hello.pin && Some(**key) != hello.next_pin);
    lines.extend(others.map(|key| format!("other     {key}")));
    let mut places = server.urls.clone();
    places.extend([connection.client.url().to_string()].into_iter().filter(|here| !server.urls.contains(here)));
    lines.extend(places.iter().map(|url| format!("place     {url}")));
    Ok(Answer::new(&json!({ "hello": hello, "urls": server.urls, "keys": server.keys }), lines.join("\n")))
}

async fn rotate(invocation: &Invocation, connection: &Connection, finish: bool, how: &Apply) -> Outcome {
    let hello: Hello = connection.client.hello().await?;
    let key = |line: &str| PublicKey::from_openssh(line).or_integrity("the server's ledger key");
    let (mut pins, mut ledger) = (vec![hello.pin], vec![key(&hello.ledger_key)?]);
    if !finish {
        let (Some(pin), Some(next)) = (hello.next_pin, &hello.next_ledger_key) else {
            return Err(Failure::failed("the server keeps no next keys ready: it is of an older version"));
        };
        pins.push(pin);
        ledger.push(key(next)?);
    }
    let server = &connection.policy.charter.server;
    if server.keys == pins && server.ledger == ledger {
        let words = match finish {
            true => "the keys in use are the only ones already".to_string(),
            false => "the next keys are announced already".into(),
        };
        return Ok(Answer::new(&json!({ "keys": pins }), words).next("sortie serve --rotate-keys"));
    }
    let mut document = charter(connection)?;
    let table = server_table(&mut document);
    table.insert("keys", value(pins.iter().map(Digest::to_string).collect::<Array>()));
    table.insert("ledger", value(ledger.iter().map(PublicKey::to_openssh).collect::<Array>()));
    let keys = if finish { "the keys in use and no others" } else { "the server's next keys beside those in use" };
    let question = format!("sign a root that names {keys}, with {}?", connection.identity.label);
    confirmed(invocation, how.yes, &question)?;
    let change = OwnersChange { online: ledger, ..OwnersChange::default() };
    let others = how.with.iter().map(|path| read_pair(path)).collect::<Result<Vec<_>, _>>()?;
    let signers = [connection.identity.signer.as_ref()];
    let next = estate::sign_root(connection, &change, document.to_string().as_bytes(), &others, &signers)?;
    if let Some(path) = &how.sign_only {
        write_pair(path, &next)?;
        let words = format!("signed into {}; nothing was applied", path.display());
        let hint = format!("another owner: the same command with --with {}", path.display());
        return Ok(Answer::new(&json!({ "signatures": path }), words).next(hint));
    }
    let accepted = estate::apply_root(connection, &next).await?;
    Ok(match finish {
        true => {
            let unseen = unseen(connection).await?;
            let mut data = serde_json::to_value(&accepted).unwrap_or_default();
            if let Some(fields) = data.as_object_mut() {
                fields.insert("unseen".into(), json!(unseen));
            }
            Answer::new(&data, finished_in_words(&unseen)).next("sortie server show")
        }
        false => Answer::new(
            &accepted,
            "the next keys are announced: whoever has this charter believes them. Once the targets have been seen, restart \
             the server with --rotate-keys; then: sortie server rotate --finish",
        )
        .next("sortie serve --rotate-keys"),
    })
}

/// The targets that have not been heard of since the server started: they believe what they were told before.
async fn unseen(connection: &Connection) -> Result<Vec<TargetName>, Failure> {
    let targets: Vec<TargetStatus> = connection.client.get(routes::TARGETS, &[]).await?;
    let is_silent = |target: &TargetStatus| !target.retired && target.seen.is_none();
    Ok(targets.into_iter().filter(is_silent).map(|target| target.name).collect())
}

fn finished_in_words(unseen: &[TargetName]) -> String {
    let done = "only the keys in use count now";
    if unseen.is_empty() {
        return format!("{done}; every target has been seen since the server started, and forgets the others.");
    }
    let names: Vec<&str> = unseen.iter().map(TargetName::as_str).collect();
    format!(
        "{done}, for people and for the targets that hear of it.\n! {} not seen since the server started: {}. Until they \
         are, they believe the old keys too, and whoever has those can speak to them as this server",
        output::count(unseen.len() as u64, "target"),
        names.join(", ")
    )
}

async fn move_to(invocation: &Invocation, connection: &Connection, url: &str, how: &Apply) -> Outcome {
    let url = url.trim_end_matches('/').to_string();
    let here = connection.client.url().to_string();
    let mut urls = vec![url.clone()];
    urls.extend([here].into_iter().filter(|here| *here != url));
    let mut document = charter(connection)?;
    server_table(&mut document).insert("urls", value(urls.iter().map(String::as_str).collect::<Array>()));
    let answer = bring(invocation, connection, &document.to_string(), how).await?;
    if how.sign_only.is_none() {
        invocation.aside(&format!(
            "whoever has this charter tries {url} first. Once the targets have been seen, start the server there on its \
             data folder; they follow by themselves"
        ));
    }
    Ok(answer)
}

fn charter(connection: &Connection) -> Result<DocumentMut, Failure> {
    String::from_utf8_lossy(&connection.documents.charter).parse().or_misused()
}

fn server_table(document: &mut DocumentMut) -> &mut dyn toml_edit::TableLike {
    let item = document.entry("server").or_insert_with(|| Item::Table(Table::new()));
    if !item.is_table_like() {
        *item = Item::Table(Table::new());
    }
    #[expect(clippy::expect_used, reason = "it was made a table just now")]
    item.as_table_like_mut().expect("a table")
}
