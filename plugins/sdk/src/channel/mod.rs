//! Channel plugins: from a group of alerts to requests, and from a response to a verdict.
//!
//! ```ignore
//! impl Channel for Chat {
//!     type Settings = Settings;
//!
//!     fn deliver(settings: Settings, group: Group, now_ms: f64) -> Result<Vec<Request>> {
//!         let look = Look { language: settings.language, offset: settings.utc_offset, limit: 4000 };
//!         let request = |message: Message| {
//!             let body = Body::new().member("text", &message.text);
//!             Request::post("chat", &message).path_query([text("?token="), secret("token").uri()]).json(body)
//!         };
//!         Ok(messages(&group, now_ms, look, &Plain).into_iter().map(request).collect())
//!     }
//!
//!     fn judge(_: Settings, _: &str, response: &Response) -> Verdict {
//!         response.refused().unwrap_or(Verdict::Delivered)
//!     }
//! }
//! ```

pub mod judge;
pub mod message;
pub mod request;
pub mod split;
pub mod time;
pub mod words;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use crate::channel_world::exports::monprov::plugin::channel::{
    Atom, Encode, Escape, Event, Group, Mac, Native, Piece, Request, Response, Slot, Verdict,
};
pub use message::{Markup, Message, Mood, one_line};
pub use request::{Body, atom, hmac_sha256, secret, secret_atom, text, uri_component};
pub use split::{Look, messages};
pub use time::Offset;
pub use words::Language;

/// A plugin that delivers groups of alerts to a service.
pub trait Channel {
    /// Settings of the channel, complete: the host fills in what has a default.
    type Settings: DeserializeOwned + JsonSchema;

    /// The requests that deliver the group. Each event must be covered by one at least.
    fn deliver(settings: Self::Settings, group: Group, now_ms: f64) -> crate::Result<Vec<Request>>;

    /// What came of a request, by its `key`.
    fn judge(settings: Self::Settings, key: &str, response: &Response) -> Verdict;

    /// The native receiver of Alertmanager that does it; none: through the relay. It is asked at
    /// build, so settings that make no sense are refused here.
    fn receiver(_: Self::Settings) -> crate::Result<Option<Native>> {
        Ok(None)
    }
}

impl Group {
    /// A label that all events share.
    pub fn common_label(&self, name: &str) -> Option<&str> {
        crate::value(&self.common_labels, name)
    }
}

impl Event {
    pub fn label(&self, name: &str) -> Option<&str> {
        crate::value(&self.labels, name)
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        crate::value(&self.annotations, name)
    }

    /// What it is, in a sentence.
    pub fn summary(&self) -> &str {
        let mut said = ["summary", "message", "description"].iter().filter_map(|name| self.annotation(name));
        said.find(|text| !text.trim().is_empty()).or_else(|| self.label("alertname")).unwrap_or("?")
    }

    pub fn severity(&self) -> &str {
        self.label("severity").unwrap_or_default()
    }

    /// Where Prometheus shows the expression.
    pub fn graph(&self) -> Option<String> {
        request::web(&self.link)
    }

    pub fn runbook(&self) -> Option<String> {
        self.annotation("runbook_url").and_then(request::web)
    }

    /// Alertmanager's page that silences just this alert.
    pub fn silence(&self, group: &Group) -> Option<String> {
        let mut filter = String::from("{");
        for (name, value) in &self.labels {
            let comma = if filter.len() > 1 { "," } else { "" };
            filter.extend([comma, name.as_str(), "=\""]);
            if value.contains(['\\', '"']) {
                filter.push_str(&value.replace('\\', "\\\\").replace('"', "\\\""));
            } else {
                filter.push_str(value);
            }
            filter.push('"');
        }
        filter.push('}');
        let base = group.external_url.trim_end_matches('/');
        request::web(&[base, "/#/silences/new?filter=", &uri_component(&filter)].concat())
    }
}

/// Exports a [`Channel`] as the plugin of this package.
#[macro_export]
macro_rules! channel {
    ($plugin:ty) => {
        const _: () = {
            struct Component;

            $crate::meta!(Component, <$plugin as $crate::channel::Channel>::Settings);

            impl $crate::channel_world::exports::monprov::plugin::channel::Guest for Component {
                fn receiver(settings: String) -> $crate::Result<Option<$crate::channel::Native>> {
                    <$plugin as $crate::channel::Channel>::receiver($crate::read("settings", &settings)?)
                }

                fn deliver(
                    settings: String,
                    group: $crate::channel::Group,
                    now_ms: f64,
                ) -> $crate::Result<Vec<$crate::channel::Request>> {
                    let settings = $crate::read("settings", &settings)?;
                    <$plugin as $crate::channel::Channel>::deliver(settings, group, now_ms)
                }

                fn judge(
                    settings: String,
                    key: String,
                    response: $crate::channel::Response,
                ) -> $crate::channel::Verdict {
                    match $crate::read("settings", &settings) {
                        Ok(settings) => {
                            <$plugin as $crate::channel::Channel>::judge(settings, &key, &response)
                        }
                        Err(_) => $crate::channel::Verdict::Rejected("the settings can't be read".into()),
                    }
                }
            }

    $crate::channel_world::export_channel!(Component with_types_in $crate::channel_world);
        };
    };
}
