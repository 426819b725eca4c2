//! The digest at the end of a backup: over every byte before it, and bound to what is sealed.
//!
//! The last bytes of the file are a frame that zstd skips (RFC 8878, 3.1.2). In it stand a message authentication code
//! under a key that lies in the sealed part alone, and the digest of the file up to there. The digest shows what a disk or a
//! copy has changed, to anyone; the code shows what somebody has changed on purpose, who can make digests too.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io::{self, Read, Write};
use trust::{Digest, digest::Hasher};

/// A skippable frame, and the length of what follows: a code and a digest.
const FRAME: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, 64, 0, 0, 0];
/// The frame with what is in it, in bytes.
const LENGTH: usize = FRAME.len() + 64;
/// How much is read at once.
const PIECE: u64 = 64 << 10;

/// The key of the code, as it lies in the sealed part.
#[derive(Clone, Copy)]
pub(super) struct Binding([u8; 32]);

impl Binding {
    /// A new one for each backup.
    pub fn new() -> io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(key))
    }

    /// As it is written down.
    pub fn hex(&self) -> String {
        Digest::from_bytes(self.0).hex()
    }

    pub fn from_hex(text: &str) -> Option<Self> {
        Digest::from_hex(text).ok().map(|bytes| Self(*bytes.as_bytes()))
    }

    /// A key of 32 bytes is one that every code takes.
    fn code(&self, over: &Digest) -> Option<Hmac<Sha256>> {
        let mut code = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        code.update(over.as_bytes());
        Some(code)
    }
}

/// Writes on, and digests what it writes.
pub(super) struct Sum<W> {
    out: W,
    hasher: Hasher,
}

impl<W: Write> Sum<W> {
    pub fn new(out: W) -> Self {
        Self { out, hasher: Hasher::new() }
    }

    /// Ends the file.
    pub fn finish(mut self, binding: &Binding) -> io::Result<()> {
        let code = binding.code(&self.hasher.clone().finish()).ok_or_else(|| io::Error::other("no key for the end"))?;
        self.write_all(&FRAME)?;
        self.write_all(&code.finalize().into_bytes())?;
        let digest = self.hasher.clone().finish();
        self.out.write_all(digest.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Write for Sum<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads a backup up to the frame at its end, and digests what it reads.
pub(super) struct Whole<R> {
    from: R,
    hasher: Hasher,
    /// What was read and not handed on: the last [`LENGTH`] bytes of it may be the frame.
    held: Vec<u8>,
    /// How much of `held` was handed on.
    given: usize,
    ended: bool,
}

/// How a backup ends.
pub(super) enum Ending {
    /// With no digest, or in the middle.
    Bare,
    /// With a digest that is not its own: it was changed.
    Changed,
    /// With its digest.
    Fits(Fits),
}

/// A backup's digest and code.
pub(super) struct Fits {
    digest: Digest,
    code: [u8; 32],
}

impl Fits {
    /// Whether the code was made with this key.
    pub fn is_bound(&self, binding: &Binding) -> bool {
        binding.code(&self.digest).is_some_and(|code| code.verify_slice(&self.code).is_ok())
    }
}

impl<R: Read> Whole<R> {
    pub fn new(from: R) -> Self {
        Self { from, hasher: Hasher::new(), held: Vec::new(), given: 0, ended: false }
    }

    /// How many of the bytes that are held may be handed on.
    fn free(&self) -> usize {
        let is_bare = self.ended && self.frame().is_none();
        let kept = if is_bare { 0 } else { LENGTH };
        self.held.len().saturating_sub(kept).saturating_sub(self.given)
    }

    /// The end of what is held, where it is a frame.
    fn frame(&self) -> Option<&[u8]> {
        let at = self.held.len().checked_sub(LENGTH)?;
        self.held[at..].strip_prefix(&FRAME)
    }

    fn fill(&mut self) -> io::Result<()> {
        while !self.ended && self.free() == 0 {
            self.held.drain(..std::mem::take(&mut self.given));
            self.ended = (&mut self.from).take(PIECE).read_to_end(&mut self.held)? == 0;
        }
        Ok(())
    }

    /// Reads what is left, and says how the file ends.
    pub fn finish(mut self) -> io::Result<Ending> {
        io::copy(&mut self, &mut io::sink())?;
        let Some(frame) = self.frame() else { return Ok(Ending::Bare) };
        let (mut code, mut stated) = ([0; 32], [0; 32]);
        code.copy_from_slice(&frame[..32]);
        stated.copy_from_slice(&frame[32..]);
        let digest = self.hasher.clone().finish();
        let mut hasher = self.hasher;
        hasher.update(&FRAME);
        hasher.update(&code);
        let is_its_own = hasher.finish() == Digest::from_bytes(stated);
        Ok(if is_its_own { Ending::Fits(Fits { digest, code }) } else { Ending::Changed })
    }
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let count = self.free().min(into.len());
        let piece = &self.held[self.given..self.given + count];
        into[..count].copy_from_slice(piece);
        self.hasher.update(piece);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(bytes: &[u8], binding: &Binding) -> Vec<u8> {
        let mut file = Vec::new();
        let mut sum = Sum::new(&mut file);
        sum.write_all(bytes).unwrap();
        sum.finish(binding).unwrap();
        file
    }

    fn read(file: &[u8]) -> (Vec<u8>, Ending) {
        let (mut whole, mut bytes) = (Whole::new(file), Vec::new());
        // In small pieces first, as a decoder may.
        let mut few = [0; 7];
        let read = whole.read(&mut few).unwrap();
        bytes.extend_from_slice(&few[..read]);
        whole.read_to_end(&mut bytes).unwrap();
        (bytes, whole.finish().unwrap())
    }

    #[test]
    fn every_bit_of_a_file_is_under_its_digest_and_its_key_alone_bound_it() {
        let (binding, other) = (Binding::new().unwrap(), Binding::new().unwrap());
        for length in [0, 1, 71, 72, 500, 3 * PIECE as usize] {
            let content: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let file = ended(&content, &binding);
            let (bytes, ending) = read(&file);
            assert_eq!(bytes, content);
            let Ending::Fits(fits) = ending else { panic!("{length} bytes do not have their own digest") };
            assert!(fits.is_bound(&binding) && !fits.is_bound(&other));
            for bit in (0..8 * file.len().min(600)).step_by(if length > 500 { 97 } else { 1 }) {
                let mut flipped = file.clone();
                flipped[file.len() - 1 - bit / 8] ^= 1 << (bit % 8);
                assert!(!matches!(read(&flipped).1, Ending::Fits(_)), "bit {bit} from the end of {length}");
            }
        }
    }

    #[test]
    fn a_file_without_an_end_is_handed_on_whole() {
        for length in [0, 1, 71, 72, 73, 500, 3 * PIECE as usize] {
            let content: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let (bytes, ending) = read(&content);
            assert!(bytes == content && matches!(ending, Ending::Bare), "{length}");
        }
    }
}
