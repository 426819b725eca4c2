//! `sortie config`.

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    invocation::Invocation,
    names::{self, Place},
    output::{self, Answer},
    secrets, sign, table,
};
use api::{
    read::{BuildName, ConfigView},
    routes,
    write::Accepted,
};
use domain::refusal::{Refusal, exit};
use serde_json::json;
use std::collections::BTreeMap;
use trust::{
    AppName, AudienceName, TargetName,
    config::{ConfigDocument, ConfigValue},
    manifest::{ConfigKey, config_may_fill},
    statement::{self, Act},
};

/// The values an environment gives to the keys an application declares
#[derive(Debug, clap::Args)]
pub struct Config {
    #[command(subcommand)]
    pub act: ConfigAct,
}

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigAct {
    /// Sign and set values; changes nothing that runs
    Set {
        /// The application
        app: String,
        /// KEY=VALUE; KEY alone asks for the value
        #[arg(required = true, value_name = "KEY[=VALUE]")]
        values: Vec<String>,
        /// Encrypt to the environment's targets; the server never sees it
        #[arg(long)]
        secret: bool,
        /// Encrypt for this target on your own word, though no signature that counts vouches for its key
        #[arg(long, value_name = "TARGET")]
        vouch: Vec<TargetName>,
        #[command(flatten)]
        place: Place,
    },
    /// Take values away
    Unset {
        /// The application
        app: String,
        /// Which
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Show the values in force; secrets stay hidden
    Get {
        /// The application
        app: String,
        /// One key only
        key: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Compare what is set with what the newest build declares, or with another environment
    Diff {
        /// The application
        app: String,
        #[command(flatten)]
        place: Place,
        /// The other environment
        #[arg(long, value_name = "ENVIRONMENT")]
        with: Option<String>,
    },
    /// Encrypt secrets anew, so that targets which joined later can read them too
    Rewrap {
        /// The application
        app: String,
        /// Encrypt for this target on your own word, though no signature that counts vouches for its key
        #[arg(long, value_name = "TARGET")]
        vouch: Vec<TargetName>,
        #[command(flatten)]
        place: Place,
    },
}

impl Config {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        match self.act {
            ConfigAct::Set { app, values, secret, vouch, place } => {
                let secret = secret.then_some(vouch.as_slice());
                set(invocation, &app, &values, secret, &place).await
            }
            ConfigAct::Unset { app, keys, place } => unset(invocation, &app, &keys, &place).await,
            ConfigAct::Get { app, key, place } => get(invocation, &app, key.as_deref(), &place).await,
            ConfigAct::Diff { app, place, with } => diff(invocation, &app, &place, with).await,
            ConfigAct::Rewrap { app, vouch, place } => rewrap(invocation, &app, &vouch, &place).await,
        }
    }
}

/// The config of an application in an environment: what the server has, and what of it was verified here.
struct InForce {
    connection: Connection,
    app: AppName,
    environment: AudienceName,
    view: ConfigView,
}

impl InForce {
    async fn find(invocation: &Invocation, app: &str, place: &Place) -> Result<Self, Failure> {
        let app = names::app_name(app)?;
        let connection = invocation.connect().await?;
        let environment = connection.environment(place)?;
        let view = view(&connection, &app, &environment).await?;
        Ok(Self { connection, app, environment, view })
    }

    /// Whom secrets are encrypted for: targets that somebody who may invite has invited, and those that whoever types
    /// this vouches for. A server could name a machine of its own among them; then nothing is encrypted.
    fn recipients(&self, vouch: &[TargetName]) -> Result<BTreeMap<TargetName, String>, Failure> {
        let policy = &self.connection.policy;
        let mut recipients = BTreeMap::new();
        for (name, recipient) in &self.view.recipients {
            let proof = self.view.vouched.get(name).ok_or("the server shows no signature".to_string());
            let enrolled = proof.and_then(|proof| {
                policy.enrolment(&proof.invitation, &proof.enrolment).map_err(|error| error.to_string())
            });
            let why = match enrolled {
                Ok(joined) if joined.target == *name && joined.environment == self.environment => {
                    recipients.insert(name.clone(), joined.recipient);
                    continue;
                }
                Ok(joined) => format!("the signatures are of {} in {}", joined.target, joined.environment),
                Err(why) => why,
            };
            if vouch.contains(name) {
                recipients.insert(name.clone(), recipient.clone());
                continue;
            }
            let message = format!(
                "nobody who may invite to {} vouches for the key of {name}: {why}. Nothing was encrypted. Whoever holds \
                 the server could have put it there; or its inviter has left, and owners may uphold the invitation",
                self.environment
            );
            return Err(Failure::new("TARGET_UNVOUCHED", exit::INTEGRITY, message)
                .next(format!("sortie target retire {name}   or, if you know that machine: --vouch {name}")));
        }
        Ok(recipients)
    }

    /// The values in force, to build on. Fails where nobody who may configure here now vouches for them.
    async fn verified_values(&self) -> Result<BTreeMap<String, ConfigValue>, Failure> {
        self.vouched_values().await?.ok_or_else(|| {
            let who = "whoever signed the config in force may configure here no longer, so that no target takes it";
            let next = format!("sortie config set {} KEY=VALUE --in {}", self.app, self.environment);
            Failure::new("CONFIG_UNVOUCHED", exit::REFUSED, format!("{who}: set the values anew")).next(next)
        })
    }

    /// The values in force, once it is known that these very bytes were signed. None where the signer may configure
    /// here no longer: a new charter or a suspension ends what the signature is worth to the targets.
    async fn vouched_values(&self) -> Result<Option<BTreeMap<String, ConfigValue>>, Failure> {
        let Some(document) = &self.view.document else { return Ok(Some(BTreeMap::new())) };
        let not_genuine = |why: &str| {
            Failure::integrity(format!("the config in force cannot be built on: {why}"))
                .next(format!("sortie config get {} --in {}", self.app, self.environment))
        };
        let listed = self.connection.app(&self.app).await?;
        let newest = listed.builds.first().ok_or_else(|| not_genuine("the application has no build"))?;
        let name = BuildName { build: newest.name.build, version: None };
        let dossier = self.connection.dossier(&self.app, &name, Some(&self.environment)).await?.dossier;
        let statement = self.connection.open(dossier.config.as_ref(), "config")?;
        let digest = document.digest().map_err(|error| not_genuine(&error.to_string()))?;
        let is_it = matches!(&statement.act, Act::Config(config) if config.app == self.app
            && config.environment == self.environment && config.serial == self.view.serial);
        if !is_it || statement.subject != digest || document.app != self.app || document.environment != self.environment
        {
            return Err(not_genuine("the server gave another document than was signed"));
        }
        let environment = self.connection.charter_environment(&self.environment);
        let rule = environment.map(|environment| environment.configure.as_ref().unwrap_or(&environment.deploy));
        let counts = rule.is_some_and(|rule| self.connection.signed_by(dossier.config.as_ref(), rule));
        Ok(counts.then(|| document.values.clone()))
    }

    /// What a new set begins with. Values that nobody vouches for any more are left out, and named: whoever signs
    /// the new set would vouch for them unseen.
    async fn values_to_begin_with(&self, invocation: &Invocation) -> Result<BTreeMap<String, ConfigValue>, Failure> {
        if let Some(values) = self.vouched_values().await? {
            return Ok(values);
        }
        let left: Vec<String> =
            self.view.document.iter().flat_map(|document| document.values.keys().cloned()).collect();
        invocation.aside(&format!(
            "whoever set {} may configure {} no longer: this set begins anew, without them",
            left.join(", "),
            self.environment
        ));
        Ok(BTreeMap::new())
    }

    /// Signs and sets these values, all of them. `all_fresh` says that every secret was encrypted just now.
    async fn sign(&self, values: BTreeMap<String, ConfigValue>, all_fresh: bool) -> Result<Accepted, Failure> {
        let has_secret = values.values().any(|value| matches!(value, ConfigValue::Secret(_)));
        // A secret that was set before a target joined stays unreadable to it until it is encrypted anew.
        let reads = |target: &&TargetName| all_fresh || !self.view.lacking.contains(*target);
        let document = ConfigDocument {
            app: self.app.clone(),
            environment: self.environment.clone(),
            values,
            salt: sign::fresh_salt()?,
        };
        let bytes = document.to_bytes().map_err(|error| Failure::failed(error.to_string()))?;
        let recipients =
            if has_secret { self.view.recipients.keys().filter(reads).cloned().collect() } else { Default::default() };
        let act = Act::Config(statement::Config {
            app: self.app.clone(),
            environment: self.environment.clone(),
            serial: self.view.serial + 1,
            keys: document.keys(),
            recipients,
        });
        let name = format!("config of {} in {}", self.app, self.environment);
        self.connection.submit_with(&name, trust::Digest::of(&bytes), act, &[bytes], &[]).await
    }

    fn deploy_config(&self) -> String {
        format!("sortie deploy {} --to {} --config-only", self.app, self.environment)
    }
}

async fn view(connection: &Connection, app: &AppName, environment: &AudienceName) -> Result<ConfigView, Failure> {
    let path = routes::path(routes::CONFIG, &[app.as_str(), environment.as_str()]);
    Ok(connection.client.get(&path, &[]).await?)
}

/// Sets values; secret ones where `vouch` is given, for the targets that are vouched for.
async fn set(
    invocation: &Invocation,
    app: &str,
    given: &[String],
    vouch: Option<&[TargetName]>,
    place: &Place,
) -> Outcome {
    let secret = vouch.is_some();
    let config = InForce::find(invocation, app, place).await?;
    let recipients = vouch.map(|vouch| config.recipients(vouch)).transpose()?.unwrap_or_default();
    let mut values = config.values_to_begin_with(invocation).await?;
    let own = if secret { Some(secrets::own_identity()?) } else { None };
    let mut keys = Vec::new();
    for text in given {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_string())),
            None => (text.as_str(), None),
        };
        check_key(&config.view.declared, key, secret).map_err(|failure| match failure.problem.refusal {
            Some(Refusal::ConfigRefused { .. }) if config.view.declared.get(key).is_some_and(|key| key.secret) => {
                failure.next(format!("sortie config set {} {key} --secret --in {}", config.app, config.environment))
            }
            Some(Refusal::ConfigRefused { .. }) => {
                failure.next(format!("sortie config diff {} --to {}", config.app, config.environment))
            }
            _ => failure,
        })?;
        let value = value.map_or_else(|| secrets::ask(key, secret), Ok)?;
        let value = match &own {
            Some(own) => ConfigValue::Secret(secrets::encrypt(&value, &recipients, own)?),
            None => ConfigValue::Plain(value),
        };
        values.insert(key.to_string(), value);
        keys.push(key.to_string());
    }
    let kept = |(key, value): (&String, &ConfigValue)| matches!(value, ConfigValue::Secret(_)) && !keys.contains(key);
    let all_fresh = !values.iter().any(kept);
    let accepted = config.sign(values, all_fresh).await?;
    for key in keys.iter().filter(|key| !config.view.declared.contains_key(*key)) {
        invocation.aside(&format!(
            "the newest build of {} declares no {key}: it reaches no process until one does",
            config.app
        ));
    }
    let how = if secret { encrypted_for(&recipients) } else { "set".into() };
    let words = format!("{}: {how}, signed by you. Nothing that runs has changed.", keys.join(", "));
    Ok(Answer::new(&accepted, words).next(config.deploy_config()))
}

