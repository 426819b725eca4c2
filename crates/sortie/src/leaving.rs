//! What a charter would take along with the keys that leave and the roles that are lost: permits, evidence, config sets,
//! standing orders, withdrawals; and the `[[upheld]]` entries that would keep them. Judged on this machine, by the code that
//! targets judge by.

use crate::{
    connection::Connection,
    failure::{Failure, OrMisused},
    order, package,
};
use api::{
    read::{AppStatus, BuildName, Cell, DeploymentView, DossierView},
    routes,
};
use domain::waiting::WaitingOn;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};
use trust::{
    AppName, AudienceName, Digest, PersonName, RoleName,
    authority::{Dossier, KeptWithdrawal, TrustedPolicy, gates, permit_of},
    charter::Charter,
    dsse::Envelope,
    evidence::Shortfall,
    key::PublicKey,
    quorum::Rule,
    statement::{Act, Statement},
    upheld::upheld_name,
};

/// What a charter takes along, in words, and what would keep it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Leaving {
    /// Permits that would die.
    pub dies: Vec<String>,
    /// Evidence that would open its gate no more.
    pub evidence: Vec<String>,
    /// Config sets that would lose their signer.
    pub config: Vec<String>,
    /// Standing orders that would lose their signer.
    pub orders: Vec<String>,
    /// Withdrawals that a target which joins later would not take any more.
    pub withdrawals: Vec<String>,
    /// Withdrawals that would be annulled, by their digests, and those whose annulment would end.
    #[serde(skip)]
    annulled: [BTreeMap<Digest, String>; 2],
    /// What owners may uphold.
    #[serde(serialize_with = "as_toml")]
    pub uphold: Proposal,
}

/// Statements to uphold, by whose they are and under which roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal(BTreeMap<Whose, BTreeMap<Digest, BTreeSet<String>>>);

/// A person, the roles that mattered, and the key as an OpenSSH line.
type Whose = (PersonName, Vec<RoleName>, String);

impl Proposal {
    /// Whether there is nothing to uphold.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries as they stand in a charter.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for ((person, roles, key), statements) in &self.0 {
            let roles: Vec<String> = roles.iter().map(|role| format!("\"{role}\"")).collect();
            // Writing into a string cannot fail.
            let _ = write!(
                text,
                "\n[[upheld]]\nperson = \"{person}\"\nroles = [{}]\nkey = \"{key}\"\nstatements = [\n",
                roles.join(", ")
            );
            for (statement, what) in statements {
                let what: Vec<&str> = what.iter().map(String::as_str).collect();
                let _ = writeln!(text, "  \"{statement}\",  # {}", what.join("; "));
            }
            text.push_str("]\n");
        }
        text
    }

    /// A charter's text with these entries at its end.
    pub fn added_to(&self, charter: &str) -> Result<String, Failure> {
        let text = format!("{}\n{}", charter.trim_end(), self.to_toml());
        Charter::from_bytes(text.as_bytes()).or_misused()?;
        Ok(text)
    }

    fn extend(&mut self, other: Proposal) {
        for (whose, statements) in other.0 {
            let known = self.0.entry(whose).or_default();
            for (statement, what) in statements {
                known.entry(statement).or_default().extend(what);
            }
        }
    }
}

fn as_toml<S: serde::Serializer>(proposal: &Proposal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&proposal.to_toml())
}

impl Leaving {
    /// Whether nothing is taken along.
    pub fn is_empty(&self) -> bool {
        let Self { dies, evidence, config, orders, withdrawals, annulled: _, uphold: _ } = self;
        [dies, evidence, config, orders, withdrawals].iter().all(|items| items.is_empty())
    }

    /// What annulling gives back, and what its end takes again, in words; looked at once, and told elsewhere.
    pub fn take_annulled(&mut self) -> (Vec<String>, Vec<String>) {
        let [gives_back, takes_again] = std::mem::take(&mut self.annulled);
        (gives_back.into_values().collect(), takes_again.into_values().collect())
    }

