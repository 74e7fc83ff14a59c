//! Drills of a real Alertmanager.

use monprov::activate::process::State;
use serde_json::Value;

use crate::support::daemon::free_port;
use crate::support::parts::MailSink;
use crate::support::project::{Output, Project};
use crate::support::up::Up;
use crate::support::{GENEROUS, http, wait_for};

/// A stack of nothing but an Alertmanager, which sends mail.
struct Bench {
    up: Up,
    mail: MailSink,
    alertmanager: u16,
}

impl Bench {
    fn start() -> Bench {
        let (mail, alertmanager) = (MailSink::start(), free_port());
        let project = Project::empty().file("profiles/dev.toml", profile(alertmanager, mail.port, ""));
        let up = Up::start(project);
        up.until("alertmanager", State::Healthy);
        Bench { up, mail, alertmanager }
    }

    fn drill(&self, args: &str) -> Output {
        self.up.project.run(&format!("drill dev {args}"))
    }

    fn write(&self, more: &str) {
        self.up.project.write("profiles/dev.toml", profile(self.alertmanager, self.mail.port, more));
    }

    fn alerts(&self) -> Vec<Value> {
        let url = format!("http://127.0.0.1:{}/api/v2/alerts", self.alertmanager);
        http::json(&url).as_array().unwrap().clone()
    }
}

fn profile(alertmanager: u16, mail: u16, more: &str) -> String {
    format!(
        r#"
        [stack]
        runtime = "process"

        [services.alertmanager]
        kind = "alertmanager"
        program = "prometheus-alertmanager"
        version = "0.25.0"
        port = {alertmanager}

        [alertmanager]
        channel = "default"
        group_by = ["component"]
        group_wait = "1s"
        group_interval = "2s"
        smtp = {{ smarthost = "127.0.0.1:{mail}", from = "a@example.com", require_tls = false }}

        [alerts.Down]
        expr = "up == 0"
        severity = "critical"
        component = "queue"

        [alerts.Slow]
        expr = "up == 2"
        severity = "warning"
        component = "queue"

        [channels.default.email]
        to = "default@example.com"

        # While something critical fires, its warnings are mute.
        [inhibitions.explained]
        source = {{ severity = "critical" }}
        target = {{ severity = "warning" }}
        equal = ["component"]
        {more}"#
    )
}

/// What was said of a receiver: its way, verdict and proof.
fn of(output: &Output, receiver: &str) -> (String, String, String) {
    let held: Value = serde_json::from_str(&output.stdout).unwrap();
    let outcomes = held["outcomes"].as_array().unwrap();
    let outcome = outcomes.iter().find(|o| o["receiver"] == receiver).unwrap_or_else(|| panic!("{held:#}"));
    let text = |key: &str| outcome[key].as_str().unwrap().to_owned();
    (text("via"), text("verdict"), text("text"))
}

#[test]
fn a_drill_reaches_everybody_while_something_real_fires() {
    let bench = Bench::start();
    let real = r#"[{"labels": {"alertname": "Down", "severity": "critical", "component": "queue"}}]"#;
    let url = format!("http://127.0.0.1:{}/api/v2/alerts", bench.alertmanager);
    assert_eq!(http::post(&url, real).unwrap().0, 200);

    let drilled = bench.drill("--json").succeeds();
    let (via, verdict, text) = of(&drilled, "default");
    assert_eq!((via.as_str(), verdict.as_str()), ("email", "handed_over"));
    assert!(text.ends_with("that it arrived only a reader can say"), "{text}");

    // Both severities came, also the one that the real alert mutes, and in a mail of their own.
    let drills =
        || -> Vec<_> { bench.mail.mails().into_iter().filter(|mail| mail.body.contains("DRILL")).collect() };
    wait_for(GENEROUS, "drill by mail", || (!drills().is_empty()).then_some(()));
    let body = drills().remove(0).body;
    assert!(body.contains("critical") && body.contains("warning"), "{body}");
    assert!(body.contains("Nothing is wrong"), "{body}");
    let real = wait_for(GENEROUS, "the real alert", || {
        bench
            .mail
            .mails()
            .into_iter()
            .find(|mail| mail.subject.contains("FIRING") && !mail.body.contains("DRILL"))
    });
    assert!(real.body.contains("Down"), "{}", real.body);

    // It is over, and nobody is left with it.
    wait_for(GENEROUS, "quiet", || {
        let drills =
            bench.alerts().iter().filter(|alert| alert["labels"]["monprov_drill"] != Value::Null).count();
        (drills == 0).then_some(())
    });
    let people = bench.drill("").succeeds();
    assert!(
        people.stdout.starts_with("receiver  via    result       proof\ndefault   email  handed over  "),
        "{}",
        people.stdout
    );
}

