//! What can be wrong with expressions, metrics, rules and templates.

use crate::diagnostic::Code;

macro_rules! codes {
    ($($id:ident $title:literal $explain:literal)*) => {
        $(pub static $id: Code = Code { id: stringify!($id), title: $title, explain: $explain };)*
        pub static CODES: &[&Code] = &[$(&$id),*];
    };
}

codes! {
M101 "an expression that is no PromQL"
"Prometheus would refuse to load the rules. The caret stands at the first word that does not
fit, the text beside it says what could stand there.

    expr = \"rate(http_requests_total[5m)\"     the range is not closed
    expr = \"rate(http_requests_total[5m])\""

M102 "an expression whose parts do not fit together"
"Each function and operator of PromQL takes certain types: an instant vector (`metric`), a range
vector (`metric[5m]`), a number or a string.

    expr = \"rate(http_requests_total) > 5\"     rate needs a range
    expr = \"rate(http_requests_total[5m]) > 5\""

M103 "PromQL that the stack's Prometheus does not know yet"
"Functions and notations came with certain versions, and some exist only behind a feature flag.
Write it otherwise, or take a newer Prometheus: `services.prometheus.image`."

M104 "a metric that nothing in the stack exports"
"The expression selects a metric that is in no catalogue of a scraped exporter, that no recording
rule makes and that Prometheus does not make itself. A rule on it would be silent for ever.

Look for a slip of the pen first; `monprov catalog show NAME` lists what an exporter has. If the
exporter is newer than its catalogue, make a new one from the running exporter with
`monprov catalog URL` and name it in the profile: `services.NAME.catalog = \"catalogs/mine.json\"`.
It is an error only where everything that is scraped has a catalogue."

M105 "a label that the metric does not have"
"A matcher, a grouping or a match (`on`) names a label that none of the selected series has: the
exporter does not set it, and the scrape's own labels (`job`, `instance`, `scrapes.NAME.labels`)
don't either. External labels are added when an alert is sent, they are not there in expressions.

    expr = \"celery_queue_length{queue='default'} > 100\"
    expr = \"celery_queue_length{queue_name='default'} > 100\""

M106 "a job or target that is not scraped"
"The expression selects a `job`, an `instance` or another label of targets with a value that no
scrape of the stack has. `up{job=\"celry\"} == 0` never fires when no scrape is called so.
The job is the scrape's name unless `job` says otherwise."

M107 "a threshold beyond the histogram's largest bucket"
"`histogram_quantile` never answers more than the largest finite bucket: whatever is slower falls
into the bucket +Inf. An alert with a threshold at or above it never fires. Give the exporter
larger buckets (danihodovic's Celery exporter: `--buckets 1,10,60,600,1800,3600`)."

M108 "a range too short for how often the metric is scraped"
"`rate`, `increase` and their kin compare the first sample in the range with the last, so there
must be two. A range of four scrape intervals still has them when a scrape fails.

    [scrapes.celery]
    interval = \"30s\"                     then write at least rate(x[2m])"

M109 "a `for` shorter than what decides it"
"Rules are evaluated every `prometheus.evaluation_interval` (or the group's `interval`), and
samples come once per scrape. A `for` below these is rounded up to the next evaluation, or is
decided by a single sample."

M110 "an alert that always fires"
"A series in the result is a firing alert, whatever its value, also 0. Without a comparison the
alert fires as long as the metric exists.

    expr = \"redis_up\"              fires while Redis is up
    expr = \"redis_up == 0\"

`bool` answers 0 or 1 for every series instead of choosing series, so it has no place at the top
of an alert. A dead man's switch is written `vector(1)`."

M111 "an alert that never fires"
"The expression has the same result at all times: nothing."

M112 "a name that Prometheus refuses"
"Metrics are named `[a-zA-Z_:][a-zA-Z0-9_:]*`, labels `[a-zA-Z_][a-zA-Z0-9_]*`. `__name__` can't be
set by a rule. (Prometheus 3 also takes other UTF-8 names.)"

M113 "a rule or group that exists twice"
"Two rules with the same name, expression and labels do the same work twice, and two groups of one
name in a file are refused by Prometheus. Labels tell rules of one name apart."

M114 "rules that contradict each other"
"Two alerts have the same name and the same labels but different expressions: whoever gets the alert
can't tell which of them fired, and Alertmanager treats them as one. Add a label, such as
`severity`, or use another name."

M115 "an alert without a severity"
"Routes, inhibitions and people go by the label `severity`: `severity = \"warning\"`."

M117 "a template that Prometheus refuses"
"Labels and annotations of alerts are Go templates: `{{ $labels.instance }}`, `{{ $value | humanize }}`,
`{{ if gt $value 10.0 }}…{{ end }}`. Prometheus refuses rules whose templates do not parse."

M118 "a template that uses a label which the alert does not have"
"`{{ $labels.queue }}` shows nothing when the expression's result has no label `queue`. Aggregations
keep only the labels of `by`, `absent(…)` has only those that its matchers fix, and the rule's own
`labels` are not in `$labels`."

M119 "a quantile without buckets"
"`histogram_quantile` reads the label `le`. An aggregation below it must keep it:

    histogram_quantile(0.95, sum by (le, name) (rate(celery_task_runtime_bucket[5m])))"

M120 "a catalogue that does not exist"
"`catalog` names a built-in catalogue (`monprov catalog list`) or a file beside the profile, made by
`monprov catalog URL`. Without it, metrics of this exporter can't be checked."
}

/// True for a name that every Prometheus takes for a label.
pub fn is_label_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// True for a name that every Prometheus takes for a metric.
pub fn is_metric_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}
