//! YAML documents as every renderer writes them.

use serde::Serialize;

use super::Error;
use crate::stack::Stack;

/// A document below its comment lines.
pub fn document(comment: &str, value: &impl Serialize) -> Result<String, Error> {
    let text: String = comment.lines().map(|line| format!("# {line}\n")).collect();
    Ok(text + &body(value)?)
}

/// The comment that every file begins with.
pub fn head(stack: &Stack, what: &str) -> String {
    let name = &stack.name;
    format!("{what} of profile {name}: made by monprov from profiles/{name}.toml; changes here are lost.")
}

/// Long strings stay on one line: folded ones are hard to compare with what a tool reports.
/// Everything that YAML 1.1 would read as something else than a string is quoted, since most
/// tools here still do.
pub fn body(value: &impl Serialize) -> Result<String, Error> {
    let options = serde_saphyr::ser_options! { compact_list_indent: false, folded_wrap_chars: 100_000 };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, value, options)?;
    Ok(text)
}
