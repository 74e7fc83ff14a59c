use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What a profile is built for, one bundle each.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Matrix {
    /// By name: what is different there. The bundle is called `PROFILE-SITE`.
    pub sites: BTreeMap<String, Site>,
}

/// A site: a last layer over its profile. It is merged, so nothing is left of it here.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Site(pub IgnoredAny);

impl JsonSchema for Site {
    fn schema_name() -> Cow<'static, str> {
        Self::NAME.into()
    }

    /// What stands in a layer stands here too: [`Site::complete`].
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

impl Site {
    pub const NAME: &str = "Site";

    /// Puts the keys of a layer into the schema of a site.
    pub fn complete(schema: &mut Schema) {
        let Some(mut properties) = schema.get("properties").and_then(|p| p.as_object().cloned()) else {
            return;
        };
        for of_files in ["profile", "matrix"] {
            properties.remove(of_files);
        }
        let enable = serde_json::json!({
            "type": "boolean", "description": "`false`: there is no such site.", "x-enable": true
        });
        properties.insert("enable".into(), enable);
        let site =
            schema.get_mut("$defs").and_then(|all| all.get_mut(Self::NAME)).and_then(|s| s.as_object_mut());
        if let Some(site) = site {
            site.insert("properties".into(), properties.into());
            site.insert("additionalProperties".into(), false.into());
            site.insert("description".into(), "A last layer over the profile, for one site.".into());
        }
    }
}
