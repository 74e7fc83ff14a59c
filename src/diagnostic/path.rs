use std::fmt;

/// The way to a value in the merged profile: `alerts.Down.expr`, `secrets.smtp[1].env`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Path(Vec<String>);

impl Path {
    pub fn root() -> Self {
        Path(vec![])
    }

    pub fn new<const N: usize>(segments: [&str; N]) -> Self {
        Path(segments.iter().map(|s| (*s).to_owned()).collect())
    }

    /// The value of `key` in this table. An array's item is its index.
    #[must_use]
    pub fn join(&self, key: impl ToString) -> Self {
        let mut segments = self.0.clone();
        segments.push(key.to_string());
        Path(segments)
    }

    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn last(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Path(rest.to_vec()))
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Self {
        let mut segments = vec![];
        let mut rest = text;
        while !rest.is_empty() {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            if let Some(quoted) = rest.strip_prefix('"') {
                let (segment, tail) = quoted.split_once('"').unwrap_or((quoted, ""));
                segments.push(segment.to_owned());
                rest = tail;
            } else if let Some(index) = rest.strip_prefix('[') {
                let (segment, tail) = index.split_once(']').unwrap_or((index, ""));
                segments.push(segment.to_owned());
                rest = tail;
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (segment, tail) = rest.split_at(end);
                segments.push(segment.to_owned());
                rest = tail;
            }
        }
        Path(segments)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if i > 0 && segment.bytes().all(|b| b.is_ascii_digit()) {
                write!(f, "[{segment}]")?;
                continue;
            }
            if i > 0 {
                f.write_str(".")?;
            }
            if !segment.is_empty() && segment.chars().all(bare) {
                f.write_str(segment)?;
            } else {
                write!(f, "{segment:?}")?;
            }
        }
        Ok(())
    }
}
