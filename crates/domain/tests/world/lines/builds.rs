//! Builds: pushed, sealed from parts, brought from a vendor.

use super::reading::{after, all_after, app_of, facts_of, hours, labels, version_of};
use crate::world::{World, read};
use domain::{
    command::{Brought, Command, Signed},
    event::{MigrateFacts, VendorWord},
};
use std::{collections::BTreeMap, sync::Arc};
use trust::{
    AppName, Digest, Version,
    authority::{Denial, KeptWithdrawal},
    manifest::{ConfigKey, Driver, Member},
    statement::{Commit, Import, Push},
    vendor::Released,
    way::Way,
};

impl World {
    /// Options: `on role=web`, `needs 4096 MiB`, `needs os plan9`, `config LEVEL=info`, `config URL`, `secret TOKEN`,
    /// `commit 1f0c`, `tag v1`, `recipe make`, `files only`, `checkpoint`, `migrates`, `migrates both ways`, `takes 300`,
    /// divided by commas.
    pub(super) fn pushes(&mut self, who: &str, app: &str, letter: &str, options: &str) -> Vec<String> {
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
                ["can", "stand", "by"] => facts.can_stand_by = true,
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

    pub(super) fn seals(
        &mut self,
        who: &str,
        app: &str,
        draft: &str,
        build: Digest,
        parts: BTreeMap<trust::PartName, Digest>,
    ) -> Vec<String> {
        let id = self.next_id();
        let command = Command::SealDraft { app: read(app), draft: read(draft), build, parts };
        self.submit(self.actor(who), None, id, command)
    }

    /// What somebody brings of a vendor, as the server has judged it: `as others` for another audience, with `serial N`,
    /// `charter N`, `floor X`, `withdrawing A through N` or `annulling A` (the first withdrawal of A), `unfit`, `expired`.
    pub(super) fn imports(
        &mut self,
        who: &str,
        (what, letter): (&str, &str),
        vendor: &str,
        rest: &[&str],
    ) -> Vec<String> {
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
        let id = self.next_id();
        self.submit(self.actor(who), None, id, Command::ImportRelease(Signed { subject, act }, Arc::new(brought)))
    }

    /// The build that `web@1.0.0` or `web#A` means; one that nobody knows where there is none.
    pub(super) fn meant(&mut self, what: &str) -> Digest {
        let app: AppName = read(app_of(what));
        if let Some((_, letter)) = what.split_once('#') {
            return self.build(app.as_str(), letter);
        }
        let version = version_of(what);
        let numbered = self.state.apps.get(&app).and_then(|app| app.versions.get(&version).copied());
        numbered.map_or(Digest::of(b"nobody knows"), |numbered| numbered.build)
    }
}
