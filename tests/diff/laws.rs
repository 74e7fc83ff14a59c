//! What holds for every pair of profiles.

use std::collections::BTreeSet;

use monprov::diff::{self, Changes, Field, Kind, Side};
use monprov::engine::{self, Loaded, Options, Report};
use monprov::oracle::Oracle;
use monprov::profile;
use monprov::profile::layers::{Read, Source};
use monprov::project;
use monprov::secret::Environment;
use monprov::stack::resolve::Files;
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::support::repository;

/// Layers by name, in memory.
#[derive(Debug)]
struct Layers(Vec<(String, String)>);

impl Source for Layers {
    fn read(&self, name: &str) -> Read {
        let found = self.0.iter().find(|(layer, _)| layer == name);
        found.map_or(Read::Missing, |(_, text)| Read::Text(text.clone()))
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    fn file(&self, name: &str) -> String {
        format!("profiles/{name}.toml")
    }
}

/// What a profile over other layers is built into; `None` where it is refused.
fn side(layers: &[(String, String)], profile: &str) -> Option<Side> {
    let example = std::fs::read_to_string(repository().join("profiles/prod.env.example")).unwrap();
    let environment = Environment::new(monprov::secret::envfile::parse(&example).unwrap());
    let source = Layers([layers, &[("profile".to_owned(), profile.to_owned())]].concat());
    let loaded = profile::load("profile", &source, &|var| environment.var(var));
    let report = Report { findings: loaded.findings, sources: loaded.sources, map: loaded.map };
    let profile = loaded.profile?;
    let loaded = Loaded {
        profile,
        files: Files::default(),
        catalogs: Default::default(),
        observed: None,
        plugins: Default::default(),
        report,
    };
    let options =
        Options { environment: Environment::default(), oracle: Oracle::Off, secrets: false, rebuild: false };
    // No file of it is read.
    let project = project::Project::find(repository(), None, None).unwrap();
    engine::side_of(&engine::evaluate(&project, loaded, &options).ok()?).ok()
}

const STACK: &str = r#"
[services.prometheus]
kind = "prometheus"
image = "prom/prometheus:v3.14.0"
port = 9090

[services.alertmanager]
kind = "alertmanager"
image = "prom/alertmanager:v0.34.0"
port = 9093

[alertmanager]
channel = "mail"
smtp = { smarthost = "smtp.example.com:25", from = "a@example.com" }

[channels.mail.email]
to = "ops@example.com"

[channels.pager.webhook]
url = "https://pager.example.com"

[routes.critical]
match = { severity = "critical" }
channel = "pager"
"#;

/// A few alerts of a few names, so that two profiles have some in common.
fn alerts() -> impl Strategy<Value = String> {
    let alert =
        (0..6_u32, 1..4_u32, 0..3_u32, prop::sample::select(vec!["info", "warning", "critical"]), 0..2_u32)
            .prop_map(|(name, threshold, hold, severity, expr)| {
                let metric = ["up", "scrape_duration_seconds"][expr as usize];
                let text = format!(
                    "\n[alerts.Alert{name}]\nexpr = \"{metric} > ${{threshold}}\"\nthreshold = {threshold}\n\
                 for = \"{hold}m\"\nseverity = \"{severity}\"\nsummary = \"above ${{threshold}}\"\n"
                );
                (name, text)
            });
    prop::collection::btree_map(0..6_u32, alert, 0..6).prop_map(|alerts| {
        let by_name: std::collections::BTreeMap<u32, String> = alerts.into_values().collect();
        format!("{STACK}{}", by_name.into_values().collect::<String>())
    })
}

fn names(changes: &Changes, kind: Kind) -> BTreeSet<String> {
    let those = changes.alerts.iter().filter(|alert| alert.change.change == kind);
    those.map(|alert| alert.change.name.clone()).collect()
}

/// Every field that changes, without the lines.
fn fields(changes: &Changes, turned: bool) -> BTreeSet<(String, Field)> {
    let alerts = changes.alerts.iter().filter(|alert| alert.change.change == Kind::Changed);
    let all =
        alerts.flat_map(|alert| alert.change.fields.iter().map(|f| (alert.change.name.clone(), f.clone())));
    all.map(|(name, mut field)| {
        field.origin = None;
        if turned {
            std::mem::swap(&mut field.old, &mut field.new);
        }
        (name, field)
    })
    .collect()
}

fn files_of_alerts(side: &Side) -> Vec<(String, Vec<u8>)> {
    let files = side.tree.iter().filter(|(path, _)| path.starts_with("prometheus/rules/"));
    files.map(|(path, file)| (path.to_owned(), file.content.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_changes_from_a_profile_to_itself(profile in alerts()) {
        let (one, other) = (side(&[], &profile).unwrap(), side(&[], &profile).unwrap());
        let changes = diff::changes(Some(&one), &other);
        prop_assert!(changes.same && changes.is_only_files() && changes.files.is_empty(), "{changes:?}");
    }

    #[test]
    fn the_way_back_is_the_way_turned_round(a in alerts(), b in alerts()) {
        let (a, b) = (side(&[], &a).unwrap(), side(&[], &b).unwrap());
        let (there, back) = (diff::changes(Some(&a), &b), diff::changes(Some(&b), &a));
        prop_assert_eq!(names(&there, Kind::Added), names(&back, Kind::Removed));
        prop_assert_eq!(names(&there, Kind::Removed), names(&back, Kind::Added));
        prop_assert_eq!(names(&there, Kind::Changed), names(&back, Kind::Changed));
        prop_assert_eq!(fields(&there, false), fields(&back, true));
        let was = |changes: &Changes| -> BTreeSet<_> {
            changes.alerts.iter().filter_map(|a| Some((a.change.was.clone()?, a.change.name.clone()))).collect()
        };
        let turned: BTreeSet<_> = was(&back).into_iter().map(|(old, new)| (new, old)).collect();
        prop_assert_eq!(was(&there), turned);
    }

    #[test]
    fn rules_differ_exactly_where_an_alert_is_told(a in alerts(), b in alerts()) {
        let (a, b) = (side(&[], &a).unwrap(), side(&[], &b).unwrap());
        let told = !diff::changes(Some(&a), &b).alerts.is_empty();
        prop_assert_eq!(told, files_of_alerts(&a) != files_of_alerts(&b));
    }
}

#[test]
fn without_an_old_side_everything_is_new() {
    let new =
        side(&[], &format!("{STACK}\n[alerts.Down]\nexpr = \"up == 0\"\nseverity = \"critical\"\n")).unwrap();
    let changes = diff::changes(None, &new);
    assert!(!changes.same);
    assert_eq!(names(&changes, Kind::Added), BTreeSet::from(["Down".to_owned()]));
    assert_eq!(changes.services.len(), 2);
    assert_eq!(changes.will.unwrap().create, ["alertmanager", "prometheus"]);
}

/// The values of the settings: path and value.
fn leaves(path: &[String], json: &Json, all: &mut Vec<(Vec<String>, Json)>) {
    match json {
        Json::Object(entries) => {
            for (key, value) in entries {
                leaves(&[path, std::slice::from_ref(key)].concat(), value, all);
            }
        }
        other => all.push((path.to_vec(), other.clone())),
    }
}

/// Other values that a setting might take, as TOML.
fn others(value: &Json) -> Vec<String> {
    match value {
        Json::Number(n) if n.is_f64() => vec![format!("{:?}", n.as_f64().unwrap() + 1.0)],
        Json::Number(n) => vec![(n.as_i64().unwrap() + 1).to_string(), "3".into()],
        Json::Bool(b) => vec![(!b).to_string()],
        Json::String(text) => ["7s", "9m", "gauge", "9MiB", "v9.9.9", "up == 7", "Mail <a@b.example>"]
            .iter()
            .map(|other| format!("{other:?}"))
            .chain([format!("{:?}", format!("{text}x")), "\"https\"".into()])
            .collect(),
        Json::Array(_) => vec!["[\"other\"]".into(), "\"other\"".into(), "[]".into()],
        _ => vec![],
    }
}

/// Every setting of the reference stack that changes what is rendered is told. `order` only
/// moves things, and what becomes of routes is told of the alerts that take them.
#[test]
fn every_setting_that_matters_is_told() {
    let layers: Vec<(String, String)> = ["base", "celery", "notify"]
        .iter()
        .map(|name| {
            let file = repository().join(format!("profiles/{name}.toml"));
            ((*name).to_owned(), std::fs::read_to_string(file).unwrap())
        })
        .collect();
    let profile = "extends = [\"base\", \"celery\", \"notify\"]\n";
    let before = side(&layers, profile).unwrap();
    let mut all = vec![];
    leaves(&[], &before.manifest.settings, &mut all);
    let silent = ["extends", "build", "vars", "secrets", "routes"];
    let mut changed = 0;
    for (path, value) in all {
        if silent.contains(&path[0].as_str()) || path.last().unwrap() == "order" {
            continue;
        }
        let key = path.iter().map(|step| format!("{step:?}")).collect::<Vec<_>>().join(".");
        for other in others(&value) {
            let Some(after) = side(&layers, &format!("{profile}{key} = {other}\n")) else { continue };
            let changes = diff::changes(Some(&before), &after);
            if changes.files.iter().any(|file| file.path != "manifest.json") {
                changed += 1;
                assert!(!changes.is_only_files(), "{key} = {other} is not told: {:?}", changes.files);
            }
        }
    }
    assert!(changed > 150, "only {changed} changes were tried");
}
