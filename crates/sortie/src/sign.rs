//! Statements are built here, by whoever signs them, from what this machine has checked: no bytes that a server sent
//! are ever signed.

use crate::{
    connection::Connection,
    failure::{Failure, OrMisused},
    invocation::Global,
    releasing,
};
use anyhow::Context as _;
use api::{
    client::{SUBMIT_WITHIN, fresh_request_id, in_future},
    write::{Accepted, Attachment, Submission, Text},
};
use std::collections::BTreeMap;
use trust::{
    Digest,
    dsse::Envelope,
    key::Signer,
    oidc,
    statement::{Act, Administration, AdministrationAct, Header, RequestId, Statement},
};

/// A statement of this estate, about one subject, to be submitted within five minutes; and the text that says for whom it
/// is, where that is somebody else: the statement names only its digest, so that it can be erased.
pub fn statement(
    global: &Global,
    estate: Digest,
    subject_name: &str,
    subject: Digest,
    act: Act,
) -> Result<(Statement, Option<Text>), Failure> {
    let whom = global.on_behalf_of.as_deref().map(text).transpose()?;
    let request_id = match &global.request_id {
        Some(id) => RequestId::new(id.as_str()).map_err(|error| Failure::misused(error.to_string()))?,
        None => fresh_request_id()?,
    };
    let statement = Statement {
        subject_name: subject_name.into(),
        subject,
        header: Header {
            estate,
            request_id,
            submit_before: in_future(SUBMIT_WITHIN),
            on_behalf_of: whom.as_ref().map(|text| trust::text::reference(&text.digest())),
        },
        act,
    };
    Ok((statement, whom))
}

/// Signs a statement.
pub fn sign(statement: &Statement, signers: &[&dyn Signer]) -> Result<Envelope, Failure> {
    statement.sign(signers).context("the statement could not be signed").map_err(Failure::from)
}

/// What somebody says in their own words, with fresh salt: a reason, a finding, a name. Blank says nothing, and would
/// stand in the ledger as if something had been said.
pub fn text(words: &str) -> Result<Text, Failure> {
    if words.trim().is_empty() {
        return Err(Failure::misused("a blank text says nothing: write why, in a few words that others will read"));
    }
    if trust::names::printable(words) != words {
        let why = "a text is shown in one line, and this one holds a line break, another control character or a direction mark: write it as one plain line";
        return Err(Failure::misused(why));
    }
    Ok(Text { salt: fresh_salt()?, text: words.into() })
}

/// The first line of a commit, with fresh salt; git allows it to be empty.
pub fn title(words: &str) -> Result<Text, Failure> {
    Ok(Text { salt: fresh_salt()?, text: words.into() })
}

/// 32 random hexadecimal digits.
pub fn fresh_salt() -> Result<String, Failure> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::failed(format!("no randomness: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Connection {
    /// Builds, signs and submits a statement.
    pub async fn submit(&self, subject_name: &str, subject: Digest, act: Act) -> Result<Accepted, Failure> {
        self.submit_with(subject_name, subject, act, &[], &[]).await
    }

    /// As [`Self::submit`], with the documents and texts that the statement names by digest.
    pub async fn submit_with(
        &self,
        subject_name: &str,
        subject: Digest,
        act: Act,
        attachments: &[Vec<u8>],
        texts: &[Text],
    ) -> Result<Accepted, Failure> {
        let (envelope, whom) = self.sign_act(subject_name, subject, act)?;
        let texts: Vec<Text> = texts.iter().cloned().chain(whom).collect();
        let accepted = self.client.submit(&submission(envelope, attachments, &texts)).await;
        accepted.map_err(|error| {
            let failure = Failure::from(error).about(subject_name);
            failure.rephrase_next(|next| releasing::as_signer_types(self, next))
        })
    }

    /// Builds and signs a statement; gives the text too that says for whom, where that is somebody else.
    pub fn sign_act(&self, subject_name: &str, subject: Digest, act: Act) -> Result<(Envelope, Option<Text>), Failure> {
        let (mut statement, whom) = statement(&self.global, self.estate(), subject_name, subject, act)?;
        let signer = self.identity.signer.as_ref();
        if let Some(proof) = signer.proof().map_err(|error| Failure::failed(error.to_string()))? {
            // What a token speaks for is submitted while it holds.
            let until = oidc::holds_until(&proof.token).or_misused()?;
            statement.header.submit_before = statement.header.submit_before.min(until);
        }
        Ok((sign(&statement, &[signer])?, whom))
    }

    /// Makes what is submitted next another request: one command may do two acts, and an id is for one.
    pub fn next_act(&mut self) {
        if let Some(id) = &mut self.global.request_id {
            id.push_str(".2");
        }
    }

    /// Submits an act on the estate itself.
    pub async fn administer(&self, act: AdministrationAct) -> Result<Accepted, Failure> {
        self.submit("estate", self.estate(), Act::Administration(Administration { act })).await
    }

    /// Submits an act on the estate itself with its reason, which the act names by its digest.
    pub async fn administer_because(
        &self,
        reason: &str,
        act: impl FnOnce(Digest) -> AdministrationAct,
    ) -> Result<Accepted, Failure> {
        let text = text(reason)?;
        let act = Act::Administration(Administration { act: act(text.digest()) });
        self.submit_with("estate", self.estate(), act, &[], &[text]).await
    }

    /// As [`Self::administer_because`], where a reason need not be given.
    pub async fn administer_perhaps_because(
        &self,
        reason: Option<&str>,
        act: impl FnOnce(Option<Digest>) -> AdministrationAct,
    ) -> Result<Accepted, Failure> {
        match reason {
            Some(reason) => self.administer_because(reason, |digest| act(Some(digest))).await,
            None => self.administer(act(None)).await,
        }
    }
}

/// A signed statement with its documents and texts, each under its own digest.
pub fn submission(envelope: Envelope, attachments: &[Vec<u8>], texts: &[Text]) -> Submission {
    let attachments: BTreeMap<_, _> =
        attachments.iter().map(|bytes| (Digest::of(bytes), Attachment(bytes.clone()))).collect();
    let texts = texts.iter().map(|text| (text.digest(), text.clone())).collect();
    Submission { envelope, attachments, texts, claim: None }
}
