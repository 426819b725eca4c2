//! Writes the repository of a large estate into a folder, as the server publishes it: 1,000 applications, each with a live
//! permit by 5 approvers in 3 environments. `timestamp-after.json`, beside the folders, is the timestamp of the moment after
//! one more permit was granted in prod: whoever puts it in the place of the first has that repository. Prints JSON.
//!
//! `cargo run --release -p trust --example large_repository FOLDER [APPLICATIONS]`

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
};
use trust::{
    AppName, AudienceName, Digest, PersonName, Version,
    charter::Charter,
    dsse::Envelope,
    key::{SecretKey, Signer},
    statement::{Act, Approval, Commit, Header, Number, Push, Request, RequestId, Statement},
    tuf::{
        Root, RootBuilder, TargetFile, Targets,
        repository::{self, ListedFile, Listing, PermitFile, PublishedPermit, permits_target, role_name},
        sign_metadata, target_path,
    },
    way::Way,
};

type Made<T> = Result<T, Box<dyn Error>>;

const ENVIRONMENTS: [&str; 3] = ["test", "staging", "prod"];
/// Whoever approves, each in a role of their own.
const ROLES: [&str; 5] = ["qa", "ops", "security", "legal", "product"];
const OWNER: u8 = 1;
const SERVER: u8 = 2;
const CI: u8 = 3;
const CODER: u8 = 4;
const FIRST_APPROVER: u8 = 10;

fn main() -> Made<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let applications: usize = arguments.next().map_or(Ok(1000), |text| text.parse())?;
    let estate = Estate::found(&folder)?;
    let mut listings: BTreeMap<&str, Listing> = BTreeMap::new();
    for environment in ENVIRONMENTS {
        for application in 0..applications {
            let (target, listed) = estate.permits(environment, application, &["1.4.0"])?;
            listings.entry(environment).or_default().insert(target, listed);
        }
    }
    let before = estate.publish(&listings, None, "metadata/timestamp.json")?;
    // The moment after: the last application has one more version in prod.
    let (target, listed) = estate.permits("prod", applications.saturating_sub(1), &["1.5.0", "1.4.0"])?;
    listings.entry("prod").or_default().insert(target, listed);
    estate.publish(&listings, Some(before), "timestamp-after.json")?;
    println!("{}", json!({ "estate": estate.id, "applications": applications, "environments": ENVIRONMENTS.len() }));
    Ok(())
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

struct Estate<'a> {
    folder: &'a Path,
    id: Digest,
    now: Timestamp,
    targets: ListedFile,
}

impl<'a> Estate<'a> {
    /// Writes root, charter and the owners' targets.
    fn found(folder: &'a Path) -> Made<Self> {
        let now = Timestamp::from_second(Timestamp::now().as_second())?;
        let expires = now + SignedDuration::from_hours(24 * 365);
        let owner = PersonName::new("owner")?;
        let root =
            RootBuilder::first(expires).owner(&owner, key(OWNER).public()).online(key(SERVER).public()).build()?;
        let root = sign_metadata(&root, &[&key(OWNER)])?;
        let charter = charter_text();
        let parsed = Charter::from_bytes(charter.as_bytes())?;
        let delegations = repository::delegations(&parsed, &Root::bootstrap(&root)?);
        let listed = TargetFile { length_bytes: charter.len() as u64, digest: Digest::of(charter.as_bytes()) };
        let files = BTreeMap::from([("charter.toml".to_owned(), listed)]);
        let mut targets = Targets::unsigned(1, expires, &files, Some(&delegations))?;
        repository::date_targets(&mut targets, now)?;
        let targets = sign_metadata(&targets, &[&key(OWNER)])?;
        let estate = Self { folder, id: Digest::of(&root), now, targets: ListedFile::of(1, &targets) };
        estate.write("metadata/1.root.json", &root)?;
        estate.write("metadata/1.targets.json", &targets)?;
        estate.write_target("charter.toml", charter.as_bytes())?;
        Ok(estate)
    }

    fn write(&self, below: &str, bytes: &[u8]) -> Made<()> {
        let path = self.folder.join(below);
        fs::create_dir_all(path.parent().ok_or("a file in no folder")?)?;
        Ok(fs::write(path, bytes)?)
    }

    fn write_target(&self, name: &str, bytes: &[u8]) -> Made<TargetFile> {
        let digest = Digest::of(bytes);
        self.write(&format!("targets/{}", target_path(name, Some(&digest.hex()))), bytes)?;
        Ok(TargetFile { length_bytes: bytes.len() as u64, digest })
    }

    /// Writes the file of one application in one environment, with a live permit for each version.
    fn permits(&self, environment: &str, number: usize, versions: &[&str]) -> Made<(String, (TargetFile, Value))> {
        let app = AppName::new(&format!("application-{number:04}"))?;
        let audience = AudienceName::new(environment)?;
        let mut file = PermitFile::new(self.id, app.clone(), audience.clone());
        for version in versions {
            file.permits.push(self.permit(&app, &audience, &version.parse()?)?);
        }
        let name = permits_target(&audience, &app);
        let listed = self.write_target(&name, &file.to_bytes()?)?;
        Ok((name, (listed, json!({ "versions": versions, "withdrawals": 0 }))))
    }

