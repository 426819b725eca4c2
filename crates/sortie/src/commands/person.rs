//! `sortie person`.

use crate::{
    commands::charter::{self, Apply},
    context::write_whole,
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    output::Answer,
    sign, table,
};
use api::{read::PersonView, routes, write::Text};
use domain::refusal::exit;
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};
use toml_edit::{Array, DocumentMut, InlineTable, Item, TableLike, Value};
use trust::{
    PersonName, RoleName,
    authority::TrustedPolicy,
    key::PublicKey,
    names::printable,
    statement::{Act, Administration, AdministrationAct},
};

/// Add people to the charter, or take their powers away
#[derive(Debug, clap::Args)]
pub struct Person {
    #[command(subcommand)]
    pub act: PersonAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum PersonAct {
    /// Add a person, or keys and roles to one; owners sign the charter that says so
    Add {
        /// The name
        name: String,
        /// A role
        #[arg(long = "role", required = true, value_delimiter = ',')]
        roles: Vec<String>,
        /// Public keys, one a line, as in authorized_keys; `-` reads standard input
        #[arg(long, value_name = "FILE")]
        keys: PathBuf,
        /// It is a robot: it never counts as a person
        #[arg(long)]
        robot: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Take a person's powers at once; owners give them back by a new charter
    Suspend {
        /// The name
        name: String,
    },
    /// Say who a handle is: handles stay in the ledger for ever, and this name can be erased
    Name {
        /// The handle, as the charter has it: p7
        handle: String,
        /// The name; without it, the handle has none any more
        name: Option<String>,
    },
    /// List the handles of the charter, and who they are
    List,
    /// Erase a person for good: the name behind the handle, and every text that person wrote. Every proof stays whole
    Erase {
        /// The handle
        handle: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

impl Person {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        match self.act {
            PersonAct::Add { name, roles, keys, robot, yes } => {
                let name = PersonName::new(&name).or_misused()?;
                let roles = roles.iter().map(|role| RoleName::new(role)).collect::<Result<Vec<_>, _>>().or_misused()?;
                let keys = read_keys(&keys)?;
                add(invocation, &name, &roles, &keys, robot, yes).await
            }
            PersonAct::Suspend { name } => {
                let name = PersonName::new(&name).or_misused()?;
                let connection = invocation.connect().await?;
                let accepted = connection.administer(AdministrationAct::SuspendPerson { person: name.clone() }).await?;
                let words = suspended_in_words(&connection.policy, &name);
                Ok(Answer::new(&accepted, words).next("sortie person list"))
            }
            PersonAct::Name { handle, name } => self::name(invocation, &handle, name.as_deref()).await,
            PersonAct::List => list(invocation).await,
            PersonAct::Erase { handle, yes } => erase(invocation, &handle, yes).await,
        }
    }
}

/// What a suspension does, and what it does not do.
fn suspended_in_words(policy: &TrustedPolicy, name: &PersonName) -> String {
    let mut words = format!(
        "{name} is suspended: nothing that {name} signed counts any more, here and on every target that hears of it. What \
         {name} approved lacks an approval, and what {name} pushed or attested is as if it were not: none of it is deployed \
         anew. What runs goes on running, and what {name} withdrew stays withdrawn."
    );
    if policy.owners().iter().any(|(owner, _)| owner == name) {
        words.push_str(&format!(
            " As an owner {name} can still read, and sign and bring a charter together with others."
        ));
    }
    words + " Owners give the power back by any new charter: sortie charter renew."
}

async fn name(invocation: &Invocation, handle: &str, name: Option<&str>) -> Outcome {
    let person = PersonName::new(handle).or_misused()?;
    if name.is_some_and(|name| name.trim().is_empty()) {
        let why = format!("an empty name says nothing of {person}; without one, the name that {person} has is erased");
        return Err(Failure::misused(why).next(format!("sortie person name {person}")));
    }
    let connection = invocation.connect().await?;
    let text = name.map(sign::text).transpose()?;
    let act = AdministrationAct::NamePerson { person: person.clone(), name: text.as_ref().map(Text::digest) };
    let act = Act::Administration(Administration { act });
    let accepted = connection.submit_with("estate", connection.estate(), act, &[], text.as_slice()).await?;
    let words = match name {
        Some(name) => format!("{person} is {}. The ledger has no more of it than a salted digest.", printable(name)),
        None => format!("{person} has no name any more; the one it had is erased."),
    };
    Ok(Answer::new(&accepted, words).next("sortie person list"))
}

async fn list(invocation: &Invocation) -> Outcome {
    let connection = invocation.connect().await?;
    let known: Vec<PersonView> = connection.client.get(routes::PEOPLE, &[]).await?;
    let charter = &connection.policy.charter;
    let mut everyone: BTreeMap<PersonName, Vec<String>> = BTreeMap::new();
    for (name, person) in charter.people.iter().chain(&charter.robots) {
        everyone.entry(name.clone()).or_default().extend(person.roles.iter().map(RoleName::to_string));
    }
    for (name, _) in connection.policy.owners() {
        everyone.entry(name.clone()).or_default().push(trust::charter::OWNER.into());
    }
    for view in &known {
        everyone.entry(view.handle.clone()).or_default();
    }
    let mut data = Vec::new();
    let mut rows = Vec::new();
    for (handle, mut roles) in everyone {
        roles.dedup();
        let suspended = connection.policy.suspended().contains(&handle);
        let view = known.iter().find(|view| view.handle == handle);
        let (name, erased) = view.map_or((None, None), |view| (view.name.clone(), view.erased));
        let shown = match erased {
            Some(when) => format!("erased {when:.0}"),
            None => printable(name.as_deref().unwrap_or("−")),
        };
        let standing = if suspended { format!("suspended; was {}", roles.join(", ")) } else { roles.join(", ") };
        rows.push(vec![handle.to_string(), shown, standing]);
        data.push(json!({ "handle": handle, "name": name, "roles": roles, "suspended": suspended, "erased": erased }));
    }
    Ok(Answer::new(&data, table::table(&["handle", "name", "roles"], &rows)))
}

async fn erase(invocation: &Invocation, handle: &str, yes: bool) -> Outcome {
    let person = PersonName::new(handle).or_misused()?;
    let connection = invocation.connect().await?;
    let question = format!(
        "the name behind {person} and every text that {person} wrote (reasons, titles, on whose behalf) go for good. Erase?"
    );
    if !yes && !invocation.confirm(&question) {
        let message = format!("nothing was erased: {}", invocation.unconfirmed());
        return Err(
            Failure::new("NOT_CONFIRMED", exit::REFUSED, message).next(format!("sortie person erase {person} --yes"))
        );
    }
    let accepted = connection.administer(AdministrationAct::ErasePerson { person: person.clone() }).await?;
    let mut words = format!(
        "{person} is erased, and shown as erased-{} from now on. What {person} signed stays, and every proof with it. \
         The handle itself stands in signed bytes for ever; backups made before still hold the rest.",
        accepted.entry
    );
    let charter = &connection.policy.charter;
    let next = match charter.people.contains_key(&person) || charter.robots.contains_key(&person) {
        true => {
            words.push_str(" The charter still lists the handle.");
            "sortie charter show > charter.toml"
        }
        false => "sortie ledger verify",
    };
    Ok(Answer::new(&accepted, words).next(next))
}

async fn add(
    invocation: &Invocation,
    name: &PersonName,
    roles: &[RoleName],
    keys: &[PublicKey],
    robot: bool,
    yes: bool,
) -> Outcome {
    let connection = invocation.connect().await?;
    let in_force = String::from_utf8_lossy(&connection.documents.charter).into_owned();
    let text = with_person(&in_force, name, roles, keys, robot)?;
    let file = PathBuf::from("charter.toml");
    let how = Apply { file: file.clone(), claim: None, sign_only: None, with: Vec::new(), yes };
    let answer = charter::bring(invocation, &connection, &text, &how).await?;
    // A copy that said what was in force goes on saying it; one that somebody is editing is left alone.
    if std::fs::read_to_string(&file).is_ok_and(|copy| copy == in_force) {
        write_whole(&file, text.as_bytes())?;
    }
    Ok(answer)
}

/// The public keys in a file, one a line.
pub fn read_keys(path: &Path) -> Result<Vec<PublicKey>, Failure> {
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().read_to_string(&mut text).map(|_| ()),
        false => std::fs::read_to_string(path).map(|read| text = read),
    };
    read.map_err(|error| Failure::misused(format!("cannot read {}: {error}", path.display())))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(PublicKey::from_openssh).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|error| Failure::misused(format!("{}: {error}", path.display())))?;
    match keys.is_empty() {
        true => Err(Failure::misused(format!("{} has no key in it", path.display()))),
        false => Ok(keys),
    }
}

/// The charter's text with a person in it, every other line as it was.
fn with_person(
    text: &str,
    name: &PersonName,
    roles: &[RoleName],
    keys: &[PublicKey],
    robot: bool,
) -> Result<String, Failure> {
    let mut document: DocumentMut = text.parse().or_misused()?;
    let section = if robot { "robots" } else { "people" };
    let everyone = document.entry(section).or_insert_with(|| Item::Table(toml_edit::Table::new()));
    let everyone = everyone
        .as_table_like_mut()
        .ok_or_else(|| Failure::misused(format!("[{section}] of the charter is not a table")))?;
    if everyone.get(name.as_str()).is_none() {
        let mut person = InlineTable::new();
        person.insert("roles", Value::Array(Array::new()));
        person.insert("keys", Value::Array(Array::new()));
        everyone.insert(name.as_str(), Item::Value(Value::InlineTable(person)));
    }
    let person = everyone
        .get_mut(name.as_str())
        .and_then(Item::as_table_like_mut)
        .ok_or_else(|| Failure::misused(format!("{name} is not a table in the charter")))?;
    extend(person, "roles", roles.iter().map(RoleName::to_string));
    extend(person, "keys", keys.iter().map(PublicKey::to_openssh));
    Ok(document.to_string())
}

/// Adds what is not there yet to a list; a key with a comment is the same key.
fn extend(person: &mut dyn TableLike, field: &str, values: impl Iterator<Item = String>) {
    let list = person.entry(field).or_insert_with(|| Item::Value(Value::Array(Array::new())));
    let Some(list) = list.as_array_mut() else { return };
    for value in values {
        let same = |other: &Value| {
            other.as_str().is_some_and(|other| other == value || other.starts_with(&format!("{value} ")))
        };
        if !list.iter().any(same) {
            list.push(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::{
        charter::Charter,
        key::{SecretKey, Signer},
    };

    #[test]
    fn a_person_is_added_and_every_other_line_stays() {
        let key = |seed: u8| SecretKey::from_seed(&[seed; 32]).public();
        let text = "charter = \"acme\" # ours\n[people]\n# nobody yet\n[environments]\n";
        let name = PersonName::new("ann").unwrap();
        let role = |text: &str| RoleName::new(text).unwrap();
        let once = with_person(text, &name, &[role("qa")], &[key(1)], false).unwrap();
        assert!(once.contains("# ours") && once.contains("# nobody yet"), "{once}");
        let twice = with_person(&once, &name, &[role("qa"), role("ops")], &[key(1), key(2)], false).unwrap();
        let charter = Charter::from_bytes(twice.as_bytes()).unwrap();
        let held: Vec<_> = charter.people[&name].keys.iter().map(|held| held.key).collect();
        assert_eq!(held, [key(1), key(2)]);
        assert_eq!(charter.people[&name].roles.len(), 2);
        let robot = with_person("charter = \"acme\"\n", &name, &[role("ci")], &[key(3)], true).unwrap();
        assert!(Charter::from_bytes(robot.as_bytes()).unwrap().robots.contains_key(&name));
    }
}
