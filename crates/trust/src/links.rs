//! Links, followed on paper: the rule that no chain of links leads out of the build.
//!
//! Looking at one link's text is not enough. With `deep/er/up -> ../..` in the build, `out -> deep/er/up/../x` climbs
//! no higher than the build's root on paper and yet leads out of it on disk, because `up` is somewhere else.

use crate::{
    manifest::{Entry, check_link},
    names::printable,
};
use std::collections::HashMap;

/// How many links one path may pass, as in Linux.
const MAX_HOPS: usize = 40;

/// A link that may not be in a build.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It leads out of the build, by itself or through others.
    #[error("the link '{0}' leads out of the build; make it lead to a file inside, or copy the file in")]
    Out(String),
    /// It leads to itself, or through more than 40 others.
    #[error("the link '{0}' leads round in a circle")]
    Circle(String),
}

/// Checks that no link among `entries`, followed through all others and through the `data` folders, leads out.
///
/// What lies in a data folder is not known here, and the folder itself is elsewhere on the target: so nothing may
/// climb out of one by `..`.
pub fn check_links(entries: &[Entry], data: &[String]) -> Result<(), LinkError> {
    let links: HashMap<&str, &str> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Link { path, target } => Some((path.as_str(), target.as_str())),
            Entry::File { .. } => None,
        })
        .collect();
    let mut in_order: Vec<_> = links.iter().collect();
    in_order.sort_unstable();
    for (path, target) in in_order {
        if check_link(path, target).is_err()
            || !follow(path, &links, data).map_err(|Circle| LinkError::Circle(printable(path)))?
        {
            return Err(LinkError::Out(printable(path)));
        }
    }
    Ok(())
}

struct Circle;

/// Whether `path`, followed to its end, stays inside.
fn follow(path: &str, links: &HashMap<&str, &str>, data: &[String]) -> Result<bool, Circle> {
    let mut at = String::new();
    let mut ahead: Vec<&str> = path.rsplit('/').collect();
    let mut hops = 0;
    while let Some(part) = ahead.pop() {
        match part {
            "" | "." => {}
            ".." => {
                if at.is_empty() || data.iter().any(|folder| is_within(&at, folder)) {
                    return Ok(false);
                }
                at.truncate(at.rfind('/').unwrap_or(0));
            }
            name => {
                let parent_length = at.len();
                if !at.is_empty() {
                    at.push('/');
                }
                at.push_str(name);
                if let Some(target) = links.get(at.as_str()) {
                    hops += 1;
                    if hops > MAX_HOPS {
                        return Err(Circle);
                    }
                    at.truncate(parent_length);
                    ahead.extend(target.rsplit('/'));
                }
            }
        }
    }
    Ok(true)
}

/// Whether `path` is `folder` or lies in it.
pub fn is_within(path: &str, folder: &str) -> bool {
    path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(links: &[(&str, &str)], data: &[&str]) -> Result<(), LinkError> {
        let entries: Vec<Entry> =
            links.iter().map(|(path, target)| Entry::Link { path: (*path).into(), target: (*target).into() }).collect();
        check_links(&entries, &data.iter().map(|d| (*d).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn links_inside_are_taken_even_where_they_lead_nowhere() {
        assert_eq!(check(&[("a", "b/c"), ("b", "d"), ("d/up", ".."), ("lib/x.so", "x.so.1")], &[]), Ok(()));
        assert_eq!(check(&[("seen", "uploads/today")], &["uploads"]), Ok(()));
    }

    #[test]
    fn links_out_are_refused_also_through_others() {
        assert_eq!(check(&[("a", "../x")], &[]), Err(LinkError::Out("a".into())));
        assert_eq!(check(&[("a", "/etc")], &[]), Err(LinkError::Out("a".into())));
        assert_eq!(
            check(&[("deep/er/up", "../.."), ("out", "deep/er/up/../x")], &[]),
            Err(LinkError::Out("out".into()))
        );
        assert_eq!(check(&[("out", "uploads/../x")], &["uploads"]), Err(LinkError::Out("out".into())));
    }

    #[test]
    fn circles_are_refused() {
        assert_eq!(check(&[("a", "b"), ("b", "a")], &[]), Err(LinkError::Circle("a".into())));
        assert_eq!(check(&[("a", "a/b")], &[]), Err(LinkError::Circle("a".into())));
    }
}
