//! Reads an expression once, from left to right: what stands in the wrong place is found
//! here, with its place, and every part gets an index.
//!
//! The second result is the expression's shape for `promql-parser`: the same text with
//! selectors written `s0`, `s1`, …, labels `l0`, …, strings `"0"`, …. The tree that it makes
//! leads back to the parts by these indices, and no input of ours reaches its weak spots
//! (strings with backslashes, durations that overflow). Nesting and length are bounded, so
//! that neither its tree nor our walk can exhaust the stack.

use std::ops::Range;

mod behind;
mod operand;
mod selector;

pub use selector::{Matcher, Selector};

use super::function::Function;
use super::token::{Kind, Token, tokens};
use super::{Dialect, Fault};

/// Bounds that no expression of a person reaches.
const LONGEST: usize = 64 * 1024;
const DEEPEST: usize = 100;
const MOST_OPERATORS: usize = 2000;

/// A word of the expression with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    pub value: T,
    pub range: Range<usize>,
}

/// A call or aggregation, or a pair of brackets.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) head: Head,
    /// The word before the bracket, or the bracket itself.
    pub(super) name: Range<usize>,
    pub(super) range: Range<usize>,
    pub(super) arguments: Vec<Argument>,
    /// The whole in the shape.
    pub(super) shape: Range<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Head {
    Group,
    Call(&'static Function),
    /// With a parameter before the vector or not.
    Aggregate {
        with_parameter: bool,
    },
}

#[derive(Debug, Clone, Default)]
pub(super) struct Argument {
    pub(super) range: Range<usize>,
    pub(super) shape: Range<usize>,
    /// The operators of the argument itself, not of brackets within.
    pub(super) operators: Vec<Range<usize>>,
}

/// The parts of an expression, by the indices in its shape.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) shape: String,
    pub(super) selectors: Vec<Selector>,
    pub(super) labels: Vec<Spanned<String>>,
    pub(super) strings: Vec<Spanned<String>>,
    /// Ranges and subqueries in the order of their brackets: `[5m]`, `[1h:1m]`.
    pub(super) windows: Vec<Range<usize>>,
    /// In the order in which they close, the innermost first.
    pub(super) frames: Vec<Frame>,
    /// Calls and aggregations in the order in which they begin, by index of `frames`.
    pub(super) whole: Argument,
}

pub(super) fn scan(text: &str, dialect: Dialect) -> Result<Scan, Fault> {
    if text.len() > LONGEST {
        return Err(Fault::new(0..0, format!("this expression is longer than {LONGEST} bytes"))
            .label("record parts of it by rules of their own"));
    }
    let tokens = tokens(text)?;
    if let [end] = tokens.as_slice() {
        return Err(Fault::new(end.range.clone(), "there is no expression here"));
    }
    let mut scanner =
        Scanner { text, tokens: &tokens, at: 0, dialect, open: vec![], operators: 0, scan: Scan::default() };
    scanner.expression()?;
    Ok(scanner.scan)
}

/// A bracket that is not closed yet.
struct Open {
    head: Head,
    name: Range<usize>,
    bracket: Range<usize>,
    shape: usize,
    arguments: Vec<Argument>,
    current: Argument,
    /// `by` or `without` stood before the bracket.
    grouped: bool,
}

struct Scanner<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    dialect: Dialect,
    open: Vec<Open>,
    operators: usize,
    scan: Scan,
}

impl<'a> Scanner<'a> {
    pub(super) fn expression(&mut self) -> Result<(), Fault> {
        self.begin_argument();
        loop {
            self.operand()?;
            while !self.after()? {
                if self.open.is_empty() && self.peek().kind == Kind::End {
                    self.end_argument();
                    self.scan.whole = std::mem::take(self.current());
                    return Ok(());
                }
            }
        }
    }

    // -- words --

    pub(super) fn peek(&self) -> &'a Token {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, count: usize) -> &'a Token {
        static END: Token = Token { kind: Kind::End, range: 0..0 };
        self.tokens.get(self.at + count).or(self.tokens.last()).unwrap_or(&END)
    }

    pub(super) fn next(&mut self) -> &'a Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    pub(super) fn word(&self, token: &Token) -> &'a str {
        self.text.get(token.range.clone()).unwrap_or_default()
    }

