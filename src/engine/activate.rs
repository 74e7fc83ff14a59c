//! From a bundle in the store to the running stack: which runtime carries it, today's secrets,
//! and the sequence of [`crate::activate`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Failure, Options, Report, distribute, drill, resolve_secrets};
use crate::activate::compose::Compose;
use crate::activate::interrupted::{Side, Undone};
use crate::activate::kubernetes::{self, Kubernetes};
use crate::activate::process::ProcessRuntime;
use crate::activate::proof;
use crate::activate::sequence::{Activation, Activator, Error, Outlook, Request, Say};
use crate::activate::swarm::Swarm;
use crate::activate::sync::Sync;
use crate::activate::{Bundle, Observed, Runtime};
use crate::bundle::manifest::Manifest;
use crate::diagnostic::has_errors;
use crate::project::Project;
use crate::secret::{self, HandOver, Resolved};
use crate::stack::{self, ServiceKind};
use crate::store::{Difference, Generation, NO_RUNTIME, Outcome, ProfileLock, Rollback, Store, StorePath};

/// What is to become of a profile.
#[derive(Debug)]
pub struct Change<'a> {
    pub bundle: &'a StorePath,
    pub rollback: Option<Rollback>,
    pub message: Option<&'a str>,
    /// Also a bundle that is marked as failed.
    pub force: bool,
    /// See [`Request::stay`].
    pub stay: bool,
    /// A canary has to reach every receiver that is new or another: how long it may take.
    pub drill: Option<Duration>,
    /// No service is waited for longer than this.
    pub deadline: Duration,
}

/// What services get where nobody says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Makes a bundle what runs.
pub fn activate(
    project: &Project,
    lock: &mut ProfileLock,
    change: &Change<'_>,
    options: &Options,
    say: &mut Say<'_>,
) -> Result<Activation, Failure> {
    let (bundle, runtime, secrets) = prepare(project, lock, change, options, true)?;
    if change.drill.is_some() {
        drill::is_possible(&bundle)?;
    }
    let resolve = |manifest: &Manifest| resolve_again(project, manifest, options);
    if let Some(former) = former_project(lock, &bundle)? {
        let own = Compose::project(&bundle);
        let kind = if runtime.name() == "swarm" { "Swarm stack" } else { "Compose project" };
        let text = format!(
            "{kind} {former} → {own}: its containers are replaced, its volumes ({former}_…) stay as they are"
        );
        say("project", &text);
    }
    let before = lock.store().live(lock.profile())?;
    let store = lock.store().clone();
    let drilled = |say: &mut Say<'_>| match change.drill {
        None => Ok(()),
        Some(timeout) => drill::changed(&store, before.as_ref(), &bundle, &*runtime, timeout, say),
    };
    let request = Request {
        bundle: &bundle,
        secrets: secrets.as_ref(),
        message: change.message,
        rollback: change.rollback,
        stay: change.stay,
        also: Some(&drilled),
    };
    let mut activator =
        Activator { lock, runtime: &*runtime, resolve: &resolve, deadline: change.deadline, say };
    activator.activate(&request).map_err(failure)
}

/// Brings back what ran before runs that were killed; `None` where there is none of either.
pub fn undo(
    project: &Project,
    lock: &mut ProfileLock,
    options: &Options,
    say: &mut Say<'_>,
) -> Result<Option<Undone>, Failure> {
    let (Some(_), Some(current)) = (lock.interrupted()?, lock.store().current(lock.profile())?) else {
        return Ok(None);
    };
    let bundle = Bundle::open(lock.store().path_of(&current.bundle))?;
    let runtime = runtime(lock.store(), &bundle)?;
    let resolve = |manifest: &Manifest| resolve_again(project, manifest, options);
    Activator { lock, runtime: &*runtime, resolve: &resolve, deadline: DEADLINE, say }.undo().map_err(failure)
}

/// Where a service of what runs can be reached from here, while this lives.
#[expect(missing_debug_implementations, reason = "a trait object")]
pub struct Reached {
    /// `127.0.0.1:9090`
    pub address: String,
    _carrier: Box<dyn Runtime>,
}

