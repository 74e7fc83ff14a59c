//! `naming-policy`: what it asks of the reference stack, and of what plugins add to it.

use super::{CHECK, tried};

#[test]
fn every_rule_is_judged_at_its_line_but_for_what_is_exempt() {
    let layer = r#"
[plugins.naming.settings]
names = "snake_case"
forbidden_labels = ["component"]
label_values = { severity = ["crit*", "page"], component = ["*-queue"] }
required_annotations = ["summary", "dashboard"]
exempt = ["High*", "Celery*Failed", "CeleryTasks*"]
"#;
    let refused = tried(layer).run(CHECK).exits(3).stderr;
    for words in [
        "the name `CeleryWorkerDown` is not in snake_case (naming, name)",
        "the alert `CeleryWorkerDown` has the label `component` (naming, forbidden-label)",
        "the alert `CeleryWorkerDown` has no annotation `dashboard` (naming, required-annotation)",
        "profiles/celery.toml:",
        "3 errors",
    ] {
        assert!(refused.contains(words), "`{words}` is not in\n{refused}");
    }
    let values = "[plugins.naming.settings]\nlabel_values = { severity = [\"page\", \"warn*g\"] }\n";
    let refused = tried(values).run(CHECK).exits(3).stderr;
    assert!(refused.contains("has the severity `critical` (naming, label-value)"), "{refused}");
    assert!(refused.contains("there are: page, warn*g") && !refused.contains("`warning`"), "{refused}");
}

#[test]
fn what_a_plugin_adds_is_judged_too() {
    let layer = "[plugins.naming.settings]\nrequired_labels = [\"severity\", \"component\", \"slo\"]\n\
                 exempt = [\"High*\", \"CeleryWorkerDown\"]\n";
    let refused = tried(layer).run(CHECK).exits(3).stderr;
    assert!(refused.contains("`CeleryRedisConnectionFailed` has no label `slo`"), "{refused}");
    assert!(!refused.contains("CeleryTasksBurn"), "they have it: {refused}");
}
