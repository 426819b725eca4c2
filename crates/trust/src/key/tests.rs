//! Keys of every kind: their forms round trip, and each verifies its own signatures and no others.

use super::*;

fn p256_key() -> SecretKey {
    SecretKey::from_ecdsa_p256(&[7; 32]).unwrap()
}

fn application() -> Application {
    Application::new("ssh:").unwrap()
}

/// The four kinds, as public keys.
fn every_kind() -> [PublicKey; 4] {
    let ed25519 = SecretKey::from_seed(&[7; 32]).public();
    let ecdsa = p256_key().public();
    let sk_ed25519 = PublicKey::from_sk_ed25519(*ed25519.ed25519().unwrap(), application()).unwrap();
    [ed25519, ecdsa, sk_ed25519, PublicKey::from_sk_ecdsa_p256(ecdsa.point(), application()).unwrap()]
}

#[test]
fn openssh_forms_round_trip_and_signatures_verify() {
    for secret in [SecretKey::from_seed(&[7; 32]), p256_key()] {
        let again = SecretKey::from_openssh(&secret.to_openssh("me").unwrap(), None).unwrap();
        assert_eq!(again.public(), secret.public());
        let signature = secret.sign(b"message").unwrap();
        assert!(secret.public().verify(b"message", &signature));
        assert!(!secret.public().verify(b"massage", &signature));
    }
}

#[test]
fn every_kind_of_key_round_trips_and_has_an_id_of_its_own() {
    let keys = every_kind();
    for key in keys {
        assert_eq!(PublicKey::from_openssh(&key.to_openssh()).unwrap(), key);
        assert!(key.to_openssh().starts_with(key.openssh_type()));
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
    }
    let ids: std::collections::BTreeSet<_> = keys.iter().map(PublicKey::id).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn the_id_of_a_key_is_the_digest_of_its_canonical_tuf_form() {
    for key in every_kind() {
        let canonical = crate::json::canonical(&key).unwrap();
        assert_eq!(key.id().to_string(), Digest::of(&canonical).hex());
    }
}

#[test]
fn a_key_has_one_spelling() {
    let pem = serde_json::to_value(p256_key().public()).unwrap();
    let text = pem["keyval"]["public"].as_str().unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let header = ["-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"];
    for other in [
        text.trim_end().to_owned(),
        text.replace('\n', "\r\n"),
        format!("{}\n{body}\n{}\n", header[0], header[1]),
        format!("{text}\n"),
    ] {
        let mut object = pem.clone();
        object["keyval"]["public"] = other.clone().into();
        assert!(serde_json::from_value::<PublicKey>(object).is_err(), "{other:?} was taken");
    }
    let [.., sk, _] = every_kind();
    let mut object = serde_json::to_value(sk).unwrap();
    object["keyval"]["public"] = format!("{} me", sk.to_openssh()).into();
    assert!(serde_json::from_value::<PublicKey>(object).is_err());
    // The label says one kind, the key is of another.
    let mut object = serde_json::to_value(sk).unwrap();
    object["keyval"]["public"] = p256_key().public().to_openssh().into();
    assert!(serde_json::from_value::<PublicKey>(object).is_err());
}

#[test]
fn other_kinds_of_key_are_named() {
    let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ== me";
    assert_eq!(PublicKey::from_openssh(rsa), Err(KeyError::Unsupported("ssh-rsa".into())));
    assert_eq!(PublicKey::from_openssh("nonsense"), Err(KeyError::NotOpenSsh));
    assert_eq!(PublicKey::from_ed25519([0; 32]), Err(KeyError::Invalid));
    assert_eq!(PublicKey::from_ecdsa_p256(&[0xff; 33]), Err(KeyError::Invalid));
    for bad in ["", "ssh", "https://example.com", "ssh:a b", "ssh:\n", &format!("ssh:{}", "a".repeat(29))] {
        assert_eq!(Application::new(bad), Err(KeyError::Application), "{bad:?}");
    }
}
