//! `/metrics`. Labels are names of channels and words of ours: nothing that a plugin or a
//! service says becomes one.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::delivery::{Later, Never};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    channel: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    channel: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

type Times = Family<Name, Histogram, fn() -> Histogram>;

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    delivered: Family<Name, Counter>,
    retried: Family<Reason, Counter>,
    rejected: Family<Reason, Counter>,
    alerts: Family<Name, Counter>,
    requests: Family<Name, Counter>,
    notification_seconds: Times,
    request_seconds: Times,
    progress: Family<Name, Gauge>,
    dropped: Family<Name, Counter>,
    refused: Family<Status, Counter>,
    pub(super) connections: Gauge,
    reload_successful: Gauge,
    reload_at: Gauge,
}

/// What every notification of a channel counts, looked up once.
#[derive(Debug)]
pub(super) struct Counted {
    delivered: Counter,
    alerts: Counter,
    requests: Counter,
    notification_seconds: Histogram,
    request_seconds: Histogram,
    progress: Gauge,
    dropped: Counter,
}

impl Counted {
    pub(super) fn delivered(&self, took: Duration) {
        self.delivered.inc();
        self.notification_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn alerts(&self, count: u64) {
        self.alerts.inc_by(count);
    }

    pub(super) fn request(&self, took: Duration) {
        self.requests.inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn progress(&self, groups: usize, dropped: u64) {
        self.progress.set(i64::try_from(groups).unwrap_or(i64::MAX));
        if dropped > 0 {
            self.dropped.inc_by(dropped);
        }
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("monprov_relay");
        let delivered = Family::default();
        registry.register("delivered", "Notifications delivered in full", delivered.clone());
        let retried = Family::default();
        registry.register("retried", "Notifications that Alertmanager has to send again", retried.clone());
        let rejected = Family::default();
        registry.register("rejected", "Notifications that can't be delivered as they are", rejected.clone());
        let alerts = Family::default();
        registry.register("alerts", "Alerts and resolutions delivered", alerts.clone());
        let requests = Family::default();
        registry.register("requests", "Requests sent to the service of a channel", requests.clone());
        let notification_seconds = Times::new_with_constructor(seconds);
        registry.register(
            "notification_seconds",
            "From a notification's last byte to its answer",
            notification_seconds.clone(),
        );
        let request_seconds = Times::new_with_constructor(seconds);
        registry.register("request_seconds", "From a request to its response", request_seconds.clone());
        let progress = Family::default();
        registry.register("groups_in_part", "Groups of which a part is delivered", progress.clone());
        let dropped = Family::default();
        registry.register(
            "progress_dropped",
            "Groups whose progress was forgotten to keep memory bounded; parts of them are told twice",
            dropped.clone(),
        );
        let refused = Family::default();
        registry.register("refused", "HTTP requests that were refused, by status", refused.clone());
        let connections = Gauge::default();
        registry.register("connections", "Connections that are open", connections.clone());
        let reload_successful = Gauge::default();
        registry.register(
            "config_last_reload_successful",
            "Whether the last configuration was taken",
            reload_successful.clone(),
        );
        let reload_at = Gauge::default();
        registry.register(
            "config_last_reload_success_timestamp_seconds",
            "When a configuration was last taken",
            reload_at.clone(),
        );
        Metrics {
            registry,
            delivered,
            retried,
            rejected,
            alerts,
            requests,
            notification_seconds,
            request_seconds,
            progress,
            dropped,
            refused,
            connections,
            reload_successful,
            reload_at,
        }
    }

    /// The counters of a channel.
    pub(super) fn channel(&self, channel: &str) -> Counted {
        let name = name(channel);
        Counted {
            delivered: self.delivered.get_or_create_owned(&name),
            alerts: self.alerts.get_or_create_owned(&name),
            requests: self.requests.get_or_create_owned(&name),
            notification_seconds: self.notification_seconds.get_or_create_owned(&name),
            request_seconds: self.request_seconds.get_or_create_owned(&name),
            progress: self.progress.get_or_create_owned(&name),
            dropped: self.dropped.get_or_create_owned(&name),
        }
    }

    /// Starts what goes wrong with a channel at 0, so that the first failure is an increase.
    pub(super) fn expect(&self, channel: &str) {
        for later in Later::all() {
            drop(self.retried.get_or_create(&reason(channel, later.name())));
        }
        for never in Never::ALL {
            drop(self.rejected.get_or_create(&reason(channel, never.name())));
        }
    }

    pub(super) fn retried(&self, channel: &str, why: &'static str) {
        self.retried.get_or_create(&reason(channel, why)).inc();
    }

    pub(super) fn rejected(&self, channel: &str, why: &'static str) {
        self.rejected.get_or_create(&reason(channel, why)).inc();
    }

    pub(super) fn refused(&self, status: u16) {
        self.refused.get_or_create(&Status { status }).inc();
    }

    pub(super) fn reloaded(&self, at: Option<jiff::Timestamp>) {
        self.reload_successful.set(at.is_some().into());
        if let Some(at) = at {
            self.reload_at.set(at.as_second());
        }
    }

    pub(super) fn text(&self) -> String {
        let mut all = String::new();
        // Writing to a text never fails.
        let _ = text::encode(&mut all, &self.registry);
        all
    }
}

fn name(channel: &str) -> Name {
    Name { channel: channel.to_owned() }
}

fn reason(channel: &str, reason: &'static str) -> Reason {
    Reason { channel: channel.to_owned(), reason }
}
