//! Alerts to a chat that takes JSON with a text.

use monprov_plugin::Result;
use monprov_plugin::channel::{
    Body, Channel, Group, Language, Look, Markup, Message, Offset, Request, Response, Verdict, messages,
    secret, text,
};

/// What users write under `[channels.NAME.plugin.settings]`.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Of the fixed words: `en` or `zh`.
    #[serde(default)]
    language: Language,
    /// For the times in messages: `+08:00`, or `Z` for UTC.
    #[serde(default)]
    utc_offset: Offset,
}

/// How the chat writes things. What alerts say goes through `text`, which takes the chat's markup
/// out of it.
struct Chat;

impl Markup for Chat {
    fn text(&self, plain: &str) -> String {
        plain.replace('*', "＊")
    }

    fn bold(&self, inner: &str) -> String {
        format!("*{inner}*")
    }

    fn link(&self, label: &str, url: &str) -> String {
        format!("{label} {url}")
    }

    fn heading(&self, inner: &str) -> String {
        self.bold(inner)
    }
}

struct Plugin;

impl Channel for Plugin {
    type Settings = Settings;

    /// As many messages as it takes, each no larger than the chat's limit.
    fn deliver(settings: Settings, group: Group, now_ms: f64) -> Result<Vec<Request>> {
        let look = Look { language: settings.language, offset: settings.utc_offset, limit: 4000 };
        let request = |message: Message| {
            let body = Body::new().member("text", &message.text);
            // The endpoint and the secret are names of the profile; the host puts them in.
            Request::post("chat", &message)
                .path_query([text("/messages")])
                .header("Authorization", [text("Bearer "), secret("token")])
                .json(body)
        };
        Ok(messages(&group, now_ms, look, &Chat).into_iter().map(request).collect())
    }

    /// By its status; a chat that answers errors with 200 needs a look into the body.
    fn judge(_: Settings, _: &str, response: &Response) -> Verdict {
        response.refused().unwrap_or(Verdict::Delivered)
    }
}

monprov_plugin::channel!(Plugin);
