//! The markdown of Feishu's cards, in which what means something is escaped as HTML does it:
//! <https://open.feishu.cn/document/common-capabilities/message-card/message-cards-content/using-markdown-tags>.

use monprov_plugin::channel::{Markup, Mood};

pub struct Markdown;

impl Markup for Markdown {
    fn text(&self, plain: &str) -> String {
        let mut escaped = String::with_capacity(plain.len());
        for (index, c) in plain.char_indices() {
            match c {
                // At the start of a line these would make a list or a rule of it.
                '-' | '+' | '=' if index == 0 => escaped.push_str(&format!("&#{};", u32::from(c))),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '&' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '|' | '!' | '"' => {
                    escaped.push_str(&format!("&#{};", u32::from(c)));
                }
                _ => escaped.push(c),
            }
        }
        escaped
    }

    fn bold(&self, inner: &str) -> String {
        format!("**{inner}**")
    }

    fn link(&self, label: &str, url: &str) -> String {
        format!("[{label}]({url})")
    }

    /// The card has the title in its header.
    fn heading(&self, _: &str) -> String {
        String::new()
    }

    fn coloured(&self, mood: Mood, inner: &str) -> String {
        let colour = match mood {
            Mood::Critical | Mood::Warning => "red",
            Mood::Info => "grey",
            Mood::Good => "green",
        };
        format!("<font color='{colour}'>{inner}</font>")
    }

    /// Of the JSON string that it becomes.
    fn size(&self, text: &str) -> usize {
        text.len() + text.matches(['\n', '"', '\\']).count()
    }
}
