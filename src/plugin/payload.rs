//! Alertmanager's webhook payload, version 4 → a [`Group`].
//!
//! Source of the format: `template.Data` and `webhook.Message` of Alertmanager. Members that later
//! releases add go to the plugin as they are, in `extra`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::channel::{Event, Group};

/// The only version there has been.
const VERSION: &str = "4";

/// Why a payload is none that can be delivered. It never will be: sending it again is no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("no payload of Alertmanager: {0}")]
    Malformed(String),
    #[error("the payload has version {0:?}; only version \"4\" is known")]
    Version(String),
    #[error("{0} alerts were left out: set `max_alerts: 0` for this receiver, as monprov does")]
    Truncated(u64),
    #[error("alert {index}: {what}")]
    Alert { index: usize, what: String },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    version: String,
    group_key: String,
    #[serde(default)]
    truncated_alerts: u64,
    #[serde(default)]
    receiver: String,
    #[serde(default)]
    group_labels: BTreeMap<String, String>,
    #[serde(default)]
    common_labels: BTreeMap<String, String>,
    #[serde(default, rename = "externalURL")]
    external_url: String,
    alerts: Vec<Alert>,
}

/// Its members that [`Payload`] has: the rest is `extra`.
const KNOWN: [&str; 8] = [
    "version",
    "groupKey",
    "truncatedAlerts",
    "receiver",
    "groupLabels",
    "commonLabels",
    "externalURL",
    "alerts",
];

/// Deeper is nothing that Alertmanager sends, and more than a guest's parser may stand.
const DEEPEST: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: Status,
    fingerprint: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Timestamp,
    #[serde(default)]
    ends_at: Option<Timestamp>,
    #[serde(default, rename = "generatorURL")]
    generator_url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Firing,
    Resolved,
}

/// Reads a payload.
pub fn parse(bytes: &[u8]) -> Result<Group, Wrong> {
    let payload: Payload =
        serde_json::from_slice(bytes).map_err(|error| Wrong::Malformed(error.to_string()))?;
    if payload.version != VERSION {
        return Err(Wrong::Version(payload.version));
    }
    if payload.truncated_alerts > 0 {
        return Err(Wrong::Truncated(payload.truncated_alerts));
    }
    if payload.alerts.is_empty() {
        return Err(Wrong::Malformed("it has no alert".into()));
    }
    let events = payload.alerts.into_iter().enumerate().map(|(index, alert)| event(index, alert));
    Ok(Group {
        key: payload.group_key,
        receiver: payload.receiver,
        group_labels: payload.group_labels.into_iter().collect(),
        common_labels: payload.common_labels.into_iter().collect(),
        external_url: payload.external_url,
        truncated: 0,
        events: events.collect::<Result<_, _>>()?,
        extra: extra(bytes)?,
    })
}

/// The members that a later release added, as they stand there.
fn extra(bytes: &[u8]) -> Result<String, Wrong> {
    let malformed = |error: serde_json::Error| Wrong::Malformed(error.to_string());
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes).map_err(malformed)?;
    members.retain(|name, _| !KNOWN.contains(&name.as_str()));
    if let Some((name, _)) = members.iter().find(|(_, value)| depth(value.get()) > DEEPEST) {
        return Err(Wrong::Malformed(format!("`{name}` is nested more than {DEEPEST} deep")));
    }
    serde_json::to_string(&members).map_err(malformed)
}

