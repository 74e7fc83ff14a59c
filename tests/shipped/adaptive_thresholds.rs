//! `monprov observe` against a Prometheus that holds two weeks, with gaps, resets and NaN, and
//! `adaptive-thresholds`, which makes thresholds of what was observed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use monprov::observe::Snapshot;

use super::scenario::{DAY, HOUR, Scenario};
use super::{CHECK, rules, tried};
use crate::support::parts::Prometheus;
use crate::support::project::Project;
use crate::support::repository;

const QUEUE: &str = "HighCeleryQueueLength";
const LENGTH: &str = r#"celery_queue_length{queue_name="celery"}"#;
const OBSERVED: &str = "profiles/observed/tried.json";

const ADAPTIVE: &str = "
[plugins.adaptive]
file = \"plugins/adaptive-thresholds/adaptive-thresholds.wasm\"
[plugins.adaptive.settings]
least = 0.1
most = 100.0
";

/// Two weeks of a value every minute, half a minute after it began; the queue is scraped by the
/// minute here. A working day's load, a backlog that was worked off, an exporter that was away
/// for two hours, one that had nothing to say, and one that began anew.
fn two_weeks(end: i64) -> BTreeMap<&'static str, Vec<(i64, f64)>> {
    let mut dice = fastrand::Rng::with_seed(14);
    let first = end - 14 * DAY as i64;
    let mut celery = vec![];
    let mut mails = vec![];
    for minute in first..end {
        let at = (minute - first) as usize;
        let hour = at / HOUR % 24;
        let load = if (8..18).contains(&hour) { 60.0 } else { 5.0 };
        let backlog = if (3 * DAY..3 * DAY + 40).contains(&at) { 700.0 } else { 0.0 };
        let value = (load + backlog + dice.f64() * 30.0).round();
        let away = (5 * DAY..5 * DAY + 2 * HOUR).contains(&at);
        if !away {
            let nothing = (6 * DAY..6 * DAY + 15).contains(&at);
            celery.push((minute * 60 + 30, if nothing { f64::NAN } else { value }));
        }
        // It grows until it is emptied.
        if at > 10 * DAY {
            mails.push((minute * 60 + 30, (at % 400) as f64));
        }
    }
    BTreeMap::from([("celery", celery), ("mails", mails)])
}

fn open_metrics(queues: &BTreeMap<&str, Vec<(i64, f64)>>) -> String {
    let mut text = "# TYPE celery_queue_length gauge\n".to_owned();
    for (queue, samples) in queues {
        for (time, value) in samples {
            writeln!(text, "celery_queue_length{{queue_name=\"{queue}\"}} {value} {time}").unwrap();
        }
    }
    text + "# EOF\n"
}

/// What an evaluation sees at each minute: the newest value of the five minutes before, unless
/// that is not a number. Written down here from Prometheus' documentation, not from our code.
fn evaluated(samples: &[(i64, f64)], minutes: std::ops::RangeInclusive<i64>) -> Vec<Option<f64>> {
    let by_time: BTreeMap<i64, f64> = samples.iter().copied().collect();
    minutes
        .map(|minute| {
            let (_, value) = by_time.range(minute * 60 - 300..=minute * 60).next_back()?;
            (!value.is_nan()).then_some(*value)
        })
        .collect()
}

/// How often an alert begins to fire, and for how many minutes it does.
fn fires(seen: &[Option<f64>], threshold: f64, for_minutes: usize) -> (u64, u64) {
    let (mut times, mut minutes, mut run) = (0, 0, 0);
    for value in seen {
        run = if value.is_some_and(|value| value > threshold) { run + 1 } else { 0 };
        times += u64::from(run == for_minutes + 1);
        minutes += u64::from(run > for_minutes);
    }
    (times, minutes)
}

fn snapshot(project: &Project) -> Snapshot {
    Snapshot::parse(OBSERVED, &project.read(OBSERVED)).unwrap()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 / 60
}

fn observed(end: i64, layer: &str) -> (Project, Prometheus, String) {
    let prometheus = Prometheus::backfilled(&open_metrics(&two_weeks(end)));
    let project = tried(layer);
    let told = project.run(&observe(prometheus.port)).succeeds();
    let told = told.stdout + &told.stderr;
    (project, prometheus, told)
}

