//! What a channel's plugin said of answers, so that the same answer is judged once: `judge` is
//! pure, and a service that works says the same to every request.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::locked;
use crate::plugin::channel::{Response, Verdict};

/// All that a plugin is asked, besides its settings.
#[derive(Debug)]
pub(super) struct Asked {
    key: String,
    response: Response,
}

impl Asked {
    pub(super) fn new(key: &str, response: &Response) -> Self {
        Asked { key: key.to_owned(), response: response.clone() }
    }

    fn size(&self) -> usize {
        let headers = self.response.headers.iter().map(|(name, value)| name.len() + value.len());
        self.key.len() + headers.sum::<usize>() + self.response.body.len()
    }
}

/// Answers that are kept, and how large one may be.
const MOST: usize = 64;
const LARGEST: usize = 4 << 10;

/// The newest first: it is what a service says now.
#[derive(Debug, Default)]
pub(super) struct Judged(Mutex<VecDeque<(Asked, Verdict)>>);

impl Judged {
    pub(super) fn get(&self, key: &str, response: &Response) -> Option<Verdict> {
        let known = locked(&self.0);
        let same = |(asked, _): &&(Asked, Verdict)| asked.key == key && asked.response == *response;
        known.iter().find(same).map(|(_, verdict)| verdict.clone())
    }

    pub(super) fn keep(&self, asked: Asked, verdict: &Verdict) {
        if asked.size() > LARGEST {
            return;
        }
        let mut known = locked(&self.0);
        known.truncate(MOST - 1);
        known.push_front((asked, verdict.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(body: impl Into<Vec<u8>>) -> Response {
        let headers = vec![("content-type".into(), "application/json".into())];
        Response { status: 200, headers, body: body.into(), cut: false }
    }

    #[test]
    fn only_the_very_same_is_known() {
        let judged = Judged::default();
        judged.keep(Asked::new("1", &response("{}")), &Verdict::Delivered);
        assert!(judged.get("1", &response("{}")).is_some());
        assert!(judged.get("2", &response("{}")).is_none());
        for other in [
            response("{ }"),
            Response { status: 201, ..response("{}") },
            Response { headers: vec![], ..response("{}") },
            Response { cut: true, ..response("{}") },
        ] {
            assert!(judged.get("1", &other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn it_is_bounded_and_the_newest_stay() {
        let judged = Judged::default();
        let keep = |body: String| judged.keep(Asked::new("1", &response(body)), &Verdict::Delivered);
        (0..10 * MOST).for_each(|n| keep(n.to_string()));
        assert_eq!(locked(&judged.0).len(), MOST);
        assert!(judged.get("1", &response((10 * MOST - 1).to_string())).is_some());
        keep(" ".repeat(LARGEST));
        assert!(judged.get("1", &response(" ".repeat(LARGEST))).is_none());
    }
}
