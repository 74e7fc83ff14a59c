//! From a plugin's pieces to a request. Here, and nowhere else, secrets are put in.
//!
//! Text stays text: it is never searched for anything. A secret stands only where its grant says:
//! in a request to this endpoint, used in this way, in this place.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::endpoint::{Endpoint, MAX_PATH_QUERY};
use super::values::Values;
use crate::plugin::channel::{Atom, Encode, Escape, Mac, Piece, Request};
use crate::profile::settings::{Place, Use};
use crate::render::relay::Grant;

const MAX_BODY: usize = 1 << 20;
const MAX_HEADERS: usize = 32;
const MAX_HEADER_NAME: usize = 64;
const MAX_HEADER_VALUE: usize = 8 << 10;
/// What an HMAC may be made over.
const MAX_MESSAGE: usize = 1 << 20;

/// All that is not unreserved in RFC 3986.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The connection's own headers, those that say where a request goes, and those that make a
/// server or a proxy before it take another path, host or method than the request has.
const FORBIDDEN: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];
const FORBIDDEN_BEGINNINGS: &[&str] = &["proxy-", "x-forwarded-", "x-http-method", "x-method-override"];

/// Encoded, as text.
type Text = Zeroizing<String>;

pub(super) struct Joined<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// What must not come back beside the secrets: MACs, as bytes and as they were sent.
    pub(super) macs: Vec<Zeroizing<Vec<u8>>>,
}

/// Makes the request. `Err`: why it is refused, without a value in it.
pub(super) fn join<'a>(
    request: &Request,
    endpoints: &'a BTreeMap<String, Endpoint>,
    grants: &BTreeMap<String, Grant>,
    values: &Values,
) -> Result<Joined<'a>, String> {
    let Some(endpoint) = endpoints.get(&request.endpoint) else {
        let known: Vec<_> = endpoints.keys().map(|name| format!("`{name}`")).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(format!(
            "it sends to an endpoint `{}` that the channel does not have; it has {known}",
            shown(&request.endpoint)
        ));
    };
    let method = method(&request.method)?;
    let mut joiner = Joiner { endpoint, grants, values, macs: vec![] };
    let uri = joiner.uri(&request.path_query)?;
    let headers = joiner.headers(&request.headers)?;
    let mut body = Zeroizing::new(String::new());
    for piece in &request.body {
        joiner.append(&mut body, piece, Place::Body, MAX_BODY)?;
    }
    let body = Zeroizing::new(std::mem::take(&mut *body).into_bytes());
    Ok(Joined { endpoint, method, uri, headers, body, macs: joiner.macs })
}

fn method(name: &str) -> Result<Method, String> {
    [Method::POST, Method::PUT, Method::PATCH, Method::GET, Method::DELETE]
        .into_iter()
        .find(|method| method.as_str() == name)
        .ok_or_else(|| format!("its method `{}` is none of POST, PUT, PATCH, GET and DELETE", shown(name)))
}

struct Joiner<'a> {
    endpoint: &'a Endpoint,
    grants: &'a BTreeMap<String, Grant>,
    values: &'a Values,
    macs: Vec<Zeroizing<Vec<u8>>>,
}

