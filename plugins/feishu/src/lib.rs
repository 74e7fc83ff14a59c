//! `feishu`: alerts to a custom bot of Feishu (飞书) or Lark, signed.
//!
//! The service's contract is <https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot>.

mod markdown;

use monprov_plugin::Result;
use monprov_plugin::channel::judge::Codes;
use monprov_plugin::channel::{
    Body, Channel, Group, Language, Look, Message, Mood, Offset, Request, Response, Verdict, atom,
    hmac_sha256, messages, secret, secret_atom, text,
};

use markdown::Markdown;

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
    /// Whether the bot verifies signatures (签名校验); then the secret `sign` is needed.
    #[serde(default = "yes")]
    signed: bool,
    /// Who is mentioned when something fires.
    #[serde(default)]
    mention: Mention,
}

#[derive(Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Mention {
    /// Open ids (`ou_…`) or user ids of members of the group.
    users: Vec<String>,
    /// Everybody in the group, where it lets bots do so.
    all: bool,
    /// Only if one of these severities fires; empty: any.
    severities: Vec<String>,
}

fn yes() -> bool {
    true
}

/// A request may have 20 KiB, of which the card around the text needs some.
const LIMIT: usize = 18_500;

/// Codes of the service: 11232, 11233 and 99991400 are more than 5 messages in a second or 100 in
/// a minute. What can't pass is 9499 and 19001 to 19024: body, token, signature, address, keyword.
const CODES: Codes<'static> = Codes {
    code: "code",
    message: "msg",
    passing: &[(11_232, Some(10.0)), (11_233, Some(10.0)), (99_991_400, Some(10.0))],
};

struct Feishu;

impl Channel for Feishu {
    type Settings = Settings;

    fn deliver(settings: Settings, group: Group, now_ms: f64) -> Result<Vec<Request>> {
        let limit = LIMIT - (settings.called().len() * 2).min(LIMIT / 2);
        let look = Look { language: settings.language, offset: settings.utc_offset, limit };
        let request = |message: Message| settings.request(&message, now_ms);
        Ok(messages(&group, now_ms, look, &Markdown).into_iter().map(request).collect())
    }

    fn judge(_: Settings, _: &str, response: &Response) -> Verdict {
        response.by_code(&CODES)
    }
}

impl Settings {
    fn request(&self, message: &Message, now_ms: f64) -> Request {
        let called = if message.calls(&self.mention.severities) { self.called() } else { String::new() };
        let colour = match message.mood {
            Mood::Critical => "red",
            Mood::Warning => "orange",
            Mood::Info => "blue",
            Mood::Good => "green",
        };
        let card = serde_json::json!({
            "config": { "wide_screen_mode": true },
            "header": {
                "template": colour,
                "title": { "tag": "plain_text", "content": message.title },
            },
            "elements": [{ "tag": "markdown", "content": format!("{}{called}", message.text) }],
        });
        let mut body = Body::new();
        if self.signed {
            // Time and secret are the key, and the message is empty.
            let time = format!("{:.0}", (now_ms / 1000.0).floor());
            let key = [atom(format!("{time}\n")), secret_atom("sign")];
            body = body.member("timestamp", &time).piece("sign", hmac_sha256(key, []));
        }
        let body = body.member("msg_type", &"interactive").member("card", &card);
        Request::post("bot", message).path_query([text("/"), secret("token").uri()]).json(body)
    }

    fn called(&self) -> String {
        let all: &[&str] = if self.mention.all { &["all"] } else { &[] };
        let who = self.mention.users.iter().map(String::as_str).chain(all.iter().copied());
        let who: String = who.map(|who| format!("<at id={who}></at>")).collect();
        if who.is_empty() { who } else { format!("\n\n{who}") }
    }
}

monprov_plugin::channel!(Feishu);
