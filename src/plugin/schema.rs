//! A plugin's settings, held against its own JSON Schema, with defaults filled in.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value as Json};

/// Schemas of more than this are refused.
const LARGEST: usize = 64 << 10;
/// How deep schema and settings may nest.
const DEEPEST: usize = 32;

/// What is wrong with settings: a JSON Pointer and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub pointer: String,
    pub message: String,
}

/// Why settings can't be given to a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The schema is no good: the plugin's fault.
    Schema(String),
    Settings(Vec<Wrong>),
}

/// Reads a schema; `None` where the plugin takes no settings.
pub fn parse(text: &str) -> Result<Option<Json>, Refused> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    if text.len() > LARGEST {
        return Err(Refused::Schema(format!("it is {} bytes, and {LARGEST} are allowed", text.len())));
    }
    let schema: Json = serde_json::from_str(text).map_err(|error| Refused::Schema(error.to_string()))?;
    if depth(&schema) > DEEPEST {
        return Err(Refused::Schema(format!("it nests deeper than {DEEPEST}")));
    }
    if let Some(remote) = remote(&schema) {
        return Err(Refused::Schema(format!(
            "`$ref` may only point into the schema itself, not to {remote}"
        )));
    }
    Ok(Some(schema))
}

/// Settings with every default filled in, as the plugin gets them.
pub fn complete(schema: &str, settings: Map<String, Json>) -> Result<Json, Refused> {
    let mut settings = Json::Object(settings);
    let Some(schema) = parse(schema)? else {
        return match settings.as_object().and_then(|given| given.keys().next()) {
            None => Ok(settings),
            Some(key) => {
                let message = format!("the plugin takes no settings, so `{key}` means nothing");
                Err(Refused::Settings(vec![Wrong { pointer: format!("/{}", escape(key)), message }]))
            }
        };
    };
    if depth(&settings) > DEEPEST {
        let message = format!("settings nest deeper than {DEEPEST}");
        return Err(Refused::Settings(vec![Wrong { pointer: String::new(), message }]));
    }
    let validator = validator(&schema).map_err(Refused::Schema)?;
    fill(&schema, &schema, &mut settings, 0);
    let wrong: Vec<Wrong> = validator.iter_errors(&settings).flat_map(|error| said(&error)).collect();
    if wrong.is_empty() { Ok(settings) } else { Err(Refused::Settings(wrong)) }
}

/// An error, at each key that it is about.
fn said(error: &ValidationError<'_>) -> Vec<Wrong> {
    let pointer = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let wrong = unexpected.iter().map(|key| Wrong {
                pointer: format!("{pointer}/{}", escape(key)),
                message: "the plugin knows no such setting".into(),
            });
            wrong.collect()
        }
        _ => vec![Wrong { message: error.to_string(), pointer }],
    }
}

/// Patterns run in linear time; nothing is fetched.
fn validator(schema: &Json) -> Result<Validator, String> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|error| error.to_string())
}

/// Puts the `default` of each property that is not given, also within what is given.
fn fill(root: &Json, schema: &Json, value: &mut Json, steps: usize) {
    if steps > DEEPEST {
        return;
    }
    let schema = follow(root, schema);
    match value {
        Json::Object(given) => {
            let properties = schema.get("properties").and_then(Json::as_object);
            for (key, inner) in properties.into_iter().flatten() {
                if !given.contains_key(key)
                    && let Some(default) = follow(root, inner).get("default").or_else(|| inner.get("default"))
                {
                    given.insert(key.clone(), default.clone());
                }
                if let Some(value) = given.get_mut(key) {
                    fill(root, inner, value, steps + 1);
                }
            }
            let known = |key: &str| properties.is_some_and(|properties| properties.contains_key(key));
            if let Some(inner) = schema.get("additionalProperties").filter(|inner| inner.is_object()) {
                for (_, value) in given.iter_mut().filter(|(key, _)| !known(key)) {
                    fill(root, inner, value, steps + 1);
                }
            }
        }
        Json::Array(items) => {
            if let Some(inner) = schema.get("items") {
                items.iter_mut().for_each(|item| fill(root, inner, item, steps + 1));
            }
        }
        _ => {}
    }
}

