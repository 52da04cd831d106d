//! Calls over real sockets: what is sent, what is taken of an answer, what guards a call, and that all of it is given back.

mod kept;

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use frontgate_filters::coding::{Coding, Packer, Then};
use http::Method;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::load_text;
use crate::discovery::dns::{Dns, Places};
use crate::exchange::Asker;
use crate::telemetry::Metrics;
use crate::upstream::Documents;

const PATIENCE: Duration = Duration::from_secs(20);

/// What an endpoint does with a request.
#[derive(Clone)]
enum Does {
    /// Sends these bytes and goes on.
    Says(Vec<u8>),
    /// Sends these bytes over and over.
    Repeats(Vec<u8>, Vec<u8>),
    /// Sends these bytes and closes.
    Breaks(&'static str),
    /// Answers nothing.
    Waits,
}

fn answer(head: &str, body: &[u8]) -> Does {
    let mut all = format!("HTTP/1.1 {head}content-length: {}\r\n\r\n", body.len()).into_bytes();
    all.extend_from_slice(body);
    Does::Says(all)
}

fn ok(body: &str) -> Does {
    answer("200 OK\r\n", body.as_bytes())
}

/// An endpoint: what it was sent, how many connections it has, and how many of them were closed.
struct Endpoint {
    address: std::net::SocketAddr,
    received: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
}

impl Endpoint {
    async fn new(does: impl Fn(usize) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let endpoint = Self { address, received: Arc::default(), open: Arc::default() };
        let (received, open, does) = (endpoint.received.clone(), endpoint.open.clone(), Arc::new(does));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (received, open, does) = (received.clone(), open.clone(), does.clone());
                open.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    serve(socket, &received, &*does).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        endpoint
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().clone()
    }

    /// Waits until so many connections are open.
    async fn has_open(&self, count: usize) {
        until(|| self.open.load(Ordering::SeqCst) == count).await;
    }
}

async fn serve(mut socket: TcpStream, received: &Mutex<Vec<String>>, does: &(dyn Fn(usize) -> Does + Send + Sync)) {
    loop {
        let mut bytes = Vec::new();
        while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
            if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let number = {
            let mut received = received.lock();
            received.push(String::from_utf8_lossy(&bytes).into_owned());
            received.len() - 1
        };
        match does(number) {
            Does::Says(bytes) => {
                if socket.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Does::Repeats(first, then) => {
                let mut sent = socket.write_all(&first).await;
                while sent.is_ok() {
                    sent = socket.write_all(&then).await;
                }
                return;
            }
            Does::Breaks(text) => {
                let _ = socket.write_all(text.as_bytes()).await;
                return;
            }
            Does::Waits => {
                let _ = socket.read_u8().await;
                return;
            }
        }
    }
}

async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it comes to hold");
}

/// A gateway's configuration with these endpoints as the pool `shop`, and filters `guard` and `login` as written.
fn snapshot(endpoints: &[&Endpoint], more: &str, guard: &str) -> Arc<Snapshot> {
    let addresses: Vec<String> = endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
    let text = format!(
        "version: 1\nserver: {{listeners: [{{address: 127.0.0.1:0}}]}}\nupstreams:\n  shop: {{endpoints: [{}]{more}}}\n\
         filters: {{guard: {{circuit_breaker: {{{guard}}}}}}}\n\
         routes: [{{name: home, path: /, upstream: shop, filters: [guard]}}]\n",
        addresses.join(", ")
    );
    let loaded = load_text("a.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let metrics = Metrics::new();
    let documents = Documents::new(metrics.clone(), Dns::new(Places::default()));
    Arc::new(Snapshot::compile(loaded, None, &metrics, Some(&documents)).expect("it compiles"))
}

/// What the calls of a request on the route `home` have in common.
fn common(snapshot: &Arc<Snapshot>, budget: usize, most: usize) -> Arc<Common> {
    let fields = [("Host", "shop.example"), ("Cookie", "sid=1"), ("Authorization", "Bearer x"), ("X-Other", "1"), ("Accept", "a/b")];
    common_of(snapshot, &client(&fields), budget, most)
}

/// A client's request with these fields.
fn client(fields: &[(&'static str, &'static str)]) -> RequestHeader {
    let mut head = RequestHeader::build("GET", b"/home/7?a=b", None).expect("a head");
    for (name, value) in fields {
        head.insert_header(*name, *value).expect("a field");
    }
    head
}

/// The same of a request with this head.
fn common_of(snapshot: &Arc<Snapshot>, head: &RequestHeader, budget: usize, most: usize) -> Arc<Common> {
    let route = &snapshot.routes[0];
    let names: Vec<Arc<str>> = vec!["user".into(), "cart".into()];
    let counted = route.metrics.composed(&names);
    let mut facts = Facts::new([192, 0, 2, 9].into(), HeaderValue::from_static("id-1"));
    route.introduce(0, &mut facts);
    let asks = Asks::new(head, &Asker { conn: None, from_trusted: false, facts: &facts }, None);
    let calls = RouteCalls::new(&route.chain, names, counted, Budget::new(budget));
    Arc::new(Common { snapshot: snapshot.clone(), calls, facts, asks, traced: None, most, told: Told::default() })
}

const ROOM: usize = 8 << 20;

fn ready<'r>(snapshot: &'r Snapshot, target: &str) -> Ready<'r> {
    Ready {
        name: "user",
        pool: &snapshot.pools["shop"],
        method: Method::GET,
        target: target.to_owned(),
        fields: HeaderMap::new(),
        body: None,
        timeout: Some(PATIENCE),
        most: 1 << 20,
        again: true,
    }
}

