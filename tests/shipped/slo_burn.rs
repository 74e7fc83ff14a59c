//! `slo-burn`: a fast burn pages, a slow one is a ticket, a blip is nothing.

use super::scenario::{Counter, DAY, HOUR, Scenario};
use super::{CHECK, rules, tried};
use crate::support::project::Project;

const FAILED: &str = r#"celery_task_failed_total{name="mail", exception="ValueError", hostname="a"}"#;
const SUCCEEDED: &str = r#"celery_task_succeeded_total{name="mail", hostname="a"}"#;
const PAGE: &str = "CeleryTasksBurnCritical";
const TICKET: &str = "CeleryTasksBurnWarning";

/// Sixty tasks a minute, of which so many fail: (minutes, share).
fn tasks(phases: &[(usize, f64)]) -> Scenario {
    let (mut failed, mut succeeded) = (Counter::default(), Counter::default());
    for (minutes, share) in phases {
        failed = failed.then(*minutes, 60.0 * share);
        succeeded = succeeded.then(*minutes, 60.0 * (1.0 - share));
    }
    Scenario::default().counter(FAILED, failed).counter(SUCCEEDED, succeeded)
}

#[test]
fn an_outage_pages_within_minutes_and_is_over_soon_after_it() {
    let project = Project::reference();
    let prod = rules(&project, "prod", "plugin-slo.yml");
    let (start, end) = (26 * HOUR, 26 * HOUR + 15);
    // All of them fail: 14.4 % of the last hour are 9 minutes.
    tasks(&[(start, 0.0), (15, 1.0), (HOUR, 0.0)])
        .silent([0, 13 * HOUR, start, start + 7], PAGE)
        .fires(start + 10, PAGE, 1)
        .fires(end, PAGE, 1)
        .silent([end + 7, end + HOUR - 1], PAGE)
        .silent([start + 10, end, end + HOUR - 1], TICKET)
        .judge(&prod);
    // A fifth of them: 6 % of the last 6 hours, and 14.4 % of the last one.
    tasks(&[(start, 0.0), (2 * HOUR, 0.2), (HOUR, 0.0)])
        .silent([start + 40], PAGE)
        .fires(start + 46, PAGE, 1)
        .fires(start + 2 * HOUR, PAGE, 1)
        .silent([start + 2 * HOUR + 30], PAGE)
        .judge(&prod);
}

#[test]
fn a_slow_burn_is_a_ticket_and_wakes_nobody() {
    let project = Project::reference();
    let start = 3 * DAY;
    // Twice what the objective allows uses the budget up in 15 days.
    tasks(&[(start, 0.0), (2 * DAY, 0.02), (7 * HOUR, 0.0)])
        .silent([start, start + DAY], TICKET)
        .fires(start + 2 * DAY - 10, TICKET, 1)
        .silent([start + 2 * DAY + 6 * HOUR], TICKET)
        .silent((0..2 * DAY + 7 * HOUR).step_by(100).map(|minute| start + minute), PAGE)
        .every(10)
        .judge(&rules(&project, "prod", "plugin-slo.yml"));
}

#[test]
fn a_blip_and_what_the_objective_allows_are_silent() {
    let minutes = || (0..4 * DAY).step_by(60);
    let project = Project::reference();
    let prod = rules(&project, "prod", "plugin-slo.yml");
    for phases in [[(3 * DAY, 0.0), (3, 1.0), (DAY, 0.0)], [(DAY, 0.009), (2 * DAY, 0.009), (DAY, 0.009)]] {
        tasks(&phases)
            .silent(minutes().chain((3 * DAY..3 * DAY + 30).step_by(2)), PAGE)
            .silent(minutes(), TICKET)
            .every(2)
            .judge(&prod);
    }
}

#[test]
fn few_events_tell_nobody_and_tasks_that_never_succeeded_do() {
    let project = Project::reference();
    let prod = rules(&project, "prod", "plugin-slo.yml");
    // One task an hour, each second one fails.
    let every =
        |hours: usize, at: usize| (0..12 * HOUR).map(move |minute| ((minute + at) / (hours * HOUR)) as f64);
    Scenario::default()
        .values(FAILED, every(2, 0))
        .values(SUCCEEDED, every(2, 60))
        .silent((0..12 * HOUR).step_by(7), PAGE)
        .silent((0..12 * HOUR).step_by(7), TICKET)
        .judge(&prod);
    // No counter of succeeded tasks exists.
    Scenario::default().counter(FAILED, Counter::default().then(HOUR, 60.0)).fires(10, PAGE, 1).judge(&prod);
}

const LATENCY: &str = r#"
[plugins.slo.settings.objectives.MailsInTime]
target = 0.95
latency = { histogram = "celery_task_runtime", le = 60, selector = 'name="mail"', by = ["name"] }
labels = { component = "task-queue" }
"#;

