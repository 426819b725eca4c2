//! The charter: the signed policy of an estate. People and keys, roles, robots, audiences, rules.
//!
//! It is written in TOML (`charter.toml`), and those very bytes are what the owners sign: a target named
//! `charter.toml` in the estate's TUF targets metadata, whose version is the charter's version.

mod audience;
mod life;

pub use audience::{Application, Audience, Channel, Class, DeployedBy, Environment, Numbering};
pub use life::{Life, LifeError};

use crate::{
    complaint,
    digest::Digest,
    key::{KeyId, PublicKey},
    names::{AppName, AudienceName, PersonName, RoleName, VendorName, printable},
    oidc::Oidc,
    quorum::{Directory, Rule},
    upheld::Upheld,
    vendor::Vendor,
    way::{self},
    window::{MAX_WINDOWS, Window},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The name of the charter among the TUF targets.
pub const CHARTER_TARGET: &str = "charter.toml";
/// The only charter format there is so far.
pub const FORMAT: u32 = 1;
/// The longest charter, in bytes.
pub const MAX_CHARTER_BYTES: usize = 1 << 20;
/// The role that only owners in the root of trust hold.
pub const OWNER: &str = "owner";

/// The signed policy.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charter {
    /// The organisation's name, for people.
    pub charter: String,
    /// [`FORMAT`].
    #[serde(default = "default_format")]
    pub format: u32,
    /// Features an agent must have; an agent that lacks one refuses every activation.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Counts restores and evictions.
    #[serde(default = "default_epoch")]
    pub epoch: u64,
    /// Who may push and number builds, where an application says nothing else.
    #[serde(default = "default_push")]
    pub push: Rule,
    /// The server's public keys.
    #[serde(default)]
    pub server: Server,
    /// The people by name.
    #[serde(default)]
    pub people: BTreeMap<PersonName, Person>,
    /// The robots by name. A robot never counts as a person.
    #[serde(default)]
    pub robots: BTreeMap<PersonName, Person>,
    /// The customers by name: outside readers of channels, who can do nothing else and count nowhere.
    #[serde(default)]
    pub customers: BTreeMap<PersonName, Person>,
    /// The environments by name: machines.
    #[serde(default)]
    pub environments: BTreeMap<AudienceName, Environment>,
    /// The channels by name: people who download and install for themselves.
    #[serde(default)]
    pub channels: BTreeMap<AudienceName, Channel>,
    /// The vendors by name: other estates whose releases are taken in here.
    #[serde(default)]
    pub vendors: BTreeMap<VendorName, Vendor>,
    /// What applies to one application only.
    #[serde(default)]
    pub applications: BTreeMap<AppName, Application>,
    /// The organisation's own words for what people type, and what each is called here: `golive = "deploy"` (R55). They are
    /// replaced before anything is signed: what is recorded holds Sortie's words alone.
    #[serde(default)]
    pub words: BTreeMap<String, String>,
    /// What goes on counting though its signer left, or lost the role.
    #[serde(default)]
    pub upheld: Vec<Upheld>,
    /// Withdrawals that count for nothing, by the digests of their payloads: what they took lives again. One that nobody
    /// has seen yet may stand here too.
    #[serde(default)]
    pub annulled: Vec<Digest>,
}

/// The server's public keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// SHA-256 of the TLS keys' SubjectPublicKeyInfo: the current one, and the next where one is announced.
    #[serde(default)]
    pub keys: Vec<Digest>,
    /// The keys that sign the ledger's checkpoints, as OpenSSH lines.
    #[serde(default, with = "openssh_lines")]
    pub ledger: Vec<PublicKey>,
    /// Where the server is, the likeliest place first; where it stands since joining when nothing is said.
    #[serde(default)]
    pub urls: Vec<String>,
}

/// A person or a robot.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The roles held.
    #[serde(default)]
    pub roles: BTreeSet<RoleName>,
    /// The public keys.
    #[serde(default)]
    pub keys: Vec<HeldKey>,
    /// Whose short-lived tokens speak for it instead of keys; for robots only.
    #[serde(default)]
    pub oidc: Option<Oidc>,
}

