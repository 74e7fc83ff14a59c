//! Tries, with pauses that grow, until there is an answer or no more use in asking.

use std::time::Duration;

use super::Trouble;

/// So often something is asked.
const TRIES: u32 = 4;
/// The first pause; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(250);
/// A registry that asks to wait longer is left alone.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// One try takes no longer; what is large has another limit.
pub(super) const ONE: Duration = Duration::from_secs(30);
/// Connecting takes no longer, and no silence within an answer does.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
pub(super) const SILENCE: Duration = Duration::from_secs(20);

/// Asks until there is an answer that no other try would change.
pub(super) async fn patiently<T>(
    host: &str,
    limit: Duration,
    mut once: impl AsyncFnMut() -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let mut tries = 0;
    loop {
        tries += 1;
        let late = || {
            let what = format!("{host} gave no whole answer within {} s", limit.as_secs());
            Trouble::passing(what, "try again, or see what it does")
        };
        let trouble = match tokio::time::timeout(limit, once()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(trouble)) => trouble,
            Err(_) => late(),
        };
        tracing::debug!(%trouble, tries, "a registry gave no answer");
        let asked = trouble.wait.unwrap_or_default();
        if !trouble.passes {
            return Err(trouble);
        }
        if asked > LONGEST_WAIT {
            let what = format!("{}, and asks to wait {} s", trouble.what, asked.as_secs());
            return Err(Trouble { what, ..trouble });
        }
        if tries == TRIES {
            return Err(Trouble { what: format!("{} ({tries} tries)", trouble.what), ..trouble });
        }
        tokio::time::sleep(asked.max(PAUSE.saturating_mul(1 << (tries - 1)))).await;
    }
}
