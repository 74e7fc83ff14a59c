//! Go templates, each put to promtool too.

use monprov::check::template::parse;

use super::promtool::{self, DIALECT};

const ACCEPTED: [&str; 44] = [
    "plain text with } and {",
    "{{ $labels.instance }}",
    "{{$labels.instance}} of {{$labels.job}}",
    "{{- $value -}}",
    "{{ $value | humanize }}",
    "{{ $value | printf \"%.2f\" | toUpper }}",
    "{{ printf \"%.2f %s\" $value $labels.job }}",
    "{{ .Labels.instance }} {{ .Value }}",
    "{{ index $labels \"instance\" }}",
    "{{ with $labels.instance }}{{ . }}{{ end }}",
    "{{ with query \"up\" }}{{ . | first | value }}{{ end }}",
    "{{ range query \"up\" }}{{ .Labels.instance }}{{ .Value }}{{ else }}none{{ end }}",
    "{{ range $i, $x := query \"up\" }}{{ $i }} {{ $x.Value }}{{ end }}",
    "{{ if gt $value 10.0 }}high{{ else if lt $value 1.0 }}low{{ else }}fine{{ end }}",
    "{{ if and (gt $value 1.0) (eq $labels.job \"x\") }}x{{ end }}",
    "{{ $x := $value }}{{ $x }}",
    "{{ $x := 1 }}{{ $x = 2 }}{{ $x }}",
    "{{ define \"a\" }}{{ . }}{{ end }}{{ template \"a\" $value }}",
    "{{ block \"a\" . }}x{{ end }}",
    "{{ template \"a\" }}",
    "{{/* a comment */}}x",
    "{{- /* a comment */ -}}x",
    "{{ \"a string\" }}{{ `raw` }}{{ 'c' }}{{ 1 }}{{ -1.5e3 }}{{ 0x1F }}{{ true }}",
    "{{ . }}",
    "{{ $ }}",
    "{{ $.Labels }}",
    "{{ (query \"up\" | first).Labels.instance }}",
    "{{ (index $labels \"a\") | title }}",
    "{{ $externalLabels.cluster }} {{ $externalURL }}",
    "{{ humanizeDuration 3600 }} {{ humanizePercentage 0.5 }} {{ humanize1024 1024.0 }}",
    "{{ reReplaceAll \"a\" \"b\" $labels.job }}",
    "{{ stripPort \"a:1\" }} {{ stripDomain \"a.b\" }} {{ toTime 1.0 }} {{ parseDuration \"1h\" }}",
    "{{ tableLink \"up\" }} {{ graphLink \"up\" }} {{ pathPrefix }} {{ externalURL }}",
    "{{ not true }} {{ or 1 2 }} {{ len \"a\" }} {{ print 1 }} {{ println 1 }} {{ slice \"abc\" 1 }}",
    "{{ html \"a\" }} {{ js \"a\" }} {{ urlquery \"a\" }} {{ safeHtml \"a\" }} {{ call .X }}",
    "{{ args 1 2 }} {{ match \"a\" \"b\" }} {{ toLower \"A\" }} {{ humanizeTimestamp 1.0 }}",
    "{{ range query \"up\" }}{{ break }}{{ continue }}{{ end }}",
    "{{ $value\n| humanize }}",
    "{{ if $labels.a }}{{ if $labels.b }}x{{ end }}{{ end }}",
    "{{ eq nil .X }}",
    "{{ $labels.a.b }}",
    "}}",
    "{ { $x } }",
    "{{ sortByLabel \"a\" (query \"up\") }}{{ strvalue . }}{{ label \"a\" . }}{{ nil }}{{ $value | }}{{ $x = 1 }}",
];

