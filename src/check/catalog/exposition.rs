//! Reads what an exporter answers: Prometheus' text format 0.0.4 and what OpenMetrics adds.

use std::collections::BTreeMap;
use std::fmt;

use super::{Catalog, Kind, Metric};

/// A line that is no exposition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpositionError {
    pub line: usize,
    pub message: String,
}

impl fmt::Display for ExpositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// The catalogue of one scrape: names, types, labels and buckets, no values.
pub fn from_exposition(text: &str) -> Result<Catalog, ExpositionError> {
    let mut reader = Reader { metrics: BTreeMap::new(), open_metrics: false };
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let read = match line.strip_prefix('#') {
            Some(comment) => reader.comment(comment.trim_start()),
            None if line.is_empty() => Ok(()),
            None => reader.sample(line),
        };
        read.map_err(|message| ExpositionError { line: index + 1, message })?;
    }
    Ok(Catalog { metrics: reader.finish(), ..Catalog::default() })
}

struct Reader {
    metrics: BTreeMap<String, Metric>,
    /// OpenMetrics names a counter's family without `_total`.
    open_metrics: bool,
}

/// Suffixes of samples and the types whose families have them.
const SUFFIXES: [(&str, &[Kind]); 3] = [
    ("_bucket", &[Kind::Histogram]),
    ("_sum", &[Kind::Histogram, Kind::Summary]),
    ("_count", &[Kind::Histogram, Kind::Summary]),
];

impl Reader {
    fn comment(&mut self, comment: &str) -> Result<(), String> {
        if comment == "EOF" {
            self.open_metrics = true;
            return Ok(());
        }
        let mut words = comment.splitn(3, [' ', '\t']);
        let (what, name, rest) = (words.next(), words.next(), words.next().unwrap_or_default().trim());
        match (what, name) {
            (Some("HELP"), Some(name)) => self.family(name).help = short(rest),
            (Some("TYPE"), Some(name)) => {
                let kind = match rest {
                    "counter" => Kind::Counter,
                    "gauge" => Kind::Gauge,
                    "histogram" => Kind::Histogram,
                    "summary" => Kind::Summary,
                    "untyped" | "unknown" => Kind::Untyped,
                    // OpenMetrics: both are gauges that carry labels or a set of states.
                    "info" | "stateset" | "gaugehistogram" => Kind::Gauge,
                    other => return Err(format!("`{other}` is no type of a metric")),
                };
                self.family(name).kind = kind;
            }
            _ => {}
        }
        Ok(())
    }

    fn family(&mut self, name: &str) -> &mut Metric {
        self.metrics.entry(name.to_owned()).or_default()
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let end = line.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if name.is_empty() || !name.chars().all(valid) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("`{}` is no metric: is this the page of an exporter?", short(line)));
        }
        let (labels, rest) = labels(rest)?;
        let value = rest.split_whitespace().next().unwrap_or_default();
        if value.trim_start_matches('+').parse::<f64>().is_err() {
            return Err(format!("`{name}` has no number behind it"));
        }
        let family = SUFFIXES.iter().find_map(|(suffix, kinds)| {
            let family = name.strip_suffix(suffix)?;
            self.metrics.get(family).filter(|m| kinds.contains(&m.kind)).map(|_| family)
        });
        let metric = self.family(family.unwrap_or(name));
        for (label, value) in labels {
            if label == "le" && metric.kind == Kind::Histogram {
                if let Some(bound) = value.parse::<f64>().ok().filter(|b| b.is_finite()) {
                    metric.buckets.push(bound);
                }
            } else if !(label == "quantile" && metric.kind == Kind::Summary) {
                metric.labels.push(label);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> BTreeMap<String, Metric> {
        if self.open_metrics {
            // The sample `x_total` belongs to the family `x`, and PromQL knows the sample.
            let families: Vec<String> = self.metrics.keys().cloned().collect();
            for family in families {
                for suffix in ["_total", "_info"] {
                    let sample = format!("{family}{suffix}");
                    let counts = self.metrics.get(&sample).is_some_and(|m| m.help.is_empty());
                    if counts && let Some(typed) = self.metrics.remove(&family) {
                        let metric = self.family(&sample);
                        metric.kind = typed.kind;
                        metric.help = typed.help;
                    }
                }
            }
        }
        for metric in self.metrics.values_mut() {
            metric.labels.sort();
            metric.labels.dedup();
            metric.buckets.sort_by(f64::total_cmp);
            metric.buckets.dedup();
        }
        self.metrics
    }
}

type Pairs = Vec<(String, String)>;

/// `{a="b",c="d"}` and what stands behind it.
fn labels(text: &str) -> Result<(Pairs, &str), String> {
    let Some(mut rest) = text.strip_prefix('{') else { return Ok((vec![], text)) };
    let mut pairs = vec![];
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(tail) = rest.strip_prefix('}') {
            return Ok((pairs, tail));
        }
        let (name, tail) = rest.split_once('=').ok_or("a label without a value")?;
        let tail = tail.trim_start().strip_prefix('"').ok_or("a label's value without quotes")?;
        let mut value = String::new();
        let mut chars = tail.char_indices();
        let end = loop {
            match chars.next() {
                None => return Err("a label's value without an end".into()),
                Some((index, '"')) => break index + 1,
                Some((_, '\\')) => value.extend(chars.next().map(|(_, c)| c)),
                Some((_, c)) => value.push(c),
            }
        };
        pairs.push((name.trim().to_owned(), value));
        rest = tail.get(end..).unwrap_or_default();
    }
}

