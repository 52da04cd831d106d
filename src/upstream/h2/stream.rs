//! One request and its answer as a stream, driven by polling like a connection of HTTP/1.1.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Error, Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use pingora_http::ResponseHeader;

use super::answer;
use super::shared::Place;
use crate::gathered::Gathered;
use crate::upstream::h1::{Fault, MOST_INFORMED, Piece, Upload};
use crate::upstream::line::{Fields, Said};

/// A stream of a connection that others share. Dropped before its end it is reset, and nobody else's concern.
pub(crate) struct Stream {
    requests: SendRequest<Bytes>,
    /// Why the request could not be begun.
    spoiled: Option<Fault>,
    response: Option<ResponseFuture>,
    sending: Option<SendStream<Bytes>>,
    upload: Uploading,
    receiving: Option<RecvStream>,
    /// What has come of the answer's body, and waits.
    gathered: Gathered,
    body: Body,
    /// How much of what was handed out is still counted against the stream's window: whoever asks for more has taken it.
    handed_out: usize,
    to_head: bool,
    /// Whether anything of the answer has come, and how many interim heads.
    begun: bool,
    informed: u32,
    reused: bool,
    /// How often something had come on the connection before the request was sent.
    received: u64,
    held_up: bool,
    place: Place,
}

/// A request's body on its way.
#[derive(Default)]
struct Uploading {
    data: Bytes,
    /// How much more is to come, where that is known.
    left: Option<u64>,
    /// Whether nothing comes after `data`, and whether that was said.
    end: bool,
    ended: bool,
}

/// Where in an answer's body the reading is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Data,
    Trailers,
    /// All was read; the end is still to be said.
    End,
    Over,
}

impl Stream {
    /// One that is still to be begun. `reused` says that its connection was there before the request.
    pub(super) fn new(requests: SendRequest<Bytes>, place: Place, reused: bool) -> Self {
        Self {
            requests,
            spoiled: None,
            response: None,
            sending: None,
            upload: Uploading::default(),
            receiving: None,
            gathered: Gathered::default(),
            body: Body::Data,
            handed_out: 0,
            to_head: false,
            begun: false,
            informed: 0,
            reused,
            received: place.received(),
            held_up: false,
            place,
        }
    }

