//! Work that outlives whoever waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Runs where it is awaited, which saves a task for each notification; when that is given up, it
/// goes on as a task of its own.
pub(super) struct Outliving<F: Future<Output = ()> + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output = ()> + Send + 'static> Outliving<F> {
    pub(super) fn new(work: F) -> Self {
        Outliving(Some(Box::pin(work)))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Future for Outliving<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let ended = self.0.as_mut().is_none_or(|work| work.as_mut().poll(context).is_ready());
        match ended {
            true => {
                self.0 = None;
                Poll::Ready(())
            }
            false => Poll::Pending,
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Drop for Outliving<F> {
    fn drop(&mut self) {
        // Without a runtime there is nothing that it could run on: the program ends.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            drop(runtime.spawn(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_runs_to_its_end_awaited_or_not() {
        let (answer, answered) = oneshot::channel();
        Outliving::new(async { answer.send(1).unwrap() }).await;
        assert_eq!(answered.await, Ok(1));

        let (answer, answered) = oneshot::channel();
        let (go, gone) = oneshot::channel::<()>();
        let work = Outliving::new(async {
            gone.await.unwrap();
            answer.send(2).unwrap();
        });
        assert!(tokio::time::timeout(Duration::ZERO, work).await.is_err());
        go.send(()).unwrap();
        assert_eq!(answered.await, Ok(2));
    }
}
