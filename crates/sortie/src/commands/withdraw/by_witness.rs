//! `sortie withdraw … --witness`: without a word to the server or from it. What is withdrawn is known by the witness's copy
//! of the repository, verified here from the estate's first root on.

use super::Withdraw;
use crate::{
    connection,
    context::{self, Context},
    failure::{Failure, OrIntegrity, Outcome},
    invocation::Invocation,
    mirror::{self, Place},
    names::{self, Thing},
    output::Answer,
    sign,
    signer::Identity,
};
use api::{
    client::Client,
    routes,
    witness::{Taken, WitnessView},
};
use domain::refusal::{Refusal, exit};
use jiff::Timestamp;
use std::collections::BTreeMap;
use trust::{
    AppName, AudienceName, Digest, Version,
    authority::{Documents, TrustedPolicy, VerifiedDocuments},
    charter::CHARTER_TARGET,
    statement::{Act, Statement, Withdrawal},
    tuf::repository::{PermitFile, permits_target},
};

/// Brings a withdrawal to the witness at `address`.
pub(super) async fn run(invocation: &Invocation, asked: &Withdraw, address: &str) -> Outcome {
    let Thing::Version(app, version) = Thing::parse("withdraw", &asked.what)? else {
        return Err(Failure::misused("a version is withdrawn: web@1.4.0"));
    };
    let audience = asked.place.name()?;
    let global = &invocation.global;
    let context = Context::choose(global.server.as_deref(), global.context.as_deref())?;
    let (url, pin) = context::parse_server(address)?;
    let client = Client::new(&url, pin)?;
    let (policy, known) = match look(&client, &context, &app, &audience).await {
        Err(failure) if failure.problem.exit == exit::INTEGRITY => {
            return Err(unnamed(&client).await.unwrap_or(failure));
        }
        looked => looked?,
    };
    if policy.charter.audience(&audience).is_none() {
        return Err(names::unknown_audience(&policy.charter, &audience));
    }
    let named = format!("{app}@{version}");
    let Some((build, through_serial)) = newest(&known, &policy, &app, &version) else {
        if is_withdrawn(&known, &version) {
            return Err(
                Refusal::AlreadyDone { what: format!("{named} is withdrawn from {audience}"), since: None }.into()
            );
        }
        let message = format!("the witness knows of no permit for {named} in {audience} that could be withdrawn");
        return Err(Failure::misused(message).next(format!("sortie withdraw {named} --from {audience} --reason …")));
    };
    let identity = signing_key(connection::identities(global, &context)?, &policy);
    let text = sign::text(&asked.reason)?;
    let reason = Some(text.digest());
    let act = Act::Withdrawal(Withdrawal { app, version, audience: audience.clone(), through_serial, reason });
    let (statement, whom) = sign::statement(global, policy.estate, &named, build, act)?;
    let envelope = sign::sign(&statement, &[identity.signer.as_ref()])?;
    asked.write_out(invocation, &envelope)?;
    let texts: Vec<_> = [text].into_iter().chain(whom).collect();
    let taken: Taken = client.post(routes::WITNESS, &sign::submission(envelope, &[], &texts)).await?;
    let then = match taken.server_answers {
        true => "passes it on to the server",
        false => "will pass it on to the server, which does not answer it now",
    };
    let words = format!(
        "{named} may no longer be deployed to {audience}: the witness keeps that, through request {through_serial}, {then}, \
         and signs for nothing that hides it. Targets that have the witness as a mirror hear of it from there."
    );
    Ok(Answer::new(&taken, words).next(format!("sortie why {named} --in {audience}")))
}

/// Why its copy does not count, where the witness says itself that owners have not named it: nothing is wrong with it then.
async fn unnamed(client: &Client) -> Option<Failure> {
    let view: WitnessView = client.get(routes::WITNESS, &[]).await.ok()?;
    let why = "owners have not named this witness in the root of trust, so targets hear nothing from it. Nothing was \
               brought to it: leave --witness out, or have it named first";
    (!view.named).then(|| Failure::misused(why).next(format!("sortie charter root --witness \"{}\"", view.key)))
}

/// What the witness's copy says of an application in an audience, and the charter to judge it by. How old the copy is does
/// not matter here: nothing is permitted by it.
async fn look(
    client: &Client,
    context: &Context,
    app: &AppName,
    audience: &AudienceName,
) -> Result<(TrustedPolicy, Option<PermitFile>), Failure> {
    let place = Place { client, folder: "" };
    let (Some(estate), Some(known)) = (context.settings.estate, context.documents()) else {
        return Err(Failure::misused("this machine has verified no charter of this estate yet").next("sortie status"));
    };
    let (first, mut files) = (known.roots.first().cloned().unwrap_or_default(), BTreeMap::new());
    let mut repository = mirror::refreshed(&place, &estate, &first, Timestamp::MIN, &mut files).await?;
    let charter = mirror::target(&place, &mut repository, CHARTER_TARGET, &mut files).await?.unwrap_or_default();
    let roots: Vec<Vec<u8>> =
        (1..).map_while(|version| files.get(&format!("metadata/{version}.root.json")).cloned()).collect();
    let targets = repository.targets().map(|(_, bytes)| bytes.to_vec()).unwrap_or_default();
    let shown = Documents { roots: &roots, targets: &targets, charter: &charter };
    let shown = VerifiedDocuments::verify(&estate, &shown, 0).or_integrity("the witness's copy of the charter")?;
    let before = connection::verify(&estate, &known, None)?;
    // The newer of the two: a copy may lag behind what this machine has seen.
    let newer = if shown.targets.version() >= before.targets.version() { shown } else { before };
    let policy = newer.policy(&known.suspensions).or_integrity("the charter")?;
    let name = permits_target(audience, app);
    let file = mirror::target(&place, &mut repository, &name, &mut files).await?;
    let file = file.map(|bytes| PermitFile::from_bytes(&bytes)).transpose().or_integrity(&name)?;
    Ok((policy, file))
}

/// The build of this version, as somebody who may number it signed, and the newest of its requests.
fn newest(
    file: &Option<PermitFile>,
    policy: &TrustedPolicy,
    app: &AppName,
    version: &Version,
) -> Option<(Digest, u64)> {
    let permits = file.iter().flat_map(|file| &file.permits);
    let found = permits.filter_map(|permit| {
        let number = Statement::read(&permit.number).ok()?;
        let request = Statement::read(&permit.request).ok()?;
        let is_numbered = matches!(&number.act, Act::Number(number) if number.app == *app && number.version == *version)
            && policy.signed_by(&permit.number, policy.charter.push_rule(app));
        let Act::Request(asked) = request.act else { return None };
        (is_numbered && request.subject == number.subject).then_some((number.subject, asked.serial))
    });
    found.max_by_key(|(_, serial)| *serial)
}

/// Whether the newest of its permits was withdrawn.
fn is_withdrawn(file: &Option<PermitFile>, version: &Version) -> bool {
    let acts = file.iter().flat_map(|file| &file.withdrawals).filter_map(|envelope| Statement::read(envelope).ok());
    acts.map(|statement| statement.act).any(|act| matches!(act, Act::Withdrawal(act) if act.version == *version))
}

/// The first key that the charter lists, or else the first there is: the witness says what it lacks.
fn signing_key(mut identities: Vec<Identity>, policy: &TrustedPolicy) -> Identity {
    identities.sort_by_key(|identity| policy.directory.person(&identity.signer.public().id()).is_none());
    identities.swap_remove(0)
}
