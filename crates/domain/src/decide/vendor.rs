//! A vendor's release is brought in: by anybody of the charter, for what it says is signed by the vendor (R42).

use super::Asked;
use crate::{
    command::{Brought, Signed},
    event::{Event, VendorPermit},
    refusal::{Refusal, Right},
    rules::{retired, rights, vendors},
    state::Draft,
};
use trust::statement::Import;

/// Takes what is new in it: the vendor's release, and what the vendor withdrew. A release that does not hold brings in no
/// build; that it was withdrawn is taken all the same, about builds that are here.
pub(super) fn import(
    draft: &mut Draft,
    asked: &Asked<'_>,
    signed: &Signed<Import>,
    brought: &Brought,
) -> Result<(), Refusal> {
    let Import { app, version, .. } = &signed.act;
    let importer = rights::require_member(&asked.context.actor, Right::Import, app)?.clone();
    vendors::is_of(&asked.policy, app, &brought.word)?;
    retired::takes_something_new(app, draft.state.apps.get(app))?;
    let known =
        |draft: &Draft| draft.state.apps.get(app).and_then(|app| app.vendors.get(&brought.word.of().id())).cloned();
    for withdrawal in &brought.withdrawals {
        let of_vendor = known(draft);
        let is_known = of_vendor.is_some_and(|heard| heard.withdrawals.iter().any(|(other, _)| other == withdrawal));
        if withdrawal.app == *app && !is_known {
            draft.record(Event::VendorWithdrew {
                app: app.clone(),
                build: withdrawal.build,
                through_serial: withdrawal.through_serial,
                payload: withdrawal.payload,
                word: brought.word.clone(),
            });
        }
    }
    match &brought.released {
        Ok((released, facts)) => {
            if released.version != *version {
                let why = format!("{} numbered it {}, not {version}", brought.word.vendor, released.version);
                return Err(Refusal::VendorReleaseUnfit { app: app.clone(), vendor: brought.word.vendor.clone(), why });
            }
            if !facts.package.is_empty() {
                let why = "it is a package, and a vendor releases each application by itself".into();
                return Err(Refusal::VendorReleaseUnfit { app: app.clone(), vendor: brought.word.vendor.clone(), why });
            }
            vendors::may_be_numbered(&draft.state, app, &signed.subject, version)?;
            let permit = VendorPermit::of(released);
            let build = draft.state.apps.get(app).and_then(|app| app.builds.get(&signed.subject));
            // What was pruned may be brought again: the same bytes, under the same name.
            let here = build.filter(|build| build.pruned.is_none());
            let is_known = here.and_then(|build| build.vendor.as_ref()).is_some_and(|imported| {
                let word = &imported.word;
                imported.permit == permit && word.of() == brought.word.of() && word.charter >= brought.word.charter
            });
            if !is_known {
                draft.record(Event::ReleaseImported {
                    app: app.clone(),
                    build: signed.subject,
                    version: version.clone(),
                    importer,
                    commit: released.commit.clone(),
                    recipe: released.recipe.clone(),
                    facts: Box::new(facts.clone()),
                    word: brought.word.clone(),
                    permit,
                });
            }
        }
        Err(denial) if !draft.events.iter().any(|event| tells_of_ours(draft, event)) => {
            return Err(vendors::refusal(&brought.word.vendor, app, version, denial));
        }
        Err(_) => {}
    }
    match draft.events.is_empty() {
        true => Err(Refusal::AlreadyDone {
            what: format!("{app}@{version} of {} is here", brought.word.vendor),
            since: None,
        }),
        false => Ok(()),
    }
}

/// Whether a vendor's withdrawal is about a build that is here.
fn tells_of_ours(draft: &Draft, event: &Event) -> bool {
    match event {
        Event::VendorWithdrew { app, build, .. } => {
            draft.state.apps.get(app).is_some_and(|app| app.builds.contains_key(build))
        }
        _ => false,
    }
}
