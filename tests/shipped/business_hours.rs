//! `business-hours`: what is different by day, by night, at weekends and on holidays. In China
//! it is eight o'clock on a Thursday morning when a scenario begins.

use super::scenario::{DAY, HOUR, Scenario};
use super::{CHECK, rules, tried};

const QUEUE: &str = r#"celery_queue_length{queue_name="celery"}"#;
const LENGTH: &str = "HighCeleryQueueLength";

/// The office of the reference stack's team.
const OFFICE: &str = r#"
[plugins.hours]
file = "plugins/business-hours/business-hours.wasm"
may = ["expr", "add", "label"]
[plugins.hours.settings]
utc_offset = "+08:00"
[plugins.hours.settings.windows.office]
weekdays = ["monday:friday"]
times = [{ from = "09:00", to = "18:00" }]
"#;
/// In minutes of UTC from the start, the office opens and closes.
const OPENS: usize = HOUR;
const CLOSES: usize = 10 * HOUR;
const FRIDAY: usize = DAY;
const SATURDAY: usize = 2 * DAY;
const SUNDAY: usize = 3 * DAY;
const MONDAY: usize = 4 * DAY;

fn office(more: &str) -> String {
    format!("{OFFICE}{more}")
}

fn constant(series: &str, days: usize, value: f64) -> Scenario {
    Scenario::default().values(series, (0..=days * DAY).map(|_| value))
}

#[test]
fn a_threshold_of_its_own_holds_in_office_hours_and_no_longer() {
    let project = tried(&office(
        "[plugins.hours.settings.alerts.HighCeleryQueueLength]\nthresholds = { office = 1000 }\n",
    ));
    let rules = rules(&project, "tried", "celery_alerts.yml");
    // Five hundred wait: too many but for the busy office. Then `for` counts anew.
    constant(QUEUE, 5, 500.0)
        .fires(6, LENGTH, 1)
        .fires(OPENS - 1, LENGTH, 1)
        .silent([OPENS, OPENS + 30, CLOSES - 1, CLOSES + 4], LENGTH)
        .fires(CLOSES + 6, LENGTH, 1)
        .silent([FRIDAY + OPENS, FRIDAY + CLOSES - 1], LENGTH)
        .fires(SATURDAY + OPENS, LENGTH, 1)
        .fires(SUNDAY + 5 * HOUR, LENGTH, 1)
        .fires(MONDAY + OPENS - 1, LENGTH, 1)
        .silent([MONDAY + OPENS], LENGTH)
        .judge(&rules);
    // Two thousand are too many at any time: it fires on across both ends.
    let always = constant(QUEUE, 2, 2000.0);
    (6..2 * DAY).step_by(59).fold(always, |all, minute| all.fires(minute, LENGTH, 1)).judge(&rules);
    constant(QUEUE, 2, 50.0).silent((0..2 * DAY).step_by(59), LENGTH).judge(&rules);
}

#[test]
fn holidays_are_no_office_days_and_make_up_days_are() {
    let project = tried(&office(
        "except = [\"1970-01-02\", \"1970-01-05:1970-01-06\"]\nalso = [\"1970-01-03\"]\n\
         [plugins.hours.settings.alerts.HighCeleryQueueLength]\nthresholds = { office = 1000 }\n",
    ));
    constant(QUEUE, 5, 500.0)
        .silent([OPENS + 30], LENGTH)
        .fires(FRIDAY + OPENS + 30, LENGTH, 1)
        .silent([SATURDAY + OPENS + 30, SATURDAY + CLOSES - 1], LENGTH)
        .fires(SATURDAY + CLOSES + 6, LENGTH, 1)
        .fires(SUNDAY + OPENS + 30, LENGTH, 1)
        .fires(MONDAY + OPENS + 30, LENGTH, 1)
        .judge(&rules(&project, "tried", "celery_alerts.yml"));
}

