//! What the typed settings accept, as a value: compiled from the JSON Schema that `schemars`
//! makes from them, so that checks, completion in editors and decoding can't disagree.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::settings::{Settings, Site};

/// The form of a value.
#[derive(Debug)]
pub enum Shape {
    /// A table with known keys.
    Table(Fields),
    /// A table whose keys are names.
    Named(ShapeRef),
    List(ShapeRef),
    Scalar(Scalar),
    /// Whatever stands there: the settings of a plugin, which has a schema of its own.
    Any,
    /// Several forms; the first that fits counts.
    Either(Vec<ShapeRef>),
}

#[derive(Debug, Default)]
pub struct Fields {
    pub fields: BTreeMap<String, ShapeRef>,
    pub required: Vec<String>,
}

#[derive(Debug, Default, Clone)]
pub struct Scalar {
    pub string: bool,
    pub integer: bool,
    pub number: bool,
    pub boolean: bool,
    /// The parser that a string must pass: `duration`, `bytes`, `threshold`, `text`.
    pub format: Option<String>,
    /// The strings that are allowed, where only some are.
    pub choices: Vec<String>,
    pub range: Option<(i64, i64)>,
}

/// A shape, by number, in the table of all shapes: routes hold routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeRef(usize);

fn schema() -> schemars::Schema {
    let mut schema = schemars::schema_for!(Settings);
    Site::complete(&mut schema);
    schema
}

/// All shapes of the language.
#[derive(Debug)]
pub struct Shapes {
    all: Vec<Arc<Shape>>,
    /// Tables that can be switched off with `enable = false`.
    switchable: Vec<ShapeRef>,
    /// Values that a later layer replaces as a whole.
    atomic: Vec<ShapeRef>,
    pub root: ShapeRef,
    /// What a layer says of one site.
    pub site: ShapeRef,
}

impl Shapes {
    /// The language of profiles.
    pub fn of_settings() -> Self {
        Compiler::compile(schema().as_value())
    }

    pub fn get(&self, shape: ShapeRef) -> &Shape {
        // Every reference was made by the compiler for this table.
        self.all.get(shape.0).map_or(&EMPTY, |s| s)
    }

    pub fn is_switchable(&self, shape: ShapeRef) -> bool {
        self.switchable.contains(&shape)
    }

    pub fn is_atomic(&self, shape: ShapeRef) -> bool {
        self.atomic.contains(&shape)
    }

    /// The shape of the value of `key` in a table of this shape.
    pub fn field(&self, shape: ShapeRef, key: &str) -> Option<ShapeRef> {
        match self.get(shape) {
            Shape::Table(table) => table.fields.get(key).copied(),
            Shape::Named(inner) => Some(*inner),
            Shape::Any => Some(shape),
            Shape::Either(forms) => forms.iter().find_map(|f| self.field(*f, key)),
            _ => None,
        }
    }

    /// What a plain value of this shape may be, where one is allowed.
    pub fn scalar(&self, shape: ShapeRef) -> Option<&Scalar> {
        match self.get(shape) {
            Shape::Scalar(scalar) => Some(scalar),
            Shape::Any => Some(&TEXT),
            Shape::Either(forms) => forms.iter().find_map(|f| self.scalar(*f)),
            _ => None,
        }
    }

    /// The shape of this list's items.
    pub fn item(&self, shape: ShapeRef) -> Option<ShapeRef> {
        match self.get(shape) {
            Shape::List(item) => Some(*item),
            Shape::Any => Some(shape),
            Shape::Either(forms) => forms.iter().find_map(|f| self.item(*f)),
            _ => None,
        }
    }
}

static EMPTY: Shape = Shape::Either(vec![]);

/// A string that stands where anything may.
static TEXT: Scalar = Scalar {
    string: true,
    integer: false,
    number: false,
    boolean: false,
    format: None,
    choices: vec![],
    range: None,
};

/// The JSON Schema that `monprov schema` prints: for a layer, in which nothing is required
/// and which may speak of inherited values (`NAME_append`, `unset`, `final`).
pub fn layer_schema() -> Json {
    let mut schema = schema().to_value();
    loosen(&mut schema);
    schema
}

fn loosen(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            if object.get("additionalProperties") == Some(&Json::Bool(false)) {
                object.remove("required");
                if let Some(Json::Object(properties)) = object.get_mut("properties") {
                    let lists: Vec<_> = properties
                        .iter()
                        .filter(|(_, s)| s.get("type").is_some_and(|t| t == "array" || t[0] == "array"))
                        .map(|(key, s)| (format!("{key}_append"), s.clone()))
                        .collect();
                    properties.extend(lists);
                    let names = |what: &str| serde_json::json!({ "type": "array", "items": { "type": "string" }, "description": what });
                    properties.insert("unset".into(), names("Inherited values that this layer deletes"));
                    properties
                        .insert("final".into(), names("Keys that later layers and plugins may not change"));
                }
            }
            for (_, inner) in object.iter_mut() {
                loosen(inner);
            }
        }
        Json::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}

