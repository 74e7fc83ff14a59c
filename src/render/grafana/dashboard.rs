//! A dashboard of the profile as Grafana's JSON (the classic schema, whose last version is
//! 42; field names are those of `@grafana/schema` 13).

use serde::Serialize;
use serde_json::{Value, json};

use super::{COLUMNS, DATA_SOURCE, panel};
use crate::render::Error;
use crate::stack::{self, DashboardContent};

const SCHEMA_VERSION: u32 = 42;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Dashboard {
    uid: String,
    title: String,
    tags: Vec<String>,
    schema_version: u32,
    version: u32,
    editable: bool,
    /// 1: a crosshair shared by all panels.
    graph_tooltip: u8,
    time: TimeRange,
    timezone: &'static str,
    refresh: String,
    annotations: Value,
    templating: Value,
    panels: Vec<panel::Panel>,
}

#[derive(Debug, Serialize)]
struct TimeRange {
    from: String,
    to: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct DataSourceRef {
    r#type: &'static str,
    uid: &'static str,
}

pub(super) const PROMETHEUS: DataSourceRef = DataSourceRef { r#type: "prometheus", uid: DATA_SOURCE };

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct GridPosition {
    pub(super) h: u32,
    pub(super) w: u32,
    pub(super) x: u32,
    pub(super) y: u32,
}

/// The JSON of a dashboard that is written in the profile; empty for a file.
pub(super) fn json(dashboard: &stack::Dashboard) -> Result<String, Error> {
    let DashboardContent::Panels { title, tags, range, refresh, panels } = &dashboard.content else {
        return Ok(String::new());
    };
    let places = layout(panels.iter().map(|p| (p.width, p.height)));
    let document = Dashboard {
        uid: dashboard.name.clone(),
        title: title.clone(),
        tags: tags.clone(),
        schema_version: SCHEMA_VERSION,
        version: 1,
        // Whoever looks may try things out; what is saved is the profile.
        editable: true,
        graph_tooltip: 1,
        time: TimeRange { from: format!("now-{range}"), to: "now" },
        timezone: "browser",
        refresh: refresh.to_string(),
        annotations: json!({ "list": [] }),
        templating: json!({ "list": [] }),
        panels: panels
            .iter()
            .zip(places)
            .zip(1..)
            .map(|((p, place), id)| panel::panel(p, id, place))
            .collect(),
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

/// From left to right; a panel that does not fit begins a new row below the highest one.
fn layout(sizes: impl Iterator<Item = (u8, u8)>) -> Vec<GridPosition> {
    let columns = u32::from(COLUMNS);
    let (mut x, mut y, mut row) = (0, 0, 0);
    sizes
        .map(|(w, h)| {
            let (w, h) = (u32::from(w), u32::from(h));
            if x > 0 && x + w > columns {
                (x, y, row) = (0, y + row, 0);
            }
            let place = GridPosition { h, w, x, y };
            x += w;
            row = row.max(h);
            place
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_fill_a_row_and_then_the_next_below_its_highest() {
        let places = layout([(12, 8), (6, 4), (6, 9), (24, 5), (8, 1)].into_iter());
        let xy: Vec<_> = places.iter().map(|p| (p.x, p.y)).collect();
        assert_eq!(xy, [(0, 0), (12, 0), (18, 0), (0, 9), (0, 14)]);
    }
}
