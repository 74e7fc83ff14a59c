//! `dingtalk`: alerts to a group robot of DingTalk (钉钉), signed.
//!
//! The service's contract is <https://open.dingtalk.com/document/orgapp/custom-robot-access> and
//! <https://open.dingtalk.com/document/orgapp/custom-bot-send-message-type>.

mod markdown;

use monprov_plugin::Result;
use monprov_plugin::channel::judge::Codes;
use monprov_plugin::channel::{
    Body, Channel, Group, Language, Look, Message, Offset, Request, Response, Verdict, atom, hmac_sha256,
    messages, secret, secret_atom, text,
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
    /// Whether the robot's security setting is a signature (加签); then the secret `sign` is needed.
    #[serde(default = "yes")]
    signed: bool,
    /// A word that the robot's security setting asks for (自定义关键词).
    #[serde(default)]
    keyword: String,
    /// Who is mentioned when something fires.
    #[serde(default)]
    mention: Mention,
}

#[derive(Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Mention {
    /// Mobile numbers of members of the group.
    mobiles: Vec<String>,
    /// User ids of members of the group.
    users: Vec<String>,
    /// Everybody in the group.
    all: bool,
    /// Only if one of these severities fires; empty: any.
    severities: Vec<String>,
}

fn yes() -> bool {
    true
}

/// 20,000 bytes are taken, of which the rest of the request needs some.
const LIMIT: usize = 19_000;

/// Codes of the service: 130101 and 410100 are more than 20 messages in a minute, 90018 and 90030
/// are others of its limits, -1 is that it is busy.
const CODES: Codes<'static> = Codes {
    code: "errcode",
    message: "errmsg",
    passing: &[
        (130_101, Some(60.0)),
        (410_100, Some(60.0)),
        (90_018, Some(60.0)),
        (90_030, Some(60.0)),
        (-1, None),
    ],
};

/// What a message of the kind `markdown` holds.
#[derive(serde::Serialize)]
struct Text<'a> {
    title: &'a str,
    text: &'a str,
}

struct DingTalk;

impl Channel for DingTalk {
    type Settings = Settings;

    fn deliver(settings: Settings, group: Group, now_ms: f64) -> Result<Vec<Request>> {
        let limit = LIMIT - settings.called().len().min(LIMIT / 2) * 2 - settings.keyword.len();
        let look = Look { language: settings.language, offset: settings.utc_offset, limit };
        let request = |message: Message| settings.request(&message, now_ms);
        Ok(messages(&group, now_ms, look, &Markdown).into_iter().map(request).collect())
    }

    /// 310000 is a wrong keyword, signature, time or address: to send it again is no use.
    fn judge(_: Settings, _: &str, response: &Response) -> Verdict {
        response.by_code(&CODES)
    }
}

impl Settings {
    fn request(&self, message: &Message, now_ms: f64) -> Request {
        let calls = message.calls(&self.mention.severities);
        let called = if calls { self.called() } else { String::new() };
        let parts = [message.text.as_str(), &called, &self.keyword];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let markdown = Text { title: &message.title, text: &parts.join("\n\n") };
        let mut body = Body::new().member("msgtype", &"markdown").member("markdown", &markdown);
        let Mention { mobiles, users, all, .. } = &self.mention;
        if calls && (*all || !called.is_empty()) {
            let at = serde_json::json!({ "atMobiles": mobiles, "atUserIds": users, "isAtAll": all });
            body = body.member("at", &at);
        }
        let mut query = vec![text("?access_token="), secret("token").uri()];
        if self.signed {
            // The secret is the key, and stands in the message too.
            let time = (now_ms as u64).to_string();
            let signed = [atom([&time, "\n"].concat()), secret_atom("sign")];
            query.push(text(["&timestamp=", &time, "&sign="].concat()));
            query.push(hmac_sha256([secret_atom("sign")], signed).uri());
        }
        Request::post("robot", message).path_query(query).json(body)
    }

    /// A mention must stand in the text as well.
    fn called(&self) -> String {
        let Mention { mobiles, users, .. } = &self.mention;
        mobiles.iter().chain(users).map(|who| format!("@{who}")).collect::<Vec<_>>().join(" ")
    }
}

monprov_plugin::channel!(DingTalk);
