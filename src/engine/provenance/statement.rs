//! What is stated of a bundle: an in-toto statement with SLSA's predicate of provenance. The same
//! inputs give the same bytes; who ran the build and when stands in it where the caller says so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bundle::{NarHash, StoreName};

/// The type of the payload, for the envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// What `externalParameters` mean, and the builder where nobody names another.
const BUILD_TYPE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/build/v1");
const BUILDER: &str = env!("CARGO_PKG_REPOSITORY");

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    pub subject: Vec<Resource>,
    predicate_type: String,
    pub predicate: Predicate,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predicate {
    pub build_definition: BuildDefinition,
    pub run_details: RunDetails,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    build_type: String,
    pub external_parameters: Parameters,
    #[serde(default)]
    pub internal_parameters: Engine,
    #[serde(default)]
    pub resolved_dependencies: Vec<Resource>,
}

/// What whoever asked for the build chose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    pub profile: String,
    pub runtime: String,
    pub variables: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    /// The version of this program.
    pub monprov: String,
}

/// A file or an image, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDetails {
    pub builder: Builder,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Builder {
    pub id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub invocation_id: String,
}

/// Why a text is no statement about a build of this program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    #[error("it is no in-toto statement: {0}")]
    Format(String),
    #[error("it is of the type {found}, and not {wanted}")]
    Type { found: String, wanted: &'static str },
}

impl Resource {
    pub fn file(name: &str, sha256: &str) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), sha256.to_owned())]);
        Resource { name: name.to_owned(), uri: None, digest }
    }

    /// An image as the stack names it: by a digest, or a tag that may move.
    pub fn image(reference: &str) -> Self {
        let digest = reference.split_once("@sha256:").map(|(_, hex)| hex.to_owned());
        Resource {
            name: String::new(),
            uri: Some(format!("docker://{reference}")),
            digest: digest.map(|hex| ("sha256".to_owned(), hex)).into_iter().collect(),
        }
    }

    pub fn sha256(&self) -> Option<&str> {
        self.digest.get("sha256").map(String::as_str)
    }
}

impl Statement {
    pub fn new(
        bundle: &StoreName,
        hash: &NarHash,
        parameters: Parameters,
        dependencies: Vec<Resource>,
    ) -> Self {
        Statement {
            kind: STATEMENT.into(),
            subject: vec![Resource::file(bundle.as_str(), &hash.to_string())],
            predicate_type: PREDICATE.into(),
            predicate: Predicate {
                build_definition: BuildDefinition {
                    build_type: BUILD_TYPE.into(),
                    external_parameters: parameters,
                    internal_parameters: Engine { monprov: env!("CARGO_PKG_VERSION").into() },
                    resolved_dependencies: dependencies,
                },
                run_details: RunDetails { builder: Builder { id: BUILDER.into() }, metadata: None },
            },
        }
    }

    /// With what only the caller knows.
    #[must_use]
    pub fn by(mut self, builder: Option<&str>, invocation: Option<&str>) -> Self {
        let details = &mut self.predicate.run_details;
        if let Some(id) = builder {
            details.builder.id = id.to_owned();
        }
        details.metadata = invocation.map(|id| Metadata { invocation_id: id.to_owned() });
        self
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Types {
            #[serde(rename = "_type", default)]
            kind: String,
            #[serde(default)]
            predicate_type: String,
            #[serde(default)]
            predicate: serde_json::Value,
        }
        let bad = |error: serde_json::Error| StatementError::Format(error.to_string());
        let types: Types = serde_json::from_slice(bytes).map_err(bad)?;
        let build = types.predicate.pointer("/buildDefinition/buildType");
        let build = build.and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let pairs = [(types.kind, STATEMENT), (types.predicate_type, PREDICATE), (build, BUILD_TYPE)];
        for (found, wanted) in pairs {
            if found != wanted {
                return Err(StatementError::Type { found, wanted });
            }
        }
        serde_json::from_slice(bytes).map_err(bad)
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn parameters(&self) -> &Parameters {
        &self.predicate.build_definition.external_parameters
    }

    /// The files that went in, by name.
    pub fn files(&self) -> BTreeMap<&str, &str> {
        let all = &self.predicate.build_definition.resolved_dependencies;
        all.iter()
            .filter(|one| one.uri.is_none())
            .filter_map(|one| Some((&*one.name, one.sha256()?)))
            .collect()
    }

    pub fn images(&self) -> impl Iterator<Item = &Resource> {
        self.predicate.build_definition.resolved_dependencies.iter().filter(|one| one.uri.is_some())
    }

    /// Whether it is about that bundle and its content.
    pub fn is_of(&self, bundle: &StoreName, hash: &NarHash) -> bool {
        *self.subject == [Resource::file(bundle.as_str(), &hash.to_string())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Tree;

    fn statement() -> Statement {
        let hash = Tree::new().nar_hash().unwrap();
        let parameters =
            Parameters { profile: "p".into(), runtime: "process".into(), variables: BTreeMap::new() };
        let files = vec![
            Resource::file("profiles/p.toml", "00"),
            Resource::image("prom/prometheus:v3@sha256:abc"),
            Resource::image("redis:7"),
        ];
        Statement::new(&StoreName::of(&hash, "p").unwrap(), &hash, parameters, files)
    }

    #[test]
    fn a_statement_is_read_back() {
        let statement = statement().by(Some("https://ci.example.org"), Some("42"));
        assert_eq!(Statement::parse(&statement.to_json()), Ok(statement));
    }

    #[test]
    fn images_without_a_digest_are_told_apart() {
        let digests: Vec<_> = statement().images().map(|one| one.sha256().map(str::to_owned)).collect();
        assert_eq!(digests, [Some("abc".to_owned()), None]);
        assert_eq!(statement().files(), BTreeMap::from([("profiles/p.toml", "00")]));
    }

    #[test]
    fn what_is_about_another_kind_of_build_is_refused() {
        for other in [STATEMENT, PREDICATE, BUILD_TYPE] {
            let text = String::from_utf8(statement().to_json()).unwrap();
            let error = Statement::parse(text.replace(other, "https://example.org").as_bytes());
            assert!(matches!(error, Err(StatementError::Type { .. })), "{error:?}");
        }
        assert!(matches!(Statement::parse(b"{"), Err(StatementError::Format(_))));
    }
}