struct Compiler<'a> {
    definitions: Option<&'a Json>,
    root: &'a Json,
    all: Vec<Option<Arc<Shape>>>,
    named: BTreeMap<String, ShapeRef>,
    switchable: Vec<ShapeRef>,
    atomic: Vec<ShapeRef>,
}

impl<'a> Compiler<'a> {
    fn compile(schema: &'a Json) -> Shapes {
        let mut compiler = Compiler {
            definitions: schema.get("$defs"),
            root: schema,
            all: vec![],
            named: BTreeMap::new(),
            switchable: vec![],
            atomic: vec![],
        };
        let root = compiler.named("#");
        let site = compiler.named(&format!("#/$defs/{}", Site::NAME));
        let all =
            compiler.all.into_iter().map(|s| s.unwrap_or_else(|| Arc::new(Shape::Either(vec![])))).collect();
        Shapes { all, switchable: compiler.switchable, atomic: compiler.atomic, root, site }
    }

    fn reserve(&mut self) -> ShapeRef {
        self.all.push(None);
        ShapeRef(self.all.len() - 1)
    }

    fn fill(&mut self, slot: ShapeRef, schema: &'a Json) {
        let shape = self.shape(slot, schema);
        if let Some(place) = self.all.get_mut(slot.0) {
            *place = Some(Arc::new(shape));
        }
        if schema.get("x-atomic").is_some() {
            self.atomic.push(slot);
        }
    }

    fn named(&mut self, reference: &str) -> ShapeRef {
        if let Some(known) = self.named.get(reference) {
            return *known;
        }
        let slot = self.reserve();
        self.named.insert(reference.to_owned(), slot);
        let schema = match reference.strip_prefix("#/$defs/") {
            Some(name) => self.definitions.and_then(|d| d.get(name)).unwrap_or(self.root),
            None => self.root,
        };
        self.fill(slot, schema);
        slot
    }

    fn inner(&mut self, schema: &'a Json) -> ShapeRef {
        if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
            return self.named(reference);
        }
        let slot = self.reserve();
        self.fill(slot, schema);
        slot
    }

    fn shape(&mut self, slot: ShapeRef, schema: &'a Json) -> Shape {
        if schema.get("x-any").is_some() {
            return Shape::Any;
        }
        for several in ["anyOf", "oneOf"] {
            let Some(Json::Array(forms)) = schema.get(several) else { continue };
            let forms: Vec<&Json> =
                forms.iter().filter(|f| f.get("type") != Some(&Json::from("null"))).collect();
            let choices: Vec<String> = forms
                .iter()
                .flat_map(|f| {
                    f.get("enum")
                        .and_then(Json::as_array)
                        .cloned()
                        .or_else(|| Some(vec![f.get("const")?.clone()]))
                })
                .flatten()
                .filter_map(|c| c.as_str().map(str::to_owned))
                .collect();
            if !choices.is_empty() {
                return Shape::Scalar(Scalar { string: true, choices, ..Scalar::default() });
            }
            return Shape::Either(forms.into_iter().map(|f| self.inner(f)).collect());
        }
        let mut types: Vec<&str> = match schema.get("type") {
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
            _ => vec![],
        };
        types.retain(|t| *t != "null");
        let text = |key: &str| schema.get(key).and_then(Json::as_str).map(str::to_owned);
        match types.as_slice() {
            ["object"] => {
                if let Some(inner) = schema.get("additionalProperties").filter(|a| a.is_object()) {
                    return Shape::Named(self.inner(inner));
                }
                let mut table = Fields::default();
                for (key, value) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
                    table.fields.insert(key.clone(), self.inner(value));
                    if value.get("x-enable").is_some() {
                        self.switchable.push(slot);
                    }
                }
                let required = schema.get("required").and_then(Json::as_array);
                table.required =
                    required.into_iter().flatten().filter_map(|k| k.as_str().map(str::to_owned)).collect();
                Shape::Table(table)
            }
            ["array"] => match schema.get("items") {
                Some(items) => Shape::List(self.inner(items)),
                None => Shape::Either(vec![]),
            },
            scalars => Shape::Scalar(Scalar {
                string: scalars.contains(&"string"),
                integer: scalars.contains(&"integer"),
                number: scalars.contains(&"number"),
                boolean: scalars.contains(&"boolean"),
                format: text("format"),
                choices: schema
                    .get("enum")
                    .and_then(Json::as_array)
                    .map(|c| c.iter().filter_map(|c| c.as_str().map(str::to_owned)).collect())
                    .unwrap_or_default(),
                range: range(schema),
            }),
        }
    }
}

fn range(schema: &Json) -> Option<(i64, i64)> {
    let bound = |key: &str| schema.get(key).and_then(Json::as_i64);
    match (bound("minimum"), bound("maximum")) {
        (None, None) => None,
        (low, high) => Some((low.unwrap_or(i64::MIN), high.unwrap_or(i64::MAX))),
    }
}