    /// Begins a request: its head goes out with the next write of the connection.
    pub(crate) fn begin(&mut self, method: &Method, target: &[u8], upload: Upload, said: &impl Said) {
        self.to_head = method == Method::HEAD;
        let mut fields = HeaderMap::with_capacity(32);
        said.fields(&mut fields);
        if let Upload::Length(length) = upload {
            fields.put(&CONTENT_LENGTH, &HeaderValue::from(length));
            self.upload.left = Some(length);
        }
        if fields.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
            self.place.carries_grpc();
        }
        self.upload.ended = matches!(upload, Upload::None | Upload::Length(0));
        let Some(uri) = uri(self.place.scheme(), said.host(), target) else {
            self.spoiled = Some(Fault::Malformed("its host or its path cannot be said in HTTP/2"));
            return;
        };
        let mut request = Request::new(());
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method.clone(), uri, fields);
        *request.version_mut() = Version::HTTP_2;
        match self.requests.send_request(request, self.upload.ended) {
            Ok((response, sending)) => (self.response, self.sending) = (Some(response), Some(sending)),
            Err(error) => self.spoiled = Some(self.fault(&error)),
        }
    }

    /// Whether its connection was there before the request: then the upstream may have closed it at any time.
    pub(crate) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether anything waits to be written.
    pub(crate) fn has_output(&self) -> bool {
        self.sending.is_some() && (!self.upload.data.is_empty() || self.upload.end && !self.upload.ended)
    }

    /// How many bytes wait to be written.
    pub(crate) fn output_len(&self) -> usize {
        self.upload.data.len()
    }

    /// Adds a part of the request's body. Only while nothing waits.
    pub(crate) fn upload(&mut self, data: Bytes) {
        debug_assert!(self.upload.data.is_empty());
        let upload = &mut self.upload;
        if let Some(left) = &mut upload.left {
            *left = left.saturating_sub(data.len() as u64);
            upload.end |= *left == 0;
        }
        upload.data = data;
    }

    /// Whether the next part of an upload may be added.
    pub(crate) fn takes_upload(&self) -> bool {
        self.upload.data.is_empty()
    }

    /// The request's body is over.
    pub(crate) fn end_upload(&mut self) {
        self.upload.end = true;
    }

    /// Hands over to the connection as much as the peer's windows allow.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        // What an error says is said to whoever waits for the answer.
        self.upload.poll_send(sending, cx).map_err(|_| Fault::Closed(false))
    }

    /// The next head of an answer: an interim one, or the final one.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHeader, Fault>> {
        if let Some(fault) = self.spoiled.take() {
            return Poll::Ready(Err(fault));
        }
        let Some(response) = &mut self.response else { return Poll::Ready(Err(Fault::Closed(false))) };
        match ready!(response.poll_informational(cx)) {
            Some(Ok(interim)) => {
                (self.begun, self.informed) = (true, self.informed + 1);
                if self.informed > MOST_INFORMED {
                    return Poll::Ready(Err(Fault::Malformed("its interim answers have no end")));
                }
                return Poll::Ready(answer::head(interim.into_parts().0, true));
            }
            Some(Err(error)) => return Poll::Ready(Err(self.fault(&error))),
            None => {}
        }
        let (parts, receiving) = match ready!(Pin::new(response).poll(cx)) {
            Ok(response) => response.into_parts(),
            Err(error) => return Poll::Ready(Err(self.fault(&error))),
        };
        self.begun = true;
        let bodyless = self.to_head || matches!(parts.status.as_u16(), 204 | 304) || receiving.is_end_stream();
        self.body = if bodyless { Body::End } else { Body::Data };
        (self.response, self.receiving) = (None, Some(receiving));
        Poll::Ready(answer::head(parts, bodyless))
    }

    /// The next part of the answer's body, its trailers, or its end, which comes once.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Fault>> {
        let Some(receiving) = &mut self.receiving else { return Poll::Ready(Err(Fault::Closed(false))) };
        if self.handed_out > 0 {
            // A stream that has ended meanwhile has no window any more.
            let _ = receiving.flow_control().release_capacity(std::mem::take(&mut self.handed_out));
        }
        loop {
            match self.body {
                Body::Data => match ready!(self.gathered.poll(receiving, cx)) {
                    Some(Ok(data)) => {
                        self.handed_out = data.len();
                        return Poll::Ready(Ok(Piece::Data(data)));
                    }
                    Some(Err(error)) => return Poll::Ready(Err(self.fault(&error))),
                    None => self.body = Body::Trailers,
                },
                Body::Trailers => {
                    let trailers = match ready!(receiving.poll_trailers(cx)) {
                        Ok(trailers) => trailers.map(answer::trailers).transpose()?.flatten(),
                        Err(error) => return Poll::Ready(Err(self.fault(&error))),
                    };
                    self.body = Body::End;
                    if let Some(trailers) = trailers {
                        return Poll::Ready(Ok(Piece::Trailers(Box::new(trailers))));
                    }
                }
                Body::End | Body::Over => {
                    self.body = Body::Over;
                    return Poll::Ready(Ok(Piece::End));
                }
            }
        }
    }

    /// Takes what has come of the body, for later.
    pub(crate) fn gather(&mut self, cx: &mut Context<'_>) {
        if let (Body::Data, Some(receiving)) = (self.body, &mut self.receiving) {
            self.gathered.gather(receiving, cx);
        }
    }

    /// Whether the body's end has been handed out, or is all that is left of it.
    pub(crate) fn is_at_end(&self) -> bool {
        match self.body {
            Body::Data => self.gathered.is_empty() && self.receiving.as_ref().is_some_and(RecvStream::is_end_stream),
            Body::Trailers => false,
            Body::End | Body::Over => true,
        }
    }

    /// Whether the client takes nothing just now.
    pub(crate) fn is_held_up(&mut self, held_up: bool) {
        if std::mem::replace(&mut self.held_up, held_up) != held_up {
            self.place.hold_up(held_up);
        }
    }

    /// What this error means for the request. A connection that does not take it takes no other one, either.
    fn fault(&self, error: &Error) -> Fault {
        if self.place.is_dead() {
            return Fault::Broken(false);
        }
        let wants_http1 = error.is_remote() && error.reason() == Some(Reason::HTTP_1_1_REQUIRED);
        let fault = match answer::fault(error, self.begun, self.place.received() == self.received) {
            _ if wants_http1 && !self.begun && self.place.falls_back() => Fault::Refused,
            fault => fault,
        };
        if matches!(fault, Fault::Refused) {
            self.place.retire();
        }
        fault
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.is_held_up(false);
        // Where the whole answer came before the whole request was written, the rest is not written any more. Nothing is said otherwise.
        if let Some(sending) = &mut self.sending {
            sending.send_reset(Reason::CANCEL);
        }
    }
}

impl Uploading {
    /// Sends as much as the peer takes. The end goes with the last of it.
    fn poll_send(&mut self, sending: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.data.is_empty() {
            sending.reserve_capacity(self.data.len());
            // Room is only told of where it grows.
            while sending.capacity() == 0 {
                match ready!(sending.poll_capacity(cx)) {
                    Some(more) => more?,
                    None => return Poll::Ready(Err(Reason::CANCEL.into())),
                };
            }
            let part = self.data.split_to(sending.capacity().min(self.data.len()));
            self.ended = self.end && self.data.is_empty();
            sending.send_data(part, self.ended)?;
        }
        if self.end && !self.ended {
            self.ended = true;
            sending.send_data(Bytes::new(), true)?;
        }
        Poll::Ready(Ok(()))
    }
}

fn uri(scheme: Scheme, host: &[u8], target: &[u8]) -> Option<Uri> {
    let authority = Authority::try_from(host).ok()?;
    let path = PathAndQuery::try_from(target).ok()?;
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()
}
