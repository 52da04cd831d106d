//! How many requests of one connection are answered before everybody else on the thread has run: a client that sends thousands at once must not
//! keep others waiting.
//!
//! Whoever waits for something, be it for the next request or for an upstream, lets others run by that. Only who never waits is made to.

use std::task::Poll;

use tokio::task::yield_now;

/// So many: a client that sends its requests one after the other never comes near it, and for the others it is a small part of their work.
const AT_ONCE: u32 = 8;

/// The requests of a connection since it let others run.
#[derive(Default)]
pub(crate) struct Row(u32);

impl Row {
    /// There is nothing to do just now, so others run.
    pub(super) fn wait<T>(&mut self) -> Poll<T> {
        self.0 = 0;
        Poll::Pending
    }

    /// The same, where this says so.
    pub(super) fn follow<T>(&mut self, poll: Poll<T>) -> Poll<T> {
        if poll.is_pending() { self.wait() } else { poll }
    }

    /// One more was begun or answered. Where it is one of many, others run first.
    pub(crate) async fn one_more(&mut self) {
        self.0 += 1;
        if self.0 >= AT_ONCE {
            self.0 = 0;
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn lets_others_run(row: &mut Row) -> bool {
        pin!(row.one_more()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[test]
    fn after_some_requests_on_end_others_run_and_whoever_waits_begins_anew() {
        let mut row = Row::default();

        let paused: Vec<bool> = (0..2 * AT_ONCE).map(|_| lets_others_run(&mut row)).collect();
        assert_eq!(paused.iter().filter(|paused| **paused).count(), 2);
        assert!(paused[AT_ONCE as usize - 1] && paused[2 * AT_ONCE as usize - 1]);

        for _ in 0..10 * AT_ONCE {
            assert!(row.follow(Poll::Ready(())).is_ready() && row.follow(Poll::<()>::Pending).is_pending());
            assert!(!lets_others_run(&mut row));
        }
    }
}
