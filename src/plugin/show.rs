//! Requests of a channel plugin as text, for cases that are kept as files and for people. Secrets
//! and MACs are what they are made of, never values.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

use super::channel::{Atom, Encode, Escape, Group, Mac, Native, Piece, Request, Verdict};

/// Each request with what it delivers, and the events that none does. `urls`: endpoints by name.
pub fn requests(group: &Group, requests: &[Request], urls: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for request in requests {
        let covers: Vec<_> = request.covers.iter().map(ToString::to_string).collect();
        let endpoint =
            urls.get(&request.endpoint).cloned().unwrap_or_else(|| format!("{{{}}}", request.endpoint));
        let _ = writeln!(text, "request {} delivers {}", plain(&request.key), covers.join(" "));
        let _ = writeln!(text, "  {} {endpoint}{}", plain(&request.method), line(&request.path_query));
        for (name, value) in &request.headers {
            let _ = writeln!(text, "  {}: {}", plain(name), line(value));
        }
        body(&mut text, &request.body);
    }
    let covered = |index: usize| requests.iter().any(|r| r.covers.iter().any(|c| *c as usize == index));
    for (index, event) in group.events.iter().enumerate().filter(|(index, _)| !covered(*index)) {
        let _ = writeln!(text, "error: no request delivers alert {index} ({})", event.fingerprint);
    }
    let beyond = |r: &&Request| r.covers.iter().any(|c| *c as usize >= group.events.len());
    for request in requests.iter().filter(beyond) {
        let _ = writeln!(text, "error: request {} delivers an alert that is not there", plain(&request.key));
    }
    text
}

/// A native receiver of Alertmanager.
pub fn native(native: &Native) -> String {
    format!("receiver {}\n  {}\n", plain(&native.kind), plain(&native.config))
}

/// What came of a request.
pub fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Delivered => "delivered".into(),
        Verdict::Retry(None) => "retry".into(),
        Verdict::Retry(Some(seconds)) => format!("retry after {seconds} s"),
        Verdict::Rejected(why) => format!("rejected: {}", plain(why)),
    }
}

/// JSON as a path and a value a line, so that texts with many lines can be read; else as it is.
fn body(text: &mut String, pieces: &[Piece]) {
    if pieces.is_empty() {
        return;
    }
    let joined: String = pieces.iter().map(piece).collect();
    let _ = writeln!(text);
    match serde_json::from_str::<Json>(&joined) {
        Ok(json) if json.is_object() || json.is_array() => member(text, "", &json),
        _ => block(text, &joined),
    }
    let _ = writeln!(text);
}

