//! Public keys in the form that programs other than TUF's read: PEM of a SubjectPublicKeyInfo (RFC 7468, RFC 8410, RFC
//! 5480).

use crate::key::PublicKey;
use base64::{Engine, prelude::BASE64_STANDARD};
use p256::pkcs8::{EncodePublicKey as _, LineEnding};

/// What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410, 4).
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The key as PEM, which `openssl`, cosign and most libraries read. Of a security key it is the key that the device signs
/// with, which says nothing of what the device signs.
pub fn public_key_pem(key: &PublicKey) -> String {
    match p256::PublicKey::from_sec1_bytes(key.point()) {
        Ok(point) => point.to_public_key_pem(LineEnding::LF).unwrap_or_default(),
        Err(_) => {
            let der = [&ED25519_PREFIX[..], key.point()].concat();
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(der))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_8410_is_written_as_there() {
        let bytes = hex::decode("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1").unwrap();
        let key = PublicKey::from_ed25519(bytes.try_into().unwrap()).unwrap();
        let lines: Vec<String> = public_key_pem(&key).lines().map(String::from).collect();
        assert_eq!(lines[1], "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=");
    }
}
