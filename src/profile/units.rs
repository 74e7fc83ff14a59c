//! Quantities as Prometheus and Docker write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time in Prometheus' notation: `90s`, `1h30m`, `2w`, `500ms`. Milliseconds.
///
/// Units go from large to small and each stands once, as in Prometheus' `model.ParseDuration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(pub u64);

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3600 * 1000),
    ("w", 7 * 24 * 3600 * 1000),
    ("d", 24 * 3600 * 1000),
    ("h", 3600 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

impl Duration {
    pub const fn seconds(s: u64) -> Self {
        Duration(s * 1000)
    }

    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }

    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a duration; write `30s`, `5m`, `1h30m`, `2d` or `500ms`");
        if text == "0" {
            return Ok(Duration(0));
        }
        let mut rest = text;
        let mut smallest = 0;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            let index = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
            if index < smallest {
                return Err(wrong());
            }
            smallest = index + 1;
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let scale = UNITS.get(index).map_or(1, |(_, ms)| *ms);
            total = number
                .checked_mul(scale)
                .and_then(|ms| total.checked_add(ms))
                .filter(|ms| *ms <= i64::MAX as u64 / 1_000_000)
                .ok_or_else(|| format!("`{text}` is longer than Prometheus can count (292 years)"))?;
            rest = tail;
        }
        if text.is_empty() { Err(wrong()) } else { Ok(Duration(total)) }
    }
}

/// As Prometheus prints it: years, weeks and days only where nothing is left over.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut ms = self.0;
        for (unit, scale) in UNITS {
            let whole_only = matches!(unit, "y" | "w" | "d");
            if ms < scale || (whole_only && !ms.is_multiple_of(scale)) {
                continue;
            }
            write!(f, "{}{unit}", ms / scale)?;
            ms %= scale;
        }
        Ok(())
    }
}

/// A number of bytes: `128MiB`, `1.5GiB`, `500MB`, `1024`. `K`, `M`, `G` alone are powers of
/// 1024, as in Docker and Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size; write `128MiB`, `1GiB` or `500MB`");
        let end = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, unit) = text.split_at(end);
        let scale: f64 = match unit.trim_start() {
            "" | "B" | "b" => 1.0,
            "KiB" | "K" | "k" => 1024.0,
            "MiB" | "M" | "m" => 1024.0 * 1024.0,
            "GiB" | "G" | "g" => 1024.0 * 1024.0 * 1024.0,
            "TiB" | "T" | "t" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            "KB" | "kB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            "TB" => 1e12,
            _ => return Err(wrong()),
        };
        let bytes = number.parse::<f64>().map_err(|_| wrong())? * scale;
        if bytes < 9e15 { Ok(Bytes(bytes as u64)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// A number that an alert compares with. A percentage is a ratio (`10%` is 0.1), a duration
/// seconds, a size bytes: the base units that Prometheus' metrics are in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold(pub f64);

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(percent) = text.strip_suffix('%')
            && let Ok(n) = percent.trim_end().parse::<f64>()
        {
            // Through the decimal form, so that 7 % is 0.07 and not 0.07000000000000001.
            return format!("{n}e-2").parse().map(Threshold).map_err(|_| text.to_owned());
        }
        if let Ok(n) = text.parse::<f64>() {
            return Ok(Threshold(n));
        }
        if let Ok(duration) = text.parse::<Duration>() {
            return Ok(Threshold(duration.as_secs_f64()));
        }
        text.parse::<Bytes>()
            .map(|bytes| Threshold(bytes.0 as f64))
            .map_err(|_| format!("`{text}` is not a threshold; write `100`, `10%`, `30m` or `512MiB`"))
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Serde and schema by way of the text form. `format` names the parser to the profile's
/// own checks, which run before anything is decoded.
macro_rules! as_text {
    ($type:ident, $schema:tt) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Form {
                    Text(String),
                    Number(f64),
                }
                match Form::deserialize(deserializer)? {
                    Form::Text(text) => text.parse().map_err(serde::de::Error::custom),
                    Form::Number(n) => format!("{n}").parse().map_err(serde::de::Error::custom),
                }
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

as_text!(Duration, { "type": "string", "format": "duration", "description": "A length of time: 30s, 5m, 1h30m, 2d" });
as_text!(Bytes, { "type": "string", "format": "bytes", "description": "A size: 128MiB, 1GiB" });
as_text!(Threshold, { "type": ["number", "string"], "format": "threshold", "description": "A number, or 10%, 30m, 512MiB" });