fn observe(port: u16) -> String {
    format!("observe tried --url http://127.0.0.1:{port} --step 1m --env-file profiles/prod.env.example")
}

#[test]
fn two_weeks_are_watched_and_a_threshold_follows() {
    let end = now() - 10;
    let (project, prometheus, told) = observed(end, ADAPTIVE);
    let snapshot = snapshot(&project);
    let seen = &snapshot.alerts[QUEUE];
    assert!(told.contains(QUEUE) && told.contains(&format!("wrote     $PROJECT/{OBSERVED}")), "{told}");

    // The same from the data themselves.
    let to = snapshot.to.parse::<jiff::Timestamp>().unwrap().as_second() / 60;
    let minutes = to - 14 * DAY as i64..=to;
    let queues: Vec<Vec<Option<f64>>> =
        two_weeks(end).values().map(|samples| evaluated(samples, minutes.clone())).collect();
    let mut values: Vec<f64> = queues.iter().flatten().flatten().copied().collect();
    values.sort_by(f64::total_cmp);
    assert_eq!((seen.series, seen.samples, seen.infinite), (2, values.len() as u64, 0));
    assert_eq!(seen.max, values.last().copied());
    for (q, value) in &seen.quantiles {
        let rank = q * (values.len() - 1) as f64;
        let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
        assert!((low - 1e-9..=high + 1e-9).contains(value), "{q}: {value} is not within {low} and {high}");
    }
    assert!(seen.would_fire.len() > 4 && seen.would_fire.iter().any(|fired| fired.current), "{seen:?}");
    for fired in &seen.would_fire {
        let all = queues.iter().map(|seen| fires(seen, fired.threshold, 5));
        let (times, minutes) = all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert_eq!((fired.times, fired.seconds), (times, minutes as f64 * 60.0), "{fired:?}");
    }
    // And from Prometheus' own functions.
    let peer = format!("max(max_over_time(celery_queue_length[14d:1m] @ {}))", to * 60);
    assert_eq!(prometheus.api().query(&peer)[0].1, seen.max.unwrap());
    // Of the others there is nothing.
    assert_eq!(snapshot.left_out["HighCeleryTaskFailureRate"], "there is no data");

    // Asked again it is the same, but for the minutes in between.
    project.run(&observe(prometheus.port)).succeeds();

    // A quarter more than what 99 % of the minutes stayed within, in two digits.
    let quantile = seen.quantiles.iter().find(|(q, _)| *q == 0.99).unwrap().1;
    let wanted = (quantile * 1.25 / 10.0).ceil() * 10.0;
    let rules = rules(&project, "tried", "celery_alerts.yml");
    let written = std::fs::read_to_string(&rules).unwrap();
    assert!(written.contains(&format!("celery_queue_length > {wanted}")), "{wanted} is not in\n{written}");
    Scenario::default()
        .values(LENGTH, (0..60).map(|minute| if minute < 30 { wanted } else { wanted + 1.0 }))
        .silent([0, 10, 29, 34], QUEUE)
        .fires(36, QUEUE, 1)
        .fires(59, QUEUE, 1)
        .judge(&rules);

    // It says why, wherever one looks.
    let why = format!("the 0.99 quantile of 14 days was {quantile} messages, with 25 % head-room {wanted}");
    let explain = format!("explain tried alerts.{QUEUE}.threshold");
    let explained = project.run(&explain).succeeds().stdout;
    assert!(explained.contains(&why), "`{why}` is not in\n{explained}");
    let manifest = std::fs::read_to_string(rules.ancestors().nth(3).unwrap().join("manifest.json")).unwrap();
    assert!(manifest.contains(&why) && manifest.contains(OBSERVED), "{manifest}");
    let diff = project.run("diff prod tried --env-file profiles/prod.env.example").exits(1).stdout;
    assert!(diff.contains(QUEUE) && diff.contains(&wanted.to_string()), "{diff}");
}