impl Joiner<'_> {
    fn uri(&mut self, pieces: &[Piece]) -> Result<Uri, String> {
        let mut joined = Zeroizing::new(String::new());
        let mut place = Place::Path;
        for piece in pieces {
            let start = joined.len();
            self.append(&mut joined, piece, place, MAX_PATH_QUERY)?;
            let new = joined.get(start..).unwrap_or_default();
            match piece {
                Piece::Text(_) if new.contains('?') => place = Place::Query,
                Piece::Text(_) => {}
                Piece::Secret(slot) => in_url(new, place).map_err(|what| {
                    format!(
                        "the secret `{}` {what}; the plugin must escape it as a URI component",
                        shown(&slot.name)
                    )
                })?,
                Piece::HmacSha256(_) => in_url(new, place).map_err(|what| {
                    format!("an HMAC {what}; the plugin must escape it as a URI component")
                })?,
            }
        }
        self.endpoint
            .at(&joined)
            .and_then(|url| Uri::try_from(url).map_err(|_| "is no URI".to_owned()))
            .map_err(|what| format!("a request to the endpoint `{}` {what}", self.endpoint.name))
    }

    fn headers(&mut self, all: &[(String, Vec<Piece>)]) -> Result<HeaderMap, String> {
        if all.len() > MAX_HEADERS {
            return Err(format!("it sends {} headers, which is more than {MAX_HEADERS}", all.len()));
        }
        let mut headers = HeaderMap::new();
        for (name, pieces) in all {
            let parsed = header_name(name)?;
            let mut joined = Zeroizing::new(String::new());
            for piece in pieces {
                self.append(&mut joined, piece, Place::Header, MAX_HEADER_VALUE)?;
            }
            let control = || format!("the header `{parsed}` holds a control character");
            if joined.contains(char::is_control) {
                return Err(control());
            }
            let mut value = HeaderValue::from_str(&joined)
                .or_else(|_| HeaderValue::from_bytes(joined.as_bytes()))
                .map_err(|_| control())?;
            value.set_sensitive(true);
            if headers.insert(parsed.clone(), value).is_some() {
                return Err(format!("the header `{parsed}` stands twice"));
            }
        }
        Ok(headers)
    }

    fn append(&mut self, to: &mut Text, piece: &Piece, place: Place, longest: usize) -> Result<(), String> {
        let text;
        let new = match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Secret(slot) => {
                text = escaped(self.granted(&slot.name, Use::Value, place)?, slot.escape);
                text.as_str()
            }
            Piece::HmacSha256(mac) => {
                text = self.mac(mac, place)?;
                text.as_str()
            }
        };
        if to.len() + new.len() > longest {
            return Err(format!("its {} is longer than {longest} bytes", key(place)));
        }
        to.push_str(new);
        Ok(())
    }

    fn mac(&mut self, mac: &Mac, place: Place) -> Result<Text, String> {
        let (key, message) = (self.atoms(&mac.key, place)?, self.atoms(&mac.message, place)?);
        let mut hmac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
            .map_err(|_| "the key of an HMAC can't be used".to_owned())?;
        hmac.update(message.as_bytes());
        let bytes = Zeroizing::new(hmac.finalize().into_bytes().to_vec());
        let encoded = Zeroizing::new(match mac.encode {
            Encode::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Encode::Base64 => base64::engine::general_purpose::STANDARD.encode(&*bytes),
        });
        let sent = escaped(&encoded, mac.escape);
        self.macs.extend([bytes, encoded.as_bytes().to_vec().into(), sent.as_bytes().to_vec().into()]);
        Ok(sent)
    }

    fn atoms(&self, atoms: &[Atom], place: Place) -> Result<Text, String> {
        let mut joined = Zeroizing::new(String::new());
        for atom in atoms {
            let new = match atom {
                Atom::Text(text) => text,
                Atom::Secret(name) => self.granted(name, Use::Hmac, place)?,
            };
            if joined.len() + new.len() > MAX_MESSAGE {
                return Err(format!("the message of an HMAC is longer than {MAX_MESSAGE} bytes"));
            }
            joined.push_str(new);
        }
        Ok(joined)
    }

    /// The value, if a grant allows it here.
    fn granted(&self, name: &str, how: Use, place: Place) -> Result<&str, String> {
        let endpoint = &self.endpoint.name;
        let key = key(place);
        let (action, r#use) = match how {
            Use::Value => ("puts the secret", "value"),
            Use::Hmac => ("puts an HMAC made with the secret", "hmac"),
        };
        let refused = |why: &str| {
            let name = shown(name);
            Err(format!(
                "it {action} `{name}` into the {key} of a request to `{endpoint}`, but {why}; if it may, \
                 write in the channel's plugin: grants.{name} = {{ secret = \"${{secret.…}}\", endpoint = \
                 \"{endpoint}\", use = \"{use}\", place = \"{key}\" }}"
            ))
        };
        let Some(grant) = self.grants.get(name) else {
            return refused("no grant has that name");
        };
        if grant.endpoint != *endpoint {
            return refused(&format!("its grant is for `{}`", grant.endpoint));
        }
        if grant.r#use != how {
            let only = match grant.r#use {
                Use::Value => "as it is, and not in an HMAC",
                Use::Hmac => "in an HMAC only",
            };
            return refused(&format!("its grant is to use it {only}"));
        }
        if !grant.places.contains(&place) {
            let places: Vec<_> = grant.places.iter().map(|place| self::key(*place)).collect();
            return refused(&format!("its grant has the place {}", places.join(", ")));
        }
        match self.values.get(name) {
            Some(secret) => Ok(secret.expose()),
            None => Err(format!("the secret `{}` was not handed to the relay", shown(name))),
        }
    }
}

