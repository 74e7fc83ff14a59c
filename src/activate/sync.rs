//! Rotated secrets for what runs: no new generation, and only those services are touched that
//! have something to do about it.

use super::http::Client;
use super::proof::Report;
use super::sequence::{Activator, Error, Trouble, Way};
use super::{Bundle, Plan, Step};
use crate::secret::{HandOver, Resolved, outstanding};

/// What came of it.
#[derive(Debug)]
pub enum Sync {
    /// Nothing of the profile runs: the next start finds the secrets where they are now.
    Idle,
    Done {
        plan: Plan,
        report: Report,
    },
    /// The values are handed over, but not all is well. The next run tries again.
    Failed {
        why: Vec<String>,
    },
}

impl Activator<'_> {
    /// Hands secrets to the services of a bundle that runs.
    pub fn sync(&mut self, bundle: &Bundle, secrets: &Resolved) -> Result<Sync, Error> {
        let observed = self.runtime.observe()?;
        if !observed.0.values().any(|running| running.state.is_up()) {
            return Ok(Sync::Idle);
        }
        let hand_over = HandOver::new(&bundle.manifest, secrets)?;
        let changes = outstanding(self.lock.store().directory(), &hand_over)?;
        let manifests = [&bundle.manifest];
        let mut plan = Plan::new(&manifests, &bundle.manifest, &observed, &changes, self.runtime.reloads());
        // Whatever else is not as it should be is the business of `switch`.
        for (service, step) in &mut plan.0 {
            if !changes.contains_key(service) {
                *step = Step::Keep;
            }
        }
        let client = Client::new()?;
        let state = self.lock.store().directory().to_owned();
        let before = self.prover(&client, &state).before(Some(bundle))?;
        let way = Way { client: &client, bundle, resolved: Some(secrets), plan: &plan };
        Ok(match self.take(&way, &before, None) {
            Ok(report) => Sync::Done { plan, report },
            Err(Trouble { why, .. }) => Sync::Failed { why },
        })
    }
}
