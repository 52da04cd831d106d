//! An answer on its way to a client: head and body leave in as few writes as they fit in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use frontgate_filters::words::fields;
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, Method, StatusCode, Version};
use pingora_http::ResponseHeader;
use tokio::io::AsyncWrite;

use super::H1;
use crate::door::wire::BodyScan;
use crate::exchange::client::Lost;
use crate::upstream::h1::{ROOM, give_back, put_chunk_size, put_field, spare};

/// How an answer's body is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Framed {
    #[default]
    None,
    /// So many bytes are left.
    Length(u64),
    Chunked,
    /// To the end of the connection.
    Close,
}

/// An answer in the making.
#[derive(Default)]
pub(super) struct Answer {
    /// What is to be written, then what is written after it without a copy, then the line break of a chunk.
    out: BytesMut,
    beside: Bytes,
    after: &'static [u8],
    framed: Framed,
    /// The final status, once it is queued.
    status: Option<StatusCode>,
    /// Whether all of it is queued.
    ended: bool,
    /// Whether more or less came than the head said.
    wrong: bool,
    /// Bytes of the body that were queued, and bytes of all that were written.
    body: u64,
    written: u64,
    /// How many bytes were queued before the final head.
    begins: u64,
}

impl Answer {
    /// Whether all of a final answer was written.
    pub(super) fn is_whole(&self) -> bool {
        self.status.is_some() && self.ended && !self.wrong && self.len() == 0
    }

    fn len(&self) -> usize {
        self.out.len() + self.beside.len() + self.after.len()
    }

    /// Ready for the next one.
    pub(super) fn reset(&mut self) {
        give_back(&mut self.out);
        *self = Self { out: std::mem::take(&mut self.out), ..Self::default() };
    }

    /// A page that was written out already.
    pub(super) fn put_page(&mut self, page: &[u8]) {
        self.out.extend_from_slice(page);
    }

    fn room(&mut self) -> &mut BytesMut {
        if self.out.capacity() == 0 {
            self.out = spare();
        }
        &mut self.out
    }