async fn made(common: &Arc<Common>, ready: Ready<'_>) -> Result<Answered, Failed> {
    Detached(common.clone()).make(ready).await
}

/// The status and the body of what is taken for a good answer, or why there is none.
async fn text(common: &Arc<Common>, ready: Ready<'_>) -> Result<String, Failed> {
    let answered = made(common, ready).await?;
    answered.keeping.keep();
    Ok(format!("{} {}", answered.status.as_u16(), String::from_utf8_lossy(&answered.body.concat())))
}

fn packed(coding: Coding, text: &[u8]) -> Vec<u8> {
    Packer::new(coding, None).expect("a place").pack(text, Then::End).expect("packs").expect("bytes").to_vec()
}

#[tokio::test]
async fn a_call_says_who_asks_and_nothing_else_of_the_client() {
    let endpoint = Endpoint::new(|_| ok("{}")).await;
    let snapshot = snapshot(&[&endpoint], "", "");
    let common = common(&snapshot, ROOM, ROOM);
    let mut call = ready(&snapshot, "/v1/users/7?x=1");
    call.fields.insert("x-tenant", HeaderValue::from_static("t1"));
    for (name, value) in [("connection", "x-tenant"), ("content-length", "3"), ("transfer-encoding", "chunked"), ("x-request-id", "mine")] {
        call.fields.insert(http::HeaderName::from_static(name), HeaderValue::from_static(value));
    }

    assert_eq!(text(&common, call).await.as_deref(), Ok("200 {}"));

    let expected = "GET /v1/users/7?x=1 HTTP/1.1\r\nhost: shop.example\r\nx-tenant: t1\r\naccept: application/json\r\naccept-encoding: identity\r\n\
                    via: 1.1 frontgate\r\nx-forwarded-host: shop.example\r\nx-forwarded-proto: http\r\nx-request-id: id-1\r\n\r\n";
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[1..].sort();
        lines
    };
    assert_eq!(sorted(&endpoint.received()[0]), sorted(expected));
}

