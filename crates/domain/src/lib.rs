//! What may be asked, what happened, what is refused, what comes next. Pure: no clock, no randomness, no I/O.
//!
//! The flow in ten lines:
//! 1. somebody asks: a [`command::Command`] by a [`command::Actor`];
//! 2. [`decide::decide`] looks at the [`state::State`] and at the [`rules`], one rule a file,
//! 3. and answers with a [`refusal::Refusal`], which is not recorded,
//! 4. or with [`event::Event`]s, which become an [`entry::Entry`] of the ledger;
//! 5. [`state::apply`] folds them into the state, and cannot fail;
//! 6. [`plan`] derives from the state what each target should do, and what each deployment
//! 7. is [`waiting`] on, and when to look again;
//! 8. targets report, which is a command again: the circle closes.
//! 9. Default numbers stand in [`policy`], and nowhere else.

pub mod command;
pub mod decide;
pub mod entry;
pub mod event;
pub mod outlook;
pub mod plan;
pub mod planned;
pub mod policy;
pub mod refusal;
pub mod rules;
pub mod sizes;
pub mod state;
pub mod waiting;