    /// In words: what is taken along, and what would keep it.
    pub fn in_words(&self) -> String {
        let mut words = Vec::new();
        let kinds = [
            ("dies", &self.dies),
            ("evidence", &self.evidence),
            ("config", &self.config),
            ("order", &self.orders),
            ("withdrawal", &self.withdrawals),
        ];
        for (title, items) in kinds {
            words.extend(items.iter().map(|item| format!("{title:10}  {item}")));
        }
        if !self.uphold.is_empty() {
            words
                .push("what follows, in the charter, keeps these statements and nothing else of whoever leaves".into());
            words.push(self.uphold.to_toml().trim_end().to_string());
        }
        words.join("\n")
    }
}

/// What would be taken along if `new` were in force. People who are suspended now are looked at as if they were not:
/// the new charter ends suspensions, so whoever signs it decides about them.
pub async fn leaving(connection: &Connection, new: &TrustedPolicy) -> Result<Leaving, Failure> {
    let old = connection.verified.policy(&[]).or_misused()?;
    let mut leaving = Leaving::default();
    if old.directory == new.directory && old.charter == new.charter {
        return Ok(leaving);
    }
    // What nobody here has heard of is told as well, unless it is found below.
    let unseen =
        |digest: &Digest, verb: &str| (*digest, format!("{verb} the withdrawal {digest}, which nobody sent here"));
    let (before, after) = (&old.charter.annulled, &new.charter.annulled);
    let comes = after.iter().filter(|digest| !before.contains(digest)).map(|digest| unseen(digest, "annuls"));
    let goes = before.iter().filter(|digest| !after.contains(digest)).map(|digest| unseen(digest, "no longer annuls"));
    leaving.annulled = [comes.collect(), goes.collect()];
    let status = order::status(connection, None).await?;
    let judge = Judge { old: &old, new };
    for app in &status.apps {
        for cell in &app.cells {
            look_at(connection, &judge, app, cell, &mut leaving).await?;
        }
    }
    Ok(leaving)
}

async fn look_at(
    connection: &Connection,
    judge: &Judge<'_>,
    app: &AppStatus,
    cell: &Cell,
    leaving: &mut Leaving,
) -> Result<(), Failure> {
    let (name, audience) = (&app.app, &cell.audience);
    let released = cell.released.iter().map(|r| BuildName { build: r.build, version: Some(r.version.clone()) });
    let mut builds: Vec<BuildName> = released.chain(cell.runs.iter().map(|runs| runs.build.clone())).collect();
    builds.extend(cell.settled.iter().cloned());
    builds.extend(app.newest.clone());
    let mut seen = BTreeSet::new();
    builds.retain(|build| seen.insert(build.build));
    let mut view: Option<DossierView> = None;
    for build in &builds {
        let dossier = match connection.dossier(name, build, Some(audience)).await {
            // A ledger that was put back from an older copy may not know what runs.
            Err(failure) if matches!(failure.code(), "UNKNOWN_BUILD" | "UNKNOWN_VERSION") => continue,
            dossier => dossier?,
        };
        if build.version.is_some() {
            judge.permit(name, build, cell, &dossier.dossier, leaving);
            judge.evidence(name, build, audience, &dossier.dossier, leaving);
            if app.package.is_some() {
                look_at_members(connection, judge, &build.of(name), build, audience, leaving).await?;
            }
        }
        view = Some(dossier);
    }
    // Config and withdrawals are the same whatever build is asked about.
    if let Some(view) = &view {
        judge.config(name, audience, &view.dossier, leaving);
        judge.withdrawals(name, audience, &view.dossier, leaving);
    }
    for waiting in &cell.waiting {
        if let WaitingOn::Permit { deployment, .. }
        | WaitingOn::Beginning { deployment, .. }
        | WaitingOn::Freeze { deployment, .. }
        | WaitingOn::Time { deployment, .. }
        | WaitingOn::Window { deployment, .. }
        | WaitingOn::Deployment { deployment, .. }
        | WaitingOn::Targets { deployment, .. } = waiting
        {
            let path = routes::path(routes::DEPLOYMENT, &[&deployment.to_string()]);
            let view: DeploymentView = connection.client.get(&path, &[]).await?;
            judge.standing_order(&view, leaving);
        }
    }
    Ok(())
}

