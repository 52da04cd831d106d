//! A line to an upstream: one request and its answer, over a connection of HTTP/1.1 or one stream of HTTP/2. Whoever drives it sees no
//! difference but in what the protocols differ.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora_http::ResponseHeader;
use tokio::net::TcpStream;

use super::cause::Cause;
use super::connect::{HTTP1, connect};
use super::faulty::Faulty;
use super::h1::{self, Brief, Connection, Fault, Piece, Upload, is_final, put_field};
use super::h2::{self, Stream};
use super::pool::Endpoint;
use crate::config::model::{UpstreamProtocol, UpstreamTimeouts};

/// Where one request goes and its answer comes from. Dropped, it breaks off what has not come to its end: a connection of HTTP/1.1 is
/// closed, a stream of HTTP/2 is reset and leaves its neighbours alone.
pub(crate) enum Line {
    /// A connection.
    Http1(Box<Connection>),
    /// A stream.
    Http2(Box<Stream>),
    /// What a drill makes of either, or in its place.
    Faulty(Box<Faulty>),
}

/// Where the fields of a request are put, in the form of its protocol.
pub(crate) trait Fields {
    /// Whether that is HTTP/2: connection options are not said there, and a cookie may stay in crumbs.
    const HTTP2: bool;
    /// A field as it was received.
    fn put(&mut self, name: &HeaderName, value: &HeaderValue);
    /// A field of the gateway's own.
    fn say(&mut self, name: &HeaderName, value: &[u8]);
    /// One field of several values; none where there are no values.
    fn list<'v>(&mut self, name: &HeaderName, values: impl Iterator<Item = &'v [u8]>, between: &[u8]);
    /// Fields that were put elsewhere, in the form of HTTP/1.1.
    fn lines(&mut self, lines: &[u8]) {
        for (name, value) in fields_in(lines) {
            if let Ok(name) = HeaderName::from_bytes(name) {
                self.say(&name, value);
            }
        }
    }
}

/// The names and values of fields in the form of HTTP/1.1, as they were put.
pub(crate) fn fields_in(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    // No value has a line break in it.
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r")?;
        let colon = memchr::memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii_start()))
    })
}

/// What a request says beside its first line.
pub(crate) trait Said {
    /// Its host.
    fn host(&self) -> &[u8];
    /// Its fields, without the host and without what says where its body ends.
    fn fields<F: Fields>(&self, out: &mut F);
}

impl Fields for BytesMut {
    const HTTP2: bool = false;
    fn put(&mut self, name: &HeaderName, value: &HeaderValue) {
        put_field(self, name.as_str().as_bytes(), value.as_bytes());
    }
    fn say(&mut self, name: &HeaderName, value: &[u8]) {
        put_field(self, name.as_str().as_bytes(), value);
    }
    fn list<'v>(&mut self, name: &HeaderName, values: impl Iterator<Item = &'v [u8]>, between: &[u8]) {
        let mut any = false;
        for value in values {
            self.extend_from_slice(if any { between } else { name.as_str().as_bytes() });
            if !any {
                self.extend_from_slice(b": ");
            }
            self.extend_from_slice(value);
            any = true;
        }
        if any {
            self.extend_from_slice(b"\r\n");
        }
    }
    fn lines(&mut self, lines: &[u8]) {
        self.extend_from_slice(lines);
    }
}

impl Fields for HeaderMap {
    const HTTP2: bool = true;
    fn put(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.append(name.clone(), value.clone());
    }
    fn say(&mut self, name: &HeaderName, value: &[u8]) {
        // What is said was received as a field's value, or is made of letters that one may have.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            self.append(name.clone(), value);
        }
    }
    fn list<'v>(&mut self, name: &HeaderName, values: impl Iterator<Item = &'v [u8]>, between: &[u8]) {
        let all: Vec<&[u8]> = values.collect();
        if !all.is_empty() {
            self.say(name, &all.join(between));
        }
    }
}

/// What a line is wanted for, beside one request and its answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// A connection of HTTP/1.1 has to be new.
    pub fresh: bool,
    /// It may become a WebSocket's: of an endpoint that speaks both, HTTP/1.1 is asked for.
    pub websocket: bool,
}

/// A line that is there already: an idle connection, or room on one that others use.
pub(crate) fn pooled(endpoint: &Endpoint, timeouts: &UpstreamTimeouts, wanted: Wanted) -> Option<Line> {
    let http1 = || if wanted.fresh { None } else { h1::idle(endpoint.connections()).map(Line::Http1) };
    let http2 = || h2::pooled(endpoint, timeouts.idle.0).map(Line::Http2);
    match endpoint.protocol {
        UpstreamProtocol::Auto if wanted.websocket => http1(),
        UpstreamProtocol::Http1 => http1(),
        UpstreamProtocol::H2 => http2(),
        UpstreamProtocol::Auto => http2().or_else(http1),
    }
}

