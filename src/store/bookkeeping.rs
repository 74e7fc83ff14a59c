//! What every activation does to the books, and activations that do nothing else: `--runtime
//! none`, for stacks that something else runs and reloads. Whoever runs those looks at `live`.

#![expect(clippy::disallowed_methods, reason = "the store is an edge")]

use std::io::ErrorKind;
use std::path::Path;

use super::error::At as _;
use super::generations::{Generation, Outcome};
use super::lock::{Attempt, ProfileLock};
use super::{StoreError, StorePath, history, write};
use crate::bundle::StoreName;

/// The runtime that runs nothing.
pub const NO_RUNTIME: &str = "none";

impl ProfileLock {
    /// Refuses a bundle that may not be activated: one that was changed on disk, or, unless
    /// `force` is given, one that is marked as failed.
    pub fn require_activatable(&self, bundle: &StorePath, force: bool) -> Result<(), StoreError> {
        self.store().require_intact(bundle)?;
        match self.store().rejected(self.profile(), bundle.name())? {
            Some(generation) if !force => Err(StoreError::Rejected {
                profile: self.profile().to_owned(),
                bundle: bundle.name().clone(),
                generation: generation.number,
                reason: generation.reason.unwrap_or_default(),
            }),
            _ => Ok(()),
        }
    }

    /// The current generation, if it has this bundle and `live` points to it: there is nothing to do.
    pub fn already(&self, bundle: &StoreName) -> Result<Option<Generation>, StoreError> {
        let live = self.store().live(self.profile())?;
        let current = self.store().current(self.profile())?;
        let same = live.is_some_and(|live| live.name() == bundle);
        Ok(current.filter(|current| same && current.bundle == *bundle))
    }

    /// Makes the bundle the current one without a runtime. An error leaves what was.
    ///
    /// There is nothing to prove, so the generation is written as a success at once. That
    /// decides: should this run be killed before the links have followed, the next one that
    /// takes the lock moves them.
    pub fn record(&mut self, attempt: Attempt<'_>) -> Result<Generation, StoreError> {
        let before = (self.store().live(self.profile())?, self.store().current_number(self.profile())?);
        let generation = self.next(attempt, Outcome::Activated)?;
        let followed = self.follow(&generation);
        if followed.is_err()
            && let Err(error) = self.take_back(&generation, before)
        {
            tracing::warn!(%error, "can't take generation {} back", generation.number);
        }
        followed.map(|()| generation)
    }

    /// Moves the links to a generation, and makes all of it durable.
    fn follow(&mut self, generation: &Generation) -> Result<(), StoreError> {
        self.link_live(&generation.bundle)?;
        self.link_current(generation.number)?;
        let store = self.store();
        write::sync_together(&[
            store.generations_of(self.profile()),
            store.run_of(self.profile()),
            store.directory().join("current"),
        ])
    }

    /// The generation goes first: on a full disk, that makes room for the links.
    fn take_back(
        &mut self,
        generation: &Generation,
        (live, current): (Option<StorePath>, Option<u64>),
    ) -> Result<(), StoreError> {
        remove(&self.store().generation_path(self.profile(), generation.number)?)?;
        match live {
            Some(live) => self.link_live(live.name())?,
            None => self.remove_live()?,
        }
        match current {
            Some(current) => self.link_current(current),
            None => remove(&self.store().current_path(self.profile())),
        }
    }

    /// Lets the links follow a success of a run that was killed before they had.
    pub(super) fn heal(&mut self) -> Result<(), StoreError> {
        let current = self.store().current_number(self.profile())?;
        if self.store().generation_numbers(self.profile())?.last().copied() == current {
            return Ok(());
        }
        let all = self.store().generations(self.profile())?;
        if let Some(last) = history::last_success(&all)
            && last.runtime == NO_RUNTIME
            && current != Some(last.number)
            && !all.iter().any(|one| Some(one.number) == current && one.number > last.number)
        {
            self.follow(last)?;
            self.healed = Some(last.clone());
        }
        Ok(())
    }

    /// Says which generation of a killed run was brought to its end. One that a runtime was
    /// at can't be without that runtime.
    pub fn settle(&mut self) -> Result<Option<Generation>, StoreError> {
        match self.interrupted()? {
            Some(generation) => Err(StoreError::Interrupted {
                profile: self.profile().to_owned(),
                number: generation.number,
                runtime: generation.runtime,
            }),
            None => Ok(self.healed.take()),
        }
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.at("remove", path),
    }
}
