//! Matchers as Alertmanager writes them: `severity=~"warning|critical"`.
//!
//! Two syntaxes exist. The classic one is all that Alertmanager knows before 0.27; since then
//! a label's name may be any UTF-8 text in quotes. By default the newer versions read with
//! both and believe the classic one where it succeeds, and so does [`Matcher::parse`].
//! What [`fmt::Display`] writes means the same to every version since 0.22, except that a
//! name that needs quotes needs 0.27.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use regex::Regex;

use super::re2;
use super::{MatchOp, Matcher};
use crate::diagnostic::{Code, Finding, Place};

pub static BAD_MATCHER: Code = Code {
    id: "M200",
    title: "a matcher that Alertmanager can't read",
    explain: "A matcher is a label, an operator and a value: `severity=\"critical\"`, `severity!=\"info\"`,\n\
              `severity=~\"warning|critical\"` or `instance!~\"test-.*\"`. Regular expressions are RE2 and must\n\
              match the whole value. Inside double quotes `\\\"`, `\\\\` and `\\n` are escapes.",
};

/// Why a text is no matcher, and which bytes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatcherError {
    pub message: String,
    pub range: Range<usize>,
}

impl MatcherError {
    fn new(message: impl Into<String>, range: Range<usize>) -> Self {
        MatcherError { message: message.into(), range }
    }

    /// `place` is the string that was parsed.
    pub fn finding(&self, place: Place) -> Finding {
        Finding::error(&BAD_MATCHER, place.within(self.range.clone()), self.message.clone())
            .note("a matcher is written `severity=\"critical\"`, with `=`, `!=`, `=~` or `!~`")
    }
}

impl fmt::Display for MatcherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl MatchOp {
    pub fn symbol(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

impl Matcher {
    pub fn new(label: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Self {
        Matcher { label: label.into(), op, value: value.into() }
    }

    pub fn equal(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(label, MatchOp::Equal, value)
    }

    /// Reads one item of a `matchers` list, which may hold several, separated by commas and
    /// within braces. There is at least one in the result, and each compiles.
    pub fn parse(text: &str) -> Result<Vec<Matcher>, MatcherError> {
        let matchers = match classic(text) {
            Ok(matchers) => matchers,
            Err(_) => utf8(text)?,
        };
        if matchers.is_empty() {
            return Err(MatcherError::new("there is no matcher in it", 0..text.len()));
        }
        for matcher in &matchers {
            matcher.compile().map_err(|e| {
                // An escape moves the pattern's bytes; without one they are found as they stand.
                let start = text.find(&matcher.value).filter(|_| !matcher.value.is_empty());
                let range = start.map_or(0..text.len(), |s| s + e.range.start..s + e.range.end);
                MatcherError::new(e.message, range)
            })?;
        }
        Ok(matchers)
    }

    /// Fails where the value is no regular expression and should be one.
    pub fn compile(&self) -> Result<Compiled, re2::PatternError> {
        Ok(Compiled {
            label: self.label.clone(),
            test: match self.op {
                MatchOp::Equal => Test::Equal(self.value.clone(), true),
                MatchOp::NotEqual => Test::Equal(self.value.clone(), false),
                MatchOp::Regex => Test::Regex(re2::anchored(&self.value)?, true),
                MatchOp::NotRegex => Test::Regex(re2::anchored(&self.value)?, false),
            },
        })
    }

    /// True for a name that every version of Alertmanager accepts.
    pub fn is_classic(&self) -> bool {
        is_classic_name(&self.label)
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, or with colons, which the classic syntax tolerates in matchers.
pub fn is_classic_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// A matcher that is ready to be asked.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub label: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Equal(String, bool),
    Regex(Regex, bool),
}

impl Compiled {
    /// `value`: that of the matcher's label; empty where there is no such label.
    pub fn is_match(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal(wanted, yes) => (value == wanted) == *yes,
            Test::Regex(regex, yes) => regex.is_match(value) == *yes,
        }
    }
}

/// As an item of Alertmanager's `matchers` list.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.is_classic() {
            Cow::Borrowed(self.label.as_str())
        } else {
            Cow::Owned(format!("\"{}\"", escape(&self.label)))
        };
        write!(f, "{name}{}\"{}\"", self.op.symbol(), escape(&self.value))
    }
}

