//! Asking a service whether it is well.

use std::path::Path;
use std::time::Duration;

use super::keeper::{Exit, Order, Start};
use super::kept::Keepers;

/// How long a service may take to answer where the profile does not say.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Asks over HTTP, past any proxy.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()
}

/// `Err`: why it is not well.
pub(super) async fn ask_http(client: &reqwest::Client, url: &str, deadline: Duration) -> Result<(), String> {
    match client.get(url).timeout(deadline).send().await {
        Ok(answer) if answer.status() == reqwest::StatusCode::OK => Ok(()),
        Ok(answer) => Err(format!("{url} answers {}", answer.status())),
        Err(error) if error.is_timeout() => Err(format!("{url} does not answer")),
        Err(error) if error.is_connect() => Err(format!("nobody listens at {url}")),
        Err(error) => Err(format!("{url}: {error}")),
    }
}

/// The same for a command that exits 0. What it starts ends with it.
pub(super) async fn ask_command(
    keepers: &Keepers,
    start: &Start,
    directory: &Path,
    deadline: Duration,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("the health check can't be started: {error}");
    let (mut kept, _) = keepers.start("health", start, directory, false).await.map_err(failed)?;
    match tokio::time::timeout(deadline, kept.ended()).await {
        Ok(Exit::Code(0)) => Ok(()),
        Ok(exit) => Err(format!("the health check failed: {exit}")),
        Err(_) => {
            kept.order(Order::Kill);
            kept.ended().await;
            Err(format!("the health check took more than {} s", deadline.as_secs_f32()))
        }
    }
}
