//! Dashboards: panels that show something, queries that the stack can answer.

mod exported;

use std::collections::BTreeMap;

use super::metrics::Sources;
use super::promql;
use crate::diagnostic::{Code, Finding, Place};
use crate::render::grafana::COLUMNS;
use crate::stack::{DashboardContent, Panel, ServiceKind, Stack};

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

pub static M405: Code = Code {
    id: "M405",
    title: "two dashboards that Grafana can't tell apart",
    explain:
        "Grafana refuses to write a folder of dashboards at all where two of them have one uid or one title.
A dashboard of the profile has its name as uid, of at most 40 letters, digits, `-` and `_`.",
};

pub static CODES: &[&Code] = &[&M401, &M402, &M403, &M404, &M405];

pub fn check(stack: &Stack, sources: &Sources<'_>) -> Vec<Finding> {
    let mut findings = vec![];
    if let (Some(dashboard), None) =
        (stack.dashboards.values().next(), stack.service_of(ServiceKind::Grafana))
    {
        let message = "the stack has dashboards but no Grafana";
        findings.push(Finding::warning(&M404, Place::Key(dashboard.at.clone()), message));
    }
    let mut uids = BTreeMap::new();
    let mut titles = BTreeMap::new();
    for dashboard in stack.dashboards.values() {
        let (uid, title) = match &dashboard.content {
            DashboardContent::Panels { panels, title, .. } => {
                panels.iter().for_each(|p| panel(p, sources, &mut findings));
                if panels.is_empty() {
                    let message = format!("the dashboard `{}` has no panels", dashboard.name);
                    findings.push(Finding::warning(&M401, Place::Key(dashboard.at.clone()), message));
                }
                let place = Place::Key(dashboard.at.clone());
                (
                    Some((dashboard.name.clone(), place)),
                    (title.clone(), Place::setting(dashboard.at.join("title"))),
                )
            }
            DashboardContent::File { file, text } => {
                let Some(found) = exported::check(file, text, sources, &mut findings) else { continue };
                (found.uid, found.title)
            }
        };
        if let Some((uid, place)) = uid {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if uid.len() > 40 || !uid.chars().all(fits) {
                let message = format!("`{uid}` can't be a dashboard's uid");
                let finding = Finding::error(&M405, place.clone(), message);
                findings.push(finding.label("at most 40 letters, digits, `-` and `_`"));
            }
            findings.extend(once("uid", uid, place, &mut uids));
        }
        let (title, place) = title;
        findings.extend(once("title", title, place, &mut titles));
    }
    findings
}

/// A finding where another dashboard has the same.
fn once(what: &str, value: String, place: Place, seen: &mut BTreeMap<String, Place>) -> Option<Finding> {
    if let Some(first) = seen.get(&value) {
        let message = format!("two dashboards have the {what} `{value}`");
        return Some(Finding::error(&M405, place, message).related(first.clone(), "the first"));
    }
    seen.insert(value, place);
    None
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
