//! Free texts in what is signed: a statement names a text by its salted digest, and the text itself stands in the
//! server's erasable side table. So a text can be erased for good, and every signature and every proof stays whole.

use crate::{
    digest::Digest,
    freeze::Freeze,
    statement::{Act, Administration, AdministrationAct, Statement},
};

const PREFIX: &str = "text:";

/// What stands in a statement in a text's place: `text:` and the digest.
pub fn reference(digest: &Digest) -> String {
    format!("{PREFIX}{}", digest.hex())
}

/// The digest that such words refer to; nothing where the words are the text itself, as in older statements.
pub fn referred(words: &str) -> Option<Digest> {
    Digest::from_hex(words.strip_prefix(PREFIX)?).ok()
}

impl Statement {
    /// Every text that the statement names by its digest.
    pub fn texts(&self) -> Vec<Digest> {
        let on_behalf_of = self.header.on_behalf_of.as_deref().and_then(referred);
        let named = match &self.act {
            Act::Withdrawal(withdrawal) => withdrawal.reason,
            Act::Request(request) => request.reason,
            Act::Order(order) => order.reason,
            Act::Review(review) => review.finding,
            Act::Freeze(Freeze::Declare(terms)) => Some(terms.reason),
            Act::Freeze(Freeze::Except(exception)) => Some(exception.reason),
            Act::Freeze(Freeze::Lift(lift)) => lift.reason,
            Act::Push(push) => push.commit.as_ref().and_then(|commit| referred(&commit.title)),
            Act::Administration(Administration { act }) => act.text(),
            _ => None,
        };
        on_behalf_of.into_iter().chain(named).collect()
    }
}

impl AdministrationAct {
    /// The text that the act names by its digest.
    fn text(&self) -> Option<Digest> {
        match self {
            AdministrationAct::NamePerson { name, .. } => *name,
            AdministrationAct::PauseDeployment { reason, .. } | AdministrationAct::ExcludeTarget { reason, .. } => {
                Some(*reason)
            }
            AdministrationAct::CordonTarget { reason, .. }
            | AdministrationAct::ResumeDeployment { reason, .. }
            | AdministrationAct::AbortDeployment { reason, .. }
            | AdministrationAct::LiftHold { reason, .. } => *reason,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_told_from_a_text() {
        let digest = Digest::of(b"salt\nAnn");
        assert_eq!(referred(&reference(&digest)), Some(digest));
        for text in ["Ann", "text:", "text:Ann", &digest.hex(), &format!("text:{}", digest.hex().to_uppercase())] {
            assert_eq!(referred(text), None, "{text}");
        }
    }
}
