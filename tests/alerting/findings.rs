//! Every finding about routes, receivers, inhibitions and versions, each with a profile that
//! has it and nothing else.

use monprov::check;

use crate::support::resolved::{line, stack};

/// A sound stack: a warning and a critical alert, and a route for each.
const SOUND: &str = r#"
[services.prometheus]
kind = "prometheus"
version = "2.42"
[services.alertmanager]
kind = "alertmanager"
version = "0.25"
[alertmanager]
channel = "ops"
[channels.ops.webhook]
url = "http://ops.example.org/"
[channels.pager.webhook]
url = "http://pager.example.org/"
[routes.critical]
order = 1
match = { severity = "critical" }
channel = "pager"
[alerts.Slow]
expr = "latency > 1"
severity = "warning"
component = "web"
[alerts.Down]
expr = "up == 0"
severity = "critical"
component = "web"
"#;

/// What the checks say of the sound stack with something added.
#[track_caller]
fn says(more: &str, expected: &[&str]) {
    says_of(&format!("{SOUND}\n{more}"), expected);
}

#[track_caller]
fn says_of(profile: &str, expected: &[&str]) {
    let mut lines: Vec<String> =
        check::all(&stack(profile), &Default::default()).iter().map(line).filter(|l| is_ours(l)).collect();
    lines.sort();
    assert_eq!(lines, expected, "{profile}");
}

/// Other families have tests of their own.
fn is_ours(line: &str) -> bool {
    line.split(' ').nth(1).is_some_and(|code| code.starts_with("M2"))
}

#[test]
fn a_sound_stack_has_no_findings() {
    says("", &[]);
}

#[test]
fn an_alert_that_reaches_nobody() {
    says(
        "[channels.void]\n[routes.void]\norder = 2\nmatch = { component = \"web\" }\nchannel = \"void\"",
        &["error M201 alerts.Slow: alert `Slow` reaches nobody"],
    );
    // A second way is enough, and so is a label that only the samples have.
    says(
        "[channels.void]\n[routes.void]\norder = 2\nmatch = { component = \"web\" }\nchannel = \"void\"\ncontinue = true\n\
         [routes.all]\norder = 3\nchannel = \"ops\"",
        &[],
    );
    says("[channels.void]\n[routes.void]\norder = 2\nmatch = { zone = \"a\" }\nchannel = \"void\"", &[]);
    let without = SOUND.replace("kind = \"alertmanager\"", "kind = \"exporter\"");
    says_of(
        &without,
        &["warning M201 alerts.Down: the stack has alerts and no Alertmanager, so that nobody hears of them"],
    );
}

#[test]
fn a_route_behind_one_that_takes_everything() {
    says(
        "[routes.late]\norder = 2\nmatchers = ['severity=\"critical\"', 'component=\"web\"']\nchannel = \"pager\"",
        &["error M202 routes.late: route `late` gets no alert: `critical` takes them all before"],
    );
    let continued = SOUND.replace("channel = \"pager\"", "channel = \"pager\"\ncontinue = true");
    says_of(
        &format!(
            "{continued}\n[routes.late]\norder = 2\nmatchers = ['severity=~\"critical|page\"']\nchannel = \"ops\""
        ),
        &[],
    );
}

#[test]
fn two_routes_of_one_order() {
    says(
        "[routes.web]\norder = 1\nmatch = { component = \"web\" }\nchannel = \"ops\"",
        &[
            "error M203 routes.web: routes `critical` and `web` both have order 1 and could match the same alert",
        ],
    );
    says("[routes.minor]\norder = 1\nmatchers = ['severity!=\"critical\"']\nchannel = \"ops\"", &[]);
    says("[routes.minor]\norder = 1\nmatchers = ['severity=~\"info|warning\"']\nchannel = \"ops\"", &[]);
}

