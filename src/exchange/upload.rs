//! A request's body on its way: how it is framed, how much of it was read, and what is kept for another attempt.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use super::client::Client;
use crate::upstream::h1::Upload;

/// The most of a body that is kept for another attempt.
const MOST: usize = 64 << 10;

/// A request's body, and the part of it that was read.
pub(super) struct Replay {
    /// How it is framed.
    pub framing: Upload,
    /// How many bytes were read.
    pub read: u64,
    /// Whether all of it was read.
    pub done: bool,
    /// Whether the filters rewrite it as it is read.
    pub rewritten: bool,
    kept: BytesMut,
    /// The most that is kept.
    most: usize,
    truncated: bool,
}

impl Replay {
    /// A body of which nothing was read, and of which so much is kept for a copy.
    pub(super) fn new(framing: Upload, for_copy: usize) -> Self {
        let done = matches!(framing, Upload::None | Upload::Length(0));
        Self { framing, read: 0, done, rewritten: false, kept: BytesMut::new(), most: MOST.max(for_copy), truncated: false }
    }

    /// No copy is made of it: what is kept is for other attempts alone.
    pub(super) fn keep_less(&mut self) {
        self.most = MOST;
        if self.kept.len() > MOST {
            self.truncated = true;
            self.kept = BytesMut::new();
        }
    }

    /// The filters rewrite it: nobody knows how long it will be.
    pub(super) fn rewrite(&mut self) {
        (self.framing, self.rewritten) = (Upload::Chunked, true);
    }

    /// A part was read.
    pub(super) fn keep(&mut self, data: &Bytes) {
        self.read += data.len() as u64;
        if self.kept.len() + data.len() > self.most {
            self.truncated = true;
            self.kept = BytesMut::new();
        } else if !self.truncated {
            self.kept.extend_from_slice(data);
        }
    }

    /// Whether another attempt could send all that was read.
    pub(super) fn is_whole(&self) -> bool {
        !self.truncated && self.kept.len() <= MOST
    }

    /// What was read, for another attempt or a copy.
    pub(super) fn again(&self) -> Bytes {
        Bytes::copy_from_slice(&self.kept)
    }
}

/// An upload that nobody wants any more. While its client does not take the answer it is read all the same: the client may write all of it
/// before it reads anything.
pub(super) struct Unwanted {
    /// How much more of it is read.
    left: u64,
}

impl Unwanted {
    /// At most so many bytes are read.
    pub(super) fn new(most: u64) -> Self {
        Self { left: most }
    }

    /// Throws away what is there.
    pub(super) fn poll(&mut self, client: &mut impl Client, cx: &mut Context<'_>) {
        while self.left > 0 {
            match client.poll_body(cx) {
                Poll::Ready(Ok(Some(data))) => self.left = self.left.saturating_sub(data.len() as u64),
                Poll::Ready(_) => self.left = 0,
                Poll::Pending => return,
            }
        }
        let _ = client.gather(cx);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http::{HeaderMap, HeaderValue};
    use pingora_http::{RequestHeader, ResponseHeader};

    use super::*;
    use crate::exchange::client::Lost;

    /// A client of whom nothing is known but its upload: parts of three bytes, then what comes behind them.
    struct Uploading {
        parts: usize,
        end: Poll<Result<Option<Bytes>, Lost>>,
        polls: usize,
    }

    impl Client for Uploading {
        fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Lost>> {
            self.polls += 1;
            match self.parts.checked_sub(1) {
                Some(left) => {
                    self.parts = left;
                    Poll::Ready(Ok(Some(Bytes::from_static(b"abc"))))
                }
                None => self.end.clone(),
            }
        }
        fn request(&self) -> &RequestHeader {
            unreachable!("nobody asks for it")
        }
        fn framing(&self) -> Upload {
            Upload::Chunked
        }
        fn upgrade(&self) -> Option<&HeaderValue> {
            None
        }
        fn takes_informational(&self) -> bool {
            false
        }
        fn poll_left(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
        fn inform(&mut self, _: ResponseHeader) {}
        fn head(&mut self, _: ResponseHeader, _: bool) {}
        fn body(&mut self, _: Bytes, _: bool) {}
        fn trailers(&mut self, _: HeaderMap) {}
        fn take_back(&mut self) -> bool {
            false
        }
        fn has_room(&self) -> bool {
            true
        }
        fn has_queued(&self) -> bool {
            false
        }
        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Lost>> {
            Poll::Pending
        }
    }

    #[test]
    fn an_upload_that_nobody_wants_is_thrown_away_up_to_its_end_or_a_bound() {
        let cx = &mut Context::from_waker(Waker::noop());
        for (parts, end, most, polls) in [
            (2, Poll::Pending, 100, 4),
            (2, Poll::Ready(Ok(None)), 100, 3),
            (2, Poll::Ready(Err(Lost::Left)), 100, 3),
            (100, Poll::Pending, 10, 4),
        ] {
            let mut client = Uploading { parts, end: end.clone(), polls: 0 };
            let mut unwanted = Unwanted::new(most);

            unwanted.poll(&mut client, cx);
            unwanted.poll(&mut client, cx);

            assert_eq!(client.polls, polls, "{parts} parts, then {end:?}, at most {most} bytes");
        }
    }

    #[test]
    fn what_was_read_can_be_sent_again_up_to_the_bound() {
        let mut replay = Replay::new(Upload::Chunked, 0);
        replay.keep(&Bytes::from_static(b"abc"));
        replay.keep(&Bytes::from(vec![b'x'; MOST - 3]));
        assert!(replay.is_whole());
        assert_eq!((replay.again().len(), replay.again().slice(..4)), (MOST, Bytes::from_static(b"abcx")));

        replay.keep(&Bytes::from_static(b"y"));

        assert!(!replay.is_whole());
        assert_eq!(replay.read, MOST as u64 + 1);
    }

    #[test]
    fn what_is_kept_for_a_copy_makes_no_request_one_that_could_be_sent_again() {
        let mut replay = Replay::new(Upload::Chunked, 2 * MOST);
        replay.keep(&Bytes::from(vec![b'x'; MOST + 1]));

        assert!(!replay.is_whole());
        assert_eq!(replay.again().len(), MOST + 1);
        replay.keep_less();
        assert!(!replay.is_whole() && replay.again().is_empty());
        replay.keep(&Bytes::from_static(b"y"));
        assert!(!replay.is_whole() && replay.again().is_empty());
    }

    #[test]
    fn a_body_of_no_length_is_at_its_end() {
        assert!(Replay::new(Upload::None, 0).done && Replay::new(Upload::Length(0), 0).done);
        assert!(!Replay::new(Upload::Length(1), 0).done && !Replay::new(Upload::Chunked, 0).done);
    }
}
