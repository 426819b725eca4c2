//! The language of the stories: one line, one step. The README of the language is this file's `match`.

use super::{OWNER, World, public, read, secret};
use domain::{
    command::{Actor, Brought, Command, Context, Signed},
    decide::preview,
    event::{BuildFacts, MigrateFacts, RootFacts, VendorWord},
    plan,
    planned::PlannedTarget,
    rules::{self, Candidate, numbering},
    state::{Policy, PolicyRecord},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};
use trust::{
    AppName, AudienceName, Digest, TargetName, Version,
    authority::{Denial, KeptWithdrawal},
    config::ConfigDocument,
    freeze::{Exception, Freeze, Lift, Terms},
    key::Signer,
    manifest::{ConfigKey, Driver, Member, Needs},
    receipt::{self, VerifiedReceipt},
    rollout::RolloutTerms,
    schedule::Schedule,
    statement::{
        Act, AdministrationAct, Approval, Carried, Commit, Config, Enrolment, Evidence, Facts, Finding, FindingKind,
        Health, Import, Inventory, Number, Order, OrderAct, Outcome, Part, Phase, PhaseTiming, Push, Receipt, Report,
        Request, RequestId, Review, Unwell, Withdrawal,
    },
    vendor::Released,
    way::Way,
};

/// What a line says of a report that was carried back.
#[derive(Clone, Copy)]
struct CarriedFacts<'a> {
    target: &'a str,
    app: &'a str,
    letter: &'a str,
    environment: &'a str,
    at: Timestamp,
}

/// The word after `key`, for the optional parts of a line.
fn after<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == key)?;
    words.get(at + 1).copied()
}

