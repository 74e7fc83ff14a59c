//! The inside of an action: declarations, commands joined by `|`, and values.

use std::ops::Range;

use super::lex::{Kind, Token};
use super::{DEEPEST, Parser, fault, is_keyword};
use crate::check::promql::{Fault, Spanned};
use crate::diagnostic::nearest;
use crate::stack::Version;

/// The functions of Prometheus' templates that came after 2.30.
const NEWER: [(&str, Version); 7] = [
    ("now", Version::new(3, 6, 0)),
    ("stripDomain", Version::new(2, 36, 0)),
    ("toDuration", Version::new(3, 6, 0)),
    ("toTime", Version::new(2, 39, 0)),
    ("parseDuration", Version::new(2, 32, 0)),
    ("stripPort", Version::new(2, 31, 0)),
    ("urlQueryEscape", Version::new(3, 7, 0)),
];

const FUNCTIONS: [&str; 41] = [
    // Prometheus
    "args",
    "externalURL",
    "first",
    "graphLink",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "label",
    "match",
    "pathPrefix",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "strvalue",
    "tableLink",
    "title",
    "toLower",
    "toUpper",
    "value",
    // Go
    "and",
    "call",
    "eq",
    "ge",
    "gt",
    "html",
    "index",
    "js",
    "le",
    "len",
    "lt",
    "ne",
    "not",
    "or",
    "print",
    "printf",
    "println",
    "slice",
    "urlquery",
];

