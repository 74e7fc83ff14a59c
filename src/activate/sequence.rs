//! The order in which a bundle becomes what runs, and the way back.
//!
//! ```text
//! lock ─ plan ─ check ─ pending ─ secrets ─ live ─ apply ─ reload ─ proof ─ current
//!                          └───────────── any failure ─────────────┘
//!                          restore: secrets ─ live ─ apply ─ reload ─ proof
//! ```
//!
//! Nothing is remembered between steps that the store, the runtime and the services don't say
//! themselves. So a run that was killed needs no undoing of its own: whatever is activated
//! next, or restored, starts from what is found, and reloads all that may have read the bundle
//! of the killed run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::http::Client;
use super::proof::{Before, Disproof, Prover, Report, Seen};
use super::{Bundle, Plan, Runtime, RuntimeError, Step, Target, reload};
use crate::bundle::manifest::Manifest;
use crate::secret::{self, Changes, HandOver, Resolved, Secret};
use crate::store::{Attempt, Failed, Generation, Outcome, ProfileLock, Rollback, StoreError};

/// Why nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bundle(#[from] super::bundle::BundleError),
    #[error(transparent)]
    Secret(#[from] secret::Error),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("no requests can be made from here: {0}")]
    Client(#[from] std::io::Error),
}

/// What is to be activated.
#[expect(missing_debug_implementations, reason = "a closure")]
pub struct Request<'a> {
    pub bundle: &'a Bundle,
    /// The values of its secrets; without them, services keep those that they have.
    pub secrets: Option<&'a Resolved>,
    pub message: Option<&'a str>,
    pub rollback: Option<Rollback>,
    /// What fails the proof runs on, for somebody who watches and mends it (`up`).
    pub stay: bool,
    /// What else has to hold once the services are proved; what does not, where it fails.
    pub also: Option<&'a Also<'a>>,
}

/// A proof beyond that of the services.
pub type Also<'a> = dyn Fn(&mut Say<'_>) -> Result<(), Vec<String>> + 'a;

/// What came of it.
#[derive(Debug)]
pub enum Activation {
    /// It runs already, and was proved to.
    Unchanged {
        generation: Generation,
        report: Report,
    },
    Activated {
        generation: Generation,
        plan: Plan,
        report: Report,
    },
    /// It failed, and what ran before runs again: proved, or, where nothing ran, nothing.
    Restored {
        failed: Generation,
        again: Option<Generation>,
        why: Vec<String>,
    },
    /// It failed, and runs all the same, since that was asked for.
    Stays {
        failed: Generation,
        why: Vec<String>,
    },
    /// It failed, and so did the way back.
    Lost {
        failed: Generation,
        again: Option<Generation>,
        why: Vec<String>,
        also: Vec<String>,
    },
}

/// What would happen.
#[derive(Debug)]
pub struct Outlook {
    pub plan: Plan,
    pub changes: Changes,
    /// The generation that runs now.
    pub current: Option<Generation>,
    /// Whose run was killed.
    pub interrupted: Vec<Generation>,
}

/// Says what happens, as a line of the summary: what it is about, and the text.
pub type Say<'a> = dyn FnMut(&str, &str) + 'a;

/// One runtime, one profile, and the right to change it.
#[expect(missing_debug_implementations, reason = "closures and trait objects")]
pub struct Activator<'a> {
    pub lock: &'a mut ProfileLock,
    pub runtime: &'a dyn Runtime,
    /// Resolves the secrets of the bundle that ran before, should it have to be restored.
    pub resolve: &'a dyn Fn(&Manifest) -> Result<Resolved, String>,
    /// No service is waited for longer than this.
    pub deadline: Duration,
    pub say: &'a mut Say<'a>,
}

/// Why a stack did not become what it should.
pub(super) struct Trouble {
    pub(super) why: Vec<String>,
    blames_bundle: bool,
}

impl From<RuntimeError> for Trouble {
    fn from(error: RuntimeError) -> Self {
        Trouble { why: vec![error.to_string()], blames_bundle: error.blames_bundle() }
    }
}

/// The disk, say: no fault of the bundle.
impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Trouble { why: vec![error.to_string()], blames_bundle: false }
    }
}

