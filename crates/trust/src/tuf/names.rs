//! What files of a repository are called, where they lie and how much of them is read (TUF 6.2, 5.7.3).

use super::{TufError, TufRole};
use crate::names::printable;
use std::fmt::Write as _;

/// The longest name of a delegated role, in bytes of its file's name: such a file must fit into any file system.
const MAX_ROLE_FILE_NAME_BYTES: usize = 200;

/// `ROLE.json`: how snapshot lists a role, and how its file is kept. Everything in the role's name but letters, digits,
/// `-`, `_`, `.` and `~` is percent-encoded, so that no name leads out of a folder.
pub fn role_file(role: &str) -> String {
    format!("{}.json", encoded(role, b""))
}

/// Where a role's metadata lies in the repository: `N.ROLE.json`, or `ROLE.json` without a version.
pub fn role_path(role: &str, version: Option<u64>) -> String {
    match version {
        Some(version) => format!("{version}.{}", role_file(role)),
        None => role_file(role),
    }
}

/// Where a target lies in the repository: `dir/HASH.name`, or `dir/name` where no hash is given. What a URL's path may
/// not hold is percent-encoded.
pub fn target_path(target: &str, hash: Option<&str>) -> String {
    let (folder, name) = target.rsplit_once('/').map_or(("", target), |(folder, name)| (folder, name));
    let folder = if folder.is_empty() { String::new() } else { format!("{}/", encoded(folder, b"/!$&'()*+,;=:@")) };
    let name = encoded(name, b"!$&'()*+,;=:@");
    match hash {
        Some(hash) => format!("{folder}{hash}.{name}"),
        None => format!("{folder}{name}"),
    }
}

/// Whether a role of this name can be delegated to: the names of the top-level roles are taken.
pub(super) fn check_role_name(role: &str) -> Result<(), TufError> {
    let is_top_level = TufRole::ALL.into_iter().any(|top_level| top_level.as_str() == role);
    if role.is_empty() || is_top_level || role_file(role).len() > MAX_ROLE_FILE_NAME_BYTES {
        let shown: String = role.chars().take(64).collect();
        return Err(TufError::Malformed(format!("'{}' is no name for a delegated role", printable(&shown))));
    }
    Ok(())
}

/// Whether a target can have this path.
pub(super) fn check_target_path(path: &str) -> Result<(), TufError> {
    if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(TufError::TargetPath(printable(path)));
    }
    Ok(())
}

fn encoded(text: &str, also_plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || also_plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
