//! Attacks on keys and signatures themselves.
//!
//! The signatures written out here were made by Python's `cryptography` from the seeds named beside them, over what
//! OpenSSH's PROTOCOL.u2f says a security key signs: they are no echo of the code that they check.

use std::collections::BTreeSet;
use trust::{
    Digest, PersonName, RoleName,
    charter::Charter,
    dsse::{Envelope, PAYLOAD_TYPE, Signature, pre_authentication_encoding},
    key::{Application, PublicKey, SecretKey, SignError, Signer},
    quorum::{Directory, Rule},
};

/// What the written signatures are over.
const MESSAGE: &[u8] = b"DSSEv1 4 test 7 message";
/// Ed25519, seed 21 in every byte.
const SK_ED25519: &str = "d9f2b92b22ffb9e379cb989896387706719a38937b03a79effebe7693038f2bedb7280bbe492064a308c8f6851d494d\
                          cbcaef73b35024daeddd0b408c104a80e0100000029";
/// P-256, private number 22 in every byte, the lower s.
const SK_ECDSA: &str = "3044022009444fa3100fca18b30f670eaa1a48f8d9fdd15bd8e8fdb560d412fa09b3c33202201b407b74e2ea1e10efb90\
                        856298d52b678007bd5fa3a5309a3c4270a2a66e88d0100000029";
/// The same signature with the higher s.
const SK_ECDSA_HIGH: &str = "3045022009444fa3100fca18b30f670eaa1a48f8d9fdd15bd8e8fdb560d412fa09b3c332022100e4bf848a1d15e1f0\
                             1046f7a9d672ad4944e67ed7acdd4b7b4ff5a3b8d1fc3cc40100000029";
/// The same key over the bare message, the lower s.
const ECDSA: &str = "30450221009874169b2bbb16de8336ac066cf761a415dee016dd69c3633b75f95c8d72b568022029f33f87ff1a5fabe7d12eba\
                     bf4d288dce60ca00be8b166f7330d0e49eec8495";
/// The same signature with the higher s.
const ECDSA_HIGH: &str = "30460221009874169b2bbb16de8336ac066cf761a415dee016dd69c3633b75f95c8d72b568022100d60cc07700e5a0551\
                          82ed14540b2d771ee8630ace88c88158088f9de5d76a0bc";

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hex::decode(hexadecimal).unwrap()
}

fn person(name: &str) -> PersonName {
    PersonName::new(name).unwrap()
}

fn p256() -> SecretKey {
    SecretKey::from_ecdsa_p256(&[22; 32]).unwrap()
}

fn sk_ed25519(application: &str) -> PublicKey {
    let bytes = *SecretKey::from_seed(&[21; 32]).public().ed25519().unwrap();
    PublicKey::from_sk_ed25519(bytes, Application::new(application).unwrap()).unwrap()
}

fn sk_ecdsa(application: &str) -> PublicKey {
    PublicKey::from_sk_ecdsa_p256(p256().public().point(), Application::new(application).unwrap()).unwrap()
}

/// A FIDO authenticator in software: it signs what the device would, with the flags it is told to state.
struct Device {
    secret: SecretKey,
    application: &'static str,
    flags: u8,
}

