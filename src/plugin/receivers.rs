//! Channel plugins at build: their settings completed, and whether Alertmanager can deliver by
//! itself or the relay has to.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::diagnostic::{Finding, Path, Place};
use crate::profile::settings::{self as set, Use};
use crate::profile::stored;
use crate::profile::text::Text;
use crate::render::integrations::{self, Form};
use crate::stack::resolve::integration;
use crate::stack::{Relayed, Stack};

use super::abi::channel::Native;
use super::call::{Failed, side_by_side};
use super::codes::{M702, M708};
use super::schema::{self, Refused};
use super::{Plugin, Said, World, abi, clean, wrong_setting};

/// A receiver that a plugin made, with references where it has secrets: what a manifest keeps.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Receiver {
    pub kind: String,
    pub options: Json,
}

/// Asks the plugin of every channel.
pub fn receivers(
    plugins: &BTreeMap<String, Plugin>,
    stack: &mut Stack,
) -> (BTreeMap<String, Receiver>, Said) {
    let mut said = Said::default();
    let mut asked: Vec<(String, &Plugin, String)> = vec![];
    for (name, relayed) in &mut stack.relayed {
        // One that can't be used was reported where it was loaded.
        let Some(plugin) = plugins.get(&relayed.plugin) else { continue };
        if !plugin.can(World::Channel) {
            let message =
                format!("the plugin `{}` delivers nothing: it has no interface `channel`", relayed.plugin);
            said.findings.push(Finding::error(&M702, Place::setting(relayed.at.join("name")), message));
            continue;
        }
        match complete(plugin, relayed) {
            Ok(settings) => {
                let text = Json::Object(settings.clone()).to_string();
                relayed.settings = settings;
                asked.push((name.clone(), plugin, text));
            }
            Err(wrong) => said.findings.extend(wrong),
        }
    }
    let all: Vec<_> = asked.iter().collect();
    let (answers, ()) = side_by_side(
        &all,
        |(_, plugin, _)| (plugin.linked.engine.clone(), plugin.linked.limits),
        |(_, plugin, settings)| abi::receiver(&plugin.linked, settings),
        |_, failure| Err(Failed { failure, printed: String::new() }),
        || (),
    );
    let mut made = BTreeMap::new();
    for ((name, plugin, _), answer) in asked.iter().zip(answers) {
        let Some(relayed) = stack.relayed.get(name) else { continue };
        match said.take(plugin, answer) {
            Some(Ok(None)) | None => {}
            Some(Ok(Some(native))) => match receiver(plugin, relayed, native) {
                Ok(receiver) => {
                    apply(stack, name, &receiver);
                    made.insert(name.clone(), receiver);
                }
                Err(finding) => said.findings.push(*finding),
            },
            Some(Err(failure)) => {
                said.findings.extend(plugin.failed_at(failure, &relayed.at.join("settings")))
            }
        }
    }
    (made, said)
}

/// Puts a receiver that a plugin made into its channel.
pub fn apply(stack: &mut Stack, channel: &str, receiver: &Receiver) {
    let node = stored::node(&receiver.options);
    let at = Path::new(["channels", channel, "plugin"]);
    if let Some(native) = integration(&receiver.kind, &node, at) {
        stack.deliver_natively(channel, native);
    }
}

fn complete(plugin: &Plugin, relayed: &Relayed) -> Result<Map<String, Json>, Vec<Finding>> {
    let at = relayed.at.join("settings");
    match schema::complete(&plugin.info.settings_schema, relayed.settings.clone()) {
        Ok(Json::Object(settings)) => Ok(settings),
        Ok(_) => Ok(Map::new()),
        // Of the schema, the plugin itself says it.
        Err(Refused::Schema(_)) => Err(vec![]),
        Err(Refused::Settings(wrong)) => {
            Err(wrong.iter().map(|wrong| wrong_setting(&at, &wrong.pointer, &wrong.message)).collect())
        }
    }
}

/// Holds a native receiver against what Alertmanager has, and its references against the grants.
fn receiver(plugin: &Plugin, relayed: &Relayed, native: Native) -> Result<Receiver, Box<Finding>> {
    let refused = |what: String| {
        let message = format!("the plugin `{}` makes a receiver that can't be: {what}", plugin.name);
        Box::new(Finding::error(&M708, Place::Key(relayed.at.clone()), message))
    };
    let named = clean(&native.kind);
    let kind = integrations::kind(&named)
        .ok_or_else(|| refused(format!("Alertmanager has no integration `{named}`")))?;
    let config: Map<String, Json> = serde_json::from_str(&native.config)
        .map_err(|e| refused(format!("its configuration is no object: {e}")))?;
    let mut options = Map::new();
    for (key, value) in config {
        let option = kind
            .options
            .iter()
            .find(|option| option.name == key && !matches!(option.form, Form::Basic))
            .ok_or_else(|| refused(format!("`{}` takes no `{}`", kind.name, clean(&key))))?;
        let reference = value.as_object();
        let value = match (reference, option.form) {
            (Some(reference), Form::Url | Form::Secret { .. } | Form::SecretUrl { .. } | Form::Bearer) => {
                self::reference(relayed, reference).map_err(|what| refused(format!("`{key}`: {what}")))?
            }
            // An address or a secret in plain text would go past the profile's grants.
            (None, Form::Url | Form::Secret { .. } | Form::SecretUrl { .. } | Form::Bearer) => {
                let what = "name an endpoint or a secret: { \"endpoint\": … } or { \"secret\": … }";
                return Err(refused(format!("`{key}`: {what}")));
            }
            (_, Form::Plain | Form::Choice(_) | Form::Basic) => value,
        };
        options.insert(key, value);
    }
    let options = Json::Object(options);
    // The types of the options are those of the language.
    let typed = Map::from_iter([(kind.name.to_owned(), options.clone())]);
    serde_json::from_value::<set::Channel>(Json::Object(typed))
        .map_err(|e| refused(format!("{}: {}", kind.name, clean(&e.to_string()))))?;
    Ok(Receiver { kind: kind.name.to_owned(), options })
}

/// `{ "secret": NAME }`, or `{ "endpoint": NAME, "path": "/…" }`.
fn reference(relayed: &Relayed, reference: &Map<String, Json>) -> Result<Json, String> {
    let text = |key: &str| reference.get(key).and_then(Json::as_str);
    if let Some(name) = text("secret") {
        let grant = relayed.grants.get(name).ok_or_else(|| format!("no grant `{}`", clean(name)))?;
        let placed = grant.place.as_slice().contains(&set::Place::Receiver) && grant.r#use == Use::Value;
        if !placed {
            return Err(format!(
                "the grant `{name}` is not for a receiver: use = \"value\", place = \"receiver\""
            ));
        }
        return serde_json::to_value(&grant.secret).map_err(|e| e.to_string());
    }
    let name = text("endpoint").ok_or("neither a secret nor an endpoint")?;
    let endpoint = relayed.endpoints.get(name).ok_or_else(|| format!("no endpoint `{}`", clean(name)))?;
    let path = text("path").unwrap_or_default();
    let plain = path.is_empty() || path.starts_with('/');
    if !plain
        || path.contains("..")
        || path.contains(['?', '#', '\\', '%'])
        || path.chars().any(char::is_whitespace)
    {
        return Err(format!("`{}` is no plain path", clean(path)));
    }
    let url = Text::plain(format!("{}{path}", endpoint.url.trim_end_matches('/')));
    Ok(json!(url.reference()))
}