/// A package's permit opens nothing for a member whose push or number counts no more.
async fn look_at_members(
    connection: &Connection,
    judge: &Judge<'_>,
    name: &str,
    build: &BuildName,
    audience: &AudienceName,
    leaving: &mut Leaving,
) -> Result<(), Failure> {
    let manifest = package::manifest_of(connection, &build.build).await?;
    for (app, member) in manifest.iter().flat_map(|manifest| &manifest.run.package) {
        let listed = BuildName { build: member.build, version: Some(member.version.clone()) };
        let dossier = connection.dossier(app, &listed, Some(audience)).await?.dossier;
        judge.member(name, app, &listed.of(app), audience, &dossier, leaving);
    }
    Ok(())
}

/// The policy in force, with nobody suspended, and the one that would follow it.
struct Judge<'a> {
    old: &'a TrustedPolicy,
    new: &'a TrustedPolicy,
}

impl Judge<'_> {
    fn permit(&self, app: &AppName, build: &BuildName, cell: &Cell, dossier: &Dossier, leaving: &mut Leaving) {
        let audience = &cell.audience;
        if permit_of(self.old, app, build.build, audience, dossier).is_err() {
            return;
        }
        let Err(denial) = permit_of(self.new, app, build.build, audience, dossier) else { return };
        let name = build.of(app);
        let proposal = self.lost(app, &name, audience, dossier);
        let on: Vec<String> = cell
            .runs
            .iter()
            .filter(|runs| runs.build.build == build.build)
            .flat_map(|runs| runs.on.iter().map(ToString::to_string))
            .collect();
        let runs = if on.is_empty() { String::new() } else { format!("; it runs on {}, and goes on", on.join(", ")) };
        leaving.dies.push(format!("{name} → {audience}: {denial}{runs}"));
        leaving.uphold.extend(proposal);
    }

    /// What vouches for a member of a package: its push and its number. A permit of its own is told of with the member itself.
    fn member(
        &self,
        package: &str,
        app: &AppName,
        name: &str,
        audience: &AudienceName,
        dossier: &Dossier,
        leaving: &mut Leaving,
    ) {
        let (before, after) = (self.old.charter.push_rule(app), self.new.charter.push_rule(app));
        let goes = |envelope: &&Envelope| self.old.signed_by(envelope, before) && !self.new.signed_by(envelope, after);
        if !dossier.push.iter().chain(&dossier.number).any(|envelope| goes(&envelope)) {
            return;
        }
        let vouching = Dossier { request: None, approvals: Vec::new(), ..dossier.clone() };
        let proposal = self.lost(app, name, audience, &vouching);
        leaving.dies.push(format!("{package} → {audience}: what vouches for {name}, which it lists, counts no more"));
        leaving.uphold.extend(proposal);
    }

    /// Evidence that opens a gate now, and would not: the build could not come back there.
    fn evidence(
        &self,
        app: &AppName,
        build: &BuildName,
        audience: &AudienceName,
        dossier: &Dossier,
        leaving: &mut Leaving,
    ) {
        let pushers = self.pushers(app, dossier);
        // Whatever its age: it is what a rollback needs, and what new evidence would stand beside.
        let judged = |policy| gates(policy, app, build.build, audience, dossier, &pushers, None);
        let after: BTreeMap<String, Result<&Envelope, Shortfall>> = judged(self.new).into_iter().collect();
        let from = |policy: &TrustedPolicy, kind: &str| {
            Some(policy.charter.audience(audience)?.evidence.get(kind)?.from.clone())
        };
        for (kind, before) in judged(self.old) {
            let (Ok(envelope), Some(Err(_))) = (before, after.get(&kind)) else { continue };
            let (Some(old), Some(new)) = (from(self.old, &kind), from(self.new, &kind)) else { continue };
            // A gate that asks for more is told as such: nobody's leaving shuts it.
            if self.new.signed_by(envelope, &old) {
                continue;
            }
            let name = build.of(app);
            let mut lost = Proposal::default();
            // Whoever steps in must fill the gate of the charter to come.
            let roles: Vec<RoleName> = old.roles().into_iter().chain(new.roles()).collect();
            self.lost_signers(envelope, &roles, &format!("attested {kind} of {name}"), &mut lost);
            // What a job's token speaks for has no key that could be upheld.
            let upheld = if lost.is_empty() { "" } else { " or upheld" };
            let by: Vec<String> = self.old.signers(envelope).iter().map(|(_, person)| person.to_string()).collect();
            leaving.evidence.push(format!(
                "{name} → {audience}: {kind} by {} counts no more: the build is neither deployed there nor rolled back to \
                 until that is attested anew (sortie evidence attach){upheld}",
                by.join(", ")
            ));
            leaving.uphold.extend(lost);
        }
    }

    /// Who pushed a build; nobody of ours where a vendor made it.
    fn pushers(&self, app: &AppName, dossier: &Dossier) -> BTreeSet<PersonName> {
        let push = dossier.push.as_ref().filter(|_| self.old.charter.vendor_of(app).is_none());
        let Some(push) = push else { return BTreeSet::new() };
        let makers = match Statement::read(push).map(|statement| statement.act) {
            Ok(Act::Push(push)) => push.makers,
            _ => Vec::new(),
        };
        self.old.signers(push).into_iter().map(|(_, person)| person).chain(makers).collect()
    }

    /// The statements of a permit whose signers would count no more.
    fn lost(&self, app: &AppName, name: &str, audience: &AudienceName, dossier: &Dossier) -> Proposal {
        let mut lost = Proposal::default();
        let push = self.old.charter.push_rule(app).roles();
        let mut look = |envelope: &Option<Envelope>, roles: &[RoleName], what: &str| {
            envelope.iter().for_each(|envelope| self.lost_signers(envelope, roles, what, &mut lost));
        };
        look(&dossier.push, &push, &format!("pushed {name}"));
        look(&dossier.number, &push, &format!("numbered {name}"));
        look(&dossier.request, &[], &format!("requested {name} → {audience}"));
        let requires = dossier.request.as_ref().and_then(|envelope| match Statement::read(envelope).ok()?.act {
            Act::Request(request) => Some(request.requires.roles()),
            _ => None,
        });
        let charter = self.old.charter.audience(audience).and_then(|a| a.approve).map(Rule::roles);
        let roles: Vec<RoleName> = requires.into_iter().chain(charter).flatten().collect();
        for approval in &dossier.approvals {
            self.lost_signers(approval, &roles, &format!("approved {name} → {audience}"), &mut lost);
        }
        lost
    }

    /// Adds whoever signed `envelope` and would not count any more under the roles that mattered.
    fn lost_signers(&self, envelope: &Envelope, roles: &[RoleName], what: &str, lost: &mut Proposal) {
        let Ok(statement) = Statement::read(envelope) else { return };
        let name = upheld_name(&statement, &envelope.payload);
        let (before, after) = (self.old.directory_of(&name), self.new.directory_of(&name));
        for (id, person) in self.old.signers(envelope) {
            let mattered: Vec<RoleName> =
                before.roles(&person).into_iter().filter(|role| roles.contains(role)).collect();
            let held = after.roles(&person);
            let still = after.person(&id) == Some(&person) && mattered.iter().all(|role| held.contains(role));
            let Some(key) = before.key(&id).filter(|_| !still) else { continue };
            let whose = (person, mattered, PublicKey::to_openssh(&key));
            lost.0.entry(whose).or_default().entry(name).or_default().insert(what.to_string());
        }
    }

    fn config(&self, app: &AppName, environment: &AudienceName, dossier: &Dossier, leaving: &mut Leaving) {
        let Some(envelope) = &dossier.config else { return };
        let rule = |policy: &TrustedPolicy| {
            policy.charter.environments.get(environment).map(|environment| environment.configure_rule().clone())
        };
        let (Some(before), Some(after)) = (rule(self.old), rule(self.new)) else { return };
        if !self.old.signed_by(envelope, &before) || self.new.signed_by(envelope, &after) {
            return;
        }
        let serial = match Statement::read(envelope).map(|statement| statement.act) {
            Ok(Act::Config(config)) => config.serial,
            _ => return,
        };
        let by: Vec<String> = self.old.signers(envelope).iter().map(|(_, person)| person.to_string()).collect();
        let by = by.join(", ");
        let then = format!("nothing of {app} is deployed there until it is set anew (sortie config set) or upheld");
        leaving.config.push(format!("set {serial} of {app} in {environment} was signed by {by}: {then}"));
        let what = format!("set config {serial} of {app} in {environment}");
        let mut lost = Proposal::default();
        // Whoever steps in must fill the rule of the charter to come.
        let roles: Vec<RoleName> = before.roles().into_iter().chain(after.roles()).collect();
        self.lost_signers(envelope, &roles, &what, &mut lost);
        leaving.uphold.extend(lost);
    }

    fn withdrawals(&self, app: &AppName, audience: &AudienceName, dossier: &Dossier, leaving: &mut Leaving) {
        self.annulled(app, audience, dossier, leaving);
        for envelope in &dossier.withdrawals {
            // Owners who annul it have decided about it.
            if self.new.charter.annulled.contains(&Digest::of(&envelope.payload)) {
                continue;
            }
            let counts = |policy: &TrustedPolicy| policy.withdrawal(envelope, audience).is_ok();
            if !counts(self.old) || counts(self.new) {
                continue;
            }
            let Ok(Act::Withdrawal(withdrawal)) = Statement::read(envelope).map(|statement| statement.act) else {
                continue;
            };
            let by: Vec<String> = self.old.signers(envelope).iter().map(|(_, person)| person.to_string()).collect();
            let name = format!("{app}@{}", withdrawal.version);
            let then = "targets that have it keep it; one that joins later would not take it";
            leaving.withdrawals.push(format!("{name} from {audience}, by {}: {then}", by.join(", ")));
            let charter = &self.old.charter;
            let approve = charter.audience(audience).and_then(|a| a.approve).map(Rule::roles).unwrap_or_default();
            let deploy = charter.environments.get(audience).map(|e| e.deploy.roles()).unwrap_or_default();
            let mut roles: Vec<RoleName> = approve.into_iter().chain(deploy).collect();
            roles.extend(RoleName::new(trust::charter::OWNER).ok());
            self.lost_signers(envelope, &roles, &format!("withdrew {name} from {audience}"), &mut leaving.uphold);
        }
    }

    /// Says of each withdrawal that is annulled, or not any more, what it is about.
    fn annulled(&self, app: &AppName, audience: &AudienceName, dossier: &Dossier, leaving: &mut Leaving) {
        let read = |envelope: &Envelope| KeptWithdrawal::read(envelope, audience);
        let kept: Vec<KeptWithdrawal> = dossier.withdrawals.iter().filter_map(read).collect();
        for envelope in &dossier.withdrawals {
            let digest = Digest::of(&envelope.payload);
            let Ok(Statement { subject, act: Act::Withdrawal(withdrawal), .. }) = Statement::read(envelope) else {
                continue;
            };
            let by: Vec<String> = self.old.signers(envelope).iter().map(|(_, person)| person.to_string()).collect();
            let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
            let through = withdrawal.through_serial;
            let name = format!("the withdrawal of {app}@{} from {audience}{by}", withdrawal.version);
            let [gives_back, takes_again] = &mut leaving.annulled;
            if let Some(words) = gives_back.get_mut(&digest) {
                let then = match self.new.dead_through(app, &subject, &kept) {
                    dead if dead >= through => "another one takes the same".to_string(),
                    0 => "the permit lives again".to_string(),
                    dead => format!("the permit lives again from request {}", dead + 1),
                };
                *words = format!("annuls {name}, through request {through}; {then}");
            }
            if let Some(words) = takes_again.get_mut(&digest) {
                *words = format!("no longer annuls {name}: it counts again, through request {through}");
            }
        }
    }

    /// A deployment that is not over: targets check the order's signer when they come to it.
    fn standing_order(&self, view: &DeploymentView, leaving: &mut Leaving) {
        let (person, environment) = (&view.deployer, &view.environment);
        let may = |policy: &TrustedPolicy| {
            let rule = policy.charter.environments.get(environment).map(|environment| &environment.deploy);
            rule.is_some_and(|rule| rule.allows_alone(&policy.directory.roles(person)))
        };
        if !may(self.old) {
            return;
        }
        let keys = |policy: &TrustedPolicy| policy.directory.keys_of(person);
        let why = match (may(self.new), keys(self.old).iter().all(|key| keys(self.new).contains(key))) {
            (true, true) => return,
            (false, _) => "who may not deploy there any more",
            (true, false) => "a key of whom leaves, and may be the one that signed",
        };
        leaving.orders.push(format!(
            "deployment {} in {environment} is not over, and was ordered by {person}, {why}: targets may refuse it; order it anew",
            view.deployment
        ));
    }
}
