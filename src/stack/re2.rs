//! Regular expressions as Go's `regexp` reads them, for the crate `regex`.
//!
//! Both are RE2 engines and agree on what most patterns mean, but not on all. A pattern is
//! therefore read by Go's rules and written anew, so that it means here what it means in
//! Alertmanager and Prometheus:
//!
//! | written | in Go | in the crate `regex` |
//! | --- | --- | --- |
//! | `\d` `\w` `\s` `\b` | ASCII (`\s` without `\v`) | Unicode |
//! | `[a&&b]`, `[a--b]`, `[a[b]` | ordinary characters | set operations, a nested class |
//! | `\<`, `\>` | the characters | word boundaries |
//! | `{`, `{,5}`, `a{x` | literal | an error, or a repetition |
//! | `a**`, `a{2}{3}`, `{1001}` | an error | accepted |
//! | `\Q…\E` | literal text | an error |
//! | `(?x)`, `(?u)`, `(?R)`, `\u0041` | an error | accepted |
//! | `(?<name>…)` | an error before Go 1.22 | accepted |
//!
//! What is legal in Go but can't be said in the crate is refused: `\B`, octal escapes, and
//! Unicode classes beyond the general categories and a few scripts.

use std::fmt;
use std::ops::Range;

use regex::Regex;

/// Why a pattern is no pattern, and which bytes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    pub message: String,
    pub range: Range<usize>,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The pattern as a matcher of Alertmanager uses it: it must match the whole value.
pub fn anchored(pattern: &str) -> Result<Regex, PatternError> {
    let whole = |message: String| PatternError { message, range: 0..pattern.len() };
    Regex::new(&format!("^(?:{})$", translate(pattern)?)).map_err(|e| match e {
        regex::Error::CompiledTooBig(_) => whole("the regular expression is too large".into()),
        other => {
            // The crate prints the translated pattern over several lines; its last is the cause.
            let text = other.to_string();
            let cause = text.lines().last().unwrap_or_default();
            whole(format!("invalid regular expression: {}", cause.trim_start_matches("error: ")))
        }
    })
}

/// The same pattern in the syntax of the crate `regex`.
pub fn translate(pattern: &str) -> Result<String, PatternError> {
    let mut scan = Scan { text: pattern, at: 0, out: String::with_capacity(pattern.len() + 8) };
    scan.pattern()?;
    Ok(scan.out)
}

/// Go refuses more repetitions than this.
const MOST_REPETITIONS: u32 = 1000;

const SCRIPTS: [&str; 12] = [
    "Arabic",
    "Armenian",
    "Cyrillic",
    "Devanagari",
    "Greek",
    "Han",
    "Hangul",
    "Hebrew",
    "Hiragana",
    "Katakana",
    "Latin",
    "Thai",
];

const ASCII_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

struct Scan<'a> {
    text: &'a str,
    at: usize,
    out: String,
}

/// An escape, as it may stand inside or outside brackets.
enum Escape {
    Char(char),
    /// The inside of a class, and whether all but it is meant.
    Class(String, bool),
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn error<T>(&self, start: usize, message: impl Into<String>) -> Result<T, PatternError> {
        Err(PatternError { message: message.into(), range: start..self.at.max(start) })
    }

    fn pattern(&mut self) -> Result<(), PatternError> {
        let mut repeated = false;
        while !self.rest().is_empty() {
            let start = self.at;
            if let Some(operator) = self.repetition()? {
                if repeated {
                    return self.error(start, format!("`{operator}` repeats a repetition"));
                }
                self.out.push_str(operator);
                repeated = true;
                continue;
            }
            repeated = false;
            match self.next() {
                Some('(') => self.group(start)?,
                Some('[') => self.class(start)?,
                Some('\\') if self.rest().starts_with('Q') => self.quoted(start)?,
                Some('\\') => self.escape_outside(start)?,
                Some(c @ ('.' | '|' | ')' | '^' | '$')) => self.out.push(c),
                Some(c) => literal(&mut self.out, c),
                None => break,
            }
        }
        Ok(())
    }