/// A line over a connection that is still to be made, by this request or by another one that has come before it. How long that may take
/// is for the caller to say, up to the patience for connections.
pub(crate) async fn open(endpoint: &Arc<Endpoint>, timeouts: &UpstreamTimeouts, wanted: Wanted) -> Result<Line, Cause> {
    match endpoint.protocol {
        UpstreamProtocol::Http1 => http1(endpoint).await,
        UpstreamProtocol::Auto if wanted.websocket || endpoint.speaks_http1() => http1(endpoint).await,
        UpstreamProtocol::H2 | UpstreamProtocol::Auto => match h2::open(endpoint, timeouts.connect.0, timeouts.idle.0).await {
            Ok(stream) => Ok(Line::Http2(stream)),
            // What it has chosen instead is remembered.
            Err(Cause::OtherProtocol) if endpoint.speaks_http1() => http1(endpoint).await,
            Err(cause) => Err(cause),
        },
    }
}

/// A line over a connection of its own, which serves no other request.
pub(crate) async fn alone(endpoint: &Arc<Endpoint>) -> Result<Line, Cause> {
    match endpoint.protocol {
        UpstreamProtocol::Http1 => http1(endpoint).await,
        UpstreamProtocol::Auto if endpoint.speaks_http1() => http1(endpoint).await,
        UpstreamProtocol::H2 | UpstreamProtocol::Auto => match h2::alone(endpoint).await {
            Ok(stream) => Ok(Line::Http2(stream)),
            Err(Cause::OtherProtocol) if endpoint.speaks_http1() => http1(endpoint).await,
            Err(cause) => Err(cause),
        },
    }
}

async fn http1(endpoint: &Endpoint) -> Result<Line, Cause> {
    let (io, _) = connect(endpoint, &[HTTP1]).await?;
    Ok(Line::Http1(Box::new(Connection::new(io))))
}

impl Line {
    /// Begins a request.
    pub(crate) fn begin(&mut self, method: &Method, target: &[u8], upload: Upload, said: &impl Said) {
        match self {
            Self::Http1(connection) => connection.begin(method, target, upload, |out| {
                out.say(&HOST, said.host());
                said.fields(out);
            }),
            Self::Http2(stream) => stream.begin(method, target, upload, said),
            Self::Faulty(faulty) => {
                faulty.begins(method);
                if let Some(line) = faulty.line_mut() {
                    line.begin(method, target, upload, said);
                }
            }
        }
    }

    /// The line without what a drill makes of it; none where there is no other.
    pub(crate) fn real(self) -> Option<Self> {
        match self {
            Self::Faulty(faulty) => faulty.into_line(),
            line => Some(line),
        }
    }

    /// The upstream may answer the request that was just begun by changing to one of these protocols, where a connection can.
    pub(crate) fn offer(&mut self, protocols: &HeaderValue) {
        match self {
            Self::Http1(connection) => connection.offer(protocols),
            Self::Http2(_) => {}
            Self::Faulty(faulty) => faulty.line_mut().into_iter().for_each(|line| line.offer(protocols)),
        }
    }