/// A snapshot as `observe` writes it, of one alert.
fn seen(expr: &str, quantile: f64) -> String {
    format!(
        r#"{{"schema": 1, "profile": "tried", "prometheus": "2.42.0", "from": "2026-01-01T00:00:00Z",
"to": "2026-01-15T00:00:00Z", "left_out": {{}}, "alerts": {{"{QUEUE}": {{"expr": "{expr}", "fires": "above",
"for_s": 300.0, "step_s": 60.0, "window_s": 1209600.0, "series": 1, "samples": 20160, "infinite": 0,
"max": {quantile}, "quantiles": {{"0": 0.0, "0.99": {quantile}, "1": {quantile}}}, "would_fire": []}}}}}}
"#
    )
}

fn threshold(project: &Project) -> String {
    let explain = format!("explain tried alerts.{QUEUE}.threshold");
    project.run(&explain).succeeds().stdout
}

/// Two queues for two weeks are 40,000 values: this Prometheus gives 15,000 at once.
#[test]
fn what_is_too_much_at_once_is_asked_for_in_pieces_and_what_is_refused_is_left_out() {
    let metrics = open_metrics(&two_weeks(now() - 10));
    let prometheus = Prometheus::backfilled_with(&metrics, &["--query.max-samples=15000"]);
    let project = tried(
        "
[alerts.Twice]
expr = \"celery_queue_length * on () celery_queue_length > ${threshold}\"
threshold = 900
unit = \"messages\"
for = \"5m\"
severity = \"warning\"
summary = \"s\"
description = \"d\"
runbook_url = \"https://runbooks.example.org/twice\"
",
    );
    project.run(&observe(prometheus.port)).succeeds();
    let snapshot = snapshot(&project);
    assert!(snapshot.alerts[QUEUE].samples > 20_000, "{:?}", snapshot.alerts[QUEUE]);
    let why = &snapshot.left_out["Twice"];
    assert!(why.contains("many-to-many matching not allowed"), "{why}");
}

#[test]
fn a_prometheus_that_knows_nothing_of_the_alerts_takes_no_snapshot_away() {
    let prometheus = Prometheus::backfilled("# TYPE other gauge\nother 1 1700000000\n# EOF\n");
    let before = seen("celery_queue_length > -Inf", 101.0);
    let project = tried("").file(OBSERVED, &before);
    let told = project.run(&observe(prometheus.port)).exits(1).stderr;
    assert!(told.contains("knows nothing of the alerts of `tried`") && told.contains("--url"), "{told}");
    assert_eq!(project.read(OBSERVED), before);
}

#[test]
fn an_alert_on_a_ratio_can_still_fire() {
    let layer = format!("[alerts.{QUEUE}]\nthreshold = \"90%\"\nunit = \"ratio\"\n");
    let project =
        tried(&format!("{layer}{ADAPTIVE}")).file(OBSERVED, seen("celery_queue_length > -Inf", 0.97));
    let told = threshold(&project);
    assert!(told.contains("with 25 % head-room 1.3, held at the ceiling of 0.95"), "{told}");
}

#[test]
fn a_quantile_that_was_not_kept_is_said_to_be_about_that() {
    let project = tried(&format!("{ADAPTIVE}quantile = 0.995\n"))
        .file(OBSERVED, seen("celery_queue_length > -Inf", 101.0));
    let told = threshold(&project);
    assert!(told.contains("the 0.995 quantile of 14 days was about 101 messages"), "{told}");
}

#[test]
fn it_is_held_within_bounds_and_says_so() {
    let project =
        tried(&format!("{ADAPTIVE}alerts.{QUEUE} = {{ floor = 50.0, ceiling = 400.0, headroom = 0.5 }}\n"))
            .file(OBSERVED, seen("celery_queue_length > -Inf", 4.0));
    let told = threshold(&project);
    assert!(told.contains("with 50 % head-room 6, held at the floor of 50"), "{told}");
    project.write(OBSERVED, seen("celery_queue_length > -Inf", 4000.0));
    let told = threshold(&project);
    assert!(told.contains("held at the ceiling of 400"), "{told}");
    project.write(OBSERVED, seen("celery_queue_length > -Inf", 101.0));
    let told = threshold(&project);
    assert!(told.contains("was 101 messages, with 50 % head-room 160"), "{told}");
}

