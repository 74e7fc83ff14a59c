//! A profile with a matrix, and everything at once: `[matrix]`, `build --all`.
//!
//! What is refused and how that is said stands in `golden/matrix-*`.

use serde_json::Value;

use crate::support::project::{Output, Project};

/// A stack small enough to build a hundred times.
const BASE: &str = r#"
[services.prometheus]
kind = "prometheus"
image = "prom/prometheus:v3.14.0"
port = 9090

[scrapes.prometheus]
service = "prometheus"

[alerts.Down]
expr = "up < ${threshold}"
threshold = 1
severity = "warning"

[vars]
REGION = { default = "anywhere" }
"#;

const PROD: &str = r#"
extends = ["base"]

[prometheus]
external_labels = { site = "${matrix.site}", region = "${var.REGION}" }

[matrix.sites.oslo]

[matrix.sites.berlin]
vars.REGION = "eu"
alerts.Down.for = "1m"
"#;

fn project() -> Project {
    Project::empty().file("profiles/base.toml", BASE).file("profiles/prod.toml", PROD)
}

fn run(project: &Project, args: &str) -> Output {
    project.run(&format!("{args} --oracle off --no-secrets"))
}

/// The names of the bundles on stdout.
fn names(output: &Output) -> Vec<String> {
    output.stdout.lines().map(|path| path.rsplit('/').next().unwrap()[33..].to_owned()).collect()
}

/// The results of `--json`, by profile.
fn results(output: &Output) -> Vec<(String, Value)> {
    let json: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", output.stdout));
    let results = json["results"].as_array().unwrap();
    results.iter().map(|result| (result["profile"].as_str().unwrap().to_owned(), result.clone())).collect()
}

fn which(output: &Output, wanted: impl Fn(&Value) -> bool) -> Vec<String> {
    results(output).into_iter().filter(|(_, result)| wanted(result)).map(|(name, _)| name).collect()
}

fn built(output: &Output) -> Vec<String> {
    which(output, |result| result["memo"] == false)
}

#[test]
fn a_profile_with_a_matrix_is_a_bundle_for_each_site_in_the_order_of_names() {
    let project = project();
    let output = run(&project, "build prod").succeeds();
    assert_eq!(names(&output), ["prod-berlin", "prod-oslo"]);
    let berlin = run(&project, "show prod-berlin prometheus/prometheus.yml");
    assert_eq!(berlin.code, 2, "no option of an evaluation is for show: {}", berlin.stderr);
    let paths: Vec<String> = output.stdout.lines().map(|path| path.replace("$PROJECT/", "")).collect();
    let config = |path: &String| project.read(&format!("{path}/prometheus/prometheus.yml"));
    assert!(config(&paths[0]).contains("region: eu\n    site: berlin\n"), "{}", config(&paths[0]));
    assert!(config(&paths[1]).contains("region: anywhere\n    site: oslo\n"), "{}", config(&paths[1]));
    let compose = |path: &String| project.read(&format!("{path}/compose.yaml"));
    assert!(!compose(&paths[0]).contains("oslo") && !compose(&paths[1]).contains("berlin"));
}

#[test]
fn a_site_alone_is_what_it_is_among_all() {
    let (one, other) = (project(), project());
    let all = run(&one, "build prod").succeeds();
    let alone = run(&other, "build prod-oslo").succeeds();
    assert_eq!(alone.stdout, format!("{}\n", all.last_line()));
    assert_eq!(run(&one, "path prod-oslo").succeeds().stdout, alone.stdout);
    assert_eq!(run(&one, "path prod").succeeds().stdout, all.stdout);
}

/// With plugins, which all sites share: the reference stack.
#[test]
fn sites_with_plugins_are_what_each_is_alone() {
    let sites = "[matrix.sites]\nberlin = {}\noslo = { alerts.HighCeleryQueueLength.threshold = 500 }\n\
                 rome = { plugins.slo.settings.objectives.CeleryTasks.target = 0.95 }\n";
    let (one, other) = (Project::reference(), Project::reference());
    for project in [&one, &other] {
        project.write("profiles/prod.toml", project.read("profiles/prod.toml") + sites);
    }
    let env = "--env-file profiles/prod.env.example --oracle off";
    let all = one.run(&format!("build prod {env}")).succeeds();
    let alone: String = ["berlin", "oslo", "rome"]
        .map(|site| other.run(&format!("build prod-{site} {env}")).succeeds().stdout)
        .concat();
    assert_eq!(all.stdout, alone);
}