/// The escapes that both syntaxes undo in the same way.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

fn operator(text: &str) -> Option<(MatchOp, &str)> {
    // `=~` comes before `=`, of which it is the longer.
    [MatchOp::Regex, MatchOp::NotRegex, MatchOp::NotEqual, MatchOp::Equal]
        .into_iter()
        .find_map(|op| Some((op, text.strip_prefix(op.symbol())?)))
}

/// Go's `\s`.
const SPACE: [char; 5] = [' ', '\t', '\n', '\u{c}', '\r'];

/// The syntax before 0.27 (`labels.ParseMatchers`).
fn classic(text: &str) -> Result<Vec<Matcher>, ()> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    let mut items = vec![];
    for (at, c) in text.char_indices() {
        match c {
            ',' if !quoted => {
                items.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            // A comma in quotes leaves the escape as it was: so does Alertmanager.
            ',' => {}
            '"' if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    let last = text.get(start..).unwrap_or_default().trim();
    if !last.is_empty() {
        items.push(last);
    }
    items.into_iter().map(classic_item).collect()
}

fn classic_item(item: &str) -> Result<Matcher, ()> {
    let item = item.trim_matches(SPACE);
    let end = item.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(item.len());
    let (label, rest) = item.split_at(end);
    let (op, raw) = operator(rest.trim_start_matches(SPACE)).ok_or(())?;
    if !is_classic_name(label) {
        return Err(());
    }
    let raw = raw.trim_start_matches(SPACE);
    let (raw, mut open) = raw.strip_prefix('"').map_or((raw, false), |r| (r, true));
    let mut value = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek().copied()) {
            ('\\', Some(next)) => {
                chars.next();
                match next {
                    'n' => value.push('\n'),
                    '"' | '\\' => value.push(next),
                    // A spurious escape stands for itself.
                    other => value.extend(['\\', other]),
                }
            }
            ('"', None) if open => open = false,
            ('"', _) => return Err(()),
            _ => value.push(c),
        }
    }
    if open { Err(()) } else { Ok(Matcher::new(label, op, value)) }
}

/// The syntax since 0.27 (`matcher/parse`).
fn utf8(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut matchers = vec![];
    let braces = lexer.eat('{');
    loop {
        if lexer.peek().is_none() || lexer.peek() == Some('}') {
            break;
        }
        let label = lexer.word("a label name")?;
        if label.is_empty() {
            return Err(MatcherError::new("a label has a name", 0..lexer.at));
        }
        lexer.peek();
        let Some((op, rest)) = operator(lexer.rest()) else {
            return Err(lexer.expected("`=`, `!=`, `=~` or `!~`"));
        };
        lexer.at = text.len() - rest.len();
        let value = lexer.word("a value")?;
        matchers.push(Matcher::new(label, op, value));
        if !lexer.eat(',') {
            break;
        }
    }
    if braces && !lexer.eat('}') {
        return Err(lexer.expected("`,` or `}`"));
    }
    match lexer.peek() {
        None => Ok(matchers),
        Some(_) => Err(lexer.expected("`,` or the end")),
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn eat(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        self.at += if there { c.len_utf8() } else { 0 };
        there
    }

    fn expected(&mut self, what: &str) -> MatcherError {
        match self.peek() {
            Some(c) => {
                MatcherError::new(format!("expected {what}, found `{c}`"), self.at..self.at + c.len_utf8())
            }
            None => MatcherError::new(format!("expected {what} at the end"), self.at..self.at),
        }
    }

    fn word(&mut self, what: &str) -> Result<String, MatcherError> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let reserved = |c: char| c.is_whitespace() || "{}!=~,\\\"'`".contains(c);
        let rest = self.rest();
        let (word, _) = rest.split_at(rest.find(reserved).unwrap_or(rest.len()));
        if word.is_empty() {
            return Err(self.expected(what));
        }
        self.at += word.len();
        Ok(word.to_owned())
    }

    /// A string in double quotes, with Go's escapes.
    fn quoted(&mut self) -> Result<String, MatcherError> {
        let start = self.at;
        let mut value = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = start + offset + 1;
                    return Ok(value);
                }
                '\n' => break,
                '\\' => {
                    let wrong = || {
                        MatcherError::new("this escape does not exist", start + offset..start + offset + 2)
                    };
                    let (_, kind) = chars.next().ok_or_else(wrong)?;
                    let digits = match kind {
                        'x' => 2,
                        'u' => 4,
                        'U' => 8,
                        _ => 0,
                    };
                    if digits == 0 {
                        value.push(simple_escape(kind).ok_or_else(wrong)?);
                        continue;
                    }
                    let hex: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                    // `\xE9` alone would be a byte that is no UTF-8.
                    let number = u32::from_str_radix(&hex, 16).ok().filter(|n| kind != 'x' || *n < 0x80);
                    value.push(number.and_then(char::from_u32).ok_or_else(wrong)?);
                }
                other => value.push(other),
            }
        }
        Err(MatcherError::new("the quote is never closed", start..self.text.len()))
    }
}

