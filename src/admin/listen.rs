//! The operators' connections: read as strictly as clients' are, with the same deadlines.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use frontgate_filters::reply::Form;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use http::{HeaderValue, Method, StatusCode};
use pingora_http::ResponseHeader;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::answer::problem;
use super::resources::{Act, Resource};
use super::{Admin, Scope};
use crate::door::wire::Refusal;
use crate::door::{Conn, For, H1, Held, Keeper, Listening, Next, Row, Rules, accept};
use crate::exchange::client::{Client as _, Lost};
use crate::refusals::{page, unreadable};
use crate::request_id::new_request_id;
use crate::telemetry::{ListenerMetrics, TurnedAway};
use crate::upstream::h1::Io;

impl Admin {
    /// Accepts connections for as long as `listening` says so.
    pub(crate) async fn listen(
        self: Arc<Self>,
        listener: TcpListener,
        metrics: Arc<ListenerMetrics>,
        listening: watch::Receiver<Listening>,
    ) {
        let whom = match self.scope {
            Scope::All { .. } => For::Operators,
            Scope::ReadOnly => For::Probes,
        };
        let take = move |socket, peer| {
            tokio::spawn(self.clone().serve(socket, peer));
        };
        let dismissed = metrics.clone();
        let dismiss = move |_, _| _ = dismissed.turned_away(TurnedAway::Descriptors);
        accept(listener, whom, metrics, listening, take, dismiss).await;
    }

    /// One connection, one request after the other.
    async fn serve(self: Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let _ = socket.set_nodelay(true);
        let conn = Arc::new(Conn::elsewhere(self.ending.clone(), peer));
        let mut h1 = Box::new(H1::new(Io::Tcp(socket), conn, self.clone(), Box::new(())));
        let mut row = Row::default();
        loop {
            let request = match poll_fn(|cx| h1.poll_next(cx, false)).await {
                Next::Request(request) => request,
                Next::Refused(refusal) => return h1.refuse(refusal).await,
                Next::End | Next::Http2 => return,
            };
            let mut held = Held { h1, request: &request, hold: None };
            if self.respond(&mut held, peer).await.is_err() {
                return;
            }
            h1 = held.h1;
            if !h1.turn().await {
                if h1.must_linger() {
                    h1.linger().await;
                }
                return;
            }
            row.one_more().await;
        }
    }

    /// Answers a request: to HEAD without the body that GET would have, though with its length. An error where the client has left.
    async fn respond(&self, held: &mut Held<'_>, peer: SocketAddr) -> Result<(), Lost> {
        let request = held.request;
        let answer = match self.find(request, peer) {
            Ok((Resource { act: Act::Lines(open), .. }, _)) if request.method == Method::GET => match open(self, request) {
                Ok(lines) => return lines.send(held).await,
                Err(refusal) => refusal,
            },
            Ok((Resource { act: Act::Asked(act), .. }, _)) => match body_of(held).await {
                Ok(Some(body)) => act(self, &body),
                Ok(None) => {
                    problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The request is larger than any that is asked here.", None)
                }
                Err(Lost::Refused(Refusal { status, code, detail })) => {
                    problem(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), code, detail, None)
                }
                Err(Lost::Left) => return Err(Lost::Left),
            },
            _ => self.answer(request, peer).await,
        };
        let (mut parts, body) = answer.into_parts();
        parts.headers.insert(CONTENT_LENGTH, body.len().into());
        let body: Bytes = if request.method == Method::HEAD { Bytes::new() } else { body.into() };
        held.head(ResponseHeader::from(parts), body.is_empty());
        if !body.is_empty() {
            held.body(body, true);
        }
        held.flush().await
    }
}

/// The most that is read of a request's body.
const MOST: usize = 256 << 10;

/// The body of a request; none where it is too large.
async fn body_of(held: &mut Held<'_>) -> Result<Option<Vec<u8>>, Lost> {
    let mut body = Vec::new();
    while let Some(part) = poll_fn(|cx| held.poll_body(cx)).await? {
        if body.len() + part.len() > MOST {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(body))
}

impl Keeper for Admin {
    /// Operators who close their half have left: nobody waits for an answer of theirs that has no end.
    fn rules(&self) -> Rules {
        Rules { half_close: false, ..self.gateway.rules() }
    }

    /// What operators send is none of the clients' requests: it is neither logged nor counted among them.
    fn refuse(&self, refusal: Refusal, _: &Conn) -> Vec<u8> {
        let (mut head, body) = unreadable(refusal).render(Form::default(), &new_request_id());
        head.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store")).expect("a valid header");
        head.insert_header("Connection", "close").expect("a valid header");
        head.insert_header("Date", httpdate::fmt_http_date(SystemTime::now())).expect("a valid header");
        page(&head, &body)
    }

    /// Operators may ask until the end.
    fn is_draining(&self) -> bool {
        false
    }
}