pub(super) fn escaped(text: &str, escape: Escape) -> Zeroizing<String> {
    Zeroizing::new(match escape {
        Escape::None => text.to_owned(),
        Escape::UriComponent => utf8_percent_encode(text, COMPONENT).to_string(),
        Escape::JsonString => {
            let quoted = Zeroizing::new(serde_json::Value::from(text).to_string());
            let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            inner.unwrap_or_default().to_owned()
        }
    })
}

/// A value can't move the parts of a URL: what it may hold is what the part may hold.
fn in_url(value: &str, place: Place) -> Result<(), &'static str> {
    let unfit = |c: char| !(c.is_ascii_alphanumeric() || "-._~!$&()*+,;=:@/%'?".contains(c));
    if value.contains(unfit) {
        return Err("holds a character that no URL may hold");
    }
    if place == Place::Path && value.contains('?') {
        return Err("holds a `?`, which would end the path");
    }
    Ok(())
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let shown = shown(name);
    if name.len() > MAX_HEADER_NAME {
        return Err(format!("the name of the header `{shown}` is longer than {MAX_HEADER_NAME} bytes"));
    }
    let parsed: HeaderName = name.parse().map_err(|_| format!("`{shown}` is no name of a header"))?;
    // Some servers make no difference between `_` and `-`.
    let known = parsed.as_str().replace('_', "-");
    let forbidden = FORBIDDEN.contains(&known.as_str())
        || FORBIDDEN_BEGINNINGS.iter().any(|beginning| known.starts_with(beginning));
    match forbidden {
        true => Err(format!("the header `{shown}` belongs to the connection; a plugin can't set it")),
        false => Ok(parsed),
    }
}

/// As the profile writes it.
fn key(place: Place) -> &'static str {
    match place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
        Place::Body => "body",
        Place::Receiver => "receiver",
    }
}