/// All words after `key`.
fn all_after<'a>(words: &'a [&'a str], key: &str) -> &'a [&'a str] {
    let at = words.iter().position(|word| *word == key);
    at.and_then(|at| words.get(at + 1..)).unwrap_or_default()
}

/// `role=web zone=a` as labels; `zone=` removes one.
fn labels(words: &[&str]) -> BTreeMap<String, String> {
    let pair = |word: &&str| word.split_once('=').map(|(key, value)| (key.to_string(), value.to_string()));
    words.iter().filter_map(pair).collect()
}

/// `web@1.0.0` or `web#A`.
fn app_of(what: &str) -> &str {
    what.split(['@', '#']).next().unwrap_or(what)
}

fn version_of(what: &str) -> Version {
    read(what.split_once('@').unwrap_or_else(|| panic!("{what} has no version")).1)
}

fn act_of(verb: &str) -> OrderAct {
    match verb {
        "deploys" | "plans" => OrderAct::Deploy,
        "redeploys" => OrderAct::Redeploy,
        "rolls" => OrderAct::Rollback,
        "undeploys" => OrderAct::Undeploy,
        "stops" => OrderAct::Stop,
        "starts" => OrderAct::Start,
        "restarts" => OrderAct::Restart,
        "configures" => OrderAct::Configure,
        _ => panic!("{verb} is no order"),
    }
}

/// What a machine is: `1024 MiB`, `os NAME`, `arch NAME`, `kernel VERSION`, and what nothing is said of as usual.
fn facts_in(rest: &[&str]) -> Facts {
    let mebibytes = rest.iter().position(|word| *word == "MiB").map_or(8192, |at| read::<u64>(rest[at - 1]));
    Facts {
        os: after(rest, "os").unwrap_or("linux").into(),
        arch: after(rest, "arch").unwrap_or("x86_64").into(),
        memory_bytes: mebibytes << 20,
        agent_version: "0.1.0".into(),
        kernel: after(rest, "kernel").unwrap_or("").into(),
    }
}

fn facts_of(app: &str) -> BuildFacts {
    BuildFacts {
        driver: Driver::Process,
        files: 3,
        size_bytes: 4_100_000,
        processes: vec![app.to_string()],
        on: BTreeMap::new(),
        config: BTreeMap::new(),
        needs: Needs::default(),
        migrate: None,
        takes_seconds: 0,
        package: BTreeMap::new(),
    }
}

/// `with at_once=25% canary=1`, the last words of a line.
fn rollout(rest: &[&str]) -> RolloutTerms {
    let Some(at) = rest.iter().position(|word| *word == "with") else { return RolloutTerms::default() };
    let term = |word: &&str| {
        let (name, value) = word.split_once('=').expect("name=value");
        let value = match (name, value.parse::<u32>()) {
            ("rings", _) => value.split(',').collect(),
            (_, Ok(number)) => serde_json::json!(number),
            (_, Err(_)) => serde_json::json!(value),
        };
        (name.to_string(), value)
    };
    let terms: serde_json::Value = rest[at + 1..].iter().map(term).collect();
    serde_json::from_value(terms).expect("terms of a rollout")
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

impl World {
    /// Takes one line of a story and says what came of it.
    pub fn tell(&mut self, line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["charter", name, ..] => {
                let who = if self.state.policy.is_none() { "founder" } else { OWNER };
                self.bring_charter(who, name, line)
            }
            [who, "brings", "charter", name, ..] => self.bring_charter(who, name, line),
            ["targets", rest @ ..] => self.targets(rest),
            ["given", what, rest @ ..] => self.given(what, rest, line),
            ["everyone", "reports", "verified"] => self.everyone_reports(),
            ["the", "next", "reports", how, rest @ ..] => match self.busy_target() {
                Some(name) => self.reports(name.as_str(), how, rest),
                None => vec!["nobody has anything to do".into()],
            },
            ["time", "passes", count, unit] => self.time_passes(read(count), unit),
            ["clock", "settles", number] => self.by_clock(Command::SettleDeployment(read(number))),
            ["clock", "gives", "up", "on", target, "in", number] => {
                self.by_clock(Command::GiveUpOnTarget(read(number), read(target)))
            }
            ["status", app] => self.status(app),
            ["assignments", target] => self.assignments(target),
            ["waits"] => self.waits(),
            ["nothing", "is", "heard", "of", target, "for", minutes, "minutes"] => self.vanishes(target, read(minutes)),
            ["clock", "says", "that", target, "is", "over"] => self.by_clock(Command::LapseTarget(read(target))),
            ["due"] => self.due(),
            ["phases", number] => self.phases(read(number)),
            ["why", what, "in", audience] => self.why(what, audience),
            ["next", "number", "of", app] => self.next_number(app),
            [who, verb, rest @ ..] => self.somebody(who, verb, rest, line),
            _ => panic!("'{line}' is no line of a story"),
        }
    }

    fn somebody(&mut self, who: &str, verb: &str, rest: &[&str], line: &str) -> Vec<String> {
        match (verb, rest) {
            ("pushes", [app, letter, ..]) => {
                let options = line.split_once(": ").map(|(_, options)| options).unwrap_or_default();
                self.pushes(who, app, letter.trim_end_matches(':'), options)
            }
            ("numbers", [app, letter, number]) => {
                let subject = self.build(app, letter);
                self.act(who, subject, Act::Number(Number { app: read(app), version: read(number) }))
            }
            ("attaches", [kind, passed, summary, "to", app, letter, rest @ ..]) => {
                let subject = self.build(app, letter);
                let document = Digest::of(summary.as_bytes());
                let (app, kind, summary) = (read(app), kind.to_string(), summary.to_string());
                let passed = *passed == "passed";
                let number = |pair: &&str| pair.split_once('=').map(|(name, value)| (name.to_string(), read(value)));
                let evidence = Evidence {
                    app,
                    kind,
                    passed,
                    summary,
                    document,
                    predicate: after(rest, "predicate").map(str::to_string),
                    facts: rest.iter().filter_map(number).collect(),
                    issued: match after(rest, "issued") {
                        Some("once") => None,
                        Some(at) => Some(read(at)),
                        None => Some(self.now),
                    },
                };
                self.act(who, subject, Act::Evidence(evidence))
            }
            ("hands", [what, "of", channel, "to", to]) => {
                self.requests_made += 1;
                let id = RequestId::new(format!("r{}", self.requests_made)).expect("a short id");
                let (app, version) = (read(app_of(what)), version_of(what));
                let command = Command::RecordDelivery { app, version, channel: read(channel), to: read(to) };
                self.submit(self.actor(who), None, id, command)
            }
            ("imports", [what, letter, "from", vendor, rest @ ..]) => self.imports(who, (what, letter), vendor, rest),
            ("requests", [what, "for", audience, rest @ ..]) => self.requests(who, what, audience, rest),
            ("approves", [what, "for", audience, rest @ ..]) => self.approves(who, what, audience, rest),
            ("reviews", [what, "in", audience, rest @ ..]) => self.reviews(who, what, audience, rest),
            ("withdraws", [what, "from", audience, rest @ ..]) => self.withdraws(who, what, audience, rest),
            ("deploys" | "redeploys" | "plans", [what, "to", environment, rest @ ..]) => {
                self.orders(who, verb, what, environment, rest)
            }
            ("rolls", ["back", app, "in", environment, "to", version, rest @ ..]) => {
                self.orders(who, verb, &format!("{app}@{version}"), environment, rest)
            }
            (
                "undeploys" | "stops" | "starts" | "restarts" | "configures",
                [app, "from" | "in", environment, rest @ ..],
            ) => self.orders(who, verb, app, environment, rest),
            ("sets", ["config", "of", app, "in", environment, ..]) => {
                self.sets_config(who, app, environment.trim_end_matches(':'), line)
            }
            ("freezes", [environment, rest @ ..]) => self.freezes(who, environment, rest),
            ("lifts", ["freeze", number]) => {
                let (subject, reason) = (self.freeze(number), Some(Digest::of(b"why it is lifted")));
                self.act(who, subject, Act::Freeze(Freeze::Lift(Lift { reason })))
            }
            ("excepts", [what, "from", "freeze", number, rest @ ..]) => {
                let subject =
                    after(rest, "build").map_or_else(|| (*what).into(), |letter| format!("{}#{letter}", app_of(what)));
                let (freeze, subject) = (self.freeze(number), self.meant(&subject));
                let reason = Digest::of(b"why it is excepted");
                let (app, version) = (read(app_of(what)), version_of(what));
                self.act(who, subject, Act::Freeze(Freeze::Except(Exception { freeze, app, version, reason })))
            }
            ("exposes", [what, "in", environment, "to", percent, ..]) => {
                self.exposes(who, what, environment, read(percent))
            }
            ("conceals", [what, "in", environment]) => self.exposes(who, what, environment, 0),
            ("reports", [how, rest @ ..]) => self.reports(who, how, rest),
            ("finds", _) => self.finds(who, line),
            ("is", ["now", rest @ ..]) => self.is_now(who, rest),
            ("says", ["that", "all", "is", "well"]) => self.says_how_it_is(who, who, None),
            ("says", ["that", app, "is", "unwell", reason @ ..]) => {
                let build = self.runs(&read(app), &read(who)).unwrap_or_else(|| self.build(app, "A"));
                self.says_how_it_is(who, who, Some((app, build, reason.join(" "))))
            }
            ("says", ["of", other, "that", app, letter, "is", "unwell", reason @ ..]) => {
                let build = self.build(app, letter);
                self.says_how_it_is(who, other, Some((app, build, reason.join(" "))))
            }
            ("joins", [environment, rest @ ..]) => self.joins(who, environment, rest),
            (
                "carries",
                ["the", "receipt", "of", target, app, letter, "in", environment, hours, "hours", "old", how, rest @ ..],
            ) => {
                let at = self.now - SignedDuration::from_hours(read(hours));
                let facts = CarriedFacts { target, app, letter, environment, at };
                self.carries(who, &facts, how, rest)
            }
            ("invites", [count, "to", environment, rest @ ..]) => self.invites(who, read(count), environment, rest),
            ("labels", [target, rest @ ..]) => {
                self.administer(who, AdministrationAct::LabelTarget { target: read(target), labels: labels(rest) })
            }
            ("cordons" | "uncordons", [target]) => {
                let cordoned = verb == "cordons";
                self.administer(who, AdministrationAct::CordonTarget { target: read(target), cordoned })
            }
            ("says", ["that", "its", "time", "is", "over"]) => self.lapses(who, None),
            ("says", ["that", "its", "time", "is", "over", "and", app, letter, "runs"]) => {
                self.lapses(who, Some((app, letter)))
            }
            ("retires", [target]) => self.administer(who, AdministrationAct::RetireTarget { target: read(target) }),
            ("makes", ["token", name, "for", days, "days"]) => {
                let expires =
                    self.now.checked_add(jiff::SignedDuration::from_hours(24 * read::<i64>(days))).expect("a time");
                let token = Digest::of(format!("{who} {name}").as_bytes());
                self.administer(who, AdministrationAct::CreateToken { token, name: read(name), expires })
            }
            ("revokes", ["token", name, "of", whose]) => {
                let token = Digest::of(format!("{whose} {name}").as_bytes());
                self.administer(who, AdministrationAct::RevokeToken { token })
            }
            ("puts", ["the", "recovery", "key", "away"]) => {
                self.administer(who, AdministrationAct::PutRecoveryKeyAway { key: public("recovery").id() })
            }
            ("names", [person]) => {
                let name = Some(Digest::of(format!("the name of {person}").as_bytes()));
                self.administer(who, AdministrationAct::NamePerson { person: read(person), name })
            }
            ("erases", [person]) => self.administer(who, AdministrationAct::ErasePerson { person: read(person) }),
            ("suspends", [person]) => self.administer(who, AdministrationAct::SuspendPerson { person: read(person) }),
            ("adds", ["part", part, letter, "into", draft, "of", app]) => {
                let subject = self.build(app, letter);
                let part = Part { app: read(app), draft: read(draft), part: read(part), commit: None };
                let facts = facts_of(app);
                self.requests_made += 1;
                let id = RequestId::new(format!("r{}", self.requests_made)).expect("a short id");
                self.submit(self.actor(who), None, id, Command::AddPart(Signed { subject, act: part }, Arc::new(facts)))
            }
            ("seals", [draft, "of", app, "as", letter]) => {
                let build = self.build(app, letter);
                let known = self
                    .state
                    .apps
                    .get(&read::<trust::AppName>(app))
                    .and_then(|a| a.drafts.get(&read::<trust::DraftName>(draft)));
                let parts =
                    known.into_iter().flat_map(|known| &known.parts).map(|(n, part)| (n.clone(), part.manifest));
                let parts = parts.collect();
                self.seals(who, app, draft, build, parts)
            }
            ("seals", [draft, "of", app, "as", letter, "by", "other", "parts"]) => {
                let build = self.build(app, letter);
                self.seals(who, app, draft, build, BTreeMap::new())
            }
            ("retires", ["application", app]) => self.administer(who, AdministrationAct::RetireApp { app: read(app) }),
            ("prunes", [app, letters @ ..]) => {
                let builds = letters.iter().map(|letter| self.build(app, letter)).collect();
                self.administer(who, AdministrationAct::PruneBuilds { app: read(app), builds })
            }
            ("pauses", [number, "because", reason]) => {
                let reason = Digest::of(reason.as_bytes());
                self.administer(who, AdministrationAct::PauseDeployment { deployment: read(number), reason })
            }
            ("resumes", [number, rest @ ..]) => {
                let reason = after(rest, "because").map(|reason| Digest::of(reason.as_bytes()));
                self.administer(who, AdministrationAct::ResumeDeployment { deployment: read(number), reason })
            }
            ("aborts", [number, rest @ ..]) => {
                let reason = after(rest, "because").map(|reason| Digest::of(reason.as_bytes()));
                self.administer(who, AdministrationAct::AbortDeployment { deployment: read(number), reason })
            }
            ("excludes", [target, "from", number, "because", reason]) => {
                let (target, reason) = (read(target), Digest::of(reason.as_bytes()));
                self.administer(who, AdministrationAct::ExcludeTarget { deployment: read(number), target, reason })
            }
            ("retries", [number, "on", targets @ ..]) => self.retries(who, number, targets),
            ("lifts", ["the", "hold", "on", what, "in", environment, rest @ ..]) => {
                let app = read(app_of(what));
                let build = what.contains(['@', '#']).then(|| self.meant(what));
                let reason = after(rest, "because").map(|reason| Digest::of(reason.as_bytes()));
                self.administer(who, AdministrationAct::LiftHold { app, environment: read(environment), build, reason })
            }
            ("settles", [number]) => {
                self.requests_made += 1;
                let id = RequestId::new(format!("r{}", self.requests_made)).expect("a short id");
                self.submit(self.actor(who), None, id, Command::SettleDeployment(read(number)))
            }
            _ => panic!("'{line}' is no line of a story"),
        }
    }

    /// Brings a charter of the folder `charters`, changed by what follows `where`: `prod has soak_minutes = 10`,
    /// `tester is gone`; with `as version N`, `with epoch N` or `of another estate`.
    fn bring_charter(&mut self, who: &str, name: &str, line: &str) -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/charters");
        let text = std::fs::read_to_string(folder.join(name).with_extension("toml")).expect("the charter is there");
        let (head, changes) = line.split_once(" where ").unwrap_or((line, ""));
        let words: Vec<&str> = head.split_whitespace().collect();
        let mut document: toml_edit::DocumentMut = text.parse().expect("the charter is TOML");
        for change in changes.split("; ").filter(|change| !change.is_empty()) {
            match change.split_whitespace().collect::<Vec<_>>()[..] {
                [who, "is", "upheld", how, whom, "for", what, "in", audience] => {
                    self.uphold(&mut document, who, (how, whom), what, audience);
                }
                [who, "is", "upheld", "as", role, "for", kind, "of", what] => {
                    self.uphold_evidence(&mut document, who, role, kind, what);
                }
                ["withdrawal", number, "of", what, "from", audience, "is", "annulled"] => {
                    self.annul(&mut document, read(number), what, audience);
                }
                _ => alter(&mut document, change),
            }
        }
        if let Some(epoch) = after(&words, "epoch") {
            document["epoch"] = toml_edit::value(read::<i64>(epoch));
        }
        let old = self.state.policy.as_ref().map(|policy| policy.record.clone());
        let version =
            after(&words, "version").map_or_else(|| old.as_ref().map_or(1, |record| record.version + 1), read);
        let root = Digest::of(b"root 1");
        let estate = if words.contains(&"another") { Digest::of(b"another root") } else { root };
        let record = PolicyRecord {
            estate,
            root_version: after(&words, "root").map_or(old.as_ref().map_or(1, |record| record.root_version), read),
            owners: vec![(read(OWNER), public(OWNER))],
            version,
            charter: with_keys(&document.to_string()),
            roots: vec![root],
            targets: Digest::of(format!("targets {version}").as_bytes()),
            suspended: BTreeSet::new(),
            facts: RootFacts {
                root_holders: vec![(read(OWNER), public(OWNER)), (read("recovery"), public("recovery"))],
                ..RootFacts::default()
            },
        };
        let policy = match Policy::try_from(record) {
            Ok(policy) => policy,
            Err(error) => return vec![format!("no charter: {error}")],
        };
        self.requests_made += 1;
        let id = RequestId::new(format!("r{}", self.requests_made)).expect("a short id");
        self.submit(self.actor(who), None, id, Command::ApplyCharter(Arc::new(policy)))
    }

    /// `tester is upheld as qa for web@1.0.0 in prod`, or `with night's key` for another's.
    fn uphold(
        &self,
        document: &mut toml_edit::DocumentMut,
        who: &str,
        (how, whom): (&str, &str),
        what: &str,
        audience: &str,
    ) {
        let (app, version) = (read(app_of(what)), version_of(what));
        let requests = self.state.in_audience(&app, &read(audience)).and_then(|record| record.requests.get(&version));
        let request = requests.and_then(|requests| requests.last()).expect("somebody asked for it");
        let (key, role) = if how == "as" { (who, whom) } else { (whom.trim_end_matches("'s"), "qa") };
        add_upheld(document, who, role, key, *request);
    }

    /// `ci is upheld as ci for lint of web@1.0.0`: the newest of that type.
    fn uphold_evidence(&self, document: &mut toml_edit::DocumentMut, who: &str, role: &str, kind: &str, what: &str) {
        let record = &self.state.apps[&read::<AppName>(app_of(what))];
        let build = &record.builds[&record.versions[&version_of(what)].build];
        let evidence = build.evidence.iter().rev().find(|evidence| evidence.kind == kind);
        let statement = evidence.and_then(|evidence| evidence.payload).expect("somebody attached it");
        add_upheld(document, who, role, who, statement);
    }

    /// `withdrawal 1 of web@1.0.0 from prod is annulled`: counted from 1.
    fn annul(&self, document: &mut toml_edit::DocumentMut, number: usize, what: &str, audience: &str) {
        let (app, version) = (read(app_of(what)), version_of(what));
        let record = self.state.in_audience(&app, &read(audience)).expect("something happened there");
        let mut withdrawals = record.withdrawals.iter().filter(|withdrawal| withdrawal.version == version);
        let digest = withdrawals.nth(number - 1).and_then(|withdrawal| withdrawal.payload).expect("it was withdrawn");
        let list = document.entry("annulled").or_insert(toml_edit::value(toml_edit::Array::new()));
        list.as_array_mut().expect("a list").push(digest.to_string());
    }

    /// `prod-1 prod-2 in prod with role=web and 1024 MiB`: invited by the owner, and joined.
    fn targets(&mut self, words: &[&str]) -> Vec<String> {
        let at = words.iter().position(|word| *word == "in").expect("targets are in an environment");
        let (names, rest) = words.split_at(at);
        let environment = rest[1];
        let mut said = self.invites(OWNER, u32::try_from(names.len()).expect("few targets"), environment, &rest[2..]);
        said.clear();
        for name in names {
            said.extend(self.joins(name, environment, &rest[2..]));
        }
        said
    }

    /// What came before the story, told in one line: `web@1.0.0 is build A: checkpoint`, `web@1.0.0 is released to prod`,
    /// `web@1.0.0 runs in prod`. Must go well, and is not told in full.
    fn given(&mut self, what: &str, rest: &[&str], line: &str) -> Vec<String> {
        let app = app_of(what);
        let mut said = match rest {
            ["is", "build", letter, ..] => {
                let options = line.split_once(": ").map(|(_, options)| options).unwrap_or_default();
                let letter = letter.trim_end_matches(':');
                let mut said = self.pushes("ci", app, letter, options);
                said.extend(self.tell(&format!("ci numbers {app} {letter} {}", version_of(what))));
                said
            }
            ["is", "released", "to", audience] => {
                let mut said = self.tell(&format!("coder requests {what} for {audience}"));
                for approver in ["tester", "oncall"] {
                    let answer = self.tell(&format!("{approver} approves {what} for {audience}"));
                    let counts = !answer.iter().any(|answer| answer.contains("ROLE_MISSING"));
                    said.extend(answer.into_iter().filter(|_| counts));
                }
                assert!(said.iter().any(|answer| answer.contains("is released to")), "{said:?}");
                said
            }
            ["runs", "in", environment] => {
                let mut said = self.tell(&format!("oncall deploys {what} to {environment}"));
                said.extend(self.everyone_reports());
                assert!(said.iter().any(|answer| answer.contains("succeeded")), "{said:?}");
                said
            }
            _ => panic!("'{line}' is nothing that can be given"),
        };
        assert!(!said.iter().any(|answer| answer.starts_with("refused")), "{line}: {said:?}");
        said.clear();
        said
    }

    fn busy_target(&self) -> Option<TargetName> {
        self.state.targets.keys().find(|name| !plan::assignments(&self.state, name).is_empty()).cloned()
    }

    /// All targets report that they did what they were told, until none has anything left to do.
    fn everyone_reports(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let Some(name) = self.busy_target() else { return said };
            said.extend(self.reports(name.as_str(), "verified", &[]));
        }
    }

    fn invites(&mut self, who: &str, uses: u32, environment: &str, rest: &[&str]) -> Vec<String> {
        self.requests_made += 1;
        let word = after(rest, "by").map_or_else(|| format!("invitation {}", self.requests_made), str::to_string);
        let life = after(rest, "hours").or(after(rest, "for")).map_or(24, read);
        let act = AdministrationAct::InviteTarget {
            invitation: public(&word),
            environment: read(environment),
            labels: labels(rest),
            name: after(rest, "as").map(read),
            uses,
            expires: self.now.checked_add(hours(life)).expect("in this era"),
            ephemeral: rest.contains(&"ephemeral"),
        };
        self.last_invitation = Some(word);
        self.administer(who, act)
    }

    /// A target behind an air gap, known already or joined `by letter-1`, has its report carried back.
    fn carries(&mut self, who: &str, facts: &CarriedFacts<'_>, how: &str, rest: &[&str]) -> Vec<String> {
        let CarriedFacts { target, app, letter, environment, at } = *facts;
        let build = self.build(app, letter);
        let outcome = outcome(how, rest);
        let report = Report {
            target: read(target),
            app: read(app),
            generation: domain::policy::CARRIED_FROM + 1,
            deployment: domain::policy::CARRIED_FROM + 1,
            running: (outcome == Outcome::Verified).then_some(build),
            outcome,
            config_serial: 0,
            phases: Vec::new(),
            endpoints: Vec::new(),
            epoch: 1,
            carried: Some(Carried { bundle: Digest::of(b"bundle"), order: Digest::of(b"order") }),
            way: Way::Normal,
        };
        let order = Order::new(read(app), read(environment), OrderAct::Deploy);
        let enrolment = after(rest, "by").map(|letter| Enrolment {
            environment: read(environment),
            target: read(target),
            invitation: public(letter),
            key: public(target),
            recipient: format!("age1{target}"),
            facts: Facts { os: "linux".into(), arch: "x86_64".into(), ..Facts::default() },
        });
        let payload = Digest::of(format!("{target} {app} {letter} {at} {how}").as_bytes());
        let told = receipt::Outcome {
            payload,
            bundle: Digest::of(b"bundle"),
            build,
            order,
            deployer: Some(read("oncall")),
            report,
            at,
        };
        let receipt = VerifiedReceipt {
            target: read(target),
            enrolment,
            enrolled_before: Some(at),
            outcomes: vec![told],
            inventory: None,
        };
        let signed = Signed { subject: payload, act: Receipt { target: read(target) } };
        self.requests_made += 1;
        let id = RequestId::new(format!("r{}", self.requests_made)).expect("a short id");
        self.submit(self.actor(who), None, id, Command::TakeReceipt(signed, Arc::new(receipt)))
    }

    fn joins(&mut self, name: &str, environment: &str, rest: &[&str]) -> Vec<String> {
        let word = after(rest, "by").map(str::to_string).or_else(|| self.last_invitation.clone());
        let facts = facts_in(rest);
        let enrolment = Enrolment {
            environment: read(environment),
            target: read(name),
            invitation: public(&word.unwrap_or("none".into())),
            key: public(after(rest, "key").unwrap_or(name)),
            recipient: format!("age1{name}"),
            facts,
        };
        self.act(name, Digest::of(b"estate"), Act::Enrolment(enrolment))
    }

    fn seals(
        &mut self,
        who: &str,
        app: &str,
        draft: &str,
        build: Digest,
        parts: BTreeMap<trust::PartName, Digest>,
    ) -> Vec<String> {
        self.requests_made += 1;
        let id = RequestId::new(format!("r{}", self.requests_made)).expect("a short id");
        let command = Command::SealDraft { app: read(app), draft: read(draft), build, parts };
        self.submit(self.actor(who), None, id, command)
    }

    /// Options: `on role=web`, `needs 4096 MiB`, `needs os plan9`, `config LEVEL=info`, `config URL`, `secret TOKEN`,
    /// `commit 1f0c`, `tag v1`, `recipe make`, `files only`, `checkpoint`, `migrates`, `migrates both ways`, `takes 300`,
    /// divided by commas.
    fn pushes(&mut self, who: &str, app: &str, letter: &str, options: &str) -> Vec<String> {
        let subject = self.build(app, letter);
        let mut facts = facts_of(app);
        let mut push = Push { app: read(app), commit: None, recipe: None, makers: vec![] };
        for option in options.split(", ").filter(|option| !option.is_empty()) {
            let words: Vec<&str> = option.split_whitespace().collect();
            let mut key = |name: &str, secret, default: Option<&str>| {
                facts.config.insert(name.into(), ConfigKey { secret, default: default.map(str::to_string) });
            };
            match words.as_slice() {
                ["on", rest @ ..] => facts.on = labels(rest),
                ["needs", mebibytes, "MiB"] => facts.needs.memory_bytes = Some(read::<u64>(mebibytes) << 20),
                ["needs", "os", os] => facts.needs.os = Some(os.to_string()),
                ["needs", "kernel", kernel] => facts.needs.kernel = Some(kernel.to_string()),
                ["needs", "arch", arch] => facts.needs.arch = Some(arch.to_string()),
                ["secret", name] => key(name, true, None),
                ["config", pair] => match pair.split_once('=') {
                    Some((name, default)) => key(name, false, Some(default)),
                    None => key(pair, false, None),
                },
                ["commit", id] => {
                    push.commit = Some(Commit { id: id.to_string(), tag: None, title: "Say why".into() });
                }
                ["recipe", recipe @ ..] => push.recipe = Some(recipe.join(" ")),
                ["migrates"] => facts.migrate = Some(MigrateFacts { has_undo: false }),
                ["migrates", "both", "ways"] => facts.migrate = Some(MigrateFacts { has_undo: true }),
                ["takes", seconds] => facts.takes_seconds = read(seconds),
                ["member", what, rest @ ..] => {
                    (facts.driver, facts.processes, facts.files) = (Driver::Package, Vec::new(), 0);
                    let (name, version) = (app_of(what), version_of(what));
                    let known = self.state.apps.get(name).and_then(|app| app.versions.get(&version));
                    let build = match after(rest, "as") {
                        Some(letter) => self.build(name, letter),
                        None => known.map_or_else(|| Digest::of(b"unknown"), |numbered| numbered.build),
                    };
                    let after = all_after(rest, "after").iter().map(|name| read(name)).collect();
                    facts.package.insert(read(name), Member { version, build, after });
                }
                ["files", "only"] => (facts.driver, facts.processes) = (Driver::Files, Vec::new()),
                ["checkpoint"] => {
                    (facts.driver, facts.processes, facts.files) = (Driver::Checkpoint, Vec::new(), 0);
                }
                _ => panic!("'{option}' is nothing a build has"),
            }
        }
        self.push(who, subject, push, facts)
    }

    /// What somebody brings of a vendor, as the server has judged it: `as others` for another audience, with `serial N`,
    /// `charter N`, `floor X`, `withdrawing A through N` or `annulling A` (the first withdrawal of A), `unfit`, `expired`.
    fn imports(&mut self, who: &str, (what, letter): (&str, &str), vendor: &str, rest: &[&str]) -> Vec<String> {
        let (app, version): (AppName, Version) = (read(app_of(what)), version_of(what));
        let subject = self.build(app.as_str(), letter);
        let payload = |letter: &str, through: u64| Digest::of(format!("withdrawal {letter} {through}").as_bytes());
        let withdrawn = after(rest, "withdrawing").map(|letter| {
            let through_serial = read(after(rest, "through").expect("a serial"));
            let payload = Some(payload(letter, through_serial));
            KeptWithdrawal { app: app.clone(), build: self.build(app.as_str(), letter), through_serial, payload }
        });
        let in_days = |days: i64| self.now.checked_add(hours(24 * days)).expect("in this era");
        let (serial, not_before, not_after) = (after(rest, "serial").map_or(1, read), self.now, in_days(60));
        let dies = withdrawn.as_ref().is_some_and(|kept| kept.build == subject && kept.through_serial >= serial);
        let word = VendorWord {
            vendor: read("acme"),
            estate: Digest::of(vendor.as_bytes()),
            audience: read(after(rest, "as").unwrap_or("customers")),
            document: Digest::of(rest.join(" ").as_bytes()),
            charter: after(rest, "charter").map_or(1, read),
            expires: in_days(365),
            annulled: after(rest, "annulling").map(|letter| payload(letter, 1)).into_iter().collect(),
        };
        let facts = facts_of(app.as_str());
        let released = Released {
            version: after(rest, "as-number").map_or_else(|| version.clone(), read),
            request: Digest::of(format!("request {serial} of {vendor}").as_bytes()),
            serial,
            not_before,
            not_after,
            floor: after(rest, "floor").map(read),
            way: Way::Normal,
            requester: Some(read("maker")),
            approvers: vec![read("checker"), read("seller")],
            commit: None,
            recipe: None,
        };
        let released = match rest {
            _ if dies => Err(Denial::Withdrawn(serial)),
            ["expired", ..] => Err(Denial::Expired { not_before, not_after, now: not_after }),
            ["unfit", ..] => Err(Denial::Invalid { what: "request", why: "it is for others".into() }),
            _ => Ok((released, facts)),
        };
        let brought = Brought { word, withdrawals: withdrawn.into_iter().collect(), released };
        let act = Import { app, version, document: brought.word.document };
        self.requests_made += 1;
        let id = RequestId::new(format!("r{}", self.requests_made)).expect("a short id");
        self.submit(self.actor(who), None, id, Command::ImportRelease(Signed { subject, act }, Arc::new(brought)))
    }

    /// The build that `web@1.0.0` or `web#A` means; one that nobody knows where there is none.
    fn meant(&mut self, what: &str) -> Digest {
        let app: AppName = read(app_of(what));
        if let Some((_, letter)) = what.split_once('#') {
            return self.build(app.as_str(), letter);
        }
        let version = version_of(what);
        let numbered = self.state.apps.get(&app).and_then(|app| app.versions.get(&version).copied());
        numbered.map_or(Digest::of(b"nobody knows"), |numbered| numbered.build)
    }

    fn requests_of(&self, app: &AppName, version: &Version, audience: &AudienceName) -> Vec<Digest> {
        let record = self.state.in_audience(app, audience).and_then(|record| record.requests.get(version));
        record.map(|requests| requests.to_vec()).unwrap_or_default()
    }

    fn requests(&mut self, who: &str, what: &str, audience: &str, rest: &[&str]) -> Vec<String> {
        let (app, version, audience): (AppName, _, AudienceName) =
            (read(app_of(what)), version_of(what), read(audience));
        let policy = self.policy();
        let charter_audience = policy.charter.audience(&audience);
        let days = charter_audience.map_or(90, |audience| i64::from(audience.permit_days));
        let way = after(rest, "by").map_or(Way::Normal, read);
        let terms = charter_audience.and_then(|audience| audience.terms(way));
        let rule = terms.and_then(|terms| terms.approve.cloned());
        let life = terms.and_then(|terms| terms.rule).map_or(24 * days, |way| i64::from(way.hours));
        let life = after(rest, "lasting").map_or(life, |days| 24 * read::<i64>(days));
        let life = after(rest, "hours").map_or(life, read);
        let in_days = |days: i64| self.now.checked_add(hours(24 * days)).expect("in this era");
        let starts = after(rest, "starting").map_or(0, read);
        let serial = self.requests_of(&app, &version, &audience).len() as u64 + 1;
        let asking = all_after(rest, "asking").join(" ");
        let request = Request {
            way,
            reason: after(rest, "because").map(|reason| Digest::of(reason.as_bytes())),
            charter_version: after(rest, "charter").map_or(policy.record.version, read),
            requires: if asking.is_empty() { rule.unwrap_or_else(|| read("qa")) } else { read(&asking) },
            serial: after(rest, "serial").map_or(serial, read),
            not_before: in_days(starts),
            not_after: self.now.checked_add(hours(life)).expect("in this era"),
            floor: after(rest, "floor").map(read),
            app,
            version,
            audience,
        };
        let subject =
            after(rest, "build").map_or_else(|| what.to_string(), |letter| format!("{}#{letter}", app_of(what)));
        let subject = self.meant(&subject);
        self.act(who, subject, Act::Request(request))
    }

    /// Approves the newest request, or the one of `serial N`; `as prod` says another audience than the request does.
    fn approves(&mut self, who: &str, what: &str, audience: &str, rest: &[&str]) -> Vec<String> {
        let (app, version, audience): (AppName, _, AudienceName) =
            (read(app_of(what)), version_of(what), read(audience));
        let requests = self.requests_of(&app, &version, &audience);
        let serial = after(rest, "serial").map_or(requests.len(), read);
        let subject = requests.get(serial.wrapping_sub(1)).copied().unwrap_or(Digest::of(b"nobody knows"));
        let audience = after(rest, "as").map_or(audience, read);
        self.act(who, subject, Act::Approval(Approval { app, version, audience }))
    }

    /// Reviews the newest request, or the one of `serial N`; `finding X` says what was found.
    fn reviews(&mut self, who: &str, what: &str, audience: &str, rest: &[&str]) -> Vec<String> {
        let (app, version, audience): (AppName, _, AudienceName) =
            (read(app_of(what)), version_of(what), read(audience));
        let requests = self.requests_of(&app, &version, &audience);
        let serial = after(rest, "serial").map_or(requests.len(), read);
        let subject = requests.get(serial.wrapping_sub(1)).copied().unwrap_or(Digest::of(b"nobody knows"));
        let audience = after(rest, "as").map_or(audience, read);
        let finding = after(rest, "finding").map(|finding| Digest::of(finding.as_bytes()));
        self.act(who, subject, Act::Review(Review { app, version, audience, finding }))
    }

    fn withdraws(&mut self, who: &str, what: &str, audience: &str, rest: &[&str]) -> Vec<String> {
        let (app, version, audience): (AppName, _, AudienceName) =
            (read(app_of(what)), version_of(what), read(audience));
        let newest = self.requests_of(&app, &version, &audience).len() as u64;
        let through_serial = after(rest, "through").map_or(newest, read);
        let subject = after(rest, "build").map_or_else(|| what.to_string(), |letter| format!("{app}#{letter}"));
        let subject = self.meant(&subject);
        self.act(who, subject, Act::Withdrawal(Withdrawal { app, version, audience, through_serial, reason: None }))
    }

    /// `retries 4 on prod-2`: what deployment 4 does, by an order of its own.
    fn retries(&mut self, who: &str, number: &str, targets: &[&str]) -> Vec<String> {
        let number: u64 = read(number);
        let Some(record) = self.state.deployments.get(&number).cloned() else {
            return vec![format!("there is no deployment {number}")];
        };
        let schedule = self.schedule(&record.environment, record.act, &[]);
        let order = Order {
            version: record.version,
            only: targets.iter().map(|name| read(name)).collect(),
            keep_data: record.keep_data,
            retries: Some(number),
            schedule,
            ..Order::new(record.app, record.environment, record.act)
        };
        self.act(who, record.build, Act::Order(order))
    }

    /// Orders; `what` is `web@1.0.0`, `web#A`, or `web` for an act on what runs. `keeping data` leaves the data as later
    /// migrations left it, `with canary=1 at_once=25%` says how it goes over its targets.
    fn orders(&mut self, who: &str, verb: &str, what: &str, environment: &str, rest: &[&str]) -> Vec<String> {
        let (app, environment): (AppName, AudienceName) = (read(app_of(what)), read(environment));
        let act = act_of(verb);
        let any_running = self.state.targets_in(&environment).filter_map(|(name, _)| self.runs(&app, name)).next();
        let subject = match what.contains(['@', '#']) {
            true => self.meant(what),
            // The command line names the newest build where nothing runs, so that the answer can say just that.
            false => any_running.unwrap_or_else(|| {
                let builds = self.state.apps.get(&app).map(|app| app.builds.clone()).unwrap_or_default();
                builds.keys().next().copied().unwrap_or(Digest::of(b"nobody knows"))
            }),
        };
        let only = all_after(rest, "only").iter().take_while(|word| **word != "with").map(|name| read(name)).collect();
        let version = what.contains('@').then(|| version_of(what));
        let when_released = rest.contains(&"released");
        let (rollout, retries) = (rollout(rest), None);
        let schedule = self.schedule(&environment, act, rest);
        let keep_data = rest.contains(&"keeping");
        let plan = rest.contains(&"planned").then_some(self.plan).flatten();
        let order =
            Order { app, environment, act, version, only, when_released, rollout, schedule, retries, keep_data, plan };
        if verb == "plans" {
            return self.plans(who, subject, order);
        }
        self.act(who, subject, Act::Order(order))
    }

    /// What an order would do; `as planned` orders it afterwards.
    fn plans(&mut self, who: &str, subject: Digest, act: Order) -> Vec<String> {
        let request_id = RequestId::new("plan").expect("an id");
        let context = Context { now: self.now, actor: self.actor(who), request_id, payload: None };
        match preview(&self.state, &context, Signed { subject, act }) {
            Ok((planned, warnings)) => {
                self.plan = Some(planned.id());
                let on = |targets: &[PlannedTarget]| {
                    targets.iter().map(|planned| planned.target.as_str()).collect::<Vec<_>>().join(" ")
                };
                let of_members = planned.members.iter().map(|(app, targets)| format!("{app} on {}", on(targets)));
                let whole = (!planned.targets.is_empty()).then(|| on(&planned.targets));
                let parts: Vec<String> = whole.into_iter().chain(of_members).collect();
                let mut said = vec![format!("a plan for {}", parts.join(", "))];
                said.extend(warnings.into_iter().map(|warning| format!("warned: {warning}")));
                said
            }
            Err(refusal) => vec![self.refusal_in_words(&refusal)],
        }
    }

    /// `at` and `expires`, and the environment's windows unless they are left out.
    fn schedule(&self, environment: &AudienceName, act: OrderAct, rest: &[&str]) -> Schedule {
        let moment = |key: &str| after(rest, key).map(read);
        let at: Option<Timestamp> = moment("at");
        let policy = self.policy();
        let windows = policy.charter.environments.get(environment).map(|environment| &environment.windows[..]);
        let is_new = trust::freeze::brings_something_new(act) && !rest.contains(&"windowless");
        let windows = windows.filter(|_| is_new).unwrap_or_default();
        let windows = Schedule::write_out(windows, at.unwrap_or(self.now).max(self.now));
        Schedule { at, expires: moment("expires"), windows }
    }

    /// `prod` or `prod,site`, or `everything` for what is live; `until`, `from` and `for` which applications.
    fn freezes(&mut self, who: &str, environments: &str, rest: &[&str]) -> Vec<String> {
        let environments = match environments {
            "everything" => BTreeSet::new(),
            names => names.split(',').map(read).collect(),
        };
        let apps = after(rest, "for").map(|names| names.split(',').map(read).collect()).unwrap_or_default();
        let from = after(rest, "from").map_or(self.now, read);
        let until = read(after(rest, "until").expect("until when"));
        let terms = Terms { environments, apps, from, until, reason: Digest::of(b"why it is frozen") };
        self.act(who, Digest::of(b"estate"), Act::Freeze(Freeze::Declare(terms)))
    }

    /// The freeze of this number, or one that nobody knows.
    fn freeze(&self, number: &str) -> Digest {
        let number: u64 = read(number);
        let known = self.state.freezes.values().find(|freeze| freeze.number == number);
        known.map_or(Digest::of(b"no freeze"), |freeze| freeze.known.freeze)
    }

    /// `LEVEL=debug, secret TOKEN`; with `for prod-1` and `serial N` before the colon.
    fn sets_config(&mut self, who: &str, app: &str, environment: &str, line: &str) -> Vec<String> {
        let (head, values) = line.split_once(": ").expect("a colon before the values");
        let words: Vec<&str> = head.split_whitespace().collect();
        let (app, environment): (AppName, AudienceName) = (read(app), read(environment));
        let key = |value: &str| match value.strip_prefix("secret ") {
            Some(name) => (name.to_string(), true),
            None => (value.split('=').next().unwrap_or(value).to_string(), false),
        };
        let current = self.state.in_audience(&app, &environment).and_then(|record| record.config.as_ref());
        let serial = after(&words, "serial").map_or(current.map_or(0, |config| config.serial) + 1, read);
        let everyone: BTreeSet<TargetName> =
            self.state.targets_in(&environment).map(|(name, _)| name.clone()).collect();
        let recipients = after(&words, "for").map_or(everyone, |name| BTreeSet::from([read(name)]));
        let document = ConfigDocument {
            app: app.clone(),
            environment: environment.clone(),
            values: BTreeMap::new(),
            salt: values.into(),
        };
        let subject = document.digest().expect("it can be written");
        let keys = values.split(", ").map(key).collect();
        self.act(who, subject, Act::Config(Config { app, environment, serial, keys, recipients }))
    }

    fn exposes(&mut self, who: &str, what: &str, environment: &str, percent: u8) -> Vec<String> {
        let (app, environment, version) = (read(app_of(what)), read(environment), version_of(what));
        self.administer(who, AdministrationAct::Expose { app, environment, version, percent })
    }

    /// `verified`, `undone verify no answer`, `failed activate disk full`, `refused PERMIT_EXPIRED too late`, about the
    /// first thing the target has to do, or `about web`; `for prod-2` as another, `running nothing` against its own word.
    fn reports(&mut self, target: &str, how: &str, rest: &[&str]) -> Vec<String> {
        let name: TargetName = read(after(rest, "for").unwrap_or(target));
        let assignments = plan::assignments(&self.state, &name);
        let app = after(rest, "about").map(read::<AppName>);
        let chosen = assignments.into_iter().find(|assignment| app.as_ref().is_none_or(|app| assignment.app == *app));
        let Some(assigned) = chosen.map(|a| (a.app, a.generation, a.deployment, a.act, a.undo, a.build, a.config))
        else {
            let (app, generation, deployment) = self.last_assigned(&name);
            let said = after(rest, "running").filter(|letter| *letter != "nothing");
            let running = said.map(|letter| self.build(app.as_str(), letter));
            let report = Report {
                target: name,
                app,
                epoch: after(rest, "epoch").map_or(self.state.epoch(), read),
                generation,
                deployment,
                outcome: Outcome::Verified,
                running,
                config_serial: 0,
                phases: Vec::new(),
                endpoints: Vec::new(),
                carried: None,
                way: Way::Normal,
            };
            return self.act(target, Digest::of(b"nobody knows"), Act::Report(report));
        };
        let (app, generation, deployment, act, undo, build, config) = assigned;
        let outcome = outcome(how, rest);
        let before = self.state.deployments[&deployment].parts.get(&name).and_then(|part| part.before);
        let current = self.runs(&app, &name);
        let running = match (&outcome, act, undo) {
            (Outcome::Verified, _, true) => before,
            (Outcome::Verified, OrderAct::Deploy | OrderAct::Redeploy | OrderAct::Rollback, _) => Some(build),
            (Outcome::Verified, OrderAct::Undeploy, _) => None,
            (Outcome::Undone { .. }, ..) => before,
            _ => current,
        };
        let running = match after(rest, "running") {
            Some("nothing") => None,
            Some(letter) => Some(self.build(app.as_str(), letter)),
            None => running,
        };
        let report = Report {
            target: name,
            app,
            epoch: after(rest, "epoch").map_or(self.state.epoch(), read),
            generation,
            deployment,
            phases: self.phases_through(&outcome),
            outcome,
            running,
            config_serial: config.map_or(0, |(serial, _)| serial),
            endpoints: running.map(|_| "http://127.0.0.1:20001".to_string()).into_iter().collect(),
            carried: None,
            way: match rest {
                ["by", way, ..] => read(way),
                _ => Way::Normal,
            },
        };
        self.act(target, build, Act::Report(report))
    }

    /// What a target was last told, for reports that come too late.
    fn last_assigned(&self, name: &TargetName) -> (AppName, u64, u64) {
        let apps = self.state.targets.get(name).map(|target| target.apps.clone()).unwrap_or_default();
        let last = apps.iter().find_map(|(app, on)| Some((app.clone(), on.assigned?)));
        last.map_or((read("web"), 0, 0), |(app, assigned)| (app, assigned.generation, assigned.deployment))
    }

    fn phases_through(&self, outcome: &Outcome) -> Vec<PhaseTiming> {
        let all = [Phase::Fetch, Phase::Stage, Phase::Configure, Phase::Activate, Phase::Verify];
        let last = match outcome {
            Outcome::Verified => Phase::Verify,
            Outcome::Undone { phase, .. } | Outcome::Failed { phase, .. } => *phase,
            Outcome::Refused { .. } => return Vec::new(),
        };
        let timing = |(at, phase): (u64, Phase)| PhaseTiming { phase, started: self.now, milliseconds: 100 * at };
        (1..).zip(all).filter(|(_, phase)| *phase <= last).map(timing).collect()
    }

    /// `finds nothing`, or `finds changed web/bin/web, extra web/tool`; `for prod-2` as another.
    fn finds(&mut self, target: &str, line: &str) -> Vec<String> {
        let (head, found) = line.split_once(" finds ").unwrap_or((line, "nothing"));
        assert_eq!(head, target);
        let (found, name) = found.split_once(" for ").unwrap_or((found, target));
        let finding = |text: &str| {
            let (kind, place) = text.split_once(' ').expect("a kind and a place");
            let (app, path) = place.split_once('/').expect("an application and a path");
            let kind: FindingKind = serde_json::from_value(kind.into()).expect("a kind of finding");
            Finding { app: app.into(), path: path.into(), kind }
        };
        let findings = if found == "nothing" { Vec::new() } else { found.split(", ").map(finding).collect() };
        let facts = None;
        let inventory =
            Inventory { target: read(name), scanned: self.now, active: BTreeMap::new(), findings, facts, lapsed: None };
        self.act(target, Digest::of(b"estate"), Act::Inventory(inventory))
    }

    /// `is now 4096 MiB kernel 5.10`: what a machine says of itself when it starts anew.
    fn is_now(&mut self, target: &str, rest: &[&str]) -> Vec<String> {
        let facts = Some(facts_in(rest));
        let (target_name, findings) = (read(target), Vec::new());
        let inventory = Inventory {
            target: target_name,
            scanned: self.now,
            active: BTreeMap::new(),
            findings,
            facts,
            lapsed: None,
        };
        self.act(target, Digest::of(b"estate"), Act::Inventory(inventory))
    }

    /// How what runs on a target is, by its own word unless another says it.
    fn says_how_it_is(&mut self, who: &str, target: &str, unwell: Option<(&str, Digest, String)>) -> Vec<String> {
        let unwell = unwell.into_iter().map(|(app, build, reason)| (read(app), Unwell { build, reason })).collect();
        self.act(who, Digest::of(b"estate"), Act::Health(Health { target: read(target), looked: self.now, unwell }))
    }

    /// A target's last word; with something active it contradicts itself.
    fn lapses(&mut self, target: &str, left: Option<(&str, &str)>) -> Vec<String> {
        let active = left.map(|(app, letter)| (read(app), self.build(app, letter))).into_iter().collect();
        let (target_name, scanned, lapsed) = (read(target), self.now, Some(self.now));
        let inventory = Inventory { target: target_name, scanned, active, findings: Vec::new(), facts: None, lapsed };
        self.act(target, Digest::of(b"estate"), Act::Inventory(inventory))
    }

    /// Lets a target be silent for so long, and does what the clock asks for then.
    fn vanishes(&mut self, target: &str, minutes: i64) -> Vec<String> {
        let silent = self.now;
        let mut said = self.time_passes(minutes, "minutes");
        let (name, now) = (read::<TargetName>(target), self.now);
        let heard = |other: &TargetName| if *other == name { silent } else { now };
        let (commands, _) = plan::vanished(&self.state, now, heard);
        said.extend(
            commands
                .into_iter()
                .flat_map(|(id, command)| self.submit(Actor::Clock, None, id, command))
                .collect::<Vec<_>>(),
        );
        if said.is_empty() { vec!["nobody minds".into()] } else { said }
    }

    fn by_clock(&mut self, command: Command) -> Vec<String> {
        self.requests_made += 1;
        let id = RequestId::new(format!("clock-{}", self.requests_made)).expect("a short id");
        self.submit(Actor::Clock, None, id, command)
    }

    /// Lets time pass as the server does: it stops wherever something is due, and does that.
    fn time_passes(&mut self, count: i64, unit: &str) -> Vec<String> {
        let seconds = count
            * match unit.trim_end_matches('s') {
                "second" => 1,
                "minute" => 60,
                "hour" => 3600,
                "day" => 86_400,
                _ => panic!("{unit} is no unit of time"),
            };
        let end: Timestamp = self.now.checked_add(SignedDuration::from_secs(seconds)).expect("in this era");
        let mut said = Vec::new();
        loop {
            let (commands, next) = plan::due(&self.state, self.now);
            if let Some((id, command)) = commands.into_iter().next() {
                let entries = self.history.len();
                said.extend(self.submit(Actor::Clock, None, id, command));
                assert!(self.history.len() > entries, "what is due can be done: {said:?}");
                continue;
            }
            match next {
                Some(next) if next <= end => self.now = next,
                _ => break,
            }
        }
        self.now = end;
        said
    }

    fn due(&self) -> Vec<String> {
        match plan::due(&self.state, self.now) {
            (commands, _) if !commands.is_empty() => {
                commands.iter().map(|(id, _)| format!("due: {}", id.as_str())).collect()
            }
            (_, Some(next)) => vec![format!("nothing is due before {next:.0}")],
            (_, None) => vec!["nothing is due".into()],
        }
    }

    /// Every rule's verdict on its own.
    fn why(&mut self, what: &str, audience: &str) -> Vec<String> {
        let (app, audience): (AppName, AudienceName) = (read(app_of(what)), read(audience));
        let build = self.meant(what);
        let record = self.state.apps.get(&app).and_then(|record| record.builds.get(&build)).cloned();
        let Some(record) = record else { return vec!["nobody knows it".into()] };
        let candidate = Candidate { app: &app, build, record: &record, audience: &audience, act: OrderAct::Deploy };
        let policy = self.policy();
        let mut verdicts = rules::verdicts(&self.state, &policy, &candidate, self.now);
        verdicts.extend(rules::moment(&self.state, &policy, &candidate, &Schedule::default(), self.now));
        let say = |verdict: rules::Verdict| match verdict.verdict {
            Ok(fact) => format!("yes {}: {fact}", verdict.rule),
            Err(refusal) => format!("no  {}: {} {refusal}", verdict.rule, refusal.code()),
        };
        verdicts.into_iter().map(say).map(|text| self.with_letters(text)).collect()
    }

    fn next_number(&self, app: &str) -> Vec<String> {
        let name: AppName = read(app);
        let record = self.state.apps.get(&name).cloned().unwrap_or_default();
        let numbers = self.policy().charter.numbering(&name);
        vec![format!("the next number of {app} is {}", numbering::following(&record, numbers, 2026, 11))]
    }
}

