//! Requests of typed pieces. A secret is a piece by its name; the host puts it in.

use serde::Serialize;

use super::{Atom, Encode, Escape, Mac, Message, Piece, Request, Slot};

/// Text as it is.
pub fn text(text: impl Into<String>) -> Piece {
    Piece::Text(text.into())
}

/// A secret by the name that the profile grants it under, unescaped.
pub fn secret(name: impl Into<String>) -> Piece {
    Piece::Secret(Slot { name: name.into(), escape: Escape::None })
}

/// HMAC-SHA256 in base64, unescaped; the host makes it.
pub fn hmac_sha256(key: impl Into<Vec<Atom>>, message: impl Into<Vec<Atom>>) -> Piece {
    let (key, message) = (key.into(), message.into());
    Piece::HmacSha256(Mac { key, message, encode: Encode::Base64, escape: Escape::None })
}

/// Text in the key or the message of a MAC.
pub fn atom(text: impl Into<String>) -> Atom {
    Atom::Text(text.into())
}

/// A secret in the key or the message of a MAC.
pub fn secret_atom(name: impl Into<String>) -> Atom {
    Atom::Secret(name.into())
}

impl Piece {
    /// Escaped for a part of a path or a query.
    #[must_use]
    pub fn uri(self) -> Self {
        self.escaped(Escape::UriComponent)
    }

    /// Escaped for the inside of a JSON string.
    #[must_use]
    pub fn json(self) -> Self {
        self.escaped(Escape::JsonString)
    }

    /// A MAC in hexadecimal digits.
    #[must_use]
    pub fn hex(self) -> Self {
        match self {
            Piece::HmacSha256(mac) => Piece::HmacSha256(Mac { encode: Encode::Hex, ..mac }),
            other => other,
        }
    }

    /// Text is escaped here and now, the rest by the host.
    fn escaped(self, escape: Escape) -> Self {
        match self {
            Piece::Text(text) => Piece::Text(match escape {
                Escape::None => text,
                Escape::JsonString => {
                    let quoted = json(&text);
                    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
                }
                Escape::UriComponent => uri_component(&text),
            }),
            Piece::Secret(slot) => Piece::Secret(Slot { escape, ..slot }),
            Piece::HmacSha256(mac) => Piece::HmacSha256(Mac { escape, ..mac }),
        }
    }
}

/// A JSON object with pieces in it, in the order in which its members were put.
#[derive(Debug, Default)]
pub struct Body(Vec<Piece>);

impl Body {
    pub fn new() -> Self {
        Body::default()
    }

    #[must_use]
    pub fn member(mut self, name: &str, value: &impl Serialize) -> Self {
        let start = self.start(name);
        self.0.push(text(start + &json(value)));
        self
    }

    /// A member whose value is a string made of one piece.
    #[must_use]
    pub fn piece(mut self, name: &str, piece: Piece) -> Self {
        let start = self.start(name);
        self.0.extend([text(start + "\""), piece.json(), text("\"")]);
        self
    }

    pub fn into_pieces(mut self) -> Vec<Piece> {
        self.0.push(text(if self.0.is_empty() { "{}" } else { "}" }));
        self.0
    }

    fn start(&self, name: &str) -> String {
        [if self.0.is_empty() { "{" } else { "," }, &json(&name), ":"].concat()
    }
}

pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl Request {
    /// `POST` to an endpoint of the profile, for the events of a message.
    pub fn post(endpoint: &str, message: &Message) -> Self {
        Request {
            key: message.key.clone(),
            covers: message.covers.clone(),
            endpoint: endpoint.to_owned(),
            method: "POST".to_owned(),
            path_query: vec![],
            headers: vec![],
            body: vec![],
        }
    }

    /// What comes behind the endpoint's path: `/send?token=`, piece by piece.
    #[must_use]
    pub fn path_query(mut self, pieces: impl Into<Vec<Piece>>) -> Self {
        self.path_query = pieces.into();
        self
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<Piece>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub fn json(mut self, body: Body) -> Self {
        self.body = body.into_pieces();
        self.header("Content-Type", [text("application/json; charset=utf-8")])
    }
}

/// Percent-encodes all but letters, digits and `-._~`.
pub fn uri_component(text: &str) -> String {
    encoded(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

/// An address that a message may link to: http or https, and nothing in it that ends a link in
/// markdown or an attribute in HTML.
pub(crate) fn web(url: &str) -> Option<String> {
    let plain = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'?' | b'#' | b'@' | b'!' | b'$' | b'&' | b'+' | b','
        | b';' => true,
        b'=' | b'%' => true,
        _ => byte.is_ascii_alphanumeric(),
    };
    let known = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
    known.then(|| encoded(url, plain))
}

fn encoded(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0').to_ascii_uppercase();
    let mut encoded = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !plain(byte)) {
        let (before, other) = rest.split_at(at);
        encoded.push_str(before);
        // Whole characters, since the rest is a text again.
        let length = other.chars().next().map_or(1, char::len_utf8);
        let (character, after) = other.split_at(length);
        for byte in character.bytes() {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
        rest = after;
    }
    encoded.push_str(rest);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_whatever_stands_in_it() {
        let body = Body::new().member("a\"", &"x\n\"").piece("b", text("\"")).piece("c", secret("token"));
        let joined: String = body
            .into_pieces()
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Secret(slot) => {
                    assert_eq!(slot.escape, Escape::JsonString);
                    slot.name
                }
                Piece::HmacSha256(_) => unreachable!(),
            })
            .collect();
        let read: serde_json::Value = serde_json::from_str(&joined).unwrap();
        assert_eq!(read, serde_json::json!({ "a\"": "x\n\"", "b": "\"", "c": "token" }));
        assert_eq!(joined, r#"{"a\"":"x\n\"","b":"\"","c":"token"}"#);
    }

    #[test]
    fn only_addresses_of_the_web_are_linked_to_and_none_ends_its_link() {
        assert_eq!(web("javascript:alert(1)"), None);
        assert_eq!(web("https://a/b)[x](c\"<>\n").as_deref(), Some("https://a/b%29%5Bx%5D%28c%22%3C%3E%0A"));
        assert_eq!(web("http://a/g?g0.expr=up%3D%3D0").as_deref(), Some("http://a/g?g0.expr=up%3D%3D0"));
    }

    #[test]
    fn a_component_is_encoded_byte_by_byte() {
        assert_eq!(uri_component("a b/+=&ü~"), "a%20b%2F%2B%3D%26%C3%BC~");
    }
}
