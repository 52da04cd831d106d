use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::exchange::origin::reset;
use crate::harness::client::operate;
use crate::harness::frames::INITIAL_WINDOW_SIZE;
use crate::harness::http2::over_http2;
use crate::harness::http2_origin::Script;
use crate::harness::origin::response;
use crate::harness::{Gateway, Log, Origin, PATIENCE, get, raw, until, yaml};

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Way {
    Closes,
    ClosesItsHalf,
    Resets,
    CancelsItsStream,
    DropsItsStreams,
}

const WAYS: [Way; 5] = [Way::Closes, Way::ClosesItsHalf, Way::Resets, Way::CancelsItsStream, Way::DropsItsStreams];

/// Asks, waits until `seen`, and leaves. What is kept of the client is given back.
fn leave(address: SocketAddr, way: Way, seen: impl Fn() -> bool) -> Option<TcpStream> {
    if matches!(way, Way::CancelsItsStream | Way::DropsItsStreams) {
        over_http2(address, async |mut client| {
            let request = http::Request::get("http://a.example/wait").body(()).unwrap();
            let (answer, mut stream) = client.send_request(request, true).unwrap();
            while !seen() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if matches!(way, Way::CancelsItsStream) {
                stream.send_reset(h2::Reason::CANCEL);
                let _ = answer.await;
            }
        });
        return None;
    }
    let mut client = raw(address);
    client.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the origin to have the request", &seen);
    match way {
        Way::Resets => reset(&client),
        Way::ClosesItsHalf => {
            client.shutdown(Shutdown::Write).unwrap();
            return Some(client);
        }
        _ => {}
    }
    None
}

/// Holds requests for `/wait` until their connection ends, and answers all others.
struct Waiting {
    origin: Origin,
    waiting: Arc<AtomicUsize>,
    left: Arc<AtomicUsize>,
    well: Arc<AtomicBool>,
}

fn waiting() -> Waiting {
    let (waiting, left) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let well = Arc::new(AtomicBool::new(true));
    let (came, went, is_well) = (waiting.clone(), left.clone(), well.clone());
    let origin = Origin::start(move |request, stream| {
        if request.line().contains("/wait") {
            came.fetch_add(1, Ordering::SeqCst);
            // The gateway closes a connection whose request nobody waits for.
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            if stream.read(&mut [0]).unwrap_or(0) == 0 {
                went.fetch_add(1, Ordering::SeqCst);
            }
            return false;
        }
        let status = if is_well.load(Ordering::SeqCst) { "200 OK" } else { "503 Down" };
        stream.write_all(response(status, "", "ok").as_bytes()).is_ok()
    });
    Waiting { origin, waiting, left, well }
}

#[test]
fn whoever_leaves_lets_go_of_the_upstream_and_of_a_place_among_those_at_once() {
    for way in WAYS {
        let waiting = waiting();
        let log = Log::new(&format!("leaving-{way:?}"));
        let gateway = Gateway::start(&log.of(&yaml(
            "
            server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}], admin: 127.0.0.1:0}
            upstreams: {main: {endpoints: [$ORIGIN], timeouts: {first_byte: 10m}, max_connections: 1}}
            filters: {one: {rate_limit: {key: client_ip, concurrency: 1}}}
            routes: [{name: all, path: /**, upstream: main, filters: [one]}]
            ",
            &[("$ORIGIN", &waiting.origin.address)],
        )));

        let kept = leave(gateway.address, way, || waiting.waiting.load(Ordering::SeqCst) == 1);

        until("the upstream's connection to end", || waiting.left.load(Ordering::SeqCst) == 1);
        until("the place to be free", || get(gateway.address, "/").status == 200);
        // Whoever asked too early was refused, and has a line, too.
        let line = || log.lines().into_iter().find(|line| line["path"] == "/wait");
        until("its line in the log", || line().is_some());
        let line = line().unwrap();
        assert_eq!(line["flags"], "DC", "{way:?}: {line}");
        assert_eq!((line.get("status"), line.get("upstream_status")), (None, None), "{way:?}: {line}");
        let admin = gateway.running.admin().unwrap();
        until("nothing to be in flight", || operate(admin, "GET", "/healthz?full=1").json()["upstreams"]["main"]["in_flight"] == 0);
        drop(kept);
    }
}

#[test]
fn whoever_leaves_while_probing_a_circuit_gives_the_probe_s_place_back() {
    for way in WAYS {
        let waiting = waiting();
        let gateway = Gateway::start(&yaml(
            "
            server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
            upstreams: {main: {endpoints: [$ORIGIN], timeouts: {first_byte: 10m}}}
            filters:
              guard: {circuit_breaker: {consecutive: 1, open_for: 100ms, max_open_for: 100ms, half_open: {max_concurrent: 1, successes: 1}}}
            routes: [{name: all, path: /**, upstream: main, filters: [guard]}]
            ",
            &[("$ORIGIN", &waiting.origin.address)],
        ));
        let state = || gateway.metric("frontgate_circuit_state{filter=\"guard\",upstream=\"main\"}");
        waiting.well.store(false, Ordering::SeqCst);
        assert_eq!((get(gateway.address, "/").status, state()), (503, 2.0));
        waiting.well.store(true, Ordering::SeqCst);
        until("the circuit to let a probe through", || {
            // What asks too early is refused at once.
            let before = waiting.waiting.load(Ordering::SeqCst);
            let mut early = raw(gateway.address);
            early.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            early.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let mut byte = [0];
            until("a probe or a refusal", || waiting.waiting.load(Ordering::SeqCst) > before || matches!(early.read(&mut byte), Ok(1)));
            waiting.waiting.load(Ordering::SeqCst) > before
        });
        until("the probe that has left to be over", || gateway.running.requests() == 0);
        let before = waiting.waiting.load(Ordering::SeqCst);

        let kept = leave(gateway.address, way, || waiting.waiting.load(Ordering::SeqCst) > before);

        until("the place to be free and the circuit to close", || get(gateway.address, "/").status == 200);
        assert_eq!(state(), 0.0, "{way:?}");
        drop(kept);
    }
}

#[test]
fn a_client_is_seen_to_leave_while_its_upload_waits_for_the_upstream() {
    let origin = Script::start(&[(INITIAL_WINDOW_SIZE, 0)], |origin, _| while origin.next(PATIENCE * 4).is_some() {});
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams: {main: {endpoints: [$ORIGIN], protocol: h2, timeouts: {first_byte: 5m, between_bytes: 5m}}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));

    over_http2(gateway.address, async |mut client| {
        let request = http::Request::post("http://a.example/upload").body(()).unwrap();
        let (answer, mut stream) = client.send_request(request, false).unwrap();
        stream.send_data(vec![b'u'; 60_000].into(), false).unwrap();
        while origin.connections() == 0 || gateway.running.requests() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stream.send_reset(h2::Reason::CANCEL);
        let _ = answer.await;
        // The connection stays: what ends is one request on it.
        while gateway.running.requests() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}
