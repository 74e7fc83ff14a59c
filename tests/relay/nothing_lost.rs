//! A real Alertmanager, the relay, and a service that fails in all ways, while the relay is killed,
//! started and reloaded again and again: every alert arrives, and none twice without a reason.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::parts::Alertmanager;
use crate::support::relay::{CONTROL, Site, channel};
use crate::support::sink::{Answer, Sink};
use crate::support::{http, wait_for};

const STEPS: usize = 50;
const GROUPS_A_STEP: usize = 4;
const ALERTS_A_GROUP: usize = 50;

/// Longer than any wait of the channel's, at most a minute.
const RECOVERY: Duration = Duration::from_secs(150);

/// What the service answers by turns, most often as it should.
fn by_turns(number: usize, _: &str) -> Answer {
    const BAD: [Answer; 9] = [
        Answer::Error,
        Answer::TooMany(1),
        Answer::ErrorCode,
        Answer::Reset,
        Answer::HalfClose,
        Answer::Hang,
        Answer::Cut,
        Answer::Page,
        Answer::TooMany(2),
    ];
    const GOOD: [Answer; 3] = [Answer::Ok, Answer::OkSlowly, Answer::OkOddly];
    match number % 8 {
        7 => BAD[number / 8 % BAD.len()],
        _ => GOOD[number % GOOD.len()],
    }
}

fn alerts(group: &str, ends: jiff::Timestamp) -> Vec<Value> {
    let alert = |number| {
        json!({
            "labels": { "alertname": "Down", "group": group, "instance": format!("host-{number}") },
            "annotations": { "summary": "it is down" },
            "endsAt": ends.to_string(),
        })
    };
    (0..ALERTS_A_GROUP).map(alert).collect()
}

/// The channel, and another one that differs each time.
fn channels(sink: &Sink, number: u32) -> Value {
    json!({ "ops": channel(sink.address(), 10), "spare": channel(sink.address(), number) })
}

struct Stack {
    alertmanager: Alertmanager,
    site: Site,
    sink: Sink,
}

impl Stack {
    fn start() -> Stack {
        let sink = Sink::that(by_turns);
        let site = Site::of(channel(sink.address(), 10));
        let config = site.path("alertmanager.yml");
        let text = format!(
            "route: {{ receiver: ops, group_by: [group], group_wait: 1s, group_interval: 1s, repeat_interval: 24h }}\n\
             receivers:\n- name: ops\n  webhook_configs:\n  - url: http://{}/ops\n    max_alerts: 0\n    \
             http_config: {{ authorization: {{ credentials_file: {} }} }}\n",
            site.address(),
            site.path("secrets/ops-token").display()
        );
        std::fs::write(&config, text).unwrap();
        Stack { alertmanager: Alertmanager::start(&config), site, sink }
    }

    fn send(&self, alerts: &[Value]) {
        let url = format!("http://127.0.0.1:{}/api/v2/alerts", self.alertmanager.port);
        let (status, text) = http::post(&url, &json!(alerts).to_string()).unwrap();
        assert_eq!(status, 200, "{text}");
    }

    /// The fingerprints of the alerts that fire, with their groups.
    fn firing(&self) -> HashMap<String, String> {
        let all = http::json(&format!("http://127.0.0.1:{}/api/v2/alerts", self.alertmanager.port));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let alert = |alert: &Value| (text(&alert["fingerprint"]), text(&alert["labels"]["group"]));
        all.as_array().unwrap().iter().map(alert).collect()
    }

    /// How many notifications it gave up on since then.
    fn given_up(&self, since: jiff::Timestamp) -> usize {
        let log = self.alertmanager.output();
        let failed = log.lines().filter(|line| line.contains("Notify for alerts failed"));
        let at = |line: &str| line.split(' ').next()?.strip_prefix("ts=")?.parse::<jiff::Timestamp>().ok();
        failed.filter_map(at).filter(|at| *at >= since).count()
    }

    /// When each line was taken.
    fn taken(&self) -> HashMap<String, Vec<Instant>> {
        let mut taken: HashMap<String, Vec<Instant>> = HashMap::new();
        for asked in self.sink.asked().iter().filter(|asked| asked.answer.takes() && asked.answered) {
            for line in asked.lines() {
                taken.entry(line.to_owned()).or_default().push(asked.at);
            }
        }
        taken
    }

    /// Waits until each of these was told.
    fn until_told(&self, state: &str, fingerprints: &[&String]) {
        wait_for(RECOVERY, &format!("delivery of all {} {state}", fingerprints.len()), || {
            let taken = self.taken();
            fingerprints.iter().all(|one| taken.contains_key(&format!("{state} {one}"))).then_some(())
        });
    }
}