/// The first sentence of a help text.
fn short(text: &str) -> String {
    let text = text.replace("\\n", " ").replace("\\\\", "\\");
    let sentence = text.split_once(". ").map_or(text.as_str(), |(first, _)| first);
    sentence.trim_end_matches('.').chars().take(120).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let catalog = from_exposition(text).unwrap();
        catalog
            .metrics
            .iter()
            .map(|(name, m)| format!("{name} {:?} {} {:?} {}", m.kind, m.labels.join(","), m.buckets, m.help))
            .collect()
    }

    #[test]
    fn the_text_format() {
        let text = "# HELP http_requests_total Requests, \\\"all\\\". Since the start.\n\
            # TYPE http_requests_total counter\n\
            http_requests_total{code=\"200\",path=\"/a\\\"},{b\"} 10 1700000000000\n\
            http_requests_total{code=\"500\",} 1e3\n\
            # TYPE latency histogram\n\
            latency_bucket{path=\"/\",le=\"0.5\"} 1\n\
            latency_bucket{path=\"/\",le=\"2.5\"} 1\n\
            latency_bucket{path=\"/\",le=\"+Inf\"} 1\n\
            latency_sum{path=\"/\"} 1\nlatency_count{path=\"/\"} 1\n\
            # TYPE size summary\n\
            size{quantile=\"0.5\"} NaN\nsize_sum 0\nsize_count 0\n\
            # just a remark\n\n\
            untyped -Inf\n";
        assert_eq!(
            lines(text),
            [
                "http_requests_total Counter code,path [] Requests, \\\"all\\\"",
                "latency Histogram path [0.5, 2.5] ",
                "size Summary  [] ",
                "untyped Untyped  [] ",
            ]
        );
    }

    #[test]
    fn open_metrics() {
        let text = "# TYPE jobs counter\n# HELP jobs Jobs\njobs_total{kind=\"a\"} 1.0 # {trace=\"x\"} 1\n\
            jobs_created{kind=\"a\"} 1.7e9\n# TYPE build info\nbuild_info{version=\"1\"} 1\n# EOF\n";
        assert_eq!(
            lines(text),
            [
                "build_info Gauge version [] ",
                "jobs_created Untyped kind [] ",
                "jobs_total Counter kind [] Jobs"
            ]
        );
    }

    #[test]
    fn several_scrapes_are_merged() {
        let mut first = from_exposition("# TYPE a gauge\na{x=\"1\"} 1\n").unwrap();
        first.merge(from_exposition("# TYPE a gauge\na{y=\"1\"} 1\nb 1\n").unwrap());
        assert_eq!(first.metrics["a"].labels, ["x", "y"]);
        assert!(first.metrics.contains_key("b"));
    }

    #[test]
    fn what_is_no_exposition() {
        for (text, line) in [
            ("<html>", 1),
            ("a 1\nb", 2),
            ("a{x=1} 1", 1),
            ("a{x=\"1 1", 1),
            ("# TYPE a thing", 1),
            ("{\"error\": 1}", 1),
        ] {
            assert_eq!(from_exposition(text).unwrap_err().line, line, "{text}");
        }
    }
}
