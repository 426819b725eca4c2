//! FIDO security keys, as OpenSSH uses them (its PROTOCOL.u2f): the device signs a digest of the message together with
//! what it was made for, whether somebody touched it, and how often it has signed.

use super::KeyError;
use crate::digest::Digest;

/// Somebody touched the device.
const USER_PRESENT: u8 = 0x01;
/// The device's answer goes on after the counter: what it signed is then more than is verified here.
const MORE_DATA: u8 = 0x40 | 0x80;
/// The flags and the counter.
const TRAILER_BYTES: usize = 5;

/// What a security key was made for: `ssh:`, or `ssh:` and more words. The device signs for nothing else with that key, so
/// that a web site, whose application is its host name, can never get a signature that counts here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Application {
    length: u8,
    bytes: [u8; Self::MAX_BYTES],
}

impl Application {
    /// The longest application.
    pub const MAX_BYTES: usize = 32;

    /// Validates `text`.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || !text.starts_with("ssh:") || text.len() > Self::MAX_BYTES {
            return Err(KeyError::Application);
        }
        let mut bytes = [0; Self::MAX_BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { length: u8::try_from(text.len()).map_err(|_| KeyError::Application)?, bytes })
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the device signed when asked to sign `message`, and its signature over that; nothing where the signature is too
/// short or says that nobody touched the device.
pub(super) fn unwrapped<'a>(
    application: &Application,
    message: &[u8],
    signature: &'a [u8],
) -> Option<(Vec<u8>, &'a [u8])> {
    let (inner, trailer) = signature.split_at_checked(signature.len().checked_sub(TRAILER_BYTES)?)?;
    let flags = *trailer.first()?;
    if flags & USER_PRESENT == 0 || flags & MORE_DATA != 0 {
        return None;
    }
    let application = Digest::of(application.as_str().as_bytes());
    Some(([application.as_bytes(), trailer, Digest::of(message).as_bytes()].concat(), inner))
}