#[test]
fn what_was_seen_of_another_expression_changes_nothing() {
    let project = tried(ADAPTIVE).file(OBSERVED, seen("sum(celery_queue_length) > -Inf", 101.0));
    let told = project.run(CHECK).succeeds().stderr;
    assert!(told.contains("warning[M712]") && told.contains("monprov observe tried"), "{told}");
    assert!(!threshold(&project).contains("quantile"));
}

#[test]
fn a_changed_snapshot_is_another_input_and_a_damaged_one_is_named() {
    let project = tried(ADAPTIVE);
    const BUILD: &str = "build tried --env-file profiles/prod.env.example --oracle off";
    let built = |project: &Project| project.run(BUILD).succeeds().last_line().to_owned();
    let none = built(&project);
    project.write(OBSERVED, seen("celery_queue_length > -Inf", 101.0));
    let some = built(&project);
    assert_ne!(none, some);
    project.write(OBSERVED, seen("celery_queue_length > -Inf", 201.0));
    let other = built(&project);
    assert_ne!(some, other);
    std::fs::remove_file(project.path(OBSERVED)).unwrap();
    assert_eq!(built(&project), none);
    project.write(OBSERVED, "{\n  \"schema\": 1,\n  \"profil\": \"tried\"\n}\n");
    let told = project.run(CHECK).exits(3).stderr;
    assert!(told.contains("error[M711]") && told.contains(&format!("{OBSERVED}:3:")), "{told}");
    for nonsense in ["", "[]", "\u{0}", "{\"schema\": 99999999999999999999}"] {
        project.write(OBSERVED, nonsense);
        project.run(CHECK).exits(3);
    }
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let project = tried(&format!(
        "{ADAPTIVE}quantile = 0.2\nonly = [\"Nobody\"]\nalerts.No = {{ floor = 2.0, ceiling = 1.0 }}\n"
    ));
    let told = project.run(CHECK).exits(3).stderr;
    for words in ["a quantile is from 0.5 to 1", "there is no such alert", "the floor is above the ceiling"] {
        assert!(told.contains(words), "`{words}` is not in\n{told}");
    }
}

#[test]
fn a_prometheus_that_can_not_be_asked_is_named() {
    let project = tried("");
    let nobody = project.run("observe tried --env-file profiles/prod.env.example").exits(1).stderr;
    assert!(nobody.contains("no Prometheus of `tried` runs here"), "{nobody}");
    let port = crate::support::daemon::free_port();
    let refused = project.run(&observe(port)).exits(1).stderr;
    assert!(refused.contains(&format!("Prometheus at 127.0.0.1:{port} can't be asked")), "{refused}");
    let secret = "observe tried --url http://me:canary-5150@127.0.0.1:1 --env-file profiles/prod.env.example";
    let refused = project.run(secret).exits(1);
    assert!(!refused.stderr.contains("canary-5150"), "{}", refused.stderr);
    assert!(!project.path(OBSERVED).exists());
}

#[test]
fn a_case_of_an_author_has_observations_of_its_own() {
    let wasm = repository().join("plugins/adaptive-thresholds/adaptive-thresholds.wasm");
    let project = Project::empty()
        .file("mine/plugin.toml", "name = \"mine\"\nlanguage = \"rust\"\nworld = \"thresholds\"\n")
        .file("mine/mine.wasm", std::fs::read(wasm).unwrap())
        .file(
            "mine/cases/busy/profile.toml",
            format!("[plugins.mine]\nfile = \"mine.wasm\"\n[alerts.{QUEUE}]\nexpr = \"celery_queue_length > ${{threshold}}\"\nthreshold = 100\nfor = \"5m\"\nseverity = \"warning\"\n"),
        )
        .file("mine/cases/busy/observed/profile.json", seen("celery_queue_length > -Inf", 101.0));
    project.run("plugin test mine --bless").succeeds();
    let expected = project.read("mine/cases/busy/expected.txt");
    assert!(expected.starts_with(&format!("{QUEUE}: threshold 100 → 130\n")), "{expected}");
    project.run("plugin test mine").succeeds();
    project.write("mine/cases/busy/observed/profile.json", seen("celery_queue_length > -Inf", 60.0));
    let told = project.run("plugin test mine").exits(1).stdout;
    assert!(told.contains("threshold 100 → 75"), "{told}");
}
