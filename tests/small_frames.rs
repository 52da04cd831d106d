//! Streams of HTTP/2 that come in many small frames, while nobody takes what they carry: messages of gRPC are as small as that. A frame costs
//! more to hold than the bytes in it, and whoever counts frames takes a crowd of them for an attack.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{client, server};
use http::{Method, Request, Uri};

use crate::harness::frames::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, SETTINGS, frame, get, greeting, head};
use crate::harness::http2::over_http2_as;
use crate::harness::http2_origin::{Frames, Http2Origin, Script};
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, PATIENCE, raw, until, yaml};

/// What one frame carries.
const SMALL: [u8; 10] = *b"0123456789";

/// A gateway whose requests for one upstream share a connection.
fn gateway(upstream: &str) -> Gateway {
    Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}], threads: 1}
        upstreams: {main: {$UPSTREAM}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$UPSTREAM", &upstream)],
    ))
}

/// So many small frames of a stream, of which the last ends it.
fn frames(stream: u32, count: usize) -> Vec<u8> {
    let (go_on, end) = (frame(DATA, 0, stream, &SMALL), frame(DATA, END_STREAM, stream, &SMALL));
    [go_on.repeat(count - 1), end].concat()
}

async fn ask(client: &SendRequest<Bytes>, path: &str) -> h2::RecvStream {
    let uri: Uri = format!("http://a.example{path}").parse().unwrap();
    let request = Request::builder().uri(uri).body(()).unwrap();
    let (answer, _) = client.clone().ready().await.unwrap().send_request(request, true).unwrap();
    answer.await.unwrap().into_body()
}

#[test]
fn a_stream_of_small_messages_that_nobody_reads_ends_no_neighbours_answer() {
    // All of it fits in the stream's window.
    const COUNT: usize = 52_000;
    let origin = Script::start(&[], |origin, _| {
        let neighbour = origin.next_of(HEADERS, PATIENCE).expect("a request").stream;
        origin.status(neighbour, 200, 0);
        let reader = origin.next_of(HEADERS, PATIENCE).expect("another one").stream;
        origin.status(reader, 200, 0);
        origin.send(&frames(reader, COUNT));
        origin.send(&frame(DATA, END_STREAM, neighbour, b"whole"));
        while origin.next(PATIENCE).is_some() {}
    });
    let gateway = gateway(&format!("endpoints: [{}], protocol: h2", origin.address));

    // What its reader does not take leaves room for the neighbour.
    let mut settings = client::Builder::new();
    settings.initial_connection_window_size(1 << 20);
    over_http2_as(&settings, gateway.address, async |client| {
        let mut neighbour = ask(&client, "/neighbour").await;
        let mut reader = ask(&client, "/small").await;

        // The reader takes nothing yet, and what its neighbour waits for comes behind all that is for it.
        let said = neighbour.data().await.expect("an answer").expect("that goes on");
        let mut read = Vec::new();
        while let Some(data) = reader.data().await {
            let data = data.expect("it goes on as well");
            let _ = reader.flow_control().release_capacity(data.len());
            read.extend_from_slice(&data);
        }

        assert_eq!(said, "whole");
        assert!(read == SMALL.repeat(COUNT), "{} bytes", read.len());
    });
    assert_eq!(origin.connections(), 1);
}

/// As many small frames as fit in the window of an upload.
const UPLOADED: usize = 26_000;

/// Uploads small frames, and has another request answered that comes behind them; then whoever waits for `reads` may read. What the upload is
/// answered.
fn upload(gateway: &Gateway, reads: &AtomicBool) -> String {
    let mut client = Frames(raw(gateway.address));
    client.send(&greeting(&[]));
    client.next_of(SETTINGS, PATIENCE).expect("the gateway's windows");
    client.send(&frame(SETTINGS, 1, 0, &[]));
    client.send(&frame(HEADERS, END_HEADERS, 1, &head("POST", "/upload")));
    assert!(client.send(&frames(1, UPLOADED)), "all of it is read");
    client.send(&get(3, "/other"));

    let mut answer = Vec::new();
    loop {
        let frame = client.next(PATIENCE).expect("a connection that goes on");
        assert_ne!(frame.kind, GOAWAY, "{}", String::from_utf8_lossy(&frame.payload));
        if (frame.kind, frame.stream) == (DATA, 1) {
            answer.extend(frame.payload);
        }
        match (frame.stream, frame.flags & END_STREAM) {
            (3, END_STREAM) if matches!(frame.kind, DATA | HEADERS) => reads.store(true, Ordering::SeqCst),
            (1, END_STREAM) if matches!(frame.kind, DATA | HEADERS) => return String::from_utf8(answer).unwrap(),
            _ => {}
        }
    }
}

#[test]
fn an_upload_of_small_messages_may_be_far_ahead_of_its_upstream() {
    let reads = Arc::new(AtomicBool::new(false));
    let may_read = reads.clone();
    let mut settings = server::Builder::new();
    settings.data_frame_budget(usize::MAX);
    let origin = Http2Origin::with(&settings, move |mut asked| {
        let reads = may_read.clone();
        async move {
            while asked.head.method == Method::POST && !reads.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let (body, _) = asked.read().await;
            let body: &str = if body == SMALL.repeat(UPLOADED) { "whole" } else { "other" };
            asked.answer(body);
        }
    });
    let gateway = gateway(&format!("endpoints: [{}], protocol: h2", origin.address));

    assert_eq!(upload(&gateway, &reads), "whole");
    until("nothing is left in flight", || gateway.running.requests() == 0);
}

#[test]
fn a_burst_of_small_messages_is_no_attack() {
    let origin = Origin::start(|request, stream| {
        let body: &str = if request.body == SMALL.repeat(UPLOADED) { "whole" } else { "other" };
        std::io::Write::write_all(stream, response("200 OK", "", body).as_bytes()).is_ok()
    });
    let gateway = gateway(&format!("endpoints: [{}]", origin.address));

    assert_eq!(upload(&gateway, &AtomicBool::new(false)), "whole");
}
