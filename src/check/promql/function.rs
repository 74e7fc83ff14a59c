//! PromQL's functions: their arguments, and which Prometheus has them.

use crate::stack::Version;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Vector,
    Range,
    Scalar,
    Text,
}

impl Type {
    pub(super) fn name(self) -> &'static str {
        match self {
            Type::Vector => "an instant vector",
            Type::Range => "a range vector",
            Type::Scalar => "a number",
            Type::Text => "a string",
        }
    }
}

#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) arguments: &'static [Type],
    /// How many of the last arguments may be left out.
    pub(super) optional: usize,
    /// The last argument may be repeated.
    pub(super) repeats: bool,
    pub(super) since: Version,
    /// From when on it works without a feature flag.
    pub(super) stable: Option<Version>,
}

/// As old as anything that is provisioned today.
const OLD: Version = Version::new(2, 0, 0);

const fn function(name: &'static str, arguments: &'static [Type]) -> Function {
    Function { name, arguments, optional: 0, repeats: false, since: OLD, stable: Some(OLD) }
}

impl Function {
    const fn optional(mut self, count: usize) -> Self {
        self.optional = count;
        self
    }

    const fn repeats(mut self) -> Self {
        self.repeats = true;
        self.optional = 1;
        self
    }

    const fn since(mut self, major: u32, minor: u32) -> Self {
        self.since = Version::new(major, minor, 0);
        self.stable = Some(self.since);
        self
    }

    /// Behind `--enable-feature=promql-experimental-functions` from this version on.
    const fn experimental(mut self, major: u32, minor: u32) -> Self {
        self.since = Version::new(major, minor, 0);
        self.stable = None;
        self
    }

    const fn stable(mut self, major: u32, minor: u32) -> Self {
        self.stable = Some(Version::new(major, minor, 0));
        self
    }

    pub(super) fn argument(&self, index: usize) -> Option<Type> {
        let last = self.arguments.last().filter(|_| self.repeats);
        self.arguments.get(index).or(last).copied()
    }

    pub(super) fn takes(&self, count: usize) -> bool {
        let most = if self.repeats { usize::MAX } else { self.arguments.len() };
        (self.arguments.len() - self.optional..=most).contains(&count)
    }
}

use Type::{Range as R, Scalar as S, Text as T, Vector as V};

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().and_then(|i| FUNCTIONS.get(i))
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|f| f.name)
}

/// Sorted by name. Versions: Prometheus' change log.
static FUNCTIONS: [Function; 85] = [
    function("abs", &[V]),
    function("absent", &[V]),
    function("absent_over_time", &[R]),
    function("acos", &[V]),
    function("acosh", &[V]),
    function("asin", &[V]),
    function("asinh", &[V]),
    function("atan", &[V]),
    function("atanh", &[V]),
    function("avg_over_time", &[R]),
    function("ceil", &[V]),
    function("changes", &[R]),
    function("clamp", &[V, S, S]),
    function("clamp_max", &[V, S]),
    function("clamp_min", &[V, S]),
    function("cos", &[V]),
    function("cosh", &[V]),
    function("count_over_time", &[R]),
    function("day_of_month", &[V]).optional(1),
    function("day_of_week", &[V]).optional(1),
    function("day_of_year", &[V]).optional(1),
    function("days_in_month", &[V]).optional(1),
    function("deg", &[V]),
    function("delta", &[R]),
    function("deriv", &[R]),
    function("double_exponential_smoothing", &[R, S, S]).experimental(3, 0),
    function("exp", &[V]),
    function("first_over_time", &[R]).experimental(3, 7).stable(3, 14),
    function("floor", &[V]),
    function("histogram_avg", &[V]).since(2, 51),
    function("histogram_count", &[V]).since(2, 40),
    function("histogram_fraction", &[S, S, V]).since(2, 40),
    function("histogram_quantile", &[S, V]),
    function("histogram_stddev", &[V]).since(2, 47),
    function("histogram_stdvar", &[V]).since(2, 47),
    function("histogram_sum", &[V]).since(2, 40),
    function("holt_winters", &[R, S, S]),
    function("hour", &[V]).optional(1),
    function("idelta", &[R]),
    function("increase", &[R]),
    function("info", &[V, V]).optional(1).experimental(3, 0),
    function("integral", &[R, S]).optional(1).experimental(3, 16),
    function("irate", &[R]),
    function("label_join", &[V, T, T, T]).repeats(),
    function("label_replace", &[V, T, T, T, T]),
    function("last_over_time", &[R]),
    function("ln", &[V]),
    function("log10", &[V]),
    function("log2", &[V]),
    function("mad_over_time", &[R]).experimental(2, 49),
    function("max_over_time", &[R]),
    function("min_over_time", &[R]),
    function("minute", &[V]).optional(1),
    function("month", &[V]).optional(1),
    function("pi", &[]),
    function("predict_linear", &[R, S]),
    function("present_over_time", &[R]),
    function("quantile_over_time", &[S, R]),
    function("rad", &[V]),
    function("rate", &[R]),
    function("resets", &[R]),
    function("round", &[V, S]).optional(1),
    function("scalar", &[V]),
    function("sgn", &[V]),
    function("sin", &[V]),
    function("sinh", &[V]),
    function("sort", &[V]),
    function("sort_by_label", &[V, T]).repeats().experimental(2, 49),
    function("sort_by_label_desc", &[V, T]).repeats().experimental(2, 49),
    function("sort_desc", &[V]),
    function("sqrt", &[V]),
    function("start_timestamp", &[V]).experimental(3, 14),
    function("stddev_over_time", &[R]),
    function("stdvar_over_time", &[R]),
    function("sum_over_time", &[R]),
    function("tan", &[V]),
    function("tanh", &[V]),
    function("time", &[]),
    function("timestamp", &[V]),
    function("ts_of_first_over_time", &[R]).experimental(3, 7),
    function("ts_of_last_over_time", &[R]).experimental(3, 5),
    function("ts_of_max_over_time", &[R]).experimental(3, 5),
    function("ts_of_min_over_time", &[R]).experimental(3, 5),
    function("vector", &[S]),
    function("year", &[V]).optional(1),
];

#[cfg(test)]
mod tests {
    use promql_parser::parser;

    use super::*;

    #[test]
    fn the_table_is_sorted_and_agrees_with_the_parser() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for function in FUNCTIONS.iter().filter(|f| f.name != "holt_winters") {
            let arguments: Vec<&str> = function
                .arguments
                .iter()
                .map(|t| match t {
                    V => "s0",
                    R => "s0 [5m]",
                    S => "1",
                    T => "\"x\"",
                })
                .collect();
            let call = |count: usize| {
                let written = arguments
                    .iter()
                    .copied()
                    .chain(std::iter::repeat("s0"))
                    .take(count)
                    .collect::<Vec<_>>()
                    .join(", ");
                parser::parse(&format!("{}({written})", function.name))
            };
            let most = arguments.len();
            assert!(call(most).is_ok(), "{}: {:?}", function.name, call(most));
            assert!(call(most - function.optional).is_ok(), "{}", function.name);
            assert_eq!(function.takes(most + 1), function.repeats, "{}", function.name);
            assert!(function.repeats || call(most + 1).is_err(), "{}", function.name);
        }
    }
}