#[tokio::test]
async fn what_is_packed_is_opened_and_what_cannot_be_is_no_answer() {
    let body = br#"{"a": [1, 2, 3]}"#;
    for (coding, sent, expected) in [
        ("gzip", packed(Coding::Gzip, body), Ok("200 {\"a\": [1, 2, 3]}".to_owned())),
        ("br", packed(Coding::Brotli, body), Ok("200 {\"a\": [1, 2, 3]}".to_owned())),
        ("identity", body.to_vec(), Ok("200 {\"a\": [1, 2, 3]}".to_owned())),
        ("gzip", body.to_vec(), Err(Failed::Malformed)),
        ("gzip", packed(Coding::Gzip, body)[..20].to_vec(), Err(Failed::Malformed)),
        ("deflate", body.to_vec(), Err(Failed::Malformed)),
        ("gzip, br", body.to_vec(), Err(Failed::Malformed)),
        ("gzip", Vec::new(), Ok("200 ".to_owned())),
    ] {
        let answer = answer(&format!("200 OK\r\ncontent-encoding: {coding}\r\n"), &sent);
        let endpoint = Endpoint::new(move |_| answer.clone()).await;
        let snapshot = snapshot(&[&endpoint], "", "");

        assert_eq!(text(&common(&snapshot, ROOM, ROOM), ready(&snapshot, "/")).await, expected, "{coding}, {} bytes", sent.len());
    }
}

#[tokio::test]
async fn no_answer_is_longer_than_it_may_be_however_it_is_sent() {
    let long = vec![b' '; 2000];
    let chunk = || b"3e8\r\n".iter().copied().chain(vec![b' '; 1000]).chain(*b"\r\n").collect::<Vec<u8>>();
    let empty_members = packed(Coding::Gzip, b"");
    let endless = |members: &[u8]| {
        let mut chunk = format!("{:x}\r\n", members.len()).into_bytes();
        chunk.extend_from_slice(members);
        chunk.extend_from_slice(b"\r\n");
        chunk
    };
    let bomb = packed(Coding::Brotli, &vec![b' '; 4 << 20]);
    for (what, does) in [
        ("a length that is said", answer("200 OK\r\n", &long)),
        ("one that is not", Does::Repeats(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(), chunk())),
        ("up to the end", Does::Repeats(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), long.clone())),
        ("a bomb", answer("200 OK\r\ncontent-encoding: gzip\r\n", &packed(Coding::Gzip, &vec![b' '; 1 << 20]))),
        ("a small bomb", answer("200 OK\r\ncontent-encoding: br\r\n", &bomb)),
        (
            "what opens to nothing without an end",
            Does::Repeats(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-encoding: gzip\r\n\r\n".to_vec(),
                endless(&empty_members.repeat(50)),
            ),
        ),
    ] {
        let endpoint = Endpoint::new(move |_| does.clone()).await;
        let snapshot = snapshot(&[&endpoint], "", "");
        let common = common(&snapshot, ROOM, ROOM);

        let refused = text(&common, Ready { most: 1999, ..ready(&snapshot, "/") }).await;

        assert_eq!(refused, Err(Failed::TooLarge), "{what}");
        assert_eq!(common.calls.budget.told().1, 0, "{what}");
        // What is not read of it costs its connection.
        endpoint.has_open(0).await;
    }
}

#[tokio::test]
async fn all_answers_of_a_request_have_a_bound_and_so_have_those_of_all_requests() {
    let endpoint = Endpoint::new(|_| ok(&" ".repeat(1000))).await;
    let snapshot = snapshot(&[&endpoint], "", "");

    let request = common(&snapshot, ROOM, 2000);
    let head = RequestHeader::build("GET", b"/", None).expect("a head");
    let maker = Maker::new(request.clone(), &head, None);
    let kept = [maker.make(ready(&snapshot, "/")).await, maker.make(ready(&snapshot, "/")).await];
    assert!(kept.iter().all(Result::is_ok));
    assert_eq!(maker.make(ready(&snapshot, "/")).await.err(), Some(Failed::TooLarge));
    assert_eq!(request.calls.budget.told().1, 2000);
    drop(kept);
    assert_eq!(request.calls.budget.told().1, 0);

    let all = common(&snapshot, 1500, ROOM);
    let first = made(&all, ready(&snapshot, "/")).await.expect("an answer");
    assert_eq!(text(&all, ready(&snapshot, "/")).await, Err(Failed::NoMemory));
    assert_eq!(all.calls.budget.told().1, 1000);
    drop(first);
    assert!(made(&all, ready(&snapshot, "/")).await.is_ok(), "it was given back");
}

