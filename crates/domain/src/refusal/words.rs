//! Refusals in words: the sentence, the next command to type, the exit code, and the page `sortie explain` prints.

use super::{Instead, Refusal, Right, Serves, exit};
use crate::{
    rules::{deployers, names},
    waiting::lacks_in_words,
};
use std::fmt;
use trust::{DraftName, charter::DeployedBy, evidence::Shortfall, statement::OrderAct};

/// How many drafts a sentence names.
const NAMED: usize = 8;

impl Right {
    /// The right as a verb.
    pub fn verb(self) -> &'static str {
        match self {
            Right::Push => "push and number builds of",
            Right::Import => "bring in releases of",
            Right::Attest => "attest",
            Right::Request => "request a release to",
            Right::Approve => "approve for",
            Right::Review => "review an emergency in",
            Right::Withdraw => "withdraw from",
            Right::Deploy => "deploy to",
            Right::Configure => "configure",
            Right::Freeze => "freeze",
            Right::Invite => "invite and manage targets in",
            Right::Read => "make a token that reads",
            Right::Own => "change",
        }
    }
}

fn list(items: &[impl fmt::Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn did_you_mean(nearest: &Option<impl fmt::Display>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoEstate => write!(f, "this server has no estate yet: an owner must bring the first charter"),
            Refusal::OtherEstate => write!(f, "the statement names another estate than this server's"),
            Refusal::StatementExpired { submit_before, now: Some(now) } if submit_before > now => {
                write!(
                    f,
                    "the statement may be submitted until {submit_before:.0}, and it is {now:.0} by the server's clock: so \
                     long ahead none is signed. The clock of whoever signed is ahead"
                )
            }
            Refusal::StatementExpired { submit_before, now } => {
                let now = now.map(|now| format!(", and it is {now:.0} by the server's clock")).unwrap_or_default();
                write!(f, "the statement could be submitted until {submit_before:.0}{now}; check this machine's clock")
            }
            Refusal::RequestIdReused => write!(f, "this request id was used for something else"),
            Refusal::AlreadyDone { what, since: Some(since) } => {
                write!(f, "{what} since {since:.0}; nothing was written")
            }
            Refusal::AlreadyDone { what, since: None } => write!(f, "{what}; nothing was written"),
            Refusal::RoleMissing { right, place, needs, roles } => {
                let needs = match (needs, right) {
                    (None, _) => "the role it asks for".to_string(),
                    // Granting is AND, taking back and looking again are OR: one of all those people suffices.
                    (Some(rule), Right::Withdraw | Right::Review) => match rule.roles().as_slice() {
                        [role] => role.to_string(),
                        roles => format!("any of {}", list(roles)),
                    },
                    (Some(rule), _) => rule.to_string(),
                };
                let roles =
                    if roles.is_empty() { "you have no role".into() } else { format!("you are {}", list(roles)) };
                write!(f, "to {} {place} needs {needs}; {roles}", right.verb())
            }
            Refusal::UnknownApplication { name, nearest } => {
                write!(f, "no application is called {name}{}", did_you_mean(nearest))
            }
            Refusal::UnknownBuild { app, build } => write!(f, "{app} has no build #{}", build.short()),
            Refusal::UnknownVersion { app, version, newest } => {
                let newest = newest.as_ref().map(|newest| format!("; the newest is {newest}")).unwrap_or_default();
                write!(f, "{app} has no version {version}{newest}")
            }
            Refusal::UnknownAudience { name, nearest } => {
                write!(f, "the charter has no environment or channel {name}{}", did_you_mean(nearest))
            }
            Refusal::UnknownTarget { name, nearest } => {
                write!(f, "no target is called {name}{}", did_you_mean(nearest))
            }
            Refusal::UnknownPerson { name } => write!(f, "the charter has nobody called {name}"),
            Refusal::UnknownRequest => {
                write!(f, "nobody has asked for this release, or the request says something else")
            }
            Refusal::UnknownDeployment { deployment } => write!(f, "there is no deployment {deployment}"),
            Refusal::NumberTaken { app, version, build } => {
                write!(f, "{app}@{version} is {app}#{} for good; a number is never moved", build.short())
            }
            Refusal::BuildNumbered { app, version } => write!(f, "this build is {app}@{version} already, for good"),
            Refusal::NumberNotIncreasing { app, version, highest } => {
                write!(f, "{app}@{version} does not follow {highest}: numbers increase within a release line")
            }
            Refusal::NumberKind { app, version, expected } => {
                write!(f, "{version} is not a number of {app}, whose numbers look like {expected}")
            }
            Refusal::ObjectsMissing { count, first } => {
                write!(f, "{count} objects are not in the depot yet, {first} among them; nothing was recorded")
            }
            Refusal::VendorReleaseMissing { app, build, vendor } => {
                write!(f, "{vendor} makes {app}, and {vendor}'s release of {app}#{} is not here", build.short())
            }
            Refusal::VendorReleaseUnfit { app, vendor, why } => {
                write!(f, "this is no release of {app} by {vendor} to us: {why}")
            }
            Refusal::VendorWithdrew { app, version, vendor } => write!(f, "{vendor} has withdrawn {app}@{version}"),
            Refusal::VendorReleaseExpired { app, version, vendor, not_before, not_after } => {
                write!(f, "{vendor}'s release of {app}@{version} holds from {not_before:.0} until {not_after:.0}")
            }
            Refusal::EvidenceMissing { build, kind, issuers, why } => {
                let build = build.short();
                write!(
                    f,
                    "there is no good evidence of type {kind} for build #{build}: {why}; {issuers} can attach it"
                )?;
                match why.as_ref() {
                    Shortfall::KeyLeft { statement: Some(statement), .. } => {
                        write!(f, " anew, or owners uphold statement {statement}: [[upheld]] in the charter")
                    }
                    _ => Ok(()),
                }
            }
            Refusal::NotVerifiedBefore { app, version, after, audience, away } => {
                write!(f, "{audience} comes after {after}, and {app}@{version} was not verified in {after} yet")?;
                match &away[..] {
                    [] => Ok(()),
                    away => write!(f, ": {} was away when it came and does not run it", list(away)),
                }
            }
            Refusal::NoReleaseNeeded { audience } => {
                write!(f, "{audience} asks nobody for approval: deploy there without a release")
            }
            Refusal::WayMissing { way, audience, ways } if ways.is_empty() => {
                write!(f, "the charter has no way '{way}' for {audience}, nor any other besides the normal one")
            }
            Refusal::WayMissing { way, audience, ways } => {
                write!(f, "the charter has no way '{way}' for {audience}; it has {}", list(ways))
            }
            Refusal::WayExceeded { way, why } => write!(f, "{way} does not allow this: {why}"),
            Refusal::RenewalBySame { way, app, version, audience } => {
                write!(
                    f,
                    "you had a part in {app}@{version} → {audience} by {way} before: somebody else must ask for more"
                )
            }
            Refusal::NothingToReview { app, version, audience } => {
                write!(f, "no emergency release of {app}@{version} to {audience} waits for a review")
            }
            Refusal::ReviewerInvolved { did } => {
                write!(f, "you {did} it: somebody who had no part in it reviews an emergency")
            }
            Refusal::RequestStale { what } => write!(f, "the request is out of date: {what}"),
            Refusal::RequestWaiting { version, audience, lacks } => {
                write!(f, "a request for {version} → {audience} is waiting already, for {}", lacks_in_words(lacks))
            }
            Refusal::RequestClosed { standing } => write!(f, "the request is {standing} already"),
            Refusal::ApproverIsAuthor { audience, did } => {
                let instead = match did.as_str() {
                    "requested" => "deny it, and somebody else asks, or somebody else approves",
                    _ => "somebody else approves",
                };
                write!(f, "you {did} it, and in {audience} requester and pusher do not count as approvers: {instead}")
            }
            Refusal::HardwareKeyNeeded { audience } => {
                write!(f, "{audience} takes approvals by keys held in hardware only, and this key is not known to be")
            }
            Refusal::ApprovalsMissing { app, version, audience, have, need } => {
                let have =
                    if have.is_empty() { "nobody has approved".into() } else { format!("{} approved", list(have)) };
                write!(f, "{app}@{version} → {audience}: {have}; {} must still approve", lacks_in_words(need))
            }
            Refusal::PermitMissing { app, version, audience, needs } => {
                let needs = needs.as_ref().map(|rule| format!(" ({rule} would have to agree)")).unwrap_or_default();
                write!(f, "{app}@{version} is not released to {audience}{needs}")
            }
            Refusal::PermitWithdrawn { app, version, audience, since, why } => {
                write!(f, "{app}@{version} was withdrawn from {audience} at {since:.0}")?;
                let said = why.as_ref().and_then(|why| why.said.as_ref());
                said.map_or(Ok(()), |said| write!(f, " ({said})"))
            }
            Refusal::PermitExpired(expired) => expired.fmt(f),
            Refusal::BelowFloor { version, floor, audience, by } => {
                let by = by.as_ref().map(|by| format!(", which the permit of {by} brought")).unwrap_or_default();
                write!(f, "{version} is below {audience}'s floor {floor}{by}")
            }
            Refusal::Unreleased { app, build, version, environment, class } => match version {
                Some(version) => {
                    write!(f, "{app}@{version} is not released to {environment}, which is {}", class.word())
                }
                None => write!(
                    f,
                    "{app}#{} is an unreleased build, and {environment} is {}: only released versions go there",
                    build.short(),
                    class.word()
                ),
            },
            Refusal::ChannelClosed { channel } => {
                write!(
                    f,
                    "{channel} is no channel that you may read; owners say who reads which (`read` in the charter)"
                )
            }
            Refusal::NotAnEnvironment { channel } => {
                write!(f, "{channel} is a channel: its people install for themselves, nothing is deployed there")
            }
            Refusal::UnknownDraft { app, draft, nearest, open } => {
                let named = open.iter().take(NAMED).map(DraftName::as_str).collect::<Vec<_>>().join(", ");
                let more = open.len().saturating_sub(NAMED);
                let others = match more {
                    _ if open.is_empty() => String::new(),
                    0 => format!(", only {named}"),
                    more => format!(", only {named} and {more} more"),
                };
                write!(f, "no draft {draft} of {app} is under way{others}{}", did_you_mean(nearest))
            }
            Refusal::DraftSealed { app, draft, build } => {
                write!(f, "{draft} of {app} is sealed: it is {app}#{}, and stays so", build.short())
            }
            Refusal::DraftOfAnotherCommit { app, draft, part, other } => {
                let from = |commit: &Option<String>| commit.clone().unwrap_or_else(|| "no commit".into());
                write!(
                    f,
                    "{} of {app} {draft} was made from {}, and {} from {}: a build is of one commit. A draft is named after \
                     the commit or the run; push into one of another name (`--into`), or discard this one and its parts. \
                     Nothing was added",
                    other.0,
                    from(&other.1),
                    part.0,
                    from(&part.1)
                )
            }
            Refusal::DraftChanged { app, draft } => {
                write!(f, "the parts of {draft} of {app} are others than those it was sealed from. Nothing was sealed")
            }
            Refusal::AppRetired { app, since, listed_by: Some(package) } => {
                let since = since.strftime("%Y-%m-%d");
                write!(
                    f,
                    "'{app}' in package: {app} was retired on {since}, and nothing of it is deployed any more; take the line \
                     away, or write what took its place. Nothing of {package} was recorded"
                )
            }
            Refusal::AppRetired { app, since, listed_by: None } => {
                write!(f, "{app} was retired on {}: nothing new of it comes in", since.strftime("%Y-%m-%d"))
            }
            Refusal::AppRuns { app, targets } => {
                write!(f, "{app} runs on {}: undeploy it first. Nothing was retired", list(targets))
            }
            Refusal::BuildPruned { app, build, since } => {
                let day = since.strftime("%Y-%m-%d");
                write!(
                    f,
                    "the bytes of {app}#{} were pruned on {day}; whoever has them pushes them again",
                    build.short()
                )
            }
            Refusal::BuildNeeded { app, build, why } => {
                write!(f, "{app}#{} cannot be pruned: {why}. Nothing was pruned", build.short())
            }
            Refusal::DeployedByOthers { app, by, .. } => f.write_str(&deployers::in_words(app, *by)),
            Refusal::NothingToInstall { app, build } => {
                write!(f, "{app}#{} is a checkpoint: nothing to install", build.short())
            }
            Refusal::ConfigMissing { app, environment, keys, .. } => {
                let verb = if keys.len() == 1 { "has" } else { "have" };
                write!(f, "{} {verb} no value for {app} in {environment}. Nothing was copied", list(keys))
            }
            Refusal::ConfigRefused { why } => write!(f, "{why}"),
            Refusal::ConfigStale { next } => write!(f, "somebody set config in the meantime: set {next} comes next"),
            Refusal::NoTargets { environment, empty: true, .. } => {
                write!(f, "{environment} has no targets: invite one")
            }
            Refusal::NoTargets { app, environment, cordoned, .. } if !cordoned.is_empty() => {
                let verb = if cordoned.len() == 1 { "is" } else { "are" };
                let which = list(cordoned);
                write!(
                    f,
                    "no target that {app} is to go to in {environment} takes deployments: {which} {verb} cordoned"
                )
            }
            Refusal::NoTargets { app, environment, on, .. } if on.is_empty() => {
                write!(f, "{environment} has no target for {app} that takes deployments: see `sortie target list`")
            }
            Refusal::NoTargets { app, environment, on, .. } => {
                write!(f, "{environment} has no target labelled {on}, which {app} asks for")
            }
            Refusal::NeedsUnmet { targets } => {
                for (target, shortages) in targets {
                    write!(f, "{target} is not what the build needs: {}. ", list(shortages))?;
                }
                write!(f, "Nothing was copied")
            }
            Refusal::DeploymentUnderWay { deployment, app, environment, instead, retires } => {
                let lists = retires.as_ref().map(|member| format!(", which lists {member},")).unwrap_or_default();
                if let Some(Instead::TakeOff { at }) = instead {
                    let at = at.map(|at| format!(", planned for {at:.0}")).unwrap_or_default();
                    return write!(
                        f,
                        "deployment {deployment} of {app}{lists} stands in {environment}{at}, and has not begun"
                    );
                }
                let instead = match instead {
                    Some(Instead::Abort) => "; to abort it takes back what it brought",
                    Some(Instead::GoesBack) => ", and goes back already",
                    Some(Instead::After { .. } | Instead::TakeOff { .. }) | None => "",
                };
                write!(f, "deployment {deployment} of {app}{lists} is under way in {environment}{instead}")
            }
            Refusal::MigrationCrossed(crossed) => crossed.fmt(f),
            Refusal::MigrationTakenBack { environment, to, .. } => {
                write!(
                    f,
                    "what {to} changed in the data of {environment} was taken back since, and a rollback changes no data"
                )
            }
            Refusal::RolloutEased { environment, eased, needs } => {
                let needs = needs.as_ref().map_or("nobody".to_string(), ToString::to_string);
                let eased = list(eased);
                write!(f, "{environment} is rolled out with more care than that: {eased}. Less is for {needs}")
            }
            Refusal::PlanStale { app, environment, plan, .. } => {
                let id = plan.short();
                let changed = format!("{app} in {environment} has changed since, or the order says something else");
                write!(f, "plan {id} shows something else than the order would do now: {changed}")
            }
            Refusal::TooFewHealthy { environment, why } => {
                write!(f, "no target of {environment} can be taken out of service: {why}")
            }
            Refusal::SidesUnclear { environment, label, why, .. } => {
                write!(f, "{environment} has two sides by the label {label}: {why}")
            }
            Refusal::SideServes { environment, side, targets, already: Some(serves), .. } => {
                let Serves { named, side: serving, .. } = serves.as_ref();
                let (targets, verb) = (list(targets), if targets.len() == 1 { "is" } else { "are" });
                if serving == side {
                    return write!(
                        f,
                        "{named} serves on {serving}, and {targets} {verb} of the side of {environment} that does not: what \
                         comes there is what is to serve next"
                    );
                }
                write!(
                    f,
                    "{named} serves on {serving}, of which {targets} {verb}: in {environment} nothing is deployed to the side \
                     that serves"
                )
            }
            Refusal::SideServes { app, environment, side, targets, already: None } => {
                let (targets, verb) = (list(targets), if targets.len() == 1 { "is" } else { "are" });
                write!(
                    f,
                    "what is new of {app} comes to {side}, the side of {environment} that does not serve, and {targets} {verb} of the other"
                )
            }
            Refusal::Bakes { deployment, until } => write!(f, "deployment {deployment} bakes until {until:.0}"),
            Refusal::Held { app, environment, build, version, deployment } => {
                let what = names::of_build(app, version.as_ref(), build);
                let since = deployment.map(|number| format!(" (deployment {number})")).unwrap_or_default();
                write!(
                    f,
                    "{what} is held out of {environment} since it failed, was undone or was rolled back there{since}"
                )
            }
            Refusal::Frozen(frozen) => f.write_str(&frozen.in_words("nothing was changed")),
            Refusal::WindowClosed(closed) => f.write_str(&closed.in_words("nothing was changed")),
            Refusal::WindowsDiffer { environment, windows } => {
                let windows = if windows.is_empty() { "none".into() } else { list(windows) };
                write!(f, "the times in the order are not those of {environment}'s windows: the charter has {windows}")
            }
            Refusal::UnknownFreeze => write!(f, "there is no such freeze"),
            Refusal::NotFrozen { freeze, app, instead } => {
                let instead: Vec<String> = instead.iter().map(|(app, version)| format!("{app}@{version}")).collect();
                match &instead[..] {
                    [] => write!(f, "freeze {freeze} is not about {app}: it stops nothing of it"),
                    [one] => write!(f, "freeze {freeze} is not about {app} itself, but about {one}: except that"),
                    several => {
                        let several = list(several);
                        write!(f, "freeze {freeze} is not about {app} itself, but about {several}: except each of them")
                    }
                }
            }
            Refusal::FreezeOver { freeze, since } => {
                write!(f, "freeze {freeze} is over since {since:.0}: it stops nothing any more")
            }
            Refusal::NothingRuns { environment, instead: Some(instead), .. } => {
                write!(f, "{} does not run in {environment}; {instead}", instead.named)
            }
            Refusal::NothingRuns { app, environment, act, instead: None } => {
                let verb = match act {
                    OrderAct::Undeploy => "remove",
                    OrderAct::Stop => "stop",
                    OrderAct::Start => "start",
                    OrderAct::Restart => "restart",
                    OrderAct::Configure => "configure",
                    OrderAct::Rollback => "roll back",
                    OrderAct::Deploy | OrderAct::Redeploy => "deploy again",
                    OrderAct::Switch => {
                        return write!(f, "nothing of {app} stands by in {environment}: there is nothing to switch to");
                    }
                };
                write!(f, "{app} does not run in {environment}: nothing to {verb}")
            }
            Refusal::LedgerPutBack { targets, seen, entries } => {
                let who = if *targets == 1 { "a target has".into() } else { format!("{targets} targets have") };
                write!(
                    f,
                    "{who} seen entries up to {seen} of this ledger, which has {entries} and lacks some of them: it was put back \
                     from an older copy. Nothing new is activated there until owners sign a new epoch: sortie charter epoch \
                     --reason restore"
                )
            }
            Refusal::CharterExpired { since } => {
                write!(f, "the charter expired at {since:.0}: nothing new is activated until an owner renews it")
            }
            Refusal::RootExpired { since } => {
                write!(f, "the root of trust expired at {since:.0}: nothing new is activated until owners renew it")
            }
            Refusal::NothingToRollBackTo { environment, named: Some(named), .. } => {
                write!(f, "{named} has not settled in {environment}, and a rollback goes back to what has")
            }
            Refusal::NothingToRollBackTo { app, environment, passed, .. } if !passed.is_empty() => {
                let passed = list(passed);
                write!(f, "nothing else of {app} that has settled in {environment} may come back there: {passed}")
            }
            Refusal::NothingToRollBackTo { app, environment, held: true, .. } => {
                write!(f, "nothing else of {app} that has settled in {environment} may come back there: it is held out")
            }
            Refusal::NothingToRollBackTo { app, environment, held: false, .. } => {
                write!(f, "nothing else of {app} has settled in {environment}: there is nothing to roll back to")
            }
            Refusal::NotDeployed { app, version, environment } => {
                write!(
                    f,
                    "{app}@{version} is not deployed and verified in {environment}: only what runs can be exposed"
                )
            }
            Refusal::InvitationInvalid { why } => write!(f, "the invitation does not count: {why}"),
            Refusal::NameTaken { target } => write!(f, "a target was called {target} already, and names are for ever"),
            Refusal::CharterStale { in_force } => write!(f, "charter {in_force} is in force: bring a newer one"),
            Refusal::ReportStale => write!(f, "the report is not about the newest assignment"),
            Refusal::DeploymentOver { deployment } => write!(f, "deployment {deployment} is over"),
            Refusal::StaysIn { deployment, target, changes_data: true } => write!(
                f,
                "{target} is changing the data, and nothing else may begin before it is known what it did: wait for it, or end deployment {deployment}"
            ),
            Refusal::StaysIn { deployment, target, changes_data: false } => {
                write!(f, "{target} has verified its part of deployment {deployment}: there is nothing to leave out")
            }
            Refusal::GoesBack { deployment } => write!(f, "deployment {deployment} goes back already"),
            Refusal::Invalid { why } => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// The lack alone, as `why` lists it: where nobody has done anything it needs no saying that nothing was changed.
    pub fn lack(&self) -> String {
        match self {
            Refusal::Frozen(frozen) => frozen.in_words(""),
            Refusal::WindowClosed(closed) => closed.in_words(""),
            other => other.to_string(),
        }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.page().code
    }

    /// What the command line exits with.
    pub fn exit(&self) -> u8 {
        self.page().exit
    }

    /// The next command to type, where one helps.
    pub fn next(&self) -> Option<String> {
        Some(match self {
            Refusal::NoEstate => "sortie charter init".into(),
            Refusal::RoleMissing { right: Right::Approve, place, .. } => format!("sortie why … --in {place}"),
            Refusal::RoleMissing { .. } => "sortie charter show".into(),
            Refusal::UnknownApplication { nearest: Some(name), .. } => format!("sortie status {name}"),
            Refusal::UnknownApplication { .. } | Refusal::UnknownAudience { .. } => "sortie status".into(),
            Refusal::UnknownBuild { app, .. } | Refusal::UnknownVersion { app, .. } => format!("sortie status {app}"),
            Refusal::UnknownTarget { .. } | Refusal::NameTaken { .. } => "sortie target list".into(),
            Refusal::UnknownPerson { .. } => "sortie charter show".into(),
            Refusal::UnknownRequest => "sortie status".into(),
            Refusal::UnknownDeployment { .. } => "sortie history".into(),
            Refusal::StaysIn { deployment, changes_data: true, .. } => format!("sortie abort {deployment} --reason …"),
            Refusal::DeploymentOver { deployment }
            | Refusal::StaysIn { deployment, changes_data: false, .. }
            | Refusal::GoesBack { deployment }
            | Refusal::Bakes { deployment, .. } => {
                format!("sortie status {deployment}")
            }
            Refusal::MigrationCrossed(crossed) => crossed.next(),
            Refusal::MigrationTakenBack { environment, to, .. } => format!("sortie deploy {to} --to {environment}"),
            Refusal::RolloutEased { .. } => "sortie charter show".into(),
            Refusal::PlanStale { app, version, environment, .. } => {
                let version = version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
                format!("sortie deploy {app}{version} --to {environment} --plan")
            }
            Refusal::SidesUnclear { environment, to: Some(to), .. } => format!("sortie switch {to} --in {environment}"),
            Refusal::SidesUnclear { environment, to: None, .. } => format!("sortie target list --in {environment}"),
            // What serves is brought nothing, and can begin anew or take other config.
            Refusal::SideServes { app, environment, side, already: Some(serves), .. } if serves.side != *side => {
                match serves.act {
                    OrderAct::Deploy => format!("sortie deploy {app} --to {environment} --config-only"),
                    _ => format!("sortie restart {app} --in {environment}"),
                }
            }
            Refusal::SideServes { app, environment, .. } => format!("sortie status {app} --in {environment}"),
            Refusal::TooFewHealthy { environment, .. } => format!("sortie target list --in {environment}"),
            Refusal::LedgerPutBack { .. } => "sortie charter epoch --reason restore".into(),
            Refusal::CharterExpired { .. } => "sortie charter renew".into(),
            Refusal::RootExpired { .. } => "sortie charter renew --root".into(),
            Refusal::NothingToRollBackTo { app, environment, held: true, .. } => {
                format!("sortie hold lift {app} --in {environment} --reason …")
            }
            Refusal::NothingRuns { app, environment, .. } | Refusal::NothingToRollBackTo { app, environment, .. } => {
                format!("sortie status {app} --in {environment}")
            }
            Refusal::NumberTaken { app, .. } | Refusal::NumberNotIncreasing { app, .. } => {
                format!("sortie number {app}#… next")
            }
            Refusal::BuildNumbered { app, version } => format!("sortie status {app}@{version}"),
            Refusal::VendorReleaseMissing { .. } | Refusal::VendorReleaseExpired { .. } => {
                "sortie bundle import FILE".into()
            }
            Refusal::VendorReleaseUnfit { .. } => "sortie charter show".into(),
            Refusal::VendorWithdrew { app, .. } => format!("sortie status {app}"),
            Refusal::EvidenceMissing { kind, .. } => format!("sortie evidence attach … --type {kind} --file FILE"),
            Refusal::NotVerifiedBefore { after, away, .. } if !away.is_empty() => {
                format!("sortie target list --in {after}")
            }
            Refusal::NotVerifiedBefore { app, version, after, .. } => {
                format!("sortie deploy {app}@{version} --to {after}")
            }
            Refusal::NoReleaseNeeded { audience } => format!("sortie deploy … --to {audience}"),
            Refusal::ApproverIsAuthor { audience, did } if did == "requested" => {
                format!("sortie deny … --to {audience} --reason …")
            }
            Refusal::ApproverIsAuthor { audience, .. } => format!("sortie why … --in {audience}"),
            Refusal::HardwareKeyNeeded { audience } => {
                format!("sortie approve … --to {audience} --identity ~/.ssh/id_ed25519_sk.pub")
            }
            Refusal::ApprovalsMissing { app, version, audience, .. } => {
                format!("sortie approve {app}@{version} --to {audience}")
            }
            Refusal::PermitMissing { app, version, audience, .. } => {
                format!("sortie request {app}@{version} --to {audience}")
            }
            Refusal::PermitExpired(expired) => return expired.next(),
            // Somebody took it back: what else there is comes before asking for the same again.
            Refusal::PermitWithdrawn { app, audience, .. } => format!("sortie status {app} --in {audience}"),
            // Of people who install for themselves there is no machine: what they may have is the nearest to it.
            Refusal::NotAnEnvironment { channel } => format!("sortie status {channel}"),
            Refusal::WayMissing { .. } => "sortie charter show".into(),
            // Asking is what was refused. Who may ask, and what stands open, says this.
            Refusal::RenewalBySame { app, version, audience, .. } => {
                format!("sortie why {app}@{version} --in {audience}")
            }
            Refusal::NothingToReview { .. } | Refusal::ReviewerInvolved { .. } => "sortie escapes".into(),
            Refusal::BelowFloor { audience, .. } => format!("sortie status {audience}"),
            Refusal::Unreleased { app, version: Some(version), environment, .. } => {
                format!("sortie request {app}@{version} --to {environment}")
            }
            Refusal::Unreleased { app, build, .. } => format!("sortie number {app}#{} next", build.short()),
            Refusal::DeployedByOthers { app, version: Some(version), by: DeployedBy::Customer, channels } => {
                let channel = channels.first().map_or("CHANNEL", |channel| channel.as_str());
                format!("sortie request {app}@{version} --to {channel}")
            }
            Refusal::DeployedByOthers { .. } => "sortie charter show".into(),
            Refusal::AppRetired { app, .. } | Refusal::AppRuns { app, .. } => format!("sortie status {app}"),
            // What was typed may be a mistake, and is not proposed where there is something that may have been meant.
            Refusal::UnknownDraft { nearest: Some(draft), .. } | Refusal::UnknownDraft { draft, .. } => {
                format!("sortie push --into {draft} --part NAME")
            }
            Refusal::DraftOfAnotherCommit { app, draft, .. } => format!("sortie push --discard {draft} --app {app}"),
            Refusal::DraftChanged { draft, .. } => format!("sortie push --seal {draft}"),
            Refusal::DraftSealed { app, build, .. } => format!("sortie status {app}#{}", build.short()),
            Refusal::BuildPruned { .. } => "sortie push".into(),
            Refusal::BuildNeeded { app, .. } => format!("sortie prune {app} --dry-run"),
            Refusal::ConfigMissing { app, environment, keys, secret } => match (secret, keys.first()) {
                (Some(key), _) => format!("sortie config set {app} {key} --secret --in {environment}"),
                (None, Some(key)) => format!("sortie config set {app} {key}=… --in {environment}"),
                (None, None) => return None,
            },
            Refusal::ConfigRefused { .. } => "sortie explain CONFIG_REFUSED".into(),
            Refusal::ConfigStale { .. } | Refusal::RequestStale { .. } => return None,
            Refusal::NoTargets { cordoned, .. } if !cordoned.is_empty() => {
                format!("sortie target uncordon {}", cordoned.first()?)
            }
            Refusal::NoTargets { environment, .. } => format!("sortie target invite --in {environment}"),
            Refusal::NeedsUnmet { targets } => format!("sortie status {}", targets.keys().next()?),
            Refusal::DeploymentUnderWay { deployment, app, environment, instead, .. } => match instead {
                Some(Instead::Abort | Instead::TakeOff { .. }) => format!("sortie abort {deployment} --reason …"),
                Some(Instead::GoesBack) => format!("sortie status {deployment}"),
                Some(Instead::After { what }) => format!("sortie deploy {what} --to {environment} --after-current"),
                None => format!("sortie status {app} --in {environment}"),
            },
            Refusal::Frozen(frozen) => match &frozen.version {
                Some(version) => {
                    format!("sortie freeze except {} {}@{version} --reason …", frozen.freeze, frozen.app)
                }
                None => "sortie freeze list".into(),
            },
            Refusal::WindowClosed(closed) => match (&closed.version, closed.opens) {
                (Some(version), Some(opens)) => {
                    // The next window from now on may be one from before the moment that was meant.
                    let at = if closed.planned { format!("{opens:.0}") } else { "next-window".into() };
                    format!("sortie deploy {}@{version} --to {} --at {at}", closed.app, closed.environment)
                }
                _ => "sortie charter show".into(),
            },
            Refusal::WindowsDiffer { .. } => "sortie charter show".into(),
            Refusal::NotFrozen { freeze, instead, .. } if !instead.is_empty() => {
                let (app, version) = instead.first()?;
                format!("sortie freeze except {freeze} {app}@{version} --reason …")
            }
            Refusal::UnknownFreeze | Refusal::FreezeOver { .. } | Refusal::NotFrozen { .. } => {
                "sortie freeze list".into()
            }
            Refusal::Held { app, environment, version: Some(version), .. } => {
                format!("sortie hold lift {app}@{version} --in {environment} --reason …")
            }
            Refusal::Held { app, environment, build, .. } => {
                format!("sortie hold lift {app}#{} --in {environment} --reason …", build.short())
            }
            Refusal::NotDeployed { app, version, environment } => {
                format!("sortie deploy {app}@{version} --to {environment}")
            }
            Refusal::InvitationInvalid { .. } => "sortie target invite --in …".into(),
            Refusal::CharterStale { .. } => "sortie charter show > charter.toml".into(),
            _ => return None,
        })
    }

    /// The page about this refusal.
    pub fn page(&self) -> &'static Page {
        let code = self.name();
        PAGES.iter().find(|page| page.code == code).unwrap_or(&PAGES[0])
    }
}

/// What `sortie explain CODE` prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// The stable code.
    pub code: &'static str,
    /// What the command line exits with.
    pub exit: u8,
    /// What it means and who can help.
    pub text: &'static str,
}

