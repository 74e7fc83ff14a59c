//! Takes secrets out of what a service answers, however it writes them.
//!
//! A service may quote a request in an error: escaped for JSON, HTML or a URL, some characters and
//! not others, in layers. So the text is not only searched as it is, but decoded again and again
//! until nothing is left to decode, and each of these readings is searched for the values, also in
//! hexadecimal and in base64. What is found is cut out of the text as it came. All of it takes time
//! in proportion to the text's length.

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use zeroize::Zeroizing;

use super::reading::{self, Reading};

/// What stands in a secret's place: the first that holds none.
const SUBSTITUTES: [&str; 3] = ["[redacted]", "(hidden)", "*****"];

/// A text that holds more layers of escapes is not shown at all.
const MAX_LAYERS: usize = 8;

/// Values that nobody may see.
pub(super) struct Hidden {
    values: Vec<Zeroizing<Vec<u8>>>,
    /// No text that is shorter holds one. Most answers are.
    shortest: usize,
    search: OnceLock<Search>,
}

struct Search {
    /// `None`: they are too many to be looked for.
    automaton: Option<AhoCorasick>,
    /// How far a match reaches, by its pattern.
    margins: Vec<Margin>,
}

/// A base64 digit at either end may hold bits of the value beside others.
#[derive(Debug, Clone, Copy, Default)]
struct Margin {
    before: usize,
    after: usize,
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hidden").field("values", &self.values.len()).finish_non_exhaustive()
    }
}

impl Hidden {
    pub(super) fn new(mut values: Vec<Zeroizing<Vec<u8>>>) -> Self {
        values.retain(|value| !value.is_empty());
        let shortest = values.iter().map(|value| least(value)).min().unwrap_or(usize::MAX);
        Hidden { values, shortest, search: OnceLock::new() }
    }

    /// How much of a text one value can take, however it is written.
    pub(super) fn reach(&self) -> usize {
        const PER_BYTE: usize = 36;
        self.values.iter().map(|value| value.len()).max().unwrap_or_default() * PER_BYTE
    }

    /// Where they stand in one reading of a text; `None`: there is no telling.
    fn find<'a>(&'a self, reading: &'a Reading) -> Option<impl Iterator<Item = Range<usize>> + 'a> {
        let Search { automaton, margins } = self.search.get_or_init(|| Search::of(&self.values));
        let found = automaton.as_ref()?.find_overlapping_iter(reading.text());
        Some(found.map(|found| {
            let margin = margins.get(found.pattern().as_usize());
            let Margin { before, after } = margin.copied().unwrap_or_default();
            reading.origin(found.start().saturating_sub(before)..found.end() + after)
        }))
    }
}

impl Search {
    fn of(values: &[Zeroizing<Vec<u8>>]) -> Self {
        let mut patterns = Patterns::default();
        for value in values {
            patterns.value(value);
        }
        let Patterns { texts, margins } = patterns;
        let mut builder = AhoCorasick::builder();
        // A header's name comes back in small letters. To make a DFA of a value that repeats itself
        // takes the square of its length.
        builder.match_kind(MatchKind::Standard).ascii_case_insensitive(true);
        builder.kind(Some(AhoCorasickKind::ContiguousNFA));
        Search { automaton: builder.build(&texts).ok(), margins }
    }
}

/// How short a value can come back: what is escaped already can come unescaped.
fn least(value: &[u8]) -> usize {
    if !reading::is_escaped(value) {
        return value.len();
    }
    let mut reading = Reading::new(value);
    for _ in 0..MAX_LAYERS {
        let Some(next) = reading.decoded() else { break };
        reading = next;
    }
    reading.text().len()
}

/// The text without what is hidden, and of the text that came no more than `keep` bytes.
/// `None`: there is no telling what it holds.
pub(super) fn redact(hidden: &[&Hidden], text: &[u8], keep: usize) -> Option<Vec<u8>> {
    let Some(edges) = edges(hidden, text)? else { return Some(text.get(..keep).unwrap_or(text).to_vec()) };
    let fits = |text: &&str| matches!(self::edges(hidden, text.as_bytes()), Some(None));
    let substitute = SUBSTITUTES.into_iter().find(fits)?;
    let mut now = cut(text, &edges, keep, substitute);
    // What stood around a secret can be one together with what stands there now.
    for _ in 0..MAX_LAYERS {
        match self::edges(hidden, &now)? {
            None => return Some(now),
            Some(edges) => now = cut(&now, &edges, usize::MAX, substitute),
        }
    }
    None
}

