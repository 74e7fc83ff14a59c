//! A time of the week, and PromQL that has a value just then.

use crate::settings::{Problems, Times};

const DAY: u32 = 86_400;
/// As PromQL counts them.
const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

pub struct Window {
    /// Local time is so many seconds before UTC.
    offset: i64,
    /// Seconds of the day, from and to; none: the whole day.
    times: Vec<(u32, u32)>,
    /// Whether it holds on that day of the week.
    weekdays: [bool; 7],
    /// Days since 1970, first and last.
    except: Vec<(i64, i64)>,
    also: Vec<(i64, i64)>,
    text: String,
}

impl Window {
    pub fn of(written: &Times, offset: i64, at: &str, problems: &mut Problems) -> Window {
        let mut times = vec![];
        for (n, range) in written.times.iter().enumerate() {
            match (clock(&range.from), clock(&range.to)) {
                (Some(from), Some(to)) if from < to => times.push((from, to)),
                (Some(_), Some(_)) => problems.add(
                    format!("{at}/times/{n}"),
                    "it ends before it begins: past midnight it takes two, to 24:00 and from 00:00",
                ),
                _ => problems.add(format!("{at}/times/{n}"), "times are written 09:00, up to 24:00"),
            }
        }
        let mut weekdays = [written.weekdays.is_empty(); 7];
        for (n, text) in written.weekdays.iter().enumerate() {
            match days_of_week(text) {
                Some(days) => days.into_iter().for_each(|day| weekdays[day] = true),
                None => problems.add(
                    format!("{at}/weekdays/{n}"),
                    format!("`{text}` is neither a day such as monday nor a range such as monday:friday"),
                ),
            }
        }
        let mut dates = |key: &str, list: &[String]| {
            let mut all = vec![];
            for (n, text) in list.iter().enumerate() {
                match days(text) {
                    Some(days) => all.push(days),
                    None => problems.add(
                        format!("{at}/{key}/{n}"),
                        format!(
                            "`{text}` is neither a date such as 2026-12-25 nor a range of two, joined by `:`"
                        ),
                    ),
                }
            }
            all
        };
        let (except, also) = (dates("except", &written.except), dates("also", &written.also));
        if written.times.is_empty() && weekdays == [true; 7] && except.is_empty() {
            problems.add(at, "it is always: write `times` or `weekdays`");
        }
        let mut words = written.weekdays.clone();
        words.extend(written.times.iter().map(|range| format!("{}-{}", range.from, range.to)));
        if words.is_empty() {
            words.push("every day".into());
        }
        for (word, list) in [("except", &written.except), ("also", &written.also)] {
            if !list.is_empty() {
                words.push(format!("{word} {}", list.join(" ")));
            }
        }
        words.push(zone(offset));
        Window { offset, times, weekdays, except, also, text: words.join(" ") }
    }

    /// For people: `monday:friday 09:00-18:00 UTC+8`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// PromQL in brackets: a vector without labels, empty outside of the window.
    pub fn condition(&self) -> String {
        let local = match self.offset {
            0 => "time()".to_owned(),
            ahead @ 1.. => format!("(time() + {ahead})"),
            behind => format!("(time() - {})", -behind),
        };
        let times = any(self.times.iter().map(|(from, to)| {
            let second = format!("vector({local} % {DAY})");
            match (from, to) {
                (0, to) => format!("{second} < {to}"),
                (from, &DAY) => format!("{second} >= {from}"),
                (from, to) => format!("{second} >= {from} < {to}"),
            }
        }));
        let day = format!("day_of_week(vector({local}))");
        let weekdays = match runs(&self.weekdays).as_slice() {
            [(0, 6)] => None,
            runs => any(runs.iter().map(|(first, last)| between(&day, *first as i64, *last as i64))),
        };
        let date = format!("floor(vector({local} / {DAY}))");
        let dates = |list: &[(i64, i64)]| any(list.iter().map(|(first, last)| between(&date, *first, *last)));
        let mut days = weekdays;
        if let Some(except) = dates(&self.except) {
            days = Some(format!("({} unless {except})", days.unwrap_or_else(|| "vector(1)".into())));
        }
        if let (Some(also), Some(own)) = (dates(&self.also), &days) {
            days = Some(format!("({own} or {also})"));
        }
        match (times, days) {
            (Some(times), Some(days)) => format!("({times} and {days})"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => "vector(1)".into(),
        }
    }

    /// Both hold in some minute of the week, dates aside.
    pub fn meets(&self, other: &Window) -> bool {
        let whole = [(0, DAY)];
        let times = |window: &'_ Window| match window.times.is_empty() {
            true => whole.to_vec(),
            false => window.times.clone(),
        };
        let days = self.weekdays.iter().zip(&other.weekdays).any(|(one, two)| *one && *two);
        let theirs = times(other);
        days && times(self)
            .iter()
            .any(|(from, to)| theirs.iter().any(|(start, end)| from < end && start < to))
    }
}

/// PromQL that holds where one of these does, in brackets.
fn any(conditions: impl Iterator<Item = String>) -> Option<String> {
    let all: Vec<String> = conditions.collect();
    (!all.is_empty()).then(|| format!("({})", all.join(" or ")))
}

fn between(what: &str, first: i64, last: i64) -> String {
    if first == last { format!("{what} == {first}") } else { format!("{what} >= {first} <= {last}") }
}

/// First and last of each run of days.
fn runs(days: &[bool; 7]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = vec![];
    for day in (0..7).filter(|day| days[*day]) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == day => *last = day,
            _ => runs.push((day, day)),
        }
    }
    runs
}

/// `monday`, `monday:friday`. Weeks begin on Sunday, as in Alertmanager.
fn days_of_week(text: &str) -> Option<Vec<usize>> {
    let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    match text.split_once(':') {
        None => Some(vec![day(text)?]),
        Some((first, last)) => {
            let (first, last) = (day(first)?, day(last)?);
            (first <= last).then(|| (first..=last).collect())
        }
    }
}

/// `09:00` in seconds, up to `24:00`.
fn clock(text: &str) -> Option<u32> {
    let (hours, minutes) = two_digits(text)?;
    (minutes < 60 && hours * 60 + minutes <= 24 * 60).then_some((hours * 60 + minutes) * 60)
}

fn two_digits(text: &str) -> Option<(u32, u32)> {
    let (left, right) = text.split_once(':')?;
    let number = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    Some((number(left)?, number(right)?))
}

/// `+08:00` in seconds.
pub fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = two_digits(rest)?;
    (hours <= 14 && minutes < 60).then_some(sign * i64::from((hours * 60 + minutes) * 60))
}

fn zone(offset: i64) -> String {
    let minutes = offset.abs() / 60;
    match (offset, minutes % 60) {
        (0, _) => "UTC".into(),
        (_, 0) => format!("UTC{}{}", if offset < 0 { '-' } else { '+' }, minutes / 60),
        (_, rest) => format!("UTC{}{}:{rest:02}", if offset < 0 { '-' } else { '+' }, minutes / 60),
    }
}

/// A date or two as days since 1970.
fn days(text: &str) -> Option<(i64, i64)> {
    match text.split_once(':') {
        None => date(text).map(|day| (day, day)),
        Some((first, last)) => {
            let (first, last) = (date(first)?, date(last)?);
            (first <= last).then_some((first, last))
        }
    }
}

/// `2026-12-25` as days since 1970, by Howard Hinnant's `days_from_civil`.
fn date(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return None };
    if [year.len(), month.len(), day.len()] != [4, 2, 2]
        || !text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
    {
        return None;
    }
    let (year, month, day): (i64, i64, i64) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}
