//! Dashboards and their panels, written in the profile or exported from Grafana.

use serde_json::Value as Json;

use crate::stack::{Dashboard, DashboardContent, Panel};

use super::fact::Facts;
use super::things::{Things, json, unused};
use super::{Change, Field, Kind, Side, pairs};

/// A panel is called `DASHBOARD/PANEL`; those of a dashboard that is new or gone go without
/// saying.
pub(super) fn compare(old: Option<&Side>, new: &Side) -> Vec<Change> {
    let (before, after) = (old.map(dashboards).unwrap_or_default(), dashboards(new));
    let mut changes = pairs::compare(&before, &after, new);
    let whole: Vec<(String, Kind)> = changes
        .iter()
        .filter(|c| c.change != Kind::Changed && !c.name.contains('/'))
        .map(|c| (c.name.clone(), c.change))
        .collect();
    changes.retain(|change| {
        let dashboard = change.name.split_once('/').map(|(dashboard, _)| dashboard);
        !whole.iter().any(|(name, kind)| Some(name.as_str()) == dashboard && *kind == change.change)
    });
    let rest = old.map_or_else(Vec::new, |old| other(old, new, &changes));
    changes.extend(rest);
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

/// Exported dashboards that differ in what is not told one by one.
fn other(old: &Side, new: &Side, told: &[Change]) -> Vec<Change> {
    let told = |name: &str| {
        told.iter().any(|c| c.name == name || c.name.split_once('/').is_some_and(|(d, _)| d == name))
    };
    let other = new.stack.dashboards.iter().filter_map(|(name, dashboard)| {
        let DashboardContent::File { text: after, .. } = &dashboard.content else { return None };
        let DashboardContent::File { text: before, .. } = &old.stack.dashboards.get(name)?.content else {
            return None;
        };
        (before != after && !told(name)).then(|| Change {
            name: name.clone(),
            change: Kind::Changed,
            was: None,
            origin: None,
            fields: vec![Field {
                field: "other settings".into(),
                channel: None,
                old: None,
                new: None,
                origin: new.origins.of_value(&dashboard.at.join("file")),
            }],
        })
    });
    other.collect()
}

fn dashboards(side: &Side) -> Things {
    let mut things = Things::new();
    for (name, dashboard) in &side.stack.dashboards {
        let mut facts = Facts::of(&dashboard.at);
        match &dashboard.content {
            DashboardContent::Panels { title, tags, range, refresh, panels } => {
                facts.add("title", title);
                facts.list("tags", tags);
                facts.add("range", range);
                facts.add("refresh", refresh);
                for panel in panels {
                    things.insert(format!("{name}/{}", panel.name), panel_facts(panel));
                }
            }
            DashboardContent::File { text, .. } => exported(name, dashboard, text, &mut facts, &mut things),
        }
        things.insert(name.clone(), facts);
    }
    things
}

fn panel_facts(panel: &Panel) -> Facts {
    let mut facts = Facts::of(&panel.at);
    facts.add("title", &panel.title);
    facts.add("type", json(&panel.r#type));
    facts.some("description", panel.description.as_ref());
    for (index, query) in panel.queries.iter().enumerate() {
        let (which, at) = match panel.listed {
            true => (format!("queries[{index}]."), panel.at.join("queries").join(index)),
            false => (String::new(), panel.at.clone()),
        };
        facts.add_at(format!("{which}expr"), &query.expr, at.join("expr"));
        if let Some(legend) = &query.legend {
            facts.add_at(format!("{which}legend"), legend, at.join("legend"));
        }
    }
    facts.some("unit", panel.unit.as_ref());
    facts.some("min", panel.min);
    facts.some("max", panel.max);
    facts.some("decimals", panel.decimals);
    if !panel.steps.is_empty() {
        facts.add("steps", steps(&panel.steps));
    }
    facts.table("mappings", &panel.mappings, Clone::clone);
    facts.add("width", panel.width);
    facts.add("height", panel.height);
    facts
}

/// `green, orange from 50, red from 100`
fn steps(steps: &[crate::stack::Step]) -> String {
    let step = |step: &crate::stack::Step| match step.value {
        Some(value) => format!("{} from {value}", step.color),
        None => step.color.clone(),
    };
    steps.iter().map(step).collect::<Vec<_>>().join(", ")
}

/// What a person sees of a dashboard that Grafana wrote: its title, and its panels' titles,
/// types and queries.
fn exported(name: &str, dashboard: &Dashboard, text: &str, facts: &mut Facts, things: &mut Things) {
    let at = dashboard.at.join("file");
    // What can't be read was refused when the bundle was built.
    let document: Json = serde_json::from_str(text).unwrap_or_default();
    let title = document.get("title").and_then(Json::as_str).unwrap_or(name);
    facts.add_at("title", title, at.clone());
    let mut panels = vec![];
    collect(&document, &mut panels);
    for panel in panels {
        let title = panel.get("title").and_then(Json::as_str).filter(|title| !title.is_empty());
        let id = panel.get("id").map(|id| format!("panel {id}"));
        let wanted = title.map(str::to_owned).or(id).unwrap_or_else(|| "a panel".into());
        // Titles need not be unique.
        let key = unused(things, format!("{name}/{wanted}"));
        let mut facts = Facts::of(&at);
        facts.add_at("title", wanted, at.clone());
        facts.add_at("type", panel.get("type").and_then(Json::as_str).unwrap_or_default(), at.clone());
        let targets = panel.get("targets").and_then(Json::as_array).into_iter().flatten();
        let queries = targets.filter_map(|target| target.get("expr").and_then(Json::as_str));
        for (index, query) in queries.enumerate() {
            let field = if index == 0 { "expr".to_owned() } else { format!("expr {}", index + 1) };
            facts.add_at(field, query, at.clone());
        }
        things.insert(key, facts);
    }
}

/// The panels of a dashboard, also those within rows.
fn collect<'a>(parent: &'a Json, panels: &mut Vec<&'a Json>) {
    for panel in parent.get("panels").and_then(Json::as_array).into_iter().flatten() {
        match panel.get("type").and_then(Json::as_str) {
            Some("row") => collect(panel, panels),
            _ => panels.push(panel),
        }
    }
}
