//! Dashboards: panels that show something, queries that the stack can answer.

use serde_json::Value;

use super::metrics::Sources;
use super::promql;
use crate::diagnostic::{Code, Finding, Place};
use crate::render::grafana::{COLUMNS, DATA_SOURCE};
use crate::stack::{Dashboard, DashboardContent, Panel, ServiceKind, Stack};

pub static M401: Code = Code {
    id: "M401",
    title: "a panel that can't be shown",
    explain: "A panel needs at least one query, a width of 1 to 24 columns and a height of at least 1 row.",
};

pub static M402: Code = Code {
    id: "M402",
    title: "a dashboard file that Grafana would not take",
    explain:
        "The file must be a dashboard's JSON model as Grafana exports it: an object with `title` and `panels`.
What the API returns (`{\"dashboard\": …, \"meta\": …}`) is an envelope around it. A dashboard exported
for sharing externally holds placeholders such as `${DS_PROMETHEUS}` that only an import by hand fills;
export it without, or replace them by the data source's uid `prometheus`.",
};

pub static M403: Code = Code {
    id: "M403",
    title: "a panel asks a data source that the stack does not have",
    explain: "The stack provisions one data source, Prometheus, with the uid `prometheus`. A panel that names another
stays empty. Use that uid, a variable of type `datasource`, or none, which means the default.",
};

pub static M404: Code = Code {
    id: "M404",
    title: "dashboards without Grafana",
    explain: "The profile has dashboards but no service of the kind `grafana`, so nobody would see them.",
};

pub static CODES: &[&Code] = &[&M401, &M402, &M403, &M404];

pub fn check(stack: &Stack, sources: &Sources<'_>) -> Vec<Finding> {
    let mut findings = vec![];
    if let (Some(dashboard), None) =
        (stack.dashboards.values().next(), stack.service_of(ServiceKind::Grafana))
    {
        let message = "the stack has dashboards but no Grafana";
        findings.push(Finding::warning(&M404, Place::Key(dashboard.at.clone()), message));
    }
    for dashboard in stack.dashboards.values() {
        match &dashboard.content {
            DashboardContent::Panels { panels, .. } => {
                panels.iter().for_each(|p| panel(p, sources, &mut findings));
                if panels.is_empty() {
                    let message = format!("the dashboard `{}` has no panels", dashboard.name);
                    findings.push(Finding::warning(&M401, Place::Key(dashboard.at.clone()), message));
                }
            }
            DashboardContent::File { text, .. } => file(dashboard, text, sources, &mut findings),
        }
    }
    findings
}

fn panel(panel: &Panel, sources: &Sources<'_>, findings: &mut Vec<Finding>) {
    if panel.queries.is_empty() {
        let message = format!("the panel `{}` has no query", panel.name);
        findings.push(
            Finding::error(&M401, Place::Key(panel.at.clone()), message).label("set `expr` or `queries`"),
        );
    }
    for (key, value, most) in [("width", panel.width, COLUMNS), ("height", panel.height, u8::MAX)] {
        if value == 0 || value > most {
            let message = format!("a {key} of {value} does not fit");
            findings.push(
                Finding::error(&M401, Place::setting(panel.at.join(key)), message)
                    .label(format!("1 to {most}")),
            );
        }
    }
    for (index, query) in panel.queries.iter().enumerate() {
        let path = match panel.listed {
            true => panel.at.join("queries").join(index).join("expr"),
            false => panel.at.join("expr"),
        };
        findings.extend(promql::check_query(&query.expr, &Place::setting(path), sources));
    }
}

fn file(dashboard: &Dashboard, text: &str, sources: &Sources<'_>, findings: &mut Vec<Finding>) {
    let place = || Place::setting(dashboard.at.join("file"));
    let model: Value = match serde_json::from_str(text) {
        Ok(model) => model,
        Err(error) => {
            findings.push(Finding::error(&M402, place(), format!("not JSON: {error}")));
            return;
        }
    };
    if model.get("dashboard").is_some_and(|d| d.get("panels").is_some()) {
        let finding = Finding::error(&M402, place(), "this is what the API returns, not a dashboard");
        findings.push(finding.label("keep only what stands in `dashboard`"));
        return;
    }
    if model.get("apiVersion").is_some() && model.get("spec").is_some() {
        let finding = Finding::error(
            &M402,
            place(),
            "this is a dashboard resource (schema v2), which file provisioning does not read",
        );
        findings.push(finding.label("export it in the classic model"));
        return;
    }
    let panels = model.get("panels").and_then(Value::as_array);
    let (Some(panels), Some(_)) = (panels, model.get("title").and_then(Value::as_str)) else {
        findings.push(Finding::error(&M402, place(), "not a dashboard: it has no `title` or no `panels`"));
        return;
    };
    for input in model.get("__inputs").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = input.get("name").and_then(Value::as_str)
            && text.contains(&format!("${{{name}}}"))
        {
            let finding = Finding::error(
                &M402,
                place(),
                format!("`${{{name}}}` is filled in only by an import by hand"),
            );
            findings.push(
                finding.label(format!("export without `share externally`, or write the uid `{DATA_SOURCE}`")),
            );
        }
    }
    let mut all: Vec<&Value> = panels.iter().collect();
    // Collapsed rows hold their panels.
    all.extend(panels.iter().filter_map(|p| p.get("panels")?.as_array()).flatten());
    for panel in all {
        file_panel(panel, dashboard, sources, findings);
    }
}

fn file_panel(panel: &Value, dashboard: &Dashboard, sources: &Sources<'_>, findings: &mut Vec<Finding>) {
    let title = panel.get("title").and_then(Value::as_str).unwrap_or("without title");
    let place = || Place::setting(dashboard.at.join("file"));
    let foreign = |source: Option<&Value>| -> Option<String> {
        let source = source?;
        let uid = source.get("uid").unwrap_or(source).as_str()?;
        let known = [
            DATA_SOURCE,
            "Prometheus",
            "default",
            "-- Grafana --",
            "-- Mixed --",
            "grafana",
            "-- Dashboard --",
        ];
        (!uid.starts_with('$') && !known.contains(&uid)).then(|| uid.to_owned())
    };
    if let Some(uid) = foreign(panel.get("datasource")) {
        let message =
            format!("the panel `{title}` asks the data source `{uid}`, which the stack does not have");
        findings
            .push(Finding::error(&M403, place(), message).label(format!("the stack's is `{DATA_SOURCE}`")));
        return;
    }
    for target in panel.get("targets").and_then(Value::as_array).into_iter().flatten() {
        let kind = target.get("datasource").and_then(|d| d.get("type")).and_then(Value::as_str);
        if kind.is_some_and(|k| k != "prometheus") {
            continue;
        }
        let Some(expr) = target.get("expr").and_then(Value::as_str).filter(|e| !e.is_empty()) else {
            continue;
        };
        for mut finding in promql::check_query(expr, &place(), sources) {
            finding.message = format!("panel `{title}`: {}", finding.message);
            finding.place = place();
            findings.push(finding.note(format!("its query is `{expr}`")));
        }
    }
}