#[test]
fn all_takes_every_profile_and_no_layer() {
    let project = project()
        .file("profiles/dev.toml", "extends = [\"base\"]\n")
        .file("profiles/module.toml", "profile = false\n[alerts.Half]\nexpr = \"up < 0.5\"\n")
        .file("profiles/test.toml", "extends = [\"base\"]\nprofile = true\n")
        .file("profiles/test-long.toml", "extends = [\"test\"]\nprometheus.retention = \"90d\"\n");
    let output = run(&project, "build --all").succeeds();
    assert_eq!(names(&output), ["dev", "prod-berlin", "prod-oslo", "test", "test-long"]);
    run(&project, "build").exits(2);
    run(&project, "build --all prod").exits(2);
}

#[test]
fn one_that_fails_stops_no_other_and_everything_wrong_is_told_at_once() {
    let project =
        project().file("profiles/worse.toml", "extends = [\"base\"]\nalerts.Down.expr = \"up <\"\n").file(
            "profiles/prod.toml",
            format!("{PROD}\n[matrix.sites.rome]\nalerts.Down.sevirity = \"page\"\n"),
        );
    let output = run(&project, "build --all").exits(3);
    assert_eq!(names(&output), ["prod-berlin", "prod-oslo"]);
    for told in [
        "did you mean `severity`?",
        "in prod-rome",
        "in worse",
        "prod-rome    REFUSED, 1 error",
        "2 of 4, 2 FAILED",
    ] {
        assert!(output.stderr.contains(told), "{told}\n{}", output.stderr);
    }
    let quiet = run(&project, "build --all --quiet").exits(3);
    assert!(quiet.stderr.contains("did you mean `severity`?") && !quiet.stderr.contains("REFUSED"));
    let json = run(&project, "build --all --json").exits(3);
    assert_eq!(which(&json, |result| result["code"] == 3), ["prod-rome", "worse"]);
    assert_eq!(which(&json, |result| result["findings"][0]["code"] == "M002"), ["prod-rome"]);
    assert_eq!(which(&json, |result| result["path"].is_string()), ["prod-berlin", "prod-oslo"]);
    assert_eq!(json.stderr, "");
}

/// Ends with the highest code of any.
#[test]
fn a_secret_that_is_missing_at_one_site_is_the_code_of_all() {
    let secret = "[secrets]\ntoken = { env = \"TOKEN_${matrix.site}\" }\n\
                  [services.app]\nimage = \"app:1.0\"\nuser = \"1\"\nhealth.command = [\"true\"]\n\
                  secret_files.token = \"${secret.token}\"\n";
    let project =
        project().env("TOKEN_oslo", "of-oslo-only").file("profiles/prod.toml", format!("{PROD}{secret}"));
    let output = project.run("build prod --oracle off").exits(4);
    assert_eq!(names(&output), ["prod-oslo"]);
    assert!(output.stderr.contains("the variable TOKEN_berlin is not set"), "{}", output.stderr);
}

#[test]
fn what_did_not_change_is_looked_up() {
    let project = project().file("profiles/dev.toml", "extends = [\"base\"]\n");
    let first = run(&project, "build --all --json").succeeds();
    assert_eq!(built(&first), ["dev", "prod-berlin", "prod-oslo"]);
    let second = run(&project, "build --all --json").succeeds();
    assert_eq!(built(&second), [""; 0]);
    assert_eq!(which(&second, |_| true), ["dev", "prod-berlin", "prod-oslo"]);
    // One site of a file: the others of that file are as they were.
    project.write("profiles/prod.toml", PROD.replace("1m", "2m"));
    assert_eq!(built(&run(&project, "build --all --json").succeeds()), ["prod-berlin"]);
    // A comment and a new site are nothing to the others.
    project.write(
        "profiles/prod.toml",
        format!("# Many sites.\n{}\n[matrix.sites.rome]\n", PROD.replace("1m", "2m")),
    );
    assert_eq!(built(&run(&project, "build --all --json").succeeds()), ["prod-rome"]);
    // What all share is everybody's.
    project.write("profiles/base.toml", BASE.replace("warning", "critical"));
    assert_eq!(built(&run(&project, "build --all --json").succeeds()).len(), 4);
}

