//! Secrets that requests use and that the profile does not grant, for whoever tries a channel out.
//! The relay itself looks anew, at each request.

use std::collections::{BTreeMap, BTreeSet};

use super::channel::{Atom, Piece, Request};
use crate::profile::settings::{Place, SecretGrant, Use};

/// A sentence for each use that is not granted, with the grant to write.
pub fn missing(requests: &[Request], grants: &BTreeMap<String, SecretGrant>) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    for request in requests {
        let mut place = Place::Path;
        for piece in &request.path_query {
            look(piece, request, place, grants, &mut missing);
            if matches!(piece, Piece::Text(text) if text.contains('?')) {
                place = Place::Query;
            }
        }
        for piece in request.headers.iter().flat_map(|(_, value)| value) {
            look(piece, request, Place::Header, grants, &mut missing);
        }
        for piece in &request.body {
            look(piece, request, Place::Body, grants, &mut missing);
        }
    }
    missing
}

fn look(
    piece: &Piece,
    request: &Request,
    place: Place,
    grants: &BTreeMap<String, SecretGrant>,
    missing: &mut BTreeSet<String>,
) {
    let secret = |atom| match atom {
        Atom::Secret(name) => Some((name, Use::Hmac)),
        Atom::Text(_) => None,
    };
    let used: Vec<(String, Use)> = match piece {
        Piece::Text(_) => vec![],
        Piece::Secret(slot) => vec![(slot.name.clone(), Use::Value)],
        Piece::HmacSha256(mac) => mac.key.iter().chain(&mac.message).cloned().filter_map(secret).collect(),
    };
    for (name, r#use) in used {
        let endpoint = super::clean(&request.endpoint);
        let granted = grants.get(&name).is_some_and(|grant| {
            grant.endpoint == endpoint && grant.r#use == r#use && grant.place.as_slice().contains(&place)
        });
        if !granted {
            let name = super::clean(&name);
            let (r#use, place) = (word(r#use), word(place));
            missing.insert(format!(
                "the secret `{name}` is not granted so: grants.{name} = {{ secret = \"${{secret.…}}\", endpoint = \"{endpoint}\", use = {use}, place = {place} }}"
            ));
        }
    }
}

/// As a profile writes it.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_string(&value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::channel::{Encode, Escape, Mac, Slot};
    use super::*;
    use crate::profile::settings::OneOrMany;
    use crate::profile::text::Text;

    fn grant(endpoint: &str, r#use: Use, place: Place) -> SecretGrant {
        let secret = Text::plain("");
        SecretGrant { secret, endpoint: endpoint.into(), r#use, place: OneOrMany::One(place) }
    }

    #[test]
    fn a_use_that_is_not_granted_is_said_with_the_grant_to_write() {
        let secret = |name: &str| Piece::Secret(Slot { name: name.into(), escape: Escape::None });
        let sign = Piece::HmacSha256(Mac {
            key: vec![Atom::Secret("sign".into())],
            message: vec![Atom::Text("1\n".into())],
            encode: Encode::Hex,
            escape: Escape::None,
        });
        let request = Request {
            key: "message-1".into(),
            covers: vec![0],
            endpoint: "robot".into(),
            method: "POST".into(),
            path_query: vec![Piece::Text("?token=".into()), secret("token")],
            headers: vec![("X-Sign".into(), vec![sign])],
            body: vec![],
        };
        let granted = BTreeMap::from([
            ("token".to_owned(), grant("robot", Use::Value, Place::Query)),
            ("sign".to_owned(), grant("robot", Use::Hmac, Place::Header)),
        ]);
        assert!(missing(std::slice::from_ref(&request), &granted).is_empty());
        let other = BTreeMap::from([
            ("token".to_owned(), grant("robot", Use::Value, Place::Path)),
            ("sign".to_owned(), grant("robot", Use::Value, Place::Header)),
        ]);
        let said: Vec<String> = missing(&[request], &other).into_iter().collect();
        let [sign, token] = said.as_slice() else { panic!("{said:?}") };
        assert!(sign.ends_with("endpoint = \"robot\", use = \"hmac\", place = \"header\" }"), "{sign}");
        assert!(token.contains("the secret `token`") && token.contains("place = \"query\""), "{token}");
    }
}
