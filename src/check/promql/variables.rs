//! Grafana's variables in a panel's query: `$var`, `${var}`, `${var:regex}`, `[[var]]`,
//! `$__rate_interval`. They are replaced by something of their kind, so that the query can
//! be checked, and places lead back to what was written.

use std::ops::Range;

use super::function::{self, Type};

/// Leads from the text without variables back to the text as it was written.
#[derive(Debug, Clone, Default)]
pub struct Positions {
    /// Each replaced piece: bytes as written, bytes as replaced.
    pieces: Vec<(Range<usize>, Range<usize>)>,
}

impl Positions {
    pub(super) fn replaced(&mut self, written: Range<usize>, replaced: Range<usize>) {
        self.pieces.push((written, replaced));
    }

    /// The bytes as they were written; a part of a variable is the whole variable.
    pub fn original(&self, range: Range<usize>) -> Range<usize> {
        let start = self.place(range.start, true);
        start..self.place(range.end, false).max(start)
    }

    fn place(&self, at: usize, is_start: bool) -> usize {
        let mut before = (0, 0);
        for (written, replaced) in &self.pieces {
            if at < replaced.start || (at == replaced.start && !is_start) {
                break;
            }
            if at < replaced.end {
                return if is_start { written.start } else { written.end };
            }
            before = (written.end, replaced.end);
        }
        before.0 + at.saturating_sub(before.1)
    }
}

/// Stands for a variable within a string: no text of a person holds it.
const IN_STRING: &str = "\u{e000}.*";
/// Stands for a variable that names a metric, a label or a whole expression.
const NAME: &str = "__variable__";

/// True for a word or string that a variable is a part of; nothing is known of it.
pub fn is_variable(word: &str) -> bool {
    word.contains('\u{e000}') || word.contains(NAME)
}

/// The query with every variable replaced. Where it stands decides by what: within quotes by
/// a pattern, within a range by a duration, as the number of a function by a number,
/// elsewhere by a name.
pub fn without_variables(text: &str) -> (String, Positions) {
    let mut replacer = Replacer { out: String::with_capacity(text.len()), ..Replacer::default() };
    let mut positions = Positions::default();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        let start = replacer.out.len();
        match variable(rest) {
            Some(length) => {
                let (name, after) = rest.split_at(length);
                let value = replacer.value(name, after);
                replacer.out.push_str(value);
                positions.replaced(at..at + length, start..replacer.out.len());
                at += length;
            }
            None => {
                replacer.copy(rest);
                at += replacer.out.len() - start;
            }
        }
    }
    (replacer.out, positions)
}

#[derive(Default)]
struct Replacer {
    out: String,
    quote: Option<char>,
    in_range: bool,
    /// For each open bracket, the word before it and the commas in it.
    open: Vec<(String, usize)>,
}

impl Replacer {
    /// Copies one character, two where the first escapes.
    fn copy(&mut self, rest: &str) {
        let mut chars = rest.chars();
        let Some(c) = chars.next() else { return };
        match (self.quote, c) {
            (Some('"' | '\''), '\\') => {
                self.out.push(c);
                self.out.extend(chars.next());
                return;
            }
            (Some(quote), c) if c == quote => self.quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => self.quote = Some(c),
            (None, '[') => self.in_range = true,
            (None, ']') => self.in_range = false,
            (None, '(') => {
                let head = self.out.trim_end();
                let start = head.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |i| i + 1);
                let word = head.get(start..).unwrap_or_default().to_ascii_lowercase();
                self.open.push((word, 0));
            }
            (None, ')') => drop(self.open.pop()),
            (None, ',') => {
                if let Some((_, commas)) = self.open.last_mut() {
                    *commas += 1;
                }
            }
            _ => {}
        }
        self.out.push(c);
    }

    fn value(&self, name: &str, after: &str) -> &'static str {
        if self.quote.is_some() {
            return IN_STRING;
        }
        let before = self.out.trim_end();
        let ends = |word: &str| before.trim_end_matches(['-', '+', ' ']).ends_with(word);
        if self.in_range || ends("offset") {
            // `[${window}m]` brings its own unit.
            return if after.starts_with(|c: char| c.is_ascii_alphabetic()) { "5" } else { "5m" };
        }
        let name = name.trim_matches(['$', '{', '}', '[', ']']);
        match name.split([':', '.']).next().unwrap_or(name) {
            "__interval" | "__rate_interval" | "__range" => "5m",
            "__interval_ms" | "__range_ms" | "__range_s" | "__from" | "__to" => "300",
            _ if ends("@") => "300",
            _ if self.is_number() => "300",
            _ => NAME,
        }
    }

    /// True where the function that is called takes a number here.
    fn is_number(&self) -> bool {
        let Some((word, index)) = self.open.last() else { return false };
        let parameter = matches!(word.as_str(), "topk" | "bottomk" | "quantile" | "limitk" | "limit_ratio");
        (parameter && *index == 0)
            || function::find(word).and_then(|f| f.argument(*index)) == Some(Type::Scalar)
    }
}

/// The length of the variable that a text begins with.
fn variable(text: &str) -> Option<usize> {
    let word = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if let Some(inner) = text.strip_prefix("[[") {
        let end = inner.find("]]")?;
        let name = inner.get(..end)?;
        return (word(name.split(':').next()?) > 0 && !name.contains('[')).then_some(end + 4);
    }
    let inner = text.strip_prefix('$')?;
    if let Some(inner) = inner.strip_prefix('{') {
        let end = inner.find('}')?;
        return (word(inner.get(..end)?) > 0).then_some(end + 3);
    }
    // `$1` of `label_replace` is no variable.
    let length = word(inner);
    (length > 0 && !inner.starts_with(|c: char| c.is_ascii_digit())).then_some(length + 1)
}
