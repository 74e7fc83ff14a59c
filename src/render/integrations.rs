//! What Alertmanager can send through: the options of each integration, what Alertmanager
//! calls them, and since which version it has them. A new one is an entry here and a struct
//! in `profile/settings/channel.rs`; a test holds the two against each other.
//!
//! Versions are those of Alertmanager's changelog. Where an option came broken, the version
//! stands that repaired it (`webhook_url_file` of Discord and Teams).

use crate::stack::Version;

/// An integration, such as `email`.
#[derive(Debug)]
pub struct Kind {
    /// In a channel of the profile.
    pub name: &'static str,
    /// In a receiver of Alertmanager.
    pub list: &'static str,
    pub since: Option<Version>,
    pub options: &'static [Opt],
}

/// An option of an integration. Alertmanager calls it by the same name, unless `form` says
/// otherwise.
#[derive(Debug)]
pub struct Opt {
    pub name: &'static str,
    pub since: Option<Version>,
    pub form: Form,
}

/// How an option is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// One of these.
    Choice(&'static [&'static str]),
    /// An address that begins with `http://` or `https://`.
    Url,
    /// A secret: `file` names the file with it, and exists since `since`.
    Secret { file: &'static str, since: Version },
    /// An address that may be a secret.
    SecretUrl { file: &'static str, since: Version },
    /// `http_config.authorization`
    Bearer,
    /// `http_config.basic_auth`
    Basic,
}

impl Form {
    /// The option that takes the secret from a file, and since when it exists. Those of
    /// `http_config` are older than any version that monprov renders for.
    pub fn file(self) -> Option<(&'static str, Version)> {
        match self {
            Form::Secret { file, since } | Form::SecretUrl { file, since } => Some((file, since)),
            Form::Bearer => Some(("http_config.authorization.credentials_file", v(22))),
            Form::Basic => Some(("http_config.basic_auth.password_file", v(22))),
            Form::Plain | Form::Choice(_) | Form::Url => None,
        }
    }

    pub fn is_url(self) -> bool {
        matches!(self, Form::Url | Form::SecretUrl { .. })
    }
}

pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.name == name)
}

impl Kind {
    pub fn option(&self, name: &str) -> Option<&'static Opt> {
        self.options.iter().find(|o| o.name == name)
    }
}

/// Alertmanager 0.`minor`.
const fn v(minor: u32) -> Version {
    Version::new(0, minor, 0)
}

const fn plain(name: &'static str) -> Opt {
    Opt { name, since: None, form: Form::Plain }
}

const fn newer(name: &'static str, minor: u32) -> Opt {
    Opt { name, since: Some(v(minor)), form: Form::Plain }
}

const fn url(name: &'static str) -> Opt {
    Opt { name, since: None, form: Form::Url }
}

const fn secret(name: &'static str, file: &'static str, minor: u32) -> Opt {
    Opt { name, since: None, form: Form::Secret { file, since: v(minor) } }
}

const fn secret_url(name: &'static str, file: &'static str, minor: u32) -> Opt {
    Opt { name, since: None, form: Form::SecretUrl { file, since: v(minor) } }
}

const SEND_RESOLVED: Opt = plain("send_resolved");

