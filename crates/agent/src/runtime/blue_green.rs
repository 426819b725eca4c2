//! One build beside another, and all traffic from one to the other by one write: blue and green.
//!
//! Every copy with a port has two of them, and each build takes those that the one before it does not have. The new
//! build's copies start beside the old ones, which serve until the new ones are verified; then the list is written once,
//! with the new ones alone, and the old ones finish their work and end. What is listed is what serves: whoever is killed
//! at any point finds by the list which of the two that is, and ends the other or goes on.

use super::{
    Running, Runtime, RuntimeError, ServiceSpec, Unverified,
    control::{Kept, look, stop_all},
    ports::Side,
    verify::Well,
};
use std::time::Duration;
use trust::AppName;

impl Runtime {
    /// The copies of a build as they are on one of the two sides: the one where it is already, else the one that does not
    /// serve. `on` works them out.
    pub(super) fn on_its_side(
        &self,
        app: &AppName,
        on: impl Fn(Side) -> Result<Vec<ServiceSpec>, RuntimeError>,
    ) -> Result<Vec<ServiceSpec>, RuntimeError> {
        let (first, second) = (on(Side::First)?, on(Side::Second)?);
        let kept = self.kept(app)?;
        // What has no port is the same on both sides and says nothing.
        let is_there = |specs: &[ServiceSpec]| {
            specs.iter().any(|spec| spec.port.is_some() && kept.iter().any(|kept| kept.spec == *spec))
        };
        if is_there(&first) {
            return Ok(first);
        }
        if is_there(&second) {
            return Ok(second);
        }
        let mut taken = self.serving_ports(app)?;
        if taken.is_empty() {
            taken = kept.iter().filter_map(|kept| kept.spec.port).collect();
        }
        let is_taken =
            |specs: &[ServiceSpec]| specs.iter().any(|spec| spec.port.is_some_and(|port| taken.contains(&port)));
        Ok(if is_taken(&first) { second } else { first })
    }

    /// Starts every copy of the build that does not run yet beside what serves, which goes on. Where the build itself is
    /// what serves, as when it is gone back to before the switch, whatever runs beside it ends.
    pub(super) fn bring_beside(&self, build: Running<'_>, specs: &[ServiceSpec]) -> Result<(), Unverified> {
        let _turn = self.turn(build.app)?;
        let serving = self.serving_ports(build.app)?;
        let serves = |spec: &ServiceSpec| spec.port.is_some_and(|port| serving.contains(&port));
        if specs.iter().filter(|spec| spec.port.is_some()).all(serves) {
            // Whoever was killed between writing the list and having it read may have left another one.
            self.enter(build, &specs.iter().collect::<Vec<_>>(), true)?;
            stop_all(&self.beside(build.app, specs)?)?;
        }
        for spec in specs {
            let (same, others) = self.kept_of(spec)?;
            let is_in_the_way = |kept: &Kept| kept.spec == *spec || spec.port.is_some() && kept.spec.port == spec.port;
            let (in_the_way, mut others): (Vec<Kept>, Vec<Kept>) = others.into_iter().partition(is_in_the_way);
            stop_all(&in_the_way)?;
            if same.is_some() {
                continue;
            }
            if others.len() > 1 {
                // What is left of a build that nobody went back from: whoever serves stays, else whoever came first.
                let since = |kept: &Kept| look(&kept.files).ok().and_then(|(_, state)| state?.started_at);
                others.sort_by_key(|kept| (!serves(&kept.spec), since(kept).unwrap_or(jiff::Timestamp::MAX)));
                stop_all(&others.split_off(1))?;
            }
            self.begin(spec, &others)?;
        }
        Ok(())
    }

    /// Gives all traffic to the build, which is verified, by one write, lets what served before finish, and ends it. Until
    /// then the build must stay alive: what served before is still there to go back to.
    pub(super) fn switch_over(
        &self,
        build: Running<'_>,
        well: &[Well],
        heard: &mut dyn FnMut(&str),
    ) -> Result<(), Unverified> {
        let _turn = self.turn(build.app)?;
        let specs: Vec<ServiceSpec> = well.iter().map(|(spec, _)| spec.clone()).collect();
        self.enter(build, &specs.iter().collect::<Vec<_>>(), true)?;
        let old = self.beside(build.app, &specs)?;
        if old.is_empty() {
            return Ok(());
        }
        if !build.standby {
            let seconds = self.drain_all(build.app, &old);
            heard(&format!("all traffic is switched; what served before ends in {seconds} s"));
            std::thread::sleep(Duration::from_secs(seconds.into()));
            self.still_alive(well)?;
        }
        Ok(stop_all(&old)?)
    }

    /// Every copy that is kept and is none of these.
    fn beside(&self, app: &AppName, specs: &[ServiceSpec]) -> Result<Vec<Kept>, RuntimeError> {
        Ok(self.kept(app)?.into_iter().filter(|kept| !specs.contains(&kept.spec)).collect())
    }
}
