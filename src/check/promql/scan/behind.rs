//! What stands behind an operand: operators and how they match, ranges, `offset`, `@`.

use std::fmt::Write;
use std::ops::Range;

use super::{Head, MOST_OPERATORS, Scanner, unclosed, unclosed_range};
use crate::check::promql::Fault;
use crate::check::promql::token::{Kind, Token};
use crate::profile::units::Duration;
use crate::stack::Version;

const OPERATORS: [&str; 12] = ["+", "-", "*", "/", "%", "^", "==", "!=", "<=", ">=", "<", ">"];
const WORD_OPERATORS: [&str; 4] = ["and", "or", "unless", "atan2"];
impl Scanner<'_> {
    /// Reads what stands behind an operand; true where the next operand follows.
    pub(super) fn after(&mut self) -> Result<bool, Fault> {
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

    pub(super) fn hint_behind(&self, word: &str) -> &'static str {
        match word {
            "by" | "without" => "only aggregations such as `sum` are grouped",
            "on" | "ignoring" | "group_left" | "group_right" | "bool" => "it stands behind an operator",
            "is" | "equals" => "compare with `==`",
            "not" => "PromQL has `unless` for that",
            _ if self.open.is_empty() => "here stands an operator, or the expression ends",
            _ => "here stands an operator, `,` or `)`",
        }
    }

    pub(super) fn comma(&mut self, token: &Token) -> Result<(), Fault> {
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

    pub(super) fn count_operator(&mut self, token: &Token) -> Result<(), Fault> {
        self.operators += 1;
        if self.operators > MOST_OPERATORS {
            return Err(Fault::new(token.range.clone(), format!("more than {MOST_OPERATORS} operators"))
                .label("record parts of it by rules of their own"));
        }
        Ok(())
    }

    pub(super) fn operator(&mut self, token: &Token, operator: &str) -> Result<(), Fault> {
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
    pub(super) fn check_disjoint(&self, on: Range<usize>, from: usize) -> Result<(), Fault> {
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

    pub(super) fn duration(&mut self, what: &str) -> Result<Duration, Fault> {
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
    pub(super) fn window(&mut self) -> Result<(), Fault> {
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

    pub(super) fn offset(&mut self) -> Result<(), Fault> {
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

    pub(super) fn at_modifier(&mut self) -> Result<(), Fault> {
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
}
