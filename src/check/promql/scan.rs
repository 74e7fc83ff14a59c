//! Reads an expression once, from left to right: what stands in the wrong place is found
//! here, with its place, and every part gets an index.
//!
//! The second result is the expression's shape for `promql-parser`: the same text with
//! selectors written `s0`, `s1`, …, labels `l0`, …, strings `"0"`, …. The tree that it makes
//! leads back to the parts by these indices, and no input of ours reaches its weak spots
//! (strings with backslashes, durations that overflow). Nesting and length are bounded, so
//! that neither its tree nor our walk can exhaust the stack.

use std::fmt::Write;
use std::ops::Range;

use super::function::{self, Function};
use super::token::{Kind, Token, tokens};
use super::{Dialect, Fault, M103};
use crate::profile::units::Duration;
use crate::stack::{MatchOp, Version};

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

/// `name{label="value"}`.
#[derive(Debug, Clone)]
pub struct Selector {
    /// Written before the braces, or as a matcher of `__name__`.
    pub name: Option<Spanned<String>>,
    /// Without a matcher that only says the name.
    pub matchers: Vec<Matcher>,
    pub range: Range<usize>,
}

#[derive(Debug, Clone)]
pub struct Matcher {
    pub label: Spanned<String>,
    pub op: MatchOp,
    pub value: Spanned<String>,
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

const AGGREGATIONS: [&str; 14] = [
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
];

/// Keywords that may also name a metric.
const NAMES: [&str; 8] = ["and", "or", "unless", "by", "without", "offset", "start", "end"];

/// Keywords that can't.
const RESERVED: [&str; 6] = ["on", "ignoring", "group_left", "group_right", "bool", "atan2"];

const OPERATORS: [&str; 12] = ["+", "-", "*", "/", "%", "^", "==", "!=", "<=", ">=", "<", ">"];
const WORD_OPERATORS: [&str; 4] = ["and", "or", "unless", "atan2"];

impl<'a> Scanner<'a> {
    fn expression(&mut self) -> Result<(), Fault> {
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

    fn peek(&self) -> &'a Token {
        self.ahead(0)
    }

    fn ahead(&self, count: usize) -> &'a Token {
        static END: Token = Token { kind: Kind::End, range: 0..0 };
        self.tokens.get(self.at + count).or(self.tokens.last()).unwrap_or(&END)
    }

    fn next(&mut self) -> &'a Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn word(&self, token: &Token) -> &'a str {
        self.text.get(token.range.clone()).unwrap_or_default()
    }

