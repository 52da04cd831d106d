//! Calls over real sockets: what they bring, and what becomes of them where the endpoint is slow, gone or broken.

use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::telemetry::Metrics;

/// An endpoint that answers the requests on its connections as it is told: by the number of the connection, and of the request on it.
struct Endpoint {
    address: std::net::SocketAddr,
    connections: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<String>>>,
}

/// What the endpoint does with a request.
#[derive(Clone)]
enum Does {
    /// Sends this, and goes on or closes.
    Says(String, bool),
    /// Sends this, and neither sends nor reads any more.
    Stalls(&'static str),
    /// Closes at once.
    Closes,
}

fn says(answer: impl Into<String>) -> Does {
    Does::Says(answer.into(), true)
}

fn ok(body: &str) -> Does {
    says(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

impl Endpoint {
    /// One that reads each request whole before it does anything.
    async fn new(does: impl Fn(usize, usize) -> Does + Send + Sync + 'static) -> Self {
        Self::reading(usize::MAX, does).await
    }

    /// One that reads so much of a request's body.
    async fn reading(most: usize, does: impl Fn(usize, usize) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let endpoint = Self { address, connections: Arc::default(), received: Arc::default() };
        let (connections, received, does) = (endpoint.connections.clone(), endpoint.received.clone(), Arc::new(does));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let connection = connections.fetch_add(1, Ordering::SeqCst);
                let (received, does) = (received.clone(), does.clone());
                tokio::spawn(async move {
                    let mut number = 0;
                    while let Some(request) = request(&mut socket, most).await {
                        received.lock().expect("requests").push(request);
                        match does(connection, number) {
                            Does::Says(answer, goes_on) => {
                                if socket.write_all(answer.as_bytes()).await.is_err() || !goes_on {
                                    return;
                                }
                            }
                            Does::Stalls(answer) => {
                                let _ = socket.write_all(answer.as_bytes()).await;
                                std::future::pending::<()>().await;
                            }
                            Does::Closes => return,
                        }
                        number += 1;
                    }
                });
            }
        });
        endpoint
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().expect("requests").clone()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// The next request, with as much of its body as is wanted.
async fn request(socket: &mut TcpStream, most: usize) -> Option<String> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0_usize).min(most);
    while bytes.len() < end + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A pool of these endpoints with more of an upstream's keys.
fn pool(endpoints: &[std::net::SocketAddr], more: serde_json::Value) -> Arc<Pool> {
    let mut config = json!({"endpoints": endpoints.iter().map(ToString::to_string).collect::<Vec<_>>()});
    config.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
    Arc::new(Pool::new("called", &serde_json::from_value(config).expect("an upstream"), None, &Metrics::new(), None))
}

fn asking(method: Method, body: &str) -> Call<'static> {
    Call {
        method,
        target: b"/thing?a=b",
        fields: HeaderMap::new(),
        body: Bytes::from(body.to_owned()),
        hash: None,
        deadline: Instant::now() + Duration::from_secs(30),
        most: 1000,
        answered: Answered::Kept,
        again: true,
    }
}

fn get() -> Call<'static> {
    asking(Method::GET, "")
}

async fn text(pool: &Arc<Pool>, asked: &Call<'_>) -> Result<String, NoAnswer> {
    call(pool, asked).await.map(|answer| String::from_utf8_lossy(&answer.body).into_owned())
}

#[tokio::test]
async fn a_call_brings_a_whole_answer_however_it_is_framed() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: 1\r\n\r\nhello",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nT: u\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-One: 1\r\n\r\nhello",
    ] {
        let endpoint = Endpoint::new(move |_, _| Does::Says(answer.to_owned(), false)).await;
        let pool = pool(&[endpoint.address], json!({}));

        let came = call(&pool, &get()).await.expect("an answer");

        assert_eq!((came.head.status.as_u16(), &came.body[..]), (200, &b"hello"[..]), "{answer:?}");
        assert_eq!(came.head.headers["x-one"], "1");
        assert_eq!(endpoint.received(), [format!("GET /thing?a=b HTTP/1.1\r\nhost: {}\r\n\r\n", endpoint.address)]);
    }
}

#[tokio::test]
async fn what_is_sent_is_what_was_asked_for() {
    let endpoint = Endpoint::new(|_, _| ok("")).await;
    let pool = pool(&[endpoint.address], json!({"host": "shop.example"}));
    let mut asked = asking(Method::POST, "hello");
    asked.fields.insert("x-one", "1".parse().expect("a value"));
    let empty = asking(Method::POST, "");

    text(&pool, &asked).await.expect("an answer");
    text(&pool, &empty).await.expect("an answer");

    let expected = [
        "POST /thing?a=b HTTP/1.1\r\nhost: shop.example\r\nx-one: 1\r\ncontent-length: 5\r\n\r\nhello",
        "POST /thing?a=b HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 0\r\n\r\n",
    ];
    assert_eq!(endpoint.received(), expected);
    assert_eq!(endpoint.connections(), 1, "the second call used the first one's connection");
}

