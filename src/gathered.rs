//! What has come on a stream of HTTP/2 before anybody takes it on: in few large parts, however many small frames it came in.
//!
//! A frame that waits in a connection costs a few hundred bytes beside its own, so that `h2` counts those that are small, and gives up a
//! connection on which there are thousands of them. A client that sends small messages faster than its upstream takes them would lose it, and
//! with an upstream one slow reader would take its neighbours' answers along. Gathered here a byte costs a byte, and the stream's window,
//! which is not opened meanwhile, bounds them.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{Error, RecvStream};

/// A part of at least this size is kept as it is; smaller ones are copied, one behind the other.
const LARGE: usize = 1 << 10;
/// The most that small parts grow to.
const MOST: usize = 16 << 10;

/// What waits of one stream's body.
#[derive(Default)]
pub(crate) struct Gathered {
    parts: VecDeque<Bytes>,
    /// What came last.
    small: BytesMut,
    /// What came behind all of it, once that is known: the body's end, or an error, which is told once.
    end: Option<Option<Error>>,
}

impl Gathered {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.small.is_empty()
    }

    /// Whether the body has broken off behind what waits.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.end, Some(Some(_)))
    }

    /// Takes what has come, for later. Whoever asks is told when there is more.
    pub(crate) fn gather(&mut self, body: &mut RecvStream, cx: &mut Context<'_>) {
        while self.end.is_none() {
            match body.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => self.push(data),
                Poll::Ready(Some(Err(error))) => self.end = Some(Some(error)),
                Poll::Ready(None) => self.end = Some(None),
                Poll::Pending => return,
            }
        }
    }

    /// The next part, which still counts against the stream's window; none at the end.
    pub(crate) fn poll(&mut self, body: &mut RecvStream, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if self.is_empty() && self.end.is_none() {
            match ready!(body.poll_data(cx)) {
                Some(Ok(data)) if data.len() >= LARGE => return Poll::Ready(Some(Ok(data))),
                Some(Ok(data)) => {
                    self.push(data);
                    self.gather(body, cx);
                }
                Some(Err(error)) => self.end = Some(Some(error)),
                None => self.end = Some(None),
            }
        }
        match (self.pop(), &mut self.end) {
            (Some(part), _) => Poll::Ready(Some(Ok(part))),
            (None, Some(end)) => Poll::Ready(end.take().map(Err)),
            // An empty frame, and no other.
            (None, None) => Poll::Pending,
        }
    }

    fn push(&mut self, data: Bytes) {
        if data.len() < LARGE {
            self.small.extend_from_slice(&data);
            return;
        }
        while let Some(part) = self.pop_small() {
            self.parts.push_back(part);
        }
        self.parts.push_back(data);
    }

    fn pop(&mut self) -> Option<Bytes> {
        self.parts.pop_front().or_else(|| self.pop_small())
    }

    fn pop_small(&mut self) -> Option<Bytes> {
        let length = self.small.len().min(MOST);
        (length > 0).then(|| self.small.split_to(length).freeze())
    }
}

/// How much is read of a connection before those get their turn whom it brings something.
const TURN: usize = 32 << 10;

/// Turns of a connection that is read: what comes faster than it is taken is left in the socket for a moment.
#[derive(Default)]
pub(crate) struct ReadTurn(usize);

impl ReadTurn {
    /// Ready while it is this connection's turn. Else whoever polls is woken behind the others.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 < TURN {
            return Poll::Ready(());
        }
        self.0 = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// This came of a read: so many bytes, or nothing for now, so that the next turn is a whole one.
    pub(crate) fn read<T>(&mut self, read: &Poll<T>, count: usize) {
        self.0 = if read.is_pending() { 0 } else { self.0 + count };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_parts_become_few_and_large_ones_stay_as_they_are() {
        let mut gathered = Gathered::default();
        let large = Bytes::from(vec![b'L'; LARGE]);
        let mut expected = Vec::new();
        for round in 0..3 {
            for _ in 0..MOST {
                gathered.push(Bytes::from_static(b"ab"));
                expected.extend_from_slice(b"ab");
            }
            if round < 2 {
                gathered.push(large.clone());
                expected.extend_from_slice(&large);
            }
        }

        let parts: Vec<Bytes> = std::iter::from_fn(|| gathered.pop()).collect();

        assert!(parts.concat() == expected, "all of it, in its order");
        assert_eq!(parts.iter().map(Bytes::len).collect::<Vec<_>>(), [MOST, MOST, LARGE, MOST, MOST, LARGE, MOST, MOST]);
        assert_eq!(parts[2].as_ptr(), large.as_ptr());
        assert!(gathered.is_empty());
    }

    #[test]
    fn a_turn_ends_with_what_was_read_and_a_pause_begins_a_whole_one() {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let mut turn = ReadTurn::default();

        turn.read(&Poll::Ready(()), TURN - 1);
        assert!(turn.poll(cx).is_ready());
        turn.read(&Poll::Ready(()), 1);
        assert!(turn.poll(cx).is_pending() && turn.poll(cx).is_ready(), "others were let through once");

        turn.read(&Poll::Ready(()), TURN - 1);
        turn.read(&Poll::<()>::Pending, 0);
        turn.read(&Poll::Ready(()), TURN - 1);
        assert!(turn.poll(cx).is_ready());
    }
}
