//! WeCom's markdown: headings, bold, links, code, quotes and three colours. It knows no escapes,
//! so what would mean something is written with a character that looks alike.

use monprov_plugin::channel::{Markup, Mood};

pub struct Markdown;

impl Markup for Markdown {
    fn text(&self, plain: &str) -> String {
        let alike = |c| match c {
            '<' => '＜',
            '>' => '＞',
            '*' => '＊',
            '`' => '\'',
            c => c,
        };
        // A bracket is what addresses and matchers have; only with a parenthesis it is a link.
        let text = plain.chars().map(alike).collect::<String>().replace("](", "] (");
        // At the start of a line it would make a heading of it.
        match text.strip_prefix('#') {
            Some(rest) => format!("＃{rest}"),
            None => text,
        }
    }

    fn bold(&self, inner: &str) -> String {
        format!("**{inner}**")
    }

    fn link(&self, label: &str, url: &str) -> String {
        format!("[{label}]({url})")
    }

    fn heading(&self, inner: &str) -> String {
        format!("#### {inner}")
    }

    fn coloured(&self, mood: Mood, inner: &str) -> String {
        let colour = match mood {
            Mood::Critical | Mood::Warning => "warning",
            Mood::Info => "comment",
            Mood::Good => "info",
        };
        format!("<font color=\"{colour}\">{inner}</font>")
    }
}
