//! Whoever has taken the server: he holds its keys, its disk and everything that ever reached it, and tells targets what
//! he likes. He forges assignments, repeats orders, mixes statements, leaves withdrawals and freezes out, shows old charters,
//! gives other bytes, and answers with what was true once. He has nobody's key but the server's own, and an estate of his
//! own whose people he is himself.
//!
//! - `repository`: how he shows what is published. `members`: what he makes of packages.

mod members;
mod repository;

pub use repository::Archive;

use crate::{
    cast::{Cast, ORIGIN, VERSIONS, app, app_of, ledger_key, prod, version},
    process::Answer,
    random::Random,
    script::Tricks,
};
use api::{agent::Orders, read::Estate};
use domain::plan::Assignment;
use repository::Forger;
use std::collections::{BTreeMap, BTreeSet};
use trust::{
    AppName, Digest,
    authority::Dossier,
    dsse::Envelope,
    freeze::Freeze,
    note::{Checkpoint, sign_checkpoint},
    statement::{Act, OrderAct, Statement},
};

/// A statement that he has.
struct Loot {
    subject: Digest,
    act: Act,
    envelope: Envelope,
    source: Source,
}

/// Where a statement that he has is from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It reached the server.
    Here,
    /// The same people signed it for another estate.
    Elsewhere,
    /// They signed it for another environment.
    Beside,
    /// His own people signed it.
    HisOwn,
}

/// An assignment of his making.
struct Forged {
    app: AppName,
    build: Digest,
    deployment: u64,
    /// The package by which he has it come, where he has chosen one.
    package: Option<Digest>,
    /// The order that he has chosen for it, where he has.
    order: Option<(Envelope, Source)>,
}

/// How often he lets somebody know of a new charter before he withholds it.
const TOLD_OF_CHARTERS: u32 = 4;

/// The thief.
pub struct Thief {
    random: Random,
    /// What else he tries, and chance for that.
    tricks: Tricks,
    sly: Random,
    /// How often he has let anybody know of a charter that he would rather have withheld.
    told: u32,
    loot: Vec<Loot>,
    once: Vec<Orders>,
    dossiers: Vec<Dossier>,
    /// What he has assigned, by generation.
    forged: BTreeMap<u64, Forged>,
    /// How he shows the repository.
    pub forger: Forger,
    /// What he has left out of something, and what kind of thing it is.
    withheld: BTreeMap<Digest, &'static str>,
    /// What kinds of things he has done that nobody else would notice.
    seen: BTreeSet<&'static str>,
}

impl Thief {
    /// One who has seen nothing yet, in the world of a seed.
    pub fn new(seed: u64, tricks: Tricks) -> Self {
        let (random, sly) = (Random::new(seed, "thief"), Random::new(seed, "tricks of the thief"));
        let (loot, once, dossiers, forged) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        let (withheld, forger) = (BTreeMap::new(), Forger::new(seed, tricks.showing));
        Self { random, tricks, sly, told: 0, loot, once, dossiers, forged, forger, withheld, seen: BTreeSet::new() }
    }

    /// Keeps what reached the server.
    pub fn sees(&mut self, envelope: &Envelope) {
        self.keeps(envelope, Source::Here);
    }

    /// Keeps what he has from somewhere.
    pub fn keeps(&mut self, envelope: &Envelope, source: Source) {
        if let Ok(Statement { subject, act, .. }) = Statement::read(envelope) {
            self.loot.push(Loot { subject, act, envelope: envelope.clone(), source });
        }
    }

    /// Whether he answers a poll at once, though there is no news.
    pub fn is_eager(&mut self) -> bool {
        self.random.chance(250)
    }

    /// Whether he takes a report and passes it on to nobody.
    pub fn swallows(&mut self) -> bool {
        self.random.chance(300)
    }

    /// Whether an assignment of this generation, for this deployment, is of his making.
    pub fn has_forged(&self, generation: u64, deployment: u64) -> bool {
        self.forged.get(&generation).is_some_and(|forged| forged.deployment == deployment)
    }

