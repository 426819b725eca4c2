//! From an entry of the ledger to what is told of it.

use crate::views::words::{self, Texts};
use domain::{
    entry::Entry,
    event::{Ending, Event},
    rules::rollout,
    state::{DeploymentPhase, State},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust::{AppName, AudienceName, Digest, TargetName, Version};

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Somebody asked for a release.
    Requested,
    /// A request was denied.
    Denied,
    /// The last required approval came.
    Released,
    /// Permission was taken back.
    Withdrawn,
    /// A deployment reached its first targets.
    Started,
    /// A deployment failed and nothing, or not everything, went back.
    Failed,
    /// A deployment was taken back.
    Undone,
    /// A deployment was ended by somebody.
    Aborted,
    /// A deployment stands until somebody says what is to be done: something went wrong, or the next ring begins by hand.
    Paused,
    /// A deployment stayed healthy for its soak time.
    Settled,
    /// What runs somewhere is not well any more.
    Unwell,
    /// Something runs without permission.
    Escape,
    /// A permit, the charter or the root is over soon.
    Expiring,
    /// Nothing happened: somebody tries whether messages arrive.
    Test,
}

/// One message. The fields that are `None` do not apply, and are not written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notice {
    /// Its identity: whoever hears it twice hears the same one.
    pub id: String,
    /// What it is about.
    pub kind: Kind,
    /// When that was.
    pub time: Timestamp,
    /// Of which estate; a trial is of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estate: Option<Digest>,
    /// All of it in words.
    pub text: String,
    /// Who did it: a person's handle, a target's name, `clock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The entry of the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    /// The application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Digest>,
    /// The environment or channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<AudienceName>,
    /// The deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<u64>,
    /// The target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetName>,
}

impl Notice {
    /// One that is about nothing but its words.
    pub fn about(id: String, kind: Kind, time: Timestamp, estate: Option<Digest>, text: String) -> Self {
        Self {
            id,
            kind,
            time,
            estate,
            text,
            actor: None,
            entry: None,
            app: None,
            version: None,
            build: None,
            audience: None,
            deployment: None,
            target: None,
        }
    }
}

/// What is told of an entry: nothing of most. `state` is any state from the entry on, `leaf` the digest of the stored bytes: a
/// ledger that was put back counts its entries from an earlier number on, and what it says then is other news.
pub(crate) fn notices(state: &State, entry: &Entry, leaf: &Digest, texts: Texts<'_>) -> Vec<Notice> {
    let Some(policy) = &state.policy else { return Vec::new() };
    let lines = words::lines(state, entry, texts);
    let about = |(index, (event, text)): (usize, (&Event, String))| {
        let (kind, about) = about(state, event)?;
        let text = with_reason(state, event, text);
        let notice = Notice::about(
            format!("entry-{}-{}-{}-{index}", policy.record.estate.short(), entry.number, leaf.short()),
            kind,
            entry.time,
            Some(policy.record.estate),
            text,
        );
        Some(Notice {
            actor: Some(words::shown(state, &entry.actor)),
            entry: Some(entry.number),
            app: about.app,
            version: about.version,
            build: about.build,
            audience: about.audience,
            deployment: about.deployment,
            target: about.target,
            ..notice
        })
    };
    entry.events.iter().zip(lines).enumerate().filter_map(about).collect()
}

/// History says why something goes back where it begins to; who hears of the end alone is told so there.
fn with_reason(state: &State, event: &Event, text: String) -> String {
    let Event::DeploymentEnded { deployment, ending: Ending::Undone | Ending::Failed, reason: None, .. } = event else {
        return text;
    };
    match state.deployments.get(deployment).map(|record| &record.phase) {
        Some(DeploymentPhase::Ended { reason: Some(reason), .. }) => {
            format!("{text}: {}", trust::names::printable(reason))
        }
        _ => text,
    }
}

/// What an event is about.
#[derive(Default)]
struct About {
    app: Option<AppName>,
    version: Option<Version>,
    build: Option<Digest>,
    audience: Option<AudienceName>,
    deployment: Option<u64>,
    target: Option<TargetName>,
}

