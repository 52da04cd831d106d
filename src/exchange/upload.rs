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
    kept: BytesMut,
    truncated: bool,
}

impl Replay {
    /// A body of which nothing was read.
    pub(super) fn new(framing: Upload) -> Self {
        let done = matches!(framing, Upload::None | Upload::Length(0));
        Self { framing, read: 0, done, kept: BytesMut::new(), truncated: false }
    }

    /// A part was read.
    pub(super) fn keep(&mut self, data: &Bytes) {
        self.read += data.len() as u64;
        if self.kept.len() + data.len() > MOST {
            self.truncated = true;
            self.kept = BytesMut::new();
        } else if !self.truncated {
            self.kept.extend_from_slice(data);
        }
    }

    /// Whether another attempt could send all that was read.
    pub(super) fn is_whole(&self) -> bool {
        !self.truncated
    }

    /// What was read, for another attempt.
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_can_be_sent_again_up_to_the_bound() {
        let mut replay = Replay::new(Upload::Chunked);
        replay.keep(&Bytes::from_static(b"abc"));
        replay.keep(&Bytes::from(vec![b'x'; MOST - 3]));
        assert!(replay.is_whole());
        assert_eq!((replay.again().len(), replay.again().slice(..4)), (MOST, Bytes::from_static(b"abcx")));

        replay.keep(&Bytes::from_static(b"y"));

        assert!(!replay.is_whole());
        assert_eq!(replay.read, MOST as u64 + 1);
    }

    #[test]
    fn a_body_of_no_length_is_at_its_end() {
        assert!(Replay::new(Upload::None).done && Replay::new(Upload::Length(0)).done);
        assert!(!Replay::new(Upload::Length(1)).done && !Replay::new(Upload::Chunked).done);
    }
}
