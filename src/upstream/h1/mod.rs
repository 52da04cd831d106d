//! HTTP/1.1 to an upstream: one connection with one request at a time, read and written once.
//!
//! What is read strictly here decides where a message ends (RFC 9112, section 6.3). What cannot be read without doubt is a [`Fault`], and the
//! connection is closed with it. All waiting is polling: the caller has the deadlines, and drops the connection to end whatever it waits for.

mod body;
mod brief;
mod head;
mod idle;
mod write;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use frontgate_filters::words::fields::members;
use http::header::UPGRADE;
use http::{HeaderValue, StatusCode};
use pingora_http::ResponseHeader;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use super::cause::Cause;
pub(crate) use body::{Decoder, Piece, is_of_a_head};
pub(crate) use brief::{Brief, Headers};
pub(crate) use head::{Framing, Head, begins_with_tls, drop_nominated, is_final, is_of_this_hop};
pub(crate) use idle::{AsItIs, idle, put_back, share_out, shed, sweep};
pub(crate) use write::{Upload, put_chunk_size, put_field};

/// Room of a buffer, and the most that is copied into one rather than written beside it.
pub(crate) const ROOM: usize = 16 * 1024;
/// Room to read into once a body has shown that it is long.
const LONG: usize = 64 * 1024;
/// Room for the head of an answer.
const HEAD: usize = 1024;
/// A read is worth making from this much room on.
const LEAST: usize = 4096;
/// How many buffers a thread keeps for connections that have something to read or write.
const SPARES: usize = 64;
/// The most interim answers before a final one: whoever sends more will not come to an end.
pub(crate) const MOST_INFORMED: u32 = 100;

/// Why there is no answer, or no whole one.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The upstream closed the connection; `true` where it had sent nothing of an answer.
    Closed(bool),
    /// The connection broke; `true` where the upstream had sent nothing of an answer.
    Broken(bool),
    /// The upstream has ended TLS before it said anything, for this reason: in TLS 1.3 only then it says that it does not take our certificate.
    Unwelcome(Cause),
    /// What came is no HTTP answer, or leaves open where it ends.
    Malformed(&'static str),
    /// The upstream has not processed the request, so that it can be sent once more whatever its method.
    Refused,
}

/// The bytes below a connection: a socket, with TLS or without it.
pub(crate) enum Io {
    /// A socket.
    Tcp(TcpStream),
    /// A client's socket behind TLS.
    Tls(Box<server::TlsStream<TcpStream>>),
    /// A socket to an upstream behind TLS.
    Upstream(Box<client::TlsStream<TcpStream>>),
    /// No socket: the other end is in this process.
    Memory(DuplexStream),
}

impl Io {
    /// Says in TLS that nothing follows, as far as that takes no waiting (RFC 8446, section 6.1): without it, an answer that ends with its
    /// connection looks as if it were cut.
    pub(crate) fn say_goodbye(&mut self) {
        if !matches!(self, Self::Tcp(_) | Self::Memory(_)) {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let _ = Pin::new(self).poll_shutdown(&mut cx);
        }
    }

    /// The socket below, where it is known.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(socket) => Some(socket),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Upstream(stream) => Some(stream.get_ref().0),
            Self::Memory(_) => None,
        }
    }
}

/// A connection to an upstream.
pub(crate) struct Connection {
    io: Io,
    /// What was read and not used yet.
    input: BytesMut,
    /// What is to be written, and a part of an upload that is written after it without a copy.
    output: BytesMut,
    beside: Bytes,
    decoder: Decoder,
    /// Whether the last answer asked for HEAD, whose answer has no body.
    to_head: bool,
    /// Whether the upstream keeps the connection after this answer.
    keep: bool,
    /// Whether anything of the answer has come.
    begun: bool,
    /// The protocols that the upstream may change to, where it may.
    offered: Option<HeaderValue>,
    /// How many interim answers have come.
    informed: u32,
    /// Whether the last read filled its room.
    long: bool,
    /// Whether pieces of the body are to be nobody else's, so that they can be changed in place.
    owned: bool,
    /// Whether a body had better lie in one piece, and how much room its answer took the last time.
    whole: bool,
    usual: usize,
    /// Whether it has served a request before.
    reused: bool,
    /// Whether TLS below holds something that the socket has not taken.
    held: bool,
    /// Whether a write has failed: a socket tells a reset once, and what a read says after it is no end of a body.
    torn: bool,
    idle_since: Instant,
}

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room.
pub(crate) fn spare() -> BytesMut {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(ROOM))
}

