//! One attempt at a time for each group: the next waits, and then sees what came of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::OwnedMutexGuard;

use super::locked;
use super::progress::Key;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// Groups that somebody works on or waits for.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<HashMap<Key, Lock>>);

/// The right to work on a group.
pub(super) struct Turn<'g> {
    groups: &'g Groups,
    key: Key,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Groups {
    /// Waits until nobody works on the group; those who wait get it in their order.
    pub(super) async fn turn(&self, key: Key) -> Turn<'_> {
        // Also where the wait is given up, the group is forgotten by the last one.
        let mut turn = Turn { groups: self, key, guard: None };
        let lock = locked(&self.0).entry(key).or_default().clone();
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut all = locked(&self.groups.0);
        self.guard = None;
        // Only the table holds it: nobody waits.
        if all.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            all.remove(&self.key);
        }
    }
}
