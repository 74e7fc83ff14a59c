//! A small blocking HTTP client for the programs under test.

use std::time::Duration;

use serde_json::Value;

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(30)))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into()
}

/// Status and body; `None` where nobody answers.
pub fn get(url: &str) -> Option<(u16, String)> {
    let mut response = agent().get(url).call().ok()?;
    let body = response.body_mut().read_to_string().ok()?;
    Some((response.status().as_u16(), body))
}

/// Status and body of a POST.
pub fn post(url: &str, body: &str) -> Option<(u16, String)> {
    let mut response = agent().post(url).header("Content-Type", "application/json").send(body).ok()?;
    let body = response.body_mut().read_to_string().ok()?;
    Some((response.status().as_u16(), body))
}

pub fn is_ok(url: &str) -> bool {
    get(url).is_some_and(|(status, _)| status == 200)
}

/// The body of an answer that must be 200.
#[track_caller]
pub fn text(url: &str) -> String {
    match get(url) {
        Some((200, body)) => body,
        Some((status, body)) => panic!("{url} answers {status}: {body}"),
        None => panic!("{url} does not answer"),
    }
}

#[track_caller]
pub fn json(url: &str) -> Value {
    serde_json::from_str(&text(url)).unwrap()
}

/// A query's parameter, percent-encoded.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
