//! Alertmanager's webhook payload, version 4 → a [`Group`].
//!
//! Source of the format: `template.Data` and `webhook.Message` of Alertmanager. Members that later
//! releases add go to the plugin as they are, in `extra`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
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

/// Read in one go, so that what is not known is not looked for in a second one.
#[derive(Debug, Default)]
struct Payload<'p> {
    version: Option<String>,
    group_key: Option<String>,
    truncated_alerts: Option<u64>,
    receiver: Option<String>,
    group_labels: Option<Pairs>,
    common_labels: Option<Pairs>,
    external_url: Option<String>,
    alerts: Option<Vec<Alert>>,
    /// The members that a later release added, as they stand there.
    extra: BTreeMap<String, &'p RawValue>,
}

impl<'p> Deserialize<'p> for Payload<'p> {
    fn deserialize<D: Deserializer<'p>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'p> Visitor<'p> for Members {
    type Value = Payload<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<Payload<'p>, A::Error> {
        #[derive(Deserialize)]
        struct Name<'p>(#[serde(borrow)] Cow<'p, str>);

        let mut payload = Payload::default();
        while let Some(Name(name)) = map.next_key()? {
            match name.as_ref() {
                "version" => once(&mut payload.version, "version", &mut map)?,
                "groupKey" => once(&mut payload.group_key, "groupKey", &mut map)?,
                "truncatedAlerts" => once(&mut payload.truncated_alerts, "truncatedAlerts", &mut map)?,
                "receiver" => once(&mut payload.receiver, "receiver", &mut map)?,
                "groupLabels" => once(&mut payload.group_labels, "groupLabels", &mut map)?,
                "commonLabels" => once(&mut payload.common_labels, "commonLabels", &mut map)?,
                "externalURL" => once(&mut payload.external_url, "externalURL", &mut map)?,
                "alerts" => once(&mut payload.alerts, "alerts", &mut map)?,
                _ => drop(payload.extra.insert(name.into_owned(), map.next_value()?)),
            }
        }
        Ok(payload)
    }
}

fn once<'p, T: Deserialize<'p>, A: MapAccess<'p>>(
    slot: &mut Option<T>,
    name: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    match slot.replace(map.next_value()?) {
        None => Ok(()),
        Some(_) => Err(A::Error::duplicate_field(name)),
    }
}

/// An object of texts, each name once and in order: as Alertmanager writes it, so that it need not
/// be sorted.
#[derive(Debug, Default)]
struct Pairs(Vec<(String, String)>);

impl<'p> Deserialize<'p> for Pairs {
    fn deserialize<D: Deserializer<'p>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'p> Visitor<'p> for Texts {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs: Vec<(String, String)> = vec![];
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                if !pairs.is_sorted_by(|(one, _), (next, _)| one < next) {
                    pairs = BTreeMap::from_iter(pairs).into_iter().collect();
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Texts)
    }
}

/// Deeper is nothing that Alertmanager sends, and more than a guest's parser may stand.
const DEEPEST: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: Status,
    fingerprint: String,
    #[serde(default)]
    labels: Pairs,
    #[serde(default)]
    annotations: Pairs,
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
    let malformed = |error: serde_json::Error| Wrong::Malformed(error.to_string());
    let payload: Payload<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
    let missing = |name: &'static str| malformed(serde_json::Error::missing_field(name));
    let version = payload.version.ok_or_else(|| missing("version"))?;
    if version != VERSION {
        return Err(Wrong::Version(version));
    }
    if let Some(left_out @ 1..) = payload.truncated_alerts {
        return Err(Wrong::Truncated(left_out));
    }
    let alerts = payload.alerts.ok_or_else(|| missing("alerts"))?;
    if alerts.is_empty() {
        return Err(Wrong::Malformed("it has no alert".into()));
    }
    if let Some((name, _)) = payload.extra.iter().find(|(_, value)| depth(value.get()) > DEEPEST) {
        return Err(Wrong::Malformed(format!("`{name}` is nested more than {DEEPEST} deep")));
    }
    let events = alerts.into_iter().enumerate().map(|(index, alert)| event(index, alert));
    Ok(Group {
        key: payload.group_key.ok_or_else(|| missing("groupKey"))?,
        receiver: payload.receiver.unwrap_or_default(),
        group_labels: payload.group_labels.unwrap_or_default().0,
        common_labels: payload.common_labels.unwrap_or_default().0,
        external_url: payload.external_url.unwrap_or_default(),
        truncated: 0,
        events: events.collect::<Result<_, _>>()?,
        extra: serde_json::to_string(&payload.extra).map_err(malformed)?,
    })
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
        labels: alert.labels.0,
        annotations: alert.annotations.0,
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
    fn labels_are_in_order_and_the_last_of_a_name_counts() {
        let labels = r#"{"b": "1", "a": "2", "b": "3"}"#;
        let group = parse(PAYLOAD.replace(r#"{"alertname": "Down", "instance": "a"}"#, labels).as_bytes());
        let pairs = [("a", "2"), ("b", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(group.unwrap().events[0].labels, pairs);
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
