//! The secrets of a channel, by the names that its plugin uses.

use std::collections::BTreeMap;

use super::join;
use super::redact::Hidden;
use super::send::Wrong;
use crate::plugin::channel::Escape;
use crate::secret::Secret;

/// Less can't be told from ordinary text when it comes back in an answer.
const SHORTEST: usize = 4;
/// A private key of 4,096 bits has 3,300.
const LONGEST: usize = 8 << 10;

#[derive(Debug)]
pub(super) struct Values {
    by_name: BTreeMap<String, Secret>,
    hidden: Hidden,
}

impl Values {
    pub(super) fn new(by_name: BTreeMap<String, Secret>) -> Self {
        // As they are, and as they are sent.
        let forms = by_name.values().flat_map(|secret| {
            [Escape::None, Escape::JsonString, Escape::UriComponent]
                .map(|escape| join::escaped(secret.expose(), escape))
        });
        let hidden = Hidden::new(forms.map(|form| form.as_bytes().to_vec().into()).collect());
        Values { by_name, hidden }
    }

    /// Whether all of them can be kept from a plugin.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        for (name, secret) in &self.by_name {
            let what = match secret.expose().len() {
                0 => "is empty".to_owned(),
                1..SHORTEST => format!("has fewer than {SHORTEST} bytes, too few to be hidden in an answer"),
                SHORTEST..=LONGEST => continue,
                _ => format!("has more than {LONGEST} bytes"),
            };
            return Err(Wrong(format!("the secret of the grant `{name}` {what}")));
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Secret> {
        self.by_name.get(name)
    }

    pub(super) fn hidden(&self) -> &Hidden {
        &self.hidden
    }
}
