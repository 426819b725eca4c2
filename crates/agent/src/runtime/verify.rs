//! Finding out that a whole build is well: every copy's health, then, back in service, what the build asks besides, then
//! its smoke test; and through all of it the same processes must stay alive. Where it runs beside what serves, it comes
//! into service last of all.

use super::{Attempt, CopyId, Leaving, Runtime, RuntimeError, ServiceSpec, Unhealthy, ask::Asked, health::Who};
use crate::watch::{Again, Question};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::mpsc::{self, Sender},
    time::Duration,
};
use trust::{
    AppName, Digest,
    manifest::{Health, HealthCheck, Inconclusive, Run, Verification},
};

/// Why a build is not verified.
#[derive(Debug, thiserror::Error)]
pub enum Unverified {
    /// A copy is not healthy.
    #[error("{0} {1}")]
    Unhealthy(CopyId, Unhealthy),
    /// A copy was healthy and did not stay alive.
    #[error("{0} did not stay alive while it was verified: {1}")]
    Restarted(CopyId, String),
    /// A verification failed.
    #[error("{0}: {1}")]
    Failed(String, Unhealthy),
    /// A verification decided nothing, and the build says that this undoes it.
    #[error("{0}: inconclusive: {1}")]
    Inconclusive(String, Unhealthy),
    /// The smoke test failed.
    #[error("smoke: {0}")]
    Smoke(String),
    /// The system refused.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// What a whole build is found to be that nothing speaks against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Where it listens.
    pub endpoints: Vec<String>,
    /// What decided nothing, where the build says that people shall look before it counts as verified.
    pub doubt: Option<String>,
}

/// A build that runs here, and what it runs with.
#[derive(Clone, Copy)]
pub struct Running<'a> {
    /// The application.
    pub app: &'a AppName,
    /// The build.
    pub build: &'a Digest,
    /// How it is run.
    pub run: &'a Run,
    /// The values of its config keys.
    pub values: &'a BTreeMap<String, String>,
    /// Whether something stands in the way of what must happen all the same.
    pub leaving: Leaving,
    /// Whether it stands by: it runs and is in no list of what serves.
    pub standby: bool,
}

/// A copy and the process by which it is well.
pub(super) type Well = (ServiceSpec, i32);

impl Runtime {
    /// Verifies the build: it must run already. `heard` is told of every attempt.
    pub fn verify(&self, build: Running<'_>, heard: &mut dyn FnMut(&str)) -> Result<Verified, Unverified> {
        let specs = self.specs(build.app, build.build, build.run, build.values)?;
        let well = self.all_healthy(build.run, &specs, heard)?;
        // Beside what serves, a build is asked everything before anybody else asks it.
        let is_beside = build.run.is_blue_green();
        if !is_beside {
            self.enter(build, &specs.iter().collect::<Vec<_>>(), true)?;
        }
        let doubt = self.ask_all(build, &well, heard)?;
        if let Some(smoke) = &build.run.smoke {
            let named = ("smoke", smoke.run.as_slice(), smoke.process.as_deref());
            let task = self.task(build.app, build.build, build.run, build.values, named)?;
            heard("smoke");
            self.begin_task(&task)?;
            let ended = self.wait_for_task(&task, Duration::from_secs(smoke.within_seconds.into()));
            self.clear_task(build.app, "smoke")?;
            ended.map_err(Unverified::Smoke)?;
        }
        self.still_alive(&well)?;
        if is_beside {
            self.switch_over(build, &well, heard)?;
        }
        let endpoint = |spec: &ServiceSpec| {
            let scheme = match health_of(build.run, &spec.id).map(|health| &health.check) {
                Some(HealthCheck::Tcp) => "tcp",
                _ => "http",
            };
            Some(format!("{scheme}://127.0.0.1:{}", spec.port?))
        };
        Ok(Verified { endpoints: specs.iter().filter_map(endpoint).collect(), doubt })
    }

    /// All at once, for the time each may take to become well began when all were started.
    fn all_healthy(
        &self,
        run: &Run,
        specs: &[ServiceSpec],
        heard: &mut dyn FnMut(&str),
    ) -> Result<Vec<Well>, Unverified> {
        let check = |spec: &ServiceSpec, say: Sender<String>| {
            let mut on_try = |attempt: &Attempt| {
                let _nobody_listens = say.send(format!("{} {}", spec.id, attempt.said));
            };
            let well = self.check_health(spec, health_of(run, &spec.id), &mut on_try);
            well.map(|pid| (spec.clone(), pid)).map_err(|unhealthy| Unverified::Unhealthy(spec.id.clone(), unhealthy))
        };
        side_by_side(specs, check, heard)
    }

