//! Grafana's files; dashboards are held against Grafana's own types by the real `tsc`.
