//! Times for people. A guest has no clock and no table of time zones: the offset is a setting.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::words::Words;

/// Minutes east of UTC; in settings `+08:00` or `Z`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offset(i32);

impl Offset {
    fn parse(text: &str) -> Option<Self> {
        if text == "Z" {
            return Some(Offset(0));
        }
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':')?;
        let number = |text: &str| text.parse::<i32>().ok().filter(|n| text.len() == 2 && *n < 60);
        Some(Offset(sign * (number(hours).filter(|h| *h <= 14)? * 60 + number(minutes)?)))
    }
}

impl std::fmt::Display for Offset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => f.write_str("Z"),
            minutes => {
                let sign = if minutes < 0 { '-' } else { '+' };
                write!(f, "{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
            }
        }
    }
}

impl Serialize for Offset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Offset::parse(&text).ok_or_else(|| serde::de::Error::custom("an offset is `Z` or like `+08:00`"))
    }
}

impl JsonSchema for Offset {
    fn schema_name() -> Cow<'static, str> {
        "Offset".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$" })
    }
}

/// Year, month, day, hour, minute, second. After Howard Hinnant's `civil_from_days`: a crate for
/// it would be one more for every author's plugin to build.
fn civil(ms: f64, offset: Offset) -> (i64, i64, i64, i64, i64, i64) {
    let seconds = (ms / 1000.0).floor() as i64 + i64::from(offset.0) * 60;
    let (days, rest) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    (year, month, day, rest / 3600, rest / 60 % 60, rest % 60)
}

/// `2026-01-02T11:04:05+08:00`
pub fn rfc3339(ms: f64, offset: Offset) -> String {
    let (year, month, day, hour, minute, second) = civil(ms, offset);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{offset}")
}

/// `2026-01-02 11:04:05`
pub fn date_time(ms: f64, offset: Offset) -> String {
    let (year, month, day, hour, minute, second) = civil(ms, offset);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// How long it took, in one or two units: `2 h 5 min`.
pub fn duration(from_ms: f64, to_ms: f64, words: &Words) -> String {
    let seconds = ((to_ms - from_ms) / 1000.0).max(0.0) as u64;
    let [day, hour, minute, second] = words.units;
    let parts = [
        (seconds / 86_400, day),
        (seconds / 3600 % 24, hour),
        (seconds / 60 % 60, minute),
        (seconds % 60, second),
    ];
    let Some(first) = parts.iter().position(|(number, _)| *number > 0) else {
        return format!("0 {second}");
    };
    let shown = parts.iter().skip(first).take(2).filter(|(number, _)| *number > 0);
    shown.map(|(number, unit)| [&number.to_string(), " ", unit].concat()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::words::Language;
    use super::*;

    fn offset(text: &str) -> Offset {
        Offset::parse(text).unwrap()
    }

    #[test]
    fn a_time_is_shown_at_an_offset() {
        let ms = 1_767_323_045_678.0;
        assert_eq!(rfc3339(ms, offset("Z")), "2026-01-02T03:04:05Z");
        assert_eq!(rfc3339(ms, offset("+08:00")), "2026-01-02T11:04:05+08:00");
        assert_eq!(date_time(ms, offset("-03:30")), "2026-01-01 23:34:05");
        assert_eq!(date_time(951_782_400_000.0, offset("Z")), "2000-02-29 00:00:00");
        assert_eq!(date_time(-1.0, offset("Z")), "1969-12-31 23:59:59");
    }

    #[test]
    fn an_offset_is_z_or_hours_and_minutes() {
        for wrong in ["", "8", "+8:00", "+15:00", "08:00", "+08:60", "+08", "UTC", "+é8:00"] {
            assert_eq!(Offset::parse(wrong), None, "{wrong}");
        }
        assert_eq!(offset("+00:00").to_string(), "Z");
    }

    #[test]
    fn a_duration_has_its_two_largest_units() {
        let of = |seconds: f64, language: Language| duration(0.0, seconds * 1000.0, language.words());
        assert_eq!(of(0.0, Language::En), "0 s");
        assert_eq!(of(59.9, Language::En), "59 s");
        assert_eq!(of(720.0, Language::En), "12 min");
        assert_eq!(of(7505.0, Language::En), "2 h 5 min");
        assert_eq!(of(90_061.0, Language::Zh), "1 天 1 小时");
        assert_eq!(of(-5.0, Language::Zh), "0 秒");
    }
}
