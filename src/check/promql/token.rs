//! The words of PromQL with their places, read as Prometheus' own lexer reads them.
//!
//! `promql-parser` has no places in its tree or errors and refuses some valid strings (a
//! backslash in backticks), so the text is read here and only its shape is handed on.

use std::ops::Range;

use super::Fault;
use crate::profile::units::Duration;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A name, a keyword among them; may hold colons.
    Word,
    Number(f64),
    Duration(Duration),
    /// The text between the quotes, escapes resolved.
    Str(String),
    /// Operators and brackets.
    Sign(&'static str),
    End,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

impl Token {
    pub(super) fn is(&self, sign: &str) -> bool {
        matches!(self.kind, Kind::Sign(s) if s == sign)
    }

    /// True for this keyword; Prometheus ignores their case.
    pub(super) fn is_word(&self, text: &str, word: &str) -> bool {
        self.kind == Kind::Word && text.get(self.range.clone()).is_some_and(|t| t.eq_ignore_ascii_case(word))
    }
}

/// Longest first.
const SIGNS: [&str; 24] = [
    "==", "=~", "!=", "!~", "<=", ">=", "<", ">", "=", "+", "-", "*", "/", "%", "^", "(", ")", "{", "}", "[",
    "]", ",", ":", "@",
];

/// All words, the last one `End`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut tokens = vec![];
    let mut at = 0;
    let mut in_brackets = false;
    let mut in_braces = false;
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        let (kind, length) = match first {
            ' ' | '\t' | '\n' | '\r' => {
                at += 1;
                continue;
            }
            '#' => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '"' | '\'' | '`' => string(rest, first, at)?,
            c if c.is_ascii_digit() => number(rest, at)?,
            '.' if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => number(rest, at)?,
            c if c.is_ascii_alphabetic() || c == '_' || (c == ':' && !in_brackets) => {
                let length = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && (c != ':' || in_brackets))
                    .unwrap_or(rest.len());
                let word = rest.get(..length).unwrap_or_default();
                let kind = match word.to_ascii_lowercase().as_str() {
                    "inf" if !in_braces => Kind::Number(f64::INFINITY),
                    "nan" if !in_braces => Kind::Number(f64::NAN),
                    _ => Kind::Word,
                };
                (kind, length)
            }
            _ => match SIGNS.iter().find(|s| rest.starts_with(**s)) {
                Some(sign) => {
                    match *sign {
                        "[" => in_brackets = true,
                        "]" => in_brackets = false,
                        "{" => in_braces = true,
                        "}" => in_braces = false,
                        _ => {}
                    }
                    (Kind::Sign(sign), sign.len())
                }
                None => return Err(stray(rest, first, at)),
            },
        };
        tokens.push(Token { kind, range: at..at + length });
        at += length;
    }
    tokens.push(Token { kind: Kind::End, range: text.trim_end().len()..text.len() });
    Ok(tokens)
}

/// A character that begins no word of PromQL.
fn stray(rest: &str, first: char, at: usize) -> Fault {
    let starts = |s: &str| rest.starts_with(s);
    let hint = match first {
        '&' => "PromQL writes `and`",
        '|' => "PromQL writes `or`",
        '!' => "write `!=`, or `unless` for what must be missing",
        '$' if starts("$__") => "Grafana's variables exist in panels only",
        '$' => "there are no variables here; `${threshold}` is filled in by the profile",
        '“' | '”' | '„' | '‘' | '’' => "write a straight quote: `\"`",
        '–' | '—' | '−' => "write `-`",
        '.' => "names have no dots here",
        ';' => "one expression has no `;`",
        c if c.is_whitespace() => "write an ordinary space",
        _ => "no word of PromQL begins so",
    };
    let end = at + if starts("&&") || starts("||") { 2 } else { first.len_utf8() };
    Fault::new(at..end, format!("unexpected character {first:?}")).label(hint)
}

