//! What Grafana is provisioned with: its data source, and dashboards as files.

mod dashboard;
mod panel;
mod provisioning;

use crate::bundle::Tree;
use crate::render::Error;
use crate::stack::{DashboardContent, ServiceKind, Stack};

/// The uid of the one data source.
pub const DATA_SOURCE: &str = "prometheus";

/// The largest width of a dashboard, in columns.
pub const COLUMNS: u8 = 24;

/// `grafana/…`; empty where the stack has no Grafana.
pub fn grafana(stack: &Stack) -> Result<Tree, Error> {
    let mut tree = Tree::new();
    if stack.service_of(ServiceKind::Grafana).is_none() {
        return Ok(tree);
    }
    if let Some(text) = provisioning::data_sources(stack)? {
        tree.insert("grafana/provisioning/datasources/prometheus.yml", text);
    }
    if stack.dashboards.is_empty() {
        return Ok(tree);
    }
    tree.insert("grafana/provisioning/dashboards/dashboards.yml", provisioning::dashboards(stack)?);
    for dashboard in stack.dashboards.values() {
        let content = match &dashboard.content {
            DashboardContent::Panels { .. } => dashboard::json(dashboard)?,
            DashboardContent::File { text, .. } => text.clone(),
        };
        tree.insert(format!("grafana/dashboards/{}.json", dashboard.name), content);
    }
    Ok(tree)
}
