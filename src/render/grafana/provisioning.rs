//! Grafana's provisioning files. Grafana replaces `$NAME` in their values by variables of its
//! environment, and `$$` by `$`.

use serde::Serialize;

use super::DATA_SOURCE;
use crate::render::{Error, yaml};
use crate::stack::{ServiceKind, Stack};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DataSources {
    api_version: u32,
    datasources: Vec<DataSource>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DataSource {
    name: &'static str,
    uid: &'static str,
    r#type: &'static str,
    access: &'static str,
    url: String,
    is_default: bool,
    editable: bool,
    json_data: PrometheusOptions,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PrometheusOptions {
    http_method: &'static str,
    /// The shortest step that makes sense; `$__rate_interval` is computed from it.
    time_interval: String,
    prometheus_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prometheus_version: Option<String>,
}

/// The stack's Prometheus; `None` where there is none.
pub(super) fn data_sources(stack: &Stack) -> Result<Option<String>, Error> {
    let Some(service) = stack.service_of(ServiceKind::Prometheus) else { return Ok(None) };
    let Some(address) = service.address(stack.runtime) else { return Ok(None) };
    let sources = DataSources {
        api_version: 1,
        datasources: vec![DataSource {
            name: "Prometheus",
            uid: DATA_SOURCE,
            r#type: "prometheus",
            access: "proxy",
            url: format!("http://{address}"),
            is_default: true,
            editable: false,
            json_data: PrometheusOptions {
                http_method: "POST",
                time_interval: stack.prometheus.scrape_interval.to_string(),
                prometheus_type: "Prometheus",
                prometheus_version: service.version.map(|v| v.to_string()),
            },
        }],
    };
    let comment = format!("Profile {}: where Grafana's panels get their data. Made by monprov.", stack.name);
    yaml::document(&comment, &sources).map(Some)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Providers {
    api_version: u32,
    providers: Vec<Provider>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Provider {
    name: &'static str,
    r#type: &'static str,
    disable_deletion: bool,
    allow_ui_updates: bool,
    update_interval_seconds: u32,
    options: ProviderOptions,
}

#[derive(Debug, Serialize)]
struct ProviderOptions {
    path: String,
}

/// The folder of dashboards. Grafana looks into it again and again, through the link `live`,
/// so that a switch needs no restart.
pub(super) fn dashboards(stack: &Stack) -> Result<String, Error> {
    let path = stack.runtime.bundle_path(&stack.name, "grafana/dashboards").replace('$', "$$");
    let providers = Providers {
        api_version: 1,
        providers: vec![Provider {
            name: "monprov",
            r#type: "file",
            disable_deletion: false,
            allow_ui_updates: false,
            update_interval_seconds: 10,
            options: ProviderOptions { path },
        }],
    };
    let comment = format!(
        "Profile {}: where Grafana finds its dashboards. Made by monprov; save changes in the profile.",
        stack.name
    );
    yaml::document(&comment, &providers)
}