/// Takes an empty buffer back for other connections.
pub(crate) fn give_back(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > 0 {
        let buffer = std::mem::take(buffer);
        SPARE.with_borrow_mut(|spares| {
            if spares.len() < SPARES && buffer.capacity() <= LONG {
                spares.push(buffer);
            }
        });
    }
}

impl Connection {
    /// A fresh connection.
    pub(crate) fn new(io: Io) -> Self {
        Self {
            io,
            input: BytesMut::new(),
            output: BytesMut::new(),
            beside: Bytes::new(),
            decoder: Decoder::new(Framing::None),
            to_head: false,
            keep: true,
            begun: false,
            offered: None,
            informed: 0,
            long: false,
            owned: false,
            whole: false,
            usual: 0,
            reused: false,
            held: false,
            torn: false,
            idle_since: Instant::now(),
        }
    }

    /// Whether it has served a request before: then the upstream may have closed it at any time.
    pub(crate) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether anything waits to be written.
    pub(crate) fn has_output(&self) -> bool {
        self.held || self.has_more()
    }

    /// Whether anything waits that was not handed to what is below.
    fn has_more(&self) -> bool {
        !self.output.is_empty() || !self.beside.is_empty()
    }

    /// How many bytes wait to be written.
    pub(crate) fn output_len(&self) -> usize {
        self.output.len() + self.beside.len()
    }

