//! Endpoints that are asked how they are as gRPC servers are.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use frontgate_filters::grpc::GRPC_STATUS;
use http::{HeaderMap, HeaderValue};

use crate::harness::http2_origin::{Asked, Http2Origin, send_all};
use crate::harness::{Gateway, until, yaml};

/// What a server says of its health.
#[derive(Clone, Copy)]
enum Says {
    /// This status of the service.
    Serving(u8),
    /// Nothing but this status of the call.
    Status(u16),
    /// No gRPC at all.
    Page,
    /// Nothing.
    Silence,
}

struct Server {
    origin: Http2Origin,
    says: Arc<Mutex<Says>>,
    /// The last question that it was asked.
    question: Arc<Mutex<Vec<u8>>>,
}

/// One that says this at first.
fn server(first: Says) -> Server {
    let (says, question) = (Arc::new(Mutex::new(first)), Arc::new(Mutex::new(Vec::new())));
    let (mood, seen) = (says.clone(), question.clone());
    let origin = Http2Origin::start(move |mut asked: Asked| {
        let (mood, seen) = (mood.clone(), seen.clone());
        async move {
            let (body, _) = asked.read().await;
            *seen.lock().unwrap() = body;
            let fields = [("content-type", "application/grpc")];
            let says = *mood.lock().unwrap();
            match says {
                Says::Serving(status) => {
                    let mut stream = asked.head(200, &fields, false);
                    send_all(&mut stream, Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]), false).await;
                    let _ = stream.send_trailers(HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from(0))]));
                }
                Says::Status(status) => drop(asked.head(200, &[fields[0], ("grpc-status", &status.to_string())], true)),
                Says::Page => asked.answer("<html>"),
                Says::Silence => tokio::time::sleep(Duration::from_secs(60)).await,
            }
        }
    });
    Server { origin, says, question }
}

fn gateway(origin: &Http2Origin, service: &str) -> Gateway {
    Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams:
          main:
            endpoints: [$ORIGIN]
            protocol: h2
            health: {grpc: \"$SERVICE\", interval: 20ms, timeout: 2s, unhealthy_after: 1, healthy_after: 1, start: unhealthy}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin.address), ("$SERVICE", &service)],
    ))
}

fn is_healthy(gateway: &Gateway) -> bool {
    gateway.metric(r#"frontgate_upstream_endpoints{upstream="main",state="healthy"}"#) == 1.0
}

#[test]
fn an_endpoint_is_healthy_while_its_service_serves() {
    let Server { origin, says, question } = server(Says::Serving(1));
    let gateway = gateway(&origin, "shop.v1.Shop");
    until("the endpoint to be healthy", || is_healthy(&gateway));
    assert_eq!(*question.lock().unwrap(), b"\0\0\0\0\x0e\x0a\x0cshop.v1.Shop");
    let head = origin.last();
    assert_eq!((head.uri.path(), &head.headers["te"]), ("/grpc.health.v1.Health/Check", &HeaderValue::from_static("trailers")));

    for bad in [Says::Serving(2), Says::Status(12), Says::Page, Says::Serving(0)] {
        *says.lock().unwrap() = bad;
        until("the endpoint to be unhealthy", || !is_healthy(&gateway));
        *says.lock().unwrap() = Says::Serving(1);
        until("the endpoint to be healthy again", || is_healthy(&gateway));
    }

    *says.lock().unwrap() = Says::Silence;
    until("the endpoint to be too slow", || !is_healthy(&gateway));
}

#[test]
fn all_of_a_server_is_asked_about_by_an_empty_name() {
    let Server { origin, question, .. } = server(Says::Serving(1));
    let gateway = gateway(&origin, "");

    until("the endpoint to be healthy", || is_healthy(&gateway));

    assert_eq!(*question.lock().unwrap(), [0; 5]);
}