    /// `*`, `+`, `?`, `{2,5}` with a following `?`; `None` where something else stands.
    fn repetition(&mut self) -> Result<Option<&'a str>, PatternError> {
        let start = self.at;
        let rest = self.rest();
        let mut length = match rest.as_bytes().first() {
            Some(b'*' | b'+' | b'?') => 1,
            Some(b'{') => match counted(rest) {
                Some((length, least, most)) => {
                    if least > MOST_REPETITIONS || most.is_some_and(|m| m > MOST_REPETITIONS || m < least) {
                        self.at += length;
                        return self.error(start, "a repetition count goes from low to high, up to 1000");
                    }
                    length
                }
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        if rest.as_bytes().get(length) == Some(&b'?') {
            length += 1;
        }
        self.at += length;
        Ok(rest.get(..length))
    }

    fn group(&mut self, start: usize) -> Result<(), PatternError> {
        let rest = self.rest();
        let Some(inner) = rest.strip_prefix('?') else {
            self.out.push('(');
            return Ok(());
        };
        if inner.starts_with("P<") {
            let name = inner.find('>').map_or(inner.len(), |end| end + 1);
            self.at += 1 + name;
            self.out.push_str("(?");
            self.out.push_str(inner.get(..name).unwrap_or_default());
            return Ok(());
        }
        if inner.starts_with('<') {
            self.at += 2;
            return self.error(start, "write a named group as `(?P<name>…)`; look-behind does not exist");
        }
        let end = inner.find([':', ')']).map_or(inner.len(), |i| i + 1);
        let (flags, _) = inner.split_at(end);
        self.at += 1 + flags.len();
        let letters = flags.trim_end_matches([':', ')']);
        let known = letters.chars().all(|c| matches!(c, 'i' | 'm' | 's' | 'U' | '-'));
        if !known
            || letters.matches('-').count() > 1
            || letters.ends_with('-')
            || flags.len() == letters.len()
        {
            return self.error(start, format!("`(?{flags}` is no group that RE2 has"));
        }
        if letters.is_empty() && flags != ":" {
            return self.error(start, "`(?)` has no flags");
        }
        self.out.push_str("(?");
        self.out.push_str(flags);
        Ok(())
    }

    /// The text from `\Q` to `\E`.
    fn quoted(&mut self, start: usize) -> Result<(), PatternError> {
        let inner = self.rest().strip_prefix('Q').unwrap_or_default();
        // Without an end it would quote the bracket and the anchor that are put around it.
        let Some((text, _)) = inner.split_once("\\E") else {
            self.at = self.text.len();
            return self.error(start, "`\\Q` is never ended by `\\E`");
        };
        self.at += text.len() + 3;
        text.chars().for_each(|c| literal(&mut self.out, c));
        Ok(())
    }

    fn escape_outside(&mut self, start: usize) -> Result<(), PatternError> {
        match self.rest().chars().next() {
            Some(c @ ('A' | 'z')) => {
                self.at += 1;
                self.out.push('\\');
                self.out.push(c);
                return Ok(());
            }
            Some('b') => {
                self.at += 1;
                self.out.push_str(r"(?-u:\b)");
                return Ok(());
            }
            Some('B') => {
                self.at += 1;
                return self.error(start, "`\\B` is not supported");
            }
            _ => {}
        }
        match self.escape(start)? {
            Escape::Char(c) => literal(&mut self.out, c),
            Escape::Class(inside, negated) => {
                self.out.push_str(if negated { "[^" } else { "[" });
                self.out.push_str(&inside);
                self.out.push(']');
            }
        }
        Ok(())
    }

    /// What follows a backslash, inside brackets or outside.
    fn escape(&mut self, start: usize) -> Result<Escape, PatternError> {
        let class = |inside: &str, negated| Ok(Escape::Class(inside.to_owned(), negated));
        match self.next() {
            None => self.error(start, "nothing follows the last backslash"),
            Some(c @ ('d' | 'D')) => class("0-9", c == 'D'),
            Some(c @ ('w' | 'W')) => class("0-9A-Za-z_", c == 'W'),
            Some(c @ ('s' | 'S')) => class(r"\t\n\f\r\x20", c == 'S'),
            Some('a') => Ok(Escape::Char('\u{7}')),
            Some('f') => Ok(Escape::Char('\u{c}')),
            Some('n') => Ok(Escape::Char('\n')),
            Some('r') => Ok(Escape::Char('\r')),
            Some('t') => Ok(Escape::Char('\t')),
            Some('v') => Ok(Escape::Char('\u{b}')),
            Some('x') => self.hexadecimal(start),
            Some(c @ ('p' | 'P')) => self.unicode(start, c == 'P'),
            Some(c) if c.is_ascii_digit() => {
                self.error(start, "octal escapes and back-references are not supported")
            }
            Some(c) if c.is_ascii_alphabetic() || !c.is_ascii() => {
                self.error(start, format!("`\\{c}` is no escape that RE2 has"))
            }
            Some(c) => Ok(Escape::Char(c)),
        }
    }

    fn hexadecimal(&mut self, start: usize) -> Result<Escape, PatternError> {
        let rest = self.rest();
        let (digits, length) = match rest.strip_prefix('{') {
            Some(inner) => {
                let end = inner.find('}').unwrap_or_default();
                (inner.get(..end).unwrap_or_default(), end + 2)
            }
            None => (rest.get(..2).unwrap_or_default(), 2),
        };
        let digits = if digits.bytes().all(|b| b.is_ascii_hexdigit()) { digits } else { "" };
        match u32::from_str_radix(digits, 16).ok().and_then(char::from_u32) {
            Some(c) => {
                self.at += length;
                Ok(Escape::Char(c))
            }
            None => self.error(start, "a character's number is written `\\x7F` or `\\x{10FFFF}`"),
        }
    }

    fn unicode(&mut self, start: usize, negated: bool) -> Result<Escape, PatternError> {
        let rest = self.rest();
        let (name, length) = match rest.strip_prefix('{') {
            Some(inner) => {
                let end = inner.find('}').unwrap_or_default();
                (inner.get(..end).unwrap_or_default(), end + 2)
            }
            None => (rest.get(..1).unwrap_or_default(), 1),
        };
        let (name, negated) = name.strip_prefix('^').map_or((name, negated), |n| (n, !negated));
        let category = matches!(name.as_bytes(), [b'C' | b'L' | b'M' | b'N' | b'P' | b'S' | b'Z'])
            || matches!(name.as_bytes(), [b'C' | b'L' | b'M' | b'N' | b'P' | b'S' | b'Z', b'a'..=b'z']);
        if !category && !SCRIPTS.contains(&name) {
            return self.error(start, format!("`{name}` is no Unicode class that monprov knows"));
        }
        self.at += length;
        Ok(Escape::Class(format!("\\p{{{name}}}"), negated))
    }

    /// A bracket expression; every character in it is written so that it can only be itself.
    fn class(&mut self, start: usize) -> Result<(), PatternError> {
        self.out.push('[');
        if self.rest().starts_with('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            if self.rest().is_empty() {
                return self.error(start, "the bracket is never closed");
            }
            if !first && self.rest().starts_with(']') {
                self.at += 1;
                self.out.push(']');
                return Ok(());
            }
            first = false;
            if self.rest().starts_with("[:") && self.ascii_class()? {
                continue;
            }
            let item = self.at;
            let low = match self.class_item(item)? {
                Escape::Char(c) => c,
                Escape::Class(inside, negated) => {
                    self.out.push_str(if negated { "[^" } else { "[" });
                    self.out.push_str(&inside);
                    self.out.push(']');
                    continue;
                }
            };
            let rest = self.rest();
            if !rest.starts_with('-') || rest.starts_with("-]") {
                literal(&mut self.out, low);
                continue;
            }
            self.at += 1;
            match self.class_item(item)? {
                Escape::Char(high) if low <= high => {
                    literal(&mut self.out, low);
                    self.out.push('-');
                    literal(&mut self.out, high);
                }
                _ => return self.error(item, "a range of characters goes from low to high"),
            }
        }
    }

