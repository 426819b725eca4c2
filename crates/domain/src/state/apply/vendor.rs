//! What comes from vendors.

use crate::{
    event::{Event, VendorWord},
    state::{Build, Imported, Numbered, OfVendor, State},
};
use trust::AppName;

/// A vendor's build with its number. What is known of it already stays.
pub(super) fn import(state: &mut State, event: &Event) {
    let Event::ReleaseImported { app, build, version, importer, commit, recipe, facts, word, permit } = event else {
        return;
    };
    let stamp = state.head;
    let of_vendor = heard(state, app, word);
    of_vendor.floor = of_vendor.floor.take().max(permit.floor.clone());
    let record = state.apps.entry(app.clone()).or_default();
    record.versions.entry(version.clone()).or_insert(Numbered { build: *build, stamp });
    let known = record.builds.entry(*build).or_insert_with(|| Build::new(importer, commit, recipe, facts, stamp));
    known.brought_again = known.pruned.take().map(|_| stamp).or(known.brought_again);
    known.version = Some(version.clone());
    known.vendor = Some(Imported { word: word.clone(), permit: permit.clone(), stamp });
}

/// What is known of a vendor, with a word that may be newer.
pub(super) fn heard<'a>(state: &'a mut State, app: &AppName, word: &VendorWord) -> &'a mut OfVendor {
    let vendors = &mut state.apps.entry(app.clone()).or_default().vendors;
    let first = || OfVendor { word: word.clone(), withdrawals: Vec::new(), floor: None };
    let known = vendors.entry(word.of().id()).or_insert_with(first);
    if word.charter >= known.word.charter {
        known.word = word.clone();
    }
    known
}
