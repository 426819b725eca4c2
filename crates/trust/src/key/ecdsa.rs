//! ECDSA on P-256 over SHA-256 (FIPS 186-5), as smart cards do it.

use super::KeyError;
use p256::{
    PublicKey,
    ecdsa::{Signature, VerifyingKey, signature::Verifier as _},
    elliptic_curve::sec1::ToEncodedPoint as _,
};

/// The compressed form of a point on the curve that is given in either form.
pub(super) fn compressed(point: &[u8]) -> Result<[u8; 33], KeyError> {
    encoded(point, true)?.try_into().map_err(|_| KeyError::Invalid)
}

/// The 65 bytes of a point on the curve that is given in either form.
pub(super) fn uncompressed(point: &[u8]) -> Result<Vec<u8>, KeyError> {
    encoded(point, false)
}

fn encoded(point: &[u8], compress: bool) -> Result<Vec<u8>, KeyError> {
    let key = PublicKey::from_sec1_bytes(point).map_err(|_| KeyError::Invalid)?;
    Ok(key.to_encoded_point(compress).as_bytes().to_vec())
}

/// Whether the DER signature is genuine, and the one of the two encodings that is accepted: with (r, s), (r, n − s) is
/// genuine too, so the higher s is refused.
pub(super) fn verify(point: &[u8; 33], message: &[u8], der: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_sec1_bytes(point), Signature::from_der(der)) else {
        return false;
    };
    signature.normalize_s().is_none() && key.verify(message, &signature).is_ok()
}

/// The accepted encoding of a signature.
pub(super) fn to_der(signature: Signature) -> Vec<u8> {
    signature.normalize_s().unwrap_or(signature).to_der().as_bytes().to_vec()
}