fn outcome(how: &str, rest: &[&str]) -> Outcome {
    let phase = || serde_json::from_value((*rest.first().expect("a phase")).into()).expect("a phase");
    let reason = || rest.get(1..).unwrap_or_default().join(" ");
    match how {
        "verified" => Outcome::Verified,
        "undone" => Outcome::Undone { phase: phase(), reason: reason() },
        "failed" => Outcome::Failed { phase: phase(), reason: reason() },
        "refused" => Outcome::Refused { code: rest.first().expect("a code").to_string(), reason: reason() },
        _ => panic!("{how} is no outcome"),
    }
}

/// `prod has soak_minutes = 10`, or `tester is gone`.
fn alter(document: &mut toml_edit::DocumentMut, change: &str) {
    let (entry, what) = change.split_once(' ').expect("an entry and what changes");
    let sections = ["people", "robots", "customers", "environments", "channels", "applications", "vendors"];
    let section = sections.into_iter().find(|section| document.get(section).is_some_and(|s| s.get(entry).is_some()));
    let section = section.unwrap_or_else(|| panic!("the charter has no {entry}"));
    match what.strip_prefix("has ").and_then(|pair| pair.split_once(" = ")) {
        Some((key, value)) => {
            let value: toml_edit::Value = value.parse().expect("a TOML value");
            document[section][entry][key] = toml_edit::Item::Value(value);
        }
        None => {
            let table = document[section].as_table_mut().expect("a section is a table");
            table.remove(entry);
        }
    }
}

/// Upholds one statement of a key.
fn add_upheld(document: &mut toml_edit::DocumentMut, who: &str, role: &str, key: &str, statement: Digest) {
    let mut entry = toml_edit::Table::new();
    entry["person"] = toml_edit::value(who);
    entry["roles"] = toml_edit::value(toml_edit::Array::from_iter([role]));
    entry["key"] = toml_edit::value(format!("{{{key}}}"));
    entry["statements"] = toml_edit::value(toml_edit::Array::from_iter([statement.to_string()]));
    let upheld = document.entry("upheld").or_insert(toml_edit::Item::ArrayOfTables(Default::default()));
    upheld.as_array_of_tables_mut().expect("a list of tables").push(entry);
}

/// Puts each person's key where the charter says `{name}`.
fn with_keys(charter: &str) -> String {
    let mut text = String::new();
    for (at, part) in charter.split("\"{").enumerate() {
        match part.split_once("}\"") {
            Some((word, rest)) if at > 0 => {
                text.push_str(&format!("\"{}\"{rest}", secret(word).public().to_openssh()));
            }
            _ => text.push_str(part),
        }
    }
    text
}
