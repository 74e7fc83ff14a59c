//! The metrics in which Prometheus and Alertmanager say how their last reload went.

/// What `NAME_config_last_reload_*` says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Reload {
    pub successful: Option<bool>,
    /// When the configuration was last taken over, by the daemon's clock.
    pub at: Option<f64>,
    /// Alertmanager's digest of its configuration file.
    pub hash: Option<f64>,
}

impl Reload {
    /// `tool`: `prometheus` or `alertmanager`.
    pub(super) fn read(metrics: &str, tool: &str) -> Reload {
        let value = |name: &str| {
            let name = format!("{tool}_config_{name}");
            let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(name.as_str()));
            lines.find_map(|rest| rest.strip_prefix(' ')?.trim().parse::<f64>().ok())
        };
        Reload {
            successful: value("last_reload_successful").map(|v| v == 1.0),
            at: value("last_reload_success_timestamp_seconds"),
            hash: value("hash"),
        }
    }

    /// A reload has succeeded since. Both times are the daemon's own, so clocks don't matter.
    pub(super) fn is_later_than(&self, before: &Reload) -> bool {
        match (self.at, before.at) {
            (Some(now), Some(then)) => now > then,
            (now, _) => now.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_by_their_whole_name() {
        let text = "# HELP alertmanager_config_hash Hash\nalertmanager_config_hash 5.3717965383712e+13\n\
                    alertmanager_config_last_reload_successful 1\n\
                    alertmanager_config_last_reload_success_timestamp_seconds 1.795563425540164e+09\n";
        let reload = Reload::read(text, "alertmanager");
        assert_eq!(reload.successful, Some(true));
        assert_eq!(reload.hash, Some(53_717_965_383_712.0));
        assert!(!reload.is_later_than(&reload));
        assert!(reload.is_later_than(&Reload { at: Some(1.0), ..reload }));
        assert_eq!(Reload::read(text, "prometheus"), Reload::default());
    }
}