fn encrypted_for(recipients: &BTreeMap<TargetName, String>) -> String {
    let names: Vec<String> = recipients.keys().map(TargetName::to_string).collect();
    if names.is_empty() {
        "encrypted for no target yet: rewrap once one has joined".into()
    } else {
        format!("encrypted for {}", names.join(", "))
    }
}

/// The keys that config may set, and as what.
fn check_key(declared: &BTreeMap<String, ConfigKey>, key: &str, secret: bool) -> Result<(), Failure> {
    let name_like = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if key.is_empty() || !key.bytes().all(name_like) || key.as_bytes()[0].is_ascii_digit() {
        let key = trust::names::printable(key);
        return Err(Failure::misused(format!("'{key}' is no key: use letters, digits and underscores")));
    }
    if !config_may_fill(key) {
        let why = format!("{key} decides what code a process loads: put it in [environment] of sortie.toml");
        return Err(Refusal::ConfigRefused { why }.into());
    }
    match declared.get(key) {
        Some(declared) if declared.secret && !secret => {
            let why = format!("{key} is declared as a secret: set it with --secret");
            Err(Refusal::ConfigRefused { why }.into())
        }
        _ => Ok(()),
    }
}

async fn unset(invocation: &Invocation, app: &str, keys: &[String], place: &Place) -> Outcome {
    let config = InForce::find(invocation, app, place).await?;
    let mut values = config.verified_values().await?;
    for key in keys {
        if values.remove(key).is_none() {
            let key = trust::names::printable(key);
            return Err(Failure::misused(format!("{key} is not set in {}", config.environment))
                .next(format!("sortie config get {} --in {}", config.app, config.environment)));
        }
    }
    let accepted = config.sign(values, false).await?;
    let words = format!("{}: no longer set. Nothing that runs has changed.", keys.join(", "));
    Ok(Answer::new(&accepted, words).next(config.deploy_config()))
}