#[test]
fn a_severity_of_its_own_is_an_alert_of_its_own() {
    let project = tried(&office(
        "[plugins.hours.settings.alerts.CeleryWorkerDown]\nseverities = { office = \"warning\" }\n",
    ));
    let original = rules(&project, "tried", "celery_alerts.yml");
    let added = original.with_file_name("plugin-hours.yml");
    let down = || constant(r#"celery_worker_up{hostname="a"}"#, 1, 0.0);
    down()
        .fires(OPENS - 1, "CeleryWorkerDown", 1)
        .silent([OPENS, CLOSES - 1], "CeleryWorkerDown")
        .fires(CLOSES + 3, "CeleryWorkerDown", 1)
        .judge(&original);
    down()
        .silent([OPENS - 1, OPENS + 1, CLOSES], "CeleryWorkerDownOffice")
        .fires(OPENS + 3, "CeleryWorkerDownOffice", 1)
        .fires(CLOSES - 1, r#"CeleryWorkerDownOffice", severity="warning", component="task-queue"#, 1)
        .judge(&added);
}

#[test]
fn only_in_a_window_it_can_fire_at_all() {
    let project = tried(&office(
        "[plugins.hours.settings.windows.night]\ntimes = [{ from = \"22:00\", to = \"24:00\" }, { from = \"00:00\", to = \"06:00\" }]\n\
         [plugins.hours.settings.alerts.HighCeleryQueueLength]\nonly = [\"office\", \"night\"]\n",
    ));
    // Ten in the evening is two o'clock in the afternoon of UTC.
    constant(QUEUE, 2, 500.0)
        .silent([10, OPENS - 1, CLOSES, 14 * HOUR - 1, 22 * HOUR], LENGTH)
        .fires(OPENS + 10, LENGTH, 1)
        .fires(14 * HOUR + 10, LENGTH, 1)
        .fires(22 * HOUR - 1, LENGTH, 1)
        .judge(&rules(&project, "tried", "celery_alerts.yml"));
}

#[test]
fn what_may_wait_is_delivered_by_routes_whose_intervals_know_the_zone() {
    let project = tried(&office(
        "[plugins.hours.settings.alerts.HighCeleryTaskExecutionTime]\ndeliver = \"office\"\n\
         [intervals.office]\nweekdays = [\"monday:friday\"]\ntimes = [{ from = \"09:00\", to = \"18:00\" }]\nlocation = \"Europe/Berlin\"\n\
         [routes.office]\norder = 0\nmatch = { hours = \"office\" }\nchannel = \"celery\"\nactive_during = [\"office\"]\n",
    ));
    let rules = rules(&project, "tried", "celery_alerts.yml");
    let text = std::fs::read_to_string(&rules).unwrap();
    assert_eq!(text.matches("hours: office").count(), 1, "{text}");
    let routes =
        std::fs::read_to_string(rules.with_file_name("../../alertmanager/alertmanager.yml")).unwrap();
    assert!(routes.contains("hours=\"office\"") && routes.contains("Europe/Berlin"), "{routes}");
    project.run(&CHECK.replace("off", "require")).succeeds();
}

#[test]
fn a_threshold_that_another_plugin_or_layer_sets_stays_the_alerts_own() {
    let project = tried(&office(
        "[plugins.hours.settings.alerts.HighCeleryQueueLength]\nthresholds = { office = 1000 }\n\
         [alerts.HighCeleryQueueLength]\nthreshold = 300\n",
    ));
    let text = std::fs::read_to_string(rules(&project, "tried", "celery_alerts.yml")).unwrap();
    assert!(
        text.contains("celery_queue_length > 300") && text.contains("celery_queue_length > 1000"),
        "{text}"
    );
    let explained = project.run("explain tried alerts.HighCeleryQueueLength.expr").succeeds().stdout;
    assert!(explained.contains("threshold 1000 in office (monday:friday 09:00-18:00 UTC+8)"), "{explained}");
}

#[test]
fn wrong_settings_are_said_at_their_lines_all_at_once() {
    let refused = tried(
        r#"
[plugins.hours]
file = "plugins/business-hours/business-hours.wasm"
may = ["expr"]
[plugins.hours.settings]
utc_offset = "Asia/Shanghai"
[plugins.hours.settings.windows.night]
times = [{ from = "22:00", to = "06:00" }, { from = "9:00", to = "10:00" }]
weekdays = ["friday:monday", "mon"]
except = ["2026-02-30", "2026-12-31:2026-12-01"]
[plugins.hours.settings.windows.always]
[plugins.hours.settings.windows.day]
times = [{ from = "09:00", to = "18:00" }]
[plugins.hours.settings.windows.morning]
times = [{ from = "08:00", to = "10:00" }]
[plugins.hours.settings.alerts.HighCeleryQueueLength]
thresholds = { day = 1, morning = 2, evening = 3 }
[plugins.hours.settings.alerts.CeleryWorkerDown]
thresholds = { day = 1 }
[plugins.hours.settings.alerts.CeleryWorkerUp]
"#,
    )
    .run(CHECK)
    .exits(3)
    .stderr;
    for (line, words) in [
        (7, "`Asia/Shanghai` is no offset from UTC such as +08:00"),
        (9, "windows.night.times[0]`: it ends before it begins"),
        (9, "windows.night.times[1]`: times are written 09:00"),
        (10, "`friday:monday` is neither a day"),
        (10, "`mon` is neither a day"),
        (11, "`2026-02-30` is neither a date"),
        (11, "`2026-12-31:2026-12-01` is neither a date"),
        (12, "it is always"),
        (18, "`thresholds` knows no window `evening`: there are `always`, `day`, `morning`, `night`"),
        (18, "`day` and `morning` overlap"),
        (20, "the alert has no threshold"),
        (21, "there is no such alert"),
        (21, "it says nothing"),
    ] {
        assert!(refused.contains(words), "`{words}` is not in\n{refused}");
        assert!(refused.contains(&format!("profiles/tried.toml:{line}:")), "no line {line} in\n{refused}");
    }
}
