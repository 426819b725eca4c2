//! What every implementation of [`LedgerStore`] must do.

use super::*;
use trust::log::{Frontier, consistency_proof, leaf_hash, verify_consistency};

/// Opens the store under test, again and again.
type Open<'a> = &'a dyn Fn() -> Box<dyn LedgerStore>;

/// A batch of `count` entries from number `first` on.
pub(crate) fn batch(first: u64, count: u64) -> Vec<NewEntry> {
    let entry = |number: u64| {
        let bytes = format!("entry {number}").into_bytes();
        let row = Row { number, leaf: leaf_hash(&bytes), bytes };
        let payload = (!number.is_multiple_of(3)).then(|| Digest::of(&number.to_be_bytes()));
        let (actor, request_id) = (format!("actor{}", number % 2), number.to_string());
        NewEntry { row, actor, request_id, payload, texts: vec![], erases: Erases::default() }
    };
    (first..first + count).map(entry).collect()
}

/// Runs every check, each on a store in a new place; `open` opens the store in a place, again and again.
pub(crate) fn run<P>(place: impl Fn() -> P, open: impl Fn(&P) -> Box<dyn LedgerStore>) {
    let checks: [fn(Open<'_>); 7] = [
        what_was_appended_is_read_after_opening_again,
        an_entry_erases_texts_in_the_same_moment,
        a_batch_is_stored_whole_or_not_at_all,
        requests_are_found_by_actor_and_id,
        texts_are_kept_until_erased,
        subtrees_are_those_of_the_leaves,
        readers_see_whole_batches_only,
    ];
    for check in checks {
        let place = place();
        check(&|| open(&place));
    }
}

fn what_was_appended_is_read_after_opening_again(open: Open<'_>) {
    let store = open();
    assert_eq!((store.head().unwrap(), store.read(1, 10).unwrap()), (0, vec![]));
    store.append(&[]).unwrap();
    store.append(&batch(1, 3)).unwrap();
    store.append(&batch(4, 2)).unwrap();
    drop(store);
    let store = open();
    assert_eq!(store.head().unwrap(), 5);
    let rows: Vec<Row> = batch(1, 5).into_iter().map(|entry| entry.row).collect();
    assert_eq!(store.read(1, 100).unwrap(), rows);
    assert_eq!(store.read(2, 3).unwrap(), rows[1..4]);
    assert_eq!(store.read(6, 3).unwrap(), []);
    assert_eq!(store.read(u64::MAX, u64::MAX).unwrap(), []);
}

fn a_batch_is_stored_whole_or_not_at_all(open: Open<'_>) {
    let store = open();
    store.append(&batch(1, 2)).unwrap();
    for (first, expected, found) in [(2, 3, 2), (4, 3, 4)] {
        let refused = store.append(&batch(first, 2)).unwrap_err();
        let named = matches!(refused, StoreError::NotNext { expected: e, found: f } if (e, f) == (expected, found));
        assert!(named, "{refused}");
    }
    let mut gap = batch(3, 3);
    gap.remove(1);
    assert!(store.append(&gap).is_err());
    let mut taken = batch(3, 2);
    (taken[1].actor, taken[1].request_id) = ("actor1".into(), "1".into());
    assert!(store.append(&taken).is_err());
    assert_eq!(store.head().unwrap(), 2);
    assert_eq!(store.requests(&[("actor1".into(), "3".into())]).unwrap(), [None]);
    store.append(&batch(3, 2)).unwrap();
    assert_eq!(store.head().unwrap(), 4);
}

fn requests_are_found_by_actor_and_id(open: Open<'_>) {
    let store = open();
    store.append(&batch(1, 4)).unwrap();
    for entry in batch(1, 4) {
        let seen = Seen { number: entry.row.number, payload: entry.payload };
        let asked = ["somebody", &entry.actor].map(|actor| (actor.to_owned(), entry.request_id.clone()));
        assert_eq!(store.requests(&asked).unwrap(), [None, Some(seen)]);
    }
}

fn texts_are_kept_until_erased(open: Open<'_>) {
    let store = open();
    let text = |text: &str| Text { salt: "5a17".into(), text: text.into() };
    let (kept, erased) = (text("kept"), text("erased"));
    let mut entries = batch(1, 2);
    entries[0].texts = vec![(kept.digest(), kept.clone()), (erased.digest(), erased.clone())];
    entries[1].texts = vec![(kept.digest(), kept.clone())];
    store.append(&entries).unwrap();
    assert_eq!(store.text(&erased.digest()).unwrap(), Some(erased.clone()));
    // What is not there any more is erased again without complaint.
    for number in [3, 4] {
        let mut erasing = batch(number, 1);
        erasing[0].erases.digests = vec![erased.digest()];
        store.append(&erasing).unwrap();
        assert_eq!(store.text(&erased.digest()).unwrap(), None);
    }
    drop(store);
    let store = open();
    assert_eq!(store.text(&erased.digest()).unwrap(), None);
    assert_eq!(store.text(&kept.digest()).unwrap(), Some(kept));
}

fn an_entry_erases_texts_in_the_same_moment(open: Open<'_>) {
    let store = open();
    let text = |text: &str| Text { salt: "5a17".into(), text: text.into() };
    let (kept, hers, about_her) = (text("kept"), text("what she wrote"), text("ann"));
    let mut entries = batch(1, 5);
    entries[0].texts = [&kept, &hers, &about_her].map(|text| (text.digest(), text.clone())).to_vec();
    store.append(&entries[..4]).unwrap();
    assert_eq!(store.entries_by("actor1").unwrap(), [1, 3]);
    assert!(store.entries_by("nobody").unwrap().is_empty());
    // One that cannot be appended erases nothing.
    let erases = Erases { digests: vec![hers.digest()], saying: vec!["ann".into()] };
    let mut gap = batch(7, 1);
    gap[0].erases = erases.clone();
    assert!(store.append(&gap).is_err());
    assert!(store.text(&hers.digest()).unwrap().is_some());
    entries[4].erases = erases;
    store.append(&entries[4..]).unwrap();
    for gone in [&hers, &about_her] {
        assert_eq!(store.text(&gone.digest()).unwrap(), None);
    }
    assert_eq!(store.text(&kept.digest()).unwrap(), Some(kept));
    assert_eq!(store.read(1, 9).unwrap().len(), 5);
}

fn subtrees_are_those_of_the_leaves(open: Open<'_>) {
    // More than 2^16 leaves would complete a tile of tiles; 600 complete two tiles and leave a part of a third.
    let store = open();
    store.append(&batch(1, 300)).unwrap();
    store.append(&batch(301, 300)).unwrap();
    let leaves: Vec<Digest> = batch(1, 600).into_iter().map(|entry| entry.row.leaf).collect();
    let tree = StoredTree(store.as_ref());
    let root_at = |size: u64| {
        let mut frontier = Frontier::new();
        leaves[..size as usize].iter().for_each(|leaf| frontier.push(*leaf));
        frontier.root()
    };
    for size in [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 599, 600] {
        assert_eq!(tree.root(size).unwrap(), root_at(size), "{size}");
        let proof = consistency_proof(&tree, size, 600).unwrap();
        assert_eq!(verify_consistency(size, 600, &root_at(size), &root_at(600), &proof), Ok(()), "{size}");
    }
    assert!(store.subtree(9, 1).is_err());
    assert!(store.subtree(0, 600).is_err());
    assert!(store.subtree(63, u64::MAX).is_err());
}

fn readers_see_whole_batches_only(open: Open<'_>) {
    let store = open();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..20).for_each(|turn| store.append(&batch(1 + turn * 10, 10)).unwrap()));
        loop {
            let rows = store.read(1, 1_000).unwrap();
            assert_eq!(rows.len() % 10, 0);
            if rows.len() == 200 {
                break;
            }
        }
    });
}
