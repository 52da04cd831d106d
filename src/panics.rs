//! A filter that panics fails its own request, and no other one notices.

#[cfg(feature = "saga")]
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
#[cfg(feature = "saga")]
use std::sync::Once;
use std::task::Poll;

/// A filter panicked: its request is answered 500.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs a piece of the chain.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| Panicked)
}

#[cfg(feature = "saga")]
thread_local! {
    /// How often this thread has panicked in what it runs now.
    static PANICS: Cell<u32> = const { Cell::new(0) };
    /// What it does where it goes no further.
    static LOST: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

/// From now on this thread stops for good, once it has done `lost`, where a panic in a destructor that runs because of a panic would end the
/// process: whatever holds what is damaged stays as it is. Those who wait for the thread have to be told so by `lost`. From then on nobody can
/// change the hook for panics, which it never leaves.
#[cfg(feature = "saga")]
pub(crate) fn stop_instead_of_abort(lost: impl Fn() + 'static) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            PANICS.set(PANICS.get().saturating_add(1));
            if PANICS.get() < 2 {
                return;
            }
            let lost = LOST.with(|lost| lost.try_borrow_mut().ok().and_then(|mut lost| lost.take()));
            if let Some(lost) = lost {
                lost();
                loop {
                    std::thread::park();
                }
            }
        }));
    });
    LOST.set(Some(Box::new(lost)));
}

/// Runs something on a thread that stops instead of ending the process.
#[cfg(feature = "saga")]
pub(crate) fn contained<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    PANICS.set(0);
    let done = caught(run);
    PANICS.set(0);
    done
}

/// Runs a piece of the chain that may wait.
pub(crate) async fn guarded<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match caught(|| future.as_mut().poll(cx)) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}
