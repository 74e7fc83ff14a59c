//! An endpoint of the profile, and the URLs that lie within it.
//!
//! What a plugin gives is put behind the endpoint's URL as it is, and must come out of the parser
//! as it is: whatever would be read in another way by somebody is refused rather than repaired.

use std::time::Duration;

use percent_encoding::percent_decode;
use url::Url;

use super::send::Wrong;
use crate::render::relay;
use crate::stack::endpoint;

/// What a path and a query may be long.
pub(super) const MAX_PATH_QUERY: usize = 16 << 10;

/// Nobody encodes a path so many times.
const MAX_ENCODINGS: usize = 4;

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    url: Url,
    /// Addresses that are not public may be dialled.
    pub(super) private: bool,
    pub(super) timeout: Duration,
}

impl Endpoint {
    pub(super) fn new(name: &str, config: &relay::Endpoint) -> Result<Self, Wrong> {
        let url = endpoint::parse(&config.url, config.private, Some(config.timeout));
        let url = url.map_err(|why| match why {
            endpoint::Wrong::User => Wrong(format!("the endpoint `{name}` {why}")),
            why => Wrong(format!("the endpoint `{name}` ({}) {why}", config.url)),
        })?;
        let timeout = Duration::from_millis(config.timeout.0);
        Ok(Endpoint { name: name.to_owned(), url, private: config.private, timeout })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// As people name it: without its path, which may say something that others need not know.
    pub(super) fn shown(&self) -> String {
        let port = self.url.port_or_known_default().unwrap_or_default();
        format!("`{}` ({}:{port})", self.name, self.url.host_str().unwrap_or_default())
    }

    /// The URL of a request. `Err`: what is wrong with its path and query.
    pub(super) fn at(&self, path_query: &str) -> Result<String, String> {
        if path_query.len() > MAX_PATH_QUERY {
            return Err(format!("is longer than {MAX_PATH_QUERY} bytes"));
        }
        if !matches!(path_query.bytes().next(), None | Some(b'/' | b'?')) {
            return Err("does not begin with `/` or `?`: it is put behind the endpoint's URL".to_owned());
        }
        let (path, query) = path_query.split_once('?').unwrap_or((path_query, ""));
        characters(path, "path", is_path)?;
        // Whoever reads a URL reads these as they are written.
        characters(query, "query", is_query)?;
        let base = self.url.as_str();
        if path.is_empty() {
            return Ok([base, path_query].concat());
        }
        if path.contains("//") {
            return Err("has an empty segment (`//`) in its path".to_owned());
        }
        stays(path)?;
        let mut url = self.url.clone();
        url.set_path(&[self.url.path().trim_end_matches('/'), path].concat());
        let base = base.strip_suffix('/').unwrap_or(base);
        match url.as_str().strip_prefix(base) == Some(path) {
            true => Ok([base, path_query].concat()),
            false => Err("is read in another way than it is written; escape it".to_owned()),
        }
    }
}

/// Only what RFC 3986 has, and each `%` before two hexadecimal digits.
fn characters(text: &str, part: &str, allowed: fn(u8) -> bool) -> Result<(), String> {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let hex = |offset| bytes.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        if *byte == b'%' && !(hex(1) && hex(2)) {
            return Err(format!(
                "has a `%` in its {part} that encodes nothing; escape it as a URI component"
            ));
        }
        if *byte != b'%' && !allowed(*byte) {
            let shown = match byte {
                b'#' => "a fragment (`#`)".to_owned(),
                b'!'..=b'~' => format!("`{}`", char::from(*byte)),
                0..=31 | 127 => "a control character".to_owned(),
                b' ' => "a space".to_owned(),
                128.. => "a character that is not ASCII".to_owned(),
            };
            return Err(format!("has {shown} in its {part}; escape it as a URI component"));
        }
    }
    Ok(())
}

fn is_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)
}

/// The parser escapes a `'` in a query, so that it would not be sent as it was signed.
fn is_query(byte: u8) -> bool {
    byte == b'?' || byte != b'\'' && is_path(byte)
}

