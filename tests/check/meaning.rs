//! What expressions and rules mean for a stack: each line is an expression and what is found.

use monprov::check::catalog::{Catalogs, from_exposition};
use monprov::check::{promql, rules};
use monprov::diagnostic::{Finding, Path, Place, Severity};

use crate::support::resolved::stack;

/// Two exporters with catalogues, and a Prometheus that watches itself.
pub const STACK: &str = r#"
[services.prometheus]
kind = "prometheus"
version = "2.42.0"
port = 9090
catalog = "prometheus"
[services.celery-exporter]
image = "danihodovic/celery-exporter:0.12.0"
program = "celery-exporter"
args = ["--buckets=1,10,60,600,1800,3600"]
port = 9808
catalog = "prometheus-exporter-celery"
[services.redis-exporter]
program = "redis_exporter"
version = "1.45.0"
port = 9121
catalog = "redis_exporter"
[scrapes.celery]
service = "celery-exporter"
interval = "15s"
labels = { component = "task-queue" }
[scrapes.redis]
service = "redis-exporter"
interval = "30s"
[scrapes.prometheus]
service = "prometheus"
[records.task-rate]
metric = "name:celery_task:rate5m"
expr = "sum by (name) (rate(celery_task_received_total[5m]))"
[records.doubled]
metric = "a:doubled"
expr = "2 * name:celery_task:rate5m"
labels = { kind = "doubled" }
"#;

/// `code severity »place«: message; label` for each finding, in the order of their places.
fn told(expr: &str, findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .map(|f| {
            let severity = match f.severity {
                Severity::Error => "",
                Severity::Warning => "warning ",
                Severity::Advice => "advice ",
            };
            let place = match &f.place {
                Place::Setting { range: Some(range), .. } => expr[range.clone()].to_owned(),
                other => format!("{other:?}"),
            };
            format!("{} {severity}»{place}« {}; {}", f.code.id, f.message, f.label)
        })
        .collect()
}

fn query(profile: &str, expr: &str) -> Vec<String> {
    let (stack, catalogs) = (stack(profile), Catalogs::default());
    let sources = rules::sources(&stack, &catalogs);
    let place = Place::setting(Path::new(["here"]));
    told(expr, &promql::check_query(expr, &place, &sources))
}

