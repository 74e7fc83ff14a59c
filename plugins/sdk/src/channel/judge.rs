//! From a response to a verdict.

use serde_json::Value as Json;

use super::message::one_line;
use super::{Response, Verdict};

/// How a service that answers errors with HTTP 200 says so.
#[derive(Debug, Clone, Copy)]
pub struct Codes<'a> {
    /// The member with the code; 0 is good.
    pub code: &'a str,
    /// The member that says why.
    pub message: &'a str,
    /// Codes that may pass later, and the seconds to wait.
    pub passing: &'a [(i64, Option<f64>)],
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Option<Json> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What the status alone says; none where it is good. The relay itself looks at `Retry-After`.
    pub fn refused(&self) -> Option<Verdict> {
        match self.status {
            200..=299 => None,
            408 | 425 | 429 | 500..=599 => Some(Verdict::Retry(None)),
            300..=399 => Some(Verdict::Rejected(format!("HTTP {}: redirects are not followed", self.status))),
            status => Some(Verdict::Rejected(format!("HTTP {status}: {}", one_line(&self.text(), 300)))),
        }
    }

    /// The verdict of a service whose answers have a code in them. An answer without one is not
    /// the service's own: somebody stands in between, which may pass.
    pub fn by_code(&self, codes: &Codes<'_>) -> Verdict {
        if let Some(verdict) = self.refused() {
            return verdict;
        }
        let body = self.json().unwrap_or_default();
        let Some(code) = body.get(codes.code).and_then(Json::as_i64) else {
            return Verdict::Retry(None);
        };
        if code == 0 {
            return Verdict::Delivered;
        }
        if let Some((_, wait)) = codes.passing.iter().find(|(passing, _)| *passing == code) {
            return Verdict::Retry(*wait);
        }
        let said = body.get(codes.message).and_then(Json::as_str).unwrap_or_default();
        Verdict::Rejected(format!("{} {code}: {}", codes.code, one_line(said, 300)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: Codes<'_> = Codes { code: "errcode", message: "errmsg", passing: &[(7, Some(60.0))] };

    fn of(status: u16, body: &str) -> String {
        let response = Response { status, headers: vec![], body: body.into(), cut: false };
        match response.by_code(&CODES) {
            Verdict::Delivered => "delivered".into(),
            Verdict::Retry(wait) => format!("retry {wait:?}"),
            Verdict::Rejected(why) => why,
        }
    }

    #[test]
    fn a_status_of_200_is_no_delivery_where_the_code_says_otherwise() {
        assert_eq!(of(200, r#"{"errcode":0,"errmsg":"ok"}"#), "delivered");
        assert_eq!(of(200, r#"{"errcode":7,"errmsg":"too fast"}"#), "retry Some(60.0)");
        assert_eq!(of(200, r#"{"errcode":9,"errmsg":"no\nrobot"}"#), "errcode 9: no robot");
        assert_eq!(of(200, "<html>please log in</html>"), "retry None");
        assert_eq!(of(200, ""), "retry None");
    }

    #[test]
    fn a_status_that_may_pass_is_tried_again() {
        assert_eq!(of(502, r#"{"errcode":0}"#), "retry None");
        assert_eq!(of(429, ""), "retry None");
        assert_eq!(of(404, "nobody"), "HTTP 404: nobody");
        assert_eq!(of(302, ""), "HTTP 302: redirects are not followed");
    }
}
