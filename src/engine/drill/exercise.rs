//! Sending canaries, and looking where they are until they have arrived or time is up.
#![expect(clippy::disallowed_methods, reason = "waits for what it sent to arrive")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Held, Outcome, Verdict};
use crate::activate::http::Client;
use crate::engine::Failure;
use crate::secret::Secret;
use crate::stack::canary::{self, Canaries, LABEL};
use crate::stack::{Receiver, Stack};

/// Where the relay is asked.
pub(super) struct Relay {
    pub(super) address: String,
    pub(super) token: Secret,
}

/// What the relay says of an event.
#[derive(Debug, Clone, Deserialize)]
struct Delivery {
    channel: String,
    firing: bool,
    verdict: String,
    #[serde(default)]
    reason: String,
}

/// A drill while it is held.
pub(super) struct Exercise<'a> {
    pub(super) client: Client,
    pub(super) alertmanager: String,
    pub(super) relay: Option<Relay>,
    pub(super) stack: &'a Stack,
    pub(super) canaries: &'a Canaries,
    pub(super) only: &'a [String],
    pub(super) id: &'a str,
}

/// What Alertmanager has of the canaries.
#[derive(Debug, Default)]
struct Seen {
    /// By receiver, the fingerprints that are routed to it.
    routed: BTreeMap<String, BTreeSet<String>>,
    /// Why a canary goes nowhere, by fingerprint.
    mute: BTreeMap<String, String>,
    /// Groups by receiver: each is a notification of each of its integrations.
    groups: BTreeMap<String, usize>,
}

/// Requests of an integration that were answered, and how many of them failed.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    all: f64,
    failed: f64,
}

/// By integration.
type Counters = BTreeMap<String, Count>;