impl From<secret::Error> for Trouble {
    fn from(error: secret::Error) -> Self {
        Trouble { why: vec![error.to_string()], blames_bundle: false }
    }
}

impl From<Disproof> for Trouble {
    fn from(Disproof { wrong, blames_bundle }: Disproof) -> Self {
        Trouble { why: wrong, blames_bundle }
    }
}

impl Activator<'_> {
    /// What [`Activator::activate`] would do.
    pub fn outlook(&self, bundle: &Bundle, secrets: Option<&Resolved>) -> Result<Outlook, Error> {
        let store = self.lock.store();
        let profile = self.lock.profile();
        let current = store.current(profile)?.filter(|_| matches!(store.live(profile), Ok(Some(_))));
        let mut generations = store.generations(profile)?;
        generations.retain(|one| one.outcome == Outcome::Pending);
        // Services may have read any of these.
        let mut before = vec![];
        for generation in current.iter().chain(&generations) {
            if let Some(path) = store.get(&generation.bundle)? {
                before.push(Bundle::open(path)?);
            }
        }
        let manifests: Vec<&Manifest> = before.iter().map(|b| &b.manifest).collect();
        let changes = match secrets {
            Some(secrets) => {
                secret::outstanding(store.directory(), &HandOver::new(&bundle.manifest, secrets)?)?
            }
            None => Changes::new(),
        };
        let observed = self.runtime.observe()?;
        let plan = Plan::new(&manifests, &bundle.manifest, &observed, &changes, self.runtime.reloads());
        Ok(Outlook { plan, changes, current, interrupted: generations })
    }

    /// Activates a bundle. An error: nothing was touched.
    pub fn activate(&mut self, request: &Request<'_>) -> Result<Activation, Error> {
        let bundle = request.bundle;
        let mut outlook = self.outlook(bundle, request.secrets)?;
        for one in &outlook.interrupted {
            let text = format!("generation {} ({}) was cut short; it is settled now", one.number, one.bundle);
            (self.say)("found", &text);
        }
        let client = Client::new()?;
        let hand_over = request.secrets.map(|s| HandOver::new(&bundle.manifest, s)).transpose()?;
        let environment = environment(hand_over.as_ref());
        let target = Target { bundle, environment: &environment };
        // Who watches sees what is in the way, and the service starts once it is gone.
        if !request.stay {
            self.runtime.check(&target, &outlook.plan)?;
        }
        let before_bundle = self.bundle_of(outlook.current.as_ref())?;
        let state = self.lock.store().directory().to_owned();
        let prover = self.prover(&client, &state);
        let before = prover.before(before_bundle.as_ref())?;
        outlook.plan.reload_also(&prover.drifted(bundle, &before), self.runtime.reloads());
        if let (Some(current), true, true, true) = (
            self.lock.already(bundle.path.name())?,
            outlook.plan.is_idle(),
            outlook.changes.is_empty(),
            outlook.interrupted.is_empty(),
        ) && let (_, report) = prover.report(bundle)?
            && report.wrong().next().is_none()
        {
            return Ok(Activation::Unchanged { generation: current, report });
        }

        let attempt = Attempt {
            bundle: &bundle.path,
            runtime: self.runtime.name(),
            message: request.message,
            rollback: request.rollback,
        };
        let generation = self.lock.begin(attempt)?;
        let way = Way { client: &client, bundle, resolved: request.secrets, plan: &outlook.plan };
        (self.say)("plan", &outlook.plan.to_string());
        let from = outlook.current.as_ref().map_or("nothing".to_owned(), |c| c.number.to_string());
        let to = format!("generation {from} → {}", generation.number);
        let done = self.take(&way, &before, Some(&to)).and_then(|report| {
            let also = request.also.map_or(Ok(()), |also| also(&mut *self.say));
            // It may be the network, or the service at its other end.
            also.map(|()| report).map_err(|why| Trouble { why, blames_bundle: false })
        });
        let done = done.and_then(|report| Ok((self.lock.succeed(generation.clone())?, report)));
        match done {
            Ok((generation, report)) => {
                self.settle(&outlook.interrupted, generation.number);
                Ok(Activation::Activated { generation, plan: outlook.plan, report })
            }
            Err(trouble) if request.stay => Ok(self.stay(trouble, generation, &outlook.interrupted)),
            Err(trouble) => {
                let way_back =
                    WayBack { client: &client, failed: bundle, previous: before_bundle, seen: before.seen };
                Ok(self.go_back(trouble, generation, outlook, way_back))
            }
        }
    }

    /// From the hand-over of secrets to the proof.
    pub(super) fn take(
        &mut self,
        way: &Way<'_>,
        before: &Before,
        to: Option<&str>,
    ) -> Result<Report, Trouble> {
        let Way { client, bundle, resolved, plan } = *way;
        let hand_over = resolved.map(|r| HandOver::new(&bundle.manifest, r)).transpose()?;
        let mut handed = None;
        if let (Some(hand_over), Some(resolved)) = (&hand_over, resolved) {
            let done = secret::sync(self.lock, &bundle.path, hand_over, resolved)?;
            if !done.changes.is_empty() {
                let files: usize = done.changes.values().map(|change| change.files.len()).sum();
                let services = done.changes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                (self.say)("secrets", &format!("{files} written for {services}"));
            }
            handed = Some(done);
        }
        self.lock.point_live(bundle.path.name())?;
        if let Some(to) = to {
            (self.say)("live", to);
        }
        let environment = environment(hand_over.as_ref());
        self.runtime.apply(&Target { bundle, environment: &environment }, plan)?;
        let state = self.lock.store().directory().to_owned();
        let mut reloaded = BTreeSet::new();
        for name in plan.having(Step::Reload) {
            reload::reload(self.runtime, client, bundle, &state, name)?;
            reloaded.insert(name.to_owned());
        }
        if !reloaded.is_empty() {
            let names: Vec<String> = reloaded.iter().map(|name| format!("{name} ✓")).collect();
            (self.say)("reload", &names.join("  "));
        }
        let prover = Prover { runtime: self.runtime, client, state: &state, deadline: self.deadline };
        let say = &mut *self.say;
        let report = prover.prove(bundle, plan, &reloaded, before, &mut |text| say("waits", text))?;
        if let Some(handed) = handed {
            secret::taken_up(self.lock, handed)?;
        }
        // What is left over harms nobody, and the next run tries again.
        if let Err(error) = self.runtime.tidy() {
            tracing::warn!(%error, "what nobody needs any more could not be removed");
        }
        Ok(report)
    }

    /// Writes down what is wrong with what runs on.
    fn stay(&mut self, trouble: Trouble, generation: Generation, interrupted: &[Generation]) -> Activation {
        let reason = trouble.why.join("\n");
        let failed = Failed { reason: &reason, restored: false, rejected: trouble.blames_bundle };
        let failed = self.lock.fail(generation.clone(), failed).unwrap_or(generation);
        self.settle(interrupted, failed.number);
        Activation::Stays { failed, why: trouble.why }
    }

    /// Restores what ran before, proves it, and writes down what happened.
    fn go_back(
        &mut self,
        trouble: Trouble,
        generation: Generation,
        outlook: Outlook,
        back: WayBack<'_>,
    ) -> Activation {
        for why in &trouble.why {
            (self.say)("failed", why);
        }
        let WayBack { client, failed, previous, seen } = back;
        let restored = match &previous {
            Some(previous) => self.restore(previous, &[failed], client, Some(seen)),
            None => self.end(),
        };
        let reason = trouble.why.join("\n");
        let failure = Failed { reason: &reason, restored: restored.is_ok(), rejected: trouble.blames_bundle };
        let written = self.lock.fail(generation.clone(), failure);
        let (failed, unwritten) = match written {
            Ok(failed) => (failed, None),
            Err(error) => (generation, Some(error.to_string())),
        };
        let again = outlook.current;
        match restored {
            Ok(()) => {
                self.settle(&outlook.interrupted, failed.number);
                let why = trouble.why.into_iter().chain(unwritten).collect();
                Activation::Restored { failed, again, why }
            }
            Err(second) => Activation::Lost { failed, again, why: trouble.why, also: second.why },
        }
    }

    /// `failed`: what services may have read since. `proved`: what they said before anything was
    /// touched.
    pub(super) fn restore(
        &mut self,
        previous: &Bundle,
        failed: &[&Bundle],
        client: &Client,
        proved: Option<Seen>,
    ) -> Result<(), Trouble> {
        let resolved = (self.resolve)(&previous.manifest)
            .map_err(|why| Trouble { why: vec![why], blames_bundle: false })?;
        let store = self.lock.store();
        let hand_over = HandOver::new(&previous.manifest, &resolved)?;
        let changes = secret::outstanding(store.directory(), &hand_over)?;
        let state = store.directory().to_owned();
        let prover = self.prover(client, &state);
        let mut before = prover.before(Some(previous))?;
        before.proved = proved.map(Box::new);
        let manifests: Vec<&Manifest> = failed.iter().chain([&previous]).map(|b| &b.manifest).collect();
        let mut plan =
            Plan::new(&manifests, &previous.manifest, &before.observed, &changes, self.runtime.reloads());
        plan.reload_also(&prover.drifted(previous, &before), self.runtime.reloads());
        let way = Way { client, bundle: previous, resolved: Some(&resolved), plan: &plan };
        self.take(&way, &before, None).map(|_| ())
    }

    /// Nothing ran before, so nothing may be left running.
    fn end(&mut self) -> Result<(), Trouble> {
        self.runtime.stop()?;
        let left: Vec<String> = self.runtime.observe()?.0.into_keys().collect();
        if !left.is_empty() {
            let why = vec![format!("{} could not be stopped", left.join(", "))];
            return Err(Trouble { why, blames_bundle: false });
        }
        self.lock.remove_live()?;
        secret::wipe(self.lock.store().directory(), self.lock.profile())?;
        Ok(())
    }

    /// Stops everything and takes the secrets away. Data and generations stay.
    pub fn down(&mut self) -> Result<(), Error> {
        let interrupted: Vec<_> = self.pending()?;
        self.runtime.stop()?;
        self.lock.remove_live()?;
        secret::wipe(self.lock.store().directory(), self.lock.profile())?;
        let failed =
            Failed { reason: "its run was killed, then all was stopped", restored: true, rejected: false };
        for one in interrupted {
            self.lock.fail(one, failed)?;
        }
        Ok(())
    }

    pub(super) fn pending(&self) -> Result<Vec<Generation>, StoreError> {
        let mut generations = self.lock.store().generations(self.lock.profile())?;
        generations.retain(|one| one.outcome == Outcome::Pending);
        Ok(generations)
    }

    /// Writes down what became of killed runs. What can't be written stays pending, and the
    /// next run does it.
    fn settle(&mut self, interrupted: &[Generation], by: u64) {
        let reason = format!("its run was killed; generation {by} settled it");
        for one in interrupted {
            let failed = Failed { reason: &reason, restored: true, rejected: false };
            if let Err(error) = self.lock.fail(one.clone(), failed) {
                tracing::warn!(%error, generation = one.number, "can't be settled yet");
            }
        }
    }

    pub(super) fn prover<'b>(&self, client: &'b Client, state: &'b Path) -> Prover<'b, dyn Runtime + 'b>
    where
        Self: 'b,
    {
        Prover { runtime: self.runtime, client, state, deadline: self.deadline }
    }

    pub(super) fn bundle_of(&self, generation: Option<&Generation>) -> Result<Option<Bundle>, Error> {
        let Some(generation) = generation else { return Ok(None) };
        let path = self.lock.store().get(&generation.bundle)?;
        path.map(|path| Bundle::open(path).map_err(Error::from)).transpose()
    }
}

/// What is on its way to be what runs.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) client: &'a Client,
    pub(super) bundle: &'a Bundle,
    pub(super) resolved: Option<&'a Resolved>,
    pub(super) plan: &'a Plan,
}

/// What is needed to restore what ran before.
struct WayBack<'a> {
    client: &'a Client,
    failed: &'a Bundle,
    previous: Option<Bundle>,
    /// What the services said before anything was touched.
    seen: Seen,
}

fn environment(hand_over: Option<&HandOver<'_>>) -> BTreeMap<String, Secret> {
    let variables = hand_over.into_iter().flat_map(HandOver::environment);
    variables.map(|(name, secret)| (name.to_owned(), secret.clone())).collect()
}