/// A key of a person or a robot: an OpenSSH line, or `{ key = "…", hardware = true }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldKey {
    /// The key.
    pub key: PublicKey,
    /// Whether the owners vouch that it is held in hardware. The bits of a smart card's key do not show it; those of a
    /// FIDO security key need no word of theirs.
    pub hardware: bool,
}

/// Why a text is not a charter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CharterError {
    /// Not UTF-8, not TOML, unknown fields, wrong types: with line and column.
    #[error("charter.toml:{line}:{column}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// Something that contradicts itself or can never be met.
    #[error("charter.toml: {0}")]
    Meaning(String),
}

impl Charter {
    /// Reads and validates a charter's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CharterError> {
        let wrong = |text: String| CharterError::Meaning(text);
        if bytes.len() > MAX_CHARTER_BYTES {
            return Err(wrong(format!("{} bytes are more than the {MAX_CHARTER_BYTES} allowed", bytes.len())));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("the file is not UTF-8 text".into()))?;
        let charter: Charter = toml::from_str(text).map_err(|error| syntax_error(text, &error))?;
        charter.validate()?;
        Ok(charter)
    }

    /// Whose key is whose. `owners` are the people of the root of trust; they alone hold the role `owner`.
    /// People in `suspended` are left out.
    pub fn directory(
        &self,
        owners: &[(PersonName, PublicKey)],
        suspended: &BTreeSet<PersonName>,
    ) -> Result<Directory, CharterError> {
        let mut directory = Directory::default();
        let shared = |error: crate::quorum::SharedKeyError| CharterError::Meaning(error.to_string());
        for (name, person) in self.people.iter().chain(&self.robots) {
            for HeldKey { key, hardware } in &person.keys {
                directory.add(name, Some(*key), person.roles.iter().cloned()).map_err(shared)?;
                if *hardware {
                    directory.declare_in_hardware(key.id());
                }
            }
            if let Some(oidc) = &person.oidc {
                directory.add_tokens(name, oidc, person.roles.iter().cloned()).map_err(shared)?;
            }
        }
        let owner = RoleName::new(OWNER).map_err(|e| CharterError::Meaning(e.to_string()))?;
        for (name, key) in owners {
            directory.add(name, Some(*key), [owner.clone()]).map_err(shared)?;
        }
        if !self.upheld.is_empty() {
            let mut with_upheld = directory.clone();
            for upheld in &self.upheld {
                with_upheld.add(&upheld.person, Some(upheld.key), []).map_err(shared)?;
            }
        }
        for name in suspended {
            directory.remove(name);
        }
        Ok(directory)
    }

    /// Whose key is whose among the customers. They stand apart, so that nothing they sign counts for anything but to log
    /// them in.
    pub fn customers(&self, suspended: &BTreeSet<PersonName>) -> Result<Directory, CharterError> {
        let mut directory = Directory::default();
        for (name, customer) in self.customers.iter().filter(|(name, _)| !suspended.contains(*name)) {
            for held in &customer.keys {
                let added = directory.add(name, Some(held.key), customer.roles.iter().cloned());
                added.map_err(|error| CharterError::Meaning(error.to_string()))?;
            }
        }
        Ok(directory)
    }

    /// The customer whose key this is.
    pub fn customer(&self, key: &KeyId) -> Option<(&PersonName, &Person)> {
        self.customers.iter().find(|(_, customer)| customer.keys.iter().any(|held| held.key.id() == *key))
    }

    /// Whether a customer with these roles may read the channel.
    pub fn customer_may_read(&self, channel: &AudienceName, roles: &BTreeSet<RoleName>) -> bool {
        let channel = self.channels.get(channel);
        channel
            .is_some_and(|channel| channel.public || channel.read.as_ref().is_some_and(|rule| rule.allows_alone(roles)))
    }

    /// As [`Self::directory`], without robots: whose signatures count as approvals.
    pub fn approvers(
        &self,
        owners: &[(PersonName, PublicKey)],
        suspended: &BTreeSet<PersonName>,
    ) -> Result<Directory, CharterError> {
        Ok(self.without_robots(self.directory(owners, suspended)?))
    }

    /// What a directory leaves of people: whose signatures count as approvals.
    pub(crate) fn without_robots(&self, mut directory: Directory) -> Directory {
        for robot in self.robots.keys() {
            directory.remove(robot);
        }
        directory
    }

    /// The audience of this name.
    pub fn audience(&self, name: &AudienceName) -> Option<Audience<'_>> {
        if let Some(environment) = self.environments.get(name) {
            return Some(Audience {
                approve: environment.approve.as_ref(),
                after: environment.after.as_ref(),
                evidence: &environment.evidence,
                class: Some(environment.class),
                excludes_author: environment.class == Class::Live && !environment.approve_own,
                hardware: environment.hardware,
                permit_days: environment.permit_days,
                ways: &environment.ways,
                windows: &environment.windows,
            });
        }
        self.channels.get(name).map(|channel| Audience {
            approve: Some(&channel.approve),
            after: channel.after.as_ref(),
            evidence: &channel.evidence,
            class: None,
            excludes_author: !channel.approve_own,
            hardware: channel.hardware,
            permit_days: default_permit_days(),
            ways: &channel.ways,
            windows: &[],
        })
    }

    /// The names of all audiences.
    pub fn audience_names(&self) -> impl Iterator<Item = &AudienceName> {
        self.environments.keys().chain(self.channels.keys())
    }

    /// Who may push and number builds of `app`.
    pub fn push_rule(&self, app: &AppName) -> &Rule {
        self.applications.get(app).and_then(|application| application.push.as_ref()).unwrap_or(&self.push)
    }

    /// How `app` is numbered.
    pub fn numbering(&self, app: &AppName) -> Numbering {
        self.applications.get(app).map(|application| application.numbers).unwrap_or_default()
    }

    /// Who deploys `app` in live environments. In test and dev its makers may always try it (R22).
    pub fn deployed_by(&self, app: &AppName, class: Class) -> DeployedBy {
        match class {
            Class::Dev | Class::Test => DeployedBy::Us,
            Class::Live => self.applications.get(app).map(|application| application.deployed_by).unwrap_or_default(),
        }
    }

    /// The vendor of `app`, where somebody else makes it.
    pub fn vendor_of(&self, app: &AppName) -> Option<(&VendorName, &Vendor)> {
        let name = self.applications.get(app)?.vendor.as_ref()?;
        self.vendors.get_key_value(name)
    }

    /// A window in a zone that this program does not know, with its environment. It never opens here, which is safe; a
    /// charter that is brought anew should have none.
    pub fn unknown_zone(&self) -> Option<(&AudienceName, &Window)> {
        let windows = self.environments.iter().flat_map(|(name, record)| record.windows.iter().map(move |w| (name, w)));
        windows.into_iter().find(|(_, window)| window.unknown_zone().is_some())
    }

    /// Whether the charter has a person, robot or customer of this name.
    pub fn names(&self, name: &PersonName) -> bool {
        [&self.people, &self.robots, &self.customers].iter().any(|table| table.contains_key(name))
    }

    /// The name of the person or robot whose key this is.
    pub fn holder(&self, key: &KeyId) -> Option<&PersonName> {
        let mut everyone = self.people.iter().chain(&self.robots);
        everyone.find(|(_, person)| person.keys.iter().any(|held| held.key.id() == *key)).map(|(name, _)| name)
    }

    fn validate(&self) -> Result<(), CharterError> {
        let wrong = |text: String| Err(CharterError::Meaning(text));
        if self.format != FORMAT {
            return wrong(format!("format {} is unknown; this program reads format {FORMAT}", self.format));
        }
        let is_word =
            |text: &str| (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        for (theirs, ours) in &self.words {
            if !is_word(theirs) || theirs.starts_with('-') || !ours.split(' ').all(is_word) {
                return wrong(format!("words: {theirs:?} = {ours:?} is no pair of words in small letters"));
            }
        }
        for (name, person) in self.people.iter().chain(&self.robots) {
            match (&person.oidc, person.keys.is_empty()) {
                (None, true) => return wrong(format!("{name} has no key")),
                (Some(_), false) => return wrong(format!("{name} signs with keys or by oidc, not both")),
                (Some(_), _) if self.people.contains_key(name) => {
                    return wrong(format!("{name} is a person, and tokens speak for robots only"));
                }
                (Some(oidc), _) => {
                    if let Some(mistake) = oidc.mistake() {
                        return wrong(format!("oidc of {name}: {mistake}"));
                    }
                }
                (None, false) => {}
            }
            if person.roles.iter().any(|role| role.as_str() == OWNER) {
                return wrong(format!(
                    "{name} cannot be made an owner here: owners stand in the root of trust (sortie charter root)"
                ));
            }
        }
        if let Some(key) = self.server.ledger.iter().find(|key| key.ed25519().is_none()) {
            return wrong(format!("server.ledger: checkpoints are signed by Ed25519 keys, not {}", key.openssh_type()));
        }
        if let Some(name) = self.people.keys().find(|name| self.robots.contains_key(*name)) {
            return wrong(format!("{name} is both a person and a robot"));
        }
        self.directory(&[], &BTreeSet::new())?;
        if let Some(url) = self.server.urls.iter().find(|url| !url.starts_with("https://")) {
            return wrong(format!("[server] urls: '{}' does not begin with https://", printable(url)));
        }
        self.validate_customers()?;
        for (app, application) in &self.applications {
            match &application.vendor {
                Some(vendor) if !self.vendors.contains_key(vendor) => {
                    return wrong(format!("applications.{app}: there is no [vendors.{vendor}]"));
                }
                Some(vendor) if application.push.is_some() => {
                    return wrong(format!("applications.{app}: it is made by {vendor}, so nobody pushes it here"));
                }
                _ => {}
            }
        }
        let mut seen = BTreeSet::new();
        if let Some(digest) = self.annulled.iter().find(|digest| !seen.insert(**digest)) {
            return wrong(format!("annulled names {digest} twice"));
        }
        if let Some(upheld) = self.upheld.iter().find(|upheld| upheld.statements.is_empty()) {
            return wrong(format!("an [[upheld]] entry of {} names no statement", upheld.person));
        }
        if let Some(name) = self.environments.keys().find(|name| self.channels.contains_key(*name)) {
            return wrong(format!("{name} is both an environment and a channel"));
        }
        for (name, environment) in &self.environments {
            if environment.approve.is_none() && environment.class != Class::Dev {
                return wrong(format!(
                    "environment {name} is of class {} and must say who approves",
                    environment.class.word()
                ));
            }
            if !(1..=3650).contains(&environment.permit_days) {
                return wrong(format!("environment {name}: permit_days is from 1 to 3650"));
            }
            if !(1..=8760).contains(&environment.stale_hours) {
                return wrong(format!("environment {name}: stale_hours is from 1 to 8760"));
            }
            if environment.windows.len() > MAX_WINDOWS {
                return wrong(format!("environment {name}: at most {MAX_WINDOWS} windows"));
            }
            if environment.offline_days > 3650 {
                return wrong(format!("environment {name}: offline_days is at most 3650"));
            }
            if let Some(mistake) = environment.mistake_in_life() {
                return wrong(format!("environment {name}: {mistake}"));
            }
            if let Some(mistake) = environment.mistake_in_rollout() {
                return wrong(format!("environment {name}: {mistake}"));
            }
        }
        for name in self.audience_names() {
            self.validate_audience(name)?;
        }
        Ok(())
    }

    /// Customers stand apart from everybody else: other names, other keys, and roles that are good for reading alone.
    fn validate_customers(&self) -> Result<(), CharterError> {
        let wrong = |text: String| Err(CharterError::Meaning(text));
        let mut everyone = self.directory(&[], &BTreeSet::new())?;
        let ours: BTreeSet<&RoleName> =
            self.people.values().chain(self.robots.values()).flat_map(|person| &person.roles).collect();
        let read: BTreeSet<RoleName> =
            self.channels.values().filter_map(|channel| channel.read.as_ref()).flat_map(Rule::roles).collect();
        for (name, customer) in &self.customers {
            if self.people.contains_key(name) || self.robots.contains_key(name) {
                return wrong(format!("{name} is a customer, and somebody else besides"));
            }
            if customer.keys.is_empty() || customer.oidc.is_some() {
                return wrong(format!("the customer {name} has a key, and logs in by nothing else"));
            }
            for held in &customer.keys {
                let added = everyone.add(name, Some(held.key), []);
                added.map_err(|error| CharterError::Meaning(error.to_string()))?;
            }
            if let Some(role) = customer.roles.iter().find(|role| ours.contains(role) || role.as_str() == OWNER) {
                return wrong(format!("the customer {name} cannot be {role}: that role does more than read a channel"));
            }
            if let Some(role) = customer.roles.iter().find(|role| !read.contains(*role)) {
                return wrong(format!("the customer {name} is {role}, and no channel says read = \"{role}\""));
            }
        }
        for (name, channel) in &self.channels {
            let Some(rule) = &channel.read else { continue };
            if channel.public {
                return wrong(format!("{name} is public: anyone reads it, and `read` says nothing"));
            }
            let held = |role: &RoleName| self.customers.values().any(|customer| customer.roles.contains(role));
            if let Some(role) = rule.roles().into_iter().find(|role| !held(role)) {
                return wrong(format!("{name} is read by the role {role}, which no customer holds"));
            }
        }
        Ok(())
    }

    fn validate_audience(&self, name: &AudienceName) -> Result<(), CharterError> {
        let Some(audience) = self.audience(name) else { return Ok(()) };
        if let Some(after) = audience.after {
            let mut seen = BTreeSet::from([name]);
            let mut next = Some(after);
            while let Some(earlier) = next {
                let Some(environment) = self.environments.get(earlier) else {
                    return Err(CharterError::Meaning(format!(
                        "{name} comes after {earlier}, which is no environment"
                    )));
                };
                if !seen.insert(earlier) {
                    return Err(CharterError::Meaning(format!("{name} comes after itself")));
                }
                next = environment.after.as_ref();
            }
        }
        self.validate_hardware(name, &audience)?;
        let environment = self.environments.get(name);
        if let Err(why) = way::validate(&audience) {
            return Err(CharterError::Meaning(format!("{name}: {why}")));
        }
        let optional = [
            environment.and_then(|e| e.configure.as_ref()),
            environment.and_then(|e| e.invite.as_ref()),
            environment.and_then(|e| e.hasten.as_ref()),
            environment.and_then(|e| e.freeze.as_ref()),
        ];
        let rules =
            audience.approve.into_iter().chain(environment.map(|e| &e.deploy)).chain(optional.into_iter().flatten());
        let by_ways = audience.ways.values().map(|way| &way.approve);
        for role in rules.chain(audience.evidence.values().map(|gate| &gate.from)).chain(by_ways).flat_map(Rule::roles)
        {
            let mut everyone = self.people.values().chain(self.robots.values());
            if role.as_str() != OWNER && !everyone.any(|person| person.roles.contains(&role)) {
                return Err(CharterError::Meaning(format!("{name} asks for the role {role}, which nobody holds")));
            }
        }
        Ok(())
    }
}

