//! Explains why `promql-parser` refuses an expression whose words are in order: an argument
//! of the wrong type, an operator between the wrong things.
//!
//! The library says what is wrong but not where, so the smallest part that it refuses is
//! looked for.

use std::ops::Range;

use promql_parser::parser::{self, value::ValueType};

use super::function::{Function, Type};
use super::scan::{Argument, Frame, Head, Scan};
use super::{Fault, M102, Query};

pub(super) fn fault(text: &str, scan: &Scan, message: &str) -> Fault {
    let explain = Explain { text, scan };
    let refused = scan.frames.iter().find_map(|frame| {
        let message = parse(scan, &frame.shape).err()?;
        Some(explain.frame(frame, &message))
    });
    refused.unwrap_or_else(|| explain.argument(&scan.whole, message)).code(&M102)
}

/// A query answers numbers or instant vectors; Prometheus notices anything else only when it
/// evaluates it.
pub(super) fn result(text: &str, query: &Query) -> Option<Fault> {
    let (what, hint) = match query.tree.value_type() {
        ValueType::Matrix => ("a range vector", "put the range into a function such as `rate(…)`"),
        ValueType::String => ("a string", "write an expression"),
        ValueType::Vector | ValueType::Scalar => return None,
    };
    let range = query.scan.windows.last().cloned().unwrap_or(0..text.len());
    Some(
        Fault::new(range, format!("the result is {what}, which can't be shown or compared"))
            .label(hint)
            .code(&M102),
    )
}

fn parse(scan: &Scan, range: &Range<usize>) -> Result<Type, String> {
    let shape = scan.shape.get(range.clone()).unwrap_or_default();
    Ok(match parser::parse(shape)?.value_type() {
        ValueType::Vector => Type::Vector,
        ValueType::Matrix => Type::Range,
        ValueType::Scalar => Type::Scalar,
        ValueType::String => Type::Text,
    })
}

struct Explain<'a> {
    text: &'a str,
    scan: &'a Scan,
}