/// By place: how many secrets begin there, less how many end there. `Some(None)`: there is none.
fn edges(hidden: &[&Hidden], text: &[u8]) -> Option<Option<Vec<i32>>> {
    let hidden: Vec<_> = hidden.iter().filter(|hidden| text.len() >= hidden.shortest).collect();
    if hidden.is_empty() {
        return Some(None);
    }
    let mut edges: Option<Vec<i32>> = None;
    let mut reading = Reading::new(text);
    for _ in 0..=MAX_LAYERS {
        for hidden in &hidden {
            for range in hidden.find(&reading)? {
                let edges = edges.get_or_insert_with(|| vec![0; text.len() + 1]);
                for (at, step) in [(range.start, 1), (range.end, -1)] {
                    if let Some(edge) = edges.get_mut(at) {
                        *edge += step;
                    }
                }
            }
        }
        match reading.decoded() {
            Some(next) => reading = next,
            None => return Some(edges),
        }
    }
    None
}

fn cut(text: &[u8], edges: &[i32], keep: usize, substitute: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let (mut depth, mut within) = (0, false);
    for (byte, edge) in text.iter().zip(edges).take(keep) {
        depth += edge;
        match depth {
            0 => out.push(*byte),
            _ if !within => out.extend_from_slice(substitute.as_bytes()),
            _ => {}
        }
        within = depth != 0;
    }
    out
}

#[derive(Default)]
struct Patterns {
    texts: Vec<Zeroizing<Vec<u8>>>,
    margins: Vec<Margin>,
}

impl Patterns {
    fn value(&mut self, value: &[u8]) {
        // As it is, and as it reads once it is decoded like the text.
        let mut reading = Reading::new(value);
        self.add(reading.text().to_vec(), Margin::default());
        for _ in 0..MAX_LAYERS {
            let Some(next) = reading.decoded() else { break };
            reading = next;
            if reading.text().len() >= 4 {
                self.add(reading.text().to_vec(), Margin::default());
            }
        }
        self.add(
            value.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(),
            Margin::default(),
        );
        self.base64(value);
        if let Ok(text) = std::str::from_utf8(value) {
            self.add(text.encode_utf16().flat_map(u16::to_le_bytes).collect(), Margin::default());
            self.add(text.encode_utf16().flat_map(u16::to_be_bytes).collect(), Margin::default());
        }
    }

    /// Within a longer text that is encoded, a value begins at one of three places of a digit group.
    fn base64(&mut self, value: &[u8]) {
        for engine in [STANDARD, URL_SAFE] {
            for offset in 0..3 {
                let mut shifted = Zeroizing::new(vec![0; offset]);
                shifted.extend_from_slice(value);
                let digits = Zeroizing::new(engine.encode(&*shifted));
                // Only digits all of whose bits are the value's own.
                let (first, last) = ((offset * 8).div_ceil(6), shifted.len() * 8 / 6);
                let own = digits.get(first..last).unwrap_or_default();
                let margin = Margin {
                    before: usize::from(offset > 0),
                    after: usize::from(shifted.len() * 8 % 6 != 0),
                };
                self.add(own.as_bytes().iter().map(|byte| reading::fold(*byte)).collect(), margin);
            }
        }
    }

