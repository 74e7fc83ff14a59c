//! Many profiles and sites at once, on all processors: what they share is read, hashed, merged
//! and taken in once, and one that fails stops no other.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::plugins::{self, Taken};
use super::{Evaluation, Failure, Loaded, Made, Options, evaluate_with, load_using, make};
use crate::profile::matrix::Profiles;
use crate::project::Project;
use crate::store::{Hold, Store};

/// Profiles may be nested as deep as the first thread's stack allows.
const STACK: usize = 8 << 20;

/// Threads a processor: each waits for the disk about as long as it works.
const EACH: usize = 2;

/// What is to be built, and what it shares.
#[derive(Debug)]
pub struct All<'a> {
    project: &'a Project,
    profiles: Profiles<'a>,
    /// In order, each once.
    names: Vec<String>,
}

/// One of many, on the thread that works on it.
#[derive(Debug)]
pub struct One<'a> {
    all: &'a All<'a>,
    taken: &'a Taken,
    pub name: &'a str,
}

impl<'a> All<'a> {
    /// The profile or site of that name, all sites of a profile with a matrix, or, without a name,
    /// all that can be built. `project` should be one that reads everything [once](Project::once).
    pub fn of(project: &'a Project, wanted: Option<&str>) -> Self {
        let profiles = Profiles::new(project);
        let names = match wanted {
            Some(wanted) => profiles.targets(wanted),
            None => profiles.all(),
        };
        All { project, profiles, names }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Works on each, side by side; the results stand in the order of the names.
    pub fn each<T: Send>(&self, work: impl Fn(&One<'_>) -> T + Sync) -> anyhow::Result<Vec<T>> {
        let next = AtomicUsize::new(0);
        let worker = || {
            let taken = Taken::default();
            let mut done = vec![];
            while let at = next.fetch_add(1, Ordering::Relaxed)
                && let Some(name) = self.names.get(at)
            {
                done.push((at, work(&One { all: self, taken: &taken, name })));
            }
            done
        };
        let workers = thread::available_parallelism().map_or(1, NonZero::get) * EACH;
        let workers = workers.min(self.names.len());
        let mut results: Vec<(usize, T)> = thread::scope(|scope| {
            let threads =
                (0..workers).map(|_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, worker));
            let threads = threads.collect::<Result<Vec<_>, _>>()?;
            let joined = threads.into_iter().map(|thread| {
                thread
                    .join()
                    .map_err(|_| anyhow::anyhow!("a thread that builds ended; this is a defect of monprov"))
            });
            Ok::<_, anyhow::Error>(joined.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        })?;
        results.sort_by_key(|(at, _)| *at);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }
}

impl One<'_> {
    /// As [`load`](super::load).
    pub fn load(&self, options: &Options) -> Result<Loaded, Failure> {
        let All { project, profiles, .. } = self.all;
        let variable = |name: &str| options.environment.var(name);
        load_using(project, profiles, self.name, &variable, plugins::files)
    }

    /// As [`evaluate`](super::evaluate).
    pub fn evaluate(&self, options: &Options) -> Result<Evaluation, Failure> {
        evaluate_with(self.all.project, self.load(options)?, options, self.taken)
    }

    /// As [`build`](super::build). `_hold`: keeps the bundle until something points to it.
    pub fn build(&self, store: &Store, _hold: &Hold, options: &Options) -> Result<Made, Failure> {
        let load = || self.load(options);
        let (made, ()) = make(self.all.project, store, self.name, options, load, self.taken, || Ok(()))?;
        Ok(made)
    }
}