/// In the order in which a receiver lists them.
pub static KINDS: [Kind; 10] = [
    Kind {
        name: "email",
        list: "email_configs",
        since: None,
        options: &[plain("to"), plain("headers"), plain("html"), plain("text"), SEND_RESOLVED],
    },
    Kind {
        name: "webhook",
        list: "webhook_configs",
        since: None,
        options: &[
            secret_url("url", "url_file", 26),
            plain("max_alerts"),
            newer("timeout", 28),
            Opt { name: "bearer_token", since: None, form: Form::Bearer },
            Opt { name: "basic_auth", since: None, form: Form::Basic },
            SEND_RESOLVED,
        ],
    },
    Kind {
        name: "slack",
        list: "slack_configs",
        since: None,
        options: &[
            secret_url("api_url", "api_url_file", 22),
            plain("channel"),
            plain("username"),
            plain("icon_emoji"),
            plain("color"),
            plain("title"),
            plain("title_link"),
            plain("text"),
            SEND_RESOLVED,
        ],
    },
    Kind {
        name: "wechat",
        list: "wechat_configs",
        since: None,
        options: &[
            plain("corp_id"),
            secret("api_secret", "api_secret_file", 31),
            url("api_url"),
            plain("agent_id"),
            plain("to_user"),
            plain("to_party"),
            plain("to_tag"),
            plain("message"),
            Opt { name: "message_type", since: None, form: Form::Choice(&["text", "markdown"]) },
            SEND_RESOLVED,
        ],
    },
    Kind {
        name: "pagerduty",
        list: "pagerduty_configs",
        since: None,
        options: &[
            secret("routing_key", "routing_key_file", 25),
            url("url"),
            plain("client"),
            plain("client_url"),
            plain("description"),
            plain("severity"),
            plain("class"),
            plain("component"),
            plain("group"),
            plain("details"),
            SEND_RESOLVED,
        ],
    },
    Kind {
        name: "opsgenie",
        list: "opsgenie_configs",
        since: None,
        options: &[
            secret("api_key", "api_key_file", 24),
            url("api_url"),
            plain("message"),
            plain("description"),
            plain("priority"),
            plain("tags"),
            plain("note"),
            plain("details"),
            SEND_RESOLVED,
        ],
    },
    Kind {
        name: "discord",
        list: "discord_configs",
        since: Some(v(25)),
        options: &[
            secret_url("webhook_url", "webhook_url_file", 28),
            plain("title"),
            plain("message"),
            newer("content", 28),
            newer("username", 28),
            newer("avatar_url", 28),
            SEND_RESOLVED,
        ],
    },
    Kind {
        name: "msteams",
        list: "msteams_configs",
        since: Some(v(26)),
        options: &[
            secret_url("webhook_url", "webhook_url_file", 28),
            plain("title"),
            newer("summary", 27),
            plain("text"),
            SEND_RESOLVED,
        ],
    },
    Kind {
        name: "msteamsv2",
        list: "msteamsv2_configs",
        since: Some(v(28)),
        options: &[
            secret_url("webhook_url", "webhook_url_file", 28),
            plain("title"),
            plain("text"),
            SEND_RESOLVED,
        ],
    },
    Kind {
        name: "telegram",
        list: "telegram_configs",
        since: Some(v(24)),
        options: &[
            secret("bot_token", "bot_token_file", 26),
            plain("chat_id"),
            newer("message_thread_id", 28),
            url("api_url"),
            plain("message"),
            Opt {
                name: "parse_mode",
                since: None,
                form: Form::Choice(&["", "HTML", "Markdown", "MarkdownV2"]),
            },
            plain("disable_notifications"),
            SEND_RESOLVED,
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of a schema's table, by way of the definitions that it refers to.
    fn keys(root: &serde_json::Value, schema: &serde_json::Value) -> Vec<String> {
        if let Some(reference) = schema["$ref"].as_str() {
            return keys(root, &root["$defs"][reference.trim_start_matches("#/$defs/")]);
        }
        if let Some(properties) = schema["properties"].as_object() {
            return properties.keys().cloned().collect();
        }
        let parts = schema["anyOf"].as_array().into_iter().flatten();
        parts.map(|part| keys(root, part)).find(|found| !found.is_empty()).unwrap_or_default()
    }

    #[test]
    fn the_table_and_the_settings_name_the_same_options() {
        let schema = schemars::schema_for!(crate::profile::settings::Channel).to_value();
        let mut kinds = keys(&schema, &schema);
        // A plugin is no integration of Alertmanager.
        kinds.retain(|k| k != "enable" && k != "plugin");
        kinds.sort();
        let mut known: Vec<_> = KINDS.iter().map(|k| k.name.to_owned()).collect();
        known.sort();
        assert_eq!(kinds, known);
        for kind in &KINDS {
            let mut settings = keys(&schema, &schema["properties"][kind.name]);
            settings.retain(|k| k != "enable");
            settings.sort();
            let mut options: Vec<_> = kind.options.iter().map(|o| o.name.to_owned()).collect();
            options.sort();
            assert_eq!(settings, options, "{}", kind.name);
        }
    }
}