#[tokio::test]
async fn connections_that_were_closed_are_met_and_forgiven_however_many_they_are() {
    // Each connection serves one request and closes when it gets another.
    let endpoint = Endpoint::new(|_, number| if number == 0 { ok("fine") } else { Does::Closes }).await;
    let pool = pool(&[endpoint.address], json!({}));
    let (first, second, third, fourth, fifth) = (get(), get(), get(), get(), get());
    let all = tokio::join!(text(&pool, &first), text(&pool, &second), text(&pool, &third), text(&pool, &fourth), text(&pool, &fifth));
    assert_eq!([all.0, all.1, all.2, all.3, all.4], [(); 5].map(|()| Ok("fine".to_owned())));
    assert_eq!(endpoint.connections(), 5);

    assert_eq!(text(&pool, &get()).await.as_deref(), Ok("fine"), "one of its own in the end");

    assert_eq!(endpoint.connections(), 6);
}

#[tokio::test]
async fn what_is_not_to_be_made_again_is_made_once_whatever_the_pool_says() {
    let endpoint = Endpoint::new(|_, _| says("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")).await;
    let pool = pool(&[endpoint.address], json!({"retry": {"attempts": 3, "when": ["503"], "budget": "100%"}}));

    let once = call(&pool, &Call { again: false, ..get() }).await.expect("an answer");
    assert_eq!((once.head.status.as_u16(), endpoint.received().len()), (503, 1));
    let often = call(&pool, &get()).await.expect("an answer");
    assert_eq!((often.head.status.as_u16(), endpoint.received().len()), (503, 4));
}

#[tokio::test]
async fn an_answer_that_is_dropped_is_read_up_to_its_bound_and_keeps_its_connection_if_it_is_no_longer() {
    let endpoint = Endpoint::new(|_, _| ok(&"x".repeat(1001))).await;
    let pool = pool(&[endpoint.address], json!({}));
    let dropped = |most| Call { answered: Answered::Dropped, most, ..get() };

    for (most, connections) in [(1001, 1), (1001, 1), (1000, 1), (1001, 2)] {
        let answer = call(&pool, &dropped(most)).await.expect("an answer");

        assert_eq!((answer.head.status.as_u16(), answer.body.len()), (200, 0));
        assert_eq!(endpoint.connections(), connections, "{most}");
    }
}

#[tokio::test]
async fn what_is_not_idempotent_is_sent_once() {
    let endpoint = Endpoint::new(|_, number| if number == 0 { ok("fine") } else { Does::Closes }).await;
    let pool = pool(&[endpoint.address], json!({"retry": {"attempts": 3, "when": ["connect_failure"]}}));
    assert_eq!(text(&pool, &asking(Method::POST, "x")).await.as_deref(), Ok("fine"));

    assert_eq!(text(&pool, &asking(Method::POST, "y")).await, Err(NoAnswer::Broken));

    assert_eq!(endpoint.received().iter().filter(|request| request.ends_with('y')).count(), 1);
}

#[tokio::test]
async fn another_attempt_follows_as_the_rule_says() {
    let busy = || says("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    let first = Endpoint::new(move |_, _| busy()).await;
    let second = Endpoint::new(|_, _| ok("fine")).await;
    let both = pool(&[first.address, second.address], json!({"retry": {"attempts": 2, "when": [503]}}));
    for _ in 0..4 {
        assert_eq!(text(&both, &get()).await.as_deref(), Ok("fine"));
    }
    assert!(!first.received().is_empty());

    let one = pool(&[first.address], json!({"retry": {"attempts": 3, "when": [503]}}));
    let before = first.received().len();
    let last = call(&one, &get()).await.expect("the last answer, whatever it is");
    assert_eq!((last.head.status.as_u16(), &last.body[..]), (503, &b"busy"[..]));
    assert_eq!(first.received().len(), before + 3);

    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address");
    let half = pool(&[gone, second.address], json!({"retry": {"attempts": 2, "when": ["connect_failure"]}}));
    for _ in 0..4 {
        assert_eq!(text(&half, &get()).await.as_deref(), Ok("fine"));
    }
    assert_eq!(text(&pool(&[gone], json!({})), &get()).await, Err(NoAnswer::Unreachable));
}

#[tokio::test]
async fn what_was_sent_once_is_never_told_as_not_sent() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address");
    let breaking = Endpoint::new(|_, _| Does::Closes).await;
    let pool = pool(&[breaking.address, closed], json!({"retry": {"attempts": 2, "when": ["connect_failure"]}}));

    // Whichever is asked first.
    let told = [text(&pool, &get()).await, text(&pool, &get()).await];

    assert_eq!(told, [Err(NoAnswer::Broken), Err(NoAnswer::Broken)]);
}