/// Where a service of what runs can be reached from here.
pub fn address(project: &Project, profile: &str, kind: ServiceKind) -> Result<Option<Reached>, Failure> {
    let store = Store::open(&project.state)?;
    let Some(path) = store.live(profile)? else { return Ok(None) };
    let bundle = Bundle::open(path)?;
    if bundle.manifest.runtime == NO_RUNTIME {
        return Ok(None);
    }
    match bundle.service_of(kind) {
        Some((name, port)) => {
            let carrier = runtime(&store, &bundle)?;
            let address = carrier.address(name, port)?;
            Ok(address.map(|address| Reached { address, _carrier: carrier }))
        }
        None => Ok(None),
    }
}

/// What [`activate`] would do. Touches nothing.
pub fn outlook(
    project: &Project,
    lock: &mut ProfileLock,
    change: &Change<'_>,
    options: &Options,
) -> Result<Outlook, Failure> {
    let (bundle, runtime, secrets) = prepare(project, lock, change, options, false)?;
    let resolve = |_: &Manifest| Err(String::new());
    let activator =
        Activator { lock, runtime: &*runtime, resolve: &resolve, deadline: DEADLINE, say: &mut |_, _| {} };
    activator.outlook(&bundle, secrets.as_ref()).map_err(failure)
}

type Prepared = (Bundle, Box<dyn Runtime>, Option<Resolved>);

fn prepare(
    project: &Project,
    lock: &ProfileLock,
    change: &Change<'_>,
    options: &Options,
    generate: bool,
) -> Result<Prepared, Failure> {
    lock.require_activatable(change.bundle, change.force)?;
    distribute::require_trusted(project, lock.store(), change.bundle)?;
    let bundle = Bundle::open(change.bundle.clone())?;
    require_same_runtime(lock, &bundle)?;
    let runtime = runtime(lock.store(), &bundle)?;
    let secrets = match options.secrets {
        true => Some(resolve(project, &bundle.manifest, options, generate)?),
        false => None,
    };
    Ok((bundle, runtime, secrets))
}

/// The values of a bundle's secrets as they are today.
fn resolve(
    project: &Project,
    manifest: &Manifest,
    options: &Options,
    generate: bool,
) -> Result<Resolved, Failure> {
    let mut resolved = resolve_secrets(project, &manifest.profile, &manifest.secrets, options, generate);
    if has_errors(&resolved.findings) {
        let findings = std::mem::take(&mut resolved.findings);
        return Err(Failure::Refused(Box::new(Report { findings, ..Report::default() })));
    }
    Ok(resolved)
}

/// The same for a way back, on which there is nobody to show findings to.
fn resolve_again(project: &Project, manifest: &Manifest, options: &Options) -> Result<Resolved, String> {
    resolve(project, manifest, options, true).map_err(|failure| failure.to_string())
}

/// The runtime that a bundle was built for.
pub(super) fn runtime(store: &Store, bundle: &Bundle) -> Result<Box<dyn Runtime>, Failure> {
    match bundle.manifest.runtime.as_str() {
        "compose" => Ok(Box::new(Compose::new(store.directory(), projects(store, bundle)?)?)),
        "swarm" => {
            let profile = &bundle.manifest.profile;
            Ok(Box::new(Swarm::new(store.directory(), profile, projects(store, bundle)?)))
        }
        "kubernetes" => Ok(Box::new(Kubernetes::new(store.directory(), bundle, &others(store, bundle)?))),
        "process" => Ok(Box::new(ProcessRuntime::new(store.directory(), &bundle.manifest.profile))),
        other => Err(anyhow::anyhow!(
            "{} is for the runtime `{other}`, which this monprov does not know: use a newer one, or set \
             `stack.runtime` in the profile",
            bundle.short()
        )
        .into()),
    }
}

/// What carries a bundle, by its manifest.
pub fn runtime_of(path: StorePath) -> anyhow::Result<stack::Runtime> {
    let bundle = Bundle::open(path)?;
    let name = serde_json::Value::from(bundle.manifest.runtime.as_str());
    let known: Option<stack::Runtime> = serde_json::from_value(name).ok();
    known.ok_or_else(|| {
        anyhow::anyhow!(
            "{} is for the runtime `{}`, which has no unit",
            bundle.short(),
            bundle.manifest.runtime
        )
    })
}

