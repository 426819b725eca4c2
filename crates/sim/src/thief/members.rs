//! What he makes of packages: he has a member come by a package that does not list it, or by an older order of one that does,
//! writes a package's manifest himself, gives another build's manifest for a member's, and holds a member back.

use super::{Loot, Source, Thief};
use crate::cast::{Cast, DB, SHOP, VERSIONS, WEB, app, listed, version};
use domain::plan::Assignment;
use trust::{Digest, authority::PackageDossier, dsse::Envelope, statement::Act};

impl Thief {
    /// What he would have come to a target by an order for `subject`: one member of it where that is a package, or some other
    /// build of that member; and by which package.
    pub(super) fn member_of(&mut self, cast: &Cast, subject: Digest) -> (Digest, Option<Digest>) {
        if !self.tricks.members {
            return (subject, None);
        }
        let ordered = cast.version_of(&subject).unwrap_or_default();
        if ordered / VERSIONS != SHOP {
            let package = self.sly.chance(600).then(|| self.package_for(cast, &subject));
            return (subject, package);
        }
        let place = *self.sly.pick(&[WEB, DB]);
        let other = VERSIONS * place + self.sly.below(VERSIONS as u64) as usize;
        let build = cast.builds[if self.sly.chance(300) { other } else { listed(ordered)[place] }];
        let package = if self.sly.chance(250) { self.package_for(cast, &build) } else { subject };
        (build, Some(package))
    }

    /// A package for a build to come by: mostly one that lists it.
    fn package_for(&mut self, cast: &Cast, build: &Digest) -> Digest {
        let listing = cast.packages_of(build);
        match listing.is_empty() || self.sly.chance(300) {
            true => *self.sly.pick(&cast.builds[SHOP * VERSIONS..]),
            false => *self.sly.pick(&listing),
        }
    }

    /// What he shows of a package by which a build is to come: the statements that he has, and its manifest, or one in which
    /// he has written what he likes.
    pub(super) fn papers(
        &mut self,
        cast: &Cast,
        package: Digest,
        build: &Digest,
        source: Option<Source>,
    ) -> PackageDossier {
        let mut manifest = cast.manifests[cast.version_of(&package).unwrap_or_default()].clone();
        let wanted = cast.version_of(build).unwrap_or_default();
        if self.sly.chance(150)
            && let Some(member) = manifest.run.package.get_mut(&app(wanted / VERSIONS))
        {
            (member.build, member.version) = (*build, version(wanted));
        }
        let bytes = manifest.to_bytes().unwrap_or_default();
        let of_it = |wanted: fn(&Act) -> bool| {
            self.all_from(source, &|loot: &Loot| loot.subject == package && wanted(&loot.act))
        };
        let pushes = of_it(|act| matches!(act, Act::Push(_)));
        let numbers = of_it(|act| matches!(act, Act::Number(_)));
        let requests = of_it(|act| matches!(act, Act::Request(_)));
        // Without a request of the package, it is the build's own that counts.
        let request = if self.sly.chance(200) { None } else { self.one_of(&requests) };
        let approvals = self.approvals_of(request.as_ref(), source);
        PackageDossier {
            manifest: String::from_utf8(bytes).unwrap_or_default(),
            push: pushes.last().cloned(),
            number: numbers.last().cloned(),
            request,
            approvals,
        }
    }

    /// The approvals of a request, and one of something else.
    pub(super) fn approvals_of(&mut self, request: Option<&Envelope>, source: Option<Source>) -> Vec<Envelope> {
        let asked = request.map(|request| Digest::of(&request.payload));
        let approves =
            |loot: &Loot, is_it: bool| matches!(loot.act, Act::Approval(_)) && (Some(loot.subject) == asked) == is_it;
        let others = self.all_from(source, &|loot| approves(loot, false));
        let mut approvals = self.all_from(source, &|loot| approves(loot, true));
        approvals.extend(self.one_of(&others));
        approvals
    }

    /// He leaves out what one member was assigned.
    pub(super) fn holds_back(&mut self, assignments: &mut Vec<Assignment>) {
        if !self.tricks.members || !self.sly.chance(150) {
            return;
        }
        let held = app(*self.sly.pick(&[WEB, DB]));
        let before = assignments.len();
        assignments.retain(|assignment| assignment.app != held);
        self.seen.extend((assignments.len() < before).then_some("a member held back"));
    }

    /// The manifest of another build than the one that was asked for.
    pub(super) fn other_manifest(&mut self, cast: &Cast) -> Vec<u8> {
        self.sly.pick(&cast.manifests).to_bytes().unwrap_or_default()
    }

    /// What became of an assignment of his making that a target refuses, where it was about a member of a package: `code` and
    /// `reason` are the target's.
    pub fn refused_of_members(
        &self,
        cast: &Cast,
        (generation, deployment): (u64, u64),
        (code, reason): (&str, &str),
    ) -> Option<&'static str> {
        let forged = self.forged.get(&generation).filter(|forged| forged.deployment == deployment)?;
        let package = forged.package?;
        let is_listed = cast.packages_of(&forged.build).contains(&package);
        let is_beside = forged.order.as_ref().is_some_and(|(_, source)| *source == Source::Beside);
        Some(match code {
            "ORDER_REPEATED" => "a repeated order of a package refused",
            "STATEMENT_INVALID" if is_beside => "an order for another environment refused",
            "STATEMENT_INVALID" if !is_listed && reason.contains(" and not ") => {
                "a member that its package does not list refused"
            }
            "STATEMENT_INVALID" if reason.contains("it is of another build") => {
                "a manifest of a package by another hand refused"
            }
            "PERMIT_WITHDRAWN" => "a member of a withdrawn package refused",
            _ => "a forged assignment of a member refused",
        })
    }
}