/// All that decides about a site besides its own table.
#[test]
fn what_is_shared_and_did_change_is_built_again() {
    let rules = "groups:\n- name: own\n  rules:\n  - alert: Own\n    expr: up == 0\n";
    let project = project()
        .file("profiles/rules/own.yml", rules)
        .file(
            "profiles/prod.toml",
            PROD.replace("[prometheus]", "rules.files = [\"rules/*.yml\"]\n[prometheus]"),
        )
        .file("profiles/unused.toml", "profile = false\n");
    run(&project, "build prod").succeeds();
    project.write("profiles/rules/own.yml", rules.replace("== 0", "< 1"));
    assert_eq!(built(&run(&project, "build prod --json").succeeds()).len(), 2);
    project.write("profiles/rules/other.yml", rules.replace("own", "other").replace("Own", "Other"));
    assert_eq!(built(&run(&project, "build prod --json").succeeds()).len(), 2);
    // `final` decides what plugins may do.
    let prod = project.read("profiles/prod.toml");
    project.write(
        "profiles/prod.toml",
        prod.replace("alerts.Down.for", "alerts.Down.final = [\"for\"]\nalerts.Down.for"),
    );
    assert_eq!(built(&run(&project, "build prod --json").succeeds()), ["prod-berlin"]);
}

#[test]
fn a_file_with_the_name_of_a_site_is_refused_also_where_the_site_was_built() {
    let project = project();
    run(&project, "build prod-oslo").succeeds();
    project.write("profiles/prod-oslo.toml", "extends = [\"base\"]\n");
    let refused = run(&project, "build prod-oslo").exits(3);
    assert!(refused.stderr.contains("M018"), "{}", refused.stderr);
    assert_eq!(names(&run(&project, "build prod").exits(3)), ["prod-berlin"]);
}

#[test]
fn sites_may_be_declared_by_any_layer_and_extend_layers_of_their_own() {
    let project = Project::empty()
        .file("profiles/base.toml", BASE)
        .file("profiles/eu.toml", "extends = [\"strict\"]\nalerts.Down.for = \"3m\"\nprometheus.retention = \"20d\"\n")
        .file("profiles/strict.toml", "alerts.Down.severity = \"critical\"\n")
        .file("profiles/sites.toml", "[matrix.sites.berlin]\nextends = [\"eu\", \"base\"]\nalerts.Down.for = \"4m\"\n[matrix.sites.lima]\n")
        .file("profiles/prod.toml", "extends = [\"base\", \"sites\"]\nprometheus.retention = \"10d\"\n")
        .file("profiles/test.toml", "extends = [\"base\", \"sites\"]\nmatrix.sites.lima.enable = false\n");
    let output = run(&project, "build --all").succeeds();
    assert_eq!(names(&output), ["prod-berlin", "prod-lima", "test-berlin"]);
    let explain = |path: &str| project.run(&format!("explain prod-berlin {path}")).succeeds().stdout;
    assert!(
        explain("alerts.Down.for").contains("profiles/eu.toml:2 \"3m\" → profiles/sites.toml:3 \"4m\""),
        "{}",
        explain("alerts.Down.for")
    );
    assert!(
        explain("prometheus.retention").contains("profiles/prod.toml:2 \"10d\" → profiles/eu.toml:3 \"20d\"")
    );
    let check = run(&project, "check prod-berlin").succeeds();
    assert!(check.stderr.contains("prod-berlin ← eu ← strict ← prod ← sites ← base"), "{}", check.stderr);
    assert!(run(&project, "check prod-lima").succeeds().stderr.contains("prod-lima ← prod ← sites ← base"));
    // A layer of some sites is nothing to the others.
    project.write("profiles/strict.toml", "alerts.Down.severity = \"page\"\n");
    assert_eq!(built(&run(&project, "build --all --json").succeeds()), ["prod-berlin", "test-berlin"]);
}