/// How deep a JSON text is nested.
fn depth(json: &str) -> usize {
    let (mut deepest, mut depth, mut quoted, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn event(index: usize, alert: Alert) -> Result<Event, Wrong> {
    let hex = |c: char| c.is_ascii_hexdigit();
    if alert.fingerprint.len() != 16 || !alert.fingerprint.chars().all(hex) {
        let what = "its fingerprint is no 16 hexadecimal digits".to_owned();
        return Err(Wrong::Alert { index, what });
    }
    // Go's zero time: it has not ended.
    let ended = alert.ends_at.filter(|at| alert.status == Status::Resolved && at.as_second() > 0);
    Ok(Event {
        firing: alert.status == Status::Firing,
        fingerprint: alert.fingerprint,
        labels: alert.labels.into_iter().collect(),
        annotations: alert.annotations.into_iter().collect(),
        starts_ms: alert.starts_at.as_millisecond() as f64,
        ends_ms: ended.map(|at| at.as_millisecond() as f64),
        link: alert.generator_url,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    const PAYLOAD: &str = r#"{
        "receiver": "ops", "status": "firing", "version": "4", "groupKey": "{}:{alertname=\"Down\"}",
        "truncatedAlerts": 0, "externalURL": "http://alertmanager:9093",
        "groupLabels": {"alertname": "Down"}, "commonLabels": {"alertname": "Down"},
        "commonAnnotations": {"summary": "it is down"}, "notificationReason": "firing",
        "alerts": [
            {"status": "firing", "labels": {"alertname": "Down", "instance": "a"},
             "annotations": {"summary": "it is down"}, "startsAt": "2026-01-02T03:04:05.678901234Z",
             "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus:9090/graph",
             "fingerprint": "00000000deadbeef"},
            {"status": "resolved", "labels": {"alertname": "Down", "instance": "b"},
             "annotations": {}, "startsAt": "2026-01-02T03:04:05Z", "endsAt": "2026-01-02T04:04:05+01:00",
             "generatorURL": "", "fingerprint": "00000000deadbee0"}
        ]
    }"#;

    #[test]
    fn alerts_become_events() {
        let group = parse(PAYLOAD.as_bytes()).unwrap();
        assert_eq!(group.key, "{}:{alertname=\"Down\"}");
        let [firing, resolved] = group.events.as_slice() else { panic!("{:?}", group.events) };
        assert!(firing.firing && firing.ends_ms.is_none());
        assert_eq!(firing.starts_ms, 1_767_323_045_678.0);
        assert_eq!(resolved.ends_ms, Some(1_767_323_045_000.0));
    }

    #[test]
    fn what_has_no_field_goes_on_in_extra() {
        let group = parse(PAYLOAD.as_bytes()).unwrap();
        let extra: Json = serde_json::from_str(&group.extra).unwrap();
        let expected = serde_json::json!({
            "status": "firing", "commonAnnotations": {"summary": "it is down"}, "notificationReason": "firing"
        });
        assert_eq!(extra, expected);
    }

    #[test]
    fn what_can_never_be_delivered_says_why() {
        let with =
            |from: &str, to: &str| parse(PAYLOAD.replace(from, to).as_bytes()).unwrap_err().to_string();
        assert_eq!(
            with("\"version\": \"4\"", "\"version\": \"5\""),
            "the payload has version \"5\"; only version \"4\" is known"
        );
        assert_eq!(
            with("\"truncatedAlerts\": 0", "\"truncatedAlerts\": 7"),
            "7 alerts were left out: set `max_alerts: 0` for this receiver, as monprov does"
        );
        assert_eq!(with("deadbee0", "?"), "alert 1: its fingerprint is no 16 hexadecimal digits");
        assert!(with("2026-01-02T03:04:05Z", "yesterday").starts_with("no payload of Alertmanager: "));
        assert!(parse(b"[[[[").unwrap_err().to_string().starts_with("no payload of Alertmanager: "));
    }

    #[test]
    fn nesting_is_bounded_and_costs_no_stack() {
        let with = |depth: usize| {
            let nested = format!("{}\"[\\\"\"{}", "[".repeat(depth), "]".repeat(depth));
            parse(
                PAYLOAD
                    .replace("\"notificationReason\": \"firing\"", &format!("\"new\": {nested}"))
                    .as_bytes(),
            )
        };
        assert!(with(64).unwrap().extra.contains("[[["));
        assert_eq!(
            with(100_000).unwrap_err().to_string(),
            "no payload of Alertmanager: `new` is nested more than 64 deep"
        );
    }

    /// JSON of any shape, with the words of payloads in it.
    fn json() -> impl Strategy<Value = Json> {
        let words = prop::sample::select(KNOWN.to_vec()).prop_map(str::to_owned);
        let name = prop_oneof![words, "[a-z]{0,8}", ".{0,8}"].boxed();
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            prop::sample::select(vec!["4", "firing", "resolved", "2026-01-02T03:04:05Z", "00000000deadbeef"])
                .prop_map(Json::from),
            name.clone().prop_map(Json::from),
        ];
        leaf.prop_recursive(6, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
                prop::collection::btree_map(name.clone(), inner, 0..8)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = parse(&bytes);
        }

        /// Cut, changed at a byte, and with other bytes put in.
        #[test]
        fn no_damage_makes_it_panic(at in 0..PAYLOAD.len(), byte: u8, more in "\\PC{0,8}") {
            let whole = PAYLOAD.as_bytes();
            let _ = parse(&whole[..at]);
            let mut changed = whole.to_vec();
            changed[at] = byte;
            let _ = parse(&changed);
            changed.splice(at..at, more.bytes());
            let _ = parse(&changed);
        }

        /// What is taken is no larger than what was sent, and is what was sent.
        #[test]
        fn any_member_may_be_of_any_shape(name in prop::sample::select(KNOWN.to_vec()), value in json(), more in json()) {
            let mut payload: Json = serde_json::from_str(PAYLOAD).unwrap();
            payload[name] = value;
            payload["more"] = more.clone();
            let text = payload.to_string();
            if let Ok(group) = parse(text.as_bytes()) {
                let extra: Json = serde_json::from_str(&group.extra).unwrap();
                prop_assert_eq!(&extra["more"], &more);
                prop_assert!(group.extra.len() < text.len());
                prop_assert!(!group.events.is_empty());
                prop_assert!(group.events.iter().all(|event| event.fingerprint.len() == 16));
            }
        }
    }
}
