//! `sortie charter annul`: owners give back what a withdrawal took, by writing its digest into the charter.

use super::read;
use crate::{
    context::write_whole,
    failure::{Failure, OrMisused, Outcome},
    invocation::Invocation,
    names::Place,
    output::Answer,
    releasing::Matter,
};
use serde_json::json;
use std::path::PathBuf;
use toml_edit::{Array, DocumentMut, Item, Value};
use trust::{Digest, authority::KeptWithdrawal, charter::Charter as Policy, dsse::Envelope};

/// What is to be annulled.
#[derive(Debug, clap::Args)]
pub struct Annul {
    /// The version whose newest withdrawal is annulled: web@1.4.0
    #[arg(value_name = "VERSION")]
    pub what: String,
    #[command(flatten)]
    pub place: Place,
    /// The file
    #[arg(long, value_name = "FILE", default_value = "charter.toml")]
    pub file: PathBuf,
}

impl Annul {
    /// Does it.
    pub async fn run(self, invocation: &Invocation) -> Outcome {
        let (policy, text) = read(&self.file)?;
        let connection = invocation.connect().await?;
        let matter = Matter::find(&connection, "annul", &self.what, &self.place).await?;
        let what = format!("{} from {}", matter.name(), matter.audience);
        let signed = |envelope: &Envelope| -> Option<(Digest, u64, String)> {
            // Though its signer left, whoever keeps it goes by it.
            let kept = KeptWithdrawal::read(envelope, &matter.audience)?;
            let digest = kept.payload.filter(|digest| !policy.annulled.contains(digest))?;
            let is_of_this = kept.app == matter.found.app && kept.build == matter.found.build;
            let by: Vec<String> =
                connection.policy.signers(envelope).iter().map(|(_, person)| person.to_string()).collect();
            is_of_this.then(|| (digest, kept.through_serial, by.join(", ")))
        };
        let counting: Vec<_> = matter.view.dossier.withdrawals.iter().filter_map(signed).collect();
        let newest = counting.iter().map(|(_, serial, _)| *serial).max().ok_or_else(|| {
            Failure::misused(format!("no withdrawal of {what} counts by {}", self.file.display()))
                .next(format!("sortie charter plan {}", self.file.display()))
        })?;
        let (annulled, others): (Vec<_>, Vec<_>) = counting.into_iter().partition(|(_, serial, _)| *serial == newest);
        let comment = |by: &str| match by {
            "" => format!("withdrew {what}"),
            by => format!("{by} withdrew {what}"),
        };
        let entries: Vec<(Digest, String)> = annulled.iter().map(|(digest, _, by)| (*digest, comment(by))).collect();
        let text = added_to(&text, &entries)?;
        write_whole(&self.file, text.as_bytes())?;
        let still = match others.iter().map(|(_, serial, _)| *serial).max() {
            Some(serial) => {
                format!(" What an earlier one took stays taken, through request {serial}: annul again for that.")
            }
            None => String::new(),
        };
        let words = format!(
            "{} annuls the withdrawal of {what} through request {newest}; nothing has changed yet.{still}",
            self.file.display()
        );
        let digests: Vec<Digest> = entries.into_iter().map(|(digest, _)| digest).collect();
        let data = json!({ "annulled": digests, "through_serial": newest, "charter": self.file });
        Ok(Answer::new(&data, words).next(format!("sortie charter plan {}", self.file.display())))
    }
}

/// A charter's text that annuls these too, each under a line that says what it was.
fn added_to(text: &str, entries: &[(Digest, String)]) -> Result<String, Failure> {
    let mut document: DocumentMut = text.parse().or_misused()?;
    let list = document.entry("annulled").or_insert_with(|| Item::Value(Value::Array(Array::new())));
    let list = list.as_array_mut().ok_or_else(|| Failure::misused("annulled is no list of digests"))?;
    for (digest, comment) in entries {
        let mut value = Value::from(digest.to_string());
        value.decor_mut().set_prefix(format!("\n  # {comment}\n  "));
        list.push_formatted(value);
    }
    list.set_trailing_comma(true);
    list.set_trailing("\n");
    let text = document.to_string();
    Policy::from_bytes(text.as_bytes()).or_misused()?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::key::{SecretKey, Signer};

    #[test]
    fn what_is_annulled_stands_before_the_tables_and_what_was_there_stays() {
        let text = format!(
            "# ours\ncharter = \"acme\"\n\n# who\n[people]\nann = {{ roles = [\"qa\"], keys = [\"{}\"] }}\n",
            SecretKey::from_seed(&[1; 32]).public().to_openssh()
        );
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let once = added_to(&text, &[(one, "ann withdrew web@1.4.0 from prod".into())]).unwrap();
        let twice = added_to(&once, &[(other, "ann withdrew web@1.5.0 from prod".into())]).unwrap();
        assert_eq!(Policy::from_bytes(twice.as_bytes()).unwrap().annulled, [one, other]);
        assert!(twice.contains("  # ann withdrew web@1.5.0 from prod\n  \"sha256:"), "{twice}");
        for line in text.lines() {
            assert!(twice.contains(line), "{line} is gone:\n{twice}");
        }
        assert!(added_to(&once, &[(one, "again".into())]).is_err(), "each stands once");
    }
}
