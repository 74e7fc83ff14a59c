//! The channel of version 1.0, which says the same as that of 1.1 in types of its own.

use super::super::super::call::{Answer, Failed, call, lookup};
use super::super::super::component::Linked;
use super::super::v1_1::channel as new;
use super::super::{Delivery, Returned, ReturnedOne};
use super::bindings::exports::monprov::plugin::channel;
use super::returned;

pub(in super::super) fn receiver(linked: &Linked, settings: &String) -> ReturnedOne<Option<new::Native>> {
    let answer = call(linked, 0, lookup!(channel), |store, guest| guest.call_receiver(store, settings))?;
    Ok(answer.map(|result| result.map(|native| native.map(Into::into)).map_err(Into::into)))
}

pub(in super::super) fn deliver(linked: &Linked, given: Delivery<'_>) -> Returned<new::Request> {
    let group = given.group.clone().into();
    let answer = call(linked, given.group.events.len(), lookup!(channel), |store, guest| {
        guest.call_deliver(store, given.settings, &group, given.now_ms)
    })?;
    Ok(answer.map(returned))
}

#[expect(clippy::ptr_arg, reason = "what the bindings take")]
pub(in super::super) fn judge(
    linked: &Linked,
    settings: &String,
    key: &String,
    response: &new::Response,
) -> Result<Answer<new::Verdict>, Failed> {
    let new::Response { status, headers, body, cut } = response.clone();
    let response = channel::Response { status, headers, body, cut };
    let answer =
        call(linked, 0, lookup!(channel), |store, guest| guest.call_judge(store, settings, key, &response))?;
    Ok(answer.map(|verdict| match verdict {
        channel::Verdict::Delivered => new::Verdict::Delivered,
        channel::Verdict::Retry(after) => new::Verdict::Retry(after),
        channel::Verdict::Rejected(why) => new::Verdict::Rejected(why),
    }))
}

impl From<new::Group> for channel::Group {
    fn from(group: new::Group) -> Self {
        let new::Group { key, receiver, group_labels, common_labels, external_url, truncated, events, extra } =
            group;
        let events = events.into_iter().map(Into::into).collect();
        channel::Group { key, receiver, group_labels, common_labels, external_url, truncated, events, extra }
    }
}

impl From<new::Event> for channel::Event {
    fn from(event: new::Event) -> Self {
        let new::Event { firing, fingerprint, labels, annotations, starts_ms, ends_ms, link } = event;
        channel::Event { firing, fingerprint, labels, annotations, starts_ms, ends_ms, link }
    }
}

impl From<channel::Native> for new::Native {
    fn from(native: channel::Native) -> Self {
        let channel::Native { kind, config } = native;
        new::Native { kind, config }
    }
}

impl From<channel::Request> for new::Request {
    fn from(request: channel::Request) -> Self {
        let channel::Request { key, covers, endpoint, method, path_query, headers, body } = request;
        let header = |(name, value)| (name, pieces(value));
        new::Request {
            key,
            covers,
            endpoint,
            method,
            path_query: pieces(path_query),
            headers: headers.into_iter().map(header).collect(),
            body: pieces(body),
        }
    }
}

fn pieces(all: Vec<channel::Piece>) -> Vec<new::Piece> {
    all.into_iter().map(Into::into).collect()
}

impl From<channel::Piece> for new::Piece {
    fn from(piece: channel::Piece) -> Self {
        match piece {
            channel::Piece::Text(text) => new::Piece::Text(text),
            channel::Piece::Secret(channel::Slot { name, escape }) => {
                new::Piece::Secret(new::Slot { name, escape: escape.into() })
            }
            channel::Piece::HmacSha256(channel::Mac { key, message, encode, escape }) => {
                new::Piece::HmacSha256(new::Mac {
                    key: key.into_iter().map(Into::into).collect(),
                    message: message.into_iter().map(Into::into).collect(),
                    encode: match encode {
                        channel::Encode::Hex => new::Encode::Hex,
                        channel::Encode::Base64 => new::Encode::Base64,
                    },
                    escape: escape.into(),
                })
            }
        }
    }
}

impl From<channel::Atom> for new::Atom {
    fn from(atom: channel::Atom) -> Self {
        match atom {
            channel::Atom::Text(text) => new::Atom::Text(text),
            channel::Atom::Secret(name) => new::Atom::Secret(name),
        }
    }
}

impl From<channel::Escape> for new::Escape {
    fn from(escape: channel::Escape) -> Self {
        match escape {
            channel::Escape::None => new::Escape::None,
            channel::Escape::JsonString => new::Escape::JsonString,
            channel::Escape::UriComponent => new::Escape::UriComponent,
        }
    }
}
