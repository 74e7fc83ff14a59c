//! Time intervals, by the rules of Alertmanager's package `timeinterval`.

use crate::diagnostic::{Code, Finding, Path, Place, nearest};
use crate::stack::{Stack, TimeInterval};

pub(super) static M230: Code = Code {
    id: "M230",
    title: "a time interval that Alertmanager refuses",
    explain: "Times are `HH:MM` up to `24:00`, the end after the start; an interval over midnight is two.\n\
              Weekdays and months are English names, months also 1 to 12; days of the month 1 to 31, or -1 to\n\
              -31 from the end; a range is written `monday:friday` and goes forward.",
};

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

pub(super) fn check(stack: &Stack) -> Vec<Finding> {
    let mut findings = vec![];
    for (name, interval) in &stack.intervals {
        check_interval(&Path::new(["intervals", name]), interval, &mut findings);
    }
    findings
}

fn check_interval(at: &Path, interval: &TimeInterval, findings: &mut Vec<Finding>) {
    let mut report = |path: Path, wrong: Option<String>| {
        if let Some(message) = wrong {
            findings.push(Finding::error(&M230, Place::setting(path), message));
        }
    };
    for (index, range) in interval.times.iter().enumerate() {
        let at = at.join("times").join(index);
        let (from, to) = (minutes(&range.from), minutes(&range.to));
        for (key, text, value) in [("from", &range.from, from), ("to", &range.to, to)] {
            let wrong =
                value.is_none().then(|| format!("`{text}` is no time of day; write `09:00`, up to `24:00`"));
            report(at.join(key), wrong);
        }
        if let (Some(from), Some(to)) = (from, to) {
            let wrong = "the end must be after the start; an interval over midnight is two";
            report(at.join("to"), (from >= to).then(|| wrong.to_owned()));
        }
    }
    for (key, items, check) in [
        ("weekdays", &interval.weekdays, weekdays as fn(&str) -> Option<String>),
        ("days_of_month", &interval.days_of_month, days),
        ("months", &interval.months, months),
        ("years", &interval.years, years),
    ] {
        for (index, text) in items.iter().enumerate() {
            report(at.join(key).join(index), check(text));
        }
    }
    if let Some(location) = &interval.location {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/');
        let odd = location.is_empty() || !location.chars().all(plain) || location.starts_with('/');
        let wrong = || format!("`{location}` is no time zone; write `Asia/Shanghai` or `UTC`");
        report(at.join("location"), odd.then(wrong));
    }
}

fn minutes(text: &str) -> Option<u32> {
    let [h1, h2, b':', m1, m2] = text.as_bytes() else { return None };
    let digit = |b: &u8| b.is_ascii_digit().then(|| u32::from(b - b'0'));
    let (hours, minutes) = (digit(h1)? * 10 + digit(h2)?, digit(m1)? * 10 + digit(m2)?);
    (minutes < 60 && (hours < 24 || (hours == 24 && minutes == 0))).then_some(hours * 60 + minutes)
}

/// Both ends of `a:b`, or twice the one.
fn ends(text: &str) -> (String, String) {
    let text = text.to_lowercase();
    let (from, to) = text.split_once(':').unwrap_or((&text, &text));
    (from.to_owned(), to.to_owned())
}

fn names(text: &str, value: impl Fn(&str) -> Result<i64, String>) -> Option<String> {
    let (from, to) = ends(text);
    match (value(&from), value(&to)) {
        (Err(wrong), _) | (_, Err(wrong)) => Some(wrong),
        (Ok(from), Ok(to)) if from > to => Some(format!("`{text}` goes backwards; write two ranges")),
        _ => None,
    }
}

fn position(word: &str, names: &[&'static str], what: &str) -> Result<i64, String> {
    names.iter().position(|name| *name == word).map(|i| i as i64).ok_or_else(|| {
        let hint = nearest(word, names.iter().copied()).map(|n| format!(", did you mean `{n}`?"));
        format!("`{word}` is no {what}{}", hint.unwrap_or_default())
    })
}

fn weekdays(text: &str) -> Option<String> {
    names(text, |word| position(word, &WEEKDAYS, "day of the week"))
}

fn months(text: &str) -> Option<String> {
    names(text, |word| match word.parse::<i64>() {
        Ok(number @ 1..=12) => Ok(number - 1),
        _ => position(word, &MONTHS, "month"),
    })
}

fn years(text: &str) -> Option<String> {
    names(text, |word| word.parse().map_err(|_| format!("`{word}` is no year")))
}

fn days(text: &str) -> Option<String> {
    let (from, to) = ends(text);
    let day = |word: &str| word.parse::<i64>().ok().filter(|n| *n != 0 && (-31..=31).contains(n));
    let (Some(from), Some(to)) = (day(&from), day(&to)) else {
        return Some(format!("`{text}` is no day of the month; 1 to 31, or -1 to -31 from the end"));
    };
    if from < 0 && to > 0 {
        return Some("a range that begins from the end of the month must end there too".into());
    }
    // The shortest month decides what is always backwards.
    let earliest = |n: i64| if n < 0 { 28 + n } else { n };
    (earliest(from) > earliest(to)).then(|| format!("`{text}` goes backwards"))
}