#[test]
fn explain_and_diff_take_a_site_as_any_profile() {
    let project = project();
    let told = project.run("explain prod-berlin vars.REGION").succeeds();
    assert_eq!(
        told.stdout,
        "vars.REGION\n    { default = \"anywhere\" } → profiles/prod.toml:10 \"eu\"\n"
            .replace("    {", "    profiles/base.toml:16 {")
    );
    let diff = project.run("diff prod-oslo prod-berlin --no-secrets").exits(1);
    assert!(diff.stdout.contains("for 0s → 1m") || diff.stdout.contains("→ 1m"), "{}", diff.stdout);
    assert!(diff.stdout.contains("profiles/prod.toml:11"), "{}", diff.stdout);
}

#[test]
fn each_site_has_generations_of_its_own() {
    let project = project();
    run(&project, "build prod --out-link result").succeeds();
    for site in ["berlin", "oslo"] {
        project.run(&format!("activate ./result-prod-{site} --runtime none")).succeeds();
    }
    project.write("profiles/prod.toml", PROD.replace("1m", "2m"));
    run(&project, "build prod --out-link result").succeeds();
    project.run("activate ./result-prod-berlin --runtime none").succeeds();
    let generations = |site: &str| project.run(&format!("generations prod-{site} --json")).succeeds().stdout;
    let count = |site: &str| generations(site).matches("\"bundle\"").count();
    assert_eq!((count("berlin"), count("oslo")), (2, 1));
    for verb in
        ["switch prod --oracle off", "up prod --oracle off", "unit prod", "secrets list prod", "diff prod"]
    {
        let refused = project.run(verb);
        assert!([2, 3].contains(&refused.code), "{verb}: {}", refused.stderr);
        assert!(refused.stderr.contains("prod-berlin, prod-oslo"), "{verb}: {}", refused.stderr);
    }
}

#[test]
fn a_dry_run_writes_nothing_and_a_rebuild_proves_each() {
    let project = project();
    let dry = run(&project, "build prod --dry-run").succeeds();
    assert!(
        !project.path(".monprov/store").exists()
            || std::fs::read_dir(project.path(".monprov/store")).unwrap().next().is_none()
    );
    let rebuilt = run(&project, "build prod --rebuild").succeeds();
    assert_eq!(dry.stdout, rebuilt.stdout);
    assert_eq!(rebuilt.stderr.matches("reproduced").count(), 2, "{}", rebuilt.stderr);
}

#[test]
fn a_command_that_prints_a_secret_runs_once_for_all_sites() {
    let secret = "[secrets]\ntoken = { exec = [\"sh\", \"./ask\", \"all\"] }\n\
                  own = { exec = [\"sh\", \"./ask\", \"${matrix.site}\"] }\n\
                  [services.app]\nimage = \"app:1.0\"\nuser = \"1\"\nhealth.command = [\"true\"]\n\
                  secret_files = { token = \"${secret.token}\", own = \"${secret.own}\" }\n";
    let project = project()
        .file("profiles/prod.toml", format!("{PROD}{secret}"))
        .file("profiles/ask", "echo asked >> asked-$1; echo the-token-of-$1");
    project.run("build prod --oracle off").succeeds();
    for file in ["asked-all", "asked-berlin", "asked-oslo"] {
        assert_eq!(project.read(&format!("profiles/{file}")), "asked\n", "{file}");
    }
}

/// Where there is a finding that all sites share, it is told once.
#[test]
fn a_hundred_sites_share_a_finding_and_a_table_that_fits() {
    let sites: String =
        (0..100).map(|n| format!("[matrix.sites.s{n:02}]\nvars.REGION = \"{n}\"\n")).collect();
    let project =
        project().file("profiles/prod.toml", PROD.split("[matrix").next().unwrap().to_owned() + &sites);
    let first = run(&project, "build prod").succeeds();
    assert_eq!(first.stdout.lines().count(), 100);
    assert!(first.stderr.lines().count() < 60, "{}", first.stderr);
    assert!(first.stderr.contains("… and 60 more"), "{}", first.stderr);
    let second = run(&project, "build prod").succeeds();
    assert_eq!(second.stderr, "build     100 of 100, 100 unchanged  N ms\n");
    project.write("profiles/base.toml", BASE.replace("< ${threshold}", "<"));
    let refused = run(&project, "build prod").exits(3);
    assert_eq!(refused.stderr.matches("error[").count(), 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("= in all 100"), "{}", refused.stderr);
}
