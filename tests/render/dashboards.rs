//! Grafana's files; dashboards are held against Grafana's own types by the real `tsc`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path as FilePath;
use std::process::Command;

use monprov::diagnostic::Path;
use monprov::profile::units::Duration;
use monprov::render::grafana;
use monprov::stack::*;
use serde_json::Value;

use super::golden;
use crate::support::by_hand::reference;
use crate::support::{installed, program};

const TYPES: [PanelType; 6] = [
    PanelType::TimeSeries,
    PanelType::Gauge,
    PanelType::Stat,
    PanelType::BarGauge,
    PanelType::Table,
    PanelType::PieChart,
];

/// A panel that says everything a profile can say, or nothing that it need not.
fn panel(r#type: PanelType, everything: bool) -> Panel {
    let query =
        |legend: Option<&str>| Query { expr: "up{job=\"$x\"}".into(), legend: legend.map(str::to_owned) };
    let step = |value, color: &str| Step { value, color: color.into() };
    Panel {
        name: "p".into(),
        title: "A \"panel\"".into(),
        description: everything.then(|| "What it is for".into()),
        r#type,
        queries: if everything { vec![query(Some("{{instance}}")), query(None)] } else { vec![query(None)] },
        listed: everything,
        unit: everything.then(|| "percentunit".into()),
        min: everything.then_some(0.0),
        max: everything.then_some(1.5),
        decimals: everything.then_some(2),
        steps: if everything { vec![step(None, "green"), step(Some(0.1), "#ff0000")] } else { vec![] },
        mappings: if everything { [("0".into(), "down".into())].into() } else { [].into() },
        width: 12,
        height: 8,
        at: Path::new(["dashboards", "d", "panels", "p"]),
    }
}

fn dashboard(name: &str, panels: Vec<Panel>) -> Dashboard {
    let content = DashboardContent::Panels {
        title: "All".into(),
        tags: vec!["a".into()],
        range: Duration::seconds(3600),
        refresh: Duration::seconds(30),
        panels,
    };
    Dashboard { name: name.into(), content, at: Path::new(["dashboards", name]) }
}

fn with_all_panels() -> Stack {
    let mut stack = reference(Runtime::Compose);
    let panels = TYPES.iter().flat_map(|t| [panel(*t, true), panel(*t, false)]).collect();
    stack.dashboards.insert("all".into(), dashboard("all", panels));
    stack
}

fn file(stack: &Stack, path: &str) -> String {
    let tree = grafana::grafana(stack).unwrap();
    String::from_utf8(tree.get(path).unwrap_or_else(|| panic!("no {path}")).content.clone()).unwrap()
}

/// What `tsc` says against a dashboard's JSON; empty where it is one.
fn tsc(json: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let types = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/render/grafana_types.ts");
    fs::copy(types, dir.path().join("types.ts")).unwrap();
    symlink(installed("npm/node_modules"), dir.path().join("node_modules")).unwrap();
    let check = format!(
        "import type {{ Strict }} from './types';\nexport default {} satisfies Strict;\n",
        json.trim()
    );
    fs::write(dir.path().join("check.ts"), check).unwrap();
    let output = Command::new(program("node"))
        .arg(installed("npm/node_modules/typescript/bin/tsc"))
        .args([
            "--noEmit", "--strict", "--target", "es2022", "--module", "preserve", "--types", "", "check.ts",
        ])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.success(), said.is_empty(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn every_panel_is_what_grafana_calls_one() {
    assert_eq!(tsc(&file(&with_all_panels(), "grafana/dashboards/all.json")), "");
}

#[test]
fn the_types_refuse_what_grafana_does_not_know() {
    let good = file(&with_all_panels(), "grafana/dashboards/all.json");
    for (from, to) in [
        ("\"graphTooltip\"", "\"grapTooltip\""),
        ("\"schemaVersion\": 42", "\"schemaVersion\": \"42\""),
        ("\"type\": \"gauge\"", "\"type\": \"gouge\""),
        ("\"mode\": \"palette-classic\"", "\"mode\": \"palette\""),
        ("\"drawStyle\"", "\"drawstyle\""),
        ("\"pieType\": \"donut\"", "\"pieType\": \"cake\""),
        ("\"showHeader\"", "\"showheader\""),
        ("\"expr\"", "\"exp\""),
    ] {
        assert!(good.contains(from), "{from}");
        let said = tsc(&good.replacen(from, to, 1));
        assert!(said.contains("error TS2"), "{from} → {to}: {said}");
    }
}

#[test]
fn golden_files() {
    let mut stack = with_all_panels();
    stack.dashboards.insert("all".into(), dashboard("all", vec![panel(PanelType::Stat, true)]));
    for path in [
        "grafana/provisioning/datasources/prometheus.yml",
        "grafana/provisioning/dashboards/dashboards.yml",
        "grafana/dashboards/all.json",
    ] {
        golden(path, &file(&stack, path));
    }
}

#[test]
fn the_data_source_is_where_the_runtime_has_prometheus() {
    for (runtime, url) in
        [(Runtime::Compose, "http://prometheus:9090"), (Runtime::Process, "http://127.0.0.1:9090")]
    {
        let text = file(&reference(runtime), "grafana/provisioning/datasources/prometheus.yml");
        let sources: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(sources["datasources"][0]["url"], url);
        assert_eq!(sources["datasources"][0]["uid"], grafana::DATA_SOURCE);
    }
}

#[test]
fn an_exported_dashboard_is_kept_byte_for_byte() {
    let text = "{ \"title\":\"x\",\r\n\t\"panels\": [] , \"n\": 1.0e2 }";
    let mut stack = reference(Runtime::Compose);
    let content = DashboardContent::File { file: "x.json".into(), text: text.into() };
    let dashboard = Dashboard { name: "x".into(), content, at: Path::new(["dashboards", "x"]) };
    stack.dashboards.insert("x".into(), dashboard);
    assert_eq!(file(&stack, "grafana/dashboards/x.json"), text);
}

#[test]
fn no_grafana_no_files() {
    let mut stack = with_all_panels();
    stack.services.remove("grafana");
    assert!(grafana::grafana(&stack).unwrap().is_empty());
}
