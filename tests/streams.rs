use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::harness::http2::{over_http2, over_http2_as};
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, get, until, yaml};

/// HTTP/2 and HTTP/1 on one listener in front of `origin`.
fn gateway(origin: SocketAddr, timeouts: &str) -> Gateway {
    Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}], timeouts: {$TIMEOUTS}}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin), ("$TIMEOUTS", &timeouts)],
    ))
}

fn request(method: &str, path: &str) -> http::Request<()> {
    http::Request::builder().method(method).uri(format!("http://a.example{path}")).body(()).unwrap()
}

/// An answer's whole body, and in how many pieces it came.
async fn body(mut stream: h2::RecvStream) -> Result<(Vec<u8>, usize), h2::Error> {
    let (mut body, mut pieces) = (Vec::new(), 0);
    while let Some(data) = stream.data().await {
        let data = data?;
        body.extend_from_slice(&data);
        pieces += 1;
        stream.flow_control().release_capacity(data.len())?;
    }
    Ok((body, pieces))
}

#[test]
fn a_refusal_of_head_has_no_body() {
    let origin = Origin::start(|_, _| false);
    let gateway = gateway(origin.address, "");

    let (status, length, body) = over_http2(gateway.address, async |mut client| {
        let (answer, _) = client.send_request(request("HEAD", "/"), true).unwrap();
        let answer = answer.await.unwrap();
        let length = std::str::from_utf8(answer.headers()["content-length"].as_bytes()).unwrap().parse::<usize>().unwrap();
        (answer.status().as_u16(), length, body(answer.into_body()).await.map(|(body, _)| body.len()))
    });

    assert_eq!(status, 502);
    assert!(length > 0, "what a GET would have got is said");
    assert_eq!(body.expect("a stream that ends well"), 0);
}

#[test]
fn a_burst_of_small_chunks_arrives_in_few_frames() {
    // Clients take hundreds of tiny frames at once for an attack, and close.
    let chunks = "1\r\nx\r\n".repeat(5000);
    let origin = Origin::start(move |_, stream| {
        stream.write_all(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n").as_bytes()).is_ok()
    });
    let gateway = gateway(origin.address, "");

    let (body, pieces) = over_http2(gateway.address, async |mut client| {
        let (answer, _) = client.send_request(request("GET", "/"), true).unwrap();
        body(answer.await.unwrap().into_body()).await.unwrap()
    });

    assert_eq!(body, "x".repeat(5000).as_bytes());
    assert!(pieces < 100, "{pieces} frames");
}

#[test]
fn a_client_that_never_opens_its_window_is_cut_off() {
    let large = "x".repeat(1 << 20);
    let origin = Origin::start(move |_, stream| stream.write_all(response("200 OK", "", &large).as_bytes()).is_ok());
    let gateway = gateway(origin.address, "write: 200ms");

    // A second more is granted for every 500 bytes that it took.
    over_http2_as(h2::client::Builder::new().initial_window_size(100), gateway.address, async |mut client| {
        let (answer, _) = client.send_request(request("GET", "/"), true).unwrap();
        // Nothing of the window is given back.
        let mut stream = answer.await.unwrap().into_body();
        let mut count = 0;
        let end = loop {
            match stream.data().await {
                Some(Ok(data)) => count += data.len(),
                other => break other,
            }
        };
        assert_eq!(count, 100);
        assert!(end.is_some(), "a stream that was cut off has no clean end");
    });

    until("the request to end", || gateway.running.requests() == 0);
}

#[test]
fn an_answer_that_breaks_off_resets_its_stream_and_no_other() {
    let origin = Origin::start(|request, stream| {
        let whole = !request.line().contains("/cut");
        let answer = response("200 OK", "", &"x".repeat(1000));
        let _ = stream.write_all(&answer.as_bytes()[..answer.len() - usize::from(!whole)]);
        whole
    });
    let gateway = gateway(origin.address, "");

    let (cut, whole) = over_http2(gateway.address, async |client| {
        let (mut first, mut second) = (client.clone(), client);
        let cut = async {
            let (answer, _) = first.send_request(request("GET", "/cut"), true)?;
            body(answer.await?.into_body()).await
        };
        let whole = async {
            let (answer, _) = second.send_request(request("GET", "/whole"), true)?;
            body(answer.await?.into_body()).await
        };
        tokio::join!(cut, whole)
    });

    assert!(cut.is_err(), "{cut:?}");
    assert_eq!(whole.unwrap().0.len(), 1000);
}

#[test]
fn an_upload_and_its_answer_pass_at_once() {
    let origin =
        Origin::start(|request, stream| stream.write_all(response("200 OK", "", &request.body.len().to_string()).as_bytes()).is_ok());
    let gateway = gateway(origin.address, "");

    let told = over_http2(gateway.address, async |mut client| {
        let (answer, mut upload) = client.send_request(request("POST", "/"), false).unwrap();
        let mut left = 3 << 20;
        while left > 0 {
            upload.reserve_capacity(left.min(1 << 14));
            let room = std::future::poll_fn(|cx| upload.poll_capacity(cx)).await.unwrap().unwrap();
            upload.send_data(Bytes::from(vec![b'x'; room]), left == room).unwrap();
            left -= room;
        }
        body(answer.await.unwrap().into_body()).await.unwrap().0
    });

    assert_eq!(String::from_utf8(told).unwrap(), (3 << 20).to_string());
    until("the request to end", || gateway.running.requests() == 0);
    assert_eq!(get(gateway.address, "/").status, 200, "HTTP/1 is served beside it");
}

#[test]
fn a_stream_that_its_client_resets_frees_what_it_held() {
    let origin = Origin::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin");
        // Until the gateway closes.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        std::io::Read::read(stream, &mut [0]).is_ok_and(|count| count > 0)
    });
    let gateway = gateway(origin.address, "");

    over_http2(gateway.address, async |mut client| {
        let (answer, mut upload) = client.send_request(request("GET", "/"), true).unwrap();
        let _head = answer.await.unwrap();
        assert_eq!(gateway.running.requests(), 1);
        upload.send_reset(h2::Reason::CANCEL);
        let ended = async {
            while gateway.running.requests() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the request ends");
    });
}
