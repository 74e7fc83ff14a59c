//! How we write YAML: two spaces, quotes where YAML 1.1 (Go's yaml.v2) could misread a
//! string, and a head that says what the file is.

use serde::Serialize;

use crate::stack::Stack;

/// A document with its head. `source` names the profile that the file is made from.
pub fn document<T: Serialize>(stack: &Stack, what: &str, value: &T) -> String {
    let body = body(value);
    format!("{}{body}", head(stack, what))
}

/// The first line of every file that may hold comments.
pub fn head(stack: &Stack, what: &str) -> String {
    let name = &stack.name;
    format!("# {what} of profile {name}: made by monprov from profiles/{name}.toml; changes here are lost.\n")
}

/// A value as YAML. The types rendered here hold nothing that YAML can't say.
pub fn body<T: Serialize>(value: &T) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}