/// What is refused, where (between `»` and `«`), and a part of what is said.
const REFUSED: [(&str, &str); 56] = [
    ("»{{ $labels.instance«", "no end"),
    ("{{ $labels.instance »}«", "unexpected character '}'"),
    ("{{ »$label«.instance }}", "did you mean `$labels`?"),
    ("{{ »$instance« }}", "no variable `$instance`"),
    ("{{ »labels«.instance }}", "write `$labels`"),
    ("{{ value . | »humanise« }}", "did you mean `humanize`?"),
    ("{{ $value | »humanise« }}", "did you mean `humanize`?"),
    ("{{ »foo« }}", "no function `foo`"),
    ("{{»}}«", "the end of the action"),
    ("{{ »}}«", "the end of the action"),
    ("{{ »|« $value }}", "unexpected `|`"),
    ("{{ »if« $value }}x", "no end"),
    ("{{ if »}}«x{{ end }}", "here stands a value"),
    ("x{{ »end« }}", "nothing to end"),
    ("{{ if $value }}x{{ end }}{{ »end« }}", "nothing to end"),
    ("{{ »else« }}", "outside"),
    ("{{ if 1 }}{{ else }}{{ »else« }}{{ end }}", "another `else`"),
    ("{{ »break« }}", "outside of a `range`"),
    ("{{ if 1 }}{{ »continue« }}{{ end }}", "outside of a `range`"),
    ("{{ template »a« }}", "in quotes"),
    ("{{ define »}}«{{ end }}", "in quotes"),
    ("{{ if 1 }}{{ »define« \"a\" }}{{ end }}{{ end }}", "within another block"),
    ("{{ »\"a }}«", "no end"),
    ("{{ »`a }}«", "no end"),
    ("{{ »'a }}«", "no end"),
    ("»{{/* a comment }}«", "no end"),
    ("»{{/* a comment */« x}}", "must end its action"),
    ("{{ ($value }}", "`)` is missing"),
    ("{{ $value »)« }}", "no `(`"),
    ("{{ (»)« }}", "here stands a value"),
    ("{{ $value »#« }}", "unexpected character"),
    ("{{ $x»,« $y := 1 }}", "only `range`"),
    ("{{ 1 | »2« }}", "a value can't take"),
    ("{{ $value | »\"x\"« }}", "a value can't take"),
    ("{{ $value | »true« }}", "a value can't take"),
    ("{{ $value | »nil« }}", "a value can't take"),
    ("{{ »1x« }}", "no number"),
    ("{{ »1.2.3« }}", "no number"),
    ("{{ \"a\"»\"b\"« }}", "blank between values"),
    ("{{ $value »{«{ 1 }}", "can't stand in another"),
    ("{{ with »}}«", "here stands a value"),
    ("{{ 1»=« }}", ""),
    ("{{ »tmpl« \"a\" . }}", "no function `tmpl`"),
    ("{{ if $x := 1 }}{{ end }}{{ »$x« }}", "no variable `$x`"),
    ("{{ range $x := query \"up\" }}{{ end }}{{ »$x« }}", "no variable `$x`"),
    ("{{ define \"a\" }}{{ »$value« }}{{ end }}", "no variable"),
    ("{{ range query \"up\" }}x", "no end"),
    ("{{ range $a, $b, $c := query \"up\" }}{{ end }}", ""),
    ("{{ »now« }}", "since 3.6.0"),
    ("{{ »toDuration« 1.0 }}", "since 3.6.0"),
    ("{{ »urlQueryEscape« \"a\" }}", "since 3"),
    ("{{ $labels.»-« }}", ""),
    ("{{ $labels-foo }}", ""),
    ("{{ $labels.instance$ }}", ""),
    ("{{ true.x }}", ""),
    ("{{ if gt $value 1 }}x{{ else if }}y{{ end }}", "here stands a value"),
];

#[test]
fn what_promtool_accepts_is_accepted() {
    for (template, promtool) in ACCEPTED.iter().zip(promtool::templates(&ACCEPTED)) {
        assert_eq!(promtool, None, "{template}");
        if let Err(fault) = parse(template, DIALECT.version) {
            panic!("{template}: {} at {:?}", fault.message, fault.range);
        }
    }
}

#[test]
fn what_promtool_refuses_is_refused_with_a_place() {
    let plain: Vec<String> = REFUSED.iter().map(|(t, _)| t.replace(['»', '«'], "")).collect();
    let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
    let mut wrong = vec![];
    for (((marked, said), template), promtool) in REFUSED.iter().zip(&plain).zip(promtool::templates(&plain))
    {
        if promtool.is_none() {
            wrong.push(format!("promtool accepts {template}"));
        }
        match parse(template, DIALECT.version) {
            Ok(_) => wrong.push(format!("accepted: {template}; promtool says {promtool:?}")),
            Err(fault) => {
                let range = fault.range.clone();
                let is = format!(
                    "{}»{}«{}",
                    &template[..range.start],
                    &template[range.clone()],
                    &template[range.end..]
                );
                let text = format!("{}: {}", fault.message, fault.label);
                if (marked.contains('»') && is != *marked) || !text.contains(said) {
                    wrong.push(format!("expected {marked} ({said})\n     got {is} ({text})"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hostile_templates_harm_nothing() {
    for template in [
        "{{".repeat(100_000),
        "{{ (".repeat(100_000),
        format!("{{{{ {} 1 {} }}}}", "(".repeat(100_000), ")".repeat(100_000)),
        "{{ if 1 }}".repeat(100_000),
        "{{ if 1 }}{{ else if 1 }}".repeat(50_000),
    ] {
        assert!(parse(&template, DIALECT.version).is_err());
    }
}
