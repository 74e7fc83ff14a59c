//! What a channel's plugin said of answers, so that the same answer is judged once: `judge` is
//! pure, and a service that works says the same to every request.

use std::collections::HashMap;
use std::sync::Mutex;

use super::locked;
use crate::plugin::channel::{Response, Verdict};

/// All that a plugin is asked, besides its settings.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    key: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut: bool,
}

impl Asked {
    pub(super) fn new(key: &str, response: &Response) -> Self {
        let Response { status, headers, body, cut } = response;
        Asked {
            key: key.to_owned(),
            status: *status,
            headers: headers.clone(),
            body: body.clone(),
            cut: *cut,
        }
    }

    fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.len() + headers + self.body.len()
    }
}

/// Answers that are kept, and how large one may be.
const MOST: usize = 64;
const LARGEST: usize = 4 << 10;

#[derive(Debug, Default)]
pub(super) struct Judged(Mutex<HashMap<Asked, Verdict>>);

impl Judged {
    pub(super) fn get(&self, asked: &Asked) -> Option<Verdict> {
        locked(&self.0).get(asked).cloned()
    }

    /// Keeps a verdict. Where every answer is another, all make room for those that follow.
    pub(super) fn keep(&self, asked: Asked, verdict: &Verdict) {
        if asked.size() > LARGEST {
            return;
        }
        let mut known = locked(&self.0);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(asked, verdict.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: impl Into<Vec<u8>>) -> Asked {
        let headers = vec![("content-type".into(), "application/json".into())];
        Asked::new("1", &Response { status: 200, headers, body: body.into(), cut: false })
    }

    #[test]
    fn only_the_very_same_is_known() {
        let judged = Judged::default();
        judged.keep(asked("{}"), &Verdict::Delivered);
        assert!(judged.get(&asked("{}")).is_some());
        assert!(judged.get(&asked("{ }")).is_none());
        for other in [
            Asked { key: "2".into(), ..asked("{}") },
            Asked { status: 201, ..asked("{}") },
            Asked { headers: vec![], ..asked("{}") },
            Asked { cut: true, ..asked("{}") },
        ] {
            assert!(judged.get(&other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn it_is_bounded() {
        let judged = Judged::default();
        for n in 0..10 * MOST {
            judged.keep(asked(n.to_string()), &Verdict::Delivered);
        }
        assert!(locked(&judged.0).len() <= MOST);
        judged.keep(asked(vec![b' '; LARGEST]), &Verdict::Delivered);
        assert!(judged.get(&asked(vec![b' '; LARGEST])).is_none());
    }
}