fn number(rest: &str, at: usize) -> Result<(Kind, usize), Fault> {
    let hex = rest.starts_with("0x") || rest.starts_with("0X");
    let mut length = 0;
    let mut previous = ' ';
    for c in rest.chars() {
        let exponent = !hex && matches!(previous, 'e' | 'E') && matches!(c, '+' | '-');
        if !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || exponent) {
            break;
        }
        length += c.len_utf8();
        previous = c;
    }
    let word = rest.get(..length).unwrap_or_default();
    if let Some(number) = parse_number(word) {
        return Ok((Kind::Number(number), length));
    }
    if let Ok(duration) = word.parse::<Duration>() {
        return Ok((Kind::Duration(duration), length));
    }
    let fault = Fault::new(at..at + length, format!("`{word}` is neither a number nor a duration"));
    Err(fault.label(if word.contains('.') && word.ends_with(|c: char| c.is_ascii_alphabetic()) {
        "durations have whole numbers: `90s`, `1h30m`"
    } else {
        "write `100`, `0.95`, `1e9`, `30s`, `5m` or `1h30m`"
    }))
}

/// As Go reads it: `0x1F` hexadecimal, `017` octal, else decimal.
fn parse_number(word: &str) -> Option<f64> {
    if let Some(hex) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).ok().map(|n| n as f64);
    }
    if word.bytes().any(|b| !b.is_ascii_digit() && !matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    if word.len() > 1
        && word.starts_with('0')
        && let Ok(octal) = i64::from_str_radix(word, 8)
    {
        return Some(octal as f64);
    }
    // Go calls a number out of range an error, Rust infinite.
    word.parse::<f64>().ok().filter(|n| n.is_finite())
}

fn string(rest: &str, quote: char, at: usize) -> Result<(Kind, usize), Fault> {
    let unclosed = |length: usize| {
        Fault::new(at..at + length, "this string has no end").label(format!("close it with `{quote}`"))
    };
    let body = rest.get(1..).unwrap_or_default();
    if quote == '`' {
        let length = body.find('`').ok_or_else(|| unclosed(rest.len()))?;
        return Ok((Kind::Str(body.get(..length).unwrap_or_default().to_owned()), length + 2));
    }
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((Kind::Str(value), index + 2)),
            '\n' => return Err(unclosed(index + 1)),
            '\\' => {
                let wrong = |end: usize, what: String| {
                    Err(Fault::new(at + 1 + index..at + 1 + end, what)
                        .label("write `\\\\` for a backslash, or put the string in backticks"))
                };
                let Some((start, escaped)) = chars.next() else { break };
                let (digits, radix) = match escaped {
                    'x' => (2, 16),
                    'u' => (4, 16),
                    'U' => (8, 16),
                    '0'..='7' => (3, 8),
                    _ => {
                        match unescaped(escaped, quote) {
                            Some(plain) => value.push(plain),
                            None => {
                                return wrong(
                                    start + escaped.len_utf8(),
                                    format!("`\\{escaped}` is no escape sequence of a string"),
                                );
                            }
                        }
                        continue;
                    }
                };
                let from = if radix == 8 { start } else { start + 1 };
                let code = body
                    .get(from..from + digits)
                    .and_then(|d| u32::from_str_radix(d, radix).ok())
                    .filter(|code| radix == 16 || *code < 256);
                match code.and_then(char::from_u32) {
                    Some(plain) => value.push(plain),
                    None => {
                        return wrong(start + 1, format!("`\\{escaped}` is not followed by {digits} digits"));
                    }
                }
                for _ in 1..from + digits - start {
                    chars.next();
                }
            }
            c => value.push(c),
        }
    }
    Err(unclosed(rest.len()))
}

fn unescaped(c: char, quote: char) -> Option<char> {
    Some(match c {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' => '\\',
        c if c == quote => c,
        _ => return None,
    })
}
