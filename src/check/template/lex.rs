//! The words of a Go template's actions, as `text/template/parse/lex.go` cuts them.

use std::ops::Range;

use crate::check::promql::{Fault, M117};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Space,
    /// `$x`
    Variable,
    /// `.x`
    Field,
    Dot,
    Word,
    Number,
    Text,
    Char,
    Pipe,
    Assign,
    Declare,
    Comma,
    Open,
    Close,
    /// `}}`: the action ends.
    End,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

/// The words of all actions. Each action ends with [`Kind::End`]; comments leave nothing.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut tokens = vec![];
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find("{{")) {
        let start = at + found;
        let inside = after_left(text, start);
        if text.get(inside..).is_some_and(|rest| rest.starts_with("/*")) {
            at = comment(text, start, inside)?;
            continue;
        }
        at = action(text, start, inside, &mut tokens)?;
    }
    Ok(tokens)
}

fn fault(range: Range<usize>, message: impl Into<String>) -> Fault {
    Fault::new(range, message).code(&M117)
}

/// Behind `{{` or `{{- `.
fn after_left(text: &str, start: usize) -> usize {
    let rest = text.get(start + 2..).unwrap_or_default();
    let trims = rest.starts_with('-') && rest.get(1..2).is_some_and(|s| s.trim().is_empty());
    start + if trims { 4 } else { 2 }
}

fn comment(text: &str, start: usize, inside: usize) -> Result<usize, Fault> {
    let rest = text.get(inside..).unwrap_or_default();
    let Some(end) = rest.find("*/") else {
        return Err(fault(start..text.len(), "this comment has no end").label("close it with `*/}}`"));
    };
    let after = rest.get(end + 2..).unwrap_or_default();
    let trimmed = after.strip_prefix(" -}}").map(|r| r.len());
    match trimmed.or_else(|| after.strip_prefix("}}").map(str::len)) {
        Some(left) => Ok(text.len() - left),
        None => Err(fault(start..inside + end + 2, "a comment must end its action").label("write `*/}}`")),
    }
}

/// Reads one action; the result is behind its `}}`.
fn action(text: &str, start: usize, inside: usize, tokens: &mut Vec<Token>) -> Result<usize, Fault> {
    let mut at = inside;
    let mut depth = 0_usize;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(first) = rest.chars().next() else {
            return Err(fault(start..text.len(), "this action has no end").label("close it with `}}`"));
        };
        if let Some(length) = right(rest) {
            if depth > 0 {
                return Err(fault(start..at, "a `(` is not closed").label("`)` is missing"));
            }
            tokens.push(Token { kind: Kind::End, range: at..at + length });
            return Ok(at + length);
        }
        let word = |from: usize| {
            let tail = rest.get(from..).unwrap_or_default();
            from + tail.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tail.len())
        };
        let next_digit = rest.get(1..2).is_some_and(|s| s.starts_with(|c: char| c.is_ascii_digit()));
        let (kind, length) = match first {
            c if c.is_whitespace() => {
                let tail = rest.trim_start();
                let mut length = rest.len() - tail.len();
                // The blank before `-}}` belongs to it.
                if tail.starts_with("-}}") {
                    length = length.saturating_sub(1);
                }
                (Kind::Space, length)
            }
            '=' => (Kind::Assign, 1),
            ':' if rest.starts_with(":=") => (Kind::Declare, 2),
            '|' => (Kind::Pipe, 1),
            ',' => (Kind::Comma, 1),
            '"' | '`' | '\'' => {
                let Some(length) = quoted(rest, first) else {
                    return Err(fault(at..at + rest.len(), "this string has no end")
                        .label(format!("close it with `{first}`")));
                };
                (if first == '\'' { Kind::Char } else { Kind::Text }, length)
            }
            '$' => (Kind::Variable, word(1)),
            '.' if !next_digit => match word(1) {
                1 => (Kind::Dot, 1),
                length => (Kind::Field, length),
            },
            c if c.is_ascii_digit() || matches!(c, '.' | '+' | '-') => {
                let length = number(rest);
                let written = rest.get(..length).unwrap_or_default();
                if !is_number(written) {
                    return Err(fault(at..at + length.max(1), format!("`{written}` is no number")));
                }
                (Kind::Number, length)
            }
            c if c.is_alphabetic() || c == '_' => (Kind::Word, word(0)),
            '(' => {
                depth += 1;
                (Kind::Open, 1)
            }
            ')' => {
                if depth == 0 {
                    return Err(fault(at..at + 1, "there is no `(` for this `)`").label("remove it"));
                }
                depth -= 1;
                (Kind::Close, 1)
            }
            '{' => {
                return Err(fault(at..at + 1, "an action can't stand in another")
                    .label("the action before this is not closed with `}}`"));
            }
            c => {
                return Err(fault(at..at + c.len_utf8(), format!("unexpected character {c:?} in an action")));
            }
        };
        if length == 0 {
            // Only the blank before `-}}`, which `right` takes.
            at += 1;
            continue;
        }
        // What ends a word must be one of these; `$x"y"` is none.
        if matches!(kind, Kind::Variable | Kind::Field | Kind::Word) {
            let end = rest.get(length..).unwrap_or_default();
            let ends = end.is_empty()
                || right(end).is_some()
                || end.starts_with(|c: char| c.is_whitespace() || ".,|:)(=".contains(c));
            if !ends {
                let bad = end.chars().next().map_or(0, char::len_utf8);
                return Err(fault(at + length..at + length + bad, "unexpected character behind a name")
                    .label("write a blank, or close the action with `}}`"));
            }
        }
        tokens.push(Token { kind, range: at..at + length });
        at += length;
    }
}

/// The length of `}}` or ` -}}` at the beginning.
fn right(rest: &str) -> Option<usize> {
    if rest.starts_with("}}") {
        return Some(2);
    }
    let mut chars = rest.chars();
    let blank = chars.next().filter(|c| c.is_ascii_whitespace())?;
    chars.as_str().starts_with("-}}").then_some(blank.len_utf8() + 3)
}

fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            '\n' if quote != '`' => return None,
            c if c == quote => return Some(index + 1),
            _ => {}
        }
    }
    None
}

fn number(rest: &str) -> usize {
    let mut previous = ' ';
    rest.find(|c: char| {
        let sign = matches!(c, '+' | '-') && (previous == ' ' || matches!(previous, 'e' | 'E' | 'p' | 'P'));
        let part = c.is_alphanumeric() || matches!(c, '.' | '_') || sign;
        previous = c;
        !part
    })
    .unwrap_or(rest.len())
}

/// Go's numbers, without imaginary ones.
fn is_number(text: &str) -> bool {
    let text = text.trim_start_matches(['+', '-']);
    let plain = text.replace('_', "");
    let based = |prefix: [&str; 2], radix: u32| {
        prefix.iter().any(|p| plain.strip_prefix(p).is_some_and(|n| u64::from_str_radix(n, radix).is_ok()))
    };
    let decimal = plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    based(["0x", "0X"], 16)
        || based(["0o", "0O"], 8)
        || based(["0b", "0B"], 2)
        || (decimal && plain.parse::<f64>().is_ok())
}