/// What another runtime carries would run on beside the new.
fn require_same_runtime(lock: &ProfileLock, bundle: &Bundle) -> Result<(), Failure> {
    let (store, profile) = (lock.store(), lock.profile());
    let (Some(_), Some(current)) = (store.live(profile)?, store.current(profile)?) else { return Ok(()) };
    let (runs, wanted) = (&current.runtime, &bundle.manifest.runtime);
    if wanted == "kubernetes" && runs == wanted {
        return require_same_place(store, &current, bundle);
    }
    if runs == NO_RUNTIME || runs == wanted {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "generation {} of `{profile}` runs under `{runs}`, and this bundle is for `{wanted}`: `monprov down {profile}` \
         ends what runs, then run this again",
        current.number
    )
    .into())
}

/// What runs in another namespace or cluster would run on there.
fn require_same_place(store: &Store, current: &Generation, bundle: &Bundle) -> Result<(), Failure> {
    let Some(running) = store.get(&current.bundle)?.map(Bundle::open).transpose()? else { return Ok(()) };
    let (runs, wanted) = (kubernetes::place(&running), kubernetes::place(bundle));
    if runs == wanted {
        return Ok(());
    }
    let named = |(context, namespace): (Option<String>, String)| match context {
        Some(context) => format!("namespace `{namespace}` of the context `{context}`"),
        None => format!("namespace `{namespace}`"),
    };
    let profile = &bundle.manifest.profile;
    Err(anyhow::anyhow!(
        "generation {} of `{profile}` runs in the {}, and this bundle is for the {}: `monprov down {profile}` ends what \
         runs, then run this again",
        current.number,
        named(runs),
        named(wanted)
    )
    .into())
}

/// The Compose project, or Swarm stack, of what runs, where the bundle has another.
fn former_project(lock: &ProfileLock, bundle: &Bundle) -> Result<Option<String>, Failure> {
    let store = lock.store();
    let live = store.live(lock.profile())?;
    let (true, Some(live)) = (matches!(bundle.manifest.runtime.as_str(), "compose" | "swarm"), live) else {
        return Ok(None);
    };
    let former = Compose::project(&Bundle::open(live)?);
    Ok((former != Compose::project(bundle)).then_some(former))
}

/// The Compose projects, or Swarm stacks, in which something of the profile may run: that of the bundle, and
/// those of what was activated last and of runs that were killed.
fn projects(store: &Store, bundle: &Bundle) -> Result<BTreeSet<String>, Failure> {
    let others = others(store, bundle)?;
    Ok(others.iter().chain([bundle]).map(Compose::project).collect())
}

/// What else of the runtime may still run: what was activated last, and runs that were killed.
fn others(store: &Store, bundle: &Bundle) -> Result<Vec<Bundle>, Failure> {
    let profile = &bundle.manifest.profile;
    let mut generations = store.generations(profile)?;
    generations.retain(|one| one.outcome == Outcome::Pending);
    let mut others = vec![];
    for one in store.current(profile)?.into_iter().chain(generations) {
        if let Some(other) = store.get(&one.bundle)?.map(Bundle::open).transpose()?
            && other.manifest.runtime == bundle.manifest.runtime
        {
            others.push(other);
        }
    }
    Ok(others)
}

/// Hands rotated secrets to what runs of a bundle.
pub fn sync(
    lock: &mut ProfileLock,
    bundle: &Bundle,
    secrets: &Resolved,
    say: &mut Say<'_>,
) -> Result<Sync, Failure> {
    let runtime = runtime(lock.store(), bundle)?;
    let resolve = |_: &Manifest| Err(String::new());
    Activator { lock, runtime: &*runtime, resolve: &resolve, deadline: DEADLINE, say }
        .sync(bundle, secrets)
        .map_err(failure)
}

/// Stops everything of a profile. `None`: nothing of it runs.
pub fn down(lock: &mut ProfileLock) -> Result<Option<Bundle>, Failure> {
    let Some(bundle) = running(lock.store(), lock.profile())? else { return Ok(None) };
    let runtime = runtime(lock.store(), &bundle)?;
    let resolve = |_: &Manifest| Err(String::new());
    Activator { lock, runtime: &*runtime, resolve: &resolve, deadline: DEADLINE, say: &mut |_, _| {} }
        .down()
        .map_err(failure)?;
    Ok(Some(bundle))
}