#[test]
fn a_latency_objective_counts_what_the_bucket_does_not_hold() {
    let project = tried(LATENCY);
    let rules = rules(&project, "tried", "plugin-slo.yml");
    let series = |part: &str| format!("celery_task_runtime_{part}");
    // The first client writes 60, the second 60.0; the third has no such bucket.
    for (le, fires) in [("60", 0), ("60.0", 0), ("90", 1)] {
        Scenario::default()
            .counter(
                &series(&format!(r#"bucket{{name="mail", le="{le}"}}"#)),
                Counter::default().then(DAY, 58.0),
            )
            .counter(&series(r#"count{name="mail"}"#), Counter::default().then(DAY, 60.0))
            .fires(DAY - 1, "MailsInTimeBurnCritical", fires)
            .judge(&rules);
    }
    // All are slow for half an hour.
    Scenario::default()
        .counter(
            &series(r#"bucket{name="mail", le="60.0"}"#),
            Counter::default().then(DAY, 60.0).then(55, 0.0),
        )
        .counter(&series(r#"count{name="mail"}"#), Counter::default().then(DAY + 55, 60.0))
        .silent([DAY, DAY + 40], "MailsInTimeBurnCritical")
        .fires(DAY + 50, "MailsInTimeBurnCritical", 1)
        .judge(&rules);
}

#[test]
fn wrong_settings_are_said_at_their_lines_all_at_once() {
    let refused = tried(
        r#"
[plugins.slo.settings]
period = "30 days"
windows = [{ long = "1h", short = "2h", burn = 14.4, severity = "" }]
[plugins.slo.settings.objectives.CeleryTasks]
target = 99.5
[plugins.slo.settings.objectives.Loose]
target = 0.9
error = "sum(rate(celery_task_failed_total[5m]))"
total = "sum(rate(celery_task_failed_total[$window]))"
[plugins.slo.settings.objectives.Both]
target = 0.9
error = "x"
latency = { histogram = "celery_task_runtime", le = 60 }
[plugins.slo.settings.objectives.not-a-name]
target = 0.99
error = "rate(celery_task_failed_total[$window])"
total = "rate(celery_task_failed_total[$window])"
labels = { severity = "page" }
"#,
    )
    .run(CHECK)
    .exits(3)
    .stderr;
    for (line, words) in [
        (4, "`plugins.slo.settings.period`: `30 days` is no duration such as 5m, 6h or 1d"),
        (5, "`plugins.slo.settings.windows[0].short`: it is not shorter than 1h"),
        (5, "`plugins.slo.settings.windows[0].severity`: it is empty"),
        (
            7,
            "`plugins.slo.settings.objectives.CeleryTasks.target`: a target lies between 0 and 1: 99.5 % is 0.995",
        ),
        (9, "14.4 times 10 % is above 100 %"),
        (10, "`plugins.slo.settings.objectives.Loose.error`: it holds no `$window`"),
        (12, "it takes either `error` and `total`, or `latency`"),
        (16, "a name is of letters, digits and `_`"),
        (20, "the plugin itself sets it"),
    ] {
        assert!(refused.contains(words), "`{words}` is not in\n{refused}");
        assert!(refused.contains(&format!("profiles/tried.toml:{line}:")), "no line {line} in\n{refused}");
    }
}

#[test]
fn wrong_promql_of_a_plugin_is_caught_with_the_plugin_named() {
    for (error, word) in [
        ("sum(rate(celery_task_failed_total[$window])", "error[M101]"),
        ("sum(rate(celery_task_failed_totl[$window]))", "celery_task_failed_total"),
    ] {
        let layer = format!("[plugins.slo.settings.objectives.CeleryTasks]\nerror = \"{error}\"\n");
        let refused = tried(&layer).run(CHECK).exits(3).stderr;
        assert!(
            refused.contains("`CeleryTasksBurnCritical`")
                && refused.contains(word)
                && refused.contains("plugins.slo"),
            "{refused}"
        );
    }
}

#[test]
fn diff_tells_the_people_on_call_what_is_new_and_why() {
    let project = tried("plugins.slo.enable = false\n");
    project.run("build tried --env-file profiles/prod.env.example --oracle off -o before").succeeds();
    let told = project.run("diff ./before prod --env-file profiles/prod.env.example").exits(1).stdout;
    assert!(
        told.contains(PAGE)
            && told.contains("plugin slo: objective of 99 % in 30d: 14.4x over 1h, 6x over 6h"),
        "{told}"
    );
    let explained = project.run(&format!("explain prod alerts.{PAGE}")).succeeds().stdout;
    assert!(explained.contains("plugin slo added (objective of 99 %"), "{explained}");
}