async fn get(invocation: &Invocation, app: &str, key: Option<&str>, place: &Place) -> Outcome {
    let config = InForce::find(invocation, app, place).await?;
    let view = &config.view;
    let values = view.document.as_ref().map(|document| document.values.clone()).unwrap_or_default();
    if let Some(key) = key {
        let value = values.get(key).map(shown).or(view.declared.get(key).and_then(|declared| declared.default.clone()));
        let value = value.ok_or_else(|| {
            Failure::misused(format!("{} has no value in {}", trust::names::printable(key), config.environment))
        })?;
        return Ok(Answer::new(&json!({ "key": key, "value": value }), value));
    }
    let rows = rows(&values, &view.declared);
    let mut words = match rows.is_empty() {
        true => format!("{} declares and sets nothing in {}", config.app, config.environment),
        false => table::table(&["key", "value", ""], &rows),
    };
    let answer = |words: String| Answer::new(view, words);
    if view.lacking.is_empty() {
        return Ok(answer(words));
    }
    let names: Vec<String> = view.lacking.iter().map(TargetName::to_string).collect();
    words.push_str(&format!("\n{} cannot read the secrets yet", names.join(", ")));
    Ok(answer(words).next(format!("sortie config rewrap {} --in {}", config.app, config.environment)))
}