impl Charter {
    /// What hardware keys are demanded for, somebody can do.
    fn validate_hardware(&self, name: &AudienceName, audience: &Audience<'_>) -> Result<(), CharterError> {
        if !audience.hardware {
            return Ok(());
        }
        let in_hardware = |held: &HeldKey| held.hardware || held.key.is_security_key();
        for role in audience.approve.map(Rule::roles).unwrap_or_default() {
            // What keys owners have stands in the root, which is not looked at here.
            let mut holders = self.people.values().filter(|person| person.roles.contains(&role));
            if role.as_str() != OWNER && !holders.any(|person| person.keys.iter().any(in_hardware)) {
                return Err(CharterError::Meaning(format!(
                    "{name} takes approvals by keys in hardware only, and nobody in the role {role} has one: list a \
                     security key, or a smart card's as {{ key = \"…\", hardware = true }}"
                )));
            }
        }
        Ok(())
    }
}

fn syntax_error(text: &str, error: &toml::de::Error) -> CharterError {
    let (line, column) = complaint::place(text, error);
    CharterError::Syntax { line, column, message: printable(&complaint::in_words(error.message())) }
}

fn default_format() -> u32 {
    FORMAT
}

fn default_epoch() -> u64 {
    1
}

fn default_permit_days() -> u32 {
    90
}