fn member(text: &mut String, path: &str, value: &Json) {
    match value {
        Json::Object(members) if !members.is_empty() => {
            for (name, inner) in members {
                let dot = if path.is_empty() { "" } else { "." };
                member(text, &format!("{path}{dot}{}", plain(name)), inner);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for (index, inner) in items.iter().enumerate() {
                member(text, &format!("{path}[{index}]"), inner);
            }
        }
        Json::String(long) if long.contains('\n') => {
            let _ = writeln!(text, "  {path}:");
            block(text, long);
        }
        value => {
            let _ = writeln!(text, "  {path}: {value}");
        }
    }
}

fn block(text: &mut String, lines: &str) {
    for line in lines.split('\n') {
        let _ = writeln!(text, "{}", format!("  | {}", plain(line)).trim_end());
    }
}

fn line(pieces: &[Piece]) -> String {
    plain(&pieces.iter().map(piece).collect::<String>())
}

fn piece(piece: &Piece) -> String {
    let (shown, escape) = match piece {
        Piece::Text(text) => return text.clone(),
        Piece::Secret(slot) => (format!("secret {}", slot.name), slot.escape),
        Piece::HmacSha256(mac) => (hmac(mac), mac.escape),
    };
    match escape {
        Escape::None => format!("[{shown}]"),
        Escape::UriComponent => format!("[{shown}, as a URI component]"),
        Escape::JsonString => {
            let quoted = Json::from(format!("[{shown}]")).to_string();
            quoted.trim_matches('"').to_owned()
        }
    }
}

fn hmac(mac: &Mac) -> String {
    let encode = match mac.encode {
        Encode::Hex => "hex",
        Encode::Base64 => "base64",
    };
    format!("hmac-sha256 in {encode}, key {}, message {}", atoms(&mac.key), atoms(&mac.message))
}

/// What a MAC is made over is shown up to this; a whole body stands below anyway.
const LONG: usize = 200;

/// Texts as JSON has them, so that a line break in a signature can be seen.
fn atoms(atoms: &[Atom]) -> String {
    let atom = |atom: &Atom| match atom {
        Atom::Text(text) if text.len() > LONG => format!("a text of {} bytes", text.len()),
        Atom::Text(text) => Json::from(text.as_str()).to_string(),
        Atom::Secret(name) => format!("[secret {name}]"),
    };
    match atoms {
        [] => "\"\"".into(),
        atoms => atoms.iter().map(atom).collect::<Vec<_>>().join(" + "),
    }
}

/// A guest's text, without what would do something to a terminal.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::super::channel::{Event, Slot};
    use super::*;

    fn group(events: usize) -> Group {
        let event = |n: usize| Event {
            firing: true,
            fingerprint: format!("{n:016x}"),
            labels: vec![],
            annotations: vec![],
            starts_ms: 0.0,
            ends_ms: None,
            link: String::new(),
        };
        Group {
            key: String::new(),
            receiver: String::new(),
            group_labels: vec![],
            common_labels: vec![],
            external_url: String::new(),
            truncated: 0,
            events: (0..events).map(event).collect(),
            extra: "{}".into(),
        }
    }

    fn request(covers: &[u32]) -> Request {
        let text = |text: &str| Piece::Text(text.into());
        let secret = |escape| Piece::Secret(Slot { name: "token".into(), escape });
        let sign = Piece::HmacSha256(Mac {
            key: vec![Atom::Text("1\n".into()), Atom::Secret("sign".into())],
            message: vec![],
            encode: Encode::Base64,
            escape: Escape::JsonString,
        });
        Request {
            key: "message-1".into(),
            covers: covers.to_vec(),
            endpoint: "robot".into(),
            method: "POST".into(),
            path_query: vec![text("?token="), secret(Escape::UriComponent)],
            headers: vec![("X-Token".into(), vec![secret(Escape::None)])],
            body: vec![text("{\"text\":\"a\\nb\",\"sign\":\""), sign, text("\"}")],
        }
    }

    #[test]
    fn a_request_is_shown_with_what_its_secrets_and_macs_are_made_of() {
        let text = requests(&group(2), &[request(&[0, 1])], &BTreeMap::new());
        let expected = r#"request message-1 delivers 0 1
  POST {robot}?token=[secret token, as a URI component]
  X-Token: [secret token]

  sign: "[hmac-sha256 in base64, key \"1\\n\" + [secret sign], message \"\"]"
  text:
  | a
  | b

"#;
        assert_eq!(text, expected);
        let urls = BTreeMap::from([("robot".to_owned(), "https://example.org/send".to_owned())]);
        let text = requests(&group(2), &[request(&[0, 1])], &urls);
        assert!(text.contains("POST https://example.org/send?token="), "{text}");
    }

    #[test]
    fn an_alert_that_no_request_delivers_is_an_error() {
        let text = requests(&group(3), &[request(&[0, 7])], &BTreeMap::new());
        for error in [
            "error: no request delivers alert 1 (0000000000000001)",
            "error: no request delivers alert 2 (0000000000000002)",
            "error: request message-1 delivers an alert that is not there",
        ] {
            assert!(text.contains(error), "{text}");
        }
    }
}
