//! Ordinary Prometheus rule files, read as strictly as Prometheus reads them.
//!
//! The format is Prometheus' `rulefmt` (model/rulefmt/rulefmt.go): unknown fields and doubled
//! keys are errors. What Prometheus checks beyond the form is left to `check`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use crate::diagnostic::{Code, Finding, Place};
use crate::profile::text::Text;
use crate::profile::units::Duration;

use super::{AlertRule, Group, Rule, RuleKind, Source};

pub static M601: Code = Code {
    id: "M601",
    title: "a rule file that Prometheus would not load",
    explain: "The file is not the YAML that Prometheus expects: a list `groups`, each with a `name` and
`rules`, each with `alert` or `record`, `expr`, and optionally `for`, `keep_firing_for`, `labels` and
`annotations`. Unknown fields and doubled keys are errors for Prometheus too.

    groups:
    - name: host
      rules:
      - alert: DiskFull
        expr: node_filesystem_avail_bytes == 0
        for: 5m",
};

pub static CODES: &[&Code] = &[&M601];

type Field = Option<Spanned<String>>;
type Labels = BTreeMap<String, Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    groups: Option<Vec<Spanned<GroupForm>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupForm {
    name: Spanned<String>,
    interval: Field,
    query_offset: Field,
    limit: Option<u64>,
    #[serde(default)]
    labels: Option<Labels>,
    #[serde(default)]
    rules: Option<Vec<Spanned<RuleForm>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleForm {
    record: Field,
    alert: Field,
    expr: Field,
    r#for: Field,
    keep_firing_for: Field,
    #[serde(default)]
    labels: Option<Labels>,
    #[serde(default)]
    annotations: Option<Labels>,
}

/// The groups of rule files. Names of output files avoid those of `existing` groups.
pub fn groups(files: &[(String, String)], existing: &[Group]) -> (Vec<Group>, Vec<Finding>) {
    let mut taken: Vec<String> = existing.iter().map(|g| g.file.clone()).collect();
    let mut groups = vec![];
    let mut findings = vec![];
    for ((file, text), form) in files.iter().zip(forms(files)) {
        let output = output_name(file, &mut taken);
        let mut reader = Reader { file, text, output: &output, findings: &mut findings };
        groups.extend(reader.read(form));
    }
    (groups, findings)
}

type Form = Result<FileForm, serde_saphyr::Error>;

/// The files as YAML, in their order. Parsing is most of the work, so it is shared out.
fn forms(files: &[(String, String)]) -> Vec<Form> {
    let parse = |(_, text): &(String, String)| {
        serde_saphyr::from_str_with_options(text, serde_saphyr::options! { with_snippet: false })
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    if files.len() < 2 || workers < 2 {
        return files.iter().map(parse).collect();
    }
    let (mine, theirs) = files.split_at(files.len() / workers);
    std::thread::scope(|scope| {
        let size = theirs.len().div_ceil(workers - 1);
        let all = move |part: &[(String, String)]| part.iter().map(parse).collect::<Vec<Form>>();
        let running: Vec<_> =
            theirs.chunks(size).map(|part| (part, scope.spawn(move || all(part)))).collect();
        let mut forms = all(mine);
        for (part, thread) in running {
            // A thread that could not finish is done again here, where its panic belongs.
            forms.extend(thread.join().unwrap_or_else(|_| all(part)));
        }
        forms
    })
}

/// What a rule file is called in the bundle.
pub fn output_name(file: &str, taken: &mut Vec<String>) -> String {
    let stem = file.rsplit('/').next().unwrap_or(file);
    file_name(stem.strip_suffix(".yml").or_else(|| stem.strip_suffix(".yaml")).unwrap_or(stem), taken)
}

/// A file name for rules, not yet taken.
pub fn file_name(name: &str, taken: &mut Vec<String>) -> String {
    let safe: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    let safe = match safe.trim_start_matches('.') {
        "" => "rules",
        safe => safe.get(..safe.len().min(100)).unwrap_or(safe),
    };
    let mut candidate = format!("{safe}.yml");
    let mut n = 2;
    while taken.contains(&candidate) {
        candidate = format!("{safe}-{n}.yml");
        n += 1;
    }
    taken.push(candidate.clone());
    candidate
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    output: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn read(&mut self, form: Form) -> Vec<Group> {
        let form = match form {
            Ok(form) => form,
            Err(error) => {
                let range = error.location().map_or(0..0, |l| self.range(&l));
                let message = error.without_snippet().to_string();
                // The library ends its messages with a position; ours stands before the text.
                let message = message.split(" at line ").next().unwrap_or_default().to_owned();
                self.error(range, format!("not a rule file: {message}"));
                return vec![];
            }
        };
        form.groups.unwrap_or_default().into_iter().map(|g| self.group(g)).collect()
    }

    fn error(&mut self, range: Range<usize>, message: String) {
        self.findings.push(Finding::error(&M601, Place::File { file: self.file.to_owned(), range }, message));
    }

    /// The bytes of a scalar's content where it stands as it is, otherwise of the whole node.
    fn range(&self, location: &Location) -> Range<usize> {
        let span = location.span();
        let start = span.byte_offset().unwrap_or(0) as usize;
        let end = start + span.byte_len().unwrap_or(0) as usize;
        start.min(self.text.len())..end.min(self.text.len())
    }

    fn field(&self, field: &Spanned<String>) -> Range<usize> {
        let range = self.range(&field.referenced);
        let source = self.text.get(range.clone()).unwrap_or_default();
        match source.find(field.value.as_str()) {
            Some(offset) => range.start + offset..range.start + offset + field.value.len(),
            None => range,
        }
    }

    fn group(&mut self, form: Spanned<GroupForm>) -> Group {
        let range = self.field(&form.value.name);
        let form = form.value;
        let mut fields = BTreeMap::from([("name".to_owned(), range.clone())]);
        let interval = self.duration("interval", form.interval, &mut fields);
        let query_offset = self.duration("query_offset", form.query_offset, &mut fields);
        let labels = form.labels.unwrap_or_default();
        for (key, value) in &labels {
            fields.insert(format!("labels.{key}"), self.field(value));
        }
        let rules = form.rules.unwrap_or_default().into_iter().filter_map(|r| self.rule(r)).collect();
        Group {
            name: form.name.value,
            file: self.output.to_owned(),
            interval: interval.filter(|i| i.0 > 0),
            query_offset,
            limit: form.limit.filter(|l| *l > 0),
            labels: labels.into_iter().map(|(k, v)| (k, v.value)).collect(),
            rules,
            source: Source::File { file: self.file.to_owned(), range, fields },
        }
    }

    fn duration(
        &mut self,
        key: &str,
        field: Field,
        fields: &mut BTreeMap<String, Range<usize>>,
    ) -> Option<Duration> {
        let field = field?;
        let range = self.field(&field);
        fields.insert(key.to_owned(), range.clone());
        match field.value.parse() {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.error(range, error);
                None
            }
        }
    }

    fn rule(&mut self, form: Spanned<RuleForm>) -> Option<Rule> {
        let whole = self.range(&form.referenced);
        let form = form.value;
        let mut fields = BTreeMap::new();
        let filled = |field: Field| field.filter(|f| !f.value.is_empty());
        let (record, alert) = (filled(form.record), filled(form.alert));
        let name = match (&record, &alert) {
            (Some(name), None) | (None, Some(name)) => name,
            (Some(_), Some(alert)) => {
                let range = self.field(alert);
                self.error(range, "a rule has both `record` and `alert`".into());
                return None;
            }
            (None, None) => {
                self.error(whole, "a rule has neither `alert` nor `record`".into());
                return None;
            }
        };
        let range = self.field(name);
        let Some(expr) = filled(form.expr) else {
            self.error(range, format!("the rule `{}` has no `expr`", name.value));
            return None;
        };
        fields.insert("expr".to_owned(), self.field(&expr));
        fields.insert(if record.is_some() { "record" } else { "alert" }.to_owned(), range.clone());
        let mut texts = |table: &str, labels: Option<Labels>, reader: &Self| -> BTreeMap<String, Text> {
            let labels = labels.unwrap_or_default().into_iter();
            labels
                .map(|(key, value)| {
                    fields.insert(format!("{table}.{key}"), reader.field(&value));
                    (key, Text::plain(value.value))
                })
                .collect()
        };
        let labels = texts("labels", form.labels, self);
        let annotations = texts("annotations", form.annotations, self);
        let hold = self.duration("for", form.r#for, &mut fields);
        let keep = self.duration("keep_firing_for", form.keep_firing_for, &mut fields);
        let kind = if record.is_some() {
            for key in ["for", "keep_firing_for"] {
                if let Some(range) = fields.get(key).cloned() {
                    self.error(range, format!("a recording rule can't have `{key}`"));
                }
            }
            if !annotations.is_empty() {
                self.error(range.clone(), "a recording rule can't have `annotations`".into());
            }
            RuleKind::Record
        } else {
            RuleKind::Alert(AlertRule {
                threshold: None,
                unit: String::new(),
                r#for: hold.unwrap_or_default(),
                keep_firing_for: keep.unwrap_or_default(),
                annotations,
            })
        };
        Some(Rule {
            kind,
            name: name.value.clone(),
            expr: Text::plain(expr.value),
            labels,
            source: Source::File { file: self.file.to_owned(), range, fields },
        })
    }
}