#[tokio::test]
async fn no_wait_is_without_an_end() {
    let stalls = |answer| Endpoint::new(move |_, _| Does::Stalls(answer));
    for (answer, timeouts) in [
        ("", json!({"first_byte": "50ms"})),
        ("HTTP/1.1 100 Continue\r\n\r\n", json!({"first_byte": "50ms"})),
        ("HTTP/1.1 200 OK\r\nContent-Le", json!({"first_byte": "50ms"})),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", json!({"between_bytes": "50ms"})),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", json!({"total": "50ms"})),
        ("", json!({"total": "50ms"})),
    ] {
        let endpoint = stalls(answer).await;
        let pool = pool(&[endpoint.address], json!({"timeouts": timeouts}));
        assert_eq!(text(&pool, &get()).await, Err(NoAnswer::Timeout), "{answer:?} {timeouts}");
    }
    // The call's own deadline, which is no attempt's.
    let endpoint = stalls("").await;
    let patient = pool(&[endpoint.address], json!({"retry": {"attempts": 5, "when": ["timeout"]}}));
    let hasty = Call { deadline: Instant::now() + Duration::from_millis(50), ..get() };
    assert_eq!(text(&patient, &hasty).await, Err(NoAnswer::Timeout));
    assert_eq!(endpoint.received().len(), 1);
    let late = Call { deadline: Instant::now(), ..get() };
    assert_eq!(text(&patient, &late).await, Err(NoAnswer::Timeout));
    assert_eq!(endpoint.received().len(), 1, "it was not even asked");
}

#[tokio::test]
async fn no_answer_is_larger_than_allowed_and_its_connection_is_not_used_again() {
    let endpoint = Endpoint::new(|connection, _| ok(&"x".repeat(if connection == 0 { 1001 } else { 1000 }))).await;
    let pool = pool(&[endpoint.address], json!({}));

    assert_eq!(text(&pool, &get()).await, Err(NoAnswer::TooLarge));

    assert_eq!(text(&pool, &get()).await.map(|body| body.len()), Ok(1000));
    assert_eq!(endpoint.connections(), 2);
}

#[tokio::test]
async fn what_breaks_off_or_cannot_be_read_is_no_answer() {
    for (answer, met) in [
        ("", NoAnswer::Broken),
        ("HTTP/1.1 200 OK\r\nContent-Le", NoAnswer::Broken),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", NoAnswer::Broken),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", NoAnswer::Broken),
        ("SSH-2.0-OpenSSH\r\n\r\n", NoAnswer::Malformed("its head cannot be read")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", NoAnswer::Malformed("a chunk's size is no number")),
    ] {
        let endpoint = Endpoint::new(move |_, _| Does::Says(answer.to_owned(), false)).await;
        let pool = pool(&[endpoint.address], json!({}));
        assert_eq!(text(&pool, &get()).await, Err(met), "{answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_was_read_is_an_answer() {
    // Much larger than what sockets hold: all of it can never be sent.
    let endpoint = Endpoint::reading(10, |_, _| Does::Stalls("HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nmuch")).await;
    let pool = pool(&[endpoint.address], json!({}));
    let large = asking(Method::PUT, &"x".repeat(64 << 20));

    let came = call(&pool, &large).await.expect("an answer");

    assert_eq!((came.head.status.as_u16(), &came.body[..]), (413, &b"much"[..]));
    let before = endpoint.connections();
    assert_eq!(text(&pool, &asking(Method::PUT, "small")).await.as_deref(), Ok("much"));
    assert_eq!(endpoint.connections(), before + 1, "half a request is on the first connection");
}

#[tokio::test]
async fn a_full_upstream_is_not_asked() {
    let endpoint = Endpoint::new(|_, _| Does::Stalls("")).await;
    let pool = pool(&[endpoint.address], json!({"max_connections": 1}));
    let waiting = get();
    let mut first = Box::pin(text(&pool, &waiting));
    while endpoint.received().is_empty() {
        assert!(futures_now(&mut first).await.is_none());
    }

    assert_eq!(text(&pool, &get()).await, Err(NoAnswer::NoEndpoint(NoPick::Full)));

    drop(first);
    assert_eq!(endpoint.received().len(), 1);
}

/// Polls once, and lets the others run.
async fn futures_now<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    tokio::task::yield_now().await;
    poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut *future).poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn interim_answers_are_passed_over_unless_they_have_no_end() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\r\n";
    let endpoint = Endpoint::new(move |connection, _| match connection {
        0 => says(format!("{}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", hint.repeat(100))),
        _ => says(hint.repeat(101)),
    })
    .await;
    let pool = pool(&[endpoint.address], json!({"timeouts": {"idle": "0s"}}));

    assert_eq!(text(&pool, &get()).await.as_deref(), Ok("hello"));
    assert!(matches!(text(&pool, &get()).await, Err(NoAnswer::Malformed(_))));
}

#[tokio::test]
async fn a_change_of_protocol_is_no_answer_to_a_call() {
    let endpoint =
        Endpoint::new(|_, _| says("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")).await;

    let answer = text(&pool(&[endpoint.address], json!({})), &get()).await;

    assert!(matches!(answer, Err(NoAnswer::Malformed(_))), "{answer:?}");
}
