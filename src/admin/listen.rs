//! The operators' connections: read as strictly as clients' are, with the same deadlines.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use frontgate_filters::reply::Form;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use http::{HeaderValue, Method};
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Admin, Scope};
use crate::door::wire::Refusal;
use crate::door::{Conn, For, H1, Held, Keeper, Listening, Next, Rules, accept};
use crate::exchange::client::Client as _;
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
        loop {
            let request = match poll_fn(|cx| h1.poll_next(cx, false)).await {
                Next::Request(request) => request,
                Next::Refused(refusal) => return h1.refuse(refusal).await,
                Next::End | Next::Http2 => return,
            };
            let (head, body) = self.response(&request, peer).await;
            let mut held = Held { h1, request: &request };
            held.head(head, body.is_empty());
            if !body.is_empty() {
                held.body(body, true);
            }
            if held.flush().await.is_err() {
                return;
            }
            h1 = held.h1;
            if !h1.turn().await {
                if h1.must_linger() {
                    h1.linger().await;
                }
                return;
            }
        }
    }

    /// The answer to a request as it is sent: to HEAD without the body that GET would have, though with its length.
    async fn response(&self, request: &RequestHeader, peer: SocketAddr) -> (ResponseHeader, Bytes) {
        let (mut parts, body) = self.answer(request, peer).await.into_parts();
        parts.headers.insert(CONTENT_LENGTH, body.len().into());
        let body = if request.method == Method::HEAD { Bytes::new() } else { body.into() };
        (ResponseHeader::from(parts), body)
    }
}

impl Keeper for Admin {
    fn rules(&self) -> Rules {
        self.gateway.rules()
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
