//! Applications with their builds.

use super::{build_name, packages};
use api::read::{self, Maker};
use domain::{
    refusal::Refusal,
    rules::{
        names,
        passed::{self, Came},
        permits, retired,
    },
    state::{App, Build, DraftBuild, State},
};
use std::collections::BTreeMap;
use trust::{AppName, AudienceName, Digest, DraftName, PersonName, Version};

/// One application, its builds newest first.
pub(crate) fn app(state: &State, app: &AppName) -> Result<read::App, Refusal> {
    let record = names::app(state, app)?;
    let mut builds: Vec<_> = record.builds.iter().collect();
    builds.sort_by_key(|(_, build)| std::cmp::Reverse(build.stamp.entry));
    let environments = state.policy.iter().flat_map(|policy| policy.charter.environments.keys());
    let came: BTreeMap<AudienceName, Came> =
        environments.map(|environment| (environment.clone(), passed::came(state, app, environment))).collect();
    let build = |(digest, build): (&Digest, &Build)| read::Build {
        name: build_name(state, app, digest),
        pushed: build.stamp.time,
        pusher: state.shown(&build.pusher),
        makers: makers(state, record, digest, build),
        pruned: build.pruned.map(|stamp| stamp.time),
        vendor: build.vendor.as_ref().map(|imported| imported.word.vendor.clone()),
        commit: build.commit.clone(),
        recipe: build.recipe.clone(),
        package: (!build.facts.package.is_empty()).then(|| packages::members_in_words(&build.facts.package)),
        files: build.facts.files,
        size_bytes: build.facts.size_bytes,
        ran_in: build.verified_in.keys().cloned().collect(),
        superseded: superseded(state, app, build),
        skipped: skipped(&came, build),
        withdrawn: withdrawn(state, app, build),
        evidence: build.evidence.iter().map(|e| (e.kind.clone(), e.passed, e.summary.clone())).collect(),
    };
    let open = record.drafts.iter().filter(|(_, draft)| draft.sealed.is_none());
    let named = |(name, draft): (&DraftName, &DraftBuild)| {
        (name.to_string(), draft.parts.iter().map(|(part, _)| part.to_string()).collect())
    };
    let drafts = open.map(named).collect();
    let released_with = retired::released_with(state, app);
    Ok(read::App {
        app: app.clone(),
        builds: builds.into_iter().map(build).collect(),
        drafts,
        released_with: released_with.iter().map(|(package, version)| format!("{package}@{version}")).collect(),
    })
}

/// Who made the parts of a build. Which they were is known as long as the draft is.
fn makers(state: &State, record: &App, digest: &Digest, build: &Build) -> Vec<Maker> {
    let draft = record.drafts.values().find(|draft| draft.sealed == Some(*digest));
    let parts = |person: &PersonName| {
        let parts = draft.into_iter().flat_map(|draft| &draft.parts);
        parts.filter(|(_, part)| part.pusher == *person).map(|(name, _)| name.to_string()).collect()
    };
    build.makers.iter().map(|person| Maker { person: state.shown(person), parts: parts(person) }).collect()
}

/// Where a build is released and a later version is too.
fn superseded(state: &State, app: &AppName, build: &Build) -> BTreeMap<AudienceName, Version> {
    let (Some(version), Some(policy)) = (&build.version, &state.policy) else { return BTreeMap::new() };
    let by = |audience: &AudienceName| {
        state.granted(app, version, audience)?;
        Some((audience.clone(), passed::superseded_by(state, app, version, audience)?.clone()))
    };
    policy.charter.audience_names().filter_map(by).collect()
}

/// Where permission was taken back, and not given again.
fn withdrawn(state: &State, app: &AppName, build: &Build) -> Vec<AudienceName> {
    let (Some(version), Some(policy)) = (&build.version, &state.policy) else { return Vec::new() };
    let is_withdrawn = |audience: &&AudienceName| {
        permits::is_withdrawn(state, app, version, audience)
            && !permits::was_never_granted(state, app, version, audience)
    };
    policy.charter.audience_names().filter(is_withdrawn).cloned().collect()
}

/// Where a later version came though this build never did.
fn skipped(came: &BTreeMap<AudienceName, Came>, build: &Build) -> BTreeMap<AudienceName, Version> {
    let Some(version) = &build.version else { return BTreeMap::new() };
    let by =
        |(environment, came): (&AudienceName, &Came)| Some((environment.clone(), came.instead_of(version)?.clone()));
    came.iter().filter_map(by).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::{
        fixture::{self, World},
        packages::tests::shop,
    };

    #[test]
    fn a_version_is_superseded_by_a_release_and_skipped_by_a_deployment_r44_r45() {
        let mut world = World::new();
        let [first, second, third] = ["1.0.0", "1.1.0", "1.2.0"].map(|version| world.released("web", version, "prod"));
        world.runs("prod-1", "web", first);
        let of = |world: &World, build: &trust::Digest| {
            let app = app(&world.state, &fixture::app("web")).unwrap();
            let build = app.builds.into_iter().find(|known| known.name.build == *build).unwrap();
            let word = |there: BTreeMap<AudienceName, Version>| {
                there
                    .into_iter()
                    .map(|(audience, version)| format!("{audience} {version}"))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            (word(build.superseded), word(build.skipped))
        };
        assert_eq!(of(&world, &second), ("prod 1.2.0".into(), String::new()));
        world.runs("prod-1", "web", third);
        assert_eq!(of(&world, &first), ("prod 1.2.0".into(), String::new()));
        assert_eq!(of(&world, &second), ("prod 1.2.0".into(), "prod 1.2.0".into()));
        assert_eq!(of(&world, &third), (String::new(), String::new()));
        world.withdraw("web", "1.2.0", "prod");
        assert_eq!(of(&world, &second).0, "", "what was withdrawn supersedes nothing");
        let withdrawn = |world: &World| {
            let app = app(&world.state, &fixture::app("web")).unwrap();
            app.builds.into_iter().filter(|build| !build.withdrawn.is_empty()).map(|build| build.name.short()).collect()
        };
        let told: Vec<String> = withdrawn(&world);
        assert_eq!(told, ["1.2.0"]);
        // What was denied was never there to be taken back.
        world.requested("web", "1.3.0", "prod", "coder");
        world.withdraw("web", "1.3.0", "prod");
        let told: Vec<String> = withdrawn(&world);
        assert_eq!(told, ["1.2.0"]);
        world.released("web", "1.2.0", "prod");
        let told: Vec<String> = withdrawn(&world);
        assert_eq!(told, [""; 0], "it may be deployed again");
    }

    #[test]
    fn an_application_names_what_is_released_with_it() {
        let mut world = World::new();
        shop(&mut world, "shop");
        let build = Digest::of(b"shop");
        let with = |world: &World| app(&world.state, &fixture::app("web")).unwrap().released_with;
        world.happen(domain::event::Event::BuildNumbered {
            app: fixture::app("shop"),
            build,
            version: "1.0.0".parse().unwrap(),
        });
        assert_eq!(with(&world), [""; 0], "it is released to nobody");
        world.released("shop", "1.0.0", "prod");
        assert_eq!(with(&world), ["shop@1.0.0"]);
        world.happen(domain::event::Event::AppRetired { app: fixture::app("shop") });
        assert_eq!(with(&world), [""; 0]);
    }
}