    fn class_item(&mut self, start: usize) -> Result<Escape, PatternError> {
        match self.next() {
            None => self.error(start, "the bracket is never closed"),
            Some('\\') => self.escape(start),
            Some(c) => Ok(Escape::Char(c)),
        }
    }

    /// `[:alpha:]` and its kin; false where the bracket is only a character.
    fn ascii_class(&mut self) -> Result<bool, PatternError> {
        let start = self.at;
        let Some(end) = self.rest().find(":]") else { return Ok(false) };
        let whole = self.rest().get(..end + 2).unwrap_or_default();
        let name = whole.trim_start_matches("[:").trim_end_matches(":]");
        if !ASCII_CLASSES.contains(&name.trim_start_matches('^')) {
            self.at += whole.len();
            return self.error(start, format!("`{whole}` is no class that RE2 has"));
        }
        self.at += whole.len();
        self.out.push_str(whole);
        Ok(true)
    }
}

/// The length and the counts of `{2}`, `{2,}` or `{2,5}`; anything else is literal in Go.
fn counted(text: &str) -> Option<(usize, u32, Option<u32>)> {
    let inner = text.strip_prefix('{')?;
    let end = inner.find('}')?;
    let counts = inner.get(..end)?;
    let number = |digits: &str| -> Option<u32> {
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty();
        // More digits than fit are a number all the same, and too large.
        plain.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (least, most) = match counts.split_once(',') {
        None => (number(counts)?, Some(number(counts)?)),
        Some((least, "")) => (number(least)?, None),
        Some((least, most)) => (number(least)?, Some(number(most)?)),
    };
    Some((end + 2, least, most))
}

/// One character that can only mean itself.
fn literal(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii() {
        out.push(c);
    } else {
        out.push_str(&format!("\\x{:02X}", u32::from(c)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, value: &str) -> bool {
        anchored(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}")).is_match(value)
    }

    #[test]
    fn a_pattern_matches_the_whole_value() {
        assert!(matches("warning|critical", "critical"));
        assert!(!matches("warning|critical", "criticality"));
        assert!(matches("prod.*", "production"));
        assert!(!matches("", "x"));
        assert!(matches("a{2,3}", "aaa"));
        assert!(!matches(".*", "line\nline"));
    }

    #[test]
    fn classes_are_those_of_go() {
        assert!(matches(r"\d+", "42") && !matches(r"\d+", "٤٢"));
        assert!(!matches(r"\w", "é"));
        assert!(!matches(r"\s", "\u{b}") && matches(r"[\s]", " "));
        assert!(matches(r"[a&&b]+", "a&b"));
        assert!(matches("[a[b]+", "[ab"));
        assert!(matches("[+--]", ","));
        assert!(matches("[[:alpha:]_-]+", "a_-"));
        assert!(matches("[]a]+", "]a") && matches("[^]a]", "b"));
        assert!(matches(r"[\W]", "é") && matches(r"\p{Han}+", "数据") && matches(r"\PL", "1"));
    }

    #[test]
    fn what_is_literal_in_go_is_literal_here() {
        assert!(matches(r"\<x\>", "<x>"));
        assert!(matches("a{,5}", "a{,5}"));
        assert!(matches("a{x", "a{x") && matches("}", "}"));
        assert!(matches(r"\Qa.b|\E.", "a.b|c"));
        assert!(matches(r"a\.b\-c\_d", "a.b-c_d"));
        assert!(matches(r"\x41\x{1F600}", "A😀"));
        assert!(matches("(?i)prod", "PROD") && matches("(?P<n>a)b", "ab"));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for bad in [
            "a**",
            "a{2}{3}",
            "a{1001}",
            "a{3,2}",
            "(",
            ")",
            "[",
            "[b-a]",
            "*a",
            "(?x)a",
            "(?u)a",
            "(?<n>a)",
            "(?=a)",
            r"\u0041",
            r"\1",
            r"\8",
            r"\B",
            r"\p{Alphabetic}",
            r"\",
            "[[:letters:]]",
            r"\xZZ",
            "(?i",
            r"\é",
        ] {
            assert!(anchored(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn an_error_points_to_its_bytes() {
        let error = anchored(r"ab\Bc").unwrap_err();
        assert_eq!(error.range, 2..4);
        assert!(!anchored("(").unwrap_err().message.contains('\n'));
    }
}
