//! Stack → files, one file a tool.

pub mod alertmanager;
pub mod integrations;
pub mod prometheus;
pub mod versions;
pub mod yaml;

use std::collections::BTreeMap;

use crate::bundle::Tree;
use crate::diagnostic::Finding;
use crate::profile::text::Text;
use crate::stack::{ServiceKind, Stack};

/// Everything that a stack renders to.
#[derive(Debug, Default)]
pub struct Rendered {
    pub tree: Tree,
    pub services: BTreeMap<String, ServiceFiles>,
    pub findings: Vec<Finding>,
}

/// What one service is started with and reads.
#[derive(Debug, Default)]
pub struct ServiceFiles {
    /// How it is started, as text: a change restarts it.
    pub definition: String,
    /// Folders of the bundle that it reads: a change there reloads it.
    pub folders: Vec<String>,
    /// Its secret files by name.
    pub secrets: BTreeMap<String, Text>,
}

impl ServiceFiles {
    /// A file of the bundle is one that this service reads.
    pub fn reads(&self, path: &str) -> bool {
        self.folders.iter().any(|folder| path.starts_with(folder.as_str()))
    }
}

/// Renders a stack.
pub fn render(stack: &Stack) -> Rendered {
    let mut rendered = Rendered::default();
    let prometheus = prometheus::render(stack);
    let alertmanager = alertmanager::render(stack);
    rendered.tree.extend(prometheus.files);
    rendered.tree.extend(alertmanager.files);
    for service in stack.services.values() {
        let mut files = ServiceFiles::default();
        match service.kind {
            ServiceKind::Prometheus => files.secrets = prometheus.secret_files.clone(),
            ServiceKind::Alertmanager => files.secrets = alertmanager.secret_files.clone(),
            ServiceKind::Grafana | ServiceKind::Exporter => {}
        }
        rendered.services.insert(service.name.clone(), files);
    }
    rendered
}