fn shown(value: &ConfigValue) -> String {
    match value {
        ConfigValue::Plain(text) => text.clone(),
        ConfigValue::Secret(_) => "********".into(),
    }
}

fn rows(values: &BTreeMap<String, ConfigValue>, declared: &BTreeMap<String, ConfigKey>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (key, declared) in declared {
        let (value, note) = match (values.get(key), &declared.default) {
            (Some(value), _) => (shown(value), if declared.secret { "secret" } else { "" }),
            (None, Some(default)) => (default.clone(), "default"),
            (None, None) => ("✗ no value".into(), if declared.secret { "secret" } else { "" }),
        };
        rows.push(vec![key.clone(), trust::names::printable(&value), note.into()]);
    }
    for (key, value) in values.iter().filter(|(key, _)| !declared.contains_key(*key)) {
        rows.push(vec![
            key.clone(),
            trust::names::printable(&shown(value)),
            "the newest build declares no such key".into(),
        ]);
    }
    rows
}

async fn diff(invocation: &Invocation, app: &str, place: &Place, with: Option<String>) -> Outcome {
    let config = InForce::find(invocation, app, place).await?;
    let values = |view: &ConfigView| view.document.as_ref().map(|d| d.values.clone()).unwrap_or_default();
    let here = values(&config.view);
    let Some(other) = with else {
        let missing: Vec<Vec<String>> = rows(&here, &config.view.declared)
            .into_iter()
            .filter(|row| row[1].starts_with('✗') || row[2].starts_with("the newest"))
            .collect();
        return Ok(match missing.is_empty() {
            true => {
                Answer::new(&missing, "every key that the newest build declares has a value, and nothing else is set")
            }
            false => Answer::new(&missing, table::table(&["key", "value", ""], &missing)),
        });
    };
    let other = config.connection.environment(&Place { audience: other })?;
    let there = values(&view(&config.connection, &config.app, &other).await?);
    let lines = differences(&here, &there);
    let words = match lines.is_empty() {
        true => format!("{} and {other} set the same", config.environment),
        false => table::table(&["key", config.environment.as_str(), other.as_str()], &lines),
    };
    Ok(Answer::new(&lines, words))
}