    fn status_line(&mut self, head: &ResponseHeader) {
        let status = head.status;
        let out = self.room();
        if status == StatusCode::OK && matches!(head.get_reason_phrase(), None | Some("OK")) {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
            return;
        }
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.put_u8(b' ');
        out.extend_from_slice(head.get_reason_phrase().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// Part of a body, or of a tunnel: what is large is not copied.
    fn push(&mut self, data: Bytes, after: &'static [u8]) {
        if self.beside.is_empty() && data.len() + self.out.len() > ROOM {
            (self.beside, self.after) = (data, after);
            return;
        }
        // What waits beside comes first.
        let waiting = std::mem::take(&mut self.beside);
        self.out.extend_from_slice(&waiting);
        self.out.extend_from_slice(std::mem::take(&mut self.after));
        self.out.extend_from_slice(&data);
        self.out.extend_from_slice(after);
    }
}

impl H1 {
    /// Queues an informational head, or one that changes the protocol.
    pub(super) fn queue_informational(&mut self, head: &ResponseHeader) {
        self.answer.status_line(head);
        for (name, value) in &head.headers {
            put_field(&mut self.answer.out, name.as_str().as_bytes(), value.as_bytes());
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            // Who says Upgrade says so to this hop (RFC 9110, section 7.8).
            put_field(&mut self.answer.out, b"connection", b"upgrade");
        }
        self.answer.out.extend_from_slice(b"\r\n");
    }

    /// Queues the final head for a request of this method.
    pub(super) fn queue_head(&mut self, head: &ResponseHeader, method: &Method, end: bool) {
        let status = head.status;
        let length = fields::number(&head.headers, &CONTENT_LENGTH);
        let bodyless = method == Method::HEAD || matches!(status.as_u16(), 204 | 304);
        let old = self.version == Version::HTTP_10;
        let framed = match length {
            _ if bodyless => Framed::None,
            Some(length) => Framed::Length(length),
            None if end => Framed::Length(0),
            None if old => Framed::Close,
            None => Framed::Chunked,
        };
        // What the client is still sending, and nobody wants, is read only where it is little.
        let unread =
            !self.scan.is_done() && (self.expects && self.read == 0 || self.left_to_read().is_none_or(|left| left > super::DISCARD));
        let is_last = self.half_closed.is_some() && self.input.is_empty();
        self.keep &= framed != Framed::Close && !unread && !is_last && !self.conn.is_ending();
        self.keep &= !self.keeper.is_draining() && !self.keeper.is_overloaded();
        self.end_by_reset(framed == Framed::Close);
        self.answer.begins = self.answer.written + self.answer.len() as u64;
        self.answer.status_line(head);
        let out = &mut self.answer.out;
        for (name, value) in &head.headers {
            put_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
        if !head.headers.contains_key(DATE) {
            date(out);
        }
        match framed {
            Framed::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Framed::Length(0) if length.is_none() => out.extend_from_slice(b"content-length: 0\r\n"),
            _ => {}
        }
        if !self.keep {
            out.extend_from_slice(b"connection: close\r\n");
        } else if old {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        (self.answer.framed, self.answer.status, self.answer.ended) = (framed, Some(status), end);
    }

    /// Queues a part of the body.
    pub(super) fn queue_body(&mut self, data: Bytes, end: bool) {
        let answer = &mut self.answer;
        if answer.framed != Framed::None {
            answer.body += data.len() as u64;
        }
        match &mut answer.framed {
            Framed::None => {}
            Framed::Length(left) => match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    answer.wrong |= end && rest > 0;
                    answer.push(data, b"");
                }
                // More than the head said cannot be told from the next answer.
                None => answer.wrong = true,
            },
            Framed::Chunked => {
                if !data.is_empty() {
                    let waiting = std::mem::take(&mut answer.beside);
                    answer.out.extend_from_slice(&waiting);
                    answer.out.extend_from_slice(std::mem::take(&mut answer.after));
                    put_chunk_size(&mut answer.out, data.len());
                    answer.push(data, if end { b"\r\n0\r\n\r\n" } else { b"\r\n" });
                } else if end {
                    answer.push(Bytes::new(), b"0\r\n\r\n");
                }
            }
            Framed::Close => answer.push(data, b""),
        }
        answer.ended |= end;
        if answer.wrong {
            self.keep = false;
        }
    }

    /// Queues trailers, where the body can have any, and ends it.
    pub(super) fn queue_trailers(&mut self, trailers: &HeaderMap) {
        if self.answer.framed != Framed::Chunked {
            return self.queue_body(Bytes::new(), true);
        }
        let mut last = BytesMut::from(&b"0\r\n"[..]);
        for (name, value) in trailers {
            put_field(&mut last, name.as_str().as_bytes(), value.as_bytes());
        }
        last.extend_from_slice(b"\r\n");
        self.answer.push(last.freeze(), b"");
        self.answer.ended = true;
    }

    /// Takes back the final answer where none of it was written; interim answers stay. Whether that was so.
    pub(super) fn unqueue(&mut self) -> bool {
        let answer = &mut self.answer;
        if answer.status.is_none() {
            return true;
        }
        let Some(before) = answer.begins.checked_sub(answer.written) else { return false };
        let mut out = std::mem::take(&mut answer.out);
        out.truncate(before as usize);
        *answer = Answer { out, written: answer.written, ..Answer::default() };
        true
    }

    pub(super) fn queued(&self) -> usize {
        self.answer.len()
    }

    /// The final status, once it is queued.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        self.answer.status
    }

    /// Bytes of bodies that were read and that were queued.
    pub(crate) fn moved(&self) -> (u64, u64) {
        (self.read, self.answer.body)
    }

    /// Where the end of the connection is the body's end, a reset is no end: whatever ends the connection from here on, even the process, does
    /// so by one, until the answer is whole.
    pub(super) fn end_by_reset(&mut self, wanted: bool) {
        if std::mem::replace(&mut self.resets, wanted) == wanted {
            return;
        }
        let Some(socket) = self.io.tcp() else { return };
        #[allow(deprecated, reason = "what may block is a linger of more than nothing")]
        let _ = if wanted { socket.set_zero_linger() } else { socket.set_linger(None) };
    }

    /// Writes what is queued, as long as the client takes it in time.
    pub(super) fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        while self.answer.len() > 0 {
            let answer = &mut self.answer;
            let written = if answer.beside.is_empty() && answer.after.is_empty() {
                Pin::new(&mut self.io).poll_write(cx, &answer.out)
            } else {
                let slices = [io::IoSlice::new(&answer.out), io::IoSlice::new(&answer.beside), io::IoSlice::new(answer.after)];
                Pin::new(&mut self.io).poll_write_vectored(cx, &slices)
            };
            match written {
                Poll::Ready(Ok(count)) if count > 0 => {
                    answer.written += count as u64;
                    self.taken.give(count);
                    let first = count.min(answer.out.len());
                    answer.out.advance(first);
                    let second = (count - first).min(answer.beside.len());
                    answer.beside.advance(second);
                    answer.after = &answer.after[count - first - second..];
                    if self.writing.is_waiting() {
                        self.writing.moved(self.taken.more(self.io.tcp()));
                    }
                }
                Poll::Ready(_) => {
                    self.keep = false;
                    return Poll::Ready(Err(Lost::Left));
                }
                Poll::Pending => return self.poll_stuck(cx),
            }
        }
        self.answer.out.clear();
        // A socket holds nothing back; TLS may.
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.map_err(|_| Lost::Left)),
            Poll::Pending => self.poll_stuck(cx),
        }
    }

    /// The client takes nothing just now, and is given up when patience with that ends.
    fn poll_stuck(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let Self { writing, slow, taken, io, .. } = self;
        ready!(writing.poll_taken(cx, slow, self.rules.write_timeout, || taken.more(io.tcp())));
        self.keep = false;
        // What the kernel still holds for it would stay for as long as it likes.
        self.end_by_reset(true);
        Poll::Ready(Err(Lost::Left))
    }

    /// An answer that breaks off: a client of HTTP/1.0 may know of no other end than the connection's, and is shown that this is none.
    pub(crate) fn break_off(&mut self) {
        if self.version == Version::HTTP_10 && self.answer.status.is_some() {
            self.end_by_reset(true);
        }
    }

    /// How much of the request's body is still to be read, where that is known.
    fn left_to_read(&self) -> Option<u64> {
        match &self.scan {
            BodyScan::Length(left) => Some(*left),
            BodyScan::Done => Some(0),
            BodyScan::Chunked(_) => None,
        }
    }
}

/// The date of now, made once a second on each thread.
fn date(out: &mut BytesMut) {
    use std::cell::RefCell;
    use std::io::Write;
    thread_local! {
        static DATE: RefCell<(u64, [u8; 37])> = const { RefCell::new((0, [0; 37])) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    DATE.with_borrow_mut(|(made, line)| {
        if *made != second {
            *made = second;
            let _ = write!(&mut line[..], "date: {}\r\n", httpdate::HttpDate::from(now));
        }
        out.extend_from_slice(line);
    });
}
