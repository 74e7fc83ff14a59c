//! Telegram's HTML: <https://core.telegram.org/bots/api#html-style>.

use monprov_plugin::channel::Markup;

pub struct Html;

impl Markup for Html {
    /// What follows an `@` would be told of it, unless something invisible stands between.
    fn text(&self, plain: &str) -> String {
        let escaped = plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        escaped.replace('"', "&quot;").replace('@', "@\u{2060}")
    }

    fn bold(&self, inner: &str) -> String {
        format!("<b>{inner}</b>")
    }

    fn link(&self, label: &str, url: &str) -> String {
        format!("<a href=\"{}\">{label}</a>", url.replace('&', "&amp;"))
    }

    fn heading(&self, inner: &str) -> String {
        self.bold(inner)
    }

    /// The service counts UTF-16, and without the tags, so this is on the safe side.
    fn size(&self, text: &str) -> usize {
        text.encode_utf16().count()
    }
}