    /// Everything that the build asks once its copies are healthy. Answers with what people shall look at.
    fn ask_all(
        &self,
        build: Running<'_>,
        well: &[Well],
        heard: &mut dyn FnMut(&str),
    ) -> Result<Option<String>, Unverified> {
        let mut questions = Vec::new();
        for (name, verification) in &build.run.verify {
            // What is measured tells for a while of what a build that comes back has to end: it keeps nobody from that.
            let is_measured = matches!(verification.check.check, HealthCheck::Prometheus(_));
            if is_measured && build.leaving == Leaving::IsTried {
                continue;
            }
            if let Some(process) = process_asked(build.run, verification) {
                let of_copies = well.iter().filter(|(spec, _)| spec.id.process == process);
                questions.extend(of_copies.map(|(spec, pid)| Asking {
                    said: format!("verify {name} of {}", spec.id),
                    verification,
                    file: self.files_of(spec).spec,
                    spec: spec.clone(),
                    pid: Some(*pid),
                }));
            } else {
                let named = (&*format!("verify-{name}"), &[][..], verification.process.as_deref());
                let task = self.task(build.app, build.build, build.run, build.values, named)?;
                let kept = self.kept_task(&task)?;
                let (spec, file) = (kept.spec, kept.files.spec);
                questions.push(Asking { said: format!("verify {name}"), verification, file, spec, pid: None });
            }
        }
        let asked = side_by_side(&questions, |asking, say| self.ask_one(asking, well, &say), heard);
        for asking in questions.iter().filter(|asking| asking.pid.is_none()) {
            self.clear_task(build.app, &asking.spec.id.process)?;
        }
        let doubts: Vec<String> = asked?.into_iter().flatten().collect();
        Ok((!doubts.is_empty()).then(|| doubts.join("; ")))
    }

    /// What is asked again as long as the build, whose copies are these, has not settled.
    pub fn to_ask_again(
        &self,
        build: Running<'_>,
        copies: &[ServiceSpec],
    ) -> Result<Vec<Again<Question>>, RuntimeError> {
        let mut all = Vec::new();
        for (name, verification) in &build.run.verify {
            let Some(seconds) = verification.watched_seconds() else { continue };
            let specs = match process_asked(build.run, verification) {
                Some(process) => copies.iter().filter(|spec| spec.id.process == process).cloned().collect(),
                None => {
                    let named = (&*format!("watch-{name}"), &[][..], verification.process.as_deref());
                    vec![self.task(build.app, build.build, build.run, build.values, named)?]
                }
            };
            let question = Question { name: name.clone(), verification: verification.clone(), specs };
            all.push(Again { name: name.clone(), every: Duration::from_secs(seconds.into()), question });
        }
        Ok(all)
    }

    /// Asks until it is decided; answers with what was not, where people shall look at that.
    fn ask_one(&self, asking: &Asking<'_>, well: &[Well], say: &Sender<String>) -> Result<Option<String>, Unverified> {
        let Asking { said, verification, file, spec, pid } = asking;
        let port = verification.port.or(spec.port);
        let asked = Asked { spec, spec_file: file, port };
        let mut ended = None;
        let mut alive = || match self.still_alive(well) {
            Ok(()) => Ok(pid.map_or(Who::Build, Who::Process)),
            Err(why) => {
                let said = why.to_string();
                ended = Some(why);
                Err(said)
            }
        };
        let mut on_try = |attempt: &Attempt| {
            let _nobody_listens = say.send(format!("{said}: {}", attempt.said));
        };
        let asked = self.ask_until_well(&asked, &verification.check, &mut alive, &mut on_try);
        let Err(unhealthy) = asked else { return Ok(None) };
        if let Some(ended) = ended {
            return Err(ended);
        }
        let said = said.clone();
        match &verification.check.check {
            HealthCheck::Prometheus(measured) if unhealthy.is_unclear => match measured.inconclusive {
                Inconclusive::Continue => Ok(None),
                Inconclusive::Undo => Err(Unverified::Inconclusive(said, unhealthy)),
                Inconclusive::Pause => Ok(Some(format!("{said}: inconclusive: {unhealthy}"))),
            },
            _ => Err(Unverified::Failed(said, unhealthy)),
        }
    }

    /// A process that took another's place would have to be verified anew.
    pub(super) fn still_alive(&self, well: &[Well]) -> Result<(), Unverified> {
        match well.iter().find(|(spec, pid)| self.running_pid(spec) != Some(*pid)) {
            Some((spec, _)) => Err(Unverified::Restarted(spec.id.clone(), self.how_it_ended(spec))),
            None => Ok(()),
        }
    }
}

/// One verification of one copy, or of the build.
struct Asking<'a> {
    said: String,
    verification: &'a Verification,
    spec: ServiceSpec,
    file: PathBuf,
    pid: Option<i32>,
}

/// The process each of whose copies is asked; nothing where the build as a whole is.
fn process_asked<'a>(run: &'a Run, verification: &'a Verification) -> Option<&'a str> {
    let (process, _) = run.process_meant(verification.process.as_deref())?;
    let is_of_copies = !matches!(verification.check.check, HealthCheck::Prometheus(_)) && verification.port.is_none();
    is_of_copies.then_some(process)
}

/// The health check of a copy's process.
pub(super) fn health_of<'a>(run: &'a Run, id: &CopyId) -> Option<&'a Health> {
    run.processes.get(&id.process)?.health.as_ref()
}

/// Does something with each of `all` at the same time, and tells what they say meanwhile; the first error in order, if
/// there is one.
fn side_by_side<T: Sync, R: Send, E: Send>(
    all: &[T],
    deed: impl Fn(&T, Sender<String>) -> Result<R, E> + Sync,
    heard: &mut dyn FnMut(&str),
) -> Result<Vec<R>, E> {
    let (say, said) = mpsc::channel();
    let deed = &deed;
    std::thread::scope(|scope| {
        let begin = |one| {
            let say = say.clone();
            scope.spawn(move || deed(one, say))
        };
        let begun: Vec<_> = all.iter().map(begin).collect();
        drop(say);
        said.iter().for_each(|line| heard(&line));
        begun.into_iter().map(|one| one.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))).collect()
    })
}