#[test]
fn a_route_that_no_alert_takes() {
    let found = check::all(
        &stack(&format!(
            "{SOUND}\n[routes.x]\norder = 2\nmatch = {{ severity = \"warnign\" }}\nchannel = \"ops\""
        )),
        &Default::default(),
    );
    let finding = found.iter().find(|f| f.code.id == "M204").unwrap();
    assert_eq!(line(finding), "warning M204 routes.x: no alert of the stack takes route `x`");
    assert_eq!(finding.label, "no alert has `severity=\"warnign\"`; did you mean `warning`?");
    // Samples may have any label, but an aggregation tells which.
    says("[routes.x]\norder = 2\nmatch = { zone = \"a\" }\nchannel = \"ops\"", &[]);
    let closed =
        SOUND.replace("latency > 1", "sum by (job) (latency) > 1").replace("up == 0", "sum(up) == 0");
    says_of(
        &format!("{closed}\n[routes.x]\norder = 2\nmatch = {{ zone = \"a\" }}\nchannel = \"ops\""),
        &["warning M204 routes.x: no alert of the stack takes route `x`"],
    );
    // External labels are labels of every alert.
    says_of(
        &format!(
            "{closed}\n[prometheus]\nexternal_labels = {{ zone = \"a\" }}\n\
             [routes.x]\norder = 2\nmatch = {{ zone = \"a\" }}\nchannel = \"ops\""
        ),
        &[],
    );
}

#[test]
fn matchers_that_contradict_each_other() {
    says(
        "[routes.x]\norder = 2\nmatchers = ['severity=\"warning\"', 'severity=~\"critical|page\"']\nchannel = \"ops\"",
        &[
            "error M205 routes.x: `severity=\"warning\"` and `severity=~\"critical|page\"` never match together",
        ],
    );
}

#[test]
fn grouping_and_intervals() {
    says(
        "[routes.warning]\norder = 2\nmatch = { severity = \"warning\" }\nchannel = \"ops\"\ngroup_by = [\"...\", \"a\", \"a\", \"\"]\n\
         group_interval = \"10m\"\nrepeat_interval = \"5m\"",
        &[
            "error M206 routes.warning.group_by[0]: `...` means all labels and stands alone",
            "error M206 routes.warning.group_by[2]: `a` stands twice in `group_by`",
            "error M206 routes.warning.group_by[3]: an empty name is no label to group by",
            "warning M207 routes.warning.repeat_interval: notifications repeat every 10m, not every 5m",
        ],
    );
    says(
        "[routes.warning]\norder = 2\nmatch = { severity = \"warning\" }\nchannel = \"ops\"\nrepeat_interval = \"0s\"",
        &["error M207 routes.warning.repeat_interval: `repeat_interval` can't be zero"],
    );
}

#[test]
fn channels() {
    says(
        "[channels.idle.webhook]\nurl = \"http://idle.example.org/\"",
        &["warning M210 channels.idle: no route names channel `idle`"],
    );
    says(
        "[channels.pager.email]\nto = \"oncall@example.org, nobody\"",
        &[
            "error M211 channels.pager.email: mail needs `from` in `[alertmanager.smtp]`",
            "error M211 channels.pager.email: mail needs `smarthost` in `[alertmanager.smtp]`",
            "error M212 channels.pager.email.to: `nobody` is no mail address",
        ],
    );
    says(
        "[secrets]\np = { env = \"P\" }\n[alertmanager.smtp]\nsmarthost = \"mail.example.org\"\nfrom = \"a@b\"\npassword = \"${secret.p}\"",
        &[
            "error M212 alertmanager.smtp.smarthost: `mail.example.org` is no `host:port`",
            "warning M211 alertmanager.smtp.password: the password is never used: Alertmanager logs in only with a `username`",
        ],
    );
    says(
        "[channels.pager.slack]\napi_url = \"hooks.slack.com/services/x\"\n[channels.pager.discord]\nwebhook_url = \"https://\"",
        &[
            "error M212 channels.pager.discord.webhook_url: `https://` is no address of a web server",
            "error M212 channels.pager.slack.api_url: `hooks.slack.com/services/x` is no address of a web server",
        ],
    );
    says(
        "[channels.pager.wechat]\ncorp_id = \"c\"\napi_secret = \"s\"\nmessage_type = \"html\"",
        &["error M213 channels.pager.wechat.message_type: `html` is no `message_type` of wechat"],
    );
}