#[test]
fn where_a_canary_stops_is_said() {
    let bench = Bench::start();
    let closed = free_port();
    let more = format!(
        "[channels.pager.webhook]\nurl = \"http://127.0.0.1:{closed}/\"\n\
         [routes.pager]\nmatch = {{ severity = \"critical\" }}\nchannel = \"pager\"\ncontinue = true\n\
         [channels.never.email]\nto = \"never@example.com\"\n"
    );
    bench.write(&more);
    bench.up.project.run("switch dev --oracle off").succeeds();

    let drilled = bench.drill("--json --timeout 4s").exits(1);
    let (_, verdict, text) = of(&drilled, "pager");
    assert_eq!(verdict, "stopped");
    assert!(text.contains("has sent 0 of 1 by webhook") && text.contains("attempts failed"), "{text}");
    assert_eq!(of(&drilled, "default").1, "handed_over");

    // Of one that is silenced Alertmanager sends nothing.
    let silence = r#"{"matchers": [{"name": "severity", "value": "warning", "isRegex": false, "isEqual": true}],
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2100-01-01T00:00:00Z", "createdBy": "me", "comment": "c"}"#;
    assert_eq!(
        http::post(&format!("http://127.0.0.1:{}/api/v2/silences", bench.alertmanager), silence).unwrap().0,
        200
    );
    let silenced = bench.drill("--json --receiver default --timeout 2s").exits(1);
    assert!(of(&silenced, "default").2.contains("silenced by"), "{}", silenced.stdout);

    let never = bench.drill("--json --receiver never").exits(1);
    assert_eq!(of(&never, "never").2, "no route leads to it");
    let misspelt = bench.drill("--receiver pagr").exits(1);
    assert!(misspelt.stderr.contains("has no channel `pagr`; did you mean `pager`?"), "{}", misspelt.stderr);
}

#[test]
fn a_switch_whose_new_receiver_can_not_deliver_is_undone() {
    let bench = Bench::start();
    let channel = |port: u16| {
        format!(
            "[channels.pager.webhook]\nurl = \"http://127.0.0.1:{port}/\"\n\
             [routes.pager]\nmatch = {{ severity = \"critical\" }}\nchannel = \"pager\"\ncontinue = true\n"
        )
    };
    bench.write(&channel(free_port()));
    let switched = bench.up.project.run("switch dev --oracle off --drill --drill-timeout 3s").exits(5);
    assert!(switched.stderr.contains("pager (webhook): Alertmanager has sent 0 of 1"), "{}", switched.stderr);
    assert!(switched.stderr.contains("generation 1 runs again"), "{}", switched.stderr);

    let sink = crate::support::parts::WebhookSink::start();
    bench.write(&channel(sink.port));
    let switched = bench.up.project.run("switch dev --oracle off --drill").succeeds();
    assert!(switched.stderr.contains("drill     pager ✓"), "{}", switched.stderr);
    assert!(sink.calls().iter().any(|call| call.body.contains("DRILL")));
    // Nothing new, nothing drilled.
    bench.write(&(channel(sink.port) + "[groups.default]\ninterval = \"30s\"\n"));
    let again = bench.up.project.run("switch dev --oracle off --drill").succeeds();
    assert!(!again.stderr.contains("pager ✓"), "{}", again.stderr);
}
