//! What can go wrong with a cache, and whether it was refused on purpose.

use crate::bundle::StoreName;
use crate::store::StoreError;
use crate::trust::Refusal;
use crate::trust::envelope::EnvelopeError;

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("`{url}` is no cache: {why}")]
    Url { url: String, why: String },
    #[error("{cache} has no {name}: push it first (`monprov push`), or name another cache")]
    Missing { cache: String, name: StoreName },
    #[error(
        "{cache} has no channel `{profile}`: `monprov push {profile} {cache} --channel --key FILE` makes one"
    )]
    NoChannel { cache: String, profile: String },
    /// What came is not what it should be: somebody changed it, or it was damaged.
    #[error("{what} of {cache} is refused: {why}")]
    Wrong { cache: String, what: String, why: String },
    #[error("{name} is refused: {refusal}")]
    Unsigned { name: String, refusal: Refusal },
    /// The transfer, not what was transferred.
    #[error("{cache}: {what}: {}{}", last(error), remedy(error))]
    Transfer { cache: String, what: String, error: object_store::Error },
    #[error("{cache}: {what} was cut off: {why}; the network or the server failed, try again")]
    Cut { cache: String, what: String, why: String },
    #[error("{cache}: {what} was changed by somebody else meanwhile: try again")]
    Raced { cache: String, what: String },
    #[error("{cache} can't be written to: {why}")]
    ReadOnly { cache: String, why: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CacheError {
    /// Whether something was refused on purpose, rather than failed.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Wrong { .. } | Self::Unsigned { .. } => true,
            Self::Store(error) => error.is_refusal(),
            _ => false,
        }
    }

    pub(super) fn of_envelope(cache: &str, what: &str, error: EnvelopeError) -> Self {
        match error {
            EnvelopeError::Refused(refusal) => Self::Unsigned { name: format!("{what} of {cache}"), refusal },
            other => Self::Wrong { cache: cache.into(), what: what.into(), why: other.to_string() },
        }
    }
}

/// As much of an answer as a message shows.
const LONGEST: usize = 300;

/// The innermost cause: what wraps it says it again, with the whole URL in it.
fn last(error: &object_store::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    shortened(&error.to_string())
}

/// A server may send a whole page along.
fn shortened(text: &str) -> String {
    let page = ["<!DOCTYPE", "<html", "<HTML"].iter().filter_map(|tag| text.find(tag)).min();
    let text = page.and_then(|at| text.get(..at)).unwrap_or(text);
    let line: Vec<&str> = text.split_whitespace().collect();
    let line: String = line.join(" ").chars().take(LONGEST).collect();
    line.trim_end_matches([':', ' ']).to_owned()
}

fn remedy(error: &object_store::Error) -> &'static str {
    use object_store::Error as E;
    match error {
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
            "; give it credentials (`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or `https://USER:PASSWORD@…`)"
        }
        _ if last(error).contains("UnknownIssuer") => {
            "; where the server's certificate is from a CA of your own, name that CA's file in `SSL_CERT_FILE`"
        }
        _ => "",
    }
}
