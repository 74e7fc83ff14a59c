//! Who may ask: a token per channel, and one for the control endpoints.
//!
//! Alertmanager reads its copy from a file at each request, and secrets are handed over to one
//! service after the other. So the old token stays valid for a while after a new one is seen,
//! and an unknown one makes us look whether there is a new one.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::config::secret;
use super::locked;

/// How long the old token stays valid.
const OVERLAP: Duration = Duration::from_secs(300);
/// The file is read again at most this often.
const PAUSE: Duration = Duration::from_secs(1);

/// Digests are kept and compared: the time that it takes tells nothing, not even a length.
type Sum = [u8; 32];

/// The tokens of one file.
#[derive(Debug)]
pub(super) struct Tokens(Mutex<State>);

#[derive(Debug)]
struct State {
    file: PathBuf,
    now: Sum,
    /// What was valid before, and until when it still is.
    before: Vec<(Sum, Instant)>,
    /// When an unknown token last made us look.
    looked: Option<Instant>,
}

/// More changes than these within the overlap are somebody's mistake.
const MOST: usize = 4;

impl Tokens {
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let sum = read(file)?;
        Ok(Tokens(Mutex::new(State { file: file.to_owned(), now: sum, before: vec![], looked: None })))
    }

    /// Reads the file again, which may be another one now.
    pub(super) fn reread(&self, file: &Path, now: Instant) -> anyhow::Result<()> {
        let sum = read(file)?;
        let mut state = locked(&self.0);
        state.file = file.to_owned();
        state.take(sum, now);
        Ok(())
    }

    /// Whether `Authorization` shows a token that is valid.
    pub(super) fn know(&self, header: Option<&[u8]>, now: Instant) -> bool {
        let Some(shown) = header.and_then(bearer) else { return false };
        let shown: Sum = Sha256::digest(shown).into();
        let mut state = locked(&self.0);
        if state.has(&shown, now) {
            return true;
        }
        if state.looked.is_some_and(|looked| now.duration_since(looked) < PAUSE) {
            return false;
        }
        state.looked = Some(now);
        match read(&state.file) {
            Ok(sum) => state.take(sum, now),
            Err(error) => tracing::warn!("{error:#}"),
        }
        state.has(&shown, now)
    }
}

impl State {
    fn has(&mut self, shown: &Sum, now: Instant) -> bool {
        self.before.retain(|(_, until)| *until > now);
        let any = self.before.iter().fold(Choice::from(0), |any, (sum, _)| any | sum.ct_eq(shown));
        (any | self.now.ct_eq(shown)).into()
    }

    fn take(&mut self, sum: Sum, now: Instant) {
        if sum == self.now {
            return;
        }
        self.before.push((self.now, now + OVERLAP));
        if self.before.len() > MOST {
            self.before.remove(0);
        }
        self.now = sum;
    }
}

fn read(file: &Path) -> anyhow::Result<Sum> {
    Ok(Sha256::digest(secret(file)?.expose().as_bytes()).into())
}

/// The token of `Bearer TOKEN`.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn shows(tokens: &Tokens, token: &str, now: Instant) -> bool {
        tokens.know(Some(format!("Bearer {token}").as_bytes()), now)
    }

    fn with(token: &str) -> (tempfile::TempDir, PathBuf, Tokens) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, token).unwrap();
        let tokens = Tokens::read(&file).unwrap();
        (folder, file, tokens)
    }

    #[test]
    fn only_a_bearer_token_that_is_the_same_is_valid() {
        let (_folder, _, tokens) = with("right\n");
        let now = super::super::now();
        assert!(tokens.know(Some(b"Bearer right"), now));
        assert!(tokens.know(Some(b"bearer  right "), now));
        for wrong in
            ["Bearer wrong", "Bearer righ", "Bearer right2", "Bearer ", "Bearer", "Basic right", "right", ""]
        {
            assert!(!tokens.know(Some(wrong.as_bytes()), now), "{wrong}");
        }
        assert!(!tokens.know(None, now));
    }

    #[test]
    fn a_new_token_is_found_when_it_is_shown_and_the_old_one_stays_valid_for_a_while() {
        let (_folder, file, tokens) = with("old");
        let now = super::super::now();
        std::fs::write(&file, "new").unwrap();
        assert!(shows(&tokens, "old", now));
        assert!(shows(&tokens, "new", now));
        assert!(shows(&tokens, "old", later(now, 299)));
        assert!(!shows(&tokens, "old", later(now, 300)));
        assert!(shows(&tokens, "new", later(now, 300)));
    }

    #[test]
    fn guesses_make_it_read_the_file_once_a_second_at_most() {
        let (_folder, file, tokens) = with("old");
        let now = super::super::now();
        assert!(!shows(&tokens, "guess", now));
        std::fs::write(&file, "new").unwrap();
        assert!(!shows(&tokens, "new", now));
        assert!(shows(&tokens, "new", later(now, 1)));
    }

    #[test]
    fn a_file_that_is_gone_or_empty_takes_nobodys_right() {
        let (_folder, file, tokens) = with("old");
        let now = super::super::now();
        std::fs::write(&file, "\n").unwrap();
        assert!(!shows(&tokens, "", now));
        std::fs::remove_file(&file).unwrap();
        assert!(!shows(&tokens, "guess", later(now, 2)));
        assert!(shows(&tokens, "old", later(now, 2)));
    }
}