fn simple_escape(c: char) -> Option<char> {
    Some(match c {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' | '"' => c,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, &'static str, String) {
        let matchers = Matcher::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(matchers.len(), 1, "{text}");
        let m = matchers.into_iter().next().unwrap();
        (m.label, m.op.symbol(), m.value)
    }

    fn is(label: &str, op: &'static str, value: &str) -> (String, &'static str, String) {
        (label.into(), op, value.into())
    }

    #[test]
    fn all_operators_quoted_and_not() {
        assert_eq!(one("a=b"), is("a", "=", "b"));
        assert_eq!(one(" a != \"b\" "), is("a", "!=", "b"));
        assert_eq!(one("severity=~\"warning|critical\""), is("severity", "=~", "warning|critical"));
        assert_eq!(one("a!~5.."), is("a", "!~", "5.."));
        assert_eq!(one("a="), is("a", "=", ""));
        assert_eq!(one("{a=\"b, c\",}"), is("a", "=", "b, c"));
        assert_eq!(Matcher::parse("a=b, c!=d").unwrap().len(), 2);
    }

    #[test]
    fn escapes_of_the_classic_syntax_win() {
        assert_eq!(one(r#"a="x\"y\\z\n""#), is("a", "=", "x\"y\\z\n"));
        // A spurious escape is literal, although the UTF-8 syntax reads a tab.
        assert_eq!(one(r#"a=~"\d+\t""#), is("a", "=~", "\\d+\\t"));
    }

    #[test]
    fn names_in_quotes_are_the_newer_syntax() {
        assert_eq!(one(r#""foo.bar"="x""#), is("foo.bar", "=", "x"));
        assert_eq!(one(r#""温度"=~"\u0041.""#), is("温度", "=~", "A."));
        assert!(Matcher::parse(r#""a b"="x"#).is_err());
    }

    #[test]
    fn errors_point_to_what_is_wrong() {
        for (text, range) in [
            ("severity", 8..8),
            ("=b", 0..1),
            ("a=\"b", 2..4),
            ("a=b c=\"d\"", 4..5),
            ("a=b,,c=d", 4..5),
            ("", 0..0),
            ("{}", 0..2),
            ("a=~\"x(\"", 4..6),
            ("a=~\"x**\"", 6..7),
        ] {
            match Matcher::parse(text) {
                Err(e) => assert_eq!(e.range, range, "{text}: {e}"),
                Ok(m) => panic!("{text} was read as {m:?}"),
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for value in ["", "a b", "x\"y\\z\n", "{}", "5..", "a,b", "é", "\\d"] {
            for label in ["severity", "foo.bar", "a:b", "with \"quote\""] {
                let matcher = Matcher::equal(label, value);
                assert_eq!(Matcher::parse(&matcher.to_string()).unwrap(), vec![matcher]);
            }
        }
    }
}
