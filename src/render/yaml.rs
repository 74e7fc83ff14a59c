//! YAML documents as every renderer writes them.

use serde::Serialize;

use super::Error;

/// A document below its comment lines. Long strings stay on one line: folded ones are hard
/// to compare with what a tool reports. Everything that YAML 1.1 would read as something
/// else than a string is quoted, since most tools here still do.
pub fn document(comment: &str, value: &impl Serialize) -> Result<String, Error> {
    let mut text: String = comment.lines().map(|line| format!("# {line}\n")).collect();
    let options = serde_saphyr::ser_options! { compact_list_indent: false, folded_wrap_chars: 100_000 };
    serde_saphyr::to_fmt_writer_with_options(&mut text, value, options)?;
    Ok(text)
}