    fn permit(&self, app: &AppName, audience: &AudienceName, version: &Version) -> Made<PublishedPermit> {
        let build = Digest::of(format!("{app} {version}").as_bytes());
        let commit = Commit {
            id: Digest::of(format!("commit {app} {version}").as_bytes()).hex()[..40].into(),
            tag: Some(format!("v{version}")),
            title: trust::text::reference(&Digest::of(b"title")),
        };
        let push = Push { app: app.clone(), commit: Some(commit), recipe: Some("make dist".into()), makers: vec![] };
        let request = Request {
            app: app.clone(),
            version: version.clone(),
            audience: audience.clone(),
            way: Way::Normal,
            charter_version: 1,
            requires: ROLES.join(" and ").parse()?,
            serial: 1,
            not_before: self.now,
            not_after: self.now + SignedDuration::from_hours(24 * 90),
            floor: None,
            reason: None,
        };
        let name = format!("{app}@{version}");
        let request = self.sign(&name, build, Act::Request(request), CODER)?;
        let approval = |seed: u8| {
            let act = Approval { app: app.clone(), version: version.clone(), audience: audience.clone() };
            self.sign(&name, Digest::of(&request.payload), Act::Approval(act), seed)
        };
        Ok(PublishedPermit {
            push: self.sign(&name, build, Act::Push(push), CI)?,
            number: self.sign(&name, build, Act::Number(Number { app: app.clone(), version: version.clone() }), CI)?,
            approvals: (FIRST_APPROVER..).take(ROLES.len()).map(approval).collect::<Made<_>>()?,
            request,
            evidence: Vec::new(),
        })
    }

    fn sign(&self, name: &str, subject: Digest, act: Act, seed: u8) -> Made<Envelope> {
        let header = Header {
            estate: self.id,
            // Of the length of the ids that the command line makes.
            request_id: RequestId::new(Digest::of(format!("{name} {seed}").as_bytes()).hex()[..36].to_owned())?,
            submit_before: self.now + SignedDuration::from_mins(5),
            on_behalf_of: None,
        };
        Ok(Statement { subject_name: name.into(), subject, header, act }.sign(&[&key(seed)])?)
    }

    /// Writes the roles, the snapshot and the timestamp; only prod's role follows an earlier one.
    fn publish(
        &self,
        listings: &BTreeMap<&str, Listing>,
        before: Option<BTreeMap<String, ListedFile>>,
        timestamp: &str,
    ) -> Made<BTreeMap<String, ListedFile>> {
        let (version, expires) = (if before.is_some() { 2 } else { 1 }, self.now + SignedDuration::from_hours(24 * 60));
        let mut listed = before.unwrap_or_default();
        listed.insert("targets.json".into(), self.targets);
        for (environment, listing) in listings.iter().filter(|(name, _)| version == 1 || **name == "prod") {
            let role = role_name(&AudienceName::new(environment)?);
            let signed = repository::permits_role(version, expires, &repository::listing(listing))?;
            let bytes = repository::sign_online(&signed, &key(SERVER))?;
            self.write(&format!("metadata/{version}.{role}.json"), &bytes)?;
            listed.insert(format!("{role}.json"), ListedFile::of(version, &bytes));
        }
        let snapshot = repository::sign_online(&repository::snapshot(version, expires, &listed)?, &key(SERVER))?;
        self.write(&format!("metadata/{version}.snapshot.json"), &snapshot)?;
        let snapshot = ListedFile::of(version, &snapshot);
        let signed = repository::timestamp(version, expires, self.now, &snapshot)?;
        self.write(timestamp, &repository::sign_online(&signed, &key(SERVER))?)?;
        Ok(listed)
    }
}

fn charter_text() -> String {
    let line = |name: &str, role: &str, seed: u8| {
        format!("{name} = {{ roles = [\"{role}\"], keys = [\"{}\"] }}\n", key(seed).public().to_openssh())
    };
    let approvers: String =
        (FIRST_APPROVER..).zip(ROLES).map(|(seed, role)| line(&format!("{role}-lead"), role, seed)).collect();
    let approve = ROLES.join(" and ");
    let environment = |name: &&str| {
        let class = if *name == "prod" { "live" } else { "test" };
        format!("{name} = {{ class = \"{class}\", approve = \"{approve}\", deploy = \"ops\" }}\n")
    };
    format!(
        "charter = \"large\"\n[people]\n{}{approvers}[robots]\n{}[environments]\n{}",
        line("coder", "developer", CODER),
        line("ci", "ci", CI),
        ENVIRONMENTS.iter().map(environment).collect::<String>()
    )
}