/// A name that a plugin made, fit for a message of one line.
fn shown(name: &str) -> String {
    const LONGEST: usize = 80;
    let plain = |c: char| if c.is_control() || c == '`' { '\u{fffd}' } else { c };
    let mut text: String = name.chars().take(LONGEST).map(plain).collect();
    if name.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::channel::Slot;
    use crate::profile::units::Duration;
    use crate::render::relay;
    use crate::secret::Secret;

    /// URL, headers and body.
    type Sent = (String, Vec<(String, String)>, String);

    /// Two endpoints, and a secret for each way to use one.
    fn joined(request: &Request) -> Result<Sent, String> {
        let endpoint = |(name, url): (&str, &str)| {
            let config = relay::Endpoint { url: url.into(), private: false, timeout: Duration::seconds(10) };
            (name.to_owned(), Endpoint::new(name, &config).unwrap())
        };
        let endpoints = [("robot", "https://robot.example/send"), ("other", "https://other.example")]
            .map(endpoint)
            .into();
        let grant = |(name, endpoint, how, places): (&str, &str, Use, &[Place])| {
            let grant = Grant {
                file: format!("ops.grant.{name}"),
                endpoint: endpoint.into(),
                r#use: how,
                places: places.into(),
            };
            (name.to_owned(), grant)
        };
        let anywhere = [Place::Path, Place::Query, Place::Header, Place::Body];
        let grants = [
            ("token", "robot", Use::Value, &[Place::Query][..]),
            ("key", "robot", Use::Hmac, &[Place::Query]),
            ("anywhere", "robot", Use::Value, &anywhere),
            ("odd", "robot", Use::Value, &anywhere),
            ("lines", "robot", Use::Value, &anywhere),
            ("upwards", "robot", Use::Value, &anywhere),
            ("theirs", "other", Use::Value, &anywhere),
            ("later", "robot", Use::Value, &anywhere),
        ];
        let values = [
            ("token", "t0ken-value"),
            ("key", "SEC000"),
            ("anywhere", "plain-secret"),
            ("odd", "a\"b\\c?d&é/"),
            ("lines", "one\r\nX-Evil: two"),
            ("upwards", "../admin"),
            ("theirs", "theirs-value"),
        ];
        let values =
            Values::new(values.map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned()))).into());
        let grants = grants.map(grant).into();
        let joined = join(request, &endpoints, &grants, &values)?;
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), String::from_utf8(value.as_bytes().to_vec()).unwrap())
        };
        let body = String::from_utf8(joined.body.to_vec()).unwrap();
        Ok((joined.uri.to_string(), joined.headers.iter().map(header).collect(), body))
    }

    fn request() -> Request {
        Request {
            key: "1".into(),
            covers: vec![0],
            endpoint: "robot".into(),
            method: "POST".into(),
            path_query: vec![],
            headers: vec![],
            body: vec![],
        }
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn secret(name: &str, escape: Escape) -> Piece {
        Piece::Secret(Slot { name: name.to_owned(), escape })
    }

    fn mac(key: &[Atom], message: &[Atom], encode: Encode, escape: Escape) -> Piece {
        Piece::HmacSha256(Mac { key: key.to_vec(), message: message.to_vec(), encode, escape })
    }

    fn at(path_query: Vec<Piece>) -> Request {
        Request { path_query, ..request() }
    }

    fn header(name: &str, pieces: Vec<Piece>) -> Request {
        Request { headers: vec![(name.to_owned(), pieces)], ..request() }
    }

    fn body(body: Vec<Piece>) -> Request {
        Request { body, ..request() }
    }

    #[test]
    fn pieces_become_one_request() {
        let request = Request {
            path_query: vec![text("/x?token="), secret("token", Escape::None), text("&n=1")],
            headers: vec![
                ("Content-Type".into(), vec![text("application/json")]),
                ("Authorization".into(), vec![text("Bearer "), secret("anywhere", Escape::None)]),
                ("Title".into(), vec![text("告警")]),
            ],
            body: vec![text("{\"s\":\""), secret("odd", Escape::JsonString), text("\"}")],
            ..request()
        };
        let (url, headers, body) = joined(&request).unwrap();
        assert_eq!(url, "https://robot.example/send/x?token=t0ken-value&n=1");
        let header = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let expected = [
            ("content-type", "application/json"),
            ("authorization", "Bearer plain-secret"),
            ("title", "告警"),
        ];
        assert_eq!(headers, expected.map(header));
        assert_eq!(body, r#"{"s":"a\"b\\c?d&é/"}"#);
        let (url, ..) = joined(&at(vec![text("?a="), secret("odd", Escape::UriComponent)])).unwrap();
        assert_eq!(url, "https://robot.example/send?a=a%22b%5Cc%3Fd%26%C3%A9%2F");
    }

    /// Computed by Python's hmac, and RFC 4231's second case.
    #[test]
    fn an_hmac_is_made_over_text_and_secrets() {
        let key = [Atom::Secret("key".into())];
        let message = [Atom::Text("1700000000000\n".into()), Atom::Secret("key".into())];
        let sign = mac(&key, &message, Encode::Base64, Escape::UriComponent);
        let (url, ..) = joined(&at(vec![text("?sign="), sign])).unwrap();
        assert_eq!(url, "https://robot.example/send?sign=ltBBey5eZrWKh1cPzFIdz3v3xpkc4Tjx4lLsPSHqdtA%3D");

        let (jefe, what) = (Atom::Text("Jefe".into()), Atom::Text("what do ya want for nothing?".into()));
        let (.., body) = joined(&body(vec![mac(&[jefe], &[what], Encode::Hex, Escape::None)])).unwrap();
        assert_eq!(body, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn text_is_never_searched_for_a_secret() {
        let all =
            "${secret.token} ${secret.token|url} {{ secret.token }} $token %(token)s [secret token] \u{0}";
        let (.., sent) = joined(&body(vec![text(all)])).unwrap();
        assert_eq!(sent, all);
        // Nor do two texts make one.
        let (.., sent) = joined(&body(vec![text("${secret."), text("token}")])).unwrap();
        assert_eq!(sent, "${secret.token}");
    }

    #[test]
    fn a_secret_stands_only_where_its_grant_allows() {
        let (raw, uri) = (Escape::None, Escape::UriComponent);
        let with = |name: &str| vec![secret(name, raw)];
        let hmac_of = |name: &str| vec![mac(&[Atom::Secret(name.into())], &[], Encode::Hex, raw)];
        let other = |request: Request| Request { endpoint: "other".into(), ..request };
        for (request, why) in [
            (body(with("token")), "into the body of a request to `robot`, but its grant has the place query"),
            (
                header("X-Token", with("token")),
                "into the header of a request to `robot`, but its grant has the",
            ),
            (
                at(vec![text("/"), secret("token", uri)]),
                "into the path of a request to `robot`, but its grant",
            ),
            (
                body(with("unknown")),
                "`unknown` into the body of a request to `robot`, but no grant has that name",
            ),
            (body(with("${secret.other}")), "no grant has that name"),
            (body(with("Token")), "no grant has that name"),
            (body(with("token ")), "no grant has that name"),
            (body(with("../ops.grant.token")), "no grant has that name"),
            (other(body(with("anywhere"))), "of a request to `other`, but its grant is for `robot`"),
            (body(with("theirs")), "of a request to `robot`, but its grant is for `other`"),
            (at([vec![text("?")], with("key")].concat()), "its grant is to use it in an HMAC only"),
            (at([vec![text("?")], hmac_of("token")].concat()), "its grant is to use it as it is, and not in"),
            (body(hmac_of("key")), "an HMAC made with the secret `key` into the body"),
            (
                body(vec![mac(
                    &[Atom::Text("mine".into())],
                    &[Atom::Secret("key".into())],
                    Encode::Hex,
                    raw,
                )]),
                "its grant has the place query",
            ),
            (body(with("later")), "the secret `later` was not handed to the relay"),
        ] {
            let refused = joined(&request).unwrap_err();
            assert!(refused.contains(why), "{refused}\nis not about: {why}");
        }
        assert_eq!(
            joined(&body(with("token"))).unwrap_err(),
            "it puts the secret `token` into the body of a request to `robot`, but its grant has the place query; \
             if it may, write in the channel's plugin: grants.token = { secret = \"${secret.…}\", endpoint = \
             \"robot\", use = \"value\", place = \"body\" }"
        );
    }

    #[test]
    fn a_value_moves_no_part_of_a_request() {
        let (raw, uri) = (Escape::None, Escape::UriComponent);
        for (request, why) in [
            (
                at(vec![text("/"), secret("odd", raw)]),
                "the secret `odd` holds a character that no URL may hold",
            ),
            (at(vec![text("/"), secret("upwards", raw)]), "has a segment `.` or `..`"),
            (at(vec![text("/"), secret("upwards", uri)]), "has a segment `.` or `..`"),
            (at(vec![text("?"), secret("lines", raw)]), "the secret `lines` holds a character that no URL"),
            (header("X-Token", vec![secret("lines", raw)]), "the header `x-token` holds a control character"),
        ] {
            let refused = joined(&request).unwrap_err();
            assert!(refused.contains(why), "{refused}\nis not about: {why}");
            assert!(!refused.contains("admin") && !refused.contains("Evil"), "{refused}");
        }
    }

    #[test]
    fn what_belongs_to_the_connection_is_not_the_plugins() {
        for name in [
            "Host",
            "hOsT",
            "Content-Length",
            "content_length",
            "Transfer-Encoding",
            "Transfer_Encoding",
            "Connection",
            "Upgrade",
            "Expect",
            "TE",
            "Trailer",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Keep-Alive",
            "Accept-Encoding",
            "X-Forwarded-Host",
            "Forwarded",
            "X-Original-URL",
            "X-Rewrite-Url",
            "X-HTTP-Method-Override",
            "HTTP2-Settings",
        ] {
            let refused = joined(&header(name, vec![text("x")])).unwrap_err();
            assert!(refused.contains("belongs to the connection"), "{name}: {refused}");
        }
        for name in ["", "A B", "A:", "A\r\nB", "A\0", "Ä", "A: b\r\nHost", ":authority"] {
            let refused = joined(&header(name, vec![text("x")])).unwrap_err();
            assert!(refused.contains("is no name of a header"), "{name}: {refused}");
            assert!(!refused.contains(char::is_control), "{refused}");
        }
        for value in ["a\r\nHost: evil.example", "a\nb", "a\rb", "a\0b", "a\u{7f}", "a\u{85}b"] {
            let refused = joined(&header("X-A", vec![text(value)])).unwrap_err();
            assert!(refused.contains("holds a control character"), "{value}: {refused}");
        }
        let twice = Request { headers: vec![("X-A".into(), vec![]), ("x-a".into(), vec![])], ..request() };
        assert_eq!(joined(&twice).unwrap_err(), "the header `x-a` stands twice");
    }

    #[test]
    fn other_endpoints_and_methods_are_refused() {
        for method in ["CONNECT", "TRACE", "OPTIONS", "HEAD", "post", "", "POST ", "GET / HTTP/1.1\r\n"] {
            let refused = joined(&Request { method: method.into(), ..request() }).unwrap_err();
            assert!(refused.contains("is none of POST, PUT, PATCH, GET and DELETE"), "{refused}");
        }
        for endpoint in
            ["", "Robot", "robot ", "https://evil.example/", "robot@evil.example", "robot/../other"]
        {
            let refused = joined(&Request { endpoint: endpoint.into(), ..request() }).unwrap_err();
            assert!(refused.contains("that the channel does not have; it has `other`, `robot`"), "{refused}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let long = |bytes: usize| vec![text(&"x".repeat(bytes))];
        assert!(joined(&body(long(MAX_BODY))).is_ok());
        assert!(
            joined(&body([long(MAX_BODY), long(1)].concat())).unwrap_err().contains("its body is longer")
        );
        assert!(
            joined(&header("X-A", long(MAX_HEADER_VALUE + 1))).unwrap_err().contains("its header is longer")
        );
        let path = [vec![text("/")], long(MAX_PATH_QUERY)].concat();
        assert!(joined(&at(path)).unwrap_err().contains("its path is longer"));
        let many = (0..=MAX_HEADERS).map(|n| (format!("X-{n}"), vec![])).collect();
        assert!(joined(&Request { headers: many, ..request() }).unwrap_err().contains("33 headers"));
        let name = "x".repeat(MAX_HEADER_NAME + 1);
        assert!(joined(&header(&name, vec![])).unwrap_err().contains("is longer than 64 bytes"));
        let message = [Atom::Text("x".repeat(MAX_MESSAGE + 1))];
        let huge = body(vec![mac(&[], &message, Encode::Hex, Escape::None)]);
        assert!(joined(&huge).unwrap_err().contains("the message of an HMAC is longer"));
    }
}
