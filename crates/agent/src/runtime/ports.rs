//! The ports of copies: free when given, and the same one after every upgrade.

use super::{
    RuntimeError,
    disk::{failed, replace_durably},
};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    ops::RangeInclusive,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};
use trust::AppName;

/// The ports given out where the agent is not told otherwise. Several agents on one machine need ranges of their own.
pub const DEFAULT_PORTS: RangeInclusive<u16> = 20_000..=29_999;

/// Behind the copy's number in the key of its second port.
const SECOND: &str = "+";

/// The two ports of a copy whose builds change from one to the other; all else has the first alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The port that every copy has.
    First,
    /// The one beside it.
    Second,
}

/// Every port given to a copy on this target, remembered in a file.
#[derive(Debug)]
pub struct Ports {
    file: PathBuf,
    range: RangeInclusive<u16>,
    given: Mutex<BTreeMap<String, u16>>,
}

impl Ports {
    /// Reads what was given before from `file`.
    pub fn open(file: PathBuf, range: RangeInclusive<u16>) -> Result<Self, RuntimeError> {
        let given = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed("read", &file)(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(failed("read", &file)(error)),
        };
        Ok(Self { file, range, given: Mutex::new(given) })
    }

    /// The port of a copy on one side: the one it had, or a free one. `is_running` says whether the copy itself may be
    /// what occupies this port; if it is not and something else does, the copy gets another port.
    pub fn port_of(
        &self,
        app: &AppName,
        (process, copy, side): (&str, u32, Side),
        is_running: impl FnOnce(u16) -> bool,
    ) -> Result<u16, RuntimeError> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(app, process, copy, side);
        if let Some(&port) = given.get(&key)
            && (is_running(port) || self.range.contains(&port) && is_free(port))
        {
            return Ok(port);
        }
        let taken: std::collections::BTreeSet<u16> = given.values().copied().collect();
        let found = self.range.clone().find(|port| !taken.contains(port) && is_free(*port));
        let port = found.ok_or(RuntimeError::NoFreePort { first: *self.range.start(), last: *self.range.end() })?;
        let mut next = given.clone();
        next.insert(key, port);
        self.save(&next)?;
        *given = next;
        Ok(port)
    }

    /// How many of these copies have no port yet and could get none.
    pub fn lacking<'a>(&self, app: &AppName, copies: impl Iterator<Item = (&'a str, u32, Side)>) -> u32 {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let has_one = |(process, copy, side): &(&str, u32, Side)| {
            given.get(&key(app, process, *copy, *side)).is_some_and(|port| self.range.contains(port))
        };
        let wanted = copies.filter(|copy| !has_one(copy)).count();
        let taken: std::collections::BTreeSet<u16> = given.values().copied().collect();
        let free = self.range.clone().filter(|port| !taken.contains(port) && is_free(*port)).take(wanted).count();
        u32::try_from(wanted - free).unwrap_or(u32::MAX)
    }

    /// Forgets the ports of an application that is removed.
    pub fn forget(&self, app: &AppName) -> Result<(), RuntimeError> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let prefix = format!("{app}/");
        let next: BTreeMap<_, _> =
            given.iter().filter(|(key, _)| !key.starts_with(&prefix)).map(|(key, port)| (key.clone(), *port)).collect();
        if next.len() < given.len() {
            self.save(&next)?;
            *given = next;
        }
        Ok(())
    }

    fn save(&self, given: &BTreeMap<String, u16>) -> Result<(), RuntimeError> {
        let bytes = serde_json::to_vec_pretty(given).map_err(|error| failed("write", &self.file)(error.into()))?;
        replace_durably(&self.file, &bytes, 0o600)
    }
}

fn key(app: &AppName, process: &str, copy: u32, side: Side) -> String {
    let behind = match side {
        Side::First => "",
        Side::Second => SECOND,
    };
    format!("{app}/{process}/{copy}{behind}")
}

/// Whether a service could listen on the port now, on any address.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() && !is_taken(port)
}

/// Whether something listens on the port. A port that may not be asked about (below 1024, IPv6 on a machine without)
/// counts as not taken: the process will say so itself.
pub fn is_taken(port: u16) -> bool {
    let addresses: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let in_use = |error: io::Error| error.kind() == io::ErrorKind::AddrInUse;
    addresses.into_iter().any(|address| TcpListener::bind((address, port)).is_err_and(in_use))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_its_port_and_nobody_gets_a_taken_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ports.json");
        let web = AppName::new("web").unwrap();
        let mut listeners = std::iter::repeat_with(|| TcpListener::bind(("127.0.0.1", 0)).unwrap());
        let other = listeners.find(|listener| listener.local_addr().unwrap().port() < 65_000).unwrap();
        let start = other.local_addr().unwrap().port();
        let open = || Ports::open(file.clone(), start..=start + 200).unwrap();
        let one = open().port_of(&web, ("web", 1, Side::First), |_| false).unwrap();
        let two = open().port_of(&web, ("web", 2, Side::First), |_| false).unwrap();
        assert!(one != start && one != two, "{start} is taken, {one} and {two} were given");
        assert_eq!(open().port_of(&web, ("web", 1, Side::First), |_| false).unwrap(), one);

        let beside = open().port_of(&web, ("web", 1, Side::Second), |_| false).unwrap();
        assert!(![start, one, two].contains(&beside), "the second port of a copy is its own: {beside}");
        assert_eq!(open().port_of(&web, ("web", 1, Side::Second), |_| false).unwrap(), beside);

        let stranger = TcpListener::bind(("127.0.0.1", one)).unwrap();
        assert_eq!(
            open().port_of(&web, ("web", 1, Side::First), |_| true).unwrap(),
            one,
            "a running copy occupies its own port"
        );
        assert_ne!(open().port_of(&web, ("web", 1, Side::First), |_| false).unwrap(), one);
        open().forget(&web).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}");
        let narrow = Ports::open(file.clone(), start..=start).unwrap();
        let both = || [Side::First, Side::Second].map(|side| ("web", 1, side)).into_iter();
        assert_eq!((narrow.lacking(&web, both()), open().lacking(&web, both())), (2, 0));
        let full = Ports::open(file.clone(), start..=start).unwrap();
        assert!(matches!(full.port_of(&web, ("web", 1, Side::First), |_| false), Err(RuntimeError::NoFreePort { .. })));
        drop((other, stranger));
    }
}
