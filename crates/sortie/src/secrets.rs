//! Secrets leave this machine encrypted (age) to the targets that need them, and to whoever set them, so that they can
//! be encrypted anew for targets that join later. No server ever has what decrypts them.

use crate::{
    context::{home, write_whole},
    failure::{Failure, OrMisused},
};
use age::{
    armor::{ArmoredReader, ArmoredWriter, Format},
    secrecy::ExposeSecret,
    x25519::{Identity, Recipient},
};
use std::{
    collections::BTreeMap,
    fs,
    io::{IsTerminal, Read, Write},
};
use trust::TargetName;

/// The longest secret, in bytes.
const MAX_SECRET_BYTES: u64 = 1 << 20;

/// This person's own age identity, made when there is none yet.
pub fn own_identity() -> Result<Identity, Failure> {
    let path = home()?.join("identity.age");
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|why: &str| Failure::failed(format!("{}: {why}", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let identity = Identity::generate();
            write_whole(&path, identity.to_string().expose_secret().as_bytes())?;
            Ok(identity)
        }
        Err(error) => Err(Failure::failed(format!("cannot read {}: {error}", path.display()))),
    }
}

/// Encrypts to the targets and to `own`.
pub fn encrypt(secret: &str, targets: &BTreeMap<TargetName, String>, own: &Identity) -> Result<String, Failure> {
    let mut recipients = vec![own.to_public()];
    for (target, recipient) in targets {
        let recipient: Recipient = recipient
            .parse()
            .map_err(|why: &str| Failure::integrity(format!("the recipient of {target} is none: {why}")))?;
        recipients.push(recipient);
    }
    let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("the secret could not be encrypted: {error}"));
    let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(|error| failed(&error))?;
    let armour = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).map_err(|error| failed(&error))?;
    let mut writer = encryptor.wrap_output(armour).map_err(|error| failed(&error))?;
    let written = writer.write_all(secret.as_bytes()).and_then(|()| writer.finish()).and_then(ArmoredWriter::finish);
    String::from_utf8(written.map_err(|error| failed(&error))?).or_misused()
}

/// Decrypts what was encrypted to `own`; nothing where somebody else set it.
pub fn decrypt(armoured: &str, own: &Identity) -> Option<String> {
    let decryptor = age::Decryptor::new_buffered(ArmoredReader::new(armoured.as_bytes())).ok()?;
    let reader = decryptor.decrypt(std::iter::once(own as &dyn age::Identity)).ok()?;
    let mut text = String::new();
    reader.take(MAX_SECRET_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Asks for a value: hidden where it is a secret and there is a terminal, else from standard input to its end.
pub fn ask(key: &str, secret: bool) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot read a value for {key}: {error}"));
    if std::io::stdin().is_terminal() {
        if secret {
            return rpassword::prompt_password(format!("{key}: ")).map_err(failed);
        }
        anstream::eprint!("{key}: ");
        let mut line = String::new();
        std::io::stderr().flush().and_then(|()| std::io::stdin().read_line(&mut line)).map_err(failed)?;
        return Ok(line.trim_end_matches(['\n', '\r']).to_string());
    }
    let mut text = String::new();
    std::io::stdin().take(MAX_SECRET_BYTES).read_to_string(&mut text).map_err(failed)?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    match value.is_empty() {
        true => Err(Failure::misused(format!("no value for {key} came by standard input"))),
        false => Ok(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_by_targets_and_by_whoever_set_them_alone() {
        let (own, target, stranger) = (Identity::generate(), Identity::generate(), Identity::generate());
        let targets = BTreeMap::from([(TargetName::new("dev-1").unwrap(), target.to_public().to_string())]);
        let armoured = encrypt("hunter2", &targets, &own).unwrap();
        assert!(armoured.starts_with("-----BEGIN AGE ENCRYPTED FILE-----") && !armoured.contains("hunter2"));
        assert_eq!(decrypt(&armoured, &own).as_deref(), Some("hunter2"));
        assert_eq!(decrypt(&armoured, &target).as_deref(), Some("hunter2"));
        assert_eq!(decrypt(&armoured, &stranger), None);
        let wrong = BTreeMap::from([(TargetName::new("dev-1").unwrap(), "age1nonsense".to_string())]);
        assert_eq!(encrypt("x", &wrong, &own).unwrap_err().problem.exit, 5);
    }
}