    /// What kinds of things he has done that nobody else would notice.
    pub fn seen(&self) -> &BTreeSet<&'static str> {
        &self.seen
    }

    /// What he has left out of something, and what kind of thing it is.
    pub fn withheld(&self) -> &BTreeMap<Digest, &'static str> {
        &self.withheld
    }

    fn withholds(&mut self, withdrawals: &mut Vec<Envelope>) {
        let payloads = withdrawals.drain(..).map(|envelope| Digest::of(&envelope.payload));
        self.withheld.extend(payloads.map(|payload| (payload, "a withdrawal withheld")));
    }

    /// What is said of freezes: less than there is, or what was said once, or his own word that they are lifted.
    fn freezes(&mut self, cast: &Cast, freezes: &mut Vec<Envelope>) {
        if !self.tricks.freezes {
            return;
        }
        if self.sly.chance(800) {
            let declared = freezes.drain(..).filter(declares).map(|envelope| Digest::of(&envelope.payload));
            self.withheld.extend(declared.map(|payload| (payload, "a freeze withheld")));
        }
        for Loot { act, envelope, .. } in &self.loot {
            if matches!(act, Act::Freeze(_)) && self.sly.chance(200) {
                freezes.push(envelope.clone());
            }
            if declares(envelope) && self.sly.chance(100) {
                freezes.extend(cast.lift_by_the_server(Digest::of(&envelope.payload)));
            }
        }
    }

    /// Bytes in the place of others: less of them, more, or those of something else.
    fn other_bytes(&mut self, cast: &Cast, mut bytes: Vec<u8>) -> Vec<u8> {
        match self.sly.below(3) {
            0 => bytes.truncate(self.sly.below(bytes.len() as u64) as usize),
            1 => bytes.push(b' '),
            _ => bytes.clone_from(self.sly.pick(&cast.objects)),
        }
        bytes
    }

    /// The documents of trust: mostly those from before, or such as are put together.
    fn estate(&mut self, cast: &Cast, honest: Estate) -> Estate {
        if let Some(thiefs) = cast.thiefs.as_ref().filter(|_| self.sly.chance(300)) {
            return thiefs.clone();
        }
        if let Some(usurping) = cast.usurping.as_ref().filter(|_| self.sly.chance(300)) {
            return usurping.clone();
        }
        if !self.tricks.charters {
            return honest;
        }
        let old = cast.documents.clone();
        // At first he lets some know of it: what they forget is his gain.
        let is_new = honest.targets != old.targets;
        if is_new && self.told < TOLD_OF_CHARTERS {
            self.told += 1;
            return honest;
        }
        match self.sly.below(10) {
            2 | 3 if cast.usurping.is_some() => Estate { roots: old.roots, ..honest },
            0 => Estate { charter: old.charter, ..honest },
            1 => Estate { targets: old.targets, ..honest },
            _ => old,
        }
    }

    /// The assignment of his making that is asked about.
    fn forged(&self, (generation, app): (u64, &AppName)) -> Option<&Forged> {
        self.forged.get(&generation).filter(|forged| forged.app == *app)
    }

    /// What he says instead. `about` is the assignment whose statements were asked for, where any were.
    pub fn twist(&mut self, cast: &Cast, about: Option<(u64, &AppName)>, answer: Answer) -> Answer {
        match answer {
            Answer::Estate(estate) => Answer::Estate(Box::new(self.estate(cast, *estate))),
            Answer::Object(bytes) if self.tricks.bytes && self.sly.chance(400) => {
                Answer::Object(self.other_bytes(cast, bytes))
            }
            Answer::Object(_) if self.tricks.members && self.sly.chance(100) => {
                Answer::Object(self.other_manifest(cast))
            }
            Answer::Objects(mut objects) if self.tricks.bytes && self.sly.chance(400) => {
                for (_, bytes) in &mut objects {
                    *bytes = self.other_bytes(cast, std::mem::take(bytes));
                }
                Answer::Objects(objects)
            }
            Answer::Orders(orders) => Answer::Orders(Box::new(self.orders(cast, *orders))),
            Answer::Dossier(dossier) => Answer::Dossier(Box::new(self.dossier(cast, about, *dossier))),
            // An assignment of his own making is not known to the ledger.
            Answer::Refused { .. } if about.is_some_and(|about| self.forged(about).is_some()) => {
                Answer::Dossier(Box::new(self.dossier(cast, about, Dossier::default())))
            }
            Answer::Proof(mut proof) if self.is_clumsy() && self.random.chance(200) => {
                proof.pop();
                Answer::Proof(proof)
            }
            other => other,
        }
    }

    fn orders(&mut self, cast: &Cast, honest: Orders) -> Orders {
        self.once.push(honest.clone());
        let mut orders = if self.random.chance(150) { self.random.pick(&self.once).clone() } else { honest };
        if self.random.chance(600) {
            self.withholds(&mut orders.withdrawals);
        }
        if self.random.chance(150) {
            orders.assignments.clear();
        }
        self.holds_back(&mut orders.assignments);
        self.freezes(cast, &mut orders.freezes);
        if (self.tricks.charters || self.tricks.foreign) && self.sly.chance(500) {
            orders.charter_version = self.sly.between(1, 3);
        }
        if self.random.chance(200) {
            orders.settled = cast.builds.iter().enumerate().map(|(index, build)| (app_of(index), *build)).collect();
        }
        if self.is_clumsy() && self.random.chance(20) {
            let root = Digest::of(b"another history");
            let checkpoint = Checkpoint { origin: ORIGIN.into(), size: self.random.between(1, 60), root };
            orders.checkpoint = sign_checkpoint(&checkpoint, ORIGIN, &ledger_key()).unwrap_or_default();
        }
        if self.random.chance(500) {
            let assignment = self.assignment(cast, &orders);
            orders.generation = orders.generation.max(assignment.generation);
            // Of another member he lets stand what was assigned.
            orders.assignments.retain(|other| self.tricks.members && other.app != assignment.app);
            orders.assignments.push(assignment);
        }
        orders
    }

    fn assignment(&mut self, cast: &Cast, orders: &Orders) -> Assignment {
        let chosen = self.chosen_order();
        let (subject, act) = match &chosen {
            Some((subject, act, _)) => (*subject, *act),
            None => self.wish(cast),
        };
        let (build, package) = self.member_of(cast, subject);
        let order = chosen.map(|(_, _, order)| order);
        let index = cast.version_of(&build).unwrap_or_default();
        let app = app(index / VERSIONS);
        let generation = orders.generation + self.random.below(4);
        let undo = |random: &mut Random| order.is_none() && random.chance(150);
        let epoch = if self.random.chance(950) { 1 } else { 2 };
        let deployment = self.random.between(1, if self.tricks.members { 15 } else { 9 });
        let undo = undo(&mut self.random);
        self.forged.insert(generation, Forged { app: app.clone(), build, deployment, package, order });
        Assignment {
            epoch,
            generation,
            deployment,
            app,
            environment: prod(),
            act,
            undo,
            build,
            version: Some(version(index)),
            config: None,
            migrate: None,
        }
    }

    /// Whether he tries what comes to his mind. Whoever has shown another history brings nothing new any more to anybody who
    /// has noticed, so with better tricks he shows none.
    fn is_clumsy(&self) -> bool {
        self.tricks == Tricks::default()
    }

    /// An order to bring something that he picks to have it carried out just so, where he knows how to go about it.
    fn chosen_order(&mut self) -> Option<(Digest, OrderAct, (Envelope, Source))> {
        if self.is_clumsy() || !self.sly.chance(600) {
            return None;
        }
        let orders = self.loot.iter().filter_map(|loot| match &loot.act {
            Act::Order(order) if order.act.deploys() => {
                Some((loot.subject, order.act, (loot.envelope.clone(), loot.source)))
            }
            _ => None,
        });
        let orders: Vec<_> = orders.collect();
        (!orders.is_empty()).then(|| self.sly.pick(&orders).clone())
    }

    /// What he would like to see done: mostly something that somebody has ordered.
    fn wish(&mut self, cast: &Cast) -> (Digest, OrderAct) {
        let ordered = self.loot.iter().filter_map(|loot| match &loot.act {
            Act::Order(order) => Some((loot.subject, order.act)),
            _ => None,
        });
        let ordered: Vec<(Digest, OrderAct)> = ordered.collect();
        if !ordered.is_empty() && self.random.chance(700) {
            return *self.random.pick(&ordered);
        }
        let acts = [OrderAct::Deploy, OrderAct::Deploy, OrderAct::Redeploy, OrderAct::Rollback, OrderAct::Undeploy];
        (*self.random.pick(&cast.builds), *self.random.pick(&acts))
    }

    /// Statements from everything he has, for whatever he has assigned.
    fn dossier(&mut self, cast: &Cast, about: Option<(u64, &AppName)>, honest: Dossier) -> Dossier {
        self.dossiers.push(honest.clone());
        let mut dossier = if self.random.chance(100) { self.random.pick(&self.dossiers).clone() } else { honest };
        let forged = about.and_then(|about| self.forged(about));
        if let Some((build, package, chosen)) =
            forged.map(|forged| (forged.build, forged.package, forged.order.clone()))
        {
            let source = self.goes_with(chosen.as_ref().map(|(_, source)| *source));
            let all = |wanted: &dyn Fn(&Loot) -> bool| self.all_from(source, wanted);
            let of_build = |wanted: fn(&Act) -> bool| all(&|loot| loot.subject == build && wanted(&loot.act));
            let pushes = of_build(|act| matches!(act, Act::Push(_)));
            let numbers = of_build(|act| matches!(act, Act::Number(_)));
            let requests = of_build(|act| matches!(act, Act::Request(_)));
            let is_ordered = |loot: &Loot| loot.subject == build || package == Some(loot.subject);
            let orders = all(&|loot| is_ordered(loot) && matches!(loot.act, Act::Order(_)));
            dossier.approvals = all(&|loot| matches!(loot.act, Act::Approval(_)));
            dossier.push = pushes.last().cloned();
            dossier.number = numbers.last().cloned();
            dossier.request = self.one_of(&requests);
            dossier.order = chosen.map(|(order, _)| order).or_else(|| self.one_of(&orders));
            if self.tricks.members {
                dossier.package = package.map(|package| self.papers(cast, package, &build, source));
                dossier.approvals = self.approvals_of(dossier.request.clone().as_ref(), source);
            }
        }
        if self.is_clumsy() && self.random.chance(100) {
            let others: Vec<Envelope> = self.loot.iter().map(|loot| loot.envelope.clone()).collect();
            dossier.order = self.one_of(&others);
        }
        if self.random.chance(700) {
            self.withholds(&mut dossier.withdrawals);
        }
        self.freezes(cast, &mut dossier.freezes);
        dossier
    }

    /// From where is what he gives with an order that he has chosen: from where that is from, so that it fits.
    fn goes_with(&mut self, source: Option<Source>) -> Option<Source> {
        // What was permitted here may go with what was ordered for elsewhere.
        source.map(|source| if source == Source::Beside && self.sly.chance(700) { Source::Here } else { source })
    }

    fn all_from(&self, source: Option<Source>, wanted: &dyn Fn(&Loot) -> bool) -> Vec<Envelope> {
        let goes_with = |loot: &&Loot| source.is_none_or(|source| loot.source == source);
        let fits = self.loot.iter().filter(goes_with).filter(|loot| wanted(loot));
        fits.map(|loot| loot.envelope.clone()).collect()
    }

    fn one_of(&mut self, envelopes: &[Envelope]) -> Option<Envelope> {
        (!envelopes.is_empty()).then(|| self.random.pick(envelopes).clone())
    }
}

/// Whether this declares a freeze.
fn declares(envelope: &Envelope) -> bool {
    Statement::read(envelope).is_ok_and(|statement| matches!(statement.act, Act::Freeze(Freeze::Declare(_))))
}