#[tokio::test]
async fn why_there_is_no_answer_says_whether_the_call_may_have_been_sent() {
    let closed = Endpoint { address: "127.0.0.1:1".parse().expect("an address"), received: Arc::default(), open: Arc::default() };
    for (does, expected) in [
        (Does::Breaks(""), Failed::Broken),
        (Does::Breaks("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell"), Failed::Broken),
        (Does::Breaks("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"), Failed::Broken),
        (Does::Breaks("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nhello\r\n"), Failed::Malformed),
        (Does::Breaks("this is no HTTP\r\n\r\n"), Failed::Malformed),
        (Does::Waits, Failed::Timeout),
    ] {
        let endpoint = Endpoint::new(move |_| does.clone()).await;
        let snapshot = snapshot(&[&endpoint], "", "");
        let call = Ready { timeout: Some(Duration::from_millis(400)), ..ready(&snapshot, "/") };

        assert_eq!(text(&common(&snapshot, ROOM, ROOM), call).await, Err(expected));
        endpoint.has_open(0).await;
    }
    let snapshot = snapshot(&[&closed], "", "");
    assert_eq!(text(&common(&snapshot, ROOM, ROOM), ready(&snapshot, "/")).await, Err(Failed::Connect));
}

#[tokio::test]
async fn an_open_circuit_fails_its_calls_at_once_and_lets_a_probe_through_in_its_time() {
    let endpoint = Endpoint::new(|number| if number < 2 { answer("500 Oh\r\n", b"") } else { ok("fine") }).await;
    let snapshot = snapshot(&[&endpoint], "", "consecutive: 2, open_for: 100ms, half_open: {successes: 1}");
    let common = common(&snapshot, ROOM, ROOM);

    let failed = [text(&common, ready(&snapshot, "/a")).await, text(&common, ready(&snapshot, "/b")).await];
    let refused = text(&common, ready(&snapshot, "/c")).await;

    assert_eq!(failed, [Ok("500 ".to_owned()), Ok("500 ".to_owned())]);
    assert_eq!(refused, Err(Failed::CircuitOpen { retry_after: Some(Duration::from_secs(1)) }));
    assert_eq!(endpoint.received().len(), 2, "nothing was sent");
    let status = || snapshot.circuits().next().expect("a circuit").1;
    assert_eq!(status().state, CircuitState::Open);
    // A probe that is cancelled gives its place back, and says nothing.
    let closes = async {
        while text(&common, ready(&snapshot, "/d")).await != Ok("200 fine".to_owned()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closes).await.expect("a probe is let through");
    assert_eq!(status().state, CircuitState::Closed);
}

#[tokio::test]
async fn fallbacks_answer_for_the_call_that_failed_and_what_was_kept_is_kept_by_its_target() {
    let endpoint = Endpoint::new(|number| {
        if number < 2 {
            answer("200 OK\r\ncontent-encoding: gzip\r\n", &packed(Coding::Gzip, &[b'a' + number as u8]))
        } else {
            answer("503 Oh\r\n", b"no")
        }
    })
    .await;
    let guard = "min_requests: 1000, fallback: [{cached: {max_age: 1h}}, {respond: {json: {instead: true}}}]";
    let snapshot = snapshot(&[&endpoint], "", guard);
    let common = common(&snapshot, ROOM, ROOM);

    let fresh = [text(&common, ready(&snapshot, "/a")).await, text(&common, ready(&snapshot, "/b")).await];
    let kept = [text(&common, ready(&snapshot, "/a")).await, text(&common, ready(&snapshot, "/b")).await];
    let other = text(&common, ready(&snapshot, "/c")).await;
    let posted = text(&common, Ready { method: Method::POST, body: Some(Bytes::from_static(b"{}")), ..ready(&snapshot, "/d") }).await;

    assert_eq!(fresh, [Ok("200 a".to_owned()), Ok("200 b".to_owned())]);
    assert_eq!(kept, fresh);
    assert_eq!(other.as_deref(), Ok("200 {\"instead\":true}"));
    assert_eq!(posted.as_deref(), Ok("503 no"));
}

#[tokio::test]
async fn a_call_that_is_given_up_gives_all_of_it_back() {
    let slow = Endpoint::new(|_| Does::Says(b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\nsome of it".to_vec())).await;
    let snapshot = snapshot(&[&slow], ", max_connections: 1", "half_open: {max_concurrent: 1}");
    let common = common(&snapshot, ROOM, ROOM);
    let calls = Detached(common.clone());

    let mut call = calls.make(ready(&snapshot, "/"));
    let begun = async {
        tokio::select! {
            _ = &mut call => panic!("it never ends"),
            () = until(|| common.calls.budget.told().1 > 0) => {}
        }
    };
    begun.await;
    assert_eq!(text(&common, ready(&snapshot, "/")).await, Err(Failed::Full), "one at a time");
    drop(call);

    slow.has_open(0).await;
    assert_eq!(common.calls.budget.told().1, 0);
    assert!(common.told.all().iter().all(|call| call.ended.is_some()));
    let again = tokio::time::timeout(Duration::from_millis(300), made(&common, ready(&snapshot, "/"))).await;
    assert!(again.is_err(), "it is asked again, and as slow");
    assert_eq!(slow.received().len(), 2);
}

#[tokio::test]
async fn a_call_is_never_longer_than_its_request_has_left() {
    let endpoint = Endpoint::new(|_| Does::Waits).await;
    let snapshot = snapshot(&[&endpoint], "", "");
    let common = common(&snapshot, ROOM, ROOM);
    let head = RequestHeader::build("GET", b"/", None).expect("a head");
    let sweeping = tokio::spawn(async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            crate::upstream::timer::sweep(Instant::now());
        }
    });
    let began = Instant::now();
    let maker = Maker::new(common.clone(), &head, Some(began + Duration::from_millis(150)));

    let late = tokio::time::timeout(PATIENCE, maker.make(ready(&snapshot, "/"))).await.expect("it has an end");

    assert_eq!(late.err(), Some(Failed::Timeout));
    assert!(began.elapsed() >= Duration::from_millis(150));
    sweeping.abort();
}

#[tokio::test]
async fn another_attempt_follows_as_the_pool_s_rule_says_and_all_of_them_are_told() {
    let endpoint = Endpoint::new(|number| if number == 0 { answer("503 Oh\r\n", b"") } else { ok("fine") }).await;
    let snapshot = snapshot(&[&endpoint], ", retry: {attempts: 2, when: [503], budget: 100%}", "");
    let common = common(&snapshot, ROOM, ROOM);

    assert_eq!(text(&common, ready(&snapshot, "/x?secret=1")).await.as_deref(), Ok("200 fine"));
    common.count("user", CallResult::Ok);
    assert_eq!(text(&common, Ready { again: false, ..ready(&snapshot, "/y") }).await.as_deref(), Ok("200 fine"));

    let told: Vec<_> = common
        .told
        .all()
        .iter()
        .map(|call| (call.path.clone(), call.tried.iter().map(|tried| tried.status).collect::<Vec<_>>(), call.word()))
        .collect();
    assert_eq!(told, [("/x".to_owned(), vec![Some(503), Some(200)], "ok"), ("/y".to_owned(), vec![Some(200)], "cancelled")]);
    assert_eq!(common.told.count(), 2);
}
