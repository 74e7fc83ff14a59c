//! What a run that was killed has left: which service runs which bundle, and the way back to
//! what ran before.

use std::collections::BTreeMap;

use super::http::Client;
use super::proof::Prover;
use super::sequence::{Activator, Error};
use super::{Bundle, Runtime, RuntimeError};
use crate::bundle::manifest::Service;
use crate::stack::ServiceKind;
use crate::store::{Failed, Generation};

/// One of two bundles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Old,
    New,
}

/// What became of killed runs.
#[derive(Debug)]
pub struct Undone {
    /// The newest of them.
    pub cut: Generation,
    /// What ran before it, and is to run again.
    pub again: Generation,
    /// Why it does not.
    pub why: Vec<String>,
}

impl<R: Runtime + ?Sized> Prover<'_, R> {
    /// Which of two bundles each service runs for which they differ, as the runtime and the
    /// services say it; `None` where nobody can tell.
    pub fn sides(&self, old: &Bundle, new: &Bundle) -> Result<BTreeMap<String, Option<Side>>, RuntimeError> {
        let before = self.before(Some(new))?;
        let not_new = self.drifted(new, &before);
        let not_old = self.drifted(old, &self.before(Some(old))?);
        let mut sides = BTreeMap::new();
        let services = |bundle: &Bundle| bundle.manifest.services.clone();
        let (old, new) = (services(old), services(new));
        for name in old.keys().chain(new.keys()) {
            let running = before.observed.0.get(name);
            let definition = running.and_then(|running| running.definition.as_deref());
            let side = match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) if old.definition != new.definition => match definition {
                    Some(found) if found == new.definition => Some(Side::New),
                    Some(found) if found == old.definition => Some(Side::Old),
                    _ => None,
                },
                (Some(old), Some(new)) if old.configuration == new.configuration => continue,
                // Only these say what they have read.
                (
                    Some(Service {
                        kind: ServiceKind::Prometheus | ServiceKind::Alertmanager | ServiceKind::Relay,
                        ..
                    }),
                    Some(_),
                ) => match (not_old.contains(name), not_new.contains(name)) {
                    (false, true) => Some(Side::Old),
                    (true, false) => Some(Side::New),
                    _ => None,
                },
                (Some(_), Some(_)) => None,
                (None, _) => Some(if running.is_some() { Side::New } else { Side::Old }),
                (_, None) => Some(if running.is_some() { Side::Old } else { Side::New }),
            };
            sides.insert(name.clone(), side);
        }
        Ok(sides)
    }
}

impl Activator<'_> {
    /// Brings back what ran before runs that were killed, and proves it. `None`: there is no
    /// such run, or nothing to go back to.
    pub fn undo(&mut self) -> Result<Option<Undone>, Error> {
        let interrupted = self.pending()?;
        let current = self.lock.store().current(self.lock.profile())?;
        let (Some(cut), Some(again)) = (interrupted.last().cloned(), current) else { return Ok(None) };
        let Some(previous) = self.bundle_of(Some(&again))? else { return Ok(None) };
        let mut read = vec![];
        for one in &interrupted {
            read.extend(self.bundle_of(Some(one))?);
        }
        let text = format!(
            "generation {} ({}) was cut short; generation {} is brought back",
            cut.number, cut.bundle, again.number
        );
        (self.say)("found", &text);
        let read: Vec<&Bundle> = read.iter().collect();
        let restored = self.restore(&previous, &read, &Client::new()?, None);
        let why = match restored {
            // It stays pending, and the next run tries again.
            Err(trouble) => trouble.why,
            Ok(()) => {
                let reason = format!("its run was killed; generation {} was restored", again.number);
                for one in interrupted {
                    // It had been proved, and only its success was not written down.
                    if one.number == again.number {
                        self.lock.succeed(one)?;
                    } else {
                        self.lock.fail(one, Failed { reason: &reason, restored: true, rejected: false })?;
                    }
                }
                vec![]
            }
        };
        Ok(Some(Undone { cut, again, why }))
    }
}