#[test]
fn inhibitions() {
    let inhibition = |rest: &str| format!("[inhibitions.i]\n{rest}");
    says(
        &inhibition("source.severity = \"critical\"\ntarget.severity = \"warning\"\nequal = [\"component\"]"),
        &[],
    );
    says(
        &inhibition("source.component = \"web\"\ntarget.alertname = \"Slow\"\nequal = [\"component\"]"),
        &["warning M220 inhibitions.i: an alert can be both source and target of inhibition `i`"],
    );
    says(
        &inhibition("source.severity = \"warning\"\ntarget.component = \"web\"\nequal = [\"component\"]"),
        &[
            "error M221 inhibitions.i: inhibition `i` can mute the critical alert `Down`",
            "warning M220 inhibitions.i: an alert can be both source and target of inhibition `i`",
        ],
    );
    // Labels in `equal` that are known to differ keep the alerts apart.
    says(
        &inhibition("source.alertname = \"Slow\"\ntarget.alertname = \"Down\"\nequal = [\"severity\"]"),
        &[],
    );
    says(
        &inhibition("source.severity = \"critical\"\ntarget.severity = \"warning\""),
        &["warning M222 inhibitions.i: inhibition `i` mutes its targets whatever they are about"],
    );
    let closed = SOUND.replace("latency > 1", "sum(latency) > 1").replace("up == 0", "sum(up) == 0");
    says_of(
        &format!(
            "{closed}\n{}",
            inhibition(
                "source.severity = \"critical\"\ntarget.severity = \"warning\"\nequal = [\"instance\"]"
            )
        ),
        &[
            "warning M222 inhibitions.i.equal[0]: no alert has the label `instance`, and two that lack it count as equal",
        ],
    );
    says(
        &inhibition("source.severity = \"critcal\"\ntarget.severity = \"warning\"\nequal = [\"component\"]"),
        &["warning M204 inhibitions.i: no alert of the stack is a source of inhibition `i`"],
    );
}

#[test]
fn options_that_the_version_does_not_have() {
    says(
        "[secrets]\nu = { env = \"U\" }\nw = { env = \"W\" }\n[alerts.Late]\nexpr = \"x > 1\"\nkeep_firing_for = \"5m\"\n\
         [groups.default]\nquery_offset = \"1m\"\n\
         [channels.pager.wechat]\ncorp_id = \"c\"\napi_secret = \"${secret.w}\"\n\
         [channels.ops.msteams]\nwebhook_url = \"${secret.u}\"\n\
         [channels.ops.slack]\napi_url = \"${secret.u}\"\n\
         [routes.critical.routes.a]\nmatchers = ['\"a.b\"=\"c\"']",
        &[
            "error M240 channels.ops.msteams: Alertmanager 0.25.0 does not have `msteams`",
            "error M240 groups.default.query_offset: Prometheus 2.42.0 does not have `group.query_offset`",
            "error M240 routes.critical.routes.a.matchers: Alertmanager 0.25.0 does not have `UTF-8 label names`",
            "error M241 channels.ops.msteams.webhook_url: Alertmanager 0.25.0 can't read this secret from a file",
            "error M241 channels.pager.wechat.api_secret: Alertmanager 0.25.0 can't read this secret from a file",
        ],
    );
    let newest = SOUND.replace("0.25", "0.34").replace("2.42", "3.14");
    says_of(
        &format!(
            "{newest}\n[secrets]\nw = {{ env = \"W\" }}\n[channels.pager.wechat]\ncorp_id = \"c\"\napi_secret = \"${{secret.w}}\""
        ),
        &[],
    );
    let unknown = SOUND.replace("version = \"0.25\"\n", "");
    says_of(
        &unknown,
        &["warning M242 services.alertmanager: which version of Alertmanager is `alertmanager`?"],
    );
}

#[test]
fn every_finding_is_there_at_once() {
    says(
        "[routes.a]\norder = 1\nmatch = { component = \"web\" }\nchannel = \"ops\"\n\
         [channels.idle.slack]\napi_url = \"nowhere\"\n\
         [intervals.night]\ntimes = [{ from = \"22:00\", to = \"6:00\" }]",
        &[
            "error M203 routes.critical: routes `a` and `critical` both have order 1 and could match the same alert",
            "error M212 channels.idle.slack.api_url: `nowhere` is no address of a web server",
            "error M230 intervals.night.times[0].to: `6:00` is no time of day; write `09:00`, up to `24:00`",
            "warning M210 channels.idle: no route names channel `idle`",
        ],
    );
}
