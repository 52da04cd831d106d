//! Calls of the gateway's own over HTTP/2, with a peer of the same library.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response};
use serde_json::json;
use tokio::net::TcpListener;

use crate::telemetry::Metrics;
use crate::upstream::Pool;
use crate::upstream::call::{Answer, Answered, Call, NoAnswer, call};

/// An endpoint whose streams are answered by `answer`, which is told the number of the connection. How many connections there were.
async fn endpoint<F>(
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>, usize) -> F + Copy + Send + 'static,
) -> (Arc<Pool>, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(socket).await.expect("HTTP/2 is spoken");
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(answer(request, respond, number));
                }
            });
        }
    });
    let config =
        json!({"endpoints": [address], "protocol": "h2", "timeouts": {"connect": "5s", "first_byte": "5s", "between_bytes": "5s"}});
    let pool = Pool::new("called", &serde_json::from_value(config).expect("an upstream"), None, &Metrics::new(), None);
    (Arc::new(pool), connections)
}

/// Says back what it was sent, after the method.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize) {
    let method = request.method().clone();
    let mut body = request.into_body();
    let mut all = method.as_str().as_bytes().to_vec();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        all.extend_from_slice(&data);
    }
    let mut stream = respond.send_response(Response::new(()), false).expect("an open stream");
    stream.send_data(all.into(), true).expect("an open stream");
}

async fn asked(pool: &Arc<Pool>, method: Method, body: &'static [u8], patience: Duration) -> Result<Answer, NoAnswer> {
    let body = Bytes::from_static(body);
    let deadline = Instant::now() + patience;
    let (fields, answered) = (HeaderMap::new(), Answered::Kept);
    call(pool, &Call { method, target: b"/thing", fields, body, hash: None, deadline, most: 64 << 10, answered, again: true }).await
}

const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn calls_share_a_connection() {
    let (pool, connections) = endpoint(echo).await;

    let bodies = async |body| String::from_utf8(asked(&pool, Method::POST, body, PATIENT).await.expect("an answer").body.to_vec());
    let (one, two, three) = tokio::join!(bodies(b"one"), bodies(b"two"), bodies(b""));

    assert_eq!([one, two, three], ["POSTone", "POSTtwo", "POST"].map(|text| Ok(text.to_owned())));
    assert_eq!(asked(&pool, Method::GET, b"", PATIENT).await.expect("an answer").body, "GET");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_that_was_not_processed_is_made_again_whatever_its_method() {
    let (pool, connections) = endpoint(|request, mut respond, number| async move {
        match number {
            0 => respond.send_reset(Reason::REFUSED_STREAM),
            _ => echo(request, respond, number).await,
        }
    })
    .await;

    assert_eq!(asked(&pool, Method::POST, b"body", PATIENT).await.expect("an answer").body, "POSTbody");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_its_connection_to_others() {
    let (pool, connections) = endpoint(|request, respond, number| async move {
        if request.method() == Method::PUT {
            tokio::time::sleep(PATIENT).await;
        }
        echo(request, respond, number).await;
    })
    .await;

    let late = asked(&pool, Method::PUT, b"", Duration::from_millis(100));
    let (late, good) = tokio::join!(late, asked(&pool, Method::GET, b"", PATIENT));

    assert_eq!(late.err(), Some(NoAnswer::Timeout));
    assert_eq!(good.expect("an answer").body, "GET");
    assert_eq!(asked(&pool, Method::GET, b"", PATIENT).await.expect("an answer").body, "GET");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nobody_who_waits_is_forgotten_when_a_connection_cannot_be_made() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address").to_string();
    let config = json!({"endpoints": [closed], "protocol": "h2"});
    let pool = Arc::new(Pool::new("gone", &serde_json::from_value(config).expect("an upstream"), None, &Metrics::new(), None));

    let (one, two) = tokio::join!(asked(&pool, Method::GET, b"", PATIENT), asked(&pool, Method::GET, b"", PATIENT));

    assert_eq!((one.err(), two.err()), (Some(NoAnswer::Unreachable), Some(NoAnswer::Unreachable)));
}
