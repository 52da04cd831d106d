//! Upstreams that are spoken to in HTTP/2.

/// Everything at once: whatever others meet, who is answered is answered whole.
mod at_once;
/// How connections are shared, waited for, left and ended.
mod connections;
/// Peers that refuse, reset, go away, stop or break the rules.
mod faults;
/// What becomes of single messages.
mod messages;

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response};

use crate::harness::{Gateway, yaml};

/// A gateway over endpoints that speak HTTP/2, for clients of HTTP/1 and HTTP/2; more keys of the server, the upstream and the route.
fn gateway_with(origins: &[SocketAddr], server: &str, upstream: &str, route: &str) -> Gateway {
    let origins = origins.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Gateway::start(&yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          $SERVER
        upstreams:
          main:
            endpoints: [$ORIGINS]
            protocol: h2
            $UPSTREAM
        routes:
          - name: all
            path: /**
            upstream: main
            $ROUTE
        ",
        &[("$ORIGINS", &origins), ("$SERVER", &server), ("$UPSTREAM", &upstream), ("$ROUTE", &route)],
    ))
}

/// The same with nothing but usual settings, on one thread.
fn gateway(origin: SocketAddr) -> Gateway {
    gateway_with(&[origin], "threads: 1", "", "")
}

fn request(method: Method, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://a.example{path}")).body(()).unwrap()
}

/// An answer in all its parts; the error is how it broke off.
type Whole = Result<(Vec<u8>, Option<HeaderMap>), h2::Error>;

async fn whole(mut stream: RecvStream) -> Whole {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    Ok((body, stream.trailers().await?))
}

/// One request without a body.
async fn ask(client: &mut SendRequest<Bytes>, request: Request<()>) -> (Response<()>, Whole) {
    let mut ready = client.clone().ready().await.unwrap();
    let (response, _) = ready.send_request(request, true).unwrap();
    let (head, body) = response.await.unwrap().into_parts();
    (Response::from_parts(head, ()), whole(body).await)
}

/// One request whose body is still to be sent.
async fn begin(client: &mut SendRequest<Bytes>, request: Request<()>) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
    client.clone().ready().await.unwrap().send_request(request, false).unwrap()
}
