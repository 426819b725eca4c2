//! Who a target is, by the signatures behind it: what a person's machine checks before it encrypts a secret for one.

use super::{Denial, TrustedPolicy};
use crate::{
    charter::OWNER,
    dsse::Envelope,
    quorum::Rule,
    statement::{Act, Administration, AdministrationAct, Enrolment, Statement},
};

impl TrustedPolicy {
    /// The enrolment, if somebody who may invite to its environment signed the invitation it came by, and both the
    /// invitation's key and the target's own signed it. Whoever holds the server has neither of them, and so cannot put
    /// a machine of his own among the targets.
    ///
    /// How often an invitation was used, and whether it had expired, only the ledger can tell.
    pub fn enrolment(&self, invitation: &Envelope, enrolment: &Envelope) -> Result<Enrolment, Denial> {
        let opened = self.open(invitation, "invitation", |act| match act {
            Act::Administration(Administration { act: invited @ AdministrationAct::InviteTarget { .. } }) => {
                Some(invited)
            }
            _ => None,
        })?;
        let AdministrationAct::InviteTarget { invitation: key, environment, name, .. } = &opened.act else {
            return Err(Denial::Missing("invitation"));
        };
        let record = self.charter.environments.get(environment).ok_or(Denial::Missing("environment"))?;
        let owner: Option<Rule> = OWNER.parse().ok();
        let rule = record.invite.as_ref().or(owner.as_ref()).ok_or(Denial::Missing("rule"))?;
        self.require("invitation", rule, &opened)?;

        let invalid = |why: String| Denial::Invalid { what: "enrolment", why };
        let statement = Statement::read(enrolment).map_err(|error| invalid(error.to_string()))?;
        if statement.header.estate != self.estate {
            return Err(invalid("it is of another estate".into()));
        }
        let Act::Enrolment(joined) = statement.act else {
            return Err(invalid("it is another kind of statement".into()));
        };
        if joined.invitation != *key || joined.environment != *environment {
            return Err(invalid("it came by another invitation".into()));
        }
        if name.as_ref().is_some_and(|name| *name != joined.target) {
            return Err(invalid(format!("the invitation is not for {}", joined.target)));
        }
        let keys = [joined.invitation, joined.key];
        let signers = enrolment.signers(|id| keys.iter().find(|key| key.id() == *id).copied());
        match joined.invitation != joined.key && signers.len() == 2 {
            true => Ok(joined),
            false => Err(invalid("the invitation's key and the target's own must both sign it".into())),
        }
    }
}