    /// Writes what is to be written.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while self.has_more() {
            let written = if self.beside.is_empty() {
                Pin::new(&mut self.io).poll_write(cx, &self.output)
            } else {
                let slices = [io::IoSlice::new(&self.output), io::IoSlice::new(&self.beside)];
                Pin::new(&mut self.io).poll_write_vectored(cx, &slices)
            };
            match ready!(written) {
                Ok(0) => {
                    self.torn = true;
                    return Poll::Ready(Err(Fault::Closed(!self.begun)));
                }
                Ok(written) => {
                    let first = written.min(self.output.len());
                    self.output.advance(first);
                    self.beside.advance(written - first);
                }
                Err(_) => {
                    self.torn = true;
                    return Poll::Ready(Err(Fault::Broken(!self.begun)));
                }
            }
        }
        self.output.clear();
        match &mut self.io {
            // A socket holds nothing back.
            Io::Tcp(_) => Poll::Ready(Ok(())),
            io => {
                let flushed = Pin::new(io).poll_flush(cx);
                self.held = flushed.is_pending();
                flushed.map_err(|_| {
                    self.torn = true;
                    Fault::Broken(!self.begun)
                })
            }
        }
    }

    /// Reads once. The end of the stream is 0.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Fault>> {
        if self.input.capacity() == 0 {
            self.input = spare();
        }
        let room = self.input.capacity() - self.input.len();
        let wanted = if self.whole && !self.begun { self.usual } else { 0 };
        if room < wanted.max(LEAST) {
            // Takes the whole block back where nobody else holds a part of it.
            self.input.reserve(if self.long { LONG } else { wanted.max(ROOM - LEAST) });
        }
        let room = self.input.capacity() - self.input.len();
        let read = match ready!(poll_read_buf(&mut self.io, cx, &mut self.input)) {
            Ok(read) => read,
            Err(error) => return Poll::Ready(Err(self.broken(&error))),
        };
        self.long = read == room;
        self.begun |= read > 0;
        Poll::Ready(Ok(read))
    }

    /// What it means that nothing more can be read.
    fn broken(&self, error: &io::Error) -> Fault {
        match Cause::of(error) {
            cause if cause.is_of_tls() && !self.begun && !self.reused => Fault::Unwelcome(cause),
            _ => Fault::Broken(!self.begun),
        }
    }

    /// The next head of an answer: an interim one, or the final one. Pieces of the body follow with [`Connection::poll_piece`].
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head<ResponseHeader>, Fault>> {
        self.poll_brief(cx).map(|head| head?.whole())
    }

    /// The same, without a map of its fields.
    pub(crate) fn poll_brief(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Fault>> {
        loop {
            if !self.input.is_empty()
                && let Some(head) = head::read(&mut self.input, self.to_head)?
            {
                return Poll::Ready(self.take(head));
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Err(Fault::Closed(!self.begun)));
            }
        }
    }

    /// What a head that has come means for the connection.
    fn take(&mut self, head: Head) -> Result<Head, Fault> {
        if !is_final(head.head.status) {
            self.informed += 1;
            if self.informed > MOST_INFORMED {
                return Err(Fault::Malformed("its interim answers have no end"));
            }
        } else if head.head.status != StatusCode::SWITCHING_PROTOCOLS {
            self.keep = head.keep;
            if let Framing::Length(length) = head.framing {
                self.usual = usize::try_from(length).map_or(0, |length| length.saturating_add(HEAD).min(LONG));
            }
            self.decoder = Decoder::new(head.framing);
        } else if !is_agreed(self.offered.as_ref(), &head.head.headers) {
            return Err(Fault::Malformed("it changes to a protocol that nobody has asked for"));
        }
        Ok(head)
    }

    /// The upstream may answer the request that was just begun by changing to one of these protocols.
    pub(crate) fn offer(&mut self, protocols: &HeaderValue) {
        self.offered = Some(protocols.clone());
    }

    /// Whoever gets the pieces of this answer's body will change them: they are handed out whole, with the buffer they lie in.
    pub(crate) fn own_pieces(&mut self) {
        self.owned = true;
    }

    /// Whoever gets the pieces of this answer's body would like it in one: it is read into room for one like the last.
    pub(crate) fn want_whole(&mut self) {
        self.whole = true;
    }

    /// The next part of the answer's body, its trailers, or its end, which comes once.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Fault>> {
        loop {
            if let Some(piece) = self.decoder.next(&mut self.input, self.owned)? {
                return Poll::Ready(Ok(piece));
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(if self.decoder.ends_with_the_connection() && !self.torn {
                    self.decoder = Decoder::new(Framing::None);
                    self.keep = false;
                    Ok(Piece::End)
                } else {
                    Err(Fault::Closed(false))
                });
            }
        }
    }

    /// Whether the body's end has been handed out, or is all that is left of it.
    pub(crate) fn is_at_end(&self) -> bool {
        self.decoder.is_at_end()
    }

    /// Whether another request may follow: the answer was whole, nothing came behind it, and all of the request was written.
    pub(crate) fn is_clean(&self) -> bool {
        self.keep && self.begun && self.decoder.is_at_end() && self.input.is_empty() && !self.has_output()
    }

    /// Whether the upstream has closed it, or spoken unasked, while it was idle; without a system call where the kernel has said nothing.
    fn is_stale(&mut self) -> bool {
        match &mut self.io {
            Io::Tcp(socket) => {
                let mut spoke = false;
                let _ = socket.try_io(Interest::READABLE, || -> io::Result<()> {
                    spoke = true;
                    Err(io::ErrorKind::WouldBlock.into())
                });
                spoke
            }
            io => {
                let mut byte = [0_u8; 1];
                let mut cx = Context::from_waker(std::task::Waker::noop());
                Pin::new(io).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_ready()
            }
        }
    }

    /// The socket below, where it is known.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        self.io.tcp()
    }

    /// The bytes below, and what was read of them already: for a tunnel.
    pub(crate) fn into_parts(self) -> (Io, BytesMut) {
        (self.io, self.input)
    }
}

/// Whether the protocols that a 101 names are some of those that were asked for (RFC 9110, section 7.8).
fn is_agreed(offered: Option<&HeaderValue>, headers: &Headers) -> bool {
    let Some(offered) = offered else { return false };
    let is_offered = |chosen: &[u8]| members(offered.as_bytes()).any(|protocol| protocol.eq_ignore_ascii_case(chosen));
    let mut chosen = headers.values(&UPGRADE).into_iter().flat_map(members).peekable();
    chosen.peek().is_some() && chosen.all(is_offered)
}

/// One read into what is left of a buffer.
pub(crate) fn poll_read_buf(io: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
    tokio_util::io::poll_read_buf(Pin::new(io), cx, buffer)
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            // Whoever cuts a connection to an upstream cannot say so in TLS: an end that is not said there is none of a message.
            Self::Upstream(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Memory(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => match Pin::new(stream).poll_read(cx, buf) {
                // A client that ends its connection without saying so in TLS has ended it all the same: where a message ends is said by HTTP.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                read => read,
            },
        }
    }
}

impl AsyncWrite for Io {
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.is_write_vectored(),
            Self::Upstream(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Memory(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Upstream(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Memory(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Upstream(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Memory(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Self::Upstream(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Upstream(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