impl Parser<'_> {
    /// `$x :=`, `$x =` or, for `range`, `$i, $x :=`; nothing where no such thing stands here.
    pub(super) fn declaration(&mut self, pair: bool) -> Result<(), Fault> {
        self.skip_space();
        let start = self.at;
        let mut names = vec![];
        while let Some(token) = self.peek().filter(|t| t.kind == Kind::Variable) {
            names.push(self.word(token).to_owned());
            self.at += 1;
            self.skip_space();
            match self.peek().map(|t| t.kind) {
                Some(Kind::Declare) => {
                    self.at += 1;
                    self.variables.extend(names);
                    return Ok(());
                }
                // Go looks for the variable only when it runs the template.
                Some(Kind::Assign) => {
                    self.at += 1;
                    return Ok(());
                }
                Some(Kind::Comma) if pair && names.len() < 2 => {
                    self.at += 1;
                    self.skip_space();
                }
                Some(Kind::Comma) => return Err(self.unexpected("only `range` declares two variables")),
                _ => break,
            }
        }
        // It was an operand.
        self.at = start;
        Ok(())
    }

    pub(super) fn pipeline(&mut self, end: Kind, declares: bool) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.unexpected("brackets are nested too deep"));
        }
        if declares {
            self.declaration(false)?;
        }
        let mut stage = 0;
        loop {
            self.skip_space();
            if self.is(end) && stage == 0 {
                return Err(self.unexpected("here stands a value, such as `$value`"));
            }
            if self.is(end) {
                // Go lets a `|` stand before nothing.
                break;
            }
            stage += 1;
            let piped = self.command(stage)?;
            self.skip_space();
            if !piped {
                break;
            }
        }
        if !self.is(end) {
            return Err(self.unexpected(if end == Kind::End {
                "here stands `}}`"
            } else {
                "here stands `)`"
            }));
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// A function with its arguments, or a value; true where `|` follows.
    pub(super) fn command(&mut self, stage: usize) -> Result<bool, Fault> {
        let first = self.at;
        let mut count = 0;
        loop {
            self.skip_space();
            let start = self.at;
            if !self.operand()? {
                break;
            }
            count += 1;
            if count == 1 && stage > 1 && self.at == start + 1 {
                let literal = self.tokens.get(start).filter(|t| {
                    matches!(t.kind, Kind::Text | Kind::Number | Kind::Char | Kind::Dot)
                        || matches!(self.word(t), "true" | "false" | "nil")
                });
                if let Some(token) = literal {
                    return Err(fault(
                        token.range.clone(),
                        "a value can't take what the `|` before it hands on",
                    )
                    .label("here stands a function"));
                }
            }
            match self.peek().map(|t| t.kind) {
                Some(Kind::Space) => {}
                Some(Kind::Pipe) => {
                    self.at += 1;
                    self.note(first);
                    return Ok(true);
                }
                Some(Kind::End | Kind::Close) => break,
                _ => return Err(self.unexpected("write a blank between values")),
            }
        }
        if self.is(Kind::Pipe) && count > 0 {
            self.at += 1;
            self.note(first);
            return Ok(true);
        }
        if count == 0 {
            return Err(self.unexpected("here stands a value or a function"));
        }
        self.note(first);
        Ok(false)
    }

    /// Keeps what a command uses: `index $labels "x"`, `query "…"`.
    pub(super) fn note(&mut self, first: usize) {
        let words: Vec<&Token> = self
            .tokens
            .get(first..self.at)
            .unwrap_or_default()
            .iter()
            .filter(|t| t.kind != Kind::Space)
            .collect();
        let [name, rest @ ..] = words.as_slice() else { return };
        let inner = |t: &Token| {
            let range = t.range.start + 1..t.range.end.saturating_sub(1);
            let value = self.text.get(range.clone()).unwrap_or_default().to_owned();
            Spanned { value, range }
        };
        match (self.word(name), rest) {
            ("index", [labels, text, ..]) if self.word(labels) == "$labels" && text.kind == Kind::Text => {
                let label = inner(text);
                self.uses.labels.push(label);
            }
            ("query", [text, ..]) if text.kind == Kind::Text && !self.word(text).contains('\\') => {
                let query = inner(text);
                self.uses.queries.push(query);
            }
            _ => {}
        }
    }

    /// A value with its fields; false where none stands here.
    pub(super) fn operand(&mut self) -> Result<bool, Fault> {
        let Some(token) = self.peek().cloned() else { return Ok(false) };
        let word = self.word(&token).to_owned();
        match token.kind {
            Kind::Word if matches!(word.as_str(), "true" | "false") => self.at += 1,
            Kind::Word if word == "nil" => {
                self.at += 1;
            }
            Kind::Word if is_keyword(&word) => {
                return Err(self.unexpected("a keyword stands first in its action"));
            }
            Kind::Word => {
                self.function(&word, token.range.clone())?;
                self.at += 1;
            }
            Kind::Variable => {
                self.variable(&word, token.range.clone())?;
                self.at += 1;
                if word == "$labels"
                    && let Some(field) = self.peek().filter(|t| t.kind == Kind::Field)
                {
                    let label = self.field(field);
                    self.uses.labels.push(label);
                }
            }
            Kind::Field => {
                self.at += 1;
                let inside =
                    self.blocks.iter().any(|b| matches!(b.word.as_str(), "range" | "with" | "define"));
                if word == ".Labels"
                    && !inside
                    && let Some(field) = self.peek().filter(|t| t.kind == Kind::Field)
                {
                    let label = self.field(field);
                    self.uses.labels.push(label);
                }
            }
            Kind::Dot | Kind::Number | Kind::Text | Kind::Char => self.at += 1,
            Kind::Open => {
                self.at += 1;
                self.pipeline(Kind::Close, true)?;
            }
            _ => return Ok(false),
        }
        let takes_fields = !matches!(token.kind, Kind::Number | Kind::Text | Kind::Char)
            && !matches!(word.as_str(), "true" | "false" | "nil");
        while self.is(Kind::Field) {
            if !takes_fields {
                return Err(self.unexpected("this value has no fields"));
            }
            self.at += 1;
        }
        Ok(true)
    }

    pub(super) fn field(&self, token: &Token) -> Spanned<String> {
        let range = token.range.start + 1..token.range.end;
        Spanned { value: self.text.get(range.clone()).unwrap_or_default().to_owned(), range }
    }

    pub(super) fn variable(&self, name: &str, range: Range<usize>) -> Result<(), Fault> {
        if self.variables.iter().any(|v| v == name) {
            return Ok(());
        }
        let fault = fault(range, format!("the template has no variable `{name}`"));
        Err(match nearest(name, self.variables.iter().map(String::as_str).filter(|v| v.len() > 1)) {
            Some(near) => fault.label(format!("did you mean `{near}`?")),
            None => fault.label("there are `$labels`, `$value`, `$externalLabels` and `$externalURL`"),
        })
    }

    pub(super) fn function(&self, name: &str, range: Range<usize>) -> Result<(), Fault> {
        if FUNCTIONS.contains(&name) {
            return Ok(());
        }
        if let Some((_, since)) = NEWER.iter().find(|(known, _)| *known == name) {
            if self.version >= *since {
                return Ok(());
            }
            return Err(fault(
                range,
                format!("templates of Prometheus {} have no function `{name}`", self.version),
            )
            .label(format!("exists since {since}")));
        }
        let fault = fault(range, format!("templates have no function `{name}`"));
        let known = FUNCTIONS.into_iter().chain(NEWER.into_iter().map(|(n, _)| n));
        Err(match (name, nearest(name, known)) {
            ("labels" | "value" | "externalLabels", _) => fault.label(format!("write `${name}`")),
            (_, Some(near)) => fault.label(format!("did you mean `{near}`?")),
            (_, None) => fault.label("text stands in quotes, values begin with `$` or `.`"),
        })
    }
}
