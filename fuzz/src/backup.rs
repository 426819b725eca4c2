//! A server in one file, as somebody puts it back.

use super::requests;
use server::backup::{put_back, take};
use std::fs;

/// The archive in a backup, before it is compressed. What is refused leaves nothing behind.
pub fn backup(bytes: &[u8]) {
    let Ok(packed) = zstd::encode_all(bytes, 1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let unseal = |sealed: &[u8]| Ok(sealed.to_vec());
    let done = put_back(packed.as_slice(), &data, Some(&unseal), &mut |_| ());
    let left = fs::read_dir(folder.path()).unwrap().count();
    match done {
        Ok(_) => assert!(data.is_dir() && left == 1),
        Err(_) => assert_eq!(left, 0, "what was refused stayed behind"),
    }
}

pub fn backup_seeds() -> Vec<Vec<u8>> {
    let mut packed = Vec::new();
    take(&requests::data(), &mut packed, &|keys: &[u8]| Ok(keys.to_vec()), &mut |_| ()).unwrap();
    zstd::decode_all(packed.as_slice()).into_iter().collect()
}