/// Every expression with the beginnings of what is found, in order.
#[track_caller]
fn find(profile: &str, cases: &[(&str, &[&str])]) {
    let mut wrong = vec![];
    for (expr, expected) in cases {
        let is = query(profile, expr);
        let fits = is.len() == expected.len() && is.iter().zip(*expected).all(|(i, e)| i.starts_with(e));
        if !fits {
            wrong.push(format!("{expr}\n  expected {expected:#?}\n  got {is:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_metric_that_nothing_exports() {
    find(
        STACK,
        &[
            ("celery_queue_length > 100", &[]),
            (
                "celery_que_length > 100",
                &[
                    "M104 »celery_que_length« no scraped exporter has the metric `celery_que_length`; did you mean `celery_queue_length`?",
                ],
            ),
            ("absent(celery_worker_upp)", &["M104 »celery_worker_upp« no scraped exporter"]),
            ("up == 0 or celery_typo", &["M104 »celery_typo«"]),
            ("rate(celery_task_runtime_bucket[5m]) + rate(celery_task_runtime_sum[5m])", &[]),
            ("celery_task_runtime", &["M104 »celery_task_runtime«"]),
            ("max_over_time(celery_quue_length[1h:1m])", &["M104 »celery_quue_length«"]),
            // The two Celery exporters are easily mixed up.
            ("celery_tasks_total{state=\"FAILURE\"}", &["M104 »celery_tasks_total«"]),
            // Others may be there: what Redis exports depends on the server.
            ("redis_sentinel_masters", &["M104 warning »redis_sentinel_masters«"]),
            ("prometheus_tsdb_head_series", &[]),
            ("scrape_duration_seconds > 5", &[]),
            ("ALERTS{alertstate=\"firing\"}", &[]),
            ("ALERTS_FOR_STATE", &[]),
        ],
    );
}

#[test]
fn a_metric_that_its_job_does_not_export() {
    find(
        STACK,
        &[
            ("redis_up{job=\"redis\"} == 0", &[]),
            (
                "redis_up{job=\"celery\"} == 0",
                &["M104 »redis_up« the selected job does not export `redis_up`; `redis` has it"],
            ),
            ("redis_up{job=~\"cel.*|red.*\"} == 0", &[]),
            ("redis_up{job!=\"redis\"} == 0", &["M104 »redis_up«"]),
            ("redis_up{component=\"task-queue\"}", &["M105 warning »component«"]),
            ("celery_worker_up{component=\"task-queue\"}", &[]),
            ("celery_worker_up{instance=\"celery-exporter\"}", &[]),
        ],
    );
}

#[test]
fn a_job_that_nothing_has() {
    find(
        STACK,
        &[
            ("up{job=\"celery\"} == 0", &[]),
            (
                "up{job=\"celry\"} == 0",
                &["M106 »\"celry\"« no scrape has the job `celry`; did you mean `celery`?"],
            ),
            (
                "absent(up{job=\"node\"})",
                &[
                    "M106 »\"node\"« no scrape has the job `node`; the jobs are `celery`, `prometheus` and `redis`",
                ],
            ),
            ("up{job=~\"cel.+\"}", &[]),
            ("up{job=~\"x.+\"}", &["M106 »\"x.+\"«"]),
            (
                "up{instance=\"redis-exportr\"}",
                &[
                    "M106 »\"redis-exportr\"« no target has `instance` = `redis-exportr`; did you mean `redis-exporter`?",
                ],
            ),
            (
                "up{job=\"celery\", instance=\"redis-exporter\"}",
                &["M106 »up{job=\"celery\", instance=\"redis-exporter\"}« no target has all of these labels"],
            ),
        ],
    );
}

#[test]
fn names_by_pattern() {
    find(
        STACK,
        &[
            ("{__name__=\"celery_queue_length\"}", &[]),
            ("{__name__=\"celery_queue_lenght\"}", &["M104 »\"celery_queue_lenght\"«"]),
            ("{__name__=~\"celery_task_.*_total\"}", &[]),
            (
                "{__name__=~\"celry_.*\"}",
                &["M104 »\"celry_.*\"« no scraped exporter has a metric that matches `celry_.*`"],
            ),
            (
                "{__name__=~\"celery_task_.*_total\", nam=\"x\"}",
                &["M105 »nam« what is selected has no label `nam`; did you mean `name`?"],
            ),
            ("{__name__=~\".*:rate5m\"}", &[]),
            ("count({__name__=~\"up|redis_up\"})", &[]),
            ("{job=\"celery\"}", &[]),
        ],
    );
}

#[test]
fn recording_rules_are_sources() {
    find(
        STACK,
        &[
            ("name:celery_task:rate5m > 1", &[]),
            ("name:celery_task:rate5m{name=\"x\"}", &[]),
            ("name:celery_task:rate5m{hostname=\"x\"}", &["M105 »hostname«"]),
            ("a:doubled{kind=\"doubled\", name=\"x\"}", &[]),
            ("a:doubled{hostname=\"x\"}", &["M105 »hostname«"]),
            (
                "name:celery_tsk:rate5m",
                &[
                    "M104 »name:celery_tsk:rate5m« no scraped exporter has the metric `name:celery_tsk:rate5m`; did you mean `name:celery_task:rate5m`?",
                ],
            ),
        ],
    );
}

#[test]
fn a_label_that_the_metric_lacks() {
    find(
        STACK,
        &[
            (
                "celery_queue_length{queue=\"x\"} > 1",
                &[
                    "M105 »queue« `celery_queue_length` has no label `queue`; it has `component`, `instance`, `job` and `queue_name`",
                ],
            ),
            (
                "celery_queue_length{queue_nam=\"x\"}",
                &[
                    "M105 »queue_nam« `celery_queue_length` has no label `queue_nam`; did you mean `queue_name`?",
                ],
            ),
            ("celery_queue_length{job=\"celery\", component=\"task-queue\"}", &[]),
            ("celery_queue_length{queue=\"\"}", &[]),
            (
                "sum by (queue) (celery_queue_length)",
                &["M105 »queue« what is aggregated has no label `queue`"],
            ),
            ("sum by (queue_name) (celery_queue_length)", &[]),
            ("sum without (replica) (celery_queue_length)", &["M105 advice »replica«"]),
            ("sum by (name) (sum by (hostname) (celery_task_sent_total))", &["M105 »name«"]),
            ("sum by (hostname) (sum without (name) (celery_task_sent_total))", &[]),
            ("sum by (name) (sum without (name) (celery_task_sent_total))", &["M105 »name«"]),
            ("topk by (job) (3, celery_queue_length)", &[]),
            ("sum by (queue_name) (topk(3, celery_queue_length))", &[]),
            ("sum by (v) (count_values(\"v\", celery_queue_length))", &[]),
            ("celery_worker_up * on (hostname) celery_worker_tasks_active", &[]),
            (
                "celery_worker_up * on (host) celery_worker_tasks_active",
                &["M105 »host« the left side has no label `host`"],
            ),
            ("celery_task_sent_total * on (hostname) group_left (job) celery_worker_up", &[]),
            ("sum by (name) (celery_task_sent_total * on (hostname) group_left celery_worker_up)", &[]),
            ("sum by (name) (celery_worker_up * on (hostname) group_right celery_task_sent_total)", &[]),
            ("sum by (name) (celery_worker_up * on (hostname) celery_worker_tasks_active)", &["M105 »name«"]),
            ("sum by (hostname) (celery_queue_length and on (job) celery_worker_up)", &["M105 »hostname«"]),
            ("sum by (hostname) (celery_queue_length or celery_worker_up)", &[]),
            ("sum by (q) (label_replace(celery_queue_length, \"q\", \"$1\", \"queue_name\", \"(.*)\"))", &[]),
            (
                "label_replace(celery_queue_length, \"q\", \"$1\", \"queue\", \"(.*)\")",
                &["M105 warning »\"queue\"«"],
            ),
            (
                "label_replace(celery_queue_length, \"q\", \"$1\", \"queue_name\", \"(\")",
                &["M101 »\"(\"« this is no regular expression"],
            ),
            (
                "label_replace(celery_queue_length, \"1q\", \"$1\", \"queue_name\", \"x\")",
                &["M105 »\"1q\"« `1q` is no name of a label"],
            ),
            ("sum by (x) (label_join(celery_queue_length, \"x\", \"-\", \"job\", \"queue_name\"))", &[]),
            ("sum by (le) (rate(celery_task_runtime_bucket[5m]))", &[]),
            ("sum by (le) (rate(celery_task_runtime_count[5m]))", &["M105 »le«"]),
            ("sum by (name) (absent(celery_worker_up{hostname=\"a\"}))", &["M105 »name«"]),
            ("sum by (hostname) (absent(celery_worker_up{hostname=\"a\"}))", &[]),
            (
                "sum by (name) (vector(1))",
                &["M105 »name« what is aggregated has no label `name`; it has no labels"],
            ),
            ("sum by (queue_name) (max_over_time(celery_queue_length[1h:5m]))", &[]),
            ("sum by (name) (max_over_time(celery_queue_length[1h:5m]))", &["M105 »name«"]),
            ("sum by (cluster) (celery_queue_length)", &["M105 »cluster«"]),
        ],
    );
}

#[test]
fn quantiles_and_buckets() {
    let quantile = |by: &str, than: &str| {
        format!("histogram_quantile(0.95, sum by ({by}) (rate(celery_task_runtime_bucket[1h]))) {than}")
    };
    let beyond =
        "M107 »celery_task_runtime_bucket« a quantile of `celery_task_runtime_bucket` never exceeds 3600";
    find(
        STACK,
        &[
            (&quantile("le, name", "> 1800"), &[]),
            (&quantile("le, name", "> 3600"), &[beyond]),
            (&quantile("le, name", ">= 3600"), &[]),
            (&quantile("le, name", "> 7200"), &[beyond]),
            (&format!("7200 < {}", quantile("le", "")), &[beyond]),
            (&format!("max by (name) ({}) > 7200", quantile("le, name", "")), &[beyond]),
            (&quantile("le", "< 7200"), &[]),
            (
                &quantile("name", "> 1800"),
                &["M119 »celery_task_runtime_bucket« the buckets have lost their label `le`"],
            ),
        ],
    );
    // Without the option, the exporter has its client library's buckets.
    let default = STACK.replace("args = [\"--buckets=1,10,60,600,1800,3600\"]", "");
    find(
        &default,
        &[(
            &quantile("le", "> 1800"),
            &[
                "M107 »celery_task_runtime_bucket« a quantile of `celery_task_runtime_bucket` never exceeds 10,",
            ],
        )],
    );
    let variable =
        STACK.replace("args = [\"--buckets=1,10,60,600,1800,3600\"]", "environment.CE_BUCKETS = \"1, 100\"");
    find(&variable, &[(&quantile("le", "> 99"), &[]), (&quantile("le", "> 100"), &["M107"])]);
    let oval = STACK
        .replace("catalog = \"prometheus-exporter-celery\"", "catalog = \"celery-exporter\"")
        .replace("rate(celery_task_received_total[5m])", "rate(celery_tasks_total[5m])");
    let runtime = "histogram_quantile(0.95, rate(celery_tasks_runtime_seconds_bucket[5m])) > 1800";
    find(&oval, &[(runtime, &["M107 »celery_tasks_runtime_seconds_bucket«"])]);
}

#[test]
fn ranges_against_scrape_intervals() {
    find(
        STACK,
        &[
            ("rate(celery_task_sent_total[1m])", &[]),
            ("rate(celery_task_sent_total[30s])", &[]),
            (
                "rate(celery_task_sent_total[20s])",
                &[
                    "M108 warning »[20s]« `rate` needs two samples, and 20s do not always hold two; write at least `[1m]`",
                ],
            ),
            (
                "rate(celery_task_sent_total[10s])",
                &["M108 »[10s]« `rate` needs two samples, and 10s never hold two"],
            ),
            ("increase(redis_commands_processed_total[45s])", &["M108 warning »[45s]«"]),
            ("increase(redis_commands_processed_total{job=\"redis\"}[1m])", &[]),
            ("avg_over_time(celery_queue_length[10s])", &[]),
            (
                "rate(celery_task_sent_total[1m]) + rate(celery_task_failed_total[20s])",
                &["M108 warning »[20s]«"],
            ),
            ("rate(sum(celery_task_sent_total)[5m:1m])", &[]),
            ("rate(sum(celery_task_sent_total)[90s:1m])", &["M108 warning »[90s:1m]«"]),
        ],
    );
}

#[test]
fn unknown_scrapes_make_warnings_of_errors() {
    let open = format!("{STACK}\n[scrapes.other]\ntargets = [\"host:1\"]\n");
    find(
        &open,
        &[
            ("celery_que_length", &["M104 warning »celery_que_length«"]),
            ("anything_at_all", &["M104 warning »anything_at_all«"]),
            ("celery_que_length{job=\"celery\"}", &["M104 »celery_que_length«"]),
            ("anything{job=\"other\", x=\"y\"}", &["M104 warning »anything«"]),
            ("up{job=\"celry\"}", &["M106 warning »\"celry\"«"]),
            ("celery_queue_length{queue=\"x\"}", &["M105 warning »queue«"]),
        ],
    );
    find("", &[("celery_que_length", &["M104 warning »celery_que_length«"]), ("up{job=\"x\"}", &[])]);
}

#[test]
fn panels_may_hold_variables() {
    find(
        STACK,
        &[
            ("sum by (name) (rate(celery_task_sent_total{name=~\"$task\"}[$__rate_interval]))", &[]),
            ("celery_queue_length{job=\"$job\", queue_name=~\"${queue:regex}\"} > $limit", &[]),
            ("topk($n, celery_queue_length)", &[]),
            ("[[metric]]{job=\"celery\"}", &[]),
            ("rate(celery_task_${state}_total[${range}m])", &[]),
            ("sum by ($by) (celery_queue_length)", &[]),
            ("sum by ([[by]], job) (celery_queue_length offset $shift)", &[]),
            ("celery_que_length{name=\"$name\"}", &["M104 »celery_que_length«"]),
            ("celery_queue_length{queue_name=\"$name\", queue=\"x\"}", &["M105 »queue«"]),
            (
                "rate(celery_task_sent_total{name=\"$a\"}[$__rate_interval]) bar",
                &["M101 »bar« unexpected `bar`"],
            ),
            ("$__interval_ms * celery_queue_length", &[]),
            ("histogram_quantile($q, sum by (le) (rate(celery_task_runtime_bucket[$__range])))", &[]),
            ("label_replace(celery_queue_length, \"q\", \"$1\", \"queue_name\", \"(.*)\")", &[]),
        ],
    );
}

#[test]
fn a_project_brings_catalogues_of_its_own() {
    let page = "# HELP app_jobs_total Jobs. By kind.\n# TYPE app_jobs_total counter\napp_jobs_total{kind=\"a\"} 1\n\
        # TYPE app_seconds histogram\napp_seconds_bucket{le=\"0.1\"} 1\napp_seconds_bucket{le=\"+Inf\"} 1\n\
        app_seconds_sum 1\napp_seconds_count 1\n";
    let mut catalog = from_exposition(page).unwrap();
    catalog.exporter = "app".into();
    let (catalogs, findings) = Catalogs::with_files([("app.json".to_owned(), catalog.to_json())].into());
    assert!(findings.is_empty());
    let stack = stack("[scrapes.app]\ntargets = [\"host:1\"]\ncatalog = \"app.json\"\n");
    let sources = rules::sources(&stack, &catalogs);
    let check = |expr: &str| told(expr, &promql::check_query(expr, &Place::setting(Path::root()), &sources));
    assert_eq!(check("rate(app_jobs_total{kind=\"a\"}[5m])"), Vec::<String>::new());
    assert!(check("app_jobs_totl")[0].contains("did you mean `app_jobs_total`?"));
    assert!(check("histogram_quantile(0.9, rate(app_seconds_bucket[5m])) > 1")[0].starts_with("M107"));

    let (_, findings) =
        Catalogs::with_files([("app.json".to_owned(), "{\n  \"metrics\": 1\n}".to_owned())].into());
    assert_eq!(findings.len(), 1);
}

// -- rules --

/// The findings of a profile's rules as `code severity path: message`.
fn rule_findings(more: &str) -> Vec<String> {
    let (stack, catalogs) = (stack(&format!("{STACK}{more}")), Catalogs::default());
    rules::check(&stack, &rules::sources(&stack, &catalogs))
        .iter()
        .map(|f| {
            let severity = match f.severity {
                Severity::Error => "",
                Severity::Warning => "warning ",
                Severity::Advice => "advice ",
            };
            let path = match &f.place {
                Place::Setting { path, range } => match range {
                    Some(range) => format!("{path}[{}..{}]", range.start, range.end),
                    None => path.to_string(),
                },
                Place::Key(path) => path.to_string(),
                other => format!("{other:?}"),
            };
            format!("{} {severity}{path}: {}", f.code.id, f.message)
        })
        .collect()
}

#[track_caller]
fn alert(fields: &str, expected: &[&str]) {
    let is = rule_findings(&format!("[alerts.A]\nseverity = \"warning\"\n{fields}\n"));
    let fits = is.len() == expected.len() && is.iter().zip(expected).all(|(i, e)| i.starts_with(e));
    assert!(fits, "{fields}\n  expected {expected:#?}\n  got {is:#?}");
}

#[test]
fn places_lead_through_a_threshold() {
    alert("expr = 'celery_queue_length > ${threshold}'\nthreshold = 100", &[]);
    alert(
        "expr = 'celery_queue_length > ${threshold} or celery_typo > 0'\nthreshold = 100",
        &["M104 alerts.A.expr[38..49]"],
    );
    alert("expr = 'celery_queue_length >> ${threshold}'\nthreshold = 100", &["M101 alerts.A.expr[21..22]"]);
}

#[test]
fn alerts_that_fire_always_or_never() {
    let always = "M110 warning alerts.A.expr[0..";
    for (expr, expected) in [
        ("celery_queue_length", Some(always)),
        ("redis_up == 0", None),
        ("redis_up == bool 0", Some(always)),
        ("(redis_up == bool 0) == 1", None),
        ("absent(redis_up)", None),
        ("redis_up == 0 or absent(redis_up)", None),
        ("redis_up or absent(redis_up)", Some(always)),
        ("count(redis_up == 0)", None),
        ("sum(redis_up)", Some(always)),
        ("rate(celery_task_sent_total[5m])", Some(always)),
        ("redis_up unless up", None),
        ("ALERTS{alertname=\"B\"}", None),
        ("vector(1)", Some("M110 advice")),
        ("1", Some("M110 advice")),
        ("vector(1) > 2", Some("M111 alerts.A.expr")),
        ("vector(3) > 2", Some("M110 advice")),
        ("1 > bool 2", Some("M110 advice")),
    ] {
        alert(&format!("expr = '{expr}'"), expected.as_slice());
    }
}

#[test]
fn times() {
    alert("expr = 'redis_up == 0'\nfor = '5m'", &[]);
    alert("expr = 'redis_up == 0'\nfor = '0s'", &[]);
    alert(
        "expr = 'redis_up == 0'\nfor = '10s'",
        &["M109 warning alerts.A.for: `for` is 10s, but the rule is evaluated every 15s"],
    );
    alert(
        "expr = 'redis_up == 0'\nfor = '20s'",
        &["M109 warning alerts.A.for: `for` is 20s, but its metrics are scraped every 30s"],
    );
}

#[test]
fn names_and_labels() {
    alert("expr = 'redis_up == 0'\nlabels.team = 'x'", &[]);
    alert(
        "expr = 'redis_up == 0'\nlabels.'the-team' = 'x'",
        &["M112 alerts.A.labels.the-team: `the-team` can't be the name of a label"],
    );
    alert("expr = 'redis_up == 0'\nlabels.__name__ = 'x'", &["M112 alerts.A.labels.__name__"]);
    alert("expr = 'redis_up == 0'\nannotations.'a-b' = 'x'", &["M112 alerts.A.annotations.a-b"]);
    assert_eq!(
        rule_findings("[records.x]\nmetric = 'a-b'\nexpr = 'up'\n"),
        ["M112 records.x: `a-b` can't be the name of a metric"]
    );
    assert_eq!(
        rule_findings("[alerts.A]\nexpr = 'redis_up == 0'\n"),
        ["M115 advice alerts.A: the alert `A` has no severity"]
    );
}

#[test]
fn texts() {
    alert("expr = 'celery_queue_length > 1'\nsummary = '{{ $labels.queue_name }}: {{ $value }}'", &[]);
    alert(
        "expr = 'celery_queue_length > 1'\nsummary = 'Queue {{ $labels.queue }}'",
        &["M118 warning alerts.A.summary[17..22]: the alert has no label `queue`"],
    );
    alert(
        "expr = 'sum by (job) (celery_queue_length) > 1'\nsummary = '{{ index $labels \"queue_name\" }}'",
        &["M118 warning alerts.A.summary"],
    );
    alert("expr = 'redis_up == 0'\nsummary = '{{ $labels.severity }}'", &["M118 warning alerts.A.summary"]);
    alert("expr = 'redis_up == 0'\nsummary = '{{ $externalLabels.x }}'", &[]);
    alert("expr = 'redis_up == 0'\nsummary = '{{ $value | humanise }}'", &["M117 alerts.A.summary[12..20]"]);
    alert("expr = 'redis_up == 0'\nlabels.x = '{{ if }}'", &["M117 alerts.A.labels.x"]);
    alert(
        "expr = 'redis_up == 0'\nsummary = '{{ with query \"redis_upp\" }}{{ end }}'",
        &["M104 warning alerts.A.summary[15..24]"],
    );
    alert(
        "expr = 'redis_up == ${threshold}'\nthreshold = 1000\nsummary = '${threshold} {{ $labels.typo }}'",
        &["M118 warning alerts.A.summary[24..28]"],
    );
}

#[test]
fn rules_together() {
    let twice = |second: &str| {
        format!(
            "[alerts.A]\nexpr = 'redis_up == 0'\nseverity = 'critical'\n\
             [records.one]\nmetric = 'x'\nexpr = 'redis_up'\n[records.two]\nmetric = 'x'\nexpr = '{second}'\n"
        )
    };
    assert_eq!(rule_findings(&twice("redis_uptime_in_seconds")), Vec::<String>::new());
    assert_eq!(
        rule_findings(&twice("redis_up")),
        ["M113 records.two: the recording rule `x` exists twice, word for word"]
    );
}
