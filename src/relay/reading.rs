//! A text as it reads once its escapes are decoded, and where each part of it came from.

use std::ops::Range;

/// Named entities of HTML that stand for a character of ASCII.
const ENTITIES: &[(&str, u8)] = &[
    ("amp", b'&'),
    ("apos", b'\''),
    ("ast", b'*'),
    ("bsol", b'\\'),
    ("colon", b':'),
    ("comma", b','),
    ("commat", b'@'),
    ("dollar", b'$'),
    ("equals", b'='),
    ("excl", b'!'),
    ("grave", b'`'),
    ("gt", b'>'),
    ("hat", b'^'),
    ("lbrace", b'{'),
    ("lbrack", b'['),
    ("lcub", b'{'),
    ("lowbar", b'_'),
    ("lpar", b'('),
    ("lsqb", b'['),
    ("lt", b'<'),
    ("midast", b'*'),
    ("newline", b'\n'),
    ("num", b'#'),
    ("percnt", b'%'),
    ("period", b'.'),
    ("plus", b'+'),
    ("quest", b'?'),
    ("quot", b'"'),
    ("rbrace", b'}'),
    ("rbrack", b']'),
    ("rcub", b'}'),
    ("rpar", b')'),
    ("rsqb", b']'),
    ("semi", b';'),
    ("sol", b'/'),
    ("tab", b'\t'),
    ("underbar", b'_'),
    ("verbar", b'|'),
    ("vert", b'|'),
    ("verticalline", b'|'),
];

/// More digits are none of an escape that somebody means.
const MAX_DIGITS: usize = 12;

pub(super) struct Reading {
    text: Vec<u8>,
    /// From where to where each byte came; `None`: each from its own place.
    origins: Option<Vec<(u32, u32)>>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.text);
    }
}

/// A `+` may be a space, so both are the same here.
pub(super) fn fold(byte: u8) -> u8 {
    if byte == b'+' { b' ' } else { byte }
}

/// Whether there is anything that an escape begins with. Most texts have none.
pub(super) fn is_escaped(text: &[u8]) -> bool {
    memchr::memchr3(b'%', b'\\', b'&', text).is_some()
}

impl Reading {
    pub(super) fn new(text: &[u8]) -> Self {
        Reading { text: text.iter().map(|byte| fold(*byte)).collect(), origins: None }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The part of the text as it came that a part of this reading was read from.
    pub(super) fn origin(&self, part: Range<usize>) -> Range<usize> {
        let end = part.end.min(self.text.len());
        let Some(origins) = &self.origins else { return part.start..end };
        let start = origins.get(part.start).map_or(0, |origin| origin.0);
        let end = origins.get(end.saturating_sub(1)).map_or(0, |origin| origin.1);
        start as usize..end as usize
    }

    /// With one layer of escapes less; `None`: there is none.
    pub(super) fn decoded(&self) -> Option<Reading> {
        if !is_escaped(&self.text) {
            return None;
        }
        let mut text = Vec::with_capacity(self.text.len());
        let mut origins = Vec::with_capacity(self.text.len());
        let (mut at, mut changed) = (0, false);
        while let Some(rest) = self.text.get(at..).filter(|rest| !rest.is_empty()) {
            let (decoded, taken) = escape(rest).unwrap_or_else(|| (Decoded::byte(rest.first().copied()), 1));
            changed |= taken > 1;
            let origin = self.origin(at..at + taken);
            let origin = (
                u32::try_from(origin.start).unwrap_or(u32::MAX),
                u32::try_from(origin.end).unwrap_or(u32::MAX),
            );
            for byte in decoded.bytes() {
                text.push(fold(*byte));
                origins.push(origin);
            }
            at += taken;
        }
        let reading = Reading { text, origins: Some(origins) };
        changed.then_some(reading)
    }
}

/// Up to four bytes: a character.
struct Decoded {
    bytes: [u8; 4],
    length: usize,
}

impl Decoded {
    fn byte(byte: Option<u8>) -> Self {
        Decoded { bytes: [byte.unwrap_or_default(), 0, 0, 0], length: 1 }
    }

    fn character(code: u32) -> Option<Self> {
        let character = char::from_u32(code)?;
        let mut bytes = [0; 4];
        let length = character.encode_utf8(&mut bytes).len();
        Some(Decoded { bytes, length })
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// What an escape at the beginning stands for, and its length.
fn escape(text: &[u8]) -> Option<(Decoded, usize)> {
    match text {
        [b'%', b'u' | b'U', ..] => unit(text),
        [b'%', ..] => Some((Decoded::byte(Some(u8::try_from(hex(text.get(1..3)?)?).ok()?)), 3)),
        [b'\\', b'u' | b'U', b'{', rest @ ..] => {
            let digits = rest.iter().take(MAX_DIGITS).position(|byte| *byte == b'}')?;
            Some((Decoded::character(hex(rest.get(..digits)?)?)?, digits + 4))
        }
        [b'\\', b'u' | b'U', ..] => unit(text),
        [b'\\', b'x' | b'X', ..] => Some((Decoded::byte(Some(u8::try_from(hex(text.get(2..4)?)?).ok()?)), 4)),
        [b'\\', c, ..] => {
            let byte = match c {
                b'"' | b'\'' | b'\\' | b'/' => *c,
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                _ => return None,
            };
            Some((Decoded::byte(Some(byte)), 2))
        }
        [b'&', b'#', b'x' | b'X', rest @ ..] => number(rest, 3, 16),
        [b'&', b'#', rest @ ..] => number(rest, 2, 10),
        [b'&', rest @ ..] => {
            const LONGEST: usize = 14;
            let end = rest.iter().take(LONGEST).position(|byte| *byte == b';')?;
            let name = rest.get(..end)?;
            let (_, byte) = ENTITIES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))?;
            Some((Decoded::byte(Some(*byte)), end + 2))
        }
        _ => None,
    }
}

/// `\uXXXX` or `%uXXXX`, and a second of them where the first is half a character.
fn unit(text: &[u8]) -> Option<(Decoded, usize)> {
    let first = hex(text.get(2..6)?)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((Decoded::character(first)?, 6));
    }
    let second = text.get(6..12).filter(|second| second.get(..2).is_some_and(|u| text.starts_with(u)))?;
    let second = hex(second.get(2..)?).filter(|second| (0xdc00..0xe000).contains(second))?;
    Some((Decoded::character(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 12))
}

/// The rest of `&#…;`: browsers take it without its end as well.
fn number(text: &[u8], before: usize, radix: u32) -> Option<(Decoded, usize)> {
    let digits = text.iter().take(MAX_DIGITS).take_while(|byte| char::from(**byte).is_digit(radix)).count();
    let code = u32::from_str_radix(std::str::from_utf8(text.get(..digits)?).ok()?, radix).ok()?;
    let end = usize::from(text.get(digits) == Some(&b';'));
    Some((Decoded::character(code)?, before + digits + end))
}

fn hex(digits: &[u8]) -> Option<u32> {
    let plain = digits.iter().all(u8::is_ascii_hexdigit);
    u32::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| plain)?, 16).ok()
}
