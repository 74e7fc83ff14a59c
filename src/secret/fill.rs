//! Texts with secrets in them, put together at the last moment.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::{Zeroize as _, Zeroizing};

use super::Secret;
use crate::profile::text::{Filter, Piece, Text};

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The text with its secrets filled in; the name of the first that there is no value for.
pub(super) fn fill<'a>(
    text: &'a Text,
    value: impl Fn(&str) -> Option<&'a Secret>,
) -> Result<Secret, &'a str> {
    let mut filled = Zeroizing::new(String::new());
    for piece in &text.0 {
        match piece {
            Piece::Plain(plain) => push(&mut filled, plain),
            // Only rules have thresholds.
            Piece::Threshold => {}
            Piece::Secret { name, filter } => {
                let secret = value(name).ok_or(name.as_str())?;
                push(&mut filled, &escape(secret.expose(), *filter));
            }
        }
    }
    Ok(Secret(filled))
}

fn escape(value: &str, filter: Filter) -> Zeroizing<String> {
    Zeroizing::new(match filter {
        Filter::None => value.to_owned(),
        Filter::Url => utf8_percent_encode(value, RESERVED).to_string(),
        Filter::Base64 => BASE64.encode(value),
        Filter::Json => {
            let quoted = Zeroizing::new(serde_json::to_string(value).unwrap_or_default());
            let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            inner.unwrap_or_default().to_owned()
        }
    })
}

/// A string that has to grow leaves a copy of itself behind; here it is wiped.
fn push(text: &mut Zeroizing<String>, more: &str) {
    if text.capacity() - text.len() < more.len() {
        let mut wider = String::with_capacity((text.len() + more.len()).next_power_of_two());
        wider.push_str(text);
        text.zeroize();
        *text = Zeroizing::new(wider);
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret(filter: Filter) -> Text {
        let piece = Piece::Secret { name: "s".into(), filter };
        Text(vec![Piece::Plain("<".into()), piece.clone(), Piece::Plain("${secret.s}".into()), piece])
    }

    fn filled(filter: Filter, value: &str) -> String {
        let value = Secret::new(value.to_owned());
        fill(&secret(filter), |name| (name == "s").then_some(&value)).unwrap().expose().to_owned()
    }

    #[test]
    fn filters_escape_and_what_is_filled_in_is_not_searched_again() {
        assert_eq!(filled(Filter::None, "${secret.s}"), "<${secret.s}${secret.s}${secret.s}");
        assert_eq!(filled(Filter::Url, "p@ss/w~rd"), "<p%40ss%2Fw~rd${secret.s}p%40ss%2Fw~rd");
        assert_eq!(filled(Filter::Json, "a\"\\"), "<a\\\"\\\\${secret.s}a\\\"\\\\");
        assert_eq!(filled(Filter::Base64, "user"), "<dXNlcg==${secret.s}dXNlcg==");
    }

    #[test]
    fn a_secret_without_a_value_is_named() {
        assert_eq!(fill(&secret(Filter::None), |_| None).unwrap_err(), "s");
    }

    proptest! {
        #[test]
        fn what_was_escaped_is_read_back(value in any::<String>()) {
            let one = |filter| {
                let value = Secret::new(value.clone());
                let text = Text(vec![Piece::Secret { name: "s".into(), filter }]);
                fill(&text, |_| Some(&value)).unwrap().expose().to_owned()
            };
            let url = one(Filter::Url);
            prop_assert_eq!(percent_encoding::percent_decode_str(&url).decode_utf8().unwrap(), value.as_str());
            let json = format!("\"{}\"", one(Filter::Json));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value.as_str());
            prop_assert_eq!(BASE64.decode(one(Filter::Base64)).unwrap(), value.as_bytes());
        }
    }
}