    /// The socket below, where it is this line's alone.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Http1(connection) => connection.socket(),
            Self::Http2(_) => None,
            Self::Faulty(faulty) => faulty.line()?.socket(),
        }
    }

    /// Whether this is a stream of HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        match self {
            Self::Http1(_) => false,
            Self::Http2(_) => true,
            Self::Faulty(faulty) => faulty.line().is_some_and(Self::is_http2),
        }
    }

    /// Whether it was there before the request: then the upstream may have closed it at any time.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_reused(),
            Self::Http2(stream) => stream.is_reused(),
            Self::Faulty(faulty) => faulty.line().is_some_and(Self::is_reused),
        }
    }

    /// Whether anything waits to be written.
    pub(crate) fn has_output(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.has_output(),
            Self::Http2(stream) => stream.has_output(),
            Self::Faulty(faulty) => faulty.line().is_some_and(Self::has_output),
        }
    }

    /// How many bytes wait to be written.
    pub(crate) fn output_len(&self) -> usize {
        match self {
            Self::Http1(connection) => connection.output_len(),
            Self::Http2(stream) => stream.output_len(),
            Self::Faulty(faulty) => faulty.line().map_or(0, Self::output_len),
        }
    }

    /// Writes what is to be written.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        match self {
            Self::Http1(connection) => connection.poll_flush(cx),
            Self::Http2(stream) => stream.poll_flush(cx),
            Self::Faulty(faulty) => faulty.line_mut().map_or(Poll::Ready(Ok(())), |line| line.poll_flush(cx)),
        }
    }

    /// Adds a part of the request's body to what is to be written. Only while [`Line::takes_upload`].
    pub(crate) fn upload(&mut self, data: Bytes, framing: Upload) {
        match self {
            Self::Http1(connection) => connection.upload(data, framing),
            Self::Http2(stream) => stream.upload(data),
            Self::Faulty(faulty) => faulty.line_mut().into_iter().for_each(|line| line.upload(data.clone(), framing)),
        }
    }

    /// Whether the next part of an upload may be added.
    pub(crate) fn takes_upload(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.takes_upload(),
            Self::Http2(stream) => stream.takes_upload(),
            Self::Faulty(faulty) => faulty.line().is_none_or(Self::takes_upload),
        }
    }

    /// The request's body is over.
    pub(crate) fn end_upload(&mut self, framing: Upload) {
        match self {
            Self::Http1(connection) if framing == Upload::Chunked => connection.end_upload(None),
            Self::Http1(_) => {}
            Self::Http2(stream) => stream.end_upload(),
            Self::Faulty(faulty) => faulty.line_mut().into_iter().for_each(|line| line.end_upload(framing)),
        }
    }

    /// The next head of an answer: an interim one, or the final one. Pieces of the body follow with [`Line::poll_piece`].
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHeader, Fault>> {
        match self {
            Self::Http1(connection) => connection.poll_head(cx).map_ok(|head| head.head),
            Self::Http2(stream) => stream.poll_head(cx),
            Self::Faulty(faulty) => faulty.poll_head(cx),
        }
    }

    /// The final head of an answer, without a map of its fields; interim ones are passed over.
    pub(crate) fn poll_final_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Brief, Fault>> {
        loop {
            let head = match self {
                Self::Http1(connection) => ready!(connection.poll_brief(cx)).map(|head| head.head),
                Self::Http2(stream) => ready!(stream.poll_head(cx)).map(Brief::from),
                Self::Faulty(faulty) => ready!(faulty.poll_head(cx)).map(Brief::from),
            };
            match head {
                Ok(head) if !is_final(head.status) => {}
                last => return Poll::Ready(last),
            }
        }
    }

    /// The next part of the answer's body, its trailers, or its end, which comes once.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Fault>> {
        match self {
            Self::Http1(connection) => connection.poll_piece(cx),
            Self::Http2(stream) => stream.poll_piece(cx),
            Self::Faulty(faulty) => faulty.poll_piece(cx),
        }
    }

    /// Nobody takes more of the body just now: what has come of it is held for as long.
    pub(crate) fn gather(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Http1(_) => {}
            Self::Http2(stream) => stream.gather(cx),
            Self::Faulty(faulty) => faulty.line_mut().into_iter().for_each(|line| line.gather(cx)),
        }
    }

    /// Whether the body's end has been handed out, or is all that is left of it.
    pub(crate) fn is_at_end(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_at_end(),
            Self::Http2(stream) => stream.is_at_end(),
            Self::Faulty(faulty) => faulty.is_at_end(),
        }
    }

    /// Whoever gets the pieces of this answer's body will change them: where they can be, they are handed out with the buffer they lie in.
    pub(crate) fn own_pieces(&mut self) {
        match self {
            Self::Http1(connection) => connection.own_pieces(),
            Self::Http2(_) => {}
            Self::Faulty(faulty) => faulty.line_mut().into_iter().for_each(Self::own_pieces),
        }
    }

    /// Whoever gets the pieces of this answer's body would like it in one, where that costs nothing.
    pub(crate) fn want_whole(&mut self) {
        match self {
            Self::Http1(connection) => connection.want_whole(),
            Self::Http2(_) => {}
            Self::Faulty(faulty) => faulty.line_mut().into_iter().for_each(Self::want_whole),
        }
    }

    /// Whether the client takes nothing of the answer just now. What comes meanwhile is held back, and takes of what a connection of
    /// HTTP/2 holds for all of its streams.
    pub(crate) fn is_held_up(&mut self, held_up: bool) {
        match self {
            Self::Http1(_) => {}
            Self::Http2(stream) => stream.is_held_up(held_up),
            Self::Faulty(faulty) => faulty.line_mut().into_iter().for_each(|line| line.is_held_up(held_up)),
        }
    }

    /// Its request and its answer are whole: what can serve another one is kept for it.
    pub(crate) fn put_back(self, endpoint: &Endpoint, timeouts: &UpstreamTimeouts) {
        match self {
            Self::Http1(connection) => h1::put_back(endpoint.connections(), connection, timeouts.idle.0),
            Self::Http2(stream) => drop(stream),
            Self::Faulty(faulty) => faulty.into_line().into_iter().for_each(|line| line.put_back(endpoint, timeouts)),
        }
    }
}
