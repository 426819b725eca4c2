//! The system users that processes run as.

use super::RuntimeError;
use std::process::{Command, Stdio};
use trust::names::printable;

/// One system user, as needed to become it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub uid: u32,
    pub gid: u32,
    /// Every group it is in, its first one included.
    pub groups: Vec<u32>,
    pub home: String,
}

impl Account {
    /// Finds the user and checks that this process may become it: it is the own one, or this process is root.
    pub fn find(name: &str) -> Result<Self, RuntimeError> {
        let account = Self::look_up(name).ok_or_else(|| RuntimeError::NoSuchUser { user: printable(name) })?;
        let own = rustix::process::geteuid();
        if !own.is_root() && own.as_raw() != account.uid {
            return Err(RuntimeError::MayNotSwitch { user: printable(name) });
        }
        Ok(account)
    }

    /// Whether becoming it changes anything.
    pub fn is_own(&self) -> bool {
        rustix::process::geteuid().as_raw() == self.uid
    }

    fn look_up(name: &str) -> Option<Self> {
        // A name with another first character could be taken for an option by the programs asked below.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') || !name.chars().all(plain) {
            return None;
        }
        let local = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        if let Some((uid, gid, home)) = in_passwd(&local, name) {
            let groups = in_group(&std::fs::read_to_string("/etc/group").unwrap_or_default(), name, gid);
            return Some(Self { uid, gid, groups, home });
        }
        // Users of a directory service stand in no file; getent and id ask whatever the machine is configured with.
        let (uid, gid, home) = in_passwd(&ask("getent", &["passwd", name])?, name)?;
        let mut groups = vec![gid];
        groups.extend(ask("id", &["-G", name])?.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        groups.dedup();
        Some(Self { uid, gid, groups, home })
    }
}

fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let asked = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    asked.status.success().then(|| String::from_utf8_lossy(&asked.stdout).into_owned())
}

fn in_passwd(text: &str, name: &str) -> Option<(u32, u32, String)> {
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[..] {
            [found, _, uid, gid, _, home, ..] if found == name => {
                Some((uid.parse().ok()?, gid.parse().ok()?, home.into()))
            }
            _ => None,
        }
    })
}

fn in_group(text: &str, name: &str, first: u32) -> Vec<u32> {
    let listed = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[..] {
            [_, _, gid, members] if members.split(',').any(|member| member == name) => gid.parse().ok(),
            _ => None,
        }
    });
    let mut groups = vec![first];
    groups.extend(listed.filter(|gid: &u32| *gid != first));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_users_and_their_groups() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv/web:/bin/false\n";
        assert_eq!(in_passwd(passwd, "web"), Some((101, 102, "/srv/web".into())));
        assert_eq!(in_passwd(passwd, "we"), None);
        assert_eq!(in_group("a:x:1:web,other\nb:x:2:other\nc:x:102:web\n", "web", 102), [102, 1]);
    }

    #[test]
    fn a_user_that_is_not_there_is_named() {
        for name in ["nobody-has-this-name", "-G", "a\nb", ""] {
            assert!(matches!(Account::find(name), Err(RuntimeError::NoSuchUser { .. })), "{name:?} was found");
        }
    }
}