impl Exercise<'_> {
    pub(super) fn run(&self, timeout: Duration, say: &mut dyn FnMut(&str, &str)) -> Result<Held, Failure> {
        let receivers = self.receivers();
        let all = self.canaries.all.len();
        let text = format!("{all} canaries to {} receivers, {LABEL}=\"{}\"", receivers.len(), self.id);
        say("drill", &text);
        let wait = self.group_wait();
        let before = self.counters()?;
        let ends = SignedDuration::try_from(wait + timeout + Duration::from_secs(60)).unwrap_or_default();
        self.send(Timestamp::now() + ends)?;
        say("waits", &format!("{} s, as long as Alertmanager waits for a group", wait.as_secs()));
        let held = self.follow(&receivers, &before, wait + timeout);
        // Whatever came of it: nobody is to be left with a drill that fires.
        let resolved = self.send(Timestamp::now());
        let outcomes = held?;
        resolved?;
        say("resolved", "receivers hear of it within `group_interval`");
        Ok(Held { drill: self.id.to_owned(), canaries: all, outcomes })
    }

    /// The receivers that are looked at, and how many canaries each should get.
    fn receivers(&self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for receiver in self.canaries.all.iter().flat_map(|canary| &canary.receivers) {
            *all.entry(receiver.clone()).or_default() += 1;
        }
        all.extend(self.canaries.unreached.keys().map(|receiver| (receiver.clone(), 0)));
        all.retain(|receiver, _| self.only.is_empty() || self.only.contains(receiver));
        all
    }

    /// The longest that a route makes a group wait.
    fn group_wait(&self) -> Duration {
        fn longest(route: &crate::stack::Route) -> u64 {
            let own = route.group_wait.map_or(0, |wait| wait.0);
            route.routes.iter().map(longest).max().unwrap_or_default().max(own)
        }
        let root = self.stack.route.group_wait.map_or(30_000, |wait| wait.0);
        Duration::from_millis(longest(&self.stack.route).max(root))
    }

    fn send(&self, ends: Timestamp) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let alert = |canary: &canary::Canary| {
            json!({
                "labels": canary.labels,
                "annotations": {
                    "summary": "DRILL: this is only a test of who is told",
                    "description": format!(
                        "`monprov drill {}` sent this to see that it arrives. Nothing is wrong, and nothing is to be done.",
                        self.stack.name
                    ),
                },
                "startsAt": (now - SignedDuration::from_secs(1)).to_string(),
                "endsAt": ends.to_string(),
            })
        };
        let alerts: Vec<Json> = self.canaries.all.iter().map(alert).collect();
        let url = format!("http://{}/api/v2/alerts", self.alertmanager);
        let answer = self.client.post_json(&url, &Json::Array(alerts)).map_err(anyhow::Error::msg)?;
        anyhow::ensure!(
            answer.status == 200,
            "Alertmanager takes no alerts ({}): {}",
            answer.status,
            answer.body.trim()
        );
        Ok(())
    }

    /// Looks until every receiver has got what it should, or time is up.
    fn follow(
        &self,
        receivers: &BTreeMap<String, usize>,
        before: &Counters,
        patience: Duration,
    ) -> anyhow::Result<Vec<Outcome>> {
        let start = Instant::now();
        let mut seen = Seen::default();
        loop {
            // What was there once counts: a group that was resolved meanwhile is gone.
            seen.look(self)?;
            let now = self.counters()?;
            let outcomes: Vec<Outcome> = receivers
                .iter()
                .flat_map(|(receiver, canaries)| self.outcomes(receiver, *canaries, &seen, before, &now))
                .collect();
            let open = outcomes.iter().any(|outcome| outcome.verdict == Verdict::Stopped);
            if !open || start.elapsed() > patience {
                return Ok(outcomes);
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    fn outcomes(
        &self,
        name: &str,
        canaries: usize,
        seen: &Seen,
        before: &Counters,
        now: &Counters,
    ) -> Vec<Outcome> {
        let outcome = |via: &str, verdict, text: String| Outcome {
            receiver: name.to_owned(),
            via: via.to_owned(),
            canaries,
            verdict,
            text,
        };
        let stopped = |via: &str, text: &str| vec![outcome(via, Verdict::Stopped, text.to_owned())];
        if let Some(why) = self.canaries.unreached.get(name) {
            return stopped("-", why);
        }
        let Some(receiver) = self.stack.receivers.get(name) else { return vec![] };
        let Some(fingerprints) = seen.routed.get(name) else {
            return stopped("-", "Alertmanager has not routed a canary to it");
        };
        if let Some(why) = fingerprints.iter().find_map(|fingerprint| seen.mute.get(fingerprint)) {
            return stopped("-", why);
        }
        if receiver.integrations.is_empty() {
            return stopped("-", "it has no way to send");
        }
        let relayed = self.stack.relayed.get(name);
        let mut all = vec![];
        for kind in self.kinds(receiver) {
            let (verdict, text) = self.handed_over(&kind, seen, before, now);
            all.push(outcome(&kind, verdict, text));
        }
        if let Some(relayed) = relayed {
            let (verdict, text) = self.delivered(name, fingerprints);
            all.push(outcome(&relayed.plugin, verdict, text));
        }
        all
    }

    /// The integrations of a receiver, but what goes through the relay.
    fn kinds(&self, receiver: &Receiver) -> BTreeSet<String> {
        let relayed = self.stack.relayed.get(&receiver.name);
        let native = receiver.integrations.iter().filter(|i| relayed.is_none_or(|r| r.at != i.at));
        native.map(|integration| integration.kind.clone()).collect()
    }

    /// What Alertmanager counted for an integration, over all receivers: it does not tell them
    /// apart.
    fn handed_over(&self, kind: &str, seen: &Seen, before: &Counters, now: &Counters) -> (Verdict, String) {
        let of = |counters: &Counters| counters.get(kind).copied().unwrap_or_default();
        let (before, now) = (of(before), of(now));
        let failed = now.failed - before.failed;
        let sent = now.all - before.all - failed;
        let integrations = |name: &String| {
            let receiver = self.stack.receivers.get(name);
            receiver.map_or(0, |r| r.integrations.iter().filter(|i| i.kind == *kind).count())
        };
        let wanted: usize = seen.groups.iter().map(|(name, groups)| groups * integrations(name)).sum();
        if wanted > 0 && sent >= wanted as f64 {
            let what = "without an error; that it arrived only a reader can say";
            return (Verdict::HandedOver, format!("Alertmanager sent {wanted} by {kind} {what}"));
        }
        let mut text = format!("Alertmanager has sent {sent} of {wanted} by {kind}");
        if failed > 0.0 {
            text += &format!("; {failed} attempts failed, and its log says why");
        }
        (Verdict::Stopped, text)
    }

    /// What the relay says of a channel's canaries.
    fn delivered(&self, channel: &str, fingerprints: &BTreeSet<String>) -> (Verdict, String) {
        let Some(relay) = &self.relay else {
            return (
                Verdict::Stopped,
                "the relay can't be asked: its control token can't be read here".into(),
            );
        };
        let mut delivered = 0;
        let mut why = None;
        for fingerprint in fingerprints {
            let url = format!("http://{}/-/deliveries?fingerprint={fingerprint}", relay.address);
            let answer = match self.client.get_with(&url, relay.token.expose()) {
                Ok(answer) if answer.status == 200 => answer.body,
                Ok(answer) => return (Verdict::Stopped, format!("the relay answers {}", answer.status)),
                Err(error) => return (Verdict::Stopped, format!("the relay can't be asked: {error}")),
            };
            let known: Vec<Delivery> = serde_json::from_str(&answer).unwrap_or_default();
            let mut own = known.iter().filter(|d| d.channel == channel && d.firing);
            match own.clone().find(|d| d.verdict == "delivered") {
                Some(_) => delivered += 1,
                None => why = own.next_back().map(|d| format!("{}: {}", d.verdict, d.reason)).or(why),
            }
        }
        let all = fingerprints.len();
        if delivered == all {
            return (Verdict::Delivered, format!("the service took {all} of {all}, says the relay"));
        }
        let why = why.unwrap_or_else(|| "Alertmanager has not sent them to the relay".into());
        (Verdict::Stopped, format!("{delivered} of {all} delivered; {why}"))
    }

    /// Requests are counted once they have an answer, notifications when they begin.
    fn counters(&self) -> anyhow::Result<Counters> {
        let text = self.get("/metrics")?;
        let mut all = Counters::new();
        for line in text.lines() {
            let failed = line.starts_with("alertmanager_notification_requests_failed_total{");
            if !failed && !line.starts_with("alertmanager_notification_requests_total{") {
                continue;
            }
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Some((_, rest)) = series.split_once("integration=\"") else { continue };
            let kind = rest.split('"').next().unwrap_or_default().to_owned();
            let value: f64 = value.parse().unwrap_or_default();
            let count = all.entry(kind).or_default();
            // A feature of newer versions adds the receiver's name.
            *(if failed { &mut count.failed } else { &mut count.all }) += value;
        }
        Ok(all)
    }

    fn get(&self, path: &str) -> anyhow::Result<String> {
        self.client.ok(&format!("http://{}{path}", self.alertmanager)).map_err(anyhow::Error::msg)
    }

    fn json(&self, path: &str) -> anyhow::Result<Json> {
        let filter = format!("filter={LABEL}%3D%22{}%22", self.id);
        serde_json::from_str(&self.get(&format!("{path}?{filter}"))?).context("Alertmanager's answer")
    }
}

impl Seen {
    fn look(&mut self, exercise: &Exercise<'_>) -> anyhow::Result<()> {
        let alerts = exercise.json("/api/v2/alerts")?;
        for alert in alerts.as_array().into_iter().flatten() {
            let Some(fingerprint) = alert.get("fingerprint").and_then(Json::as_str) else { continue };
            for receiver in list(alert, "receivers") {
                if let Some(name) = receiver.get("name").and_then(Json::as_str) {
                    self.routed.entry(name.to_owned()).or_default().insert(fingerprint.to_owned());
                }
            }
            match alert.get("status").and_then(why_mute) {
                Some(why) => drop(self.mute.insert(fingerprint.to_owned(), why)),
                None => drop(self.mute.remove(fingerprint)),
            }
        }
        let groups = exercise.json("/api/v2/alerts/groups")?;
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for group in groups.as_array().into_iter().flatten() {
            if let Some(name) = group.pointer("/receiver/name").and_then(Json::as_str) {
                *count.entry(name.to_owned()).or_default() += 1;
            }
        }
        for (name, groups) in count {
            let most = self.groups.entry(name).or_default();
            *most = groups.max(*most);
        }
        Ok(())
    }
}

fn list<'a>(object: &'a Json, key: &str) -> impl Iterator<Item = &'a Json> {
    object.get(key).and_then(Json::as_array).into_iter().flatten()
}

fn why_mute(status: &Json) -> Option<String> {
    let named = |key: &str, what: &str| {
        let by: Vec<&str> = list(status, key).filter_map(Json::as_str).collect();
        (!by.is_empty()).then(|| format!("Alertmanager keeps it back: {what} {}", by.join(", ")))
    };
    named("silencedBy", "silenced by")
        .or_else(|| named("inhibitedBy", "inhibited by"))
        .or_else(|| named("mutedBy", "it is now the time of"))
}