/// No segment leads upwards, however often a server or a proxy before it may decode the path.
fn stays(path: &str) -> Result<(), String> {
    let mut now = path.as_bytes().to_vec();
    for _ in 0..=MAX_ENCODINGS {
        let text = std::str::from_utf8(&now).map_err(|_| "has a path that is not UTF-8".to_owned())?;
        if text.contains(char::is_control) {
            return Err("has an encoded control character in its path".to_owned());
        }
        // Characters that some servers take for these.
        let text =
            text.replace(['\\', '∖', '／', '＼', '∕'], "/").replace(['．', '․'], ".").replace('‥', "..");
        // `..;x` is `..` to those that know parameters of segments.
        let names = text.split('/').map(|segment| segment.split(';').next().unwrap_or_default().trim());
        if names.into_iter().any(|name| matches!(name, "." | "..")) {
            return Err("has a segment `.` or `..` in its path".to_owned());
        }
        let decoded: Vec<u8> = percent_decode(&now).collect();
        if decoded == now {
            return Ok(());
        }
        now = decoded;
    }
    Err("has a path that is encoded over and over".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::units;

    fn endpoint(url: &str) -> Result<Endpoint, Wrong> {
        let config =
            relay::Endpoint { url: url.to_owned(), private: false, timeout: units::Duration::seconds(10) };
        Endpoint::new("robot", &config)
    }

    #[track_caller]
    fn refusal(url: &str) -> String {
        endpoint(url).unwrap_err().0
    }

    #[test]
    fn a_path_and_a_query_are_put_behind_the_url() {
        let at = |url: &str, path_query: &str| endpoint(url).unwrap().at(path_query).unwrap();
        assert_eq!(at("https://example.com/robot/send", "?a=b"), "https://example.com/robot/send?a=b");
        assert_eq!(at("https://example.com/robot", "/send?a=b"), "https://example.com/robot/send?a=b");
        assert_eq!(at("https://example.com/robot/", "/send"), "https://example.com/robot/send");
        assert_eq!(at("https://example.com/robot/", ""), "https://example.com/robot/");
        assert_eq!(at("https://example.com", ""), "https://example.com/");
        assert_eq!(at("https://example.com", "?a"), "https://example.com/?a");
        assert_eq!(
            at("https://example.com:8443", "/bot1:A-b_c/sendMessage"),
            "https://example.com:8443/bot1:A-b_c/sendMessage"
        );
        assert_eq!(
            at("https://example.com", "/a%2Fb?x=%0A%E4%BD%A0"),
            "https://example.com/a%2Fb?x=%0A%E4%BD%A0"
        );
    }

    #[test]
    fn a_url_is_a_place_and_nothing_more() {
        assert!(refusal("https://me:pw@example.com/").starts_with("the endpoint `robot` holds a user name"));
        assert!(!refusal("https://me:pw@example.com/").contains("pw"));
        assert!(refusal("https://example.com/?a=b").contains("must end with its path"));
        assert!(refusal("https://example.com/#a").contains("must end with its path"));
        assert!(refusal("ftp://example.com/").contains("must begin with https:// or http://"));
        assert!(refusal("file:///etc/passwd").contains("must begin with https:// or http://"));
        assert!(refusal("https://example.com\\@other.example/").contains("a space or a backslash"));
        assert!(refusal("https:// example.com/").contains("a space or a backslash"));
        assert!(refusal("example.com/").contains("is no URL"));
    }

    #[test]
    fn an_address_is_known_in_every_spelling() {
        for loopback in
            ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.0.0.1.", "①②⑦.1"]
        {
            let refusal = refusal(&format!("http://{loopback}:8080/"));
            assert!(refusal.contains("an address that is loopback"), "{loopback}: {refusal}");
        }
        for (address, kind) in [
            ("0", "unspecified"),
            ("[::1]", "loopback"),
            ("[0:0:0:0:0:ffff:7f00:1]", "loopback"),
            ("[::ffff:169.254.169.254]", "link-local"),
            ("169.254.43518", "link-local"),
            ("[64:ff9b::a00:1]", "private"),
            ("[2002:7f00:1::]", "of a 6to4 tunnel"),
            ("0xa.0x1.0x2.0x3", "private"),
            ("[fd00::1]", "private"),
        ] {
            let refusal = refusal(&format!("http://{address}/"));
            assert!(refusal.contains(&format!("an address that is {kind}")), "{address}: {refusal}");
        }
        assert!(endpoint("http://1.1.1.1/").is_ok());
    }

    /// Whatever else a server does to a path: decode it, again and again, and drop what is between.
    fn leads_upwards(path: &str) -> bool {
        let mut now = path.as_bytes().to_vec();
        loop {
            let text = String::from_utf8_lossy(&now).replace('\\', "/");
            if text.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | ".."))) {
                return true;
            }
            let next: Vec<u8> = percent_decode(&now).collect();
            if next == now {
                return false;
            }
            now = next;
        }
    }

    fn pieces() -> impl Strategy<Value = String> {
        let parts = prop::sample::select(vec![
            "/",
            "//",
            "\\",
            "..",
            ".",
            "%2e",
            "%2E%2e",
            "%252e",
            "%2f",
            "%5c",
            "%255c",
            ";",
            "?",
            "#",
            "@",
            ":",
            "@evil.example",
            "evil.example",
            "%",
            "%00",
            "%0a",
            "\r\n",
            "\t",
            " ",
            "a",
            "b",
            "é",
            "%c0%ae",
            "．",
            "'",
            "\"",
            "&",
            "=",
            "[",
            "]",
            "%e3%80%82",
            "&amp;",
            "http://evil.example/",
            "%u002e",
        ]);
        prop::collection::vec(parts, 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn nothing_leaves_its_endpoint(
            path_query in prop_oneof![pieces(), pieces().prop_map(|p| format!("/{p}")), ".*"],
            base in prop::sample::select(vec![
                "https://example.com", "https://example.com/a", "https://example.com:8443/a/b/", "http://[2606:4700::1]/a",
            ]),
        ) {
            let endpoint = endpoint(base).unwrap();
            if let Ok(sent) = endpoint.at(&path_query) {
                let read = Url::parse(&sent).unwrap();
                prop_assert_eq!(read.as_str(), &sent);
                let own = Url::parse(base).unwrap();
                prop_assert_eq!(read.origin(), own.origin());
                prop_assert!(read.username().is_empty() && read.password().is_none() && read.fragment().is_none());
                let prefix = own.path().trim_end_matches('/');
                let rest = read.path().strip_prefix(prefix).unwrap();
                prop_assert!(rest.is_empty() || rest.starts_with('/'));
                prop_assert!(!leads_upwards(rest), "{rest}");
                // What was given is what is sent.
                prop_assert!(sent.ends_with(&path_query));
            }
        }

        #[test]
        fn plain_paths_pass(path in "(/[a-zA-Z0-9_~-]{1,9}){0,5}", query in "(\\?[a-z]{1,5}=(%[0-9A-F]{2}|[a-z]){0,9})?") {
            let path_query = format!("{path}{query}");
            prop_assert!(endpoint("https://example.com/a").unwrap().at(&path_query).is_ok());
        }
    }
}