/// What a `$ref` into the schema stands for. A circle ends where it would go on for ever.
fn follow<'s>(root: &'s Json, mut schema: &'s Json) -> &'s Json {
    for _ in 0..DEEPEST {
        let target = schema.get("$ref").and_then(Json::as_str).and_then(|to| to.strip_prefix('#'));
        match target.and_then(|pointer| root.pointer(pointer)) {
            Some(found) => schema = found,
            None => break,
        }
    }
    schema
}

fn depth(value: &Json) -> usize {
    // The parser of JSON itself stops at 128, so this recursion ends.
    let inner = match value {
        Json::Array(items) => items.iter().map(depth).max(),
        Json::Object(entries) => entries.values().map(depth).max(),
        _ => None,
    };
    1 + inner.unwrap_or_default()
}

/// A reference that leads out of the schema, or a name under which it could be reached from
/// elsewhere.
fn remote(value: &Json) -> Option<String> {
    match value {
        Json::Array(items) => items.iter().find_map(remote),
        Json::Object(entries) => entries.iter().find_map(|(key, inner)| match (key.as_str(), inner) {
            ("$ref" | "$dynamicRef", Json::String(to)) if !to.starts_with('#') => Some(format!("`{to}`")),
            _ => remote(inner),
        }),
        _ => None,
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r##"{
        "type": "object", "additionalProperties": false,
        "properties": {
            "labels": { "type": "array", "items": { "type": "string" }, "default": ["severity"] },
            "nested": { "$ref": "#/$defs/nested" }
        },
        "$defs": { "nested": {
            "type": "object", "default": {},
            "properties": { "floor": { "type": "number", "default": 1 } }
        } }
    }"##;

    fn of(settings: Json) -> Result<Json, Refused> {
        complete(SCHEMA, settings.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn defaults_are_filled_in_through_references_and_below_each_other() {
        let all = serde_json::json!({ "labels": ["severity"], "nested": { "floor": 1 } });
        assert_eq!(of(serde_json::json!({})), Ok(all));
        let given = serde_json::json!({ "labels": [], "nested": { "floor": 7 } });
        assert_eq!(of(given.clone()), Ok(given));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_pointer_all_at_once() {
        let refused = of(serde_json::json!({ "labels": ["a", 1], "nested": { "floor": "x" } }));
        let Err(Refused::Settings(wrong)) = refused else { panic!("{refused:?}") };
        let pointers: Vec<_> = wrong.iter().map(|w| w.pointer.as_str()).collect();
        assert_eq!(pointers, ["/labels/1", "/nested/floor"]);
    }

    #[test]
    fn schemas_are_bounded_and_reach_nothing() {
        let refused = |schema: &str| match complete(schema, Map::new()) {
            Err(Refused::Schema(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(refused(r#"{ "$ref": "https://example.org/a.json" }"#).contains("example.org"));
        assert!(refused(r#"{ "$ref": "file:///etc/passwd" }"#).contains("file:"));
        assert!(refused(&format!("\"{}\"", "x".repeat(LARGEST))).contains("bytes"));
        assert!(refused(&format!("{}{}", "[".repeat(40), "]".repeat(40))).contains("deeper"));
        assert!(refused("{").contains("EOF"));
        assert!(refused(r#"{ "type": 1 }"#).contains('1'));
        assert!(!refused(r##"{ "$ref": "#/nowhere" }"##).is_empty());
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let circle = r##"{ "properties": { "a": { "$ref": "#", "default": {} } } }"##;
        assert!(complete(circle, Map::new()).is_ok());
    }

    #[test]
    fn a_plugin_without_settings_is_given_none() {
        assert_eq!(complete("", Map::new()), Ok(serde_json::json!({})));
        let one = serde_json::json!({ "a/b": 1 }).as_object().cloned().unwrap();
        let Err(Refused::Settings(wrong)) = complete("", one) else { panic!() };
        assert_eq!(wrong[0].pointer, "/a~1b");
    }
}
