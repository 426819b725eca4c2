//! What stories look at, and how they wait for it.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a story gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks until it finds; fails after a minute, saying that it waited for `what`.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", PATIENCE.as_secs());
        thread::sleep(LOOK_AGAIN);
    }
}

/// GETs a path of a service by plain HTTP; answers with the whole response.
pub fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The first object anywhere in `value` that is as wanted.
pub fn find<'a>(value: &'a Value, wanted: &impl Fn(&Value) -> bool) -> Option<&'a Value> {
    match value {
        Value::Object(_) if wanted(value) => Some(value),
        Value::Object(map) => map.values().find_map(|value| find(value, wanted)),
        Value::Array(list) => list.iter().find_map(|value| find(value, wanted)),
        _ => None,
    }
}

/// Every file below a folder with its bytes, by its path inside.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(&inside).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if let (true, Ok(bytes)) = (kind.is_file(), fs::read(&path)) {
                found.insert(path.strip_prefix(folder).unwrap().to_path_buf(), bytes);
            }
        }
    }
    found
}

/// What a file says; nothing where there is none.
pub fn read_text(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Every `127.0.0.1:PORT` in the endpoints of a status.
pub(super) fn collect_endpoints(value: &Value, found: &mut Vec<SocketAddr>) {
    match value {
        Value::Object(map) => {
            let listed = map.get("endpoints").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let address =
                |text: &str| text.trim_start_matches("http://").trim_end_matches('/').parse::<SocketAddr>().ok();
            found.extend(listed.filter_map(address));
            map.values().for_each(|value| collect_endpoints(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| collect_endpoints(value, found)),
        _ => {}
    }
}
