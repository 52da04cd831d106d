//! A request that comes on no connection: decided upon, exchanged and answered as every other, its answer kept in place of being sent.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use frontgate_filters::filter::{Identity, Tls};
use frontgate_filters::reply::Reply;
use frontgate_filters::words::fields;
use http::header::UPGRADE;
use http::{HeaderMap, HeaderValue, Method};
use pingora_http::{RequestHeader, ResponseHeader};

use super::receive::Received;
use super::serve::respond;
use super::{Ctx, Proxy};
use crate::config::model::Listener;
use crate::decide::Trace;
use crate::door::{Conn, Ending, Entrance, Fresh, Seat};
use crate::exchange::End;
use crate::exchange::client::{Client, Lost};
use crate::gateway::Gateway;
use crate::upstream::h1::Upload;

/// A request that comes on no connection.
pub(crate) struct Request {
    /// Its head.
    pub head: RequestHeader,
    /// Its body.
    pub body: Bytes,
    /// Who would be connected.
    pub peer: IpAddr,
    /// The listener that it would come on.
    pub listener: Option<Listener>,
    /// What TLS would say of the connection.
    pub tls: Option<Arc<Tls>>,
    /// What its token is assumed to say.
    pub assumed: Option<Arc<Identity>>,
    /// Why it cannot be read, where it cannot.
    pub refused: Option<Reply>,
}

/// What became of it.
pub(crate) struct Played {
    /// The answer's head; none where there was no answer.
    pub head: Option<ResponseHeader>,
    /// Its body.
    pub body: Bytes,
    /// Its trailers.
    pub trailers: Option<HeaderMap>,
    /// Whether all of it was sent.
    pub whole: bool,
    /// The route that took it.
    pub route: Option<Arc<str>>,
    /// The upstream that was asked last, and its endpoint.
    pub asked: Option<(Arc<str>, Box<str>)>,
    /// How often one was.
    pub attempts: u32,
    /// The version that answered, or was chosen.
    pub version: Option<String>,
    /// The word that the log would have for what became of it.
    pub reason: &'static str,
    /// How it was decided upon.
    pub trace: Trace,
}

/// Plays it through.
pub(crate) async fn play(gateway: &Arc<Gateway>, request: Request) -> Played {
    let Request { mut head, body, peer, listener, tls, assumed, refused } = request;
    let mut ctx = Ctx::new(gateway);
    let (from, ending) = (SocketAddr::new(peer, 0), Arc::<Ending>::default());
    let conn = match listener {
        Some(listener) => {
            let metrics = gateway.metrics.listener(&listener.address.to_string());
            Conn::new(Arc::new(Entrance::new(&listener, None, metrics)), ending, Some(from), None, tls.clone())
        }
        None => Conn::elsewhere(ending, from),
    };
    ctx.seat = Some(Arc::new(Seat::new(Arc::new(conn), Fresh::new(&gateway.fresh))));
    (ctx.facts.client_ip, ctx.facts.tls, ctx.facts.assumed) = (peer.to_canonical(), tls, assumed);
    let mut trace = Trace { served: true, ..Trace::default() };
    let received = match refused {
        Some(refused) => Received::Answer(refused),
        None => Proxy(gateway.clone()).received(&mut head, &mut ctx, Some(&mut trace)).await,
    };
    let mut client = Memory::new(&head, body);
    let end = respond(&mut client, &mut ctx, received).await;
    let Memory { answer, body, trailers, .. } = client;
    ctx.told((answer.as_ref().map(|head| head.status), 0, body.len() as u64));
    ctx.complete = matches!(end, End::Sent);
    let pick = ctx.attempts.current().map(|current| current.pick());
    let played = Played {
        body: body.freeze(),
        trailers,
        whole: ctx.complete,
        route: ctx.route.map(|index| ctx.snapshot.route(Some(index)).name.clone()),
        asked: pick.map(|pick| (pick.pool().name.clone(), pick.endpoint().text.clone())),
        attempts: ctx.attempts.count(),
        version: ctx.facts.version.as_ref().or(ctx.facts.variant.as_ref()).and_then(fields::text).map(str::to_owned),
        reason: if ctx.facts.reason.is_empty() { ctx.reason } else { ctx.facts.reason },
        head: answer,
        trace,
    };
    ctx.log(&head);
    played
}

/// A client that keeps its answer.
struct Memory<'r> {
    request: &'r RequestHeader,
    upload: Option<Bytes>,
    framing: Upload,
    answer: Option<ResponseHeader>,
    body: BytesMut,
    trailers: Option<HeaderMap>,
    /// Whether something was queued since the last flush, and whether anything was flushed.
    queued: bool,
    flushed: bool,
}

impl<'r> Memory<'r> {
    fn new(request: &'r RequestHeader, body: Bytes) -> Self {
        Self {
            request,
            framing: if body.is_empty() { Upload::None } else { Upload::Length(body.len() as u64) },
            upload: (!body.is_empty()).then_some(body),
            answer: None,
            body: BytesMut::new(),
            trailers: None,
            queued: false,
            flushed: false,
        }
    }
}

impl Client for Memory<'_> {
    fn request(&self) -> &RequestHeader {
        self.request
    }
    fn framing(&self) -> Upload {
        self.framing
    }
    fn upgrade(&self) -> Option<&HeaderValue> {
        self.request.headers.get(UPGRADE)
    }
    fn takes_informational(&self) -> bool {
        false
    }
    fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Lost>> {
        Poll::Ready(Ok(self.upload.take()))
    }
    fn poll_left(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
    fn inform(&mut self, head: ResponseHeader) {
        // The one that changes the protocol is the last.
        self.answer = Some(head);
    }
    fn head(&mut self, head: ResponseHeader, _: bool) {
        (self.answer, self.queued) = (Some(head), true);
    }
    fn body(&mut self, data: Bytes, _: bool) {
        if self.request.method != Method::HEAD {
            self.body.extend_from_slice(&data);
        }
        self.queued = true;
    }
    fn trailers(&mut self, trailers: HeaderMap) {
        (self.trailers, self.queued) = (Some(trailers), true);
    }
    fn take_back(&mut self) -> bool {
        if self.flushed {
            return false;
        }
        self.answer = None;
        self.body.clear();
        self.queued = false;
        true
    }
    fn has_room(&self) -> bool {
        true
    }
    fn has_queued(&self) -> bool {
        self.queued
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        self.flushed |= std::mem::take(&mut self.queued);
        Poll::Ready(Ok(()))
    }
}