macro_rules! pages {
    ($($variant:ident, $code:literal, $exit:expr, $text:literal;)*) => {
        /// All refusals, in the order in which they are looked for where several would apply.
        pub const PAGES: &[Page] = &[$(Page { code: $code, exit: $exit, text: $text }),*];

        impl Refusal {
            fn name(&self) -> &'static str {
                match self { $(Refusal::$variant { .. } => $code,)* }
            }
        }
    };
}

pages! {
    Invalid, "INVALID", exit::MISUSED, "A value that cannot be: too long, out of range, or contradicting another. Nothing was recorded.";
    NoEstate, "NO_ESTATE", exit::REFUSED, "The server is new. An owner writes a charter (`sortie charter init`), logs in with the one-time claim the server printed, and brings it (`sortie charter apply`).";
    OtherEstate, "OTHER_ESTATE", exit::INTEGRITY, "A statement counts in the estate whose root 1 it names, and in no other. The context in use belongs to another estate: see `sortie context`.";
    StatementExpired, "STATEMENT_EXPIRED", exit::REFUSED, "A signed statement can be submitted for a short time only, so that nobody can hold it back and use it later. Check the clock of the machine that signed, and sign again.";
    RequestIdReused, "REQUEST_ID_REUSED", exit::CONFLICT, "The same request id with the same bytes is answered once and for all; with other bytes it is a conflict. Use a fresh id.";
    AlreadyDone, "ALREADY_DONE", exit::DONE, "What was asked is so already. Nothing was written, and nothing is wrong.";
    RoleMissing, "ROLE_MISSING", exit::REFUSED, "The charter gives this right to roles that the signer does not hold. An owner can change the charter; somebody with the role can act.";
    UnknownApplication, "UNKNOWN_APPLICATION", exit::MISUSED, "The first push creates an application. Names are for ever.";
    UnknownBuild, "UNKNOWN_BUILD", exit::MISUSED, "A build is written web#3fa9c1: the beginning of its manifest's digest, long enough to be the only one.";
    UnknownVersion, "UNKNOWN_VERSION", exit::MISUSED, "A version is a number given once to one build: `sortie number web#3fa9c1 1.4.0`.";
    UnknownAudience, "UNKNOWN_AUDIENCE", exit::MISUSED, "An audience is an environment (machines) or a channel (people who install for themselves). The charter names them all. To let end users see what runs, use `sortie expose`.";
    UnknownTarget, "UNKNOWN_TARGET", exit::MISUSED, "A target is one machine's agent. `sortie target list` shows them.";
    UnknownPerson, "UNKNOWN_PERSON", exit::MISUSED, "The charter names all people and robots: `sortie charter show`.";
    UnknownRequest, "UNKNOWN_REQUEST", exit::CONFLICT, "An approval signs the digest of one request. That request is unknown here, or its application, version or audience differ from what the approval says.";
    UnknownDeployment, "UNKNOWN_DEPLOYMENT", exit::MISUSED, "No open deployment has this number. `sortie history` shows the closed ones.";
    NumberTaken, "NUMBER_TAKEN", exit::CONFLICT, "R34, R39: a number is given once to one build and never moved. Give the new build the next number.";
    BuildNumbered, "BUILD_NUMBERED", exit::CONFLICT, "A build has one number, for good, so that one thing has one name.";
    NumberNotIncreasing, "NUMBER_NOT_INCREASING", exit::CONFLICT, "R39: numbers increase within a release line (1.4.1 may follow 1.5.0, but not 1.4.2).";
    NumberKind, "NUMBER_KIND", exit::MISUSED, "The charter says how an application is numbered: semver (1.4.0), calver (2026.11.1) or counter (17).";
    ObjectsMissing, "OBJECTS_MISSING", exit::CONFLICT, "A build is recorded once every file its manifest lists is in the depot. `sortie push` sends what is missing first.";
    VendorReleaseMissing, "VENDOR_RELEASE_MISSING", exit::REFUSED, "R42: the charter says that a vendor makes this application. Nobody here pushes or numbers it: a build comes in by the vendor's own release of it to us, which the vendor exports (`sortie bundle export`) and anybody here imports (`sortie bundle import`). Then our own people affirm it.";
    VendorReleaseUnfit, "VENDOR_RELEASE_UNFIT", exit::INTEGRITY, "R42: the charter pins the vendor's estate and the audience that we are to it. What was brought is of another estate, for another audience, about other bytes, older than what was seen, or lacks signatures that the vendor's own charter asks for. Nothing was taken from it.";
    VendorWithdrew, "VENDOR_WITHDREW", exit::REFUSED, "R42: the vendor took its permission back. What runs goes on running; nothing new is activated until the vendor releases it again.";
    VendorReleaseExpired, "VENDOR_RELEASE_EXPIRED", exit::REFUSED, "R42: a vendor's release can be activated within its time, and while the vendor's documents are in force. What runs goes on running. The vendor renews it, and a newer bundle brings that.";
    EvidenceMissing, "EVIDENCE_MISSING", exit::REFUSED, "R33, R51: the audience asks for evidence about exactly these bytes, issued by somebody the charter names. Evidence about another build does not count, and evidence never grants by itself. A key that leaves the charter takes its evidence along: whoever may attaches it anew, or owners uphold the statement that the refusal names, with the person, the role and the former key, under `[[upheld]]`; `sortie charter plan` proposes that before the key leaves.";
    NotVerifiedBefore, "NOT_VERIFIED_BEFORE", exit::REFUSED, "The charter says after which environment this audience comes: the same bytes must have been deployed and verified there by a whole deployment.";
    NoReleaseNeeded, "NO_RELEASE_NEEDED", exit::MISUSED, "A dev environment without an `approve` rule accepts builds that were never released. There is nothing to ask for.";
    WayMissing, "WAY_MISSING", exit::REFUSED, "An audience may have other ways than the normal one, hotfix and break-glass, where the charter says so. Owners add one; nobody else can.";
    WayExceeded, "WAY_EXCEEDED", exit::REFUSED, "A way is a rule for emergencies, with a longest life, and the targets it names. It is always asked for with its reason. What lies beyond is released in the normal way.";
    RenewalBySame, "RENEWAL_BY_SAME", exit::REFUSED, "An emergency ends by itself. Whoever asked for it or agreed to it cannot prolong it: somebody else asks for more, or the version is released in the normal way.";
    NothingToReview, "NOTHING_TO_REVIEW", exit::MISUSED, "Only what was released by hotfix or break-glass is reviewed, and once. `sortie escapes` and `sortie status` show what waits for it.";
    ReviewerInvolved, "REVIEWER_INVOLVED", exit::REFUSED, "An emergency stays an alarm until somebody who neither asked for it nor agreed to it has looked at it.";
    RequestStale, "REQUEST_STALE", exit::CONFLICT, "A request names the serial, the charter and the rule that its signer saw. One of them has changed; ask again.";
    RequestWaiting, "REQUEST_WAITING", exit::DONE, "The same release was asked for already and waits for approvals. It need not be asked for twice.";
    RequestClosed, "REQUEST_CLOSED", exit::CONFLICT, "A request that is granted needs no more approvals, and one that is withdrawn is dead for ever: ask anew.";
    ApproverIsAuthor, "APPROVER_IS_AUTHOR", exit::REFUSED, "In live environments and channels whoever requested or pushed does not count as an approver, unless the charter says `approve_own = true`.";
    HardwareKeyNeeded, "HARDWARE_KEY_NEEDED", exit::REFUSED, "The charter says `hardware = true` of this audience: approvals count only by keys that never leave a device, a FIDO security key (ssh-keygen -t ed25519-sk) or a key that the charter lists with `hardware = true`. Servers and targets count alike.";
    ApprovalsMissing, "APPROVALS_MISSING", exit::REFUSED, "R52: all roles must approve, by distinct people. The last required approval is the release.";
    PermitMissing, "PERMIT_MISSING", exit::REFUSED, "R31: nothing is deployed without a live permit. Ask for one with `sortie request`.";
    PermitWithdrawn, "PERMIT_WITHDRAWN", exit::REFUSED, "R31: permission was taken back, for ever, up to that request. A new request with new approvals can give it again. What runs goes on running.";
    PermitExpired, "PERMIT_EXPIRED", exit::REFUSED, "A permit can be activated within its time. What runs goes on running; ask again to deploy anew.";
    BelowFloor, "BELOW_FLOOR", exit::REFUSED, "A permit may carry a floor: from then on no lower version is activated in that audience, so none is asked for, approved or carried there either. A floor never falls; give the bytes a higher number, or deploy a version that is not below it.";
    Unreleased, "UNRELEASED", exit::REFUSED, "R2, R31: only environments of class dev accept builds that were never released. Number the build, and release it.";
    ChannelClosed, "CHANNEL_CLOSED", exit::REFUSED, "R28: a customer gets what the channels hold that the charter lets them read, and nothing else. Whoever may not read a channel does not learn whether there is one of that name. Owners let a customer in: a role of theirs in the channel's `read`.";
    NotAnEnvironment, "NOT_AN_ENVIRONMENT", exit::REFUSED, "A channel has people, not machines. Releasing to it makes the version available to them.";
    UnknownDraft, "UNKNOWN_DRAFT", exit::MISUSED, "A build that several jobs make begins with the first part that is pushed into it. What somebody discards, or nobody adds to for a month, is forgotten.";
    DraftSealed, "DRAFT_SEALED", exit::CONFLICT, "Once sealed, the parts are one build with one digest, and none is added. A job that runs again pushes into a draft of another name.";
    DraftOfAnotherCommit, "DRAFT_OF_ANOTHER_COMMIT", exit::CONFLICT, "All parts of a build are made from one commit. Parts of another go into a draft of another name, or the draft is discarded first: `sortie push --discard DRAFT`.";
    DraftChanged, "DRAFT_CHANGED", exit::CONFLICT, "A job pushed its part while somebody sealed the build. Look at the parts, and seal again.";
    AppRetired, "APP_RETIRED", exit::REFUSED, "Owners retire an application for good. What it was stays known, its name is never given again, and a new one takes another name.";
    AppRuns, "APP_RUNS", exit::REFUSED, "An application is retired when it runs nowhere: undeploy it from each environment first.";
    BuildPruned, "BUILD_PRUNED", exit::REFUSED, "R36: the bytes of builds that nothing needed were let go. The build keeps its name, number and history; push the same bytes again, and it is whole.";
    BuildNeeded, "BUILD_NEEDED", exit::REFUSED, "R36: what runs, what may be rolled back to, and what holds permission or asks for it keeps its bytes.";
    DeployedByOthers, "DEPLOYED_BY_OTHERS", exit::REFUSED, "R22, R24: the charter says who deploys an application (`deployed_by`). One that customers install is released to their channel; one that is embedded goes where its product goes. Test and dev environments may try both.";
    NothingToInstall, "NOTHING_TO_INSTALL", exit::REFUSED, "R25: a release may be a checkpoint only, with no file and no process.";
    ConfigMissing, "CONFIG_MISSING", exit::REFUSED, "R10: the build declares config keys without a default, and the environment sets no value for them.";
    ConfigRefused, "CONFIG_REFUSED", exit::REFUSED, "Config fills the keys a build declares; never variables that decide what code is loaded, and no secret in the clear.";
    ConfigStale, "CONFIG_STALE", exit::CONFLICT, "Config sets are numbered. Somebody set one since this one was built; look at it (`sortie config diff`) and set again.";
    NoTargets, "NO_TARGETS", exit::REFUSED, "No target of the environment carries the labels the application asks for with `on`, or all of them are cordoned or retired, or their time is over.";
    NeedsUnmet, "NEEDS_UNMET", exit::REFUSED, "R9: the build says what it needs of a machine, and this one falls short. Nothing was copied.";
    DeploymentUnderWay, "DEPLOYMENT_UNDER_WAY", exit::CONFLICT, "One deployment of an application runs in an environment at a time. Wait for it (`sortie deploy … --after-current` stands until it has ended, and begins then), or end it with `sortie abort`.";
    MigrationCrossed, "MIGRATION_CROSSED", exit::REFUSED, "The build last ran before a later build's `[migrate]` changed the application's data, or never ran there and has a lower number than that one. A rollback takes one such migration back where its build says how (`undo`). Otherwise `--keep-data` says that the build gets along with the data as it is now; see docs/migrations.md.";
    MigrationTakenBack, "MIGRATION_TAKEN_BACK", exit::REFUSED, "A rollback brings back a build with the data as it is, or takes one later change back. The build asked for has a `[migrate]` of its own that was taken back after it ran: deploying it changes the data anew, and `--keep-data` says that it gets along with the data as it is; see docs/migrations.md.";
    RolloutEased, "ROLLOUT_EASED", exit::REFUSED, "An order may go over its targets with more care than the charter's `rollout` of the environment asks for. With less care (more at once, no canary, a shorter bake, a larger failure budget) only those may order whom the environment's `hasten` rule names.";
    PlanStale, "PLAN_STALE", exit::CONFLICT, "R1: `--plan-id` orders exactly what a plan showed. Since then something else runs, a target has come, left, or was cordoned, the config or the charter's rollout is another, or the order says something else than the plan. Nothing was written: look at a new plan.";
    TooFewHealthy, "TOO_FEW_HEALTHY", exit::REFUSED, "R41: the charter says with `min_healthy` how many targets must go on serving, and so many do not, or would not. Bring targets back first, add some, or order with a smaller `min_healthy`, which is for those whom `hasten` names.";
    SidesUnclear, "SIDES_UNCLEAR", exit::REFUSED, "The charter divides the environment into two sides by a label (`sides`). Every target that an application goes to carries it, with one of two values; one side serves and the other does not; and what is to serve is well. See docs/sides.md.";
    SideServes, "SIDE_SERVES", exit::REFUSED, "In an environment with two sides what is new comes to the one that does not serve; `sortie switch` lets it serve. Targets of the side that serves refuse it themselves.";
    Bakes, "BAKES", exit::REFUSED, "A ring of a deployment stays under watch for `bake_minutes` before the next may begin.";
    Held, "HELD", exit::REFUSED, "A build that failed, was undone or was rolled back is held out of that environment until somebody lifts the hold, so that nothing brings it back by itself.";
    Frozen, "FROZEN", exit::REFUSED, "R1: somebody whom the charter lets freeze the environment has declared that nothing new is activated there for a time. What runs goes on; undo, rollback, stop, start, restart and removal stay possible. A version may be excepted by whoever may lift the freeze, and a way may waive freezes where the charter says so. Targets keep freezes and refuse by themselves.";
    WindowClosed, "WINDOW_CLOSED", exit::REFUSED, "R1: the charter says in which windows something new is activated in the environment, and none is open. Plan the deployment for the next one (`--at next-window`), or wait. What runs goes on; undo, rollback, stop, start, restart and removal stay possible. A way may waive windows where the charter says so.";
    WindowsDiffer, "WINDOWS_DIFFER", exit::CONFLICT, "An order carries the environment's windows as absolute times, which whoever signs works out from the charter. The charter has changed since, or one of the two programs has older rules of time zones: order again, with a newer program if that does not help.";
    UnknownFreeze, "UNKNOWN_FREEZE", exit::MISUSED, "Freezes are counted: `sortie freeze list` shows them with their numbers.";
    NotFrozen, "NOT_FROZEN", exit::MISUSED, "The freeze names applications (`--app`), and this is none of them, so there is nothing to let pass. Where it names members of a package, or a package that brings an application, those are what is kept back: except them.";
    FreezeOver, "FREEZE_OVER", exit::MISUSED, "The freeze has ended, or was lifted. Declare another one if it is still wanted.";
    NothingRuns, "NOTHING_RUNS", exit::REFUSED, "The application is not deployed in that environment, or not the version that was named.";
    LedgerPutBack, "LEDGER_PUT_BACK", exit::REFUSED, "The server was put back from an older copy, and a target has shown that its ledger lost entries. The server takes no new deployments until owners sign a new epoch: `sortie charter epoch --reason restore`. Going back, restarting and removing are not kept waiting. `sortie ledger lost` lists what was lost.";
    CharterExpired, "CHARTER_EXPIRED", exit::REFUSED, "Owners sign a charter for a year. When that is over no target activates anything new, so that nothing new is ordered, and what stands waits, until an owner signs it anew: `sortie charter renew`. What runs goes on; going back, stopping, starting, restarting, removing and new config stay possible. `sortie status` warns from 90 days before.";
    RootExpired, "ROOT_EXPIRED", exit::REFUSED, "Owners sign the root of trust for five years. When that is over no target activates anything new, so that nothing new is ordered, and what stands waits, until owners sign it anew: `sortie charter renew --root`. What runs goes on; going back, stopping, starting, restarting, removing and new config stay possible. `sortie status` warns from 90 days before.";
    NothingToRollBackTo, "NOTHING_TO_ROLL_BACK_TO", exit::REFUSED, "A rollback returns to what last settled under a permit not since withdrawn, and to nothing that is held out. There is none.";
    NotDeployed, "NOT_DEPLOYED", exit::REFUSED, "R26: end users can be let only to code that is deployed and verified there.";
    InvitationInvalid, "INVITATION_INVALID", exit::REFUSED, "An invitation is for one environment, a number of machines and a time. Ask whoever invites for a new one.";
    NameTaken, "NAME_TAKEN", exit::CONFLICT, "A target's name is for ever, even after it is retired, so that history stays readable.";
    CharterStale, "CHARTER_STALE", exit::CONFLICT, "Charters are numbered, and only a newer one replaces the one in force. Somebody applied one in the meantime.";
    ReportStale, "REPORT_STALE", exit::CONFLICT, "An agent reported about an assignment that a newer one has replaced.";
    StaysIn, "STAYS_IN", exit::CONFLICT, "A target that has done its part of a deployment and is well has nothing to be left out of, and one that changes the data for all is waited for: nobody else may begin before it is known what it did. A deployment that is not wanted is ended by `sortie abort NUMBER`.";
    GoesBack, "GOES_BACK", exit::CONFLICT, "A deployment that is taken back goes back to its end: it cannot be paused, let go on, tried again or go on without somebody. `sortie status NUMBER` tells how far it is.";
    DeploymentOver, "DEPLOYMENT_OVER", exit::MISUSED, "The deployment has ended. `sortie redeploy` runs it again, `sortie rollback` goes back.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_s_clock_is_ahead_is_told_the_server_s() {
        let words = |submit_before: &str, now: Option<&str>| {
            let time = |text: &str| text.parse().unwrap();
            Refusal::StatementExpired { submit_before: time(submit_before), now: now.map(time) }.to_string()
        };
        let ahead = words("2026-11-25T12:00:00Z", Some("2026-11-25T10:00:00Z"));
        assert!(
            ahead.contains("it is 2026-11-25T10:00:00Z by the server's clock") && ahead.contains("is ahead"),
            "{ahead}"
        );
        let late = words("2026-11-25T09:00:00Z", Some("2026-11-25T10:00:00Z"));
        assert!(late.contains("until 2026-11-25T09:00:00Z, and it is 2026-11-25T10:00:00Z"), "{late}");
        assert!(!words("2026-11-25T09:00:00Z", None).contains("server's clock"));
    }
}
