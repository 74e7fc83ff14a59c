//! `telegram`: alerts to a chat of Telegram.
//!
//! The service's contract is <https://core.telegram.org/bots/api#sendmessage>.

mod html;

use monprov_plugin::Result;
use monprov_plugin::channel::{
    Body, Channel, Group, Language, Look, Message, Offset, Request, Response, Verdict, messages, one_line,
    secret, text,
};
use serde_json::Value as Json;

use html::Html;

/// What users write under `[channels.NAME.plugin.settings]`.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// A number, negative for a group; or the name of a public channel: `@ops`.
    chat: Chat,
    /// The topic of a group that has some.
    #[serde(default)]
    topic: Option<i64>,
    /// Of the fixed words: `en` or `zh`.
    #[serde(default)]
    language: Language,
    /// For the times in messages: `+08:00`, or `Z` for UTC.
    #[serde(default)]
    utc_offset: Offset,
    /// What makes a sound: one of these severities that fires; empty: any that fires.
    #[serde(default)]
    loud_severities: Vec<String>,
}

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum Chat {
    Id(i64),
    Name(String),
}

/// Characters of a message.
const LIMIT: usize = 4096;

struct Telegram;

impl Channel for Telegram {
    type Settings = Settings;

    fn deliver(settings: Settings, group: Group, now_ms: f64) -> Result<Vec<Request>> {
        let look = Look { language: settings.language, offset: settings.utc_offset, limit: LIMIT };
        let request = |message: Message| settings.request(&message);
        Ok(messages(&group, now_ms, look, &Html).into_iter().map(request).collect())
    }

    /// Errors have `error_code` and `description`, and `parameters` that say what to do.
    fn judge(_: Settings, _: &str, response: &Response) -> Verdict {
        let body = response.json().unwrap_or_default();
        let parameter = |name: &str| body.get("parameters").and_then(|all| all.get(name));
        match (response.status, body.get("ok").and_then(Json::as_bool)) {
            (200..=299, Some(true)) => Verdict::Delivered,
            (429, _) => Verdict::Retry(parameter("retry_after").and_then(Json::as_f64)),
            (400, _) if parameter("migrate_to_chat_id").is_some() => {
                let chat = parameter("migrate_to_chat_id").map(ToString::to_string).unwrap_or_default();
                Verdict::Rejected(format!("the group has become another: set `chat = {chat}`"))
            }
            (_, Some(false)) if response.status < 500 => {
                let why = body.get("description").and_then(Json::as_str).unwrap_or_default();
                Verdict::Rejected(format!("HTTP {}: {}", response.status, one_line(why, 300)))
            }
            _ => response.refused().unwrap_or(Verdict::Retry(None)),
        }
    }
}

impl Settings {
    fn request(&self, message: &Message) -> Request {
        let loud = |severity| self.loud_severities.is_empty() || self.loud_severities.contains(severity);
        let mut body = Body::new()
            .member("chat_id", &self.chat)
            .member("text", &message.text)
            .member("parse_mode", &"HTML")
            .member("link_preview_options", &serde_json::json!({ "is_disabled": true }))
            .member("disable_notification", &!message.severities.iter().any(loud));
        if let Some(topic) = &self.topic {
            body = body.member("message_thread_id", topic);
        }
        let path = [text("/bot"), secret("token"), text("/sendMessage")];
        Request::post("api", message).path_query(path).json(body)
    }
}

monprov_plugin::channel!(Telegram);