/// The bundle that `live` points to, or else that of the newest generation: a run that was
/// killed early may have started something.
fn running(store: &Store, profile: &str) -> Result<Option<Bundle>, Failure> {
    let newest = store.generations(profile)?.pop().map(|newest| store.path_of(&newest.bundle));
    let Some(path) = store.live(profile)?.or(newest) else { return Ok(None) };
    Ok(Some(Bundle::open(path)?))
}

/// How a profile is.
#[derive(Debug)]
pub struct Status {
    pub profile: String,
    /// The last generation that was proved; `None` before the first, and after `down`.
    pub current: Option<Generation>,
    /// Whose run was killed; the next command that changes something settles that.
    pub interrupted: Option<Generation>,
    /// Another run is at it just now.
    pub changing: bool,
    /// The generation that each service runs for which that one and the current one differ;
    /// `None` where nobody can tell.
    pub runs: BTreeMap<String, Option<u64>>,
    pub bundle: Option<Bundle>,
    pub services: Observed,
    pub proof: proof::Report,
    /// What was changed in the bundle on disk.
    pub changed: Vec<Difference>,
    /// Services whose secrets are not today's; `Err` where today's can't be had here.
    pub secrets: Result<Vec<String>, String>,
}

impl Status {
    pub fn is_well(&self) -> bool {
        self.interrupted.is_none()
            && self.changed.is_empty()
            && self.proof.wrong().next().is_none()
            && self.secrets.as_ref().map_or(true, Vec::is_empty)
    }
}

/// Asks everything that is to be asked. Touches nothing.
pub fn status(project: &Project, profile: &str, options: &Options) -> Result<Status, Failure> {
    let store = Store::open(&project.state)?;
    let interrupted = store.interrupted(profile)?;
    let current = store.current(profile)?;
    let live = store.live(profile)?;
    let mut status = Status {
        profile: profile.to_owned(),
        current: current.filter(|_| live.is_some()),
        changing: false,
        interrupted,
        runs: BTreeMap::new(),
        bundle: None,
        services: Observed::default(),
        proof: proof::Report::default(),
        changed: vec![],
        secrets: Ok(vec![]),
    };
    let pending = |one: &Generation| one.outcome == Outcome::Pending;
    status.changing = status.interrupted.is_none() && store.generations(profile)?.iter().any(pending);
    let wanted = status.current.as_ref().map(|current| store.path_of(&current.bundle)).or(live);
    let Some(path) = wanted else { return Ok(status) };
    status.changed = store.verify(&path)?;
    let bundle = Bundle::open(path)?;
    if bundle.manifest.runtime != NO_RUNTIME {
        let runtime = runtime(&store, &bundle)?;
        let client = crate::activate::http::Client::new()?;
        let prover = proof::Prover {
            runtime: &*runtime,
            client: &client,
            state: store.directory(),
            deadline: DEADLINE,
        };
        (status.services, status.proof) = prover.report(&bundle)?;
        if let (Some(cut), Some(current)) = (&status.interrupted, &status.current)
            && let Some(new) = store.get(&cut.bundle)?
        {
            let number = |side: Side| if side == Side::New { cut.number } else { current.number };
            let sides = prover.sides(&bundle, &Bundle::open(new)?)?;
            status.runs = sides.into_iter().map(|(name, side)| (name, side.map(number))).collect();
        }
    }
    status.secrets = rotated(project, &store, &bundle.manifest, options);
    status.bundle = Some(bundle);
    Ok(status)
}

/// The services to which a hand-over would bring something new.
fn rotated(
    project: &Project,
    store: &Store,
    manifest: &Manifest,
    options: &Options,
) -> Result<Vec<String>, String> {
    if !options.secrets {
        return Err("not asked (--no-secrets)".into());
    }
    let resolved = resolve_secrets(project, &manifest.profile, &manifest.secrets, options, false);
    if let Some(finding) = resolved.findings.iter().find(|f| f.severity == crate::diagnostic::Severity::Error)
    {
        return Err(finding.message.clone());
    }
    let changes = HandOver::new(manifest, &resolved)
        .and_then(|hand_over| secret::outstanding(store.directory(), &hand_over))
        .map_err(|error| error.to_string())?;
    Ok(changes.into_keys().collect())
}

/// Refusals of the store have an exit code of their own.
fn failure(error: Error) -> Failure {
    match error {
        Error::Store(error) => error.into(),
        error => error.into(),
    }
}
