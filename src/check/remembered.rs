//! What a pure function made of a text, for the next who asks on the same thread: expressions are
//! looked at by several checks, and many profiles have the same.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;

/// What is kept; with more, it begins anew.
const MOST: usize = 4096;

#[derive(Debug)]
pub(super) struct Remembered<K, V>(RefCell<HashMap<K, V>>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Remembered(RefCell::default())
    }
}

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    pub(super) fn get<Q>(&self, key: &Q, make: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(known) = self.0.borrow().get(key) {
            return known.clone();
        }
        let made = make();
        let mut known = self.0.borrow_mut();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key.to_owned(), made.clone());
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_bounded() {
        let all = Remembered::default();
        let twice = [1, 2].map(|made| all.get("a", || made));
        assert_eq!(twice, [1, 1]);
        for n in 0..10 * MOST {
            all.get(n.to_string().as_str(), || 0);
        }
        assert!(all.0.borrow().len() <= MOST);
    }
}
