//! What every activation does to the books, and activations that do nothing else: `--runtime
//! none`, for stacks that something else runs and reloads. Whoever runs those looks at `live`.

use super::generations::Generation;
use super::lock::{Attempt, Failed, ProfileLock};
use super::{StoreError, StorePath};
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
    pub fn record(&mut self, attempt: Attempt<'_>) -> Result<Generation, StoreError> {
        let before = self.store().live(self.profile())?;
        let generation = self.begin(attempt)?;
        let moved = self.point_live(&generation.bundle).and_then(|()| self.succeed(generation.clone()));
        moved.inspect_err(|error| {
            if let Err(left) = self.undo(generation, before.as_ref(), &error.to_string()) {
                // On a full disk, say. It stays pending, and the next run settles it.
                tracing::warn!(%left, "can't undo");
            }
        })
    }

    /// Ends what a killed [`ProfileLock::record`] began: what was current already stays so,
    /// everything else is undone. Says which generation that was.
    pub fn settle(&mut self) -> Result<Option<Generation>, StoreError> {
        let Some(generation) = self.interrupted()? else { return Ok(None) };
        if generation.runtime != NO_RUNTIME {
            return Err(StoreError::Interrupted {
                profile: self.profile().to_owned(),
                number: generation.number,
                runtime: generation.runtime,
            });
        }
        if self.store().current_number(self.profile())? == Some(generation.number) {
            self.point_live(&generation.bundle)?;
            return self.succeed(generation).map(Some);
        }
        let current = self.store().current(self.profile())?;
        let before = current.map(|current| self.store().path_of(&current.bundle));
        self.undo(generation, before.as_ref(), "the run was killed").map(Some)
    }

    fn undo(
        &mut self,
        generation: Generation,
        before: Option<&StorePath>,
        reason: &str,
    ) -> Result<Generation, StoreError> {
        match before {
            Some(before) => self.point_live(before.name())?,
            None => self.remove_live()?,
        }
        self.fail(generation, Failed { reason, restored: true, rejected: false })
    }
}
