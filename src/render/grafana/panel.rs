//! Panels. What a profile does not say is set to what shows most at a glance: series with a
//! table of values below, the newest value in gauges and stats, thresholds as colours.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::dashboard::{DataSourceRef, GridPosition, PROMETHEUS};
use crate::stack::{self, PanelType, Query};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Panel {
    id: u32,
    r#type: PanelType,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    grid_pos: GridPosition,
    datasource: DataSourceRef,
    targets: Vec<Target>,
    field_config: FieldConfig,
    /// Differs by type; checked against Grafana's own types by a test.
    options: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transformations: Vec<Value>,
}

/// A query of Grafana's Prometheus data source.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    ref_id: String,
    datasource: DataSourceRef,
    expr: String,
    editor_mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    legend_format: Option<String>,
    /// One value now, instead of one for each step of the time range.
    instant: bool,
    range: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct FieldConfig {
    defaults: Field,
    overrides: Vec<Value>,
}

#[derive(Debug, Serialize)]
struct Field {
    color: Value,
    custom: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decimals: Option<u32>,
    mappings: Vec<Value>,
    thresholds: Thresholds,
}

#[derive(Debug, Serialize)]
struct Thresholds {
    mode: &'static str,
    steps: Vec<Threshold>,
}

#[derive(Debug, Serialize)]
struct Threshold {
    color: String,
    value: Option<f64>,
}

pub(super) fn panel(panel: &stack::Panel, id: u32, grid_pos: GridPosition) -> Panel {
    Panel {
        id,
        r#type: panel.r#type,
        title: panel.title.clone(),
        description: panel.description.clone(),
        grid_pos,
        datasource: PROMETHEUS,
        targets: panel.queries.iter().enumerate().map(|(i, query)| target(panel.r#type, i, query)).collect(),
        field_config: FieldConfig { defaults: field(panel), overrides: vec![] },
        options: options(panel.r#type),
        transformations: transformations(panel.r#type),
    }
}

fn target(panel: PanelType, index: usize, query: &Query) -> Target {
    let instant = matches!(panel, PanelType::Table | PanelType::PieChart | PanelType::BarGauge);
    Target {
        ref_id: ref_id(index),
        datasource: PROMETHEUS,
        expr: query.expr.clone(),
        editor_mode: "code",
        legend_format: query.legend.clone(),
        instant,
        range: !instant,
        format: (panel == PanelType::Table).then_some("table"),
    }
}

/// `A` … `Z`, then `A1`, as Grafana names queries.
fn ref_id(index: usize) -> String {
    let letter = char::from(b'A' + (index % 26) as u8);
    match index / 26 {
        0 => letter.to_string(),
        round => format!("{letter}{round}"),
    }
}

fn field(panel: &stack::Panel) -> Field {
    let steps: Vec<Threshold> =
        panel.steps.iter().map(|step| Threshold { color: step.color.clone(), value: step.value }).collect();
    let by_series = matches!(panel.r#type, PanelType::TimeSeries | PanelType::PieChart);
    let shown_steps = !steps.is_empty();
    Field {
        color: json!({ "mode": if by_series { "palette-classic" } else { "thresholds" } }),
        custom: custom(panel.r#type, shown_steps),
        unit: panel.unit.clone(),
        min: panel.min,
        max: panel.max,
        decimals: panel.decimals,
        mappings: mappings(&panel.mappings),
        thresholds: Thresholds {
            mode: "absolute",
            steps: if shown_steps { steps } else { vec![Threshold { color: "green".into(), value: None }] },
        },
    }
}

fn mappings(texts: &BTreeMap<String, String>) -> Vec<Value> {
    if texts.is_empty() {
        return vec![];
    }
    let options: BTreeMap<&str, Value> = texts
        .iter()
        .enumerate()
        .map(|(index, (value, text))| (value.as_str(), json!({ "text": text, "index": index })))
        .collect();
    vec![json!({ "type": "value", "options": options })]
}

fn custom(panel: PanelType, shown_steps: bool) -> Value {
    match panel {
        PanelType::TimeSeries => json!({
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 2,
            "fillOpacity": 12,
            "gradientMode": "opacity",
            "showPoints": "never",
            "spanNulls": false,
            "axisSoftMin": 0,
            "stacking": { "mode": "none", "group": "A" },
            "thresholdsStyle": { "mode": if shown_steps { "dashed" } else { "off" } },
        }),
        PanelType::Table => json!({ "align": "auto", "cellOptions": { "type": "auto" }, "inspect": false }),
        _ => json!({}),
    }
}

fn options(panel: PanelType) -> Value {
    // The last value of each series that is one.
    let reduce = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
    match panel {
        PanelType::TimeSeries => json!({
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": true,
                "calcs": ["lastNotNull", "mean", "max"],
            },
            "tooltip": { "mode": "multi", "sort": "desc", "hideZeros": false },
        }),
        PanelType::Gauge => json!({
            "reduceOptions": reduce,
            "orientation": "auto",
            "shape": "gauge",
            "showThresholdLabels": false,
            "showThresholdMarkers": true,
            "sizing": "auto",
            "minVizWidth": 75,
            "minVizHeight": 75,
            "barShape": "flat",
            "barWidthFactor": 0.5,
            "segmentCount": 1,
            "segmentSpacing": 0.3,
            "effects": { "barGlow": false, "centerGlow": false, "gradient": false },
        }),
        PanelType::Stat => json!({
            "reduceOptions": reduce,
            "orientation": "auto",
            "colorMode": "background_solid",
            "graphMode": "area",
            "justifyMode": "auto",
            "textMode": "auto",
            "wideLayout": true,
            "showPercentChange": false,
            "percentChangeColorMode": "standard",
        }),
        PanelType::BarGauge => json!({
            "reduceOptions": reduce,
            "orientation": "horizontal",
            "displayMode": "gradient",
            "valueMode": "color",
            "namePlacement": "auto",
            "showUnfilled": true,
            "sizing": "auto",
            "minVizWidth": 8,
            "minVizHeight": 16,
            "maxVizHeight": 300,
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": [] },
        }),
        PanelType::Table => json!({ "showHeader": true, "cellHeight": "sm", "frameIndex": 0 }),
        PanelType::PieChart => json!({
            "reduceOptions": reduce,
            "orientation": "auto",
            "pieType": "donut",
            "sort": "desc",
            "displayLabels": ["percent"],
            "legend": {
                "displayMode": "table",
                "placement": "right",
                "showLegend": true,
                "calcs": [],
                "values": ["value", "percent"],
            },
            "tooltip": { "mode": "single", "sort": "none", "hideZeros": false },
        }),
    }
}

/// A table of instant values: one table of all queries, without the column of the time.
fn transformations(panel: PanelType) -> Vec<Value> {
    match panel {
        PanelType::Table => vec![
            json!({ "id": "merge", "options": {} }),
            json!({ "id": "organize", "options": { "excludeByName": { "Time": true } } }),
        ],
        _ => vec![],
    }
}
