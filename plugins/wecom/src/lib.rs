//! `wecom`: alerts to a group robot of WeCom (企业微信).
//!
//! The service's contract is <https://developer.work.weixin.qq.com/document/path/91770>, its codes
//! are <https://developer.work.weixin.qq.com/document/path/90313>.

mod markdown;

use monprov_plugin::Result;
use monprov_plugin::channel::judge::Codes;
use monprov_plugin::channel::{
    Body, Channel, Group, Language, Look, Message, Offset, Request, Response, Verdict, messages, secret, text,
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
    /// Who is mentioned when something fires.
    #[serde(default)]
    mention: Mention,
}

#[derive(Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Mention {
    /// User ids of members of the group.
    users: Vec<String>,
    /// Mobile numbers. They can't stand in markdown: a message more is sent before, which counts.
    mobiles: Vec<String>,
    /// Everybody in the group; a message more is sent, too.
    all: bool,
    /// Only if one of these severities fires; empty: any.
    severities: Vec<String>,
}

/// Bytes that `markdown.content` may have.
const LIMIT: usize = 4096;

/// Codes of the service: 45009 is more than 20 messages in a minute, 45033 too many at once, -1
/// that it is busy.
const CODES: Codes<'static> = Codes {
    code: "errcode",
    message: "errmsg",
    passing: &[(45_009, Some(60.0)), (45_033, Some(1.0)), (-1, None)],
};

struct WeCom;

impl Channel for WeCom {
    type Settings = Settings;

    fn deliver(settings: Settings, group: Group, now_ms: f64) -> Result<Vec<Request>> {
        let limit = LIMIT - settings.called().len().min(LIMIT / 2);
        let look = Look { language: settings.language, offset: settings.utc_offset, limit };
        let all = messages(&group, now_ms, look, &Markdown);
        Ok(all.iter().flat_map(|message| settings.requests(message)).collect())
    }

    fn judge(_: Settings, _: &str, response: &Response) -> Verdict {
        response.by_code(&CODES)
    }
}

impl Settings {
    /// The mention goes first: whatever comes after one that failed is not sent, and a mention
    /// twice is better than the alerts twice.
    fn requests(&self, message: &Message) -> Vec<Request> {
        let query = || [text("?key="), secret("key").uri()];
        let calls = message.calls(&self.mention.severities);
        let mut requests = vec![];
        let Mention { mobiles, all, .. } = &self.mention;
        if calls && (*all || !mobiles.is_empty()) {
            let everybody: &[&str] = if *all { &["@all"] } else { &[] };
            let content = serde_json::json!({
                "content": message.title, "mentioned_list": everybody, "mentioned_mobile_list": mobiles,
            });
            let body = Body::new().member("msgtype", &"text").member("text", &content);
            let mention = Request::post("robot", message).path_query(query()).json(body);
            requests.push(Request { key: "mention".into(), ..mention });
        }
        let called = if calls { self.called() } else { String::new() };
        let content = serde_json::json!({ "content": format!("{}{called}", message.text) });
        let body = Body::new().member("msgtype", &"markdown").member("markdown", &content);
        requests.push(Request::post("robot", message).path_query(query()).json(body));
        requests
    }

    fn called(&self) -> String {
        let users = self.mention.users.iter().map(|user| format!(" <@{user}>"));
        let users: String = users.collect();
        if users.is_empty() { users } else { format!("\n\n{}", users.trim_start()) }
    }
}

monprov_plugin::channel!(WeCom);
