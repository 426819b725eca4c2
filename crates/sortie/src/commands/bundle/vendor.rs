//! What vendors send, brought into one's own estate: their releases, and what they take back.

use crate::{
    build::{self, Source},
    bundle::{self, Progress},
    connection::Connection,
    failure::{Failure, OrIntegrity, Outcome},
    invocation::Invocation,
    output::Answer,
    vendor,
};
use agent::bundle::Unpacked;
use anyhow::Context as _;
use api::{read::BuildName, write::Accepted};
use depot::bundle::{Index, Volumes};
use domain::{event::Event, refusal::exit};
use jiff::Timestamp;
use serde_json::json;
use std::{collections::BTreeMap, fs::File, io::Read, path::Path};
use trust::{
    Digest,
    authority::Dossier,
    dsse::Envelope,
    statement::{self, Act, MAX_STATEMENT_BYTES, Statement},
};

/// Brings a vendor's release into the ledger and the depot. Nothing is installed by that.
pub(super) async fn take_in(
    invocation: &Invocation,
    connection: &Connection,
    volumes: Volumes,
    index: &Index,
) -> Outcome {
    let charter = &connection.policy.charter;
    let Some((name, vendor)) = vendor::of(connection, &index.app) else {
        let message = format!(
            "the bundle is {} of another estate, and the charter of {} names no vendor of {}: [applications.{}] vendor = \
             \"…\" with [vendors.…] estate = \"{}\"",
            index.name(),
            charter.charter,
            index.app,
            index.app,
            index.estate
        );
        return Err(Failure::new("VENDOR_UNKNOWN", exit::REFUSED, message).next("sortie charter show"));
    };
    let folder = tempfile::tempdir().context("no temporary folder").map_err(Failure::from)?;
    let into = folder.path().join("bundle");
    let mut progress = Progress::new(invocation, "unpacked", index.total_bytes());
    let bundle = volumes.bundle();
    let unpacked = into.clone();
    let unpack = move || volumes.unpack(&unpacked, &mut |bytes| progress.heard(bytes));
    super::blocking(unpack).await?.map_err(bundle::failure)?;
    let unpacked = Unpacked { folder: into, bundle, index: index.clone() };
    let release = vendor::release_in(&unpacked)?;
    let document = release.to_bytes().or_integrity("the release")?;
    let digest = Digest::of(&document);
    let dossier = Dossier { vendor: Some(release), ..Dossier::default() };
    // What does not hold may still bring word of a withdrawal; whether it does, the server knows.
    let judged = vendor::judge(connection, &index.app, index.build, &dossier, Some(Timestamp::now()));
    if let Err(failure) = &judged
        && failure.problem.exit == exit::INTEGRITY
    {
        return Err(failure.clone());
    }
    let mut objects = if judged.is_ok() { vendor::objects_in(&unpacked) } else { BTreeMap::new() };
    objects.insert(digest, Source::Bytes(document));
    build::send_objects(connection, &objects, &|_| {}).await?;
    let (app, version) = (index.app.clone(), index.version.clone());
    let act = Act::Import(statement::Import { app, version, document: digest });
    let what = format!("{}@{}", index.app, index.version);
    let accepted = connection.submit(&what, index.build, act).await?;
    let mut lines = taken_back(&accepted);
    match judged {
        Ok(Some(released)) => lines.push(format!(
            "{what} is here, {}.\nNothing is installed: your own people affirm it first.",
            vendor::in_words(name, vendor, &released)
        )),
        Ok(None) => {}
        Err(failure) => lines.push(format!("{what} itself is not taken: {}", failure.problem.message)),
    }
    let data = json!({ "accepted": accepted, "vendor": name, "document": digest, "build": index.build });
    Ok(Answer::new(&data, lines.join("\n")).next(format!("sortie request {what} --to …")))
}

/// The withdrawal in a file that `sortie withdraw … --out FILE` wrote; nothing where it is something else.
pub(super) fn withdrawal_in(file: &Path) -> Option<Envelope> {
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(2 * MAX_STATEMENT_BYTES as u64).read_to_end(&mut bytes).ok()?;
    let envelope: Envelope = trust::json::from_strict(&bytes).ok()?;
    matches!(Statement::read(&envelope).ok()?.act, Act::Withdrawal(_)).then_some(envelope)
}

/// Brings what a vendor took back into the ledger: about a build that is here.
pub(super) async fn take_withdrawal(connection: &Connection, withdrawal: &Envelope) -> Outcome {
    let read = Statement::read(withdrawal).or_integrity("the withdrawal")?;
    let Act::Withdrawal(act) = read.act else { return Err(Failure::misused("the file holds no withdrawal")) };
    let Some((_, vendor)) = vendor::of(connection, &act.app) else {
        let message = format!("the charter names no vendor of {}: it is withdrawn by `sortie withdraw`", act.app);
        return Err(Failure::new("VENDOR_UNKNOWN", exit::REFUSED, message).next("sortie charter show"));
    };
    let name = BuildName { build: read.subject, version: None };
    let known = connection.dossier(&act.app, &name, None).await?.dossier.vendor;
    let mut release = known.ok_or_else(|| Failure::misused(format!("no release of {} is here", act.app)))?;
    release.dossier.withdrawals.push(withdrawal.clone());
    let word = release.open(vendor, &Default::default()).map_err(|denial| vendor::failure(&denial))?;
    let genuine = word.heard().withdrawals;
    if !genuine.iter().any(|kept| kept.payload == Some(Digest::of(&withdrawal.payload))) {
        return Err(Failure::integrity(format!("nobody who may withdraw {} from us at the vendor signed it", act.app)));
    }
    let document = release.to_bytes().or_integrity("the release")?;
    let digest = Digest::of(&document);
    let what = format!("{}@{}", act.app, act.version);
    let (app, version) = (act.app.clone(), act.version.clone());
    let import = Act::Import(statement::Import { app, version, document: digest });
    let objects = BTreeMap::from([(digest, Source::Bytes(document))]);
    build::send_objects(connection, &objects, &|_| {}).await?;
    let accepted = match connection.submit(&what, read.subject, import).await {
        Ok(accepted) => accepted,
        // It brings no news: the withdrawal is why the release does not hold.
        Err(failure) if failure.code() == "VENDOR_WITHDREW" => {
            let words = format!("{} That is known here; nothing was written.", failure.problem.message);
            return Ok(Answer::new(&json!({ "known": true }), words));
        }
        Err(failure) => return Err(failure),
    };
    let words = taken_back(&accepted).join("\n");
    Ok(Answer::new(&accepted, words).next(format!("sortie status {}", act.app)))
}

/// What the vendor has withdrawn by this, a line each.
fn taken_back(accepted: &Accepted) -> Vec<String> {
    let line = |event: &Event| match event {
        Event::VendorWithdrew { app, build, word, .. } => {
            let still = "What runs of it goes on running, and nothing of it starts any more.";
            Some(format!("{} has withdrawn {app}#{} from us. {still}", word.vendor, build.short()))
        }
        _ => None,
    };
    accepted.events.iter().filter_map(line).collect()
}
