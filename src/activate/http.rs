//! Requests to the services of a stack, straight to where the runtime says they are: no
//! proxy of the environment stands between.

use std::time::Duration;

/// A blocking client with one deadline for all.
#[derive(Debug)]
pub struct Client {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    deadline: Duration,
}

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Long enough for a reload that reads 10,000 rules.
const DEADLINE: Duration = Duration::from_secs(15);

/// An answer of more is cut off: 64 MiB.
pub const MAX_SIZE: usize = 64 << 20;

impl Client {
    pub fn new() -> Result<Self, std::io::Error> {
        Client::with_deadline(DEADLINE)
    }

    /// For questions that take their time.
    pub fn with_deadline(deadline: Duration) -> Result<Self, std::io::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = reqwest::Client::builder().no_proxy().timeout(deadline).build();
        Ok(Client { runtime, client: client.map_err(std::io::Error::other)?, deadline })
    }

    /// `Err`: nobody answered, and why.
    pub fn get(&self, url: &str) -> Result<Answer, String> {
        self.send(self.client.get(url))
    }

    pub fn get_as(&self, url: &str, user: &str, password: &str) -> Result<Answer, String> {
        self.send(self.client.get(url).basic_auth(user, Some(password)))
    }

    pub fn post(&self, url: &str) -> Result<Answer, String> {
        self.send(self.client.post(url))
    }

    /// `token`: what the service wants to see.
    pub fn post_with(&self, url: &str, token: &str) -> Result<Answer, String> {
        self.send(self.client.post(url).bearer_auth(token))
    }

    pub fn post_json(&self, url: &str, body: &serde_json::Value) -> Result<Answer, String> {
        let request = self.client.post(url).header("Content-Type", "application/json");
        self.send(request.body(body.to_string()))
    }

    pub fn get_with(&self, url: &str, token: &str) -> Result<Answer, String> {
        self.send(self.client.get(url).bearer_auth(token))
    }

    /// The JSON document of an answer that must be 200.
    pub fn json(&self, url: &str) -> Result<serde_json::Value, String> {
        let answer = self.ok(url)?;
        serde_json::from_str(&answer).map_err(|e| format!("{url} answers with something else than JSON: {e}"))
    }

    /// The body of an answer that must be 200.
    pub fn ok(&self, url: &str) -> Result<String, String> {
        let answer = self.get(url)?;
        if answer.status == 200 { Ok(answer.body) } else { Err(format!("{url} answers {}", answer.status)) }
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, String> {
        self.runtime
            .block_on(async {
                let mut response = request.send().await?;
                let status = response.status().as_u16();
                let mut body = vec![];
                while let Some(chunk) = response.chunk().await? {
                    body.extend_from_slice(&chunk);
                    if body.len() > MAX_SIZE {
                        break;
                    }
                }
                Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
            })
            .map_err(|e: reqwest::Error| reason(&e, self.deadline))
    }
}

/// The innermost cause: `Connection refused`, not the chain of layers around it.
fn reason(error: &reqwest::Error, deadline: Duration) -> String {
    let url = error.url().map(|u| format!("{u} ")).unwrap_or_default();
    if error.is_timeout() {
        return format!("{url}does not answer within {} s", deadline.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("{url}does not answer: {cause}")
}