fn default_stale_hours() -> u32 {
    24
}

fn default_ephemeral_minutes() -> u32 {
    15
}

fn default_push() -> Rule {
    "developer or ci or owner".parse().unwrap_or_else(|_| unreachable!("a constant rule parses"))
}

/// Serde form of key lists: OpenSSH lines.
mod openssh_lines {
    use crate::key::PublicKey;
    use serde::{Deserialize, Deserializer};

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PublicKey>, D::Error> {
        let lines = Vec::<String>::deserialize(deserializer)?;
        lines.iter().map(|line| PublicKey::from_openssh(line).map_err(serde::de::Error::custom)).collect()
    }
}

impl<'de> Deserialize<'de> for HeldKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            key: String,
            #[serde(default)]
            hardware: bool,
        }
        struct LineOrTable;
        impl<'de> Visitor<'de> for LineOrTable {
            type Value = HeldKey;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an OpenSSH public key line, or { key = \"…\", hardware = true }")
            }
            fn visit_str<E: de::Error>(self, line: &str) -> Result<HeldKey, E> {
                Ok(HeldKey { key: PublicKey::from_openssh(line).map_err(E::custom)?, hardware: false })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HeldKey, A::Error> {
                let Table { key, hardware } = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(HeldKey { key: PublicKey::from_openssh(&key).map_err(de::Error::custom)?, hardware })
            }
        }
        deserializer.deserialize_any(LineOrTable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{SecretKey, Signer};
    use crate::rollout::{OnFailure, Share};

    fn key(seed: u8) -> String {
        SecretKey::from_seed(&[seed; 32]).public().to_openssh()
    }

    fn fifteen_lines() -> String {
        format!(
            r#"charter = "acme"
[people]
coder  = {{ roles = ["developer"],        keys = ["{}"] }}
oncall = {{ roles = ["developer", "ops"], keys = ["{}"] }}
tester = {{ roles = ["qa"],               keys = ["{}"] }}
[robots]
ci  = {{ roles = ["ci"],               keys = ["{}"] }}
[environments]
dev  = {{ class = "dev",  deploy = "developer or ci" }}
test = {{ class = "test", approve = "developer", deploy = "developer or ci" }}
prod = {{ class = "live", approve = "qa and ops", deploy = "ops", after = "test" }}
"#,
            key(1),
            key(2),
            key(3),
            key(4)
        )
    }

    #[test]
    fn the_fifteen_lines_of_the_design_are_a_charter() {
        let charter = Charter::from_bytes(fifteen_lines().as_bytes()).unwrap();
        let prod = AudienceName::new("prod").unwrap();
        assert_eq!(charter.audience(&prod).unwrap().approve.unwrap().to_string(), "qa and ops");
        assert!(charter.audience(&prod).unwrap().excludes_author);
    }

    #[test]
    fn a_rollout_stands_in_a_table_or_in_two_short_words() {
        let with = |prod: &str| {
            let text = fifteen_lines().replacen(r#"after = "test""#, &format!(r#"after = "test", {prod}"#), 1);
            Charter::from_bytes(text.as_bytes()).map(|charter| charter.environments["prod"].rollout())
        };
        let short = with(r#"at_once = 0, on_failure = "stop""#).unwrap();
        assert_eq!((short.at_once, short.on_failure), (Share::All, OnFailure::Stop));
        let table = r#"rollout = { at_once = "25%", canary = 1, bake_minutes = 10, rings = ["ring=early", "rest"] }"#;
        let long = with(table).unwrap();
        assert_eq!((long.at_once, long.canary, long.rings.len()), (Share::Percent(25), 1, 2));
        for (bad, expected) in [
            (r#"at_once = 2, rollout = { at_once = 3 }"#, "not in both places"),
            (r#"rollout = { bake_minutes = 3 }"#, "environment prod: rollout: a deployment bakes"),
            (r#"rollout = { at_onse = 3 }"#, "charter.toml:11"),
            (r#"hasten = "pope""#, "nobody holds"),
        ] {
            let message = with(bad).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn r28_customers_read_and_do_nothing_else() {
        let with = |customers: &str, channel: &str| {
            let text = format!("{}[customers]\n{customers}\n[channels]\n{channel}\n", fifteen_lines());
            Charter::from_bytes(text.as_bytes())
        };
        let bob = |roles: &str, seed| format!("bob = {{ roles = [\"{roles}\"], keys = [\"{}\"] }}", key(seed));
        let channel = r#"globex = { approve = "qa", read = "globex" }"#;
        let charter = with(&bob("globex", 9), channel).unwrap();
        let nobody = BTreeSet::new();
        let bobs = PublicKey::from_openssh(&key(9)).unwrap().id();
        assert!(charter.directory(&[], &nobody).unwrap().person(&bobs).is_none(), "a customer counts for something");
        let customers = charter.customers(&nobody).unwrap();
        let roles = customers.roles(customers.person(&bobs).unwrap());
        let name = |name| AudienceName::new(name).unwrap();
        assert!(charter.customer_may_read(&name("globex"), &roles));
        assert!(
            !charter.customer_may_read(&name("other"), &roles) && !charter.customer_may_read(&name("prod"), &roles)
        );
        let cases = [
            (bob("globex", 1), channel.to_string(), "one key is listed under both"),
            (bob("qa", 9), channel.into(), "does more than read"),
            (bob("owner", 9), channel.into(), "does more than read"),
            (bob("acme", 9), channel.into(), "no channel says"),
            (bob("globex", 9).replace("bob", "coder"), channel.into(), "somebody else besides"),
            ("bob = { roles = [\"globex\"] }".into(), channel.into(), "has a key"),
            (bob("globex", 9), channel.replace("read =", "public = true, read ="), "is public"),
            (bob("globex", 9), channel.replace("read = \"globex\"", "read = \"globex or qa\""), "no customer holds"),
            (bob("globex", 9), channel.replace("approve = \"qa\"", "approve = \"globex\""), "nobody holds"),
        ];
        for (customers, channel, expected) in cases {
            let message = with(&customers, &channel).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let good = fifteen_lines();
        let cases = [
            (r#"approve = "qa and ops""#.to_string(), r#"aprove = "qa""#.to_string(), "charter.toml:11"),
            (r#"approve = "qa and ops""#.into(), r#"approve = "qa or""#.into(), "charter.toml:11"),
            (r#"approve = "qa and ops""#.into(), r#"approve = "pope""#.into(), "nobody holds"),
            (r#"after = "test""#.into(), r#"after = "prod""#.into(), "after itself"),
            (r#"after = "test""#.into(), r#"after = "stage""#.into(), "no environment"),
            (key(2), key(1), "one key is listed under both"),
            (r#"["qa"]"#.into(), r#"["qa", "owner"]"#.into(), "root of trust"),
            (r#""test", approve = "developer","#.into(), r#""test","#.into(), "must say who approves"),
        ];
        for (from, to, expected) in cases {
            let bad = good.replacen(&from, &to, 1);
            assert_ne!(bad, good, "{from} not found");
            let message = Charter::from_bytes(bad.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
