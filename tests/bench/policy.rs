//! What one plugin costs, for `tests/bench/run`: `policy FOLDER PROFILE` prints the
//! milliseconds of a call of the policy plugin, and of the same logic compiled into this program.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring tool"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use monprov::diagnostic::{Finding, Place, Severity};
use monprov::engine::{
    self,
    plugins::{Plugins, Taken},
};
use monprov::plugin::codes::M707;
use monprov::project::Project;
use monprov::secret::Environment;
use monprov::stack::change::Editor;
use monprov::stack::{Stack, resolve};

const RUNS: usize = 11;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, profile] = <[String; 2]>::try_from(args).unwrap();
    let project = Project::find(folder.as_ref(), None, None).unwrap();
    let loaded = engine::load(&project, &profile, &Environment::default()).unwrap();
    let (stack, _) = resolve::resolve(&loaded.profile, &loaded.files);
    let (plugins, findings, ()) =
        Plugins::load(&project, &loaded.profile, &loaded.plugins, &Taken::default(), || ()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    let guest = || plugins.judge(&loaded.profile, &stack, || ()).0.findings.len();
    assert_eq!(guest(), native(&stack).len());
    println!("{} {}", milliseconds(guest), milliseconds(|| native(&stack).len()));
}

/// The median.
fn milliseconds(mut work: impl FnMut() -> usize) -> f64 {
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

/// An alert as a policy sees it.
struct Alert {
    name: String,
    severity: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// `naming-policy`: an error for each alert that is critical and has no runbook, lacks its
/// severity, or has one that there is not.
fn native(stack: &Stack) -> Vec<Finding> {
    let mut copy = stack.clone();
    let editor = Editor::new(&mut copy);
    let alerts: Vec<Alert> = editor
        .alerts()
        .map(|(_, group, rule)| {
            let mut labels = group.labels.clone();
            labels.extend(rule.labels().into_iter().map(|(key, value)| (key.to_owned(), value)));
            let annotations = rule.alert().into_iter().flat_map(|alert| &alert.annotations);
            Alert {
                name: rule.name.clone(),
                severity: labels.get("severity").cloned().unwrap_or_default(),
                labels,
                annotations: annotations.map(|(key, text)| (key.clone(), rule.fill(text))).collect(),
            }
        })
        .collect();
    let mut findings = vec![];
    for alert in &alerts {
        let mut found = |message: String| {
            findings.push(Finding::new(&M707, Severity::Error, Place::Profile, message));
        };
        if alert.labels.get("severity").is_none_or(|value| value.trim().is_empty()) {
            found(format!("the alert `{}` has no label `severity`", alert.name));
        }
        if !["critical", "warning", "info"].contains(&alert.severity.as_str()) {
            found(format!("the alert `{}` has the severity `{}`", alert.name, alert.severity));
        }
        if alert.severity == "critical" && !alert.annotations.contains_key("runbook_url") {
            found(format!("the alert `{}` is critical and has no runbook", alert.name));
        }
    }
    findings
}