/// The keys whose values differ. Whether two secrets are the same nobody can see.
fn differences(here: &BTreeMap<String, ConfigValue>, there: &BTreeMap<String, ConfigValue>) -> Vec<Vec<String>> {
    let show = |value: Option<&ConfigValue>| value.map_or("−".to_string(), shown);
    let mut keys: Vec<&String> = here.keys().chain(there.keys()).collect();
    keys.sort();
    keys.dedup();
    let row = |key: &String| {
        let (one, other) = (show(here.get(key)), show(there.get(key)));
        (one != other).then(|| vec![key.clone(), trust::names::printable(&one), trust::names::printable(&other)])
    };
    keys.into_iter().filter_map(row).collect()
}

async fn rewrap(invocation: &Invocation, app: &str, vouch: &[TargetName], place: &Place) -> Outcome {
    let config = InForce::find(invocation, app, place).await?;
    let recipients = config.recipients(vouch)?;
    let mut values = config.verified_values().await?;
    let own = secrets::own_identity()?;
    let mut count = 0;
    for (key, value) in &mut values {
        let ConfigValue::Secret(armoured) = value else { continue };
        // Somebody else's secret cannot be read here, so whoever knows it types it again.
        let secret = secrets::decrypt(armoured, &own).map_or_else(|| secrets::ask(key, true), Ok)?;
        *value = ConfigValue::Secret(secrets::encrypt(&secret, &recipients, &own)?);
        count += 1;
    }
    if count == 0 {
        return Err(Failure::new(
            "ALREADY_DONE",
            exit::DONE,
            format!("{} has no secrets in {}", config.app, config.environment),
        ));
    }
    let accepted = config.sign(values, true).await?;
    let readers = encrypted_for(&recipients);
    let words = format!("{}: {readers}. Nothing that runs has changed.", output::count(count, "secret"));
    Ok(Answer::new(&accepted, words).next(config.deploy_config()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(secret: bool, default: Option<&str>) -> ConfigKey {
        ConfigKey { secret, default: default.map(String::from) }
    }

    #[test]
    fn r10_keys_are_checked_before_anything_is_signed() {
        let keys = BTreeMap::from([("DATABASE_URL".to_string(), declared(true, None))]);
        assert!(check_key(&keys, "DATABASE_URL", true).is_ok());
        assert!(check_key(&keys, "OTHER", false).is_ok());
        let refused = |key: &str| check_key(&keys, key, false).unwrap_err().problem;
        assert_eq!(refused("DATABASE_URL").code, "CONFIG_REFUSED");
        assert_eq!(refused("LD_PRELOAD").code, "CONFIG_REFUSED");
        assert_eq!(refused("a b").exit, 2);
        assert_eq!(refused("").exit, 2);
    }

    #[test]
    fn secrets_are_never_shown() {
        let values = BTreeMap::from([
            ("LEVEL".to_string(), ConfigValue::Plain("info\u{1b}[2J".into())),
            ("TOKEN".to_string(), ConfigValue::Secret("-----BEGIN".into())),
        ]);
        let keys = BTreeMap::from([
            ("TOKEN".to_string(), declared(true, None)),
            ("PLACE".to_string(), declared(false, None)),
            ("MODE".to_string(), declared(false, Some("fast"))),
        ]);
        let shown = rows(&values, &keys);
        let line = |key: &str| shown.iter().find(|row| row[0] == key).unwrap()[1..].join(" ");
        assert_eq!(line("TOKEN"), "******** secret");
        assert_eq!(line("MODE"), "fast default");
        assert_eq!(line("PLACE"), "✗ no value ");
        assert!(line("LEVEL").starts_with("info\u{FFFD}[2J"));
        let other = BTreeMap::from([("LEVEL".to_string(), ConfigValue::Plain("debug".into()))]);
        assert_eq!(differences(&values, &other).len(), 2);
    }
}