impl Explain<'_> {
    fn word(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn frame(&self, frame: &Frame, message: &str) -> Fault {
        // An argument that is refused by itself says more than its call.
        for argument in &frame.arguments {
            if let Err(message) = parse(self.scan, &argument.shape) {
                return self.argument(argument, &message);
            }
        }
        match frame.head {
            Head::Group => {
                self.argument(&Argument { range: frame.range.clone(), ..Argument::default() }, message)
            }
            Head::Call(function) => self.call(frame, function, message),
            Head::Aggregate { with_parameter } => self.aggregation(frame, with_parameter, message),
        }
    }

    fn call(&self, frame: &Frame, function: &Function, message: &str) -> Fault {
        let name = function.name;
        let count = frame.arguments.len();
        if !function.takes(count) {
            let most = function.arguments.len();
            let least = most - function.optional;
            let takes = match (least, function.repeats) {
                (_, true) => format!("at least {least} arguments"),
                (1, _) if most == 1 => "one argument".into(),
                _ if least == most => format!("{most} arguments"),
                _ => format!("{least} to {most} arguments"),
            };
            let expected: Vec<&str> = function.arguments.iter().map(|t| t.name()).collect();
            let fault = Fault::new(frame.range.clone(), format!("`{name}` takes {takes}, here are {count}"));
            return match expected.is_empty() {
                true => fault.label("write nothing between the brackets"),
                false => fault.label(format!("takes {}", expected.join(", "))),
            };
        }
        for (index, argument) in frame.arguments.iter().enumerate() {
            let (Ok(is), Some(wanted)) = (parse(self.scan, &argument.shape), function.argument(index)) else {
                continue;
            };
            if is != wanted {
                return self.mismatch(&argument.range, &format!("`{name}` needs"), wanted, is);
            }
        }
        Fault::new(frame.range.clone(), message)
    }

    fn aggregation(&self, frame: &Frame, with_parameter: bool, message: &str) -> Fault {
        let name = self.word(&frame.name).to_ascii_lowercase();
        let wanted = if with_parameter { 2 } else { 1 };
        if frame.arguments.len() != wanted {
            let fault = Fault::new(
                frame.range.clone(),
                format!("`{name}` takes {wanted} argument(s), here are {}", frame.arguments.len()),
            );
            return match name.as_str() {
                "count_values" => fault.label("write `count_values(\"label\", vector)`"),
                _ if with_parameter => fault.label(format!("write `{name}(number, vector)`")),
                _ => fault.label("aggregate one expression; join several with `or`"),
            };
        }
        for (index, argument) in frame.arguments.iter().enumerate() {
            let wanted = match (index, name.as_str()) {
                (0, "count_values") => Type::Text,
                (0, _) if with_parameter => Type::Scalar,
                _ => Type::Vector,
            };
            if let Ok(is) = parse(self.scan, &argument.shape)
                && is != wanted
            {
                return self.mismatch(&argument.range, &format!("`{name}` needs"), wanted, is);
            }
        }
        Fault::new(frame.range.clone(), message)
    }

    fn mismatch(&self, range: &Range<usize>, who: &str, wanted: Type, is: Type) -> Fault {
        let written = self.word(range).trim();
        let hint = match (wanted, is) {
            (Type::Range, Type::Vector) if written.ends_with(')') => {
                "add a subquery range such as `[5m:]`".to_owned()
            }
            (Type::Range, Type::Vector) => "add a range such as `[5m]`".to_owned(),
            (Type::Vector, Type::Range) => {
                "remove the range, or put it into `rate(…)` or `avg_over_time(…)`".into()
            }
            (Type::Scalar, Type::Vector) => "write a number, or `scalar(…)` around it".to_owned(),
            (Type::Vector, Type::Scalar) => "write a metric, or `vector(…)` around it".to_owned(),
            (Type::Text, _) => format!("put it in quotes: `\"{written}\"`"),
            _ => format!("here stands {}", wanted.name()),
        };
        Fault::new(range.clone(), format!("{who} {}, this is {}", wanted.name(), is.name())).label(hint)
    }

    /// A part of which only its own operators, ranges and modifiers can be wrong.
    fn argument(&self, argument: &Argument, message: &str) -> Fault {
        let operator = |wanted: &dyn Fn(&str) -> bool| {
            argument.operators.iter().find(|o| wanted(&self.word(o).to_ascii_lowercase())).cloned()
        };
        let comparison = |o: &str| matches!(o, "==" | "!=" | "<" | ">" | "<=" | ">=");
        let set = |o: &str| matches!(o, "and" | "or" | "unless");
        let inside = |r: &&Range<usize>| r.start >= argument.range.start && r.end <= argument.range.end;
        let window = self.scan.windows.iter().find(inside);
        let string = self.scan.strings.iter().map(|s| &s.range).find(inside);
        let says = |part: &str| message.contains(part);
        let at = |range: Option<Range<usize>>| range.unwrap_or_else(|| argument.range.clone());
        if says("must use BOOL") {
            let found = operator(&comparison);
            let sign = found.as_ref().map_or("==", |r| self.word(r)).to_owned();
            return Fault::new(at(found), format!("both sides of `{sign}` are numbers"))
                .label(format!("write `{sign} bool`, or compare a metric"));
        }
        if says("set operator") {
            return Fault::new(at(operator(&set)), "numbers can't be joined as sets")
                .label("`and`, `or` and `unless` stand between vectors");
        }
        if says("no grouping allowed") {
            return Fault::new(at(operator(&set)), "`and`, `or` and `unless` take no group modifier")
                .label("remove `group_left` or `group_right`");
        }
        if says("bool modifier") {
            return Fault::new(at(operator(&|o| !comparison(o))), "`bool` belongs to comparisons")
                .label("remove `bool`");
        }
        if says("vector matching only") {
            return Fault::new(at(operator(&|_| true)), "there is nothing to match: one side is a number")
                .label("remove `on (…)` or `ignoring (…)`");
        }
        if says("ranges only allowed") {
            return Fault::new(at(window.cloned()), "a range stands behind a metric only")
                .label("for an expression write a subquery: `[5m:]`");
        }
        if says("before range") {
            return Fault::new(at(window.cloned()), "`offset` and `@` stand behind the range")
                .label("write `metric[5m] offset 1h`");
        }
        if says("must contain only scalar and instant vector") || says("unary expression") {
            let (range, hint) = match (window, string) {
                (_, Some(string)) => (string.clone(), "a string is no value"),
                (Some(window), _) => (window.clone(), "put the range into a function such as `rate(…)`"),
                _ => (argument.range.clone(), "here stand numbers and instant vectors"),
            };
            return Fault::new(range, "only numbers and instant vectors can be calculated with").label(hint);
        }
        if says("subquery is only allowed") {
            return Fault::new(at(window.cloned()), "a subquery needs an instant vector before it")
                .label("this stands behind something else");
        }
        if says("multiple times") {
            return Fault::new(argument.range.clone(), "`offset` and `@` may each stand once")
                .label("remove one");
        }
        if says("must be preceded") {
            return Fault::new(
                argument.range.clone(),
                "`offset` and `@` belong to a metric, a range or a subquery",
            )
            .label("write it directly behind the metric");
        }
        Fault::new(argument.range.clone(), format!("this is no valid PromQL: {message}"))
    }
}
