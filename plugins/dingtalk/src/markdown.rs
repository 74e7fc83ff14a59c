//! DingTalk's markdown.

use monprov_plugin::channel::{Markup, Mood};

pub struct Markdown;

/// Wherever it stands.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'\\' | b'`' | b'*' | b'_' | b'[' | b']' | b'#' | b'~' | b'|' | b'!')
}

impl Markup for Markdown {
    fn text(&self, plain: &str) -> String {
        let special = |byte: u8| matches!(byte, b'<' | b'>') || is_special(byte);
        if !plain.starts_with(['-', '+', '=']) && !plain.bytes().any(special) {
            return plain.to_owned();
        }
        let mut escaped = String::with_capacity(plain.len() + 8);
        for (index, c) in plain.char_indices() {
            match c {
                // At the start of a line these would make a list or a heading of it.
                '-' | '+' | '=' if index == 0 => escaped.extend(['\\', c]),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                _ if u8::try_from(c).is_ok_and(is_special) => escaped.extend(['\\', c]),
                _ => escaped.push(c),
            }
        }
        // Backslashes are not documented by the service; without them this would still be no link.
        escaped.replace("](", "] (")
    }

    fn bold(&self, inner: &str) -> String {
        ["**", inner, "**"].concat()
    }

    fn link(&self, label: &str, url: &str) -> String {
        ["[", label, "](", url, ")"].concat()
    }

    fn heading(&self, inner: &str) -> String {
        ["#### ", inner].concat()
    }

    fn coloured(&self, mood: Mood, inner: &str) -> String {
        let colour = match mood {
            Mood::Critical => "#d93026",
            Mood::Warning => "#e8710a",
            Mood::Info => "#1a73e8",
            Mood::Good => "#188038",
        };
        ["<font color=", colour, ">", inner, "</font>"].concat()
    }

    /// Two spaces on both sides, as the service asks for.
    fn line(&self) -> &'static str {
        "  \n  "
    }

    /// Of the JSON string that it becomes.
    fn size(&self, text: &str) -> usize {
        text.len() + text.bytes().filter(|byte| matches!(byte, b'\n' | b'"' | b'\\')).count()
    }
}
