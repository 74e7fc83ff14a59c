//! Selectors: a metric and what its labels must be.

use std::ops::Range;

use super::{Scanner, Spanned, shorten, unclosed};
use crate::check::promql::Fault;
use crate::check::promql::token::{Kind, Token};
use crate::stack::{MatchOp, Version};

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

impl Scanner<'_> {
    pub(super) fn selector(&mut self, name: Option<Spanned<String>>) -> Result<(), Fault> {
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

    pub(super) fn matchers(&mut self, selector: &mut Selector) -> Result<(), Fault> {
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

    pub(super) fn matcher(&mut self, selector: &mut Selector, open: &Token) -> Result<(), Fault> {
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

    pub(super) fn set_name(
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
