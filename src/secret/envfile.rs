//! Files of `NAME=VALUE` lines, as Docker Compose's `env_file` reads them: `#` comments, an
//! optional `export`, quotes around a value; nothing in a value is expanded.

use std::collections::BTreeMap;

use super::Secret;

/// Reads an env file; every wrong line is named, none is shown.
pub fn parse(text: &str) -> Result<BTreeMap<String, Secret>, Vec<(usize, String)>> {
    let mut values = BTreeMap::new();
    let mut errors = vec![];
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let Some((name, value)) = line.split_once('=') else {
            errors.push((index + 1, "no `=` in this line".to_owned()));
            continue;
        };
        let name = name.trim_end();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(fits) || name.starts_with(|c: char| c.is_ascii_digit()) {
            errors.push((index + 1, "the name before `=` is no variable's".to_owned()));
            continue;
        }
        match unquote(value.trim()) {
            Some(value) => {
                values.insert(name.to_owned(), Secret::new(value));
            }
            None => errors
                .push((index + 1, format!("the value of {name} has an opening quote but no closing one"))),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

fn unquote(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        let (inner, _) = rest.split_once('\'')?;
        return Some(inner.to_owned());
    }
    if let Some(rest) = value.strip_prefix('"') {
        let mut out = String::new();
        let mut chars = rest.chars();
        loop {
            match chars.next()? {
                '"' => return Some(out),
                '\\' => match chars.next()? {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    other => out.push(other),
                },
                c => out.push(c),
            }
        }
    }
    // A comment after a bare value stands behind a blank.
    let bare = value.find(" #").map_or(value, |at| value.get(..at).unwrap_or(value));
    Some(bare.trim_end().to_owned())
}
