//! Handshakes take turns: each step of one is work for the processor, and a flood of them must not keep requests waiting.
//!
//! Between two turns everybody else on the thread who is ready runs, so what a flood can add to a request's wait is the work of a few steps,
//! however many handshakes there are. They wait in the order in which they became ready; who waits too long meets the handshake's deadline.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// How many steps are made before everybody else has run.
const AT_ONCE: usize = 4;

/// The turns of one thread.
pub(crate) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Turns {
    /// Does this work, and waits for a turn before each of its steps. While it waits for something else it has none.
    pub(super) async fn take<W: Future>(&self, work: W) -> W::Output {
        let mut work = pin!(work);
        let calls = Arc::new(Calls::default());
        let waker = Waker::from(calls.clone());
        loop {
            let turn = self.0.acquire().await.expect("it is never closed");
            calls.was_called.store(false, Ordering::Release);
            let step = work.as_mut().poll(&mut Context::from_waker(&waker));
            tokio::task::yield_now().await;
            drop(turn);
            if let Poll::Ready(output) = step {
                return output;
            }
            poll_fn(|cx| calls.poll(cx)).await;
        }
    }
}

/// Whether the work was called. What it waited for may have come while something else was awaited here, which no call is to cut short: only
/// where nothing else is awaited it is passed on.
#[derive(Default)]
struct Calls {
    was_called: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Calls {
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        *self.task.lock() = Some(cx.waker().clone());
        if !self.was_called.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        *self.task.lock() = None;
        Poll::Ready(())
    }
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.was_called.store(true, Ordering::Release);
        let task = self.task.lock().take();
        task.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::sync::Notify;
    use tokio::task::yield_now;

    use super::*;

    fn on_one_thread(scenario: impl Future<Output = ()> + Send + 'static) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let scenario = tokio::spawn(scenario);
            tokio::time::timeout(Duration::from_secs(20), scenario).await.expect("an end").expect("no panic");
        });
    }

    #[test]
    fn a_flood_makes_few_steps_before_everybody_else_has_run() {
        on_one_thread(async {
            let (turns, steps, done) = (Arc::new(Turns::default()), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            for _ in 0..500 {
                let (turns, steps, done) = (turns.clone(), steps.clone(), done.clone());
                tokio::spawn(async move {
                    let mut left = 3;
                    let work = poll_fn(|cx| {
                        steps.fetch_add(1, Ordering::SeqCst);
                        left -= 1;
                        cx.waker().wake_by_ref();
                        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
                    });
                    turns.take(work).await;
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }

            let mut most = 0;
            while done.load(Ordering::SeqCst) < 500 {
                let before = steps.load(Ordering::SeqCst);
                yield_now().await;
                most = most.max(steps.load(Ordering::SeqCst) - before);
            }

            assert_eq!(steps.load(Ordering::SeqCst), 1500);
            // Who gives a turn back and who takes it may both run between two looks.
            assert!(most <= 2 * AT_ONCE, "{most} steps at once");
        });
    }

    #[test]
    fn who_waits_for_something_else_keeps_nobody_from_a_turn() {
        on_one_thread(async {
            let (turns, gate) = (Arc::new(Turns::default()), Arc::new(Notify::new()));
            let waiting: Vec<_> = (0..10 * AT_ONCE)
                .map(|_| {
                    let (turns, gate) = (turns.clone(), gate.clone());
                    tokio::spawn(async move { turns.take(gate.notified()).await })
                })
                .collect();
            yield_now().await;

            turns.take(async {}).await;
            // All are in the middle of their work before it goes on.
            while turns.0.available_permits() < AT_ONCE {
                yield_now().await;
            }
            gate.notify_waiters();

            for task in waiting {
                task.await.expect("it ends");
            }
        });
    }

    #[test]
    fn a_call_that_comes_between_two_turns_is_not_lost() {
        on_one_thread(async {
            let turns = Turns::default();
            let called: Arc<Mutex<Option<Waker>>> = Arc::default();
            let calls = called.clone();
            tokio::spawn(async move {
                // As soon as the work waits: while its turn has not been given back yet.
                loop {
                    let waker = calls.lock().take();
                    waker.into_iter().for_each(Waker::wake);
                    yield_now().await;
                }
            });
            let mut left = 100;

            turns
                .take(poll_fn(|cx| {
                    left -= 1;
                    *called.lock() = Some(cx.waker().clone());
                    if left == 0 { Poll::Ready(()) } else { Poll::Pending }
                }))
                .await;
        });
    }

    #[test]
    fn turns_are_in_the_order_of_asking_and_given_back_by_who_is_given_up() {
        on_one_thread(async {
            let (turns, order) = (Arc::new(Turns::default()), Arc::new(Mutex::new(Vec::new())));
            let tasks: Vec<_> = (0..40)
                .map(|number| {
                    let (turns, order) = (turns.clone(), order.clone());
                    tokio::spawn(async move { turns.take(async { order.lock().push(number) }).await })
                })
                .collect();
            yield_now().await;
            tasks[..10].iter().for_each(tokio::task::JoinHandle::abort);
            for task in tasks {
                let _ = task.await;
            }

            let order = order.lock();
            assert!(order.is_sorted() && order.ends_with(&[37, 38, 39]), "{order:?}");
            assert_eq!(turns.0.available_permits(), AT_ONCE);
        });
    }
}
