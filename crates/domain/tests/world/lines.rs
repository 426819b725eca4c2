//! The language of the stories: one line, one step. The README of the language is this file's `match`; what a line does
//! stands in the files beneath, by what it is about.

mod builds;
mod charters;
mod clock;
mod orders;
mod reading;
mod releases;
mod targets;

use super::{OWNER, World, public, read};
use domain::{
    command::{Command, Signed},
    rules::{self, Candidate, numbering},
};
use jiff::SignedDuration;
use reading::{after, app_of, facts_of, labels, version_of};
use std::{collections::BTreeMap, sync::Arc};
use targets::CarriedFacts;
use trust::{
    AppName, AudienceName, Digest, TargetName,
    freeze::{Exception, Freeze, Lift},
    schedule::Schedule,
    statement::{Act, AdministrationAct, Commit, Evidence, Number, OrderAct, Part},
};

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
            ["clock", "gives", "up", "on", target, "in", number, said @ ..] => {
                let said = (!said.is_empty()).then(|| said[1..].join(" "));
                self.by_clock(Command::GiveUpOnTarget(read(number), read(target), said))
            }
            ["status", app] => self.status(app),
            ["assignments", target] => self.assignments(target),
            ["waits"] => self.waits(),
            ["calendar"] => self.calendar(),
            ["nothing", "is", "heard", "of", target, "for", minutes, "minutes"] => self.vanishes(target, read(minutes)),
            ["clock", "says", "that", target, "is", "over"] => self.by_clock(Command::LapseTarget(read(target))),
            ["due"] => self.due(),
            ["phases", number] => self.phases(read(number)),
            ["why", what, "in", audience] => self.why(what, audience),
            ["back", "of", app, "in", environment, rest @ ..] => self.back(app, environment, rest),
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
                let id = self.next_id();
                let (app, version) = (read(app_of(what)), version_of(what));
                let command = Command::RecordDelivery { app, version, channel: read(channel), to: read(to) };
                self.submit(self.actor(who), None, id, command)
            }
            ("imports", [what, letter, "from", vendor, rest @ ..]) => self.imports(who, (what, letter), vendor, rest),
            ("requests", [what, "for", audience, rest @ ..]) => self.requests(who, what, audience, rest),
            ("approves", [what, "for", audience, rest @ ..]) => self.approves(who, what, audience, rest),
            ("reviews", [what, "in", audience, rest @ ..]) => self.reviews(who, what, audience, rest),
            ("withdraws", [what, "from", audience, rest @ ..]) => self.withdraws(who, what, audience, rest),
            ("deploys" | "redeploys" | "plans" | "switches", [what, "to" | "in", environment, rest @ ..]) => {
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
            ("falls", ["silent"]) => {
                Arc::make_mut(&mut self.away).insert(read(who));
                Vec::new()
            }
            ("has", ["seen", "entry", entry, "which", "is", "lost"]) => {
                Arc::make_mut(&mut self.lost).seen.push((self.state.epoch(), read(entry)));
                Vec::new()
            }
            ("shows", ["that", what, "is", "build", letter]) => {
                let build = self.build(app_of(what), letter);
                let number = (read(app_of(what)), version_of(what));
                Arc::make_mut(&mut self.lost).numbers.insert(number, build);
                Vec::new()
            }
            ("is", ["heard", "of", "again"]) => {
                Arc::make_mut(&mut self.away).remove(&read::<TargetName>(who));
                Vec::new()
            }
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
                self.administer(who, AdministrationAct::CordonTarget { target: read(target), cordoned, reason: None })
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
            ("discards", [draft, "of", app]) => {
                self.administer(who, AdministrationAct::DiscardDraft { app: read(app), draft: read(draft) })
            }
            ("adds", ["part", part, letter, "into", draft, "of", app, rest @ ..]) => {
                let subject = self.build(app, letter);
                let commit = after(rest, "from").map(|id| Commit { id: id.into(), tag: None, title: String::new() });
                let part = Part { app: read(app), draft: read(draft), part: read(part), commit };
                let facts = facts_of(app);
                let id = self.next_id();
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
                let id = self.next_id();
                self.submit(self.actor(who), None, id, Command::SettleDeployment(read(number)))
            }
            _ => panic!("'{line}' is no line of a story"),
        }
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
            ["runs", "in", environment, count, "times", "over"] => {
                // So long a story is replayed once, rather than at each of its steps.
                self.replays_each_step = false;
                let again = || self.tell_again(what, environment);
                let said = std::iter::repeat_with(again).take(read(count)).flatten().collect();
                self.check_replay();
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

    /// What runs there is brought there once more.
    fn tell_again(&mut self, what: &str, environment: &str) -> Vec<String> {
        let said = self.tell(&format!("oncall redeploys {what} to {environment}"));
        said.into_iter().chain(self.everyone_reports()).collect()
    }

    /// Every rule's verdict on its own.
    fn why(&mut self, what: &str, audience: &str) -> Vec<String> {
        let (app, audience): (AppName, AudienceName) = (read(app_of(what)), read(audience));
        let build = self.meant(what);
        let record = self.state.apps.get(&app).and_then(|record| record.builds.get(&build)).cloned();
        let Some(record) = record else { return vec!["nobody knows it".into()] };
        let candidate =
            Candidate { app: &app, build, record: &record, audience: &audience, act: OrderAct::Deploy, package: None };
        let policy = self.policy();
        let mut verdicts = rules::verdicts(&self.state, &policy, &candidate, self.now);
        let must_sign = rules::owners::must_sign(&self.state, &self.lost, self.now);
        verdicts.extend(must_sign.map(|refusal| rules::Verdict { rule: "owners", verdict: Err(refusal) }));
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