    fn takes(&mut self, sign: &str) -> Option<&'a Token> {
        self.peek().is(sign).then(|| self.next())
    }

    fn takes_word(&mut self, word: &str) -> Option<&'a Token> {
        self.peek().is_word(self.text, word).then(|| self.next())
    }

    /// The end of what was read last.
    fn last_end(&self) -> usize {
        self.at.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(0, |t| t.range.end)
    }

    fn emit(&mut self, text: &str) {
        self.scan.shape.push_str(text);
        self.scan.shape.push(' ');
    }

    fn unexpected(&self, token: &Token, expected: &str) -> Fault {
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

    fn current(&mut self) -> &mut Argument {
        match self.open.last_mut() {
            Some(open) => &mut open.current,
            None => &mut self.scan.whole,
        }
    }

    fn begin_argument(&mut self) {
        let (start, shape) = (self.peek().range.start, self.scan.shape.len());
        *self.current() = Argument { range: start..start, shape: shape..shape, operators: vec![] };
    }

    fn end_argument(&mut self) {
        let (end, shape) = (self.last_end(), self.scan.shape.len());
        let current = self.current();
        current.range.end = end.max(current.range.start);
        current.shape.end = shape;
    }

    // -- operands --

    fn operand(&mut self) -> Result<(), Fault> {
        loop {
            let token = self.peek();
            match &token.kind {
                Kind::Sign("+" | "-") => {
                    self.next();
                    self.count_operator(token)?;
                    // The sign binds as tightly in the tree as in Prometheus.
                    let sign = self.word(token);
                    self.emit(sign);
                }
                Kind::Sign("(") => {
                    self.next();
                    let shape = self.scan.shape.len();
                    self.begin(Head::Group, token.range.clone(), token, shape, false)?;
                }
                Kind::Sign("{") => return self.selector(None),
                Kind::Sign(")") => return self.early_end(token),
                Kind::Number(number) => {
                    self.next();
                    self.number(*number);
                    return Ok(());
                }
                Kind::Duration(duration) => {
                    if self.dialect.version < Version::new(2, 54, 0) {
                        let seconds = duration.as_secs_f64();
                        return Err(self
                            .unexpected(token, &format!("a duration is no number here: write `{seconds}`"))
                            .code(&M103)
                            .note("Prometheus reads durations as numbers of seconds since 2.54"));
                    }
                    self.next();
                    self.number(duration.as_secs_f64());
                    return Ok(());
                }
                Kind::Str(value) => {
                    self.next();
                    let index = self.scan.strings.len();
                    self.scan.strings.push(Spanned { value: value.clone(), range: token.range.clone() });
                    self.emit(&format!("\"{index}\""));
                    return Ok(());
                }
                Kind::Word => {
                    if self.named(token)? {
                        return Ok(());
                    }
                }
                Kind::Sign("=") => {
                    return Err(self.unexpected(token, "compare with `==`"));
                }
                Kind::Sign("[") => {
                    return Err(self.unexpected(token, "a range stands behind a metric: `metric[5m]`"));
                }
                _ => return Err(self.unexpected(token, "here stands a metric, a number, a function or `(`")),
            }
        }
    }

    fn number(&mut self, number: f64) {
        let text = if number.is_infinite() {
            "Inf".to_owned()
        } else if number.is_nan() {
            "NaN".to_owned()
        } else {
            number.to_string()
        };
        self.emit(&text);
    }

    /// A word where an operand begins; true where the operand is complete.
    fn named(&mut self, token: &'a Token) -> Result<bool, Fault> {
        let word = self.word(token);
        let lower = word.to_ascii_lowercase();
        let bracket = self.ahead(1).is("(");
        let grouping = self.ahead(1).is_word(self.text, "by") || self.ahead(1).is_word(self.text, "without");
        if AGGREGATIONS.contains(&lower.as_str()) && (bracket || grouping) {
            if lower.starts_with("limit") {
                self.exists(token, word, Version::new(2, 54, 0), None)?;
            }
            return self.aggregation(token, &lower).map(|()| false);
        }
        if bracket && !NAMES.contains(&lower.as_str()) {
            self.next();
            let function = self.function(token, word)?;
            let shape = self.scan.shape.len();
            // The library knows it under its new name only.
            let name = if word == "holt_winters" { "double_exponential_smoothing" } else { word };
            self.emit(name);
            let bracket = self.next();
            self.begin(Head::Call(function), token.range.clone(), bracket, shape, false)?;
            if self.peek().is(")") {
                self.open_arguments();
                return self.close().map(|()| true);
            }
            return Ok(false);
        }
        if RESERVED.contains(&lower.as_str()) {
            return Err(self.unexpected(token, "here stands a metric, a number, a function or `(`"));
        }
        let name = Spanned { value: word.to_owned(), range: token.range.clone() };
        self.next();
        self.selector(Some(name)).map(|()| true)
    }

    fn function(&self, token: &Token, name: &str) -> Result<&'static Function, Fault> {
        let place = token.range.clone();
        let Some(found) = function::find(name) else {
            let known = function::names().chain(AGGREGATIONS);
            let fault = Fault::new(place, format!("there is no function `{}`", shorten(name)));
            return Err(match crate::diagnostic::nearest(&name.to_ascii_lowercase(), known) {
                Some(near) => fault.label(format!("did you mean `{near}`?")),
                None => fault.label("no function or aggregation of PromQL"),
            });
        };
        if name == "holt_winters" && self.dialect.version >= Version::new(3, 0, 0) {
            return Err(Fault::new(place, "Prometheus 3 has no function `holt_winters`")
                .code(&M103)
                .label("is called `double_exponential_smoothing` now"));
        }
        self.exists(token, name, found.since, found.stable)?;
        Ok(found)
    }

    /// Whether the Prometheus of the stack has a function or aggregation.
    fn exists(
        &self,
        token: &Token,
        name: &str,
        since: Version,
        stable: Option<Version>,
    ) -> Result<(), Fault> {
        let Dialect { version, experimental } = self.dialect;
        let place = token.range.clone();
        if version < since {
            return Err(Fault::new(place, format!("Prometheus {version} has no `{name}`"))
                .code(&M103)
                .label(format!("exists since {since}")));
        }
        if !experimental && stable.is_none_or(|stable| version < stable) {
            return Err(Fault::new(place, format!("`{name}` is experimental, Prometheus refuses it"))
                .code(&M103)
                .label("exists behind a feature flag only")
                .note("`--enable-feature=promql-experimental-functions` among the arguments of the service allows it"));
        }
        Ok(())
    }

    fn aggregation(&mut self, token: &'a Token, lower: &str) -> Result<(), Fault> {
        self.next();
        let shape = self.scan.shape.len();
        self.emit(lower);
        let grouped = self.grouping()?;
        let Some(bracket) = self.takes("(") else {
            return Err(self.unexpected(self.peek(), "here stands `(` with what is aggregated"));
        };
        let with_parameter = ["topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio"];
        let head = Head::Aggregate { with_parameter: with_parameter.contains(&lower) };
        self.begin(head, token.range.clone(), bracket, shape, grouped)
    }

    /// `by (…)` or `without (…)`, if there is one.
    fn grouping(&mut self) -> Result<bool, Fault> {
        for word in ["by", "without"] {
            if self.takes_word(word).is_some() {
                self.emit(word);
                self.labels()?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `(label, label)`.
    fn labels(&mut self) -> Result<(), Fault> {
        let Some(open) = self.takes("(") else {
            return Err(self.unexpected(self.peek(), "here stands `(` with labels"));
        };
        self.emit("(");
        let mut first = true;
        while self.takes(")").is_none() {
            if !first {
                if self.takes(",").is_none() {
                    return Err(match self.peek() {
                        end if end.kind == Kind::End => unclosed(open, "("),
                        other => self.unexpected(other, "labels are separated by `,`"),
                    });
                }
                // A comma behind the last label is allowed.
                if self.takes(")").is_some() {
                    break;
                }
                self.emit(",");
            }
            let token = self.peek();
            let name = match &token.kind {
                Kind::Word if token.is_word(self.text, "without") => {
                    return Err(self.unexpected(token, "a label of this name can't be grouped by"));
                }
                Kind::Word if !self.word(token).contains(':') => self.word(token).to_owned(),
                Kind::Str(name) if self.dialect.version >= Version::new(3, 0, 0) => name.clone(),
                Kind::Str(_) => return Err(self.unexpected(token, "labels have no quotes here")),
                Kind::End => return Err(unclosed(open, "(")),
                Kind::Word => return Err(self.unexpected(token, "a label's name has no colon")),
                _ => return Err(self.unexpected(token, "here stands a label's name")),
            };
            self.next();
            let index = self.scan.labels.len();
            self.scan.labels.push(Spanned { value: name, range: token.range.clone() });
            self.emit(&format!("l{index}"));
            first = false;
        }
        self.emit(")");
        Ok(())
    }

    // -- brackets --

    fn begin(
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
    fn open_arguments(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.current = Argument::default();
        }
    }

    /// Closes the innermost bracket at a `)` that is still to be read.
    fn close(&mut self) -> Result<(), Fault> {
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
    fn early_end(&mut self, token: &Token) -> Result<(), Fault> {
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

    // -- what follows an operand --

    /// Reads what stands behind an operand; true where the next operand follows.
    fn after(&mut self) -> Result<bool, Fault> {
        let token = self.peek();
        match &token.kind {
            Kind::Sign(")") => {
                self.end_argument();
                if let Some(open) = self.open.last_mut() {
                    let argument = std::mem::take(&mut open.current);
                    open.arguments.push(argument);
                }
                self.close()?;
                Ok(false)
            }
            Kind::Sign(",") => self.comma(token).map(|()| true),
            Kind::Sign("[") => self.window().map(|()| false),
            Kind::Sign("@") => self.at_modifier().map(|()| false),
            Kind::Sign(sign) if OPERATORS.contains(sign) => {
                self.next();
                self.operator(token, sign).map(|()| true)
            }
            Kind::Word if token.is_word(self.text, "offset") => self.offset().map(|()| false),
            Kind::Word => {
                let lower = self.word(token).to_ascii_lowercase();
                if WORD_OPERATORS.contains(&lower.as_str()) {
                    self.next();
                    return self.operator(token, &lower).map(|()| true);
                }
                Err(self.unexpected(token, self.hint_behind(&lower)))
            }
            Kind::End => match self.open.last() {
                Some(open) => Err(unclosed_range(open.bracket.clone(), "(")),
                None => Ok(false),
            },
            Kind::Sign("=") => Err(self.unexpected(token, "compare with `==`")),
            Kind::Sign("=~" | "!~") => {
                Err(self.unexpected(token, "labels are matched in braces: `metric{label=~\"…\"}`"))
            }
            Kind::Sign("{") => Err(self.unexpected(token, "braces stand directly behind a metric's name")),
            _ => Err(self.unexpected(token, self.hint_behind(""))),
        }
    }

    fn hint_behind(&self, word: &str) -> &'static str {
        match word {
            "by" | "without" => "only aggregations such as `sum` are grouped",
            "on" | "ignoring" | "group_left" | "group_right" | "bool" => "it stands behind an operator",
            "is" | "equals" => "compare with `==`",
            "not" => "PromQL has `unless` for that",
            _ if self.open.is_empty() => "here stands an operator, or the expression ends",
            _ => "here stands an operator, `,` or `)`",
        }
    }

    fn comma(&mut self, token: &Token) -> Result<(), Fault> {
        self.end_argument();
        match self.open.last_mut() {
            Some(open) if !matches!(open.head, Head::Group) => {
                let argument = std::mem::take(&mut open.current);
                open.arguments.push(argument);
            }
            Some(_) => return Err(self.unexpected(token, "these brackets hold one expression")),
            None => {
                return Err(self.unexpected(token, "only the arguments of a function are separated by `,`"));
            }
        }
        self.next();
        if self.peek().is(")") {
            return Err(Fault::new(token.range.clone(), "a `,` behind the last argument").label("remove it"));
        }
        self.emit(",");
        self.begin_argument();
        Ok(())
    }

    fn count_operator(&mut self, token: &Token) -> Result<(), Fault> {
        self.operators += 1;
        if self.operators > MOST_OPERATORS {
            return Err(Fault::new(token.range.clone(), format!("more than {MOST_OPERATORS} operators"))
                .label("record parts of it by rules of their own"));
        }
        Ok(())
    }

    fn operator(&mut self, token: &Token, operator: &str) -> Result<(), Fault> {
        self.count_operator(token)?;
        self.current().operators.push(token.range.clone());
        self.emit(operator);
        if self.takes_word("bool").is_some() {
            self.emit("bool");
        }
        let mut matching = None;
        for word in ["on", "ignoring"] {
            if matching.is_none() && self.takes_word(word).is_some() {
                let from = self.scan.labels.len();
                self.emit(word);
                self.labels()?;
                matching = Some((word, from..self.scan.labels.len()));
            }
        }
        for word in ["group_left", "group_right"] {
            let group = self.peek();
            if group.is_word(self.text, word) {
                let Some((kind, labels)) = &matching else {
                    return Err(self.unexpected(group, "`on (…)` or `ignoring (…)` stands before it"));
                };
                self.next();
                self.emit(word);
                let from = self.scan.labels.len();
                if self.peek().is("(") {
                    self.labels()?;
                }
                if *kind == "on" {
                    self.check_disjoint(labels.clone(), from)?;
                }
                break;
            }
        }
        Ok(())
    }

    /// A label of `on` can't be copied by `group_left` as well.
    fn check_disjoint(&self, on: Range<usize>, from: usize) -> Result<(), Fault> {
        let on = self.scan.labels.get(on).unwrap_or_default();
        let copied = self.scan.labels.get(from..).unwrap_or_default();
        match copied.iter().find(|c| on.iter().any(|o| o.value == c.value)) {
            Some(label) => Err(Fault::new(
                label.range.clone(),
                format!("the label `{}` stands in both `on` and the group modifier", label.value),
            )
            .label("remove it here: it is the same on both sides")),
            None => Ok(()),
        }
    }

    fn duration(&mut self, what: &str) -> Result<Duration, Fault> {
        let token = self.peek();
        let duration = match &token.kind {
            Kind::Duration(duration) => *duration,
            Kind::Number(seconds)
                if self.dialect.version >= Version::new(2, 54, 0) && *seconds > 0.0 && *seconds < 1e9 =>
            {
                Duration((*seconds * 1000.0) as u64)
            }
            Kind::Number(_) => {
                let number = self.word(token);
                return Err(
                    self.unexpected(token, &format!("a duration has a unit: `{number}s`, `{number}m`"))
                );
            }
            _ => return Err(self.unexpected(token, what)),
        };
        self.next();
        if duration.0 == 0 {
            return Err(Fault::new(token.range.clone(), "a duration of zero").label("write one above zero"));
        }
        Ok(duration)
    }

    /// `[5m]` or `[1h:1m]`.
    fn window(&mut self) -> Result<(), Fault> {
        let open = self.next();
        let what = "here stands a duration: `5m`";
        let range = match &self.peek().kind {
            Kind::End => return Err(unclosed(open, "[")),
            _ => self.duration(what)?,
        };
        let mut shape = format!("[{range}");
        if self.takes(":").is_some() {
            shape.push(':');
            if !self.peek().is("]") && self.peek().kind != Kind::End {
                let step = self.duration("here stands the step, or `]`")?;
                let _ = write!(shape, "{step}");
            }
        }
        let Some(close) = self.takes("]") else {
            return Err(match self.peek() {
                end if end.kind == Kind::End => unclosed(open, "["),
                other => self.unexpected(other, "here stands `]`"),
            });
        };
        shape.push(']');
        self.emit(&shape);
        self.scan.windows.push(open.range.start..close.range.end);
        Ok(())
    }

    fn offset(&mut self) -> Result<(), Fault> {
        self.next();
        let negative = self.takes("-").is_some();
        if !negative && self.dialect.version >= Version::new(3, 4, 0) {
            self.takes("+");
        }
        let duration = self.duration("here stands a duration: `offset 1d`")?;
        let sign = if negative { "- " } else { "" };
        self.emit(&format!("offset {sign}{duration}"));
        Ok(())
    }

    fn at_modifier(&mut self) -> Result<(), Fault> {
        self.next();
        for word in ["start", "end"] {
            if self.peek().is_word(self.text, word) && self.ahead(1).is("(") && self.ahead(2).is(")") {
                self.at += 3;
                self.emit(&format!("@ {word}()"));
                return Ok(());
            }
        }
        if self.takes("-").is_none() {
            self.takes("+");
        }
        let token = self.peek();
        match token.kind {
            Kind::Number(seconds) if seconds.is_finite() && seconds < 9e15 => {
                self.next();
                // Its value has no influence on labels or types.
                self.emit("@ 1");
                Ok(())
            }
            _ => Err(self.unexpected(token, "here stands a Unix time, `start()` or `end()`")),
        }
    }

    // -- selectors --

    fn selector(&mut self, name: Option<Spanned<String>>) -> Result<(), Fault> {
        let start = name.as_ref().map_or(self.peek().range.start, |n| n.range.start);
        let index = self.scan.selectors.len();
        let mut selector = Selector { name, matchers: vec![], range: start..start };
        let braces = self.peek().is("{");
        if braces {
            self.matchers(&mut selector)?;
        }
        selector.range.end = self.last_end();
        if selector.name.is_none() && !selector.matchers.iter().any(|m| !m.matches_empty()) {
            let fault = Fault::new(selector.range, "this selects every metric there is");
            return Err(fault.label("name a metric, or give a matcher that does not match the empty text"));
        }
        self.scan.selectors.push(selector);
        self.emit(&format!("s{index}"));
        Ok(())
    }

    fn matchers(&mut self, selector: &mut Selector) -> Result<(), Fault> {
        let open = self.next();
        loop {
            if self.takes("}").is_some() {
                return Ok(());
            }
            self.matcher(selector, open)?;
            if self.takes("}").is_some() {
                return Ok(());
            }
            if self.takes(",").is_none() {
                return Err(match self.peek() {
                    end if end.kind == Kind::End => unclosed(open, "{"),
                    other => self.unexpected(other, "here stands `,` or `}`"),
                });
            }
        }
    }

    fn matcher(&mut self, selector: &mut Selector, open: &Token) -> Result<(), Fault> {
        let token = self.peek();
        let label = match &token.kind {
            Kind::Word if !self.word(token).contains(':') => self.word(token).to_owned(),
            Kind::Word => return Err(self.unexpected(token, "a label's name has no colon")),
            Kind::Str(text) if self.dialect.version >= Version::new(3, 0, 0) => text.clone(),
            Kind::Str(_) => {
                return Err(self
                    .unexpected(token, "here stands a label's name, without quotes")
                    .note("Prometheus 3.0 and later take quoted names here"));
            }
            Kind::End => return Err(unclosed(open, "{")),
            _ => return Err(self.unexpected(token, "here stands a label's name")),
        };
        self.next();
        let label = Spanned { value: label, range: token.range.clone() };
        let operator = self.peek();
        let op = match operator.kind {
            Kind::Sign("=") => MatchOp::Equal,
            Kind::Sign("!=") => MatchOp::NotEqual,
            Kind::Sign("=~") => MatchOp::Regex,
            Kind::Sign("!~") => MatchOp::NotRegex,
            Kind::Sign("==") => return Err(self.unexpected(operator, "labels are compared with one `=`")),
            // A quoted word alone is the metric's name.
            Kind::Sign("," | "}") if matches!(token.kind, Kind::Str(_)) => {
                return self.set_name(selector, label, token.range.clone());
            }
            Kind::End => return Err(unclosed(open, "{")),
            _ => return Err(self.unexpected(operator, "here stands `=`, `!=`, `=~` or `!~`")),
        };
        self.next();
        let token = self.peek();
        let Kind::Str(value) = &token.kind else {
            let word = shorten(self.word(token));
            let written = matches!(token.kind, Kind::Word | Kind::Number(_) | Kind::Duration(_));
            let hint = if written {
                format!("put it in quotes: `\"{word}\"`")
            } else {
                "here stands a string".into()
            };
            return Err(self.unexpected(token, &hint));
        };
        self.next();
        let value = Spanned { value: value.clone(), range: token.range.clone() };
        if matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
            check_pattern(&value, self.word(token))?;
        }
        if label.value == "__name__" && op == MatchOp::Equal {
            return self.set_name(selector, value, label.range.start..token.range.end);
        }
        selector.matchers.push(Matcher { label, op, value });
        Ok(())
    }

    fn set_name(
        &self,
        selector: &mut Selector,
        name: Spanned<String>,
        range: Range<usize>,
    ) -> Result<(), Fault> {
        if let Some(first) = &selector.name {
            let message = format!("the metric is named twice: `{}` and `{}`", first.value, name.value);
            return Err(Fault::new(range, message).label("remove one of them"));
        }
        selector.name = Some(name);
        Ok(())
    }
}

fn check_pattern(value: &Spanned<String>, written: &str) -> Result<(), Fault> {
    // Most patterns are lists of words, with `.*` here and there.
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-/:, |.".contains(c);
    if value.value.replace(".*", "").replace(".+", "").chars().all(plain) {
        return Ok(());
    }
    crate::stack::re2::anchored(&value.value).map(drop).map_err(|error| {
        // The place in the pattern is the place in the string where nothing is escaped.
        let range = if written.len() == value.value.len() + 2 {
            let start = value.range.start + 1;
            start + error.range.start..start + error.range.end
        } else {
            value.range.clone()
        };
        let cause = error.message.trim_start_matches("invalid regular expression: ").to_owned();
        Fault::new(range, format!("this is no regular expression: {cause}"))
    })
}

impl Matcher {
    /// True where a series without the label passes.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    pub fn matches(&self, value: &str) -> bool {
        let pattern = || crate::stack::re2::anchored(&self.value.value).is_ok_and(|r| r.is_match(value));
        match self.op {
            MatchOp::Equal => self.value.value == value,
            MatchOp::NotEqual => self.value.value != value,
            MatchOp::Regex => pattern(),
            MatchOp::NotRegex => !pattern(),
        }
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