fn about(state: &State, event: &Event) -> Option<(Kind, About)> {
    let permission = |app: &AppName, version: &Version, audience: &AudienceName| About {
        app: Some(app.clone()),
        version: Some(version.clone()),
        build: state.apps.get(app).and_then(|app| app.versions.get(version)).map(|numbered| numbered.build),
        audience: Some(audience.clone()),
        ..About::default()
    };
    let deployment = |number: &u64| {
        let record = state.deployments.get(number);
        About {
            app: record.map(|record| record.app.clone()),
            version: record.and_then(|record| record.version.clone()),
            build: record.map(|record| record.build),
            audience: record.map(|record| record.environment.clone()),
            deployment: Some(*number),
            target: None,
        }
    };
    match event {
        Event::ReleaseRequested { app, version, audience, .. } => {
            Some((Kind::Requested, permission(app, version, audience)))
        }
        Event::PermitGranted { app, version, audience, .. } => {
            Some((Kind::Released, permission(app, version, audience)))
        }
        Event::PermissionWithdrawn { app, version, audience, was_granted, .. } => {
            let kind = if *was_granted { Kind::Withdrawn } else { Kind::Denied };
            Some((kind, permission(app, version, audience)))
        }
        Event::WaveStarted { deployment: number, wave: 1, .. } => Some((Kind::Started, deployment(number))),
        Event::DeploymentEnded { deployment: number, ending, .. } => match ending {
            Ending::Failed => Some((Kind::Failed, deployment(number))),
            Ending::Undone => Some((Kind::Undone, deployment(number))),
            Ending::Aborted | Ending::Dropped => Some((Kind::Aborted, deployment(number))),
            Ending::Succeeded | Ending::Superseded => None,
        },
        Event::DeploymentPaused { deployment: number, by: None, .. } => Some((Kind::Paused, deployment(number))),
        Event::RingVerified { deployment: number, .. } => {
            let record = state.deployments.get(number)?;
            rollout::goes_on_by_hand(state, record).then(|| (Kind::Paused, deployment(number)))
        }
        Event::DeploymentSettled { deployment: number } => Some((Kind::Settled, deployment(number))),
        Event::HealthChanged { target, app, build, unwell: Some(_), .. } => {
            let record = state.apps.get(app).and_then(|app| app.builds.get(build));
            Some((
                Kind::Unwell,
                About {
                    app: Some(app.clone()),
                    version: record.and_then(|record| record.version.clone()),
                    build: Some(*build),
                    audience: state.targets.get(target).map(|target| target.environment.clone()),
                    target: Some(target.clone()),
                    ..About::default()
                },
            ))
        }
        Event::EscapesChanged { target, findings } if !findings.is_empty() => {
            let audience = state.targets.get(target).map(|target| target.environment.clone());
            Some((Kind::Escape, About { target: Some(target.clone()), audience, ..About::default() }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::fixture::{World, app, audience, target};
    use trust::statement::{Finding, FindingKind, OrderAct};

    fn told(world: &World, event: Event) -> Option<(Kind, About)> {
        about(&world.state, &event)
    }

    /// A ring that waits for somebody's word is told; one whose time comes by itself is not.
    #[test]
    fn a_promotion_that_waits_for_somebody_is_told() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        let deployment = world.ordered("prod-1", "web", build, OrderAct::Deploy);
        let verified = Event::RingVerified { deployment, ring: "canary".into() };
        assert!(told(&world, verified.clone()).is_none());
        world.amended("after = \"test\",", "after = \"test\", rollout = { canary = 1, advance = \"hand\" },");
        let (kind, about) = told(&world, verified.clone()).unwrap();
        assert_eq!((kind, about.deployment), (Kind::Paused, Some(deployment)));
        let entry = |time| Entry {
            number: 7,
            time,
            actor: "prod-1".into(),
            roles: Vec::new(),
            on_behalf_of: None,
            request_id: "1".into(),
            events: vec![verified.clone()],
            envelope: None,
        };
        let (entry, texts) = (entry(world.now()), |_: &Digest| None);
        let [one] = &notices(&world.state, &entry, &Digest::of(b"one"), &texts)[..] else { panic!("one is told") };
        assert!(one.text.ends_with("the next ring waits for somebody's word: sortie resume 1"), "{}", one.text);
        // What stands under the same number in a ledger that was put back is other news.
        let other = &notices(&world.state, &entry, &Digest::of(b"other"), &texts)[0];
        assert_eq!(*one, Notice { id: one.id.clone(), ..other.clone() });
        assert_ne!(one.id, other.id);
        // What nobody may say before the ring has baked is said to be for later.
        let by_hand = "rollout = { canary = 1, advance = \"hand\"";
        world.amended(by_hand, &format!("{by_hand}, bake_minutes = 60"));
        world.happen(verified.clone());
        let head = world.state.head;
        let entry = Entry { number: head.entry, time: head.time, ..entry };
        let from = crate::views::words::moment(head.time + jiff::SignedDuration::from_mins(60));
        let text = |world: &World| notices(&world.state, &entry, &Digest::of(b"one"), &texts)[0].text.clone();
        let said = text(&world);
        assert!(said.ends_with(&format!("waits for somebody's word from {from}: sortie resume 1")), "{said}");
        // What another ring bakes for is nothing that this entry tells.
        world.happen(verified);
        assert!(text(&world).ends_with("waits for somebody's word: sortie resume 1"));
    }

    #[test]
    fn what_was_undone_is_told_with_its_reason() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        let deployment = world.ordered("prod-1", "web", build, OrderAct::Deploy);
        let (targets, absent, reason) = (vec![target("prod-1")], Vec::new(), "prod-1: verify: 503".to_string());
        world.happen(Event::UndoStarted { deployment, reason, targets, absent, aborted: None });
        let (ending, reason, superseded_by, aborted) = (Ending::Undone, None, None, None);
        let ended = Event::DeploymentEnded { deployment, ending, reason, superseded_by, aborted };
        world.happen(ended.clone());
        let entry = Entry {
            number: 9,
            time: world.now(),
            actor: "prod-1".into(),
            roles: Vec::new(),
            on_behalf_of: None,
            request_id: "1".into(),
            events: vec![ended],
            envelope: None,
        };
        let told = notices(&world.state, &entry, &Digest::of(b"one"), &|_: &Digest| None);
        assert!(told[0].text.ends_with("was undone: prod-1: verify: 503"), "{}", told[0].text);
    }

    /// Whatever ends, stops or goes wrong is told, with all that it is about; what is nobody's news is not.
    #[test]
    fn each_kind_of_news_is_told_with_what_it_is_about() {
        let mut world = World::new();
        let build = world.released("web", "1.4.0", "prod");
        let deployment = world.ordered("prod-1", "web", build, OrderAct::Deploy);
        let ended =
            |ending| Event::DeploymentEnded { deployment, ending, reason: None, superseded_by: None, aborted: None };
        let withdrawn = |was_granted| Event::PermissionWithdrawn {
            app: app("web"),
            version: "1.4.0".parse().unwrap(),
            build,
            audience: audience("prod"),
            through_serial: 1,
            was_granted,
            reason: None,
            payload: None,
        };
        let paused = |by: Option<&str>| Event::DeploymentPaused {
            deployment,
            by: by.map(|by| by.parse().unwrap()),
            reason: None,
            failure: Some("prod-1: verify: 503".into()),
        };
        let finding = Finding { app: "web".into(), kind: FindingKind::Changed, path: "bin/web".into() };
        let news = [
            (Kind::Withdrawn, withdrawn(true)),
            (Kind::Denied, withdrawn(false)),
            (Kind::Failed, ended(Ending::Failed)),
            (Kind::Undone, ended(Ending::Undone)),
            (Kind::Aborted, ended(Ending::Aborted)),
            (Kind::Aborted, ended(Ending::Dropped)),
            (Kind::Paused, paused(None)),
            (Kind::Settled, Event::DeploymentSettled { deployment }),
        ];
        for (kind, event) in news {
            let (told, about) = told(&world, event).unwrap();
            assert_eq!(told, kind);
            assert_eq!((about.app, about.audience), (Some(app("web")), Some(audience("prod"))), "{kind:?}");
            assert_eq!(
                (about.build, about.version.map(|version| version.to_string())),
                (Some(build), Some("1.4.0".into()))
            );
        }
        let unwell = Event::HealthChanged {
            target: target("prod-1"),
            app: app("web"),
            build,
            unwell: Some("503".into()),
            unclear: false,
        };
        let (kind, about) = told(&world, unwell).unwrap();
        assert_eq!(
            (kind, about.target, about.audience),
            (Kind::Unwell, Some(target("prod-1")), Some(audience("prod")))
        );
        let escapes = |findings| Event::EscapesChanged { target: target("prod-1"), findings };
        let (kind, about) = told(&world, escapes(vec![finding])).unwrap();
        assert_eq!((kind, about.target), (Kind::Escape, Some(target("prod-1"))));
        let no_news = [
            ended(Ending::Succeeded),
            ended(Ending::Superseded),
            paused(Some("oncall")),
            escapes(Vec::new()),
            Event::HealthChanged { target: target("prod-1"), app: app("web"), build, unwell: None, unclear: false },
        ];
        for event in no_news {
            assert!(told(&world, event.clone()).is_none(), "{event:?}");
        }
    }
}
