//! Another configuration in the place of the one that runs. A bad one changes nothing.

use std::sync::{Arc, PoisonError, RwLock};

use super::Options;
use super::config::{self, Config};
use super::locked;
use super::metrics::Metrics;

/// What runs, once there is something.
#[derive(Debug, Default)]
pub(super) struct Running {
    now: RwLock<Option<(Arc<Config>, jiff::Timestamp)>>,
    /// One at a time.
    loading: std::sync::Mutex<()>,
}

impl Running {
    pub(super) fn now(&self) -> Option<Arc<Config>> {
        self.since().map(|(config, _)| config)
    }

    /// With when it was taken.
    pub(super) fn since(&self) -> Option<(Arc<Config>, jiff::Timestamp)> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads all anew. This blocks, and compiles plugins that are new.
    pub(super) fn load(&self, options: &Options, metrics: &Metrics) -> anyhow::Result<()> {
        let _one = locked(&self.loading);
        let before = self.now();
        let config = match config::load(options, before.as_deref(), metrics) {
            Ok(config) => config,
            Err(error) => {
                metrics.reloaded(None);
                return Err(error);
            }
        };
        config.channels.keys().for_each(|channel| metrics.expect(channel));
        let at = jiff::Timestamp::now();
        let count = config.channels.len();
        tracing::info!("runs {count} channels of {}", config.sha256);
        metrics.reloaded(Some(at));
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Some((Arc::new(config), at));
        Ok(())
    }
}
