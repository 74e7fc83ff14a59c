//! What an operator stands between: numbers, strings, selectors, calls and aggregations.

use super::{Head, Scanner, Spanned, shorten, unclosed};
use crate::check::promql::function::{self, Function};
use crate::check::promql::token::{Kind, Token};
use crate::check::promql::{Dialect, Fault, M103};
use crate::stack::Version;

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

impl<'a> Scanner<'a> {
    pub(super) fn operand(&mut self) -> Result<(), Fault> {
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

    pub(super) fn number(&mut self, number: f64) {
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
    pub(super) fn named(&mut self, token: &'a Token) -> Result<bool, Fault> {
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

    pub(super) fn function(&self, token: &Token, name: &str) -> Result<&'static Function, Fault> {
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
    pub(super) fn exists(
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

    pub(super) fn aggregation(&mut self, token: &'a Token, lower: &str) -> Result<(), Fault> {
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
    pub(super) fn grouping(&mut self) -> Result<bool, Fault> {
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
    pub(super) fn labels(&mut self) -> Result<(), Fault> {
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
}
