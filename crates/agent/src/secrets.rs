//! From a config document to the values a build's processes get.

use age::armor::ArmoredReader;
use std::{collections::BTreeMap, io::Read};
use trust::{
    config::{ConfigDocument, ConfigValue},
    manifest::{Run, config_may_fill},
};

/// The longest secret, decrypted, in bytes.
const MAX_SECRET_BYTES: u64 = 1 << 20;

/// A secret this target cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} cannot be decrypted here: {why}; encrypt it for this target by `sortie config rewrap`")]
pub struct SecretError {
    key: String,
    why: String,
}

/// The values of the keys the build declares. Keys it does not declare never reach a process, and their secrets are
/// not even decrypted.
pub fn values(
    run: &Run,
    document: Option<&ConfigDocument>,
    identity: &age::x25519::Identity,
) -> Result<BTreeMap<String, String>, SecretError> {
    let mut values = BTreeMap::new();
    for (key, value) in document.iter().flat_map(|document| &document.values) {
        if !run.config.contains_key(key) || !config_may_fill(key) {
            continue;
        }
        let value = match value {
            ConfigValue::Plain(text) => text.clone(),
            ConfigValue::Secret(armoured) => {
                decrypt(armoured, identity).map_err(|why| SecretError { key: key.clone(), why })?
            }
        };
        values.insert(key.clone(), value);
    }
    Ok(values)
}

fn decrypt(armoured: &str, identity: &age::x25519::Identity) -> Result<String, String> {
    let decryptor = age::Decryptor::new_buffered(ArmoredReader::new(armoured.as_bytes())).map_err(|e| e.to_string())?;
    let identities = std::iter::once(identity as &dyn age::Identity);
    let reader = decryptor.decrypt(identities).map_err(|error| error.to_string())?;
    let mut text = String::new();
    reader.take(MAX_SECRET_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use trust::{AppName, AudienceName, manifest::ConfigKey};

    fn encrypted(text: &str, recipient: &age::x25519::Recipient) -> String {
        let recipients = std::iter::once(recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients).unwrap();
        let armour = age::armor::ArmoredWriter::wrap_output(Vec::new(), age::armor::Format::AsciiArmor).unwrap();
        let mut writer = encryptor.wrap_output(armour).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        String::from_utf8(writer.finish().unwrap().finish().unwrap()).unwrap()
    }

    #[test]
    fn declared_keys_alone_are_given_and_secrets_only_to_their_recipient() {
        let (mine, other) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        let mut run = Run::default();
        run.config.insert("URL".into(), ConfigKey { secret: true, default: None });
        run.config.insert("LEVEL".into(), ConfigKey { secret: false, default: None });
        let set = [
            ("URL".to_owned(), ConfigValue::Secret(encrypted("postgres://x", &mine.to_public()))),
            ("LEVEL".to_owned(), ConfigValue::Plain("debug".into())),
            ("OTHER".to_owned(), ConfigValue::Secret("not even read".into())),
        ];
        let document = ConfigDocument {
            app: AppName::new("web").unwrap(),
            environment: AudienceName::new("prod").unwrap(),
            values: set.into(),
            salt: "00".into(),
        };
        let got = values(&run, Some(&document), &mine).unwrap();
        assert_eq!(
            got.into_iter().collect::<Vec<_>>(),
            [("LEVEL".to_owned(), "debug".to_owned()), ("URL".to_owned(), "postgres://x".to_owned())]
        );
        assert!(values(&run, Some(&document), &other).unwrap_err().to_string().starts_with("URL cannot"));
    }
}
