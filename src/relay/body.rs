//! Bodies of requests: each bounded in size and time, and all together in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// 10,000 alerts take about 10 MiB.
pub(super) const LARGEST: usize = 16 << 20;
/// All bodies at once.
const ALL: usize = 32 << 20;
/// What is taken of that at a time.
const PART: usize = 64 << 10;
/// From the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(10);

/// The memory that bodies may take.
#[derive(Debug, Clone)]
pub(super) struct Memory(Arc<Semaphore>);

/// A body, and its share of the memory.
pub(super) struct Taken {
    pub(super) bytes: Vec<u8>,
    pub(super) share: Option<OwnedSemaphorePermit>,
}

/// Why a body isn't taken.
pub(super) type Refused = (StatusCode, &'static str);

impl Memory {
    pub(super) fn new() -> Self {
        Memory(Arc::new(Semaphore::new(ALL / PART)))
    }

    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Taken, Refused> {
        const LARGE: Refused = (StatusCode::PAYLOAD_TOO_LARGE, "the payload has more than 16 MiB");
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > LARGEST as u64) {
            return Err(LARGE);
        }
        let late = (StatusCode::REQUEST_TIMEOUT, "the payload did not come within 10 s");
        tokio::time::timeout(PATIENCE, self.all(body, LARGE)).await.unwrap_or(Err(late))
    }

    async fn all(&self, body: Body, large: Refused) -> Result<Taken, Refused> {
        let mut taken = Taken { bytes: vec![], share: None };
        let mut room = 0;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| (StatusCode::BAD_REQUEST, "the payload broke off"))?;
            let size = taken.bytes.len() + chunk.len();
            if size > LARGEST {
                return Err(large);
            }
            if size > room {
                let parts = (size - room).div_ceil(PART);
                let full = |_| (StatusCode::SERVICE_UNAVAILABLE, "too many payloads are under way");
                let more = self.0.clone().try_acquire_many_owned(u32::try_from(parts).unwrap_or(u32::MAX));
                let more = more.map_err(full)?;
                match &mut taken.share {
                    Some(share) => share.merge(more),
                    None => taken.share = Some(more),
                }
                room += parts * PART;
            }
            taken.bytes.extend_from_slice(&chunk);
        }
        Ok(taken)
    }
}