    pub(super) fn takes(&mut self, sign: &str) -> Option<&'a Token> {
        self.peek().is(sign).then(|| self.next())
    }

    pub(super) fn takes_word(&mut self, word: &str) -> Option<&'a Token> {
        self.peek().is_word(self.text, word).then(|| self.next())
    }

    /// The end of what was read last.
    pub(super) fn last_end(&self) -> usize {
        self.at.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(0, |t| t.range.end)
    }

    pub(super) fn emit(&mut self, text: &str) {
        self.scan.shape.push_str(text);
        self.scan.shape.push(' ');
    }

    pub(super) fn unexpected(&self, token: &Token, expected: &str) -> Fault {
        let after = match self.at.checked_sub(1).and_then(|i| self.tokens.get(i)) {
            Some(before) if token.range != before.range => format!(" after `{}`", shorten(self.word(before))),
            _ => String::new(),
        };
        let fault = if token.kind == Kind::End {
            Fault::new(self.last_end()..self.text.len(), format!("the expression ends too early{after}"))
        } else {
            Fault::new(token.range.clone(), format!("unexpected `{}`{after}", shorten(self.word(token))))
        };
        fault.label(expected)
    }

    // -- arguments --

    pub(super) fn current(&mut self) -> &mut Argument {
        match self.open.last_mut() {
            Some(open) => &mut open.current,
            None => &mut self.scan.whole,
        }
    }

    pub(super) fn begin_argument(&mut self) {
        let (start, shape) = (self.peek().range.start, self.scan.shape.len());
        *self.current() = Argument { range: start..start, shape: shape..shape, operators: vec![] };
    }

    pub(super) fn end_argument(&mut self) {
        let (end, shape) = (self.last_end(), self.scan.shape.len());
        let current = self.current();
        current.range.end = end.max(current.range.start);
        current.shape.end = shape;
    }

    // -- brackets --

    pub(super) fn begin(
        &mut self,
        head: Head,
        name: Range<usize>,
        bracket: &Token,
        shape: usize,
        grouped: bool,
    ) -> Result<(), Fault> {
        if self.open.len() >= DEEPEST {
            return Err(Fault::new(
                bracket.range.clone(),
                format!("brackets are nested more than {DEEPEST} deep"),
            )
            .label("record parts of it by rules of their own"));
        }
        self.emit("(");
        let current = Argument::default();
        let bracket = bracket.range.clone();
        self.open.push(Open { head, name, bracket, shape, arguments: vec![], current, grouped });
        self.begin_argument();
        Ok(())
    }

    /// Forgets the argument that was begun: the brackets are empty.
    pub(super) fn open_arguments(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.current = Argument::default();
        }
    }

    /// Closes the innermost bracket at a `)` that is still to be read.
    pub(super) fn close(&mut self) -> Result<(), Fault> {
        let token = self.next();
        let Some(open) = self.open.pop() else {
            return Err(Fault::new(token.range.clone(), "there is no `(` for this `)`").label("remove it"));
        };
        self.emit(")");
        if matches!(open.head, Head::Aggregate { .. }) && !open.grouped {
            self.grouping()?;
        }
        self.scan.frames.push(Frame {
            head: open.head,
            range: open.name.start..self.last_end(),
            name: open.name,
            arguments: open.arguments,
            shape: open.shape..self.scan.shape.len(),
        });
        Ok(())
    }

    /// `)` where an operand should stand.
    pub(super) fn early_end(&mut self, token: &Token) -> Result<(), Fault> {
        let Some(open) = self.open.last() else {
            return Err(Fault::new(token.range.clone(), "there is no `(` for this `)`").label("remove it"));
        };
        let bracket = open.bracket.start..token.range.end;
        Err(match (open.head, open.arguments.is_empty() && self.last_end() == open.bracket.end) {
            (Head::Aggregate { .. }, true) => {
                Fault::new(bracket, "there is nothing to aggregate").label("here stands an instant vector")
            }
            (_, true) => Fault::new(bracket, "there is nothing between these brackets")
                .label("here stands a metric, a number or a function"),
            _ => self.unexpected(token, "here stands a metric, a number, a function or `(`"),
        })
    }
}

fn unclosed(open: &Token, bracket: &str) -> Fault {
    unclosed_range(open.range.clone(), bracket)
}

fn unclosed_range(range: Range<usize>, bracket: &str) -> Fault {
    let closing = match bracket {
        "(" => ")",
        "[" => "]",
        _ => "}",
    };
    Fault::new(range, format!("this `{bracket}` is not closed")).label(format!("`{closing}` is missing"))
}

/// A word as it may stand in a message.
fn shorten(word: &str) -> String {
    let mut chars = word.chars();
    let start: String = chars.by_ref().take(40).collect();
    if chars.next().is_some() { format!("{start}…") } else { start }
}