#[test]
fn every_alert_arrives_whatever_happens_and_none_twice_without_a_reason() {
    let mut stack = Stack::start();
    let far = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    let mut kills: Vec<Instant> = vec![];
    let mut relay = stack.site.start();
    for step in 0..STEPS {
        for group in 0..GROUPS_A_STEP {
            stack.send(&alerts(&format!("group-{step}-{group}"), far));
        }
        let digest = stack.site.generation(channels(&stack.sink, step as u32));
        let (status, text) = relay.post("-/reload", CONTROL, "");
        assert_eq!(status, 200, "{text}");
        assert_eq!(relay.status()["config_sha256"], digest);
        // Something goes through, or the channel has to wait; then it is killed.
        let before = stack.sink.count();
        wait_for(RECOVERY, "request", || {
            let came = stack.sink.count() - before;
            let waits = || relay.status()["channels"]["ops"]["not_before"].is_string();
            (came > step % 9 || came > 0 && waits()).then_some(())
        });
        relay.daemon.kill();
        kills.push(Instant::now());
        relay = stack.site.start();
    }

    // Some begin and end while nothing gets through.
    stack.sink.becomes(|_, _| Answer::Error);
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    stack.send(&alerts("brief", soon));
    let brief: Vec<String> = wait_for(RECOVERY, "brief alerts", || {
        let brief: Vec<String> =
            stack.firing().into_iter().filter(|(_, group)| group == "brief").map(|(one, _)| one).collect();
        (brief.len() == ALERTS_A_GROUP).then_some(brief)
    });
    wait_for(RECOVERY, "end of them", || {
        (!stack.firing().values().any(|group| group == "brief")).then_some(())
    });

    // The service recovers.
    stack.sink.becomes(|number, _| if number % 2 == 0 { Answer::Ok } else { Answer::OkOddly });
    let firing = stack.firing();
    assert_eq!(firing.len(), STEPS * GROUPS_A_STEP * ALERTS_A_GROUP);
    stack.until_told("firing", &firing.keys().collect::<Vec<_>>());

    // Half of the groups end, and the service fails again for a while.
    stack.sink.becomes(by_turns);
    let (ended, since) = (Instant::now(), jiff::Timestamp::now());
    let ends: Vec<String> =
        (0..STEPS).flat_map(|step| [format!("group-{step}-0"), format!("group-{step}-1")]).collect();
    for group in &ends {
        stack.send(&alerts(group, jiff::Timestamp::now()));
    }
    for reload in 1..=10 {
        let before = stack.sink.count();
        stack.site.generation(channels(&stack.sink, 100 + reload));
        assert_eq!(relay.post("-/reload", CONTROL, "").0, 200);
        wait_for(RECOVERY, "requests", || (stack.sink.count() > before + 3).then_some(()));
    }
    stack.sink.becomes(|_, _| Answer::Ok);
    let resolved: Vec<&String> =
        firing.iter().filter(|(_, group)| ends.contains(group)).map(|(one, _)| one).collect();
    assert_eq!(resolved.len(), STEPS * 2 * ALERTS_A_GROUP);
    stack.until_told("resolved", &resolved);

    // Those whose whole life fell into the outage are counted apart: an attempt that began while they
    // fired may go on after it. Of one that was told its end is told too.
    let taken = stack.taken();
    let told: Vec<&String> =
        brief.iter().filter(|one| taken.contains_key(&format!("firing {one}"))).collect();
    stack.until_told("resolved", &told);

    let mut again: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unexplained = vec![];
    let taken = stack.taken();
    for (line, times) in &taken {
        let (state, fingerprint) = line.split_once(' ').unwrap();
        for pair in times.windows(2) {
            let killed = kills.iter().any(|kill| (pair[0]..=pair[1]).contains(kill));
            // Alertmanager tells the whole group when some of it ended.
            let changed = state == "firing"
                && pair[1] >= ended
                && firing.get(fingerprint).is_some_and(|group| ends.contains(group));
            match (killed, changed) {
                (true, _) => *again.entry("after the relay was killed").or_default() += 1,
                (_, true) => *again.entry("since the group changed while it was sent").or_default() += 1,
                _ => unexplained.push(line),
            }
        }
    }
    // A 2xx is lost where Alertmanager gives up in the moment in which it comes. Its log says for how
    // many groups it gave up, and it tells all of a group again.
    let groups: BTreeSet<&String> =
        (unexplained.iter()).filter_map(|line| firing.get(line.split_once(' ').unwrap().1)).collect();
    if !groups.is_empty() && groups.len() <= stack.given_up(since) {
        *again.entry("since Alertmanager had given up waiting").or_default() += unexplained.len();
        unexplained.clear();
    }
    eprintln!(
        "{} requests; {} alerts and {} resolutions arrived; again: {again:?}; {} of {} brief ones not told",
        stack.sink.count(),
        firing.len(),
        resolved.len(),
        brief.len() - told.len(),
        brief.len()
    );
    assert!(unexplained.is_empty(), "{} came twice without a reason: {unexplained:?}", unexplained.len());
}
