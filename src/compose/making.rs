//! The requests that are on their way.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use frontgate_filters::filter::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::compose::{Answered, Failed};

/// So many are looked at one after the other when one of them has moved: that is cheaper than to know which one it was.
const FEW: usize = 8;

/// Requests on their way. Dropped, they are cancelled.
#[derive(Default)]
pub(super) struct Making<'r> {
    few: Vec<One<'r>>,
    /// Those beyond, each of which is looked at only when it has moved itself.
    many: Option<FuturesUnordered<One<'r>>>,
}

/// A request on its way, and its number.
struct One<'r> {
    fetch: usize,
    answered: BoxFuture<'r, Result<Answered, Failed>>,
}

impl Future for One<'_> {
    type Output = (usize, Result<Answered, Failed>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let fetch = self.fetch;
        self.answered.as_mut().poll(context).map(|answered| (fetch, answered))
    }
}

impl<'r> Making<'r> {
    /// Room for so many.
    pub(super) fn with_room(count: usize) -> Self {
        Self { few: Vec::with_capacity(count.min(FEW)), many: None }
    }

    /// Another one.
    pub(super) fn push(&mut self, fetch: usize, answered: BoxFuture<'r, Result<Answered, Failed>>) {
        let one = One { fetch, answered };
        if self.few.len() < FEW {
            self.few.push(one);
        } else {
            self.many.get_or_insert_default().push(one);
        }
    }

    /// The next one that has its answer; none where none is on its way.
    pub(super) async fn next(&mut self) -> Option<(usize, Result<Answered, Failed>)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Result<Answered, Failed>)>> {
        for index in 0..self.few.len() {
            if let Poll::Ready(ended) = Pin::new(&mut self.few[index]).poll(context) {
                drop(self.few.swap_remove(index));
                return Poll::Ready(Some(ended));
            }
        }
        let many = self.many.as_mut().map_or(Poll::Ready(None), |many| many.poll_next_unpin(context));
        if matches!(many, Poll::Ready(None)) && !self.few.is_empty() { Poll::Pending } else { many }
    }
}