impl Signer for Device {
    fn public(&self) -> PublicKey {
        let application = Application::new(self.application).unwrap();
        match self.secret.public().ed25519() {
            Some(bytes) => PublicKey::from_sk_ed25519(*bytes, application).unwrap(),
            None => PublicKey::from_sk_ecdsa_p256(self.secret.public().point(), application).unwrap(),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let trailer = [self.flags, 0, 0, 0, 7];
        let (application, message) = (Digest::of(self.application.as_bytes()), Digest::of(message));
        let signed = [application.as_bytes(), &trailer[..], message.as_bytes()].concat();
        let mut signature = self.secret.sign(&signed)?;
        signature.extend(trailer);
        Ok(signature)
    }
}

#[test]
fn signatures_made_elsewhere_verify_and_only_for_what_they_were_made_for() {
    assert!(sk_ed25519("ssh:sortie").verify(MESSAGE, &bytes(SK_ED25519)));
    assert!(sk_ecdsa("ssh:sortie").verify(MESSAGE, &bytes(SK_ECDSA)));
    assert!(p256().public().verify(MESSAGE, &bytes(ECDSA)));
    // Another application, another message, another device's counter.
    assert!(!sk_ed25519("ssh:").verify(MESSAGE, &bytes(SK_ED25519)));
    assert!(!sk_ecdsa("ssh:").verify(MESSAGE, &bytes(SK_ECDSA)));
    assert!(!sk_ed25519("ssh:sortie").verify(b"other", &bytes(SK_ED25519)));
    let mut counted = bytes(SK_ED25519);
    *counted.last_mut().unwrap() += 1;
    assert!(!sk_ed25519("ssh:sortie").verify(MESSAGE, &counted));
    for short in 0..6 {
        assert!(!sk_ed25519("ssh:sortie").verify(MESSAGE, &bytes(SK_ED25519)[..short]));
    }
}

#[test]
fn the_id_of_a_p256_key_is_the_one_that_securesystemslib_computes() {
    let expected = "72b9fa8d3311baeba3d13a50f3327e3dbb412cb910f07ee35ecafc30acc985de";
    assert_eq!(p256().public().id().to_string(), expected);
}

/// Attack: malleable signature.
/// Holds: a genuine ECDSA signature, from which anyone can make the other one of the pair: a second envelope, with
/// another digest, that says the same.
/// Left to him: nothing; the higher s is no signature, and DER is read in its one form.
#[test]
fn an_ecdsa_signature_cannot_be_turned_into_another() {
    assert!(!p256().public().verify(MESSAGE, &bytes(ECDSA_HIGH)));
    assert!(!sk_ecdsa("ssh:sortie").verify(MESSAGE, &bytes(SK_ECDSA_HIGH)));
    // Nor by DER that a lax reader would take: a needless zero before an integer, bytes after the end.
    let mut padded = bytes(ECDSA);
    padded.push(0);
    assert!(!p256().public().verify(MESSAGE, &padded));
    let genuine = bytes(ECDSA);
    let mut long = vec![0x30, genuine[1] + 1];
    long.extend_from_slice(&genuine[2..37]);
    long.extend_from_slice(&[0x02, genuine[38] + 1, 0]);
    long.extend_from_slice(&genuine[39..]);
    assert!(!p256().public().verify(MESSAGE, &long));
}

/// Attack: key on another curve.
/// Holds: keys on curves that nobody here verifies, and points that lie on no curve.
/// Left to him: nothing; the charter that lists one is invalid.
#[test]
fn a_key_on_another_curve_is_no_key() {
    let p384 = "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBFANRdIF\
                /fdWJsDbZnMshXBrtL+zkyabQzueEWU2bxYC9F9J82/Lg9g8zU3+OfWsWBofPdExY1ZHMAF8Sx+xkit8DExUS4n9v/8oWlwbAXOk/ilUv4LiP/TE39bFEdYgRQ==";
    let refused = PublicKey::from_openssh(p384).unwrap_err().to_string();
    assert!(refused.contains("ecdsa-sha2-nistp384 are not supported"), "{refused}");
    let mut off_the_curve = p256().public().point().to_vec();
    off_the_curve.extend([9; 32]);
    off_the_curve[0] = 4;
    assert!(PublicKey::from_ecdsa_p256(&off_the_curve).is_err());
    assert!(PublicKey::from_ecdsa_p256(&[0]).is_err(), "the point at infinity was taken");
}

/// Attack: security key without a touch.
/// Holds: a person's machine with the security key plugged in, and no finger: a device that signs without a touch (a key
/// made with no-touch-required) says so in its signature.
/// Left to him: to wait until its owner touches the device for something else. The line that asks for the touch says
/// what is signed, and on a machine that he holds even that line may lie.
#[test]
fn a_security_key_that_nobody_touched_signs_nothing() {
    for secret in [SecretKey::from_seed(&[21; 32]), p256()] {
        let mut device = Device { secret, application: "ssh:", flags: 0x01 };
        let by = |device: &Device| {
            let envelope = Envelope::sign(b"{}".to_vec(), device).unwrap();
            envelope.signers(|_| Some(device.public())).len()
        };
        assert_eq!(by(&device), 1);
        // Present and verified (a PIN or a fingerprint) is more than is asked for.
        device.flags = 0x05;
        assert_eq!(by(&device), 1);
        // Nobody present; a PIN but no touch; more data than is verified.
        for flags in [0x00, 0x04, 0x41, 0x81] {
            device.flags = flags;
            assert_eq!(by(&device), 0, "flags {flags:#04x} were taken");
        }
    }
}

/// Attack: signature with the wrong scheme tag.
/// Holds: genuine signatures, which he labels otherwise, hoping that a verifier believes the label.
/// Left to him: nothing; the key alone says how its signatures are checked, and the tag must say the same.
#[test]
fn the_tag_of_a_signature_is_exactly_its_key_s() {
    let device = Device { secret: SecretKey::from_seed(&[21; 32]), application: "ssh:", flags: 1 };
    let file = SecretKey::from_seed(&[21; 32]);
    let tags = [
        None,
        Some(""),
        Some("ssh-ed25519"),
        Some("sk-ssh-ed25519@openssh.com"),
        Some("sk-ecdsa-sha2-nistp256@openssh.com"),
        Some("webauthn-sk-ecdsa-sha2-nistp256@openssh.com"),
    ];
    for signer in [&device as &dyn Signer, &file, &p256()] {
        let key = signer.public();
        let genuine = Signature::make(PAYLOAD_TYPE, b"{}", signer).unwrap();
        let counted = tags.iter().filter(|tag| {
            let signature = Signature { scheme: tag.map(Into::into), ..genuine.clone() };
            let envelope =
                Envelope { payload_type: PAYLOAD_TYPE.into(), payload: b"{}".into(), signatures: vec![signature] };
            !envelope.signers(|_| Some(key)).is_empty()
        });
        assert_eq!(counted.collect::<Vec<_>>(), [&genuine.scheme.as_deref()]);
    }
}

/// He holds the file of a key whose public half is listed as a security key's, or the other way round.
/// Attack: signature with the wrong scheme tag.
#[test]
fn a_signature_of_one_kind_is_none_of_another_kind_with_the_same_bits() {
    let file = SecretKey::from_seed(&[21; 32]);
    let device = Device { secret: SecretKey::from_seed(&[21; 32]), application: "ssh:", flags: 1 };
    let message = pre_authentication_encoding(PAYLOAD_TYPE, b"{}");
    assert!(!device.public().verify(&message, &file.sign(&message).unwrap()));
    assert!(!file.public().verify(&message, &device.sign(&message).unwrap()));
    let mut tailed = file.sign(&message).unwrap();
    tailed.extend([1, 0, 0, 0, 7]);
    assert!(!device.public().verify(&message, &tailed));
}

/// Attack: one key in two forms.
/// Holds: one key, and an owner's ear: he has it listed twice, as two kinds of key with two ids, under two names.
/// Left to him: two different keys under two names, if owners believe that these are two people.
#[test]
fn one_key_in_two_forms_cannot_belong_to_two_people() {
    let roles = || [RoleName::new("qa").unwrap()];
    for (one, two) in [
        (SecretKey::from_seed(&[21; 32]).public(), sk_ed25519("ssh:")),
        (sk_ed25519("ssh:"), sk_ed25519("ssh:other")),
        (p256().public(), sk_ecdsa("ssh:")),
    ] {
        assert_ne!(one.id(), two.id());
        let mut directory = Directory::default();
        directory.add(&person("ann"), Some(one), roles()).unwrap();
        assert!(directory.add(&person("ben"), Some(two), roles()).is_err());
        let charter = format!(
            "charter = \"acme\"\n[people]\nann = {{ roles = [\"qa\"], keys = [\"{}\"] }}\nben = {{ keys = [\"{}\"] }}\n",
            one.to_openssh(),
            two.to_openssh()
        );
        let refused = Charter::from_bytes(charter.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains("one key is listed under both ann and ben"), "{refused}");
        // The same person may have both, and remains one person (R52).
        directory.add(&person("ann"), Some(two), roles()).unwrap();
        let judgement = "2 qa".parse::<Rule>().unwrap().judge([one.id(), two.id()], &directory);
        assert_eq!(judgement.people, BTreeSet::from([person("ann")]));
        assert!(!judgement.is_met());
    }
}

/// A key that exists in two forms has two ids, and each is for its own form.
/// Attack: one key under two ids.
#[test]
fn a_key_counts_under_its_own_id_alone() {
    let device = Device { secret: p256(), application: "ssh:", flags: 1 };
    let mut envelope = Envelope::sign(b"{}".to_vec(), &device).unwrap();
    envelope.signatures[0].keyid = p256().public().id();
    assert!(envelope.signers(|_| Some(device.public())).is_empty());
}

#[test]
fn what_is_held_in_hardware_is_said_by_the_owners_or_by_the_key() {
    let file = SecretKey::from_seed(&[21; 32]).public();
    let other = Device { secret: SecretKey::from_seed(&[23; 32]), application: "ssh:", flags: 1 }.public();
    let charter = format!(
        "charter = \"acme\"\n[people]\nann = {{ keys = [\"{}\", {{ key = \"{}\", hardware = true }}] }}\nben = {{ keys = \
         [\"{}\"] }}\n",
        file.to_openssh(),
        p256().public().to_openssh(),
        other.to_openssh()
    );
    let directory = Charter::from_bytes(charter.as_bytes()).unwrap().directory(&[], &BTreeSet::new()).unwrap();
    assert!(!directory.is_in_hardware(&file.id()));
    assert!(directory.is_in_hardware(&p256().public().id()));
    assert!(directory.is_in_hardware(&other.id()));
    let wrong = charter.replace("hardware = true", "hardwear = true");
    assert!(Charter::from_bytes(wrong.as_bytes()).unwrap_err().to_string().contains("hardwear"));
}

/// Attack: stolen key file where hardware is demanded.
/// Holds: the server, and the key files of both approvers; the charter demands keys in hardware for prod.
/// Left to him: nothing in prod, as long as the owners' word on each key is true. Elsewhere, what these keys may do.
#[test]
fn stolen_key_files_where_hardware_is_demanded() {
    let prod = format!("{}, hardware = true", crate::world::PROD);
    let cards = |text: &str, seeds: &[u8]| {
        seeds.iter().fold(text.to_string(), |text, seed| {
            let line = format!("\"{}\"", crate::world::line(*seed));
            text.replacen(&line, &format!("{{ key = {line}, hardware = true }}"), 1)
        })
    };
    // Each has another key, in hardware, that he does not hold; without any, the charter could be met by nobody.
    let plain = crate::world::charter_text(&prod);
    assert!(Charter::from_bytes(plain.as_bytes()).unwrap_err().to_string().contains("hardware"));
    let with_devices =
        [(crate::world::ONCALL, 31), (crate::world::TESTER, 32)].iter().fold(plain.clone(), |text, (seed, device)| {
            let line = format!("\"{}\"", crate::world::line(*seed));
            let device = Device { secret: SecretKey::from_seed(&[*device; 32]), application: "ssh:", flags: 1 };
            text.replacen(&line, &format!("{line}, \"{}\"", device.public().to_openssh()), 1)
        });
    let attempt = |text: &str| crate::world::Attempt {
        policy: crate::world::policy_of(text, &[]),
        ..crate::world::Attempt::new(crate::world::whole())
    };
    assert_eq!(attempt(&with_devices).denied(), "APPROVALS_MISSING");
    // The same signatures count where the owners say that these very keys are held in hardware.
    assert!(attempt(&cards(&plain, &[crate::world::ONCALL, crate::world::TESTER])).run().is_ok());
}