    fn add(&mut self, text: Vec<u8>, margin: Margin) {
        let text = Zeroizing::new(text);
        if !text.is_empty() && !self.texts.contains(&text) {
            self.texts.push(text);
            self.margins.push(margin);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plugin::channel::Escape;
    use crate::relay::join;

    fn hidden(values: &[&str]) -> Hidden {
        Hidden::new(values.iter().map(|value| value.as_bytes().to_vec().into()).collect())
    }

    fn without(values: &[&str], text: &str) -> String {
        let text = redact(&[&hidden(values)], text.as_bytes(), usize::MAX).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn a_text_that_is_too_short_for_a_secret_is_not_searched() {
        let signature = hidden(&["q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA%3D"]);
        let answer = b"{\"errcode\":0,\"errmsg\":\"ok\"}";
        assert_eq!(redact(&[&signature], answer, usize::MAX).unwrap(), answer);
        assert!(signature.search.get().is_none());
        let unescaped = b"q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
        assert_eq!(redact(&[&signature], unescaped, usize::MAX).unwrap(), b"[redacted]");
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        const SECRET: &str = "p@ss/w+rd \"ü\"?";
        for written in [
            "p@ss/w+rd \"ü\"?",
            "P@SS/W+RD \"ü\"?",
            "p%40ss%2Fw%2Brd%20%22%C3%BC%22%3F",
            "p%40ss%2fw%2brd%20%22%c3%bc%22%3f",
            "p%40ss%2Fw%2Brd+%22%C3%BC%22%3F",
            "%70%40%73%73%2F%77%2B%72%64%20%22%C3%BC%22%3F",
            "p%2540ss%252Fw%252Brd%2520%2522%25C3%25BC%2522%253F",
            r#"p@ss/w+rd \"ü\"?"#,
            r#"p@ss\/w+rd \"\u00fc\"?"#,
            r"\u0070\u0040\u0073\u0073\u002F\u0077\u002B\u0072\u0064\u0020\u0022\u00FC\u0022\u003F",
            r"p@ss\x2fw+rd \x22\xfc\x22?".replace(r"\xfc", "ü").as_str(),
            r#"p@ss\\\/w+rd \\\"ü\\\"?"#,
            "p@ss/w+rd &quot;ü&quot;?",
            "p@ss/w+rd &#34;&#252;&#x22;?",
            "p&commat;ss&sol;w&plus;rd&#32;&#0034;&#xfC;&QUOT;&quest;",
            "p@ss/w+rd &amp;quot;ü&amp;quot;?",
            "p%u0040ss%u002fw%u002brd%u0020%u0022%u00fc%u0022%u003f",
            "704073732f772b72642022c3bc223f",
            "704073732F772B72642022C3BC223F",
            "cEBzcy93K3JkICLDvCI/",
            "cEBzcy93K3JkICLDvCI_",
            r"cEBzcy93K3JkICLDvCI\/",
            "cEBzcy93K3JkICLDvCI%2F",
        ] {
            let text = format!("no such token: <{written}>, sorry");
            assert_eq!(without(&[SECRET], &text), "no such token: <[redacted]>, sorry");
        }
        // Behind a user's name, as in `Authorization: Basic`.
        for user in ["a:", "ab:", "abc:"] {
            let digits = STANDARD.encode(format!("{user}{SECRET}"));
            let text = without(&[SECRET], &format!("<{digits}>"));
            let left = text.replace("[redacted]", "");
            assert!(text.contains("[redacted]") && left.len() <= 9, "{text}");
        }
    }

    #[test]
    fn other_text_stays_as_it_is() {
        let text = r#"{"errcode":0,"errmsg":"ok %41 \u0041 &amp; a+b cHJvcGVy 70617373"}"#;
        assert_eq!(without(&["a secret", "hunter22"], text), text);
        assert_eq!(without(&[], text), text);
        assert_eq!(without(&["a secret"], ""), "");
    }

    #[test]
    fn secrets_beside_and_within_each_other_leave_no_rest() {
        assert_eq!(without(&["abcdef", "defghi"], "<abcdefghi>"), "<[redacted]>");
        assert_eq!(without(&["abcdef", "cd"], "<abcdef cd>"), "<[redacted] [redacted]>");
        assert_eq!(without(&["abab"], "<ababab>"), "<[redacted]>");
        assert_eq!(without(&["abcd"], "<abcdabcd>"), "<[redacted]>");
        assert_eq!(without(&["redacted"], "<redacted>"), "<(hidden)>");
    }

    #[test]
    fn no_beginning_of_a_secret_is_left_where_a_text_is_cut() {
        let hidden = hidden(&["0123456789"]);
        for before in 0..20 {
            let text = format!("{}0123456789", ".".repeat(before));
            let kept = redact(&[&hidden], text.as_bytes(), 12).unwrap();
            let kept = String::from_utf8(kept).unwrap();
            assert!(kept.starts_with(&".".repeat(before.min(12))) && !kept.contains('0'), "{kept}");
        }
    }

    #[test]
    fn what_is_escaped_over_and_over_is_not_shown() {
        let text = |layers: usize| format!("%{}73ecret", "25".repeat(layers));
        assert!(redact(&[&hidden(&["secret"])], text(7).as_bytes(), 100).is_some_and(|t| t == b"[redacted]"));
        assert_eq!(redact(&[&hidden(&["secret"])], text(9).as_bytes(), 100), None);
    }

    /// It would take minutes if it took the square.
    #[test]
    fn values_that_repeat_themselves_take_no_longer() {
        let hidden =
            hidden(&["x".repeat(8_000).as_str(), "%25".repeat(2_000).as_str(), "\\".repeat(8_000).as_str()]);
        for text in ["x", "%25", "\\", "&amp;", "%2525", r"\u0078"] {
            let text = text.repeat(400_000 / text.len());
            assert!(redact(&[&hidden], text.as_bytes(), 16 << 10).is_none_or(|kept| kept.len() <= 17 << 10));
        }
    }

    /// How somebody may write a byte or a character.
    fn one(c: char, how: u8) -> String {
        let utf8 = || c.to_string().into_bytes().into_iter();
        match how {
            0 => utf8().map(|byte| format!("%{byte:02X}")).collect(),
            1 => utf8().map(|byte| format!("%{byte:02x}")).collect(),
            2 => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
            3 => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect(),
            4 => format!("&#{};", u32::from(c)),
            5 => format!("&#x{:04x};", u32::from(c)),
            6 => format!("\\u{{{:x}}}", u32::from(c)),
            // Where some characters are escaped with it, it is not left alone either.
            _ if c == '\\' => r"\\".to_owned(),
            _ => c.to_string(),
        }
    }

    fn whole(text: &str, how: u8) -> String {
        let each = |how: u8| text.chars().map(|c| one(c, how)).collect();
        let json = || join::escaped(text, Escape::JsonString).to_string();
        match how {
            0..=5 => each(how),
            6 => json(),
            7 => json().replace('/', "\\/"),
            8 => url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
            9 => percent_encoding::utf8_percent_encode(text, percent_encoding::CONTROLS).to_string(),
            10 => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"),
            11 => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
            12 => STANDARD.encode(text),
            13 => URL_SAFE.encode(text).trim_end_matches('=').to_owned(),
            _ => text.to_owned(),
        }
    }

    proptest! {
        #[test]
        fn no_mixture_of_escapes_survives(
            secret in prop_oneof!["[a-zA-Z0-9_-]{4,40}", "[ -%'-~]{4,30}", "[a-z/+=%\"é你😀]{4,20}"],
            how in prop::collection::vec(0..9_u8, 40),
            (before, after) in ("[<>. ]{0,5}", "[<>. ]{0,5}"),
        ) {
            let written: String = secret.chars().zip(&how).map(|(c, how)| one(c, *how)).collect();
            let text = without(&[&secret], &format!("{before}{written}{after}"));
            prop_assert!(text.contains("[redacted]") && !text.contains(&written), "{text}");
        }

        #[test]
        fn no_two_layers_of_encodings_survive(
            secret in prop_oneof!["[a-zA-Z0-9_-]{4,40}", "[ -~]{4,30}", "[a-z/+=%\"é你😀]{4,20}"],
            (inner, outer) in (0..15_u8, 0..11_u8),
            (before, after) in ("[<>. ]{0,5}", "[<>. ]{0,5}"),
        ) {
            let inner = whole(&format!("{before}{secret}{after}"), inner);
            let text = without(&[&secret], &whole(&inner, outer));
            prop_assert!(text.contains("[redacted]"), "{text}");
            prop_assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{text}");
        }

        #[test]
        fn nothing_makes_it_panic(
            bytes in prop::collection::vec(prop::sample::select(b"%\\u&#x;41dD8cC{}+ab\"/\xff\x00".to_vec()), 0..200),
            secret in prop::collection::vec(any::<u8>(), 0..9),
            keep in 0..200_usize,
        ) {
            let hidden = Hidden::new(vec![secret.into()]);
            let _ = redact(&[&hidden], &bytes, keep);
        }
    }
}
